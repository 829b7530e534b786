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
from ase.geometry import find_mic

from hint_plugin.data.structures.constraints import free_coordinates
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


def interpolate(
    reactant: Atoms, product: Atoms, images: int = 17, through: Atoms | None = None
) -> list[Atoms]:
    """A smooth path of `images` geometries, ends included and aligned; the same for the same ends.

    `through` is a geometry that the path begins with in its middle, before it is made smooth; it is left out
    where atoms are held.

    Where atoms are held, nothing is aligned: each atom goes to the nearest image of its place, and distances
    between atoms are interpolated (image dependent pair potential; S. Smidstrup, A. Pedersen, K. Stokbro,
    H. Jonsson, J. Chem. Phys. 140, 214106 (2014), by ASE).

    Raises:
        MissingDependencyError: geodesic-interpolate is not installed.
    """
    if not free_coordinates(reactant).all:
        return _over_a_surface(reactant, product, images)
    package = load("geodesic_interpolate", "reactions", "paths need geodesic-interpolate")
    logger = logging.getLogger("geodesic_interpolate")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), same_random_numbers():
            warnings.simplefilter("ignore")
            symbols = reactant.get_chemical_symbols()
            points = [atoms.positions for atoms in (reactant, through, product) if atoms is not None]
            raw = package.redistribute(symbols, points, images, tol=5e-3)
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


def _over_a_surface(reactant: Atoms, product: Atoms, images: int) -> list[Atoms]:
    from ase.mep import NEB
    from ase.mep.neb import idpp_interpolate

    free, periodic = free_coordinates(reactant), bool(reactant.pbc.any())
    moves = product.positions - reactant.positions
    if periodic:
        moves = find_mic(moves, reactant.cell, reactant.pbc)[0]
    moves = np.where(free.mask, moves, 0.0)
    found = []
    for part in np.linspace(0.0, 1.0, images):
        atoms = reactant.copy()
        atoms.positions = reactant.positions + part * moves
        found.append(atoms)
    band = NEB(found, method="improvedtangent")
    idpp_interpolate(band, traj=None, log=None, mic=periodic, fmax=0.1, steps=100)
    return found
