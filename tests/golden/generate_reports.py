#!/usr/bin/env python3
"""Writes reports.json: what the evaluation reports of each kind of record say, computed with NumPy, SciPy and
scikit-learn in other ways than the library computes them (every subset, every threshold and every pair is looked at).

    python3 -m venv golden-env
    golden-env/bin/pip install numpy scipy scikit-learn
    golden-env/bin/python tests/golden/generate_reports.py
"""
import itertools
import json
import pathlib

import numpy as np
import scipy.stats
import sklearn.metrics

ROOT = pathlib.Path(__file__).resolve().parent
rng = np.random.default_rng(20261123)


def listed(array):
    return [float(value) for value in np.asarray(array).ravel()]


def ints(array):
    return [int(value) for value in np.asarray(array).ravel()]


# ---- Outcomes: 12 problems of 4 or 5 completions, with ties of scores and of answers ---------------------------------
def best_of(scores, correct, n):
    credits = []
    for subset in itertools.combinations(range(len(scores)), n):
        top = max(scores[i] for i in subset)
        credits.append(np.mean([correct[i] for i in subset if scores[i] == top]))
    return np.mean(credits)


def passing(correct, n):
    return np.mean([max(correct[i] for i in s) for s in itertools.combinations(range(len(correct)), n)])


def vote(answers, correct, weights, n):
    credits = []
    for subset in itertools.combinations(range(len(answers)), n):
        sums = {}
        for i in subset:
            sums[answers[i]] = sums.get(answers[i], 0) + weights[i]
        top = max(sums.values())
        credits.append(np.mean([np.mean([c for a, c in zip(answers, correct) if a == answer])
                                for answer, total in sums.items() if total == top]))
    return np.mean(credits)


completions = []
for problem in range(12):
    for _ in range(4 + problem % 2):
        right = int(rng.random() < 0.45)
        probability = float(np.round(np.clip(0.5 + 0.2 * (2 * right - 1) + rng.normal(0, 0.25), 0, 1) * 16) / 16)
        answer = str(problem) if right else ["x", "y", ""][rng.integers(3)]
        completions.append({"probability": probability, "label": right, "problem": 7 * problem + 3,
                            "length": int(rng.integers(5, 12) + 3 * right), "lines": int(rng.integers(1, 4)),
                            "states_answer": bool(answer), "answer": answer})
p = np.array([c["probability"] for c in completions])
y = np.array([c["label"] for c in completions])


def by_problem(values):
    problems = {}
    for value, c in zip(values, completions):
        problems.setdefault(c["problem"], []).append(value)
    return list(problems.values())


answers = by_problem([c["answer"] or f"none {i}" for i, c in enumerate(completions)])
labels = by_problem([int(v) for v in y])
bins = np.minimum((p * 10).astype(int), 9)
judges = {"longest": [c["length"] for c in completions], "shortest": [-c["length"] for c in completions],
          "most lines": [c["lines"] for c in completions], "fewest lines": [-c["lines"] for c in completions],
          "states an answer": [int(c["states_answer"]) for c in completions]}
outcome = {
    "completions": completions,
    "threshold": 0.4,
    "area_under_curve": sklearn.metrics.roc_auc_score(y, p),
    "accuracy": sklearn.metrics.accuracy_score(y, p >= 0.4),
    "right": float(y.mean()),
    "brier": sklearn.metrics.brier_score_loss(y, p),
    "brier_of_the_share": float(np.var(y)),
    "calibration_error": float(sum(abs(p[bins == b].mean() - y[bins == b].mean()) * (bins == b).mean()
                                   for b in range(10) if (bins == b).any())),
    "chosen": [float(np.mean([best_of(s, c, n) for s, c in zip(by_problem(p), labels)])) for n in range(1, 5)],
    "pass": [float(np.mean([passing(c, n) for c in labels])) for n in range(1, 5)],
    "majority": [float(np.mean([vote(a, c, [1] * len(a), n) for a, c in zip(answers, labels)])) for n in range(1, 5)],
    "weighted_majority": float(np.mean([vote(a, c, w, 4) for a, c, w in zip(answers, labels, by_problem(p))])),
    "baselines": {name: {"area_under_curve": sklearn.metrics.roc_auc_score(y, judged),
                         "chosen": [float(np.mean([best_of(s, c, n) for s, c in zip(by_problem(judged), labels)]))
                                    for n in range(1, 5)]} for name, judged in judges.items()},
}

# ---- Steps: labels stop at the first error; every threshold between two scores is tried ------------------------------
solutions = []
for i in range(40):
    length = int(rng.integers(2, 7))
    error = int(rng.integers(length)) if rng.random() < 0.6 else -1
    good = [1 if error < 0 or s < error else 0 if s == error else None for s in range(length)]
    scores = np.round(np.clip([0.7 if g is None or g else 0.4 for g in good] + rng.normal(0, 0.2, length), 0, 1), 2)
    solutions.append({"scores": listed(scores), "good": good, "error": error, "problem": i // 2})


def first_errors(threshold):
    return [next((i for i, s in enumerate(one["scores"]) if s < threshold), -1) for one in solutions]


def process_bench(threshold):
    predicted = np.array(first_errors(threshold))
    actual = np.array([one["error"] for one in solutions])
    found = np.mean(predicted[actual >= 0] == actual[actual >= 0])
    accepted = np.mean(predicted[actual < 0] == -1)
    f1 = 2 * found * accepted / (found + accepted) if found + accepted > 0 else 0.0
    return f1, float(np.mean(predicted == actual)), float(found), float(accepted)


borders = sorted({s for one in solutions for s in one["scores"]})
tried = [borders[0]] + [(a + b) / 2 for a, b in zip(borders, borders[1:])] + [borders[-1] + 1]
best = max(process_bench(t)[:2] for t in tried)
flat = [(s, g) for one in solutions for s, g in zip(one["scores"], one["good"]) if g is not None]
step_scores, step_good = np.array([s for s, _ in flat]), np.array([g for _, g in flat])
at = 0.55
f1, exact, found, accepted = process_bench(at)
steps = {
    "solutions": [{key: one[key] for key in ("scores", "good", "problem")} for one in solutions],
    "best_f1": float(best[0]), "best_exact": float(best[1]),
    "threshold": at, "f1": float(f1), "exact": exact, "found": found, "accepted": accepted,
    "step_accuracy": sklearn.metrics.accuracy_score(step_good, step_scores >= at),
    "f1_of_good": sklearn.metrics.f1_score(step_good, step_scores >= at),
    "f1_of_bad": sklearn.metrics.f1_score(step_good, step_scores >= at, pos_label=0),
    "macro_f1": sklearn.metrics.f1_score(step_good, step_scores >= at, average="macro"),
    "area_under_curve": sklearn.metrics.roc_auc_score(step_good, step_scores),
    "all_good": float(step_good.mean()),
    "no_error": float(np.mean([one["error"] < 0 for one in solutions])),
    "first_step": float(np.mean([one["error"] == 0 for one in solutions])),
}

# ---- Rankings ----------------------------------------------------------------------------------------------------------
rankings = []
for _ in range(15):
    size = int(rng.integers(3, 7))
    ranks = rng.integers(0, size, size)
    while len(set(ranks)) == 1:
        ranks = rng.integers(0, size, size)
    ranks = scipy.stats.rankdata(ranks, method="dense") - 1
    rankings.append({"scores": listed(np.round(-0.5 * ranks + rng.normal(0, 1, size), 0)), "ranks": ints(ranks),
                     "lengths": ints(rng.integers(3, 8, size))})


def pair_accuracy(key):
    credits = []
    for one in rankings:
        for a, b in itertools.permutations(range(len(one["ranks"])), 2):
            if one["ranks"][a] < one["ranks"][b]:
                credits.append((np.sign(key(one)[a] - key(one)[b]) + 1) / 2)
    return float(np.mean(credits)), len(credits)


def top(key):
    credits = []
    for one in rankings:
        judged = np.array(key(one))
        credits.append(np.mean(np.array(one["ranks"])[judged == judged.max()] == 0))
    return float(np.mean(credits))


def correlation(function):
    values = [function(one["scores"], [-r for r in one["ranks"]])[0] for one in rankings if len(set(one["scores"])) > 1]
    return float(np.mean(values))


ranking = {"rankings": rankings, "pairs": pair_accuracy(lambda one: one["scores"])[1],
           "kendall": correlation(scipy.stats.kendalltau), "spearman": correlation(scipy.stats.spearmanr),
           "top_by_chance": top(lambda one: [0] * len(one["ranks"]))}
for name, key in {"model": lambda one: one["scores"], "longest": lambda one: one["lengths"],
                  "shortest": lambda one: [-v for v in one["lengths"]]}.items():
    ranking[name] = {"pair_accuracy": pair_accuracy(key)[0], "top": top(key)}

# ---- Ratings and returns -------------------------------------------------------------------------------------------------
prompts = np.repeat(np.arange(14), 3)
given = rng.integers(1, 6, 42).astype(float)
predicted = np.round(given + rng.normal(0, 1.5, 42), 1)
lengths = rng.integers(3, 30, 42) + given.astype(int)
credits = [(np.sign(predicted[a] - predicted[b]) + 1) / 2 for a, b in itertools.permutations(range(42), 2)
           if prompts[a] == prompts[b] and given[a] > given[b]]
ratings = {"scores": listed(predicted), "ratings": listed(given), "prompts": ints(prompts), "lengths": ints(lengths),
           "pearson": scipy.stats.pearsonr(predicted, given)[0], "spearman": scipy.stats.spearmanr(predicted, given)[0],
           "kendall": scipy.stats.kendalltau(predicted, given)[0],
           "mean_squared_error": sklearn.metrics.mean_squared_error(given, predicted),
           "error_of_the_mean": float(np.var(given)), "pair_accuracy": float(np.mean(credits)), "pairs": len(credits),
           "length_spearman": scipy.stats.spearmanr(lengths, given)[0]}

returns = np.round(rng.normal(1, 2, 60), 2)
value = np.round(0.6 * returns + rng.normal(0.5, 1, 60), 2)
values = {"values": listed(value), "returns": listed(returns), "rollouts": ints(np.arange(60) // 6),
          "explained_variance": sklearn.metrics.explained_variance_score(returns, value),
          "mean_squared_error": sklearn.metrics.mean_squared_error(returns, value),
          "error_of_the_mean": float(np.var(returns)), "correlation": scipy.stats.pearsonr(value, returns)[0]}

# ---- An interval over groups: the standard error of a ratio of sums over groups, by the jackknife ----------------------
groups = rng.integers(1, 9, 50)
hits = np.array([rng.binomial(n, rng.choice([0.3, 0.9])) for n in groups])
without = np.array([(hits.sum() - h) / (groups.sum() - n) for h, n in zip(hits, groups)])
ratio = {"sums": listed(hits), "counts": listed(groups), "value": float(hits.sum() / groups.sum()),
         "standard_error": float(np.sqrt(49 / 50 * ((without - without.mean()) ** 2).sum()))}

# ---- RewardBench: sections by the published weights -----------------------------------------------------------------------
chosen_of = {"Chat": {"alpacaeval-easy": 100, "mt-bench-med": 40}, "Chat Hard": {"llmbar-natural": 100},
             "Reasoning": {"math-prm": 984, "hep-cpp": 164, "hep-rust": 164}}
pairs = []
for subsets in chosen_of.values():
    for subset in subsets:
        for _ in range(int(rng.integers(3, 9))):
            pairs.append([subset, int(rng.integers(0, 4)), int(rng.integers(0, 3)), int(rng.integers(3, 6)),
                          int(rng.integers(3, 6))])


def sections(win):
    accuracy = {}
    for subset in {pair[0] for pair in pairs}:
        accuracy[subset] = np.mean([win(pair) for pair in pairs if pair[0] == subset])
    return {section: float(np.average([accuracy[s] for s in subsets], weights=list(subsets.values())))
            for section, subsets in chosen_of.items()}


won, longer = sections(lambda pair: pair[1] > pair[2]), sections(lambda pair: pair[3] > pair[4])
reward_bench = {"pairs": pairs, "sections": won, "score": float(np.mean(list(won.values()))),
                "longer_wins": float(np.mean(list(longer.values())))}

parts = {"outcome": outcome, "steps": steps, "ranking": ranking, "ratings": ratings, "values": values, "ratio": ratio,
         "reward_bench": reward_bench}
lines = [f"{json.dumps(name)}: {json.dumps(part)}" for name, part in parts.items()]
(ROOT / "reports.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
