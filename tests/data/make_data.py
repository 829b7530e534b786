"""How `molecules.xyz`, `projected.xyz` and `cells.xyz` were made: ``python tests/data/make_data.py`` writes
them again.

molecules.xyz: H2O, NH3, CH4, HCN, CH3OH, three displaced geometries each, full GFN2-xTB Hessians.
projected.xyz: the first geometry of each, two pairs (v, Hv) in place of the Hessian.
cells.xyz: Cu and a Cu/Au cell of 4 atoms, strained and displaced; ASE's EMT with stress, full Hessians by
differences of its forces.
"""

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.io import write

from hint_plugin.data import HessianLabel, write_label
from hint_plugin.labelling import make_engine, make_labels

HERE = Path(__file__).parent
MOLECULES = ("H2O", "NH3", "CH4", "HCN", "CH3OH")
FRAMES = 3
STEP = 1e-3


def displaced(name: str, rng: np.random.Generator) -> Atoms:
    atoms = molecule(name)
    atoms.positions += rng.normal(scale=0.04, size=(len(atoms), 3))
    return Atoms(atoms.symbols, atoms.positions)


def molecules() -> None:
    rng = np.random.default_rng(1)
    engine = make_engine("gfn2-xtb")
    full, projected = [], []
    for number in range(FRAMES):
        for name in MOLECULES:
            atoms = displaced(name, rng)
            labels = make_labels(engine, atoms, "full")
            atoms.info["REF_energy"] = labels.point.energy
            atoms.arrays["REF_forces"] = labels.point.forces
            pairs = atoms.copy()
            write_label(atoms, labels.hessian)
            full.append(atoms)
            if number == 0:
                write_label(pairs, make_labels(engine, pairs, "projected", n_probes=2, rng=rng).hessian)
                projected.append(pairs)
    write(HERE / "molecules.xyz", full, format="extxyz")
    write(HERE / "projected.xyz", projected, format="extxyz")


def cells() -> None:
    rng = np.random.default_rng(2)
    frames = []
    for number in range(8):
        atoms = bulk("Cu", cubic=True, a=3.7)
        if number % 2:
            atoms.symbols[0] = "Au"
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.08, size=(len(atoms), 3))
        frame = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
        atoms.calc = EMT()
        frame.info["REF_energy"] = atoms.get_potential_energy()
        frame.arrays["REF_forces"] = atoms.get_forces()
        frame.info["REF_stress"] = atoms.get_stress()
        columns = []
        for index in range(3 * len(atoms)):
            forces = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions.flat[index] += sign * STEP
                moved.calc = EMT()
                forces.append(moved.get_forces().ravel())
            columns.append((forces[1] - forces[0]) / (2 * STEP))
        hessian = np.array(columns)
        write_label(
            frame, HessianLabel.full(0.5 * (hessian + hessian.T), provenance={"method": "EMT", "step": STEP})
        )
        frames.append(frame)
    write(HERE / "cells.xyz", frames, format="extxyz")


if __name__ == "__main__":
    molecules()
    cells()
