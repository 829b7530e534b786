"""What docs/jobs needs beside the commands: two small models, and files as ORCA and Gaussian write them.

    python examples/jobs/make.py molecules   molecules.model.gz: MACE, trained on GFN2-xTB energies and forces
    python examples/jobs/make.py crystals    crystals.model.gz: MACE, distilled from CHGNet (chgnet)
    python examples/jobs/make.py hessians    hessians/: GFN1-xTB, in the files of ORCA and of Gaussian

The models stand in for MACE-OFF and MACE-MP where those cannot be downloaded: they are of the same class and
are used by the same commands. The files in this folder were made by these commands; no test makes them again.
"""

from __future__ import annotations

import gzip
import io
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.optimize import BFGS
from ase.units import Bohr, Hartree

from hint_plugin.data import write_frames
from hint_plugin.external.hessian_files import orca_hess
from hint_plugin.potentials.hint_calculator import EngineCalculator
from hint_plugin.potentials.registry import make_engine

HERE = Path(__file__).parent
LEARNT = [
    *("H2O", "CH4", "NH3", "H2CO", "HCN", "C2H2", "C2H4", "CH3OH", "H3CNH2", "HCOOH", "C2H6", "CH3CN"),
    *("H2CCO", "CH2OCH2", "OCHCHO", "H2O2"),
]
HELD_OUT = ["CH3CHO", "CH3OCH3", "CH3CH2OH", "C3H4_C3v"]
MOLECULES = [*LEARNT, *HELD_OUT, "C3H6_Cs", "CH3CH2NH2", "HCOOCH3", "CH3CONH2"]
"""ASE's names, of molecules of G2."""
METHOD = "GFN1-xTB"
ROCK_SALT = {"NaCl": 5.70, "KCl": 6.38, "MgO": 4.25}
"""Lattice constants in A, near those of PBE."""
MACE = (
    "--model MACE --num_channels 16 --r_max 5.0 --energy_weight 10 --lr 0.02 --scheduler ExponentialLR "
    "--ema --default_dtype float64 --seed 1 --error_table PerAtomMAE --plot False --valid_fraction 0.1"
)


def run(line: str, folder: Path) -> None:
    print(f"$ {line}", flush=True)
    subprocess.run(shlex.split(line), cwd=folder, check=True)


def lone_molecules() -> list[Atoms]:
    """Without the magnetic moments that ASE gives some of them."""
    return [Atoms(one.numbers, one.positions, info={"name": name}) for name, one in _named(MOLECULES)]


def _named(names: list[str]) -> list[tuple[str, Atoms]]:
    return [(name, molecule(name)) for name in names]


def save(trained: Path, to: Path) -> None:
    """Rounded to single precision and compressed, which makes it a tenth as large."""
    written = io.BytesIO()
    torch.save(torch.load(trained, weights_only=False).float().double(), written)
    to.write_bytes(gzip.compress(written.getvalue(), mtime=0))


def molecules(folder: Path) -> None:
    write_frames(folder / "molecules.xyz", lone_molecules())
    for sigma, seed in ((0.03, 1), (0.1, 2)):
        run(
            f"hint sample displace molecules.xyz -o {sigma}.json --extract {sigma}.xyz --copies 6 "
            f"--sigma {sigma} --seed {seed}",
            folder,
        )
    run("hint label 0.03.xyz 0.1.xyz -o train.xyz --engine gfn2-xtb --hessian none", folder)
    run(
        f"mace_run_train --name molecules --train_file train.xyz --max_L 1 --E0s average {MACE} "
        "--hint_kernels fast --batch_size 8 --max_num_epochs 55 --lr_scheduler_gamma 0.96",
        folder,
    )
    save(folder / "molecules.model", HERE / "molecules.model.gz")


def crystals(folder: Path) -> None:
    cells = [bulk(name, "rocksalt", a=a, cubic=True) for name, a in ROCK_SALT.items()]
    strained = []
    for cell in cells:
        for scale in (0.96, 0.98, 1.0, 1.02, 1.04):
            one = cell.copy()
            one.set_cell(cell.cell * scale, scale_atoms=True)
            strained.append(one)
    write_frames(folder / "cells.xyz", strained)
    for sigma, seed in ((0.05, 1), (0.15, 2)):
        run(
            f"hint sample displace cells.xyz -o {sigma}.json --extract {sigma}.xyz --copies 5 "
            f"--sigma {sigma} --seed {seed}",
            folder,
        )
    run(
        "hint label 0.05.xyz 0.15.xyz -o train.xyz --hessian none --engine calculator "
        "-e calculator=chgnet.model.dynamics:CHGNetCalculator",
        folder,
    )
    run(
        f"mace_run_train --name crystals --train_file train.xyz --max_L 0 --E0s average {MACE} "
        "--hint_kernels fast --batch_size 5 --max_num_epochs 40 --lr_scheduler_gamma 0.95",
        folder,
    )
    save(folder / "crystals.model", HERE / "crystals.model.gz")


def hessians(folder: Path) -> None:
    """ORCA's .hess with .engrad for the molecules that are learnt, Gaussian's .fchk for those held out."""
    out = HERE / "hessians"
    out.mkdir(exist_ok=True)
    for name in [*LEARNT, *HELD_OUT]:
        atoms = Atoms(molecule(name).numbers, molecule(name).positions)
        atoms.rattle(0.01, seed=1)
        atoms.calc = EngineCalculator(make_engine(METHOD.lower()))
        BFGS(atoms, logfile=None).run(fmax=0.005)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        hessian = atoms.calc.get_hessian(atoms)
        write(out, name, atoms, energy, forces, (hessian + hessian.T) / 2)


def write(out: Path, name: str, atoms: Atoms, energy: float, forces: np.ndarray, hessian: np.ndarray) -> None:
    if name in HELD_OUT:
        (out / f"{name}.fchk").write_text(fchk(name, atoms, energy, forces, hessian))
        return
    (out / f"{name}.hess").write_text(orca_hess(atoms, energy, hessian))
    (out / f"{name}.engrad").write_text(engrad(atoms, energy, forces))


def engrad(atoms: Atoms, energy: float, forces: np.ndarray) -> str:
    """ORCA's file of energy and gradient, in atomic units."""
    lines = ["#", "# Number of atoms", "#", f" {len(atoms)}"]
    lines += ["#", "# The current total energy in Eh", "#", f"{energy / Hartree:22.12f}"]
    lines += ["#", "# The current gradient in Eh/bohr", "#"]
    lines += [f"{-force * Bohr / Hartree:21.12f}" for force in np.ravel(forces)]
    lines += ["#", "# The atomic numbers and current coordinates in Bohr", "#"]
    for number, position in zip(atoms.numbers, atoms.positions / Bohr, strict=True):
        lines.append(f"{number:4d}" + "".join(f"{x:15.9f}" for x in position))
    return "\n".join([*lines, ""])


def fchk(name: str, atoms: Atoms, energy: float, forces: np.ndarray, hessian: np.ndarray) -> str:
    """Of Gaussian's formatted checkpoint: geometry, energy, gradient and force constants."""
    rows = np.tril_indices(3 * len(atoms))
    text = f"{name}\n{'Freq':10}{METHOD}\n"
    for label, value in (("Number of atoms", len(atoms)), ("Charge", 0), ("Multiplicity", 1)):
        text += f"{label:43}I{value:17d}\n"
    text += _block("Atomic numbers", atoms.numbers)
    text += _block("Current cartesian coordinates", atoms.positions / Bohr)
    text += _block("Real atomic weights", atoms.get_masses())
    text += f"{'Total Energy':43}R{energy / Hartree:27.15E}\n"
    text += _block("Cartesian Gradient", -forces * Bohr / Hartree)
    return text + _block("Cartesian Force Constants", hessian[rows] * Bohr**2 / Hartree)


def _block(label: str, values: np.ndarray) -> str:
    flat = np.ravel(values)
    whole = flat.dtype.kind == "i"
    per_line, form = (6, "12d") if whole else (5, "16.8E")
    text = f"{label:43}{'I' if whole else 'R'}   N={len(flat):12d}\n"
    for start in range(0, len(flat), per_line):
        text += "".join(f"{x:{form}}" for x in flat[start : start + per_line]) + "\n"
    return text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for task in sys.argv[1:] or sys.exit(__doc__):
            {"molecules": molecules, "crystals": crystals, "hessians": hessians}[task](Path(scratch))
