# Strings to try tokenizers with, made from a seed: half of them plain text, half of them hostile.
import random

# Words of our own; they say nothing.
WORDS = """the a reward model scores answers and people compare them because what is good for one reader may be
poor for another however we can't always say why it's so don't they'll we've you're I'm he'd SHE'S THEY'RE
tokenizer byte pair merges vocabulary probability gradient 3.14 42 1,000,000 2026-11-28 e-mail http://example.org/a?b=c
naïve café façade Zürich Ελλάδα Москва привет мир שלום עולם مرحبا بالعالم नमस्ते दुनिया สวัสดีชาวโลก 你好世界 こんにちは カタカナ
안녕하세요 세계 Việt Nam Łódź Ærø ﬁne ﬂow ½ ² № ™ … — – “quoted” ‘single’ «guillemets» a_b __init__ x->y i++ != <= && || ::
#include <vector> {"key": [1, 2.5e-3, null]} \\n \\t $x^2$ \\frac{1}{2} @user #tag 100% 5€ £3 ¥9 ✓ ★ → ∑ ≤ ∞""".split()
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪", "🇫🇷🇬🇧", "🏳️‍🌈", "❤️", "👩🏿‍🚀", "🧑‍⚕️", "1️⃣", "🫠"]
MARKS = [chr(c) for c in (0x300, 0x301, 0x302, 0x303, 0x308, 0x30A, 0x316, 0x323, 0x327, 0x328, 0x345, 0x5B0, 0x64B,
                          0x651, 0x93C, 0x94D, 0xE38, 0x3099, 0x309A, 0x20D0, 0x1D165)]
BASES = list("aAeEiIoOuUnNcCsSdDzZ") + list("がかはパしאبकกㅏ한각각εωяßſKÅΩ")
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u2003", "\u3000", "\u200b", "\u2028", "\u0085", "\x0b",
          "\x0c", "\u202f", "\u1680", "\u180e", "\ufeff", "\u2060"]
RIGHT_TO_LEFT = "שלום مرحبا سلام دُنیا ‏abc‎ ‫xyz‬ ‮oof‬".split(" ")


def plain(rng):
    words = [rng.choice(WORDS) for _ in range(rng.randint(1, 40))]
    text = " ".join(words)
    for mark in ".,!?;:":
        if rng.random() < 0.3:
            place = rng.randrange(len(text) + 1)
            text = text[:place] + mark + text[place:]
    if rng.random() < 0.3:
        text = text.replace(" ", "\n", rng.randint(1, 3))
    return text[:1].upper() + text[1:] if rng.random() < 0.5 else text


def character(rng):
    kind = rng.random()
    if kind < 0.2:
        return chr(rng.randrange(0x20))
    if kind < 0.5:
        return chr(rng.randrange(0x20, 0x250))
    if kind < 0.8:
        code = rng.randrange(0x250, 0x10000)
    else:
        code = rng.randrange(0x10000, 0x110000) if kind < 0.9 else rng.randrange(0x1F000, 0x1FB00)
    return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)


def hostile(rng, added):
    kind = rng.randrange(12)
    if kind == 0:
        return "".join(rng.choice(BASES) + "".join(rng.choices(MARKS, k=rng.randint(0, 4))) for _ in range(rng.randint(1, 30)))
    if kind == 1:
        return "".join(rng.choice(EMOJI + WORDS + [" "]) for _ in range(rng.randint(1, 20)))
    if kind == 2:
        return "".join(rng.choice(SPACES) * rng.choice((1, 1, 2, 7, 40)) + rng.choice(WORDS + ["", ""]) for _ in range(rng.randint(1, 15)))
    if kind == 3:
        return "".join(character(rng) for _ in range(rng.randint(1, 60)))
    if kind in (4, 5) and added:
        parts = []
        for _ in range(rng.randint(1, 8)):
            token = rng.choice(added)
            if rng.random() < 0.2:
                token = token[: rng.randint(1, len(token))]
            if rng.random() < 0.1:
                token = token.upper()
            parts += [rng.choice(WORDS + [""]), rng.choice(SPACES + ["", "", ""]), token, rng.choice(SPACES + ["", "", ""])]
        return "".join(parts)
    if kind == 6:
        return " ".join(rng.choice(RIGHT_TO_LEFT + WORDS[:6]) for _ in range(rng.randint(1, 20)))
    if kind == 7:
        return "".join(chr(rng.choice((rng.randrange(0x4E00, 0xA000), rng.randrange(0x3041, 0x3100), rng.randrange(0xAC00, 0xD7A4),
                                       rng.randrange(0x3400, 0x4DC0), rng.randrange(0x20000, 0x2A6E0), rng.randrange(0xF900, 0xFB00),
                                       rng.randrange(0x1100, 0x1200), 0x3002, 0xFF0C))) for _ in range(rng.randint(1, 40)))
    if kind == 8:
        return "".join(rng.choice("aAbB01 ._-'\"\\/<>|{}[]()") for _ in range(rng.randint(1, 200)))
    if kind == 9:
        return rng.choice(("a", "ab", "é", "日", " ", "\n", "0", "-", "😀", "xyzzy", "<0x41>", "▁", "Ġ", "##")) * rng.randint(1, 300)
    if kind == 10:
        return "".join(chr(rng.choice((rng.randrange(0xE000, 0xF900), rng.randrange(0xF0000, 0xF0100), 0x378, 0xFFFE, 0x10FFFF,
                                       0x200D, 0xFE0F, 0xAD, 0x61C, 0x2066, 0xFFF9, 0xE0001, 0x130, 0x131, 0x17F, 0x1E9E, 0x3F4)))
                       + rng.choice(WORDS + [""]) for _ in range(rng.randint(1, 15)))
    return "".join(rng.choice((plain(rng)[:30], character(rng), rng.choice(EMOJI), rng.choice(SPACES))) for _ in range(rng.randint(1, 10)))


def strings(seed, count, added=(), long_ones=True):
    """`count` strings, the same for the same arguments; `added` are tokens to put into some of them."""
    rng = random.Random(seed)
    added = [token for token in added if token]
    result = ["", " ", "\n", "a", "\x00", "\u0301", "\u200d"]
    while len(result) < count:
        result.append(plain(rng) if len(result) % 2 else hostile(rng, added))
    if long_ones and count > 20:
        result[10] = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(100_000))
        result[12] = "日本語" * 10_000
        result[14] = " " * 30_000 + "x" + "\n" * 30_000
        result[16] = "a" * 50_000
    return result[:count]
