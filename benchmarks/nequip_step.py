"""What a training step with Hessians costs in NequIP, in units of its own energy-and-force step, in one run.

    .venv-nequip/bin/python benchmarks/nequip_step.py [--atoms 9 20] [--model nequip alphanet] [--compiled]

Every row is a step of NequIP's own parts (model, `EnergyForceLoss` with `HessianLoss`, Adam) on the same
batch of 8 n-alkanes (ethanol for 9 atoms), float32, one thread. The rows take turns; the numbers are medians
of the CPU time over the rounds and, after +-, half the distance of the quartiles. The full Hessian is timed
on one structure and multiplied by 8. Rows with `compile_mode: compile` are compared with the compiled step
without Hessians; compiling takes minutes a row and is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from training_step import alkane

BATCH = 8

#: row -> (probes, labelled structures, split, mode, compile_mode); probes 0: no Hessian term.
EAGER: dict[str, tuple[int, int, str, str, str]] = {
    "E+F, NequIP": (0, 0, "never", "hutchinson", "eager"),
    "K=1": (1, BATCH, "never", "hutchinson", "eager"),
    "K=2": (2, BATCH, "never", "hutchinson", "eager"),
    "K=1, 1 of 8 labelled": (1, 1, "auto", "hutchinson", "eager"),
    "K=1, 1 of 8, not split": (1, 1, "never", "hutchinson", "eager"),
    "difference, K=1": (1, BATCH, "never", "difference", "eager"),
    "full Hessian, 8 x 1": (1, 1, "never", "full", "eager"),
}
COMPILED: dict[str, tuple[int, int, str, str, str]] = {
    "E+F, NequIP compiled": (0, 0, "never", "hutchinson", "compile"),
    "K=1, compiled": (1, BATCH, "never", "hutchinson", "compile"),
    "K=1, 1 of 8 labelled, compiled": (1, 1, "auto", "hutchinson", "compile"),
}
MODELS = {
    "nequip": {
        "builder": "nequip.model.NequIPGNNModel",
        "num_layers": 4,
        "l_max": 1,
        "parity": True,
        "num_features": 32,
        "radial_mlp_depth": 2,
        "radial_mlp_width": 64,
    },
    "alphanet": {"builder": "hint_plugin.nequip.AlphaNet", "size": "small"},
}


def make_batch(n_atoms: int, labelled: int, size: int) -> dict[str, torch.Tensor]:
    """A batch of NequIP with random labels: the time does not depend on their values."""
    from nequip.data import AtomicDataDict, from_ase
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform

    from hint_plugin.data import HessianLabel
    from hint_plugin.nequip.labels import label_fields

    rng = np.random.default_rng(0)
    transforms = [ChemicalSpeciesToAtomTypeMapper(["H", "C", "O"]), NeighborListTransform(5.0)]
    items = []
    for i in range(size):
        atoms = alkane(n_atoms)
        matrix = rng.normal(size=(3 * n_atoms, 3 * n_atoms))
        label = HessianLabel.full(matrix + matrix.T) if i < labelled else None
        atoms.info["energy"], atoms.arrays["forces"] = np.zeros(1), rng.normal(size=(n_atoms, 3))
        data = from_ase(atoms) | label_fields(label, atoms.numbers, atoms.positions)
        for transform in transforms:
            data = transform(data)
        items.append(data)
    return AtomicDataDict.batched_from_list(items)


def make_model(
    row: tuple[int, int, str, str, str], model: str, precision: str = "float32", **options: Any
) -> Any:
    """The model of a row, of `MODELS`; ``options`` of its builder go before those of the table."""
    from hint_plugin.nequip import HessianModel

    probes, _, split, mode, compile_mode = row
    return HessianModel(
        hessian={"probes": max(1, probes), "mode": mode, "split": split},
        seed=1,
        model_dtype=precision,
        compile_mode=compile_mode,
        type_names=["H", "C", "O"],
        r_max=5.0,
        avg_num_neighbors=10.0,
        per_type_energy_scales=1.0,
        per_type_energy_shifts=0.0,
        **{**MODELS[model], **options},
    ).train()


def to_device(batch: dict[str, torch.Tensor], device: str) -> dict[str, torch.Tensor]:
    """As `HessianDataModule` brings a batch to a device: the labels stay on the host."""
    from hint_plugin.nequip.batches import keep_on_host

    kept = keep_on_host(batch) if torch.device(device).type != "cpu" else {}
    return {name: x.to(device, non_blocking=True) for name, x in batch.items() if name not in kept} | kept


def stepper(
    row: tuple[int, int, str, str, str],
    model: str,
    n_atoms: int,
    *,
    device: str = "cpu",
    size: int = BATCH,
    **options: Any,
) -> Callable[[], None]:
    """One training step of a row with ``size`` structures, float32; ``options`` as in `make_model`."""
    from nequip.train import EnergyForceLoss

    from hint_plugin.nequip import HessianLoss

    probes, labelled, _, mode, _ = row
    net = make_model(row, model, **options).to(device)
    term = [{"name": "hessian", "coeff": 1.0, "metric": HessianLoss()}] if probes else []
    loss = EnergyForceLoss({"total_energy": 1.0, "forces": 100.0}, extra_metrics=term).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    batch = make_batch(n_atoms, labelled, 1 if mode == "full" else size)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        there = to_device(batch, device)
        loss(net(there.copy()), there)["weighted_sum"].backward()
        optimizer.step()

    return step


def time_rows(rows: dict[str, Any], model: str, n_atoms: int, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each row in each round, for a batch of 8."""
    steps = {name: stepper(row, model, n_atoms) for name, row in rows.items()}
    times: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(rounds + 1):
        for name, step in steps.items():
            full = rows[name][3] == "full"
            if full and 0 < number < rounds:  # twice is enough for the slowest
                continue
            for _ in range(2 if number == 0 and not full else 1):
                start = time.process_time()
                step()
                spent = (time.process_time() - start) * (BATCH if full else 1)
            if number or full:
                times[name].append(spent)
    return times


def show(title: str, times: dict[str, list[float]], bases: tuple[str, ...]) -> None:
    """A table in units of the step without Hessians that was run in the same way."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for head in ("step", "ms", "x E+F"):
        table.add_column(head, justify="left" if head == "step" else "right", no_wrap=True)
    base = 1.0
    for name, values in times.items():
        middle = float(np.median(values))
        if name in bases:
            base = middle
        low, high = np.percentile(values, [25, 75])
        table.add_row(name, f"{1e3 * middle:.0f}", f"{middle / base:.2f} +- {(high - low) / 2 / base:.2f}")
    Console(width=100).print(table)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", type=int, nargs="+", default=[9, 20])
    parser.add_argument("--model", nargs="+", choices=tuple(MODELS), default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compiled", action="store_true", help="rows with compile_mode: compile too")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    from nequip.utils.global_state import set_global_state

    set_global_state()
    rows = EAGER | (COMPILED if options.compiled else {})
    found: dict[str, Any] = {}
    for model in options.model:
        for n_atoms in options.atoms:
            times = time_rows(rows, model, n_atoms, options.rounds)
            found[f"{model}, {n_atoms} atoms"] = times
            title = f"{model}, 8 structures of {n_atoms} atoms, float32, 1 thread, CPU time"
            show(title, times, ("E+F, NequIP", "E+F, NequIP compiled"))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
