#!/usr/bin/env python3
"""bench.py - a mounted cluster against its own disk and libfuse's pass-through, in one run.

    bench.py --binary FILE --programs DIR [options]     (./dev bench gives the first two)
    (./dev bench failover: how long clients wait when something fails; bench/failover.py)
      --quick           256 MiB instead of 4 GiB, 500 files instead of 5000, one repetition
      --size SIZE       of the files of the data rows, such as 1G
      --files N         of each of the two processes of the rows of names
      --repetitions N   each place in turn, N times; the median counts
      --only NAME       rows or groups whose name begins so, or a program of --list; repeatable
      --list            the rows and the programs of modules
      --dir DIR         where the work is done: the disk that is measured (/var/tmp)
      --port-base N     of the cluster (25000)
      --one-process     the cluster's services in one process
      --processes       the cluster's services in a process each
      --output FILE     where the figures go ('-': nowhere); bench/results.json for a whole run,
                        build/bench-results.json for a quick one or one of some rows

The three places of a row do the same work in alternation on the same disk. Data is written to new
files and the time counts until it is synced; it is read with cold caches or O_DIRECT. Names are
made, looked up and removed with cold caches. Beside each figure stand the bytes that the device
moved meanwhile, as multiples of the bytes asked for: they count everybody's, so a figure without
them is a cache's. Needs root (to drop caches) and an idle machine; the load is noted.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time

import measure
import report
from measure import GIB, MIB
from places import Places, Unavailable, run

PROGRAMS = ["chunk_bench", "kv_bench", "loop_bench", "rpc_bench"]
CHANGES = ["create", "rename", "unlink"]
NAMES = ["create", "stat", "readdir", "rename", "unlink"]

# name: what fio does. "fresh" writes a new file each time; the others use one that is there.
DATA_ROWS = {
    "seq-write": {"rw": "write", "bs": "1M", "fresh": True,
                  "what": "sequential write 1 MiB, fsync"},
    "seq-write-direct": {"rw": "write", "bs": "1M", "fresh": True, "direct": True, "depth": 4,
                         "what": "sequential write 1 MiB, direct, depth 4"},
    "seq-read": {"rw": "read", "bs": "1M", "what": "sequential read 1 MiB, cold"},
    "seq-read-direct": {"rw": "read", "bs": "1M", "direct": True, "depth": 4,
                        "what": "sequential read 1 MiB, direct, depth 4"},
    "rand-read-4k": {"rw": "randread", "bs": "4k", "direct": True, "depth": 16, "timed": True,
                     "what": "random read 4 KiB, direct, depth 16"},
    "rand-read-128k": {"rw": "randread", "bs": "128k", "direct": True, "depth": 16, "timed": True,
                       "what": "random read 128 KiB, direct, depth 16"},
    "rand-write-4k": {"rw": "randwrite", "bs": "4k", "direct": True, "depth": 16, "timed": True,
                      "what": "random write 4 KiB, direct, depth 16, fsync"},
}
# group: options of the program, phases that make a row, share of the files, what it is.
TREE_ROWS = {
    "names": ([], NAMES, 1, "2 processes, a directory each"),
    "names-shared": (["--one-directory"], CHANGES, 5, "2 processes, one directory"),
    "names-fsync": (["--fsync"], CHANGES, 5, "2 processes, fsync of the directory each time"),
}
CLIENT_ROWS = {
    "client-1": (["--depth", "1"], NAMES, 1, "client library, 2 × 1 at a time"),
    "client-32": (["--depth", "32"], NAMES, 1, "client library, 2 × 32 at a time"),
    "client-32-open": (["--depth", "32", "--open"], ["create"], 1,
                       "client library, 2 × 32, with open and close"),
}


def say_progress(text):
    """One line that changes, for somebody who waits at a terminal."""
    if sys.stderr.isatty():
        print("\r\033[K" + text, end="", file=sys.stderr, flush=True)


class Bench:
    def __init__(self, arguments, places):
        self.arguments, self.places = arguments, places
        self.device = measure.Device(places.work)
        self.rows = []

    def wanted(self, name):
        only = self.arguments.only
        return not only or any(name.startswith(o) for o in only)

    def watched(self, place, work):
        """Runs @work with cold caches; its result with what the machine did meanwhile."""
        measure.drop_caches()
        watch = measure.Watch(self.device, place.pids())
        result = work()
        result.update(watch.stop())
        return result

    def alternate(self, name, places, work):
        """{place: [result, ...]} of @work(place), each place in turn."""
        results = {p.name: [] for p in places}
        for i in range(self.arguments.repetitions):
            for place in places:
                say_progress("%s, %s, %d of %d" % (name, place.name, i + 1,
                                                  self.arguments.repetitions))
                results[place.name].append(work(place))
        say_progress("")
        return results

    # ---- data ----

    def fio(self, path, row):
        command = ["fio", "--name=bench", "--filename=" + path, "--rw=" + row["rw"],
                   "--bs=" + row["bs"], "--size=%d" % self.arguments.size, "--fallocate=none",
                   "--end_fsync=%d" % ("write" in row["rw"]), "--output-format=json",
                   "--ioengine=%s" % ("libaio" if row.get("direct") else "psync"),
                   "--iodepth=%d" % row.get("depth", 1), "--direct=%d" % row.get("direct", False),
                   "--randrepeat=0", "--refill_buffers=1", "--invalidate=0"]
        if row.get("timed"):
            command += ["--time_based", "--runtime=%d" % self.arguments.seconds]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable("fio: " + (done.stderr or done.stdout).strip().split("\n")[0])
        job = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
        side = job["write" if "write" in row["rw"] else "read"]
        seconds = job["job_runtime"] / 1000
        return {"value": side["io_bytes"] / seconds if not row["bs"] == "4k"
                else side["total_ios"] / seconds,
                "bytes": side["io_bytes"], "seconds": seconds,
                "latency_p99_us": side["clat_ns"]["percentile"]["99.000000"] / 1000
                if "percentile" in side["clat_ns"] else None}

    def make_file(self, place, path):
        """The file that reads and random writes work on."""
        if not os.path.exists(path) or os.path.getsize(path) < self.arguments.size:
            self.fio(path, DATA_ROWS["seq-write"])

    def data_once(self, place, row):
        path = os.path.join(place.directory, "data")
        if row.get("fresh"):
            if os.path.exists(path):
                os.unlink(path)
        else:
            self.make_file(place, path)
        return self.watched(place, lambda: self.fio(path, row))

    def data_row(self, name):
        row = DATA_ROWS[name]
        writes_direct = row.get("direct") and "write" in row["rw"]
        places = [p for p in self.places.all if p.can_write_direct or not writes_direct]
        results = self.alternate(name, places, lambda place: self.data_once(place, row))
        self.rows.append({"name": name, "what": row["what"],
                          "unit": "IOPS" if row["bs"] == "4k" else "bytes/s", "runs": results})

    # ---- names ----

    def program(self, name, options, share):
        """The phases of a program that prints a JSON object a line, as {phase: object}."""
        command = [os.path.join(self.arguments.programs, name), "--json", "--files",
                   str(max(self.arguments.files // share, 1))] + options
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable("%s: %s" % (name, done.stderr.strip()))
        phases = [json.loads(line) for line in done.stdout.splitlines()]
        return {p["phase"]: p for p in phases}

    def names_once(self, place, name, options, share):
        pids = place.pids()
        if pids:
            options = options + ["--watch", ",".join(map(str, pids))]
        return self.watched(place, lambda: {"phases": self.program(name, options, share)})

    def names_rows(self, group, of_group, places, work):
        """One row for each phase of the program that @work runs."""
        _, phases, _, what = of_group
        results = self.alternate(group, places, work)
        for phase in phases:
            runs = {}
            for place, of in results.items():
                runs[place] = []
                for result in of:
                    p = result["phases"][phase]
                    runs[place].append({"value": p["per_second"], "seconds": p["seconds"],
                                        "operations": p["count"], "load": result["load"],
                                        "cpu_us_each": round(sum(p["cpu_us"].values()), 2)})
            self.rows.append({"name": "%s-%s" % (group, phase), "what": "%s, %s" % (phase, what),
                              "unit": "/s", "runs": runs})

    def tree_rows(self, group):
        options, _, share, _ = TREE_ROWS[group]

        def work(place):
            return self.names_once(place, "tree_bench",
                                   ["--drop-caches"] + options + [place.directory], share)
        self.names_rows(group, TREE_ROWS[group], self.places.all, work)

    def client_rows(self, group):
        options, _, share, _ = CLIENT_ROWS[group]

        def work(place):
            return self.names_once(place, "meta_bench", place.client_options() + options, share)
        self.names_rows(group, CLIENT_ROWS[group], [self.places.cluster], work)

    # ---- the rest ----

    def loopback_row(self):
        runs = [{"value": measure.loopback_bytes_per_second(1.0), "load": os.getloadavg()[0]}
                for _ in range(self.arguments.repetitions)]
        self.rows.append({"name": "loopback", "what": "one TCP stream on 127.0.0.1, 1 MiB a call",
                          "unit": "bytes/s", "runs": {"raw": runs}})

    def memory(self):
        """Resident bytes of each process, and what chunks add to the storages."""
        cluster = self.places.cluster
        chunk_count = max(self.arguments.size // 2 // 65536, 512)
        before = {name: measure.resident_bytes(pid) for name, pid in cluster.processes()}
        cluster.admin("mkdir /bench/small-chunks --chunk-size 64KB")
        path = os.path.join(cluster.directory, "small-chunks", "file")
        run(["dd", "if=/dev/zero", "of=" + path, "bs=64k", "count=%d" % chunk_count, "conv=fsync"])
        after = {name: measure.resident_bytes(pid) for name, pid in cluster.processes()}
        os.unlink(path)
        holders = [n for n in before if n.startswith("storage-") or n == "cluster"]
        replica_count = chunk_count * 3
        added = sum(after[n] - before[n] for n in holders)
        return {"resident_bytes": after, "chunk_replicas_added": replica_count,
                "storage_bytes_added": added, "bytes_per_chunk_replica": added / replica_count,
                "bytes_per_100000_chunk_replicas": added / replica_count * 1e5}

    def run(self):
        if self.wanted("loopback"):
            self.loopback_row()
        for name in DATA_ROWS:
            if self.wanted(name):
                self.data_row(name)
        for group in TREE_ROWS:
            if self.wanted(group):
                self.tree_rows(group)
        for group in CLIENT_ROWS:
            if self.wanted(group):
                self.client_rows(group)
        return self.memory() if self.wanted("memory") else None


def size_of(text):
    units = {"k": 1 << 10, "m": MIB, "g": GIB}
    factor = units.get(text[-1:].lower(), 1)
    try:
        size = int(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        size = 0
    if size < 16 * MIB or size % MIB:
        raise argparse.ArgumentTypeError("'%s' is not a size such as 1G, of at least 16M" % text)
    return size


def parse_arguments():
    if "--help" in sys.argv or "-h" in sys.argv:
        print(__doc__)
        sys.exit(0)
    parser = argparse.ArgumentParser(usage="./dev bench [OPTION]...; --help explains them")
    parser.add_argument("--binary", required=True)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--size", type=size_of)
    parser.add_argument("--files", type=int)
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--dir", default="/var/tmp")
    parser.add_argument("--port-base", type=int, default=25000)
    parser.add_argument("--one-process", action="store_true")
    parser.add_argument("--processes", action="store_true")
    parser.add_argument("--output")
    a = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    a.output = a.output or os.path.join(
        here, "../build/bench-results.json" if a.quick or a.only else "results.json")
    a.size = a.size or (256 * MIB if a.quick else 4 * GIB)
    a.files = a.files or (500 if a.quick else 5000)
    a.repetitions = a.repetitions or (1 if a.quick else 3)
    a.seconds = 2 if a.quick else 4
    return a


def describe(arguments, places, memory, bench, seconds):
    commit = subprocess.run(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "describe",
                             "--always", "--dirty"], capture_output=True, text=True, check=False)
    return {
        "commit": commit.stdout.strip(), "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": {"cpus": os.cpu_count(), "kernel": platform.release(), "device": bench.device.name,
                 "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")},
        "size_bytes": arguments.size, "files_per_process": arguments.files,
        "repetitions": arguments.repetitions, "seconds": round(seconds, 1),
        "start_seconds": round(places.cluster.start_seconds, 2),
        "process_count": len(places.cluster.processes()), "missing": places.missing,
        "rows": bench.rows, "memory": memory,
    }


def all_names():
    return ["loopback"] + list(DATA_ROWS) + list(TREE_ROWS) + list(CLIENT_ROWS) + ["memory"]


def check_only(only):
    """The programs of modules that are asked for; ends the program for a name that is nothing."""
    programs = [p for p in PROGRAMS if p in only]
    for name in only:
        if name not in PROGRAMS and not any(n.startswith(name) for n in all_names()):
            sys.exit("bench: no row begins with '%s'; --list shows them" % name)
    return programs


def main():
    arguments = parse_arguments()
    if arguments.list:
        print("\n".join(all_names() + PROGRAMS))
        return 0
    programs = check_only(arguments.only)
    for program in programs:
        print("---- " + program, flush=True)
        subprocess.run([os.path.join(arguments.programs, program)], check=True)
    if programs and len(programs) == len(arguments.only):
        return 0
    if os.geteuid() != 0:
        sys.exit("bench: needs root, to drop the kernel's caches")
    needs = arguments.size * 9
    space = os.statvfs(arguments.dir)
    if space.f_bavail * space.f_frsize < needs:
        sys.exit("bench: %s has less than %.0f GiB free; --size or --dir" % (arguments.dir,
                                                                           needs / GIB))
    options = ["--one-process=%s" % ("true" if arguments.one_process else "false")] \
        if arguments.one_process or arguments.processes else []
    begin = time.monotonic()
    try:
        places = Places(arguments.dir, arguments.binary, arguments.port_base, options)
        try:
            bench = Bench(arguments, places)
            memory = bench.run()
            results = describe(arguments, places, memory, bench, time.monotonic() - begin)
        finally:
            places.close()
    except Unavailable as why:
        sys.exit("bench: %s" % why)
    report.print_report(results)
    if arguments.output != "-":
        with open(arguments.output, "w", encoding="utf-8") as f:
            json.dump(results, f, indent=1)
            f.write("\n")
        print("figures: " + os.path.relpath(arguments.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
