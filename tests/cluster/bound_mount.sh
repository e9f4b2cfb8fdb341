#!/usr/bin/env bash
# bound_mount.sh - a mount as in 3FS's container guide, on a directory that was itself bound into
# the container, here into namespaces of mounts and processes: killed and left alone for longer than
# attributes are trusted, it answers the stat() with which a runtime begins to start the container
# again, and the next mount is seen by the host; again and again, and after a clean end as well.
# test: quick, 60 s
. "$(dirname "$0")/lib.sh"
need_fuse
need_root

attr_timeout_s=2
shared=$TEST_DIR/guide # of host and container
pids=()
end_here() {
    local status=$?
    kill -KILL "${pids[@]}" 2>/dev/null || true
    while umount -l "$shared" 2>/dev/null; do :; done
    set +e
    (exit $status)
    finish # of lib.sh, which sees that status
}
trap end_here EXIT
up >/dev/null
mkdir "$shared" "$TEST_DIR/inside"
mount --bind "$shared" "$shared"
mount --make-private "$shared"
mount --make-shared "$shared"

# What the runtime of a container does: stat() of the source, a bind of it, shared, and a first
# process with which all others of the container end.
container() {
    "$(command -v python3)" -c 'import os, sys; os.stat(sys.argv[1])' "$shared" ||
        fail "a runtime could not start the container"
    rm -f "$TEST_DIR/first"
    # shellcheck disable=SC2016
    unshare --mount --propagation unchanged --pid --fork --kill-child bash -c '
        mount --bind "$1/guide" "$1/inside" && mount -t proc proc /proc &&
            exec "$C3FS" fuse --cfg "$2/etc/fuse.toml" --config.mountpoint="$1/inside" \
                --config.attr_timeout="$3"' container "$TEST_DIR" "$cluster" $attr_timeout_s \
        >>"$TEST_DIR/fuse.log" 2>&1 &
    pids=($!)
    wait_until 20 "the host sees the mount" answers
}
answers() { [ "$(df --output=source "$shared" 2>/dev/null | tail -n 1)" = hf3fs.default ]; }
mounts() { grep -c " $shared fuse.hf3fs " /proc/self/mounts || true; }
is_dead() { ! ls "$shared" >/dev/null 2>&1; }
# The first process of the container, which is the child of unshare.
first() { pgrep -P "${pids[0]}"; }
killed() {
    kill -KILL "$(first)"
    wait "${pids[0]}" 2>/dev/null || true
    wait_until 10 "the mount is dead" is_dead
}
keepers() { ps -o pid= -C c3fs-keeper | wc -l; }

container
echo data >"$shared/file"
[ "$(stat -c %s "$shared/file")" = 5 ] || fail "the file has not its size"
for turn in 1 2; do
    # Names come and go in the root, and the directory is read: each makes the kernel distrust what
    # it knows of it.
    for i in 1 2 3; do
        mkdir "$shared/d$i"
        ls "$shared" >/dev/null
        rmdir "$shared/d$i"
    done
    sleep 0.5 # what the keeper of its attributes needs, five times over
    killed
    sleep $((attr_timeout_s + 2))
    container
    [ "$(cat "$shared/file")" = data ] || fail "the file is not as it was"
    [ "$(mounts)" = $((turn + 1)) ] || fail "$(mounts) mounts after $turn kills"
done

# A clean end, which takes the last one away and shows the host the one before.
kill -TERM "$(first)"
wait "${pids[0]}" || fail "the mount did not end with status 0: $(tail -n 3 "$TEST_DIR/fuse.log")"
[ "$(mounts)" = 2 ] || fail "$(mounts) mounts after a clean end"
sleep $((attr_timeout_s + 1))
container

# What others change in the root is seen within the time for which attributes are trusted.
before=$(stat -c %Y "$shared")
sleep 1.1
mkdir "$mount/made-elsewhere"
is_newer() { [ "$(stat -c %Y "$shared")" -gt "$before" ]; }
wait_until $((attr_timeout_s + 2)) "the root's time moves on" is_newer
[ "$(keepers)" = 1 ] || fail "$(keepers) keepers of one mount that was bound"
kill -TERM "$(first)"
wait "${pids[0]}" || fail "the mount did not end with status 0"
[ "$(keepers)" = 0 ] || fail "a keeper is left"
echo "killed and left alone, the guide's mount starts again"
