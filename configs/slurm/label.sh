#!/bin/bash
# sbatch configs/slurm/label.sh        (or, on a login node in tmux: bash configs/slurm/label.sh)
#
# Labels a set of structures, splits it and computes what a training needs to know of it. The work is done in other
# jobs, which Parsl submits as the file CLUSTER says; this job hands out frames and writes results. If it is stopped,
# submit the same file again: it continues. docs/training-cluster.md explains it.
#SBATCH --job-name=hint-label       # CHANGE: one name per run: jobs of the same name wait for each other
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2           # enough: the work is done in the jobs of CLUSTER
#SBATCH --mem=16G                   # raise it for a set of many GB in one xyz file
#SBATCH --time=48:00:00             # CHANGE: as long as your cluster allows
##SBATCH --partition=compute        # CHANGE: your partition, and one # at the front instead of two
##SBATCH --account=my-project       # CHANGE: if your cluster asks for one
#SBATCH --dependency=singleton      # submit the file several times: the jobs run one after the other
#SBATCH --signal=B:TERM@120         # two minutes before the end, the jobs of CLUSTER are cancelled
#SBATCH --output=%x-%j.log
set -euo pipefail

# What follows can also be set in the environment of sbatch.
: "${GEOMETRIES:=molecules.xyz}"             # CHANGE: any format that `hint dataset convert` reads
: "${CLUSTER:=configs/label/slurm.yaml}"     # CHANGE: the nodes, cores and hours of the jobs that label
: "${OUT:=labels}"                           # folder of the results
: "${ENGINE:=gfn2-xtb}"                      # or "pyscf --engine-option preset=transition1x"
: "${FRACTIONS:=0.9 0.05 0.05}"              # of train, valid and test
: "${SPLIT_BY:=formula}"                     # no two parts share a formula; `frame` splits at random
: "${R_MAX:=5.0}"                            # cutoff of the model, A

# CHANGE: make `hint` available, for example
# module load miniforge; source activate hint

stopped() { # tell `hint` that the time is over: it cancels its jobs and keeps what is done
    kill -TERM "$child" 2>/dev/null || true
}
run() { # run COMMAND...: wait for it, also after a signal
    "$@" &
    child=$!
    trap stopped TERM INT
    local status=0
    wait "$child" || status=$?
    while kill -0 "$child" 2>/dev/null; do
        status=0
        wait "$child" || status=$?
    done
    trap - TERM INT
    return "$status"
}
# The jobs that are submitted from here should not inherit the size of this one.
for variable in "${!SLURM_@}"; do [ "$variable" = SLURM_CONF ] || unset "$variable"; done

mkdir -p "$OUT"
if [ ! -e "$OUT/labelled.h5" ]; then
    # exit status 3: some frames failed, and are in labelled.failed.xyz with the reason
    run hint label "$GEOMETRIES" -o "$OUT/labelled.h5" --engine $ENGINE --parsl "$CLUSTER" "$@" || [ $? = 3 ]
fi
if [ ! -e "$OUT/parts" ]; then
    rm -rf "$OUT/parts.new" # of a job that ended in the middle
    hint dataset split "$OUT/labelled.h5" -o "$OUT/parts.new" --to hdf5 --by "$SPLIT_BY" --fractions $FRACTIONS
    mv "$OUT/parts.new" "$OUT/parts"
fi
if [ ! -e "$OUT/statistics.json" ]; then
    hint dataset stats "$OUT/parts/train.h5" "$OUT/parts/valid.h5" \
        --mace-statistics "$OUT/statistics.json" --r-max "$R_MAX"
fi
