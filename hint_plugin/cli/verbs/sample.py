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
    list[Path], typer.Argument(metavar="IN...", help="Structures: .xyz, .h5, 'runs/*.xyz', ...")
]
Output = Annotated[Path, typer.Option("--output", "-o", callback=a_file, help="The plan, JSON.")]
Number = Annotated[int | None, typer.Option("-n", "--number", min=1, help="Frames to choose.")]
Fraction = Annotated[float | None, typer.Option(help="Choose this part of the frames, not -n.")]
Hessians = Annotated[str, typer.Option(help="How many get a Hessian: all, 200, 0.1, 10%.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all random numbers.")]
ExtractTo = Annotated[
    Path | None,
    typer.Option("--extract", callback=a_file, help="Write the chosen (.xyz, .h5), Hessians as planned."),
]
KeepAll = Annotated[bool, typer.Option("--keep-all", help="With --extract: all frames, Hessians as planned.")]
Picture = Annotated[
    Path | None,
    typer.Option("--figure", callback=a_file, help="Map and distributions; numbers in .json."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes, threads for neighbours.")]
Features = Annotated[Path | None, typer.Option(help="Features of your own: .npy, a row a frame.")]
Model = Annotated[
    Path | None,
    typer.Option("--model", "-m", help="Of MACE (a pickle: only if trusted), not SOAP."),
]
Device = Annotated[str, typer.Option(help="Where the model runs: cpu, cuda.")]
ScaleBy = Annotated[Scale, typer.Option(metavar="NAME", help="none, standard (deviations).")]
Components = Annotated[int | None, typer.Option("--pca", min=1, help="Keep so many principal components.")]
Cache = Annotated[
    Path | None, typer.Option(help="Folder of computed features. [default: PLAN's stem + .features]")
]
RCut = Annotated[float, typer.Option("--r-cut", help="SOAP: cutoff, A.")]
NMax = Annotated[int, typer.Option("--n-max", help="SOAP: radial functions.")]
LMax = Annotated[int, typer.Option("--l-max", help="SOAP: highest angular momentum.")]
Sigma = Annotated[float, typer.Option("--soap-sigma", help="SOAP: width of an atom, A.")]
AverageBy = Annotated[Average, typer.Option(metavar="NAME", help="SOAP: inner, outer, elements.")]
Compress = Annotated[Compression, typer.Option(metavar="NAME", help="SOAP: auto, off, mu1nu1, mu2.")]


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
            "--neighbours", "-k", min=1, help="Nearest neighbours in the mean. [default: 10, or all others]"
        ),
    ] = None,
    search: Annotated[Search, typer.Option(metavar="NAME", help="auto, exact, approximate.")] = Search.auto,
    recall: Annotated[float, typer.Option(min=0, max=1, help="Wanted of an approximate search.")] = 0.95,
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
    """Weighted local density: frames far from their neighbours in feature space are drawn more often.

    d_i is the mean distance to the k nearest neighbours, p_i = d_i / sum d (the HINT paper, Eq. 1), without
    replacement. Computed features stay in the cache: another -n, -k or seed is quick, a killed run goes on.
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
    """Farthest-point sampling: each frame is the farthest from those chosen before. Exact; n passes."""
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
    """All frames equally probable: the baseline. A figure needs features: SOAP with its defaults."""
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
        Rank, typer.Option(help="The highest or the lowest energies of each formula.")
    ] = Rank.high,
    energy_key: Annotated[str, typer.Option(help="Where the energies are, in info.")] = "REF_energy",
    extract: ExtractTo = None,
    keep_all: KeepAll = False,
    figure: Picture = None,
    json_: AsJson = False,
) -> None:
    """Extreme energies among stoichiometric isomers, the highest 5 % if nothing else is said.

    Only frames of the same formula are compared; each formula gets its share of the choice. Hessians go to a
    random part of the chosen.
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
        typer.Option("--extract", callback=a_file, help="The new structures, without labels (.xyz, .h5)."),
    ],
    sigma: Annotated[float, typer.Option(help="Standard deviation of each Cartesian component, A.")] = 0.4,
    copies: Annotated[int, typer.Option(min=1, help="New structures for each one that is read.")] = 1,
    supercell: Annotated[
        tuple[int, int, int],
        typer.Option(help="Repetitions along the cell vectors, first."),
    ] = (1, 1, 1),
    floor: Annotated[
        float, typer.Option(help="No distance below this times the sum of covalent radii; images count.")
    ] = 0.6,
    max_rounds: Annotated[int, typer.Option(min=1, help="Draws for atoms that come too close.")] = 1000,
    hessians: Hessians = "all",
    seed: Seed = 0,
    figure: Picture = None,
    json_: AsJson = False,
) -> None:
    """Make structures: Gaussian displacements of all atoms, with a floor on distances. The cell stays."""
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
    verb = "made" if found["method"] == "displace" else f"of {found['frames']} frames chosen"
    lines = [f"{found['chosen']} {verb} by {found['method']}, {found['hessians']} to get a Hessian"]
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
