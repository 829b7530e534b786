"""`hint cubic STRUCTURE -o DIR`: cubic force constants of a crystal, for phono3py and ShengBTE."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.potential_options import (
    Device,
    Engine,
    EngineOption,
    Folder,
    Json,
    Model,
    potential_of,
)
from hint_plugin.cli.support.run_options import Jobs, Parsl, Restart
from hint_plugin.cli.verbs.phonons import Relaxation, Structure, Supercell, supercell_of


class Method(str, Enum):
    """How third derivatives are made."""

    best = "best"
    exact = "exact"
    products = "products"
    forces = "forces"


PhononSupercell = Annotated[
    tuple[str, str, str] | None,
    typer.Option(metavar="N N N", help="Supercell of the harmonic force constants; by default --supercell."),
]
PairCutoff = Annotated[
    float | None,
    typer.Option(help="Longest distance of two of the three atoms of a cubic force constant, in A."),
]
Relax = Annotated[
    Relaxation,
    typer.Option(metavar="NAME", help="Relax first, keeping the symmetry: no, positions, or cell (both)."),
]
HowThird = Annotated[
    Method,
    typer.Option(
        metavar="NAME",
        help="exact: a third differentiation; products: differences of Hv; forces; best: the first possible.",
    ),
]
LargestForce = Annotated[float, typer.Option(min=0, help="Largest force after --relax, in eV/A.")]
Step = Annotated[
    float | None, typer.Option(help="A, of differences: 0.001 (products) or 0.01 (forces) by default.")
]
Precision = Annotated[float, typer.Option(help="Tolerance of the symmetry, in A.")]
Born = Annotated[Path | None, typer.Option(help="BORN file of phonopy; it splits modes at Gamma.")]


def cubic(
    structure: Structure,
    output: Folder = Path("cubic"),
    model: Model = None,
    engine: Engine = None,
    engine_option: EngineOption = None,
    supercell: Supercell = None,
    phonon_supercell: PhononSupercell = None,
    cutoff: PairCutoff = None,
    relax: Relax = Relaxation.no,
    fmax: LargestForce = 1e-3,
    method: HowThird = Method.best,
    step: Step = None,
    born: Born = None,
    precision: Precision = 1e-5,
    device: Device = "cpu",
    jobs: Jobs = 1,
    parsl: Parsl = None,
    restart: Restart = False,
    json_: Json = False,
) -> None:
    """Compute cubic force constants of a crystal, from as few derivatives as its symmetry allows.

    The command finds what the symmetry leaves of the force constants, differentiates the energy three times
    along a few random vectors, and fits. It writes phono3py_disp.yaml, fc2.hdf5 and fc3.hdf5 for phono3py,
    shengbte/FORCE_CONSTANTS_2ND, FORCE_CONSTANTS_3RD and CONTROL for ShengBTE, reach.csv and cubic.json. A
    run that is stopped continues when the same command is given again.

    Exit status: 0 done, 2 nothing could be done, 130 stopped.
    """
    import json

    from hint_plugin.cli.support.progress import Bar
    from hint_plugin.cli.support.tables import show
    from hint_plugin.science.phonons import run_cubic

    repeats, wide = supercell_of(supercell), supercell_of(phonon_supercell, "--phonon-supercell")
    with Bar("third derivatives", "vectors") as bar:
        found = run_cubic.cubic(
            structure,
            potential_of(model, engine, engine_option),
            output,
            supercell=repeats,
            phonon_supercell=wide,
            cutoff=cutoff,
            relax=relax.value,
            fmax=fmax,
            method=method.value,
            step=step,
            born=born,
            precision=precision,
            device=device,
            jobs=jobs,
            parsl=parsl,
            restart=restart,
            report=bar,
        )
    result = found.as_dict()
    if json_:
        typer.echo(json.dumps(result, indent=2))
        return
    show(("", ""), rows(result), left=1)
    for note in result["notes"]:
        typer.echo(note)
    typer.echo(f"written to {output}")


def rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """What a person wants to see of `CubicResult.as_dict`."""
    checks = result["checks"]
    cost = f"{result['forces']} forces" if result["method"] == "forces" else f"{result['products']} products"
    if result["method"] == "exact":
        cost += ", each differentiated once more"
    return [
        ("space group", result["space_group"]),
        ("supercell", f"{result['atoms_in_supercell']} atoms, {result['parameters']} parameters"),
        ("third derivatives", f"{result['vectors']} vectors: {cost}"),
        ("sum rule, before", f"{checks['sum_rule']:.1e} of the size of a vector"),
        ("permutations, before", f"{checks['permutation']:.1e}"),
        ("left by the fit", f"{checks['residual']:.1e}"),
        ("foretold within", f"{checks['foretold']:.1e}"),
    ]
