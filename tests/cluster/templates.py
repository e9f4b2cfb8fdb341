#!/usr/bin/env python3
"""templates.py - storages, metas and a mount upload what their files have in common as the template
of their type: once, never what is of one node, never over what a person set.
"""
# test: quick, 120 s
import errno
import os
import re
import signal
import subprocess

from cluster import C3FS, PORT_BASE, TEST_DIR, Cluster, fail, wait_until


class Service:
    """A service with a file of its own beside those of the cluster."""

    def __init__(self, cluster, role, node_id, text):
        with open(cluster.dir + "/etc/%s.toml" % role, encoding="utf-8") as f:
            known = f.read()
        shared = re.findall(r"^(?:cluster_id|mgmtd_server_addresses|kv_path) = .*$", known,
                            re.MULTILINE)
        with open(cluster.dir + "/cluster.key", encoding="utf-8") as f:
            self.env = dict(os.environ, C3FS_CLUSTER_KEY=f.read().strip())
        self.role, self.cluster, self.process = role.split("-")[0], cluster, None
        self.path = os.path.join(TEST_DIR, "%s-%d.toml" % (self.role, node_id))
        self.log = self.path + ".log"
        self.node_id = node_id
        self.shared = "\n".join(shared) + "\nnode_id = %d\n" % node_id
        self.write(text)

    def write(self, text):
        with open(self.path, "w", encoding="utf-8") as f:
            f.write(self.shared + "upload_template = true\n" + text)

    def start(self):
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen([C3FS, self.role, "--cfg", self.path], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL, env=self.env)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    def restart(self):
        """Until it has said what became of its template."""
        before = self.said().count("configuration template") + self.said().count("are not made")
        self.stop()
        self.start()
        wait_until(30, "%d has asked" % self.node_id, lambda: self.said().count(
            "configuration template") + self.said().count("are not made") > before)

    def said(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, encoding="utf-8") as f:
            return f.read()


def version(c, kind):
    return [r["ConfigVersion"] for r in c.json("get-config -l") if r["Type"] == kind][0]


def template(c, kind):
    path = os.path.join(TEST_DIR, "template")
    c.admin("get-config -t %s -o %s" % (kind, path))
    with open(path, encoding="utf-8") as f:
        return f.read()


def wait_version(c, wanted, *services):
    def is_so():
        shown = {n["Id"]: n["ConfigVersion"] for n in c.json("list-nodes")}
        return all(shown.get(str(s.node_id)) == wanted + "(UPTODATE)" for s in services)
    wait_until(30, "%s(UPTODATE) of %s" % (wanted, [s.node_id for s in services]), is_so)


def test_storages(c, one, three):
    one.restart()
    three.restart()
    wait_version(c, "1", one, three)
    if template(c, "STORAGE") != 'resync.bandwidth = "1GB"\nlog.level = "info"\n':
        fail("the template is: " + template(c, "STORAGE"))
    for service in (one, three, one, three):
        service.restart()
        wait_version(c, "1", one, three)
    # other settings: the next version, for both
    one.write(one.own.replace("1GB", "2GB"))
    one.restart()
    wait_version(c, "2", one, three)
    if 'bandwidth = "2GB"' not in c.admin("get-config -n %d -k resync" % three.node_id):
        fail("the other one did not take the new template")
    # a person's version stays, whoever starts
    path = os.path.join(TEST_DIR, "person.toml")
    with open(path, "w", encoding="utf-8") as f:
        f.write('resync.bandwidth = "3GB"\n')
    c.admin("set-config -t STORAGE -f %s --desc 'slowly please'" % path)
    wait_version(c, "3", one, three)
    one.restart()
    three.restart()
    wait_version(c, "3", one, three)
    for service in (one, three):
        if "version 3 was set by a person and stays (slowly please)" not in service.said():
            fail("no warning: " + service.said())
        if 'bandwidth = "3GB"' not in c.admin("get-config -n %d -k resync" % service.node_id):
            fail("what the person set is not in force")


def is_readonly(point):
    try:
        with open(point + "/probe", "w", encoding="utf-8") as f:
            f.write("x")
        return False
    except OSError as e:
        if e.errno != errno.EROFS:
            raise
        return True


def change_mount(c, point):
    """A mount that runs, which does not listen: templates and settings by hand reach it."""
    def shown():
        return [s for s in c.json("list-clients") if s["Description"] == point][0]
    path = os.path.join(TEST_DIR, "mounts.toml")

    def set_template(text):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        c.admin("set-config -t FUSE -f %s" % path)
    client = shown()["ClientId"]
    set_template("readonly = true\n")
    wait_until(30, "2(UPTODATE) of the mount", lambda: shown()["ConfigVersion"] == "2(UPTODATE)")
    if not is_readonly(point):
        fail("the template's readonly is not in force")
    # by hand: one client, all of a type; the others of the type stay as they are told
    c.admin("hot-update-config -c %s -s 'readonly = false'" % client)
    if is_readonly(point):
        fail("readonly = false by hand is not in force")
    wait_until(30, "DIRTY", lambda: shown()["ConfigVersion"] == "2(DIRTY)")
    rows = c.json("hot-update-config -t FUSE -s 'readonly = true'")
    if rows != [{"ClientId": client, "Result": "success"}] or not is_readonly(point):
        fail("hot-update-config -t FUSE: %s" % rows)
    # all or nothing, and the reason
    text = c.admin("hot-update-config -c %s -s 'readonly = false\nmax_readahead = \"1MB\"'" %
                   client, status=1)
    if "max_readahead" not in text or not is_readonly(point):
        fail("a key that needs a restart was taken by hand: " + text)
    record = c.json("get-last-config-update-record -c " + client)
    if record["Description"] != "by hand" or "max_readahead" not in record["Result"]:
        fail("the record: %s" % record)
    if "no ClientId" not in c.admin("hot-update-config -c 00 -s 'readonly = false'", status=1):
        fail("an unknown client")
    set_template("readonly = false\nmax_readahead = \"1MB\"\n")
    wait_until(30, "3(FAILED)", lambda: "FAILED" in shown()["ConfigVersion"])
    if not is_readonly(point):
        fail("a part of a refused template is in force")


def test_mount(c):
    """A mount for an admin uploads as well; its session shows the version."""
    point = os.path.join(TEST_DIR, "mnt")
    os.makedirs(point)
    path = os.path.join(TEST_DIR, "fuse.toml")
    with open(c.dir + "/etc/admin_cli.toml", encoding="utf-8") as f:
        servers = re.search(r"^mgmtd_server_addresses.*$", f.read(), re.MULTILINE).group(0)
    with open(path, "w", encoding="utf-8") as f:
        f.write('%s\ntoken_file = "%s/token.txt"\nmountpoint = "%s"\nattr_timeout = 20\n'
                'upload_template = true\n' % (servers, c.dir, point))
    with open(path + ".log", "w", encoding="utf-8") as log:
        mount = subprocess.Popen([C3FS, "fuse", "--cfg", path], stdout=log, stderr=log,
                                 stdin=subprocess.DEVNULL)
    try:
        wait_until(30, "1(UPTODATE) of the mount", lambda: [
            s for s in c.json("list-clients") if s["ConfigVersion"] == "1(UPTODATE)"])
        if template(c, "FUSE") != "attr_timeout = 20\n":
            fail("the template is: " + template(c, "FUSE"))
        change_mount(c, point)
    finally:
        mount.send_signal(signal.SIGTERM)
        mount.wait(30)


def main():
    with Cluster() as c:
        if version(c, "STORAGE") != "N/A":
            fail("there is a template already")
        services = []
        for node_id, paths in ((1101, 1), (1103, 3)):
            folders = [os.path.join(TEST_DIR, "disk-%d-%d" % (node_id, i)) for i in range(paths)]
            for folder in folders:
                os.makedirs(folder, exist_ok=True)
            own = ('listen = "TCP://127.0.0.1:%d"\ntarget_paths = [%s]\nlog.level = "info"\n'
                   'resync.bandwidth = "1GB"\n' % (PORT_BASE + 80 + paths, ", ".join(
                       '"%s"' % f for f in folders)))
            services.append(Service(c, "storage-1001", node_id, own))
            services[-1].own = own
        meta = Service(c, "meta-101", 191, 'listen = "TCP://127.0.0.1:%d"\ngc.concurrency = 9\n' %
                       (PORT_BASE + 90))
        try:
            test_storages(c, *services)
            meta.restart()
            wait_version(c, "1", meta)
            if template(c, "META") != "gc.concurrency = 9\n":
                fail("the template is: " + template(c, "META"))
            if os.access("/dev/fuse", os.W_OK):
                test_mount(c)
        except AssertionError:
            print("\n".join(s.path + ": " + s.said()[-3000:] for s in [*services, meta]))
            raise
        finally:
            for service in [*services, meta]:
                service.stop()


if __name__ == "__main__":
    main()
