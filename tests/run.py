#!/usr/bin/env python3
"""run.py - runs all tests and counts them; the last line is 'N passed, N failed[, N skipped]'.

    run.py [options]
      --build DIR[:SUITE,...]   a build directory, and which of its suites (all); may be repeated
      --cluster DIR             also the tests of tests/cluster and tests/posix, with DIR/c3fs
      --kind KIND               of these, the ones of this kind: quick (default) or soak
      --only PATTERN            only tests whose name matches (shell pattern); may be repeated
      --list                    print the names only

A cluster test is an executable file with a line '# test: KIND, N s' near its top: its kind and how
long it may take; with a line for each kind it has a short and a long form. It runs with
      C3FS        the binary
      TEST_DIR    an empty directory of its own, removed afterwards
      PORT_BASE   the first of 100 ports of its own
      TEST_LONG   1 as soak, otherwise 0
      TEST_SEED   a number for what it draws by chance, the same for the same commit
and passes with exit status 0; 77 is a skip, anything else or too much time a failure.
A skip counts as a failure unless tests/skips.txt has it with its reason.
"""

import argparse
import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PORT_FIRST, PORTS_PER_TEST = 20000, 100
OUTPUT_LINES_MAX = 200
SKIPPED = 77


class Results:
    """What has happened so far; prints a line for each test."""

    def __init__(self, skips):
        self.skips = skips
        self.passed, self.failed, self.skipped = 0, [], 0

    def add(self, name, outcome, seconds, output=""):
        if outcome == "skip" and name not in self.skips:
            outcome, output = "FAIL", output + "\nskipped, but tests/skips.txt does not list it"
        print("%-4s  %s  %.1f s" % (outcome, name, seconds), flush=True)
        if outcome == "ok":
            self.passed += 1
        elif outcome == "skip":
            self.skipped += 1
            print("      " + self.skips[name])
        else:
            self.failed.append(name)
            lines = output.strip().split("\n")
            if len(lines) > OUTPUT_LINES_MAX:
                lines = ["... %d lines before ..." % (len(lines) - OUTPUT_LINES_MAX)] + \
                    lines[-OUTPUT_LINES_MAX:]
            print("\n".join("    | " + line for line in lines), flush=True)

    def summary(self):
        for name in self.failed:
            print("failed: " + name)
        skipped = ", %d skipped" % self.skipped if self.skipped else ""
        print("%d passed, %d failed%s" % (self.passed, len(self.failed), skipped), flush=True)


def read_skips(path):
    skips = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, _, reason = line.partition(" | ")
                skips[name] = reason.strip()
    return skips


def is_wanted(name, patterns):
    return not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns)


# ---- unit tests: meson runs them, side by side ----

def meson_tests(directory):
    """(name, suites) of each test that a build directory knows."""
    text = subprocess.run(["meson", "introspect", "--tests", directory], check=True,
                          capture_output=True, text=True).stdout
    return [(t["name"], [s.split(":")[-1] for s in t["suite"]]) for t in json.loads(text)]


def run_meson(spec, patterns, results, list_only):
    directory, _, suites = spec.partition(":")
    suites = suites.split(",") if suites else []
    label = os.path.basename(os.path.normpath(directory))
    wanted = [name for name, of in meson_tests(directory)
              if (not suites or set(of) & set(suites)) and is_wanted(label + "/" + name, patterns)]
    if list_only or not wanted:
        print("".join("%s/%s\n" % (label, name) for name in wanted), end="")
        return
    command = ["meson", "test", "-C", directory, "--no-rebuild", "--print-errorlogs"] + wanted
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    outcomes = {"OK": "ok", "EXPECTEDFAIL": "ok", "SKIP": "skip"}
    seen = set()
    with open(os.path.join(directory, "meson-logs", "testlog.json"), encoding="utf-8") as f:
        for line in f:
            t = json.loads(line)
            name = t["name"].split(" / ")[-1]
            seen.add(name)
            output = "%s\n%s\n%s" % (t["result"], t.get("stdout") or "", t.get("stderr") or "")
            outcome = outcomes.get(t["result"], "FAIL")
            results.add(label + "/" + name, outcome, t["duration"], output)
    for name in wanted:
        if name not in seen:
            results.add(label + "/" + name, "FAIL", 0, "it did not run\n" + run.stdout + run.stderr)


# ---- cluster tests: one at a time, each with its own directory and ports ----

def cluster_tests():
    """(name, path, kind, seconds) in order of name."""
    found = []
    for folder in ("cluster", "posix"):
        directory = os.path.join(ROOT, "tests", folder)
        for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
            path = os.path.join(directory, name)
            if not name.endswith((".sh", ".py")) or not os.access(path, os.X_OK):
                continue
            with open(path, encoding="utf-8") as f:
                head = f.read(4000)
            kinds = re.findall(r"^# test: (quick|soak), (\d+) s$", head, re.MULTILINE)
            if not kinds:
                sys.exit("%s: has no line '# test: quick, N s' or '# test: soak, N s'" % path)
            found += [(folder + "/" + name.rsplit(".", 1)[0], path, kind, int(seconds))
                      for kind, seconds in kinds]
    return found


def commit_seed():
    run = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short=8", "HEAD"], capture_output=True,
                         text=True)
    return str(int(run.stdout.strip(), 16)) if run.returncode == 0 else "1"


def end_session(pid):
    """Ends whatever is left of the process group of a test."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def stop_clusters(binary, directory):
    """A cluster outlives its shell: what a test that was ended left must not burden the next."""
    for entry in os.scandir(directory):
        if os.path.exists(os.path.join(entry.path, "cluster.toml")):
            try:
                subprocess.run([binary, "down", "--dir", entry.path], timeout=120, check=False,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            except subprocess.TimeoutExpired:
                print("cannot stop the cluster in %s" % entry.path, file=sys.stderr)


def unmount_below(directory):
    with open("/proc/self/mounts", encoding="utf-8") as f:
        points = [line.split()[1] for line in f]
    for point in reversed(points):
        if point.startswith(directory + "/"):
            subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL, check=False)


def run_cluster_test(test, index, binary, results):
    name, path, kind, seconds = test
    directory = tempfile.mkdtemp(prefix="c3fs-test-")
    environment = dict(os.environ, C3FS=binary, TEST_DIR=directory, TEST_SEED=commit_seed(),
                       TEST_LONG=str(int(kind == "soak")),
                       PORT_BASE=str(PORT_FIRST + index * PORTS_PER_TEST))
    begin = time.monotonic()
    with tempfile.TemporaryFile(mode="w+", errors="replace") as log:
        process = subprocess.Popen([path], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env=environment, cwd=directory, start_new_session=True)
        try:
            status = process.wait(timeout=seconds)
            note = "exit status %d" % status
        except subprocess.TimeoutExpired:
            status, note = 1, "not done within %d s" % seconds
        end_session(process.pid)
        process.wait()
        log.seek(0)
        output = log.read()
    if status not in (0, SKIPPED):
        stop_clusters(binary, directory)
    unmount_below(directory)
    shutil.rmtree(directory, ignore_errors=True)
    outcome = "ok" if status == 0 else "skip" if status == SKIPPED else "FAIL"
    results.add(name, outcome, time.monotonic() - begin, output + "\n" + note)


def run_cluster(binary, kind, patterns, results, list_only):
    for index, test in enumerate(cluster_tests()):
        if test[2] == kind and is_wanted(test[0], patterns):
            if list_only:
                print(test[0])
            else:
                run_cluster_test(test, index, binary, results)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--build", action="append", default=[])
    parser.add_argument("--cluster")
    parser.add_argument("--kind", choices=["quick", "soak"], default="quick")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    results = Results(read_skips(os.path.join(ROOT, "tests", "skips.txt")))
    for spec in arguments.build:
        run_meson(spec, arguments.only, results, arguments.list)
    if arguments.cluster:
        binary = os.path.join(os.path.abspath(arguments.cluster), "c3fs")
        run_cluster(binary, arguments.kind, arguments.only, results, arguments.list)
    if arguments.list:
        return 0
    results.summary()
    return 1 if results.failed or results.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
