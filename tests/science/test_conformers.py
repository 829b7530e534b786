"""Ensembles of conformers: the mixture, what is one conformer, what is one molecule, runs, failures."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.constraints import FixAtoms
from reaction_runs import hint

from hint_plugin.data import read_frames, write_frames
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.parallel import Batch
from hint_plugin.science.molecules import thermochemistry
from hint_plugin.science.molecules.conformers import (
    apart,
    configuration,
    degeneracy,
    difference,
    distinct,
    make_conformers,
)
from hint_plugin.science.molecules.ensembles import (
    Group,
    conformers_of,
    ensembles_of,
    groups_of,
    without_ensemble,
)
from hint_plugin.science.molecules.mixture import mixture
from hint_plugin.science.molecules.modes import NormalModes
from hint_plugin.science.molecules.run import thermo

KT = units.kB * 298.15


def butane(dihedral: float) -> Atoms:
    atoms = molecule("trans-butane")
    heavy = [k for k in range(14) if atoms.symbols[k] == "C"]
    inner = [j for j in heavy if sum(0 < atoms.get_distance(j, k) < 1.7 for k in heavy if k != j) == 2]
    ends = [next(k for k in heavy if k not in inner and atoms.get_distance(j, k) < 1.7) for j in inner]
    moved = [ends[1], *(k for k in range(14) if atoms.symbols[k] == "H" and _on(atoms, k, inner[1], ends[1]))]
    atoms.set_dihedral(ends[0], inner[0], inner[1], ends[1], dihedral, indices=moved)
    return atoms


def _on(atoms: Atoms, hydrogen: int, *carbons: int) -> bool:
    return min(atoms.get_distance(hydrogen, k) for k in carbons) < 1.2


def ethanol(dihedral: float) -> Atoms:
    """C-C-O-H of so many degrees."""
    atoms = molecule("CH3CH2OH")
    oxygen = int(np.flatnonzero(atoms.numbers == 8)[0])
    distances = atoms.get_all_distances()
    carbons = np.flatnonzero(atoms.numbers == 6)
    near = int(carbons[distances[oxygen, carbons].argmin()])
    far = int(carbons[distances[oxygen, carbons].argmax()])
    hydrogen = int(np.where(atoms.numbers == 1, distances[oxygen], 9).argmin())
    atoms.set_dihedral(far, near, oxygen, hydrogen, dihedral)
    return atoms


def chfclbr(mirrored: bool = False) -> Atoms:
    atoms = Atoms("CHFClBr", [(0, 0, 0), (0, 0, 1.1), (1.28, 0, -0.4), (-0.8, 1.5, -0.5), (-0.9, -1.6, -0.6)])
    atoms.positions[:, 0] *= -1 if mirrored else 1
    return atoms


# The mixture


def test_two_states():
    """The closed form of a level of degeneracy 2, D above one of degeneracy 1, both without heat capacity:
    ln Z = ln(1 + 2 exp(-D / kT)), a Schottky anomaly."""
    gap = 0.03
    z = 1 + 2 * np.exp(-gap / KT)
    found = mixture([5.0, 5.0 + gap], [5.0, 5.0 + gap], [0.0, 0.0], [1, 2], 298.15)
    assert found.populations == pytest.approx([1 / z, 1 - 1 / z], abs=1e-14)
    assert found.gibbs_energy == pytest.approx(5.0 - KT * np.log(z), abs=1e-13)
    assert found.enthalpy == pytest.approx(5.0 + gap * (1 - 1 / z), abs=1e-13)
    schottky = units.kB * (gap / KT) ** 2 * 2 * np.exp(-gap / KT) / z**2
    assert found.heat_capacity == pytest.approx(schottky, rel=1e-12)
    assert found.entropy == pytest.approx(found.conformational_entropy, abs=1e-13)  # the levels have none
    assert found.entropy == pytest.approx(units.kB * np.log(z) + gap * (1 - 1 / z) / 298.15, abs=1e-13)


def test_equal_states_and_states_far_above():
    """n states of degeneracy g have k ln(n g); what is far above does nothing, and no exponent overflows."""
    found = mixture([1.0] * 3 + [90.0], [2.0] * 3 + [90.0], [1e-4] * 4, [2, 2, 2, 1], 10.0)
    assert found.conformational_entropy == pytest.approx(units.kB * np.log(6), rel=1e-12)
    assert found.populations == pytest.approx([1 / 3] * 3 + [0.0], abs=1e-14)
    assert found.heat_capacity == pytest.approx(1e-4, rel=1e-12)
    assert found.entropy == pytest.approx(1.0 / 10.0 + units.kB * np.log(6), rel=1e-12)
    for wrong in (([], [], [], [], 300.0), ([1.0], [1.0], [0.0], [1], 0.0), ([1.0], [1.0], [0.0], [0], 9.0)):
        with pytest.raises(OptionsError, match="wanted"):
            mixture(*wrong)


def _free(temperature: float, nu: tuple[float, ...], energy: float, atoms: Atoms):
    modes = NormalModes(atoms, np.array(nu), *(np.zeros(0) for _ in range(4)))
    return thermochemistry(modes, energy, temperature=temperature, cutoff=0)


def test_heat_capacity_and_enthalpy_are_derivatives():
    """C_p = dH/dT of one conformer and of a mixture, and S = -dG/dT, against differences."""
    kinds = [(molecule("H2O"), (1500.0, 3600.0, 3700.0)), (molecule("H2O"), (300.0, 700.0, 3700.0))]

    def at(temperature):
        found = [_free(temperature, nu, 0.05 * k, atoms) for k, (atoms, nu) in enumerate(kinds)]
        values = zip(*((one.gibbs_energy, one.enthalpy, one.heat_capacity) for one in found), strict=True)
        return found[0], mixture(*values, [1, 2], temperature)

    (low, low_mix), (mid, mix), (high, high_mix) = (at(t) for t in (399.9, 400.0, 400.1))
    assert mid.heat_capacity == pytest.approx((high.enthalpy - low.enthalpy) / 0.2, rel=1e-6)
    assert mix.heat_capacity == pytest.approx((high_mix.enthalpy - low_mix.enthalpy) / 0.2, rel=1e-6)
    assert mix.entropy == pytest.approx(-(high_mix.gibbs_energy - low_mix.gibbs_energy) / 0.2, rel=1e-6)
    for name, nu, degrees in (("Ar", (), 2.5), ("N2", (2e4,), 3.5), ("H2O", (2e4,) * 3, 4.0)):
        atoms = Atoms(name) if name == "Ar" else molecule(name)
        assert _free(50.0, nu, 0.0, atoms).heat_capacity == pytest.approx(degrees * units.kB, rel=1e-9)


# What is one conformer


def test_identical_atoms_may_change_places():
    """A methyl group that has turned, a molecule with its atoms in another order, in another place."""
    anti, rng = butane(180), np.random.default_rng(0)
    order = [*rng.permutation(4), *(4 + rng.permutation(10))]
    other = anti[order] if set(anti.symbols[:4]) == {"C"} else anti[rng.permutation(14)]
    other.rotate(77, (1, 2, 3))
    other.translate((1, 5, 2))
    assert apart(anti, other) < 1e-6
    assert apart(butane(65), butane(-65)) < 1e-6  # mirror images
    assert apart(anti, butane(65)) == float("inf")
    assert 0.01 < apart(anti, butane(170)) < 0.2
    assert apart(molecule("CO2"), molecule("CO2")) < 1e-6  # in line


def test_distinct_by_energy_and_geometry():
    structures = [butane(65), butane(180), butane(-65), butane(180), butane(66)]
    assert distinct(structures, [0.03, 0.0, 0.0301, 0.0001, 0.0302]) == [[1, 3], [0, 2, 4]]
    assert distinct(structures, [0.03, 0.0, 0.0301, 0.01, 0.0302]) == [[1], [3], [0, 2, 4]]  # 10 meV apart


@pytest.mark.parametrize(
    ("atoms", "chiral", "wanted"),
    [
        (butane(180), False, 1),
        (butane(65), False, 2),
        (ethanol(180), False, 1),
        (ethanol(62), False, 2),
        (chfclbr(), True, 1),
        (molecule("C2H6"), False, 1),
    ],
)
def test_mirror_images(atoms, chiral, wanted):
    """Gauche butane turns into its mirror image; CHFClBr does not."""
    assert configuration(atoms).chiral == chiral
    assert degeneracy(atoms, configuration(atoms).chiral) == wanted


def tartaric(first: bool, second: bool) -> Atoms:
    """(F)(Cl)HC-CH(Cl)(F), each carbon with either configuration."""
    ends = []
    for sign, inverted in ((1, first), (-1, second)):
        y = -1 if inverted else 1
        ends.append([(0, 0, 0.77), (0, 1.0 * y, 1.1), (1.2, -0.5 * y, 1.2), (-1.5, -0.8 * y, 1.3)])
        if sign < 0:  # turned about x by half a turn: the same configuration
            ends[-1] = [(x, -yy, -z) for x, yy, z in ends[-1]]
    return Atoms("CHFClCHFCl", [*ends[0], *ends[1]])


def test_stereoisomers_are_other_molecules():
    both, meso, mirrored = tartaric(False, False), tartaric(False, True), tartaric(True, True)
    assert configuration(both).chiral and not configuration(meso).chiral
    assert difference(both, mirrored) == "" and "stereoisomer" in difference(both, meso)
    assert difference(chfclbr(), chfclbr(mirrored=True)) == ""
    assert "and not" in difference(molecule("CH3OH"), molecule("CH4"))


# Groups


def test_frames_of_two_molecules_are_told(tmp_path):
    """Nothing is computed; the frame and the difference are named."""
    broken = butane(180)
    broken.positions[-1] += 2.0
    ion, heavy = butane(60), butane(60)
    ion.info |= {"charge": 1, "spin": 2}
    heavy.set_masses([2.014 if k == len(heavy) - 1 else m for k, m in enumerate(heavy.get_masses())])
    for other, words in (
        *((broken, "broken"), (molecule("CH4"), "and not"), (ethanol(180), "and not")),
        *((ion, r"it has charge \+1 and multiplicity 2, and not \+0 and 1"), (heavy, "other isotopes")),
    ):
        write_frames(tmp_path / "mix.xyz", [butane(180), other])
        with pytest.raises(DataError, match=f"mix-1 is not the same molecule as mix-0: .*{words}"):
            thermo(tmp_path / "mix.xyz", "gfn2-xtb", ensemble=True)


def test_isotopes_may_change_places_where_atoms_are_alike():
    """HDO is HOD; CH3OD is not CH2DOH."""
    water, methanol = molecule("H2O"), molecule("CH3OH")

    def with_deuterium(atoms, k):
        atoms = atoms.copy()
        atoms.set_masses([2.014 if i == k else m for i, m in enumerate(atoms.get_masses())])
        return atoms

    assert difference(with_deuterium(water, 1), with_deuterium(water, 2)) == ""
    hydroxyl = next(k for k in range(2, 6) if methanol.get_distance(1, k) < 1.1)
    methyl = [k for k in range(2, 6) if k != hydroxyl]
    assert difference(with_deuterium(methanol, methyl[0]), with_deuterium(methanol, methyl[1])) == ""
    assert "other isotopes" in difference(
        with_deuterium(methanol, methyl[0]), with_deuterium(methanol, hydroxyl)
    )


def test_options_that_do_not_go_together():
    for options, words in (
        ({"ensemble": True, "conformers": 3}, "wanted one of them"),
        ({"conformers": 0}, "wanted 1 or more"),
        ({"conformers": 2, "seed": -1}, "0 or more"),
        ({"ensemble": True, "saddle": True}, "minima"),
        ({"ensemble": True, "symmetry_number": 2}, "its own"),
        ({"ensemble": True, "hindered": ["translation=0.1"]}, "gas"),
        ({"ensemble": True, "seed": 3}, "--conformers N makes"),
        ({"prune": 0.5}, "--conformers N makes"),
    ):
        with pytest.raises(OptionsError, match=words):
            thermo(molecule("CH3OH"), "gfn2-xtb", **options)
    with pytest.raises(OptionsError, match="have to be optimised"):
        thermo(molecule("CH3OH"), conformers=3)
    held = molecule("CH3OH")
    held.set_constraint(FixAtoms([0]))
    with pytest.raises(DataError, match="held|move"):
        thermo(held, "gfn2-xtb", ensemble=True)


def row(name: str, energy: float, **more) -> dict:
    found = {"name": name, "formula": "C4H10", "kind": "minimum", "stationary": True, "energy": energy}
    found |= {"gibbs_energy": energy + 3.0, "enthalpy": energy + 3.5, "entropy": 0.5 / 298.15}
    found |= {"heat_capacity": 1e-3, "zero_point_energy": 3.4, "symmetry_number": 1, "pressure": 101325.0}
    return found | more


def test_what_fails_is_named_and_never_in_the_ensemble():
    """A search that did not converge, a saddle, a structure that is not stationary, changed bonds."""
    broken = butane(180)
    broken.positions[-1] += 2.0
    structures = {
        "b-0": (butane(180), row("b-0", 0.0)),
        "b-1": (butane(65), row("b-1", 0.03)),
        "b-2": (butane(-65), row("b-2", 0.0301)),
        "b-3": (butane(120), row("b-3", 0.1, kind="transition state", imaginary=[-100.0])),
        "b-4": (butane(100), row("b-4", -9.0, kind="not stationary", stationary=False, largest_force=0.3)),
        "b-5": (broken, row("b-5", -9.0)),
        "b-7": (butane(90), row("b-7", -9.0, stationary=None, largest_force=None)),
    }
    batch = Batch()
    batch.failures.append({"name": "b-6", "formula": "C4H10", "error": "not converged", "kind": "geometry"})
    for atoms, about in structures.values():
        batch.results.append(about)
        batch.done.append((butane(180), about, {"positions": atoms.positions}))
    group = Group("b", [(f"b-{k}", butane(180)) for k in range(8)])
    (found,) = ensembles_of([group, Group("none", [("none", butane(180))])], batch, 298.15)
    about = found.about
    assert [one["name"] for one in about["conformers"]] == ["b-0", "b-1"]
    assert about["conformers"][1]["same"] == ["b-2"]
    assert [one["degeneracy"] for one in about["conformers"]] == [1, 2]
    ratio = 2 * np.exp(-0.03 / KT)
    assert about["conformers"][1]["population"] == pytest.approx(ratio / (1 + ratio), abs=1e-12)
    assert about["gibbs_energy"] == pytest.approx(3.0 - KT * np.log(1 + ratio), abs=1e-12)
    assert (about["given"], about["minima"], about["distinct"]) == (8, 3, 2)
    errors = {one["name"]: one["error"] for one in batch.failures}
    assert sorted(errors) == ["b-3", "b-4", "b-5", "b-6", "b-7"] and len(about["failed"]) == 5
    assert "transition state" in errors["b-3"] and "0.30 eV/A" in errors["b-4"]
    assert "no longer the same molecule" in errors["b-5"] and "nobody knows" in errors["b-7"]
    assert [one["name"] for one in batch.results] == ["b-0", "b-1", "b-2"]
    assert any("5 failed and are not in it: b-3" in text for text in about["remarks"])
    assert "none" in without_ensemble([group, Group("none", [("none", butane(180))])], [found])


# RDKit


def test_made_conformers():
    """The same for the same seed; of this molecule; no two alike; all three of butane's wells are there."""
    pytest.importorskip("rdkit", reason="needs RDKit: pip install '.[conformers]'")
    start = butane(180)
    start.info["charge"] = 0
    found, again = (make_conformers(start, 12, seed=0) for _ in range(2))
    assert all((a.positions == b.positions).all() for a, b in zip(found, again, strict=True))
    assert all(difference(start, one) == "" for one in found) and found[0].info == {"charge": 0}
    assert len(found) > 2 and all(apart(a, b, 0.2) > 0.2 for k, a in enumerate(found) for b in found[:k])
    hands = [configuration(one).centres for one in make_conformers(chfclbr(), 3, prune=0.0)]
    assert len(hands) == 3 and all(one == configuration(chfclbr()).centres for one in hands)
    asked = conformers_of(False, 12, 0, 0.2)
    (group,) = groups_of([start], asked, 0, None)
    assert [name for name, _ in group.frames][:2] == ["C4H10-c0", "C4H10-c1"]
    assert len(group.frames) == 1 + len(found) and (group.reference.positions == start.positions).all()
    with pytest.raises(DataError, match="no bonds that fit"):
        make_conformers(Atoms("CH5", np.vstack([molecule("CH4").positions, [0, 0, 1.5]])), 3)


# Runs


def test_butane_by_gfn2(tmp_path, capfd):
    """anti, gauche, its mirror image and a copy: the populations are those of the formula by hand, with the
    numbers of each conformer alone; the same as xtb says of the difference."""
    pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
    pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
    write_frames(tmp_path / "butane.xyz", [butane(180), butane(65), butane(-63)])
    output = tmp_path / "out"
    code, text = hint(
        capfd,
        "thermo",
        tmp_path / "butane.xyz",
        *("-o", output, "--ensemble", "--engine", "gfn2-xtb", "--cutoff", "0"),
    )
    assert code == 0 and "3 structures, 3 minima, 2 conformers" in text
    content = json.loads((output / "thermo.json").read_text())
    (about,) = content["ensembles"]
    anti, gauche = about["conformers"]
    assert (anti["degeneracy"], gauche["degeneracy"]) == (1, 2)
    assert (anti["symmetry_number"], gauche["symmetry_number"]) == (2, 2)
    assert anti["name"] == "butane-0" and [gauche["name"], *gauche["same"]] in (
        ["butane-1", "butane-2"],
        ["butane-2", "butane-1"],
    )
    alone = {one["name"]: one for one in content["results"]}
    gap = alone[gauche["name"]]["gibbs_energy"] - alone["butane-0"]["gibbs_energy"]
    assert gap == pytest.approx(0.027, abs=0.002)  # eV; xtb 6.5: 0.02703
    share = 2 * np.exp(-gap / KT) / (1 + 2 * np.exp(-gap / KT))
    assert gauche["population"] == pytest.approx(share, abs=1e-12)
    wanted = alone["butane-0"]["gibbs_energy"] - KT * np.log(1 + 2 * np.exp(-gap / KT))
    assert about["gibbs_energy"] == pytest.approx(wanted, abs=1e-10)
    assert about["entropy"] / units.kB * 8.314463 == pytest.approx(309.1, abs=1.0)  # J/mol/K; measured 310
    with (output / "conformers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [one["name"] for one in rows] == ["butane-0", gauche["name"]] and rows[0]["molecule"] == "butane"
    frames = read_frames(output / "butane.conformers.xyz")
    assert [frame.info["degeneracy"] for frame in frames] == [1, 2]
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install '.[plot]'")
    assert (output / "butane.png").stat().st_size > 5000


def test_ethanol_by_a_model(tmp_path):
    """Conformers that RDKit makes, with the model that comes with HINT; the same again from the seed."""
    pytest.importorskip("rdkit", reason="needs RDKit: pip install '.[conformers]'")
    pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
    found = thermo(ethanol(180), "alphanet-gfn2", tmp_path / "out", conformers=3, seed=1, prune=0.3)
    (one,) = found.ensembles
    assert not found.failures and one.about["given"] == 1 + one.about["made"]["kept"]
    kinds = {row["degeneracy"]: row for row in one.about["conformers"]}
    assert set(kinds) <= {1, 2} and len(one.about["conformers"]) == 2
    g = {k: kinds[k]["gibbs_energy"] for k in (1, 2)}
    share = 2 * np.exp(-(g[2] - g[1]) / KT)
    assert kinds[2]["population"] == pytest.approx(share / (1 + share), abs=1e-12)
    assert sum(row["population"] for row in one.about["conformers"]) == pytest.approx(1, abs=1e-12)
    assert json.loads((tmp_path / "out" / "thermo.json").read_text())["ensembles"][0]["made"]["seed"] == 1
