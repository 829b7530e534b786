"""How far a potential is from its reference: energies, forces, Hessians, spectra; summed up frame by frame.

All averages are over the elements of all frames, so that a file's value does not depend on how it was cut
into batches; `*_frame_mae` averages the frames' own MAE instead, which is what HORM and HIP report.

| key of `HessianMetrics.result()` | equation |
|---|---|
| `energy_mae`, `energy_rmse` | dE = (E - E_ref) / N |
| `forces_*`, `hessian_*` | all Cartesian elements; labels of kind *rows* add the rows they have |
| `stress_*` | the six components of the symmetric tensor, each once |
| `eigenvalues_*` | of the Cartesian Hessian, 3N of them, sorted and compared in order |
| `projected_eigenvalues_*`, `frequencies_*` | of the Eckart-projected, mass-weighted H (`vibrations`) |
| `lowest_mode_cosine` | abs(<u, u_ref>) of the lowest vibrational modes (`spectra.mode_overlap`) |
| `saddle_index_agreement` | fraction of frames with equal numbers of modes below `SADDLE_THRESHOLD` |
| `zpe_mae`, `zpe_error` | abs and signed mean of E_0 - E_0,ref |
| `asymmetry_max`, `asymmetry_mean` | of abs(H - H^T) of the prediction: the largest, the mean over elements |
| `hvp_relative_error` | sqrt(sum (dH v)^2 / sum (H_ref v)^2) over all pairs (v, Hv) |
| `hessian_rmse_estimate` | RMSE of the elements of H from pairs, see `HessianMetrics.update_pairs` |
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from hint_plugin.core import spectra

UNITS: dict[str, str] = {
    "energy_mae": "eV/atom",
    "energy_rmse": "eV/atom",
    "forces_mae": "eV/A",
    "forces_rmse": "eV/A",
    "stress_mae": "eV/A^3",
    "stress_rmse": "eV/A^3",
    "hessian_mae": "eV/A^2",
    "hessian_rmse": "eV/A^2",
    "hessian_frame_mae": "eV/A^2",
    "eigenvalues_mae": "eV/A^2",
    "eigenvalues_rmse": "eV/A^2",
    "eigenvalues_frame_mae": "eV/A^2",
    "projected_eigenvalues_mae": "eV/(A^2 amu)",
    "projected_eigenvalues_rmse": "eV/(A^2 amu)",
    "frequencies_mae": "cm^-1",
    "frequencies_rmse": "cm^-1",
    "lowest_mode_cosine": "1",
    "saddle_index_agreement": "1",
    "zpe_mae": "eV",
    "zpe_error": "eV",
    "asymmetry_max": "eV/A^2",
    "asymmetry_mean": "eV/A^2",
    "hvp_relative_error": "1",
    "hessian_rmse_estimate": "eV/A^2",
}
"""Unit of every value of `HessianMetrics.result()`; the counts `n_*` have none."""


@dataclass(frozen=True)
class Prediction:
    """What a potential says of one structure of N atoms, on the CPU.

    `energy` eV (total), `forces` [N, 3] eV/A, `stress` [3, 3] eV/A^3 with ASE's sign (None without a cell),
    `hessian` [3N, 3N] eV/A^2, row-major (atom, axis) (None if it was not asked for).
    """

    energy: float
    forces: Tensor
    stress: Tensor | None = None
    hessian: Tensor | None = None

    def is_finite(self) -> bool:
        """False if any number is NaN or infinite."""
        tensors = [x for x in (self.forces, self.stress, self.hessian) if x is not None]
        return math.isfinite(self.energy) and all(bool(torch.isfinite(x).all()) for x in tensors)


@dataclass
class ErrorSum:
    """Running sums of errors e: count, sum e, sum |e|, sum e^2, in float64."""

    count: int = 0
    signed: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0

    def add(self, error: Tensor | float) -> float:
        """Adds every element of `error`; returns their mean absolute value (nan if there is none)."""
        e = torch.as_tensor(error).detach().to(torch.float64)
        absolute = float(e.abs().sum())
        self.count += e.numel()
        self.signed += float(e.sum())
        self.absolute += absolute
        self.squared += float(e.square().sum())
        return absolute / e.numel() if e.numel() else math.nan

    def merge(self, other: ErrorSum) -> None:
        """Adds the sums of another set of elements."""
        for f in fields(self):
            setattr(self, f.name, getattr(self, f.name) + getattr(other, f.name))

    @property
    def mean(self) -> float:
        return self.signed / self.count

    @property
    def mae(self) -> float:
        return self.absolute / self.count

    @property
    def rmse(self) -> float:
        return math.sqrt(self.squared / self.count)


@dataclass
class HessianMetrics:
    """Sums of errors over frames. Memory does not grow with the frames; two of them can be merged.

    The `update_*` methods take one frame each, detach it, and return that frame's own values under the same
    names. Tensors may be float32 or float64 and have a graph. `n_frames` is the caller's to count: a frame
    may have several labels, or none.
    """

    energy: ErrorSum = field(default_factory=ErrorSum)
    forces: ErrorSum = field(default_factory=ErrorSum)
    stress: ErrorSum = field(default_factory=ErrorSum)
    hessian: ErrorSum = field(default_factory=ErrorSum)
    hessian_frame: ErrorSum = field(default_factory=ErrorSum)
    eigenvalues: ErrorSum = field(default_factory=ErrorSum)
    eigenvalues_frame: ErrorSum = field(default_factory=ErrorSum)
    projected_eigenvalues: ErrorSum = field(default_factory=ErrorSum)
    frequencies: ErrorSum = field(default_factory=ErrorSum)
    zpe: ErrorSum = field(default_factory=ErrorSum)
    cosine: ErrorSum = field(default_factory=ErrorSum)
    saddle: ErrorSum = field(default_factory=ErrorSum)
    asymmetry: ErrorSum = field(default_factory=ErrorSum)
    asymmetry_max: float = 0.0
    pairs: ErrorSum = field(default_factory=ErrorSum)
    pairs_reference: float = 0.0
    probe_squares: float = 0.0
    probe_elements: int = 0
    n_frames: int = 0
    n_full: int = 0
    n_rows: int = 0
    n_projected: int = 0

    def update_energy(
        self, predicted: float | Tensor, reference: float | Tensor, atoms: int
    ) -> dict[str, float]:
        """Total energies in eV of a structure of `atoms` atoms; the error counts per atom."""
        error = (float(predicted) - float(reference)) / atoms
        self.energy.add(error)
        return {"energy_error": error}

    def update_forces(self, predicted: Tensor, reference: Tensor) -> dict[str, float]:
        """[N, 3] in eV/A. Raises ValueError if the shapes differ."""
        return {"forces_mae": self.forces.add(_difference(predicted, reference))}

    def update_stress(self, predicted: Tensor, reference: Tensor) -> dict[str, float]:
        """[6] in eV/A^3, in the same order. Raises ValueError if the shapes differ."""
        return {"stress_mae": self.stress.add(_difference(predicted, reference))}

    def update_hessian(
        self, predicted: Tensor, reference: Tensor, positions: Tensor, masses: Tensor, periodic: bool = False
    ) -> dict[str, float]:
        """A full label: [3N, 3N] in eV/A^2 at `positions` [N, 3] (A), `masses` [N] (amu).

        Elements are compared as they are, spectra of the symmetric parts. Where the lowest mode is degenerate
        (others within 1 cm^-1 of it), in the prediction or the reference, the cosine is the one of the best
        aligned pair of vectors of the two degenerate spaces. Raises ValueError if shapes do not fit.
        """
        found = self._update_elements(_difference(predicted, reference))
        found |= self.update_asymmetry(predicted)
        eigen = [spectra.cartesian_eigenvalues(h) for h in (predicted, reference)]
        found["eigenvalues_mae"] = self.eigenvalues.add(eigen[0] - eigen[1])
        self.eigenvalues_frame.add(found["eigenvalues_mae"])
        mine, ref = (spectra.vibrations(h, positions, masses, periodic) for h in (predicted, reference))
        self.n_full += 1
        return found | self._update_spectra(mine, ref)

    def update_rows(self, predicted: Tensor, reference: Tensor, atoms: Tensor) -> dict[str, float]:
        """A label of rows: `reference` [3m, 3N] are those of `atoms` [m] in `predicted` [3N, 3N], eV/A^2."""
        axes = torch.arange(3, device=predicted.device)
        places = (3 * atoms.to(predicted.device).long()[:, None] + axes).ravel()
        found = self._update_elements(_difference(predicted[places], reference))
        self.n_rows += 1
        return found | self.update_asymmetry(predicted)

    def update_pairs(self, predicted: Tensor, probes: Tensor, hvp: Tensor) -> dict[str, float]:
        """A projected label: `probes` v, `hvp` H_ref v and `predicted` H v, all [K, N, 3], H v in eV/A^2 |v|.

        Any v with E[v v^T] proportional to 1 measures the whole of dH = H - H_ref:
        E[3N |dH v|^2 / |v|^2] / (3N)^2 = |dH|_F^2 / (3N)^2, the mean over its elements squared (Hutchinson,
        Commun. Stat. 19, 433 (1990), with A = dH^T dH). For Rademacher v, |v|^2 = 3N, this is
        |dH v|^2 / (3N)^2; for a unit vector |dH e|^2 / (3N). `hessian_rmse_estimate` is the root of its
        mean over the probes of a frame and, weighted with (3N)^2, over frames.
        """
        error, v = _difference(predicted, hvp).flatten(1), probes.detach().double().flatten(1)
        size, lengths = v.shape[1], v.square().sum(1)
        if v.shape != error.shape or not bool((lengths > 0).all()):
            raise ValueError(
                f"probes of shape {tuple(probes.shape)} must be those of Hv, and none of them zero"
            )
        squares = float((size * error.square().sum(1) / lengths).mean())
        reference = float(hvp.detach().double().square().sum())
        self.pairs.add(error)
        self.pairs_reference += reference
        self.probe_squares += squares
        self.probe_elements += size**2
        self.n_projected += 1
        return {
            "hessian_rmse_estimate": math.sqrt(squares) / size,
            "hvp_relative_error": _root_ratio(float(error.square().sum()), reference),
        }

    def update_asymmetry(self, predicted: Tensor) -> dict[str, float]:
        """|H - H^T| of a predicted Hessian [3N, 3N]; zero but for rounding if H is a derivative of forces."""
        error = _difference(predicted, predicted.T)
        found = {"asymmetry_max": float(error.abs().max()), "asymmetry_mean": self.asymmetry.add(error)}
        self.asymmetry_max = max(self.asymmetry_max, found["asymmetry_max"])
        return found

    def merge(self, other: HessianMetrics) -> HessianMetrics:
        """Adds the frames of `other`; returns self."""
        for f in fields(self):
            mine, theirs = getattr(self, f.name), getattr(other, f.name)
            if isinstance(mine, ErrorSum):
                mine.merge(theirs)
            else:
                setattr(self, f.name, max(mine, theirs) if f.name == "asymmetry_max" else mine + theirs)
        return self

    def result(self) -> dict[str, float]:
        """All metrics that the frames so far determine, plain floats in the units of `UNITS`, and counts."""
        found: dict[str, float] = {name: getattr(self, name) for name in COUNTS}
        found |= {"n_energy": self.energy.count, "n_force_components": self.forces.count}
        found |= {"n_stress_components": self.stress.count}
        for name in AVERAGED:
            errors: ErrorSum = getattr(self, name)
            if errors.count:
                found |= {f"{name}_mae": errors.mae, f"{name}_rmse": errors.rmse}
        if self.hessian_frame.count:
            found["hessian_frame_mae"] = self.hessian_frame.mean
        if self.n_full:
            found |= {"eigenvalues_frame_mae": self.eigenvalues_frame.mean, "zpe_mae": self.zpe.mae}
            found |= {"zpe_error": self.zpe.mean, "saddle_index_agreement": self.saddle.mean}
        if self.cosine.count:
            found["lowest_mode_cosine"] = self.cosine.mean
        if self.asymmetry.count:
            found |= {"asymmetry_max": self.asymmetry_max, "asymmetry_mean": self.asymmetry.mae}
        if self.n_projected:
            found["hvp_relative_error"] = _root_ratio(self.pairs.squared, self.pairs_reference)
            found["hessian_rmse_estimate"] = math.sqrt(self.probe_squares / self.probe_elements)
        return {name: value for name, value in found.items() if not math.isnan(value)}

    def _update_elements(self, error: Tensor) -> dict[str, float]:
        mae = self.hessian.add(error)
        self.hessian_frame.add(mae)
        return {"hessian_mae": mae}

    def _update_spectra(self, mine: spectra.Spectrum, ref: spectra.Spectrum) -> dict[str, float]:
        zpe_error = mine.zero_point_energy - ref.zero_point_energy
        index, index_ref = mine.saddle_index(), ref.saddle_index()
        self.zpe.add(zpe_error)
        self.saddle.add(float(index == index_ref))
        found = {"zpe_error": zpe_error, "saddle_index": index, "saddle_index_reference": index_ref}
        if len(ref.eigenvalues):  # a single atom has no modes
            self.projected_eigenvalues.add(mine.eigenvalues - ref.eigenvalues)
            found["frequencies_mae"] = self.frequencies.add(mine.frequencies - ref.frequencies)
            found["lowest_mode_cosine"] = spectra.mode_overlap(mine.lowest_modes(), ref.lowest_modes())
            self.cosine.add(found["lowest_mode_cosine"])
        return found


COUNTS = ("n_frames", "n_full", "n_rows", "n_projected")
AVERAGED = (
    *("energy", "forces", "stress"),
    *("hessian", "eigenvalues", "projected_eigenvalues", "frequencies"),
)
"""Quantities with an MAE and an RMSE over their elements."""


def _difference(predicted: Tensor, reference: Tensor) -> Tensor:
    """float64 difference, without the broadcasting that would hide a wrong shape."""
    if predicted.shape != reference.shape:
        raise ValueError(f"prediction of shape {tuple(predicted.shape)}, reference {tuple(reference.shape)}")
    return predicted.detach().to(torch.float64) - reference.detach().to(predicted.device, torch.float64)


def _root_ratio(numerator: float, denominator: float) -> float:
    return math.sqrt(numerator / denominator) if denominator else math.nan
