"""Models that want more memory than any machine has, and what torch says of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

ALLOCATOR = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 240000000000000 bytes."
SAID = {
    "TorchScript": (
        "The following operation failed in the TorchScript interpreter.\n"
        "Traceback of TorchScript (most recent call last):\n    return torch.zeros([100])\n"
        "           ~~~~~~~~~~~ <--- HERE\n"
        f"RuntimeError: {ALLOCATOR}"
    ),
    "AOTInductor": (
        f"[enforce fail at alloc_cpu.cpp:127] err == 0. {ALLOCATOR} Error code 12 (Cannot allocate memory)\n"
        "frame #0: c10::ThrowEnforceNotMet(char const*, int, char const*) + 0x6a (0x7fb76f in libc10.so)"
    ),
    "AOTInductor on std::cerr": "Error: std::bad_alloc",
    "CUDA": "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1 GiB",
    "C++": "std::bad_alloc",
}
"""By kind, as torch 2.13 says it."""


class Greedy(nn.Module):
    """By TorchScript."""

    def forward(self, vectors: Tensor, edge_index: Tensor, species: Tensor) -> Tensor:
        """Nothing comes of it."""
        return torch.zeros([1000000000000000], dtype=torch.float64)[: len(species)] + vectors.sum()


class Hungry(nn.Module):
    """By AOTInductor, which keeps for itself what it can compute in passing: a sorted list it cannot."""

    def forward(self, vectors: Tensor, edge_index: Tensor, species: Tensor) -> Tensor:
        """Nothing comes of it."""
        pairs = vectors.square().sum(1)
        much = torch.sort(pairs[:1].expand(10**13 * species.shape[0]))[0]
        return pairs.new_zeros(species.shape[0]).index_add(0, edge_index[0], pairs) + 0.0 * much[0]
