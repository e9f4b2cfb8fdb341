#!/usr/bin/env python3
"""damaged_alone.py - while the damaged replica of a chunk is the only one that serves, a read waits
for the others instead of failing, and shows the right bytes.
"""
# test: soak, 120 s
import hashlib
import os
import signal
import subprocess
import time

from cluster import C3FS, Cluster, fail, wait_until
from flipped_replica import damage


def main():
    with Cluster() as c:
        data, target, _, others = damage(c, "alone", 2, 1)
        nodes = {t["TargetId"]: t["NodeId"] for t in c.json("list-targets")}
        pids = [c.pid("storage-%s" % nodes[t]) for t in others]

        def is_alone():
            state = {t["TargetId"]: t["PublicState"] for t in c.json("list-targets")}
            return state[target] == "SERVING" and all(state[t] != "SERVING" for t in others)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(30, "the damaged replica serves alone", is_alone)
            read = subprocess.Popen([C3FS, "admin", "-cfg", c.dir + "/etc/admin_cli.toml",
                                     "read-file /alone"], stdout=subprocess.PIPE, text=True)
            time.sleep(1)
            if read.poll() is not None:
                fail("the read did not wait: %s" % read.stdout.read())
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        text, _ = read.communicate(timeout=60)
        if "md5 " + hashlib.md5(data).hexdigest() not in text:
            fail("after the others came back: %s" % text)
        wait_until(60, "every chain SERVING", c.chains_serve)


main()
