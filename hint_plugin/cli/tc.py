"""`hint tc SOURCE -o DIR`: superconducting Tc from the electron-phonon coupling."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.potential_options import Folder, Json


def tc(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="a2F (QE, Elk, EPW, a table); lambda.x's input; elph_dir, with --dyn.",
        ),
    ],
    output: Folder = Path("tc"),
    mu_star: Annotated[
        list[float] | None,
        typer.Option("--mu-star", metavar="N", help="Coulomb pseudopotential, 0.10; repeatable."),
    ] = None,
    mu_star_at: Annotated[
        str, typer.Option(metavar="FREQ", help="Where mu* belongs: wmax, w2, 500meV, cutoff.")
    ] = "wmax",
    cutoff: Annotated[
        str, typer.Option(metavar="FREQ", help="Of the Matsubara sums: 10wmax, 500meV.")
    ] = "10wmax",
    dyn: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With elph_dir: any phonons, X.dyn0."),
    ] = None,
    broadening: Annotated[float | None, typer.Option(help="Ry: one of those that ph.x wrote.")] = None,
    grid: Annotated[
        tuple[int, int, int],
        typer.Option(help="With elph_dir: q points; 0 0 0: the files'."),
    ] = (20, 20, 20),
    sum_rule: Annotated[
        bool, typer.Option("--sum-rule/--no-sum-rule", help="With elph_dir: project out translations.")
    ] = True,
    isotope: Annotated[
        list[str] | None,
        typer.Option("--isotope", metavar="EL=MASS[,DYN]", help="With elph_dir: this mass, too; repeatable."),
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="Of a2F, where it is not recognised.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Of a plain table: meV, THz, cm-1, Ry, Ha, eV, K.")] = None,
    column: Annotated[int | None, typer.Option(min=2, help="Of a2F, where a file has several.")] = None,
    leave_out: Annotated[
        bool,
        typer.Option("--leave-out", help="Leave out imaginary modes and negative a2F."),
    ] = False,
    temperatures: Annotated[int, typer.Option(min=0, help="Of the gap, from 0.1 Tc to Tc; 0: no gap.")] = 14,
    json_: Json = False,
) -> None:
    """Superconducting Tc: McMillan, Allen-Dynes, and the isotropic Eliashberg equations.

    SOURCE is a2F in a file; or the electron-phonon matrices of ph.x, put together with any dynamical
    matrices, which gives the Tc of anharmonic (SSCHA) phonons and of isotopes.

    Writes tc.json, a2f.csv, gap.csv and tc.png.

    Exit status: 0 done, 2 it could not be.
    """
    import json

    from rich.console import Console

    from hint_plugin.cli.provenance import run_provenance, say_what_is_read
    from hint_plugin.science.superconductivity.isotopes import Isotope
    from hint_plugin.science.superconductivity.report import TcOptions, run
    from hint_plugin.science.superconductivity.sources import SourceOptions

    where = SourceOptions(dyn, broadening, grid, sum_rule, format_, unit, column, leave_out)
    isotopes = [Isotope.parse(text) for text in isotope or []]
    options = TcOptions(tuple(mu_star or (0.10,)), mu_star_at, cutoff, temperatures)
    with Console(stderr=True).status("") as status:
        others = [one.force_constants for one in isotopes]
        matrices = [path for path in (dyn, *others) if path is not None]
        about = {"provenance": run_provenance([source, *matrices])}
        result = run(source, output, where, options, isotopes, say=status.update, about=about)
    if json_:
        typer.echo(json.dumps(result, indent=2))
        return
    _print(result)
    say_what_is_read(path for path in matrices if source.is_dir())
    typer.echo(f"written to {output}")


def _print(result: dict[str, Any]) -> None:
    from hint_plugin.cli.tables import show

    mev = {key: f"{1e3 * result[key]:.3f}" for key in ("omega_log", "omega_2", "omega_max")}
    typer.echo(
        f"lambda {result['lambda']:.4f}   w_log {mev['omega_log']} meV   w_2 {mev['omega_2']} meV   "
        f"w_max {mev['omega_max']} meV"
    )
    for warning in result["warnings"]:
        typer.echo(f"warning: {warning}")
    typer.echo(result["convention"]["in_words"])
    several = len(result["isotopes"]) > 1
    rows = []
    for one in result["isotopes"]:
        for row in one["results"]:
            alpha = row.get("isotope_exponent")
            scales = [f"{row[key]:.3f}" for key in ("mu_star_formula", "mu_star_cutoff")]
            rows.append(
                ([one["name"], f"{one['lambda']:.3f}"] if several else scales)
                + [f"{row['mu_star']:.3f}"]
                + [f"{row[key]:.2f}" for key in ("mcmillan", "allen_dynes", "eliashberg")]
                + ([("" if alpha is None else f"{alpha:.3f}")] if several else [])
            )
    head = ["mu*", "McMillan", "Allen-Dynes", "Eliashberg"]
    head = ["isotope", "lambda", *head, "alpha"] if several else ["mu* at w_max", "at cutoff", *head]
    show(head, rows, left=1 if several else 0, title="Tc, K")
    if any(row["eliashberg"] == 0 for one in result["isotopes"] for row in one["results"]):
        typer.echo(f"0.00: no Tc above {result['lowest_temperature']:.3g} K, the lowest that is looked at")
    for one in result["isotopes"]:
        if one["gap"]:
            typer.echo(_gap_words(one["gap"], one["name"] if several else ""))


def _gap_words(gap: dict[str, Any], name: str) -> str:
    lowest = gap["table"][0]
    edge = "" if lowest["edge"] is None else f", edge {1e3 * lowest['edge']:.4f} meV"
    return (
        f"gap{' of ' + name if name else ''} at {lowest['temperature']:.2f} K (mu* {gap['mu_star']:g}): "
        f"{1e3 * lowest['gap']:.4f} meV{edge}; 2 gap / k Tc = {gap['ratio']:.3f}"
    )
