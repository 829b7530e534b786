"""The Coulomb pseudopotential mu* and the frequency it belongs to.

mu* stands for the repulsion with everything above a cutoff w_c folded in, so a number without its cutoff says
nothing. Between two cutoffs (P. Morel and P. W. Anderson, Phys. Rev. 125, 1263 (1962))

    1/mu*_1 = 1/mu*_2 + ln(w_2 / w_1)

mu* is larger for a higher cutoff. Codes differ: Elk cuts at 2 w_2, EPW where the user says (often 10 times
the highest phonon), Allen and Dynes rescale to the highest phonon frequency.
"""

from __future__ import annotations

import math

from hint_plugin.errors import OptionsError


def rescale(mu_star: float, from_energy: float, to_energy: float) -> float:
    """The mu* at `to_energy` that is the same repulsion as `mu_star` at `from_energy`.

    Args:
        from_energy, to_energy: any one unit.

    Raises:
        OptionsError: mu* < 0, energies not > 0, or a rise so far that mu* diverges.
    """
    check(mu_star)
    if not (from_energy > 0 and to_energy > 0):
        raise OptionsError(f"cutoffs of mu* are {from_energy:g} and {to_energy:g}; wanted two energies > 0")
    if mu_star == 0.0:
        return 0.0
    inverse = 1.0 / mu_star - math.log(to_energy / from_energy)
    if inverse <= 0:
        raise OptionsError(
            f"mu* = {mu_star:g} at one cutoff diverges at one {to_energy / from_energy:.3g} times as high. "
            "Wanted a lower cutoff or a smaller mu*"
        )
    return 1.0 / inverse


def check(mu_star: float) -> None:
    """Raises OptionsError for a mu* outside of [0, 1)."""
    if not 0.0 <= mu_star < 1.0:
        raise OptionsError(f"mu* is {mu_star:g}; wanted 0 <= mu* < 1 (0.10 to 0.16 for most metals)")
