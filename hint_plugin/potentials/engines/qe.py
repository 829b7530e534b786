"""Plane-wave DFT by Quantum ESPRESSO's pw.x; Hessians by differences of its forces, or ph.x beside.

P. Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017).

Every displaced point starts from the density of the one before it. The k grid is that of the structure
itself at all points. With `ph_grid` the structure is a primitive cell: ph.x then computes the dynamical
matrices on a q grid (density-functional perturbation theory) and leaves the files hint.dyn0, hint.dyn1,
...; they become a label of a supercell by `hint dataset convert`.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.structures.electrons import stated_electrons
from hint_plugin.dft.qe_input import (
    DYNAMICAL_MATRICES,
    QEOptions,
    find_pseudopotentials,
    k_grid,
    ph_input,
    pw_input,
    read_pw,
)
from hint_plugin.errors import EngineError, MissingDependencyError, OptionsError
from hint_plugin.potentials.engine import ByDifferences, HessianMode, SinglePoint
from hint_plugin.potentials.structure_checks import charge_and_multiplicity, check_structure, moved


class QuantumEspresso:
    """The engine `qe`."""

    Options = QEOptions
    name = "qe"
    translation_invariant = False  # the grid of the density is fixed in space

    def __init__(self, options: QEOptions) -> None:
        self.options, self.step = options, options.step
        self.method = "pw.x"

    @classmethod
    def check(cls, options: QEOptions) -> None:
        """Raises MissingDependencyError without the programs, OptionsError for options that do not fit."""
        commands = [options.command] + ([options.ph_command] if options.ph_grid else [])
        for program in (name for command in commands for name in _programs(command)):
            if shutil.which(program) is None:
                raise MissingDependencyError(
                    f"{program} is not there: install Quantum ESPRESSO (Debian: apt install "
                    "quantum-espresso), or give --engine-option command='...'"
                )
        if not options.pseudo_dir.is_dir():
            raise OptionsError(f"pseudo_dir {options.pseudo_dir}: no such folder")
        if (options.kspacing is None) == (options.kpts is None):
            raise OptionsError("engine qe: give kspacing or kpts, one of the two")
        if options.ph_grid is not None and options.keep is None:
            raise OptionsError("engine qe: ph_grid leaves files; say where: --engine-option keep=FOLDER")

    @classmethod
    def closing_note(cls, options: QEOptions) -> str | None:
        """Where ph.x left its files, and what reads them."""
        if options.ph_grid is None:
            return None
        return (
            f"dynamical matrices are in the folders of {options.keep} (info hint_dynamical_matrices); make "
            "labels of supercells from them: hint dataset convert FOLDER/hint.dyn0 -o supercell.xyz"
        )

    @classmethod
    def settings(cls, options: QEOptions, hessian: HessianMode = "none") -> dict[str, Any]:
        """Names, cutoffs, smearing, convergence, other input, step. Each frame's output has the version."""
        found: dict[str, Any] = {"engine": cls.name, "method": "plane-wave DFT (pw.x)", "step": options.step}
        found |= {"ecutwfc_Ry": options.ecutwfc, "accuracy": options.conv_thr, "engine_version": None}
        if options.ecutrho is not None:
            found["ecutrho_Ry"] = options.ecutrho
        if options.smearing is not None:
            found["smearing"] = f"{options.smearing} {options.degauss} Ry"
        if options.input:
            found["input"] = " ".join(sorted(_flat(options.input)))
        return found

    @classmethod
    def of_structure(cls, options: QEOptions, atoms: Atoms) -> dict[str, Any]:
        """Charge, k points, pseudopotentials.

        Raises:
            EngineError: no pseudopotential, an impossible charge, charges of atoms that add up to another, or
                a multiplicity that nothing tells pw.x.
        """
        charge, multiplicity = charge_and_multiplicity(atoms, options.charge, None, uses_moments=True)
        stated = stated_electrons(atoms.info)[1]
        system = {str(key).lower() for key in options.input.get("system", {})}
        if (
            stated not in (None, 1)
            and not system & {"nspin", "tot_magnetization"}
            and not _has_moments(atoms)
        ):
            raise EngineError(
                f"the structure states multiplicity {multiplicity}, and pw.x would compute it without spin. "
                "Give initial magnetic moments, or -e input.system.nspin=2 -e input.system.tot_magnetization="
                f"{multiplicity - 1}",
                "electrons",
            )
        return {
            "charge": charge,
            "kpoints": "x".join(map(str, k_grid(options, atoms))),
            "pseudopotentials": " ".join(
                find_pseudopotentials(options, atoms.get_chemical_symbols()).values()
            ),
        }

    def provenance(self) -> dict[str, Any]:
        """The settings but for the version, which each frame adds."""
        return {name: value for name, value in self.settings(self.options).items() if value is not None}

    def prepare(self, atoms: Atoms) -> PreparedQE:
        """A folder for one structure.

        Raises:
            EngineError: not periodic, no pseudopotential, an impossible charge.
        """
        check_structure(atoms)
        if not atoms.pbc.all():
            raise EngineError(
                f"pw.x treats 3D-periodic cells; got pbc = {atoms.pbc.tolist()}. Put a molecule or a slab "
                "into a cell with vacuum and set pbc to all true",
                "cell",
            )
        return PreparedQE(self.options, atoms, self.of_structure(self.options, atoms))


class PreparedQE(ByDifferences):
    """One structure in a folder of its own, which is deleted at the end unless it is to be kept."""

    def __init__(self, options: QEOptions, atoms: Atoms, about: dict[str, Any]) -> None:
        self._options, self._atoms, self._charge = options, atoms, about["charge"]
        self._has_density = False
        self.provenance = about
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if options.keep is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="hint-qe-")
            self._folder = Path(self._temporary.name)
        else:
            self._folder = options.keep / _folder_name(atoms)
            self._folder.mkdir(parents=True, exist_ok=True)

    def single_point(self, positions: NDArray | None = None) -> SinglePoint:
        """Energy, forces and stress; with `ph_grid` also the dynamical matrices, into the kept folder.

        Raises:
            EngineError: the SCF did not converge, or a program failed.
        """
        if positions is not None:
            return self._run_pw(moved(self._atoms, positions))
        point = self._run_pw(self._atoms)
        self.provenance["engine_version"] = _version(self._folder / "pw.out")
        if self._options.ph_grid is not None:
            self._run_ph()
        return point

    def forces_at(self, positions: NDArray) -> NDArray:
        """Forces [N, 3] in eV/A. Raises EngineError as `single_point` does."""
        return self._run_pw(moved(self._atoms, positions)).forces

    def _run_pw(self, atoms: Atoms) -> SinglePoint:
        text = pw_input(self._options, atoms, self._charge, from_density=self._has_density)
        self._run(self._options.command, "pw", text)
        point = read_pw(self._folder / "pw.out")
        self._has_density = True
        return point

    def _run_ph(self) -> None:
        self._run(self._options.ph_command, "ph", ph_input(self._options))
        text = (self._folder / "ph.out").read_text(encoding="utf-8", errors="replace")
        if "JOB DONE" not in text or not (self._folder / f"{DYNAMICAL_MATRICES}1").is_file():
            raise EngineError(f"ph.x failed; the end of its output: {text[-200:].strip()!r}", "program")
        shutil.rmtree(self._folder / "out", ignore_errors=True)  # wave functions: gigabytes for nobody
        self._has_density = False
        self.provenance["dynamical_matrices"] = str(self._folder / f"{DYNAMICAL_MATRICES}0")

    def _run(self, command: str, name: str, text: str) -> None:
        (self._folder / f"{name}.in").write_text(text, encoding="utf-8")
        words = [*shlex.split(command), "-in", f"{name}.in"]
        with open(self._folder / f"{name}.out", "wb") as output:
            try:
                done = subprocess.run(
                    words,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.PIPE,
                    timeout=self._options.timeout,
                )
            except OSError as error:
                raise EngineError(f"{command} cannot be run ({error})", "program") from error
            except subprocess.TimeoutExpired as error:
                raise EngineError(
                    f"{command} took more than {self._options.timeout:g} s", "program"
                ) from error
        if done.returncode != 0:
            said = (self._folder / f"{name}.out").read_text(encoding="utf-8", errors="replace")
            if "%%%%" not in said and "convergence NOT achieved" not in said:  # read_pw says it better
                last = (done.stderr.decode(errors="replace") or said)[-200:].strip()
                raise EngineError(f"{command} ended with status {done.returncode}: {last}", "program")


def _programs(command: str) -> list[str]:
    """The launcher and the QE program of a command line; its flags and numbers are not programs."""
    words = shlex.split(command)
    if not words:
        raise OptionsError("engine qe: the command is empty")
    return list(dict.fromkeys([words[0], *(word for word in words[1:] if word.endswith(".x"))]))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """system.nspin=2 of {"system": {"nspin": 2}}."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}={value}"


def _has_moments(atoms: Atoms) -> bool:
    return bool(atoms.get_initial_magnetic_moments().any())


def _version(output: Path) -> str:
    with open(output, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if "Program PWSCF" in line:
                return f"Quantum ESPRESSO {line.split()[2].removeprefix('v.')}"
    return "Quantum ESPRESSO"


def _folder_name(atoms: Atoms) -> str:
    parts = (atoms.numbers.tobytes(), atoms.positions.tobytes(), atoms.cell.array.tobytes())
    return f"{atoms.get_chemical_formula()}-{hashlib.sha256(b''.join(parts)).hexdigest()[:10]}"
