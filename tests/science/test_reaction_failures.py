"""Whatever goes wrong in a reaction is a verdict with a stage and a reason, and leaves a report."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import CalculationFailed, Calculator

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
pytest.importorskip("geodesic_interpolate", reason="needs geodesic-interpolate: '.[reactions]'")

from reaction_runs import hcn, hint

from hint_plugin.data import write_frames
from hint_plugin.errors import DataError
from hint_plugin.science.reactions import ReactionSettings, find_reaction
from hint_plugin.science.reactions.reaction_files import write_report
from hint_plugin.science.reactions.success_rates import passed


class Broken(Calculator):
    """GFN2-xTB, spoilt by `spoil(energy, forces)` once `step` has been said, from the start if that is ""."""

    implemented_properties = ("energy", "forces")

    def __init__(self, good, spoil, step):
        super().__init__()
        self._good, self._spoil, self._step = good, spoil, step
        self.broken = step == ""

    def said(self, text):
        self.broken = self.broken or text.startswith(self._step)

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        self.atoms = atoms.copy()
        copy = atoms.copy()
        copy.calc = self._good
        energy, forces = copy.get_potential_energy(), copy.get_forces()
        if self.broken:
            energy, forces = self._spoil(energy, forces)
        self.results = {"energy": energy, "forces": forces}

    def get_hessian(self, atoms):
        return self._good.get_hessian(atoms)


def not_a_number(energy, forces):
    return energy, np.full_like(forces, np.nan)


def ase_gives_up(energy, forces):
    raise CalculationFailed("the program has stopped")


def explodes(energy, forces):
    return energy, 1e12 * np.sign(forces + 1e-3)


CASES = {  # what is spoilt, and when -> verdict, stage, a word of the reason
    "NaN at once": (not_a_number, "", "no transition state", "product", "not finite"),
    "NaN later": (not_a_number, "transition state", "no transition state", "transition state", "not finite"),
    "ASE's own error": (ase_gives_up, "", "no transition state", "reactant", "the program has stopped"),
    "ASE's own error later": (ase_gives_up, "IRC", "no path", "IRC", "CalculationFailed: the program has"),
    "steps that explode": (explodes, "", "no transition state", "product", "not converged"),
}


@pytest.mark.parametrize("case", CASES)
def test_calculators_that_fail(case, gfn2, tmp_path):
    spoil, step, verdict, stage, words = CASES[case]
    settings, calculator = ReactionSettings(steps=30, guesses=2), Broken(gfn2, spoil, step)
    found = find_reaction(*hcn(), calculator, settings, calculator.said)
    assert (found.verdict, found.stage) == (verdict, stage) and words in found.failure
    write_report(tmp_path, found, settings)
    assert words in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "reaction.json").read_text())["stage"] == stage


def test_both_ends_relax_to_one_minimum(gfn2):
    """Water, stretched; and water with its hydrogens exchanged, which is only turned around."""
    water = molecule("H2O")
    stretched, exchanged = water.copy(), water.copy()
    stretched.positions[1] += (0, 0.1, 0.1)
    exchanged.positions[[1, 2]] = water.positions[[2, 1]]
    for other in (stretched, exchanged):
        found = find_reaction(water, other, gfn2, ReactionSettings())
        assert (found.verdict, found.stage) == ("no transition state", "guess")
        assert "the same minimum once they are optimised" in found.failure


def spoilt(change) -> Atoms:
    atoms = molecule("H2O")
    change(atoms)
    return atoms


def test_a_product_that_falls_back_is_no_success(gfn2, tmp_path):
    """Water with a hydrogen that was pulled off, 1.5 A from oxygen: optimised, it is water again."""
    product = molecule("H2O")
    product.set_distance(0, 1, 1.5, fix=0)
    found = find_reaction(molecule("H2O"), product, gfn2, ReactionSettings())
    assert (found.verdict, found.stage, found.saddle) == ("collapsed", "guess", None)
    assert "optimising the product has given it the bonds of the reactant" in found.failure
    result = write_report(tmp_path, found, ReactionSettings())
    assert passed(result) == 1 and "collapsed" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("reactant", "message"),
    [
        (
            spoilt(lambda a: a.positions.__setitem__(1, a.positions[2])),
            "atoms 1 and 2 of the reactant are 0.00 A",
        ),
        (spoilt(lambda a: a.positions.fill(np.nan)), "NaN"),
        (spoilt(lambda a: a.set_pbc(True)), "periodic"),
        (Atoms("O"), "at least two"),
        (molecule("NH3"), "keeps its atoms"),
    ],
)
def test_inputs_that_cannot_be(reactant, message, gfn2):
    with pytest.raises(DataError, match=message):
        find_reaction(reactant, molecule("H2O"), gfn2, ReactionSettings())


def test_an_end_that_does_not_converge_is_no_strict_success(gfn2):
    """Forces explode when the ends of the path are optimised: they are near, and not there."""
    calculator = Broken(gfn2, explodes, "end of the IRC")
    found = find_reaction(*hcn(), calculator, ReactionSettings(steps=30, guesses=1), calculator.said)
    result = found.as_dict(ReactionSettings())
    assert found.stage == "done" and result["ends_converged"] == [False, False]
    assert result["verdicts"]["strict"] is False and result["verdicts"]["geometric"] is False


METHOXY = [(0, 0, 0), (0, 0, 1.38), (1.02, 0, -0.38), (-0.51, 0.89, -0.38), (-0.51, -0.89, -0.38)]
HYDROXYMETHYL = [(0, 0, 0), (0, 0, 1.36), (0.9, 0, 1.7), (-0.2, 0.94, -0.5), (-0.2, -0.94, -0.5)]
FORMALDEHYDE = [(0, 0, 0), (0, 0, 1.23), (0, 0.94, -0.55), (0, -0.94, -0.55)]
PAIRS = {
    "CH3O -> CH2OH": (Atoms("COH3", METHOXY), Atoms("COH3", HYDROXYMETHYL), 0, 2, 1.353, 1.723, -1848),
    "a proton from one lone pair to the other": (
        Atoms("COH3", [*FORMALDEHYDE, (0, 0.85, 1.75)]),
        Atoms("COH3", [*FORMALDEHYDE, (0, -0.85, 1.75)]),
        1,
        1,
        0.734,
        0.734,  # both ends are the same molecule
        -1158,
    ),
}
"""Charge, multiplicity; barriers on GFN2-xTB, eV, and the imaginary mode, cm^-1."""


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_open_shell_and_charged(name, gfn2):
    reactant, product, charge, spin, forward, reverse, mode = PAIRS[name]
    for atoms in (reactant, product):
        atoms.info |= {"charge": charge, "spin": spin}
    found = find_reaction(reactant, product, gfn2, ReactionSettings(guesses=1))
    assert (found.verdict, found.verdicts["strict"]) == ("intended", True)
    assert found.barriers["forward"] == pytest.approx(forward, abs=0.005)
    assert found.barriers["reverse"] == pytest.approx(reverse, abs=0.005)
    assert found.saddle is not None and found.saddle.modes.imaginary == pytest.approx([mode], abs=5)


class Links(HTMLParser):
    """What a page points at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.targets += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_is_one_file(tmp_path, capfd):
    """It fetches nothing, its links lie beside it, and names are not taken for HTML."""
    for name, atoms in zip(("<b>.xyz", "c & d.xyz"), hcn(), strict=True):
        write_frames(tmp_path / name, [atoms])
    ends, out = (tmp_path / "<b>.xyz", tmp_path / "c & d.xyz"), tmp_path / "out"
    code, text = hint(capfd, "reaction", *ends, "-o", out, "--engine", "gfn2-xtb", "--guesses", "1")
    assert code == 0, text
    page = (out / "report.html").read_text()
    found = Links(page)
    assert "&lt;b&gt; to c &amp; d" in page and "script" not in found.tags and "b" in found.tags
    files = [target for target in found.targets if not target.startswith("data:image/png;base64,")]
    assert set(files) == {"reactant.xyz", "transition_state.xyz", "product.xyz", "irc.xyz", "guess_path.xyz"}
    assert all((out / name).is_file() for name in files)
    assert "73.2" in page and "intended" in page
    # another search in the same folder leaves nothing of the first
    code, _ = hint(capfd, "reaction", *ends, "-o", out, "--engine", "gfn2-xtb", "--steps", "1")
    assert code == 3 and not (out / "irc.xyz").exists() and not (out / "transition_state.xyz").exists()
    assert set(Links((out / "report.html").read_text()).targets) <= {"reactant.xyz", "product.xyz"}
    assert Path(out / "reaction.json").is_file()
