"""The pickles of an artifact, read by an unpickler that makes nothing: what they name, and whether it fits.

torch's own reader makes objects of the classes in the archive, and tensors by the offsets and strides that
the pickle tells, which it does not compare with the bytes that are there. Both are checked here.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hint_plugin.data.formats.safe_pickle import _Call
from hint_plugin.errors import DataError

#: Bytes of an element.
_STORAGES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8,
    "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
    "ComplexDoubleStorage": 16, "ComplexFloatStorage": 8,
}  # fmt: skip
#: What TorchScript's writer writes. No name is put together (STACK_GLOBAL), no extension, no old protocol.
_NAMES = """
    PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE SHORT_BINUNICODE
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS BINPUT
    LONG_BINPUT BINGET LONG_BINGET GLOBAL NEWOBJ REDUCE BUILD BINPERSID
    """
_OPCODES = frozenset(_NAMES.split())
_LISTS = {"build_intlist", "build_tensorlist", "build_doublelist", "build_boollist"}
_TYPE = re.compile(r"[A-Za-z0-9_., \[\]]*")  # of Dict[str, str]


class _Refused(pickle.UnpicklingError):
    """Something that no export of HINT has."""


def check_pickle(entries: Mapping[str, bytes], name: str, own: set[str], path: Path) -> None:
    """One of the two pickles of an archive.

    Args:
        entries: of the archive.
        name: ``data.pkl`` or ``constants.pkl``.
        own: full names of the classes whose source is in the archive.
        path: of the archive, for messages.

    Raises:
        DataError: it names something else, or a tensor reaches beyond its bytes.
    """
    try:
        for opcode, argument, _ in pickletools.genops(entries[name]):
            if opcode.name not in _OPCODES:
                raise _Refused(f"it has the instruction {opcode.name}")
            if opcode.name == "GLOBAL" and not str(argument).isascii():
                raise _Refused(f"it names {argument!r}")
        _Unpickler(entries, name.removesuffix(".pkl"), own).load()
    except (
        Exception
    ) as error:  # of bytes that anybody may have made: whatever pickle raises, also MemoryError
        raise DataError(
            f"{path} is refused, and nothing of it was run: {name}: {error or type(error).__name__}. "
            "Use only files whose makers you know"
        ) from error


class _Object:
    """In the place of an object of the archive's classes: takes a state and does nothing."""

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise _Refused("an object has a state that is no list of attributes")


class _Unpickler(pickle.Unpickler):
    """Looks names up in a short list; persistent identifiers are the storages in the archive."""

    def __init__(self, entries: Mapping[str, bytes], folder: str, own: set[str]) -> None:
        super().__init__(io.BytesIO(entries[f"{folder}.pkl"]))
        self.entries, self.folder, self.own = entries, folder, own

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" in self.own:
            return _Object
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch.jit._pickle" and name in _LISTS:
            return _Call(list)
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Refused(f"it asks for {module}.{name}") from None

    def persistent_load(self, pid: Any) -> int:
        """The number of elements of a storage that is in the archive."""
        kind, width, key, device, count = pid
        data = self.entries.get(f"{self.folder}/{key}")
        if kind != "storage" or not isinstance(width, int) or not isinstance(device, str) or data is None:
            raise _Refused(f"it refers to {kind} {key!r}, which is not in the file")
        if not isinstance(count, int) or not 0 <= count * width <= len(data):
            raise _Refused(f"storage {key} has {len(data)} bytes, and the pickle tells {count} x {width}")
        return count


def _tensor(count: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> None:
    numbers = (count, offset, *shape, *strides)
    if not all(isinstance(n, int) and n >= 0 for n in numbers) or len(shape) != len(strides):
        raise _Refused(f"a tensor of shape {shape} with strides {strides} from {offset}")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if 0 not in shape and last >= count:
        raise _Refused(f"a tensor of shape {shape} reaches beyond its storage of {count} numbers")


def _tagged(value: Any, tag: Any) -> Any:
    if not isinstance(tag, str) or not _TYPE.fullmatch(tag) or "__torch__" in tag:
        raise _Refused(f"a type {tag!r}")
    return value


def _ordered(*items: Any) -> OrderedDict[Any, Any]:
    return OrderedDict(*items)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): _Call(_tensor),
    ("torch.jit._pickle", "restore_type_tag"): _Call(_tagged),
    ("collections", "OrderedDict"): _Call(_ordered),
}
