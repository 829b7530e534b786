"""Hessian-vector products H v of an energy surface, H = d2E/dx dx = -dF/dx.

========== ===========================================================  ==================
symbol     meaning                                                      variable
========== ===========================================================  ==================
x          atomic positions of one structure or of a batch, [n, 3]      ``positions``
F          forces -dE/dx, [n, 3], eV/A                                  ``forces``
v          probes, [K, n, 3]                                            ``probes``
H v        products, [K, n, 3], eV/A^2 (times the unit of v)            ``hvp``
========== ===========================================================  ==================

Structures of a batch do not interact, so H is block diagonal and one pass serves the whole batch. Three ways:

*reverse over reverse*: H v = -d(F . v)/dx, when the forces already carry their graph (a training pass);
*forward over reverse*: H v = d/de grad E(x + e v), for energies made of operations that know forward mode;
*central differences*: H v = [F(x - h v) - F(x + h v)] / 2h, for kernels without a third derivative.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

EnergyFunction = Callable[[Tensor], Tensor]
ForceFunction = Callable[[Tensor], Tensor]

#: Largest displacement of an atom, in A, in a difference of forces. Error of the central difference: about
#: step^2/6 |d4E| + |rounding of F| / step; the two balance near these values (measured in
#: tests/unit/test_core_hvp.py).
DIFFERENCE_STEP = {torch.float64: 1e-3, torch.float32: 1e-2}

#: Atoms times probes in one backward pass: more is no faster on a CPU (benchmarks/hessian_speed.py).
ATOMS_TOGETHER = 600


def hvp_from_forces(
    forces: Tensor, positions: Tensor, probes: Tensor, *, create_graph: bool = True, retain_graph: bool = True
) -> Tensor:
    """H v from forces that carry a graph to ``positions`` (reverse over reverse).

    Args:
        forces: F [n, 3] with a graph (made with ``create_graph=True``).
        positions: the leaf [n, 3] the forces were computed from.
        probes: v [K, n, 3].
        create_graph: keep the graph of H v, to train on it.
        retain_graph: keep the graph of the forces afterwards (always kept with ``create_graph``).

    Returns:
        H v [K, n, 3]; zero where the forces do not depend on the positions (isolated atoms).

    Raises:
        ValueError: the shapes do not fit, or the forces carry no graph.
    """
    if probes.ndim != 3 or probes.shape[1:] != positions.shape or forces.shape != positions.shape:
        raise ValueError(
            f"H v: wanted forces [n, 3], positions [n, 3] and probes [K, n, 3]; got {tuple(forces.shape)}, "
            f"{tuple(positions.shape)} and {tuple(probes.shape)}"
        )
    _wants_graph(forces)
    products = []
    last = probes.shape[0] - 1
    for k, v in enumerate(probes.to(forces.dtype)):
        (product,) = torch.autograd.grad(
            forces,
            positions,
            grad_outputs=-v,
            create_graph=create_graph,
            retain_graph=create_graph or retain_graph or k < last,
            allow_unused=True,
        )
        products.append(torch.zeros_like(positions) if product is None else product)
    return torch.stack(products)


def cubic_products(forces: Tensor, positions: Tensor, probes: Tensor) -> Tensor:
    """D^3E[v, v] = d(v . H v)/dx for v of `probes`, one differentiation more than H v.

    Arguments as those of `hvp_from_forces`, whose graph of the forces is kept; the energy has to be three
    times differentiable.

    Returns:
        [K, n, 3], eV/A^3 times the square of the unit of v.
    """
    found = torch.zeros_like(probes.to(forces.dtype))
    for k, v in enumerate(probes.to(forces.dtype)):
        product = hvp_from_forces(forces, positions, v[None])[0]
        if product.requires_grad:
            (third,) = torch.autograd.grad(
                (product * v).sum(), positions, retain_graph=True, allow_unused=True
            )
            found[k] = 0.0 if third is None else third
    return found


def many_hvps(forces: Tensor, positions: Tensor, probes: Tensor) -> Tensor:
    """H v without graphs, several probes to a backward pass: a fifth to a third faster for molecules.

    Where an operation of the model cannot be batched, one after the other. Not for code that is being traced:
    there sizes would become constants. Arguments and result as those of `hvp_from_forces`, whose graph of the
    forces is kept.
    """
    _wants_graph(forces)
    probes, together = probes.to(forces.dtype), _probes_together(positions)
    products = torch.zeros_like(probes)
    start = 0
    while start < len(probes):
        block = probes[start : start + together]
        batched = len(block) > 1
        try:
            (found,) = torch.autograd.grad(
                forces,
                positions,
                grad_outputs=-(block if batched else block[0]),
                retain_graph=True,
                allow_unused=True,
                is_grads_batched=batched,
            )
        except RuntimeError as error:
            if not batched or isinstance(error, torch.OutOfMemoryError):
                raise
            together = 1
            continue
        if found is not None:
            products[start : start + len(block)] = found
        start += len(block)
    return products


def _probes_together(positions: Tensor) -> int:
    """How many probes share a backward pass."""
    return max(1, ATOMS_TOGETHER // max(1, positions.shape[0]))


def _wants_graph(forces: Tensor) -> None:
    if not forces.requires_grad:
        raise ValueError(
            "H v: the forces carry no graph; compute them with create_graph=True (training=True)"
        )


def hvp_from_energy(
    energy: EnergyFunction,
    positions: Tensor,
    probes: Tensor,
    *,
    mode: str = "reverse",
    create_graph: bool = False,
) -> Tensor:
    """H v of an energy function, by reverse over reverse or forward over reverse.

    Args:
        energy: positions [n, 3] -> energies of any shape; their sum is differentiated.
        positions: x [n, 3].
        probes: v [K, n, 3].
        mode: ``"reverse"`` works with everything autograd knows; ``"forward"`` (jvp of the gradient) needs
            forward derivatives of every operation, uses one graph for H v and is the cheaper one for many
            probes.
        create_graph: keep the graph of H v.

    Returns:
        H v [K, n, 3].

    Raises:
        ValueError: unknown ``mode``.
    """
    if mode == "reverse":
        leaf = positions.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(energy(leaf).sum(), leaf, create_graph=True)
        return hvp_from_forces(-gradient, leaf, probes, create_graph=create_graph, retain_graph=False)
    if mode != "forward":
        raise ValueError(f"H v: unknown mode {mode!r}; wanted 'reverse' or 'forward'")
    gradient_of = torch.func.grad(lambda x: energy(x).sum())
    with torch.set_grad_enabled(create_graph):
        products = [torch.func.jvp(gradient_of, (positions,), (v,))[1] for v in probes.to(positions.dtype)]
    return torch.stack(products)


def difference_scale(probes: Tensor, ptr: Tensor | None, step: float) -> Tensor:
    """The h of each probe and structure, [K, n, 1]: a structure's farthest-moving atom moves by ``step``."""
    lengths = torch.linalg.vector_norm(probes, dim=-1)
    if ptr is None:
        ptr = torch.tensor([0, probes.shape[1]], device=probes.device)
    counts = ptr[1:] - ptr[:-1]
    owner = torch.repeat_interleave(
        torch.arange(len(counts), device=probes.device), counts, output_size=probes.shape[1]
    )
    largest = torch.zeros((probes.shape[0], len(counts)), dtype=probes.dtype, device=probes.device)
    largest.scatter_reduce_(1, owner.expand_as(lengths), lengths, reduce="amax")
    h = step / largest.clamp_min(torch.finfo(probes.dtype).tiny)
    return h[:, owner].unsqueeze(-1)


def hvp_by_difference(
    forces: ForceFunction,
    positions: Tensor,
    probes: Tensor,
    *,
    step: float | None = None,
    ptr: Tensor | None = None,
) -> Tensor:
    """H v = [F(x - h v) - F(x + h v)] / 2h by central differences of forces.

    Args:
        forces: positions [n, 3] -> F [n, 3]; the result carries whatever graph these carry.
        positions: x [n, 3].
        probes: v [K, n, 3]. h is chosen for each structure so that its farthest-moving atom moves by
            ``step``.
        step: in A; default `DIFFERENCE_STEP` of the dtype.
        ptr: [G + 1] offsets of the structures (default: one structure).

    Returns:
        H v [K, n, 3], with an error of order step^2.
    """
    step = DIFFERENCE_STEP[positions.dtype] if step is None else step
    probes = probes.to(positions.dtype)
    h = difference_scale(probes, ptr, step)
    products = [
        (forces(positions - h_k * v) - forces(positions + h_k * v)) / (2 * h_k)
        for v, h_k in zip(probes, h, strict=True)
    ]
    return torch.stack(products)


def hessians_from_forces(forces: Tensor, positions: Tensor, ptr: Tensor) -> list[Tensor]:
    """All Hessians of a batch from one graph.

    Structures do not couple, so column j of every structure comes from the same probe: 3 max(N) probes for
    the whole batch.

    Args:
        forces: F [n, 3] with a graph to ``positions``.
        positions: leaf [n, 3].
        ptr: [G + 1], offsets of the structures.

    Returns:
        one detached [3N_g, 3N_g] a structure, as differentiated (not symmetrised), eV/A^2.
    """
    starts = [int(p) for p in ptr]
    sizes = [3 * (b - a) for a, b in zip(starts[:-1], starts[1:], strict=True)]
    out = [torch.empty((s, s), dtype=forces.dtype, device=forces.device) for s in sizes]
    columns, together = max(sizes, default=0), _probes_together(positions)
    for first in range(0, columns, together):
        block = range(first, min(first + together, columns))
        probes = forces.new_zeros((len(block), *forces.shape))
        flat = probes.view(len(block), -1)
        for g, size in enumerate(sizes):
            own = range(first, min(first + together, size))
            flat[range(len(own)), [3 * starts[g] + column for column in own]] = 1.0
        products = many_hvps(forces, positions, probes).flatten(1)
        for g, size in enumerate(sizes):
            own = range(first, min(first + together, size))
            part = products[: len(own), 3 * starts[g] : 3 * starts[g] + size]
            out[g][:, own.start : own.start + len(own)] = part.T
    return out
