#!/usr/bin/env python3
"""Compiles with nvcc, warnings as errors, the .cu files here, in which what says MERIT_CALLABLE is called in kernels. Usage:
check_device.py --include=FOLDER. Ends with 77 where nvcc is not found; a device is not needed. check_kernels.py compiles the
device backend.

Each file here is compiled again with MERIT_TEST_HOST_ONLY, by which a kernel calls a function of the host's alone, and must be
refused: a compiler that lets it pass shows nothing."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def compile_errors(nvcc, include, source, folder, *options):
    """What nvcc says where it refuses a file, or nothing."""
    command = [nvcc, "-std=c++20", "-Werror", "all-warnings", "-I", include, "-c", str(source),
               "-o", os.path.join(folder, "out.o"), *options]
    result = subprocess.run(command, capture_output=True, text=True)
    return "" if result.returncode == 0 else result.stderr + result.stdout or "nvcc failed without a word"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--include", required=True, help="the folder that holds merit/")
    include = parser.parse_args().include
    nvcc = shutil.which("nvcc")
    if not nvcc:
        print("SKIPPED: device: nvcc was not found")
        return 77
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted(Path(__file__).parent.glob("*.cu")):
            errors = compile_errors(nvcc, include, source, folder)
            refusal = compile_errors(nvcc, include, source, folder, "-DMERIT_TEST_HOST_ONLY")
            for good, what in ((not errors, f"does not compile:\n{errors}"),
                               ("__host__ function" in refusal, f"a host's function in a kernel gives: {refusal}")):
                passed += good
                failed += not good
                if not good:
                    print(f"FAILED: {source.name}: {what}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
