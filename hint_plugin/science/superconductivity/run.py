"""What `hint tc` does, as a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hint_plugin.data.outputs import a_folder
from hint_plugin.data.provenance import run_provenance
from hint_plugin.science.superconductivity.isotopes import Isotope
from hint_plugin.science.superconductivity.sources import Grid, SourceOptions
from hint_plugin.science.superconductivity.tc_report import TcOptions, TcResult, solve
from hint_plugin.settings import as_float

PathOrPaths = str | Path | Sequence[str | Path]


def tc(
    source: str | Path,
    output: str | Path | None = None,
    *,
    mu_star: float | Sequence[float] = 0.10,
    mu_star_at: str = "wmax",
    cutoff: str = "10wmax",
    dyn: PathOrPaths = (),
    broadening: float | None = None,
    grid: Grid = (20, 20, 20),
    interpolation: str | None = None,
    sum_rule: bool = True,
    isotope: str | Isotope | Sequence[str | Isotope] = (),
    format: str | None = None,
    unit: str | None = None,
    column: int | None = None,
    leave_out: bool = False,
    temperatures: int = 14,
    report: Callable[[str], None] | None = None,
) -> TcResult:
    """Superconducting Tc: McMillan, Allen-Dynes, and the isotropic Eliashberg equations.

    Args:
        source: a2F (QE, Elk, EPW, a table); lambda.x's input; ph.x's elph_dir, with `dyn`.
        output: folder of the results, written as `hint tc` does; None writes nothing.
        mu_star: Coulomb pseudopotential, one or several; the first is that of the gap.
        mu_star_at: where mu* belongs: "wmax", "w2", "500meV", "cutoff".
        cutoff: of the Matsubara sums, as "10wmax" or "500meV".
        dyn: with elph_dir: dynamical matrices, one source or several.
        broadening: of the electrons, Ry: one of those that ph.x wrote.
        grid: with elph_dir: q points; zeros: those of the files.
        interpolation: with elph_dir: "fourier", "none", "both".
        sum_rule: with elph_dir: project out translations.
        isotope: with elph_dir: other masses, amu, too; "H=2.014" or "H=2.014,FILE".
        format, unit, column: of a2F in a file, where they are not recognised.
        leave_out: leave out imaginary modes and negative a2F.
        temperatures: how many, of the gap, from 0.1 Tc to Tc; 0: no gap.
        report: told in words what is being done.

    Raises:
        DataError, OptionsError: before anything is written. UnstableError: of the (first) source.
    """
    folder = None if output is None else a_folder(Path(output))
    dyns = tuple(Path(path) for path in ([dyn] if isinstance(dyn, str | Path) else dyn))
    named = [isotope] if isinstance(isotope, str | Isotope) else isotope
    isotopes = [one if isinstance(one, Isotope) else Isotope.parse(one, max(1, len(dyns))) for one in named]
    where = SourceOptions(
        dyn=dyns[0] if dyns else None,
        broadening=as_float(broadening),
        grid=grid,
        sum_rule=sum_rule,
        format=format,
        unit=unit,
        column=column,
        leave_out=leave_out,
        others=dyns[1:],
        interpolation=interpolation,
    )
    values = (mu_star,) if isinstance(mu_star, float | int) else mu_star
    options = TcOptions(tuple(map(float, values)), mu_star_at, cutoff, temperatures)
    matrices = matrices_of(dyns, isotopes)
    about = {"provenance": run_provenance([Path(source), *matrices])}
    result = solve(Path(source), where, options, isotopes, report or (lambda text: None), about)
    if folder is not None:
        result.write(folder)
    return result


def matrices_of(dyns: Sequence[Path], isotopes: Sequence[Isotope]) -> list[Path]:
    """All sets of dynamical matrices that are read, by their names."""
    others = [path for one in isotopes for path in (one.force_constants, *one.others)]
    return [path for path in (*dyns, *others) if path is not None]
