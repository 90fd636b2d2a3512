"""A reward model in PyTorch, GPT-2's and Qwen2's layers written out, with its optimizer, as bench/device has them: what flows
between layers in bf16, statistics of norms in float, and weights that the optimizer moves in float. For device_step.py and
device_precision.py."""

import inspect
from dataclasses import dataclass

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
    Shape("tiny-gpt2", 100, 32, 2, 4, 4, 128, False, 1024),
    Shape("tiny-qwen2", 100, 32, 2, 4, 4, 64, True),
)}


class Norm(nn.Module):
    """RMS norm or LayerNorm: statistics in float, whatever comes in, which is what goes out."""

    def __init__(self, shape):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape.width))
        self.bias = None if shape.llama else nn.Parameter(torch.zeros(shape.width))

    def forward(self, x):
        if self.bias is None:
            return functional.rms_norm(x.float(), self.weight.shape, self.weight.float(), 1e-6).to(x.dtype)
        return functional.layer_norm(x.float(), self.weight.shape, self.weight.float(), self.bias.float(), 1e-5).to(x.dtype)


def turned(x, rotary):
    cosine, sine = rotary
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1).to(x.dtype)


class Layer(nn.Module):
    """What comes in is a sum and what is still to be added to it, so that one compiled layer has the sum and the norm behind
    it in one kernel."""

    def __init__(self, shape):
        super().__init__()
        self.llama, self.head_dim = shape.llama, shape.width // shape.heads
        self.sizes = [n * self.head_dim for n in (shape.heads, shape.kv_heads, shape.kv_heads)]
        self.norm1, self.norm2 = Norm(shape), Norm(shape)
        self.qkv = nn.Linear(shape.width, sum(self.sizes))
        self.out = nn.Linear(shape.width, shape.width, bias=not shape.llama)
        self.up = nn.Linear(shape.width, shape.inner * (2 if shape.llama else 1), bias=not shape.llama)
        self.down = nn.Linear(shape.inner, shape.width, bias=not shape.llama)

    def forward(self, x, branch, rotary, attend):
        x = x + branch
        q, k, v = (part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (batch, heads, length, head_dim)
                   for part in self.qkv(self.norm1(x)).split(self.sizes, dim=-1))
        if rotary is not None:
            q, k = turned(q, rotary), turned(k, rotary)
        x = x + self.out(attend(q, k, v).transpose(1, 2).flatten(2))
        up = self.up(self.norm2(x))
        if self.llama:
            gate, up = up.chunk(2, dim=-1)
            return x, self.down(functional.silu(gate) * up)
        return x, self.down(functional.gelu(up, approximate="tanh"))


class RewardModel(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Embedding(shape.positions, shape.width) if shape.positions else None
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape)
        self.score = nn.Linear(shape.width, 1, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, part, dtype, layer_of):
        """Scores of the sequences of a Part; layer_of(layer) runs a layer."""
        x = self.tokens(part.ids).to(dtype)
        if self.positions is not None:
            rotary, branch = None, self.positions(part.positions).to(dtype)
        else:
            rotary, branch = part.rotary, torch.zeros_like(x).requires_grad_()  # as of the layers behind, for one compiled code
        for layer in self.layers:
            x, branch = layer_of(layer)(x, branch, rotary, part.attend)
        rows = (x.flatten(0, 1)[part.last] + branch.flatten(0, 1)[part.last]).float()
        with torch.autocast(x.device.type, enabled=False):
            return functional.linear(self.norm(rows), self.score.weight.float()).squeeze(-1)


class Part:
    """Sequences computed together: padded to the longest, or packed one after the other."""

    def __init__(self, sequences, shape, packed, attend, device):
        lengths = torch.tensor([len(sequence) for sequence in sequences])
        self.lengths = lengths.tolist()
        if packed:
            self.ids = torch.cat(sequences)[None].to(device)
            self.positions = torch.cat([torch.arange(n) for n in self.lengths])[None].to(device)
            self.last = (lengths.cumsum(0) - 1).to(device)
        else:
            self.ids = nn.utils.rnn.pad_sequence(sequences, batch_first=True).to(device)
            self.positions = torch.arange(self.ids.shape[1], device=device).expand_as(self.ids).contiguous()
            self.last = (torch.arange(len(sequences)) * self.ids.shape[1] + lengths - 1).to(device)
        self.rotary = None
        if shape.llama:
            half = shape.width // shape.heads // 2
            angles = self.positions[..., None] * 1e6 ** (-torch.arange(half, device=device) / half)
            self.rotary = angles.cos()[:, None], angles.sin()[:, None]
        self.attend = attend  # on the right: no real token sees a filled one


class Trained:
    """A model and AdamW. In "float"; "autocast", float weights that autocast rounds where a product reads them; or "bf16",
    whose weights are bf16, moved by an optimizer with float ones."""

    def __init__(self, model, precision, rate, clip=1.0):
        self.model, self.precision, self.clip = model, precision, clip
        self.device = next(model.parameters()).device
        self.dtype = torch.float32 if precision == "float" else torch.bfloat16
        self.read = list(model.parameters())
        self.moved = self.read
        if precision == "bf16":
            self.moved = [nn.Parameter(p.detach().float().clone()) for p in self.read]
            model.bfloat16()
            for p in self.moved:
                p.grad = torch.zeros_like(p)
        fast = self.device.type == "cuda"
        groups = [{"params": [p for p in self.moved if (p.dim() > 1) == decayed], "weight_decay": 0.01 * decayed}
                  for decayed in (True, False)]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, fused=fast, capturable=fast)

    def scores(self, part, layer_of):
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "autocast"):
            return self.model(part, self.dtype, layer_of)

    def step(self, parts, layer_of=lambda layer: layer, update=True):
        """The loss and the norm of the gradient of one step over all parts, each of whole pairs."""
        pairs = sum(len(part.lengths) for part in parts) // 2
        total = 0
        for p in self.read:
            p.grad = None
        for i, part in enumerate(parts):
            scores = self.scores(part, layer_of)
            loss = -functional.logsigmoid(scores[0::2] - scores[1::2]).sum() / pairs
            loss.backward()
            total = total + loss.detach()
            if self.moved is not self.read:  # sums of parts in float
                if i == 0:
                    torch._foreach_copy_([p.grad for p in self.moved], [p.grad for p in self.read])
                else:
                    torch._foreach_add_([p.grad for p in self.moved], [p.grad.float() for p in self.read])
                for p in self.read:
                    p.grad = None
        if not update:
            return total, None
        norm = nn.utils.clip_grad_norm_(self.moved, self.clip, foreach=True)
        self.optimizer.step()
        if self.moved is not self.read:
            with torch.no_grad():
                torch._foreach_copy_(self.read, self.moved)
        return total, norm


# ---- Attention: (batch, heads, length, head_dim) of queries, keys and values --------------------------------------------------


def causal(q, k, v):
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1])


def causal_ways():
    """Of a GPU: (name, attention) of each kernel that PyTorch has for sequences of one length."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    for backend in (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION):
        def attend(q, k, v, backend=backend):
            with sdpa_kernel(backend):
                return causal(q, k, v)
        yield "sdpa, " + backend.name.lower(), attend


def packed_ways(lengths, device):
    """The same within packed sequences: varlen_attn and flash_attn, where they are installed."""
    begin = functional.pad(torch.tensor(lengths, device=device).cumsum(0, dtype=torch.int32), (1, 0))
    longest = max(lengths)

    def of_rows(function, grouped):
        def attend(q, k, v):
            if not grouped and q.shape[1] != k.shape[1]:
                k, v = (part.repeat_interleave(q.shape[1] // part.shape[1], dim=1) for part in (k, v))
            q, k, v = (part[0].transpose(0, 1).contiguous() for part in (q, k, v))
            return function(q, k, v).transpose(0, 1)[None]
        return attend

    try:
        from torch.nn.attention.varlen import varlen_attn
        names = inspect.signature(varlen_attn).parameters
        options = {"window_size": (-1, 0)} if "window_size" in names else {"is_causal": True}
        if "enable_gqa" in names:
            options["enable_gqa"] = True
        of_packed = lambda q, k, v: varlen_attn(q, k, v, begin, begin, longest, longest, **options)
        yield "varlen_attn", of_rows(of_packed, True)
        yield "varlen_attn, keys and values repeated", of_rows(of_packed, False)  # where it wants as many heads of each
    except ImportError:
        pass
    try:
        from flash_attn import flash_attn_varlen_func
        yield "flash_attn", of_rows(
            lambda q, k, v: flash_attn_varlen_func(q, k, v, begin, begin, longest, longest, causal=True), True)
    except ImportError:
        pass


def flex(lengths, device):
    """Within packed sequences by a kernel that is compiled for their mask."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)
    count = len(owner)
    mask = create_block_mask(lambda b, h, q, k: (owner[q] == owner[k]) & (q >= k), None, None, count, count, device=device)
    compiled = torch.compile(flex_attention, dynamic=False)
    return lambda q, k, v: compiled(q, k, v, block_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


def masked(lengths, device):
    """Within packed sequences on a processor."""
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)
    mask = (owner[:, None] == owner[None, :]).tril()
    return lambda q, k, v: functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1])
