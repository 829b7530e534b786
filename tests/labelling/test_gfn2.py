"""GFN2-xTB labels against the xtb program, against tighter differences, and in what they refuse."""

from __future__ import annotations

import shutil
import subprocess
import sys

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.units import Bohr, Hartree

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")

from hint_plugin.data import read_label, write_label
from hint_plugin.errors import EngineError, MissingDependencyError, OptionsError
from hint_plugin.labelling import make_engine, make_labels
from hint_plugin.potentials import differences

XTB = shutil.which("xtb")


def displaced(name: str, seed: int = 0, sigma: float = 0.03) -> Atoms:
    atoms = molecule(name)
    atoms.rattle(sigma, seed=seed)
    return atoms


def without_rigid_motion(atoms: Atoms) -> np.ndarray:
    """The projector [3N, 3N] onto what is neither translation nor rotation, not mass-weighted."""
    centred, axes = atoms.positions - atoms.positions.mean(axis=0), np.eye(3)
    moves = [np.tile(axis, (len(atoms), 1)).ravel() for axis in axes]
    moves += [np.cross(axis, centred).ravel() for axis in axes]
    basis = np.linalg.qr(np.array(moves).T)[0]
    return np.eye(3 * len(atoms)) - basis @ basis.T


def exact_hessian(atoms: Atoms) -> np.ndarray:
    """Two steps and a tight SCF, extrapolated: good to 1e-7 eV/A^2 but for what the SCF leaves."""
    prepared = make_engine("gfn2-xtb", accuracy=1e-7).prepare(atoms)
    fine, coarse = (differences.hessian(prepared.forces_at, atoms.positions, h).matrix for h in (1e-3, 2e-3))
    return (4 * fine - coarse) / 3


@pytest.mark.skipif(XTB is None, reason="the xtb program is not installed (Debian: apt install xtb)")
@pytest.mark.parametrize("name", ["CH3CH2OH", "C4H4NH"])
def test_hessian_agrees_with_the_xtb_program(tmp_path, name):
    """xtb 6.5 takes differences with a step of 0.005 bohr and removes rotations and translations from what it
    writes, so ours is projected as well; its default accuracy leaves 0.06 eV/A^2, hence --acc 0.01. Seen:
    1.6e-3, rms 2e-4."""
    atoms = displaced(name)
    atoms.write(tmp_path / "in.xyz")
    command = [str(XTB), "in.xyz", "--hess", "--acc", "0.01"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=60)
    atoms = ase.io.read(tmp_path / "in.xyz")  # with the digits that xtb saw
    values = (tmp_path / "hessian").read_text().split()[1:]
    theirs = np.array(values, dtype=float).reshape(3 * len(atoms), -1) * Hartree / Bohr**2
    ours = make_labels(make_engine("gfn2-xtb"), atoms).hessian.hessian
    projector = without_rigid_motion(atoms)
    difference = projector @ ours @ projector - theirs
    assert np.abs(ours).max() > 40
    assert np.abs(difference).max() < 5e-3
    assert np.sqrt(np.mean(difference**2)) < 5e-4


@pytest.mark.parametrize("name", ["H2O", "CH3OH"])
def test_noise_is_of_the_size_of_the_error(name):
    atoms = displaced(name)
    exact, engine = exact_hessian(atoms), make_engine("gfn2-xtb")
    full = make_labels(engine, atoms).hessian
    error = np.sqrt(np.mean((full.hessian - exact) ** 2))
    assert error < 1e-4
    assert full.noise < 4 * error and error < 4 * full.noise
    assert full.provenance["noise_from"] == "asymmetry" and full.provenance["asymmetry"] < 1e-3
    for n_probes, origin in ((1, "step-doubling"), (3, "step-doubling"), (6, "probe-pairs")):
        rng = np.random.default_rng(0)
        label = make_labels(engine, atoms, "projected", n_probes=n_probes, rng=rng).hessian
        assert label.provenance["noise_from"] == origin and label.n_probes == n_probes
        difference = label.hvp.reshape(n_probes, -1) - label.probes.reshape(n_probes, -1) @ exact
        error = np.sqrt(np.mean(difference**2) / exact.shape[0])
        assert error < 2e-4
        assert error / 4 < label.noise < 10 * error


def test_labels_pass_their_own_checks():
    atoms = displaced("CH3CH2OH")
    for mode in ("full", "projected"):
        labels = make_labels(make_engine("gfn2-xtb"), atoms, mode, n_probes=4, rng=np.random.default_rng(1))
        write_label(atoms, labels.hessian)
        assert read_label(atoms).noise < 1e-3


def test_forces_are_the_gradient_of_the_energy():
    atoms, engine = displaced("CH3OH"), make_engine("gfn2-xtb")
    point = make_labels(engine, atoms, "none").point
    direction = np.random.default_rng(0).normal(size=atoms.positions.shape)
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * 2e-4 * direction
        energies.append(make_labels(engine, moved, "none").point.energy)
    slope = (energies[0] - energies[1]) / 4e-4
    assert slope == pytest.approx(-(point.forces * direction).sum(), abs=1e-4)


def test_reusing_the_density_changes_nothing():
    atoms, engine = displaced("CH3OH"), make_engine("gfn2-xtb")
    chained = differences.hessian(engine.prepare(atoms).forces_at, atoms.positions, engine.step)
    fresh = differences.hessian(lambda x: engine.prepare(atoms).forces_at(x), atoms.positions, engine.step)
    assert np.abs(chained.matrix - fresh.matrix).max() < 1e-4


@pytest.mark.parametrize("name", ["CH3CH2OH", pytest.param("silicon", marks=pytest.mark.long)])
def test_the_last_atom_need_not_be_moved(name):
    if name == "silicon":
        atoms = bulk("Si")
        atoms.rattle(0.03, seed=0)
    else:
        atoms = displaced(name)
    engine = make_engine("gfn2-xtb")
    assert engine.translation_invariant
    calls = 0

    def forces(positions):
        nonlocal calls
        calls += 1
        return prepared.forces_at(positions)

    prepared = engine.prepare(atoms)
    moved_all = differences.hessian(prepared.forces_at, atoms.positions, engine.step)
    short = differences.hessian(forces, atoms.positions, engine.step, translation_invariant=True)
    assert calls == 6 * (len(atoms) - 1)
    assert np.abs(short.matrix - short.matrix.T).max() == 0
    assert np.abs(short.matrix - moved_all.matrix).max() < 5e-4
    assert np.abs(make_labels(engine, atoms).hessian.hessian - short.matrix).max() < 1e-4


def test_one_atom_alone_has_no_curvature():
    labels = make_labels(make_engine("gfn2-xtb"), Atoms("He"))
    assert np.abs(labels.hessian.hessian).max() < 1e-6


def test_charge_and_spin():
    engine = make_engine("gfn2-xtb")
    radical = make_labels(engine, molecule("OH"), "none")
    assert radical.provenance["multiplicity"] == 2
    methylene = molecule("CH2_s3B1d")
    with pytest.raises(EngineError, match=r"initial_magmoms .* 2 unpaired electrons, and multiplicity 1"):
        make_labels(engine, methylene, "none")  # ASE gives it the moments of a triplet
    methylene.set_initial_magnetic_moments(None)
    # without spin polarisation GFN2 puts the triplet above the singlet; that it differs is the point
    singlet = make_labels(engine, methylene, "none").point.energy
    methylene.info["spin"] = 3
    triplet = make_labels(engine, methylene, "none")
    assert triplet.provenance["multiplicity"] == 3 and triplet.point.energy > singlet + 0.1
    ion = molecule("NH3")
    ion.info["charge"] = 1
    assert make_labels(engine, ion, "none").provenance["multiplicity"] == 2
    by_option = make_engine("gfn2-xtb", charge=1, multiplicity=2)
    ion.info.clear()
    assert make_labels(by_option, ion, "none").provenance["charge"] == 1


def test_periodic_cells_have_stress():
    atoms, engine = bulk("Si"), make_engine("gfn2-xtb")
    atoms.rattle(0.02, seed=0)
    labels = make_labels(engine, atoms, "none")
    assert labels.provenance["kpoints"] == "gamma"
    energies = []
    for strain in (2e-4, -2e-4):
        strained = atoms.copy()
        deformation = np.eye(3)
        deformation[0, 1] = strain
        strained.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
        energies.append(make_labels(engine, strained, "none").point.energy)
    slope = (energies[0] - energies[1]) / 4e-4 / atoms.get_volume()
    assert slope == pytest.approx(labels.point.stress[5], rel=0.02, abs=1e-4)
    assert make_labels(engine, molecule("H2O"), "none").point.stress is None


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms("H2O", np.array([[0, 0, 0], [9, 0, 0], [0, 19, 0]])), "not converged"),
        (Atoms("H2", [[0, 0, 0], [0, 0, 0]]), "[Tt]oo close"),
        (Atoms("U"), "H to Rn"),
        (Atoms("H2O", molecule("H2O").positions, info={"spin": 2}), "cannot have multiplicity 2"),
        (Atoms("H2O", molecule("H2O").positions, info={"charge": 0.5}), "whole number"),
        (Atoms("H", info={"charge": 1}), "0 electrons"),
        (Atoms("H2", [[0, 0, 0], [0, 0, float("nan")]]), "NaN"),
        (bulk("C") * [1, 1, 1], None),
        (Atoms(), "without atoms"),
    ],
)
def test_refusals(atoms, message):
    engine = make_engine("gfn2-xtb")
    if message is None:
        atoms.pbc, message = [True, True, False], "3D-periodic"
    with pytest.raises(EngineError, match=message):
        make_labels(engine, atoms, "none")


def test_unknown_engine():
    with pytest.raises(OptionsError, match="gfn2-xtb"):
        make_engine("gfn3-xtb")


def test_without_tblite_the_extra_is_named():
    code = (
        "import sys; sys.modules['tblite'] = None\n"
        "from hint_plugin.labelling import make_engine\nmake_engine('gfn2-xtb')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert MissingDependencyError.__name__ in result.stderr and "pip install '.[label]'" in result.stderr
