"""cases_names.py - names: creating, linking, renaming, removing."""

import errno as E
import os
import stat

from harness import (RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT, case, equal, fails, get,
                     opened, put, raw, renameat2, true)

RDONLY, WRONLY, RDWR = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
CREAT, EXCL, TRUNC = os.O_CREAT, os.O_EXCL, os.O_TRUNC


@case
def open_flags(d):
    os.chdir(d)
    put("file", b"0123456789")
    os.mkdir("dir")
    os.symlink("file", "to-file")
    os.symlink("missing", "dangling")
    os.symlink("dir", "to-dir")
    table = [
        (E.ENOENT, "missing", RDONLY),
        (E.ENOENT, "missing", RDWR | TRUNC),
        (E.ENOENT, "no-dir/file", WRONLY | CREAT),
        (E.ENOTDIR, "file/below", RDONLY),
        (E.ENOTDIR, "file/below", WRONLY | CREAT),
        (E.ENOTDIR, "file/", RDONLY),
        (E.EISDIR, "dir", WRONLY),
        (E.EISDIR, "dir", RDWR),
        (E.EISDIR, "dir", RDONLY | CREAT),
        (E.EISDIR, "new/", WRONLY | CREAT),
        (E.EEXIST, "file", WRONLY | CREAT | EXCL),
        (E.EEXIST, "dir", RDONLY | CREAT | EXCL),
        (E.EEXIST, "to-file", WRONLY | CREAT | EXCL),
        (E.EEXIST, "dangling", WRONLY | CREAT | EXCL),
        (E.ENOENT, "dangling", RDONLY),
        (E.ELOOP, "to-file", RDONLY | os.O_NOFOLLOW),
        (E.ELOOP, "dangling", WRONLY | CREAT | os.O_NOFOLLOW),
        (E.ENOTDIR, "file", RDONLY | os.O_DIRECTORY),
        (E.ENOTDIR, "to-file", RDONLY | os.O_DIRECTORY),
        (0, "to-dir", RDONLY | os.O_DIRECTORY),
        (0, "to-file", RDWR),
        (0, "file", WRONLY | CREAT),
        (0, "dir", RDONLY),
        (0, "to-file", os.O_PATH | os.O_NOFOLLOW),
        (E.ENOENT, "", RDONLY),
    ]
    for wanted, path, flags in table:
        if wanted:
            fails(wanted, os.open, path, flags, 0o644)
        else:
            os.close(os.open(path, flags, 0o644))
    equal(get("file"), b"0123456789", "nothing changed it")
    os.close(os.open("dangling", WRONLY | CREAT, 0o600))
    true(os.path.isfile("missing"), "O_CREAT goes through a dangling symlink")
    with opened("file", WRONLY | TRUNC):
        equal(os.stat("file").st_size, 0, "after O_TRUNC")
    put("file", b"0123456789")
    with opened("file", RDONLY | TRUNC):
        equal(os.stat("file").st_size, 0, "after O_RDONLY | O_TRUNC")


@case
def exclusive_creation_is_a_lock(d):
    """Of many processes that create one name, one wins."""
    os.chdir(d)
    for turn in range(20):
        pids = []
        for _ in range(4):
            pid = os.fork()
            if pid == 0:
                try:
                    os.open("lock%d" % turn, WRONLY | CREAT | EXCL)
                    os._exit(0)
                except FileExistsError:
                    os._exit(1)
                except OSError:
                    os._exit(2)
            pids.append(pid)
        results = sorted(os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in pids)
        equal(results, [0, 1, 1, 1], "winners and losers")


@case
def umask_and_modes(d):
    os.chdir(d)
    os.umask(0o027)
    put("file", mode=0o666)
    os.mkdir("dir", 0o777)
    os.mkfifo("fifo", 0o666)
    os.symlink("x", "link")
    equal([stat.S_IMODE(os.lstat(n).st_mode) for n in ("file", "dir", "fifo", "link")],
          [0o640, 0o750, 0o640, 0o777])
    os.umask(0)
    put("all", mode=0o7777)
    equal(stat.S_IMODE(os.stat("all").st_mode), 0o7777)
    os.mkdir("sticky", 0o1777)
    equal(stat.S_IMODE(os.stat("sticky").st_mode), 0o1777)
    with opened("unreadable", RDWR | CREAT, 0o000) as fd:
        os.write(fd, b"x")  # the mode counts for the next open only
        equal(os.fstat(fd).st_size, 1)


@case
def names_of_all_kinds(d):
    directory = os.fsencode(d)
    names = [b"a" * 255, b"\xff\xfe\x80", b"new\nline", b" ", b"...", b"-rf", "äöü→\U0001f600".encode(),
             b"\x01\x7f", b"a\\b", b"*?[", b"nul-free\x1f", b"x" * 254 + b"\xff"]
    for n in names:
        with opened(directory + b"/" + n, WRONLY | CREAT | EXCL) as fd:
            os.write(fd, n)
    equal(sorted(os.listdir(directory)), sorted(names))
    for n in names:
        equal(get(directory + b"/" + n), n)
        os.unlink(directory + b"/" + n)
    equal(os.listdir(directory), [])
    long = directory + b"/" + b"b" * 256
    fails(E.ENAMETOOLONG, os.open, long, WRONLY | CREAT)
    fails(E.ENAMETOOLONG, os.stat, long)
    fails(E.ENAMETOOLONG, os.mkdir, long)
    fails(E.ENAMETOOLONG, os.symlink, b"x", long)
    fails(E.ENAMETOOLONG, os.unlink, long)
    fails(E.ENAMETOOLONG, os.stat, directory + b"/x" * 2100)


@case
def deep_paths(d):
    os.chdir(d)
    for _ in range(60):
        os.mkdir("level")
        os.chdir("level")
    put("leaf", b"deep")
    equal(get(d + "/level" * 60 + "/leaf"), b"deep")
    equal(os.path.realpath(os.getcwd()), os.path.realpath(d) + "/level" * 60)
    os.chdir("..")
    equal(os.path.basename(os.getcwd()), "level")
    os.chdir(d)
    os.rename("level", "other")
    equal(get(d + "/other" + "/level" * 59 + "/leaf"), b"deep")


@case
def symlinks(d):
    os.chdir(d)
    for target in (b"x", b"/etc/passwd", b"../..", b"t" * 4095, b"\xff\n"):
        os.symlink(target, b"link")
        equal(os.readlink(b"link"), target)
        st = os.lstat(b"link")
        equal((st.st_size, stat.S_IFMT(st.st_mode), st.st_nlink), (len(target), stat.S_IFLNK, 1))
        fails(E.EEXIST, os.symlink, b"y", b"link")
        os.unlink(b"link")
    fails(E.ENOENT, os.symlink, "", "link")
    fails(E.ENAMETOOLONG, os.symlink, "t" * 4096, "link")
    put("file")
    fails(E.EINVAL, os.readlink, "file")
    fails(E.ENOENT, os.readlink, "missing")
    os.symlink("loop2", "loop1")
    os.symlink("loop1", "loop2")
    for call in (os.stat, os.listdir, os.readlink):
        fails(E.ELOOP, call, "loop1/x")
    fails(E.ELOOP, os.open, "loop1", RDONLY)
    fails(E.ELOOP, os.truncate, "loop1", 0)
    os.lstat("loop1")
    put("c00")
    for i in range(41):
        os.symlink("c%02d" % i, "c%02d" % (i + 1))
    os.stat("c40")
    fails(E.ELOOP, os.stat, "c41")
    os.mkdir("dir")
    put("dir/inside", b"in")
    os.symlink("dir", "to-dir")
    equal(get("to-dir/inside"), b"in")
    fails(E.ENOTDIR, os.rmdir, "to-dir")
    os.unlink("to-dir")
    equal(get("dir/inside"), b"in", "unlink takes the symlink")
    fails(E.ENOTDIR, os.rmdir, "loop1")


@case
def directories(d):
    os.chdir(d)
    before = os.stat(".")
    equal(before.st_nlink, 2, "links of an empty directory")
    os.mkdir("a")
    os.mkdir("b")
    put("file")
    now = os.stat(".")
    equal(now.st_nlink, 4, "links with two subdirectories")
    true(now.st_mtime_ns > before.st_mtime_ns and now.st_ctime_ns > before.st_ctime_ns,
         "mtime and ctime of the parent move")
    equal(os.stat("a").st_nlink, 2)
    equal(os.stat("a/..").st_ino, now.st_ino)
    equal(os.stat("a/.").st_ino, os.stat("a").st_ino)
    table = [
        (E.EEXIST, os.mkdir, "a"), (E.EEXIST, os.mkdir, "file"), (E.EEXIST, os.mkdir, "."),
        (E.ENOENT, os.mkdir, "x/y"), (E.ENOTDIR, os.mkdir, "file/y"), (E.ENOENT, os.rmdir, "x"),
        (E.ENOTDIR, os.rmdir, "file"), (E.EINVAL, os.rmdir, "a/."), (E.ENOTEMPTY, os.rmdir, "a/.."),
        (E.EISDIR, os.unlink, "a"), (E.ENOENT, os.unlink, "x"), (E.ENOTDIR, os.unlink, "file/x"),
        (E.ENOTDIR, os.unlink, "file/"), (E.EISDIR, os.truncate, "a", 0), (E.ENOTDIR, os.chdir, "file"),
        (E.ENOTDIR, os.listdir, "file"),
    ]
    for wanted, call, *arguments in table:
        fails(wanted, call, *arguments)
    put("a/inside")
    fails(E.ENOTEMPTY, os.rmdir, "a")
    os.unlink("a/inside")
    os.rmdir("a")
    equal(os.stat(".").st_nlink, 3)
    fails(E.ENOENT, os.stat, "a")


@case
def removed_directory_in_use(d):
    os.chdir(d)
    os.mkdir("gone")
    with opened("gone", RDONLY | os.O_DIRECTORY) as fd:
        os.chdir("gone")
        os.rmdir("../gone")
        equal(os.fstat(fd).st_nlink, 0, "links of a removed directory")
        fails(E.ENOENT, os.open, "new", WRONLY | CREAT)
        fails(E.ENOENT, os.mkdir, "new")
        fails(E.ENOENT, os.symlink, "x", "new")
        true(os.listdir(fd) == [], "nothing is listed")
    os.chdir(d)
    os.mkdir("gone")
    put("gone/again")


@case
def hard_links(d):
    os.chdir(d)
    put("one", b"shared")
    before = os.stat("one")
    os.mkdir("sub")
    os.link("one", "two")
    os.link("one", "sub/three")
    now = os.stat("sub/three")
    equal((now.st_ino, now.st_nlink), (before.st_ino, 3))
    true(now.st_ctime_ns > before.st_ctime_ns, "ctime moves")
    equal(now.st_mtime_ns, before.st_mtime_ns, "mtime stays")
    with opened("two", WRONLY | os.O_APPEND) as fd:
        os.write(fd, b" bytes")
    equal(get("sub/three"), b"shared bytes")
    equal(os.stat("one").st_size, 12)
    table = [
        (E.EEXIST, "one", "two"), (E.EEXIST, "one", "one"), (E.ENOENT, "missing", "x"),
        (E.EPERM, "sub", "x"), (E.ENOENT, "one", "no/x"), (E.ENOTDIR, "one", "two/x"),
    ]
    for wanted, old, new in table:
        fails(wanted, os.link, old, new)
    os.unlink("one")
    equal(os.stat("two").st_nlink, 2)
    os.unlink("two")
    equal(os.stat("sub/three").st_nlink, 1)
    equal(get("sub/three"), b"shared bytes")
    os.symlink("sub/three", "symbolic")
    os.link("symbolic", "symbolic2", follow_symlinks=False)
    equal(os.readlink("symbolic2"), "sub/three")
    equal(os.lstat("symbolic").st_nlink, 2)
    with opened("sub/three", RDONLY) as fd:
        os.unlink("sub/three")
        equal(os.fstat(fd).st_nlink, 0)
        fails(E.ENOENT, raw, "linkat", -100, "/proc/self/fd/%d" % fd, -100, "back", 0x400)


@case
def rename_rules(d):
    os.chdir(d)

    def fresh():
        os.system("rm -rf ./*")
        put("f1", b"1")
        put("f2", b"2")
        os.mkdir("empty")
        os.mkdir("full")
        put("full/x")
        os.mkdir("full/sub")
        os.symlink("f1", "link")

    table = [
        (E.ENOENT, "missing", "new"), (E.ENOENT, "f1", "no/new"), (E.ENOTDIR, "f1", "f2/new"),
        (E.EISDIR, "f1", "empty"), (E.ENOTDIR, "empty", "f1"), (E.ENOTEMPTY, "empty", "full"),
        (E.EINVAL, "full", "full/sub/new"), (E.EINVAL, "full", "full/new"),
        (E.ENOTEMPTY, "full/sub", "full"), (E.EBUSY, "empty", "."), (E.ENOTDIR, "f1", "new/"),
        (E.ENOTDIR, "link/", "new"), (0, "full", "empty"), (0, "full", "new/"), (0, "f1", "f2"),
        (0, "f1", "f1"), (0, "full", "full"), (0, "link", "f1"), (0, "f1", "link"),
        (0, "full/sub", "sub"), (0, "empty", "full/empty"), (E.ENAMETOOLONG, "f1", "n" * 256),
    ]
    for wanted, old, new in table:
        fresh()
        ino = os.lstat(old.rstrip("/")).st_ino if old != "missing" else 0
        if wanted:
            fails(wanted, os.rename, old, new)
            continue
        os.rename(old, new)
        equal(os.lstat(new.rstrip("/")).st_ino, ino, "%s -> %s" % (old, new))
        true(old == new or not os.path.lexists(old), "%s is still there" % old)
    fresh()
    os.link("f1", "same")
    os.rename("f1", "same")
    equal((get("f1"), get("same")), (b"1", b"1"), "two links of one file both stay")
    fresh()
    equal(os.stat(".").st_nlink, 4)
    os.rename("empty", "full/empty")
    equal((os.stat(".").st_nlink, os.stat("full").st_nlink), (3, 4), "links follow a directory")
    equal(os.stat("full/empty/..").st_ino, os.stat("full").st_ino)
    before = os.stat("f1")
    parent = os.stat(".")
    os.rename("f1", "f3")
    after = os.stat("f3")
    true(after.st_ctime_ns > before.st_ctime_ns, "ctime moves with a rename")
    equal(after.st_mtime_ns, before.st_mtime_ns)
    true(os.stat(".").st_mtime_ns > parent.st_mtime_ns, "mtime of the directory moves")


@case
def rename_over_open_file(d):
    os.chdir(d)
    put("old", b"old content")
    put("new", b"new")
    with opened("old", RDWR) as fd:
        os.rename("new", "old")
        equal(os.fstat(fd).st_nlink, 0)
        equal(os.pread(fd, 100, 0), b"old content")
        os.pwrite(fd, b"O", 0)
        equal(os.pread(fd, 100, 0), b"Old content")
    equal(get("old"), b"new")


@case
def rename_flags(d):
    os.chdir(d)
    put("a", b"A")
    put("b", b"B")
    os.mkdir("dir")
    put("dir/inside", b"I")
    os.mkdir("other")
    fails(E.EEXIST, renameat2, "a", "b", RENAME_NOREPLACE)
    fails(E.EEXIST, renameat2, "a", "dir", RENAME_NOREPLACE)
    fails(E.EEXIST, renameat2, "a", "a", RENAME_NOREPLACE)
    renameat2("a", "c", RENAME_NOREPLACE)
    equal(get("c"), b"A")
    fails(E.ENOENT, renameat2, "c", "missing", RENAME_EXCHANGE)
    fails(E.ENOENT, renameat2, "missing", "c", RENAME_EXCHANGE)
    fails(E.EINVAL, renameat2, "c", "b", RENAME_EXCHANGE | RENAME_NOREPLACE)
    fails(E.EINVAL, renameat2, "c", "b", RENAME_EXCHANGE | RENAME_WHITEOUT)
    fails(E.EINVAL, renameat2, "c", "b", 1 << 20)
    renameat2("c", "b", RENAME_EXCHANGE)
    equal((get("c"), get("b")), (b"B", b"A"))
    renameat2("b", "dir", RENAME_EXCHANGE)
    equal((get("dir"), get("b/inside")), (b"A", b"I"))
    renameat2("dir", "b", RENAME_EXCHANGE)
    renameat2("dir/inside", "other", RENAME_EXCHANGE)
    equal((get("other"), os.stat("dir/inside").st_mode & stat.S_IFDIR != 0), (b"I", True))
    equal((os.stat(".").st_nlink, os.stat("dir").st_nlink), (3, 3), "links after the exchange")
    equal(os.stat("dir/inside/..").st_ino, os.stat("dir").st_ino)
    fails(E.EINVAL, renameat2, "dir", "dir/inside", RENAME_EXCHANGE)
    renameat2("c", "c", RENAME_EXCHANGE)
    equal(get("c"), b"B")


@case
def unlinked_but_open(d):
    os.chdir(d)
    data = os.urandom(3 << 20)
    put("file", data)
    with opened("file", RDONLY) as reader, opened("file", RDWR) as writer:
        os.unlink("file")
        fails(E.ENOENT, os.stat, "file")
        put("file", b"another")
        equal(os.pread(reader, len(data), 0), data)
        os.pwrite(writer, b"tail", len(data))
        os.fsync(writer)
        st = os.fstat(reader)
        equal((st.st_nlink, st.st_size), (0, len(data) + 4))
        equal(os.pread(reader, 10, len(data)), b"tail")
        os.ftruncate(writer, 5)
        equal(os.pread(reader, 10, 0), data[:5])
        os.fchmod(writer, 0o600)
        with opened("/proc/self/fd/%d" % reader, RDONLY) as again:
            equal(os.pread(again, 10, 0), data[:5])
    equal(get("file"), b"another")


@case
def created_and_unlinked_many(d):
    """What temporary files do: no name is left, no error comes."""
    os.chdir(d)
    for i in range(100):
        with opened("tmp", RDWR | CREAT | EXCL) as fd:
            os.unlink("tmp")
            os.write(fd, b"%d" % i)
            equal(os.pread(fd, 10, 0), b"%d" % i)
    equal(os.listdir("."), [])


@case
def special_files(d):
    os.chdir(d)
    os.umask(0)
    table = [
        (stat.S_IFIFO | 0o640, 0), (stat.S_IFSOCK | 0o600, 0), (stat.S_IFCHR | 0o666, os.makedev(1, 3)),
        (stat.S_IFBLK | 0o660, os.makedev(259, 70000)), (stat.S_IFREG | 0o604, 0),
    ]
    for i, (mode, device) in enumerate(table):
        os.mknod("node%d" % i, mode, device)
        st = os.lstat("node%d" % i)
        equal((st.st_mode, st.st_rdev, st.st_nlink, st.st_size), (mode, device, 1, 0))
        fails(E.EEXIST, os.mknod, "node%d" % i, mode, device)
    with opened("node4", WRONLY) as fd:
        os.write(fd, b"a regular one")
    equal(get("node4"), b"a regular one")
    pid = os.fork()
    if pid == 0:
        with opened("node0", WRONLY) as fd:
            os.write(fd, b"through the fifo")
        os._exit(0)
    with opened("node0", RDONLY) as fd:
        equal(os.read(fd, 100), b"through the fifo")
    os.waitpid(pid, 0)
    fails(E.ENXIO, os.open, "node0", WRONLY | os.O_NONBLOCK)
    fails(E.ENXIO, os.open, "node1", RDONLY)
    os.rename("node0", "fifo")
    os.link("fifo", "fifo2")
    equal(os.stat("fifo2").st_nlink, 2)
    for name in ("node1", "node2", "node3", "fifo", "fifo2"):
        os.unlink(name)


@case
def unix_socket(d):
    import socket
    os.chdir(d)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("socket")
        server.listen()
        client.connect("socket")
        peer, _ = server.accept()
        with peer:
            client.sendall(b"hello")
            equal(peer.recv(10), b"hello")
    true(stat.S_ISSOCK(os.stat("socket").st_mode), "it is a socket")
