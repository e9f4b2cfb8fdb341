"""cases_locks.py - locks between the processes of one mount."""

import errno as E
import fcntl
import os
import struct
import time

from harness import case, equal, fails, in_child, opened, put, true


def try_flock(path, how):
    with opened(path, os.O_RDWR) as fd:
        fcntl.flock(fd, how | fcntl.LOCK_NB)


def try_range(path, how, begin, size):
    with opened(path, os.O_RDWR) as fd:
        fcntl.lockf(fd, how | fcntl.LOCK_NB, size, begin)


@case
def flock(d):
    path = put(d + "/file")
    with opened(path, os.O_RDWR) as fd:
        fcntl.flock(fd, fcntl.LOCK_SH)
        in_child(lambda: try_flock(path, fcntl.LOCK_SH))
        in_child(lambda: fails(E.EAGAIN, try_flock, path, fcntl.LOCK_EX))
        fails(E.EAGAIN, try_flock, path, fcntl.LOCK_EX)
        fcntl.flock(fd, fcntl.LOCK_EX)
        in_child(lambda: fails(E.EAGAIN, try_flock, path, fcntl.LOCK_SH))
        fcntl.flock(fd, fcntl.LOCK_UN)
        in_child(lambda: try_flock(path, fcntl.LOCK_EX))
        fcntl.flock(fd, fcntl.LOCK_EX)
    in_child(lambda: try_flock(path, fcntl.LOCK_EX))


@case
def ranges(d):
    path = put(d + "/file", b"x" * 100)
    with opened(path, os.O_RDWR) as fd:
        fcntl.lockf(fd, fcntl.LOCK_EX, 10, 20)  # 20 to 30
        in_child(lambda: fails(E.EAGAIN, try_range, path, fcntl.LOCK_EX, 25, 1))
        in_child(lambda: fails(E.EAGAIN, try_range, path, fcntl.LOCK_SH, 29, 10))
        in_child(lambda: try_range(path, fcntl.LOCK_EX, 30, 0))
        in_child(lambda: try_range(path, fcntl.LOCK_EX, 0, 20))

        def who():
            with opened(path, os.O_RDWR) as other:
                asked = struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0)
                kind, _, begin, size, pid = struct.unpack("hhqqi", fcntl.fcntl(other, fcntl.F_GETLK,
                                                                             asked))
                equal((kind, begin, size, pid), (fcntl.F_WRLCK, 20, 10, os.getppid()))
        in_child(who)
        fcntl.lockf(fd, fcntl.LOCK_UN, 5, 20)  # 20 to 25
        in_child(lambda: try_range(path, fcntl.LOCK_EX, 20, 5))
    in_child(lambda: try_range(path, fcntl.LOCK_EX, 0, 0))


@case
def waiting_for_a_lock(d):
    path = put(d + "/file")
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        with opened(path, os.O_RDWR) as fd:
            fcntl.lockf(fd, fcntl.LOCK_EX)
            os.write(write_end, b"locked")
            time.sleep(0.3)
            os.write(fd, b"first")
        os._exit(0)
    os.read(read_end, 6)
    with opened(path, os.O_RDWR) as fd:
        fcntl.lockf(fd, fcntl.LOCK_EX)
        equal(os.read(fd, 10), b"first", "what the first one wrote under its lock")
    os.waitpid(pid, 0)
    os.close(read_end)
    os.close(write_end)


@case
def open_file_description_locks(d):
    path = put(d + "/file")
    F_OFD_SETLK = 37
    with opened(path, os.O_RDWR) as one, opened(path, os.O_RDWR) as two:
        lock = struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 10, 0)
        fcntl.fcntl(one, F_OFD_SETLK, lock)
        fails(E.EAGAIN, fcntl.fcntl, two, F_OFD_SETLK, lock)
        fcntl.fcntl(one, F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_UNLCK, 0, 0, 10, 0))
        fcntl.fcntl(two, F_OFD_SETLK, lock)


@case
def lock_survives_nothing(d):
    """A killed holder's locks are free at once."""
    import signal
    path = put(d + "/file")
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        fd = os.open(path, os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        fcntl.lockf(fd, fcntl.LOCK_EX)
        os.write(write_end, b"x")
        signal.pause()
    os.read(read_end, 1)
    in_child(lambda: fails(E.EAGAIN, try_flock, path, fcntl.LOCK_EX))
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    begin = time.monotonic()
    try_flock(path, fcntl.LOCK_EX)
    try_range(path, fcntl.LOCK_EX, 0, 0)
    true(time.monotonic() - begin < 1, "at once")
    os.close(read_end)
    os.close(write_end)
