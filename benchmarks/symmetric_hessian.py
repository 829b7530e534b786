"""The exact Hessian of symmetric molecules: products H v, time, and the error against all 3N products.

    python benchmarks/symmetric_hessian.py [--model alphanet-gfn2] [--dtype float64] [--molecules CH4 C60]

The molecules have the geometries of ASE's G2 set, moved to where the operations of their point group put
atoms on each other to rounding. `products`: of `HintCalculator.get_hessian`, one for the check included;
`3N - 6`: without the point group. Times are seconds of CPU, one thread, the best of three (C60: one). The
error is the largest element of the difference to the matrix of all 3N products, relative to the largest one.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from rich.console import Console
from rich.table import Table

from hint_plugin.core.invariance import invariant_hessian
from hint_plugin.core.operator import HessianOperator
from hint_plugin.core.point_group import point_group, symmetrised
from hint_plugin.potentials.artifact_potential import ArtifactPotential
from hint_plugin.pretrained import or_path

MOLECULES = ("H2O", "NH3", "CH4", "C2H6", "CH3CH2OH", "C6H6", "C60")


def symmetric(name: str) -> Atoms:
    """Symmetric to rounding."""
    found = molecule(name)
    places = symmetrised(found.positions, found.numbers, 0.02)
    if places is not None:
        found.positions = places
    return found


class Counted(ArtifactPotential):
    """Counts products; `few` says whether the point group is used."""

    asked = 0
    few = True

    def hessian(self, atoms: Atoms, *, symmetrise: bool = True) -> np.ndarray:
        """As that of the artifact, counted."""
        graph, _, gradient, positions = self._differentiable([atoms])
        forces = self._forces(graph, gradient)
        operator = HessianOperator.from_forces(forces, positions)
        mv = operator.mv

        def counted(v: torch.Tensor) -> torch.Tensor:
            self.asked += len(v)
            return mv(v)

        operator.mv = counted  # type: ignore[method-assign]
        if not symmetrise:
            return operator.dense().cpu().double().numpy()
        kinds = atoms.numbers if self.few else None
        return invariant_hessian(operator, forces, kinds=kinds).cpu().double().numpy()


def timed(work: Callable[[], Any], times: int) -> tuple[Any, float]:
    """What the work returns, and its CPU time, the best of several."""
    best = float("inf")
    for _ in range(times):
        start = time.process_time()
        found = work()
        best = min(best, time.process_time() - start)
    return found, best


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="alphanet-gfn2")
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--molecules", nargs="+", default=MOLECULES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # C60 is outside of what the model was trained on
    potential = Counted(or_path(Path(arguments.model)), dtype=arguments.dtype)
    table = Table("molecule", "operations", "3N - 6", "products", "s of 3N - 6", "s", "error")
    for name in arguments.molecules:
        atoms, found = symmetric(name), []
        group = point_group(atoms.positions, atoms.numbers, 2e-8)
        for few in (False, True):
            potential.few = few
            potential.asked = 0
            times = 3 if len(atoms) < 20 else 1
            matrix, seconds = timed(lambda atoms=atoms: potential.hessian(atoms), times)
            found.append((matrix, seconds, potential.asked // times))
        whole = potential.hessian(atoms, symmetrise=False)
        error = np.abs(found[1][0] - whole).max() / np.abs(whole).max()
        table.add_row(
            name,
            str(1 if group is None else len(group.matrices)),
            *(str(one[2]) for one in found),
            *(f"{one[1]:.3f}" for one in found),
            f"{error:.0e}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
