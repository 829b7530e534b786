"""What makes a label malformed, in numbers. Pure functions of one label and its structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from hint_plugin.data.label import HessianLabel
from hint_plugin.data.units import HARTREE_PER_BOHR2, looks_like_hartree


@dataclass(frozen=True)
class Thresholds:
    """When a label is refused or warned about.

    Attributes:
        asymmetry: absolute part of the allowed |H_ij - H_ji|, eV/A^2. GFN2-xTB at its default accuracy shows
            0.1, differences on a coarse DFT grid a few tenths.
        relative_asymmetry: the part that grows with max|H|. A matrix with one triangle missing, or with
            mixed-up axes, shows 1.
        large: above it a value is reported as a warning. It is not an error: public sets (HORM) hold |H| >
            1e4 where atoms nearly touch, and robust losses take them.
    """

    asymmetry: float = 0.5
    relative_asymmetry: float = 0.02
    large: float = 1.0e4

    def allowed(self, largest: float) -> float:
        """The allowed asymmetry, eV/A^2, where the largest element of H is `largest`."""
        return self.asymmetry + self.relative_asymmetry * largest


def asymmetry(label: HessianLabel) -> tuple[float, float]:
    """Largest disagreement between H and its transpose, as far as the label can tell, and the size of H.

    full: max |H - H^T|. rows: the same within the block H[A, A]. projected: for each pair of probes
    |v1.(H v2) - v2.(H v1)| / sqrt(|v1|^2 |v2|^2 - (v1.v2)^2), which equals the root of the sum of squares of
    the two elements of H - H^T seen by v1 and v2, if they are columns.

    Returns:
        (asymmetry, max |H|), eV/A^2; the first is 0 where nothing can be compared.
    """
    if label.hessian is not None:
        block = label.hessian
        if label.atoms is not None:
            block = block[:, (3 * label.atoms[:, None] + np.arange(3)).reshape(-1)]
        return float(np.abs(block - block.T).max()), float(np.abs(label.hessian).max())
    v, hv = _flat_pairs(label)
    scale = float((np.abs(hv).max(axis=1) / np.sqrt((v**2).mean(axis=1))).max())
    area = pair_areas(v)
    first, second = np.triu_indices(len(v), 1)
    product = v @ hv.T
    seen = area > 0
    if not seen.any():
        return 0.0, scale
    difference = np.abs(product[first, second] - product[second, first])
    return float((difference[seen] / area[seen]).max()), scale


def pair_areas(flat_probes: np.ndarray) -> np.ndarray:
    """sqrt(|v1|^2 |v2|^2 - (v1.v2)^2) for every pair of probes [K, 3N]; 0 where two of them are parallel."""
    gram = flat_probes @ flat_probes.T
    first, second = np.triu_indices(len(flat_probes), 1)
    squared_norms = gram[first, first] * gram[second, second]
    squared = squared_norms - gram[first, second] ** 2
    return np.sqrt(np.where(squared > 1e-10 * squared_norms, squared, 0.0))


def problems(label: HessianLabel, atoms: Atoms, limits: Thresholds | None = None) -> list[str]:
    """Everything wrong with a label whose shape is right: sentences that say got, wanted, and what to do."""
    limits = limits or Thresholds()
    found = []
    difference, largest = asymmetry(label)
    allowed = limits.allowed(largest)
    if difference > allowed:
        found.append(
            f"the Hessian is not symmetric: it differs from its transpose by {difference:.3g} eV/A^2; "
            f"wanted at most {allowed:.3g} ({limits.asymmetry:g} + {limits.relative_asymmetry:g} max|H|). Is "
            "a triangle missing, or the order of atoms and axes mixed up? If it is "
            "noise, symmetrise it or leave the frame out"
        )
    ratio = looks_like_hartree(label, atoms)
    if ratio is not None:
        found.append(
            f"the Hessian looks like hartree/bohr^2: bonded atoms are {1 / ratio:.0f} times softer than "
            f"their bond lengths allow; wanted eV/A^2. Multiply it by {HARTREE_PER_BOHR2:.4f}"
        )
    return found


def remarks(label: HessianLabel, limits: Thresholds | None = None) -> list[str]:
    """What is legal but unusual."""
    limits = limits or Thresholds()
    values = label.hessian if label.hessian is not None else label.hvp
    largest = 0.0 if values is None else float(np.abs(values).max())
    if largest <= limits.large:
        return []
    return [f"an element of {largest:.3g} eV/A^2: do atoms nearly touch? The loss clips such labels"]


def _flat_pairs(label: HessianLabel) -> tuple[np.ndarray, np.ndarray]:
    if label.probes is None or label.hvp is None:
        raise ValueError("not a projected label")
    return label.probes.reshape(label.n_probes, -1), label.hvp.reshape(label.n_probes, -1)
