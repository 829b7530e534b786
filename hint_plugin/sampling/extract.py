"""The frames of a plan as a file that trains under the plan's budget of Hessians."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from hint_plugin.data import LabelKeys, SamplingPlan, write_frames
from hint_plugin.data.file_io import file_sha256
from hint_plugin.data.labels.levels import LevelCount, has_hessian, without_hessian
from hint_plugin.data.sets.frames import file_kind, iter_frames
from hint_plugin.errors import DataError, OptionsError

KEYS = LabelKeys()


@dataclass(frozen=True)
class Extract:
    """What was written.

    Attributes:
        path: the file.
        frames: in it.
        hessians: frames with a Hessian label in it.
        wanted: frames that the plan wants one for; more than `hessians` if they are not labelled yet.
        mixture: what is to be said where the labels are of several levels, "" otherwise.
    """

    path: str
    frames: int
    hessians: int
    wanted: int
    mixture: str = ""


def check_target(path: Path, inputs: list[Path]) -> None:
    """Raise OptionsError or DataError before the work, not after it."""
    file_kind(path)
    if not path.resolve().parent.is_dir():
        raise OptionsError(f"the folder {path.parent} does not exist. Make it first")
    if any(path.exists() and source.exists() and path.samefile(source) for source in inputs):
        raise OptionsError(f"{path} is input and output. Choose another output")


def extract(plan: SamplingPlan, path: Path, *, keep_all: bool = False) -> Extract:
    """Write the chosen frames; frames that get no Hessian lose the Hessian label that they have.

    Args:
        plan: which.
        path: .xyz, .extxyz, .h5 or .hdf5; appears whole or not at all.
        keep_all: write all frames of the sources, with Hessian labels only where the plan has chosen them: a
            set for training with few Hessians among many energies and forces.

    Raises:
        DataError: a source has changed since the plan was made.
    """
    hessians, levels = 0, LevelCount()

    def frames() -> Iterator[Atoms]:
        nonlocal hessians
        for source, with_hessian, atoms in _everything(plan) if keep_all else _chosen(plan):
            if not with_hessian:
                without_hessian(atoms, KEYS)
            hessians += has_hessian(atoms, KEYS)
            levels.add(atoms, source)
            yield atoms

    written = write_frames(path, frames())
    return Extract(str(path), written, hessians, plan.n_hessians, levels.mixture())


def _chosen(plan: SamplingPlan) -> Iterator[tuple[str, bool, Atoms]]:
    for choice, atoms in plan.frames():
        yield plan.sources[choice.source].path, choice.wanted == "hessian", atoms


def _everything(plan: SamplingPlan) -> Iterator[tuple[str, bool, Atoms]]:
    wanted = {(c.source, c.frame) for c in plan.choices if c.wanted == "hessian"}
    for number, source in enumerate(plan.sources):
        if not Path(source.path).is_file() or file_sha256(Path(source.path)) != source.sha256:
            raise DataError(f"{source.path}: gone, or it has changed since the plan was made. Sample again")
        for index, atoms in enumerate(iter_frames(source.path)):
            yield source.path, (number, index) in wanted, atoms
