"""What `hint qha` does, as a function: the quasi-harmonic approximation for a crystal, or for several phases.

    structures --relaxed--> V0 --> cells at each volume --relaxed, phonons--> F(V, T) --> V(T), G(T)

What each volume has left (cell, energy, force constants) is kept while the run lasts, and all else is
computed from that: a run that was stopped ends with the same files as one that was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from numpy.typing import NDArray

from hint_plugin.artifact.trained_on import trained_on
from hint_plugin.data import LabelKeys
from hint_plugin.data.outputs import a_folder, as_path
from hint_plugin.data.provenance import identity, of_structures, run_provenance
from hint_plugin.data.sets.patterns import expand
from hint_plugin.data.structures.unit_cell import check_crystal, given_crystal, name_of, quiet, short_name_of
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.parallel import Reported, Spread, go_over, journal_in
from hint_plugin.parallel.batch import asked_for
from hint_plugin.potentials.extrapolation import in_one_sentence, told_by_the_run
from hint_plugin.potentials.on_demand import OnDemand
from hint_plugin.potentials.on_demand import origin as origin_of
from hint_plugin.science.phonons.cell_relaxation import relax_crystal
from hint_plugin.science.phonons.crystals import Supercell, new_phonopy, supercell_matrix
from hint_plugin.science.phonons.dos import thermodynamics
from hint_plugin.science.phonons.mode_gruneisen import ModeGruneisen, mode_gruneisen, three_around
from hint_plugin.science.phonons.phonon_files import default_supercell
from hint_plugin.science.phonons.quasiharmonic import (
    EQUATIONS_OF_STATE,
    FEWEST,
    FreeEnergies,
    crossings,
    equilibrium,
    temperature_grid,
)
from hint_plugin.science.phonons.quasiharmonic_result import PhaseResult, Quasiharmonic
from hint_plugin.science.phonons.strained_cells import (
    NO_VIBRATION,
    PhononsAtVolume,
    as_kept,
    phonopy_as_kept,
    scaled,
    softest_mode,
)

Structure = Atoms | str | Path
RELAXATIONS = ("cell", "positions", "no")
ANALYSIS = ("temperature", "temperature-step", "mesh", "eos")
"""Options that what is kept of the volumes does not depend on."""
ROOM = 300.0
"""K: modes have their Grueneisen parameters at the volume nearest to that of this temperature."""
FINER = 1.5
"""How much finer the mesh is that the sums are compared with."""


def qha(
    structures: Structure | Sequence[Structure],
    potential: Any,
    output: str | Path | None = None,
    *,
    volumes: int = 9,
    strain: tuple[float, float] = (-0.04, 0.08),
    supercell: Supercell | None = None,
    relax: str = "cell",
    fmax: float = 1e-3,
    temperature: float = 1000.0,
    temperature_step: float = 10.0,
    pressure: float = 0.0,
    eos: str = "vinet",
    mesh: float = 60.0,
    displacement: float | None = None,
    precision: float = 1e-5,
    device: str = "cpu",
    jobs: int = 1,
    parsl: str | Path | None = None,
    restart: bool = False,
    report: Any = None,
) -> Quasiharmonic:
    """Thermal expansion, bulk modulus, C_p and Gibbs energies of crystals: the quasi-harmonic approximation.

    Each crystal is relaxed first, and then its cell at each of the `volumes`, at constant volume; there, the
    phonons come from exact Hessian-vector products. The free energy is minimised at each temperature
    (equations: `quasiharmonic`). With an `output`, a run that is stopped goes on where it was.

    What cannot be is left out, and `notes` of the result say so: volumes with imaginary modes or without a
    result, temperatures at which the minimum lies outside of the volumes.

    Args:
        structures: one unit cell, or several phases of one composition: atoms, files (`read_crystal`) or
            patterns of files.
        potential: a name, a file, an open potential, an ASE calculator, or a `PotentialSpec`.
        output: folder of the results, written as `hint qha` does; None writes nothing.
        volumes: how many, at least five.
        strain: (V - V0) / V0 of the smallest and the largest, V0 being that after the relaxation.
        supercell: one number, three, or a matrix; at least 10 A wide if None. The same at all volumes.
        relax: "cell": shape and positions, with the symmetry kept; "positions": V0 is the volume given, and
            cells are only stretched; "no": positions are stretched, too.
        fmax: the largest force after a relaxation, eV/A.
        temperature: the highest, K.
        temperature_step: K.
        pressure: GPa.
        eos: vinet, birch_murnaghan or murnaghan.
        mesh: of q points, as a length in A, at V0; the numbers of points are the same at all volumes.
        displacement: A; differences of forces in the place of products.
        precision: within which symmetry is found, A.
        device: where a model that is given by its file or name runs: cpu, cuda.
        jobs: processes, one thread each if several.
        parsl: on a cluster as this file says, not `jobs`.
        restart: drop what an interrupted run has left.
        report: called with (done, failed, total) of the volumes; see `parallel.Reported`.

    Raises:
        OptionsError: options that cannot be. DataError: no crystal, phases of different composition, fewer
        than five volumes with phonons, or no minimum at any temperature.
        EngineError: the relaxation does not get there. InterruptedRunError: stopped.
    """
    asked = asked_for(locals())
    asked = {name: value for name, value in asked.items() if name not in (*ANALYSIS, "structures", "device")}
    place, given = a_folder(as_path(output)), _listed(structures)
    grid, strains = temperature_grid(temperature, temperature_step), _strains(volumes, strain)
    _check(relax, eos, pressure, mesh)
    if place is None and parsl is not None:
        raise OptionsError("parsl without output: workers on a cluster need the run's folder. Give an output")
    crystals = _crystals(given, supercell, precision)
    what = OnDemand.of(potential, device)
    calculator, display = what.calculator(), Reported(report)
    origin = run_provenance(
        [Path(one) for one in given if not isinstance(one, Atoms)], what.model, calculator
    )
    if in_memory := [one for one in given if isinstance(one, Atoms)]:
        origin["data"].append(of_structures(in_memory))
    origin.setdefault("engine", origin_of(calculator))
    display(0, 0, len(crystals) * len(strains))
    crystals = [_at_rest(one, calculator, relax, fmax, pressure, display) for one in crystals]
    frames = [(f"{one.name} {1 + s:.4f} V0", scaled(one.atoms, s)) for one in crystals for s in strains]
    owners = [one for one in crystals for _ in strains]
    repeats = {name: one.supercell for (name, _), one in zip(frames, owners, strict=True)}
    work = PhononsAtVolume(what, repeats, relax, fmax, displacement, precision)
    run = {"verb": "qha", **asked, **what.asked(), **identity(origin)}
    with ExitStack() as stack:
        journal = stack.enter_context(journal_in(place, "qha"))
        spread = Spread(jobs, as_path(parsl), restart)
        records = stack.enter_context(go_over(frames, work, journal, run, spread, display, "volumes"))
        display.say("sums over the Brillouin zone")
        phases, n = [], len(strains)
        for k, crystal in enumerate(crystals):
            part = slice(k * n, (k + 1) * n)
            phases.append(
                _phase(crystal, strains, frames[part], records[part], grid, pressure, eos, mesh, precision)
            )
        rows = [row for phase in phases for row in phase.volumes]
        outside = [(row["name"], row["outside_training"]) for row in rows if row.get("outside_training")]
        result = Quasiharmonic(
            phases=tuple(phases),
            crossings=tuple(crossings([(one.name, one.equilibrium) for one in phases])),
            about={
                "pressure": float(pressure),
                "equation_of_state": eos,
                "relax": relax,
                "displacement": None if displacement is None else float(displacement),
                "provenance": origin,
            },
            outside=in_one_sentence(outside, len(rows), "cells"),
        )
        if place is not None:
            result.write(place)
    return result


@dataclass(frozen=True)
class _Crystal:
    """One phase: its unit cell, at rest if that was wanted, and what was done to it, for JSON."""

    name: str
    structure: str
    atoms: Atoms
    supercell: NDArray
    relaxation: dict[str, Any] | None = None

    @property
    def units(self) -> int:
        """Formula units in the cell."""
        return int(self.atoms.symbols.formula.reduce()[1])


def _listed(structures: Structure | Sequence[Structure]) -> list[Structure]:
    several = [structures] if isinstance(structures, Atoms | str | Path) else list(structures)
    found: list[Structure] = []
    for item in several:
        found += [item] if isinstance(item, Atoms) else expand([item])
    if not found:
        raise OptionsError("no structure; wanted one crystal, or several phases of one composition")
    return found


def _strains(volumes: int, strain: tuple[float, float]) -> NDArray:
    low, high = (float(end) for end in strain)
    if volumes < FEWEST:
        raise OptionsError(f"{volumes} volumes; wanted {FEWEST} or more, for the fits by the volume")
    if not (np.isfinite([low, high]).all() and -0.9 < low < high):
        raise OptionsError(
            f"strain {low:g} to {high:g}; wanted two parts of the volume, ascending, as -0.04 0.08"
        )
    return np.round(np.linspace(low, high, volumes), 10)


def _check(relax: str, eos: str, pressure: float, mesh: float) -> None:
    if relax not in RELAXATIONS:
        raise OptionsError(f"relax {relax!r}; wanted {', '.join(RELAXATIONS)}")
    if eos not in EQUATIONS_OF_STATE:
        raise OptionsError(f"equation of state {eos!r}; wanted {', '.join(EQUATIONS_OF_STATE)}")
    if not np.isfinite(pressure):
        raise OptionsError(f"pressure {pressure} GPa; wanted a finite number")
    if not (np.isfinite(mesh) and mesh > 0):
        raise OptionsError(f"mesh {mesh} A; wanted a length above 0")


def _crystals(given: Sequence[Structure], supercell: Supercell | None, precision: float) -> list[_Crystal]:
    """Read, named, and checked before anything is computed. Raises DataError and OptionsError."""
    found = []
    for structure, name in zip(given, _names(given), strict=True):
        atoms = given_crystal(structure)
        repeats = supercell_matrix(default_supercell(atoms) if supercell is None else supercell)
        new_phonopy(atoms, repeats, symmetry_precision=precision)
        found.append(_Crystal(name, name_of(structure), atoms, repeats))
    formulas = {str(one.atoms.symbols.formula.reduce()[0].convert("hill")): one.name for one in found}
    if len(formulas) > 1:
        told = ", ".join(f"{name} is {formula}" for formula, name in formulas.items())
        raise DataError(
            f"{told}: Gibbs energies of different compositions cannot be compared; wanted phases of one, or "
            "one command for each"
        )
    return found


def _names(given: Sequence[Structure]) -> list[str]:
    """What the phases are called: file names without suffixes, or paths where these are the same."""
    short = [short_name_of(one) for one in given]
    if len(set(short)) < len(short):
        short = [text if isinstance(one, Atoms) else str(one) for one, text in zip(given, short, strict=True)]
        files = [text for one, text in zip(given, short, strict=True) if not isinstance(one, Atoms)]
        if len(set(files)) < len(files):
            raise OptionsError(f"a file is given twice ({', '.join(files)}); wanted each phase once")
        short = [
            f"{text} {short[:k].count(text) + 1}" if short.count(text) > 1 else text
            for k, text in enumerate(short)
        ]
    return short


def _at_rest(
    crystal: _Crystal, calculator: Any, relax: str, fmax: float, pressure: float, display: Reported
) -> _Crystal:
    """At the volume that the others are measured by. Raises EngineError: it does not get there."""
    if relax == "no":
        return crystal
    with quiet(), told_by_the_run():
        try:
            found = relax_crystal(
                crystal.atoms,
                calculator,
                cell=relax == "cell",
                pressure=pressure,
                fmax=fmax,
                report=lambda step, energy, force: display.say(
                    f"{crystal.name}: relaxing, step {step}, {energy:.4f} eV, {force:.4f} eV/A"
                ),
            )
        except PropertyNotImplementedError as error:
            if relax != "cell":
                raise
            raise OptionsError(
                f"{crystal.name}: the potential has no stress ({error}), which the shape of a cell follows. "
                "Give relax=positions or no (--relax positions): cells are then only stretched"
            ) from error
    atoms = found.atoms.copy()
    check_crystal(atoms)
    untrained = trained_on(calculator).get("stress") is False
    done: dict[str, Any] = {
        "steps": found.steps,
        "energy": found.energy,
        "pressure": None if untrained else found.pressure,
        "cell": atoms.cell.cellpar().tolist(),
    }
    if untrained and relax == "cell":
        done["note"] = (
            f"{crystal.name}: the cells followed the stress of a model that was not trained on stresses. "
            "Their shapes are no result; the volume at each temperature follows from energies alone"
        )
    return _Crystal(crystal.name, crystal.structure, atoms, crystal.supercell, done)


def _phase(
    crystal: _Crystal,
    strains: NDArray,
    frames: Sequence[tuple[str, Atoms]],
    records: Sequence[dict[str, Any]],
    temperatures: NDArray,
    pressure: float,
    eos: str,
    mesh: float,
    precision: float,
) -> PhaseResult:
    """The phase at its minimum, from what is kept of its volumes. Raises DataError: too few of them."""
    numbers: list[int] = []
    rows, cells, phonons, sums = [], [], [], []
    for s, (name, start), record in zip(strains, frames, records, strict=True):
        row: dict[str, Any] = {"phase": crystal.name, "name": name, "strain": float(s)}
        row["volume"] = float(start.get_volume()) / crystal.units
        rows.append(row)
        if "error" in record:
            row["left_out"] = record["error"]
            continue
        row |= {key: value for key, value in record["row"].items() if not key.startswith("cell_")}
        row["volume"] = record["row"]["cell_volume"] / crystal.units
        row["energy"] = record["row"]["cell_energy"] / crystal.units
        cells.append(as_kept(start, record["kept"]))
        cells[-1].info.update({"name": name, "phase": crystal.name})
        cells[-1].info[LabelKeys().energy] = record["row"]["cell_energy"]
        phonon = phonopy_as_kept(start, record["kept"], crystal.supercell, precision)
        numbers = numbers or _mesh_numbers(phonon, float(s), mesh)
        softest = softest_mode(phonon, numbers)
        row |= {"lowest": softest.frequency, "lowest_at": list(softest.q), "unstable": softest.unstable}
        if not softest.stable:
            row["left_out"] = f"imaginary modes, or modes below {NO_VIBRATION:g} cm^-1: {softest.in_words()}"
            continue
        per_unit = len(crystal.atoms) / crystal.units / len(phonon.primitive)
        sums.append((row["volume"], row["energy"], per_unit, _sums(phonon, temperatures, numbers)))
        phonons.append((phonon, per_unit))
    _enough(crystal.name, rows, len(sums))
    grid = FreeEnergies(
        volumes=np.array([volume for volume, _, _, _ in sums]),
        energies=np.array([energy for _, energy, _, _ in sums]),
        temperatures=temperatures,
        free_energy=np.array([part * found.free_energy for _, _, part, found in sums]).T,
        entropy=np.array([part * found.entropy for _, _, part, found in sums]).T,
        heat_capacity=np.array([part * found.heat_capacity for _, _, part, found in sums]).T,
    )
    try:
        found = equilibrium(grid, pressure, eos)
    except DataError as error:
        raise DataError(f"{crystal.name}: {error}") from None
    return PhaseResult(
        name=crystal.name,
        structure=crystal.structure,
        atoms=crystal.atoms,
        formula=str(crystal.atoms.symbols.formula.reduce()[0]),
        units=crystal.units,
        supercell=crystal.supercell,
        mesh=tuple(numbers),
        mesh_error=_mesh_error(phonons, temperatures[-2], numbers),
        volumes=tuple(rows),
        cells=tuple(cells),
        grid=grid,
        equilibrium=found,
        modes=_modes(phonons, grid.volumes, found.at(ROOM)["volume"], numbers),
        relaxation=crystal.relaxation,
    )


def _mesh_numbers(phonon: Any, strain: float, mesh: float) -> list[int]:
    """Points along the axes of the primitive cell's reciprocal lattice at V0: one mesh for all volumes.

    A mesh by its length would have fewer points in a larger cell, and the free energy a step there.
    """
    reciprocal = np.linalg.norm(np.linalg.inv(phonon.primitive.cell), axis=0)
    return [max(1, int(np.rint(mesh * length * np.cbrt(1 + strain)))) for length in reciprocal]


def _modes(
    phonons: Sequence[tuple[Any, float]], volumes: NDArray, wanted: float, mesh: Sequence[int]
) -> ModeGruneisen | None:
    """At the volume nearest to `wanted` that has neighbours on both sides."""
    chosen = three_around(volumes, wanted)
    if chosen is None:
        return None
    smaller, middle, larger = (phonons[k][0] for k in chosen)
    return mode_gruneisen(smaller, middle, larger, mesh, float(volumes[chosen[1]]))


def _sums(phonon: Any, temperatures: NDArray, mesh: Sequence[int]) -> Any:
    return thermodynamics(phonon, temperatures, mesh, gamma_centred=True, lowest=NO_VIBRATION)


def _mesh_error(phonons: Sequence[tuple[Any, float]], temperature: float, mesh: Sequence[int]) -> float:
    """eV of a formula unit: how far a finer mesh moves the free energy, at the two ends of the volumes."""
    finer = [int(np.ceil(FINER * n)) for n in mesh]
    moved = []
    for phonon, part in (phonons[0], phonons[-1]):
        one, other = (_sums(phonon, np.array([temperature]), numbers) for numbers in (mesh, finer))
        moved.append(part * abs(float(one.free_energy[0] - other.free_energy[0])))
    return max(moved)


def _enough(name: str, rows: Sequence[dict[str, Any]], count: int) -> None:
    if count >= FEWEST:
        return
    why = "; ".join(
        f"{row['name']} ({row['volume']:.3f} A^3): {row['left_out']}" for row in rows if "left_out" in row
    )
    raise DataError(
        f"{name}: phonons at {count} of {len(rows)} volumes, and {FEWEST} are wanted. {why}. Look at the "
        "crystal with hint phonons; take other volumes (--strain, --volumes) or a larger --supercell"
    )
