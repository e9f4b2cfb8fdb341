#!/usr/bin/env python3
"""chains.py - a target added to a chain and taken out again, a chain whose last server is given up,
and a stopped cluster whose chains are put at rest; the data stays what it was.
"""
# test: quick, 180 s
import sys

from cluster import Cluster, fail, wait_until


def chain_of(c, chain):
    """[(target, public state)] in order, or None while nobody answers."""
    for row in c.json("list-chains", status=None) or []:
        if row["ChainId"] == chain:
            cells = [row[k] for k in sorted(row) if k.startswith("Target") and row[k]]
            return [(cell.split("(")[0], cell.split("(")[1].split("-")[0]) for cell in cells]
    return None


def states(c, chain):
    return [state for _, state in chain_of(c, chain) or []]


def node_of(c, target):
    return {t["TargetId"]: t["NodeId"] for t in c.json("list-targets")}[target]


def refused(text, *words):
    for word in words:
        if word not in text:
            fail("'%s' is not in: %s" % (word, text))


def test_members(c, chain):
    """A fourth replica comes, is filled, and an old one goes."""
    old = chain_of(c, chain)
    nodes = [node_of(c, target) for target, _ in old]
    other = [n["Id"] for n in c.json("list-nodes")
             if n["Type"] == "STORAGE" and n["Id"] not in nodes][0]
    new = "1%s00%03d" % (other.zfill(6), 198)
    refused(c.admin("update-chain %s %s -m remove" % (chain, new), status=1),
            "5017(TargetNotFoundInChains)")
    refused(c.admin("update-chain %s %s -m add" % (chain, old[0][0]), status=1),
            "5018(TargetExisted)")
    refused(c.admin("update-chain %s %s -m remove" % (chain, old[0][0]), status=1),
            "4032(TargetStateInvalid)", "offline-target first")
    c.admin("create-target --node-id %s --disk-index 0 --target-id %s --chain-id %s" %
            (other, new, chain))
    shown = c.json("update-chain %s %s -m add" % (chain, new))
    if shown["Target"][-1] != new + "(OFFLINE)" or not shown["PreferredOrder"].endswith(new + "]"):
        fail("update-chain add shows %s" % shown)
    wait_until(30, "the new target serves", lambda: states(c, chain) == ["SERVING"] * 4)
    gone = old[0][0]
    c.admin("offline-target --target-id " + gone)
    wait_until(30, "the old target is offline", lambda: (gone, "OFFLINE") in chain_of(c, chain))
    shown = c.json("update-chain %s %s -m remove" % (chain, gone))
    if gone in str(shown):
        fail("update-chain remove shows %s" % shown)
    wait_until(30, "three replicas again", lambda: states(c, chain) == ["SERVING"] * 3)
    c.admin("remove-target --node-id %s --target-id %s" % (nodes[0], gone))


def test_rotate(c, chain):
    """The last that served does not come back: the next one goes on with what it has."""
    before = chain_of(c, chain)
    nodes = [node_of(c, target) for target, _ in before]
    refused(c.admin("rotate-lastsrv " + chain, status=1), "4032(TargetStateInvalid)",
            "the first must be LASTSRV")
    for i, node in enumerate(nodes):
        c.admin("disable-node " + node)
        left = "SERVING" if i < 2 else "LASTSRV"
        wait_until(30, "node %s is out of the chain" % node,
                   lambda n=2 - i, s=left: states(c, chain) ==
                   ([s] * max(n, 1) + ["OFFLINE"] * (3 - max(n, 1))))
    last, then = chain_of(c, chain)[0][0], chain_of(c, chain)[1][0]
    c.admin("enable-node " + node_of(c, then))
    wait_until(30, "a target waits for the last server", lambda: "WAITING" in states(c, chain))
    shown = c.json("rotate-lastsrv " + chain)["Target"]
    if not shown[0].endswith("(LASTSRV)") or shown[-1] != last + "(OFFLINE)":
        fail("rotate-lastsrv shows %s" % shown)
    if shown[0].split("(")[0] != then:  # it was not the next in line
        shown = c.json("rotate-lastsrv " + chain)["Target"]
    wait_until(30, "the next one serves", lambda: (then, "SERVING") in chain_of(c, chain))
    for node in nodes:
        c.admin("enable-node " + node)
    wait_until(60, "all of them serve", lambda: states(c, chain) == ["SERVING"] * 3)


def test_rest(c, path, want):
    refused(c.admin("shutdown-all-chains --check-offline", status=1), "81(Busy)", "leads")
    c.down()
    rows = c.json("shutdown-all-chains -c --display-chains")
    for row in rows:
        text = [row[k] for k in row if k.startswith("Target") and row[k]]
        if not any("(LASTSRV)" in t for t in text) or \
                any("SERVING" in t or "SYNCING" in t or "WAITING" in t for t in text):
            fail("a chain is not at rest: %s" % row)
    c.up()
    wait_until(60, "every chain serves", c.chains_serve)
    if c.admin("checksum " + path) != want:
        fail("the file is another one after the rest")


def main():
    with Cluster() as c:
        c.admin("create /f; write-file /f --value 5 --length 24MB")
        want = c.admin("checksum /f")
        chain = c.json("list-chains -t 1")[0]["ChainId"]
        test_members(c, chain)
        if c.admin("checksum /f").split()[-1] != want.split()[-1]:
            fail("the file is another one after a change of members")
        test_rotate(c, chain)
        wait_until(60, "every chain serves", c.chains_serve)
        want = c.admin("checksum /f")
        test_rest(c, "/f", want)


if __name__ == "__main__":
    sys.exit(main())
