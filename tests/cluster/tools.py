#!/usr/bin/env python3
"""tools.py - commands of the admin tool on chains, configurations, trees, holes, benches; a dump of
the store that is loaded into an empty one, and the cluster reads the same files.
"""
# test: quick, 120 s
import hashlib
import os
import re
import shutil

from cluster import C3FS, TEST_DIR, Cluster, fail, run, wait_until


def local(name, text):
    path = os.path.join(TEST_DIR, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def same(got, want, *masks):
    for pattern, word in masks:
        got = re.sub(pattern, word, got)
    got = "\n".join(re.sub("  +", "  ", line).rstrip() for line in got.strip("\n").split("\n"))
    want = "\n".join(re.sub("  +", "  ", line).rstrip() for line in want.strip("\n").split("\n"))
    if got != want:
        fail("printed:\n%s\nwanted:\n%s" % (got, want))


def test_cluster_commands(c):
    same(c.admin("drop-user-cache --all; drop-user-cache -u 7"), 2 * """\
NodeId  Status  Desc
101  Succeed
102  Succeed
""")
    c.admin("drop-user-cache", status=2)
    same(c.admin("refresh-routing-info -f; refresh-routing-info"), "")
    prefix = os.path.join(TEST_DIR, "chains")
    same(c.admin("dump-chains " + prefix), "Dump 10 chains to %s.3 succeeded" % prefix)
    with open(prefix + ".3", encoding="utf-8") as f:
        rows = f.read().split("\n")
    chain = c.json("list-chains")[0]
    if rows[0] != "ChainId,TargetId,TargetId,TargetId" or len(rows) != 12 or \
            not rows[1].startswith(chain["ChainId"] + ","):
        fail("dump-chains: %s" % rows)
    same(c.admin("upload-chains %s.3" % prefix), "Upload 10 chains succeeded")


def test_verify_config(c):
    hot = local("hot.toml", "[gc]\nconcurrency = 99\n")
    same(c.admin("verify-config -t META -f " + hot),
         "total=2 verify_cold_changed=2 verify_cold_failed=0 verify_hot_changed=2 "
         "verify_hot_failed=0")
    same(c.admin("verify-config -t META --verbose -f " + hot),
         "NodeId  Cold Start  Hot Update\n101  Changed  Changed\n102  Changed  Changed")
    empty = local("empty.toml", "")
    same(c.admin("verify-config -t MGMTD --verbose -f " + empty),
         "NodeId  Cold Start  Hot Update\n1  Unchanged  Unchanged")
    # what only a start takes over, and what no node may take
    cold = local("cold.toml", '[capability]\nlifetime = "2h"\n')
    row, = c.json("verify-config -t MGMTD --verbose -f " + cold)
    if row["Cold Start"] != "Changed" or "cannot change while running" not in row["Hot Update"]:
        fail("verify-config of a cold key: %s" % row)
    same(c.admin("verify-config -t STORAGE -f " + hot, status=1),
         "total=5 verify_cold_changed=0 verify_cold_failed=5 verify_hot_changed=0 "
         "verify_hot_failed=5")
    if "concurrency = 99" in c.admin("get-config -n 101"):
        fail("verify-config changed a setting")


def test_chown(c):
    c.admin("mkdir -p /t/a/b; create /t/f; create /t/a/b/g; ln f /t/link; create /t/own; "
            "set-perm /t/own -u 7 -g 8")
    same(c.admin("recursive-chown /t 7 8"), """\
listTasks 3
listTasksFailed 0
chownTasks 6
chownTasksFailed 0""", (" +", " "))
    for path in ("/t", "/t/a", "/t/a/b", "/t/f", "/t/a/b/g", "/t/link"):
        inode = c.json("stat " + path)
        if (inode["Uid"], inode["Gid"]) != ("7", "8"):
            fail("%s was not given away: %s" % (path, inode))
    if c.json("recursive-chown /t 7 8")["chownTasks"] != "0":
        fail("what has the owner already is changed again")
    same(c.admin("recursive-chown /nope 1 1", status=1).split("\n")[0],
         "Encounter error: 3000(NotFound)")


def test_fill(c):
    """A file of 4 chunks: the first is short, the next two are missing."""
    c.admin("create /h; write-file /h --value 1 --length 10; "
            "write-file /h --value 1 --offset 3MB --length 10 --notTruncate")
    want = c.admin("checksum --md5 /h")
    same(c.admin("fill-zero /h --dry-run --verbose"), """\
chunk 0 of chain <c> is too short
chunk 1 of chain <c> is missing
chunk 2 of chain <c> is missing
Chunks 4
Missing 2
Short 1
Filled 0""", (r"9001000\d\d", "<c>"), (" +", " "))
    if c.json("fill-zero /h") != {"Chunks": "4", "Missing": "2", "Short": "1", "Filled": "3"} or \
            c.json("fill-zero /h") != {"Chunks": "4", "Missing": "0", "Short": "0", "Filled": "0"}:
        fail("fill-zero did not fill what it found")
    if c.admin("checksum --md5 /h") != want:
        fail("fill-zero changed the file")


def test_bench(c):
    c.admin("mkdir /b")
    done = c.json("bench /b --rank 5 --seconds 1 --size 3000001 --coroutines 2")
    if int(done["Rounds"]) < 2 or done["Mismatches"] != "0" or \
            int(done["BytesRead"]) != 2 * int(done["BytesWritten"]):
        fail("bench: %s" % done)
    same(c.admin("ls -s /b"), "005.000  File  <i>  <t>  3000001@0  0644\n"
         "005.001  File  <i>  <t>  3000001@0  0644", (r"0x\w+", "<i>"),
         (r"\d+-\d+-\d+ \d+:\d+:\d+", "<t>"))
    text = c.admin("read-bench /b --seconds 2 --iodepth 32 --threads 2 --bs 64KB")
    if not re.match(r"read [\d.]+ MiB/s, \d+ IOPS\n", text) or "\nIOs " not in text:
        fail("read-bench: %s" % text)
    if int(c.json("read-bench /b --write --seconds 1 --iodepth 4 --threads 1")["IOs"]) < 1:
        fail("read-bench --write did nothing")
    c.admin("checksum /b/005.000 /b/005.001")  # replicas are equal
    c.admin("bench /b --rank 5 --seconds 1 --size 3000001 --coroutines 2 --remove")
    same(c.admin("ls /b"), "")
    c.admin("read-bench /b", status=1)
    c.admin("bench /h", status=1)


def test_dump(c):
    """From nothing: a new store, the same storages' data."""
    source = local("source", "x" * 2500000)
    c.admin("mkdir -p /keep/d; create /keep/d/f; write-file /keep/d/f -i " + source)
    c.admin("user-add 1000 joe")
    sum_before = c.admin("checksum --md5 /keep/d/f /h")
    tree = c.admin("ls -s /keep; ls -s /keep/d; ls -s /t; user-list; list-chain-tables")
    dump = os.path.join(TEST_DIR, "dump.kv")
    text = c.admin("meta dump " + dump)
    if "succeeded" not in text or os.stat(dump).st_mode & 0o777 != 0o600:
        fail("meta dump: %s" % text)
    same(c.admin("meta load " + dump, status=1).split("\n")[0], "Encounter error: 3007(Exists)")
    c.admin("create /keep/later")  # after the snapshot: not in it
    c.down()
    store = c.dir + "/kv"
    shutil.move(store, store + ".lost")

    def admin(words, status=0):
        return run(C3FS, "admin", "-cfg", c.dir + "/etc/admin_cli.toml", words, status=status)
    with open(dump, "rb") as f:
        whole = f.read()
    for name, bad in (("cut", whole[:-20]), ("flipped", whole[:200] + b"\0\xff" + whole[202:]),
                      ("other", b"something else" * 100), ("none", b"")):
        path = os.path.join(TEST_DIR, name)
        with open(path, "wb") as f:
            f.write(bad)
        if "meta load from %s: " % path not in admin("meta load " + path, status=1):
            fail("a bad dump, %s, is loaded" % name)
    if "succeeded" not in admin("meta load " + dump):
        fail("meta load")
    c.up()
    wait_until(60, "the chains serve", c.chains_serve)
    if c.admin("checksum --md5 /keep/d/f /h") != sum_before or \
            hashlib.md5(b"x" * 2500000).hexdigest() not in sum_before:
        fail("the files read otherwise")
    now = c.admin("ls -s /keep; ls -s /keep/d; ls -s /t; user-list; list-chain-tables")
    if now != tree:
        fail("before:\n%s\nafter:\n%s" % (tree, now))
    c.admin("create /keep/new; write-file /keep/new --value 3 --length 2MB; checksum /keep/new")


def main():
    with Cluster() as c:
        test_cluster_commands(c)
        test_verify_config(c)
        test_chown(c)
        test_fill(c)
        test_bench(c)
        test_dump(c)


if __name__ == "__main__":
    main()
