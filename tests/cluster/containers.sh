#!/usr/bin/env bash
# containers.sh - the container guide, command by command, its outputs compared: every service a
# container of the one image with an address of its own, then a disk that is replaced, ends by
# kill -9 and by SIGTERM, and the same services again without any privilege and with other
# variables. Needs the image of `./dev image`; C3FS_IMAGE names another one.
# test: soak, 900 s
. "$(dirname "$0")/lib.sh"
need_fuse
need_tool podman
CONTAINERS_CONF=$(readlink -f "$(dirname "$0")/../../deploy/image/containers.conf")
export CONTAINERS_CONF
image=${C3FS_IMAGE:-localhost/c3fs:latest}
podman image exists "$image" || skip "there is no image $image: ./dev image makes it"

tag=c3fs-test-$$
net=10.89.$((PORT_BASE / 100 % 200 + 20))
data=$TEST_DIR/disks kv=$TEST_DIR/kv
mount=$TEST_DIR/3fs
mkdir -p "$data" "$kv" "$mount"
cleanup() {
    local status=$? c
    if [ $status != 0 ]; then
        for c in $(podman ps -aq --filter "name=$tag"); do
            podman logs "$c" 2>&1 | tail -n 8 |
                sed "s/^/$(podman inspect "$c" -f '{{.Name}}') /" >&2
        done
    fi
    podman ps -aq --filter "name=$tag" | xargs -r podman rm -f -t 3 >/dev/null 2>&1 || true
    podman network rm -f "$tag" >/dev/null 2>&1 || true
    while umount -l "$mount" 2>/dev/null; do :; done
    while umount -l "$TEST_DIR/shared" 2>/dev/null; do :; done
    exit $status
}
trap cleanup EXIT

# same WHAT EXPECTED ACTUAL
same() {
    [ "$2" = "$3" ] || {
        diff <(echo "$2") <(echo "$3") >&2 || true
        fail "$1"
    }
}
podman network create --subnet $net.0/24 "$tag" >/dev/null
managers=RDMA://$net.11:8000,RDMA://$net.12:8000,RDMA://$net.13:8000
# service NAME ADDRESS ENTRY OPTION...: as in the guide, but for the network.
service() {
    local name=$1 address=$2 entry=$3
    shift 3
    podman run -d --name "$tag-$name" --network "$tag" --ip "$net.$address" --restart always \
        --env CLUSTER_ID=stage --env DEVICE_FILTER= --env MGMTD_SERVER_ADDRESSES="$managers" "$@" \
        "$image" ./3fs-entrypoint.sh "$entry" >/dev/null || fail "podman run $name"
}
cfg=/opt/3fs/etc/admin_cli.toml
in_admin() { podman exec -i "$tag-admin" "$@"; }
cli() { in_admin admin_cli -cfg $cfg "$@"; }
logs() { podman logs "$tag-$1" 2>&1; }

# ---- the services; the order does not matter ----
storages() { # OPTION...: five of them
    local i
    for i in 1 2 3 4 5; do
        mkdir -p "$data/$i"
        service "storage$i" "3$i" storage --env STORAGE_NODE_ID=100$i --env KV_PATH=/kv \
            -v "$kv:/kv" --env TARGET_PATHS=/3fs/data -v "$data/$i:/3fs/data" "$@"
    done
}
managers_and_meta() { # OPTION...: three of each
    local i
    for i in 1 2 3; do
        service "meta$i" "2$i" meta --env META_NODE_ID=10$i --env KV_PATH=/kv -v "$kv:/kv" "$@"
        service "mgmtd$i" "1$i" mgmtd --env MGMTD_NODE_ID=$i --env KV_PATH=/kv -v "$kv:/kv" "$@"
    done
}
storages --privileged
managers_and_meta --privileged
waits_for_init() { logs "$1" | grep -q "waiting for .*init-cluster"; }
for name in storage1 meta1 mgmtd1; do
    wait_until 30 "$name says that it waits for init-cluster" waits_for_init $name
done
# One that waits is ended by SIGTERM too, although it is the first process of its container.
time_stop() { # NAME...: all at once, within 10 s, with exit status 0
    local begin_ms name
    begin_ms=$(date +%s%3N)
    podman stop -t 20 "${@/#/$tag-}" >/dev/null
    echo "SIGTERM: $* ended within $(($(date +%s%3N) - begin_ms)) ms"
    [ $(($(date +%s%3N) - begin_ms)) -lt $((10000 * $#)) ] || fail "too slow to stop: $*"
    for name in "$@"; do
        same "exit status of $name" 0 "$(podman inspect "$tag-$name" -f '{{.State.ExitCode}}')"
    done
}
time_stop storage1
podman start "$tag-storage1" >/dev/null

# ---- first use, in the admin container ----
service admin 10 admin_cli --privileged --env KV_PATH=/kv -v "$kv:/kv"
is_ready() { in_admin test -e $cfg; }
wait_until 30 "the admin container is ready" is_ready
same "init-cluster" "Init filesystem, root directory layout: chain table ChainTableId(1), \
chunksize 1048576, stripesize 6

Init config for MGMTD version 1" \
    "$(cli "init-cluster --mgmtd /opt/3fs/etc/mgmtd_main.toml 1 1048576 6")"

# One of the managers is the primary, and comes first; which one is not said.
masked_nodes() {
    cli list-nodes 2>"$TEST_DIR/err" | sed -E 's/ +/ /g; s/ $//
        s/^([0-9]+ MGMTD) (PRIMARY_MGMTD|HEARTBEAT_CONNECTED) /\1 HEARTBEAT_CONNECTED /
        s/^([0-9]+ (META|STORAGE) .*) [0-9]+(\(UPTODATE\))/\1 N\3/
        s/ [^ ]+ [0-9]+ \[\] (N\/A|[0-9-]{10} [0-9:]{8}) / HOST PID [] TIME /
        s/ [0-9]{6}-(dev|rel)-1-[0-9]+-[0-9a-f]{8}$/ RELEASE/' | sort -n
}
expected_nodes() {
    local i rest="HOST PID [] TIME"
    echo "Id Type Status Hostname Pid Tags LastHeartbeatTime ConfigVersion ReleaseVersion"
    for i in 1 2 3; do echo "$i MGMTD HEARTBEAT_CONNECTED $rest 1(UPTODATE) RELEASE"; done
    for i in 1 2 3; do echo "10$i META HEARTBEAT_CONNECTED $rest N(UPTODATE) RELEASE"; done
    for i in 1 2 3 4 5; do echo "100$i STORAGE HEARTBEAT_CONNECTED $rest N(UPTODATE) RELEASE"; done
}
nodes_are_right() {
    [ "$(masked_nodes)" = "$(expected_nodes)" ] &&
        [ "$(cli list-nodes | grep -c PRIMARY_MGMTD)" = 1 ]
}
wait_nodes() {
    local end=$((SECONDS + 120))
    until nodes_are_right; do
        [ $SECONDS -lt $end ] || same "list-nodes" "$(expected_nodes)" "$(masked_nodes)"
    done
}
wait_nodes
cli list-nodes

same "user-add" "Uid 0|Name root|Token TOKEN(Expired at N/A)|IsRootUser true|IsAdmin true|Gid 0|\
SupplementaryGids" "$(cli "user-add --root --admin 0 root" | grep -v token.txt |
    sed -E 's/ +/ /g; s/ $//; s/^Token [A-Za-z0-9+\/=]{20,}/Token TOKEN/' | paste -sd '|')"
same "mode of token.txt" 600 "$(in_admin stat -c %a /opt/3fs/etc/token.txt)"
token=$(in_admin cat /opt/3fs/etc/token.txt)

matrix=output/DataPlacementModel-v_5-b_10-r_6-k_3-λ_2-lb_1-ub_1/incidence_matrix.pickle
placement=/opt/3fs/deploy/data_placement/src
in_admin python3 $placement/model/data_placement.py -ql -relax -type CR --num_nodes 5 \
    --replication_factor 3 --min_targets_per_disk 6 | grep -qx "saved solution to: ${matrix%/*}" ||
    fail "data_placement"
in_admin python3 $placement/setup/gen_chain_table.py --chain_table_type CR --node_id_begin 1001 \
    --node_id_end 1005 --num_disks_per_node 1 --num_targets_per_disk 6 --target_id_prefix 1 \
    --chain_id_prefix 9 --incidence_matrix_path $matrix >/dev/null || fail "gen_chain_table"
# In the admin container, as the guide writes it.
guide() { in_admin bash -c "$1"; }
with_token="admin_cli --cfg $cfg --config.user_info.token \$(<\"/opt/3fs/etc/token.txt\")"
guide "$with_token < output/create_target_cmd.txt" >"$TEST_DIR/created" || fail "create-target"
for i in 1 2 3 4 5; do
    for j in 1 2 3 4 5 6; do
        echo "Create target 10${i}0010${j} on disk 0 of 100$i succeeded"
    done
done >"$TEST_DIR/wanted"
sed -E 's/^(Create target )[0-9]+( on disk 0 of )/\1T\2/' "$TEST_DIR/created" | sort >"$TEST_DIR/a"
sed -E 's/^(Create target )[0-9]+( on disk 0 of )/\1T\2/' "$TEST_DIR/wanted" | sort >"$TEST_DIR/b"
same "create-target" "$(cat "$TEST_DIR/b")" "$(cat "$TEST_DIR/a")"
same "upload-chains" "Upload 10 chains succeeded" \
    "$(guide "$with_token 'upload-chains output/generated_chains.csv'")"
same "upload-chain-table" "Upload ChainTableId(1) of ChainTableVersion(1) succeeded" \
    "$(guide "$with_token 'upload-chain-table --desc stage 1 output/generated_chain_table.csv'")"
guide "admin_cli --cfg $cfg --config.user_info.token \$(</dev/null) list-chains" \
    >"$TEST_DIR/out" 2>&1 && fail "an empty token is taken"
grep -q "token" "$TEST_DIR/out" || fail "an empty token: $(cat "$TEST_DIR/out")"
chains_serve() { [ "$(cli "list-chains -t 1" | grep -o SERVING-UPTODATE | wc -l)" = 30 ]; }
wait_until 60 "all chains serve" chains_serve

# ---- mounted ----
# What the guide has before the container of the mount, where the root is private.
mount --bind "$mount" "$mount"
mount --make-shared "$mount"
fuse() { # OPTION...
    service fuse 40 fuse --privileged --env TOKEN="$token" "$@"
}
fuse --mount "type=bind,source=$mount,target=/mnt/3fs,bind-propagation=shared"
wait_until 30 "the host sees the mount" is_mounted
size_bytes=$(df --output=size -B1 "$mount" | tail -n 1)
disk_bytes=$(df --output=size -B1 "$data" | tail -n 1)
same "source in df" hf3fs.stage "$(df --output=source "$mount" | tail -n 1)"
# Five hosts, as far as it can know, each with a disk; three replicas. Without the root's reserve.
[ "$size_bytes" -gt $((disk_bytes * 4 / 3)) ] && [ "$size_bytes" -le $((disk_bytes * 5 / 3)) ] ||
    fail "df says $size_bytes bytes for five disks of $disk_bytes and three replicas"
same "3fs-virt" "$(cat <<'END'
3fs-virt
3fs-virt/get-conf
3fs-virt/get-conf/sys.io_job_deq_timeout -> '1ms'
3fs-virt/get-conf/sys.io_worker_coros.hi -> 8
3fs-virt/get-conf/sys.io_worker_coros.lo -> 8
3fs-virt/get-conf/sys.max_jobs_per_ioring -> 32
3fs-virt/get-conf/sys.periodic_sync.enable -> true
3fs-virt/get-conf/sys.periodic_sync.flush_write_buf -> true
3fs-virt/get-conf/sys.periodic_sync.interval -> '30s'
3fs-virt/get-conf/sys.storage.net_client.rdma_control.max_concurrent_transmission -> 64
3fs-virt/get-conf/usr.attr_timeout -> 30.0
3fs-virt/get-conf/usr.dryrun_bench_mode -> false
3fs-virt/get-conf/usr.enable_read_cache -> true
3fs-virt/get-conf/usr.entry_timeout -> 30.0
3fs-virt/get-conf/usr.flush_on_stat -> true
3fs-virt/get-conf/usr.negative_timeout -> 5.0
3fs-virt/get-conf/usr.readonly -> false
3fs-virt/get-conf/usr.symlink_timeout -> 5.0
3fs-virt/get-conf/usr.sync_on_stat -> true
3fs-virt/iovs
3fs-virt/rm-rf
3fs-virt/set-conf
END
)" "$(cd "$mount" && find . -mindepth 1 \( -type l -printf '%P -> %l\n' \) -o -printf '%P\n' |
    grep . | LC_ALL=C sort)"
head -c 20000000 /dev/urandom >"$TEST_DIR/data"
cp "$TEST_DIR/data" "$mount/data"
cmp "$TEST_DIR/data" "$mount/data" || fail "what was written is not what is read"
echo "init-cluster, list-nodes, user-add, placement, chains, df, 3fs-virt: as in the guide"

# ---- a storage whose disk is replaced: a new container, the same number, nothing on the disk ----
podman rm -f -t 0 "$tag-storage3" >/dev/null
rm -rf "$data/3"
mkdir "$data/3"
service storage3 33 storage --privileged --env STORAGE_NODE_ID=1003 --env KV_PATH=/kv \
    -v "$kv:/kv" --env TARGET_PATHS=/3fs/data -v "$data/3:/3fs/data"
cmp "$TEST_DIR/data" "$mount/data" || fail "reading without a storage"
wait_nodes
cli "create-targets --node-id 1003 --disk-index 0" >"$TEST_DIR/out" || fail "create-targets"
wait_until 120 "all chains serve with the new disk" chains_serve
used_kb=$(du -sk "$data/3" | cut -f1)
count=$(grep -c succeeded "$TEST_DIR/out")
echo "a replaced disk was filled: $used_kb KiB on it, $count targets made anew"
[ "$used_kb" -gt 5000 ] || fail "only $used_kb KiB came to the new disk"

# ---- the container of the mount is killed, and another one takes its place ----
is_back() { is_mounted && cmp -s "$TEST_DIR/data" "$mount/data" 2>/dev/null; }
kill_and_start() { # [SECONDS]: for how long nobody looks at what is left
    podman kill -s KILL "$tag-fuse" >/dev/null
    sleep "${1:-0}"
    podman start "$tag-fuse" >/dev/null || fail "podman start of the mount"
    wait_until 10 "the mount is back" is_back
}
# In the guide's form the runtime asks for the attributes of what the killed one left, which the
# kernel must trust still, after a change that somebody made half a second before, and for longer
# than usr.attr_timeout.
for seconds in 40 0; do
    touch "$mount/changed"
    sleep 0.5
    kill_and_start $seconds
done
podman rm -f -t 10 "$tag-fuse" >/dev/null
while umount -l "$mount" 2>/dev/null; do :; done
# With the directory above as what container and host share, at any time, and any number of times.
shared=$TEST_DIR/shared
mount=$shared/3fs
mkdir -p "$mount"
mount --bind "$shared" "$shared"
mount --make-shared "$shared"
fuse --mount "type=bind,source=$shared,target=/mnt,bind-propagation=shared"
wait_until 30 "the host sees the mount" is_mounted
kill_and_start
kill_and_start
same "mounts left by killed ones" 1 "$(grep -c " $mount fuse.hf3fs " /proc/self/mounts)"
time_stop fuse
is_mounted && fail "the mount is left after podman stop"
podman start "$tag-fuse" >/dev/null
wait_until 10 "the mount is back" is_back

# ---- SIGTERM: a storage hands over first, everything ends in time ----
cat >"$TEST_DIR/writer.py" <<'END'
import os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
longest, end = 0, time.monotonic() + 8
while time.monotonic() < end:
    begin = time.monotonic()
    os.pwrite(fd, b"x" * 65536, 0)
    os.fsync(fd)
    os.pread(fd, 65536, 0)
    longest = max(longest, time.monotonic() - begin)
print("longest write, fsync and read: %.2f s" % longest)
sys.exit(longest > 5)
END
python3 "$TEST_DIR/writer.py" "$mount/written" &
writer=$!
sleep 1
time_stop storage2
is_out() { cli "list-chains -t 1" | grep -q OFFLINE; }
wait_until 3 "the chains go on without the storage that said goodbye" is_out
podman start "$tag-storage2" >/dev/null
wait $writer || fail "a clean stop of a storage stopped everybody"
wait_until 60 "all chains serve again" chains_serve
podman kill -s KILL "$tag-storage4" >/dev/null
cmp "$TEST_DIR/data" "$mount/data" || fail "reading without a storage"
cp "$TEST_DIR/data" "$mount/again" || fail "writing without a storage"
podman start "$tag-storage4" >/dev/null
wait_until 60 "all chains serve again" chains_serve

# ---- the same services again: as user c3fs, without any privilege, with other variables ----
names="storage1 storage2 storage3 storage4 storage5 meta1 meta2 meta3 mgmtd1 mgmtd2 mgmtd3"
time_stop fuse
for name in $names admin; do time_stop "$name"; done
for name in $names admin; do podman rm "$tag-$name" >/dev/null; done
chown -R 8000:8000 "$kv" "$data"
unprivileged=(--user c3fs --cap-drop all --security-opt no-new-privileges --env LOG_LEVEL=DEBUG)
managers_and_meta "${unprivileged[@]}"
storages "${unprivileged[@]}" --env PORT=8100
service admin 10 admin_cli --user c3fs --env KV_PATH=/kv -v "$kv:/kv"
wait_nodes
wait_until 60 "all chains serve again" chains_serve
in_admin bash -c "exec 3<>/dev/tcp/$net.31/8100" ||
    fail "PORT has no effect"
for name in $names; do
    same "lines about io_uring of $name" 1 "$(logs "$name" | grep -c "without io_uring")"
    same "its capabilities" "CapEff: 0000000000000000" \
        "$(podman exec "$tag-$name" grep CapEff /proc/1/status | tr -s '\t' ' ')"
    same "its filter of system calls" "Seccomp: 2" \
        "$(podman exec "$tag-$name" grep "^Seccomp:" /proc/1/status | tr -s '\t' ' ')"
    podman exec "$tag-$name" sh -c 'grep -qx "log.level = \"debug\"" /opt/3fs/etc/*_main.toml' ||
        fail "LOG_LEVEL has no effect on $name"
done
podman start "$tag-fuse" >/dev/null
wait_until 30 "the mount is back" is_back
cmp "$TEST_DIR/data" "$mount/again" || fail "what was written without a storage"
cp "$TEST_DIR/data" "$mount/unprivileged"
echo "the same data served by user c3fs: no capability, default seccomp profile, no io_uring"

# ---- what is refused or warned of ----
time_stop fuse
service private 41 fuse --privileged --env TOKEN="$token" --env MOUNTPOINT=/mnt/3fs
says_private() { logs private | grep -q "bind-propagation=shared"; }
wait_until 20 "private propagation is named" says_private
refused() { # WHAT OPTION...
    local what=$1 status=0
    shift
    podman run --rm "$@" >"$TEST_DIR/out" 2>&1 || status=$?
    same "exit status for $what" 2 "$status"
    grep -q "$what" "$TEST_DIR/out" || fail "$(cat "$TEST_DIR/out")"
}
refused "STORAGE_NODE_ID is missing" "$image" ./3fs-entrypoint.sh storage
refused "MGMTD_NODE_ID: 'x'" --env MGMTD_NODE_ID=x "$image" ./3fs-entrypoint.sh mgmtd
refused "there is no service 'strage'" "$image" ./3fs-entrypoint.sh strage
echo "private propagation and wrong variables are named"
