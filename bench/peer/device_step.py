#!/usr/bin/env python3
"""The other side of bench/device: training steps of a reward model with PyTorch at its best on a GPU, a line of JSON for each
way they are run. Works on a processor too, at a tiny size, to see that it does.

    device_step.py --model gpt2-124m --tokens 8192 65536
    device_step.py --device cpu --model tiny-qwen2 --tokens 600 --ways eager --steps 2

Workloads: dense, sequences of 1,024 tokens; padded, pairs of real lengths filled up to the longest; sorted, the same in groups
of similar length; packed, one after the other with attention within each. What would take more than --budget filled tokens
at once is done in parts whose gradients are added.

Ways: eager; compile, each layer by torch.compile; tuned, the same with max-autotune-no-cudagraphs; graph and tuned-graph, the
whole step of those as one CUDA graph. Precisions: bf16, weights in bf16 with float ones in the optimizer; autocast, float
weights. In both what flows between layers is bf16 and a norm's statistics are float. Attention is the fastest of what
PyTorch has for the workload. AdamW is fused, gradients are clipped to norm 1; steps move the weights by next to nothing, so
that all start from the same."""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from device_model import SHAPES, Part, RewardModel, Trained, causal, causal_ways, flex, masked, packed_ways


def sequence_lengths(workload, tokens, length, pairs_file):
    """Lengths of the sequences, the chosen of each pair before its rejected."""
    if workload == "dense":
        length = min(length, max(1, tokens // 2))
        return [length] * (tokens // length // 2 * 2)
    lines = [line.split() for line in pairs_file.read_text().splitlines() if not line.startswith("#")]
    lengths, i = [], 0
    while True:
        prompt, chosen, rejected = (int(number) for number in lines[i % len(lines)])
        both = [prompt + chosen, prompt + rejected]
        if lengths and sum(lengths) + sum(both) > tokens:
            return lengths
        lengths += both
        i += 1


def cut(workload, lengths, budget, groups):
    """Numbers of the sequences of each part: whole pairs, at most `budget` filled tokens where that can be."""
    pairs = [(i, i + 1) for i in range(0, len(lengths), 2)]
    if workload == "packed":
        return [range(len(lengths))]
    longest = {pair: max(lengths[i] for i in pair) for pair in pairs}
    most = len(pairs)
    if workload == "sorted":
        pairs.sort(key=longest.get)
        most = -(-len(pairs) // groups)
    parts = [[]]
    for pair in pairs:
        filled = (len(parts[-1]) + 1) * 2 * max(longest[each] for each in [*parts[-1], pair])
        if parts[-1] and (len(parts[-1]) >= most or filled > budget):
            parts.append([])
        parts[-1].append(pair)
    return [[i for pair in part for i in pair] for part in parts]


def fastest(ways, otherwise, part, shape, device):
    """Of attentions the one that is fastest forward and backward on what a layer of the part gives it, and its name; where
    none can do it, otherwise()."""
    times = {}
    for name, attend in ways:
        try:
            make = lambda heads: torch.randn(*part.ids.shape, heads, shape.width // shape.heads, device=device,
                                             dtype=torch.bfloat16).transpose(1, 2).requires_grad_()
            q, k, v = make(shape.heads), make(shape.kv_heads), make(shape.kv_heads)
            seconds = []
            for _ in range(5):
                torch.cuda.synchronize()
                begin = time.perf_counter()
                out = attend(q, k, v)
                out.backward(out.detach())
                torch.cuda.synchronize()
                seconds.append(time.perf_counter() - begin)
            times[name] = min(seconds), attend
        except Exception as error:  # not for this shape, this GPU or this version
            print(f"attention by {name}: {str(error).splitlines()[0][:200]}", file=sys.stderr)
    if not times:
        return otherwise()
    name = min(times, key=lambda each: times[each][0])
    return name, times[name][1]


def make_parts(workload, lengths, shape, device, options):
    """The parts of a step, and the name of their attention."""
    generator = torch.Generator().manual_seed(1)
    sequences = [torch.randint(shape.vocabulary, (n,), generator=generator) for n in lengths]
    parts = [Part([sequences[i] for i in part], shape, workload == "packed", causal, device)
             for part in cut(workload, lengths, options.budget, options.groups)]
    largest = max(parts, key=lambda part: part.ids.numel())
    if device.type != "cuda":
        name, attend = ("sdpa with a mask", masked(lengths, device)) if workload == "packed" else ("sdpa, causal", causal)
    elif workload == "packed":
        otherwise = lambda: ("flex_attention", flex(lengths, device))
        name, attend = fastest(packed_ways(lengths, device), otherwise, largest, shape, device)
    else:
        name, attend = fastest(causal_ways(), lambda: ("sdpa, causal", causal), largest, shape, device)
    for part in parts:
        part.attend = attend
    return parts, name


def arithmetic(model, shape, lengths):
    """FLOPs of a step for the real tokens: products 2, 4 and attention's 4, 8 for forward and backward."""
    matrices = sum(p.numel() for layer in model.layers for p in layer.parameters() if p.dim() > 1)
    seen = sum(n * (n + 1) // 2 for n in lengths)
    return 6 * matrices * sum(lengths) + 12 * seen * shape.width * shape.layers


def layers_of(way, parts):
    """How a way runs a layer: every layer by the same compiled code, made once."""
    if way == "eager":
        return lambda layer: layer
    mode = "max-autotune-no-cudagraphs" if way.startswith("tuned") else None
    sizes = {tuple(part.ids.shape) for part in parts}
    run = torch.compile(lambda layer, *inputs: layer(*inputs), mode=mode, dynamic=len(sizes) > 2)
    return lambda layer: lambda *inputs: run(layer, *inputs)


def measure(trained, parts, way, steps):
    """(seconds of a step, the first loss)."""
    cuda = trained.device.type == "cuda"
    layer_of = layers_of(way, parts)

    def step():
        return trained.step(parts, layer_of)[0]

    if way.endswith("graph"):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            first_loss = float(step())
            step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        run = graph.replay
    else:
        first_loss, run = float(step()), step
    times = []
    for i in range(3 + steps):  # the first three warm up
        begin = time.perf_counter()
        run()
        if cuda:
            torch.cuda.synchronize()
        if i >= 3:
            times.append(time.perf_counter() - begin)
    return statistics.median(times), first_loss


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SHAPES, default="gpt2-124m")
    parser.add_argument("--tokens", type=int, nargs="+", default=[8192])
    workloads = ("dense", "packed", "padded", "sorted")
    parser.add_argument("--workloads", nargs="+", choices=workloads, default=list(workloads))
    parser.add_argument("--length", type=int, default=1024, help="of dense sequences")
    parser.add_argument("--ways", nargs="+", choices=("eager", "compile", "tuned", "graph", "tuned-graph"),
                        default=["graph", "tuned-graph"])
    parser.add_argument("--precisions", nargs="+", choices=("bf16", "autocast"), default=["bf16", "autocast"])
    parser.add_argument("--budget", type=int, default=65536, help="filled tokens of a padded part")
    parser.add_argument("--groups", type=int, default=4, help="of the workload sorted")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1e9, help="after which no other way is begun")
    parser.add_argument("--peak", type=float, default=0, help="TFLOP/s of a large bf16 product, measured, for the MFU; 0: unknown")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--pairs", type=Path, default=Path(__file__).parents[1] / "device" / "pairs.txt")
    options = parser.parse_args()
    shape, device = SHAPES[options.model], torch.device(options.device)
    cuda = device.type == "cuda"
    begin = time.monotonic()
    failed = 0
    for way in options.ways:
        if way.endswith("graph") and not cuda:
            continue
        for precision in options.precisions:
            torch.manual_seed(0)
            with device:  # drawn there
                model = RewardModel(shape)
            trained = Trained(model, precision, rate=1e-12)
            for tokens, workload in ((tokens, workload) for tokens in options.tokens for workload in options.workloads):
                what = f"{shape.name}, {tokens} tokens, {workload}, {precision} {way}"
                if time.monotonic() - begin > options.seconds:
                    print(f"left out for want of time: {what}", flush=True)
                    continue
                torch._dynamo.reset()
                if cuda:
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats()
                lengths = sequence_lengths(workload, tokens, options.length, options.pairs)
                if shape.positions:
                    lengths = [min(n, shape.positions) for n in lengths]
                try:
                    parts, attention = make_parts(workload, lengths, shape, device, options)
                    seconds, first_loss = measure(trained, parts, way, options.steps)
                except Exception as error:  # one way that fails leaves the others
                    print(f"FAILED: {what}: {str(error)[:400]}", flush=True)
                    failed += 1
                    continue
                work = arithmetic(model, shape, lengths)
                print(json.dumps({
                    "side": "pytorch " + torch.__version__, "model": shape.name, "workload": workload, "way": f"{precision} {way}",
                    "attention": attention, "asked": tokens, "sequences": len(lengths), "tokens": sum(lengths),
                    "tokens_computed": sum(part.ids.numel() for part in parts), "parts": len(parts),
                    "ms": round(1e3 * seconds, 3), "tokens_per_s": round(sum(lengths) / seconds),
                    "tflops": round(work / seconds / 1e12, 4),
                    "mfu": round(work / seconds / 1e12 / options.peak, 4) if options.peak else None,
                    "memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if cuda else None,
                    "first_loss": round(first_loss, 5)}), flush=True)
                del parts
            del trained, model
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
