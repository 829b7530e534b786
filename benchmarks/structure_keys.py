"""How often the key of a structure errs: copies that it takes for others, displacements that it does not see.

    python benchmarks/structure_keys.py [--copies 200]

Copies are rotated, mirrored, shifted, permuted, and rounded to 8 or 6 digits as text files are. Displacements
move one atom of the symmetric structure by 0.01 A (phonopy's default step) in a random direction. Time is
that of one core.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from ase import Atoms
from ase.build import bulk, graphene, molecule
from ase.spacegroup import crystal
from scipy.spatial.transform import Rotation

from hint_plugin.data.structures.identity import structure_keys

STEP = 0.01


def structures() -> dict[str, Atoms]:
    """Symmetric molecules, crystals in primitive cells and supercells, a layer."""
    found = {name: molecule(name) for name in ("CO2", "C2H2", "C6H6", "CH4", "BF3", "C2H4", "CH3CH2OH")}
    rocksalt = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    found |= {"NaCl, 2": bulk("NaCl", "rocksalt", 5.64), "NaCl, 8": rocksalt, "NaCl, 64": rocksalt.repeat(2)}
    found |= {"Si, 2": bulk("Si"), "Cu, 32": bulk("Cu", cubic=True).repeat(2), "Mg, 2": bulk("Mg")}
    found |= {"Fe, 54": bulk("Fe", cubic=True).repeat(3), "ZnO, 4": bulk("ZnO", "wurtzite", a=3.25, c=5.2)}
    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    found["SrTiO3, 40"] = Atoms("SrTiO3", scaled_positions=sites, cell=[3.9] * 3, pbc=True).repeat(2)
    places = [(0, 0, 0), (0.305, 0.305, 0)]
    found["TiO2, 6"] = crystal(["Ti", "O"], places, spacegroup=136, cellpar=[4.59, 4.59, 2.96, 90, 90, 90])
    return found | {"graphene, 8": graphene(size=(2, 2, 1), vacuum=10)}


def copy_of(atoms: Atoms, digits: int, rng: np.random.Generator) -> Atoms:
    """The same structure, written in another way."""
    turn = Rotation.random(random_state=rng).as_matrix() * rng.choice([-1, 1])
    order = rng.permutation(len(atoms))
    positions = (atoms.positions + rng.uniform(-3, 3, 3))[order] @ turn.T
    cell = np.round(atoms.cell.array @ turn.T, 8)
    return Atoms(atoms.numbers[order], np.round(positions, digits), cell=cell, pbc=atoms.pbc)


def displaced(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """One atom moved by `STEP`."""
    found, step = atoms.copy(), rng.normal(size=3)
    found.positions[rng.integers(len(atoms))] += STEP * step / np.linalg.norm(step)
    return found


def rates(atoms: Atoms, copies: int, rng: np.random.Generator) -> tuple[int, int, int, float]:
    """Copies of 8 and 6 digits not known again, displacements not seen, milliseconds a structure."""
    noisy = atoms.copy()
    noisy.positions += rng.normal(0, 0.02, noisy.positions.shape)
    missed = []
    for digits in (8, 6):
        half = [(one, copy_of(one, digits, rng)) for one in (atoms, noisy) for _ in range(copies // 2)]
        missed.append(sum(not set(structure_keys(a)) & set(structure_keys(b)) for a, b in half))
    own = set(structure_keys(atoms))
    start = time.process_time()
    keys = [set(structure_keys(displaced(atoms, rng))) for _ in range(copies)]
    spent = (time.process_time() - start) / copies
    return missed[0], missed[1], sum(bool(own & one) for one in keys), 1e3 * spent


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copies", type=int, default=200, help="of each structure and kind")
    count, rng = parser.parse_args().copies, np.random.default_rng(0)
    print(f"| structure | atoms | 8 digits: missed of {count} | 6 digits | {STEP} A: not seen | ms |")
    print("|---|---|---|---|---|---|")
    total = np.zeros(3, dtype=int)
    found = structures()
    for name, atoms in found.items():
        *errors, spent = rates(atoms, count, rng)
        total += errors
        print(f"| {name} | {len(atoms)} | {' | '.join(map(str, errors))} | {spent:.2f} |")
    print(f"| all, of {count * len(found)} | | {' | '.join(map(str, total))} | |")


if __name__ == "__main__":
    main()
