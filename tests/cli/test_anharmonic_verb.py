"""`hint vibrations --anharmonic` and the function: files, a run that is stopped, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms
from reaction_runs import hint
from slow_springs import Springs

from hint_plugin.data import write_frames
from hint_plugin.errors import InterruptedRunError, OptionsError
from hint_plugin.potentials.hint_calculator import HintCalculator
from hint_plugin.potentials.opening import open_potential
from hint_plugin.science.molecules.run import vibrations

AS_OPTIONS = ("--engine", "calculator", "-e", "calculator=slow_springs:Springs")


def triangle() -> Atoms:
    """Three atoms on springs, at rest."""
    return Atoms("OH2", [(0, 0, 0), (1, 0, 0), (0.5, 0.75**0.5, 0)])


class Stopping(HintCalculator):
    """Springs; Ctrl-C comes at a Hessian."""

    at: int | None = None
    made = 0

    def get_hessian(self, atoms: Atoms | None = None) -> np.ndarray:
        if Stopping.made == Stopping.at:
            raise KeyboardInterrupt
        Stopping.made += 1
        return super().get_hessian(atoms)


def springs(at: int | None = None) -> Stopping:
    Stopping.at, Stopping.made = at, 0
    return Stopping(open_potential(Springs()))


def test_the_command(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "helpers"))
    write_frames(tmp_path / "in.xyz", [triangle()])
    code, text = hint(capfd, "vibrations", "in.xyz", "--no-ir", "--anharmonic", *AS_OPTIONS)
    assert code == 0, text
    for told in (
        "anharmonic",
        "overtones and combinations",
        "zero-point energy",
        "cost: 6 Hessians of displaced geometries",
    ):
        assert told in text
    (row,) = json.loads(Path("vibrations/vibrations.json").read_text())["results"]
    found = row["anharmonic"]
    assert len(found["frequencies"]) == 3 and len(found["overtones_and_combinations"]) == 6
    assert found["harmonic"] == pytest.approx(row["frequencies"]) and max(found["errors"]) < 1
    assert found["cost"] == {"hessians": 6, "products": None, "forces": 12}
    assert len(found["lines"]["positions"]) >= 3
    name = row["name"]
    field = json.loads(Path(f"vibrations/{name}.anharmonic.json").read_text())
    assert field["harmonic"] == found["harmonic"] and len(field["zeta"]) == 3
    assert all(i <= j <= k for i, j, k, _ in field["cubic"]) and len(field["quartic"]) > 3
    assert Path(f"vibrations/{name}.anharmonic.png").is_file()
    assert not list(Path("vibrations").glob("*.partial.jsonl"))


def test_a_run_that_is_stopped_goes_on(tmp_path):
    """After the Hessians that are there, to the same result; with another step it is refused."""
    straight = vibrations(triangle(), springs(), anharmonic=True).results[0]
    assert Stopping.made == 7
    place = tmp_path / "out"
    with pytest.raises(
        InterruptedRunError, match=r"none of 1 molecules was done; Hessians .* are kept in"
    ) as stop:
        vibrations(triangle(), springs(at=4), place, anharmonic=True)
    assert "nothing is kept" not in str(stop.value) and Stopping.made == 4
    (kept,) = place.glob("*.anharmonic.partial.jsonl")
    with pytest.raises(OptionsError, match=r"anharmonic-step: 0.1 then, 0.05 now"):
        vibrations(triangle(), springs(), place, anharmonic=True, anharmonic_step=0.05)
    resumed = vibrations(triangle(), springs(), place, anharmonic=True).results[0]
    assert Stopping.made == 3 and not kept.exists()
    assert resumed["anharmonic"] == straight["anharmonic"]
    with pytest.raises(InterruptedRunError):
        vibrations(triangle(), springs(at=4), place, anharmonic=True)
    vibrations(triangle(), springs(), place, anharmonic=True, restart=True)
    assert Stopping.made == 7 and not kept.exists()


def test_what_is_refused(tmp_path):
    with pytest.raises(OptionsError, match="is of minima"):
        vibrations(triangle(), springs(), anharmonic=True, saddle=True)
    with pytest.raises(OptionsError, match="needs --model FILE or --engine NAME"):
        vibrations(triangle(), anharmonic=True)
    with pytest.raises(OptionsError, match=r"a step of 2 .* wanted 0.001 to 0.5"):
        vibrations(triangle(), springs(), anharmonic=True, anharmonic_step=2)
    far, held = triangle(), triangle()
    far.positions[1, 0] += 0.03
    held.set_constraint(FixAtoms([0]))
    found = vibrations([far, held, triangle()], springs(), tmp_path / "out", anharmonic=True)
    assert len(found.results) == 1 and not list((tmp_path / "out").glob("*.partial.jsonl"))
    first, second = (failure["error"] for failure in found.failures)
    assert "not at its minimum" in first and "give --optimize" in first
    assert "atoms of OH2 are held" in second
    assert found.results[0]["stationary"] is True


def test_optimising_goes_on_to_the_very_minimum():
    """The force of an optimisation that stops at 0.01 eV/A is taken away."""
    pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
    bent = triangle()
    bent.positions[1] += (0.03, 0.02, 0.0)
    (row,) = vibrations(bent, springs(), optimize=True, anharmonic=True).results
    assert row["largest_force"] < 1e-4 and row["anharmonic"]["geometry_error"] < 0.1
    straight = vibrations(triangle(), springs(), anharmonic=True).results[0]["anharmonic"]
    assert row["anharmonic"]["frequencies"] == pytest.approx(straight["frequencies"], abs=0.1)
