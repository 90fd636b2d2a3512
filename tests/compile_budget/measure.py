#!/usr/bin/env python3
"""Compiles units with -O2 and compares their cost with the budget on their first line: the processor time as a
multiple of yardstick.cpp's, measured beside it, and the peak memory of the compiler."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path


def compile_cost(command):
    """(exit status, errors, processor seconds, peak megabytes) of a command and its children."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, errors, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--include", required=True)
    parser.add_argument("--system-include", action="append", default=[])
    parser.add_argument("paths", nargs="+", help=".cpp files, or folders of them")
    arguments = parser.parse_args()

    options = ["-std=c++20", "-O2", f"-I{arguments.include}"]
    for system in arguments.system_include:
        options += ["-isystem", system]
    sources = []
    for path in map(Path, arguments.paths):
        sources += sorted(path.glob("*.cpp")) if path.is_dir() else [path]
    sources = [source for source in sources if source.name != "yardstick.cpp"]
    if not sources:
        print("FAILED: there are no units to measure")
        return 1

    def cost(source):
        """(errors or None, processor seconds, peak megabytes) of one run."""
        status, errors, seconds, megabytes = compile_cost(
            [arguments.compiler, *options, "-c", str(source), "-o", os.devnull])
        return errors if status != 0 else None, seconds, megabytes

    yardstick_source = Path(__file__).parent / "yardstick.cpp"

    failed = 0
    for source in sources:
        budget = re.match(r"// budget: ([\d.]+) x yardstick, ([\d.]+) MB", source.read_text())
        if not budget:
            failed += 1
            print(f'FAILED: {source.name}: its first line is not "// budget: FACTOR x yardstick, MEGABYTES MB"')
            continue
        factor_allowed, megabytes_allowed = map(float, budget.groups())
        # Each run beside one of the yardstick, so that what else runs disturbs both; one that is over is run again, for the
        # less disturbed counts.
        runs = []
        while True:
            runs.append((cost(yardstick_source), cost(source)))
            errors = next((run[0] for pair in runs for run in pair if run[0] is not None), None)
            factor, seconds = min((unit[1] / yardstick[1], unit[1]) for yardstick, unit in runs)
            megabytes = max(unit[2] for _, unit in runs)
            if errors is not None or factor <= factor_allowed or len(runs) == 2:
                break
        print(f"{source.name}: {seconds:.2f} s, {factor:.2f} x yardstick of {factor_allowed:g}, "
              f"{megabytes:.0f} MB of {megabytes_allowed:g} MB")
        if errors is not None:
            print(f"FAILED: {source.name} or yardstick.cpp does not compile:\n{errors[:2000]}")
        elif factor > factor_allowed or megabytes > megabytes_allowed:
            print(f"FAILED: {source.name} is over its budget")
        else:
            continue
        failed += 1
    print(f"{len(sources) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
