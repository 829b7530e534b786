"""The quantities of the gate in exact numbers, and where each of its thresholds lies."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from hint_plugin.data import HessianLabel, Thresholds
from hint_plugin.data.labels import physics
from hint_plugin.data.labels.bond_stiffness import bond_force_constants
from hint_plugin.data.labels.gate import UNITS, _advice, _broken, examine
from hint_plugin.data.labels.physics import Measured
from hint_plugin.data.labels.thresholds import asymmetry, pair_areas, remarks

HARTREE, BOHR = 27.211386024, 0.529177210  # eV, A

#: Two atoms of each pair of rows, A; B of Schlegel's Table 1, bohr.
BONDS = [
    ("H2", 0.74, -0.244),
    ("HC", 1.09, 0.352),
    ("CN", 1.40, 1.085),
    ("HCl", 1.28, 0.660),
    ("CCl", 1.78, 1.522),
    ("Cl2", 2.00, 2.068),
]


def dimer(symbols: str = "CN", length: float = 1.40) -> Atoms:
    return Atoms(symbols, [[0, 0, 0], [0, 0, length]])


def spring(atoms: Atoms, stiffness: float) -> np.ndarray:
    """H of a spring between two atoms at its rest."""
    u = atoms.positions[1] - atoms.positions[0]
    block = stiffness * np.outer(u, u) / (u @ u)
    return np.block([[block, -block], [-block, block]])


def badger(length: float, offset: float) -> float:
    return 1.734 / (length / BOHR - offset) ** 3 * HARTREE / BOHR**2


@pytest.mark.parametrize(("symbols", "length", "offset"), BONDS)
def test_badgers_rule(symbols, length, offset):
    i, j, unit, k = bond_force_constants(dimer(symbols, length))
    order = np.argsort(i)
    assert i[order].tolist() == [0, 1] and j[order].tolist() == [1, 0]
    assert np.allclose(unit[order], [[0, 0, 1], [0, 0, -1]], atol=1e-12)
    assert k == pytest.approx([badger(length, offset)] * 2, rel=1e-7)


@pytest.mark.parametrize(
    ("symbols", "length", "count"),
    [
        ("CN", 1.69, 2),  # 1.15 times 0.76 + 0.71 A
        ("CN", 1.70, 0),
        ("CN", 0.90, 2),  # 0.6 bohr above B
        ("CN", 0.88, 0),
        ("H2", 0.85, 2),  # hydrogen counts as 0.37 A
        ("H2", 0.86, 0),
        ("NaCl", 2.00, 0),
        ("LiCl", 1.16, 0),  # within the reach of Cl alone
        ("LiC", 1.80, 0),
        ("FNe", 1.10, 0),
    ],
)
def test_what_counts_as_a_bond(symbols, length, count):
    assert len(bond_force_constants(dimer(symbols, length))[0]) == count


def test_a_squeezed_bond_leaves_the_others():
    atoms = Atoms("CNHC", [[0, 0, 0], [0, 0, 0.88], [9, 0, 0], [9, 0, 1.09]])
    i, j, unit, k = bond_force_constants(atoms)
    assert sorted(zip(i.tolist(), j.tolist(), strict=True)) == [(2, 3), (3, 2)]
    assert k == pytest.approx([badger(1.09, 0.352)] * 2, rel=1e-7) and np.allclose(abs(unit[:, 2]), 1)


def test_units_in_ev_and_angstrom():
    wanted = {
        "hartree/bohr^2": HARTREE / BOHR**2,
        "kcal/mol/A^2": 0.0433641,
        "kJ/mol/A^2": 0.0103643,
        "Ry/bohr^2": HARTREE / 2 / BOHR**2,
        "eV/bohr^2": 1 / BOHR**2,
        "mdyn/A": 6.241509,  # 1e-8 N / 1e-10 m over e / 1e-20 m^2
        "N/m": 0.06241509,
    }
    assert pytest.approx(wanted, rel=1e-5) == UNITS


def test_asymmetry_of_each_kind():
    matrix = np.diag([1.0, 2.0, -9.0, 1.0, 1.0, 1.0])
    matrix[0, 1], matrix[1, 0], matrix[2, 5], matrix[5, 2] = 3.0, 2.75, -1.0, -2.0
    assert asymmetry(HessianLabel.full(matrix)) == (1.0, 9.0)
    assert asymmetry(HessianLabel.rows(matrix[:3], [0], 2)) == (0.25, 9.0)
    assert asymmetry(HessianLabel.rows(matrix[3:], [1], 2)) == (0.0, 2.0)
    columns = np.zeros((3, 6))
    columns[0, 0], columns[1, 1], columns[2, :2] = 2.0, 1.0, [3.0, 1.0]  # the third is not orthogonal
    label = HessianLabel.projected(columns.reshape(3, 2, 3), (columns @ matrix.T).reshape(3, 2, 3))
    found, size = asymmetry(label)
    assert found == pytest.approx(0.25, rel=1e-12)
    # max |Hv| over the root mean square of v, of (1, 0 ...), (0, 1 ...) and (3, 1, 0 ...)
    assert size == pytest.approx(max(2.75 * 6**0.5, 3.0 * 6**0.5, (3 * 2.75 + 2) / (10 / 6) ** 0.5))
    parallel = HessianLabel.projected(np.ones((2, 2, 3)), np.arange(12.0).reshape(2, 2, 3))
    assert asymmetry(parallel) == (0.0, 11.0)


def test_areas_of_pairs_of_probes():
    probes = np.array([[3.0, 0.0, 0.0], [1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 5.0]])
    assert pair_areas(probes) == pytest.approx([6.0, 12.0, 15.0, 0.0, 5 * 5**0.5, 5 * 20**0.5])


def test_large_elements_are_remarked():
    for value, count in ((1.0e4, 0), (1.01e4, 1), (-1.01e4, 1)):
        assert len(remarks(HessianLabel.full(np.full((3, 3), value)))) == count
        assert len(remarks(HessianLabel.projected(np.ones((1, 3)), np.full((1, 3), value)))) == count


def test_own_labels_have_a_twentieth_and_six_times_their_noise():
    for noise, wanted in ((None, 0.05), (0.0, 0.05), (0.01, 0.11), (0.05, 0.35), (0.1, 0.5), (9.0, 0.5)):
        limits = Thresholds.own(noise)
        assert (limits.sum_rule, limits.rotation) == pytest.approx((wanted, wanted))
        assert (limits.relative_sum_rule, limits.relative_rotation) == (0.002, 0.002)
        assert limits.rules_of_thumb and not Thresholds.own(noise, rules_of_thumb=False).rules_of_thumb


def test_size_and_translations():
    matrix = np.diag([1.0, -7.0, 1.0, 2.0, 2.0, 2.0])
    matrix[0, 3] = -3.0  # with 1: a sum of -2
    label = HessianLabel.full(matrix)
    assert physics.largest(label) == 7.0 and physics.translation_residual(label) == 7.0
    assert physics.translation_residual(HessianLabel.rows(matrix[3:], [1], 2)) == 2.0
    v = np.array([[[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]], [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]])
    hv = np.array([[[-6.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.5, 0.0, 0.0], [0.5, 0.0, 0.0]]])
    label = HessianLabel.projected(v, hv)
    assert physics.largest(label) == pytest.approx(6 / (9 / 6) ** 0.5)
    assert physics.translation_residual(label) == pytest.approx(6 / 3)


@pytest.mark.parametrize(("length", "arm"), [(1.4, 1.0), (4.0, 2.0)])
def test_rotations(length, arm):
    """A dimer under a tension f: H (w x r) = w x g, with -f / r across the bond."""
    atoms, f = dimer(length=length), 3.0
    matrix = spring(atoms, 50.0)
    for axis in (0, 1):
        matrix[axis, axis] = matrix[3 + axis, 3 + axis] = -f / length
        matrix[axis, 3 + axis] = matrix[3 + axis, axis] = f / length
    forces = np.array([[0, 0, -f], [0, 0, f]])  # the atoms are pushed apart
    half = length / 2
    exact = physics.rotation(HessianLabel.full(matrix), atoms, forces)
    assert exact.residual == pytest.approx(0, abs=1e-12) and exact.signal == pytest.approx(f / arm)
    wrong = physics.rotation(HessianLabel.full(2 * matrix), atoms, forces)
    assert wrong.residual == pytest.approx(f / arm) and wrong.signal == pytest.approx(f / arm)
    matrix[1, 1] -= 0.8
    rows = physics.rotation(HessianLabel.rows(matrix[:3], [0], 2), atoms, forces)
    assert rows.residual == pytest.approx(0.8 * half / arm) and rows.signal == pytest.approx(f / arm)
    other = physics.rotation(HessianLabel.rows(matrix[3:], [1], 2), atoms, forces)
    assert other.residual == pytest.approx(0, abs=1e-12)
    v = np.zeros((1, 2, 3))
    v[0, 0, 1] = 2.0  # the length of a probe does not count
    hv = (matrix @ v.ravel()).reshape(1, 2, 3)
    pairs = physics.rotation(HessianLabel.projected(v, hv), atoms, forces)
    assert pairs.residual == pytest.approx(0.8 * half / arm) and pairs.signal == pytest.approx(f / arm)


def test_rotations_cannot_be_tested_everywhere():
    atoms, label = dimer(), HessianLabel.full(np.zeros((6, 6)))
    assert physics.rotation(label, atoms, None) is None
    atoms.pbc = [False, False, True]
    assert physics.rotation(label, atoms, np.zeros((2, 3))) is None
    assert physics.rotation(HessianLabel.full(np.zeros((3, 3))), Atoms("C"), np.zeros((1, 3))) is None
    assert physics.rotation(HessianLabel.full(np.eye(6)), dimer(), np.zeros((2, 3))).signal == 0.0


def test_stiffness_of_bonds():
    atoms = Atoms("CNHC", [[0, 0, 0], [0, 0, 1.40], [0, 9, 0], [0, 9, 1.09]])
    stiff, soft = badger(1.40, 1.085), badger(1.09, 0.352)
    matrix = np.zeros((12, 12))
    matrix[:6, :6], matrix[6:, 6:] = spring(dimer(), 1.5 * stiff), spring(dimer("HC", 1.09), 0.5 * soft)
    assert physics.bond_ratio(HessianLabel.full(matrix), atoms) == pytest.approx(1.0)
    assert physics.bond_ratio(HessianLabel.rows(matrix[9:], [3], 4), atoms) == pytest.approx(0.5)
    assert physics.bond_ratio(HessianLabel.rows(matrix[3:6], [1], 4), atoms) == pytest.approx(1.5)
    far = Atoms("CC", [[0, 0, 0], [0, 0, 5]])
    assert physics.bond_ratio(HessianLabel.full(spring(far, 1.0)), far) is None
    third = Atoms("CNC", [[0, 0, 0], [0, 0, 1.40], [0, 9, 0]])
    assert physics.bond_ratio(HessianLabel.rows(np.zeros((3, 9)), [2], 3), third) is None


@pytest.mark.parametrize(("angle", "seen"), [(0.0, True), (74.0, True), (76.0, False), (90.0, False)])
def test_stiffness_along_probes(angle, seen):
    """Probes that stretch the bond by less than 0.4 of what random ones do say nothing of it."""
    atoms = dimer()
    u = np.array([0, np.sin(np.radians(angle)), np.cos(np.radians(angle))])
    v = 3.0 * np.array([[u, -u]])
    label = HessianLabel.projected(v, (spring(atoms, 0.7 * badger(1.40, 1.085)) @ v.ravel()).reshape(1, 2, 3))
    # the stretch squared is 36 cos^2, of a random probe of this size 6: seen where cos^2 is above 0.4 / 6
    found = physics.bond_ratio(label, atoms)
    assert found == pytest.approx(0.7) if seen else found is None


def test_products_of_rademacher_probes():
    atoms, k = dimer(), badger(1.40, 1.085)
    v = np.array([[[1.0, 1, 1], [1, 1, -1]], [[1.0, -1, 1], [1, 1, 1]]])
    hv = (v.reshape(2, 6) @ spring(atoms, 0.3 * k)).reshape(2, 2, 3)
    # the first stretches by 2, the second not: the root mean square of both sides has the same factor
    assert physics.product_ratio(HessianLabel.projected(v, hv), atoms) == pytest.approx(0.3)
    twice = np.concatenate([hv, hv])
    assert physics.product_ratio(
        HessianLabel.projected(np.concatenate([v, v]), twice), atoms
    ) == pytest.approx(0.3)
    assert physics.product_ratio(HessianLabel.projected(v, 0 * hv), atoms) is None
    far = dimer("CC", 5.0)
    assert physics.product_ratio(HessianLabel.projected(v, hv), far) is None
    assert physics.bond_ratio(HessianLabel.projected(v, hv), far) is None
    for size, seen in ((1 + 0.9e-6, True), (1 + 1.1e-6, False)):
        v[0, 0, 0] = size
        assert (physics.product_ratio(HessianLabel.projected(v, hv), atoms) is not None) == seen
    assert physics.product_ratio(HessianLabel.full(np.eye(6)), atoms) is None


def test_stability():
    atoms = dimer()
    matrix = np.diag([4.0, -1.0, 1.0, 1.0, 1.0, -2.0])
    assert physics.stability(HessianLabel.full(matrix), atoms) == pytest.approx(4 / 10)
    assert physics.stability(HessianLabel.rows(matrix[:3], [0], 2), atoms) == pytest.approx(4 / 6)
    assert physics.stability(HessianLabel.rows(matrix[3:], [1], 2), atoms) == pytest.approx(0)
    matrix[0, 1] = 5.0  # only the symmetric part counts: eigenvalues 1.5 -+ (2.5^2 + 2.5^2)^(1/2)
    root = 12.5**0.5
    assert physics.stability(HessianLabel.full(matrix), atoms) == pytest.approx(4 / (2 * root + 5))
    v = np.array([[[1.0, 0, 0], [0, 0, 0]]])
    hv = np.array([[[-3.0, 4.0, 0], [0, 0, 0]]])
    assert physics.stability(HessianLabel.projected(v, hv), atoms) == pytest.approx(-3 / 5)
    assert physics.stability(HessianLabel.full(np.zeros((6, 6))), atoms) == 0.0
    assert physics.stability(HessianLabel.projected(v, 0 * hv), atoms) is None


def test_stability_wants_neighbours():
    near = Atoms("CCC", [[0, 0, 0], [0, 0, 1.4], [0, 0, 9]])
    matrix = np.diag([1.0] * 6 + [-9.0] * 3)
    assert physics.stability(HessianLabel.full(matrix), near) == 1.0  # the third is alone
    assert physics.stability(HessianLabel.rows(matrix[3:], [1, 2], 3), near) == 1.0
    assert physics.stability(HessianLabel.rows(matrix[6:], [2], 3), near) is None
    v = np.ones((1, 3, 3))
    assert physics.stability(HessianLabel.projected(v, v), near) is None
    for length, found in ((1.89, True), (1.91, False)):  # 1.25 times 2 * 0.76 A
        assert (physics.stability(HessianLabel.full(np.eye(6)), dimer("CC", length)) is not None) == found
    assert physics.stability(HessianLabel.full(np.eye(3)), Atoms("C")) is None
    small, large = bulk("Si", cubic=True)[:7], bulk("Si", cubic=True)
    assert physics.stability(HessianLabel.full(np.eye(21)), small) is None
    assert physics.stability(HessianLabel.full(np.eye(24)), large) == 1.0


def chain(count: int, power: float, symbols: str | None = None) -> tuple[Atoms, np.ndarray]:
    """A line of atoms with blocks r^power, and an H that couples nothing else."""
    atoms = Atoms(symbols or f"C{count}", [[0, 0, 1.1 * i + 0.01 * i * i] for i in range(count)])
    r = atoms.get_all_distances()
    blocks = np.where(r > 0, np.maximum(r, 0.1) ** power, 0.0)[:, :, None, None] * np.eye(3)
    return atoms, blocks.transpose(0, 2, 1, 3).reshape(3 * count, 3 * count)


@pytest.mark.parametrize(("power", "wanted"), [(-1.0, -1.0), (1.0, 1.0)])
def test_locality(power, wanted):
    atoms, matrix = chain(12, power)
    assert physics.locality(HessianLabel.full(matrix), atoms) == pytest.approx(wanted, abs=0.01)
    assert physics.locality(HessianLabel.rows(matrix[:9], [0, 1, 2], 12), atoms) == pytest.approx(
        wanted, abs=0.01
    )
    assert physics.locality(HessianLabel.full(np.ones((36, 36))), atoms) is None
    atoms, matrix = chain(11, power)
    assert physics.locality(HessianLabel.full(matrix), atoms) is None


def test_locality_ranks_elements_apart():
    """Stiff C-C and soft H-H pairs: each class falls by itself."""
    atoms, matrix = chain(12, -1.0, "C6H6")
    carbon = np.repeat(atoms.numbers == 6, 3)
    matrix[np.ix_(carbon, carbon)] *= 1e3
    assert physics.locality(HessianLabel.full(matrix), atoms) == pytest.approx(-1.0, abs=0.02)


def test_cells_want_32_atoms():
    for count, found in ((31, False), (32, True)):
        atoms, matrix = chain(count, -1.0)
        atoms.cell, atoms.pbc = [9, 9, 200], True
        assert (physics.locality(HessianLabel.full(matrix), atoms) is not None) == found


def test_a_surface_counts_as_a_cell():
    atoms, matrix = chain(31, -1.0)
    atoms.cell, atoms.pbc = [9, 9, 200], [True, True, False]
    assert physics.locality(HessianLabel.full(matrix), atoms) is None
    atoms = bulk("Si", cubic=True)[:7]
    atoms.pbc = [True, True, False]
    assert physics.stability(HessianLabel.full(np.eye(21)), atoms) is None


def test_locality_of_two_classes_weighs_them_by_their_size():
    """12 pairs H-C whose coupling falls and 132 pairs C-C, or what is left of them, whose coupling grows."""
    atoms, matrix = chain(13, 1.0, "HC12")
    first = np.arange(39) < 3
    falling = chain(13, -1.0)[1]
    matrix = np.where(first[:, None] | first[None, :], falling, matrix)
    # sum over classes of s / n^2, s = (n^3 - n) / 12 of ranks 1 to n; pairs of one distance share their rank
    label = HessianLabel.rows(matrix[:6], [0, 1], 13)
    # 13 pairs H-C (12 of the first row, 1 of the second) and 11 pairs C-C, all of one correlation each
    hc, cc = (13**3 - 13) / 12 / 13**2, (11**3 - 11) / 12 / 11**2
    found = physics.locality(label, atoms)
    shared = 0.5 / 13**2  # the pair 0-1 stands in both rows: two equal values among the 13
    assert found == pytest.approx((cc - hc + shared) / (cc + hc - shared), rel=1e-9)


def test_locality_wants_different_distances():
    angle = 2 * np.pi * np.arange(12) / 12
    ring = 5 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    atoms = Atoms("C13", np.concatenate([np.zeros((1, 3)), ring]))
    row = np.kron(np.arange(13.0), np.eye(3))
    assert physics.locality(HessianLabel.rows(row, [0], 13), atoms) is None


def test_ranks_of_equal_values_are_equal():
    # the middle of the places that equal values share
    assert physics._ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.0, 0.5, 3.0, 1.5]
    assert physics._ranks(np.array([1.0, 1.00001, 0.5])).tolist() == [2.0, 2.0, 0.5]
    assert physics._ranks(np.array([-1000.0, -999.99, 0.0])).tolist() == [1.0, 1.0, 2.5]
    assert physics._ranks(np.array([1000.0, 999.0, 1.0])).tolist() == [2.5, 1.5, 0.5]
    assert physics._ranks(np.zeros(2)).tolist() == [1.0, 1.0]


def test_zeros_are_a_placeholder_where_something_moves():
    near, far = dimer(), dimer("CC", 5.0)
    zeros = HessianLabel.full(np.zeros((6, 6)))
    assert physics.is_placeholder(zeros, near) and not physics.is_placeholder(zeros, far)
    assert not physics.is_placeholder(HessianLabel.full(np.zeros((3, 3))), bulk("Cu"))
    mixed = Atoms("CCC", [[0, 0, 0], [0, 0, 1.4], [0, 0, 9]])
    assert physics.is_placeholder(HessianLabel.rows(np.zeros((3, 9)), [1], 3), mixed)
    assert not physics.is_placeholder(HessianLabel.rows(np.zeros((3, 9)), [2], 3), mixed)
    assert physics.is_placeholder(HessianLabel.full(np.zeros((9, 9))), mixed)
    together, apart = np.ones((1, 2, 3)), np.array([[[0.0, 0, 1], [0, 0, 0]]])
    for v in (together, np.array([[[0.0, 0, 1], [0, 0, 1]]])):
        assert not physics.is_placeholder(HessianLabel.projected(v, 0 * v), near)
    assert physics.is_placeholder(HessianLabel.projected(apart, 0 * apart), near)


def measured(**values) -> Measured:
    quiet = dict.fromkeys(Measured._fields)
    return Measured(**{**quiet, "size": 50.0, "drift": 0.0, "is_placeholder": False, **values})


@pytest.mark.parametrize("kind", ["full", "projected"])
@pytest.mark.parametrize(
    ("name", "good", "bad", "said"),
    [
        ("drift", 0.99, 1.01, "acoustic sum rule"),  # 0.5 and a hundredth of 50
        ("turn", physics.Rotation(0.99, 0.0), physics.Rotation(1.01, 0.0), "does not turn"),
        ("bonds", 0.041, 0.039, "times as stiff"),
        ("bonds", {"full": 5.9, "projected": 7.9}, {"full": 6.1, "projected": 8.1}, "times as stiff"),
        ("bonds", -0.05, -0.03, "times as stiff"),
        ("bonds", -0.29, -0.31, "times as stiff"),
        ("products", 0.11, 0.09, "products Hv"),
        ("stability", -0.49, {"full": -0.51, "projected": None}, "pushes atoms away"),
        ("locality", -0.31, -0.29, "far apart"),
    ],
)
def test_thresholds(kind, name, good, bad, said):
    good, bad = (value[kind] if isinstance(value, dict) else value for value in (good, bad))
    assert _broken(measured(**{name: good}), kind, Thresholds()) == []
    if bad is not None:
        (clause,) = _broken(measured(**{name: bad}), kind, Thresholds())
        assert said in clause
        rule_of_thumb = name not in ("drift", "turn")
        assert len(_broken(measured(**{name: bad}), kind, Thresholds(rules_of_thumb=False))) == (
            not rule_of_thumb
        )


def test_pairs_that_push_atoms_away_may_be_along_a_soft_mode():
    assert _broken(measured(stability=-0.9), "projected", Thresholds()) == []


@pytest.mark.parametrize(("signal", "proven"), [(1.9, False), (2.1, True)])
def test_forces_that_turn_prove_the_scale(signal, proven):
    found = measured(bonds=9.0, turn=physics.Rotation(0.0, signal))
    assert (_broken(found, "full", Thresholds()) == []) == proven


@pytest.mark.parametrize(("planted", "right"), [(0.69, True), (0.71, False)])
def test_symmetry_is_wanted_to_a_half_and_a_fiftieth(planted, right):
    matrix = spring(dimer(), 10.0)
    matrix[0, 1], matrix[1, 0] = planted / 2, -planted / 2
    problems = examine(HessianLabel.full(matrix), dimer()).problems
    assert problems == [] if right else "is not symmetric" in problems[0]


def test_units_far_from_usual_bonds_are_not_named():
    """Bonds 5.9 times too stiff in hartree/bohr^2; Ry/bohr^2 makes it 2.9 and mdyn/A 0.38, of usually 0.8."""
    label = HessianLabel.full(spring(dimer(), 5.9 * badger(1.40, 1.085)) / UNITS["hartree/bohr^2"])
    advice = _advice(label, dimer(), None, Thresholds())
    assert advice.startswith("It looks like Ry/bohr^2: multiply it by 48.5868; or it looks like eV/bohr^2")


@pytest.mark.parametrize("symbol", ["H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl"])
def test_light_non_metals_have_bonds(symbol):
    assert len(bond_force_constants(dimer(f"C{symbol}", 1.3 if symbol != "H" else 1.0))[0]) == 2


@pytest.mark.parametrize("symbol", ["He", "Li", "Be", "Ne", "Na", "Mg", "Al", "Ar", "K", "Br"])
def test_other_elements_have_none(symbol):
    assert len(bond_force_constants(dimer(f"C{symbol}", 1.3))[0]) == 0


def test_products_leave_atoms_without_a_bond_out():
    """However large they are: there is nothing to compare them with."""
    atoms, k = Atoms("CNC", [[0, 0, 0], [0, 0, 1.40], [0, 9, 0]]), badger(1.40, 1.085)
    v = np.ones((1, 3, 3))
    v[0, 1, 2] = -1
    hv = np.zeros((1, 3, 3))
    hv[0, :2] = (spring(dimer(), 0.4 * k) @ v[0, :2].ravel()).reshape(2, 3)
    for alone in (0.0, 1e6):
        hv[0, 2, 0] = alone
        assert physics.product_ratio(HessianLabel.projected(v, hv), atoms) == pytest.approx(0.4)


def test_asymmetry_of_short_probes():
    """Two columns of a tenth of a unit vector: the elements differ by 0.25 all the same."""
    columns = 0.1 * np.eye(6)[:2]
    matrix = np.diag([1.0] * 6)
    matrix[0, 1], matrix[1, 0] = 3.0, 2.75
    label = HessianLabel.projected(columns.reshape(2, 2, 3), (columns @ matrix.T).reshape(2, 2, 3))
    assert asymmetry(label)[0] == pytest.approx(0.25, rel=1e-12)


@pytest.mark.parametrize("allowed", ["allowed_drift", "allowed_turn"])
def test_what_is_allowed(allowed):
    """0.5 + 0.01 H, but no more than a share of H, and always 0.05 and six times the noise."""
    share = {"allowed_drift": 0.15, "allowed_turn": 0.02}[allowed]
    found = getattr(Thresholds(), allowed)
    assert found(0.0) == pytest.approx(0.05) and found(0.0, 0.0) == pytest.approx(0.05)
    assert found(0.0, 0.01) == pytest.approx(0.11) and found(0.0, 0.07) == pytest.approx(0.47)
    assert found(0.0, 1.0) == pytest.approx(0.5)  # the noise excuses no more
    assert found(2.6) == pytest.approx(max(share * 2.6, 0.05))
    assert found(3.0, 0.05) == pytest.approx(max(share * 3.0, 0.35))
    assert found(1000.0) == pytest.approx(10.5) and found(1000.0, 50.0) == pytest.approx(10.5)
    own = getattr(Thresholds.own(0.01), allowed)
    assert own(0.0) == pytest.approx(0.11) and own(100.0) == pytest.approx(0.31)
    assert getattr(Thresholds(sum_rule=2.0, rotation=2.0), allowed)(1000.0) == pytest.approx(12.0)
    assert Thresholds().allowed(0.0) == 0.5 and Thresholds().allowed(100.0) == pytest.approx(2.5)


def test_size_of_a_label_by_its_largest_element():
    matrix = np.zeros((6, 6))
    matrix[3, 1] = -4.0
    assert physics.largest(HessianLabel.full(matrix)) == 4.0
    # |Hv| over the root mean square of v: 3 / (3 / 6)^(1/2) and 1 / (6 / 6)^(1/2)
    v = np.array([[[1.0, 1, 1], [0, 0, 0]], [[1.0, 1, 1], [1, 1, 1]]])
    hv = np.array([[[0.0, -3, 0], [0, 0, 1]], [[1.0, 0, 0], [0, 0, 0]]])
    assert physics.largest(HessianLabel.projected(v, hv)) == pytest.approx(3 * 2**0.5)
    assert physics.largest(HessianLabel.projected(v[1:], hv[1:])) == pytest.approx(1.0)


def test_all_quantities_of_a_label():
    """`measure` takes each of them once, and calls zeros a placeholder where atoms are neighbours."""
    atoms, forces = dimer(), np.zeros((2, 3))
    label = HessianLabel.full(spring(atoms, 0.7 * badger(1.40, 1.085)))
    found = physics.measure(label, atoms, forces)
    assert found.size == pytest.approx(0.7 * badger(1.40, 1.085)) and found.drift == 0.0
    assert found.turn.residual == pytest.approx(0, abs=1e-12) and found.turn.signal == 0
    assert found.bonds == pytest.approx(0.7) and found.stability == pytest.approx(1.0)
    assert found.products is None and found.locality is None and not found.is_placeholder
    zeros = HessianLabel.full(np.zeros((6, 6)))
    assert physics.measure(zeros, atoms, forces).is_placeholder
    assert not physics.measure(zeros, dimer(length=9.0), forces).is_placeholder
    assert physics.measure(label, atoms, None).turn is None


def test_rotations_have_the_size_of_their_products():
    """`product` is the largest element of H (w x r) over the arm."""
    atoms = dimer(length=4.0)
    matrix = np.zeros((6, 6))
    matrix[0, 0] = 5.0  # w x r is 2 A across the bond at each end
    found = physics.rotation(HessianLabel.full(matrix), atoms, np.zeros((2, 3)))
    assert (found.residual, found.signal, found.product) == pytest.approx((5.0, 0.0, 5.0))
    assert physics.Rotation(1.0, 2.0).product == 0.0


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_nearly_parallel_probes_have_no_area(scale):
    """Up to a sine of 1e-5, whatever their length."""
    for angle, seen in ((0.5e-5, False), (2e-5, True)):
        probes = scale * np.array([[1.0, 0, 0], [np.cos(angle), np.sin(angle), 0]])
        (area,) = pair_areas(probes)
        assert area == pytest.approx(scale**2 * angle if seen else 0.0, rel=1e-3)


def test_zeros_of_pairs_are_a_placeholder_where_one_atom_moves_against_a_neighbour():
    """The others may be alone, or move with all."""
    atoms = Atoms("CCC", [[0, 0, 0], [0, 0, 1.4], [0, 0, 9]])
    apart, together = np.zeros((1, 3, 3)), np.ones((1, 3, 3))
    apart[0, 0, 2] = 1.0
    both = np.concatenate([together, apart])
    assert physics.is_placeholder(HessianLabel.projected(both, 0 * both), atoms)
    assert not physics.is_placeholder(HessianLabel.projected(together, 0 * together), atoms)
