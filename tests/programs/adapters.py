"""Adapters (LoRA) trained, interrupted, scored and moved by the programs.

Run by programs_test.py, in the folder that its own tests left.
"""
import json
import os
import shutil
import signal
import subprocess
import time

from helpers import BACKEND, ENVIRONMENT, check, content, fails, program, run, succeeds

LORA = ["--from", "model", "--train", "train.jsonl", "--lora-rank", "4", "--lora-dropout", "0.1", "--lora-targets",
        "q_proj,v_proj,down_proj", "--lr", "0.003", "--epochs", "3", "--checkpoint-every", "0"]


def scores(model, *options):
    lines = succeeds("merit_score", "--model", model, *options, "eval.jsonl").splitlines()
    return [tuple(map(float, line.split("\t"))) for line in lines]


def test_an_adapter_is_trained_and_scores_beside_its_base():
    before = content("model", "model.safetensors")
    result = json.loads(succeeds("merit_train", *LORA, "--eval", "eval.jsonl", "--out", "lora", "--json"))
    check(content("model", "model.safetensors") == before, "the base was changed")
    check(sorted(name for name in os.listdir("lora")) ==
          ["adapter_config.json", "adapter_model.safetensors", "merit.json"], str(os.listdir("lora")))
    config = json.loads(content("lora", "adapter_config.json"))
    check(config["peft_type"] == "LORA" and config["r"] == 4 and config["modules_to_save"] == ["score"], str(config))
    check(config["base_model_name_or_path"] == os.path.abspath("model"), str(config))
    check(json.loads(content("lora", "merit.json"))["adapter"]["dropout"] == 0.1, "the card does not say it")
    report = json.loads(succeeds("merit_evaluate", "--model", "lora", "eval.jsonl", "--json"))
    check(report["accuracy"] == result["evaluation"]["accuracy"], "the saved adapter is another")
    check(scores("lora") != scores("model"), "nothing was learnt")
    # Trained on, it stays an adapter of the same base.
    succeeds("merit_train", "--from", "lora", "--train", "train.jsonl", "--out", "lora_on", "--max-steps", "2")
    again = json.loads(content("lora_on", "adapter_config.json"))
    check(again == config, f"{again} {config}")


def test_an_interrupted_adapter_goes_on_to_the_same_bits():
    shutil.rmtree("interrupted", ignore_errors=True)
    command = [program("merit_train"), *LORA, "--out", "interrupted", *BACKEND]
    child = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = "interrupted.metrics.jsonl"
    end = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < end:
        if os.path.exists(metrics) and content(metrics).count(b'"step"') > 3:
            child.send_signal(signal.SIGINT)
            break
        time.sleep(0.001)
    if child.wait() != 0:  # it was not faster than we
        check(child.returncode == 130, f"exit code {child.returncode}")
        check(os.path.exists("interrupted/optimizer.safetensors"), "the state of the run is not beside the adapter")
    fails(2, ["adapter.rank is 4, expected 5"], "merit_train", *["5" if option == "4" else option for option in LORA], "--out", "interrupted", "--resume")
    succeeds("merit_train", *LORA, "--out", "interrupted", "--resume")
    check(content("interrupted", "adapter_model.safetensors") == content("lora", "adapter_model.safetensors"),
          "a resumed adapter has other bits")


def test_an_adapter_whose_base_has_moved():
    expected = scores("lora")
    shutil.copytree("lora", "moved")
    config = json.loads(content("moved", "adapter_config.json"))
    config["base_model_name_or_path"] = "someone/somewhere"
    with open("moved/adapter_config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)
    fails(1, ["someone/somewhere", "--base"], "merit_score", "--model", "moved", "eval.jsonl")
    check(scores("moved", "--base", "model") == expected, "the base that is given is another")
    fails(2, ["--base is given", "holds no adapter"], "merit_score", "--model", "model", "--base", "model", "eval.jsonl")


def test_several_adapters_of_one_base_score_in_turn():
    expected = {"first": scores("lora"), "lora_on": scores("lora_on")}
    chosen = ["--model", "model", "--adapter", "first=lora", "--adapter", "lora_on/"]
    lines = succeeds("merit_score", *chosen, "eval.jsonl").splitlines()
    check(len(lines) == 2 * len(expected["first"]), f"{len(lines)} lines")
    for number, line in enumerate(lines):
        name, *found = line.split("\t")
        check(name == ["first", "lora_on"][number % 2], line)
        check(tuple(map(float, found)) == expected[name][number // 2], f"{line}: {expected[name][number // 2]}")
    records = [json.loads(line) for line in succeeds("merit_score", *chosen, "--json", "eval.jsonl").splitlines()]
    check([r["adapter"] for r in records[:4]] == ["first", "lora_on"] * 2 and [r["index"] for r in records[:4]] == [0, 0, 1, 1],
          str(records[:4]))
    # One alone is the model, without a name; beside an adapter's own folder that is "default".
    check(scores("model", "--adapter", "lora") == expected["first"], "one adapter of a base is another than by its folder")
    names = {line.split("\t")[0] for line in succeeds("merit_score", "--model", "lora", "--adapter", "lora_on", "eval.jsonl").splitlines()}
    check(names == {"default", "lora_on"}, str(names))
    # Of merit_evaluate the one that is named; what it was trained on is no news.
    of_folder = json.loads(succeeds("merit_evaluate", "--model", "lora_on", "eval.jsonl", "--json"))
    result = run("merit_evaluate", "--model", "model", "--adapter", "lora_on", "eval.jsonl", "--json")
    check(result.returncode == 0 and json.loads(result.stdout)["accuracy"] == of_folder["accuracy"], str(result))
    check("was trained on" not in result.stderr, result.stderr)
    fails(2, ["--adapter is given, but lora holds an adapter itself"], "merit_evaluate", "--model", "lora", "--adapter", "lora_on",
          "eval.jsonl")
    fails(2, ["--adapter means nothing with --cross-validate"], "merit_evaluate", "--adapter", "lora", "--cross-validate", "2",
          "--config", "none", "eval.jsonl")
    fails(2, ["model holds no adapter"], "merit_score", "--model", "model", "--adapter", "model", "eval.jsonl")
    fails(2, ["two adapters are called"], "merit_score", "--model", "model", "--adapter", "a=lora", "--adapter", "a=lora_on", "eval.jsonl")


def test_a_base_that_is_not_the_one_an_adapter_names_is_said_once():
    shutil.copytree("model", "other/base")
    for named, base, said in ((os.path.abspath("model"), "other/base", True), ("someone/base", "other/base/", False),
                              ("someone/else", "other/base", True), (None, "other/base", False)):
        shutil.rmtree("named", ignore_errors=True)
        shutil.copytree("lora", "named")
        config = json.loads(content("named", "adapter_config.json"))
        config["base_model_name_or_path"] = named
        with open("named/adapter_config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        for options in (["--model", base, "--adapter", "named"], ["--model", "named", "--base", base],
                        ["--model", base, "--adapter", "lora_on", "--adapter", "named"]):
            stderr = run("merit_score", *options, "eval.jsonl").stderr
            found = [line for line in stderr.splitlines() if "named: the adapter was trained on" in line]
            check(len(found) == said, f"{named} {options}: {stderr}")
            check(not said or (named in found[0] and base in found[0]), stderr)


def test_recomputed_layers_and_ranks_by_name():
    deep = ["--train", "train.jsonl", "--backbone", "llama", "--hidden-size", "16", "--layers", "5", "--heads", "2", "--max-steps", "3"]
    for layers in ("0", "2", "all"):
        succeeds("merit_train", *deep, "--recompute", layers, "--out", f"deep_{layers}")
        check(content(f"deep_{layers}", "model.safetensors") == content("deep_0", "model.safetensors"), f"{layers}: other bits")
    plan = json.loads(succeeds("merit_train", *deep, "--recompute", "all", "--out", "planned", "--dry-run", "--json"))["recompute"]
    check([p["layers"] for p in plan] == [0, 2, 4] and [p["chosen"] for p in plan] == [False, False, True], str(plan))
    check(plan[2]["bytes_per_token"] < plan[1]["bytes_per_token"] < plan[0]["bytes_per_token"], str(plan))
    fails(2, ["--recompute"], "merit_train", *LORA, "--recompute", "some", "--out", "planned")
    fails(2, ["recompute is 999, expected at most 5, the layers that are trained"], "merit_train", *deep, "--recompute", "999",
          "--out", "planned")
    fails(2, ["recompute is 4, expected at most 3"], "merit_train", *deep, "--recompute", "4", "--frozen-layers", "2", "--out", "planned")
    succeeds("merit_train", *LORA, "--lora-rank-pattern", "q_proj=2", "--lora-alpha-pattern", "0.self_attn.v_proj=3", "--max-steps", "1",
             "--out", "ranks")
    config = json.loads(content("ranks", "adapter_config.json"))
    check(config["rank_pattern"] == {"q_proj": 2} and config["alpha_pattern"] == {"0.self_attn.v_proj": 3.0}, str(config))
    check(scores("ranks") != scores("model"), "nothing was learnt")
    for wrong in ("q_proj", "q_proj=0", "=2", "nothing=2"):
        fails(2, [wrong.split("=")[0] or "NAME=NUMBER"] if wrong != "q_proj=0" else ["rank is 0"], "merit_train", *LORA,
              "--lora-rank-pattern", wrong, "--out", "planned")


def test_a_plan_of_an_adapter_says_what_it_holds():
    plans = {}
    for name, options in (("adapter", LORA), ("all", LORA[:4] + ["--lr", "0.003"])):
        plans[name] = json.loads(succeeds("merit_train", *options, "--out", "planned", "--dry-run", "--json"))
    adapter, everything = plans["adapter"], plans["all"]
    check(adapter["trained_parameters"] < everything["trained_parameters"] == everything["parameters"], str(plans))
    for field in ("gradient_bytes", "optimizer_bytes"):
        check(0 < adapter[field] < everything[field], f"{field}: {plans}")
    check(adapter["weight_bytes"] > everything["weight_bytes"] and adapter["bytes_per_token"] > 0, str(plans))
    text = succeeds("merit_train", *LORA, "--out", "planned", "--dry-run")
    check("MB of gradients" in text and "kB of activations for each of" in text, text)


def test_what_is_no_adapter_is_refused():
    fails(2, ["--lora-", "--from"], "merit_train", "--train", "train.jsonl", "--lora-rank", 4, "--out", "none")
    fails(2, ["\"nothing\"", "q_proj"], "merit_train", "--from", "model", "--train", "train.jsonl", "--lora-targets", "nothing",
          "--out", "none")
    fails(2, ["--frozen-layers"], "merit_train", *LORA, "--frozen-layers", 1, "--out", "none")
    fails(2, ["is an adapter itself"], "merit_train", "--from", "lora", "--train", "train.jsonl", "--lora-rank", 4, "--out",
          "none")
    fails(2, ["\"q_proj\"", "whole name"], "merit_train", "--from", "model", "--train", "train.jsonl", "--lora-pattern", "q_proj",
          "--out", "none")
    check(not os.path.exists("none"), "something was written")
    succeeds("merit_train", "--from", "model", "--train", "train.jsonl", "--lora-pattern", ".*q_proj", "--max-steps", 1, "--out",
             "patterned")
    check(json.loads(content("patterned", "adapter_config.json"))["target_modules"] == ".*q_proj", "the pattern is lost")
    check("--lora-rank" in run("merit_train", "--help").stdout, "the help does not name it")
