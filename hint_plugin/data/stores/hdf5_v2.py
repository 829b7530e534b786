"""Version 2 of the store: four data sets, and a layout written once for all frames that share it.

    /                    attributes: format = "hint-frames", version = 2, frames, hessian_dtype, compression
    /layouts   [L]       JSON, see `hint_plugin.data.stores.frame_bytes`
    /index     [n, 5]    layout, atoms, record (where it begins), size (in bytes), hessian (where it begins)
    /records   [bytes]   what the frames have of their own, each from a multiple of 8 on
    /hessians  [values]  lower triangles, in `hessian_dtype`

A frame is read by one look into each of index, records and hessians; nothing that grows with the number of
frames is held in memory. All are in chunks with HDF5's Fletcher-32 checksums. `frames` is written last, so
what lies behind it is no part of the store. Two stores with the same settings are joined by copying their
chunks (`join`), which may leave gaps in records and hessians.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import h5py
import numpy as np
from ase import Atoms

from hint_plugin.data.stores.frame_bytes import Layout, Packed, Packer, unpack

LAYOUT, ATOMS, RECORD, SIZE, HESSIAN = range(
    5
)  # columns of the index; plain integers are what h5py reads fastest
RECORD_CHUNK = 1 << 14  # bytes: a random read unpacks one chunk
HESSIAN_CHUNK = 1 << 13  # values
INDEX_CHUNK = 1 << 8  # frames
LARGEST_READ = 1 << 23  # bytes of records and Hessians read at once
LARGEST_WRITE = 1 << 23
STREAMS = ("index", "records", "hessians")


class Version2:
    """Frames of an open file of version 2."""

    def __init__(self, handle: h5py.File) -> None:
        self.file = handle
        self.frames = int(handle.attrs["frames"])
        self.index, self.records, self.hessians = (handle[name] for name in STREAMS)
        self.layouts = [Layout.from_json(text) for text in handle["layouts"].asstr()[:]]
        if len(self.index) < self.frames:
            raise ValueError(f"the index has {len(self.index)} of {self.frames} frames")
        self._packer: Packer | None = None

    @staticmethod
    def create(handle: h5py.File, hessian_dtype: str, compression: str | None, checksums: bool) -> None:
        """Make the empty data sets of a new file."""
        handle.attrs.update(
            {
                "frames": 0,
                "hessian_dtype": hessian_dtype,
                "compression": compression or "",
                "checksums": checksums,
            }
        )
        handle.create_dataset("layouts", (0,), h5py.string_dtype(), maxshape=(None,), chunks=(16,))
        for name, dtype, chunk in (
            ("index", np.int64, INDEX_CHUNK),
            ("records", np.uint8, RECORD_CHUNK),
            ("hessians", hessian_dtype, HESSIAN_CHUNK),
        ):
            # the index always shrinks to a fifth; single bytes have nothing to shuffle
            filters = "gzip" if name == "index" else compression
            handle.create_dataset(
                name,
                (0, 5) if name == "index" else (0,),
                dtype,
                maxshape=(None, 5) if name == "index" else (None,),
                chunks=(chunk, 5) if name == "index" else (chunk,),
                compression=filters,
                compression_opts=1 if filters == "gzip" else None,
                shuffle=bool(filters) and name != "records",
                fletcher32=checksums,
            )

    def read(self, numbers: np.ndarray) -> Iterator[Atoms]:
        """The frames of these numbers; neighbours are read together, up to `LARGEST_READ` bytes."""
        if numbers.size == 0:
            return
        low, high = int(numbers.min()), int(numbers.max()) + 1
        if high - low <= 4 * numbers.size:
            rows = self.index[low:high][numbers - low]
        else:
            rows = np.concatenate([self.index[i : i + 1] for i in numbers.tolist()])
        values = np.array(
            [self.layouts[layout].values(atoms) for layout, atoms, *_ in rows.tolist()], dtype=np.int64
        )
        for start, end in _runs(rows, values, self.hessians.dtype.itemsize):
            yield from self._read_run(rows[start:end], values[start:end])

    def _read_run(self, rows: np.ndarray, values: np.ndarray) -> Iterator[Atoms]:
        begin, last = int(rows[0, RECORD]), int(rows[-1, RECORD] + rows[-1, SIZE])
        records = self.records[begin:last]
        has = values > 0
        first = int(rows[has, HESSIAN].min()) if has.any() else 0
        end = int((rows[:, HESSIAN] + values)[has].max()) if has.any() else 0
        hessians = self.hessians[first:end] if end else np.empty(0)
        for (layout, atoms, record, size, hessian), count in zip(rows.tolist(), values.tolist(), strict=True):
            own = records[record - begin : record - begin + size].copy()
            yield unpack(
                self.layouts[layout], atoms, own, hessians[hessian - first : hessian - first + count]
            )

    def extend(self, frames: Iterable[Atoms]) -> int:
        """Add frames at the end; what is written is counted every `LARGEST_WRITE` bytes. Returns how many."""
        packer = self._packer or Packer(self.file.attrs["hessian_dtype"], self.layouts)
        self._packer = packer
        total, block, size = 0, _Block(self), 0
        for number, atoms in enumerate(frames, start=self.frames):
            packed = packer.pack(atoms, number)
            size += block.add(packed)
            total += 1
            if size > LARGEST_WRITE:
                self._write(block, packer)
                block, size = _Block(self), 0
        self._write(block, packer)
        return total

    def _write(self, block: _Block, packer: Packer) -> None:
        if not block.rows:
            return
        self.add_layouts(packer.layouts[len(self.layouts) :])
        append(self.records, np.frombuffer(b"".join(block.records), np.uint8))
        if block.hessians:
            append(self.hessians, np.concatenate(block.hessians))
        append(self.index, np.array(block.rows, dtype=np.int64))
        self.count(self.frames + len(block.rows))

    def add_layouts(self, layouts: list[Layout]) -> None:
        """Write layouts behind those that there are."""
        if layouts:
            old = len(self.file["layouts"])
            self.file["layouts"].resize(old + len(layouts), axis=0)
            self.file["layouts"][old:] = [layout.to_json() for layout in layouts]
            self.layouts += layouts

    def count(self, frames: int) -> None:
        """The first `frames` frames are complete: say so in the file, after all else is there."""
        self.file.flush()
        self.file.attrs["frames"] = self.frames = frames
        self.file.flush()

    def cut_off_leftovers(self) -> None:
        """Remove what lies behind the counted frames."""
        records = hessians = 0
        if self.frames:
            layout, atoms, record, size, hessian = self.index[self.frames - 1].tolist()
            records, hessians = record + size, hessian + self.layouts[layout].values(atoms)
        for dataset, length in (
            (self.index, self.frames),
            (self.records, records),
            (self.hessians, hessians),
        ):
            if len(dataset) > length:
                dataset.resize(length, axis=0)


class _Block:
    """Frames that wait to be written."""

    def __init__(self, body: Version2) -> None:
        self.rows: list[tuple[int, ...]] = []
        self.records: list[bytes] = []
        self.hessians: list[np.ndarray] = []
        self._record, self._hessian = len(body.records), len(body.hessians)
        if self._record % 8:
            self.records.append(bytes(-self._record % 8))
            self._record += -self._record % 8

    def add(self, packed: Packed) -> int:
        """Take a frame in; returns its size in bytes."""
        layout, atoms, record, hessians = packed
        size = len(record)
        self.rows.append((layout, atoms, self._record, size, self._hessian))
        padding = -size % 8
        self.records += [record, bytes(padding)] if padding else [record]
        self.hessians += hessians
        values = sum(array.size for array in hessians)
        self._record += size + padding
        self._hessian += values
        return size + padding + values * 8 + 40


def append(dataset: h5py.Dataset, values: np.ndarray) -> None:
    """Add values at the end of a data set."""
    old = len(dataset)
    dataset.resize(old + len(values), axis=0)
    dataset[old:] = values


def _runs(rows: np.ndarray, values: np.ndarray, itemsize: int) -> Iterator[tuple[int, int]]:
    """Slices of rows whose records and Hessians lie close together and are not too large."""
    start, n = 0, len(rows)
    record, size, hessian = (rows[:, column].tolist() for column in (RECORD, SIZE, HESSIAN))
    bytes_ = (values * itemsize).tolist()
    total = 0
    for i in range(n):
        total += size[i] + bytes_[i]
        follows = i > start and 0 <= record[i] - record[i - 1] - size[i - 1] < RECORD_CHUNK
        follows = follows and 0 <= hessian[i] - hessian[i - 1] < LARGEST_READ
        if i > start and (not follows or total > LARGEST_READ):
            yield start, i
            start, total = i, size[i] + bytes_[i]
    yield start, n
