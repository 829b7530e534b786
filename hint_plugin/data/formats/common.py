"""What readers share: labels put where they belong, errors that name file and frame, optional packages."""

from __future__ import annotations

import contextlib
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ase import Atoms
from numpy.typing import ArrayLike

from hint_plugin.data.labels.extxyz import DEFAULT_KEYS, write_label
from hint_plugin.data.labels.label import HessianLabel
from hint_plugin.data.labels.real_numbers import real_numbers
from hint_plugin.errors import DataError, LabelError

# what parsers raise on a damaged file, depending on where it breaks off
READ_ERRORS = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    RuntimeError,
    AssertionError,
    OSError,
    EOFError,
    StopIteration,
    SyntaxError,  # XML parsers' ParseError
    zlib.error,
    lzma.LZMAError,
    LabelError,
)


@contextlib.contextmanager
def reading(
    path: str | Path, frame: int | str | None = None, wanted: str = "", *also: type[Exception]
) -> Iterator[None]:
    """Whatever a parser raises becomes a DataError with file, frame and what was expected there.

    `also`: errors of a package, besides `READ_ERRORS`.
    """
    caught: tuple[type[Exception], ...] = (*READ_ERRORS, *also)
    try:
        yield
    except DataError:
        raise
    except caught as error:
        place = "" if frame is None else f", frame {frame}"
        said = f"it lacks {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        expected = f"; wanted {wanted}" if wanted else ""
        raise DataError(
            f"{path}{place}: cannot be read ({said}){expected}. Is it truncated, or of another format?"
        ) from error


def labelled(
    atoms: Atoms,
    source_format: str,
    *,
    energy: Any = None,
    forces: ArrayLike | None = None,
    stress: ArrayLike | None = None,
    hessian: ArrayLike | HessianLabel | None = None,
    **provenance: Any,
) -> Atoms:
    """Put labels under the keys of `LabelKeys` and their origin under `hint_*`; drops any calculator.

    Args:
        atoms: changed in place, and returned.
        source_format: name of the format, kept as `hint_source_format`.
        energy: total energy, eV.
        forces: [N, 3], also flat, eV/A.
        stress: [6] in ASE's Voigt order, or [3, 3], eV/A^3.
        hessian: a label, or [3N, 3N] in any shape of its size, eV/A^2.
        **provenance: method, program, ...; None is left out.

    Raises:
        LabelError, ValueError: a wrong shape; NaN in a Hessian.
    """
    keys = DEFAULT_KEYS
    atoms.calc = None
    about = {"source_format": source_format, **{k: v for k, v in provenance.items() if v is not None}}
    if energy is not None:
        values = real_numbers(energy).reshape(-1)
        if values.size != 1:
            raise ValueError(f"the energy has {values.size} values; wanted one")
        atoms.info[keys.energy] = float(values[0])
    if forces is not None:
        array = real_numbers(forces)
        if array.shape not in ((len(atoms), 3), (3 * len(atoms),)):
            raise ValueError(f"the forces have shape {array.shape}; wanted ({len(atoms)}, 3)")
        atoms.arrays[keys.forces] = array.reshape(-1, 3).copy()
    if stress is not None:
        array = real_numbers(stress)
        if array.shape == (3, 3):
            array = array[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        if array.shape != (6,):
            raise ValueError(f"the stress has shape {array.shape}; wanted (6,) or (3, 3)")
        atoms.info[keys.stress] = array
    if hessian is not None:
        label = hessian if isinstance(hessian, HessianLabel) else _full(hessian, len(atoms))
        write_label(atoms, label)
    for name, value in about.items():
        atoms.info[keys.prefix + name] = value
    return atoms


def _full(hessian: ArrayLike, n_atoms: int) -> HessianLabel:
    array = real_numbers(hessian)
    if array.size != 9 * n_atoms**2:
        raise ValueError(
            f"the Hessian has shape {array.shape}; wanted ({3 * n_atoms}, {3 * n_atoms}) for {n_atoms} atoms"
        )
    return HessianLabel.full(array.reshape(3 * n_atoms, 3 * n_atoms), n_atoms=n_atoms)


def as_text(value: Any) -> str:
    """Text out of HDF5 and pickles: str, or bytes in UTF-8."""
    return value.decode() if isinstance(value, bytes) else str(value)


def first_bytes(path: str | Path, size: int = 4096) -> str:
    """The beginning of a file as text, for a look inside; "" where it cannot be read, or is a pipe."""
    if not Path(path).is_file():
        return ""
    try:
        with open(path, "rb") as handle:
            return handle.read(size).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""
