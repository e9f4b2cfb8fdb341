# lib.sh - what the cluster tests share: a cluster of their own in TEST_DIR, and words to check it.
#
# Sourced by a test that run.py runs (C3FS, TEST_DIR, PORT_BASE; TEST_LONG=1 for its long form). The
# cluster is stopped at the end, whatever happens; its logs are shown when the test has failed.

set -eu
cluster=$TEST_DIR/cluster
mount=$TEST_DIR/mnt
is_long=${TEST_LONG:-0}

fail() {
    printf 'FAIL: %s\n' "$*" >&2
    exit 1
}

skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}

# A process for each service, so that a test may end one of them, unless it says otherwise.
up() {
    up_as_by_default --one-process=false "$@"
}

up_as_by_default() {
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

# The mount as the next user finds it: nothing of it is left in the kernel.
remount() {
    local before
    before=$(child fuse pid)
    umount "$mount" || fail "umount"
    wait_until 30 "the mount is back" is_mounted_anew "$before"
}

is_mounted_anew() {
    is_mounted && [ "$(child fuse pid)" != "$1" ]
}

# admin COMMAND: one command of the admin tool, as JSON.
admin() {
    "$C3FS" admin -cfg "$cluster/etc/admin_cli.toml" --json "$1"
}

# Has every chain all its targets serving, each on a node of its own? Prints what is not so.
all_chains_serve() {
    admin "list-chains -t 1" >"$TEST_DIR/chains" || return 1
    admin list-targets >"$TEST_DIR/targets" || return 1
    python3 - "$TEST_DIR/chains" "$TEST_DIR/targets" <<'END'
import json, sys
chains, targets = (json.load(open(path)) for path in sys.argv[1:])
for chain in chains:
    of = [t for t in targets if t["ChainId"] == chain["ChainId"]]
    states = {t["PublicState"] + "-" + t["LocalState"] for t in of}
    nodes = {t["NodeId"] for t in of}
    is_whole = len(of) == 3 and len(nodes) == 3 and states == {"SERVING-UPTODATE"}
    if chain["Status"] != "SERVING" or not is_whole:
        sys.exit("chain %s is %s" % (chain, of))
sys.exit(0 if chains else "there are no chains")
END
}

# The versions of all chains, for a comparison across down and up.
chain_versions() {
    admin list-chains | python3 -c '
import json, sys
print(*(c["ChainId"] + ":" + c["ChainVersion"] for c in json.load(sys.stdin)))'
}

# chains_outlive_down UP...: down and up again, and no chain has seen a storage go. A storage that
# starts too slowly for its lease, on a busy host, is seen: so once of three times is enough.
chains_outlive_down() {
    local versions i
    for i in 1 2 3; do
        wait_until 60 "every chain serves" all_chains_serve
        versions=$(chain_versions)
        down || fail "down"
        is_mounted && fail "still mounted after down"
        "$C3FS" status --dir "$cluster" && fail "status says 0 after down"
        "$@" >/dev/null || fail "up after down"
        [ "$(chain_versions)" = "$versions" ] && return
    done
    fail "down changes chains: $versions, now $(chain_versions)"
}

# second_mount DIRECTORY: mounts the cluster there too, until the end of the test.
second_mount() {
    "$C3FS" fuse --cfg "$cluster/etc/fuse.toml" --config.mountpoint="$1" \
        >"$TEST_DIR/second.log" 2>&1 &
    second_pid=$!
    wait_until 30 "the second mount" grep -q " $1 fuse.hf3fs " /proc/self/mounts
}

need_tool() {
    command -v "$1" >/dev/null || fail "$1 is not installed: deploy/packages.txt"
}

need_root() {
    [ "$(id -u)" = 0 ] || skip "needs root"
}

need_fuse() {
    [ -c /dev/fuse ] && [ -w /dev/fuse ] || skip "there is no /dev/fuse for $(id -un)"
}

# small_disks MIB: the next cluster's storages get file systems of this size, one each.
small_disks() {
    local id
    for id in 1001 1002 1003 1004 1005; do
        mkdir -p "$cluster/storage-$id"
        truncate -s "$1M" "$TEST_DIR/disk-$id"
        mkfs.ext4 -q -m 0 -E nodiscard "$TEST_DIR/disk-$id" || fail "mkfs.ext4"
        mount -o loop "$TEST_DIR/disk-$id" "$cluster/storage-$id" || fail "mount -o loop"
        small_disk_mounts+=("$cluster/storage-$id")
    done
}
small_disk_mounts=()

# At the end of a test, however it ends.
finish() {
    local status=$? log
    trap - EXIT
    if [ $status != 0 ] && [ $status != 77 ]; then
        for log in "$cluster"/log/*.log; do
            [ -f "$log" ] || continue
            printf -- '---- %s\n' "$log"
            grep -v '  *INFO  ' "$log" | tail -n 15
        done
    fi
    [ -z "${second_pid:-}" ] || kill "$second_pid" 2>/dev/null || true
    [ ! -d "$cluster" ] || down >/dev/null 2>&1 || true
    [ ${#small_disk_mounts[@]} = 0 ] || umount -l "${small_disk_mounts[@]}" || true
    exit $status
}
trap finish EXIT
