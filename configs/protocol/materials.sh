#!/bin/sh
# A crystal, the whole protocol: one Hessian of a supercell and a few displaced cells turn a general model into one
# whose phonons can be trusted.
#
#   sh configs/protocol/materials.sh MODEL CELL DIR
#
# MODEL: a trained .model (AlphaNet or MACE), or "none" to train from nothing. CELL: the primitive cell, at rest. DIR
# gets all results; a step whose result is there is not done again. Set in the environment:
set -eu
: "${JOBS:=2}"
: "${SUPERCELL:=2 2 2}"         # of the Hessian
: "${CELLS:=30}"                # displaced cells
: "${SIGMA:=0.1}"               # A; the paper's hydride takes 0.4
: "${ENGINE:=gfn2-xtb}"         # or "qe --engine-options /path/qe.yaml", "calculator -e calculator=module:factory"
: "${EPOCHS:=100}"
: "${DEVICE:=cpu}"
: "${SEED:=1}"

model=$1
cell=$(realpath "$2")
[ "$model" = none ] || model=$(realpath "$model")
mkdir -p "$3"
cd "$3"
step() {
    result=$1
    shift
    if [ -e "$result" ]; then return; fi
    echo "\$ $*"
    "$@"
}
if [ "$model" = none ]; then start="--alphanet_size small"; else start="--foundation_model $model"; fi

# 1. The Hessian: rows of the primitive cell's atoms in the supercell are all there is to know, by symmetry of translation.
step supercell.xyz hint sample displace "$cell" -o supercell.json --extract supercell.xyz --supercell $SUPERCELL --sigma 0 --copies 1
step hessian.xyz hint label supercell.xyz -o hessian.xyz --engine $ENGINE --hessian rows --atoms primitive --jobs "$JOBS"

# 2. Displaced cells, energies and forces only; some are kept for validation.
step displaced.xyz hint sample displace "$cell" -o displaced.json --extract displaced.xyz --sigma "$SIGMA" --copies "$CELLS" --seed "$SEED"
step cells.xyz hint label displaced.xyz -o cells.xyz --engine $ENGINE --hessian none --jobs "$JOBS"
step parts hint dataset split cells.xyz -o parts --by frame --fractions 0.9 0.1 0 --seed "$SEED"
step train.xyz hint dataset convert parts/train.xyz hessian.xyz -o train.xyz

# 3. Fine-tuning.
step tuned.model mace_run_train --name tuned --model AlphaNet $start --train_file train.xyz --valid_file parts/valid.xyz \
    --loss hint_hutchinson --E0s average --r_max 5.0 --batch_size 4 --max_num_epochs "$EPOCHS" --lr 0.002 \
    --scheduler ExponentialLR --lr_scheduler_gamma 0.97 --ema --ema_decay 0.99 --default_dtype float64 \
    --device "$DEVICE" --seed "$SEED" --eval_interval 5 --plot False --restart_latest
step evaluation hint evaluate tuned.model parts/valid.xyz hessian.xyz -o evaluation
step tuned.hint.pt hint export tuned.model -o tuned.hint.pt
