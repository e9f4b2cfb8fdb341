#!/usr/bin/env python3
"""fsck.py - a sound cluster has no findings; damage made on purpose is found and named.

In the store: an edited dump is loaded. Chunks of no inode: the store is put back to an earlier
time. What may be repaired is repaired.
"""
# test: quick, 150 s
import json
import os
import re
import shutil
import signal
import struct

from attack_ports import crc32c
from cluster import TEST_DIR, Cluster, fail, wait_until

HEADER, BLOCK = struct.Struct("<8sIIQII"), struct.Struct("<IIII")


def read_dump(path):
    """{key: value} of a dump, as src/kv/kv_format.h has it."""
    with open(path, "rb") as f:
        data = f.read()
    at, pairs = HEADER.size, {}
    while True:
        size, count, _, _ = BLOCK.unpack_from(data, at)
        at += BLOCK.size
        if count == 0:
            return pairs
        end = at + size
        while at < end:
            key_size, value_size = struct.unpack_from("<HI", data, at)
            key = data[at + 6:at + 6 + key_size]
            pairs[key] = data[at + 6 + key_size:at + 6 + key_size + value_size]
            at += 6 + key_size + value_size


def write_dump(path, pairs):
    def block(payload, count):
        head = struct.pack("<III", len(payload), count, crc32c(payload))
        return head + struct.pack("<I", crc32c(head)) + payload
    payload = b"".join(struct.pack("<HI", len(k), len(v)) + k + v for k, v in sorted(pairs.items()))
    head = struct.pack("<8sIIQI", b"C3FSKVB1", 1, 0, 0, 0)
    with open(path, "wb") as f:
        f.write(head + struct.pack("<I", crc32c(head)) + block(payload, len(pairs)) +
                block(struct.pack("<QQ", len(pairs), len(payload)), 0))


def key(prefix, number, rest=b""):
    return prefix + struct.pack(">Q", number) + rest


def record(*fields):
    body = b"".join(fields)
    return struct.pack("<I", len(body)) + body


def inode_of(c, path):
    return int(c.json("stat " + path)["Inode"], 16)


def load(c, dump):
    """The cluster goes on with that dump as its store."""
    c.down()
    shutil.rmtree(c.dir + "/kv")
    c.admin("meta load " + dump)
    c.up()
    wait_until(60, "the chains serve", c.chains_serve)


def fsck(c, words="", status=0):
    """What it found, {class: [row]}, and the summary."""
    got = c.json("fsck " + words, status=status)
    classes = {}
    for row in got["Findings"]:
        classes.setdefault(row["Class"], []).append(row)
    return classes, got["Summary"]


def sound(c):
    classes, summary = fsck(c, status=None)
    if classes or summary["Findings"] != "0":
        fail("not sound: %s %s" % (classes, summary))
    return summary


def test_sound(c):
    c.admin("mkdir -p /d/s; create /d/f; create /d/g; write-file /d/f --value 1 --length 5MB; "
            "write-file /d/g --value 2 --length 10; mkdir /d/wide --chunk-size 64KB; "
            "create /d/wide/w; write-file /d/wide/w --value 3 --length 300KB; "
            "create /d/gone; write-file /d/gone --value 3 --length 3MB; rm /d/gone; "
            "mkdir -p /t/a/b; create /t/a/b/f; rm -r /t; create /d/h; mkdir /d/o")
    summary = wait_until(20, "what was removed is collected", lambda: (
        lambda s: s if s["Chunks"] == "11" else None)(sound(c)))
    if summary["Replicas"] != "33" or summary["Targets"] != "30" or summary["Entries"] != "8" or \
            summary["IncompleteChains"] != "0":
        fail("fsck counts: %s" % summary)
    text = c.admin("fsck")
    if not re.match(r"Inodes +10\nEntries +8\nSessions +0\nChunks +11\nReplicas +33\n", text):
        fail("fsck prints: %s" % text)
    if "Chunks" in c.admin("fsck --tree-only"):
        fail("fsck --tree-only looks at chunks")


def test_tree(c):
    dump = os.path.join(TEST_DIR, "sound.kv")
    c.admin("meta dump " + dump)
    pairs = read_dump(dump)
    directory, gone, open_by_nobody = (inode_of(c, p) for p in ("/d", "/d/h", "/d/f"))
    orphan, other = inode_of(c, "/d/o"), inode_of(c, "/d/s")
    bad = dict(pairs)
    del bad[key(b"INOD", gone)]
    del bad[key(b"DENT", directory, b"o")]
    bad[key(b"DSUB", other)] = b"\1" + record(struct.pack("<I", 9))
    bad[key(b"XATR", 0x999999, b"user.x")] = b"v"
    client = record(struct.pack("<QQ", 1, 2))
    session = b"\1" + record(client, struct.pack("<qB", 10**18, 1))
    bad[key(b"INOS", 0x999999, b"s" * 16)] = session
    bad[key(b"INOS", open_by_nobody, b"s" * 16)] = session
    path = os.path.join(TEST_DIR, "bad.kv")
    write_dump(path, bad)
    load(c, path)
    want = {"dangling-dentry": "0x%x/h" % directory, "orphan-inode": "0x%x" % orphan,
            "wrong-subdirectory-count": "0x%x" % other, "xattr-of-nothing": "0x999999/user.x",
            "session-of-nothing": "0x999999"}

    def found():
        classes, _ = fsck(c, status=1)
        for name, where in want.items():
            if where not in [row["Where"] for row in classes.pop(name, [])]:
                fail("%s of %s is not found: %s" % (name, where, classes))
        classes.pop("wrong-subdirectory-count", None)  # /d has lost one
        return classes
    # who is gone is known when the new cluster manager has heard of everybody
    classes = wait_until(60, "the session of nobody is found", found)
    if list(classes) != ["session-of-nobody"] or \
            classes["session-of-nobody"][0]["Where"] != "0x%x" % open_by_nobody:
        fail("found besides: %s" % classes)
    rows = fsck(c, "--repair", status=1)[0]["session-of-nobody"]
    if "wait for their session.grace" not in rows[0]["Done"]:
        fail("fsck --repair does not say what becomes of a session: %s" % rows)
    lines = c.admin("fsck --tree-only", status=1).split("\n")
    if not re.match(r"Class +Where +What +Done$", lines[0]):
        fail("fsck prints: %s" % lines)
    load(c, dump)
    sound(c)


def test_orphans(c):
    dump = os.path.join(TEST_DIR, "early.kv")
    c.admin("meta dump " + dump)
    c.admin("create /small; write-file /small --value 1 --length 2MB")
    later = inode_of(c, "/small")
    load(c, dump)
    classes, _ = fsck(c, status=1)
    if list(classes) != ["orphan-chunk"] or len(classes["orphan-chunk"]) != 2 or any(
            not row["Where"].endswith("inode 0x%x" % later) for row in classes["orphan-chunk"]):
        fail("chunks of no inode: %s" % classes)
    c.admin("create /new")
    if inode_of(c, "/new") < later + (1 << 31):
        fail("a new file may get the id of one that the dump does not know")
    c.admin("write-file /new --value 7 --length 100KB; checksum /new")
    classes, summary = fsck(c, "--repair")
    if [row["Done"] for row in classes["orphan-chunk"]] != ["1 removed"] * 2 or \
            summary["Repaired"] != "2":
        fail("fsck --repair: %s" % classes)
    if sound(c)["Chunks"] != "12":
        fail("fsck --repair removed other chunks")
    # most of what is there: that may be the wrong store
    c.admin("create /much; write-file /much --value 1 --length 20MB")
    load(c, dump)
    classes, _ = fsck(c, "--repair", status=1)
    if any("--force removes them" not in row["Done"] for row in classes["orphan-chunk"]):
        fail("fsck --repair removes nearly everything: %s" % classes)
    fsck(c, "--repair --force")
    sound(c)
    c.admin("checksum /d/f /d/g /d/wide/w")


def test_misplaced(c):
    """A chain table of an edited store puts chunks elsewhere."""
    c.admin("rm -r /small /new /much", status=None)
    dump, path = os.path.join(TEST_DIR, "placed.kv"), os.path.join(TEST_DIR, "misplaced.kv")
    c.admin("meta dump " + dump)
    chains = [int(row["ChainId"]) for row in c.json("list-chains -t 1")]
    listed = struct.pack("<%dI" % len(chains), *chains)
    turned = struct.pack("<%dI" % len(chains), *(chains[1:] + chains[:1]))
    pairs = read_dump(dump)
    tables = [k for k, v in pairs.items() if listed in v]
    if len(tables) != 1:
        fail("not one chain table in the dump: %s" % tables)
    write_dump(path, {k: v.replace(listed, turned) if k in tables else v for k, v in pairs.items()})
    load(c, path)
    classes, summary = fsck(c, status=1)
    rows = classes.pop("misplaced-chunk", [])
    inode = "inode 0x%x" % inode_of(c, "/d/f")
    if classes or not rows or inode not in " ".join(row["Where"] for row in rows) or \
            any("which the inode's layout has elsewhere" not in row["What"] for row in rows):
        fail("chunks in the wrong place: %s, besides %s, %s" % (rows, classes, summary))
    load(c, dump)
    sound(c)


def test_unreadable(c):
    """A storage that does not answer, and that still counts as serving."""
    pid = c.pid("storage-1003")
    c.admin("list-nodes")
    os.kill(pid, signal.SIGSTOP)
    try:
        got = json.loads(c.admin("--json", "--config.timeout=300ms", "fsck", status=1))
    finally:
        os.kill(pid, signal.SIGCONT)
    rows = [r for r in got["Findings"] if r["Class"] == "unreadable-target"]
    if not rows or any(not r["Where"].endswith(", node 1003") for r in rows):
        fail("a storage that hangs: %s" % got)
    wait_until(60, "the chains serve again", c.chains_serve)
    wait_until(60, "all is sound again", lambda: fsck(c, status=None)[1]["Findings"] == "0")


def main():
    # who is gone is known soon, and the services leave that session to fsck
    env = dict(os.environ, C3FS_SESSION_TIMEOUT="3s", C3FS_SESSION_GRACE="1h")
    with Cluster(env=env) as c:
        test_sound(c)
        test_tree(c)
        test_orphans(c)
        test_misplaced(c)
        test_unreadable(c)


if __name__ == "__main__":
    main()
