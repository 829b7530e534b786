"""Kinetic isotope effects: the rate of one isotopologue over that of another on the same surface.

The Hessians are those of the surface, and only masses change. Without statistical factors (symmetry numbers
and enantiomers, which isotopes change by where they sit and not by what they weigh),

    k_L / k_H = MMI EXC ZPE kappa_L / kappa_H,    X = X_TS / X_R in each factor
    MMI: masses and moments of inertia;  EXC = prod (1 - exp(-u_H)) / (1 - exp(-u_L))
    ZPE = exp(sum (u_H - u_L) / 2)

(J. Bigeleisen, M. G. Mayer, J. Chem. Phys. 15, 261 (1947)). By the product rule (O. Redlich, Z. Phys. Chem. B
28, 371 (1935)) MMI can be written with frequencies, which is where the ratio of the imaginary ones comes
from in the common form nu_L/nu_H prod_R [...] / prod_TS [...].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hint_plugin.science.reactions.kinetics.channel import Channel, Side, best
from hint_plugin.science.reactions.kinetics.species import (
    BOLTZMANN,
    Species,
    log_rotation,
)


def isotope_effects_at(light: Channel, heavy: Channel, temperature: float) -> dict[str, Any]:
    """k_L / k_H at one temperature, for JSON.

    Returns:
        `tst` with its factors `mass_moments`, `excitation`, `zero_point`; `tst_wigner`, `tst_eckart`, `cvt`,
        `cvt_sct` as far as there are for both; `kie` is the best one and `method` names it; `equilibrium` is
        K_L / K_H, so that the effect on the reverse reaction is kie / equilibrium.
    """
    reactants = _factors(light.reactants, heavy.reactants, temperature)
    products = _factors(light.products, heavy.products, temperature)
    saddle = _factors_of(light.saddle, heavy.saddle, temperature)
    logs = {name: saddle[name] - reactants[name] for name in saddle}
    tst = sum(logs.values())
    found: dict[str, Any] = {"temperature_K": temperature}
    found |= {name: float(np.exp(value)) for name, value in logs.items()}
    found["tst"] = float(np.exp(tst))
    mine, theirs = light.transmission(temperature), heavy.transmission(temperature)
    both = {name: mine[name] / theirs[name] for name in mine if name in theirs and name != "s_star"}
    found |= {f"tst_{n}": float(np.exp(tst) * both[n]) for n in ("wigner", "eckart") if n in both}
    varied = np.exp(tst) * both.get("recrossing", 1.0)
    if "recrossing" in both:
        found["cvt"] = float(varied)
    label = "cvt" if "recrossing" in both else "tst"
    found |= {f"{label}_{n}": float(varied * both[n]) for n in ("zct", "sct") if n in both}
    method, log_kie = best(tst, both)
    equilibrium = sum(products[name] - reactants[name] for name in products)
    return found | {
        "method": method,
        "kie": float(np.exp(log_kie)),
        "equilibrium": float(np.exp(equilibrium)),
    }


def _factors(light: Side, heavy: Side, temperature: float) -> dict[str, float]:
    found = [_factors_of(*pair, temperature) for pair in zip(light.species, heavy.species, strict=True)]
    return {name: sum(one[name] for one in found) for name in found[0]}


def _factors_of(light: Species, heavy: Species, temperature: float) -> dict[str, float]:
    """ln of q_L / q_H, in three factors, without statistical ones."""
    found = {"mass_moments": 0.0, "excitation": 0.0, "zero_point": 0.0}
    for sign, one in ((1, light), (-1, heavy)):
        u = one.quanta / (BOLTZMANN * temperature)
        rigid = one.log_translation(temperature) + log_rotation(one.moments, temperature)
        found["mass_moments"] += sign * rigid
        found["excitation"] -= sign * float(np.log(-np.expm1(-u)).sum())
        found["zero_point"] -= sign * 0.5 * float(u.sum())
    return found
