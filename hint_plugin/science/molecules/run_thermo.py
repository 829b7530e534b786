"""What `hint thermo` does: enthalpies, entropies and Gibbs energies of molecules, conformers, adsorbates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hint_plugin.data import LabelKeys, clear_labels, write_frames
from hint_plugin.data.file_io import write_csv, write_json
from hint_plugin.data.outputs import a_folder, as_path
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.parallel import Batch, Spread
from hint_plugin.parallel.batch import asked_for
from hint_plugin.potentials.on_demand import OnDemand
from hint_plugin.potentials.structure_checks import charge_and_multiplicity
from hint_plugin.science.molecules.adsorbate_thermochemistry import (
    AdsorbateThermochemistry,
    Hindered,
    adsorbate_thermochemistry,
)
from hint_plugin.science.molecules.conformers import PRUNE
from hint_plugin.science.molecules.curvature import source_of_hessians
from hint_plugin.science.molecules.ensembles import (
    Ensemble,
    conformers_of,
    ensembles_of,
    groups_of,
    without_ensemble,
)
from hint_plugin.science.molecules.modes import normal_modes
from hint_plugin.science.molecules.molecule_inputs import Inputs, given
from hint_plugin.science.molecules.over_molecules import each_molecule, say_at_the_end
from hint_plugin.science.molecules.population_figure import plot_populations
from hint_plugin.science.molecules.remarks import how_many_are_not, remarks_of
from hint_plugin.science.molecules.thermochemistry import Thermochemistry, check_conditions, thermochemistry
from hint_plugin.settings import parse_options, parse_pairs

COLUMNS = (
    "name formula kind symmetry_number multiplicity energy zero_point_energy enthalpy entropy gibbs_energy "
    "gibbs_correction heat_capacity largest_force stationary remarks"
)
OF_CONFORMERS = (
    "molecule name same degeneracy symmetry_number population relative_energy relative_enthalpy "
    "relative_gibbs_energy energy zero_point_energy enthalpy entropy gibbs_energy heat_capacity"
)


@dataclass(frozen=True)
class ThermoResult(Batch):
    """Thermochemistry of molecules: rows of `Thermochemistry.as_dict` with `name`, `largest_force` and
    `remarks`: what has to be said beside the numbers, first of all that a structure is not stationary.

    Attributes:
        ensembles: of conformers, one for each molecule, where they were asked for.
    """

    ensembles: list[Ensemble] = field(default_factory=list)

    def write(self, output: str | Path) -> None:
        """thermo.json and thermo.csv in the folder, which is made.

        Of ensembles also conformers.csv, and of each molecule NAME.conformers.xyz and, last, NAME.png.
        """
        folder = as_path(output)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "thermo.json", self.as_dict())
        rows = [row | {"remarks": "; ".join(row.get("remarks", []))} for row in self.results]
        write_csv(folder / "thermo.csv", rows, COLUMNS.split())
        if not self.ensembles:
            return
        write_csv(folder / "conformers.csv", list(self._conformers()), OF_CONFORMERS.split())
        for one in self.ensembles:
            write_frames(folder / f"{one.about['name']}.conformers.xyz", _labelled(one))
        for one in self.ensembles:  # after all results: a picture that fails costs none
            plot_populations(folder / f"{one.about['name']}.png", one.about)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `ensembles` where there are some."""
        found = super().as_dict()
        return found | ({"ensembles": [one.about for one in self.ensembles]} if self.ensembles else {})

    def _conformers(self) -> Iterator[dict[str, Any]]:
        for one in self.ensembles:
            for row in one.about["conformers"]:
                yield row | {"molecule": one.about["name"], "same": " ".join(row["same"])}


def thermo(
    inputs: Inputs,
    potential: Any = None,
    output: str | Path | None = None,
    *,
    optimize: bool = False,
    saddle: bool = False,
    fmax: float = 0.01,
    temperature: float = 298.15,
    pressure: float = 101325.0,
    symmetry_number: int | None = None,
    cutoff: float = 100.0,
    hindered: Hindered | Mapping[str, Any] | Sequence[str] | None = None,
    ensemble: bool = False,
    conformers: int | None = None,
    seed: int = 0,
    prune: float = PRUNE,
    device: str = "cpu",
    charge: int = 0,
    spin: int | None = None,
    jobs: int = 1,
    parsl: str | Path | None = None,
    restart: bool = False,
    report: Any = None,
) -> ThermoResult:
    """Gibbs energies of molecules in the gas, and of adsorbates; see `hint_plugin.science.molecules.run`.

    A structure of which FixAtoms or FixCartesian hold atoms is no gas: all modes of the others are harmonic
    oscillators (`adsorbate_thermochemistry`), without pressure, symmetry number, multiplicity and cutoff.

    Args:
        inputs, output, device, charge, spin, jobs, parsl, restart, report: see there.
        potential: see there; None: energies, forces and Hessians are those in the files.
        optimize, saddle: go to the nearest minimum, or to a transition state, first.
        fmax: eV/A, the largest force on an atom at the end of that.
        temperature: K.
        pressure: Pa.
        symmetry_number: of the rotations; found from the geometry if None.
        cutoff: cm^-1, of Grimme's entropy of soft modes; 0: harmonic oscillators.
        hindered: of adsorbates, the softest modes as hindered translations and rotation; a `Hindered`, or its
            options as a mapping or as words `key=value`.
        ensemble: the structures of each file are conformers of one molecule; see `ensembles`. With a
            potential each is optimised first.
        conformers: RDKit makes so many new geometries of each structure, for an ensemble of it.
        seed: of RDKit's random numbers.
        prune: A, of RDKit's geometries: what is nearer to one before is left out.

    Raises:
        HintError: files, options or packages with which nothing can be done; a run that is stopped.
    """
    asked, place = asked_for(locals()), a_folder(as_path(output))
    wanted = conformers_of(ensemble, conformers, seed, prune)
    if wanted is None or wanted.count is None:
        _refuse_made_options(seed, prune)
    if wanted is None:
        for name in ("ensemble", "conformers", "seed", "prune"):
            asked.pop(name)  # a run from before that was stopped goes on
    else:
        _check_options(potential, saddle, symmetry_number, hindered, conformers)
        optimize = optimize or potential is not None
    options = None if hindered is None else as_hindered(hindered)
    asked.pop("hindered")
    asked |= {} if options is None else {"hindered": asdict(options)}
    check_conditions(temperature, pressure)
    molecules = given(inputs)
    groups = [] if wanted is None else groups_of(molecules, wanted, charge, spin)
    frames = None if wanted is None else [frame for group in groups for frame in group.frames]
    what = None if potential is None else OnDemand.of(potential, device, charge, spin)
    source = source_of_hessians(what, relax=optimize or saddle, saddle=saddle, fmax=fmax)
    gas: dict[str, Any] = {"temperature": temperature, "pressure": pressure, "cutoff": cutoff}
    gas["symmetry_number"] = symmetry_number
    work, spread = Gas(source, charge, spin, gas, options), Spread(jobs, as_path(parsl), restart)
    found, asked = ThermoResult(), asked | source.asked()
    with each_molecule(
        "thermo", asked, molecules, work, place, spread, found, source.potential, source.model, report, frames
    ) as display:
        if groups:
            found.ensembles.extend(ensembles_of(groups, found, temperature))
        about = without_ensemble(groups, found.ensembles)
        say_at_the_end(found, display, how_many_are_not(found.results, "Gibbs energies"), about)
        if place is not None:
            found.write(place)
    return found


def _check_options(
    potential: Any, saddle: bool, symmetry_number: int | None, hindered: Any, conformers: int | None
) -> None:
    """Refuse what does not go with an ensemble. Raises OptionsError."""
    refused = {
        "--saddle": (saddle, "an ensemble is one of minima"),
        "--symmetry-number": (symmetry_number is not None, "each conformer has its own"),
        "--hindered": (hindered is not None, "an ensemble is one of a gas"),
    }
    for name, (is_given, why) in refused.items():
        if is_given:
            raise OptionsError(f"{name} does not go with --ensemble and --conformers: {why}")
    if conformers is not None and potential is None:
        raise OptionsError(
            "--conformers makes geometries that have to be optimised: give --model FILE or --engine NAME"
        )


def _refuse_made_options(seed: int, prune: float) -> None:
    """Raises OptionsError: options of RDKit's geometries, where none are made."""
    for name, value, default in (("--seed", seed, 0), ("--prune", prune, PRUNE)):
        if value != default:
            raise OptionsError(f"{name} {value:g} is of the geometries that --conformers N makes; give both")


def _labelled(ensemble: Ensemble) -> list[Any]:
    """The conformers with what they are."""
    found = []
    for atoms, row in zip(ensemble.structures, ensemble.about["conformers"], strict=True):
        one = atoms.copy()
        clear_labels(one)  # what the input has may be of another geometry
        one.info |= {LabelKeys().energy: row["energy"]}
        one.info |= {key: row[key] for key in ("name", "degeneracy", "population")}
        found.append(one)
    return found


@dataclass(frozen=True)
class Gas:
    """The work on one molecule; it travels to worker processes.

    Attributes:
        source: of energies and Hessians.
        charge, spin: of molecules that state none.
        options: of `thermochemistry`.
        hindered: of adsorbates.
    """

    source: Any
    charge: int
    spin: int | None
    options: dict[str, Any]
    hindered: Hindered | None = None

    def __call__(self) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
        """Set up a process: load what computes."""
        self.source.load()
        return self._work

    def _work(self, name: str, atoms: Any, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        found = self.source(atoms, say)
        if found.energy is None:
            raise DataError(
                f"{atoms.symbols} has a Hessian and no energy ({LabelKeys().energy}), which enthalpy and "
                "Gibbs energy begin with. Give the frame its energy; hint vibrations needs none"
            )
        modes, force = normal_modes(found.atoms, found.hessian), found.largest_force
        result: Thermochemistry | AdsorbateThermochemistry
        if modes.free is None:
            if self.hindered is not None:
                raise DataError(
                    f"{atoms.symbols} has no held atoms: it is a gas, and --hindered is for adsorbates. "
                    "Hold the atoms of the surface (FixAtoms, or the column move_mask), or leave "
                    "--hindered out"
                )
            multiplicity = charge_and_multiplicity(atoms, self.charge, self.spin)[1]
            options = self.options | {"multiplicity": multiplicity, "largest_force": force}
            result = thermochemistry(modes, found.energy, **options)
        else:
            about = {"temperature": self.options["temperature"], "hindered": self.hindered}
            result = adsorbate_thermochemistry(modes, found.energy, largest_force=force, **about)
        row = {"largest_force": force, **result.as_dict(), "outside_training": found.outside}
        return row | {"remarks": remarks_of(row)}, {"positions": found.atoms.positions}


def as_hindered(given: Hindered | Mapping[str, Any] | Sequence[str]) -> Hindered:
    """Options of `Hindered`, however they were given. Raises OptionsError: unknown or missing ones."""
    if isinstance(given, Hindered):
        return given
    values = given if isinstance(given, Mapping) else parse_pairs(given)
    return parse_options(Hindered, values, "hindered")
