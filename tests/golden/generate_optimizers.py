#!/usr/bin/env python3
"""Writes adamw.json and optimizers.json with PyTorch.

In the environment of generate.py, and as it: both, or the one named.

    golden-env/bin/python tests/golden/generate_optimizers.py
    golden-env/bin/python tests/golden/generate_optimizers.py optimizers
"""
import pathlib
import sys

import torch

from golden_json import write_json

ROOT = pathlib.Path(__file__).resolve().parent


# ---------------------------------------------------------------------------------------------------------
# AdamW and clipping, in float64
# ---------------------------------------------------------------------------------------------------------
def write_adamw():
    start = [0.5, -1.5, 2.0, 0.0, -0.25, 3.0, 1e-3]
    gradients = [
        [0.1, -0.2, 0.3, 0.0, 1e-6, -5.0, 100.0],
        [0.1, 0.25, -0.3, 0.0, 2e-6, -4.0, -100.0],
        [-0.4, 0.0, 0.1, 1.0, -1e-6, -3.0, 10.0],
        [0.05, -0.7, 0.2, -1.0, 0.0, -2.0, 1.0],
        [0.3, 0.1, -0.9, 0.5, 3e-6, -1.0, 0.1],
    ]
    cases = []
    for name, settings, rates in [
        ("usual settings", dict(betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01), [1e-2] * 5),
        ("no decay", dict(betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0), [1e-3] * 5),
        ("rate changes every step", dict(betas=(0.8, 0.9), eps=1e-6, weight_decay=0.1), [0.0, 0.01, 0.1, 0.05, 0.02]),
    ]:
        parameter = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
        optimizer = torch.optim.AdamW([parameter], lr=rates[0], foreach=False, **settings)
        values = []
        for rate, gradient in zip(rates, gradients):
            optimizer.param_groups[0]["lr"] = rate
            parameter.grad = torch.tensor(gradient, dtype=torch.float64)
            optimizer.step()
            values.append(parameter.detach().tolist())
        state = optimizer.state[parameter]
        cases.append(
            dict(
                name=name,
                learning_rates=rates,
                beta1=settings["betas"][0],
                beta2=settings["betas"][1],
                epsilon=settings["eps"],
                weight_decay=settings["weight_decay"],
                start=start,
                gradients=gradients,
                after_each_step=values,
                first_moment_at_end=state["exp_avg"].tolist(),
                second_moment_at_end=state["exp_avg_sq"].tolist(),
            )
        )

    clipping = []
    for max_norm in [1.0, 10.0, 0.05]:
        parts = [[0.3, -0.4, 1.2], [2.5], [-0.1, 0.0, 0.7, -3.0]]
        parameters = [torch.nn.Parameter(torch.zeros(len(part), dtype=torch.float64)) for part in parts]
        for parameter, part in zip(parameters, parts):
            parameter.grad = torch.tensor(part, dtype=torch.float64)
        norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        clipping.append(
            dict(
                max_norm=max_norm,
                gradients=parts,
                norm_before=norm.item(),
                gradients_after=[parameter.grad.tolist() for parameter in parameters],
            )
        )
    write_json(
        ROOT / "adamw.json",
        {
            "definition": [
                "step t = 1, 2, ...; decay first: w = w * (1 - rate * weight_decay)",
                "m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * g^2; both begin at zero",
                "w = w - rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)",
                "clipping: norm over all gradients together; factor = min(1, max_norm / (norm + 1e-6)) on each",
            ],
            "precision": "float64",
            "cases": cases,
            "clipping": clipping,
        },
    )
    print("adamw", len(cases), "cases")


# ---------------------------------------------------------------------------------------------------------
# The other optimizers, on two matrices and a vector that takes no decay, in float64
# ---------------------------------------------------------------------------------------------------------
class Lion(torch.optim.Optimizer):
    """Algorithm 2 of Chen et al. 2023; PyTorch has none."""

    def __init__(self, params, lr, betas, weight_decay):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                momentum = self.state[parameter].setdefault("exp_avg", torch.zeros_like(parameter))
                update = torch.sign(beta1 * momentum + (1 - beta1) * parameter.grad)
                parameter -= group["lr"] * (update + group["weight_decay"] * parameter)
                momentum.mul_(beta2).add_(parameter.grad, alpha=1 - beta2)


class DoubleMuon(torch.optim.Muon):
    """PyTorch's own, of which the products, that it rounds to bfloat16, are in float64."""

    def step(self):
        bfloat16, torch.bfloat16 = torch.bfloat16, torch.float64
        try:
            super().step()
        finally:
            torch.bfloat16 = bfloat16


def optimizer_cases():
    """(name, our settings, factory of PyTorch's optimizer for parameters at a weight decay)"""
    for name, ours, theirs in [
        ("plain", {}, {}),
        ("momentum", dict(momentum=0.9), dict(momentum=0.9)),
        ("nesterov", dict(momentum=0.8, nesterov=True), dict(momentum=0.8, nesterov=True)),
    ]:
        for decay in [0.0, 0.1]:
            yield (
                f"sgd, {name}, decay {decay}",
                dict(name="sgd", weight_decay=decay, **ours),
                lambda p, lr, wd, o=theirs: torch.optim.SGD(p, lr=lr, weight_decay=wd, foreach=False, **o),
            )
    for name, ours, theirs in [
        ("usual", dict(), dict()),
        ("decay", dict(weight_decay=0.1), dict()),
        (
            "other numbers",
            dict(beta2_decay=-0.5, epsilon1=0.3, epsilon2=0.7, clip=1.5, weight_decay=0.01),
            dict(beta2_decay=-0.5, eps=(0.3, 0.7), d=1.5),
        ),
    ]:
        yield (
            f"adafactor, {name}",
            dict(name="adafactor", **ours),
            lambda p, lr, wd, o=theirs: torch.optim.Adafactor(p, lr=lr, weight_decay=wd, foreach=False, **o),
        )
    for betas, decay in [((0.9, 0.99), 0.0), ((0.8, 0.7), 0.3)]:
        yield (
            f"lion, betas {betas}, decay {decay}",
            dict(name="lion", beta1=betas[0], beta2=betas[1], weight_decay=decay),
            lambda p, lr, wd, b=betas: Lion(p, lr, b, wd),
        )
    for rate, original, momentum, decay in [
        ("match_rms_adamw", False, 0.95, 0.1),
        ("original", True, 0.95, 0.0),
        ("original", True, 0.6, 0.3),
    ]:
        yield (
            f"muon, {rate}, momentum {momentum}, decay {decay}",
            dict(name="muon", original_rate=original, momentum=momentum, weight_decay=decay),
            lambda p, lr, wd, r=rate, m=momentum: DoubleMuon(p, lr=lr, weight_decay=wd, momentum=m, adjust_lr_fn=r),
        )


def write_optimizers():
    shapes = {"wide": [3, 5], "high": [6, 2], "row": [1, 4], "vector": [5]}
    generator = torch.Generator().manual_seed(5)
    draw = lambda shape: torch.randn(shape, generator=generator, dtype=torch.float64)
    start = {name: draw(shape) for name, shape in shapes.items()}
    rates = [0.02, 0.01, 2.0, 0.5]
    gradients = [{name: draw(shape) for name, shape in shapes.items()} for _ in rates]
    for gradient in gradients[:2]:
        gradient["wide"][1] = 0  # a token that does not occur
        gradient["vector"][2] = 0
    scale = 0.25
    cases = []
    for name, settings, make in optimizer_cases():
        parameters = {
            key: torch.nn.Parameter(value.clone())
            for key, value in start.items()
            if settings["name"] != "muon" or len(value.shape) == 2
        }
        decay = settings.get("weight_decay", 0.0)
        optimizers = [make([p], rates[0], decay if len(p.shape) == 2 else 0.0) for p in parameters.values()]
        after = []
        for rate, gradient in zip(rates, gradients):
            for optimizer, (key, parameter) in zip(optimizers, parameters.items()):
                optimizer.param_groups[0]["lr"] = rate
                parameter.grad = scale * gradient[key]
                optimizer.step()
            after.append({key: parameter.detach().flatten().tolist() for key, parameter in parameters.items()})
        cases.append(dict(name=name, settings=settings, after_each_step=after))
    flat = lambda tensors: {name: tensor.flatten().tolist() for name, tensor in tensors.items()}
    write_json(
        ROOT / "optimizers.json",
        {
            "definition": [
                "each step has its learning rate and gradients, which are multiplied by gradient_scale first",
                "vector takes no weight decay; muon moves the matrices alone",
                "sgd, adafactor and muon: torch.optim; lion: its published formula, as PyTorch has none",
            ],
            "precision": "float64",
            "shapes": shapes,
            "start": flat(start),
            "learning_rates": rates,
            "gradient_scale": scale,
            "gradients": [flat(gradient) for gradient in gradients],
            "cases": cases,
        },
    )
    print("optimizers", len(cases), "cases")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    writers = {"adamw": write_adamw, "optimizers": write_optimizers}
    for name in sys.argv[1:] or writers:
        writers[name]()
    print("torch", torch.__version__)


if __name__ == "__main__":
    main()
