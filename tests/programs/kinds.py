"""Every kind of record from training to scores, by the programs from outside; and each bad input of its own.

Run by programs_test.py, in the folder that its own tests left.
"""
import gzip
import json
import os
import random
import re
import shutil
import subprocess

from helpers import BACKEND, ENVIRONMENT, SMALL, check, content, fails, program, run, solutions, succeeds, write_lines

def usual(*arguments):
    """The usual small options but for those that are among the arguments."""
    options = {"--backbone": "llama", "--hidden-size": 16, "--layers": 1, "--heads": 2, "--lr": 0.003, "--epochs": 6,
               "--batch-size": 8}
    return [*(part for item in options.items() if item[0] not in arguments for part in item), *arguments]


def train(kind, *arguments, name=None):
    """Trains on kind_train.jsonl, evaluates on kind_eval.jsonl, and checks that merit_evaluate says the same."""
    out = name or f"{kind}_model"
    result = json.loads(succeeds("merit_train", "--kind", kind, "--train", f"{kind}_train.jsonl", "--eval",
                                 f"{kind}_eval.jsonl", "--out", out, "--json", *usual(*arguments)))
    check(result["kind"] == kind and result["evaluation"]["kind"] == kind, str(result))
    card = json.loads(content(out, "merit.json"))
    check(card["kind"] == kind, str(card))
    again = json.loads(succeeds("merit_evaluate", "--model", out, f"{kind}_eval.jsonl", "--json"))
    for field, value in result["evaluation"].items():
        check(again[field] == value, f"{kind} {field}: {again[field]} is not {value} as in training")
    return result, card


def value_of(report, field):
    return report[field]["value"]


# ---- Kinds -------------------------------------------------------------------------------------------------------


def ranking_records(count, seed):
    """The more letters are in order, the better."""
    rng = random.Random(seed)
    for _ in range(count):
        letters = [rng.choice("abcdefgh") for _ in range(6)]
        completions = []
        for kept in (6, 4, 2):
            shuffled = sorted(letters)
            rest = shuffled[kept:]
            rng.shuffle(rest)
            completions.append("".join(shuffled[:kept]) + "".join(rest).upper())
        order = list(range(3))
        rng.shuffle(order)
        yield {"prompt": "sort " + "".join(letters) + "\n", "completions": [completions[i] for i in order], "ranks": order,
               "scores": [float(3 - i) for i in order]}


def test_ranking_and_ratings():
    for which, seed in (("train", 1), ("eval", 2)):
        records = list(ranking_records(80 if which == "train" else 25, seed))
        write_lines(f"ranking_{which}.jsonl", [{k: v for k, v in r.items() if k != "scores"} for r in records])
        write_lines(f"ratings_{which}.jsonl", [{k: v for k, v in r.items() if k != "ranks"} for r in records])
        write_lines(f"attributes_{which}.jsonl",
                    [{"prompt": r["prompt"], "completions": r["completions"], "scores": [[s, -s] for s in r["scores"]]}
                     for r in records])
    result, card = train("ranking", "--ties", "breslow", "--top", 2)
    check((result["head"], result["loss"]) == ("scalar", "plackett_luce"), str(result))
    check(card["loss"]["ties"] == "breslow" and card["loss"]["top"] == 2, str(card))
    check(value_of(result["evaluation"], "pair_accuracy") > 0.8, str(result["evaluation"]))
    check(card["reward_deviation"] > 0, "the rewards of the training set are measured")
    train("ranking", "--loss", "pairwise", "--margin", "strength:llama2_small", name="balanced")
    result, card = train("ranking", "--loss", "hinge", "--hinge-margin", 0.5, name="hinge")
    check(card["loss"]["margin"] == 0.5 and card["head"]["bias"] is False, str(card))
    check(value_of(result["evaluation"], "pair_accuracy") > 0.8, str(result["evaluation"]))
    train("ranking", "--head", "two_layer", "--inner-size", 8, name="two_layer")
    succeeds("merit_train", "--kind", "ranking", "--train", "ranking_train.jsonl", "--out", "joined", "--join-conversations",
             *SMALL)

    result, card = train("ratings", "--lr", 0.01)
    check(result["loss"] == "regression" and value_of(result["evaluation"], "spearman") > 0.5, str(result))
    train("ratings", "--loss", "pairwise", "--margin", "rating:0.5", name="rated_pairs")
    os.rename("attributes_train.jsonl", "both_train.jsonl")
    result = json.loads(succeeds("merit_train", "--kind", "ratings", "--head", "attributes", "--train", "both_train.jsonl",
                                 "--eval", "attributes_eval.jsonl", "--out", "attributes", "--json",
                                 *usual("--merge-weights", "1,-1")))
    check(len(result["evaluation"]["attributes"]) == 2, str(result["evaluation"]))
    check(json.loads(content("attributes", "merit.json"))["head"]["merge_weights"] == [1, -1], "the weights are kept")
    fails(1, ["both_train.jsonl:1", "2 attributes", "expected 1"], "merit_train", "--kind", "ratings", "--train", "both_train.jsonl", "--out",
          "never", *SMALL)

    # Rerank: the order of the scores, best first.
    lines = content("ranking_eval.jsonl").decode()
    scores = [json.loads(line) for line in succeeds("merit_score", "--model", "ranking_model", "--json", "--rerank",
                                                    stdin=lines).splitlines()]
    plain = succeeds("merit_score", "--model", "ranking_model", "--rerank", stdin=lines).splitlines()
    for entry, line in zip(scores, plain):
        best_first = sorted(range(3), key=lambda i: -entry["scores"][i])
        check(entry["order"] == best_first and line.split("\t") == [str(i) for i in best_first], f"{entry} {line}")
    normalised = [json.loads(line)["scores"] for line in succeeds("merit_score", "--model", "ranking_model", "--json",
                                                                  "--normalised", stdin=lines).splitlines()]
    card = json.loads(content("ranking_model", "merit.json"))
    expected = (scores[0]["scores"][0] - card["reward_mean"]) / card["reward_deviation"]
    check(abs(normalised[0][0] - expected) < 1e-4, "mean and deviation of the card")
    succeeds("merit_train", "--kind", "ranking", "--train", "ranking_eval.jsonl", "--out", "unmeasured",
             "--no-reward-statistics", *SMALL)
    check(json.loads(content("unmeasured", "merit.json"))["reward_mean"] is None, "the rewards are not measured")
    fails(2, ["--normalised", "reward mean"], "merit_score", "--model", "unmeasured", "--normalised", stdin=lines)


def outcome_records(count, seed):
    for record in solutions(count, seed):
        right = -1 not in record["labels"]
        yield {"prompt": record["prompt"], "completion": "\n".join(record["completions"]) + "\n", "label": right}


def test_outcome():
    write_lines("outcome_train.jsonl", outcome_records(300, 1))
    write_lines("outcome_eval.jsonl", outcome_records(120, 2))
    write_lines("outcome_more.jsonl", outcome_records(120, 3))
    result, card = train("outcome", "--denominator", "per_sequence", "--focal", 1, "--positive-weight", 1.5, "--calibrate",
                         "outcome_more.jsonl")
    check((result["head"], result["loss"]) == ("token", "binary_cross_entropy"), str(result))
    check(card["loss"]["denominator"] == "per_sequence" and card["loss"]["focal"] == 1, str(card))
    check(card["aggregation"] == "mean" and card["calibration"] == "platt" and card["labels"] == ["right"], str(card))
    check(value_of(result["evaluation"], "area_under_curve") > 0.8, str(result["evaluation"]))
    names = [baseline["name"] for baseline in result["evaluation"]["baselines"]]
    check("longest" in names and "shortest" in names, str(names))

    # Rows are the tokens of the completion with its end of sequence; their mean is the score.
    lines = content("outcome_eval.jsonl").decode()
    entries = [json.loads(line) for line in succeeds("merit_score", "--model", "outcome_model", "--json", "--rows",
                                                     stdin=lines).splitlines()]
    records = [json.loads(line) for line in lines.splitlines()]
    for entry, record in zip(entries, records):
        check(len(entry["rows"]) == len(record["completion"]) + 1, str(entry))
        check(abs(sum(entry["rows"]) / len(entry["rows"]) - entry["score"]) < 1e-9, str(entry))
    for aggregation, expected in (("minimum", min), ("last", lambda rows: rows[-1])):
        other = [float(line) for line in succeeds("merit_score", "--model", "outcome_model", "--aggregation", aggregation,
                                                  stdin=lines).splitlines()]
        check(all(abs(a - expected(e["rows"])) < 1e-9 for a, e in zip(other, entries)), aggregation)
    calibrated = [float(line) for line in succeeds("merit_score", "--model", "outcome_model", "--normalised",
                                                   stdin=lines).splitlines()]
    check(all(0 < p < 1 for p in calibrated), "calibrated scores are probabilities")
    by_score = sorted(range(len(entries)), key=lambda i: entries[i]["score"])
    check(all(calibrated[a] <= calibrated[b] + 1e-9 for a, b in zip(by_score, by_score[1:])), "calibration keeps the order")

    train("outcome", "--head", "scalar", "--label-smoothing", 0.1, name="scalar_outcome")
    result, card = train("outcome", "--head", "completion_binary", "--class-weights", "1,2", name="class_outcome")
    check(card["labels"] == ["bad", "good"] and card["loss"]["class_weights"] == [1, 2], str(card))
    result, card = train("outcome", "--head", "verifier", "--language-model-weight", 0.5, name="verifier")
    check(card["head"]["name"] == "joint" and card["loss"]["second_weight"] == 0.5, str(card))
    check(float(succeeds("merit_score", "--model", "verifier", "--prompt", "take ab\n", "--completion", "a\nb\n")) > 0, "a score")
    train("outcome", "--backbone", "gpt2", "--hidden-size", 16, "--max-positions", 64, name="gpt2_outcome")


def test_steps():
    write_lines("steps_train.jsonl", solutions(300, 1))
    write_lines("steps_eval.jsonl", solutions(120, 2))
    write_lines("steps_more.jsonl", solutions(120, 3))
    result, card = train("steps", "--calibrate", "steps_more.jsonl", "--class-weights", "1,1,1", "--epochs", 10)
    check((result["head"], result["loss"]) == ("step_ternary", "cross_entropy"), str(result))
    check(card["labels"] == ["bad", "neutral", "good"] and card["step_separator"] == "\n", str(card))
    check(card["aggregation"] == "product" and 0 < card["step_threshold"] < 1, str(card))
    check(value_of(result["evaluation"], "step_accuracy") > 0.9, str(result["evaluation"]))
    check(result["train"]["labels"] > 0 and result["train"]["unlabelled"] > 0, str(result["train"]))

    # A steps record and its text cut at the separator have the same steps.
    record = json.loads(content("steps_eval.jsonl").decode().splitlines()[0])
    steps = json.loads(succeeds("merit_score", "--model", "steps_model", "--json", "--rows", stdin=json.dumps(record) + "\n"))
    text = json.dumps({"prompt": record["prompt"], "completion": "\n".join(record["completions"]) + "\n"}) + "\n"
    cut = json.loads(succeeds("merit_score", "--model", "steps_model", "--json", "--rows", stdin=text))
    check(len(steps["rows"]) == len(record["completions"]) and steps["rows"] == cut["rows"], f"{steps} {cut}")
    check(all(0 <= p <= 1 for p in steps["rows"]), str(steps))
    evaluated = json.loads(succeeds("merit_evaluate", "--model", "steps_model", "outcome_eval.jsonl", "--json"))
    check(evaluated["kind"] == "outcome", "a model of steps judges whole solutions too")

    binary = [dict(r, labels=[None if v is None else v > 0 for v in r["labels"]]) for r in solutions(200, 4)]
    write_lines("steps_train.jsonl", binary)
    write_lines("steps_eval.jsonl", binary[:60])
    result, card = train("steps", name="binary_steps")
    check((result["head"], result["loss"]) == ("step_logit", "binary_cross_entropy"), str(result))
    train("steps", "--head", "step_binary", "--after-first-error", "unlabelled", "--last-step-only", name="two_classes")
    check_as_trl("two_classes")
    train("steps", "--head", "token_logits", "--step-separator", "\\n\\n", name="named_tokens")
    check(json.loads(content("named_tokens", "merit.json"))["step_separator"] == "\n\n", "the separator's escapes")


def check_as_trl(model):
    """Without its card the folder is one that TRL might have made, where no separator is put behind a prompt."""
    shutil.copytree(model, "as_trl")
    os.remove("as_trl/merit.json")
    record = {"prompt": "take ab", "completions": ["a", "b"], "labels": [True, False]}
    separated = dict(record, prompt=record["prompt"] + "\n")

    def rows(folder, of):
        return json.loads(succeeds("merit_score", "--model", folder, "--tokenizer", "bytes", "--json", "--rows",
                                   stdin=json.dumps(of) + "\n"))["rows"]

    check(rows(model, record) == rows(model, separated) == rows("as_trl", separated), "the prompt has the separator")
    check(rows("as_trl", record) != rows("as_trl", separated), "as TRL the prompt stands as it is")
    # What goes on from it, keeps to that unless told otherwise.
    common = ["merit_train", "--from", "as_trl", "--tokenizer", "bytes", "--kind", "steps", "--train", "steps_eval.jsonl",
              "--head", "step_binary"]
    for said, expected in (([], "trl"), (["--step-layout", "separated"], "separated")):
        succeeds(*common, *said, "--out", f"on_{expected}")
        check(json.loads(content(f"on_{expected}", "merit.json"))["step_layout"] == expected, expected)
    succeeds("merit_train", "--from", "on_trl", "--kind", "steps", "--train", "steps_eval.jsonl", "--out", "on_and_on")
    check(json.loads(content("on_and_on", "merit.json"))["step_layout"] == "trl", "a card is kept to")
    fails(2, ["step layout", "separated, trl"], *common, "--step-layout", "TRL", "--out", "never")
    # A published head of another kind is left, and it is said.
    result = run("merit_train", "--from", "as_trl", "--tokenizer", "bytes", "--kind", "steps", "--train", "steps_eval.jsonl",
                 "--head", "step_logit", "--out", "other_head")
    check(result.returncode == 0 and "is step_binary, the model's is step_logit and starts anew" in result.stderr, result.stderr)


def test_what_contradicts_a_card():
    for option, said, carded in (("--step-separator", ";", "\\n"), ("--step-layout", "trl", "separated"),
                                 ("--head", "step_logit", "step_binary"), ("--reading", "tag:5", "last")):
        shown = carded.replace("\\n", "\\x0a")
        fails(2, [option, said, "contradicts", shown], "merit_score", "--model", "two_classes", option, said, stdin="")
        succeeds("merit_score", "--model", "two_classes", option, carded, stdin="")
    fails(2, ["--step-layout", "scalar"], "merit_score", "--model", "model", "--step-layout", "trl", stdin="")
    fails(2, ["chat template"], "merit_train", "--kind", "steps", "--train", "steps_eval.jsonl", "--step-layout", "chat_turns",
          "--out", "never", *usual("--epochs", 1))


def test_value_and_judge():
    for which, seed in (("train", 1), ("eval", 2)):
        rollouts = [{"prompt": r["prompt"], "completion": r["completion"], "reward": 1.0 if r["label"] else 0.0,
                     "values": [0.5] * (len(r["completion"].encode()) + 1)}  # one a byte, and the end of sequence
                    for r in outcome_records(150, seed)]
        write_lines(f"value_{which}.jsonl", rollouts)
        rng = random.Random(seed)
        judged = []
        for r in solutions(120, seed, wrong=0):
            good = "\n".join(r["completions"])
            bad = good.replace(r["completions"][0], "z", 1)
            swap = rng.random() < 0.5
            judged.append({"prompt": r["prompt"], "response_a": bad if swap else good, "response_b": good if swap else bad,
                           "votes": ["b" if swap else "a"] * 2 + ["tie"]})
        write_lines(f"judge_{which}.jsonl", judged)
    result, card = train("value", "--gamma", 0.99, "--value-clip", 0.5, "--lr", 0.01)
    check((result["head"], card["aggregation"]) == ("value", "last"), str(card))
    check(result["evaluation"]["explained_variance"] is not None, str(result["evaluation"]))
    result, _ = train("judge")
    check(value_of(result["evaluation"], "accuracy") > 0.7, str(result["evaluation"]))
    # The texts are those of the chosen and the rejected one, whichever of them was a.
    judged = [{"prompt": "p", "response_a": "x\n\ny" if a else "x y z", "response_b": "x y z" if a else "x\n\ny",
               "votes": ["a" if a else "b"]} for a in (True, False, False)]
    write_lines("judge_lines.jsonl", judged)
    evaluated = json.loads(succeeds("merit_evaluate", "--model", "judge_model", "judge_lines.jsonl", "--json"))
    check(value_of(evaluated, "more_lines_win") == 1, str(evaluated))


# ---- Keeping the best ---------------------------------------------------------------------------------------------


def test_patience_keeps_the_best():
    arguments = ["--train", "train.jsonl", "--eval", "eval.jsonl", "--evaluate-every", 5, "--patience", 2,
                 *usual("--lr", 0.03, "--batch-size", 16)]
    result = json.loads(succeeds("merit_train", *arguments, "--out", "best", "--json"))
    events = [json.loads(line) for line in open("best.metrics.jsonl", encoding="utf-8")]
    seen = {e["step"]: e["headline"] for e in events if e["event"] == "evaluate"}
    check(result["best_step"] == min(step for step in seen if seen[step] == max(seen.values())), f"{result} {seen}")
    check(value_of(result["evaluation"], "accuracy") == max(seen.values()), "the best one is what is saved")
    check(not os.path.exists("best.best"), "nothing is left beside it")

    # Killed again and again, it keeps the same one.
    rng = random.Random(7)
    kills = 0
    command = [program("merit_train"), *map(str, arguments), *BACKEND, "--out", "best_killed", "--checkpoint-every", "1", "--resume"]
    while kills < 5:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
        try:
            process.wait(timeout=rng.uniform(0.02, 0.12))
            break  # it was faster than we
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT, timeout=120)
    check(content("best_killed", "model.safetensors") == content("best", "model.safetensors"), f"{kills} kills changed the best")
    check(not os.path.exists("best_killed.best"), "nothing is left beside it")


# ---- Benchmarks and the page --------------------------------------------------------------------------------------


def test_benchmarks():
    rows = [{"prompt": "sort ba\n", "chosen": "ab", "rejected": "ba", "subset": subset, "id": i}
            for i, subset in enumerate(["math-prm", "hep-cpp", "alpacaeval-easy"] * 3)]
    write_lines("rewardbench.jsonl", rows)
    report = json.loads(succeeds("merit_evaluate", "--model", "model", "rewardbench.jsonl", "--json"))["benchmark"]
    check(report["layout"] == "reward_bench" and set(report["sections"]) == {"Chat", "Reasoning"}, str(report))
    four = [{"id": str(i), "prompt": "sort cba\n", "chosen": ["abc"], "rejected": ["cba", "bca", "cab"], "subset": "Math"}
            for i in range(3)]
    four += [{"id": "ref:0", "prompt": "a letter\n", "chosen": ["a"], "rejected": ["1", "2"], "subset": "Ties"},
             {"id": "tied:0", "prompt": "any letter\n", "chosen": ["a", "b"], "rejected": ["1", "2"], "subset": "Ties"}]
    write_lines("rewardbench2.jsonl", four)
    report = json.loads(succeeds("merit_evaluate", "--model", "model", "rewardbench2.jsonl", "--json"))["benchmark"]
    check(report["layout"] == "reward_bench_2" and "ties" in report and "Math" in report["subsets"], str(report))
    with open("rmbench.json", "w", encoding="utf-8") as file:
        json.dump([{"id": "1", "prompt": "sort ba\n", "chosen": ["ab", "ab!", "*ab*"], "rejected": ["ba", "ba!", "*ba*"],
                    "domain": "chat"}], file)
    report = json.loads(succeeds("merit_evaluate", "--model", "model", "rmbench.json", "--json"))["benchmark"]
    check(report["layout"] == "rm_bench" and "chat" in report, str(report))
    process = [{"id": f"gsm8k-{r['number']}", "generator": "g", "problem": r["prompt"], "steps": r["completions"],
                "final_answer_correct": -1 not in r["labels"], "label": r["labels"].index(-1) if -1 in r["labels"] else -1}
               for r in solutions(40, 9)]
    write_lines("processbench.jsonl", process)
    report = json.loads(succeeds("merit_evaluate", "--model", "steps_model", "processbench.jsonl", "--json"))
    check(report["benchmark"]["mean_f1"] > 0.5 and list(report["benchmark"]["subsets"]) == ["gsm8k"], str(report["benchmark"]))
    write_lines("gsm8k.jsonl", [{"question": "take ab", "ground_truth": "b", "6b_finetuning": {"solution": "a\nb\nA: b", "is_correct": True},
                                 "175b_finetuning": {"solution": "a\nz\nA: z", "is_correct": False}}] * 3)
    report = json.loads(succeeds("merit_evaluate", "--model", "outcome_model", "gsm8k.jsonl", "--json"))
    check(report["benchmark"]["layout"] == "gsm8k_solutions" and report["completions"] == 2, str(report))
    check(report["benchmark"]["repeated_rows"] == 2, str(report["benchmark"]))  # of three alike one counts
    write_lines("llmbar.jsonl", [{"input": "sort ba", "output_1": "ba", "output_2": "ab", "label": 2}])
    report = json.loads(succeeds("merit_evaluate", "--model", "model", "llmbar.jsonl", "--json", "--layout", "llm_bar"))
    check(report["benchmark"]["layout"] == "llm_bar" and report["pairs"] == 1, str(report))
    judged = [{"pair_id": str(i), "original_id": i, "source": source, "question": "sort cba\n", "response_model": "m",
               "response_A": "abc" if a else "cba", "response_B": "cba" if a else "abc", "label": "A>B" if a else "B>A"}
              for i, (source, a) in enumerate([("mmlu-pro-law", True), ("livebench-math", False), ("mmlu-pro-law", False)])]
    write_lines("judgebench.jsonl", judged)
    report = json.loads(succeeds("merit_evaluate", "--model", "model", "judgebench.jsonl", "--json"))
    check(report["benchmark"]["layout"] == "judge_bench" and set(report["benchmark"]["subsets"]) == {"Knowledge", "Math"}, str(report))
    # A and B change places and the better answer is the same: all three pairs are one.
    check(report["accuracy"]["value"] in (0, 1) and report["pairs"] == 3, str(report))
    write_lines("prmbench.jsonl", [
        {"idx": f"{kind}_{r['number']}", "original_question": r["prompt"], "modified_question": r["prompt"],
         "original_process": r["completions"], "modified_process": r["completions"], "modified_steps": [r["labels"].index(-1) + 1],
         "error_steps": [k + 1 for k, label in enumerate(r["labels"]) if label == -1], "reason": "", "classification": kind}
        for kind in ("circular", "deception") for r in solutions(40, 9) if -1 in r["labels"]])
    report = json.loads(succeeds("merit_evaluate", "--model", "steps_model", "prmbench.jsonl", "--json"))["benchmark"]
    check(report["layout"] == "prm_bench" and report["prm_score"] > 0.6, str(report))
    check(report["classes"]["circular"] == report["classes"]["deception"], "the same rows: " + str(report))
    fails(2, ["process_bench", "scalar"], "merit_evaluate", "--model", "model", "processbench.jsonl")
    fails(2, ["--limit", "llm_bar", "read whole"], "merit_evaluate", "--model", "model", "llmbar.jsonl", "--layout", "llm_bar", "--limit", "1")
    fails(2, ["layout", "mt_bench"], "merit_evaluate", "--model", "model", "eval.jsonl", "--layout", "mt_bench")


def test_report_page():
    """A page for each kind: whole, and without anything from the network."""
    for model, file in (("model", "eval.jsonl"), ("ranking_model", "ranking_eval.jsonl"), ("ratings_model", "ratings_eval.jsonl"),
                        ("outcome_model", "outcome_eval.jsonl"), ("binary_steps", "steps_eval.jsonl"),
                        ("value_model", "value_eval.jsonl"), ("model", "rewardbench.jsonl")):
        succeeds("merit_evaluate", "--model", model, file, "--report", "report.html")
        page = content("report.html").decode()
        check(page.lstrip().lower().startswith("<!doctype html") and "</html>" in page, f"{model}: no whole page")
        check("<svg" in page, f"{model}: nothing is drawn")
        # Namespaces are names, not addresses that are fetched.
        check(not re.search(r'(src|href)\s*=\s*["\']?(https?:)?//', page), f"{model}: the page asks the network for something")
        os.remove("report.html")
    fails(1, ["no/report.html"], "merit_evaluate", "--model", "model", "eval.jsonl", "--report", "no/report.html")


# ---- Bad input ----------------------------------------------------------------------------------------------------


def test_bad_input_of_each_kind():
    def bad(kind, record, *parts, code=1, arguments=()):
        write_lines("wrong.jsonl", record if isinstance(record, list) else [record])
        fails(code, parts, "merit_train", "--kind", kind, "--train", "wrong.jsonl", "--out", "never", *SMALL, *arguments)

    three = {"prompt": "p", "completions": ["a", "b", "c"]}
    bad("outcome", {"prompt": "p", "completion": "a", "label": "maybe"}, "wrong.jsonl:1", "label", "maybe")
    bad("steps", {"prompt": "p", "completions": ["a"], "labels": [7]}, "wrong.jsonl:1", "labels[0]", "7")
    bad("judge", {"prompt": "p", "response_a": "a", "response_b": "b", "votes": ["c"]}, "wrong.jsonl:1", "votes[0]")
    bad("ranking", dict(three, ranks=[0, 1]), "wrong.jsonl:1", "ranks", "2", "3")
    bad("ranking", dict(three, ranks=[0, 1, -2]), "wrong.jsonl:1", "ranks[2]", "-2")
    bad("steps", {"prompt": "p", "completions": ["a"], "labels": [1]}, "separator", code=2, arguments=["--step-separator", ""])
    good = {"prompt": "p", "completion": "a", "label": True}
    bad("outcome", [good, dict(three, ranks=[0, 1, 2])], "wrong.jsonl:2", "outcome", "ranking")
    bad("outcome", {"prompt": "p", "completion": None, "label": True}, "wrong.jsonl:1", "completion")
    bad("ranking", {"prompt": "p", "completions": ["a"], "ranks": [0]}, "wrong.jsonl", "one completion")
    bad("steps", {"prompt": "p", "completions": ["a"], "labels": [None]}, "wrong.jsonl", "no step had a label")
    write_lines("mixed.jsonl", [good])
    fails(1, ["train.jsonl", "preference", "outcome"], "merit_evaluate", "--model", "model", "mixed.jsonl", "train.jsonl")
    # One-completion groups among others are counted.
    write_lines("singles.jsonl", [dict(three, ranks=[0, 1, 2]), {"prompt": "p", "completions": ["a"], "ranks": [0]}])
    result = json.loads(succeeds("merit_train", "--kind", "ranking", "--train", "singles.jsonl", "--out", "singles", *SMALL, "--json"))
    check(result["train"]["dropped_single"] == 1 and result["train"]["kept"] == 1, str(result["train"]))


def test_options_of_other_kinds():
    base = ["merit_train", "--train", "train.jsonl", "--out", "never"]
    fails(2, ["--kind", "pairs", "preference, ranking"], *base, "--kind", "pairs")
    fails(2, ["--head token", "scalar with pairwise"], *base, "--head", "token")
    fails(2, ["--loss cross_entropy", "scalar with pairwise"], *base, "--loss", "cross_entropy")
    fails(2, ["--head step_logit --loss cross_entropy", "step_ternary with cross_entropy"], "merit_train", "--kind", "steps",
          "--train", "steps_train.jsonl", "--out", "never", "--head", "step_logit", "--loss", "cross_entropy")
    fails(2, ["--focal", "pairwise", "binary_cross_entropy"], *base, "--focal", 2)
    fails(2, ["--top", "plackett_luce"], *base, "--top", 2)
    fails(2, ["--step-separator", "preference", "steps"], *base, "--step-separator", ";")
    fails(2, ["--merge-weights", "scalar", "attributes"], *base, "--merge-weights", "1,2")
    fails(2, ["--margin", "rating:1", "record"], *base, "--margin", "rating:1")
    fails(2, ["--calibration", "--calibrate"], *base, "--calibration", "platt")
    write_lines("vectors.jsonl", [{"completion_features": [1, 2, 3, 4, 5], "label": True}])
    fails(2, ["features", "token"], "merit_train", "--kind", "outcome", "--train", "vectors.jsonl", "--out", "never",
          "--backbone", "features", "--width", 5)
    fails(2, ["bag_of_tokens", "verifier"], "merit_train", "--kind", "outcome", "--train", "outcome_train.jsonl", "--out", "never",
          "--backbone", "bag_of_tokens", "--head", "verifier")
    fails(2, ["steps", "scalar"], "merit_evaluate", "--model", "model", "steps_eval.jsonl")
    fails(2, ["--aggregation"], "merit_score", "--model", "model", "--aggregation", "mean", stdin="")
    fails(2, ["--rows", "--json"], "merit_score", "--model", "outcome_model", "--rows", stdin="")
    fails(2, ["--normalised"], "merit_score", "--model", "verifier", "--normalised", stdin="")
    fails(1, ["standard input:1", "completions"], "merit_score", "--model", "model", "--rerank", stdin='{"completion": "a"}\n')
    check(not os.path.exists("never"), "a run that never began left something behind")


# ---- Files in other forms ------------------------------------------------------------------------------------------

BAG = ["--backbone", "bag_of_tokens", "--width", "16", "--threads", "1"]


def test_forms_of_files():
    rows = [{"question": f"Say {i}", "chosen": "good", "rejected": "bad", "source": "ab"[i % 2], "score_chosen": 3,
             "score_rejected": 1} for i in range(8)]
    with open("array.json", "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)
    with gzip.open("lines.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    with open("table.csv", "w", encoding="utf-8") as file:
        file.write("question,chosen,rejected,source,score_chosen,score_rejected\n")
        file.writelines(f"Say {i},good,bad,{'ab'[i % 2]},3,1\n" for i in range(8))
    weights = set()
    for form in ("array.json", "lines.jsonl.gz", "table.csv"):
        result = run("merit_train", "--train", form, "--out", "forms", "--overwrite", "--json", "--rename", "question=prompt",
                     "--margin", "scores", *BAG)
        check(result.returncode == 0, result.stderr)
        check('field that is not read: "source" (in 8)' in result.stderr, result.stderr)
        check("have no prompt" not in result.stderr, result.stderr)
        weights.add(content("forms", "model.safetensors"))
    check(len(weights) == 1, "the same records in other forms train another model")
    said = run("merit_train", "--train", "array.json", "--out", "forms", "--overwrite", *BAG).stderr
    check("8 of 8 records have no prompt; --rename question=prompt reads 'question' as it" in said, said)
    part = json.loads(succeeds("merit_train", "--train", "array.json:0.5", "--select", "source=a", "--limit", 3, "--out", "forms",
                               "--overwrite", "--json", *BAG))
    check(part["train"]["records"] == 3, str(part["train"]))
    scores = succeeds("merit_score", "--model", "forms", "--rename", "question=prompt", "lines.jsonl.gz")
    check(len(scores.splitlines()) == 8, scores)
    report = json.loads(succeeds("merit_evaluate", "--model", "forms", "--json", "--rename", "question=prompt", "table.csv"))
    check(report["records"]["kept"] == 8, str(report["records"]))
    fails(2, ["--rename nothing=prompt", "array.json", "nothing"], "merit_train", "--train", "array.json", "--out", "never", "--rename",
          "nothing=prompt", *BAG)
    fails(2, ["--rename", "question=prompt"], "merit_train", "--train", "array.json", "--out", "never", "--rename", "question", *BAG)
    fails(2, ["empty path"], "merit_train", "--train", "", "--out", "never", *BAG)
    split = json.loads(succeeds("merit_train", "--train", "train.jsonl", "--validation-split", 0.2, "--out", "forms", "--overwrite",
                                "--json", *BAG))
    check(split["evaluation"]["kind"] == "preference", str(split))
    with open("config.json", "w", encoding="utf-8") as file:
        json.dump({"lr": 0.1, "learning_rate": 0.2, "epochs": 1.0}, file)
    fails(2, ["lr", "learning_rate", "give one"], "merit_train", "--config", "config.json", "--train", "array.json", "--out", "never",
          *BAG)


def test_a_run_before_it_is_one_and_cross_validation():
    plan = json.loads(succeeds("merit_train", "--train", "train.jsonl", "--out", "planned", "--dry-run", "--max-steps", 7, "--json", *BAG))
    check(plan["steps"] == 7 and plan["records"] == 300 and "|" in plan["record"], str(plan))
    check(not os.path.exists("planned") and not os.path.exists("planned.metrics.jsonl"), "a dry run wrote something")
    options = ["--cross-validate", 3, "--json"]
    found = json.loads(succeeds("merit_train", "--train", "train.jsonl", "--epochs", 2, *options, *BAG))
    check(found["records"] == 300 and found["folds"] == 3, str(found))
    check(found["figures"][0]["baseline"] == "longer wins" and found["figures"][0]["folds"] == 3, str(found))
    with open("way.json", "w", encoding="utf-8") as file:
        json.dump({BAG[i].lstrip("-"): BAG[i + 1] for i in range(0, len(BAG), 2)} | {"epochs": 2}, file)
    same = json.loads(succeeds("merit_evaluate", "--config", "way.json", *options, "train.jsonl"))
    check(same["figures"] == found["figures"], f"{same} is not {found}")
    fails(2, ["--out means nothing with --cross-validate"], "merit_train", "--train", "train.jsonl", "--out", "never", *options)
    fails(2, ["--config is missing"], "merit_evaluate", *options, "train.jsonl")
    fails(2, ["no option --lerning-rate, did you mean --learning-rate?"], "merit_train", "--lerning-rate", 1)
    check(succeeds("merit_score", "--version").startswith("merit_score "), "no version")
    result = run("merit_train", "--train", "train.jsonl", "--out", "watched", "--tensorboard", "logs", *BAG)
    check(result.returncode == 0 and len(os.listdir("logs")) == 1, result.stderr)



def test_data():
    write_lines("published.jsonl", [{"prompt": "P", "response_0": "a", "response_1": "b", "better_response_id": i % 2}
                                    for i in range(3)])
    said = json.loads(succeeds("merit_data", "published.jsonl", "--json", "--out", "own.jsonl"))["files"][0]
    check(said["layout"] == "pku_safe_rlhf" and said["records"] == 3 and said["duplicates"] == 1, str(said))
    own = [json.loads(line) for line in content("own.jsonl").splitlines()]
    check(own[1] == {"prompt": "P", "chosen": "b", "rejected": "a"}, str(own))
    check("2 prompts of" not in succeeds("merit_data", "published.jsonl", "own.jsonl"), "one prompt is in both")
    check("1 prompt of published.jsonl also in own.jsonl" in succeeds("merit_data", "published.jsonl", "own.jsonl"), "overlap")
    fails(2, ["--out is own.jsonl"], "merit_data", "own.jsonl", "--out", "own.jsonl")


def test_words_at_the_end_of_a_prompt_learn():
    for name, ends in (("glued", ""), ("colon", ": ")):
        for part, names in (("train", "ada ben cy dee eve fay gus hal ira jo kit lou"), ("eval", "sue tom uma vic wes xia yan zed")):
            write_lines(f"{name}_{part}.jsonl", [{"prompt": f"Write to {who}{ends}", "chosen": "good", "rejected": "bad"}
                                                 for who in names.split()])
        result = json.loads(succeeds("merit_train", "--train", f"{name}_train.jsonl", "--eval", f"{name}_eval.jsonl", "--json",
                                     "--tokenizer", "words:65536", "--epochs", 60, "--lr", 0.05, "--out", "words", "--overwrite",
                                     *BAG))
        check(value_of(result["evaluation"], "accuracy") == 1, f"{name}: {result['evaluation']}")
