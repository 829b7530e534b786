"""The artifact against the model it was made from: one structure of 500 atoms, and many small ones.

    python benchmarks/artifact_speed.py CHECKPOINT [CHECKPOINT ...] [--repeats 5] [--threads 1]

Raw model: the checkpoint's own forward and forces on graphs that are made beforehand. Artifact: all that
HintCalculator does, neighbour lists included, for structures that move between calls as in MD. MACECalculator
is what ASE users of a checkpoint have now. A ratio above one: what stands behind the bar is the faster.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from rich.console import Console
from rich.table import Table


def seconds(step: Callable[[], Any], repeats: int) -> float:
    """Median time of a call, after three to warm up (TorchScript compiles in the first)."""
    times = []
    for number in range(repeats + 3):
        start = time.perf_counter()
        step()
        if number >= 3:
            times.append(time.perf_counter() - start)
    return float(np.median(times))


def crystal(symbols: list[str], atoms: int) -> Atoms:
    """About so many atoms on a diamond lattice, at random species and displacements."""
    rng = np.random.default_rng(0)
    side = round((atoms / 8) ** (1 / 3))
    found = bulk("C", "diamond", a=4.3, cubic=True).repeat((side, side, side))
    found.symbols[:] = rng.choice(symbols, len(found))
    found.rattle(0.05, seed=0)
    return found


def raw(predictor: Any, frames: list[Atoms]) -> Callable[[], Any]:
    """Energies and forces by the model itself; graphs are made beforehand."""
    batch = predictor._batch(frames)
    return lambda: predictor.model(dict(batch), training=False, compute_stress=False)


def moving(frames: list[Atoms], evaluate: Callable[[list[Atoms]], Any]) -> Callable[[], Any]:
    """Calls with all atoms moved by 0.001 A in between."""
    rng = np.random.default_rng(1)

    def step() -> None:
        for atoms in frames:
            atoms.positions += rng.normal(0, 0.001, atoms.positions.shape)
        evaluate(frames)

    return step


def rows(path: Path, repeats: int) -> list[tuple[str, ...]]:
    """Of one checkpoint."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from mace.calculators import MACECalculator

        from hint_plugin.export.calculator import HintCalculator
        from hint_plugin.export.checkpoint import export
        from hint_plugin.mace.predictor import MacePredictor

        predictor = MacePredictor(path)
        name = str(predictor.dtype).removeprefix("torch.")
        mace = MACECalculator(models=[predictor.model], device="cpu", default_dtype=name)
        with tempfile.TemporaryDirectory() as folder:
            metadata = export(path, Path(folder) / "model.hint.pt")
            ours = HintCalculator(Path(folder) / "model.hint.pt")

    def by_calculator(calculator: Any) -> Callable[[list[Atoms]], None]:
        def evaluate(frames: list[Atoms]) -> None:
            for atoms in frames:
                atoms.calc = calculator
                atoms.get_forces()

        return evaluate

    symbols = list(metadata.species)
    one = [crystal(symbols, 500)]
    small = [
        molecule(n) for n in ("CH3CH2OH", "H2O", "CH4", "C2H4") if set(molecule(n).symbols) <= set(symbols)
    ]
    many = [atoms.copy() for _ in range(16) for atoms in small]
    cases = (
        (f"{len(one[0])} atoms", one),
        (f"{len(many)} molecules", many),
    )
    found = []
    for title, frames in cases:
        if not frames:
            continue
        times = {
            "raw": seconds(raw(predictor, frames), repeats),
            "one by one": seconds(moving(frames, by_calculator(ours)), repeats),
            "at once": seconds(moving(frames, ours.evaluate), repeats),
            "MACECalculator": seconds(moving(frames, by_calculator(mace)), repeats),
        }
        found.append(
            (
                f"{metadata.architecture}, {metadata.parameters:,}, {name}",
                title,
                *(f"{1e3 * t:.1f}" for t in times.values()),
                f"{times['raw'] / times['at once']:.2f}",
                f"{times['one by one'] / times['at once']:.2f}",
                f"{times['MACECalculator'] / times['one by one']:.2f}",
            )
        )
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = Table(title=f"energies and forces, ms, CPU, {options.threads} thread(s)")
    heads = ("model", "structures", "raw model", "one by one", "at once", "MACECalculator")
    for head in (*heads, "raw / at once", "one by one / at once", "MACECalculator / one by one"):
        table.add_column(head, justify="left" if head in heads[:2] else "right")
    for path in options.checkpoints:
        for row in rows(path, options.repeats):
            table.add_row(*row)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
