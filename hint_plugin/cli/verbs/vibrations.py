"""`hint vibrations IN... -o DIR`: frequencies, modes, infrared intensities and spectra of molecules."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.potential_options import (
    Charge,
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
)
from hint_plugin.cli.support.run_options import Jobs, Parsl, Restart


def vibrations(
    context: typer.Context,
    inputs: Inputs,
    output: Folder = Path("vibrations"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    optimize: Optimize = False,
    saddle: Saddle = False,
    fmax: Fmax = 0.01,
    infrared: Annotated[
        bool,
        typer.Option("--ir/--no-ir", help="Intensities from dipoles, 6N evaluations."),
    ] = True,
    width: Annotated[float, typer.Option(min=0.1, help="Of a line in the figure, cm^-1.")] = 10.0,
    md: Annotated[
        float, typer.Option("--md", min=0, help="ps of dynamics: anharmonic density of states.")
    ] = 0.0,
    temperature: Annotated[
        float, typer.Option("--temperature", "-T", min=0, help="Of the dynamics, K.")
    ] = 300.0,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    jobs: Jobs = 1,
    parsl: Parsl = None,
    restart: Restart = False,
    json_: Json = False,
) -> None:
    """Vibrations of molecules: translations and rotations projected out, 3N - 6 modes (linear: 3N - 5).

    Writes vibrations.json, and for each molecule NAME.molden, NAME.modes.xyz (the modes as movies) and
    NAME.png; with --md NAME.md.png. Without model and engine, energies, forces and Hessians are those in the
    files.

    A run that is stopped goes on where it was when the same command is given again.

    Exit status: 0 all done, 3 some failed, 2 nothing could be done, 130 stopped.
    """
    from hint_plugin.cli.support.batch import each_molecule
    from hint_plugin.cli.support.molecules import source_of_hessians
    from hint_plugin.cli.support.tables import show
    from hint_plugin.data.file_io import write_json
    from hint_plugin.data.sets.patterns import expand
    from hint_plugin.parallel import Spread

    inputs = expand(inputs)
    source = source_of_hessians(
        model, engine, engine_option, device, charge, spin, relax=optimize or saddle, saddle=saddle, fmax=fmax
    )

    work = Vibrations(source, output.absolute(), infrared, md, temperature)
    spread = Spread(jobs, parsl, restart)
    with each_molecule(context, inputs, work, output, spread, source.calculator, model) as batch:
        write_json(output / "vibrations.json", batch.about | batch.as_dict())
        for atoms, row, kept in batch.done:  # after all results: a picture that fails costs none
            _draw(output, atoms, row, kept, width)
    if not json_:
        for row in batch.results:
            strengths = row.get("infrared_intensities")
            columns = ["mode", "cm^-1", "mass, amu", "mdyn/A", *(["infrared, km/mol"] if strengths else [])]
            per_mode = zip(row["frequencies"], row["reduced_masses"], row["force_constants"], strict=True)
            rows = [
                (str(k + 1), f"{nu:.1f}", f"{mass:.3f}", f"{constant:.3f}")
                + ((f"{strengths[k]:.1f}",) if strengths else ())
                for k, (nu, mass, constant) in enumerate(per_mode)
            ]
            show(columns, rows, left=0, title=f"{row['name']} ({row['formula']})")
            typer.echo(_in_words(row))
        typer.echo(f"written to {output}")
    batch.finish(json_)


@dataclass(frozen=True)
class Vibrations:
    """The work on one molecule; it travels to worker processes.

    Attributes:
        source: of energies and Hessians.
        output: the folder.
        infrared: whether intensities are wanted.
        md: length of the dynamics, ps; 0 for none.
        temperature: of the dynamics, K.
    """

    source: Any
    output: Path
    infrared: bool
    md: float
    temperature: float

    def __call__(self) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
        """Set up a process: load what computes."""
        self.source.load()
        return self._work

    def _work(self, name: str, atoms: Any, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        from hint_plugin.science.molecules import dipole_derivatives, infrared_intensities, normal_modes
        from hint_plugin.science.molecules.infrared import has_dipole
        from hint_plugin.science.molecules.mode_files import write_molden, write_movies

        found = self.source(atoms, say)
        modes, intensities = normal_modes(found.atoms, found.hessian), None
        if self.infrared and has_dipole(found.atoms):
            say("dipole moments")
            intensities = infrared_intensities(modes, dipole_derivatives(found.atoms))
        write_molden(self.output / f"{name}.molden", modes, intensities)
        write_movies(self.output / f"{name}.modes.xyz", modes)
        row = {
            "energy": found.energy,
            "largest_force": found.largest_force,
            "kind": modes.kind,
            **modes.as_dict(),
        }
        kept = {}
        if self.md:
            density = _dynamics(modes, self.md, self.temperature, say)
            row["density_of_states"] = _as_dict(density)
            kept = {"wavenumbers": density.wavenumbers, "density": density.density}
        if intensities is not None:
            row["infrared_intensities"] = intensities.tolist()
        return row, kept


def _draw(output: Path, atoms: Any, row: dict[str, Any], kept: dict[str, Any], width: float) -> None:
    """NAME.png, and NAME.md.png of dynamics."""
    import numpy as np

    from hint_plugin.science.molecules.dynamics import DensityOfStates
    from hint_plugin.science.molecules.spectrum import Lines, plot_density, plot_spectrum

    lines, strengths = Lines(atoms, np.array(row["frequencies"])), row.get("infrared_intensities")
    intensities = None if strengths is None else np.array(strengths)
    plot_spectrum(output / f"{row['name']}.png", lines, intensities, width)
    if kept:
        temperature = row["density_of_states"]["temperature"]
        density = DensityOfStates(kept["wavenumbers"], kept["density"], temperature)
        plot_density(output / f"{row['name']}.md.png", lines, density, width)


def _dynamics(modes: Any, md: float, temperature: float, say: Any) -> Any:
    """The density of states of dynamics."""
    from hint_plugin.errors import OptionsError
    from hint_plugin.science.molecules.dynamics import vibrational_density

    if modes.atoms.calc is None:
        raise OptionsError("--md needs --model FILE or --engine NAME (gfn2-xtb)")
    return vibrational_density(
        modes.atoms, time=md, temperature=temperature, report=lambda ps: say(f"dynamics: {ps:.1f} ps")
    )


def _as_dict(found: Any) -> dict[str, Any]:
    """A density of states up to 5000 cm^-1."""
    shown = found.wavenumbers < 5000
    return {
        "wavenumbers": found.wavenumbers[shown].tolist(),
        "density": found.density[shown].tolist(),
        "temperature": found.temperature,
    }


def _in_words(row: dict[str, Any]) -> str:
    from hint_plugin.cli.support.molecules import not_stationary

    kind = not_stationary(row) or f"a {row['kind']}"
    return f"{kind}; zero-point energy {row['zero_point_energy']:.4f} eV"
