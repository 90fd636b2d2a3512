#!/usr/bin/env python3
"""Checks that of each unit of kernels in merit::compiled the linker sees one symbol, its table. Any other function of it,
compiled for a better machine than the program may run on, could be taken for the whole program.
Usage: check_kernels.py NM LIBRARY
"""
import subprocess
import sys


def symbols_of_kernels(listing):
    """The defined global symbols of each member named kernels_…, from the output of nm -g."""
    symbols, member = {}, None
    for line in listing.splitlines():
        words = line.split()
        if line.endswith(":"):
            member = line[:-1] if line.startswith("kernels_") else None
            if member:
                symbols[member] = []
        elif member and len(words) == 3:
            symbols[member].append(words[2])
    return symbols


def offences(symbols):
    if not symbols:
        yield "the library has no member kernels_…"
    for member, names in sorted(symbols.items()):
        table = "merit_" + member.split(".")[0]
        if names != [table]:
            yield f"{member}: expected {table} as its only global symbol, found {len(names)}: {', '.join(names[:5])}"


def main():
    listing = subprocess.run([sys.argv[1], "-g", "--defined-only", sys.argv[2]], capture_output=True, text=True, check=True)
    symbols = symbols_of_kernels(listing.stdout)
    # A processor without variants has one unit, compiled as the rest of the program is.
    if list(symbols) == ["kernels_baseline.cpp.o"]:
        print("SKIPPED: package: kernels for several instruction sets need x86-64, ELF, GNU ld and a compiler that knows them")
        return 77
    found = list(offences(symbols))
    for offence in found:
        print("FAILED:", offence)
    print(f"{len(symbols) if not found else 0} passed, {len(found)} failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
