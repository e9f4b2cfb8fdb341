#!/usr/bin/env python3
"""bad_values.py - every key, variable and option of every role and command: misspelt, it is named
in one line with the nearest valid name; malformed, it is named with what it should be. The keys are
those that the program itself lists, so that none is forgotten.
"""
# test: quick, 180 s
import os
import re
import subprocess

from cluster import C3FS, TEST_DIR, fail

ROLES = ["mgmtd", "meta", "storage", "fuse", "bootstrap"]
# Text that is not any text: what is said of a wrong one, by --check or when the role starts.
FORMS = {"log.level": "'wrong!' is not debug, info, warn or error",
         "loop.backend": "'wrong!' is not auto, uring or posix",
         "timing": "'wrong!' is not fast, default or slow"}
BAD = {"bool": "maybe", "number": "x", "size": "5x", "span": "5 fortnights", "real": "1,5"}
WORD = {"bool": "is not true or false", "number": "is not a whole number",
        "size": "is not a size", "span": "is not a time span", "real": "is not a number"}


def refused(words, *command, env=None):
    """It ends with 2 and one line that has all the words."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=20, check=False, env=env)
    lines = done.stderr.strip().split("\n")
    if done.returncode != 2 or len(lines) != 1 or not all(w in lines[0] for w in words):
        fail("%s: status %d, wanted %s: %s" %
             (" ".join(command), done.returncode, words, done.stdout + done.stderr))


def shown(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=True).stdout


def kind_of(value):
    if value in ("true", "false"):
        return "bool"
    if value.startswith("["):
        return "list"
    if not value.startswith('"'):
        return "real" if "." in value else "number"
    text = value.strip('"')
    if re.fullmatch(r"\d+(B|KB|MB|GB|TB)", text):
        return "size"
    if re.fullmatch(r"\d+(ns|us|ms|s|min|h|d)", text):
        return "span"
    return "text"


def keys_of(*command):
    """(key, kind) of the settings that a role prints."""
    section = ""
    for line in shown(*command).split("\n"):
        if re.match(r"\[.+\]$", line):
            section = line[1:-1] + "."
        m = re.match(r"(\w+) = (.*)$", line)
        if m:
            yield section + m.group(1), kind_of(m.group(2))


def misspelt(key, known):
    """The key without one of its letters, which is no other key."""
    for at in range(len(key) - 2, 0, -1):
        word = key[:at] + key[at + 1:]
        if key[at] != "." and word not in known and not word.endswith("."):
            return word
    return fail("nothing to misspell in " + key)


def check_key(role, check, key, kind, known):
    wrong = misspelt(key, known)
    refused(["unknown key '%s'; did you mean '" % wrong], C3FS, role,
            "--config.%s=1" % wrong, *check)
    path = os.path.join(TEST_DIR, "wrong.toml")
    with open(path, "w", encoding="utf-8") as f:
        f.write("%s = 1\n" % wrong)
    refused(["%s: line 1" % path, "unknown key '%s'; did you mean '" % wrong], C3FS, role, "--cfg",
            path, *check)
    if kind in BAD:
        refused(["key '%s'" % key, "'%s' %s" % (BAD[kind], WORD[kind])], C3FS, role,
                "--config.%s=%s" % (key, BAD[kind]), *check)
        with open(path, "w", encoding="utf-8") as f:
            f.write("# a comment\n%s = [1979-05-27]\n" % key)
        refused(["%s: line 2" % path, "'%s'" % key], C3FS, role, "--cfg", path, *check)
    elif kind in ("text", "list"):
        with open(path, "w", encoding="utf-8") as f:
            f.write("%s = 5\n" % key)
        refused(["%s: line 1" % path, "'%s'" % key], C3FS, role, "--cfg", path, *check)
    if key in FORMS:
        refused(["key '%s': %s" % (key, FORMS[key])], C3FS, role, "--config.%s=wrong!" % key)
    refused(["--config.", "has no value"], C3FS, role, "--config." + key)


def check_variable(role, key, kind, variables):
    name = "C3FS_" + key.upper().replace(".", "_")
    wrong = "C3FS_" + misspelt(name[5:], {v[5:] for v in variables})
    refused(["unknown variable %s; did you mean C3FS_" % wrong], C3FS, role, "--check",
            env=dict(os.environ, **{wrong: "1"}))
    if kind in BAD:
        refused(["'%s'" % BAD[kind], "'%s'" % key], C3FS, role, "--check",
                env=dict(os.environ, **{name: BAD[kind]}))


def test_roles():
    keys = {role: dict(keys_of(C3FS, role, "--print-config")) for role in ROLES}
    variables = {"C3FS_" + k.upper().replace(".", "_") for r in keys.values() for k in r}
    variables.update(("C3FS_ADMIN_CFG", "C3FS_HISTORY"))
    if min(len(k) for k in keys.values()) < 8 or "disk.shards" not in keys["storage"]:
        fail("these are not the keys: %s" % keys)
    for role in ROLES:
        for key, kind in keys[role].items():
            check_key(role, ["--check"], key, kind, keys[role])
            check_variable(role, key, kind, variables)
        for option in ("--cfg", "--check", "--print-config", "--help"):
            wrong = misspelt(option, {"--cfg"})
            refused(["unknown option '%s'; did you mean '%s'?" % (wrong, option)], C3FS, role,
                    wrong)
        refused(["unknown option"], C3FS, role, "nothing")


def test_admin():
    keys = dict(keys_of(C3FS, "admin", "--cfg", "/dev/null", "--dump-cfg"))
    for key, kind in keys.items():
        check_key("admin", ["--dump-cfg"], key, kind, keys)
    for option in re.findall(r"^  (--[a-z-]+)  ", shown(C3FS, "admin", "--help"), re.MULTILINE):
        wrong = misspelt(option, set())
        refused(["unknown option '%s'; did you mean '%s'?" % (wrong, option)], C3FS, "admin", wrong)
    refused(["--cfg needs a file"], C3FS, "admin", "--cfg")
    refused(["option '--json' takes no value"], C3FS, "admin", "--json=1")
    refused(["/nowhere: No such file or directory"], C3FS, "admin", "ls",
            env=dict(os.environ, C3FS_ADMIN_CFG="/nowhere"))
    # the arguments of its commands
    done = shown(C3FS, "admin", "--cfg", "/dev/null", "help")
    for line in done.strip().split("\n"):
        name, usage = line.split()[0], line.split("Usage: ")[1]
        for option in re.findall(r"--[A-Za-z][A-Za-z-]+", usage):
            wrong = misspelt(option, set(re.findall(r"--[A-Za-z-]+", usage)))
            got = subprocess.run([C3FS, "admin", "--cfg", "/dev/null", name, wrong], text=True,
                                 capture_output=True, check=False, stdin=subprocess.DEVNULL)
            said = "unknown option '%s'; did you mean '" % wrong
            if got.returncode != 2 or said not in got.stdout:
                fail("%s %s: %s" % (name, wrong, got.stdout))


def test_supervisor():
    text = shown(C3FS, "up", "--help")
    options = re.findall(r"^  (--[a-z-]+) ", text, re.MULTILINE)
    if len(options) < 9:
        fail("up --help shows %s" % options)
    empty = os.path.join(TEST_DIR, "no-cluster")
    for option in options:
        wrong = misspelt(option, set(options))
        for command in ("up", "down", "status"):
            refused(["unknown option '%s'; did you mean '--" % wrong], C3FS, command, wrong, "1")
    for option, value, words in (
            ("--storages", "x", "'--storages': 'x' is not a whole number"),
            ("--storages", "0", "'--storages' must be from 1 to"),
            ("--metas", "99", "'--metas' must be from 1 to"),
            ("--replicas", "-1", "'--replicas': '-1' is not a whole number"),
            ("--chunk-size", "1000", "'--chunk-size' must be a power of two"),
            ("--chunk-size", "1x", "'--chunk-size': '1x' is not a size"),
            ("--port-base", "80", "'--port-base' must be from 1024 to"),
            ("--one-process", "=maybe", "'--one-process': 'maybe' is not true or false")):
        words_of = [option + value] if value[0] == "=" else [option, value]
        refused([words], C3FS, "up", "--dir", empty, *words_of)
    refused(["option '--dir' needs a value"], C3FS, "up", "--dir")
    refused(["option '--json' takes no value"], C3FS, "status", "--json=1")
    for command in ("down", "status"):
        refused(["'--storages' is one of c3fs up"], C3FS, command, "--dir", empty, "--storages",
                "3")
    if os.path.exists(empty):
        fail("something was made for a command line that is wrong")
    refused(["'storge:/x'", "did you mean 'storage'?"], C3FS, "run", "storge:/x")
    refused(["unknown command 'adimn'; did you mean 'admin'?"], C3FS, "adimn")


def main():
    test_roles()
    test_admin()
    test_supervisor()


if __name__ == "__main__":
    main()
