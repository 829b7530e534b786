"""Quantum ESPRESSO's pw.x: energies, forces and stress of every step in an output, by ASE.

The energy is the line with "!": with smearing the free energy F = E - TS, whose derivative the forces are.
Units of the file: Ry, Ry/bohr, Ry/bohr^3, converted by ASE; the stress has ASE's sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms

from hint_plugin.data.file_io import opened, text_of
from hint_plugin.data.formats.common import first_bytes, labelled, reading
from hint_plugin.errors import DataError


def recognise(path: Path) -> bool:
    """The banner of pw.x."""
    return "Program PWSCF" in first_bytes(path, 20_000)


def read(path: Path) -> Iterator[Atoms]:
    """The steps of the run; a step without forces or stress lacks these labels.

    Raises:
        DataError: no output of pw.x, broken off before the first energy, or SCF that has not converged.
    """
    from ase.io.espresso import read_espresso_out

    with reading(path):
        text = text_of(path, errors="replace")
    version = re.search(r"Program PWSCF v\.(\S+)", text)
    if version is None:
        raise DataError(
            f"{path}: no output of pw.x. Name the format by hint dataset convert --from if it is another's"
        )
    if text.count("Program PWSCF v.") > 1:
        raise DataError(
            f"{path}: outputs of {text.count('Program PWSCF v.')} runs of pw.x in one file; their settings "
            "may differ. Give each run a file of its own"
        )
    if "convergence NOT achieved" in text:
        raise DataError(f"{path}: the SCF has not converged; such energies and forces are no labels")
    number = 0
    with opened(path, errors="replace") as handle:
        with reading(path):
            steps = iter(read_espresso_out(handle, slice(None)))
        while True:
            with reading(path, number, "a finished step of pw.x"):
                atoms = next(steps, None)
                if atoms is None:
                    break
                results = dict(atoms.calc.results) if atoms.calc is not None else {}
                if "energy" not in results:
                    raise DataError(f"{path}, frame {number}: no total energy. Is the run finished?")
                frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
                labelled(
                    frame,
                    "qe-pw",
                    energy=results["energy"],
                    forces=results.get("forces"),
                    stress=results.get("stress"),
                    engine="pw.x",
                    engine_version=version[1],
                    method=_functional(text),
                )
            number += 1
            yield frame
    if number == 0:
        raise DataError(f"{path}: no finished step. Is the run broken off?")


def _functional(text: str) -> str | None:
    match = re.search(r"Exchange-correlation\s*=\s*([^\n(]+)", text)
    return match[1].strip() if match else None
