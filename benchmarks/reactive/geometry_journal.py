"""The geometries of a shard's items, made by several processes and kept one by one as they are finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.parallel.journal import Journal
from hint_plugin.parallel.pool import Failure, run_tasks
from reactive.amounts import Amounts
from reactive.items import Item, make_item


def make_items(path: Path, todo: Mapping[int, str], amounts: Amounts, jobs: int) -> list[Item]:
    """Items by number, of their SMILES; what the journal has is not made again.

    Raises:
        HintError: the journal is of other amounts.
    """
    journal = Journal(path, {"run": asdict(amounts)}, writer="reactive_set.py")
    try:
        missing = [(number, smiles) for number, smiles in todo.items() if number not in journal]
        tasks = ((number, (number, smiles)) for number, smiles in missing)
        if missing:
            setup = partial(_setup, amounts)
            with closing(run_tasks(tasks, setup, min(jobs, len(missing)))) as done:
                for number, item in done:
                    journal.add(number, _record(_failed(number) if isinstance(item, Failure) else item))
        return [_item(number, journal[number]) for number in todo]
    finally:
        journal.close()


def _setup(amounts: Amounts) -> Callable[[tuple[int, str]], Item]:
    return lambda payload: make_item(*payload, amounts)


def _failed(number: int) -> Item:
    return Item(number, counts=Counter({"worker died": 1}))


def _record(item: Item) -> dict[str, Any]:
    frames = {
        str(k): {"numbers": a.numbers.tolist(), "positions": a.positions, "info": dict(a.info)}
        for k, a in enumerate(item.frames)
    }
    return {"frames": frames, "counts": dict(item.counts), "seconds": item.seconds}


def _item(number: int, record: Mapping[str, Any]) -> Item:
    frames = [Atoms(f["numbers"], f["positions"], info=f["info"]) for f in record["frames"].values()]
    return Item(number, frames, Counter(record["counts"]), record["seconds"])
