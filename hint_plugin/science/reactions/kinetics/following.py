"""The reaction path of an isotopologue, with gradients and Hessians on it.

The path of `hint reaction` is made to see where it leads: its steps are too long for curvatures, and it holds
no Hessians. So it is followed again from the same saddle, in smaller steps and with the masses of the
isotopologue, and the potential is asked for a Hessian at each point that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.science.reactions.irc import Path, follow
from hint_plugin.science.reactions.kinetics.reaction_path import PathPoint, ReactionPath, molecular_point
from hint_plugin.science.reactions.kinetics.species import Species

STEP = 0.05
"""A amu^(1/2)."""
POINTS = 60
"""With a Hessian, on each side of the saddle."""
_STEPS, _EXACT = 400, 5


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
        step: A amu^(1/2).
        points: Hessians on each side, at most: the nearest to the saddle are all taken, then every second,
            third, ...
        say: told what is being done.

    Raises what the calculator raises.
    """
    atoms = saddle.atoms.copy()
    atoms.calc = calculator
    sides = []
    for direction in (-1, 1):
        side = follow(
            atoms,
            saddle.hessian,
            direction,
            step=step,
            steps=_STEPS,
            recalculate=_EXACT,
            report=lambda k, energy: say(f"path: step {k}, {energy - saddle.energy:+.3f} eV"),
        )
        sides.append(side)
    if _misplaced(sides, known):
        sides.reverse()
    down = (
        np.sqrt(np.repeat(atoms.get_masses(), 3)) * (sides[1].images[1].positions - atoms.positions).ravel()
    )
    at_saddle = molecular_point(
        0.0, saddle.energy, atoms, np.zeros((len(atoms), 3)), saddle.hessian, _imaginary(saddle, down)
    )
    before = [_point(sides[0], k, -1, calculator, say) for k in chosen(len(sides[0].images), points)]
    after = [_point(sides[1], k, 1, calculator, say) for k in chosen(len(sides[1].images), points)]
    notes = [
        f"the path on the {name}'s side was not followed to its end: it has {_STEPS} steps"
        for name, side in zip(("reactant", "product"), sides, strict=True)
        if side.why == "steps"
    ]
    return ReactionPath([*reversed(before), at_saddle, *after], saddle.scale, notes)


def chosen(count: int, points: int) -> list[int]:
    """Numbers of the points of a side that get a Hessian, from 1: half of them next to the saddle, the others
    evenly to the end."""
    if count - 1 <= points:
        return list(range(1, count))
    near = points // 2
    far = np.linspace(near + 1, count - 1, points - near)
    return [*range(1, near + 1), *sorted({int(round(k)) for k in far})]


def _point(side: Path, number: int, sign: int, calculator: Any, say: Callable[[str], Any]) -> PathPoint:
    atoms = side.images[number].copy()
    atoms.calc = calculator
    s = sign * side.lengths[number]
    say(f"Hessians along the path: {s:+.2f} A amu^1/2")
    forces = np.asarray(atoms.get_forces(apply_constraint=False))
    hessian = np.asarray(calculator.get_hessian(atoms))
    return molecular_point(s, side.energies[number], atoms, forces, hessian)


def _imaginary(saddle: Species, down: NDArray) -> NDArray:
    """[3N] the imaginary mode, mass-weighted, towards the products."""
    mode = saddle.modes.mass_weighted[0]
    return mode if mode @ down > 0 else -mode


def _misplaced(sides: Sequence[Path], known: Sequence[Atoms]) -> bool:
    """Whether the first side leads where the known path ends, and not where it begins."""
    ends = [known[0].get_all_distances(), known[-1].get_all_distances()]

    def far(side: Path, end: NDArray) -> float:
        return float(np.linalg.norm(side.images[-1].get_all_distances() - end))

    straight = far(sides[0], ends[0]) + far(sides[1], ends[1])
    return straight > far(sides[0], ends[1]) + far(sides[1], ends[0])
