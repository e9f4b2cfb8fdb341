#!/usr/bin/env bash
# syscalls.sh - the cases of system calls: first on a local file system, which shows that the cases
# are right, then on a mount.
# test: soak, 600 s
. "$(dirname "$0")/../cluster/lib.sh"
need_fuse

cases=$(dirname "$0")/run_cases.py
mkdir -p "$TEST_DIR/local"
python3 "$cases" "$TEST_DIR/local" || fail "the cases themselves, on a local file system"
up >/dev/null || fail "up"
python3 "$cases" --mount "$mount" "$mount" || fail "the cases on the mount"
down
