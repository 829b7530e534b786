"""Energies after the best shift of the elements, and the size that their error is relative to."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule

from hint_plugin.science.energy_shift import EnergyPairs

NAMES = ("H2O", "CH4", "CH3OH", "H2CO", "CO2", "C2H6", "C2H4", "HCOOH")
PARTS = [("file", name) for name in NAMES]


def fit(predicted, reference, names=NAMES):
    """The shift, and what it leaves of all frames."""
    shift = pairs(predicted, reference, names).fit(PARTS)
    return shift, shift.errors(PARTS)


def pairs(predicted, reference, names=NAMES) -> EnergyPairs:
    """Energies of `predicted(numbers, i)` and `reference(numbers, i)` for molecules of every name."""
    found = EnergyPairs()
    for i, name in enumerate(names):
        numbers = molecule(name).numbers
        found.add(("file", name), numbers, reference(numbers, i), predicted(numbers, i))
    return found


def atoms_alone(numbers, i=0) -> float:
    return sum({1: -13.0, 6: -1036.0, 8: -2050.0}[z] for z in numbers)


def bonded(numbers, i) -> float:
    """Energies beyond the composition: 0.3 eV/atom up and down."""
    return atoms_alone(numbers) + 0.3 * len(numbers) * (-1) ** i


def test_another_zero_of_each_element_is_found_and_nothing_is_left():
    zero = {1: -2.5, 6: 400.0, 8: 1000.0}
    shift, found = fit(lambda z, i: bonded(z, i) + sum(zero[a] for a in z), bonded)
    assert shift.elements == pytest.approx({"H": -2.5, "C": 400.0, "O": 1000.0}, rel=1e-9)
    assert found["energy_shifted_mae"] == pytest.approx(0, abs=1e-9)
    assert found["energy_shifted_rmse"] == pytest.approx(0, abs=1e-9)
    per_atom = [sum(zero[a] for a in molecule(name).numbers) / len(molecule(name)) for name in NAMES]
    assert shift.per_atom == pytest.approx(np.mean(np.abs(per_atom)))
    assert found["energy_relative"] == pytest.approx(np.mean(np.abs(per_atom)) / found["energy_size"])
    assert shift.is_other_level() and shift.as_dict()["determined"]
    assert any("another level of theory" in note and "not an error of the model" in note.replace("\n", " ")
               for note in shift.notes())  # fmt: skip
    assert "H -2.5, C +400, O +1000 eV" in shift.notes()[0]


@pytest.mark.parametrize("energies", [atoms_alone, lambda z, i: 0.0, lambda z, i: 7.0 * len(z)])
def test_a_model_that_knows_the_composition_alone_has_a_relative_error_of_one(energies):
    shift, found = fit(energies, bonded)
    assert found["energy_shifted_relative"] == pytest.approx(1, rel=1e-9)
    reference, predicted = shift.parity()
    assert predicted == pytest.approx(np.zeros(len(NAMES)), abs=1e-8)
    assert np.mean(np.abs(reference)) == pytest.approx(found["energy_size"])


def test_the_fit_is_least_squares_of_energies_per_atom():
    """Against a fit by hand, frame by frame; frames of one composition count as often as they come."""
    rng = np.random.default_rng(0)
    names = (*NAMES, *NAMES, "H2O", "H2O", "CH4")
    noise = rng.normal(size=len(names))
    shift, found = fit(lambda z, i: bonded(z, i) + noise[i], bonded, names)
    numbers = [molecule(name).numbers for name in names]
    rows = np.array([[np.mean(z == element) for element in (1, 6, 8)] for z in numbers])
    errors = noise / [len(z) for z in numbers]
    wanted = np.linalg.lstsq(rows, errors, rcond=None)[0]
    assert list(shift.elements.values()) == pytest.approx(wanted, rel=1e-9)
    left = errors - rows @ wanted
    assert found["energy_shifted_mae"] == pytest.approx(np.abs(left).mean(), rel=1e-9)
    assert found["energy_shifted_rmse"] == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-9)
    assert not shift.is_other_level() and len(shift.notes()) == 1
    water = shift.errors([("file", "H2O")])
    own = [abs(x) for x, name in zip(left, names, strict=True) if name == "H2O"]
    assert water["energy_shifted_mae"] == pytest.approx(np.mean(own), rel=1e-9)
    assert shift.errors([]) == shift.errors([("file", "NH3")]) == {}
    other = pairs(lambda z, i: bonded(z, i) + noise[i], bonded, names).fit(PARTS[:6])
    assert other.frames == 6 + 6 + 3  # a part of the frames has a shift of its own


def test_one_composition_has_one_shift_of_the_whole():
    """Four waters: the shift of H and O apart cannot be known, the mean error can."""
    errors = [0.3, 0.6, 0.9, 0.6]
    shift, found = fit(lambda z, i: errors[i] + 0.1 * i, lambda z, i: 0.1 * i, ["H2O"] * 4)
    assert shift.fitted == 1 and not shift.as_dict()["determined"]
    assert 2 * shift.elements["H"] + shift.elements["O"] == pytest.approx(0.6)
    assert found["energy_shifted_mae"] == pytest.approx(0.15 / 3)
    assert any("do not tell all of the elements apart" in note for note in shift.notes())


def test_what_a_shift_fits_whatever_it_is_says_nothing():
    assert pairs(bonded, atoms_alone, NAMES[:3]).fit(PARTS) is None
    assert EnergyPairs().fit(PARTS) is None
    few = pairs(bonded, atoms_alone, NAMES[:5]).fit(PARTS)
    assert any("3 numbers were fitted to 5 energies" in note for note in few.notes())


def test_equal_references_have_no_size():
    _, found = fit(lambda z, i: 0.1 * i, lambda z, i: -2078.0, ["H2O"] * 5)
    assert found["energy_size"] == pytest.approx(0, abs=1e-9)
    assert "energy_shifted_relative" not in found
