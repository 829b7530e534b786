"""`AlphaNet`: the local-frame model as a model builder of NequIP."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from ase.data import atomic_numbers
from nequip.data import AtomicDataDict
from nequip.model import model_builder
from nequip.model.energy_modules import _append_energy_modules
from nequip.nn import ForceStressOutput, PerTypeScaleShift, SequentialGraphNetwork

from hint_plugin.errors import OptionsError
from hint_plugin.models.alphanet.config import SIZES, AlphaNetConfig
from hint_plugin.nequip.alphanet import AlphaNetEnergies, RepulsionEnergies
from hint_plugin.settings import refuse_unknown


@model_builder
def AlphaNet(  # noqa: N802  (NequIP's model builders are named like classes)
    type_names: list[str],
    r_max: float,
    avg_num_neighbors: float,
    size: str = "small",
    chemical_species: Mapping[str, str] | None = None,
    per_type_energy_scales: float | dict[str, float] | None = None,
    per_type_energy_shifts: float | dict[str, float] | None = None,
    per_type_energy_scales_trainable: bool = False,
    per_type_energy_shifts_trainable: bool = False,
    repulsion: bool = True,
    pair_potential: dict[str, Any] | None = None,
    do_derivatives: bool = True,
    **overrides: int,
) -> torch.nn.Module:
    """Model builder: HINT's local-frame model (docs/alphanet.md) with energies, forces and stress.

    ``seed``, ``model_dtype`` and ``compile_mode`` are NequIP's own.

    Args:
        type_names: of the atoms; chemical symbols, unless ``chemical_species`` says more.
        r_max: cutoff, A.
        avg_num_neighbors: of the training data, ``${training_data_stats:num_neighbors_mean}``.
        size: ``small``, ``medium`` or ``large``, see `AlphaNetConfig`.
        chemical_species: of each type name, ``{C3: C, C4: C}``.
        per_type_energy_scales: ``${training_data_stats:per_type_forces_rms}`` or one number, eV.
        per_type_energy_shifts: E0, ``${training_data_stats:per_atom_energy_mean}`` or by type, eV.
        per_type_energy_scales_trainable, per_type_energy_shifts_trainable: as NequIP's.
        repulsion: the short-range repulsion, not scaled.
        pair_potential: one of NequIP's, added.
        do_derivatives: forces and stress.
        **overrides: of the size: ``channels``, ``node_width``, ``layers``, ``bessel``, ``frame_channels``,
            ``frame_rank``, ``edge_channels``.

    Raises:
        OptionsError: no such size, option or element.
    """
    config = _config(size, float(r_max), overrides)
    numbers = _numbers(type_names, chemical_species or {})
    if isinstance(avg_num_neighbors, Mapping):
        avg_num_neighbors = sum(avg_num_neighbors.values()) / len(avg_num_neighbors)
    if not (avg_num_neighbors > 0 and math.isfinite(avg_num_neighbors)):
        raise OptionsError(f"AlphaNet: avg_num_neighbors is {avg_num_neighbors}; wanted a positive number")
    learned = AlphaNetEnergies(numbers, config, float(avg_num_neighbors))
    scaled = PerTypeScaleShift(
        type_names=type_names,
        field=AtomicDataDict.PER_ATOM_ENERGY_KEY,
        scales=per_type_energy_scales,
        shifts=per_type_energy_shifts,
        scales_trainable=per_type_energy_scales_trainable,
        shifts_trainable=per_type_energy_shifts_trainable,
        irreps_in=learned.irreps_out,
    )
    modules: dict[str, torch.nn.Module] = {"alphanet": learned, "per_type_energy_scale_shift": scaled}
    if repulsion:
        modules["repulsion"] = RepulsionEnergies(numbers, scaled.irreps_out)
    energies = _append_energy_modules(SequentialGraphNetwork(modules), type_names, pair_potential)
    return ForceStressOutput(energies, do_derivatives)


def _config(size: str, cutoff: float, overrides: Mapping[str, int]) -> AlphaNetConfig:
    if size not in SIZES:
        raise OptionsError(f"AlphaNet: size is {size!r}; wanted {', '.join(SIZES)}")
    known = [f.name for f in dataclasses.fields(AlphaNetConfig) if f.name not in ("cutoff", "repulsion")]
    refuse_unknown(overrides, known, "AlphaNet: no option")
    return dataclasses.replace(SIZES[size], cutoff=cutoff, repulsion=False, **overrides)


def _numbers(type_names: list[str], species: Mapping[str, str]) -> list[int]:
    symbols = [species.get(name, name) for name in type_names]
    unknown = [symbol for symbol in symbols if atomic_numbers.get(symbol, 0) < 1]
    if unknown:
        raise OptionsError(
            f"AlphaNet: {', '.join(unknown)} is no element; say what it is by chemical_species, "
            "as {my_type: C}"
        )
    numbers = [int(atomic_numbers[symbol]) for symbol in symbols]
    if len(set(numbers)) < len(numbers):
        raise OptionsError(
            f"AlphaNet: an element is there twice: {', '.join(symbols)}; wanted one type of each"
        )
    return numbers
