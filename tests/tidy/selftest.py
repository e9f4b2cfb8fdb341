#!/usr/bin/env python3
"""selftest.py - each check of tests/tidy finds what is planted for it, and nothing else.

    selftest.py [CC]      CC: the compiler for the objects that the check of the globals looks at
"""

import os
import subprocess
import sys
import tempfile

import rules
import source
import tidy

HERE = os.path.dirname(os.path.abspath(__file__))
GOOD = "/* good.c - a file without a fault. */\n#include \"base/error.h\"\n"
# In parts, so that this file passes the check itself.
UNFINISHED = "TO" + "DO"

# (check, path, text, what the message must say)
PLANTED = [
    ("layers", "src/base/up.c", '#include "loop/loop.h"\n', "base may not include loop/loop.h"),
    ("layers", "src/kv/side.c", '#include "client/routing.h"\n', "kv may not include client"),
    ("layers", "src/proto/x.h", '  # include "kv/kv.h"\n', "proto may not include kv/kv.h"),
    ("layers", "src/meta/x.c", '#include "../storage/x.h"\n', "written from src"),
    ("layers", "src/config/m.c", '#include "main.h"\n', "config may not include main.h"),
    ("layers", "src/utils/x.c", "\n", "has no row"),
    ("seam", "src/meta/t.c", "int t(void) { return time (NULL); }\n", "time() goes past"),
    ("seam", "src/kv/p.c", "x = pthread_create(&t, 0, f, 0);\n", "pthread_create()"),
    ("seam", "src/kv/o.c", "/* c */ fd = open(path, 0);\n", "open()"),
    ("seam", "src/rpc/s.c", "if (!socket(1, 2, 3)) return;\n", "socket()"),
    ("seam", "src/storage/u.c", "io_uring_submit(r);\n", "io_uring_submit()"),
    ("banned", "src/base/b.c", "strcpy(a, b);\n", "strcpy() is banned"),
    ("banned", "sim/b.c", "n = atoi(text);\n", "atoi() is banned"),
    ("banned", "src/base/b_test.c", "sprintf(a, b);\n", "sprintf() is banned"),
    ("goto", "src/base/g.c", "goto out;\n", "goto"),
    ("thread-locals", "src/kv/l.c", "static __thread int x;\n", "thread-local"),
    ("thread-locals", "src/kv/l.c", "static _Thread_local int x;\n", "thread-local"),
    ("typedefs", "src/kv/t.h", "typedef struct kv { int x; } kv_t;\n", "typedef of a struct"),
    ("typedefs", "src/kv/t.h", "typedef enum\n{ A } e;\n", "typedef of a enum"),
    ("opening-comment", "src/kv/o.c", "#include <stdio.h>\n", "must open with"),
    ("opening-comment", "src/kv/o.c", "/* other.c - x */\n", "must open with '/* o.c"),
    ("opening-comment", "tests/x.py", "#!/usr/bin/env python3\nimport os\n", "must open with"),
    ("columns", "src/kv/c.c", "x" * 101 + "\n", "101 columns"),
    ("columns", "tests/c.py", "x" * 130 + "\n", "130 columns"),
    ("lengths", "src/kv/l.c", "\n" * 801, "801 lines"),
    ("lengths", "src/kv/f.c", "int f(void)\n{\n" + "    x();\n" * 81 + "}\n", "function of 81"),
    ("unfinished", "src/kv/u.c", "/* %s: later */\n" % UNFINISHED, UNFINISHED),
    ("unfinished", "docs/u.md", "%s\n" % UNFINISHED, UNFINISHED),
    ("whitespace", "src/kv/w.c", "int x; \n", "blanks at the end"),
    ("whitespace", "src/kv/w.c", "\tint x;\n", "tab"),
    ("whitespace", "src/kv/w.c", "int x;", "no newline"),
    ("whitespace", "src/kv/w.c", "int x;\r\n", "carriage return"),
    ("whitespace", "src/kv/w.c", "int x;\n\n", "empty lines"),
    ("skips", "tests/skips.txt", "cluster/fill\n", "must read"),
    ("skips", "tests/skips.txt", "cluster/fill | no\n", "must read"),
    ("skips", "tests/skips.txt", "b/b | a good reason\na/a | a good reason\n", "out of order"),
]
# (check, path, text): must pass.
INNOCENT = [
    ("layers", "src/meta/x.c", '#include "kv/kv.h"\n#include <time.h>\n'),
    ("layers", "src/main.c", '#include "storage/storage.h"\n#include "main_roles.h"\n'),
    ("seam", "src/meta/t.c", '/* time() */ f("open(x)"); node->open(1); ops.read(2); reopen(3);\n'),
    ("seam", "src/meta/t.c", "int (*connect)(int x); kv_open(1); struct time { int x; };\n"),
    ("seam", "src/meta/t_test.c", "fork();\n"),
    ("banned", "src/base/b.c", "/* strcpy(a, b) */ my_strcpy(a, b); x->gets(1);\n"),
    ("goto", "src/base/g.c", "/* goto */ int goto_next;\n"),
    ("typedefs", "src/kv/t.h", "typedef int (*handler)(struct kv *kv);\n"),
    ("opening-comment", "src/kv/o.c", "/* o.c - it is for this. */\n"),
    ("columns", "src/kv/c.c", "/* " + "é" * 90 + " */\n"),
    ("lengths", "src/kv/f.c", "int f(void)\n{\n" + "    x();\n" * 80 + "}\n"),
    ("unfinished", "src/kv/u.c", 'mkdtemp("/tmp/XX' + 'XXXX");\n'),
    ("skips", "tests/skips.txt", "# why\na/a | a good reason\nb/b | a good reason\n"),
]
# (C text, what the message must say; None: nothing)
OBJECTS = [
    ("static int counter; int next(void) { return ++counter; }\n", "counter in .bss"),
    ("int next(void) { static int c = 5; return ++c; }\n", "in .data"),
    ("static _Thread_local int t; int next(void) { return ++t; }\n", "t in .tbss"),
    ("static const char *n[] = { \"a\" }; const char **get(void) { return n; }\n", "n in .data"),
    ("int shared;\n", "shared in "),
    ("static const char *const n[] = { \"a\" }; const char *get(int i) { return n[i]; }\n", None),
    ("static const int n[] = { 1, 2 }; int get(int i) { return n[i]; }\n", None),
]


def plant(check, path, text, allowed):
    with tempfile.TemporaryDirectory() as root:
        for name, content in ((path, text), ("src/base/good.c", GOOD)):
            os.makedirs(os.path.join(root, os.path.dirname(name)), exist_ok=True)
            with open(os.path.join(root, name), "w", newline="") as f:
                f.write(content)
        return list(tidy.run(source.read_tree(root), check, allowed))


def test_planted():
    for check, path, text, message in PLANTED:
        found = plant(check, path, text, [])
        assert len(found) == 1, (check, text, found)
        assert found[0].startswith(path + ":") and message in found[0], (check, text, found)
    assert {row[0] for row in PLANTED} == set(tidy.CHECKS), "a check without a planted violation"
    for check, path, text in INNOCENT:
        assert not plant(check, path, text, []), (check, text, plant(check, path, text, []))


def test_exceptions():
    call = ("seam", "src/kv/o.c", "open(x, 0);\n")
    assert not plant(*call, [("seam", "src/kv/*.c", "open", "")])
    assert not plant(*call, [("seam", "src/kv/*.c", "*", "")])
    assert len(plant(*call, [("seam", "src/kv/*.c", "close", "")])) == 2, "unused one is found too"
    assert len(plant(*call, [("banned", "src/kv/*.c", "open", "")])) == 1
    for row in rules.ALLOWED:
        assert len(row) == 4 and len(row[3]) >= 10, "an exception has a reason: %r" % (row,)


def test_globals(compiler):
    with tempfile.TemporaryDirectory() as root:
        for text, message in OBJECTS:
            code, made = os.path.join(root, "x.c"), os.path.join(root, "x.o")
            with open(code, "w") as f:
                f.write(text)
            flags = ["-O1", "-fPIC", "-fno-common", "-c", code, "-o", made]
            subprocess.run(compiler.split() + flags, check=True)
            r = subprocess.run([sys.executable, os.path.join(HERE, "globals.py"), made],
                               capture_output=True, text=True)
            assert (r.returncode == 1) == (message is not None), (text, r)
            assert message is None or message in r.stdout, (text, r.stdout)


def test_shared_names(compiler):
    with tempfile.TemporaryDirectory() as root:
        for names in (("one", "two"), ("same", "same")):
            archives = []
            for i, name in enumerate(names):
                code, made = os.path.join(root, "%d.c" % i), os.path.join(root, "%d.o" % i)
                archives.append(os.path.join(root, "lib%d.a" % i))
                with open(code, "w") as f:
                    f.write("int %s(void) { return 1; }\nstatic int own(void) { return 2; }\n"
                            "int call%d(void) { return own(); }\n" % (name, i))
                subprocess.run(compiler.split() + ["-c", code, "-o", made], check=True)
                subprocess.run(["ar", "rcs", archives[-1], made], check=True)
            r = subprocess.run([sys.executable, os.path.join(HERE, "globals.py")] + archives,
                               capture_output=True, text=True)
            found = "same is defined in lib0.a and lib1.a" in r.stdout
            assert found == (names[0] == names[1]) == (r.returncode == 1), (names, r)


if __name__ == "__main__":
    test_planted()
    test_exceptions()
    test_globals(sys.argv[1] if len(sys.argv) > 1 else "cc")
    test_shared_names(sys.argv[1] if len(sys.argv) > 1 else "cc")
