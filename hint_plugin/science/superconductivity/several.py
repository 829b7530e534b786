"""Tc of several sources: a row for each and its isotopes, then median, range, and what moves them.

All rows see the repulsion of the first source (`Coulomb`): phonons that differ do not change the electrons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hint_plugin.science.superconductivity.critical_temperature import (
    Coulomb,
    critical_temperatures,
    describe,
)
from hint_plugin.science.superconductivity.isotopes import isotope_exponent
from hint_plugin.science.superconductivity.mode_couplings import UnstableError
from hint_plugin.science.superconductivity.sources import Source
from hint_plugin.science.superconductivity.spread import moved_by, spread_of

QUANTITIES = ("eliashberg", "allen_dynes", "mcmillan", "lambda", "omega_log", "isotope_exponent")
"""Of which a spread is given: Tc in K, lambda, omega_log in eV, alpha."""


def rows_of(
    sources: Sequence[Source],
    mu_star: float,
    coulomb: Coulomb,
    say: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """A row for each source and isotope, for JSON.

    Args:
        sources: of one crystal, with the same isotopes.
        mu_star: at `coulomb.reference`.
        coulomb: of the first source.

    Returns:
        `dyn`, `interpolation`, `isotope`, and `QUANTITIES`; or `unstable`, why there is no Tc.

    Raises:
        OptionsError: a mu* that diverges at the cutoff.
    """
    found = []
    for source in sources:
        before = 0.0
        for name, case in zip(source.names, source.cases, strict=True):
            row: dict[str, Any] = {
                "dyn": None if source.dyn is None else str(source.dyn),
                "interpolation": source.interpolation,
                "isotope": name,
            }
            if isinstance(case, UnstableError):
                found.append(row | {"unstable": case.what})
                continue
            say(f"Tc {name}, {source.name}")
            solved = critical_temperatures(case.spectrum, mu_star, coulomb)
            tc = solved.as_dict()
            row |= {key: tc[key] for key in ("eliashberg", "allen_dynes", "mcmillan")}
            moments = describe(case.spectrum)
            row |= {key: moments[key] for key in ("lambda", "omega_log", "left_out")}
            if case.mass is None:
                before = solved.eliashberg
            elif case.mass_before is not None:
                pair, masses = (before, solved.eliashberg), (case.mass_before, case.mass)
                row["isotope_exponent"] = isotope_exponent(pair, masses)
            found.append(row)
    return found


def spreads(
    rows: Sequence[Mapping[str, Any]], choices: Sequence[str] = ("dyn", "interpolation")
) -> list[dict[str, Any]]:
    """Of each isotope, in the order of the rows: the spread of all quantities, for JSON.

    Args:
        rows: of `rows_of`, perhaps with more keys that say how they were made.
        choices: the keys that tell the rows of one isotope apart.

    Returns:
        `isotope`; `sources`, how many there are; `unstable`, how many of them have no Tc; of each quantity
        `Spread` as a dictionary, left out where fewer than two rows have it; `moved_by`: by how much (K)
        each choice moves Tc (Eliashberg).
    """
    found = []
    for name in dict.fromkeys(row["isotope"] for row in rows):
        mine = [row for row in rows if row["isotope"] == name]
        stable = [row for row in mine if "unstable" not in row]
        one: dict[str, Any] = {
            "isotope": name, "sources": len(mine), "unstable": len(mine) - len(stable)
        }  # fmt: skip
        for quantity in QUANTITIES:
            values = [row[quantity] for row in stable if row.get(quantity) is not None]
            if (of_all := spread_of(values)) is not None:
                one[quantity] = of_all.as_dict()
        described = [{choice: str(row[choice]) for choice in choices} for row in stable]
        moved = moved_by(described, [row["eliashberg"] for row in stable])
        one["moved_by"] = {choice: by.as_dict() for choice, by in moved.items()}
        found.append(one)
    return found
