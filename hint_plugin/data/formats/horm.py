"""HORM: 1.8 million DFT Hessians of reactive geometries (T. Cui et al., arXiv 2505.12447), wB97X/6-31G(d).

Layout: an LMDB file with the keys "0", "1", ... and "length"; each value is a pickled torch-geometric Data:

| attribute | shape | unit |
|---|---|---|
| pos | [N, 3] | A |
| charges | [N]: the atomic numbers | |
| energy, ae | total energy, energy of atomisation | eV |
| forces | [N, 3] | eV/A |
| hessian | [9 N^2], row-major | eV/A^2 |
| rxn | the reaction, where there is one | |

Pickles run code when they are loaded; these are read by `safe_pickle`, which runs none: a file that asks for
anything else than tensors and torch-geometric's own classes is refused. Sets derived from HORM with further
attributes are read too, the attributes are left out.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data.formats.common import labelled, reading
from hint_plugin.data.formats.lmdb_file import open_lmdb
from hint_plugin.data.formats.safe_pickle import load_data, load_number
from hint_plugin.errors import DataError


def read(path: Path) -> Iterator[Atoms]:
    """The samples in order; `info` gets `reaction` and `atomization_energy` where they are known.

    Raises:
        DataError: truncated, no such set, a damaged sample, or a pickle that asks for something else.
        MissingDependencyError: lmdb is not installed.
    """
    with open_lmdb(path) as transaction:
        length = transaction.get(b"length")
        try:
            count = transaction.stat()["entries"] if length is None else _length(length)
        except (pickle.UnpicklingError, ValueError, EOFError, TypeError) as error:
            raise DataError(f"{path}: the key 'length' is no number ({error}). Is it HORM's?") from error
        if transaction.get(str(count).encode()) is not None:
            raise DataError(
                f"{path}: there is a sample {count}, and the key 'length' says {count} samples. Which "
                "of both is right is not certain. Was it written by a run that broke off? Load it again"
            )
        for number in range(count):
            raw = transaction.get(str(number).encode())
            if raw is None:
                raise DataError(f"{path}, frame {number}: missing, of {count}. Is the file whole?")
            yield _sample(path, number, raw)


def _length(raw: bytes) -> int:
    return int(raw) if raw.isdigit() else load_number(raw)


def _sample(path: Path, number: int, raw: bytes) -> Atoms:
    try:
        data = load_data(raw)
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise DataError(f"{path}, frame {number}: refused, or damaged: {error}") from error
    with reading(path, number, "pos and charges of a HORM sample"):
        numbers = data["charges"] if "charges" in data else data["z"]
        atoms = Atoms(np.asarray(numbers).reshape(-1).astype(int), np.asarray(data["pos"], dtype=float))
        labelled(
            atoms,
            "horm",
            energy=data.get("energy"),
            forces=data.get("forces"),
            hessian=data.get("hessian"),
            method="wB97X/6-31G(d)",
        )
        if data.get("rxn") is not None:
            atoms.info["reaction"] = _plain(data["rxn"])
        if data.get("ae") is not None:
            atoms.info["atomization_energy"] = float(np.asarray(data["ae"]).reshape(-1)[0])
    return atoms


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else np.asarray(value).reshape(-1)[0].item()
