#!/bin/bash
# sbatch configs/slurm/reactions.sh        (or, on a login node in tmux: bash configs/slurm/reactions.sh)
#
# Searches the transition states of a set of reactions with a trained model. The searches run in other jobs, which
# Parsl submits as the file CLUSTER says. If this job is stopped, submit the same file again: it continues.
#SBATCH --job-name=hint-reactions   # CHANGE: one name per run: jobs of the same name wait for each other
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=2           # enough: the work is done in the jobs of CLUSTER
#SBATCH --mem=8G
#SBATCH --time=48:00:00             # CHANGE: as long as your cluster allows
##SBATCH --partition=compute        # CHANGE: your partition, and one # at the front instead of two
##SBATCH --account=my-project       # CHANGE: if your cluster asks for one
#SBATCH --dependency=singleton      # submit the file several times: the jobs run one after the other
#SBATCH --signal=B:TERM@120         # two minutes before the end, the jobs of CLUSTER are cancelled
#SBATCH --output=%x-%j.log
set -euo pipefail

# What follows can also be set in the environment of sbatch.
: "${SET:=reactions}"                        # CHANGE: folder of reactions, or file of pairs (docs/reactions.md)
: "${POTENTIAL:=--model model.hint.pt}"      # CHANGE: the model, or "--engine gfn2-xtb" for a reference
: "${CLUSTER:=configs/label/slurm.yaml}"     # CHANGE: the nodes, cores and hours of the jobs that search
: "${OUT:=results}"                          # folder of the results, one folder per reaction in it

# CHANGE: make `hint` available, for example
# module load miniforge; source activate hint

# The jobs that are submitted from here should not inherit the size of this one.
for variable in "${!SLURM_@}"; do [ "$variable" = SLURM_CONF ] || unset "$variable"; done

# In place of this shell, so that it gets the signal itself: it cancels its jobs and keeps what is done.
exec hint reactions "$SET" -o "$OUT" $POTENTIAL --parsl "$CLUSTER" "$@"
