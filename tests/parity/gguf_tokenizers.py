#!/usr/bin/env python3
"""Tiny models with published tokenizers beside them, made into GGUF files by merit_convert: the tokens that llama.cpp finds
in texts, against those of transformers.

    python gguf_tokenizers.py ./merit_convert FOLDER TOKENIZER_FOLDER...

Needs torch, transformers and llama-cpp-python. Exit status 1 when a text has other tokens.
"""
import pathlib
import shutil
import subprocess
import sys

import torch
import transformers as hf
from llama_cpp import Llama

TEXTS = [
    "Is water wet? Yes, it's 100% wet; I'll say so 12345 times.",
    "  two  spaces,\ttabs\n\n and lines \r\n end ",
    "Grüße, naïve café; 你好世界 Привет 😀",
    "CamelCase snake_case http://a.b/c?d=e&f int main() { return 0x1F; }",
    "don't DON'T we've 3.14 1,000,000",
    "",
]


def model_of(tokenizer, size):
    shape = {"vocab_size": size, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
             "num_attention_heads": 4, "max_position_embeddings": 512}
    if tokenizer.__class__.__name__.startswith("Bert"):
        return hf.BertModel(hf.BertConfig(**shape), add_pooling_layer=False)
    return hf.LlamaForCausalLM(hf.LlamaConfig(**shape))


def main(convert, folder, *sources):
    fine = True
    for source in map(pathlib.Path, sources):
        target = pathlib.Path(folder) / source.name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        tokenizer = hf.AutoTokenizer.from_pretrained(source)
        size = len(tokenizer) + 3  # as published embeddings have some rows more
        model_of(tokenizer, size).save_pretrained(target)
        gguf = target.with_suffix(".gguf")
        gguf.unlink(missing_ok=True)
        done = subprocess.run([convert, str(target), str(gguf)], capture_output=True, text=True, check=True)
        print(f"{source.name}: {done.stderr.strip() or 'converted'}")
        reader = Llama(str(gguf), vocab_only=True, verbose=False)
        special = list(tokenizer.added_tokens_decoder.values())
        for text in TEXTS + [f"a{special[0].content}b", "".join(str(token) for token in special[-3:])]:
            expected = tokenizer(text).input_ids
            found = reader.tokenize(text.encode(), add_bos=True, special=True)
            if found != expected:
                print(f"  {text!r}: found {found}, expected {expected}")
                fine = False
        template = reader.metadata.get("tokenizer.chat_template")
        if template != tokenizer.chat_template:
            print("  another chat template")
            fine = False
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
