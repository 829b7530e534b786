"""Whatever file a trained potential is in, ready to predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hint_plugin.artifact.metadata import is_artifact
from hint_plugin.errors import OptionsError
from hint_plugin.potentials.artifact_potential import Potential
from hint_plugin.pretrained import CHECKPOINT, or_path


def load_predictor(
    path: Path,
    *,
    device: str = "cpu",
    dtype: str | None = None,
    head: str | None = None,
    batch_size: int = 16,
) -> Any:
    """A `Potential` for an artifact, for anything else what `load_checkpoint` finds; errors as theirs.

    `path` may be the name of a model that comes with HINT.
    """
    path = or_path(Path(path))
    if not is_artifact(path):
        return load_checkpoint(path, device=device, dtype=dtype, head=head, batch_size=batch_size)
    potential = Potential(path, device=device, dtype=dtype, batch_size=batch_size)
    if head not in (None, potential.head):
        raise OptionsError(
            f"{path} was exported with {'one head' if potential.head is None else 'head ' + potential.head}; "
            f"export head {head} to a file of its own"
        )
    return potential


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
