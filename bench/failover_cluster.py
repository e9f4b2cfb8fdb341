"""failover_cluster.py - a cluster whose services each have a network of their own, and no
supervisor: whoever measures failures says who dies, who comes back and whose link is cut.

`c3fs up` makes the cluster and stops it; then every service is started by hand with the same files,
in which its address is that of its network namespace. All namespaces hang on one bridge in a
further one, so nothing of the host's network changes. The store's socket is a file and does not
notice. Needs root.
"""

import glob
import json
import os
import re
import signal
import subprocess
import time

from places import Unavailable, is_mounted, run

SUBNET = "10.83.94"
HUB = "c3fs-fo-hub"


class Failed(Exception):
    """The cluster did not do what it must; the message says what."""


def wait_until(seconds, what, condition):
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise Failed("not in time: " + what)
        time.sleep(0.02)


class Network:
    """Namespaces on one bridge; each is known by the name of its service."""

    def __init__(self, names):
        self.index = {name: i + 1 for i, name in enumerate(names)}
        self.made = []
        self.add(HUB)
        self.ip("-n", HUB, "link", "add", "br0", "type", "bridge")
        self.ip("-n", HUB, "address", "add", SUBNET + ".254/24", "dev", "br0")
        self.ip("-n", HUB, "link", "set", "br0", "up")
        for name in names:
            self.attach(name)

    @staticmethod
    def ip(*words):
        try:
            run(["ip", *words])
        except (OSError, subprocess.CalledProcessError) as error:
            raise Unavailable("ip %s: %s" % (" ".join(words),
                                             getattr(error, "stderr", error))) from error

    def add(self, space):
        if os.path.exists("/run/netns/" + space):
            raise Unavailable("the namespace %s is there already: another run, or one that was "
                              "killed (ip netns del)" % space)
        self.ip("netns", "add", space)
        self.made.append(space)
        self.ip("-n", space, "link", "set", "lo", "up")

    def space(self, name):
        return "c3fs-fo-%d" % self.index[name]

    def port(self, name):
        """The bridge's end of its link."""
        return "port%d" % self.index[name]

    def address(self, name):
        return "%s.%d" % (SUBNET, self.index[name])

    def attach(self, name):
        self.add(self.space(name))
        self.ip("-n", HUB, "link", "add", self.port(name), "type", "veth", "peer", "name", "eth0",
                "netns", self.space(name))
        self.ip("-n", HUB, "link", "set", self.port(name), "master", "br0", "up")
        self.ip("-n", self.space(name), "address", "add", self.address(name) + "/24", "dev", "eth0")
        self.ip("-n", self.space(name), "link", "set", "eth0", "up")

    def cut(self, name):
        """Frames are lost both ways; nobody is told."""
        self.ip("-n", HUB, "link", "set", self.port(name), "nomaster")

    def heal(self, name):
        self.ip("-n", HUB, "link", "set", self.port(name), "master", "br0")

    def close(self):
        for space in reversed(self.made):
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)


class Cluster:
    def __init__(self, work, binary, port_base, counts):
        self.binary, self.dir = binary, os.path.join(work, "cluster")
        self.mount = os.path.join(work, "mnt")
        os.makedirs(self.mount)
        self.processes = {}
        self.network = None
        self.make(port_base, counts)
        self.names = sorted(os.path.basename(p)[:-len(".toml")]
                            for p in glob.glob(self.dir + "/etc/*-*.toml"))
        self.write_fuse_config()
        self.network = Network(self.names + ["fuse"])
        self.rewrite_addresses()
        with open(self.dir + "/cluster.key", encoding="ascii") as f:
            self.key = f.read().strip()
        for name in self.names + ["fuse"]:
            self.start(name)
        wait_until(60, "the mount", lambda: is_mounted(self.mount))
        wait_until(60, "the cluster is whole", self.is_whole)

    def make(self, port_base, counts):
        words = ["--%s=%d" % item for item in counts.items()]
        done = subprocess.run([self.binary, "up", "--dir", self.dir, "--no-mount",
                               "--one-process=false", "--port-base", str(port_base)] + words,
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable("c3fs up: " + (done.stderr or done.stdout).strip())
        run([self.binary, "down", "--dir", self.dir])

    # ---- settings ----

    def path(self, name):
        return "%s/etc/%s.toml" % (self.dir, name)

    def read_config(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return f.read()

    def write_config(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def write_fuse_config(self):
        servers = re.search("^mgmtd_server_addresses.*$", self.read_config("admin_cli"),
                            re.MULTILINE).group(0)
        self.write_config("fuse", 'cluster_id = "default"\n%s\ntoken_file = "%s/token.txt"\n'
                          'mountpoint = "%s"\nallow_other = true\n' %
                          (servers, self.dir, self.mount))

    def rewrite_addresses(self):
        """Every port belongs to one service, whose address replaces that of the loopback."""
        owners = {re.search(r'^listen = "TCP://127.0.0.1:(\d+)"', self.read_config(name),
                            re.MULTILINE).group(1): name for name in self.names}

        def replace(match):
            return "TCP://%s:%s" % (self.network.address(owners[match.group(1)]), match.group(1))
        for name in self.names + ["fuse", "admin_cli"]:
            self.write_config(name, re.sub(r"TCP://127\.0\.0\.1:(\d+)", replace,
                                           self.read_config(name)))

    # ---- processes ----

    def start(self, name):
        log = open("%s/log/%s.log" % (self.dir, name), "ab")
        with log:
            self.processes[name] = subprocess.Popen(
                ["nsenter", "--net=/run/netns/" + self.network.space(name), self.binary,
                 name.split("-")[0], "--cfg", self.path(name)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=dict(os.environ, C3FS_CLUSTER_KEY=self.key))

    def signal(self, name, number):
        self.processes[name].send_signal(number)

    def wait_end(self, name):
        self.processes[name].wait(timeout=30)

    def of_role(self, role):
        return [name for name in self.names if name.startswith(role + "-")]

    # ---- what it says of itself ----

    def admin(self, line):
        """The answer of one command, or None while nobody answers."""
        try:
            done = subprocess.run(
                ["nsenter", "--net=/run/netns/" + HUB, self.binary, "admin", "-cfg",
                 self.path("admin_cli"), "--json", line],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30)
            return json.loads(done.stdout) if done.returncode == 0 else None
        except (ValueError, subprocess.TimeoutExpired):
            return None

    def chains_serve(self):
        chains = self.admin("list-chains")
        return chains and all(c["Status"] == "SERVING" for c in chains)

    def is_whole(self):
        nodes = self.admin("list-nodes") or []
        up = [n for n in nodes if n["Status"] in ("PRIMARY_MGMTD", "HEARTBEAT_CONNECTED")]
        return len(up) >= len(self.names) and self.primary() and self.chains_serve()

    def primary(self):
        """The service that leads the cluster managers."""
        for n in self.admin("list-nodes") or []:
            if n["Status"] == "PRIMARY_MGMTD":
                return "mgmtd-" + n["Id"]
        return None

    def store_holder(self):
        """The service that has the store's data file open."""
        for name in self.of_role("meta") + self.of_role("mgmtd"):
            for link in glob.glob("/proc/%d/fd/*" % self.processes[name].pid):
                try:
                    if os.path.basename(os.readlink(link)) == "data.mdb":
                        return name
                except OSError:
                    continue
        return None

    def used_bytes(self, name):
        """What the targets of a storage hold, by its own reports."""
        targets = self.admin("list-targets") or []
        return sum(int(t["UsedSize"]) for t in targets if "storage-" + t["NodeId"] == name)

    def close(self):
        for name in ["fuse"] + self.names:
            process = self.processes.get(name)
            if process and process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGTERM if name == "fuse" else signal.SIGKILL)
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        if is_mounted(self.mount):
            subprocess.run(["umount", "-l", self.mount], check=False)
        if self.network:
            self.network.close()
        subprocess.run([self.binary, "down", "--dir", self.dir], check=False, capture_output=True)
