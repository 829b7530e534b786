"""`hint ipi path`, `run`, `scp` and `report`: exported potentials in i-PI."""

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.app import EXIT_INTERRUPTED, EXIT_SOME_FAILED


class Action(str, Enum):
    """What can be done."""

    path = "path"
    run = "run"
    scp = "scp"
    report = "report"


def ipi(
    action: Annotated[
        Action,
        typer.Argument(
            help="path: print the driver's path, for i-pi-driver-py -P and <ffdirect>; run: connect to i-PI; "
            "scp: write the start of self-consistent phonons; report: say whether these have converged."
        ),
    ],
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            "-m",
            help="File of `hint export` or name from `hint model list`; repeat it for a committee.",
        ),
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option(help="Structure with i-PI's atoms in its order; its cell says whether it is periodic."),
    ] = None,
    address: Annotated[str, typer.Option(help="Name of the UNIX socket, or host of the TCP port.")] = "hint",
    port: Annotated[int | None, typer.Option(help="TCP port; by default a UNIX socket is used.")] = None,
    prefix: Annotated[
        str, typer.Option(help="Prefix of UNIX sockets, like i-PI's sockets_prefix.")
    ] = "/tmp/ipi_",
    device: Annotated[str, typer.Option(help="Device of the model: cpu, cuda, cuda:1, ...")] = "cpu",
    dtype: Annotated[
        str | None, typer.Option(help="Precision: float32 or float64; by default the model's own.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Stop if a committee's energies spread more, in eV/atom; 0 never stops.")
    ] = 0.0,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for i-PI at the start.")] = 60.0,
    reconnect: Annotated[
        float, typer.Option(help="Seconds to wait for i-PI after a lost connection; 0 ends the client.")
    ] = 0.0,
    fmax: Annotated[
        float,
        typer.Option(help="For scp: relax the template until no force exceeds this, in eV/A; 0 does not."),
    ] = 1e-4,
    results: Annotated[
        Path, typer.Option(help="For report: prefix of i-PI's files, from <output> and <scp>.")
    ] = Path("scp.sc"),
    trust: Annotated[
        bool, typer.Option("--trust", help="Accept a .hint.pt2, which is machine code; use only your own.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Run exported potentials in i-PI, prepare self-consistent phonons, or see whether these have converged.

    Exit status: 0 all done, 3 phonons have not converged, 2 nothing could be done, 130 stopped.
    """
    import ipi_driver
    from hint_plugin.errors import OptionsError
    from hint_plugin.optional import wanted

    if action is Action.path:
        _say({"path": str(ipi_driver.path())}, str(ipi_driver.path()), json_)
        return
    if action is Action.report and template is not None:
        _report_phonons(results, template, json_)
        return
    if action is Action.report:
        raise OptionsError("hint ipi report needs --template, a file with the elements in i-PI's order")
    if not model or template is None:
        raise OptionsError(f"hint ipi {action.value} needs --model and --template")
    with wanted("ipi", message=f"hint ipi {action.value} needs i-PI: pip install '.[ipi]' in HINT's folder"):
        from ipi_driver.driver import HintDriver
    driver = HintDriver(str(template), ";".join(map(str, model)), device, dtype, threshold, trust)
    if action is Action.scp:
        _prepare_phonons(driver, fmax, json_)
    else:
        _be_client(driver, address, port, prefix, wait, reconnect, json_)


def _be_client(
    driver: Any,
    address: str,
    port: int | None,
    prefix: str,
    wait: float,
    reconnect: float,
    json_: bool,
) -> None:
    import signal

    from ipi_driver import client

    # ends by an exception, which closes the connection in order: i-PI goes on with another client
    signal.signal(signal.SIGTERM, _terminated)
    where = prefix + address if port is None else f"{address}:{port}"
    typer.echo(f"waiting for i-PI at {where}", err=json_)
    seconds = wait
    while True:
        connection = client.wait_for_server(lambda: client.connect(address, port, prefix), seconds)
        typer.echo(f"connected; {driver.say_periodicity()}", err=json_)
        try:
            done = client.serve(connection, driver)
        except client.ServerLostError as error:
            if reconnect <= 0:
                raise
            typer.echo(f"{error}; waiting {reconnect:g} s for it to come back", err=json_)
            seconds = reconnect
            continue
        finally:
            connection.sock.close()
        _say({"address": where, "evaluated": done}, f"i-PI is done: {done} structures evaluated", json_)
        return


def _terminated(*_: object) -> None:
    typer.echo("terminated", err=True)
    sys.exit(EXIT_INTERRUPTED)


def _prepare_phonons(driver: Any, fmax: float, json_: bool) -> None:
    from hint_plugin.errors import OptionsError
    from ipi_driver.phonons import write_start

    if len(driver.potentials) > 1:
        raise OptionsError("hint ipi scp takes one --model")
    start, dynmat, lowest = write_start(driver.potentials[0], driver.template, Path(), fmax)
    words = f"written: {start} (relaxed to {fmax:g} eV/A) and {dynmat}, the exact dynamical matrix"
    if is_saddle := bool(lowest < -1e-9):  # 7 1/cm
        words += f"\nthis is not a minimum: the lowest frequency is {-219474.63 * (-lowest) ** 0.5:.0f} 1/cm"
    _say({"start": str(start), "dynmat": str(dynmat), "is_minimum": not is_saddle}, words, json_)


def _report_phonons(results: Path, template: Path, json_: bool) -> None:
    from hint_plugin.optional import wanted

    with wanted("ipi", message="hint ipi report needs i-PI: pip install '.[ipi]' in HINT's folder"):
        from ipi_driver.phonon_report import read_report
        from ipi_driver.template import read_template

        found = read_report(results, read_template(template))
    _say(found.as_dict(), "", True) if json_ else _show_phonons(found)
    if not found.converged:
        raise typer.Exit(EXIT_SOME_FAILED)


def _show_phonons(found: Any) -> None:
    from hint_plugin.cli.support.tables import show

    last, scatter = found.last, found.scatter
    rows = []
    for k, (omega, error) in enumerate(zip(last.used, last.error_of_used, strict=True)):
        over = "" if scatter is None else f"{scatter[k]:.1f}"
        change = f"{last.change[k]:+.1f} +- {last.error[k]:.1f}"
        shift = f"{last.shift[k]:+.3f} +- {last.shift_error[k]:.3f}"
        rows.append((str(k + 1), f"{omega:.1f}", f"{error:.1f}", over, change, shift))
    heads = ("mode", "cm^-1", "error", "scatter", "would change by", "centroid by")
    show(heads, rows, left=0, title=f"iteration {last.number} of i-PI's self-consistent phonons")
    typer.echo(
        f"Frequencies and errors are averaged over {last.before} structures of {last.number} iterations, "
        f"which count as {last.effective:.0f} after reweighting. 'scatter' is the standard deviation over "
        f"iterations 1 to {last.number}. 'would change by' is the change that the {last.structures} "
        f"structures of iteration {last.number} ask for; that of the centroid is in units of a mode's spread."
    )
    typer.echo(found.why())


def _say(found: dict[str, Any], words: str, json_: bool) -> None:
    import json

    typer.echo(json.dumps(found, indent=2) if json_ else words)
