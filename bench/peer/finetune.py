#!/usr/bin/env python3
"""Fine-tunes a published Llama as a reward model from text by merit_train and by PyTorch, side by side (see README.md).

    finetune.py start BASE FOLDER                     a checkpoint with a fresh head, from which both sides start
    finetune.py adapter START FOLDER                  PEFT's new LoRA of it, from which both sides start instead
    finetune.py compare PROGRAMS START PAIRS WORK     the first steps by both: losses, time, memory
    finetune.py saved PROGRAMS MODEL PAIRS            what merit saved in MODEL, by transformers and by merit_score

PROGRAMS is the folder of merit_train and merit_score, PAIRS a file of JSON lines with prompt, chosen and rejected.
Needs torch and transformers, and peft for adapters. Ends with an error where the sides differ by more than is allowed."""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEP_TOLERANCE = 1e-3   # of a step's loss, absolute
SCORE_TOLERANCE = 1e-4  # of a score, relative to the root of the mean square of all
BETAS, EPSILON, WEIGHT_DECAY, CLIP = (0.9, 0.999), 1e-8, 0.01, 1.0


# ---- What both sides agree on, written down a second time ----

def philox(counter, key):
    """Philox4x32-10, as in merit/core/rng.hpp."""
    c, k, low = list(counter), list(key), 0xFFFFFFFF
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & low, (a >> 32) ^ c[3] ^ k[1], a & low]
        k = [(k[0] + 0x9E3779B9) & low, (k[1] + 0xBB67AE85) & low]
    return c


def epoch_order(n, seed, epoch):
    """The order in which merit_train visits its records (merit/train/sampling.hpp)."""
    stream, position, low = (0x53485546 << 32) + epoch, 0, 0xFFFFFFFF

    def below(bound):
        nonlocal position
        limit = 2**64 - 1 - 2**64 % bound
        while True:
            words = philox([position & low, position >> 32, stream & low, stream >> 32], [seed & low, seed >> 32])
            position += 1
            number = words[0] | words[1] << 32
            if number <= limit:
                return number % bound

    order = list(range(n))
    for left in range(n, 1, -1):
        other = below(left)
        order[left - 1], order[other] = order[other], order[left - 1]
    return order


def learning_rate(peak, warmup, step, steps):
    """Linear warm-up, then a cosine towards 0 (merit/optim/schedule.hpp)."""
    warm = math.floor(warmup * steps)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


def common_prefix(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def pair_of_ids(tokenizer, record, max_tokens):
    """Both sides of a record in ids, cut on the left as merit_train's cut_left_together does: as many tokens of the prompt from
    both as the longer one needs, then from each alone. None where the sides are equal."""
    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    prompt = ids(record["prompt"])
    sides, begins = [], []
    for field in ("chosen", "rejected"):
        side = ids(record["prompt"] + record[field])
        begins.append(common_prefix(prompt, side))
        sides.append(side if side[-1:] == [tokenizer.eos_token_id] else side + [tokenizer.eos_token_id])
    shared = min(max(0, max(map(len, sides)) - max_tokens), *begins)
    sides = [side[max(shared, len(side) - max_tokens):] for side in sides]
    return None if sides[0] == sides[1] else sides


def read_records(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


# ---- Start ----

def start(arguments):
    """The base model under LlamaForSequenceClassification, whose head is drawn anew, with its tokenizer."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(arguments.base)
    # transformers reads the score at the last token that is not the pad: another than the end of sequence, which a
    # completion has.
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.pad_token = tokenizer.unk_token
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        raise SystemExit(f"{arguments.base}: there is no token to pad with beside the end of sequence")
    model = AutoModelForSequenceClassification.from_pretrained(
        arguments.base, num_labels=1, dtype=torch.float32, pad_token_id=tokenizer.pad_token_id)
    generator = torch.Generator().manual_seed(arguments.seed)
    with torch.no_grad():
        model.score.weight.normal_(0, 0.02, generator=generator)
    model.save_pretrained(arguments.folder)
    tokenizer.save_pretrained(arguments.folder)


def adapter(arguments):
    """LoRA on every linear map of START's layers as PEFT makes it, A drawn and B zero, with START's head and tokenizer."""
    import torch
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    base = AutoModelForSequenceClassification.from_pretrained(arguments.start, dtype=torch.float32)
    torch.manual_seed(arguments.seed)
    model = get_peft_model(base, LoraConfig(task_type=TaskType.SEQ_CLS, r=arguments.rank, lora_alpha=2 * arguments.rank,
                                            lora_dropout=0.0, target_modules="all-linear"))
    model.save_pretrained(arguments.folder)
    AutoTokenizer.from_pretrained(arguments.start).save_pretrained(arguments.folder)


def model_at(folder):
    """A checkpoint, or an adapter with its base, to be trained."""
    import torch
    from transformers import AutoModelForSequenceClassification
    config = Path(folder) / "adapter_config.json"
    base = json.loads(config.read_text())["base_model_name_or_path"] if config.exists() else folder
    model = AutoModelForSequenceClassification.from_pretrained(
        base, dtype=torch.float32, attn_implementation="sdpa", use_cache=False)
    if config.exists():
        from peft import PeftModel
        model = PeftModel.from_pretrained(model, folder, is_trainable=True)
    return model


# ---- The PyTorch side, a process of its own ----

def padded(torch, sequences, padding):
    """One batch, filled up on the right to its longest sequence; no mask where nothing was filled up."""
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(s) for s in sequences], batch_first=True, padding_value=padding)
    mask = torch.arange(ids.shape[1])[None, :] < torch.tensor([len(s) for s in sequences])[:, None]
    return {"input_ids": ids} if bool(mask.all()) else {"input_ids": ids, "attention_mask": mask.long()}


def micro_batches(pairs, batching, budget):
    """Pairs of a step in micro-batches: `padded` all at once, `grouped` by length, as many as fit the budget."""
    if batching == "padded":
        return [pairs]
    result = []
    for pair in sorted(pairs, key=lambda pair: max(map(len, pair))):  # so the last is the longest of its batch
        longest = max(map(len, pair))
        if result and 2 * (len(result[-1]) + 1) * longest <= budget:
            result[-1].append(pair)
        else:
            result.append([pair])
    return result


def torch_side(arguments):
    import torch
    from transformers import AutoTokenizer
    torch.set_num_threads(arguments.threads)
    tokenizer = AutoTokenizer.from_pretrained(arguments.start)
    pairs = [pair_of_ids(tokenizer, record, arguments.max_tokens) for record in read_records(arguments.pairs)]
    pairs = [pair for pair in pairs if pair is not None]
    model = model_at(arguments.start)
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [{"params": [p for p in parameters if p.dim() > 1], "weight_decay": WEIGHT_DECAY},
         {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0}],
        lr=arguments.lr, betas=BETAS, eps=EPSILON, fused=True)
    order = epoch_order(len(pairs), arguments.seed, 0)
    steps = (len(pairs) + arguments.batch_size - 1) // arguments.batch_size
    for step in range(steps):
        begin, used = time.perf_counter(), time.process_time()
        chosen = [pairs[i] for i in order[step * arguments.batch_size:(step + 1) * arguments.batch_size]]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(arguments.lr, arguments.warmup, step, steps)
        optimizer.zero_grad(set_to_none=True)
        loss = computed = 0
        for micro in micro_batches(chosen, arguments.batching, arguments.micro_batch_tokens):
            batch = padded(torch, [pair[side] for side in (0, 1) for pair in micro], tokenizer.pad_token_id)
            scores = model(**batch).logits[:, 0]
            part = torch.nn.functional.softplus(scores[len(micro):] - scores[:len(micro)]).sum() / len(chosen)
            part.backward()
            loss += part.item()
            computed += batch["input_ids"].numel()
        norm = torch.nn.utils.clip_grad_norm_(parameters, CLIP).item()
        optimizer.step()
        print(json.dumps({"loss": loss, "gradient_norm": norm, "seconds": time.perf_counter() - begin,
                          "processor": time.process_time() - used, "tokens": computed,
                          "tokens_before_sharing": sum(len(s) for pair in chosen for s in pair)}),
              flush=True)


# ---- The driver ----

def run_child(command, watch=lambda process: None):
    """(seconds, peak MiB, standard output) of a child, which `watch` sees while it runs; ends with an error where it
    failed."""
    begin = time.perf_counter()
    environment = dict(os.environ, OMP_WAIT_POLICY=os.environ.get("OMP_WAIT_POLICY", "passive"))
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(command, stdout=output, stderr=said, env=environment)
        watch(child)
        _, status, usage = os.wait4(child.pid, 0)  # of this child alone
        child.returncode = os.waitstatus_to_exitcode(status)
        for file in (output, said):
            file.seek(0)
        if child.returncode != 0:
            raise SystemExit(f"{' '.join(command)}\nended with {child.returncode}:\n{said.read()[-2000:]}")
        return time.perf_counter() - begin, usage.ru_maxrss / 1024, output.read()


def processor_seconds(process):
    """What a running process has used; None when it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return None


def merit_command(arguments, pairs, out):
    return [str(Path(arguments.programs) / "merit_train"), "--from", arguments.start, "--head", "scalar",
            "--train", str(pairs), "--out", str(out), "--overwrite", "--max-tokens", str(arguments.max_tokens), "--truncation", "cut_left_together",
            "--batch-size", str(arguments.batch_size), "--micro-batch-tokens", str(arguments.micro_batch_tokens),
            "--epochs", "1", "--lr", repr(arguments.lr), "--warmup", repr(arguments.warmup), "--decay", "cosine",
            "--floor", "0", "--clip", repr(CLIP), "--weight-decay", repr(WEIGHT_DECAY), "--beta1", repr(BETAS[0]),
            "--beta2", repr(BETAS[1]), "--epsilon", repr(EPSILON), "--seed", str(arguments.seed),
            "--checkpoint-every", "0", "--threads", str(arguments.threads)] + arguments.option


def run_merit(arguments, pairs, work):
    out = work / "merit"
    metrics = Path(f"{out}.metrics.jsonl")
    metrics.unlink(missing_ok=True)
    used = []  # by the process, when each step's line was seen

    def watch(child):
        while len(used) < arguments.steps:
            now = processor_seconds(child.pid)
            if now is None or os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return
            seen = metrics.read_text().count('"gradient_norm"') if metrics.exists() else 0
            used.extend([now] * (seen - len(used)))
            time.sleep(0.02)

    wall, peak, _ = run_child(merit_command(arguments, pairs, out), watch)
    steps = [e for e in map(json.loads, metrics.read_text().splitlines()) if e["event"] == "step"]
    for i in range(1, len(used)):
        steps[i]["processor"] = used[i] - used[i - 1]
    return {"wall": wall, "peak": peak, "steps": steps}


def run_torch(arguments, pairs, batching):
    command = [sys.executable, __file__, "torch", arguments.start, str(pairs), "--batching", batching]
    for name in SHARED_OPTIONS:
        command += ["--" + name.replace("_", "-"), str(getattr(arguments, name))]
    wall, peak, output = run_child(command)
    return {"wall": wall, "peak": peak, "steps": [json.loads(line) for line in output.splitlines()]}


def compare(arguments):
    from transformers import AutoTokenizer
    work = Path(arguments.work)
    if arguments.report:
        return report(arguments, json.loads((work / "runs.json").read_text()))
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(arguments.start)
    wanted = arguments.steps * arguments.batch_size
    taken = [r for r in read_records(arguments.pairs) if pair_of_ids(tokenizer, r, arguments.max_tokens)][:wanted]
    if len(taken) < wanted:
        raise SystemExit(f"{arguments.pairs}: found {len(taken)} pairs, expected {wanted} for {arguments.steps} steps")
    pairs = work / "pairs.jsonl"
    pairs.write_text("".join(json.dumps(r) + "\n" for r in taken), encoding="utf-8")

    sides = {"merit": lambda: run_merit(arguments, pairs, work)}
    for batching in arguments.batching:
        sides["torch, " + batching] = lambda batching=batching: run_torch(arguments, pairs, batching)
    runs = {name: [] for name in sides}
    for turn in range(arguments.rounds):
        for name in list(sides)[::1 if turn % 2 == 0 else -1]:
            runs[name].append(sides[name]())
            last = runs[name][-1]
            print(f"round {turn + 1}: {name}: steps {sum(s['seconds'] for s in last['steps']):.1f} s, process "
                  f"{last['wall']:.1f} s, peak {last['peak']:.0f} MiB", file=sys.stderr, flush=True)
            (work / "runs.json").write_text(json.dumps(runs))
    return report(arguments, runs)


def report(arguments, runs):
    reference = runs["merit"][0]["steps"]
    print(f"{len(reference)} steps of {arguments.batch_size} pairs, at most {arguments.max_tokens} tokens, "
          f"{sum(s['tokens_before_sharing'] for s in reference)} tokens in the records, {arguments.threads} threads, "
          f"{max(map(len, runs.values()))} rounds\n")
    print("| side | tokens computed | s a step | processor s a step | peak MiB | time / merit's | processor / merit's "
          "| peak / merit's | largest difference of a loss |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")

    def mean(name, what):
        """Of all steps but the first, which allocates."""
        return statistics.fmean(s[what] for run in runs[name] for s in run["steps"][1:] if what in s)

    failed = False
    for name, all_runs in runs.items():
        if not all_runs:
            continue
        figures = [mean(name, "seconds"), mean(name, "processor"), max(run["peak"] for run in all_runs)]
        if name == "merit":
            base = figures
        worst = max(abs(a["loss"] - b["loss"]) for run in all_runs for a, b in zip(run["steps"], reference))
        failed |= not worst <= STEP_TOLERANCE
        tokens = [[s["tokens_before_sharing"] for s in run["steps"]] for run in [runs["merit"][0], *all_runs]]
        failed |= any(found != tokens[0] for found in tokens)
        ratios = " | ".join(f"{figure / of:.2f}" for figure, of in zip(figures, base))
        print(f"| {name} | {sum(s['tokens'] for s in all_runs[0]['steps'])} | {figures[0]:.2f} | {figures[1]:.2f} "
              f"| {figures[2]:.0f} | {ratios} | {worst:.1e} |")
    print(f"\nLoss of the first step {reference[0]['loss']:.6f}, of the last {reference[-1]['loss']:.6f}.")
    if failed:
        print(f"FAILED: the sides do not train alike: expected the same tokens and losses within {STEP_TOLERANCE:g}")
    return 1 if failed else 0


def saved(arguments):
    """What merit saved: transformers' scores from text, tokenizer included, beside merit_score's."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForSequenceClassification.from_pretrained(arguments.model, dtype=torch.float32).eval()
    records = [r for r in read_records(arguments.pairs)
               if max(map(len, pair_of_ids(tokenizer, r, 10**6) or [[0] * 10**6])) <= arguments.max_tokens]
    records = records[:arguments.records]  # none of which merit cuts
    fields = ("prompt", "chosen", "rejected")
    text = "".join(json.dumps({field: r[field] for field in fields}) + "\n" for r in records)
    command = [str(Path(arguments.programs) / "merit_score"), "--model", arguments.model, "--json", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr.strip())
    ours, theirs = [], []
    for record, line in zip(records, done.stdout.splitlines(), strict=True):
        for field in ("chosen", "rejected"):
            whole = record["prompt"] + record[field]
            whole += "" if whole.endswith(tokenizer.eos_token) else tokenizer.eos_token
            with torch.no_grad():
                theirs.append(model(**tokenizer(whole, return_tensors="pt")).logits[0, 0].item())
            ours.append(json.loads(line)[field])
    scale = math.sqrt(statistics.fmean(score**2 for score in theirs))
    worst = max(abs(a - b) for a, b in zip(ours, theirs))
    print(f"{len(ours)} scores of {len(records)} pairs, root of the mean square {scale:.4f}: merit_score and "
          f"transformers differ by at most {worst:.2e}, relative {worst / scale:.2e}")
    if not worst <= SCORE_TOLERANCE * scale:
        print(f"FAILED: expected at most {SCORE_TOLERANCE:g} relative")
        return 1
    return 0


SHARED_OPTIONS = {"batch_size": 8, "max_tokens": 256, "micro_batch_tokens": 2048, "lr": 2e-5, "warmup": 0.1, "seed": 0,
                  "threads": 2}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)

    def verb(name, *positional):
        added = verbs.add_parser(name)
        for one in positional:
            added.add_argument(one)
        return added

    verb("start", "base", "folder").add_argument("--seed", type=int, default=0)
    made = verb("adapter", "start", "folder")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--rank", type=int, default=16)
    compared, peer = verb("compare", "programs", "start", "pairs", "work"), verb("torch", "start", "pairs")
    for one in (compared, peer):
        for name, value in SHARED_OPTIONS.items():
            one.add_argument("--" + name.replace("_", "-"), type=type(value), default=value)
    compared.add_argument("--steps", type=int, default=20)
    compared.add_argument("--rounds", type=int, default=2)
    compared.add_argument("--batching", nargs="+", choices=["padded", "grouped"], default=["padded", "grouped"])
    compared.add_argument("--report", action="store_true", help="run nothing: of what ran in WORK")
    compared.add_argument("--option", nargs="+", default=[], help="more options of merit_train, as --option=--no-sharing")
    peer.add_argument("--batching", choices=["padded", "grouped"], required=True)
    checked = verb("saved", "programs", "model", "pairs")
    checked.add_argument("--records", type=int, default=20)
    checked.add_argument("--max-tokens", type=int, default=256, help="longer records are left out")
    arguments = parser.parse_args()
    return {"start": start, "adapter": adapter, "compare": compare, "torch": torch_side, "saved": saved}[arguments.verb](arguments)


if __name__ == "__main__":
    sys.exit(main())
