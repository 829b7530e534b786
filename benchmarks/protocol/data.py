"""Geometries, their GFN2-xTB and wB97X/6-31G(d) labels, and what is changed in labels.

Molecules of 5 to 12 atoms; whole formulas are held out. Files of the study's folder, all with energies,
forces and full Hessians: {gfn2,dft}-{train,valid,test}.xyz, gfn2-{minima,rest}.xyz (minima of the training's
formulas, of the others).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _commands import run
from ase import Atoms

from hint_plugin.data import HessianLabel, iter_frames, read_frames, read_label, write_frames, write_label
from protocol.molecules import displaced, enumerate_molecules, isomer_paths

ATOMS = (5, 12)
SIGMAS = (0.04, 0.08, 0.12)  # A
DFT = "pyscf -e preset=transition1x -e grid_level=3"


@dataclass(frozen=True)
class Amounts:
    """Of data.

    Attributes:
        heavy: atoms of C, N, O in a molecule, at most.
        copies: displaced ones of each minimum of the training's formulas.
        paths, images: paths between isomers of the training's formulas; images of each that are kept.
        test: frames of the held-out formulas.
        dft: frames with DFT labels to train on; a fifth of it to validate, half of it to test.
        dft_atoms: in a molecule of these, at most.
    """

    heavy: int
    copies: int
    paths: int
    images: int
    test: int
    dft: int
    dft_atoms: int


def make_data(folder: Path, amounts: Amounts, jobs: int) -> None:
    """Geometries, and their GFN2-xTB labels; what is there is not made again."""
    if not (folder / "geometries-test.xyz").exists():
        _make_geometries(folder, amounts, jobs)
    for name in ("train", "valid", "test", "minima", "rest"):
        label(folder, f"geometries-{name}.xyz", f"gfn2-{name}.xyz", "gfn2-xtb", jobs)


def make_dft_data(folder: Path, amounts: Amounts, jobs: int) -> None:
    """The files of DFT, of some of the geometries."""
    wanted = {"train": amounts.dft, "valid": amounts.dft // 5, "test": amounts.dft // 2}
    for seed, (name, count) in enumerate(wanted.items()):
        source = folder / f"geometries-dft-{name}.xyz"
        if not source.exists():
            small = [a for a in iter_frames(folder / f"geometries-{name}.xyz") if len(a) <= amounts.dft_atoms]
            random.Random(seed).shuffle(small)
            write_frames(source, small[:count])
        label(folder, source.name, f"dft-{name}.xyz", DFT, jobs)


def _make_geometries(folder: Path, amounts: Amounts, jobs: int) -> None:
    every = enumerate_molecules(amounts.heavy).values()
    write_frames(folder / "start.xyz", [a for a in every if ATOMS[0] <= len(a) <= ATOMS[1]])
    if not (folder / "optimised.xyz").exists():
        run("hint optimize start.xyz --engine gfn2-xtb -o optimised.xyz", folder, allowed=(0, 3))
    minima = [Atoms(a.symbols, a.positions, info={"name": a.info["name"]}) for a in
              iter_frames(folder / "optimised.xyz")]  # fmt: skip
    formulas = sorted({a.get_chemical_formula() for a in minima})
    random.Random(0).shuffle(formulas)
    held_out = set(formulas[: max(2, len(formulas) // 4)])
    own = [a for a in minima if a.get_chemical_formula() not in held_out]
    rest = [a for a in minima if a.get_chemical_formula() in held_out]
    paths = [thinned(p, amounts.images) for p in isomer_paths(own, 9, amounts.paths, seed=1)]
    train = displaced(own, amounts.copies, SIGMAS, seed=2)
    train += displaced([a for path in paths for a in path], 1, SIGMAS[:1], seed=3)
    test_paths = [thinned(p, amounts.images) for p in isomer_paths(rest, 9, amounts.test // 8, seed=4)]
    test = displaced(rest, max(1, amounts.test // max(1, len(rest))), SIGMAS, seed=5)
    test += displaced([a for path in test_paths for a in path], 1, SIGMAS[:1], seed=6)
    rng = random.Random(7)
    rng.shuffle(train)
    rng.shuffle(test)
    valid, train = train[: len(train) // 10], train[len(train) // 10 :]
    parts = {"minima": own, "rest": rest, "train": train, "valid": valid, "test": test[: amounts.test]}
    for name, frames in parts.items():  # test is the last: it says that all are there
        write_frames(folder / f"geometries-{name}.xyz", frames)


def thinned(path: Sequence[Atoms], images: int) -> list[Atoms]:
    """So many of the images, evenly spread, without those beside the ends."""
    return [path[round(k)] for k in np.linspace(1, len(path) - 2, images)]


def label(folder: Path, source: str, target: str, engine: str, jobs: int) -> None:
    """By `hint label`, which goes on where it was stopped. What fails is left out and counted in its JSON."""
    if not (folder / target).exists():
        run(f"hint label {source} -o {target} --engine {engine} --jobs {jobs}", folder, allowed=(0, 3))


def _fixed(probes: int) -> Callable[[HessianLabel, np.random.Generator], HessianLabel]:
    return lambda label, rng: label.to_projected(probes, rng)


def _one_column(label: HessianLabel, rng: np.random.Generator) -> HessianLabel:
    """One column, scaled so that the loss is that of `hint_column`: |dH v|^2 / (3N)^2 with |v|^2 = 3N."""
    n = 3 * label.n_atoms
    v = np.zeros(n)
    v[rng.integers(n)] = np.sqrt(n)
    return label.along(v.reshape(1, -1, 3))


CHANGES: dict[str, Callable[[HessianLabel, np.random.Generator], HessianLabel]] = {
    "one fixed probe": _fixed(1),
    "two fixed probes": _fixed(2),
    "one fixed column": _one_column,
}


def change_labels(path: Path, change: str, seed: int) -> None:
    """Every Hessian label of a file, in place."""
    frames = read_frames(path)
    for number, atoms in enumerate(frames):
        found = read_label(atoms)
        if found is not None:
            write_label(atoms, CHANGES[change](found, np.random.default_rng([seed, number])))
    write_frames(path, frames)
