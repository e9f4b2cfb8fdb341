#!/usr/bin/env bash
# posix.sh - the cases of tests/posix on a mount, and on a local file system, where they hold too.
# test: quick, 480 s
. "$(dirname "$0")/lib.sh"
need_fuse
need_root

cases=$(dirname "$0")/../posix/run_cases.py
chmod 755 "$TEST_DIR" # cases of other users go through it
mkdir "$TEST_DIR/local"
python3 "$cases" --seed "$TEST_SEED" "$TEST_DIR/local" || fail "the cases are wrong"
up >/dev/null || fail "up"
python3 "$cases" --seed "$TEST_SEED" --mount "$mount" "$mount" || fail "on the mount"
