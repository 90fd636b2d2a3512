#!/usr/bin/env python3
"""Writes gguf/tensors.json: what llama.cpp's own converter makes of the golden models of this folder, a hash of the
bytes of each tensor (float32), by which tests see that merit lays them out in the same way.

    python3 -m venv golden-env
    golden-env/bin/pip install torch transformers safetensors
    golden-env/bin/python tests/golden/generate_gguf_tensors.py LLAMA_CPP

LLAMA_CPP is a checkout of llama.cpp.
"""
import json
import logging
import pathlib
import shutil
import sys
import tempfile

from safetensors.torch import load_file, save_file

FOLDER = pathlib.Path(__file__).resolve().parent
MODELS = {
    "llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM", "gpt2": "GPT2LMHeadModel",
    "qwen3_moe": "Qwen3MoeForCausalLM", "gemma": "GemmaForCausalLM", "gemma3_text": "Gemma3ForCausalLM",
    "phi3": "Phi3ForCausalLM", "smollm3": "SmolLM3ForCausalLM", "olmo": "OlmoForCausalLM", "olmo3": "Olmo3ForCausalLM",
    "internlm2": "InternLM2ForCausalLM", "gpt_neox": "GPTNeoXForCausalLM", "bert": "BertForSequenceClassification",
    "modernbert": "ModernBertForSequenceClassification",
}


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def convert(conversion, gguf, name, architecture, work):
    source = work / name
    source.mkdir()
    config = json.loads((FOLDER / name / "config.json").read_text())
    config.update(architectures=[architecture], n_ctx=32, rotary_pct=0.25, layer_norm_eps=1e-3, norm_eps=1e-3)
    (source / "config.json").write_text(json.dumps(config))
    tensors = load_file(FOLDER / name / "model.safetensors")
    # Neither heads nor layers without experts among such with them are known to the converter.
    unknown = ("score.", "v_head.") + (("model.layers.1.mlp.",) if name == "qwen3_moe" else ())
    tensors = {key: tensor for key, tensor in tensors.items() if not key.startswith(unknown)}
    save_file(tensors, source / "model.safetensors")
    vocabulary = {str(i): i for i in range(config["vocab_size"])}
    (source / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}, "added_tokens": []}))
    parent = conversion.base.ModelBase.from_model_architecture(architecture)

    class Converter(parent):
        model_arch = parent.model_arch

        def set_vocab(self):
            self.gguf_writer.add_tokenizer_model("gpt2")

    hparams = {**config, **conversion.base.ModelBase.load_hparams(source, False)}
    target = work / f"{name}.gguf"
    Converter(source, gguf.LlamaFileType.ALL_F32, target, eager=True, hparams=hparams).write()
    shutil.rmtree(source)
    return {tensor.name: fnv1a(tensor.data.tobytes()) for tensor in gguf.GGUFReader(target).tensors}


def main(llama_cpp):
    sys.path[:0] = [llama_cpp, str(pathlib.Path(llama_cpp) / "gguf-py")]
    import conversion
    import conversion.base
    import gguf
    conversion.load_all_models()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as work:
        made = {name: convert(conversion, gguf, name, kind, pathlib.Path(work)) for name, kind in MODELS.items()}
    lines = ",\n".join(f' "{name}": {json.dumps(tensors)}' for name, tensors in made.items())
    (FOLDER / "gguf" / "tensors.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
