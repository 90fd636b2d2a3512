#!/usr/bin/env bash
# Trains on real preferences (Anthropic hh-rlhf, harmless) and prints a table: held-out accuracy and cost of the bag of
# tokens, the published floor's kind of model, and of small transformers from scratch.
#   bench/hh_harmless.sh BUILD_FOLDER DATA_FOLDER      DATA_FOLDER holds train.jsonl and eval.jsonl
set -eu
if [ $# -ne 2 ] || [ ! -e "$2/train.jsonl" ]; then
  sed -n '2,4p' "$0" | cut -c3-
  exit 2
fi
train=$1/examples/merit_train
data=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

run() { # name, options of merit_train …
  name=$1
  shift
  for seed in 0 1 2; do
    "$train" --train "$data/train.jsonl" --eval "$data/eval.jsonl" --max-tokens 4096 --out "$work/model" --overwrite \
      --seed $seed --json "$@" 2>>"$work/log" >"$work/$seed.json" || { tail -n 3 "$work/log" && exit 1; }
  done
  python3 - "$name" "$work"/[012].json <<'PYTHON'
import json, sys
runs = [json.load(open(path)) for path in sys.argv[2:]]
accuracy = [run["evaluation"]["accuracy"] for run in runs]
print(f"| {sys.argv[1]} | " + ", ".join(f"{a['value']:.3f}" for a in accuracy) +
      f" | {accuracy[0]['low']:.3f} to {accuracy[0]['high']:.3f} | {runs[0]['parameters']:,} | {runs[0]['tokens']:,} | "
      f"{min(run['seconds'] for run in runs):.1f} |")
if sys.argv[1].startswith("bag of bytes"):
    longer = runs[0]["evaluation"]["longer_wins"]
    print(f"| the longer answer | {longer['value']:.3f} | {longer['low']:.3f} to {longer['high']:.3f} | 0 | 0 | 0 |")
PYTHON
}

echo "| model | held-out accuracy, seeds 0, 1, 2 | 95% interval, seed 0 | parameters | tokens computed | training, s |"
echo "|---|---|---|---|---|---|"
run "bag of bytes" --backbone bag_of_tokens --width 16 --lr 0.03 --epochs 5 --batch-size 32
run "bag of words (hashed)" --backbone bag_of_tokens --width 16 --tokenizer words:65536 --lr 0.01 --epochs 2 --batch-size 32
run "transformer on words, 2 layers of 64" --backbone llama --hidden-size 64 --layers 2 --heads 4 --tokenizer words:16384 --epochs 2
run "transformer on bytes, 2 layers of 64" --backbone llama --hidden-size 64 --layers 2 --heads 4 --epochs 2
