#!/usr/bin/env bash
# Everything that a machine with an NVIDIA GPU has to say, in under eight minutes: builds, tests the kernels and the device
# backend's operations, looks for bad accesses and races, measures each kernel and whole training steps, ours and PyTorch's,
# and writes one file as it goes.
#
# Usage: bench/device/run.sh [OPTIONS]; paths are relative to the project's folder
#   --out FILE        Markdown, default bench/results/DATE-device.md; beside it, with the ending .log, all that was printed,
#                     of which device/table.py makes the tables again
#   --only PARTS      some of build,test,sanitize,measure,check,peer, in the order given; default: all, in this order
#   --build-only DIR  only builds, and leaves in DIR what --prebuilt takes to a machine that lacks what a build needs
#   --prebuilt DIR    builds nothing, runs what lies in DIR
#   --python PYTHON   an interpreter that has torch; default: python3
#   --dry-run         prints the steps and the most seconds of each, runs nothing
#   --tiny            without a GPU: tiny models on the host, to see that the script runs; no tests and no sanitizers
# Variables: LIMIT (470): seconds, after which everything has ended; TOKENS ("8192 65536"); MODELS ("gpt2-124m qwen2-0.5b");
# WORK (build/device): where it builds; JOBS: compilers at once; PEAK: TFLOP/s of a large product, where measure is left out;
# CAPABILITY (9.0): of the GPU that --build-only builds for; PEER_OPTIONS: more of peer/device_step.py's.
set -u
cd "$(dirname "$0")/../.." || exit 1

dry=no tiny=no python=python3 results="" prebuilt="" build_only="" only=build,test,sanitize,measure,check,peer
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry=yes ;;
    --tiny) tiny=yes ;;
    -h | --help) sed -n '2,21s/^# \{0,1\}//p' "$0" && exit 0 ;;
    --out | --only | --build-only | --prebuilt | --python)
      [ $# -gt 1 ] || { echo "run.sh: $1 takes a value" >&2 && exit 2; }
      case $1 in
        --out) results=$2 ;;
        --only) only=$2 ;;
        --build-only) build_only=$2 ;;
        --prebuilt) prebuilt=$2 ;;
        --python) python=$2 ;;
      esac
      shift
      ;;
    *) echo "run.sh: unknown option $1; --help lists them" >&2 && exit 2 ;;
  esac
  shift
done
for part in ${only//,/ }; do
  case $part in
    build | test | sanitize | measure | check | peer) ;;
    *) echo "run.sh: --only has $part, expected some of build,test,sanitize,measure,check,peer" >&2 && exit 2 ;;
  esac
done
results=${results:-bench/results/$(date +%F)-device.md}
work=${WORK:-build/device}
limit=${LIMIT:-470}
tokens=${TOKENS:-8192 65536}
models=${MODELS:-gpt2-124m qwen2-0.5b}
steps=20
if [ $tiny = yes ]; then tokens=600 models="tiny-gpt2 tiny-qwen2" steps=2; fi
if [ -n "$build_only" ]; then
  only=build limit=${LIMIT:-3600} results=$work/build.md
  mkdir -p "$build_only" || exit 1
fi
bin=${build_only:-${prebuilt:-$work/bin}}
[ -z "$prebuilt" ] || only=$(echo ",$only," | sed 's/,build,/,/')
log=${results%.md}.log
mkdir -p "$work" "$bin" "$(dirname "$results")" || exit 1
failed=0 left_out=0 running="" ahead="" done_with=no
SECONDS=0

# ---- A step of the script: a command, the most seconds it may take, and what it said -----------------------------------

say() { [ $dry = yes ] || printf '\n%s\n' "$1" | tee -a "$results"; }

# What was said is written even where the script is ended from outside.
finish() {
  [ -z "$running$ahead" ] || kill $running $ahead 2>/dev/null
  [ $dry = yes ] || [ $done_with = yes ] || {
    done_with=yes
    local table=""
    [ -n "$build_only" ] || table=$("$python" bench/device/table.py "$log")
    [ -z "$table" ] || printf '\n## Both sides\n\n%s\n' "$table" | tee -a "$results"
    say "Done in $SECONDS s: $failed failed, $left_out left out for want of time."
  }
}
trap finish EXIT
trap 'trap "" TERM INT; say "Ended from outside."; exit 143' TERM INT

# record SECONDS TITLE COMMAND...: no more than so many seconds, nor than are left. The last lines of what it says become a
# part of the file, the whole of it a part of the log; $output holds it.
output=""
record() {
  local most=$1 title=$2 left=$((limit - SECONDS)) begin=$SECONDS from status
  shift 2
  [ "$most" -le $left ] || most=$left
  if [ $dry = yes ]; then printf '%4d s  %s: %s\n' "$most" "$title" "$*" && return 0; fi
  if [ "$most" -lt 5 ]; then
    left_out=$((left_out + 1))
    say "Left out for want of time: $title."
    return 1
  fi
  touch "$log"
  from=$(wc -c <"$log")
  # In the background, so that the script hears a signal meanwhile.
  timeout -k 5 "$most" "$@" >>"$log" 2>&1 &
  running=$!
  wait $running
  status=$?
  running=""
  output=$work/output
  tail -c +$((from + 1)) "$log" >"$output"
  {
    printf '\n## %s (%d s)\n\n```\n' "$title" $((SECONDS - begin))
    tail -n 120 "$output" | cut -c 1-400
    printf '```\n'
    case $status in
      0) ;;
      124 | 137) printf '\n**FAILED**: it had not ended after %d s: `%s`\n' "$most" "$*" ;;
      *) printf '\n**FAILED** with status %d: `%s`\n' $status "$*" ;;
    esac
  } >>"$results"
  echo "$title: status $status, $((SECONDS - begin)) s; $SECONDS s in all"
  [ $status -eq 0 ] || failed=$((failed + 1))
  return $status
}

# ---- What there is -------------------------------------------------------------------------------------------------------

gpu=no capability=${CAPABILITY:-9.0}
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader >"$work/gpu" 2>&1 && gpu=yes
if [ $gpu = yes ]; then
  capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1)
elif [ $tiny = no ] && [ $dry = no ] && [ -z "$build_only" ]; then
  done_with=yes
  echo "run.sh: there is no GPU here: $(head -n 1 "$work/gpu"). --build-only builds for one, --tiny runs on the host." >&2
  exit 1
fi
architecture=${capability/./}
[ "$architecture" != 90 ] || architecture=90a # with Hopper's own instructions
if [ $dry = no ]; then
  {
    printf '# The device, %s\n\n' "$(date +%F)"
    if [ $gpu = yes ]; then printf 'GPU, memory, driver: %s. ' "$(cat "$work/gpu")"; else printf 'No GPU. '; fi
    printf '%s. ' "$(nvcc --version 2>/dev/null | grep -o 'release [0-9.]*' || echo 'No nvcc')"
    printf 'Commit %s.\n' "$(cat "$prebuilt/commit" 2>/dev/null || git rev-parse --short HEAD 2>/dev/null || echo unknown)"
  } >"$results"
  : >"$log"
fi
# Where cuBLASLt lies: beside nvcc, or in a Python package of its own.
libraries=$bin
for folder in "$(dirname "$(readlink -f "$(command -v nvcc)" 2>/dev/null)" 2>/dev/null)/../lib64" /usr/local/cuda/lib64 \
  $("$python" -c 'import glob, sysconfig; print(*glob.glob(sysconfig.get_path("purelib") + "/nvidia/*/lib"))' 2>/dev/null); do
  if [ -e "$folder/libcublasLt.so.13" ]; then libraries=$libraries:$folder && break; fi
done
# ours SECONDS TITLE PROGRAM...: the same as record, of a program of ours.
ours() {
  local most=$1 title=$2
  shift 2
  record "$most" "$title" env LD_LIBRARY_PATH="$libraries" OMP_WAIT_POLICY=passive MERIT_GOLDEN="$PWD/tests/golden" "$@"
}

# ---- Build -----------------------------------------------------------------------------------------------------------------

build() {
  local options=(-DCMAKE_BUILD_TYPE=Release -DMERIT_BUILD_EXAMPLES=OFF -DMERIT_WERROR=OFF) programs=(device_step precision_check)
  local program library all=() jobs=${JOBS:-$(nproc)}
  if [ $tiny = no ]; then
    # One GPU needs no NCCL; what the compiler brings is linked in, so that the programs run elsewhere.
    options+=(-DMERIT_DEVICE=ON "-DCMAKE_CUDA_ARCHITECTURES=$architecture-real" -DMERIT_NCCL_INCLUDE=OFF
      "-DCMAKE_EXE_LINKER_FLAGS=-static-libstdc++ -static-libgcc -Wl,--as-needed")
    programs+=(test_device)
    export NVCC_APPEND_FLAGS="-Xcompiler -static-libstdc++ -Xcompiler -static-libgcc"
    if [ "$architecture" != 90a ]; then
      say "For compute capability $capability all is built but the kernels' tests, which have code for 8.0 and PTX for 9.0."
      all=(--all)
    fi
  fi
  local compile=(cmake --build "$work/cmake" --parallel "$jobs" --target "${programs[@]}")
  record 300 "Build: configuring" cmake -S . -B "$work/cmake" "${options[@]}"
  if [ $tiny = no ]; then
    # Beside the other two where there are processors for it; what it says is heard when it is asked once more.
    if [ "$jobs" -gt 1 ] && [ $dry = no ]; then
      timeout $((limit - SECONDS)) "${compile[@]}" >/dev/null 2>&1 &
      ahead=$!
    fi
    record 3600 "Build: the kernels' bench" nvcc -std=c++20 -O3 --expt-relaxed-constexpr -gencode "arch=compute_$architecture,code=sm_$architecture" \
      -Iinclude bench/device/kernels_bench.cu -lcublasLt -o "$bin/kernels_bench"
    record 3600 "Build: the kernels' tests; registers and spills" \
      python3 tests/device/check_kernels.py --root=. "${all[@]}" --output="$bin/kernels_test"
    [ -z "$ahead" ] || wait "$ahead"
    ahead=""
  fi
  record 3600 "Build: ${programs[*]}" "${compile[@]}"
  [ $dry = no ] || return 0
  for program in "${programs[@]}"; do
    cp "$work/cmake/bench/$program" "$bin/" 2>/dev/null || cp "$work/cmake/tests/$program" "$bin/" 2>/dev/null
  done
  # What they still need and another machine may lack goes beside them; the C library and CUDA's are there.
  for program in "$bin"/{device_step,precision_check,test_device,kernels_bench,kernels_test}; do
    [ -x "$program" ] || continue
    ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' |
      grep -vE '/(libc|libm|libdl|librt|libpthread|ld-linux[^/]*|libcublas[^/]*|libcuda[^/]*|libstdc\+\+|libgcc_s)\.so' |
      while read -r library; do cp -L "$library" "$bin/"; done
  done
  git rev-parse --short HEAD >"$bin/commit" 2>/dev/null
  [ -z "$build_only" ] || say "$bin holds $(du -sm "$bin" | cut -f 1) MiB: $(ls "$bin" | tr '\n' ' ')"
}

# ---- Test ------------------------------------------------------------------------------------------------------------------

runs_here() { [ $dry = yes ] || [ -x "$bin/$1" ] || { say "There is no $bin/$1: built by the part build." && failed=$((failed + 1)) && false; }; }

test_() {
  [ $tiny = no ] || return 0
  runs_here kernels_test && ours 90 "The kernels' tests" "$bin/kernels_test"
  runs_here test_device && ours 120 "The operations' tests" "$bin/test_device"
}

# A sanitizer makes a kernel tens of times slower: of the kernels' tests without the large shapes, of the operations' what
# touches every kernel once, and training steps.
sanitize() {
  local tool
  [ $tiny = no ] || return 0
  if [ $dry = no ] && ! command -v compute-sanitizer >/dev/null; then
    say "compute-sanitizer was not found." && return 0
  fi
  for tool in memcheck racecheck; do
    runs_here kernels_test && ours 60 "$tool: the kernels' tests" compute-sanitizer --tool $tool --error-exitcode 9 \
      "$bin/kernels_test" "--test-case-exclude=*wide heads*,*long*,*many columns*"
    runs_here test_device && ours 60 "$tool: the operations' tests" compute-sanitizer --tool $tool --error-exitcode 9 \
      "$bin/test_device" "--test-case=training steps are the reference's*,gather reads rows*,heads compute in float*,products read the trained*,the loss of the next token and*,*agrees with its witnesses*,*agree with their witnesses*" \
      "--test-case-exclude=*random forests*,*by distance*,*long runs*"
  done
}

# ---- Measure ---------------------------------------------------------------------------------------------------------------

peak=${PEAK:-0} ours_seconds=0
our_steps() {
  local model begin=$SECONDS
  for model in $models; do
    runs_here device_step && ours 90 "Steps: merit, $model$1" "$bin/device_step" "$model" "${tokens// /,}" dense,packed,shared \
      $steps bench/device/pairs.txt "$peak"
  done
  ours_seconds=$((SECONDS - begin))
}

measure() {
  if [ $tiny = no ] && runs_here kernels_bench; then
    ours 90 "Kernels beside the ceilings" "$bin/kernels_bench" 8192 && [ $dry = no ] &&
      peak=$(grep -o 'of 8192³: [0-9]*' "$output" | grep -o '[0-9]*$')
  fi
  our_steps ""
}

have_torch() {
  [ $dry = yes ] || "$python" -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("torch"))' || { say "$python has no torch: the peer's side is left out." && false; }
}

check() {
  local most=90 small=() device=()
  if [ $tiny = yes ]; then most=400 small=(small) device=(--device cpu); fi
  runs_here precision_check && ours $most "bf16 beside float: merit" "$bin/precision_check" "$work/start" bench/device/pairs.txt "${small[@]}" &&
    have_torch && record $most "bf16 beside float: PyTorch" "$python" bench/peer/device_precision.py "$work/start" "${device[@]}"
}

# The peer compiles for long, so what matters most comes first in it, and it gets what is left, each model its share; then
# ours once more, so that the two sides stand on both sides of each other.
peer() {
  local model options=() left count budget
  have_torch || return 0
  [ $tiny = no ] || options=(--device cpu --ways eager)
  options+=(${PEER_OPTIONS:-})
  count=$(echo "$models" | wc -w)
  for model in $models; do
    left=$((limit - SECONDS - ours_seconds - 15))
    budget=$((left / count))
    count=$((count - 1))
    # It begins nothing new after four fifths of its time.
    record $budget "Steps: PyTorch, $model" "$python" bench/peer/device_step.py --model "$model" --tokens $tokens \
      --steps $steps --peak "${peak:-0}" --seconds $((budget * 4 / 5)) "${options[@]}"
  done
  our_steps ", once more"
}

for part in ${only//,/ }; do
  case $part in
    test) test_ ;;
    *) $part ;;
  esac
done
finish
[ $failed -eq 0 ]
