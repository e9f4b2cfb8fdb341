#!/usr/bin/env python3
"""wrap.py - wraps comments that are too wide, which clang-format is told to leave alone.

    wrap.py FILE...     rewrites the files in place

Only a paragraph with a line of more than 100 columns is touched: lines of one indent without tables
(two blanks in a row behind the first word). What cannot be wrapped is left for tidy.py to report.
"""

import re
import sys
import textwrap

COLUMNS_MAX = 100
COMMENT = re.compile(r"^([ ]*)/\*.*?\*/", re.DOTALL | re.MULTILINE)
# The mark of a comment's line, what stands before its text, and the text.
LINE = re.compile(r"^(\s*(?:/\*|\*) ?)(\s*(?:[-*] |\d+\. )?)(.*)$")


def is_table(text):
    return re.search(r"\S {2,}\S", text) is not None


def paragraphs(lines):
    """Runs of lines that are one text: the first may have a bullet, the others its indent."""
    run = []
    for line in lines:
        m = LINE.match(line)
        if not m or not m.group(3) or is_table(m.group(3)):
            if run:
                yield run
            yield [line]
            run = []
            continue
        head, text = m.group(2), m.group(3)
        goes_on = run and head.strip() == "" and len(head) == len(run[0][1])
        if run and not goes_on:
            yield run
            run = []
        run.append((m.group(1), head, text))
    if run:
        yield run


def wrap_run(run, indent):
    first, head, _ = run[0]
    later = indent + " * "
    if not first.endswith(" "):
        first += " "
    text = " ".join(part[2] for part in run)
    return textwrap.wrap(text, COLUMNS_MAX, initial_indent=first + head,
                         subsequent_indent=later + " " * len(head), break_long_words=False,
                         break_on_hyphens=False)


def wrap_comment(m):
    comment, indent = m.group(0), m.group(1)
    lines = comment.split("\n")
    if all(len(line) <= COLUMNS_MAX for line in lines):
        return comment
    # The end stands on its own while the text is wrapped.
    body = comment[:-2].rstrip().split("\n")
    closes_alone = lines[-1].strip() == "*/"
    out = []
    for run in paragraphs(body):
        if isinstance(run[0], str):
            out.append(run[0].rstrip())
            continue
        texts = ["".join(part) for part in run]
        if all(len(t) <= COLUMNS_MAX - 3 for t in texts):
            out += [t.rstrip() for t in texts]
        else:
            out += wrap_run(run, indent)
    if not closes_alone and len(out[-1]) + 3 <= COLUMNS_MAX:
        out[-1] += " */"
    else:
        out.append(indent + " */")
    return "\n".join(out)


def wrap_trailing(text):
    """A comment behind code that is too wide goes to a line above it."""
    out = []
    for line in text.split("\n"):
        m = re.match(r"^(\s*)(\S.*?)\s*(/\* .* \*/)$", line)
        is_code = m and not m.group(2).startswith(("/*", "*", "#"))
        if len(line) > COLUMNS_MAX and is_code and not line.endswith("\\"):
            out += [m.group(1) + m.group(3), m.group(1) + m.group(2)]
        else:
            out.append(line)
    return "\n".join(out)


def main(paths):
    for path in paths:
        with open(path, encoding="utf-8") as f:
            before = f.read()
        after = COMMENT.sub(wrap_comment, wrap_trailing(before))
        if after != before:
            with open(path, "w", encoding="utf-8") as f:
                f.write(after)


if __name__ == "__main__":
    main(sys.argv[1:])
