"""What `hint dataset convert` does: frames of any format as extxyz, as a store, or for another program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hint_plugin.data.outputs import can_be_written, record
from hint_plugin.data.provenance import run_provenance
from hint_plugin.data.sets.conversion import Conversion, convert
from hint_plugin.data.sets.run_options import (
    Inputs,
    Report,
    at_least_one,
    pairs,
    refuse,
    silent,
    sources,
    store_options,
)
from hint_plugin.errors import OptionsError


def dataset_convert(
    inputs: Inputs,
    output: str | Path,
    *,
    source_format: str | None = None,
    option: Mapping[str, Any] | Sequence[str] = (),
    only_this_file: bool = False,
    to: str | None = None,
    hessian_dtype: str | None = None,
    compression: str | None = None,
    frames_per_shard: int | None = None,
    project: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    report: Report | None = None,
) -> Conversion:
    """Write frames of any format as extxyz, as a store (HDF5, whole or in shards), or for another program.

    Args:
        inputs, output, hessian_dtype, compression, report: see `hint_plugin.data.sets.run`.
        source_format: `--from`: of the inputs, where names and contents do not tell.
        option: of that format's reader (docs/formats.md), as a mapping or as words KEY=VALUE.
        only_this_file: of a set of dynamical matrices.
        to: format of the output, where its name does not tell.
        frames_per_shard: write shards.
        project: full labels become this many pairs (v, Hv).
        seed: of the probes.
        overwrite: replace an output that is there.

    Raises:
        OptionsError: an output that is there, or options that do not fit.
        DataError, LabelError: see `convert`.
    """
    place = Path(output)
    can_be_written(place)
    at_least_one(frames_per_shard=frames_per_shard, project=project)
    files = sources(inputs, place)
    if frames_per_shard is None:
        refuse(place, overwrite)
    elif place.suffix.lower() in (".xyz", ".extxyz"):
        raise OptionsError(f"{place}: shards are stores. Name a folder, or a file that ends in .h5")
    done = convert(
        files,
        place,
        source_format=source_format,
        source_options=pairs(option) | ({"only_this_file": True} if only_this_file else {}),
        format=to,
        project=project,
        seed=seed,
        frames_per_shard=frames_per_shard,
        report=report or silent,
        **store_options(place, hessian_dtype, compression, shards=frames_per_shard is not None),
    )
    done.provenance = run_provenance(files, alone=files if only_this_file else [])
    record(place, "convert", done.as_dict())
    return done
