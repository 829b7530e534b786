"""`hint sscha STRUCTURE|DYN --temperature T -o DIR`: anharmonic phonons of a crystal."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.app import EXIT_SOME_FAILED
from hint_plugin.cli.support.potential_options import (
    Device,
    Engine,
    EngineOption,
    Folder,
    Json,
    Model,
    Temperature,
)


class FreeEnergyHessian(str, Enum):
    """Which one."""

    none = "none"
    v3 = "v3"
    v4 = "v4"


def sscha(
    start: Annotated[
        Path,
        typer.Argument(
            metavar="START",
            help="Matrices of ph.x (pdh.dyn, or a file of it), phonopy.yaml, or a crystal.",
        ),
    ],
    output: Folder = Path("sscha"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    temperature: Temperature = 0.0,
    supercell: Annotated[
        tuple[int, int, int] | None,
        typer.Option(help="In primitive cells; or that of START."),
    ] = None,
    configs: Annotated[int, typer.Option(min=2, help="Structures of a population.")] = 500,
    populations: Annotated[int, typer.Option(min=1, help="At most.")] = 30,
    kong_liu: Annotated[float, typer.Option(help="Smallest effective sample.")] = 0.5,
    step: Annotated[float, typer.Option(help="First step.")] = 0.002,
    meaningful: Annotated[float, typer.Option(help="The end: gradient / error.")] = 0.001,
    masses: Annotated[
        list[str] | None, typer.Option("--masses", metavar="H=2.014", help="Isotopes, amu; repeatable.")
    ] = None,
    relax_cell: Annotated[bool, typer.Option("--relax-cell", help="To --pressure.")] = False,
    pressure: Annotated[float, typer.Option(help="GPa.")] = 0.0,
    bulk_modulus: Annotated[float, typer.Option(help="GPa, a guess.")] = 100.0,
    stress: Annotated[
        bool | None,
        typer.Option("--stress/--no-stress", help="Compute the pressure, or not."),
    ] = None,
    hessian: Annotated[FreeEnergyHessian, typer.Option(help="Of the free energy.")] = FreeEnergyHessian.none,
    seed: Annotated[int, typer.Option(min=0, help="Of all random numbers.")] = 0,
    address: Annotated[
        str | None,
        typer.Option(
            "--socket",
            metavar="NAME|HOST:PORT",
            help="Forces from i-PI clients (hint ipi run).",
        ),
    ] = None,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Anharmonic phonons, quantum and thermal: the stochastic self-consistent harmonic approximation.

    The same command goes on where an earlier one in the same folder was stopped. Writes sscha.json,
    bands.png, convergence.png, and the matrices harmonic, sscha and hessian, each as NAME.dyn0, NAME.dyn1,
    ... for Quantum ESPRESSO and as NAME.yaml for phonopy.

    Exit status: 0 converged, 3 not after the last population, 2 nothing could be done.
    """
    import json

    from hint_plugin.cli.support.provenance import run_provenance, say_what_is_read
    from hint_plugin.data.file_io import write_json
    from hint_plugin.science.anharmonic import Evaluator, SschaSettings
    from hint_plugin.science.anharmonic.python_sscha import cellconstructor
    from hint_plugin.science.anharmonic.run_folder import run, write_results
    from hint_plugin.science.anharmonic.sockets import clients_at
    from hint_plugin.science.anharmonic.stress import choose_stress
    from hint_plugin.science.phonons.born import born_of_a_start

    cellconstructor()
    settings = SschaSettings(
        temperature,
        configs,
        populations,
        kong_liu,
        step,
        meaningful,
        seed,
        relax_cell,
        pressure,
        bulk_modulus,
    )
    calculator = None
    if address is None or model is not None or engine is not None:
        calculator = _calculator(model, engine, engine_option, device)
    chosen = choose_stress(stress, calculator, relax_cell)
    harmonic = _start(start, calculator, supercell, _masses(masses))
    say_what_is_read([start], quiet=json_)
    if born_note := born_of_a_start(start):
        typer.echo(born_note, err=json_)
    with _Progress(configs) as progress, clients_at(address, calculator) as potential:
        if address is not None:
            _invite(output, harmonic, address)
        blocks = {} if address is None else {"block": configs}
        evaluator = Evaluator(potential, chosen.computed, **blocks)
        state = run(output, harmonic, evaluator, settings, progress)
        result, named = write_results(
            output, harmonic, state, settings, hessian.value, progress.say,
            provenance=run_provenance([start], model, calculator), stress_note=chosen.note,
            born_note=born_note,
        )  # fmt: skip
    if json_:
        typer.echo(json.dumps(result, indent=2))
    else:
        _show(state, named)
        typer.echo(_in_words(result))
        typer.echo(f"written to {output}")
    write_json(output / "sscha.json", result)
    if not state.finished:
        raise typer.Exit(EXIT_SOME_FAILED)


def _calculator(model: Path | None, engine: str | None, options: list[str] | None, device: str) -> Any:
    """An exported model evaluates structures together; anything else does one by one."""
    from hint_plugin.artifact.metadata import is_artifact
    from hint_plugin.cli.support.potential_options import make_calculator
    from hint_plugin.potentials.hint_calculator import HintCalculator

    if model is not None and engine is None and not options and model.is_file() and is_artifact(model):
        return HintCalculator(model, device=device)
    return make_calculator(model, engine, options, device)


def _invite(folder: Path, start: Any, address: str) -> None:
    """What clients need: the atoms in their order."""
    from hint_plugin.science.anharmonic.sockets import client_options

    folder.mkdir(parents=True, exist_ok=True)
    start.supercell().write(folder / "template.xyz", format="extxyz")
    typer.echo(
        f"waiting for clients: hint ipi run --model FILE --template {folder / 'template.xyz'} "
        + client_options(address),
        err=True,
    )


def _start(
    path: Path, calculator: Any, supercell: tuple[int, int, int] | None, masses: dict[str, float]
) -> Any:
    import re

    from hint_plugin.errors import OptionsError
    from hint_plugin.science.anharmonic import (
        from_phonopy,
        read_dynamical_matrices,
        read_phonopy,
        with_masses,
    )
    from hint_plugin.science.anharmonic.initial_force_constants import interpolated

    if supercell is not None and min(supercell) < 1:
        raise OptionsError(f"--supercell {' '.join(map(str, supercell))}; wanted three numbers above 0")
    if path.name.endswith((".yaml", ".yml", ".yaml.xz", ".yaml.gz")):
        found = read_phonopy(path, supercell)
    elif not path.is_file() or re.search(r"dyn\d*$", path.name) or "ynamical" in _beginning(path):
        found = read_dynamical_matrices(path)
        found = found if supercell is None else interpolated(found, supercell)
    else:
        from hint_plugin.data.structures.unit_cell import read_crystal, to_ase
        from hint_plugin.science.phonons import harmonic_phonons
        from hint_plugin.science.phonons.crystals import new_phonopy

        if supercell is None:
            raise OptionsError(f"{path} is a structure: say which supercell, as --supercell 2 2 2")
        if calculator is None:
            raise OptionsError(
                f"{path} is a structure: --model or --engine is needed for its harmonic phonons"
            )
        atoms = read_crystal(path)
        primitive = to_ase(new_phonopy(atoms, 1).primitive, atoms)
        phonon = harmonic_phonons(primitive, calculator, supercell, primitive="P")
        found = from_phonopy(phonon, supercell, primitive)
    return with_masses(found, masses)


def _beginning(path: Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as handle:
        return handle.read(200)


def _masses(given: list[str] | None) -> dict[str, float]:
    from hint_plugin.errors import OptionsError

    found = {}
    for word in (w for words in given or [] for w in words.split(",")):
        symbol, _, value = word.partition("=")
        try:
            found[symbol.strip()] = float(value)
        except ValueError:
            raise OptionsError(f"--masses {word}; wanted ELEMENT=AMU, as H=2.014") from None
    return found


def _show(state: Any, named: Any) -> None:
    from rich.console import Console

    from hint_plugin.science.anharmonic.sscha_report import frequencies_table, populations_table

    console = Console()
    console.print(populations_table(state.records))
    console.print(frequencies_table(named))


def _in_words(result: dict[str, Any]) -> str:
    count = f"after {result['populations']} population{'s' if result['populations'] > 1 else ''}"
    lines = [
        f"converged {count}"
        if result["converged"]
        else f"not converged {count}: the same command with more --populations goes on",
        f"free energy: {result['free_energy']:.5f} +- {result['free_energy_error']:.5f} eV a cell",
    ]
    if result["pressure"] is not None:
        lines.append(f"pressure: {result['pressure']:.2f} +- {result['pressure_error']:.2f} GPa")
    if result["stress_note"]:
        lines.append(result["stress_note"])
    return "\n".join(lines)


class _Progress:
    """A bar for the forces of a population and the steps after them, and a line when it is done."""

    def __init__(self, count: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self._console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=count)

    def __enter__(self) -> "_Progress":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Show what is being done."""
        self._bar.update(self._task, description=text)

    def evaluated(self, population: int, done: int, count: int) -> None:
        """See `hint_plugin.science.anharmonic.Watcher`."""
        self._bar.update(
            self._task, completed=done, total=count, description=f"population {population}: forces"
        )

    def stepped(self, population: int, step: Any) -> None:
        """See there."""
        text = f"population {population}: gradient {step.gradient:.1e}, sample {100 * step.effective:.0f} %"
        self._bar.update(self._task, description=text)

    def finished_population(self, state: Any) -> None:
        """See there."""
        record = state.records[-1]
        end = record.steps[-1]
        self._console.print(
            f"population {record.number}: {record.reason} after {len(record.steps) - 1} steps, "
            f"free energy {end.free_energy:.5f} eV, modes {record.lowest:.0f} to {record.highest:.0f} cm^-1",
            highlight=False,
            soft_wrap=True,
        )
