#!/usr/bin/env python3
"""powercut_vm.py - the run that power is cut of, in a virtual machine whose disk is recorded by
dm-log-writes, and what it recorded.

On the host, record() makes the disk: a file system for the store and one for each storage, side by
side on one disk with one cache, so that there is one order. In the machine this file is a program,
which lays dm-log-writes over the disk, starts a cluster, and puts a mark into the log for each
change that was acknowledged. The log is a second disk, an image that read_log() reads afterwards.
"""
import ctypes
import fcntl
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import power # noqa: E402

LOG_BYTES = 8 << 30
CHANGES, SECONDS_MAX, SLOWNESS = 120, 400, 8
MODULES = "ext4 fuse dm-log-writes crc32c_generic"
SECTOR = 512

# The log: a sector with the super block, then for each entry a sector, and its data.
MAGIC, VERSION = 0x6A736677736872, 1
SUPER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8

# linux/dm-ioctl.h: struct dm_ioctl, then struct dm_target_msg: a sector and the text.
DM_MESSAGE = struct.Struct("=3I II IiII IQ 128s 129s 7x Q")
DM_TARGET_MSG = 0xC138FD0E
DM_IOCTL_BYTES = 312


def record(top, without):
    """Runs the load in a machine; the images of the disks before it, and the log."""
    disks = power.STORAGES + 1
    image, log = top + "/disk", top + "/log"
    for path, size in ((image, disks * power.DISK_BYTES), (log, LOG_BYTES)):
        with open(path, "wb") as f:
            f.truncate(size)
    originals = []
    for disk in range(disks):
        originals.append("%s/before-%d" % (top, disk))
        with open(originals[-1], "wb") as f:
            f.truncate(power.DISK_BYTES)
        power.make_file_system(originals[-1])
        power.sh("dd", "if=" + originals[-1], "of=" + image, "bs=1M", "conv=notrunc,sparse",
                 "seek=%d" % (disk * (power.DISK_BYTES >> 20)))
    env = power.without_sync(top, without)
    given = ["%s=%s" % (name, env[name]) for name in ("LD_PRELOAD", "C3FS_LOOP_BACKEND",
                                                     "NO_SYNC_OF") if name in env]
    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.run(["bash", here + "/vm.sh", "--share", top, "--modules", MODULES, "--disk", image,
                    "--disk", log, "--timeout", "1500", "--", "env", "C3FS=" + power.C3FS,
                    "python3", here + "/powercut_vm.py", *given], check=True)
    return originals, log


def read_log(path):
    """(flags, byte, length, where the data is, text of a mark) in order."""
    entries = []
    with open(path, "rb") as f:
        magic, version, count, sector_bytes = SUPER.unpack(f.read(SUPER.size))
        assert (magic, version, sector_bytes) == (MAGIC, VERSION, SECTOR), "no log of dm-log-writes"
        at = SECTOR
        for _ in range(count):
            f.seek(at)
            sector, sectors, flags, text_bytes = ENTRY.unpack(f.read(ENTRY.size))
            assert not flags & DISCARD, "the disk takes no discards"
            text = f.read(text_bytes) if flags & MARK else b""
            entries.append((flags, sector * SECTOR, sectors * SECTOR, at + SECTOR, text))
            at += SECTOR + sectors * SECTOR
    return entries


def marker(name):
    """A function that puts a text as a mark into the log of the device @name."""
    control = os.open("/dev/mapper/control", os.O_RDWR)

    def mark(text):
        message = ("mark %s" % text).encode() + b"\0"
        size = DM_IOCTL_BYTES + 8 + len(message)
        head = DM_MESSAGE.pack(4, 0, 0, size, DM_IOCTL_BYTES, 0, 0, 0, 0, 0, 0, name.encode(), b"",
                               0)
        buffer = ctypes.create_string_buffer(head + message, size)
        fcntl.ioctl(control, DM_TARGET_MSG, buffer)

    return mark


def record_here(env):
    """In the machine: /dev/vda is the disk, /dev/vdb takes the log."""
    os.environ["DM_DISABLE_UDEV"] = "1"
    disks = power.STORAGES + 1
    sectors = power.DISK_BYTES // SECTOR
    power.sh("dmsetup", "create", "logged", "--table",
             "0 %d log-writes /dev/vda /dev/vdb" % (disks * sectors))
    for disk in range(disks):
        power.sh("dmsetup", "create", "disk-%d" % disk, "--table",
                 "0 %d linear /dev/mapper/logged %d" % (sectors, disk * sectors))
    host = power.Host("/run", "live", SLOWNESS)
    host.mount_disks(["/dev/mapper/disk-%d" % disk for disk in range(disks)])
    host.up("--storages=%d" % power.STORAGES, env=env)
    try:
        power.write_for(host, marker("logged"), CHANGES, SECONDS_MAX)
    except AssertionError as e:
        raise AssertionError("%s\n%s" % (e, host.errors())) from e


def main():
    env = dict(os.environ)
    env.update(assignment.split("=", 1) for assignment in sys.argv[1:])
    record_here(env)


if __name__ == "__main__":
    main()
