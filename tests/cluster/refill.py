#!/usr/bin/env python3
"""refill.py - how fast an empty disk is filled by resync, against what the disk does by itself: the
same bytes written by fio, before and after, in the same run.

The full replica is in memory, so that the disk has nothing to do but to be filled.
"""
# test: soak, 900 s
import contextlib
import glob
import json
import os
import re
import statistics
import time

from cluster import TEST_DIR, Cluster, fail, run, wait_until

MIB = 1 << 20
FILE_COUNT, FILE_BYTES = 8, 128 * MIB


def raw_write_seconds(size):
    """The bytes in pieces of a chunk, many at a time, past the page cache, synced in the end."""
    path = os.path.join(TEST_DIR, "raw")
    text = run("fio", "--name=raw", "--filename=" + path, "--rw=write", "--bs=1M", "--direct=1",
               "--ioengine=libaio", "--iodepth=16", "--end_fsync=1", "--size=%d" % size,
               "--output-format=json")
    os.unlink(path)
    return json.loads(text)["jobs"][0]["job_runtime"] / 1000


def fill_files(c):
    path = os.path.join(TEST_DIR, "data")
    for i in range(FILE_COUNT):
        with open(path, "wb") as f:
            for _ in range(FILE_BYTES // MIB):
                f.write(os.urandom(MIB))
        c.admin("create /f%d; write-file /f%d -i %s" % (i, i, path))
    os.unlink(path)


def sent_bytes(c):
    metrics = c.json("get-metrics -n 1001 --prefix storage.resync_bytes")
    return sum(int(m["Value"]) for m in metrics)


def filled_lines(c):
    with open(glob.glob(c.dir + "/log/storage-1001.log")[0], encoding="utf-8") as f:
        return re.findall(r"is filled: (\d+) chunks, (\d+) bytes sent", f.read())


def cpu_seconds(c, name):
    """Of a service so far: says what an idle machine would do, however busy this one is."""
    with open("/proc/%d/stat" % c.pid(name), encoding="utf-8") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def memory_mounted(path):
    os.makedirs(path)
    run("mount", "-t", "tmpfs", "-o", "size=%d" % (3 * FILE_COUNT * FILE_BYTES), "refill", path)
    try:
        yield
    finally:
        run("umount", path)


def main():
    with memory_mounted(os.path.join(TEST_DIR, "cluster", "storage-1001")), \
            Cluster("--storages", "2", "--replicas", "2") as c:
        fill_files(c)
        raw = [raw_write_seconds(FILE_COUNT * FILE_BYTES)]
        for t in c.json("list-targets"):
            if t["NodeId"] == "1002":
                c.admin("offline-target --target-id %s" % t["TargetId"])
        wait_until(30, "the chains go on without 1002", lambda: all(
            t["PublicState"] == "OFFLINE" for t in c.json("list-targets") if t["NodeId"] == "1002"))
        for t in c.json("list-targets"):
            if t["NodeId"] == "1002":
                c.admin("remove-target --target-id %s --force" % t["TargetId"])
        c.admin("create-targets --node-id 1002 --disk-index 0")
        wait_until(60, "the first bytes are sent", lambda: sent_bytes(c) > 0)
        names = ("storage-1001", "storage-1002")
        began, before = time.monotonic(), sent_bytes(c)
        cpu = [cpu_seconds(c, name) for name in names]
        wait_until(600, "all chains serve again", c.chains_serve)
        took, moved = time.monotonic() - began, sent_bytes(c) - before
        cpu = [cpu_seconds(c, name) - at for name, at in zip(names, cpu)]
        raw.append(raw_write_seconds(FILE_COUNT * FILE_BYTES))
        if sum(int(size) for _, size in filled_lines(c)) < FILE_COUNT * FILE_BYTES:
            fail("not all was sent: %s" % filled_lines(c))
        for i in range(FILE_COUNT):
            c.admin("checksum /f%d" % i)
        raw_speed = FILE_COUNT * FILE_BYTES / statistics.median(raw)
        print("filled at %.0f MiB/s, raw %.0f MiB/s (%s s): %.2f of it" %
              (moved / took / MIB, raw_speed / MIB, raw, moved / took / raw_speed))
        print("CPU a GiB: %.2f s of the sender, %.2f s of the receiver; load %.1f" %
              (cpu[0] * 1024 * MIB / moved, cpu[1] * 1024 * MIB / moved, os.getloadavg()[0]))


if __name__ == "__main__":
    main()
