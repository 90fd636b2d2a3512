#!/usr/bin/env python3
"""Checks every source with clang-format. Usage: format.py [root of the project]

Releases of clang-format differ in details, so only the one that the sources are written with is asked.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

RELEASE = "14"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]).resolve()
    program = shutil.which(f"clang-format-{RELEASE}") or shutil.which("clang-format")
    if not program:
        print("SKIPPED: format: clang-format was not found")
        return 77
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    if not re.search(rf"version {RELEASE}\.", version):
        print(f"SKIPPED: format: clang-format is not release {RELEASE} ({version.strip()})")
        return 77
    sources = [path for top in ("include", "tests", "bench", "examples") for path in sorted((root / top).rglob("*"))
               if path.suffix in (".hpp", ".cpp", ".cuh", ".cu")]
    # Compared here and not with --dry-run, which in release 14 objects to a closing comment that it would not change. All at
    # once first: to start the program for each takes longer than its work.
    badly = []
    together = subprocess.run([program, *map(str, sources)], capture_output=True)
    if together.returncode != 0 or together.stdout != b"".join(path.read_bytes() for path in sources):
        for path in sources:
            result = subprocess.run([program, str(path)], capture_output=True)
            if result.returncode != 0 or result.stdout != path.read_bytes():
                badly.append(path)
                print(f"FAILED: {path.relative_to(root)}: run clang-format -i on it {result.stderr.decode()}")
    print(f"{0 if badly else 1} passed, {len(badly)} failed")
    return 1 if badly else 0


if __name__ == "__main__":
    sys.exit(main())
