#!/usr/bin/env bash
# small_files.sh - many small files are created, listed and deleted: the deletion is one second for
# the caller, and their space is back within a minute.
# test: quick, 480 s
# test: soak, 1800 s
. "$(dirname "$0")/lib.sh"
need_fuse

up >/dev/null || fail "up"

used_bytes() {
    admin list-targets | python3 -c '
import json, sys
print(sum(int(t["UsedSize"]) for t in json.load(sys.stdin)))'
}

is_space_back() {
    [ "$(used_bytes)" -le "$before" ]
}

before=$(used_bytes)
count=$([ $is_long = 1 ] && echo 100000 || echo 5000)
python3 - "$mount/tree" $count <<'END'
import os, sys, time
top, count = sys.argv[1], int(sys.argv[2])
PROCESSES = 8
os.mkdir(top)

def create(process):
    os.mkdir("%s/%d" % (top, process))
    for i in range(process, count, PROCESSES):
        with open("%s/%d/file-%d" % (top, process, i), "wb") as f:
            f.write(b"%d " % i * (i % 700))

def in_processes(what):
    begin = time.monotonic()
    pids = []
    for process in range(PROCESSES):
        pid = os.fork()
        if pid == 0:
            what(process)
            os._exit(0)
        pids.append(pid)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
    return time.monotonic() - begin

def check(process):
    """Some of them hold what was written."""
    for i in range(process, count, PROCESSES * 37):
        with open("%s/%d/file-%d" % (top, process, i), "rb") as f:
            assert f.read() == b"%d " % i * (i % 700), "file %d" % i

seconds = in_processes(create)
print("%d files created in %.1f s" % (count, seconds))
begin = time.monotonic()
names = {name for p in range(PROCESSES) for name in os.listdir("%s/%d" % (top, p))}
assert names == {"file-%d" % i for i in range(count)}
print("listed in %.2f s" % (time.monotonic() - begin))
in_processes(check)
END
written() {
    [ "$(used_bytes)" -gt "$before" ]
}
wait_until 30 "the storages report what is used" written
echo "used: $(($(used_bytes) - before >> 20)) MiB"
python3 - "$mount" <<'END'
import os, sys, time
mount = sys.argv[1]
begin = time.monotonic()
os.rename(mount + "/tree", mount + "/3fs-virt/rm-rf/tree")
seconds = time.monotonic() - begin
assert not os.path.lexists(mount + "/tree")
print("deleted by rm-rf in %.3f s" % seconds)
assert seconds < 1, "the caller waited %.3f s" % seconds
END
begin=$SECONDS
wait_until 60 "the space is back" is_space_back
echo "the space was back after $((SECONDS - begin)) s"
