#!/usr/bin/env python3
"""bad_tables.py - files, tables and targets that are wrong in themselves or contradict the cluster:
each is refused with one line that names what is wrong, and nothing of it is applied.
"""
# test: quick, 120 s
import os
import subprocess

from cluster import C3FS, TEST_DIR, Cluster, fail, wait_until


def local(name, text, mode="w"):
    path = os.path.join(TEST_DIR, name)
    with open(path, mode, encoding=None if "b" in mode else "utf-8") as f:
        f.write(text)
    return path


class Checker:
    def __init__(self, cluster):
        self.c = cluster
        self.before = self.shape()
        self.count = 0

    def shape(self):
        """All that a refused command must leave as it is."""
        return [self.c.json(what) for what in ("list-chain-tables", "get-config -l")] + \
            [sorted((c["ChainId"], str(c.get("PreferredOrder"))) for c in
                    self.c.json("list-chains"))] + \
            [sorted((t["TargetId"], t["NodeId"], t["ChainId"]) for t in
                    self.c.json("list-targets"))]

    def refused(self, words, command):
        """Only "Encounter error", the sentence, which has all the words, and perhaps the usage."""
        text = self.c.admin(command, status=None)
        self.count += 1
        lines = [t for t in text.strip().split("\n") if not t.startswith("Usage: ")]
        if not text.startswith("Encounter error: ") or len(lines) > 2 or \
                not all(w in text for w in words):
            fail("%s: wanted %s: %s" % (command, words, text))

    def unchanged(self):
        if self.shape() != self.before:
            fail("something was applied: %s, before %s" % (self.shape(), self.before))


def test_chains(k, targets):
    """@targets: node -> targets made for the chains 950001 and 950002, and in no chain."""
    def chains(*rows, header="ChainId,TargetId,TargetId"):
        return "upload-chains " + local("chains.csv", header + "\n" + "".join(
            ",".join(str(v) for v in row) + "\n" for row in rows))
    one, two, three = (targets[n] for n in (1001, 1002, 1003))
    used = k.c.json("list-targets")[0]
    k.refused(["cannot read /nowhere/chains.csv"], "upload-chains /nowhere/chains.csv")
    k.refused(["first line must be ChainId,TargetId"], "upload-chains " + local("empty.csv", ""))
    k.refused(["first line must be ChainId,TargetId"],
              chains((950001, one[0]), header="Chain,Target"))
    k.refused(["has no chains"], chains())
    k.refused(["line 2", "'x,1,2' is not a chain id"], chains(("x", 1, 2)))
    k.refused(["line 2", "is not a chain id up to 4294967295"], chains((4294967296, 1, 2)))
    k.refused(["line 3", "as many targets"], chains((950001, one[0], two[0]), (950002, one[1])))
    k.refused(["chain 950001: target 0 is no target"], chains((950001, 0, two[0])))
    k.refused(["chain 950001: target %d is given twice" % one[0]],
              chains((950001, one[0], one[0])))
    k.refused(["chain 950001 is given twice"],
              chains((950001, one[0], two[0]), (950001, three[0], two[1])))
    k.refused(["chain 950002: target %d was made for chain 950001" % one[0]],
              chains((950002, one[0], two[1])))
    k.refused(["is in chain %s already" % used["ChainId"]],
              chains((950001, used["TargetId"], two[0])))
    k.refused(["chain %s exists with other targets" % used["ChainId"]],
              chains((used["ChainId"], 888, 999)))
    # all or nothing: the first row alone would be right
    k.refused(["chain 950002: target 0"], chains((950001, one[0], two[0]), (950002, 0, two[1])))
    k.unchanged()


def test_tables(k):
    def table(table_id, *rows, header="ChainId"):
        return "upload-chain-table %s %s" % (table_id, local(
            "table.csv", header + "\n" + "".join("%s\n" % r for r in rows)))
    ids = [c["ChainId"] for c in k.c.json("list-chains -t 1")]
    k.refused(["first line must be ChainId"], table(2, ids[0], header="Chain"))
    k.refused(["'x' is no chain id"], table(2, "x"))
    k.refused(["chain 77 does not exist"], table(2, 77))
    k.refused(["chain %s is given twice" % ids[0]], table(2, ids[0], ids[1], ids[0]))
    k.refused(["1 to 131072 chains"], table(2))
    k.refused(["1 to 131072 chains"], table(0, ids[0]))
    k.refused(["has 4 chains, less than the stripe 5 of the root directory"], table(1, *ids[:4]))
    k.refused(["tableId"], table(-1, ids[0]))
    k.refused(["tableId"], table(4294967296, ids[0]))
    k.unchanged()


def test_targets(k):
    used = [t for t in k.c.json("list-targets") if t["NodeId"] == "1001"][0]

    def create(**over):
        args = {"node-id": 1001, "disk-index": 0, "target-id": 555, "chain-id": 960001, **over}
        return "create-target " + " ".join("--%s %s" % (k.replace("_", "-"), v)
                                           for k, v in args.items() if v is not None)
    k.refused(["node 4711 is unknown"], create(**{"node-id": 4711}))
    k.refused(["there is no disk 7: this node has 1"], create(**{"disk-index": 7}))
    k.refused(["numbers from 1"], create(**{"target-id": 0}))
    k.refused(["numbers from 1"], create(**{"chain-id": 0}))
    k.refused(["target %s is here already, of chain %s" % (used["TargetId"], used["ChainId"])],
              create(**{"target-id": used["TargetId"]}))
    k.refused(["chain %s has target %s on this node already" % (used["ChainId"],
                                                                used["TargetId"])],
              create(**{"chain-id": used["ChainId"]}))
    k.refused(["node 101"], create(**{"node-id": 101}))
    for name, value in (("node-id", "x"), ("disk-index", -1), ("target-id", "1e3"),
                        ("chain-id", 1 << 32), ("node-id", None)):
        k.refused([name], create(**{name: value}))
    k.unchanged()


def test_configs(k):
    def upload(text, kind="STORAGE", mode="w"):
        return "set-config -t %s -f %s" % (kind, local("config.toml", text, mode))
    k.refused(["cannot read /nowhere.toml"], "set-config -t STORAGE -f /nowhere.toml")
    k.refused(["--type: 'STROAGE'"], upload("", "STROAGE"))
    k.refused(["line 2, column 1", "'resync.bandwith'", "did you mean 'resync.bandwidth'"],
              upload("[resync]\nbandwith = 1\n"))
    k.refused(["line 1, column 5", "new line"], upload("[a] b\n"))
    k.refused(["line 1, column 1", "belongs to one node"], upload("node_id = 1\n"))
    k.refused(["line 1, column 8", "must be a size"], upload("resync.bandwidth = true\n"))
    k.refused(["disk.shards"], upload("disk.shards = 3\n"))
    k.refused(["not UTF-8"], upload(b"a = '\xff'\n", mode="wb"))
    k.refused(["defined already"], upload("a = 1\na = 2\n"))
    k.unchanged()


def test_init():
    """init-cluster looks at everything before it stores anything."""
    kv = os.path.join(TEST_DIR, "init-kv")
    cfg = local("init.toml", 'cluster_id = "x"\nkv_path = "%s"\n' % kv)

    def init(words, command):
        done = subprocess.run([C3FS, "admin", "-cfg", cfg, "init-cluster " + command], text=True,
                              capture_output=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode == 0 or not all(w in done.stdout + done.stderr for w in words):
            fail("init-cluster %s: %s" % (command, done.stdout + done.stderr))
        if os.path.exists(kv):
            fail("init-cluster %s made a store" % command)
    for arguments in ("1 1000 6", "1 1048576 0", "0 1048576 6", "1 1048576 1025"):
        init(["chunk size a power of two", "stripe 1 to 1024"], arguments)
    init(["chunksize"], "1 x 6")
    init(["stripesize"], "1 1048576")
    init(["cannot read /nowhere.toml"], "--mgmtd /nowhere.toml 1 1048576 6")
    init(["line 1, column 3"], "--storage %s 1 1048576 6" % local("bad.toml", "a b\n"))


def test_entrypoint():
    """No variable that is wrong leaves a file of settings behind."""
    folder = os.path.join(TEST_DIR, "entry")
    good = {"MGMTD_SERVER_ADDRESSES": "TCP://127.0.0.1:1", "STORAGE_NODE_ID": "1001",
            "META_NODE_ID": "101", "MGMTD_NODE_ID": "1", "TARGET_PATHS": "/x",
            "CLUSTER_KEY": "k1:" + "0" * 64, "TOKEN": "t", "PATH": os.environ["PATH"]}
    cases = [("storage", name, value) for name, values in (
        ("STORAGE_NODE_ID", ("", "x", "0", "1000000", "-1", "1 2")),
        ("MGMTD_SERVER_ADDRESSES", ("", "127.0.0.1:8000", "TCP://", ",", "TCP://a:99999")),
        ("TARGET_PATHS", ("", "relative", "/a,/a", ",")),
        ("LOG_LEVEL", ("LOUD",)), ("PORT", ("0", "65536", "x")),
        ("LISTEN", ("a b",)), ("ADVERTISE", ("a/b",)), ("FDB_CLUSTER", ("a:b@c:1",)),
        ("CLUSTER_KEY", ("",))) for value in values]
    cases += [("meta", "META_NODE_ID", "x"), ("mgmtd", "MGMTD_NODE_ID", ""),
              ("fuse", "TOKEN", ""), ("fuse", "MOUNTPOINT", "here")]
    for service, name, value in cases:
        done = subprocess.run([C3FS, "entrypoint", service, "--directory", folder], text=True,
                              env={**good, name: value}, capture_output=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=20)
        lines = done.stderr.strip().split("\n")
        if done.returncode != 2 or len(lines) != 1 or name not in lines[0]:
            fail("%s=%s: %d %s" % (name, value, done.returncode, done.stderr))
        if os.path.exists(folder) and os.listdir(folder):
            fail("%s=%s left %s" % (name, value, os.listdir(folder)))


def main():
    test_init()
    test_entrypoint()
    with Cluster() as c:
        wait_until(30, "the chains serve", c.chains_serve)
        targets = {n: [n * 100 + i for i in (1, 2)] for n in (1001, 1002, 1003)}
        for node, ids in targets.items():
            for i, target in enumerate(ids):
                c.admin("create-target --node-id %d --disk-index 0 --target-id %d --chain-id %d" %
                        (node, target, 950001 + i))
        wait_until(30, "they are reported",
                   lambda: len(c.json("list-targets --orphan")) >= 6)
        k = Checker(c)
        test_targets(k)
        test_configs(k)
        test_tables(k)
        test_chains(k, targets)
        print("%d commands refused, nothing applied" % k.count)


if __name__ == "__main__":
    main()
