"""`hint evaluate`: a potential against labelled structures, streamed, everything written to one folder."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from torch import Tensor

from hint_plugin.core.metrics import HessianMetrics, Prediction
from hint_plugin.data.file_io import replacing, write_json
from hint_plugin.data.labels.label import HessianLabel
from hint_plugin.data.labels.label_keys import LabelKeys
from hint_plugin.data.labels.levels import LevelCount
from hint_plugin.data.structures.electrons import refuse_unknown_electrons
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.potentials.extrapolation import in_one_sentence, outside_training, told_by_the_run
from hint_plugin.potentials.potential import Potential
from hint_plugin.science.energy_shift import EnergyPairs, EnergyShift
from hint_plugin.science.evaluation_report import UNITS, ParitySample, notes, plot_parity, write_parity_data
from hint_plugin.science.labelled_frames import FrameFile, Reference, read_references
from hint_plugin.science.levels import compare_levels

FORMAT = {"format": "hint-evaluation", "format_version": 1}
_COMPARED = ("forces", "stress", "hessian", "eigenvalues", "frequencies")
COLUMNS = (
    *("source", "frame", "formula", "atoms", "group", "label", "finite"),
    *("energy_reference", "energy_predicted", "energy_error"),
    *(f"{name}_{kind}" for name in _COMPARED for kind in ("mae", "size")),
    "lowest_mode_cosine",
    *("saddle_index_reference", "saddle_index", "zpe_error"),
    *("asymmetry_max", "asymmetry_mean", "hvp_relative_error", "hessian_rmse_estimate"),
)
"""Columns of frames.csv, in the units of `metrics.UNITS`; energies in eV, energy_error in eV/atom.

`*_size` is the mean absolute value of the frame's own labels.
"""


@dataclass
class _Tally:
    """Sums over the frames seen so far."""

    parts: dict[tuple[str, str], HessianMetrics] = field(default_factory=dict)
    """By source and group."""
    parity: dict[str, ParitySample] = field(default_factory=dict)
    frames: int = 0
    unlabelled: int = 0
    not_finite: list[str] = field(default_factory=list)
    levels: LevelCount = field(default_factory=LevelCount)
    energies: EnergyPairs = field(default_factory=EnergyPairs)
    compared: int = 0
    outside: list[tuple[str, str]] = field(default_factory=list)
    """Frames outside of what the potential was trained on, in the order they came, and what of them is."""

    def sample(self, name: str, reference: Any, predicted: Any) -> None:
        self.parity.setdefault(name, ParitySample()).add(reference, predicted)

    def by(self, place: int) -> dict[str, list[tuple[str, str]]]:
        """The parts of each source (0) or group (1), in the order they came."""
        names = dict.fromkeys(part[place] for part in self.parts)
        return {name: [part for part in self.parts if part[place] == name] for name in names}

    def result(self, shift: EnergyShift | None, parts: Iterable[tuple[str, str]]) -> dict[str, float]:
        """Metrics of these parts; of energies also what the shift leaves."""
        total, parts = HessianMetrics(), list(parts)
        for part in parts:
            total.merge(self.parts[part])
        return total.result() | (shift.errors(parts) if shift else {})


def evaluate(
    predictor: Potential,
    frames: Iterable[Atoms] | Mapping[str, Iterable[Atoms]],
    out_dir: str | Path,
    *,
    keys: LabelKeys | None = None,
    provenance: Mapping[str, Any] | None = None,
    max_hessians: int | None = None,
    plots: bool = True,
    chunk: int = 64,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Compares predictions with labels and writes metrics.json, frames.csv, parity.npz and parity.png.

    Frames are read, predicted and forgotten `chunk` at a time. A frame counts in what it has labels for;
    frames without any are skipped, and so are frames of one atom with `config_type=IsolatedAtom`. A frame
    whose prediction is not finite is listed and left out of all averages.

    Args:
        predictor: the potential.
        frames: structures with labels, or {name of source: structures}.
        out_dir: made if it does not exist; files in it are replaced.
        keys: where labels are stored; `REF_*` by default, else see `references.read_reference`.
        provenance: goes into metrics.json, see `report.provenance`.
        max_hessians: Hessians of at most so many labelled frames, spread evenly over all; None means all.
        plots: draw parity.png (if matplotlib is installed).
        chunk: frames in memory at a time.
        progress: called with the number of frames done.

    Returns:
        what metrics.json holds: `metrics` of all frames, those of each of the `sources`, those of the
        `groups` by `group` or `config_type`, `units`; the best `energy_shift` of the elements over all
        frames, and that of each source; `notes`, sentences about what the errors mean; `outside_training`,
        how many frames are outside of what the potential was trained on, where that is known.

    Raises:
        DataError: no frame has any label, or one has a charge or multiplicity that the potential does not
            know. LabelError: a label is malformed.
    """
    keys = keys or LabelKeys()
    sources = frames if isinstance(frames, Mapping) else {"frames": frames}
    if max_hessians is not None:
        if max_hessians < 0:
            raise OptionsError(f"max_hessians is {max_hessians}; wanted 0 or more")
        sources = {name: f if isinstance(f, FrameFile) else list(f) for name, f in sources.items()}
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    tally = _Tally()
    references = read_references(sources, keys, max_hessians)
    with ExitStack() as stack:
        temporary = stack.enter_context(replacing(folder / "frames.csv"))
        handle = stack.enter_context(open(temporary, "w", newline="", encoding="utf-8"))
        table = csv.DictWriter(handle, COLUMNS)
        table.writeheader()
        while block := list(itertools.islice(references, chunk)):
            with told_by_the_run():
                table.writerows(_compare(predictor, block, tally))
            if progress:
                progress(tally.frames)
        if not tally.parts:
            raise DataError(
                f"none of {tally.frames} frames has a label: wanted {keys.energy}, {keys.forces} or "
                f"{keys.hessian}. Label them with `hint label`"
            )
    return _write(folder, tally, provenance or {}, plots, compare_levels(predictor, tally.levels))


def _compare(predictor: Potential, block: Sequence[Reference], tally: _Tally) -> list[dict[str, Any]]:
    """Predicts a block, Hessians only where they are labelled; returns its lines of frames.csv, in order."""
    tally.frames += len(block)
    names = {
        i: f"{reference.source}, frame {reference.frame} ({reference.atoms.get_chemical_formula()})"
        for i, reference in enumerate(block)
    }
    for i, reference in enumerate(block):
        if reference.is_labelled:
            refuse_unknown_electrons(reference.atoms, names[i], getattr(predictor, "electrons", ()))
            tally.levels.add_info(reference.atoms.info, reference.source)
    tally.unlabelled += sum(not reference.is_labelled for reference in block)
    rows: dict[int, dict[str, Any]] = {}
    for hessian in (False, True):
        places = [i for i, ref in enumerate(block) if ref.is_labelled and (ref.label is not None) == hessian]
        predictions = predictor.predict([block[i].atoms for i in places], hessian=hessian)
        for i, prediction in zip(places, predictions, strict=True):
            rows[i] = _compare_frame(block[i], prediction, tally)
            tally.compared += 1
            if outside := outside_training(predictor, block[i].atoms, prediction.forces.numpy()):
                tally.outside.append((names[i], outside))
    return [rows[i] for i in sorted(rows)]


def _compare_frame(reference: Reference, prediction: Prediction, tally: _Tally) -> dict[str, Any]:
    part = (reference.source, reference.group)
    metrics = tally.parts.setdefault(part, HessianMetrics())
    row = reference.row() | {"finite": prediction.is_finite(), "energy_predicted": prediction.energy}
    if not row["finite"]:
        tally.not_finite.append(f"{reference.source}, frame {reference.frame}")
        return row
    metrics.n_frames += 1
    n = len(reference.atoms)
    if reference.energy is not None:
        row["energy_reference"] = reference.energy
        row |= metrics.update_energy(prediction.energy, reference.energy, n)
        tally.energies.add(part, reference.atoms.numbers, reference.energy, prediction.energy)
        tally.sample("energy", reference.energy / n, prediction.energy / n)
    if reference.forces is not None:
        row |= metrics.update_forces(prediction.forces, torch.as_tensor(reference.forces))
        tally.sample("forces", reference.forces, prediction.forces)
    if reference.stress is not None and prediction.stress is not None:
        stress = full_3x3_to_voigt_6_stress(prediction.stress.numpy())
        row |= metrics.update_stress(torch.as_tensor(stress), torch.as_tensor(reference.stress))
        tally.sample("stress", reference.stress, stress)
    if reference.label is not None and prediction.hessian is not None:
        row |= _compare_hessian(reference.atoms, reference.label, prediction.hessian, metrics, tally)
    return row


def _compare_hessian(
    atoms: Atoms, label: HessianLabel, predicted: Tensor, metrics: HessianMetrics, tally: _Tally
) -> dict[str, float]:
    if label.probes is not None and label.hvp is not None:
        probes, hvp = torch.as_tensor(label.probes), torch.as_tensor(label.hvp)
        products = (probes.flatten(1) @ predicted.T).reshape(probes.shape)
        return metrics.update_asymmetry(predicted) | metrics.update_pairs(products, probes, hvp)
    reference = torch.as_tensor(label.hessian)
    if label.atoms is not None:
        rows = torch.as_tensor(label.atoms)
        tally.sample("hessian", reference, predicted.reshape(len(atoms), 3, -1)[rows])
        return metrics.update_rows(predicted, reference, rows)
    tally.sample("hessian", reference, predicted)
    positions, masses = torch.as_tensor(atoms.positions), torch.as_tensor(atoms.get_masses())
    return metrics.update_hessian(
        predicted, reference, positions, masses, periodic=bool(atoms.pbc.any()), observe=tally.sample
    )


def _write(
    folder: Path, tally: _Tally, provenance: Mapping[str, Any], plots: bool, levels: Mapping[str, Any]
) -> dict[str, Any]:
    shift = tally.energies.fit(tally.parts)
    if shift:
        tally.sample("energy_shifted", *shift.parity())
    metrics = tally.result(shift, tally.parts)
    sources, groups = tally.by(0), tally.by(1)
    # a file may be of another level; a group, often one molecule, would have nothing left after its own shift
    own = {name: tally.energies.fit(parts) for name, parts in sources.items()}
    outside = in_one_sentence(tally.outside, tally.compared, "frames")
    result: dict[str, Any] = FORMAT | {
        "metrics": metrics,
        "sources": {name: tally.result(own[name], parts) for name, parts in sources.items()},
        "groups": {name: tally.result(shift, parts) for name, parts in sorted(groups.items())},
        "units": UNITS,
        "energy_shift": shift.as_dict() if shift else None,
        "energy_shift_of_sources": {name: one.as_dict() if one else None for name, one in own.items()},
        "notes": notes(metrics, shift, own) + ([outside] if outside else []),
        "outside_training": len(tally.outside),
        "frames": {"read": tally.frames, "unlabelled": tally.unlabelled, "not_finite": tally.not_finite},
        "levels": dict(levels),
        "provenance": dict(provenance),
    }
    write_parity_data(folder / "parity.npz", tally.parity)
    figure = folder / "parity.png"
    figure.unlink(missing_ok=True)
    result["plot"] = None
    write_json(folder / "metrics.json", result, allow_nan=False)
    if plots and plot_parity(figure, tally.parity, result["metrics"]):
        result["plot"] = figure.name
        write_json(folder / "metrics.json", result, allow_nan=False)
    return result
