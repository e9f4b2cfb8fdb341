#!/usr/bin/env python3
"""attack_ports.py - random bytes, oversized lengths, truncated frames and wrong keys on the port of
every service: each such connection is closed, a counter moves, and the service goes on.
"""
# test: quick, 120 s
import os
import random
import re
import socket
import struct
import zlib  # only to have a CRC that is wrong

from cluster import Cluster, fail, wait_until

MAGIC, VERSION, HELLO, PROOF, REQUEST = 0x53463343, 1, 1, 3, 5
KIND_SERVER = None  # found out from the first answer


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frame(kind, body=b"", body_size=None, magic=MAGIC, version=VERSION, good_header=True):
    """A frame as src/rpc/rpc_format.h has it."""
    head = struct.pack("<IBBHHHiQQIII4I", magic, version, kind, 0, 0, 0, 0, 1, 0,
                       len(body) if body_size is None else body_size, 0, crc32c(body), 0, 0, 0, 0)
    assert len(head) == 60, len(head)
    crc = crc32c(head) if good_header else zlib.crc32(head)
    return head + struct.pack("<I", crc) + body


def record(*fields):
    """A size-prefixed record of the wire codec."""
    body = b"".join(fields)
    return struct.pack("<I", len(body)) + body


def blob(data):
    return struct.pack("<I", len(data)) + data


def hello(kind, nonce=b"n" * 32):
    return frame(HELLO, record(struct.pack("<II", 1, kind), blob(nonce), blob(b"")))


def attacks(rng):
    yield "random bytes", rng.randbytes(rng.randrange(64, 4096))
    yield "zeros", bytes(1000)
    yield "text", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4
    yield "oversized length", frame(HELLO, b"", body_size=0xFFFFFFFF)
    yield "a little oversized length", frame(HELLO, b"", body_size=1025)
    yield "a wrong header CRC", frame(HELLO, b"x" * 40, good_header=False)
    yield "another magic", frame(HELLO, b"x" * 40, magic=0x12345678)
    yield "another version", frame(HELLO, b"x" * 40, version=9)
    yield "a request before the handshake", frame(REQUEST, b"x" * 40)
    yield "a proof before the challenge", frame(PROOF, record(blob(b"p" * 32), blob(b"")))
    yield "an unknown kind", frame(200, b"")
    yield "random body", frame(HELLO, rng.randbytes(100))


def is_closed(s):
    """Reads until the peer closes; whatever it says before is fine."""
    s.settimeout(10)
    try:
        while s.recv(65536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def connect(address):
    s = socket.socket(socket.AF_INET)
    s.settimeout(10)
    s.connect(address)
    return s


def attack(address, data, then_close):
    with connect(address) as s:
        try:
            s.sendall(data)
            if then_close:
                s.shutdown(socket.SHUT_WR)
        except ConnectionError:
            return True
        return is_closed(s)


def wrong_key(address):
    """A handshake as a server of the cluster, with a proof made from nothing."""
    for kind in range(8):
        with connect(address) as s:
            try:
                s.sendall(hello(kind))
                s.sendall(frame(PROOF, record(blob(b"p" * 32), blob(b"AAAAAAAAAAAAAAAAAAAAAAAA"))))
                s.sendall(frame(REQUEST, record(b"")))
            except ConnectionError:
                continue
            if not is_closed(s):
                fail("a wrong key of kind %d at %s: the connection stays open" % (kind, address))


def services(c):
    """(node id, address) of every service that listens."""
    for name in sorted(os.listdir(c.dir + "/etc")):
        with open(os.path.join(c.dir, "etc", name), encoding="utf-8") as f:
            text = f.read()
        listen = re.search(r'^listen = "TCP://([\d.]+):(\d+)"', text, re.MULTILINE)
        node = re.search(r"^node_id = (\d+)", text, re.MULTILINE)
        if listen and node:
            yield node.group(1), (listen.group(1), int(listen.group(2)))


def counters(c, node):
    got = {m["Name"]: int(m["Value"]) for m in c.json("get-metrics -n %s -p rpc." % node)}
    return got.get("rpc.bad_frames", 0), got.get("rpc.auth_failures", 0)


def main():
    rng = random.Random(int(os.environ["TEST_SEED"]))
    with Cluster() as c:
        c.admin("create /f; write-file /f --value 7 --length 3MB")
        want = c.admin("checksum /f")
        pids = {name: child["pid"] for name, child in c.children().items()}
        found = list(services(c))
        if len(found) != 8:
            fail("found %d services, not 8: %s" % (len(found), found))
        for node, address in found:
            bad, failures = counters(c, node)
            count = 0
            for name, data in attacks(rng):
                count += 1
                if not attack(address, data, then_close=len(data) < 64):
                    fail("%s at %s: the connection stays open" % (name, address))
            for size in (1, 30, 63, 64, 80):  # truncated: the peer waits for the rest, we go away
                if not attack(address, hello(1)[:size], then_close=True):
                    fail("a frame cut at %d at %s: the connection stays open" % (size, address))
            now = counters(c, node)[0]
            if now < bad + count - 1:
                fail("node %s: rpc.bad_frames went from %d to %d in %d attacks" %
                     (node, bad, now, count))
            wrong_key(address)
            if counters(c, node)[1] <= failures:
                fail("node %s: rpc.auth_failures did not move" % node)
        # many that say nothing and stay: the services go on
        idle = [connect(address) for _, address in found for _ in range(20)]
        if c.admin("checksum /f") != want:
            fail("the file is another one")
        c.admin("create /g; write-file /g --value 1 --length 1MB; checksum /g")
        for s in idle:
            s.close()
        wait_until(10, "every chain serves", c.chains_serve)
        if {name: child["pid"] for name, child in c.children().items()} != pids:
            fail("a service was started anew")


if __name__ == "__main__":
    main()
