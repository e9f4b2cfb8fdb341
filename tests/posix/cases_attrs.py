"""cases_attrs.py - modes, owners, times, extended attributes, sizes of the file system."""

import ctypes
import errno as E
import os
import stat
import time

from harness import (OTHER, THIRD, Options, as_user, case, equal, errno_of, fails, mode_of, opened,
                     put, raw, true)

SECOND = 10**9


@case
def modes(d):
    os.chdir(d)
    put("file")
    os.mkdir("dir")
    for mode in (0o000, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, 0o644):
        for name in ("file", "dir"):
            before = os.stat(name)
            os.chmod(name, mode)
            now = os.stat(name)
            equal(stat.S_IMODE(now.st_mode), mode)
            true(now.st_ctime_ns > before.st_ctime_ns, "chmod moves ctime")
            equal(now.st_mtime_ns, before.st_mtime_ns, "and no mtime")
    with opened("file", os.O_RDONLY) as fd:
        os.fchmod(fd, 0o600)
    equal(mode_of("file"), 0o600)
    os.symlink("file", "link")
    os.chmod("link", 0o640)
    equal((mode_of("file"), mode_of("link")), (0o640, 0o777), "chmod follows symlinks")
    fails(E.ENOENT, os.chmod, "missing", 0o600)
    fails(E.ENOTDIR, os.chmod, "file/x", 0o600)


@case
def owners(d):
    os.chdir(d)
    put("file")
    os.symlink("file", "link")
    os.chown("file", OTHER, THIRD)
    st = os.stat("file")
    equal((st.st_uid, st.st_gid), (OTHER, THIRD))
    os.chown("file", -1, OTHER)
    os.chown("file", THIRD, -1)
    st = os.stat("file")
    equal((st.st_uid, st.st_gid), (THIRD, OTHER))
    os.lchown("link", 77, 78)
    equal((os.lstat("link").st_uid, os.lstat("link").st_gid), (77, 78))
    equal(os.stat("file").st_uid, THIRD)
    with opened("file", os.O_RDONLY) as fd:
        os.fchown(fd, 2**32 - 2, 2**31)
    equal((os.stat("file").st_uid, os.stat("file").st_gid), (2**32 - 2, 2**31))
    before = os.stat("file").st_ctime_ns
    os.chown("file", 0, 0)
    true(os.stat("file").st_ctime_ns > before, "chown moves ctime")


@case
def set_id_bits_fall(d):
    os.chdir(d)
    os.chmod(".", 0o777)

    def fresh(mode):
        put("file", b"0123456789")
        os.chown("file", OTHER, OTHER)
        os.chmod("file", mode)

    def write_it():
        with opened("file", os.O_WRONLY) as fd:
            os.write(fd, b"x")

    def truncate_it():
        with opened("file", os.O_WRONLY) as fd:
            os.ftruncate(fd, 1)

    def open_truncating():
        os.close(os.open("file", os.O_WRONLY | os.O_TRUNC))

    for change in (write_it, truncate_it, open_truncating):
        fresh(0o6777)
        equal(as_user(THIRD, change), 0)
        equal(mode_of("file"), 0o777, "after %s by another user" % change.__name__)
        fresh(0o6777)
        change()
        equal(mode_of("file"), 0o6777, "after %s by root" % change.__name__)
    fresh(0o6755)
    os.chown("file", THIRD, -1)
    equal(mode_of("file"), 0o755, "after chown by root")
    fresh(0o6755)
    equal(as_user(OTHER, os.chown, "file", -1, OTHER), 0)
    equal(mode_of("file"), 0o755, "after chown by the owner")
    fresh(0o2745)  # no group execution: mandatory locking once, not set-gid
    os.chown("file", THIRD, -1)
    equal(mode_of("file"), 0o2745, "set-gid without group execution stays")
    fresh(0o644)
    equal(as_user(OTHER, os.chmod, "file", 0o2755), 0)
    equal(mode_of("file"), 0o2755, "a member of the group may set set-gid")
    os.chown("file", OTHER, THIRD)
    equal(as_user(OTHER, os.chmod, "file", 0o2755), 0)
    equal(mode_of("file"), 0o755, "who is no member may not")
    os.mkdir("dir", 0o777)
    os.chown("dir", OTHER, THIRD)
    os.chmod("dir", 0o2777)
    equal(as_user(OTHER, put, "dir/file"), 0)
    equal(as_user(OTHER, os.mkdir, "dir/sub"), 0)
    equal((os.stat("dir/file").st_gid, os.stat("dir/sub").st_gid), (THIRD, THIRD))
    equal((mode_of("dir/file"), mode_of("dir/sub")), (0o644, 0o2755), "set-gid of directories goes on")


@case
def times(d):
    os.chdir(d)
    put("file")
    os.mkdir("dir")
    os.symlink("file", "link")
    values = [(0, 0), (1, 999999999), (1234567890123456789, 1234567890987654321),
              (4102444800 * SECOND + 5, 7 * SECOND), (-5 * SECOND + 1, -SECOND)]
    for atime, mtime in values:
        for name in ("file", "dir", "link"):
            before = os.lstat(name).st_ctime_ns
            os.utime(name, ns=(atime, mtime), follow_symlinks=False)
            st = os.lstat(name)
            equal((st.st_atime_ns, st.st_mtime_ns), (atime, mtime), name)
            true(st.st_ctime_ns > before, "utimensat moves ctime")
    NOW, OMIT = (1 << 30) - 1, (1 << 30) - 2

    class Timespec(ctypes.Structure):
        _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]

    def set_times(atime, mtime):
        both = (Timespec * 2)(Timespec(*atime), Timespec(*mtime))
        raw("utimensat", -100, "file", both, 0)

    set_times((100, 1), (200, 2))
    set_times((0, OMIT), (300, 3))
    st = os.stat("file")
    equal((st.st_atime_ns, st.st_mtime_ns), (100 * SECOND + 1, 300 * SECOND + 3))
    begin = time.time_ns()
    set_times((0, NOW), (0, OMIT))
    st = os.stat("file")
    equal(st.st_mtime_ns, 300 * SECOND + 3)
    true(abs(st.st_atime_ns - begin) < 5 * SECOND, "UTIME_NOW")
    set_times((0, OMIT), (0, OMIT))
    fails(E.EINVAL, set_times, (0, SECOND + 5), (0, 0))
    os.utime("file")
    true(abs(os.stat("file").st_mtime_ns - time.time_ns()) < 5 * SECOND, "utime(NULL)")
    fails(E.ENOENT, os.utime, "missing")


@case
def times_are_ordered(d):
    """ctime and mtime of what is done later are not earlier, and the clock is the host's."""
    os.chdir(d)
    begin = time.time_ns() - SECOND
    last = begin
    for i in range(20):
        put("f%d" % i, b"x")
        st = os.stat("f%d" % i)
        true(last <= st.st_ctime_ns <= time.time_ns() + SECOND, "ctime goes forward")
        last = st.st_ctime_ns
    os.rename("f0", "g0")
    true(os.stat("g0").st_ctime_ns >= last, "ctime after a rename")


@case
def access_times(d):
    """relatime: a read moves an atime that is not newer than mtime."""
    os.chdir(d)
    put("file", b"content")
    os.utime("file", ns=(1000 * SECOND, 2000 * SECOND))
    time.sleep(0.05)  # clocks of file systems are coarse
    with opened("file", os.O_RDONLY) as fd:
        os.read(fd, 10)
    true(os.stat("file").st_atime_ns > 2000 * SECOND, "atime moves at a read")
    seen = os.stat("file").st_atime_ns
    with opened("file", os.O_RDONLY) as fd:
        os.read(fd, 10)
    equal(os.stat("file").st_atime_ns, seen, "and not at the next one")
    with opened("file", os.O_RDONLY | os.O_NOATIME) as fd:
        os.utime("file", ns=(1000 * SECOND, 2000 * SECOND))
        os.read(fd, 10)
    equal(os.stat("file").st_atime_ns, 1000 * SECOND, "O_NOATIME")


@case
def stat_fields(d):
    os.chdir(d)
    put("file", b"x" * 10000)
    os.mkdir("dir")
    st = os.stat("file")
    equal((st.st_size, st.st_nlink, stat.S_IFMT(st.st_mode)), (10000, 1, stat.S_IFREG))
    equal(st.st_dev, os.stat("dir").st_dev)
    true(st.st_ino != os.stat("dir").st_ino and st.st_ino > 0, "inode numbers differ")
    true(st.st_blksize >= 512, "a block size")
    inode = st.st_ino
    os.rename("file", "other")
    equal(os.stat("other").st_ino, inode, "the number stays")
    with opened("other", os.O_RDONLY) as fd:
        equal(os.fstat(fd).st_ino, inode)
    numbers = set()
    for i in range(50):
        put("n%d" % i)
        numbers.add(os.stat("n%d" % i).st_ino)
    equal(len(numbers), 50)


@case
def file_system_size(d):
    v = os.statvfs(d)
    true(v.f_blocks > 0 and 0 < v.f_bfree <= v.f_blocks and 0 < v.f_bavail <= v.f_bfree, "blocks")
    equal(v.f_namemax, 255)
    true(v.f_frsize >= 512 and v.f_bsize >= 512, "block sizes")
    put(d + "/file")
    with opened(d + "/file", os.O_RDONLY) as fd:
        equal(os.fstatvfs(fd).f_blocks, v.f_blocks)


# ---- extended attributes ----

CREATE, REPLACE = os.XATTR_CREATE, os.XATTR_REPLACE


@case
def xattrs(d):
    os.chdir(d)
    put("file")
    os.mkdir("dir")
    os.symlink("file", "link")
    os.mkfifo("fifo")
    for name in ("file", "dir"):
        equal(os.listxattr(name), [])
        before = os.stat(name).st_ctime_ns
        os.setxattr(name, "user.one", b"value", CREATE)
        true(os.stat(name).st_ctime_ns > before, "setxattr moves ctime")
        fails(E.EEXIST, os.setxattr, name, "user.one", b"other", CREATE)
        fails(E.ENODATA, os.setxattr, name, "user.two", b"x", REPLACE)
        equal(os.getxattr(name, "user.one"), b"value")
        os.setxattr(name, "user.one", b"changed", REPLACE)
        os.setxattr(name, "user.one", b"again")
        equal(os.getxattr(name, "user.one"), b"again")
        os.setxattr(name, "user.empty", b"")
        equal(os.getxattr(name, "user.empty"), b"")
        os.setxattr(name, "user.binary", bytes(range(256)))
        equal(os.getxattr(name, "user.binary"), bytes(range(256)))
        equal(sorted(os.listxattr(name)), ["user.binary", "user.empty", "user.one"])
        os.removexattr(name, "user.empty")
        fails(E.ENODATA, os.removexattr, name, "user.empty")
        fails(E.ENODATA, os.getxattr, name, "user.empty")
        equal(sorted(os.listxattr(name)), ["user.binary", "user.one"])
    for name in ("link", "fifo"):
        fails(E.EPERM, os.setxattr, name, "user.x", b"1", follow_symlinks=False)
        equal(os.listxattr(name, follow_symlinks=False), [])
    os.setxattr("link", "user.through", b"1")
    equal(os.getxattr("file", "user.through"), b"1")
    with opened("file", os.O_RDONLY) as fd:
        os.setxattr(fd, "user.fd", b"2")
        equal(os.getxattr(fd, "user.fd"), b"2")
    os.link("file", "hard")
    os.rename("file", "moved")
    equal(os.getxattr("hard", "user.fd"), b"2")
    equal(os.getxattr("moved", "user.one"), b"again")
    os.unlink("hard")
    os.unlink("moved")
    put("moved")
    equal(os.listxattr("moved"), [], "a new file has none of the old one's")


@case
def xattr_sizes(d):
    os.chdir(d)
    put("file")
    os.setxattr("file", "user.value", b"0123456789")
    buffer = ctypes.create_string_buffer(100)
    equal(raw("getxattr", "file", b"user.value", None, 0), 10)
    equal(raw("getxattr", "file", b"user.value", buffer, 100), 10)
    equal(buffer.raw[:10], b"0123456789")
    equal(raw("getxattr", "file", b"user.value", buffer, 10), 10)
    fails(E.ERANGE, raw, "getxattr", "file", b"user.value", buffer, 9)
    equal(raw("listxattr", "file", None, 0), len("user.value") + 1)
    fails(E.ERANGE, raw, "listxattr", "file", buffer, 10)
    fails(E.ENODATA, raw, "getxattr", "file", b"user.none", None, 0)
    name = "user." + "n" * 250
    os.setxattr("file", name, b"long name")
    equal(os.getxattr("file", name), b"long name")
    fails(E.ERANGE, os.setxattr, "file", name + "n", b"")
    fails(E.E2BIG, os.setxattr, "file", "user.big", bytes(65537))
    fails(E.EOPNOTSUPP, os.setxattr, "file", "nonsense.x", b"")
    fails(E.EOPNOTSUPP, os.setxattr, "file", "plain", b"")
    fails(E.ENOENT, os.setxattr, "missing", "user.x", b"")


@case(only_c3fs=True)
def xattrs_large_and_many(d):
    os.chdir(d)
    put("file")
    big = os.urandom(65536)
    os.setxattr("file", "user.big", big)
    equal(os.getxattr("file", "user.big"), big)
    for i in range(200):
        os.setxattr("file", "user.n%03d" % i, b"%d" % i)
    equal(sorted(os.listxattr("file")), sorted(["user.big"] + ["user.n%03d" % i for i in range(200)]))
    for i in range(200):
        equal(os.getxattr("file", "user.n%03d" % i), b"%d" % i)


@case
def xattrs_of_others(d):
    os.chdir(d)
    os.chmod(".", 0o755)
    put("file")
    os.setxattr("file", "user.x", b"1")
    equal(as_user(OTHER, os.getxattr, "file", "user.x"), 0)
    equal(as_user(OTHER, os.setxattr, "file", "user.x", b"2"), E.EACCES)
    equal(as_user(OTHER, os.removexattr, "file", "user.x"), E.EACCES)
    os.chmod("file", 0o600)
    equal(as_user(OTHER, os.getxattr, "file", "user.x"), E.EACCES)
    equal(as_user(OTHER, os.listxattr, "file"), 0)
    os.chmod("file", 0o666)
    equal(as_user(OTHER, os.setxattr, "file", "user.x", b"2"), 0)
    os.mkdir("sticky", 0o777)
    os.chmod("sticky", 0o1777)
    equal(as_user(OTHER, os.setxattr, "sticky", "user.x", b"2"), E.EPERM)
    os.setxattr("file", "trusted.t", b"root's")
    equal(os.getxattr("file", "trusted.t"), b"root's")
    true("trusted.t" in os.listxattr("file"), "root sees it")
    equal(as_user(OTHER, os.setxattr, "file", "trusted.t", b"1"), E.EPERM)
    equal(as_user(OTHER, os.getxattr, "file", "trusted.t"), E.ENODATA)
    equal(as_user(OTHER, lambda: true("trusted.t" not in os.listxattr("file"), "others do not")), 0)


@case(only_c3fs=True)
def access_control_lists_are_refused_clearly(d):
    put(d + "/file")
    got = errno_of(os.setxattr, d + "/file", "system.posix_acl_access", bytes(28))
    true(got == E.EOPNOTSUPP, "EOPNOTSUPP, not %d" % got)
    equal(errno_of(os.getxattr, d + "/file", "system.posix_acl_access"), E.EOPNOTSUPP)


@case(only_c3fs=True)
def block_counts(d):
    """du of a sparse file is not more than what is in it, by whole chunks."""
    true(Options.mount, "a mount")
    put(d + "/file", b"x" * 5000)
    equal(os.stat(d + "/file").st_blocks, (5000 + 511) // 512)
