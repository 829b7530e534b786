"""What `hint sscha` does, as a function."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from ase import Atoms

from hint_plugin.data.outputs import a_folder
from hint_plugin.data.structures.unit_cell import given_crystal, name_of, to_ase
from hint_plugin.errors import OptionsError
from hint_plugin.potentials.extrapolation import in_one_sentence
from hint_plugin.science.anharmonic.batched_forces import Evaluator
from hint_plugin.science.anharmonic.dynamical_matrix_files import (
    from_phonopy,
    read_dynamical_matrices,
    read_phonopy,
)
from hint_plugin.science.anharmonic.initial_force_constants import interpolated, with_masses
from hint_plugin.science.anharmonic.minimisation import Step
from hint_plugin.science.anharmonic.python_sscha import cellconstructor
from hint_plugin.science.anharmonic.run_folder import forces_of
from hint_plugin.science.anharmonic.run_folder import run as run_in_folder
from hint_plugin.science.anharmonic.self_consistency import (
    Silence,
    SschaSettings,
    SschaState,
    Watcher,
    begin,
    relax,
)
from hint_plugin.science.anharmonic.sockets import client_options, clients_at
from hint_plugin.science.anharmonic.sscha_report import population_in_words, step_in_words
from hint_plugin.science.anharmonic.sscha_result import HESSIANS, SschaResult
from hint_plugin.science.anharmonic.stress import choose_stress
from hint_plugin.science.anharmonic.supercell_force_constants import ForceConstants
from hint_plugin.science.given_potential import (
    GivenPotential,
    batched_calculator_of,
    potential_run_provenance,
)
from hint_plugin.science.phonons.born import born_of_a_start

Grid = tuple[int, int, int]


class SschaReport(Watcher, Protocol):
    """Told of what happens, besides what a `Watcher` is told."""

    def say(self, text: str) -> None:
        """What is being done now."""

    def invited(self, command: str) -> None:
        """Clients are waited for; `command` starts one."""


def sscha(
    start: str | Path | Atoms | ForceConstants,
    potential: GivenPotential | None = None,
    output: str | Path | None = None,
    *,
    temperature: float = 0.0,
    supercell: Grid | None = None,
    configs: int = 500,
    populations: int = 30,
    kong_liu: float = 0.5,
    step: float = 0.002,
    meaningful: float = 0.001,
    masses: Mapping[str, float] | Sequence[str] = (),
    relax_cell: bool = False,
    pressure: float = 0.0,
    bulk_modulus: float = 100.0,
    stress: bool | None = None,
    hessian: str = "none",
    seed: int = 0,
    socket: str | None = None,
    device: str = "cpu",
    report: SschaReport | Callable[[str], None] | None = None,
) -> SschaResult:
    """Anharmonic phonons, quantum and thermal: the stochastic self-consistent harmonic approximation.

    With the same `output` as an earlier run that was stopped, it goes on from there.

    Args:
        start: matrices of ph.x, phonopy.yaml, a crystal as atoms or a file, or force constants.
        potential: see `GivenPotential`. None where clients of `socket` compute, and no harmonic phonons of a
            crystal are needed.
        output: folder of the results, written as `hint sscha` does; None writes nothing.
        temperature: K.
        supercell: in primitive cells; that of `start` if None.
        configs: structures of a population.
        populations: at most.
        kong_liu: the smallest effective sample, as a part.
        step: the first step.
        meaningful: the end, gradient / error.
        masses: isotopes, element -> amu, or words as "H=2.014".
        relax_cell: to `pressure`, GPa, with `bulk_modulus`, GPa, as a guess.
        stress: compute the pressure, or not; None: if the potential is not known to lack it.
        hessian: of the free energy, one of `HESSIANS`.
        seed: of all random numbers.
        socket: NAME or HOST:PORT; forces come from i-PI clients (`hint ipi run`).
        device: where a model that is given by its file or name runs.
        report: told of progress, in words where it is a plain function.

    Raises:
        OptionsError: options that cannot be, or a folder with another run. DataError: no crystal.
        EngineError: a structure failed. MissingDependencyError: no CellConstructor.
    """
    cellconstructor()
    folder = None if output is None else a_folder(Path(output))
    told = as_report(report)
    if socket is not None and folder is None:
        raise OptionsError(f"socket {socket} without output; wanted a folder for template.xyz of the clients")
    if hessian not in HESSIANS:
        raise OptionsError(f"hessian {hessian!r}; wanted {', '.join(HESSIANS)}")
    settings = SschaSettings(
        temperature=float(temperature),
        configurations=configs,
        populations=populations,
        kong_liu=float(kong_liu),
        step=float(step),
        meaningful=float(meaningful),
        seed=seed,
        relax_cell=relax_cell,
        pressure=float(pressure),
        bulk_modulus=float(bulk_modulus),
    )
    needed = socket is None or potential is not None
    calculator = batched_calculator_of(potential, device) if needed else None
    chosen = choose_stress(stress, calculator, relax_cell)
    harmonic = starting_force_constants(start, calculator, supercell, amu_of(masses))
    born_note = born_of_a_start(Path(start)) if isinstance(start, str | Path) else ""
    if born_note:
        told.say(born_note)
    with clients_at(socket, calculator) as forces:
        blocks = {} if socket is None else {"block": configs}
        if socket is not None and folder is not None:
            told.invited(_client_command(folder, harmonic, socket))
        evaluator = Evaluator(forces, chosen.computed, **blocks)
        if folder is None:
            state = relax(begin(harmonic, settings), evaluator, settings, told)
        else:
            state = run_in_folder(folder, harmonic, evaluator, settings, told)
    about = potential_run_provenance(calculator, [start])
    result = SschaResult.of(
        harmonic,
        state,
        settings,
        hessian,
        told.say,
        forces_of(evaluator),
        provenance=about,
        stress_note=chosen.note,
        born_note=born_note,
        training_note=in_one_sentence(evaluator.outside, evaluator.evaluated, "configurations of this run"),
    )
    if folder is not None:
        told.say("writing")
        result.write_results(folder)
    return result


def starting_force_constants(
    start: str | Path | Atoms | ForceConstants,
    calculator: Any = None,
    supercell: Grid | None = None,
    masses: Mapping[str, float] | None = None,
) -> ForceConstants:
    """Harmonic force constants of a file, or of a crystal by its calculator.

    Args:
        start: see `sscha`.
        calculator: of ASE, for a crystal.
        supercell: another one than that of the file; needed of a crystal.
        masses: of isotopes, amu.

    Raises:
        OptionsError: a crystal without supercell or calculator; masses of what is not in it.
        DataError: the file cannot be read.
    """
    if supercell is not None and min(supercell) < 1:
        raise OptionsError(f"--supercell {' '.join(map(str, supercell))}; wanted three numbers above 0")
    if isinstance(start, ForceConstants):
        found = start if supercell is None else interpolated(start, supercell)
    elif isinstance(start, Atoms):
        found = _of_crystal(start, calculator, supercell)
    else:
        found = _of_file(Path(start), calculator, supercell)
    return with_masses(found, masses or {})


def _of_file(path: Path, calculator: Any, supercell: Grid | None) -> ForceConstants:
    if path.name.endswith((".yaml", ".yml", ".yaml.xz", ".yaml.gz")):
        return read_phonopy(path, supercell)
    if not path.is_file() or re.search(r"dyn\d*$", path.name) or "ynamical" in _beginning(path):
        found = read_dynamical_matrices(path)
        return found if supercell is None else interpolated(found, supercell)
    return _of_crystal(path, calculator, supercell)


def _of_crystal(structure: Path | Atoms, calculator: Any, supercell: Grid | None) -> ForceConstants:
    from hint_plugin.science.phonons import harmonic_phonons
    from hint_plugin.science.phonons.crystals import new_phonopy

    name = name_of(structure)
    if supercell is None:
        raise OptionsError(f"{name} is a structure: say which supercell, as --supercell 2 2 2")
    if calculator is None:
        raise OptionsError(f"{name} is a structure: --model or --engine is needed for its harmonic phonons")
    atoms = given_crystal(structure)
    primitive = to_ase(new_phonopy(atoms, 1).primitive, atoms)
    phonon = harmonic_phonons(primitive, calculator, supercell, primitive="P")
    return from_phonopy(phonon, supercell, primitive)


def _beginning(path: Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as handle:
        return handle.read(200)


def amu_of(masses: Mapping[str, float] | Sequence[str]) -> dict[str, float]:
    """Element -> amu, of words as "H=2.014" or "H=2.014,Pd=108". Raises OptionsError: others."""
    if isinstance(masses, Mapping):
        return dict(masses)
    found = {}
    for word in (w for words in masses for w in words.split(",")):
        symbol, _, value = word.partition("=")
        try:
            found[symbol.strip()] = float(value)
        except ValueError:
            raise OptionsError(f"--masses {word}; wanted ELEMENT=AMU, as H=2.014") from None
    return found


def _client_command(folder: Path, start: ForceConstants, address: str) -> str:
    """What starts a client, which needs template.xyz: the atoms in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    template = folder / "template.xyz"
    start.supercell().write(template, format="extxyz")
    return f"hint ipi run --model FILE --template {template} {client_options(address)}"


def as_report(report: SschaReport | Callable[[str], None] | None) -> SschaReport:
    """What is told of a run: nobody, a plain function in words, or a `SschaReport` as it is."""
    if report is None:
        return _InWords(lambda text: None)
    if hasattr(report, "finished_population"):
        return cast(SschaReport, report)
    return _InWords(report)


class _InWords(Silence):
    """Tells a plain function what happens."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def say(self, text: str) -> None:
        self._tell(text)

    def invited(self, command: str) -> None:
        self._tell(f"waiting for clients: {command}")

    def evaluated(self, population: int, done: int, count: int) -> None:
        self._tell(f"population {population}: forces, {done} of {count}")

    def stepped(self, population: int, step: Step) -> None:
        self._tell(step_in_words(population, step))

    def finished_population(self, state: SschaState) -> None:
        self._tell(population_in_words(state.records[-1]))
