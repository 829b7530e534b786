"""GFN1-xTB, and both methods by xtb-python beside tblite."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.units import Hartree

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")

from hint_plugin.errors import EngineError
from hint_plugin.labelling import make_engine, make_labels

ENGINES = ["gfn1-xtb", "gfn2-xtb"]


def ethanol() -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.03, seed=0)
    return atoms


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("charge", [0, 1])
def test_two_programs_agree(engine, charge):
    """Seen: 1e-8 hartree, 1e-6 eV/A, 5e-5 eV/A^2."""
    pytest.importorskip("xtb", reason="needs xtb-python: pip install xtb")
    atoms = ethanol()
    atoms.info["charge"] = charge  # a radical cation: the spin goes both ways, too
    ours, theirs = (make_labels(make_engine(engine, backend=b), atoms) for b in ("tblite", "xtb"))
    assert ours.provenance["multiplicity"] == theirs.provenance["multiplicity"] == 1 + charge
    assert ours.point.energy / Hartree == pytest.approx(theirs.point.energy / Hartree, abs=1e-6)
    np.testing.assert_allclose(ours.point.forces, theirs.point.forces, atol=2e-5)
    assert np.abs(ours.hessian.hessian).max() > 30
    noise = ours.hessian.noise + theirs.hessian.noise
    difference = ours.hessian.hessian - theirs.hessian.hessian
    assert np.sqrt(np.mean(difference**2)) < 5 * noise and np.abs(difference).max() < 1e-3
    assert theirs.provenance["engine_version"].startswith("xtb ")


def test_the_methods_are_not_mixed_up():
    """Total energies of H2O by xtb 6.5.1, `xtb --gfn 1`, `--gfn 2`, at ASE's geometry of the G2 set."""
    atoms = molecule("H2O")
    energies = [make_labels(make_engine(name), atoms, "none").point.energy / Hartree for name in ENGINES]
    assert energies == pytest.approx([GFN1_WATER, GFN2_WATER], abs=2e-6)


GFN1_WATER, GFN2_WATER = -5.768449488, -5.070222287


def test_gfn1_forces_and_cells():
    engine, atoms = make_engine("gfn1-xtb"), ethanol()
    direction = np.random.default_rng(0).normal(size=atoms.positions.shape)
    point, energies = make_labels(engine, atoms, "none").point, []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * 2e-4 * direction
        energies.append(make_labels(engine, moved, "none").point.energy)
    assert (energies[0] - energies[1]) / 4e-4 == pytest.approx(-(point.forces * direction).sum(), abs=1e-4)
    labels = make_labels(engine, bulk("C", cubic=True), "none")
    assert labels.point.stress.shape == (6,) and labels.provenance["kpoints"] == "gamma"


@pytest.mark.parametrize(
    ("atoms", "kind"),
    [
        (Atoms("H2O", np.array([[0, 0, 0], [9, 0, 0], [0, 19, 0]])), "scf"),
        (Atoms("H2", [[0, 0, 0], [0, 0, 0]]), "geometry"),
        (Atoms("U"), "element"),
        (Atoms("H2O", molecule("H2O").positions, info={"spin": 2}), "electrons"),
        (Atoms(), "geometry"),
    ],
)
@pytest.mark.parametrize("backend", ["tblite", "xtb"])
def test_refusals_have_a_kind(backend, atoms, kind):
    if backend == "xtb":
        pytest.importorskip("xtb", reason="needs xtb-python: pip install xtb")
    engine = make_engine("gfn2-xtb", backend=backend)
    with pytest.raises(EngineError) as caught:
        make_labels(engine, atoms, "none")
    assert caught.value.kind == kind
    assert make_labels(engine, molecule("H2O"), "none").point.energy < 0  # it goes on


def test_xtb_python_leaves_cells_to_tblite():
    pytest.importorskip("xtb", reason="needs xtb-python: pip install xtb")
    with pytest.raises(EngineError, match="--backend tblite"):
        make_labels(make_engine("gfn1-xtb", backend="xtb"), bulk("C"), "none")
