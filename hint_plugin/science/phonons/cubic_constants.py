"""Cubic force constants of a crystal from as few third derivatives as its symmetry allows.

The third derivatives of the energy of a supercell of N atoms,

    Phi(i a, j b, k c) = d3E / dx_ia dx_jb dx_kc,

obey the space group, all permutations of (i a, j b, k c), and the acoustic sum rule sum_k Phi(i, j, k) = 0.
What these leave is a linear space of n parameters (for silicon in 64 atoms 777, of 7 million elements), of
which symfc makes an orthonormal basis (A. Seko, A. Togo, Phys. Rev. B 110, 214302 (2024)). One vector

    y = D^3E[v, v],        y_ia = sum over jb, kc of Phi(i a, j b, k c) v_jb v_kc

with a random v that moves all atoms gives 3N equations for them, so that n / 3N vectors are all that is
needed. Three ways lead to y:

| method | y | error |
|---|---|---|
| exact | d(v . H v)/dx: one more differentiation of the model | rounding |
| products | [H(x + e v) v - H(x - e v) v] / 2e, H v being exact | e^2 |
| forces | -[F(x + e v) + F(x - e v) - 2 F(x)] / e^2 | e^2 |

The last vector is v0 + v1, the sum of the first two. By y(v0 + v1) = y(v0) + y(v1) + 2 D^3E[v0, v1] it tells
two things that the fit does not: whether v1 . D^3E[v0, v0] = v0 . D^3E[v0, v1], which is the symmetry under
permutations before anything is imposed, and how well the force constants foretell D^3E[v0, v1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.structures.unit_cell import quiet
from hint_plugin.errors import DataError, EngineError, OptionsError
from hint_plugin.optional import load
from hint_plugin.potentials.calculator_potential import as_potential
from hint_plugin.potentials.extrapolation import told_by_the_run
from hint_plugin.potentials.on_demand import OnDemand

if TYPE_CHECKING:
    from phonopy import Phonopy

Say = Callable[[str], None]
METHODS = ("exact", "products", "forces")
"""From the best one to the one that every potential has."""
STEPS = {"exact": 0.0, "products": 1e-3, "forces": 1e-2}
"""A: root mean square of the displacements of the atoms in a difference."""
SPARE = 1.3
"""How many equations there are for a parameter."""
PROBE = "hint_probe"
"""Array of a supercell: v [N, 3], whose rows have a mean square length of 1."""


def cubic_basis(phonon: Phonopy, cutoff: float | None = None) -> Any:
    """`symfc.Symfc` with the basis of the cubic force constants of a supercell.

    Args:
        phonon: of `new_phonopy`; its symmetry is used, and nothing of its force constants.
        cutoff: A; force constants are zero where two of the three atoms are farther apart. None: nowhere.

    Raises:
        OptionsError: a cutoff that is not a length. DataError: nothing is left by symmetry and cutoff.
        MissingDependencyError: no symfc.
    """
    if cutoff is not None and not (np.isfinite(cutoff) and cutoff > 0):
        raise OptionsError(f"cutoff {cutoff} A; wanted a length above 0")
    symfc = load("symfc", "conductivity", "cubic force constants need symfc")
    operations = phonon.symmetry.symmetry_operations
    found = symfc.Symfc(
        phonon.supercell,
        spacegroup_operations={key: operations[key] for key in ("rotations", "translations")},
        cutoff=None if cutoff is None else {3: float(cutoff)},
    )
    try:
        with quiet():
            found.compute_basis_set(orders=[3])
        some = parameters(found) > 0
    except AssertionError:  # of symfc: nothing is left
        some = False
    if not some:
        within = "" if cutoff is None else f" within {cutoff:g} A"
        raise DataError(
            f"in a supercell of {len(phonon.supercell)} atoms the symmetry leaves no cubic force "
            f"constants{within}; wanted a larger --supercell{'' if cutoff is None else ' or --cutoff'}"
        )
    return found


def parameters(basis: Any) -> int:
    """How many cubic force constants are independent."""
    return int(basis.basis_set[3].basis_set.shape[1])


def probes(basis: Any, atoms: int, seed: int = 0) -> NDArray:
    """Random vectors [K, N, 3] that suffice for a basis, and the sum of the first two as the last one."""
    count = max(2, int(np.ceil(SPARE * parameters(basis) / (3 * atoms - 3))))
    found = np.random.default_rng(seed).standard_normal((count, atoms, 3))
    found -= found.mean(axis=1, keepdims=True)
    found /= np.sqrt((found**2).sum(axis=2).mean(axis=1))[:, None, None]
    return np.concatenate([found, found[:1] + found[1:2]])


def best_method(calculator: Any, atoms: Atoms) -> str:
    """The first of `METHODS` that a potential has; the third differentiation is tried on `atoms`."""
    potential = as_potential(calculator)
    at = getattr(potential, "third_at", lambda atoms: None)
    try:
        third = at(atoms)
        if third is not None and np.isfinite(third(np.ones((1, len(atoms), 3)))).all():
            return "exact"
    except RuntimeError:  # of torch: an operation of the model has no third derivative
        pass
    own = getattr(potential, "has_products", lambda atoms: potential.exact)
    return "products" if own(atoms) else "forces"


@dataclass(frozen=True)
class ThirdDerivatives:
    """D^3E[v, v] of supercells that carry v as the array `PROBE`; it travels to worker processes.

    Attributes:
        potential: what computes.
        method: one of `METHODS`.
        step: A, of `products` and `forces`.
        rest: [N, 3], eV/A, forces of the supercell as it is, for `forces`.
    """

    potential: OnDemand
    method: str
    step: float
    rest: NDArray | None = None

    def __call__(self) -> Callable[[str, Atoms, Say], tuple[dict[str, Any], dict[str, Any]]]:
        """Set up a process: load what computes. Supercells of one process are one supercell."""
        potential = as_potential(self.potential.calculator())
        kept: list[Callable[[NDArray], NDArray]] = []

        def work(name: str, atoms: Atoms, say: Say) -> tuple[dict[str, Any], dict[str, Any]]:
            v = atoms.arrays.pop(PROBE)
            with quiet(), told_by_the_run():
                if self.method == "exact":
                    if not kept:
                        kept.append(_third(potential, atoms))
                    found = kept[0](v[None])[0]
                else:
                    found = self._difference(potential, atoms, v)
            if not np.isfinite(found).all():
                raise EngineError("third derivatives that are NaN or infinite", "program")
            return {"method": self.method}, {"third": np.asarray(found, dtype=float)}

        return work

    def _difference(self, potential: Any, atoms: Atoms, v: NDArray) -> NDArray:
        cells = []
        for sign in (1.0, -1.0):
            cell = atoms.copy()
            cell.positions = atoms.positions + sign * self.step * v
            cells.append(cell)
        if self.method == "products":
            forward, backward = (np.asarray(potential.hvp(cell, v), dtype=float) for cell in cells)
            return (forward - backward) / (2 * self.step)
        forward, backward = (np.asarray(one.forces, dtype=float) for one in potential.evaluate(cells))
        return -(forward + backward - 2 * np.asarray(self.rest)) / self.step**2


def _third(potential: Any, atoms: Atoms) -> Callable[[NDArray], NDArray]:
    found: Callable[[NDArray], NDArray] | None = potential.third_at(atoms)
    if found is None:
        raise OptionsError(
            f"{potential.method} has no third derivatives; wanted method=products or forces "
            "(--method products)"
        )
    return found


def solved(basis: Any, vectors: NDArray, thirds: NDArray) -> NDArray:
    """Compact cubic force constants [n_prim, N, N, 3, 3, 3], eV/A^3, by least squares.

    Args:
        basis: of `cubic_basis`.
        vectors: v [K, N, 3]. thirds: D^3E[v, v] [K, N, 3].
    """
    basis.displacements, basis.forces = vectors, -0.5 * thirds  # F = -1/2 D^3E[u, u]
    with quiet():
        basis.solve(orders=[3], is_compact_fc=True)
    return np.ascontiguousarray(basis.force_constants[3])


def predicted(phonon: Phonopy, constants: NDArray, one: NDArray, other: NDArray | None = None) -> NDArray:
    """D^3E[v, w] [N, 3] of compact force constants; w = v if there is no other vector."""
    found = np.empty_like(one)
    second = one if other is None else other
    primitive = np.asarray(phonon.primitive.p2s_map)
    for shifted in np.asarray(phonon.primitive.atomic_permutations):
        half = np.tensordot(constants, second[shifted], axes=([2, 5], [0, 1]))  # [n_prim, N, 3, 3]
        found[shifted[primitive]] = np.tensordot(half, one[shifted], axes=([1, 3], [0, 1]))
    return found


@dataclass(frozen=True)
class CubicChecks:
    """What third derivatives D^3E[v, v] and the force constants that were made of them say of each other.

    All numbers are relative, 1 being that of vectors that have nothing to do with each other.

    Attributes:
        sum_rule: |sum over atoms of y|, before it is imposed.
        permutation: |v1 . D^3E[v0, v0] - v0 . D^3E[v0, v1]|, before it is imposed.
        residual: root mean square of what the fit leaves of all y: by the space group, permutations, the sum
            rule, the cutoff, and the error of the differences.
        foretold: root mean square error of D^3E[v0, v1], which the fit has not seen.
        size: eV/A^3, root mean square of an element of y.
    """

    sum_rule: float
    permutation: float
    residual: float
    foretold: float
    size: float

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return dict(self.__dict__)


def checked(phonon: Phonopy, constants: NDArray, vectors: NDArray, thirds: NDArray) -> CubicChecks:
    """Args: constants of `solved`; vectors and thirds [K, N, 3] of `probes`, the last one with them."""
    size = float(np.sqrt((thirds**2).mean()))
    if size == 0:
        raise DataError("all third derivatives are zero: does the potential reach from atom to atom?")
    mixed = 0.5 * (thirds[-1] - thirds[0] - thirds[1])
    apart = [
        np.vdot(vectors[1 - k], thirds[k]) - np.vdot(vectors[k], mixed) for k in (0, 1)
    ]  # both are D^3E[v0, v0, v1] and D^3E[v1, v1, v0]
    length = np.linalg.norm(vectors[0]) * np.sqrt((thirds[:2] ** 2).mean())
    fitted = np.array([predicted(phonon, constants, v) for v in vectors[:-1]])
    cross = predicted(phonon, constants, vectors[0], vectors[1])
    sums = np.linalg.norm(thirds.sum(axis=1), axis=1) / np.linalg.norm(
        thirds.reshape(len(thirds), -1), axis=1
    )
    return CubicChecks(
        sum_rule=float(sums.max()),
        permutation=float(np.abs(apart).max() / length),
        residual=float(np.sqrt(((fitted - thirds[:-1]) ** 2).mean() / (thirds[:-1] ** 2).mean())),
        foretold=float(np.sqrt(((cross - mixed) ** 2).mean() / (mixed**2).mean())),
        size=size,
    )
