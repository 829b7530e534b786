"""ASE databases in LMDB, `.aselmdb`: OMat24, OMol25 and other sets of the fairchem project.

Layout: an LMDB file whose keys are "1", "2", ... "nextid - 1" with gaps where rows were deleted, besides
`nextid`, `deleted_ids` and `metadata`; each value is a row of an ASE database as JSON, compressed with zlib.
Units are ASE's. fairchem itself is not needed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data.formats.common import labelled, reading
from hint_plugin.data.formats.lmdb_file import open_lmdb
from hint_plugin.errors import DataError


def read(path: Path) -> Iterator[Atoms]:
    """The rows in the order of their ids, with energy, forces and stress as labels.

    Plain numbers and text of the row's key-value pairs and `data` go to `info` as they are called there
    (`charge`, `spin`, ...).

    Raises:
        DataError: truncated, no such database, a damaged row; with the id.
        MissingDependencyError: lmdb is not installed.
    """
    with open_lmdb(path) as transaction:
        last = transaction.get(b"nextid")
        if last is None:
            raise DataError(f"{path}: LMDB, but no ASE database (no key 'nextid'). Is it of another format?")
        with reading(path):
            ids = range(1, int(_decode(last)))
        for number in ids:
            value = transaction.get(str(number).encode())
            if value is None:  # deleted
                continue
            with reading(path, f"id {number}", "a compressed JSON row of an ASE database"):
                atoms = _frame(_decode(value))
            yield atoms


def _decode(value: bytes) -> Any:
    return json.loads(zlib.decompress(value).decode(), object_hook=_arrays)


def _arrays(item: dict[str, Any]) -> Any:
    """ASE's JSON of arrays and cells; nothing else is rebuilt into an object."""
    if "__ndarray__" in item:
        shape, dtype, values = item["__ndarray__"]
        return np.array(values, dtype=np.dtype(str(dtype))).reshape(shape)
    if item.get("__ase_objtype__") == "cell":
        return np.asarray(item["array"], dtype=float)
    return item


def _frame(row: dict[str, Any]) -> Atoms:
    atoms = Atoms(
        numbers=np.asarray(row["numbers"], dtype=int),
        positions=np.asarray(row["positions"], dtype=float),
        cell=np.asarray(row.get("cell", np.zeros((3, 3))), dtype=float),
        pbc=np.asarray(row.get("pbc", False), dtype=bool),
    )
    for items in (row.get("data"), row.get("key_value_pairs")):
        for name, value in (items if isinstance(items, dict) else {}).items():
            if isinstance(value, str | bool | int | float):
                atoms.info[name] = value
    calculator = row.get("calculator_parameters") or {}
    return labelled(
        atoms,
        "aselmdb",
        energy=row.get("energy"),
        forces=row.get("forces"),
        stress=row.get("stress"),
        engine=row.get("calculator") if row.get("calculator") != "unknown" else None,
        method=calculator.get("xc") if isinstance(calculator, dict) else None,
    )
