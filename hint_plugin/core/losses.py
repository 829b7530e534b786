"""The Hessian loss: predicted and reference H v -> one number.

With dH = H_pred - H_ref of a structure of N atoms and a probe v, the scaled residual

    rho = dH v / |v|          (3N components, eV/A^2)

has E[mean(rho^2)] = mean over the 3N x 3N elements of dH^2 for every kind of probe: Rademacher and Gaussian
(Hutchinson's estimator, |v|^2 = 3N for the former), unit vectors (one column), all unit vectors (the full
matrix), and the fixed pairs of a *projected* label. Probes that live on m < N atoms (a *rows* label) give
the mean over the known 3N x 3m elements. So lambda_H means the same in all modes, and no probe is worth
more than another.

HINT's Eq. 4 writes |dH v|^2 / (3N) for Rademacher probes, 3N times this number: its lambda_H is smaller by
that factor (for a molecule of 10 atoms, lambda_H = 0.1 there is 3 here).

======== ================================================== ============
symbol   meaning                                            variable
======== ================================================== ============
v        probes [K, n, 3], one block a structure            ``probes``
H v      predicted / reference products [K, n, 3]           ``predicted``, ``reference``
rho      scaled residual                                    ``residual``
w_g      weight of structure g; 0 = not labelled            ``weights``
======== ================================================== ============
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

import torch
from torch import Tensor

Penalty = Literal["mse", "huber", "l1"]


class LossMode(str, Enum):
    """How the Hessian is looked at in training.

    ``hutchinson``
        fresh Rademacher probes, K a structure and step;
    ``column``
        K random columns a structure and step;
    ``full``
        all 3N columns: exact, and 3N times the price;
    ``difference``
        Rademacher probes, H v by central differences of forces: for models without a third derivative.
    """

    HUTCHINSON = "hutchinson"
    COLUMN = "column"
    FULL = "full"
    DIFFERENCE = "difference"


def segment_sum(values: Tensor, owner: Tensor, count: int) -> Tensor:
    """Sum of ``values`` [..., n] over the structures that own the atoms: [..., count]."""
    out = torch.zeros((*values.shape[:-1], count), dtype=values.dtype, device=values.device)
    return out.index_add(-1, owner, values)


@dataclass(frozen=True)
class HessianLoss:
    """The loss of the module's docstring over a batch.

    Attributes:
        penalty: of the components of rho: ``mse`` rho^2; ``huber`` rho^2 within ``delta`` and delta (2|rho| -
            delta) beyond; ``l1`` |rho| (for columns, the mean absolute error of the elements).
        delta: of the Huber penalty, eV/A^2.
        clip: guard against bad labels, eV/A^2: a structure whose root-mean-square residual s exceeds ``clip``
            counts clip (2s - clip) in place of s^2, so that its gradient is no larger than at s = clip and
            one label of 1e4 eV/A^2 cannot wreck a training. No effect below. None: off.
    """

    penalty: Penalty = "mse"
    delta: float = 1.0
    clip: float | None = 100.0

    def __post_init__(self) -> None:
        if self.penalty not in ("mse", "huber", "l1"):
            raise ValueError(f"Hessian loss: got penalty {self.penalty!r}; wanted 'mse', 'huber' or 'l1'")
        if self.delta <= 0 or (self.clip is not None and self.clip <= 0):
            raise ValueError(
                f"Hessian loss: delta and clip must be positive; got {self.delta} and {self.clip}"
            )

    def per_structure(
        self, predicted: Tensor, reference: Tensor, probes: Tensor, owner: Tensor, n_structures: int
    ) -> Tensor:
        """Loss of each structure, averaged over its probes: [G].

        Args:
            predicted: H_pred v [K, n, 3], eV/A^2.
            reference: H_ref v [K, n, 3].
            probes: v [K, n, 3]. A structure may have fewer than K probes: its others are zero and do not
                count.
            owner: [n], the structure of each atom.
            n_structures: G.
        """
        sizes = segment_sum(torch.ones_like(owner, dtype=predicted.dtype), owner, n_structures)
        norm2 = segment_sum(probes.square().sum(-1), owner, n_structures)
        present = norm2 > 0
        inverse = torch.where(present, norm2.clamp_min(1e-30).rsqrt(), torch.zeros_like(norm2))
        residual = (predicted - reference) * inverse[:, owner].unsqueeze(-1)
        if self.penalty == "mse":
            cost = residual.square()
        elif self.penalty == "l1":
            cost = residual.abs()
        else:
            size = residual.abs()
            cost = torch.where(size <= self.delta, size.square(), self.delta * (2 * size - self.delta))
        mean = segment_sum(cost.sum(-1), owner, n_structures) / (3 * sizes)
        per_structure = mean.sum(0) / present.sum(0).clamp_min(1)
        return per_structure if self.clip is None else self._clipped(per_structure)

    def _clipped(self, loss: Tensor) -> Tensor:
        clip = float(self.clip or 0.0)
        if self.penalty == "l1":  # the gradient of |rho| is bounded already
            return loss
        far = loss > clip**2
        root = torch.where(far, loss, torch.full_like(loss, clip**2)).sqrt()
        return torch.where(far, clip * (2 * root - clip), loss)

    def __call__(
        self, predicted: Tensor, reference: Tensor, probes: Tensor, owner: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Weighted sum over structures and number of labelled ones: (sum_g w_g loss_g, count of w_g > 0).

        The mean is left to the caller, who knows about the other processes of a distributed run.
        """
        losses = self.per_structure(predicted, reference, probes, owner, len(weights))
        return (weights * losses).sum(), (weights > 0).sum()
