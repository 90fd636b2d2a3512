#!/usr/bin/env python3
"""Writes the golden models of this directory with PyTorch and transformers.

The library and its tests need no Python: this script is only run again when a case is added. It needs a
throw-away environment:

    python3 -m venv golden-env
    golden-env/bin/pip install torch transformers safetensors mpmath
    golden-env/bin/python tests/golden/generate.py            # all cases
    golden-env/bin/python tests/golden/generate.py qwen3 llama    # only these

What it writes, and what each field means, is described in README.md beside it. Every case has its own seed,
so that adding one does not change the others.
"""
import contextlib
import json
import pathlib
import shutil
import sys

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file

from golden_internlm2 import rewrite_as_internlm2
from golden_json import write_json
from golden_models import MODELS, SEPARATORS

ROOT = pathlib.Path(__file__).resolve().parent
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


# ---------------------------------------------------------------------------------------------------------
# Small helpers
# ---------------------------------------------------------------------------------------------------------
def nine_digits(value):
    """Nine significant digits name every fp32 number exactly."""
    return float(f"{value.item():.9g}")


def relative_difference(value, truth):
    """Largest difference over the largest magnitude: the measure the tests use for a whole tensor."""
    value, truth = value.double(), truth.double()
    return ((value - truth).abs().max() / truth.abs().max().clamp_min(1e-30)).item()


@contextlib.contextmanager
def float64_arithmetic():
    """Lets transformers compute in float64 also where its code says float32 (norms, rotary angles, softmax)."""
    to, to_float, softmax = torch.Tensor.to, torch.Tensor.float, F.softmax
    wider = {torch.float32: torch.float64}

    def widened(arguments):
        return [wider.get(a, a) if isinstance(a, torch.dtype) else a for a in arguments]

    def wide_to(self, *arguments, **named):
        if "dtype" in named:
            named["dtype"] = wider.get(named["dtype"], named["dtype"])
        return to(self, *widened(arguments), **named)

    def wide_softmax(*arguments, **named):
        if "dtype" in named:
            named["dtype"] = wider.get(named["dtype"], named["dtype"])
        return softmax(*arguments, **named)

    torch.Tensor.to, torch.Tensor.float, F.softmax = wide_to, torch.Tensor.double, wide_softmax
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.Tensor.to, torch.Tensor.float, F.softmax = to, to_float, softmax
        torch.set_default_dtype(torch.float32)


# Parts of the sequences below: (length of part) by name. A sequence is a path of parts, so that pairs share
# prompts, one answer begins like another, and one sequence is a strict prefix of another.
PART_LENGTHS = {"p": 9, "q": 4, "a": 6, "b": 3, "c": 8, "d": 15, "e": 1, "f": 7, "g": 5, "h": 1, "i": 12}
PATHS = ["pa", "pb", "pac", "qd", "qf", "qfi", "e", "eg", "h", "pcf"]
PAIRS = [[0, 1], [2, 0], [9, 1], [3, 4], [4, 5], [6, 7], [7, 8], [2, 9]]


def make_sequences(generator, vocabulary, first=0):
    parts = {
        name: torch.randint(first, vocabulary, (length,), generator=generator).tolist()
        for name, length in PART_LENGTHS.items()
    }
    sequences = [[token for name in path for token in parts[name]] for path in PATHS]
    assert max(map(len, sequences)) == 24 and min(map(len, sequences)) == 1
    return sequences


def randomise(model, generator):
    """Weights big enough that a wrong sign, order, epsilon or missing bias changes the first digits."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in name.lower() or ".ln_" in name
            around_one = type(model).__name__.startswith("Gemma")  # their weights are what is added to 1
            if name.endswith("bias"):
                parameter.copy_(0.3 * noise)
            elif is_norm:
                parameter.copy_(0.3 * noise if around_one else 1.0 + 0.3 * noise)
            elif "embed" in name or "wte" in name or "wpe" in name:
                parameter.copy_((0.5 / model.config.hidden_size**0.5 if around_one else 0.5) * noise)
            elif name in ("score.weight", "classifier.weight", "classifier.out_proj.weight"):
                parameter.copy_(0.2 * noise)
            else:
                parameter.copy_(0.25 * noise)


def evaluate_encoder(model, sequences, separator):
    """Each sequence alone. Returns the outputs, and what the last linear layer reads: the pooled row."""
    model.eval()
    model.zero_grad()
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    outputs, pooled = [], []
    hook = last.register_forward_hook(lambda module, inputs, output: pooled.append(inputs[0].reshape(-1)))
    for sequence in sequences:
        named = {}
        if separator is not None:
            first = sequence.index(separator) if separator in sequence else len(sequence)
            named["token_type_ids"] = torch.tensor([[int(at > first) for at in range(len(sequence))]])
        outputs.append(model(input_ids=torch.tensor([sequence]), **named).logits[0])
    hook.remove()
    return torch.stack(outputs), torch.stack(pooled)


def evaluate(model, sequences, separator=None):
    """Each sequence alone. Returns the outputs and the final-norm hidden state of each last token."""
    if not hasattr(model, "score") and not hasattr(model, "lm_head") and not hasattr(model, "embed_out"):
        return evaluate_encoder(model, sequences, separator)
    model.eval()
    model.zero_grad()
    outputs, hidden = [], []
    for sequence in sequences:
        ids = torch.tensor([sequence])
        states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]  # (length, d)
        # What the published class itself answers, and the same from the hidden state, must agree.
        answer = model(input_ids=ids, use_cache=False).logits[0]
        head = model.score if hasattr(model, "score") else model.lm_head
        value = head(states[-1])
        torch.testing.assert_close(value, answer if answer.dim() == 1 else answer[-1])
        outputs.append(value)
        hidden.append(states[-1])
    return torch.stack(outputs), torch.stack(hidden)


def pair_loss(scores, pairs):
    chosen, rejected = torch.tensor(pairs).unbind(1)
    return -F.logsigmoid(scores[chosen, 0] - scores[rejected, 0]).mean()


def older_config(path):
    """The same configuration in the spelling of transformers 4, which most published checkpoints use."""
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters", None)
    if rope is not None:
        if "sliding_attention" in rope:
            if config["model_type"] == "gemma3_text":
                config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
            if config["model_type"] == "modernbert":
                config["local_rope_theta"] = rope["sliding_attention"]["rope_theta"]
                config["global_rope_theta"] = rope["full_attention"]["rope_theta"]
            rope = rope["full_attention"]
        theta, share = rope.pop("rope_theta"), rope.pop("partial_rotary_factor", None)
        if config["model_type"] == "gpt_neox":
            config["rotary_emb_base"], config["rotary_pct"] = theta, share
        else:
            config["rope_theta"] = theta
            if share is not None:
                config["partial_rotary_factor"] = share
        config["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    config["torch_dtype"] = config.pop("dtype")
    types = config.pop("layer_types", None)
    if config["model_type"] in ("gemma3_text", "olmo3", "modernbert"):
        config["layer_types"] = types  # none of the usual patterns
    config["transformers_version"] = "4.51.0"
    return dict(sorted(config.items()))


# The pairwise loss sees differences only: a bias after the last norm, or of the head, moves all scores alike. So does a
# bias of keys where no position turns them: it moves all scores of a query.
ZERO_GRADIENTS = {
    "gpt2": ("transformer.ln_f.bias",),
    "gpt_neox": ("gpt_neox.final_layer_norm.bias",),
    "gpt_neox_serial": ("gpt_neox.final_layer_norm.bias",),
    "smollm3": ("model.layers.1.self_attn.k_proj.bias",),
}
ZERO_IN_ENCODERS = ("attention.self.key.bias", "attention.key.bias", "k_lin.bias", "out_proj.bias", "pos_key_proj.bias")


def zero_gradients(name, model):
    endings = ZERO_GRADIENTS.get(name, () if hasattr(model, "score") else ZERO_IN_ENCODERS)
    of_head = "classifier.bias"
    return [key for key, _ in model.named_parameters() if key == of_head or endings and key.endswith(endings)]


def as_saved(tensors):
    """Experts are one tensor in memory, (E, 2f, d) and (E, d, f), and one each for gate, up and down in a file."""
    saved = {}
    for name, tensor in tensors.items():
        stem, _, last = name.rpartition(".")
        if not stem.endswith("experts"):
            saved[name] = tensor
            continue
        for expert, of_one in enumerate(tensor):
            if last == "gate_up_proj":
                gate, up = of_one.chunk(2)
                saved[f"{stem}.{expert}.gate_proj.weight"] = gate
                saved[f"{stem}.{expert}.up_proj.weight"] = up
            else:
                saved[f"{stem}.{expert}.{last}.weight"] = of_one
    return saved


@torch.no_grad()
def with_pads(model, generator):
    """Texts in which the pad stands at the start, inside, twice, and at the end: positions do not count it."""
    pad, rows = model.config.pad_token_id, []
    for places in ([0], [3], [4, 5, 9], [11]):
        tokens = torch.randint(pad + 1, model.config.vocab_size, (12,), generator=generator)
        tokens[places] = pad
        ids = tokens[None]
        score = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 0]
        positions = torch.arange(pad + 1, pad + 13)[None]
        plain = model(input_ids=ids, attention_mask=torch.ones_like(ids), position_ids=positions).logits[0, 0]
        assert (score - plain).abs() > 1e-3, "the positions must show"
        rows.append({"tokens": tokens.tolist(), "score": nine_digits(score)})
    return rows


def write_model(name):
    seed, make_config, model_class = MODELS[name]
    generator = torch.Generator().manual_seed(seed)
    config = make_config()
    is_scalar = "SequenceClassification" in model_class.__name__
    if is_scalar:
        config.num_labels = 1
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    model = model_class(config).float()
    randomise(model, generator)
    first = (config.pad_token_id or -1) + 1  # a text holds no pad
    sequences = make_sequences(generator, config.vocab_size, first)

    directory = ROOT / name
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)

    separator = SEPARATORS.get(name)
    outputs, hidden = evaluate(model, sequences, separator)
    document = {"model_class": model_class.__name__, "seed": seed, "precision": "float32"}
    if not hasattr(model, "score") and is_scalar:
        document["head_bias"] = True
    if separator is not None:
        document["separator"] = separator
    noise = {}
    gradients = {}
    if is_scalar:
        loss = pair_loss(outputs, PAIRS)
        probability = torch.sigmoid(torch.stack([outputs[c, 0] - outputs[r, 0] for c, r in PAIRS]))
        assert 0.02 < probability.min() and probability.max() < 0.98, (name, probability)
        loss.backward()
        gradients = {key: p.grad.detach().clone() for key, p in model.named_parameters()}
        zero = [key for key, gradient in gradients.items() if gradient.abs().max() < 1e-4]
        assert zero == zero_gradients(name, model), (name, zero)
        document["pairs"] = PAIRS
        document["loss"] = nine_digits(loss)
        document["zero_gradients"] = zero

    # The same in float64, to know how much of the last digits is rounding.
    with float64_arithmetic():
        exact = model_class(make_config_again(make_config, is_scalar))
        exact.load_state_dict({key: value.double() for key, value in model.state_dict().items()})
        exact_outputs, exact_hidden = evaluate(exact, sequences, separator)
        noise["outputs"] = relative_difference(outputs, exact_outputs)
        noise["hidden"] = relative_difference(hidden, exact_hidden)
        if is_scalar:
            exact_loss = pair_loss(exact_outputs, PAIRS)
            exact_loss.backward()
            noise["loss"] = abs(loss.item() / exact_loss.item() - 1)
            differences = {
                key: relative_difference(gradients[key], p.grad)
                for key, p in exact.named_parameters()
                if key not in zero
            }
            worst = max(differences, key=differences.get)
            noise["gradients"] = differences[worst]
            noise["worst_gradient"] = worst
    document["float64_difference"] = {
        key: float(f"{value:.2g}") if isinstance(value, float) else value for key, value in noise.items()
    }

    rows = []
    for index, sequence in enumerate(sequences):
        row = {"tokens": sequence}
        values = [nine_digits(value) for value in outputs[index]]
        row["score" if is_scalar else "logits"] = values[0] if is_scalar else values
        row["hidden"] = [nine_digits(value) for value in hidden[index]]
        rows.append(row)
    document["sequences"] = rows
    if name == "roberta":
        document["with_pads"] = with_pads(model, generator)
    write_json(directory / "expected.json", document)
    if gradients:
        save_file({key: value.contiguous() for key, value in as_saved(gradients).items()}, directory / "gradients.safetensors")

    # The older spelling of the configuration must mean the same to transformers too.
    config_path = directory / "config.json"
    newer = config_path.read_text()
    older = json.dumps(older_config(config_path), indent=2) + "\n"
    for text in (older, newer):
        config_path.write_text(text)
        loaded = model_class.from_pretrained(directory, attn_implementation="eager")
        again, _ = evaluate(loaded, sequences, separator)
        torch.testing.assert_close(again, outputs, rtol=2e-6, atol=2e-6)  # (a sum's order follows alignment)
    (directory / "config_v4.json").write_text(older)
    if name == "internlm2":
        rewrite_as_internlm2(directory, config)
    for file in directory.iterdir():
        file.chmod(0o644)
    print(name, "scores" if is_scalar else "logits", outputs[:, 0].tolist()[:4], document["float64_difference"])


def make_config_again(make_config, is_scalar):
    config = make_config()
    if is_scalar:
        config.num_labels = 1
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    config.dtype = torch.float64
    return config


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in sys.argv[1:] or MODELS:
        write_model(name)
    print("torch", torch.__version__, "transformers", transformers.__version__)


if __name__ == "__main__":
    main()
