#!/usr/bin/env python3
"""Compiles the device backend with nvcc, warnings as errors, and reads from its report what each kernel of ours takes: on Hopper none may spill registers or have a stack, and as many blocks as a kernel counts on must fit a multiprocessor. Usage:
check_kernels.py --root=FOLDER [--include=FOLDER]... [--all] [--output=FILE]. Ends with 77 where nvcc is not found; a
device is not needed.

--all compiles the kernels' tests and bench, too, and for the portable list as well as for Hopper; --output keeps the program of those
tests, which runs them on a GPU."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

HOPPER = ["-gencode", "arch=compute_90a,code=sm_90a"]
PORTABLE = ["-gencode", "arch=compute_80,code=sm_80", "-gencode", "arch=compute_90,code=sm_90",
            "-gencode", "arch=compute_90,code=compute_90"]
# Registers of a thread that let a multiprocessor, with 65536 of them, hold the blocks that the kernel counts on. By the
# beginning of a kernel's name; the first that fits counts.
LIMITS = [
    ("AttentionKernel<Bf16, 64,", 255, "4 blocks of 64 threads"),
    ("AttentionKernel<Bf16, 128,", 255, "4 blocks of 64 threads"),
    ("AttentionQueryPass<Bf16, 64, true>", 200, "5 blocks of 64 threads"),
    ("AttentionQueryPass<Bf16, 64,", 255, "4 blocks of 64 threads"),
    ("AttentionQueryPass<Bf16, 128,", 255, "3 blocks of 64 threads"),
    ("AttentionKeyPass<Bf16, 64,", 255, "4 blocks of 64 threads"),
    ("AttentionKeyPass<Bf16, 128,", 255, "2 blocks of 128 threads"),
    ("AttentionDelta", 64, "8 blocks of 128 threads"),
    ("Attention", 255, "one block of 128 threads"),
    ("NormBackward", 128, "4 blocks of 128 threads"),
    ("", 64, "8 blocks of 128 threads, or 4 of 256"),
]
SPILLED_ELSEWHERE = 64  # bytes
AT_LEAST = 60  # kernels in the report, or it was not understood

# As in CMakeLists.txt, which has more architectures.
OPTIONS = ["-std=c++20", "-Werror", "all-warnings", "--expt-relaxed-constexpr", "-DMERIT_COMPILED", "-Xptxas", "-v", *HOPPER]


def kernels_of(report):
    """(name, architecture, stack, spilled bytes, registers) of each kernel of nvcc's report."""
    found = re.findall(r"Compiling entry function '(\w+)' for '(\w+)'\n.*\n\s+(\d+) bytes stack frame, (\d+) bytes spill stores, "
                       r"(\d+) bytes spill loads\nptxas info\s+: Used (\d+) registers", report)
    names = subprocess.run(["c++filt"], input="\n".join(row[0] for row in found), capture_output=True, text=True, check=True)
    for name, (_, architecture, stack, stores, loads, registers) in zip(names.stdout.splitlines(), found):
        name = re.sub(r"\w+::(v\w+::)?", "", name)
        ours = re.match(r"^void run_on_device<(.*)>\(.*\)$", name)
        if ours:  # and neither a functor's loop nor one of Thrust's
            yield ours[1].strip(), architecture, int(stack), int(stores) + int(loads), int(registers)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True, help="the project's folder")
    parser.add_argument("--include", action="append", default=[], help="where doctest is, and what else is needed")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    nvcc = shutil.which("nvcc")
    if not nvcc:
        print("SKIPPED: device_kernels: nvcc was not found")
        return 77

    includes = ["-I", os.path.join(arguments.root, "include"), "-I", os.path.join(arguments.root, "tests"),
                *[word for path in arguments.include for word in ("-isystem", path)]]
    nccl = os.path.join(os.path.dirname(os.path.realpath(nvcc)), "..", "include", "nccl.h")
    options = [*OPTIONS, *(["-DMERIT_USE_NCCL"] if os.path.exists(nccl) else [])]
    report = ""
    with tempfile.TemporaryDirectory() as folder:
        backend = os.path.join(folder, "backend.cu")
        with open(backend, "w", encoding="utf-8") as file:
            file.write('#include "merit/backend/thrust/cuda_system.cuh"\n#include "merit/run/device_losses.hpp"\n'
                       "template const merit::detail::AllDeviceLoops<merit::CudaSystem> merit::detail::device_loops<merit::CudaSystem>;\n")
        units = [[backend, "-c", "-o", os.path.join(folder, "backend.o")]]
        if arguments.all:
            units.append([os.path.join(arguments.root, "bench/device/kernels_bench.cu"), "-c", "-o", os.path.join(folder, "bench.o")])
        if arguments.all or arguments.output:
            units.append([os.path.join(arguments.root, "tests/backend/emulation/on_device.cu"), "-o",
                          arguments.output or os.path.join(folder, "on_device")])
        for unit in units:
            result = subprocess.run([nvcc, *options, *(PORTABLE if arguments.all else []), *includes, *unit],
                                    capture_output=True, text=True)
            if result.returncode != 0:
                print(f"FAILED: nvcc refuses {os.path.basename(unit[0])}:\n{result.stderr[-8000:]}{result.stdout[-2000:]}")
                print("0 passed, 1 failed")
                return 1
            report += result.stderr + result.stdout

    kernels = sorted(set(kernels_of(report)))
    failures = [] if len(kernels) >= AT_LEAST else [f"nvcc's report names {len(kernels)} kernels, expected at least {AT_LEAST}"]
    for name, architecture, stack, spilled, registers in kernels:
        limit, why = next((limit, why) for begin, limit, why in LIMITS if name.startswith(begin))
        print(f"{architecture:6} {registers:4} registers of {limit:3}, {stack} bytes of stack, {spilled} spilled: {name}")
        # Made for Hopper: on what came before, a few registers may be missing.
        if spilled > (0 if architecture == "sm_90a" else SPILLED_ELSEWHERE) or (stack > 0 and spilled == 0):
            failures.append(f"{name} ({architecture}) has a stack of {stack} bytes and spills {spilled}")
        if registers > limit:
            failures.append(f"{name} ({architecture}) takes {registers} registers, expected at most {limit}: {why}")
    for failure in failures:
        print("FAILED:", failure)
    print(f"{len(kernels)} passed, {len(failures)} failed" if not failures else f"0 passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
