"""The comment line of extended XYZ: what ASE would make something else of, written and read.

ASE writes an empty text as `key=`, and reads the next key as its value; it writes text as it is, and reads
`007` as 7 and a line break as the end of the comment. Such values are written as `_JSON`, which ASE reads
back as they were. A key that occurs twice, or that has no value, is refused when a file is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.errors import DataError

_WORD = re.compile(r"[A-Za-z_/.][\w./()+*-]*(?<!\n)")
_NUMBERS_AND_FLAGS = re.compile(r"(?:t|f|true|false|nan|inf|infinity|[-+.\d_eE]+)", re.IGNORECASE)
_OWN = ("Properties", "Lattice", "pbc")
_TENSORS = ("virial", "stress")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|\{(?:\\.|[^}\\])*\}|\[(?:\\.|[^\]\\])*\]')
_EMPTY = re.compile(r"(?<![^\s])([^\s=]+)\s*=\s*(?:~0~)?\s+([^\s=]+)\s*=")
_KEY = re.compile(r"([^\s=]+)\s*=")


def writable(atoms: Atoms) -> Atoms:
    """The frame with an `info` that ASE's writer writes so that ASE's reader reads the same.

    Raises:
        DataError: a key or value that the format cannot hold.
    """
    info = {_key(name): _value(name, value) for name, value in atoms.info.items()}
    for name, array in atoms.arrays.items():
        if array.dtype.kind in "US" and any(not str(one) or re.search(r"\s", str(one)) for one in array.flat):
            raise DataError(
                f"the array '{name}' has empty text or text with spaces, which no column of .xyz holds; "
                "write a store (.h5), or change it"
            )
    found = atoms.copy()
    found.calc, found.info = atoms.calc, info
    for name, array in atoms.arrays.items():
        if array.dtype.kind == "u":  # ASE's columns are of signed integers
            found.arrays[name] = array.astype(np.int64)
    return found


def check(comment: str) -> None:
    """Refuse a comment line of which ASE would lose something.

    Raises:
        ValueError: a key or a column twice, or a key without a value, of which ASE makes the next key.
    """
    if "=" not in comment:
        return
    columns = re.search(r"Properties=\"?([^\s\"]+)", comment)
    bare = _QUOTED.sub(lambda match: "~0~" if not match[0][1:-1].strip() else "~1~", comment.strip())
    names = _KEY.findall(bare)
    for what, found in (("key", names), ("column", columns[1].split(":")[::3] if columns else [])):
        if twice := next((name for name in found if found.count(name) > 1), None):
            raise ValueError(f"the {what} {twice} is there twice; which one counts is not certain")
    if empty := _EMPTY.search(bare):
        raise ValueError(
            f"the key {empty[1]} has no value, and readers take {empty[2]}=... for it. Remove the empty key"
        )


def _key(name: Any) -> str:
    if not isinstance(name, str) or not name or name in _OWN or re.search(r"[=\\\n\r\t\"']", name):
        raise DataError(
            f"info has the key {name!r}; .xyz takes text without =, \\ and quotes, but {', '.join(_OWN)}"
        )
    return name


def _value(name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return _text(value)
    if value is None:
        return "_JSON null"
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return _value(name, value.item())
    if name in _TENSORS:
        return _tensor(name, value)
    if isinstance(value, np.ndarray) and value.size == 0:
        return value.tolist()  # as JSON: nothing at all would take the next key
    if isinstance(value, np.ndarray) and value.dtype.kind == "u":
        return value.astype(np.int64)
    return _plain(value)


def _tensor(name: str, value: Any) -> NDArray[np.float64]:
    """What ASE writes and reads as 3 x 3; six values are a stress in its own order."""
    array = np.asarray(value)
    if array.size not in ((9,) if name == "virial" else (6, 9)) or array.dtype.kind not in "iuf":
        raise DataError(f"info['{name}'] has the shape {array.shape}; in .xyz this key is a tensor of 3 x 3")
    return array.astype(float).reshape(6 if array.size == 6 else (3, 3))


def _plain(value: Any) -> Any:
    """Python's own numbers inside of lists and mappings, which JSON takes; anything else as it is."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


@lru_cache(maxsize=4096)
def _text(text: str) -> str:
    from ase.io.extxyz import key_val_dict_to_str, key_val_str_to_dict

    if _WORD.fullmatch(text) and not _NUMBERS_AND_FLAGS.fullmatch(text):
        return text
    if not re.search(r"[\n\r\t\\]", text) and text.strip():
        line = key_val_dict_to_str({"key": text, "next": 1})
        read = key_val_str_to_dict(line)
        if len(read) == 2 and isinstance(read["key"], str) and read["key"] == text:
            return text
    return "_JSON " + json.dumps(text).replace("\\", "\\\\")
