"""HINT's kernels for MACE: the same numbers by operations whose higher derivatives are cheap on a CPU.

They stand in for parts of a model while it is trained, with the model's own parameters: the state_dict is the
same and the saved model is MACE's own. On a GPU MACE's code is left alone.

=================== ================================================================= ==============
`PairContraction`   symmetric contractions of correlation order 3                     contraction.py
`ChannelProduct`    tensor products of node features and spherical harmonics          products.py
`ChannelMixing`     linear layers, also those with weights for each element           products.py
`Harmonics`         spherical harmonics                                               products.py
=================== ================================================================= ==============

Layer normalisations (in MACE's non-linear interaction blocks) are written out as well, on every device and
whatever the options: the third derivative of PyTorch's `layer_norm` is wrong, silently (torch 2.13,
pytorch/pytorch#175754), so that parameters before one would get wrong gradients from a Hessian loss.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from hint_plugin.mace.kernels.contraction import PairContraction, usable_contraction
from hint_plugin.mace.kernels.products import (
    ChannelMixing,
    ChannelProduct,
    Harmonics,
    usable_harmonics,
    usable_mixing,
    usable_product,
)

Kernel = Callable[..., Tensor]

#: (whether it can stand in for a module, the kernel)
KERNELS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Kernel]], ...] = (
    (usable_contraction, PairContraction),
    (usable_product, ChannelProduct),
    (usable_mixing, ChannelMixing),
    (usable_harmonics, Harmonics),
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
    """Within the block, HINT's kernels evaluate what they can of the model; yields how many parts these are.

    `PlainLayerNorm` evaluates its layer normalisations in any case.
    """
    chosen = replacements(model) if kind == "fast" else {}
    if chosen:
        logging.info(f"HINT: {len(chosen)} parts of MACE by kernels of its own (off: --hint_kernels mace)")
    norms = {m: PlainLayerNorm(m) for m in model.modules() if type(m) is torch.nn.LayerNorm}
    with in_place(chosen | norms):
        yield len(chosen)


@contextmanager
def in_place(kernels: Mapping[torch.nn.Module, Kernel]) -> Iterator[None]:
    """Within the block, each module is evaluated by its kernel."""
    try:
        for module, kernel in kernels.items():
            module.__dict__["forward"] = kernel
        yield
    finally:
        for module in kernels:
            module.__dict__.pop("forward", None)


def replacements(model: torch.nn.Module) -> dict[torch.nn.Module, Kernel]:
    """Kernels for all parts of a model that have one; none if it is not on a CPU."""
    if any(p.device.type != "cpu" for p in model.parameters()):
        return {}
    found: dict[torch.nn.Module, Kernel] = {}
    for module in model.modules():
        for usable, kernel in KERNELS:
            if usable(module):
                found[module] = kernel(module)
                break
    return found
