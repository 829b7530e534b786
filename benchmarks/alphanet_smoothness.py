"""How smooth AlphaNet's energy is, ours and the public one's, by one scan that knows no model.

    python benchmarks/alphanet_smoothness.py [--public PATH] [--lines 200] [--points 101] [--seed 0]
        [--out FILE]

Random weights of the same seed, as each constructor makes them, in the two published sizes (4 layers of 176
and of 128 channels, 5 A), float64. A model is a function ``energies(positions [G, N, 3], numbers [N], cell
[3, 3] or None) -> [G]``, eV.

- *Lines*: a shaken molecule moves along a random direction, its farthest-moving atom by 0.02 A. Where dE/dx
  is the gradient of E, Simpson's rule over three neighbouring points gives the energy difference of the
  outer two to fourth order in their distance; what it misses and does not vanish with more points is a
  jump.
- *Cutoff*: an oxygen atom moves from 1e-7 A inside the cutoff of an atom of a molecule to 1e-7 A outside.
- *Symmetries*: the energy of a turned and of a mirrored molecule; of a crystal one atom of which is moved
  by a lattice vector.
- *CO2 along x*: the Hessian by autograd less that by central differences of forces, h = 1e-4 A.

Neighbours are found here, for all models alike: the public code's cap of 50 is not part of the scan. For
--public see alphanet_speed.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from alphanet_speed import CUTOFF, MODELS, PUBLIC, make_ours, make_public, public_energies
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list
from torch import Tensor

Energies = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]

LINE = 0.02  # A
JUMPS = (1e-9, 1e-6, 1e-4)  # eV
MOLECULES = ("CH3OH", "CH3CHO", "CH3CH2OH")


# The scan: energies only


def gradients(energies: Energies, positions: Tensor, numbers: Tensor, cell: Tensor | None = None) -> Tensor:
    """dE/dx of each structure, [G, N, 3]."""
    x = positions.detach().requires_grad_(True)
    (found,) = torch.autograd.grad(energies(x, numbers, cell).sum(), x)
    return found


def along_line(
    energies: Energies, numbers: Tensor, start: Tensor, move: Tensor, points: int
) -> tuple[Tensor, Tensor]:
    """|Energy difference less Simpson's rule| of each pair of intervals [(points - 1)/2], and dE/dx there."""
    t = torch.linspace(0.0, 1.0, points, dtype=start.dtype)
    x = (start + t[:, None, None] * move).requires_grad_(True)
    e = energies(x, numbers, None)
    (gradient,) = torch.autograd.grad(e.sum(), x)
    slope = (gradient * move).sum((1, 2))
    expected = (slope[:-2:2] + 4 * slope[1::2] + slope[2::2]) / (3 * (points - 1))
    return (e[2::2] - e[:-2:2] - expected).detach().abs(), gradient


def lines(energies: Energies, count: int, points: int, seed: int) -> dict[str, float]:
    """Jumps along random lines, the same for each seed."""
    rng = np.random.default_rng(seed)
    residuals, forces = [], []
    for number in range(count):
        atoms = shaken(molecule(MOLECULES[number % len(MOLECULES)]), rng)
        move = rng.normal(size=(len(atoms), 3))
        move *= LINE / np.linalg.norm(move, axis=1).max()
        found, gradient = along_line(energies, *tensors(atoms), torch.tensor(move), points)
        residuals.append(found)
        forces.append(gradient.square().mean())
    every = torch.cat(residuals)
    result = {"root mean square force, eV/A": float(torch.stack(forces).mean().sqrt())}
    result["lines: largest energy jump, eV"] = float(every.max())
    for size in JUMPS:
        result[f"lines: jumps above {size:.0e} eV of {len(every)}"] = int((every > size).sum())
    return result


def cutoff(energies: Energies) -> dict[str, float]:
    """What happens when one pair goes from inside to outside of the cutoff."""
    sides = []
    for distance in (CUTOFF - 1e-7, CUTOFF + 1e-7):
        atoms = shaken(molecule("CH3CH2OH"), np.random.default_rng(2))
        far = atoms.positions[np.argmax(atoms.positions[:, 0])]  # the nearest of all to what lies beyond it
        atoms += Atoms("O", [far + (distance, 0.0, 0.0)])
        sides.append(atoms)
    numbers = torch.tensor(sides[0].numbers)
    x = torch.tensor(np.stack([a.positions for a in sides]))
    e, g = energies(x, numbers, None), gradients(energies, x, numbers)
    return {
        "cutoff: energy jump, eV": float((e[1] - e[0]).abs()),
        "cutoff: largest force jump, eV/A": float((g[1] - g[0]).abs().max()),
    }


def symmetries(energies: Energies) -> dict[str, float]:
    """Errors of the energy where it must not change, eV."""
    rng = np.random.default_rng(3)
    atoms = shaken(molecule("CH3CH2OH"), rng)
    numbers, x = tensors(atoms)
    turns = [np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(10)]
    turns = [q * np.linalg.det(q) for q in turns]
    e = energies(torch.stack([x] + [x @ torch.tensor(q) for q in turns]), numbers, None).detach()
    mirrored = energies(torch.stack([x, -x]), numbers, None).detach()

    crystal = shaken(bulk("Si", cubic=True) * (2, 1, 1), rng, 0.1)
    moved = crystal.copy()
    moved.positions[3] += crystal.cell[1]
    cell = torch.tensor(crystal.cell.array)
    here, there = (energies(x, n, cell).detach() for n, x in (batched(crystal), batched(moved)))
    return {
        "rotation: largest error, eV": float((e[1:] - e[0]).abs().max()),
        "reflection: error, eV": float((mirrored[1] - mirrored[0]).abs()),
        "atom moved by a lattice vector: error, eV": float((there - here).abs()),
    }


def carbon_dioxide(energies: Energies) -> dict[str, float]:
    """The Hessian of CO2 along x, eV/A^2."""
    atoms = Atoms("OCO", [(-1.16, 0, 0), (0, 0, 0), (1.16, 0, 0)])
    numbers, x = tensors(atoms)
    leaf = x[None].clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(energies(leaf, numbers, None).sum(), leaf, create_graph=True)
    rows = [torch.autograd.grad(g, leaf, retain_graph=True)[0].flatten() for g in gradient.flatten()]
    hessian = torch.stack(rows)
    h = 1e-4
    moves = h * torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape)
    forward, backward = (gradients(energies, x + sign * moves, numbers) for sign in (1, -1))
    differences = ((forward - backward) / (2 * h)).view(x.numel(), -1)
    return {
        "CO2: largest element of the Hessian, eV/A^2": float(hessian.abs().max()),
        "CO2: Hessian less differences of forces, eV/A^2": float((hessian - differences).abs().max()),
    }


def shaken(atoms: Atoms, rng: np.random.Generator, size: float = 0.05) -> Atoms:
    """A copy with every coordinate moved by a normal random number times ``size`` A."""
    atoms = atoms.copy()
    atoms.positions += rng.normal(0, size, atoms.positions.shape)
    return atoms


def tensors(atoms: Atoms) -> tuple[Tensor, Tensor]:
    """Numbers [N], positions [N, 3]."""
    return torch.tensor(atoms.numbers), torch.tensor(atoms.positions)


def batched(atoms: Atoms) -> tuple[Tensor, Tensor]:
    """Numbers [N], positions [1, N, 3]."""
    numbers, x = tensors(atoms)
    return numbers, x[None]


# The models


def edges_of(positions: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
    """Pairs of atoms within the cutoff in G structures that differ by less than 0.05 A, or have no cell.

    Returns:
        (i, j) [2, E], rows i and j count through all structures; shifts [E, 3].
    """
    count, size = positions.shape[:2]
    x = positions.detach()
    if cell is None:
        pairs = torch.ones(size, size).fill_diagonal_(0).nonzero().T
        shifts = torch.zeros(pairs.shape[1], 3, dtype=x.dtype)
    else:
        first = Atoms(f"H{size}", x[0].numpy(), cell=cell.numpy(), pbc=True)
        i, j, offsets = neighbor_list("ijS", first, CUTOFF + 0.1)
        pairs = torch.tensor(np.stack([i, j]))
        shifts = torch.tensor(offsets, dtype=x.dtype) @ cell
    vectors = x[:, pairs[1]] - x[:, pairs[0]] + shifts
    structure, pair = (vectors.norm(dim=-1) < CUTOFF).nonzero().T
    return pairs[:, pair] + size * structure, shifts[pair]


def potential(name: str, seed: int, path: Path) -> Energies:
    """A model of alphanet_speed.py as the scan wants it."""
    torch.manual_seed(seed)
    public = name.startswith("public")
    model = make_public(PUBLIC[name], path) if public else make_ours(name)

    def energies(positions: Tensor, numbers: Tensor, cell: Tensor | None) -> Tensor:
        count, size = positions.shape[:2]
        edges, shifts = edges_of(positions, cell)
        owner = torch.arange(count).repeat_interleave(size)
        flat, every = positions.reshape(-1, 3), numbers.repeat(count)
        if public:
            return public_energies(model, flat, every, owner, edges, shifts)
        batch = {"positions": flat, "atomic_numbers": every, "batch": owner, "edge_index": edges}
        return model(batch | {"shifts": shifts, "ptr": torch.arange(count + 1) * size})

    print(f"{name}: {sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    return energies


def main() -> None:
    """Command line."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--public", type=Path, help="checkout of the public AlphaNet")
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--points", type=int, default=101, help="on each line, an odd number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the numbers there, JSON")
    options = parser.parse_args()
    if options.points < 3 or options.points % 2 == 0:
        parser.error(f"--points: got {options.points}, wanted an odd number of 3 or more")

    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    names = [name for name, (group, _) in MODELS.items() if group in ("oma", "horm")]
    if options.public is None:
        names = [name for name in names if not name.startswith("public")]
        print("The public AlphaNet is left out: give its checkout with --public")
    results: dict[str, dict[str, float]] = {}
    for name in names:
        start = time.perf_counter()
        energies = potential(name, options.seed, (options.public or Path()).resolve())
        results[name] = lines(energies, options.lines, options.points, options.seed)
        for part in (cutoff, symmetries, carbon_dioxide):
            results[name] |= part(energies)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)

    step = LINE / (options.points - 1)
    table = Table(title=f"float64, {options.lines} lines of {LINE} A, a point every {step:.0e} A")
    table.add_column("what")
    for name in results:
        table.add_column(name, justify="right")
    for what in results[names[0]]:
        cells = (r[what] for r in results.values())
        table.add_row(what, *(str(c) if isinstance(c, int) else f"{c:.2e}" for c in cells))
    Console(width=None if sys.stdout.isatty() else 110).print(table)
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
