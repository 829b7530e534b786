"""How long molecules stay whole in hot molecular dynamics: main() of MODEL START.xyz -o FILE [--ps 2].

MODEL: a file, or the name of an engine: gfn2-xtb. Langevin at 1500 K, 0.5 fs. A molecule is lost when two
atoms come nearer than 0.6 A, when it falls into parts (no chain of neighbours within 1.8 times the sum of
covalent radii), or when a number is not finite. Writes JSON: of each molecule its name and how many ps it
lasted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.data import covalent_radii
from ase.md.langevin import Langevin
from scipy.sparse.csgraph import connected_components

from hint_plugin.data import read_frames
from hint_plugin.data.file_io import write_json
from hint_plugin.labelling import EngineCalculator, make_engine
from hint_plugin.potentials.hint_calculator import HintCalculator
from hint_plugin.science.molecules.dynamics import thermalise

TOO_NEAR, APART = 0.6, 1.8
STEP, CHECK = 0.5, 20  # fs; steps


def whole(atoms: Atoms) -> bool:
    """Neither broken nor collapsed."""
    distances = atoms.get_all_distances()
    if not np.isfinite(distances).all():
        return False
    np.fill_diagonal(distances, 10.0)
    radii = covalent_radii[atoms.numbers]
    near = distances < APART * (radii[:, None] + radii[None])
    return bool(distances.min() > TOO_NEAR and connected_components(near)[0] == 1)


def lasted(atoms: Atoms, calculator: Calculator, ps: float, temperature: float, seed: int) -> float:
    """ps."""
    rng = np.random.default_rng(seed)
    atoms = Atoms(atoms.symbols, atoms.positions)
    atoms.calc = calculator
    thermalise(atoms, temperature, rng)
    run = Langevin(atoms, STEP * units.fs, temperature_K=temperature, friction=0.02 / units.fs, rng=rng)
    for check in range(round(1000 * ps / STEP / CHECK)):
        run.run(CHECK)
        if not whole(atoms):
            return check * CHECK * STEP / 1000
    return ps


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("start", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--ps", type=float, default=2.0)
    parser.add_argument("--temperature", type=float, default=1500.0)
    parser.add_argument("--molecules", type=int, default=4, help="of the file, the largest")
    options = parser.parse_args()
    is_file = Path(options.model).exists()
    calculator = HintCalculator(options.model) if is_file else EngineCalculator(make_engine(options.model))
    chosen = sorted(read_frames(options.start), key=len)[-options.molecules :]
    rows = [
        {
            "name": str(atoms.info.get("name", atoms.symbols)),
            "atoms": len(atoms),
            "ps": lasted(atoms, calculator, options.ps, options.temperature, seed),
        }
        for seed, atoms in enumerate(chosen)
    ]
    write_json(options.output, {"ps": options.ps, "temperature": options.temperature, "molecules": rows})
