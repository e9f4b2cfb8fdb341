#!/usr/bin/env python3
"""drain.py - a storage of six is emptied under checked work on a mount; the command is killed on
the way and run again. No chain ever has fewer serving targets than before, no two of a chain are on
one node, the loads stay even, and what was written is there.

Long: more data, a drain that is taken back, a node that is gone, a drain that has nowhere to go.
"""
# test: quick, 150 s
# test: soak, 600 s
import os
import subprocess
import sys
import threading
import time

from cluster import C3FS, Cluster, fail, wait_until
from pauses import Load, describe

IS_LONG = os.environ.get("TEST_LONG") == "1"


def members(c):
    """{chain: [(target, public state)]}"""
    return {row["ChainId"]: [(row[k].split("(")[0], row[k].split("(")[1].split("-")[0])
                             for k in sorted(row) if k.startswith("Target") and row[k]]
            for row in c.json("list-chains")}


def loads(c):
    """{node: targets}; fails if a chain has two on a node, or is not whole."""
    nodes, of = {}, {}
    for t in c.json("list-targets"):
        nodes[t["NodeId"]] = nodes.get(t["NodeId"], 0) + 1
        of.setdefault(t["ChainId"], []).append(t)
    for chain, targets in of.items():
        if len({t["NodeId"] for t in targets}) != 3 or len(targets) != 3 or \
                any(t["PublicState"] != "SERVING" for t in targets):
            fail("chain %s: %s" % (chain, targets))
    return nodes


class Watch:
    """Looks at the chains all the time: each keeps at least so many serving targets."""

    def __init__(self, c, least):
        self.c, self.least, self.problem, self.looks = c, least, None, 0
        self.ends = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.ends.wait(0.05):
            for chain, targets in members(self.c).items():
                serving = sum(1 for _, state in targets if state == "SERVING")
                if serving < self.least and not self.problem:
                    self.problem = "chain %s had %s" % (chain, targets)
            self.looks += 1

    def end(self):
        self.ends.set()
        self.thread.join()
        if self.problem:
            fail(self.problem)


def drain_process(c, *words):
    return subprocess.Popen([C3FS, "admin", "-cfg", c.dir + "/etc/admin_cli.toml", *words],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def tag_of(c, node):
    return {n["Id"]: n["Tags"] for n in c.json("list-nodes")}[node]


def is_under_way(c, node):
    """A target has been added to a chain and does not serve yet, or no longer: the tag names it."""
    return ">" in tag_of(c, node)


def test_interrupted(c):
    """Killed when a chain has four members; the next run goes on."""
    watch = Watch(c, 3)
    process = drain_process(c, "drain 1003 --parallel 3")
    try:
        wait_until(30, "a chain has a fourth target",
                   lambda: any(len(m) == 4 for m in members(c).values()))
    finally:
        process.kill()
        process.wait()
    if not is_under_way(c, "1003"):
        fail("the tag says nothing of what was begun: %s" % tag_of(c, "1003"))
    got = c.admin("drain 1003 --parallel 3")
    watch.end()
    lines = got.strip().split("\n")
    if not lines[0].startswith("Going on with ") or not lines[1].startswith("Node 1003 has ") or \
            not lines[-1].startswith("Drain 1003 succeeded: "):
        fail("drain printed: %s" % got)
    if tag_of(c, "1003") != "[Drain]":
        fail("tags are %s" % tag_of(c, "1003"))
    now = loads(c)
    if "1003" in now or sorted(now.values()) != [7, 7, 7, 7, 8]:
        fail("the loads are %s" % now)
    if c.json("list-targets --orphan"):
        fail("targets are left: %s" % c.json("list-targets --orphan"))
    text = c.json("status")
    if text["Draining"] != "STORAGE 1003: 0 targets left" or text["Health"] != "HEALTHY":
        fail("status: %s" % text)
    got = c.admin("drain 1003").strip().split("\n")
    if got != ["Node 1003 has 0 targets to move",
               "Drain 1003 succeeded: 0 targets moved, it holds none of a chain"]:
        fail("the second drain printed %s" % got)
    return watch.looks


def test_words(c):
    for words, want in (("drain 1", "node 1 is of type MGMTD"), ("drain 77", "there is no node 77"),
                        ("drain 1002 -p 0", "--parallel must be from 1 to 16"),
                        ("drain 1002 -p 17", "--parallel must be from 1 to 16")):
        got = c.admin(words, status=1)
        if want not in got:
            fail("%s: %s" % (words, got))
    for words, want in (("undrain 1003", "Undrain 1003 succeeded: it may take targets again"),
                        ("undrain 1003", "Node 1003 was not being drained")):
        if c.admin(words).strip() != want:
            fail("%s: %s" % (words, c.admin(words)))


def test_two_runs(c):
    """While one run is at work, another says so in one line and ends; it is done by the first."""
    first = drain_process(c, "drain 1004 --parallel 1")
    try:
        wait_until(30, "a chain has a fourth target",
                   lambda: any(len(m) == 4 for m in members(c).values()))
        got = c.admin("undrain 1004", status=1).strip().split("\n")
        if len(got) != 2 or not got[1].startswith(
                "node 1004 is being drained or undrained already, by process %d on " % first.pid):
            fail("undrain beside a drain: %s" % got)
        if "Drain 1004 succeeded" not in first.communicate(timeout=60)[0]:
            fail("the first run did not end well")
    finally:
        first.kill()
        first.wait()
    c.admin("undrain 1004")


def test_taken_back(c):
    """Undrain while targets are filled: the chains are as before."""
    before = {chain: {t for t, _ in m} for chain, m in members(c).items()}
    watch = Watch(c, 3)
    process = drain_process(c, "drain 1001 --parallel 8")
    wait_until(30, "chains have a fourth target",
               lambda: any(len(m) == 4 for m in members(c).values()))
    process.kill()
    process.wait()
    c.admin("undrain 1001")
    watch.end()
    if tag_of(c, "1001") != "[]":
        fail("tags are %s" % tag_of(c, "1001"))
    loads(c)
    now = {chain: {t for t, _ in m} for chain, m in members(c).items()}
    changed = [chain for chain in now if now[chain] != before[chain]]
    print("taken back: %d of 12 chains had been moved" % len(changed), flush=True)


def test_dead(c):
    """A node that is gone is replaced."""
    c.admin("disable-node 1002")
    wait_until(30, "its targets are out", lambda: any(
        s == "OFFLINE" for m in members(c).values() for _, s in m))
    watch = Watch(c, 2)
    got = c.admin("drain 1002 --parallel 4").strip().split("\n")[-1]
    watch.end()
    if not got.endswith("it is away: what is on its disks is left there") or "1002" in loads(c):
        fail("drain printed: %s; the targets: %s" % (got, loads(c)))
    # It comes back with what it had, which is in no chain: made anew when chains come back to it.
    c.admin("enable-node 1002; undrain 1002")
    wait_until(30, "it reports what is left", lambda: c.json("list-targets --orphan"))
    c.admin("drain 1001 --parallel 4")
    now = loads(c)
    if "1001" in now or now["1002"] < 6:
        fail("the loads are %s" % now)
    c.admin("undrain 1001; drain 1005; undrain 1005")


def test_nowhere(c):
    """Nothing is begun when it cannot be ended."""
    for node in ("1003", "1004", "1005", "1006"):
        c.admin("set-node-tags -n %s update Drain" % node)
    got = c.admin("drain 1001", status=1)
    if "has nowhere to go" not in got or tag_of(c, "1001") != "[]":
        fail("drain printed: %s, tags %s" % (got, tag_of(c, "1001")))
    for node in ("1003", "1004", "1005", "1006"):
        c.admin("undrain " + node)


def main():
    with Cluster("--storages", "6", mount=True) as c:
        data = os.path.join(c.mount, "data")
        with open(data, "wb") as f:
            for i in range(400 if IS_LONG else 60):
                f.write(bytes([i % 251]) * (1 << 20))
        want = c.admin("checksum /data")
        load = Load(os.path.join(c.mount, "load")).start()
        begin = time.monotonic()
        looks = test_interrupted(c)
        print("drained in %.1f s, %d looks, longest waits: %s" %
              (time.monotonic() - begin, looks, describe(load.pauses())), flush=True)
        test_words(c)
        test_two_runs(c)
        if IS_LONG:
            test_taken_back(c)
            test_dead(c)
            test_nowhere(c)
        load.stop()
        if c.admin("checksum /data") != want:
            fail("the file is another one")


if __name__ == "__main__":
    sys.exit(main())
