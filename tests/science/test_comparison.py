"""`hint compare-thermo`: a reference against itself, and against another method."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from ase.build import molecule

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")

from hint_plugin.labelling import EngineCalculator, make_engine
from hint_plugin.science.molecules import Stationary, normal_modes, optimize
from hint_plugin.science.molecules.thermo_comparison import compare_thermochemistry, far_minima, mean_errors


def minimum(name: str, engine: str):
    atoms = molecule(name)
    atoms.calc = EngineCalculator(make_engine(engine))
    return optimize(atoms, fmax=1e-3)


def test_a_method_against_itself_and_against_another():
    there = minimum("H2O", "gfn2-xtb")
    same = compare_thermochemistry(there.atoms, there.hessian, there.atoms.calc)
    other = compare_thermochemistry(there.atoms, there.hessian, EngineCalculator(make_engine("gfn1-xtb")))
    for where in ("same_geometry", "own_geometry"):
        assert same[where]["gibbs_correction"] == pytest.approx(
            same["reference"]["gibbs_correction"], abs=1e-4
        )
    assert same["own_geometry"]["rmsd"] < 1e-4 < 5e-4 < other["own_geometry"]["rmsd"]
    # by hand: GFN1-xTB's own minimum, and its corrections
    own = minimum("H2O", "gfn1-xtb")
    assert other["own_geometry"]["frequencies"] == pytest.approx(own.modes.frequencies, abs=3.0)
    rows = mean_errors([same, other])
    assert [(row["where"], row["count"], row["failed"]) for row in rows] == [
        ("same_geometry", 2, 0),
        ("own_geometry", 2, 0),
    ]
    error = abs(other["own_geometry"]["zero_point_energy"] - other["reference"]["zero_point_energy"])
    assert rows[1]["zero_point_energy"] == pytest.approx(0.5 * error, abs=1e-4)


def test_another_molecule_is_no_minimum_of_the_model(monkeypatch):
    """A minimum nearby that has other bonds is not compared."""
    from hint_plugin.science.molecules import thermo_comparison

    there = minimum("H2O", "gfn2-xtb")
    broken = there.atoms.copy()
    broken.positions[1] += 2 * (broken.positions[1] - broken.positions[0])
    monkeypatch.setattr(thermo_comparison, "optimize", lambda *_, **__: replace(there, atoms=broken))
    found = compare_thermochemistry(there.atoms, there.hessian, there.atoms.calc)
    assert "another molecule: its bonds differ: O0-H1 broken" in found["own_geometry"]["failure"]


def test_another_saddle_of_the_model_is_not_compared(monkeypatch):
    """That of a torsion at another angle has the same bonds, and one imaginary mode as well."""
    from hint_plugin.science.molecules import thermo_comparison

    def saddle(angle: float):
        """H2O2, its torsion made imaginary there."""
        atoms = molecule("H2O2")
        atoms.set_dihedral(2, 0, 1, 3, angle, indices=[3])
        atoms.calc = EngineCalculator(make_engine("gfn2-xtb"))
        hessian = atoms.calc.get_hessian(atoms)
        modes = normal_modes(atoms, hessian)
        v = modes.mass_weighted[0] * np.sqrt(np.repeat(atoms.get_masses(), 3))
        v /= np.linalg.norm(v)
        return atoms, hessian - (2 * abs(v @ hessian @ v) + 0.5) * np.outer(v, v)

    here, hessian = saddle(75)
    assert normal_modes(here, hessian).kind == "transition state"
    for angle, compared in ((85, True), (175, False)):
        there, curvature = saddle(angle)
        modes = normal_modes(there, curvature)
        found = Stationary(there, modes.kind, True, 1, 0.0, 0.0, curvature, modes)
        monkeypatch.setattr(thermo_comparison, "optimize", lambda *_, found=found, **__: found)
        own = compare_thermochemistry(here, hessian, here.calc)["own_geometry"]
        assert ("failure" not in own) == compared and own["rmsd"] > 0.01
    assert (
        "A from the reference's (RMSD after alignment; wanted at most 0.2 A): another one" in own["failure"]
    )


def test_a_minimum_that_is_far_away_is_named():
    rows = [
        {"name": name, "kind": "minimum", "own_geometry": {"rmsd": far}}
        for name, far in (("a", 0.1), ("b", 0.9))
    ]
    [said] = far_minima(rows)
    assert said.startswith("b: the model's minimum is 0.90 A from the reference's")


def test_what_the_model_does_not_have_is_counted():
    there = minimum("H2O", "gfn2-xtb")
    found = compare_thermochemistry(there.atoms, there.hessian, there.atoms.calc)
    found["own_geometry"] = {"failure": "not converged"}
    rows = mean_errors([found])
    assert rows[1]["failed"] == 1 and rows[1]["gibbs_correction"] is None
    assert json.dumps(rows)
