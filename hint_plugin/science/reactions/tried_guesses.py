"""Guesses that were tried for a reaction: the saddle that each led to, and which of them are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hint_plugin.errors import HintError
from hint_plugin.science.molecules import Stationary
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.reactions.limits import BROKEN_NUMBERS
from hint_plugin.science.reactions.matching import match
from hint_plugin.science.reactions.methods import Method
from hint_plugin.science.reactions.methods.method import Guess

NOT_FOLLOWED = "not followed: a lower one connects"
NEAR = 0.2
"""A: tops of short bands that were nearer to a saddle led to it, or to none."""
_SAME_ENERGY, _SAME_FREQUENCY = 0.002, 5.0  # eV, cm^-1


@dataclass
class Tried:
    """One guess, and what became of it.

    `failure`: why there is no saddle. `same_as`: number of an earlier guess with the same saddle, from 1;
    `saddle` is None where the search was not made for that reason.
    `verdict`: of the path down from the saddle, or why none was followed.
    """

    guess: Guess
    saddle: Stationary | None = None
    failure: str = ""
    same_as: int | None = None
    verdict: str = ""

    def as_dict(self, zero: float) -> dict[str, Any]:
        """For JSON: `top` of the path and `saddle` in eV above `zero`, `evaluated` geometries of the path,
        `steps` of the saddle search."""
        energies = self.guess.energies
        return {
            "path": self.guess.name,
            "top": max(energies) - zero if energies else None,
            "evaluated": self.guess.evaluated,
            "saddle": None if self.saddle is None else self.saddle.energy - zero,
            "steps": None if self.saddle is None else self.saddle.steps,
            "failure": self.failure,
            "same_as": self.same_as,
            "verdict": self.verdict,
        }


def try_guess(method: Method, guess: Guess, before: Sequence[Tried]) -> Tried:
    """Look for the saddle next to a guess; what fails is told in the result.

    No search is made from a relaxed path whose top is as good as at a saddle that is known.
    """
    tried = Tried(guess)
    if guess.relaxed and guess.tops:
        for number, other in enumerate(before, start=1):
            if other.saddle is not None and rmsd(guess.tops[0], other.saddle.atoms, permute=True) < NEAR:
                tried.same_as, tried.verdict = number, f"its top is next to the saddle of guess {number}"
                return tried
    try:
        tried.saddle = method.saddle(guess)
    except (HintError, *BROKEN_NUMBERS) as error:
        tried.failure = reason(error)
        return tried
    for number, other in enumerate(before, start=1):
        if other.saddle is not None and same_saddle(tried.saddle, other.saddle):
            tried.same_as = number
            tried.verdict = f"the saddle of guess {number}"
            break
    return tried


def reason(error: Exception) -> str:
    """What an error says; of those that are not HINT's also their kind."""
    return str(error) if isinstance(error, HintError) else f"{type(error).__name__}: {error}"


def same_saddle(first: Stationary, second: Stationary) -> bool:
    """Whether two saddles are the same, or differ by mirroring or by atoms that are bonded alike."""
    if abs(first.energy - second.energy) > _SAME_ENERGY or not match(first.atoms, second.atoms):
        return False
    if first.modes is None or second.modes is None:
        return False
    a, b = first.modes.frequencies, second.modes.frequencies
    return len(a) == len(b) and bool(np.abs(np.asarray(a) - np.asarray(b)).max() < _SAME_FREQUENCY)


def lowest_first(tried: Sequence[Tried], ends: float) -> list[Tried]:
    """Guesses with different saddles; last those that are not above both ends, which join conformers.

    Of those that are as high as each other the earlier one is first.

    Args:
        tried: all.
        ends: energy of the higher end, eV.
    """
    different = [one for one in tried if one.saddle is not None and one.same_as is None]

    def height(one: Tried) -> tuple[bool, int]:
        assert one.saddle is not None
        return one.saddle.energy < ends, round((one.saddle.energy - ends) / _SAME_ENERGY)

    return sorted(different, key=height)
