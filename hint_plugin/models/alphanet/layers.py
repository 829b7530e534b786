"""One round of messages between atoms that hold scalars s and vectors V."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Norm(nn.Module):
    """n(s) = g s / sqrt(mean(s^2) + eps) + b over the channels of an atom (root-mean-square normalisation).

    Written out: the third derivative of PyTorch's own `layer_norm` is wrong, without a word (torch 2.13).
    """

    def __init__(self, channels: int, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, s: Tensor) -> Tensor:
        """[N, H] -> [N, H]."""
        return s * ((s * s).mean(-1, keepdim=True) + self.eps).rsqrt() * self.gain + self.bias


class Message(nn.Module):
    """Scalars and vectors of the neighbours, filtered by what is known about the edge.

        (x, y, z)_j = MLP(n(s_j)),    (f, g, h)_ij: the edge's filters, which vanish at the cutoff

        s_i <- s_i + sum_j x_j f_ij,    V_i <- V_i + sum_j (V_j y_j g_ij + u_ij z_j h_ij)

    then both are mixed at each atom, A, B = linear maps of V over channels:

        (p, q, r) = MLP(s, |B|^2),    s <- s + p + q (A . B),    V <- V + r A

    Squares of vectors only, no norms: smooth also where a vector vanishes. The first layer has no V yet,
    hence no y and g; the last one needs none any more, hence no r.

    Args:
        channels: H.
        width: of the hidden layers, in H.
        first, last: of the layers.
    """

    def __init__(self, channels: int, width: int, *, first: bool, last: bool) -> None:
        super().__init__()
        self.channels, self.first, self.last = channels, first, last
        hidden = width * channels
        self.norm = Norm(channels)
        self.send = nn.Sequential(
            nn.Linear(channels, hidden), nn.SiLU(), nn.Linear(hidden, (2 if first else 3) * channels)
        )
        self.mix = nn.Linear(channels, 2 * channels, bias=False)
        self.update = nn.Sequential(
            nn.Linear(2 * channels, hidden), nn.SiLU(), nn.Linear(hidden, (2 if last else 3) * channels)
        )

    def forward(
        self, s: Tensor, v: Tensor, filters: Tensor, unit: Tensor, receivers: Tensor, senders: Tensor
    ) -> tuple[Tensor, Tensor]:
        """s [N, H], V [N, 3, H], filters [E, 2 H or 3 H], unit [E, 3] -> new s, V."""
        h = self.channels
        sent = self.send(self.norm(s)).index_select(0, senders) * filters
        if self.first:
            x, z = sent.split(h, dim=-1)
            moved = unit.unsqueeze(-1) * z.unsqueeze(1)
        else:
            x, z, y = sent.split(h, dim=-1)
            moved = unit.unsqueeze(-1) * z.unsqueeze(1) + v.index_select(0, senders) * y.unsqueeze(1)
        # Onto zeros: s.index_add(...) is compiled wrongly, without a word, by AOTInductor (torch 2.13).
        s = s + torch.zeros_like(s).index_add(0, receivers, x)
        v = v + torch.zeros_like(v).index_add(0, receivers, moved)

        both = self.mix(v).view(-1, 3, 2, h)
        products = (both * both[:, :, 1:]).sum(1)  # A . B, |B|^2
        mixed = self.update(torch.cat([s, products[:, 1]], dim=-1))
        if self.last:
            p, q = mixed.split(h, dim=-1)
            return s + p + q * products[:, 0], v
        p, q, r = mixed.split(h, dim=-1)
        return s + p + q * products[:, 0], v + r.unsqueeze(1) * both[:, :, 0]
