"""The frames that are sampled from: how many, of which elements and formulas, with which energies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data import Choice, LabelKeys, Source, iter_frames
from hint_plugin.data.labels.frame_labels import frame_labels
from hint_plugin.data.sets.patterns import each_once
from hint_plugin.data.sets.sampling_plan import Wanted
from hint_plugin.errors import DataError, LabelError, OptionsError

Report = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0: not known)."""


@dataclass(frozen=True)
class Population:
    """What one pass through the files has found; frames are numbered through all files.

    Attributes:
        sources: the files.
        formulas: the different formulas (Hill order).
        formula: [frames], index into `formulas`.
        n_atoms: [frames].
        energies: [frames], eV, NaN where a frame has none; None if they were not asked for.
        elements: atomic numbers that occur, ascending.
    """

    sources: tuple[Source, ...]
    formulas: tuple[str, ...]
    formula: NDArray[np.int64]
    n_atoms: NDArray[np.int64]
    energies: NDArray[np.float64] | None
    elements: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.formula)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """[files + 1]: the number of the first frame of each file, and of all frames."""
        return np.cumsum([0, *(source.frames for source in self.sources)])

    def place(self, number: int) -> tuple[int, int]:
        """(file, frame in it) of a frame."""
        source = int(np.searchsorted(self.offsets, number, side="right")) - 1
        return source, int(number - self.offsets[source])

    def name(self, number: int) -> str:
        """How an error calls a frame."""
        source, frame = self.place(number)
        return f"{self.sources[source].path}, frame {frame} ({self.formulas[self.formula[number]]})"

    def choice(self, number: int, wanted: Wanted, reason: str, score: float | None) -> Choice:
        """The plan's entry of a frame."""
        return Choice(*self.place(number), wanted, reason, score)

    def frames(self) -> Iterator[Atoms]:
        """All frames, in order, in constant memory."""
        for source in self.sources:
            yield from iter_frames(source.path)


def survey(
    paths: Sequence[str | Path], energy_key: str | None = None, report: Report | None = None
) -> Population:
    """Read all files once.

    Args:
        paths: files of frames; each counts once, in the order given.
        energy_key: where the energies are, in `atoms.info`; "energy" is what ASE's own reader makes of that
            key. None: not needed.
        report: told how many frames are read.

    Raises:
        DataError: a file cannot be read, or has no frames.
        OptionsError: no file, or the same one twice.
    """
    if not paths:
        raise OptionsError("no input")
    each_once(paths)
    sources: list[Source] = []
    formula: list[int] = []
    n_atoms: list[int] = []
    energies: list[float] = []
    known: dict[str, int] = {}
    elements: set[int] = set()
    for path in paths:
        before = len(formula)
        for atoms in iter_frames(path):
            if len(atoms) == 0:
                raise DataError(f"{path}, frame {len(formula) - before}: no atoms")
            formula.append(known.setdefault(atoms.get_chemical_formula(), len(known)))
            n_atoms.append(len(atoms))
            elements.update(atoms.numbers.tolist())
            if energy_key is not None:
                energies.append(_energy(atoms, energy_key))
            if report and len(formula) % 100 == 0:
                report("reading", len(formula), 0)
        if len(formula) == before:
            raise DataError(f"{path}: no frames")
        sources.append(Source.of(path, len(formula) - before))
    return Population(
        tuple(sources),
        tuple(known),
        np.array(formula),
        np.array(n_atoms),
        np.array(energies) if energy_key is not None else None,
        tuple(sorted(elements)),
    )


def _energy(atoms: Atoms, key: str) -> float:
    try:
        found = frame_labels(atoms, LabelKeys(energy=key)).energy
    except LabelError:
        found = None
    return float("nan") if found is None else found
