# lib.sh - what the cluster tests share: a cluster of their own in TEST_DIR, and words to check it.
#
# Sourced by a test that run.py runs (C3FS, TEST_DIR, PORT_BASE). The cluster is stopped at the end,
# whatever happens; its logs are shown when the test has failed.

set -eu
cluster=$TEST_DIR/cluster
mount=$TEST_DIR/mnt

fail() {
    printf 'FAIL: %s\n' "$*" >&2
    exit 1
}

skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}

up() {
    "$C3FS" up --dir "$cluster" --mount "$mount" --port-base "$PORT_BASE" "$@"
}

down() {
    "$C3FS" down --dir "$cluster"
}

status_json() {
    "$C3FS" status --dir "$cluster" --json
}

# child NAME FIELD: of the status, e.g. 'child storage-1001 pid'.
child() {
    status_json | python3 -c '
import json, sys
for c in json.load(sys.stdin)["children"]:
    if c["name"] == sys.argv[1]:
        print(c[sys.argv[2]])' "$1" "$2"
}

supervisor_pid() {
    status_json | python3 -c 'import json, sys; print(json.load(sys.stdin)["supervisor"])'
}

# wait_until SECONDS WHAT COMMAND...: tries the command until it succeeds.
wait_until() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "not in time: $what"
        sleep 0.05
    done
}

is_mounted() {
    grep -q " $mount fuse.hf3fs " /proc/self/mounts
}

need_fuse() {
    [ -c /dev/fuse ] && [ -w /dev/fuse ] || skip "there is no /dev/fuse for $(id -un)"
}

# At the end of a test, however it ends.
finish() {
    local status=$? log
    trap - EXIT
    if [ $status != 0 ] && [ $status != 77 ]; then
        for log in "$cluster"/log/*.log; do
            [ -f "$log" ] || continue
            printf -- '---- %s\n' "$log"
            tail -n 15 "$log"
        done
    fi
    [ ! -d "$cluster" ] || down >/dev/null 2>&1 || true
    exit $status
}
trap finish EXIT
