"""The whole set: its plan, its shards one after the other, and what is in those that are finished."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data import iter_frames
from hint_plugin.data.file_io import file_sha256, write_json
from hint_plugin.data.provenance import provenance
from hint_plugin.errors import OptionsError
from reactive.amounts import LARGEST_CLOSE, LARGEST_FORCE, Amounts
from reactive.molecules import molecules
from reactive.shards import Shard
from reactive.source import gather, of_shard
from reactive.splits import PARTS


def make_set(
    folder: Path,
    amounts: Amounts,
    jobs: int = 1,
    source: Path | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """All shards that are not there yet; returns the path of the manifest.

    Args:
        folder: of the set; made if it is missing.
        amounts: how much of everything.
        jobs: processes.
        source: a file whose geometries take the place of those that are made here; its labels do not count.
        say: told of each shard.

    Raises:
        OptionsError: the folder has a set of other amounts, or of another source.
        DataError: the source cannot be read, or has other things than molecules of H, C, N, O.
    """
    folder.mkdir(parents=True, exist_ok=True)
    same_plan(folder, asdict(amounts) | ({} if source is None else {"source": file_sha256(source)}))
    work = _made(amounts) if source is None else _given(source, folder, amounts)
    for number in range(amounts.shards):
        shard = Shard(folder, number, amounts, jobs)
        if not shard.done:
            say(f"shard {number + 1} of {amounts.shards}: {_in_words(work(shard))}")
            write_manifest(folder, amounts)
    return write_manifest(folder, amounts)


def _made(amounts: Amounts) -> Callable[[Shard], dict[str, Any]]:
    smiles = molecules(amounts.items, amounts.heavy, amounts.seed)
    return lambda shard: shard.make({k: smiles[k % len(smiles)] for k in amounts.of_shard(shard.number)})


def _given(source: Path, folder: Path, amounts: Amounts) -> Callable[[Shard], dict[str, Any]]:
    store = folder / "source.h5"
    gather(source, store, amounts)
    return lambda shard: shard.take(of_shard(store, shard.number, amounts))


def same_plan(folder: Path, wanted: dict[str, Any]) -> None:
    """Raise OptionsError where the folder holds another set."""
    path = folder / "amounts.json"
    if not path.exists():
        write_json(path, wanted)
    found = json.loads(path.read_text())
    names = [*wanted, *(name for name in found if name not in wanted)]
    differ = [f"{k} {found.get(k)}, not {wanted.get(k)}" for k in names if found.get(k) != wanted.get(k)]
    if differ:
        raise OptionsError(f"{folder} holds a set of {'; '.join(differ)}. Choose another folder")


def write_manifest(folder: Path, amounts: Amounts) -> Path:
    """manifest.json: all that the summaries of the finished shards say, added up."""
    summaries = [json.loads(path.read_text()) for path in sorted((folder / "shards").glob("*.json"))]
    parts = {part: _added([s["parts"][part] for s in summaries if part in s["parts"]]) for part in PARTS}
    counts, seconds = Counter[str](), Counter[str]()
    for summary in summaries:
        counts.update(summary["counts"])
        seconds.update(summary["seconds"])
    about: dict[str, Any] = {
        "what": "GFN2-xTB energies, forces and Hessians of small H C N O molecules and their reactions",
        "amounts": json.loads((folder / "amounts.json").read_text()),
        "shards": [len(summaries), amounts.shards],
        "items": sum(s["items"] for s in summaries),
        "candidates": sum(s["candidates"] for s in summaries),
        "frames": sum(part["frames"] for part in parts.values()),
        "parts": parts,
        "counts": dict(sorted(counts.items())),
        "largest_force": {"close": LARGEST_CLOSE, "all others": LARGEST_FORCE},
        "core_hours": {name: round(value / 3600, 4) for name, value in sorted(seconds.items())},
        "core_hours_in_all": round(sum(seconds.values()) / 3600, 3),
    }
    path, made = folder / "manifest.json", provenance(None, [])
    made["versions"] |= {name: version(name) for name in ("rdkit", "dscribe", "geodesic-interpolate")}
    write_json(path, about | made)
    return path


def _added(parts: list[dict[str, Any]]) -> dict[str, Any]:
    kinds = Counter[str]()
    for part in parts:
        kinds.update(part["kinds"])
    full = sum(part["full_hessians"] for part in parts)
    return {
        "frames": sum(part["frames"] for part in parts),
        "full_hessians": full,
        "kinds": dict(sorted(kinds.items())),
        "digests": [part["digest"] for part in parts],
    }


def _in_words(summary: dict[str, Any]) -> str:
    frames = ", ".join(f"{part} {found['frames']}" for part, found in summary["parts"].items())
    seconds = ", ".join(f"{name} {value:.0f}" for name, value in summary["seconds"].items())
    return f"{frames} frames; seconds: {seconds}"


def reactions_of(store: Path) -> Iterator[tuple[Atoms, Atoms, Atoms]]:
    """(one minimum, saddle, other minimum) of all verified saddles of a part, where both minima are verified.

    Args:
        store: a part's folder: DIR/test.
    """
    points = {a.info["point"]: a for a in iter_frames(store) if "point" in a.info}
    for atoms in points.values():
        if atoms.info["kind"] == "saddle":
            ends = [points.get(name) for name in atoms.info["ends"].split()]
            if all(end is not None and end.info["kind"] == "minimum" for end in ends):
                yield ends[0], atoms, ends[1]  # type: ignore[misc]
