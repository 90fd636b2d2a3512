#!/usr/bin/env python3
"""Tiny random models of every architecture and rotary scaling that merit reads from GGUF files, converted by
llama.cpp's own converter: the log-probabilities that merit computes from the GGUF file and from the Hugging Face
directory, or of an encoder the hidden rows, against transformers; and the GGUF file that merit makes of the directory,
against the converter's, tensor by tensor and number by number.

    python gguf_architectures.py LLAMA_CPP ./token_log_probs ./encoder_rows ./merit_convert FOLDER

LLAMA_CPP is a checkout of llama.cpp; language_models.py and encoder_rows.cpp say how the programs are built. Needs torch,
transformers and safetensors. Exit status 1 when a difference exceeds 1e-5, a tensor differs, or a number of the metadata does.
"""
import json
import logging
import pathlib
import subprocess
import sys

import torch
import transformers as hf
from safetensors.torch import load_file, save_file

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
import golden_internlm2

SIZES = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
NAMES = {"internlm2": "InternLM2ForCausalLM"}  # classes that transformers does not hold


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
    gemma = {**SIZES, "head_dim": 16, "rope_parameters": PLAIN}
    yield "gemma", hf.GemmaForCausalLM(hf.GemmaConfig(**gemma))
    # merit reads no logits through a cap on them, which none of the values here would reach.
    yield "gemma2", hf.Gemma2ForCausalLM(hf.Gemma2Config(**{
        **gemma, "num_hidden_layers": 3, "query_pre_attn_scalar": 16, "attn_logit_softcapping": 2.0,
        "final_logit_softcapping": None, "sliding_window": 5}))
    two = {"full_attention": {**LINEAR, "rope_theta": 1e6}, "sliding_attention": PLAIN}
    yield "gemma3", hf.Gemma3ForCausalLM(hf.Gemma3TextConfig(**{
        **gemma, "num_hidden_layers": 7, "query_pre_attn_scalar": 16, "sliding_window": 5, "rope_parameters": two}))
    phi3 = {**SIZES, "pad_token_id": 0}
    half = {**PLAIN, "partial_rotary_factor": 0.5}
    yield "phi3", hf.Phi3ForCausalLM(hf.Phi3Config(**phi3, rope_parameters=half, sliding_window=7))
    factors = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.1, 1.5, 2.0],
               "long_factor": [1.0, 2.0, 4.0, 8.0]}
    yield "phi3_long", hf.Phi3ForCausalLM(hf.Phi3Config(**phi3, rope_parameters=factors,
                                                        original_max_position_embeddings=32))
    yield "qwen3_moe", hf.Qwen3MoeForCausalLM(hf.Qwen3MoeConfig(
        **SIZES, head_dim=16, num_experts=5, num_experts_per_tok=2, moe_intermediate_size=12, norm_topk_prob=True))
    yield "smollm3", hf.SmolLM3ForCausalLM(hf.SmolLM3Config(**{**SIZES, "num_hidden_layers": 5, "pad_token_id": 0}))
    yield "olmo", hf.OlmoForCausalLM(hf.OlmoConfig(**SIZES))
    yield "olmo2", hf.Olmo2ForCausalLM(hf.Olmo2Config(**SIZES))
    yield "olmo3", hf.Olmo3ForCausalLM(hf.Olmo3Config(**{**SIZES, "num_hidden_layers": 5, "sliding_window": 5}))
    neox = {**SIZES, "rope_parameters": {**PLAIN, "partial_rotary_factor": 0.25}}
    neox.pop("num_key_value_heads")
    yield "gpt_neox", hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**neox))
    yield "gpt_neox_serial", hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(**neox, use_parallel_residual=False))
    yield "internlm2", llama(tie_word_embeddings=False)
    encoder = {**SIZES, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    encoder.pop("num_key_value_heads")
    yield "bert", hf.BertModel(hf.BertConfig(**encoder), add_pooling_layer=False)
    modern = {key: encoder[key] for key in encoder if "dropout" not in key}
    special = {key: 0 for key in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")}
    yield "modernbert", hf.ModernBertModel(hf.ModernBertConfig(
        **{**modern, **special, "num_hidden_layers": 4, "local_attention": 8}))


def scatter(model, generator):
    """Norms around 1, biases around 0, so that a tensor taken for another shows."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = name.endswith("weight") and parameter.dim() == 1
            # Gemma's embeddings are multiplied by their width's root, and are its unembedding.
            deviation = (0.02 if "embed" in name else 0.15) if "Gemma" in type(model).__name__ else 0.25
            parameter.copy_(1 + 0.3 * noise if is_norm else deviation * noise)
    return model.eval()


def convert(conversion, gguf, architecture, directory, target):
    from conversion import base

    parent = base.ModelBase.from_model_architecture(architecture)

    class Converter(parent):
        model_arch = parent.model_arch

        def set_vocab(self):  # there is no tokenizer
            if architecture == "BertModel":
                self.gguf_writer.add_token_type_count(2)
            self.gguf_writer.add_tokenizer_model("gpt2")
            self.gguf_writer.add_token_list([str(i) for i in range(64)])

    # Some settings the converter finds in published files alone, not in what transformers makes of them.
    hparams = {**json.loads((directory / "config.json").read_text()), **base.ModelBase.load_hparams(directory, False)}
    with torch.inference_mode():
        Converter(directory, gguf.LlamaFileType.ALL_F32, target, eager=True, hparams=hparams).write()


def prepare(directory, name, model):
    """What published directories have and save_pretrained does not write, or writes as another kind."""
    config = json.loads((directory / "config.json").read_text())
    if name == "gpt2":
        config["n_ctx"] = config["n_positions"]
    if name.startswith("gpt_neox"):
        config["rotary_pct"] = 0.25
    if name == "modernbert":
        config["layer_norm_eps"] = config["norm_eps"]
    if name == "gemma2":
        config["final_logit_softcapping"] = 0.0
    if name == "internlm2":
        tensors = golden_internlm2.as_internlm2(load_file(directory / "model.safetensors"), model.config,
                                                {**golden_internlm2.INTERNLM2_NAMES, "lm_head": "output"})
        save_file({key: value.contiguous() for key, value in tensors.items()}, directory / "model.safetensors",
                  {"format": "pt"})
        config.update(model_type="internlm2", architectures=["InternLM2ForCausalLM"], bias=False)
    (directory / "config.json").write_text(json.dumps(config))
    if name == "gemma3":  # for its count of pieces
        vocabulary = {str(i): i for i in range(64)}
        (directory / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}, "added_tokens": []}))


def same_numbers(ours, theirs):
    """To the bit, but for factors, which both compute and each rounds in its way."""
    if theirs.name == "rope_freqs.weight":
        return bool((abs(ours.data - theirs.data) <= 1e-6 * abs(theirs.data)).all())
    return ours.data.tobytes() == theirs.data.tobytes()


def same_files(gguf, ours, theirs):
    """Tensors to the bit; and the numbers of the converter's metadata that merit writes, and of which it writes none."""
    ours, theirs = gguf.GGUFReader(ours), gguf.GGUFReader(theirs)
    found = {tensor.name: tensor for tensor in ours.tensors}
    wrong = [tensor.name for tensor in theirs.tensors
             if tensor.name not in found or list(found[tensor.name].shape) != list(tensor.shape)
             or not same_numbers(found[tensor.name], tensor)]
    wrong += sorted(set(found) - {tensor.name for tensor in theirs.tensors})
    missing = []
    for key, field in theirs.fields.items():
        if key.startswith(("GGUF.", "tokenizer.")) or key in SILENT or key.endswith(".rope.scaling.type"):
            continue
        if key not in ours.fields:
            missing.append(key)
        elif ours.fields[key].contents() != field.contents():
            wrong.append(f"{key} {ours.fields[key].contents()} {field.contents()}")
    return wrong, missing


# Of the file and not of the model.
SILENT = {"general.name", "general.type", "general.file_type", "general.size_label", "general.quantization_version",
          "general.basename", "general.finetune", "general.tags", "general.sampling.temp"}


def main(llama_cpp, log_probs, rows, convert_program, folder):
    sys.path[:0] = [llama_cpp, str(pathlib.Path(llama_cpp) / "gguf-py")]
    import conversion
    import gguf
    conversion.load_all_models()
    logging.disable(logging.WARNING)

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    fine = True
    for number, (name, model) in enumerate(models()):
        generator = torch.Generator().manual_seed(number)
        scatter(model, generator)
        directory = folder / name
        model.save_pretrained(directory)
        prepare(directory, name, model)
        architecture = NAMES.get(name, type(model).__name__)
        encoder = architecture in ("BertModel", "ModernBertModel")
        ids = torch.randint(0, 64, (6, 20), generator=generator)
        with torch.no_grad():
            if encoder:
                expected = model(ids).last_hidden_state.flatten(1).tolist()
            else:
                every = torch.log_softmax(model(ids).logits.double(), -1)
                expected = every[:, :-1].gather(-1, ids[:, 1:, None])[..., 0].tolist()
        theirs, ours = folder / f"{name}.gguf", folder / f"{name}-merit.gguf"
        convert(conversion, gguf, architecture, directory, theirs)
        (directory / "tokenizer.json").unlink(missing_ok=True)
        ours.unlink(missing_ok=True)
        done = subprocess.run([convert_program, str(directory), str(ours)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stderr)
        wrong, missing = same_files(gguf, ours, theirs)
        fine = fine and not wrong
        print(f"{name}: differs in {wrong or 'nothing'}, has not {missing or 'nothing'} of the converter's file")
        lines = "".join(json.dumps(row) + "\n" for row in ids.tolist())
        for source in (theirs, ours, directory):
            command = [rows, str(source), "hidden"] if encoder else [log_probs, str(source)]
            done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                sys.exit(f"{source}: {done.stderr}")
            found = [json.loads(line) for line in done.stdout.splitlines()]
            if not encoder:
                found = [line["log_probs"] for line in found]
            worst = max(abs(a - b) for one, other in zip(found, expected) for a, b in zip(one, other))
            print(f"  {source.name}: largest difference of a {'hidden row' if encoder else 'log-probability'} {worst:.1e}")
            fine = fine and worst <= 1e-5 and "not read" not in done.stderr
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
