"""The gate: right labels pass, and each usual mistake is refused by a sentence that names it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read

from hint_plugin.data import HessianLabel, Thresholds, check_frames, read_label, write_label
from hint_plugin.data.labels import physics
from hint_plugin.data.labels.gate import UNITS, _corrections, _less_broken, broken_laws, examine

CASES = Path(__file__).parents[1] / "data" / "cases" / "labels"


@pytest.fixture(scope="module")
def methanol() -> Atoms:
    """Displaced methanol with the Hessian and the forces of GFN2-xTB."""
    return read(CASES / "good.xyz")


def hessian_of(atoms: Atoms) -> np.ndarray:
    n = 3 * len(atoms)
    return np.array(atoms.info["REF_hessian"], dtype=float).reshape(n, n)


def as_kind(matrix: np.ndarray, kind: str) -> HessianLabel:
    label = HessianLabel.full(matrix)
    if kind == "rows":
        return HessianLabel.rows(matrix[:6], [0, 1], label.n_atoms)
    return label.to_projected(2, np.random.default_rng(4)) if kind == "projected" else label


def test_the_right_label_passes(methanol):
    assert check_frames([methanol]).problems == []
    for kind in ("full", "rows", "projected"):
        label = as_kind(hessian_of(methanol), kind)
        for limits in (Thresholds(), Thresholds.own(1e-4)):
            assert examine(label, methanol, methanol.arrays["REF_forces"], limits).problems == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("zeros", "every element of the Hessian is zero.*placeholder. Remove the label"),
        ("minus", "Its sign is wrong"),
        ("permuted", "atoms in another order"),
        ("xxx_yyy_zzz", "sorted by axis"),
        ("kcal", r"kcal/mol/A\^2: multiply it by 0.0433641"),
        ("mass_weighted", r"mass-weighted \(eV/A\^2 over amu\)"),
    ],
)
def test_wrong_labels_are_refused_by_name(name, said):
    report = check_frames(read(CASES / f"{name}.xyz", ":"), source=name)
    assert report.counts["malformed"] == 1
    (problem,) = report.problems
    assert re.search(said, problem.message)


def test_a_key_that_nearly_fits_is_named():
    report = check_frames([read(CASES / "other_key.xyz")])
    (remark,) = report.remarks
    assert "REF_Hessian" in remark.message and "atoms.info['REF_hessian']" in remark.message


def test_names_of_energy_and_forces_that_nearly_fit_are_told(methanol):
    other = methanol.copy()
    other.info["Ref_Energy"] = other.info.pop("REF_energy")
    other.arrays["REF_force"] = other.arrays["REF_forces"]
    del other.arrays["REF_forces"]
    found = [remark.message for remark in check_frames([other]).remarks]
    assert len(found) == 2 and "'Ref_Energy'" in found[0] and "'REF_force'" in found[1]
    assert check_frames([methanol]).remarks == []


def test_a_hessian_in_the_wrong_place_is_named(methanol):
    n = len(methanol)
    moved = methanol.copy()
    del moved.info["REF_hessian"]
    moved.arrays["REF_hessian"] = hessian_of(methanol).reshape(n, 9 * n)
    (remark,) = check_frames([moved]).remarks
    assert "atoms.arrays['REF_hessian']" in remark.message
    with pytest.warns(UserWarning, match="is ignored"):
        assert read_label(moved) is None


@pytest.mark.parametrize("kind", ["full", "rows", "projected"])
@pytest.mark.parametrize("unit", ["hartree/bohr^2", "kcal/mol/A^2", "kJ/mol/A^2", "N/m", "Ry/bohr^2"])
def test_units_are_named_in_every_form_of_a_label(methanol, kind, unit):
    label = as_kind(hessian_of(methanol) / UNITS[unit], kind)
    (problem,) = examine(label, methanol, methanol.arrays["REF_forces"]).problems
    assert unit in problem


@pytest.mark.parametrize("kind", ["full", "rows"])
def test_gradients_in_place_of_forces_are_named(methanol, kind):
    label = as_kind(hessian_of(methanol), kind)
    (problem,) = examine(label, methanol, -methanol.arrays["REF_forces"]).problems
    assert "sign of the gradient" in problem or "Its sign is wrong" in problem


def test_without_forces_it_says_that_rotations_were_not_tested(methanol):
    verdict = examine(HessianLabel.full(hessian_of(methanol)), methanol)
    assert verdict.problems == [] and verdict.untested["rotation"] == "the frame has no forces"


def test_what_cannot_be_tested_is_counted():
    cell = bulk("Cu")
    cell.info["REF_hessian"] = np.zeros((3, 3))
    report = check_frames([cell, cell])
    assert report.problems == [] and report.counts["full"] == 2
    assert report.untested["rotation", "the structure is periodic"] == 2
    assert {test for test, _ in report.untested} == {"rotation", "bonds", "stability", "locality"}


def test_a_broken_diagonal_is_seen_by_the_sum_rule(methanol):
    matrix = hessian_of(methanol)
    matrix[4, 4] += 7.1  # what PySCF's r2SCAN Hessian of CO breaks it by
    (problem,) = examine(HessianLabel.full(matrix), methanol, methanol.arrays["REF_forces"]).problems
    assert "acoustic sum rule" in problem and "7.1" in problem


def test_a_label_cannot_excuse_itself_by_its_noise(methanol):
    matrix = hessian_of(methanol)
    matrix[4, 4] += 1.0
    label = HessianLabel.full(matrix, noise=5.0)
    assert examine(label, methanol, methanol.arrays["REF_forces"], Thresholds.own(label.noise)).problems


def test_own_labels_are_held_to_more_than_others(methanol):
    matrix = hessian_of(methanol)
    matrix[4, 4] += 0.3
    label, forces = HessianLabel.full(matrix), methanol.arrays["REF_forces"]
    assert examine(label, methanol, forces).problems == []
    assert examine(label, methanol, forces, Thresholds.own(1e-4)).problems


def test_a_stretched_bond_may_curve_downwards():
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 2.0]])
    block = -0.4 * np.outer([0, 0, 1], [0, 0, 1])
    matrix = np.block([[block, -block], [-block, block]])
    assert examine(HessianLabel.full(matrix), atoms).problems == []


def test_order_is_seen_in_crystals_by_locality():
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    distance = atoms.get_all_distances(mic=True)
    vector = atoms.get_all_distances(mic=True, vector=True)
    spring = np.where((distance > 0) & (distance < 2.7), 2.0, 0.0)
    spring += np.where(distance > 2.7, 0.3 * np.exp(-distance), 0.0)
    unit = vector / np.where(distance, distance, 1)[..., None]
    blocks = -spring[..., None, None] * unit[..., :, None] * unit[..., None, :]
    blocks[np.arange(32), np.arange(32)] = -blocks.sum(axis=1)
    matrix = blocks.transpose(0, 2, 1, 3).reshape(96, 96)
    assert examine(HessianLabel.full(matrix), atoms).problems == []
    order = np.random.default_rng(0).permutation(32)
    index = (3 * order[:, None] + np.arange(3)).ravel()
    (problem,) = examine(HessianLabel.full(matrix[np.ix_(index, index)]), atoms).problems
    assert "coupled as strongly as neighbours" in problem


def test_physics_can_be_switched_off(methanol):
    matrix = -hessian_of(methanol)
    verdict = examine(HessianLabel.full(matrix), methanol, limits=Thresholds(physics=False))
    assert verdict.problems == [] and len(verdict.untested) == 5


def test_a_broken_geometry_is_said(methanol):
    broken = methanol.copy()
    broken.positions[2, 1] = np.nan
    (problem,) = examine(HessianLabel.full(hessian_of(methanol)), broken).problems
    assert "positions or cell hold NaN" in problem


def test_ions_and_dimers_far_apart_are_left_alone():
    atoms = molecule("NaCl")
    atoms.positions[1] += 5
    assert examine(HessianLabel.full(np.zeros((6, 6))), atoms).problems == []


def corrected(label: HessianLabel, atoms: Atoms, said: str) -> tuple[HessianLabel, np.ndarray]:
    found = [
        (other, forces)
        for text, other, forces in _corrections(label, atoms, atoms.arrays["REF_forces"])
        if text.startswith(said)
    ]
    (one,) = found
    return one


def same(found: HessianLabel, matrix: np.ndarray) -> bool:
    """Whether a corrected label is that of the matrix."""
    if found.hessian is not None:
        rows = slice(None) if found.atoms is None else slice(0, 6)
        return np.allclose(found.hessian, matrix[rows], rtol=1e-6)
    v, hv = (x.reshape(len(x), -1) for x in (found.probes, found.hvp))
    return np.allclose(hv, v @ matrix, rtol=1e-6)


@pytest.mark.parametrize("kind", ["full", "rows", "projected"])
@pytest.mark.parametrize(
    ("unit", "factor", "also"),
    [
        ("eV/A^2 over amu", 1.0, ""),
        ("eV/A^2 over electron masses", 1822.888486, " and by 1822.89"),
        ("hartree/bohr^2 over amu", 97.173625, " and by 97.1736"),
        ("hartree/bohr^2 over electron masses", 177136.68, " and by 177137"),
    ],
)
def test_masses_are_taken_out(methanol, kind, unit, factor, also):
    matrix, masses = hessian_of(methanol), np.repeat(methanol.get_masses(), 3)
    weighted = matrix / np.sqrt(np.outer(masses, masses)) / factor
    said = f"It is mass-weighted ({unit}): multiply each element by sqrt(m_a m_b)"
    found, forces = corrected(as_kind(weighted, kind), methanol, said)
    texts = [text for text, *_ in _corrections(as_kind(weighted, kind), methanol, forces)]
    assert f"{said}{also}" in texts
    assert same(found, matrix) and forces is methanol.arrays["REF_forces"]


@pytest.mark.parametrize("kind", ["full", "rows", "projected"])
def test_sign_is_turned_round(methanol, kind):
    matrix = hessian_of(methanol)
    found, _ = corrected(
        as_kind(-matrix, kind), methanol, "Its sign is wrong: the label is -H. Multiply it by -1"
    )
    assert same(found, matrix)
    kept, forces = corrected(as_kind(matrix, kind), methanol, "The forces have the sign of the gradient")
    assert same(kept, matrix) and np.array_equal(forces, -methanol.arrays["REF_forces"])


def test_axes_are_sorted_by_atom(methanol):
    matrix = hessian_of(methanol)
    order = np.concatenate([np.arange(axis, len(matrix), 3) for axis in range(3)])
    label = HessianLabel.full(matrix[np.ix_(order, order)])
    assert same(corrected(label, methanol, "Its rows are sorted by axis")[0], matrix)


def test_without_forces_two_units_that_are_near_are_both_named(methanol):
    label = HessianLabel.full(hessian_of(methanol) / UNITS["hartree/bohr^2"])
    (problem,) = examine(label, methanol).problems
    assert re.search(r"looks like (Ry|hartree)/bohr\^2: .*; or it looks like (Ry|hartree)/bohr\^2: ", problem)
    assert "97.1736" in problem and "48.5868" in problem and problem.count("; or ") == 1


def test_no_factor_is_offered_that_only_makes_the_numbers_small(methanol):
    """And what a factor has made small is refused all the same."""
    h, zero = hessian_of(methanol), np.zeros((len(methanol), 3))
    (problem,) = examine(HessianLabel.full(h), methanol, zero).problems
    assert "All forces are zero. Are they placeholders" in problem and "multiply" not in problem
    assert examine(HessianLabel.full(h * UNITS["N/m"]), methanol, zero).problems
    rng = np.random.default_rng(0)
    small = bulk("Cu", cubic=True)
    wrong = np.diag(rng.uniform(5, 6, 12))  # atoms held in place by nothing
    (problem,) = examine(HessianLabel.full(wrong), small).problems
    assert "sum rule" in problem and "No other unit" in problem
    assert examine(HessianLabel.full(0.02 * wrong), small).problems


def test_frozen_atoms_and_projected_rotations_are_named(methanol):
    h, forces = hessian_of(methanol), methanol.arrays["REF_forces"]
    part = h.copy()
    part[:6] = part[:, :6] = 0
    (problem,) = examine(HessianLabel.full(part), methanol, forces).problems
    assert "2 of 6 atoms have rows of zeros. Were they frozen?" in problem
    arms = methanol.positions - methanol.positions.mean(axis=0)
    moves = [np.tile(e, 6) for e in np.eye(3)] + [np.cross(e, arms).ravel() for e in np.eye(3)]
    q = np.linalg.qr(np.array(moves).T)[0]
    out = np.eye(18) - q @ q.T
    (problem,) = examine(HessianLabel.full(out @ h @ out), methanol, forces).problems
    assert "rotations were projected out" in problem and "xtb --hess" in problem


def test_exchanged_pairs_are_named():
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    rng = np.random.default_rng(1)
    h = rng.normal(size=(24, 24))
    move = np.kron(np.eye(8) - 1 / 8, np.eye(3))
    h = move @ (h @ h.T) @ move
    right = HessianLabel.full(h).to_projected(4, rng)
    assert not examine(right, atoms).problems
    (problem,) = examine(HessianLabel.projected(right.hvp, right.probes), atoms).problems
    assert "Are v and Hv exchanged?" in problem


def test_unusual_frames_are_remarked_on(methanol):
    """Net forces and torques, probes of length one with products of others, stresses of two triangles."""

    def notes(atoms: Atoms) -> str:
        return " ".join(str(note) for note in check_frames([atoms]).remarks)

    assert notes(methanol) == ""
    pushed, swapped = methanol.copy(), methanol.copy()
    pushed.arrays["REF_forces"] = methanol.arrays["REF_forces"] + [0.5, 0, 0]
    assert "REF_forces have a net force of 3 eV/A; a molecule in no field has none" in notes(pushed)
    swapped.arrays["REF_forces"] = methanol.arrays["REF_forces"][::-1] * 3
    assert "a net torque of" in notes(swapped)
    label = as_kind(hessian_of(methanol), "projected")
    root = np.sqrt(18)
    for products, said in ((label.hvp, "the probes have length one"), (label.hvp / root, "")):
        other = methanol.copy()
        del other.info["REF_hessian"]
        write_label(other, HessianLabel.projected(label.probes / root, products))
        assert said in notes(other) and bool(said) == bool(notes(other))
    cell = bulk("Cu")
    cell.info["REF_stress"] = np.array([[1.0, 0.2, 0], [0.1, 1, 0], [0, 0, 1]])
    assert "REF_stress is not symmetric, by 0.1 of its largest element; the mean" in notes(cell)


def test_corrections_that_fail_by_their_size_do_not_stop_the_others(methanol):
    """An asymmetry that is allowed as it is, and not in hartree/bohr^2: the sign comes later."""
    matrix = hessian_of(methanol)
    size = abs(matrix).max()
    planted = 0.02 * size + 0.2  # 0.5 + 0.02 H is allowed; 97 times as large it is beyond 0.5 + 97 * 0.02 H
    matrix[0, 9] += planted / 2
    matrix[9, 0] -= planted / 2
    (problem,) = examine(HessianLabel.full(-matrix), methanol, methanol.arrays["REF_forces"]).problems
    assert "Its sign is wrong: the label is -H. Multiply it by -1" in problem


def test_corrections_of_every_kind_are_tried_once(methanol):
    """Seven units, the sign, that of the forces, four kinds of mass weights, and the order of axes."""
    h = hessian_of(methanol)
    forces = methanol.arrays["REF_forces"]
    for kind, with_forces, count in (
        ("full", True, 14), ("full", False, 13), ("rows", True, 13), ("projected", False, 12),
    ):  # fmt: skip
        found = list(_corrections(as_kind(h, kind), methanol, forces if with_forces else None))
        assert len(found) == count == len({text for text, *_ in found})
        for text, label, given in found[:7]:
            unit = text.removeprefix("It looks like ").split(":")[0]
            assert text.endswith(f": multiply it by {UNITS[unit]:.6g}")
            assert given is (forces if with_forces else None)
            assert same(label, UNITS[unit] * h)


def test_what_could_not_be_tested_is_said_with_its_reason(methanol):
    """For each kind of structure; nothing where all tests were made."""
    n = "the structure is periodic"
    cell = bulk("Cu", cubic=True)
    assert examine(HessianLabel.full(np.zeros((12, 12))), cell).untested["rotation"] == n
    single = examine(HessianLabel.full(np.zeros((3, 3))), Atoms("C"), np.zeros((1, 3)))
    assert single.untested["rotation"] == "the frame has a single atom"
    assert set(single.untested) == {"rotation", "bonds", "stability", "locality"} and not single.problems
    verdict = examine(HessianLabel.full(hessian_of(methanol)), methanol, methanol.arrays["REF_forces"])
    assert set(verdict.untested) == {"locality"} and "12 in a molecule" in verdict.untested["locality"]
    off = examine(HessianLabel.full(hessian_of(methanol)), methanol, limits=Thresholds(physics=False))
    assert set(off.untested.values()) == {"the tests of physics are switched off"}


@pytest.mark.parametrize("where", ["positions", "cell"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_coordinate_that_is_no_number_is_enough(methanol, where, value):
    broken = methanol.copy()
    if where == "cell":
        broken.cell = [[value, 0, 0], [0, 9, 0], [0, 0, 9]]
    else:
        broken.positions[0, 0] = value
    assert examine(HessianLabel.full(hessian_of(methanol)), broken).problems == [
        "positions or cell hold NaN or infinity. Remove the frame"
    ]


@pytest.mark.parametrize(
    ("before", "after", "turned", "better"),
    [
        (5.0, 2.4, None, True),  # less than half is left, in units of the matrix's size
        (5.0, 2.6, None, False),
        (0.5, 9.0, None, True),  # it was not broken
        (0.0, 0.0, (5.0, 2.4), True),
        (0.0, 0.0, (5.0, 2.6), False),
        (0.0, 0.0, (0.1, 9.0), True),
        (5.0, 2.4, (5.0, 2.6), False),
        (5.0, 2.6, (5.0, 2.4), False),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 0.01, 100.0])
def test_a_correction_has_to_mend_what_was_broken(before, after, turned, better, scale):
    """Relative to the size of H: a factor alone mends nothing."""

    def of(drift, residual, factor=1.0):
        quiet = dict.fromkeys(physics.Measured._fields)
        turn = None if turned is None else physics.Rotation(factor * residual, 0.0)
        own = {"size": 50.0 * factor, "drift": factor * drift, "turn": turn, "is_placeholder": False}
        return physics.Measured(**{**quiet, **own})

    first, second = turned or (0.0, 0.0)
    label = HessianLabel.full(np.eye(3))
    assert _less_broken(of(before, first), of(after, second, scale), label, Thresholds()) is better


def test_a_correction_that_loses_the_rotation_mends_nothing():
    quiet = dict.fromkeys(physics.Measured._fields)
    quiet |= {"size": 50.0, "drift": 0.0, "is_placeholder": False}
    broken = physics.Measured(**{**quiet, "turn": physics.Rotation(5.0, 0.0)})
    label = HessianLabel.full(np.eye(3))
    assert not _less_broken(broken, physics.Measured(**quiet), label, Thresholds())
    assert _less_broken(physics.Measured(**quiet), broken, label, Thresholds())


def test_laws_are_told_in_their_order():
    """The most telling one first; all of those that are broken."""
    atoms = Atoms("CN", [[0, 0, 0], [0, 0, 1.4]])
    h = np.diag([-9.0] * 6)
    clauses = broken_laws(HessianLabel.full(h), atoms, np.zeros((2, 3)))
    said = [clause.split(":")[0] for clause in clauses]
    assert said[:2] == [
        "the Hessian breaks the acoustic sum rule", "the Hessian does not turn with the molecule"
    ]  # fmt: skip
    assert "9 eV/A^2" in clauses[0]
    assert any("pushes atoms away from where they are: its trace is -1 of its size" in c for c in clauses)
    zeros = broken_laws(HessianLabel.full(np.zeros((6, 6))), atoms)
    assert len(zeros) == 1 and "every element of the Hessian is zero" in zeros[0]
    loose = Thresholds(sum_rule=100.0, rotation=100.0, share_of_size=100.0, share_of_rotation=100.0,
                       rules_of_thumb=False)  # fmt: skip
    assert broken_laws(HessianLabel.full(h), atoms, np.zeros((2, 3)), loose) == []
