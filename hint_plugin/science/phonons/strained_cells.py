"""One crystal at a fixed volume: relaxed, and with its phonons; what `hint qha` does at each volume."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.structures.unit_cell import quiet
from hint_plugin.potentials.extrapolation import outside_training, told_by_the_run
from hint_plugin.potentials.on_demand import OnDemand
from hint_plugin.science.phonons.bands import frequencies_at
from hint_plugin.science.phonons.carried_properties import space_group
from hint_plugin.science.phonons.cell_relaxation import relax_crystal
from hint_plugin.science.phonons.crystals import CM_PER_THZ, new_phonopy
from hint_plugin.science.phonons.differences import IMAGINARY
from hint_plugin.science.phonons.force_constants import harmonic_phonons

if TYPE_CHECKING:
    from phonopy import Phonopy

Say = Callable[[str], None]
NO_VIBRATION = -IMAGINARY
"""cm^-1: a mode below is none that a crystal vibrates in; the three of a shift of the whole crystal are."""


def scaled(atoms: Atoms, strain: float) -> Atoms:
    """The crystal with 1 + `strain` times its volume, stretched alike in all directions."""
    found = atoms.copy()
    found.set_constraint()
    found.set_cell(atoms.cell.array * np.cbrt(1.0 + strain), scale_atoms=True)
    return found


@dataclass(frozen=True)
class PhononsAtVolume:
    """The work on one cell; it travels to worker processes.

    Attributes:
        potential: what computes.
        supercells: of each name, the matrix.
        relax: "cell": its shape and the positions, at constant volume; "positions"; "no".
        fmax: eV/A, at the end of that.
        displacement: A; None: exact products.
        precision: A, within which symmetry is found.
    """

    potential: OnDemand
    supercells: Mapping[str, NDArray]
    relax: str
    fmax: float
    displacement: float | None
    precision: float

    def __call__(self) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
        """Set up a process: load what computes."""
        self.potential.calculator()
        return self._work

    def _work(self, name: str, atoms: Atoms, say: Say) -> tuple[dict[str, Any], dict[str, Any]]:
        calculator = self.potential.calculator()
        with quiet(), told_by_the_run():
            steps = 0
            if self.relax != "no":
                found = relax_crystal(
                    atoms,
                    calculator,
                    cell=self.relax == "cell",
                    constant_volume=True,
                    fmax=self.fmax,
                    report=lambda step, energy, force: say(f"relaxing, step {step}, {force:.4f} eV/A"),
                )
                atoms, steps = found.atoms.copy(), found.steps
            atoms.calc = calculator
            energy = float(atoms.get_potential_energy())
            force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
            outside = outside_training(calculator, atoms)
            atoms.calc = None
            counts = [0]

            def counted(done: int, count: int) -> None:
                counts[0] = count
                say(f"force constants, {done} of {count}")

            phonon = harmonic_phonons(
                atoms,
                calculator,
                self.supercells[name],
                displacement=self.displacement,
                symmetry_precision=self.precision,
                report=counted,
            )
        row = {
            "cell_volume": float(atoms.get_volume()),
            "cell_energy": energy,
            "largest_force": force,
            "relaxation_steps": steps,
            "products": counts[0],
            "space_group": space_group(atoms, self.precision),
            "outside_training": outside,
        }
        kept = {"positions": atoms.positions, "cell": atoms.cell.array}
        return row, kept | {"force_constants": np.asarray(phonon.force_constants, dtype=float)}


def as_kept(atoms: Atoms, kept: Mapping[str, NDArray]) -> Atoms:
    """The cell that `PhononsAtVolume` has left, with all that `atoms`, its start, carry."""
    found = atoms.copy()
    found.set_cell(kept["cell"])
    found.positions = kept["positions"]
    return found


def phonopy_as_kept(
    atoms: Atoms, kept: Mapping[str, NDArray], supercell: NDArray, precision: float
) -> Phonopy:
    """Its phonons, from force constants in the order in which `harmonic_phonons` had them."""
    primitive = "P" if len(kept["force_constants"]) == len(atoms) else "auto"  # as `new_phonopy` found it
    phonon = new_phonopy(as_kept(atoms, kept), supercell, primitive, precision)
    phonon.force_constants = np.ascontiguousarray(kept["force_constants"])
    return phonon


@dataclass(frozen=True)
class SoftestMode:
    """The lowest mode of a crystal that is no shift of all of it.

    Attributes:
        frequency: cm^-1, imaginary ones negative.
        q: fractional coordinates of the primitive cell's reciprocal lattice.
        exact: q fits into the supercell; else the frequency is interpolated.
        unstable: the part of all modes that do not vibrate: below `NO_VIBRATION`.
    """

    frequency: float
    q: tuple[float, float, float]
    exact: bool
    unstable: float

    @property
    def stable(self) -> bool:
        """Whether a free energy can be had."""
        return self.frequency >= NO_VIBRATION

    def in_words(self) -> str:
        """Where it is, and how large."""
        place = " ".join(f"{x:g}" for x in np.round(self.q, 4) + 0.0)
        kind = "" if self.exact else ", interpolated"
        sign = f"{-self.frequency:.1f}i" if self.frequency < 0 else f"{self.frequency:.1f}"
        return f"{100 * self.unstable:.2g} % of the modes; {sign} cm^-1 at q = {place}{kind}"


def softest_mode(phonon: Phonopy, mesh: Sequence[int]) -> SoftestMode:
    """Over a mesh that has Gamma, and over the q points that fit into the supercell, where phonons are exact.

    At Gamma the three modes nearest to zero are those of a shift, and count only if they are imaginary.
    """
    run: Any = phonon
    with quiet():
        run.run_mesh([int(n) for n in mesh], is_gamma_center=True)
    points = np.asarray(run.mesh.qpoints, dtype=float)
    weights = np.asarray(run.mesh.weights, dtype=float)
    frequencies = _without_shift(points, CM_PER_THZ * np.asarray(run.mesh.frequencies))
    dead = (frequencies < NO_VIBRATION).sum(axis=1)
    inside = _commensurate(phonon)
    among = _without_shift(inside, frequencies_at(phonon, inside))
    lowest, lowest_inside = frequencies.min(axis=1), among.min(axis=1)
    exact = bool(lowest_inside.min() <= lowest.min() + 1e-6)
    k = int(lowest_inside.argmin() if exact else lowest.argmin())
    place = (inside if exact else points)[k]
    return SoftestMode(
        frequency=float(min(lowest_inside.min(), lowest.min())),
        q=(float(place[0]), float(place[1]), float(place[2])),
        exact=exact,
        unstable=float((weights * dead).sum() / (weights.sum() * frequencies.shape[1])),
    )


def _commensurate(phonon: Phonopy) -> NDArray:
    from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

    repeats = np.rint(np.linalg.inv(phonon.primitive.cell.T) @ phonon.supercell.cell.T).astype(int)
    return np.asarray(get_commensurate_points(repeats), dtype=float)


def _without_shift(points: NDArray, frequencies: NDArray) -> NDArray:
    """At Gamma, of the three modes nearest to zero those that are not imaginary count as infinite."""
    found = np.array(frequencies, dtype=float)
    for k in np.flatnonzero(np.abs(points - np.rint(points)).max(axis=1) < 1e-6):
        for branch in np.argsort(np.abs(found[k]))[:3]:
            if found[k, branch] >= IMAGINARY:
                found[k, branch] = np.inf
    return found
