#!/usr/bin/env bash
# Builds and tests everything. On a Debian machine it installs what is missing when it may. Its last line is
# "N passed, N failed", and it ends with a status other than zero when anything failed.
set -u
cd "$(dirname "$0")/.." || exit 1

usage() {
  cat <<'TEXT'
Usage: tests/run.sh [--quick | --full] [--no-install]
  (default)     every test once: the checks, the programs and what tests numbers (g++, optimised), the other unit
                tests under the sanitizers (clang++)
  --quick       the release build alone, with every test in it
  --full        every test optimised (g++), the unit tests under the sanitizers, built by clang++, and on the
                machine's BLAS, and each header alone with each compiler
  --no-install  never install packages; say what is missing
The environment variable MERIT_SHARED may name a folder of real data and models (default: ../shared).
TEXT
}

presets="rest debug"
each_header=no
may_install=yes
for argument in "$@"; do
  case $argument in
    --quick) presets="release" ;;
    --full) presets="release debug clang blas" each_header=yes ;;
    --no-install) may_install=no ;;
    -h | --help) usage && exit 0 ;;
    *) echo "tests/run.sh: unknown option $argument" >&2 && usage >&2 && exit 2 ;;
  esac
done

passed=0
failed=0
skipped=0
# Where there is shared data, no test may be skipped for want of it.
has_shared=""
if [ -n "${MERIT_SHARED:-}" ] || [ -d ../shared ]; then has_shared=--shared; fi
started=$SECONDS

say() { printf '\n== %s (%d min %02d s)\n' "$1" $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)); }

finish() {
  [ "$skipped" -eq 0 ] || printf '\n%d skipped, as tests/totals.py allows\n' "$skipped"
  printf '\n%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
  exit
}

# ---- Packages --------------------------------------------------------------------------------------------------

packages="g++ cmake ninja-build pkg-config python3 libeigen3-dev doctest-dev nlohmann-json3-dev libpcre2-dev
  libutf8proc-dev libcli11-dev libcpp-httplib-dev libbenchmark-dev libopenblas-dev openmpi-bin libopenmpi-dev
  clang clang-format python3-clang libomp-dev lld chromium fonts-dejavu-core"

say "looking for packages"
if command -v dpkg-query >/dev/null; then
  missing=""
  for package in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
  done
  as_root=""
  [ "$(id -u)" -eq 0 ] || as_root="sudo -n"
  if [ -n "$missing" ] && [ $may_install = yes ] && { [ -z "$as_root" ] || sudo -n true 2>/dev/null; }; then
    echo "installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of words
    { $as_root apt-get update -q && $as_root apt-get install -q -y --no-install-recommends $missing; } >/dev/null
  fi
  still_missing=""
  for package in $missing; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || still_missing="$still_missing $package"
  done
  if [ -n "$still_missing" ]; then
    echo "missing packages:$still_missing"
    echo "install them with: apt-get install$still_missing"
    failed=1
    finish
  fi
else
  echo "not a Debian machine: the packages named in this script are expected to be there"
fi

# ---- Build and test --------------------------------------------------------------------------------------------

command -v ninja >/dev/null && export CMAKE_GENERATOR=Ninja # for new build folders; an existing one keeps its own
jobs=$(nproc 2>/dev/null || echo 2)

# Configures and builds a preset; what it prints goes on after an error, so that one run shows as much as it can.
build() {
  local folder=build/$1 keep_going=(-- -k) no_lines=""
  [ "$1" != debug ] || no_lines=-DCMAKE_CXX_FLAGS=-g0
  mkdir -p "$folder"
  # Debug lines are a good part of the sanitized build's time. Without them the address sanitizer names functions alone; a report of
  # `cmake --preset debug` has lines, too.
  # shellcheck disable=SC2086 # a word or none
  if ! cmake --preset "$1" -DMERIT_TEST_UNITY=ON $no_lines >"$folder/configure.log" 2>&1; then
    cat "$folder/configure.log"
    return 1
  fi
  grep -q '^CMAKE_GENERATOR:INTERNAL=Ninja' "$folder/CMakeCache.txt" && keep_going=(-- -k 0)
  cmake --build --preset "$1" --parallel "$jobs" "${keep_going[@]}" && return
  echo "FAILED: the build of $1"
  return 1
}

# The next preset is built while this one is tested: either leaves a core idle for some of its time.
read -r -a in_order <<<"$presets"
mkdir -p build
say "${in_order[0]}: building in build/${in_order[0]}"
build "${in_order[0]}" || failed=$((failed + 1))
for number in "${!in_order[@]}"; do
  preset=${in_order[number]}
  folder=build/$preset
  next=${in_order[number + 1]:-}
  if [ -n "$next" ]; then
    (renice -n 10 "$BASHPID" >/dev/null 2>&1; build "$next") >"build/$next.log" 2>&1 &
    building=$!
  fi

  say "$preset: testing"
  rm -f "$folder/results.xml"
  ctest --preset "$preset" --parallel "$jobs" --output-junit results.xml --test-output-size-passed 10000000 \
    --test-output-size-failed 10000000
  if [ -s "$folder/results.xml" ]; then
    read -r more_passed more_failed more_skipped < <(python3 tests/totals.py $has_shared "$folder/results.xml")
    passed=$((passed + more_passed))
    failed=$((failed + more_failed))
    skipped=$((skipped + more_skipped))
    echo "$preset: $more_passed of $((more_passed + more_failed)) passed, $more_skipped skipped"
  else
    echo "FAILED: the tests of $preset left no results"
    failed=$((failed + 1))
  fi
  if [ -n "$next" ]; then
    say "$next: building in build/$next, begun beside the tests"
    wait "$building" || failed=$((failed + 1))
    cat "build/$next.log"
  fi
done

if [ $each_header = yes ]; then
  say "each header alone with each compiler"
  if cmake --build --preset release --target headers_alone; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
  fi
fi

say "done"
finish
