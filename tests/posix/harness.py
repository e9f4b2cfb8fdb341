"""harness.py - what the cases of system calls are written with.

A case is a function with @case; it gets a fresh empty directory (bytes-safe str) below the file
system under test and says what must hold with the checks below. The same cases run on a local file
system (run_cases.py DIR), which shows that the cases themselves are right; those marked only_c3fs
speak of what no local file system has.
"""

import contextlib
import ctypes
import errno
import os
import random
import stat
import sys
import time
import traceback

libc = ctypes.CDLL(None, use_errno=True)
CASES = []
OTHER, THIRD = 12345, 12346  # users and groups that are not root


class Options:
    """Set once by run_cases.py."""

    mount = None  # the mount point of c3fs; None on a local file system
    seed = 1


def case(function=None, *, only_c3fs=False):
    def register(f):
        f.only_c3fs = only_c3fs
        CASES.append(f)
        return f
    return register(function) if function else register


def rng(salt):
    return random.Random("%s %s" % (Options.seed, salt))


def equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError("%s: %.200r, not %.200r" % (what or "got", got, wanted))


def true(condition, what):
    if not condition:
        raise AssertionError(what)


def name_of(number):
    return errno.errorcode.get(number, str(number)) if number else "success"


def fails(wanted, function, *arguments, **keywords):
    """The call must fail with this errno."""
    got = 0
    try:
        function(*arguments, **keywords)
    except OSError as e:
        got = e.errno
    if got != wanted:
        raise AssertionError("%s%.120r: %s, not %s" % (getattr(function, "__name__", "call"),
                                                      arguments, name_of(got), name_of(wanted)))


def errno_of(function, *arguments, **keywords):
    try:
        function(*arguments, **keywords)
    except OSError as e:
        return e.errno
    return 0


@contextlib.contextmanager
def opened(path, flags, mode=0o644):
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def put(path, data=b"", mode=0o644):
    with opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode) as fd:
        write_all(fd, data)
    return path


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def get(path):
    with open(path, "rb") as f:
        return f.read()


def pattern(size, salt=0):
    """Bytes that differ at each 8-byte position."""
    return b"".join((i * 2654435761 + salt * 40503 & (1 << 64) - 1).to_bytes(8, "little")
                    for i in range(size // 8 + 1))[:size]


def raw(name, *arguments):
    """A function of the C library by its name; raises OSError."""
    converted = [a.encode("utf-8", "surrogateescape") if isinstance(a, str) else a
                 for a in arguments]
    ctypes.set_errno(0)
    result = getattr(libc, name)(*converted)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
AT_FDCWD = -100


def renameat2(old, new, flags):
    return raw("renameat2", AT_FDCWD, old, AT_FDCWD, new, ctypes.c_uint(flags))


def fallocate(fd, mode, offset, length):
    return raw("fallocate", fd, mode, ctypes.c_long(offset), ctypes.c_long(length))


def in_child(function):
    """Runs it in a child process; an exception there fails the case here. Returns its result text."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(read_end)
            result = function()
            os.write(write_end, b"" if result is None else str(result).encode())
            status = 0
        except BaseException:
            os.write(write_end, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(status)
    os.close(write_end)
    text = b""
    while part := os.read(read_end, 65536):
        text += part
    os.close(read_end)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise AssertionError("in the child (status %d): %s" % (status, text.decode()))
    return text.decode()


def as_user(uid, function, *arguments, groups=(), gid=None):
    """Runs it as another user; returns the errno it failed with, or 0."""
    def body():
        os.setgroups(list(groups))
        os.setgid(uid if gid is None else gid)
        os.setuid(uid)
        return errno_of(function, *arguments)
    return int(in_child(body))


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def run_all(root, wanted):
    failed = []
    count = 0
    for index, f in enumerate(CASES):
        if f.only_c3fs and not Options.mount:
            continue
        if wanted and not any(w in f.__name__ for w in wanted):
            continue
        directory = os.path.join(root, "%02d-%s" % (index, f.__name__))
        os.mkdir(directory, 0o755)
        old_mask = os.umask(0o022)
        count += 1
        begin = time.monotonic()
        try:
            f(directory)
        except Exception:
            failed.append(f.__name__)
            lines = traceback.format_exc().strip().split("\n")
            print("FAIL %s\n    %s" % (f.__name__, "\n    ".join(lines[-14:])), flush=True)
        finally:
            os.umask(old_mask)
            os.chdir("/")
        took = time.monotonic() - begin
        if took > 2:
            print("%s took %.1f s" % (f.__name__, took))
    print("%d cases, %d failed%s" % (count, len(failed),
                                     ": " + " ".join(failed) if failed else ""))
    sys.stdout.flush()
    return 1 if failed or not count else 0
