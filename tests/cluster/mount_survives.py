#!/usr/bin/env python3
"""mount_survives.py - the mount outlives its daemon and its servers.

The daemon is killed again and again, also with somebody inside: it is back, and never shows the
directory below. All servers are killed at once under a checked load: only a pause. All servers
hang: an operation waits, ends by a signal, or with EIO at the mount's timeout; then all goes on.
Long: the servers hang for a minute.
"""
# test: quick, 180 s
# test: soak, 420 s
import errno
import os
import signal
import subprocess
import sys
import time

from cluster import C3FS, TEST_DIR, Cluster, fail, run, wait_until

LONG = os.environ.get("TEST_LONG") == "1"
HERE = os.path.dirname(os.path.abspath(__file__))
SHORT_TIMEOUT = 3


def servers(c):
    return {n: s["pid"] for n, s in c.children().items()
            if n.split("-")[0] in ("mgmtd", "meta", "storage")}


def signal_all(c, number):
    for pid in servers(c).values():
        if pid:
            os.kill(pid, number)


def mounts_at(path):
    with open("/proc/self/mounts", encoding="utf-8") as f:
        return [line for line in f if line.split()[1] == path]


def killed_daemon(c):
    """Somebody is inside with a file open for writing, and one who is only there."""
    marker = c.mount + "/marker"
    with open(marker, "wb") as f:
        f.write(b"kept" * 1000)
        os.fsync(f.fileno())
    inside = subprocess.Popen(["sleep", "600"], cwd=c.mount)
    held = open(c.mount + "/held", "wb")
    held.write(b"held")
    held.flush()
    os.fsync(held.fileno())
    try:
        for turn in range(6 if LONG else 3):
            kill_once(c, turn)
    finally:
        inside.kill()
        inside.wait()
    try:
        held.close()
    except OSError:
        pass
    with open(c.mount + "/held", "rb") as f:
        assert f.read() == b"held"
    print("the daemon was killed %d times: the mount was back each time" % (turn + 1))


def kill_once(c, turn):
    before = c.pid("fuse")
    os.kill(before, signal.SIGKILL)
    bare = 0
    end = time.monotonic() + 60
    while True:
        assert time.monotonic() < end, "the mount is not back"
        try:
            names = os.listdir(c.mount)
        except OSError as e:
            assert e.errno in (errno.ENOTCONN, errno.ECONNABORTED), e
            bare = 0
        else:
            if "marker" in names:
                break
            # Between umount and mount there is a moment, and no more.
            bare += 1
            assert bare < 3, "the directory below the mount is shown: %s" % names
        time.sleep(0.02)
    assert c.pid("fuse") not in (0, before)
    with open(c.mount + "/marker", "rb") as f:
        assert f.read() == b"kept" * 1000
    with open(c.mount + "/turn-%d" % turn, "xb") as f:
        f.write(b"x")
    assert len(mounts_at(c.mount)) == 1, mounts_at(c.mount)


def start_load(c, name, seconds):
    """In a directory of its own: the files of another load would be in its way."""
    return subprocess.Popen([sys.executable, HERE + "/mixed_load.py", c.mount + "/" + name, "4",
                             str(seconds)], stdout=subprocess.PIPE, text=True)


def end_load(load):
    output, _ = load.communicate(timeout=200)
    assert load.returncode == 0, output
    return output.strip()


def killed_servers(c):
    load = start_load(c, "killed", 30 if LONG else 8)
    count = 0
    while load.poll() is None and count < (5 if LONG else 2):
        time.sleep(3)
        signal_all(c, signal.SIGKILL)
        count += 1
    print("all servers killed at once, %d times: %s" % (count, end_load(load)))


def second_mount(c):
    path = TEST_DIR + "/second"
    os.mkdir(path)
    with open(TEST_DIR + "/second.log", "wb") as log:
        daemon = subprocess.Popen([C3FS, "fuse", "--cfg", c.dir + "/etc/fuse.toml",
                                   "--config.mountpoint=" + path,
                                   "--config.timeout=%ds" % SHORT_TIMEOUT],
                                  stdout=log, stderr=log)
    wait_until(30, "the second mount", lambda: mounts_at(path))
    return daemon, path


def fails_in_time(what, call, *args):
    begin = time.monotonic()
    try:
        call(*args)
        got = 0
    except OSError as e:
        got = e.errno
    took = time.monotonic() - begin
    assert got == errno.EIO, "%s: %s, not EIO" % (what, errno.errorcode.get(got, got))
    assert SHORT_TIMEOUT * 0.7 < took < SHORT_TIMEOUT + 15, "%s took %.1f s" % (what, took)


def ends_by(number, *command):
    """A process that waits for the servers ends soon after the signal, which a shell that started
    this test in the background may have set to be ignored."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    time.sleep(1)
    assert process.poll() is None, "%s did not wait" % (command,)
    begin = time.monotonic()
    process.send_signal(number)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        fail("%s does not end by signal %d" % (command, number))
    assert process.returncode == -number, process.returncode
    return time.monotonic() - begin


def hanging_servers(c):
    with open(c.mount + "/big", "wb") as f:
        f.write(os.urandom(8 << 20))
        os.fsync(f.fileno())
    daemon, second = second_mount(c)
    unread = os.open(second + "/big", os.O_RDONLY)
    load = start_load(c, "hanging", 6)
    time.sleep(1)
    begin = time.monotonic()
    signal_all(c, signal.SIGSTOP)
    try:
        fails_in_time("stat", os.stat, second + "/marker")
        fails_in_time("read", os.pread, unread, 100, 5 << 20)
        fails_in_time("create", os.open, second + "/new", os.O_CREAT | os.O_WRONLY)
        took = [ends_by(number, *command)
                for number in (signal.SIGTERM, signal.SIGKILL)
                for command in (("ls", c.mount + "/absent"),
                                ("dd", "if=%s/big" % c.mount, "bs=1M", "iflag=direct"))]
        took.append(ends_by(signal.SIGINT, "mkdir", c.mount + "/interrupted"))
        while LONG and time.monotonic() - begin < 60:
            time.sleep(1)
    finally:
        signal_all(c, signal.SIGCONT)
    hung = time.monotonic() - begin
    print("EIO at the timeout; a signal ends a wait within %.1f s" % max(took))
    wait_until(60, "reads after the servers go on", lambda: try_read(unread))
    os.close(unread)
    print("the servers hung for %.0f s: %s" % (hung, end_load(load)))
    daemon.terminate()
    daemon.wait(timeout=60)


def try_read(fd):
    try:
        return len(os.pread(fd, 100, 5 << 20)) == 100
    except OSError:
        return False


def main():
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("needs root and /dev/fuse")
        sys.exit(77)
    with Cluster("--storages=3", mount=True) as c:
        killed_daemon(c)
        killed_servers(c)
        hanging_servers(c)
        wait_until(60, "every chain SERVING", c.chains_serve)


main()
