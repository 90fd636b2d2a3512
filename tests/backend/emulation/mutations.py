#!/usr/bin/env python3
"""Breaks the device's kernels one line at a time and looks whether their tests notice: each of the changes below must make
the test named beside it fail. Usage: mutations.py --root=FOLDER [--compiler=g++] [WORD]: those alone whose line has it.

Not part of the tests, for it compiles a file of them for each change, which takes a quarter of an hour."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# A barrier, a bound or an index: (header, what stands there, what comes in its place, the test that must fail). What
# stands there more than once has its number after a #.
CHANGES = [
    # --- block.hpp
    ("block", "numbers.value[i] = i < count ?", "numbers.value[i] = i <= count ?", "norms and their"),
    ("block", "if (i < count) block.store", "if (i <= count) block.store", "gated units"),
    ("block", "return reinterpret_cast<std::uintptr_t>(p) % 16 == 0;", "return p != nullptr;", "gated units"),
    ("block", "numbers.value[i] += before.value[i];", "numbers.value[i] += 0 * before.value[i];", "gated units"),
    ("block", "j += Index{warp_size} * n)", "j += Index{warp_size} * n + 1)", "norms and their"),
    ("block", "for (int mask = warp_size / 2; mask > 0", "for (int mask = warp_size / 4; mask > 0", "norms and their"),
    ("block", "  block.sync();\n  T sum = 0;", "  T sum = 0;", "squares are summed"),
    ("block", "value *= 0x1.0p112f;", "value *= 0x1.0p111f;", "gathered from tables"),
    # --- norm_kernels.hpp
    ("norm", "if (i >= rows) return;", "if (i > rows) return;", "norms and their"),
    ("norm", "k < count ? a.value[k] - center : 0.0f", "a.value[k] - center", "norms and their"),
    ("norm", "    block.sync();\n", "", "norms and their"),
    ("norm", "return warp * of_warp + k * runs", "return k * runs", "norms and their"),
    ("norm", "end = smaller(begin + share, rows)", "end = begin + share", "norms and their"),
    ("norm", "while (warps > 1 && warps * of_warp > 96 * 1024) warps /= 2;", "if (dbias == nullptr) warps = 2;", "norms and their"),
    ("norm", "static_cast<int>(j) % n * runs + static_cast<int>(j) / n", "static_cast<int>(j)", "norms and their"),
    # --- column_sum_kernels.hpp
    ("column_sum", "end = smaller(begin + share, rows)", "end = begin + share", "sums over rows"),
    ("column_sum", "if (j >= cols) return;#1", "if (j > cols + 4096) return;", "sums over rows"),
    ("column_sum", "if (j >= cols) return;#2", "if (j > cols) return;", "sums over rows"),
    ("column_sum", "for (Index p = 0; p < parts; ++p)", "for (Index p = 1; p < parts; ++p)", "sums over rows"),
    # --- elementwise_kernels.hpp
    ("elementwise", "if (row >= rows) return;", "if (row > rows) return;", "gated units"),
    ("elementwise", "gate_up.row(i) + cols + j, count);#1", "gate_up.row(i) + j, count);", "gated units"),
    ("arithmetic", "set_product(x, s, s * (1.0f - s));", "set_product(x, s, s * s);", "gated units"),
    ("arithmetic", "of_gate = d * up * activated.slope;", "of_gate = d * activated.slope;", "gated units"),
    ("arithmetic", "1.0f / (1.0f + std::exp(-x))", "std::exp(x) / (1.0f + std::exp(x))", "no NaN"),
    ("arithmetic", "slope = factor + x * factor_slope;", "slope = factor;", "activations"),
    ("arithmetic", "slope = 1.0f - value * value;", "slope = 1.0f - value;", "activations"),
    ("arithmetic", "? 0.01f : 0.0f;", "? 0.02f : 0.0f;", "activations"),
    ("elementwise", "d.value[k] *= detail::device::Activated", "d.value[k] = detail::device::Activated", "activations"),
    ("elementwise", "i % heads * head_dim + j;", "i % heads * 2 * half + j;", "rotary"),
    ("norm", "weight != nullptr ? offset : 1.0f;", "weight != nullptr ? 0.0f : 1.0f;", "norms and their"),
    ("norm", "weight != nullptr ? offset : 1.0f;", "offset;", "norms and their"),
    ("elementwise", "angles + half, count", "angles, count", "rotary"),
    ("arithmetic", "inverse ? -sine : sine", "sine", "rotary"),
    # --- tile_product.hpp
    ("tile_product", "at < end ? columns - column : 0", "columns - column", "attention along chains"),
    ("tile_product", "if (k < count) values.value[k]", "if (k <= count) values.value[k]", "attention over forests"),
    ("tile_product", "count >= pack && aligned(source)", "count >= pack", "attention over forests"),
    ("tile_product", "k + lane / 16 * 8));#1", "k));", "attention along chains"),
    ("tile_product", "b_row + 8 * n + lane / 16 * 8 + lane % 8", "b_row + 8 * n + lane % 8", "attention along chains"),
    ("tile_product", "left[r][1] = block.round_pair", "left[r][1] = 0 * block.round_pair", "attention along chains"),
    ("tile_product", "b_row + 8 * k + lane % 16, b_column", "b_row + 8 * k + lane % 8, b_column", "attention along chains"),
    ("tile_product", "first + j / 2);#1", "first + j % 4);", "attention along chains"),
    ("tile_product", "c.value[r][n][2 + j] += left[r][1]", "c.value[r][n][2 + j] += left[r][0]", "attention along chains"),
    ("tile_product", "if (row >= end) continue;", "if (row > end) continue;", "attention along chains"),
    ("tile_product", "both = 8 * n + pair + 1 < width", "both = 8 * n + pair < width", "attention over forests"),
    ("tile_product", "both && reinterpret_cast<std::uintptr_t>(at) % sizeof(Pair<T>) == 0", "both", "attention of wide heads"),
    # --- attention_kernel.hpp
    ("attention", "      block.template wait_async<0>();\n#1", "", "attention along chains"),
    ("attention", "      block.template wait_async<0>();\n#2", "", "attention along chains"),
    ("attention", "      block.sync();  // the keys are there", "      // the keys are there", "attention along chains"),
    ("attention", "      block.sync();  // the values are there", "      // the values are there", "attention along chains"),
    ("attention", "!tile.is_full(block, step)) mask", "false) mask", "attention along chains"),
    ("attention", "most == -infinity ? 0.0f : most", "most", "attention over forests"),
    ("attention", "sum.value[r][n][2 * half] *= shrink;", "", "attention along chains"),
    ("attention", "all += block.exchange(all, 2);", "", "attention along chains"),
    ("attention", "lane % 4 == 0 && query < p.queries", "lane % 4 == 0", "attention along chains"),
    ("attention", "step = following;", "step = step + 1;", "does not reach"),
    ("attention", "p.soft_cap != 0) p.cap(scores);", "false) p.cap(scores);", "under a soft cap"),
    # --- attention_problem.hpp
    ("attention_problem", "begin <= token", "begin < token", "attention along chains"),
    ("attention_problem", "token < end && (plain", "token <= end && (plain", "attention over forests"),
    ("attention_problem", "position < far", "position <= far", "attention within windows"),
    ("attention_problem", "!asked || key >= tokens", "!asked", "attention along chains"),
    ("attention_problem", "return head / (heads / kv_heads);", "return head % kv_heads;", "attention over forests"),
    ("attention_problem", "block.load(query_tokens + query)", "static_cast<std::uint32_t>(query)", "attention of some queries"),
    ("attention_problem", "smaller(window, no_limit - from_root)", "window", "under a soft cap"),
    ("attention_problem", "key - smaller(from_root, window - 1)", "key - smaller(from_root, window)", "over whole trees"),
    ("attention_problem", "key + smaller(end - key, window)", "key + smaller(end - key, window - 1)", "over whole trees"),
    ("attention_problem", "scale / soft_cap", "scale", "under a soft cap"),
    ("attention_problem", "full_begin_ <= other && other", "other", "over whole trees"),
    ("attention_problem", "one ? end / of_tile : 0", "end / of_tile", "over whole trees"),
    ("attention_problem", "one ? end / of_tile : 0", "one ? (end - 1) / of_tile + 1 : 0", "over whole trees"),
    ("attention_problem", "first_not_below(block, p.query_tokens, p.queries, token)", "token", "over whole trees"),
    ("attention_problem", "other_bounds(block, i)) < p_.window", "other_bounds(block, i)) <= p_.window", "within windows"),
    ("attention_problem", "other_bounds(block, own)) < p_.window", "other_bounds(block, own)) + 1 < p_.window", "within windows"),
    ("attention_problem", "own < length_ && nearest", "nearest", "within windows"),
    ("attention_problem", "p_.window == no_limit) return step;", "p_.window > 0) return step;", "does not reach"),
    ("attention_problem", "b.least > a.most ? b.least - a.most : 0", "0", "does not reach"),
    ("attention_problem", "lists_.other_bounds + 2", "lists_.bounds + 2", "within windows"),
    # --- attention_backward_kernels.hpp
    ("attention_backward", "if (query >= queries) return;", "if (query > queries) return;", "attention along chains"),
    ("attention_backward", "      block.template wait_async<0>();\n#1", "", "attention along chains"),
    ("attention_backward", "      block.template wait_async<0>();\n#2", "", "attention along chains"),
    ("attention_backward", "      block.sync();  // the keys are there", "      // the keys are there", "attention along chains"),
    ("attention_backward", "      block.sync();  // the queries are there", "      // the queries are there", "attention along chains"),
    ("attention_backward", "        block.sync();  // the keys are done with", "", "along chains is the reference's<float>"),
    ("attention_backward", "        block.sync();  // the queries are done with", "", "along chains is the reference's<float>"),
    ("attention_backward", "(2 * (step % stages) + which) * others;", "which * others;", "along chains is the reference's<merit"),
    ("attention_backward", "Pass::bytes + step % Pass::stages * numbers_bytes,", "Pass::bytes,", "along chains is the reference's<merit"),
    ("attention_backward", "there ? block.load(given.lse.row(at) + head)", "true ? block.load(given.lse.row(at) + head)", "attention along chains"),
    ("attention_backward", "there ? block.load(given.lse.row(query) + head)", "true ? block.load(given.lse.row(query) + head)", "attention along chains"),
    ("attention_backward", "d_tile, 0, first_column", "d_tile, 0, 0", "attention of wide heads"),
    ("attention_backward", "if (first_column >= p.head_dim) return;", "if (first_column > 0) return;", "attention of wide heads"),
    ("attention_backward", "++head < first_head + group", "false", "attention over forests"),
    ("attention_backward", "    if (step < count) {", "    if (true) {", "attention of some queries"),
    ("attention_backward", "full || seers.template", "seers.template", "attention along chains"),
    ("attention_backward", "full || seers[r][half].template", "seers[r][half].template", "attention along chains"),
    ("attention_backward", "if (capped) slopes.value[r][n][i] *= 1.0f - score * score;#1", "", "under a soft cap"),
    ("attention_backward", "if (capped) slopes.value[r][n][i] *= 1.0f - score * score;#2", "", "under a soft cap"),
    ("attention_backward", "(plain ? 3 : 4)", "3", "within windows"),
    ("attention_backward", "p.template position<plain>(block, token));", "0u);", "within windows"),
    # --- attention_tiles.hpp
    ("attention_tiles", "least = std::min(least, position(i));", "", "the lists hold"),
    ("attention_tiles", "most = std::max(most, position(i));", "", "the lists hold"),
    ("attention_tiles", "keys == attention_tile && pairs_", "pairs_", "attention of some queries"),
    ("attention_tiles", "pairs_[tile] = 0;", "", "the lists hold"),
    ("attention_tiles", "count_all(token(query), token(i) + 1, 1)", "count_all(token(query), token(i), 1)", "the lists hold"),
    ("attention_tiles", "2 * tile + entry % 2", "2 * tile", "the lists hold"),
    ("attention_tiles", "length(a) > length(b) : a < b", "length(a) < length(b) : a < b", "the lists hold"),
    ("attention_tiles", "begin.front() = 0;", "", "the lists hold"),
    # --- row_kernels.hpp, path_kernels.hpp
    ("row", "ids == nullptr ? i : Index{block.load(ids + i)}", "i", "gathered from tables"),
    ("row", "if (i > 0 && id_of(block.load(places + i - 1)) == id) return;", "", "added to rows"),
    ("row", "of_id[r] = next < count && id_of(place) == id;", "of_id[r] = next < count;", "added to rows"),
    ("row", "next < count ? block.load(places + next) : 0", "block.load(places + next)", "added to rows"),
    ("row", "more = of_id[ahead - 1];", "more = false;", "added to rows"),
    ("path", "segments, token + 1) - 1", "segments, token) - 1", "mean over a path"),
    ("path", "add(block.load(segment_begin + segment), token + 1)", "add(block.load(segment_begin + segment), token)", "mean over a path"),
    ("path", "block.load(subtree_end + t))", "static_cast<std::uint32_t>(t) + 1)", "mean over a path"),
    # --- next_token_loss_kernel.hpp
    ("next_token_loss", "    block.sync();\n    const float sum", "    const float sum", "loss of next tokens"),
    ("next_token_loss", "    block.sync();\n    for (std::uint32_t t = first +", "    for (std::uint32_t t = first +", "loss of next tokens"),
    ("next_token_loss", "    block.sync();\n    TopLogit all;", "    TopLogit all;", "loss of next tokens"),
    ("next_token_loss", "if (k < count) top.add", "top.add", "loss of next tokens"),
    ("next_token_loss", "(other.rest + 1.0f)", "other.rest", "loss of next tokens"),
    ("next_token_loss", "asked = asked && other >= t;", "", "loss of next tokens"),
    ("next_token_loss", "token == top.place ? top.rest / sum : 1.0f - p", "1.0f - p", "nearly sure"),
    # --- optimizer_kernels.hpp, stochastic rounding, adafactor_kernels.hpp
    ("optimizer", "if (i < count) f(i,", "if (i < count + 4) f(i,", "AdamW"),
    ("arithmetic", "- rate * first / (std::sqrt(second)", "- rate * gradient / (std::sqrt(second)", "AdamW"),
    ("optimizer", "if (update.reads_out)", "if (update.rate != 0)", "Muon's momentum"),
    ("arithmetic", "(direction > 0) - (direction < 0)", "(direction > 0) + (direction < 0)", "Muon's momentum"),
    ("optimizer", "block.columns() * most_threads * 4;", "block.columns() * most_threads * 4 + 4;", "squares are summed"),
    ("optimizer", "sum = sum_over_block(block, sum, block.template shared<double>(0, 32));#2", "", "squares are summed"),
    ("stochastic_rounding", "bits += random & 0xFFFFu;", "bits += random & 0x7FFFu;", "rounded by chance"),
    ("optimizer", "random_words(i / 4 + static_cast<Index>(group),", "random_words(i / 4,", "rounds weights does"),
    ("optimizer", "if (i >= count) return;", "if (i >= count + 8) return;", "rounds weights does"),
    ("stochastic_rounding", "bits |= 0x00400000u;", "", "not moved by chance"),
    ("adafactor", "sum / static_cast<double>(cols)", "sum", "Adafactor"),
    ("adafactor", "end = smaller(begin + share, rows_count)", "end = begin + share", "Adafactor"),
    ("adafactor", "for (Index p = 0; p < parts; ++p)", "for (Index p = 1; p < parts; ++p)", "Adafactor"),
    ("arithmetic", "estimate > least ? estimate : least", "estimate", "Adafactor"),
]
# Which file of the tests has the test of a header.
TESTS = {"norm": "norm_kernels", "column_sum": "norm_kernels", "elementwise": "elementwise_kernels", "tile_product": "attention_kernels",
         "attention": "attention_kernels", "attention_problem": "attention_kernels", "attention_backward": "attention_kernels", "attention_tiles": "attention_kernels",
         "row": "row_kernels", "path": "row_kernels", "next_token_loss": "next_token_loss_kernel",
         "optimizer": "optimizer_kernels", "stochastic_rounding": "optimizer_kernels", "adafactor": "optimizer_kernels"}
TESTS_OF_OTHERS = {"norms and their": "norm_kernels", "gated units": "elementwise_kernels", "squares are summed": "optimizer_kernels",
                   "gathered from tables": "row_kernels", "no NaN": "elementwise_kernels", "activations": "elementwise_kernels",
                   "rotary": "elementwise_kernels", "AdamW": "optimizer_kernels", "Muon's momentum": "optimizer_kernels",
                   "Adafactor": "optimizer_kernels"}


def header_of(folder, name):
    """The file that an entry of the table means."""
    return next(path for place in ("kernels", "functors") for ending in ("", "_kernels", "_kernel")
                if (path := folder / place / f"{name}{ending}.hpp").is_file())


def changed(text, old, new):
    """The text with one occurrence changed."""
    old, _, number = old.partition("#")
    which = int(number) if number else 1
    places = [match.start() for match in re.finditer(re.escape(old), text)]
    if len(places) < which or (not number and len(places) != 1):
        sys.exit(f"mutations.py: {old!r} stands {len(places)} times in the header, expected {number or 'once'}")
    at = places[which - 1]
    return text[:at] + new + text[at + len(old):]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("word", nargs="?", default="")
    arguments = parser.parse_args()
    include = arguments.root / "include"

    passed = failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        common = [arguments.compiler, "-std=c++20", "-O1", "-w", f"-I{folder}", f"-I{arguments.root / 'include'}",
                  f"-I{arguments.root / 'tests'}"]
        subprocess.run([*common, "-c", str(arguments.root / "tests/main.cpp"), "-o", str(folder / "main.o")], check=True)
        for header, old, new, test in CHANGES:
            line = f"{header}: {old!r} -> {new!r}: {test}"
            if arguments.word not in line:
                continue
            path = header_of(include / "merit/backend/thrust", header)
            overlay = folder / path.relative_to(include)
            overlay.parent.mkdir(parents=True, exist_ok=True)
            overlay.write_text(changed(path.read_text(), old, new))
            source = arguments.root / "tests/backend/emulation" / f"{TESTS.get(header) or TESTS_OF_OTHERS[test]}_test.cpp"
            built = subprocess.run([*common, str(source), str(folder / "main.o"), "-o", str(folder / "test")],
                                   capture_output=True, text=True)
            # A change that does not compile shows nothing.
            noticed = built.returncode == 0 and subprocess.run(
                [str(folder / "test"), f"--test-case=*{test}*"], capture_output=True, text=True).returncode != 0
            print("noticed" if noticed else "FAILED, " + ("not noticed" if built.returncode == 0 else built.stderr[:500]), line, flush=True)
            passed += noticed
            failed += not noticed
            overlay.unlink()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
