#!/usr/bin/env python3
"""Reads the JSON lines of all runs, checks that all sides learned alike, and prints a Markdown table of medians."""

import json
import statistics
import sys

REFERENCE = "merit, shared"
TOLERANCE = 1e-3  # relative, of the loss at every step


def main():
    sides = {}
    for line in sys.stdin:
        run = json.loads(line)
        sides.setdefault(run["workload"], {}).setdefault(run["side"], []).append(run)

    failed = False
    for workload, runs in sides.items():
        print(f"\nWorkload `{workload}`: {runs[REFERENCE][0]['records']} pairs a step, "
              f"{runs[REFERENCE][0]['record_tokens']} tokens in them, {runs[REFERENCE][0]['threads']} threads.\n")
        print("| side | tokens computed | ms a step | record tokens/s | GFLOP/s | time / merit's |")
        print("|---|---:|---:|---:|---:|---:|")
        seconds = {side: statistics.median(s for run in all_runs for s in run["seconds"])
                   for side, all_runs in runs.items()}
        for side, all_runs in runs.items():
            run, time = all_runs[0], seconds[side]
            speed = f"{run['operations'] / time * 1e-9:.0f}" if "operations" in run else ""
            print(f"| {side} | {run['tokens']} | {time * 1e3:.0f} | {run['record_tokens'] / time:.0f} | {speed} "
                  f"| {time / seconds[REFERENCE]:.2f} |")
        expected = runs[REFERENCE][0]["losses"]
        worst = max(abs(found - wanted) / abs(wanted) for all_runs in runs.values() for run in all_runs
                    for found, wanted in zip(run["losses"], expected))
        print(f"\nLoss from {expected[0]:.4f} to {expected[-1]:.4f} in {len(expected)} steps; "
              f"largest relative difference between the sides {worst:.1e}.")
        if not worst <= TOLERANCE:
            failed = True
            print(f"FAILED: the sides do not compute the same: expected at most {TOLERANCE:g}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
