"""A whole run: spectra, critical temperatures, gap; in tc.json, a2f.csv, gap.csv, tc.png.

Of several sources all of these are of the first; the others have their rows in tc.json and sources.csv.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hint_plugin.data.file_io import files_of, remove_earlier, write_csv, write_json
from hint_plugin.errors import OptionsError
from hint_plugin.science.superconductivity.critical_temperature import (
    Coulomb,
    CriticalTemperatures,
    critical_temperatures,
    describe,
    equations,
    gap_ratio,
    gap_table,
)
from hint_plugin.science.superconductivity.eliashberg import Eliashberg
from hint_plugin.science.superconductivity.isotopes import Isotope, isotope_exponent
from hint_plugin.science.superconductivity.mode_couplings import UnstableError
from hint_plugin.science.superconductivity.mu_star import rescale
from hint_plugin.science.superconductivity.several import QUANTITIES, rows_of, spreads
from hint_plugin.science.superconductivity.sources import Case, Source, SourceOptions, read_sources
from hint_plugin.science.superconductivity.spectral import SOFT, Spectrum
from hint_plugin.science.superconductivity.tc_figure import plot_tc

SOFT_WARNING = 0.1
STRONG = 10.0
_MEV = 1e3
RESULTS = "tc.json"
OWN = (r"(a2f|gap|sources)\.csv", r"tc\.png")
"""What `TcResult.write` writes beside `RESULTS`, where there is such a thing."""


@dataclass(frozen=True)
class TcOptions:
    """What is asked of the spectrum.

    Attributes:
        mu_star: one or several; the first is that of the gap.
        mu_star_at, cutoff: text, as in `Coulomb.parse`.
        temperatures: of the gap; 0 for none.
    """

    mu_star: tuple[float, ...] = (0.10,)
    mu_star_at: str = "wmax"
    cutoff: str = "10wmax"
    temperatures: int = 14


@dataclass(frozen=True)
class TcResult:
    """Critical temperatures of a source, of its isotopes, and of further sources.

    Attributes:
        cases: spectra of the first source, in the order of the isotopes.
        curve: Tc of the first case against mu*.
        gaps: of each case, for JSON; None where there is or shall be none.
        found: what tc.json holds.
    """

    cases: tuple[Case, ...]
    curve: tuple[CriticalTemperatures, ...]
    gaps: tuple[dict[str, Any] | None, ...]
    found: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """What tc.json holds: temperatures K, energies eV, `broadening` Ry, masses amu."""
        return dict(self.found)

    def write(self, folder: str | Path) -> None:
        """sources.csv of several sources, tc.json, a2f.csv, gap.csv where there is a gap, tc.png."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        remove_earlier(folder, RESULTS, OWN, (), files_of(self.found.get("provenance", {})))
        if "sources" in self.found:
            columns = ("dyn", "interpolation", "isotope", *QUANTITIES, "unstable")
            write_csv(folder / "sources.csv", self.found["sources"], columns)
        write_json(folder / RESULTS, self.as_dict())
        write_csv(folder / "a2f.csv", _spectral_rows(self.cases[0].spectrum))
        labels = _labels(self.cases)
        names = {label: gap for label, gap in zip(labels, self.gaps, strict=True) if gap}
        if names:
            rows = [
                ({"isotope": name} if len(self.cases) > 1 else {}) | row
                for name, gap in names.items()
                for row in gap["table"]
            ]
            write_csv(folder / "gap.csv", rows)
        spectra = {label: case.spectrum for label, case in zip(labels, self.cases, strict=True)}
        plot_tc(folder / "tc.png", spectra, self.curve, names)


def solve(
    source: Path,
    where: SourceOptions,
    options: TcOptions,
    isotopes: Sequence[Isotope] = (),
    say: Callable[[str], None] = lambda text: None,
    about: Mapping[str, Any] | None = None,
) -> TcResult:
    """Read and solve; `about` goes into the result as it is.

    Raises:
        DataError, OptionsError: of several sources the first has to be stable; another that is not is a row
            that says so.
    """
    sources = read_sources(source, where, isotopes, say)
    cases = _first(sources)
    spectrum = cases[0].spectrum
    coulomb = Coulomb.parse(spectrum, options.mu_star_at, options.cutoff)
    solved = equations(spectrum, options.mu_star[0], coulomb)
    result: dict[str, Any] = {"source": str(source), "dyn": None if where.dyn is None else str(where.dyn)}
    result |= {"broadening": where.broadening, **describe(spectrum), "warnings": warnings(spectrum)}
    of_all = [case for one in sources for case in one.cases if not isinstance(case, UnstableError)]
    result["warnings"] += list(dict.fromkeys(case.note for case in of_all if case.note))
    result["convention"] = _convention(spectrum, options, coulomb)
    result["isotopes"] = _results(cases, options.mu_star, coulomb, say)
    result["lowest_temperature"] = solved.lowest_temperature()
    gaps = _gaps(cases, solved, options, coulomb, say)
    for one, gap in zip(result["isotopes"], gaps, strict=True):
        one["gap"] = gap
    if gaps[0]:
        result["gap"] = gaps[0]
    say("Tc against mu*")
    curve = _curve(spectrum, options.mu_star, coulomb)
    result["curve"] = [point.as_dict() for point in curve]
    if len(sources) > 1:
        rows = rows_of(_labelled(sources, _labels(cases)), options.mu_star[0], coulomb, say)
        result |= {"sources": rows, "spread": spreads(rows)}
    return TcResult(tuple(cases), tuple(curve), tuple(gaps), result | dict(about or {}))


def _spectral_rows(spectrum: Spectrum) -> list[dict[str, float]]:
    """a2F on a grid of energies, and lambda of what is below each."""
    w, a2f = spectrum.on_grid()
    below = spectrum.cumulative(w)
    return [
        {"energy_meV": e, "a2F": value, "lambda_below": sum_}
        for e, value, sum_ in zip(_MEV * w, a2f, below, strict=True)
    ]


def _first(sources: Sequence[Source]) -> list[Case]:
    """Of the first source, which everything but the spread is of."""
    try:
        return sources[0].stable()
    except UnstableError as error:
        if len(sources) == 1:
            raise
        where = f"{sources[0].name}, the first source, which has to have a Tc (the others may have none): "
        raise UnstableError(error.what, where) from error


def _labelled(sources: Sequence[Source], labels: Sequence[str]) -> list[Source]:
    """With the names of the first source's isotopes, of which no two are the same."""
    return [replace(source, names=tuple(labels)) for source in sources]


def _say_gap(say: Callable[[str], None], name: str, temperature: float) -> None:
    say(f"gap {name} at {temperature:.2f} K")


def _labels(cases: Sequence[Case]) -> list[str]:
    """Names of the cases; of those of one name, the second is "NAME (2)"."""
    names = [case.name for case in cases]
    return [
        name if (count := names[: k + 1].count(name)) == 1 else f"{name} ({count})"
        for k, name in enumerate(names)
    ]


def _gaps(
    cases: Sequence[Case],
    first: Eliashberg,
    options: TcOptions,
    coulomb: Coulomb,
    say: Callable[[str], None],
) -> list[dict[str, Any] | None]:
    """The gap against temperature of each case, at the first mu*; None where there is or shall be none.

    Args:
        first: the equations of the first case, solved already.
    """
    found: list[dict[str, Any] | None] = []
    for number, case in enumerate(cases):
        solved = first if number == 0 else equations(case.spectrum, options.mu_star[0], coulomb)
        rows = []
        if options.temperatures:
            rows = gap_table(solved, options.temperatures, partial(_say_gap, say, case.name))
        about = {"mu_star": options.mu_star[0], "tc": solved.tc, "ratio": gap_ratio(rows, solved.tc)}
        found.append(about | {"table": rows} if rows else None)
    return found


def warnings(spectrum: Spectrum) -> list[str]:
    """What a reader of the numbers should know first."""
    found = [f"left out: {text}" for text in spectrum.left_out]
    if spectrum.soft_share > SOFT_WARNING:
        found.append(
            f"{100 * spectrum.soft_share:.0f} % of lambda comes from below {SOFT:g} w_max: soft modes, or "
            "noise near zero frequency, decide"
        )
    if spectrum.lam > STRONG:
        found.append(f"lambda = {spectrum.lam:.3g} is beyond what the formulas were fitted to")
    return found


def _convention(spectrum: Spectrum, options: TcOptions, coulomb: Coulomb) -> dict[str, Any]:
    mu = options.mu_star[0]
    at_phonons = rescale(mu, coulomb.reference, spectrum.omega_max)
    at_cutoff = rescale(mu, coulomb.reference, coulomb.cutoff)
    words = (
        f"mu* = {mu:g} at {options.mu_star_at} ({_MEV * coulomb.reference:.1f} meV) is {at_phonons:.4f} at "
        f"w_max, for the formulas, and {at_cutoff:.4f} at the cutoff {options.cutoff} "
        f"({_MEV * coulomb.cutoff:.1f} meV) of the equations"
    )
    return {
        "mu_star_at": options.mu_star_at,
        "reference": coulomb.reference,
        "cutoff_as_given": options.cutoff,
        "cutoff": coulomb.cutoff,
        "in_words": words,
    }


def _results(
    cases: Sequence[Case], values: Sequence[float], coulomb: Coulomb, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for case in cases:
        say(f"Tc {case.name}")
        rows = [critical_temperatures(case.spectrum, mu, coulomb).as_dict() for mu in values]
        if case.mass is not None and case.mass_before is not None:
            for row, before in zip(rows, found[0]["results"], strict=True):
                pair = (before["eliashberg"], row["eliashberg"])
                row["isotope_exponent"] = isotope_exponent(pair, (case.mass_before, case.mass))
        found.append({"name": case.name, "mass": case.mass, **describe(case.spectrum), "results": rows})
    return found


def _curve(spectrum: Spectrum, values: Sequence[float], coulomb: Coulomb) -> list[CriticalTemperatures]:
    """Over the usual range of mu* and what was asked for, as far as mu* exists at the cutoff."""
    low, high = min(0.08, *values), max(0.20, *values)
    curve = []
    for mu in np.linspace(low, high, 9):
        try:
            curve.append(critical_temperatures(spectrum, float(mu), coulomb))
        except OptionsError:
            break
    return curve
