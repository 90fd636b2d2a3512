#!/usr/bin/env python3
"""Shows that the lint can fail: a small tree with one offence of each kind, and one without any."""

import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import lint

START = "// A header.\n#pragma once\n"
CLEAN = {
    "include/merit/core/README.md": "`a.hpp`\n",
    "include/merit/backend/README.md": "`gemm.hpp`\n",
    "include/merit/forest/README.md": "`forest_view.hpp`\n",
    "include/merit/records/README.md": "`a.hpp`\n",
    "include/merit/core/a.hpp": START,
    "include/merit/forest/forest_view.hpp": START + '#include "merit/core/a.hpp"\n',
    "include/merit/backend/eigen/gemm.hpp": START + "#include <Eigen/Core>\n",
    "include/merit/io/README.md": "`a.hpp`\n",
    "include/merit/io/a.hpp": START,
    "include/merit/records/a.hpp": START + '#include "merit/forest/forest_view.hpp"\n#include "merit/io/a.hpp"\n',
    "include/merit/merit.hpp": START + '#include "merit/records/a.hpp"\n',
    "include/merit/files.hpp": START + '#include "merit/merit.hpp"\n',
    "README.md": "See https://example.org/home/page and include/merit/core/a.hpp.\n",
}
# file, its text, a part of the offence
OFFENCES = [
    ("include/merit/core/b.hpp", START + '#include "merit/forest/forest_view.hpp"\n', "core may not include"),
    ("include/merit/loss/b.hpp", START + '#include "merit/nn/linear.hpp"\n', "loss may not include"),
    ("include/merit/backend/b.hpp", START + '#include "merit/backend/thrust/c.hpp"\n', "backend may not include"),
    ("include/merit/backend/thrust/b.hpp", START, "include/merit/backend/thrust/README.md: does not name b.hpp"),
    ("include/merit/head/b.hpp", START + '#include "merit/records/a.hpp"\n', "head may not include"),
    ("include/merit/records/b.hpp", START + '#include "merit/backend/eigen/gemm.hpp"\n', "records may not include"),
    ("include/merit/io/b.hpp", START + '#include "merit/records/a.hpp"\n', "io may not include"),
    ("include/merit/nn/b.hpp", START + "#include <Eigen/Dense>\n", "only backend/eigen/ may include it"),
    ("include/merit/core/b.hpp", START + "#include <CLI/CLI.hpp>\n", "no header may include it"),
    ("include/merit/records/a.hpp", START + "#include <nlohmann/json.hpp>\n", "only io/ may include it"),
    ("include/merit/io/a.hpp", START + "#include <nlohmann/json.hpp>\n", "the umbrella needs <nlohmann/json.hpp>"),
    ("include/merit/train/b.hpp", START + '#include "merit/testing/aid.hpp"\n', "nobody includes testing"),
    ("include/merit/train/b.hpp", START + '#include "merit/merit.hpp"\n', "may not include the umbrella"),
    ("include/merit/core/b.hpp", START + '#include "a.hpp"\n', "are written"),
    ("include/merit/core/b.hpp", START + '#include "merit/core/none.hpp"\n', "does not exist"),
    ("include/merit/core/b.hpp", "// A header.\n", "no #pragma once"),
    ("include/merit/core/b.hpp", "#pragma once\n", "does not begin with a comment"),
    ("include/merit/core/b.hpp", START + '#include "merit/core/b.hpp"\n', "in a circle"),
    ("include/merit/fwd.hpp", START + '#include "merit/forest/forest_view.hpp"\n', "nothing but core"),
    ("include/merit/core/b.hpp", START + '#include "merit/fwd.hpp"\n', "nothing but core"),
    ("include/merit/kitchen/b.hpp", START, "not in the table of arrows"),
    ("include/merit/text/b.hpp", START, "include/merit/text: has no README.md"),
    ("include/merit/core/b.hpp", START, "include/merit/core/README.md: does not name b.hpp"),
    ("tests/core/b_test.cpp", "namespace {\n}\n", "not in the namespace b_test"),
    ("tests/core/b_test.cpp", "using namespace merit;\n\nnamespace b_test {\n}\n", "stands outside"),
    ("tests/core/b.py", "pass\n" * 501, "has 501 lines"),
    ("tests/core/b.cpp", "// TO" + "DO: write this\n", "unfinished"),
    ("examples/hello.cpp", "int main() {}\n", "does not show examples/hello.cpp"),
    ("examples/rank.cpp", "int main() {}\n", "does not show examples/rank.cpp"),
    ("examples/own_pairs.cpp", "int main() {}\n", "does not show examples/own_pairs.cpp"),
    ("bench/a.cpp", "int a = merit::detail::b();\n", "names detail"),
    ("README.md", "Run it from /ho" + "me/somebody/merit.\n", "path of one machine"),
    ("others/package.txt", "of others\n", "does not belong at the top"),
]
# What the offending includes above point at.
TARGETS = {
    "include/merit/nn/linear.hpp": START,
    "include/merit/nn/README.md": "`linear.hpp`\n",
    "include/merit/testing/aid.hpp": START,
    "include/merit/fwd.hpp": START,
    "include/merit/testing/README.md": "`aid.hpp`\n",
    "include/merit/backend/thrust/c.hpp": START,
    "include/merit/backend/thrust/README.md": "`c.hpp`\n",
}


def offences_of(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return list(lint.offences(Path(folder).resolve()))


def main():
    failed = 0
    found = offences_of(CLEAN)
    if found:
        failed += 1
        print(f"FAILED: a clean tree is refused: {found}")
    for name, text, expected in OFFENCES:
        found = offences_of({**CLEAN, **TARGETS, name: text})
        if not any(expected in offence for offence in found):
            failed += 1
            print(f'FAILED: {name} should be refused with "{expected}"; found {found}')
    rooms = {f"room{i}": 90 for i in range(10)} | {"large": 130}
    if [offence.split(":")[0] for offence in lint.large_rooms(rooms)] != ["include/merit/large"]:
        failed += 1
        print("FAILED: of rooms of 90 and 130 of 1,030 lines, the last alone should be refused")
    print(f"{2 + len(OFFENCES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
