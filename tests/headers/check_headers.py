#!/usr/bin/env python3
"""Checks that each header compiles alone, without warnings, and leaves no macro behind but MERIT_ ones.

With --precompile, headers of others and of the standard library are compiled once beforehand: four times faster, but a
missing #include of one of those is not seen.
"""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

STRICT = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]

# What most of our headers instantiate of others'; done once beforehand, too.
USES = """
template <class J>
inline void use(J j) {
  j = J::parse(j.dump());
  j = J{{"a", 1}, {"b", "c"}, {"d", std::string()}, {"e", true}, {"f", std::vector<std::string>()}, {"g", 1.5}};
  j.update(J{{"a", std::uint64_t{1}}});
  (void)j.template get<std::vector<std::string>>();
  (void)(j.template get<std::string>() == j.at("a") && j.contains("a") && j.template get<bool>());
  for (const auto& [name, value] : j.items()) (void)(name == value.type_name());
}
inline void use_both() {
  use(nlohmann::json());
  use(nlohmann::ordered_json());
}
"""


def run_compiler(command, text):
    return subprocess.run(command, input=text, capture_output=True, text=True)


def precompiled(compiler, paths, texts, folder):
    """Options that give clang++ the headers named in angle brackets in `texts`, compiled once in `folder`."""
    names = {name for text in texts for name in re.findall(r"^#include <([^>]+)>", text, re.MULTILINE)}
    names = sorted(name for name in names if not name.endswith(".h"))  # C's are small, and may want macros first
    source = Path(folder) / "others.hpp"
    source.write_text("".join(f"#include <{name}>\n" for name in names) + USES)
    output = Path(folder) / "others.pch"
    made = run_compiler([compiler, *STRICT, *paths, "-fpch-instantiate-templates", "-x", "c++-header", str(source), "-o", str(output)], "")
    if made.returncode != 0:
        sys.exit(f"the headers of others do not compile:\n    {first_errors(made.stderr)}")
    return ["-include-pch", str(output)]


def first_errors(output, count=8):
    lines = output.splitlines()
    chosen = [line for line in lines if "error" in line or "warning" in line] or lines
    return "\n    ".join(chosen[:count])


def macros_left_behind(log, folder):
    """Names defined, and not undefined again, in files under `folder`, from the output of -E -dD."""
    current = ""
    left = {}
    for line in log.splitlines():
        marker = re.match(r'# \d+ "(.*?)"', line)
        if marker:
            current = marker.group(1)
        elif current.startswith(folder):
            define = re.match(r"#\s*define (\w+)", line)
            undefine = re.match(r"#\s*undef (\w+)", line)
            if define:
                left[define.group(1)] = current
            elif undefine:
                left.pop(undefine.group(1), None)
    return left


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", action="append", required=True, help="compiles each header alone")
    parser.add_argument("--together", action="append", default=[], help="compiles all of them in one unit")
    parser.add_argument("--precompile", action="store_true", help="what headers of others define (clang++)")
    parser.add_argument("--include", required=True, help="the folder that holds merit/")
    parser.add_argument("--system-include", action="append", default=[])
    arguments = parser.parse_args()

    folder = Path(arguments.include).resolve()
    headers = sorted(path.relative_to(folder).as_posix() for path in folder.glob("merit/**/*.hpp"))
    if not headers:
        sys.exit(f"no headers found under {folder}/merit")
    paths = [f"-I{folder}"]
    for system in arguments.system_include:
        paths += ["-isystem", system]

    before = []
    if arguments.precompile:
        made = tempfile.TemporaryDirectory()
        texts = [(folder / header).read_text() for header in headers]
        before = precompiled(arguments.compiler[0], paths, texts, made.name)

    # What is compiled: (what it is, the compiler, options before, the text), the longest first. A header is there twice in
    # one unit: one without include guard fails.
    everything = "".join(f'#include "{header}"\n' for header in headers)
    jobs = [("all headers together", compiler, [], everything) for compiler in arguments.together]
    jobs += [(f"{header} alone", compiler, before, f'#include "{header}"\n#include "{header}"\n')
             for header in headers for compiler in arguments.compiler]

    def compiled(job):
        name, compiler, options, text = job
        return job, run_compiler([compiler, *STRICT, *paths, *options, "-fsyntax-only", "-x", "c++", "-"], text)

    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for (name, compiler, _, _), result in pool.map(compiled, jobs):
            if result.returncode == 0:
                passed += 1
            else:
                failed += 1
                print(f"FAILED: {name} with {compiler}:\n    {first_errors(result.stderr)}")

    for compiler in dict.fromkeys(arguments.compiler + arguments.together):
        log = run_compiler([compiler, "-std=c++20", *paths, "-E", "-dD", "-x", "c++", "-"], everything)
        foreign = {name: file for name, file in macros_left_behind(log.stdout, str(folder)).items()
                   if not name.startswith("MERIT_")}
        if log.returncode == 0 and not foreign:
            passed += 1
            continue
        failed += 1
        if log.returncode != 0:
            print(f"FAILED: all headers in one unit with {compiler}:\n    {first_errors(log.stderr)}")
        for name, file in foreign.items():
            print(f"FAILED: {file} leaves the macro {name} behind; macros of ours begin with MERIT_")

    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
