#!/usr/bin/env python3
"""Adds up test results. Usage: totals.py [--shared] RESULTS.xml ... (what `ctest --output-junit` wrote)

Prints three numbers, "PASSED FAILED SKIPPED". A doctest executable counts with its cases, a script with the "N passed,
N failed" of its last line, anything else as one. What a test leaves out it says in a line "SKIPPED: what: why"; such a
line is no pass, and a failure where ALLOWED does not list it. --shared: the machine has the folder of shared data, so
that nothing may be left out for want of it.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree

DOCTEST = re.compile(r"^\[doctest\] test cases:\s*\d+\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed", re.M)
SCRIPT = re.compile(r"^(\d+) passed, (\d+) failed\s*$", re.M)
SKIPPED = re.compile(r"^SKIPPED: (.*)$", re.M)

# What may be left out, as "what: why" begins: where a tool is not installed, or a build cannot have the test.
ALLOWED = [
    r"device(_kernels)?: nvcc was not found",
    r"report_page: no chromium is installed",
    r"format: clang-format (was not found|is not release)",
    r"headers: clang's library (for Python is not here|does not load)",
    r"package: (pkg-config|no BLAS) was",
    r"programs: mpirun is not installed",
    r"package: kernels for several instruction sets need",
    r".*: allocations cannot be counted under the sanitizers",
]
WITHOUT_SHARED = r".*: MERIT_SHARED names no folder"


def is_allowed(skip, shared):
    return any(re.match(pattern, skip) for pattern in ALLOWED + ([] if shared else [WITHOUT_SHARED]))


def counts(case, shared):
    """(passed, failed, skipped) of one CTest test."""
    output = re.sub(r"\x1b\[[0-9;]*m", "", case.findtext("system-out") or "")
    skips = [skip.strip() for skip in SKIPPED.findall(output)]
    refused = [skip for skip in skips if not is_allowed(skip, shared)]
    for skip in refused:
        print(f"may not be skipped: {skip}", file=sys.stderr)
    skipped = len(skips) - len(refused)
    status = case.get("status")  # run, fail, notrun or disabled
    if status != "fail" and case.find("skipped") is not None:
        # A check that does not apply here says so, and why; a program that is missing says nothing.
        return 0, len(refused) if skips else 1, skipped
    found = DOCTEST.findall(output)
    if found:
        passed, failed = (sum(map(int, column)) for column in zip(*found))
        passed -= len(skips)  # to doctest, a case that returns early has passed
    else:
        passed, failed = map(int, (SCRIPT.findall(output) or [(0, 0)])[-1])
    failed += len(refused)
    if status != "run":
        failed = max(failed, 1)  # a crash or a time limit leaves no summary
    elif passed + failed + skipped == 0:
        passed = 1
    return passed, failed, skipped


def main(arguments):
    shared = "--shared" in arguments
    totals = [0, 0, 0]
    for path in arguments:
        if path == "--shared":
            continue
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            more = counts(case, shared)
            totals = [a + b for a, b in zip(totals, more)]
            if more[1]:
                print(f"failed: {case.get('name')}", file=sys.stderr)
    print(*totals)


if __name__ == "__main__":
    main(sys.argv[1:])
