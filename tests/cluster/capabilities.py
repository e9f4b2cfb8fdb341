#!/usr/bin/env python3
"""capabilities.py - what storage and meta accept from clients, spoken by hand: a capability that is
expired, of another key, with a bit changed, without its session key, for what its user may not do,
of a user who was removed. Tokens: wiped from the command line, in no log.
"""
# test: quick, 120 s
import glob
import hashlib
import hmac
import os
import random
import re
import struct
import subprocess
import time

from attack_ports import HELLO, PROOF, blob, connect, crc32c, frame, record, services
from cluster import C3FS, TEST_DIR, Cluster, fail, run, wait_until
from fsck import read_dump

DATA, META, ADMIN, ROOT = 1, 2, 4, 8
CHALLENGE, WELCOME, REQUEST, REPLY = 2, 4, 5, 6
KIND_CAPABILITY = 3
AUTH_FAIL, AUTH_REVOKED = 25, 68
DAY_NS = 24 * 3600 * 10**9


def mac(key, label, *parts):
    return hmac.new(key, label + b"".join(parts), hashlib.sha256).digest()


def capability(key, uid, rights, expires_ns, issued_ns=None):
    """An encoded auth_capability and its session key, as src/rpc/auth.c makes them."""
    issued = struct.pack("<Q", time.time_ns() if issued_ns is None else issued_ns)
    fields = struct.pack("<IIIQQ", uid, uid, rights, expires_ns, 7)
    seal = mac(key, b"c3fs capability 1", record(fields, blob(b""), issued))
    encoded = record(fields, blob(seal), issued)
    return encoded, mac(key, b"c3fs session 1", encoded)


class Connection:
    def __init__(self, address, shown, session_key):
        """Raises PermissionError when it is refused."""
        self.socket = connect(address)
        hello = record(struct.pack("<II", 1, KIND_CAPABILITY), blob(b"n" * 32), blob(shown))
        self.socket.sendall(frame(HELLO, hello))
        kind, status, challenge = self.receive()
        if kind == WELCOME:
            raise PermissionError(-status)
        proof = mac(session_key, b"c3fs rpc client 1", hello, challenge)
        self.socket.sendall(frame(PROOF, record(blob(proof), blob(b""))))
        kind, status, _ = self.receive()
        if kind != WELCOME or status:
            raise PermissionError(-status)

    def exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise PermissionError(AUTH_FAIL)
            data += more
        return data

    def receive(self):
        head = self.exactly(64)
        kind, status = head[5], struct.unpack_from("<i", head, 12)[0]
        body_size, bulk_size = struct.unpack_from("<II", head, 32)
        body = self.exactly(body_size)
        self.exactly(bulk_size)
        return kind, status, body

    def call(self, service, method, body):
        """(status, text of the error)"""
        head = struct.pack("<IBBHHHiQQIII4I", 0x53463343, 1, REQUEST, 0, service, method, 0, 1,
                           10**7, len(body), 0, crc32c(body), 0, 0, 0, 0)
        self.socket.sendall(head + struct.pack("<I", crc32c(head)) + body)
        kind, status, text = self.receive()
        if kind != REPLY:
            fail("no reply but a frame of kind %d" % kind)
        return status, text.decode(errors="replace") if status < 0 else ""

    def close(self):
        self.socket.close()


def refused(address, shown, session_key, what):
    try:
        Connection(address, shown, session_key).close()
    except PermissionError as e:
        if e.args[0] != AUTH_FAIL:
            fail("%s: refused with %s" % (what, e))
        return
    fail("%s is accepted" % what)


def service_id(name):
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/proto")
    for file in glob.glob(path + "/*.c"):
        with open(file, encoding="utf-8") as f:
            found = re.search(r"RPC_SERVICE_DEFINE\(%s, (\d+)" % name, f.read())
        if found:
            return int(found.group(1))
    return fail("service %s has no id" % name)


def test_capabilities(c, key, storage, meta):
    space_info, list_chunks = (service_id("storage"), 10), (service_id("storage"), 13)
    now = time.time_ns()
    good, session = capability(key, 1000, DATA | META, now + DAY_NS)
    live = Connection(storage, good, session)
    if live.call(*space_info, record())[0] != 0:
        fail("a good capability is refused")
    # for what its user may not do
    status, text = live.call(*list_chunks, record(struct.pack("<Q", 1)))
    if status != -AUTH_FAIL or text != "the caller's token does not allow this":
        fail("a right that the capability lacks: %d %s" % (status, text))
    old, old_session = capability(key, 1000, DATA, now - 31 * 10**9)
    refused(storage, old, old_session, "an expired capability")
    rng = random.Random(int(os.environ["TEST_SEED"]))
    for bit in rng.sample(range(len(good) * 8), 60):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        refused(storage, bytes(changed), session, "a capability with bit %d changed" % bit)
    more = good.replace(struct.pack("<IIIQ", 1000, 1000, DATA | META, now + DAY_NS),
                        struct.pack("<IIIQ", 0, 0, 15, now + DAY_NS))
    refused(storage, more, session, "another user's rights under the same seal")
    refused(storage, good, b"k" * 32, "a captured capability without its session key")
    refused(storage, *capability(b"k" * 32, 0, 15, now + DAY_NS), "another cluster's capability")
    refused(storage, good[:-1], session, "a capability that is cut short")
    refused(storage, good + b"x", session, "a capability that is longer")
    for address in (storage, meta):
        Connection(address, good, session).close()
    return good, session, live, space_info


def test_removed(c, key, storage, meta, held):
    """The user goes: open connections and new ones are refused, at storage and meta."""
    good, session, live, space_info = held
    with_meta = Connection(meta, good, session)
    c.admin("user-remove 1000")
    wait_until(20, "the storage refuses who was removed",
               lambda: live.call(*space_info, record())[0] == -AUTH_REVOKED)
    status, text = live.call(*space_info, record())
    if text != "user 1000 was removed, or changed since":
        fail("a removed user: %d %s" % (status, text))
    again = Connection(storage, good, session)
    if again.call(*space_info, record())[1] != "user 1000 was removed, or changed since":
        fail("a removed user's capability is good on a new connection")
    meta_stat = (service_id("meta"), 20, record())
    wait_until(20, "meta refuses who was removed",
               lambda: with_meta.call(*meta_stat)[1] == "user 1000 was removed, or changed since")
    # a new user of that uid is another one
    token = c.json("user-add 1000 next")["Token"].split("(")[0]
    config = joe_config(c, "next", token)
    c.admin("ls /", config=config)
    c.admin("create /joe/f; write-file /joe/f --value 1 --length 1MB; checksum /joe/f",
            config=config)
    if live.call(*space_info, record())[0] != -AUTH_REVOKED:
        fail("the former user is let in again with the new one")


def test_rights_taken(c, key, storage):
    """What user-set and user-set-token take is gone at once, and what is left goes on working."""
    space_info, list_chunks = (service_id("storage"), 10), (service_id("storage"), 13)
    first = c.json("user-add --root --admin 1002 ann")["Token"].split("(")[0]
    config = joe_config(c, "ann", first)
    shown = capability(key, 1002, DATA | META | ADMIN | ROOT, time.time_ns() + DAY_NS)
    live = Connection(storage, *shown)
    if live.call(*list_chunks, record(struct.pack("<Q", 1)))[0] == -AUTH_FAIL:
        fail("an admin's capability is refused")
    c.admin("mkdir /ann; set-perm /ann -u 1002 -g 1002")
    tool = subprocess.Popen([C3FS, "admin", "--json", "-cfg", config,
                             "--config.user_info.uid=1002"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)

    def ask(line):
        """What it prints for the line, which may be nothing, and who it is."""
        tool.stdin.write(line + "\ncurrent-user\n")
        tool.stdin.flush()
        text = ""
        while True:
            more = tool.stdout.readline()
            text += more
            if not more or '"Groups"' in more:  # which current-user alone has
                return text + tool.stdout.readline() + tool.stdout.readline()
    if "Error" in ask("user-stat 0") + ask("mkdir /ann/d"):
        fail("ann is an admin and may not")
    c.admin("user-set 1002 --admin 0 --root 0")
    wait_until(20, "the storage refuses what the admin was given",
               lambda: live.call(*space_info, record())[0] == -AUTH_REVOKED)
    # the tool that is logged in loses the rights, and nothing else
    wait_until(20, "the manager refuses her", lambda: "NotAdmin" in ask("user-stat 0"))
    text = ask("create /ann/f") + ask("write-file /ann/f --value 1 --length 1000")
    if "Error" in text:
        fail("what is left of her rights does not work: " + text)
    c.admin("user-set-token 1002 --new --invalidate-existed-tokens")
    wait_until(20, "her token is void", lambda: "Error" in ask("stat /ann/f"))
    tool.communicate()
    c.admin("user-remove 1002")


def joe_config(c, name, token):
    with open(c.dir + "/etc/admin_cli.toml", encoding="utf-8") as f:
        servers = re.search(r"^mgmtd_server_addresses.*$", f.read(), re.MULTILINE).group(0)
    path = os.path.join(TEST_DIR, name)
    with open(path + ".token", "w", encoding="utf-8") as f:
        f.write(token + "\n")
    with open(path + ".toml", "w", encoding="utf-8") as f:
        f.write('cluster_id = "default"\ntoken_file = "%s.token"\n%s\n' % (path, servers))
    return path + ".toml"


def command_line(pid):
    with open("/proc/%d/cmdline" % pid, "rb") as f:
        return f.read().replace(b"\0", b" ").decode()


def test_argv(c, token):
    """While the tool runs, nobody sees the token in its command line."""
    config = joe_config(c, "argv", "")
    for words in (["--config.user_info.token", token, "-cfg", config],
                  ["--config.user_info.token=" + token, "-cfg", config],
                  ["-cfg", config, "--config.user_info.token", token]):
        tool = subprocess.Popen([C3FS, "admin", *words], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
        tool.stdin.write("current-user\n")
        tool.stdin.flush()
        wait_until(10, "the token is wiped", lambda: token not in command_line(tool.pid))
        tool.stdin.write("ls /\n")
        out, _ = tool.communicate(timeout=30)
        if tool.returncode != 0 or token not in out:
            fail("%s: %d %s" % (words, tool.returncode, out))
    for words in (["user-add", "--token", token, "1001", "x"], ["decode-user-token", token],
                  ["user-switch -t %s; user-set-token 1001 --token %s" % (token, token)]):
        wiped_command(words, token)


def wiped_command(words, token):
    """A command that waits for a manager that is not there."""
    tool = subprocess.Popen([C3FS, "admin", "--config.mgmtd_server_addresses=TCP://127.0.0.1:1",
                             "--config.timeout=3s", "--config.cluster_key=k1:" + 64 * "0", *words,
                             ";", "list-nodes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_until(2, "the token of %s is wiped" % words[0],
                   lambda: token not in command_line(tool.pid))
    finally:
        tool.kill()
        tool.communicate()


def test_wrong_tokens(c, token):
    """One clear line for a wrong, a stale, a missing one."""
    wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
    for text, want in ((wrong, "token"), ("", "no token: give --config.user_info.token, or have it "
                                          "in ")):
        out = c.admin("ls /", config=joe_config(c, "wrong", text), status=1)
        if want not in out or len(out.strip().split("\n")) > 2:
            fail("token '%s': %s" % (text, out))


def test_logs(c, secrets):
    for path in glob.glob(c.dir + "/log/*"):
        with open(path, encoding="utf-8", errors="replace") as f:
            text = f.read()
        for secret in secrets:
            if secret in text:
                fail("%s has a secret" % path)


def main():
    with Cluster() as c:
        with open(c.dir + "/token.txt", encoding="utf-8") as f:
            root = f.read().strip()
        joe = c.json("user-add 1000 joe")["Token"].split("(")[0]
        c.admin("mkdir /joe; set-perm /joe -u 1000 -g 1000")
        dump = os.path.join(TEST_DIR, "dump.kv")
        c.admin("meta dump " + dump)
        value = read_dump(dump)[b"SINGClusterKey"]
        key = value[-32:]
        where = dict(services(c))
        held = test_capabilities(c, key, where["1001"], where["101"])
        test_argv(c, root)
        test_wrong_tokens(c, joe)
        test_rights_taken(c, key, where["1001"])
        test_removed(c, key, where["1001"], where["101"], held)
        run(C3FS, "admin", "--config.user_info.token=nonsense", "ls", status=2)
        test_logs(c, [root, joe, key.hex()])


if __name__ == "__main__":
    main()
