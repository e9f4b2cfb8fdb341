#!/usr/bin/env python3
"""powercut.py - the power of the whole host is cut at any moment of a recorded run.

    powercut.py [--vm] [--cuts N] [--seed S] [--without-sync storage|kv]

A cluster of three storages works on disks whose writes and flushes are logged in one order: one for
the metadata store, one for each storage. Writers put a mark into the log for each change that was
acknowledged. Then, for each of N moments, the disks are made as the cut would have left them: all
that was flushed, and of later writes what chance decides. A cluster is started on them, and
everything that was marked before the cut must be there.

With --vm the cluster runs in a virtual machine and dm-log-writes keeps the log (powercut_vm.py);
the disks are parts of one disk, whose flush is a flush of all of them. Without it, it runs on this
host, on loop devices on a file system that keeps the log (write_log.c); each disk is flushed for
itself.

--without-sync takes the syncs of the storages or of the store away while the run is recorded: then
something must be lost, or the test would prove nothing. Quick: 6 cuts.
"""
# test: soak, 1200 s
import argparse
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import acknowledged # noqa: E402
import powercut_vm # noqa: E402
from power import DISK_BYTES, STORAGES, WRITERS, Host, build, sh # noqa: E402
from power import wait_until, without_sync, write_for # noqa: E402

HEAD = struct.Struct("=IIQQ")
WRITE, FLUSH, MARK, WRITE_THROUGH = 1, 2, 3, 4
ALL_DISKS = -1


def record_here(top, seconds, without):
    """Runs the load on logged disks; the images of these before it, the log, and its records."""
    here = os.path.dirname(os.path.abspath(__file__))
    flags = sh("pkg-config", "--cflags", "--libs", "fuse3").split()
    program = build(top, "write_log", [here + "/write_log.c"], *flags)
    env = without_sync(top, without)
    disks = top + "/disks"
    os.mkdir(disks)
    os.mkdir(top + "/log")
    logger = subprocess.Popen([program, disks, top + "/log", str(STORAGES + 1), str(DISK_BYTES)])
    host = Host(top, "live")
    try:
        wait_until(20, "the logged disks", lambda: os.path.exists(disks + "/mark"))
        host.attach(["%s/disk-%d" % (disks, i) for i in range(STORAGES + 1)], True)
        host.up("--storages=%d" % STORAGES, env=env)
        mark = os.open(disks + "/mark", os.O_WRONLY)
        write_for(host, lambda text: os.write(mark, text.encode()), sys.maxsize, seconds)
        os.close(mark)
    finally:
        host.detach()
        sh("umount", disks, check=False)
        logger.wait(timeout=60)
    originals = ["%s/before-%d" % (top, disk) for disk in range(STORAGES + 1)]
    for path in originals:
        with open(path, "wb") as f:
            f.truncate(DISK_BYTES)
    return originals, top + "/log/log", read_log(top + "/log/log")


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


def record_in_vm(top, without):
    """As record_here(), in a virtual machine."""
    originals, log = powercut_vm.record(top, without)
    records = []
    for flags, at, length, data, text in powercut_vm.read_log(log):
        if flags & powercut_vm.MARK:
            records.append((MARK, 0, 0, len(text),
                            data - powercut_vm.SECTOR + powercut_vm.ENTRY.size))
            continue
        if flags & powercut_vm.FLUSH:
            records.append((FLUSH, ALL_DISKS, 0, 0, data))
        if length:
            kind = WRITE_THROUGH if flags & powercut_vm.FUA else WRITE
            records.append((kind, at // DISK_BYTES, at % DISK_BYTES, length, data))
    return originals, log, records


def overlap(one, other):
    return one[2] < other[2] + other[3] and other[2] < one[2] + one[3]


class Disks:
    """The images as a log leaves them, going forward only; before it they are @originals."""

    def __init__(self, top, originals, log, records):
        self.top, self.log, self.records = top, open(log, "rb"), records
        self.next = 0
        self.unflushed = [[] for _ in range(STORAGES + 1)]
        self.told = [0] * WRITERS
        self.paths = ["%s/stable-%d" % (top, i) for i in range(STORAGES + 1)]
        for before, path in zip(originals, self.paths):
            sh("cp", "--sparse=always", before, path)

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
                for i in range(STORAGES + 1) if disk == ALL_DISKS else [disk]:
                    self.write(files[i], self.unflushed[i])
                    self.unflushed[i] = []
            elif kind == WRITE_THROUGH:
                below = [r for r in self.unflushed[disk] if overlap(r, record)]
                self.write(files[disk], below + [record])
                self.unflushed[disk] = [r for r in self.unflushed[disk] if not overlap(r, record)]
            else:
                words = self.data(record).split(b":")
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


def run(top, arguments):
    if arguments.vm:
        originals, log, records = record_in_vm(top, arguments.without_sync)
    else:
        originals, log, records = record_here(top, 8, arguments.without_sync)
    first = next(i for i, r in enumerate(records) if r[0] == MARK)
    chance = random.Random(arguments.seed)
    cuts = sorted(chance.randrange(first, len(records)) for _ in range(arguments.cuts))
    count = {kind: sum(r[0] == kind for r in records) for kind in (WRITE, WRITE_THROUGH, FLUSH)}
    print("%d writes, %d flushes, %d changes acknowledged" % (
        count[WRITE] + count[WRITE_THROUGH], count[FLUSH],
        sum(r[0] == MARK for r in records[first + 1:])), flush=True)
    disks = Disks(top, originals, log, records)
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
    parser.add_argument("--vm", action="store_true")
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
