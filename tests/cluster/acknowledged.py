"""acknowledged.py - writers that tell of each change that was acknowledged, and what must be there
of it after everything has ended at once.
"""

import hashlib
import os


def content(index, serial):
    return hashlib.shake_128(b"%d %d" % (index, serial)).digest(serial * 977 % 200000)


def write(directory, index, tell):
    """Files, renames and appended records, until something fails; tells each serial number that all
    of it is durable for."""
    top = "%s/a%d" % (directory, index)
    os.makedirs(top, exist_ok=True)
    records = os.open(top + "/records", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    serial = 0
    while True:
        serial += 1
        fd = os.open("%s/new-%d" % (top, serial), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        data = memoryview(content(index, serial))
        while data:
            data = data[os.write(fd, data):]
        os.fsync(fd)
        os.close(fd)
        os.rename("%s/new-%d" % (top, serial), "%s/file-%d" % (top, serial))
        os.write(records, b"%08d\n" % serial)
        os.fsync(records)
        tell(serial)


def check(directory, index, count):
    """What was told up to @count is there."""
    top = "%s/a%d" % (directory, index)
    if not count:
        return
    with open(top + "/records", "rb") as f:
        records = f.read()
    want = b"".join(b"%08d\n" % serial for serial in range(1, count + 1))
    assert records[:len(want)] == want, "records of writer %d are lost" % index
    for serial in range(1, count + 1):
        with open("%s/file-%d" % (top, serial), "rb") as f:
            assert f.read() == content(index, serial), "file %d of writer %d differs" % (serial,
                                                                                         index)
