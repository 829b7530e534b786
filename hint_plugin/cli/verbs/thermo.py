"""`hint thermo IN... -o DIR`: enthalpies, entropies and Gibbs energies of molecules."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.potential_options import (
    Charge,
    Cutoff,
    Device,
    Engine,
    EngineOption,
    Fmax,
    Folder,
    Inputs,
    Json,
    Model,
    Optimize,
    Saddle,
    Spin,
    Temperature,
)
from hint_plugin.cli.support.run_options import Jobs, Parsl, Restart

COLUMNS = (
    "name formula kind symmetry_number multiplicity energy zero_point_energy enthalpy entropy gibbs_energy "
    "gibbs_correction largest_force"
)


def thermo(
    context: typer.Context,
    inputs: Inputs,
    output: Folder = Path("thermo"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    optimize: Optimize = False,
    saddle: Saddle = False,
    fmax: Fmax = 0.01,
    temperature: Temperature = 298.15,
    pressure: Annotated[
        float, typer.Option("--pressure", "-p", min=0, help="Pa; 101325 is 1 atm.")
    ] = 101325.0,
    symmetry_number: Annotated[
        int | None, typer.Option(min=1, help="Of the rotations; found from the geometry if not given.")
    ] = None,
    cutoff: Cutoff = 100.0,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    jobs: Jobs = 1,
    parsl: Parsl = None,
    restart: Restart = False,
    json_: Json = False,
) -> None:
    """Gibbs energies of molecules in the gas: rigid rotor, harmonic oscillators, quasi-RRHO entropy.

    A structure with one imaginary mode is a transition state: that mode is left out, and named. With more it
    is refused, and with --optimize one is already too many. Without model and engine, energies, forces and
    Hessians are those in the files. Writes thermo.json and thermo.csv.

    A run that is stopped goes on where it was when the same command is given again.

    Exit status: 0 all done, 3 some failed, 2 nothing could be done, 130 stopped.
    """
    from hint_plugin.cli.support.batch import each_molecule
    from hint_plugin.cli.support.molecules import not_stationary, source_of_hessians
    from hint_plugin.cli.support.tables import show
    from hint_plugin.data.file_io import write_csv, write_json
    from hint_plugin.data.sets.patterns import expand
    from hint_plugin.parallel import Spread

    inputs = expand(inputs)
    source = source_of_hessians(
        model, engine, engine_option, device, charge, spin, relax=optimize or saddle, saddle=saddle, fmax=fmax
    )

    gas: dict[str, Any] = {"temperature": temperature, "pressure": pressure, "cutoff": cutoff}
    gas["symmetry_number"] = symmetry_number
    work, spread = Gas(source, charge, spin, gas), Spread(jobs, parsl, restart)
    with each_molecule(context, inputs, work, output, spread, source.calculator, model) as batch:
        write_json(output / "thermo.json", batch.about | batch.as_dict())
        write_csv(output / "thermo.csv", batch.results, COLUMNS.split())
    if not json_ and batch.results:
        rows = [
            (
                row["name"],
                "TS" if row["imaginary"] else "minimum",
                str(row["symmetry_number"]),
                *(f"{row[key]:.4f}" for key in ("energy", "zero_point_energy")),
                f"{temperature * row['entropy']:.4f}",
                *(f"{row[key]:.4f}" for key in ("gibbs_correction", "gibbs_energy")),
            )
            for row in batch.results
        ]
        title = f"eV at {temperature:g} K and {pressure:g} Pa"
        show(("molecule", "kind", "sigma", "E", "ZPE", "T S", "G - E", "G"), rows, left=2, title=title)
        for row in batch.results:
            if warning := not_stationary(row):
                typer.echo(f"{row['name']} is {warning}")
            if left_out := _left_out(row):
                typer.echo(f"{row['name']}: {left_out}")
        typer.echo(f"written to {output}")
    batch.finish(json_)


@dataclass(frozen=True)
class Gas:
    """The work on one molecule; it travels to worker processes.

    Attributes:
        source: of energies and Hessians.
        charge, spin: of molecules that state none.
        options: of `thermochemistry`.
    """

    source: Any
    charge: int
    spin: int | None
    options: dict[str, Any]

    def __call__(self) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
        """Set up a process: load what computes."""
        self.source.load()
        return self._work

    def _work(self, name: str, atoms: Any, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        from hint_plugin.potentials.structure_checks import charge_and_multiplicity
        from hint_plugin.science.molecules import normal_modes, thermochemistry

        found = self.source(atoms, say)
        multiplicity = charge_and_multiplicity(atoms, self.charge, self.spin)[1]
        modes = normal_modes(found.atoms, found.hessian)
        result = thermochemistry(modes, found.energy, multiplicity=multiplicity, **self.options)
        return {"largest_force": found.largest_force, **result.as_dict()}, {}


def _left_out(row: dict[str, Any]) -> str:
    """Which modes do not count as they are, in words; else nothing."""
    parts = []
    if row["imaginary"]:
        parts.append(f"the imaginary mode of {row['imaginary'][0]:.1f} cm^-1 is left out (transition state)")
    if row["inverted"]:
        listed = ", ".join(f"{nu:.1f}" for nu in row["inverted"])
        parts.append(f"{listed} cm^-1, imaginary by less than 10, counts as real")
    return "; ".join(parts)
