"""A population: structures drawn from harmonic statistics, and averages over them for other ones nearby.

Structures drawn once, with force constants Phi_0 and centroids R_0, serve for all (Phi, R) that are not too
far away, by weights (importance sampling; Monacelli et al., J. Phys.: Condens. Matter 33, 363001 (2021)):

| symbol | variable |
|---|---|
| rho_i = P(u_i; Phi, R) / P(u_i; Phi_0, R_0) | `weights` [K] |
| K_eff = (sum rho)^2 / sum rho^2 (Kong, Liu 1994) | `effective` |
| F = F_harmonic(Phi) + <E - E_Phi>, per cell | `free_energy`, its statistical error `free_energy_error` |
| G(q) = Y(q) <u(q) df(q)'>, df = f - f_Phi: the gradient of F with its preconditioner | `gradient` |
| <df>, the force on the centroids | `forces` [N, 3] |
| sigma = <sigma_E + f u / V>, sign as in ASE | `stress` [3, 3] |

All of it is sums over q of small dense products (`supercell_force_constants`), where
python-sscha without Julia works on matrices of the supercell and pairs of its atoms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.anharmonic.batched_forces import Evaluated
from hint_plugin.science.anharmonic.supercell_force_constants import AXES, ForceConstants, from_q, to_q


def draw(
    constants: ForceConstants, temperature: float, count: int, generator: np.random.Generator
) -> NDArray:
    """Displacements [K, 3M] in A from exp(-u Y u / 2), in pairs u, -u.

    Raises:
        OptionsError: an odd count. DataError: an imaginary frequency.
    """
    if count < 2 or count % 2:
        raise OptionsError(f"{count} configurations; wanted an even number, since they come in pairs u, -u")
    modes = constants.modes()
    if not modes.stable:
        raise DataError(f"cannot draw from force constants with an imaginary mode ({modes.lowest:.1f} cm^-1)")
    size = constants.cells * len(modes.masses)
    noise = to_q(generator.standard_normal((count // 2, size)), constants.repeats)
    spread = noise @ modes.root_covariance(temperature).transpose(0, 2, 1)
    half = from_q(spread, constants.repeats)
    return np.stack([half, -half], axis=1).reshape(count, size)


@dataclass(frozen=True)
class Averages:
    """Of a population, for one (Phi, R); see the table of this file. Energies eV, lengths A."""

    weights: NDArray
    effective: float
    free_energy: float
    free_energy_error: float
    harmonic_free_energy: float
    gradient: NDArray
    gradient_error: float
    forces: NDArray
    forces_error: NDArray


class Population:
    """Structures with energies, forces and stresses, drawn with `origin` at `temperature`.

    Args:
        origin: Phi_0 and R_0.
        temperature: K.
        displacements: [K, 3M] in A, of `draw`.
        found: of the potential, for `frames`.

    Raises:
        DataError: shapes that do not fit.
    """

    def __init__(
        self, origin: ForceConstants, temperature: float, displacements: NDArray, found: Evaluated
    ) -> None:
        count, size = displacements.shape
        if size != 3 * len(origin.atoms) * origin.cells or found.forces.shape != (count, size // 3, 3):
            raise DataError(
                f"displacements {displacements.shape} and forces {found.forces.shape} do not fit "
                f"{origin.atoms.symbols} repeated {origin.repeats}"
            )
        self.origin, self.temperature = origin, temperature
        self.displacements, self.found = displacements, found
        self._modes = origin.modes()
        self._u = to_q(displacements, origin.repeats)
        self._f = to_q(found.forces.reshape(count, size), origin.repeats)
        widths = self._modes.widths(temperature)
        self._log_widths = np.log(widths[~self._modes.rigid]).sum()
        self._exponents = _quadratic(self._u, self._modes.precision(temperature))

    def frames(self) -> list[Atoms]:
        """The structures, in the order of `displacements`."""
        return frames(self.origin, self.displacements)

    def averages(self, constants: ForceConstants) -> Averages | None:
        """For (Phi, R) = `constants`; None where Phi has an imaginary mode."""
        modes = constants.modes()
        if not modes.stable:
            return None
        temperature, u = self.temperature, self._centred(constants)
        precision = modes.precision(temperature)
        widths = np.log(modes.widths(temperature)[~modes.rigid]).sum()
        exponents = _quadratic(u, precision)
        rho = np.exp(self._log_widths - widths - 0.5 * (exponents - self._exponents))
        shape = constants.blocks.shape
        matrices = constants.at_q().reshape(-1, *shape[3:])
        harmonic = -(u @ matrices.transpose(0, 2, 1))
        energies = self.found.energies + 0.5 * np.einsum("qka,qka->k", u.conj(), harmonic).real
        difference, error = weighted_mean(energies, rho)
        beyond = self._f - harmonic
        gradient, gradient_error = _gradient(u @ precision.transpose(0, 2, 1), beyond, rho)
        mean, spread = _mean_forces(beyond[0].real / np.sqrt(constants.cells), rho)
        free = modes.free_energy(temperature)
        return Averages(
            weights=rho,
            effective=float(rho.sum() ** 2 / (rho**2).sum()),
            free_energy=(free + difference) / constants.cells,
            free_energy_error=error / constants.cells,
            harmonic_free_energy=free / constants.cells,
            gradient=np.fft.fftn(gradient.reshape(shape), axes=AXES, norm="forward").real,
            gradient_error=gradient_error,
            forces=mean.reshape(-1, 3),
            forces_error=spread.reshape(-1, 3),
        )

    def stress(self, constants: ForceConstants, weights: NDArray) -> tuple[NDArray, NDArray]:
        """sigma and its statistical error [3, 3], eV/A^3, not symmetrised.

        Raises:
            DataError: the population has no stresses.
        """
        if self.found.stresses is None:
            raise DataError("no stresses in this population; evaluate it with stress=True")
        u = from_q(self._centred(constants), constants.repeats).reshape(self.found.forces.shape)
        volume = constants.atoms.get_volume() * constants.cells
        kinetic = np.einsum("kia,kib->kab", self.found.forces, u) / volume
        values = self.found.stresses + 0.5 * (kinetic + kinetic.transpose(0, 2, 1))
        parts = [weighted_mean(values[:, a, b], weights) for a in range(3) for b in range(3)]
        mean, error = np.array(parts).T
        return mean.reshape(3, 3), error.reshape(3, 3)

    def _centred(self, constants: ForceConstants) -> NDArray:
        """Displacements [Q, K, 3N] from the centroids of `constants`: only Gamma differs."""
        shift = (self.origin.atoms.positions - constants.atoms.positions).ravel()
        u = self._u.copy()
        u[0] += np.sqrt(constants.cells) * shift
        return u


def frames(constants: ForceConstants, displacements: NDArray) -> list[Atoms]:
    """The supercell with each of `displacements` [K, 3M]."""
    base = constants.supercell()
    found = []
    for u in displacements:
        moved = base.copy()
        moved.positions += u.reshape(-1, 3)
        found.append(moved)
    return found


def weighted_mean(values: NDArray, weights: NDArray) -> tuple[float, float]:
    """sum(rho x) / sum(rho) of x [K], and its statistical error by propagation through the quotient.

    The structures come in pairs u, -u, of which an even quantity is the same: pairs are what is independent.
    (python-sscha counts structures, and finds up to 2^(1/2) less.)
    """
    product, rho = (weights * values).reshape(-1, 2).mean(axis=1), weights.reshape(-1, 2).mean(axis=1)
    count, top, bottom = len(rho), product.mean(), rho.mean()
    mean = top / bottom
    residual = (product - top) - mean * (rho - bottom)
    error = np.sqrt((residual**2).sum() / max(count - 1, 1) / count) / abs(bottom)
    return float(mean), float(error)


def _quadratic(u: NDArray, precision: NDArray) -> NDArray:
    """u Y u [K]."""
    return np.einsum("qka,qka->k", u.conj(), u @ precision.transpose(0, 2, 1)).real


def _gradient(v: NDArray, df: NDArray, rho: NDArray) -> tuple[NDArray, float]:
    """G(q) [Q, 3N, 3N], Hermitian, and the root of the summed squares of its statistical errors."""
    total = rho.sum()
    weighted = v * (rho / total)[None, :, None]
    mean = weighted.transpose(0, 2, 1) @ df.conj()
    squares = (abs(v) ** 2 * (rho / total)[None, :, None]).transpose(0, 2, 1) @ (abs(df) ** 2)
    variance = np.clip(squares - abs(mean) ** 2, 0.0, None).sum() / total
    return 0.5 * (mean + mean.conj().transpose(0, 2, 1)), float(np.sqrt(variance))


def _mean_forces(values: NDArray, rho: NDArray) -> tuple[NDArray, NDArray]:
    total = rho.sum()
    mean = rho @ values / total
    variance = np.clip(rho @ values**2 / total - mean**2, 0.0, None)
    return mean, np.sqrt(variance / total)
