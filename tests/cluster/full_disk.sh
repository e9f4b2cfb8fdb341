#!/usr/bin/env bash
# full_disk.sh - files are written until there is no space: ENOSPC comes when df has nothing left,
# what was acknowledged is there, and what is removed can be written again. The storages are on file
# systems of their own.
# test: quick, 480 s
# test: soak, 900 s
. "$(dirname "$0")/lib.sh"
need_fuse
need_root

disk_mb=$([ $is_long = 1 ] && echo 1024 || echo 256)
small_disks $disk_mb
up >/dev/null || fail "up"
python3 - "$mount" <<'END'
import errno, hashlib, os, sys, threading, time
mount = sys.argv[1]
FILE = 2 << 20
SLACK = 0.02

def df():
    """Available, all there is; files spread unevenly over few chains, so some is free yet."""
    s = os.statvfs(mount)
    return s.f_bavail * s.f_frsize, s.f_blocks * s.f_frsize

def free():
    s = os.statvfs(mount)
    return s.f_bfree * s.f_frsize

def content(i, size=FILE):
    return hashlib.shake_128(b"file %d" % i).digest(size)

def write(i):
    """True when all of it is on the disks, False when there is no space."""
    fd = os.open("%s/file-%d" % (mount, i), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    full = False
    try:
        view = memoryview(content(i))
        while view:
            view = view[os.write(fd, view):]
        os.fsync(fd)
    except OSError as e:
        assert e.errno == errno.ENOSPC, e
        full = True
    try:
        os.close(fd)
    except OSError as e:
        assert e.errno == errno.ENOSPC, e
        full = True
    return not full

def fill(first):
    i = first
    while write(i):
        i += 1
    return i

def check(numbers):
    for i in numbers:
        with open("%s/file-%d" % (mount, i), "rb") as f:
            assert f.read() == content(i), "file %d is not what was written" % i

def wait_for(what, done):
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "not in time: %s; df says %d of %d" % (what, *df())
        time.sleep(0.1)

before, capacity = df()
print("df: %d of %d MiB available" % (before >> 20, capacity >> 20))
assert before > capacity / 2
count = fill(0)
at_enospc = df()[0]
wait_for("df near 0 after ENOSPC", lambda: df()[0] <= SLACK * capacity)
held = count * FILE
free_when_full = free()
print("ENOSPC after %d MiB; df: %d KiB then, %d KiB now; %.1f %% of what was available is used"
      % (held >> 20, at_enospc >> 10, df()[0] >> 10, 100 * held / before))
check(range(count))

# What fails leaves what is there alone, also where it overwrites.
assert not write(count)
fd = os.open(mount + "/file-0", os.O_WRONLY)
try:
    os.pwrite(fd, content(0)[:65536], 0)
    os.fsync(fd)
except OSError as e:
    assert e.errno == errno.ENOSPC, e
os.close(fd)
check(range(count))

# Removing half brings half back.
kept = [i for i in range(count) if i % 2]
for i in range(count + 1):
    if i % 2 == 0:
        os.unlink("%s/file-%d" % (mount, i))
if (count + 1) % 2 == 0:
    os.unlink("%s/file-%d" % (mount, count))
removed = (count - len(kept)) * FILE
wait_for("the space of removed files", lambda: free() - free_when_full >= 0.98 * removed)
print("%d MiB removed: %d MiB more free, df: %d MiB available"
      % (removed >> 20, free() - free_when_full >> 20, df()[0] >> 20))
check(kept)
more = fill(count + 1) - (count + 1)
print("%d MiB more until ENOSPC" % (more * FILE >> 20))
assert more * FILE >= 0.5 * removed
check(kept + list(range(count + 1, count + 1 + more)))
END
all_chains_serve || fail "not every chain serves after the disks were full"
