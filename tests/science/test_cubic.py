"""Cubic force constants: closed forms, phono3py's own finite displacements and its files, as oracles."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from pair_artifact import write_pair

pytest.importorskip("phonopy", reason="needs phonopy: pip install '.[phonons]'")
pytest.importorskip("phono3py", reason="needs phono3py: pip install '.[conductivity]'")

import phono3py

from hint_plugin.data.structures.unit_cell import to_ase
from hint_plugin.errors import DataError, EngineError, InterruptedRunError, OptionsError
from hint_plugin.potentials.hint_calculator import HintCalculator
from hint_plugin.potentials.on_demand import OnDemand
from hint_plugin.science.phonons.crystals import new_phonopy
from hint_plugin.science.phonons.cubic_constants import (
    PROBE,
    ThirdDerivatives,
    checked,
    cubic_basis,
    parameters,
    probes,
    solved,
)
from hint_plugin.science.phonons.cubic_files import read_phono3py, triplets
from hint_plugin.science.phonons.run_cubic import cubic

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:primitive_matrix defaulted")
SIGMA, EPSILON = 3.4, 0.0104
"""A, eV: argon."""


REPEATS = np.array([3, 3, 2])


class LennardJones(torch.nn.Module):
    """4 epsilon [(sigma/r)^12 - (sigma/r)^6] of all edges, half each."""

    def forward(self, vectors: torch.Tensor, edge_index: torch.Tensor, species: torch.Tensor) -> torch.Tensor:
        six = (11.56 / vectors.square().sum(dim=-1)) ** 3
        energies = torch.zeros(species.shape[0], dtype=torch.float64, device=vectors.device)
        return energies.index_add(0, edge_index[0], (0.0208 * (six * six - six)).double())


def pair_tensor(d: np.ndarray) -> np.ndarray:
    """d3 phi(|d|) / dd dd dd, [3, 3, 3], of the potential of a pair, with derivatives by hand."""
    r = np.linalg.norm(d)
    n, twelve, six = d / r, (SIGMA / r) ** 12, (SIGMA / r) ** 6
    first = 4 * EPSILON * (-12 * twelve + 6 * six) / r
    second = 4 * EPSILON * (156 * twelve - 42 * six) / r**2
    third = 4 * EPSILON * (-2184 * twelve + 336 * six) / r**3
    delta = np.eye(3)
    mixed = np.einsum("ab,c->abc", delta, n)
    mixed = mixed + mixed.transpose(0, 2, 1) + mixed.transpose(2, 1, 0)
    radial = third - 3 * second / r + 3 * first / r**2
    return radial * np.einsum("a,b,c->abc", n, n, n) + (second - first / r) / r * mixed


def neighbours(atoms: Atoms, cutoff: float) -> dict[tuple[int, int], np.ndarray]:
    found = {}
    for i in range(len(atoms)):
        vectors = atoms.get_distances(i, range(len(atoms)), mic=True, vector=True)
        for j, d in enumerate(vectors):
            if 0.1 < np.linalg.norm(d) < cutoff:
                found[i, j] = d
    return found


def closed_form(atoms: Atoms, first: np.ndarray, cutoff: float) -> np.ndarray:
    """Phi of Lennard-Jones atoms, [n_prim, N, N, 3, 3, 3]."""
    found = np.zeros((len(first), len(atoms), len(atoms), 3, 3, 3))
    for (i, j), d in neighbours(atoms, cutoff).items():
        tensor = pair_tensor(d)  # d = x_j - x_i
        for k, atom in enumerate(first):
            if i == atom:
                found[k, i, i] -= tensor
                found[k, i, j] += tensor
                found[k, j, i] += tensor
                found[k, j, j] -= tensor
    return found


@pytest.fixture(scope="module")
def argon(tmp_path_factory: pytest.TempPathFactory) -> HintCalculator:
    """Lennard-Jones, first neighbours alone, as an artifact: three times differentiable by torch."""
    path = tmp_path_factory.mktemp("argon") / "lj.hint.pt"
    return HintCalculator(write_pair(path, ["Ar"], cutoff=4.5, edges=LennardJones()))


@pytest.fixture(scope="module")
def found(argon: HintCalculator, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("cubic")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cubic(bulk("Ar", "fcc", a=5.3), argon, folder, supercell=3), folder


def test_lennard_jones_in_closed_form(found):
    """Argon to rounding, from 2 vectors and one to check; and the closed form obeys the sum rule itself."""
    result, _ = found
    large = to_ase(result.crystal.supercell)
    wanted = closed_form(large, result.crystal.primitive.p2s_map, 4.5)
    assert np.abs(wanted.sum(axis=2)).max() < 1e-12
    assert result.constants.shape == (1, 27, 27, 3, 3, 3)
    assert result.constants == pytest.approx(wanted, abs=1e-11 * np.abs(wanted).max() + 1e-12)
    about = result.as_dict()
    assert about["method"] == "exact" and about["vectors"] == about["products"] == 3 and about["step"] is None
    assert about["parameters"] == 69 and about["notes"] == []
    assert max(about["checks"][key] for key in ("sum_rule", "permutation", "residual", "foretold")) < 1e-12
    assert result.reach()[2]["largest"] < 1e-12 < result.reach()[1]["largest"]


def test_differences_converge_to_the_third_differentiation(argon):
    """With the square of the step, for both kinds."""
    large = bulk("Ar", "fcc", a=5.3).repeat(3)
    v = np.random.default_rng(0).standard_normal((27, 3))

    def third(method: str, step: float) -> np.ndarray:
        frame = large.copy()
        frame.arrays[PROBE] = v.copy()
        rest = argon.potential.evaluate([large])[0].forces
        work = ThirdDerivatives(OnDemand.of(argon), method, step, rest)()
        return work("", frame, lambda text: None)[1]["third"]

    exact = third("exact", 0.0)
    for method, step in (("products", 1e-3), ("forces", 1e-2)):
        far, near = (np.abs(third(method, h) - exact).max() for h in (step, step / 2))
        assert far < 1e-2 * np.abs(exact).max() and near == pytest.approx(far / 4, rel=0.05)


def test_phono3py_displaces_the_same_potential(tmp_path):
    """EMT copper: phono3py's solver comes near as its displacement shrinks, from 7 times as many forces."""
    atoms = bulk("Cu", a=3.61)
    mine = cubic(atoms, EMT(), tmp_path, supercell=3, step=1e-3)
    assert mine.about["method"] == "forces" and mine.about["forces"] == 7
    theirs = phono3py.Phono3py(
        mine.crystal.unitcell, supercell_matrix=np.diag([3, 3, 3]), primitive_matrix="P", log_level=0
    )
    errors = []
    for distance in (0.03, 0.003):
        theirs.generate_displacements(distance=distance)
        forces = []
        for cell in theirs.supercells_with_displacements:
            one = to_ase(cell)
            one.calc = EMT()
            forces.append(one.get_forces())
        theirs.forces = np.array(forces)
        theirs.produce_fc3(symmetrize_fc3r=True, is_compact_fc=True)
        errors.append(np.abs(theirs.fc3 - mine.constants).max() / np.abs(mine.constants).max())
    assert len(forces) == 7 * mine.about["forces"]
    assert errors[0] < 0.02 and errors[1] < 0.15 * errors[0]


def test_phono3py_reads_the_folder(found):
    result, folder = found
    read = read_phono3py(folder)
    assert read.fc3 == pytest.approx(result.constants, abs=1e-14)
    assert read.fc2 == pytest.approx(result.crystal.fc2, abs=1e-14)
    assert json.loads((folder / "cubic.json").read_text())["parameters"] == 69
    with pytest.raises(DataError, match="none of phono3py_disp.yaml.*wanted the folder of a hint cubic"):
        read_phono3py(folder / "shengbte")


def read_third(path: Path) -> list[tuple[np.ndarray, np.ndarray, tuple[int, ...], np.ndarray]]:
    """ShengBTE's file, by its description."""
    numbers = path.read_text().split()
    count, place, blocks = int(numbers[0]), 1, []
    for k in range(count):
        assert int(numbers[place]) == k + 1
        cells = np.array(numbers[place + 1 : place + 7], dtype=float).reshape(2, 3)
        atoms = tuple(int(x) - 1 for x in numbers[place + 7 : place + 10])
        rows = np.array(numbers[place + 10 : place + 10 + 27 * 4], dtype=float).reshape(27, 4)
        block = np.zeros((3, 3, 3))
        block[tuple(rows[:, :3].astype(int).T - 1)] = rows[:, 3]
        blocks.append((cells[0], cells[1], atoms, block))
        place += 10 + 27 * 4
    assert place == len(numbers)
    return blocks


def test_shengbte_has_the_same_third_derivatives(found):
    """A wave through the infinite crystal of the file and through the supercell: the same D^3E."""
    result, folder = found
    third = read_third(folder / "shengbte" / "FORCE_CONSTANTS_3RD")
    crystal = result.crystal
    assert len(third) == 3 * 12  # i j j, i j i, i i j of twelve neighbours; i i i is zero by inversion
    q = np.linalg.inv(crystal.primitive.cell) @ [1 / 3, 1 / 3, 0]  # fits into the supercell
    file = sum(
        block * np.exp(2j * np.pi * q @ second) * np.exp(-2j * np.pi * q @ other)
        for second, other, _, block in third
    )
    places = crystal.supercell.positions - crystal.supercell.positions[0]
    phase = np.exp(2j * np.pi * places @ q)
    wanted = np.einsum("jkabc,j,k->abc", result.constants[0], phase, phase.conj())
    assert file == pytest.approx(wanted, abs=1e-9)
    second = (folder / "shengbte" / "FORCE_CONSTANTS_2ND").read_text().split()
    assert second[:2] == ["27", "27"]
    rows = np.array(second[2:], dtype=float).reshape(27, 27, 11)
    supercell, inverse = crystal.phonon_supercell, np.linalg.inv(crystal.primitive.cell)
    for atom, place in enumerate(supercell.positions):  # the cell of the first vector runs fastest
        cell = np.rint((place - supercell.positions[0]) @ inverse).astype(int) % 3
        row = rows[0, cell @ [1, 3, 9]]
        assert row[:2] == pytest.approx([1, 1 + cell @ [1, 3, 9]])
        assert row[2:].reshape(3, 3) == pytest.approx(crystal.fc2[0, atom], abs=1e-12)
    control = (folder / "shengbte" / "CONTROL").read_text()
    assert "scell(:)=3 3 3" in control and 'elements="Ar"' in control


def test_blocks_at_the_edge_of_a_supercell_are_shared():
    """In a small supercell images are equally far: their parts add up to the block, and permutations hold."""
    result = cubic(bulk("Cu", a=3.61), EMT(), supercell=(3, 3, 2))
    total = np.zeros((18, 18, 3, 3, 3))
    crystal = result.crystal
    number = {tuple(np.round(p @ np.linalg.inv(crystal.primitive.cell)).astype(int) % REPEATS): k
              for k, p in enumerate(crystal.supercell.positions)}  # fmt: skip
    mirrored: dict[tuple[int, ...], np.ndarray] = {}
    for second, other, _, block in triplets(crystal):
        total[number[tuple(second % REPEATS)], number[tuple(other % REPEATS)]] += block
        mirrored[(*second, *other)] = block
    assert total == pytest.approx(result.constants[0], abs=1e-10)
    for cells, block in mirrored.items():
        assert mirrored[(*cells[3:], *cells[:3])] == pytest.approx(block.transpose(0, 2, 1), abs=1e-9)


def test_a_cutoff_that_is_too_short_is_noticed(argon):
    """Random third derivatives that no crystal has: what is left says so."""
    phonon = new_phonopy(bulk("Ar", "fcc", a=5.3), 3)
    basis = cubic_basis(phonon, 4.0)
    assert 0 < parameters(basis) < 69
    vectors = probes(basis, 27)
    thirds = np.random.default_rng(1).standard_normal(vectors.shape)
    checks = checked(phonon, solved(basis, vectors[:-1], thirds[:-1]), vectors, thirds)
    assert checks.sum_rule > 0.05 and checks.residual > 0.5 and checks.foretold > 0.5
    with pytest.raises(OptionsError, match="cutoff -1 A; wanted a length above 0"):
        cubic_basis(phonon, -1)


def test_a_stopped_run_goes_on(argon, found, tmp_path):
    seen = []

    def stop(done: int, failed: int, total: int) -> None:
        seen.append(done)
        if done == 2:
            raise KeyboardInterrupt

    atoms = bulk("Ar", "fcc", a=5.3)
    with pytest.raises(InterruptedRunError, match=r"2 of 3 vectors are done and kept in .*cubic\.partial"):
        cubic(atoms, argon, tmp_path, supercell=3, report=stop)
    again = cubic(atoms, argon, tmp_path, supercell=3, report=lambda *counts: seen.append(counts[0]))
    assert seen == [0, 1, 2, 2, 3]
    assert again.constants == pytest.approx(found[0].constants, abs=1e-14)
    assert not (tmp_path / "cubic.partial.jsonl").exists()


def test_bad_input(argon, tmp_path):
    atoms = bulk("Ar", "fcc", a=5.3)
    for options, message in (
        ({"relax": "some"}, "relax 'some'; wanted no, positions, cell"),
        ({"method": "magic"}, "method 'magic'; wanted best, exact, products, forces"),
        ({"step": 0.0}, "step 0.0 A; wanted a length above 0"),
        ({"method": "exact", "step": 0.1}, "takes no differences"),
        ({"parsl": "p.yaml"}, "parsl without output"),
    ):
        with pytest.raises(OptionsError, match=message):
            cubic(atoms, argon, **options)
    with pytest.raises(
        DataError, match="a supercell of 8 atoms the symmetry leaves no cubic force constants"
    ):
        cubic(atoms, argon, supercell=2)
    with pytest.raises(EngineError, match="has no third derivatives; wanted method=products or forces"):
        cubic(bulk("Cu", a=3.61), EMT(), supercell=3, method="exact")
