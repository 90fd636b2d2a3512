#!/usr/bin/env bash
# Times our training step and PyTorch's in turns and prints a table. Usage: compare.sh PEER_STEP PYTHON
#   PEER_STEP  our program, as built: BUILD/bench/peer_step
#   PYTHON     an interpreter that has torch and transformers
# Environment: WIDTH (256) LAYERS (4) PAIRS (8) of the model and the batch; ROUNDS (7) and STEPS (5) of the
# measurement; THREADS (2); COMPILE=1 adds torch.compile. Both sides wait for their threads alike
# (OMP_WAIT_POLICY, passive unless it is set), and the order of the sides is turned round in every round.
set -euo pipefail
if [ $# -ne 2 ]; then
  sed -n '2,7s/^# //p' "$0" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
peer_step=$1
python=$2
steps=${STEPS:-5}
export OMP_NUM_THREADS=${THREADS:-2}
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
export HF_HUB_OFFLINE=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# side COMMAND...: runs one side and keeps its line.
side() {
  "$@" 2>"$work/errors" >>"$work/runs" || { cat "$work/errors" >&2; exit 1; }
}

# run_side WORKLOAD NAME: shared and apart are ours; the others are PyTorch's batching, with + through torch.compile.
run_side() {
  case $2 in
    shared | apart) side "$peer_step" run "$work/$1" "$2" "$steps" ;;
    *) side "$python" "$here/torch_step.py" "$work/$1" --batching "${2%+}" --steps "$steps" \
         --threads "$OMP_NUM_THREADS" $([[ $2 == *+ ]] && echo --compile) ;;
  esac
}

names=(shared apart padded sorted single)
if [ "${COMPILE:-0}" = 1 ]; then names+=(padded+ sorted+ single+); fi
for workload in varied equal; do
  "$peer_step" prepare "$work/$workload" "$workload" "${WIDTH:-256}" "${LAYERS:-4}" "${PAIRS:-8}"
  for ((round = 0; round < ${ROUNDS:-7}; ++round)); do
    for ((i = 0; i < ${#names[@]}; ++i)); do
      if ((round % 2 == 0)); then name=${names[i]}; else name=${names[-1 - i]}; fi
      run_side "$workload" "$name"
    done
  done
done
"$python" "$here/report.py" <"$work/runs"
