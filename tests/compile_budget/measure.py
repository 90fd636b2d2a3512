#!/usr/bin/env python3
"""Compiles units with -O2 and compares processor time and peak memory with the budget on their first line."""

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
    if not sources:
        print("no units to measure: skipped")
        return 77

    failed = 0
    for source in sources:
        budget = re.match(r"// budget: ([\d.]+) s, ([\d.]+) MB", source.read_text())
        if not budget:
            failed += 1
            print(f'FAILED: {source.name}: its first line is not "// budget: SECONDS s, MEGABYTES MB"')
            continue
        seconds_allowed, megabytes_allowed = map(float, budget.groups())
        status, errors, seconds, megabytes = compile_cost(
            [arguments.compiler, *options, "-c", str(source), "-o", os.devnull])
        print(f"{source.name}: {seconds:.1f} s of {seconds_allowed:g} s, {megabytes:.0f} MB of {megabytes_allowed:g} MB")
        if status != 0:
            print(f"FAILED: {source.name} does not compile:\n{errors[:2000]}")
        elif seconds > seconds_allowed or megabytes > megabytes_allowed:
            print(f"FAILED: {source.name} is over its budget")
        else:
            continue
        failed += 1
    print(f"{len(sources) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
