"""`FrameStore`: many labelled frames in one HDF5 file, with random access, appending and constant memory.

Layout (format version 1). Every part of a frame is a *column*; a column holds only the frames that have it,
end to end, so that frames of different size and with different labels live side by side:

    /                    attributes: format = "hint-frames", version, frames, hessian_dtype, compression
    /columns/0000        attributes: section, name, packing, ndim
        data   [values]        all values of this column, flattened
        frame  [m]             which frames have it, ascending
        start  [m]             where in `data` each begins
        shape  [m, ndim]       its shape

Sections: `atoms` (numbers, positions, cell, pbc), `arrays`, `info`, `calc` (results of a single-point
calculator), and `json` (one UTF-8 document per frame with all that is not an array of numbers). A symmetric
[3N, 3N] matrix in `info` is packed as its lower triangle, row by row, in `hessian_dtype`; a matrix that is
not exactly symmetric is kept whole, in float64. `frames` is written after the data, so what a killed append
has left behind is cut off by the next one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import h5py
import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator

from hint_plugin.errors import DataError, UnknownVersionError

FORMAT = "hint-frames"
VERSION = 1
BLOCK = 256  # frames read or written at once
_CHUNK = 8192  # values in a chunk of `data`

ColumnKey = tuple[str, str, str, str, int]  # section, name, packing, dtype, ndim
Parts = dict[ColumnKey, np.ndarray]


class FrameStore:
    """A file of frames that behaves like a sequence of `ase.Atoms`.

    Open one with `FrameStore.create` or `FrameStore.open`, best in a `with` block. What extxyz keeps is kept:
    cell, pbc, constraints, info, arrays, results of a single-point calculator, labels of every kind; numbers
    in full precision.
    """

    def __init__(self, handle: h5py.File, path: Path) -> None:
        self._file = handle
        self.path = path
        self._columns = [_Column(group) for group in handle["columns"].values()]
        self._by_key = {column.key: column for column in self._columns}

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        hessian_dtype: Literal["float32", "float64"] = "float64",
        compression: Literal["gzip", "lzf"] | None = None,
    ) -> FrameStore:
        """A new, empty store; an existing file is replaced.

        Args:
            path: the file.
            hessian_dtype: float32 halves the size of symmetric Hessians at a relative error of 6e-8.
            compression: of all columns. Random numbers hardly shrink (gzip 5-15 %), zeros do.

        Raises:
            DataError: the file cannot be made.
        """
        if hessian_dtype not in ("float32", "float64"):
            raise DataError(f"hessian_dtype {hessian_dtype!r}; wanted 'float32' or 'float64'")
        try:
            handle = h5py.File(path, "w")
        except OSError as error:
            raise DataError(f"{path}: cannot be made ({error})") from error
        attributes = {
            "format": FORMAT,
            "version": VERSION,
            "frames": 0,
            "hessian_dtype": hessian_dtype,
            "compression": compression or "",
        }
        handle.attrs.update(attributes)
        handle.create_group("columns")
        return cls(handle, Path(path))

    @classmethod
    def open(cls, path: str | Path, mode: Literal["r", "a"] = "r") -> FrameStore:
        """An existing store, to read ("r") or to append to ("a").

        Raises:
            DataError: the file is missing, truncated, or no store of frames.
            UnknownVersionError: it was written in a newer format.
        """
        if not Path(path).is_file():
            raise DataError(f"{path}: no such file")
        try:
            handle = h5py.File(path, "r" if mode == "r" else "r+")
        except OSError as error:
            raise DataError(f"{path}: truncated, in use, or no HDF5 file ({error})") from error
        if handle.attrs.get("format") != FORMAT:
            handle.close()
            raise DataError(f"{path}: HDF5, but no store of frames (no attribute format = '{FORMAT}')")
        version = int(handle.attrs.get("version", 0))
        if not 1 <= version <= VERSION:
            handle.close()
            raise UnknownVersionError(
                f"{path}: format version {version}; this HINT reads up to {VERSION}. Update HINT"
            )
        try:
            store = cls(handle, Path(path))
            if mode == "a":
                store._cut_off_leftovers()
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            handle.close()
            raise DataError(f"{path}: damaged ({error})") from error
        return store

    def __enter__(self) -> FrameStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()

    def __len__(self) -> int:
        return int(self._file.attrs["frames"])

    def __iter__(self) -> Iterator[Atoms]:
        for start in range(0, len(self), BLOCK):
            yield from self._read(np.arange(start, min(start + BLOCK, len(self))))

    def __getitem__(self, index: int | slice) -> Any:
        """One `Atoms`, or a list of them for a slice.

        Raises:
            DataError: no such frame, or the file is damaged there.
        """
        if isinstance(index, slice):
            return list(self._read(np.arange(*index.indices(len(self)))))
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise DataError(f"{self.path}: no frame {index}; it holds {len(self)}")
        return next(iter(self._read(np.array([number]))))

    def append(self, atoms: Atoms) -> None:
        """Add one frame at the end. `extend` is much faster for many."""
        self.extend([atoms])

    def extend(self, frames: Iterable[Atoms]) -> int:
        """Add frames at the end, in blocks; returns how many.

        Raises:
            DataError: a value in `info` that can be stored neither as an array nor as JSON.
        """
        total, source = 0, iter(frames)
        while block := list(islice(source, BLOCK)):
            first = len(self)
            gathered: dict[ColumnKey, list[tuple[int, np.ndarray]]] = defaultdict(list)
            for number, atoms in enumerate(block, start=first):
                for key, values in _take_apart(atoms, self._file.attrs["hessian_dtype"], number).items():
                    gathered[key].append((number, values))
            for key, entries in gathered.items():
                self._column(key).extend(entries)
            self._file.flush()
            self._file.attrs["frames"] = first + len(block)
            self._file.flush()
            total += len(block)
        return total

    def _column(self, key: ColumnKey) -> _Column:
        if key not in self._by_key:
            group = self._file["columns"].create_group(f"{len(self._columns):04d}")
            column = _Column.create(group, key, self._file.attrs["compression"] or None)
            self._columns.append(column)
            self._by_key[key] = column
        return self._by_key[key]

    def _read(self, numbers: np.ndarray) -> Iterator[Atoms]:
        parts: list[Parts] = [{} for _ in numbers]
        try:
            for column in self._columns:
                column.fill(numbers, parts)
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(f"{self.path}: damaged near frame {numbers[0]} ({error})") from error
        for number, part in zip(numbers, parts, strict=True):
            try:
                yield _put_together(part)
            except KeyError as error:
                raise DataError(f"{self.path}: frame {number} is damaged, it lacks {error}") from error

    def _cut_off_leftovers(self) -> None:
        for column in self._columns:
            column.truncate(len(self))


class _Column:
    """One part of the frames, end to end: a ragged array in four data sets."""

    def __init__(self, group: h5py.Group) -> None:
        self.group = group
        attrs = group.attrs
        self.data = group["data"]
        packing = attrs["packing"]
        self.key: ColumnKey = (attrs["section"], attrs["name"], packing, attrs["dtype"], int(attrs["ndim"]))
        self.frame, self.start, self.shape = group["frame"][:], group["start"][:], group["shape"][:]

    @classmethod
    def create(cls, group: h5py.Group, key: ColumnKey, compression: str | None) -> _Column:
        section, name, packing, dtype, ndim = key
        group.attrs.update(
            {"section": section, "name": name, "packing": packing, "dtype": dtype, "ndim": ndim}
        )
        rows = 1024
        group.create_dataset(
            "data", (0,), np.dtype(dtype), maxshape=(None,), chunks=(_CHUNK,), compression=compression
        )
        group.create_dataset("frame", (0,), np.int64, maxshape=(None,), chunks=(rows,))
        group.create_dataset("start", (0,), np.int64, maxshape=(None,), chunks=(rows,))
        group.create_dataset("shape", (0, ndim), np.int64, maxshape=(None, ndim), chunks=(rows, ndim))
        return cls(group)

    def extend(self, entries: list[tuple[int, np.ndarray]]) -> None:
        packed = [_pack(values, self.key) for _, values in entries]
        news = {
            "data": np.concatenate(packed),
            "frame": np.array([number for number, _ in entries], dtype=np.int64),
            "start": len(self.data) + np.cumsum([0, *(values.size for values in packed[:-1])]),
            "shape": np.array([values.shape for _, values in entries], dtype=np.int64),
        }
        for name, values in news.items():
            dataset = self.group[name]
            old = len(dataset)
            dataset.resize(old + len(values), axis=0)
            if values.size:
                dataset[old:] = values
        self.frame = np.concatenate([self.frame, news["frame"]])
        self.start = np.concatenate([self.start, news["start"]])
        self.shape = np.concatenate([self.shape, news["shape"]])

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

    def truncate(self, n_frames: int) -> None:
        keep = int(np.searchsorted(self.frame, n_frames))
        end = int(self.start[keep - 1] + self._size(keep - 1)) if keep else 0
        for name, length in (("data", end), ("frame", keep), ("start", keep), ("shape", keep)):
            if len(self.group[name]) != length:
                self.group[name].resize(length, axis=0)
        self.frame, self.start, self.shape = self.frame[:keep], self.start[:keep], self.shape[:keep]

    def _size(self, row: int) -> int:
        shape = self.shape[row]
        return int(
            shape[0] * (shape[0] + 1) // 2 if self.key[2] == "lower" else np.prod(shape, dtype=np.int64)
        )


def _pack(values: np.ndarray, key: ColumnKey) -> np.ndarray:
    if key[2] == "lower":
        values = values[np.tril_indices(len(values))]
    return np.asarray(values, dtype=key[3]).reshape(-1)


def _unpack(flat: np.ndarray, shape: tuple[int, ...], key: ColumnKey) -> np.ndarray:
    if key[2] != "lower":
        return flat.reshape(shape).copy()
    matrix = np.empty(shape)
    rows, columns = np.tril_indices(shape[0])
    matrix[rows, columns] = flat
    matrix[columns, rows] = flat
    return matrix


def _take_apart(atoms: Atoms, hessian_dtype: str, number: int) -> Parts:
    parts: Parts = {}
    document: dict[str, Any] = {"info": {}, "arrays": {}, "calc": {}}
    _add(parts, "atoms", "numbers", atoms.numbers.astype(np.uint8))
    _add(parts, "atoms", "positions", atoms.positions)
    if atoms.cell.array.any():
        _add(parts, "atoms", "cell", atoms.cell.array)
    _add(parts, "atoms", "pbc", atoms.pbc)
    results = getattr(atoms.calc, "results", {}) if atoms.calc is not None else {}
    results = {name: value for name, value in results.items() if name in all_properties and value is not None}
    arrays = {name: value for name, value in atoms.arrays.items() if name not in ("numbers", "positions")}
    for section, items in (("info", atoms.info), ("arrays", arrays), ("calc", results)):
        for name, value in items.items():
            if not (isinstance(value, np.ndarray) and value.ndim and value.dtype.kind in "iufb"):
                document[section][name] = value
            elif section == "info" and _is_symmetric(value, 3 * len(atoms)):
                parts[section, name, "lower", hessian_dtype, 2] = value
            else:
                _add(parts, section, name, value)
    document["constraints"] = [constraint.todict() for constraint in atoms.constraints]
    if any(document.values()):
        _add(parts, "json", "rest", _to_json(document, number))
    return parts


def _put_together(parts: Parts) -> Atoms:
    by_name = {(section, name): value for (section, name, *_), value in parts.items()}
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


def _add(parts: Parts, section: str, name: str, value: np.ndarray) -> None:
    parts[section, name, "", value.dtype.str, value.ndim] = value


def _is_symmetric(value: np.ndarray, size: int) -> bool:
    is_square = value.dtype.kind == "f" and size > 0 and value.shape == (size, size)
    return is_square and bool(np.array_equal(value, value.T))


def _to_json(document: dict[str, Any], number: int) -> np.ndarray:
    try:
        text = json.dumps(document, default=_plain)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"frame {number}: a value is neither numbers, text nor JSON ({error}). Remove it from info"
        ) from error
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__}")
