"""Nudged elastic bands: barriers that images step over, tops that do not join the ends."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from scipy.optimize import minimize_scalar

pytest.importorskip("geodesic_interpolate", reason="needs geodesic-interpolate: 'hint-mlip[reactions]'")
pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")

from reaction_runs import KCAL, hcn, hint
from toy_potentials import Diatomic, spike, two_barriers

from hint_plugin.data import read_frames, write_frames
from hint_plugin.science.reactions.neb import elastic_band
from hint_plugin.science.reactions.paths import interpolate
from hint_plugin.science.reactions.resolution import examine


def pair(r: float) -> Atoms:
    return Atoms("Ar2", [(0, 0, 0), (0, 0, r)])


def test_a_path_is_always_the_same():
    """Whatever random numbers others have drawn; and theirs are not touched."""
    ends = hcn()
    paths = []
    for seed in (1, 2):
        np.random.seed(seed)
        paths.append([atoms.positions for atoms in interpolate(*ends, 9)])
        drawn = np.random.random()
        np.random.seed(seed)
        assert np.random.random() == drawn
    np.testing.assert_array_equal(*paths)


def top_of(calculator: Diatomic, low: float, high: float) -> float:
    found = minimize_scalar(lambda r: -calculator._energy(r), bounds=(low, high), method="bounded")
    return -float(found.fun)


@pytest.mark.parametrize("climb", [True, False])
def test_a_barrier_between_two_images_is_found(climb):
    """Nine images 0.25 A apart know of 0.2 eV. The barrier is 3.1 eV, and 0.2 A wide."""
    band = elastic_band(pair(1.0), pair(3.0), spike(), climb=climb)
    found = band.as_dict()
    assert band.converged and found["resolved"] and found["images_added"] >= 2
    top = top_of(spike(), 2.5, 2.7)
    assert top > 3.1
    assert found["barriers"]["forward"] == pytest.approx(top, abs=1e-3 if climb else 0.1)
    assert found["interpolation"]["error"] <= found["interpolation"]["tolerance"] < 0.11
    distances = [atoms.get_distance(0, 1) for atoms in band.images]
    assert (np.diff(distances) > 0).all()  # none overtakes another
    if climb:
        assert found["force_on_highest_image"] < 0.05


def test_what_cannot_be_resolved_is_said(tmp_path, monkeypatch, capfd):
    """Without rounds in which images are added: the old band, with what it hides."""
    monkeypatch.setattr("hint_plugin.science.reactions.neb._ROUNDS", 0)
    for name, r in (("r.xyz", 1.0), ("p.xyz", 3.0)):
        write_frames(tmp_path / name, [pair(r)])
    engine = ("--engine", "calculator", "-e", "calculator=toy_potentials:spike")
    options = ("-o", tmp_path / "out", "--no-climb", "--images", "6")
    code, text = hint(capfd, "neb", tmp_path / "r.xyz", tmp_path / "p.xyz", *options, *engine)
    assert code == 3 and "the barrier is not resolved: between images" in " ".join(text.split())
    assert json.loads((tmp_path / "out" / "neb.json").read_text())["resolved"] is False


@pytest.mark.parametrize("option", ["--no-verify", "--verify"])
def test_ends_that_are_the_same_but_for_their_place_are_no_reaction(option, tmp_path, capfd):
    for name, turn in (("r.xyz", 0), ("p.xyz", 50)):
        atoms = pair(1.0)
        atoms.rotate(turn, "z")
        write_frames(tmp_path / name, [atoms])
    engine = ("--engine", "calculator", "-e", "calculator=toy_potentials:two_wells", "--no-optimize")
    ends = (tmp_path / "r.xyz", tmp_path / "p.xyz")
    code, text = hint(capfd, "neb", *ends, "-o", tmp_path / "out", option, *engine)
    assert code == 2 and "the reactant and the product are the same geometry" in " ".join(text.split())


def test_the_cubic_follows_energies_and_forces():
    """Of a cubic it is exact; what differs from it beside the top is seen, with its size."""

    def on(line, slope):
        r = np.array([0.0, 0.6, 1.4, 2.0])
        x = np.array([[0, 0, 0, 0, 0, at] for at in r])
        forces = np.array([[0, 0, 0, 0, 0, -slope(at)] for at in r])

        def evaluate(places):
            return np.array([line(x[5]) for x in places]), np.zeros((len(places), 2, 3))

        return examine(x, np.array([line(at) for at in r]), forces, evaluate)

    cubic = on(lambda r: r * r * (2 - r), lambda r: 4 * r - 3 * r * r)
    assert cubic.error < 1e-12 and cubic.resolved
    assert cubic.peak == pytest.approx(32 / 27, abs=1e-3)  # between two images
    bump = on(lambda r: r * r * (2 - r) + 2 * np.exp(-(((r - 1) / 0.1) ** 2)), lambda r: 4 * r - 3 * r * r)
    assert not bump.resolved and bump.error == pytest.approx(2.0, abs=0.1) and bump.between == (1, 2)
    assert len(bump.refined) > 4


def run(tmp_path, capfd, toy: str) -> tuple[int, str, dict]:
    for name, r in (("r.xyz", 1.0), ("p.xyz", 3.0)):
        write_frames(tmp_path / name, [pair(r)])
    engine = ("--engine", "calculator", "-e", f"calculator=toy_potentials:{toy}")
    code, text = hint(capfd, "neb", tmp_path / "r.xyz", tmp_path / "p.xyz", "-o", tmp_path / "out", *engine)
    return code, " ".join(text.split()), json.loads((tmp_path / "out" / "neb.json").read_text())


def test_a_top_that_joins_the_ends(tmp_path, capfd):
    code, text, found = run(tmp_path, capfd, "spike")
    assert code == 0, text
    assert "added where it is steep" in text and "the reaction path from the top leads to both ends" in text
    assert found["connection"]["joins"] is True
    assert found["connection"]["barriers"]["forward"] == pytest.approx(found["barriers"]["forward"], abs=0.01)
    (saddle,) = read_frames(tmp_path / "out" / "transition_state.xyz")
    assert saddle.get_distance(0, 1) == pytest.approx(2.6, abs=0.02)
    energies = [atoms.get_potential_energy() for atoms in read_frames(tmp_path / "out" / "path.xyz")]
    assert energies == pytest.approx(found["energies"])


def test_a_top_that_does_not(tmp_path, capfd):
    """Two barriers: the climbing image is on the higher one, and a minimum at 2 A lies before it."""
    code, text, found = run(tmp_path, capfd, "two_barriers")
    assert code == 3 and "does not lead to both ends" in text
    assert found["converged"] and found["resolved"] and found["connection"]["joins"] is False
    assert found["barriers"]["forward"] == pytest.approx(top_of(two_barriers(), 2.3, 2.7), abs=1e-3)
    ends = found["connection"]["ends"]
    assert [end["rmsd"] for end in ends] == pytest.approx([0.5, 0.0], abs=0.01)


@pytest.mark.slow
def test_formaldehyde_to_cis_hydroxycarbene(tmp_path, capfd):
    """GFN2-xTB: the hydrogen goes over at 92 kcal/mol and leads to the trans form, 2 kcal/mol above cis."""
    pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
    ends = {
        "r.xyz": [(0, 0, 1.21), (0, 0.94, -0.55), (0, -0.94, -0.55)],
        "p.xyz": [(0, 0, 1.31), (0, 1.08, -0.3), (0, 0.9, 1.65)],
    }
    for name, others in ends.items():
        write_frames(tmp_path / name, [Atoms("COH2", [(0, 0, 0), *others])])
    engine = ("--engine", "gfn2-xtb")
    code, text = hint(capfd, "neb", tmp_path / "r.xyz", tmp_path / "p.xyz", "-o", tmp_path / "out", *engine)
    found = json.loads((tmp_path / "out" / "neb.json").read_text())
    assert code == 3 and found["images_added"] > 0
    if not found["converged"]:  # rounding decides which way the band goes: it must say so, as it does here
        assert "the band has not converged" in text
        return
    assert "does not lead to both ends" in text
    assert KCAL * found["barriers"]["forward"] == pytest.approx(92.0, abs=0.3)
    product = found["connection"]["ends"][1]
    assert KCAL * (product["energy"] - product["energy_of_the_band"]) == pytest.approx(1.9, abs=0.2)
