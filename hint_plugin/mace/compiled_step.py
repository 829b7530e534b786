"""Energies, forces and H v of a training step as one compiled function (``--hint_compile yes``).

A step of AlphaNet on small molecules is thousands of operations on small tensors, and most of its time goes
into calling them. `torch.compile` cannot see through the derivatives within a step. So the whole evaluation
is traced first: E, F = -dE/dx, the virials, and H v = -d(F . v)/dx for the probes v of this step become one
graph of plain operations, in which derivatives are operations like others (`make_fx`). TorchInductor compiles
it, and its derivative with respect to the parameters, once for all numbers of atoms, edges and structures.

The compiled function is compared with the model itself before it is used: energies, forces, H v, and the
gradient of all of them with respect to the parameters.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from hint_plugin.core.losses import EvaluatedBatch, LossMode
from hint_plugin.errors import HintError, OptionsError
from hint_plugin.mace.alphanet import AlphaNetForMACE

#: Largest relative difference between what is compiled and the model, by precision.
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}

#: Numbers of probes for which something is compiled; batches with other numbers are evaluated as they are.
MOST_VARIANTS = 4


class Inputs(NamedTuple):
    """Of the compiled function: a batch of G structures, n atoms, E edges.

    Attributes:
        positions: [n, 3].
        shifts: [E, 3], A; of a cell that is strained, in units of the cell.
        edges: [2, E]; vectors go from the first row to the second.
        species: [n].
        owner: [n], structure of each atom.
        strain: [G, 3, 3] of zeros.
        cell: [G, 3, 3].
        probes: v [K, n, 3]; None for no products.
    """

    positions: Tensor
    shifts: Tensor
    edges: Tensor
    species: Tensor
    owner: Tensor
    strain: Tensor
    cell: Tensor
    probes: Tensor | None


class Evaluated(NamedTuple):
    """What the compiled function gives, as `core.losses.Evaluated` and more.

    Attributes:
        node_energy: [n].
        energy: [G], of the interaction.
        forces: [n, 3].
        virials: dE/d strain [G, 3, 3]; zero where they were not asked for.
        products: H v [K, n, 3].
    """

    node_energy: Tensor
    energy: Tensor
    forces: Tensor
    virials: Tensor
    products: Tensor


class CompiledStep:
    """A model's evaluation in training, compiled.

    Args:
        model: an AlphaNet; its parameters are used as they are, wherever the optimiser takes them.
        mode: how H v is made; analytic.
        backend: of `torch.compile`.

    Raises:
        OptionsError: a model or a mode that cannot be compiled.
    """

    def __init__(self, model: torch.nn.Module, mode: LossMode, backend: str = "inductor") -> None:
        if not isinstance(model, AlphaNetForMACE):
            raise OptionsError(
                f"--hint_compile yes works with --model AlphaNet, and this is a {type(model).__name__}; "
                "leave it out"
            )
        if not mode.analytic or mode.all_columns:
            raise OptionsError(
                f"--hint_compile yes does not work with --loss hint_{mode.name}; it is for hint_hutchinson "
                "and hint_column"
            )
        self._model, self._mode, self._backend = model, mode, backend
        self._made: dict[tuple[int, bool], Callable[..., Any]] = {}

    def __call__(
        self, batch: dict[str, Any], probes: Tensor | None, kwargs: dict[str, Any]
    ) -> tuple[dict[str, Any], Tensor | None] | None:
        """What MACE's model returns for a batch, and H v [K, n, 3] where there are probes.

        None where the batch has a size for which nothing is compiled: evaluate the model itself.

        Raises:
            HintError: what was compiled is not the model.
        """
        inputs, strained = inputs_of(batch, probes, kwargs), _strained(kwargs)
        key = (0 if probes is None else len(probes), strained)
        if _sizes(inputs)[-1] < 2 or (key not in self._made and not self._can_make(inputs)):
            return None
        if key not in self._made:
            self._make(key, inputs)
        found = Evaluated(*self._made[key](*inputs))
        return self._as_mace(batch, found, kwargs), None if probes is None else found.products

    def _can_make(self, inputs: Inputs) -> bool:
        """Sizes that are all different, from each other and from 3: a trace takes equal ones for one."""
        sizes = _sizes(inputs)
        fixed = {0, 1, 2, 3, 0 if inputs.probes is None else len(inputs.probes)}
        return len(self._made) < MOST_VARIANTS and len(set(sizes)) == 3 and not fixed & set(sizes)

    def _evaluate(self, strained: bool, *given: Any) -> Evaluated:
        """The function that is compiled."""
        x = Inputs(*given)
        positions, strain = (t.detach().requires_grad_(True) for t in (x.positions, x.strain))
        moved, shifts, i, j = positions, x.shifts, x.edges[0], x.edges[1]
        if strained:
            symmetric = 0.5 * (strain + strain.transpose(-1, -2))
            moved = positions + torch.einsum("be,bec->bc", positions, symmetric[x.owner])
            cell = x.cell + torch.matmul(x.cell, symmetric)
            shifts = torch.einsum("be,bec->bc", x.shifts, cell[x.owner[i]])
        nodes = self._model.potential.node_energies(moved[j] - moved[i] + shifts, i, j, x.species)
        energy = x.strain[:, 0, 0].to(nodes.dtype).index_add(0, x.owner, nodes)
        wanted = [positions, strain] if strained else [positions]
        gradients = torch.autograd.grad(energy.sum(), wanted, create_graph=True)
        virials = gradients[1] if strained else x.strain
        forces = -gradients[0]
        products = forces.new_zeros((0,))
        if x.probes is not None:
            at = EvaluatedBatch(forces, positions, _no_forces)
            products = self._mode.products(at, x.probes, create_graph=True)
        return Evaluated(nodes, energy, forces, virials, products)

    def _make(self, key: tuple[int, bool], inputs: Inputs) -> None:
        start, strained = time.monotonic(), key[1]
        logging.info("HINT: compiling the training step; this takes minutes, once")
        function = compiled(lambda *given: self._evaluate(strained, *given), inputs, self._backend)
        difference = compare(
            self._model, lambda: self._evaluate(strained, *inputs), lambda: function(*inputs)
        )
        tolerance = TOLERANCE[inputs.positions.dtype]
        if not difference < tolerance:  # NaN, too
            raise HintError(
                f"--hint_compile: the compiled step is not the model: largest relative difference "
                f"{difference:.1e}, wanted less than {tolerance:g}. Train without --hint_compile"
            )
        self._made[key] = function
        what = f"with {key[0]} products H v" if key[0] else "without products H v"
        logging.info(
            f"HINT: compiled a training step {what} in {time.monotonic() - start:.0f} s; energies, forces, "
            f"H v and gradients agree with the model's to {difference:.0e}"
        )

    def _as_mace(self, batch: dict[str, Any], x: Evaluated, kwargs: dict[str, Any]) -> dict[str, Any]:
        """As `AlphaNetForMACE.forward` returns it."""
        e0 = self._model.atomic_energies_fn(batch["node_attrs"])[:, 0]
        energy = torch.zeros_like(x.energy).index_add(0, batch["batch"], e0.to(x.energy.dtype)) + x.energy
        virials = stress = None
        if _strained(kwargs):
            virials, stress = -x.virials, torch.zeros_like(x.virials)
        if kwargs.get("compute_stress"):
            volume = torch.linalg.det(batch["cell"].view(-1, 3, 3)).abs().view(-1, 1, 1)
            stress = x.virials / volume
            stress = torch.where(stress.abs() < 1e10, stress, torch.zeros_like(stress))
        return {
            "energy": energy,
            "node_energy": (e0.double() + x.node_energy.double()),
            "interaction_energy": x.energy,
            "forces": x.forces,
            "virials": virials,
            "stress": stress,
            **dict.fromkeys(("edge_forces", "hessian", "displacement")),
        }


def inputs_of(batch: dict[str, Any], probes: Tensor | None, kwargs: dict[str, Any]) -> Inputs:
    """Of MACE's batch."""
    positions, graphs = batch["positions"].detach(), batch["ptr"].numel() - 1
    cell = batch["cell"].view(-1, 3, 3)
    shifts = batch["unit_shifts"] if _strained(kwargs) else batch["shifts"]
    zeros = positions.new_zeros((graphs, 3, 3))
    species = batch["node_attrs"].argmax(dim=-1)
    return Inputs(positions, shifts, batch["edge_index"], species, batch["batch"], zeros, cell, probes)


def compiled(function: Callable[..., Any], inputs: Inputs, backend: str = "inductor") -> Callable[..., Any]:
    """The function traced with its derivatives and compiled, for all sizes of a batch."""
    torch._functorch.config.donated_buffer = False  # a loss may go back through the graph twice
    graph = make_fx(function, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*inputs)
    for node in list(graph.graph.nodes):  # autograd's, of what it saves: they would end the parameters' graph
        if node.op == "call_function" and node.target == torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    for tensor, axis in zip(inputs, (0, 0, 1, 0, 0, 0, 0, 1), strict=True):
        if tensor is not None:
            torch._dynamo.mark_dynamic(tensor, axis)
    return torch.compile(graph, fullgraph=True, backend=backend)


def compare(model: torch.nn.Module, first: Callable[[], Any], second: Callable[[], Any]) -> float:
    """The largest difference of outputs and of gradients to the parameters, relative to the largest value."""
    found = []
    for function in (first, second):
        outputs = [tensor for tensor in function() if tensor.requires_grad]
        total = torch.stack([tensor.square().sum() for tensor in outputs]).sum()
        gradients = torch.autograd.grad(total, list(model.parameters()), allow_unused=True)
        found.append([t.detach() for t in (*outputs, *gradients) if t is not None])
    if len(found[0]) != len(found[1]):
        return float("inf")
    worst = [
        float((a - b).abs().max() / a.abs().max().clamp_min(1e-12))
        for a, b in zip(*found, strict=True)
        if a.numel() and float(a.abs().max()) > 0
    ]
    return max(worst, default=float("nan"))


def _sizes(inputs: Inputs) -> tuple[int, int, int]:
    """Edges, atoms, structures: E >= n >= G wherever anything is near anything."""
    return inputs.edges.shape[1], len(inputs.positions), len(inputs.strain)


def _strained(kwargs: dict[str, Any]) -> bool:
    return bool(kwargs.get("compute_virials") or kwargs.get("compute_stress"))


def _no_forces(positions: Tensor) -> Tensor:
    raise NotImplementedError("analytic modes ask for no other forces")
