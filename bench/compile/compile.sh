#!/usr/bin/env bash
# Processor time and peak memory of the compiler, with -O2, for units that hold a model.
# Usage: compile.sh [COMPILER...]   (g++ and clang++, as far as they are there)
# Environment: EIGEN_INCLUDE, the folder of Eigen's headers (asked of pkg-config).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
eigen=${EIGEN_INCLUDE:-$(pkg-config --cflags-only-I eigen3 | sed 's/^ *-I//; s/ *$//')}
[ $# -gt 0 ] || set -- g++ clang++
for compiler in "$@"; do
  command -v "$compiler" >/dev/null || continue
  "$compiler" --version | head -n 1
  python3 "$root/tests/compile_budget/measure.py" --compiler "$compiler" --include="$root/include" \
    --system-include="$eigen" "$root/tests/compile_budget" "$root/bench/compile"
done
