"""Nudged elastic bands with a climbing image, by ASE.

G. Henkelman, B. P. Uberuaga, H. Jonsson, J. Chem. Phys. 113, 9901 (2000); G. Henkelman, H. Jonsson,
J. Chem. Phys. 113, 9978 (2000) for the tangents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.errors import OptionsError
from hint_plugin.science.figures import new_figure, save_png
from hint_plugin.science.reactions.matching import same_atoms
from hint_plugin.science.reactions.paths import interpolate

FORCE_TOLERANCE = 0.05  # eV/A, across the band
_BEFORE_CLIMBING = 5.0  # times the tolerance, before the highest image climbs


@dataclass(frozen=True)
class Band:
    """A path of images: geometries with the calculator, energies (eV), largest force across it (eV/A)."""

    images: list[Atoms]
    energies: NDArray
    converged: bool
    steps: int
    largest_force: float

    @property
    def top(self) -> int:
        """Index of the highest image."""
        return int(self.energies.argmax())

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without geometries."""
        return {
            "converged": self.converged,
            "steps": self.steps,
            "largest_force": self.largest_force,
            "energies": self.energies.tolist(),
            "highest_image": self.top,
            "barriers": {
                "forward": float(self.energies.max() - self.energies[0]),
                "reverse": float(self.energies.max() - self.energies[-1]),
                "reaction": float(self.energies[-1] - self.energies[0]),
            },
        }


def elastic_band(
    reactant: Atoms,
    product: Atoms,
    calculator: Any,
    *,
    images: int = 9,
    climb: bool = True,
    fmax: float = FORCE_TOLERANCE,
    steps: int = 300,
    report: Callable[[int, float, float], None] | None = None,
) -> Band:
    """Relax a geodesic path between two geometries, which stay as they are.

    Args:
        reactant: atoms in the order of the product's.
        product: see there.
        calculator: of ASE.
        images: ends included.
        climb: let the highest image climb to the saddle.
        fmax: eV/A, the largest force across the band at the end.
        steps: at most.
        report: called with the step, the height of the highest image (eV) and the largest force (eV/A).

    Raises:
        DataError: other atoms, or another order. OptionsError: fewer than three images, no steps, no
        tolerance. Whatever the calculator raises.
    """
    from ase.mep import NEB
    from ase.optimize import FIRE

    if images < 3 or steps < 1 or fmax <= 0:
        raise OptionsError(
            f"{images} images, {steps} steps, fmax {fmax}; wanted at least 3, at least 1, above 0"
        )
    same_atoms(reactant, product)
    path = interpolate(reactant, product, images)
    for atoms in path:
        atoms.calc = calculator
    first, last = (float(path[k].get_potential_energy()) for k in (0, -1))

    def inner() -> NDArray:
        return np.asarray(band.energies)[1:-1]

    class Recorded(NEB):
        """Asking for its forces again would compute them again."""

        largest = float("inf")

        def get_forces(self) -> NDArray:
            forces: NDArray = super().get_forces()
            self.largest = float(np.linalg.norm(forces.reshape(-1, 3), axis=1).max())
            return forces

    band = Recorded(path, climb=False, method="improvedtangent", allow_shared_calculator=True)
    search = FIRE(band, logfile=None)
    stages = [(_BEFORE_CLIMBING * fmax, False), (fmax, True)] if climb else [(fmax, False)]
    for tolerance, climbing in stages:
        band.climb = climbing
        for _ in search.irun(fmax=tolerance, steps=max(0, steps - search.nsteps)):
            if report is not None:
                report(search.nsteps, float(inner().max()) - first, band.largest)
    energies = np.array([first, *inner(), last])
    return Band(path, energies, band.largest <= fmax, int(search.nsteps), band.largest)


def plot_band(path: Path, band: Band, title: str = "") -> bool:
    """Energies along the band, kcal/mol. Returns False, and writes nothing, without matplotlib."""
    from hint_plugin.science.reactions.report import KCAL

    moves = [
        np.linalg.norm(b.positions - a.positions) for a, b in zip(band.images, band.images[1:], strict=False)
    ]
    figure = new_figure(6.4, 3.6)
    if figure is None:
        return False
    axes = figure.add_subplot()
    axes.plot(
        np.concatenate([[0], np.cumsum(moves)]),
        KCAL * (band.energies - band.energies[0]),
        "o-",
        color="#1f5fa8",
    )
    axes.set_xlabel("path / $\\mathrm{\\AA}$")
    axes.set_ylabel("energy / kcal mol$^{-1}$")
    axes.set_title(title + ("" if band.converged else " (not converged)"), fontsize=10)
    save_png(figure, path)
    return True
