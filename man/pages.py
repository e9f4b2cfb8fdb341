#!/usr/bin/env python3
"""pages.py - writes a manual page from what the program says of itself.

    pages.py C3FS VERSION PAGE OUTPUT

PAGE is c3fs.1, c3fs-admin.1, or c3fs-ROLE.8. Commands, options, settings and defaults are taken
from the help texts of the binary, so that a page cannot say anything else than they; what is
written here is only what a help text has no room for.
"""

import re
import subprocess
import sys

ROLE_NOTES = {
    "mgmtd": "Any number of instances run on one store; one of them is the primary, the others "
             "take over within seconds. Nothing works before init-cluster was run on the store "
             "(see c3fs-admin(1)); until then it waits and says so.",
    "meta": "Any number of instances run on one store, side by side. It keeps names, attributes "
            "and lengths; the bytes of files are with c3fs-storage(8).",
    "storage": "Each directory of target_paths is a disk. A directory belongs to one node of one "
               "cluster from its first use on and is used by one process at a time. A disk that "
               "fails takes its targets offline and nothing else.",
    "fuse": "Mounts the file system for the user whose token it has. It ends at SIGTERM or when it "
            "is unmounted; a mount that was left by a crash is cleared by the next start.",
    "bootstrap": "A task that ends when it is done. It does what is missing and may be repeated.",
}


def text(value):
    """Text as roff has it."""
    value = value.replace("\u2026", "...").replace("\\", "\\e")
    value = value.replace("-", "\\-").replace("'", "\\(aq")
    return "\n".join("\\&" + line if line[:1] == "." else line for line in value.split("\n"))


def heading(name):
    return ".SH %s\n" % name


def item(term, body):
    return ".TP\n.B %s\n%s\n" % (text(term), text(body) if body else "\\&")


def paragraph(body):
    return ".PP\n%s\n" % text(body)


def literal(body):
    return ".PP\n.nf\n.RS\n%s\n.RE\n.fi\n" % text(body)


def title(name, section, version):
    return '.TH %s %s "" "c3fs %s" "c3fs"\n' % (text(name.upper()), section, version)


class Pages:
    def __init__(self, binary, version):
        self.binary, self.version = binary, version

    def say(self, *words):
        done = subprocess.run([self.binary, *words], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            sys.exit("%s %s: %s" % (self.binary, " ".join(words), done.stderr))
        return done.stdout

    def options(self, help_text):
        """Items for the lines '  --name  what it does'."""
        found = re.findall(r"^  (-\S+(?: [A-Z]+)?) {2,}(.+)$", help_text, re.MULTILINE)
        return "".join(item(*pair) for pair in found)

    def settings(self, *words):
        """Items for what --print-config shows."""
        out, section, doc = "", "", ""
        for line in self.say(*words).split("\n"):
            if line.startswith("# "):
                doc = line[2:]
            elif re.match(r"\[.+\]$", line):
                section = line[1:-1] + "."
            elif " = " in line:
                key, value = line.split(" = ", 1)
                out += item(section + key, "%s%s(default %s)" % (doc, "\n" if doc else "", value))
                doc = ""
        return out

    def see_also(self, *names):
        return heading("SEE ALSO") + ",\n".join(text(name) for name in names) + "\n"

    def main_page(self):
        listed = self.say("help")
        summary = listed.split("\n")[0].split(" - ", 1)[1]
        out = title("c3fs", "1", self.version) + heading("NAME") + text("c3fs - " + summary) + "\n"
        out += heading("SYNOPSIS") + ".B c3fs\n" + text("COMMAND [ARGUMENT]...") + "\n"
        out += heading("DESCRIPTION") + text(
            "One program for all services of a cluster and for whoever manages it. The first "
            "argument chooses; a role is also chosen by the name that the program is called by "
            "(storage_main, admin_cli, ...).") + "\n"
        out += heading("COMMANDS")
        for name, what in re.findall(r"^  (\S+) +(.+)$", listed, re.MULTILINE):
            out += item(name, what)
        for name in ("up", "down", "status"):
            help_text = self.say(name, "--help")
            out += heading("OPTIONS OF C3FS " + name.upper())
            out += text(help_text.split("\n")[0].split(" - ", 1)[1]) + "\n"
            out += self.options(help_text)
        out += heading("ENVIRONMENT") + text(
            "C3FS_KEY sets a key of a role: C3FS_LOG_LEVEL for log.level. C3FS_ADMIN_CFG names the "
            "file that c3fs admin reads. Any other variable C3FS_... is refused.") + "\n"
        out += heading("EXIT STATUS") + text(
            "0; 1 after a failure; 2 for a command line that is wrong.") + "\n"
        return out + self.see_also("c3fs-admin(1)", "c3fs-mgmtd(8)", "c3fs-meta(8)",
                                   "c3fs-storage(8)", "c3fs-fuse(8)")

    def admin_page(self):
        help_text = self.say("admin", "--help")
        out = title("c3fs-admin", "1", self.version) + heading("NAME")
        out += text("c3fs-admin - " + help_text.split("\n")[0].split(" - ", 1)[1]) + "\n"
        out += heading("SYNOPSIS") + ".B c3fs admin\n"
        out += text(re.search(r"usage: c3fs admin (.*)", help_text).group(1)) + "\n"
        out += heading("DESCRIPTION") + text(
            "Runs one command, or several between ';', from its command line. Without one it reads "
            "them from the terminal, or one a line from standard input, where '#' begins a "
            "comment. Words are split at spaces; quotes keep them together.") + "\n"
        out += heading("OPTIONS") + self.options(help_text)
        out += heading("COMMANDS")
        for line in self.say("admin", "--cfg", "/dev/null", "help").strip().split("\n"):
            out += self.admin_command(line.split()[0])
        out += heading("SETTINGS") + text("Of the file of --cfg, and of --config.KEY.") + "\n"
        out += self.settings("admin", "--cfg", "/dev/null", "--dump-cfg")
        out += heading("EXIT STATUS") + text(
            "0 when every command succeeded, 2 when the first that failed was used wrongly, "
            "else 1. A failure is shown as 'Encounter error: NUMBER(NAME)' and a sentence.") + "\n"
        return out + self.see_also("c3fs(1)", "c3fs-mgmtd(8)", "c3fs-storage(8)")

    def admin_command(self, name):
        about, usage = self.say("admin", "--cfg", "/dev/null", "help", name).split("\n\nUsage: ")
        lines = usage.strip("\n").split("\n")
        what = [line for line in about.split("\n") if not line.startswith("  ")]
        examples = [line.strip() for line in about.split("\n") if line.startswith("  ")]
        out = ".TP\n.B %s\n%s\n" % (text(lines[0].strip()), text("\n".join(what)))
        for line in lines[1:]:
            argument, _, body = line.strip().partition(" ")
            out += ".RS\n" + item(argument, body.strip()) + ".RE\n"
        return out + "".join(".RS\n" + literal(line) + ".RE\n" for line in examples)

    def role_page(self, role):
        help_text = self.say(role, "--help")
        summary = help_text.split("\n")[0].split(" - ", 1)[1]
        out = title("c3fs-" + role, "8", self.version) + heading("NAME")
        out += text("c3fs-%s - %s" % (role, summary)) + "\n"
        out += heading("SYNOPSIS") + ".B c3fs %s\n" % role
        out += text(re.search(r"usage: c3fs \w+ (.*)", help_text).group(1)) + "\n"
        out += heading("DESCRIPTION") + text(ROLE_NOTES[role]) + "\n"
        out += heading("OPTIONS") + self.options(help_text)
        out += heading("SETTINGS") + text(
            "Each is also a variable, C3FS_ and the key in capitals with '_' for '.'. Later ones "
            "win: defaults, variables, the file of --cfg, --config.KEY.") + "\n"
        out += self.settings(role, "--print-config")
        out += heading("EXIT STATUS") + text(
            "0 after SIGTERM or SIGINT; 1 after a failure, with a line that says why; 2 for "
            "settings that are wrong.") + "\n"
        return out + self.see_also("c3fs(1)", "c3fs-admin(1)")

    def make(self, page):
        name = page.rsplit(".", 1)[0]
        if name == "c3fs":
            return self.main_page()
        return self.admin_page() if name == "c3fs-admin" else self.role_page(name[5:])


def main():
    _, binary, version, page, output = sys.argv
    made = Pages(binary, version).make(page)
    with open(output, "w", encoding="utf-8") as f:
        f.write(made)


if __name__ == "__main__":
    main()
