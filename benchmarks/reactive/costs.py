"""What one unit of each kind costs, by the number of atoms, and from it the core hours of a set."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from rdkit import Chem
from rdkit.Chem.rdMolDescriptors import CalcMolFormula

from hint_plugin.labelling import make_engine, make_labels
from hint_plugin.sampling.soap import SoapFeatures
from reactive.amounts import Amounts
from reactive.items import STATIONARY, make_item
from reactive.molecules import molecules
from reactive.splits import part_of

UNITS = {
    "molecule": "a molecule, its reaction, path, band and candidates",
    "saddle": "a saddle with both minima, found or not",
    "full": "energy, forces, full Hessian",
    "pairs": "energy, forces, pairs (v, Hv)",
    "choice": "SOAP of a candidate",
}
_MEASURED = (6, 9, 12, 15, 18, 21)  # atoms
_POINTS, _POINTS_OF_SADDLE = 2.0, 2.5  # stationary points of an item, and more where a saddle is looked for
_CANDIDATES = 55  # of an item


@dataclass(frozen=True)
class Row:
    """How many units, and core hours in all."""

    unit: str
    count: float
    hours: float


def measure(amounts: Amounts) -> dict[int, dict[str, float]]:
    """CPU seconds of each unit: atoms -> unit -> s."""
    found = {}
    for atoms, (number, smiles) in _examples(amounts).items():
        plain = make_item(number, smiles, replace(amounts, saddles=0.0))
        with_saddle = make_item(number, smiles, replace(amounts, saddles=1.0))
        frames = [a for a in plain.frames if a.info["kind"] not in STATIONARY]
        found[atoms] = {
            "molecule": plain.seconds,
            "saddle": with_saddle.seconds - plain.seconds,
            **_of_labels(frames[0], amounts),
            "choice": _of_choice(frames),
        }
    return found


def plan(amounts: Amounts, costs: Mapping[int, Mapping[str, float]]) -> list[Row]:
    """Units and core hours of the whole set, from costs by atoms, interpolated between them."""
    sizes, parts = _sizes_and_parts(amounts)
    counts = {unit: np.zeros(len(sizes)) for unit in UNITS}
    test, train = parts == "test", parts == "train"
    counts["molecule"] += 1
    counts["choice"] += _CANDIDATES
    counts["saddle"] += np.where(test, 0.5 + 0.5 * amounts.test_reactions, amounts.saddles)
    chosen = np.where(train, amounts.chosen, amounts.held_out)
    share = np.where(train, amounts.full, 1.0)
    counts["full"] += _POINTS + _POINTS_OF_SADDLE * counts["saddle"] + share * chosen
    counts["pairs"] += (1 - share) * chosen
    rows = []
    for unit, count in counts.items():
        seconds = np.interp(sizes, list(costs), [row[unit] for row in costs.values()])
        rows.append(Row(unit, float(count.sum()), float(seconds @ count) / 3600))
    return rows


def as_tables(costs: Mapping[int, Mapping[str, float]], rows: Sequence[Row]) -> str:
    """Markdown: CPU seconds by atoms, and the plan."""
    head = ["CPU seconds of", *(f"{atoms} atoms" for atoms in costs)]
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [_line([words, *(f"{c[unit]:.3g}" for c in costs.values())]) for unit, words in UNITS.items()]
    lines += ["", _line(["unit", "number", "core hours"]), _line(["---"] * 3)]
    lines += [_line([UNITS[row.unit], f"{row.count:.0f}", f"{row.hours:.2f}"]) for row in rows]
    frames = sum(row.count for row in rows if row.unit in ("full", "pairs"))
    lines.append(_line(["in all", f"{frames:.0f} frames", f"{sum(row.hours for row in rows):.2f}"]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _examples(amounts: Amounts) -> dict[int, tuple[int, str]]:
    """The first molecule of the training part of each number of atoms: atoms -> item and SMILES."""
    every = list(enumerate(molecules(amounts.items, amounts.heavy, amounts.seed)))
    sizes, parts = _sizes_and_parts(amounts)
    found = {}
    for atoms in _MEASURED:
        right = np.flatnonzero((sizes[: len(every)] == atoms) & (parts[: len(every)] == "train"))
        if len(right):
            found[atoms] = every[right[0]]
    return found


def _sizes_and_parts(amounts: Amounts) -> tuple[np.ndarray, np.ndarray]:
    """Atoms and part of each item."""
    smiles = molecules(amounts.items, amounts.heavy, amounts.seed)
    known = [Chem.AddHs(Chem.MolFromSmiles(name)) for name in smiles]
    parts = [part_of(CalcMolFormula(m), [name], amounts.seed) for m, name in zip(known, smiles, strict=True)]
    order = np.arange(amounts.items) % len(smiles)
    return np.array([m.GetNumAtoms() for m in known])[order], np.array(parts)[order]


def _of_labels(atoms: Atoms, amounts: Amounts) -> dict[str, float]:
    engine, rng = make_engine("gfn2-xtb"), np.random.default_rng(0)
    return {
        "full": _seconds(lambda: make_labels(engine, atoms, "full")),
        "pairs": _seconds(lambda: make_labels(engine, atoms, "projected", n_probes=amounts.probes, rng=rng)),
    }


def _of_choice(frames: Sequence[Atoms]) -> float:
    compute = SoapFeatures((1, 6, 7, 8)).setup()
    return _seconds(lambda: compute(frames)) / len(frames)


def _seconds(work: Callable[[], object]) -> float:
    """CPU seconds, after one time for warmth."""
    work()
    start = time.process_time()
    work()
    return time.process_time() - start
