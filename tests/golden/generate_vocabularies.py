"""Writes tests/golden/vocabularies/: small vocabularies of every format that the library reads, trained on the text
below, and in expected.json what other implementations make of some strings with them.

    python -m venv build/vocabularies && build/vocabularies/bin/pip install sentencepiece tokenizers tiktoken gguf
    build/vocabularies/bin/python tests/golden/generate_vocabularies.py

The trainers of Unigram and WordPiece do not give the same twice, so all files are written anew together.
sentencepiece 0.2.3, tokenizers 0.23.3, tiktoken 0.14.0, gguf 0.19.0.
"""

import base64
import contextlib
import io
import json
import pathlib
import struct
import tempfile

import gguf
import sentencepiece
import tiktoken
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXT = """\
The miller weighs the flour and the baker weighs the bread; the better loaf is the one that both of them would keep.
A judge reads two answers and says which she would rather have had. Asked again tomorrow, she says the same thing.
When the river rises, the ferry waits. When the ferry waits, the travellers talk, and when they talk, prices rise.
Numbers such as 7, 42, 365 and 1024 are in this text so that digits are known: 0 1 2 3 4 5 6 8 9.
def weigh(loaf):\n    if loaf is None:\n        return 0\n    return loaf.grams / 1000
"Don't," said the baker, "I'll do it; we've enough, they're late, and he'd rather she'd go." It's what she'd said.
Größere Brötchen kosten mehr. Où est le café ? El niño comió piña. Быстрая река течёт к морю.
水は高い所から低い所へ流れる。今日はいい天気ですね。Happy 🙂 or sad 🙁?
<p>The <b>better</b> loaf <i>is</i> the <b>one</b> that <i>both</i> would keep.</p>
better butter, bitter batter, the weather, the feather, the father, rather, gather, together, whether, neither, other
answers answered answering answer; judges judged judging judge; waits waited waiting wait; weighs weighed weighing
"""

STRINGS = [
    "", " ", "   ", "a", " a", "a ", "  the  bread  ", "The baker weighs the bread.", "the the the", "thethethe",
    "Together, whether or not; the feather.", "answer answers answering", "\n", "\n\n\n", "a\nb", "a\r\n\tb", "\t",
    "def weigh(loaf):\n    return loaf.grams / 1000", "0123456789", "1024 365 7", "Don't we'll they'RE I'd",
    "Größere Brötchen", "cafe\u0301 café", "niño", "Быстрая река", "水は高い所から", "今日 は", "🙂🙁", "👩‍👩‍👧", "naïve façade", "ﬁsh",
    "①②", "\u00a0x\u2003y", "x" * 70, "ab" * 40, " " * 33, "=" * 20, "\x00\x01\x7f", "\u200b", "é̂", "ẞ ß", "İ",
    "▁", "▁▁the", "a▁b", "<mark>", "a<mark>b", "<mark><mark> <mark>", "it ends in <mark>", "<0x41>", "http://a.b/c?d=1&e=2",
    "...!!!???", "“quoted”", "مرحبا", "שלום", "हिन्दी", "한국어", "loaf/loaf_loaf-loaf", "ferryferry ferry",
]

HERE = pathlib.Path(__file__).resolve().parent / "vocabularies"


def train_sentencepiece(name, **options):
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines()), model_writer=written, hard_vocab_limit=False, minloglevel=2,
        num_threads=1, **options)
    data = written.getvalue()
    (HERE / f"{name}.model").write_bytes(data)
    model = sentencepiece.SentencePieceProcessor(model_proto=data)
    return model, [model.encode(s) for s in STRINGS]


def rules_file():
    """Writes into the present folder, so that the model, which keeps the path, says the name alone: a small character map: some ligatures, circled digits, wide spaces, and a letter with its mark."""
    rules = {"ﬁ": "fi", "①": "1", "②": "2", "\u00a0": " ", "\u2003": " ", "\t": " ", "\n": " ", "ẞ": "SS", "e\u0301": "é"}
    path = pathlib.Path("rules.tsv")
    hexes = lambda text: " ".join(f"{ord(c):X}" for c in text)
    path.write_text("".join(f"{hexes(a)}\t{hexes(b)}\n" for a, b in rules.items()))
    return str(path)


def llama2c(model):
    """The file that llama2.c's export would write, and its encoding: the best scored pair first, the leftmost of equals."""
    pieces = []
    for i in range(model.get_piece_size()):
        text = model.id_to_piece(i)
        text = {model.bos_id(): "\n<s>\n", model.eos_id(): "\n</s>\n"}.get(i, text).replace("▁", " ")
        pieces.append((text.encode(), model.get_score(i)))
    data = struct.pack("<i", max(len(p) for p, _ in pieces))
    data += b"".join(struct.pack("<fi", score, len(p)) + p for p, score in pieces)
    (HERE / "tok440.bin").write_bytes(data)
    index = {p: i for i, (p, _) in enumerate(pieces)}

    def encode(text):
        ids = [index[b" "]] if text else []
        for character in text:
            one = character.encode()
            ids += [index[one]] if one in index else [byte + 3 for byte in one]
        while True:
            best = None
            for i in range(len(ids) - 1):
                joined = index.get(pieces[ids[i]][0] + pieces[ids[i + 1]][0])
                if joined is not None and (best is None or pieces[joined][1] > best[0]):
                    best = (pieces[joined][1], i, joined)
            if best is None:
                return ids
            ids[best[1]:best[1] + 2] = [best[2]]

    return [encode(s) for s in STRINGS]


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=340, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
                                  show_progress=False)
    tokenizer.train_from_iterator(TEXT.splitlines(), trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    vocabulary, merges = trained["vocab"], [tuple(m) for m in trained["merges"]]
    vocabulary["<|endoftext|>"] = len(vocabulary)
    (HERE / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=True))
    (HERE / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8")
    gpt2 = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    gpt2.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    digits.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return vocabulary, merges, [gpt2.encode(s).ids for s in STRINGS], [digits.encode(s).ids for s in STRINGS]


def ranks(vocabulary):
    """The same pieces as tiktoken ranks; the order of ids is that of the merges."""
    keep = {c: b for b, c in zip(range(256), byte_characters())}
    by_bytes = {bytes(keep[c] for c in piece): i for piece, i in vocabulary.items() if piece != "<|endoftext|>"}
    lines = [f"{base64.b64encode(p).decode()} {i}\n" for p, i in sorted(by_bytes.items(), key=lambda item: item[1])]
    (HERE / "tiny.tiktoken").write_text("".join(lines))
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")
    encoding = tiktoken.Encoding("tiny", pat_str=pattern, mergeable_ranks=by_bytes,
                                 special_tokens={"<|endoftext|>": len(by_bytes)})
    return [encoding.encode(s) for s in STRINGS]


def byte_characters():
    result, following = [], 256
    for byte in range(256):
        printable = 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte
        result.append(chr(byte if printable else following))
        following += not printable
    return result


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(TEXT.splitlines(), trainers.WordPieceTrainer(
        vocab_size=260, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    vocabulary = tokenizer.get_vocab()
    pieces = sorted(vocabulary, key=vocabulary.get)
    (HERE / "vocab.txt").write_text("".join(p + "\n" for p in pieces), encoding="utf-8")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return pieces, [tokenizer.encode(s, add_special_tokens=False).ids for s in STRINGS]


def write_gguf(vocabulary, merges):
    writer = gguf.GGUFWriter(str(HERE / "vocabulary.gguf"), "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(sorted(vocabulary, key=vocabulary.get))
    writer.add_token_types([3 if p == "<|endoftext|>" else 1 for p in sorted(vocabulary, key=vocabulary.get)])
    writer.add_token_merges([f"{a} {b}" for a, b in merges])
    writer.add_bos_token_id(vocabulary["<|endoftext|>"])
    writer.add_eos_token_id(vocabulary["<|endoftext|>"])
    writer.add_add_bos_token(True)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def main():
    HERE.mkdir(exist_ok=True)
    expected = {"strings": STRINGS}
    plain = dict(normalization_rule_name="identity", remove_extra_whitespaces=False, byte_fallback=True,
                 character_coverage=0.985)
    bpe, expected["bpe"] = train_sentencepiece("bpe", model_type="bpe", vocab_size=440, **plain)
    _, expected["bpe_marks"] = train_sentencepiece(
        "bpe_marks", model_type="bpe", vocab_size=440, user_defined_symbols=["<mark>", "▁▁", "▁▁▁▁"],
        allow_whitespace_only_pieces=True, **plain)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        _, expected["unigram"] = train_sentencepiece(
            "unigram", model_type="unigram", vocab_size=220, user_defined_symbols=["<mark>"],
            control_symbols=["<c>"], normalization_rule_tsv=rules_file())
    _, expected["unigram_bytes"] = train_sentencepiece(
        "unigram_bytes", model_type="unigram", vocab_size=460, add_dummy_prefix=False, **plain)
    expected["llama2c"] = llama2c(bpe)
    vocabulary, merges, expected["gpt2"], expected["gguf"] = byte_level()
    expected["tiktoken"] = ranks(vocabulary)
    _, expected["wordpiece"] = wordpiece()
    write_gguf(vocabulary, merges)
    (HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=True, separators=(",", ":")) + "\n")


main()
