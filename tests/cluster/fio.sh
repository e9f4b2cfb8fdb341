#!/usr/bin/env bash
# fio.sh - what fio writes it reads back: random and sequential, buffered and direct, four jobs;
# then a large file and a sparse one.
# test: quick, 480 s
# test: soak, 1800 s
. "$(dirname "$0")/lib.sh"
need_fuse
need_tool fio

up >/dev/null || fail "up"
sequential=$([ $is_long = 1 ] && echo 256M || echo 16M)
random=$([ $is_long = 1 ] && echo 64M || echo 8M)

# verified NAME SIZE OPTION...: fio writes with a CRC in each block, reads all of it back, and once
# more without what the kernel has cached.
verified() {
    local name=$1 size=$2
    shift 2
    mkdir "$mount/$name"
    local job=(--name="$name" --directory="$mount/$name" --numjobs=4 --size="$size" --verify=crc32c
        --verify_fatal=1 --randseed="$TEST_SEED" --group_reporting --minimal "$@")
    fio "${job[@]}" --do_verify=1 --end_fsync=1 >"$TEST_DIR/fio" 2>&1 ||
        fail "fio $name: $(tail -n 20 "$TEST_DIR/fio")"
    echo 3 >/proc/sys/vm/drop_caches 2>/dev/null || true
    fio "${job[@]}" --verify_only=1 >"$TEST_DIR/fio" 2>&1 ||
        fail "fio $name, read again: $(tail -n 20 "$TEST_DIR/fio")"
    echo "fio $name: 4 x $size verified twice"
    rm -r "${mount:?}/$name"
}

verified seq-buffered $sequential --rw=write --bs=128k
verified seq-direct $sequential --rw=write --bs=1M --direct=1
verified rand-buffered $random --rw=randwrite --bs=4k --norandommap=0
verified rand-direct $random --rw=randwrite --bsrange=4k-64k --direct=1 --ioengine=libaio \
    --iodepth=8
verified mixed-direct $random --rw=randrw --bs=16k --direct=1 --ioengine=libaio --iodepth=4

# A large file.
size_mb=$([ $is_long = 1 ] && echo 4096 || echo 128)
openssl enc -aes-128-ctr -pass pass:"$TEST_SEED" -nosalt -pbkdf2 </dev/zero 2>/dev/null |
    head -c "${size_mb}M" | tee "$mount/large" | sha256sum >"$TEST_DIR/wanted"
remount
sha256sum <"$mount/large" >"$TEST_DIR/got"
cmp "$TEST_DIR/wanted" "$TEST_DIR/got" || fail "the large file is another one"
echo "sha256 of $size_mb MiB: $(cut -c 1-16 "$TEST_DIR/got")..."
rm "$mount/large"

# A sparse file of 1 TiB: truncate does as much as for a small one, what is not written reads as
# zeros, and what is written is where it belongs.
python3 - "$mount/sparse" <<'END'
import os, sys, time
path, size = sys.argv[1], 1 << 40

def truncate_to(length):
    begin = time.monotonic()
    os.ftruncate(fd, length)
    return time.monotonic() - begin

fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
small, large = (min(truncate_to(l) + truncate_to(0) for _ in range(5)) for l in (4096, size))
print("ftruncate to 4 KiB and back %.1f ms, to 1 TiB and back %.1f ms" % (small * 1e3, large * 1e3))
assert large < 20 * small + 0.05, "ftruncate takes longer for a larger file"
truncate_to(size)
assert os.fstat(fd).st_size == size
marks = [0, 1 << 30, size // 2 + 12345, size - 7]
for at in marks:
    os.pwrite(fd, b"written", at)
os.fsync(fd)
os.close(fd)
fd = os.open(path, os.O_RDONLY)
for at in marks:
    want = b"written".ljust(4096, b"\0")[:size - at]
    got = os.pread(fd, 4096, at)
    assert got == want, "at %d" % at
    assert not at or os.pread(fd, 4096, at - 4096) == bytes(4096), "before %d" % at
for i in range(1, 7):
    assert os.pread(fd, 1 << 20, size // 7 * i) == bytes(1 << 20), "zeros at %d / 7" % i
os.close(fd)
os.unlink(path)
END
