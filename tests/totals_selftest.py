#!/usr/bin/env python3
"""That totals.py counts what it promises to: results made up here, and what they add up to."""

import contextlib
import io
import sys
import xml.etree.ElementTree as ElementTree

from totals import counts

DOCTEST = "[doctest] test cases:  {} | {} passed | {} failed | 0 skipped"
NO_DATA = "SKIPPED: the real files: MERIT_SHARED names no folder of shared data"
NO_BROWSER = "SKIPPED: report_page: no chromium is installed, so the page was not looked at"

# name, status, whether CTest counts it as skipped, output, shared data: (passed, failed, skipped)
CASES = [
    ("doctest", "run", False, DOCTEST.format(7, 7, 0), True, (7, 0, 0)),
    ("doctest that fails", "fail", False, DOCTEST.format(7, 5, 2), True, (5, 2, 0)),
    ("script", "run", False, "first\n3 passed, 0 failed", True, (3, 0, 0)),
    ("says nothing", "run", False, "", True, (1, 0, 0)),
    ("crash", "fail", False, "", True, (0, 1, 0)),
    ("program missing", "notrun", True, "", True, (0, 1, 0)),
    ("no data", "run", False, NO_DATA + "\n" + DOCTEST.format(7, 7, 0), False, (6, 0, 1)),
    ("no data though it is there", "run", False, NO_DATA + "\n" + DOCTEST.format(7, 7, 0), True, (6, 1, 0)),
    ("no browser", "notrun", True, NO_BROWSER, True, (0, 0, 1)),
    ("skips without a word", "notrun", True, "nothing to do", True, (0, 1, 0)),
    ("skips what may not be", "notrun", True, "SKIPPED: lint: too late in the day", False, (0, 1, 0)),
    ("part of a script", "run", False, "SKIPPED: package: no BLAS was found\n9 passed, 0 failed", True, (9, 0, 1)),
    ("skips and fails", "fail", False, NO_DATA + "\n" + DOCTEST.format(7, 6, 1), False, (5, 1, 1)),
]


def main():
    failed = 0
    for name, status, skipped, output, shared, expected in CASES:
        case = ElementTree.Element("testcase", name=name, status=status)
        ElementTree.SubElement(case, "system-out").text = output
        if skipped:
            ElementTree.SubElement(case, "skipped", message="SKIP_RETURN_CODE=77")
        with contextlib.redirect_stderr(io.StringIO()):
            found = counts(case, shared)
        if found != expected:
            failed += 1
            print(f"FAILED: {name}: {found}, expected {expected}")
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
