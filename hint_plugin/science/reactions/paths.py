"""A path between two geometries that needs no energies: a geodesic in scaled interatomic distances.

X. Zhu, K. C. Thompson, T. J. Martinez, J. Chem. Phys. 150, 164103 (2019), by the authors' package.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from ase import Atoms

from hint_plugin.optional import load


@contextmanager
def same_random_numbers(seed: int = 0) -> Iterator[None]:
    """geodesic-interpolate draws from NumPy's global random numbers: here always the same ones."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


def interpolate(reactant: Atoms, product: Atoms, images: int = 17) -> list[Atoms]:
    """A smooth path of `images` geometries, ends included and aligned; the same for the same ends.

    Raises:
        MissingDependencyError: geodesic-interpolate is not installed.
    """
    package = load("geodesic_interpolate", "reactions", "paths need geodesic-interpolate")
    logger = logging.getLogger("geodesic_interpolate")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), same_random_numbers():
            warnings.simplefilter("ignore")
            symbols = reactant.get_chemical_symbols()
            raw = package.redistribute(symbols, [reactant.positions, product.positions], images, tol=5e-3)
            geodesic = package.Geodesic(symbols, raw, 1.7, threshold=3.0, friction=1e-3)
            geodesic.smooth(tol=2e-3, max_iter=15)
    finally:
        logger.setLevel(level)
    found = []
    for positions in np.asarray(geodesic.path):
        atoms = reactant.copy()
        atoms.positions = positions
        found.append(atoms)
    return found
