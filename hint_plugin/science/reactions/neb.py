"""Nudged elastic bands with a climbing image, by ASE.

G. Henkelman, B. P. Uberuaga, H. Jonsson, J. Chem. Phys. 113, 9901 (2000); G. Henkelman, H. Jonsson,
J. Chem. Phys. 113, 9978 (2000) for the tangents. Images are added where the barrier is steep (`resolution`).
A step evaluates each image once, all of them together (`image_evaluation`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.drawing import picture
from hint_plugin.data.labels.ase_energies import with_energy
from hint_plugin.errors import OptionsError
from hint_plugin.science.figures import new_figure, save_png
from hint_plugin.science.molecules.modes import largest_force
from hint_plugin.science.reactions.image_evaluation import ImageEvaluation
from hint_plugin.science.reactions.matching import same_atoms, with_electrons
from hint_plugin.science.reactions.paths import interpolate
from hint_plugin.science.reactions.resolution import Resolution, examine

FORCE_TOLERANCE = 0.05  # eV/A, across the band
_BEFORE_CLIMBING = 5.0  # times the tolerance, before the highest image climbs
_ROUNDS = 4  # in which images are added where the barrier is steep
_SPRING = 0.1  # eV/A^2, between images at the mean distance
_SHORTEST_STEP, _LONGEST_STEP = 0.02, 0.2  # A, of the band; half the way to a neighbour: none is overtaken


@dataclass(frozen=True)
class BandState:
    """Where the search for a band is: what it needs to go on.

    `positions` [images, N, 3], A; `springs` [images - 1], eV/A^2, of the search that it is in; `rounds` in
    which images were added; `stage` of the round: 0 before the highest image climbs; `steps` that were taken.
    """

    positions: NDArray
    springs: NDArray
    rounds: int
    stage: int
    steps: int

    def as_dict(self) -> dict[str, Any]:
        """Numbers and arrays."""
        return dict(vars(self))


@dataclass(frozen=True)
class Band:
    """A path of images: geometries with the calculator, energies (eV), largest force across it (eV/A).

    `forces` [images, N, 3] in eV/A; `between`: what `examine` has seen between the images; `climbed`: whether
    the highest image climbed, so that its energy is that of the top; `given`: images that were asked for.
    """

    images: list[Atoms]
    energies: NDArray
    forces: NDArray
    converged: bool
    steps: int
    largest_force: float
    between: Resolution
    climbed: bool
    given: int

    @property
    def top(self) -> int:
        """Index of the highest image."""
        return int(self.energies.argmax())

    @property
    def has_barrier(self) -> bool:
        """Whether the highest image is none of the ends."""
        return 0 < self.top < len(self.images) - 1

    @property
    def height(self) -> float:
        """eV: of the image that has climbed to the top; else the highest point of the interpolation."""
        return float(self.energies.max() if self.climbed else self.between.peak)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without geometries."""
        return {
            "converged": self.converged,
            "steps": self.steps,
            "largest_force": self.largest_force,
            "images": len(self.images),
            "images_added": len(self.images) - self.given,
            "energies": self.energies.tolist(),
            "highest_image": self.top,
            "force_on_highest_image": largest_force(self.forces[self.top]),
            "resolved": self.between.resolved,
            "interpolation": {
                "peak": self.between.peak,
                "error": self.between.error,
                "tolerance": self.between.tolerance,
                "between_images": list(self.between.between),
            },
            "barriers": {
                "forward": float(self.height - self.energies[0]),
                "reverse": float(self.height - self.energies[-1]),
                "reaction": float(self.energies[-1] - self.energies[0]),
            },
        }


def elastic_band(
    reactant: Atoms,
    product: Atoms,
    calculator: Any,
    *,
    images: int = 9,
    climb: bool = True,
    fmax: float = FORCE_TOLERANCE,
    steps: int = 300,
    report: Callable[[int, float, float], None] | None = None,
    start: BandState | None = None,
    keep: Callable[[BandState], None] | None = None,
) -> Band:
    """Relax a geodesic path between two geometries, which stay as they are.

    Where the energy between two images is not what their energies and forces say (`resolution`), images are
    added, and the band is relaxed again.

    Args:
        reactant: atoms in the order of the product's.
        product: see there.
        calculator: of ASE.
        images: ends included, to begin with.
        climb: let the highest image climb to the saddle.
        fmax: eV/A, the largest force across the band at the end.
        steps: at most, of all rounds together.
        report: called with the step, the height of the highest image (eV) and the largest force (eV/A).
        start: what an earlier search with the same arguments has kept, in place of the geodesic path.
        keep: called after each step with where the search is.

    Raises:
        DataError: other atoms, or another order. OptionsError: fewer than three images, no steps, no
        tolerance. Whatever the calculator raises.
    """
    if images < 3 or steps < 1 or fmax <= 0:
        raise OptionsError(
            f"{images} images, {steps} steps, fmax {fmax}; wanted at least 3, at least 1, above 0"
        )
    same_atoms(reactant, product)
    reactant, product = (with_electrons(end, calculator) for end in (reactant, product))
    path = interpolate(reactant, product, images) if start is None else _images(reactant, start.positions)
    search = _Search(calculator, path, steps, report, start, keep)
    stages = [(_BEFORE_CLIMBING * fmax, False), (fmax, climb)]
    while search.stage < len(stages):
        search.relax(*stages[search.stage])
        between = search.examine()
        if not between.resolved and search.rounds < _ROUNDS and search.left > 0:
            search.refine(between)
        else:
            search.stage += 1
    return Band(
        images=search.path,
        energies=search.energies,
        forces=search.forces,
        converged=search.largest <= fmax,
        steps=search.taken,
        largest_force=search.largest,
        between=between,
        climbed=climb,
        given=images,
    )


class _Search:
    """A band on its way."""

    def __init__(
        self,
        calculator: Any,
        path: list[Atoms],
        steps: int,
        report: Callable[[int, float, float], None] | None,
        start: BandState | None,
        keep: Callable[[BandState], None] | None,
    ) -> None:
        self._calculator, self._steps, self._report, self._keep = calculator, steps, report, keep
        self.path, self.largest = path, float("inf")
        self._evaluated = ImageEvaluation(path[0], calculator)
        self.taken, self.rounds, self.stage = (
            (0, 0, 0) if start is None else (start.steps, start.rounds, start.stage)
        )
        self._springs = None if start is None else start.springs
        for atoms in path:
            atoms.calc = calculator
        energies, forces = self._evaluated(np.array([atoms.positions for atoms in path]))
        self._ends = [with_energy(path[k], energies[k], forces[k]) for k in (0, -1)]
        self.energies, self.forces = np.zeros(0), np.zeros(0)

    @property
    def left(self) -> int:
        """Steps."""
        return self._steps - self.taken

    def relax(self, tolerance: float, climb: bool) -> None:
        """Until the largest force across the band is below the tolerance, or the steps are over."""
        from ase.optimize import FIRE

        images = [self._ends[0], *self.path[1:-1], self._ends[1]]
        springs = self._stiff_where_near() if self._springs is None else self._springs
        self._springs = None  # those of the next search are of the path that this one leaves
        band = band_of(images, self._evaluated, k=springs.tolist(), climb=climb, method="improvedtangent")
        longest = max(_SHORTEST_STEP, min(_LONGEST_STEP, 0.5 * min(self._moves())))
        search, before = FIRE(band, logfile=None, maxstep=longest), self.taken
        zero = self._ends[0].calc.results["energy"]
        for _ in search.irun(fmax=tolerance, steps=max(0, self.left)):
            self.taken = before + search.nsteps
            if self._keep is not None:
                self._keep(self._state(springs))
            if self._report is not None:
                self._report(self.taken, float(np.max(band.energies[1:-1])) - zero, band.largest)
        first, last = (atoms.calc.results for atoms in self._ends)
        self.largest = band.largest
        self.energies = np.array([first["energy"], *band.energies[1:-1], last["energy"]])
        self.forces = np.array([first["forces"], *band.real_forces[1:-1], last["forces"]])
        for atoms in self.path:
            atoms.calc = self._calculator

    def _moves(self) -> list[float]:
        """A, between neighbours."""
        pairs = zip(self.path, self.path[1:], strict=False)
        return [float(np.linalg.norm(b.positions - a.positions)) for a, b in pairs]

    def _stiff_where_near(self) -> NDArray:
        """Springs that keep images near to each other where they are."""
        moves = self._moves()
        springs: NDArray = _SPRING * np.clip(np.mean(moves) / np.maximum(moves, 1e-6), 0.1, 10.0)
        return springs

    def _state(self, springs: NDArray) -> BandState:
        positions = np.array([atoms.positions for atoms in self.path])
        return BandState(positions, springs, self.rounds, self.stage, self.taken)

    def examine(self) -> Resolution:
        """What lies between the images."""
        flat = (len(self.path), -1)
        positions = np.array([atoms.positions for atoms in self.path]).reshape(flat)
        return examine(positions, self.energies, self.forces.reshape(flat), self._evaluated)

    def refine(self, between: Resolution) -> None:
        """Add the images that are missing; a round begins."""
        self.path = _images(self.path[0], between.refined)
        for atoms in self.path:
            atoms.calc = self._calculator
        self.rounds, self.stage = self.rounds + 1, 0


def _images(like: Atoms, positions: NDArray) -> list[Atoms]:
    """Copies of a structure at other places [images, 3N or N, 3]; a copy keeps `info`: charge and spin."""
    found = []
    for x in positions:
        found.append(like.copy())
        found[-1].positions = x.reshape(-1, 3)
    return found


def band_of(images: list[Atoms], evaluate: ImageEvaluation, **options: Any) -> Any:
    """ASE's band, whose images are evaluated together, and once for each place they are at.

    ASE and its optimisers ask for the forces of a band three times a step, each time of one image after the
    other, which would be three evaluations of each where the images share a calculator.
    """
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.mep import NEB

    class Together(NEB):
        """`largest`: the largest force across the band, eV/A."""

        largest = float("inf")
        _at: NDArray | None = None
        _found: NDArray

        def get_forces(self) -> NDArray:
            at = self.get_positions()
            if self._at is None or not np.array_equal(at, self._at):
                moved = self.images[1:-1]
                for image, energy, forces in zip(moved, *evaluate(at.reshape(len(moved), -1)), strict=True):
                    image.calc = SinglePointCalculator(image, energy=float(energy), forces=forces)
                self._at, self._found = at, super().get_forces()
                self.largest = float(np.linalg.norm(self._found.reshape(-1, 3), axis=1).max())
            return self._found

    return Together(images, allow_shared_calculator=True, **options)


@picture
def plot_band(path: Path, band: Band, title: str = "") -> bool:
    """Energies along the band, kcal/mol. Returns False, and writes nothing, without matplotlib."""
    from hint_plugin.science.reactions.reaction_files import KCAL

    moves = [
        np.linalg.norm(b.positions - a.positions) for a, b in zip(band.images, band.images[1:], strict=False)
    ]
    figure = new_figure(6.4, 3.6)
    if figure is None:
        return False
    axes = figure.add_subplot()
    axes.plot(
        np.concatenate([[0], np.cumsum(moves)]),
        KCAL * (band.energies - band.energies[0]),
        "o-",
        color="#1f5fa8",
    )
    axes.set_xlabel("path / $\\mathrm{\\AA}$")
    axes.set_ylabel("energy / kcal mol$^{-1}$")
    state = "" if band.between.resolved else " (not resolved)"
    axes.set_title(title + (state if band.converged else " (not converged)"), fontsize=10)
    save_png(figure, path)
    return True
