#!/usr/bin/env python3
"""Gives check_headers.py headers that it must refuse, each for one reason, and one that it must take."""

import subprocess
import sys
import tempfile
from pathlib import Path

GOOD = "#pragma once\n#include <string>\n#define MERIT_NAME \"m\"\n#define LOCAL 1\n#undef LOCAL\n" \
       "inline std::string merit_name() { return MERIT_NAME; }\n"
CASES = {
    "a good header": (GOOD, None),
    "a missing include": ("#pragma once\ninline std::string name() { return {}; }\n", "alone with"),
    "a missing guard": ("inline int one() { return 1; }\n", "alone with"),
    "a narrowing": ("#pragma once\ninline float half(double x) { return x / 2; }\n", "alone with"),
    "a foreign macro": ("#pragma once\n#define CHECKED(x) (x)\n", "leaves the macro CHECKED behind"),
}


def main():
    options = [argument for argument in sys.argv[1:] if not argument.startswith("--include=")]
    check = Path(__file__).with_name("check_headers.py")
    failed = 0
    for name, (text, expected) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "merit").mkdir()
            (Path(folder) / "merit" / "header.hpp").write_text(text)
            result = subprocess.run([sys.executable, str(check), f"--include={folder}", *options],
                                    capture_output=True, text=True)
        right = result.returncode == 0 if expected is None else result.returncode != 0 and expected in result.stdout
        if not right:
            failed += 1
            print(f"FAILED: {name}: check_headers.py ended with {result.returncode} and said\n{result.stdout}{result.stderr}")
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
