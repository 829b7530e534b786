"""Hessians of symmetric molecules from the products that their point group leaves, against all of them."""

import warnings

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.collections import g2

from hint_plugin.core.invariance import invariant_hessian
from hint_plugin.core.operator import HessianOperator
from hint_plugin.core.point_group import point_group, symmetrised
from hint_plugin.errors import SymmetryWarning


class Counting(HessianOperator):
    """Counts its products."""

    asked = 0

    def mv(self, v):
        self.asked += len(v.reshape(-1, *self.positions.shape))
        return super().mv(v)


def symmetric(atoms: Atoms, tolerance: float = 0.02) -> Atoms:
    """Moved to where the operations put its atoms on each other to rounding, and turned."""
    found = atoms.copy()
    found.positions = symmetrised(atoms.positions, atoms.numbers, tolerance)
    found.rotate(33, (1, 2, 3))
    return found


def operator_of(atoms, dtype=torch.float64, field=lambda x: 0.0):
    """Springs between all pairs, of strengths by their elements, off their minimum; and a field."""
    leaf = torch.as_tensor(atoms.positions, dtype=dtype).requires_grad_(True)
    z = torch.as_tensor(atoms.numbers, dtype=dtype)
    i, j = torch.triu_indices(len(atoms), len(atoms), 1)
    r = (leaf[i] - leaf[j]).norm(dim=-1)
    energy = (5 * (1 + 0.1 * z[i] * z[j]) * torch.exp(-r) * (r - 1.5) ** 2).sum() + field(leaf)
    (gradient,) = torch.autograd.grad(energy, leaf, create_graph=True)
    return Counting(leaf, forces=-gradient), -gradient


def c60() -> Atoms:
    return symmetric(Atoms("C60", molecule("C60").positions))


COUNTS = {  # name: order of the group, products
    "H2O": (4, 3),  # 2 A1 + B2: two and one for the check save nothing
    "NH3": (6, 3),  # 2 A1 + 2 E
    "CH4": (24, 2),  # A1 + E + 2 T2
    "C2H6": (12, 4),  # 3 A1g + A1u + 2 A2u + 3 Eg + 3 Eu
    "C6H6": (24, 3),  # 2 A1g + ... + 4 E2g + 3 E1u
    "BF3": (12, 2),
    "CO2": (12, 2),
    "C2H2": (12, 3),
    "C2H4": (8, 4),
    "CH3OH": (2, 9),  # 8 A' + 4 A''
    "cyclobutane": (8, 7),
}


@pytest.mark.parametrize("name", COUNTS)
def test_few_products_show_the_whole(name):
    """K is the largest m / d of the vibrations (E. B. Wilson et al., Molecular Vibrations, ch. 6), and one
    more product is the check; off the minimum, where the gradient is not zero."""
    atoms = symmetric(molecule(name))
    operator, forces = operator_of(atoms)
    found = invariant_hessian(operator, forces, kinds=atoms.numbers)
    group = point_group(atoms.positions, atoms.numbers, 2e-8)
    assert (len(group.matrices), operator.asked) == COUNTS[name]
    wanted = operator.dense()
    assert float((found - wanted).abs().max() / wanted.abs().max()) < 1e-10 and forces.abs().max() > 0.1


def test_sixty_atoms_from_three_products():
    """Icosahedral: 2 Ag + Au + 3 F1g + 4 F1u + 4 F2g + 5 F2u + 6 Gg + 6 Gu + 8 Hg + 7 Hu."""
    atoms = c60()
    operator, forces = operator_of(atoms)
    found = invariant_hessian(operator, forces, kinds=atoms.numbers)
    assert operator.asked == 3
    probe = torch.randn(60, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = operator.mv(probe).reshape(-1)
    assert float((found @ probe.reshape(-1) - wanted).abs().max() / wanted.abs().max()) < 1e-10


def test_complex_representations_and_no_reflection():
    """C3 has a pair of complex representations, of which copies share no product; D3 has no reflection."""
    angles = np.deg2rad([0, 120, 240])

    def ring(turn, height):
        return np.stack([np.cos(angles + turn), np.sin(angles + turn), 0 * angles + height], axis=1)

    flat, above, below = 1.3 * ring(0, 0), 1.9 * ring(0.4, 0.5), 1.9 * ring(-0.4, -0.5)
    c3 = Atoms("BO3H3", [(0, 0, 0.1), *flat, *above])  # 5 A + 5 E
    d3 = Atoms("BO3H6", [(0, 0, 0), *flat, *above, *below])  # 4 A1 + 4 A2 + 8 E
    for atoms, order, count in ((c3, 3, 6), (d3, 6, 5)):
        operator, forces = operator_of(atoms)
        found = invariant_hessian(operator, forces, kinds=atoms.numbers)
        assert len(point_group(atoms.positions, atoms.numbers, 2e-8).matrices) == order
        assert operator.asked == count
        torch.testing.assert_close(found, operator.dense(), atol=1e-9, rtol=0)


def test_every_small_molecule_of_a_collection():
    """Of all symmetries that the G2 set has: never more products, and the same matrix."""
    few = 0
    for name in g2.names:
        atoms = molecule(name)
        if len(atoms) < 3 or len(atoms) > 9:
            continue
        group = point_group(atoms.positions, atoms.numbers, 1e-3)
        atoms = atoms if group is None else symmetric(atoms, 1e-3)
        operator, forces = operator_of(atoms)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = invariant_hessian(operator, forces, kinds=atoms.numbers)
        linear = np.linalg.svd(atoms.positions - atoms.positions.mean(0), compute_uv=False)[1] < 1e-6
        assert operator.asked <= 3 * len(atoms) - 6 + linear
        few += operator.asked < 3 * len(atoms) - 6 + linear
        torch.testing.assert_close(found, operator.dense(), atol=1e-7, rtol=0)
    assert few > 50


def test_single_precision():
    atoms = symmetric(molecule("C6H6"))
    operator, forces = operator_of(atoms, torch.float32)
    found = invariant_hessian(operator, forces, kinds=atoms.numbers)
    assert operator.asked == 3 and found.dtype == torch.float32
    wanted = operator_of(atoms)[0].dense()
    full = float((operator.dense().double() - wanted).abs().max())
    assert float((found.double() - wanted).abs().max()) < 3 * full + 1e-6  # as near as all products


def test_geometries_that_are_nearly_symmetric_are_computed_whole():
    """1e-5 A off, the Hessian would be wrong by 1e-5 of it: no symmetry, and no word. Eight decimals are
    symmetric."""
    atoms = symmetric(molecule("CH4"))
    atoms.positions = np.round(atoms.positions, 8)
    operator, forces = operator_of(atoms)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = invariant_hessian(operator, forces, kinds=atoms.numbers)
        assert operator.asked == 2
        wanted = operator.dense()
        assert float((found - wanted).abs().max() / wanted.abs().max()) < 1e-7
        atoms.positions[1, 0] += 1e-5
        operator, forces = operator_of(atoms)
        found = invariant_hessian(operator, forces, kinds=atoms.numbers)
    assert operator.asked == 9
    torch.testing.assert_close(found, operator.dense(), atol=1e-10, rtol=0)


def handedness(x):
    """Unchanged by translations, rotations and permutations, and not by reflections."""
    apart = x[:, None] - x[None]
    square = apart.square().sum(-1, keepdim=True)
    a, b, c = ((apart * weight).sum(1) for weight in (square, square**2, torch.exp(-square)))
    return 1e-4 * (torch.linalg.cross(a, b) * c).sum()


FIELDS = {
    "a direction": lambda x: 0.01 * (x - x.mean(0))[:, 2].square().sum(),
    "cubic axes": lambda x: 0.01 * (x - x.mean(0)).pow(4).sum(),
    "handedness": handedness,
    "one atom": lambda x: 0.01 * (x[2] - x[0]).norm() ** 3,
}


@pytest.mark.parametrize("what", FIELDS)
def test_an_energy_without_the_symmetry_is_found_out(what):
    """Of fields, axes and atoms that are told apart; then as many products as before, after 4 for the group
    and 5 for its rotations. Where only mirror images differ, the rotations suffice."""
    atoms = symmetric(molecule("C2H6"))
    operator, forces = operator_of(atoms, field=FIELDS[what])
    end = "Only its 6 rotations" if what == "handedness" else "depends on the direction"
    with pytest.warns(SymmetryWarning, match=f"12 operations .* {end}"):
        found = invariant_hessian(operator, forces, kinds=atoms.numbers)
    rest = {"handedness": 0, "one atom": 18}.get(what, 24)
    assert operator.asked == 4 + 5 + rest
    torch.testing.assert_close(found, operator.dense(), atol=1e-9, rtol=0)


def test_symmetrised():
    """A rattled molecule comes back to its symmetry, moved by what it was rattled; others have none."""
    atoms = molecule("C6H6")
    rattled = atoms.positions + np.random.default_rng(0).normal(scale=0.01, size=(12, 3))
    found = symmetrised(rattled, atoms.numbers, 0.1)
    group = point_group(found, atoms.numbers, 1e-10)
    assert len(group.matrices) == 24 and group.asymmetry < 1e-12
    assert 1e-3 < np.abs(found - rattled).max() < 0.05
    assert symmetrised(rattled, atoms.numbers, 1e-3) is None


def test_the_group_of_no_symmetry():
    assert point_group(molecule("CH4").positions, np.arange(5), 1e-3) is None
    assert point_group(np.zeros((1, 3)), np.array([1]), 1e-3) is None
    bent = molecule("CO2")
    bent.positions[0, 0] += 1e-4  # nearly in line: the turn about the axis is not determined
    assert point_group(bent.positions, bent.numbers, 2e-8) is None
