"""What makes a label malformed, in numbers. Pure functions of one label and its structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hint_plugin.data.labels.label import HessianLabel


@dataclass(frozen=True)
class Thresholds:
    """When a label is refused or warned about. The defaults are for labels from anywhere; `own` is for those
    that
    HINT has just made.

    Attributes:
        asymmetry: absolute part of the allowed |H_ij - H_ji|, eV/A^2. GFN2-xTB at its default accuracy shows
            0.1, differences on a coarse DFT grid a few tenths.
        relative_asymmetry: the part that grows with max|H|. A matrix with one triangle missing, or with
            mixed-up axes, shows 1.
        large: above it a value is reported as a warning. It is not an error: public sets (HORM) hold |H| >
            1e4 where atoms nearly touch, and robust losses take them.
        sum_rule, relative_sum_rule: the same two parts for sum_b H_ab. HORM's labels show up to 0.14 eV/A^2,
            coarse integration grids of DFT a few tenths.
        rotation, relative_rotation: the same for H (w x r) - w x g.
        share_of_size, share_of_rotation: no more than this share of max|H| is allowed of either, so that a
            matrix of small numbers does not excuse itself; but always 0.05 eV/A^2 and six times its noise.
        bonds: stiffness of bonds, in units of what Badger's rule expects; full Hessians and rows. Near
            minima, right labels lie between 0.25 and 1.5; kcal/mol/A^2 is 23 times off, hartree/bohr^2 97
            times.
        pair_bonds: the same for pairs (v, Hv), whose few directions scatter more.
        products: the smallest size of the products of pairs, in the same units.
        soft_bonds: bonds that are about to break curve downwards a little: this much is allowed as well.
        stability: the smallest allowed trace, over the sum of the absolute eigenvalues of the 3 x 3 blocks.
        locality: the largest allowed rank correlation of coupling with distance.
        rules_of_thumb: whether bonds, stability and locality are tested. What a trained model says of them is
            right by definition.
        physics: whether any of the tests but symmetry are made. Switch them off for model systems that live
            in an external field.
    """

    asymmetry: float = 0.5
    relative_asymmetry: float = 0.02
    large: float = 1.0e4
    sum_rule: float = 0.5
    relative_sum_rule: float = 0.01
    rotation: float = 0.5
    relative_rotation: float = 0.01
    share_of_size: float = 0.15
    share_of_rotation: float = 0.02
    bonds: tuple[float, float] = (0.04, 6.0)
    pair_bonds: tuple[float, float] = (0.04, 8.0)
    soft_bonds: float = -0.3
    products: float = 0.1
    stability: float = -0.5
    locality: float = -0.3
    rules_of_thumb: bool = True
    physics: bool = True

    @classmethod
    def own(cls, noise: float | None, rules_of_thumb: bool = True) -> Thresholds:
        """For a label that HINT has just computed: 0.05 eV/A^2 and six times its noise, but no more than
        others may have.

        The cap matters where the noise itself is taken from the sum rule: a matrix that is wrong must not
        excuse itself.

        Args:
            noise: standard error of an element, eV/A^2; None where it is not known.
            rules_of_thumb: see the attribute.
        """
        allowed = min(0.05 + 6 * (noise or 0.0), cls.sum_rule)
        return cls(
            sum_rule=allowed,
            relative_sum_rule=0.002,
            rotation=allowed,
            relative_rotation=0.002,
            share_of_size=np.inf,
            share_of_rotation=np.inf,
            rules_of_thumb=rules_of_thumb,
        )

    def allowed(self, largest: float) -> float:
        """The allowed asymmetry, eV/A^2, where the largest element of H is `largest`."""
        return self.asymmetry + self.relative_asymmetry * largest

    def allowed_drift(self, largest: float, noise: float | None = None) -> float:
        """The allowed sum over a row of blocks, eV/A^2, of a matrix of this size."""
        allowed = self.sum_rule + self.relative_sum_rule * largest
        return min(allowed, max(self.share_of_size * largest, _floor(noise)))

    def allowed_turn(self, largest: float, noise: float | None = None) -> float:
        """The same of H (w x r) - w x g."""
        allowed = self.rotation + self.relative_rotation * largest
        return min(allowed, max(self.share_of_rotation * largest, _floor(noise)))


def _floor(noise: float | None) -> float:
    """What the noise of any program may do, eV/A^2."""
    return 0.05 + 6 * (noise or 0.0)


def largest(label: HessianLabel) -> float:
    """Size of the elements of H: max |H|, or max |Hv| in units of the root mean square of v; eV/A^2."""
    if label.hessian is not None:
        return float(np.abs(label.hessian).max())
    v, hv = flat_pairs(label)
    return float((np.abs(hv).max(axis=1) / np.sqrt((v**2).mean(axis=1))).max())


def asymmetry(label: HessianLabel) -> tuple[float, float]:
    """Largest disagreement between H and its transpose, as far as the label can tell, and the size of H.

    full: max |H - H^T|. rows: the same within the block H[A, A]. projected: for each pair of probes
    |v1.(H v2) - v2.(H v1)| / sqrt(|v1|^2 |v2|^2 - (v1.v2)^2), which equals the root of the sum of squares of
    the two elements of H - H^T seen by v1 and v2, if they are columns.

    Returns:
        (asymmetry, max |H|), eV/A^2; the first is 0 where nothing can be compared.
    """
    scale = largest(label)
    if label.hessian is not None:
        block = label.hessian
        if label.atoms is not None:
            block = block[:, (3 * label.atoms[:, None] + np.arange(3)).reshape(-1)]
        return float(np.abs(block - block.T).max()), scale
    v, hv = flat_pairs(label)
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


def remarks(label: HessianLabel, limits: Thresholds | None = None) -> list[str]:
    """What is legal but unusual."""
    limits = limits or Thresholds()
    values = label.hessian if label.hessian is not None else label.hvp
    largest = 0.0 if values is None else float(np.abs(values).max())
    if largest <= limits.large:
        return []
    return [f"an element of {largest:.3g} eV/A^2: do atoms nearly touch? The loss clips such labels"]


def flat_pairs(label: HessianLabel) -> tuple[np.ndarray, np.ndarray]:
    """Probes and products of a projected label, [K, 3N] each."""
    if label.probes is None or label.hvp is None:
        raise ValueError("not a projected label")
    return label.probes.reshape(label.n_probes, -1), label.hvp.reshape(label.n_probes, -1)
