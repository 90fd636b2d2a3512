#!/usr/bin/env python3
"""Compares merit's tokenizers with Hugging Face's `tokenizers`: ids, offsets, and the text back.

    encodings.py --program PATH TOKENIZER.json…  [--count 5000] [--seed 1]

PATH is tokenize_lines, built from the file beside this one, or another program that reads JSON strings a line and
writes {"ids": …, "offsets": …} a line, offsets in code points. Exits 1 where anything differs.
"""
import argparse
import json
import os
import subprocess
import sys

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers as hugging_face  # noqa: E402
from hostile_strings import strings  # noqa: E402

def every_code_point():
    """Each code point in a word, in a number, alone, and before and behind a combining mark. Of the large blocks
    whose members are alike, and of the planes that are empty, the edges alone."""
    ranges = [(0, 0x3410), (0x4DB0, 0x4E10), (0x9FE0, 0xAC10), (0xD790, 0xD800), (0xE000, 0xE010), (0xF8F0, 0x17010),
              (0x187E0, 0x20010), (0x2A6D0, 0x323C0), (0xE0000, 0xE0200), (0xF0000, 0xF0010), (0x10FFF0, 0x110000)]
    return [f"ab{c}cd 1{c}2 {c} ., {c}\u0301 e\u0323{c}\u0302" for begin, end in ranges for c in map(chr, range(begin, end))]

def differences(path, program, count, seed):
    tokenizer = hugging_face.Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    with open(path, encoding="utf-8") as file:
        added = [token["content"] for token in json.load(file).get("added_tokens", [])]
    texts = every_code_point() if count == 0 else strings(seed, count, added)
    found = []
    for begin in range(0, len(texts), 10_000):
        part = texts[begin : begin + 10_000]
        lines = "".join(json.dumps(text) + "\n" for text in part).encode()
        out = subprocess.run([program, path], input=lines, stdout=subprocess.PIPE, check=True).stdout.decode().split("\n")
        if len(out) != len(part) + 1:
            raise SystemExit(f"{path}: {len(part)} strings in, {len(out) - 1} lines out")
        for text, line in zip(part, out):
            mine = json.loads(line)
            theirs = tokenizer.encode(text, add_special_tokens=False)
            expected = {"ids": theirs.ids, "offsets": [list(pair) for pair in theirs.offsets]}
            if "text" in mine:
                expected["text"] = tokenizer.decode(theirs.ids, skip_special_tokens=False)
            if "plain" in mine:
                expected["plain"] = tokenizer.decode(theirs.ids, skip_special_tokens=True)
            wrong = [key for key in expected if mine.get(key) != expected[key]]
            if wrong:
                found.append((text, wrong, mine, expected))
    return len(texts), found

def first_difference(a, b):
    for i, (x, y) in enumerate(zip(a, b)):
        if x != y:
            return i
    return min(len(a), len(b))

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--program", required=True)
    parser.add_argument("--count", type=int, default=5000, help="0: a string for each code point instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=5)
    options = parser.parse_args()
    failed = False
    for path in options.files:
        count, found = differences(path, options.program, options.count, options.seed)
        kinds = {key: sum(key in wrong for _, wrong, _, _ in found) for key in ("ids", "offsets", "text", "plain")}
        print(f"{path}: {count} strings, {len(found)} differ {kinds if found else ''}")
        for text, wrong, mine, expected in found[: options.show]:
            key = wrong[0]
            at = first_difference(mine[key], expected[key])
            print(f"  {json.dumps(text[:80])} {wrong}\n    {key}[{at}…] ours {mine[key][max(0, at - 2):at + 6]!r}"
                  f"\n    {' ' * len(key)}   theirs {expected[key][max(0, at - 2):at + 6]!r}")
        failed = failed or bool(found)
    return 1 if failed else 0

if __name__ == "__main__":
    sys.exit(main())
