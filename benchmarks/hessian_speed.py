"""What an exact Hessian of a molecule costs, in energy-and-forces evaluations of the same exported model.

    python benchmarks/hessian_speed.py [--atoms 9 20] [--rounds 3] [--threads 1] [--device cpu] [--json F]

An AlphaNet of size small and a MACE of 32x0e + 32x1o, random weights, float32, 5 A. The 3N products of a
Hessian share one graph; "one by one" makes a backward pass for each, "together" as many in a pass as
`hint_plugin.core.hvp.ATOMS_TOGETHER` says. The ways take turns in every round; medians.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from artifact_speed import checkpoints
from ase import Atoms
from ase.build import molecule
from rich.console import Console
from rich.table import Table

from hint_plugin.core import hvp
from hint_plugin.export.checkpoint_to_artifact import export
from hint_plugin.potentials.artifact_potential import Potential


def cluster(count: int) -> Atoms:
    """So many atoms of ethanol molecules in a heap."""
    heap = Atoms()
    for k in range(-(-count // 9)):
        one = molecule("CH3CH2OH")
        one.translate((3.2 * (k % 2), 3.2 * (k // 2 % 2), 3.2 * (k // 4)))
        heap += one
    return heap[:count]


def clocked(potential: Potential, atoms: Atoms, together: int | None) -> float:
    """Seconds of a Hessian, or of energy and forces (None)."""
    hvp.ATOMS_TOGETHER = together or 0
    start = time.perf_counter()
    if together is None:
        potential.evaluate([atoms])
    else:
        potential.hessian(atoms)
    if potential.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--atoms", type=int, nargs="+", default=[9, 20])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    ways = {"E+F": None, "one by one": 1, "together": hvp.ATOMS_TOGETHER}
    rows, rng = [], np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for checkpoint in checkpoints(Path(folder)):
            file = checkpoint.with_suffix(".hint.pt")
            export(checkpoint, file)
            potential = Potential(file, device=options.device)
            for count in options.atoms:
                atoms, seconds = cluster(count), {way: [] for way in ways}
                for _ in range(options.rounds + 1):
                    atoms.positions += rng.normal(scale=0.003, size=atoms.positions.shape)
                    for way, together in ways.items():
                        seconds[way].append(clocked(potential, atoms, together))
                medians = {way: 1e3 * float(np.median(times[1:])) for way, times in seconds.items()}
                rows.append({"model": potential.metadata.architecture, "atoms": count, **medians})
    table = Table(title=f"ms, {options.device}, {options.threads} thread(s)")
    for name in ("model", "atoms", *ways, "Hessian / E+F", "gain"):
        table.add_column(name, justify="right")
    for row in rows:
        times = [row[way] for way in ways]
        ratios = [f"{times[2] / times[0]:.0f}", f"{times[1] / times[2]:.2f}"]
        table.add_row(row["model"], str(row["atoms"]), *(f"{t:.1f}" for t in times), *ratios)
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
