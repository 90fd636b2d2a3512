#!/usr/bin/env python3
"""Adds up test results. Usage: totals.py RESULTS.xml ... (what `ctest --output-junit` wrote)

Prints two numbers, "PASSED FAILED". A doctest executable counts with its cases, a script with the "N passed,
N failed" of its last line, anything else as one.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree

DOCTEST = re.compile(r"^\[doctest\] test cases:\s*\d+\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed", re.M)
SCRIPT = re.compile(r"^(\d+) passed, (\d+) failed\s*$", re.M)


def counts(case):
    """(passed, failed) of one CTest test."""
    status = case.get("status")  # run, fail, notrun or disabled
    if case.find("skipped") is not None and status != "fail":
        # A check that says why it does not apply here is neither; a program that is missing has failed.
        skipped_by_itself = "SKIP" in (case.find("skipped").get("message") or "").upper()
        return (0, 0) if skipped_by_itself else (0, 1)
    output = re.sub(r"\x1b\[[0-9;]*m", "", case.findtext("system-out") or "")
    found = DOCTEST.findall(output) or SCRIPT.findall(output)[-1:]
    passed, failed = (sum(map(int, column)) for column in zip(*found)) if found else (0, 0)
    if status != "run":
        failed = max(failed, 1)  # a crash or a time limit leaves no summary
    elif passed + failed == 0:
        passed = 1
    return passed, failed


def main():
    passed = failed = 0
    for path in sys.argv[1:]:
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            more_passed, more_failed = counts(case)
            passed += more_passed
            failed += more_failed
            if more_failed:
                print(f"failed: {case.get('name')}", file=sys.stderr)
    print(passed, failed)


if __name__ == "__main__":
    main()
