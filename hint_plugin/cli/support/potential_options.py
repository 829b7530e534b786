"""What computes energies and Hessians for the verbs of `hint_plugin.science`, asked for in one way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hint_plugin.cli.support.outputs import a_folder

if TYPE_CHECKING:
    from hint_plugin.potentials.on_demand import PotentialSpec


def a_model(context: typer.Context, model: Path | None) -> Path | None:
    """Callback of options for models: the file of one that comes with HINT, where its name is given."""
    from hint_plugin.errors import OptionsError
    from hint_plugin.pretrained import or_path

    try:
        return None if model is None else or_path(model)
    except OptionsError as error:
        from hint_plugin.potentials.registry import engine_names

        if str(model) not in engine_names():
            raise
        takes_it = any("--engine" in option.opts for option in context.command.params)
        raise OptionsError(f"{error}. {_engine_advice(str(model), takes_it)}") from None


def _engine_advice(name: str, takes_it: bool) -> str:
    if takes_it:
        return f"{name} is an engine: give --engine {name}"
    return (
        f"{name} is an engine, and this command takes a trained model. In Python, "
        f"give hint_plugin.open_potential({name!r}) to the functions of hint_plugin.science"
    )


Model = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        callback=a_model,
        help="Exported file, name from `hint model list`, or MACE or NequIP checkpoint that you trust.",
    ),
]
Engine = Annotated[
    str | None,
    typer.Option("--engine", help="Use this engine, not a model: gfn2-xtb, pyscf."),
]
EngineOption = Annotated[
    list[str] | None,
    typer.Option(
        "--engine-option", "-e", metavar="KEY=VALUE", help="Option for the engine; you can repeat it."
    ),
]
Device = Annotated[str, typer.Option(help="Device of the model: cpu, cuda.")]
Charge = Annotated[int, typer.Option(help="Charge in e if info has no 'charge'; not with a model.")]
Spin = Annotated[
    int | None,
    typer.Option(min=1, help="Multiplicity 2S+1 if info has no 'spin' (default: lowest); not with a model."),
]
Inputs = Annotated[
    list[Path], typer.Argument(metavar="IN...", help="Files of molecules: .xyz, .h5, 'runs/*.xyz', ...")
]
Optimize = Annotated[bool, typer.Option("--optimize", help="Optimise to the nearest minimum first.")]
Saddle = Annotated[bool, typer.Option("--saddle", "--ts", help="Optimise to a transition state first.")]
Temperature = Annotated[float, typer.Option("--temperature", "-T", min=0, help="Temperature in K.")]
Cutoff = Annotated[
    float,
    typer.Option(
        min=0, help="Crossover of Grimme's entropy of soft modes in cm^-1; 0 means harmonic oscillators."
    ),
]
Reactant = Annotated[
    Path, typer.Argument(metavar="REACTANT", help="File of the reactant: one molecule or several.")
]
Product = Annotated[
    Path,
    typer.Argument(metavar="PRODUCT", help="File of the product: the same atoms in the same order."),
]
Fmax = Annotated[float, typer.Option(min=0, help="Optimise until no force exceeds this, in eV/A.")]
Steps = Annotated[int, typer.Option(min=1, help="Largest number of steps.")]
SearchMethod = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="NAME",
        help="Search method: sella, or reactbench or paper, which use pysisyphus.",
    ),
]
Folder = Annotated[Path, typer.Option("--output", "-o", callback=a_folder, help="Folder for the results.")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]


def potential_of(model: Path | None, engine: str | None, options: list[str] | None) -> PotentialSpec | None:
    """What the options ask for; None where they name no potential."""
    from hint_plugin.potentials.on_demand import PotentialSpec

    return None if model is None and engine is None else PotentialSpec(model, engine, options)


def make_calculator(
    model: Path | None,
    engine: str | None,
    options: list[str] | None,
    device: str = "cpu",
    charge: int = 0,
    spin: int | None = None,
) -> Any:
    """An ASE calculator with `get_hessian`; raises what `PotentialSpec.calculator` raises."""
    from hint_plugin.potentials.on_demand import PotentialSpec

    return PotentialSpec(model, engine, options).calculator(device, charge, spin)
