#!/usr/bin/env python3
"""Writes published/: small random models in every layout that reward models are published in, and their scores.

    python3 -m venv golden-env
    golden-env/bin/pip install torch transformers safetensors mpmath
    golden-env/bin/python tests/golden/generate_published.py
    golden-env/bin/python tests/golden/generate_published.py gemma2    # only the cases of this architecture
    golden-env/bin/python tests/golden/generate_published.py check DIRECTORY

Models with a class in transformers are saved and scored by it; the others by a few lines here that follow what their
authors published. All cases of one architecture share the weights of one backbone, which lie in a file of their own.

The last form reads checkpoints that the library wrote (tests/model/published_models_test.cpp writes them into the
directory that MERIT_WRITE_CHECKPOINTS names) and compares transformers' scores with the library's, `scores.json` beside
them.
"""
import json
import pathlib
import sys
import tempfile

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file

from generate import ROOT, nine_digits, randomise, relative_difference, write_json

OUT = ROOT / "published"
VOCABULARY, WIDTH = 40, 8
EPSILON = 1e-3
SHAPE = dict(
    vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, max_position_embeddings=64, rms_norm_eps=EPSILON, bos_token_id=None, eos_token_id=None,
    pad_token_id=None, tie_word_embeddings=False, attn_implementation="eager",
)  # fmt: skip
GPT2_SHAPE = dict(
    vocab_size=VOCABULARY, n_positions=64, n_embd=WIDTH, n_layer=2, n_head=2, layer_norm_epsilon=EPSILON,
    resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, classifier_dropout=0.0, hidden_dropout=0.0, bos_token_id=None,
    eos_token_id=None, pad_token_id=None, attn_implementation="eager",
)  # fmt: skip
SEEDS = {"llama": 301, "mistral": 302, "qwen2": 303, "qwen3": 304, "gpt2": 305, "gemma2": 306}
CLASSES = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3", "gpt2": "GPT2",
           "gemma2": "Gemma2"}
PAD = 3
TAG, GATE = 7, [5, 6]
# (prompt, completion): short, long, one that begins as another, and one that ends in the pad.
TEXTS = [
    ([1, 9, 12, 30], [11, 25, 8]),
    ([1, 9, 12, 30], [11, 25, 22, 19, 33, 14, 2, 38, 10, 21, 17, 16]),
    ([1, 34], [20, 13, PAD, 15, PAD, PAD]),
]
STEPS = [([1, 9, 30], [11, 25, TAG, 8, TAG]), ([1, TAG, 34], [20, TAG, 13, PAD, 15, 22, TAG, 16, 2, TAG])]
TURNS = [([1, 9, 12, *GATE, 10], [11, 25, 8]), ([1, *GATE, 14, 9, 31, *GATE, 10], [20, 13, PAD, 15])]


def config_of(backbone, **changes):
    if backbone == "gpt2":
        return transformers.GPT2Config(**{**GPT2_SHAPE, **changes})
    extra = {"head_dim": 4} if backbone in ("qwen3", "gemma2") else {}
    if backbone in ("qwen2", "qwen3"):
        extra["use_sliding_window"] = False
    if backbone == "gemma2":
        extra.update(query_pre_attn_scalar=5, sliding_window=6, attn_logit_softcapping=3.0, final_logit_softcapping=0.6)
    if backbone == "mistral":
        extra["sliding_window"] = None
    return getattr(transformers, f"{CLASSES[backbone]}Config")(**{**SHAPE, **extra, **changes})


def base_of(backbone):
    """The backbone, always the same."""
    model = getattr(transformers, f"{CLASSES[backbone]}Model")(config_of(backbone)).float().eval()
    randomise(model, torch.Generator().manual_seed(SEEDS[backbone]))
    return model


def random_like(generator, *shape, scale=0.4):
    return scale * torch.randn(shape, generator=generator)


def linear(generator, out, inner, bias=True):
    """Weights of a linear layer as a dictionary."""
    layer = {"weight": random_like(generator, out, inner)}
    return {**layer, "bias": random_like(generator, out)} if bias else layer


def named(prefix, layer):
    return {f"{prefix}.{key}": value for key, value in layer.items()}


def through(layer, x):
    return F.linear(x, layer["weight"], layer.get("bias"))


def floats(tensor):
    return [nine_digits(value) for value in tensor.flatten()]


def before_first_pad(tokens, pad=PAD):
    first = tokens.index(pad) if pad in tokens else 0
    return (first - 1) % len(tokens)


def occurrences(tokens, begin, tag=TAG):
    return [i for i, token in enumerate(tokens) if token == tag and i >= begin]


def wanted(backbone):
    return backbone in (sys.argv[1:] or SEEDS)


class Case:
    """A model on its way into a file: its configuration, the tensors of its head, and sequences with scores."""

    def __init__(self, name, backbone, architecture, request=None, texts=None, **fields):
        self.name, self.backbone = name, backbone
        self.base = base_of(backbone)
        self.generator = torch.Generator().manual_seed(sum(map(ord, name)))
        config = json.loads(config_of(backbone).to_json_string(use_diff=False))
        self.document = {
            "backbone": backbone,
            "config": trimmed({**config, "architectures": [architecture], **fields}),
            "request": request or {},
        }
        for field in ("id2label", "label2id", "num_labels"):
            if field not in fields:
                self.document["config"].pop(field, None)
        self.texts = TEXTS if texts is None else texts
        self.tensors = {}
        self.sequences = []

    def hidden(self, tokens):
        return self.base(input_ids=torch.tensor([tokens])).last_hidden_state[0]

    def add(self, prompt, completion, published, rows=None):
        entry = {"tokens": prompt + completion, "completion_begin": len(prompt), "published": published}
        if rows is not None:
            entry["rows"] = rows
        self.sequences.append(entry)

    def score_each(self, position, score):
        """`score(hidden row)` gives (the published number, the row that the head gives)."""
        for prompt, completion in self.texts:
            tokens = prompt + completion
            published, row = score(self.hidden(tokens)[position(tokens)])
            self.add(prompt, completion, [nine_digits(published)], floats(row))

    def score_steps(self, positions, score):
        for prompt, completion in self.texts:
            rows = self.hidden(prompt + completion)[positions(prompt + completion, len(prompt))]
            published, given = score(rows)
            self.add(prompt, completion, floats(published), floats(given))

    def write(self):
        if not wanted(self.backbone):
            return
        write_json(OUT / f"{self.name}.json", {**self.document, "sequences": self.sequences})
        (OUT / f"{self.name}.safetensors").unlink(missing_ok=True)
        if self.tensors:
            tensors = {key: value.contiguous() for key, value in self.tensors.items()}
            save_file(tensors, OUT / f"{self.name}.safetensors", metadata={"format": "pt"})
        print(self.name, len(self.sequences), "sequences", [list(v.shape) for v in self.tensors.values()])


def trimmed(config):
    """What says something: the many fields that are as by default make the files long."""
    kept = set(SHAPE) | set(GPT2_SHAPE) | {
        "architectures", "model_type", "dtype", "torch_dtype", "id2label", "label2id", "num_labels", "problem_type",
        "rope_parameters", "rope_theta", "head_dim", "hidden_act", "activation_function", "use_sliding_window",
        "sliding_window", "score_type", "num_objectives", "num_quantiles", "gating_temperature", "reward_token_id",
        "hidden_activation", "query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping", "layer_types",
        "softmax", "temperature",
    }  # fmt: skip
    kept -= {"attn_implementation"}
    return {key: value for key, value in config.items() if key in kept and (value is not None or "pad" in key)}


def stock(name, backbone, task, labels=None, names=None, texts=None, **changes):
    """A class of transformers, as save_pretrained writes it."""
    if names:
        changes["id2label"] = dict(enumerate(names))
        changes["label2id"] = {label: i for i, label in enumerate(names)}
    else:
        changes["num_labels"] = labels
    case = Case(name, backbone, "", texts=texts)
    model = getattr(transformers, f"{CLASSES[backbone]}For{task}")(config_of(backbone, **changes)).float().eval()
    base = model.transformer if backbone == "gpt2" else model.model
    base.load_state_dict(case.base.state_dict())
    head = {key: value for key, value in model.named_parameters() if not key.startswith(("model.", "transformer."))}
    with torch.no_grad():
        for value in head.values():
            value.copy_(random_like(case.generator, *value.shape))
    with tempfile.TemporaryDirectory() as directory:
        model.save_pretrained(directory)
        config = json.loads((pathlib.Path(directory) / "config.json").read_text())
        saved = load_file(pathlib.Path(directory) / "model.safetensors")
    case.document["config"] = trimmed({**config, "pad_token_id": config.get("pad_token_id")})
    case.tensors = {key: value for key, value in saved.items() if not key.startswith(("model.", "transformer."))}
    assert case.tensors.keys() == head.keys()
    padded = [prompt + completion for prompt, completion in case.texts]
    longest = max(map(len, padded))
    batch = None
    if model.config.pad_token_id is not None and task == "SequenceClassification":
        padded = torch.tensor([row + [model.config.pad_token_id] * (longest - len(row)) for row in padded])
        batch = model(input_ids=padded).logits
    for i, (prompt, completion) in enumerate(case.texts):
        logits = model(input_ids=torch.tensor([prompt + completion])).logits[0]
        if task == "TokenClassification":
            logits = logits[occurrences(prompt + completion, len(prompt))]
            published = torch.sigmoid(logits) if labels == 1 else F.softmax(logits, -1)
            if labels == 3:  # neutral counts as good
                published = published[:, 1:].sum(-1)
            case.add(prompt, completion, floats(published if published.dim() == 1 else published[:, -1]), floats(logits))
            continue
        if batch is not None:  # padding changes nothing
            torch.testing.assert_close(batch[i], logits, rtol=1e-5, atol=1e-6)
        published = logits[0] if len(logits) == 1 else F.softmax(logits, -1)[-1]
        if len(logits) > 2:  # no published number: what the library documents
            weights = torch.linspace(-1, 1, len(logits))
            weights = torch.ones(len(logits)) if changes.get("problem_type") == "regression" else weights
            published = (logits * weights).sum()
        case.add(prompt, completion, [nine_digits(published)], floats(logits))
    case.write()


def last(tokens):
    return len(tokens) - 1


def one_output(name, backbone, architecture, stem, bias, position=last, sign=1, **fields):
    """One linear layer with one output."""
    case = Case(name, backbone, architecture, **fields)
    layer = linear(case.generator, 1, WIDTH, bias)
    case.tensors = named(stem, layer)
    case.score_each(position, lambda row: (sign * through(layer, row)[0], through(layer, row)))
    return case


def two_layers(name, backbone, architecture, stem, inner, position=last, **fields):
    case = Case(name, backbone, architecture, **fields)
    up, down = linear(case.generator, inner, WIDTH), linear(case.generator, 1, inner)
    case.tensors = {**named(f"{stem}.0", up), **named(f"{stem}.2", down)}
    score = lambda row: through(down, F.relu(through(up, row)))
    case.score_each(position, lambda row: (score(row)[0], score(row)))
    case.write()


def process_reward_model():
    """As Qwen2.5-Math-PRM: two layers with two outputs at each tag, the second of whose softmax is the score."""
    case = Case("qwen2_math_prm", "qwen2", "Qwen2ForProcessRewardModel", texts=STEPS,
                request={"reading": f"tag:{TAG}"}, pad_token_id=PAD)  # fmt: skip
    up, down = linear(case.generator, WIDTH, WIDTH), linear(case.generator, 2, WIDTH)
    case.tensors = {**named("score.0", up), **named("score.2", down)}
    score = lambda rows: through(down, F.relu(through(up, rows)))
    case.score_steps(occurrences, lambda rows: (F.softmax(score(rows), -1)[:, 1], score(rows)))
    case.write()


def skywork_prm():
    """A value head at each step's last token, and its sigmoid."""
    case = Case("qwen2_skywork_prm", "qwen2", "Qwen2ForPrmModel", texts=STEPS, request={"reading": f"tag:{TAG}"})
    layer = linear(case.generator, 1, WIDTH)
    case.tensors = named("v_head.summary", layer)
    case.score_steps(occurrences, lambda rows: (torch.sigmoid(through(layer, rows)[:, 0]), through(layer, rows)))
    case.write()


def gated(name, architecture, quantiles, with_norm, seed):
    """As ArmoRM, and with quantiles and batch norms in the gate as QRM."""
    attributes, inner, temperature = 3, 5, 10.0
    fields = dict(num_objectives=attributes, gating_temperature=temperature, pad_token_id=PAD)
    if quantiles > 1:
        fields["num_quantiles"] = quantiles
    gate = ",".join(map(str, GATE))
    case = Case(name, "llama", architecture, texts=TURNS, request={"reading": f"before_first_pad:{PAD};gate:{gate}"},
                **fields)  # fmt: skip
    g = case.generator.manual_seed(seed)  # one of which no layer's ReLU is 0 everywhere
    regression = linear(g, attributes * quantiles, WIDTH, bias=False)
    transform, scale = random_like(g, attributes, attributes), torch.tensor([1.7])
    layers, width = [], WIDTH
    for _ in range(2):
        layers.append(("linear", linear(g, inner, width, bias=not with_norm)))
        width = inner
        if with_norm:
            norm = {"weight": 1 + random_like(g, inner), "bias": random_like(g, inner),
                    "running_mean": random_like(g, inner), "running_var": 0.2 + random_like(g, inner).abs(),
                    "num_batches_tracked": torch.tensor(9)}  # fmt: skip
            layers += [("relu", {}), ("norm", norm)]
    layers.append(("linear", linear(g, attributes, width)))
    layers[-1][1]["weight"] *= 20  # so that the temperature leaves a difference
    case.tensors = {**named("regression_layer", regression), "reward_transform_matrix": transform,
                    "gating.logit_scale": scale}  # fmt: skip
    for i, (_, layer) in enumerate(layers):
        case.tensors.update(named(f"gating.layers.{i}", layer))

    def weights_of(row):
        x = row[None]
        for i, (kind, layer) in enumerate(layers):
            if kind == "relu":
                x = F.relu(x)
            elif kind == "norm":
                x = F.batch_norm(x, layer["running_mean"], layer["running_var"], layer["weight"], layer["bias"])
            else:
                x = through(layer, x)
                if not with_norm and i + 1 < len(layers):
                    x = F.relu(x)
        return F.softmax(x[0] / temperature, -1) * scale[0]

    for prompt, completion in case.texts:
        tokens = prompt + completion
        begin = max(i for i in range(len(tokens)) if tokens[i : i + len(GATE)] == GATE)
        hidden = case.hidden(tokens)
        rewards = through(regression, hidden[before_first_pad(tokens)]).reshape(attributes, quantiles).mean(-1)
        score = lambda row: (weights_of(row) * (rewards @ transform)).sum()
        assert (score(hidden[begin]) - score(hidden[begin + 1])).abs() > 1e-2, "the gate's place must show"
        case.add(prompt, completion, [nine_digits(score(hidden[begin]))])
    case.write()


def network(generator, widths):
    """Linear layers, each with a bias, by their number."""
    return [linear(generator, out, inner) for inner, out in zip(widths, widths[1:])]


def binned(name, attributes, bins, architecture, in_files, **fields):
    """As LDL-Reward: networks with LeakyReLU for ratings, a softmax over bins each, and for the weights of them."""
    case = Case(name, "gemma2", architecture, pad_token_id=PAD, **fields)
    ratings = network(case.generator, [WIDTH, 7, 6, attributes * bins])
    gate = network(case.generator, [WIDTH, 5, 9, attributes])
    ratings[-1]["weight"] *= 4
    gate[-1]["weight"] *= 4
    parts = {"regression_layer": {}, "gating_layer": {}}
    for i, layer in enumerate(ratings):  # an activation behind each
        parts["regression_layer"].update(named(f"network.{2 * i}", layer))
    for i, layer in enumerate(gate):  # an activation and a dropout behind each
        parts["gating_layer"].update(named(f"network.{3 * i}", layer))
    for part, tensors in parts.items():
        if in_files:  # as the published class saves them
            torch.save(tensors, OUT / f"{name}.{part}.pt")
        else:
            case.tensors.update(named(part, tensors))

    def output(layers, x):
        for layer in layers[:-1]:
            x = F.leaky_relu(through(layer, x))
        return through(layers[-1], x)

    for prompt, completion in case.texts:
        tokens = prompt + completion
        row = case.hidden(tokens)[before_first_pad(tokens)]
        logits, weights = output(ratings, row), output(gate, row)
        raw = torch.cat([logits, weights])
        rewards = F.softmax(logits.reshape(attributes, bins), -1)
        if fields.get("softmax"):
            weights = F.softmax(weights / fields["temperature"], -1)
        values = torch.linspace(0, 1, bins)
        case.add(prompt, completion, [nine_digits((weights @ rewards * values).sum())], floats(raw))
        case.sequences[-1]["ratings"] = floats(rewards @ values)
        case.sequences[-1]["weights"] = floats(weights)
    case.write()


def beaver(name, score_type):
    sign = -1 if score_type == "cost" else 1
    case = one_output(name, "llama", "LlamaForScore", "score_head", True, sign=sign, score_type=score_type)
    case.tensors.update({"normalizer.mean": torch.tensor([0.75]), "normalizer.var": torch.tensor([4.0]),
                         "normalizer.count": torch.tensor([100])})  # fmt: skip
    case.write()


def language_model(name, backbone, tokens, reading=None, texts=None, positions=None, tied=False):
    """Logits of named tokens."""
    request = {"name": "token_logits" if positions else "answer_logits", "tokens": tokens}
    if reading:
        request["reading"] = reading
    architecture = "GPT2LMHeadModel" if backbone == "gpt2" else f"{CLASSES[backbone]}ForCausalLM"
    case = Case(name, backbone, architecture, request, texts, tie_word_embeddings=tied)
    table = case.base.get_input_embeddings().weight if tied else random_like(case.generator, VOCABULARY, WIDTH)
    if not tied:
        case.tensors = {"lm_head.weight": table}
    cap = case.document["config"].get("final_logit_softcapping")
    capped = lambda z: cap * torch.tanh(z / cap) if cap else z
    logits = lambda rows: capped(rows @ table[tokens].T)
    if architecture.startswith("Gemma2"):  # the class itself
        model = transformers.Gemma2ForCausalLM(config_of(backbone, tie_word_embeddings=tied)).float().eval()
        model.model.load_state_dict(case.base.state_dict())
        with torch.no_grad():
            model.get_output_embeddings().weight.copy_(table)
        for prompt, completion in case.texts:
            ids = prompt + completion
            whole = model(input_ids=torch.tensor([ids])).logits[0][:, tokens]
            torch.testing.assert_close(whole, logits(case.hidden(ids)), rtol=1e-5, atol=1e-6)
            assert (whole - case.hidden(ids) @ table[tokens].T).abs().max() > 0.1, "the cap must show"
    if positions:
        case.score_steps(positions, lambda rows: (F.softmax(logits(rows), -1)[:, 1], logits(rows)))
    else:
        one = lambda row: logits(row)[0] if len(tokens) == 1 else F.softmax(logits(row), -1)[1]
        case.score_each(last, lambda row: (one(row), logits(row)))
    case.write()


@torch.no_grad()
def write_all():
    OUT.mkdir(exist_ok=True)
    for backbone in SEEDS:
        if not wanted(backbone):
            continue
        prefix = "transformer." if backbone == "gpt2" else "model."
        weights = {prefix + key: value for key, value in base_of(backbone).state_dict().items()}
        save_file(weights, OUT / f"backbone_{backbone}.safetensors", metadata={"format": "pt"})

    stock("llama_score", "llama", "SequenceClassification", 1)
    stock("mistral_score", "mistral", "SequenceClassification", 1, pad_token_id=PAD)
    stock("qwen2_score", "qwen2", "SequenceClassification", 1, pad_token_id=PAD, eos_token_id=2)
    stock("qwen3_score", "qwen3", "SequenceClassification", 1, pad_token_id=PAD, eos_token_id=PAD)
    stock("gpt2_score", "gpt2", "SequenceClassification", 1, pad_token_id=PAD)
    stock("llama_two_labels", "llama", "SequenceClassification", names=["toxic", "fine"])
    stock("gpt2_two_labels", "gpt2", "SequenceClassification", 2)
    stock("mistral_three_labels", "mistral", "SequenceClassification", names=["bad", "so-so", "good"])
    stock("qwen2_ratings", "qwen2", "SequenceClassification", 4, problem_type="regression")
    stock("qwen2_token", "qwen2", "TokenClassification", 2, texts=STEPS)
    stock("llama_token", "llama", "TokenClassification", 3, texts=STEPS)
    stock("mistral_token", "mistral", "TokenClassification", 1, texts=STEPS)
    stock("qwen3_token", "qwen3", "TokenClassification", 2, texts=STEPS)
    stock("gpt2_token", "gpt2", "TokenClassification", 2, texts=STEPS)

    two_layers("qwen2_math_rm", "qwen2", "Qwen2ForRewardModel", "score", WIDTH, before_first_pad, pad_token_id=PAD)
    two_layers("llama_inf_orm", "llama", "INFORMForSequenceClassification", "score", WIDTH, before_first_pad,
               pad_token_id=PAD, num_labels=1)  # fmt: skip
    two_layers("llama_grm", "llama", "LlamaForCausalLM", "v_head.summary", 10)
    two_layers("llama_grm_short", "llama", "LlamaForCausalLM", "v_head", 6)
    one_output("mistral_grm", "mistral", "MistralForCausalLM", "v_head.summary", True).write()
    one_output("gpt2_trl", "gpt2", "GPT2LMHeadModel", "v_head.summary", True).write()
    one_output("mistral_ultra", "mistral", "MistralRewardModel", "regression_head", False).write()
    one_output("llama_starling", "llama", "LlamaForCausalLM", "v_head", False, before_first_pad,
               pad_token_id=PAD).write()  # fmt: skip
    one_output("llama_value_head", "llama", "LlamaForCausalLM", "value_head", True).write()
    beaver("llama_beaver_reward", "reward")
    beaver("llama_beaver_cost", "cost")
    process_reward_model()
    skywork_prm()
    gated("llama_armo", "LlamaForRewardModelWithGating", 1, False, seed=1)
    gated("llama_qrm", "LlamaForRewardModelWithGating31", 4, True, seed=1)
    binned("gemma2_ldl", 3, 10, "Gemma2Model", in_files=True)
    binned("gemma2_ldl_softmax", 2, 4, "Gemma2ForSequenceClassification", False, softmax=True, temperature=5.0)
    language_model("mistral_shepherd", "mistral", [17, 4], f"tag:{TAG}", STEPS, occurrences)
    language_model("qwen3_reranker", "qwen3", [11, 30], tied=True)
    language_model("llama_one_logit", "llama", [0])
    language_model("gpt2_yes_no", "gpt2", [11, 30], tied=True)
    language_model("gemma2_yes_no", "gemma2", [11, 30], tied=True)
    language_model("gemma2_shepherd", "gemma2", [17, 4], f"tag:{TAG}", STEPS, occurrences)
    before = lambda tokens, begin: [i - 1 for i in occurrences(tokens, begin)]
    language_model("llama_turns", "llama", [17, TAG], f"before_tag:{TAG}", STEPS, before)


@torch.no_grad()
def check(directory):
    """What the library wrote, in transformers. Its rows are the logits of the class."""
    failed = False
    for scores in sorted(pathlib.Path(directory).glob("*/scores.json")):
        config = json.loads((scores.parent / "config.json").read_text())
        model_class = getattr(transformers, config["architectures"][0], None)
        if model_class is None:
            print(scores.parent.name, config["architectures"][0], "is no class of transformers")
            continue
        model, report = model_class.from_pretrained(
            scores.parent, attn_implementation="eager", output_loading_info=True
        )
        model.eval()
        # Sequence classification has no bias: the library's scores are its by this constant more.
        bias = report["unexpected_keys"] == {"score.bias"} and "ForSequence" in type(model).__name__
        assert not report["missing_keys"] and (bias or not report["unexpected_keys"]), (scores.parent, report)
        constant = load_file(scores.parent / "model.safetensors")["score.bias"] if bias else 0
        document = json.loads(scores.read_text())
        ours, theirs = [], []
        for row in document["sequences"]:
            found = model(input_ids=torch.tensor([row["tokens"]])).logits[0]
            if "ForSequence" not in type(model).__name__:
                found = found[row["positions"]]
            if "tokens" in document:
                found = found[:, document["tokens"]]
            theirs.append((found + constant).flatten())
            ours.append(torch.tensor(row["rows"]))
        apart = relative_difference(torch.cat(ours), torch.cat(theirs))
        failed = failed or not apart < 1e-5
        print(scores.parent.name, type(model).__name__, f"differs by {apart:.1e}")
    if failed:
        sys.exit("the scores differ by more than 1e-5 of the largest")


def main():
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["check"]:
        return check(sys.argv[2])
    write_all()


if __name__ == "__main__":
    main()
