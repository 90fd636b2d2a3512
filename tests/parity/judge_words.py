#!/usr/bin/env python3
"""A language model as a judge of pairs, by merit_judge and by transformers: what each writes, greedily, and the log-odds of
the two verdicts. Both orders of each pair.

    python judge_words.py PROGRAMS HF_DIR PAIRS [--records 10] [--tokens 96]

PROGRAMS is the folder of merit_judge, HF_DIR a chat model as a Hugging Face directory, PAIRS JSON lines with prompt, chosen and
rejected. Needs torch and transformers. Exit status 1 where a text differs in a token, or log-odds by more than 1e-3."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import transformers

QUESTION = ("Which answer is better?\n\nQuestion: {question}\n\nAnswer A: {answer_a}\n\nAnswer B: {answer_b}\n\n"
            "Say A or B, and why.")


def judge(program, model, template, pairs, folder, *options):
    replies, out = folder / "replies.jsonl", folder / "votes.jsonl"
    subprocess.run([program, "--model", model, "--template", template, "--replies", replies, "--out", out, "--overwrite",
                    *options, pairs], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return [json.loads(line) for line in replies.read_text().splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", type=Path)
    parser.add_argument("model")
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--records", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=96)
    arguments = parser.parse_args()
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    model = transformers.AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    records = [json.loads(line) for line in arguments.pairs.read_text().splitlines()[:arguments.records]]
    same, texts, largest = 0, 0, 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        template, pairs = folder / "question.txt", folder / "pairs.jsonl"
        template.write_text(QUESTION)
        pairs.write_text("".join(json.dumps(record) + "\n" for record in records))
        program = arguments.programs / "merit_judge"
        written = judge(program, arguments.model, template, pairs, folder, "--max-new-tokens", str(arguments.tokens))
        read = judge(program, arguments.model, template, pairs, folder, "--reading", "logits")
        for number, record in enumerate(records):
            answers = [record["chosen"], record["rejected"]]
            for words, logits in zip(written[number]["replies"], read[number]["replies"]):
                first, second = (answers[i] for i in words["answers"])
                if words["shown_first"] == "b":
                    first, second = second, first
                asked = QUESTION.replace("{question}", record["prompt"]).replace("{answer_a}", first)
                asked = asked.replace("{answer_b}", second)
                prompt = tokenizer.apply_chat_template([{"role": "user", "content": asked}], tokenize=False,
                                                       add_generation_prompt=True)
                ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
                with torch.no_grad():
                    reply = model.generate(ids, max_new_tokens=arguments.tokens, do_sample=False, pad_token_id=0)[0, ids.shape[1]:]
                    last = model(ids).logits[0, -1].double()
                text = tokenizer.decode(reply, skip_special_tokens=True)
                texts += 1
                same += text.strip() == words["text"].strip()
                if text.strip() != words["text"].strip():
                    print(f"record {number}: merit: {words['text']!r}\ntransformers: {text!r}")
                first_says, second_says = (last[tokenizer.encode(word, add_special_tokens=False)[0]].item() for word in "AB")
                of_first = logits["log_odds"] if logits["shown_first"] == "a" else -logits["log_odds"]
                largest = max(largest, abs(first_says - second_says - of_first))
    print(f"{same} of {texts} texts are the same; log-odds differ by {largest:.1e} at most")
    return 0 if same == texts and largest < 1e-3 else 1


if __name__ == "__main__":
    sys.exit(main())
