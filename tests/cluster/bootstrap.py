#!/usr/bin/env python3
"""bootstrap.py - what an operator without knowledge of 3FS types: services started by hand, then
`bootstrap`, once and again, with five storages, with two and with one; `status` and `list-disks`
of a cluster that is well and of one that is not; what `events` and
`top` say of all that.
"""
# test: quick, 150 s
import json
import os
import re
import socket
import stat
import subprocess
import sys

from cluster import C3FS, PORT_BASE, TEST_DIR, fail, run, wait_until

KEY = "k1:" + "ab" * 32


class Services:
    """Services as containers would start them: a process each, on one store, nobody over them."""

    def __init__(self, name, port, disk_counts):
        self.dir, self.port, self.disk_counts = os.path.join(TEST_DIR, name), port, disk_counts
        self.env = dict(os.environ, C3FS_CLUSTER_KEY=KEY)
        self.processes, self.ports = {}, {}
        for folder in ("etc", "log", "kv"):
            os.makedirs("%s/%s" % (self.dir, folder))
        self.mgmtd = 'mgmtd_server_addresses = ["TCP://127.0.0.1:%d"]\n' % port
        store = 'kv_path = "%s/kv"\n' % self.dir
        self.write("mgmtd-1", "node_id = 1\n" + store, port)
        self.write("meta-101", "node_id = 101\n" + store + self.mgmtd, port + 1)
        for i, count in enumerate(disk_counts):
            self.add_storage(i, count)
        with open(self.dir + "/etc/admin_cli.toml", "w", encoding="utf-8") as f:
            f.write('cluster_id = "%s"\ncluster_key = "%s"\ntoken_file = "%s/token.txt"\n%s%s' %
                    (name, KEY, self.dir, store, self.mgmtd))

    def add_storage(self, i, disk_count):
        paths = ["%s/disk-%d-%d" % (self.dir, 1001 + i, d) for d in range(disk_count)]
        for path in paths:
            os.makedirs(path)
        name = "storage-%d" % (1001 + i)
        self.write(name, "node_id = %d\ntarget_paths = %s\n%s" %
                   (1001 + i, json.dumps(paths), self.mgmtd), self.port + 2 + i)
        return name

    def write(self, name, text, port):
        self.ports[name] = port
        with open("%s/etc/%s.toml" % (self.dir, name), "w", encoding="utf-8") as f:
            f.write('cluster_id = "%s"\nlisten = "TCP://127.0.0.1:%d"\n%s' %
                    (os.path.basename(self.dir), port, text))

    def is_free(self, name):
        """The kernel lets go of a killed process's port when its ring is gone: soon after."""
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", self.ports[name]))
                s.listen()
            except OSError:
                return False
            return True

    def start(self, name):
        wait_until(20, "the port of %s is free" % name, lambda: self.is_free(name))
        role = name.split("-", maxsplit=1)[0]
        with open("%s/log/%s.log" % (self.dir, name), "ab") as log:
            self.processes[name] = subprocess.Popen(
                [C3FS, role, "--cfg", "%s/etc/%s.toml" % (self.dir, name)], env=self.env,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def __enter__(self):
        for name in ["mgmtd-1", "meta-101"] + \
                ["storage-%d" % (1001 + i) for i in range(len(self.disk_counts))]:
            self.start(name)
        return self

    def __exit__(self, kind, value, trace):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if kind:
            for name in self.processes:
                with open("%s/log/%s.log" % (self.dir, name), encoding="utf-8",
                          errors="replace") as f:
                    print("---- %s\n%s" % (name, "".join(f.readlines()[-15:])), file=sys.stderr)

    def admin(self, *words, status=0):
        return run(C3FS, "admin", "-cfg", self.dir + "/etc/admin_cli.toml", *words, status=status,
                   env=self.env)

    def json(self, *words, status=0):
        return json.loads(self.admin("--json", *words, status=status))


def same(got, want):
    if got != want:
        fail("printed\n%s\nand not\n%s" % (got, want))


def without_waiting(text):
    return re.sub(r"^Waiting for storages: .*\n", "", text, flags=re.MULTILINE)


def test_five(s):
    """Five storages, one of them with two disks more than the others."""
    token = s.dir + "/token.txt"
    same(without_waiting(s.admin("bootstrap --replicas 3 --storages 5")), """\
Init filesystem, root directory layout: chain table ChainTableId(1), chunksize 1048576, stripesize 6
Made the user root (uid 0, root, admin)
The root user's token is in %s
Found 5 storages with 7 disks: 1001 to 1005
Placement on 5 nodes: 10 chains of 3 replicas, 6 targets a disk, two nodes meet in 3 to 3 chains
warning: disk number 2 of 1 nodes stays empty: chains need it on 3 nodes
warning: disk number 3 of 1 nodes stays empty: chains need it on 3 nodes
Create 30 targets succeeded
Upload 10 chains succeeded
Upload ChainTableId(1) of ChainTableVersion(1) succeeded
All 10 chains serve with all replicas
""" % token)
    if stat.S_IMODE(os.stat(token).st_mode) != 0o600:
        fail("the token file is for others too")
    with open(token, encoding="utf-8") as f:
        text = f.read()
    same(s.admin("bootstrap --replicas 3"), """\
The store is that of cluster 'five' already
ChainTableId(1) of ChainTableVersion(1) with 10 chains is there already
Found 2 disks without chains on 1 of 5 storages
They stay empty: chains of 3 replicas need a disk more on as many nodes
""")
    with open(token, encoding="utf-8") as f:
        same(f.read(), text)
    # without the store: by the token alone
    by_token = ("--config.kv_path=", "--config.cluster_key=", "--config.user_info.token",
                text.strip())
    got = s.json(*by_token, "bootstrap")
    same(got["Step"][1], "ChainTableId(1) of ChainTableVersion(1) with 10 chains is there already")
    for words, want in (("--replicas 0", "--replicas must be from 1 to 16, not 0"),
                        ("--replicas 17", "--replicas must be from 1 to 16, not 17"),
                        ("--targets-per-disk 100", "--targets-per-disk must be from 1 to 99"),
                        ("--chunk-size 3", "cannot have chunk size 3")):
        got = s.admin("bootstrap " + words, status=1)
        if want not in got:
            fail("bootstrap %s: %s" % (words, got))
    s.admin("create /f; write-file /f --value 5 --length 9MB")
    wait_until(20, "a file can be read", lambda: "9437184" in s.admin("read-file /f"))


def test_status(s):
    """One screen: whole, without one storage, without any, and whole again."""
    s.admin("status")
    got = s.json("status")
    for key, want in (("Cluster", "five"), ("Health", "HEALTHY"), ("Chains", "10"),
                      ("Nodes", "MGMTD 1/1, META 1/1, STORAGE 5/5"), ("ChainsServing", "10"),
                      ("Clients", "0"), ("Problem", None)):
        same(got.get(key), want)
    if not 0 < int(got["UsedBytes"]) < int(got["CapacityBytes"]):
        fail("capacity: %s" % got)
    disks = s.json("list-disks")
    same([(d["NodeId"], d["DiskIndex"], d["Targets"], d["State"]) for d in disks
          if d["NodeId"] in ("1001", "1003")],
         [("1001", "0", "6", "OK"), ("1003", "0", "6", "OK"), ("1003", "1", "0", "OK"),
          ("1003", "2", "0", "OK")])
    for d in disks:
        same(int(d["Capacity"]), int(d["Used"]) + int(d["Free"]))

    def state(health, count):
        got = s.json("status", status=0 if health == "HEALTHY" else 1)
        problems = got.get("Problem", [])
        problems = [problems] if isinstance(problems, str) else problems
        return got["Health"] == health and len(problems) == count and problems
    s.processes["storage-1005"].kill()
    s.processes["storage-1005"].wait()
    said = wait_until(20, "a storage is missed", lambda:
                      "6 chains serve without all" in s.admin("status", status=None) and
                      state("DEGRADED", 2))
    if "STORAGE 1005 on" not in said[0] or "is away, last heard" not in said[0]:
        fail("the problems are %s" % said)
    for i in range(1001, 1005):
        s.admin("disable-node %d" % i)
    said = wait_until(20, "no data is there", lambda: "10 chains have no target" in
                      s.admin("status", status=None) and s.json("status", status=1))
    same((said["Health"], said["ChainsUnavailable"]), ("UNAVAILABLE", "10"))
    if "STORAGE 0/5 (4 disabled)" not in said["Nodes"]:
        fail("nodes: %s" % said)
    for i in range(1001, 1005):
        s.admin("enable-node %d" % i)
    s.start("storage-1005")
    wait_until(40, "the cluster is healthy", lambda: "HEALTHY" in
               s.admin("status", status=None).split() and state("HEALTHY", 0) == [])


def test_events(s):
    """What test_status did is there, also after the manager was killed."""
    def texts(*words):
        return [e["Event"] for e in s.json("events --count 1000 " + " ".join(words))]

    def has(all_of, *words):
        return any(all(w in text for w in words) for text in all_of)
    wait_until(10, "events are recorded", lambda: has(texts("-n 1001"), "STORAGE 1001 was enabled"))
    of_node = texts("-n 1005")
    for words in (["STORAGE 1005 on ", "came for the first time"],
                  ["STORAGE 1005 is not heard from any more"], ["STORAGE 1005 is back, started"]):
        if not has(of_node, *words):
            fail("%s is not in %s" % (words, of_node))
    if not has(texts("-k node"), "STORAGE 1001 was disabled") or \
            texts("-k table") != ["10 chains were made, the first is 900100001",
                                  "chain table 1 has version 1, of 10 chains"]:
        fail("events: %s" % texts())
    of_chain = texts("--chain-id 900100001")
    if not has(of_chain, "chain 900100001 version 2:", "OFFLINE"):
        fail("events of a chain: %s" % of_chain)
    before = s.json("events --count 3")
    same(len(before), 3)
    s.processes["mgmtd-1"].kill()
    s.processes["mgmtd-1"].wait()
    s.start("mgmtd-1")
    wait_until(20, "the next term is recorded", lambda: has(texts("-k manager"), "leads: term 2"))
    after = s.json("events --count 1000")
    if before[-1] not in after or len({e["Seq"] for e in after}) != len(after):
        fail("events are lost: %s" % after)
    for words, want in (("--count 0", "--count must be from 1 to 1000"),
                        ("-k x", "'x' is none of")):
        if want not in s.admin("events " + words, status=1):
            fail("events %s: %s" % (words, s.admin("events " + words, status=1)))


def test_top(s):
    """Figures of one interval: what is written is seen at the storages, in bytes a second."""
    if "MostTimeIn" not in s.admin("top --interval 50").split("\n")[0]:
        fail("top prints %s" % s.admin("top --interval 50"))
    with subprocess.Popen([C3FS, "admin", "-cfg", s.dir + "/etc/admin_cli.toml",
                           "write-file /f --value 7 --length 300MB"], env=s.env,
                          stdout=subprocess.DEVNULL) as writer:
        def written():
            rows = s.json("top --interval 200")
            same([r["Id"] for r in rows], ["1", "101", "1001", "1002", "1003", "1004", "1005"])
            return sum(int(r["Written/s"]) for r in rows if r["Written/s"] != "-") > 1 << 20
        wait_until(20, "bytes are written", written)
        writer.wait()
    if "--interval must be from 1" not in s.admin("top -i 0", status=1):
        fail("top -i 0: %s" % s.admin("top -i 0", status=1))


def test_few(s, words, want):
    """What people try first: fewer storages than replicas."""
    got = s.json("bootstrap " + words)
    count = len(s.disk_counts)
    same(got["Warning"], want)
    chains = s.json("list-chains -t 1")
    if [c["Status"] for c in chains] != ["SERVING"] * 6:
        fail("%d storages: %s" % (count, chains))
    nodes = {}
    for t in s.json("list-targets"):
        nodes.setdefault(t["ChainId"], []).append(t["NodeId"])
    if any(len(n) != count or len(set(n)) != count for n in nodes.values()):
        fail("two targets of a chain are on one node: %s" % nodes)
    s.admin("create /f; write-file /f --value 5 --length 9MB")


def test_grow(s):
    """Storages that come later: targets and new chains for them, and nothing else is touched."""
    def targets():
        return sorted((t["ChainId"], t["TargetId"], t["NodeId"]) for t in s.json("list-targets"))

    def grow(names, steps):
        old, chains = targets(), len(s.json("list-chains -t 1"))
        for name in names:
            s.start(name)
        wait_until(30, "%s have come" % names, lambda: all(
            n["Status"] == "HEARTBEAT_CONNECTED" for n in s.json("list-nodes")
            if n["Type"] == "STORAGE") and len(s.json("list-disks")) >= len(s.disk_counts))
        got = s.json("bootstrap")["Step"]
        same(got[1], "ChainTableId(1) of ChainTableVersion(%d) with %d chains is there already" %
             (chains // 6, chains))
        same(got[2:], steps)
        new = targets()
        if [t for t in old if t not in new]:
            fail("targets that were there are gone: %s, %s" % (old, new))
        used = [len([t for t in new if t[2] == "100%d" % (i + 1)])
                for i in range(len(s.disk_counts))]
        for chain in s.json("list-chains -t 1"):
            nodes = [t[2] for t in new if t[0] == chain["ChainId"]]
            if chain["Status"] != "SERVING" or len(nodes) != 2 or nodes[0] == nodes[1]:
                fail("chain %s: %s" % (chain, nodes))
        # again: nothing is left to do, as the json of one step tells
        same(s.json("bootstrap")["Step"][1:], [
            "ChainTableId(1) of ChainTableVersion(%d) with %d chains is there already" %
            (chains // 6 + 1, chains + 6)])
        same(targets(), new)
        return used
    sums = s.admin("checksum /f")
    s.disk_counts.append(1)
    # one node is too few for chains of its own: it shares them with the others
    same(grow([s.add_storage(2, 1)], [
        "Found 1 disk without chains on 1 of 3 storages",
        "Placement on 1 new and 2 other nodes: 6 chains of 2 replicas",
        "Create 12 targets succeeded", "Upload 6 chains succeeded",
        "Upload ChainTableId(1) of ChainTableVersion(2) succeeded",
        "All 6 new chains serve with all replicas"]), [9, 9, 6])
    s.disk_counts += [1, 1]
    same(grow([s.add_storage(3, 1), s.add_storage(4, 1)], [
        "Found 2 disks without chains on 2 of 5 storages",
        "Placement on 2 nodes: 6 chains of 2 replicas, 6 targets a disk, two nodes meet in 6 to 6 "
        "chains",
        "Create 12 targets succeeded", "Upload 6 chains succeeded",
        "Upload ChainTableId(1) of ChainTableVersion(3) succeeded",
        "All 6 new chains serve with all replicas"]), [9, 9, 6, 6, 6])
    # files that were there are where they were; new ones use the new chains, too
    same(s.admin("checksum /f"), sums)
    for i in range(6):
        s.admin("create /g%d; write-file /g%d --value 7 --length 9MB" % (i, i))
    same(s.admin("checksum /g0").splitlines()[-1:] != [], True)
    new_used = [t for t in s.json("list-targets") if t["NodeId"] in ("1003", "1004", "1005")
                and t["UsedSize"] not in ("0", "0B", 0)]
    if not new_used:
        fail("new files use none of the new targets: %s" % s.json("list-targets"))


def main():
    with Services("five", PORT_BASE, [1, 1, 3, 1, 1]) as s:
        test_five(s)
        test_status(s)
        test_top(s)
        test_events(s)
    with Services("two", PORT_BASE + 20, [1, 1]) as s:
        test_few(s, "--storages 2", "2 nodes can keep 2 replicas of data, not 3")
        test_grow(s)
    with Services("one", PORT_BASE + 40, [1]) as s:
        test_few(s, "", "1 node can keep 1 replica of data, not 3")


if __name__ == "__main__":
    sys.exit(main())
