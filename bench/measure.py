"""measure.py - what a benchmark reads from the kernel: device bytes, CPU time, memory, load."""

import os
import socket
import statistics
import time

MIB, GIB = 1 << 20, 1 << 30


class Device:
    """The block device below a directory, by its counters; they count everybody's bytes."""

    def __init__(self, directory):
        number = os.stat(directory).st_dev
        self.path = "/sys/dev/block/%d:%d/stat" % (os.major(number), os.minor(number))
        self.name = "none"
        if os.path.exists(self.path):
            self.name = os.path.basename(os.path.realpath(os.path.dirname(self.path)))

    def bytes(self):
        """(read, written) so far, or None where there is no device of the directory's own."""
        try:
            with open(self.path, encoding="ascii") as f:
                fields = f.read().split()
        except OSError:
            return None
        return int(fields[2]) * 512, int(fields[6]) * 512


def cpu_seconds(pid):
    """User and system time of a process so far; 0 when it is gone."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    """Resident memory that is the process's own: without the pages of files."""
    try:
        with open("/proc/%d/status" % pid, encoding="ascii") as f:
            for line in f:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def drop_caches():
    """Writes back and drops the kernel's caches, so that all that is read next is read cold."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("3")


class Watch:
    """Device bytes and CPU time from its making until stop()."""

    def __init__(self, device, pids):
        self.device, self.pids = device, pids
        self.bytes = device.bytes()
        self.cpu = {pid: cpu_seconds(pid) for pid in pids}
        self.begin = time.monotonic()

    def stop(self):
        now = self.device.bytes()
        read, written = (None, None)
        if now and self.bytes:
            read, written = now[0] - self.bytes[0], now[1] - self.bytes[1]
        return {
            "wall_seconds": round(time.monotonic() - self.begin, 3),
            "device_read_bytes": read,
            "device_written_bytes": written,
            "cpu_seconds": round(sum(cpu_seconds(p) - self.cpu[p] for p in self.pids), 3),
            "load": os.getloadavg()[0],
        }


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def loopback_bytes_per_second(seconds):
    """One TCP stream over 127.0.0.1, 1 MiB a call, between two processes."""
    listener = socket.create_server(("127.0.0.1", 0))
    pid = os.fork()
    if pid == 0:
        block = bytes(MIB)
        with socket.create_connection(listener.getsockname()) as s:
            try:
                while True:
                    s.sendall(block)
            except OSError:
                os._exit(0)
    with listener, listener.accept()[0] as s:
        buffer = bytearray(MIB)
        end = time.monotonic() + seconds
        begin, count = time.monotonic(), 0
        while time.monotonic() < end:
            count += s.recv_into(buffer)
        rate = count / (time.monotonic() - begin)
    os.waitpid(pid, 0)
    return rate
