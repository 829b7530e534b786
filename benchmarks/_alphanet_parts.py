"""Parts of the published AlphaNet that ours leaves out or does otherwise, made smooth, one at a time.

    python benchmarks/alphanet_accuracy.py demo-out --parts --trainings hint --seconds 100

Every row is `AlphaNet`, small, with one change; equations after Yin et al. (2025), written anew. Complex
numbers are pairs of reals, and a phase z/|z| is z/sqrt(|z|^2 + eps), which is smooth where z vanishes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from alphanet_accuracy import MODELS, Energies, Entry, Statistics, ours
from torch import Tensor, nn

from hint_plugin.models.alphanet import SIZES, AlphaNet
from hint_plugin.models.alphanet.frames import Frames
from hint_plugin.models.alphanet.layers import Message

SMALL, UNCHANGED = SIZES["small"], MODELS["AlphaNet, small"]
CHI, RANK, EPS = 24, 2, 1e-2


def phase(re: Tensor, im: Tensor) -> tuple[Tensor, Tensor]:
    """z/sqrt(|z|^2 + eps)."""
    scale = (re * re + im * im + EPS).rsqrt()
    return re * scale, im * scale


def low_rank(kernel: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """(P Q^H) z / sqrt(CHI): kernel [E, 4 RANK CHI], z [E, 2 CHI] (real parts, imaginary parts)."""
    p, q = kernel.view(-1, 2, RANK, 2 * CHI).unbind(1)
    (pr, pi), (qr, qi) = p.split(CHI, -1), q.split(CHI, -1)
    zr, zi = z.unsqueeze(1).split(CHI, -1)
    cr = (qr * zr + qi * zi).sum(-1, keepdim=True) / math.sqrt(CHI)
    ci = (qr * zi - qi * zr).sum(-1, keepdim=True) / math.sqrt(CHI)
    return (pr * cr - pi * ci).sum(1), (pr * ci + pi * cr).sum(1)


# Scalarization


class WithoutThird(Frames):
    """Components along e1 only: no frame is needed for them."""

    def forward(self, values: Tensor, unit: Tensor, receivers: Tensor, senders: Tensor, atoms: int) -> Tensor:
        seen = super().forward(values, unit, receivers, senders, atoms)
        first, third = seen.tensor_split([seen.shape[1] - 2 * self.channels], dim=-1)
        return torch.cat([first, torch.zeros_like(third)], dim=-1)


class WithSecond(Frames):
    """Also (S . e2)^2 of both ends. The sum over neighbours is made twice: its time is no argument."""

    def forward(self, values: Tensor, unit: Tensor, receivers: Tensor, senders: Tensor, atoms: int) -> Tensor:
        seen = super().forward(values, unit, receivers, senders, atoms)
        vectors = values[:, : self.channels]
        around = torch.zeros(atoms, 3, self.channels, dtype=unit.dtype)
        around = around.index_add(0, receivers, unit.unsqueeze(-1) * vectors.unsqueeze(1))
        direction = self.direction(around).squeeze(-1).index_select(0, receivers)
        second = torch.linalg.cross(unit, direction).unsqueeze(-1)
        ends = [(around.index_select(0, end) * second).sum(1).square() for end in (receivers, senders)]
        return torch.cat([seen, *ends], dim=-1)


class WithNetworks(Frames):
    """Each channel's components go through one small network and a skip (the published scalarization)."""

    def __init__(self, channels: int, rank: int) -> None:
        super().__init__(channels, rank)
        width = channels // 4
        self.networks = nn.Sequential(nn.Linear(rank + 1, width), nn.SiLU(), nn.Linear(width, rank + 1))

    def forward(self, values: Tensor, unit: Tensor, receivers: Tensor, senders: Tensor, atoms: int) -> Tensor:
        seen = super().forward(values, unit, receivers, senders, atoms)
        each = seen.view(len(seen), self.rank + 1, -1).transpose(1, 2)
        return (each + self.networks(each)).transpose(1, 2).flatten(1)


# Messages


class Carry:
    """What one layer hands to the next beside s and V: phases of the rope, the node state."""

    def __init__(self) -> None:
        self.rope: Tensor | None = None
        self.state: Tensor | None = None


class PublishedMessage(Message):
    """A round of messages with a frame transition, the rope or the node state."""

    def __init__(self, carry: Carry, layer: int, *, transition: bool, rope: bool, state: bool) -> None:
        h = SMALL.channels
        last = layer == SMALL.layers - 1
        super().__init__(h, SMALL.node_width, first=layer == 0, last=last)
        self.carry, self.transition, self.rope, self.state = carry, transition, rope, state
        if transition:
            self.to_complex = nn.Linear(h, 2 * CHI)
            self.from_complex = nn.Linear(2 * CHI, h)
        if rope:
            self.phases = nn.Linear(2 * CHI if transition else h, h)
        if state:
            self.kernel = nn.Linear(h, 4 * RANK * CHI)
            self.readout = nn.Linear(2 * CHI, h, bias=False)

    def forward(
        self, s: Tensor, v: Tensor, filters: Tensor, unit: Tensor, receivers: Tensor, senders: Tensor
    ) -> tuple[Tensor, Tensor]:
        turned = s
        if self.rope and not self.first and self.carry.rope is not None:
            a, b = s.chunk(2, -1)
            c, d = phase(*self.carry.rope.chunk(2, -1))
            turned = torch.cat([a * c - b * d, a * d + b * c], dim=-1)
        arrived = turned
        if self.transition:
            filters, window, kernel = filters.split(
                [filters.shape[1] - 4 * RANK * CHI - 1, 1, 4 * RANK * CHI], -1
            )
            re, im = phase(*low_rank(kernel, self.to_complex(turned).index_select(0, senders)))
            sent = torch.cat([re, im], dim=-1) * window
            arrived = torch.zeros(len(s), 2 * CHI).index_add(0, receivers, sent)
            turned = turned + self.from_complex(arrived)
        if self.rope:
            self.carry.rope = self.phases(arrived)
        s, v = super().forward(turned, v, filters, unit, receivers, senders)
        if self.state:
            q = s.new_ones(len(s), 2 * CHI) if self.first or self.carry.state is None else self.carry.state
            re, im = low_rank(self.kernel(s), q)
            q = torch.cat(phase(*(x + y for x, y in zip(q.split(CHI, -1), (re, im), strict=True))), dim=-1)
            self.carry.state = q
            if self.last:
                s = s + self.readout(q) / CHI
        return s, v


# The rows


def changed(change: Callable[[Any], None]) -> Entry:
    """The small model with one change, trained as the small model is."""

    def make(stats: Statistics, public: Path | None) -> tuple[nn.Module, Energies]:
        model, energies = UNCHANGED.make(stats, public)
        change(model)
        return model, energies

    return replace(UNCHANGED, make=make)


def scalarized(kind: type[Frames], extra: int = 0) -> Entry:
    """With other frames, that say ``extra`` numbers more for an edge."""

    def change(model: AlphaNet) -> None:
        model.frames = kind(SMALL.frame_channels, SMALL.frame_rank)
        old = model.edge_seen
        model.edge_seen = nn.Linear(old.in_features + extra, old.out_features)

    return changed(change)


def messages(**parts: bool) -> Entry:
    """With other messages."""
    options = {"transition": False, "rope": False, "state": False} | parts

    def change(model: AlphaNet) -> None:
        carry = Carry()
        model.messages = nn.ModuleList(
            [PublishedMessage(carry, layer, **options) for layer in range(SMALL.layers)]
        )
        if options["transition"]:
            model.filter_sizes = [size + 4 * RANK * CHI + 1 for size in model.filter_sizes]
            model.filters = nn.Linear(model.filters.in_features, sum(model.filter_sizes), bias=False)

    return changed(change)


def configured(**options: Any) -> Entry:
    """With other options."""
    return replace(UNCHANGED, make=ours("small", **options))


PARTS: dict[str, Entry] = {
    "AlphaNet, small": UNCHANGED,
    "vectors only (rank 1)": configured(frame_rank=1),
    "vectors and rank 2": configured(frame_rank=2),
    "without e3": scalarized(WithoutThird),
    "with (S . e2)^2": scalarized(WithSecond, 2 * SMALL.frame_channels),
    "with networks for components": scalarized(WithNetworks),
    "with frame transition": messages(transition=True),
    "with frame transition and rope": messages(transition=True, rope=True),
    "with rope": messages(rope=True),
    "with node state": messages(state=True),
}
