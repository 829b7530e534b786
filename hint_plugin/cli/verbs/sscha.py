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
            help="Crystal, phonopy.yaml, or matrices of ph.x (pdh.dyn, or one of its files).",
        ),
    ],
    output: Folder = Path("sscha"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    temperature: Temperature = 0.0,
    supercell: Annotated[
        tuple[int, int, int] | None,
        typer.Option(help="Supercell in primitive cells, needed for a crystal; by default that of START."),
    ] = None,
    configs: Annotated[int, typer.Option(min=2, help="Number of structures per population (even).")] = 500,
    populations: Annotated[int, typer.Option(min=1, help="Largest number of populations.")] = 30,
    kong_liu: Annotated[
        float, typer.Option(help="Draw a new population when the effective fraction of one falls below this.")
    ] = 0.5,
    step: Annotated[float, typer.Option(help="Length of the first step of a minimisation.")] = 0.002,
    meaningful: Annotated[
        float, typer.Option(help="Stop when the gradient is below this fraction of its error.")
    ] = 0.001,
    masses: Annotated[
        list[str] | None,
        typer.Option("--masses", metavar="H=2.014", help="Mass of an isotope in amu; you can repeat it."),
    ] = None,
    relax_cell: Annotated[
        bool, typer.Option("--relax-cell", help="Relax the cell to the pressure of --pressure.")
    ] = False,
    pressure: Annotated[float, typer.Option(help="Target pressure of --relax-cell, in GPa.")] = 0.0,
    bulk_modulus: Annotated[
        float, typer.Option(help="Estimate of the bulk modulus for --relax-cell, in GPa.")
    ] = 100.0,
    stress: Annotated[
        bool | None,
        typer.Option(
            "--stress/--no-stress",
            help="Compute the pressure; by default unless the model was trained without stresses.",
        ),
    ] = None,
    hessian: Annotated[
        FreeEnergyHessian,
        typer.Option(
            metavar="NAME", help="Hessian of the free energy: none, v3, or v4 with the fourth order."
        ),
    ] = FreeEnergyHessian.none,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    address: Annotated[
        str | None,
        typer.Option(
            "--socket",
            metavar="ADDRESS",
            help="Take forces from i-PI clients: NAME or HOST:PORT.",
        ),
    ] = None,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Compute anharmonic phonons by the stochastic self-consistent harmonic approximation.

    Quantum and thermal motion of the nuclei are included. The command writes sscha.json, bands.png,
    convergence.png, and the matrices harmonic, sscha and hessian, each as NAME.dyn0, NAME.dyn1, ... for
    Quantum ESPRESSO and as NAME.yaml for phonopy. The same command continues a run that was stopped.

    Exit status: 0 converged, 3 not converged after the last population, 2 nothing could be done.
    """
    import json
    from functools import partial

    from hint_plugin.cli.support.progress import SschaProgress
    from hint_plugin.cli.support.provenance import say_what_is_read
    from hint_plugin.science.anharmonic import run

    given = address is None or model is not None or engine is not None
    say_what_is_read([start], quiet=json_)
    with SschaProgress(configs) as progress:
        found = run.sscha(
            start,
            partial(_calculator, model, engine, engine_option, device) if given else None,
            output,
            temperature=temperature,
            supercell=supercell,
            configs=configs,
            populations=populations,
            kong_liu=kong_liu,
            step=step,
            meaningful=meaningful,
            masses=masses or (),
            relax_cell=relax_cell,
            pressure=pressure,
            bulk_modulus=bulk_modulus,
            stress=stress,
            hessian=hessian.value,
            seed=seed,
            socket=address,
            report=progress,
        )
    result = found.as_dict()
    if json_:
        typer.echo(json.dumps(result, indent=2))
    else:
        _show(found.state, found.named)
        typer.echo(_in_words(result))
        typer.echo(f"written to {output}")
    if not found.state.finished:
        raise typer.Exit(EXIT_SOME_FAILED)


def _calculator(model: Path | None, engine: str | None, options: list[str] | None, device: str) -> Any:
    """An exported model evaluates structures together; anything else does one by one."""
    from hint_plugin.artifact.metadata import is_artifact
    from hint_plugin.cli.support.potential_options import make_calculator
    from hint_plugin.potentials.hint_calculator import HintCalculator

    if model is not None and engine is None and not options and model.is_file() and is_artifact(model):
        return HintCalculator(model, device=device)
    return make_calculator(model, engine, options, device)


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
        else f"not converged {count}: the same command with more --populations continues",
        f"free energy: {result['free_energy']:.5f} +- {result['free_energy_error']:.5f} eV per cell",
    ]
    if result["pressure"] is not None:
        lines.append(f"pressure: {result['pressure']:.2f} +- {result['pressure_error']:.2f} GPa")
    lines += [result[name] for name in ("stress_note", "born_note", "training_note") if result.get(name)]
    return "\n".join(lines)
