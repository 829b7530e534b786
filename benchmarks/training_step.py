"""What a training step with Hessians costs, in units of MACE's own energy-and-force step, in one run.

    python benchmarks/training_step.py [--atoms 9 20 50] [--channels 32] [--rounds 5] [--json FILE]

Every row is MACE's own ``take_step`` (forward, loss, backward, clipping, optimiser) on the same batch of 8
n-alkanes (ethanol for 9 atoms), float32, one thread. The rows take turns, so that a change of the machine's
speed meets all of them; the numbers are medians over the rounds and, after +-, half the distance of the
quartiles. CPU time counts, which other processes disturb less. The full Hessian is timed on one structure of
the batch and multiplied by 8 (its 3N graphs of 8 structures do not fit in memory), so its overheads are
counted too often by a little. Memory: peak of a process of its own that makes two steps, less that of one
that has loaded everything and made none.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from _mace import make_mace

from hint_plugin.core.auto_weight import EVERY

os.environ.setdefault("OMP_NUM_THREADS", "1")

BATCH = 8

#: The row of a step in which --hint_weight auto measures the gradients, as it does in one of `EVERY`.
MEASURES = "K=1, measures gradients"

#: row -> (probes, labelled structures, HINT's kernels, split, mode); probes 0: no Hessian term.
ROWS: dict[str, tuple[int, int, str, str, str]] = {
    "E+F, MACE": (0, 0, "mace", "never", "hutchinson"),
    "E+F, HINT's kernels": (0, 0, "fast", "never", "hutchinson"),
    "K=1, MACE's kernels": (1, BATCH, "mace", "never", "hutchinson"),
    "K=1": (1, BATCH, "fast", "never", "hutchinson"),
    MEASURES: (1, BATCH, "fast", "never", "hutchinson"),
    "K=2": (2, BATCH, "fast", "never", "hutchinson"),
    "K=4": (4, BATCH, "fast", "never", "hutchinson"),
    "K=1, 1 of 8 labelled": (1, 1, "fast", "auto", "hutchinson"),
    "K=1, 1 of 8, not split": (1, 1, "fast", "never", "hutchinson"),
    "difference, K=1": (1, BATCH, "fast", "never", "difference"),
    "full Hessian, 8 x 1": (1, 1, "fast", "never", "full"),
}


def alkane(n_atoms: int) -> Any:
    """Ethanol for 9 atoms, else the n-alkane C_n H_2n+2 with 3n + 2 atoms, all-trans, shaken a little."""
    import numpy as np
    from ase import Atoms
    from ase.build import molecule

    rng = np.random.default_rng(n_atoms)
    if n_atoms == 9:
        atoms = molecule("CH3CH2OH")
    else:
        n = (n_atoms - 2) // 3
        carbon = np.array([(1.27 * i, 0.43 * (-1) ** i, 0.0) for i in range(n)])
        sides = [(c[0], c[1] + 0.63 * (-1) ** i, z) for i, c in enumerate(carbon) for z in (-0.89, 0.89)]
        ends = [carbon[0] + (-0.89, -0.63, 0), carbon[-1] + (0.89, 0.63 * (-1) ** n, 0)]
        atoms = Atoms(f"C{n}H{2 * n + 2}", [*carbon, *sides, *ends])
    atoms.positions += rng.normal(0, 0.03, atoms.positions.shape)
    return atoms


def make_batch(n_atoms: int, labelled: int, size: int) -> Any:
    """A batch of MACE with random labels: the time does not depend on their values."""
    import numpy as np
    from mace import data, tools
    from mace.tools import torch_geometric

    from hint_plugin.data import HessianLabel
    from hint_plugin.mace.labels import attach

    rng = np.random.default_rng(0)
    items = []
    for i in range(size):
        atoms = alkane(n_atoms)
        matrix = rng.normal(size=(3 * len(atoms), 3 * len(atoms)))
        config = data.config_from_atoms(atoms, key_specification=data.KeySpecification.from_defaults())
        config.properties |= {"energy": 0.0, "forces": rng.normal(size=(len(atoms), 3))}
        attach(config, HessianLabel.full(matrix + matrix.T) if i < labelled else None)
        items.append(
            data.AtomicData.from_config(config, z_table=tools.AtomicNumberTable([1, 6, 8]), cutoff=5.0)
        )
    return next(iter(torch_geometric.dataloader.DataLoader(items, batch_size=size)))


def make_model(channels: int) -> Any:
    """MACE's default architecture with ``channels``x0e + ``channels``x1o."""
    import torch

    torch.manual_seed(0)
    return make_mace([1, 6, 8], channels=channels, neighbours=10.0)


def stepper(
    row: str | tuple[int, int, str, str, str],
    n_atoms: int,
    model: Any,
    training: ExitStack,
    *,
    device: str = "cpu",
    size: int = BATCH,
) -> Callable[[], None]:
    """One training step of a row; its kernels stay in place until ``training`` ends, as in MACE's own.

    Args:
        row: of `ROWS`, or what such a row holds.
        n_atoms: of each structure, see `alkane`.
        model: of MACE or in its place, changed by the step; it is brought to the device.
        training: whose end takes the kernels away.
        device: of torch. Labels stay on the host, and every step brings its batch, as in a training.
        size: of the batch; of a row with the full Hessian it is 1.
    """
    import torch
    from mace import modules
    from mace.tools.train import take_step

    from hint_plugin.mace import kernels
    from hint_plugin.mace.labels import on_host
    from hint_plugin.mace.loss import Clock, HessianForward, HintLoss
    from hint_plugin.mace.options import HintOptions

    probes, labelled, kind, split, mode = ROWS[row] if isinstance(row, str) else row
    model = model.to(device)
    training.enter_context(kernels.use(model, kind))  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, amsgrad=True)
    base = modules.WeightedEnergyForcesLoss(energy_weight=1.0, forces_weight=100.0)
    options = HintOptions(mode=mode, probes=max(1, probes), split=split, schedule="constant", seed=0)  # type: ignore[arg-type]
    if row == MEASURES:
        options = replace(options, weight="auto")
    loss = HintLoss(base, options, Clock())
    if loss.auto is not None:
        loss.auto.every = 0
    outputs = {"forces": True, "virials": False, "stress": False}
    batch = make_batch(n_atoms, labelled, 1 if mode == "full" else size)
    place = torch.device(device)

    def step() -> None:
        rest, host = on_host(batch)
        used = HessianForward(model, loss, host) if probes else model
        take_step(used, loss if probes else base, rest, optimizer, None, outputs, 10.0, place)

    return step


def time_rows(n_atoms: int, channels: int, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each row in each round, for a batch of 8."""
    times: dict[str, list[float]] = {row: [] for row in ROWS}
    with ExitStack() as training:
        steps = {row: stepper(row, n_atoms, make_model(channels), training) for row in ROWS}
        for number in range(rounds + 1):
            for row, step in steps.items():
                full = ROWS[row][4] == "full"
                if full and 0 < number < rounds:  # twice is enough for the slowest
                    continue
                for _ in range(3 if number == 0 and not full else 1):  # TorchScript profiles its first passes
                    start = time.process_time()
                    step()
                    spent = (time.process_time() - start) * (BATCH if full else 1)
                if number or full:
                    times[row].append(spent)
    return times


def peak_memory(row: str | None, n_atoms: int, channels: int) -> float:
    """Peak resident memory (MB) of a new process that makes two steps of a row (None: makes no step)."""
    command = [
        sys.executable,
        __file__,
        "--memory",
        row or "",
        "--atoms",
        str(n_atoms),
        "--channels",
        str(channels),
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(output.split()[-1])


def own_peak() -> float:
    """Peak resident memory (MB) of this process since its start (ru_maxrss would count its parent's too)."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def report(results: dict[int, dict[str, Any]]) -> None:
    """Markdown tables."""
    for n_atoms, rows in results.items():
        base = rows["E+F, MACE"]
        print(f"\n{n_atoms} atoms, batch of {BATCH}, E+F step {base['seconds']:.3f} s of CPU time\n")
        print("| step | time / E+F step | memory / E+F step |\n|---|---|---|")
        for row, value in rows.items():
            ratio, spread = value["seconds"] / base["seconds"], value["spread"] / base["seconds"]
            memory = f"{value['memory'] / base['memory']:.2f}" if value.get("memory") else "-"
            print(f"| {row} | {ratio:.2f} +- {spread:.2f} | {memory} |")
        more = (rows[MEASURES]["seconds"] / rows["K=1"]["seconds"] - 1) / EVERY
        print(f"\n--hint_weight auto, which measures every {EVERY} steps: {100 * more:+.1f} % of K=1")
        cheaper = rows["full Hessian, 8 x 1"]["seconds"] / rows["K=1"]["seconds"]
        print(f"\nfull Hessian / K=1: {cheaper:.0f}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--atoms", type=int, nargs="+", default=[9, 20, 50], help="9, or 3n + 2")
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the numbers there")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    options = parser.parse_args()

    import numpy as np
    import torch

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    if options.memory is not None:
        with ExitStack() as training:
            model = make_model(options.channels)
            step = stepper(options.memory or "E+F, MACE", options.atoms[0], model, training)
            if options.memory:
                step()
                step()
        print(own_peak())
        return
    results: dict[int, dict[str, Any]] = {}
    for n_atoms in options.atoms:
        idle = peak_memory(None, n_atoms, options.channels)
        results[n_atoms] = {}
        for row, times in time_rows(n_atoms, options.channels, options.rounds).items():
            quartiles = np.percentile(times, [25, 50, 75])
            value = {"seconds": float(quartiles[1]), "spread": float(quartiles[2] - quartiles[0]) / 2}
            if ROWS[row][4] != "full" or n_atoms <= 9:
                value["memory"] = peak_memory(row, n_atoms, options.channels) - idle
            results[n_atoms][row] = value
        report({n_atoms: results[n_atoms]})
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
