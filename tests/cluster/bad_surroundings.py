#!/usr/bin/env python3
"""bad_surroundings.py - ports in use, directories that cannot be written, no /dev/fuse, a full
disk, data of another cluster or a newer release, two storages with one id, clocks that jump, no
memory to lock: a clear message, nothing lost, no crash.
"""
# test: quick, 240 s
import os
import re
import resource
import shutil
import socket
import struct
import subprocess
import time

from cluster import C3FS, PORT_BASE, TEST_DIR, Cluster, fail, run, wait_until

NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
FREE_PORT = PORT_BASE + 90

CLOCK_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* CLOCK_REALTIME with the offset in seconds that the file $CLOCK_OFFSET has. */
int clock_gettime(clockid_t id, struct timespec *t)
{
    int (*real)(clockid_t, struct timespec *) =
        (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int r = real(id, t);
    long long offset = 0;
    FILE *f = id == CLOCK_REALTIME ? fopen(getenv("CLOCK_OFFSET"), "r") : NULL;
    if (f) {
        if (fscanf(f, "%lld", &offset) == 1) t->tv_sec += offset;
        fclose(f);
    }
    return r;
}
"""


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def key_of(c):
    with open(c.dir + "/cluster.key", encoding="utf-8") as f:
        return f.read().strip()


def refused(words, *command, seconds=20, status=1, **options):
    """The command ends by itself with the status and a line that has all the words."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=seconds, check=False, **options)
    except subprocess.TimeoutExpired as e:
        fail("%s goes on: %s" % (" ".join(command), e.stderr))
    lines = (done.stdout + done.stderr).split("\n")
    if done.returncode != status or not any(all(w in line for w in words) for line in lines):
        fail("%s: exit status %d, not %d with %s: %s" %
             (" ".join(command), done.returncode, status, words, "\n".join(lines[-8:])))


def role(c, name, *settings):
    """A role as the cluster starts it, with other settings."""
    return [C3FS, name.split("-")[0], "--cfg", "%s/etc/%s.toml" % (c.dir, name),
            *("--config." + s for s in settings)]


def free_listen():
    return "listen=TCP://127.0.0.1:%d" % FREE_PORT


# ---- while the cluster runs ----

def test_ports(c):
    env = dict(os.environ, C3FS_CLUSTER_KEY=key_of(c))
    for name in ("mgmtd-1", "meta-101", "storage-1001"):
        refused(["cannot listen at TCP://127.0.0.1:", "another process uses the port"],
                *role(c, name, "node_id=77", *(["target_paths=%s/spare" % TEST_DIR]
                                               if name.startswith("storage") else [])), env=env)
    refused(["another process uses it: is there a second storage of this id?"],
            *role(c, "storage-1001", free_listen()), env=env)
    # up takes the next free block when somebody sits in the middle of the one that was asked for
    with socket.socket() as s:
        s.bind(("127.0.0.1", PORT_BASE + 52))
        s.listen()
        other = os.path.join(TEST_DIR, "other-ports")
        run(C3FS, "up", "--no-mount", "--dir", other, "--port-base", str(PORT_BASE + 50),
            "--storages", "1", "--replicas", "1", "--metas", "1")
        with open(other + "/etc/mgmtd-1.toml", encoding="utf-8") as f:
            port = int(re.search(r"listen = \"TCP://127.0.0.1:(\d+)", f.read()).group(1))
        run(C3FS, "down", "--dir", other)
        if PORT_BASE + 50 <= port <= PORT_BASE + 52:
            fail("up listens at %d beside a port in use" % port)


def test_foreign(c):
    env = dict(os.environ, C3FS_CLUSTER_KEY=key_of(c))
    refused(["belongs to cluster 'default', not 'other'"],
            *role(c, "mgmtd-1", free_listen(), "cluster_id=other"), env=env)
    refused(["belongs to cluster 'default', not 'other'"],
            *role(c, "meta-101", free_listen(), "cluster_id=other"), env=env)


def test_two_with_one_id(c):
    """The newer process gets the id, the older one says so; when it goes, the older one is back."""
    env = dict(os.environ, C3FS_CLUSTER_KEY=key_of(c))
    spare = os.path.join(TEST_DIR, "second-1001")
    command = role(c, "storage-1001", free_listen(), "target_paths=" + spare,
                   "advertise=TCP://127.0.0.1:%d" % FREE_PORT)
    with subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as second:
        def is_told():
            with open(c.dir + "/log/storage-1001.log", encoding="utf-8") as f:
                return "two have the same node id" in f.read()
        wait_until(20, "the older process is told", is_told)
        if second.poll() is not None:
            fail("the second process has ended")
        c.admin("checksum /f")  # from the other replicas
        second.terminate()
    wait_until(60, "every chain serves again", c.chains_serve)


# ---- while it is down ----

def test_stopped(c):
    env = dict(os.environ, C3FS_CLUSTER_KEY=key_of(c))
    refused(["belongs to node 1001 of cluster default"],
            *role(c, "storage-1001", free_listen(), "cluster_id=other"), env=env)
    refused(["belongs to node 1001 of cluster default"],
            *role(c, "storage-1001", free_listen(), "node_id=1002"), env=env)
    path = c.dir + "/storage-1002/superblock"
    with open(path, "rb") as f:
        block = f.read()
    newer = bytearray(block)
    struct.pack_into("<II", newer, 8, 99, 0)
    struct.pack_into("<I", newer, 12, crc32c(bytes(newer)))
    with open(path, "wb") as f:
        f.write(newer)
    refused(["newer"], *role(c, "storage-1002", free_listen()), env=env)
    with open(path, "rb") as f:
        if f.read() != bytes(newer):
            fail("data of a newer release was changed")
    with open(path, "wb") as f:
        f.write(block)


def test_not_writable(c):
    if os.geteuid() != 0:
        return
    os.chmod(TEST_DIR, 0o755)
    binary = shutil.copy(C3FS, os.path.join(TEST_DIR, "c3fs"))
    closed = os.path.join(TEST_DIR, "closed")
    os.mkdir(closed, 0o755)
    refused([closed + "/x: Permission denied"], *NOBODY, binary, "up", "--no-mount", "--dir",
            closed + "/x", "--port-base", str(FREE_PORT))
    refused(["cannot open the store in %s/kv" % closed], *NOBODY, binary, "mgmtd",
            "--config.node_id=1", "--config." + free_listen(), "--config.kv_path=%s/kv" % closed)
    refused([closed + "/disk"], *NOBODY, binary, "storage", "--config.node_id=1001",
            "--config." + free_listen(), "--config.target_paths=%s/disk" % closed,
            "--config.cluster_key=" + key_of(c),
            "--config.mgmtd_server_addresses=TCP://127.0.0.1:%d" % PORT_BASE)


# ---- the kernel has no fuse, no memory, no room ----

def test_no_fuse(c):
    if os.geteuid() != 0:
        return
    mask = ("mount -t tmpfs dev /dev && mknod -m 666 /dev/null c 1 3 && "
            "mknod -m 666 /dev/urandom c 1 9 && exec \"$@\"")
    inside = ["unshare", "-m", "sh", "-c", mask, "sh"]
    point = os.path.join(TEST_DIR, "no-fuse")
    os.mkdir(point)
    with open(c.dir + "/token.txt", encoding="utf-8") as f:
        token = f.read().strip()
    refused(["cannot mount at " + point, "/dev/fuse"], *inside, C3FS, "fuse",
            "--config.mountpoint=" + point, "--config.token=" + token,
            "--config.mgmtd_server_addresses=TCP://127.0.0.1:%d" % PORT_BASE)
    refused(["/dev/fuse: No such file or directory; --no-mount goes without it"], *inside, C3FS,
            "up", "--dir", point + "-dir", "--mount", point, "--port-base", str(FREE_PORT))


def test_full_disk(c):
    """A disk without room at the start, and one that fills up: what was acknowledged stays."""
    if os.geteuid() != 0:
        return
    disk = os.path.join(TEST_DIR, "small")
    os.mkdir(disk)
    run("mount", "-t", "tmpfs", "-o", "size=200k", "small", disk)
    try:
        refused([disk], C3FS, "storage", "--config.node_id=1077", "--config." + free_listen(),
                "--config.target_paths=%s/d" % disk, "--config.cluster_key=" + key_of(c),
                "--config.mgmtd_server_addresses=TCP://127.0.0.1:%d" % PORT_BASE)
    finally:
        run("umount", disk)


def test_fills_up():
    if os.geteuid() != 0:
        return
    room = os.path.join(TEST_DIR, "room")
    os.mkdir(room)
    run("mount", "-t", "tmpfs", "-o", "size=400m", "room", room)
    try:
        with Cluster("--storages", "1", "--replicas", "1", "--metas", "1", name="room/c") as c:
            sums = {}
            for i in range(200):
                c.admin("create /f%d" % i)
                text = c.admin("write-file /f%d --value %d --length 16MB" % (i, i), status=None)
                if "write length" not in text:
                    break
                sums[i] = text.split("md5 ")[1]
            if "Encounter error: " not in text or "space" not in text.lower():
                fail("a full disk is told as: " + text)
            if len(sums) < 5:
                fail("full after %d files" % len(sums))
            for i, md5 in sums.items():
                if md5 not in c.admin("read-file /f%d" % i):
                    fail("/f%d is another one after the disk was full" % i)
            for i in list(sums)[2:]:
                c.admin("rm /f%d" % i)
            c.admin("create /again")
            wait_until(60, "there is room again", lambda: "write length" in c.admin(
                "--config.timeout=5s", "write-file /again --value 1 --length 4MB", status=None))
    finally:
        run("umount", "-l", room)


def test_no_locked_memory():
    def limit():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    with Cluster("--storages", "3", name="memlock") as c:
        c.down()
        run(C3FS, "up", "--dir", c.dir, *c.options, "--port-base", str(PORT_BASE), preexec_fn=limit)
        c.admin("create /f; write-file /f --value 1 --length 3MB; checksum /f")


def test_clock():
    """The wall clock goes a day ahead and two back while files are written."""
    if not shutil.which("cc"):
        return
    shim, source = os.path.join(TEST_DIR, "shim.so"), os.path.join(TEST_DIR, "shim.c")
    offset = os.path.join(TEST_DIR, "offset")
    with open(source, "w", encoding="utf-8") as f:
        f.write(CLOCK_SHIM)
    run("cc", "-shared", "-fPIC", "-o", shim, source)

    def set_clock(seconds):
        with open(offset + ".new", "w", encoding="utf-8") as f:
            f.write("%d\n" % seconds)
        os.rename(offset + ".new", offset)
    set_clock(0)
    with Cluster("--storages", "3", name="clock") as c:
        c.down()
        env = dict(os.environ, CLOCK_OFFSET=offset, LD_PRELOAD=shim)
        run(C3FS, "up", "--dir", c.dir, *c.options, "--port-base", str(PORT_BASE), env=env)
        pids = {name: child["pid"] for name, child in c.children().items()}
        for i, seconds in enumerate((0, 86400, -86400, 3600, 0)):
            set_clock(seconds)
            c.admin("create /f%d; write-file /f%d --value %d --length 2MB; checksum /f%d" %
                    (i, i, i, i))
            time.sleep(1.5)  # longer than a lease
            if not c.chains_serve():
                fail("chains were changed by a jump of the wall clock")
        if {name: child["pid"] for name, child in c.children().items()} != pids:
            fail("a service was started anew by a jump of the wall clock")
        c.admin("checksum /f0 /f1 /f2 /f3 /f4")


def main():
    with Cluster() as c:
        c.admin("create /f; write-file /f --value 7 --length 5MB")
        want = c.admin("checksum /f")
        test_ports(c)
        test_foreign(c)
        test_not_writable(c)
        test_no_fuse(c)
        test_full_disk(c)
        test_two_with_one_id(c)
        c.down()
        test_stopped(c)
        c.up()
        wait_until(30, "every chain serves", c.chains_serve)
        if c.admin("checksum /f") != want:
            fail("the file is another one")
    test_no_locked_memory()
    test_clock()
    test_fills_up()


if __name__ == "__main__":
    main()
