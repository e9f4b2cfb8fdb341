#!/usr/bin/env python3
"""check.py - holds the manual pages against the program: every role and command has one, every
command, option and key is in it, and troff has nothing to say against it.

    check.py C3FS PAGE...
"""

import os
import re
import shutil
import subprocess
import sys


def say(binary, *words):
    return subprocess.run([binary, *words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=True).stdout


def main():
    binary, pages = sys.argv[1], {os.path.basename(p): p for p in sys.argv[2:]}
    problems = []
    content = {}
    for name, path in pages.items():
        with open(path, encoding="utf-8") as f:
            content[name] = f.read().replace("\\-", "-").replace("\\(aq", "'")
        for part in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"):
            if ".SH %s\n" % part not in content[name]:
                problems.append("%s has no %s" % (name, part))

    def need(page, words):
        problems.extend("%s lacks %s" % (page, w) for w in words if w not in content.get(page, ""))
    listed = re.findall(r"^  (\S+) ", say(binary, "help"), re.MULTILINE)
    need("c3fs.1", [".B %s\n" % name for name in listed])
    for name in ("up", "down", "status"):
        need("c3fs.1", re.findall(r"^  (--[a-z-]+)", say(binary, name, "--help"), re.MULTILINE))
    for role in ("mgmtd", "meta", "storage", "fuse", "bootstrap"):
        keys = re.findall(r"^(\w+) = ", say(binary, role, "--print-config"), re.MULTILINE)
        need("c3fs-%s.8" % role, [key + "\n" for key in keys] + ["--config.KEY", "--check"])
    commands = say(binary, "admin", "--cfg", "/dev/null", "help").strip().split("\n")
    need("c3fs-admin.1", [".B " + line.split()[0] for line in commands])
    if len(commands) < 50:
        problems.append("help lists %d commands" % len(commands))
    if shutil.which("groff"):
        for name, path in pages.items():
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", path], text=True,
                                  capture_output=True, check=False)
            problems.extend("%s: %s" % (name, line) for line in done.stderr.split("\n") if line)
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
