#!/usr/bin/env bash
# replicas.sh - the replicas are real: each block of a file is on the disks of three nodes, and
# every chain serves with three targets on three nodes.
# test: quick, 60 s
. "$(dirname "$0")/lib.sh"
need_fuse

up >/dev/null || fail "up"
all_chains_serve || fail "not every chain serves with three targets on three nodes"

python3 - "$mount" "$cluster" <<'END'
import glob, os, sys
mount, cluster = sys.argv[1:]
BLOCK, COUNT = 4096, 64 << 8  # 64 MiB
mark = b"replica." + os.urandom(8)
body = os.urandom(BLOCK - len(mark) - 8)
with open(mount + "/file", "wb") as f:
    for i in range(COUNT):
        f.write(mark + i.to_bytes(8, "little") + body)

def blocks_of(path):
    """Numbers of the blocks of the file that a file of a data directory holds."""
    found = set()
    with open(path, "rb") as f:
        size, at = os.fstat(f.fileno()).st_size, 0
        while at < size:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA) // BLOCK * BLOCK
            except OSError:
                break
            data = os.pread(f.fileno(), 1 << 20, at)
            for b in range(0, len(data), BLOCK):
                if data[b:b + len(mark)] == mark:
                    found.add(int.from_bytes(data[b + len(mark):b + len(mark) + 8], "little"))
            at += 1 << 20
    return found

copies = [0] * COUNT
for node in glob.glob(cluster + "/storage-*"):
    held = set()
    for directory, _, names in os.walk(node):
        for name in names:
            held |= blocks_of(os.path.join(directory, name))
    for i in held:
        copies[i] += 1
held, size = sum(copies) * BLOCK, COUNT * BLOCK
print("%d MiB: each block on %d to %d nodes; the data directories hold %.2f times the bytes"
      % (size >> 20, min(copies), max(copies), held / size))
if min(copies) != 3 or max(copies) != 3:
    sys.exit("a block is not on three nodes")
END
