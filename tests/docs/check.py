#!/usr/bin/env python3
"""check.py - docs/configuration.md is what the program makes of its tables now, has a row for every
key that each role prints, and the shipped files are short and valid.

    check.py C3FS SOURCE_DIRECTORY
"""
import os
import re
import subprocess
import sys

ROLES = {"mgmtd": "mgmtd_main", "meta": "meta_main", "storage": "storage_main",
         "fuse": "hf3fs_fuse_main"}
LINES_MAX = 15


def say(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=True).stdout


def keys_of(text):
    section = ""
    for line in text.split("\n"):
        if re.match(r"\[.+\]$", line):
            section = line[1:-1] + "."
        m = re.match(r"(\w+) = ", line)
        if m:
            yield section + m.group(1)


def shipped_files(binary, source):
    """(problem) of the files that the image has in /opt/3fs/etc."""
    folder = os.path.join(source, "deploy", "image", "etc")
    for role, name in ROLES.items():
        path = os.path.join(folder, name + ".toml")
        with open(path, encoding="utf-8") as f:
            count = len(f.readlines())
        if count > LINES_MAX:
            yield "%s has %d lines" % (path, count)
        done = subprocess.run([binary, role, "--cfg", path, "--check"], capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            yield done.stderr.strip()


def main():
    binary, source = sys.argv[1:]
    made = say(binary, "config-docs")
    with open(os.path.join(source, "docs", "configuration.md"), encoding="utf-8") as f:
        problems = [] if f.read() == made else [
            "docs/configuration.md is out of date: c3fs config-docs > docs/configuration.md"]
    for role in [*ROLES, "bootstrap"]:
        keys = list(keys_of(say(binary, role, "--print-config")))
        if len(keys) < 8:
            problems.append("%s has only %s" % (role, keys))
        problems += ["%s of %s is missing" % (k, role) for k in keys if "| `%s` |" % k not in made]
    for key in keys_of(say(binary, "admin", "--cfg", "/dev/null", "--dump-cfg")):
        if "| `%s` |" % key not in made:
            problems.append("%s of admin is missing" % key)
    problems += shipped_files(binary, source)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
