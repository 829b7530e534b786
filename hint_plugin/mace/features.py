"""Invariant node features of a trained MACE model, averaged over the atoms of a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from hint_plugin.core.devices import default_dtype
from hint_plugin.data.file_io import file_sha256
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.mace.predictor import MacePredictor


class MaceFeatures:
    """Mean over atoms of the scalars of all layers, as a featurizer of `hint_plugin.sampling`.

    Warning: a `.model` file is a pickle; load only files whose origin you trust.

    Args:
        path: `.model` file of a MACE energy model.
        elements: atomic numbers that will occur.
        device: of torch.
        batch_size: structures in one forward pass.

    Raises:
        DataError: no MACE model with node features, or it does not know an element.
        OptionsError: no such device.
    """

    def __init__(
        self, path: Path, elements: Sequence[int], *, device: str = "cpu", batch_size: int = 16
    ) -> None:
        self.path, self.device, self.batch_size = Path(path), device, batch_size
        model: Any = self._predictor().model
        unknown = sorted(set(elements) - set(model.get_buffer("atomic_numbers").tolist()))
        if unknown:
            names = ", ".join(chemical_symbols[z] for z in unknown)
            raise DataError(
                f"{path}: the model does not know {names}; sample by SOAP, or without these frames"
            )
        if not hasattr(model, "products"):
            raise OptionsError(f"{path}: {type(model).__name__} has no node features to sample by; use SOAP")
        # each layer's features begin with its scalars
        parts, start = [], 0
        for product in model.products:
            irreps = product.linear.irreps_out
            parts += list(range(start, start + irreps.count("0e")))
            start += irreps.dim
        self.columns = parts
        self.dimension = len(parts)
        self.sha256 = file_sha256(self.path)

    def identity(self) -> dict[str, Any]:
        """What the features depend on."""
        return {
            "features": "mace",
            "model": self.path.name,
            "model_sha256": self.sha256,
            "device": self.device,
            "mace-torch": metadata.version("mace-torch"),
        }

    def setup(self) -> Callable[[Sequence[Atoms]], NDArray[np.float32]]:
        """Load the model; returns the function from frames to [frames, dimension]."""
        predictor = self._predictor()

        def compute(frames: Sequence[Atoms]) -> NDArray[np.float32]:
            rows = np.empty((len(frames), self.dimension), dtype=np.float32)
            for start in range(0, len(frames), self.batch_size):
                some = frames[start : start + self.batch_size]
                with default_dtype(predictor.dtype), torch.no_grad():
                    batch = predictor._batch(some)
                    out = predictor.model(batch, compute_force=False)["node_feats"][:, self.columns]
                means = [part.mean(dim=0) for part in out.split([len(atoms) for atoms in some])]
                rows[start : start + len(some)] = torch.stack(means).cpu().numpy()
            return rows

        return compute

    def _predictor(self) -> MacePredictor:
        return MacePredictor(self.path, device=self.device, batch_size=self.batch_size)
