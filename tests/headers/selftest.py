#!/usr/bin/env python3
"""Gives the checks of this folder headers that they must refuse, each for one reason, and some that they must take."""

import subprocess
import sys
import tempfile
from pathlib import Path

GOOD = "#pragma once\n#include <string>\n#define MERIT_NAME \"m\"\n#define LOCAL 1\n#undef LOCAL\n" \
       "inline std::string merit_name() { return MERIT_NAME; }\n"
NAMES = "#pragma once\nstruct Named { int member = 0; };\ninline int called(int x) { return x; }\n"
BRINGS = '#pragma once\n#include "merit/a.hpp"\n'
# The headers merit/a.hpp, merit/b.hpp, …; what check_headers.py and check_together.py say of them, None for no complaint.
CASES = {
    "a good header": ([GOOD], None, None),
    "an include through another header": ([NAMES, BRINGS, '#pragma once\n#include "merit/b.hpp"\ninline Named named;\n'], None, None),
    "a missing include of others": (["#pragma once\ninline std::string name() { return {}; }\n"], "a.hpp alone with", "a.hpp"),
    "a missing include of a type": ([NAMES, "#pragma once\ninline Named named;\n"], "b.hpp alone with",
                                    "merit/b.hpp names Named and does not include merit/a.hpp"),
    "a missing include of a function": ([NAMES, "#pragma once\ninline int one() { return called(1); }\n"], "b.hpp alone with",
                                        "merit/b.hpp names called and does not include merit/a.hpp"),
    # A template's argument brings what its member needs.
    "a member of a template's argument": ([NAMES, "#pragma once\ntemplate <class T>\nint of(T t) { return t.member; }\n",
                                           BRINGS + '#include "merit/b.hpp"\ninline int used() { return of(Named()); }\n'], None, None),
    "a missing guard": (["inline int one() { return 1; }\n"], "a.hpp alone with", "redefinition"),
    "a narrowing": (["#pragma once\ninline float half(double x) { return x / 2; }\n"], "a.hpp alone with", "implicit conversion"),
    "a function of every unit": (["#pragma once\nint one() { return 1; }\n"], None, "one is defined in every unit"),
    "a member function of every unit": (["#pragma once\nstruct A {\n  int one();\n};\nint A::one() { return 1; }\n"], None,
                                        "one is defined in every unit"),
    "a specialization of every unit": (["#pragma once\ntemplate <class T>\nint one() { return 1; }\ntemplate <>\n"
                                        "int one<int>() { return 2; }\n"], None, "one is defined in every unit"),
    "a variable of every unit": (["#pragma once\nnamespace m {\nextern int one;\nint one = 1;\n}\n"], None,
                                 "one is defined in every unit"),
    "a static member of every unit": (["#pragma once\nstruct A {\n  static int one;\n};\nint A::one = 1;\n"], None,
                                      "one is defined in every unit"),
    "what units may share": (["#pragma once\ninline int a = 1;\ninline constexpr int b = 2;\nconstexpr int c() { return 3; }\n"
                              "template <class T>\nstruct D {\n  static int d;\n  int e();\n};\ntemplate <class T>\n"
                              "int D<T>::d = 4;\ntemplate <class T>\nint D<T>::e() { return a + b + c(); }\n"], None, None),
    "a private member that nobody uses": (["#pragma once\nclass A {\n  int one_ = 1;\n};\ninline A a;\n"], "a.hpp alone with", "one_"),
    "a function without a body": (["#pragma once\ninline int one();\ninline int two() { return one(); }\n"], "a.hpp alone with", "one"),
    "what a template makes": (["#pragma once\ntemplate <class T>\nfloat half(T x) { return x / 2; }\ninline float one() { return half(1.0); }\n"],
                              "a.hpp alone with", "implicit conversion"),
    "a foreign macro": (["#pragma once\n#define CHECKED(x) (x)\n"], None, "leaves the macro CHECKED behind"),
}


def main():
    options = [argument for argument in sys.argv[1:] if not argument.startswith("--include=")] + ["--instantiate"]
    failed = passed = 0
    for name, (headers, *expectations) in CASES.items():
        for script, expected in zip(("check_headers.py", "check_together.py"), expectations):
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "merit").mkdir()
                for letter, text in zip("abc", headers):
                    (Path(folder) / "merit" / f"{letter}.hpp").write_text(text)
                result = subprocess.run([sys.executable, str(Path(__file__).with_name(script)), f"--include={folder}", *options],
                                        capture_output=True, text=True)
            if result.returncode == 77:
                print(result.stdout, end="")
                return 77
            right = result.returncode == 0 if expected is None else result.returncode == 1 and expected in result.stdout
            passed += right
            failed += not right
            if not right:
                print(f"FAILED: {name}: {script} ended with {result.returncode} and said\n{result.stdout}{result.stderr}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
