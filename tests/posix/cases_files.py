"""cases_files.py - bytes of files: reading, writing, truncating, mapping, and a random model."""

import ctypes
import errno as E
import fcntl
import mmap
import os
import signal
import struct
import threading

from harness import (case, equal, errno_of, fails, fallocate, get, in_child, opened, pattern, put,
                     raw, rng, true, write_all)

RDONLY, WRONLY, RDWR = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
CREAT, EXCL, TRUNC, APPEND = os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND
CHUNK = 1 << 20  # of the cluster that the tests start
KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO_RANGE = 1, 2, 8, 16


@case
def sizes_around_chunks(d):
    os.chdir(d)
    sizes = [0, 1, 4095, 4096, 4097]
    for chunks in (1, 2, 3, 6):
        sizes += [chunks * CHUNK - 1, chunks * CHUNK, chunks * CHUNK + 1]
    data = pattern(max(sizes))
    for size in sizes:
        put("file", data[:size])
        equal(os.stat("file").st_size, size)
        equal(get("file"), data[:size], "content of %d bytes" % size)
        equal(os.stat("file").st_blocks * 512 >= size, True, "blocks of %d bytes" % size)
        os.rename("file", "file%d" % size)
    for size in sizes:
        equal(get("file%d" % size), data[:size], "content of %d bytes, again" % size)


@case
def reads_and_writes(d):
    os.chdir(d)
    with opened("file", RDWR | CREAT) as fd:
        equal(os.write(fd, b""), 0)
        equal(os.read(fd, 10), b"")
        equal(os.write(fd, b"hello"), 5)
        equal(os.lseek(fd, 0, os.SEEK_CUR), 5)
        equal(os.lseek(fd, -2, os.SEEK_END), 3)
        equal(os.read(fd, 10), b"lo")
        equal(os.pread(fd, 2, 1), b"el")
        equal(os.pread(fd, 10, 5), b"")
        equal(os.pread(fd, 10, 1 << 40), b"")
        equal(os.lseek(fd, 0, os.SEEK_CUR), 5)
        equal(os.pwrite(fd, b"J", 0), 1)
        equal(os.pwritev(fd, [b"ab", b"", b"cd"], 6), 4)
        buffers = [bytearray(3), bytearray(10)]
        equal(os.preadv(fd, buffers, 0), 10)
        equal(bytes(buffers[0] + buffers[1][:7]), b"Jello\0abcd")
        fails(E.EINVAL, os.lseek, fd, -1, os.SEEK_SET)
        fails(E.EINVAL, os.pread, fd, 1, -1)
        fails(E.EINVAL, os.pwrite, fd, b"x", -1)
        equal(os.lseek(fd, 1 << 40, os.SEEK_SET), 1 << 40)
        equal(os.fstat(fd).st_size, 10, "a seek makes nothing longer")
    with opened("file", RDONLY) as fd:
        fails(E.EBADF, os.write, fd, b"x")
        fails(E.EINVAL, os.ftruncate, fd, 0)
    with opened("file", WRONLY) as fd:
        fails(E.EBADF, os.read, fd, 1)


@case
def append(d):
    os.chdir(d)
    put("file", b"start ")
    with opened("file", RDWR | APPEND) as one, opened("file", WRONLY | APPEND) as two:
        os.lseek(one, 0, os.SEEK_SET)
        os.write(one, b"one ")
        os.write(two, b"two ")
        os.pwrite(one, b"three", 0)  # as Linux does it: the offset does not count
        equal(os.pread(one, 100, 0), b"start one two three")
        os.ftruncate(one, 5)
        os.write(two, b"!")
        equal(os.pread(one, 100, 0), b"start!")
    equal(os.stat("file").st_size, 6)


@case
def appends_of_many_processes(d):
    """No record is lost or torn."""
    os.chdir(d)
    put("log")
    pids = []
    for who in range(4):
        pid = os.fork()
        if pid == 0:
            fd = os.open("log", WRONLY | APPEND)
            for i in range(200):
                os.write(fd, b"%d:%04d %s\n" % (who, i, b"x" * (i % 50)))
            os._exit(0)
        pids.append(pid)
    for p in pids:
        equal(os.waitpid(p, 0)[1], 0)
    lines = get("log").split(b"\n")[:-1]
    equal(len(lines), 800)
    for who in range(4):
        mine = [line for line in lines if line.startswith(b"%d:" % who)]
        equal(mine, [b"%d:%04d %s" % (who, i, b"x" * (i % 50)) for i in range(200)])


@case
def truncate(d):
    os.chdir(d)
    data = pattern(3 * CHUNK + 5000)
    for keep in (0, 1, 4096, 5000, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 4999):
        put("file", data)
        os.truncate("file", keep)
        equal(os.stat("file").st_size, keep)
        equal(get("file"), data[:keep], "shortened to %d" % keep)
        os.truncate("file", len(data))
        equal(get("file"), data[:keep] + bytes(len(data) - keep), "zeros after %d" % keep)
        with opened("file", RDWR) as fd:
            os.ftruncate(fd, keep)
            os.pwrite(fd, b"end", len(data) + 7)
        equal(get("file"), data[:keep] + bytes(len(data) + 7 - keep) + b"end")
    before = os.stat("file")
    os.truncate("file", before.st_size)
    true(os.stat("file").st_mtime_ns >= before.st_mtime_ns, "mtime")
    os.truncate("file", 10)
    now = os.stat("file")
    true(now.st_mtime_ns > before.st_mtime_ns and now.st_ctime_ns > before.st_ctime_ns,
         "a truncate moves mtime and ctime")
    for wanted, path, size in [(E.ENOENT, "missing", 0), (E.EINVAL, "file", -1), (E.EISDIR, ".", 0),
                               (E.ENOTDIR, "file/x", 0)]:
        fails(wanted, os.truncate, path, size)
    os.mkfifo("fifo")
    fails(E.EINVAL, os.truncate, "fifo", 0)


@case
def truncate_while_open(d):
    os.chdir(d)
    with opened("file", RDWR | CREAT) as fd, opened("file", RDONLY) as reader:
        os.write(fd, pattern(100000))
        os.ftruncate(fd, 50)
        equal(os.fstat(reader).st_size, 50)
        os.write(fd, b"after the end")  # at 100000: a hole before it
        equal(os.fstat(reader).st_size, 100013)
        equal(os.pread(reader, 200, 0), pattern(50) + bytes(150))
        equal(os.pread(reader, 13, 100000), b"after the end")
        with opened("file", WRONLY | TRUNC):
            equal(os.fstat(reader).st_size, 0)
            equal(os.pread(reader, 10, 0), b"")
        os.pwrite(fd, b"x", 10)
        equal(os.pread(reader, 100, 0), bytes(10) + b"x")


@case
def sparse(d):
    os.chdir(d)
    tera = 1 << 40
    with opened("file", RDWR | CREAT) as fd:
        os.ftruncate(fd, tera)
        equal(os.fstat(fd).st_size, tera)
        for offset in (0, 12345, tera // 2, tera - 4096):
            equal(os.pread(fd, 4096, offset), bytes(4096))
        os.pwrite(fd, b"middle", tera // 2)
        os.pwrite(fd, b"last", tera - 4)
        equal(os.pread(fd, 10, tera // 2 - 2), b"\0\0middle\0\0")
        equal(os.pread(fd, 10, tera - 6), b"\0\0last")
        os.pwrite(fd, b"x", 5 * CHUNK)
        equal(os.pread(fd, CHUNK, 4 * CHUNK), bytes(CHUNK))
        fails(E.ENXIO, os.lseek, fd, tera, os.SEEK_DATA)
        fails(E.ENXIO, os.lseek, fd, tera + 5, os.SEEK_HOLE)
        true(os.lseek(fd, tera // 2, os.SEEK_DATA) <= tera // 2, "SEEK_DATA at data")
        true(os.lseek(fd, 0, os.SEEK_DATA) <= 5 * CHUNK, "SEEK_DATA finds the first data")
        true(0 <= os.lseek(fd, 0, os.SEEK_HOLE) <= tera, "SEEK_HOLE")
    equal(os.stat("file").st_size, tera)
    os.truncate("file", 0)


@case
def data_and_holes_can_be_walked(d):
    """What cp --sparse and tar do: data ranges by SEEK_DATA and SEEK_HOLE hold all that is not zero."""
    os.chdir(d)
    pieces = {0: b"head", 3 * CHUNK + 17: pattern(70000), 9 * CHUNK: b"tail"}
    with opened("file", RDWR | CREAT) as fd:
        for offset, data in pieces.items():
            os.pwrite(fd, data, offset)
        os.ftruncate(fd, 12 * CHUNK)
        end = 12 * CHUNK
        whole = bytearray(end)
        at = 0
        while at < end:
            try:
                begin = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as e:
                equal(e.errno, E.ENXIO)
                break
            at = os.lseek(fd, begin, os.SEEK_HOLE)
            true(at > begin >= 0 and at <= end, "ranges go forward")
            whole[begin:at] = os.pread(fd, at - begin, begin)
        wanted = bytearray(end)
        for offset, data in pieces.items():
            wanted[offset:offset + len(data)] = data
        true(whole == wanted, "the walk found all data")


@case(only_c3fs=True)
def too_large(d):
    os.chdir(d)
    with opened("file", RDWR | CREAT) as fd:
        fails(E.EFBIG, os.ftruncate, fd, (1 << 63) - 1)
        fails(E.EFBIG, os.pwrite, fd, b"xy", (1 << 62))
        equal(os.fstat(fd).st_size, 0)


@case
def file_size_limit(d):
    """RLIMIT_FSIZE: EFBIG and SIGXFSZ, and a short write up to it."""
    import resource
    os.chdir(d)

    def body():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
        with opened("file", RDWR | CREAT) as fd:
            equal(os.pwrite(fd, bytes(5000), 8000), 2000)
            fails(E.EFBIG, os.pwrite, fd, b"x", 10000)
            fails(E.EFBIG, os.ftruncate, fd, 10001)
    in_child(body)


@case
def direct(d):
    os.chdir(d)
    size = 3 * CHUNK
    buffer = mmap.mmap(-1, size)
    data = pattern(size)
    buffer.write(data)
    with opened("file", RDWR | CREAT | os.O_DIRECT) as fd:
        equal(os.writev(fd, [buffer]), size)
        os.pwritev(fd, [memoryview(buffer)[:4096]], CHUNK - 4096)
        back = mmap.mmap(-1, size)
        equal(os.preadv(fd, [back], 0), size)
        wanted = bytearray(data)
        wanted[CHUNK - 4096:CHUNK] = data[:4096]
        true(back[:] == wanted, "what was written comes back")
        equal(os.preadv(fd, [back], size), 0)
        with opened("file", RDWR) as cached:
            equal(os.pread(cached, 4096, CHUNK - 4096), data[:4096])
            os.pwrite(cached, b"buffered", 4096)
            equal(os.preadv(fd, [back], 4096), size - 4096)
            equal(back[:8], b"buffered")
            os.pwritev(fd, [memoryview(buffer)[8192:12288]], 0)
            equal(os.pread(cached, 4096, 0), data[8192:12288], "a cached reader sees direct writes")
    equal(os.stat("file").st_size, size)


@case
def synchronous(d):
    os.chdir(d)
    for flag in (os.O_SYNC, os.O_DSYNC):
        with opened("file", RDWR | CREAT | flag) as fd:
            os.pwrite(fd, pattern(10000), 3)
            os.fsync(fd)
            os.fdatasync(fd)
            equal(os.pread(fd, 20000, 0), bytes(3) + pattern(10000))
        os.unlink("file")
    put("file", b"x")
    with opened("file", RDONLY) as fd:
        os.fsync(fd)
        raw("syncfs", fd)
    with opened("file", RDWR) as fd:
        os.write(fd, b"yz")
        raw("sync_file_range", fd, ctypes.c_long(0), ctypes.c_long(0), 7)
        raw("syncfs", fd)
    equal(get("file"), b"yz")
    os.sync()


@case
def mapped_shared(d):
    os.chdir(d)
    size = 2 * CHUNK + 1000
    put("file", pattern(size))
    with opened("file", RDWR) as fd:
        with mmap.mmap(fd, size) as m:
            equal(m[:], pattern(size))
            m[100:105] = b"HELLO"
            m[CHUNK - 2:CHUNK + 3] = b"CROSS"
            m[size - 3:size] = b"END"
            equal(os.pread(fd, 5, 100), b"HELLO", "read sees the mapping")
            os.pwrite(fd, b"world", 5000)
            equal(m[5000:5005], b"world", "the mapping sees a write")
            m.flush()
            equal(get("file")[CHUNK - 2:CHUNK + 3], b"CROSS")
            m[200:203] = b"abc"
    wanted = bytearray(pattern(size))
    for at, data in [(100, b"HELLO"), (CHUNK - 2, b"CROSS"), (size - 3, b"END"), (5000, b"world"),
                     (200, b"abc")]:
        wanted[at:at + len(data)] = data
    true(get("file") == wanted, "all of it is in the file after munmap and close")
    before = os.stat("file").st_mtime_ns
    with opened("file", RDWR) as fd, mmap.mmap(fd, 0) as m:
        m[0] = 1
        m.flush()
        os.fsync(fd)
    true(os.stat("file").st_mtime_ns > before, "a write through a mapping moves mtime")


@case
def mapped_other_ways(d):
    os.chdir(d)
    put("file", pattern(10000))
    with opened("file", RDONLY) as fd:
        fails(E.EACCES, mmap.mmap, fd, 100, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        private = mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
        private[0:3] = b"new"
        equal(os.pread(fd, 3, 0), pattern(3), "a private mapping stays private")
        private.close()

    def beyond():
        with opened("file", RDWR) as fd:
            m = mmap.mmap(fd, 10000)
            os.ftruncate(fd, 100)
            equal(m[100:200], bytes(100), "zeros behind the end in the last page")
            m[9000]  # SIGBUS
            os._exit(3)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGBUS, signal.SIG_DFL)
        beyond()
    status = os.waitpid(pid, 0)[1]
    true(os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGBUS,
         "SIGBUS behind the end, not status %d" % status)
    put("file", pattern(5000))
    with opened("file", RDWR) as fd:
        with mmap.mmap(fd, 5000) as m:
            os.unlink("file")
            m[10:13] = b"xyz"
            m.flush()
            equal(os.pread(fd, 3, 10), b"xyz")


@case
def executables(d):
    os.chdir(d)
    put("script", b"#!/bin/sh\necho from the mount $1\n", 0o755)
    equal(os.popen("./script now").read(), "from the mount now\n")
    put("plain", b"#!/bin/sh\n", 0o644)
    fails(E.EACCES, os.execv, d + "/plain", ["plain"])
    os.system("cp /bin/true ./true")
    equal(os.spawnv(os.P_WAIT, "./true", ["true"]), 0)
    pid = os.fork()
    if pid == 0:
        os.execv("/bin/sh", ["sh", "-c", "cp /bin/sleep ./sleep; exec ./sleep 30"])
    for _ in range(1000):
        try:
            if os.readlink("/proc/%d/exe" % pid).endswith("/sleep"):
                break
        except OSError:
            pass
        threading.Event().wait(0.01)
    fails(E.ETXTBSY, os.open, "sleep", WRONLY)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@case
def space_reserved_and_released(d):
    os.chdir(d)
    data = pattern(3 * CHUNK)
    with opened("file", RDWR | CREAT) as fd:
        os.posix_fallocate(fd, 0, 5000)
        equal(os.fstat(fd).st_size, 5000)
        equal(os.pread(fd, 6000, 0), bytes(5000))
        fallocate(fd, KEEP_SIZE, 0, 100000)
        equal(os.fstat(fd).st_size, 5000)
        os.pwrite(fd, data, 0)
        fallocate(fd, 0, 100, 50)
        true(os.pread(fd, len(data), 0) == data, "allocation changes no data")
        wanted = bytearray(data)
        for begin, size in [(10, 20), (4000, 5000), (CHUNK - 5, 10), (CHUNK, CHUNK), (3 * CHUNK - 7, 99)]:
            fallocate(fd, PUNCH_HOLE | KEEP_SIZE, begin, size)
            end = min(begin + size, len(wanted))
            wanted[begin:end] = bytes(end - begin)
            true(os.pread(fd, len(data), 0) == wanted, "hole at %d of %d" % (begin, size))
        equal(os.fstat(fd).st_size, len(data), "a hole keeps the size")
        fails(E.EINVAL, fallocate, fd, 0, 0, 0)
        fails(E.EINVAL, fallocate, fd, 0, -1, 10)
        true(errno_of(fallocate, fd, PUNCH_HOLE, 0, 10) in (E.EOPNOTSUPP, E.EINVAL),
             "a hole needs KEEP_SIZE")
        fallocate(fd, 0, 3 * CHUNK, 1234)
        equal(os.fstat(fd).st_size, 3 * CHUNK + 1234)
    with opened("file", RDONLY) as fd:
        fails(E.EBADF, fallocate, fd, 0, 0, 10)
    true(get("file") == wanted + bytes(1234), "after all")


@case
def copies_inside_the_kernel(d):
    os.chdir(d)
    data = pattern(2 * CHUNK + 777)
    put("from", data)
    with opened("from", RDONLY) as source, opened("to", RDWR | CREAT) as target:
        done = 0
        while n := os.copy_file_range(source, target, len(data) - done, done, done):
            done += n
        true(os.pread(target, len(data) + 1, 0) == data, "copy_file_range")
    with opened("from", RDONLY) as source, opened("to2", RDWR | CREAT) as target:
        done = 0
        while n := os.sendfile(target, source, done, len(data) - done):
            done += n
        true(os.pread(target, len(data) + 1, 0) == data, "sendfile")
    with opened("from", RDONLY) as source, opened("to3", RDWR | CREAT) as target:
        read_end, write_end = os.pipe()
        while n := os.splice(source, write_end, 65536):
            while n:
                n -= os.splice(read_end, target, n)
        os.close(read_end)
        os.close(write_end)
        true(os.pread(target, len(data) + 1, 0) == data, "splice")
    equal(os.system("cp --reflink=auto from to4 && cmp from to4"), 0)


@case
def times_of_data(d):
    os.chdir(d)
    put("file", b"x")
    os.utime("file", ns=(10**18, 10**18))
    with opened("file", RDWR) as fd:
        os.write(fd, b"y")
        mtime = os.fstat(fd).st_mtime_ns
        true(mtime > 10**18, "a write moves mtime")
        os.fsync(fd)
    after = os.stat("file")
    equal(after.st_mtime_ns, mtime, "mtime after the close is the one seen before")
    os.utime("file", ns=(5, 7))
    with opened("file", RDWR) as fd:
        os.read(fd, 1)
    equal(os.stat("file").st_mtime_ns, 7, "reading moves no mtime")
    with opened("file", RDWR) as fd:
        os.write(fd, b"z")
        os.utime(fd, ns=(11, 13))
    equal(os.stat("file").st_mtime_ns, 13, "set while dirty, kept at close")


@case
def many_threads_one_file(d):
    """Each thread owns every 8th block; blocks are written and read back in random order."""
    os.chdir(d)
    put("file")
    block, blocks, problems = 4096 * 3 + 7, 160, []

    def work(me):
        r = rng("threads %d" % me)
        fd = os.open("file", RDWR)
        mine = list(range(me, blocks, 8))
        r.shuffle(mine)
        for b in mine:
            os.pwrite(fd, bytes([b]) * block, b * block)
            other = r.choice(mine[:mine.index(b) + 1])
            if os.pread(fd, block, other * block) != bytes([other]) * block:
                problems.append(other)
        os.close(fd)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(problems, [])
    content = get("file")
    equal(len(content), block * blocks)
    for b in range(blocks):
        equal(content[b * block:(b + 1) * block], bytes([b]) * block, "block %d" % b)


@case
def writes_keep_their_order(d):
    """Overlapping writes without a read between them, which reach the disks in pieces."""
    for turn in range(8):
        r = rng("order %d" % turn)
        wanted = bytearray(3 * CHUNK)
        path = put("%s/file%d" % (d, turn))
        with opened(path, RDWR) as one, opened(path, RDWR) as two:
            os.ftruncate(one, len(wanted))
            for i in range(150):
                size = r.choice([100, 4096, 30000, 200000, CHUNK])
                at = r.randrange(0, len(wanted) - size + 1)
                data = bytes([i + 1]) * size
                os.pwrite(r.choice([one, two]), data, at)
                wanted[at:at + size] = data
        true(get(path) == wanted, "the last write wins everywhere")


class Model:
    """A file beside the bytes that it must hold."""

    def __init__(self, path, r):
        self.path, self.r, self.bytes, self.log = path, r, bytearray(), []
        put(path)
        self.fds = [os.open(path, RDWR), os.open(path, RDWR | APPEND), os.open(path, RDWR)]

    def offset(self):
        near = self.r.choice([0, CHUNK, 2 * CHUNK, len(self.bytes), len(self.bytes) // 2, 65536])
        return max(0, near + self.r.choice([0, -1, 1, self.r.randrange(-20000, 20000)]))

    def size(self):
        return self.r.choice([1, 10, 4096, 5000, 65536, self.r.randrange(1, 300000)])

    def write(self):
        at, data = self.offset(), self.r.randbytes(self.size())
        fd = self.r.choice(self.fds)
        if fd == self.fds[1]:
            at = len(self.bytes)
            write_all(fd, data)
        else:
            equal(os.pwrite(fd, data, at), len(data))
        self.replace(at, data)
        return "write %d at %d" % (len(data), at)

    def replace(self, at, data):
        if at > len(self.bytes):
            self.bytes.extend(bytes(at - len(self.bytes)))
        self.bytes[at:at + len(data)] = data

    def read(self):
        at, size = self.offset(), self.size()
        got = os.pread(self.r.choice(self.fds), size, at)
        true(got == self.bytes[at:at + size], "read of %d at %d" % (size, at))
        return "read %d at %d" % (size, at)

    def truncate(self):
        size = self.offset()
        os.ftruncate(self.fds[0], size) if self.r.random() < 0.5 else os.truncate(self.path, size)
        del self.bytes[size:]
        self.bytes.extend(bytes(size - len(self.bytes)))
        return "truncate to %d" % size

    def mapped(self):
        if not self.bytes:
            return "map nothing"
        at = self.r.randrange(len(self.bytes))
        data = self.r.randbytes(min(self.size(), len(self.bytes) - at))
        with mmap.mmap(self.fds[0], len(self.bytes)) as m:
            true(m[at:at + len(data)] == self.bytes[at:at + len(data)], "map at %d" % at)
            m[at:at + len(data)] = data
            if self.r.random() < 0.3:
                m.flush()
        self.replace(at, data)
        return "map-write %d at %d" % (len(data), at)

    def hole(self):
        at, size = self.offset(), self.size()
        mode = self.r.choice([PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE | KEEP_SIZE, 0])
        if errno_of(fallocate, self.fds[0], mode, at, size) == E.EOPNOTSUPP:
            return "no fallocate %d" % mode
        end = at + size
        if mode == 0:
            self.bytes.extend(bytes(max(0, end - len(self.bytes))))
        else:
            end = min(end, len(self.bytes))
            self.bytes[at:end] = bytes(max(0, end - at))
        return "fallocate %d of %d at %d" % (mode, size, at)

    def reopen(self):
        which = self.r.randrange(3)
        os.close(self.fds[which])
        self.fds[which] = os.open(self.path, RDWR | (APPEND if which == 1 else 0))
        return "reopen %d" % which

    def sync(self):
        os.fsync(self.r.choice(self.fds))
        return "fsync"

    def whole(self):
        equal(os.stat(self.path).st_size, len(self.bytes), "size")
        true(get(self.path) == self.bytes, "whole content")
        return "compare"

    def run(self, count):
        steps = [self.write] * 6 + [self.read] * 4 + [self.truncate, self.mapped, self.mapped,
                                                      self.hole, self.reopen, self.sync, self.whole]
        for _ in range(count):
            step = self.r.choice(steps)
            try:
                self.log.append(step())
            except AssertionError as e:
                raise AssertionError("%s, in %s after:\n      %s" % (
                    e, step.__name__, "\n      ".join(self.log[-12:])))
        for fd in self.fds:
            os.close(fd)
        self.whole()


@case
def random_operations(d):
    for turn in range(6):
        Model("%s/file%d" % (d, turn), rng("model %d" % turn)).run(250)


@case
def io_controls_of_files(d):
    os.chdir(d)
    put("file", b"12345")
    with opened("file", RDONLY) as fd:
        size = fcntl.ioctl(fd, 0x541B, struct.pack("i", 0))  # FIONREAD
        equal(struct.unpack("i", size)[0], 5)
        fails(E.ENOTTY, fcntl.ioctl, fd, 0x5401, bytes(64))  # TCGETS
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
