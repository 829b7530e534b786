"""Inputs of Quantum ESPRESSO's pw.x and ph.x from a structure, and what pw.x says back.

The cards and namelists are written and the output is read by ASE; here is decided what goes into them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ase.io
import numpy as np
from ase import Atoms
from ase.io.espresso import write_espresso_in, write_fortran_namelist

from hint_plugin.data.labels.single_point import SinglePoint
from hint_plugin.errors import DataError, EngineError
from hint_plugin.settings import option

PREFIX = "hint"
DYNAMICAL_MATRICES = "hint.dyn"  # ph.x adds 0, 1, ...; readers know the suffix
Smearing = Literal["gaussian", "mv", "mp", "fd"]


@dataclass(frozen=True, kw_only=True)
class QEOptions:
    """Options of `qe`, in Quantum ESPRESSO's units (Ry) where its input has them."""

    pseudo_dir: Path = option("folder of the pseudopotentials")
    ecutwfc: float = option("cutoff of the wave functions, Ry")
    pseudopotentials: dict[str, str] = option("element -> file, where the folder has several of it", {})
    ecutrho: float | None = option("cutoff of the density, Ry; four times ecutwfc if none", None)
    kspacing: float | None = option("largest distance of k points, 1/A with 2 pi; or kpts", None)
    kpts: tuple[int, int, int] | None = option("k points along each axis, Gamma-centred", None)
    smearing: Smearing | None = option("for metals: gaussian, mv (cold), mp, fd", None)
    degauss: float = option("width of the smearing, Ry", 0.02)
    conv_thr: float = option("of the SCF energy, Ry", 1e-10)
    input: dict[str, Any] = option("anything else of pw.x: input.system.nspin=2", {})
    command: str = option("what runs pw.x, for instance mpirun -np 2 pw.x -nk 2", "pw.x")
    step: float = option("length of a displacement for differences, A", 0.01)
    timeout: float | None = option("seconds that one run may take", None)
    keep: Path | None = option("keep the last files of each frame in a folder of its own here", None)
    charge: int = option("total charge of structures that do not say, e", 0)
    ph_grid: tuple[int, int, int] | None = option("also run ph.x on this q grid, for each frame", None)
    ph_command: str = option("what runs ph.x", "ph.x")
    ph_input: dict[str, Any] = option("anything else of ph.x: ph_input.epsil=true", {})


def find_pseudopotentials(options: QEOptions, symbols: list[str]) -> dict[str, str]:
    """Element -> file name, of the mapping, else the one file of the folder that begins with the element.

    Raises:
        EngineError: there is none, or there are several and the mapping does not say which.
    """
    return match_pseudopotentials(
        options.pseudo_dir, symbols, options.pseudopotentials, "--engine-option pseudopotentials.{}=FILE"
    )


def match_pseudopotentials(
    folder: Path, symbols: Iterable[str], named: Mapping[str, str], option: str
) -> dict[str, str]:
    """Element -> file name: of `named`, else the one .upf of `folder` that begins with the element.

    Names as of PseudoDojo (Pd.upf), GBRV (pd_pbe_v1.4.uspp.F.UPF), SSSP and others (Pd_ONCV_PBE-1.0.upf).

    Args:
        option: how the user names a file, with {} for the element; for the error.

    Raises:
        EngineError: there is none, or there are several and `named` does not say which.
    """
    found, files = {}, sorted(p.name for p in folder.iterdir() if p.suffix.lower() == ".upf")
    for symbol in sorted(set(symbols)):
        chosen = named.get(symbol)
        pattern = re.compile(rf"{symbol}([._-]|$)", re.IGNORECASE)
        fitting = [chosen] if chosen else [name for name in files if pattern.match(Path(name).stem)]
        if chosen and not (folder / chosen).is_file():
            raise EngineError(f"no pseudopotential {folder / chosen}", "element")
        if len(fitting) != 1:
            several = f"several ({', '.join(fitting[:4])})" if fitting else "none"
            raise EngineError(
                f"pseudopotential of {symbol} in {folder}: {several}; wanted one. Give "
                + option.format(symbol),
                "element",
            )
        found[symbol] = fitting[0]
    return found


def k_grid(options: QEOptions, atoms: Atoms) -> tuple[int, int, int]:
    """`kpts`, or ceil(2 pi |b_i| / kspacing) along b_i: neighbours are at most `kspacing` apart."""
    if options.kpts is not None:
        return options.kpts
    if options.kspacing is None:
        return (1, 1, 1)
    lengths = 2 * np.pi * np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    first, second, third = (max(1, int(np.ceil(x / options.kspacing - 1e-9))) for x in lengths)
    return first, second, third


def pw_input(options: QEOptions, atoms: Atoms, charge: int, *, from_density: bool = False) -> str:
    """The input of an scf with forces and stress.

    Args:
        options: of the engine; what `options.input` has comes before all else.
        atoms: periodic in three directions. Initial magnetic moments turn spin polarisation on.
        charge: e; becomes tot_charge.
        from_density: start from the density that the run before left in the same folder.
    """
    import io

    control = {
        "calculation": "scf",
        "prefix": PREFIX,
        "outdir": "./out",
        "pseudo_dir": str(options.pseudo_dir.resolve()),
        "tprnfor": True,
        "tstress": True,
        "disk_io": "low",
        "verbosity": "low",
    }
    system: dict[str, Any] = {"ecutwfc": options.ecutwfc}
    if options.ecutrho is not None:
        system["ecutrho"] = options.ecutrho
    if options.smearing is not None:
        system |= {"occupations": "smearing", "smearing": options.smearing, "degauss": options.degauss}
    if charge:
        system["tot_charge"] = charge
    electrons: dict[str, Any] = {"conv_thr": options.conv_thr}
    if from_density:
        electrons["startingpot"] = "file"
    data: dict[str, dict[str, Any]] = {"control": control, "system": system, "electrons": electrons}
    for section, values in options.input.items():
        if not isinstance(values, Mapping):
            raise EngineError(f"input.{section}; wanted input.SECTION.KEY=VALUE, as input.system.nbnd=8")
        data.setdefault(section.lower(), {}).update(values)
    target = io.StringIO()
    write_espresso_in(
        target,
        atoms,
        input_data=data,
        pseudopotentials=find_pseudopotentials(options, atoms.get_chemical_symbols()),
        kpts=k_grid(options, atoms),
    )
    return re.sub(r"&\w+\n/\n", "", target.getvalue())  # without ASE's empty namelists


def ph_input(options: QEOptions) -> str:
    """The input of ph.x for dynamical matrices on the q grid `options.ph_grid`: hint.dyn0, hint.dyn1, ..."""
    if options.ph_grid is None:
        raise EngineError("no q grid: give --engine-option ph_grid=2,2,2")
    values: dict[str, Any] = {
        "prefix": PREFIX,
        "outdir": "./out",
        "fildyn": DYNAMICAL_MATRICES,
        "tr2_ph": 1e-14,
    }
    values |= {"ldisp": True, **{f"nq{i + 1}": n for i, n in enumerate(options.ph_grid)}, **options.ph_input}
    return "phonons on a grid\n" + namelist("ph", "inputph", values)


def namelist(program: str, section: str, values: Mapping[str, Any]) -> str:
    """One namelist as `program` (ASE's name of it: ph, q2r, matdyn) reads it."""
    import io

    target = io.StringIO()
    write_fortran_namelist(target, {section: dict(values)}, binary=program)
    return target.getvalue().replace("EOF", "").rstrip() + "\n"


def read_pw(path: Path) -> SinglePoint:
    """Energy, forces and stress of pw.x's output.

    With smearing the energy is the free energy, whose gradient the forces are.

    Raises:
        EngineError: the SCF did not converge, or pw.x stopped; with its own words.
        DataError: the file is no such output.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    if "convergence NOT achieved" in text:
        raise EngineError(
            "pw.x: SCF not converged; raise input.electrons.electron_maxstep or lower mixing_beta", "scf"
        )
    stopped = re.search(r"%%%%\n(.*?)\n\s*%%%%", text, re.DOTALL)
    if stopped:
        words = " ".join(stopped.group(1).split())
        raise EngineError(f"pw.x stopped: {words}", "program")
    if "JOB DONE" not in text:
        raise EngineError(f"pw.x ended early; the end of its output: {text[-200:].strip()!r}", "program")
    try:
        found: Any = ase.io.read(path, format="espresso-out")
        results = found.calc.results
        return SinglePoint(float(results["energy"]), np.array(results["forces"]), results.get("stress"))
    except (KeyError, IndexError, ValueError, AssertionError) as error:
        raise DataError(f"{path}: cannot be read as output of pw.x ({error!r})") from error
