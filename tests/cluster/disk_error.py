#!/usr/bin/env python3
"""disk_error.py - faults by command on running services: a replica that cannot read, a disk that
fails under a living process and is taken into use again; refused where settings do not allow it.
"""
# test: quick, 120 s
import hashlib
import os

from cluster import TEST_DIR, Cluster, fail, wait_until


def write(c, name, size=10 << 20):
    data = os.urandom(size)
    path = os.path.join(TEST_DIR, name)
    with open(path, "wb") as f:
        f.write(data)
    c.admin("create /%s; write-file /%s -i %s" % (name, name, path))
    return hashlib.md5(data).hexdigest()


def check(c, name, md5):
    copy = os.path.join(TEST_DIR, "copy")
    if "md5 " + md5 not in c.admin("read-file /%s -o %s" % (name, copy)):
        fail("read-file of /%s showed other bytes" % name)


def point(c, node, name):
    found = [p for p in c.json("fault -n %s list" % node) if p["Point"] == name]
    return found[0] if found else {"Hits": "0", "Rules": ""}


def disk_states(c):
    return {d["NodeId"]: d["State"] for d in c.json("list-disks")}


def failed_reads(c, md5):
    """Reads go to other replicas at once; a rule counts down and is gone."""
    name = "storage.read.before_disk"
    c.admin("fault -n 1001 add %s fail --error 4010" % name)
    if point(c, 1001, name)["Rules"] != "fail ChunkReadFailed":
        fail("the rule: %s" % point(c, 1001, name))
    for _ in range(4):
        check(c, "first", md5)
    if point(c, 1001, name)["Hits"] == "0":
        fail("nobody has come by %s" % name)
    c.admin("fault -n 1001 clear %s" % name)
    if point(c, 1001, name)["Rules"]:
        fail("not cleared: %s" % point(c, 1001, name))


def full_file_system(c, md5):
    """No room for the journal, because of other programs: the disk comes back by itself."""
    before = c.json("get-metrics -n 1003 -p storage.disks_failed")
    c.admin("fault -n 1003 add storage.units.before_sync fail --error 7021 --count 1")
    fourth = write(c, "fourth")
    wait_until(30, "the disk of 1003 fails", lambda: c.json(
        "get-metrics -n 1003 -p storage.disks_failed") != before)
    wait_until(60, "the disk of 1003 is good again", lambda: disk_states(c)["1003"] == "OK")
    wait_until(60, "all chains serve again", c.chains_serve)
    check(c, "first", md5)
    check(c, "fourth", fourth)
    c.admin("checksum /fourth")


def failed_disk(c, md5):
    pid = c.pid("storage-1002")
    c.admin("fault -n 1002 add storage.units.before_sync fail --error 4011 --count 1")
    second = write(c, "second")
    wait_until(30, "the disk of 1002 fails", lambda: disk_states(c)["1002"] == "FAILED")
    wait_until(30, "the chains go on without it", lambda: all(
        t["LocalState"] == "OFFLINE" for t in c.json("list-targets") if t["NodeId"] == "1002"))
    check(c, "first", md5)
    check(c, "second", second)
    third = write(c, "third")
    if c.pid("storage-1002") != pid:
        fail("storage-1002 is another process")
    c.admin("create-targets --node-id 1002 --disk-index 0 --allow-existing-target")
    wait_until(60, "all chains serve again", c.chains_serve)
    if c.pid("storage-1002") != pid or disk_states(c)["1002"] != "OK":
        fail("not the same process with a good disk: %s" % disk_states(c))
    for name, sum_ in (("first", md5), ("second", second), ("third", third)):
        c.admin("checksum /" + name)
        check(c, name, sum_)


def main():
    with Cluster(env=dict(os.environ, C3FS_FAULT_INJECTION="true")) as c:
        md5 = write(c, "first")
        failed_reads(c, md5)
        failed_disk(c, md5)
        full_file_system(c, md5)
        c.down()
        c.env = None
        c.up()
        wait_until(60, "all chains serve again", c.chains_serve)
        text = c.admin("fault -n 1001 add storage.read.before_disk fail", status=1)
        if "storage-1001 takes no faults: its setting fault_injection is false" not in text:
            fail("not refused clearly: %s" % text)
        check(c, "first", md5)


if __name__ == "__main__":
    main()
