"""Products and seconds that the exact Hessian of a big cell takes: column by column, and with shared probes.

    python benchmarks/coloured_hessian.py [--atoms 64 512 1728 4096] [--hops 2] [--products 3] [--json F]

Diamond-structure silicon and an AlphaNet with random weights in float64, cutoff 3 A (four neighbours), whose
atoms feel others 2 (or, with --hops 3, 3) neighbours away. A row of the Hessian has `blocks` blocks of 3 x 3.
A few products are timed, one to a pass; all cost the same, so that the whole takes their number times that,
and with shared probes the colouring and the recovery on top, which are timed as a whole.
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
from ase import Atoms
from ase.build import bulk
from rich.console import Console
from rich.table import Table

from hint_plugin.export.checkpoint_to_artifact import export
from hint_plugin.models.alphanet import AlphaNet, AlphaNetConfig
from hint_plugin.potentials.artifact_potential import Potential
from hint_plugin.potentials.colouring import colour


def make_potential(folder: Path, hops: int) -> Potential:
    """A small AlphaNet of `hops` - 1 layers, exported."""
    torch.manual_seed(0)
    config = AlphaNetConfig(
        channels=8, node_width=1, layers=hops - 1, frame_channels=4, edge_channels=8, cutoff=3.0, bessel=4
    )
    model = AlphaNet([14], config, average_neighbours=4.0, atomic_energies=[0.0], scale=2.0).double()
    torch.save(model, folder / "model")
    export(folder / "model", folder / "model.hint.pt")
    return Potential(folder / "model.hint.pt")


def silicon(count: int) -> Atoms:
    """A cube of n x n x n conventional cells, at rest but for a little noise."""
    n = round((count / 8) ** (1 / 3))
    found = bulk("Si", cubic=True).repeat(n)
    found.rattle(0.02, seed=0)
    return found


def measure(potential: Potential, atoms: Atoms, products: int) -> dict[str, float]:
    """Numbers and seconds for one cell."""
    n = len(atoms)
    start = time.perf_counter()
    pattern = potential.hessian_pattern(atoms)
    direct = colour(pattern, substitution=False)
    middle = time.perf_counter()
    chosen = colour(pattern)
    colouring = time.perf_counter() - middle
    operator = potential.hessian_operator(atoms)
    probes = torch.as_tensor(np.random.default_rng(0).choice([-1.0, 1.0], (1, n, 3)))
    operator.mv(probes)
    clock = time.perf_counter()
    for _ in range(products):
        operator.mv(probes)
    each = (time.perf_counter() - clock) / products
    clock = time.perf_counter()
    chosen.recover(np.zeros((3 * chosen.count, n, 3)))
    recovery = time.perf_counter() - clock
    return {
        "atoms": n,
        "blocks": int(np.diff(pattern.indptr).max()),
        "columns": 3 * n,
        "direct": 3 * direct.count,
        "substitution": 3 * chosen.count,
        "pattern_and_direct_seconds": middle - start,
        "colouring_seconds": colouring,
        "recovery_seconds": recovery,
        "product_seconds": each,
        "column_by_column_seconds": 3 * n * each,
        "coloured_seconds": colouring + 3 * chosen.count * each + recovery,
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--atoms", type=int, nargs="+", default=[64, 512, 1728, 4096])
    parser.add_argument("--hops", type=int, default=2)
    parser.add_argument("--products", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        potential = make_potential(Path(folder), options.hops)
        rows = [measure(potential, silicon(count), options.products) for count in options.atoms]
    names = {
        "atoms": "atoms",
        "blocks": "blocks in a row",
        "columns": "products: columns",
        "direct": "direct",
        "substitution": "substitution",
        "product_seconds": "s a product",
        "column_by_column_seconds": "column by column, s",
        "coloured_seconds": "coloured, s",
    }
    table = Table(title=f"AlphaNet, {potential.metadata.hops} hops of {potential.metadata.cutoff:g} A")
    for name in (*names.values(), "gain"):
        table.add_column(name, justify="right")
    for row in rows:
        cells = [f"{row[key]:.3g}" if key.endswith("seconds") else f"{row[key]:.0f}" for key in names]
        table.add_row(*cells, f"{row['column_by_column_seconds'] / row['coloured_seconds']:.1f}")
    Console(width=120).print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
