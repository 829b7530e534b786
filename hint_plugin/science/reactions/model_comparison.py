"""Two models on the same reactions: who succeeds where, and by how much their barriers differ."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data import read_frames
from hint_plugin.errors import DataError
from hint_plugin.science.reactions.many_reactions import SETTINGS, results_of
from hint_plugin.science.reactions.matching import match
from hint_plugin.science.reactions.success_rates import STAGES, mcnemar, passed

ENDS = ("reactant", "product")


def compare(first: Path, second: Path, level: int = 4, only: Collection[str] | None = None) -> dict[str, Any]:
    """Two models on the reactions that both have done: same names, same inputs.

    Barriers are compared where both have found the same reaction: the optimised ends of the one have the
    bonds of the other's. `other_reaction` names those that are successes of both and are not the same.

    Args:
        first, second: folders of `hint reactions`.
        level: a success is having passed so many of `STAGES`: 4 intended, 5 with the inputs' bonds kept.
        only: names of the reactions that count; all if None.

    Raises:
        DataError: nothing done, or no reaction in both, or other charges or multiplicities.
    """
    a, b = results_of(first, only), results_of(second)
    _same_electrons(first, second)
    shared = sorted(set(a) & set(b))
    names = [name for name in shared if _same_inputs(a[name], b[name], first / name, second / name)]
    if not names:
        why = f": {len(shared)} names are the same, and their molecules are not" if shared else ""
        raise DataError(f"{first} and {second} have no reaction in common{why}")
    wins = [(passed(a[name]) >= level, passed(b[name]) >= level) for name in names]
    both = [name for name, (x, y) in zip(names, wins, strict=True) if x and y]
    kept = {name: all(passed(side[name]) == len(STAGES) for side in (a, b)) for name in both}
    same = [name for name in both if _same_reaction(first / name, second / name, kept[name])]
    differences = [a[name]["barriers"]["forward"] - b[name]["barriers"]["forward"] for name in same]
    only_first, only_second = wins.count((True, False)), wins.count((False, True))
    return {
        "reactions": len(names),
        "other_inputs": sorted(set(shared) - set(names)),
        "both": len(both),
        "only_first": only_first,
        "only_second": only_second,
        "neither": wins.count((False, False)),
        "p_mcnemar": mcnemar(only_first, only_second),
        "barriers_compared": len(same),
        "other_reaction": sorted(set(both) - set(same)),
        "barrier_mae": sum(map(abs, differences)) / len(differences) if differences else None,
    }


def _same_electrons(first: Path, second: Path) -> None:
    files = [folder / SETTINGS for folder in (first, second)]
    if not all(path.is_file() for path in files):
        return
    a, b = (json.loads(path.read_text(encoding="utf-8")) for path in files)
    for key in ("charge", "spin"):
        if a.get(key) != b.get(key):
            raise DataError(
                f"{first} was made with --{key} {a.get(key)}, {second} with {b.get(key)}: these are other "
                "molecules"
            )


def _same_inputs(a: dict[str, Any], b: dict[str, Any], first: Path, second: Path) -> bool:
    """By the hash of the inputs; results of before have none: by the elements."""
    if "inputs" in a and "inputs" in b:
        return bool(a["inputs"] == b["inputs"])
    pairs = [_end(first, name) + _end(second, name) for name in ENDS]
    return all(len(pair) < 2 or (pair[0].symbols == pair[1].symbols).all() for pair in pairs)


def _same_reaction(first: Path, second: Path, kept: bool) -> bool:
    """Whether both have the same molecules at both ends.

    Where optimising has changed bonds (`kept`), they also have to differ: folders of before called a product
    that fell back onto the reactant "intended".
    """
    ends = [_end(folder, name) for name in ENDS for folder in (first, second)]
    if not all(ends):
        return False
    (r1,), (r2,), (p1,), (p2,) = ends
    return match(r1, r2) and match(p1, p2) and (kept or not match(r1, p1))


def _end(folder: Path, name: str) -> list[Atoms]:
    path = folder / f"{name}.xyz"
    return read_frames(path) if path.is_file() else []
