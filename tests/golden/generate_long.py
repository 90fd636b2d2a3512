#!/usr/bin/env python3
"""Writes long/: models of generate.py at sequences of 300 tokens and more, with PyTorch and transformers.

In the environment of generate.py, and as it: all of them, or those named.

    golden-env/bin/python tests/golden/generate_long.py
    golden-env/bin/python tests/golden/generate_long.py qwen3
"""
import sys

import torch
import transformers
from safetensors.torch import save_file

from generate import ROOT, evaluate, float64_arithmetic, nine_digits, pair_loss, randomise, relative_difference
from golden_json import write_json
from golden_models import BIG_EPSILON, NO_SPECIAL_TOKENS

# The prompt is longer than a tile of keys of any backend (256), and so is the second one's own tail.
PART_LENGTHS = {"p": 290, "a": 30, "b": 45, "c": 20, "q": 20, "d": 283, "e": 310}
PATHS = ["pa", "pb", "pac", "qd", "qe"]
PAIRS = [[0, 1], [2, 1], [3, 4], [0, 2], [3, 0]]

# Their gradients are stored whole, of the others the norm.
WHOLE = ("score.weight", "layers.0.self_attn.k_proj.weight", "layers.0.self_attn.v_proj.weight", "h.0.attn.c_attn.weight")

CLASSES = {
    "llama": transformers.LlamaForSequenceClassification,
    "qwen2": transformers.Qwen2ForSequenceClassification,
    "qwen3": transformers.Qwen3ForSequenceClassification,
    "gpt2": transformers.GPT2ForSequenceClassification,
}


def load(name, directory):
    """The model of generate.py; of GPT-2, whose positions end at 32 there, one of its own."""
    if name != "gpt2":
        return CLASSES[name].from_pretrained(ROOT / name, attn_implementation="eager").float()
    config = transformers.GPT2Config(
        vocab_size=40, n_positions=352, n_embd=24, n_layer=2, n_head=3, layer_norm_epsilon=BIG_EPSILON,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, num_labels=1, **NO_SPECIAL_TOKENS,
    )  # fmt: skip
    config._attn_implementation = "eager"
    model = CLASSES[name](config).float()
    randomise(model, torch.Generator().manual_seed(209))
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    return model


def write_long(name):
    directory = ROOT / "long" / name
    directory.mkdir(parents=True, exist_ok=True)
    model = load(name, directory)
    generator = torch.Generator().manual_seed(211)
    parts = {part: torch.randint(0, model.config.vocab_size, (length,), generator=generator).tolist()
             for part, length in PART_LENGTHS.items()}  # fmt: skip
    sequences = [[token for part in path for token in parts[part]] for path in PATHS]
    assert min(map(len, sequences)) > 300

    scores, _ = evaluate(model, sequences)
    loss = pair_loss(scores, PAIRS)
    probability = torch.sigmoid(torch.stack([scores[c, 0] - scores[r, 0] for c, r in PAIRS]))
    assert 0.02 < probability.min() and probability.max() < 0.98, (name, probability)
    loss.backward()
    gradients = {key: p.grad.detach().clone() for key, p in model.named_parameters()}

    # How much of the last digits is rounding.
    with float64_arithmetic():
        config = model.config.__class__.from_dict({**model.config.to_dict(), "dtype": torch.float64})
        config._attn_implementation = "eager"
        exact = CLASSES[name](config)
        exact.load_state_dict({key: value.double() for key, value in model.state_dict().items()})
        exact_scores, _ = evaluate(exact, sequences)
        pair_loss(exact_scores, PAIRS).backward()
        differences = {key: relative_difference(gradients[key], p.grad) for key, p in exact.named_parameters()
                       if gradients[key].abs().max() >= 1e-4}  # fmt: skip
        worst = max(differences, key=differences.get)
        noise = {"scores": relative_difference(scores, exact_scores), "gradients": differences[worst]}

    write_json(directory / "expected.json", {
        "model_class": CLASSES[name].__name__,
        "precision": "float32",
        "float64_difference": {key: float(f"{value:.2g}") for key, value in noise.items()} | {"worst_gradient": worst},
        "pairs": PAIRS,
        "loss": nine_digits(loss),
        "gradient_norms": {key: nine_digits(gradient.norm()) for key, gradient in gradients.items()},
        "sequences": [{"tokens": sequence, "score": nine_digits(score[0])} for sequence, score in zip(sequences, scores)],
    })  # fmt: skip
    save_file({key: gradient.contiguous() for key, gradient in gradients.items() if key.endswith(WHOLE)},
              directory / "gradients.safetensors")
    for file in directory.iterdir():
        file.chmod(0o644)
    print(name, scores[:, 0].tolist(), noise, worst)


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in sys.argv[1:] or CLASSES:
        write_long(name)
    print("torch", torch.__version__, "transformers", transformers.__version__)


if __name__ == "__main__":
    main()
