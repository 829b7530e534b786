"""Displaced structures: the distribution, the floor on distances with periodic images, supercells, errors."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import covalent_radii
from scipy.stats import kstest

from hint_plugin.data import read_frames, write_frames
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.sampling import DisplaceSettings, displaced_copies
from hint_plugin.sampling.displace import make_displaced


def smallest_ratio(atoms: Atoms) -> float:
    """min over pairs and 27 images of distance / sum of radii, by brute force."""
    radii = covalent_radii[atoms.numbers]
    shifts = [np.array(s) for s in np.ndindex(3, 3, 3)]
    shifts = [(s - 1) @ atoms.cell.array for s in shifts if all(atoms.pbc[i] or s[i] == 1 for i in range(3))]
    found = np.inf
    for shift in shifts:
        distance = np.linalg.norm(atoms.positions[:, None] - atoms.positions[None] + shift, axis=-1)
        if not shift.any():
            distance[np.diag_indices(len(atoms))] = np.inf
        found = min(found, float((distance / (radii[:, None] + radii[None])).min()))
    return found


def test_displacements_are_gaussian_where_nothing_is_near():
    far = Atoms("Ar500", 50.0 * np.arange(1500.0).reshape(500, 3))
    moves = [a.positions - far.positions for a in displaced_copies(far, 0, DisplaceSettings(copies=4))]
    assert kstest(np.concatenate(moves).ravel() / 0.4, "norm").pvalue > 0.01
    assert len({m.tobytes() for m in moves}) == 4


@pytest.mark.parametrize("floor", [0.6, 0.8])
def test_the_floor_holds(floor):
    frames = [molecule("CH3CH2OH"), bulk("Si", cubic=True).repeat((2, 2, 2)), molecule("C6H6")]
    slab = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    slab.pbc = [True, True, False]
    for number, parent in enumerate([*frames, slab]):
        for atoms in displaced_copies(parent, number, DisplaceSettings(copies=3, floor=floor)):
            assert smallest_ratio(atoms) >= floor
            assert np.array_equal(atoms.cell, parent.cell) and np.array_equal(atoms.pbc, parent.pbc)
    loose = [smallest_ratio(a) for a in displaced_copies(frames[1], 0, DisplaceSettings(copies=3, floor=0.0))]
    assert min(loose) < 0.6  # without it, they would come closer


def test_periodic_images_count():
    """Two atoms on both sides of the boundary are 1.0 A apart through it, 9 A inside the cell."""
    across = Atoms("H2", [[0.5, 5, 5], [9.5, 5, 5]], cell=[10, 10, 10], pbc=True)
    settings = DisplaceSettings(sigma=0.3, copies=200, floor=0.9)
    limit = 0.9 * 2 * covalent_radii[1]
    distances = [a.get_distance(0, 1, mic=True) for a in displaced_copies(across, 0, settings)]
    assert min(distances) >= limit
    open_box = across.copy()
    open_box.pbc = False
    gaps = [a.get_distance(0, 1, mic=False) for a in displaced_copies(open_box, 0, settings)]
    folded = np.abs(np.abs(np.array(gaps)) - 10)
    assert folded.min() < limit  # the same displacements are no conflict without the boundary


def test_conditional_distribution_of_a_bond():
    """For two atoms, drawing the pair again until it is allowed IS rejection: compare with exactly that."""
    parent = Atoms("H2", [[0, 0, 0], [0, 0, 0.8]])
    settings = DisplaceSettings(sigma=0.3, copies=1500, floor=0.9)
    found = [a.get_distance(0, 1) for a in displaced_copies(parent, 0, settings)]
    rng = np.random.default_rng(5)
    pairs = parent.positions + 0.3 * rng.normal(size=(40_000, 2, 3))
    lengths = np.linalg.norm(pairs[:, 0] - pairs[:, 1], axis=1)
    allowed = lengths[lengths >= 0.9 * 2 * covalent_radii[1]]
    assert 0.2 < len(allowed) / 40_000 < 0.95
    assert kstest(found, allowed).pvalue > 0.01


def test_seed_and_number_make_the_stream():
    parent = molecule("CH4")
    first, same, other, next_ = (
        next(displaced_copies(parent, number, DisplaceSettings(seed=seed))).positions
        for number, seed in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other) and not np.array_equal(first, next_)


def test_supercell():
    parent = bulk("NaCl", "rocksalt", a=5.6)
    atoms = next(displaced_copies(parent, 0, DisplaceSettings(supercell=(2, 1, 3))))
    assert len(atoms) == 12
    assert atoms.cell.array == pytest.approx(parent.cell.array * [[2], [1], [3]])
    with pytest.raises(OptionsError, match="not periodic in a direction"):
        next(displaced_copies(molecule("H2O"), 0, DisplaceSettings(supercell=(2, 1, 1))))
    parent.info["charge"] = 1
    with pytest.raises(DataError, match="charge or spin"):
        next(displaced_copies(parent, 0, DisplaceSettings(supercell=(2, 1, 1))))


def test_labels_do_not_survive():
    parent = molecule("H2")
    parent.info |= {"REF_energy": -1.0, "REF_hessian": np.eye(6), "charge": 0, "hint_engine": "x"}
    parent.arrays["REF_forces"] = np.zeros((2, 3))
    atoms = next(displaced_copies(parent, 0, DisplaceSettings(), name="a.xyz, frame 3"))
    assert (
        set(atoms.info) == {"charge", "displaced_from", "displaced_sigma"}
        and "REF_forces" not in atoms.arrays
    )
    assert atoms.info["displaced_from"] == "a.xyz, frame 3"


def test_what_is_refused():
    close = Atoms("H2", [[0, 0, 0], [0, 0, 0.2]])
    with pytest.raises(DataError, match="H0 and H1 are closer than the floor.*Lower --floor"):
        next(displaced_copies(close, 0, DisplaceSettings()))
    packed = bulk("Cu", cubic=True).repeat(2)
    with pytest.raises(DataError, match="after 5 draws with sigma 0.9 A. Lower --sigma"):
        next(displaced_copies(packed, 0, DisplaceSettings(sigma=0.9, floor=0.95, max_rounds=5)))
    for bad in ({"sigma": -0.1}, {"copies": 0}, {"floor": 1.0}, {"supercell": (0, 1, 1)}):
        with pytest.raises(OptionsError, match="wanted|at least 1"):
            DisplaceSettings(**bad).check()


def test_a_file_of_them_and_its_plan(tmp_path):
    write_frames(tmp_path / "a.xyz", [molecule("CH4"), molecule("H2O")])
    settings = DisplaceSettings(copies=3, seed=2)
    sample = make_displaced([tmp_path / "a.xyz"], tmp_path / "new.h5", settings, "2")
    made = read_frames(tmp_path / "new.h5")
    assert [str(a.symbols) for a in made] == ["CH4"] * 3 + ["OH2"] * 3
    assert sample.plan.n_hessians == 2 and len(sample.plan.choices) == 6
    assert [c.frame for c, _ in sample.plan.frames()] == list(range(6))
    assert "a.xyz, frame 1 (H2O)" in sample.plan.choices[3].reason
    parents = [molecule(name) for name in ["CH4"] * 3 + ["H2O"] * 3]
    moves = [a.positions - parent.positions for a, parent in zip(made, parents, strict=True)]
    assert sample.plan.settings["rms"] == pytest.approx(np.sqrt((np.concatenate(moves) ** 2).mean()))


def test_moments_and_tags_go_into_supercells():
    """What a calculator may read of an atom is repeated with it; momenta and labels are not."""
    parent = Atoms("Ni2", [(0, 0, 0), (1.4, 1.4, 1.4)], cell=[2.8] * 3, pbc=True, tags=[3, 4])
    parent.set_initial_magnetic_moments([2.0, -2.0])
    parent.set_momenta(np.ones((2, 3)))
    (atoms,) = displaced_copies(parent, 0, DisplaceSettings(sigma=0.01, supercell=(2, 1, 1)))
    assert atoms.get_initial_magnetic_moments().tolist() == [2.0, -2.0, 2.0, -2.0]
    assert atoms.get_tags().tolist() == [3, 4, 3, 4] and "momenta" not in atoms.arrays


def test_a_supercell_as_it_is():
    """The atoms of the first cell are marked: their rows are all of the Hessian, by translation."""
    cell = bulk("NaCl", "rocksalt", a=5.64)
    (atoms,) = displaced_copies(cell, 0, DisplaceSettings(sigma=0.0, supercell=(2, 2, 1)))
    wanted = cell.repeat((2, 2, 1))
    np.testing.assert_array_equal(atoms.positions, wanted.positions)
    assert atoms.arrays["primitive"].tolist() == [True] * 2 + [False] * 6
    np.testing.assert_array_equal(atoms.positions[atoms.arrays["primitive"]], cell.positions)
