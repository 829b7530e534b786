#!/bin/bash
# sbatch configs/slurm/train-nequip.sh
#
# Trains a NequIP model on Hessians on several GPUs, of one node or of more. srun starts one process per GPU, and
# Lightning takes their numbers from Slurm. Values of CONFIG can be changed behind the file name (trainer.max_epochs=500).
# If the job is stopped, submit the same file again: it continues after the last epoch that was validated.
#SBATCH --job-name=hint-nequip      # CHANGE: one name per run: jobs of the same name wait for each other
#SBATCH --nodes=1                   # CHANGE: number of nodes
#SBATCH --gpus-per-node=4           # CHANGE: GPUs of each node. Not --gpus-per-task: Lightning chooses the GPU
#SBATCH --ntasks-per-node=4         # CHANGE: the same number, for one process per GPU
#SBATCH --cpus-per-task=8           # CHANGE: cores per process
#SBATCH --mem=64G                   # CHANGE: per node
#SBATCH --time=24:00:00             # CHANGE: as long as your cluster allows
##SBATCH --partition=gpu            # CHANGE: your partition, and one # at the front instead of two
##SBATCH --account=my-project       # CHANGE: if your cluster asks for one
#SBATCH --dependency=singleton      # submit the file several times: the jobs run one after the other
#SBATCH --output=%x-%j.log
set -euo pipefail

# What follows can also be set in the environment of sbatch.
: "${CONFIG:=configs/nequip/hessian.yaml}"   # CHANGE: your copy of it, with your elements and atomic energies
: "${TRAIN:=labels/parts/train.h5}"          # CHANGE: from label.sh, or an .xyz file
: "${VALID:=labels/parts/valid.h5}"
: "${TEST:=labels/parts/test.h5}"
: "${OUT:=nequip}"                           # folder of checkpoints and logs; all nodes must see it
: "${BATCH:=8}"                              # structures per process and step: a step has 4 times as many on 4 GPUs

# CHANGE: make `nequip-train` available, for example
# module load cuda miniforge; source activate hint-nequip

if [ -e "$OUT/finished" ]; then
    echo "$OUT/finished exists: this training is complete. Choose another OUT, or delete the file"
    exit 0
fi
mkdir -p "$OUT"
folder=$(realpath "$OUT")
config=$(realpath "$CONFIG")
values=(
    "train_file=$(realpath "$TRAIN")" "valid_file=$(realpath "$VALID")" "++test_files=[$(realpath "$TEST")]"
    "data.train_dataloader.batch_size=$BATCH"
    "++trainer.num_nodes=$SLURM_JOB_NUM_NODES" "++trainer.devices=$SLURM_NTASKS_PER_NODE"
    "++trainer.strategy._target_=nequip.train.SimpleDDPStrategy"
    "hydra.run.dir=$folder"
)
# The newest one: Lightning writes last-v1.ckpt after the folder has been moved.
last=$(find "$folder" -maxdepth 1 -name 'last*.ckpt' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)
[ -z "$last" ] || values+=("++ckpt_path=$last")

# What torch.distributed needs to know: the first node, and a port that other jobs on it do not use.
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}

srun --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
    nequip-train -cp "$(dirname "$config")" -cn "$(basename "$config")" "${values[@]}" "$@"
touch "$folder/finished"
