#!/usr/bin/env python3
"""Scores from text: tiny reward models of every architecture and head, saved by transformers with a real tokenizer and a
chat template, read by merit_score and by transformers.

    python tests/parity/scores_from_text.py build/release/examples TOKENIZER_DIR WORK

The conversations are short and of 1,500 tokens and more, share a prefix or not, some have tools; transformers scores them
one by one and as one padded batch, in double precision, merit packed under three budgets, in float. Needs torch and
transformers; prints the largest relative difference of each model, exit status 1 when one exceeds 1e-5.
"""
import json
import random
import subprocess
import sys
from pathlib import Path

import torch
import transformers

LIMIT = 1e-5
TEMPLATE = (
    "{% if tools %}<|im_start|>system\n# Tools\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
WORDS = "the a of water train seven blue because Zürich naïve 東京 🙂 def return 3.14 don't e.g. however  two".split(" ")
TOOL = {"type": "function",
        "function": {"name": "weather", "description": "The weather of a city, in °C.",
                     "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
SHAPE = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 4096}
ROTARY = {**SHAPE, "intermediate_size": 96, "num_key_value_heads": 2, "head_dim": 12}
ARCHITECTURES = {
    "Llama": (transformers.LlamaConfig, ROTARY),
    "Mistral": (transformers.MistralConfig, {**ROTARY, "sliding_window": None}),
    "Qwen2": (transformers.Qwen2Config, {k: v for k, v in ROTARY.items() if k != "head_dim"}),
    "Qwen3": (transformers.Qwen3Config, ROTARY),
    "GPT2": (transformers.GPT2Config, {"n_embd": 48, "n_layer": 3, "n_head": 4, "n_positions": 4096}),
    # merit reads no logits through a cap on them.
    "Gemma2": (transformers.Gemma2Config, {**ROTARY, "query_pre_attn_scalar": 12, "sliding_window": 64,
                                           "final_logit_softcapping": None}),
    "Gemma3Text": (transformers.Gemma3TextConfig, {**ROTARY, "query_pre_attn_scalar": 12, "sliding_window": 64}),
    "Phi3": (transformers.Phi3Config, {**{k: v for k, v in ROTARY.items() if k != "head_dim"}, "sliding_window": 64}),
    "GPTNeoX": (transformers.GPTNeoXConfig, {**SHAPE, "intermediate_size": 96, "hidden_dropout": 0.0,
                                             "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0,
                                                                 "partial_rotary_factor": 0.5}}),
}
ENCODER = {**SHAPE, "intermediate_size": 96, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
# Scores of completions alone, which these read where their tokenizer puts a token that begins a text; here, the first.
ENCODERS = {
    "ModernBert": (transformers.ModernBertConfig, {**SHAPE, "intermediate_size": 96, "local_attention": 32,
                                                   "cls_token_id": None, "sep_token_id": None}),
    "DebertaV2": (transformers.DebertaV2Config, {**ENCODER, "relative_attention": True, "position_buckets": 32,
                                                 "max_relative_positions": 64, "pos_att_type": ["p2c", "c2p"],
                                                 "share_att_key": True, "norm_rel_ebd": "layer_norm",
                                                 "position_biased_input": False, "type_vocab_size": 0}),
}


def conversations():
    draw = random.Random(5)

    def text(words):
        return " ".join(draw.choice(WORDS) for _ in range(words))

    result = []
    for length in (3, 40, 300, 1200):
        question = {"role": "user", "content": text(length)}
        for answer in (2, 25, 120):
            result.append({"messages": [question, {"role": "assistant", "content": text(answer)}]})
        result.append({"messages": [{"role": "system", "content": text(5)}, question,
                                    {"role": "assistant", "content": text(9)}, {"role": "user", "content": "?"},
                                    {"role": "assistant", "content": text(30)}], "tools": [TOOL]})
    return result


def run(program, model, records, budget, *options):
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    done = subprocess.run([program, "--model", model, "--json", "--batch-tokens", str(budget), *options], input=lines,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"merit_score on {model}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def difference(found, expected):
    largest = max(abs(value) for value in expected)
    return max(abs(a - b) for a, b in zip(found, expected, strict=True)) / largest


def class_of(kind, architecture):
    if kind == "CausalLM":
        return {"GPT2": "GPT2LMHeadModel", "Gemma3Text": "Gemma3ForCausalLM"}.get(architecture, f"{architecture}For{kind}")
    return f"{architecture}For{kind}"


def made(kind, architecture, labels, tokenizer, work):
    config_class, shape = (ARCHITECTURES | ENCODERS)[architecture]
    config = config_class(vocab_size=len(tokenizer), num_labels=labels, pad_token_id=tokenizer.pad_token_id,
                          bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                          initializer_range=0.2, **shape)
    torch.manual_seed(11)
    name = class_of(kind, architecture)
    model = getattr(transformers, name)(config).double().eval()
    with torch.no_grad():  # every parameter counts: biases and norms, too
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    folder = work / f"{architecture}For{kind}{labels}"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, folder


def check_completions(program, architecture, labels, tokenizer, work):
    model, folder = made("SequenceClassification", architecture, labels, tokenizer, work)
    records = conversations()
    weights = torch.linspace(-1, 1, labels).double() if labels > 1 else torch.ones(1).double()  # of grades, as merit reads them
    ids = [tokenizer.apply_chat_template(r["messages"], tools=r.get("tools"), return_dict=False) for r in records]
    longest = max(map(len, ids))
    with torch.no_grad():
        alone = [model(torch.tensor([one])).logits[0].dot(weights).item() for one in ids]
        padded = torch.tensor([one + [tokenizer.pad_token_id] * (longest - len(one)) for one in ids])
        mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids])
        together = model(padded, attention_mask=mask).logits.mv(weights).tolist()
    worst = 0
    for budget in (64, 2048, 1 << 20):
        found = [line["score"] for line in run(program, str(folder), records, budget)]
        worst = max(worst, difference(found, alone), difference(found, together))
    return worst, sum(map(len, ids)), longest


def check_steps(program, architecture, tokenizer, work):
    """TRL's process reward models: two labels, read at the last token of the separator behind each step, none behind the
    prompt, and the token that begins a sequence before it, where the tokenizer names one."""
    model, folder = made("TokenClassification", architecture, 2, tokenizer, work)
    draw = random.Random(6)
    separator = "\n\n"
    records, expected, tokens, longest = [], [], 0, 0
    for steps in (1, 2, 7, 40):
        for words in (4, 30):
            record = {"prompt": "Solve: " + " ".join(draw.choice(WORDS) for _ in range(words)),
                      "completions": [" ".join(draw.choice(WORDS) for _ in range(words)) for _ in range(steps)]}
            records.append(record)
            ids, ends = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id], []
            ids += tokenizer(record["prompt"], add_special_tokens=False).input_ids
            for step in record["completions"]:
                ids += tokenizer(step, add_special_tokens=False).input_ids
                ids += tokenizer(separator, add_special_tokens=False).input_ids
                ends.append(len(ids) - 1)
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0, ends]
            expected += torch.softmax(logits, -1)[:, 1].tolist()
            tokens += len(ids)
            longest = max(longest, len(ids))
    worst = 0
    for budget in (64, 1 << 20):
        lines = run(program, str(folder), [{**record, "labels": [1] * len(record["completions"])} for record in records],
                    budget, "--rows", "--step-separator", separator)
        worst = max(worst, difference([row for line in lines for row in line["rows"]], expected))
    return worst, tokens, longest


def check_turns(program, architecture, tokenizer, work):
    """RLHFlow's process reward models: each step is a user's message, and the logits of "+" and "-" are read where the
    assistant would answer it."""
    model, folder = made("CausalLM", architecture, 2, tokenizer, work)
    draw = random.Random(7)
    good, bad = (tokenizer.encode(text, add_special_tokens=False)[0] for text in "+-")
    records, expected, tokens, longest = [], [], 0, 0
    for steps in (1, 2, 7, 40):
        for words in (4, 30):
            prompt, *texts = (" ".join(draw.choice(WORDS) for _ in range(words)) for _ in range(steps + 1))
            records.append({"prompt": prompt, "completions": texts})
            conversation, ends = [], []
            for step in texts:
                conversation.append({"role": "user", "content": step if conversation else f"{prompt} {step}"})
                ids = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, return_dict=False)
                ends.append(len(ids) - 1)
                conversation.append({"role": "assistant", "content": "+"})
            ids = tokenizer.apply_chat_template(conversation, return_dict=False)
            assert all(ids[end + 1] == good for end in ends)
            with torch.no_grad():
                logits = model(torch.tensor([ids])).logits[0, ends]
            expected += torch.softmax(logits[:, [good, bad]], -1)[:, 0].tolist()
            tokens += len(ids)
            longest = max(longest, len(ids))
    worst = 0
    for budget in (64, 1 << 20):
        lines = run(program, str(folder), [{**record, "labels": [1] * len(record["completions"])} for record in records],
                    budget, "--rows", "--head", "token_logits", "--head-tokens=-,+", "--step-layout", "chat_turns")
        worst = max(worst, difference([row for line in lines for row in line["rows"]], expected))
    return worst, tokens, longest


def main(programs, tokenizer_folder, work):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.chat_template = TEMPLATE
    work = Path(work)
    program = str(Path(programs) / "merit_score")
    failed = done = 0
    for architecture in [*ARCHITECTURES, *ENCODERS]:
        for name, kind, check in (
                ("one score", "SequenceClassification", lambda a: check_completions(program, a, 1, tokenizer, work)),
                ("five grades", "SequenceClassification", lambda a: check_completions(program, a, 5, tokenizer, work)),
                ("steps", "TokenClassification", lambda a: check_steps(program, a, tokenizer, work)),
                ("steps as turns", "CausalLM", lambda a: check_turns(program, a, tokenizer, work))):
            if not hasattr(transformers, class_of(kind, architecture)) or (architecture in ENCODERS and "steps" in name):
                continue
            done += 1
            worst, tokens, longest = check(architecture)
            failed += worst > LIMIT
            print(f"{architecture:10} {name:16} {tokens:6} tokens, longest {longest:5}: {worst:.1e}"
                  f"{'' if worst <= LIMIT else '  DIFFERS'}", flush=True)
    print(f"{done - failed} passed, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
