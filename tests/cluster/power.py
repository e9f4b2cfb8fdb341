"""power.py - what the tests of a power cut share: hosts with a cluster on disks of their own, and
the load whose acknowledged changes are marked.
"""

import os
import select
import signal
import subprocess
import time
import traceback

import acknowledged

C3FS = os.environ.get("C3FS", "")
PORT_BASE = int(os.environ.get("PORT_BASE", "28000"))
STORAGES, WRITERS = 3, 4
DISK_BYTES = 1 << 30

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* Syncs of files whose path has $NO_SYNC_OF are not done. */
static int is_done_without(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n < 0 ? 0 : n] = 0;
    return strstr(path, getenv("NO_SYNC_OF")) != NULL;
}
int fsync(int fd)
{
    return is_done_without(fd) ? 0 : ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
int fdatasync(int fd)
{
    return is_done_without(fd) ? 0 : ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"""


def sh(*command, check=True, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if check and done.returncode:
        raise AssertionError("%s: %s%s" % (" ".join(command), done.stdout, done.stderr))
    return done.stdout.strip()


def make_file_system(device, *options):
    sh("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1" + "".join(
        ",%s" % option for option in options), device)


class Host:
    """Disks with file systems, mounted as the directories of a cluster; @slowness times slower than
    a host usually is."""

    def __init__(self, top, name, slowness=1):
        self.slowness = slowness
        self.dir = "%s/%s" % (top, name)
        self.cluster, self.mount = self.dir + "/cluster", self.dir + "/mnt"
        self.loops, self.mounts = [], []

    def attach(self, files, is_new):
        for path in files:
            loop = sh("losetup", "-f", "--show", path)
            self.loops.append(loop)
            if is_new:
                make_file_system(loop)
        self.mount_disks(self.loops)

    def mount_disks(self, devices):
        os.makedirs(self.mount, exist_ok=True)
        for disk, device in enumerate(devices):
            at = self.cluster if disk == 0 else "%s/storage-%d" % (self.cluster, 1000 + disk)
            os.makedirs(at, exist_ok=True)
            sh("mount", device, at)
            self.mounts.append(at)

    def up(self, *options, env=None):
        sh(C3FS, "up", "--dir", self.cluster, "--mount", self.mount, "--port-base",
           str(PORT_BASE), *options, env=env, timeout=120 * self.slowness)

    def down(self):
        sh(C3FS, "down", "--dir", self.cluster, check=False, timeout=120 * self.slowness)

    def errors(self):
        with open(self.cluster + "/log/cluster.log", encoding="utf-8", errors="replace") as f:
            return "".join([line for line in f if " ERROR " in line][-8:])

    def detach(self):
        self.down()
        for at in reversed(self.mounts):
            sh("umount", at, check=False) or sh("umount", "-l", at, check=False)
        for loop in self.loops:
            sh("losetup", "-d", loop, check=False)
        self.mounts, self.loops = [], []


def build(top, name, source, *flags):
    path = "%s/%s" % (top, name)
    sh("cc", "-O2", "-D_GNU_SOURCE", "-o", path, *source, *flags)
    return path


def without_sync(top, which):
    """The environment in which the storages or the store do no syncs (@which; none: it does)."""
    env = dict(os.environ)
    if which:
        with open(top + "/shim.c", "w", encoding="ascii") as f:
            f.write(SHIM)
        shim = build(top, "shim.so", [top + "/shim.c"], "-shared", "-fPIC", "-ldl")
        env.update(LD_PRELOAD=shim, C3FS_LOOP_BACKEND="posix",
                   NO_SYNC_OF="/storage-" if which == "storage" else "/kv/")
    return env


def write_for(host, mark, changes, seconds):
    """Writers in the mount, until so many changes were acknowledged, or for so long; each is told
    to mark(text), before them "ready"."""
    mark("ready")
    told, tell = os.pipe()
    pids = []
    for index in range(WRITERS):
        pid = os.fork()
        if pid == 0:
            try:
                write_and_tell(host.mount, index, mark, tell)
            except BaseException: # pylint: disable=broad-except
                traceback.print_exc()
            finally:
                os._exit(1)
        pids.append(pid)
    end, count = time.monotonic() + seconds, 0
    while count < changes and select.select([told], [], [], max(0, end - time.monotonic()))[0]:
        count += len(os.read(told, 4096))
    for pid in pids:
        assert os.waitpid(pid, os.WNOHANG)[0] == 0, "a writer failed"
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.close(told)
    os.close(tell)


def write_and_tell(directory, index, mark, tell):
    def acknowledge(serial):
        mark("%d:%d" % (index, serial))
        os.write(tell, b".")

    acknowledged.write(directory, index, acknowledge)


def wait_until(seconds, what, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("not in time: " + what)
        time.sleep(0.1)
