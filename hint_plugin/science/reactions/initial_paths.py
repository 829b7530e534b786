"""Other initial paths between the same two molecules, and a few steps of an elastic band on them.

A geodesic knows nothing of energies, and its top may lie next to a higher saddle. These are the other ways:

- **exchanged atoms**: atoms of an element that are bonded to the same atom, and to nothing else, change their
  places in the product, as the hydrogens of a CH2 group. It is the same molecule.
- **mirrored product**: the mirror image, unless the product has an atom with four different neighbours, of
  which it would be the other enantiomer.
- **detours**: the middle of the geodesic with random displacements, as a point that the path goes through.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.labels.ase_energies import with_energy
from hint_plugin.data.structures.bonds import bonds, environments
from hint_plugin.data.structures.constraints import free_coordinates
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.reactions.image_evaluation import ImageEvaluation
from hint_plugin.science.reactions.neb import band_of
from hint_plugin.science.reactions.paths import interpolate

BAND_IMAGES, BAND_STEPS = 9, 40
"""Ends included; for bicyclobutane the band has left the higher saddle after 30 steps."""
_BAND_FORCE, _LONGEST_STEP, _SPRING = 0.3, 0.1, 0.1  # eV/A, A, eV/A^2
_DETOUR = 0.4  # A, of each coordinate
_SAME_GEOMETRY = 0.05  # A: three hydrogens of a methyl group in turn are a rotation
_ORDERS = 200  # of exchanged atoms that are compared


@dataclass(frozen=True)
class InitialPath:
    """Images with their ends, and in words where they come from."""

    name: str
    images: list[Atoms]


def other_paths(reactant: Atoms, product: Atoms, straight: list[Atoms], count: int) -> list[InitialPath]:
    """At most `count` paths beside the geodesic, ends that are nearest to each other and detours in turn.

    None where atoms are held. The same arguments give the same paths.

    Args:
        reactant, product: the ends.
        straight: the geodesic between them.
        count: how many.
    """
    if count < 1 or not free_coordinates(reactant).all:
        return []
    ends = sorted(other_ends(product), key=lambda end: rmsd(reactant, end[1]))
    found: list[InitialPath] = []
    known = [product]
    for name, end in ends:
        if len(found) < -(-count // 2) and all(rmsd(one, end) > _SAME_GEOMETRY for one in known):
            known.append(end)
            found.append(InitialPath(name, interpolate(reactant, end, BAND_IMAGES)))
    for number in range(1, count - len(found) + 1):
        found.append(InitialPath(f"detour {number}", _detour(reactant, product, straight, number)))
    return found


def other_ends(product: Atoms) -> list[tuple[str, Atoms]]:
    """The product with exchanged atoms, mirrored, and both; in words, and the geometry."""
    found = []
    mirrors = [False] if has_handedness(product) else [False, True]
    for mirrored, order in itertools.product(mirrors, itertools.islice(_orders(product), _ORDERS)):
        exchanged = np.flatnonzero(order != np.arange(len(order)))
        if not mirrored and not exchanged.size:
            continue  # the product itself
        end = product.copy()
        end.positions = product.positions[order] * ([-1, 1, 1] if mirrored else [1, 1, 1])
        words = ["mirrored product"] * mirrored
        words += [f"atoms {', '.join(map(str, exchanged))} exchanged"] * bool(exchanged.size)
        found.append((", ".join(words), end))
    return found


def _orders(molecule: Atoms) -> Iterator[NDArray]:
    """Orders of the atoms that leave the molecule as it is, bond by bond; the first leaves all in place."""
    bonded = bonds(molecule)
    groups = []
    for centre in range(len(molecule)):
        ends = [k for k in np.flatnonzero(bonded[centre]) if bonded[k].sum() == 1]
        for number in sorted(set(molecule.numbers[ends].tolist())):
            alike = [int(k) for k in ends if molecule.numbers[k] == number]
            if len(alike) > 1:
                groups.append(alike)
    for chosen in itertools.product(*(itertools.permutations(group) for group in groups)):
        order = np.arange(len(molecule))
        for group, places in zip(groups, chosen, strict=True):
            order[group] = places
        yield order


def has_handedness(molecule: Atoms) -> bool:
    """Whether an atom has four neighbours that all differ, by the bonds and elements around them."""
    bonded = bonds(molecule)
    kinds = environments(molecule.numbers, bonded)
    return any(row.sum() == 4 and len(set(kinds[row].tolist())) == 4 for row in bonded)


def _detour(reactant: Atoms, product: Atoms, straight: list[Atoms], number: int) -> list[Atoms]:
    middle, rng = straight[len(straight) // 2].copy(), np.random.default_rng([number, len(reactant)])
    middle.positions = middle.positions + rng.normal(scale=_DETOUR, size=middle.positions.shape)
    return interpolate(reactant, product, BAND_IMAGES, through=middle)


def short_band(images: list[Atoms], calculator: Any) -> tuple[list[Atoms], list[float], int]:
    """A few steps of an elastic band with a climbing image: down from where the path was drawn blindly.

    Args:
        images: of a path, with its ends; as many as `BAND_IMAGES` of them are taken.
        calculator: of ASE.

    Returns:
        Images and energies (eV), ends included, and how many geometries were evaluated.

    Raises whatever the calculator raises.
    """
    from ase.optimize import FIRE

    chosen = [images[round(k)].copy() for k in np.linspace(0, len(images) - 1, BAND_IMAGES)]
    evaluate = ImageEvaluation(chosen[0], calculator)
    energies, forces = evaluate(np.array([atoms.positions for atoms in chosen]))
    for k in (0, -1):
        chosen[k] = with_energy(chosen[k], energies[k], forces[k])
    band = band_of(chosen, evaluate, k=_SPRING, climb=True, method="improvedtangent")
    FIRE(band, logfile=None, maxstep=_LONGEST_STEP).run(fmax=_BAND_FORCE, steps=BAND_STEPS)
    for atoms in chosen:
        atoms.calc = calculator
    return (
        chosen,
        [float(energies[0]), *map(float, band.energies[1:-1]), float(energies[-1])],
        evaluate.evaluated,
    )
