"""Version 1 of the store, read only: every part of a frame is a column.

    /columns/0000        attributes: section, name, packing, dtype, ndim
        data   [values]        all values of this column, flattened
        frame  [m]             which frames have it, ascending
        start  [m]             where in `data` each begins
        shape  [m, ndim]       its shape

Sections: `atoms` (numbers, positions, cell, pbc), `arrays`, `info`, `calc`, and `json` (one document a frame
with all that is no array of numbers). A symmetric [3N, 3N] matrix is packed as its lower triangle.

Version 2 took its place because the three indices are 200 bytes a frame and are read when the file is opened
(0.2 GB for a million frames), growing them took a time that went with the square of the frames, and so many
small columns and documents made a file twice as large and a random read six times as slow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

ColumnKey = tuple[str, str, str, str, int]  # section, name, packing, dtype, ndim
Parts = dict[ColumnKey, np.ndarray]


class Version1:
    """Frames of an open file of version 1."""

    def __init__(self, handle: h5py.File) -> None:
        self._columns = [_Column(group) for group in handle["columns"].values()]
        self.frames = int(handle.attrs["frames"])

    def read(self, numbers: np.ndarray) -> Iterator[Atoms]:
        """The frames of these numbers."""
        parts: list[Parts] = [{} for _ in numbers]
        for column in self._columns:
            column.fill(numbers, parts)
        for part in parts:
            yield _put_together(part)


class _Column:
    """One part of the frames, end to end: a ragged array in four data sets."""

    def __init__(self, group: h5py.Group) -> None:
        attrs = group.attrs
        self.data = group["data"]
        packing = attrs["packing"]
        self.key: ColumnKey = (attrs["section"], attrs["name"], packing, attrs["dtype"], int(attrs["ndim"]))
        self.frame, self.start, self.shape = group["frame"][:], group["start"][:], group["shape"][:]

    def fill(self, numbers: np.ndarray, parts: list[Parts]) -> None:
        """Give each wanted frame that has this column its values; contiguous frames are read at once."""
        if self.frame.size == 0:
            return
        where = np.minimum(np.searchsorted(self.frame, numbers), self.frame.size - 1)
        hits = np.flatnonzero(self.frame[where] == numbers)
        if hits.size == 0:
            return
        rows = where[hits]
        ends = self.start[rows] + [self._size(row) for row in rows]
        low, high = int(self.start[rows].min()), int(ends.max())
        together = high - low <= 4 * int((ends - self.start[rows]).sum())
        values = self.data[low:high] if together else None
        for hit, row, end in zip(hits, rows, ends, strict=True):
            start = self.start[row]
            flat = self.data[start:end] if values is None else values[start - low : end - low]
            parts[hit][self.key] = _unpack(flat, tuple(self.shape[row]), self.key)

    def _size(self, row: int) -> int:
        shape = self.shape[row]
        return int(
            shape[0] * (shape[0] + 1) // 2 if self.key[2] == "lower" else np.prod(shape, dtype=np.int64)
        )


def _unpack(flat: np.ndarray, shape: tuple[int, ...], key: ColumnKey) -> np.ndarray:
    if key[2] != "lower":
        return flat.reshape(shape).copy()
    matrix = np.empty(shape)
    rows, columns = np.tril_indices(shape[0])
    matrix[rows, columns] = flat
    matrix[columns, rows] = flat
    return matrix


def _put_together(parts: Parts) -> Atoms:
    by_name: dict[tuple[str, str], Any] = {
        (section, name): value for (section, name, *_), value in parts.items()
    }
    atoms = Atoms(
        numbers=by_name.pop(("atoms", "numbers")).astype(int),
        positions=by_name.pop(("atoms", "positions")),
        cell=by_name.pop(("atoms", "cell"), None),
        pbc=by_name.pop(("atoms", "pbc")),
    )
    text = by_name.pop(("json", "rest"), None)
    document = {} if text is None else json.loads(text.tobytes().decode())
    results = document.get("calc", {})
    atoms.info.update(document.get("info", {}))
    for name, value in document.get("arrays", {}).items():
        atoms.new_array(name, np.array(value))
    for (section, name), value in by_name.items():
        if section == "info":
            atoms.info[name] = value
        elif section == "arrays":
            atoms.new_array(name, value)
        elif section == "calc":
            results[name] = value
    if document.get("constraints"):
        from ase.constraints import dict2constraint  # slow to import, rarely needed

        atoms.set_constraint([dict2constraint(constraint) for constraint in document["constraints"]])
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms
