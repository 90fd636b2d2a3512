#!/usr/bin/env python3
"""The other side of the comparison (see README.md): the same training step with PyTorch and transformers.

Reads what `peer_step prepare` wrote, times the step, prints one line of JSON.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from transformers import LlamaForSequenceClassification

WARM_UP = 2


def read_workload(folder):
    work = json.loads((folder / "work.json").read_text())
    # All chosen sequences, then all rejected ones, as TRL's reward trainer concatenates them.
    pairs = work["pairs"]
    sequences = [torch.tensor(pair[side]) for side in (0, 1) for pair in pairs]
    return work, sequences


def padded(sequences, padding):
    """One batch, filled up on the right to its longest sequence; no mask where nothing was filled up."""
    ids = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=padding)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    mask = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
    return {"input_ids": ids} if bool(mask.all()) else {"input_ids": ids, "attention_mask": mask.long()}


def make_batches(sequences, padding, batching):
    """(batches, where each sequence's score is found in the concatenated scores of the batches)"""
    if batching == "padded":  # as TRL does
        groups = [list(range(len(sequences)))]
    else:
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
        size = 1 if batching == "single" else (len(sequences) + 3) // 4
        groups = [order[i:i + size] for i in range(0, len(order), size)]
    batches = [padded([sequences[i] for i in group], padding) for group in groups]
    place = torch.empty(len(sequences), dtype=torch.long)
    place[torch.tensor([i for group in groups for i in group])] = torch.arange(len(sequences))
    return batches, place


def make_optimizer(model, work):
    """AdamW with no decay on norms and biases."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": work["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    options = {"lr": work["learning_rate"], "betas": tuple(work["betas"]), "eps": work["epsilon"]}
    return torch.optim.AdamW(groups, fused=True, **options)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batching", choices=["padded", "sorted", "single"], default="padded",
                        help="padded: all sequences in one batch; sorted: four batches of similar lengths; "
                             "single: each sequence alone, no padding at all")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    work, sequences = read_workload(arguments.folder)
    model = LlamaForSequenceClassification.from_pretrained(
        arguments.folder / "model", dtype=torch.float32, attn_implementation="sdpa", num_labels=1,
        pad_token_id=work["padding"], use_cache=False)
    model.train()
    parameters = list(model.parameters())
    optimizer = make_optimizer(model, work)
    forward = torch.compile(model, dynamic=True) if arguments.compile else model
    half = len(sequences) // 2

    seconds, losses = [], []
    for step in range(WARM_UP + arguments.steps):
        start = time.perf_counter()
        batches, place = make_batches(sequences, work["padding"], arguments.batching)
        scores = torch.cat([forward(**batch).logits[:, 0] for batch in batches])[place]
        loss = -torch.nn.functional.logsigmoid(scores[:half] - scores[half:]).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, work["max_gradient_norm"])
        optimizer.step()
        losses.append(loss.item())
        if step >= WARM_UP:
            seconds.append(time.perf_counter() - start)

    print(json.dumps({
        "workload": work["workload"],
        "side": f"torch {torch.__version__.split('+')[0]}, {arguments.batching}"
                + (", compiled" if arguments.compile else ""),
        "threads": arguments.threads,
        "records": half,
        "record_tokens": sum(len(sequence) for sequence in sequences),
        "tokens": sum(batch["input_ids"].numel() for batch in batches),
        "seconds": seconds,
        "losses": losses,
    }))
    return 0


if __name__ == "__main__":
    sys.exit(main())
