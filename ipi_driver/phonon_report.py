"""Whether i-PI's self-consistent phonons (``<motion mode='scp'>``) have converged, from the files it leaves.

i-PI iterates: from force constants K and centroids q it draws structures x with the covariance D of harmonic
nuclei, and takes for the next iteration the averages of forces and curvature over all that was drawn so far,
reweighted. It ends after `max_iter` iterations and does not say whether these were enough, how much of an
average is noise, or that a mode is unstable (it takes the absolute value). Here the structures of each
iteration, which were drawn from its own q and K, are asked whether they agree with them:

    delta_k = -<Q_k g_k> / <Q_k^2>,    Q_k = L_k . M^(1/2) (x - q),    g_k = L_k . M^(-1/2) (f + K (x - q))

is what they add to omega_k^2, by parts over the Gaussian (I. Errea, M. Calandra, F. Mauri, Phys. Rev. B 89,
064302 (2014)), <g_k> the force that is left on the centroid, and both are zero where the iterations have
converged. Their errors are those of means over the pairs (x, -x) that i-PI draws.

| symbol | file | unit |
|---|---|---|
| omega_k | PREFIX.w.N | hartree |
| q, x | PREFIX.q.N, PREFIX.x.N | bohr |
| f | PREFIX.f.N | hartree / bohr |
| K, D^-1 | PREFIX.K.N, PREFIX.iD.N | hartree / bohr^2, bohr^-2 |
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.stats import norm

from hint_plugin.errors import DataError

PER_HARTREE = 219474.6313632
"""cm^-1."""
SIGNIFICANCE = 0.05
"""Chance that a run that has converged is called one that has not, over all modes together."""
SMALL = 0.1
"""cm^-1: a change that is smaller is none, however small its error."""
NEAR = 0.02
"""Of the spread of a mode: so far its centroid may be off, however small the error. Where symmetry forbids a
force, x and -x cancel, and the error is that of the digits in the file."""


@dataclass(frozen=True)
class Iteration:
    """What an iteration used, and what its structures say of it; modes ascending, without translations.

    Attributes:
        number: from 0; that of the files.
        structures: that were drawn and evaluated.
        used: omega_k of the iteration, cm^-1.
        wanted: what its own structures say in place of it, cm^-1; imaginary as negative.
        error: of `wanted`, cm^-1: by its own structures or, where that is more, as iterations have it on
            average. A few hundred structures that miss the tails of an average underestimate its error.
        shift: how far the centroid would move, <g_k> / omega_k^2, in units of <Q_k^2>^(1/2).
        shift_error: of that.
        effective: structures drawn before that count for `used`, after reweighting (Kong and Liu).
        before: structures drawn before.
    """

    number: int
    structures: int
    used: NDArray
    wanted: NDArray
    error: NDArray
    shift: NDArray
    shift_error: NDArray
    effective: float
    before: int

    @property
    def change(self) -> NDArray:
        """`wanted` - `used`, cm^-1."""
        found: NDArray = self.wanted - self.used
        return found

    @property
    def error_of_used(self) -> NDArray:
        """cm^-1, of `used`: as `error`, by how many structures it is averaged over; of a start 0."""
        if not self.before:
            return np.zeros_like(self.error)
        found: NDArray = self.error * np.sqrt(self.structures / max(self.effective, 1.0))
        return found

    @property
    def unsettled(self) -> NDArray:
        """Of each mode, whether frequency or centroid would still change by more than noise."""
        limit = float(norm.isf(SIGNIFICANCE / (4 * len(self.used))))
        spread = np.hypot(self.error, self.error_of_used)
        moves = (np.abs(self.change) > limit * spread) & (np.abs(self.change) > SMALL)
        far = (np.abs(self.shift) > limit * self.shift_error) & (np.abs(self.shift) > NEAR)
        found: NDArray = moves | far
        return found


@dataclass(frozen=True)
class PhononReport:
    """Of a run: its iterations, in order."""

    iterations: list[Iteration]

    @property
    def last(self) -> Iteration:
        """The one whose frequencies are the result."""
        return self.iterations[-1]

    @property
    def converged(self) -> bool:
        """Whether the last iteration's structures agree with what they were drawn from."""
        return self.last.number > 0 and not self.last.unsettled.any()

    @property
    def scatter(self) -> NDArray | None:
        """cm^-1: standard deviation of each mode over the iterations but the start; None of fewer than two,
        and where they have not the same number of modes."""
        found = [iteration.used for iteration in self.iterations if iteration.number > 0]
        if len(found) < 2 or len({len(one) for one in found}) > 1:
            return None
        deviation: NDArray = np.std(found, axis=0, ddof=1)
        return deviation

    def as_dict(self) -> dict[str, Any]:
        """For JSON; frequencies and errors in cm^-1."""
        last, scatter = self.last, self.scatter
        return {
            "converged": self.converged,
            "why": self.why(),
            "frequencies": last.used.tolist(),
            "errors": last.error_of_used.tolist(),
            "scatter": None if scatter is None else scatter.tolist(),
            "averaged_over": {"structures": last.before, "effective": last.effective},
            "iterations": [
                {
                    "iteration": one.number,
                    "structures": one.structures,
                    "frequencies": one.used.tolist(),
                    "of_its_own_structures": one.wanted.tolist(),
                    "errors": one.error.tolist(),
                    "centroid_would_move": one.shift.tolist(),
                    "errors_of_that": one.shift_error.tolist(),
                }
                for one in self.iterations
            ],
        }

    def why(self) -> str:
        """Whether it has converged, in a sentence."""
        last = self.last
        if last.number == 0:
            return "not converged: there is the harmonic start alone"
        moves = np.flatnonzero(last.unsettled)
        if not len(moves):
            return (
                f"converged: the {last.structures} structures of iteration {last.number} agree with the "
                "frequencies and the centroid that they were drawn from, within their errors"
            )
        return (
            f"not converged: {len(moves)} of {len(last.used)} modes are unsettled; {self._worst(moves)}. "
            "Give i-PI a larger <max_iter>; where errors are large, a larger <max_steps>"
        )

    def _worst(self, moves: NDArray) -> str:
        """Of the modes that move, what moves most beyond its error."""
        last = self.last
        spread = np.hypot(last.error, last.error_of_used)
        by_frequency = np.abs(last.change[moves]) / np.maximum(spread[moves], SMALL)
        by_centroid = np.abs(last.shift[moves]) / np.maximum(last.shift_error[moves], NEAR)
        if unstable := [k for k in moves if not last.wanted[k] > 0]:
            return (
                f"mode {unstable[0] + 1} at {last.used[unstable[0]]:.1f} cm^-1 is unstable by its structures"
            )
        if by_frequency.max() >= by_centroid.max():
            k = int(moves[by_frequency.argmax()])
            return (
                f"mode {k + 1} at {last.used[k]:.1f} would still move by {last.change[k]:+.1f} +- "
                f"{spread[k]:.1f} cm^-1"
            )
        k = int(moves[by_centroid.argmax()])
        return (
            f"the centroid would still move along mode {k + 1} by {last.shift[k]:+.3f} +- "
            f"{last.shift_error[k]:.3f} of its spread"
        )


def read_report(prefix: str | Path, template: Atoms) -> PhononReport:
    """From the files of a run.

    Args:
        prefix: of the files, with their folder: "scp.sc".
        template: the elements, in i-PI's order, whose masses i-PI takes.

    Raises:
        DataError: no files, none whose structures were evaluated, or of other atoms or masses.
    """
    from ipi.utils.units import Elements

    path = Path(prefix)
    pattern = re.compile(re.escape(path.name) + r"\.f\.(\d+)")
    names = [pattern.fullmatch(file.name) for file in path.parent.glob("*")]
    numbers = sorted(int(name[1]) for name in names if name)
    if not numbers or numbers != list(range(len(numbers))):
        raise DataError(
            f"{path}.f.0, ... are not there: no iteration of self-consistent phonons has ended here. The "
            "prefix is that of <output> and that of <scp>, as in scp.sc"
        )
    masses = np.repeat([float(Elements.mass(s)) for s in template.symbols], 3)
    read = [_Files.read(path, number, masses) for number in numbers]
    found = [_iteration(read, number, np.sqrt(masses)) for number in numbers]
    return PhononReport(_with_usual_errors(found))


def _with_usual_errors(found: list[Iteration]) -> list[Iteration]:
    """Errors no smaller than their root mean square over the iterations but the start."""
    later = [one.error for one in found if one.number > 0]
    if not later or len({len(error) for error in later}) > 1:
        return found
    usual = np.sqrt(np.mean(np.square(later), axis=0))
    return [replace(one, error=np.maximum(one.error, usual)) if one.number > 0 else one for one in found]


@dataclass(frozen=True)
class _Files:
    """Of one iteration, atomic units: q [3N], x and f [structures, 3N], K and D^-1 [3N, 3N]."""

    centroid: NDArray
    x: NDArray
    f: NDArray
    k: NDArray
    inverse: NDArray

    @classmethod
    def read(cls, prefix: Path, number: int, masses: NDArray) -> _Files:
        try:
            q, x, f, k, inverse, w = (
                np.loadtxt(f"{prefix}.{name}.{number}", ndmin=1) for name in ("q", "x", "f", "K", "iD", "w")
            )
        except (OSError, ValueError) as error:
            raise DataError(f"{prefix}: iteration {number} cannot be read ({error})") from error
        n = len(masses)
        if k.shape != (n, n) or x.shape != f.shape or x.shape[-1] != n:
            raise DataError(f"{prefix}: its iterations are not of the {n // 3} atoms of the template")
        squares = np.linalg.eigvalsh(k / np.sqrt(np.outer(masses, masses)))
        mine = np.sqrt(np.abs(squares))
        if not np.allclose(np.sort(mine), np.sort(np.abs(w)), rtol=1e-3, atol=3e-5):
            raise DataError(
                f"{prefix}: the frequencies of iteration {number} are not those of its force constants with "
                "the masses of the template's elements: another order of atoms, or isotopes?"
            )
        return cls(q.reshape(-1), x, f, k, inverse)


def _iteration(read: list[_Files], number: int, root: NDArray) -> Iteration:
    """`root`: the square roots of the masses [3N]."""
    one = read[number]
    squares, modes = np.linalg.eigh(one.k / np.outer(root, root))
    stiffness = np.einsum("ik,ij,jk->k", modes, one.inverse / np.outer(root, root), modes)  # 1 / <Q^2>
    kept = stiffness > 1e-7 * stiffness.max()  # translations, and rotations of molecules, have none in i-PI
    squares, modes, stiffness = squares[kept], modes[:, kept], stiffness[kept]
    away = one.x - one.centroid
    coordinates = (away * root) @ modes
    forces = ((one.f + away @ one.k) / root) @ modes
    added = _pairs(-stiffness * coordinates * forces)
    delta, error = added.mean(axis=0), _error(added)
    pulls = _pairs(forces)
    omega = np.sqrt(squares)
    wanted = np.sign(squares + delta) * np.sqrt(np.abs(squares + delta))
    return Iteration(
        number=number,
        structures=len(one.x),
        used=PER_HARTREE * omega,
        wanted=PER_HARTREE * wanted,
        error=PER_HARTREE * error / (2 * np.maximum(np.abs(wanted), 0.1 * omega)),
        shift=pulls.mean(axis=0) * np.sqrt(stiffness) / squares,
        shift_error=_error(pulls) * np.sqrt(stiffness) / squares,
        effective=sum(_effective(read[k], one) for k in range(number)),
        before=sum(len(read[k].x) for k in range(number)),
    )


def _pairs(values: NDArray) -> NDArray:
    """Means over x and -x, which i-PI draws one after the other."""
    even = len(values) - len(values) % 2
    found: NDArray = 0.5 * (values[0:even:2] + values[1:even:2])
    return found


def _error(values: NDArray) -> NDArray:
    """Of the mean over the first axis."""
    found: NDArray = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return found


def _effective(drawn: _Files, now: _Files) -> float:
    """How many of the structures of one iteration count for another one: (sum w)^2 / sum w^2."""
    before, after = drawn.x - drawn.centroid, drawn.x - now.centroid
    logarithm = 0.5 * np.einsum("si,ij,sj->s", before, drawn.inverse, before)
    logarithm -= 0.5 * np.einsum("si,ij,sj->s", after, now.inverse, after)
    weights = np.exp(logarithm - logarithm.max())
    return float(weights.sum() ** 2 / (weights**2).sum())
