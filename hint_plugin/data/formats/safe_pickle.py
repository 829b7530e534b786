"""Pickles of torch-geometric `Data`, read without torch-geometric and without running what they ask for.

A pickle is a program: loading it calls whatever it names. Here a name is looked up in one short list and
nowhere else. torch-geometric's classes become `Record`s, which only keep attributes; tensors and arrays are
rebuilt by functions of our own from their bytes, shape and strides; every other name stops the reading.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # first object of torch.save's format before zip files
_STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "LongStorage": "i8", "IntStorage": "i4",
    "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip


class RefusedError(pickle.UnpicklingError):
    """The pickle names something that is not on the list."""


class Record:
    """What was an object of torch-geometric: its state, without behaviour."""

    def __init__(self, *values: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def load_data(raw: bytes) -> dict[str, Any]:
    """The attributes of a pickled torch-geometric `Data`, or the items of a pickled dict.

    Tensors become arrays. Read are the layouts of torch-geometric 1.x (attributes in the object) and 2.x
    (attributes in its storage).

    Raises:
        pickle.UnpicklingError: damaged, or it names what is not on the list (`RefusedError`).
    """
    found = _Unpickler(io.BytesIO(raw)).load()
    for _ in range(4):
        if isinstance(found, Record):
            found = found.state
        elif isinstance(found, dict) and isinstance(found.get("_store"), Record):
            found = found["_store"]
        elif isinstance(found, dict) and isinstance(found.get("_mapping"), dict):
            found = found["_mapping"]
    if not isinstance(found, dict):
        raise pickle.UnpicklingError(f"a {type(found).__name__}; wanted a torch-geometric Data")
    return {str(key): value.values if isinstance(value, _Array) else value for key, value in found.items()}


def load_number(raw: bytes) -> int:
    """A pickled whole number.

    Raises:
        pickle.UnpicklingError: damaged, or something else.
    """
    return int(_Unpickler(io.BytesIO(raw)).load())


class _Call:
    """A function that a pickle may call. No attribute of it can be set: a pickle could try."""

    __slots__ = ("_function",)
    _function: Any

    def __init__(self, function: Any) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise RefusedError(f"it sets the attribute {name} of a function")

    def __setstate__(self, state: Any) -> None:
        raise RefusedError("it changes a function")


class _Unpickler(pickle.Unpickler):
    """Looks every name up in `_ALLOWED`."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("torch_geometric.data.") and name in _RECORDS:
            return Record
        module = module.replace("numpy.core.", "numpy._core.")
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise RefusedError(
                f"it asks for {module}.{name}, which is no part of a torch-geometric Data; nothing was run"
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedError("it refers to something outside the file")


class _StorageUnpickler(_Unpickler):
    """The parts of a legacy torch file: hands out the key of a storage, whose bytes follow later."""

    wanted: tuple[str, str, int] = ("", "", 0)

    def persistent_load(self, pid: Any) -> Any:
        kind, dtype, key, _, size, *_ = pid
        if kind != "storage" or dtype not in _STORAGES.values():
            raise RefusedError("it refers to something that is no storage of numbers")
        self.wanted = (str(key), dtype, int(size))
        return "storage"


def _storage(raw: bytes) -> NDArray:
    """The numbers in a storage that `torch.save` wrote in its legacy format."""
    stream = io.BytesIO(raw)
    magic, _, system = (_StorageUnpickler(stream).load() for _ in range(3))
    if magic != _LEGACY_MAGIC:
        raise pickle.UnpicklingError("a storage of an unknown version of torch")
    main = _StorageUnpickler(stream)
    main.load()
    keys = _StorageUnpickler(stream).load()
    key, dtype, size = main.wanted
    if list(keys) != [key]:
        raise pickle.UnpicklingError("a storage in several parts")
    order = "<" if not isinstance(system, dict) or system.get("little_endian", True) else ">"
    count = int(np.frombuffer(stream.read(8), f"{order}i8")[0])
    if count != size:
        raise pickle.UnpicklingError(f"a storage of {count} numbers; it says {size}")
    number = np.dtype(order + dtype)
    return np.frombuffer(stream.read(count * number.itemsize), number, count=count)


def _tensor(storage: Any, offset: int, shape: Any, strides: Any, *_: Any) -> NDArray:
    if not isinstance(storage, np.ndarray):
        raise pickle.UnpicklingError("a tensor without a storage")
    shape, strides = tuple(int(n) for n in shape), tuple(int(n) for n in strides)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True)) if shape else offset
    empty = 0 in shape
    if min((offset, *shape, *strides)) < 0 or (not empty and last >= storage.size):
        raise pickle.UnpicklingError(f"a tensor of shape {shape} in a storage of {storage.size} numbers")
    if empty:
        return np.empty(shape, storage.dtype)
    item = storage.itemsize
    return as_strided(storage[offset:], shape, [step * item for step in strides]).copy()


def _parameter(data: Any, *_: Any) -> Any:
    return data


class _DType:
    """A numpy type of numbers: name and byte order. numpy's own would take its flags from the pickle."""

    __slots__ = ("name", "order")

    def __init__(self, name: Any, *_: Any) -> None:
        self.name, self.order = str(name), "="

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])

    def numpy(self) -> np.dtype:
        dtype = np.dtype(self.name).newbyteorder(self.order)  # type: ignore[arg-type]
        if dtype.kind not in "biufSU":
            raise RefusedError(f"an array of {self.name}, not of numbers or text")
        return dtype


class _Array:
    """A numpy array: shape, type and bytes, put together when all is read."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: Any = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, raw = state
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        self.values = _from_bytes(raw, dtype, shape, "F" if is_fortran else "C")


def _from_bytes(raw: Any, dtype: Any, shape: Any, order: Any = "C", *_: Any) -> NDArray:
    if not isinstance(dtype, _DType) or not isinstance(raw, bytes | bytearray):
        raise RefusedError("an array that is not made of bytes")
    return np.frombuffer(bytes(raw), dtype.numpy()).reshape(shape, order=order).copy()


def _array(*_: Any) -> _Array:
    return _Array()  # its state, with the numbers, follows


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    return _from_bytes(raw, dtype, ())[()]


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise RefusedError(f"text in {encoding}")
    return text.encode("latin1")


def _ordered(*items: Any) -> OrderedDict[Any, Any]:
    return OrderedDict(*items)


_RECORDS = {
    "Data", "DataEdgeAttr", "DataTensorAttr", "GlobalStorage", "BaseStorage", "EdgeAttr", "TensorAttr",
}  # fmt: skip
_ALLOWED: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): _Call(_tensor),
    ("torch._utils", "_rebuild_tensor"): _Call(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Call(_parameter),
    ("torch.storage", "_load_from_bytes"): _Call(_storage),
    ("collections", "OrderedDict"): _Call(_ordered),
    ("numpy._core.multiarray", "_reconstruct"): _Call(_array),
    ("numpy._core.multiarray", "scalar"): _Call(_scalar),
    ("numpy._core.numeric", "_frombuffer"): _Call(_from_bytes),
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _Call(_DType),
    ("_codecs", "encode"): _Call(_encode),
}
