"""From reactant to product: a geodesic path, and a short elastic band on it."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.mep import NEB
from ase.optimize import FIRE

from hint_plugin.science.reactions import interpolate
from reactive.calculator import GFN2, ROUGH

IMAGES, BAND_IMAGES = 10, 7  # ends included
BAND_STEPS, KEPT = 14, (3, 7, 14)
_SPRING = 0.1  # eV/A^2


def geodesic(reactant: Atoms, product: Atoms) -> list[Atoms]:
    """Images with their ends."""
    ends = [Atoms(a.symbols, a.positions) for a in (reactant, product)]
    return interpolate(*ends, IMAGES)


def short_band(path: list[Atoms]) -> tuple[list[list[Atoms]], Atoms]:
    """Bands on their way, without the ends, and the highest image of the last one.

    Each image has a calculator of its own: ASE asks three times a step, and one that is shared keeps nothing.
    """
    images = [path[round(k)].copy() for k in np.linspace(0, len(path) - 1, BAND_IMAGES)]
    for atoms in images:
        atoms.calc = GFN2(ROUGH)
    band = NEB(images, k=_SPRING, climb=True, method="improvedtangent")
    search, kept = FIRE(band, logfile=None, maxstep=0.1), []
    for _ in search.irun(fmax=0.05, steps=BAND_STEPS):
        if search.nsteps in KEPT:
            kept.append([Atoms(a.symbols, a.positions) for a in images[1:-1]])
    return kept, images[1 + int(np.argmax(band.energies[1:-1]))]
