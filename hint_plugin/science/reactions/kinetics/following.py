"""The reaction path of an isotopologue, with gradients and Hessians on it, to the accuracy of its curvature.

The path of `hint reaction` is made to see where it leads: it is too coarse for curvatures, and holds no
Hessians. So it is followed again from the same saddle with the masses of the isotopologue. At the saddle its
tangent is the imaginary mode v, and its curvature follows from the change F' of the Hessian along v (M. Page,
J. W. McIver, J. Chem. Phys. 88, 922 (1988)):

    dv/ds = (2 lambda - F)^(-1) (F' v - (v . F' v) v),    F v = lambda v

From there each step is predicted on the local quadratic surface and corrected by integrating dx/ds = -g / |g|
on the distance-weighted mean of the quadratic surfaces at both of its ends (H. P. Hratchian, H. B. Schlegel,
J. Chem. Phys. 120, 9918 (2004)), with a Hessian at each predicted place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from hint_plugin.science.molecules.modes import largest_force
from hint_plugin.science.reactions.irc import FORCE_AT_END, descend
from hint_plugin.science.reactions.kinetics.reaction_path import PathPoint, ReactionPath, molecular_point
from hint_plugin.science.reactions.kinetics.species import Species

STEP = 0.05
"""A amu^(1/2), next to the saddle."""
POINTS = 60
"""On each side of the saddle, at most."""
_LONGEST = 4.0  # times the step, far from the saddle
_SHORTEST = 8.0  # of the step: a part
_NEAR = 20.0  # steps from the saddle
_LARGE = 0.03  # of a step: how far its prediction may be off
_DIFFERENCE = 0.02  # A amu^(1/2), for F'
_RISE = 1e-5  # eV


def reaction_path(
    saddle: Species,
    calculator: Any,
    known: Sequence[Atoms],
    *,
    step: float = STEP,
    points: int = POINTS,
    say: Callable[[str], Any] = lambda text: None,
) -> ReactionPath:
    """Follow the path down both sides of a saddle.

    Args:
        saddle: the transition state; the masses of its atoms count.
        calculator: of ASE, with `get_hessian`.
        known: the path of `hint reaction`, reactant's side first; it says which side is which.
        step: A amu^(1/2); shorter where the path bends (an eighth at least), and longer far from the saddle
            (four times at most).
        points: on each side, at most. Each takes a Hessian, or several where the path bends.
        say: told what is being done.

    Raises what the calculator raises.
    """
    surface = _Surface(saddle.atoms, calculator)
    x = surface.start
    weighted = saddle.hessian / np.outer(surface.root, surface.root)
    along = saddle.modes.mass_weighted[0]
    bend = _curvature_at_saddle(surface, x, weighted, along)
    sides = [_side(surface, x, sign, along, bend, saddle.energy, step, points, say) for sign in (-1, 1)]
    if _misplaced([surface.image(side.places[-1]) for side in sides], known):
        sides.reverse()
        along = -along
    zero = np.zeros((len(saddle.atoms), 3))
    top = molecular_point(0.0, saddle.energy, saddle.atoms, zero, saddle.hessian, tangent=along, bend=bend)
    before = [surface.point(-s, place) for s, place in zip(sides[0].lengths, sides[0].found, strict=True)]
    after = [surface.point(s, place) for s, place in zip(sides[1].lengths, sides[1].found, strict=True)]
    notes = [
        f"the path on the {name}'s side was not followed to its end: it has {points} points (--points)"
        for name, side in zip(("reactant", "product"), sides, strict=True)
        if side.why == "points"
    ]
    return ReactionPath([*reversed(before), top, *after], saddle.scale, notes)


@dataclass(frozen=True)
class _Expansion:
    """Energy (eV), gradient and Hessian at x, mass-weighted."""

    x: NDArray
    energy: float
    gradient: NDArray
    hessian: NDArray

    def at(self, x: NDArray) -> tuple[float, NDArray]:
        """Energy and gradient of the quadratic surface."""
        d = x - self.x
        push = self.hessian @ d
        return float(self.energy + self.gradient @ d + 0.5 * d @ push), self.gradient + push


@dataclass
class _Side:
    """One side of a path, without the saddle: expansions at its points, and arc lengths."""

    found: list[_Expansion] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)
    why: str = "points"

    @property
    def places(self) -> list[NDArray]:
        return [one.x for one in self.found]


class _Surface:
    """The potential in mass-weighted coordinates."""

    def __init__(self, atoms: Atoms, calculator: Any) -> None:
        self.atoms, self._calculator = atoms.copy(), calculator
        self.root = np.sqrt(np.repeat(atoms.get_masses(), 3))
        self.start = atoms.positions.ravel() * self.root

    def image(self, x: NDArray) -> Atoms:
        atoms = self.atoms.copy()
        atoms.positions = (x / self.root).reshape(-1, 3)
        return atoms

    def expansion(self, x: NDArray, hessian: NDArray | None = None) -> _Expansion:
        """Exact, or with a Hessian that is known from a place next to it."""
        atoms = self.image(x)
        atoms.calc = self._calculator
        gradient = -atoms.get_forces(apply_constraint=False).ravel() / self.root
        return _Expansion(
            x, float(atoms.get_potential_energy()), gradient, self.hessian(x) if hessian is None else hessian
        )

    def hessian(self, x: NDArray) -> NDArray:
        matrix = np.asarray(self._calculator.get_hessian(self.image(x)), dtype=float)
        return np.asarray(0.5 * (matrix + matrix.T) / np.outer(self.root, self.root))

    def forces(self, at: _Expansion) -> NDArray:
        return np.asarray((-at.gradient * self.root).reshape(-1, 3))

    def point(self, s: float, at: _Expansion) -> PathPoint:
        cartesian = at.hessian * np.outer(self.root, self.root)
        return molecular_point(s, at.energy, self.image(at.x), self.forces(at), cartesian)


def _curvature_at_saddle(surface: _Surface, x: NDArray, hessian: NDArray, along: NDArray) -> NDArray:
    """dv/ds [3N], by differences of Hessians."""
    beside = [surface.hessian(x + sign * _DIFFERENCE * along) for sign in (1, -1)]
    change = (beside[0] - beside[1]) @ along / (2 * _DIFFERENCE)
    push = change - (along @ change) * along
    value = float(along @ hessian @ along)
    return np.asarray(np.linalg.solve(2 * value * np.eye(len(x)) - hessian, push))


def _side(
    surface: _Surface,
    x: NDArray,
    sign: int,
    along: NDArray,
    bend: NDArray,
    energy: float,
    step: float,
    points: int,
    say: Callable[[str], Any],
) -> _Side:
    side, length = _Side(), step
    here = surface.expansion(x + sign * step * along + 0.5 * step**2 * bend)
    s = step
    for number in range(points):
        last = side.found[-1].energy if side.found else energy
        if here.energy > last + _RISE:
            side.why = "bottom"
            break
        side.found.append(here)
        side.lengths.append(s)
        say(f"path: {sign * s:+.2f} A amu^1/2, {here.energy - energy:+.3f} eV")
        if number > 1 and largest_force(surface.forces(here)) < FORCE_AT_END:
            side.why = "minimum"
            break
        here, length, wrong = _step(surface, here, length, step / _SHORTEST)
        s += length
        if wrong < _LARGE / 2:
            length = min(1.4 * length, step if s < _NEAR * step else _LONGEST * step)
    return side


def _step(
    surface: _Surface, here: _Expansion, length: float, shortest: float
) -> tuple[_Expansion, float, float]:
    """The next point, how far away it is, and by how much of that the prediction was wrong.

    Its Hessian is that of the predicted place, which is a small part of the step away.
    """
    while True:
        predicted = surface.expansion(here.x + descend(here.gradient, here.hessian, length))
        place = _corrected(here, predicted, length)
        wrong = float(np.linalg.norm(place - predicted.x)) / length
        if wrong <= _LARGE or length <= shortest:
            return surface.expansion(place, predicted.hessian), length, wrong
        length = max(shortest, 0.5 * length)


def _corrected(first: _Expansion, second: _Expansion, length: float) -> NDArray:
    """Where the steepest descent is after an arc length, on the distance-weighted mean of two expansions."""

    def slope(_: float, x: NDArray) -> NDArray:
        (one, g_one), (two, g_two) = first.at(x), second.at(x)
        d_one, d_two = x - first.x, x - second.x
        a, b = float(d_one @ d_one), float(d_two @ d_two)
        if a + b == 0.0:
            return np.asarray(-g_one / np.linalg.norm(g_one))
        weight = b / (a + b)
        change = 2 * (a * d_two - b * d_one) / (a + b) ** 2
        gradient = weight * g_one + (1 - weight) * g_two + (one - two) * change
        return np.asarray(-gradient / np.linalg.norm(gradient))

    found = solve_ivp(slope, (0.0, length), first.x, method="LSODA", rtol=1e-7, atol=1e-9)
    return np.asarray(found.y[:, -1])


def _misplaced(ends: Sequence[Atoms], known: Sequence[Atoms]) -> bool:
    """Whether the first side leads where the known path ends, and not where it begins."""
    wanted = [known[0].get_all_distances(), known[-1].get_all_distances()]

    def far(end: Atoms, place: NDArray) -> float:
        return float(np.linalg.norm(end.get_all_distances() - place))

    straight = far(ends[0], wanted[0]) + far(ends[1], wanted[1])
    return straight > far(ends[0], wanted[1]) + far(ends[1], wanted[0])
