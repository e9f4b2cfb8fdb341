#!/usr/bin/env bash
# systemd.sh - the units of deploy/systemd under a systemd that runs as the first process, in a
# container: set up as docs/deploy.md says, healthy, killed and back, stopped in time with nothing
# lost, started, restarted, and back after a reboot. Needs the image of `./dev image`, to which it
# adds Debian's systemd; of Debian 11 or 12, as later ones want cgroups of the second version.
# test: soak, 900 s
. "$(dirname "$0")/lib.sh"
need_fuse
need_root
need_tool podman
root=$(readlink -f "$(dirname "$0")/../..")
export CONTAINERS_CONF=$root/deploy/image/containers.conf
image=${C3FS_IMAGE:-localhost/c3fs:latest}
podman image exists "$image" || skip "there is no image $image: ./dev image makes it"
tag=c3fs-systemd-$$
cleanup() {
    local status=$?
    if [ $status != 0 ]; then
        podman exec $tag journalctl -q --no-pager -u 'c3fs*' -n 40 >&2 || podman logs $tag >&2
    fi
    podman rm -f -t 3 $tag >/dev/null 2>&1 || true
    exit $status
}
trap cleanup EXIT
printf '%s\n' "FROM $image" \
    "RUN apt-get update -q && apt-get install -qy --no-install-recommends systemd-sysv" \
    >"$TEST_DIR/Dockerfile"
podman build --network host -v /etc/apt/apt.conf.d:/etc/apt/apt.conf.d:ro -q \
    -t localhost/c3fs-systemd "$TEST_DIR" >"$TEST_DIR/out" 2>&1 || fail "$(cat "$TEST_DIR/out")"
podman run -d --name $tag --privileged --systemd=always localhost/c3fs-systemd /sbin/init \
    >/dev/null || fail "podman run"
in_host() { podman exec -i $tag "$@"; }
is_booted() { in_host systemctl is-system-running 2>/dev/null | grep -qxE "running|degraded"; }
wait_until 60 "systemd has booted" is_booted

# ---- as docs/deploy.md says ----
podman cp "$root/deploy/systemd" $tag:/root/systemd
in_host bash -eu <<'END'
ln -s /opt/3fs/bin/c3fs /usr/local/bin/c3fs
cp /root/systemd/*.service /root/systemd/*.target /etc/systemd/system/
cp /root/systemd/c3fs.sysusers /usr/lib/sysusers.d/c3fs.conf
systemd-sysusers
systemctl daemon-reload
install -d -o c3fs -g c3fs /var/lib/c3fs /var/lib/c3fs/kv /data1 /data2 /data3
mkdir -p /etc/c3fs /mnt/3fs
(umask 077; echo "C3FS_CLUSTER_KEY=k1:$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')" \
    >/etc/c3fs/cluster.env)
common='mgmtd_server_addresses = ["TCP://127.0.0.1:8000"]'
write() { cat >/etc/c3fs/"$1".toml; }
printf 'node_id = 1\nadvertise = "TCP://127.0.0.1:8000"\nkv_path = "/var/lib/c3fs/kv"\n' |
    write mgmtd-a
printf 'node_id = 101\nadvertise = "TCP://127.0.0.1:8001"\nkv_path = "/var/lib/c3fs/kv"\n%s\n' \
    "$common" | write meta-a
for i in 1 2 3; do
    printf 'node_id = 100%d\nlisten = "TCP://127.0.0.1:801%d"\ntarget_paths = ["/data%d"]\n%s\n' \
        $i $i $i "$common" | write storage-$i
done
printf 'mountpoint = "/mnt/3fs"\ntoken_file = "/etc/c3fs/token.txt"\n%s\n' "$common" | write fuse-a
printf 'kv_path = "/var/lib/c3fs/kv"\ntoken_file = "/etc/c3fs/token.txt"\n%s\n' "$common" |
    write admin_cli
systemctl enable --now c3fs.target c3fs-mgmtd@a c3fs-meta@a c3fs-storage@{1,2,3}
set -a
. /etc/c3fs/cluster.env
set +a
runuser -u c3fs -- c3fs admin --cfg /etc/c3fs/admin_cli.toml \
    --config.cluster_key="$C3FS_CLUSTER_KEY" "init-cluster 1 1048576 3"
END
names="c3fs-mgmtd@a c3fs-meta@a c3fs-storage@1 c3fs-storage@2 c3fs-storage@3"
cli() { in_host c3fs admin --cfg /etc/c3fs/admin_cli.toml "$@"; }
# healthy UNIT
healthy() {
    local file=${1#c3fs-}
    # shellcheck disable=SC2016
    in_host bash -c 'set -a; . /etc/c3fs/cluster.env; exec c3fs health "$1" --cfg "$2"' health \
        "${file%@*}" "/etc/c3fs/${file/@/-}.toml" 2>&1 | grep "^healthy: "
}
all_healthy() {
    local name
    for name in "$@"; do healthy "$name" >/dev/null || return 1; done
}
# shellcheck disable=SC2086
wait_until 60 "all servers are healthy" all_healthy $names
cli "bootstrap --replicas 3" | tail -n 1
in_host systemctl enable --now c3fs-fuse@a
names="$names c3fs-fuse@a"
# shellcheck disable=SC2086
wait_until 60 "all is healthy" all_healthy $names
for name in $names; do healthy "$name"; done

# ---- who they are ----
show() { in_host systemctl show -P "$2" "$1"; }
for name in $names; do
    pid=$(show "$name" MainPID)
    user=$(in_host stat -c %U "/proc/$pid")
    caps=$(in_host grep CapEff "/proc/$pid/status" | tr -s '\t' ' ')
    case $name in
    c3fs-fuse*) [ "$user" = root ] || fail "$name runs as $user" ;;
    *) [ "$user $caps" = "c3fs CapEff: 0000000000000000" ] || fail "$name: $user, $caps" ;;
    esac
    in_host grep -q "^Seccomp:.2$" "/proc/$pid/status" || fail "$name: no filter of system calls"
done

# ---- killed ----
head -c 20000000 /dev/urandom >"$TEST_DIR/data"
in_host sh -c 'cat >/mnt/3fs/data' <"$TEST_DIR/data"
same_data() { in_host cat /mnt/3fs/data 2>/dev/null | cmp -s - "$TEST_DIR/data"; }
for name in $names; do
    before=$(show "$name" MainPID)
    in_host systemctl kill --kill-whom=main -s KILL "$name"
    is_back() {
        local pid
        pid=$(show "$name" MainPID)
        [ "$pid" != 0 ] && [ "$pid" != "$before" ] && all_healthy "$name"
    }
    wait_until 60 "$name is back" is_back
    [ "$(show "$name" NRestarts)" = 1 ] || fail "$name: $(show "$name" NRestarts) restarts"
done
wait_until 60 "the data is back" same_data

# ---- stopped, with a file that was written a moment before and is still open ----
in_host sh -c 'exec 9>/mnt/3fs/last; cat >&9; echo ready; sleep 60' <"$TEST_DIR/data" \
    >"$TEST_DIR/ready" 2>/dev/null &
writer=$!
is_ready() { grep -q ready "$TEST_DIR/ready"; }
wait_until 30 "a file is written and open" is_ready
last_data() { in_host cat /mnt/3fs/last 2>/dev/null | cmp -s - "$TEST_DIR/data"; }
begin_ms=$(date +%s%3N)
in_host systemctl stop c3fs.target
echo "stopped in $(($(date +%s%3N) - begin_ms)) ms"
[ $(($(date +%s%3N) - begin_ms)) -lt 20000 ] || fail "too slow to stop"
for name in $names; do
    [ "$(show "$name" ActiveState) $(show "$name" Result)" = "inactive success" ] ||
        fail "$name is $(show "$name" ActiveState), $(show "$name" Result)"
done
in_host grep -q fuse.hf3fs /proc/mounts && fail "the mount is left"
# The mount ends before the first server: it needs them for what it has not sent yet.
ended() { in_host systemctl show -P InactiveEnterTimestampMonotonic "$1"; }
for name in $names; do
    [ "$(ended "$name")" -ge "$(ended c3fs-fuse@a)" ] || fail "$name ended before the mount"
done
kill $writer 2>/dev/null || true

for how in start restart; do
    in_host systemctl $how c3fs.target
    # shellcheck disable=SC2086
    wait_until 60 "all is healthy after $how" all_healthy $names
    wait_until 60 "the data is back after $how" same_data
    wait_until 60 "what was written last is whole after $how" last_data
done

# ---- reboot ----
before=$(podman inspect $tag -f '{{.State.StartedAt}}')
in_host systemctl reboot 2>/dev/null || true
is_down() { [ "$(podman inspect $tag -f '{{.State.Running}}')" = false ]; }
wait_until 60 "the host went down" is_down
podman start $tag >/dev/null
wait_until 60 "systemd has booted" is_booted
# shellcheck disable=SC2086
wait_until 60 "all is healthy after a reboot" all_healthy $names
wait_until 60 "the data is back after a reboot" same_data
failed=$(in_host systemctl list-units --failed --no-legend --plain 'c3fs*')
[ -z "$failed" ] || fail "$failed"
in_host journalctl -q --no-pager | grep -E "c3fs.*(timed out|Killing process)" &&
    fail "something did not end in time"
echo "units: healthy, killed and back, stopped, started, restarted, rebooted; the same data"
