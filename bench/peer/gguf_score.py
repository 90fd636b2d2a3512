#!/usr/bin/env python3
"""Scoring with quantised weights beside llama.cpp (llama-cpp-python) on the same GGUF file.

    bench/peer/gguf_score.py GGUF_SCORE FILE.gguf … [--prompt 300] [--completion 60] [--count 16] [--rounds 5] [--threads 1]

GGUF_SCORE is the program of gguf_score.cpp; run by a Python that has llama-cpp-python. With --quantize TYPE (Q8_0, Q4_K_M)
each file is written once more in that type by llama.cpp's own quantiser, into a temporary folder, and measured instead.

Work: 16 completions of one prompt, each to the state of its last token. merit computes the prompt once and all
completions in one pass. llama.cpp: `whole`, each prompt and completion anew; `kept`, the prompt's keys and values kept and
each completion behind them, which is its best. `one`: a single token, the first of a sequence, through all layers, where
reading the weights is the work. llama.cpp computes the logits of the last token besides, which merit has no use for.
Both run in turns; seconds are of the processors, medians of the rounds.
"""
import argparse
import ctypes
import os
import random
import statistics
import subprocess
import tempfile
import time

import llama_cpp


class Merit:
    def __init__(self, program, file, threads):
        self.process = subprocess.Popen([program, file, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        print("merit:", self.process.stdout.readline().strip())

    def seconds(self, sequences):
        self.process.stdin.write("|".join(" ".join(map(str, s)) for s in sequences) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        self.peak = int(answer[2]) / 1024
        return float(answer[0])


def timed(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def quantized(file, kind, folder):
    target = os.path.join(folder, kind + ".gguf")
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = {"Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, "Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
                      "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0}[kind]
    settings.allow_requantize = True
    if llama_cpp.llama_model_quantize(file.encode(), target.encode(), ctypes.byref(settings)) != 0:
        raise SystemExit(f"llama.cpp did not write {kind}")
    return target


def main():
    options = argparse.ArgumentParser()
    options.add_argument("program")
    options.add_argument("files", nargs="+")
    for name, value in (("prompt", 300), ("completion", 60), ("count", 16), ("rounds", 5), ("threads", 1)):
        options.add_argument("--" + name, type=int, default=value)
    options.add_argument("--quantize")
    options = options.parse_args()
    draw = random.Random(1)
    tokens = lambda count: [draw.randrange(100, 40000) for _ in range(count)]
    prompt = tokens(options.prompt)
    completions = [tokens(options.completion) for _ in range(options.count)]
    with tempfile.TemporaryDirectory() as folder:
        for file in options.files:
            if options.quantize:
                file = quantized(file, options.quantize, folder)
            merit = Merit(options.program, file, options.threads)
            peer = llama_cpp.Llama(file, n_ctx=2048, n_threads=options.threads, n_threads_batch=options.threads, verbose=False)

            def whole():
                for completion in completions:
                    peer.reset()
                    peer.eval(prompt + completion)

            def kept():
                peer.reset()
                peer.eval(prompt)
                for completion in completions:
                    peer.n_tokens = len(prompt)
                    peer.eval(completion)

            def one():
                for _ in range(20):
                    peer.reset()
                    peer.eval(prompt[:1])

            sides = {
                "merit, 16 of a prompt": lambda: merit.seconds([prompt + c for c in completions]),
                "llama.cpp, whole": lambda: timed(whole),
                "llama.cpp, kept": lambda: timed(kept),
                "merit, one row": lambda: sum(merit.seconds([prompt[:1]]) for _ in range(20)) / 20,
                "llama.cpp, one row": lambda: timed(one) / 20,
            }
            seconds = {name: [] for name in sides}
            for round in range(options.rounds + 1):
                for name, side in list(sides.items())[:: 1 if round % 2 else -1]:
                    seconds[name].append(side())
            medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
            print(f"{os.path.basename(file)}, {os.path.getsize(file) / 1e6:.1f} MB; merit's peak {merit.peak:.0f} MiB")
            for name, value in medians.items():
                over = medians["merit, one row" if "one" in name else "merit, 16 of a prompt"]
                print(f"| {name} | {1000 * value:.1f} ms | {value / over:.2f} |")
            merit.process.stdin.close()


if __name__ == "__main__":
    main()
