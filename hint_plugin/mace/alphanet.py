"""AlphaNet in MACE's place: `mace_run_train --model AlphaNet`, `mace_eval_configs`, `MACECalculator`.

`AlphaNetForMACE` wraps the plain model (`hint_plugin.models.alphanet`) in the attributes and the ``forward``
that MACE expects of a model; the functions below are what `mace.patches` puts in the place of MACE's
own when ``--model AlphaNet`` is asked for.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from typing import Any, Optional

import numpy as np
import torch
from e3nn.util.jit import compile_mode
from mace import modules
from mace.modules.blocks import AtomicEnergiesBlock
from mace.modules.utils import get_outputs, prepare_graph
from torch import Tensor

from hint_plugin.core.devices import default_dtype
from hint_plugin.errors import OptionsError
from hint_plugin.mace.alphanet_options import config_from_arguments
from hint_plugin.models.alphanet import AlphaNet, AlphaNetConfig


class _Neighbours(torch.nn.Module):
    """MACE reads the average number of neighbours of a foundation model from its first interaction."""

    def __init__(self, avg_num_neighbors: float) -> None:
        super().__init__()
        self.avg_num_neighbors = float(avg_num_neighbors)


@compile_mode("script")
class AlphaNetForMACE(torch.nn.Module):
    """An `AlphaNet` that is called like a ``ScaleShiftMACE`` and answers like one.

    Args:
        potential: the plain model, whose E0s are left at zero: here they are MACE's.
        atomic_energies: E0 of each element, eV, [elements] or [1, elements].
        heads: names; exactly one.

    Raises:
        OptionsError: several heads.
    """

    def __init__(
        self, potential: AlphaNet, atomic_energies: np.ndarray, heads: list[str] | None = None
    ) -> None:
        super().__init__()
        heads = list(heads or ["Default"])
        if len(heads) != 1:
            raise OptionsError(
                f"AlphaNet has one head; got {', '.join(heads)}. Train one head, or use --model MACE"
            )
        self.potential = potential
        self.heads = heads
        self.atomic_energies_fn = AtomicEnergiesBlock(np.atleast_2d(np.asarray(atomic_energies, dtype=float)))
        self.interactions = torch.nn.ModuleList([_Neighbours(potential.average_neighbours)])
        dtype = torch.get_default_dtype()
        self.register_buffer("r_max", torch.tensor(potential.cutoff, dtype=dtype))
        self.register_buffer("atomic_numbers", potential.atomic_numbers.clone())
        self.register_buffer("num_interactions", torch.tensor(potential.hops))

    def forward(
        self,
        data: dict[str, Tensor],
        training: bool = False,
        compute_force: bool = True,
        compute_virials: bool = False,
        compute_stress: bool = False,
        compute_displacement: bool = False,
        compute_hessian: bool = False,
        compute_edge_forces: bool = False,
        compute_atomic_stresses: bool = False,
        lammps_mliap: bool = False,
    ) -> dict[str, Optional[Tensor]]:  # noqa: UP045  (TorchScript)
        """MACE's batch -> energy [G], forces [N, 3], and what else is asked for, in eV and A."""
        if compute_atomic_stresses or lammps_mliap:
            raise ValueError("AlphaNet: no atomic stresses and no ML-IAP interface")
        graph = prepare_graph(
            data,
            compute_virials=compute_virials,
            compute_stress=compute_stress,
            compute_displacement=compute_displacement,
            lammps_mliap=False,
        )
        edges = data["edge_index"]  # MACE's vectors run from the first row to the second
        species = data["node_attrs"].argmax(dim=-1)
        node_energy = self.potential.node_energies(graph.vectors, edges[0], edges[1], species)
        node_e0 = self.atomic_energies_fn(data["node_attrs"])[:, 0]
        wide = node_energy.dtype if node_energy.device.type == "mps" else torch.float64  # it has no float64
        zeros = torch.zeros(graph.num_graphs, dtype=node_energy.dtype, device=node_energy.device)
        interaction = zeros.index_add(0, data["batch"], node_energy)
        e0 = zeros.index_add(0, data["batch"], node_e0.to(zeros.dtype))
        forces, virials, stress, hessian, edge_forces = get_outputs(
            energy=interaction,
            positions=graph.positions,
            displacement=graph.displacement,
            vectors=graph.vectors,
            cell=graph.cell,
            training=training,
            compute_force=compute_force,
            compute_virials=compute_virials,
            compute_stress=compute_stress,
            compute_hessian=compute_hessian,
            compute_edge_forces=compute_edge_forces,
        )
        return {
            "energy": e0 + interaction,
            "node_energy": node_e0.to(wide) + node_energy.to(wide),
            "interaction_energy": interaction,
            "forces": forces,
            "edge_forces": edge_forces,
            "virials": virials,
            "stress": stress,
            "hessian": hessian,
            "displacement": graph.displacement,
        }


def configure_model(
    args: argparse.Namespace,
    train_loader: Any,
    atomic_energies: np.ndarray,
    model_foundation: torch.nn.Module | None = None,
    heads: list[str] | None = None,
    z_table: Any = None,
    head_configs: Any = None,
) -> tuple[torch.nn.Module, dict[str, bool]]:
    """MACE's function of this name for ``--model AlphaNet``: (model, what is computed in training).

    Raises:
        OptionsError: a foundation model that is not an AlphaNet or lacks an element, or several heads.
    """
    virials = args.loss == "virials"
    stress = args.loss in ("stress", "huber", "universal")
    args.compute_virials, args.compute_stress = virials, stress
    if (virials or stress) and args.error_table in ("PerAtomRMSE", "PerAtomMAE", "TotalRMSE", "TotalMAE"):
        args.error_table = f"PerAtom{'RMSE' if 'RMSE' in args.error_table else 'MAE'}stressvirials"
    if args.scaling == "no_scaling":
        args.mean, args.std = 0.0, 1.0
    elif args.mean is None or args.std is None:
        args.mean, args.std = modules.scaling_classes[args.scaling](train_loader, atomic_energies)
    scale, shift = float(np.mean(args.std)), float(np.mean(args.mean))
    if model_foundation is None:
        config = config_from_arguments(args)
        potential = AlphaNet(
            z_table.zs, config, average_neighbours=float(args.avg_num_neighbors), scale=scale, shift=shift
        )
    else:
        potential = from_foundation(model_foundation, z_table.zs)
        config = AlphaNetConfig(**potential.config)
    model = AlphaNetForMACE(potential, atomic_energies, heads)
    logging.info(
        f"AlphaNet: {config.layers} layers of {config.channels} channels, cutoff {config.cutoff} A, "
        f"receptive field {config.hops} hops, repulsion {'on' if config.repulsion else 'off'}; "
        f"scale {float(potential.scale):.4f} eV, shift {float(potential.shift):.4f} eV"
    )
    outputs = {
        "energy": True,
        "forces": bool(args.compute_forces),
        "virials": virials,
        "stress": stress,
        "dipoles": False,
        "polarizabilities": False,
    }
    return model, outputs


def from_foundation(foundation: torch.nn.Module, numbers: list[int]) -> AlphaNet:
    """A copy of a trained AlphaNet for the elements of new data: sizes, weights, scale and shift are kept.

    Raises:
        OptionsError: the foundation model is of another architecture, or does not know an element.
    """
    if not isinstance(foundation, AlphaNetForMACE):
        raise OptionsError(
            f"--foundation_model holds a {type(foundation).__name__}; "
            "--model AlphaNet can go on from an AlphaNet only"
        )
    trained = foundation.potential
    known = trained.atomic_numbers.tolist()
    missing = [z for z in numbers if z not in known]
    if missing:
        raise OptionsError(
            f"--foundation_model knows the elements {known}; the data have {missing} as well. "
            "Pre-train with them"
        )
    chosen = torch.tensor([known.index(z) for z in numbers])
    fresh = AlphaNet(
        numbers,
        AlphaNetConfig(**trained.config),
        average_neighbours=trained.average_neighbours,
        scale=float(trained.scale),
        shift=float(trained.shift),
    )
    state = fresh.state_dict()
    for name, tensor in trained.state_dict().items():
        if name in ("atomic_numbers", "element_index", "atomic_energies"):
            continue
        rows = name.split(".")[0] in _BY_ELEMENT and not name.endswith(("weights", "decays"))
        state[name] = (tensor[chosen.to(tensor.device)] if rows else tensor).to(state[name])
    fresh.load_state_dict(state)
    return fresh


#: Modules of `AlphaNet` whose tensors have a row for each element.
_BY_ELEMENT = ("around_values", "edge_receiver", "edge_sender", "element", "neighbour", "repulsion")


def parameter_options(
    original: Callable[..., Any], args: argparse.Namespace, model: torch.nn.Module
) -> dict[str, Any]:
    """MACE's ``get_params_options``; an AlphaNet's matrices decay, everything else does not."""
    if not isinstance(model, AlphaNetForMACE):
        found: dict[str, Any] = original(args, model)
        return found
    linear = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Linear)}
    decay = [p for p in model.parameters() if id(p) in linear]
    others = [p for p in model.parameters() if id(p) not in linear]
    return {
        "params": [
            {"name": "matrices", "params": decay, "weight_decay": args.weight_decay, "lr": args.lr},
            {"name": "others", "params": others, "weight_decay": 0.0, "lr": args.lr},
        ],
        "lr": args.lr,
        "amsgrad": args.amsgrad,
        "betas": (args.beta, 0.999),
    }


def in_place(model: Any) -> AlphaNetForMACE | None:
    """A model that is plain or in MACE's place as one in MACE's place; None: neither."""
    if isinstance(model, AlphaNetForMACE):
        return model
    if not isinstance(model, AlphaNet):
        return None
    with default_dtype(model.atomic_energies.dtype):
        return AlphaNetForMACE(model, model.atomic_energies.cpu().numpy())


def edges(model: AlphaNetForMACE) -> torch.nn.Module:
    """The model by its edges, see `hint_plugin.mace.edge_contract`."""
    from hint_plugin.mace.alphanet_edges import AlphaNetEdges  # e3nn must come after MACE

    return AlphaNetEdges(model)
