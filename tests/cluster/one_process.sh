#!/usr/bin/env bash
# one_process.sh - what up makes when nothing is said: all roles in one process; its end by kill -9,
# and then a process for each role over the same data.
# test: quick, 60 s
. "$(dirname "$0")/lib.sh"
need_fuse

up_as_by_default >/dev/null || fail "up"
[ -n "$(child cluster pid)" ] || fail "there is no process of all roles"
head -c 3000000 /dev/urandom >"$TEST_DIR/data"
cp "$TEST_DIR/data" "$mount/data"
cmp "$TEST_DIR/data" "$mount/data"
chains_outlive_down up_as_by_default

kill -9 "$(child cluster pid)"
is_back() { [ "$(child cluster restarts)" = 1 ] && is_mounted && ls "$mount" >/dev/null 2>&1; }
wait_until 20 "all is back after kill -9" is_back
cmp "$TEST_DIR/data" "$mount/data"

# A disk that a power cut has damaged is left out; the others serve.
pid=$(child cluster pid)
kill -9 "$(supervisor_pid)" "$pid"
for file in "$cluster"/storage-1002/shard-00/{journal,checkpoint}-*; do
    dd if=/dev/urandom of="$file" bs=4096 count=4 conv=notrunc status=none
done
up_as_by_default >/dev/null || fail "up with a damaged disk"
cmp "$TEST_DIR/data" "$mount/data"
admin list-disks | python3 -c '
import json, sys
states = {d["NodeId"]: d["State"] for d in json.load(sys.stdin)}
sys.exit(0 if states["1002"] == "FAILED" and list(states.values()).count("OK") == 4 else 1)' ||
    fail "not one failed disk: $(admin list-disks)"
down
up >/dev/null || fail "up as processes"
[ -n "$(child storage-1003 pid)" ] || fail "there is no process of one storage"
cmp "$TEST_DIR/data" "$mount/data"
down
