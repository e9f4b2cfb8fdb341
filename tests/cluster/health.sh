#!/usr/bin/env bash
# health.sh - c3fs health of each service: well, hung, dead, without its cluster manager, asked with
# a wrong key, replaced by something else that listens; and of a mount. c3fs doctor of this host.
# test: quick, 90 s
. "$(dirname "$0")/lib.sh"
need_fuse

# health_is STATUS TEXT SERVICE OPTION...: one line with TEXT and that exit status.
health_is() {
    local status=$1 text=$2 service=$3 got=0 file
    shift 3
    file=$cluster/etc/$service.toml
    "$C3FS" health "${service%%-*}" --cfg "$file" "$@" >"$TEST_DIR/health" 2>&1 || got=$?
    [ "$got" = "$status" ] && [ "$(wc -l <"$TEST_DIR/health")" = 1 ] &&
        grep -q -- "$text" "$TEST_DIR/health"
}
# expect as health_is, at once.
expect() { health_is "$@" || fail "expected $*, got: $(cat "$TEST_DIR/health")"; }

up --mgmtds 2
base=$(status_json | python3 -c 'import json, sys; print(json.load(sys.stdin)["port_base"])')
port() { echo $((base + $1)); }

# The key of mgmtd and meta is in the store; a storage has it from a variable.
wait_until 30 "a mgmtd leads" health_is 0 "is the primary\|stands by" mgmtd-1
wait_until 30 "the other stands by" health_is 0 "is the primary\|stands by" mgmtd-2
wait_until 30 "meta serves" health_is 0 "^healthy: meta-101 serves; metadata in " meta-101
expect 1 "no key to ask with" storage-1001
CLUSTER_KEY_FILE=$cluster/cluster.key
export CLUSTER_KEY_FILE
expect 0 "^healthy: storage-1001 serves 1 of 1 disks$" storage-1001
expect 0 "^healthy: storage-1002 serves" storage-1001 --address "TCP://127.0.0.1:$(port 12)"
expect 0 "is mounted and answers" fuse
CLUSTER_KEY=k1:$(printf '%064d' 7) expect 1 "refuses the cluster key" storage-1001
CLUSTER_KEY=key expect 1 "not of the form k1:" storage-1001
expect 1 "nobody listens at TCP://127.0.0.1:$(port 98)" meta-101 \
    --address "TCP://127.0.0.1:$(port 98)"
expect 2 "is no duration such as 5s" meta-101 --timeout soon
expect 2 "is no address such as" meta-101 --address nowhere

# A target that its chain counts on, and that is out of service: it serves, but is not settled.
target_of() { # NODE: one of its targets
    admin list-targets | python3 -c '
import json, sys
print([t["TargetId"] for t in json.load(sys.stdin) if t["NodeId"] == sys.argv[1]][0])' "$1"
}
wait_until 60 "every target is in sync" health_is 0 "serves 1 of 1 disks$" storage-1001 --settled
expect 0 "is the primary\|stands by" mgmtd-1 --settled
admin "offline-target --target-id $(target_of 1001)" >/dev/null || fail offline-target
wait_until 30 "a target that is out is seen" health_is 1 "; targets not in sync: 1$" \
    storage-1001 --settled
expect 0 "^healthy: storage-1001 serves 1 of 1 disks$" storage-1001
kill "$(child storage-1001 pid)"
wait_until 60 "a new process takes it back" health_is 0 "serves 1 of 1" storage-1001 --settled

# A port that is open is not a service.
python3 -c 'import socket, sys, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
time.sleep(60)' "$(port 98)" &
listener=$!
wait_until 10 "an open port does not answer" health_is 1 "does not answer" storage-1001 \
    --address "TCP://127.0.0.1:$(port 98)" --timeout 1s
kill $listener

# A service that hangs, and one that is gone.
storage=$(child storage-1001 pid)
kill -STOP "$storage"
expect 1 "^unhealthy: TCP://127.0.0.1:$(port 11) does not answer" storage-1001 --timeout 1s
expect 1 "does not answer" storage-1001 --timeout 1s --alive
kill -CONT "$storage"
wait_until 30 "it goes on" health_is 0 "serves 1 of 1" storage-1001

# Without cluster managers the others cannot do their work, but they live; so does a mount whose
# metadata services hang.
managers="$(child mgmtd-1 pid) $(child mgmtd-2 pid)"
metas="$(child meta-101 pid) $(child meta-102 pid)"
# shellcheck disable=SC2086
kill -STOP $managers
wait_until 30 "a storage without manager" health_is 1 "no cluster manager answers" storage-1001
expect 0 "no cluster manager answers" storage-1001 --alive
# shellcheck disable=SC2086
kill -STOP $metas
expect 1 "does not answer within 0.5 s" fuse --timeout 500ms
expect 0 "does not answer within 0.5 s" fuse --timeout 500ms --alive
# doctor STATE CHECK TEXT OPTION...: that line is in what it finds.
doctor() {
    local state=$1 check=$2 text=$3
    shift 3
    "$C3FS" doctor --json "$@" >"$TEST_DIR/doctor" 2>&1 || [ $? = 1 ] ||
        fail "doctor $*: $(cat "$TEST_DIR/doctor")"
    grep -F "\"Check\": \"$check\", \"State\": \"$state\"" "$TEST_DIR/doctor" |
        grep -qF -- "$text" ||
        fail "doctor $*: no '$check' is $state with '$text' in: $(cat "$TEST_DIR/doctor")"
}
doctor BAD "mounted $mount" "does not answer" --timeout 500ms
# shellcheck disable=SC2086
kill -CONT $managers $metas
wait_until 60 "all is well again" health_is 0 "is mounted and answers" fuse
wait_until 60 "the storage is well again" health_is 0 "serves 1 of 1" storage-1001

# What is wrong on this host: the cluster's ports are taken, its managers reached.
doctor ok "mounted $mount" answers
doctor BAD "port $(port 0)" "Address already in use" --port "$(port 98)" "$(port 0)"
doctor ok "port $(port 98)" free --port "$(port 98)" "$(port 0)"
doctor ok "manager TCP://127.0.0.1:$(port 0)" "reached in" --mgmtd "TCP://127.0.0.1:$(port 0)"
doctor BAD "manager TCP://127.0.0.1:$(port 98)" "nobody listens" \
    --mgmtd "TCP://127.0.0.1:$(port 98)"
doctor BAD "disk $TEST_DIR/none" "mkdir -p $TEST_DIR/none" --disk "$TEST_DIR/none"
doctor BAD "disk $mount" "FUSE" --disk "$mount"
if [ "$(id -u)" = 0 ]; then
    mkdir "$TEST_DIR/disk"
    # shellcheck disable=SC2016
    unshare --mount bash -c '
        mount -t tmpfs -o size=16m tmpfs "$TEST_DIR/disk"
        "$C3FS" doctor --json --disk "$TEST_DIR/disk"
        mount -o remount,ro "$TEST_DIR/disk"
        "$C3FS" doctor --json --disk "$TEST_DIR/disk"
        exit 0' >"$TEST_DIR/doctor" || fail "doctor of a tmpfs"
    for text in '"warning", "Found": "tmpfs, 16 MiB free of 16 MiB: it is memory' \
        '"BAD", "Found": "only 16 MiB are free"' 'Read-only file system", "Remedy": "mount it'; do
        grep -qF "$text" "$TEST_DIR/doctor" || fail "$text: $(cat "$TEST_DIR/doctor")"
    done
fi
(ulimit -Sn 256 && ! "$C3FS" doctor >"$TEST_DIR/doctor") || fail "256 open files are no problem"
grep -q "^open files  *BAD  *256: too few$" "$TEST_DIR/doctor" || fail "$(cat "$TEST_DIR/doctor")"
sys=$TEST_DIR/sys/class
mkdir -p "$sys/infiniband/mlx5_0/ports/1/gid_attrs/ndevs" "$sys/net/eth0"
echo eth0 >"$sys/infiniband/mlx5_0/ports/1/gid_attrs/ndevs/0"
echo 1 >"$sys/net/eth0/carrier"
[ "$("$C3FS" devices --sysfs "$TEST_DIR/sys")" = "mlx5_0 port 1 ==> eth0 (Up)" ] ||
    fail "devices: $("$C3FS" devices --sysfs "$TEST_DIR/sys")"

down >/dev/null
expect 1 "nobody listens" storage-1001
expect 1 "nobody listens" mgmtd-1
expect 1 "nothing of c3fs is mounted" fuse
# Without a name: what runs here, which a container's check need not be told.
# here STATUS TEXT SERVICE...: c3fs health where c3fs SERVICE... is all that runs.
here() {
    local got=0
    # shellcheck disable=SC2016
    timeout 60 unshare --pid --fork --kill-child --mount-proc bash -c '
        status=$1 text=$2 got=255
        shift 2
        [ $# = 0 ] || "$C3FS" "$@" >/dev/null 2>&1 &
        for i in $(seq 200); do
            got=0
            "$C3FS" health >"$TEST_DIR/health" 2>&1 || got=$?
            [ $got = "$status" ] && grep -q "$text" "$TEST_DIR/health" && exit 0
            sleep 0.1
        done
        exit 1' here "$@" || got=$?
    [ $got = 0 ] || fail "here $*: $(cat "$TEST_DIR/health")"
}
if [ "$(id -u)" = 0 ]; then
    here 1 "no service of this binary runs here"
    here 0 "^healthy: mgmtd-1 is the primary$" mgmtd --cfg "$cluster/etc/mgmtd-1.toml"
    unset CLUSTER_KEY_FILE
    export KV_PATH=$TEST_DIR/none STORAGE_NODE_ID=1 TARGET_PATHS=/none \
        MGMTD_SERVER_ADDRESSES=TCP://127.0.0.1:1
    mkdir "$KV_PATH"
    here 1 "^unhealthy: storage has not started: its entrypoint waits$" entrypoint storage \
        --directory "$TEST_DIR/etc"
fi
echo "healthy, hung, dead, alone, refused"
