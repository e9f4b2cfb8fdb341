#!/usr/bin/env python3
"""mixed_load.py - threads that write, read, rename, truncate and remove checked files on a mount.

    mixed_load.py DIRECTORY THREADS SECONDS

Every block of a file carries (file, offset, generation) and a CRC; a read that finds anything else
than what its own thread last wrote is a wrong byte. Prints one line of counts; exit status 1 on a
wrong byte or an error.
"""
import os, random, struct, sys, threading, time, zlib

BLOCK = 4096


def block(tag, offset, generation):
    head = struct.pack("<QQQ", tag, offset, generation)
    body = (head * (BLOCK // len(head) + 1))[: BLOCK - 4]
    return body + struct.pack("<I", zlib.crc32(body))


class Worker(threading.Thread):
    def __init__(self, directory, index, end):
        super().__init__()
        self.directory = os.path.join(directory, f"t{index}")
        self.index, self.end = index, end
        self.random = random.Random(index)
        self.files = {}  # name -> list of generations, one a block
        self.serial = self.operations = 0
        self.worst = 0.0
        self.problems = []

    def write(self, name):
        blocks = self.files[name]
        first = self.random.randrange(len(blocks))
        count = min(self.random.choice((1, 1, 4, 64, 300)), len(blocks) - first)
        self.serial += 1
        tag = self.tag(name)
        data = b"".join(block(tag, (first + i) * BLOCK, self.serial) for i in range(count))
        with open(os.path.join(self.directory, name), "r+b", buffering=0) as f:
            f.seek(first * BLOCK)
            view = memoryview(data)
            while view:
                view = view[f.write(view):]
            if self.random.random() < 0.3:
                os.fsync(f.fileno())
        for i in range(count):
            blocks[first + i] = self.serial

    def tag(self, name):
        return self.index << 32 | int(name.split("-")[0][1:])

    def read(self, name):
        blocks = self.files[name]
        first = self.random.randrange(len(blocks))
        count = min(self.random.choice((1, 8, 64, 300)), len(blocks) - first)
        with open(os.path.join(self.directory, name), "rb", buffering=0) as f:
            f.seek(first * BLOCK)
            data = bytearray()
            while len(data) < count * BLOCK:
                piece = f.read(count * BLOCK - len(data))
                if not piece:
                    break
                data += piece
        for i in range(count):
            generation = blocks[first + i]
            want = bytes(BLOCK)
            if generation:
                want = block(self.tag(name), (first + i) * BLOCK, generation)
            got = bytes(data[i * BLOCK:(i + 1) * BLOCK])
            if got != want:
                found = struct.unpack("<QQQ", got[:24]) if len(got) > 24 else got
                self.problems.append(f"wrong bytes: {name} block {first + i}, {len(got)} bytes, "
                                     f"generation {generation}, found {found}")
                return

    def create(self):
        name = f"f{len(self.files) + self.serial * 1000}-a"
        count = self.random.choice((1, 3, 256, 257, 700))
        with open(os.path.join(self.directory, name), "xb") as f:
            f.truncate(count * BLOCK)
        self.serial += 1
        self.files[name] = [0] * count

    def truncate(self, name):
        blocks = self.files[name]
        keep = self.random.randrange(len(blocks) + 1)
        path = os.path.join(self.directory, name)
        os.truncate(path, keep * BLOCK)
        os.truncate(path, len(blocks) * BLOCK)
        for i in range(keep, len(blocks)):
            blocks[i] = 0

    def rename(self, name):
        new = name + "r" if len(name) < 60 else name.split("-")[0] + "-a"
        if new in self.files:
            return
        os.rename(os.path.join(self.directory, name), os.path.join(self.directory, new))
        self.files[new] = self.files.pop(name)

    def remove(self, name):
        os.unlink(os.path.join(self.directory, name))
        del self.files[name]

    def step(self):
        if len(self.files) < 3:
            return self.create()
        name = self.random.choice(sorted(self.files))
        actions = (self.write, self.read, self.truncate, self.rename, self.remove)
        action = self.random.choices(actions, (40, 45, 3, 8, 4))[0]
        action(name)

    def run(self):
        os.makedirs(self.directory, exist_ok=True)
        while time.time() < self.end and not self.problems:
            begin = time.time()
            try:
                self.step()
            except OSError as error:
                self.problems.append(f"error: {error}")
            self.worst = max(self.worst, time.time() - begin)
            self.operations += 1
        for name in list(self.files):
            if not self.problems:
                self.read(name)


def main():
    directory, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    workers = [Worker(directory, i, time.time() + seconds) for i in range(threads)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    problems = [p for w in workers for p in w.problems]
    for p in problems[:10]:
        print(p)
    print(f"{sum(w.operations for w in workers)} operations by {threads} threads, longest pause "
          f"{max(w.worst for w in workers):.2f} s, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
