#!/usr/bin/env python3
"""The other side of bench/device: a training step of a reward model with PyTorch at its best on a GPU, one line of JSON for
each way it is run. Works on a processor too, at a tiny size, to see that it does.

    device_step.py --model gpt2-124m --tokens 8192 --workload dense

Workloads: dense, sequences of 1,024 tokens; padded, pairs of real lengths filled up to the longest; packed, the same one
after the other with attention within each. Ways: eager, compile, graph (the whole step as one CUDA graph, compiled). Weights
are random, in float; products in bf16 (autocast); AdamW fused, gradients clipped to norm 1."""

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional


@dataclass
class Shape:
    name: str
    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    inner: int
    llama: bool  # RMS norm, rotary positions and SwiGLU, or GPT-2's
    positions: int = 0


SHAPES = {shape.name: shape for shape in (
    Shape("gpt2-124m", 50257, 768, 12, 12, 12, 3072, False, 1024),
    Shape("qwen2-0.5b", 151936, 896, 24, 14, 2, 4864, True),
    Shape("tiny-gpt2", 100, 32, 2, 4, 4, 64, False, 1024),
    Shape("tiny-qwen2", 100, 32, 2, 4, 2, 64, True),
)}


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = shape.heads, shape.kv_heads, shape.width // shape.heads
        self.qkv = nn.Linear(shape.width, (shape.heads + 2 * shape.kv_heads) * self.head_dim)
        self.out = nn.Linear(shape.width, shape.width, bias=not shape.llama)

    def forward(self, x, rotary, attend):
        batch, length, width = x.shape
        sizes = [self.heads, self.kv_heads, self.kv_heads]
        q, k, v = (part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (batch, heads, length, head_dim)
                   for part in self.qkv(x).split([n * self.head_dim for n in sizes], dim=-1))
        if rotary is not None:
            q, k = turned(q, rotary), turned(k, rotary)
        return self.out(attend(q, k, v).transpose(1, 2).reshape(batch, length, width))


def turned(x, rotary):
    cosine, sine = rotary
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1).to(x.dtype)


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        norm = (lambda: nn.RMSNorm(shape.width, eps=1e-6)) if shape.llama else (lambda: nn.LayerNorm(shape.width))
        self.llama = shape.llama
        self.norm1, self.norm2, self.attention = norm(), norm(), Attention(shape)
        self.up = nn.Linear(shape.width, shape.inner * (2 if shape.llama else 1), bias=not shape.llama)
        self.down = nn.Linear(shape.inner, shape.width, bias=not shape.llama)

    def forward(self, x, rotary, attend):
        x = x + self.attention(self.norm1(x), rotary, attend)
        up = self.up(self.norm2(x))
        if self.llama:
            gate, up = up.chunk(2, dim=-1)
            return x + self.down(functional.silu(gate) * up)
        return x + self.down(functional.gelu(up, approximate="tanh"))


class RewardModel(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Embedding(shape.positions, shape.width) if shape.positions else None
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=1e-6) if shape.llama else nn.LayerNorm(shape.width)
        self.score = nn.Linear(shape.width, 1, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids, positions, last, attend):
        """Scores of the sequences whose last tokens are `last` of all tokens."""
        x = self.tokens(ids)
        rotary = None
        if self.positions is not None:
            x = x + self.positions(positions)
        else:
            half = self.shape.width // self.shape.heads // 2
            angles = positions[..., None] * 1e6 ** (-torch.arange(half, device=ids.device) / half)
            rotary = angles.cos()[:, None], angles.sin()[:, None]
        for layer in self.layers:
            x = layer(x, rotary, attend)
        rows = x.flatten(0, 1)[last]
        with torch.autocast(ids.device.type, enabled=False):
            return self.score(self.norm(rows.float())).squeeze(-1)


def causal(q, k, v):
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1])


def within_sequences(owner, positions, lengths, device):
    """Attention of packed sequences by the best that is there, and its name."""
    if device.type == "cuda":
        try:
            from flash_attn import flash_attn_varlen_func
            begin = functional.pad(torch.tensor(lengths, device=device).cumsum(0, dtype=torch.int32), (1, 0))
            longest = max(lengths)

            def attend(q, k, v):
                q, k, v = (part[0].transpose(0, 1) for part in (q, k, v))
                return flash_attn_varlen_func(q, k, v, begin, begin, longest, longest, causal=True).transpose(0, 1)[None]
            return attend, "flash_attn"
        except ImportError:
            from torch.nn.attention.flex_attention import create_block_mask, flex_attention
            length = owner.shape[-1]
            mask = create_block_mask(lambda b, h, q, k: (owner[q] == owner[k]) & (q >= k), None, None, length, length, device=device)
            compiled = torch.compile(flex_attention, dynamic=False)
            return lambda q, k, v: compiled(q, k, v, block_mask=mask, enable_gqa=q.shape[1] != k.shape[1]), "flex_attention"
    mask = (owner[:, None] == owner[None, :]) & (positions[0][:, None] >= positions[0][None, :])
    return lambda q, k, v: functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1]), "sdpa with a mask"


def sequence_lengths(workload, tokens, length, pairs_file):
    """Lengths of the sequences, the chosen of each pair before its rejected."""
    if workload == "dense":
        length = min(length, max(1, tokens // 2))
        return [length] * (tokens // length // 2 * 2)
    lines = [line.split() for line in pairs_file.read_text().splitlines() if not line.startswith("#")]
    lengths, i = [], 0
    while sum(lengths) < tokens or not lengths:
        prompt, chosen, rejected = (int(number) for number in lines[i % len(lines)])
        both = [prompt + chosen, prompt + rejected]
        if lengths and sum(lengths) + sum(both) > tokens:
            break
        lengths += both
        i += 1
    return lengths


def make_batch(workload, lengths, shape, device):
    """ids, positions (both (batch, length)), the last tokens' places, the attention, its name."""
    generator = torch.Generator().manual_seed(1)
    sequences = [torch.randint(shape.vocabulary, (n,), generator=generator) for n in lengths]
    if workload == "packed":
        ids = torch.cat(sequences)[None].to(device)
        positions = torch.cat([torch.arange(n) for n in lengths])[None].to(device)
        owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)
        last = (torch.tensor(lengths).cumsum(0) - 1).to(device)
        attend, name = within_sequences(owner, positions, lengths, device)
        return ids, positions, last, attend, name
    ids = nn.utils.rnn.pad_sequence(sequences, batch_first=True).to(device)
    positions = torch.arange(ids.shape[1], device=device).expand_as(ids).contiguous()
    last = (torch.arange(len(lengths)) * ids.shape[1] + torch.tensor(lengths) - 1).to(device)
    return ids, positions, last, causal, "sdpa, causal"  # on the right: no real token sees a filled one


def arithmetic(model, shape, lengths):
    """FLOPs of a step for the real tokens: products 2, 4 and attention's 4, 8 for forward and backward."""
    matrices = sum(p.numel() for layer in model.layers for p in layer.parameters() if p.dim() > 1)
    seen = sum(n * (n + 1) // 2 for n in lengths)
    return 6 * matrices * sum(lengths) + 12 * seen * shape.width * shape.layers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SHAPES, default="gpt2-124m")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--workload", choices=("dense", "padded", "packed"), default="dense")
    parser.add_argument("--length", type=int, default=1024, help="of dense sequences")
    parser.add_argument("--ways", nargs="+", choices=("eager", "compile", "graph"), default=["compile", "graph"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--peak", type=float, default=0, help="TFLOP/s of a large bf16 product, measured, for the MFU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--pairs", type=Path, default=Path(__file__).parents[1] / "device" / "pairs.txt")
    options = parser.parse_args()
    shape, device = SHAPES[options.model], torch.device(options.device)
    lengths = sequence_lengths(options.workload, options.tokens, options.length, options.pairs)
    if shape.positions:
        lengths = [min(n, shape.positions) for n in lengths]
    ids, positions, last, attend, attention_name = make_batch(options.workload, lengths, shape, device)

    def synchronise():
        if device.type == "cuda":
            torch.cuda.synchronize()

    for way in options.ways:
        if way == "graph" and device.type != "cuda":
            continue
        torch.manual_seed(0)
        torch._dynamo.reset()
        model = RewardModel(shape).to(device)
        parts = [{"params": [p for p in model.parameters() if (p.dim() > 1) == decayed], "weight_decay": 0.01 * decayed}
                 for decayed in (True, False)]
        optimizer = torch.optim.AdamW(parts, lr=1e-5, fused=device.type == "cuda", capturable=device.type == "cuda")
        forward = model if way == "eager" else torch.compile(model, dynamic=False)

        def step():
            optimizer.zero_grad(set_to_none=False)
            with torch.autocast(device.type, dtype=torch.bfloat16):
                scores = forward(ids, positions, last, attend)
            loss = -functional.logsigmoid(scores[0::2] - scores[1::2]).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
            optimizer.step()
            return loss.detach()

        first_loss = float(step())  # also makes the gradients, so that zero_grad keeps their memory
        stream = torch.cuda.Stream() if way == "graph" else None
        if stream is not None:
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    step()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                step()
            run = graph.replay
        else:
            run = step
        for _ in range(3):
            run()
        synchronise()
        times = []
        for _ in range(options.steps):
            begin = time.perf_counter()
            run()
            synchronise()
            times.append(time.perf_counter() - begin)
        seconds = statistics.median(times)
        work = arithmetic(model, shape, lengths)
        print(json.dumps({
            "side": "pytorch " + torch.__version__, "model": shape.name, "workload": options.workload, "way": way,
            "attention": attention_name, "sequences": len(lengths), "tokens": sum(lengths), "tokens_computed": ids.numel(),
            "ms": round(1e3 * seconds, 3), "tokens_per_s": round(sum(lengths) / seconds), "tflops": round(work / seconds / 1e12, 2),
            "mfu": round(work / seconds / 1e12 / options.peak, 4) if options.peak else None,
            "memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if device.type == "cuda" else None,
            "first_loss": round(first_loss, 5)}), flush=True)


if __name__ == "__main__":
    main()
