#!/usr/bin/env python3
"""Writes tokenizers/: small tokenizers trained here on text of our own, in many combinations of their parts, and what
Hugging Face's `tokenizers` makes of some strings with them; and, of the tokenizers of the shared data, ids alone.

    python3 -m venv golden-env
    golden-env/bin/pip install tokenizers==0.23.3 transformers sentencepiece
    golden-env/bin/python tests/golden/generate_tokenizers.py [SHARED]   # SHARED: the folder of shared data
"""
import base64
import json
import os
import pathlib
import sys
import tempfile

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Regex
from transformers import PreTrainedTokenizerFast

ROOT = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT.parent / "parity"))
sys.path = [folder for folder in sys.path if not os.path.exists(os.path.join(folder or ".", "hostile_strings.py"))] + [
    str(ROOT.parent / "parity")]
from hostile_strings import WORDS, strings  # noqa: E402

OUT = ROOT / "tokenizers"
CORPUS = [" ".join(WORDS[i % len(WORDS):] + WORDS[: i * 7 % len(WORDS)]) for i in range(0, 200, 3)] + [
    "the reader compares the answers, and the better answer gets the higher score", "Der Käse ist gut; die Tür ist zu."] * 5
TEXTS = [
    "", " ", "Hello, world!", "  two  spaces ", "a\tb\nc\r\n\r\nd", "don't SHOUT, it's 3.14% of 1,000,000", "na\u00efve cafe\u0301 \u212b \ufb01ne",
    "\u4f60\u597d\u4e16\u754c\u3002\u3053\u3093\u306b\u3061\u306f", "\ud55c\uae00 \u1112\u1161\u11ab", "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627", "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
    "x<mask>y <mask> z", "<s>begin</s>  end", "[CLS] Word [SEP]word", "a\u0323\u0302b\u0302\u0323 q\u0307\u0323", "\u00a0\u2003\u3000wide\u200bzero",
    "\x00\x01\x7f\u0085\ufeff\ufffd", "the reward model scores", "thethethe", "a_b __init__ x->y", "\ue000\u0378\U0010ffff", "\u0130stanbul STRASSE \u1e9e",
    "2026-11-28 \u00bd\u00b2\u2460\u0664", "\u2581meta\u2581space \u0120g ##x", "<0x41>\u00e9\u20ac", "----dash--", "\u0958\u0b48 \u1e69\u0307", "\uff21\uff22\uff23 \u2126 \u210c"]


def expected(description, texts):
    tokenizer = Tokenizer.from_str(json.dumps(description))
    tokenizer.no_truncation()
    result = []
    for text in texts:
        bare = tokenizer.encode(text, add_special_tokens=False)
        whole = tokenizer.encode(text, add_special_tokens=True)
        result.append({"ids": bare.ids, "offsets": [end for pair in bare.offsets for end in pair], "all": len(whole.ids),
                       "text": tokenizer.decode(bare.ids, skip_special_tokens=False),
                       "plain": tokenizer.decode(bare.ids, skip_special_tokens=True)})
    return result


def write(name, base, variants, texts):
    """`variants`: names and the fields that they change in the description `base`."""
    cases = [{"name": kind, "changes": changes, "expected": expected({**base, **changes}, texts)} for kind, changes in variants]
    with open(OUT / f"{name}.json", "w", encoding="utf-8") as file:
        file.write('{\n"base": ' + json.dumps(base) + ',\n"texts": ' + json.dumps(texts) + ',\n"cases": [\n')
        file.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n}\n")


def part(component):
    return json.loads(component.__getstate__().decode() if isinstance(component.__getstate__(), bytes) else component.__getstate__())


def describe(tokenizer):
    return json.loads(tokenizer.to_str())


SPECIAL = [AddedToken("<s>", special=True), AddedToken("</s>", special=True), AddedToken("<mask>", special=True, lstrip=True),
           AddedToken("<unk>", special=True)]


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, show_progress=False, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(CORPUS, trainer)
    base = describe(tokenizer)
    roberta = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True, add_prefix_space=True)
    digits = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    rules = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(digits), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)])
    template = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing("<s> $A </s> </s>", special_tokens=[("<s>", 0), ("</s>", 1)])])
    whole = {**base["model"], "ignore_merges": True, "merges": [" ".join(pair) for pair in base["model"]["merges"][::2] if pair][:0]}
    flags = [dict(token) for token in base["added_tokens"]]
    flags[0] |= {"single_word": True}
    flags[1] |= {"rstrip": True, "special": False}
    flags += [{"id": len(base["model"]["vocab"]), "content": "Word", "single_word": True, "lstrip": True, "rstrip": True, "normalized": True, "special": False},
              {"id": len(base["model"]["vocab"]) + 1, "content": "the", "single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False}]
    write("byte_level", base, [
        ("as trained", {}),
        ("prefix space, RoBERTa", {"pre_tokenizer": part(pre_tokenizers.ByteLevel(True)), "post_processor": part(roberta)}),
        ("split rule, NFC, template", {"normalizer": part(normalizers.NFC()), "pre_tokenizer": part(rules), "post_processor": part(template)}),
        ("whole words only, no merges", {"model": whole}),
        ("merges as text", {"model": {**base["model"], "merges": [" ".join(pair) for pair in base["model"]["merges"]]}}),
        ("flags of added tokens", {"added_tokens": flags, "normalizer": part(normalizers.Lowercase())}),
        ("no pre-tokenizer, byte-level normaliser", {"normalizer": part(normalizers.ByteLevel()), "pre_tokenizer": None, "post_processor": None}),
    ], TEXTS)

    alphabet = {**base, "model": {**base["model"], "merges": [], "vocab": {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}},
                "added_tokens": [], "post_processor": None, "pre_tokenizer": part(pre_tokenizers.ByteLevel(False, use_regex=False))}
    few = [TEXTS[i] for i in (2, 3, 4, 6, 8, 9, 14, 15, 16, 21, 22, 25, 26, 27)]
    n = normalizers
    write("normalizers", alphabet, [(json.dumps(part(one))[:60], {"normalizer": part(one)}) for one in (
        n.NFC(), n.NFD(), n.NFKC(), n.NFKD(), n.Lowercase(), n.StripAccents(), n.Strip(), n.Strip(left=False), n.Nmt(), n.Prepend("\u2581x"),
        n.Replace("--", "\u2014"), n.Replace(Regex(r"\s+"), " "), n.Replace(Regex(r"(?i)o|l*"), ""), n.BertNormalizer(), n.BertNormalizer(False, False, False, True),
        n.BertNormalizer(True, True, True, False), n.Sequence([n.NFD(), n.StripAccents(), n.Lowercase(), n.Replace("e", "3"), n.NFC(), n.Strip()]))], few)

    p = pre_tokenizers
    words = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None,
             "decoder": None, "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "the": 1, "-": 2, " ": 3, "\u2581": 4, "world": 5, "1": 6}, "unk_token": "[UNK]"}}
    splits = [p.Split("-", b) for b in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")]
    splits += [p.Split(Regex(r"\w+"), b, invert=True) for b in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")]
    splits += [p.Split(Regex(r""), "isolated"), p.Split(Regex(r"^.|$"), "isolated"), p.Split(Regex(r"\S*"), "merged_with_next"), p.Digits(True), p.Digits(False), p.Punctuation("isolated"),
               p.Punctuation("contiguous"), p.Whitespace(), p.WhitespaceSplit(), p.BertPreTokenizer(), p.CharDelimiterSplit("e"), p.FixedLength(3),
               p.Metaspace(), p.Metaspace(prepend_scheme="first"), p.Metaspace("_", "never", False), p.Sequence([p.WhitespaceSplit(), p.Metaspace(prepend_scheme="first")]),
               p.Sequence([p.Whitespace(), p.Punctuation("removed"), p.Digits(True)]), p.Sequence([p.ByteLevel(True), p.Split("\u0120", "merged_with_previous")])]
    write("splits", words, [("no cut", {})] + [(json.dumps(part(one))[:60] + str(i), {"pre_tokenizer": part(one)}) for i, one in enumerate(splits)], TEXTS)


def byte_fallback():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")  # for training alone
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=600, show_progress=False, special_tokens=SPECIAL + bytes_, limit_alphabet=60)
    tokenizer.train_from_iterator(CORPUS, trainer)
    base = describe(tokenizer)
    base["pre_tokenizer"] = None
    base["added_tokens"] = [token for token in base["added_tokens"] if not token["content"].startswith("<0x")]
    crossing = dict(base["model"], vocab=dict(base["model"]["vocab"]), merges=list(base["model"]["merges"]))
    crossing["vocab"]["e\u2581"] = len(crossing["vocab"])
    crossing["merges"].insert(0, ["e", "\u2581"])
    no_fallback = {**base["model"], "byte_fallback": False}
    write("byte_fallback", base, [
        ("as trained", {}),
        ("a merge over spaces", {"model": crossing}),
        ("unknown, fused", {"model": no_fallback}),
        ("unknown, not fused", {"model": {**no_fallback, "fuse_unk": False}}),
        ("no unknown", {"model": {**no_fallback, "unk_token": None}}),
        ("metaspace", {"normalizer": None, "pre_tokenizer": part(pre_tokenizers.Metaspace(prepend_scheme="first", split=False)), "decoder": part(decoders.Metaspace(prepend_scheme="first"))}),
    ], TEXTS)


def subwords():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    tokenizer.post_processor = processors.BertProcessing(("</s>", 1), ("<s>", 0))
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, show_progress=False, special_tokens=SPECIAL, end_of_word_suffix="</w>", limit_alphabet=80))
    write("suffix", describe(tokenizer), [("as trained", {})], TEXTS)

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="@@"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece("@@", cleanup=False)
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, show_progress=False, special_tokens=SPECIAL, continuing_subword_prefix="@@", limit_alphabet=80))
    write("prefix", describe(tokenizer), [("as trained", {})], TEXTS)

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=12))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=400, show_progress=False, special_tokens=["[UNK]", "[CLS]", "[SEP]"], limit_alphabet=120))
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    write("word_piece", describe(tokenizer), [("as trained", {})], TEXTS)


def unigram():
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    with tempfile.TemporaryDirectory() as folder:
        corpus, rules = pathlib.Path(folder, "corpus.txt"), pathlib.Path(folder, "rules.tsv")
        corpus.write_text("\n".join(CORPUS), encoding="utf-8")
        pairs = [("\uff21", "A"), ("\ufb01", "fi"), ("\u212b", "\u00c5"), ("e\u0301", "\u00e9"), ("\u00a0", " "), ("\t", " "), ("\x01", ""), ("\u200b", ""), ("\u2460", "(1)"), ("\u3002", ".")]
        rules.write_text("".join(f"{' '.join(f'{ord(c):X}' for c in a)}\t{' '.join(f'{ord(c):X}' for c in b)}\n" for a, b in pairs), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(input=str(corpus), model_prefix=folder + "/m", vocab_size=250, model_type="unigram", character_coverage=0.98,
                                                 normalization_rule_tsv=str(rules), minloglevel=2, num_threads=1)
        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(pathlib.Path(folder, "m.model").read_bytes())
    charsmap = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()
    pieces = [[piece.piece, round(piece.score, 4)] for piece in proto.pieces]
    fallback = pieces + [[f"<0x{byte:02X}>", -20.0] for byte in range(256)]
    base = {"version": "1.0", "truncation": {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}, "padding": None,
            "added_tokens": [{"id": i, "content": c, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for i, c in ((0, "<unk>"), (1, "<s>"), (2, "</s>"))],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": charsmap}, {"type": "Strip", "strip_left": False, "strip_right": True}, part(normalizers.Replace(Regex(" {2,}"), "\u2581"))]},
            "pre_tokenizer": part(pre_tokenizers.Metaspace()), "post_processor": None, "decoder": part(decoders.Metaspace()),
            "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": False}}
    write("unigram", base, [
        ("as trained", {}),
        ("one piece of text", {"pre_tokenizer": part(pre_tokenizers.Metaspace(split=False, prepend_scheme="first"))}),
        ("byte fallback", {"model": {**base["model"], "vocab": fallback, "byte_fallback": True}, "decoder": part(decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()]))}),
    ], TEXTS)


def shared_ids(folder):
    result = {}
    for name in ("gpt2", "minimind", "qwen3"):
        if name == "gpt2":
            lines = (folder / "tokenizers/gpt2/vocab.bpe").read_text(encoding="utf-8").split("\n")[1:]
            tokenizer = Tokenizer(models.BPE(json.loads((folder / "tokenizers/gpt2/encoder.json").read_text()), [tuple(line.split(" ")) for line in lines if line]))
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.add_special_tokens(["<|endoftext|>"])
        else:
            tokenizer = Tokenizer.from_file(str(folder / f"tokenizers/{name}/tokenizer.json"))
        texts = [text[:100] for text in strings(11, 150, ["<|endoftext|>", "<|im_start|>"], long_ones=False)]
        result["texts"] = texts
        result[name] = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    with open(OUT / "shared_ids.json", "w", encoding="utf-8") as file:
        file.write("{\n" + ",\n".join(f'"{key}": [\n' + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]" for key, rows in result.items()) + "\n}\n")


def pair_cuts():
    """What transformers leaves of two texts that are too long together, by strategy and side; a token for each letter."""
    vocabulary = {chr(code): code for code in range(97, 123)} | {"C": 67, "S": 83, "E": 69, "?": 63}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    special = [(mark, vocabulary[mark]) for mark in "CSE"]
    tokenizer.post_processor = processors.TemplateProcessing("C $A E", "C $A S S $B:1 E:1", special)
    rows = []
    letters = "abcdefghijklmnopqrstuvwxyz"
    for first, second in ((0, 9), (3, 5), (5, 3), (9, 2), (2, 9), (7, 7), (8, 7), (1, 12), (12, 1)):
        for longest in (6, 7, 8, 10, 13):
            for policy, strategy, side in (("cut_right", "only_second", "right"), ("keep_completion", "only_first", "left"),
                                           ("cut_left", "only_first", "left"), ("longest_first", "longest_first", "right")):
                one = first == 0
                fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, truncation_side="left" if one and policy == "cut_left" else side)
                texts = [letters[:first], letters[26 - second:]]
                marks = 2 if one else 4
                room = longest - marks
                if room < 2 or (one and policy == "keep_completion"):
                    continue  # what is left out, or left alone, is the library's own
                if not one and ((policy == "cut_right" and room <= first) or (policy in ("keep_completion", "cut_left") and room <= second)):
                    continue
                strategy = "only_first" if one else strategy
                ids = fast(texts[1] if one else texts[0], None if one else texts[1], truncation=strategy, max_length=longest)["input_ids"]
                rows.append({"first": texts[0], "second": texts[1], "max_tokens": longest, "policy": policy, "left": "".join(map(chr, ids))})
    with open(OUT / "pair_cuts.json", "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


OUT.mkdir(exist_ok=True)
pair_cuts()
byte_level()
byte_fallback()
subwords()
unigram()
if len(sys.argv) > 1:
    shared_ids(pathlib.Path(sys.argv[1]))
