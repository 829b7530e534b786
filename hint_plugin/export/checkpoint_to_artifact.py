"""`hint export`: from a trained checkpoint to an artifact that was compared with it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from hint_plugin import pretrained
from hint_plugin.artifact.compiled import write_compiled
from hint_plugin.artifact.contract import EdgeContract
from hint_plugin.artifact.domain import TrainingDomain, TrainingDomainWarning
from hint_plugin.artifact.metadata import Metadata, read_metadata
from hint_plugin.artifact.scripted import write_artifact
from hint_plugin.artifact.trained_on import of_training
from hint_plugin.data import iter_frames
from hint_plugin.data.labels.frame_labels import frame_labels
from hint_plugin.data.provenance import provenance
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.export.check_structures import check_frames
from hint_plugin.export.hops import measure_hops
from hint_plugin.potentials.artifact_potential import Potential
from hint_plugin.potentials.checkpoints import load_checkpoint

TOLERANCE = {"float64": 1e-10, "float32": 5e-6}
"""Differences that are rounding, relative to 10 eV/A + the largest force (and likewise for the others)."""


def export(
    checkpoint: str | Path,
    output: str | Path,
    *,
    head: str | None = None,
    dtype: str | None = None,
    frames: Sequence[Atoms] = (),
    aoti: bool = False,
    training_set: Sequence[str | Path] = (),
) -> Metadata:
    """Writes the artifact of a checkpoint.

    Energies, forces and stresses of the artifact, as read back from the disk, are compared with those of the
    checkpoint, computed its own way, on `check_frames` and on `frames`.

    Args:
        checkpoint: ``.model`` of ``mace_run_train`` (MACE or AlphaNet), a pickled `AlphaNet`, ``.ckpt`` of
            ``nequip-train`` or ``.nequip.zip`` of ``nequip-package``; or the name of a model that comes with
            HINT. Pickles: use only those you trust.
        output: of the artifact, replaced if it exists.
        head: of a multihead model.
        dtype: "float32" or "float64"; None keeps the checkpoint's.
        frames: more structures to compare on.
        aoti: also write the contract compiled by AOTInductor for this processor, to `compiled_path`.
        training_set: files of frames with labels, whose elements, distances and forces go into the artifact,
            so that its users are told when a structure is outside of them; by default those that a model
            of HINT's own knows.

    Returns:
        the metadata written.

    Raises:
        DataError: not a model, one that cannot be exported, or the artifact differs: nothing is written.
        OptionsError: the head or dtype cannot be chosen, or the output is the checkpoint.
        MissingDependencyError: the framework of the checkpoint, or a compiler, is not installed.
    """
    checkpoint, output = Path(checkpoint), Path(output)
    name = str(checkpoint)
    ready = pretrained.path_of(name) if name in pretrained.names() and not checkpoint.exists() else None
    checkpoint = pretrained.or_path(checkpoint, pretrained.CHECKPOINT)
    if output.exists() and checkpoint.exists() and output.samefile(checkpoint):
        raise OptionsError(f"{output} is the checkpoint; choose another name for the artifact")
    if not output.parent.is_dir():
        raise OptionsError(f"{output.parent} is no folder; make it first")
    reference = load_checkpoint(checkpoint, dtype=dtype, head=head)
    model: Any = reference.model
    sets = [Path(file) for file in training_set]
    # plain ones first: scripting changes parts of a MACE model
    plain = reference.plain_edges() if aoti else None
    edges = reference.scripted_edges()
    species = tuple(chemical_symbols[z] for z in reference.numbers)
    metadata = Metadata(
        architecture=reference.architecture,
        species=species,
        cutoff=reference.r_max,
        hops=measure_hops(EdgeContract(edges, {}), reference.r_max, len(species), reference.dtype),
        dtype=str(reference.dtype).removeprefix("torch."),
        parameters=sum(p.numel() for p in model.parameters()),
        head=reference.head if len(reference.heads) > 1 else None,
        fixed_dtype=reference.fixed_dtype,
        provenance=provenance(checkpoint, sets, training=_without(reference.training, "trained_on")),
        trained_on=of_training(reference.training),
        training_domain=_domain(sets, reference.r_max, ready),
    )
    contract = EdgeContract(edges, metadata.facts())
    structures = [*check_frames(species, metadata.cutoff), *frames]

    def verify(path: Path) -> dict[str, float]:
        with warnings.catch_warnings():  # the structures of the check are outside on purpose
            warnings.simplefilter("ignore", TrainingDomainWarning)
            return compare(reference, Potential(path, trust=True), structures)

    if plain is not None:  # the slower and more fragile part first: the artifact is there only if both are
        write_compiled(plain, metadata, compiled_path(output), verify)
    return write_artifact(contract, metadata, output, verify)


def _without(training: dict[str, Any] | None, name: str) -> dict[str, Any] | None:
    return None if training is None else {key: value for key, value in training.items() if key != name}


def _domain(sets: Sequence[Path], cutoff: float, ready: Path | None) -> dict[str, Any] | None:
    """What the training set says; or what the artifact of the same model says; or nothing."""
    if sets:
        pairs = ((atoms, frame_labels(atoms).forces) for path in sets for atoms in iter_frames(path))
        found = TrainingDomain.of(pairs, cutoff)
        if not found.frames:
            raise DataError(f"no frames in {', '.join(map(str, sets))}; wanted the training set")
        return found.as_dict()
    return read_metadata(ready).training_domain if ready else None


def compiled_path(artifact: Path) -> Path:
    """``model.hint.pt2`` for ``model.hint.pt``."""
    return artifact.with_suffix(".pt2")


def compare(reference: Any, potential: Potential, frames: Sequence[Atoms]) -> dict[str, float]:
    """Largest differences of the artifact to the checkpoint.

    Raises:
        DataError: one of them is more than rounding.
    """
    tolerance = TOLERANCE[potential.metadata.dtype]
    largest = {"frames": len(frames), "energy_per_atom": 0.0, "forces": 0.0, "stress": 0.0}
    pairs = zip(reference.predict(frames), potential.predict(frames), strict=True)
    for number, (atoms, (wanted, found)) in enumerate(zip(frames, pairs, strict=True)):
        scale = 10.0 + float(wanted.forces.abs().max()) if len(atoms) else 10.0
        differences = {
            "energy_per_atom": (abs(found.energy - wanted.energy) / len(atoms), scale + abs(wanted.energy)),
            "forces": (float((found.forces - wanted.forces).abs().max()), scale),
        }
        if wanted.stress is not None and found.stress is not None:
            volume = atoms.cell.volume / len(atoms)
            differences["stress"] = (
                float((found.stress - wanted.stress).abs().max()),
                10 * scale / volume,
            )
        for quantity, (difference, size) in differences.items():
            if not np.isfinite(difference) or difference > tolerance * size:
                raise DataError(
                    f"the artifact differs from the checkpoint: {quantity} of check structure {number} "
                    f"({atoms.get_chemical_formula()}) by {difference:.2g} (allowed {tolerance * size:.2g}). "
                    "Nothing was written. This is a defect of HINT: please report it with the checkpoint"
                )
            largest[quantity] = max(largest[quantity], difference)
    return largest
