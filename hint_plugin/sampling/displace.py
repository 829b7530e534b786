"""New structures: atoms displaced by Gaussian noise, none too close to another or to a periodic image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from ase import Atoms

from hint_plugin.data import Choice, SamplingPlan, Source, iter_frames, write_frames
from hint_plugin.data.sets.sampling_plan import Wanted
from hint_plugin.data.structures.displaced import DisplaceSettings, DisplaceStatistics, displaced_copies
from hint_plugin.errors import DataError
from hint_plugin.sampling.budget import hessian_count
from hint_plugin.sampling.density import random_order
from hint_plugin.sampling.methods import Sample
from hint_plugin.sampling.population import Report


def make_displaced(
    inputs: Sequence[Path],
    target: Path,
    settings: DisplaceSettings,
    hessians: str = "all",
    *,
    report: Report | None = None,
) -> Sample:
    """Displaced copies of all structures of some files as a new file, and the plan to label it.

    Args:
        inputs: files of structures.
        target: the new file; appears whole or not at all.
        settings: how.
        hessians: see `hessian_count`; which of the new structures get one is random.
        report: told how many are made.

    Raises:
        DataError, OptionsError: see `displaced_copies`, `DisplaceSettings.check`.
    """
    settings.check()
    statistics, names = DisplaceStatistics(), list[str]()

    def made() -> Iterator[Atoms]:
        number = 0
        for path in inputs:
            for index, parent in enumerate(iter_frames(path)):
                name = f"{path}, frame {index} ({parent.get_chemical_formula()})"
                for copy in displaced_copies(parent, number, settings, name=name, statistics=statistics):
                    names.append(name)
                    yield copy
                    if report:
                        report("displacing", len(names), 0)
                number += 1
        if not names:
            raise DataError(f"{', '.join(map(str, inputs))}: no frames")

    written = write_frames(target, made())
    wanted = set(random_order(written, hessian_count(hessians, written), settings.seed).tolist())
    choices = []
    for i, name in enumerate(names):
        want: Wanted = "hessian" if i in wanted else "energy_forces"
        choices.append(Choice(0, i, want, f"displaced from {name}"))
    about = asdict(settings) | {"hessians": hessians, "inputs": [str(path) for path in inputs]}
    about |= {"supercell": list(settings.supercell), "rms": statistics.rms, "redrawn": statistics.redrawn}
    plan = SamplingPlan("displace", about, (Source.of(target, written),), tuple(choices))
    lengths = np.array(statistics.lengths)
    notes = [
        f"displacements: {statistics.rms:.3f} A a component (root mean square), sigma {settings.sigma} A",
        f"{statistics.components // 3} atoms; {statistics.redrawn} draws repeated, nearer to another than "
        f"{settings.floor} times the sum of covalent radii",
    ]
    return Sample(plan, np.arange(len(lengths)), lengths, "displacement of an atom (A)", None, notes)
