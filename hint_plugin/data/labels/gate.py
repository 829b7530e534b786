"""The gate that every Hessian label passes: does it obey physics, and if not, which mistake fits its numbers?

`examine` makes each test of `physics` that a label allows, and says which ones it could not make. It serves
`hint label` (a frame that fails it counts as failed), `hint dataset check`, the readers of labels, and both
trainers. No single test sees every mistake: docs/labels.md has a table of mistakes and tests, and
``benchmarks/label_gate.py`` measures how many mistakes are seen and how many right labels are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree, Rydberg, kcal, kJ, mol
from numpy.typing import NDArray

from hint_plugin.data.labels import physics
from hint_plugin.data.labels.label import HessianLabel
from hint_plugin.data.labels.telltales import exchanged, mistake
from hint_plugin.data.labels.thresholds import Thresholds, asymmetry, flat_pairs

TESTS = ("sum rule", "rotation", "bonds", "stability", "locality")

#: The unit that a matrix may be in, and what it has to be multiplied by.
UNITS = {
    "hartree/bohr^2": Hartree / Bohr**2,
    "kcal/mol/A^2": kcal / mol,
    "kJ/mol/A^2": kJ / mol,
    "Ry/bohr^2": Rydberg / Bohr**2,
    "eV/bohr^2": 1 / Bohr**2,
    "mdyn/A": 6.241509,
    "N/m": 0.06241509,
}
_ELECTRONS = 1822.888486  # electron masses in one amu
#: Forces that turn with the molecule prove the scale of H where they are this many times the allowed error.
_CONCLUSIVE = 2.0
_FALLS = 0.5  # what is left of a residual, relative to the size of H, behind a correction that is offered
_USUAL = 0.8  # stiffness of bonds in units of Badger's rule
#: In the logarithm of that stiffness: between corrections this near to each other it cannot decide.
_UNDECIDED = 1.0


@dataclass
class Verdict:
    """What the gate says of a label.

    Attributes:
        problems: what is wrong: sentences that say got, wanted, and what to do. Empty where all tests passed.
        untested: test -> why it could not be made.
    """

    problems: list[str] = field(default_factory=list)
    untested: dict[str, str] = field(default_factory=dict)


def examine(
    label: HessianLabel, atoms: Atoms, forces: NDArray | None = None, limits: Thresholds | None = None
) -> Verdict:
    """Make every test that the label allows.

    Args:
        label: of the structure; its shape has been checked.
        atoms: the structure.
        forces: [N, 3], eV/A, at the same geometry by the same method, or None: then rotations are not tested.
        limits: what is allowed.
    """
    limits = limits or Thresholds()
    difference, size = asymmetry(label)
    allowed = limits.allowed(size)
    if difference > allowed:
        return Verdict(
            [
                f"the Hessian is not symmetric: it differs from its transpose by {difference:.3g} eV/A^2; "
                f"wanted at most {allowed:.3g} ({limits.asymmetry:g} + {limits.relative_asymmetry:g} "
                f"max|H|). Is a "
                "triangle missing, or the order of atoms and axes mixed up? If it is noise, symmetrise it or "
                "leave the frame out"
            ]
        )
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        return Verdict(["positions or cell hold NaN or infinity. Remove the frame"])
    if not limits.physics:
        return Verdict(untested=dict.fromkeys(TESTS, "the tests of physics are switched off"))
    if text := exchanged(label):
        return Verdict([text])
    measured = physics.measure(label, atoms, forces)
    found = _broken(measured, label.kind, limits, label.noise)
    advice = ""
    if found:
        advice = mistake(label, atoms, forces, measured, limits)
        advice = advice or _advice(label, atoms, forces, limits)
    return Verdict([f"{found[0]}. {advice}"] if found else [], _untested(measured, atoms, forces))


def broken_laws(
    label: HessianLabel, atoms: Atoms, forces: NDArray | None = None, limits: Thresholds | None = None
) -> list[str]:
    """What a symmetric label breaks, as clauses, the most telling one first. Arguments as in `examine`."""
    return _broken(physics.measure(label, atoms, forces), label.kind, limits or Thresholds(), label.noise)


def _broken(found: physics.Measured, kind: str, limits: Thresholds, noise: float | None = None) -> list[str]:
    if found.is_placeholder:
        return ["every element of the Hessian is zero, although the atoms are at the distance of neighbours"]
    clauses = []
    allowed = limits.allowed_drift(found.size, noise)
    if found.drift > allowed:
        clauses.append(
            "the Hessian breaks the acoustic sum rule: moving all atoms together gives forces of "
            f"{found.drift:.3g} eV/A^2; wanted at most {allowed:.3g}"
        )
    allowed = limits.allowed_turn(found.size, noise)
    if found.turn is not None:
        if found.turn.residual > allowed:
            clauses.append(
                "the Hessian does not turn with the molecule: H (w x r) differs from w x g by "
                f"{found.turn.residual:.3g} eV/A^2; wanted at most {allowed:.3g}"
            )
        elif found.turn.signal > _CONCLUSIVE * (limits.rotation + limits.relative_rotation * found.size):
            return clauses  # the forces prove sign and scale, at geometries where rules of thumb may fail
    if not limits.rules_of_thumb:
        return clauses
    low, high = limits.pair_bonds if kind == "projected" else limits.bonds
    ratio, held, near = found.bonds, found.stability, found.locality
    if ratio is not None and not (low <= ratio <= high or limits.soft_bonds <= ratio <= -low):
        clauses.append(
            f"bonds are {ratio:.3g} times as stiff as their lengths let expect; wanted {low:g} to {high:g}"
        )
    if found.products is not None and found.products < limits.products:
        clauses.append(
            f"products Hv are {found.products:.3g} times as large as bonds let expect; wanted at least "
            f"{limits.products:g}"
        )
    if held is not None and kind != "projected" and held < limits.stability:
        clauses.append(
            "the Hessian pushes atoms away from where they are: its trace is "
            f"{held:.2g} of its size; wanted at least {limits.stability:g}"
        )
    if near is not None and near > limits.locality:
        clauses.append(
            "atoms far apart are coupled as strongly as neighbours: distance and coupling have a rank "
            f"correlation of {near:.2f}; wanted below {limits.locality:g}"
        )
    return clauses


def _untested(measured: physics.Measured, atoms: Atoms, forces: NDArray | None) -> dict[str, str]:
    found = {}
    if measured.turn is None:
        found["rotation"] = (
            "the structure is periodic"
            if atoms.pbc.any()
            else "the frame has no forces"
            if forces is None
            else "the frame has a single atom"
        )
    if measured.bonds is None and measured.products is None:
        found["bonds"] = "no bond between light non-metals is there, or no probe stretches one"
    if measured.stability is None:
        found["stability"] = "no atoms are at the distance of neighbours, or the cell has fewer than eight"
    if measured.locality is None:
        found["locality"] = "there are too few atoms (12 in a molecule, 32 in a cell), or pairs (v, Hv) only"
    return found


def _advice(label: HessianLabel, atoms: Atoms, forces: NDArray | None, limits: Thresholds) -> str:
    """The mistake that fits the numbers: the one whose correction passes all tests.

    A law that is broken has to be broken less in units of the matrix's own size: a factor that makes all
    numbers small hides a residual, and mends nothing.
    """
    if physics.largest(label) == 0:
        return "Is it a placeholder? Remove the label, or make it again"
    fits, measured = [], physics.measure(label, atoms, forces)
    for text, other, given in _corrections(label, atoms, forces):
        difference, size = asymmetry(other)
        if difference > limits.allowed(size):
            continue
        then = physics.measure(other, atoms, given)
        if _broken(then, other.kind, limits, other.noise) or not _less_broken(measured, then, label, limits):
            continue
        ratio = physics.bond_ratio(other, atoms)
        ratio = physics.product_ratio(other, atoms) if ratio is None else ratio
        fits.append((0.0 if ratio is None else abs(float(np.log(max(ratio, 1e-3) / _USUAL))), text))
    near = [text for distance, text in fits if distance <= min(fits)[0] + _UNDECIDED]
    if near:
        return "; or ".join([near[0], *(text[0].lower() + text[1:] for text in near[1:2])])
    return (
        "No other unit, sign or order of axes makes it right. Are its atoms in another order, or its axes in "
        "another orientation, than those of the structure? Do label, forces and geometry belong together?"
    )


def _less_broken(
    before: physics.Measured, after: physics.Measured, label: HessianLabel, limits: Thresholds
) -> bool:
    if before.drift > limits.allowed_drift(before.size, label.noise) and not (
        after.drift * before.size < _FALLS * before.drift * after.size
    ):
        return False
    if before.turn is None or before.turn.residual <= limits.allowed_turn(before.size, label.noise):
        return True
    return after.turn is not None and (
        after.turn.residual * before.size < _FALLS * before.turn.residual * after.size
    )


def _corrections(
    label: HessianLabel, atoms: Atoms, forces: NDArray | None
) -> Iterator[tuple[str, HessianLabel, NDArray | None]]:
    """(what to say, the label corrected, forces): simple mistakes, undone."""
    for unit, factor in UNITS.items():
        yield f"It looks like {unit}: multiply it by {factor:.6g}", _scaled(label, factor), forces
    yield "Its sign is wrong: the label is -H. Multiply it by -1", _scaled(label, -1.0), forces
    if forces is not None:
        text = "The forces have the sign of the gradient: multiply them by -1, and keep the Hessian"
        yield text, label, -np.asarray(forces, dtype=float)
    for unit, factor in (("eV/A^2", 1.0), ("hartree/bohr^2", UNITS["hartree/bohr^2"])):
        for mass, count in (("amu", 1.0), ("electron masses", _ELECTRONS)):
            also = "" if factor * count == 1 else f" and by {factor * count:.6g}"
            text = f"It is mass-weighted ({unit} over {mass}): multiply each element by sqrt(m_a m_b){also}"
            yield text, _scaled(_unweighted(label, atoms), factor * count), forces
    if label.kind == "full":
        text = "Its rows are sorted by axis (x of all atoms first): sort them by atom, then x, y, z"
        yield text, _reordered(label), forces


def _scaled(label: HessianLabel, factor: float) -> HessianLabel:
    if label.hessian is not None:
        return replace(label, hessian=label.hessian * factor)
    return replace(label, hvp=None if label.hvp is None else label.hvp * factor)


def _unweighted(label: HessianLabel, atoms: Atoms) -> HessianLabel:
    """H from D = M^-1/2 H M^-1/2; of pairs, (M^-1/2 v, M^1/2 D v)."""
    root = np.sqrt(np.repeat(atoms.get_masses(), 3))
    if label.hessian is not None:
        own = root if label.atoms is None else root.reshape(-1, 3)[label.atoms].ravel()
        return replace(label, hessian=own[:, None] * label.hessian * root)
    v, hv = flat_pairs(label)
    shape = (len(v), -1, 3)
    return replace(label, probes=(v / root).reshape(shape), hvp=(hv * root).reshape(shape))


def _reordered(label: HessianLabel) -> HessianLabel:
    """From (axis, atom) to (atom, axis)."""
    n = label.n_atoms
    order = np.arange(3 * n).reshape(3, n).T.ravel()
    assert label.hessian is not None
    return replace(label, hessian=label.hessian[np.ix_(order, order)])
