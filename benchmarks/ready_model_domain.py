"""How near atoms came to each other in the training of the model that comes with HINT: its set, made again.

    python benchmarks/ready_model_domain.py [--install]

The set of `alphanet-gfn2` was not kept. Its molecules, displacements and reactions follow from seeds; the
random numbers behind its geodesic paths were not fixed then. So the set is made twice, with different ones,
and compared with the card: number of frames, formulas, errors of the model on what was held out. Molecules
are optimised by L-BFGS, and labels have no Hessians: three minutes of one core instead of two hours.
`--install` puts the smaller of both distances of each pair of elements, rounded down to 0.01 A, and the
largest force, rounded up to 0.1 eV/A, into the artifact, and the artifact's hash into the card. Needs `pip
install rdkit` besides the extras label and reactions.
"""

from __future__ import annotations

import argparse
import math
import random
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from _reaction_set import candidates
from ase import Atoms
from ase.calculators.calculator import CalculationFailed
from ase.optimize import LBFGS
from protocol import molecules
from protocol.data import ATOMS, SIGMAS, thinned
from protocol.molecules import displaced, enumerate_molecules, isomer_paths
from ready_model import LARGEST, NAME, SIZES, path_of_reaction
from tblite.ase import TBLite

from hint_plugin import pretrained
from hint_plugin.artifact.archive import METADATA
from hint_plugin.artifact.domain import TrainingDomain
from hint_plugin.artifact.metadata import Metadata, read_metadata, read_whole
from hint_plugin.data.file_io import file_sha256, replacing, write_json
from hint_plugin.potentials.artifact_potential import ArtifactPotential
from hint_plugin.science.reactions.paths import same_random_numbers

Labelled = list[tuple[Atoms, float, np.ndarray]]
"""Structure, energy (eV), forces (eV/A)."""


def minima() -> list[Atoms]:
    """Of the molecules of the study, by GFN2-xTB."""
    found = []
    for atoms in enumerate_molecules(SIZES["small"].molecules.heavy).values():
        if ATOMS[0] <= len(atoms) <= ATOMS[1]:
            atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
            LBFGS(atoms, logfile=None, maxstep=0.1).run(fmax=0.02, steps=120)
            found.append(Atoms(atoms.symbols, atoms.positions, info=dict(atoms.info)))
    return found


def of_molecules(found: list[Atoms]) -> tuple[list[Atoms], list[Atoms]]:
    """Training and test, as `protocol.data` makes them."""
    amounts = SIZES["small"].molecules
    formulas = sorted({a.get_chemical_formula() for a in found})
    random.Random(0).shuffle(formulas)
    held_out = set(formulas[: max(2, len(formulas) // 4)])
    own = [a for a in found if a.get_chemical_formula() not in held_out]
    rest = [a for a in found if a.get_chemical_formula() in held_out]
    paths = [a for p in isomer_paths(own, 9, amounts.paths, seed=1) for a in thinned(p, amounts.images)]
    train = displaced(own, amounts.copies, SIGMAS, seed=2) + displaced(paths, 1, SIGMAS[:1], seed=3)
    paths = [a for p in isomer_paths(rest, 9, amounts.test // 8, seed=4) for a in thinned(p, amounts.images)]
    test = displaced(rest, max(1, amounts.test // len(rest)), SIGMAS, seed=5)
    test += displaced(paths, 1, SIGMAS[:1], seed=6)
    rng = random.Random(7)
    rng.shuffle(train)
    rng.shuffle(test)
    return train[len(train) // 10 :], test[: amounts.test]


def of_reactions(pairs: list[tuple[str, Atoms, Atoms]]) -> tuple[list[Atoms], list[Atoms]]:
    """Training and test, as `ready_model` makes them."""
    found = [path_of_reaction(name, reactant.copy(), product.copy()) for name, reactant, product in pairs]
    random.Random(0).shuffle(found)
    held_out = max(1, len(found) // 8)
    return [a for path in found[held_out:] for a in path], [a for path in found[:held_out] for a in path]


def labelled(frames: Iterable[Atoms]) -> Labelled:
    """With GFN2-xTB's energies and forces; without frames that have none, or too large ones."""
    found = []
    for atoms in frames:
        calculator = TBLite(method="GFN2-xTB", verbosity=0)
        try:
            energy, forces = calculator.get_potential_energy(atoms), calculator.get_forces(atoms)
        except CalculationFailed:
            continue
        if np.abs(forces).max() < LARGEST:
            found.append((atoms, energy, forces))
    return found


def errors(potential: ArtifactPotential, frames: Labelled) -> str:
    """Of the model on these frames."""
    evaluations = potential.evaluate([atoms for atoms, _, _ in frames])
    pairs = list(zip(evaluations, frames, strict=True))
    energy = np.mean([abs(e.energy - energy) / len(atoms) for e, (atoms, energy, _) in pairs])
    forces = np.concatenate([np.abs(e.forces - forces).ravel() for e, (_, _, forces) in pairs]).mean()
    return f"energy {energy:.5f} eV/atom, forces {forces:.4f} eV/A"


def install(shortest: dict[str, float], largest_force: float) -> None:
    """Into the metadata of the artifact, whose other entries stay as they are."""
    path = pretrained.path_of(NAME)
    before, _ = read_whole(path)
    note = "distances and largest force: of the set made again by benchmarks/ready_model_domain.py"
    known = {"shortest_distances": shortest, "largest_force": largest_force}
    metadata = replace(
        before,
        training_domain={**(before.training_domain or {}), **known},
        provenance={**before.provenance, "training_domain": note},
    )
    with replacing(path) as temporary:
        _with_metadata(path, temporary, metadata)
        after, _ = read_whole(temporary)
        if after != metadata:
            raise RuntimeError("the artifact does not say what was written")
    card = pretrained.card(NAME)
    card["sha256"][pretrained.ARTIFACT] = file_sha256(path)
    write_json(pretrained.path_of(NAME, pretrained.CARD), card)


def _with_metadata(path: Any, to: Any, metadata: Metadata) -> None:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as new:
        for info in old.infolist():
            is_metadata = info.filename.partition("/")[2] == METADATA
            data = metadata.to_json().encode() if is_metadata else old.read(info)
            new.writestr(zipfile.ZipInfo(info.filename, info.date_time), data, info.compress_type)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--install", action="store_true", help="into hint_plugin/pretrained")
    options = parser.parse_args()
    card, potential = pretrained.card(NAME), ArtifactPotential(NAME)
    cutoff = read_metadata(pretrained.path_of(NAME)).cutoff
    optimised, pairs = minima(), list(candidates(SIZES["small"].reactions, seed=0))
    nearest: dict[str, list[float]] = {}
    largest = 0.0
    for seed in (0, 1):
        molecules.same_random_numbers = partial(same_random_numbers, seed)
        sets = [[labelled(part) for part in made] for made in (of_molecules(optimised), of_reactions(pairs))]
        train = sets[0][0] + sets[1][0]
        formulas, wanted = {a.get_chemical_formula() for a, _, _ in train}, card["training"]
        print(
            f"paths {seed}: {len(train)} frames ({wanted['frames']} on the card), {len(sets[1][0])} of "
            f"reactions ({wanted['of_paths_of_reactions']}), {len(formulas)} formulas ({wanted['formulas']})"
        )
        for name, (_, test) in zip(("errors", "errors_on_reactions"), sets, strict=True):
            was = f"energy {card[name]['energy_mae']}, forces {card[name]['forces_mae']}"
            print(f"  {name.replace('_', ' ')}: {errors(potential, test)} ({was})")
        domain = TrainingDomain.of(((atoms, forces) for atoms, _, forces in train), cutoff)
        print(f"  {domain}", flush=True)
        largest = max(largest, domain.largest_force or 0.0)
        for pair, distance in (domain.shortest_distances or {}).items():
            nearest.setdefault(pair, []).append(distance)
    apart = max((max(found) - min(found)) / min(found) for found in nearest.values())
    print(f"the distances of the two differ by {100 * apart:.1f} % at most")
    if options.install:
        shortest = {pair: math.floor(100 * min(found)) / 100 for pair, found in nearest.items()}
        install(shortest, math.ceil(10 * largest) / 10)


if __name__ == "__main__":
    main()
