"""What `--hint_compile yes` brings: a step of AlphaNet with one H v a structure, as it is and compiled.

    python benchmarks/alphanet_compiled.py [--batches 6 24] [--rounds 5]

Molecules of 6 to 9 atoms, the ready model's weights, float32, one thread. CPU time, medians of rounds in
which both take turns. The step is energies, forces, H v and the gradient to the parameters; the optimiser and
the reading of the batch are the same for both. What compiling takes is printed, too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import mace  # noqa: F401  (before e3nn, whose constants need the variable that it sets)
import numpy as np
import torch
from ase.build import molecule
from mace import data, tools
from mace.tools import torch_geometric

from hint_plugin.core.devices import default_dtype
from hint_plugin.core.losses import MODES
from hint_plugin.mace.compiled_step import CompiledStep
from hint_plugin.pretrained import CHECKPOINT, or_path

NAMES = ("CH3CH2OH", "C2H6", "CH3CN", "CH3CHO", "C2H4", "CH3NO2")
FORCES = {"training": True, "compute_force": True, "compute_virials": False, "compute_stress": False}
STEPS = 10  # of a round


def make_batch(size: int, numbers: list[int]) -> torch_geometric.Batch:
    """Displaced molecules."""
    rng, items, table = np.random.default_rng(0), [], tools.AtomicNumberTable(numbers)
    for k in range(size):
        atoms = molecule(NAMES[k % len(NAMES)])
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
        config = data.config_from_atoms(atoms, key_specification=data.KeySpecification.from_defaults())
        items.append(data.AtomicData.from_config(config, z_table=table, cutoff=5.0))
    return torch_geometric.Batch.from_data_list(items)


def pull(model: torch.nn.Module, energy: torch.Tensor, forces: torch.Tensor, products: torch.Tensor) -> None:
    """The gradient of a loss with all three."""
    loss = energy.square().sum() + forces.square().sum() + products.square().sum()
    torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)


def seconds(step: Callable[[], None]) -> float:
    """CPU time of a step."""
    start = time.process_time()
    for _ in range(STEPS):
        step()
    return (time.process_time() - start) / STEPS


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[6, 24])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = or_path(Path("alphanet-gfn2"), CHECKPOINT)
    model = torch.load(path, map_location="cpu", weights_only=False).float()
    compiled = CompiledStep(model, MODES["hutchinson"])
    print(
        "| structures in a batch | as it is, ms | compiled, ms | ratio | structures a second |\n"
        "|---|---|---|---|---|"
    )
    for size in options.batches:
        with default_dtype(torch.float32):
            batch = make_batch(size, model.atomic_numbers.tolist())
        v = torch.randint(0, 2, (1, *batch.positions.shape)).float() * 2 - 1

        def plain(batch: torch_geometric.Batch = batch, v: torch.Tensor = v) -> None:
            inputs = {**batch.to_dict(), "positions": batch.positions.detach().clone()}
            out = model(inputs, **FORCES)
            (hv,) = torch.autograd.grad(out["forces"], inputs["positions"], -v[0], create_graph=True)
            pull(model, out["energy"], out["forces"], hv)

        def fast(batch: torch_geometric.Batch = batch, v: torch.Tensor = v) -> None:
            found = compiled(batch.to_dict(), v, FORCES)
            assert found is not None and found[1] is not None
            pull(model, found[0]["energy"], found[0]["forces"], found[1])

        start = time.process_time()
        fast()
        made = time.process_time() - start
        times = [(seconds(plain), seconds(fast)) for _ in range(options.rounds + 1)][1:]
        a, b = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(y / x for x, y in times)
        print(
            f"| {size} | {1e3 * a:.0f} | {1e3 * b:.0f} | {ratio:.2f} | {size / a:.0f}, {size / b:.0f} |",
            flush=True,
        )
        if made > 1:
            print(f"compiling took {made:.0f} s of CPU time")


if __name__ == "__main__":
    main()
