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
| `hessian_size_estimate` | the same of H_ref itself: RMS of its elements |
| `*_size` | the size of what is compared with: mean of abs(reference) over the same elements |
| `*_relative` | `*_mae` / `*_size`; 1 for a prediction that is zero everywhere (a flat surface) |

Total energies have no size of their own, since their zero is a convention: `hint_plugin.science.energy_shift`
measures them beyond their composition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from hint_plugin.core import spectra

AVERAGED = (
    *("energy", "forces", "stress"),
    *("hessian", "eigenvalues", "projected_eigenvalues", "frequencies"),
)
"""Quantities with an MAE and an RMSE over their elements."""
SIZED = (*AVERAGED[1:], "zpe")
"""Quantities whose reference has a size, and whose error is told relative to it."""
_UNIT = {
    "energy": "eV/atom",
    "forces": "eV/A",
    "stress": "eV/A^3",
    "hessian": "eV/A^2",
    "eigenvalues": "eV/A^2",
    "projected_eigenvalues": "eV/(A^2 amu)",
    "frequencies": "cm^-1",
    "zpe": "eV",
}
UNITS: dict[str, str] = {
    **{f"{name}_{kind}": _UNIT[name] for name in AVERAGED for kind in ("mae", "rmse")},
    **{f"{name}_size": _UNIT[name] for name in SIZED},
    **{f"{name}_relative": "1" for name in SIZED},
    "hessian_frame_mae": "eV/A^2",
    "eigenvalues_frame_mae": "eV/A^2",
    "lowest_mode_cosine": "1",
    "saddle_index_agreement": "1",
    "zpe_mae": "eV",
    "zpe_error": "eV",
    "asymmetry_max": "eV/A^2",
    "asymmetry_mean": "eV/A^2",
    "hvp_relative_error": "1",
    "hessian_rmse_estimate": "eV/A^2",
    "hessian_size_estimate": "eV/A^2",
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
    """Running sums of errors e: count, sum e, sum |e|, sum e^2; and sum |reference|, all in float64."""

    count: int = 0
    signed: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0
    reference: float = 0.0

    def add(self, error: Tensor | float, reference: Tensor | float = 0.0) -> float:
        """Adds every element of `error`, and the sizes of those of `reference` where they mean something.

        Returns the mean absolute error (nan if there is none).
        """
        e = torch.as_tensor(error).detach().to(torch.float64)
        absolute = float(e.abs().sum())
        self.count += e.numel()
        self.signed += float(e.sum())
        self.absolute += absolute
        self.squared += float(e.square().sum())
        self.reference += _size(reference)
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

    @property
    def size(self) -> float:
        """Mean of |reference|."""
        return self.reference / self.count

    @property
    def relative(self) -> float:
        """Sum of |e| over sum of |reference|; nan where all of it is zero."""
        return self.absolute / self.reference if self.reference else math.nan


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
    probe_reference: float = 0.0
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
        return self._compare("forces", predicted, reference)

    def update_stress(self, predicted: Tensor, reference: Tensor) -> dict[str, float]:
        """[6] in eV/A^3, in the same order. Raises ValueError if the shapes differ."""
        return self._compare("stress", predicted, reference)

    def update_hessian(
        self,
        predicted: Tensor,
        reference: Tensor,
        positions: Tensor,
        masses: Tensor,
        periodic: bool = False,
        observe: Callable[[str, Tensor, Tensor], None] | None = None,
    ) -> dict[str, float]:
        """A full label: [3N, 3N] in eV/A^2 at `positions` [N, 3] (A), `masses` [N] (amu).

        Elements are compared as they are, spectra of the symmetric parts. Where the lowest mode is degenerate
        (others within 1 cm^-1 of it), in the prediction or the reference, the cosine is the one of the best
        aligned pair of vectors of the two degenerate spaces; there is none where all modes are degenerate, as
        on a flat surface, since every vector lies in that space.

        `observe(name, reference, predicted)` is told the eigenvalues and frequencies that were compared.
        Raises ValueError if shapes do not fit.
        """
        found = self._update_elements(predicted, reference)
        found |= self.update_asymmetry(predicted)
        eigen = [spectra.cartesian_eigenvalues(h) for h in (predicted, reference)]
        found |= self._compare("eigenvalues", *eigen)
        self.eigenvalues_frame.add(found["eigenvalues_mae"])
        mine, ref = (spectra.vibrations(h, positions, masses, periodic) for h in (predicted, reference))
        self.n_full += 1
        if observe:
            observe("eigenvalues", eigen[1], eigen[0])
            observe("frequencies", ref.frequencies, mine.frequencies)
        return found | self._update_spectra(mine, ref)

    def update_rows(self, predicted: Tensor, reference: Tensor, atoms: Tensor) -> dict[str, float]:
        """A label of rows: `reference` [3m, 3N] are those of `atoms` [m] in `predicted` [3N, 3N], eV/A^2."""
        axes = torch.arange(3, device=predicted.device)
        places = (3 * atoms.to(predicted.device).long()[:, None] + axes).ravel()
        found = self._update_elements(predicted[places], reference)
        self.n_rows += 1
        return found | self.update_asymmetry(predicted)

    def update_pairs(self, predicted: Tensor, probes: Tensor, hvp: Tensor) -> dict[str, float]:
        """A projected label: `probes` v, `hvp` H_ref v and `predicted` H v, all [K, N, 3], H v in eV/A^2 |v|.

        Any v with E[v v^T] proportional to 1 measures the whole of dH = H - H_ref:
        E[3N |dH v|^2 / |v|^2] / (3N)^2 = |dH|_F^2 / (3N)^2, the mean over its elements squared (Hutchinson,
        Commun. Stat. 19, 433 (1990), with A = dH^T dH). For Rademacher v, |v|^2 = 3N, this is
        |dH v|^2 / (3N)^2; for a unit vector |dH e|^2 / (3N). `hessian_rmse_estimate` is the root of its
        mean over the probes of a frame and, weighted with (3N)^2, over frames; `hessian_size_estimate`
        is the same of H_ref v.
        """
        error, v = _difference(predicted, hvp).flatten(1), probes.detach().double().flatten(1)
        size, lengths = v.shape[1], v.square().sum(1)
        if v.shape != error.shape or not bool((lengths > 0).all()):
            raise ValueError(
                f"probes of shape {tuple(probes.shape)} must be those of Hv, and none of them zero"
            )
        squares = float((size * error.square().sum(1) / lengths).mean())
        theirs = hvp.detach().double().flatten(1).to(error.device).square().sum(1)
        reference = float(theirs.sum())
        self.pairs.add(error)
        self.pairs_reference += reference
        self.probe_squares += squares
        self.probe_reference += float((size * theirs / lengths).mean())
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
        for name in SIZED:
            errors = getattr(self, name)
            if errors.count:
                found |= {f"{name}_size": errors.size, f"{name}_relative": errors.relative}
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
            found["hessian_size_estimate"] = math.sqrt(self.probe_reference / self.probe_elements)
        return {name: value for name, value in found.items() if not math.isnan(value)}

    def _compare(self, name: str, predicted: Tensor, reference: Tensor) -> dict[str, float]:
        """Adds what is to be compared to the sums of that name."""
        errors: ErrorSum = getattr(self, name)
        mae = errors.add(_difference(predicted, reference), reference)
        return {
            f"{name}_mae": mae,
            f"{name}_size": _size(reference) / reference.numel() if reference.numel() else math.nan,
        }

    def _update_elements(self, predicted: Tensor, reference: Tensor) -> dict[str, float]:
        found = self._compare("hessian", predicted, reference)
        self.hessian_frame.add(found["hessian_mae"])
        return found

    def _update_spectra(self, mine: spectra.Spectrum, ref: spectra.Spectrum) -> dict[str, float]:
        zpe_error = mine.zero_point_energy - ref.zero_point_energy
        index, index_ref = mine.saddle_index(), ref.saddle_index()
        self.zpe.add(zpe_error, ref.zero_point_energy)
        self.saddle.add(float(index == index_ref))
        found = {"zpe_error": zpe_error, "saddle_index": index, "saddle_index_reference": index_ref}
        if len(ref.eigenvalues):  # a single atom has no modes
            self._compare("projected_eigenvalues", mine.eigenvalues, ref.eigenvalues)
            found |= self._compare("frequencies", mine.frequencies, ref.frequencies)
            lowest = mine.lowest_modes(), ref.lowest_modes()
            if not any(1 < len(ref.eigenvalues) == modes.shape[1] for modes in lowest):
                found["lowest_mode_cosine"] = spectra.mode_overlap(*lowest)
                self.cosine.add(found["lowest_mode_cosine"])
        return found


COUNTS = ("n_frames", "n_full", "n_rows", "n_projected")


def _difference(predicted: Tensor, reference: Tensor) -> Tensor:
    """float64 difference, without the broadcasting that would hide a wrong shape."""
    if predicted.shape != reference.shape:
        raise ValueError(f"prediction of shape {tuple(predicted.shape)}, reference {tuple(reference.shape)}")
    return predicted.detach().to(torch.float64) - reference.detach().to(predicted.device, torch.float64)


def _size(reference: Tensor | float) -> float:
    """Sum of |reference|."""
    return float(torch.as_tensor(reference).detach().to(torch.float64).abs().sum())


def _root_ratio(numerator: float, denominator: float) -> float:
    return math.sqrt(numerator / denominator) if denominator else math.nan
