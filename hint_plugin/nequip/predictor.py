"""Energies, forces, stresses and exact Hessians of a trained NequIP model, NequIP's own way."""

from __future__ import annotations

import contextlib
import json
import pickle
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from torch import Tensor

from hint_plugin.core.devices import DTYPES, default_dtype, usable_device
from hint_plugin.core.invariance import invariant_hessians
from hint_plugin.core.metrics import Prediction
from hint_plugin.core.out_of_memory import memory_told
from hint_plugin.data.sets.bounded_batches import HESSIAN_BUDGET, batches
from hint_plugin.data.structures.electrons import refuse_unknown_electrons
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.models.registry import architecture_of
from hint_plugin.nequip import versions

#: Endings of what `nequip-train` and `nequip-package` write.
SUFFIXES = (".ckpt", ".nequip.zip")

#: What NequIP and torch raise on other files.
_NOT_A_MODEL = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    KeyError,
    AttributeError,
    AssertionError,
    ValueError,
)


class NequipPredictor:
    """A NequIP model (also Allegro, AlphaNet ...) from a checkpoint or a package.

    Warning: both hold pickled Python objects. Loading them runs code that their author chose; load only files
    whose origin you trust.
    """

    def __init__(
        self,
        path: str | Path,
        device: str = "cpu",
        dtype: str | None = None,
        head: str | None = None,
        batch_size: int = 16,
    ) -> None:
        """Loads the model and freezes its parameters; of a training with EMA, the averaged ones.

        Args:
            path: ``.ckpt`` of `nequip-train` or ``.nequip.zip`` of `nequip-package`.
            device: of torch.
            dtype: the model's own, or None: NequIP fixes it when a model is made.
            head: None; NequIP's models have no heads.
            batch_size: structures in one pass, at most.

        Raises:
            MissingDependencyError: NequIP is not installed.
            DataError: no such file, or it holds no model of NequIP.
            OptionsError: no such device, another dtype, a head, or types that are no elements.
        """
        if head is not None:
            raise OptionsError(f"head {head!r}; a NequIP model has none")
        if batch_size < 1:
            raise OptionsError(f"batch size {batch_size}; wanted at least 1")
        versions.check()
        self.model = load_model(Path(path)).to(usable_device(device)).eval().requires_grad_(False)
        self.device, self.batch_size, self.head, self.heads = device, batch_size, "Default", ["Default"]
        self.architecture = _architecture(self.model)
        facts = self.model.metadata
        self.dtype = DTYPES[facts["model_dtype"]]
        if dtype not in (None, facts["model_dtype"]):
            raise OptionsError(f"dtype {dtype}; this NequIP model is {facts['model_dtype']} for good")
        self.r_max = float(facts["r_max"])
        self.type_names = list(self.model.type_names)
        unknown = [name for name in self.type_names if atomic_numbers.get(name, 0) < 1]
        if unknown:
            raise OptionsError(f"{path}: type {unknown[0]} is no chemical symbol; wanted a type an element")
        self.numbers = [int(atomic_numbers[name]) for name in self.type_names]
        self.training = _training(Path(path))
        self._transforms = _transforms(self.model, self.type_names, self.r_max)

    #: Whether the model is of one dtype for good.
    fixed_dtype = True
    #: Which of "charge" and "multiplicity" the model takes into account.
    electrons: tuple[str, ...] = ()

    def plain_edges(self) -> torch.nn.Module:
        """The model by its edges, see `hint_plugin.nequip.edge_contract`."""
        from hint_plugin.nequip.edge_contract import plain_edges

        return plain_edges(self.model)

    def scripted_edges(self) -> torch.jit.ScriptModule:
        """The same by TorchScript."""
        from hint_plugin.nequip.edge_contract import scripted_edges

        return scripted_edges(self.model)

    def predict(self, frames: Sequence[Atoms], hessian: bool = False) -> Iterator[Prediction]:
        """Predictions in the order of `frames`; with `hessian` also the exact Hessians.

        Raises:
            DataError: a structure has an element that the model was not trained on, or a charge.
        """
        for index, atoms in enumerate(frames):
            self._check_elements(atoms, index)
            refuse_unknown_electrons(atoms, f"structure {index} ({atoms.get_chemical_formula()})")
        for batch in batches(frames, self.batch_size, HESSIAN_BUDGET if hessian else None):
            with memory_told(self.device, [len(atoms) for atoms in batch]):
                predictions = self._predict_batch(batch, hessian)
            yield from predictions

    def _predict_batch(self, frames: Sequence[Atoms], hessian: bool) -> list[Prediction]:
        from nequip.data import AtomicDataDict

        sizes = [len(atoms) for atoms in frames]
        periodic = [bool(atoms.pbc.all()) for atoms in frames]
        with default_dtype(torch.float64), torch.enable_grad():
            data = AtomicDataDict.batched_from_list([self._convert(atoms, any(periodic)) for atoms in frames])
            data = AtomicDataDict.to_(data, self.device)
            output = force_output(self.model)
            positions = data["pos"].requires_grad_(True)
            before, output.training = output.training, hessian  # NequIP keeps the graph of the forces by it
            try:
                out = self.model(data)
            finally:
                output.training = before
            ptr = torch.tensor([0, *sizes]).cumsum(0)
            hessians: list[Tensor | None] = [None] * len(frames)
            if hessian:
                kinds, partly = (
                    [atoms.numbers for atoms in frames],
                    [bool(atoms.pbc.any()) for atoms in frames],
                )
                hessians = list(invariant_hessians(out["forces"], positions, ptr, kinds, partly))
        forces = out["forces"].detach().split(sizes)
        return [
            Prediction(
                energy=float(out["total_energy"][g].detach()),
                forces=_plain(forces[g]),
                stress=_plain(out["stress"][g]) if periodic[g] else None,
                hessian=None if h is None else _plain(h),
            )
            for g, h in enumerate(hessians)
        ]

    def _convert(self, atoms: Atoms, cells: bool) -> dict[str, Tensor]:
        from nequip.data import from_ase

        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        if cells and not bare.cell.rank:  # a batch has cells or has none
            bare.cell = torch.eye(3).mul(1e3).numpy()
        data: dict[str, Tensor] = from_ase(bare)
        for transform in self._transforms:
            data = transform(data)
        return data

    def _check_elements(self, atoms: Atoms, index: int) -> None:
        unknown = sorted(set(atoms.numbers.tolist()) - set(self.numbers))
        if unknown:
            raise DataError(
                f"structure {index} ({atoms.get_chemical_formula()}) has {chemical_symbols[unknown[0]]}; the "
                f"model knows {', '.join(self.type_names)}"
            )


def is_nequip(path: str | Path) -> bool:
    """Whether a file is a checkpoint or a package of NequIP, by its name."""
    return str(path).endswith(SUFFIXES)


def load_model(path: Path) -> Any:
    """The eager model of a file; errors as in `NequipPredictor`."""
    if not path.is_file():
        raise DataError(f"no model file {path}")
    dtype = torch.get_default_dtype()
    # NequIP says what it does on standard output, which belongs to the caller
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        from nequip.model.saved_models.load_utils import load_saved_model
        from nequip.scripts._workflow_utils import get_workflow_state, set_workflow_state
        from nequip.utils.global_state import set_global_state

        state = get_workflow_state()
        try:
            set_global_state()
            set_workflow_state("compile")  # of a model that was trained with Hessians, the plain one
            return load_saved_model(path)
        except _NOT_A_MODEL as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"{path} holds no model of NequIP ({reason})") from error
        finally:
            set_workflow_state(state)
            torch.set_default_dtype(dtype)


def _architecture(model: torch.nn.Module) -> str:
    """ "NequIP", "Allegro", or one of HINT's own; before it is scripted, which changes its parts."""
    own = architecture_of(model)
    if own is not None:
        return own
    names = {type(module).__name__ for module in model.modules()}
    return "Allegro" if "Allegro_Module" in names else "NequIP"


def _training(path: Path) -> dict[str, Any] | None:
    """What a checkpoint says about how it was trained, as plain JSON types; nothing of a package."""
    if path.suffix != ".ckpt":
        return None
    found = torch.load(path, map_location="cpu", weights_only=False)
    info = found["hyper_parameters"]["info_dict"]
    told = {
        "command": "nequip-train",
        "versions": info.get("versions"),
        "data": info.get("data"),
        "model": found["hyper_parameters"].get("model"),
        "loss": found["hyper_parameters"].get("loss"),
        "epochs": found.get("epoch"),
        "steps": found.get("global_step"),
    }
    plain: dict[str, Any] = json.loads(json.dumps(told, default=str))
    return plain


def force_output(model: torch.nn.Module) -> Any:
    """The module that makes a model's forces.

    Raises:
        DataError: there is none.
    """
    from hint_plugin.nequip.products import force_outputs

    found = force_outputs(model)
    if len(found) != 1:
        raise DataError("the model makes no forces: it was built with do_derivatives: false")
    return found[0]


def _transforms(model: Any, type_names: list[str], r_max: float) -> list[Any]:
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
    from nequip.nn.embedding.utils import cutoff_str_to_fulldict

    text = model.metadata.get("per_edge_type_cutoff")
    cutoffs = None if text is None else cutoff_str_to_fulldict(text, type_names)
    return [
        ChemicalSpeciesToAtomTypeMapper(model_type_names=type_names),
        NeighborListTransform(r_max=r_max, per_edge_type_cutoff=cutoffs, type_names=type_names),
    ]


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float64)
