"""`hint tc SOURCE -o DIR`: superconducting Tc from the electron-phonon coupling."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.app import EXIT_SOME_FAILED
from hint_plugin.cli.support.potential_options import Folder, Json

MOST_NAMED = 4
"""Sets of dynamical matrices whose files are named on the screen."""


class Interpolation(str, Enum):
    """`hint_plugin.science.superconductivity.sources.INTERPOLATIONS`."""

    fourier = "fourier"
    none = "none"
    both = "both"


def tc(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="File of a2F, input of lambda.x, or elph_dir with --dyn.",
        ),
    ],
    output: Folder = Path("tc"),
    mu_star: Annotated[
        list[float] | None,
        typer.Option(
            "--mu-star", metavar="N", help="Coulomb pseudopotential; you can repeat it. \\[default: 0.1]"
        ),
    ] = None,
    mu_star_at: Annotated[
        str, typer.Option(metavar="FREQ", help="Frequency that mu* belongs to: wmax, w2, 500meV or cutoff.")
    ] = "wmax",
    cutoff: Annotated[
        str, typer.Option(metavar="FREQ", help="Cutoff of the Matsubara sums, such as 500meV.")
    ] = "10wmax",
    dyn: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Dynamical matrices (X.dyn0) for elph_dir; you can repeat it.",
        ),
    ] = None,
    broadening: Annotated[
        float | None, typer.Option(help="Broadening in Ry, one of those that ph.x wrote.")
    ] = None,
    grid: Annotated[
        tuple[int, int, int],
        typer.Option(help="Grid of q points for elph_dir; 0 0 0 takes those of the files."),
    ] = (20, 20, 20),
    interpolation: Annotated[
        Interpolation | None,
        typer.Option(
            metavar="HOW", help="Interpolation of elph_dir: fourier (to --grid, the default), none, or both."
        ),
    ] = None,
    sum_rule: Annotated[
        bool, typer.Option("--sum-rule/--no-sum-rule", help="Project out translations at Gamma (elph_dir).")
    ] = True,
    isotope: Annotated[
        list[str] | None,
        typer.Option(
            "--isotope",
            metavar="EL=MASS",
            help="Add an isotope of elph_dir: EL=MASS in amu, or EL=MASS,DYN with its matrices. You can "
            "repeat it.",
        ),
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="Format of a2F, if it is not recognised.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="Unit of a plain table: meV, THz, cm-1, Ry, Ha, eV, K.")
    ] = None,
    column: Annotated[int | None, typer.Option(min=2, help="Column of a2F, if a file has several.")] = None,
    leave_out: Annotated[
        bool,
        typer.Option("--leave-out", help="Leave out imaginary modes and negative a2F."),
    ] = False,
    temperatures: Annotated[
        int,
        typer.Option(min=0, help="Number of temperatures from 0.1 Tc to Tc for the gap; 0 computes no gap."),
    ] = 14,
    json_: Json = False,
) -> None:
    """Compute superconducting Tc by McMillan, Allen-Dynes, and the isotropic Eliashberg equations.

    SOURCE holds a2F (QE, Elk, EPW, a table), or the electron-phonon matrices of ph.x. HINT combines these
    with any dynamical matrices for the Tc of anharmonic (SSCHA) phonons and of isotopes. Several --dyn
    (trainings, SSCHA and free-energy Hessian) and --interpolation both give each Tc, median and range;
    --isotope then takes a file for each --dyn: H=2.014,A,B. The command writes tc.json, a2f.csv, gap.csv and
    tc.png for the first source, and sources.csv for several.

    Exit status: 0 done, 3 some of several sources have no Tc, 2 nothing could be done.
    """
    import json

    from rich.console import Console

    from hint_plugin.science.superconductivity import run
    from hint_plugin.science.superconductivity.isotopes import Isotope

    dyns = dyn or []
    isotopes = [Isotope.parse(text, max(1, len(dyns))) for text in isotope or []]
    with Console(stderr=True).status("") as status:
        found = run.tc(
            source,
            output,
            mu_star=mu_star or 0.10,
            mu_star_at=mu_star_at,
            cutoff=cutoff,
            dyn=dyns,
            broadening=broadening,
            grid=grid,
            interpolation=None if interpolation is None else interpolation.value,
            sum_rule=sum_rule,
            isotope=isotopes,
            format=format_,
            unit=unit,
            column=column,
            leave_out=leave_out,
            temperatures=temperatures,
            report=status.update,
        )
    result = found.as_dict()
    if json_:
        typer.echo(json.dumps(result, indent=2))
    else:
        _print(result)
        _print_files(run.matrices_of(dyns, isotopes) if source.is_dir() else [])
        typer.echo(f"written to {output}")
    if any(one["unstable"] for one in result.get("spread", [])):
        raise typer.Exit(EXIT_SOME_FAILED)


def _print_files(matrices: list[Path]) -> None:
    from hint_plugin.cli.support.provenance import say_what_is_read

    if len(matrices) > MOST_NAMED:
        typer.echo(f"{len(matrices)} sets of matrices are read; tc.json names their files in provenance")
    else:
        say_what_is_read(matrices)


def _print(result: dict[str, Any]) -> None:
    from hint_plugin.cli.support.tables import show

    mev = {key: f"{1e3 * result[key]:.3f}" for key in ("omega_log", "omega_2", "omega_max")}
    typer.echo(
        f"lambda {result['lambda']:.4f}   w_log {mev['omega_log']} meV   w_2 {mev['omega_2']} meV   "
        f"w_max {mev['omega_max']} meV"
    )
    for warning in result["warnings"]:
        typer.echo(f"warning: {warning}")
    typer.echo(result["convention"]["in_words"])
    several = len(result["isotopes"]) > 1
    first = f", of the first source ({result['dyn']})" if "sources" in result else ""
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
    show(head, rows, left=1 if several else 0, title=f"Tc, K{first}")
    if any(row["eliashberg"] == 0 for one in result["isotopes"] for row in one["results"]):
        typer.echo(
            f"0.00 means that there is no Tc above {result['lowest_temperature']:.3g} K, the lowest "
            "temperature examined"
        )
    for one in result["isotopes"]:
        if one["gap"]:
            typer.echo(_gap_words(one["gap"], one["name"] if several else ""))
    if "sources" in result:
        _print_spread(result)


def _gap_words(gap: dict[str, Any], name: str) -> str:
    lowest = gap["table"][0]
    edge = "" if lowest["edge"] is None else f", edge {1e3 * lowest['edge']:.4f} meV"
    return (
        f"gap{' of ' + name if name else ''} at {lowest['temperature']:.2f} K (mu* {gap['mu_star']:g}): "
        f"{1e3 * lowest['gap']:.4f} meV{edge}; 2 gap / k Tc = {gap['ratio']:.3f}"
    )


def _print_spread(result: dict[str, Any]) -> None:
    """Each source, then the median and range of each isotope, then what moves them."""
    from hint_plugin.cli.support.tables import show

    names = [one["isotope"] for one in result["spread"]]
    table: dict[tuple[str, str], list[str]] = {}
    for row in result["sources"]:
        cells = table.setdefault((row["dyn"], row["interpolation"]), [])
        cells.append("unstable" if "unstable" in row else f"{row['eliashberg']:.2f}")
    head = ["phonons", "interpolation", *names]
    rows = [[*source, *cells] for source, cells in table.items()]
    mu_star = result["isotopes"][0]["results"][0]["mu_star"]
    show(head, rows, left=2, title=f"Tc (Eliashberg), K, mu* {mu_star:g}")
    for one in result["spread"]:
        typer.echo(_spread_words(one))
    for row in result["sources"]:
        if "unstable" in row:
            typer.echo(f"{row['isotope']}, {row['dyn']}, {row['interpolation']}: {row['unstable']}")


def _spread_words(one: dict[str, Any]) -> str:
    """One isotope: "PdH: Tc 17 K, 15 to 20 K (median and range of 4); ..."."""
    from hint_plugin.science.superconductivity.spread import Spread

    count = one["sources"] - one["unstable"]
    missing = f", {one['unstable']} of {one['sources']} sources are unstable" if one["unstable"] else ""
    if "eliashberg" not in one:
        return f"{one['isotope']}: no spread, since only {count} of {one['sources']} sources has a Tc"
    tc = Spread(**one["eliashberg"]).in_words("K")
    words = [
        f"{one['isotope']}: Tc {tc} (median and range of {count}{missing})",
        f"lambda {Spread(**one['lambda']).in_words()}",
    ]
    if "isotope_exponent" in one:
        words.append(f"alpha {Spread(**one['isotope_exponent']).in_words()}")
    titles = {"dyn": "the phonons move", "interpolation": "the interpolation moves"}
    words += [f"{titles[choice]} Tc by {by['typical']:.2g} K" for choice, by in one["moved_by"].items()]
    return "; ".join(words)
