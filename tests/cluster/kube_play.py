#!/usr/bin/env python3
"""kube_play.py - the pod templates of deploy/k8s/overlays/single, run by `podman kube play`: their
users, capabilities, commands, variables, Secrets, init containers and probes. What a cluster
does for them is done here: names are put into hosts files, directories stand for claims.

Needs the image of `./dev image` (C3FS_IMAGE names another one).
"""
# test: soak, 900 s
import copy
import json
import os
import shutil
import subprocess
import sys

import yaml

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import TEST_DIR, fail, wait_until # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IMAGE = os.environ.get("C3FS_IMAGE", "localhost/c3fs:latest")
TAG = "kube%d" % os.getpid()
NET = "10.90.%d" % (os.getpid() % 250)
K8S, MNT = TEST_DIR + "/k8s", TEST_DIR + "/mnt"
os.environ["CONTAINERS_CONF"] = ROOT + "/deploy/image/containers.conf"


def sh(*command, check=True):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, check=False, timeout=120)
    if check and done.returncode:
        fail("%s: %s" % (" ".join(command), done.stdout))
    return done.stdout


def render():
    text = subprocess.run(["kubectl", "kustomize", K8S + "/overlays/single"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return [o for o in yaml.safe_load_all(text) if o]


class Pods:
    def __init__(self):
        self.names, self.addresses, self.count = [], {}, 0

    def prepare(self, objects):
        """Every pod of StatefulSets gets an address, known to all by its name of Kubernetes."""
        for o in objects:
            if o["kind"] != "StatefulSet":
                continue
            for i in range(o["spec"]["replicas"]):
                name = "%s-%d" % (o["metadata"]["name"], i)
                self.addresses[name] = ("%s.%d" % (NET, 10 + len(self.addresses)),
                                        "%s.%s" % (name, o["spec"]["serviceName"]))

    def volume(self, name, volume):
        """A directory below TEST_DIR in place of a claim or of the host's."""
        path = MNT if volume.get("hostPath", {}).get("path") == "/mnt" else \
            TEST_DIR + "/kv" if volume["name"] == "kv" else "%s/data-%s" % (TEST_DIR, name)
        os.makedirs(path, exist_ok=True)
        if volume["name"] == "data":
            os.chown(path, 8000, 8000) # fsGroup
        return {"name": volume["name"], "hostPath": {"path": path, "type": "Directory"}}

    def play(self, objects, workload, name):
        template = copy.deepcopy(workload["spec"]["template"])
        spec = template["spec"]
        claims = [{"name": c["metadata"]["name"]}
                  for c in workload["spec"].get("volumeClaimTemplates", [])]
        spec["volumes"] = [self.volume(name, v) for v in spec.get("volumes", []) + claims]
        spec["hostname"] = name
        spec["hostAliases"] = [{"ip": ip, "hostnames": [fqdn]}
                               for ip, fqdn in self.addresses.values()]
        for container in spec["containers"] + spec.get("initContainers", []):
            container["image"], container["imagePullPolicy"] = IMAGE, "Never"
            container.pop("ports", None) # podman 4.3 would take them from the host
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": spec,
               "metadata": {"name": TAG + "-" + name, "labels": template["metadata"]["labels"],
                            # one that is to be removed at once may be said to run still
                            "annotations": {"io.podman.annotations.init.container.type": "always"}}}
        maps = [o for o in objects if o["kind"] == "ConfigMap"]
        path = "%s/%s.yaml" % (TEST_DIR, name)
        with open(path, "w", encoding="utf-8") as f:
            yaml.safe_dump_all(maps + [pod], f)
        ip = "%s.%d" % (NET, 200 + self.count)
        ip = self.addresses.get(name, (ip, None))[0]
        self.count += 1
        self.names.append(name)
        sh("podman", "kube", "play", "--network", TAG, "--ip", ip, path)

    def container(self, name):
        return "%s-%s-%s" % (TAG, name, name.split("-")[0])

    def health(self, name):
        service = name.split("-")[0]
        return sh("podman", "exec", self.container(name), "c3fs", "health", service, check=False)

    def is_healthy(self, name):
        """What it says then, or nothing."""
        text = self.health(name).strip()
        return text if text.startswith("healthy: ") else ""

    def close(self):
        for name in reversed(self.names):
            sh("podman", "pod", "rm", "-f", "-t", "5", TAG + "-" + name, check=False)


def set_secrets(objects):
    """As podman's own, whose data is a JSON object of base64: podman 4.3 cannot read back the ones
    that it plays."""
    found = {o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "Secret"}
    path = TEST_DIR + "/secret.json"
    for name, data in found.items():
        sh("podman", "secret", "rm", name, check=False)
        with open(path, "w", encoding="utf-8") as f:
            json.dump({k: v.replace("\n", "") for k, v in data.items()}, f)
        sh("podman", "secret", "create", name, path)
    return list(found)


def test(pods, secrets):
    objects = render()
    workloads = {o["metadata"]["name"]: o for o in objects if "template" in o.get("spec", {})}
    secrets += set_secrets(objects)
    pods.prepare(objects)

    def admin(*words):
        return sh("podman", "exec", pods.container("admin"), "sh", "-c", " ".join(words))
    cli = "admin_cli -cfg /opt/3fs/etc/admin_cli.toml "
    pods.play(objects, workloads["admin"], "admin")
    for name in pods.addresses:
        pods.play(objects, workloads[name.split("-")[0]], name)
    wait_until(60, "the admin tool's settings", lambda: sh(
        "podman", "exec", pods.container("admin"), "ls", "/opt/3fs/etc/admin_cli.toml", check=False)
        .startswith("/opt"))
    if pods.is_healthy("mgmtd-0"):
        fail("healthy before init-cluster: " + pods.health("mgmtd-0"))
    admin(cli, "--config.cluster_key=$CLUSTER_KEY",
          '"init-cluster --mgmtd /opt/3fs/etc/mgmtd_main.toml 1 1048576 6"')
    for name in pods.addresses:
        print(wait_until(90, name + " is healthy", lambda name=name: pods.is_healthy(name)))
    print(admin(cli, '"bootstrap --replicas 3"').strip().split("\n")[-1])

    # The mount, with the token that bootstrap made, seen by the host.
    with open(K8S + "/base/token.env", "w", encoding="utf-8") as f:
        f.write("TOKEN=%s\n" % admin("cat /opt/3fs/etc/token.txt").strip())
    objects = render()
    secrets += set_secrets(objects)
    workloads = {o["metadata"]["name"]: o for o in objects if "template" in o.get("spec", {})}
    pods.play(objects, workloads["fuse"], "fuse")
    wait_until(60, "the mount is healthy", lambda: pods.is_healthy("fuse"))
    with open(MNT + "/3fs/file", "w", encoding="utf-8") as f:
        f.write("written through a DaemonSet's pod\n")
    print(sh("df", "--output=fstype,source", MNT + "/3fs").strip().split("\n")[-1])
    users = sh("podman", "exec", pods.container("storage-0"), "id", "-u").strip()
    if users != "8000":
        fail("the storage runs as " + users)


def main():
    if os.geteuid() != 0 or not all(shutil.which(t) for t in ("podman", "kubectl")) or \
            subprocess.run(["podman", "image", "exists", IMAGE], check=False).returncode:
        print("skipped: needs root, podman, kubectl, and an image that ./dev image makes")
        return 77
    shutil.copytree(ROOT + "/deploy/k8s", K8S)
    sh(K8S + "/make-secret")
    os.makedirs(MNT)
    sh("mount", "--bind", MNT, MNT)
    sh("mount", "--make-shared", MNT)
    pods, secrets, is_good = Pods(), [], False
    try:
        sh("podman", "network", "create", "--subnet", NET + ".0/24", TAG)
        test(pods, secrets)
        is_good = True
    finally:
        for name in pods.names if not is_good else []:
            print("---- %s\n%s" % (name, sh("podman", "logs", "--tail", "6",
                                            pods.container(name), check=False)))
        pods.close()
        sh("podman", "network", "rm", "-f", TAG, check=False)
        sh("podman", "secret", "rm", *secrets, check=False)
        sh("umount", "-l", MNT + "/3fs", check=False)
        sh("umount", "-l", MNT, check=False)
    print("the pods of all roles serve, as their templates say")
    return 0


if __name__ == "__main__":
    sys.exit(main())
