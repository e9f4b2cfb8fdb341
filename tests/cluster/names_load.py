#!/usr/bin/env python3
"""names_load.py - processes that change names, links and lengths, each with a model of its tree.

    names_load.py DIRECTORY PROCESSES SECONDS SEED

Every change must end as the model says: one that was executed and is retried must neither fail
(EEXIST, ENOENT) nor happen again. Each process compares its whole tree now and then, and at the
end. Where disks may be full, a file whose change met ENOSPC has any content from then on. Prints
one line of counts; exit status 1 when something differs or fails.
"""
import errno, json, os, random, shutil, stat, sys, time

NAMES = ["n%d" % i for i in range(12)]
COUNT_MAX = 400  # of entries of a tree; a long run must not fill small disks


class Tree:
    """What the directory must hold: name -> directory (dict), file (Inode) or symlink (text)."""

    def __init__(self, path, seed, end, disks_fill=False):
        self.path, self.end, self.disks_fill = path, end, disks_fill
        self.random = random.Random(seed)
        self.top = {}
        self.operations = 0
        self.worst = 0.0

    def pick(self):
        """A directory by its path and model."""
        path, at = self.path, self.top
        while self.random.random() < 0.6:
            subs = sorted(n for n, e in at.items() if isinstance(e, dict))
            if not subs:
                break
            name = self.random.choice(subs)
            path, at = path + "/" + name, at[name]
        return path, at

    def expect(self, want, call, *args):
        """want: None or an errno."""
        got = None
        try:
            result = call(*args)
        except OSError as e:
            got, result = e.errno, None
        if got != want:
            name = errno.errorcode.get
            raise AssertionError("%s%s: %s, not %s" % (call.__name__, args, name(got, got),
                                                       name(want, want)))
        return result

    def change(self, inode, content, call, *args):
        """Does what gives the file this content."""
        try:
            call(*args)
        except OSError as e:
            if e.errno != errno.ENOSPC or not self.disks_fill:
                raise
            content = None
        inode.content = content

    @staticmethod
    def write_and_close(fd, content):
        try:
            if content:
                assert os.write(fd, content) == len(content)
        finally:
            os.close(fd)

    def create(self):
        path, at = self.pick()
        name = self.random.choice(NAMES)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        exists = name in at
        fd = self.expect(errno.EEXIST if exists else None, os.open, path + "/" + name, flags)
        if exists:
            return
        content = bytes(self.random.randrange(256) for _ in range(self.random.choice((0, 9, 400))))
        at[name] = Inode(b"")
        self.change(at[name], content, self.write_and_close, fd, content)

    def make_directory(self):
        path, at = self.pick()
        name = self.random.choice(NAMES)
        self.expect(errno.EEXIST if name in at else None, os.mkdir, path + "/" + name)
        at.setdefault(name, {})

    def make_symlink(self):
        path, at = self.pick()
        name = self.random.choice(NAMES)
        self.expect(errno.EEXIST if name in at else None, os.symlink, "to/" + name,
                    path + "/" + name)
        at.setdefault(name, "to/" + name)

    def link(self):
        path, at = self.pick()
        to, there = self.pick()
        files = sorted(n for n, e in at.items() if isinstance(e, Inode))
        if not files:
            return
        name, new = self.random.choice(files), self.random.choice(NAMES)
        self.expect(errno.EEXIST if new in there else None, os.link, path + "/" + name,
                    to + "/" + new)
        if new not in there:
            there[new] = at[name]
            at[name].links += 1

    def unlink(self):
        path, at = self.pick()
        name = self.random.choice(NAMES)
        entry = at.get(name)
        if isinstance(entry, dict):
            want = errno.ENOTEMPTY if entry else None
            self.expect(want, os.rmdir, path + "/" + name)
            if entry:
                return
        else:
            self.expect(errno.ENOENT if entry is None else None, os.unlink, path + "/" + name)
            if isinstance(entry, Inode):
                entry.links -= 1
        at.pop(name, None)

    def rename(self):
        path, at = self.pick()
        name, new = self.random.choice(NAMES), self.random.choice(NAMES)
        source, target = at.get(name), at.get(new)
        want = None
        if source is None:
            want = errno.ENOENT
        elif name != new and isinstance(target, dict):
            want = errno.EISDIR if not isinstance(source, dict) else None
            if want is None and target:
                want = errno.ENOTEMPTY
        elif name != new and target is not None and isinstance(source, dict):
            want = errno.ENOTDIR
        self.expect(want, os.rename, path + "/" + name, path + "/" + new)
        if want is None and source is not target:
            if isinstance(target, Inode):
                target.links -= 1
            at[new] = at.pop(name)

    def append(self):
        path, at = self.pick()
        files = sorted(n for n, e in at.items() if isinstance(e, Inode))
        if not files:
            return
        name = self.random.choice(files)
        more = b"+%d" % self.operations
        content = at[name].content
        fd = os.open(path + "/" + name, os.O_WRONLY | os.O_APPEND)
        self.change(at[name], None if content is None else content + more, self.write_and_close,
                    fd, more)

    def truncate(self):
        path, at = self.pick()
        files = sorted(n for n, e in at.items() if isinstance(e, Inode))
        if not files:
            return
        name = self.random.choice(files)
        length = self.random.randrange(600)
        content = at[name].content
        if content is not None:
            content = content[:length].ljust(length, b"\0")
        self.change(at[name], content, os.truncate, path + "/" + name, length)

    def prune(self):
        """Removes what is below the top."""
        for name in [n for n, e in self.top.items() if isinstance(e, dict)]:
            shutil.rmtree(self.path + "/" + name)
            todo = [self.top.pop(name)]
            while todo:
                for entry in todo.pop().values():
                    if isinstance(entry, dict):
                        todo.append(entry)
                    elif isinstance(entry, Inode):
                        entry.links -= 1

    def compare(self):
        """The number of entries."""
        todo = [(self.path, self.top)]
        count = 0
        while todo:
            path, at = todo.pop()
            found = sorted(os.listdir(path))
            count += len(found)
            assert found == sorted(at), "%s holds %s, not %s" % (path, found, sorted(at))
            for name, entry in at.items():
                self.compare_entry(path + "/" + name, entry)
                if isinstance(entry, dict):
                    todo.append((path + "/" + name, entry))
        return count

    def compare_entry(self, path, entry):
        st = os.lstat(path)
        if isinstance(entry, dict):
            subs = sum(isinstance(e, dict) for e in entry.values())
            assert stat.S_ISDIR(st.st_mode), "%s is no directory" % path
            assert st.st_nlink == 2 + subs, "%s has %d links, not %d" % (path, st.st_nlink,
                                                                         2 + subs)
        elif isinstance(entry, str):
            assert os.readlink(path) == entry, "%s is another symlink" % path
        else:
            assert st.st_nlink == entry.links, "%s has %d links, not %d" % (path, st.st_nlink,
                                                                            entry.links)
            with open(path, "rb") as f:
                content = f.read()
            assert entry.content in (None, content), "%s: %d bytes, not the %d written" % (
                path, len(content), len(entry.content))

    def run(self):
        os.mkdir(self.path)
        actions = (self.create, self.make_directory, self.make_symlink, self.link, self.unlink,
                   self.rename, self.append, self.truncate)
        weights = (25, 10, 4, 8, 20, 20, 10, 5)
        compared = time.monotonic()
        while time.monotonic() < self.end:
            begin = time.monotonic()
            self.random.choices(actions, weights)[0]()
            self.operations += 1
            self.worst = max(self.worst, time.monotonic() - begin)
            if time.monotonic() - compared > 5:
                if self.compare() > COUNT_MAX:
                    self.prune()
                compared = time.monotonic()
        self.compare()


class Inode:
    def __init__(self, content):
        self.content, self.links = content, 1  # None: any


def child(directory, index, seconds, seed, out):
    tree = Tree("%s/p%d" % (directory, index), seed * 1000 + index, time.monotonic() + seconds)
    problem = None
    try:
        tree.run()
    except (AssertionError, OSError) as e:
        problem = "process %d, operation %d: %s" % (index, tree.operations, e)
    os.write(out, (json.dumps([tree.operations, tree.worst, problem]) + "\n").encode())


def main():
    directory, count, seconds, seed = sys.argv[1], *map(int, sys.argv[2:5])
    os.makedirs(directory, exist_ok=True)
    read, write = os.pipe()
    pids = []
    for index in range(count):
        pid = os.fork()
        if pid == 0:
            os.close(read)
            child(directory, index, seconds, seed, write)
            os._exit(0)
        pids.append(pid)
    os.close(write)
    with os.fdopen(read) as f:
        results = [json.loads(line) for line in f]
    for pid in pids:
        os.waitpid(pid, 0)
    problems = [r[2] for r in results if r[2]]
    if len(results) != count:
        problems.append("%d processes of %d ended early" % (count - len(results), count))
    for p in problems:
        print(p)
    print("%d changes by %d processes, longest pause %.2f s, %d problems" %
          (sum(r[0] for r in results), count, max((r[1] for r in results), default=0),
           len(problems)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
