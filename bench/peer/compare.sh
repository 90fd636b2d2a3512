#!/usr/bin/env bash
# Times our training step and PyTorch's in turns and prints a table. Usage: compare.sh PEER_STEP PYTHON
#   PEER_STEP  our program, as built: BUILD/bench/peer_step
#   PYTHON     an interpreter that has torch and transformers
# Environment: WIDTH (256) LAYERS (4) PAIRS (8) of the model and the batch; ROUNDS (3) and STEPS (5) of the
# measurement; THREADS (2); COMPILE=1 adds torch.compile.
set -euo pipefail
if [ $# -ne 2 ]; then
  sed -n '2,6s/^# //p' "$0" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
peer_step=$1
python=$2
steps=${STEPS:-5}
export OMP_NUM_THREADS=${THREADS:-2}
export HF_HUB_OFFLINE=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# side COMMAND...: runs one side and keeps its line.
side() {
  "$@" 2>"$work/errors" >>"$work/runs" || { cat "$work/errors" >&2; exit 1; }
}

for workload in varied equal; do
  "$peer_step" prepare "$work/$workload" "$workload" "${WIDTH:-256}" "${LAYERS:-4}" "${PAIRS:-8}"
  for ((round = 0; round < ${ROUNDS:-3}; ++round)); do
    side "$peer_step" run "$work/$workload" shared "$steps"
    side "$peer_step" run "$work/$workload" apart "$steps"
    for batching in padded sorted single; do
      torch=("$python" "$here/torch_step.py" "$work/$workload" --batching "$batching" --steps "$steps" \
             --threads "$OMP_NUM_THREADS")
      side "${torch[@]}"
      if [ "${COMPILE:-0}" = 1 ]; then side "${torch[@]}" --compile; fi
    done
  done
done
"$python" "$here/report.py" <"$work/runs"
