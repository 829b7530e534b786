"""A Slurm of this machine alone, as far as the files of configs/slurm see it: `sbatch`, `srun`, `scontrol`.

`sbatch` reads the ``#SBATCH`` lines as Slurm does (options of the command line override them), and runs the
file with the SLURM_* variables that they lead to. `srun` starts the processes of all "nodes" here. What it
cannot show: queues, walltimes, several machines, GPUs.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

CONFIGS = Path(__file__).parents[2] / "configs" / "slurm"
SCRIPTS = sorted(path.name for path in CONFIGS.glob("*.sh"))

#: Long options of sbatch that the files use; another one is a typo, or belongs here.
OPTIONS = {
    *("job-name", "ntasks", "cpus-per-task", "mem", "time", "partition", "account", "dependency"),
    *("signal", "output", "nodes", "gpus-per-node", "ntasks-per-node"),
}

SRUN = r"""
import os, subprocess, sys, time

words = sys.argv[1:]
while words[0].startswith("--"):
    words.pop(0)
nodes, tasks = int(os.environ["SLURM_JOB_NUM_NODES"]), int(os.environ["SLURM_NTASKS"])
running = []
for rank in range(tasks):
    node, local = divmod(rank, tasks // nodes)
    own = {"SLURM_PROCID": rank, "SLURM_NODEID": node, "SLURM_LOCALID": local, "SLURM_STEP_ID": 0}
    running.append(subprocess.Popen(words, env={**os.environ, **{k: str(v) for k, v in own.items()}}))
while any(process.poll() is None for process in running):
    if any(process.poll() for process in running):  # --kill-on-bad-exit
        for process in running:
            process.terminate()
    time.sleep(0.1)
sys.exit(max(abs(process.returncode) for process in running))
"""
SCONTROL = r"""
import sys
assert sys.argv[1:3] == ["show", "hostnames"], sys.argv
print("\n".join(sys.argv[3].split(",")))
"""


def program(folder: Path, name: str, text: str) -> None:
    """A Python program in the PATH of `sbatch`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)


def directives(script: Path) -> dict[str, str]:
    """The options of the ``#SBATCH`` lines, up to the first command."""
    found = {}
    for line in script.read_text().splitlines():
        if line.startswith("#SBATCH "):
            (word,) = shlex.split(line.removeprefix("#SBATCH "), comments=True)
            name, _, value = word.removeprefix("--").partition("=")
            found[name] = value
        elif line and not line.startswith("#"):
            break
    return found


def sbatch(
    name: str, *arguments: object, folder: Path, slurm: dict[str, object] | None = None, **environment: object
) -> subprocess.CompletedProcess[str]:
    """`sbatch --OPTION=... configs/slurm/NAME ARGUMENTS` in a folder, and all that it printed.

    Args:
        name: of the file.
        arguments: behind its name.
        folder: where it is submitted; programs in ``folder / "bin"`` come first in the PATH.
        slurm: options of sbatch that override the file's, without their hyphens.
        environment: the user's variables.
    """
    options = {**directives(CONFIGS / name), **(slurm or {})}
    nodes, each = int(options.get("nodes", 1)), options.get("ntasks-per-node")
    tasks = int(options.get("ntasks", nodes * int(each or 1)))
    program(folder / "bin", "srun", SRUN)
    program(folder / "bin", "scontrol", SCONTROL)
    variables = {
        "SLURM_JOB_ID": 4_000_000 + os.getpid(),
        "SLURM_JOB_NAME": options["job-name"],
        "SLURM_JOB_NUM_NODES": nodes,
        "SLURM_NNODES": nodes,
        "SLURM_NTASKS": tasks,
        "SLURM_CPUS_PER_TASK": options["cpus-per-task"],
        "SLURM_JOB_NODELIST": ",".join(["localhost"] * nodes),
        "SLURM_NODELIST": ",".join(["localhost"] * nodes),
        **({"SLURM_NTASKS_PER_NODE": each} if each else {}),
        **({"SLURM_GPUS_ON_NODE": options["gpus-per-node"]} if "gpus-per-node" in options else {}),
        "OMP_NUM_THREADS": 1,
        **environment,
    }
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", str(CONFIGS / name), *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **{key: str(value) for key, value in variables.items()}, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=840,
    )
