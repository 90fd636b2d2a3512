#!/usr/bin/env python3
"""Checks the headers under include/merit in one unit, each of them twice, with clang's library, and with each other compiler
that is named: no warnings, no macro left behind but MERIT_ ones, nothing defined that two units may not both define, and
each header includes, itself or through others of ours, those of ours that declare what it names. That is most of what
compiling each alone shows (check_headers.py) and what linking two units that see all would, in half a minute; a missing
<string> it is not. Without --instantiate nothing is instantiated, and warnings of the end of a unit, such as of a private
member that nobody uses, are not seen: the preset release, which tests/run.sh --full builds, asks for them.
"""
import re
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
from check_headers import STRICT, asked  # noqa: E402

try:
    from clang import cindex
except ImportError:  # where another Python comes first
    sys.path.append("/usr/lib/python3/dist-packages")
    try:
        from clang import cindex
    except ImportError:
        print("SKIPPED: headers: clang's library for Python is not here (Debian: python3-clang)")
        sys.exit(77)

# References to members say nothing: a template's are found through its arguments, whose headers it need not know.
OF_MEMBERS = {cindex.CursorKind.MEMBER_REF_EXPR, cindex.CursorKind.MEMBER_REF}
SCOPES = {cindex.CursorKind.TRANSLATION_UNIT, cindex.CursorKind.NAMESPACE}


def reachable(header, direct):
    """The headers that one brings, itself among them."""
    seen, to_do = {header}, [header]
    while to_do:
        for included in direct.get(to_do.pop(), []):
            if included not in seen:
                seen.add(included)
                to_do.append(included)
    return seen


def names_without_include(unit, folder, closure):
    """(header, name, a header that declares it) for each name that a header uses and brings no declaration of."""
    def header_of(location):
        name = location.file.name if location.file else ""
        return name[len(folder) + 1:] if name.startswith(folder + "/") else None

    declared = {}  # of each name in a namespace, the headers that declare it, all of it or only that there is one
    used = {}
    places = {}  # of what is named: each name is used often
    to_do = [(unit.cursor, None)]
    while to_do:
        parent, header = to_do.pop()
        for cursor in parent.get_children():
            if parent.kind in SCOPES:
                header = header_of(cursor.location)
                if header is None:
                    continue  # of others
            to_do.append((cursor, header))
            if cursor.kind in SCOPES or cursor.kind in OF_MEMBERS:
                continue
            if cursor.kind.is_declaration():
                if parent.kind in SCOPES:
                    declared.setdefault(cursor.get_usr(), set()).add(header)
                continue
            named = cursor.referenced
            if named is None:
                continue
            key = named.hash, named.spelling
            if key not in places:
                places[key] = header_of(named.location)
            at = places[key]
            if (at is not None and at not in closure[header] and named.kind not in SCOPES
                    and named.semantic_parent is not None and named.semantic_parent.kind in SCOPES):
                used[header, named.get_usr()] = named.spelling, at
    return sorted((header, name, at) for (header, key), (name, at) in used.items()
                  if not declared.get(key, {at}) & closure[header])


def in_folder(cursor, folder):
    return cursor.location.file is not None and cursor.location.file.name.startswith(folder + "/")


def defined_in_every_unit(scope, folder):
    """(file, line, name) of each function or variable that every unit would define again: neither inline, nor a template,
    nor of one unit alone."""
    kinds = cindex.CursorKind
    for cursor in scope.get_children():
        if not in_folder(cursor, folder):
            continue
        if cursor.kind in (kinds.NAMESPACE, kinds.STRUCT_DECL, kinds.CLASS_DECL, kinds.LINKAGE_SPEC):
            yield from defined_in_every_unit(cursor, folder)
            continue
        function = cursor.kind in (kinds.FUNCTION_DECL, kinds.CXX_METHOD, kinds.CONSTRUCTOR, kinds.DESTRUCTOR)
        if not (function or cursor.kind == kinds.VAR_DECL) or not cursor.is_definition():
            continue
        if cursor.linkage != cindex.LinkageKind.EXTERNAL:
            continue
        ancestor = cursor.semantic_parent
        while ancestor.kind not in (*SCOPES, kinds.CLASS_TEMPLATE, kinds.CLASS_TEMPLATE_PARTIAL_SPECIALIZATION):
            ancestor = ancestor.semantic_parent
        if ancestor.kind not in SCOPES:
            continue
        if function:
            is_inline = cindex.conf.lib.clang_Cursor_isFunctionInlined(cursor) != 0
        else:  # a variable is asked by its words
            words = {token.spelling for token in cursor.get_tokens()}
            is_inline = bool(words & {"inline", "constexpr", "extern"})
        if not is_inline:
            yield cursor.location.file.name, cursor.location.line, cursor.spelling


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
    arguments, folder, headers, paths = asked(__doc__, "whose preprocessor shows the macros")
    direct = {header: re.findall(r'^#include "([^"]+)"', (folder / header).read_text(encoding="utf-8"), re.MULTILINE)
              for header in headers}
    closure = {header: reachable(header, direct) for header in headers}

    everything = "".join(f'#include "{header}"\n' for header in headers + headers)
    try:
        index = cindex.Index.create()
    except cindex.LibclangError as error:
        print(f"SKIPPED: headers: clang's library does not load: {error}")
        return 77
    cindex.conf.lib.clang_Cursor_isFunctionInlined.argtypes = [cindex.Cursor]
    options = 0 if arguments.instantiate else cindex.TranslationUnit.PARSE_INCOMPLETE
    unit = index.parse("all.cpp", STRICT + paths, unsaved_files=[("all.cpp", everything)], options=options)
    failures = [f"{message.location.file}:{message.location.line}: {message.spelling}" for message in unit.diagnostics
                 if message.severity >= cindex.Diagnostic.Warning]
    failures += [f"{header} names {name} and does not include {at}, nor what would bring it"
                 for header, name, at in names_without_include(unit, str(folder), closure)]

    failures += [f"{file}:{line}: {name} is defined in every unit that includes it, expected inline"
                 for file, line, name in defined_in_every_unit(unit.cursor, str(folder))]

    for compiler in arguments.compiler:
        if not Path(compiler).name.startswith("clang"):  # whose library has said all that it has to say
            strict = subprocess.run([compiler, *STRICT, *paths, "-fsyntax-only", "-x", "c++", "-"], input=everything,
                                    capture_output=True, text=True, check=False)
            failures += [line for line in strict.stderr.splitlines() if "error:" in line]
        log = subprocess.run([compiler, "-std=c++20", *paths, "-E", "-dD", "-x", "c++", "-"], input=everything,
                             capture_output=True, text=True, check=False)
        if log.returncode != 0:
            failures.append(f"{compiler} -E: {log.stderr.splitlines()[0]}")
        failures += [f"{file} leaves the macro {name} behind; macros of ours begin with MERIT_"
                     for name, file in macros_left_behind(log.stdout, str(folder)).items() if not name.startswith("MERIT_")]

    for failure in failures:
        print("FAILED:", failure)
    print(f"{0 if failures else len(headers)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
