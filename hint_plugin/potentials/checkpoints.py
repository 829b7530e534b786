"""Trained models in their framework as potentials: what `mace_run_train` and `nequip-train` leave behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.artifact.metadata import is_artifact
from hint_plugin.core.metrics import Prediction
from hint_plugin.data.file_io import file_sha256
from hint_plugin.errors import OptionsError
from hint_plugin.potentials.artifact_potential import ArtifactPotential
from hint_plugin.potentials.potential import BasePotential, Evaluation
from hint_plugin.pretrained import CHECKPOINT, or_path


class CheckpointPotential(BasePotential):
    """A model by the code of its own framework; Hessians are exact, products go by way of them.

    Attributes:
        framework: `MacePredictor` or `NequipPredictor`, which hold the model.
        training: what the model says of its training; None if nothing.
    """

    def __init__(self, path: Path, framework: Any) -> None:
        self.path, self.method, self.framework = path, path.name, framework
        self.electrons = tuple(framework.electrons)
        self.head: str | None = framework.head
        self.dtype: torch.dtype = framework.dtype
        self.training: dict[str, Any] | None = framework.training

    def predict(self, frames: Sequence[Atoms], hessian: bool = False) -> Iterator[Prediction]:
        """See `Potential.predict`; in batches of bounded memory."""
        yield from self.framework.predict(frames, hessian=hessian)

    def evaluate(self, frames: Sequence[Atoms]) -> list[Evaluation]:
        """See `Potential.evaluate`."""
        return [
            Evaluation(
                energy=float(found.energy),
                forces=found.forces.numpy(),
                stress=None if found.stress is None else found.stress.numpy(),
            )
            for found in self.predict(frames)
        ]

    def hessian(self, atoms: Atoms) -> NDArray:
        """See `Potential.hessian`; exact."""
        (found,) = self.predict([atoms], hessian=True)
        assert found.hessian is not None
        return np.asarray(found.hessian)

    def provenance(self, atoms: Atoms | None = None) -> dict[str, Any]:
        """The file, its hash, the precision, the head."""
        found = {"engine": "model", "method": self.method, "model_sha256": file_sha256(self.path)}
        found["dtype"] = str(self.dtype).removeprefix("torch.")
        return {**found, "head": self.head} if self.head else found


def load_trained(
    path: Path,
    *,
    device: str = "cpu",
    dtype: str | None = None,
    head: str | None = None,
    batch_size: int = 16,
) -> ArtifactPotential | CheckpointPotential:
    """The potential of a trained model: an artifact, or a checkpoint of MACE or NequIP.

    Args:
        path: of the file; or the name of a model that comes with HINT.
        device: of torch.
        dtype: "float32" or "float64"; None keeps the model's own.
        head: of a multihead model.
        batch_size: structures in one pass, at most.

    Raises:
        DataError, UnknownVersionError, OptionsError, MissingDependencyError: see `load_artifact`,
            `MacePredictor`, `NequipPredictor`.
    """
    path = or_path(Path(path))
    if not is_artifact(path):
        found = load_checkpoint(path, device=device, dtype=dtype, head=head, batch_size=batch_size)
        return CheckpointPotential(or_path(path, CHECKPOINT), found)
    potential = ArtifactPotential(path, device=device, dtype=dtype, batch_size=batch_size)
    if head not in (None, potential.head):
        raise OptionsError(
            f"{path} was exported with {'one head' if potential.head is None else 'head ' + potential.head}; "
            f"export head {head} to a file of its own"
        )
    return potential


#: Its name in version 0.1.
load_predictor = load_trained


def load_checkpoint(path: Path, **options: Any) -> Any:
    """A trained model in its framework: `NequipPredictor` or `MacePredictor`, by the name of the file.

    `path` may be the name of a model that comes with HINT.
    """
    path = or_path(Path(path), CHECKPOINT)
    from hint_plugin.nequip.predictor import NequipPredictor, is_nequip

    if is_nequip(path):
        return NequipPredictor(path, **options)
    from hint_plugin.mace.predictor import MacePredictor

    return MacePredictor(path, **options)
