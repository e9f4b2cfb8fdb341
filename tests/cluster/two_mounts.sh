#!/usr/bin/env bash
# two_mounts.sh - two mounts of one cluster: what one has synced or closed, the other sees when it
# opens the file afterwards.
# test: quick, 240 s
. "$(dirname "$0")/lib.sh"
need_fuse

up >/dev/null || fail "up"
other=$TEST_DIR/other
mkdir "$other"
second_mount "$other"

# A record a round: appended with fsync here, read there after opening, its writer never closing.
python3 - "$mount/log" "$other/log" <<'END'
import os, sys
here, there = sys.argv[1:]
writer = os.open(here, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
whole = b""
for i in range(300):
    record = b"record %d %s\n" % (i, b"x" * (i * 37 % 9000))
    assert os.write(writer, record) == len(record)
    os.fsync(writer)
    whole += record
    with open(there, "rb", buffering=0) as f:
        size = os.fstat(f.fileno()).st_size
        assert size == len(whole), "record %d: size %d, not %d" % (i, size, len(whole))
        got = f.readall()
        assert got == whole, "record %d: other bytes of %d" % (i, len(got))
os.close(writer)
print("300 records, %d bytes, each seen after reopening" % len(whole))
END

# Overwritten in place, cut short, replaced, renamed, removed.
python3 - "$mount" "$other" <<'END'
import os, sys
a, b = sys.argv[1:]

def put(path, data, flags=os.O_CREAT | os.O_TRUNC):
    fd = os.open(path, os.O_WRONLY | flags)
    os.write(fd, data)
    os.close(fd)

def get(path):
    with open(path, "rb") as f:
        return f.read()

for i in range(30):
    here, there = (a, b) if i % 2 else (b, a)
    data = bytes([i]) * (1 << 20)
    put(here + "/file", data)
    assert get(there + "/file") == data, "round %d: replaced" % i
    put(there + "/file", b"middle", 0)
    assert get(here + "/file") == b"middle" + data[6:], "round %d: overwritten" % i
    os.truncate(here + "/file", 100)
    assert get(there + "/file") == b"middle" + data[6:100], "round %d: cut" % i
    put(there + "/new", b"new %d" % i)
    os.rename(there + "/new", there + "/file")
    assert get(here + "/file") == b"new %d" % i, "round %d: replaced by rename" % i
    assert os.stat(here + "/file").st_nlink == 1
print("30 rounds of replacing, overwriting, cutting and renaming")
END

# Both append to one file at the same time: no record is lost, torn or doubled.
python3 - "$mount/both" "$other/both" <<'END'
import os, sys
def append(path, who):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for i in range(200):
        os.write(fd, b"%d %d %s\n" % (who, i, b"y" * (i % 500)))
    os.close(fd)
pids = []
open(sys.argv[1], "w").close()
for who, path in enumerate(sys.argv[1:]):
    pid = os.fork()
    if pid == 0:
        append(path, who)
        os._exit(0)
    pids.append(pid)
assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
for path in sys.argv[1:]:
    seen = {0: 0, 1: 0}
    for line in open(path):
        assert line.count(" ") == 2, "torn: %r" % line[:200]
        who, i, rest = line.split(" ")
        assert int(i) == seen[int(who)] and rest == "y" * (int(i) % 500) + "\n", line[:50]
        seen[int(who)] += 1
    assert seen == {0: 200, 1: 200}, seen
print("2 x 200 records appended at the same time by both mounts")
END
