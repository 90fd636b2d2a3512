#!/usr/bin/env python3
"""Trains every kind of reward model from scratch on real data and prints a table: the held-out figure with its
interval, the curve on the way, and what reads nothing beside it.

    bench/real_data.py BUILD_FOLDER DATA_FOLDER [SET ...]

DATA_FOLDER holds a folder a set, each with train.jsonl and eval.jsonl. Settings are written down here and were not
chosen by the figures on eval.jsonl."""

import json
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

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
    "oasst_rankings": ("ranking", ["--join-conversations"],
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


def spell(estimate):
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def figures(kind, report):
    """[(name, the model's figure, what reads nothing, its figure)] of a kind's evaluation."""
    if kind in ("preference", "judge"):
        return [("pair accuracy", spell(report["accuracy"]), "longer wins; more lines",
                 f"{report['longer_wins']['value']:.3f}; {report['more_lines_win']['value']:.3f}")]
    if kind == "ranking":
        longest, lines = report["longest"], report["most_lines"]
        return [("pair accuracy", spell(report["pair_accuracy"]), "longer wins; more lines",
                 f"{longest['pair_accuracy']['value']:.3f}; {lines['pair_accuracy']['value']:.3f}"),
                ("best on top", spell(report["top"]), "longest; most lines; chance",
                 f"{longest['top']['value']:.3f}; {lines['top']['value']:.3f}; {report['top_by_chance']:.3f}")]
    if kind == "ratings":
        length, lines = report["length"], report["lines"]
        return [("Spearman", spell(report["spearman"]), "length; lines",
                 f"{length['spearman']['value']:.3f}; {lines['spearman']['value']:.3f}"),
                ("pair accuracy", spell(report["pair_accuracy"]), "longer wins; more lines",
                 f"{length['pair_accuracy']['value']:.3f}; {lines['pair_accuracy']['value']:.3f}")]
    if kind == "outcome":
        best = report["best_of_n"][-1]
        areas = {b["name"]: b["area_under_curve"]["value"] for b in report["baselines"] if b["area_under_curve"]}
        name = max(areas, key=areas.get)
        chance = report["best_of_n"][0]["chosen"]["value"]
        return [("area under the curve", spell(report["area_under_curve"]), name, f"{areas[name]:.3f}"),
                (f"best of {best['n']}", spell(best["chosen"]), "chance; any right", f"{chance:.3f}; {best['pass']['value']:.3f}")]
    no_error = next(b for b in report["baselines"] if b["name"] == "no error")
    return [("first-error F1", spell(report["first_error_f1"]), "no error; first step", "0; 0"),
            ("named exactly", spell(report["exact"]), "no error", f"{no_error['exact']:.3f}"),
            ("area under the curve of steps", spell(report["area_under_curve"]), "earlier is good",
             f"{report['area_of_earlier']['value']:.3f}"),
            ("steps judged right", spell(report["step_accuracy"]), "all good", f"{report['step_accuracy_of_all_good']:.3f}")]


def split_off(train, folder):
    """An eighth of the prompts of `train`, for thresholds and calibration, and the rest: two files."""
    rest, apart = Path(folder) / "train.jsonl", Path(folder) / "apart.jsonl"
    with open(train, encoding="utf-8") as lines, open(rest, "w", encoding="utf-8") as a, open(apart, "w", encoding="utf-8") as b:
        for line in lines:
            prompt = json.dumps(json.loads(line).get("prompt"))
            (b if zlib.crc32(prompt.encode()) % 8 == 0 else a).write(line)
    return rest, apart


def main():
    if len(sys.argv) < 3:
        print(__doc__)
        return 2
    program = Path(sys.argv[1]) / "examples" / "merit_train"
    data = Path(sys.argv[2])
    environment = dict(os.environ, OMP_WAIT_POLICY=os.environ.get("OMP_WAIT_POLICY", "passive"))
    print("| set | kind | model | figure, held out | value (95% interval) | beside it | | on the way | tokens | training, s |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in sys.argv[3:] or SETS:
        kind, options, models = SETS[name]
        train, held_out = data / name / "train.jsonl", data / name / "eval.jsonl"
        records = sum(1 for _ in open(train, encoding="utf-8"))
        for model, settings in models:
            epochs = int(settings[settings.index("--epochs") + 1])
            every = max(1, epochs * ((records + 15) // 16) // 6)
            with tempfile.TemporaryDirectory() as folder:
                learned, apart = split_off(train, folder) if kind in ("outcome", "steps") else (train, None)
                command = [str(program), "--kind", kind, "--train", str(learned), "--eval", str(held_out), "--max-tokens", "4096",
                           "--evaluate-every", str(every), "--out", f"{folder}/model", "--json"] + options + settings
                if apart:
                    command += ["--calibrate", str(apart)]
                done = subprocess.run(command, capture_output=True, text=True, env=environment)
                if done.returncode != 0:
                    print(done.stderr.strip().splitlines()[-1], file=sys.stderr)
                    return 1
                result = json.loads(done.stdout)
                events = [json.loads(line) for line in open(f"{folder}/model.metrics.jsonl", encoding="utf-8")]
            curve = [f"{event['headline']:.3f}" for event in events if event["event"] == "evaluate"]
            for i, (figure, value, other, others) in enumerate(figures(kind, result["evaluation"])):
                first = i == 0
                print(f"| {name if first else ''} | {kind if first else ''} | {model if first else ''} | {figure} | {value} | {other} | "
                      f"{others} | {' '.join(curve) if first else ''} | {result['tokens'] if first else ''} | "
                      f"{'%.1f' % result['seconds'] if first else ''} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
