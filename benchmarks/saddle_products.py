"""A saddle search of many atoms: what it asks of a model, with whole Hessians and with products H v alone.

    python benchmarks/saddle_products.py [--carbons 16] [--rattle 0.05] [--model alphanet-gfn2]

Vinyl alcohol -> acetaldehyde, with an alkyl chain in place of a hydrogen of the carbon that gets the
hydrogen: 7 + 3 * carbons atoms. All ways start from the same geometry, the transition state of vinyl alcohol
with a chain that is not relaxed (with --rattle: the saddle that is found from there, with random
displacements of so many A), and use Sella; they differ in where its curvature comes from:

    whole      the exact Hessian, where Sella asks for one, and at the end (3N products each)
    products   Davidson's iteration on H v, as `hint optimize --saddle` has it above 50 atoms
    sella      Sella's own iteration on differences of gradients; whole Hessian at the end

`steps` of the search; `gradients`: all calls for energy and forces, those for differences included;
`products`: H v, and in brackets those at the end. CPU times are of one thread.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from ase import Atoms
from rich.console import Console
from rich.table import Table

from hint_plugin.potentials.on_demand import PotentialSpec
from hint_plugin.science.molecules import optimization
from hint_plugin.science.molecules.lowest_modes import ByProducts
from hint_plugin.science.molecules.modes import normal_modes

SADDLE = Atoms(
    "CCOHHHH",
    [
        (-0.662, 0.411, 0.082),
        (0.379, -0.493, -0.163),
        (1.534, -0.005, 0.175),
        (0.741, 0.949, 0.470),
        (-1.350, 0.154, 0.872),
        (-1.153, 0.831, -0.782),
        (0.260, -1.483, -0.584),
    ],
)
"""Of vinyl alcohol -> acetaldehyde, A; the chain goes where atom 4 is, on atom 0."""


def grown(carbons: int) -> Atoms:
    """The saddle with an alkyl chain, all trans, in place of a hydrogen."""
    base, place = SADDLE.copy(), SADDLE.positions
    bond = _unit(place[4] - place[0])
    aside = place[0] - place[1]
    aside = _unit(aside - (aside @ bond) * bond)
    across, up, tilt = np.cross(bond, aside), -0.56 * bond + 0.83 * aside, 0.83 * bond + 0.56 * aside
    chain = Atoms()
    for k in range(carbons):
        at = place[0] + 1.53 * (0.83 * (k + 1) * tilt - (0.56 * up if k % 2 == 0 else 0))
        outwards = up if k % 2 else -up
        chain += Atoms("C", [at])
        chain += Atoms("H2", [at + 1.09 * (0.58 * outwards + sign * 0.81 * across) for sign in (1, -1)])
    chain += Atoms("H", [at + 1.09 * (0.83 * tilt - 0.56 * outwards)])
    del base[4]
    return base + chain


def _unit(vector: Any) -> Any:
    return vector / np.linalg.norm(vector)


class Counts:
    """What a calculator is asked, while it is watched."""

    def __init__(self, calculator: Any) -> None:
        self.gradients, self.hessians = 0, 0
        calculate, hessian = calculator.calculate, calculator.get_hessian

        def counted_calculate(*arguments: Any, **options: Any) -> None:
            self.gradients += 1
            calculate(*arguments, **options)

        def counted_hessian(*arguments: Any) -> Any:
            self.hessians += 1
            return hessian(*arguments)

        calculator.calculate, calculator.get_hessian = counted_calculate, counted_hessian


class Differences(ByProducts):
    """Sella as it is, with its own differences; the modes at the end come from the whole Hessian."""

    def adapted(self, sella: type) -> Any:
        return sella

    def modes(self, atoms: Atoms, count: int = 2) -> Any:
        return normal_modes(atoms, np.asarray(atoms.calc.get_hessian(atoms)))


def start_of(model: str, carbons: int, rattle: float) -> Atoms:
    """Where all ways start."""
    atoms = grown(carbons)
    if rattle:
        atoms.calc = PotentialSpec.of(model).calculator()
        atoms = optimization.optimize(atoms, saddle=True, dense_atoms=0).atoms
        atoms.positions += np.random.default_rng(0).normal(0, rattle, atoms.positions.shape)
    return atoms


def measured(way: str, model: str, start: Atoms, steps: int) -> list[str]:
    """A row of the table."""
    atoms = start.copy()
    atoms.calc = PotentialSpec.of(model).calculator()
    counts, before = Counts(atoms.calc), []
    kinds = {"whole": None, "products": ByProducts, "sella": Differences}
    if (kind := kinds[way]) is not None:

        class Watched(kind):  # type: ignore[misc, valid-type]
            def modes(self, atoms: Atoms, count: int = 2) -> Any:
                before.append(self.products)
                return super().modes(atoms, count)

        optimization.ByProducts = Watched  # type: ignore[misc]
    begun = time.process_time()
    found = optimization.optimize(atoms, saddle=True, steps=steps, dense_atoms=10**6 if kind is None else 0)
    seconds = time.process_time() - begun
    asked = getattr(found.modes, "products", 0)
    ended = f" ({asked - before[-1]})" if asked else ""
    nu = [] if found.modes is None else [f"{value:.1f}" for value in found.modes.frequencies[:2]]
    return [
        way,
        found.kind,
        f"{found.steps}",
        f"{counts.gradients}",
        f"{asked}{ended}",
        f"{counts.hessians} x {3 * len(atoms)}",
        f"{seconds:.1f}",
        f"{found.energy:.4f}",
        ", ".join(nu),
    ]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--carbons", type=int, default=16)
    parser.add_argument("--rattle", type=float, default=0.0)
    parser.add_argument("--model", default="alphanet-gfn2")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--ways", nargs="+", default=["whole", "products", "sella"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    table = Table(
        "curvature",
        "found",
        "steps",
        "gradients",
        "products",
        "whole Hessians",
        "CPU s",
        "E, eV",
        "lowest, cm^-1",
    )
    start = start_of(options.model, options.carbons, options.rattle)
    for way in options.ways:
        table.add_row(*measured(way, options.model, start, options.steps))
    Console(width=140).print(f"{len(start)} atoms")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
