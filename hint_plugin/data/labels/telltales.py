"""Mistakes that a label's numbers give away by themselves, and frames whose forces or stress are unusual.

`mistake` looks at a label that breaks a law, or that breaks none and is wrong all the same; `unusual` finds
what is legal, and seldom meant. Both answer in sentences, and raise nothing.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.labels.frame_labels import frame_labels
from hint_plugin.data.labels.label import HessianLabel
from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.data.labels.physics import Measured, bond_ratio, is_rademacher
from hint_plugin.data.labels.thresholds import Thresholds, flat_pairs
from hint_plugin.errors import LabelError

_PROJECTED = 1e-3  # |H (w x r)| over max|H|: below it, rotations are not in the matrix
_MIN_ATOMS = 3  # a diatomic molecule may have products of one size
_STIFF = 2.5  # bonds of pairs beyond this many times Badger's are looked at twice
_BALANCE = 0.05  # net force or torque, in units of sum |F| and sum |r||F|; coarse grids of DFT have less
_BALANCE_ABSOLUTE = 0.05  # eV/A, and eV for the torque
_SHEAR = 1e-3  # of the largest element of a stress, between the two that should be equal


def mistake(
    label: HessianLabel, atoms: Atoms, forces: NDArray | None, measured: Measured, limits: Thresholds
) -> str:
    """What the numbers themselves say of a label that breaks a law; "" where they say nothing."""
    if measured.size == 0:
        return ""  # a placeholder
    too_far = measured.drift > limits.allowed_drift(measured.size, label.noise)
    if too_far and (frozen := _frozen(label)):
        return (
            f"{frozen} of {len(atoms)} atoms have rows of zeros. Were they frozen? Then this is a part of "
            "the Hessian in the form of a whole one. Compute the rows of the free atoms against all atoms (a "
            "rows label), or leave the Hessian out"
        )
    turn, allowed = measured.turn, limits.allowed_turn(measured.size, label.noise)
    if forces is None or turn is None or turn.residual <= allowed:
        return ""
    if not np.any(forces):
        return (
            "All forces are zero. Are they placeholders? Give those of this geometry, or remove them; the "
            "Hessian may be right"
        )
    if turn.product < _PROJECTED * measured.size:
        return (
            "H (w x r) is zero although the forces are not: rotations were projected out of the Hessian, as "
            "xtb --hess and aoforce do. It is no second derivative at this geometry: label it anew "
            "(hint label)"
        )
    return ""


def exchanged(label: HessianLabel) -> str:
    """Of pairs: whether v and Hv have changed places; "" if not."""
    if label.probes is None or label.hvp is None or label.n_atoms < _MIN_ATOMS:
        return ""
    if is_rademacher(label.hvp) and not is_rademacher(label.probes):
        return (
            "the products Hv have entries of one size, as probes have, and the probes have not. Are v and Hv "
            "exchanged? Write each under the other's key"
        )
    return ""


def unusual(atoms: Atoms, label: HessianLabel | None, keys: LabelKeys) -> list[str]:
    """What is legal, and seldom meant: sentences without the frame."""
    try:
        known = frame_labels(atoms, keys)
    except LabelError:
        return []  # told as a problem
    found = [] if label is None else _units_of_probes(label, atoms)
    if known.forces is not None and not atoms.pbc.any() and len(atoms) > 1:
        found += _balance(atoms, known.forces, "forces" if known.ase else keys.forces)
    if known.stress_asymmetry > _SHEAR:
        name = "stress" if known.ase else keys.stress
        found.append(
            f"{name} is not symmetric, by {known.stress_asymmetry:.2g} of its largest element; the mean of "
            "both triangles is taken. Is it a stress, and in the order of ASE"
        )
    return found


def _frozen(label: HessianLabel) -> int:
    """Atoms whose rows, and columns, are zero, where those of others are not."""
    if label.hessian is None or label.kind != "full":
        return 0
    size = np.abs(label.hessian.reshape(label.n_atoms, 3, -1)).max(axis=(1, 2))
    return int((size == 0).sum()) if size.any() else 0


def _units_of_probes(label: HessianLabel, atoms: Atoms) -> list[str]:
    """Probes of length one with products of longer ones: their scale differs by sqrt(3N)."""
    if label.kind != "projected":
        return []
    v, _ = flat_pairs(label)
    ratio, factor = bond_ratio(label, atoms), float(np.sqrt(v.shape[1]))
    if ratio is None or not np.allclose(np.linalg.norm(v, axis=1), 1.0, atol=1e-6) or ratio < _STIFF:
        return []
    return [
        f"the probes have length one, and bonds are {ratio:.2g} times as stiff as their lengths let expect. "
        f"Are the products those of probes with entries +-1, which are {factor:.3g} times as long"
    ]


def _balance(atoms: Atoms, forces: NDArray, name: str) -> list[str]:
    """Net force and net torque of a molecule in no field."""
    arms = atoms.positions - atoms.positions.mean(axis=0)
    if not np.isfinite(arms).all():
        return []
    sizes = np.linalg.norm(forces, axis=1)
    net, torque = (float(np.linalg.norm(x.sum(axis=0))) for x in (forces, np.cross(arms, forces)))
    levers = float((np.linalg.norm(arms, axis=1) * sizes).sum())
    found = []
    if net > _BALANCE_ABSOLUTE + _BALANCE * float(sizes.sum()):
        found.append(f"a net force of {net:.2g} eV/A")
    if torque > _BALANCE_ABSOLUTE + _BALANCE * levers:
        found.append(f"a net torque of {torque:.2g} eV")
    if not found:
        return []
    return [
        f"{name} have {' and '.join(found)}; a molecule in no field has none. Are they of this geometry, in "
        "the order of its atoms and in its orientation? Or were atoms held"
    ]
