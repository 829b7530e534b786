"""`hint compare-thermo`: a reference against itself, and against another method."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ase.build import molecule

pytest.importorskip("tblite", reason="needs tblite: pip install 'hint-mlip[label]'")
pytest.importorskip("sella", reason="needs Sella: pip install 'hint-mlip[reactions]'")

from hint_plugin.labelling import EngineCalculator, make_engine
from hint_plugin.science.molecules import optimize
from hint_plugin.science.molecules.thermo_comparison import compare_thermochemistry, mean_errors


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


def test_what_the_model_does_not_have_is_counted():
    there = minimum("H2O", "gfn2-xtb")
    found = compare_thermochemistry(there.atoms, there.hessian, there.atoms.calc)
    found["own_geometry"] = {"failure": "not converged"}
    rows = mean_errors([found])
    assert rows[1]["failed"] == 1 and rows[1]["gibbs_correction"] is None
    assert json.dumps(rows)
