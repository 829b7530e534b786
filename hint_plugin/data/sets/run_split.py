"""What `hint dataset split` does: train, valid and test without leakage, or shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data.outputs import a_folder, can_be_written, record
from hint_plugin.data.provenance import run_provenance
from hint_plugin.data.sets.frames import iter_frames
from hint_plugin.data.sets.run_options import Report, at_least_one, silent, store_options
from hint_plugin.data.sets.splits import SplitReport, split
from hint_plugin.data.stores.hdf5 import SUFFIXES
from hint_plugin.data.stores.shards import is_sharded, write_shards
from hint_plugin.errors import OptionsError

FORMATS = ("extxyz", "hdf5")


@dataclass(frozen=True)
class Shards:
    """A set that was cut, its frames in order: how many, and the files."""

    frames: int
    files: list[str]
    provenance: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"frames": self.frames, "files": self.files, "provenance": self.provenance}


def dataset_split(
    source: str | Path,
    output: str | Path,
    *,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    by: str | Sequence[str] | None = None,
    shards: int | None = None,
    frames_per_shard: int | None = None,
    to: str | None = None,
    hessian_dtype: str | None = None,
    compression: str | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> SplitReport | Shards:
    """Split a set into train, valid and test without leakage, or cut it into shards.

    Args:
        source: a file, folder of shards, or pattern.
        output: the folder of the parts.
        fractions: of train, valid and test; 0 leaves one out.
        by: what no two parts share: formula, molecule, structure, reaction or another key of info; frame for
            nothing. None: formula.
        shards, frames_per_shard: cut into so many shards, or into shards of this size, in place of parts.
        to: format of the parts, extxyz or hdf5; None: that of the source.
        seed: of all random choices.
        hessian_dtype, compression, report: see `hint_plugin.data.sets.run`.

    Raises:
        OptionsError: options that do not fit. DataError: see `split` and `write_shards`.
    """
    path, place, tell = Path(source), Path(output), report or silent
    can_be_written(place)
    is_cut = shards is not None or frames_per_shard is not None
    if not is_cut or place.suffix.lower() not in SUFFIXES:
        a_folder(place)
    if is_cut:
        if by or (shards is not None and frames_per_shard is not None):
            raise OptionsError("one of --by, --shards and --frames-per-shard; wanted only one of them")
        at_least_one(shards=shards, frames_per_shard=frames_per_shard)
        options = store_options(place, hessian_dtype, compression, shards=True)
        return _cut(path, place, shards, frames_per_shard, options, tell)
    if to not in (None, *FORMATS):
        raise OptionsError(f"--to {to}; wanted {' or '.join(FORMATS)}")
    was_store = is_sharded(path) or path.suffix.lower() in SUFFIXES
    suffix = ".h5" if to == "hdf5" or (to is None and was_store) else ".xyz"
    done = split(
        path,
        place,
        fractions=fractions,
        by=[by] if isinstance(by, str) else by or ["formula"],
        seed=seed,
        suffix=suffix,
        report=tell,
        **store_options(Path(f"part{suffix}"), hessian_dtype, compression),
    )
    done = replace(done, provenance=run_provenance([path]))
    record(place, "split", done.as_dict())
    return done


def _cut(
    source: Path, output: Path, shards: int | None, size: int | None, options: dict[str, Any], report: Report
) -> Shards:
    total = sum(1 for _ in iter_frames(source)) if shards is not None else 0
    if shards is not None and shards > total:
        raise OptionsError(f"{source} has {total} frames: too few for {shards} shards")
    sizes: Any = (
        size if shards is None else [total // shards + (number < total % shards) for number in range(shards)]
    )
    count = 0

    def frames() -> Iterator[Atoms]:
        nonlocal count
        for count, atoms in enumerate(iter_frames(source), start=1):
            report("", count)
            yield atoms

    files = [str(path) for path in write_shards(output, frames(), frames_per_shard=sizes, **options)]
    done = Shards(count, files, run_provenance([source]))
    record(output, "split", done.as_dict())
    return done
