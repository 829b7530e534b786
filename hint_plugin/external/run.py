"""What `hint external` does, as functions with the names, options and defaults of its commands.

`potential` is the file of a model, the name of one that comes with HINT, the name of an engine, or a
`PotentialSpec` (an engine with options). `gaussian` and `orca` ask a resident server, which the first call
starts; with `server=False` they load the potential for this one point, and take an open `Potential` as well.
"""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hint_plugin.errors import DataError, HintError, OptionsError
from hint_plugin.external import client, gaussian_files, orca_files
from hint_plugin.external.client import IDLE
from hint_plugin.external.points import Answer, Point
from hint_plugin.external.spec import Spec

PROGRAMS = ("gaussian", "orca")


@dataclass(frozen=True)
class ExternalResult:
    """What was computed, and the file in which the program finds it."""

    answer: Answer
    output: Path

    def as_dict(self) -> dict[str, Any]:
        """Energy (Eh), method, warnings and the file."""
        told = self.answer
        return {
            "energy": told.energy,
            "method": told.method,
            "warnings": told.warnings,
            "output": str(self.output),
        }


def gaussian(
    layer: str,
    input_file: str | Path,
    output_file: str | Path,
    message_file: str | Path | None = None,
    fchk_file: str | Path | None = None,
    matel_file: str | Path | None = None,
    potential: Any = None,
    *,
    device: str = "cpu",
    server: bool = True,
    idle: float = IDLE,
) -> ExternalResult:
    """One point of Gaussian's `External`: reads its input file and writes its output file.

    Args:
        layer: R, M or S, of ONIOM; each is computed alike.
        input_file: of Gaussian.
        output_file: for Gaussian: energy, dipole moment, gradient, Hessian in atomic units.
        message_file: what is written there stands in Gaussian's log: the potential, warnings, errors.
        fchk_file: not used. `matel_file`: not used.
        potential: see the module.
        device: where a model runs.
        server: ask the resident server.
        idle: seconds after which the server ends when nobody asks.

    Raises:
        DataError, OptionsError: the input, or electrons that the potential does not know.
        ServerError: the server could not be started, or ended.
    """
    answered, said = Path(output_file), None if message_file is None else Path(message_file)
    try:
        if layer not in gaussian_files.LAYERS:
            raise OptionsError(f"layer {layer!r}; wanted R, M or S, which Gaussian gives first")
        point = gaussian_files.read_input(Path(input_file))
        found = _answer(potential, point, device, server, idle)
        _write(answered, gaussian_files.output_text(found, point.order))
    except HintError as error:
        answered.unlink(missing_ok=True)  # Gaussian must not read the point before
        _say(said, f" HINT: {error}")
        raise
    _say(said, "\n".join([f" HINT: {found.method}", *(f" HINT warns: {text}" for text in found.warnings)]))
    return ExternalResult(found, answered)


def orca(
    input_file: str | Path,
    potential: Any = None,
    *,
    device: str = "cpu",
    server: bool = True,
    idle: float = IDLE,
) -> ExternalResult:
    """One point of ORCA's `ExtOpt`: reads NAME_EXT.extinp.tmp and its .xyz, and writes NAME_EXT.engrad.

    Args:
        input_file: NAME_EXT.extinp.tmp.
        potential, device, server, idle: as of `gaussian`.

    Raises:
        DataError, OptionsError: the input, or electrons that the potential does not know.
        ServerError: the server could not be started, or ended.
    """
    asked = orca_files.read_input(Path(input_file))
    try:
        found = _answer(potential, asked.point, device, server, idle)
        _write(asked.engrad, orca_files.engrad_text(found))
    except HintError:
        asked.engrad.unlink(missing_ok=True)  # ORCA must not read the point before
        raise
    return ExternalResult(found, asked.engrad)


@dataclass(frozen=True)
class HessianFile:
    """A Hessian that was written for another program."""

    output: Path
    energy: float
    atoms: int

    def as_dict(self) -> dict[str, Any]:
        """The file, energy (eV), number of atoms."""
        return {"output": str(self.output), "energy": self.energy, "atoms": self.atoms}


def hessian(
    structure: Any,
    output: str | Path,
    potential: Any = None,
    *,
    device: str = "cpu",
    charge: int = 0,
    spin: int | None = None,
) -> HessianFile:
    """The Hessian that another program starts from.

    Args:
        structure: a file with one structure, or ASE atoms.
        output: .hess for ORCA's `InHessName`, .txt for geomeTRIC's `--hessian file:`.
        potential: see the module; an open one or an ASE calculator, too.
        device: where a model runs.
        charge, spin: where the structure states none (2S + 1).

    Raises:
        OptionsError: another suffix, or a folder that is not there. DataError: not one structure.
        What the potential raises.
    """
    from hint_plugin.external import hessian_files

    path = _place(output)
    if path.suffix not in (".hess", ".txt"):
        raise OptionsError(f"{path}: wanted .hess (ORCA's InHessName) or .txt (geomeTRIC's --hessian file:)")
    atoms = _one_structure(structure, potential, device, charge, spin)
    energy, matrix = float(atoms.get_potential_energy()), atoms.calc.get_hessian(atoms)
    text = hessian_files.numpy_text(matrix)
    if path.suffix == ".hess":
        text = hessian_files.orca_hess(atoms, energy, matrix)
    _write(path, text)
    return HessianFile(path, energy, len(atoms))


@dataclass(frozen=True)
class Conversations:
    """What pysisyphus has asked for."""

    energies: int
    gradients: int
    hessians: int

    def as_dict(self) -> dict[str, int]:
        """The numbers."""
        return {"energies": self.energies, "gradients": self.gradients, "hessians": self.hessians}


def pysisyphus(
    structure: Any,
    potential: Any = None,
    *,
    address: str | Path = "hint.sock",
    wait: float = 120.0,
    linger: float = 5.0,
    device: str = "cpu",
    charge: int = 0,
    spin: int | None = None,
) -> Conversations:
    """Answers a run of pysisyphus whose calculator is `{type: ipiserver, address: hint.sock}`.

    Args:
        structure: a file with the atoms of the run in their order, or ASE atoms; positions are pysisyphus's.
        potential: see the module; an open one or an ASE calculator, too.
        address: of the socket.
        wait: seconds to wait for pysisyphus at the start.
        linger: seconds to wait for its next calculator after the last one has ended.
        device: where a model runs.
        charge, spin: where the structure states none (2S + 1).

    Raises:
        LostError: pysisyphus is not there, or has died. DataError: it has other atoms.
        What the potential raises.
    """
    from hint_plugin.external.pysisyphus_client import converse

    atoms = _one_structure(structure, potential, device, charge, spin)
    return Conversations(**converse(Path(address), atoms, wait, linger))


def script(
    program: str,
    output: str | Path,
    potential: Any = None,
    *,
    device: str = "cpu",
    server: bool = True,
    idle: float = IDLE,
) -> Path:
    """A program of its own for Gaussian's `External` or ORCA's `ProgExt`, with the potential's place in it.

    Args:
        program: gaussian or orca.
        output: the script; it can be called from every folder.
        potential, device, server, idle: as of `gaussian`.

    Raises:
        OptionsError: another program, an output that cannot be written. DataError: no such model.
    """
    if program not in PROGRAMS:
        raise OptionsError(f"no script for {program!r}; wanted one of {', '.join(PROGRAMS)}")
    path, spec = _place(output), Spec.of(potential, device)
    words = ["--model", spec.model] if spec.model else ["--engine", str(spec.engine)]
    words += [word for pair in spec.options for word in ("--engine-option", pair)]
    words += ["--device", device] if device != "cpu" else []
    words += ["--idle", f"{idle:g}"] if idle != IDLE else []
    words += [] if server else ["--no-server"]
    command = [sys.executable, "-m", "hint_plugin.external", program]
    _write(path, f'#!/bin/sh\nexec {shlex.join(command)} {shlex.join(words)} "$@"\n')
    path.chmod(0o755)
    return path


def status() -> list[dict[str, Any]]:
    """The servers of this user that are running."""
    return client.servers()


def stop() -> list[dict[str, Any]]:
    """Ends them; says which there were."""
    return client.stop()


def _answer(potential: Any, point: Point, device: str, server: bool, idle: float) -> Answer:
    if server:
        return client.ask(Spec.of(potential, device), point, idle)
    from hint_plugin.external.compute import answer, open_spec
    from hint_plugin.potentials.potential import Potential

    return answer(
        potential if isinstance(potential, Potential) else open_spec(Spec.of(potential, device)), point
    )


def _one_structure(structure: Any, potential: Any, device: str, charge: int, spin: int | None) -> Any:
    """The atoms, with what computes as their calculator."""
    from hint_plugin.potentials.on_demand import OnDemand
    from hint_plugin.science.molecules.molecule_inputs import given, named_frames, no_molecule

    found = [atoms for _, atoms in named_frames(given(structure))]
    if len(found) != 1:
        raise DataError(f"{structure} has {len(found)} structures; wanted one")
    if wrong := no_molecule(found[0]):
        raise DataError(f"{structure}: {wrong[1]}")
    atoms = found[0].copy()
    atoms.calc = OnDemand.of(potential, device, charge, spin).calculator()
    return atoms


def _place(output: str | Path) -> Path:
    """Where a file can be written, said before the work."""
    from hint_plugin.data.outputs import a_file

    path = a_file(Path(output))
    assert path is not None
    if not path.parent.is_dir():
        raise OptionsError(f"{path} cannot be written: there is no folder {path.parent}")
    return path


def _write(path: Path, text: str) -> None:
    """All of it or nothing."""
    unready = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unready.write_text(text, encoding="utf-8")
        os.replace(unready, path)
    except OSError as error:
        raise OptionsError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        unready.unlink(missing_ok=True)


def _say(path: Path | None, text: str) -> None:
    if path is not None:
        path.write_text(text + "\n", encoding="utf-8")
