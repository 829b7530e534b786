"""The method `sella`: a geodesic path, Sella's saddle search, steps of the local quadratic approximation.

Everything from exact Hessians; see `paths`, `hint_plugin.science.molecules.optimization` and `irc`.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.errors import EngineError, HintError
from hint_plugin.optional import check
from hint_plugin.science.molecules import Stationary, optimize
from hint_plugin.science.molecules.optimization import with_all_modes
from hint_plugin.science.reactions.image_evaluation import evaluate_together
from hint_plugin.science.reactions.initial_paths import other_paths, short_band
from hint_plugin.science.reactions.irc import Path, follow
from hint_plugin.science.reactions.limits import BROKEN_NUMBERS
from hint_plugin.science.reactions.methods.method import Guess
from hint_plugin.science.reactions.paths import interpolate
from hint_plugin.science.reactions.reaction_settings import ReactionSettings, Say

RELAXED_STEPS = 30
"""Of a saddle search from a relaxed path, at most: most take 5 to 20, and those that take more fail."""


class Sella:
    """See `Method`."""

    name = "sella"

    def __init__(self, calculator: Any, settings: ReactionSettings, say: Say) -> None:
        self._calculator, self._settings, self._say = calculator, settings, say

    def __enter__(self) -> Sella:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left open."""

    @classmethod
    def check(cls) -> None:
        """Raises MissingDependencyError without Sella or geodesic-interpolate."""
        check("this method", "'.[reactions]' in HINT's folder", "sella", "geodesic_interpolate")

    def path(self, reactant: Atoms, product: Atoms) -> Guess:
        """Geodesic; the highest images inside it are tried, as neighbours may lie in another valley."""
        self._say("geodesic path")
        images = interpolate(reactant, product, self._settings.images)
        energies = [energy for energy, _ in evaluate_together(self._calculator, images)]
        for atoms in images:
            atoms.calc = self._calculator
        highest = np.argsort(-np.array(energies[1:-1])) + 1
        tops = [images[k] for k in highest[: self._settings.tops]]
        return Guess(images, energies, tops, "geodesic", len(images))

    def more_paths(self, reactant: Atoms, product: Atoms, first: Guess) -> Iterator[Guess]:
        """Short elastic bands: on the geodesic, and on those other paths whose highest images are lowest.

        Twice as many of the others as are wanted are made, and their images are evaluated together.
        """
        wanted = self._settings.guesses - 1
        if wanted < 1:
            return
        yield self._band("band on the geodesic", first.images, 0)
        self._say("other paths")
        try:
            others = other_paths(reactant, product, first.images, 2 * (wanted - 1))
        except (HintError, *BROKEN_NUMBERS) as error:
            yield Guess([], [], [], "other paths", failure=str(error))
            return
        heights = self._heights([other.images for other in others])
        for k in np.argsort(heights, kind="stable")[: wanted - 1]:
            yield self._band(f"band, {others[k].name}", others[k].images, len(others[k].images))

    def _heights(self, paths: list[list[Atoms]]) -> list[float]:
        """Energies of the highest images, eV; infinite where one cannot be computed."""
        try:
            answers = evaluate_together(self._calculator, [atoms for path in paths for atoms in path])
        except (HintError, *BROKEN_NUMBERS):
            return [self._height(path) for path in paths]
        energies = iter([energy for energy, _ in answers])
        return [max(next(energies) for _ in path) for path in paths]

    def _height(self, path: list[Atoms]) -> float:
        try:
            return max(energy for energy, _ in evaluate_together(self._calculator, path))
        except (HintError, *BROKEN_NUMBERS):
            return float("inf")

    def _band(self, name: str, images: list[Atoms], evaluated: int) -> Guess:
        """Relaxed for a few steps; its highest image inside is where the search begins."""
        self._say(f"path: {name}")
        try:
            relaxed, energies, more = short_band(images, self._calculator)
        except (HintError, *BROKEN_NUMBERS) as error:
            return Guess(images, [], [], name, evaluated, failure=f"the band: {error}")
        top = 1 + int(np.argmax(energies[1:-1]))
        return Guess(relaxed, energies, [relaxed[top]], name, evaluated + more, relaxed=True)

    def saddle(self, guess: Guess) -> Stationary:
        """The first top of the path that leads to a transition state."""
        failure = guess.failure or "the path has no image inside"
        for number, top in enumerate(guess.tops, start=1):
            try:
                found = self._search(top, f"transition state, {guess.name}, image {number}", guess.relaxed)
            except (HintError, *BROKEN_NUMBERS) as error:
                failure = str(error)
                continue
            if found.kind == "transition state":
                return found
            failure = found.kind
        raise EngineError(failure, "geometry")

    def _search(self, top: Atoms, name: str, relaxed: bool) -> Stationary:
        found = optimize(
            top,
            saddle=True,
            fmax=self._settings.fmax,
            steps=min(self._settings.steps, RELAXED_STEPS) if relaxed else self._settings.steps,
            report=lambda step, energy, force: self._say(f"{name}: step {step}, {force:.3f} eV/A"),
        )
        return with_all_modes(found) if found.kind == "transition state" else found

    def follow(self, saddle: Stationary) -> tuple[Path, Path]:
        """Both ways down."""
        return self._down(saddle, -1), self._down(saddle, 1)

    def _down(self, saddle: Stationary, direction: int) -> Path:
        assert saddle.hessian is not None
        return follow(
            saddle.atoms,
            saddle.hessian,
            direction,
            steps=self._settings.irc_steps,
            report=lambda step, energy: self._say(f"IRC: step {step}, {energy - saddle.energy:+.3f} eV"),
        )
