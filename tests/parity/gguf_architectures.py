#!/usr/bin/env python3
"""Tiny random models of every architecture and rotary scaling that merit reads from GGUF files, converted by
llama.cpp's own converter: the log-probabilities that merit computes from the GGUF file and from the Hugging Face
directory, against transformers.

    python gguf_architectures.py LLAMA_CPP ./token_log_probs FOLDER

LLAMA_CPP is a checkout of llama.cpp; smollm2.py says how token_log_probs is built. Needs torch and transformers.
Exit status 1 when a difference exceeds 1e-5.
"""
import json
import logging
import pathlib
import subprocess
import sys

import torch
import transformers as hf

SIZES = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}


def models():
    llama = lambda **more: hf.LlamaForCausalLM(hf.LlamaConfig(**{**SIZES, **more}))
    yield "llama", llama(rms_norm_eps=1e-5)
    yield "llama3", llama(head_dim=64, max_position_embeddings=131072, tie_word_embeddings=True,
                          rope_parameters=LLAMA3)
    yield "yarn", llama(rope_parameters=YARN)
    yield "linear", llama(rope_parameters=LINEAR)
    yield "mistral", hf.MistralForCausalLM(hf.MistralConfig(**SIZES, sliding_window=None))
    yield "qwen2", hf.Qwen2ForCausalLM(hf.Qwen2Config(**SIZES))
    yield "qwen3", hf.Qwen3ForCausalLM(hf.Qwen3Config(**SIZES, head_dim=16))
    yield "gpt2", hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=64))


def scatter(model, generator):
    """Norms around 1, biases around 0, so that a tensor taken for another shows."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = name.endswith("weight") and parameter.dim() == 1
            parameter.copy_(1 + 0.3 * noise if is_norm else 0.25 * noise)
    return model.eval()


def convert(conversion, gguf, architecture, directory, target):
    from conversion import base

    parent = base.ModelBase.from_model_architecture(architecture)

    class Converter(parent):
        model_arch = parent.model_arch

        def set_vocab(self):  # there is no tokenizer
            self.gguf_writer.add_tokenizer_model("gpt2")
            self.gguf_writer.add_token_list([str(i) for i in range(64)])

    with torch.inference_mode():
        Converter(directory, gguf.LlamaFileType.ALL_F32, target, eager=True).write()


def main(llama_cpp, program, folder):
    sys.path[:0] = [llama_cpp, str(pathlib.Path(llama_cpp) / "gguf-py")]
    import conversion
    import conversion.gpt2
    import conversion.llama
    import conversion.qwen
    import gguf
    logging.disable(logging.WARNING)

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(1)
    fine = True
    for name, model in models():
        scatter(model, generator)
        directory = folder / name
        model.save_pretrained(directory)
        config = json.loads((directory / "config.json").read_text())
        if name == "gpt2":
            config["n_ctx"] = config["n_positions"]  # published ones have it, and the converter reads it
            (directory / "config.json").write_text(json.dumps(config))
        ids = torch.randint(0, 64, (6, 20), generator=generator)
        with torch.no_grad():
            every = torch.log_softmax(model(ids).logits.double(), -1)
        expected = every[:, :-1].gather(-1, ids[:, 1:, None])[..., 0].tolist()
        convert(conversion, gguf, config["architectures"][0], directory, folder / f"{name}.gguf")
        lines = "".join(json.dumps(row) + "\n" for row in ids.tolist())
        for source in (folder / f"{name}.gguf", directory):
            done = subprocess.run([program, str(source)], input=lines, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                sys.exit(done.stderr)
            found = [json.loads(line)["log_probs"] for line in done.stdout.splitlines()]
            worst = max(abs(a - b) for one, other in zip(found, expected) for a, b in zip(one, other))
            print(f"{source.name}: largest difference of a log-probability {worst:.1e}")
            fine = fine and worst <= 1e-5 and "not read" not in done.stderr
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
