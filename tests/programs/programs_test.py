#!/usr/bin/env python3
"""The programs of examples/ from outside: a whole life of a model, bad input, pipes, Ctrl-C and kill -9.

Usage: programs_test.py [life|kinds]      both by default; each of them stands alone
The folder of the programs is in MERIT_EXAMPLES_BIN.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import adapters
import conversion
import hostile
import judge
import judge_figures
import kinds
import published
import ranks
import scale
import search
import serve
import trust
from helpers import BACKEND, BIN, ENVIRONMENT, SKIPPED, SMALL, check, content, fails, program, succeeds, whole, write_pairs

KILLS = 20

# ---- The life of a model -----------------------------------------------------------------------------------------


def test_train_evaluate_score():
    stdout = succeeds("merit_train", "--train", "train.jsonl", "--eval", "eval.jsonl", "--out", "model", *SMALL, "--epochs",
                      4, "--evaluate-every", 20, "--json")
    result = json.loads(stdout)
    evaluation = result["evaluation"]
    check(evaluation["accuracy"]["low"] > 0.6, f"it learned nothing: {evaluation}")
    check(abs(evaluation["longer_wins"]["value"] - 0.5) < 1e-9, "the lengths are equal")
    check(abs(evaluation["more_lines_win"]["value"] - 0.5) < 1e-9, "the lines are as many")
    check(result["train"]["records"] == 300 and result["train"]["kept"] == 300, str(result["train"]))
    check(result["tokens"] < result["tokens_before_sharing"], "nothing was shared")
    check(result["step"] == result["steps"] == 76, str(result))
    whole("model")
    check(not os.path.exists("model/training.json"), "a run that ended is no run")
    events = [json.loads(line) for line in open("model.metrics.jsonl", encoding="utf-8")]
    check([e["event"] for e in events].count("step") == 76, "one line a step")
    check([e["step"] for e in events if e["event"] == "evaluate"] == [20, 40, 60, 76], "evaluations")
    check(events[0]["event"] == "start" and events[-1]["event"] == "end", "start and end")

    report = json.loads(succeeds("merit_evaluate", "--model", "model", "eval.jsonl", "--subset-field", "source", "--json"))
    for field in ("accuracy", "loss", "mean_margin", "min_score", "max_score"):
        check(report[field] == evaluation[field], f"{field}: {report[field]} is not {evaluation[field]} as in training")
    subsets = report["subsets"]
    check(sorted(subsets) == ["one", "two"], str(subsets))
    check(subsets["one"]["pairs"] + subsets["two"]["pairs"] == report["pairs"] == 100, "subsets are parts")
    text = succeeds("merit_evaluate", "--model", "model", "eval.jsonl", "eval.jsonl")
    check("in 200 pairs" in text and "longer wins" in text and "95% interval" in text, text)

    # Pairs give two scores, which agree with the evaluation; completions give one, the same.
    records = [json.loads(line) for line in open("eval.jsonl", encoding="utf-8")]
    pairs = [tuple(map(float, line.split("\t"))) for line in succeeds("merit_score", "--model", "model",
                                                                     "eval.jsonl").splitlines()]
    check(len(pairs) == 100, "one line a record")
    accuracy = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / 100
    check(abs(accuracy - report["accuracy"]["value"]) < 1e-9, "scores and evaluation differ")
    lines = "".join(json.dumps({"prompt": r["prompt"], "completion": r["chosen"]}) + "\n" for r in records)
    alone = [json.loads(line) for line in succeeds("merit_score", "--model", "model", "--json", stdin=lines).splitlines()]
    check([entry["index"] for entry in alone] == list(range(100)), "the order of records")
    for entry, (chosen, _) in zip(alone, pairs):
        check(abs(entry["score"] - chosen) < 1e-5 * max(1, abs(chosen)), "packing changes a score")
    one = float(succeeds("merit_score", "--model", "model", "--prompt", records[0]["prompt"], "--completion",
                         records[0]["chosen"]))
    check(abs(one - pairs[0][0]) < 1e-5 * max(1, abs(one)), "the command line changes a score")


def test_help_names_no_default_that_is_only_the_largest_number():
    for name in ("merit_train", "merit_score", "merit_evaluate", "merit_data", "merit_tokenize", "merit_convert"):
        long_numbers = [word for word in succeeds(name, "--help").split() if len(word.strip("[](),")) > 12 and word.strip("[](),").isdigit()]
        check(not long_numbers, f"{name} --help: {long_numbers}")


def test_the_program_of_the_readme_ranks_as_merit_score_does():
    answers = ["abc", "cab", "zzz", "a"]
    record = json.dumps({"prompt": "sort bca\n", "completions": answers}) + "\n"
    order = succeeds("merit_score", "--model", "model", "--rerank", stdin=record).split()
    lines = succeeds("rank", "model", "sort bca\n", *answers).splitlines()
    check([line.split()[1] for line in lines] == [answers[int(i)] for i in order], f"{lines} {order}")
    # Long answers are cut, or not, as the card says.
    card = json.loads(content("model", "merit.json"))
    shutil.copytree("model", "short_model")
    for truncation in ("cut_left", "drop"):
        with open("short_model/merit.json", "w", encoding="utf-8") as file:
            json.dump(dict(card, max_tokens=12, truncation=truncation), file)
        if truncation == "drop":
            fails(1, ["answer 2", "too long"], "rank", "short_model", "sort", "abc", "a" * 40)
            continue
        printed = float(succeeds("rank", "short_model", "sort", "abc" * 20).split()[0])
        expected = float(succeeds("merit_score", "--model", "short_model", "--prompt", "sort", "--completion", "abc" * 20))
        whole = float(succeeds("merit_score", "--model", "model", "--prompt", "sort", "--completion", "abc" * 20))
        check(abs(printed - expected) < 1e-4 < abs(printed - whole), f"{printed} {expected} {whole}")
    fails(1, ["answers"], "rank", "model", "a prompt")
    fails(1, ["nomodel"], "rank", "nomodel", "a prompt", "an answer")


def test_optimizers():
    """Each trains, in its own way, with the numbers that it is given."""
    models = set()
    runs = (["adamw"], ["sgd", "--momentum", 0.9, "--nesterov"], ["adafactor", "--update-clip", 2], ["lion", "--beta2", 0.95],
            ["muon", "--original-rate"], ["muon", "--weight-decay", 0], ["muon"], ["muon", "--beta2", 0.5])
    for optimizer, *numbers in runs:
        succeeds("merit_train", "--train", "train.jsonl", "--out", "optimized", "--overwrite", *SMALL, "--optimizer", optimizer,
                 *numbers)
        models.add(content("optimized", "model.safetensors"))
    check(len(models) == len(runs), "two optimizers made the same model")
    with open("optimizer.json", "w", encoding="utf-8") as file:
        json.dump({"optimizer": "muon", "beta2": 0.5}, file)
    succeeds("merit_train", "--train", "train.jsonl", "--out", "optimized", "--overwrite", *SMALL, "--config", "optimizer.json")
    check(content("optimized", "model.safetensors") in models, "the file of options is not as the command line")


def test_config_file_and_start_from_checkpoint():
    config = {"train": ["train.jsonl"], "out": "elsewhere", "backbone": "bag_of_tokens", "width": 8, "batch_size": 32,
              "lr": 0.01, "tokenizer": "words:100", "max_tokens": 64, "truncation": "keep_completion", "json": True}
    with open("config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)
    result = json.loads(succeeds("merit_train", "--config", "config.json", "--out", "bag", "--width", 4))
    counts = result["train"]
    check(counts["kept"] + counts["dropped_equal"] == 300, str(counts))  # two words may share a bucket
    check(result["backbone"] == "bag_of_tokens" and result["steps"] == (counts["kept"] + 31) // 32, str(result))
    check(result["parameters"] == 101 * 4 + 4, "the command line wins over the file")
    check(not os.path.exists("elsewhere"), "the command line wins over the file")
    card = json.loads(content("bag", "merit.json"))
    check(card["tokenizer"] == "words:100" and card["truncation"] == "keep_completion" and card["max_tokens"] == 64,
          str(card))
    # A checkpoint brings its tokenizer and policy.
    succeeds("merit_train", "--from", "bag", "--train", "train.jsonl", "--out", "more")
    again = json.loads(content("more", "merit.json"))
    check(all(again[key] == card[key] for key in ("tokenizer", "truncation", "max_tokens")), str(again))
    check(content("more", "model.safetensors") != content("bag", "model.safetensors"), "nothing was trained")
    # A backbone as an object; without a card the tokenizer must be given.
    backbone = json.loads(content("model", "config.json"))
    with open("config.json", "w", encoding="utf-8") as file:
        json.dump({"backbone": backbone}, file)
    succeeds("merit_train", "--config", "config.json", "--train", "train.jsonl", "--out", "object")
    check(json.loads(content("object", "config.json"))["hidden_size"] == 16, "the backbone of the file")
    os.remove("object/merit.json")
    fails(2, ["object", "--tokenizer"], "merit_score", "--model", "object", stdin="")
    succeeds("merit_score", "--model", "object", "--tokenizer", "bytes", stdin='{"completion": "a"}\n')


def test_features():
    rng = random.Random(3)
    with open("features.jsonl", "w", encoding="utf-8") as file:
        for _ in range(200):
            a = [rng.gauss(0, 1) for _ in range(5)]
            b = [rng.gauss(0, 1) for _ in range(5)]
            if a[2] < b[2]:
                a, b = b, a
            file.write(json.dumps({"chosen_features": a, "rejected_features": b}) + "\n")
    result = json.loads(succeeds("merit_train", "--train", "features.jsonl", "--eval", "features.jsonl", "--out", "probe",
                                 "--backbone", "features", "--epochs", 5, "--lr", 0.1, "--json"))
    check(result["evaluation"]["accuracy"]["value"] > 0.95, str(result["evaluation"]))
    check(result["parameters"] == 5, "a weight for each number")
    score = succeeds("merit_score", "--model", "probe", stdin='{"completion_features": [0, 0, 1, 0, 0]}\n')
    check(float(score) > 0, "the third number is what counts")
    fails(1, ["standard input:1", "features, expected 5"], "merit_score", "--model", "probe",
          stdin='{"completion_features": [0, 0, 1]}\n')
    fails(1, ["train.jsonl:1", "features"], "merit_evaluate", "--model", "probe", "train.jsonl")
    fails(1, ["features.jsonl:1", "features"], "merit_evaluate", "--model", "model", "features.jsonl")


def test_every_record_is_answered():
    succeeds("merit_train", "--train", "train.jsonl", "--out", "short", *SMALL, "--max-tokens", 20)
    lines = ['{"prompt": "sort a\\n", "completion": "a"}', json.dumps({"prompt": "x" * 50, "completion": "a"}),
             json.dumps({"prompt": "p", "chosen": "a", "rejected": "b" * 50}), '{"prompt": "p", "chosen": "a", "rejected": "a"}',
             "", '{"prompt": "p", "chosen": "a", "rejected": "b"}']
    text = "\n".join(lines) + "\n"
    plain = succeeds("merit_score", "--model", "short", stdin=text).splitlines()
    score, reason = plain[2].split("\t")
    check(plain[1] == "dropped: too long" and reason == "dropped: too long" and float(score) != 0, str(plain))
    same = plain[3].split("\t")
    check(len(same) == 2 and same[0] == same[1] and float(same[0]) != 0, f"equal sides have equal scores: {plain}")
    check(len(plain) == 5 and len(plain[4].split("\t")) == 2, str(plain))
    entries = [json.loads(line) for line in succeeds("merit_score", "--model", "short", "--json", stdin=text).splitlines()]
    check(entries[1] == {"index": 1, "line": 2, "score": None, "dropped": "too long"}, str(entries[1]))
    one_long = json.dumps({"prompt": "sort a\n", "completions": ["a", "a" * 400, "b"]}) + "\n"
    order = succeeds("merit_score", "--model", "short", "--rerank", stdin=one_long).rstrip("\n").split("\t")
    check(sorted(order[:2]) == ["0", "2"] and order[2:] == ["1 dropped: too long"], str(order))
    check(entries[2]["chosen"] is not None and entries[2]["rejected"] is None, str(entries[2]))
    check(entries[2]["dropped"] == [None, "too long"], str(entries[2]))
    check(entries[4]["line"] == 6 and entries[4]["index"] == 4, str(entries[4]))


def test_what_is_cut_equal_or_empty_is_accounted_for():
    succeeds("merit_train", "--train", "train.jsonl", "--out", "cutting", *SMALL, "--max-tokens", 20, "--truncation", "cut_right")
    several = {"prompt": "sort a\n", "completions": ["a", "a" * 40, "a", ""]}
    entry = json.loads(succeeds("merit_score", "--model", "cutting", "--json", "--rerank", stdin=json.dumps(several) + "\n"))
    check(entry["cut"] == [False, True, False, False], str(entry))
    check(entry["order"][-1] == 1 and sorted(entry["order"]) == [0, 1, 2, 3], str(entry))
    check(entry["ranks"][0] == entry["ranks"][2] and None not in entry["scores"], str(entry))
    scored = json.loads(succeeds("merit_score", "--model", "cutting", "--json", "--rerank", "--rank-cut", "as_scored",
                                 stdin=json.dumps(several) + "\n"))
    by_score = sorted(range(4), key=lambda i: -scored["scores"][i])
    check(scored["order"] == by_score, str(scored))
    fails(2, ["--rank-cut", "first", "last, as_scored"], "merit_score", "--model", "cutting", "--rerank", "--rank-cut", "first", stdin="")

    # One line that cannot be read does not end a stream; a run of training it does, unless it is told to go on.
    lines = '{"prompt": "p", "completion": "a"}\n{"prompt": "p", "completion": null}\n{"prompt": "p", "completion": ""}\n'
    result = fails(1, ["1 record left out", "standard input:2"], "merit_score", "--model", "cutting", "--json", stdin=lines)
    entries = [json.loads(line) for line in result.stdout.splitlines()]
    check([entry["index"] for entry in entries] == [0, 1, 2] and "'completion'" in entries[1]["error"], str(entries))
    check(entries[2]["score"] is not None, "an empty completion has an end of sequence")
    with open("some.jsonl", "w", encoding="utf-8") as file:
        file.write(content("train.jsonl").decode() + "{\n" + '{"prompt": "p", "chosen": "a", "rejected": ""}\n')
    fails(1, ["some.jsonl:"], "merit_train", "--train", "some.jsonl", "--out", "never", *SMALL)
    trained = json.loads(succeeds("merit_train", "--train", "some.jsonl", "--out", "skipping", *SMALL, "--epochs", 1,
                                  "--on-error", "skip", "--json"))
    check(trained["train"]["unread"] == 1 and trained["train"]["dropped_empty"] == 0, str(trained["train"]))


# ---- Pipes -------------------------------------------------------------------------------------------------------


def test_scores_as_it_reads():
    """A line is answered before the next one comes, though the pipe stays open."""
    process = subprocess.Popen([program("merit_score"), "--model", "model"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True, env=ENVIRONMENT)
    for completion in ("abc", "cba"):
        process.stdin.write(json.dumps({"prompt": "sort abc\n", "completion": completion}) + "\n")
        process.stdin.flush()
        check(float(process.stdout.readline()) != 0, "no answer")
    process.stdin.write('{"prompt": "half a ')  # half a line does not hold up an answer, nor give one
    process.stdin.flush()
    time.sleep(0.2)
    process.stdin.write('line", "completion": "a"}')
    process.stdin.close()
    check(float(process.stdout.readline()) != 0, "the last line has no line feed")
    check(process.stdout.readline() == "" and process.wait(timeout=30) == 0, "the end")


def test_the_reader_goes_away():
    with open("many.jsonl", "w", encoding="utf-8") as file:
        file.write(content("eval.jsonl").decode() * 100)
    for command in (f"'{program('merit_score')}' --model model many.jsonl",
                    f"cat many.jsonl | '{program('merit_score')}' --model model --json"):
        result = subprocess.run(["bash", "-c", f"{command} 2>errors | head -1; echo ${{PIPESTATUS[*]}}"],
                                capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
        lines = result.stdout.splitlines()
        check(len(lines) == 2 and lines[1].split()[-2:] == ["0", "0"], f"{command}: {lines}")
        check(b"merit_score:" not in content("errors"), content("errors").decode())


# ---- Bad input ---------------------------------------------------------------------------------------------------


def test_bad_input():
    train = ["merit_train", "--train", "train.jsonl", "--out", "never"]
    with open("bad.jsonl", "w", encoding="utf-8") as file:
        file.write('{"chosen": "a", "rejected": "b"}\n{"chosen": "b", "rejected": "a"}\n{"chosen": "a", "rejected"\n')
    open("empty.jsonl", "w").close()
    with open("equal.jsonl", "w", encoding="utf-8") as file:
        file.write('{"chosen": "a", "rejected": "a"}\n')
    os.makedirs("foreign", exist_ok=True)
    open("foreign/thesis.txt", "w").close()
    open("file", "w").close()

    # Data and files: 1.
    fails(1, ["nowhere.jsonl"], "merit_train", "--train", "nowhere.jsonl", "--out", "never", *SMALL)
    fails(1, ["bad.jsonl:3"], "merit_train", "--train", "bad.jsonl", "--out", "never", *SMALL)
    fails(1, ["empty.jsonl"], "merit_train", "--train", "empty.jsonl", "--out", "never", *SMALL)
    fails(1, ["equal.jsonl", "equal"], "merit_train", "--train", "equal.jsonl", "--out", "never", *SMALL)
    fails(1, ["nowhere.jsonl"], *train, "--eval", "nowhere.jsonl")
    fails(1, ["foreign", "merit.json"], "merit_train", "--train", "train.jsonl", "--out", "foreign")
    fails(1, ["file/model"], "merit_train", "--train", "train.jsonl", "--out", "file/model")
    fails(1, ["/proc/no"], "merit_train", "--train", "train.jsonl", "--out", "/proc/no/model")
    fails(1, ["nomodel"], *train, "--from", "nomodel")
    fails(1, ["bad.jsonl"], *train, "--config", "bad.jsonl")
    fails(1, ["nomodel"], "merit_score", "--model", "nomodel", stdin="")
    fails(1, ["nowhere.jsonl"], "merit_score", "--model", "model", "nowhere.jsonl")
    fails(1, ["nowhere.jsonl"], "merit_evaluate", "--model", "model", "nowhere.jsonl")
    fails(1, ["bad.jsonl:3"], "merit_evaluate", "--model", "model", "bad.jsonl")
    fails(1, ["directory"], "merit_score", "--model", "model", ".")
    result = fails(1, ["standard input:3"], "merit_score", "--model", "model", stdin=content("bad.jsonl").decode())
    check(len(result.stdout.splitlines()) == 3, "the bad line has its error in its place")
    result = fails(1, ["standard input:3"], "merit_score", "--model", "model", "--on-error", "stop",
                   stdin=content("bad.jsonl").decode())
    check(len(result.stdout.splitlines()) == 2, "what came before the bad line is answered")

    # Options: 2.
    for name in ("merit_train", "merit_score", "merit_evaluate"):
        fails(2, ["--wrong"], name, "--wrong")
        check("--model" in succeeds(name, "--help") or name == "merit_train", "the help")
    fails(2, ["--train"], "merit_train", "--out", "never")
    fails(2, ["--out"], "merit_train", "--train", "train.jsonl")
    fails(2, ["tokenizer", "letters"], *train, "--tokenizer", "letters")
    fails(2, ["backbone", "lama"], *train, "--backbone", "lama")
    fails(2, ["--heads", "bag_of_tokens"], *train, "--backbone", "bag_of_tokens", "--heads", 2)
    fails(2, ["--hidden-size", "bag"], *train, "--from", "bag", "--hidden-size", 8)
    fails(2, ["--from", "--backbone"], *train, "--from", "bag", "--backbone", "gpt2")
    fails(2, ["--tokenizer", "words:100"], *train, "--from", "bag", "--tokenizer", "bytes")
    fails(2, ["heads"], *train, "--hidden-size", 16, "--heads", 3)
    fails(2, ["truncation", "trim"], *train, "--truncation", "trim")
    fails(2, ["max-tokens", "16"], *train, "--backbone", "gpt2", "--max-positions", 16, "--max-tokens", 32)
    fails(2, ["label_smoothing", "0.7"], *train, "--label-smoothing", 0.7)
    fails(2, ["--optimizer", "adam", "adamw, sgd, adafactor, lion, muon"], *train, "--optimizer", "adam")
    fails(2, ["--momentum", "adamw", "sgd, muon"], *train, "--momentum", 0.5)
    fails(2, ["--epsilon", "lion", "adamw, muon"], *train, "--optimizer", "lion", "--epsilon", 0.1)
    fails(2, ["lion", "beta2", "1.5"], *train, "--optimizer", "lion", "--beta2", 1.5)
    fails(2, ["nesterov", "momentum"], *train, "--optimizer", "sgd", "--nesterov")
    fails(2, ["--decay", "sudden"], *train, "--decay", "sudden")
    fails(2, ["--epochs", "many"], *train, "--epochs", "many")
    fails(2, ["--epochs", "-1"], *train, "--epochs", "-1")
    fails(2, ["batch_size"], *train, "--batch-size", 0)
    fails(2, ["learning rate"], *train, "--lr", "nan")
    fails(2, ["--evaluate-every", "--eval"], *train, "--evaluate-every", 5)
    fails(2, ["--patience", "--evaluate-every"], *train, "--eval", "eval.jsonl", "--patience", 2)
    fails(2, ["--resume", "--overwrite"], *train, "--resume", "--overwrite")
    fails(2, ["model", "--overwrite"], "merit_train", "--train", "train.jsonl", "--out", "model", *SMALL)
    for config, part in (({"hiden_size": 8}, "hiden_size"), ({"epochs": "many"}, "epochs"), ({"lr": {}}, "lr"), ([], "array"),
                         ({"epochs": [1, 2]}, "epochs"), ({"backbone": {"model_type": "mamba"}}, "mamba")):
        with open("options.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        fails(2, ["options.json", part], *train, "--config", "options.json")
    fails(2, ["--prompt", "--completion"], "merit_score", "--model", "model", "--prompt", "a")
    fails(2, ["--completion", "FILE"], "merit_score", "--model", "model", "--completion", "a", "eval.jsonl")
    fails(2, ["--model"], "merit_score", stdin="")
    check(not os.path.exists("never"), "a run that never began left something behind")


# ---- Interruptions -----------------------------------------------------------------------------------------------

RUN = ["--train", "train.jsonl", "--eval", "eval.jsonl", "--epochs", "3", "--evaluate-every", "7", *SMALL, *BACKEND]


def test_early_stop():
    nothing = ["--clip", "1e-12", "--weight-decay", 0, "--epsilon", 1]  # steps too small to change anything
    result = json.loads(succeeds("merit_train", *RUN, "--out", "early", *nothing, "--patience", 2, "--json"))
    check(result["stopped_early"] and result["step"] == 21, str(result))
    whole("early")
    check(not os.path.exists("early/training.json"), "an early end is an end")


def test_interrupt_and_resume():
    """Ctrl-C, then --resume: the same model as without, byte for byte; the command to go on is the one printed."""
    succeeds("merit_train", *RUN, "--out", "straight")
    expected = content("straight", "model.safetensors")
    arguments = [program("merit_train"), *RUN, "--out", "stopped"]
    interruptions = 0
    for which in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        wait_for_steps("stopped.metrics.jsonl", process)
        process.send_signal(which)
        _, errors = process.communicate(timeout=60)
        if process.returncode == 0:  # it was faster than we
            break
        interruptions += 1
        check(process.returncode == 130, f"exit code {process.returncode}: {errors}")
        whole("stopped")
        command = errors.strip().split("\n")[-1].strip()
        check("is saved in stopped" in errors and command.endswith("--resume"), errors)
        if interruptions == 1:
            fails(2, ["--resume", "--overwrite"], "merit_train", *RUN, "--out", "stopped")
            fails(2, ["batch_size", "16", "8"], "merit_train", *RUN, "--out", "stopped", "--batch-size", "8", "--resume")
            check(json.loads(content("stopped", "training.json"))["step"] > 0, "the refusals changed nothing")
        arguments = ["bash", "-c", "exec " + command]
    check(interruptions > 0, "the run was too short to interrupt")
    subprocess.run(arguments, check=True, capture_output=True, env=ENVIRONMENT, timeout=120)
    check(content("stopped", "model.safetensors") == expected, "the resumed run made other bytes")
    check(not os.path.exists("stopped/training.json"), "the run has ended")
    losses = {}
    for line in open("stopped.metrics.jsonl", encoding="utf-8"):
        event = json.loads(line)
        if event["event"] == "step":
            losses[event["step"]] = event["loss"]
    straight = [json.loads(line) for line in open("straight.metrics.jsonl", encoding="utf-8")]
    check(losses == {e["step"]: e["loss"] for e in straight if e["event"] == "step"}, "the losses differ")
    # Resuming what has ended trains nothing, reports again, and is no error.
    result = json.loads(succeeds("merit_train", *RUN, "--out", "stopped", "--resume", "--json"))
    check(result["evaluation"] == [e for e in straight if e["event"] == "end"][0]["evaluation"], str(result))
    check(content("stopped", "model.safetensors") == expected, "resuming an ended run changed it")


def wait_for_steps(metrics, process, more=3):
    """Until a few steps more than before are in the metrics."""

    def steps():
        return content(metrics).count(b'"event":"step"') if os.path.exists(metrics) else 0

    start = steps()
    while process.poll() is None and steps() < start + more:
        time.sleep(0.002)


def test_kill_at_random_moments():
    """kill -9, again and again: the directory is whole each time, the run goes on, and the end is the same."""
    rng = random.Random(int(os.environ.get("MERIT_TEST_SEED", time.time_ns())))
    expected = content("straight", "model.safetensors")
    arguments = [program("merit_train"), *RUN, "--out", "killed", "--checkpoint-every", "1", "--resume"]
    kills = finished = 0
    longest = 0.3
    while kills < KILLS:
        start = time.monotonic()
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        try:
            _, errors = process.communicate(timeout=rng.uniform(0, longest))
            check(process.returncode == 0, f"exit code {process.returncode}: {errors}")
            longest = max(0.05, 0.8 * (time.monotonic() - start))
            finished += 1
            check(content("killed", "model.safetensors") == expected, "a killed run ended with other bytes")
            shutil.rmtree("killed")
            os.remove("killed.metrics.jsonl")
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            if os.path.exists("killed"):
                whole("killed")
    subprocess.run(arguments, check=True, capture_output=True, env=ENVIRONMENT, timeout=120)
    check(content("killed", "model.safetensors") == expected, "a killed run ended with other bytes")
    whole("killed")
    left = [name for name in os.listdir(".") if name.startswith("killed.tmp") or name.endswith(".merit-old")]
    check(not left, f"left behind: {left}")
    events = [json.loads(line) for line in open("killed.metrics.jsonl", encoding="utf-8")]
    straight = [json.loads(line) for line in open("straight.metrics.jsonl", encoding="utf-8")]

    def losses(of):
        return [(event["step"], event["loss"]) for event in of if event["event"] == "step"]

    check(losses(events) == losses(straight), "the metrics of a killed run have each step once, in order")
    print(f"     {kills} kills, {finished + 1} runs to the end")


# Their models and files are what others begin with.
USED_BY_BOTH = {"test_train_evaluate_score", "test_features"}


def main():
    for name in ("merit_train", "merit_score", "merit_evaluate", "merit_data", "merit_tokenize", "merit_convert", "merit_judge",
                 "merit_search", "merit_serve", "rank"):
        if not os.path.exists(program(name)):
            print(f"FAIL there is no {program(name)}")
            return 1
    passed = failures = 0
    with tempfile.TemporaryDirectory(prefix="merit_programs_") as directory:
        os.chdir(directory)
        write_pairs("train.jsonl", 300, 1)
        write_pairs("eval.jsonl", 100, 2)
        modules = (globals(), vars(kinds), vars(trust), vars(hostile), vars(published), vars(adapters), vars(conversion), vars(judge), vars(judge_figures),
                   vars(scale), vars(search), vars(serve), vars(ranks))
        everything = {name: test for module in modules for name, test in module.items() if name.startswith("test_")}
        part = sys.argv[1] if len(sys.argv) > 1 else None
        of_kinds = {name for name in vars(kinds) if name.startswith("test_")} | trust.AFTER_KINDS
        for name, test in everything.items():
            if part and name not in USED_BY_BOTH and (name in of_kinds) != (part == "kinds"):
                continue
            start = time.monotonic()
            try:
                if test() != SKIPPED:
                    passed += 1
                    print(f"ok   {name} ({time.monotonic() - start:.1f} s)", flush=True)
            except (AssertionError, OSError, ValueError, KeyError, IndexError, subprocess.SubprocessError) as error:
                failures += 1
                print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
        os.chdir("/")
    print(f"{passed} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
