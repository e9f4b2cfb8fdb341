#!/usr/bin/env python3
"""join.py - machines that join a cluster of `c3fs up`, each in a network namespace of its own: they
get numbers, serve data, come back after kill -9 and after down, and are refused where they should.
"""
# test: quick, 120 s
import json
import os
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from chaos import Network # noqa: E402
from cluster import C3FS, TEST_DIR, fail, run, wait_until # noqa: E402

KEY_FILE = TEST_DIR + "/up/cluster.key"


class Machine:
    def __init__(self, network, name):
        self.space, _, self.address = network.join()
        self.name, self.dir = name, "%s/%s" % (TEST_DIR, name)
        self.disk = TEST_DIR + "/disk-" + name

    def c3fs(self, *words, status=0):
        """What it printed, on both outputs."""
        done = subprocess.run(["nsenter", "--net=/run/netns/" + self.space, C3FS, *words],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=100,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if status is not None and done.returncode != status:
            fail("%s: exit status %d, not %d: %s" %
                 (" ".join(words), done.returncode, status, done.stdout))
        return done.stdout

    def down(self, status=0):
        return self.c3fs("down", "--dir", self.dir, status=status)

    def join(self, *words, status=0):
        return self.c3fs("join", *words, "--dir", self.dir, status=status)

    def refused(self, text, *words, status=1):
        printed = self.join(*words, status=status)
        if text not in printed or printed.count("\n") != 1:
            fail("join %s: '%s' is not in one line: %s" % (" ".join(words), text, printed))


def test(first, second, third):
    def admin(command, status=0):
        return json.loads(first.c3fs("admin", "--cfg", first.dir + "/etc/admin_cli.toml", "--json",
                                     command, status=status) or "[]")

    def node(number):
        return {n["Id"]: n for n in admin("list-nodes")}.get(str(number), {})

    def is_connected(number):
        return node(number).get("Status") == "HEARTBEAT_CONNECTED"

    printed = first.c3fs("up", "--dir", first.dir, "--no-mount", "--storages", "3", "--replicas",
                         "2", "--listen", first.address, "--port-base", os.environ["PORT_BASE"])
    manager = "TCP://%s:%s" % (first.address, os.environ["PORT_BASE"])
    if "c3fs join %s --key-file FILE" % manager not in printed:
        fail("up does not say how others join: " + printed)

    # What is refused, before anything is made anywhere.
    disk, key = ("--disk", second.disk), ("--key-file", KEY_FILE)
    second.refused("--key or --key-file is missing", manager, *disk)
    second.refused("--disk is missing", manager, *key)
    second.refused("is there twice", manager, *key, *disk, "--disk", second.disk + "/")
    second.refused("not of the form k1:", manager, "--key", "k1:1", *disk)
    second.refused("refuses the key", manager, "--key", "k1:" + "11" * 32, *disk)
    second.refused("is no address", "nonsense:", *key, *disk)
    second.refused("cannot ask the cluster manager", "TCP://%s:1" % first.address, *key, *disk)
    second.refused("not a cluster manager",
                   "TCP://%s:%d" % (first.address, int(os.environ["PORT_BASE"]) + 1), *key, *disk)
    second.refused("nothing has joined in")
    second.refused("node 1002: this node id is registered already", manager, *key, *disk,
                   "--node-id", "1002")
    if os.path.exists(second.dir + "/join.toml") or node(1004):
        fail("a join that was refused has left something")

    # Two machines, one by the key itself, with two disks; both numbers are free ones.
    printed = second.join(manager, *key, *disk)
    if "storage 1004 has joined cluster 'default' at TCP://%s:8000, with 1 disk\n" % \
            second.address not in printed:
        fail("join printed: " + printed)
    with open(KEY_FILE, encoding="ascii") as f:
        third.join(manager, "--key", f.read().strip(), "--disk", third.disk + "/a", "--disk",
                   third.disk + "/b", "--node-id", "2001", "--port", "9000")
    for number, machine in ((1004, second), (2001, third)):
        if not is_connected(number):
            fail("node %d: %s" % (number, node(number)))
        if os.stat(machine.dir + "/cluster.key").st_mode & 0o777 != 0o600:
            fail("others can read the key")
    if "is a cluster of c3fs up" not in second.c3fs("join", manager, *key, *disk, "--dir",
                                                    first.dir, status=1):
        fail("join in a directory of up")
    if "is a storage of another machine's cluster" not in second.c3fs(
            "up", "--dir", second.dir, "--no-mount", status=1):
        fail("up in a directory of join")

    # It serves: a chain gets a third replica there.
    chain = admin("list-chains")[0]["ChainId"]

    def states():
        rows = [c for c in admin("list-chains", status=None) or [] if c["ChainId"] == chain]
        return [rows[0][k] for k in sorted(rows[0]) if k.startswith("Target") and rows[0][k]]
    admin("create-target --node-id 1004 --disk-index 0 --target-id 101004001001 --chain-id " +
          chain)
    admin("update-chain %s 101004001001 -m add" % chain)
    wait_until(40, "the new machine serves", lambda: len(states()) == 3 and
               all("SERVING-UPTODATE" in s for s in states()))

    # It is watched over; it comes back, with its number, after down.
    pid = int(node(1004)["Pid"])
    os.kill(pid, signal.SIGKILL)
    wait_until(30, "another process serves", lambda: is_connected(1004) and
               node(1004)["Pid"] != str(pid))
    second.down()
    wait_until(40, "its end is known", lambda: not is_connected(1004))
    second.refused("joined before", "--node-id", "7")
    if "storage 1004 has joined" not in second.join():
        fail("it does not come back")
    if "storage-1004" not in second.join(): # it runs: says so
        fail("a second join of one that runs")
    wait_until(40, "it serves again", lambda: all("SERVING-UPTODATE" in s for s in states()))


def main():
    if os.geteuid() != 0 or not all(shutil.which(t) for t in ("ip", "nft", "nsenter")):
        print("skipped: needs root, ip, nft and nsenter")
        return 77
    network, machines = Network(), []
    try:
        machines = [Machine(network, name) for name in ("up", "second", "third")]
        test(*machines)
    finally:
        for machine in reversed(machines):
            print(machine.name + ": " + machine.down(status=None).strip())
        network.close()
    print("two machines joined, were refused, killed, stopped, and came back")
    return 0


if __name__ == "__main__":
    sys.exit(main())
