#!/usr/bin/env python3
"""powercut.py - the power of the whole host is cut at any moment of a recorded run.

    powercut.py [--cuts N] [--seed S] [--without-sync storage|kv]

A cluster of three storages works on disks whose writes and flushes are logged in one order
(write_log.c): one for the metadata store, one for each storage. Writers put a mark into the log for
each change that was acknowledged. Then, for each of N moments, the disks are made as the cut would
have left them: all that was flushed, and of later writes what chance decides. A cluster is started
on them, and everything that was marked before the cut must be there.

--without-sync takes the syncs of the storages or of the store away while the run is recorded: then
something must be lost, or the test would prove nothing. Quick: 6 cuts.
"""
# test: soak, 1200 s
import argparse
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import acknowledged # noqa: E402

C3FS = os.environ["C3FS"]
PORT_BASE = int(os.environ.get("PORT_BASE", "28000"))
STORAGES, WRITERS = 3, 4
DISK_BYTES = 1 << 30
HEAD = struct.Struct("=IIQQ")
WRITE, FLUSH, MARK = 1, 2, 3

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* Syncs of files whose path has $NO_SYNC_OF are not done. */
static int is_done_without(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n < 0 ? 0 : n] = 0;
    return strstr(path, getenv("NO_SYNC_OF")) != NULL;
}
int fsync(int fd)
{
    return is_done_without(fd) ? 0 : ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
int fdatasync(int fd)
{
    return is_done_without(fd) ? 0 : ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"""


def sh(*command, check=True, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if check and done.returncode:
        raise AssertionError("%s: %s%s" % (" ".join(command), done.stdout, done.stderr))
    return done.stdout.strip()


class Host:
    """Disks with file systems, mounted as the directories of a cluster."""

    def __init__(self, top, name):
        self.dir = "%s/%s" % (top, name)
        self.cluster, self.mount = self.dir + "/cluster", self.dir + "/mnt"
        self.loops, self.mounts = [], []

    def attach(self, files, is_new):
        os.makedirs(self.cluster, exist_ok=True)
        os.makedirs(self.mount, exist_ok=True)
        for disk, path in enumerate(files):
            loop = sh("losetup", "-f", "--show", path)
            self.loops.append(loop)
            if is_new:
                sh("mkfs.ext4", "-q", "-m", "0", "-E", "nodiscard,lazy_itable_init=1", loop)
            at = self.cluster if disk == 0 else "%s/storage-%d" % (self.cluster, 1000 + disk)
            if is_new:
                os.makedirs(at, exist_ok=True)
            sh("mount", loop, at)
            self.mounts.append(at)

    def up(self, *options, env=None):
        sh(C3FS, "up", "--dir", self.cluster, "--mount", self.mount, "--port-base",
           str(PORT_BASE), *options, env=env, timeout=120)

    def down(self):
        sh(C3FS, "down", "--dir", self.cluster, check=False, timeout=120)

    def errors(self):
        with open(self.cluster + "/log/cluster.log", encoding="utf-8", errors="replace") as f:
            return "".join([line for line in f if " ERROR " in line][-8:])

    def detach(self):
        self.down()
        for at in reversed(self.mounts):
            sh("umount", at, check=False) or sh("umount", "-l", at, check=False)
        for loop in self.loops:
            sh("losetup", "-d", loop, check=False)
        self.mounts, self.loops = [], []


def build(top, name, source, *flags):
    path = "%s/%s" % (top, name)
    sh("cc", "-O2", "-D_GNU_SOURCE", "-o", path, *source, *flags)
    return path


def record(top, seconds, without):
    """Runs the load on logged disks; the log."""
    here = os.path.dirname(os.path.abspath(__file__))
    flags = sh("pkg-config", "--cflags", "--libs", "fuse3").split()
    program = build(top, "write_log", [here + "/write_log.c"], *flags)
    env = dict(os.environ)
    if without:
        with open(top + "/shim.c", "w", encoding="ascii") as f:
            f.write(SHIM)
        shim = build(top, "shim.so", [top + "/shim.c"], "-shared", "-fPIC", "-ldl")
        env.update(LD_PRELOAD=shim, C3FS_LOOP_BACKEND="posix",
                   NO_SYNC_OF="/storage-" if without == "storage" else "/kv/")
    disks = top + "/disks"
    os.mkdir(disks)
    os.mkdir(top + "/log")
    logger = subprocess.Popen([program, disks, top + "/log", str(STORAGES + 1), str(DISK_BYTES)])
    host = Host(top, "live")
    try:
        wait_until(20, "the logged disks", lambda: os.path.exists(disks + "/mark"))
        host.attach(["%s/disk-%d" % (disks, i) for i in range(STORAGES + 1)], True)
        host.up("--storages=%d" % STORAGES, env=env)
        write_for(host, disks + "/mark", seconds)
    finally:
        host.detach()
        sh("umount", disks, check=False)
        logger.wait(timeout=60)
    return top + "/log/log"


def write_for(host, mark_path, seconds):
    mark = os.open(mark_path, os.O_WRONLY)
    os.write(mark, b"ready\n")
    pids = []
    for index in range(WRITERS):
        pid = os.fork()
        if pid == 0:
            try:
                acknowledged.write(host.mount, index,
                                   lambda serial, i=index: os.write(mark, b"%d %d\n" % (i, serial)))
            finally:
                os._exit(1)
        pids.append(pid)
    time.sleep(seconds)
    for pid in pids:
        assert os.waitpid(pid, os.WNOHANG)[0] == 0, "a writer failed"
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.close(mark)


def read_log(path):
    """(kind, disk, offset, length, where the data is) in order."""
    records = []
    with open(path, "rb") as f:
        while True:
            head = f.read(HEAD.size)
            if len(head) < HEAD.size:
                return records
            kind, disk, offset, length = HEAD.unpack(head)
            records.append((kind, disk, offset, length, f.tell()))
            f.seek(length, os.SEEK_CUR)


class Disks:
    """The images as a log leaves them, going forward only."""

    def __init__(self, top, log, records):
        self.top, self.log, self.records = top, open(log, "rb"), records
        self.next = 0
        self.unflushed = [[] for _ in range(STORAGES + 1)]
        self.told = [0] * WRITERS
        self.paths = ["%s/stable-%d" % (top, i) for i in range(STORAGES + 1)]
        for path in self.paths:
            with open(path, "wb") as f:
                f.truncate(DISK_BYTES)

    def data(self, record):
        self.log.seek(record[4])
        return self.log.read(record[3])

    def advance(self, end):
        files = [open(path, "r+b") for path in self.paths]
        for record in self.records[self.next:end]:
            kind, disk = record[:2]
            if kind == WRITE:
                self.unflushed[disk].append(record)
            elif kind == FLUSH:
                self.write(files[disk], self.unflushed[disk])
                self.unflushed[disk] = []
            else:
                words = self.data(record).split()
                if len(words) == 2:
                    self.told[int(words[0])] = int(words[1])
        self.next = end
        for f in files:
            f.close()

    def write(self, f, records):
        for record in records:
            f.seek(record[2])
            f.write(self.data(record))

    def cut(self, chance):
        """Copies, with what chance leaves of the writes that were not flushed."""
        share = chance.choice((0, 0, 0.5, 0.9, 1))
        paths = []
        for disk, path in enumerate(self.paths):
            copy = "%s/cut-%d" % (self.top, disk)
            sh("cp", "--sparse=always", path, copy)
            with open(copy, "r+b") as f:
                self.write(f, [r for r in self.unflushed[disk] if chance.random() < share])
            paths.append(copy)
        return paths


def verify(top, paths, told):
    host = Host(top, "after")
    try:
        host.attach(paths, False)
        host.up()
        for index, count in enumerate(told):
            acknowledged.check(host.mount, index, count)
    except (AssertionError, OSError) as e:
        raise AssertionError("%s\n%s" % (e, host.errors())) from e
    finally:
        host.detach()


def wait_until(seconds, what, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("not in time: " + what)
        time.sleep(0.1)


def run(top, arguments):
    log = record(top, 8, arguments.without_sync)
    records = read_log(log)
    first = next(i for i, r in enumerate(records) if r[0] == MARK)
    chance = random.Random(arguments.seed)
    cuts = sorted(chance.randrange(first, len(records)) for _ in range(arguments.cuts))
    counts = [sum(r[0] == kind for r in records) for kind in (WRITE, FLUSH, MARK)]
    print("%d writes, %d flushes, %d changes acknowledged" % tuple(counts), flush=True)
    disks = Disks(top, log, records)
    lost = 0
    for number, cut in enumerate(cuts):
        disks.advance(cut)
        try:
            verify(top, disks.cut(chance), disks.told)
        except AssertionError as e:
            lost += 1
            print("cut %d at record %d of %d, %s acknowledged: %s" % (number, cut, len(records),
                                                                     disks.told, e), flush=True)
            if arguments.without_sync:
                break
    return len(cuts), lost


def main():
    is_long = os.environ.get("TEST_LONG") == "1"
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--cuts", type=int, default=50 if is_long else 6)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("TEST_SEED", "1")))
    parser.add_argument("--without-sync", choices=["storage", "kv"])
    arguments = parser.parse_args()
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("needs root and /dev/fuse")
        sys.exit(77)
    top = tempfile.mkdtemp(prefix="powercut-", dir=os.environ.get("TEST_DIR"))
    try:
        count, lost = run(top, arguments)
    finally:
        shutil.rmtree(top, ignore_errors=True)
    print("%d cuts, %d with something lost" % (count, lost))
    is_good = lost > 0 if arguments.without_sync else lost == 0
    sys.exit(0 if is_good else 1)


main()
