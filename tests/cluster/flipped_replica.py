#!/usr/bin/env python3
"""flipped_replica.py - one byte of a replica is flipped on its disk: while the storage is kept from
repairing it, checksum names that target and no other, reads go on from the others, and the damaged
bytes are never shown; then it is repaired.
"""
# test: quick, 120 s
import glob
import hashlib
import mmap
import os

from cluster import TEST_DIR, Cluster, fail, wait_until


def find_copies(c, node, pattern):
    """(file, offset) of the pattern in the unit files of a storage."""
    for path in glob.glob("%s/storage-%s/**" % (c.dir, node), recursive=True):
        if not os.path.isfile(path) or os.path.getsize(path) < len(pattern):
            continue
        with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
            at = m.find(pattern)
            if at >= 0:
                yield path, at


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 0x10]))
        f.flush()
        os.fsync(f.fileno())


def damage(c, name, chunk, replica):
    """Flips a byte of a chunk on the replica in that position; its target and node."""
    data = os.urandom(4 << 20)
    path = os.path.join(TEST_DIR, name)
    with open(path, "wb") as f:
        f.write(data)
    c.admin("create /%s; write-file /%s -i %s" % (name, name, path))
    chunks = c.json("stat --display-all-chunks /" + name)["Chunks"]
    members = [x for x in chunks if x["Chunk"] == str(chunk)]
    if len(members) != 3:
        fail("chunk %d of /%s has not three replicas: %s" % (chunk, name, chunks))
    target = members[replica]["TargetId"]
    node = {t["TargetId"]: t["NodeId"] for t in c.json("list-targets")}[target]
    at = (chunk << 20) + 300000
    copies = list(find_copies(c, node, data[at:at + 4096]))
    if len(copies) != 1:
        fail("storage-%s has %d copies of the piece, not 1" % (node, len(copies)))
    flip(copies[0][0], copies[0][1] + 123)
    return data, target, node, [m["TargetId"] for m in members if m["TargetId"] != target]


def main():
    with Cluster(env=dict(os.environ, C3FS_FAULT_INJECTION="true")) as c:
        storages = [name.split("-")[1] for name in c.children() if name.startswith("storage-")]
        for replica, chunk in ((0, 0), (1, 2), (2, 3)):
            name = "f%d" % replica
            for storage in storages:
                c.admin("fault -n %s add storage.repair.before_stage fail" % storage)
            data, target, node, others = damage(c, name, chunk, replica)
            text = c.admin("checksum /" + name, status=1)
            line = "/%s: chunk %d of chain " % (name, chunk)
            if line not in text or ": target %s on node %s " % (target, node) not in text:
                fail("checksum does not name target %s on node %s: %s" % (target, node, text))
            if any(other in text for other in others) or "1 replicas of chunks" not in text:
                fail("checksum blames a good replica: %s" % text)
            md5 = hashlib.md5(data).hexdigest()
            copy = os.path.join(TEST_DIR, "copy")
            for _ in range(6):  # spread over the replicas
                if "md5 " + md5 not in c.admin("read-file /%s -o %s" % (name, copy)):
                    fail("read-file showed other bytes")
            good = [m for m in range(3) if m != replica]
            for mode in good:
                if "md5 " + md5 not in c.admin("read-file /%s --mode %d" % (name, mode)):
                    fail("a good replica showed other bytes")
            for storage in storages:
                c.admin("fault -n %s clear" % storage)
            wait_until(30, "target %s is repaired" % target, lambda: "replicas of chunks" not in
                       c.admin("checksum /%s" % name, status=None))
        if c.json("list-chains", status=0) is None:
            fail("the cluster does not answer")


if __name__ == "__main__":
    main()
