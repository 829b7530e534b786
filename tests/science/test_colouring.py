"""Sparse Hessians from shared probes: equal to the dense ones, for less, however big the system is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from scipy import sparse

from hint_plugin.potentials.colouring import colour, hessian_pattern, shared

pytest.importorskip("mace", reason="needs MACE, by way of which models are exported")

from hint_plugin.data.structures.neighbour_lists import Neighbours
from hint_plugin.errors import DataError
from hint_plugin.export.checkpoint_to_artifact import export
from hint_plugin.labelling import EngineCalculator, make_engine
from hint_plugin.models.alphanet import AlphaNet, AlphaNetConfig
from hint_plugin.potentials.artifact_potential import Potential
from hint_plugin.potentials.hint_calculator import HintCalculator


def edges(atoms: Atoms, cutoff: float) -> np.ndarray:
    i, j, _, _ = Neighbours(cutoff)(atoms)
    return np.stack([i, j]).astype(np.int64)


def random_hessian(pattern: sparse.csr_matrix, seed: int = 0) -> np.ndarray:
    """Any symmetric matrix of that pattern, elements over six orders of magnitude."""
    rng, n = np.random.default_rng(seed), pattern.shape[0]
    values = rng.normal(size=(n, 3, n, 3)) * 10.0 ** rng.uniform(-6, 0, (n, 1, n, 1))
    matrix = (values * pattern.toarray()[:, None, :, None]).reshape(3 * n, 3 * n)
    return matrix + matrix.T


def recovered(colouring, hessian: np.ndarray) -> np.ndarray:
    n = len(colouring.colours)
    products = np.concatenate([probes for _, probes in colouring.probes()]).reshape(-1, 3 * n) @ hessian.T
    return colouring.recover(products.reshape(-1, n, 3)).toarray()


def gas(n: int, length: float, seed: int = 0) -> Atoms:
    rng = np.random.default_rng(seed)
    return Atoms(f"H{n}", rng.uniform(0, length, (n, 3)), cell=[length] * 3, pbc=True)


def test_pattern_of_a_chain():
    """Blocks reach 2 h neighbours far; the ends of a chain do not meet."""
    chain = np.array([np.arange(9), np.arange(1, 10)])
    for hops in (0, 1, 2):
        found = hessian_pattern(chain, 10, hops).toarray()
        i, j = np.indices((10, 10))
        assert (found == (abs(i - j) <= 2 * hops)).all()


@pytest.mark.parametrize("substitution", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_any_symmetric_matrix_comes_back(substitution, seed):
    atoms = gas(150, 12.0, seed)
    pattern = hessian_pattern(edges(atoms, 2.0), 150, 1)
    hessian = random_hessian(pattern, seed)
    colouring = colour(pattern, substitution=substitution)
    found = recovered(colouring, hessian)
    assert np.abs(found - hessian).max() < (1e-12 if substitution else 1e-15) * np.abs(hessian).max()
    assert colouring.count < 150 and np.array_equal(found, found.T)


def test_a_dense_matrix_takes_all_columns():
    pattern = sparse.csr_matrix(np.ones((12, 12), dtype=bool))
    hessian = random_hessian(pattern)
    for substitution in (True, False):
        colouring = colour(pattern, substitution=substitution)
        assert colouring.count == 12
        np.testing.assert_allclose(recovered(colouring, hessian), hessian, atol=1e-13)


def test_products_do_not_grow_with_the_cell():
    """Diamond, an atom's energy feeling 4 A: 83 blocks in a row, whatever the cell."""
    counts = {}
    for repeats in (4, 5, 6):
        atoms = bulk("Si", cubic=True).repeat(repeats)
        pattern = hessian_pattern(edges(atoms, 4.0), len(atoms), 1)
        assert np.diff(pattern.indptr).max() == 83
        counts[len(atoms)] = colour(pattern).count, colour(pattern, substitution=False).count
    assert max(c for c, _ in counts.values()) < 1.6 * 83
    by_size = list(counts.values())
    assert by_size[-1][0] < 1.05 * by_size[0][0]
    assert all(c < d for c, d in by_size)  # substitution is the cheaper one


def test_vectors_that_share_a_probe_are_told_apart():
    atoms = gas(200, 20.0)
    pattern = hessian_pattern(edges(atoms, 2.0), 200, 1)
    movers = np.repeat(np.arange(0, 200, 10), 3)
    groups = shared(pattern, movers)
    assert groups.max() + 1 < len(movers)
    for group in range(groups.max() + 1):
        rows = [pattern.indices[pattern.indptr[a] : pattern.indptr[a + 1]] for a in movers[groups == group]]
        together = np.concatenate(rows)
        assert len(np.unique(together)) == len(together)


def test_products_of_another_shape_are_refused():
    colouring = colour(sparse.identity(4, dtype=bool, format="csr"))
    with pytest.raises(ValueError, match="wanted"):
        colouring.recover(np.zeros((2, 4, 3)))


# Exported models


@pytest.fixture(scope="module")
def short_sighted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An AlphaNet of one layer, two hops of 2 A."""
    torch.manual_seed(0)
    config = AlphaNetConfig(
        channels=4, node_width=1, layers=1, frame_channels=2, edge_channels=4, cutoff=2.0, bessel=4
    )
    model = AlphaNet([1, 6, 14], config, average_neighbours=4.0, atomic_energies=[0.0] * 3, scale=2.0)
    folder = tmp_path_factory.mktemp("short-sighted")
    torch.save(model.double(), folder / "model")
    export(folder / "model", folder / "model.hint.pt")
    return folder / "model.hint.pt"


def polyethylene(carbons: int) -> Atoms:
    """A long chain, bent and shaken."""
    found = Atoms()
    for k in range(carbons):
        up = 1 if k % 2 else -1
        found += Atoms("CH2", [(0, 0, 0.42 * up), (0, 0.89, 1.05 * up), (0, -0.89, 1.05 * up)])
        found.positions[-3:] += (1.27 * k, 0.02 * k * k, 0)
    found.rattle(0.05, seed=2)
    return found


def amorphous() -> Atoms:
    found = bulk("Si", cubic=True).repeat((5, 2, 2))
    found.rattle(0.4, seed=3)
    return found


SYSTEMS = {
    "crystal": lambda: bulk("Si", cubic=True).repeat((4, 2, 2)),
    "amorphous": amorphous,
    "molecule": lambda: polyethylene(30),
}


def dense(potential: Potential, atoms: Atoms) -> np.ndarray:
    """By all 3N products: zero exactly where atoms do not feel each other."""
    raw = potential.hessian(atoms, symmetrise=False)
    return 0.5 * (raw + raw.T)


@pytest.mark.parametrize("system", SYSTEMS)
def test_equal_to_the_dense_hessian(short_sighted, system):
    potential, atoms = Potential(short_sighted), SYSTEMS[system]()
    if system != "molecule":
        atoms.set_cell(atoms.cell.array * 0.8, scale_atoms=True)  # neighbours within 2 A
    wanted = dense(potential, atoms)
    found = potential.sparse_hessian(atoms)
    assert np.abs(found.toarray() - wanted).max() < 1e-10 * np.abs(wanted).max()
    blocks = np.abs(wanted.reshape(len(atoms), 3, len(atoms), 3)).max(axis=(1, 3)) > 0
    pattern = potential.hessian_pattern(atoms)
    assert not (blocks & ~pattern.toarray()).any() and pattern.nnz < 0.9 * len(atoms) ** 2
    assert colour(pattern).count < len(atoms)
    if system == "molecule":
        assert colour(pattern).count < 0.5 * len(atoms)


def test_blocks_reach_as_far_as_the_pattern_says(models):
    """Twice the hops of the metadata, and not less: a random AlphaNet and a random MACE on a zigzag chain."""
    for name in ("alphanet float64", "mace float64"):
        potential = Potential(models[name])
        hops, cutoff = potential.metadata.hops, potential.metadata.cutoff
        n, rng = 2 * hops + 3, np.random.default_rng(0)
        steps = rng.random((n, 3)) - 0.5
        steps[:, 0] = 4.0
        steps *= 0.6 * cutoff / np.linalg.norm(steps, axis=1)[:, None]
        chain = Atoms(numbers=rng.choice([1, 6, 8, 14, 29], n), positions=np.cumsum(steps, axis=0))
        wanted = dense(potential, chain)
        felt = np.abs(wanted.reshape(n, 3, n, 3)).max(axis=(1, 3)) > 0
        i, j = np.nonzero(felt)
        assert abs(i - j).max() == 2 * hops
        found = potential.sparse_hessian(chain).toarray()
        assert np.abs(found - wanted).max() < 1e-10 * np.abs(wanted).max()


def test_in_single_precision_blocks_are_read_off(short_sighted):
    potential = Potential(short_sighted, dtype="float32")
    atoms = polyethylene(12)
    wanted = dense(potential, atoms)
    found = potential.sparse_hessian(atoms).toarray()
    assert np.abs(found - wanted).max() < 1e-6 * np.abs(wanted).max()


def test_calculators_have_it(short_sighted):
    atoms = polyethylene(6)
    calculator = HintCalculator(short_sighted)
    by_engine = EngineCalculator(make_engine("model", model=str(short_sighted)))
    wanted = calculator.get_hessian(atoms)
    v = np.random.default_rng(0).normal(size=(2, len(atoms), 3))
    for one in (calculator, by_engine):
        np.testing.assert_allclose(one.get_sparse_hessian(atoms).toarray(), wanted, atol=1e-10)
        assert one.get_hessian_pattern(atoms).shape == (len(atoms), len(atoms))
        np.testing.assert_allclose(one.get_hvp(atoms, v).reshape(2, -1), v.reshape(2, -1) @ wanted, atol=1e-9)
    assert Potential(short_sighted).sparse_hessian(Atoms()).shape == (0, 0)
    with pytest.raises(DataError, match="the model knows"):
        calculator.get_sparse_hessian(Atoms("Cu2", [(0, 0, 0), (0, 0, 1.5)]))


def test_engines_without_a_pattern():
    """By differences of forces, and the dense matrix in blocks."""
    calculator = EngineCalculator(make_engine("calculator", calculator="ase.calculators.emt:EMT"))
    copper = bulk("Cu", cubic=True)
    copper.rattle(0.05, seed=0)
    hessian = calculator.get_hessian(copper)
    v = np.random.default_rng(0).normal(size=(4, 3))
    np.testing.assert_allclose(calculator.get_hvp(copper, v).ravel(), hessian @ v.ravel(), atol=2e-4)
    assert calculator.get_hessian_pattern(copper) is None
    np.testing.assert_allclose(calculator.get_sparse_hessian(copper).toarray(), hessian, atol=1e-12)
