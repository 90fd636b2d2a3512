#!/usr/bin/env python3
"""Gives check_compile_fail.py files that it must refuse, each for one reason, and two that it must take: alone, and beside others that
include a header, which is then read once for all."""

import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

CASES = {
    "the right message": ('// expect: needs a head\nstatic_assert(sizeof(int) == 0, "needs a head");\n', None),
    "a control": ("// compiles\nint x = 0;\n", None),
    "a program that compiles": ("// expect: anything\nint x = 0;\n", "compiles, but must not"),
    "another message": ('// expect: needs a head\nstatic_assert(sizeof(int) == 0, "no");\n', "fails without the text"),
    "a control that fails": ("// compiles\nint x = nothing;\n", "should compile"),
    "two sentences": (
        '// expect: merit: a\nstatic_assert(sizeof(int) == 0, "merit: a");\nstatic_assert(sizeof(int) == 0, "merit: b");\n',
        "2 sentences",
    ),
    "no first line": ("int x = nothing;\n", "its first line is neither"),
}

OTHER = '// compiles\n#include "merit/core/version.hpp"\nconst char* version = MERIT_VERSION;\n'


def main():
    check = Path(__file__).with_name("check_compile_fail.py")
    failed = 0
    for others, (name, (text, expected)) in itertools.product((0, 3), CASES.items()):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "case.cpp").write_text(text)
            for i in range(others):
                (Path(folder) / f"other{i}.cpp").write_text(OTHER)
            result = subprocess.run([sys.executable, str(check), *sys.argv[1:], folder], capture_output=True, text=True)
        right = result.returncode == 0 if expected is None else result.returncode != 0 and expected in result.stdout
        if not right:
            failed += 1
            print(f"FAILED: {name} beside {others} others: ended with {result.returncode} and said\n{result.stdout}{result.stderr}")
    print(f"{2 * len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
