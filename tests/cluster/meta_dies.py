#!/usr/bin/env python3
"""meta_dies.py - three metadata services die at random under processes that change names.

Each change must happen exactly once (names_load.py). Then a tree of many files is removed, and the
services die while it is collected: the space comes back. Sessions of a mount that was killed are
ended: the file that it wrote has its length, one that it held unlinked gives its space back; while
a reader has a file that another mount unlinked, its bytes stay.
"""
# test: soak, 900 s
import os
import random
import signal
import subprocess
import sys
import time

from cluster import C3FS, TEST_DIR, Cluster, fail, wait_until

LONG = os.environ.get("TEST_LONG") == "1"
SEED = int(os.environ.get("TEST_SEED", "1")) % 1000000
HERE = os.path.dirname(os.path.abspath(__file__))
METAS = ("meta-101", "meta-102", "meta-103")


def hurt_one(c, chance, counts):
    """One of the services is killed or asked to end, or hangs for longer than its lease."""
    pid = c.pid(chance.choice(METAS))
    if not pid:
        return
    kind = chance.choices(("kill", "end", "stop"), (5, 3, 3))[0]
    counts[kind] += 1
    if kind != "stop":
        os.kill(pid, signal.SIGKILL if kind == "kill" else signal.SIGTERM)
        return
    os.kill(pid, signal.SIGSTOP)
    time.sleep(2.5)
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass # a peer took the store from it


def names(c):
    seconds = 120 if LONG else 12
    load = subprocess.Popen([sys.executable, HERE + "/names_load.py", c.mount + "/names", "6",
                             str(seconds), str(SEED)], stdout=subprocess.PIPE, text=True)
    chance, counts = random.Random(SEED), {"kill": 0, "end": 0, "stop": 0}
    while load.poll() is None:
        time.sleep(chance.uniform(0.2, 1.5))
        hurt_one(c, chance, counts)
    output, _ = load.communicate()
    assert load.returncode == 0, output
    print("%(kill)d kills, %(end)d ends, %(stop)d hangs" % counts + ": " + output.strip())


def used_bytes(c):
    targets = c.json("list-targets", status=None)
    return sum(int(t["UsedSize"]) for t in targets)


def collection(c):
    count = 20000 if LONG else 2000
    before = used_bytes(c)
    os.mkdir(c.mount + "/tree")
    for i in range(count):
        if i % 100 == 0:
            os.mkdir("%s/tree/%d" % (c.mount, i))
        with open("%s/tree/%d/%d" % (c.mount, i - i % 100, i), "wb") as f:
            f.write(b"%d" % i)
    wait_until(30, "space is used", lambda: used_bytes(c) > before + 2 * count * 65536)
    os.rename(c.mount + "/tree", c.mount + "/3fs-virt/rm-rf/tree")
    begin, kills, turn = time.monotonic(), 0, 0
    while used_bytes(c) > before:
        assert time.monotonic() - begin < 240, "the space is not back"
        if kills < (30 if LONG else 6):
            pid = c.pid(METAS[turn % 3])
            turn += 1
            if pid:
                os.kill(pid, signal.SIGKILL)
                kills += 1
        time.sleep(0.7)
    print("%d files collected in %.0f s, with %d kills" % (count, time.monotonic() - begin, kills))


class Mount:
    """Another mount of the cluster, by a daemon that nobody starts again."""

    def __init__(self, c, name):
        self.path = TEST_DIR + "/" + name
        os.mkdir(self.path)
        with open(self.path + ".log", "wb") as log:
            self.daemon = subprocess.Popen([C3FS, "fuse", "--cfg", c.dir + "/etc/fuse.toml",
                                            "--config.mountpoint=" + self.path],
                                           stdout=log, stderr=log)
        wait_until(30, "mount " + name, lambda: os.path.ismount(self.path))

    def end(self, number=signal.SIGTERM):
        self.daemon.send_signal(number)
        self.daemon.wait(timeout=60)
        subprocess.run(["umount", "-l", self.path], check=False, stderr=subprocess.DEVNULL)


def readers(c):
    """Who has a file open reads it to the end, whoever unlinks it and whoever closes first."""
    content = os.urandom(3 << 20)
    other = Mount(c, "other")
    paths = [m + "/shared" for m in (c.mount, other.path)]
    with open(paths[0], "wb") as f:
        f.write(content)
    writer = os.open(paths[0], os.O_RDWR)
    reader = os.open(paths[0], os.O_RDONLY | os.O_DIRECT)
    os.unlink(paths[1])
    os.close(writer)
    time.sleep(9) # collection waits for 5 s
    got = b"".join(os.pread(reader, 1 << 20, i << 20) for i in range(3))
    assert got == content, "the reader lost what was unlinked"
    os.close(reader)
    # One who only reads, on a mount that does not hear of the unlink: bytes or an error, no zeros.
    with open(paths[0], "wb") as f:
        f.write(content)
    lone = os.open(paths[1], os.O_RDONLY | os.O_DIRECT)
    os.unlink(paths[0])
    before = used_bytes(c)
    gone = 3 * len(content)
    wait_until(60, "collection of what was unlinked", lambda: used_bytes(c) <= before - gone)
    try:
        got = b"".join(os.pread(lone, 1 << 20, i << 20) for i in range(3))
        assert got == content, "wrong bytes of a file that another mount removed"
        print("what another mount removed is read on")
    except OSError as e:
        print("what another mount removed cannot be read on: %s" % e.strerror)
    os.close(lone)
    other.end()


def away(c):
    """A hole of an open file is read while no metadata service answers."""
    with open(c.mount + "/holes", "wb") as f:
        f.write(b"x")
        f.truncate(9 << 20)
        os.fsync(f.fileno())
    fd = os.open(c.mount + "/holes", os.O_RDONLY | os.O_DIRECT)
    time.sleep(1.5) # what the mount has heard of it is old
    pids = [c.pid(name) for name in (*METAS, "mgmtd-1")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        for i in range(1, 9):
            assert os.pread(fd, 1 << 20, i << 20) == bytes(1 << 20)
        took = time.monotonic() - begin
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert took < 8, "holes were read in %.1f s" % took
    print("8 holes were read in %.1f s without metadata services" % took)
    os.close(fd)


def dead_client(c):
    """Its sessions are ended: lengths and space."""
    used = used_bytes(c)
    dying = Mount(c, "dying")
    grown = open(dying.path + "/grown", "wb")
    grown.write(b"g" * (3 << 20))
    grown.flush()
    held = open(dying.path + "/gone", "wb")
    held.write(b"h" * (4 << 20))
    held.flush()
    os.fsync(held.fileno())
    os.unlink(dying.path + "/gone")
    wait_until(30, "space of both", lambda: used_bytes(c) > used + 3 * (6 << 20))
    dying.end(signal.SIGKILL)
    for f in (grown, held):
        try:
            f.close()
        except OSError:
            pass
    begin = time.monotonic()

    def is_settled():
        # By a name that the mount has not seen yet.
        name = "%s/grown-%d" % (c.mount, time.monotonic_ns())
        os.link(c.mount + "/grown", name)
        size = os.stat(name).st_size
        os.unlink(name)
        return size >= 2 << 20

    wait_until(90, "the dead mount's file has its length", is_settled)
    os.unlink(c.mount + "/grown")
    wait_until(60, "the dead mount's unlinked file is collected", lambda: used_bytes(c) <= used)
    print("sessions of a killed mount were ended after %.0f s" % (time.monotonic() - begin))


def main():
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("needs root and /dev/fuse")
        sys.exit(77)
    # A client is dead after 6 s without a word (3 min), and its sessions end after 2 s (30 s).
    env = dict(os.environ, C3FS_SESSION_TIMEOUT="6s", C3FS_SESSION_GRACE="2s",
               C3FS_SESSION_SCAN_INTERVAL="1s")
    with Cluster("--storages=3", "--metas=3", mount=True, env=env) as c:
        names(c)
        readers(c)
        away(c)
        dead_client(c)
        collection(c)
        wait_until(60, "every chain SERVING", c.chains_serve)


main()
