"""report.py - the table of a run: medians, ratios, device bytes, CPU time, memory.

    python3 bench/report.py FILE     its rows as Markdown, for docs/performance.md
"""

import json
import sys

from measure import GIB, MIB, median

PLACES = ["raw", "pass", "c3fs"]


def figure(row, place, key="value"):
    return median([run.get(key) for run in row["runs"].get(place, [])])


def text_of(value, unit):
    if value is None:
        return "-"
    if unit == "bytes/s":
        return "%.0f MB/s" % (value / 1e6)
    return "%.0f %s" % (value, unit)


def ratio(value, to):
    return "%.2f" % (value / to) if value is not None and to else "-"


def device_multiple(row, place):
    """Device bytes as a multiple of the bytes asked for: 'read/written'."""
    runs = row["runs"].get(place, [])
    pairs = []
    for key in ("device_read_bytes", "device_written_bytes"):
        pairs.append(median([r[key] / r["bytes"] for r in runs
                             if r.get("bytes") and r.get(key) is not None]))
    if None in pairs:
        return "-"
    return "%.1f/%.1f" % tuple(pairs)


def cpu_text(row, place):
    """CPU seconds of the place's processes for each GiB, or microseconds for each operation."""
    runs = row["runs"].get(place, [])
    each = median([r.get("cpu_us_each") for r in runs])
    if each is not None:
        return "%.0f us" % each if each else "-"
    per_gib = median([r["cpu_seconds"] * GIB / r["bytes"] for r in runs
                      if r.get("bytes") and "cpu_seconds" in r])
    return "%.2f s" % per_gib if per_gib else "-"


def print_rows(rows):
    head = ["what", "raw disk", "pass-thr.", "c3fs", "/raw", "/pass", "cpu pass", "cpu c3fs",
            "device r/w: raw", "pass", "c3fs"]
    lines = [head]
    for row in rows:
        raw, through, own = (figure(row, p) for p in PLACES)
        lines.append([row["what"]] + [text_of(v, row["unit"]) for v in (raw, through, own)] +
                     [ratio(own, raw), ratio(own, through)] +
                     [cpu_text(row, p) for p in PLACES[1:]] +
                     [device_multiple(row, p) for p in PLACES])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                        for i, (cell, w) in enumerate(zip(line, widths))).rstrip())


def print_goals(rows):
    """The ratios that docs/performance.md and the design name as goals."""
    by_name = {row["name"]: row for row in rows}

    def show(name, value, goal):
        if value is not None:
            print("  %-58s %6.2f   goal %s" % (name, value, goal))

    def value(name, place="c3fs"):
        return figure(by_name[name], place) if name in by_name else None

    def quotient(a, b, factor=1.0):
        return a * factor / b if a is not None and b else None

    print("\ngoals")
    for name in ("seq-read", "seq-read-direct"):
        show("%s / pass-through" % name, quotient(value(name), value(name, "pass")), "0.9")
    for name in ("seq-write", "seq-write-direct"):
        show("%s / (raw / 3)" % name, quotient(value(name), value(name, "raw"), 3), "0.9")
    show("seq-read / loopback", quotient(value("seq-read-direct"), value("loopback", "raw")), "0.8")
    for phase in ("create", "stat", "rename", "unlink"):
        name = "names-" + phase
        show("%s / pass-through" % name, quotient(value(name), value(name, "pass")), "1")
    show("creates a second through the mount", value("names-create"), "3000")
    show("creates a second through the client library", value("client-32-create"), "50000")


def print_memory(memory):
    print("\nresident memory (without file pages) after all of it")
    for name, size in memory["resident_bytes"].items():
        print("  %-16s %7.1f MiB" % (name, size / MIB))
    print("  %d replicas of chunks more: %.1f MiB in the storages, %.0f bytes each, "
          "%.1f MiB for 10^5" % (memory["chunk_replicas_added"],
                                 memory["storage_bytes_added"] / MIB,
                                 memory["bytes_per_chunk_replica"],
                                 memory["bytes_per_100000_chunk_replicas"] / MIB))


def print_report(results):
    loads = [run["load"] for row in results["rows"] for runs in row["runs"].values()
             for run in runs if "load" in run]
    print("c3fs %s, %d processes, ready in %.2f s; %d CPUs, kernel %s, device %s; files of %d MiB, "
          "median of %d; %.0f s" % (
              results["commit"], results["process_count"], results["start_seconds"],
              results["host"]["cpus"], results["host"]["kernel"], results["host"]["device"],
              results["size_bytes"] // MIB, results["repetitions"], results["seconds"]))
    if loads:
        print("load average: %.1f to %.1f%s" % (
            min(loads), max(loads), "" if max(loads) < 2 + results["host"]["cpus"]
            else " - others were busy: do not trust these figures"))
    for place, why in results["missing"].items():
        print("without %s: %s" % (place, why))
    print()
    print_rows(results["rows"])
    print_goals(results["rows"])
    if results["memory"]:
        print_memory(results["memory"])


def print_markdown(results):
    """The rows as docs/performance.md has them."""
    print("| work | raw disk | pass-through | c3fs | / raw | / pass-through | CPU of c3fs | "
          "device read/written |")
    print("|---|---|---|---|---|---|---|---|")
    for row in results["rows"]:
        raw, through, own = (figure(row, p) for p in PLACES)
        cells = [row["what"]] + [text_of(v, row["unit"]) for v in (raw, through, own)] + \
            [ratio(own, raw), ratio(own, through), cpu_text(row, "c3fs"),
             device_multiple(row, "c3fs")]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print_markdown(json.load(file))
