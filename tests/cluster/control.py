#!/usr/bin/env python3
"""control.py - users and tokens, client sessions, nodes' tags, configurations (pushed, by hand),
routing beyond 1 MiB, preferred order: against the services of a real cluster.
"""
# test: quick, 240 s
import mmap
import os
import re
import signal
import socket
import subprocess
import time

from cluster import C3FS, TEST_DIR, Cluster, fail, run, wait_until


def local(name, text):
    path = os.path.join(TEST_DIR, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def token_config(c, name, token):
    """The tool as somebody who has a token and nothing else."""
    with open(c.dir + "/etc/admin_cli.toml", encoding="utf-8") as f:
        servers = re.search(r"^mgmtd_server_addresses.*$", f.read(), re.MULTILINE).group(0)
    return local(name + ".toml", 'cluster_id = "default"\ntimeout = "10s"\ntoken_file = "%s"\n'
                 '%s\n' % (local(name + ".token", token + "\n"), servers))


def refused(text, *words):
    for word in words:
        if word not in text:
            fail("'%s' is not in: %s" % (word, text))


# ---- users, tokens ----

def test_users(c):
    with open(c.dir + "/token.txt", encoding="utf-8") as f:
        root = f.read().strip()
    as_root = token_config(c, "root", root)
    joe = c.json("user-add --groups 5,6 1000 joe", config=as_root)
    if (joe["Uid"], joe["Gid"], joe["SupplementaryGids"], joe["IsAdmin"]) != \
            ("1000", "1000", "5, 6", "false"):
        fail("user-add: %s" % joe)
    first = joe["Token"].split("(")[0]
    refused(c.admin("user-add 1000 again", config=as_root, status=1), "3007(Exists)")
    as_joe = token_config(c, "joe", first)
    # what he may: see himself, use the file system; not: manage
    if c.json("user-stat 1000", config=as_joe)["Name"] != "joe":
        fail("a user cannot see himself")
    for words in ("user-stat 0", "user-add 1001 other", "user-set 1000 --admin 1", "user-remove 0",
                  "user-set-token 0 --new", "disable-node 1001", "update-chain 900100001 5 -m add",
                  "set-config -t META -f " + local("empty.toml", ""), "register-node 7 META"):
        refused(c.admin(words, config=as_joe, status=1), "5016(NotAdmin)", "user 1000 is no admin")
    refused(c.admin("mkdir /no", config=as_joe, status=1), "3020(NoAccess)")
    c.admin("mkdir /joe; set-perm /joe -u 1000 -g 1000")
    c.admin("create /joe/f; write-file /joe/f --value 1 --length 100; checksum /joe/f",
            config=as_joe)
    refused(c.admin("--config.user_info.uid=0", "create /joe/root", config=as_joe, status=1),
            "25(AuthenticationFail)")
    # another token; the old one goes on for as long as was said, then it is refused
    second = c.json("user-set-token 1000 --new", config=as_root)["Token"]
    if len(second) != 2 or second[0].split("(")[0] == first or "N/A" not in second[0] or \
            "N/A" in second[1]:
        fail("user-set-token --new: %s" % second)
    c.admin("user-stat 1000", config=as_joe)
    only = c.json("user-set-token 1000 --new --invalidate-existed-tokens", config=as_root)["Token"]
    if not isinstance(only, str):
        fail("older tokens are left: %s" % only)
    refused(c.admin("user-stat 1000", config=as_joe, status=1), "refused the token")
    new_joe = token_config(c, "joe2", only.split("(")[0])
    c.admin("user-stat 1000", config=new_joe)
    shown = only.split("(")[0]
    nearly = shown[:-1] + ("B" if shown[-1] == "A" else "A")
    for wrong in (first, nearly, "garbage", "A" * 24):
        text = c.admin("ls /", config=token_config(c, "wrong", wrong), status=1)
        refused(text, "Encounter error: ", "refused the token")
    # user-switch shows another token from then on
    text = c.admin("user-switch -t %s -u 1000 -g 1000; create /joe/g; ls /joe" %
                   only.split("(")[0])
    refused(text, "Uid     1000", "g  File")
    listed = c.json("user-list", config=as_root)
    if [(u["uid"], u["groups"]) for u in listed] != [(0, []), (1000, [5, 6])]:
        fail("user-list --json: %s" % listed)
    if root in c.admin("user-list", config=new_joe):
        fail("a user sees the token of another one")
    if c.json("user-set 1000 --groups '' --name j --admin 1", config=as_root)["IsAdmin"] != "true":
        fail("user-set")
    c.admin("user-add 1001 other", config=new_joe)  # an admin now
    c.admin("user-remove 1000; user-remove 1001", config=as_root)
    refused(c.admin("ls /", config=new_joe, status=1), "refused the token")
    refused(c.admin("user-stat 1000", config=as_root, status=1), "no such user")


# ---- sessions of clients ----

def test_sessions(c):
    with open(c.dir + "/token.txt", encoding="utf-8") as f:
        as_root = token_config(c, "root", f.read().strip())
    command = [C3FS, "admin", "-cfg", as_root, "--json"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as tool:
        tool.stdin.write("ls /\n")
        tool.stdin.flush()
        tool.stdout.readline()  # it is logged in
        sessions = c.json("list-clients")
        mine = [s for s in sessions if s["Description"] == "admin_cli"]
        if len(mine) != 1 or mine[0]["LastExtend"] == "N/A" or len(mine[0]["ClientId"]) != 32:
            fail("list-clients: %s" % sessions)
        tool.stdin.close()
        tool.stdout.read()
    if [s for s in c.json("list-clients") if s["Description"] == "admin_cli"]:
        fail("the session did not end with the tool")
    with subprocess.Popen(command, **pipes) as tool:
        tool.stdin.write(b"ls /\n")
        tool.stdin.flush()
        tool.stdout.readline()
        tool.send_signal(signal.SIGKILL)
    if len([s for s in c.json("list-clients") if s["Description"] == "admin_cli"]) != 1:
        fail("a killed client's session should last until its time is over")
    wait_until(30, "the killed client's session ends", lambda: not [
        s for s in c.json("list-clients") if s["Description"] == "admin_cli"])


# ---- nodes ----

def status_of(c, node):
    return {n["Id"]: n["Status"] for n in c.json("list-nodes")}.get(node)


def test_nodes(c):
    def tags(words):
        return c.json("set-node-tags -n 1005 " + words)["Tags"]
    if tags("update zone=a rack") != "[rack,zone=a]" or tags("update zone=b") != "[rack,zone=b]":
        fail("set-node-tags update")
    if tags("remove rack") != "[zone=b]" or tags("replace x=1 y=2") != "[x=1,y=2]":
        fail("set-node-tags remove, replace")
    if {n["Id"]: n["Tags"] for n in c.json("list-nodes")}["1005"] != "[x=1,y=2]":
        fail("list-nodes does not show the tags")
    refused(c.admin("set-node-tags -n 1005 remove x=1", status=1), "5011(InvalidTag)")
    refused(c.admin("set-node-tags -n 77 update a", status=1), "5001(NodeNotFound)")
    refused(c.admin("set-node-tags -n 1 update Disable", status=1),
            "the primary cannot be disabled")
    c.admin("set-node-tags -n 1005 remove x y")
    for words in ("set-node-tags update a", "set-node-tags -n 1005 -u here update a"):
        refused(c.admin(words, status=2), "10000(WrongUsage)")

    c.admin("register-node 2001 STORAGE")
    refused(c.admin("register-node 2001 STORAGE", status=1), "5004(RegisterFail)")
    if status_of(c, "2001") != "HEARTBEAT_CONNECTING":
        fail("a registered node is %s" % status_of(c, "2001"))
    refused(c.admin("unregister-node 2001 META", status=1), "5013(NodeTypeMismatch)")
    wait_until(30, "a node that never came has failed",
               lambda: status_of(c, "2001") == "HEARTBEAT_FAILED")
    c.admin("unregister-node 2001 STORAGE")
    if status_of(c, "2001"):
        fail("the node is still listed")
    refused(c.admin("unregister-node 2001 STORAGE", status=1), "5001(NodeNotFound)")
    refused(c.admin("unregister-node 1005 STORAGE", status=1), "must be disabled")

    c.admin("disable-node 1005")
    if status_of(c, "1005") != "DISABLED":
        fail("disable-node: %s" % status_of(c, "1005"))
    wait_until(30, "the targets of a disabled node go offline", lambda: all(
        t["LocalState"] == "OFFLINE" for t in c.json("list-targets") if t["NodeId"] == "1005"))
    refused(c.admin("unregister-node 1005 STORAGE", status=1), "targets of the node are in chains")
    c.admin("enable-node 1005")
    wait_until(30, "the node is back", lambda: status_of(c, "1005") == "HEARTBEAT_CONNECTED")
    wait_until(60, "its targets serve again", c.chains_serve)


# ---- configurations ----

def test_config(c):
    def shown(node):
        return {n["Id"]: n["ConfigVersion"] for n in c.json("list-nodes")}[node]

    def log_of(name):
        with open("%s/log/%s.log" % (c.dir, name), encoding="utf-8") as f:
            return f.read()
    c.admin("set-config -t META -f " + local("m1.toml", '[log]\nlevel = "warn"\n'))
    for node in ("101", "102"):
        wait_until(20, "meta %s takes the configuration" % node,
                   lambda n=node: shown(n) == "1(UPTODATE)")
    before = log_of("meta-101")
    c.admin("set-config -t META -f " + local("m2.toml", '[gc]\nconcurrency = 3\n'))
    wait_until(20, "version 2", lambda: shown("101") == "2(UPTODATE)")
    if log_of("meta-101") != before:
        fail("a meta that logs warnings only tells of its new configuration")
    c.admin("set-config -t META -f " + local("m3.toml", '[log]\nlevel = "info"\n'))
    wait_until(20, "it logs again", lambda: "took over a configuration" in
               log_of("meta-101")[len(before):])
    c.admin("set-config -t STORAGE -f " + local("s1.toml", 'tombstone_age = "5min"\n'))
    wait_until(20, "a key that needs a restart is refused by who runs",
               lambda: shown("1001") == "1(FAILED)")
    refused(log_of("storage-1001"), "is refused: ",
            "key 'tombstone_age' cannot change while running")
    c.admin("set-config -t MGMTD -f " + local("g1.toml", '[log]\nlevel = "info"\n'))
    wait_until(5, "the primary shows its own", lambda: shown("1") == "1(UPTODATE)")
    for kind, text, words in (
            ("STORAGE", 'node_id = 5\n', "key 'node_id'"),
            ("META", '[gc]\nconcurency = 5\n', "did you mean 'gc.concurrency'?"),
            ("META", '[gc]\nconcurrency = "x"\n', "line 2"),
            ("FUSE", '[log]\nlevel = "loud"\n', "not debug, info, warn or error"),
            ("MGMTD", 'timeing = "fast"\n', "did you mean 'timing'?"),
            ("MGMTD", 'timing = "quick"\n', "'quick' is not fast, default or slow"),
            ("STORAGE", '[disk]\nshards = 3\n', "key 'disk.shards': 3 is not 1")):
        bad = local("bad.toml", text)
        refused(c.admin("set-config -t %s -f %s" % (kind, bad), status=1), words)
    if c.json("get-config -l")[1]["ConfigVersion"] != "3":
        fail("a refused configuration was stored")


def test_hot_update(c):
    def shown(node):
        return {n["Id"]: n["ConfigVersion"] for n in c.json("list-nodes")}[node]

    def record(node):
        return c.json("get-last-config-update-record -n " + node)
    refused(c.admin("hot-update-config -n 102", status=2), "10000(WrongUsage)")
    c.admin("hot-update-config -n 102 -s 'gc.concurrency = 7'")
    if "concurrency = 7" not in c.admin("get-config -n 102 -k gc"):
        fail("a setting given by hand is not in use")
    wait_until(20, "list-nodes tells that it differs", lambda: shown("102") == "3(DIRTY)")
    if shown("101") != "3(UPTODATE)":
        fail("another node changed too: %s" % shown("101"))
    if (record("102")["Description"], record("102")["Result"]) != ("by hand", "success"):
        fail("get-last-config-update-record: %s" % record("102"))
    # one key that cannot change: nothing is taken
    both = local("both.toml", 'tombstone_age = "7min"\n[resync]\nbandwidth = "9MB"\n')
    rows = c.json("hot-update-config -t STORAGE -f " + both, status=1)
    if len(rows) != 5 or any("cannot change while running" not in r["Result"] for r in rows):
        fail("hot-update-config of all storages: %s" % rows)
    if 'bandwidth = "0B"' not in c.admin("get-config -n 1001 -k resync"):
        fail("a part of a refused configuration was taken")
    refused(record("1001")["Result"], "17(ConfigUpdateFailed)", "key 'tombstone_age'")
    rows = c.json("hot-update-config -t STORAGE -s 'resync.bandwidth = \"9MB\"'")
    if [r["Result"] for r in rows] != ["success"] * 5:
        fail("hot-update-config of all storages: %s" % rows)
    # a key that is pushed later is that of the template again
    c.admin("set-config -t META -f " + local("m4.toml", '[gc]\nconcurrency = 4\n'))
    for node in ("101", "102"):
        wait_until(20, "meta %s is as the template" % node,
                   lambda n=node: shown(n) == "4(UPTODATE)")
    c.admin("hot-update-config -n 1 -s 'log.level = \"debug\"'")
    wait_until(5, "the primary tells it of itself", lambda: shown("1") == "1(DIRTY)")
    c.admin("hot-update-config -n 1 -s 'log.level = \"info\"'")
    wait_until(5, "and that it is over", lambda: shown("1") == "1(UPTODATE)")


# ---- more routing than one message takes ----

def test_many_chains(c):
    count = 9000  # 1 to 1.5 MiB in each answer that has all of them
    base = 5000000
    chains = local("many.csv", "ChainId,TargetId,TargetId,TargetId\n" + "".join(
        "%d,%d,%d,%d\n" % (base + i, 10 * (base + i), 10 * (base + i) + 1, 10 * (base + i) + 2)
        for i in range(count)))
    table = local("many-table.csv", "ChainId\n" + "".join("%d\n" % (base + i)
                                                         for i in range(count)))
    if c.admin("upload-chains", chains) != "Upload %d chains succeeded\n" % count:
        fail("upload-chains of %d" % count)
    if c.admin("upload-chain-table", "9", table) != \
            "Upload ChainTableId(9) of ChainTableVersion(1) succeeded\n":
        fail("upload-chain-table of %d" % count)
    listed = c.admin("list-chains -t 9").strip().split("\n")
    if len(listed) != count + 1 or not listed[-1].startswith("%d" % (base + count - 1)):
        fail("list-chains -t 9 shows %d lines" % len(listed))
    if len(listed[1]) * count < 1 << 20:
        fail("not more than 1 MiB")
    targets = c.admin("list-targets").strip().split("\n")
    if len(targets) < 3 * count:
        fail("list-targets shows %d lines" % len(targets))
    out = os.path.join(TEST_DIR, "many-dumped.csv")
    c.admin("dump-chain-table 9 " + out)
    with open(out, encoding="utf-8") as f, open(table, encoding="utf-8") as g:
        if f.read() != g.read():
            fail("the table that was dumped is another one")
    # names of one directory, as well
    names = local("names", "".join("create /wide/%s%05d\n" % ("n" * 200, i) for i in range(300)))
    with open(names, encoding="utf-8") as f:
        c.admin("mkdir /wide")
        c.admin(stdin=f)
    if len(c.admin("ls /wide").strip().split("\n")) != 300:
        fail("ls of a wide directory")
    c.admin("rm -r /wide")


# ---- preferred order ----

def test_preferred(c):
    chain = c.json("list-chains -t 1")[0]
    want = [t.split("(")[0] for t in (chain["Target3"], chain["Target1"], chain["Target2"])]
    c.admin("set-preferred-target-order %s %s" % (chain["ChainId"], " ".join(want)))

    def in_order():
        now = [x for x in c.json("list-chains -t 1") if x["ChainId"] == chain["ChainId"]][0]
        got = [now["Target%d" % i] for i in (1, 2, 3)]
        return [t.split("(")[0] for t in got] == want and now["Status"] == "SERVING"
    end = time.monotonic() + 60
    while not in_order():
        if time.monotonic() > end:
            fail("no preferred order: %s" % c.json("list-chains -t 1")[0])
        c.admin("rotate-as-preferred-order " + chain["ChainId"], status=None)
        time.sleep(0.2)


def test_keeps_order():
    """A mgmtd that is told to keep the preferred order does so by itself after a storage was
    away."""
    env = dict(os.environ, C3FS_TRY_ADJUST_TARGET_ORDER_AS_PREFERRED="true")

    def out_of_order(c):
        chains = c.json("list-chains", status=None) or []
        return [x["ChainId"] for x in chains if x["Status"] != "SERVING" or x["PreferredOrder"] !=
                "[%s]" % ",".join(x["Target%d" % i].split("(")[0] for i in (1, 2, 3))]
    with Cluster(name="keeps", env=env) as c:
        if out_of_order(c):
            fail("bootstrap sets no preferred order: %s" % c.json("list-chains"))
        c.admin("create /f; write-file /f --value 3 --length 12MB")
        want = c.admin("checksum /f")
        pid = c.pid("storage-1002")
        c.admin("disable-node 1002")
        wait_until(30, "chains go on without the storage", lambda: out_of_order(c))
        c.admin("enable-node 1002")
        wait_until(60, "every chain is in its preferred order", lambda: not out_of_order(c))
        if c.pid("storage-1002") != pid or c.admin("checksum /f") != want:
            fail("the storage was started anew, or the file is another one")


def bytes_read(c, node):
    metrics = c.json("get-metrics -n %d --prefix storage.read_bytes" % node)
    return sum(int(m["Value"]) for m in metrics)


def test_zones():
    """The clients of a machine in a zone read from the storages there, and elsewhere if need be."""
    with Cluster("--storages", "3", mount=True, name="zones") as c:
        host = socket.gethostname()
        path, buffer = c.mount + "/f", mmap.mmap(-1, 1 << 18)
        with open(path, "wb") as f:
            f.write(os.urandom(8 << 20))

        def read_bytes():
            before = [bytes_read(c, node) for node in (1001, 1002, 1003)]
            fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
            while os.readv(fd, [buffer]):
                pass
            os.close(fd)
            return [bytes_read(c, node) - at for node, at in zip((1001, 1002, 1003), before)]
        if 0 in read_bytes():
            fail("reads are not spread")
        c.admin("set-node-tags -n 1002 update TrafficZone=a; "
                "set-node-tags -n 1003 update TrafficZone=b")
        block = c.json("set-node-tags -u %s update TrafficZone=a" % host)
        if block != {"Hostname": host, "NewTags": "[TrafficZone=a]"}:
            fail("set-node-tags -u: %s" % block)
        wait_until(30, "the mount reads from its zone",
                   lambda: read_bytes() == [0, 8 << 20, 0])
        if [s["Tags"] for s in c.json("list-clients")] != ["[TrafficZone=a]"]:
            fail("list-clients does not show the tags")
        c.admin("disable-node 1002")
        wait_until(30, "the zone's storage is out", lambda: all(
            t["PublicState"] != "SERVING" for t in c.json("list-targets") if t["NodeId"] == "1002"))
        if sum(read_bytes()) != 8 << 20:
            fail("nothing is read from elsewhere")
        c.admin("set-node-tags -u %s remove TrafficZone" % host)
        refused(c.admin("set-node-tags -u %s update a" % ("x" * 65), status=1), "3(InvalidArg)")


def main():
    test_keeps_order()
    test_zones()
    with Cluster(env=dict(os.environ, C3FS_SESSION_TIMEOUT="6s")) as c:
        test_users(c)
        test_sessions(c)
        test_nodes(c)
        test_config(c)
        test_hot_update(c)
        test_preferred(c)
        test_many_chains(c)


if __name__ == "__main__":
    main()
