#!/bin/bash
# A real Slurm of one node, this machine, for one labelling run: munge, slurmctld and slurmd in a temporary
# configuration, `hint label --parsl`, and everything down again. Debian's own configuration is not touched.
#
#     tests/cluster/one_node_slurm.sh            # as root; Python with HINT, tblite and Parsl in the PATH
#
# Needs Debian's slurm-wlm and munge: as root and with INSTALL=1 they are installed, otherwise the script says
# what is missing and exits with 77. Exit status 0: labelled on Slurm, and no job is left.
set -u
python=${PYTHON:-python3}

if [ "$(id -u)" != 0 ]; then
    echo "one_node_slurm: slurmd has to be started as root" >&2
    exit 77
fi
if [ "${INSTALL:-0}" = 1 ]; then
    apt-get install -y --no-install-recommends slurm-wlm munge >/dev/null || exit 77
fi
for program in munged slurmctld slurmd sbatch scontrol; do
    if ! command -v "$program" >/dev/null; then
        echo "one_node_slurm: no $program; apt-get install slurm-wlm munge, or INSTALL=1" >&2
        exit 77
    fi
done

folder=$(mktemp -d /tmp/one_node_slurm.XXXXXX)
chmod 755 "$folder"
pids=()
end() {
    status=$?
    [ $status = 0 ] || tail -n 15 "$folder"/*.log "$folder"/out.h5.parsl/*/submit_scripts/*.std* 2>/dev/null
    scancel --user=root 2>/dev/null
    sleep 1
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$folder"
    exit $status
}
trap end EXIT

# munge: its folders must be its own user's, and no other's to write
mkdir -p "$folder/munge" "$folder/state" "$folder/spool"
head -c 1024 /dev/urandom >"$folder/munge/key"
chmod 700 "$folder/munge"; chmod 600 "$folder/munge/key"
mkdir -m 755 "$folder/socket"
munged --foreground --force --key-file="$folder/munge/key" --socket="$folder/socket/munge" \
    --pid-file="$folder/munge/pid" --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" \
    >"$folder/munged.log" 2>&1 &
pids+=($!)

host=$(hostname -s)
cores=$(nproc)
cat >"$folder/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$folder/socket/munge
CredType=cred/munge
SlurmUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
ReturnToService=2
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores State=UNKNOWN
PartitionName=compute Nodes=$host Default=YES MaxTime=60 State=UP
CONF
export SLURM_CONF=$folder/slurm.conf
sleep 1
slurmctld -D -f "$SLURM_CONF" >"$folder/slurmctld.log" 2>&1 &
pids+=($!)
sleep 2
slurmd -D -f "$SLURM_CONF" -N "$host" >"$folder/slurmd.log" 2>&1 &
pids+=($!)
for _ in $(seq 30); do
    sinfo --noheader --format=%T 2>/dev/null | grep -q idle && break
    sleep 1
done
sinfo
sinfo --noheader --format=%T | grep -q idle || { echo "one_node_slurm: the node does not come up" >&2; exit 1; }

cat >"$folder/slurm.yaml" <<CONF
provider: slurm
nodes: 1
workers_per_node: $((cores < 2 ? cores : 2))
walltime: 00:10:00
partition: compute
CONF
cd "$folder" || exit 1
"$python" - <<PY || exit 1
from ase.build import molecule
from ase.io import write

frames = []
for number in range(20):
    frames.append(molecule(["CH3CH2OH", "H2O"][number % 2]))
    frames[-1].rattle(0.03, seed=number)
write("in.xyz", frames)
PY

"$python" -m hint_plugin.cli.app label in.xyz -o out.h5 --parsl slurm.yaml &
run=$!
for _ in $(seq 60); do  # show that the workers are a batch job
    jobs=$(squeue --noheader --format="%i %j %P %T" 2>/dev/null)
    [[ $jobs == *RUNNING* ]] && break
    sleep 0.5
done
echo "squeue: $jobs"
wait $run || exit 1
[[ $jobs == *RUNNING* ]] || { echo "one_node_slurm: no batch job was seen" >&2; exit 1; }
for _ in $(seq 20); do
    [ -z "$(squeue --noheader)" ] && break
    sleep 0.5
done
[ -z "$(squeue --noheader)" ] || { echo "one_node_slurm: a job is left" >&2; squeue; exit 1; }
[ ! -e out.h5.parsl ] || { echo "one_node_slurm: out.h5.parsl is left" >&2; exit 1; }

# SIGTERM takes the batch job with it, and the same command goes on
"$python" -m hint_plugin.cli.app label in.xyz -o stopped.h5 --parsl slurm.yaml 2>stopped.txt &
run=$!
for _ in $(seq 240); do
    [ "$(wc -l 2>/dev/null <stopped.h5.partial.jsonl)" -gt 3 ] 2>/dev/null && break
    sleep 0.25
done
kill -TERM $run
wait $run
[ $? = 130 ] || { echo "one_node_slurm: SIGTERM did not end the run with 130" >&2; cat stopped.txt; exit 1; }
tail -n 1 stopped.txt
for _ in $(seq 40); do
    [ -z "$(squeue --noheader)" ] && break
    sleep 0.5
done
[ -z "$(squeue --noheader)" ] || { echo "one_node_slurm: a job is left after SIGTERM" >&2; squeue; exit 1; }
"$python" -m hint_plugin.cli.app label in.xyz -o stopped.h5 --parsl slurm.yaml | tee resumed.txt
grep -q "20 of 20 frames labelled.*from an interrupted run" resumed.txt || exit 1

# a partition that does not exist: one sentence with what Slurm said
sed -i 's/partition: compute/partition: compte/' slurm.yaml
if "$python" -m hint_plugin.cli.app label in.xyz -o wrong.h5 --parsl slurm.yaml 2>wrong.txt; then
    echo "one_node_slurm: a wrong partition was accepted" >&2
    exit 1
fi
cat wrong.txt
grep -qi "invalid partition" wrong.txt || { echo "one_node_slurm: the reason is not named" >&2; exit 1; }
echo "one_node_slurm: ok"
