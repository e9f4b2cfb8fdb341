#!/usr/bin/env bash
# containers.sh - the container guide, command by command: every service a container of the one
# image with an address of its own, then chains, a mount that the host sees, and ends by kill -9.
# Needs the image of `./dev image` (localhost/c3fs:latest).
# test: soak, 900 s
. "$(dirname "$0")/lib.sh"
need_fuse
need_tool podman
CONTAINERS_CONF=$(readlink -f "$(dirname "$0")/../../deploy/image/containers.conf")
export CONTAINERS_CONF
image=${C3FS_IMAGE:-localhost/c3fs:latest}
podman image exists $image || skip "there is no image $image: ./dev image makes it"

tag=c3fs-test-$$
net=10.89.$((PORT_BASE / 100 % 200 + 20))
data=$TEST_DIR/disks kv=$TEST_DIR/kv etc=$TEST_DIR/etc
mkdir -p "$data" "$kv" "$mount" "$etc"
cleanup() {
    local status=$?
    if [ $status != 0 ]; then
        for c in $(podman ps -aq --filter "name=$tag"); do
            podman logs "$c" 2>&1 | tail -n 8 |
                sed "s/^/$(podman inspect "$c" -f '{{.Name}}') /" >&2
        done
    fi
    podman ps -aq --filter "name=$tag" | xargs -r podman rm -f -t 3 >/dev/null 2>&1 || true
    podman network rm -f "$tag" >/dev/null 2>&1 || true
    umount -l "$TEST_DIR/shared/3fs" 2>/dev/null || true
    umount -l "$TEST_DIR/shared" 2>/dev/null || true
    exit $status
}
trap cleanup EXIT

podman network create --subnet $net.0/24 "$tag" >/dev/null
managers=TCP://$net.11:8000,TCP://$net.12:8000,TCP://$net.13:8000
# service NAME ADDRESS ENTRY OPTION...
service() {
    local name=$1 address=$2 entry=$3
    shift 3
    podman run -d --name "$tag-$name" --network "$tag" --ip "$net.$address" --init \
        --env CLUSTER_ID=stage --env MGMTD_SERVER_ADDRESSES="$managers" "$@" \
        $image ./3fs-entrypoint.sh "$entry" >/dev/null || fail "podman run $name"
}
cli() { podman exec -i "$tag-admin" admin_cli -cfg /opt/3fs/etc/admin_cli.toml "$@"; }
in_admin() { podman exec -i "$tag-admin" "$@"; }

service admin 10 admin_cli --env KV_PATH=/kv -v "$kv:/kv"
is_ready() { in_admin test -e /opt/3fs/etc/admin_cli.toml; }
wait_until 30 "the admin container is ready" is_ready
cli "init-cluster --mgmtd /opt/3fs/etc/mgmtd_main.toml 1 1048576 6" >"$TEST_DIR/out" ||
    fail "init-cluster"
layout="chain table ChainTableId(1), chunksize 1048576, stripesize 6"
grep -qx "Init filesystem, root directory layout: $layout" "$TEST_DIR/out" ||
    fail "init-cluster printed: $(cat "$TEST_DIR/out")"

for i in 1 2 3; do
    service "mgmtd$i" "1$i" mgmtd --env MGMTD_NODE_ID=$i --env KV_PATH=/kv -v "$kv:/kv"
    service "meta$i" "2$i" meta --env META_NODE_ID=10$i --env KV_PATH=/kv -v "$kv:/kv"
done
for i in 1 2 3 4 5; do
    mkdir -p "$data/$i"
    service "storage$i" "3$i" storage --env STORAGE_NODE_ID=100$i --env TARGET_PATHS=/3fs/data \
        --env KV_PATH=/kv -v "$kv:/kv" -v "$data/$i:/3fs/data"
done
all_nodes_are_there() {
    cli list-nodes >"$TEST_DIR/nodes" 2>&1 || return 1
    [ "$(grep -c PRIMARY_MGMTD "$TEST_DIR/nodes")" = 1 ] &&
        [ "$(grep -c HEARTBEAT_CONNECTED "$TEST_DIR/nodes")" = 10 ]
}
wait_until 120 "all eleven nodes" all_nodes_are_there
echo "eleven services, each a container: $(awk 'NR > 1 {printf "%s ", $1}' "$TEST_DIR/nodes")"

cli "user-add --root --admin 0 root" >"$TEST_DIR/user" || fail "user-add"
token=$(in_admin cat /opt/3fs/etc/token.txt)
[ -n "$token" ] || fail "there is no token.txt"
in_admin data_placement -ql -relax -type CR --num_nodes 5 --replication_factor 3 \
    --min_targets_per_disk 6 >/dev/null || fail "data_placement"
in_admin python3 /opt/3fs/deploy/data_placement/src/setup/gen_chain_table.py \
    --chain_table_type CR --node_id_begin 1001 --node_id_end 1005 --num_disks_per_node 1 \
    --num_targets_per_disk 6 --target_id_prefix 1 --chain_id_prefix 9 --incidence_matrix_path \
    output/DataPlacementModel-v_5-b_10-r_6-k_3-λ_2-lb_1-ub_1/incidence_matrix.pickle >/dev/null ||
    fail "gen_chain_table"
in_admin sh -c 'admin_cli --cfg /opt/3fs/etc/admin_cli.toml --config.user_info.token \
    $(cat /opt/3fs/etc/token.txt) <output/create_target_cmd.txt' >"$TEST_DIR/created" ||
    fail "create-target: $(tail -n 3 "$TEST_DIR/created")"
[ "$(grep -c succeeded "$TEST_DIR/created")" = 30 ] || fail "not 30 targets"
with_token() { cli --config.user_info.token "$token" "$@"; }
with_token "upload-chains output/generated_chains.csv" | grep -qx "Upload 10 chains succeeded" ||
    fail "upload-chains"
with_token "upload-chain-table --desc stage 1 output/generated_chain_table.csv" |
    grep -qx "Upload ChainTableId(1) of ChainTableVersion(1) succeeded" || fail "upload-chain-table"
chains_serve() { [ "$(cli "list-chains -t 1" | grep -o SERVING-UPTODATE | wc -l)" = 30 ]; }
wait_until 60 "all chains serve" chains_serve

# The mount is the host's too. The directory above it is what container and host share: bound
# itself, a mount that was left by a killed container could not be bound again.
shared=$TEST_DIR/shared
mount=$shared/3fs
mkdir -p "$mount"
mount --bind "$shared" "$shared"
mount --make-shared "$shared"
service fuse 40 fuse --privileged --env TOKEN="$token" --env MOUNTPOINT=/mnt/3fs \
    --mount "type=bind,source=$shared,target=/mnt,bind-propagation=shared"
wait_until 30 "the host sees the mount" is_mounted
df "$mount" | grep -q "^hf3fs.stage " || fail "df: $(df "$mount")"
head -c 20000000 /dev/urandom >"$TEST_DIR/data"
cp "$TEST_DIR/data" "$mount/data"
cmp "$TEST_DIR/data" "$mount/data"

# A storage that is killed and comes back; a mount that is killed and comes back.
podman kill -s KILL "$tag-storage3" >/dev/null
cmp "$TEST_DIR/data" "$mount/data" || fail "reading without a storage"
cp "$TEST_DIR/data" "$mount/again" || fail "writing without a storage"
podman start "$tag-storage3" >/dev/null
wait_until 60 "all chains serve again" chains_serve
podman kill -s KILL "$tag-fuse" >/dev/null
podman start "$tag-fuse" >/dev/null || fail "podman start of the mount"
is_back() { is_mounted && cmp -s "$TEST_DIR/data" "$mount/again"; }
wait_until 10 "the mount is back" is_back
podman stop -t 10 "$tag-fuse" >/dev/null
is_mounted && fail "the mount is left after podman stop"

# Private propagation is named; so is a variable that is missing or wrong.
service private 41 fuse --privileged --env TOKEN="$token" --env MOUNTPOINT=/mnt/3fs
says_private() { podman logs "$tag-private" 2>&1 | grep -q "bind-propagation=shared"; }
wait_until 20 "private propagation is named" says_private
podman run --rm $image ./3fs-entrypoint.sh storage >"$TEST_DIR/out" 2>&1 &&
    fail "no variables, no error"
grep -q "STORAGE_NODE_ID is missing" "$TEST_DIR/out" || fail "$(cat "$TEST_DIR/out")"
echo "init-cluster, placement, chains, mount; kill -9 of a storage and of the mount"
