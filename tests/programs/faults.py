#!/usr/bin/env python3
"""Kills merit_train, or makes it fail, at its N-th system call that changes a file: what is there afterwards is whole, and
the run goes on to the same model.

By itself some of the calls, spread over all of them, in a few seconds; all of them with --all, the target `faults`.
"""
import errno
import os
import shutil
import subprocess
import sys
import tempfile

from helpers import ENVIRONMENT, content, program, whole, write_pairs

RUN = ["--train", "train.jsonl", "--eval", "eval.jsonl", "--backbone", "bag_of_tokens", "--width", "8", "--threads", "1",
       "--batch-size", "8", "--checkpoint-every", "1", "--evaluate-every", "1", "--patience", "9", "--out", "model"]


def train(library, *arguments, **fault):
    environment = dict(ENVIRONMENT, LD_PRELOAD=library, **fault)
    return subprocess.run([program("merit_train"), *RUN, *arguments], env=environment, capture_output=True, text=True,
                          timeout=120)


def clear():
    for name in os.listdir("."):
        if name.startswith("model"):
            shutil.rmtree(name) if os.path.isdir(name) else os.remove(name)


def problem(library, at, how, expected, resumes):
    """What is wrong after the fault, or None. `resumes`: the run was interrupted or had ended before."""
    told = train(library, *resumes, MERIT_FAULT_AT=str(at), MERIT_FAULT=how)
    if how == "kill" and told.returncode != -9:
        return f"was not killed: exit code {told.returncode}: {told.stderr}"
    if how != "kill" and told.returncode not in (0, 1, 2):
        return f"exit code {told.returncode}: {told.stderr}"
    if told.returncode in (1, 2) and "merit_train: " not in told.stderr:
        return f"says nothing of its failure: {told.stderr}"
    if os.path.exists("model"):
        whole("model")
    again = train(library, "--resume")
    if again.returncode != 0:
        return f"does not go on: {again.stderr}"
    if content("model", "model.safetensors") != expected:
        return "made another model"
    left = sorted(name for name in os.listdir(".") if name.startswith("model") and name not in ("model", "model.metrics.jsonl"))
    return f"left {left}" if left else None


def main():
    every = "--all" in sys.argv
    with tempfile.TemporaryDirectory(prefix="merit_faults_") as folder:
        library = os.path.join(folder, "fault.so")
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fault.c")
        built = subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", source, "-o", library, "-ldl"],
                               capture_output=True, text=True)
        if built.returncode != 0:
            print(f"SKIPPED: faults: no library to load before a program: {built.stderr}")
            return 77
        os.chdir(folder)
        write_pairs("train.jsonl", 24, 1)
        write_pairs("eval.jsonl", 8, 2)
        train(library, MERIT_FAULT_COUNT="count")
        expected = content("model", "model.safetensors")
        calls = int(content("count"))
        if calls < 50:
            print(f"FAILED: {calls} system calls were seen, expected a run's")
            return 1
        tried = failed = 0
        for number, how in enumerate(("kill", str(errno.ENOSPC), str(errno.EIO))):
            step = 1 if every else max(1, calls // 12)
            for at in range(1 + (0 if every else number * step // 3), calls + 1, step):
                clear()
                tried += 1
                try:
                    wrong = problem(library, at, how, expected, [])
                except (OSError, ValueError, AssertionError, subprocess.SubprocessError) as error:
                    wrong = f"{type(error).__name__}: {error}"
                if wrong:
                    failed += 1
                    print(f"FAILED: call {at} of {calls}, {how}: {wrong}", flush=True)
    print(f"{tried - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
