#!/usr/bin/env python3
"""own_mount.py - the process that serves a mount never uses a path in it: it would wait for its own
answer, and killed meanwhile it could never end. Both ways to run it: with all services, and alone.
"""
# test: quick, 60 s
import os
import re
import shutil

from cluster import C3FS, PORT_BASE, TEST_DIR, Cluster, fail, run

CALLS = """
int stat(const char *path, struct stat *st)
int lstat(const char *path, struct stat *st)
int stat64(const char *path, struct stat64 *st)
int lstat64(const char *path, struct stat64 *st)
int fstatat(int dir, const char *path, struct stat *st, int flags)
int statx(int dir, const char *path, int flags, unsigned mask, struct statx *st)
int statfs(const char *path, struct statfs *st)
int statvfs(const char *path, struct statvfs *st)
int access(const char *path, int mode)
int open(const char *path, int flags, unsigned mode)
int open64(const char *path, int flags, unsigned mode)
int openat(int dir, const char *path, int flags, unsigned mode)
int openat64(int dir, const char *path, int flags, unsigned mode)
int chdir(const char *path)
ssize_t readlink(const char *path, char *buf, size_t size)
DIR *opendir(const char *path)
FILE *fopen(const char *path, const char *mode)
"""

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
struct stat; struct stat64; struct statx; struct statfs; struct statvfs;
typedef struct __dirstream DIR;

/* Once the mount is there, a path in it goes to the file $USED. */
static void note(const char *call, const char *path)
{
    static char mounts[65536];
    const char *mount = getenv("MOUNT");
    size_t length = strlen(mount);
    char line[4200], entry[4200];
    if (!path || strncmp(path, mount, length) != 0 || (path[length] && path[length] != '/')) return;
    long fd = syscall(SYS_openat, -100, "/proc/self/mounts", 0);
    long n = 0, got;
    while ((got = read((int)fd, mounts + n, sizeof mounts - 1 - (size_t)n)) > 0) n += got;
    mounts[n] = 0;
    close((int)fd);
    snprintf(entry, sizeof entry, " %s fuse.hf3fs ", mount);
    if (!strstr(mounts, entry)) return;
    int size = snprintf(line, sizeof line, "%s %s\n", call, path);
    fd = syscall(SYS_openat, -100, getenv("USED"), 02001 | 0100, 0644);
    if (write((int)fd, line, (size_t)size) < 0) abort();
    close((int)fd);
}
"""


def shim_source():
    text = SHIM
    for line in CALLS.strip().split("\n"):
        result, name, parameters = re.match(r"(.*?)(\w+)\((.*)\)$", line).groups()
        names = ", ".join(re.search(r"(\w+)$", p).group(1) for p in parameters.split(", "))
        types = ", ".join(re.sub(r"\w+$", "", p) for p in parameters.split(", "))
        text += ("%s\n{\n    note(\"%s\", path);\n    return ((%s(*)(%s))dlsym(RTLD_NEXT, \"%s\"))"
                 "(%s);\n}\n" % (line, name, result, types, name, names))
    return text


def used_by(c, shim, used):
    env = dict(os.environ, LD_PRELOAD=shim, MOUNT=c.mount, USED=used)
    run(C3FS, "up", "--dir", c.dir, "--mount", c.mount, "--port-base", str(PORT_BASE), *c.options,
        env=env)
    with open(c.mount + "/file", "wb") as f:
        f.write(bytes(3 << 20))
    run("stat", c.mount, env=dict(env, USED=used + ".other"))
    run("df", c.mount)
    c.down()
    if not os.path.exists(used + ".other"):
        fail("the shim does not see a stat of the mount")
    if os.path.exists(used):
        with open(used, encoding="utf-8") as f:
            fail("the cluster's own processes used the mount:\n" + f.read())


def main():
    if not shutil.which("cc"):
        raise SystemExit(77)
    source, shim = os.path.join(TEST_DIR, "shim.c"), os.path.join(TEST_DIR, "shim.so")
    with open(source, "w", encoding="utf-8") as f:
        f.write(shim_source())
    run("cc", "-shared", "-fPIC", "-o", shim, source)
    for way in ("true", "false"):
        with Cluster("--one-process=" + way, mount=True, name="one-" + way) as c:
            c.down()
            used_by(c, shim, os.path.join(TEST_DIR, "used-" + way))


main()
