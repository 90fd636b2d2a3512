#!/usr/bin/env python3
"""What bench/device/run.sh measured, both sides in one table beside the goals: reads the lines of JSON in files (all other lines
are passed over), prints Markdown. Where a side was measured several times, the median of its times counts, and of the peer's
ways the fastest.

    table.py LOG..."""

import json
import statistics
import sys
from collections import defaultdict

# (our workload, what the peer may do for the same records, times as fast that we mean to be)
COMPARED = (("dense", ("dense",), 1.2), ("shared", ("padded", "sorted"), 4.0), ("shared", ("packed",), 1.5),
            ("packed", ("packed",), None))
MFU_GOAL = 0.45
ERROR_GOAL = 1.2  # times PyTorch's own error: the smaller of its two ways; of losses, the further from float of the two
FLOATS_AGREE = 1e-3  # of a loss, before anything has been learned


def read(paths):
    lines = []
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            for text in file:
                if text.startswith("{"):
                    try:
                        lines.append(json.loads(text))
                    except json.JSONDecodeError:
                        pass  # cut off where a run was ended
    return lines


def percent(share):
    return "" if share is None else f"{100 * share:.1f}%"


def verdict(good):
    return "yes" if good else "**no**"


def steps(lines):
    """The table of steps."""
    times, facts = defaultdict(list), {}
    for line in lines:
        if "ms" in line:
            ours = line["side"].startswith("merit")
            key = line["model"], line["asked"], ours, line["workload"], line["way"]
            times[key].append(line["ms"])
            facts[key] = line
    rows = []
    for model, asked in sorted({key[:2] for key in times}):
        for workload, others, goal in COMPARED:
            mine = (model, asked, True, workload, "as it is")
            theirs = [key for key in times if key[:3] == (model, asked, False) and key[3] in others]
            if mine not in times:
                continue
            ms, line = statistics.median(times[mine]), facts[mine]
            mfu = None if line["mfu"] is None else line["mfu"] * line["ms"] / ms
            best = min(theirs, key=lambda key: statistics.median(times[key]), default=None)
            cells = [model, str(line["tokens"]), workload, f"{ms:.2f}", percent(mfu),
                     "" if line["memory_gb"] is None else f"{line['memory_gb']:.1f}"]
            met = [mfu is not None and mfu >= MFU_GOAL] if workload == "dense" else []
            wanted = ([f"MFU ≥ {percent(MFU_GOAL)}"] if workload == "dense" else []) + ([f"≥ {goal} ×"] if goal else [])
            if best is None:
                cells += ["not measured: " + " or ".join(others), "", "", "", ""]
            else:
                other, other_ms = facts[best], statistics.median(times[best])
                ratio = other_ms / ms
                cells += [f"{best[3]}, {best[4]}, {other['attention']}", f"{other_ms:.2f}",
                          percent(None if other["mfu"] is None else other["mfu"] * other["ms"] / other_ms),
                          "" if other["memory_gb"] is None else f"{other['memory_gb']:.1f}", f"{ratio:.2f} ×"]
                if goal:
                    met.append(ratio >= goal)
                if other["tokens"] != line["tokens"]:
                    cells[-1] += f" of other work: {other['tokens']} tokens"
            rows.append([*cells, ", ".join(wanted), "" if not met else "MFU unknown" if workload == "dense" and mfu is None else verdict(all(met))])
    if rows:
        print("| model | tokens | ours | ms | MFU | GB | PyTorch's best | ms | MFU | GB | PyTorch / ours | goal | met |")
        print("|---|---:|---|---:|---:|---:|---|---:|---:|---:|---:|---|---|")
        for row in rows:
            print("| " + " | ".join(row) + " |")


def curve(line):
    """How far the losses in bf16 are from those in float, on average."""
    return statistics.fmean(abs(a - b) for a, b in zip(line["losses"], line["losses_float"]))


def precision(lines):
    """The table of errors of bf16 against float."""
    checks = [line for line in lines if "check" in line]
    ours = {line["model"]: line for line in checks if line["check"].startswith("merit")}
    theirs = {(line["model"], line["precision"]): line for line in checks if not line["check"].startswith("merit")}
    if not checks:
        return
    print("\n| model | side | scores, error of bf16 | gradient | losses of 50 steps, mean distance | within 1.2 × PyTorch's |")
    print("|---|---|---:|---:|---:|---|")
    for model in sorted({line["model"] for line in checks}):
        peers = [line for (name, _), line in theirs.items() if name == model]
        mine = ours.get(model)
        for line in peers + ([mine] if mine else []):
            cells = [model, f"{line['check']}, {line['precision']}", f"{line['score_error']:.2e}", f"{line['gradient_error']:.2e}",
                     f"{curve(line):.2e}", ""]
            if line is mine and peers:
                within = [line[field] <= ERROR_GOAL * min(peer[field] for peer in peers) for field in ("score_error", "gradient_error")]
                within.append(curve(line) <= ERROR_GOAL * max(curve(peer) for peer in peers))
                cells[-1] = ", ".join(f"{name} {verdict(good)}" for name, good in zip(("scores", "gradient", "losses"), within))
                first = abs(line["losses_float"][0] - peers[0]["losses_float"][0])
                if first > FLOATS_AGREE:
                    cells[-1] = f"**no comparison**: in float the first losses differ by {first:.2e}"
            print("| " + " | ".join(cells) + " |")


def main():
    if len(sys.argv) < 2:
        print("usage: table.py LOG...", file=sys.stderr)
        return 2
    lines = read(sys.argv[1:])
    steps(lines)
    precision(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
