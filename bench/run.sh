#!/usr/bin/env bash
# Runs every bench and writes bench/results/DATE-NAME.md. Usage: run.sh NAME [PRESET]
#   NAME    of the machine or of what is tried: a word for the file's name
#   PRESET  of CMakePresets.json: release (the default), clang, blas
# Environment: MIN_TIME, whole seconds a benchmark is repeated for (5; those that compare two ways: 4 times that);
# MERIT_PYTHON, an interpreter with torch and transformers for the comparison with them (left out without it).
# The benches want the machine to themselves. Takes about ten minutes.
set -euo pipefail
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
  sed -n '2,7s/^# //p' "$0" >&2
  exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
name=$1
preset=${2:-release}
min_time=${MIN_TIME:-5}
build="$root/build/$preset"
result="$root/bench/results/$(date +%F)-$name.md"
cd "$root"
trap 'rm -f "$result.part"' EXIT

cmake --preset "$preset" >/dev/null
programs=()
for source in bench/*/*_bench.cpp; do
  programs+=("$(basename "$(dirname "$source")")_$(basename "$source" .cpp)")
done
cmake --build "$build" --target "${programs[@]}" peer_step

cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }

# section TITLE COMMAND...: what the command prints, under a heading.
section() {
  local title=$1
  shift
  echo "running: $title" >&2
  printf '\n## %s\n\n```\n' "$title"
  "$@" 2>&1 || echo "(ended with status $?)"
  printf '```\n'
}

# benchmark PROGRAM SECONDS: its table, without the preamble about the machine.
benchmark() {
  "$build/bench/$1" --benchmark_min_time="$2" --benchmark_counters_tabular=true 2>/dev/null
}

{
  echo "# $name, $(date +%F)"
  echo
  echo "- Processor: $(LC_ALL=C lscpu | sed -n 's/^Model name: *//p'), $(nproc) cores"
  echo "- Memory: $(awk '/^MemTotal/ {printf "%.0f GB", $2 / 1e6}' /proc/meminfo)"
  echo "- Compiler: $("$(cached CMAKE_CXX_COMPILER)" --version | head -n 1)"
  echo "- Flags: preset $preset, $(cached CMAKE_CXX_FLAGS_RELEASE) -march=$(cached MERIT_ARCH), \
BLAS $(cached MERIT_USE_BLAS)"
  echo "- Source: $(git rev-parse --short HEAD 2>/dev/null || echo unknown)$(
    [ -z "$(git status --porcelain 2>/dev/null)" ] || echo " with changes")"
  echo "- Load before: $(cut -d ' ' -f 1 /proc/loadavg)"
  for program in "${programs[@]}"; do
    case $program in
      train_*) section "$program" benchmark "$program" $((4 * min_time)) ;;
      *) section "$program" benchmark "$program" "$min_time" ;;
    esac
  done
  section "compile" bench/compile/compile.sh
  if [ -n "${MERIT_PYTHON:-}" ]; then
    echo "running: peer" >&2
    printf '\n## peer\n'
    bench/peer/compare.sh "$build/bench/peer_step" "$MERIT_PYTHON" || echo "(ended with status $?)"
  else
    printf '\n## peer\n\nLeft out: MERIT_PYTHON is not set.\n'
  fi
} >"$result.part"
mv "$result.part" "$result"
echo "$result"
