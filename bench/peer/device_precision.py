#!/usr/bin/env python3
"""The other side of bench/device/precision_check: how far PyTorch's bf16 is from its float, from the same start and on the same
batches, which that program has written into a folder. A line of JSON a model and precision, with the same fields.

    device_precision.py FOLDER [--device cpu]"""

import argparse
import copy
import json
import struct
import sys
from pathlib import Path

import torch
from device_model import Part, RewardModel, Shape, Trained, causal

STEPS, COMPARED = 50, 8  # as in precision_check.cpp
RATE = 1e-3


def read_weights(path):
    """The tensors of a safetensors file in float."""
    data = path.read_bytes()
    length, = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, at in json.loads(data[8:8 + length]).items():
        if name != "__metadata__":
            if at["dtype"] != "F32":
                raise SystemExit(f"{path}: {name} is {at['dtype']}, expected F32")
            begin, end = at["data_offsets"]
            raw = bytearray(data[8 + length + begin:8 + length + end])
            tensors[name] = torch.frombuffer(raw, dtype=torch.float32).reshape(at["shape"])
    return tensors


def load(folder):
    """The model that precision_check saved, and its Shape."""
    config = json.loads((folder / "config.json").read_text())
    found = read_weights(folder / "model.safetensors")
    if config["model_type"] == "gpt2":
        shape = Shape("gpt2", config["vocab_size"], config["n_embd"], config["n_layer"], config["n_head"], config["n_head"],
                      config["n_inner"] or 4 * config["n_embd"], False, config["n_positions"])
    else:
        shape = Shape("qwen2", config["vocab_size"], config["hidden_size"], config["num_hidden_layers"],
                      config["num_attention_heads"], config["num_key_value_heads"], config["intermediate_size"], True)
    model, used = RewardModel(shape), set()

    def put(parameter, *names, transposed=False):
        used.update(names)
        value = torch.cat([found[name] for name in names])
        with torch.no_grad():
            parameter.copy_(value.T if transposed else value)

    put(model.score.weight, "score.weight")
    if shape.llama:
        put(model.tokens.weight, "model.embed_tokens.weight")
        put(model.norm.weight, "model.norm.weight")
        for i, layer in enumerate(model.layers):
            at = f"model.layers.{i}."
            put(layer.norm1.weight, at + "input_layernorm.weight")
            put(layer.norm2.weight, at + "post_attention_layernorm.weight")
            for kind in ("weight", "bias"):
                put(getattr(layer.qkv, kind), *(f"{at}self_attn.{part}_proj.{kind}" for part in "qkv"))
            put(layer.out.weight, at + "self_attn.o_proj.weight")
            put(layer.up.weight, at + "mlp.gate_proj.weight", at + "mlp.up_proj.weight")
            put(layer.down.weight, at + "mlp.down_proj.weight")
    else:
        put(model.tokens.weight, "transformer.wte.weight")
        put(model.positions.weight, "transformer.wpe.weight")
        for kind in ("weight", "bias"):
            put(getattr(model.norm, kind), f"transformer.ln_f.{kind}")
            for i, layer in enumerate(model.layers):
                for part, name in ((layer.norm1, "ln_1"), (layer.norm2, "ln_2"), (layer.qkv, "attn.c_attn"),
                                   (layer.out, "attn.c_proj"), (layer.up, "mlp.c_fc"), (layer.down, "mlp.c_proj")):
                    put(getattr(part, kind), f"transformer.h.{i}.{name}.{kind}", transposed=not name.startswith("ln") and kind == "weight")
    if used != set(found):
        raise SystemExit(f"{folder}: tensors that were not expected: {sorted(set(found) - used)}")
    return model, shape


def run(model, parts, precision):
    """Scores and gradients of some parts at the start's weights, and losses and norms of a step over each."""
    trained = Trained(copy.deepcopy(model), precision, RATE)
    scores, gradients = [], []
    for part in parts[:COMPARED]:
        with torch.no_grad():
            scores.append(trained.scores(part, lambda layer: layer))
        trained.step([part], update=False)
        gradients += [p.grad.flatten().clone() for p in trained.moved]
    losses, norms = zip(*(trained.step([part]) for part in parts))
    return (torch.cat(scores).double().cpu(), torch.cat(gradients).double().cpu(),
            [float(loss) for loss in losses], [float(norm) for norm in norms])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    for name in ("gpt2", "qwen2"):
        model, shape = load(options.folder / name)
        model.to(device)
        pairs = [json.loads(line) for line in (options.folder / f"{name}.jsonl").read_text().splitlines()]
        size = len(pairs) // STEPS
        parts = [Part([torch.tensor(pair[side]) for pair in pairs[i * size:(i + 1) * size] for side in ("chosen", "rejected")],
                      shape, False, causal, device) for i in range(STEPS)]
        exact = run(model, parts, "float")
        for precision in ("autocast", "bf16"):
            scores, gradient, losses, norms = run(model, parts, precision)
            print(json.dumps({
                "check": "pytorch " + torch.__version__, "model": name, "precision": precision, "pairs": size,
                "score_error": float((scores - exact[0]).norm() / exact[0].norm()),
                "gradient_error": float((gradient - exact[1]).norm() / exact[1].norm()),
                "losses_float": exact[2], "losses": losses, "norms_float": exact[3], "norms": norms}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
