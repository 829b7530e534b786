"""`hint compare-thermo IN... --model FILE -o DIR`: Gibbs corrections of a model against a reference."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.molecules import Potential
from hint_plugin.cli.support.potential_options import (
    Charge,
    Cutoff,
    Device,
    EngineOption,
    Fmax,
    Folder,
    Inputs,
    Json,
    Optimize,
    Saddle,
    Spin,
    Temperature,
    a_model,
)
from hint_plugin.cli.support.run_options import Jobs, Parsl, Restart

COLUMNS = "kind where count failed gibbs_correction zero_point_energy enthalpy_correction entropy frequencies"


def compare_thermo(
    context: typer.Context,
    inputs: Inputs,
    model: Annotated[
        Path,
        typer.Option(
            "--model",
            "-m",
            callback=a_model,
            help="Of `hint export` or `hint model list`; or a checkpoint of MACE or NequIP (a pickle).",
        ),
    ],
    output: Folder = Path("compare-thermo"),
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference", help="Engine of the reference; Hessians that are in the files if not given."
        ),
    ] = None,
    engine_option: EngineOption = None,
    optimize: Optimize = False,
    saddle: Saddle = False,
    fmax: Fmax = 0.01,
    temperature: Temperature = 298.15,
    cutoff: Cutoff = 100.0,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    jobs: Jobs = 1,
    parsl: Parsl = None,
    restart: Restart = False,
    json_: Json = False,
) -> None:
    """Compare Gibbs energy corrections G - E of a model with those of a reference.

    The structures are minima and transition states of the reference. The model is asked twice: for its
    Hessian on the reference's geometry, and for the stationary point that it has itself nearby. Writes
    compare-thermo.json and compare-thermo.csv.

    A run that is stopped goes on where it was when the same command is given again.

    Exit status: 0 all done, 3 some failed, 2 nothing could be done, 130 stopped.
    """
    from hint_plugin.cli.support.batch import each_molecule
    from hint_plugin.cli.support.molecules import source_of_hessians
    from hint_plugin.cli.support.tables import show
    from hint_plugin.data.file_io import write_csv, write_json
    from hint_plugin.data.sets.patterns import expand
    from hint_plugin.parallel import Spread
    from hint_plugin.science.molecules.optimization import check_optimiser
    from hint_plugin.science.molecules.thermo_comparison import mean_errors

    inputs = expand(inputs)
    check_optimiser()
    potential = Potential((model, None, None, device, charge, spin))
    potential.calculator()
    source = source_of_hessians(
        None,
        reference,
        engine_option,
        device,
        charge,
        spin,
        relax=optimize or saddle,
        saddle=saddle,
        fmax=fmax,
    )

    work = Comparison(source, potential, charge, spin, {"temperature": temperature, "cutoff": cutoff})
    spread = Spread(jobs, parsl, restart)
    with each_molecule(context, inputs, work, output, spread, source.calculator, model) as batch:
        rows = mean_errors(batch.results)
        batch.about["mean_absolute_errors"] = rows
        write_json(output / "compare-thermo.json", batch.about | batch.as_dict())
        write_csv(output / "compare-thermo.csv", rows, COLUMNS.split())
    if not json_ and rows:
        table = [
            (
                row["kind"],
                row["where"].replace("_", " "),
                f"{row['count']} + {row['failed']}",
                *(_meV(row[key]) for key in ("gibbs_correction", "zero_point_energy")),
                _meV(row["entropy"] and temperature * row["entropy"]),
                "" if row["frequencies"] is None else f"{row['frequencies']:.1f}",
            )
            for row in rows
        ]
        heads = ("of", "on its", "done + not", "G - E", "ZPE", "T S", "cm^-1")
        show(heads, table, left=2, title="mean absolute errors, meV")
        typer.echo(f"written to {output}")
    batch.finish(json_)


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
    potential: Potential
    charge: int
    spin: int | None
    options: dict[str, Any]

    def __call__(self) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
        """Set up a process: load what computes."""
        self.source.load()
        self.potential.calculator()
        return self._work

    def _work(self, name: str, atoms: Any, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        from hint_plugin.potentials.structure_checks import charge_and_multiplicity
        from hint_plugin.science.molecules.thermo_comparison import compare_thermochemistry

        found = self.source(atoms, say)
        multiplicity = charge_and_multiplicity(atoms, self.charge, self.spin)[1]
        row = compare_thermochemistry(
            found.atoms,
            found.hessian,
            self.potential.calculator(),
            say=say,
            multiplicity=multiplicity,
            **self.options,
        )
        return row, {}


def _meV(value: float | None) -> str:
    return "" if value is None else f"{1000 * value:.2f}"
