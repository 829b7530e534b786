"""MACE's edges, written so that their second and third derivatives take few operations on a CPU.

e3nn evaluates spherical harmonics component by component and tensor products path by path, each by operations
of its own; three derivatives later these are thousands, and their bookkeeping is what a training step costs.
The same numbers by a handful of operations:

    Y(u) = m(u) B,                      m: the monomials of degree <= l_max of u = r/|r|, products of l_max
                                        selections from (1, x, y, z)
    out_upk = w_up sum_i x_ui M_i,pk,   M = Y C,      C_j,(i,p,k): the Clebsch-Gordan tables of all paths p

for channels u. (e3nn: arXiv:2207.09453; MACE's convolution: Batatia et al., NeurIPS 2022, Eq. 8.)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


class Harmonics:
    """Evaluates an e3nn ``SphericalHarmonics`` of unit vectors, all degrees from 0 to l_max."""

    def __init__(self, module: Any) -> None:
        degrees = module._ls_list
        top = max(degrees)
        powers = [p for n in range(top + 1) for p in itertools.combinations_with_replacement((1, 2, 3), n)]
        self.factors = torch.zeros(top, 4, len(powers), dtype=torch.float64)
        for column, power in enumerate(powers):
            for k in range(top):
                self.factors[k, power[k] if k < len(power) else 0, column] = 1.0
        self.coefficients = torch.zeros(len(powers), sum(2 * n + 1 for n in degrees), dtype=torch.float64)
        unit = torch.randn(
            8 * len(powers), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
        )
        unit = torch.nn.functional.normalize(unit, dim=-1)
        wanted = type(module).forward(module, unit)
        start = 0
        for n in degrees:  # each harmonic is one homogeneous polynomial of its degree
            columns = [k for k, power in enumerate(powers) if len(power) == n]
            block = slice(start, start + 2 * n + 1)
            found = torch.linalg.lstsq(self._monomials(unit)[:, columns], wanted[:, block]).solution
            self.coefficients[columns, block] = torch.where(found.abs() < 1e-12, 0.0, found)
            start += 2 * n + 1

    def _monomials(self, unit: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(unit, [1, 0], value=1.0)
        found = padded @ self.factors[0]
        for factor in self.factors[1:]:
            found = found * (padded @ factor)
        return found

    def __call__(self, vectors: Tensor) -> Tensor:
        """r [E, 3], none of them zero -> [E, (l_max + 1)^2]."""
        if self.factors.dtype != vectors.dtype:
            self.factors, self.coefficients = (t.to(vectors.dtype) for t in (self.factors, self.coefficients))
        unit = vectors * (vectors * vectors).sum(-1, keepdim=True).rsqrt()
        return self._monomials(unit) @ self.coefficients


class ChannelProduct:
    """Evaluates an e3nn ``TensorProduct`` of channels ("uvu") with weights for each edge."""

    def __init__(self, module: Any) -> None:
        first = module.irreps_in1
        self.channels = first[0].mul
        self.paths = len(module.instructions)
        self.sizes = [part.dim for part in first]
        self.slots = [_Slot(module, slot) for slot in range(len(first))]
        self.table_sizes = [slot.table.shape[1] for slot in self.slots]
        self.table = torch.cat([slot.table for slot in self.slots], dim=1)
        components = {output: (k, *place) for k, s in enumerate(self.slots) for output, place in s.places}
        self.layout = _Layout(self.channels, [components[output] for output in sorted(components)])

    def __call__(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """x [E, channels (l1)], Y [E, (l_max + 1)^2], weights [E, paths channels] -> as e3nn orders it."""
        if self.table.dtype != y.dtype:
            self.table = self.table.to(y.dtype)
            for slot in self.slots:
                slot.spread = slot.spread.to(y.dtype)
        edges = len(x)
        weights = weight.view(edges, self.paths, self.channels).transpose(1, 2)
        coupled = (y @ self.table).split(self.table_sizes, dim=-1)
        products = []
        for slot, part, table in zip(self.slots, x.split(self.sizes, dim=-1), coupled, strict=True):
            table = table.view(edges, slot.width, table.shape[1] // slot.width)
            part = part.view(edges, self.channels, slot.width)
            found = part * table if slot.width == 1 else torch.bmm(part, table)
            products.append(found * (weights @ slot.spread))
        joined: Tensor = _Join.apply(self.layout, *products)
        return joined


class _Slot:
    """The paths that start at one irrep of the first factor.

    Attributes:
        width: 2 l + 1 of that irrep.
        table: Clebsch-Gordan coefficients [dim of Y, width sum(2 l3 + 1)].
        spread: [all paths, sum(2 l3 + 1)], 1 where a component belongs to a path: its weight goes there.
        places: for each path its output, and where its components are.
    """

    def __init__(self, module: Any, slot: int) -> None:
        from e3nn import o3

        self.width = module.irreps_in1[slot].ir.dim
        chosen = [(n, ins) for n, ins in enumerate(module.instructions) if ins.i_in1 == slot]
        sizes = [module.irreps_out[ins.i_out].ir.dim for _, ins in chosen]
        table = torch.zeros(module.irreps_in2.dim, self.width, sum(sizes), dtype=torch.float64)
        self.spread = torch.zeros(len(module.instructions), sum(sizes), dtype=torch.float64)
        self.places: list[tuple[int, tuple[int, int]]] = []
        start = 0
        for (number, ins), size in zip(chosen, sizes, strict=True):
            degrees = (part[k].ir.l for part, k in zip(
                (module.irreps_in1, module.irreps_in2, module.irreps_out),
                (ins.i_in1, ins.i_in2, ins.i_out), strict=True,
            ))  # fmt: skip
            coupling = o3.wigner_3j(*degrees, dtype=torch.float64) * ins.path_weight  # [l1, l2, l3]
            table[module.irreps_in2.slices()[ins.i_in2], :, start : start + size] = coupling.transpose(0, 1)
            self.spread[number, start : start + size] = 1.0
            self.places.append((ins.i_out, (start, size)))
            start += size
        self.table = table.flatten(1)


class _Layout:
    """Which part, and from where how many components, each output of e3nn's order takes."""

    def __init__(self, channels: int, blocks: list[tuple[int, int, int]]) -> None:
        self.channels, self.blocks = channels, blocks
        count = 1 + max(part for part, _, _ in blocks)
        self.widths = [sum(size for part, _, size in blocks if part == k) for k in range(count)]

    def views(self, parts: Sequence[Tensor], whole: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The same numbers in parts [E, channels, components] and in whole [E, channels x components]."""
        start = 0
        for part, first, size in self.blocks:
            end = start + self.channels * size
            place = whole[:, start:end].view(len(whole), self.channels, size)
            yield parts[part][:, :, first : first + size], place
            start = end


class _Join(torch.autograd.Function):
    """Parts to whole; its derivative is `_Part`, and the other way round.

    What torch does by itself, for cat and slices, fills a tensor of zeros for each block in each derivative.
    """

    @staticmethod
    def forward(ctx: Any, layout: _Layout, *parts: Tensor) -> Tensor:
        ctx.layout = layout
        whole = parts[0].new_empty(len(parts[0]), layout.channels * sum(layout.widths))
        for part, place in layout.views(parts, whole):
            place.copy_(part)
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return (None, *_Part.apply(ctx.layout, gradients[0]))


class _Part(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, layout: _Layout, whole: Tensor) -> tuple[Tensor, ...]:
        ctx.layout = layout
        parts = tuple(whole.new_empty(len(whole), layout.channels, width) for width in layout.widths)
        for part, place in layout.views(parts, whole):
            part.copy_(place)
        return parts

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor]:
        return None, _Join.apply(ctx.layout, *gradients)


class ChannelMixing:
    """Evaluates an e3nn ``Linear``, or a ``FullyConnectedTensorProduct`` with scalars a, as one of x_u a_z.

    out_wi = sum_u W_uw x_ui for each irrep; what comes from several input irreps of a kind is one product.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        source = module.irreps_in if hasattr(module, "irreps_in") else module.irreps_in1
        self.outputs: list[tuple[int, int, int]] = []  # channels in, components, channels out
        scales = []
        for number, part in enumerate(module.irreps_out):
            chosen = [ins for ins in module.instructions if ins.i_out == number]
            channels, width = sum(ins.path_shape[0] for ins in chosen), source[_start(chosen[0])].ir.dim
            self.outputs.append((channels, width, part.mul))
            coupling = 1.0 if hasattr(module, "irreps_in") else width**-0.5  # <l i, 0 0 | l j>
            scales += [
                torch.full((_count(ins),), ins.path_weight * coupling, dtype=torch.float64) for ins in chosen
            ]
        self.scales = torch.cat(scales)
        self.sizes = [channels * width for channels, width, _ in self.outputs]
        self.weight_sizes = [
            sum(_count(ins) for ins in module.instructions if ins.i_out == n)
            for n in range(len(self.outputs))
        ]

    def __call__(self, x: Tensor, scalars: Tensor | None = None) -> Tensor:
        """x [N, channels (2 l + 1)], a [N, scalars] -> [N, channels (2 l + 1)], as e3nn orders them."""
        if self.scales.dtype != x.dtype:
            self.scales = self.scales.to(x.dtype)
        weights = (self.module.weight * self.scales).split(self.weight_sizes)
        found = []
        for part, weight, (channels, width, out) in zip(
            x.split(self.sizes, dim=-1), weights, self.outputs, strict=True
        ):
            part = part.view(-1, channels, width).transpose(1, 2)
            if scalars is not None:
                part = (part.unsqueeze(-1) * scalars.unsqueeze(1).unsqueeze(1)).flatten(2)
            mixed = part.reshape(-1, part.shape[-1]) @ weight.view(-1, out)
            found.append(mixed.view(-1, width, out).transpose(1, 2).flatten(1) if width > 1 else mixed)
        return torch.cat(found, dim=-1) if len(found) > 1 else found[0]


def _start(instruction: Any) -> int:
    return int(instruction.i_in if hasattr(instruction, "i_in") else instruction.i_in1)


def _count(instruction: Any) -> int:
    count = 1
    for size in instruction.path_shape:
        count *= int(size)
    return count


def usable_mixing(module: Any) -> bool:
    """Whether `ChannelMixing` can stand in for a module: its paths go through inputs and outputs in order."""
    kind = type(module).__name__
    if kind not in ("Linear", "FullyConnectedTensorProduct") or not hasattr(module, "instructions"):
        return False
    if not module.internal_weights or getattr(module, "bias_numel", False) or not module.instructions:
        return False
    source = module.irreps_in if kind == "Linear" else module.irreps_in1
    if kind != "Linear" and (len(module.irreps_in2) != 1 or module.irreps_in2[0].ir.l != 0):
        return False
    starts = [_start(ins) for ins in module.instructions]
    ends = [ins.i_out for ins in module.instructions]
    return (
        starts == list(range(len(source)))
        and ends == sorted(ends)
        and set(ends) == set(range(len(module.irreps_out)))
        and module.weight.ndim == 1
    )


def usable_harmonics(module: Any) -> bool:
    """Whether `Harmonics` can stand in for a module."""
    return (
        type(module).__name__ == "SphericalHarmonics"
        and getattr(module, "normalize", False)
        and getattr(module, "_is_range_lmax", False)
        and max(module._ls_list) >= 1
    )


def usable_product(module: Any) -> bool:
    """Whether `ChannelProduct` can stand in for a module."""
    if type(module).__name__ != "TensorProduct" or getattr(module, "shared_weights", True):
        return False
    outputs = [ins.i_out for ins in module.instructions]
    return (
        {ins.connection_mode for ins in module.instructions} == {"uvu"}
        and all(ins.has_weight for ins in module.instructions)
        and len({part.mul for part in module.irreps_in1}) == 1
        and all(part.mul == 1 for part in module.irreps_in2)
        and sorted(outputs) == list(range(len(module.irreps_out)))
        and {ins.i_in1 for ins in module.instructions} == set(range(len(module.irreps_in1)))
    )
