"""SOAP features of whole structures, by DScribe.

The power spectrum of the smoothed atomic density around each atom, averaged over the atoms (Bartok, Kondor,
Csanyi, Phys. Rev. B 87, 184115 (2013); De et al., Phys. Chem. Chem. Phys. 18, 13754 (2016)): invariant to
translations, rotations, the order of atoms, and the choice of the periodic cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Literal, get_args

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from hint_plugin.errors import OptionsError
from hint_plugin.optional import load

Average = Literal["inner", "outer", "elements"]
Compression = Literal["auto", "off", "mu1nu1", "mu2"]
Compute = Callable[[Sequence[Atoms]], NDArray[np.float32]]

MAX_DIMENSION = 4000
"""A larger power spectrum is compressed: four elements with the default basis have 1500 features, seven 4515.
A million frames of 4000 features are 16 GB on disk."""


@dataclass(frozen=True)
class SoapSettings:
    """Options of the descriptor.

    Attributes:
        r_cut: A. 5 is the cutoff of the usual potentials: what they cannot tell apart need not be sampled.
        n_max, l_max: radial and angular functions. 6 and 4 put displaced molecules into the order of local
            density that 10 and 8 do (rank correlation 0.999), with a fifth of the features.
        sigma: width of an atom, A; 0.5 resolves bond lengths, DScribe's default of 1.0 blurs them.
        average: "inner" (coefficients are averaged over atoms, then squared), "outer" (spectra are averaged),
            "elements" (spectra are averaged over the atoms of each element, one after the other).
        compression: of pairs of elements, DScribe's names (Darby, Kermode, Csanyi, npj Comput. Mater. 8, 166
            (2022)); "auto" takes the first of off, mu1nu1, mu2 with at most `max_dimension` features.
        max_dimension: bound for "auto".
    """

    r_cut: float = 5.0
    n_max: int = 6
    l_max: int = 4
    sigma: float = 0.5
    average: Average = "inner"
    compression: Compression = "auto"
    max_dimension: int = MAX_DIMENSION

    def check(self) -> None:
        """Raise OptionsError for what DScribe would refuse."""
        if self.r_cut <= 1:
            raise OptionsError(f"r_cut {self.r_cut}; SOAP's radial functions need more than 1 A")
        if self.n_max < 1 or not 0 <= self.l_max <= 20 or self.sigma <= 0:
            raise OptionsError("SOAP wants n_max >= 1, l_max from 0 to 20, sigma > 0")
        if self.average not in get_args(Average):
            raise OptionsError(f"average {self.average!r}; wanted {', '.join(get_args(Average))}")
        if self.compression not in get_args(Compression):
            raise OptionsError(f"compression {self.compression!r}; wanted {', '.join(get_args(Compression))}")


class SoapFeatures:
    """SOAP of given elements as a `Featurizer`.

    Args:
        elements: atomic numbers that may occur.
        settings: of the descriptor.

    Raises:
        MissingDependencyError: DScribe is not installed.
        OptionsError: an option makes no sense, or no compression is enough.
    """

    def __init__(self, elements: Sequence[int], settings: SoapSettings | None = None) -> None:
        self.elements = tuple(sorted(set(elements)))
        self.settings = settings or SoapSettings()
        self.settings.check()
        self.compression, self.dimension = self._choose()

    def identity(self) -> dict[str, Any]:
        """What the features depend on."""
        about = asdict(self.settings) | {"compression": self.compression}
        del about["max_dimension"]
        elements = [chemical_symbols[z] for z in self.elements]
        return {"features": "soap", "elements": elements, **about, "dscribe": metadata.version("dscribe")}

    def setup(self) -> Compute:
        """Make the descriptor; returns the function from frames to [frames, dimension]."""
        soaps = {periodic: self._soap(self.compression, periodic) for periodic in (False, True)}
        per_element = self.settings.average == "elements"

        def compute(frames: Sequence[Atoms]) -> NDArray[np.float32]:
            rows = np.empty((len(frames), self.dimension), dtype=np.float32)
            for row, atoms in zip(rows, frames, strict=True):
                periodic = bool(atoms.pbc.any())
                if periodic and atoms.cell.rank < 3:  # a wire or slab whose open directions have no vector
                    atoms = atoms.copy()
                    atoms.cell = atoms.cell.complete()
                found = soaps[periodic].create(atoms)
                row[:] = self._by_element(found, atoms.numbers) if per_element else found
            return rows

        return compute

    def _by_element(self, spectra: NDArray[np.float64], numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        # the sum over an element's atoms divided by ALL atoms: composition counts, size does not
        return np.concatenate([spectra[numbers == z].sum(axis=0) for z in self.elements]) / len(numbers)

    def _choose(self) -> tuple[str, int]:
        wanted, blocks = self.settings.compression, 1
        if self.settings.average == "elements":
            blocks = len(self.elements)
        tried = ("off", "mu1nu1", "mu2") if wanted == "auto" else (wanted,)
        for mode in tried:
            dimension = blocks * int(self._soap(mode, False).get_number_of_features())
            if wanted != "auto" or dimension <= self.settings.max_dimension:
                return mode, dimension
        raise OptionsError(
            f"SOAP of {len(self.elements)} elements has {dimension} features when compressed; the bound is "
            f"{self.settings.max_dimension}. Lower n_max or l_max"
        )

    def _soap(self, compression: str, periodic: bool) -> Any:
        descriptors = load("dscribe.descriptors", "sample", "SOAP features need dscribe")
        settings = self.settings
        return descriptors.SOAP(
            species=[int(z) for z in self.elements],
            r_cut=settings.r_cut,
            n_max=settings.n_max,
            l_max=settings.l_max,
            sigma=settings.sigma,
            average="off" if settings.average == "elements" else settings.average,
            compression={"mode": compression, "species_weighting": None},
            periodic=periodic,
        )
