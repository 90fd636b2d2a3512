"""A Llama's files as InternLM2's own code has them, which transformers does not hold."""
import json

import torch
from safetensors.torch import load_file, save_file

MAP_NAMES = {
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.up_proj": "feed_forward.w3",
    "mlp.down_proj": "feed_forward.w2",
}
INTERNLM2_NAMES = MAP_NAMES | {
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
    "embed_tokens": "tok_embeddings",
    "score.weight": "v_head.weight",
}


def as_internlm2(tensors, config, names):
    """Queries, keys and values in one matrix, (Hkv, queries of its group then key then value, dh, d) flattened, as
    the published modeling code takes them apart, under its names."""
    result, parts = {}, {}
    for name, tensor in tensors.items():
        if any(part in name for part in ("q_proj", "k_proj", "v_proj")):
            parts.setdefault(name.split(".self_attn.")[0], {})[name.split(".")[-2]] = tensor
            continue
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        result[name] = tensor
    heads, width = config.num_key_value_heads, config.hidden_size
    for layer, of_layer in parts.items():
        grouped = [of_layer[key].reshape(heads, -1, width) for key in ("q_proj", "k_proj", "v_proj")]
        result[layer + ".attention.wqkv.weight"] = torch.cat(grouped, 1).reshape(-1, width)
    return result


def rewrite_as_internlm2(directory, config):
    # Gradients are looked up by our names, but those of linear maps by the file's.
    for file, names in (("model.safetensors", INTERNLM2_NAMES), ("gradients.safetensors", MAP_NAMES)):
        tensors = as_internlm2(load_file(directory / file), config, names)
        save_file({key: value.contiguous() for key, value in tensors.items()}, directory / file, {"format": "pt"})
    for file in ("config.json", "config_v4.json"):
        text = json.loads((directory / file).read_text())
        text.update(model_type="internlm2", architectures=["InternLM2ForRewardModel"], bias=False)
        text.pop("attention_bias")
        text.pop("mlp_bias")
        (directory / file).write_text(json.dumps(text, indent=2) + "\n")
