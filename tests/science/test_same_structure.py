"""What is compared has to be the same thing: crystals in any cell, molecules."""

from __future__ import annotations

import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.spacegroup import crystal

pytest.importorskip("spglib", reason="needs spglib: pip install '.[phonons]'")

from hint_plugin.errors import DataError
from hint_plugin.science.same_structure import check_same_crystal, compare_crystals, molecule_difference


def rutile() -> Atoms:
    return crystal(
        ["Ti", "O"], [(0, 0, 0), (0.3, 0.3, 0)], spacegroup=136, cellpar=[4.6, 4.6, 2.95, 90, 90, 90]
    )


def test_any_cell_of_a_crystal_is_the_crystal():
    """Turned, shifted, strained by 1 %, its atoms in another order, twice as large and shaken."""
    wanted, other = rutile(), rutile()
    other.rotate(37, "x", rotate_cell=True)
    other.positions += 0.4
    other.set_cell(1.01 * other.cell.array, scale_atoms=True)
    found = compare_crystals(wanted, other[[3, 1, 2, 0, 5, 4]])
    assert found.difference == "" and found.strain == pytest.approx(0.01, abs=1e-6)
    large = wanted.repeat((2, 1, 1))
    large.rattle(1e-3, seed=1)
    assert compare_crystals(wanted, large).difference == ""
    assert compare_crystals(bulk("Fe"), bulk("Fe", cubic=True)).strain < 1e-9


@pytest.mark.parametrize(
    ("mine", "other", "says"),
    [
        (bulk("NaCl", "rocksalt", 5.6), bulk("MgO", "rocksalt", 4.2), "MgO, and not NaCl"),
        (bulk("Si"), bulk("Si", "fcc", 3.9), "a primitive cell of it is Si, and not Si2"),
        (bulk("NaCl", "rocksalt", 5.6), bulk("NaCl", "rocksalt", 6.0), "strain of 7.1 %, more than 5 %"),
        (bulk("NaCl", "rocksalt", 5.6), bulk("NaCl", "zincblende", 5.6), r"F-43m \(216\), and not Fm-3m"),
        (bulk("Fe", "bcc", 2.87), bulk("Fe", "fcc", 3.6), "strain of"),
    ],
)
def test_another_crystal_is_told(mine, other, says):
    with pytest.raises(DataError, match=says):
        check_same_crystal(mine, other, "the reference")


def test_masses_and_places_count():
    other = rutile()
    other.set_masses([16.0 if symbol == "O" else 50.0 for symbol in other.symbols])
    assert "mass of 50 amu, and not 47.87" in compare_crystals(rutile(), other).difference
    assert compare_crystals(rutile(), other, masses=False).difference == ""
    moved = crystal(
        ["Ti", "O"], [(0, 0, 0), (0.12, 0.12, 0)], spacegroup=136, cellpar=[4.6, 4.6, 2.95, 90, 90, 90]
    )
    assert "other places" in compare_crystals(rutile(), moved).difference
    with pytest.raises(DataError, match="same order"):
        check_same_crystal(rutile(), rutile()[[2, 0, 1, 3, 4, 5]], "FILE", ordered=True)


def test_molecules():
    water = molecule("H2O")
    stretched = water.copy()
    stretched.positions[1] += 1.5 * (water.positions[1] - water.positions[0])
    assert molecule_difference(water, water) == ""
    assert molecule_difference(water, stretched) == "its bonds differ: O0-H1 broken"
    assert "in this order" in molecule_difference(water, water[[1, 0, 2]])
