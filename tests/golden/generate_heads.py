#!/usr/bin/env python3
"""Writes heads/: small published-style models with each kind of head, and the scores that transformers gives them.

    python3 -m venv golden-env
    golden-env/bin/pip install torch transformers safetensors mpmath
    golden-env/bin/python tests/golden/generate_heads.py
    golden-env/bin/python tests/golden/generate_heads.py check DIRECTORY

The second form reads checkpoints that the library wrote (tests/model/golden_heads_test.cpp writes them into the
directory that MERIT_WRITE_CHECKPOINTS names) and compares transformers' scores with the library's, `scores.json` beside
them.
"""
import json
import pathlib
import shutil
import sys

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file

from generate import ROOT, nine_digits, randomise, relative_difference, write_json
from golden_models import BIG_EPSILON, NO_SPECIAL_TOKENS, llama, with_rope

HEADS = ROOT / "heads"


def numbers(tensor):
    return [nine_digits(value) for value in tensor.flatten()]


def make_sequences(generator, vocabulary):
    """Completions of common prompts; one has no prompt."""
    prompts = [torch.randint(0, vocabulary, (length,), generator=generator).tolist() for length in (6, 0)]
    rows = []
    for prompt, lengths in zip(prompts, [(5, 1, 9), (4,)]):
        for length in lengths:
            completion = torch.randint(0, vocabulary, (length,), generator=generator).tolist()
            rows.append({"tokens": prompt + completion, "completion_begin": len(prompt)})
    return rows


def save(name, model, document, extra=None):
    directory = HEADS / name
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)
    if extra:
        weights = load_file(directory / "model.safetensors")
        save_file({**weights, **extra}, directory / "model.safetensors", metadata={"format": "pt"})
    write_json(directory / "expected.json", {"model_class": type(model).__name__, "precision": "float32", **document})
    print(name, len(document["sequences"]), "sequences")


def prepared(model_class, config, seed):
    generator = torch.Generator().manual_seed(seed)
    config._attn_implementation = "eager"
    model = model_class(config).float().eval()
    randomise(model, generator)
    return model, generator, make_sequences(generator, config.vocab_size)


@torch.no_grad()
def write_token_classification(name, model_class, config, seed):
    """Three labels at every token."""
    config.num_labels = 3
    model, _, rows = prepared(model_class, config, seed)
    for row in rows:
        row["scores"] = numbers(model(input_ids=torch.tensor([row["tokens"]])).logits[0])
    save(name, model, {"sequences": rows})


@torch.no_grad()
def write_two_labels(name, config, seed):
    """Two labels of the whole text, bad and good, and the loss of some of them."""
    config.num_labels = 2
    model, _, rows = prepared(transformers.LlamaForSequenceClassification, config, seed)
    loss = 0.0
    for i, row in enumerate(rows):
        row["label"] = i % 2
        out = model(input_ids=torch.tensor([row["tokens"]]), labels=torch.tensor([row["label"]]))
        row["scores"] = numbers(out.logits[0])
        loss += out.loss.double() / len(rows)
    save(name, model, {"loss": nine_digits(loss), "sequences": rows})


@torch.no_grad()
def write_two_layers(name, config, seed):
    """As Qwen2.5-Math-RM: score is Linear, ReLU, Linear, read at the last token."""
    model, generator, rows = prepared(transformers.Qwen2Model, config, seed)
    width = config.hidden_size
    score = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, 1))
    randomise(score, generator)
    for row in rows:
        hidden = model(input_ids=torch.tensor([row["tokens"]])).last_hidden_state[0, -1]
        row["scores"] = numbers(score(hidden))
    save(name, model, {"sequences": rows}, {f"score.{key}": value for key, value in score.state_dict().items()})


def write_language_model(name, config, seed, model_class=transformers.LlamaForCausalLM):
    """Logits of named tokens, the loss of the next token over completions with its gradient at the last norm, and a value
    head as TRL stores it."""
    model, generator, rows = prepared(model_class, config, seed)
    summary = torch.nn.Linear(config.hidden_size, 1)
    randomise(summary, generator)
    named = [5, 60, 0]
    surprise, count = 0.0, 0
    for row in rows:
        ids = torch.tensor([row["tokens"]])
        states = model.model(input_ids=ids).last_hidden_state[0]
        logits = model(input_ids=ids).logits[0]
        labels = ids[0].clone()
        labels[: row["completion_begin"]] = -100
        # The published class shifts the labels itself: the token before predicts each.
        loss = model(input_ids=ids, labels=labels[None]).loss
        predicted = len(row["tokens"]) - max(row["completion_begin"], 1)
        by_hand = F.cross_entropy(logits[:-1], labels[1:], ignore_index=-100)
        torch.testing.assert_close(loss, by_hand)
        (loss * predicted).backward()
        surprise, count = surprise + loss.detach().double() * predicted, count + predicted
        row["named_logits"] = numbers(logits[:, named])
        row["values"] = numbers(summary(states))  # of every token
    norm_gradient = numbers(model.model.norm.weight.grad / count)
    document = {"named_tokens": named, "loss": nine_digits(surprise / count), "norm_gradient": norm_gradient,
                "sequences": rows}  # fmt: skip
    summary = {key: value.detach() for key, value in summary.state_dict().items()}
    save(name, model, document, {f"v_head.summary.{key}": value for key, value in summary.items()})


def small_gpt2():
    return transformers.GPT2Config(
        vocab_size=40, n_positions=32, n_embd=12, n_layer=2, n_head=3, activation_function="gelu_new",
        layer_norm_epsilon=BIG_EPSILON, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, classifier_dropout=0.0,
        hidden_dropout=0.0, **NO_SPECIAL_TOKENS,
    )  # fmt: skip


def small_qwen2():
    rope = with_rope(rope_type="default", rope_theta=1000000.0)
    return transformers.Qwen2Config(**{**rope, "rms_norm_eps": BIG_EPSILON, "use_sliding_window": False})


def small_gemma2():
    """With a cap on logits that they reach."""
    changes = {"head_dim": 6, "query_pre_attn_scalar": 9, "attn_logit_softcapping": 2.0, "sliding_window": 5,
               "final_logit_softcapping": 0.6, "tie_word_embeddings": True}  # fmt: skip
    return transformers.Gemma2Config(**{**with_rope(rope_type="default"), **changes})


@torch.no_grad()
def check(directory):
    """What the library wrote, in transformers."""
    failed = False
    for scores in sorted(pathlib.Path(directory).glob("*/scores.json")):
        model, report = transformers.AutoModelForTokenClassification.from_pretrained(
            scores.parent, attn_implementation="eager", output_loading_info=True
        )
        model.eval()
        assert not report["missing_keys"] and not report["unexpected_keys"], (scores.parent, report)
        for row in json.loads(scores.read_text()):
            found = model(input_ids=torch.tensor([row["tokens"]])).logits[0]
            apart = relative_difference(torch.tensor(row["scores"]).view_as(found), found)
            failed = failed or not apart < 1e-5
            print(scores.parent.name, type(model).__name__, f"differs by {apart:.1e}")
    if failed:
        sys.exit("the scores differ by more than 1e-5 of the largest")


def main():
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["check"]:
        return check(sys.argv[2])
    write_token_classification("llama_token", transformers.LlamaForTokenClassification, llama(), 201)
    write_token_classification("gpt2_token", transformers.GPT2ForTokenClassification, small_gpt2(), 202)
    write_two_labels("llama_two_labels", llama(), 206)
    write_two_layers("qwen2_two_layer", small_qwen2(), 203)
    write_language_model("llama_lm_value", llama(tie_word_embeddings=False), 204)
    write_language_model("llama_lm_value_tied", llama(tie_word_embeddings=True), 205)
    write_language_model("gemma2_lm_value", small_gemma2(), 207, transformers.Gemma2ForCausalLM)


if __name__ == "__main__":
    main()
