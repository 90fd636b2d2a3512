#!/usr/bin/env python3
"""Compiles every C++ line of the pages, in one unit, as a user's code that includes merit as its own (-Wall -Wextra, every
warning an error): the programs of README.md, and the fragments of the rooms, each in a function that is given what it
leaves open. With --compiled as code that links merit::compiled_run, which reads declarations alone, in half the time. --program NAME
adds a program of examples/."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# What the fragments of a page leave open, by its folder.
OPEN = {
    "infer": "TestDecoder& model, TestSteps& prm, TestWriter& writer, const TestSequence& to_sequence, const TestProposer& propose, "
             "const TestFinished& finished, const std::vector<merit::Token>& prompt_tokens, "
             "const std::vector<merit::Token>& step_tokens, const std::vector<merit::Token>& first, "
             "const std::vector<merit::Token>& second, const std::vector<merit::Sequence>& answers, const merit::Token& eos",
    "io": "const std::filesystem::path& path, const std::vector<merit::TensorSource>& tensors, const merit::Json& card",
    "judge": "const std::string& q, const std::string& a, const std::string& b",
    "model": "const std::filesystem::path& folder",
    "run": "const std::vector<merit::Message>& conversation",
    "testing": "TestModel& model, const merit::ForestBuilder& builder, const merit::PairTargets& targets",
    "train": "merit::BradleyTerryModel<>& model, const std::vector<merit::PreferenceExample>& pairs",
}
# A second fragment of a page goes on from the first.
GOES_ON = {"model": "merit::RewardModel<merit::Llama>& model, ", "judge": "const merit::JudgeTemplate& ask, "}
HEAD = """#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "merit/comm/thread_comm.hpp"
#include "merit/files.hpp"
#include "merit/infer/session.hpp"
#include "merit/judge/judge_template.hpp"
#include "merit/open.hpp"
#include "merit/templates/chat_template.hpp"
#include "merit/testing/gradcheck.hpp"
#include "merit/tokenizer/pretrained_tokenizer.hpp"

using TestModel =
    merit::RewardModel<merit::Llama, merit::ScalarHead, merit::PairwiseLoss, merit::ReferenceBackend<double>>;
using TestDecoder = merit::RewardModel<merit::Llama>;
using TestSteps = merit::ProcessRewardModel<>;
using TestWriter = merit::RewardModel<merit::Llama, merit::LanguageModelHead, merit::LanguageModelLoss>;
using TestSequence = std::function<merit::Sequence(std::span<const std::string>)>;
using TestProposer = std::function<std::string(std::span<const std::string>, merit::Index)>;
using TestFinished = std::function<bool(std::span<const std::string>)>;
"""


def blocks(page):
    """(line, text) of each block of C++ of a page."""
    text = page.read_text()
    for found in re.finditer(r"^```cpp\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, found.start(1)) + 1, found.group(1)


def unit(root, programs):
    """One unit with all of them, and how many there are."""
    pages = [root / "README.md", *sorted(root.glob("include/merit/*/README.md")), *sorted(root.glob("examples/*.md"))]
    text, count = HEAD, 0
    for page in pages:
        room = page.parent.name
        for number, (line, block) in enumerate(blocks(page)):
            count += 1
            includes = [one for one in block.splitlines() if one.startswith("#include")]
            # Lines keep their places, so that an error names the page's own.
            body = "\n".join("" if one.startswith("#include") else one for one in block.splitlines()) + "\n"
            mark = f'#line {line} "{page.relative_to(root)}"\n'
            text += "\n".join(includes) + f"\nnamespace block_{count} {{\n"
            if "int main(" in body:
                text += mark + body.replace("int main(", "int program(")
            elif body.startswith("struct "):
                text += mark + body
            else:
                given = OPEN.get(room, "")
                if number > 0 and room in GOES_ON:
                    given = GOES_ON[room] + given
                # Not all of a page's fragments use all that it leaves open.
                given = ", ".join(f"[[maybe_unused]] {one}" for one in re.split(r", (?=const |merit|Test)", given) if one)
                text += f"void fragment({given}) {{\n" + mark + body + "}\n"
            text += "}\n"
    for program in programs:
        lines = (root / "examples" / f"{program}.cpp").read_text().splitlines()
        for number, line in enumerate(lines):
            if line.startswith("#include"):
                text += line + "\n"
                lines[number] = ""
        body = "\n".join(lines).replace("int main(", "int program(")
        text += f'namespace {program} {{\n#line 1 "examples/{program}.cpp"\n{body}\n}}\n'
    return text, count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", action="append", required=True)
    parser.add_argument("--system-include", action="append", default=[])
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--program", action="append", default=[])
    parser.add_argument("root", type=Path)
    arguments = parser.parse_args()

    text, count = unit(arguments.root, arguments.program)
    if count < 10:
        sys.exit(f"found {count} blocks of C++ in the pages, expected more")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "documented.cpp"
        source.write_text(text)
        for compiler in arguments.compiler:
            command = [compiler, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                       # Of functions made of fragments: a program that was main, what nobody reads.
                       "-Wno-return-type", "-Wno-unused-variable", "-Wno-unused-but-set-variable",
                       f"-I{arguments.root / 'include'}", f"-I{arguments.root / 'examples'}"]
            for system in arguments.system_include:
                command += ["-isystem", system]
            if arguments.compiled:
                command += ["-DMERIT_COMPILED", "-DMERIT_COMPILED_RUN"]
            result = subprocess.run([*command, str(source)], capture_output=True, text=True)
            if result.returncode != 0:
                failed += 1
                print(f"FAILED: with {compiler}:\n{result.stderr[:4000]}")
    print(f"{len(arguments.compiler) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
