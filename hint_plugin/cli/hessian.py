"""`hint hessian IN... -o OUT`: exact Hessians of molecules, as labels."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.outputs import a_file
from hint_plugin.cli.potential_options import (
    Charge,
    Device,
    Engine,
    EngineOption,
    Inputs,
    Json,
    Model,
    Spin,
    make_calculator,
)


def hessian(
    inputs: Inputs,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            callback=a_file,
            help="The structures with energy, forces and Hessian, .xyz or .h5.",
        ),
    ],
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    device: Device = "cpu",
    charge: Charge = 0,
    spin: Spin = None,
    json_: Json = False,
) -> None:
    """Compute Hessians (eV/A^2), and say what their spectra look like.

    The output is a file of labels as `hint label` writes it: `hint vibrations` and `hint thermo` read it, and
    trainings do. Beside it, OUT.json has the spectra. For many structures on many cores take `hint label`.

    Exit status: 0 all done, 3 some failed, 2 nothing could be done.
    """
    from hint_plugin.cli.molecules import Computed, each_molecule, save_structures
    from hint_plugin.cli.outputs import check_file
    from hint_plugin.cli.provenance import run_provenance
    from hint_plugin.cli.tables import show
    from hint_plugin.data import HessianLabel, LabelKeys, clear_labels, write_label
    from hint_plugin.data.patterns import expand
    from hint_plugin.science.molecules import normal_modes

    inputs = expand(inputs)
    check_file(output, inputs)
    source = Computed(make_calculator(model, engine, engine_option, device, charge, spin), False, False)
    keys, written = LabelKeys(), []

    def work(name: str, atoms: Any, say: Any) -> dict[str, Any]:
        found = source(atoms, say)
        modes = normal_modes(atoms, found.hessian)
        labelled = atoms.copy()
        clear_labels(labelled)
        labelled.info[keys.energy] = found.energy
        labelled.arrays[keys.forces] = atoms.get_forces()
        provenance = source.calculator.provenance(atoms) | {"hessian": "full"}
        write_label(labelled, HessianLabel.full(found.hessian, provenance=provenance))
        written.append(labelled)
        return {"energy": found.energy, "largest_force": found.largest_force, **modes.as_dict()}

    batch = each_molecule(inputs, source.calculator, work)
    about = save_structures(
        output, "hessian", written, batch, run_provenance(inputs, model, source.calculator)
    )
    if not json_ and batch.results:
        rows = []
        for row in batch.results:
            nu = row["frequencies"] or [float("nan")]
            numbers = (f"{row['energy']:.5f}", f"{row['largest_force']:.4f}", str(row["imaginary_modes"]))
            rows.append((row["name"], *numbers, f"{nu[0]:.1f}", f"{nu[-1]:.1f}"))
        show(("molecule", "E, eV", "force, eV/A", "imaginary", "lowest, cm^-1", "highest"), rows)
        typer.echo(f"written to {output}")
    batch.finish(json_, about)
