#!/usr/bin/env python3
"""Compares the library's reading of other vocabularies than tokenizer.json with the programs they come from. Run by
hand where these are at hand:

    c++ -std=c++20 -O2 -Iinclude tests/parity/save_text.cpp -o build/save_text -lpcre2-8 -lutf8proc
    c++ -std=c++20 -O2 -Iinclude tests/parity/tokenize_lines.cpp -o build/tokenize_lines -lpcre2-8 -lutf8proc
    python tests/parity/vocabularies.py build llama FOLDER      # llama.cpp's models/: ggml-vocab-*.gguf, .inp, .out
    python tests/parity/vocabularies.py build sentencepiece FILE.model …
    python tests/parity/vocabularies.py build same FOLDER …      # tokenizer.json against the other files beside it
    python tests/parity/vocabularies.py build transformers FOLDER|FILE.gguf …  # what is saved, as transformers loads it

`build` is the folder of the two programs. Needs tokenizers, and sentencepiece or transformers for those words."""

import json
import pathlib
import random
import subprocess
import sys
import tempfile

sys.path.pop(0)  # this folder, whose tokenizers.py is not the package
from tokenizers import Tokenizer

PROGRAMS = pathlib.Path(sys.argv[1])

SOME = [
    "", " ", "   ", "a", "  lead", "trail  ", "a  b   c", "\n", "\t\n x", "é", "e\u0301", "ﬁ ﬂ ①②", "ｶﾞｷﾞ", "한국어", "中文测试 test",
    "😀👍🏽 👨‍👩‍👧", "مرحبا بالعالم", "x" * 200, "word " * 40, "\u00a0nbsp\u2003em", "\u200bzwsp", "Ｈｅｌｌｏ", "\x01\x02ctl", "½ ¼", "ſ ẞ ß",
    "İstanbul", "«q» “q”", "...!!!???", "0123456789", "http://x.y/z?q=1&r=2", "def f(x):\n\treturn x  # ok\r\n", "CamelCaseHTTPServer",
    "don't DON'T we'll", "हिन्दी भाषा", "ไทย", "שלום עולם", "   \n\n  \n", "a\u0300\u0301\u0302b",
]


def strings(count=600):
    random.seed(1)
    words = [w for text in SOME for w in text.split() if w.isprintable()] + "the of and to in is it you that he".split()
    letters = "abcdefghijklmnop  \t\n.,!éüß日本中文😀👍ABC012'"
    made = [" ".join(random.choices(words, k=random.randint(1, 25))) for _ in range(count)]
    made += ["".join(random.choices(letters, k=random.randint(1, 60))) for _ in range(count)]
    return SOME + made


def save(path, folder):
    done = subprocess.run([PROGRAMS / "save_text", path, folder], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return pathlib.Path(folder)


def encoded(folder, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([PROGRAMS / "tokenize_lines", folder / "tokenizer.json"], input=text, capture_output=True,
                          text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [json.loads(line)["ids"] for line in done.stdout.splitlines()]


def report(name, lines, *columns):
    """Prints how many lines agree in all columns, and the first that do not."""
    wrong = [i for i in range(len(lines)) if any(column[i] != columns[0][i] for column in columns)]
    print(f"{name}: {len(lines) - len(wrong)} of {len(lines)} equal")
    for i in wrong[:3]:
        print("   ", repr(lines[i][:80]), *(column[i][:16] for column in columns), sep="\n        ")
    return not wrong


def llama(folder):
    good = True
    for file in sorted(pathlib.Path(folder).glob("ggml-vocab-*.gguf")):
        if not pathlib.Path(f"{file}.inp").exists():
            continue
        lines = pathlib.Path(f"{file}.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
        stored = [[int(i) for i in line.split()] for line in pathlib.Path(f"{file}.out").read_text().splitlines()]
        stored = (stored + [[]] * len(lines))[:len(lines)]
        with tempfile.TemporaryDirectory() as to:
            good &= report(file.stem, lines, stored, encoded(save(file, to), lines))
    return good


def sentencepiece(file):
    from sentencepiece import SentencePieceProcessor
    lines = strings()
    model = SentencePieceProcessor(model_file=file)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as to:
        (pathlib.Path(folder) / "tokenizer.model").write_bytes(pathlib.Path(file).read_bytes())
        saved = save(folder, to)
        theirs = Tokenizer.from_file(str(saved / "tokenizer.json"))
        return report(file, lines, model.encode(lines), encoded(saved, lines),
                      [theirs.encode(line, add_special_tokens=False).ids for line in lines])


def same(folder):
    lines = strings()
    folder = pathlib.Path(folder)
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.no_truncation()
    theirs.no_padding()
    with tempfile.TemporaryDirectory() as other, tempfile.TemporaryDirectory() as to:
        for file in folder.iterdir():
            if file.name != "tokenizer.json" and file.is_file() and file.suffix not in {".safetensors", ".bin", ".gguf"}:
                (pathlib.Path(other) / file.name).write_bytes(file.read_bytes())
        return report(folder, lines, [theirs.encode(line, add_special_tokens=False).ids for line in lines],
                      encoded(save(other, to), lines))


def transformers(path):
    from transformers import AutoTokenizer
    lines = strings()
    with tempfile.TemporaryDirectory() as to:
        saved = save(path, to)
        theirs = AutoTokenizer.from_pretrained(to)
        print(f"    {type(theirs).__name__}, begins {theirs.bos_token!r}, ends {theirs.eos_token!r}, around "
              f"{theirs('')['input_ids']}, template: {theirs.chat_template is not None}")
        return report(path, lines, [theirs.encode(line, add_special_tokens=False) for line in lines],
                      encoded(saved, lines))


good = [globals()[sys.argv[2]](path) for path in sys.argv[3:]]
sys.exit(not all(good))
