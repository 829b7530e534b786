"""What it saves that a band evaluates its images together, and each of them once a step.

    python benchmarks/band_batches.py [--steps 40] [--images 9] [--potentials alphanet-gfn2 gfn2-xtb]
        [--ends REACTANT.xyz PRODUCT.xyz]

The same band is relaxed twice, from the same geodesic path, with the same springs and as many steps of FIRE:
by ASE alone with one calculator for all images, which evaluates each image about three times a step, and as
`hint neb` does it. Without --ends it is CH3NC -> CH3CN. Evaluations are those of the images that move; CPU
times are of one thread; the last columns are the largest differences of energies (eV) and forces (eV/A).
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from ase import Atoms
from ase.mep import NEB
from ase.optimize import FIRE
from reaction_methods import isocyanide
from rich.console import Console
from rich.table import Table

from hint_plugin.data import read_frames
from hint_plugin.data.labels.ase_energies import with_energy
from hint_plugin.potentials.on_demand import PotentialSpec
from hint_plugin.science.molecules import optimize
from hint_plugin.science.reactions.image_evaluation import ImageEvaluation
from hint_plugin.science.reactions.neb import band_of
from hint_plugin.science.reactions.paths import interpolate


def relaxed(band: Any, steps: int) -> float:
    """Seconds of CPU time of so many steps."""
    start = time.process_time()
    FIRE(band, logfile=None).run(fmax=1e-9, steps=steps)
    return time.process_time() - start


def counted(calculator: Any) -> tuple[Any, list[int]]:
    """The calculator, and where it counts the structures that it evaluates."""
    count, one, many = [0], calculator._evaluate, calculator.potential.evaluate

    def single(atoms: Atoms) -> Any:
        count[0] += 1
        return one(atoms)

    def several(frames: list[Atoms]) -> Any:
        count[0] += len(frames)
        return many(frames)

    calculator._evaluate, calculator.potential.evaluate = single, several
    return calculator, count


def measured(potential: str, ends: list[Atoms], images: int, steps: int) -> list[str]:
    """A row of the table."""
    calculator = PotentialSpec.of(potential).calculator()
    for end in ends:
        end.calc = calculator
    start = interpolate(*[optimize(end).atoms for end in ends], images)
    options: dict[str, Any] = {"k": 0.1, "climb": False, "method": "improvedtangent"}
    found = []
    for together in (False, True):
        path = [atoms.copy() for atoms in start]
        calculator, count = counted(PotentialSpec.of(potential).calculator())
        for atoms in path:
            atoms.calc = calculator
        for k in (0, -1):
            path[k] = with_energy(path[k], path[k].get_potential_energy(), path[k].get_forces())
        count[0] = 0
        evaluate = ImageEvaluation(path[0], calculator)
        band = (
            band_of(path, evaluate, **options)
            if together
            else NEB(path, allow_shared_calculator=True, **options)
        )
        seconds = relaxed(band, steps)
        found.append((count[0], seconds, band.energies[1:-1], band.real_forces[1:-1]))
    (before, slow, e0, f0), (after, fast, e1, f1) = found
    numbers = [f"{(steps + 1) * (images - 2)}", f"{before}", f"{after}", f"{slow:.2f}", f"{fast:.2f}"]
    return [
        potential,
        *numbers,
        f"{slow / fast:.1f}",
        f"{np.abs(e1 - e0).max():.0e}",
        f"{np.abs(f1 - f0).max():.0e}",
    ]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--images", type=int, default=9)
    parser.add_argument("--potentials", nargs="+", default=["alphanet-gfn2", "gfn2-xtb"])
    parser.add_argument("--ends", type=Path, nargs=2)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    pair = isocyanide()
    ends = [pair.reactant, pair.product]
    if options.ends:
        ends = [read_frames(path)[0] for path in options.ends]
    columns = (
        "potential",
        "images to evaluate",
        "evaluated by ASE",
        "by hint neb",
        "CPU s by ASE",
        "by hint neb",
    )
    table = Table(*columns, "ratio", "energies", "forces")
    for potential in options.potentials:
        table.add_row(*measured(potential, ends, options.images, options.steps))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
