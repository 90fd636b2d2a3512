#!/usr/bin/env python3
"""The rules of the source tree that a compiler does not check. Usage: lint.py [root of the project]"""

import re
import sys
from pathlib import Path

# Which rooms a room may include, beside what those include in turn (and itself).
ARROWS = {
    "core": [],
    "comm": ["core"],
    "forest": ["core"],
    "backend": ["forest"],
    "backend/thrust": ["backend", "comm"],
    "tape": ["backend"],
    "nn": ["tape"],
    "backbone": ["nn"],
    "head": ["nn"],
    "loss": ["backend"],
    "batch": ["head", "loss"],
    "io": ["core"],
    "unicode": ["core"],
    "jinja": ["unicode"],
    "templates": ["jinja", "io"],
    "tokenizer": ["unicode", "io"],
    "text": ["tokenizer", "templates"],
    "records": ["forest", "templates"],
    "tokens": ["records", "tokenizer"],
    "puzzle": ["forest", "tokenizer"],
    "optim": ["tape"],
    "model": ["backbone", "batch", "io"],
    "train": ["model", "optim", "comm"],
    "infer": ["model"],
    "eval": ["infer"],
    "benchmarks": ["eval", "records"],
    "judge": ["eval", "records"],
    "page": ["io"],
    "run": ["train", "benchmarks", "judge", "tokens", "text", "backend/thrust"],
    "serve": ["run"],
    "jobs": ["run", "page"],
}
# Only these rooms may include headers of the library named.
OWNERS = {
    "Eigen": "backend/eigen/",
    "unsupported/Eigen": "backend/eigen/",
    "thrust": "backend/thrust/",
    "cub": "backend/thrust/",
    "nlohmann": "io/",
    "zlib.h": "io/",
    "httplib.h": "serve/",
    "mpi.h": "comm/",
    "nccl.h": "backend/thrust/",
    "pcre2.h": "tokenizer/",
    "utf8proc.h": "unicode/",
    "CLI": None,
    "doctest": None,
    "benchmark": None,
}
SOURCE_SUFFIXES = {".hpp", ".cuh", ".cpp", ".cu"}
TEXT_SUFFIXES = SOURCE_SUFFIXES | {".md", ".txt", ".py", ".sh", ".json", ".yml", ".yaml"}
# Written in pieces, so that this file does not offend against itself.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX"]) + r")\b")
MACHINE_PATH = re.compile(r"(?<![\w.}/])/" + "(work|home|root|Users|farm)" + "/")


def room_of(inside):
    """The room of "room/file.hpp" or "room/folder/file.hpp", where a folder may be a room of its own; None without one."""
    parts = inside.split("/")
    nested = "/".join(parts[:2])
    return None if len(parts) == 1 else nested if len(parts) > 2 and nested in ARROWS else parts[0]


def reach(room):
    """All rooms that `room` may include."""
    found = {room}
    for other in ARROWS[room]:
        found |= reach(other)
    return found


def includes_of(text):
    """(line number, delimiter, name) of each include line."""
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1), match.group(2)


def check_header(include_root, path):
    """The offences of one header against the arrows and the rules for includes."""
    name = path.relative_to(include_root).as_posix()  # merit/room/file.hpp
    inside = name.removeprefix("merit/")
    room = room_of(inside)
    text = path.read_text(encoding="utf-8")
    if "#pragma once" not in text:
        yield f"{name}: has no #pragma once"
    if not text.startswith("//"):
        yield f"{name}: does not begin with a comment that says what it is"
    if room and room not in ARROWS and room not in ("testing", "detail"):
        yield f"{name}: the room {room} is not in the table of arrows of tests/lint/lint.py"
        return

    for line, delimiter, included in includes_of(text):
        where = f"{name}:{line}"
        library = next((key for key in OWNERS if included == key or included.startswith(key + "/")), None)
        if library and not (OWNERS[library] and inside.startswith(OWNERS[library])):
            place = f"only {OWNERS[library]} may include it" if OWNERS[library] else "no header may include it"
            yield f"{where}: includes <{included}>; {place}"
        if not included.startswith("merit/"):
            if delimiter == '"':
                yield f'{where}: includes "{included}"; headers of ours are written "merit/room/file.hpp"'
            continue
        if not (include_root / included).is_file():
            yield f"{where}: includes {included}, which does not exist"
            continue
        if included.endswith(".cuh") and not name.endswith(".cuh"):
            yield f"{where}: a host header includes the device header {included}"
        other = room_of(included.removeprefix("merit/"))
        if other is None and included != "merit/fwd.hpp":
            if room:
                yield f"{where}: a room may not include the umbrella {included}"
        elif included == "merit/fwd.hpp":
            if room == "core":
                yield f"{where}: core includes nothing but core"
        elif other == "testing":
            if room != "testing":
                yield f"{where}: nobody includes testing"
        elif name == "merit/fwd.hpp":
            if other != "core":
                yield f"{where}: fwd.hpp, which every room may include, includes nothing but core"
        elif room in ARROWS and other != "detail":
            if other not in reach(room):
                yield f"{where}: the room {room} may not include {included} (arrows: {', '.join(sorted(reach(room)))})"


def include_cycles(include_root, headers):
    """Each cycle of includes, as one offence. A header's body, which it includes at its end, includes it: that is none."""
    graph = {}
    for path in headers:
        name = path.relative_to(include_root).as_posix()
        graph[name] = [included for _, _, included in includes_of(path.read_text(encoding="utf-8"))
                       if included.startswith("merit/") and (name.endswith("_body.hpp") or not included.endswith("_body.hpp"))]
    done, trail = set(), []

    def visit(name):
        if name in trail:
            yield "includes in a circle: " + " -> ".join([*trail[trail.index(name):], name])
            return
        if name in done:
            return
        trail.append(name)
        for included in graph.get(name, []):
            yield from visit(included)
        trail.pop()
        done.add(name)

    for name in graph:
        yield from visit(name)


def umbrella_needs(include_root):
    """Each library but Eigen that the umbrella brings with it, as one offence: it promises to need no other."""
    seen, waiting = set(), [["merit/merit.hpp"]]
    while waiting:
        trail = waiting.pop(0)
        if trail[-1] in seen or not (include_root / trail[-1]).is_file():
            continue
        seen.add(trail[-1])
        for _, _, included in includes_of((include_root / trail[-1]).read_text(encoding="utf-8")):
            if included.startswith("merit/"):
                waiting.append([*trail, included])
            elif included in OWNERS or ("/" in included and included.split("/")[0] not in ("Eigen", "sys")):
                yield f"the umbrella needs <{included}>, by {' -> '.join(trail)}"


def large_rooms(lines, most=0.12):
    """The rooms, of {room: lines}, that hold more than a share of all lines, as offences: then a room is several."""
    total = sum(lines.values())
    for room, count in sorted(lines.items()):
        if count > most * total:
            yield f"include/merit/{room}: has {count} of {total} lines, more than {100 * most:.0f}%"


def project_files(root):
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.is_file() and parts[0] not in ("build", ".git", ".cache") and "__pycache__" not in parts:
            yield path


# What a newcomer finds first, beside the files whose names begin with a dot.
TOP_LEVEL = {"include", "tests", "bench", "examples", "CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md", "build"}


def offences(root):
    for path in sorted(root.iterdir()):
        if path.name not in TOP_LEVEL and not path.name.startswith(".") and path.name != "CMakeUserPresets.json":
            yield f"{path.name}: does not belong at the top of the project"

    include_root = root / "include"
    headers = sorted([*include_root.rglob("*.hpp"), *include_root.rglob("*.cuh")])
    for path in headers:
        yield from check_header(include_root, path)
    yield from include_cycles(include_root, headers)
    yield from umbrella_needs(include_root)

    rooms = {}  # their headers
    for path in headers:
        if room := room_of(path.relative_to(include_root / "merit").as_posix()):
            rooms.setdefault(room, []).append(path)
    for room, own in sorted(rooms.items()):
        page = include_root / "merit" / room / "README.md"
        if not page.is_file():
            yield f"include/merit/{room}: has no README.md"
            continue
        for path in own:
            if not path.name.endswith("_body.hpp") and f"`{path.name}`" not in page.read_text(encoding="utf-8"):
                yield f"{page.relative_to(root).as_posix()}: does not name {path.name}"

    lines = {room: sum(len(path.read_text(encoding="utf-8").splitlines()) for path in own) for room, own in rooms.items()}
    if sum(lines.values()) > 10000:
        yield from large_rooms(lines)

    # What a program of ours needs is public.
    for path in sorted([*(root / "examples").glob("**/*pp"), *(root / "bench").glob("**/*pp")]):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(r"\bdetail::", line):
                yield f"{path.relative_to(root).as_posix()}:{number}: names detail, which is not for users"

    # The files of a room may be compiled together (MERIT_TEST_UNITY), so each keeps its names to itself.
    for path in sorted((root / "tests").glob("*/*_test.cpp")):
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        if f"\nnamespace {path.stem} {{\n" not in text:
            yield f"{name}: its tests are not in the namespace {path.stem}"
        if re.search(r"^using ", text[:text.find(f"\nnamespace {path.stem} {{\n")], re.M):
            yield f"{name}: a using line stands outside of the namespace {path.stem}"

    # What the README shows as the whole of a program is that program.
    for name in ("hello.cpp", "rank.cpp", "own_pairs.cpp"):
        shown = root / "examples" / name
        if shown.is_file() and shown.read_text(encoding="utf-8") not in (root / "README.md").read_text(encoding="utf-8"):
            yield f"README.md: does not show examples/{name} as it is"

    for path in project_files(root):
        if path.suffix not in TEXT_SUFFIXES and path.parent.name != ".ci":
            continue
        # Data of the tests may hold any text; it is the tests' business.
        if path.suffix == ".json" and "golden" in path.parts:
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        if path.suffix in SOURCE_SUFFIXES | {".py", ".sh"} and len(lines) > 500:
            yield f"{path.relative_to(root).as_posix()}: has {len(lines)} lines, more than 500"
        for number, line in enumerate(lines, 1):
            where = f"{path.relative_to(root).as_posix()}:{number}"
            if UNFINISHED.search(line):
                yield f"{where}: reads like something unfinished: {line.strip()}"
            if MACHINE_PATH.search(line):
                yield f"{where}: names a path of one machine: {line.strip()}"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]).resolve()
    found = list(offences(root))
    for offence in found:
        print(f"FAILED: {offence}")
    # The whole lint is one check; the offences above say what to mend.
    print(f"{0 if found else 1} passed, {len(found)} failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
