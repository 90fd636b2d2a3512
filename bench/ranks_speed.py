#!/usr/bin/env python3
"""Steps of one process with several threads beside steps of as many ranks of one thread: time and memory as ratios.

Usage: ranks_speed.py PROGRAMS [--ranks N] [--steps N] [--rounds N] [--hidden-size N] [--layers N] [--words N] [--batch-size N]
PROGRAMS is the folder of the built programs. Each round trains the same model on the same pairs both ways, the order swapped from
round to round: `merit_train --threads N`, and `mpirun -n N merit_train --threads 1`, on the same cores. The time of a step is the
median of those of all rounds without each run's first; memory is the largest of a process, and of all ranks together.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import time

WORDS = "the a of and water fire is wet cold answer question reason because model reward better worse step proof".split()
MPI = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMP_WAIT_POLICY="passive")


def pairs(path, count, words, seed=1):
    rng = random.Random(seed)

    def text(most):
        return " ".join(rng.choices(WORDS, k=rng.randrange(most // 4, most)))

    with open(path, "w", encoding="utf-8") as file:
        for _ in range(count):
            file.write(json.dumps({"prompt": text(words), "chosen": " " + text(words), "rejected": " " + text(words)}) + "\n")


def largest_memory(process):
    """Peak MiB of a process, or of each that mpirun has started, read until it ends."""
    peaks = {}
    while process.poll() is None:
        started = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False).stdout
        for pid in started.split() or [process.pid]:
            try:
                with open(f"/proc/{pid}/status", encoding="utf-8") as file:
                    peaks[pid] = max(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
            except (OSError, ValueError):
                pass  # it has ended
        time.sleep(0.2)
    if process.args[0] == "mpirun":
        peaks.pop(process.pid, None)
    return sorted(peak / 1024 for peak in peaks.values())


def train(command, metrics):
    process = subprocess.Popen(command, env=MPI, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    memory = largest_memory(process)
    if process.returncode != 0:
        raise SystemExit(process.stderr.read())
    steps = [event for event in map(json.loads, open(metrics, encoding="utf-8")) if event["event"] == "step"]
    return [step["seconds"] for step in steps[1:]], memory, [step["loss"] for step in steps], sum(step["tokens"] for step in steps)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("programs")
    for option, usual in (("ranks", 2), ("steps", 8), ("rounds", 4), ("hidden-size", 576), ("layers", 8), ("words", 60), ("batch-size", 16)):
        parser.add_argument(f"--{option}", type=int, default=usual)
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        pairs("train.jsonl", o.steps * o.batch_size, o.words)
        common = [f"{os.path.abspath(o.programs)}/merit_train", "--train", "train.jsonl", "--hidden-size", str(o.hidden_size), "--layers",
                  str(o.layers), "--batch-size", str(o.batch_size), "--max-steps", str(o.steps), "--no-reward-statistics", "--overwrite"]
        ways = {"one": common + ["--threads", str(o.ranks), "--out", "one"],
                "ranks": ["mpirun", "--oversubscribe", "-n", str(o.ranks), *common, "--threads", "1", "--out", "ranks"]}
        seconds, memory, losses, tokens = {"one": [], "ranks": []}, {}, {}, 0
        for round_ in range(o.rounds):
            for way in list(ways)[::-1 if round_ % 2 else 1]:
                took, memory[way], losses[way], tokens = train(ways[way], f"{way}.metrics.jsonl")
                seconds[way] += took
        one, ranks = statistics.median(seconds["one"]), statistics.median(seconds["ranks"])
        apart = max(abs(a - b) for a, b in zip(losses["one"], losses["ranks"]))
        print(f"{o.layers} layers of {o.hidden_size}, {o.batch_size} pairs and {tokens / o.steps:.0f} tokens a step, {o.steps} steps, "
              f"{o.rounds} rounds")
        print(f"one process of {o.ranks} threads: {one:.3f} s a step, {memory['one'][-1]:.0f} MiB")
        print(f"{o.ranks} ranks of one thread: {ranks:.3f} s a step, {memory['ranks'][-1]:.0f} MiB the largest, {sum(memory['ranks']):.0f} "
              "MiB together")
        print(f"the ranks take {ranks / one:.3f} of the time; losses at most {apart:.1e} apart")


if __name__ == "__main__":
    main()
