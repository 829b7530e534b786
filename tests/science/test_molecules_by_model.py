"""The verbs for molecules with an exported model: the numbers are those of the artifact.

Its weights are random, so what it calls a molecule is nothing; what the commands say of it has to be right
all the same. A diatomic has one mode, real or imaginary, and so has a Gibbs energy on any surface.
"""

from __future__ import annotations

import json

import pytest
from ase.build import molecule

pytest.importorskip("mace", reason="the artifacts of these tests are made with MACE's modules")
pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
pytest.importorskip("geodesic_interpolate", reason="needs geodesic-interpolate: 'hint-mlip[reactions]'")

from reaction_runs import hcn, hint

from hint_plugin.data import write_frames
from hint_plugin.potentials.hint_calculator import HintCalculator
from hint_plugin.science.molecules import normal_modes, optimize, thermochemistry


@pytest.fixture
def diatomics(tmp_path, gfn2):
    """CO and OH, minima of GFN2-xTB."""
    frames = []
    for name in ("CO", "OH"):
        atoms = molecule(name)
        atoms.calc = gfn2
        frames.append(optimize(atoms, fmax=1e-3).atoms)
    write_frames(tmp_path / "diatomics.xyz", frames)
    return tmp_path / "diatomics.xyz", frames


def test_thermo(models, diatomics, tmp_path, capfd):
    path, frames = diatomics
    artifact = models["alphanet float64"]
    code, text = hint(capfd, "thermo", path, "-o", tmp_path / "out", "--model", artifact)
    assert code == 0 and "written to" in text
    found = json.loads((tmp_path / "out" / "thermo.json").read_text())["results"]
    calculator = HintCalculator(artifact)
    for row, atoms, multiplicity in zip(found, frames, (1, 2), strict=True):
        modes = normal_modes(atoms, calculator.get_hessian(atoms))
        atoms.calc = calculator
        wanted = thermochemistry(modes, atoms.get_potential_energy(), multiplicity=multiplicity)
        assert row["gibbs_energy"] == pytest.approx(wanted.gibbs_energy, abs=1e-6)
        assert row["imaginary"] == pytest.approx(modes.imaginary.tolist(), rel=1e-5)


def test_compare_thermo(models, diatomics, tmp_path, capfd):
    path, frames = diatomics
    artifact = models["alphanet float64"]
    options = ["--reference", "gfn2-xtb", "--model", artifact]
    code, text = hint(capfd, "compare-thermo", path, "-o", tmp_path / "out", *options)
    assert code == 0 and "mean absolute errors" in text
    found = json.loads((tmp_path / "out" / "compare-thermo.json").read_text())
    calculator = HintCalculator(artifact)
    for row, atoms, multiplicity in zip(found["results"], frames, (1, 2), strict=True):
        reference = thermochemistry(
            normal_modes(atoms, atoms.calc.get_hessian(atoms)), multiplicity=multiplicity
        )
        model = normal_modes(atoms, calculator.get_hessian(atoms))
        assert row["reference"]["gibbs_correction"] == pytest.approx(reference.gibbs_correction, abs=1e-5)
        there = row["same_geometry"]
        if "failure" not in there:
            wanted = thermochemistry(model, multiplicity=multiplicity)
            assert there["gibbs_correction"] == pytest.approx(wanted.gibbs_correction, abs=1e-5)
    counted = {(r["kind"], r["where"]): (r["count"], r["failed"]) for r in found["mean_absolute_errors"]}
    assert sum(counted["minimum", "same_geometry"]) == sum(counted["minimum", "own_geometry"]) == 2
    assert (tmp_path / "out" / "compare-thermo.csv").read_text().count("\n") == 3


def test_reaction(models, tmp_path, capfd):
    for name, atoms in zip(("r.xyz", "p.xyz"), hcn(), strict=True):
        atoms.symbols = "HCO"  # elements that the model knows
        write_frames(tmp_path / name, [atoms])
    ends, out = (tmp_path / "r.xyz", tmp_path / "p.xyz"), tmp_path / "out"
    options = ["--model", models["alphanet float64"], "--steps", "40"]
    code, text = hint(capfd, "reaction", *ends, "-o", out, *options)
    found = json.loads((out / "reaction.json").read_text())
    assert code == (0 if found["verdict"] == "intended" else 3)
    assert f"verdict: {found['verdict']}" in text and found["verdict"] in (out / "report.html").read_text()
    write_frames(tmp_path / "r.xyz", [hcn()[0]])
    write_frames(tmp_path / "p.xyz", [hcn()[1]])
    code, text = hint(capfd, "reaction", *ends, "-o", out, *options)
    assert code in (2, 3) and "Traceback" not in text and "N" in text  # no nitrogen in this model
