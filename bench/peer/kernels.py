#!/usr/bin/env python3
"""Times our matrix products and attention beside PyTorch's, in one process and in turns (see README.md)."""

import argparse
import ctypes
import statistics
import time

import torch

# kind (0: a·bᵀ, 1: a·b, 2: aᵀ·b), rows, columns, depth
PRODUCTS = [(2, 688, 256, 6400), (2, 1536, 576, 2400), (0, 1, 576, 576), (1, 1, 576, 576), (1, 2048, 768, 3072),
            (0, 2048, 3072, 768), (1, 2400, 1536, 576), (0, 2400, 576, 1536)]
# tokens, query heads, key/value heads, width of a head
ATTENTIONS = [(2048, 9, 3, 64), (8192, 8, 8, 64), (8192, 9, 3, 64)]
NAMES = ("NT", "NN", "TN")


def pointer(tensor):
    return ctypes.c_void_p(tensor.data_ptr())


def in_turns(ways, rounds, repeats):
    """The median seconds of each way; in every round the order is turned round."""
    seconds = [[] for _ in ways]
    for way in ways:
        way()
    for number in range(rounds):
        order = range(len(ways)) if number % 2 == 0 else reversed(range(len(ways)))
        for i in order:
            start = time.perf_counter()
            for _ in range(repeats):
                ways[i]()
            seconds[i].append((time.perf_counter() - start) / repeats)
    ratio = statistics.median(theirs / ours for ours, theirs in zip(*seconds))
    return [statistics.median(s) for s in seconds] + [ratio]


def compare(name, operations, ways, outputs, rounds):
    for way in ways:
        way()
    for ours, theirs in outputs():
        worst = ((ours - theirs).abs().max() / theirs.abs().max()).item()
        if not worst < 1e-3:
            raise SystemExit(f"{name}: the sides differ by {worst:g}, expected less than 0.001 of the largest")
    ours, theirs, ratio = in_turns(ways, rounds, max(1, int(2e8 / operations)))
    print(f"| {name} | {operations / ours * 1e-9:.1f} | {operations / theirs * 1e-9:.1f} | {ratio:.2f} |", flush=True)


def compare_product(library, handle, kind, m, n, k, rounds):
    a = torch.randn(k, m) if kind == 2 else torch.randn(m, k)
    b = torch.randn(n, k) if kind == 0 else torch.randn(k, n)
    out, other = torch.empty(m, n), torch.empty(m, n)
    left, right = (a.t() if kind == 2 else a), (b.t() if kind == 0 else b)
    sizes = [ctypes.c_size_t(size) for size in (m, n, k)]
    ways = [lambda: library.product(handle, kind, *sizes, pointer(a), pointer(b), pointer(out)),
            lambda: torch.mm(left, right, out=other)]
    compare(f"{NAMES[kind]} {m}×{n}×{k}", 2 * m * n * k, ways, lambda: [(out, other)], rounds)


def compare_attention(library, handle, tokens, heads, kv_heads, width, rounds):
    def rows(count):
        return torch.randn(tokens, count * width)

    def by_heads(x, count):  # as PyTorch has it fastest
        return x.view(tokens, count, width).transpose(0, 1).contiguous()[None]

    def as_rows(x):
        return x[0].transpose(0, 1).reshape(tokens, -1)

    q, k, v, dout = rows(heads), rows(kv_heads), rows(kv_heads), rows(heads)
    out, dq, dk, dv = (torch.zeros_like(x) for x in (q, q, k, v))
    library.open_attention.restype = ctypes.c_void_p
    ours = ctypes.c_void_p(library.open_attention(handle, *(ctypes.c_size_t(x) for x in (tokens, heads, kv_heads, width))))
    theirs = [by_heads(q, heads), by_heads(k, kv_heads), by_heads(v, kv_heads)]
    for x in theirs:
        x.requires_grad_()
    gradient = by_heads(dout, heads)

    def merit():
        library.attention(ours, *(pointer(x) for x in (q, k, v, out, dout, dq, dk, dv)))

    def sdpa():
        for x in theirs:
            x.grad = None
        torch.nn.functional.scaled_dot_product_attention(*theirs, is_causal=True,
                                                         enable_gqa=heads != kv_heads).backward(gradient)

    pairs = tokens * (tokens + 1) / 2
    compare(f"attention {tokens}, {heads} heads on {kv_heads}", 2 * pairs * heads * width * 7, [merit, sdpa],
            lambda: [(dq, as_rows(theirs[0].grad)), (dk, as_rows(theirs[1].grad)), (dv, as_rows(theirs[2].grad))],
            rounds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", help="BUILD/bench/libpeer_kernels.so")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=["products", "attention"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    library = ctypes.CDLL(arguments.library)
    library.open_handle.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(library.open_handle(arguments.threads))
    print(f"{arguments.threads} threads, {arguments.rounds} rounds, torch {torch.__version__.split('+')[0]}\n")
    print("| | ours, GFLOP/s | torch, GFLOP/s | torch's time / ours |\n|---|---:|---:|---:|")
    if arguments.only != "attention":
        for product in PRODUCTS:
            compare_product(library, handle, *product, arguments.rounds)
    if arguments.only != "products":
        for attention in ATTENTIONS:
            compare_attention(library, handle, *attention, arguments.rounds)


if __name__ == "__main__":
    main()
