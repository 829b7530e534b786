"""How many wrong Hessian labels does the gate see, and how many right ones does it refuse?

Right labels of twelve kinds of structure (`_gate_frames.py`) are given to the gate as full matrices, as rows
of a third of
the atoms, as one pair (v, Hv) and as four, each with and without forces. Then every mistake of `MISTAKES` is
planted into each.
A mistake counts only where it changes the label by a tenth of its largest element: exchanging the two atoms
of H2 is no mistake.

    python benchmarks/label_gate.py --frames 1000 --jobs 2 -o label_gate.json

prints a table for each form of the label and writes the counts. Labels by GFN2-xTB and by PySCF take a few
minutes.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from _gate_frames import KINDS, frames
from ase import Atoms
from scipy.spatial.transform import Rotation

from hint_plugin.data import HessianLabel, Thresholds
from hint_plugin.data.labels.gate import UNITS, broken_laws
from hint_plugin.data.labels.thresholds import asymmetry

#: Part of all frames; salts and DFT are dear, and there are few different one-atom cells.
SHARES = {
    "minima": 0.15, "saddles": 0.12, "strained": 0.2, "hydrogen bonds": 0.1, "ions": 0.12, "radicals": 0.15,
    "metals": 0.1, "covalent crystals": 0.06, "salts": 0.01, "one atom a cell": 0.03, "coarse DFT": 0.04,
    "published DFT": 0.06,
}  # fmt: skip
FORMS = ("full", "full, no forces", "rows", "1 pair", "4 pairs")

Mistake = Callable[[np.ndarray, Atoms, np.random.Generator], np.ndarray]


def _exchanged(h: np.ndarray, order: np.ndarray) -> np.ndarray:
    index = (3 * order[:, None] + np.arange(3)).ravel()
    return h[np.ix_(index, index)]


def _two_exchanged(h: np.ndarray, atoms: Atoms, rng: np.random.Generator) -> np.ndarray:
    order = np.arange(len(atoms))
    if len(atoms) > 1:
        pair = rng.choice(len(atoms), 2, replace=False)
        order[pair] = order[pair[::-1]]
    return _exchanged(h, order)


def _by_axis(h: np.ndarray, atoms: Atoms, _: np.random.Generator) -> np.ndarray:
    index = np.arange(len(h)).reshape(len(atoms), 3).T.ravel()
    return h[np.ix_(index, index)]


def _turned(h: np.ndarray, atoms: Atoms, rng: np.random.Generator) -> np.ndarray:
    turn = np.kron(np.eye(len(atoms)), Rotation.random(random_state=int(rng.integers(2**31))).as_matrix())
    return turn @ h @ turn.T


def _mass_weighted(h: np.ndarray, atoms: Atoms, _: np.random.Generator) -> np.ndarray:
    root = np.sqrt(np.repeat(atoms.get_masses(), 3))
    return h / np.outer(root, root)


MISTAKES: dict[str, Mistake] = {
    "zeros": lambda h, atoms, rng: 0 * h,
    "-H": lambda h, atoms, rng: -h,
    "lower triangle": lambda h, atoms, rng: np.tril(h),
    "x y z sorted by axis": _by_axis,
    "atoms permuted": lambda h, atoms, rng: _exchanged(h, rng.permutation(len(atoms))),
    "two atoms exchanged": _two_exchanged,
    "axes turned": _turned,
    "mass-weighted": _mass_weighted,
    **{unit: (lambda h, atoms, rng, factor=factor: h / factor) for unit, factor in UNITS.items()},
}


def as_form(matrix: np.ndarray, atoms: Atoms, form: str, seed: int) -> HessianLabel:
    """The matrix as a label of a form."""
    n, rng = len(atoms), np.random.default_rng(seed)
    if form == "rows":
        chosen = np.sort(rng.choice(n, max(1, n // 3), replace=False))
        return HessianLabel.rows(matrix.reshape(n, 3, 3 * n)[chosen].reshape(-1, 3 * n), chosen, n)
    label = HessianLabel.full(matrix, n_atoms=n)
    return label.to_projected(int(form[0]), rng) if "pair" in form else label


def is_refused(label: HessianLabel, atoms: Atoms, forces: np.ndarray | None, limits: Thresholds) -> bool:
    """As `gate.examine` decides, without looking for the mistake that fits."""
    difference, size = asymmetry(label)
    return difference > limits.allowed(size) or bool(broken_laws(label, atoms, forces, limits))


def count(kind: str, wanted: int) -> dict:
    """Counts of one kind: form -> {"frames", "refused", mistake: [seen, planted]}, and the labels refused
    though right."""
    limits, rng = Thresholds(), np.random.default_rng(1)
    counts: dict = {
        form: {"frames": 0, "refused": 0, **{name: [0, 0] for name in MISTAKES}} for form in FORMS
    }
    suspects = []
    for number, (atoms, label) in enumerate(frames(kind, wanted)):
        matrix = label.hessian
        assert matrix is not None
        wrong = {name: mistake(matrix, atoms, rng) for name, mistake in MISTAKES.items()}
        for form in FORMS:
            forces = None if "no forces" in form else atoms.arrays.get("REF_forces")
            row = counts[form]
            row["frames"] += 1
            if is_refused(as_form(matrix, atoms, form, number), atoms, forces, limits):
                row["refused"] += 1
                reasons = broken_laws(as_form(matrix, atoms, form, number), atoms, forces, limits)
                suspects.append(f"{kind} {number} {atoms.get_chemical_formula()}, {form}: {reasons[:1]}")
            for name, other in wrong.items():
                if np.abs(other - matrix).max() <= 0.1 * np.abs(matrix).max():
                    continue
                row[name][1] += 1
                row[name][0] += is_refused(as_form(other, atoms, form, number), atoms, forces, limits)
    return {"kind": kind, "forms": counts, "suspects": suspects}


def main() -> None:
    """Count, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1000, help="right frames in all")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, default=Path("label_gate.json"))
    options = parser.parse_args()
    wanted = {kind: math.ceil(options.frames * SHARES[kind]) for kind in options.kinds}
    with ProcessPoolExecutor(options.jobs) as pool:
        results = list(pool.map(count, wanted, wanted.values()))
    options.output.write_text(json.dumps(results, indent=1))
    for form in FORMS:
        print(f"\n{form}: per cent of the mistakes that are seen")
        print("| kind | frames | refused though right | " + " | ".join(MISTAKES) + " |")
        print("|---" * (len(MISTAKES) + 3) + "|")
        for result in results:
            row = result["forms"][form]
            seen = [f"{100 * row[m][0] / row[m][1]:.0f}" if row[m][1] else "" for m in MISTAKES]
            print(f"| {result['kind']} | {row['frames']} | {row['refused']} | " + " | ".join(seen) + " |")
    for result in results:
        for line in result["suspects"]:
            print("refused:", line)


if __name__ == "__main__":
    main()
