#!/usr/bin/env python3
"""tidy.py - the rules of the tree that a compiler does not know, each a test of its own.

    tidy.py ROOT CHECK     one check; prints each violation as path:line: text; exit status 1 if any
    tidy.py ROOT --list    the names of the checks
"""

import os
import re
import sys

import rules
import source

COLUMNS_MAX = 100
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 80
# In parts, so that this file passes its own check.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")


def line_of(file, offset):
    return file.text.count("\n", 0, offset) + 1


def check_layers(files):
    """A module includes only headers of itself and of the modules that LAYERS gives it."""
    for file in files:
        if not file.is_c or file.module is None:
            continue
        if file.module not in rules.LAYERS:
            yield file.path, 1, "*", "module '%s' has no row in LAYERS" % file.module
            continue
        allowed = [file.module] + rules.LAYERS[file.module]
        if file.is_test:
            allowed += rules.TEST_LAYERS.get(file.module, [])
        for number, line in enumerate(file.lines, 1):
            m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not m:
                continue
            name = m.group(1).split("/")[0] if "/" in m.group(1) else "main"
            if ".." in m.group(1).split("/"):
                yield file.path, number, "*", 'includes are written from src: "%s"' % m.group(1)
            elif name not in allowed:
                text = "%s may not include %s" % (file.module, m.group(1))
                yield file.path, number, m.group(1), text


def calls_of(file, pattern):
    """Calls by name: not members, not declarations of our own with a prefix."""
    for m in re.finditer(r"(?<![\w.>])(%s)\s*\(" % pattern, file.code):
        yield m.group(1), line_of(file, m.start())


def banned_calls(files, names, patterns, why):
    pattern = "|".join(sorted(names, key=len, reverse=True) + patterns)
    for file in files:
        if file.is_c:
            for name, number in calls_of(file, pattern):
                yield file.path, number, name, "%s() %s" % (name, why)


def check_seam(files):
    """Above src/loop nobody asks the machine for time, chance, files, sockets or threads."""
    product = [f for f in files if f.path.startswith("src/") and not f.is_test]
    yield from banned_calls(product, rules.SEAM_CALLS, rules.SEAM_PATTERNS,
                            "goes past the seam (src/loop)")


def check_banned(files):
    """Calls that nobody makes anywhere."""
    yield from banned_calls(files, rules.BANNED_CALLS, [], "is banned")


def check_goto(files):
    for file in files:
        if file.is_c:
            for m in re.finditer(r"\bgoto\b", file.code):
                yield file.path, line_of(file, m.start()), "*", "goto"


def check_thread_locals(files):
    """One thread-local variable exists, the running scheduler's."""
    for file in files:
        if file.is_c:
            for m in re.finditer(r"\b(__thread|_Thread_local|thread_local)\b", file.code):
                yield file.path, line_of(file, m.start()), "*", "thread-local variable"


def check_typedefs(files):
    """A struct, union or enum is named with its keyword."""
    for file in files:
        if file.is_c and not file.path.startswith("include/"):
            for m in re.finditer(r"\btypedef\s+(struct|union|enum)\b[^;{]*\{", file.code):
                yield file.path, line_of(file, m.start()), "*", "typedef of a %s" % m.group(1)


def check_opening_comment(files):
    """Each file of code opens with what it is for; a C file with its own name."""
    for file in files:
        if file.is_c:
            name = os.path.basename(file.path)
            if not re.match(r"/\* %s - \S" % re.escape(name), file.text):
                yield file.path, 1, "*", "must open with '/* %s - what it is for'" % name
        elif file.path.endswith((".py", ".sh")):
            first = [line for line in file.lines[:3] if not line.startswith("#!")]
            if not first or not first[0].startswith(('"""', "# ")):
                yield file.path, 1, "*", "must open with a comment that says what it is for"


def check_columns(files):
    for file in files:
        if file.path.endswith((".md", ".txt", ".build")) or file.path.startswith("docs/"):
            continue
        for number, line in enumerate(file.lines, 1):
            if len(line) > COLUMNS_MAX:
                yield file.path, number, "*", "%d columns (at most %d)" % (len(line), COLUMNS_MAX)


def check_lengths(files):
    """A file and a function can each be read in one sitting."""
    for file in files:
        if not file.is_c and not file.path.endswith((".py", ".sh")):
            continue
        if len(file.lines) > FILE_LINES_MAX + 1:
            yield file.path, 1, "*", "%d lines (at most %d)" % (len(file.lines) - 1, FILE_LINES_MAX)
        begin = None
        for number, line in enumerate(file.code.split("\n") if file.is_c else [], 1):
            if line.rstrip() == "{":
                begin = number
            elif line.rstrip() == "}" and begin:
                if number - begin - 1 > FUNCTION_LINES_MAX:
                    yield file.path, begin, "*", "a function of %d lines (at most %d)" % (
                        number - begin - 1, FUNCTION_LINES_MAX)
                begin = None


def check_unfinished(files):
    for file in files:
        for number, line in enumerate(file.lines, 1):
            m = UNFINISHED.search(line)
            if m:
                yield file.path, number, "*", "%s: finish it or file an issue" % m.group(1)


def check_whitespace(files):
    for file in files:
        if file.raw and not file.raw.endswith(b"\n"):
            yield file.path, len(file.lines), "*", "no newline at the end"
        if file.raw.endswith(b"\n\n"):
            yield file.path, len(file.lines), "*", "empty lines at the end"
        for number, line in enumerate(file.lines, 1):
            if line.endswith("\r"):
                yield file.path, number, "*", "carriage return"
            elif line != line.rstrip():
                yield file.path, number, "*", "blanks at the end of the line"
            if "\t" in line:
                yield file.path, number, "*", "tab"


def check_skips(files):
    """tests/skips.txt: 'name | reason', sorted, each once."""
    for file in files:
        if file.path != "tests/skips.txt":
            continue
        names = []
        for number, line in enumerate(file.lines, 1):
            if not line or line.startswith("#"):
                continue
            m = re.match(r"(\S+) \| (\S.{9,})$", line)
            if not m:
                yield file.path, number, "*", "must read 'test name | the reason in a few words'"
            else:
                names.append((m.group(1), number))
        for (a, _), (b, number) in zip(names, names[1:]):
            if a >= b:
                yield file.path, number, "*", "'%s' is out of order or twice" % b


CHECKS = {
    "layers": check_layers,
    "seam": check_seam,
    "banned": check_banned,
    "goto": check_goto,
    "thread-locals": check_thread_locals,
    "typedefs": check_typedefs,
    "opening-comment": check_opening_comment,
    "columns": check_columns,
    "lengths": check_lengths,
    "unfinished": check_unfinished,
    "whitespace": check_whitespace,
    "skips": check_skips,
}


def run(files, name, allowed):
    """What a check finds, without what @allowed excuses, and what is excused for nothing."""
    rows = [row for row in allowed if row[0] == name]
    used = set()
    for path, number, what, text in CHECKS[name](files):
        excuses = [r for r in rows if source.matches(path, r[1]) and r[2] in ("*", what)]
        used.update(excuses)
        if not excuses:
            yield "%s:%d: %s" % (path, number, text)
    for row in rows:
        if row not in used:
            yield "tests/tidy/rules.py:1: nothing needs this exception any more: %r" % (row,)


def main(argv):
    if len(argv) != 3 or argv[2] not in list(CHECKS) + ["--list"]:
        sys.stderr.write(__doc__)
        return 2
    if argv[2] == "--list":
        print("\n".join(CHECKS))
        return 0
    found = list(run(source.read_tree(argv[1]), argv[2], rules.ALLOWED))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
