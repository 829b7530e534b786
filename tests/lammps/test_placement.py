"""Which GPU and how many threads each process takes, with processes and devices that are faked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from artifacts import structures
from lammps_runs import header, run_lmp, write_data

from lammps_pair.build import SOURCES

PROGRAM = """
#include "placement.h"
#include <cstdio>
#include <map>

// rank and ranks of the world and of the universe, partitions, GPUs, cores, then NAME VALUE of the launcher

int main(int, char **arg) {
  const auto number = [&](int k) { return std::atoi(arg[k]); };
  std::map<std::string, std::string> set;
  for (char **more = arg + 8; *more; more += 2)
    set[more[0]] = more[1];
  const auto environment = [&](const char *name) { return set.count(name) ? set[name].c_str() : nullptr; };
  const hint::Place world{number(1), number(2)}, universe{number(3), number(4)};
  const hint::Place place = hint::place_on_node(world, universe, number(5), environment);
  std::printf("%d %d", hint::gpu_of(place, number(6)), hint::threads_of(place, number(7)));
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The choice as a program: no LAMMPS, no torch, no GPU."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        pytest.skip("needs a C++ compiler")
    folder = tmp_path_factory.mktemp("placement")
    (folder / "place.cpp").write_text(PROGRAM)
    command = [compiler, "-std=c++17", f"-I{SOURCES}", str(folder / "place.cpp"), "-o", str(folder / "place")]
    subprocess.run(command, check=True)
    return folder / "place"


def hydra(rank: int, ranks: int) -> dict[str, int]:
    return {"MPI_LOCALRANKID": rank, "MPI_LOCALNRANKS": ranks}


def openmpi(rank: int, ranks: int) -> dict[str, int]:
    return {"OMPI_COMM_WORLD_LOCAL_RANK": rank, "OMPI_COMM_WORLD_LOCAL_SIZE": ranks}


def slurm(rank: int, tasks: int, nodes: int) -> dict[str, int]:
    return {"SLURM_LOCALID": rank, "SLURM_STEP_NUM_TASKS": tasks, "SLURM_STEP_NUM_NODES": nodes}


@pytest.mark.parametrize(
    ("world", "universe", "partitions", "launcher", "wanted"),
    [
        # one partition: MPI knows the node, and the launcher is not asked
        ((0, 1), (0, 1), 1, {}, (0, 16)),
        ((3, 4), (3, 4), 1, {}, (3, 4)),
        ((5, 8), (13, 16), 1, hydra(0, 1), (1, 2)),
        # partitions of one process, as for NEB with four images: not all on GPU 0 with all cores
        ((0, 1), (0, 4), 4, hydra(0, 4), (0, 4)),
        ((0, 1), (1, 4), 4, hydra(1, 4), (1, 4)),
        ((0, 1), (3, 4), 4, openmpi(3, 4), (3, 4)),
        # two nodes of four: the launcher counts on the node
        ((0, 1), (6, 8), 8, openmpi(2, 4), (2, 4)),
        ((0, 1), (6, 8), 8, slurm(2, 8, 2), (2, 4)),
        # ranks handed out to nodes in turn: the second rank is the first of its node
        ((0, 1), (1, 4), 4, slurm(0, 4, 2), (0, 8)),
        # two partitions of two
        ((1, 2), (3, 4), 2, hydra(3, 4), (3, 4)),
        # no word of the launcher, or one that cannot be (a batch script's own): as if on one node
        ((0, 1), (5, 8), 8, {}, (1, 2)),
        ((0, 1), (1, 2), 2, {"SLURM_LOCALID": 0}, (1, 8)),
        ((1, 2), (3, 4), 2, hydra(0, 1), (3, 4)),
    ],
)
def test_gpus_and_cores_of_a_node_are_shared_out(program, world, universe, partitions, launcher, wanted):
    """On nodes of four GPUs and 16 cores."""
    words = [*world, *universe, partitions, 4, 16, *(word for item in launcher.items() for word in item)]
    said = subprocess.run([str(program), *map(str, words)], capture_output=True, text=True, check=True).stdout
    assert tuple(map(int, said.split())) == wanted


def test_partitions_share_the_cores(models, tmp_path):
    """Two replicas on this machine, in the real `lmp`; one without a potential is not waited for."""
    atoms = structures()["ethanol"]
    write_data(tmp_path / "structure.data", atoms, ["C", "H", "O"])
    text = header(atoms, models["alphanet float64"], ["C", "H", "O"]) + "run 0\n"
    run_lmp(tmp_path, text, ranks=2, options=["-partition", "2x1"], OMP_NUM_THREADS=None)
    cores = len(os.sched_getaffinity(0))
    for replica in (0, 1):
        log = (tmp_path / f"log.lammps.{replica}").read_text()
        assert int(re.search(r"with (\d+) thread", log)[1]) == max(1, cores // 2)
    only_first = text.replace("pair_style", "partition yes 1 pair_style").replace(
        "pair_coeff",
        "partition yes 2 pair_style zero 4.0\npartition yes 2 pair_coeff * *\npartition yes 1 pair_coeff",
    )
    run_lmp(tmp_path, only_first, ranks=2, options=["-partition", "2x1"])
