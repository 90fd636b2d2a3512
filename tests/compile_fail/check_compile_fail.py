#!/usr/bin/env python3
"""Compiles each .cpp of a folder and checks that it fails with the message named on its first line."""

import argparse
import collections
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path


def problem(compiler, options, source):
    """What is wrong with the outcome of compiling `source`, or None."""
    first_line = source.read_text().partition("\n")[0].strip()
    result = subprocess.run([compiler, "-std=c++20", "-fsyntax-only", *options, str(source)],
                            capture_output=True, text=True)
    if first_line == "// compiles":
        return None if result.returncode == 0 else f"should compile, but:\n{result.stderr[:2000]}"
    if not first_line.startswith("// expect: "):
        return 'its first line is neither "// expect: TEXT" nor "// compiles"'
    expected = first_line.removeprefix("// expect: ").strip()
    if result.returncode == 0:
        return "compiles, but must not"
    errors = [line for line in result.stderr.splitlines() if "error:" in line]
    if not any(expected in line for line in errors):
        return f'fails without the text "{expected}"; its errors are:\n    ' + "\n    ".join(errors[:6])
    ours = [line for line in errors if "merit: " in line]
    if len(ours) > 1:
        return f"says {len(ours)} sentences of merit's, expected one:\n    " + "\n    ".join(ours)
    return None


def precompiled(compiler, options, sources, folder):
    """Options that bring what half of the sources or more include, read once: most of the time goes there."""
    included = collections.Counter(header for source in sources
                                   for header in set(re.findall(r'^#include "(.+)"', source.read_text(), re.MULTILINE)))
    common = sorted(header for header, count in included.items() if 2 * count >= len(sources))
    if not common or len(sources) < 4:
        return []
    prefix = Path(folder) / Path(compiler).name / "common.hpp"
    prefix.parent.mkdir()
    prefix.write_text("".join(f'#include "{header}"\n' for header in common))
    subprocess.run([compiler, "-std=c++20", *options, "-x", "c++-header", str(prefix), "-o", f"{prefix}.gch"], check=True)
    return ["-include", str(prefix)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", action="append", required=True)
    parser.add_argument("--include", required=True)
    parser.add_argument("--system-include", action="append", default=[])
    parser.add_argument("folder")
    arguments = parser.parse_args()

    options = [f"-I{arguments.include}"]
    for system in arguments.system_include:
        options += ["-isystem", system]
    sources = sorted(Path(arguments.folder).glob("*.cpp"))
    if not sources:
        sys.exit(f"no .cpp files in {arguments.folder}")
    failed = 0
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        common = {compiler: precompiled(compiler, options, sources, folder) for compiler in arguments.compiler}
        jobs = [(compiler, [*options, *common[compiler]], source) for source in sources for compiler in arguments.compiler]
        for (compiler, _, source), text in zip(jobs, pool.map(lambda job: problem(*job), jobs)):
            if text:
                failed += 1
                print(f"FAILED: {source.name} with {compiler}: {text}")
    print(f"{len(jobs) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
