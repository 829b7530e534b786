"""MACE models, and HINT's in MACE's place, by the edge contract of `hint_plugin.artifact.contract`."""

import warnings
from typing import Any

import torch
from e3nn import get_optimization_defaults, set_optimization_defaults
from e3nn.util.jit import compile_mode, script
from torch import Tensor

from hint_plugin.core.devices import default_dtype
from hint_plugin.errors import DataError
from hint_plugin.mace.architectures import in_place_of_mace
from hint_plugin.mace.kernels.products import Harmonics, usable_harmonics


@compile_mode("script")
class MaceEdges(torch.nn.Module):
    """Energies of the atoms by a MACE model.

    MACE sums over the edges that end in an atom, with r_end - r_start: here, over (j, i) with -r_ij. All
    atoms sit at the origin and the vectors are its shifts.
    """

    def __init__(self, model: Any, head: int) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("head", torch.tensor([head]))
        self.elements = len(model.atomic_numbers)

    def forward(self, vectors: Tensor, edge_index: Tensor, species: Tensor) -> Tensor:
        """r_ij [E, 3], (i, j) [2, E], species [N] -> [N], float64, eV."""
        count = species.numel()
        data = {
            "positions": torch.zeros(count, 3, dtype=vectors.dtype, device=vectors.device),
            "shifts": -vectors,
            "unit_shifts": torch.zeros_like(vectors),
            "cell": torch.zeros(3, 3, dtype=vectors.dtype, device=vectors.device),
            "edge_index": edge_index.flip(0),
            "node_attrs": torch.nn.functional.one_hot(species, self.elements).to(vectors.dtype),
            "batch": torch.zeros_like(species),
            "ptr": torch.zeros(2, dtype=species.dtype, device=species.device),  # one graph
            "head": self.head,
        }
        out = self.model(data, training=False, compute_force=False)
        energies = out["node_energy"]
        assert energies is not None
        return energies.double()


def _edges(model: Any, head: str) -> torch.nn.Module:
    architecture = in_place_of_mace(model)
    if architecture is not None:
        found: torch.nn.Module = architecture.function("edges")(model).eval()
        return found
    return MaceEdges(model, list(getattr(model, "heads", None) or ["Default"]).index(head)).eval()


def scripted_edges(model: Any, head: str) -> torch.jit.ScriptModule:
    """The model by its edges, compiled by TorchScript; parameters no longer ask for gradients."""
    with warnings.catch_warnings():  # TorchScript's, about annotations within MACE and its own future
        warnings.simplefilter("ignore")
        found: torch.jit.ScriptModule = script(_edges(model, head).requires_grad_(False))
    return found


def plain_edges(model: Any, head: str) -> torch.nn.Module:
    """The model by its edges in plain Python, as tracers want it.

    e3nn compiles parts of a MACE model by TorchScript when it is made: the model is made again without that.

    Raises:
        DataError: MACE cannot say how this model was made.
    """
    if in_place_of_mace(model) is not None:
        return _edges(model, head).requires_grad_(False)
    from mace.tools.scripts_utils import extract_config_mace_model

    config = extract_config_mace_model(model)
    if "error" in config:
        raise DataError(f"--aoti: {config['error']} (it is {type(model).__name__})")
    before = get_optimization_defaults()["jit_script_fx"]
    set_optimization_defaults(jit_script_fx=False)
    try:
        with warnings.catch_warnings(), default_dtype(next(model.parameters()).dtype):
            warnings.simplefilter("ignore")
            again = type(model)(**config)
    finally:
        set_optimization_defaults(jit_script_fx=before)
    again.load_state_dict(model.state_dict())
    for module in again.modules():
        if usable_harmonics(module):  # e3nn's own are a TorchScript function, whatever its settings
            module.__dict__["forward"] = Harmonics(module)
    return _edges(again, head).requires_grad_(False)
