"""A frame as one run of bytes: what version 2 of `FrameStore` writes, and how it is read back.

All that frames have in common goes into a *layout*, which is stored once: names, types, shapes, and values
that hardly vary (engine, method, step, charge, pbc). A frame is then the number of its layout, its number of
atoms, a *record* (its own numbers, end to end) and the lower triangles of its symmetric [3N, 3N] matrices.

An item of a layout is [section, name, packing, dtype, stored dtype, dims]:

| packing | stored | dims |
|---|---|---|
| array | the values | "N", "3N", a number, or "?" (then the record begins with it) |
| scalar | one number, read back as Python's bool, int or float | [] |
| json | a UTF-8 document: text, lists, dicts | ["?"] |
| constant | nothing: the JSON stands in the layout in place of the dtype | [] |
| lower | triangle of a symmetric matrix, row by row, in the stream of Hessians | [] |

Sections: `atoms` (numbers, positions, cell, pbc, constraints), `arrays`, `info`, `calc` (results of a
single-point calculator). Within a record items come by falling size of their numbers, from a multiple of 8
on, so every one is aligned.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator

from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.errors import DataError

CONSTANTS = 32  # a key that has had this many values is no constant any more: it goes into the records
LAYOUTS = 4096  # layouts with constants in them; beyond, all values go into the records
_LARGEST_CONSTANT = 4096  # characters
_NUMBERS = (bool, int, float)
_LARGEST_FIXED = 9  # dims up to this one stand in the layout: vectors, tensors, K probes
_FREE, _N, _3N = "?", "N", "3N"
_KEYS = LabelKeys()
_HESSIAN_LIKE = frozenset({_KEYS.hvp, _KEYS.rows})

Dim = int | str


class Item(NamedTuple):
    """One item of a layout; see the module's table."""

    section: str
    name: str
    packing: str
    dtype: str
    stored: str
    dims: tuple[Dim, ...]


class Packed(NamedTuple):
    """A frame taken apart: number of its layout and of its atoms, record, triangles."""

    layout: int
    n_atoms: int
    record: bytes
    hessians: list[np.ndarray]


class Layout:
    """The items of a frame, and where they lie in its record."""

    def __init__(self, items: tuple[Item, ...]) -> None:
        self.items = items
        self.n_free = sum(dim == _FREE for item in items for dim in item.dims)
        self.n_triangles = sum(item.packing == "lower" for item in items)
        self._plans: dict[tuple[int, bytes], list[tuple[Item, tuple[int, ...], int]]] = {}

    @cached_property
    def constants(self) -> list[tuple[Item, str]]:
        """Items whose value stands in the layout, as JSON."""
        return [(item, item.dtype) for item in self.items if item.packing == "constant"]

    @cached_property
    def parsed(self) -> list[tuple[Item, Any]]:
        """The same items, with their values."""
        return [(item, json.loads(text)) for item, text in self.constants]

    def values(self, n_atoms: int) -> int:
        """Values in the stream of Hessians of a frame with this layout."""
        return self.n_triangles * triangle_size(n_atoms)

    def plan(self, n_atoms: int, free: bytes) -> list[tuple[Item, tuple[int, ...], int]]:
        """(item, shape, offset in bytes) of all that is in the record; `free` are its first bytes."""
        key = (n_atoms, free)
        if key not in self._plans:
            if len(self._plans) > 1024:
                self._plans.clear()
            self._plans[key] = self._make_plan(n_atoms, iter(np.frombuffer(free, np.uint32).tolist()))
        return self._plans[key]

    def _make_plan(self, n_atoms: int, free: Any) -> list[tuple[Item, tuple[int, ...], int]]:
        plan, offset = [], _padded(4 * self.n_free)
        for item in self.items:
            if item.packing in ("constant", "lower"):
                continue
            known = {_N: n_atoms, _3N: 3 * n_atoms}
            shape = tuple(
                next(free) if dim == _FREE else dim if isinstance(dim, int) else known[dim]
                for dim in item.dims
            )
            plan.append((item, shape, offset))
            offset += int(np.prod(shape, dtype=np.int64)) * np.dtype(item.stored).itemsize
        return plan

    def to_json(self) -> str:
        """As the store keeps it."""
        return json.dumps([list(item) for item in self.items])

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """The inverse of `to_json`."""
        return cls(
            tuple(
                Item(section, name, packing, dtype, stored, tuple(dims))
                for section, name, packing, dtype, stored, dims in json.loads(text)
            )
        )


class Packer:
    """Takes frames apart; remembers the layouts that it has met.

    Args:
        hessian_dtype: of triangles, and of rows and products (`REF_hessian_rows`, `REF_hvp`).
        layouts: those of a store that is appended to.
    """

    def __init__(self, hessian_dtype: str, layouts: list[Layout]) -> None:
        self.layouts = list(layouts)
        self._single = hessian_dtype == "float32"
        self._number = {layout.items: number for number, layout in enumerate(layouts)}
        self._constants: dict[tuple[str, str], set[str]] = {}
        for layout in layouts:
            for item, text in layout.constants:
                self._constants.setdefault((item.section, item.name), set()).add(text)

    def pack(self, atoms: Atoms, number: int) -> Packed:
        """Take a frame apart.

        Raises:
            DataError: a value is neither numbers, text nor JSON; names frame `number`.
        """
        n = len(atoms)
        constants: list[Item] = []
        stored: list[tuple[Item, np.ndarray]] = []
        triangles: list[tuple[Item, np.ndarray]] = []

        def add(section: str, name: str, value: Any) -> None:
            if isinstance(value, np.generic):
                value = value.item()
            if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind in "iufb":
                if section == "info" and _is_symmetric(value, 3 * n):
                    triangles.append((Item(section, name, "lower", "<f8", "", ()), value))
                else:
                    stored.append(self._array(section, name, value, n))
                return
            known = self._constants.setdefault((section, name), set())
            may_be_constant = len(known) < CONSTANTS and len(self.layouts) < LAYOUTS
            is_number = type(value) in _NUMBERS and abs(value) < 2**63  # no infinity, no NaN
            text = "" if is_number and not may_be_constant else _to_json(value, name, number)
            if may_be_constant and len(text) <= _LARGEST_CONSTANT and text != "NaN":
                known.add(text)
                constants.append(Item(section, name, "constant", text, "", ()))
            elif is_number:
                array = np.asarray(value)
                stored.append((Item(section, name, "scalar", array.dtype.str, array.dtype.str, ()), array))
            else:
                array = np.frombuffer(text.encode(), np.uint8)
                stored.append((Item(section, name, "json", "|u1", "|u1", (_FREE,)), array))

        add("atoms", "numbers", atoms.numbers.astype(np.uint8))
        add("atoms", "positions", atoms.positions)
        add("atoms", "pbc", atoms.pbc.tolist())
        if atoms.cell.array.any():
            add("atoms", "cell", atoms.cell.array)
        if atoms.constraints:
            add("atoms", "constraints", [constraint.todict() for constraint in atoms.constraints])
        for name, value in atoms.info.items():
            add("info", name, value)
        for name, value in atoms.arrays.items():
            if name not in ("numbers", "positions"):
                add("arrays", name, value)
        for name, value in _results(atoms).items():
            add("calc", name, value)

        stored.sort(key=lambda entry: -entry[1].dtype.itemsize)  # stable: everything aligned
        items = tuple(constants + [item for item, _ in stored] + [item for item, _ in triangles])
        if items not in self._number:
            self._number[items] = len(self.layouts)
            self.layouts.append(Layout(items))
        free = [
            size for item, a in stored for dim, size in zip(item.dims, a.shape, strict=True) if dim == _FREE
        ]
        head = np.array(free, np.uint32).tobytes()
        parts = [head, bytes(_padded(len(head)) - len(head)), *(array.tobytes() for _, array in stored)]
        dtype = np.float32 if self._single else np.float64
        lower = [matrix[triangle(n)].astype(dtype, copy=False) for _, matrix in triangles]
        return Packed(self._number[items], n, b"".join(parts), lower)

    def _array(self, section: str, name: str, value: np.ndarray, n: int) -> tuple[Item, np.ndarray]:
        dtype, stored = value.dtype.newbyteorder("<"), value.dtype.newbyteorder("<")
        if self._single and name in _HESSIAN_LIKE and dtype.kind == "f":
            stored = np.dtype("<f4")
        elif dtype.kind == "f" and value.size and abs(value.flat[0]) == 1 and np.all(np.abs(value) == 1):
            stored = np.dtype("|i1")  # Rademacher probes
        dims = tuple(_dim(size, n) for size in value.shape)
        return Item(section, name, "array", dtype.str, stored.str, dims), value.astype(stored, copy=False)


def unpack(layout: Layout, n_atoms: int, record: np.ndarray, values: np.ndarray) -> Atoms:
    """The frame of a record (bytes, its own copy: arrays look into it) and its triangles.

    Raises:
        ValueError, KeyError: the record is shorter than its layout says, or lacks something.
    """
    sections: dict[str, dict[str, Any]] = {"atoms": {}, "info": {}, "arrays": {}, "calc": {}}
    for item, constant in layout.parsed:
        is_own = isinstance(constant, list | dict)
        sections[item.section][item.name] = json.loads(item.dtype) if is_own else constant
    for item, shape, offset in layout.plan(n_atoms, record[: 4 * layout.n_free].tobytes()):
        value: Any = np.ndarray(shape, item.stored, record, offset)
        if item.packing == "scalar":
            value = value.item()
        elif item.packing == "json":
            value = json.loads(value.tobytes())
        elif item.stored != item.dtype:
            value = value.astype(item.dtype)
        sections[item.section][item.name] = value
    size = triangle_size(n_atoms)
    for number, item in enumerate(item for item in layout.items if item.packing == "lower"):
        flat = values[number * size : (number + 1) * size]
        sections[item.section][item.name] = _whole(flat, n_atoms)
    return _to_atoms(**sections)


def _to_atoms(atoms: dict, info: dict, arrays: dict, calc: dict) -> Atoms:
    frame = Atoms(
        numbers=atoms["numbers"].astype(int),
        positions=atoms["positions"],
        cell=atoms.get("cell"),
        pbc=atoms["pbc"],
    )
    frame.info.update(info)
    for name, value in arrays.items():
        frame.arrays[name] = value if isinstance(value, np.ndarray) else np.array(value)
    if "constraints" in atoms:
        from ase.constraints import dict2constraint  # slow to import, rarely needed

        frame.set_constraint([dict2constraint(constraint) for constraint in atoms["constraints"]])
    if calc:
        frame.calc = SinglePointCalculator(frame, **calc)
    return frame


_TRIANGLES: dict[int, tuple[np.ndarray, np.ndarray]] = {}


def triangle(n_atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the lower triangle of [3N, 3N]."""
    if n_atoms not in _TRIANGLES:
        if len(_TRIANGLES) > 64:
            _TRIANGLES.clear()
        _TRIANGLES[n_atoms] = np.tril_indices(3 * n_atoms)
    return _TRIANGLES[n_atoms]


def triangle_size(n_atoms: int) -> int:
    """Elements of the lower triangle of [3N, 3N]."""
    return 3 * n_atoms * (3 * n_atoms + 1) // 2


def _whole(flat: np.ndarray, n_atoms: int) -> np.ndarray:
    matrix = np.empty((3 * n_atoms, 3 * n_atoms))
    rows, columns = triangle(n_atoms)
    matrix[rows, columns] = flat
    matrix[columns, rows] = flat
    return matrix


def _results(atoms: Atoms) -> dict[str, Any]:
    results = getattr(atoms.calc, "results", {}) if atoms.calc is not None else {}
    return {name: value for name, value in results.items() if name in all_properties and value is not None}


def _dim(size: int, n_atoms: int) -> Dim:
    if size == n_atoms:
        return _N
    if size == 3 * n_atoms and size > 3:
        return _3N
    return size if size <= _LARGEST_FIXED else _FREE


def _padded(size: int) -> int:
    return (size + 7) // 8 * 8


def _is_symmetric(value: np.ndarray, size: int) -> bool:
    is_square = value.dtype.kind == "f" and size > 0 and value.shape == (size, size)
    return is_square and bool(np.array_equal(value, value.T))


def _to_json(value: Any, name: str, number: int) -> str:
    try:
        return _encode(value)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"frame {number}: {name} is neither numbers, text nor JSON ({error}). Remove it from the frame"
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__}")


_encode = json.JSONEncoder(default=_plain).encode
