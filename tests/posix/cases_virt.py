"""cases_virt.py - what a mount of c3fs has beyond a file system: 3fs-virt, ioctls, settings."""

import errno as E
import fcntl
import os
import struct
import time

from harness import (OTHER, THIRD, Options, as_user, case, equal, fails, get, opened, put, true)


def virt(*parts):
    return os.path.join(Options.mount, "3fs-virt", *parts)


def value_of(key):
    return os.readlink(virt("get-conf", key))


def set_value(key, value):
    os.symlink(value, virt("set-conf", key))


def make_tree(path, width=3, depth=3):
    os.mkdir(path)
    for i in range(width):
        put("%s/file%d" % (path, i), b"content")
        if depth:
            make_tree("%s/dir%d" % (path, i), width, depth - 1)
    os.symlink("file0", path + "/link")


@case(only_c3fs=True)
def mount_looks_right(d):
    with open("/proc/self/mounts", encoding="utf-8") as f:
        line = [x.split() for x in f if x.split()[1] == Options.mount][0]
    true(line[0].startswith("hf3fs."), "source " + line[0])
    equal(line[2], "fuse.hf3fs")
    true("3fs-virt" in os.listdir(Options.mount), "3fs-virt is listed in the root")
    equal(sorted(os.listdir(virt())), ["get-conf", "iovs", "rm-rf", "set-conf"])
    equal(os.listdir(virt("iovs")), [])
    for name, mode in (("", 0o555), ("get-conf", 0o555), ("iovs", 0o555), ("rm-rf", 0o777),
                       ("set-conf", 0o777)):
        equal(os.stat(virt(name)).st_mode & 0o7777, mode, name)
    fails(E.EPERM, os.mkdir, virt("new"))
    fails(E.ENOENT, os.stat, virt("missing"))
    fails(E.ENOENT, os.readlink, virt("get-conf", "missing"))
    true(errno_in(os.rmdir, virt()), "3fs-virt stays")
    true(errno_in(os.rename, virt("rm-rf"), d + "/x"), "and so do its directories")


def errno_in(call, *arguments):
    try:
        call(*arguments)
    except OSError as e:
        return e.errno
    return 0


@case(only_c3fs=True)
def settings_at_start(d):
    table = {
        "sys.io_job_deq_timeout": "'1ms'", "sys.io_worker_coros.hi": "8",
        "sys.io_worker_coros.lo": "8", "sys.max_jobs_per_ioring": "32",
        "sys.storage.net_client.rdma_control.max_concurrent_transmission": "64",
        "sys.periodic_sync.enable": "true", "sys.periodic_sync.flush_write_buf": "true",
        "sys.periodic_sync.interval": "'30s'", "usr.attr_timeout": "30.0",
        "usr.dryrun_bench_mode": "false", "usr.enable_read_cache": "true", "usr.entry_timeout": "30.0",
        "usr.flush_on_stat": "true", "usr.negative_timeout": "5.0", "usr.readonly": "false",
        "usr.symlink_timeout": "5.0", "usr.sync_on_stat": "true",
    }
    for key, value in table.items():
        equal(value_of(key), value, key)
    equal(sorted(os.listdir(virt("get-conf"))), sorted(table))


@case(only_c3fs=True)
def settings_change(d):
    try:
        set_value("usr.attr_timeout", "7.5")
        equal(value_of("usr.attr_timeout"), "7.5")
        set_value("sys.periodic_sync.interval", "11s")
        equal(value_of("sys.periodic_sync.interval"), "'11s'")

        def other():
            equal(value_of("usr.attr_timeout"), "30.0", "another user's own value")
            set_value("usr.attr_timeout", "3")
            equal(value_of("usr.attr_timeout"), "3.0")
            equal(value_of("sys.periodic_sync.interval"), "'11s'")
            fails(E.EPERM, set_value, "sys.periodic_sync.interval", "1s")
        equal(as_user(OTHER, other), 0)
        equal(value_of("usr.attr_timeout"), "7.5")
        table = [
            (E.EINVAL, "usr.attr_timeout", "soon"), (E.EINVAL, "usr.attr_timeout", "-1"),
            (E.EINVAL, "usr.readonly", "maybe"), (E.EINVAL, "sys.periodic_sync.interval", "10 bananas"),
            (E.ENOENT, "usr.missing", "1"), (E.ENOENT, "missing", "1"),
        ]
        for wanted, key, value in table:
            fails(wanted, set_value, key, value)
    finally:
        set_value("usr.attr_timeout", "30")
        set_value("sys.periodic_sync.interval", "30s")


@case(only_c3fs=True)
def read_only_for_a_user(d):
    os.chmod(d, 0o777)
    put(d + "/file", b"x")
    os.mkdir(d + "/dir")
    for name in ("/file", "/dir"):
        os.chown(d + name, THIRD, THIRD)

    def other():
        set_value("usr.readonly", "true")
        table = [
            (put, d + "/new"), (os.mkdir, d + "/newdir"), (os.unlink, d + "/file"),
            (os.rmdir, d + "/dir"), (os.rename, d + "/file", d + "/x"), (os.symlink, "x", d + "/l"),
            (os.link, d + "/file", d + "/l"), (os.truncate, d + "/file", 0), (os.utime, d + "/file"),
            (os.setxattr, d + "/file", "user.x", b"1"), (os.open, d + "/file", os.O_RDWR),
            (os.mkfifo, d + "/fifo"), (os.symlink, d + "/dir", virt("rm-rf", "x")),
            (os.rename, d + "/dir", virt("rm-rf", "x")), (os.chmod, d + "/file", 0o600),
        ]
        for call, *arguments in table:
            fails(E.EROFS, call, *arguments)
        equal(get(d + "/file"), b"x")
        os.listdir(d)
        set_value("usr.readonly", "false")
        put(d + "/new")
    equal(as_user(THIRD, other), 0)
    put(d + "/file", b"root's")


@case(only_c3fs=True)
def trees_go_by_symlink(d):
    make_tree(d + "/tree")
    begin = time.monotonic()
    os.symlink(d + "/tree", virt("rm-rf", "anything"))
    took = time.monotonic() - begin
    true(took < 1, "took %.1f s" % took)
    fails(E.ENOENT, os.stat, d + "/tree")
    fails(E.ENOENT, os.lstat, virt("rm-rf", "anything"))
    equal(os.listdir(d), [])
    equal(os.stat(d).st_nlink, 2)
    os.mkdir(d + "/tree")
    put(d + "/tree/new", b"a new one")
    equal(get(d + "/tree/new"), b"a new one")
    put(d + "/single", b"x")
    os.symlink(d + "/single", virt("rm-rf", "x"))
    equal(os.listdir(d), ["tree"])
    for wanted, target in [(E.EINVAL, "/etc/passwd"), (E.EINVAL, "relative"), (E.ENOENT, d + "/missing"),
                           (E.EINVAL, Options.mount), (E.EINVAL, d + "/tree/.."), (E.ENOENT, d + "/no/x")]:
        fails(wanted, os.symlink, target, virt("rm-rf", "y"))
    equal(get(d + "/tree/new"), b"a new one")


@case(only_c3fs=True)
def trees_go_by_move(d):
    make_tree(d + "/tree")
    os.rename(d + "/tree", virt("rm-rf", "tree"))
    fails(E.ENOENT, os.stat, d + "/tree")
    equal(os.system("mkdir %s/t2 && touch %s/t2/f && mv %s/t2 %s" % (d, d, d, virt("rm-rf"))), 0)
    equal(os.listdir(d), [])
    equal(os.listdir(virt("rm-rf")), [])


@case(only_c3fs=True)
def trees_of_others_stay(d):
    os.chmod(d, 0o777)
    make_tree(d + "/tree", 1, 1)
    equal(as_user(OTHER, os.symlink, d + "/tree", virt("rm-rf", "x")), E.EPERM)
    equal(as_user(OTHER, os.rename, d + "/tree", virt("rm-rf", "x")), E.EACCES)  # the kernel's
    os.mkdir(d + "/closed", 0o700)
    make_tree(d + "/closed/tree", 1, 1)
    equal(as_user(OTHER, os.symlink, d + "/closed/tree", virt("rm-rf", "x")), E.EACCES)
    true(os.path.exists(d + "/closed/tree/file0") and os.path.exists(d + "/tree/file0"), "both stay")
    equal(as_user(OTHER, lambda: (make_tree(d + "/own", 2, 2),
                                  os.symlink(d + "/own", virt("rm-rf", "x")))), 0)
    true(not os.path.exists(d + "/own"), "one's own goes")


@case(only_c3fs=True)
def open_files_of_a_removed_tree(d):
    os.mkdir(d + "/tree")
    data = os.urandom(100000)
    put(d + "/tree/file", data)
    with opened(d + "/tree/file", os.O_RDONLY) as fd, opened(d + "/tree/w", os.O_RDWR | os.O_CREAT) as w:
        os.write(w, b"before")
        os.symlink(d + "/tree", virt("rm-rf", "x"))
        time.sleep(0.5)
        equal(os.pread(fd, len(data), 0), data)
        os.write(w, b" after")
        os.fsync(w)
        equal(os.pread(w, 100, 0), b"before after")


@case(only_c3fs=True)
def controls(d):
    path = put(d + "/file", b"x")
    for target, flags in ((path, os.O_RDONLY), (d, os.O_RDONLY | os.O_DIRECTORY)):
        with opened(target, flags) as fd:
            name = fcntl.ioctl(fd, ior("h", 0, 32), bytes(32)).rstrip(b"\0").decode()
            with open("/proc/self/mounts", encoding="utf-8") as f:
                sources = [x.split()[0] for x in f if x.split()[1] == Options.mount]
            equal("hf3fs." + name, sources[0])
            equal(u32(fd, 1), len(Options.mount), "path offset")
            equal(u32(fd, 2), 0x8f3f5fff, "magic")
            equal(u32(fd, 3), 1, "version")
            fails(E.EINVAL, fcntl.ioctl, fd, ior("h", 99, 4), bytes(4))
    with opened(path, os.O_RDWR) as fd:
        os.write(fd, b"settled")
        fcntl.ioctl(fd, ior("h", 11, 4), bytes(4))
        equal(get(path), b"settled")


def ior(letter, number, size):
    return 2 << 30 | size << 16 | ord(letter) << 8 | number


def u32(fd, number):
    return struct.unpack("I", fcntl.ioctl(fd, ior("h", number, 4), bytes(4)))[0]


@case(only_c3fs=True)
def immutable_files(d):
    path = put(d + "/file", b"stays")
    GET, SET, IMMUTABLE = 0x80086601, 0x40086602, 0x10

    def flags(fd):
        return struct.unpack("I", fcntl.ioctl(fd, GET, bytes(8))[:4])[0]
    with opened(path, os.O_RDONLY) as fd:
        fcntl.ioctl(fd, SET, struct.pack("Q", IMMUTABLE))
        equal(flags(fd) & IMMUTABLE, IMMUTABLE)
        table = [
            (os.open, path, os.O_RDWR), (os.unlink, path), (os.rename, path, d + "/x"),
            (os.link, path, d + "/x"), (os.truncate, path, 0), (os.chmod, path, 0o777),
            (os.setxattr, path, "user.x", b"1"),
        ]
        for call, *arguments in table:
            fails(E.EPERM, call, *arguments)
        equal(get(path), b"stays")
        fcntl.ioctl(fd, SET, struct.pack("Q", 0))
        equal(flags(fd) & IMMUTABLE, 0)
    os.unlink(path)
    put(path)
    os.chown(path, OTHER, OTHER)

    def other():
        with opened(path, os.O_RDONLY) as fd:
            fcntl.ioctl(fd, SET, struct.pack("Q", IMMUTABLE))
    equal(as_user(OTHER, other), E.EPERM, "root alone sets it")
