"""What is in a set of frames: one pass, in constant memory but for a few numbers a frame.

Energies per atom are given after the least-squares energies E0 of the elements are taken off,

    e = (E - sum_Z n_Z E0_Z) / N,   E0 = argmin sum_frames (E - sum_Z n_Z E0_Z)^2,

the smallest E0 where the formulas do not determine them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from hint_plugin.data.labels.extxyz import read_label
from hint_plugin.data.labels.frame_labels import FrameLabels, frame_labels
from hint_plugin.data.labels.label_keys import LabelKeys, NearMisses
from hint_plugin.data.structures.identity import nearest_distance
from hint_plugin.errors import LabelError

_BINS_PER_DECADE = 20
_LOW, _HIGH = -8, 8  # decades of the histogram of |x|


class Magnitudes:
    """Moments of |x| over very many numbers, and a histogram by decades (20 bins each, 1e-8 to 1e8)."""

    def __init__(self) -> None:
        self.count, self._sum, self._squares = 0, 0.0, 0.0
        self.smallest, self.largest = np.inf, 0.0
        self.edges = np.logspace(_LOW, _HIGH, (_HIGH - _LOW) * _BINS_PER_DECADE + 1)
        self.histogram = np.zeros(len(self.edges) - 1, dtype=np.int64)

    def add(self, values: np.ndarray) -> None:
        """Take numbers in."""
        x = np.abs(np.asarray(values, dtype=float)).reshape(-1)
        if not x.size:
            return
        self.count += x.size
        self._sum += float(x.sum())
        self._squares += float(x @ x)
        self.smallest, self.largest = min(self.smallest, float(x.min())), max(self.largest, float(x.max()))
        with np.errstate(divide="ignore"):
            bins = np.floor((np.log10(x) - _LOW) * _BINS_PER_DECADE)
        bins = np.clip(bins, 0, len(self.histogram) - 1).astype(int)
        self.histogram += np.bincount(bins, minlength=len(self.histogram))

    def to_dict(self) -> dict[str, float]:
        """count, mean, rms, min, max of |x|."""
        if not self.count:
            return {"count": 0}
        return {
            "count": self.count,
            "mean": self._sum / self.count,
            "rms": float(np.sqrt(self._squares / self.count)),
            "min": self.smallest,
            "max": self.largest,
        }


Makeup = tuple[tuple[int, int], ...]


def makeup_of(atoms: Atoms) -> Makeup:
    """((Z, atoms of it), ...), ascending in Z."""
    numbers, counts = np.unique(atoms.numbers, return_counts=True)
    return tuple(zip(numbers.tolist(), counts.tolist(), strict=True))


class Compositions:
    """Energies summed by composition: all that a least-squares fit of E0 needs of them."""

    def __init__(self) -> None:
        self._number: dict[Makeup, int] = {}
        self._frames: list[int] = []
        self._sums: list[float] = []

    def add(self, makeup: Makeup, energy: float) -> int:
        """Take a frame in; returns the number of its composition."""
        number = self._number.setdefault(makeup, len(self._number))
        if number == len(self._frames):
            self._frames.append(0)
            self._sums.append(0.0)
        self._frames[number] += 1
        self._sums[number] += energy
        return number

    @property
    def frames(self) -> NDArray[np.float64]:
        """[compositions], how many frames have each."""
        return np.array(self._frames, dtype=float)

    @property
    def sums(self) -> NDArray[np.float64]:
        """[compositions], sum of their energies."""
        return np.array(self._sums)

    @property
    def sizes(self) -> NDArray[np.float64]:
        """[compositions], atoms."""
        return np.array([sum(count for _, count in makeup) for makeup in self._number], dtype=float)

    def fit(self) -> dict[int, float]:
        """E0 of each element by atomic number, eV; the smallest ones where formulas do not determine them."""
        species = sorted({z for makeup in self._number for z, _ in makeup})
        if not species:
            return {}
        counts = [[dict(makeup).get(z, 0) for z in species] for makeup in self._number]
        # frames of one composition weigh as much as their number: least squares of their means
        root = np.sqrt(self.frames)
        fitted = np.linalg.lstsq(np.array(counts) * root[:, None], self.sums / root, rcond=None)[0]
        return {z: float(energy) for z, energy in zip(species, fitted, strict=True)}

    def of_atoms(self, e0: Mapping[int, float]) -> NDArray[np.float64]:
        """[compositions], sum_Z n_Z E0_Z."""
        return np.array([sum(count * e0[z] for z, count in makeup) for makeup in self._number])


@dataclass
class Statistics:
    """What `gather` has found. Units: eV, A."""

    frames: int = 0
    atoms: Counter[int] = field(default_factory=Counter)  # frames by number of atoms
    elements: Counter[str] = field(default_factory=Counter)  # atoms of each element
    element_frames: Counter[str] = field(default_factory=Counter)  # frames with the element
    formulas: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)  # full, rows, projected, none, malformed
    with_energy: int = 0
    with_forces: int = 0
    with_stress: int = 0
    ase_names: Counter[str] = field(default_factory=Counter)  # frames whose labels have ASE's own names
    periodic: int = 0
    probes: Counter[int] = field(default_factory=Counter)  # K of projected labels
    methods: Counter[str] = field(default_factory=Counter)
    forces: Magnitudes = field(default_factory=Magnitudes)  # norms, one an atom
    hessian: Magnitudes = field(default_factory=Magnitudes)  # elements of full and rows labels
    products: Magnitudes = field(default_factory=Magnitudes)  # elements of Hv
    nearest: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    near_misses: list[str] = field(default_factory=list)  # what looks like labels, and is none
    e0: dict[str, float] = field(default_factory=dict)
    energy_per_atom: np.ndarray = field(default_factory=lambda: np.zeros(0))  # without E0

    def to_dict(self) -> dict[str, Any]:
        """The summary, for JSON."""
        atoms = np.repeat(list(self.atoms), list(self.atoms.values())) if self.atoms else np.zeros(0)
        return {
            "frames": self.frames,
            "formulas": len(self.formulas),
            "periodic": self.periodic,
            "with_energy": self.with_energy,
            "with_forces": self.with_forces,
            "with_stress": self.with_stress,
            "ase_names": dict(self.ase_names),
            "labels": dict(self.labels),
            "near_misses": self.near_misses,
            "probes": {str(k): n for k, n in sorted(self.probes.items())},
            "methods": dict(self.methods.most_common()),
            "elements": {
                symbol: {"atoms": n, "frames": self.element_frames[symbol]}
                for symbol, n in sorted(self.elements.items())
            },
            "atoms_per_frame": _moments(atoms),
            "e0_eV": self.e0,
            "energy_per_atom_eV": _moments(self.energy_per_atom),
            "force_norm_eV_per_A": self.forces.to_dict(),
            "hessian_eV_per_A2": self.hessian.to_dict(),
            "hvp_eV_per_A": self.products.to_dict(),
            "noise_eV_per_A2": _moments(np.array(self.noise)),
            "nearest_distance_A": _moments(np.array([d for d in self.nearest if np.isfinite(d)])),
        }


def gather(frames: Iterable[Atoms], keys: LabelKeys | None = None) -> Statistics:
    """Look at every frame once.

    Malformed labels are counted and left out; `hint dataset check` says what is wrong with them.
    """
    keys = keys or LabelKeys()
    found, near = Statistics(), NearMisses(keys)
    energies: list[float] = []
    composition: list[int] = []
    compositions = Compositions()
    for atoms in frames:
        found.frames += 1
        makeup = makeup_of(atoms)
        found.atoms[len(atoms)] += 1
        found.formulas[atoms.get_chemical_formula()] += 1
        for z, n in makeup:
            found.elements[chemical_symbols[z]] += n
            found.element_frames[chemical_symbols[z]] += 1
        found.periodic += bool(atoms.pbc.any())
        found.nearest.append(nearest_distance(atoms))
        try:
            known = frame_labels(atoms, keys)
        except LabelError:
            known = FrameLabels()  # the frame is counted as malformed below
        if known.energy is not None:
            found.with_energy += 1
            energies.append(known.energy)
            composition.append(compositions.add(makeup, known.energy))
        if known.forces is not None:
            found.with_forces += 1
            found.forces.add(np.linalg.norm(known.forces, axis=1))
        found.with_stress += known.stress is not None
        found.ase_names.update(known.ase)
        near.add(atoms, f"frame {found.frames - 1}")
        _label(found, atoms, keys)
    found.near_misses = near.remarks()
    e0 = compositions.fit()
    found.e0 = {chemical_symbols[z]: energy for z, energy in e0.items()}
    if energies:
        index = np.array(composition)
        found.energy_per_atom = (np.array(energies) - compositions.of_atoms(e0)[index]) / compositions.sizes[
            index
        ]
    return found


def _label(found: Statistics, atoms: Atoms, keys: LabelKeys) -> None:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            label = read_label(atoms, keys)
    except LabelError:
        found.labels["malformed"] += 1
        return
    method = atoms.info.get(keys.prefix + "method")
    if method is not None:
        found.methods[str(method)] += 1
    if label is None:
        found.labels["none"] += 1
        return
    found.labels[label.kind] += 1
    if label.noise is not None:
        found.noise.append(label.noise)
    if label.hessian is not None:
        found.hessian.add(label.hessian)
    elif label.hvp is not None:
        found.probes[label.n_probes] += 1
        found.products.add(label.hvp)


def _moments(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {"count": 0}
    return {
        "count": len(values),
        "mean": float(np.mean(values)),
        "std": float(np.std(values)),
        "min": float(np.min(values)),
        "median": float(np.median(values)),
        "max": float(np.max(values)),
    }
