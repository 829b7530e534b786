"""Energies but for a constant of each element: what is left of their error, and how large they are.

The zero of total energies is a convention (of a pseudopotential, a basis, a fit): a number for each element.
So the error of energies is told twice, as it is and after the best shift s_Z of the elements, and is compared
with what the reference varies beyond its composition. Frame i has N_i atoms, n_iZ of them of element Z:

| symbol | variable | equation |
|---|---|---|
| d_i | | (E_i - E_i,ref) / N_i |
| s_Z, eV an atom | `EnergyShift.elements` | argmin sum_i (d_i - sum_Z n_iZ s_Z / N_i)^2 |
| | `energy_shifted_mae`, `_rmse` | of d_i - sum_Z n_iZ s_Z / N_i |
| e_Z | | argmin sum_i (E_i,ref / N_i - sum_Z n_iZ e_Z / N_i)^2 |
| b_i | | E_i,ref / N_i - sum_Z n_iZ e_Z / N_i |
| | `energy_size` | mean of abs(b_i) |
| | `energy_relative`, `energy_shifted_relative` | `energy_mae`, `energy_shifted_mae` / `energy_size` |

A model that knows each element's energy and nothing else, whatever they are, has `energy_shifted_relative` 1:
both fits then leave the same.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import ArrayLike, NDArray

UNITS = {
    "energy_size": "eV/atom",
    "energy_relative": "1",
    "energy_shifted_mae": "eV/atom",
    "energy_shifted_rmse": "eV/atom",
    "energy_shifted_relative": "1",
}
"""Unit of every value of `EnergyShift.errors`."""
OTHER_LEVEL = 1.0
"""eV an atom: two functionals, or a model and its labels, differ by less; two programs or levels by more."""
_SMALLEST = 1e-8  # eV/atom: less is the rounding of total energies
_RANK = 1e-8  # relative to the largest singular value: compositions that a frame in a million tells apart
_FEW = 3  # frames for each fitted number, below which the fit explains much by itself


@dataclass
class EnergyPairs:
    """The energies of all frames: three numbers a frame are kept, and each composition once."""

    _compositions: dict[bytes, int] = field(default_factory=dict)
    _parts: dict[Hashable, int] = field(default_factory=dict)
    _composition: array[int] = field(default_factory=lambda: array("q"))
    _part: array[int] = field(default_factory=lambda: array("q"))
    _reference: array[float] = field(default_factory=lambda: array("d"))
    _error: array[float] = field(default_factory=lambda: array("d"))

    def add(self, part: Hashable, numbers: ArrayLike, reference: float, predicted: float) -> None:
        """A frame of atoms with these atomic `numbers`; total energies in eV."""
        counts = np.bincount(np.asarray(numbers), minlength=len(chemical_symbols))
        key = counts.astype(np.int64).tobytes()
        self._composition.append(self._compositions.setdefault(key, len(self._compositions)))
        self._part.append(self._parts.setdefault(part, len(self._parts)))
        self._reference.append(reference / len(np.asarray(numbers)))
        self._error.append((predicted - reference) / len(np.asarray(numbers)))

    def fit(self, parts: Iterable[Hashable]) -> EnergyShift | None:
        """The best shift of the frames of these parts.

        None where they are no more than the numbers to fit: any energies would then be fitted exactly.
        """
        frames = np.isin(self._part, [self._parts[part] for part in parts if part in self._parts])
        if not frames.any():
            return None
        every = (self._composition, self._part, self._error, self._reference)
        composition, part, error, reference = (np.array(x)[frames] for x in every)
        found, which = np.unique(composition, return_inverse=True)
        keys = list(self._compositions)
        kinds = np.array([np.frombuffer(keys[i], dtype=np.int64) for i in found], dtype=float)
        present = np.flatnonzero(kinds.any(axis=0))
        fractions = kinds[:, present] / kinds.sum(axis=1, keepdims=True)
        shift, rank = _fit(fractions, which, error)
        if len(error) <= rank:
            return None
        own, _ = _fit(fractions, which, reference)
        return EnergyShift(
            elements={chemical_symbols[z]: float(s) for z, s in zip(present, shift, strict=True)},
            fitted=rank,
            _parts=self._parts,
            _part=part,
            _shifts=(fractions @ shift)[which],
            _error=error,
            _beyond=reference - (fractions @ own)[which],
        )


@dataclass(frozen=True)
class EnergyShift:
    """s_Z of each element in eV, prediction - reference, and what is left of the energies after it.

    `fitted` numbers were fitted: fewer than the elements where compositions do not tell all elements apart;
    `elements` then has the smallest shift of all that fit equally well.
    """

    elements: dict[str, float]
    fitted: int
    _parts: Mapping[Hashable, int]
    _part: NDArray[np.int64]
    _shifts: NDArray[np.float64]
    _error: NDArray[np.float64]
    _beyond: NDArray[np.float64]

    @property
    def frames(self) -> int:
        """Those with an energy."""
        return len(self._error)

    @property
    def per_atom(self) -> float:
        """Mean over the frames of the shift's size, eV/atom."""
        return float(np.abs(self._shifts).mean())

    def errors(self, parts: Iterable[Hashable]) -> dict[str, float]:
        """The metrics of the table above over the frames of these parts, {} if there is none."""
        places = np.isin(self._part, [self._parts[part] for part in parts if part in self._parts])
        if not places.any():
            return {}
        raw, left = self._error[places], (self._error - self._shifts)[places]
        size, mae = float(np.abs(self._beyond[places]).mean()), float(np.abs(left).mean())
        found = {
            "energy_shifted_mae": mae,
            "energy_shifted_rmse": float(np.sqrt(np.square(left).mean())),
            "energy_size": size,
        }
        if size > _SMALLEST:
            relative = {"energy_relative": float(np.abs(raw).mean()) / size}
            found |= relative | {"energy_shifted_relative": mae / size}
        return found

    def parity(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(reference, prediction) beyond the composition, b_i and b_i + the shifted error, eV/atom."""
        return self._beyond, self._beyond + self._error - self._shifts

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "elements": self.elements,
            "per_atom": self.per_atom,
            "frames": self.frames,
            "fitted": self.fitted,
            "determined": self.fitted == len(self.elements),
            "other_level": self.is_other_level(),
        }

    def is_other_level(self) -> bool:
        """Whether the shift is too large for an error, and explains nearly all of what there is."""
        left = np.abs(self._error - self._shifts).mean()
        return self.per_atom > OTHER_LEVEL and bool(left < 0.1 * np.abs(self._error).mean())

    def notes(self) -> list[str]:
        """What is to be said about the shift, in sentences."""
        listed = ", ".join(f"{symbol} {value:+.4g}" for symbol, value in self.elements.items())
        notes = [
            f"The best shift of the elements' energies (prediction - reference) is {listed} eV: "
            f"{self.per_atom:.4g} eV/atom on average. energy_shifted is what it leaves."
        ]
        if self.is_other_level():
            notes.append(
                "A shift as large as this is another level of theory, or another zero of energy, and not an "
                "error of the model: compare energy_shifted."
            )
        if self.fitted < len(self.elements):
            notes.append(
                "The compositions of these frames do not tell all of the elements apart: only the shift of "
                "each frame as a whole is known."
            )
        if self.frames < _FEW * self.fitted:
            notes.append(
                f"{self.fitted} numbers were fitted to {self.frames} energies: on more frames energy_shifted "
                "would be larger."
            )
        return notes


def no_shift(frames: int) -> str:
    """Why there is none, in a sentence; `frames` have an energy."""
    return (
        f"There is no energy_shifted, and no size of the energies: a shift for each element fits so few "
        f"({frames}) exactly."
    )


def _fit(
    fractions: NDArray[np.float64], which: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], int]:
    """Least squares of `values` [frames] on the `fractions` [kinds, elements] of their kinds; and the rank.

    Frames of the same composition are one row, their mean, that weighs as many times as there are of them.
    """
    counts = np.bincount(which, minlength=len(fractions)).astype(float)
    root = np.sqrt(counts)
    means = np.bincount(which, values, minlength=len(fractions)) / counts
    found, _, rank, _ = np.linalg.lstsq(root[:, None] * fractions, root * means, rcond=_RANK)
    return found, int(rank)
