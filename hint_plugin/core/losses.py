"""The Hessian loss: predicted and reference H v -> one number.

With dH = H_pred - H_ref of a structure of N atoms and a probe v, the scaled residual

    rho = dH v / |v|          (3N components, eV/A^2)

has E[mean(rho^2)] = mean over the 3N x 3N elements of dH^2 for every kind of probe: Rademacher and Gaussian
(Hutchinson's estimator, |v|^2 = 3N for the former), unit vectors (one column), all unit vectors (the full
matrix), and the fixed pairs of a *projected* label. Probes that live on m < N atoms (a *rows* label) give
the mean over the known 3N x 3m elements. So lambda_H means the same in all modes, and no probe is worth
more than another.

This is the normalisation *elements*. *eq4* is that of the paper's Eq. 4, the mean squared error of the
projected vectors themselves,

    mean((dH v)^2) = |dH v|^2 / (3N) = |v|^2 mean(rho^2)

which for Rademacher probes is 3N times the number above, and for a column the number itself: at one lambda_H
a Rademacher probe weighs 3N times a column. (For a molecule of 10 atoms, lambda_H = 0.1 there is 3 here.)

======== ================================================== ============
symbol   meaning                                            variable
======== ================================================== ============
v        probes [K, n, 3], one block a structure            ``probes``
H v      predicted / reference products [K, n, 3]           ``predicted``, ``reference``
rho      scaled residual (*eq4*: dH v itself)               ``residual``
w_g      weight of structure g; 0 = not labelled            ``weights``
======== ================================================== ============
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from hint_plugin.core.hvp import (
    ForceFunction,
    difference_scale,
    hessians_from_forces,
    hvp_from_forces,
)
from hint_plugin.core.operator import HessianOperator
from hint_plugin.core.probes import ProbeKind, draw_probes

Penalty = Literal["mse", "huber", "l1"]

#: What a residual is: divided by the length of its probe, or as the paper's Eq. 4 has it.
Normalise = Literal["elements", "eq4"]
NORMALISATIONS: tuple[Normalise, ...] = ("elements", "eq4")


class Evaluated(Protocol):
    """A batch that a model has evaluated, as a mode sees it.

    Attributes:
        forces: F [n, 3]; with a graph to ``positions`` for a mode that is `LossMode.analytic`.
        positions: the leaf [n, 3].
        force_function: positions -> F of the same structures.
    """

    @property
    def forces(self) -> Tensor: ...
    @property
    def positions(self) -> Tensor: ...
    @property
    def force_function(self) -> ForceFunction: ...


class EvaluatedBatch(NamedTuple):
    """An `Evaluated` of three things that are at hand."""

    forces: Tensor
    positions: Tensor
    force_function: ForceFunction


class LossMode:
    """How the Hessian is looked at in training: which probes are drawn, and how H v of the model is made.

    There is one object of each mode, in `MODES`. ``LossMode("full")`` gives it as well, and pickles and
    copies do.

    Attributes:
        name: in options, configurations and files.
        analytic: H v is the derivative of forces that carry a graph, and the gradient of the loss a third
            derivative of the energy; where false, forces are all that a model needs.
        all_columns: ``count`` does not matter: a label answers all probes that it can.
        unit_probes: what is drawn has length 1.
    """

    name: ClassVar[str]
    analytic: ClassVar[bool] = True
    all_columns: ClassVar[bool] = False
    unit_probes: ClassVar[bool] = False

    def __new__(cls, name: str | None = None) -> LossMode:
        """The mode of that name. Raises ValueError: there is none."""
        if cls is not LossMode:
            return super().__new__(cls)
        if name not in MODES:
            raise ValueError(f"no loss mode {name!r}; wanted one of {', '.join(MODES)}")
        return MODES[name]

    def __reduce__(self) -> tuple[Any, ...]:
        return LossMode, (self.name,)

    def __repr__(self) -> str:
        return f"LossMode({self.name!r})"

    @property
    def few(self) -> LossMode:
        """The mode that draws in its place where few probes are enough, as in validation."""
        return MODES["hutchinson"]

    def draw(self, count: int, n_atoms: int, atoms: Tensor, random: torch.Generator) -> Tensor:
        """Probes of one structure and step.

        Args:
            count: K, how many are asked for.
            n_atoms: N.
            atoms: [m], those whose columns of the Hessian the label knows; others do not move.
            random: the structure's random numbers of this step; nothing else is random here.

        Returns:
            probes [K, N, 3] on the CPU, K as the mode wants it.
        """
        raise NotImplementedError

    def directions(self, probes: Tensor, ptr: Tensor, step: float) -> tuple[Tensor, Tensor | None]:
        """What goes into `products` in place of v [K, n, 3], and what its result is divided by (None: 1).

        Args:
            probes: v.
            ptr: [G + 1], offsets of the structures.
            step: how far the farthest atom moves where atoms are moved, A.
        """
        return probes, None

    def products(self, evaluated: Evaluated, directions: Tensor, *, create_graph: bool) -> Tensor:
        """H v of the model for the `directions`, [K, n, 3], eV/A^2 times their divisor.

        NequIP runs it in code that it traces and compiles: nothing in it may depend on the numbers.

        Args:
            evaluated: the batch.
            directions: see `directions`.
            create_graph: keep the graph of H v, to train on it.
        """
        return hvp_from_forces(evaluated.forces, evaluated.positions, directions, create_graph=create_graph)

    def hessians(self, evaluated: Evaluated, ptr: Tensor, step: float | None = None) -> list[Tensor]:
        """Exact Hessians of a batch, one detached [3N, 3N] a structure, eV/A^2; ``step`` as above."""
        return hessians_from_forces(evaluated.forces, evaluated.positions, ptr)


class Hutchinson(LossMode):
    """Fresh Rademacher probes, K a structure and step (Hutchinson's estimator)."""

    name = "hutchinson"

    def draw(self, count: int, n_atoms: int, atoms: Tensor, random: torch.Generator) -> Tensor:
        """K of them."""
        return draw_probes(ProbeKind.RADEMACHER, count, n_atoms, random, atoms=atoms)


class Column(LossMode):
    """K random columns a structure and step."""

    name = "column"
    unit_probes = True

    def draw(self, count: int, n_atoms: int, atoms: Tensor, random: torch.Generator) -> Tensor:
        """K unit vectors."""
        return draw_probes(ProbeKind.COLUMN, count, n_atoms, random, atoms=atoms)


class Full(LossMode):
    """All 3N columns: exact, and 3N times the price."""

    name = "full"
    all_columns = unit_probes = True

    def draw(self, count: int, n_atoms: int, atoms: Tensor, random: torch.Generator) -> Tensor:
        """All 3m unit vectors."""
        index = torch.arange(3 * len(atoms))
        probes = torch.zeros((len(index), n_atoms, 3))
        probes[index, atoms[index // 3], index % 3] = 1.0
        return probes


class Difference(Hutchinson):
    """Rademacher probes, H v by central differences of forces: for models without a third derivative.

    H v = [F(x - h v) - F(x + h v)] / 2h, with h of `difference_scale`.
    """

    name = "difference"
    analytic = False

    def directions(self, probes: Tensor, ptr: Tensor, step: float) -> tuple[Tensor, Tensor | None]:
        """Displacements h v, A, and 2h."""
        h = difference_scale(probes, ptr, step)
        return h * probes, 2 * h

    def products(self, evaluated: Evaluated, directions: Tensor, *, create_graph: bool) -> Tensor:
        """F(x - h v) - F(x + h v); they carry whatever graph the forces carry."""
        forces, x = evaluated.force_function, evaluated.positions.detach()
        return torch.stack([forces(x - moved) - forces(x + moved) for moved in directions])

    def hessians(self, evaluated: Evaluated, ptr: Tensor, step: float | None = None) -> list[Tensor]:
        """By central differences; of the structures together, which do not feel each other."""
        whole = HessianOperator.from_differences(
            evaluated.force_function, evaluated.positions.detach(), step=step
        ).dense()
        ends = [3 * p for p in ptr.tolist()]
        return [whole[a:b, a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]


#: Name -> mode. A new one is a class as those above and an entry here.
MODES: dict[str, LossMode] = {mode.name: mode for mode in (Hutchinson(), Column(), Full(), Difference())}


def _clipped(loss: Tensor, limit: Tensor) -> Tensor:
    """s^2 up to ``limit`` = c^2, c (2s - c) beyond, of each structure's ``loss`` = s^2: both [G]."""
    far = loss > limit
    root, c = torch.where(far, loss, limit).sqrt(), limit.sqrt()
    return torch.where(far, c * (2 * root - c), loss)


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
        normalise: ``elements``, rho = dH v / |v|, or ``eq4``, rho = dH v. There ``delta`` is compared with
            the components of dH v, while ``clip`` guards against the same labels as in ``elements``.
    """

    penalty: Penalty = "mse"
    delta: float = 1.0
    clip: float | None = 100.0
    normalise: Normalise = "elements"

    def __post_init__(self) -> None:
        if self.penalty not in ("mse", "huber", "l1"):
            raise ValueError(f"Hessian loss: got penalty {self.penalty!r}; wanted 'mse', 'huber' or 'l1'")
        if self.delta <= 0 or (self.clip is not None and self.clip <= 0):
            raise ValueError(
                f"Hessian loss: delta and clip must be positive; got {self.delta} and {self.clip}"
            )
        if self.normalise not in NORMALISATIONS:
            raise ValueError(f"Hessian loss: got normalise {self.normalise!r}; wanted 'elements' or 'eq4'")

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
        scale = present.to(norm2)
        if self.normalise == "elements":
            scale = torch.where(present, norm2.clamp_min(1e-30).rsqrt(), scale)
        residual = (predicted - reference) * scale[:, owner].unsqueeze(-1)
        if self.penalty == "mse":
            cost = residual.square()
        elif self.penalty == "l1":
            cost = residual.abs()
        else:
            size = residual.abs()
            cost = torch.where(size <= self.delta, size.square(), self.delta * (2 * size - self.delta))
        mean = segment_sum(cost.sum(-1), owner, n_structures) / (3 * sizes)
        count = present.sum(0).clamp_min(1)
        per_structure = mean.sum(0) / count
        if self.clip is None or self.penalty == "l1":  # the gradient of |rho| is bounded already
            return per_structure
        limit = torch.full_like(per_structure, self.clip**2)
        if self.normalise == "eq4":
            limit = torch.where(present.any(0), limit * norm2.sum(0) / count, limit)
        return _clipped(per_structure, limit)

    def __call__(
        self, predicted: Tensor, reference: Tensor, probes: Tensor, owner: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Weighted sum over structures and number of labelled ones: (sum_g w_g loss_g, count of w_g > 0).

        The mean is left to the caller, who knows about the other processes of a distributed run.
        """
        losses = self.per_structure(predicted, reference, probes, owner, len(weights))
        return (weights * losses).sum(), (weights > 0).sum()
