"""Hessian-QM9: 41,645 minima of QM9 with DFT Hessians, in vacuum and three implicit solvents.

N. J. Williams et al., Sci. Data 12 (2025), doi 10.1038/s41597-024-04361-2, data doi
10.6084/m9.figshare.26363959, wB97X/6-31G*, numerical Hessians at 0.01 bohr. Published as a saved
`DatasetDict` of the package datasets: a folder with the folders `vacuum`, `thf`, `toluene`, `water`, each
with tables `data-*.arrow` in Arrow's stream format, one molecule a row:

| column | shape | unit |
|---|---|---|
| atomic_numbers | [N] | |
| positions | [N, 3] | A |
| energy | total | eV |
| forces | [N, 3] | eV/A |
| hessian | [N, 3, N, 3] | eV/A^2 |
| label | the name in QM9 | |

and `frequencies`, `normal_modes`, which follow from the Hessian and are left out. Read by pyarrow; the
package datasets is not needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data.formats.common import labelled, reading
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.optional import load

ENVIRONMENTS = ("vacuum", "thf", "toluene", "water")
_END = b"\xff\xff\xff\xff\0\0\0\0"
"""Of a stream of Arrow; without it a table may end behind any of its batches."""
_COLUMNS = ("atomic_numbers", "positions", "energy", "forces", "hessian", "label")


def recognise(path: Path) -> bool:
    """A table, a folder of tables, or a folder of such folders by the names of the solvents."""
    return path.suffix == ".arrow" or bool(_tables(path))


def read(path: Path, *, environment: str | None = None) -> Iterator[Atoms]:
    """The molecules; `info` gets `environment` and `label`.

    A molecule is in all four environments at nearly one geometry: take one, or split by `label`.

    Args:
        path: the whole set, one of its folders, or one table.
        environment: "vacuum", "thf", "toluene" or "water"; None: all that are there.

    Raises:
        DataError: truncated, or other columns; with table and row.
        OptionsError: the set has no such environment.
        MissingDependencyError: pyarrow is not installed.
    """
    tables = {path.resolve().parent.name: [path]} if path.is_file() else _tables(path)
    if environment is not None and environment not in tables:
        raise OptionsError(f"{path}: no environment '{environment}'; it has {', '.join(tables) or 'none'}")
    if not tables:
        raise DataError(f"{path}: no tables data-*.arrow, here or in the folders {', '.join(ENVIRONMENTS)}")
    for name, files in tables.items():
        if environment in (None, name):
            if path.is_dir():
                _check_whole(files)
            for file in files:
                yield from _rows(file, name if name in ENVIRONMENTS else None)


def _tables(path: Path) -> dict[str, list[Path]]:
    if not path.is_dir():
        return {}
    if own := sorted(path.glob("data-*.arrow")):
        return {path.resolve().name: own}
    found = {name: sorted((path / name).glob("data-*.arrow")) for name in ENVIRONMENTS}
    return {name: files for name, files in found.items() if files}


def _check_whole(files: list[Path]) -> None:
    """Raises DataError where a table of a set is not there: state.json names them, and so do their names."""
    folder, there = files[0].parent, {file.name for file in files}
    wanted = set()
    for name in there:
        if match := re.fullmatch(r"data-\d+-of-(\d+)\.arrow", name):
            total = int(match[1])
            wanted |= {f"data-{number:05d}-of-{total:05d}.arrow" for number in range(total)}
    state = folder / "state.json"
    if state.is_file():
        with reading(state, wanted="the list of tables"):
            wanted = {str(one["filename"]) for one in json.loads(state.read_text())["_data_files"]}
    if missing := sorted(wanted - there):
        raise DataError(
            f"{folder}: {len(missing)} of {len(wanted)} tables are missing, the first is {missing[0]}. Load "
            "the set again, or name the tables that are wanted one by one"
        )


def _rows(file: Path, environment: str | None) -> Iterator[Atoms]:
    arrow = load("pyarrow", "formats", f"{file} needs pyarrow")
    number = 0
    with reading(file):
        with open(file, "rb") as handle:
            handle.seek(max(0, file.stat().st_size - len(_END)))
            if handle.read() != _END:
                raise ValueError("it lacks the mark at its end")
        source = arrow.memory_map(str(file))
        batches = arrow.ipc.open_stream(source)
    with source:
        while True:
            with reading(file, number):
                try:
                    batch = batches.read_next_batch()
                except StopIteration:
                    return
                lacking = [name for name in _COLUMNS[:-1] if name not in batch.schema.names]
                if lacking:
                    raise DataError(f"{file}: no column {', '.join(lacking)}. Is it of Hessian-QM9?")
                columns = {name: batch.column(name) for name in _COLUMNS if name in batch.schema.names}
            for index in range(batch.num_rows):
                with reading(file, number):
                    atoms = _frame({name: column[index].as_py() for name, column in columns.items()})
                    if environment is not None:
                        atoms.info["environment"] = environment
                number += 1
                yield atoms


def _frame(row: dict[str, Any]) -> Atoms:
    atoms = Atoms(np.asarray(row["atomic_numbers"], dtype=int), np.asarray(row["positions"], dtype=float))
    if row.get("label") is not None:
        atoms.info["label"] = str(row["label"])
    return labelled(
        atoms,
        "hessian-qm9",
        energy=row["energy"],
        forces=row["forces"],
        hessian=row["hessian"],
        method="wB97X/6-31G*",
        engine="nwchem",
    )
