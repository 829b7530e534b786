"""Cubic force constants of `hint cubic` against phono3py's own finite displacements of the same potential.

    python benchmarks/cubic_constants.py [--crystals Cu Si NaCl MgO] [--distances 0.03 0.01 0.003] [--json F]

Copper is computed on EMT, the others on an AlphaNet with random weights, which is enough to compare two ways
of differentiating it. The supercells are 2 x 2 x 2 conventional cells. phono3py displaces one and two atoms
by each distance and solves for the force constants with its own solver (its defaults, and all displacements
in both directions); or it displaces all atoms at random, in as many supercells as HINT's second differences
take forces, and fits with symfc. The differences are root mean squares over all elements, relative to those
of HINT's best method. The last column is the CPU time of the potential; finding the basis of the symmetry is
in the title.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from rich.console import Console
from rich.table import Table

from hint_plugin.data.structures.unit_cell import to_ase
from hint_plugin.export.checkpoint_to_artifact import export
from hint_plugin.models.alphanet import AlphaNet, AlphaNetConfig
from hint_plugin.potentials.hint_calculator import HintCalculator
from hint_plugin.potentials.on_demand import OnDemand
from hint_plugin.science.phonons.crystals import new_phonopy
from hint_plugin.science.phonons.cubic_constants import (
    PROBE,
    STEPS,
    ThirdDerivatives,
    cubic_basis,
    parameters,
    probes,
    solved,
)
from hint_plugin.science.phonons.cubic_files import need_phono3py

CRYSTALS = {
    "Cu": bulk("Cu", "fcc", a=3.61, cubic=True),
    "Si": bulk("Si", "diamond", a=5.43, cubic=True),
    "NaCl": bulk("NaCl", "rocksalt", a=5.64, cubic=True),
    "MgO": bulk("MgO", "rocksalt", a=4.21, cubic=True),
}


def potential_of(name: str, folder: Path) -> Any:
    """EMT for copper, else a small AlphaNet with random weights, exported."""
    if name == "Cu":
        return EMT()
    torch.manual_seed(0)
    atoms = CRYSTALS[name]
    numbers = sorted({int(z) for z in atoms.numbers})
    config = AlphaNetConfig(
        channels=8, node_width=1, layers=1, frame_channels=4, edge_channels=8, cutoff=3.5, bessel=4
    )
    model = AlphaNet(
        numbers, config, average_neighbours=6.0, atomic_energies=[0.0] * len(numbers), scale=2.0
    ).double()
    torch.save(model, folder / name)
    export(folder / name, folder / f"{name}.hint.pt")
    return HintCalculator(folder / f"{name}.hint.pt")


def hints(name: str, calculator: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Force constants by each method that the potential has, the best one first."""
    cell = new_phonopy(CRYSTALS[name], 2)
    large = to_ase(cell.supercell, CRYSTALS[name])
    clock = time.process_time()
    basis = cubic_basis(cell)
    symmetry = time.process_time() - clock
    vectors = probes(basis, len(large))
    found, rows = {}, []
    for method in ("exact", "products", "forces") if name != "Cu" else ("forces",):
        for step in (STEPS[method], 0.1 * STEPS[method]) if method == "forces" else (STEPS[method],):
            still = large.copy()
            still.calc = calculator
            rest = still.get_forces() if method == "forces" else None
            work = ThirdDerivatives(OnDemand.of(calculator), method, step, rest)()
            clock = time.process_time()
            thirds = []
            for v in vectors:
                frame = large.copy()
                frame.arrays[PROBE] = v.copy()
                thirds.append(work("", frame, lambda text: None)[1]["third"])
            seconds = time.process_time() - clock
            label = f"hint, {method}" + (f", {step:g} A" if step else "")
            found[label] = solved(basis, vectors[:-1], np.array(thirds[:-1]))
            count = {"exact": f"{len(vectors)} Hv and thirds", "products": f"{2 * len(vectors)} Hv"}
            cost = count.get(method, f"{2 * len(vectors) + 1} forces")
            rows.append({"how": label, "cost": cost, "seconds": seconds, "symmetry_seconds": symmetry})
    rows[0] |= {"parameters": parameters(basis), "vectors": len(vectors)}
    return found, rows


def phono3pys(name: str, calculator: Any, distance: float, both: bool) -> tuple[Any, dict[str, Any]]:
    """Force constants by finite displacements and phono3py's own solver."""
    cell = new_phonopy(CRYSTALS[name], 2)
    found = need_phono3py().Phono3py(
        cell.unitcell, supercell_matrix=cell.supercell_matrix, primitive_matrix=cell.primitive_matrix
    )
    found.generate_displacements(distance=distance, is_plusminus=True if both else "auto")
    clock = time.process_time()
    forces = [_forces(one, calculator) for one in found.supercells_with_displacements]
    seconds = time.process_time() - clock
    found.forces = np.array(forces)
    found.produce_fc3(symmetrize_fc3r=True, is_compact_fc=True)
    row = {
        "how": f"phono3py, {distance:g} A" + (", both directions" if both else ""),
        "cost": f"{len(forces)} forces",
        "seconds": seconds,
    }
    return found.fc3, row


def random_fit(name: str, calculator: Any, distance: float, count: int) -> tuple[Any, dict[str, Any]]:
    """Force constants by phono3py's random displacements and symfc, harmonic and cubic ones together."""
    cell = new_phonopy(CRYSTALS[name], 2)
    found = need_phono3py().Phono3py(
        cell.unitcell, supercell_matrix=cell.supercell_matrix, primitive_matrix=cell.primitive_matrix
    )
    found.generate_displacements(distance=distance, number_of_snapshots=count, random_seed=1)
    clock = time.process_time()
    found.forces = np.array([_forces(one, calculator) for one in found.supercells_with_displacements])
    seconds = time.process_time() - clock
    found.produce_fc3(fc_calculator="symfc", is_compact_fc=True)
    row = {"how": f"symfc, random, {distance:g} A", "cost": f"{count} forces", "seconds": seconds}
    return found.fc3, row


def _forces(cell: Any, calculator: Any) -> Any:
    atoms = Atoms(cell.symbols, cell=cell.cell, scaled_positions=cell.scaled_positions, pbc=True)
    atoms.calc = calculator
    return np.array(atoms.get_forces())


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--crystals", nargs="+", default=list(CRYSTALS), choices=list(CRYSTALS))
    parser.add_argument("--distances", type=float, nargs="+", default=[0.03, 0.01, 0.003])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    everything = {}
    for name in options.crystals:
        with tempfile.TemporaryDirectory() as folder:
            calculator = potential_of(name, Path(folder))
            found, rows = hints(name, calculator)
            best = next(iter(found.values())) if name != "Cu" else list(found.values())[-1]
            for row, constants in zip(rows, found.values(), strict=True):
                row["difference"] = _apart(constants, best)
            for both in (False, True):
                for distance in options.distances:
                    constants, row = phono3pys(name, calculator, distance, both)
                    rows.append(row | {"difference": _apart(constants, best)})
            for distance in options.distances:
                count = int(rows[0]["vectors"])
                constants, row = random_fit(name, calculator, distance, 2 * count + 1)
                rows.append(row | {"difference": _apart(constants, best)})
        everything[name] = rows
        title = (
            f"{name}: {rows[0]['parameters']} parameters; {rows[0]['symmetry_seconds']:.0f} s for the basis"
        )
        table = Table(title=title)
        for column in ("", "evaluations", "difference", "CPU s"):
            table.add_column(column, justify="left" if not column else "right")
        for row in rows:
            table.add_row(row["how"], row["cost"], f"{row['difference']:.1e}", f"{row['seconds']:.1f}")
        Console(width=110).print(table)
    if options.json:
        options.json.write_text(json.dumps(everything, indent=2))


def _apart(one: Any, other: Any) -> float:
    return float(np.sqrt(((one - other) ** 2).mean() / (other**2).mean()))


if __name__ == "__main__":
    main()
