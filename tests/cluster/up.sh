#!/usr/bin/env bash
# up.sh - c3fs up, status and down: a mount within seconds, a second up, restarts, power cuts.
# test: quick, 120 s
. "$(dirname "$0")/lib.sh"
need_fuse

begin=$(date +%s%N)
up >"$TEST_DIR/up.out" || fail "up"
took_ms=$((($(date +%s%N) - begin) / 1000000))
echo "up took $took_ms ms"
[ $took_ms -le 30000 ] || fail "up took longer than 30 s" # 1 s or less on an idle machine
is_mounted || fail "nothing is mounted at $mount"
grep -q "^mounted at $mount$" "$TEST_DIR/up.out" || fail "up does not say where it is mounted"

head -c 5000000 /dev/urandom >"$TEST_DIR/data"
cp "$TEST_DIR/data" "$mount/data"
cmp "$TEST_DIR/data" "$mount/data"

# A second up finds the running one.
before=$(child storage-1001 pid)
up >/dev/null || fail "the second up"
[ "$(child storage-1001 pid)" = "$before" ] || fail "the second up started something anew"
up --storages 6 2>"$TEST_DIR/err" && fail "another number of storages was taken"
grep -q -- "--storages" "$TEST_DIR/err" || fail "the message does not name the option"

# What dies is started again, the mount too.
kill -9 "$before"
is_restarted() { [ "$(child storage-1001 restarts)" = 1 ] && [ "$(child storage-1001 pid)" != 0 ]; }
wait_until 5 "storage-1001 starts again" is_restarted
cmp "$TEST_DIR/data" "$mount/data"
kill -9 "$(child fuse pid)"
is_remounted() { [ "$(child fuse restarts)" = 1 ] && is_mounted && ls "$mount" >/dev/null 2>&1; }
wait_until 10 "the mount comes back" is_remounted
cmp "$TEST_DIR/data" "$mount/data"

# Down ends everything; up goes on with the data.
chains_outlive_down up
cmp "$TEST_DIR/data" "$mount/data"

# A supervisor that is killed leaves the services running; the next one goes on with them.
before=$(child meta-101 pid)
kill -9 "$(supervisor_pid)"
cmp "$TEST_DIR/data" "$mount/data"
up >/dev/null || fail "up after the supervisor was killed"
[ "$(child meta-101 pid)" = "$before" ] || fail "meta-101 was started anew"

# As after a power cut: everything is gone at once, the mount is stale.
kill -9 "$(supervisor_pid)"
for name in fuse mgmtd-1 meta-101 meta-102 storage-1001 storage-1002 storage-1003 storage-1004 \
    storage-1005; do
    kill -9 "$(sed -n "/^name = \"$name\"/{n;s/^pid = //p}" "$cluster/run/state.toml")"
done
ls "$mount" 2>/dev/null && fail "the mount should be stale now"
up >/dev/null || fail "up after all was killed"
cmp "$TEST_DIR/data" "$mount/data"
[ "$(stat -c %a "$cluster/cluster.key")" = 600 ] || fail "the cluster's key can be read by others"
[ "$(stat -c %a "$cluster/token.txt")" = 600 ] || fail "the token can be read by others"
down

# Files that a mount would hide are not hidden.
touch "$mount/kept"
up 2>"$TEST_DIR/err" && fail "mounted over a directory that is not empty"
grep -q "$mount is not empty" "$TEST_DIR/err" || fail "the message does not name the directory"
