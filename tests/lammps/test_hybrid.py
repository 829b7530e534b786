"""`pair_style hint` beside other styles: types that are NULL, in every order, on any number of ranks.

Neighbour lists leave out atoms of other styles, and what they hold is indexed by atom: where an atom of
another style comes first, its place in the list and its index differ.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from artifacts import structures
from ase import Atoms
from lammps_runs import SINGLE_POINT, energies, header, read_single_point, run_lmp, write_data

from hint_plugin.potentials.artifact_potential import Potential

TYPES = ["C", "Cu", "H", "O"]
EACH = "thermo_style custom step pe\nthermo_modify format float %.16g\nrun 0\n"


def hybrid(atoms: Atoms, path: Path, types: list[str], other: str) -> str:
    """The input with one type left to a style that does nothing."""
    symbols = " ".join(types)
    return header(atoms, path, types, style="hybrid hint zero 4.0").replace(
        f"pair_coeff * * {path} {symbols}",
        f"pair_coeff * * zero\npair_coeff * * hint {path} {symbols.replace(other, 'NULL')}",
    )


def mixed() -> tuple[Atoms, Atoms]:
    """Ethanol, and the same among copper: first, in the middle and last in every direction and the file."""
    ethanol = structures()["ethanol"]
    centre, low, high = (
        ethanol.positions.mean(axis=0),
        ethanol.positions.min(axis=0),
        ethanol.positions.max(axis=0),
    )
    copper = Atoms("Cu4", [low - 2.5, high + 2.5, centre + [3.5, 3.5, -3.5], centre - [3.5, 3.5, -3.5]])
    return ethanol, copper[:2] + ethanol[:4] + copper[2:3] + ethanol[4:] + copper[3:]


@pytest.mark.parametrize("sort", ["", "atom_modify sort 0 0\n"])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_other_types_are_left_alone(models, tmp_path, ranks, sort):
    """The model sees carbon, hydrogen and oxygen, and nothing else; lines of the file in random order."""
    ethanol, both = mixed()
    path = models["mace float64"]
    (wanted,) = Potential(path).evaluate([ethanol])
    order = np.random.default_rng(ranks).permutation(len(both))
    ids = order + 1
    prism = write_data(tmp_path / "structure.data", both[order], TYPES, ids)
    text = hybrid(both, path, TYPES, "Cu").replace("newton on", f"{sort}newton on")
    run_lmp(tmp_path, text + SINGLE_POINT, ranks=ranks)
    found = read_single_point(tmp_path, prism, ids)
    forces, copper = np.empty((len(both), 3)), both.symbols == "Cu"
    forces[order] = found.forces
    np.testing.assert_allclose(forces[~copper], wanted.forces, atol=1e-9)
    assert np.abs(forces[copper]).max() == 0.0
    assert found.energy == pytest.approx(wanted.energy, rel=1e-13)


@pytest.mark.parametrize("ranks", [1, 4])
def test_a_crystal(models, tmp_path, ranks):
    """Every third silicon atom is another style's: ghosts and their neighbours are left out, too."""
    atoms = structures()["triclinic"]
    path = models["alphanet float64"]
    (wanted,) = Potential(path).evaluate([atoms[[i for i in range(len(atoms)) if i % 3]]])
    both = atoms.copy()
    both.symbols[::3] = "Cu"
    prism = write_data(tmp_path / "structure.data", both, ["Cu", "Si"])
    run_lmp(tmp_path, hybrid(both, path, ["Cu", "Si"], "Cu") + SINGLE_POINT, ranks=ranks)
    found = read_single_point(tmp_path, prism)
    rest = both.symbols == "Si"
    np.testing.assert_allclose(found.forces[rest], wanted.forces, atol=1e-9)
    np.testing.assert_allclose(found.virial, wanted.virial, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("ranks", [1, 2])
def test_types_that_are_set_between_runs(models, tmp_path, ranks):
    """An atom becomes another style's and comes back, and one of the other style becomes the model's."""
    ethanol, both = mixed()
    path = models["alphanet float64"]
    oxygen = int(np.flatnonzero(both.symbols == "O")[0])
    without = both[[i for i in range(len(both)) if i != oxygen and both.symbols[i] != "Cu"]]
    more = both.copy()
    more.symbols[0] = "H"
    more = more[more.numbers != 29]
    potential = Potential(path)
    write_data(tmp_path / "structure.data", both, TYPES)
    text = hybrid(both, path, TYPES, "Cu") + EACH
    for number, kind in ((oxygen + 1, "Cu"), (oxygen + 1, "O"), (1, "H")):
        text += f"set atom {number} type {TYPES.index(kind) + 1}\nrun 0\n"
    run_lmp(tmp_path, text, ranks=ranks)
    wanted = [e.energy for e in potential.evaluate([ethanol, without, ethanol, more])]
    np.testing.assert_allclose(energies(tmp_path), wanted, rtol=1e-13)


def test_types_that_are_set_without_a_new_list(models, tmp_path):
    """An atom of the model that the neighbour list does not hold is never left out in silence."""
    _, both = mixed()
    write_data(tmp_path / "structure.data", both, TYPES)
    text = hybrid(both, models["alphanet float64"], TYPES, "Cu") + EACH + "set atom 1 type 3\nrun 1 pre no\n"
    result = run_lmp(tmp_path, text, check=False)
    assert result.returncode != 0
    assert "pair hint: atom 1 is not in the neighbour list on step" in " ".join(result.stdout.split())
