#!/usr/bin/env python3
"""Checks that each header compiles alone, without warnings, and leaves no macro behind but MERIT_ ones."""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
from pathlib import Path

STRICT = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]


def run_compiler(command, text):
    return subprocess.run(command, input=text, capture_output=True, text=True)


def first_errors(output, count=8):
    lines = output.splitlines()
    chosen = [line for line in lines if "error" in line or "warning" in line] or lines
    return "\n    ".join(chosen[:count])


def macros_left_behind(log, folder):
    """Names defined, and not undefined again, in files under `folder`, from the output of -E -dD."""
    current = ""
    left = {}
    for line in log.splitlines():
        marker = re.match(r'# \d+ "(.*?)"', line)
        if marker:
            current = marker.group(1)
        elif current.startswith(folder):
            define = re.match(r"#\s*define (\w+)", line)
            undefine = re.match(r"#\s*undef (\w+)", line)
            if define:
                left[define.group(1)] = current
            elif undefine:
                left.pop(undefine.group(1), None)
    return left


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", action="append", required=True)
    parser.add_argument("--include", required=True, help="the folder that holds merit/")
    parser.add_argument("--system-include", action="append", default=[])
    arguments = parser.parse_args()

    folder = Path(arguments.include).resolve()
    headers = sorted(path.relative_to(folder).as_posix() for path in folder.glob("merit/**/*.hpp"))
    if not headers:
        sys.exit(f"no headers found under {folder}/merit")
    paths = [f"-I{folder}"]
    for system in arguments.system_include:
        paths += ["-isystem", system]

    # Twice in one unit: a header without include guard fails.
    def alone(job):
        compiler, header = job
        text = f'#include "{header}"\n#include "{header}"\n'
        return job, run_compiler([compiler, *STRICT, *paths, "-fsyntax-only", "-x", "c++", "-"], text)

    passed = failed = 0
    jobs = [(compiler, header) for header in headers for compiler in arguments.compiler]
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for (compiler, header), result in pool.map(alone, jobs):
            if result.returncode == 0:
                passed += 1
            else:
                failed += 1
                print(f"FAILED: {header} alone with {compiler}:\n    {first_errors(result.stderr)}")

    everything = "".join(f'#include "{header}"\n' for header in headers)
    for compiler in arguments.compiler:
        log = run_compiler([compiler, "-std=c++20", *paths, "-E", "-dD", "-x", "c++", "-"], everything)
        foreign = {name: file for name, file in macros_left_behind(log.stdout, str(folder)).items()
                   if not name.startswith("MERIT_")}
        if log.returncode == 0 and not foreign:
            passed += 1
            continue
        failed += 1
        if log.returncode != 0:
            print(f"FAILED: all headers in one unit with {compiler}:\n    {first_errors(log.stderr)}")
        for name, file in foreign.items():
            print(f"FAILED: {file} leaves the macro {name} behind; macros of ours begin with MERIT_")

    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
