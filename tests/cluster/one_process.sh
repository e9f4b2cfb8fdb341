#!/usr/bin/env bash
# one_process.sh - all roles in one process, and then as processes over the same data.
# test: quick, 60 s
. "$(dirname "$0")/lib.sh"
need_fuse

up --one-process >/dev/null || fail "up --one-process"
[ -n "$(child cluster pid)" ] || fail "there is no process of all roles"
head -c 3000000 /dev/urandom >"$TEST_DIR/data"
cp "$TEST_DIR/data" "$mount/data"
cmp "$TEST_DIR/data" "$mount/data"
down
up --one-process=false >/dev/null || fail "up as processes"
[ -n "$(child storage-1003 pid)" ] || fail "there is no process of one storage"
cmp "$TEST_DIR/data" "$mount/data"
down
