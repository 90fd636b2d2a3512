#!/usr/bin/env python3
"""Writes generation.json: texts that transformers writes with the golden language models, the most likely token at a time,
and what its filters of logits leave, one by one and together.

    python3 -m venv golden-env
    golden-env/bin/pip install torch transformers
    golden-env/bin/python tests/golden/generate_generation.py
"""
import json
import pathlib

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent
PROMPTS = [[5], [1, 2, 3, 4], [60, 3, 3, 17, 9, 30, 2]]
TOKENS = 24


def texts():
    for name in ["llama_lm_tied", "llama_lm_untied"]:
        model = transformers.LlamaForCausalLM.from_pretrained(ROOT / name).eval()
        for prompt in PROMPTS:
            for penalty in [1.0, 1.3]:
                ids = torch.tensor([prompt])
                written = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False,
                                         repetition_penalty=penalty)
                yield {"model": name, "prompt": prompt, "repetition_penalty": penalty,
                       "tokens": written[0, len(prompt):].tolist()}


def filtered():
    generator = torch.Generator().manual_seed(7)
    logits = (torch.randn(24, generator=generator) * 3).round(decimals=2)
    before = [3, 7, 7, 20, 1]
    settings = [
        {},
        {"repetition_penalty": 1.7},
        {"temperature": 0.6},
        {"top_k": 5},
        {"top_p": 0.8},
        {"top_p": 0.2},
        {"min_p": 0.1},
        {"temperature": 2.5, "top_p": 0.9},
        {"temperature": 1.8, "top_k": 9, "top_p": 0.85},
        {"repetition_penalty": 1.4, "temperature": 1.5, "top_k": 12, "top_p": 0.95, "min_p": 0.08},
        {"repetition_penalty": 0.8, "temperature": 0.9, "top_k": 7, "top_p": 0.9, "min_p": 0.2},
    ]
    config = transformers.LlamaConfig(vocab_size=24, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                      num_attention_heads=1)
    model = transformers.LlamaForCausalLM(config)
    ids = torch.tensor([before])
    for setting in settings:
        # In the order in which generate() applies them.
        options = transformers.GenerationConfig(do_sample=True, **{"top_k": 0, **setting})
        processors = model._get_logits_processor(options, input_ids_seq_length=len(before), logits_processor=[])
        left = processors(ids, logits[None].clone())
        yield {"settings": setting, "probabilities": torch.softmax(left.double(), -1)[0].tolist()}
    yield {"logits": [round(float(value), 2) for value in logits], "before": before}


*cases, given = filtered()
json.dump({"texts": list(texts()), **given, "filtered": cases}, open(ROOT / "generation.json", "w"), indent=1)
