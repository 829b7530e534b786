"""What `hint dataset merge` does: several files of frames into one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hint_plugin.data.outputs import can_be_written, record
from hint_plugin.data.provenance import run_provenance
from hint_plugin.data.sets.frames import file_kind
from hint_plugin.data.sets.merging import merge
from hint_plugin.data.sets.run_options import Inputs, Report, refuse, silent, sources, store_options
from hint_plugin.errors import OptionsError


@dataclass(frozen=True)
class MergeResult:
    """What was joined: frames of each input, the file and its size."""

    inputs: dict[str, int]
    files: list[str]
    bytes: int
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """All of them."""
        return sum(self.inputs.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in ("frames", "inputs", "files", "bytes", "provenance")}


def dataset_merge(
    inputs: Inputs,
    output: str | Path,
    *,
    hessian_dtype: str | None = None,
    compression: str | None = None,
    mixed: bool = False,
    overwrite: bool = False,
    report: Report | None = None,
) -> MergeResult:
    """Join files into one, in order; stores of the same settings without unpacking them.

    Args:
        inputs, output, hessian_dtype, compression, report: see `hint_plugin.data.sets.run`; the output is a
            store, .h5, or text, .xyz.
        mixed: join labels of several methods all the same.
        overwrite: replace an output that is there.

    Raises:
        OptionsError: an output that is there or of another format, or options that do not fit.
        DataError: see `merge`.
    """
    place = Path(output)
    can_be_written(place)
    if file_kind(place) not in ("hdf5", "extxyz"):
        raise OptionsError(
            f"{place}: merge writes a store, .h5, or text, .xyz. For another format join the files to "
            f"joined.h5 first, and then: hint dataset convert joined.h5 -o {place}"
        )
    files = sources(inputs, place)
    refuse(place, overwrite)
    options = store_options(place, hessian_dtype, compression)
    counts = merge(files, place, report or silent, mixed=mixed, **options)
    done = MergeResult(counts, [str(place)], place.stat().st_size, run_provenance(files))
    record(place, "merge", done.as_dict())
    return done
