#!/usr/bin/env python3
"""Writes rl.json: advantages, whitening, calibration and benchmark scores, computed with NumPy, PyTorch, SciPy and
scikit-learn in other ways than the library computes them (sums written out instead of recursions, general-purpose
optimisers instead of Newton's method).

    python3 -m venv golden-env
    golden-env/bin/pip install torch numpy scipy scikit-learn
    golden-env/bin/python tests/golden/generate_rl.py
"""
import json
import pathlib

import numpy as np
import scipy.optimize
import scipy.special
import sklearn.metrics
import torch

ROOT = pathlib.Path(__file__).resolve().parent
rng = np.random.default_rng(20261122)


def rounded(count, scale=1.0, digits=3):
    """Short numbers, so that the file stays readable and ties happen."""
    return np.round(rng.normal(0, scale, count), digits)


def listed(array):
    return [float(value) for value in np.asarray(array).ravel()]


# ---- Advantages: A_t is the sum over l of (γλ)^l δ_{t+l}, written out ------------------------------------------------
def written_out(rewards, values, gamma, lam):
    following = np.append(values[1:], 0.0)
    deltas = rewards + gamma * following - values
    steps = np.arange(len(rewards))
    powers = np.triu((gamma * lam) ** np.clip(steps[None, :] - steps[:, None], 0, None))
    return powers @ deltas


def gae_case(name, rewards, values, gamma, lam, mask, masked):
    mask = np.asarray(mask)
    advantages = np.zeros(len(rewards))
    kept = mask == 1
    if masked == "skip":  # the sequence without its masked tokens
        advantages[kept] = written_out(rewards[kept], values[kept], gamma, lam)
    else:
        advantages = written_out(rewards * mask, values * mask, gamma, lam) * mask
    returns = (advantages + values) * mask
    return {"name": name, "rewards": listed(rewards), "values": listed(values), "gamma": gamma, "lambda": lam,
            "mask": [int(m) for m in mask], "masked": masked, "advantages": listed(advantages),
            "returns": listed(returns)}


gae = []
for masked in ("skip", "zero"):
    gae.append(gae_case(f"no mask, {masked}", rounded(6), rounded(6), 0.98, 0.9, [1] * 6, masked))
    gae.append(gae_case(f"tool tokens inside, {masked}", rounded(9), rounded(9), 0.95, 0.9,
                        [1, 1, 0, 0, 1, 1, 0, 1, 1], masked))
    gae.append(gae_case(f"masked at both ends, {masked}", rounded(8), rounded(8), 1.0, 0.95,
                        [0, 1, 1, 0, 1, 1, 0, 0], masked))
    gae.append(gae_case(f"Monte Carlo, {masked}", rounded(5), rounded(5), 1.0, 1.0, [1, 0, 1, 1, 1], masked))
terminal = np.zeros(5)
terminal[4] = 2.5  # four tokens, the score one past the last
gae.append(gae_case("terminal score one past", terminal, rounded(5), 0.9, 0.8, [1] * 5, "skip"))


# ---- Whitening ---------------------------------------------------------------------------------------------------------
def whiten_case(values, mask, kept):
    values = torch.tensor(values, dtype=torch.float64)
    chosen = values[torch.tensor(mask) == 1]
    white = (values - chosen.mean()) * torch.rsqrt(chosen.var(unbiased=True) + 1e-8)
    if kept:
        white = white + chosen.mean()
    white = white * torch.tensor(mask, dtype=torch.float64)
    return {"values": values.tolist(), "mask": mask, "kept": kept, "whitened": white.tolist()}


whiten = []
for kept in (False, True):
    whiten.append(whiten_case(listed(rounded(7, 3.0) + 2), [1] * 7, kept))
    whiten.append(whiten_case(listed(rounded(7, 1e-4, 6)), [1, 0, 1, 1, 0, 1, 1], kept))  # 1e-8 shows
    whiten.append(whiten_case(listed(rounded(2)), [1, 1], kept))


# ---- Normalisation, temperature, Platt -----------------------------------------------------------------------------------
def nll(logits, targets):
    return float(np.sum(targets * np.logaddexp(0, -logits) + (1 - targets) * np.logaddexp(0, logits)))


def fit_case(name, scores, labels):
    scores, labels = np.asarray(scores, float), np.asarray(labels, float)
    scale = np.abs(scores).max()

    def slope(inverse):  # derivative of the loss in 1/T, in the unit of the largest score
        return float(np.sum((scipy.special.expit(inverse * scores / scale) - labels) * scores / scale))

    temperature = scale / scipy.optimize.brentq(slope, 1e-9, 1e4, xtol=1e-14, rtol=1e-14)
    mean, deviation = scores.mean(), scores.std(ddof=1)
    unit = (scores - mean) / deviation
    case = {"name": name, "scores": listed(scores), "labels": listed(labels), "mean": float(mean),
            "deviation": float(deviation), "temperature": float(temperature)}
    good, bad = labels.sum(), (1 - labels).sum()
    for key, upper, lower in (("smoothed", (good + 1) / (good + 2), 1 / (bad + 2)), ("as_given", 1.0, 0.0)):
        targets = labels * upper + (1 - labels) * lower

        def gradient(ab):
            p = 1 / (1 + np.exp(-(ab[0] * unit + ab[1])))
            return np.array([np.sum((p - targets) * unit), np.sum(p - targets)])

        start = scipy.optimize.minimize(lambda ab: nll(ab[0] * unit + ab[1], targets), np.zeros(2), jac=gradient,
                                        method="BFGS").x
        found = scipy.optimize.root(gradient, start, tol=1e-14).x
        case[key] = [float(found[0] / deviation), float(found[1] - found[0] * mean / deviation)]
    return case


def labelled(count, slope, intercept, scale):
    scores = rounded(count, scale)
    return scores, (rng.random(count) < 1 / (1 + np.exp(-slope * scores - intercept))).astype(float)


fits = [fit_case("overconfident logits", *labelled(60, 0.4, 0.0, 3.0)),
        fit_case("far from zero", *(lambda s, y: (s * 100 + 700, y))(*labelled(40, 1.5, 0.3, 1.0)))]
soft_scores, soft_labels = rounded(25, 1.5), np.empty(25)
soft_labels[np.argsort(soft_scores)] = np.clip(np.linspace(0.1, 0.9, 25) + rounded(25, 0.15), 0, 1)
fits.append(fit_case("soft labels", soft_scores, soft_labels))

# ---- Calibration and classification ----------------------------------------------------------------------------------------
probabilities = np.round(rng.random(80), 3)
outcomes = (rng.random(80) < probabilities**2).astype(int)
bins = np.minimum((probabilities * 10).astype(int), 9)
error = sum(abs(probabilities[bins == b].mean() - outcomes[bins == b].mean()) * np.mean(bins == b)
            for b in range(10) if np.any(bins == b))
tied_scores = np.round(probabilities, 1)
calibration = {"probabilities": listed(probabilities), "outcomes": [int(y) for y in outcomes],
               "expected_error": float(error),
               "brier": float(sklearn.metrics.brier_score_loss(outcomes, probabilities)),
               "cross_entropy": float(sklearn.metrics.log_loss(outcomes, probabilities)),
               "area_under_curve": float(sklearn.metrics.roc_auc_score(outcomes, probabilities)),
               "area_under_curve_of_one_digit": float(sklearn.metrics.roc_auc_score(outcomes, tied_scores)),
               "f1_at_half": float(sklearn.metrics.f1_score(outcomes, probabilities >= 0.5)),
               "f1_of_zeros_at_half": float(sklearn.metrics.f1_score(outcomes, probabilities >= 0.5, pos_label=0))}

# ---- RewardBench 2, Ties -----------------------------------------------------------------------------------------------------
problems = []
for number in range(12):
    several = int(rng.integers(2, 6))
    problems.append({"reference": {"correct": listed(rounded(1) + 1), "incorrect": listed(rounded(5) - 1)},
                     "tied": {"correct": listed(rounded(several, 0.4, 1) + 1.5),
                              "incorrect": listed(rounded(6, 1, 1) - 1)}})
problems[3]["tied"] = {"correct": [2.0, 2.0], "incorrect": [1.0, 0.0]}  # no spread, a gap: +1
problems[4]["tied"] = {"correct": [2.0, 2.0], "incorrect": [3.0, 0.0]}  # no spread, a gap below 0: −1
problems[5] = {"reference": {"correct": [4.0], "incorrect": [1.0]},
               "tied": {"correct": [2.0, 2.0], "incorrect": [2.0, 0.0]}}  # 0/0: 0
gaps_ref = np.array([min(p["reference"]["correct"]) - max(p["reference"]["incorrect"]) for p in problems])
gaps_tied = np.array([min(p["tied"]["correct"]) - max(p["tied"]["incorrect"]) for p in problems])
spread = np.array([max(p["tied"]["correct"]) - min(p["tied"]["correct"]) for p in problems])
smaller = np.minimum(gaps_ref, gaps_tied)
with np.errstate(divide="ignore", invalid="ignore"):
    margins = np.nan_to_num(np.tanh(smaller / spread - 1), nan=0.0)
ties = {"problems": problems, "preferred": float(np.mean(gaps_tied > spread)),
        "preferred_hard": float(np.mean(smaller > spread)), "margin": float(np.mean(margins)),
        "score": float(0.30 * np.mean(gaps_tied > 0) + 0.30 * np.mean(gaps_ref > 0) + 0.20 * np.mean(gaps_tied > spread)
                       + 0.20 * np.mean(smaller > spread) + 0.01 * np.mean(margins))}

# ---- RM-Bench and ProcessBench -----------------------------------------------------------------------------------------------
chosen, rejected = rounded((9, 3), 1, 1) + 0.3, rounded((9, 3), 1, 1)
chosen = np.round(chosen, 1)
wins = (chosen[:, :, None] > rejected[:, None, :]).mean(0)
styles = {"chosen": chosen.tolist(), "rejected": rejected.tolist(),
          "easy": float(wins[np.tril_indices(3, -1)].mean()), "normal": float(np.diag(wins).mean()),
          "hard": float(wins[np.triu_indices(3, 1)].mean())}

actual = rng.integers(-1, 5, 60)
predicted = np.where(rng.random(60) < 0.6, actual, rng.integers(-1, 5, 60))
on_wrong = np.mean(predicted[actual != -1] == actual[actual != -1])
on_right = np.mean(predicted[actual == -1] == -1)
process = {"predicted": predicted.tolist(), "actual": actual.tolist(), "found": float(on_wrong),
           "accepted": float(on_right), "f1": float(2 * on_wrong * on_right / (on_wrong + on_right))}

document = {"generalised_advantages": gae, "whiten": whiten, "fits": fits, "calibration": calibration, "ties": ties,
            "styles": styles, "process_bench": process}
lines = []
for key, value in document.items():
    if isinstance(value, list):
        lines.append(f'"{key}": [\n' + ",\n".join("  " + json.dumps(item) for item in value) + "\n]")
    else:
        lines.append(f'"{key}": ' + json.dumps(value))
(ROOT / "rl.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
