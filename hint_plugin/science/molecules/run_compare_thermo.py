"""What `hint compare-thermo` does: Gibbs corrections of a model against a reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hint_plugin.data.file_io import write_csv, write_json
from hint_plugin.data.outputs import a_folder, as_path
from hint_plugin.parallel import Batch, Spread
from hint_plugin.parallel.batch import asked_for
from hint_plugin.potentials.on_demand import OnDemand
from hint_plugin.potentials.structure_checks import charge_and_multiplicity
from hint_plugin.science.molecules.curvature import source_of_hessians
from hint_plugin.science.molecules.molecule_inputs import Inputs, given
from hint_plugin.science.molecules.optimization import check_optimiser
from hint_plugin.science.molecules.over_molecules import each_molecule, say_at_the_end
from hint_plugin.science.molecules.remarks import how_many_are_not
from hint_plugin.science.molecules.thermo_comparison import compare_thermochemistry, mean_errors

COLUMNS = "kind where count failed gibbs_correction zero_point_energy enthalpy_correction entropy frequencies"


@dataclass(frozen=True)
class ThermoComparison(Batch):
    """A model against a reference, molecule by molecule (`compare_thermochemistry`)."""

    @property
    def mean_absolute_errors(self) -> list[dict[str, Any]]:
        """See `thermo_comparison.mean_errors`."""
        rows: list[dict[str, Any]] = self.about["mean_absolute_errors"]
        return rows

    def write(self, output: str | Path) -> None:
        """compare-thermo.json and compare-thermo.csv in the folder, which is made."""
        folder = as_path(output)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "compare-thermo.json", self.as_dict())
        write_csv(folder / "compare-thermo.csv", self.mean_absolute_errors, COLUMNS.split())


def compare_thermo(
    inputs: Inputs,
    potential: Any,
    output: str | Path | None = None,
    *,
    reference: Any = None,
    optimize: bool = False,
    saddle: bool = False,
    fmax: float = 0.01,
    temperature: float = 298.15,
    cutoff: float = 100.0,
    device: str = "cpu",
    charge: int = 0,
    spin: int | None = None,
    jobs: int = 1,
    parsl: str | Path | None = None,
    restart: bool = False,
    report: Any = None,
) -> ThermoComparison:
    """Compare Gibbs corrections G - E of a model with a reference; see `hint_plugin.science.molecules.run`.

    The structures are stationary points of the reference. The model is asked twice: for its Hessian on the
    reference's geometry, and for the stationary point that it has itself nearby.

    Args:
        inputs, output, device, charge, spin, jobs, parsl, restart, report: see there.
        potential: the model, as there.
        reference: what computes the reference, as `potential`; None: the Hessians that are in the files.
        optimize, saddle: go to the reference's nearest minimum, or to a transition state, first.
        fmax: eV/A, the largest force on an atom at the end of that.
        temperature: K.
        cutoff: cm^-1, of Grimme's entropy of soft modes; 0: harmonic oscillators.

    Raises:
        HintError: files, options or packages with which nothing can be done; a run that is stopped.
    """
    asked, place = asked_for(locals()), a_folder(as_path(output))
    molecules = given(inputs)
    check_optimiser()
    model = OnDemand.of(potential, device, charge, spin)
    model.calculator()
    what = None if reference is None else OnDemand.of(reference, device, charge, spin)
    source = source_of_hessians(what, relax=optimize or saddle, saddle=saddle, fmax=fmax)
    work = Comparison(source, model, charge, spin, {"temperature": temperature, "cutoff": cutoff})
    spread, found = Spread(jobs, as_path(parsl), restart), ThermoComparison()
    asked |= _reference(source.asked()) | _calculator(model.asked())
    with each_molecule(
        "compare-thermo", asked, molecules, work, place, spread, found, source.potential, model.model, report
    ) as display:
        say_at_the_end(found, display, how_many_are_not(found.results, "corrections"))
        found.about["mean_absolute_errors"] = mean_errors(found.results)
        if place is not None:
            found.write(place)
    return found


@dataclass(frozen=True)
class Comparison:
    """The work on one molecule; it travels to worker processes.

    Attributes:
        source: of the reference's Hessians.
        potential: the model.
        charge, spin: of molecules that state none.
        options: of `thermochemistry`.
    """

    source: Any
    potential: OnDemand
    charge: int
    spin: int | None
    options: dict[str, Any]

    def __call__(self) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
        """Set up a process: load what computes."""
        self.source.load()
        self.potential.calculator()
        return self._work

    def _work(self, name: str, atoms: Any, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        found = self.source(atoms, say)
        multiplicity = charge_and_multiplicity(atoms, self.charge, self.spin)[1]
        row = compare_thermochemistry(
            found.atoms,
            found.hessian,
            self.potential.calculator(),
            largest_force=found.largest_force,
            say=say,
            multiplicity=multiplicity,
            **self.options,
        )
        return row, {}


def _reference(asked: dict[str, Any]) -> dict[str, Any]:
    """What the journal says of the reference: the option that names it is `reference`."""
    return {"reference" if name == "engine" else name: value for name, value in asked.items()}


def _calculator(asked: dict[str, Any]) -> dict[str, Any]:
    """What the journal says of the model, where it is a calculator; a file counts by its content."""
    return {"model": asked["calculator"]} if "calculator" in asked else {}
