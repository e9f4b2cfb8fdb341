#!/usr/bin/env python3
"""make_tree.py - a tree of what real trees seldom have all at once.

    make_tree.py DIRECTORY CHUNK_BYTES STRIPE_BYTES ENTRY_COUNT

Sizes around pages, chunks and stripes; hard links, also of a symlink and a fifo; devices, sockets;
names of any bytes; symlinks of any length; modes, owners, times and extended attributes at their
limits; a deep directory and one of ENTRY_COUNT entries. The same arguments make the same content.
Needs root (devices, owners) and a file system with extended attributes.
"""
import os
import random
import socket
import stat
import sys

SECOND = 10**9


def put(path, data=b""):
    with open(path, "wb") as f:
        f.write(data)
    return path


def make_sizes(at, chunk, stripe):
    os.mkdir(at)
    draw = random.Random(1)
    around = [size + d for size in (4096, chunk, stripe) for d in (-1, 0, 1)]
    for size in [0, 1] + around:
        put(at + b"/%d" % size, draw.randbytes(size))
    with open(at + b"/sparse", "wb") as f:
        f.seek(3 * chunk + 5)
        f.write(b"after a hole")
        f.truncate(2 * stripe + 1)


def make_links(at):
    for name in (at, at + b"/a", at + b"/b"):
        os.mkdir(name)
    put(at + b"/a/one", b"three names")
    os.link(at + b"/a/one", at + b"/b/two")
    os.link(at + b"/a/one", at + b"/three")
    os.symlink(b"../a/one", at + b"/b/link")
    os.link(at + b"/b/link", at + b"/a/link", follow_symlinks=False)
    os.mkfifo(at + b"/a/fifo")
    os.link(at + b"/a/fifo", at + b"/b/fifo")
    for size in (1, 255, 4095):
        os.symlink(b"t" * size, at + b"/to-%d" % size)
    os.symlink(b"/no/such/place", at + b"/dangling")
    os.symlink(b"\xff\xfe\n", at + b"/to-bytes")


def make_specials(at):
    os.mkdir(at)
    os.mknod(at + b"/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(at + b"/disk", 0o640 | stat.S_IFBLK, os.makedev(259, 1048575))
    os.mkfifo(at + b"/fifo", 0o600)
    with socket.socket(socket.AF_UNIX) as s:
        os.chdir(at)  # the path of a socket is short
        s.bind("socket")


def make_names(at):
    os.mkdir(at)
    names = [b"n" * 255, "ü".encode() * 127, b"\xff\xfe\x80", b" ", b"-rf", b"*", b"new\nline",
             b"back\\slash", b"\x01\x7f", b"..."]
    names += [bytes([c]) for c in range(1, 256) if c not in b"./" and bytes([c]) not in names]
    for name in names:
        put(at + b"/" + name, name)
    os.mkdir(at + b"/" + b"d" * 255)
    put(at + b"/" + b"d" * 255 + b"/" + b"f" * 255)


def make_deep(at):
    os.mkdir(at)
    for depth in range(60):
        at += b"/level-%d" % depth
        os.mkdir(at)
        put(at + b"/file", b"%d" % depth)


def make_attributes(at):
    os.mkdir(at)
    for mode in (0, 0o400, 0o777, 0o4755, 0o2755, 0o1644, 0o7777):
        os.chmod(put(at + b"/mode-%o" % mode), mode)
        os.mkdir(at + b"/dir-%o" % mode)
        os.chmod(at + b"/dir-%o" % mode, mode)
    os.chown(put(at + b"/owner"), 12345, 54321)
    os.chown(put(at + b"/owner-large"), 2**32 - 2, 2**32 - 2)
    os.symlink(b"owner", at + b"/owner-link")
    os.chown(at + b"/owner-link", 12345, 54321, follow_symlinks=False)
    for name, value in ((b"empty", b""), (b"bytes", bytes(range(256))), (b"long", b"x" * 2500)):
        for path in (put(at + b"/xattr-" + name), at):
            os.setxattr(path, b"user." + name, value)
    os.setxattr(put(at + b"/xattr-trusted"), b"trusted.c3fs", b"root only")


def make_many(at, count):
    os.mkdir(at)
    for i in range(count):
        put(at + b"/entry-%d" % i, b"%d\n" % i)


def set_times(at):
    """Last: of files first, then of directories, from below."""
    values = [0, 1, -1, SECOND - 1, -SECOND * 86400 * 3650, 1700000000123456789, 2**32 * SECOND,
              4102444800 * SECOND + 999999999]
    count = 0
    for where, directories, files in os.walk(at, topdown=False):
        for name in sorted(files) + sorted(directories):
            value = values[count % len(values)]
            os.utime(where + b"/" + name, ns=(value, value), follow_symlinks=False)
            count += 1


def main():
    at, chunk, stripe, count = os.fsencode(os.path.abspath(sys.argv[1])), *map(int, sys.argv[2:])
    os.umask(0o022)
    os.mkdir(at)
    make_sizes(at + b"/sizes", chunk, stripe)
    make_links(at + b"/links")
    make_specials(at + b"/specials")
    make_names(at + b"/names")
    make_deep(at + b"/deep")
    make_attributes(at + b"/attributes")
    make_many(at + b"/many", count)
    set_times(at)


main()
