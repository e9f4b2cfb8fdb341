#!/usr/bin/env python3
"""globals.py - what was built: no mutable variable outlives a node, no two modules share a name.

    globals.py BUILD_DIRECTORY     every library of src, and the objects of the c3fs binary
    globals.py FILE...             these objects or archives

A symbol with a size in .data, .bss, .tdata, .tbss or COMMON is a mutable variable, unless rules.py
allows it by name. Constant tables are in .rodata, or in .data.rel.ro where they hold addresses.
A public name that two libraries define would be taken from one or the other as the linker finds it.
"""

import os
import re
import subprocess
import sys

import rules
import source

MUTABLE = re.compile(r"^(\.data(?!\.rel\.ro)|\.bss|\.tdata|\.tbss|\*COM\*|\.lbss|\.ldata)")
# "0000000000000000 l     O .bss  0000000000000008 counter.0"
SYMBOL = re.compile(r"^[0-9a-f]+ .{7} (\S+)\s+([0-9a-f]+)\s+(?:\.hidden |\.protected )?(\S+)$")


def built_files(build):
    for directory, names, file_names in os.walk(build):
        names.sort()
        for name in sorted(file_names):
            path = os.path.join(directory, name)
            in_src = os.path.relpath(directory, build).split(os.sep)[0] == "src"
            if (in_src and name.endswith(".a")) or directory.endswith("/c3fs.p"):
                yield path


def module_of(path):
    """libfiber.a is of module fiber, an object of the binary of main."""
    m = re.match(r"lib(.+)\.a$", os.path.basename(path))
    return m.group(1) if m else "main"


def public_names(path):
    run = subprocess.run(["nm", "--defined-only", "--extern-only", path], check=True,
                         capture_output=True, text=True)
    for line in run.stdout.split("\n"):
        m = re.match(r"^[0-9a-f]+ [A-VX-Z] (\S+)$", line)
        if m:
            yield m.group(1)


def shared_names(paths):
    """Names that are in more than one library of the product; libraries of tests are left out."""
    owners = {}
    for path in paths:
        if path.endswith(".a") and not re.search(r"test|suite", os.path.basename(path)):
            for name in public_names(path):
                owners.setdefault(name, set()).add(os.path.basename(path))
    for name, libraries in sorted(owners.items()):
        if len(libraries) > 1:
            yield name, sorted(libraries)


def mutable_symbols(path):
    run = subprocess.run(["objdump", "-t", path], check=True, capture_output=True, text=True)
    member = os.path.basename(path)
    for line in run.stdout.split("\n"):
        if ":     file format " in line:
            member = os.path.basename(line.split(":")[0])
        m = SYMBOL.match(line)
        if m and MUTABLE.match(m.group(1)) and int(m.group(2), 16) > 0:
            if m.group(3) != m.group(1):
                yield member, m.group(1), m.group(3)


def main(argv):
    if len(argv) == 2 and os.path.isdir(argv[1]):
        paths = [p for p in built_files(argv[1]) if p.endswith((".a", ".o"))]
    else:
        paths = argv[1:]
    if not paths:
        sys.stderr.write(__doc__)
        return 2
    rows = [row for row in rules.ALLOWED if row[0] == "globals"]
    used, bad = set(), 0
    for path in paths:
        for member, section, name in mutable_symbols(path):
            plain = re.sub(r"\.\d+$", "", name)
            excuses = [r for r in rows if source.matches(module_of(path), r[1]) and r[2] == plain]
            used.update(excuses)
            if not excuses:
                print("%s: %s: mutable variable %s in %s" % (path, member, name, section))
                bad += 1
    for name, libraries in shared_names(paths):
        print("%s is defined in %s" % (name, " and ".join(libraries)))
        bad += 1
    for row in rows:
        if row not in used and os.path.isdir(argv[1]):
            print("tests/tidy/rules.py:1: nothing needs this exception any more: %r" % (row,))
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
