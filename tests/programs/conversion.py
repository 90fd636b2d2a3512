"""Models in other formats and types, made by merit_convert and read by the others.

Run by programs_test.py, in the folder that its own tests left.
"""
import json
import os
import pathlib
import signal
import subprocess

from helpers import ENVIRONMENT, check, content, fails, program, run, succeeds


def scores(model, *options):
    lines = succeeds("merit_score", "--model", model, *options, "eval.jsonl").splitlines()
    return [float(score) for line in lines for score in line.split("\t")]


def tensors(*path):
    """The type, the shape and the bytes of each, in whatever order they lie."""
    data = content(*path)
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    header.pop("__metadata__", None)
    return {name: (one["dtype"], one["shape"], data[begin + one["data_offsets"][0]:begin + one["data_offsets"][1]])
            for name, one in header.items()}


def close(found, expected, tolerance):
    width = max(map(abs, expected))
    return len(found) == len(expected) and all(abs(a - b) <= tolerance * width for a, b in zip(found, expected))


def test_a_model_becomes_a_gguf_file_and_a_folder_again():
    said = succeeds("merit_convert", "model", "model.gguf")
    check(said.startswith("model.gguf: ") and said.endswith(" tensors\n"), said)
    check(scores("model.gguf") == scores("model"), "the GGUF file scores otherwise")
    succeeds("merit_convert", "model.gguf", "model_again")
    check(sorted(os.listdir("model_again")) == sorted(os.listdir("model")), str(os.listdir("model_again")))
    for name in os.listdir("model"):
        read = tensors if name.endswith(".safetensors") else content
        check(read("model", name) == read("model_again", name), f"{name}: other bytes")
    # Narrower, also in one step, and by a name in capitals.
    succeeds("merit_convert", "model", "half.GGUF", "--type", "f16")
    check(os.path.isfile("half.GGUF"), "a name that ends in .GGUF became a folder")
    check(close(scores("half.GGUF"), scores("model"), 0.01), "f16 scores otherwise")
    succeeds("merit_convert", "half.GGUF", "half")
    check(os.path.getsize("half/model.safetensors") > os.path.getsize("half.GGUF") / 2, "the folder is not whole")
    check(close(scores("half"), scores("half.GGUF"), 1e-5), "the folder made of f16 scores otherwise")


def test_blocks_of_a_type_that_the_rows_allow():
    wide = ["--train", "train.jsonl", "--backbone", "llama", "--hidden-size", "32", "--layers", "1", "--heads", "2",
            "--intermediate-size", "48", "--max-steps", "2"]
    succeeds("merit_train", *wide, "--out", "wide")
    result = run("merit_convert", "wide", "wide.gguf", "--type", "q8_0")
    check(result.returncode == 0 and "1 matrices keep their type" in result.stderr, str(result))
    check(close(scores("wide.gguf"), scores("wide"), 0.1), "q8_0 scores otherwise")
    check(b"blk.0.ffn_down.weight" in content("wide.gguf"), "a tensor is not called as llama.cpp calls it")


def test_an_adapter_becomes_one_model_with_its_base():
    # "lora" is what adapters.py left.
    succeeds("merit_convert", "lora", "merged", "--merge")
    succeeds("merit_convert", "lora", "merged.gguf", "--merge", "--base", "model")
    for place in ("merged", "merged.gguf"):
        check(close(scores(place), scores("lora"), 1e-4), f"{place} scores otherwise than the adapter")
    check(not os.path.exists("merged/adapter_config.json"), "a merged adapter is still one")
    check("adapter" not in json.loads(content("merged", "merit.json")), "the card still speaks of an adapter")


def test_a_roberta_scores_the_same_as_the_bert_in_a_gguf_file():
    folder = pathlib.Path(__file__).resolve().parents[1] / "golden" / "roberta"
    records = "".join(json.dumps({"completion_ids": ids}) + "\n" for ids in ([5, 9, 3], [2, 7, 8, 40, 63]))
    expected = succeeds("merit_score", "--model", folder, "--tokenizer", "ids:64", stdin=records)
    succeeds("merit_convert", folder, "roberta.gguf")
    succeeds("merit_convert", "roberta.gguf", "roberta_as_bert")
    for place in ("roberta.gguf", "roberta_as_bert"):
        found = succeeds("merit_score", "--model", place, "--tokenizer", "ids:64", stdin=records)
        check(close([float(one) for one in found.split()], [float(one) for one in expected.split()], 1e-5), f"{found} {expected}")


def test_what_cannot_be_converted_is_said_and_leaves_nothing():
    fails(2, ["holds an adapter", "--merge"], "merit_convert", "lora", "none")
    fails(2, ["holds no adapter"], "merit_convert", "model", "none", "--merge")
    fails(2, ["--base is given without --merge"], "merit_convert", "model", "none", "--base", "model")
    fails(2, ["--type: found Q9_9, expected one of"], "merit_convert", "model", "none.gguf", "--type", "q9_9")
    fails(2, ["Q8_0 is not written to safetensors"], "merit_convert", "model", "none", "--type", "q8_0")
    fails(1, ["is there already"], "merit_convert", "model", "model.gguf")
    whole = content("model.gguf")
    for number, damaged in enumerate((whole[:200], whole[:-40], b"GGUF" + b"\xff" * 60, b"")):
        with open("damaged.gguf", "wb") as file:
            file.write(damaged)
        fails(1, ["damaged.gguf: "], "merit_convert", "damaged.gguf", "none")
        fails(1, ["damaged.gguf: "], "merit_score", "--model", "damaged.gguf", "eval.jsonl")
    # Of a file that says another number of layers than it has tensors of.
    at = whole.index(b"llama.block_count") + len(b"llama.block_count") + 4
    with open("damaged.gguf", "wb") as file:
        file.write(whole[:at] + b"\2" + whole[at + 1:])
    fails(1, ["damaged.gguf: ", "layers"], "merit_convert", "damaged.gguf", "none")
    check(not os.path.exists("none") and not os.path.exists("none.gguf"), "something was written")


def test_what_a_killed_converter_left_is_removed_by_the_next():
    for to in ("unfinished.gguf", "unfinished"):
        # Its temporary, as a process that is gone leaves it: nobody holds its lock.
        left = f"{to}.tmp-999999-0"
        if to.endswith(".gguf"):
            with open(left, "wb") as file:
                file.write(b"GGUF")
        else:
            os.mkdir(left)
        succeeds("merit_convert", "model", to)
        check(not os.path.exists(left), f"{left} is still there")
    # A signal ends it at once, and what it was writing has not got its name.
    child = subprocess.Popen([program("merit_convert"), "model", "ended.gguf"], env=ENVIRONMENT, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    child.send_signal(signal.SIGTERM)
    if child.wait() != 0:
        check(not os.path.exists("ended.gguf"), "half a file has the name of a whole one")
        succeeds("merit_convert", "model", "ended.gguf")
    check(content("ended.gguf") == content("model.gguf"), "the file is another")
    check(not [name for name in os.listdir(".") if ".tmp-" in name], str(os.listdir(".")))


def test_a_gguf_file_without_a_vocabulary_takes_the_tokenizer_that_is_named():
    bare = content("model.gguf").replace(b"tokenizer.", b"tokenizes.").replace(b"merit.file.merit.json", b"merit.fold.merit.json")
    with open("bare.gguf", "wb") as file:
        file.write(bare)
    ids = json.dumps({"prompt_ids": [1, 2], "completion_ids": [3, 4]}) + "\n"
    found = float(succeeds("merit_score", "--model", "bare.gguf", "--tokenizer", "ids:64", stdin=ids))
    check(abs(found) < 1e6, str(found))
    fails(2, ["bare.gguf: ", "--tokenizer"], "merit_score", "--model", "bare.gguf", stdin=ids)
