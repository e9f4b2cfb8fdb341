#!/usr/bin/env python3
"""manifests.py - what deploy/ ships for Kubernetes, compose and systemd, held against the program.

Rendered by `kubectl kustomize`: selectors find their pods, ports and names of Services are those of
the services, Secrets, ConfigMaps and volumes exist, every service gets the variables that it needs
and none that it does not know. The long form also checks all objects against Kubernetes' own JSON
schemas (npm: kubernetes-models), misspelt fields included (npm: typescript).
"""
# test: quick, 60 s
# test: soak, 300 s
import glob
import json
import os
import re
import shutil
import subprocess
import sys

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
C3FS, TEST_DIR = os.environ["C3FS"], os.environ["TEST_DIR"]
K8S = TEST_DIR + "/k8s"
PORTS = {"mgmtd": 8000, "meta": 8001, "storage": 8000}
NEEDS = {"mgmtd": {"MGMTD_NODE_ID"}, "admin_cli": {"MGMTD_SERVER_ADDRESSES"},
         "meta": {"META_NODE_ID", "MGMTD_SERVER_ADDRESSES"},
         "storage": {"STORAGE_NODE_ID", "MGMTD_SERVER_ADDRESSES", "TARGET_PATHS"},
         "fuse": {"MGMTD_SERVER_ADDRESSES", "TOKEN"}}
problems = []


def need(condition, text, *args):
    if not condition:
        problems.append(text % args)


def known_variables():
    with open(ROOT + "/docs/containers.md", encoding="utf-8") as f:
        table = [line.split("|")[1] for line in f if line.startswith("| `")]
    names = {name for cell in table for name in re.findall(r"`([A-Z_]+)`", cell)}
    need(len(names) > 12, "docs/containers.md lists the variables %s", names)
    return names


def check_service(where, service, variables, known):
    """Of one container: its variables."""
    need(service in NEEDS, "%s: there is no service %s", where, service)
    need(variables <= known, "%s: unknown variables %s", where, variables - known)
    missing = NEEDS.get(service, set()) - variables
    need(not missing, "%s: lacks the variables %s", where, missing)


def check_health(where, test, service):
    """Of one probe: the command is one that c3fs takes, for that service."""
    words = [word for word in test if word != "CMD"]
    need(words[:2] == ["/opt/3fs/bin/c3fs", "health"], "%s: probe %s", where, words)
    need(len(words) == 2 or words[2] == service, "%s: asks %s", where, words)
    shown = subprocess.run([C3FS, "health", "--help"], capture_output=True, text=True,
                           check=True).stdout
    for word in words[3:]:
        need("  %s " % word in shown, "%s: health has no %s", where, word)


# ---- Kubernetes ----

def render(folder):
    done = subprocess.run(["kubectl", "kustomize", K8S + "/" + folder], capture_output=True,
                          text=True, check=False)
    need(done.returncode == 0 and not done.stderr, "%s: %s", folder, done.stderr)
    return [d for d in yaml.safe_load_all(done.stdout) if d]


def of_kind(objects, *kinds):
    return {o["metadata"]["name"]: o for o in objects if o["kind"] in kinds}


def contains(labels, selector):
    return all(labels.get(k) == v for k, v in selector.items())


def service_of(container):
    words = " ".join(container["command"])
    return re.search(r"3fs-entrypoint\.sh (\w+)", words)[1]


def check_variables(where, objects, container, known):
    sources = of_kind(objects, "ConfigMap", "Secret")
    variables = set(re.findall(r"\b([A-Z_]+)=", " ".join(container["command"])))
    for source in container.get("envFrom", []):
        name = source["configMapRef"]["name"]
        need(name in sources, "%s: no ConfigMap %s", where, name)
        variables |= set(sources.get(name, {}).get("data", {}))
    for row in container.get("env", []):
        variables.add(row["name"])
        ref = row.get("valueFrom", {}).get("secretKeyRef")
        if ref:
            need(ref["key"] in sources.get(ref["name"], {}).get("data", {}),
                 "%s: no Secret %s with %s", where, ref["name"], ref["key"])
        if row["name"] == "PORT":
            ports = [p["containerPort"] for p in container["ports"]]
            need(ports == [int(row["value"])], "%s: PORT %s, ports %s", where, row, ports)
    check_service(where, service_of(container), variables, known)


def check_workload(objects, workload, known):
    name, spec = workload["metadata"]["name"], workload["spec"]
    template = spec["template"]
    pod = template["spec"]
    labels = template["metadata"]["labels"]
    need(contains(labels, spec["selector"]["matchLabels"]), "%s: its selector misses its pods",
         name)
    volumes = {v["name"] for v in pod.get("volumes", []) + [
        {"name": v["metadata"]["name"]} for v in spec.get("volumeClaimTemplates", [])]}
    used = set()
    for container in pod["containers"] + pod.get("initContainers", []):
        used |= {m["name"] for m in container.get("volumeMounts", [])}
        need(container["image"].startswith("localhost/c3fs:"), "%s: image %s", name,
             container["image"])
    need(used == volumes, "%s: mounts %s of volumes %s", name, used, volumes)
    container = pod["containers"][0]
    check_variables(name, objects, container, known)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if probe in container:
            check_health(name, container[probe]["exec"]["command"], service_of(container))
    need(service_of(container) == "fuse" or pod["securityContext"]["runAsNonRoot"],
         "%s runs as root", name)
    if workload["kind"] == "StatefulSet":
        own = of_kind(objects, "Service").get(spec["serviceName"])
        need(own and own["spec"]["clusterIP"] == "None", "%s: no headless Service", name)
        need("ADVERTISE=$HOSTNAME." + spec["serviceName"] in container["command"][-1],
             "%s: is told by another name than its Service's", name)
        need(container["ports"][0]["containerPort"] == PORTS[name], "%s: another port", name)


def check_services(objects, workloads):
    for name, service in of_kind(objects, "Service").items():
        pods = [w["spec"]["template"] for w in workloads.values()
                if contains(w["spec"]["template"]["metadata"]["labels"],
                            service["spec"]["selector"])]
        need(len(pods) == 1, "Service %s selects %d workloads", name, len(pods))
        ports = {p["name"]: p["containerPort"] for p in pods[0]["spec"]["containers"][0]["ports"]}
        for port in service["spec"]["ports"]:
            target = ports.get(port["targetPort"], port["targetPort"])
            need(target == port["port"] == PORTS[name], "Service %s: port %s to %s", name, port,
                 target)


def check_budgets(objects, workloads):
    """Of each role that keeps something, one pod at a time goes; a storage counts as gone until its
    data is in sync."""
    budgets = of_kind(objects, "PodDisruptionBudget")
    need(sorted(budgets) == sorted(PORTS), "budgets: %s", sorted(budgets))
    for name, budget in budgets.items():
        labels = workloads[name]["spec"]["template"]["metadata"]["labels"]
        need(contains(labels, budget["spec"]["selector"]["matchLabels"]) and
             budget["spec"]["maxUnavailable"] == 1, "budget of %s", name)
    probe = workloads["storage"]["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    need("--settled" in probe["exec"]["command"], "a storage is ready before its data is in sync")


def check_addresses(objects, workloads):
    """Cluster managers are told by names that pods have."""
    managers = ["TCP://mgmtd-%d.mgmtd:8000" % i
                for i in range(workloads["mgmtd"]["spec"]["replicas"])]
    text = list(of_kind(objects, "ConfigMap").values())[0]["data"]["MGMTD_SERVER_ADDRESSES"]
    need(text.split(",") == managers, "managers %s, told %s", managers, text)


def check_kubernetes(known):
    everything = []
    for folder in ("base", "overlays/single"):
        objects = render(folder)
        everything += objects
        workloads = of_kind(objects, "StatefulSet", "DaemonSet", "Deployment")
        need(sorted(workloads) == ["admin", "fuse", "meta", "mgmtd", "storage"], "%s has %s",
             folder, sorted(workloads))
        for workload in workloads.values():
            check_workload(objects, workload, known)
            selects = "nodeSelector" in workload["spec"]["template"]["spec"]
            need(not (selects and folder != "base"), "%s needs a label of nodes",
                 workload["metadata"]["name"])
        check_services(objects, workloads)
        check_budgets(objects, workloads)
        check_addresses(objects, workloads)
        namespaces = {o["metadata"].get("namespace") for o in objects if o["kind"] != "Namespace"}
        need(namespaces == {"c3fs"}, "%s: namespaces %s", folder, namespaces)
    middleware = render("middleware")
    services = of_kind(middleware, "Service")
    ports = [p for s in services.values() for p in s["spec"]["ports"]]
    exposed = {(p["port"], p.get("nodePort")) for p in ports}
    need(exposed == {(9000, 30000), (8123, 30001), (9009, None), (4501, None)}, "middleware: %s",
         exposed)
    with open(ROOT + "/deploy/k8s/client.yaml", encoding="utf-8") as f:
        client = yaml.safe_load(f)
    mnt = of_kind(everything, "DaemonSet")["fuse"]["spec"]["template"]["spec"]["volumes"]
    need(client["spec"]["volumes"] == mnt, "client.yaml uses %s", client["spec"]["volumes"])
    return everything + list(services.values()) + [client]


# ---- compose, systemd ----

def check_compose(known):
    with open(ROOT + "/deploy/compose.yaml", encoding="utf-8") as f:
        compose = yaml.safe_load(f)
    names, ids = set(compose["services"]), set()
    for name, service in compose["services"].items():
        entry = service["command"][1]
        environment = service["environment"]
        check_service("compose " + name, entry, set(environment), known)
        check_health("compose " + name, service["healthcheck"]["test"], entry)
        need(environment.get("ADVERTISE", name) == name, "compose: %s is told as %s", name,
             environment.get("ADVERTISE"))
        told = re.findall(r"TCP://(\w+):8000", environment["MGMTD_SERVER_ADDRESSES"])
        need(set(told) == {n for n in names if n.startswith("mgmtd")}, "compose: managers %s", told)
        number = [v for k, v in environment.items() if k.endswith("_NODE_ID")]
        need(not number or number[0] not in ids, "compose: %s twice", number)
        ids |= set(number)
        for volume in service["volumes"]:
            need(not isinstance(volume, str) or volume.split(":")[0] in compose["volumes"],
                 "compose: no volume %s", volume)
    need(len(ids) == 11, "compose has the nodes %s", sorted(ids))


def check_systemd():
    folder = TEST_DIR + "/units"
    os.mkdir(folder)
    os.symlink(C3FS, folder + "/c3fs")
    units = []
    for path in glob.glob(ROOT + "/deploy/systemd/*.[st][ea]r[vg]*"):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        start = re.search(r"^ExecStart=c3fs (\w+) --cfg /etc/c3fs/(\w+)-%i\.toml$", text, re.M)
        name = os.path.basename(path)
        units.append(folder + "/" + name.replace("@", "@x"))
        if not name.endswith(".target"):
            need(start and start[1] == start[2] and name == "c3fs-%s@.service" % start[1],
                 "%s: what it starts", name)
        with open(folder + "/" + name, "w", encoding="utf-8") as f:
            f.write(text.replace("ExecStart=c3fs", "ExecStart=%s/c3fs" % folder))
    need(len(units) == 6, "units: %s", units)
    if shutil.which("systemd-analyze"):
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units],
                              capture_output=True, text=True, check=False)
        need(done.returncode == 0 and not done.stderr, "systemd-analyze: %s", done.stderr)


# ---- schemas ----

VALIDATE = """
const docs = JSON.parse(require('fs').readFileSync(0, 'utf8'));
for (const d of docs) {
    const kind = require('kubernetes-models/' + d.apiVersion)[d.kind];
    try { new kind(d).validate(); } catch (e) { console.log(d.kind, d.metadata.name, e.message); }
}
"""


def check_schemas(objects):
    for o in objects: # base64 on several lines is base64, but not to the schema
        if o["kind"] == "Secret":
            o["data"] = {k: v.replace("\n", "") for k, v in o["data"].items()}
    folder = TEST_DIR + "/npm"
    os.mkdir(folder)
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund",
                    "kubernetes-models@4.5.1", "typescript@5"], cwd=folder, check=True, timeout=200)
    done = subprocess.run(["node", "-e", VALIDATE], input=json.dumps(objects), cwd=folder,
                          capture_output=True, text=True, check=True)
    need(not done.stdout, "schemas: %s", done.stdout)
    lines = []
    for i, o in enumerate(objects): # literals of a type may have no field that it lacks
        lines.append('import { I%s as T%d } from "kubernetes-models/%s";\n'
                     "export const o%d: T%d = %s;" %
                     (o["kind"], i, o["apiVersion"], i, i, json.dumps(o)))
    with open(folder + "/all.ts", "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    done = subprocess.run(["node_modules/.bin/tsc", "--noEmit", "--strict", "--skipLibCheck",
                           "--module", "commonjs", "--target", "es2020", "all.ts"], cwd=folder,
                          capture_output=True, text=True, check=False)
    need(done.returncode == 0, "unknown fields: %s", done.stdout[:2000])
    print("%d objects fit the schemas of Kubernetes" % len(objects))


def main():
    if not shutil.which("kubectl"):
        print("skipped: there is no kubectl (Debian: kubernetes-client)")
        return 77
    known = known_variables()
    shutil.copytree(ROOT + "/deploy/k8s", K8S)
    subprocess.run([K8S + "/make-secret"], check=True, stdout=subprocess.DEVNULL)
    objects = check_kubernetes(known)
    check_compose(known)
    check_systemd()
    if os.environ.get("TEST_LONG") == "1" and shutil.which("npm"):
        check_schemas(objects)
    print("\n".join(problems) or "selectors, ports, names, variables, probes and units fit")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
