"""The method `sella`: a geodesic path, Sella's saddle search, steps of the local quadratic approximation.

Everything from exact Hessians; see `paths`, `hint_plugin.science.molecules.optimization` and `irc`.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.errors import EngineError, HintError
from hint_plugin.optional import check
from hint_plugin.science.molecules import Stationary, optimize
from hint_plugin.science.molecules.optimization import with_all_modes
from hint_plugin.science.reactions.image_evaluation import evaluate_together
from hint_plugin.science.reactions.irc import Path, follow
from hint_plugin.science.reactions.limits import BROKEN_NUMBERS
from hint_plugin.science.reactions.methods.method import Guess
from hint_plugin.science.reactions.paths import interpolate
from hint_plugin.science.reactions.reaction_settings import ReactionSettings, Say


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
        return Guess(images, energies, [images[k] for k in highest[: self._settings.guesses]])

    def saddle(self, guess: Guess) -> Stationary:
        """The first top of the path that leads to a transition state."""
        failure = "the path has no image inside"
        for number, top in enumerate(guess.tops, start=1):
            try:
                found = self._search(top, f"transition state, guess {number}")
            except (HintError, *BROKEN_NUMBERS) as error:
                failure = str(error)
                continue
            if found.kind == "transition state":
                return found
            failure = found.kind
        raise EngineError(failure, "geometry")

    def _search(self, top: Atoms, name: str) -> Stationary:
        found = optimize(
            top,
            saddle=True,
            fmax=self._settings.fmax,
            steps=self._settings.steps,
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
