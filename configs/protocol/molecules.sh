#!/bin/sh
# Molecules, the whole protocol: cheap Hessians for all, a few expensive ones where they tell most, fine-tuning.
#
#   sh configs/protocol/molecules.sh GEOMETRIES DIR
#
# GEOMETRIES: anything that `hint dataset convert` reads; labels in it are not used: the script replaces them by its
# own. Files in DIR have the suffix .h5 where GEOMETRIES is HDF5 or a folder of shards, and .xyz otherwise. DIR gets
# all results; a step whose result is there is not done again, so a run that was stopped goes on. What follows can be
# set in the environment; the values are for a few hundred small molecules on a workstation, docs/protocol.md has
# those of the paper's scale.
set -eu
: "${JOBS:=2}"                  # processes for labels
: "${CLUSTER:=}"                # a file for hint label --parsl, to label on a cluster
: "${SIZE:=small}"              # of AlphaNet
: "${EPOCHS:=100}"              # of pre-training
: "${TUNING_EPOCHS:=60}"        # of fine-tuning
: "${EVERY:=5}"                 # epochs from one validation to the next
: "${BATCH:=6}"
: "${DFT:=40}"                  # frames with energies and forces of the expensive method
: "${HESSIANS:=0.25}"           # fraction of them that get a Hessian as well
: "${HELD_OUT:=1.0}"            # fraction of the validation and test sets that get the expensive method
: "${ENGINE:=pyscf --engine-option preset=transition1x}"
: "${DEVICE:=cpu}"
: "${SEED:=1}"

geometries=$(realpath "$1")
mkdir -p "$2"
cd "$2"
step() { # step RESULT COMMAND...: run it unless the result is there
    result=$1
    shift
    if [ -e "$result" ]; then return; fi
    echo "\$ $*"
    "$@"
}
case $geometries in
*.h5 | *.hdf5) format=hdf5 x=h5 ;;
*) format=extxyz x=xyz ;;
esac
if [ -d "$geometries" ]; then format=hdf5 x=h5; fi
atomic_energies() { # atomic_energies NAME: sets $zeros, for a training on NAME-train; of HDF5 MACE counts nothing itself
    zeros="--E0s average"
    if [ $x = xyz ]; then return; fi
    step "$1.json" hint dataset stats "$1-train.$x" "$1-valid.$x" --mace-statistics "$1.json" --r-max 5.0
    zeros="--statistics_file $1.json"
}
parsl=${CLUSTER:+--parsl $CLUSTER}
label="--jobs $JOBS --overwrite $parsl" # GEOMETRIES may have labels of other methods
train="--model AlphaNet --r_max 5.0 --batch_size $BATCH --scheduler ExponentialLR --ema --ema_decay 0.99
    --loss hint_hutchinson --hint_weight auto --energy_weight 4 --forces_weight 100 --default_dtype float32
    --device $DEVICE --seed $SEED --eval_interval $EVERY --plot False --restart_latest"
# MACE's stage two, the last quarter of the epochs, brings energies into place: its models are used.

# 1. Parts that share no formula.
step parts hint dataset split "$geometries" -o parts --to $format --by formula --fractions 0.8 0.1 0.1 --seed "$SEED"

# 2. GFN2-xTB Hessians for all, and pre-training on them with the curriculum.
for part in train valid test; do
    step "gfn2-$part.$x" hint label "parts/$part.$x" -o "gfn2-$part.$x" --engine gfn2-xtb $label
done
atomic_energies gfn2
step pretrained_stagetwo.model mace_run_train --name pretrained --alphanet_size "$SIZE" $train $zeros \
    --train_file gfn2-train.$x --valid_file gfn2-valid.$x --max_num_epochs "$EPOCHS" --lr 0.005 --lr_scheduler_gamma 0.97 \
    --stage_two --stage_two_lr 0.001

# 3. The frames that are worth the expensive method, and their labels.
step plan.json hint sample wld parts/train.$x -o plan.json -n "$DFT" --hessians "$HESSIANS" --seed "$SEED" --figure map.png
step dft-train.$x hint label --plan plan.json -o dft-train.$x --engine $ENGINE $label
for part in valid test; do
    step "plan-$part.json" hint sample random "parts/$part.$x" -o "plan-$part.json" --fraction "$HELD_OUT" --seed "$SEED"
    step "dft-$part.$x" hint label --plan "plan-$part.json" -o "dft-$part.$x" --engine $ENGINE $label
done

# 4. Fine-tuning, and what it is good for on molecules that no part of the training has seen.
atomic_energies dft
step tuned_stagetwo.model mace_run_train --name tuned --foundation_model pretrained_stagetwo.model $train $zeros \
    --train_file dft-train.$x --valid_file dft-valid.$x --max_num_epochs "$TUNING_EPOCHS" --lr 0.001 --lr_scheduler_gamma 0.96 \
    --stage_two --stage_two_lr 0.0002
step evaluation/pretrained hint evaluate pretrained_stagetwo.model gfn2-test.$x -o evaluation/pretrained
step evaluation/tuned hint evaluate tuned_stagetwo.model dft-test.$x -o evaluation/tuned
step tuned.hint.pt hint export tuned_stagetwo.model -o tuned.hint.pt
