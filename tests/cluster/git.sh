#!/usr/bin/env bash
# git.sh - this repository is cloned onto the mount, built and tested there, and found sound by git.
# test: soak, 3600 s
. "$(dirname "$0")/lib.sh"
need_fuse
need_tool git
need_tool meson

up >/dev/null || fail "up"
source=$(cd "$(dirname "$0")/../.." && pwd)
git -c safe.directory='*' clone --no-local --quiet "$source" "$mount/c3fs" || fail "git clone"
cd "$mount/c3fs"
echo "cloned $(git rev-list --count HEAD) commits, $(git ls-files | wc -l) files"
quietly() {
    "$@" >"$TEST_DIR/out" 2>&1 || {
        tail -n 60 "$TEST_DIR/out"
        fail "$*"
    }
}
quietly meson setup build --buildtype=debugoptimized
quietly ninja -C build
echo "built: $(du -sm build | cut -f1) MiB"
quietly meson test -C build --no-rebuild --suite unit --timeout-multiplier 10
grep -E '^(Ok|Fail|Timeout):' "$TEST_DIR/out"
quietly git fsck --full --strict
[ -z "$(git status --porcelain)" ] || fail "git status: $(git status --porcelain | head)"
cd /
remount
git -C "$mount/c3fs" fsck --full >"$TEST_DIR/out" 2>&1 || fail "git fsck: $(cat "$TEST_DIR/out")"
"$mount/c3fs/build/c3fs" help >/dev/null || fail "the binary built there does not run"
echo "git fsck finds nothing, now and after a remount"
