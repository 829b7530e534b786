"""Keys do not depend on how a structure is written; splits never leak and meet their fractions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, graphene, molecule
from ase.spacegroup import crystal
from frame_sets import frames_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from hint_plugin.data import iter_frames, read_frames, write_frames, write_shards
from hint_plugin.data.sets.splits import Overlap, assign, group_value, groups_of, split
from hint_plugin.data.structures.geometries import reaction_path, shaken
from hint_plugin.data.structures.identity import molecule_key, nearest_distance, structure_keys
from hint_plugin.errors import DataError


def moved(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Rotated, translated, permuted, mirrored, and with the errors of a text file."""
    order = rng.permutation(len(atoms))
    turn = Rotation.random(rng=rng).as_matrix() * rng.choice([-1, 1])
    positions = (atoms.positions @ turn.T + rng.normal(size=3) * 5)[order]
    return Atoms(atoms.numbers[order], np.round(positions, 8), cell=atoms.cell.array @ turn.T, pbc=atoms.pbc)


def same_structure(one: Atoms, other: Atoms) -> bool:
    return bool(set(structure_keys(one)) & set(structure_keys(other)))


@pytest.mark.parametrize("name", ["H2O", "CH3CH2OH", "C6H6", "isobutane", "CH3CONH2", "H", "HCN"])
def test_keys_are_invariant(name):
    rng = np.random.default_rng(3)
    atoms = molecule(name)
    atoms.positions += rng.normal(0, 0.03, (len(atoms), 3))
    for _ in range(20):
        other = moved(atoms, rng)
        assert same_structure(atoms, other)
        assert molecule_key(other) == molecule_key(atoms)
        assert nearest_distance(other) == pytest.approx(nearest_distance(atoms), abs=1e-7)
    if len(atoms) > 1:
        changed = atoms.copy()
        changed.positions[-1] += 0.02
        assert not same_structure(atoms, changed)


def test_keys_of_a_cell():
    rng = np.random.default_rng(0)
    cell = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    cell.positions += rng.normal(0, 0.05, (8, 3))
    shifted = cell.copy()
    shifted.positions += 1.3
    shifted.wrap()
    assert same_structure(cell, moved(shifted, rng))
    strained = cell.copy()
    strained.set_cell(cell.cell * 1.002, scale_atoms=True)
    assert not same_structure(cell, strained)


def _symmetric() -> dict[str, Atoms]:
    """Sites at which sums of distances change in second order only."""
    rocksalt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    return {
        "NaCl, 8 atoms": rocksalt,
        "NaCl, 64 atoms": rocksalt.repeat(2),
        "NaCl, primitive": bulk("NaCl", "rocksalt", a=5.64),
        "CO2": molecule("CO2"),
        "benzene": molecule("C6H6"),
        "methane": molecule("CH4"),
        "zincblende": bulk("GaAs", "zincblende", a=5.65),
        "wurtzite": bulk("ZnO", "wurtzite", a=3.25, c=5.2),
        "hcp": bulk("Mg"),
        "graphene": graphene(vacuum=8),
    }


@pytest.mark.parametrize("name", _symmetric())
def test_a_step_of_phonopy_from_a_symmetric_site_is_another_structure(name):
    atoms, rng = _symmetric()[name], np.random.default_rng(5)
    for atom in (0, len(atoms) - 1):
        for axis in range(3):
            changed = atoms.copy()
            changed.positions[atom, axis] += 0.01
            assert not same_structure(atoms, changed), (atom, axis)
            assert same_structure(changed, moved(changed, rng))
    for _ in range(5):
        assert same_structure(atoms, moved(atoms, rng))


def test_a_small_strain_of_any_cell_is_another_structure():
    rutile = crystal(
        ["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.59, 4.59, 2.96, 90, 90, 90]
    )
    for atoms in (bulk("Cu"), bulk("Si"), rutile):
        for a, b in ((0, 0), (0, 1), (1, 2)):
            strain = np.eye(3)
            strain[a, b] += 0.002
            changed = atoms.copy()
            changed.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            assert not same_structure(atoms, changed), (atoms, a, b)


def test_fragments_apart_are_seen_and_lone_atoms_are_the_same():
    pair = molecule("H2O")
    other = molecule("H2O")
    other.positions += (0, 0, 9.0)
    both, farther = pair + other, pair + other
    farther.positions[3:, 2] += 0.05
    assert not same_structure(both, farther)
    assert same_structure(Atoms("H"), Atoms("H", [(1, 2, 3)]))


@pytest.mark.parametrize(
    "one, other",
    [("CH3CH2OH", "CH3OCH3"), ("trans-butane", "isobutane"), ("HCOOCH3", "CH3COOH"), ("C3H6_D3h", "C3H6_Cs")],
)
def test_isomers_are_different_molecules(one, other):
    first, second = molecule(one), molecule(other)
    assert first.get_chemical_formula() == second.get_chemical_formula()
    assert molecule_key(first) != molecule_key(second)


def test_conformers_are_one_molecule_and_a_reaction_is_two():
    frames = shaken(["CH3CH2OH"], 30, sigmas=(0.03, 0.05), seed=1)
    turned = molecule("CH3CH2OH")
    turned.set_dihedral(1, 0, 2, 3, 60, indices=[3])
    assert len({molecule_key(atoms) for atoms in [*frames, turned]}) == 1
    path = reaction_path("HCN -> HNC")
    assert molecule_key(path[0]) != molecule_key(path[-1])


def test_nearest_distance_sees_images():
    assert nearest_distance(bulk("Cu")) == pytest.approx(3.61 / np.sqrt(2), abs=1e-3)
    assert nearest_distance(Atoms("H")) == np.inf


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 20)), min_size=1, max_size=150),
    st.integers(0, 10),
)
@settings(max_examples=150, deadline=None)
def test_groups_and_parts_never_share_a_value(keys, seed):
    groups = groups_of(keys)
    for kind in range(2):  # frames that agree in a key are in one group
        for value in {k[kind] for k in keys}:
            assert len({g for g, k in zip(groups, keys, strict=True) if k[kind] == value}) == 1
    n_groups = len(set(groups.tolist()))
    if n_groups < 3:
        with pytest.raises(DataError, match="cannot fill 3 parts"):
            assign(groups, (0.8, 0.1, 0.1), np.random.default_rng(seed))
        return
    parts = assign(groups, (0.8, 0.1, 0.1), np.random.default_rng(seed))
    assert set(parts.tolist()) == {0, 1, 2}
    for kind in range(2):
        values = [{k[kind] for k, p in zip(keys, parts, strict=True) if p == part} for part in range(3)]
        assert not (values[0] & values[1] or values[0] & values[2] or values[1] & values[2])


@given(st.lists(st.integers(1, 40), min_size=30, max_size=120), st.integers(0, 100))
@settings(max_examples=100, deadline=None)
def test_fractions_are_met(sizes, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    parts = assign(groups, (0.8, 0.1, 0.1), np.random.default_rng(seed))
    found = np.bincount(parts, minlength=3) / len(groups)
    assert np.abs(found - [0.8, 0.1, 0.1]).max() <= max(sizes) / len(groups)
    np.testing.assert_array_equal(parts, assign(groups, (0.8, 0.1, 0.1), np.random.default_rng(seed)))


def test_single_frames_meet_fractions_exactly_and_groups_are_not_sorted_by_size():
    parts = assign(np.arange(1000), (0.8, 0.1, 0.1), np.random.default_rng(0))
    assert np.bincount(parts).tolist() == [800, 100, 100]
    groups = np.repeat(np.arange(200), np.arange(1, 201))
    largest = [assign(groups, (0.5, 0.25, 0.25), np.random.default_rng(s))[-1] for s in range(200)]
    # the largest group is not always training's: 100 +- 7 times of 200
    assert 65 <= np.bincount(largest, minlength=3)[0] <= 135


@pytest.mark.parametrize(
    "by", [["formula"], ["molecule"], ["reaction"], ["formula", "reaction"], ["structure"]]
)
def test_split_files_do_not_overlap(tmp_path, by):
    names = ["CH3CH2OH", "CH3OCH3", "H2O", "NH3", "trans-butane", "isobutane", "CH4", "C2H6"]
    frames = shaken(names, 200, sigmas=(0.03,), seed=0)
    for number, atoms in enumerate(frames):
        atoms.info |= {"number": number, "reaction": f"r{number % 8 // 2}"}
    write_frames(tmp_path / "all.xyz", frames)
    done = split(
        tmp_path / "all.xyz", tmp_path / "out", fractions=(0.6, 0.2, 0.2), by=by, seed=1, suffix=".h5"
    )
    parts = {name: read_frames(path) for name, path in done.files.items()}
    assert sorted(a.info["number"] for part in parts.values() for a in part) == list(range(200))
    assert {name: len(part) for name, part in parts.items()} == dict(done.frames)
    shared = Overlap(tuple(parts), by)  # counted again, from the files
    for name, part in parts.items():
        for atoms in part:
            shared.add(name, atoms)
    assert {k: v for k, v in shared.counts().items() if k in done.overlap} == dict(done.overlap)
    for respect in by:
        assert not any(done.overlap[respect].values())
    if by == ["formula"]:
        assert not any(any(done.overlap[k].values()) for k in ("molecule", "structure"))
        assert any(done.overlap["reaction"].values())  # what is not asked for is reported
    for part in parts.values():  # order is kept
        numbers = [a.info["number"] for a in part]
        assert numbers == sorted(numbers)
    with pytest.raises(DataError, match="exists"):
        split(tmp_path / "all.xyz", tmp_path / "out", by=by)


def test_split_of_shards_and_what_it_refuses(tmp_path, monkeypatch):
    write_shards(tmp_path / "set.h5", frames_of(60), frames_per_shard=20)
    done = split(tmp_path / "set-*.h5", tmp_path / "out", by=["frame"], suffix=".xyz")
    assert list(done.frames.values()) == [48, 6, 6]
    assert sum(len(list(iter_frames(path))) for path in done.files.values()) == 60
    with pytest.raises(DataError, match=r"frame 0 \(H2O\): no info key 'colour'"):
        split(tmp_path / "set-*.h5", tmp_path / "new", by=["colour"])
    with pytest.raises(DataError, match="cannot fill"):
        split(tmp_path / "set-00000.h5", tmp_path / "new", by=["formula"], fractions=(1, 1, 1, 1))

    calls = []

    def interrupt(what, done):
        calls.append(what)
        if what == "writing" and done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split(tmp_path / "set-*.h5", tmp_path / "new", by=["frame"], report=interrupt)
    assert not (tmp_path / "new").exists() and "writing" in calls


def test_keys_of_a_reaction_are_the_same_in_every_format(tmp_path: Path) -> None:
    for number, value in enumerate([7, np.int64(7), 7.0, "7", "007", "rxn_7", [1, 2], float("nan"), True]):
        atoms = molecule("H2", info={"reaction": value})
        for name in ("a.h5", "a.xyz"):
            write_frames(tmp_path / name, [atoms])
        one, other = (read_frames(tmp_path / name)[0] for name in ("a.h5", "a.xyz"))
        keys = [group_value(a, "reaction", 0, "") for a in (atoms, one, other)]
        assert keys[0] == keys[1] == keys[2] and (number > 4 or keys[0] == 7)
