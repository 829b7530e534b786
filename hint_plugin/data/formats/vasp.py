"""VASP's vasprun.xml: energies, forces, stress of every step, and the Hessian of IBRION = 5 to 8.

Steps by ASE, the Hessian by phonopy. `<dynmat><varray name="hessian">` holds -H_ij / sqrt(m_i m_j), with the
masses of `<atominfo>`, in eV/A^2/amu before VASP 6 and, marked so, in THz^2 since. It belongs to the first
structure; with finite differences (IBRION = 5, 6) the other steps are the displaced ones. The energy is the
free energy (`e_fr_energy`), whose derivative the forces are; the energy at zero smearing, `e_0_energy`, is
kept in `info` as `energy_sigma0`.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data.file_io import opened
from hint_plugin.data.formats.common import labelled, reading
from hint_plugin.data.formats.vasp_convergence import check_xml
from hint_plugin.errors import DataError
from hint_plugin.optional import load


def recognise(path: Path) -> bool:
    """XML that begins with <modeling>."""
    try:
        with opened(path, "rb") as handle:
            return b"<modeling" in handle.read(500)
    except (OSError, EOFError, lzma.LZMAError):
        return False


def read(path: Path) -> Iterator[Atoms]:
    """The steps; the first one gets the Hessian, where there is one.

    Raises:
        DataError: truncated, no vasprun.xml, or electronic steps that have not converged.
        MissingDependencyError: there is a Hessian and phonopy is not installed.
    """
    from ase.io.vasp import read_vasp_xml

    hessian = _hessian(path)
    with reading(path), opened(path) as text:
        check_xml(path, text)
    with opened(path, "rb") as handle:
        steps = iter(read_vasp_xml(handle, slice(None)))
        yield from frames_of(path, steps, "vasp-xml", "a step of vasprun.xml", hessian)


def frames_of(
    path: Path,
    steps: Iterator[Atoms],
    source_format: str,
    what: str,
    hessian: Any,
    also: tuple[type[Exception], ...] = (),
) -> Iterator[Atoms]:
    """What ASE reads of VASP's steps, as labelled frames; the first one gets the Hessian.

    Args:
        path: of the file, for messages.
        steps: of ASE's reader.
        source_format: our name of the format.
        what: a step is, for messages.
        hessian: [3N, 3N], eV/A^2, or None.
        also: what ASE's reader raises besides the usual.

    Raises:
        DataError: truncated, or no finished step.
    """
    number = 0
    while True:
        with reading(path, number, what, *also):
            atoms = next(steps, None)
            if atoms is None:
                break
            results = dict(atoms.calc.results) if atoms.calc is not None else {}
            frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
            if "energy" in results:
                frame.info["energy_sigma0"] = float(results["energy"])
            labelled(
                frame,
                source_format,
                energy=results.get("free_energy"),
                forces=results.get("forces"),
                stress=results.get("stress"),
                hessian=hessian if number == 0 else None,
                engine="vasp",
            )
        number += 1
        yield frame
    if number == 0:
        raise DataError(f"{path}: no finished step. Is the run broken off?")


def _hessian(path: Path) -> Any:
    """[3N, 3N] in eV/A^2, or None."""
    with reading(path), opened(path, "rb") as handle:
        if not any(b"<dynmat>" in line for line in handle):
            return None
    load("phonopy", "phonons", f"{path} needs phonopy")
    from phonopy.interface.vasp import Vasprun

    with reading(path, 0, "the Hessian of vasprun.xml"), opened(path, "rb") as handle:
        constants, _ = Vasprun(handle).read_force_constants()
        size = 3 * len(constants)
        return constants.transpose(0, 2, 1, 3).reshape(size, size)
