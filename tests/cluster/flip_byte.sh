#!/usr/bin/env bash
# flip_byte.sh - one byte of a replica's data is flipped on the disk: it is never returned, other
# replicas serve, the storage reports it and repairs it from a peer.
# test: quick, 240 s
. "$(dirname "$0")/lib.sh"
need_fuse

up >/dev/null || fail "up"
head -c 8M /dev/urandom >"$TEST_DIR/data"
cp "$TEST_DIR/data" "$mount/file"
sum=$(sha256sum <"$TEST_DIR/data")
admin "checksum /file" >"$TEST_DIR/out" || fail "checksum of a good file: $(cat "$TEST_DIR/out")"

# The storage whose unit file holds the block at 3 MiB + 8192, with a byte of it flipped.
victim=$(python3 - "$TEST_DIR/data" "$cluster" <<'END'
import glob, os, sys
data = open(sys.argv[1], "rb").read()
block = data[(3 << 20) + 8192:][:4096]
for path in sorted(glob.glob(sys.argv[2] + "/storage-*/**/units-*", recursive=True)):
    content = open(path, "rb").read()
    at = content.find(block)
    if at < 0:
        continue
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, bytes([block[1234] ^ 0x10]), at + 1234)
    os.fsync(fd)
    print(path[len(sys.argv[2]) + 1:].split("/")[0])
    break
END
)
[ -n "$victim" ] || fail "no unit file holds the block"
echo "flipped a byte at $victim"

# Whichever replica a read goes to, the bytes are right; at some time it is the damaged one.
is_reported() {
    grep -q 'ChecksumMismatch' "$cluster/log/$victim.log"
}
reads=0
until is_reported; do
    [ $reads -lt 200 ] || fail "$reads reads, and $victim reports nothing"
    remount
    [ "$(sha256sum <"$mount/file")" = "$sum" ] || fail "read $reads returned wrong bytes"
    reads=$((reads + 1))
done
echo "$reads reads of right bytes; $(grep -m 1 ChecksumMismatch "$cluster/log/$victim.log")"

is_repaired() {
    grep -q 'is whole again' "$cluster/log/$victim.log"
}
wait_until 30 "$victim repairs the chunk" is_repaired
grep -m 1 'is whole again' "$cluster/log/$victim.log"
admin "checksum /file" >"$TEST_DIR/out" || fail "after the repair: $(cat "$TEST_DIR/out")"

# The first one told, and no other line for it.
[ "$(grep -c 'are damaged' "$cluster/log/$victim.log")" = 1 ] || fail "told more than once"

# Written anew, the chunk is whole everywhere, too.
cp "$TEST_DIR/data" "$mount/file"
admin "checksum /file" >"$TEST_DIR/out" || fail "after writing anew: $(cat "$TEST_DIR/out")"
