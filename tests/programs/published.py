"""What merit_tokenize shows of a published folder: the text that transformers' template gives, its tokens and their places.

Run by programs_test.py, in the folder that its own tests left.
"""
import json
import os
import pathlib

from helpers import check, fails, run, succeeds

TOKENIZERS = pathlib.Path(__file__).resolve().parents[1] / "golden" / "tokenizers"
# As published ones do: it fails on a content that is no text, and has no place for a name.
CHATML = ("{% for message in messages %}<|{{ message.role }}|>{{ message.content + '\\n' }}{% endfor %}"
          "{% if add_generation_prompt %}<|assistant|>{% endif %}")


def make_folder(name):
    os.makedirs(name, exist_ok=True)
    with open(TOKENIZERS / "byte_level.json", encoding="utf-8") as file:
        tokenizer = json.load(file)["base"]
    for path, text in [("tokenizer.json", json.dumps(tokenizer)), ("chat_template.jinja", CHATML)]:
        with open(os.path.join(name, path), "w", encoding="utf-8") as file:
            file.write(text)
    return name


def test_a_published_folder_shows_what_it_reads():
    folder = make_folder("published")
    lines = [json.dumps(line) for line in [
        "Hi  there", {"messages": [{"role": "user", "content": "Hé"}], "add_generation_prompt": True}]]
    plain = succeeds("merit_tokenize", "--model", folder, stdin="\n".join(lines) + "\n").splitlines()
    shown = [json.loads(line) for line in succeeds("merit_tokenize", "--model", folder, "--json",
                                                   stdin="\n".join(lines) + "\n").splitlines()]
    check([entry["text"] for entry in shown] == ["Hi  there", "<|user|>Hé\n<|assistant|>"], str(shown))
    for entry, line in zip(shown, plain):
        check([str(id) for id in entry["ids"]] == line.split(" "), f"{entry} {line}")
        check(len(entry["ids"]) == len(entry["pieces"]) == len(entry["offsets"]) > 0, str(entry))
        check(entry["offsets"][0][0] == 0 and entry["offsets"][-1][1] == len(entry["text"]), str(entry))


def test_a_template_does_as_in_transformers_and_what_it_leaves_out_is_said():
    folder = make_folder("published")
    named = {"messages": [{"role": "user", "content": "Hi", "name": "Ann"}]}
    result = run("merit_tokenize", "--model", folder, "--json", stdin=json.dumps(named) + "\n")
    check(result.returncode == 0 and json.loads(result.stdout)["text"] == "<|user|>Hi\n", str(result))
    check("messages[0].name" in result.stderr and "standard input:1" in result.stderr, result.stderr)
    # A record that is scored or trained on may be given in the form that the template can write; this is not one.
    for content in [None, [{"type": "text", "text": "Hi"}]]:
        fails(1, ["standard input:1", "chat template"], "merit_tokenize", "--model", folder,
              stdin=json.dumps({"messages": [{"role": "user", "content": content}]}) + "\n")
