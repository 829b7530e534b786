"""Copies of a structure, atoms displaced by Gaussian noise, none too close to another or to an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import NDArray

from hint_plugin.data.structures.supercells import supercell
from hint_plugin.errors import DataError, OptionsError

DEFAULT_SIGMA = 0.4
"""A, of each Cartesian component: the HINT paper's."""
PRIMITIVE = "primitive"
"""Mask of the atoms of the first cell in a supercell: those that `hint label --hessian rows` needs."""
DEFAULT_FLOOR = 0.6
"""Times the sum of covalent radii: 0.64 A for C-H, 0.91 A for C-C."""


@dataclass(frozen=True)
class DisplaceSettings:
    """How structures are displaced.

    Attributes:
        sigma: standard deviation of each Cartesian component, A; 0 for the supercell as it is.
        copies: new structures for each one that is read.
        supercell: repetitions along the cell vectors, before atoms are displaced.
        floor: no two atoms are closer than `floor` times the sum of their covalent radii; 0 for no floor.
        max_rounds: how often atoms that are too close are drawn again.
        seed: of the displacements; each copy of each frame has its own stream.
    """

    sigma: float = DEFAULT_SIGMA
    copies: int = 1
    supercell: tuple[int, int, int] = (1, 1, 1)
    floor: float = DEFAULT_FLOOR
    max_rounds: int = 1000
    seed: int = 0

    def check(self) -> None:
        """Raise OptionsError for what makes no sense."""
        if self.sigma < 0 or not np.isfinite(self.sigma):
            raise OptionsError(f"sigma {self.sigma} A; wanted 0 or more")
        if self.copies < 1 or self.max_rounds < 1 or min(self.supercell) < 1:
            raise OptionsError("copies, rounds and repetitions of the cell have to be at least 1")
        if not 0 <= self.floor < 1:
            raise OptionsError(f"floor {self.floor}; wanted 0 to below 1, where bonds are")


@dataclass
class DisplaceStatistics:
    """What came out: the floor narrows the distribution where atoms are bonded.

    Attributes:
        components: number of displaced coordinates.
        squares: sum of their squares, A^2.
        redrawn: atoms that were drawn again.
        lengths: [drawn atoms at most], |displacement| of the first ones, A, for a figure.
    """

    components: int = 0
    squares: float = 0.0
    redrawn: int = 0
    lengths: list[float] = field(default_factory=list)

    @property
    def rms(self) -> float:
        """Root mean square of a component, A: sigma where the floor is not met."""
        return float(np.sqrt(self.squares / self.components)) if self.components else 0.0


def displaced_copies(
    parent: Atoms,
    number: int,
    settings: DisplaceSettings,
    *,
    name: str = "structure",
    statistics: DisplaceStatistics | None = None,
) -> Iterator[Atoms]:
    """Displaced copies of one structure, r_a -> r_a + sigma g with normal g, without labels.

    Displacements of atoms that are too close to others are drawn again, only theirs, until none is: rejecting
    whole structures would never end for large ones. Pairs count with their nearest periodic images, an atom's
    own images as well.

    Args:
        parent: the structure; not changed.
        number: of the parent, part of the seed.
        settings: how.
        name: for the error's text and for `info["displaced_from"]`.
        statistics: is added to.

    Raises:
        DataError: the parent itself has atoms closer than the floor; or the floor was not met after
            `max_rounds`.
        OptionsError: a supercell of a structure that is not periodic, or that has a charge or spin.
    """
    base = _supercell(parent, settings.supercell, name)
    if (pair := _too_close(base, settings.floor)).size:
        i, j = pair[0]
        raise DataError(
            f"{name}: {base.symbols[i]}{i} and {base.symbols[j]}{j} are closer than the floor, "
            f"{settings.floor} times the sum of covalent radii, before anything is displaced. Lower --floor"
        )
    for copy in range(settings.copies):
        rng = np.random.default_rng([settings.seed, number, copy])
        displacement, redrawn = _draw(base, settings, rng, name)
        atoms = base.copy()
        atoms.positions += displacement
        atoms.info |= {"displaced_from": name, "displaced_sigma": settings.sigma}
        if statistics is not None:
            statistics.components += displacement.size
            statistics.squares += float((displacement**2).sum())
            statistics.redrawn += redrawn
            if len(statistics.lengths) < 100_000:
                statistics.lengths += np.linalg.norm(displacement, axis=1).tolist()
        yield atoms


def _draw(
    base: Atoms, settings: DisplaceSettings, rng: np.random.Generator, name: str
) -> tuple[NDArray[np.float64], int]:
    displacement = rng.normal(0.0, settings.sigma, (len(base), 3))
    moved, redrawn = base.copy(), 0
    for _ in range(settings.max_rounds):
        moved.positions = base.positions + displacement
        pairs = _too_close(moved, settings.floor)
        if not pairs.size:
            return displacement, redrawn
        again = np.unique(pairs)
        displacement[again] = rng.normal(0.0, settings.sigma, (len(again), 3))
        redrawn += len(again)
    i, j = pairs[0]
    raise DataError(
        f"{name}: {base.symbols[i]}{i} and {base.symbols[j]}{j} ({len(pairs)} such pairs) are still closer "
        f"than {settings.floor} times the sum of covalent radii after {settings.max_rounds} draws with sigma "
        f"{settings.sigma} A. Lower --sigma or --floor"
    )


def _too_close(atoms: Atoms, floor: float) -> NDArray[np.int64]:
    """[pairs, 2] atoms whose distance, with images, is below the floor."""
    if floor == 0:
        return np.empty((0, 2), dtype=np.int64)
    from ase.neighborlist import neighbor_list

    reach = floor * covalent_radii[atoms.numbers]
    if not atoms.pbc.any():  # small molecules: all pairs at once are quicker than cells
        difference = atoms.positions[:, None] - atoms.positions[None]
        near = (difference**2).sum(axis=2) < (reach[:, None] + reach[None]) ** 2
        return np.argwhere(np.triu(near, 1))
    i, j = neighbor_list("ij", atoms, reach)
    return np.stack([i, j], axis=1)[i <= j].astype(np.int64)


def _supercell(parent: Atoms, repeat: tuple[int, int, int], name: str) -> Atoms:
    try:
        repeated = supercell(parent, repeat)
    except (DataError, OptionsError) as error:
        raise type(error)(f"{name}: {error}") from error
    if repeat == (1, 1, 1):
        return repeated
    repeated.arrays[PRIMITIVE] = np.arange(len(repeated)) < len(parent)
    return repeated
