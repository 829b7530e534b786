"""What an SSCHA leaves behind: tables, JSON, matrices, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hint_plugin.data.drawing import picture
from hint_plugin.science.anharmonic.dynamical_matrix_files import to_phonopy, write_dynamical_matrices
from hint_plugin.science.anharmonic.minimisation import Step
from hint_plugin.science.anharmonic.self_consistency import PopulationRecord, SschaSettings, SschaState
from hint_plugin.science.anharmonic.supercell_force_constants import ForceConstants
from hint_plugin.science.figures import new_figure, save_png

if TYPE_CHECKING:
    from rich.table import Table


def summary(
    state: SschaState, settings: SschaSettings, named: Mapping[str, ForceConstants]
) -> dict[str, Any]:
    """For JSON. `named`: force constants by what they are ("harmonic", "sscha", "hessian")."""
    last, end = state.records[-1], state.records[-1].steps[-1]
    atoms = state.constants.atoms
    return {
        "converged": state.finished,
        "populations": len(state.records),
        "free_energy": end.free_energy,
        "free_energy_error": end.free_energy_error,
        "pressure": last.pressure,
        "pressure_error": last.pressure_error,
        "settings": settings.as_dict(),
        "supercell": list(state.constants.repeats),
        "cell": atoms.cell.array.tolist(),
        "symbols": atoms.get_chemical_symbols(),
        "masses": atoms.get_masses().tolist(),
        "positions": atoms.positions.tolist(),
        "frequencies": {name: q_rows(constants) for name, constants in named.items()},
        "history": [record.as_dict() for record in state.records],
    }


def q_rows(constants: ForceConstants) -> list[dict[str, Any]]:
    """Of each q point of the supercell, one of each pair q, -q: `q` (fractional), `frequencies` (cm^-1)."""
    repeats = np.array(constants.repeats)
    rows = []
    for place, values in zip(np.ndindex(*constants.repeats), constants.frequencies(), strict=True):
        opposite = tuple(int(x) for x in (-np.array(place)) % repeats)
        if place <= opposite:
            rows.append({"q": (np.array(place) / repeats).tolist(), "frequencies": values.tolist()})
    return rows


def write_matrices(folder: Path, named: Mapping[str, ForceConstants]) -> None:
    """NAME.dyn0, NAME.dyn1, ... for Quantum ESPRESSO, and NAME.yaml for phonopy."""
    for name, constants in named.items():
        write_dynamical_matrices(folder / f"{name}.dyn", constants)
        to_phonopy(constants).save(folder / f"{name}.yaml", settings={"force_constants": True})


@picture
def write_bands(path: Path, named: Mapping[str, ForceConstants], title: str = "") -> bool:
    """One figure of the bands of all of `named`. Returns False without matplotlib."""
    from hint_plugin.science.phonons import band_path, band_structure, plot_bands
    from hint_plugin.science.phonons.bands import BandPath

    phonons = {name: to_phonopy(constants) for name, constants in named.items()}
    first = next(iter(phonons.values()))
    shared: BandPath = band_path(first)
    return plot_bands(
        path, [(name, band_structure(phonon, shared)) for name, phonon in phonons.items()], title=title
    )


@picture
def plot_convergence(path: Path, records: Sequence[PopulationRecord]) -> bool:
    """Free energy, gradient, effective sample, extreme frequencies. Returns False without matplotlib."""
    figure = new_figure(7.4, 5.0)
    if figure is None:
        return False
    energy, gradient, sample, frequencies = figure.subplots(2, 2, sharex=False).ravel()
    first, reference = 0, records[-1].steps[-1].free_energy
    for record in records:
        x = np.arange(first, first + len(record.steps))
        colour = f"C{(record.number - 1) % 10}"
        values = 1000 * (np.array([step.free_energy for step in record.steps]) - reference)
        errors = 1000 * np.array([step.free_energy_error for step in record.steps])
        energy.plot(x, values, color=colour, lw=1.2)
        energy.fill_between(x, values - errors, values + errors, color=colour, alpha=0.2, lw=0)
        gradient.semilogy(x, [step.gradient for step in record.steps], color=colour, lw=1.2)
        sample.plot(x, [step.effective for step in record.steps], color=colour, lw=1.2)
        first += len(record.steps)
    numbers = [record.number for record in records]
    frequencies.plot(
        numbers, [record.highest for record in records], "o-", ms=3, color="#c44e22", label="highest"
    )
    frequencies.plot(
        numbers, [record.lowest for record in records], "o-", ms=3, color="#1f5fa8", label="lowest"
    )
    energy.set(ylabel="free energy, meV/cell", xlabel="step")
    gradient.set(ylabel="gradient, eV/A$^2$", xlabel="step")
    sample.set(ylabel="effective part of the sample", xlabel="step", ylim=(0, 1.05))
    frequencies.set(ylabel="mode, cm$^{-1}$", xlabel="population")
    frequencies.legend(fontsize=8, frameon=False)
    for axes in (energy, gradient, sample, frequencies):
        axes.tick_params(labelsize=8)
    save_png(figure, path)
    return True


def step_in_words(population: int, step: Step) -> str:
    """How far the minimisation is."""
    return f"population {population}: gradient {step.gradient:.1e}, sample {100 * step.effective:.0f} %"


def population_in_words(record: PopulationRecord) -> str:
    """How a population has ended."""
    end = record.steps[-1]
    return (
        f"population {record.number}: {record.reason} after {len(record.steps) - 1} steps, "
        f"free energy {end.free_energy:.5f} eV, modes {record.lowest:.0f} to {record.highest:.0f} cm^-1"
    )


def populations_table(records: Sequence[PopulationRecord]) -> Table:
    """A row for each population."""
    from rich.table import Table

    table = Table("pop.", title="Populations", padding=(0, 0), pad_edge=True)
    for name in ("steps", "F, eV", "+- meV", "gradient", "sample", "modes, cm^-1", "P, GPa"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ended")
    for record in records:
        end = record.steps[-1]
        pressure = "-" if record.pressure is None else f"{record.pressure:.2f}"
        table.add_row(
            str(record.number),
            str(len(record.steps) - 1),
            f"{end.free_energy:.5f}",
            f"{1000 * end.free_energy_error:.2f}",
            f"{end.gradient:.1e}",
            f"{100 * end.effective:.0f} %",
            f"{record.lowest:.0f} - {record.highest:.0f}",
            pressure,
            record.reason,
        )
    return table


def frequencies_table(named: Mapping[str, ForceConstants]) -> Table:
    """The modes at each q point that symmetry tells apart, one column for each of `named`."""
    from rich.table import Table

    from hint_plugin.science.anharmonic.crystal_symmetry import SpaceGroup

    first = next(iter(named.values()))
    table = Table("q", title="Frequencies, cm^-1")
    for name in named:
        table.add_column(name, justify="left")
    stars = SpaceGroup(first.atoms, first.repeats).stars(first.repeats)
    all_frequencies = {name: constants.frequencies() for name, constants in named.items()}
    for place in stars:
        index = int(np.ravel_multi_index(place, first.repeats))
        label = " ".join(f"{h}/{n}" if h else "0" for h, n in zip(place, first.repeats, strict=True))
        table.add_row(label, *(_grouped(values[index]) for values in all_frequencies.values()))
    return table


def _grouped(values: Any) -> str:
    """Equal ones once, with how often: "-171 x3  13 x3"."""
    groups: list[list[float]] = []
    for value in values:
        if groups and abs(value - groups[-1][-1]) < 0.5:
            groups[-1].append(float(value))
        else:
            groups.append([float(value)])
    return "  ".join(
        f"{np.mean(group) + 0.0:.0f}" + (f" x{len(group)}" if len(group) > 1 else "") for group in groups
    ).replace("-0 ", "0 ")
