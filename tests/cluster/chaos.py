#!/usr/bin/env python3
"""chaos.py - a whole cluster in network namespaces, under checked load and every kind of fault.

    chaos.py [--minutes N] [--seed S]

3 cluster managers, 3 metadata services, 5 storages and 2 mounts, each in a namespace of its own on
one bridge. By chance: kill -9, SIGSTOP beyond the lease, links cut both ways and one way, a disk
that is full for a while, a damaged unit. At the end everything is killed at once under load and
started again. No wrong byte, no acknowledged change lost, no error but ENOSPC while a disk is
full, and every chain SERVING with all its targets within a minute of the last fault.
"""
# test: quick, 240 s
# test: soak, 900 s
import argparse
import errno
import glob
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import acknowledged # noqa: E402
import mixed_load # noqa: E402
import names_load # noqa: E402

C3FS = os.environ["C3FS"]
KEY = "k1:" + "5a" * 32
COUNTS = {"mgmtd": 3, "meta": 3, "storage": 5, "fuse": 2}
FIRST_ID = {"mgmtd": 1, "meta": 101, "storage": 1001, "fuse": 1}
PORT = 8000
DISK_MB = 1024
FULL_STORAGE, DAMAGED_STORAGE = "storage-1005", "storage-1004"


def sh(*command, check=True, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if check and done.returncode:
        raise AssertionError("%s: %s%s" % (" ".join(command), done.stdout, done.stderr))
    return done.stdout


# ---- the network: a bridge, and a namespace for each service ----

class Network:
    def __init__(self):
        remove_leftovers()
        self.tag = "c%d" % os.getpid()
        self.table = "c3fs-" + self.tag
        self.net = "10.213.%d" % (os.getpid() % 250)
        self.cuts, self.lock = {}, threading.Lock()
        self.count = 0
        sh("ip", "link", "add", self.tag + "br", "type", "bridge")
        sh("ip", "addr", "add", self.net + ".1/24", "dev", self.tag + "br")
        sh("ip", "link", "set", self.tag + "br", "up")
        sh("nft", "add", "table", "bridge", self.table)
        sh("nft", "add", "chain", "bridge", self.table, "cut",
           "{ type filter hook forward priority 0 ; }")
        self.spaces = []

    def join(self):
        """A new namespace: its name, its port on the bridge, its address."""
        self.count += 1
        space, port = "%sn%d" % (self.tag, self.count), "%sv%d" % (self.tag, self.count)
        address = "%s.%d" % (self.net, 10 + self.count)
        sh("ip", "netns", "add", space)
        self.spaces.append(space)
        sh("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
        sh("ip", "link", "set", port, "master", self.tag + "br", "up")
        sh("ip", "-n", space, "addr", "add", address + "/24", "dev", "eth0")
        sh("ip", "-n", space, "link", "set", "eth0", "up")
        sh("ip", "-n", space, "link", "set", "lo", "up")
        return space, port, address

    def cut(self, name, rules):
        """rules: pairs (from port, to port); None for any."""
        with self.lock:
            self.cuts[name] = rules
            self.apply()

    def heal(self, name):
        with self.lock:
            self.cuts.pop(name, None)
            self.apply()

    def apply(self):
        text = ["flush table bridge " + self.table]
        for source, to in (pair for rules in self.cuts.values() for pair in rules):
            match = ('iifname "%s" ' % source if source else "") + (
                'oifname "%s" ' % to if to else "")
            text.append("add rule bridge %s cut %s drop" % (self.table, match))
        sh("nft", "-f", "-", input="\n".join(text) + "\n")

    def close(self):
        remove_network(self.tag, self.spaces)


def remove_network(tag, spaces):
    sh("nft", "delete", "table", "bridge", "c3fs-" + tag, check=False)
    for space in spaces:
        sh("ip", "netns", "del", space, check=False)
    sh("ip", "link", "del", tag + "br", check=False)


def remove_leftovers():
    """Of a run that was killed."""
    spaces = {}
    for line in sh("ip", "netns", "list").splitlines():
        match = re.match(r"(c(\d+))n\d+\b", line)
        if match and not os.path.exists("/proc/" + match[2]):
            spaces.setdefault(match[1], []).append(line.split()[0])
    for tag, names in spaces.items():
        remove_network(tag, names)


# ---- services: started, and started again when they end ----

class Service:
    def __init__(self, cluster, role, index):
        self.cluster, self.role = cluster, role
        self.id = FIRST_ID[role] + index
        self.name = "%s-%d" % (role, self.id)
        self.space, self.port, self.address = cluster.network.join()
        self.mount = os.path.join(cluster.dir, "mnt-%d" % index) if role == "fuse" else None
        self.process, self.due, self.starts = None, 0.0, 0

    def write_config(self):
        c = self.cluster
        if self.role == "fuse":
            os.makedirs(self.mount)
            text = 'mountpoint = "%s"\ntoken_file = "%s/token.txt"\n' % (self.mount, c.dir)
        else:
            url = '"TCP://%s:%d"' % (self.address, PORT)
            text = "node_id = %d\nlisten = %s\nadvertise = %s\n" % (
                self.id, url, "[%s]" % url if self.role == "storage" else url)
        if self.role in ("mgmtd", "meta"):
            text += 'kv_path = "%s/kv"\n' % c.dir
        if self.role == "storage":
            text += 'target_paths = ["%s/%s"]\n' % (c.dir, self.name)
        if self.role != "mgmtd":
            text += "mgmtd_server_addresses = %s\n" % c.mgmtd_list()
        with open("%s/etc/%s.toml" % (c.dir, self.name), "w", encoding="utf-8") as f:
            f.write('cluster_id = "chaos"\n' + text)

    def start(self):
        c = self.cluster
        with open("%s/log/%s.log" % (c.dir, self.name), "ab") as log:
            self.process = subprocess.Popen(
                ["nsenter", "--net=/run/netns/" + self.space, C3FS, self.role, "--cfg",
                 "%s/etc/%s.toml" % (c.dir, self.name)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=dict(os.environ, C3FS_CLUSTER_KEY=KEY))
        self.starts += 1

    def kill(self, after=0.0):
        self.due = time.monotonic() + after
        if self.process and self.process.poll() is None:
            self.process.kill()

    def step(self):
        if self.process and self.process.poll() is not None and time.monotonic() >= self.due:
            self.due = time.monotonic() + 0.5
            self.start()

    def log_tail(self):
        with open("%s/log/%s.log" % (self.cluster.dir, self.name), errors="replace") as f:
            lines = [line for line in f if "  INFO  " not in line]
        return "---- %s\n%s" % (self.name, "".join(lines[-12:]))


class Cluster:
    def __init__(self, directory):
        self.dir = directory
        self.network = Network()
        self.disk = None
        self.services, self.by_name = [], {}
        self.is_watched = False
        self.lock = threading.Lock()

    def of(self, role):
        return [s for s in self.services if s.role == role]

    def mgmtd_list(self):
        return "[%s]" % ", ".join('"TCP://%s:%d"' % (s.address, PORT) for s in self.of("mgmtd"))

    def prepare(self):
        for folder in ("etc", "log", "kv"):
            os.makedirs("%s/%s" % (self.dir, folder))
        for role, count in COUNTS.items():
            for index in range(count):
                self.services.append(Service(self, role, index))
        self.by_name = {s.name: s for s in self.services}
        for s in self.services:
            s.write_config()
        for s in self.of("storage"):
            os.makedirs("%s/%s" % (self.dir, s.name))
        self.small_disk("%s/%s" % (self.dir, FULL_STORAGE))
        common = 'cluster_id = "chaos"\nkv_path = "%s/kv"\ntoken_file = "%s/token.txt"\n' \
            "mgmtd_server_addresses = %s\n" % (self.dir, self.dir, self.mgmtd_list())
        with open(self.dir + "/etc/admin_cli.toml", "w", encoding="utf-8") as f:
            f.write(common)
        with open(self.dir + "/etc/bootstrap.toml", "w", encoding="utf-8") as f:
            f.write(common + "storages = %d\nreplicas = 3\nchunk_size = 1048576\nstripe = 5\n"
                    "owner_uid = 0\nowner_gid = 0\n" % COUNTS["storage"])

    def small_disk(self, path):
        image = path + ".img"
        sh("truncate", "-s", "%dM" % DISK_MB, image)
        sh("mkfs.ext4", "-q", "-m", "0", "-E", "nodiscard", image)
        sh("mount", "-o", "loop", image, path)
        self.disk = path

    def bootstrap(self, *more):
        env = dict(os.environ, C3FS_CLUSTER_KEY=KEY)
        sh(C3FS, "bootstrap", "--cfg", self.dir + "/etc/bootstrap.toml", *more, env=env,
           timeout=120)

    def start(self):
        self.prepare()
        self.bootstrap("--config.store_only=true")
        for s in self.services:
            if s.role != "fuse":
                s.start()
        self.bootstrap()
        for s in self.of("fuse"):
            s.start()
        self.wait_mounted()
        self.is_watched = True
        threading.Thread(target=self.watch, daemon=True).start()

    def wait_mounted(self):
        wait_until(60, "both mounts", lambda: all(mounted(s.mount) for s in self.of("fuse")))

    def watch(self):
        while self.is_watched:
            with self.lock:
                for s in self.services:
                    if self.is_watched:
                        s.step()
            time.sleep(0.05)

    def admin(self, command):
        return json.loads(sh(C3FS, "admin", "-cfg", self.dir + "/etc/admin_cli.toml", "--json",
                             command, timeout=30))

    def whole(self):
        """None when every chain has all its targets serving, or what is not so."""
        try:
            chains, targets = self.admin("list-chains"), self.admin("list-targets")
        except (AssertionError, ValueError, subprocess.TimeoutExpired) as e:
            return str(e)
        for chain in chains:
            states = [t["PublicState"] + "-" + t["LocalState"] for t in targets
                      if t["ChainId"] == chain["ChainId"]]
            if chain["Status"] != "SERVING" or states != ["SERVING-UPTODATE"] * 3:
                return "chain %s %s: %s" % (chain["ChainId"], chain["Status"], states)
        return None if chains else "there are no chains"

    def stop(self):
        self.is_watched = False
        with self.lock:
            for s in self.services:
                if s.process and s.process.poll() is None:
                    s.process.send_signal(signal.SIGCONT)
                    s.process.kill()
            for s in self.services:
                if s.process:
                    s.process.wait()
        for s in self.of("fuse"):
            sh("umount", "-l", s.mount, check=False)
        if self.disk:
            sh("umount", "-l", self.disk, check=False)
        self.network.close()


def mounted(path):
    with open("/proc/self/mounts", encoding="utf-8") as f:
        return any(line.split()[1] == path for line in f)


def wait_until(seconds, what, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("not in time: " + what)
        time.sleep(0.1)


# ---- load ----

class FileWorker(mixed_load.Worker):
    """A file whose write found no space is given up: any part of it may be there."""

    def step(self):
        before = set(self.files)
        try:
            super().step()
        except OSError as e:
            if e.errno != errno.ENOSPC:
                raise
            for name in sorted(before):
                try:
                    with open(os.path.join(self.directory, name), "rb") as f:
                        os.fsync(f.fileno())
                except OSError:
                    pass
                try:
                    os.unlink(os.path.join(self.directory, name))
                except FileNotFoundError:
                    pass
            self.files.clear()
            for name in os.listdir(self.directory):
                os.unlink(os.path.join(self.directory, name))
            time.sleep(0.2)

    def check_at(self, directory):
        """All of it, through another mount."""
        self.directory = os.path.join(directory, "t%d" % self.index)
        for name, blocks in self.files.items():
            with open(os.path.join(self.directory, name), "rb") as f:
                data = f.read()
            want = b"".join(mixed_load.block(self.tag(name), i * mixed_load.BLOCK, g) if g
                            else bytes(mixed_load.BLOCK) for i, g in enumerate(blocks))
            assert data == want, "%s differs on the other mount" % name


def file_load(index, here, there, seconds, seed):
    worker = FileWorker(here, index, time.time() + seconds)
    worker.random = random.Random(seed * 1000 + index)
    worker.run()
    if worker.problems:
        raise AssertionError(worker.problems[0])
    worker.check_at(there)
    return worker.operations, worker.worst


def name_load(index, here, there, seconds, seed):
    tree = names_load.Tree("%s/p%d" % (here, index), seed * 1000 + index,
                           time.monotonic() + seconds, disks_fill=True)
    tree.run()
    tree.path = "%s/p%d" % (there, index)
    tree.compare()
    return tree.operations, tree.worst


class Load:
    """Processes on both mounts; each checks at the end through the other one."""

    def __init__(self, cluster, seconds, seed):
        mounts = [s.mount for s in cluster.of("fuse")]
        self.pids = []
        read, write = os.pipe()
        for index in range(8):
            here, there = mounts[index % 2], mounts[1 - index % 2]
            pid = os.fork()
            if pid == 0:
                os.close(read)
                self.child(file_load if index < 4 else name_load, write, index, here, there,
                           seconds, seed)
            self.pids.append(pid)
        os.close(write)
        self.results = os.fdopen(read)

    @staticmethod
    def child(load, out, index, *arguments):
        try:
            operations, worst = load(index, *arguments)
            result = [operations, worst, None]
        except BaseException: # whatever it is, it is the verdict of this process
            result = [0, 0.0, "%s %d: %s" % (load.__name__, index, traceback.format_exc())]
        os.write(out, (json.dumps(result) + "\n").encode())
        os._exit(0)

    def is_done(self):
        self.pids = [p for p in self.pids if os.waitpid(p, os.WNOHANG)[0] == 0]
        return not self.pids

    def end(self):
        """Operations and the longest pause; fails when one of them has found anything."""
        results = [json.loads(line) for line in self.results]
        for pid in self.pids:
            os.waitpid(pid, 0)
        problems = [r[2] for r in results if r[2]]
        if len(results) != 8:
            problems.append("%d processes of 8 gave no result" % (8 - len(results)))
        if problems:
            raise AssertionError("\n".join(problems))
        return sum(r[0] for r in results), max(r[1] for r in results)


# ---- faults ----

class Faults:
    def __init__(self, cluster, seed, is_long):
        self.cluster, self.chance, self.is_long = cluster, random.Random(seed), is_long
        self.counts, self.hurt = {}, set()
        self.lock = threading.Lock()
        self.error = None

    def until(self, end, is_over):
        """Two at a time, never two at one service."""
        def loop():
            try:
                while time.monotonic() < end and not is_over():
                    time.sleep(self.chance.uniform(0.1, 1.5))
                    self.one()
            except BaseException as e: # told by the caller
                self.error = e
        threads = [threading.Thread(target=loop) for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if self.error:
            raise self.error

    def one(self):
        """Does one and undoes it; takes seconds."""
        servers = ("mgmtd", "meta", "storage")
        kinds = ((self.kill, servers, 30), (self.stop, servers, 20), (self.cut, servers, 10),
                 (self.cut, ("fuse",), 5), (self.cut_one_way, servers, 15),
                 (self.fill_disk, ("storage",), 5), (self.damage, ("storage",), 5),
                 (self.cut_a_minute, ("fuse",), self.is_long))
        action, roles = self.chance.choices([k[:2] for k in kinds], [k[2] for k in kinds])[0]
        with self.lock:
            free = [s for s in self.cluster.services if s.role in roles and s not in self.hurt]
            victim = self.chance.choice(free)
            self.hurt.add(victim)
        done = action(victim)
        with self.lock:
            self.hurt.discard(victim)
            name = action.__name__.replace("_", " ")
            self.counts[name] = self.counts.get(name, 0) + bool(done)

    def kill(self, victim):
        down = self.chance.uniform(0, 3)
        with self.cluster.lock:
            victim.kill(down)
        time.sleep(down)
        return True

    def stop(self, victim):
        process = victim.process
        if process.poll() is not None:
            return False
        process.send_signal(signal.SIGSTOP)
        time.sleep(self.chance.uniform(2, 5))
        process.send_signal(signal.SIGCONT)
        return True

    def cut(self, victim):
        self.cluster.network.cut(victim.name, [(victim.port, None), (None, victim.port)])
        time.sleep(self.chance.uniform(1, 6))
        self.cluster.network.heal(victim.name)
        return True

    def cut_a_minute(self, victim):
        self.cluster.network.cut(victim.name, [(victim.port, None), (None, victim.port)])
        time.sleep(60)
        self.cluster.network.heal(victim.name)
        # A second minute at once would be more than its operations wait.
        time.sleep(20)
        return True

    def cut_one_way(self, victim):
        """From one service to all or to one other."""
        other = self.chance.choice(self.cluster.of("mgmtd") + self.cluster.of("storage"))
        rules = [[(victim.port, None)], [(None, victim.port)], [(victim.port, other.port)]]
        self.cluster.network.cut(victim.name, self.chance.choice(rules))
        time.sleep(self.chance.uniform(1, 6))
        self.cluster.network.heal(victim.name)
        return True

    def fill_disk(self, _):
        """Of one storage, always the same. One that has no room for its journal takes the disk out
        of use until there is some again."""
        path = "%s/filler-%d" % (self.cluster.disk, threading.get_ident())
        with open(path, "wb") as f:
            try:
                while True:
                    f.write(bytes(1 << 20))
                    f.flush()
            except OSError as e:
                assert e.errno == errno.ENOSPC, e
        time.sleep(self.chance.uniform(1, 4))
        os.unlink(path)
        return True

    def damage(self, _):
        """A byte of a unit of one storage, always the same: the others have the data too."""
        units = glob.glob("%s/%s/**/units-*" % (self.cluster.dir, DAMAGED_STORAGE),
                          recursive=True)
        if not units:
            return False
        path = self.chance.choice(sorted(units))
        with open(path, "r+b") as f:
            for _ in range(200):
                at = self.chance.randrange(max(os.path.getsize(path), 1))
                f.seek(at)
                byte = f.read(1)
                if byte and byte != b"\0":
                    f.seek(at)
                    f.write(bytes([byte[0] ^ 0x10]))
                    return True
        return False


# ---- everything at once ----

def tell(out, serial):
    out.write("%d\n" % serial)
    out.flush()


def blackout(cluster, seconds):
    mounts = [s.mount for s in cluster.of("fuse")]
    logs = ["%s/acknowledged-%d" % (cluster.dir, i) for i in range(4)]
    pids = []
    for index, log in enumerate(logs):
        pid = os.fork()
        if pid == 0:
            try:
                with open(log, "a", encoding="ascii") as out:
                    acknowledged.write(mounts[index % 2], index, lambda serial: tell(out, serial))
            except OSError:
                os._exit(0)
            os._exit(1)
        pids.append(pid)
    time.sleep(seconds)
    with cluster.lock:
        for s in cluster.services:
            s.kill(1.0)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0, "a writer failed before the end"
    wait_until(60, "all is started again",
               lambda: all(s.process.poll() is None for s in cluster.services))

    def answers():
        try:
            return all("a0" in os.listdir(m) for m in mounts)
        except OSError:
            return False
    wait_until(90, "the mounts after everything was killed", answers)
    count = 0
    for index, log in enumerate(logs):
        with open(log, encoding="ascii") as f:
            told = len(f.readlines())
        acknowledged.check(mounts[1 - index % 2], index, told)
        count += told
    print("everything killed at once: all %d acknowledged files and records are there" % count)


# ---- the run ----

def run(cluster, seconds, seed):
    faults = Faults(cluster, seed, seconds > 200)
    load = Load(cluster, seconds, seed)
    end = time.monotonic() + seconds
    faults.until(end, load.is_done)
    last_fault = time.monotonic()
    wait_until(60, "every chain SERVING: %s" % cluster.whole(), lambda: not cluster.whole())
    healed = time.monotonic() - last_fault
    operations, worst = load.end()
    print(", ".join("%s: %d" % item for item in sorted(faults.counts.items())))
    print("%d operations, longest pause %.2f s; every chain SERVING %.1f s after the last fault" %
          (operations, worst, healed))


def main():
    is_long = os.environ.get("TEST_LONG") == "1"
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--minutes", type=float, default=5 if is_long else 0.35)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("TEST_SEED", "1")))
    arguments = parser.parse_args()
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        print("needs root and /dev/fuse")
        sys.exit(77)
    top = os.environ.get("TEST_DIR") or tempfile.mkdtemp(prefix="c3fs-chaos-")
    print("seed %d, %g minutes" % (arguments.seed, arguments.minutes), flush=True)
    cluster = Cluster(top + "/chaos")
    is_good = False
    try:
        cluster.start()
        run(cluster, arguments.minutes * 60, arguments.seed)
        blackout(cluster, 5)
        wait_until(60, "every chain SERVING", lambda: not cluster.whole())
        is_good = True
    finally:
        if not is_good:
            for s in cluster.services:
                print(s.log_tail())
            print("run again: ./dev chaos --minutes %g --seed %d" % (arguments.minutes,
                                                                     arguments.seed))
        cluster.stop()
        if is_good and not os.environ.get("TEST_DIR"):
            shutil.rmtree(top)


if __name__ == "__main__":
    main()
