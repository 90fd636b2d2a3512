#!/usr/bin/env python3
"""Compiles each header under include/merit as a unit of its own, there twice, under strict warnings as errors."""

import argparse
import concurrent.futures
import os
import subprocess
import sys
from pathlib import Path

STRICT = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]


def first_errors(output, count=8):
    lines = output.splitlines()
    chosen = [line for line in lines if "error" in line or "warning" in line] or lines
    return "\n    ".join(chosen[:count])


def asked(description, compilers):
    """What both checks are asked: (the arguments, the folder that holds merit/, the headers under it, the include paths)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--compiler", action="append", required=True, help=compilers)
    parser.add_argument("--include", required=True, help="the folder that holds merit/")
    parser.add_argument("--system-include", action="append", default=[])
    parser.add_argument("--instantiate", action="store_true", help="of check_together.py: in twice the time, what headers instantiate")
    arguments = parser.parse_args()

    folder = Path(arguments.include).resolve()
    headers = sorted(path.relative_to(folder).as_posix() for path in folder.glob("merit/**/*.hpp"))
    if not headers:
        sys.exit(f"no headers found under {folder}/merit")
    paths = [f"-I{folder}"]
    for system in arguments.system_include:
        paths += ["-isystem", system]
    return arguments, folder, headers, paths


def main():
    arguments, _, headers, paths = asked(__doc__, "compiles each header")
    compilers = arguments.compiler

    def compiled(job):
        header, compiler = job
        text = f'#include "{header}"\n#include "{header}"\n'  # one without include guard fails
        return job, subprocess.run([compiler, *STRICT, *paths, "-fsyntax-only", "-x", "c++", "-"], input=text,
                                   capture_output=True, text=True, check=False)

    passed = failed = 0
    jobs = [(header, compiler) for header in headers for compiler in compilers]
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for (header, compiler), result in pool.map(compiled, jobs):
            if result.returncode == 0:
                passed += 1
            else:
                failed += 1
                print(f"FAILED: {header} alone with {compiler}:\n    {first_errors(result.stderr)}")

    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
