#!/usr/bin/env bash
# Everything that a machine with an NVIDIA GPU has to say, in under eight minutes: builds, tests the kernels and, where the
# device backend is there, its typed tests on the GPU, looks for bad accesses and races, measures each kernel and whole
# training steps, ours and PyTorch's, and writes one file.
#
# Usage: bench/device/run.sh [--dry-run] [--python PYTHON] [RESULTS]
#   RESULTS    the file to write; default: bench/results/DATE-device.md
#   --dry-run  on a machine without a GPU: builds all of it, starts each program that can start, says what waits
#   --python   an interpreter that has torch; default: python3
# Variables: TOKENS ("8192 65536"), MODELS ("gpt2-124m qwen2-0.5b"), LIMIT (470): seconds after which nothing new is begun,
# WORK (build/device): where it builds.
set -u
cd "$(dirname "$0")/../.." || exit 1

dry=no python=python3 results=""
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry=yes ;;
    --python) python=${2:?--python takes an interpreter} && shift ;;
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0" && exit 0 ;;
    -*) echo "run.sh: unknown option $1" >&2 && exit 2 ;;
    *) results=$1 ;;
  esac
  shift
done
results=${results:-bench/results/$(date +%F)-device.md}
work=${WORK:-build/device}
limit=${LIMIT:-470}
tokens=${TOKENS:-8192 65536}
models=${MODELS:-gpt2-124m qwen2-0.5b}
if [ $dry = yes ]; then tokens=600 models="tiny-gpt2 tiny-qwen2"; fi
mkdir -p "$work" "$(dirname "$results")" || exit 1
failed=0

say() { printf '\n%s\n\n' "$1" | tee -a "$results"; }
# record SECONDS TITLE COMMAND...: its last lines become a part of the file; a failure or no end in time is said there.
record() {
  local limit=$1 title=$2 begin=$SECONDS status
  shift 2
  timeout "$limit" "$@" >"$work/output" 2>&1
  status=$?
  {
    printf '\n## %s (%d s)\n\n```\n' "$title" $((SECONDS - begin))
    tail -n 60 "$work/output" | cut -c 1-400
    printf '```\n'
    [ $status -eq 0 ] || printf '\n**FAILED** with status %d: `%s`\n' $status "$*"
  } >>"$results"
  echo "$title: status $status, $((SECONDS - begin)) s"
  [ $status -eq 0 ] || failed=$((failed + 1))
  return $status
}

command -v nvcc >/dev/null || { echo "run.sh: nvcc was not found" >&2 && exit 1; }
gpu=no
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader >"$work/gpu" 2>&1 && gpu=yes
if [ $gpu = no ] && [ $dry = no ]; then
  echo "run.sh: there is no GPU here: $(head -n 1 "$work/gpu"). With --dry-run everything else is done." >&2
  exit 1
fi
{
  printf '# The device, %s\n\n' "$(date +%F)"
  if [ $gpu = yes ]; then printf 'GPU, memory, driver: %s. ' "$(cat "$work/gpu")"; else printf 'No GPU: a dry run. '; fi
  printf '%s. Commit %s.\n' "$(nvcc --version | grep -o 'release [0-9.]*')" "$(git rev-parse --short HEAD 2>/dev/null)"
} >"$results"

# ---- Build: three things at once -----------------------------------------------------------------------------------

SECONDS=0
say "Built by nvcc, -O3, for compute_90a"
nvcc_options=(-std=c++20 -O3 -Werror all-warnings --expt-relaxed-constexpr -gencode "arch=compute_90a,code=sm_90a" -Iinclude -Ibench)
nvcc "${nvcc_options[@]}" bench/device/kernels_bench.cu -lcublasLt -o "$work/kernels_bench" >"$work/bench.log" 2>&1 &
build_bench=$!
cmake_options=(-DCMAKE_BUILD_TYPE=Release -DMERIT_BUILD_EXAMPLES=OFF)
targets=(device_step)
if grep -q 'option(MERIT_DEVICE ' CMakeLists.txt; then # the device backend is there
  cmake_options+=(-DMERIT_DEVICE=ON -DCMAKE_CUDA_ARCHITECTURES=90a-real)
  targets+=(test_device)
fi
{
  cmake -S . -B "$work/cmake" "${cmake_options[@]}" &&
    cmake --build "$work/cmake" --parallel "${JOBS:-$(nproc)}" --target "${targets[@]}"
} >"$work/cmake.log" 2>&1 &
build_step=$!
record 300 "Registers and spills of the kernels" python3 tests/device/check_kernels.py --root=. --output="$work/kernels_test"
wait $build_bench || { failed=$((failed + 1)) && say "**FAILED**: kernels_bench: $(tail -n 5 "$work/bench.log")"; }
wait $build_step || { failed=$((failed + 1)) && say "**FAILED**: device_step: $(tail -n 5 "$work/cmake.log")"; }
step=$work/cmake/bench/device_step
echo "built in $SECONDS s"

# ---- Test ------------------------------------------------------------------------------------------------------------

if [ $gpu = yes ]; then
  record 120 "The kernels' tests on the GPU" "$work/kernels_test"
  [ -x "$work/cmake/tests/test_device" ] && record 120 "The operations' tests on the GPU" "$work/cmake/tests/test_device"
  if command -v compute-sanitizer >/dev/null; then
    # Of the small shapes: a sanitizer makes a kernel tens of times slower.
    some=--test-case-exclude="*wide heads*,*8192*,*many columns*"
    record 90 "compute-sanitizer memcheck" compute-sanitizer --tool memcheck --error-exitcode 9 "$work/kernels_test" "$some"
    record 90 "compute-sanitizer racecheck" compute-sanitizer --tool racecheck --error-exitcode 9 "$work/kernels_test" "$some"
  else
    say "compute-sanitizer was not found."
  fi
else
  say "Waits for a GPU: the kernels' tests and those of the operations, compute-sanitizer, the kernels' times."
  # Each begins, and says in a sentence why it goes no further.
  "$work/kernels_bench" >"$work/output" 2>&1
  say "kernels_bench says: $(tail -n 1 "$work/output")"
fi

# ---- Measure ---------------------------------------------------------------------------------------------------------

peak=0
if [ $gpu = yes ]; then
  if record 120 "Kernels beside the ceilings" "$work/kernels_bench" 8192; then
    peak=$(grep -o 'of 8192³: [0-9]*' "$work/output" | grep -o '[0-9]*$')
  fi
fi
steps=20
[ $dry = yes ] && steps=2
say "Steps: merit (median of $steps)"
for count in $tokens; do
  for model in $models; do
    for workload in dense packed shared; do
      [ -x "$step" ] || continue
      timeout 60 "$step" "$model" "$count" $workload $steps bench/device/pairs.txt "$peak" >"$work/output" 2>&1 || failed=$((failed + 1))
      printf '    %s\n' "$(tail -n 1 "$work/output")" >>"$results"
    done
  done
done
echo "merit's steps: $SECONDS s so far"

# The peer compiles for half a minute each time, so what matters most comes first, and the rest waits for another run with
# TOKENS and MODELS.
if "$python" -c 'import torch' 2>/dev/null; then
  way=graph # the whole step as one CUDA graph, compiled
  [ $dry = yes ] && way=eager
  say "Steps: PyTorch, $way (median of $steps)"
  for count in $tokens; do
    for model in $models; do
      for workload in dense packed padded; do
        left=$((limit - SECONDS))
        if [ $left -lt 45 ]; then
          echo "    left out for want of time: $model, $count tokens, $workload" >>"$results"
          continue
        fi
        timeout $left "$python" bench/peer/device_step.py --model "$model" --tokens "$count" --workload $workload --ways $way \
          --steps $steps --peak "$peak" >"$work/output" 2>"$work/errors" ||
          { failed=$((failed + 1)) && tail -n 1 "$work/errors" >>"$work/output"; }
        printf '    %s\n' "$(tail -n 1 "$work/output")" >>"$results"
      done
    done
  done
else
  say "$python has no torch: the peer's side is left out."
fi

say "Done in $SECONDS s, $failed failed."
[ $failed -eq 0 ]
