"""MACE's symmetric contraction, written so that its second and third derivatives are cheap on a CPU.

MACE's product basis (Batatia et al., NeurIPS 2022, Eqs. 10-11) is, for each atom and channel, a cubic
polynomial of the S = (l_max + 1)^2 features x of that channel, with coefficients U_n . W_n that depend on the
element z:

    out_w = sum_ijk C3_wijk x_i x_j x_k + sum_ij C2_wij x_i x_j + sum_i C1_wi x_i,  C_n = sum_p U_n,p W_n,z,p

MACE contracts one x after the other, which makes tensors of 3 S^2 numbers an atom and channel, and rank-one
products in batched matrix multiplications once it is differentiated: on a CPU half of the time of a Hessian
step. Here the pair products q_jk = x_j x_k are made once and all that is linear in them is one matrix product
for each element,

    [R_wi | s_w] = q . [C3_wi,jk | C2_w,jk],        out_w = sum_i (R_wi + C1_wi) x_i + s_w

with the same parameters, the same result up to rounding, the same state_dict. It is in place during training
only: the saved model is MACE's own. On a GPU, or for another correlation order than 3, MACE's code is left
alone.

Layer normalisations (in MACE's non-linear interaction blocks) are written out as well, on every device and
whatever the options: the third derivative of PyTorch's `layer_norm` is wrong, silently (torch 2.13,
pytorch/pytorch#175754), so that parameters before one would get wrong gradients from a Hessian loss.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

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
        first = self.parts[0].U_tensors(1)
        self.size = int(first.shape[-2])
        self.widths = [int(p.U_tensors(1).shape[0]) if p.U_tensors(1).ndim == 3 else 1 for p in self.parts]
        self._tables = [
            _coefficient_tables(p, w, self.size) for p, w in zip(self.parts, self.widths, strict=True)
        ]

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """x [n, C, S], y [n, elements] one-hot -> [n, sum over irreps of C w], as MACE orders it."""
        element = y.argmax(dim=-1)
        order = element.argsort()
        counts = torch.bincount(element, minlength=y.shape[1]).tolist()
        features = x.index_select(0, order).transpose(0, 1).contiguous()
        pairs = (features.unsqueeze(-1) * features.unsqueeze(-2)).flatten(-2)
        present = [z for z, count in enumerate(counts) if count]
        sizes = [counts[z] for z in present]
        blocks = []
        for z, q, f in zip(present, pairs.split(sizes, dim=1), features.split(sizes, dim=1), strict=True):
            blocks.append(self._element(z, q, f))
        merged = torch.cat(blocks, dim=1).transpose(0, 1)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        merged = merged.index_select(0, back)
        return torch.cat([part.flatten(1) for part in merged.split(self.widths, dim=-1)], dim=-1)

    def _element(self, z: int, pairs: Tensor, features: Tensor) -> Tensor:
        """Atoms of one element: pairs [C, n, S^2], features [C, n, S] -> [C, n, sum of w]."""
        total, size = sum(self.widths), self.size
        cubic, linear = self.coefficients(z)
        product = torch.bmm(pairs, cubic)
        slope = product[..., : total * size].unflatten(-1, (total, size)) + linear.unsqueeze(1)
        return torch.matmul(slope, features.unsqueeze(-1)).squeeze(-1) + product[..., total * size :]

    def coefficients(self, z: int) -> tuple[Tensor, Tensor]:
        """[C3 | C2] as [C, S^2, w S + w] and C1 as [C, w, S], for element z."""
        size = self.size
        threes, twos, ones = [], [], []
        for part, width, tables in zip(self.parts, self.widths, self._tables, strict=True):
            weights = (part.weights[1], part.weights[0], part.weights_max)  # orders 1, 2, 3
            one, two, three = (table.expand(w[z]) for table, w in zip(tables, weights, strict=True))
            threes.append(three.unflatten(1, (size * size, width * size)))
            twos.append(two.unflatten(1, (size * size, width)))
            ones.append(one.unflatten(1, (width, size)))
        return torch.cat([*threes, *twos], dim=2), torch.cat(ones, dim=1)


class _Table:
    """A coupling table U [rows, p], most rows zero: C = U W is computed on the others."""

    def __init__(self, matrix: Tensor) -> None:
        self.rows = int(matrix.shape[0])
        self.places = matrix.abs().sum(-1).nonzero().squeeze(-1)
        self.values = matrix.index_select(0, self.places).T.contiguous()

    def expand(self, weights: Tensor) -> Tensor:
        """weights [p, C] -> (U W)^T [C, rows]."""
        out = torch.zeros((weights.shape[-1], self.rows), dtype=weights.dtype, device=weights.device)
        return out.index_copy(1, self.places, weights.T @ self.values.to(weights.dtype))


def _coefficient_tables(part: Any, width: int, size: int) -> tuple[_Table, _Table, _Table]:
    """The tables of orders 1, 2 and 3, with the rows ordered (w, i), (i j, w) and (j k, w, i)."""
    one, two, three = (part.U_tensors(n).detach() for n in (1, 2, 3))
    one = one.reshape(width * size, -1)
    two = two.reshape(width, size * size, -1).transpose(0, 1).reshape(size * size * width, -1)
    three = (
        three.reshape(width * size, size * size, -1).transpose(0, 1).reshape(size * size * width * size, -1)
    )
    return _Table(one), _Table(two), _Table(three)


def usable(module: Any) -> bool:
    """Whether a module is a symmetric contraction that `PairContraction` can stand in for."""
    parts = getattr(module, "contractions", None)
    return (
        type(module).__name__ == "SymmetricContraction"
        and parts is not None
        and all(getattr(p, "correlation", 0) == 3 and p.weights_max.device.type == "cpu" for p in parts)
    )


class PlainLayerNorm:
    """Evaluates a `torch.nn.LayerNorm`, (x - mean)/sqrt(variance + eps) gain + bias, by single operations."""

    def __init__(self, module: torch.nn.LayerNorm) -> None:
        self.module = module
        self.axes = tuple(range(-len(module.normalized_shape), 0))

    def __call__(self, x: Tensor) -> Tensor:
        x = x - x.mean(self.axes, keepdim=True)
        x = x * (x.square().mean(self.axes, keepdim=True) + self.module.eps).rsqrt()
        if self.module.weight is not None:
            x = x * self.module.weight
        return x if self.module.bias is None else x + self.module.bias


@contextmanager
def use(model: torch.nn.Module, kind: Literal["fast", "mace"]) -> Iterator[int]:
    """Within the block, `PairContraction` evaluates the model's symmetric contractions; yields how many.

    `PlainLayerNorm` evaluates its layer normalisations in any case.
    """
    chosen = [m for m in model.modules() if usable(m)] if kind == "fast" else []
    norms = [m for m in model.modules() if type(m) is torch.nn.LayerNorm]
    try:
        for norm in norms:
            norm.__dict__["forward"] = PlainLayerNorm(norm)
        for module in chosen:
            module.__dict__["forward"] = PairContraction(module)
        if chosen:
            logging.info(
                f"HINT: {len(chosen)} symmetric contractions by pair products (off: --hint_kernels mace)"
            )
        yield len(chosen)
    finally:
        for module in (*chosen, *norms):
            module.__dict__.pop("forward", None)
