"""What an output of a quantum chemistry program says of each of its geometries, as cclib reads it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hint_plugin.data.file_io import without_mark
from hint_plugin.errors import DataError
from hint_plugin.optional import load

_INSTEAD = {"TURBOMOLE": "The file `gradient` of the same folder has all steps of an optimisation: give that"}
Values = list[NDArray[np.float64] | None]


@dataclass
class Steps:
    """The geometries of a run, in order.

    Attributes:
        numbers: [N] atomic numbers; `masses` [N], amu, where the output has them.
        positions: of each step, [N, 3], A.
        energies: of each step, hartree; None where it has none.
        gradients: of each step, [N, 3], hartree/bohr, in the orientation of its positions; None where not.
        charge, multiplicity, method, version: where the output tells.
        has_frequencies: it prints harmonic frequencies of the last geometry.
        hessian: [3N, 3N], hartree/bohr^2, of the last geometry, where the reader has one.
    """

    numbers: NDArray[np.int64]
    positions: list[NDArray[np.float64]]
    energies: list[float | None]
    gradients: Values
    masses: NDArray[np.float64] | None = None
    charge: int | None = None
    multiplicity: int | None = None
    method: str | None = None
    version: str | None = None
    has_frequencies: bool = False
    hessian: NDArray[np.float64] | None = None


def by_cclib(path: Path, program: str, text: str | None = None) -> Steps:
    """The steps of a finished run; of `text` where the file at `path` holds other jobs, too.

    Raises:
        DataError: cclib cannot read it, the run did not end well, or its numbers of geometries, energies and
            gradients do not tell which belong together.
        MissingDependencyError: cclib is not installed.
    """
    data = _parsed(path, program, text)
    energies, gradients = _energies(data), getattr(data, "grads", None)
    if gradients is not None and hasattr(data, "etenergies"):
        raise DataError(
            f"{path}: excited states and gradients; which state the gradients are of is not certain, and "
            "labels are not guessed. Give an output of the ground state"
        )
    total = len(data.atomcoords)
    counts = {len(values) for values in (energies, gradients) if values is not None}
    if len(counts) > 1 or not counts <= {total}:
        known = [0 if values is None else len(values) for values in (energies, gradients)]
        raise DataError(
            f"{path}: {total} geometries, {known[0]} energies, {known[1]} gradients; which belong together "
            f"is not certain, and labels are not guessed. {_INSTEAD.get(program, 'Give single steps')}"
        )
    masses = getattr(data, "atommasses", None)
    sign = -1.0 if program == "Gaussian" else 1.0  # of Gaussian, cclib keeps the forces under this name
    return Steps(
        np.asarray(data.atomnos),
        [np.asarray(x, dtype=float) for x in data.atomcoords],
        [None] * total if energies is None else [float(energy) for energy in energies],
        [None] * total if gradients is None else [sign * np.asarray(g, dtype=float) for g in gradients],
        masses if masses is not None and len(masses) == len(data.atomnos) else None,
        getattr(data, "charge", None),
        getattr(data, "mult", None),
        _method(data.metadata),
        data.metadata.get("package_version"),
        hasattr(data, "vibfreqs"),
        np.asarray(data.hessian, dtype=float) if hasattr(data, "hessian") else None,
    )


def _parsed(path: Path, program: str, text: str | None) -> Any:
    cclib = load("cclib", "formats", f"{path}, an output of {program}, needs cclib")
    try:
        with without_mark(path) as whole:
            source = str(whole) if text is None else StringIO(text)
            parser = cclib.io.ccopen(source, loglevel=logging.CRITICAL)
            data = None if parser is None else parser.parse()
    except Exception as error:  # cclib reads line by line, and lets out whatever its code meets
        raise DataError(
            f"{path}: cclib {cclib.__version__} cannot read this output of {program} "
            f"({type(error).__name__}: {error}). Is it truncated, or of a version that cclib does not know?"
        ) from error
    if data is None or not hasattr(data, "atomcoords"):
        raise DataError(f"{path}: cclib finds no geometry in this output of {program}. Is it truncated?")
    if data.metadata.get("success") is False:
        raise DataError(f"{path}: the run of {program} did not end well, by its own last lines")
    return data


def _energies(data: Any) -> NDArray[np.float64] | None:
    """[geometries], hartree: coupled cluster before MP2 before SCF. cclib 1 keeps eV, of its own constant."""
    from cclib.parser.utils import convertor

    for name in ("ccenergies", "mpenergies", "scfenergies"):
        values = np.asarray(getattr(data, name, []), dtype=float)
        if values.size:
            values = values[:, -1] if values.ndim == 2 else values
            return np.asarray(values / convertor(1.0, "hartree", "eV"))
    return None


def _method(metadata: dict[str, Any]) -> str | None:
    methods = metadata.get("methods") or []
    name = metadata.get("functional") or (methods[-1] if methods else None)
    return "/".join(part for part in (name, metadata.get("basis_set")) if part) or None
