"""How a reaction is looked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hint_plugin.science.molecules.optimization import FORCE_TOLERANCE

Say = Callable[[str], None]
GUESSES = 2
"""Initial paths that are tried: a third one is as dear as the second, and helped in 1 reaction of 44."""


@dataclass(frozen=True)
class ReactionSettings:
    """How a reaction is looked for.

    Attributes:
        fmax: eV/A, of ends and transition state.
        steps: of an optimisation, at most.
        images: of the first path.
        guesses: how many initial paths are tried (sella): 1 is the geodesic alone, with the second its images
            are also relaxed as an elastic band, and further ones begin elsewhere (`initial_paths`).
        tops: how many images of the geodesic are tried as starts, highest first, until one leads to a
            saddle.
        irc_steps: on each side, at most.
        temperature: K, of the Gibbs energies; pressure 1 atm.
        method: a name in `hint_plugin.science.reactions.methods.METHODS`.
    """

    fmax: float = FORCE_TOLERANCE
    steps: int = 300
    images: int = 17
    guesses: int = GUESSES
    tops: int = 3
    irc_steps: int = 120
    temperature: float = 298.15
    method: str = "sella"
