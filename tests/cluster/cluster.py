"""cluster.py - what the cluster tests in Python share: a cluster of their own, and its admin tool.

Imported by a test that run.py runs (C3FS, TEST_DIR, PORT_BASE). The cluster is stopped when the
`with` block ends, whatever happens; its logs are shown when that is by a failure.
"""

import glob
import json
import os
import subprocess
import sys
import time

C3FS = os.environ["C3FS"]
TEST_DIR = os.environ["TEST_DIR"]
PORT_BASE = int(os.environ["PORT_BASE"])


def fail(text):
    raise AssertionError(text)


def wait_until(seconds, what, condition):
    """Tries the condition until it is true; what it returned."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            fail("not in time: " + what)
        time.sleep(0.05)


def run(*command, status=0, **options):
    """Runs a command, which must end with the status; its standard output."""
    options.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if status is not None and done.returncode != status:
        fail("%s: exit status %d, not %d\n%s%s" %
             (" ".join(command), done.returncode, status, done.stdout, done.stderr))
    return done.stdout


class Cluster:
    """A cluster of `c3fs up`, a process for each service; not mounted unless asked for."""

    def __init__(self, *options, mount=False, name="cluster", env=None):
        self.env = env
        self.dir = os.path.join(TEST_DIR, name)
        self.mount = os.path.join(TEST_DIR, name + "-mnt")
        self.options = ["--one-process=false", *([] if mount else ["--no-mount"]), *options]

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            for log in sorted(glob.glob(self.dir + "/log/*.log")):
                with open(log, encoding="utf-8", errors="replace") as f:
                    print("---- %s\n%s" % (log, "".join(f.readlines()[-15:])), file=sys.stderr)
        self.down(status=None)

    def up(self):
        return run(C3FS, "up", "--dir", self.dir, "--mount", self.mount, "--port-base",
                   str(PORT_BASE), *self.options, env=self.env)

    def down(self, status=0):
        return run(C3FS, "down", "--dir", self.dir, status=status)

    def admin(self, *words, status=0, config=None, **options):
        """One command line of the admin tool; what it printed."""
        cfg = config or self.dir + "/etc/admin_cli.toml"
        return run(C3FS, "admin", "-cfg", cfg, *words, status=status, **options)

    def json(self, *words, **options):
        text = self.admin("--json", *words, **options)
        try:
            return json.loads(text)
        except ValueError:
            return fail("no JSON from %s: %s" % (words, text))

    def children(self):
        text = run(C3FS, "status", "--dir", self.dir, "--json", status=None)
        return {c["name"]: c for c in json.loads(text)["children"]}

    def pid(self, name):
        return self.children()[name]["pid"]

    def chains_serve(self):
        chains = self.json("list-chains", status=None)
        return chains and all(c["Status"] == "SERVING" for c in chains)
