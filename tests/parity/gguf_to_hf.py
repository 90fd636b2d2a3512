#!/usr/bin/env python3
"""A GGUF file of a Llama-family model as a Hugging Face directory, in float32.

    python gguf_to_hf.py MODEL.gguf OUT_DIR

The independent witness for merit's own reader: tensors are dequantised by the `gguf` package, names, the
rows of queries and keys, and the configuration are put back here, and transformers loads the result. Writes
config.json, model.safetensors, and, for a byte-level BPE vocabulary, tokenizer.json, tokenizer_config.json
and chat_template.jinja. Needs gguf, numpy, safetensors and tokenizers.
"""

import json
import pathlib
import sys

import gguf
import numpy as np
from gguf.quants import dequantize
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CLASSES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}


def hf_name(name):
    whole = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
    if name in whole:
        return whole[name]
    _, layer, part, ending = name.split(".")
    return f"model.layers.{layer}.{NAMES[part]}.{ending}"


def unpermuted(rows, heads):
    """llama.cpp stores a head's rows as pairs (0, d/2, 1, d/2 + 1, ...); transformers has halves."""
    shape = rows.shape
    return rows.reshape(heads, shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(shape)


def main(source, target):
    reader = gguf.GGUFReader(source)
    field = {name: item.contents() for name, item in reader.fields.items()}
    kind = field["general.architecture"]
    get = lambda name, *default: field.get(f"{kind}.{name}", *default)
    heads = get("attention.head_count")
    kv_heads = get("attention.head_count_kv", heads)
    target = pathlib.Path(target)
    target.mkdir(parents=True, exist_ok=True)

    tensors = {}
    for tensor in reader.tensors:
        if tensor.name == "rope_freqs.weight":
            sys.exit("rope_freqs.weight is not handled here")
        shape = [int(n) for n in reversed(tensor.shape)]
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
        if kind == "llama" and ".attn_q." in tensor.name:
            values = unpermuted(values, heads)
        if kind == "llama" and ".attn_k." in tensor.name:
            values = unpermuted(values, kv_heads)
        tensors[hf_name(tensor.name)] = np.ascontiguousarray(values)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})

    config = {
        "architectures": [CLASSES[kind]],
        "model_type": kind,
        "vocab_size": tensors["model.embed_tokens.weight"].shape[0],
        "hidden_size": get("embedding_length"),
        "intermediate_size": get("feed_forward_length"),
        "num_hidden_layers": get("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": get("attention.key_length", get("embedding_length") // heads),
        "max_position_embeddings": get("context_length"),
        # Stored as float32; the shortest decimal that gives it back is the number that was meant.
        "rms_norm_eps": float(str(np.float32(get("attention.layer_norm_rms_epsilon")))),
        "rope_theta": float(str(np.float32(get("rope.freq_base", 10000.0)))),
        "hidden_act": "silu",
        "tie_word_embeddings": "lm_head.weight" not in tensors,
        "bos_token_id": field.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": field.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": field.get("tokenizer.ggml.padding_token_id"),
        "torch_dtype": "float32",
    }
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    if field.get("tokenizer.ggml.model") == "gpt2":
        write_tokenizer(field, target)


def write_tokenizer(field, target):
    tokens = field["tokenizer.ggml.tokens"]
    types = field["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in field["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    split = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    if field.get("tokenizer.ggml.pre") == "smollm":
        split.insert(0, pre_tokenizers.Digits(individual_digits=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)
    tokenizer.decoder = decoders.ByteLevel()
    control = 3
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t, k in zip(tokens, types) if k == control]
    )
    tokenizer.save(str(target / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 8192,
              "clean_up_tokenization_spaces": False}
    for name, key in (("bos_token", "bos"), ("eos_token", "eos"), ("pad_token", "padding"),
                      ("unk_token", "unknown")):
        number = field.get(f"tokenizer.ggml.{key}_token_id")
        if number is not None:
            config[name] = tokens[number]
    if template := field.get("tokenizer.chat_template"):
        (target / "chat_template.jinja").write_text(template)
    (target / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
