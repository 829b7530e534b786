"""`hint sample METHOD IN... -o PLAN.json`: what to label and train on; or new structures."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.outputs import a_file
from hint_plugin.cli.support.progress import StatusLine

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Choose frames to label or to train on, and say why in a plan; or make displaced structures.",
)


class Average(str, Enum):
    """How SOAP is averaged over atoms."""

    inner = "inner"
    outer = "outer"
    elements = "elements"


class Compression(str, Enum):
    """Of pairs of elements."""

    auto = "auto"
    off = "off"
    mu1nu1 = "mu1nu1"
    mu2 = "mu2"


class Scale(str, Enum):
    """Of the features."""

    none = "none"
    standard = "standard"


class Search(str, Enum):
    """For neighbours."""

    auto = "auto"
    exact = "exact"
    approximate = "approximate"


class Rank(str, Enum):
    """Which energies."""

    high = "high"
    low = "low"


# options of several methods, each defined once
Inputs = Annotated[
    list[Path], typer.Argument(metavar="IN...", help="Files of structures: .xyz, .h5, 'runs/*.xyz', ...")
]
Output = Annotated[Path, typer.Option("--output", "-o", callback=a_file, help="File for the plan (JSON).")]
Number = Annotated[int | None, typer.Option("-n", "--number", min=1, help="Number of frames to choose.")]
Fraction = Annotated[float | None, typer.Option(help="Fraction of the frames to choose, instead of -n.")]
Hessians = Annotated[str, typer.Option(help="Number or fraction of Hessians: all, 200, 0.1, 10%.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")]
ExtractTo = Annotated[
    Path | None,
    typer.Option(
        "--extract",
        callback=a_file,
        help="Write the chosen frames here, with Hessians as planned.",
    ),
]
KeepAll = Annotated[
    bool, typer.Option("--keep-all", help="Extract all frames, with Hessians only as planned.")
]
Picture = Annotated[
    Path | None,
    typer.Option("--figure", callback=a_file, help="Draw a map and distributions (.png, .pdf, .svg)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Number of processes or threads.")]
Features = Annotated[Path | None, typer.Option(help="Your own features: .npy with one row per frame.")]
Model = Annotated[
    Path | None,
    typer.Option("--model", "-m", help="Trusted MACE model (a pickle) to use instead of SOAP."),
]
Device = Annotated[str, typer.Option(help="Device of the model: cpu, cuda.")]
ScaleBy = Annotated[Scale, typer.Option(metavar="NAME", help="Scale the features: none, standard.")]
Components = Annotated[
    int | None, typer.Option("--pca", min=1, help="Keep only this number of principal components.")
]
Cache = Annotated[Path | None, typer.Option(help="Folder of features. \\[default: PLAN's stem + .features]")]
RCut = Annotated[float, typer.Option("--r-cut", help="Cutoff of SOAP in A.")]
NMax = Annotated[int, typer.Option("--n-max", help="Number of radial functions of SOAP.")]
LMax = Annotated[int, typer.Option("--l-max", help="Highest angular momentum of SOAP.")]
Sigma = Annotated[float, typer.Option("--soap-sigma", help="Width of an atom in SOAP, in A.")]
AverageBy = Annotated[Average, typer.Option(metavar="NAME", help="Average of SOAP: inner, outer, elements.")]
Compress = Annotated[Compression, typer.Option(metavar="NAME", help="Compress SOAP: auto, off, mu1nu1, mu2.")]


@app.command()
def wld(
    inputs: Inputs,
    output: Output,
    n: Number = None,
    fraction: Fraction = None,
    hessians: Hessians = "all",
    seed: Seed = 0,
    k: Annotated[
        int | None,
        typer.Option(
            "--neighbours",
            "-k",
            min=1,
            help="Number of neighbours. \\[default: 10, or all others]",
        ),
    ] = None,
    search: Annotated[
        Search, typer.Option(metavar="NAME", help="Search: auto, exact or approximate.")
    ] = Search.auto,
    recall: Annotated[
        float,
        typer.Option(min=0, max=1, help="Fraction of true neighbours that an approximate search finds."),
    ] = 0.95,
    features: Features = None,
    model: Model = None,
    device: Device = "cpu",
    scale: ScaleBy = Scale.none,
    pca: Components = None,
    cache: Cache = None,
    jobs: Jobs = 1,
    r_cut: RCut = 5.0,
    n_max: NMax = 6,
    l_max: LMax = 4,
    soap_sigma: Sigma = 0.5,
    average: AverageBy = Average.inner,
    compression: Compress = Compression.auto,
    extract: ExtractTo = None,
    keep_all: KeepAll = False,
    figure: Picture = None,
    json_: AsJson = False,
) -> None:
    """Draw frames that are far from their neighbours in feature space more often.

    This is the weighted local density: frames are drawn without replacement with p_i = d_i / sum d, where d_i
    is the mean distance to the k nearest neighbours (HINT paper, Eq. 1). Features stay in the cache, so that
    another -n, -k or seed is quick and the same command continues a run that was stopped.
    """
    from hint_plugin.sampling import run

    with _Progress("reading") as progress:
        found = run.wld(
            inputs,
            output,
            n=n,
            fraction=fraction,
            hessians=hessians,
            seed=seed,
            neighbours=k,
            search=search.value,
            recall=recall,
            features=features,
            model=model,
            device=device,
            scale=scale.value,
            pca=pca,
            cache=cache,
            jobs=jobs,
            r_cut=r_cut,
            n_max=n_max,
            l_max=l_max,
            soap_sigma=soap_sigma,
            average=average.value,
            compression=compression.value,
            extract=extract,
            keep_all=keep_all,
            figure=figure,
            report=progress,
        )
    _say(found.as_dict(), json_)


@app.command()
def fps(
    inputs: Inputs,
    output: Output,
    n: Number = None,
    fraction: Fraction = None,
    hessians: Hessians = "all",
    seed: Seed = 0,
    features: Features = None,
    model: Model = None,
    device: Device = "cpu",
    scale: ScaleBy = Scale.none,
    pca: Components = None,
    cache: Cache = None,
    jobs: Jobs = 1,
    r_cut: RCut = 5.0,
    n_max: NMax = 6,
    l_max: LMax = 4,
    soap_sigma: Sigma = 0.5,
    average: AverageBy = Average.inner,
    compression: Compress = Compression.auto,
    extract: ExtractTo = None,
    keep_all: KeepAll = False,
    figure: Picture = None,
    json_: AsJson = False,
) -> None:
    """Choose each frame as the farthest from those chosen before (farthest-point sampling).

    The choice is exact and passes over all features n times.
    """
    from hint_plugin.sampling import run

    with _Progress("reading") as progress:
        found = run.fps(
            inputs,
            output,
            n=n,
            fraction=fraction,
            hessians=hessians,
            seed=seed,
            features=features,
            model=model,
            device=device,
            scale=scale.value,
            pca=pca,
            cache=cache,
            jobs=jobs,
            r_cut=r_cut,
            n_max=n_max,
            l_max=l_max,
            soap_sigma=soap_sigma,
            average=average.value,
            compression=compression.value,
            extract=extract,
            keep_all=keep_all,
            figure=figure,
            report=progress,
        )
    _say(found.as_dict(), json_)


@app.command()
def random(
    inputs: Inputs,
    output: Output,
    n: Number = None,
    fraction: Fraction = None,
    hessians: Hessians = "all",
    seed: Seed = 0,
    extract: ExtractTo = None,
    keep_all: KeepAll = False,
    figure: Picture = None,
    cache: Cache = None,
    jobs: Jobs = 1,
    json_: AsJson = False,
) -> None:
    """Choose frames with equal probability, as a baseline.

    A figure needs features: SOAP with its default settings. Only then --cache and --jobs are used.
    """
    from hint_plugin.sampling import run

    with _Progress("reading") as progress:
        found = run.random(
            inputs,
            output,
            n=n,
            fraction=fraction,
            hessians=hessians,
            seed=seed,
            extract=extract,
            keep_all=keep_all,
            figure=figure,
            cache=cache,
            jobs=jobs,
            report=progress,
        )
    _say(found.as_dict(), json_)


@app.command()
def energy(
    inputs: Inputs,
    output: Output,
    n: Number = None,
    fraction: Fraction = None,
    hessians: Hessians = "all",
    seed: Seed = 0,
    rank: Annotated[
        Rank, typer.Option(help="Choose the highest or the lowest energies of each formula.")
    ] = Rank.high,
    energy_key: Annotated[str, typer.Option(help="Key of the energies in info.")] = "REF_energy",
    extract: ExtractTo = None,
    keep_all: KeepAll = False,
    figure: Picture = None,
    json_: AsJson = False,
) -> None:
    """Choose extreme energies among stoichiometric isomers, by default the highest 5 %.

    Only frames of the same formula are compared, and each formula gets its share of the choice. A random part
    of the chosen frames gets Hessians.
    """
    from hint_plugin.sampling import run

    with _Progress("reading") as progress:
        found = run.energy(
            inputs,
            output,
            n=n,
            fraction=fraction,
            hessians=hessians,
            seed=seed,
            rank=rank.value,
            energy_key=energy_key,
            extract=extract,
            keep_all=keep_all,
            figure=figure,
            report=progress,
        )
    _say(found.as_dict(), json_)


@app.command()
def displace(
    inputs: Inputs,
    output: Output,
    extract: Annotated[
        Path,
        typer.Option(
            "--extract", callback=a_file, help="File for the new structures, without labels (.xyz, .h5)."
        ),
    ],
    sigma: Annotated[float, typer.Option(help="Standard deviation of each Cartesian component, in A.")] = 0.4,
    copies: Annotated[
        int, typer.Option(min=1, help="Number of new structures for each input structure.")
    ] = 1,
    supercell: Annotated[
        tuple[int, int, int],
        typer.Option(help="Repeat the cell along its vectors first."),
    ] = (1, 1, 1),
    floor: Annotated[
        float,
        typer.Option(help="Smallest distance, images included, in units of the sum of covalent radii."),
    ] = 0.6,
    max_rounds: Annotated[
        int, typer.Option(min=1, help="Largest number of draws for atoms that are too close.")
    ] = 1000,
    hessians: Hessians = "all",
    seed: Seed = 0,
    figure: Picture = None,
    json_: AsJson = False,
) -> None:
    """Make structures with Gaussian displacements of all atoms and a floor on distances.

    The cell is not strained.
    """
    from hint_plugin.sampling import run

    with _Progress("reading") as progress:
        found = run.displace(
            inputs,
            output,
            extract=extract,
            sigma=sigma,
            copies=copies,
            supercell=supercell,
            floor=floor,
            max_rounds=max_rounds,
            hessians=hessians,
            seed=seed,
            figure=figure,
            report=progress,
        )
    _say(found.as_dict(), json_)


class _Progress(StatusLine):
    """How far it is."""

    def __call__(self, what: str, done: int, total: int) -> None:
        self.say(f"{what}: {done}" + (f" of {total} frames" if total else " frames"))


def _say(found: dict[str, Any], json_: bool) -> None:
    import json

    typer.echo(json.dumps(found, indent=2) if json_ else _in_words(found))


def _in_words(found: dict[str, Any]) -> str:
    verb = "structures made" if found["method"] == "displace" else f"of {found['frames']} frames chosen"
    lines = [f"{found['chosen']} {verb} by {found['method']}; {found['hessians']} of them get a Hessian"]
    lines += found["notes"]
    lines.append(f"plan: {found['plan']}; {found['seconds']:.1f} s")
    if "extract" in found:
        written = found["extract"]
        lines.append(
            f"written to {written['path']}: {written['frames']} frames, "
            f"{written['hessians']} with a Hessian label"
        )
        if written["hessians"] < found["hessians"]:
            lines.append(f"label them next: hint label --plan {found['plan']} -o labelled.xyz")
    if found.get("figure"):
        lines.append(f"figure: {found['figure']}")
    return "\n".join(lines)
