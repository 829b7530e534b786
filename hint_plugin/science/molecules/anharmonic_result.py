"""What VPT2 gives of one molecule, with its errors, and what has to be said beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.core.spectra import EV_PER_WAVENUMBER
from hint_plugin.science.molecules.modes import NormalModes
from hint_plugin.science.molecules.vpt2 import Anharmonic
from hint_plugin.science.molecules.vpt2.resonances import degenerate_sets

SOFT, SHIFTED = 200.0, 0.15
"""cm^-1 below which a mode has a large amplitude; part of the harmonic frequency by which VPT2 should not
move a fundamental."""
_WORTH_SAYING = 1.0
"""cm^-1: errors of the geometry above this are said."""


@dataclass(frozen=True)
class AnharmonicResult:
    """VPT2 of one molecule.

    Attributes:
        levels: what it gives.
        modes: the harmonic modes at the minimum.
        errors: of the fundamentals [M], cm^-1: by the differences, see `vpt2.force_field`.
        zero_point_error: the same of the zero-point energy, cm^-1.
        cubic_spread, quartic_spread: largest differences of a constant between the two, cm^-1.
        geometry_error: cm^-1, the most by which the force that is left moves a harmonic frequency.
        step: d.
        cost: Hessians, and products where the potential has them.
    """

    levels: Anharmonic
    modes: NormalModes
    errors: NDArray
    zero_point_error: float
    cubic_spread: float
    quartic_spread: float
    geometry_error: float
    step: float
    cost: dict[str, int | None]

    @property
    def remarks(self) -> list[str]:
        """Why numbers are not to be trusted, and what is not in them: clauses."""
        return [text for text in (self._geometry(), self._large(), *self._not_treated()) if text]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self.levels.as_dict() | {
            "errors": self.errors.tolist(),
            "zero_point_energy_error": self.zero_point_error * EV_PER_WAVENUMBER,
            "step": self.step,
            "cubic_spread": self.cubic_spread,
            "quartic_spread": self.quartic_spread,
            "geometry_error": self.geometry_error,
            "cost": self.cost,
            "remarks": self.remarks,
        }

    def _geometry(self) -> str:
        if self.geometry_error < _WORTH_SAYING:
            return ""
        return (
            f"the force that is left moves frequencies by up to {self.geometry_error:.1f} cm^-1; "
            "--optimize takes it away"
        )

    def _large(self) -> str:
        """Modes that a quartic force field about the minimum does not describe."""
        omega, nu = self.levels.field.frequencies, self.levels.fundamentals
        wrong = np.flatnonzero((omega < SOFT) | (np.abs(nu - omega) > SHIFTED * omega))
        if not len(wrong):
            return ""
        told = ", ".join(f"{k + 1} ({omega[k]:.0f} -> {nu[k]:.0f})" for k in wrong)
        what = "mode" if len(wrong) == 1 else "modes"
        return (
            f"VPT2 is not to be trusted for {what} {told}: below {SOFT:g} cm^-1, or moved by more than "
            f"{100 * SHIFTED:g} %, as torsions and other motions of large amplitude are; what couples to "
            "them suffers, too"
        )

    def _not_treated(self) -> list[str]:
        found = []
        if self.levels.unresolved:
            found.append(
                f"{len(self.levels.unresolved)} overtones and combinations are deperturbed and no more: too "
                "many states resonate with them"
            )
        if self._sets_of_degenerate():
            found.append(
                "levels with two quanta of degenerate modes can change by some cm^-1 when the molecule is "
                "turned, as the axes of the modes decide which couplings count as resonances"
            )
        if self._sets_of_degenerate() > 1:
            found.append(
                "combinations of two different degenerate modes are not split: that takes quartic constants "
                "of four different modes, which are not computed"
            )
        elif any(block.missing for block in self.levels.blocks):
            found.append(
                "couplings that take quartic constants of four different modes, which are not computed, are "
                "missing among combinations"
            )
        return found

    def _sets_of_degenerate(self) -> int:
        """How many sets of degenerate modes there are."""
        groups = degenerate_sets(self.levels.field.frequencies)
        return int((np.bincount(groups) > 1).sum())


def constants_as_dict(levels: Anharmonic, atoms: Atoms) -> dict[str, Any]:
    """For JSON: the force field in full; modes are numbered from 1, constants below 0.001 cm^-1 left out."""
    field = levels.field
    cubic = [
        [i + 1, j + 1, k + 1, float(field.cubic[i, j, k])]
        for i, j, k in np.argwhere(np.abs(field.cubic) > 1e-3).tolist()
        if i <= j <= k
    ]
    quartic = {
        tuple(sorted((i, j, k, k))): float(field.quartic[k, i, j])
        for k, i, j in np.argwhere(np.abs(field.quartic) > 1e-3).tolist()
    }
    return {
        "symbols": atoms.get_chemical_symbols(),
        "positions": atoms.positions.tolist(),
        "masses": atoms.get_masses().tolist(),
        "harmonic": field.frequencies.tolist(),
        "cubic": cubic,
        "quartic": [[*(mode + 1 for mode in modes), value] for modes, value in sorted(quartic.items())],
        "rotational_constants": field.rotational.tolist(),
        "zeta": field.zeta.tolist(),
    }
