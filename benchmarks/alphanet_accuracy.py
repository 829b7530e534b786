"""How accurate AlphaNet gets in a given time, against MACE and the public AlphaNet, with and without HINT.

    make demo                                    (its labelled data are used)
    python benchmarks/alphanet_accuracy.py [demo-out] [--public PATH] [--seconds 150] [--seeds 1 2]
        [--models ...] [--trainings ef hint] [--jobs 2] [--out results.json]

One loop trains all models: Adam, batches of 6 structures, float32, one thread; the loss is 30 (dE/N)^2 + 100
mean dF^2, with HINT + lambda_H |dH v|^2/|v|^2 of one Rademacher probe a structure, lambda_H from 10 to 80.
The budget is CPU time in the loop: learning rate (down to 5 %) and lambda_H follow it, so that every model
makes as many steps as it can. Each model has the learning rate that served it best in trials (``MODELS``).
Errors are of the exponential moving average of the weights, on geometries of the molecules of
the training and on molecules that it has not seen.

--public is a checkout of github.com/zmyybc/AlphaNet (GPL-3, not part of HINT), see alphanet_speed.py. Its
published sizes make few steps in such a budget, so a small one is trained as well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _mace import make_mace
from alphanet_speed import CUTOFF, HORM, make_public, public_energies
from torch import Tensor, nn

from hint_plugin.allocator import keep_freed_memory
from hint_plugin.core.hvp import hessians_from_forces, hvp_from_forces
from hint_plugin.core.losses import HessianLoss
from hint_plugin.core.metrics import HessianMetrics
from hint_plugin.data import LabelKeys, read_frames
from hint_plugin.mace import kernels
from hint_plugin.models.alphanet import SIZES, AlphaNet

ELEMENTS = [1, 6, 7, 8]
BATCH = 6
ENERGY_WEIGHT, FORCES_WEIGHT = 30.0, 100.0
LAMBDA = (10.0, 80.0)
DECAY = 0.05
EMA = 0.99


@dataclass(frozen=True)
class Structure:
    """A labelled frame."""

    numbers: Tensor
    positions: Tensor
    masses: Tensor
    edges: Tensor
    energy: float
    forces: Tensor
    hessian: Tensor


@dataclass(frozen=True)
class Batch:
    """Several structures as one graph."""

    numbers: Tensor
    positions: Tensor
    owner: Tensor
    ptr: Tensor
    edges: Tensor
    shifts: Tensor
    energies: Tensor
    forces: Tensor


@dataclass(frozen=True)
class Statistics:
    """What a model is told about the data before it is trained."""

    atomic_energies: np.ndarray
    force: float
    neighbours: float


Energies = Callable[[Batch], Tensor]
Maker = Callable[[Statistics, "Path | None"], tuple[nn.Module, Energies]]


def load(path: Path) -> list[Structure]:
    """Frames with energies, forces and full Hessians of ``hint label``."""
    from ase.neighborlist import neighbor_list

    if not path.exists():
        sys.exit(f"error: {path} is not there; `make demo` labels the data")
    keys, found = LabelKeys(), []
    for atoms in read_frames(path):
        i, j = neighbor_list("ij", atoms, CUTOFF)
        found.append(
            Structure(
                torch.tensor(atoms.numbers),
                torch.tensor(atoms.positions, dtype=torch.float32),
                torch.tensor(atoms.get_masses()),
                torch.tensor(np.stack([i, j])),
                float(atoms.info[keys.energy]),
                torch.tensor(atoms.arrays[keys.forces], dtype=torch.float32),
                torch.tensor(np.asarray(atoms.info[keys.hessian], dtype=float).reshape(3 * len(atoms), -1)),
            )
        )
    return found


def statistics(frames: Sequence[Structure]) -> Statistics:
    """E0s by least squares, the root mean square of the forces, the mean number of neighbours."""
    counts = np.array([[int((f.numbers == z).sum()) for z in ELEMENTS] for f in frames])
    energies = np.array([f.energy for f in frames])
    forces = torch.cat([f.forces for f in frames])
    edges, atoms = sum(f.edges.shape[1] for f in frames), sum(len(f.numbers) for f in frames)
    return Statistics(
        np.linalg.lstsq(counts, energies, rcond=None)[0], float(forces.square().mean().sqrt()), edges / atoms
    )


def collate(frames: Sequence[Structure], stats: Statistics) -> Batch:
    """One graph; energies without the E0s."""
    sizes = torch.tensor([len(f.numbers) for f in frames])
    ptr = torch.cat([torch.zeros(1, dtype=torch.long), sizes.cumsum(0)])
    edges = torch.cat([f.edges + start for f, start in zip(frames, ptr, strict=False)], dim=1)
    e0 = dict(zip(ELEMENTS, stats.atomic_energies, strict=True))
    energies = [f.energy - sum(e0[z] for z in f.numbers.tolist()) for f in frames]
    return Batch(
        torch.cat([f.numbers for f in frames]),
        torch.cat([f.positions for f in frames]).requires_grad_(True),
        torch.arange(len(frames)).repeat_interleave(sizes),
        ptr,
        edges,
        torch.zeros(edges.shape[1], 3),
        torch.tensor(energies, dtype=torch.float32),
        torch.cat([f.forces for f in frames]),
    )


# The models: energies of a batch, without E0s, eV


def as_alphanet(model: nn.Module) -> Energies:
    """Energies of our model, or of one with its interface."""

    def energies(batch: Batch) -> Tensor:
        graph = {"positions": batch.positions, "atomic_numbers": batch.numbers, "edge_index": batch.edges}
        return model(graph | {"batch": batch.owner, "ptr": batch.ptr})

    return energies


def ours(size: str, **options: Any) -> Maker:
    """Our model in one of its sizes."""

    def make(stats: Statistics, public: Path | None) -> tuple[nn.Module, Energies]:
        config = replace(SIZES[size], cutoff=CUTOFF, **options)
        model = AlphaNet(ELEMENTS, config, average_neighbours=stats.neighbours, scale=stats.force)
        return model, as_alphanet(model)

    return make


def mace(channels: int, max_l: int) -> Maker:
    """MACE with the options of ``make demo``."""

    def make(stats: Statistics, public: Path | None) -> tuple[nn.Module, Energies]:
        model = make_mace(
            ELEMENTS, channels=channels, max_l=max_l, neighbours=stats.neighbours, scale=stats.force
        )
        species = torch.full((119,), -1)
        species[ELEMENTS] = torch.arange(len(ELEMENTS))

        def energies(batch: Batch) -> Tensor:
            data = {
                "positions": batch.positions,
                "node_attrs": nn.functional.one_hot(species[batch.numbers], len(ELEMENTS)).to(batch.forces),
                "edge_index": batch.edges,
                "shifts": batch.shifts,
                "unit_shifts": batch.shifts,
                "cell": torch.zeros(3 * len(batch.energies), 3),
                "batch": batch.owner,
                "ptr": batch.ptr,
            }
            return model(data, training=True, compute_force=False)["energy"]

        return model, energies

    return make


def published(**options: Any) -> Maker:
    """The public AlphaNet in HORM's size, with other options where given."""

    def make(stats: Statistics, public: Path | None) -> tuple[nn.Module, Energies]:
        model = make_public(HORM | options, public or Path())

        def energies(batch: Batch) -> Tensor:
            return stats.force * public_energies(
                model, batch.positions, batch.numbers, batch.owner, batch.edges, batch.shifts
            )

        return model, energies

    return make


@dataclass(frozen=True)
class Entry:
    """A model of the table and its learning rate."""

    make: Maker
    rate: float


MODELS: dict[str, Entry] = {
    "AlphaNet, small": Entry(ours("small"), 0.005),
    "AlphaNet, medium": Entry(ours("medium"), 0.002),
    "MACE 16x0e+16x1o": Entry(mace(16, 1), 0.02),
    "MACE 32x0e+32x1o": Entry(mace(32, 1), 0.02),
    "public AlphaNet 2/64": Entry(published(num_layers=2, hidden_channels=64, hidden_channels_chi=48), 0.002),
    "public AlphaNet 4/128": Entry(published(), 0.001),
}
TRAININGS = {"ef": "E/F", "hint": "HINT"}


def entries(parts: bool) -> dict[str, Entry]:
    """The models, or the small one with parts changed."""
    if not parts:
        return MODELS
    from _alphanet_parts import PARTS

    return PARTS


# Training and testing


def train(
    model: nn.Module,
    energies: Energies,
    frames: Sequence[Structure],
    stats: Statistics,
    rate: float,
    hint: bool,
    budget: float,
    seed: int,
) -> dict[str, float]:
    """Train for ``budget`` seconds of CPU time; leaves the averaged weights in the model."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, amsgrad=True)
    average = [p.detach().clone() for p in model.parameters()]
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    loss_of_products, order = HessianLoss(), list[int]()
    steps, start = 0, time.process_time()
    while (progress := (time.process_time() - start) / budget) < 1.0:
        for group in optimizer.param_groups:
            group["lr"] = rate * DECAY**progress
        if len(order) < BATCH:
            order = rng.permutation(len(frames)).tolist()
        chosen = [frames[order.pop()] for _ in range(BATCH)]
        batch = collate(chosen, stats)
        e = energies(batch)
        forces = -torch.autograd.grad(e.sum(), batch.positions, create_graph=True)[0]
        sizes = batch.ptr.diff()
        loss = ENERGY_WEIGHT * ((e - batch.energies) / sizes).square().mean()
        loss = loss + FORCES_WEIGHT * (forces - batch.forces).square().mean()
        if hint:
            probe = (torch.randint(0, 2, (1, *forces.shape), generator=generator) * 2 - 1).to(forces)
            found = hvp_from_forces(forces, batch.positions, probe)
            parts = probe[0].split(sizes.tolist())
            wanted = torch.cat(
                [(f.hessian.float() @ v.flatten()).view(-1, 3) for f, v in zip(chosen, parts, strict=True)]
            )
            weight = LAMBDA[0] + (LAMBDA[1] - LAMBDA[0]) * progress
            each = loss_of_products.per_structure(found, wanted[None], probe, batch.owner, len(sizes))
            loss = loss + weight * each.mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        steps += 1
        keep = min(EMA, (1 + steps) / (10 + steps))
        for old, new in zip(average, model.parameters(), strict=True):
            old.lerp_(new.detach(), 1 - keep)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), average, strict=True):
            parameter.copy_(value)
    return {"steps": steps, "seconds": time.process_time() - start}


def test(energies: Energies, frames: Sequence[Structure], stats: Statistics) -> dict[str, float]:
    """Errors as ``hint evaluate`` defines them."""
    metrics = HessianMetrics()
    for frame in frames:
        batch = collate([frame], stats)
        e = energies(batch)
        forces = -torch.autograd.grad(e.sum(), batch.positions, create_graph=True)[0]
        (hessian,) = hessians_from_forces(forces, batch.positions, batch.ptr)
        hessian = hessian.double()
        metrics.update_energy(e.detach(), batch.energies, len(frame.numbers))
        metrics.update_forces(forces.detach(), frame.forces)
        metrics.update_hessian(
            (hessian + hessian.T) / 2, frame.hessian, frame.positions.double(), frame.masses
        )
    return metrics.result()


def run(
    job: tuple[str, str, int], data: Path, public: Path | None, budget: float, parts: bool
) -> dict[str, Any]:
    """One model (name, training, seed), trained and tested, in a process of its own."""
    name, training, seed = job
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    entry = entries(parts)[name]
    frames = load(data / "train.xyz")
    stats = statistics(frames)
    model, energies = entry.make(stats, public)
    record: dict[str, Any] = {"model": name, "training": training, "seed": seed}
    record["parameters"] = sum(p.numel() for p in model.parameters())
    model.train()
    hint = training == "hint"
    with kernels.use(model, "fast") if hint else contextlib.nullcontext():  # as mace_run_train does
        record |= train(model, energies, frames, stats, entry.rate, hint, budget, seed)
    for kind in ("geometries", "molecules"):
        record[kind] = test(energies, load(data / f"{kind}.xyz"), stats)
    return record


#: factor and decimals
COLUMNS = {"energy_mae": (1e3, 0), "forces_mae": (1, 3), "hessian_mae": (1, 3), "eigenvalues_mae": (1, 3)}


def report(records: Sequence[dict[str, Any]], title: str) -> None:
    """The table; means over the seeds."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{title}\nMAE: E (meV/atom) / F (eV/A) / H / eigenvalues of H (eV/A^2), mean over seeds"
    )
    for head in ("model", "parameters", "training", "steps", "ms a step", "geometries", "new molecules"):
        table.add_column(head, justify="left" if head in ("model", "training") else "right")
    for name, training in dict.fromkeys((r["model"], r["training"]) for r in records):
        group = [r for r in records if (r["model"], r["training"]) == (name, training)]
        cells = [
            " / ".join(
                f"{factor * np.mean([r[kind][column] for r in group]):.{decimals}f}"
                for column, (factor, decimals) in COLUMNS.items()
            )
            for kind in ("geometries", "molecules")
        ]
        table.add_row(
            name,
            f"{group[0]['parameters']:,}",
            TRAININGS[training],
            f"{np.mean([r['steps'] for r in group]):.0f}",
            f"{np.mean([1e3 * r['seconds'] / r['steps'] for r in group]):.1f}",
            *cells,
        )
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", type=Path, nargs="?", default=Path("demo-out"), help="folder of the demo's data"
    )
    parser.add_argument("--public", type=Path, help="checkout of the public AlphaNet")
    parser.add_argument("--seconds", type=float, default=150.0, help="of CPU time, each training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--trainings", nargs="+", choices=list(TRAININGS), default=list(TRAININGS))
    parser.add_argument("--models", nargs="+", help="of the table (default: all)")
    parser.add_argument(
        "--parts", action="store_true", help="parts of the published design in place of models"
    )
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--out", type=Path, help="write the numbers there")
    options = parser.parse_args()

    names = list(entries(options.parts))
    if unknown := set(options.models or []) - set(names):
        parser.error(f"--models {', '.join(sorted(unknown))}: wanted some of {', '.join(names)}")
    if options.public is None:
        names = [n for n in names if not n.startswith("public")]
        if not options.parts:
            print("The public AlphaNet is left out: give its checkout with --public")
    names = [n for n in names if not options.models or n in options.models]
    jobs = [(n, t, s) for n in names for t in options.trainings for s in options.seeds]
    public = options.public.resolve() if options.public else None
    work = partial(run, data=options.data, public=public, budget=options.seconds, parts=options.parts)
    records = []
    with multiprocessing.get_context("spawn").Pool(options.jobs, maxtasksperchild=1) as pool:
        for number, record in enumerate(pool.imap(work, jobs), 1):
            records.append(record)
            print(f"{number} of {len(jobs)}: {record['model']}, {TRAININGS[record['training']]}", flush=True)
            if options.out:
                options.out.write_text(json.dumps(records, indent=2) + "\n")
    report(records, f"{options.data}: {options.seconds:g} s of CPU time for each training")


if __name__ == "__main__":
    main()
