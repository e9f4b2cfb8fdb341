"""source.py - the tracked files of a tree, and C text without its comments and literals."""

import fnmatch
import os
import re

SKIPPED_DIRECTORIES = {".git", "__pycache__", "subprojects", "node_modules"}
TEXT_SUFFIXES = (".c", ".h", ".S", ".py", ".sh", ".build", ".md", ".txt", ".toml", ".yml", ".yaml",
                 ".service", ".scd")
C_SUFFIXES = (".c", ".h")

_LITERALS = re.compile(
    r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)


class File:
    """One file: its path from the root, its text, for C its code without comments and literals."""

    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), "rb") as f:
            self.raw = f.read()
        self.text = self.raw.decode("utf-8", "replace")
        self.lines = self.text.split("\n")
        self.is_c = path.endswith(C_SUFFIXES)
        self._code = None

    @property
    def code(self):
        """The text with comments and literals blanked out, line by line in the same places."""
        if self._code is None:
            self._code = _LITERALS.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), self.text)
        return self._code

    @property
    def module(self):
        """The module that a file below src belongs to: base, ..., main."""
        parts = self.path.split("/")
        if parts[0] == "src":
            return parts[1] if len(parts) > 2 else "main"
        return None

    @property
    def is_test(self):
        return self.path.endswith("_test.c") or self.path.startswith(("tests/", "sim/", "fuzz/"))


def matches(path, pattern):
    return fnmatch.fnmatchcase(path, pattern)


def is_script(root, path):
    if "." in os.path.basename(path):
        return False
    with open(os.path.join(root, path), "rb") as f:
        return f.read(2) == b"#!"


def read_tree(root):
    """Every text file of ours below @root, in order of path. Build directories are left out."""
    files = []
    for directory, names, file_names in os.walk(root):
        names[:] = sorted(n for n in names if n not in SKIPPED_DIRECTORIES and not (
            directory == root and n.startswith("build")))
        for name in sorted(file_names):
            path = os.path.relpath(os.path.join(directory, name), root)
            if "/corpus/" in path or os.path.islink(os.path.join(root, path)):
                continue
            if path.endswith(TEXT_SUFFIXES) or is_script(root, path):
                files.append(File(root, path))
    return files
