#!/usr/bin/env python3
"""Writes adapters/: PEFT's LoRA adapters of the golden models llama and gpt2, their scores, loss and gradients, and
numbers of the matrices that PEFT merges them into.

    python3 -m venv golden-env
    golden-env/bin/pip install torch transformers safetensors mpmath peft
    golden-env/bin/python tests/golden/generate_adapters.py
    golden-env/bin/python tests/golden/generate_adapters.py check DIRECTORY

The second form reads adapters that the library wrote (tests/model/adapter_files_test.cpp writes them into the directory
that MERIT_WRITE_CHECKPOINTS names) and compares PEFT's scores with the library's, `scores.json` beside them.
"""
import json
import pathlib
import sys
import tempfile

import torch
import transformers
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors.torch import load_file, save_file

from generate import ROOT, nine_digits, pair_loss, write_json

OUT = ROOT / "adapters"
CASES = {
    "llama_plain": ("llama", dict(lora_alpha=8, target_modules="all-linear")),
    "llama_dora": (
        "llama",
        dict(lora_alpha=3, use_rslora=True, use_dora=True, target_modules=["q_proj", "v_proj", "down_proj"]),
    ),
    "llama_pattern": ("llama", dict(lora_alpha=8, target_modules=r".*\.[01]\.(self_attn\.k_proj|mlp\.up_proj)")),
    "gpt2_bias_all": (
        "gpt2",
        dict(lora_alpha=8, use_rslora=True, bias="all", target_modules=["c_attn", "c_proj", "c_fc"]),
    ),
    "llama_ranks": (
        "llama",
        dict(
            lora_alpha=8,
            use_rslora=True,
            target_modules=["q_proj", "k_proj", "mlp.up_proj", "down_proj"],
            rank_pattern={"q_proj": 2, r"layers\.1\.mlp\..*": 3, "mlp.up_proj": 5},
            alpha_pattern={"k_proj": 3, "model.layers.0.mlp.down_proj": 5},
        ),
    ),
    "llama_layers": (
        "llama",
        dict(
            lora_alpha=8,
            target_modules=["q_proj", "k_proj", "up_proj"],
            layers_to_transform=[1],
            layers_pattern="layers",
            exclude_modules=r".*k_proj",
        ),
    ),
    "phi3_fused": ("phi3", dict(lora_alpha=8, target_modules="all-linear")),
    "phi3_dora": ("phi3", dict(lora_alpha=8, use_dora=True, target_modules=["qkv_proj", "gate_up_proj"])),
    "gpt_neox_fused": ("gpt_neox", dict(lora_alpha=8, bias="lora_only", target_modules=["query_key_value", "dense"])),
    "internlm2_fused": (
        "internlm2",
        dict(lora_alpha=8, task_type=None, modules_to_save=["v_head"], target_modules=["wqkv", "wo", "w1", "w2"]),
    ),
    "gpt2_dora": ("gpt2", dict(lora_alpha=8, use_dora=True, bias="lora_only", target_modules=["attn.c_attn", "mlp.c_fc"])),
}


class Part(torch.nn.Module):
    """What a Llama calls as one of its maps: some rows, in groups, of what a map of another name gives."""

    def __init__(self, parent, name, groups=1, rows=slice(None)):
        super().__init__()
        self.of, self.groups, self.rows = [parent, name], groups, rows  # in a list, so that it is no module of this one

    def forward(self, x):
        out = getattr(*self.of)(x)
        return out.unflatten(-1, (self.groups, -1))[..., self.rows].flatten(-2)


def internlm2_base(folder):
    """A Llama whose maps are InternLM2's, under the names of its own code."""
    settings = json.loads((folder / "config.json").read_text())
    settings.update(model_type="llama", architectures=None, num_labels=1, attention_bias=settings.pop("bias"))
    config = transformers.LlamaConfig(**settings)
    config._attn_implementation = "eager"
    model = transformers.LlamaForSequenceClassification(config)
    tensors = load_file(folder / "model.safetensors")

    def linear(weight):
        made = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        made.weight = torch.nn.Parameter(weight)
        return made

    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(tensors["model.tok_embeddings.weight"])
        model.model.norm.weight.copy_(tensors["model.norm.weight"])
    model.v_head = linear(tensors["v_head.weight"])
    model.score = Part(model, "v_head")
    groups, width = config.num_key_value_heads, config.head_dim
    queries = config.num_attention_heads // groups * width
    for i, layer in enumerate(model.model.layers):
        at = f"model.layers.{i}."
        with torch.no_grad():
            layer.input_layernorm.weight.copy_(tensors[at + "attention_norm.weight"])
            layer.post_attention_layernorm.weight.copy_(tensors[at + "ffn_norm.weight"])
        layer.attention, layer.feed_forward = torch.nn.Module(), torch.nn.Module()
        for module, names in ((layer.attention, ("wqkv", "wo")), (layer.feed_forward, ("w1", "w2", "w3"))):
            kind = "attention" if module is layer.attention else "feed_forward"
            for name in names:
                setattr(module, name, linear(tensors[f"{at}{kind}.{name}.weight"]))
        layer.self_attn.q_proj = Part(layer.attention, "wqkv", groups, slice(0, queries))
        layer.self_attn.k_proj = Part(layer.attention, "wqkv", groups, slice(queries, queries + width))
        layer.self_attn.v_proj = Part(layer.attention, "wqkv", groups, slice(queries + width, None))
        layer.self_attn.o_proj = Part(layer.attention, "wo")
        layer.mlp.gate_proj = Part(layer.feed_forward, "w1")
        layer.mlp.up_proj = Part(layer.feed_forward, "w3")
        layer.mlp.down_proj = Part(layer.feed_forward, "w2")
    return model.eval()


def base_of(name):
    if pathlib.Path(name).name == "internlm2":
        return internlm2_base(ROOT / name)
    return transformers.AutoModelForSequenceClassification.from_pretrained(
        ROOT / name, num_labels=1, attn_implementation="eager"
    ).eval()


def score_all(model, sequences):
    """Each by itself, so that nothing is padded."""
    return torch.stack([model(input_ids=torch.tensor([row["tokens"]])).logits[0] for row in sequences])


def write_case(name):
    base_name, settings = CASES[name]
    expected = json.loads((ROOT / base_name / "expected.json").read_text())
    settings = dict(task_type=TaskType.SEQ_CLS) | settings
    config = LoraConfig(r=4, lora_dropout=0.0, fan_in_fan_out=base_name == "gpt2", **settings)
    model = get_peft_model(base_of(base_name), config)
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            noise = torch.randn(parameter.shape, generator=generator)
            if "magnitude" in parameter_name:
                parameter.mul_(1 + 0.2 * noise)
            elif parameter_name.endswith("bias"):
                parameter.add_(0.2 * noise)
            else:
                parameter.copy_(0.2 * noise)
    model.train()  # dropout is 0
    scores = score_all(model, expected["sequences"])
    loss = pair_loss(scores, expected["pairs"])
    loss.backward()

    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)
        saved = json.loads((pathlib.Path(scratch) / "adapter_config.json").read_text())
        tensors = load_file(pathlib.Path(scratch) / "adapter_model.safetensors")
    for field in ("target_modules", "exclude_modules"):
        if isinstance(saved[field], list):
            saved[field].sort()
    saved["base_model_name_or_path"] = f"../../{base_name}"
    (folder / "adapter_config.json").write_text(json.dumps(saved, indent=1, sort_keys=True) + "\n")
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    gradients = {}
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = parameter_name.replace(".default", "").replace(".modules_to_save", "")
            key = key.replace("lora_magnitude_vector.weight", "lora_magnitude_vector")
            assert key in tensors, (key, sorted(tensors))
            gradients[key] = parameter.grad.clone()
    assert set(gradients) == set(tensors)
    save_file(gradients, folder / "gradients.safetensors", metadata={"format": "pt"})
    # Some numbers of each matrix that PEFT itself merges, and of the head.
    before = {name: tensor.clone() for name, tensor in base_of(base_name).state_dict().items()}
    merged = {}
    for tensor_name, tensor in model.merge_and_unload().state_dict().items():
        if tensor.dim() == 2 and not torch.equal(tensor, before[tensor_name]):
            merged[tensor_name] = [nine_digits(value) for value in tensor.flatten()[:: tensor.numel() // 4][:4]]
    write_json(folder / "expected.json", {"scores": [nine_digits(s) for s in scores[:, 0]], "loss": nine_digits(loss),
                                          "merged": merged})


def check(directory):
    """Adapters that the library wrote, each with scores.json: tokens and scores."""
    worst = 0.0
    folders = sorted(p.parent for p in pathlib.Path(directory).glob("*/adapter_config.json"))
    assert folders, f"there is no adapter in {directory}"
    for folder in folders:
        found = json.loads((folder / "scores.json").read_text())
        base = base_of(json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"])
        with torch.no_grad():  # a head that was not loaded would still be the base's own
            getattr(base, "v_head", base.score).weight.zero_()
        loaded = PeftModel.from_pretrained(base, folder).eval()
        expected = torch.tensor(found["scores"])
        scores = score_all(loaded, found["sequences"]).detach()[:, 0]
        difference = ((scores - expected).abs().max() / expected.abs().max()).item()
        print(f"{folder.name}: PEFT's scores differ by {difference:.2g}")
        worst = max(worst, difference)
    assert worst < 1e-5, worst


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["check"]:
        check(sys.argv[2])
    else:
        for case in sys.argv[1:] or CASES:
            write_case(case)
