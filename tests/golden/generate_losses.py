#!/usr/bin/env python3
"""Writes losses.json and more_losses.json with PyTorch, and with mpmath where double precision is not enough.

In the environment of generate.py, and as it: all of them, or those named.

    golden-env/bin/python tests/golden/generate_losses.py
    golden-env/bin/python tests/golden/generate_losses.py more_losses
"""
import math
import pathlib
import sys

import mpmath
import torch
import torch.nn.functional as F

from golden_json import write_json

ROOT = pathlib.Path(__file__).resolve().parent


# ---------------------------------------------------------------------------------------------------------
# The pairwise loss and its options, in float64
# ---------------------------------------------------------------------------------------------------------
LOSS_DEFINITION = [
    "x_i = beta * (chosen_i - rejected_i) - margin_i",
    "p_i = soft_label_i * (1 - label_smoothing) + (1 - soft_label_i) * label_smoothing",
    "l_i = p_i * softplus(-x_i) + (1 - p_i) * softplus(x_i)",
    "W = sum of weight_i; it is the number of pairs when no weight is given",
    "loss = (sum of weight_i * l_i) / W + centering * (sum of weight_i * (chosen_i + rejected_i)^2) / W",
    "Absent fields: beta 1, label_smoothing 0, centering 0, margin 0, weight 1, soft_label 1.",
]

SOME_CHOSEN = [0.3, -1.2, 2.5, 0.0, 4.0]
SOME_REJECTED = [-0.4, -0.7, 2.4, 0.0, -3.0]
# Differences at which a naive formula loses all digits, overflows, or gives infinity times zero.
TAIL_CHOSEN = [1e4, -1e4, 1e4, -1e4, 40.0, -40.0, 700.0, -700.0, 750.0, -750.0, 1e-9, 36.7]
TAIL_REJECTED = [-1e4, 1e4, 1e4, -1e4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]

LOSS_CASES = [
    dict(name="plain", chosen=SOME_CHOSEN, rejected=SOME_REJECTED),
    dict(name="one pair", chosen=[0.25], rejected=[-0.5]),
    dict(name="equal scores give log 2 and half gradients", chosen=[3.0, -7.5], rejected=[3.0, -7.5]),
    dict(name="margin", chosen=SOME_CHOSEN, rejected=SOME_REJECTED, margin=[1.0, 0.0, 0.33, -0.5, 3.0]),
    dict(name="weight", chosen=SOME_CHOSEN, rejected=SOME_REJECTED, weight=[2.0, 0.5, 0.0, 1.0, 0.25]),
    dict(name="soft label", chosen=SOME_CHOSEN, rejected=SOME_REJECTED, soft_label=[1.0, 0.5, 0.8, 0.0, 0.25]),
    dict(name="label smoothing", chosen=SOME_CHOSEN, rejected=SOME_REJECTED, label_smoothing=0.1),
    dict(
        name="soft label and label smoothing",
        chosen=SOME_CHOSEN,
        rejected=SOME_REJECTED,
        soft_label=[1.0, 0.5, 0.8, 0.0, 0.25],
        label_smoothing=0.2,
    ),
    dict(name="scale", chosen=SOME_CHOSEN, rejected=SOME_REJECTED, beta=0.1),
    dict(
        name="scale multiplies the difference, not the margin",
        chosen=SOME_CHOSEN,
        rejected=SOME_REJECTED,
        beta=2.5,
        margin=[1.0, 0.0, 0.33, -0.5, 3.0],
    ),
    dict(name="centering", chosen=SOME_CHOSEN, rejected=SOME_REJECTED, centering=0.01),
    dict(
        name="centering and weight",
        chosen=SOME_CHOSEN,
        rejected=SOME_REJECTED,
        centering=0.05,
        weight=[2.0, 0.5, 0.0, 1.0, 0.25],
    ),
    dict(
        name="all options",
        chosen=SOME_CHOSEN,
        rejected=SOME_REJECTED,
        beta=0.7,
        label_smoothing=0.05,
        centering=0.01,
        margin=[1.0, 0.0, 0.33, -0.5, 3.0],
        weight=[2.0, 0.5, 0.1, 1.0, 0.25],
        soft_label=[1.0, 0.5, 0.8, 0.0, 0.25],
    ),
    dict(name="tails", chosen=TAIL_CHOSEN, rejected=TAIL_REJECTED),
    dict(name="tails with label smoothing", chosen=TAIL_CHOSEN, rejected=TAIL_REJECTED, label_smoothing=0.1),
    dict(
        name="tails with all options",
        chosen=TAIL_CHOSEN,
        rejected=TAIL_REJECTED,
        beta=0.5,
        label_smoothing=0.01,
        centering=0.01,
        margin=[float(i) for i in range(len(TAIL_CHOSEN))],
        weight=[1.0 + i for i in range(len(TAIL_CHOSEN))],
        soft_label=[1.0, 1.0, 0.5, 0.5, 0.9, 0.9, 0.0, 0.0, 1.0, 1.0, 0.75, 1.0],
    ),
]
# One pair each, so that the tail of every pair is seen by itself and not under a larger neighbour.
LOSS_CASES += [
    dict(name=f"tail {c:g} over {r:g}", chosen=[c], rejected=[r]) for c, r in zip(TAIL_CHOSEN, TAIL_REJECTED)
]


def loss_with_torch(case):
    chosen = torch.tensor(case["chosen"], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor(case["rejected"], dtype=torch.float64, requires_grad=True)
    ones = [1.0] * len(chosen)
    weight = torch.tensor(case.get("weight", ones), dtype=torch.float64)
    soft = torch.tensor(case.get("soft_label", ones), dtype=torch.float64)
    margin = torch.tensor(case.get("margin", [0.0] * len(chosen)), dtype=torch.float64)
    smoothing = case.get("label_smoothing", 0.0)
    x = case.get("beta", 1.0) * (chosen - rejected) - margin
    p = soft * (1 - smoothing) + (1 - soft) * smoothing
    each = -p * F.logsigmoid(x) - (1 - p) * F.logsigmoid(-x)
    total = weight.sum()
    loss = (weight * each).sum() / total
    loss = loss + case.get("centering", 0.0) * (weight * (chosen + rejected) ** 2).sum() / total
    loss.backward()
    return loss.item(), chosen.grad.tolist(), rejected.grad.tolist()


def loss_with_mpmath(case):
    """The same with 60 digits and the derivative written out: guards the values against torch's own rounding."""
    mpmath.mp.dps = 60
    count = len(case["chosen"])
    number = lambda value: mpmath.mpf(value)
    field = lambda name, default: [number(v) for v in case.get(name, [default] * count)]
    beta, smoothing = number(case.get("beta", 1.0)), number(case.get("label_smoothing", 0.0))
    centering = number(case.get("centering", 0.0))
    total, loss, to_chosen, to_rejected = mpmath.fsum(field("weight", 1.0)), number(0), [], []
    softplus = lambda x: mpmath.log1p(mpmath.exp(x)) if x < 0 else x + mpmath.log1p(mpmath.exp(-x))
    logistic = lambda x: 1 / (1 + mpmath.exp(-x))
    for c, r, m, w, s in zip(
        field("chosen", 0), field("rejected", 0), field("margin", 0.0), field("weight", 1.0), field("soft_label", 1.0)
    ):
        x = beta * (c - r) - m
        p = s * (1 - smoothing) + (1 - s) * smoothing
        loss += w / total * (p * softplus(-x) + (1 - p) * softplus(x) + centering * (c + r) ** 2)
        slope = w / total * beta * ((1 - p) * logistic(x) - p * logistic(-x))
        pull = w / total * centering * 2 * (c + r)
        to_chosen.append(slope + pull)
        to_rejected.append(-slope + pull)
    return float(loss), [float(v) for v in to_chosen], [float(v) for v in to_rejected]


def write_losses():
    cases = []
    for case in LOSS_CASES:
        loss, to_chosen, to_rejected = loss_with_torch(case)
        exact = loss_with_mpmath(case)
        for mine, true in zip([loss, *to_chosen, *to_rejected], [exact[0], *exact[1], *exact[2]]):
            # Below 1e-305 the exact value may be a subnormal number, which has fewer digits.
            assert math.isclose(mine, true, rel_tol=1e-12, abs_tol=1e-305), (case["name"], mine, true)
        cases.append({**case, "loss": exact[0], "grad_chosen": exact[1], "grad_rejected": exact[2]})
    write_json(
        ROOT / "losses.json",
        {
            "definition": LOSS_DEFINITION,
            "precision": "float64; computed with torch autograd, checked to 1e-12 against 60-digit arithmetic, "
            "whose rounded values are stored",
            "cases": cases,
        },
    )
    print("losses", len(cases), "cases")


# ---------------------------------------------------------------------------------------------------------
# The other losses, in float64
# ---------------------------------------------------------------------------------------------------------
MORE_LOSSES_DEFINITION = [
    "ranking: groups of rows with ranks (0 best), mean over groups by weight; tied g of rank and the worse ones W: "
    "sum over l < g of log(f_l sum_tied exp + sum_W exp) - sum_tied r, f_l = 1 - l/g (efron) or 1 (breslow); "
    "ties that begin after the first `top` (0: all) are only chosen from; divide_by_choices: by min(top, K - 1)",
    "balanced: softplus(-(r_better - r_worse - margin)) over pairs without a tie, each of weight 1 / C(K, 2), over the "
    "sum of weights; margin = rating_better - rating_worse where there are ratings",
    "binary: labels [sequence, row, label, weight]; y = label (1 - s) + s / 2; focal factor (1 - sigma)^focal on the "
    "positive term, sigma^focal on the negative one; positive_weight on the positive term",
    "classes: scores (rows, classes) flat; labels as above with a distribution; torch's cross_entropy",
    "per_token: sum of weight * l over the sum of weights; per_sequence: mean in each sequence, then over sequences",
    "hinge: pairs [chosen row, rejected row, margin, weight, soft label]; torch's margin_ranking_loss of scaled scores",
    "regression: values [row, target, weight]; value: values [row, return, old value, weight]; half squared errors",
]

RANKED = [0.7, -1.3, 2.1, 0.4, -0.2, 1.9]
FIVE = [dict(rows=[3, 0, 5, 1, 4], ranks=[0, 1, 2, 3, 4])]
TIED = [dict(rows=[0, 1, 2, 3, 4, 5], ranks=[1, 2, 0, 1, 2, 1])]
SEVERAL = [
    dict(rows=[0, 1, 2, 3], ranks=[3, 0, 2, 1], weight=2.0),
    dict(rows=[4, 5], ranks=[1, 0], weight=0.5),
    dict(rows=[2, 5, 1], ranks=[0, 0, 2]),
]
FAR = [1e4, -1e4, 0.0, 9999.0, -40.0, 700.0]

TOKEN_SCORES = [0.3, -1.2, 2.5, 0.0, 4.0, -3.0]
TOKEN_LABELS = [
    [0, 0, 1.0, 1.0], [0, 1, 1.0, 1.0], [0, 2, 1.0, 1.0], [0, 3, 1.0, 1.0],
    [1, 0, 0.0, 1.0], [1, 4, 0.0, 2.0],
    [2, 0, 0.3, 0.5], [2, 5, 0.8, 1.0], [2, 1, 0.5, 0.25],
]  # fmt: skip
FAR_LABELS = [[0, i, label, 1.0] for i in range(6) for label in (1.0, 0.0, 0.4)]

STEP_SCORES = [0.1, -0.4, 1.2, 2.0, 0.3, -1.5, -0.6, -0.2, 0.9, 0.0, 0.0, 0.0]
STEP_LABELS = [
    [0, 0, [0.0, 0.0, 1.0], 1.0], [0, 1, [1.0, 0.0, 0.0], 1.0], [0, 3, [0.0, 1.0, 0.0], 1.0],
    [1, 2, [0.2, 0.3, 0.5], 2.0], [1, 0, [1.0, 0.0, 0.0], 0.5],
]  # fmt: skip
FAR_STEPS = [1e4, -1e4, 0.0, -1e4, 1e4, 9990.0, 40.0, 0.0, 1.0, 700.0, -700.0, 0.0]

NUMBERS = [[0, 1.0, 1.0], [1, -1.0, 0.5], [2, 4.0, 2.0], [0, -2.0, 0.25], [5, -3.0, 1.0]]
RETURNS = [
    [0, 1.0, 0.25, 1.0], [1, -1.0, -1.9, 1.0], [2, 0.5, 2.0, 2.0], [3, 0.6, -0.5, 1.0],
    [4, 1.0, 3.9, 0.5], [5, -5.0, -2.0, 1.0], [5, 1.0, -3.6, 1.0],
]  # fmt: skip

PAIRS = [[0, 1, 0.0, 1.0, 1.0], [1, 2, 0.0, 1.0, 1.0], [3, 4, 0.0, 1.0, 1.0], [5, 2, 0.0, 1.0, 1.0], [0, 5, 0.0, 1.0, 1.0]]
WEIGHED_PAIRS = [[0, 1, 1.5, 2.0, 1.0], [3, 0, -0.5, 0.5, 1.0], [4, 5, 0.25, 1.0, 1.0], [2, 4, 3.0, 0.0, 1.0]]
SOFT_PAIRS = [[0, 1, 0.0, 1.0, 0.75], [2, 3, 0.5, 2.0, 0.5], [5, 4, 0.0, 1.0, 0.0], [4, 0, 0.0, 0.5, 1.0]]

MORE_LOSS_CASES = [
    dict(kind="ranking", name="five in a row", scores=RANKED, groups=FIVE),
    dict(kind="ranking", name="top 2", scores=RANKED, groups=FIVE, top=2),
    dict(kind="ranking", name="top 9 is all", scores=RANKED, groups=FIVE, top=9),
    dict(kind="ranking", name="divided", scores=RANKED, groups=FIVE, divide_by_choices=True),
    dict(kind="ranking", name="top 2 divided", scores=RANKED, groups=FIVE, top=2, divide_by_choices=True),
    dict(kind="ranking", name="efron", scores=RANKED, groups=TIED),
    dict(kind="ranking", name="breslow", scores=RANKED, groups=TIED, ties="breslow"),
    dict(kind="ranking", name="top 2 within a tie", scores=RANKED, groups=TIED, top=2),
    dict(kind="ranking", name="all tied", scores=RANKED, groups=[dict(rows=[0, 1, 2], ranks=[4, 4, 4])]),
    dict(kind="ranking", name="several groups share rows", scores=RANKED, groups=SEVERAL),
    dict(kind="ranking", name="several divided", scores=RANKED, groups=SEVERAL, divide_by_choices=True),
    dict(kind="ranking", name="far apart", scores=FAR, groups=FIVE),
    dict(kind="ranking", name="far apart, ties", scores=FAR, groups=TIED),
    dict(kind="ranking", name="far apart, breslow", scores=FAR, groups=TIED, ties="breslow"),
    dict(kind="balanced", name="five in a row", scores=RANKED, groups=FIVE),
    dict(kind="balanced", name="ties", scores=RANKED, groups=TIED),
    dict(kind="balanced", name="several groups share rows", scores=RANKED, groups=SEVERAL),
    dict(
        kind="balanced",
        name="margins by rating",
        scores=RANKED,
        groups=[dict(rows=[3, 0, 5], ranks=[2, 0, 1], ratings=[1.5, 4.0, 3.0])],
    ),
    dict(kind="binary", name="plain", scores=TOKEN_SCORES, labels=TOKEN_LABELS),
    dict(kind="binary", name="per sequence", scores=TOKEN_SCORES, labels=TOKEN_LABELS, denominator="per_sequence"),
    dict(kind="binary", name="positive weight", scores=TOKEN_SCORES, labels=TOKEN_LABELS, positive_weight=2.5),
    dict(kind="binary", name="focal", scores=TOKEN_SCORES, labels=TOKEN_LABELS, focal=2.0),
    dict(kind="binary", name="label smoothing", scores=TOKEN_SCORES, labels=TOKEN_LABELS, label_smoothing=0.2),
    dict(
        kind="binary",
        name="all options",
        scores=TOKEN_SCORES,
        labels=TOKEN_LABELS,
        denominator="per_sequence",
        positive_weight=0.4,
        focal=1.5,
        label_smoothing=0.1,
    ),
    dict(kind="binary", name="far apart", scores=FAR, labels=FAR_LABELS),
    dict(kind="binary", name="far apart, smoothing and weight", scores=FAR, labels=FAR_LABELS,
         positive_weight=3.0, label_smoothing=0.1),
    dict(kind="classes", name="plain", scores=STEP_SCORES, classes=3, labels=STEP_LABELS),
    dict(kind="classes", name="per sequence", scores=STEP_SCORES, classes=3, labels=STEP_LABELS,
         denominator="per_sequence"),
    dict(kind="classes", name="class weights", scores=STEP_SCORES, classes=3, labels=STEP_LABELS,
         class_weights=[2.0, 0.5, 1.0]),
    dict(kind="classes", name="label smoothing", scores=STEP_SCORES, classes=3, labels=STEP_LABELS,
         label_smoothing=0.1),
    dict(kind="classes", name="all options", scores=STEP_SCORES, classes=3, labels=STEP_LABELS,
         denominator="per_sequence", class_weights=[2.0, 0.0, 1.0], label_smoothing=0.3),
    dict(kind="classes", name="two classes", scores=STEP_SCORES, classes=2,
         labels=[[0, 0, [0.0, 1.0], 1.0], [0, 5, [0.25, 0.75], 1.0], [1, 3, [1.0, 0.0], 1.0]], label_smoothing=0.1),
    dict(kind="classes", name="far apart", scores=FAR_STEPS, classes=3, labels=STEP_LABELS),
    dict(kind="classes", name="far apart, all options", scores=FAR_STEPS, classes=3, labels=STEP_LABELS,
         class_weights=[2.0, 0.5, 1.0], label_smoothing=0.3),
    dict(kind="hinge", name="plain", scores=RANKED, pairs=PAIRS),
    dict(kind="hinge", name="margin and scale", scores=RANKED, pairs=PAIRS, margin=0.4, scale=1.7),
    dict(kind="hinge", name="margins and weights of pairs", scores=RANKED, pairs=WEIGHED_PAIRS, margin=0.75),
    dict(kind="hinge", name="soft labels", scores=RANKED, pairs=SOFT_PAIRS, scale=0.3),
    dict(kind="hinge", name="far apart", scores=FAR, pairs=SOFT_PAIRS),
    dict(kind="regression", name="plain", scores=TOKEN_SCORES, values=NUMBERS),
    dict(kind="regression", name="far apart", scores=FAR, values=NUMBERS),
    dict(kind="value", name="not clipped", scores=TOKEN_SCORES, values=RETURNS),
    dict(kind="value", name="clipped", scores=TOKEN_SCORES, values=RETURNS, clip=0.2),
    dict(kind="value", name="far apart", scores=FAR, values=RETURNS, clip=0.5),
]


def ranking_with_torch(case, r):
    total, weights = 0, 0
    for group in case["groups"]:
        weight, rows, ranks = group.get("weight", 1.0), group["rows"], group["ranks"]
        top, loss = case.get("top", 0) or len(rows), 0
        for rank in sorted(set(ranks)):
            if sum(other < rank for other in ranks) >= top:
                break
            tied = r[[row for row, other in zip(rows, ranks) if other == rank]]
            worse = r[[row for row, other in zip(rows, ranks) if other > rank]]
            for l in range(len(tied)):
                factor = 1 - l / len(tied) if case.get("ties", "efron") == "efron" else 1.0
                loss = loss + torch.logsumexp(torch.cat([tied + math.log(factor), worse]), 0) - tied[l]
        if case.get("divide_by_choices"):
            loss = loss / min(top, len(rows) - 1)
        total, weights = total + weight * loss, weights + weight
    return total / weights


def balanced_with_torch(case, r):
    total, weights = 0, 0
    for group in case["groups"]:
        rows, ranks = group["rows"], group["ranks"]
        ratings = group.get("ratings", [0.0] * len(rows))
        weight = group.get("weight", 1.0) / math.comb(len(rows), 2)
        for i in range(len(rows)):
            for j in range(len(rows)):
                if ranks[i] < ranks[j]:
                    margin = ratings[i] - ratings[j]
                    total = total - weight * F.logsigmoid(r[rows[i]] - r[rows[j]] - margin)
                    weights += weight
    return total / weights


def mean_over_labels(case, each):
    """`each`: the loss of each label."""
    weight = torch.tensor([label[3] for label in case["labels"]], dtype=torch.float64)
    sequence = torch.tensor([label[0] for label in case["labels"]])
    if case.get("denominator", "per_token") == "per_token":
        return (weight * each).sum() / weight.sum()
    means = [(weight * each)[sequence == s].sum() / weight[sequence == s].sum() for s in sequence.unique()]
    return torch.stack(means).mean()


def binary_with_torch(case, scores):
    z = scores[[label[1] for label in case["labels"]]]
    y = torch.tensor([label[2] for label in case["labels"]], dtype=torch.float64)
    smoothing = case.get("label_smoothing", 0.0)
    positive = torch.tensor(case.get("positive_weight", 1.0), dtype=torch.float64)
    y = y * (1 - smoothing) + smoothing / 2
    if "focal" not in case:
        each = F.binary_cross_entropy_with_logits(z, y, pos_weight=positive, reduction="none")
    else:
        p = torch.sigmoid(z)
        each = -positive * y * (1 - p) ** case["focal"] * torch.log(p)
        each = each - (1 - y) * p ** case["focal"] * torch.log(1 - p)
    return mean_over_labels(case, each)


def classes_with_torch(case, scores):
    z = scores.view(-1, case["classes"])[[label[1] for label in case["labels"]]]
    q = torch.tensor([label[2] for label in case["labels"]], dtype=torch.float64)
    weights = torch.tensor(case.get("class_weights", [1.0] * case["classes"]), dtype=torch.float64)
    smoothing = case.get("label_smoothing", 0.0)
    each = F.cross_entropy(z, q, weight=weights, label_smoothing=smoothing, reduction="none")
    return mean_over_labels(case, each)


def hinge_with_torch(case, scores):
    chosen, rejected = (scores[[pair[i] for pair in case["pairs"]]] for i in (0, 1))
    own, weight, soft = (torch.tensor([pair[i] for pair in case["pairs"]], dtype=torch.float64) for i in (2, 3, 4))
    scale, margin = case.get("scale", 1.0), case.get("margin", 1.0)
    ahead = scale * chosen - own  # of which the rejected one should be `margin` behind
    ones = torch.ones_like(ahead)
    won = F.margin_ranking_loss(ahead, scale * rejected, ones, margin=margin, reduction="none")
    lost = F.margin_ranking_loss(ahead, scale * rejected, -ones, margin=margin, reduction="none")
    return (weight * (soft * won + (1 - soft) * lost)).sum() / weight.sum()


def regression_with_torch(case, scores):
    row, target, weight = zip(*case["values"])
    target, weight = torch.tensor(target, dtype=torch.float64), torch.tensor(weight, dtype=torch.float64)
    return (weight * F.mse_loss(scores[list(row)], target, reduction="none") / 2).sum() / weight.sum()


def value_with_torch(case, scores):
    row, target, old, weight = (torch.tensor(column, dtype=torch.float64) for column in zip(*case["values"]))
    v = scores[row.long()]
    squares = (v - target) ** 2
    if "clip" in case:
        held = old + torch.clamp(v - old, -case["clip"], case["clip"])
        squares = torch.max(squares, (held - target) ** 2)
    return (weight * squares / 2).sum() / weight.sum()


def write_more_losses():
    functions = dict(
        ranking=ranking_with_torch,
        balanced=balanced_with_torch,
        binary=binary_with_torch,
        classes=classes_with_torch,
        hinge=hinge_with_torch,
        regression=regression_with_torch,
        value=value_with_torch,
    )
    cases = []
    for case in MORE_LOSS_CASES:
        scores = torch.tensor(case["scores"], dtype=torch.float64, requires_grad=True)
        loss = functions[case["kind"]](case, scores)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(scores.grad).all(), case
        cases.append({**case, "loss": loss.item(), "gradient": scores.grad.tolist()})
    write_json(
        ROOT / "more_losses.json",
        {"definition": MORE_LOSSES_DEFINITION, "precision": "float64, torch autograd", "cases": cases},
    )
    print("more_losses", len(cases), "cases")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    writers = {"losses": write_losses, "more_losses": write_more_losses}
    for name in sys.argv[1:] or writers:
        writers[name]()
    print("torch", torch.__version__)


if __name__ == "__main__":
    main()
