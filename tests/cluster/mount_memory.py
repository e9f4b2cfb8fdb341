#!/usr/bin/env python3
"""mount_memory.py - what a mount keeps in memory for files that were written and closed, which the
kernel remembers: kilobytes each, not a write buffer.
"""
# test: quick, 120 s
import os
import re

from cluster import Cluster, fail

FILE_COUNT, KIB_EACH_MAX = 1000, 16


def data_kib(pid):
    with open("/proc/%d/status" % pid, encoding="utf-8") as f:
        return int(re.search(r"VmData:\s+(\d+) kB", f.read()).group(1))


def write_files(directory, count):
    os.mkdir(directory)
    for i in range(count):
        with open(directory + "/%d" % i, "wb") as f:
            f.write(b"x" * 5000)


def main():
    with Cluster("--storages", "3", mount=True) as c:
        write_files(c.mount + "/first", 50)
        before = data_kib(c.pid("fuse"))
        write_files(c.mount + "/then", FILE_COUNT)
        each = (data_kib(c.pid("fuse")) - before) / FILE_COUNT
        print("%.1f KiB for each file written" % each)
        if each > KIB_EACH_MAX:
            fail("more than %d KiB" % KIB_EACH_MAX)


if __name__ == "__main__":
    main()
