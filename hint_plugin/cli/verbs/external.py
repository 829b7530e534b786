"""`hint external gaussian|orca|hessian|pysisyphus|script|status|stop`: HINT as the engine of other programs.

Programs call `gaussian` and `orca` for each point: they import neither torch nor ASE.
"""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hint_plugin.cli.support.outputs import a_file
from hint_plugin.cli.support.potential_options import Charge, Device, Engine, EngineOption, Json, Model, Spin

if TYPE_CHECKING:
    from hint_plugin.external.spec import Spec

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Energies, gradients and exact Hessians for Gaussian, ORCA, geomeTRIC and pysisyphus.",
)

Server = Annotated[
    bool,
    typer.Option("--server/--no-server", help="Ask a resident server, or load the potential for this point."),
]
Idle = Annotated[
    float, typer.Option(min=1, help="Seconds without a question after which a server that is started ends.")
]
Structure = Annotated[Path, typer.Argument(metavar="IN", help="File with one molecule.")]


class Program(str, Enum):
    """Programs that call another one for each point."""

    gaussian = "gaussian"
    orca = "orca"


@app.command("gaussian")
def gaussian(
    layer: Annotated[str, typer.Argument(metavar="LAYER", help="R, M or S of ONIOM; Gaussian gives it.")],
    input_file: Annotated[Path, typer.Argument(metavar="INPUT", help="Request that Gaussian writes.")],
    output_file: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Answer that Gaussian reads.")],
    message_file: Annotated[
        Path | None, typer.Argument(metavar="[MESSAGES]", help="Text for Gaussian's log.")
    ] = None,
    fchk_file: Annotated[Path | None, typer.Argument(metavar="[FCHK]", help="Not used.")] = None,
    matel_file: Annotated[Path | None, typer.Argument(metavar="[MATEL]", help="Not used.")] = None,
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    device: Device = "cpu",
    server: Server = True,
    idle: Idle = 600.0,
    json_: Json = False,
) -> None:
    """Compute a point for Gaussian, which calls this: External="hint external gaussian -m model.hint.pt".

    Exit status: 0 done, 2 nothing could be done; the message file says why.
    """
    from hint_plugin.external import run

    found = run.gaussian(
        layer,
        input_file,
        output_file,
        message_file,
        fchk_file,
        matel_file,
        _spec(model, engine, engine_option, device),
        device=device,
        server=server,
        idle=idle,
    )
    _tell(found, json_)


@app.command("orca")
def orca(
    input_file: Annotated[Path, typer.Argument(metavar="EXTINP", help="NAME_EXT.extinp.tmp of ORCA.")],
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    device: Device = "cpu",
    server: Server = True,
    idle: Idle = 600.0,
    json_: Json = False,
) -> None:
    """Compute a point for ORCA's ExtOpt, and write NAME_EXT.engrad.

    ORCA calls a program by its path: `hint external script` writes one.

    Exit status: 0 done, 2 nothing could be done.
    """
    from hint_plugin.external import run

    spec = _spec(model, engine, engine_option, device)
    _tell(run.orca(input_file, spec, device=device, server=server, idle=idle), json_)


@app.command("hessian")
def hessian(
    structure: Structure,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", callback=a_file, help=".hess for ORCA's InHessName, .txt for geomeTRIC."
        ),
    ],
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    json_: Json = False,
) -> None:
    """Write the Hessian that ORCA or geomeTRIC starts from.

    Exit status: 0 done, 2 nothing could be done.
    """
    from hint_plugin.cli.support.potential_options import potential_of
    from hint_plugin.external import run

    potential = potential_of(model, engine, engine_option)
    found = run.hessian(structure, output, potential, device=device, charge=charge, spin=spin)
    words = f"written to {found.output}: Hessian of {found.atoms} atoms, Eh/bohr^2"
    typer.echo(json.dumps(found.as_dict(), indent=2) if json_ else words)


@app.command("pysisyphus")
def pysisyphus(
    structure: Structure,
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    address: Annotated[
        Path,
        typer.Option(help="Socket of pysisyphus, as in its YAML: {type: ipiserver, address: hint.sock}."),
    ] = Path("hint.sock"),
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for pysisyphus at the start.")] = 120.0,
    linger: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for its next calculator after one has ended.")
    ] = 5.0,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    json_: Json = False,
) -> None:
    """Answer a run of pysisyphus until it ends: energies, gradients, Hessians.

    Exit status: 0 done, 2 nothing could be done, 130 interrupted.
    """
    from hint_plugin.cli.support.potential_options import potential_of
    from hint_plugin.external import run

    typer.echo(f"waiting for pysisyphus at {address}", err=True)
    found = run.pysisyphus(
        structure,
        potential_of(model, engine, engine_option),
        address=address,
        wait=wait,
        linger=linger,
        device=device,
        charge=charge,
        spin=spin,
    )
    words = ", ".join(f"{number} {what}" for what, number in found.as_dict().items())
    typer.echo(json.dumps(found.as_dict(), indent=2) if json_ else f"pysisyphus is done: {words}")


@app.command("script")
def script(
    program: Annotated[Program, typer.Argument(help="Who will call it.")],
    output: Annotated[Path, typer.Option("--output", "-o", callback=a_file, help="The script.")],
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    device: Device = "cpu",
    server: Server = True,
    idle: Idle = 600.0,
    json_: Json = False,
) -> None:
    """Write a program that a program can call by its path, with the model in it: ORCA's ProgExt.

    Exit status: 0 done, 2 nothing could be done.
    """
    from hint_plugin.external import run

    spec = _spec(model, engine, engine_option, device)
    found = run.script(program.value, output, spec, device=device, server=server, idle=idle).absolute()
    typer.echo(json.dumps({"output": str(found)}, indent=2) if json_ else f"written: {found}")


@app.command("status")
def status(json_: Json = False) -> None:
    """List the servers that are running."""
    from hint_plugin.external import run

    _list(run.status(), "is running", json_)


@app.command("stop")
def stop(json_: Json = False) -> None:
    """End the servers that are running, each after the point it is at."""
    from hint_plugin.external import run

    _list(run.stop(), "is ended", json_)


def _spec(model: Path | None, engine: str | None, options: list[str] | None, device: str) -> Spec:
    from hint_plugin.external.spec import Spec

    return Spec.asked(model, engine, options, device)


def _tell(found: Any, json_: bool) -> None:
    for text in found.answer.warnings:
        typer.echo(f"warning: {text}", err=True)
    words = f"HINT: {found.answer.method}, {found.answer.energy:.9f} Eh, written to {found.output}"
    typer.echo(json.dumps(found.as_dict(), indent=2) if json_ else words)


def _list(servers: list[dict[str, Any]], what: str, json_: bool) -> None:
    if json_:
        typer.echo(json.dumps(servers, indent=2))
        return
    if not servers:
        typer.echo("no server is running")
    for one in servers:
        if "pid" not in one:
            typer.echo(f"{one['socket']} is at work")
            continue
        answered = f"{one['answered']} points answered, idle for {one['idle_s']:g} s"
        typer.echo(f"{one['method']} (process {one['pid']}) {what}: {answered}")
