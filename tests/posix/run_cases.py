#!/usr/bin/env python3
"""run_cases.py - system calls on a directory: run_cases.py [--mount DIR] [--seed N] DIR [CASE...]

Without --mount the directory is of any local file system and what only c3fs has is left out: the
cases must pass there too, or the case is wrong. CASE is a part of the name of cases.
"""

import argparse
import os
import sys
import tempfile

import cases_attrs  # noqa: F401
import cases_dirs  # noqa: F401
import cases_files  # noqa: F401
import cases_locks  # noqa: F401
import cases_names  # noqa: F401
import cases_users  # noqa: F401
import cases_virt  # noqa: F401
from harness import Options, run_all


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--mount")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("directory")
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    if os.getuid() != 0:
        print("needs root: other users are tried too")
        return 77
    Options.mount, Options.seed = arguments.mount, arguments.seed
    root = tempfile.mkdtemp(prefix="posix-", dir=os.path.abspath(arguments.directory))
    os.chmod(root, 0o755)
    return run_all(root, arguments.cases)


if __name__ == "__main__":
    sys.exit(main())
