#!/usr/bin/env python3
"""Times merit's tokenizers and Hugging Face's, one thread each, in turns, and prints the ratio of their speeds.

    encode_speed.py --program tokenize_lines --text ENGLISH.txt TOKENIZER.json…  [--rounds 7]

Both encode the same lines to ids (Hugging Face's by encode_batch_fast, which leaves offsets out). Each round is
a process of ours and a run of theirs; the figure is the ratio of the medians.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers as hugging_face  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "parity"))
from hostile_strings import BASES, EMOJI, MARKS, hostile  # noqa: E402


def kinds(english):
    rng = random.Random(7)
    lines = [line for line in english.split("\n") if line.strip()]
    while sum(map(len, lines)) < 1_000_000:
        lines += lines
    chinese = ["".join(chr(rng.randrange(0x4E00, 0x9FA6)) for _ in range(200)) for _ in range(500)]
    return {
        "English": lines,
        "English, one text": ["\n".join(lines)[:500_000]],
        "Chinese": chinese,
        "code points and marks": [hostile(rng, ["<|endoftext|>"]) for _ in range(5000)],
        "emoji": [" ".join(rng.choices(EMOJI, k=40)) for _ in range(500)],
        "combining marks": ["".join(rng.choice(BASES) + rng.choice(MARKS) for _ in range(300)) for _ in range(500)],
        "a word of 100 kB": ["".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(100_000))],
        "spaces": [" " * 50_000 + "x" + "\n" * 50_000],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--program", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with open(options.text, encoding="utf-8") as file:
        texts = kinds(file.read())
    for path in options.files:
        begin = time.perf_counter()
        tokenizer = hugging_face.Tokenizer.from_file(path)
        loading = [time.perf_counter() - begin, 0.0]
        tokenizer.no_truncation()
        tokenizer.no_padding()
        print(f"{path}")
        for name, lines in texts.items():
            given = "".join(json.dumps(line) + "\n" for line in lines).encode()
            size = sum(len(line.encode()) for line in lines) / 1e6
            ours, theirs = [], []
            for _ in range(options.rounds):
                out = subprocess.run([options.program, path, "--time", "3"], input=given, stdout=subprocess.PIPE, check=True)
                result = json.loads(out.stdout)
                ours.append(min(result["seconds"]))
                loading[1] = result["loading"]
                best = []
                for _ in range(3):
                    begin = time.perf_counter()
                    encoded = tokenizer.encode_batch_fast(lines, add_special_tokens=False)
                    best.append(time.perf_counter() - begin)
                theirs.append(min(best))
                if 3 * sum(len(e.ids) for e in encoded) != result["tokens"]:
                    raise SystemExit(f"{path}: {name}: the numbers of tokens differ")
            mine, other = statistics.median(ours), statistics.median(theirs)
            print(f"  {name:24} {size / mine:8.2f} MB/s against {size / other:8.2f}: {other / mine:6.2f} times")
        print(f"  {'loading':24} {loading[1]:8.3f} s    against {loading[0]:8.3f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
