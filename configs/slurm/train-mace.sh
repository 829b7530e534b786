#!/bin/bash
# sbatch configs/slurm/train-mace.sh                                            torchrun starts one process per GPU
# sbatch --ntasks-per-node=4 --cpus-per-task=8 configs/slurm/train-mace.sh      srun starts them
#
# Trains a MACE model on Hessians on several GPUs, of one node or of more. Further options of mace_run_train go behind
# the file name, and override those below. If the job is stopped, submit the same file again: it continues from the
# last checkpoint. docs/training-cluster.md explains batch sizes, learning rates and restarts.
#SBATCH --job-name=hint-mace        # CHANGE: one name per run: jobs of the same name wait for each other
#SBATCH --nodes=1                   # CHANGE: number of nodes
#SBATCH --gpus-per-node=4           # CHANGE: GPUs of each node. Not --gpus-per-task: MACE chooses the GPU
#SBATCH --ntasks-per-node=1         # 1: torchrun starts the processes; as many as GPUs: srun does
#SBATCH --cpus-per-task=32          # CHANGE: 8 per GPU; with srun, 8
#SBATCH --mem=64G                   # CHANGE: per node. Each process keeps a whole xyz file in memory, but not HDF5
#SBATCH --time=24:00:00             # CHANGE: as long as your cluster allows
##SBATCH --partition=gpu            # CHANGE: your partition, and one # at the front instead of two
##SBATCH --account=my-project       # CHANGE: if your cluster asks for one
#SBATCH --dependency=singleton      # submit the file several times: the jobs run one after the other
#SBATCH --output=%x-%j.log
set -euo pipefail

# What follows can also be set in the environment of sbatch.
: "${NAME:=hint}"                            # CHANGE: name of the model
: "${OUT:=mace}"                             # folder of the model, checkpoints and logs; all nodes must see it
: "${TRAIN:=labels/parts/train.h5}"          # CHANGE: from label.sh, or an .xyz file
: "${VALID:=labels/parts/valid.h5}"          # CHANGE: at least one frame per process
: "${STATISTICS:=labels/statistics.json}"    # from label.sh; with .xyz files, "none"
: "${BATCH:=8}"                              # structures per process and step: a step has 4 times as many on 4 GPUs
: "${EPOCHS:=200}"                           # the ramp of the Hessian weight is as long: do not change it in a restart
: "${LR:=0.01}"                              # CHANGE: for all processes together
: "${WEIGHT:=--hint_weight auto --stage_two}" # stage two brings energies into place: use $OUT/${NAME}_stagetwo.model
: "${DEVICE:=cuda}"
: "${SEED:=1}"

# CHANGE: make `mace_run_train` available, for example
# module load cuda miniforge; source activate hint

if [ -e "$OUT/finished" ]; then
    echo "$OUT/finished exists: this training is complete. Choose another OUT, or delete the file"
    exit 0
fi
atomic_energies=(--E0s average)
[ "$STATISTICS" = none ] || atomic_energies=(--statistics_file "$(realpath "$STATISTICS")")
training=(
    --name "$NAME" --train_file "$(realpath "$TRAIN")" --valid_file "$(realpath "$VALID")" "${atomic_energies[@]}"
    --model MACE --num_channels 64 --max_L 1 --r_max 5.0
    --loss hint_hutchinson $WEIGHT --forces_weight 100
    --batch_size "$BATCH" --valid_batch_size "$BATCH" --max_num_epochs "$EPOCHS" --lr "$LR"
    --scheduler ExponentialLR --lr_scheduler_gamma 0.98 --ema --default_dtype float64 --device "$DEVICE" --seed "$SEED"
    --plot False --restart_latest --distributed
)
mkdir -p "$OUT"
cd "$OUT"

# What torch.distributed needs to know: the first node, and a port that other jobs on it do not use.
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
step=(srun --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}") # if one process dies, the others end

if [ "${SLURM_NTASKS_PER_NODE:-1}" = 1 ]; then
    "${step[@]}" torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "$SLURM_GPUS_ON_NODE" \
        --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$MASTER_ADDR:$MASTER_PORT" \
        --no-python mace_run_train "${training[@]}" --launcher torchrun "$@"
else # MACE takes its rank from SLURM_PROCID, SLURM_LOCALID and SLURM_NTASKS
    "${step[@]}" mace_run_train "${training[@]}" --launcher slurm "$@"
fi
touch finished
