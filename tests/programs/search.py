"""merit_search from outside: the strategies on the embedded task, their costs, a language model as the policy, and bad input.

Run by programs_test.py, in the folder that its own tests left.
"""
import json
import os
import random
import shutil

from helpers import check, fails, run, succeeds, write_lines

DIGITS = 4
PROPOSALS = 4


def sorting(rng, digits, error_rate):
    """A solution as the embedded task has them under the rule up, and whether each line builds on no error."""
    left = list(digits)
    rng.shuffle(left)
    done, lines, labels, right = [left.pop()], [], [], True
    while left:
        digit = left.pop()
        place = sum(other < digit for other in done)
        if rng.random() < error_rate:
            place = rng.choice([i for i in range(len(done) + 1) if i != place])
            right = False
        done.insert(place, digit)
        lines.append("".join(done) + "|" + "".join(sorted(left, key=digits.index)))
        labels.append(right)
    if rng.random() < error_rate:
        done[0], done[1] = done[1], done[0]
        right = False
    return lines + ["A: " + "".join(done)], labels + [right]


def prompts(rng, count):
    for _ in range(count):
        digits = "".join(rng.sample("0123456789", DIGITS))
        yield digits, f"Q: sort {digits} up\n"


def search(*arguments, model="search_model", stdin=None):
    files = [] if stdin is not None else ["problems.jsonl"]
    return [json.loads(line) for line in succeeds("merit_search", "--model", model, *arguments, *files, stdin=stdin).splitlines()]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def make_model():
    rng = random.Random(5)
    records = []
    for digits, prompt in prompts(rng, 2000):
        for _ in range(4):
            steps, labels = sorting(rng, digits, 0.2)
            records.append({"prompt": prompt, "completions": steps, "labels": labels})
    write_lines("search_steps.jsonl", records)
    write_lines("problems.jsonl", [{"prompt": prompt} for _, prompt in prompts(rng, 40)])
    succeeds("merit_train", "--kind", "steps", "--train", "search_steps.jsonl", "--out", "search_model", "--hidden-size", 64,
             "--layers", 2, "--heads", 4, "--init-deviation", 0.1, "--lr", 0.003, "--batch-size", 32, "--epochs", 2)


def test_a_search_finds_what_the_policy_alone_does_not():
    make_model()
    policy = ["--policy", "embedded", "--error-rate", 0.3]
    alone = search(*policy, "--strategy", "step_best_of_n", "--proposals", 1)
    check(all(one["generated"] == one["expanded"] == DIGITS for one in alone), str(alone[0]))
    found = {strategy: search(*policy, "--strategy", strategy)
             for strategy in ("beam", "step_best_of_n", "best_first", "diverse_beam")}
    for strategy, answers in found.items():
        check([one["index"] for one in answers] == list(range(40)), f"{strategy}: the order of records")
        check(all(one["end"] == "finished" for one in answers), strategy)
        share = mean(one["right"] for one in answers)
        check(share > 0.25 + mean(one["right"] for one in alone), f"{strategy}: {share} are right, no better than the policy")
        check(all(one["generated"] == PROPOSALS * one["expanded"] for one in answers), strategy)
        for one in answers:
            check(len(one["steps"]) == len(one["scores"]) and one["solution"] == "".join(s + "\n" for s in one["steps"]), str(one))
            check(0 < one["tokens_computed"] and 0 < one["tokens_reused"], str(one))
    check(all(one["generated"] == PROPOSALS * DIGITS for one in found["step_best_of_n"]), "one branch a round")
    check(all(one["generated"] == PROPOSALS * PROPOSALS * DIGITS for one in found["diverse_beam"]), "four searches side by side")
    check(all(one["crowded_out"] == 0 for one in found["best_first"]), "best_first lets none go")

    # A session computes the prompt once and every new line once, whatever stays; the scores are those of merit_score.
    longest = len("Q: sort 0123 up\n") + PROPOSALS * (3 * len("012|3\n") + len("A: 0123\n"))
    check(all(one["tokens_computed"] <= longest for one in found["step_best_of_n"]), str(found["step_best_of_n"][0]))
    problems = [json.loads(line) for line in open("problems.jsonl", encoding="utf-8")]
    records = "".join(json.dumps({**problem, "completion": one["solution"]}) + "\n" for problem, one in zip(problems, found["beam"]))
    lines = succeeds("merit_score", "--model", "search_model", "--json", "--rows", stdin=records).splitlines()
    for scored, one in zip(map(json.loads, lines), found["beam"]):
        check(abs(scored["score"] - one["score"]) < 1e-4, f"{scored} {one}")
        check(all(abs(a - b) < 1e-4 for a, b in zip(scored["rows"], one["scores"])), f"{scored} {one}")

    # The same again is the same, another seed is another search.
    check(search(*policy) == found["beam"], "the same search is another")
    check(search(*policy, "--seed", 1) != found["beam"], "another seed is the same search")
    everything = search(*policy, "--all")[0]
    scores = [one["score"] for one in everything["solutions"]]
    check(scores == sorted(scores, reverse=True) and scores[0] == everything["score"] and len(scores) > 1, str(scores))


def test_a_policy_that_never_errs_is_right_and_one_that_always_does_is_pruned():
    check(all(one["right"] for one in search("--policy", "embedded", "--error-rate", 0)), "all lines were right")
    wrong = search("--policy", "embedded", "--error-rate", 1, "--prune-below", 1)
    check(all(one["end"] == "all_pruned" and one["solution"] is None and "score" not in one for one in wrong), str(wrong[0]))
    limited = search("--policy", "embedded", "--max-steps", 2)
    check(all(one["end"] == "step_limit" and one["rounds"] == 2 for one in limited), str(limited[0]))
    poor = search("--policy", "embedded", "--strategy", "best_first", "--expansions", 2, "--beam-width", 1)
    check(all(one["end"] == "budget" and one["expanded"] == 2 for one in poor), str(poor[0]))


def test_a_language_model_writes_and_models_of_completions_judge():
    # A reward model's backbone without its head is a language model, which babbles bytes.
    shutil.copytree("search_model", "search_writer")
    os.remove("search_writer/merit.json")
    policy = ["--policy", "search_writer", "--policy-tokenizer", "bytes", "--max-step-tokens", 6, "--proposals", 3, "--max-steps", 3,
              "--beam-width", 2]
    babbled = search(*policy, "--temperature", 1.5)
    check(len(babbled) == 40, str(len(babbled)))
    for one in babbled:
        check(one["generated"] == 3 * one["expanded"] and one["policy_tokens_computed"] > 0 and one["policy_tokens_reused"] > 0, str(one))
        # Each round writes at most 6 tokens a proposal, of which the last is computed when it is built on.
        check(one["policy_tokens_computed"] <= 20 + one["expanded"] * (3 * 6 + 8), str(one))
    check(search(*policy, "--temperature", 1.5) == babbled, "the same search is another")
    greedy = search(*policy, "--temperature", 0)
    check(all(one["repeated"] == 2 * one["expanded"] for one in greedy), "the most likely step is one")
    likeliest = search(*policy, "--temperature", 1.5, "--min-p", 1)
    check(all(one["repeated"] == 2 * one["expanded"] for one in likeliest), "--min-p leaves the most likely token alone")
    chat = json.dumps({"prompt": [{"role": "user", "content": "Hi"}]}) + "\n"
    refused = run("merit_search", "--model", "search_model", *policy, stdin=chat)
    check(refused.returncode == 1 and "template" in refused.stdout, refused.stdout + refused.stderr)

    by_completions = search("--policy", "embedded", model="model")
    check(all(one["end"] == "finished" and one["score"] == one["scores"][-1] for one in by_completions), str(by_completions[0]))
    problem = json.loads(open("problems.jsonl", encoding="utf-8").readline())
    alone = float(succeeds("merit_score", "--model", "model", stdin=json.dumps({**problem, "completion": by_completions[0]["solution"]}) + "\n"))
    check(abs(alone - by_completions[0]["score"]) < 1e-4 * max(1, abs(alone)), f"{alone} {by_completions[0]}")


def test_searches_that_cannot_be_are_one_sentence():
    usual = ["--model", "search_model", "--policy", "embedded"]
    fails(2, ["--model is missing"], "merit_search", "--policy", "embedded", stdin="")
    fails(2, ["--policy is missing"], "merit_search", "--model", "search_model", stdin="")
    fails(2, ["--strategy", "widest", "diverse_beam"], "merit_search", *usual, "--strategy", "widest", stdin="")
    fails(2, ["beam_width is 3", "step_best_of_n"], "merit_search", *usual, "--strategy", "step_best_of_n", "--beam-width", 3, stdin="")
    fails(2, ["--expansions", "best_first"], "merit_search", *usual, "--expansions", 3, stdin="")
    fails(2, ["proposals is", "at most 65536"], "merit_search", *usual, "--proposals", 2**64 - 1, stdin="")
    fails(2, ["beam_width is", "at most 65536"], "merit_search", *usual, "--strategy", "diverse_beam", "--beam-width", 2**40, stdin="")
    fails(2, ["--session-memory is", "at most"], "merit_search", *usual, "--session-memory", 2**44, stdin="")
    fails(2, ["--last", "mean_of_last"], "merit_search", *usual, "--last", 3, stdin="")
    fails(2, ["aggregate.last is 0"], "merit_search", *usual, "--aggregation", "mean_of_last", "--last", 0, stdin="")
    fails(2, ["--temperature", "embedded"], "merit_search", *usual, "--temperature", 1, stdin="")
    fails(2, ["--error-rate", "language model"], "merit_search", "--model", "search_model", "--policy", "x", "--error-rate", 0.1, stdin="")
    fails(1, ["nowhere"], "merit_search", "--model", "search_model", "--policy", "nowhere", stdin="")
    fails(1, ["nofile"], "merit_search", *usual, "nofile")
    bad = '{"prompt": "hello"}\n{"completion": "a"}\n{"prompt": "Q: sort 3120 up\\n"}\nnonsense\n'
    result = run("merit_search", *usual, stdin=bad)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    check(result.returncode == 1 and ["error" in one for one in answers] == [True, True, False, True], result.stdout)
    check(all(f"standard input:{one['line']}" in one["error"] for one in answers if "error" in one), result.stdout)
    fails(1, ["standard input:1", "hello"], "merit_search", *usual, "--on-error", "stop", stdin=bad)
