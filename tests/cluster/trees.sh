#!/usr/bin/env bash
# trees.sh - real trees and a made one are copied in; rsync finds no difference in anything, neither
# now nor after a remount nor after down and up. Long: all of /usr/include and /usr/lib/python3*.
# test: quick, 480 s
# test: soak, 1800 s
. "$(dirname "$0")/lib.sh"
need_fuse
need_root

mkdir "$TEST_DIR/source"
python3 "$(dirname "$0")/make_tree.py" "$TEST_DIR/source/made" $((1 << 20)) $((5 << 20)) \
    $((is_long ? 3000 : 200))
sources=("$TEST_DIR/source/made" /usr/include/asm-generic /usr/include/linux/netfilter)
[ $is_long = 0 ] || sources=("$TEST_DIR/source/made" /usr/include /usr/lib/python3*)

is_same() {
    local at
    for at in "${sources[@]}"; do
        rsync -aHAXn --checksum --delete --itemize-changes "$at/" "$mount/copy/${at##*/}/" \
            >"$TEST_DIR/changes" || fail "$1: rsync of $at"
        [ ! -s "$TEST_DIR/changes" ] || fail "$1: $at differs: $(head -n 20 "$TEST_DIR/changes")"
    done
    echo "$1: nothing differs"
}

up >/dev/null || fail "up"
mkdir "$mount/copy"
cp -a "${sources[@]}" "$mount/copy/"
echo "copied $(find "$mount/copy" | wc -l) entries, $(du -sb "$mount/copy" | cut -f1) bytes"
is_same "now"
remount
is_same "after a remount"
down
up >/dev/null || fail "up after down"
is_same "after down and up"
