#!/usr/bin/env python3
"""managers.py - three cluster managers: the one that leads is killed, then stopped for longer than
its lease, under checked work on a mount. Another one leads, nobody else notices.

Long: all of them are away for a minute, then the store too (every process that could hold it):
what is open goes on.
"""
# test: quick, 150 s
# test: soak, 420 s
import json
import os
import signal
import sys
import time

from cluster import C3FS, Cluster, fail, run, wait_until
from pauses import Load, describe

IS_LONG = os.environ.get("TEST_LONG") == "1"
AWAY_SECONDS = 60


def managers(c):
    """{node id: status}; empty while none leads."""
    nodes = c.json("list-nodes", status=None)
    return {n["Id"]: n["Status"] for n in nodes if n["Type"] == "MGMTD"} \
        if isinstance(nodes, list) else {}


def primary(c):
    leaders = [n for n, status in managers(c).items() if status == "PRIMARY_MGMTD"]
    if len(leaders) > 1:
        fail("more than one leads: %s" % leaders)
    return leaders[0] if leaders else None


def all_are_well(c):
    statuses = sorted(managers(c).values())
    return statuses == ["HEARTBEAT_CONNECTED", "HEARTBEAT_CONNECTED", "PRIMARY_MGMTD"]


def change_of_leader(c, load, what, fault, repair):
    old = wait_until(30, "one leads", lambda: primary(c))
    pid = c.pid("mgmtd-" + old)
    load.mark()
    begin = time.monotonic()
    fault(pid)
    new = wait_until(30, "another manager leads after " + what,
                     lambda: (lambda now: now != old and now)(primary(c)))
    took = time.monotonic() - begin
    while time.monotonic() < begin + 4:
        load.check()
        time.sleep(0.1)
    print("%s: mgmtd-%s follows mgmtd-%s, seen after %.2f s; longest waits: %s" %
          (what, new, old, took, describe(load.pauses())), flush=True)
    repair(pid)
    wait_until(30, "all three are well after " + what, lambda: all_are_well(c))
    load.check()


def test_leader(c, load):
    # The supervisor is held, or the killed one would be back, and perhaps lead again, at once.
    supervisor = json.loads(run(C3FS, "status", "--dir", c.dir, "--json"))["supervisor"]
    os.kill(supervisor, signal.SIGSTOP)
    try:
        change_of_leader(c, load, "kill -9", lambda pid: os.kill(pid, signal.SIGKILL),
                         lambda pid: os.kill(supervisor, signal.SIGCONT))
    finally:
        os.kill(supervisor, signal.SIGCONT)
    change_of_leader(c, load, "SIGSTOP", lambda pid: os.kill(pid, signal.SIGSTOP),
                     lambda pid: os.kill(pid, signal.SIGCONT))


def away(c, load, what, names):
    """Stops the processes for a minute; the waits of reads and writes of what is open."""
    pids = [c.pid(name) for name in names]
    load.mark()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + AWAY_SECONDS
    while time.monotonic() < end:
        load.check()
        time.sleep(0.1)
    pauses, counts = load.pauses(), load.counts()
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    print("%s away for %d s: longest waits: %s; done so far: %s" %
          (what, AWAY_SECONDS, describe(pauses), counts), flush=True)
    load.check()
    if max(pauses["read"], pauses["write"]) > 1:
        fail("with %s away what is open waited for more than a second: %s" % (what, pauses))
    wait_until(60, "the cluster is well again", lambda: all_are_well(c) and c.chains_serve())


def main():
    with Cluster("--mgmtds", "3", "--one-process=false", mount=True) as c:
        wait_until(30, "one leads and two follow", lambda: all_are_well(c))
        load = Load(os.path.join(c.mount, "load")).start()
        test_leader(c, load)
        load.stop()
        if IS_LONG:
            keepers = ["mgmtd-1", "mgmtd-2", "mgmtd-3"]
            load = Load(os.path.join(c.mount, "managers")).start()
            away(c, load, "all managers", keepers)
            load.stop()
            load = Load(os.path.join(c.mount, "store"), names=0).start()
            away(c, load, "the store", keepers + ["meta-101", "meta-102"])
            load.stop()
        wait_until(60, "every chain serves", c.chains_serve)


if __name__ == "__main__":
    sys.exit(main())
