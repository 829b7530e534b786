"""H + H2 on a LEPS surface: three atoms, analytic, with a symmetric linear saddle.

E = Q1 + Q2 + Q3 - (J1^2 + J2^2 + J3^2 - J1 J2 - J2 J3 - J3 J1)^(1/2) of the three bonds, with Coulomb and
exchange integrals from Morse and anti-Morse curves of H2 (S. Sato, J. Chem. Phys. 23, 592 (1955)).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from hint_plugin.data import write_frames
from hint_plugin.data.labels.ase_energies import with_energy
from hint_plugin.science.molecules.modes import normal_modes
from hint_plugin.science.reactions import follow

DEPTH, WIDTH, LENGTH, SATO = 4.746, 1.942, 0.7414, 0.17


def energy(x: torch.Tensor) -> torch.Tensor:
    """eV, of positions [N, 3] of one to three H."""
    if len(x) == 1:
        return 0.0 * x.sum()
    if len(x) == 2:
        x = torch.cat([x, x[:1] + 50.0])
    r = torch.stack([(x[i] - x[j]).square().sum().sqrt() for i, j in ((0, 1), (1, 2), (0, 2))])
    y = torch.exp(-WIDTH * (r - LENGTH))
    singlet, triplet = DEPTH * (y**2 - 2 * y), 0.5 * DEPTH * (y**2 + 2 * y)
    k = SATO
    q = 0.5 * ((1 + k) * singlet + (1 - k) * triplet) / (1 + k)
    j = 0.5 * ((1 + k) * singlet - (1 - k) * triplet) / (1 + k)
    cross = j[0] * j[1] + j[1] * j[2] + j[2] * j[0]
    return q.sum() - (j.square().sum() - cross).sqrt()


class Leps(Calculator):
    """ASE calculator of `energy`, with exact Hessians."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        super().calculate(atoms, properties, system_changes)
        x = torch.tensor(self.atoms.positions, requires_grad=True)
        value = energy(x)
        (slope,) = torch.autograd.grad(value, x)
        self.results = {"energy": float(value.detach()), "forces": -slope.numpy()}

    def get_hessian(self, atoms):
        n = 3 * len(atoms)
        if n == 3:
            return np.zeros((3, 3))
        matrix = torch.autograd.functional.hessian(energy, torch.tensor(atoms.positions))
        return matrix.reshape(n, n).numpy()


def saddle() -> Atoms:
    """H-H-H: both bonds of the same length, where they do not push."""
    low, high = 0.85, 1.1
    for _ in range(60):
        middle = 0.5 * (low + high)
        atoms = Atoms("H3", [[-middle, 0, 0], [0, 0, 0], [middle, 0, 0]])
        atoms.calc = Leps()
        low, high = (middle, high) if atoms.get_forces()[2, 0] > 0 else (low, middle)
    return atoms


def reaction_folder(path: Path) -> Path:
    """What `hint reaction` would leave of H + H2 -> H2 + H."""
    path.mkdir()
    top = saddle()
    hessian = top.calc.get_hessian(top)
    sides = [follow(top, hessian, direction, steps=60) for direction in (-1, 1)]
    if sides[0].images[-1].get_distance(1, 2) > sides[0].images[-1].get_distance(0, 1):
        sides.reverse()  # the reactant: atom 0 alone
    images = [*reversed(sides[0].images), *sides[1].images[1:]]
    energies = [*reversed(sides[0].energies), *sides[1].energies[1:]]
    write_frames(path / "irc.xyz", map(with_energy, images, energies))
    for name, x in (
        ("reactant", [[-12.0, 0, 0], [0, 0, 0], [LENGTH, 0, 0]]),
        ("transition_state", top.positions),
        ("product", [[-LENGTH, 0, 0], [0, 0, 0], [12.0, 0, 0]]),
    ):
        atoms = Atoms("H3", x, info={"spin": 2, "charge": 0})
        atoms.calc = Leps()
        write_frames(path / f"{name}.xyz", [with_energy(atoms, atoms.get_potential_energy())])
    found = {
        "verdict": "intended",
        "verdicts": {"reactbench": "Intended", "strict": True, "geometric": True},
        "stage": "done",
        "failure": "",
        "ends_are": ["minimum", "minimum"],
        "ends_converged": [True, True],
        "doubts": {},
        "imaginary": normal_modes(top, hessian).imaginary.tolist(),
        "provenance": {},
    }
    (path / "reaction.json").write_text(json.dumps(found))
    return path
