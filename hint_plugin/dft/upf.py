"""The header of a pseudopotential in the Unified Pseudopotential Format: element, kind, suggested cutoffs.

Version 2 has `<PP_HEADER element="Pd" pseudo_type="NC" wfc_cutoff="..." .../>`, version 1 a line for each
value between `<PP_HEADER>` and `</PP_HEADER>`. A cutoff of 0 says nothing. ONCVPSP writes the radius of its
density as `rho_cutoff` and no `wfc_cutoff`: only a file that has both suggests anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hint_plugin.data.formats.common import reading
from hint_plugin.errors import DataError, OptionsError

AUGMENTED = ("US", "USPP", "PAW")
"""Kinds whose density needs a larger cutoff than four times that of the wave functions."""
_BEGINNING = 200_000  # characters: PP_INFO, before the header, may hold the generator's whole input


@dataclass(frozen=True)
class UpfHeader:
    """What the header says.

    Attributes:
        element: its symbol.
        kind: NC, US, USPP, PAW, 1/r, ...
        ecutwfc: suggested cutoff of the wave functions, Ry; None if it suggests none.
        ecutrho: suggested cutoff of the density, Ry; None if it suggests none.
    """

    path: Path
    element: str
    kind: str
    ecutwfc: float | None
    ecutrho: float | None


def read_upf_header(path: Path) -> UpfHeader:
    """The header of a .upf file.

    Raises:
        DataError: it cannot be read, or is no UPF.
    """
    with reading(path, wanted="a pseudopotential in UPF"), open(path, errors="replace") as handle:
        text = handle.read(_BEGINNING)
    match = re.search(r"<PP_HEADER(.*?)(/>|</PP_HEADER>)", text, re.DOTALL)
    if match is None:
        raise DataError(f"{path}: no PP_HEADER; wanted a pseudopotential in UPF")
    if "=" in match[1].split(">")[0]:
        attributes = {
            key.lower(): value.strip() for key, value in re.findall(r'(\w+)\s*=\s*"(.*?)"', match[1])
        }
        element, kind = attributes.get("element", ""), attributes.get("pseudo_type", "")
        cutoffs = [attributes.get(name, "0") for name in ("wfc_cutoff", "rho_cutoff")]
    else:
        element, kind, cutoffs = _version_1(match[1])
    if not element:
        raise DataError(f"{path}: its PP_HEADER names no element")
    with reading(path, wanted="numbers as cutoffs in PP_HEADER"):
        wave, density = (float(re.sub("[dD]", "e", word)) for word in cutoffs)
    suggests = wave > 0
    return UpfHeader(
        path, element, kind.upper(), wave if suggests else None, density if suggests and density > 0 else None
    )


def _version_1(header: str) -> tuple[str, str, list[str]]:
    """Lines "value(s)  what it is"."""
    element, kind, cutoffs = "", "", ["0", "0"]
    for line in header.splitlines():
        words, lower = line.split(), line.lower()
        if lower.rstrip().endswith("element"):
            element = words[0]
        elif "pseudopotential" in lower:
            kind = words[0]
        elif "suggested" in lower:
            cutoffs = words[:2]
    return element, kind, cutoffs


def check_elements(headers: Mapping[str, UpfHeader]) -> None:
    """Raise DataError where a file is of another element than the one it was found for."""
    for symbol, header in headers.items():
        if header.element.lower() != symbol.lower():
            raise DataError(f"{header.path} is of {header.element}, by its header; wanted one of {symbol}")


def choose_cutoffs(
    headers: Mapping[str, UpfHeader], ecutwfc: float | None, ecutrho: float | None
) -> tuple[float, float | None]:
    """Cutoffs of the wave functions and the density, Ry, as given; else the largest that the files suggest.

    No cutoff of the density means pw.x's own, four times the other, which norm-conserving files allow.

    Raises:
        OptionsError: one is needed and neither given nor suggested; or it makes no sense.
    """
    if ecutwfc is None:
        for header in headers.values():
            if header.ecutwfc is None:
                raise OptionsError(
                    f"{header.path.name} suggests no cutoff: give --ecutwfc RY (what its authors recommend; "
                    "60 to 100 for norm-conserving ones)"
                )
        ecutwfc = max(header.ecutwfc or 0.0 for header in headers.values())
    if ecutrho is None:
        augmented = [header for header in headers.values() if header.kind in AUGMENTED]
        for header in augmented:
            if header.ecutrho is None:
                raise OptionsError(
                    f"{header.path.name} is of kind {header.kind} and suggests no cutoff of the density: "
                    "give --ecutrho RY (8 to 12 times --ecutwfc)"
                )
        if augmented:
            ecutrho = max(4 * ecutwfc, *(header.ecutrho or 0.0 for header in augmented))
    if not 0 < ecutwfc < float("inf"):
        raise OptionsError(f"--ecutwfc {ecutwfc:g} Ry; wanted a number above 0")
    if ecutrho is not None and not 4 * ecutwfc <= ecutrho < float("inf"):
        raise OptionsError(
            f"--ecutrho {ecutrho:g} Ry; wanted at least four times the cutoff of the wave functions, "
            f"{ecutwfc:g} Ry"
        )
    return ecutwfc, ecutrho
