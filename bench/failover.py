#!/usr/bin/env python3
"""failover.py - how long clients wait when something fails, and how long until all is whole again.

    failover.py --binary FILE [options]     (./dev bench failover gives the first)
      --repetitions N   of each fault (20)
      --only NAME       faults whose name begins so; repeatable
      --list            the faults
      --size SIZE       of the data that a storage misses, for the time to full redundancy (1G)
      --json            prints the figures as JSON
      --dir DIR         where the work is done (/var/tmp)
      --port-base N     of the cluster (26000)

Three mgmtd, three meta and five storage services run in a network namespace each, with nobody who
starts again what died. Threads read, write and make names on a mount, at random places, all the
time, and check what they read. A repetition waits until the cluster is whole, does one fault,
leaves it so until nobody has been waiting for a second, takes it back, and notes the longest wait
of any call, those under way included, and the time from the taking back to full redundancy. Needs
root.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(1, os.path.join(HERE, "../tests/cluster"))

from failover_cluster import Cluster, Failed, wait_until
from pauses import KINDS, Load
from places import Unavailable

COUNTS = {"mgmtds": 3, "metas": 3, "storages": 5}
HOLD_SECONDS_MIN, HOLD_SECONDS_MAX, QUIET_SECONDS = 3.0, 30.0, 1.0
WAITING_SECONDS = 0.3  # a call that has waited that long is not quiet


def kill(cluster, name):
    cluster.signal(name, signal.SIGKILL)
    cluster.wait_end(name)


def stop_in_order(cluster, name):
    cluster.signal(name, signal.SIGTERM)


def start_again(cluster, name):
    cluster.wait_end(name)
    cluster.start(name)


def freeze(cluster, name):
    cluster.signal(name, signal.SIGSTOP)


def thaw(cluster, name):
    cluster.signal(name, signal.SIGCONT)
    # the others end a process that holds the store and does not answer
    time.sleep(0.1)
    if cluster.processes[name].poll() is not None:
        cluster.start(name)


def crash_and_start(cluster, name):
    kill(cluster, name)
    cluster.start(name)


def cut(cluster, name):
    cluster.network.cut(name)


def heal(cluster, name):
    cluster.network.heal(name)


def nothing(cluster, name):
    pass


def a_storage(cluster, turn):
    names = cluster.of_role("storage")
    return names[turn % len(names)]


def the_primary(cluster, turn):
    return wait_until(30, "a primary", cluster.primary)


def the_holder(cluster, turn):
    """The metadata service that the clients ask first, as it has the store."""
    holder = wait_until(30, "a holder of the store", cluster.store_holder)
    return holder if holder in cluster.of_role("meta") else cluster.of_role("meta")[0]


def another_meta(cluster, turn):
    others = [n for n in cluster.of_role("meta") if n != the_holder(cluster, turn)]
    return others[turn % len(others)]


# name: whom, what, how it is taken back, the aim in seconds, what it is
FAULTS = {
    "storage-kill": (a_storage, kill, start_again, 3, "storage, kill -9"),
    "storage-restart": (a_storage, crash_and_start, nothing, 3,
                        "storage, kill -9 and started at once"),
    "storage-freeze": (a_storage, freeze, thaw, 5, "storage, SIGSTOP"),
    "storage-cut": (a_storage, cut, heal, 5, "storage, link cut"),
    "storage-stop": (a_storage, stop_in_order, start_again, 0.5, "storage, clean stop"),
    "mgmtd-kill": (the_primary, kill, start_again, 5, "primary mgmtd, kill -9"),
    "mgmtd-freeze": (the_primary, freeze, thaw, 5, "primary mgmtd, SIGSTOP"),
    "mgmtd-cut": (the_primary, cut, heal, 5, "primary mgmtd, link cut"),
    "mgmtd-stop": (the_primary, stop_in_order, start_again, 0.5, "primary mgmtd, clean stop"),
    "meta-kill": (the_holder, kill, start_again, 1, "meta that holds the store, kill -9"),
    "meta-freeze": (the_holder, freeze, thaw, 5, "meta that holds the store, SIGSTOP"),
    "meta-cut": (the_holder, cut, heal, 5, "meta that holds the store, link cut"),
    "meta-stop": (the_holder, stop_in_order, start_again, 0.5,
                  "meta that holds the store, clean stop"),
    "meta-other-kill": (another_meta, kill, start_again, 1, "another meta, kill -9"),
}
FILL = "full-redundancy"


def say_progress(text):
    if sys.stderr.isatty():
        print("\r\033[K" + text, end="", file=sys.stderr, flush=True)


class Bench:
    def __init__(self, arguments, cluster, load):
        self.arguments, self.cluster, self.load = arguments, cluster, load
        self.rows = []

    def hold(self):
        """Until nobody has been waiting for a while."""
        begin = quiet_since = time.monotonic()
        while True:
            now = time.monotonic()
            self.load.check()
            if self.load.under_way() > WAITING_SECONDS:
                quiet_since = now
            if now - begin >= HOLD_SECONDS_MIN and now - quiet_since >= QUIET_SECONDS:
                return
            if now - begin > HOLD_SECONDS_MAX:
                raise Failed("calls still wait %.0f s after the fault" % HOLD_SECONDS_MAX)
            time.sleep(0.02)

    def once(self, fault, turn):
        whom, do, take_back, _, _ = FAULTS[fault]
        wait_until(120, "the cluster is whole", self.cluster.is_whole)
        name = whom(self.cluster, turn)
        self.load.mark()
        do(self.cluster, name)
        self.hold()
        waits = self.load.pauses()
        begin = time.monotonic()
        take_back(self.cluster, name)
        wait_until(120, "the cluster is whole again", self.cluster.is_whole)
        return dict(waits, whole=time.monotonic() - begin, name=name)

    def measure(self, fault):
        runs = []
        for turn in range(self.arguments.repetitions):
            say_progress("%s, %d of %d" % (fault, turn + 1, self.arguments.repetitions))
            runs.append(self.once(fault, turn))
        say_progress("")
        row = {"name": fault, "what": FAULTS[fault][4], "aim_seconds": FAULTS[fault][3],
               "runs": runs}
        for kind in KINDS + ("whole",):
            values = [r[kind] for r in runs]
            row[kind] = {"worst": max(values), "median": statistics.median(values)}
        self.rows.append(row)
        self.print_row(row)

    def print_header(self):
        print("%-38s %6s  %-15s %-15s %-15s %s" % ("", "", "reads", "writes", "names", "whole"))
        print("%-38s %6s  %s" % ("fault", "aim", "worst  median   " * 4))

    def print_row(self, row):
        if self.arguments.json:
            return
        if not self.rows or row is self.rows[0]:
            self.print_header()
        cells = "".join("%6.2f %6.2f   " % (row[k]["worst"], row[k]["median"])
                        for k in KINDS + ("whole",))
        missed = max(row[k]["worst"] for k in KINDS) > row["aim_seconds"]
        print("%-38s %4.1f s  %s%s" % (row["what"], row["aim_seconds"], cells,
                                       "missed" if missed else ""), flush=True)

    def fill(self):
        """A storage is away while data is written; how long it takes to have all of it."""
        cluster = self.cluster
        wait_until(120, "the cluster is whole", cluster.is_whole)
        name = a_storage(cluster, 0)
        before = cluster.used_bytes(name)
        kill(cluster, name)
        wait_until(60, "the chains go on without it", lambda: not cluster.chains_serve())
        path = os.path.join(cluster.mount, "fill")
        with open(path, "wb") as f:
            for _ in range(self.arguments.size >> 20):
                f.write(os.urandom(1 << 20))
            os.fsync(f.fileno())
        begin = time.monotonic()
        cluster.start(name)
        wait_until(600, "the storage is full again", cluster.is_whole)
        seconds = time.monotonic() - begin
        wait_until(30, "the storage says what it holds", lambda: cluster.used_bytes(name) > before)
        time.sleep(1)
        missed = cluster.used_bytes(name) - before
        os.unlink(path)
        row = {"name": FILL, "seconds": seconds, "bytes": missed,
               "seconds_per_gib": seconds / (missed / (1 << 30))}
        self.rows.append(row)
        if not self.arguments.json:
            print("full redundancy after %.2f s for %.0f MiB that were missed: %.2f s for a GiB" %
                  (seconds, missed / (1 << 20), row["seconds_per_gib"]), flush=True)

    def run(self):
        for fault in FAULTS:
            if self.wanted(fault):
                self.measure(fault)

    def wanted(self, name):
        only = self.arguments.only
        return not only or any(name.startswith(o) for o in only)


def size_of(text):
    units = {"m": 1 << 20, "g": 1 << 30}
    try:
        size = int(text[:-1]) * units[text[-1:].lower()]
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError("'%s' is not a size such as 1G" % text) from None
    return size


def parse_arguments():
    if "--help" in sys.argv or "-h" in sys.argv:
        print(__doc__)
        sys.exit(0)
    parser = argparse.ArgumentParser(usage="./dev bench failover [OPTION]...; --help explains them")
    parser.add_argument("--binary", required=True)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--size", type=size_of, default=1 << 30)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--dir", default="/var/tmp")
    parser.add_argument("--port-base", type=int, default=26000)
    a = parser.parse_args()
    names = list(FAULTS) + [FILL]
    for name in a.only:
        if not any(n.startswith(name) for n in names):
            sys.exit("bench: no fault begins with '%s'; --list shows them" % name)
    return a


def run(arguments, work):
    cluster = Cluster(work, arguments.binary, arguments.port_base, COUNTS)
    try:
        bench = Bench(arguments, cluster, None)
        if any(bench.wanted(fault) for fault in FAULTS):
            bench.load = Load(os.path.join(cluster.mount, "load")).start()
            bench.run()
            bench.load.stop()
        if bench.wanted(FILL):
            bench.fill()
        return bench.rows
    except BaseException:
        print("the logs are in %s/log" % cluster.dir, file=sys.stderr)
        raise
    finally:
        cluster.close()


def main():
    arguments = parse_arguments()
    if arguments.list:
        for name, (_, _, _, aim, what) in FAULTS.items():
            print("%-18s %s (aim: %.1f s)" % (name, what, aim))
        print("%-18s how long a storage takes to have what it missed" % FILL)
        return 0
    work = tempfile.mkdtemp(prefix="c3fs-failover-", dir=arguments.dir)
    try:
        rows = run(arguments, work)
    except (Unavailable, Failed, AssertionError) as why:
        sys.exit("bench: %s" % why)
    shutil.rmtree(work, ignore_errors=True)
    if arguments.json:
        json.dump({"load": os.getloadavg()[0], "repetitions": arguments.repetitions,
                   "rows": rows}, sys.stdout, indent=1)
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
