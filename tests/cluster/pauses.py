"""pauses.py - checked work on a mount that times every call: how long does a client wait?

Readers and writers work at random places of files that are open all the time, past the page cache;
others make, look up, rename and remove names. A block says which it is and how often it was
written, so a wrong or lost one is found by whoever reads it, at the latest by stop(). Not a test
of its own: tests of failures and bench/failover.py use it.
"""

import mmap
import os
import random
import struct
import threading
import time
import zlib

BLOCK = 64 << 10
FILE_BLOCKS = 80  # 5 MiB: five chunks, on chains that differ from file to file
REST = 0.002  # between calls: the pauses are measured, not the rate
KINDS = ("read", "write", "names")


def block(tag, index, generation):
    head = struct.pack("<QQQ", tag, index, generation)
    return head + struct.pack("<I", zlib.crc32(head)) + bytes([generation & 255]) * (BLOCK - 28)


class Worker(threading.Thread):
    """One thread; call() times what it does."""

    def __init__(self, load, kind, index):
        super().__init__(daemon=True)
        self.load, self.kind, self.index = load, kind, index
        self.random = random.Random(index)
        self.began = None  # of the call under way
        self.worst = 0.0  # since the mark, of calls that ended
        self.count = 0

    def call(self, function, *words):
        self.began = time.monotonic()
        try:
            return function(*words)
        finally:
            end = time.monotonic()
            with self.load.lock:
                self.worst = max(self.worst, end - max(self.began, self.load.marked))
                self.began = None
                self.count += 1

    def run(self):
        try:
            self.open()
            self.load.is_open.release()
            while not self.load.is_over:
                self.step()
                time.sleep(REST)
            self.verify()
        except (OSError, AssertionError) as error:
            self.load.problems.append("%s %d: %s" % (self.kind, self.index, error))
            self.load.is_open.release()


class FileWorker(Worker):
    """Works on files of its own, each block written once before it begins."""

    def __init__(self, load, kind, index, file_count=4):
        super().__init__(load, kind, index)
        self.file_count = file_count
        self.files = []  # (descriptor, generations)
        self.buffer = mmap.mmap(-1, BLOCK)

    def open(self):
        for i in range(self.file_count):
            path = os.path.join(self.load.directory, "%s-%d-%d" % (self.kind, self.index, i))
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
            self.files.append((fd, [0] * FILE_BLOCKS))
            for at in range(FILE_BLOCKS):
                self.write_at(i, at)
            os.fsync(fd)
        with self.load.lock:
            self.worst = 0.0

    def tag(self, i):
        return self.index << 8 | i

    def write_at(self, i, at):
        fd, generations = self.files[i]
        self.buffer[:] = block(self.tag(i), at, generations[at] + 1)
        if self.call(os.pwritev, fd, [self.buffer], at * BLOCK) != BLOCK:
            raise AssertionError("a short write")
        generations[at] += 1

    def read_at(self, i, at):
        fd, generations = self.files[i]
        count = self.call(os.preadv, fd, [self.buffer], at * BLOCK)
        if count != BLOCK or self.buffer[:] != block(self.tag(i), at, generations[at]):
            found = struct.unpack("<QQQ", self.buffer[:24])
            raise AssertionError("wrong bytes: file %d block %d of generation %d: %d bytes of %s" %
                                 (i, at, generations[at], count, found))

    def step(self):
        i, at = self.random.randrange(self.file_count), self.random.randrange(FILE_BLOCKS)
        if self.kind == "read":
            self.read_at(i, at)
        else:
            self.write_at(i, at)

    def verify(self):
        for i, (fd, _) in enumerate(self.files):
            for at in range(FILE_BLOCKS):
                self.read_at(i, at)
            os.close(fd)


class NamesWorker(Worker):
    def open(self):
        self.place = os.path.join(self.load.directory, "names-%d" % self.index)
        os.makedirs(self.place)

    def step(self):
        name = os.path.join(self.place, "f%d" % self.count)
        os.close(self.call(os.open, name, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        self.call(os.stat, name)
        self.call(os.rename, name, name + "-r")
        self.call(os.unlink, name + "-r")

    def verify(self):
        if os.listdir(self.place):
            raise AssertionError("names are left: %s" % os.listdir(self.place))
        os.rmdir(self.place)


class Load:
    """Work on a directory of a mount from start() to stop()."""

    def __init__(self, directory, readers=2, writers=2, names=1):
        self.directory = directory
        self.lock = threading.Lock()
        self.marked = 0.0
        self.is_over = False
        self.is_open = threading.Semaphore(0)
        self.problems = []
        self.workers = [FileWorker(self, "read", i) for i in range(readers)] + \
            [FileWorker(self, "write", i) for i in range(writers)] + \
            [NamesWorker(self, "names", i) for i in range(names)]

    def start(self):
        os.makedirs(self.directory)
        for worker in self.workers:
            worker.start()
        for _ in self.workers:
            self.is_open.acquire()
        self.mark()
        return self

    def mark(self):
        """From now on pauses count."""
        with self.lock:
            self.marked = time.monotonic()
            for worker in self.workers:
                worker.worst = 0.0

    def pauses(self):
        """The longest wait in seconds of each kind since the mark, also of calls under way."""
        with self.lock:
            now = time.monotonic()
            return {kind: max([max(w.worst, now - max(w.began or now, self.marked))
                               for w in self.workers if w.kind == kind] or [0.0])
                    for kind in KINDS}

    def under_way(self):
        """For how long the oldest call has been waiting."""
        with self.lock:
            now = time.monotonic()
            return max(now - (w.began or now) for w in self.workers)

    def counts(self):
        return {kind: sum(w.count for w in self.workers if w.kind == kind) for kind in KINDS}

    def check(self):
        if self.problems:
            raise AssertionError("; ".join(self.problems))

    def stop(self):
        """Ends the work; every worker reads all of its own once more."""
        self.is_over = True
        for worker in self.workers:
            worker.join()
        self.check()


def describe(pauses):
    return ", ".join("%s %.2f s" % (kind, pauses[kind]) for kind in KINDS)
