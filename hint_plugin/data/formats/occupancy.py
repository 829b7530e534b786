"""Sites that several elements share, or that are not always full: files of disordered crystals.

ASE's readers keep one element of such a site and put the rest into `info["occupancy"]`. What is computed
of that is another, ordered crystal, so it is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.errors import DataError

_FULL = 1e-3


def check_occupancy(atoms: Atoms, path: Path | str) -> None:
    """Raises DataError, with the first site, where a file says that a site is shared or not full."""
    sites = atoms.info.get("occupancy") or {}
    for number, site in sites.items():
        shares = {str(symbol): float(share) for symbol, share in dict(site).items()}
        if len(shares) == 1 and abs(sum(shares.values()) - 1.0) < _FULL:
            continue
        words = ", ".join(f"{100 * share:.4g} % {symbol}" for symbol, share in shares.items())
        empty = 1.0 - sum(shares.values())
        words += f", {100 * empty:.4g} % empty" if empty > _FULL else ""
        raise DataError(
            f"{path}: the site{_place(atoms, str(number))} is {words}. A disordered crystal has no "
            f"atoms at rest; "
            "give an ordered one, for instance a supercell in which each site is of one element"
        )


def _place(atoms: Atoms, number: str) -> str:
    kinds = atoms.arrays.get("spacegroup_kinds")
    hits: Any = [] if kinds is None or not number.isdigit() else np.flatnonzero(kinds == int(number))
    if not len(hits):
        return f" {number}"
    place = ", ".join(f"{x:.4g}" for x in atoms.get_scaled_positions()[hits[0]] + 0.0)
    return f" at ({place})"
