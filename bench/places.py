"""places.py - where the same work is done: the raw directory, libfuse's pass-through, a cluster."""

import glob
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time

EXAMPLE = "/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c"


class Unavailable(Exception):
    """A place that this machine cannot offer; the message says why."""


def run(command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options)


def is_mounted(directory):
    with open("/proc/self/mounts", encoding="utf-8") as f:
        return any(line.split()[1] == directory for line in f)


def raise_file_limit():
    """The pass-through keeps a descriptor for every inode that the kernel knows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Raw:
    """A directory of the disk that the cluster's storages are on."""

    name = "raw"
    can_write_direct = True

    def __init__(self, work):
        self.directory = os.path.join(work, "raw")
        os.makedirs(self.directory)

    def pids(self):
        return []

    def close(self):
        pass


class PassThrough:
    """passthrough_ll of libfuse over a raw directory, built from its source, default options."""

    name = "pass"
    # It opens the file below with O_DIRECT too, and writes from a buffer that is not aligned.
    can_write_direct = False

    def __init__(self, work):
        source = EXAMPLE if os.path.exists(EXAMPLE) else self.fetch_source(work)
        binary = os.path.join(work, "passthrough_ll")
        below = os.path.join(work, "below")
        self.directory = os.path.join(work, "pass")
        os.makedirs(below)
        os.makedirs(self.directory)
        flags = run(["pkg-config", "fuse3", "--cflags", "--libs"]).stdout.split()
        run(["gcc", "-O2", "-o", binary, source] + flags)
        self.process = subprocess.Popen(
            [binary, "-f", "-o", "source=" + below, self.directory], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=raise_file_limit)
        end = time.monotonic() + 10
        while not is_mounted(self.directory):
            if self.process.poll() is not None or time.monotonic() > end:
                raise Unavailable("passthrough_ll does not mount")
            time.sleep(0.02)

    @staticmethod
    def fetch_source(work):
        """Where packages are installed without their documents: the source from the package."""
        try:
            run(["apt-get", "download", "-qq", "libfuse3-dev"], cwd=work)
            package = glob.glob(os.path.join(work, "libfuse3-dev_*.deb"))[0]
            run(["dpkg-deb", "-x", package, os.path.join(work, "libfuse3-dev")])
        except (OSError, subprocess.CalledProcessError, IndexError) as error:
            raise Unavailable("the source of passthrough_ll is not here: %s" % error) from error
        return os.path.join(work, "libfuse3-dev") + EXAMPLE

    def pids(self):
        return [self.process.pid]

    def close(self):
        subprocess.run(["umount", "-l", self.directory], check=False)
        self.process.wait()


class Cluster:
    """A cluster of `c3fs up` on this host with its data below @work, mounted."""

    name = "c3fs"
    can_write_direct = True

    def __init__(self, work, binary, port_base, options):
        self.binary, self.dir = binary, os.path.join(work, "cluster")
        self.mount = os.path.join(work, "mnt")
        begin = time.monotonic()
        done = subprocess.run([binary, "up", "--dir", self.dir, "--mount", self.mount,
                               "--port-base", str(port_base)] + options,
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable("c3fs up: " + (done.stderr or done.stdout).strip())
        self.start_seconds = time.monotonic() - begin
        # A level below the root: what is kept there has a name of its own.
        self.directory = os.path.join(self.mount, "bench")
        os.mkdir(self.directory)

    def status(self):
        return json.loads(run([self.binary, "status", "--dir", self.dir, "--json"]).stdout)

    def processes(self):
        """(name, pid) of what runs."""
        status = self.status()
        return [("supervisor", status["supervisor"])] + \
            [(c["name"], c["pid"]) for c in status["children"] if c["pid"]]

    def pids(self):
        return [pid for _, pid in self.processes()]

    def admin(self, line):
        return run([self.binary, "admin", "--cfg", self.dir + "/etc/admin_cli.toml", line]).stdout

    def client_options(self):
        """How a program of the client library finds this cluster."""
        return ["--mgmtd", "TCP://127.0.0.1:%d" % self.status()["port_base"],
                "--token-file", self.dir + "/token.txt"]

    def close(self):
        subprocess.run([self.binary, "down", "--dir", self.dir], check=False,
                       stdout=subprocess.DEVNULL)


class Places:
    """All of them, in a directory of their own that is removed at the end."""

    def __init__(self, parent, binary, port_base, options):
        os.makedirs(parent, exist_ok=True)
        self.work = tempfile.mkdtemp(prefix="c3fs-bench-", dir=parent)
        self.all, self.missing = [], {}
        try:
            self.all.append(Raw(self.work))
            try:
                self.all.append(PassThrough(self.work))
            except Unavailable as why:
                self.missing["pass"] = str(why)
            self.cluster = Cluster(self.work, binary, port_base, options)
            self.all.append(self.cluster)
        except BaseException:
            self.close()
            raise

    def close(self):
        for place in reversed(self.all):
            place.close()
        shutil.rmtree(self.work, ignore_errors=True)
