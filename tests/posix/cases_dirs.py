"""cases_dirs.py - reading directories."""

import ctypes
import errno as E
import os
import stat

from harness import case, equal, fails, libc, opened, put, true


class Dirent(ctypes.Structure):
    _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64), ("reclen", ctypes.c_uint16),
                ("type", ctypes.c_uint8), ("name", ctypes.c_char * 256)]


libc.opendir.restype = ctypes.c_void_p
libc.readdir.restype = ctypes.POINTER(Dirent)
libc.readdir.argtypes = libc.rewinddir.argtypes = libc.closedir.argtypes = [ctypes.c_void_p]
libc.telldir.restype = ctypes.c_long
libc.telldir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]


class Directory:
    def __init__(self, path):
        self.stream = libc.opendir(os.fsencode(path))
        true(self.stream, "opendir")

    def next(self):
        """(name, ino, type) of the next entry, or None."""
        entry = libc.readdir(self.stream)
        return (entry.contents.name, entry.contents.ino, entry.contents.type) if entry else None

    def rest(self):
        found = []
        while entry := self.next():
            found.append(entry)
        return found

    def tell(self):
        return libc.telldir(self.stream)

    def seek(self, at):
        libc.seekdir(self.stream, at)

    def rewind(self):
        libc.rewinddir(self.stream)

    def close(self):
        libc.closedir(self.stream)


def names_of(entries):
    return sorted(e[0] for e in entries)


@case
def five_thousand_names(d):
    names = [b"%s-%04d" % (b"n" * (i % 40), i) for i in range(5000)]
    directory = os.fsencode(d)
    for n in names:
        os.close(os.open(directory + b"/" + n, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    everything = sorted(names + [b".", b".."])
    stream = Directory(d)
    equal(names_of(stream.rest()), everything, "all names, each once")
    equal(stream.next(), None, "and at the end it stays")
    stream.rewind()
    first = [stream.next() for _ in range(1234)]
    at = stream.tell()
    middle = [stream.next() for _ in range(2000)]
    late = stream.tell()
    last = stream.rest()
    equal(names_of(first + middle + last), everything)
    stream.seek(at)
    equal([stream.next() for _ in range(2000)], middle, "after seekdir back")
    stream.seek(late)
    equal(stream.rest(), last, "after seekdir forward")
    stream.seek(at)
    equal(stream.rest(), middle + last)
    put(d + "/later")
    stream.rewind()
    equal(names_of(stream.rest()), sorted(everything + [b"later"]), "rewinddir sees what is new")
    stream.close()
    equal(sorted(os.listdir(directory)), sorted(names + [b"later"]))
    for n in names:
        os.unlink(directory + b"/" + n)
    equal(os.listdir(directory), [b"later"])


@case
def removal_while_reading(d):
    """rm -r: what is read is removed at once, and nothing is missed."""
    for i in range(3000):
        put("%s/f%d" % (d, i))
    stream = Directory(d)
    count = 0
    while entry := stream.next():
        if entry[0] not in (b".", b".."):
            os.unlink(os.fsencode(d) + b"/" + entry[0])
            count += 1
    stream.close()
    equal(count, 3000)
    equal(os.listdir(d), [])


@case
def creation_while_reading(d):
    """What was there before is listed exactly once, whatever comes and goes meanwhile."""
    names = sorted(b"f%04d" % i for i in range(1500))
    for n in names:
        put(d + "/" + n.decode())
    stream = Directory(d)
    seen = []
    while entry := stream.next():
        seen.append(entry[0])
        if len(seen) % 10 == 0:
            put("%s/new%05d" % (d, len(seen)))
    stream.close()
    equal(sorted(n for n in seen if n.startswith(b"f")), names)
    equal(len(set(seen)), len(seen), "each name once")


@case
def entry_types(d):
    os.chdir(d)
    put("file")
    os.mkdir("dir")
    os.symlink("x", "link")
    os.mkfifo("fifo")
    os.mknod("socket", stat.S_IFSOCK | 0o600)
    os.mknod("char", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.link("file", "hard")
    stream = Directory(".")
    found = {name.decode(): (ino, kind) for name, ino, kind in stream.rest()}
    stream.close()
    types = {"file": 8, "hard": 8, "dir": 4, "link": 10, "fifo": 1, "socket": 12, "char": 2, ".": 4,
             "..": 4}
    equal({n: kind for n, (_, kind) in found.items()}, types)
    for name, (ino, _) in found.items():
        if name != "..":
            equal(ino, os.lstat(name).st_ino, "inode of " + name)
    for entry in os.scandir("."):
        equal(entry.inode(), entry.stat(follow_symlinks=False).st_ino)


@case
def two_streams_and_threads(d):
    for i in range(700):
        put("%s/f%d" % (d, i))
    one, two = Directory(d), Directory(d)
    names_one, names_two = [], []
    for _ in range(702):
        names_one.append(one.next())
        names_two.append(two.next())
    equal(names_of(names_one), names_of(names_two))
    equal((one.next(), two.next()), (None, None))
    one.close()
    two.close()
    import threading
    found = []
    threads = [threading.Thread(target=lambda: found.append(len(os.listdir(d)))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(found, [700] * 8)


@case
def directory_handles(d):
    os.chdir(d)
    os.mkdir("dir")
    with opened("dir", os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.close(os.open("inside", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.rename("dir", "moved")
        equal(os.listdir(fd), ["inside"])
        os.fsync(fd)
        fails(E.EISDIR, os.read, fd, 10)
        fails(E.EBADF, os.write, fd, b"x")
        fails(E.EINVAL, os.ftruncate, fd, 0)
        os.unlink("inside", dir_fd=fd)
        equal(os.listdir(fd), [])
        equal(os.stat("moved").st_ino, os.fstat(fd).st_ino)
    equal(os.listdir("moved"), [])
