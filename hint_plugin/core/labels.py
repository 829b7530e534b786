"""The Hessian labels of a batch as tensors, and the reference products they give.

A label knows either some columns of a structure's Hessian (*full*: all of them; *rows*: those of some atoms,
which are rows as well, the matrix being symmetric) or pairs (v, H v) (*projected*). The first kind answers
any probe on the atoms it knows; the second brings its own probes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hint_plugin.core.losses import LossMode
from hint_plugin.core.probes import structure_generator

#: The step number of the fixed probes of validation; training counts from 0.
VALIDATION_STEP = -1


@dataclass(frozen=True)
class StructureLabel:
    """The label of one structure of N atoms.

    Attributes:
        n_atoms: N.
        rows: [3m, 3N], H[3a:3a+3, :] for the m atoms a of ``atoms``; None for pairs. A structure with neither
            rows nor pairs is not labelled: its probes are zero, so that it can stay in a batch with others.
        atoms: [m].
        probes, hvp: [K, N, 3] pairs; None for rows.
        key: names the structure in the random stream.
    """

    n_atoms: int
    rows: Tensor | None = None
    atoms: Tensor | None = None
    probes: Tensor | None = None
    hvp: Tensor | None = None
    key: int = 0

    @property
    def labelled(self) -> bool:
        """Whether there is anything to compare with."""
        return self.rows is not None or self.probes is not None

    @property
    def full(self) -> bool:
        """Whether all columns are known."""
        return self.rows is not None and len(self.rows) == 3 * self.n_atoms

    def answer(self, probes: Tensor) -> Tensor:
        """H_ref v [K, N, 3] for probes [K, N, 3] that live on ``atoms``: the known columns, H[:, A] v_A."""
        assert self.rows is not None and self.atoms is not None
        known = probes[:, self.atoms].reshape(probes.shape[0], -1)
        return (known @ self.rows).reshape(-1, self.n_atoms, 3)

    def draw(self, mode: LossMode, count: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Probes and reference products of one step, both [K, N, 3] on the label's device."""
        if self.probes is not None and self.hvp is not None:
            return self._draw_pairs(mode, count, seed, step)
        if self.rows is None:
            nothing = torch.zeros((1, self.n_atoms, 3))
            return nothing, nothing
        assert self.atoms is not None
        generator = structure_generator(seed, step, self.key)
        probes = mode.draw(count, self.n_atoms, self.atoms.cpu(), generator).to(self.rows)
        return probes, self.answer(probes)

    def _draw_pairs(self, mode: LossMode, count: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """``count`` of the label's own pairs, chosen anew each step; all of them where the mode takes all."""
        assert self.probes is not None and self.hvp is not None
        stored = self.probes.shape[0]
        if mode.all_columns or count >= stored:
            return self.probes, self.hvp
        generator = structure_generator(seed, step, self.key)
        chosen = torch.randperm(stored, generator=generator)[:count].to(self.probes.device)
        return self.probes[chosen], self.hvp[chosen]


def draw_batch(
    labels: list[StructureLabel], mode: LossMode, count: int, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """Probes and reference products of a batch, [K, n, 3] each, K the largest number any structure needs.

    Structures with fewer probes are filled up with zeros, which the loss does not count.
    """
    drawn = [label.draw(mode, count, seed, step) for label in labels]
    like = next((r for label, (_, r) in zip(labels, drawn, strict=True) if label.labelled), drawn[0][1])
    largest = max(p.shape[0] for p, _ in drawn)

    def fill(x: Tensor) -> Tensor:
        x = x.to(like)
        return (
            x if x.shape[0] == largest else torch.cat([x, x.new_zeros((largest - x.shape[0], *x.shape[1:]))])
        )

    return torch.cat([fill(p) for p, _ in drawn], dim=1), torch.cat([fill(r) for _, r in drawn], dim=1)
