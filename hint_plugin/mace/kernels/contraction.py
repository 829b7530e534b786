"""MACE's symmetric contraction, written so that its second and third derivatives are cheap on a CPU.

MACE's product basis (Batatia et al., NeurIPS 2022, Eqs. 10-11) is, for each atom and channel, a cubic
polynomial of the S = (l_max + 1)^2 features x of that channel, with coefficients U_n . W_n that depend on the
element z:

    out_w = sum_ijk C3_wijk x_i x_j x_k + sum_ij C2_wij x_i x_j + sum_i C1_wi x_i,  C_n = sum_p U_n,p W_n,z,p

MACE contracts one x after the other, which makes tensors of 3 S^2 numbers an atom and channel, and rank-one
products in batched matrix multiplications once it is differentiated: on a CPU half of the time of a Hessian
step. Here the pair products q_jk = x_j x_k, j <= k, are made once and all that is linear in them is one
matrix product for each element,

    [R_wi | s_w] = q . [C3_wi,jk | C2_w,jk],        out_w = sum_i (R_wi + C1_wi) x_i + s_w

with the same parameters and the same result up to rounding. Correlation order 3 only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class PairContraction:
    """Evaluates one ``SymmetricContraction`` of MACE as in the module's docstring.

    Attributes:
        size: S.
        widths: components w of each output irrep.
    """

    def __init__(self, module: Any) -> None:
        self.parts: list[Any] = list(module.contractions)
        self.size = int(self.parts[0].U_tensors(1).shape[-2])
        self.widths = [int(p.U_tensors(1).shape[0]) if p.U_tensors(1).ndim == 3 else 1 for p in self.parts]
        first, second = torch.triu_indices(self.size, self.size)
        self.pairs = len(first)
        #: Selections of x_j and of x_k: matrix products have cheaper derivatives than indices.
        self.selections = (_one_hot(first, self.size), _one_hot(second, self.size))
        of = torch.zeros(self.size, self.size, dtype=torch.long)
        of[first, second] = of[second, first] = torch.arange(self.pairs)
        self._tables = [
            _coefficient_tables(p, w, self.size, of.flatten())
            for p, w in zip(self.parts, self.widths, strict=True)
        ]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """x [n, C, S], y [n, elements] one-hot -> [n, sum over irreps of C w], as MACE orders it."""
        element = y.argmax(dim=-1)
        order = element.argsort()
        counts = torch.bincount(element, minlength=y.shape[1]).tolist()
        features = x.index_select(0, order).transpose(0, 1).contiguous()
        if self.selections[0].dtype != x.dtype:
            self.selections = (self.selections[0].to(x.dtype), self.selections[1].to(x.dtype))
        pairs = (features @ self.selections[0]) * (features @ self.selections[1])
        present = [z for z, count in enumerate(counts) if count]
        sizes = [counts[z] for z in present]
        cubic, linear = self.coefficients(present)
        blocks = [
            self._element(*parts)
            for parts in zip(
                pairs.split(sizes, dim=1),
                features.split(sizes, dim=1),
                cubic.unbind(),
                linear.unbind(),
                strict=True,
            )
        ]
        merged = torch.cat(blocks, dim=1).transpose(0, 1)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        merged = merged.index_select(0, back)
        return torch.cat([part.flatten(1) for part in merged.split(self.widths, dim=-1)], dim=-1)

    def _element(self, pairs: Tensor, features: Tensor, cubic: Tensor, linear: Tensor) -> Tensor:
        """Atoms of one element: pairs [C, n, S (S + 1) / 2], features [C, n, S] -> [C, n, sum of w]."""
        total, size = sum(self.widths), self.size
        product = torch.bmm(pairs, cubic)
        slope = product[..., : total * size].unflatten(-1, (total, size)) + linear.unsqueeze(1)
        return torch.matmul(slope, features.unsqueeze(-1)).squeeze(-1) + product[..., total * size :]

    def coefficients(self, elements: list[int]) -> tuple[Tensor, Tensor]:
        """[C3 | C2] as [elements, C, pairs, w S + w] and C1 as [elements, C, w, S]."""
        size = self.size
        threes, twos, ones = [], [], []
        for part, width, tables in zip(self.parts, self.widths, self._tables, strict=True):
            weights = (part.weights[1], part.weights[0], part.weights_max)  # orders 1, 2, 3
            one, two, three = (table.expand(w[elements]) for table, w in zip(tables, weights, strict=True))
            threes.append(three.unflatten(2, (self.pairs, width * size)))
            twos.append(two.unflatten(2, (self.pairs, width)))
            ones.append(one.unflatten(2, (width, size)))
        return torch.cat([*threes, *twos], dim=3), torch.cat(ones, dim=2)


class _Table:
    """A coupling table U [rows, p], most rows zero: C = U W is computed on the others."""

    def __init__(self, matrix: Tensor) -> None:
        self.rows = int(matrix.shape[0])
        self.places = matrix.abs().sum(-1).nonzero().squeeze(-1)
        self.values = matrix.index_select(0, self.places).T.contiguous()

    def expand(self, weights: Tensor) -> Tensor:
        """weights [elements, p, C] -> (U W)^T [elements, C, rows]."""
        elements, _, channels = weights.shape
        out = torch.zeros((elements, channels, self.rows), dtype=weights.dtype, device=weights.device)
        return out.index_copy(2, self.places, weights.transpose(1, 2) @ self.values.to(weights.dtype))


def _one_hot(index: Tensor, size: int) -> Tensor:
    return torch.nn.functional.one_hot(index, size).T.to(torch.get_default_dtype())


def _coefficient_tables(part: Any, width: int, size: int, of: Tensor) -> tuple[_Table, _Table, _Table]:
    """The tables of orders 1, 2 and 3, with the rows ordered (w, i), (pair, w) and (pair, w, i).

    `of` [S^2]: the pair that (j, k) and (k, j) are; their coefficients are added.
    """

    def paired(matrix: Tensor) -> Tensor:
        found = matrix.new_zeros(int(of.max()) + 1, *matrix.shape[1:])
        return found.index_add(0, of.to(matrix.device), matrix).flatten(0, 1)

    one, two, three = (part.U_tensors(n).detach() for n in (1, 2, 3))
    one = one.reshape(width * size, -1)
    two = paired(two.reshape(width, size * size, -1).transpose(0, 1))
    three = paired(three.reshape(width * size, size * size, -1).transpose(0, 1))
    return _Table(one), _Table(two), _Table(three)


def usable_contraction(module: Any) -> bool:
    """Whether a module is a symmetric contraction that `PairContraction` can stand in for."""
    parts = getattr(module, "contractions", None)
    return (
        type(module).__name__ == "SymmetricContraction"
        and parts is not None
        and all(getattr(p, "correlation", 0) == 3 for p in parts)
    )
