#!/usr/bin/env python3
"""compare.py - our TOML parser against Python's, over documents made from the grammar and broken by
chance: both take or refuse a document, and what we write of it Python reads as the same values.

    compare.py TOML_TEXT [SEED [COUNT]]
"""
import datetime
import random
import subprocess
import sys

try:
    import tomllib
except ImportError:
    print("this Python has no tomllib")
    sys.exit(77)

COUNT = 12000
SEEDS = [
    'a = 1\nb = "x"\n[t]\nc = [1, 2.5, "z"]\n[t.u]\nd = { e = 1, f.g = true }\n',
    "[[p]]\nn = 'x'\n[[p.q]]\nm = 1\n[p.r]\nk = 0xff\n[[p]]\n",
    's = """one\\\n  two"""\nl = \'\'\'raw\n\'\'\'\nx = "\\u00e9\\t\\U0001F600"\n',
    'd = 1979-05-27T07:32:00Z\ne = 1979-05-27 07:32:00.5+01:30\nf = 1979-05-27\ng = 07:32:00\n',
    'i = [0b101, 0o17, +1_000, -9223372036854775808, 1e5, -0.0, inf, -nan]\n',
    'a.b.c = 1\na.b.d = 2\n"q k".\'r\' = 3\n[a.e]\nf = 1\n# comment\r\ng = []\n',
]
KEYS = ["a", "b", "c", "k-1", "_", '"a b"', "'l'", "1979", '""', '"\\u0061"', "true"]
CHARS = list("abe0179-_+.:TZ#=[]{}\"'\\,\n\r\t xobfin") + ["é", "\x00", "\x7f", "\"\"\"", "'''",
                                                           "\r\n", " = ", "\ud83d"]


class Maker:
    def __init__(self, r):
        self.r = r

    def key(self):
        parts = [self.r.choice(KEYS) for _ in range(self.r.choice((1, 1, 1, 2, 3)))]
        return self.r.choice((".", " . ")).join(parts)

    def number(self):
        r = self.r
        digits = "_".join(str(r.randrange(1000)) for _ in range(r.randrange(1, 4)))
        return r.choice((
            r.choice(("", "-", "+")) + digits, "0x%x" % r.getrandbits(r.choice((8, 63, 64))),
            "0o%o" % r.getrandbits(20), "0b" + bin(r.getrandbits(9))[2:], "%r" % r.uniform(-9, 9),
            "%de%d" % (r.randrange(10), r.randrange(-400, 400)), "%s.%s" % (digits, digits),
            r.choice(("inf", "-inf", "nan", "+nan", "0", "-0", "+0.0", "00", "0_0", "1_e1"))))

    def time(self):
        r = self.r
        date = "%04d-%02d-%02d" % (r.randrange(0, 2100, 7), r.randrange(14), r.randrange(33))
        clock = "%02d:%02d:%02d" % (r.randrange(25), r.randrange(61), r.randrange(62))
        clock += r.choice(("", "", ".5", ".123456", "."))
        zone = r.choice(("", "Z", "z", "+%02d:%02d" % (r.randrange(25), r.randrange(61)), "-00:00"))
        return r.choice((date, clock, date + r.choice("Tt  ") + clock + zone))

    def text(self):
        r = self.r
        inner = "".join(r.choice(("x", " ", "#", "\t", "é", "\\n", "\\\\", "\\u00e9", "'", "\\\"",
                                  "\\U0010FFFF", "\\q", "\n", "\r\n", "\\ \n ", "\"", "\x01"))
                        for _ in range(r.randrange(5)))
        return r.choice(('"%s"', "'%s'", '"""%s"""', "'''%s'''", '"""\n%s"""')) % inner

    def value(self, depth=0):
        r, kind = self.r, self.r.randrange(10 if depth < 3 else 6)
        if kind < 2:
            return self.number()
        if kind < 4:
            return self.text()
        if kind < 5:
            return self.time()
        if kind < 6:
            return r.choice(("true", "false"))
        count = r.randrange(4)
        if kind < 8:
            space = r.choice(("", " ", "\n", " # c\n"))
            items = [space + self.value(depth + 1) for _ in range(count)]
            return "[" + ",".join(items) + r.choice(("", ",", space)) + "]"
        pairs = ["%s = %s" % (self.key(), self.value(depth + 1)) for _ in range(count)]
        return "{" + ", ".join(pairs) + r.choice(("", "", "", ",")) + "}"

    def line(self):
        kind = self.r.randrange(8)
        if kind == 0:
            return "[%s]" % self.key()
        if kind == 1:
            return "[[%s]]" % self.key()
        if kind == 2:
            return self.r.choice(("", "# c", "\t", "  # é"))
        return "%s = %s" % (self.key(), self.value())

    def document(self):
        if self.r.randrange(3):
            ends = self.r.choice(("\n", "\n", "\r\n"))
            text = ends.join(self.line() for _ in range(self.r.randrange(1, 7)))
        else:
            text = self.r.choice(SEEDS)
        for _ in range(self.r.choice((0, 0, 1, 1, 2))):
            at = self.r.randrange(len(text) + 1)
            text = text[:at] + self.r.choice(["", *CHARS]) + text[at + self.r.randrange(3):]
        return text.encode("utf-8", "surrogatepass")


def walk(value):
    yield value
    for inner in value.values() if isinstance(value, dict) else \
            value if isinstance(value, list) else ():
        yield from walk(inner)


def plain(value):
    """Comparable: types told apart, NaN equal to itself, times as they are."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, (datetime.datetime, datetime.time)):
        return (type(value).__name__, value.isoformat())
    return (type(value).__name__, repr(value))


def python_reads(data):
    """The values; None when it is refused, False when that does not bind us: a number beyond
    64 bits, and times that Python's own types cannot hold (a leap second, the year 0)."""
    if b":60" in data:
        return False
    try:
        value = tomllib.loads(data.decode("utf-8").removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as e:
        return False if "Invalid date or datetime" in str(e) else None
    except UnicodeDecodeError:
        return None
    except ValueError:
        return False
    if any(isinstance(v, int) and not -2**63 <= v < 2**63 for v in walk(value)):
        return False
    return plain(value)


def ours(binary, documents):
    sent = b"".join(b"%d\n%s" % (len(d), d) for d in documents)
    got = subprocess.run([binary], input=sent, stdout=subprocess.PIPE, check=True).stdout
    at = 0
    for _ in documents:
        end = got.index(b"\n", at)
        size = int(got[at:end])
        at = end + 1
        yield None if size < 0 else got[at:at + size]
        at += max(size, 0)


def main():
    binary = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    count = int(sys.argv[3]) if len(sys.argv) > 3 else COUNT
    maker = Maker(random.Random(seed))
    documents = [maker.document() for _ in range(count)]
    taken = bad = 0
    for document, printed in zip(documents, ours(binary, documents)):
        wanted = python_reads(document)
        if wanted is False:
            continue
        got = None if printed is None else python_reads(printed)
        taken += printed is not None
        if got == wanted and (printed is None) == (wanted is None):
            continue
        bad += 1
        if bad <= 10:
            print("%r\n  python: %s\n  ours: %s" % (document, wanted, printed))
    print("%d documents, %d taken, %d differ" % (count, taken, bad))
    return 1 if bad or taken < count // 10 or taken > count * 9 // 10 else 0


if __name__ == "__main__":
    sys.exit(main())
