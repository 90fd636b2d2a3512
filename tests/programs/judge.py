"""merit_judge with a language model of random weights: it writes no verdicts, which is counted and never guessed at, and its
logits always give one; what is written trains; a run that was ended goes on.

Run by programs_test.py, in the folder that its own tests left.
"""
import json
import math
import os
import random
import shutil
import struct
import subprocess
import time

from helpers import ENVIRONMENT, SMALL, check, content, fails, program, run, succeeds, write_lines
from published import make_folder

HIDDEN, INNER, VOCABULARY = 16, 24, 420


def make_random(name, config, shapes):
    """A published folder whose weights are drawn."""
    make_folder(name)
    with open(os.path.join(name, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)
    write_drawn(os.path.join(name, "model.safetensors"), shapes)
    return name


def write_drawn(path, shapes):
    """Tensors that are drawn, as safetensors."""
    rng = random.Random(5)
    header, data = {}, b""
    for tensor, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        values = [rng.gauss(0, 0.4) + (1 if len(shape) == 1 else 0) for _ in range(count)]
        begin = len(data)
        data += struct.pack(f"<{count}f", *values)
        header[tensor] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def make_writer():
    """A Llama of one layer."""
    layer = "model.layers.0."
    return make_random(
        "random_writer",
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INNER,
         "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "vocab_size": VOCABULARY,
         "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True,
         "hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "torch_dtype": "float32", "eos_token_id": 1},
        {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,),
         layer + "input_layernorm.weight": (HIDDEN,), layer + "post_attention_layernorm.weight": (HIDDEN,),
         layer + "self_attn.q_proj.weight": (16, HIDDEN), layer + "self_attn.k_proj.weight": (8, HIDDEN),
         layer + "self_attn.v_proj.weight": (8, HIDDEN), layer + "self_attn.o_proj.weight": (HIDDEN, 16),
         layer + "mlp.gate_proj.weight": (INNER, HIDDEN), layer + "mlp.up_proj.weight": (INNER, HIDDEN),
         layer + "mlp.down_proj.weight": (HIDDEN, INNER)})


def make_short_writer():
    """A GPT-2 of one layer, which has no position beyond its last."""
    layer, inner = "transformer.h.0.", 4 * HIDDEN
    return make_random(
        "short_writer",
        {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": HIDDEN, "n_layer": 1, "n_head": 2, "n_positions": 300,
         "vocab_size": VOCABULARY, "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new", "eos_token_id": 1},
        {"transformer.wte.weight": (VOCABULARY, HIDDEN), "transformer.wpe.weight": (300, HIDDEN),
         "transformer.ln_f.weight": (HIDDEN,), "transformer.ln_f.bias": (HIDDEN,),
         layer + "ln_1.weight": (HIDDEN,), layer + "ln_1.bias": (HIDDEN,), layer + "ln_2.weight": (HIDDEN,), layer + "ln_2.bias": (HIDDEN,),
         layer + "attn.c_attn.weight": (HIDDEN, 3 * HIDDEN), layer + "attn.c_attn.bias": (3 * HIDDEN,),
         layer + "attn.c_proj.weight": (HIDDEN, HIDDEN), layer + "attn.c_proj.bias": (HIDDEN,),
         layer + "mlp.c_fc.weight": (HIDDEN, inner), layer + "mlp.c_fc.bias": (inner,),
         layer + "mlp.c_proj.weight": (inner, HIDDEN), layer + "mlp.c_proj.bias": (HIDDEN,)})


def pairs(count=6):
    return [{"prompt": f"question {i}", "chosen": f"right {i}", "rejected": f"a longer answer {i * i}", "source": "ours"}
            for i in range(count)]


def report_of(*arguments, stdin=None):
    return json.loads(succeeds("merit_judge", *arguments, "--json", stdin=stdin))


def test_words_without_a_verdict_are_counted_and_never_guessed_at():
    writer = make_writer()
    write_lines("to_judge.jsonl", pairs())
    result = run("merit_judge", "--model", writer, "to_judge.jsonl", "--max-new-tokens", 12, "--out", "judged.jsonl",
                 "--replies", "said.jsonl", "--json")
    check(result.returncode == 0, str(result))
    report = json.loads(result.stdout)
    check(report["replies"] == report["absent"] == 12 and report["parse_failures"]["value"] == 1, str(report))
    check(report["pairs"] == report["without_verdict"] == report["labelled"] == 6, str(report))
    check(report["agreement"]["value"] == 0 and report["flips"] is None and report["first_place"] is None, str(report))
    check(report["longer_wins"]["value"] == 0, str(report))
    check(content("judged.jsonl") == b"" and "0 records written to judged.jsonl, 6 not" in result.stderr, result.stderr)
    said = [json.loads(line) for line in content("said.jsonl").splitlines()]
    check(len(said) == 6 and all(reply["vote"] is None and reply["fault"] == "absent" for one in said for reply in one["replies"]),
          str(said))
    # The same replies where tokens are looked up.
    result = run("merit_judge", "--model", writer, "to_judge.jsonl", "--max-new-tokens", 12, "--lookup", 3,
                 "--replies", "looked_up.jsonl", "--json")
    check(result.returncode == 0 and json.loads(result.stdout) == report, str(result))
    check(content("looked_up.jsonl") == content("said.jsonl"), "other replies")
    check("tokens" in result.stderr and "were looked up, of" in result.stderr, result.stderr)
    text = succeeds("merit_judge", "--model", writer, "to_judge.jsonl", "--max-new-tokens", 3, "--samples", 2, "--temperature", 1)
    check("100.0% of 24 replies have no verdict" in text and "24 were cut by the limit" in text, text)
    # A reply that begins with a verdict has one, of which the model wrote nothing.
    with open("given.json", "w", encoding="utf-8") as file:
        json.dump({"messages": [{"role": "user", "content": "{question} {answer_a} {answer_b}"}], "reply": "[[A]]"}, file)
    report = report_of("--model", writer, "to_judge.jsonl", "--template", "given.json", "--max-new-tokens", 4, "--out", "ties.jsonl",
                       "--replies", "said.jsonl", "--overwrite")
    check(report["parse_failures"]["value"] == 0 and report["first_place"]["value"] == 1, str(report))
    check(report["flips"]["value"] == 1 and report["ties"] == 6 and report["agreement"]["value"] == 0.5, str(report))
    record = json.loads(content("ties.jsonl").splitlines()[0])
    check(record["votes"] == ["tie"] and record["response_a"] == "right 0" and record["source"] == "ours", str(record))
    replies = json.loads(content("said.jsonl").splitlines()[0])["replies"]
    check([reply["vote"] for reply in replies] == ["a", "b"], str(replies))
    check(all(reply["text"].startswith("[[A]]") for reply in replies), str(replies))


def test_logits_always_give_a_verdict_and_what_is_written_trains():
    writer = make_writer()
    write_lines("to_judge.jsonl", pairs(20))
    judge = ["--model", writer, "to_judge.jsonl", "--reading", "logits", "--overwrite"]
    report = report_of(*judge, "--out", "votes.jsonl")
    check(report["replies"] == 40 and report["parse_failures"]["value"] == 0, str(report))
    check(report["without_verdict"] == 0 and report["read_both"] == 20, str(report))
    check(0 <= report["agreement_of_logits"]["value"] <= 1, str(report))
    votes = [json.loads(line) for line in content("votes.jsonl").splitlines()]
    check(len(votes) == 20 and all(len(record["votes"]) == 1 for record in votes), str(votes))
    ties = sum(record["votes"] == ["tie"] for record in votes)
    check(ties == report["ties"] and report["flips"]["value"] == ties / 20, f"{ties} {report}")
    again = report_of(*judge, "--out", "votes.jsonl", "--threads", 1)
    check(again == report, "the same records have other verdicts")

    # Agreement with its own votes is whole: their label is the probability that it gave.
    own = report_of("--model", writer, "votes.jsonl", "--reading", "logits")
    check(own["agreement_of_logits"]["value"] == 1 and own["even_labels"] == 0, str(own))

    report_of(*judge, "--out", "preferences.jsonl", "--write", "preferences")
    preferences = [json.loads(line) for line in content("preferences.jsonl").splitlines()]
    for preference, vote in zip(preferences, votes):
        check(0.5 < preference["soft_label"] <= 1, str(preference))
        check((preference["chosen"] == vote["response_a"]) == (vote["probability_of_a"] > 0.5), f"{preference} {vote}")
    for kind, file in (("judge", "votes.jsonl"), ("preference", "preferences.jsonl")):
        result = json.loads(succeeds("merit_train", "--kind", kind, "--train", file, "--out", "of_judge_" + kind, *SMALL,
                                     "--epochs", 1, "--json"))
        check(result["train"]["records"] == len(votes) and result["train"]["all_tied"] == 0, str(result))


def test_verdicts_that_all_are_ties_train_by_their_probability_or_not_at_all():
    """What the place alone decides is a tie of votes; the logits' mean over both orders still tells the two apart."""
    record = {"prompt": "p", "response_a": "a", "response_b": "bb", "votes": ["tie"]}
    write_lines("tied_votes.jsonl", [dict(record, prompt=f"p{i}") for i in range(6)])
    train = ["merit_train", "--kind", "judge", *SMALL, "--epochs", 1, "--train"]
    fails(1, ["tied_votes.jsonl", "6 records that tie all completions", "expected at least one in which one is better"],
          *train, "tied_votes.jsonl", "--out", "of_ties")
    check(not os.path.exists("of_ties"), "a refused run left something behind")
    even = {"prompt": "p", "chosen": "a", "rejected": "bb", "soft_label": 0.5}
    write_lines("even_pairs.jsonl", [even, even])
    fails(1, ["even_pairs.jsonl", "2 records that tie"], "merit_train", "--train", "even_pairs.jsonl", "--out", "of_ties", *SMALL)
    soft = [dict(record, prompt=f"p{i}", probability_of_a=0.2 if i % 2 else 0.9) for i in range(6)]
    write_lines("soft_votes.jsonl", soft)
    result = json.loads(succeeds(*train, "soft_votes.jsonl", "--out", "of_soft_votes", "--json"))
    check(result["train"]["kept"] == 6 and result["train"]["all_tied"] == 0, str(result))
    # The same as preferences with these soft labels, to the byte.
    write_lines("soft_pairs.jsonl", [{"prompt": one["prompt"], "chosen": "bb" if i % 2 else "a", "rejected": "a" if i % 2 else "bb",
                                      "soft_label": 0.8 if i % 2 else 0.9} for i, one in enumerate(soft)])
    succeeds("merit_train", *SMALL, "--epochs", 1, "--train", "soft_pairs.jsonl", "--out", "of_soft_pairs")
    check(content("of_soft_votes/model.safetensors") == content("of_soft_pairs/model.safetensors"), "another soft label")
    write_lines("soft_votes.jsonl", [dict(record, probability_of_a=1.5)])
    fails(1, ["soft_votes.jsonl:1", "probability_of_a", "a probability of 0 to 1"], *train, "soft_votes.jsonl", "--out", "never")


def test_the_logits_are_those_of_the_words_behind_the_prompt():
    writer = make_writer()
    with open("plain.json", "w", encoding="utf-8") as file:
        json.dump({"messages": [{"role": "user", "content": "{question} {answer_a} {answer_b}"}]}, file)
    write_lines("to_judge.jsonl", pairs(1))
    report_of("--model", writer, "to_judge.jsonl", "--template", "plain.json", "--reading", "logits", "--out", "read.jsonl",
              "--replies", "read_replies.jsonl")
    record = json.loads(content("read.jsonl"))
    log_odds = [reply["log_odds"] for reply in json.loads(content("read_replies.jsonl"))["replies"]]
    for sign, shown, found in zip((1, -1), ("right 0 a longer answer 0", "a longer answer 0 right 0"), log_odds):
        conversation = {"messages": [{"role": "user", "content": "question 0 " + shown}], "add_generation_prompt": True}
        ids = json.loads(succeeds("merit_tokenize", "--model", writer, "--json", stdin=json.dumps(conversation) + "\n"))["ids"]
        score = float(succeeds("merit_score", "--model", writer, "--head", "answer_logits", "--head-tokens", "B,A",
                               stdin=json.dumps({"prompt_ids": ids[:-1], "completion_ids": ids[-1:]}) + "\n"))
        check(abs(score - sign * found) < 1e-4 and abs(score) > 1e-3, f"{score} {found}")
    mean = 1 / (1 + math.exp(-sum(log_odds) / 2))
    check(abs(record["probability_of_a"] - mean) < 1e-9, f"{record} {mean}")


def test_an_adapter_of_a_language_model_judges():
    writer = make_writer()
    os.makedirs("judge_adapter", exist_ok=True)
    with open("judge_adapter/adapter_config.json", "w", encoding="utf-8") as file:
        json.dump({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none",
                   "base_model_name_or_path": os.path.abspath(writer)}, file)
    module = "base_model.model.model.layers.0.self_attn.q_proj."
    write_drawn("judge_adapter/adapter_model.safetensors", {module + "lora_A.weight": (2, HIDDEN), module + "lora_B.weight": (16, 2)})
    write_lines("to_judge.jsonl", pairs(4))
    judge = ["to_judge.jsonl", "--reading", "logits", "--overwrite", "--out", "votes.jsonl", "--model"]
    said = []
    for arguments in ([writer], [writer, "--adapter", "judge_adapter"], [writer, "--adapter", "mine=judge_adapter"], ["judge_adapter"],
                      ["judge_adapter", "--base", writer]):
        report_of(*judge, *arguments)
        said.append([json.loads(line)["probability_of_a"] for line in content("votes.jsonl").splitlines()])
    check(said[0] != said[1] and said[1] == said[2] == said[3] == said[4], str(said))
    words = ["to_judge.jsonl", "--max-new-tokens", 8, "--overwrite", "--replies", "said.jsonl", "--model"]
    said = []
    for arguments in ([writer], [writer, "--adapter", "judge_adapter"], ["judge_adapter"]):
        report_of(*words, *arguments)
        said.append(content("said.jsonl"))
    check(said[0] != said[1] and said[1] == said[2], str(said))
    fails(2, ["adapter"], "merit_judge", *judge, "judge_adapter", "--adapter", "judge_adapter")
    fails(2, ["--out", "judge_adapter"], "merit_judge", "to_judge.jsonl", "--model", writer, "--adapter", "judge_adapter", "--out",
          "judge_adapter/votes.jsonl")


def test_a_reward_model_writes_nothing():
    write_lines("to_judge.jsonl", pairs(1))
    fails(2, ["of_judge_preference: found a reward model that merit trained, with the head scalar", "a language model"], "merit_judge",
          "--model", "of_judge_preference", "to_judge.jsonl")


def test_ratings_and_several_answers():
    writer = make_writer()
    with open("rate.json", "w", encoding="utf-8") as file:
        json.dump({"messages": [{"role": "user", "content": "{question}: {answer}"}], "words": ["Y", "N"]}, file)
    records = [{"prompt": f"q{i}", "completions": ["x", "yy", "zzz"], "ranks": [0, 1, 1]} for i in range(4)]
    write_lines("several.jsonl", records)
    rate = ["--model", writer, "several.jsonl", "--template", "rate.json"]
    report = report_of(*rate, "--reading", "logits", "--out", "rated.jsonl")
    check(report["replies"] == 12 and report["pairs"] == 12 and report["even_labels"] == 4 and report["flips"] is None, str(report))
    rated = [json.loads(line) for line in content("rated.jsonl").splitlines()]
    check(all(len(record["scores"]) == 3 and all(0 < p < 1 for p in record["scores"]) for record in rated), str(rated))
    succeeds("merit_train", "--kind", "ratings", "--train", "rated.jsonl", "--out", "of_judge_ratings", *SMALL, "--epochs", 1)
    report = report_of(*rate, "--max-new-tokens", 3)
    check(report["replies"] == report["absent"] == 12 and report["without_verdict"] == 12, str(report))
    # Compared two by two: the share of those who lose against an answer.
    report_of("--model", writer, "several.jsonl", "--reading", "logits", "--out", "won.jsonl")
    for line in content("won.jsonl").splitlines():
        check(abs(sum(json.loads(line)["scores"]) - 1.5) < 1e-9, str(line))
    # One answer alone becomes an outcome.
    line = json.dumps({"prompt": "q", "completion": "x"}) + "\n"
    report_of("--model", writer, "--template", "rate.json", "--reading", "logits", "--out", "outcome.jsonl", stdin=line)
    check(0 < json.loads(content("outcome.jsonl"))["label"] < 1, "a probability")


# ---- Going on, and how words are chosen ---


def write_given(reply, name="given.json"):
    """A template whose reply begins so: a model of random weights adds no verdict to it."""
    with open(name, "w", encoding="utf-8") as file:
        json.dump({"messages": [{"role": "user", "content": "{question} {answer_a} {answer_b}"}], "reply": reply}, file)
    return name


def test_a_run_that_was_ended_goes_on_and_no_record_is_judged_twice_or_lost():
    short = make_short_writer()
    records = pairs(12)
    records[4] = dict(records[4], chosen="".join(chr(97 + i * i % 26) + str(i) for i in range(600)))  # too long to be judged
    write_lines("to_resume.jsonl", records)
    for kind, options in (("words", ["--max-new-tokens", 6, "--batch-tokens", 200]), ("logits", ["--reading", "logits"])):
        judge = ["--model", short, "--template", write_given("[[A]]" if kind == "words" else "[["), "to_resume.jsonl", *options]
        whole = report_of(*judge, "--out", "whole.jsonl", "--replies", "whole_replies.jsonl", "--overwrite")
        check(whole["not_judged"] == 1, str(whole))
        said, votes = content("whole_replies.jsonl"), content("whole.jsonl")
        state = json.loads(content("whole_replies.jsonl.state"))
        check(state["records"] == 12 and state["output_bytes"] == len(said), str(state))
        for done, torn in ((0, 0), (1, 9), (5, 0), (11, 30), (12, 0)):
            # As a kill leaves it: the state of some records, the bytes of a few more, and none or half of the records.
            some = b"".join(line + b"\n" for line in said.splitlines()[:done])
            left = dict(state, records=done, output_bytes=len(some), output_hash=fnv1a(some))
            with open("whole_replies.jsonl.state", "w", encoding="utf-8") as file:
                json.dump(left, file)
            with open("whole_replies.jsonl", "wb") as file:
                file.write(said[:len(some) + torn])
            with open("whole.jsonl", "wb") as file:
                file.write(votes[:40 * done])
            again = run("merit_judge", *judge, "--out", "whole.jsonl", "--replies", "whole_replies.jsonl", "--resume", "--json")
            check(again.returncode == 0 and json.loads(again.stdout) == whole, f"{kind} {done}: {again}")
            check(f"going on behind record {done}" in again.stderr and ("cut off" in again.stderr) == (torn > 0), again.stderr)
            check(content("whole_replies.jsonl") == said and content("whole.jsonl") == votes, f"{kind} {done}")
    # A killed one: what it has is a beginning of the whole.
    judge = [program("merit_judge"), "--model", make_writer(), "to_resume.jsonl", "--max-new-tokens", "400", "--batch-tokens", "500"]
    files = ["--out", "killed.jsonl", "--replies", "killed_replies.jsonl"]
    process = subprocess.Popen([*judge, *files], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (os.path.exists("killed_replies.jsonl") and os.path.getsize("killed_replies.jsonl")):
        time.sleep(0.005)
    process.kill()
    process.wait()
    succeeds("merit_judge", *judge[1:], *files, "--resume")
    succeeds("merit_judge", *judge[1:], "--replies", "never_killed.jsonl")
    check(content("killed_replies.jsonl") == content("never_killed.jsonl"), "records lost or twice")


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def test_going_on_is_refused_with_other_records_model_or_options():
    writer = make_writer()
    write_lines("to_resume.jsonl", pairs(3))
    judge = ["merit_judge", "--model", writer, "to_resume.jsonl", "--reading", "logits"]
    go_on = ["--replies", "refused.jsonl", "--resume"]
    succeeds(*judge, *go_on)  # begins it
    before = content("refused.jsonl")
    fails(2, ["--resume", "without --replies"], *judge, "--resume", "--out", "x.jsonl")
    fails(2, ["--resume", "without FILE"], *judge[:3], *go_on, stdin="{}")
    fails(2, ["--resume and --overwrite"], *judge, *go_on, "--overwrite")
    fails(2, ["refused.jsonl, which is there already", "--resume goes on"], *judge, "--replies", "refused.jsonl")
    fails(2, ["refused.jsonl was made otherwise: file --template was not there"], *judge, *go_on, "--template", write_given("[["))
    fails(2, ["option --limit was 0, now it is 2"], *judge, *go_on, "--limit", 2)
    fails(2, ["option --out was not there, now it is mine.jsonl"], *judge, *go_on, "--out", "mine.jsonl")
    write_lines("mine.jsonl", [{"a": 1}])
    fails(2, ["--out is mine.jsonl, which is there already"], *judge, "--replies", "new.jsonl", "--resume", "--out", "mine.jsonl")
    fails(2, ["file model/model.safetensors"], *judge[:1], "--model", make_other_writer(), *judge[3:], *go_on)
    write_lines("to_resume.jsonl", pairs(4))
    fails(2, ["refused.jsonl was made otherwise: file FILE was"], *judge, *go_on)
    check(content("refused.jsonl") == before, "a refused run wrote")


def make_other_writer():
    make_writer()
    shutil.copytree("random_writer", "other_writer", dirs_exist_ok=True)
    with open("other_writer/model.safetensors", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x3e")
    return "other_writer"


def test_words_are_chosen_as_the_options_say():
    writer = make_writer()
    write_lines("to_judge.jsonl", pairs(2))
    judge = ["--model", writer, "to_judge.jsonl", "--max-new-tokens", 10, "--overwrite", "--replies", "chosen.jsonl"]

    def texts(*options):
        report_of(*judge, *options)
        return [reply["text"] for line in content("chosen.jsonl").splitlines() for reply in json.loads(line)["replies"]]

    greedy = texts()
    for narrow in (["--top-k", 1], ["--min-p", 1], ["--top-p", 1e-9]):
        check(texts("--temperature", 1, *narrow) == greedy, f"{narrow}: the likeliest alone is left")
    check(texts("--temperature", 1) != greedy and texts("--repetition-penalty", 5) != greedy, "the options do nothing")
    stop = greedy[0][1:3]
    check(texts("--stop", stop)[0] == greedy[0][:greedy[0].index(stop)], "it goes on behind a stop")
    # Any number of prompts at once: the same replies.
    for tokens in (1, 700, 100000):
        check(texts("--batch-tokens", tokens) == greedy, f"--batch-tokens {tokens}")
    drawn = texts("--temperature", 1, "--samples", 3, "--seed", 5)
    check(texts("--temperature", 1, "--samples", 3, "--seed", 5, "--batch-tokens", 1) == drawn, "replies depend on what else is judged")
    fails(2, ["--min-p is 2, expected 0 to 1"], "merit_judge", *judge, "--temperature", 1, "--min-p", 2)
    fails(2, ["--repetition-penalty is 0, expected a number above 0"], "merit_judge", *judge, "--repetition-penalty", 0)
    fails(2, ["--top-k", "--temperature of 0"], "merit_judge", *judge, "--top-k", 3)
    fails(2, ["--stop is empty"], "merit_judge", *judge, "--stop", "")
    fails(2, ["--batch-tokens is 0"], "merit_judge", *judge, "--batch-tokens", 0)
    fails(2, ["--min-p", "nothing is written"], "merit_judge", *judge[:3], "--reading", "logits", "--min-p", 0.1)


def test_a_judge_refuses_what_it_cannot_judge():
    writer = make_writer()
    write_lines("to_judge.jsonl", pairs(2))
    judge = ["merit_judge", "--model", writer, "to_judge.jsonl"]
    fails(2, ["--model is missing"], "merit_judge", "to_judge.jsonl")
    fails(2, ["\"none\"", "pairwise, rating, reference or a file"], *judge, "--template", "none")
    fails(2, ["--samples", "--temperature"], *judge, "--samples", 3)
    fails(2, ["--temperature", "nothing is written"], *judge, "--reading", "logits", "--temperature", 1)
    fails(2, ["--lookup", "nothing is written"], *judge, "--reading", "logits", "--lookup", 1)
    fails(2, ["--reading", "words, logits"], *judge, "--reading", "guess")
    fails(2, ["--write", "--out"], *judge, "--write", "votes")
    for other in ("same.jsonl", "./same.jsonl", os.path.abspath("same.jsonl")):
        fails(2, ["same.jsonl", "two files"], *judge, "--out", "same.jsonl", "--replies", other)
    fails(2, ["--samples", "at most 65536"], *judge, "--samples", 2**64 - 1, "--temperature", 1)
    for option in ("--seed", "--top-p"):
        fails(2, [option, "--temperature"], *judge, option, 1)
    fails(2, ["--temperature is inf"], *judge, "--temperature", "inf")
    fails(2, ["--top-p is nan"], *judge, "--temperature", 1, "--top-p", "nan")
    os.makedirs("own_tokenizer", exist_ok=True)
    fails(2, ["--out", "own_tokenizer"], *judge, "--tokenizer", "own_tokenizer", "--out", "own_tokenizer/tokenizer.json")
    fails(2, ["--reading logits", '"yes" and "no", the words of the template rating'], *judge, "--reading", "logits", "--template", "rating")
    fails(2, ["--write", "votes, preferences, scores"], *judge, "--out", "new.jsonl", "--write", "labels")
    fails(2, ["--out", "to_judge.jsonl"], *judge, "--out", "to_judge.jsonl")
    write_lines("there.jsonl", [{"a": 1}])
    fails(2, ["there.jsonl", "--overwrite"], *judge, "--out", "there.jsonl")
    fails(1, ["to_judge.jsonl:1", "reference"], *judge, "--template", "reference")
    fails(1, ["standard input:1", "one answer"], "merit_judge", "--model", writer, stdin='{"prompt": "q", "completion": "x"}\n')
    fails(1, ["standard input:1", "token ids"], "merit_judge", "--model", writer,
          stdin='{"prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [3]}\n')
    # A prompt that is too long is counted as what has no verdict.
    short = make_short_writer()
    long_record = {"prompt": "q", "chosen": "".join(chr(97 + i * i % 26) + str(i) for i in range(600)), "rejected": "y"}
    result = run("merit_judge", "--model", short, "--reading", "logits", "--json", "--template", "given_short.txt",
                 stdin=json.dumps(long_record) + "\n")
    check(result.returncode == 2 and "given_short.txt" in result.stderr, result.stderr)
    with open("given_short.txt", "w", encoding="utf-8") as file:
        file.write("{question} {answer_a} {answer_b}")
    lines = "".join(json.dumps(record) + "\n" for record in [long_record, *pairs(1)])
    result = run("merit_judge", "--model", short, "--reading", "logits", "--json", "--template", "given_short.txt", stdin=lines)
    report = json.loads(result.stdout)
    check("tokens, expected at most 300" in result.stderr and report["not_judged"] == 1, result.stderr)
    check(report["pairs"] == 2 and report["without_verdict"] == 1 and report["replies"] == 2, str(report))
    # A reply of as many tokens as no number holds beside those of the prompt is too long.
    result = run("merit_judge", "--model", short, "--template", "given_short.txt", "--max-new-tokens", 2**64 - 1,
                 stdin=json.dumps(pairs(1)[0]) + "\n")
    check(f"its reply {2**64 - 1}, expected at most 300" in result.stderr, str(result))
