#!/usr/bin/env python3
"""Trains a general reward model of SmolLM2-135M-Instruct on rankings by people of all kinds at once, with several seeds,
and measures each on the held-out records of every set beside a bag of words trained on the same records.

    bench/smollm2_reward.py prepare DATA WORK                      records of one form: WORK/train.jsonl, WORK/eval/SET.jsonl
    bench/smollm2_reward.py train PROGRAMS START WORK [--seeds N]  WORK/seed-N, each with the card that merit_train writes
    bench/smollm2_reward.py report PROGRAMS WORK                   the tables of all seeds there are, and a README.md of each

PROGRAMS is the folder of merit_train and merit_evaluate; START a folder of SmolLM2-135M-Instruct with a fresh score head
(bench/peer/finetune.py start). DATA holds a folder a set, each with train.jsonl and eval.jsonl. Every record becomes a
ranking of the answers to a conversation: a pair is a ranking of two, votes and ratings give ranks (equal ones are equal
ranks), right solutions of a problem are ranked above wrong ones. A seed that is done is not trained again."""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

TURN = re.compile(r"\n\n(Human|Assistant):")

# Written down before any held-out figure was seen: the rate is that of the folds of hh_harmless
# (bench/results/2026-11-28-finetune-smollm2.md); layers, length and one pass are what two cores do in under an hour.
MODEL = ["--head", "scalar", "--frozen-layers", "24", "--lr", "1e-4", "--warmup", "0.1", "--epochs", "1", "--batch-size", "16",
         "--micro-batch-tokens", "4096", "--max-tokens", "160", "--truncation", "cut_left_together", "--no-reward-statistics",
         "--checkpoint-every", "50"]
BAG = ["--backbone", "bag_of_tokens", "--width", "16", "--tokenizer", "words:65536", "--lr", "0.01", "--epochs", "4",
       "--strings-as-chat", "--max-tokens", "8192"]


def conversation(prompt):
    """Messages of a prompt: as they are, out of the text of a dialogue, or a user's one."""
    if not isinstance(prompt, str):
        return prompt
    parts = TURN.split(prompt)
    if len(parts) == 1:
        return [{"role": "user", "content": prompt}]
    roles = {"Human": "user", "Assistant": "assistant"}
    turns = [{"role": roles[who], "content": text.strip()} for who, text in zip(parts[1::2], parts[2::2])]
    return turns[:-1] if turns[-1]["role"] == "assistant" and not turns[-1]["content"] else turns


def ranked(record):
    """(prompt, answers, ranks from 0, the best) of a record of any kind but outcomes."""
    if "chosen" in record:
        return record["prompt"], [record["chosen"], record["rejected"]], [0, 1]
    if "votes" in record:
        lead = record["votes"].count("a") - record["votes"].count("b")
        return record["prompt"], [record["response_a"], record["response_b"]], [int(lead < 0), int(lead > 0)]
    if "scores" in record:
        order = sorted(set(record["scores"]), reverse=True)
        return record["prompt"], record["completions"], [order.index(score) for score in record["scores"]]
    return record["prompt"], record["completions"], record["ranks"]


def rankings(path):
    """Records of a file as rankings, and how many say nothing because all their answers are equal."""
    records = [json.loads(line) for line in path.open()]
    if "label" in records[0]:  # outcomes: the solutions of a problem together
        problems = defaultdict(list)
        for record in records:
            problems[record["prompt"]].append((record["completion"], int(not record["label"])))
        groups = [(prompt, [text for text, _ in found], [rank for _, rank in found]) for prompt, found in problems.items()]
    else:
        groups = [ranked(record) for record in records]
    kept = []
    for prompt, answers, ranks in groups:
        if len(set(ranks)) < 2:
            continue
        answers = [text.strip() if isinstance(text, str) else text for text in answers]
        kept.append({"prompt": conversation(prompt), "completions": [[{"role": "assistant", "content": text}] for text in answers],
                     "ranks": ranks})
    return kept, len(groups) - len(kept)


def prepare(arguments):
    (arguments.work / "eval").mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in arguments.data.iterdir() if (path / "train.jsonl").exists())
    counts = {}
    with (arguments.work / "train.jsonl").open("w") as out:
        for name in names:
            first = json.loads((arguments.data / name / "train.jsonl").open().readline())
            if "labels" in first:
                continue  # steps are judged one by one, by another kind of head
            training, equal = rankings(arguments.data / name / "train.jsonl")
            held_out, held_out_equal = rankings(arguments.data / name / "eval.jsonl")
            for record in training:
                out.write(json.dumps(record) + "\n")
            with (arguments.work / "eval" / f"{name}.jsonl").open("w") as file:
                file.writelines(json.dumps(record) + "\n" for record in held_out)
            counts[name] = [len(training), equal, len(held_out), held_out_equal]
            print(f"{name}: {len(training)} rankings ({equal} more are all equal), held out {len(held_out)} ({held_out_equal})")
    (arguments.work / "counts.json").write_text(json.dumps(counts))
    return 0


def run(command, out=None):
    environment = dict(os.environ, OMP_WAIT_POLICY=os.environ.get("OMP_WAIT_POLICY", "passive"))
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(done.returncode)
    if out is not None:
        out.write_text(done.stdout)
    return json.loads(done.stdout)


def train(arguments):
    common = [arguments.programs / "merit_train", "--kind", "ranking", "--train", arguments.work / "train.jsonl", "--json"]
    for seed in range(arguments.seeds):
        for name, options in (("bag", BAG), ("seed", ["--from", arguments.start, *MODEL])):
            result = arguments.work / f"{name}-{seed}.json"
            if not result.exists():
                run([*common, "--out", arguments.work / f"{name}-{seed}", "--seed", seed, "--resume", *options], result)
    return 0


def evaluate(arguments, model, held_out):
    result = arguments.work / f"{model}.{held_out.stem}.json"
    if result.exists():
        return json.loads(result.read_text())
    return run([arguments.programs / "merit_evaluate", "--model", arguments.work / model, held_out, "--json"], result)


def spell(estimate):
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def mean(values):
    return f"{statistics.fmean(values):.3f}"


def figures(arguments, seeds):
    """A table of every set's held-out pair accuracy, and of all pairs together."""
    lines = ["| held out | rankings | pairs | model, by seed (95% interval of each) | mean | bag of words, mean | longer wins |",
             "|---|---:|---:|---|---:|---:|---:|"]
    pairs, right, right_bag, right_longer = 0, [0.0] * len(seeds), [0.0] * len(seeds), 0.0
    for name in json.loads((arguments.work / "counts.json").read_text()):
        held_out = arguments.work / "eval" / f"{name}.jsonl"
        models = [evaluate(arguments, f"seed-{seed}", held_out) for seed in seeds]
        bags = [evaluate(arguments, f"bag-{seed}", held_out) for seed in seeds]
        count, longer = models[0]["pairs"], models[0]["longest"]["pair_accuracy"]["value"]
        of_models = [result["pair_accuracy"]["value"] for result in models]
        of_bags = [result["pair_accuracy"]["value"] for result in bags]
        lines.append(f"| {name} | {models[0]['groups']} | {count} | {', '.join(spell(r['pair_accuracy']) for r in models)} | "
                     f"{mean(of_models)} | {mean(of_bags)} | {longer:.3f} |")
        pairs += count
        right_longer += count * longer
        for i, (model, bag) in enumerate(zip(of_models, of_bags)):
            right[i] += count * model
            right_bag[i] += count * bag
    everything = [count / pairs for count in right]
    lines.append(f"| all pairs | | {pairs} | {', '.join(f'{value:.3f}' for value in everything)} | {mean(everything)} | "
                 f"{mean([count / pairs for count in right_bag])} | {right_longer / pairs:.3f} |")
    return "\n".join(lines)


CARD = """---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
pipeline_tag: text-classification
tags: [reward-model, rlhf]
---

# SmolLM2-135M reward model, seed {seed}

Scores an answer to a conversation: the higher, the better people would rank it. A score means something beside the scores of
other answers to the same conversation only. One linear score at the last token of the text that the model's chat template makes.

    merit_score --model THIS_FOLDER pairs.jsonl          # or merit::open(folder).rank(prompt, answers)

In Python `AutoModelForSequenceClassification.from_pretrained` reads the same folder.

Trained by merit on rankings by people of {records} prompts, all sets of the table at once: human preferences on harmlessness
(Anthropic hh-rlhf), instructions (LLMBar, PandaLM), OpenAssistant's rankings, FineGrainedRLHF, Prometheus' ratings, and solutions of
GSM8K, right ones above wrong ones. The embedding and 24 of 30 layers are the language model's; {settings}.

{table}

Held-out prompts, none of them in training. What it is not: with 135 million parameters and some thousand rankings it is a
baseline, not a judge. It does not check facts or arithmetic, has read English only, and has seen offensive text that people
marked as worse. Do not let it decide alone about anything that matters.
"""


def report(arguments):
    counts = json.loads((arguments.work / "counts.json").read_text())
    seeds = sorted(int(path.stem.split("-")[1]) for path in arguments.work.glob("seed-?.json"))
    if not seeds:
        sys.exit(f"{arguments.work}: no seed is trained yet")
    table = figures(arguments, seeds)
    print("| seed | records | steps | tokens | training, s |\n|---:|---:|---:|---:|---:|")
    for seed in seeds:
        result = json.loads((arguments.work / f"seed-{seed}.json").read_text())
        print(f"| {seed} | {result['train']['kept']} | {result['steps']} | {result['tokens']} | {result['seconds']:.0f} |")
        card = CARD.format(seed=seed, records=sum(count[0] for count in counts.values()), table=table,
                           settings=" ".join(MODEL[2:]).replace("--", ""))
        (arguments.work / f"seed-{seed}" / "README.md").write_text(card)
    print("\n" + table)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("prepare")
    verb.add_argument("data", type=Path)
    verb.add_argument("work", type=Path)
    verb = verbs.add_parser("train")
    verb.add_argument("programs", type=Path)
    verb.add_argument("start", type=Path)
    verb.add_argument("work", type=Path)
    verb.add_argument("--seeds", type=int, default=3)
    verb = verbs.add_parser("report")
    verb.add_argument("programs", type=Path)
    verb.add_argument("work", type=Path)
    arguments = parser.parse_args()
    return {"prepare": prepare, "train": train, "report": report}[arguments.verb](arguments)


if __name__ == "__main__":
    sys.exit(main())
