"""merit_judge evaluated as a reward model is: benchmarks as they are published, pages, subsets, and what counts as lost.

Run by programs_test.py, in the folder that its own tests left.
"""
import json
import math
import os

from helpers import check, content, fails, run, succeeds, write_lines
from judge import make_writer, pairs, report_of, write_given

LLM_BAR = [{"input": f"question {i}", "output_1": f"right {i}", "output_2": f"a longer answer {i}", "label": 1 + i % 2} for i in range(8)]


def test_benchmarks_have_the_figures_of_every_other_model():
    writer = make_writer()
    write_lines("llm_bar.jsonl", LLM_BAR)
    judge = ["--model", writer, "llm_bar.jsonl"]
    report = report_of(*judge, "--reading", "logits", "--out", "bar_votes.jsonl", "--report", "judge.html")
    figures = report["evaluation"]
    check(figures["benchmark"]["layout"] == "llm_bar" and figures["pairs"] == 8, str(figures))
    check(figures["accuracy"] == report["agreement_of_logits"] == figures["benchmark"]["accuracy"], str(report))
    votes = [json.loads(line) for line in content("bar_votes.jsonl").splitlines()]
    check([vote["response_a"] for vote in votes] == [f"right {i}" if i % 2 == 0 else f"a longer answer {i}" for i in range(8)], str(votes))
    # The loss and the margins are those of the probabilities.
    loss = -sum(math.log(vote["probability_of_a"]) for vote in votes) / 8
    check(abs(figures["loss"] - loss) < 1e-9, f"{figures} {loss}")
    page = content("judge.html").decode()
    for said in ("Evaluation of random_writer", "mean of subsets", "first place", "Reliability of pairs", "Sure and wrong", "question 0"):
        check(said in page, said)
    # The baseline of length is the one that merit_evaluate has beside a reward model with that tokenizer.
    make_rm = ["merit_train", "--from", writer, "--train", "to_judge.jsonl", "--out", "of_writer", "--epochs", 1, "--max-steps", 1]
    write_lines("to_judge.jsonl", pairs())
    succeeds(*make_rm)
    model = json.loads(succeeds("merit_evaluate", "--model", "of_writer", "llm_bar.jsonl", "--json"))
    check(model["longer_wins"] == figures["longer_wins"] and set(model) - set(figures) <= {"loss"}, f"{model} {figures}")
    check(set(model["benchmark"]) == set(figures["benchmark"]), f"{model} {figures}")
    text = succeeds("merit_judge", *judge, "--reading", "logits", "--layout", "llm_bar")
    check("agreement by the mean logits of both orders" in text and "layout llm_bar\naccuracy" in text, text)


def test_a_tie_counts_half_and_what_has_no_verdict_nothing():
    writer = make_writer()
    write_lines("llm_bar.jsonl", LLM_BAR)
    judge = ["--model", writer, "llm_bar.jsonl", "--max-new-tokens", 3, "--template"]
    ties = report_of(*judge, write_given("[[A]]"))
    check(ties["ties"] == 8 and ties["evaluation"]["ties"] == 8, str(ties))
    check(ties["evaluation"]["benchmark"]["accuracy"]["value"] == 0.5 and ties["agreement"]["value"] == 0.5, str(ties))
    none = report_of(*judge, write_given("I cannot say."))
    check(none["without_verdict"] == 8 and none["evaluation"]["ties"] == 0, str(none))
    check(none["evaluation"]["benchmark"]["accuracy"]["value"] == 0 and none["evaluation"]["left_out"] == 0, str(none))
    # RewardBench loses ties too; groups are compared two by two.
    rows = [{"prompt": f"q{i}", "chosen": "x", "rejected": "yy", "chosen_model": "m", "rejected_model": "n", "subset": subset, "id": i}
            for i, subset in enumerate(("alpacaeval-easy", "math-prm", "donotanswer"))]
    write_lines("reward_bench.jsonl", rows)
    judge[2] = "reward_bench.jsonl"
    for reply in ("[[A]]", "I cannot say."):
        figures = report_of(*judge, write_given(reply))["evaluation"]["benchmark"]
        check(figures["score"]["value"] == 0 and figures["pairs"] == 3 and figures["ties"] == (3 if reply == "[[A]]" else 0), str(figures))
    group = {"id": "1", "prompt": "p", "chosen": ["r"], "rejected": ["w", "ww", "www"], "subset": "Math"}
    write_lines("reward_bench_2.jsonl", [group])
    judge[2] = "reward_bench_2.jsonl"
    report = report_of(*judge, write_given("[[A]]"))
    check(report["pairs"] == 6 and report["evaluation"]["benchmark"]["subsets"]["Math"]["accuracy"]["value"] == 0.25, str(report))
    check(report_of(*judge, write_given("?"))["evaluation"]["benchmark"]["score"] == 0, "without a verdict all is lost")
    write_lines("rm_bench.jsonl", [{"id": "1", "prompt": "p", "chosen": ["a", "b", "c"], "rejected": ["d", "e", "f"], "domain": "chat"}])
    judge[2] = "rm_bench.jsonl"
    report = report_of(*judge, write_given("?"))
    check(report["pairs"] == 15 and report["evaluation"]["benchmark"]["all"]["mean"] == 0, str(report))
    # A rating in words: of what has none the better answer stands below, the other above.
    with open("rate_nothing.json", "w", encoding="utf-8") as file:
        json.dump({"messages": [{"role": "user", "content": "{question}: {answer}"}]}, file)
    check(report_of(*judge, "rate_nothing.json")["evaluation"]["benchmark"]["all"]["mean"] == 0, "without a rating all is lost")


def test_records_of_ones_own_have_the_page_and_their_subsets():
    writer = make_writer()
    records = [dict(record, source=["ours", "theirs"][i % 2]) for i, record in enumerate(pairs(10))]
    write_lines("to_judge.jsonl", records)
    judge = ["--model", writer, "--reading", "logits"]
    check("evaluation" not in report_of(*judge, "to_judge.jsonl"), "nobody asked for it")
    report = report_of(*judge, "to_judge.jsonl", "--report", "own.html", "--subset-field", "source")
    figures = report["evaluation"]
    check(report["report"] == "own.html" and figures["accuracy"] == report["agreement_of_logits"], str(report))
    check({name: part["pairs"] for name, part in figures["subsets"].items()} == {"ours": 5, "theirs": 5}, str(figures))
    check("source ours" in succeeds("merit_judge", *judge, "to_judge.jsonl", "--subset-field", "source"), "its subsets")
    # Votes with more for the second answer: it is the better one.
    write_lines("b_wins.jsonl", [{"prompt": r["prompt"], "response_a": r["rejected"], "response_b": r["chosen"], "votes": ["b"]}
                                 for r in records])
    swapped = report_of(*judge, "b_wins.jsonl", "--report", "own.html")["evaluation"]
    check(swapped["accuracy"] == figures["accuracy"] and abs(swapped["loss"] - figures["loss"]) < 1e-6, f"{swapped} {figures}")
    ratings = [{"prompt": f"q{i}", "completions": ["x", "yy", "zzz"], "scores": [1, 2, i % 3]} for i in range(4)]
    write_lines("rated_set.jsonl", ratings)
    figures = report_of(*judge, "rated_set.jsonl", "--report", "own.html")["evaluation"]
    check(figures["spearman"] and figures["mean_squared_error"] is None, str(figures))


def test_benchmarks_and_reports_are_refused_with_the_reason():
    writer = make_writer()
    write_lines("llm_bar.jsonl", LLM_BAR)
    judge = ["merit_judge", "--model", writer, "--reading", "logits"]
    for option in (["--limit", 2], ["--subset-field", "source"], ["--on-error", "skip"]):
        fails(2, [option[0], "llm_bar.jsonl is the benchmark llm_bar", "read whole"], *judge, "llm_bar.jsonl", *option)
    fails(2, ["none", "reward_bench, reward_bench_2"], *judge, "llm_bar.jsonl", "--layout", "none")
    fails(1, ["llm_bar.jsonl:1", "'prompt'"], *judge, "llm_bar.jsonl", "--layout", "reward_bench")
    write_lines("process.jsonl", [{"id": "gsm8k-1", "problem": "p", "steps": ["a", "b"], "label": 1, "final_answer_correct": False,
                                   "generator": "g"}])
    fails(2, ["process_bench", "no answers of which one is better", "llm_bar"], *judge, "process.jsonl")
    for option in (["--layout", "llm_bar"], ["--report", "page.html"], ["--subset-field", "source"]):
        fails(2, [option[0], "without FILE"], *judge, *option, stdin="{}")
    write_lines("to_judge.jsonl", pairs(2))
    fails(2, ["--report", "to_judge.jsonl"], *judge, "to_judge.jsonl", "--report", "to_judge.jsonl")
    fails(2, ["--out and --report", "two files"], *judge, "to_judge.jsonl", "--report", "one.html", "--out", "one.html")
    write_lines("other.html", [{"a": 1}])
    fails(1, ["other.html", "something else than a report"], *judge, "to_judge.jsonl", "--report", "other.html")
    write_lines("unlabelled.jsonl", [{"prompt": "p", "completions": ["a", "b"]}])
    fails(1, ["unlabelled.jsonl"], *judge, "unlabelled.jsonl", "--report", "page.html")
    write_lines("not_shown.jsonl", [*pairs(2), {"chosen": "x", "rejected": "y"}])
    result = run(*judge, "not_shown.jsonl", "--on-error", "skip", "--report", "page.html")
    check(result.returncode == 1 and "not_shown.jsonl:3: found a record that a judge cannot be shown" in result.stderr, str(result))
    check(not os.path.exists("page.html"), "a refused run wrote a page")
