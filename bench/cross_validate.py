#!/usr/bin/env python3
"""Accuracy on preferences by cross-validation over prompts: a model trained by merit_train with the options given,
beside a bag of words and the length of the completions on the same held-out pairs.

    bench/cross_validate.py PROGRAMS WORK --data FILE ... [--folds 5] [--run 0 1 ...] -- OPTIONS OF merit_train
    bench/cross_validate.py PROGRAMS WORK --data FILE ... --report

Records with equal prompts stay together: the fold of a prompt is a hash of it. Each fold trains on the others and scores
the held-out pairs by merit_score; what it found is kept in WORK, so that folds can be run one at a time and reported at any
time. Accuracies are over all pairs held out, with 95% intervals by a bootstrap over prompts; a tie is a half, and so is a
pair that the model drops."""

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

# As in real_data.py, where these were chosen with a part of hh_harmless in view.
BAG = ["--backbone", "bag_of_tokens", "--width", "16", "--tokenizer", "words:65536", "--lr", "0.01", "--epochs", "2",
       "--max-tokens", "4096"]
RESAMPLES = 4000


def read_records(paths):
    records = []
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            records += [json.loads(line) for line in lines if line.strip()]
    return records


def prompt_of(record):
    return json.dumps(record.get("prompt", ""), ensure_ascii=False)


def fold_of(record, folds, seed):
    digest = hashlib.sha256(f"{seed} {prompt_of(record)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % folds


def length_of(completion):
    """Characters, of a conversation those of all its messages."""
    if isinstance(completion, str):
        return len(completion)
    return sum(len(message.get("content") or "") for message in completion)


def won(chosen, rejected):
    return 0.5 if chosen == rejected else float(chosen > rejected)


def run(command):
    environment = dict(os.environ, OMP_WAIT_POLICY=os.environ.get("OMP_WAIT_POLICY", "passive"))
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=environment)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr.strip()[-2000:]}")
    return done.stdout


def write_lines(path, records):
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")


def train_and_judge(arguments, learned, held_out, out, options):
    """What a model trained on `learned` makes of each pair of `held_out`, and what it cost."""
    common = ["--threads", arguments.threads] if arguments.threads else []
    begin = time.monotonic()
    result = json.loads(run([arguments.programs / "merit_train", "--train", learned, "--out", out, "--overwrite",
                             "--checkpoint-every", "0", "--json", *common, *options]))
    scored = run([arguments.programs / "merit_score", "--model", out, "--json", *common, held_out])
    outcomes, dropped = [], 0
    for line in scored.splitlines():
        scores = json.loads(line)
        if scores["chosen"] is None:
            dropped += 1
            outcomes.append(0.5)
        else:
            outcomes.append(won(scores["chosen"], scores["rejected"]))
    if arguments.confirm:
        confirm(arguments, out, held_out, outcomes, dropped, common)
    return {"outcomes": outcomes, "dropped": dropped, "steps": result["steps"], "tokens": result["tokens"],
            "training_seconds": result["seconds"], "seconds": time.monotonic() - begin}


def confirm(arguments, model, held_out, outcomes, dropped, common):
    """merit_evaluate must find the same accuracy."""
    report = json.loads(run([arguments.programs / "merit_evaluate", "--model", model, "--json", *common, held_out]))
    ours = (sum(outcomes) - 0.5 * dropped) / (len(outcomes) - dropped)
    if abs(report["accuracy"]["value"] - ours) > 1e-9:
        raise SystemExit(f"{model}: merit_evaluate finds an accuracy of {report['accuracy']['value']}, expected {ours}")


def run_fold(arguments, records, fold, description):
    folds = [fold_of(record, arguments.folds, arguments.seed) for record in records]
    learned, held_out = arguments.work / f"fold-{fold}.train.jsonl", arguments.work / f"fold-{fold}.held_out.jsonl"
    write_lines(learned, [r for r, f in zip(records, folds) if f != fold])
    numbers = [i for i, f in enumerate(folds) if f == fold]
    write_lines(held_out, [records[i] for i in numbers])
    found = {"fold": fold, "records": numbers, **description}
    found["bag of words"] = train_and_judge(arguments, learned, held_out, arguments.work / f"fold-{fold}.bag", BAG)
    model = arguments.work / f"fold-{fold}.model"
    found["model"] = train_and_judge(arguments, learned, held_out, model, arguments.options)
    (arguments.work / f"fold-{fold}.json").write_text(json.dumps(found))
    if not arguments.keep:
        shutil.rmtree(model)
    return found


def bootstrap(columns, prompts):
    """95% intervals of the means of several columns, and of the differences of the first to the others, by resampling
    prompts: the same resamples for all."""
    groups = {}
    for i, prompt in enumerate(prompts):
        groups.setdefault(prompt, []).append(i)
    groups = list(groups.values())
    sums = [[sum(column[i] for i in group) for column in columns] + [len(group)] for group in groups]
    draw = random.Random(0)
    means = []
    for _ in range(RESAMPLES):
        total = [sum(column) for column in zip(*draw.choices(sums, k=len(sums)))]
        means.append([value / total[-1] for value in total[:-1]])

    def interval(values):
        values = sorted(values)
        return values[int(0.025 * RESAMPLES)], values[int(0.975 * RESAMPLES)]

    plain = [interval([m[c] for m in means]) for c in range(len(columns))]
    differences = [interval([m[0] - m[c] for m in means]) for c in range(1, len(columns))]
    return plain, differences


def report(arguments, records, description):
    found = []
    for fold in range(arguments.folds):
        path = arguments.work / f"fold-{fold}.json"
        if path.exists():
            one = json.loads(path.read_text())
            if any(one[key] != description[key] for key in ("folds", "seed", "all_records")):
                raise SystemExit(f"{path}: found a fold of other data, expected {description}")
            found.append(one)
    if not found:
        raise SystemExit(f"{arguments.work}: no fold was run")
    if any(one["options"] != found[0]["options"] for one in found):
        raise SystemExit(f"{arguments.work}: the folds were run with different options")

    numbers = [i for one in found for i in one["records"]]
    longer = {i: won(length_of(records[i]["chosen"]), length_of(records[i]["rejected"])) for i in numbers}
    names = ["model", "bag of words", "longer wins", "shorter wins"]

    def columns(some):
        inside = [longer[i] for one in some for i in one["records"]]
        return [[o for one in some for o in one[name]["outcomes"]] for name in names[:2]] + [inside, [1 - x for x in inside]]

    def mean(values):
        return sum(values) / len(values)

    print(f"{len(found)} of {arguments.folds} folds were run; {len(numbers)} of {len(records)} pairs were held out in them.")
    print(f"merit_train {' '.join(found[0]['options'])}\n")
    print("| fold | pairs learned from | pairs held out | dropped | " + " | ".join(names) + " | steps | tokens | training, s |")
    print("|---|---:|---:|---:|" + "---:|" * (len(names) + 3))
    for one in found:
        cells = " | ".join(f"{mean(column):.3f}" for column in columns([one]))
        print(f"| {one['fold']} | {len(records) - len(one['records'])} | {len(one['records'])} | {one['model']['dropped']} | {cells} "
              f"| {one['model']['steps']} | {one['model']['tokens']} | {one['model']['training_seconds']:.0f} |")
    pooled = columns(found)
    plain, differences = bootstrap(pooled, [prompt_of(records[i]) for i in numbers])
    print("\n| over all held-out pairs | accuracy | 95% interval | the model's less this | 95% interval |")
    print("|---|---:|---:|---:|---:|")
    for c, name in enumerate(names):
        less = "| |" if c == 0 else (f"| {mean(pooled[0]) - mean(pooled[c]):+.3f} "
                                     f"| {differences[c - 1][0]:+.3f} to {differences[c - 1][1]:+.3f} |")
        print(f"| {name} | {mean(pooled[c]):.3f} | {plain[c][0]:.3f} to {plain[c][1]:.3f} {less}")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", type=Path, help="folder of merit_train, merit_score and merit_evaluate")
    parser.add_argument("work", type=Path, help="folder for what is found")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--run", type=int, nargs="+", help="these folds alone; those already found are not run again")
    parser.add_argument("--seed", type=int, default=0, help="of the folds")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="keep the models")
    parser.add_argument("--confirm", action="store_true", help="merit_evaluate must find the same accuracies")
    parser.add_argument("--report", action="store_true", help="run nothing")
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    arguments = parser.parse_args(words[:at])
    arguments.options = words[at + 1:]
    arguments.work.mkdir(parents=True, exist_ok=True)
    records = read_records(arguments.data)
    digest = hashlib.sha256(json.dumps(records, ensure_ascii=False).encode()).hexdigest()[:16]
    description = {"folds": arguments.folds, "seed": arguments.seed, "all_records": digest, "options": arguments.options}
    for fold in [] if arguments.report else arguments.run if arguments.run is not None else range(arguments.folds):
        if not (arguments.work / f"fold-{fold}.json").exists():
            run_fold(arguments, records, fold, description)
    return report(arguments, records, description)


if __name__ == "__main__":
    sys.exit(main())
