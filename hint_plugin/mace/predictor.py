"""Energies, forces, stresses and exact Hessians of a trained MACE model, in batches of bounded memory."""

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
from ase.data import chemical_symbols
from torch import Tensor

from hint_plugin.core.devices import DTYPES, default_dtype, usable_device
from hint_plugin.core.invariance import invariant_hessians
from hint_plugin.core.metrics import Prediction
from hint_plugin.core.out_of_memory import memory_told
from hint_plugin.data.sets.bounded_batches import HESSIAN_BUDGET, batches
from hint_plugin.data.structures.electrons import known_electrons, refuse_unknown_electrons
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.mace import kernels
from hint_plugin.mace.architectures import in_place_of_mace
from hint_plugin.models.registry import architecture_of
from hint_plugin.optional import wanted


class MacePredictor:
    """A MACE model from a `.model` file.

    Forces keep their graph, so that 3 N_max backward passes through ONE forward pass give the exact Hessians
    of a whole batch: its structures do not couple (`hint_plugin.core.hvp.hessians_from_forces`).

    Warning: a `.model` file is a pickled Python object. Loading it runs code that its author chose, before
    anything can be checked; load only files whose origin you trust. `import mace` turns off torch's own guard
    (it sets TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD for the process).
    """

    def __init__(
        self,
        path: str | Path,
        device: str = "cpu",
        dtype: str | None = None,
        head: str | None = None,
        batch_size: int = 16,
    ) -> None:
        """Loads the model and freezes its parameters.

        Args:
            path: `.model` file, as written by `mace_run_train`, or an `AlphaNet` saved by `torch.save`.
            device: of torch, "cpu" or "cuda".
            dtype: "float32" or "float64"; None keeps the model's own. Upcasting a float32 model takes the
                rounding of the derivatives away (1e-3 eV/A^2 and less), not the one of its parameters.
            head: of a multihead model; None means the only one, or the one named "default".
            batch_size: structures in one forward pass, at most.

        Raises:
            MissingDependencyError: MACE is not installed.
            DataError: the file does not exist or holds no MACE energy model.
            OptionsError: no such device, dtype or head, or a head must be chosen.
        """
        if batch_size < 1:
            raise OptionsError(f"batch size {batch_size}; wanted at least 1")
        if dtype is not None and dtype not in DTYPES:
            raise OptionsError(f"dtype {dtype!r}; wanted one of {', '.join(DTYPES)}")
        model = load_model(Path(path), usable_device(device))
        self.dtype = DTYPES[dtype] if dtype else next(model.parameters()).dtype
        self.model = model.to(self.dtype).eval().requires_grad_(False)
        self.device = device
        self.batch_size = batch_size
        self.r_max = float(model.get_buffer("r_max"))
        self.heads = list(getattr(model, "heads", None) or ["Default"])
        self.head = _choose_head(self.heads, head)
        self.numbers = model.get_buffer("atomic_numbers").tolist()

    #: Whether the model is of one dtype for good.
    fixed_dtype = False

    @property
    def architecture(self) -> str:
        """ "MACE", or one of HINT's own in its place."""
        return architecture_of(self.model) or "MACE"

    @property
    def electrons(self) -> tuple[str, ...]:
        """Which of "charge" and "multiplicity" the model takes into account: those that it embeds."""
        embedded = getattr(self.model, "embedding_specs", None) or {}
        names = {"charge": "total_charge", "multiplicity": "total_spin"}
        return tuple(name for name, key in names.items() if key in embedded)

    @property
    def training(self) -> dict[str, Any] | None:
        """How HINT trained it, if it did."""
        found = getattr(self.model, "hint_training", None)
        return json.loads(found) if found else None

    def plain_edges(self) -> torch.nn.Module:
        """The model by its edges, see `hint_plugin.mace.edge_contract`."""
        from hint_plugin.mace.edge_contract import plain_edges  # e3nn must come after MACE

        return plain_edges(self.model, self.head)

    def scripted_edges(self) -> torch.jit.ScriptModule:
        """The same by TorchScript; changes parts of the model."""
        from hint_plugin.mace.edge_contract import scripted_edges

        return scripted_edges(self.model, self.head)

    def predict(self, frames: Sequence[Atoms], hessian: bool = False) -> Iterator[Prediction]:
        """Predictions in the order of `frames`; memory is that of one batch.

        Args:
            frames: structures with elements that the model knows; their labels are not looked at.
            hessian: also the exact Hessians.

        Raises:
            DataError: a structure has an element that the model was not trained on, or a charge or
                multiplicity that it does not know.
        """
        for index, atoms in enumerate(frames):
            self._check_elements(atoms, index)
            refuse_unknown_electrons(
                atoms, f"structure {index} ({atoms.get_chemical_formula()})", self.electrons
            )
        budget = HESSIAN_BUDGET if hessian else None
        replaced = kernels.replacements(self.model) if hessian else {}
        for batch in batches(frames, self.batch_size, budget):
            with kernels.in_place(replaced), memory_told(self.device, [len(atoms) for atoms in batch]):
                predictions = self._predict_batch(batch, hessian)
            yield from predictions

    def _predict_batch(self, frames: Sequence[Atoms], hessian: bool) -> list[Prediction]:
        periodic = [bool(atoms.pbc.all()) for atoms in frames]
        with default_dtype(self.dtype), torch.enable_grad():
            data = self._batch(frames)
            positions, ptr = data["positions"], data["ptr"]
            out = self.model(data, training=hessian, compute_stress=any(periodic))
            hessians: list[Tensor | None] = [None] * len(frames)
            if hessian:
                hessians = list(_hessians(frames, out["forces"], positions, ptr))
        energies = out["energy"].detach()
        forces = out["forces"].detach().split([len(atoms) for atoms in frames])
        return [
            Prediction(
                energy=float(energies[g]),
                forces=_plain(forces[g]),
                stress=_plain(out["stress"][g]) if periodic[g] else None,
                hessian=None if h is None else _plain(h),
            )
            for g, h in enumerate(hessians)
        ]

    def _batch(self, frames: Sequence[Atoms]) -> dict[str, Tensor]:
        from mace.data import AtomicData, KeySpecification, config_from_atoms
        from mace.tools import AtomicNumberTable, torch_geometric

        keys = KeySpecification.from_defaults()
        for label in ("energy", "forces", "stress", "virials", "dipole", "polarizability", "charges"):
            keys.info_keys.pop(label, None)
            keys.arrays_keys.pop(label, None)
        table = AtomicNumberTable(self.numbers)
        if self.electrons:
            frames = [_with_electrons(atoms) for atoms in frames]
        data = [
            AtomicData.from_config(
                config_from_atoms(atoms, key_specification=keys, head_name=self.head),
                z_table=table,
                cutoff=self.r_max,
                heads=self.heads,
            )
            for atoms in frames
        ]
        return torch_geometric.Batch.from_data_list(data).to(self.device).to_dict()

    def _check_elements(self, atoms: Atoms, index: int) -> None:
        unknown = sorted(set(atoms.numbers.tolist()) - set(self.numbers))
        if unknown:
            raise DataError(
                f"structure {index} ({atoms.get_chemical_formula()}) has {chemical_symbols[unknown[0]]}; the "
                f"model knows {', '.join(chemical_symbols[z] for z in self.numbers)}"
            )


def _with_electrons(atoms: Atoms) -> Atoms:
    """A copy that states its electrons under MACE's keys, whatever keys it has."""
    stated, found = known_electrons(atoms.info), atoms.copy()
    for key, value in zip(("total_charge", "total_spin"), stated, strict=True):
        if value is not None:
            found.info[key] = value
    return found


def load_model(path: Path, device: str | torch.device = "cpu") -> torch.nn.Module:
    """Unpickles a MACE energy model; errors and the warning as in `MacePredictor`."""
    # MACE prints on import that it lacks accelerators; standard output belongs to the caller
    absent = (
        f"{path} looks like a model of MACE, which is not installed: pip install '.[mace]' in HINT's folder"
    )
    with (
        wanted("mace", message=absent),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(sys.stderr),
    ):
        warnings.filterwarnings("ignore", message="Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
        import mace  # noqa: F401  (before e3nn, whose constants need the variable that it sets)
        from mace.modules.models import MACE
    if not path.is_file():
        raise DataError(f"no model file {path}")
    try:
        model: Any = torch.load(path, map_location=device, weights_only=False)
    except ModuleNotFoundError as error:  # other errors of imports are no fault of the file
        raise DataError(
            f"{path} needs the Python module {error.name}, which is not here: install what the model was "
            "made with, in its version"
        ) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is not a model that torch can load ({reason})") from error
    if isinstance(model, MACE):
        return model
    architecture = in_place_of_mace(model)
    in_place = None if architecture is None else architecture.function("in_place")(model)
    if in_place is not None:
        return in_place.to(device)
    hint = (
        "; a checkpoint holds weights only, pass the .model file beside it" if isinstance(model, dict) else ""
    )
    raise DataError(f"{path} holds a {type(model).__name__}, not a MACE energy model{hint}")


def _hessians(frames: Sequence[Atoms], forces: Tensor, positions: Tensor, ptr: Tensor) -> list[Tensor]:
    if forces.requires_grad:
        kinds, periodic = [atoms.numbers for atoms in frames], [bool(atoms.pbc.any()) for atoms in frames]
        return invariant_hessians(forces, positions, ptr, kinds, periodic)
    sizes = (3 * (ptr[1:] - ptr[:-1])).tolist()  # nothing but lone atoms: no edge, no graph, no curvature
    return [forces.new_zeros(n, n) for n in sizes]


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().double()  # in this order: not every device has float64


def _choose_head(heads: list[str], wanted: str | None) -> str:
    if wanted is None:
        named = heads if len(heads) == 1 else [head for head in heads if head.lower() == "default"]
        if not named:
            raise OptionsError(f"the model has the heads {', '.join(heads)}: choose one with --head")
        return named[0]
    if wanted not in heads:
        raise OptionsError(f"no head {wanted!r} in the model; it has {', '.join(heads)}")
    return wanted
