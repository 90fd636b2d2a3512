#!/usr/bin/env python3
"""Trains every kind of reward model from scratch on real data and prints a table by cross-validation over the prompts of
all records of a set, five folds and three seeds: the mean of each figure, and by how much it is above what reads nothing
on the same folds, with 95% intervals (merit_train --cross-validate).

    bench/real_data.py BUILD_FOLDER DATA_FOLDER [--seeds N] [--bytes] [SET ...]

DATA_FOLDER holds a folder a set, each with train.jsonl and eval.jsonl, which are taken together. --bytes also trains the
models that read bytes, which takes hours. Settings are written down here and were not chosen by these figures."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

FOLDS = 5

BAG = ["--backbone", "bag_of_tokens", "--width", "16", "--tokenizer", "words:65536", "--lr", "0.01"]
WORDS = ["--backbone", "llama", "--hidden-size", "64", "--layers", "2", "--heads", "4", "--tokenizer", "words:16384"]
BYTES = ["--backbone", "llama", "--hidden-size", "64", "--layers", "2", "--heads", "4", "--tokenizer", "bytes"]
# Words have no line feed: what ends a step must be a word.
STEP_WORD = ["--step-separator", " endofstep "]

# folder: kind, options, and (model, its options) …
SETS = {
    "hh_harmless": ("preference", [], [("bag of words", BAG + ["--epochs", "2"]), ("transformer, words", WORDS + ["--epochs", "2"])]),
    "llmbar": ("preference", [], [("bag of words", BAG + ["--epochs", "4"]), ("transformer, words", WORDS + ["--epochs", "4"])]),
    "pandalm": ("judge", [], [("bag of words", BAG + ["--epochs", "4"]), ("transformer, words", WORDS + ["--epochs", "4"])]),
    "oasst_rankings": ("ranking", [],
                       [("bag of words", BAG + ["--epochs", "4"]), ("transformer, words", WORDS + ["--epochs", "4"])]),
    "finegrained_rankings": ("ranking", [], [("bag of words", BAG + ["--epochs", "4"]), ("transformer, words", WORDS + ["--epochs", "4"])]),
    "prometheus_ratings": ("ratings", ["--loss", "pairwise", "--margin", "rating:0.5"],
                           [("bag of words", BAG + ["--epochs", "8"]), ("transformer, words", WORDS + ["--epochs", "8"])]),
    "gsm8k_outcomes": ("outcome", [], [("bag of words", BAG + ["--epochs", "2"]), ("transformer, words", WORDS + ["--epochs", "4"]),
                                       ("transformer, bytes", BYTES + ["--epochs", "4"])]),
    "bigbench_mistake_steps": ("steps", [], [("bag of words", BAG + STEP_WORD + ["--epochs", "4"]),
                                             ("transformer, words", WORDS + STEP_WORD + ["--epochs", "4"]),
                                             ("transformer, bytes", BYTES + ["--epochs", "4"])]),
}


def spell(estimate, sign=""):
    low, high = estimate["low"], estimate["high"]
    return f"{estimate['value']:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def verdict(difference):
    return "above" if difference["low"] > 0 else "below" if difference["high"] < 0 else "not told apart"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("sets", nargs="*", metavar="SET")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--bytes", action="store_true")
    arguments = parser.parse_args()
    program = arguments.build / "examples" / "merit_train"
    environment = dict(os.environ, OMP_WAIT_POLICY=os.environ.get("OMP_WAIT_POLICY", "passive"))
    print(f"{FOLDS} folds of the prompts, {arguments.seeds} seeds.\n")
    print("| set | records | model | figure | value (95% interval) | beside it | its value | the model's less this | | s |")
    print("|---|---:|---|---|---|---|---:|---|---|---:|", flush=True)
    for name in arguments.sets or SETS:
        kind, options, models = SETS[name]
        files = [str(arguments.data / name / f"{part}.jsonl") for part in ("train", "eval")]
        for model, settings in models:
            if "bytes" in model and not arguments.bytes:
                continue
            command = [str(program), "--kind", kind, "--train", *files, "--max-tokens", "4096", "--cross-validate", str(FOLDS),
                       "--seeds", str(arguments.seeds), "--json", *options, *settings]
            begin = time.monotonic()
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode != 0:
                print(" ".join(command), done.stderr.strip().splitlines()[-1], sep="\n", file=sys.stderr)
                return 1
            seconds = time.monotonic() - begin
            result = json.loads(done.stdout)
            last = None
            for number, row in enumerate(result["figures"]):
                first, fresh = number == 0, row["figure"] != last
                last = row["figure"]
                cells = [name, str(result["records"]), model] if first else ["", "", ""]
                cells += [row["figure"], spell(row["model"])] if fresh else ["", ""]
                if "baseline" in row:
                    cells += [row["baseline"], f"{row['value']:.3f}", spell(row["difference"], "+"), verdict(row["difference"])]
                else:
                    cells += ["", "", "", ""]
                print(f"| {' | '.join(cells)} | {'%.0f' % seconds if first else ''} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
