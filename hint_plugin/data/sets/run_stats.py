"""What `hint dataset stats` does: what is in a set, in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data.outputs import a_file, a_folder, as_path, record
from hint_plugin.data.provenance import run_provenance
from hint_plugin.data.sets.frames import iter_frames
from hint_plugin.data.sets.mace_statistics import MaceStatistics
from hint_plugin.data.sets.patterns import each_once, expand
from hint_plugin.data.sets.run_options import Inputs, Report, several, silent
from hint_plugin.data.sets.statistics import Statistics, gather
from hint_plugin.data.sets.statistics_plots import plot_statistics, prepare
from hint_plugin.errors import DataError


@dataclass(frozen=True)
class StatsResult:
    """What is in a set.

    Attributes:
        statistics: sizes, elements, labels, energies, forces, Hessians, noise, distances.
        inputs: the files.
        about: what goes with them: `mace_statistics`, `provenance`, `plots`, as far as they are made.
    """

    statistics: Statistics
    inputs: list[Path]
    about: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """`as_dict` without what is not made yet: hashes of files take time."""
        return self.statistics.to_dict() | {"inputs": [str(path) for path in self.inputs]} | self.about

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        if "provenance" not in self.about:
            self.about["provenance"] = run_provenance(self.inputs)
        return self.summary()

    def write(self, folder: str | Path) -> None:
        """stats.json, and a histogram (PNG) of each quantity that the set has; the folder is made.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        place = prepare(folder)
        self.about.pop("plots", None)
        record(place, "stats", self.as_dict())  # the numbers first: a picture may fail
        self.about["plots"] = [str(path) for path in plot_statistics(self.statistics, place)]
        record(place, "stats", self.as_dict())


def dataset_stats(
    inputs: Inputs,
    *,
    plots: str | Path | None = None,
    mace_statistics: str | Path | None = None,
    r_max: float = 5.0,
    report: Report | None = None,
) -> StatsResult:
    """Sizes, elements, labels, energies, forces, Hessians, noise, distances.

    Args:
        inputs, report: see `hint_plugin.data.sets.run`.
        plots: a folder for histograms and stats.json; None writes neither.
        mace_statistics: a file, which gets what mace_run_train --statistics_file reads.
        r_max: the cutoff of the model, A, for that.

    Raises:
        DataError: a file cannot be read, or there are no frames; see also `MaceStatistics`.
        OptionsError: what cannot be written, or a file that is given twice.
        MissingDependencyError: see `StatsResult.write`.
    """
    folder, file, tell = a_folder(as_path(plots)), a_file(as_path(mace_statistics)), report or silent
    files = expand(several(inputs))
    each_once(files)
    for_mace = None if file is None else MaceStatistics(float(r_max))
    if folder is not None:
        prepare(folder)

    def frames() -> Iterator[Atoms]:
        total = 0
        for path in files:
            for atoms in iter_frames(path):
                total += 1
                tell(str(path), total)
                if for_mace is not None:
                    for_mace.add(atoms)
                yield atoms

    found = StatsResult(gather(frames()), files)
    if not found.statistics.frames:
        raise DataError(f"{', '.join(map(str, files))}: no frames")
    if for_mace is not None and file is not None:
        found.about["mace_statistics"] = for_mace.write(file)
        record(file, "stats", found.as_dict())
    if folder is not None:
        found.write(folder)
    return found
