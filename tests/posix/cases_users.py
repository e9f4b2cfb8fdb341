"""cases_users.py - who may do what: EACCES and EPERM as Linux gives them."""

import errno as E
import os

from harness import OTHER, THIRD, as_user, case, equal, get, opened, put, renameat2

R, W, RW, CREAT, TRUNC = os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC


def try_open(path, flags):
    os.close(os.open(path, flags, 0o644))


@case
def mode_bits(d):
    """(mode, uid, gid of the file; who; flags) -> errno, for the three classes."""
    os.chdir(d)
    put("file")
    table = [
        (0o400, OTHER, OTHER, OTHER, R, 0), (0o400, OTHER, OTHER, OTHER, W, E.EACCES),
        (0o200, OTHER, OTHER, OTHER, R, E.EACCES), (0o200, OTHER, OTHER, OTHER, W, 0),
        (0o077, OTHER, OTHER, OTHER, R, E.EACCES),  # the owner's class alone counts
        (0o040, 0, OTHER, OTHER, R, 0), (0o040, 0, OTHER, OTHER, W, E.EACCES),
        (0o707, 0, OTHER, OTHER, R, E.EACCES), (0o004, 0, 0, OTHER, R, 0),
        (0o002, 0, 0, OTHER, R, E.EACCES), (0o002, 0, 0, OTHER, W, 0), (0o000, OTHER, OTHER, 0, RW, 0),
        (0o004, 0, 0, OTHER, R | TRUNC, E.EACCES), (0o006, 0, 0, OTHER, RW | TRUNC, 0),
    ]
    for mode, uid, gid, who, flags, wanted in table:
        os.chown("file", uid, gid)
        os.chmod("file", mode)
        equal(as_user(who, try_open, "file", flags), wanted,
              "%o of %d:%d by %d with %o" % (mode, uid, gid, who, flags))
    os.chown("file", 0, THIRD)
    os.chmod("file", 0o660)
    equal(as_user(OTHER, try_open, "file", RW), E.EACCES)
    equal(as_user(OTHER, try_open, "file", RW, groups=[7, THIRD]), 0, "by a supplementary group")


@case
def directories_of_others(d):
    os.chdir(d)
    os.umask(0)
    os.mkdir("dir", 0o755)
    put("dir/file", b"x", 0o666)
    os.mkdir("dir/sub", 0o755)
    os.mkdir("mine")
    os.chown("mine", OTHER, OTHER)
    put("mine/file")
    os.chown("mine/file", OTHER, OTHER)

    def check(mode, table):
        os.chmod("dir", mode)
        for wanted, call, *arguments in table:
            equal(as_user(OTHER, call, *arguments), wanted,
                  "%o: %s%r" % (mode, call.__name__, arguments))
    check(0o755, [
        (0, os.listdir, "dir"), (0, os.stat, "dir/file"), (0, try_open, "dir/file", RW),
        (E.EACCES, try_open, "dir/new", W | CREAT), (E.EACCES, os.mkdir, "dir/new"),
        (E.EACCES, os.unlink, "dir/file"), (E.EACCES, os.rmdir, "dir/sub"),
        (E.EACCES, os.rename, "dir/file", "dir/x"), (E.EACCES, os.rename, "mine/file", "dir/x"),
        (E.EACCES, os.rename, "dir/file", "mine/x"), (E.EACCES, os.symlink, "x", "dir/new"),
        (E.EACCES, os.link, "mine/file", "dir/new"), (E.EACCES, os.mkfifo, "dir/new"),
        (E.EACCES, renameat2, "mine/file", "dir/file", 2), (E.EEXIST, os.mkdir, "dir/sub"),
        (E.ENOENT, os.unlink, "dir/missing"), (E.EEXIST, os.symlink, "x", "dir/file"),
    ])
    check(0o711, [(E.EACCES, os.listdir, "dir"), (0, os.stat, "dir/file"), (0, try_open, "dir/file", R)])
    check(0o744, [(0, os.listdir, "dir"), (E.EACCES, os.stat, "dir/file"),
                  (E.EACCES, try_open, "dir/file", R), (E.EACCES, os.chdir, "dir"),
                  (E.EACCES, os.stat, "dir/missing")])
    check(0o722, [(E.EACCES, try_open, "dir/new", W | CREAT), (E.EACCES, os.unlink, "dir/file")])
    check(0o777, [(0, try_open, "dir/new", W | CREAT), (0, os.unlink, "dir/new"),
                  (0, os.rename, "dir/file", "dir/x"), (0, os.rename, "dir/x", "dir/file"),
                  (E.EACCES, os.rename, "dir/sub", "mine/sub"),  # its ".." is not ours to write
                  (0, os.unlink, "dir/file"), (0, os.rmdir, "dir/sub")])


@case
def owner_only(d):
    """What only the owner or root may do: EPERM, where lacking mode bits are EACCES."""
    os.chdir(d)
    os.umask(0)
    os.chmod(".", 0o777)
    put("file", b"x", 0o666)
    put("closed", b"x", 0o644)
    table = [
        (E.EPERM, os.chmod, "file", 0o777), (E.EPERM, os.chown, "file", OTHER, -1),
        (E.EPERM, os.chown, "file", -1, OTHER), (E.EPERM, lambda: os.utime("file", ns=(1, 1))),
        (0, lambda: os.utime("file")), (E.EACCES, lambda: os.utime("closed")),
        (E.EPERM, lambda: os.utime("closed", ns=(1, 1))), (0, os.truncate, "file", 0),
        (E.EACCES, os.truncate, "closed", 0), (E.EPERM, os.mknod, "device", 0o20666, os.makedev(1, 3)),
        (0, os.mkfifo, "fifo"), (E.EPERM, os.chmod, ".", 0o700),
    ]
    for wanted, call, *arguments in table:
        equal(as_user(OTHER, call, *arguments), wanted, "%s%r" % (call.__name__, arguments))
    put("own")
    os.chown("own", OTHER, OTHER)
    table = [
        (0, os.chmod, "own", 0o600), (E.EPERM, os.chown, "own", THIRD, -1), (0, os.chown, "own", OTHER, -1),
        (E.EPERM, os.chown, "own", -1, THIRD), (0, os.chown, "own", -1, OTHER),
        (0, lambda: os.utime("own", ns=(1, 1))),
    ]
    for wanted, call, *arguments in table:
        equal(as_user(OTHER, call, *arguments), wanted, "%s%r" % (call.__name__, arguments))
    equal(as_user(OTHER, os.chown, "own", -1, THIRD, groups=[THIRD]), 0, "to a group of one's own")
    equal(os.stat("own").st_gid, THIRD)


@case
def sticky_directories(d):
    os.chdir(d)
    os.mkdir("tmp")
    os.chmod("tmp", 0o1777)
    for user, name in ((OTHER, "other"), (THIRD, "third")):
        equal(as_user(user, put, "tmp/" + name, b"x"), 0)
        equal(as_user(user, os.mkdir, "tmp/%s-dir" % name), 0)
        equal(os.stat("tmp/" + name).st_uid, user)
    table = [
        (E.EPERM, os.unlink, "tmp/third"), (E.EPERM, os.rmdir, "tmp/third-dir"),
        (E.EPERM, os.rename, "tmp/third", "tmp/x"), (E.EPERM, os.rename, "tmp/other", "tmp/third"),
        (E.EPERM, renameat2, "tmp/other", "tmp/third", 2), (0, os.rename, "tmp/other", "tmp/mine"),
        (0, os.unlink, "tmp/mine"), (0, os.rmdir, "tmp/other-dir"),
    ]
    for wanted, call, *arguments in table:
        equal(as_user(OTHER, call, *arguments), wanted, "%s%r" % (call.__name__, arguments))
    os.unlink("tmp/third")
    os.chown("tmp", OTHER, OTHER)
    equal(as_user(OTHER, os.rmdir, "tmp/third-dir"), 0, "the directory's owner may")


@case
def access_call(d):
    os.chdir(d)
    put("file", b"", 0o640)
    os.mkdir("dir", 0o750)

    def answers():
        return [os.access(n, m) for n in ("file", "dir", "missing")
                for m in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)]
    equal(answers(), [True, True, True, False] + [True] * 4 + [False] * 4, "root")

    def other():
        if answers() != [True, False, False, False] * 2 + [False] * 4:
            raise OSError(1, "access() answers %r" % answers())
    equal(as_user(OTHER, other), 0)


@case
def files_belong_to_their_maker(d):
    os.chdir(d)
    os.chmod(".", 0o777)
    for name, call in [("file", lambda: put("file")), ("dir", lambda: os.mkdir("dir")),
                       ("link", lambda: os.symlink("x", "link")), ("fifo", lambda: os.mkfifo("fifo"))]:
        equal(as_user(OTHER, call, gid=THIRD), 0)
        st = os.lstat(name)
        equal((st.st_uid, st.st_gid), (OTHER, THIRD), name)


@case
def open_files_outlive_rights(d):
    """Rights are checked when a file is opened and not later."""
    os.chdir(d)
    os.umask(0)
    put("file", b"before", 0o666)
    opened_end, child_says = os.pipe()
    child_hears, changed_end = os.pipe()

    def body():
        with opened("file", RW) as fd:
            os.write(child_says, b"open")
            os.read(child_hears, 10)
            os.write(fd, b"AFTER!")
            os.fsync(fd)
            os.ftruncate(fd, 3)
            if os.pread(fd, 10, 0) != b"AFT":
                raise OSError(1, "other bytes")
    pid = os.fork()
    if pid == 0:
        os.close(opened_end)
        os._exit(as_user(OTHER, body))
    os.close(child_says)
    equal(os.read(opened_end, 10), b"open")
    os.chmod("file", 0o600)
    os.chmod(".", 0o700)
    os.write(changed_end, b"changed")
    equal(os.waitpid(pid, 0)[1], 0)
    equal(get("file"), b"AFT")
    os.chmod(".", 0o755)
