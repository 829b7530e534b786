"""Geometries of small molecules and reactions, made with ASE: starting points for demonstrations and tests.

Molecules are ASE's G2 set; reactions are image-dependent pair-potential paths (Smidstrup et al., J. Chem.
Phys. 140, 214106 (2014)) between two isomers whose atoms are in the same order. All are shaken by Gaussian
displacements. Nothing here has a label: that is what ``hint label`` is for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.mep import NEB

MOLECULES = (
    *("CH3OH", "CH3CH2OH", "H2CO", "HCOOH", "CH3CHO", "C2H4"),
    *("C2H6", "H3CNH2", "CH4", "CH3CN", "C2H2", "H2O"),
)
HELD_OUT = ("CH3COCH3", "CH3OCH3", "CH3CONH2", "HCOOCH3", "C3H8", "CH3CH2NH2")
REACTIONS = ("HCN -> HNC", "NH3 inversion", "H2O2 torsion")


def reaction_ends(name: str) -> tuple[Atoms, Atoms]:
    """Both ends of one of the `REACTIONS`, atoms in the same order (A).

    Raises:
        KeyError: an unknown name.
    """
    if name == "HCN -> HNC":
        return _hydrogen_around_cn(0.0), _hydrogen_around_cn(1.0)
    if name == "NH3 inversion":
        first = molecule("NH3")
        second = first.copy()
        second.positions[:, 2] *= -1
        second.positions[:, 2] += first.positions[1:, 2].mean() - second.positions[1:, 2].mean()
        return first, second
    if name == "H2O2 torsion":
        first = molecule("H2O2")
        second = first.copy()
        second.set_dihedral(2, 0, 1, 3, 30, indices=[3])
        return first, second
    raise KeyError(f"no reaction {name!r}; there are {', '.join(REACTIONS)}")


def reaction_path(name: str, images: int = 9) -> list[Atoms]:
    """``images`` structures from one end of a reaction to the other."""
    first, last = reaction_ends(name)
    if name == "HCN -> HNC":  # hydrogen walks around: a straight path would go through the carbon
        return [_hydrogen_around_cn(t) for t in np.linspace(0, 1, images)]
    path = [first, *(first.copy() for _ in range(images - 2)), last]
    NEB(path, method="improvedtangent").interpolate(method="idpp")
    for atoms in path:
        atoms.calc = None
    return path


def _hydrogen_around_cn(t: float) -> Atoms:
    """H on a half ellipse around the C-N bond, from carbon's end (HCN, t = 0) to nitrogen's (HNC, t = 1)."""
    angle = np.pi * (1 - t)
    hydrogen = (0.54 + 1.61 * np.cos(angle), 1.15 * np.sin(angle), 0.0)
    return Atoms("CNH", [(0, 0, 0), (1.16, 0, 0), hydrogen])


def shaken(
    names: Sequence[str], count: int, *, sigmas: Sequence[float] = (0.03, 0.08), seed: int = 0
) -> list[Atoms]:
    """``count`` displaced geometries, taking ``names`` (molecules or `REACTIONS`) in turn.

    Args:
        names: of ASE's G2 molecules, or reactions; of a reaction, an image is drawn at random.
        count: number of structures.
        sigmas: standard deviations of the displacements (A), alternating from round to round.
        seed: of all random numbers here.

    Returns:
        structures with ``info["config_type"]`` (the name) and ``info["charge"]`` = 0.
    """
    rng = np.random.default_rng(seed)
    paths = {name: reaction_path(name) for name in names if name in REACTIONS}
    frames = []
    for number in range(count):
        name = names[number % len(names)]
        atoms = paths[name][rng.integers(len(paths[name]))].copy() if name in paths else molecule(name)
        sigma = sigmas[(number // len(names)) % len(sigmas)]
        atoms.positions += rng.normal(0.0, sigma, atoms.positions.shape)
        plain = Atoms(atoms.numbers, atoms.positions)
        plain.info = {"config_type": name.replace(" ", "_"), "charge": 0}
        frames.append(plain)
    return frames
