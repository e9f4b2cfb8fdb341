#!/usr/bin/env python3
"""admin.py - what the admin tool prints: one shot, from a script, typed; exit statuses; JSON.

What differs from run to run (times, pids, hosts, tokens) is masked, all else is compared.
"""
# test: quick, 180 s
import hashlib
import os
import pty
import re
import select
import socket
import subprocess
import time

from cluster import C3FS, TEST_DIR, Cluster, fail, run, wait_until

TIME = (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "<time>")
RELEASE = (r"\d{6}-(?:dev|rel)-\d+-\d+-[0-9a-f]{8}", "<release>")
TOKEN = (r"[A-Za-z0-9+/]{24}", "<token>")


def normal(text, *masks):
    """Masked, with the padding of columns made equal."""
    text = re.sub("   +", "  ", text)
    for pattern, word in (TIME, RELEASE) + masks:
        text = re.sub(pattern, word, text)
    return "\n".join(re.sub("   +", "  ", line).rstrip() for line in text.strip("\n").split("\n"))


def same(got, want, *masks):
    got, want = normal(got, *masks), normal(want, *masks)
    if got != want:
        fail("printed:\n%s\nwanted:\n%s" % (got, want))


def local(name, text):
    path = os.path.join(TEST_DIR, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


# ---- before there is a cluster ----

def test_init():
    """init-cluster and the first user on a store that no service has opened."""
    store, token = os.path.join(TEST_DIR, "kv"), os.path.join(TEST_DIR, "first-token")
    cfg = local("init.toml", 'cluster_id = "new"\nkv_path = "%s"\ntoken_file = "%s"\n' %
                (store, token))
    toml = local("mgmtd.toml", "try_adjust_target_order_as_preferred = true\n")

    def admin(*words, status=0):
        return run(C3FS, "admin", "-cfg", cfg, *words, status=status)
    want = ("Init filesystem, root directory layout: chain table ChainTableId(1), chunksize "
            "1048576, stripesize 6\n\n")
    same(admin("init-cluster --mgmtd %s 1 1048576 6" % toml),
         want + "Init config for MGMTD version 1\n")
    same(admin("init-cluster 1 1MB 6"), want)
    same(admin("init-cluster --mgmtd %s 1 1048576 6" % toml, status=1), """\
Encounter error: 3007(Exists)
cluster 'new' in %s: it exists already""" % store)
    same(admin("init-cluster --mgmtd-config-path %s --allow-config-existed 1 1048576 6" % toml),
         want + "Init config for MGMTD version 2\n")
    same(admin("init-cluster 1 1000 6", status=1), """\
Encounter error: 3013(InvalidFileLayout)
the chain table is from 1, the chunk size a power of two from 64KB to 64MB, the stripe 1 to \
1024""")
    same(admin("--config.cluster_id=other", "init-cluster 1 1MB 6", status=1), """\
Encounter error: 5003(ClusterIdMismatch)
cluster 'other' in %s: the peer belongs to another cluster""" % store)
    same(admin("user-add 1000 joe", status=1), """\
Encounter error: 5016(NotAdmin)
user 1000: the first user must be an admin""")
    same(admin("user-add --root --admin 0 root"), """\
Uid                0
Name               root
Token              <token>(Expired at N/A)
IsRootUser         true
IsAdmin            true
Gid                0
SupplementaryGids
the token was written to %s""" % token, TOKEN)
    if os.stat(token).st_mode & 0o777 != 0o600:
        fail("others may read the token")
    admin("user-remove 0")
    same(admin("user-add --root --admin 0 root").split("\n")[-2],
         "%s exists already and was left as it is" % token)


# ---- lists ----

def test_lists(c):
    host = (re.escape(socket.gethostname()), "<host>")
    pids = [(r"\b%d\b" % child["pid"], "<pid>") for child in c.children().values() if child["pid"]]
    same(c.admin("list-nodes"), """\
Id    Type     Status               Hostname  Pid    Tags  LastHeartbeatTime  \
ConfigVersion  ReleaseVersion
1     MGMTD    PRIMARY_MGMTD        <host>    <pid>  []    N/A  \
0(UPTODATE)    <release>
""" + "".join("""\
%-4d  %-7s  HEARTBEAT_CONNECTED  <host>    <pid>  []    <time>             0(UPTODATE)    <release>
""" % (n, "META" if n < 1000 else "STORAGE") for n in (101, 102, 1001, 1002, 1003, 1004, 1005)),
         host, *pids)
    same(c.admin("list-clients"), """\
ClientId  ClientStart  SessionStart  LastExtend  ConfigVersion  Hostname  Description  Tags  \
ReleaseVersion
Mgmtd Bootstrapping  The client list may be incomplete""")
    nodes = c.json("list-nodes")
    if [n["Id"] for n in nodes] != "1 101 102 1001 1002 1003 1004 1005".split():
        fail("list-nodes --json: %s" % nodes)
    if c.json("list-clients") != []:
        fail("list-clients --json is not an empty list")
    same(c.admin("list-chain-tables"), """\
ChainTableId  ChainTableVersion  ChainCount  ReplicaCount  Desc
1             1                  10          3             bootstrap""")
    chains = c.admin("list-chains").split("\n")
    same(chains[0], "ChainId  ReferencedBy  ChainVersion  Status  PreferredOrder  Target  Target  "
         "Target")
    same(chains[1], "900100001  1  1  SERVING  [<t>,<t>,<t>]  <t>(SERVING-UPTODATE)  "
         "<t>(SERVING-UPTODATE)  <t>(SERVING-UPTODATE)", (r"\b100[0-9]{9}\b", "<t>"))
    same(c.admin("list-chains -t 1").split("\n")[0],
         "ChainId  ChainTable  ChainTableVersion  ChainVersion  Status  PreferredOrder  Target  "
         "Target  Target")
    if len(c.json("list-chains -t 1")) != 10 or len(c.json("list-targets")) != 30:
        fail("not ten chains of three targets")
    same(c.admin("list-targets -c 900100001"), """\
TargetId  ChainId  Role  PublicState  LocalState  NodeId  DiskIndex  UsedSize  Filled
<t>  900100001  HEAD    SERVING  UPTODATE  <n>  0  <size>
<t>  900100001  MIDDLE  SERVING  UPTODATE  <n>  0  <size>
<t>  900100001  TAIL    SERVING  UPTODATE  <n>  0  <size>""", (r"\b100[0-9]{9}\b", "<t>"),
         (r"\b100[1-5]\b", "<n>"), (r"(?m)\d+ *$", "<size>"))
    same(c.admin("list-chains -t 7", status=1), """\
Encounter error: 5007(InvalidChainTable)
there is no chain table 7 of that version""")
    same(c.admin("list-targets --orphan"), "TargetId  LocalState  NodeId  DiskIndex  UsedSize")


# ---- targets, chains, tables ----

def test_chains(c):
    script = "".join(
        "create-target --node-id %d --disk-index 0 --target-id %d --chain-id %d "
        "--use-new-chunk-engine\n" % (1001 + i, 200 + 10 * chain + i, 800 + chain)
        for chain in (1, 2) for i in range(3))
    want = "".join("Create target %d on disk 0 of %d succeeded\n" % (200 + 10 * chain + i, 1001 + i)
                   for chain in (1, 2) for i in range(3))
    with open(local("create_target_cmd.txt", script), encoding="utf-8") as f:
        same(c.admin(stdin=f), want)  # lines from standard input

    def orphans():
        return [t["TargetId"] for t in c.json("list-targets --orphan")]
    wait_until(20, "the targets are known", lambda: sorted(orphans()) ==
               "210 211 212 220 221 222".split())
    chains = local("chains.csv", "ChainId,TargetId,TargetId,TargetId\n801,210,211,212\n"
                   "802,220,221,222\n")
    table = local("table.csv", "ChainId\n801\n802\n")
    same(c.admin("upload-chains", chains), "Upload 2 chains succeeded")
    same(c.admin("upload-chains " + chains), "Upload 2 chains succeeded")
    same(c.admin("upload-chain-table --desc stage 7 " + table),
         "Upload ChainTableId(7) of ChainTableVersion(1) succeeded")
    same(c.admin("upload-chain-table 7 " + table),
         "Upload ChainTableId(7) of ChainTableVersion(1) succeeded")
    short = local("short.csv", "ChainId\n802\n")
    same(c.admin("upload-chain-table 7 " + short),
         "Upload ChainTableId(7) of ChainTableVersion(2) succeeded")
    same(c.admin("list-chain-tables"), """\
ChainTableId  ChainTableVersion  ChainCount  ReplicaCount  Desc
1             1                  10          3             bootstrap
7             1                  2           3             stage
7             2                  1           3             stage""")
    wait_until(30, "the new chains serve", lambda: c.chains_serve())
    same(c.admin("list-chains -t 7 -v 1"), """\
ChainId  ChainTable  ChainTableVersion  ChainVersion  Status  PreferredOrder  Target  Target  Target
801  7  1  <v>  SERVING  []  210(SERVING-UPTODATE)  211(SERVING-UPTODATE)  212(SERVING-UPTODATE)
802  7  1  <v>  SERVING  []  220(SERVING-UPTODATE)  221(SERVING-UPTODATE)  222(SERVING-UPTODATE)""",
         (r"(?<=7  1  )\d+", "<v>"))
    out = os.path.join(TEST_DIR, "dumped.csv")
    same(c.admin("dump-chain-table 7 %s -v 1" % out),
         "Dump ChainTableId(7) of ChainTableVersion(1) to %s succeeded" % out)
    with open(out, encoding="utf-8") as f:
        same(f.read(), "ChainId\n801\n802\n")
    same(c.admin("upload-chains -d %s; upload-chain-table -d 1 %s" % (out, out + "2")), "")
    with open(out, encoding="utf-8") as f:
        same(f.read(), "ChainId,TargetId,TargetId\n100001,10001,20001\n100002,10002,20002\n")
    same(c.admin("set-preferred-target-order 801 212 211 210"), """\
ChainId  801
ChainVersion  <v>
Target  210(SERVING)
Target  211(SERVING)
Target  212(SERVING)
PreferredOrder  [212,211,210]""", (r"(?m)(?<=ChainVersion  )\d+", "<v>"))
    block = c.json("set-preferred-target-order 801 210 211 212")
    if block["Target"] != ["210(SERVING)", "211(SERVING)", "212(SERVING)"]:
        fail("a name that comes twice is no list: %s" % block)
    bad = local("bad.csv", "ChainId,TargetId\n801,\n")
    same(c.admin("upload-chains " + bad, status=1), """\
Encounter error: 33(InvalidFormat)
%s, line 2: '801,' is not a chain id up to 4294967295 and 1 to 16 targets""" % bad)
    other = local("other.csv", "ChainId,TargetId\n801,999\n")
    same(c.admin("upload-chains " + other, status=1), """\
Encounter error: 5007(InvalidChainTable)
set_chains: chain 801 exists with other targets: update-chain changes a chain""")
    same(c.admin("upload-chains /nowhere", status=1).split("\n")[1], "cannot read /nowhere")
    same(c.admin("upload-chain-table 7 " + local("none.csv", "ChainId\n5\n"), status=1), """\
Encounter error: 5012(ChainNotFound)
set_chain_table: chain 5 does not exist: upload-chains makes it""")


# ---- configurations ----

def test_config(c):
    toml = local("meta.toml", "[gc]\nconcurrency = 16\n")
    same(c.admin("set-config -t META -f %s --desc first" % toml), "Succeed\nConfigVersion 1\n",
         (r"ConfigVersion +", "ConfigVersion "))
    same(c.admin("get-config -l"), """\
Type     ConfigVersion
MGMTD    N/A
META     1
STORAGE  N/A
CLIENT   N/A
FUSE     N/A""")
    out = os.path.join(TEST_DIR, "got.toml")
    same(c.admin("get-config -t meta -o " + out), """\
NodeType       META
ConfigVersion  1
ConfigDesc     first
OutputFile     %s""" % out)
    with open(out, encoding="utf-8") as f:
        same(f.read(), "[gc]\nconcurrency = 16\n")
    same(c.admin("get-config -t META -k gc.concurrency").split("\n")[-2], "16")
    if c.json("get-config -t META")["Content"] != "[gc]\nconcurrency = 16\n":
        fail("get-config --json lacks the content")
    same(c.admin("get-config -t META -k gc.x", status=1).split("\n")[1],
         "the configuration has no key 'gc.x'")
    same(c.admin("get-config", status=2).split("\n")[1],
         "exactly one of --node-id, --address, --type and --list is needed")
    same(c.admin("get-config -c 1", status=1).split("\n")[1][:35],
         "--client: a client answers no calls")
    same(c.admin("set-config -t STRAGE -f " + toml, status=1).split("\n")[1],
         "--type: 'STRAGE' is none of MGMTD, META, STORAGE, CLIENT, FUSE")
    live = c.admin("get-config -n 1001")
    for line in ("Node  storage-1001", "node_id = 1001", 'cluster_key = ""', 'level = "info"'):
        if line not in live:
            fail("get-config -n lacks '%s': %s" % (line, live))
    same(c.admin("get-config -n 101 -k log.level").split("\n")[-2], '"info"')
    wait_until(10, "the meta runs with the new value", lambda:
               c.admin("get-config -n 101 -k gc.concurrency").split("\n")[-2] == "16")
    same(c.admin("get-config -n 7", status=1).split("\n")[1], "node 7 is unknown or has no address")
    metrics = {m["Name"]: m["Value"] for m in c.json("get-metrics -n 1 -p rpc.")}
    if int(metrics["rpc.mgmtd.heartbeat.calls"]) == 0:
        fail("get-metrics: %s" % metrics)
    broken = local("broken.toml", "a = \n")
    same(c.admin("set-config -t META -f " + broken, status=1).split("\n")[1],
         "%s: line 1, column 5: a value is expected here" % broken)


# ---- files ----

def test_files(c):
    data = os.urandom(3 << 20)[:3000000]
    path = os.path.join(TEST_DIR, "data")
    with open(path, "wb") as f:
        f.write(data)
    md5 = hashlib.md5(data).hexdigest()
    crc = (r"\(([0-9A-F]{8})\)", "(<crc>)")
    same(c.admin("mkdir /d; mkdir -p /d/x/y --perm 0700; create /d/f -p 0640; "
                 "ln f /d/link; mkdir /wide --chunk-size 64KB --stripe-size 2"), "")
    same(c.admin("write-file /d/f -i " + path),
         "write length 3000000, checksum CRC32C(<crc>), md5 " + md5, crc)
    same(c.admin("read-file /d/f -o %s.copy" % path),
         "read length 3000000, checksum CRC32C(<crc>), md5 " + md5, crc)
    with open(path + ".copy", "rb") as f:
        if f.read() != data:
            fail("read-file wrote other bytes")
    for mode in ("HeadTarget", "TailTarget", "0", "1", "2"):
        same(c.admin("read-file /d/f --mode " + mode).split("md5 ")[1], md5)
    same(c.admin("read-file /d/f --offset 1MB --length 5 --hex"), "%08x %s\n%s" % (
        1 << 20, " ".join("%02x" % b for b in data[1 << 20:][:5]),
        "read length 5, checksum CRC32C(<crc>), md5 " +
        hashlib.md5(data[1 << 20:][:5]).hexdigest()), crc)
    sums = {c.admin("checksum /d/f"), c.admin("checksum /d/f --batch 2 --fillZero")}
    if len(sums) != 1 or not re.fullmatch(r"/d/f CRC32C\([0-9A-F]{8}\)\n", sums.pop()):
        fail("checksum: %s" % sums)
    same(c.admin("checksum --md5 /d/f"), "/d/f " + md5)
    lists = local("list", "/d/f\n/d/f\n")
    same(c.admin("checksum --md5 --list " + lists), "/d/f %s\n/d/f %s" % (md5, md5))
    if c.json("checksum --md5 /d/f") != [{"Path": "/d/f", "Checksum": md5}]:
        fail("checksum --json")
    inode = (r"0x[0-9a-f]+", "<inode>")
    same(c.admin("ls /d"), "f  File  <inode>\nlink  Symlink  <inode>\nx  Directory  <inode>",
         inode)
    same(c.admin("ls -s /d"), "f  File  <inode>  <time>  3000000@0  0640\n"
         "link  Symlink  <inode>  <time>  f  0777\nx  Directory  <inode>  <time>  -  0700", inode)
    same(c.admin("ls -l 1 /d"), "f  File  <inode>", inode)
    same(c.admin("stat /d/link"), """\
Type Symlink
Inode <inode>
NLink 1
Permission 0777
IFlags 0x00000000
Uid %d
Gid %d
Access <time>
Change <time>
Modified <time>
Target f""" % (os.geteuid(), os.getegid()), (r"0x0000\w+[1-9a-f]\w*", "<inode>"), (" {2,}", " "))
    want = """\
Type File
Inode <inode>
NLink 1
Permission 0640
IFlags 0x00000000
Uid %d
Gid %d
Access <time>
Change <time>
Modified <time>
Length 3000000@0
Layout-ChainTable 1
Layout-ChainTableVersion 1
Layout-ChunkSize 1048576
Layout-StripeSize 5
Layout-Type ChainList
Layout-ChainCount 5""" % (os.geteuid(), os.getegid())
    masks = ((r"0x0000\w+[1-9a-f]\w*", "<inode>"), (" {2,}", " "))
    same(c.admin("stat -L --display-layout /d/link"), want, *masks)
    number = re.search(r"0x\w+[1-9a-f]\w*", c.admin("stat /d/f")).group(0)
    same(c.admin("stat --inode %s --display-layout" % number), want, *masks)
    same(c.admin("stat --display-chunks --display-layout /d/f"), want + """
Layout-Chains last chunk last chunk len last offset chunks bytes
<chain> 0 1048576 1048576 1 1048576
<chain> 1 1048576 2097152 1 1048576
<chain> 2 902848 3000000 1 902848
<chain> 0 0 0 0 0
<chain> 0 0 0 0 0
total 3000000""", (r"9001000\d\d", "<chain>"), *masks)
    every = c.json("stat --display-all-chunks /d/f")
    if len(every["Chunks"]) != 9 or every["Inode"]["Length"] != "3000000@0":
        fail("stat --display-all-chunks --json: %s" % every)
    wide = c.json("stat --display-layout /wide")
    if (wide["Layout-ChunkSize"], wide["Layout-StripeSize"]) != ("65536", "2"):
        fail("the layout of /wide: %s" % wide)
    same(c.admin("write-file /d/f --value 65 --length 10; read-file /d/f --hex"), """\
write length 10, checksum CRC32C(<crc>), md5 <md5>
00000000 41 41 41 41 41 41 41 41 41 41
read length 10, checksum CRC32C(<crc>), md5 <md5>""", crc, (r"md5 \w+", "md5 <md5>"))
    same(c.admin("write-file /d/f --value 66 --offset 2 --length 3 --notTruncate; "
                 "read-file /d/f --hex").split("\n")[1], "00000000 41 41 42 42 42 41 41 41 41 41")
    same(c.admin("mv /d/f /d/x/g; ls /d/x"), "g  File  <inode>\ny  Directory  <inode>", inode)
    same(c.admin("getrealpath /d/x/../x/g"), "/d/x/g")
    same(c.admin("set-perm /d/x/g -p 0600 -u 7; ls -s /d/x").split("\n")[0],
         "g  File  <inode>  <time>  10@<g>  0600", inode, (r"10@\d+", "10@<g>"))
    code = c.admin("rm /d", status=1).split("\n")[0]
    same(code, "Encounter error: 3012(NotEmpty)", (r"\d+\(", "<n>("))
    same(c.admin("rm -r /d; rm /wide; ls /"), "")
    same(c.admin("stat /d", status=1).split("\n")[0], "Encounter error: 3000(NotFound)")


def test_chunks(c):
    """query-chunk by its id and by inode, read from one replica, touched; gc-list page by page."""
    c.admin("create /q; write-file /q --value 7 --length 2500000")
    inode = int(c.json("stat /q")["Inode"], 16)
    chunk = "%020x%012x" % (inode, 2)
    text = c.admin("query-chunk --chunk " + chunk)
    chain = text.split("\n")[1].split()[1]
    row = "<t>  UPTODATE  yes  1  <v>  0  402848  <crc>\n"
    masks = ((r"\b100[0-9]{9}\b", "<t>"), (r"\b[0-9A-F]{8}(?= *\n|$)", "<crc>"),
             (r"(?<=yes  1  )\d+", "<v>"), (r"9001000\d\d", "<c>"))
    same(text, "ChunkId  %s\nChainId  <c>\nTargetId  LocalState  Found  ChainVersion  Version  "
         "Pending  Length  CRC32C\n" % chunk + row * 3, *masks)
    dashed = "-".join(chunk[i:i + 8] for i in range(0, 32, 8)).upper()
    for words in ("--chunk " + dashed, "--inode 0x%x --chunk-index 2" % inode,
                  "-c %s --chunk %s" % (chain, chunk)):
        if c.admin("query-chunk " + words) != text:
            fail("query-chunk %s prints otherwise" % words)
    before = c.json("query-chunk --chunk " + chunk)["Replicas"]
    for index, replica in enumerate(before):
        got = c.json("query-chunk --chunk %s --read --index %d" % (chunk, index))["Chunk"]
        if (got["ReadFrom"], got["ReadVersion"], got["ReadLength"], got["ReadCRC32C"]) != (
                replica["TargetId"], replica["Version"], "402848", replica["CRC32C"]):
            fail("query-chunk --read of replica %d: %s, %s" % (index, got, replica))
    want = c.admin("checksum --md5 /q")
    after = c.json("query-chunk --touch --chunk " + chunk)["Replicas"]
    for old, new in zip(before, after):
        if int(new["Version"]) != int(old["Version"]) + 1 or new["CRC32C"] != old["CRC32C"]:
            fail("query-chunk --touch: %s, then %s" % (old, new))
    if c.admin("checksum --md5 /q") != want:
        fail("query-chunk --touch changed the file")
    absent = "%020x%012x" % (inode, 7)
    if {r["Found"] for r in c.json("query-chunk --chunk " + absent)["Replicas"]} != {"no"}:
        fail("a chunk that is not there is found")
    for words, status, error in (
            ("--chunk 12", 1, "--chunk: '12' is no chunk id"), ("", 2, "exactly one of --chunk"),
            ("--chunk %s --inode 5" % chunk, 2, "exactly one of --chunk"),
            ("--chunk %s --index 1" % chunk, 2, "--index goes with --read"),
            ("--chunk %s --read --index 3" % chunk, 1, "has 3 replicas, 0 is the head"),
            ("--chunk %s --touch" % absent, 1, "no replica on chain"),
            ("--chunk %s --read" % absent, 1, "target "),
            ("-c 5 --chunk " + chunk, 1, "there is no chain 5"),
            ("--chunk %020x%012x" % (0xffffff, 0), 1, "there is no inode 0xffffff")):
        line = c.admin("query-chunk " + words, status=status).split("\n")[1]
        if not line.startswith(error) and error not in line:
            fail("query-chunk %s says: %s" % (words, line))

    # what is removed waits gc.file_delay, here long
    c.admin("rm /q; mkdir /g; " + "; ".join(
        "create /g/n%d; write-file /g/n%d --value 1 --length 1; rm /g/n%d" % (i, i, i)
        for i in range(7)))
    rows = wait_until(20, "directories are collected at once", lambda: (
        lambda found: found if all(r["Type"] == "File" for r in found) else None)(
            c.json("gc-list")))
    if sorted(r["Name"] for r in rows if r["Name"][0] == "n") != ["n%d" % i for i in range(7)]:
        fail("gc-list: %s" % rows)
    first = c.admin("gc-list -l 3").strip().split("\n")
    if len(first) != 5 or first[4] != "...":
        fail("gc-list -l 3: %s" % first)
    pages, prev = [], "0"
    while True:
        page = c.json("gc-list -l 3 -p " + prev)
        pages += page
        if len(page) < 3:
            break
        prev = page[-1]["Inode"]
    if pages != rows:
        fail("gc-list -p: %s, all at once %s" % (pages, rows))
    if [r["Name"] for r in c.json("gc-list n4")] != ["n4"]:
        fail("gc-list n4: %s" % c.json("gc-list n4"))
    c.admin("rm -r /g")


# ---- the three forms, exit statuses, help ----

def test_forms(c):
    for words, status in ((("ls", "/"), 0), (("ls /; nosuch; ls /",), 1), (("ls /nope; ls /",), 1),
                          (("ls --nosuch",), 2), (("stat",), 2), (("ls 'a",), 2),
                          (("mkdir /q --perm 9",), 2)):
        c.admin(*words, status=status)
    same(c.admin("lss", status=1),
         "Encounter error: 3(InvalidArg)\nUnknown method name: lss; did you mean ls")
    same(c.admin("list-chains --tabel-id 1", status=2), """\
Encounter error: 10000(WrongUsage)
unknown option '--tabel-id'; did you mean '--table-id'?
Usage: list-chains [-t/--table-id X] [-v/--table-version X]""")
    same(c.admin("mkdir '/a b' ; create '/a b/c;d'; ls '/a b'; rm -r '/a b'"),
         "c;d  File  <inode>", (r"0x[0-9a-f]+", "<inode>"))
    same(c.admin("--config.break_multi_line_command_on_failure=true", "ls /nope; create /not",
                 status=1).split("\n")[0], "Encounter error: 3000(NotFound)")
    same(c.admin("ls /"), "")
    same(c.admin("--config.verbose=true", "current-user").split("\n")[0],
         "> Execute current-user")
    with open(local("script", "# a comment\nmkdir /s\n\ncd /s\ncreate f\nls\nnosuch\nrm -r /s\n"),
              encoding="utf-8") as f:
        same(c.admin(stdin=f, status=1), """\
f  File  <inode>
Encounter error: 3(InvalidArg)
Unknown method name: nosuch""", (r"0x[0-9a-f]+", "<inode>"))
    error = c.json("ls /nope", status=1)
    if error["Error"] != "3000(NotFound)":
        fail("an error in JSON: %s" % error)
    same(c.admin("help lss", status=1).split("\n")[1], "Unknown method name: lss; did you mean ls")
    wanted = """init-cluster list-nodes list-clients user-add user-list user-stat user-set
        user-remove
        user-set-token create-target upload-chains upload-chain-table list-chains list-chain-tables
        list-targets set-config get-config ls stat mkdir rm mv read-file write-file checksum
        help""".split()
    names = [line.split()[0] for line in c.admin("help").strip().split("\n")]
    missing = [name for name in wanted if name not in names]
    if missing or len(names) != len(set(names)):
        fail("help lacks %s" % missing)
    for name in names:
        text = c.admin("help " + name)
        if "\nUsage: %s" % name not in text:
            fail("help %s: %s" % (name, text))
    # "--config.user_info.token $(<token.txt)" with an empty file
    done = subprocess.run([C3FS, "admin", "--config.user_info.token", "upload-chains x"], text=True,
                          capture_output=True, check=False)
    if done.returncode != 2 or "is the token file (/" not in done.stderr:
        fail("an empty token: %s" % done.stderr)
    run(C3FS, "admin", "--help")
    run(C3FS, "admin", "--release-version")


HISTORY = os.path.join(TEST_DIR, "state", "c3fs", "admin_history")


class Terminal:
    """The tool at a terminal of its own."""

    def __init__(self, c, *words):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "dumb"
            os.environ["XDG_STATE_HOME"] = os.path.join(TEST_DIR, "state")
            os.execv(C3FS, [C3FS, "admin", "-cfg", c.dir + "/etc/admin_cli.toml", *words])
        self.seen = self.before = ""

    def wait(self, text):
        end = time.monotonic() + 20
        while text not in self.seen:
            if time.monotonic() > end:
                fail("the terminal does not show %r but %r, after %r" %
                     (text, self.seen, self.before[-500:]))
            if select.select([self.fd], [], [], 0.1)[0]:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
        before, self.seen = self.seen.split(text, 1)
        self.before += before + text

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self, key="\x04"):
        """At the prompt: a key that is typed while a command runs is not an end of input."""
        self.type(key)
        return self.status()

    def status(self):
        """Of the tool, which ends; what it still shows is in seen."""
        result = []

        def has_ended():
            if select.select([self.fd], [], [], 0)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    pass  # nobody writes any more
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                result.append(os.waitstatus_to_exitcode(status))
            return pid != 0
        wait_until(20, "the tool at the terminal ends", has_ended)
        os.close(self.fd)
        return result[0]


def test_terminal(c):
    t = Terminal(c)
    t.wait("/ > ")
    t.type("mkdir /t\n")
    t.wait("/ > ")
    t.type("cd /t\n")
    t.wait("/t > ")
    t.type("mkd\tsub\n")  # completed to "mkdir "
    t.wait("/t > ")
    t.type("ls\n")
    t.wait("sub  Directory  0x")
    t.type("nosuch\n")
    t.wait("Unknown method name: nosuch")
    t.wait("/t > ")
    t.type("rm -r /t\n")
    t.wait("rm -r /t")
    t.wait("/t > ")
    if t.end() != 0:
        fail("a terminal's end is no failure")


def test_completion(c):
    """Options of the command at hand, paths, with quotes and directories."""
    c.admin("mkdir -p /c/wide; create '/c/wide/a b'; create /c/wide/axe; create /c/narrow; "
            "create '/c/\u00e4rger'")
    t = Terminal(c)
    for typed, shows in (
            ("ls --sta\t /c\n", "narrow"),           # --status
            ("ls /c/w\t\n", "axe  File"),            # /c/wide/
            ("stat /c/wide/a\t\t\x15\n", "a\\ b"),     # both are shown
            ("stat /c/wide/ax\t\n", "Inode"),
            ("stat /c/wide/a\\ \t\n", "Inode"),      # "a b" was meant
            ("stat '/c/wide/a \t\n", "Inode"),
            ("cd /c/wi\t\n", "wide/\r\n"),
            ("stat ax\t\n", "Inode"),                # of the current directory
            ("stat ../\u00e4\t\n", "Inode"),
            ("checksum axe ax\t\n", "axe CRC32C(00000000)\r\naxe CRC32C(00000000)")):
        t.wait(" > ")
        t.type(typed)
        t.wait(shows.replace("a\\ b", "/c/wide/a b  /c/wide/axe"))
    t.wait(" > ")
    t.type("ls /nosuch/x\t\x15")  # says nothing
    t.type("rm -r /c; current-user\n")
    t.wait("Groups")
    t.wait(" > ")
    t.end()


def test_history(c):
    """What was typed is there in the next shell; no token ever."""
    token = c.json("user-add 4711 hist")["Token"].split("(")[0]
    t = Terminal(c)
    for line in ("current-user", "user-switch -t " + token, "user-switch -t '%s'" % token,
                 "decode-user-token x%s;ls" % token, "help lsx"):
        t.wait(" > ")
        t.type(line + "\n")
    t.wait("did you mean ls")
    t.wait(" > ")
    t.end()
    with open(HISTORY, encoding="utf-8") as f:
        lines = f.read().split("\n")
    if token in "\n".join(lines) or lines[-3:] != ["current-user", "help lsx", ""]:
        fail("the history is %s" % lines)
    if os.stat(HISTORY).st_mode & 0o777 != 0o600 or \
            os.stat(os.path.dirname(HISTORY)).st_mode & 0o777 != 0o700:
        fail("others may read the history")
    os.chmod(HISTORY, 0o644)
    t = Terminal(c)
    t.wait(" > ")
    t.type("\x10\x10\n")  # twice back: current-user
    t.wait("Groups")
    t.wait(" > ")
    t.end()
    if os.stat(HISTORY).st_mode & 0o777 != 0o600:
        fail("a history that others could read stays so")
    c.admin("user-remove 4711")


def test_progress(c):
    """Bars on a terminal, wiped at the end; none where standard error is none."""
    data = os.path.join(TEST_DIR, "bar")
    with open(data, "wb") as f:
        f.write(os.urandom(1 << 20) * 16)
    bar = r"\r%s \[#* *\] +\d+ %%, \d+ of %s %s\x1b\[K"
    whole = "--config.progress_after=0s"
    c.admin("mkdir /p; create /p/f")
    for words, want in (
            (["write-file /p/f -i " + data], bar % ("write-file", 16 << 20, "bytes")),
            (["read-file /p/f"], bar % ("/p/f", 16 << 20, "bytes")),
            (["checksum /p/f"], bar % ("/p/f", 16, "chunks")),
            (["bench /p --seconds 1 --size 100KB --remove"], bar % ("bench", 1, "seconds")),
            (["fill-zero /p/f"], bar % ("fill-zero", 16, "chunks")),
            (["fsck"], r"\rfsck: \d+ chunks\x1b\[K"),
            (["meta dump %s.kv" % data], r"\rmeta dump: \d+ bytes\x1b\[K")):
        t = Terminal(c, whole, *words)
        if t.status() != 0 or not re.search(want, t.seen):
            fail("%s shows: %r" % (words, t.seen))
        if t.seen.rfind("\r\x1b[K") < t.seen.rfind(" %, "):
            fail("%s leaves its bar: %r" % (words, t.seen))
    store = os.path.join(TEST_DIR, "loaded")
    t = Terminal(c, whole, "--config.kv_path=" + store, "meta load %s.kv" % data)
    if t.status() != 0 or not re.search(bar % ("meta load", r"\d+", "bytes"), t.seen):
        fail("meta load shows: %r" % t.seen)
    done = subprocess.run([C3FS, "admin", "-cfg", c.dir + "/etc/admin_cli.toml", whole,
                           "checksum /p/f"], capture_output=True, text=True, check=True)
    if done.stderr or "\x1b" in done.stdout:
        fail("a bar where there is no terminal: %s" % done)
    c.admin("rm -r /p")


def test_top(c):
    """The screen is drawn again and again; q, and Ctrl-C, leave; the terminal is as before."""
    for key in "q", "\x03":
        t = Terminal(c)
        t.wait("/ > ")
        t.type("top --interval 100\n")
        for _ in range(3):
            t.wait("\x1b[H\x1b[J")
            t.wait("q: leave")
            t.wait("MostTimeIn")
            t.wait("STORAGE")
        t.type(key)
        t.wait("/ > ")
        t.type("current-user\n")
        t.wait("Groups")
        t.wait("/ > ")
        if t.end() != 0:
            fail("top spoils the exit status")
    t = Terminal(c, "top", "--interval", "100")
    t.wait("MostTimeIn")
    if t.end("q") != 0:
        fail("top ends with a failure")


def main():
    test_init()
    with Cluster(env=dict(os.environ, C3FS_GC_FILE_DELAY="1h")) as c:
        test_lists(c)
        test_forms(c)
        test_chains(c)
        test_config(c)
        test_files(c)
        test_chunks(c)
        test_terminal(c)
        test_completion(c)
        test_history(c)
        test_progress(c)
        test_top(c)


if __name__ == "__main__":
    main()
