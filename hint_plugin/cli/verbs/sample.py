"""`hint sample METHOD IN... -o PLAN.json`: what to label and train on; or new structures."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from hint_plugin.cli.support.outputs import a_file
from hint_plugin.cli.support.sample_task import SamplingTask

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
    from hint_plugin.sampling import sample_density
    from hint_plugin.sampling.methods import DEFAULT_K

    soap = _soap(r_cut, n_max, l_max, soap_sigma, average, compression)
    chosen_features = _features(output, features, model, device, scale, pca, cache, soap)
    with SamplingTask(inputs, output, extract, keep_all, figure, json_) as task:
        population = task.survey()
        values, about = task.features(population, chosen_features, seed, jobs)
        task.finish(
            sample_density(
                population,
                values,
                about,
                _budget(n, fraction, hessians, seed),
                k=k or min(DEFAULT_K, max(1, len(population) - 1)),
                search=search.value,
                recall=recall,
                threads=jobs,
                report=task.report,
            )
        )


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
    from hint_plugin.sampling import sample_farthest

    soap = _soap(r_cut, n_max, l_max, soap_sigma, average, compression)
    chosen_features = _features(output, features, model, device, scale, pca, cache, soap)
    with SamplingTask(inputs, output, extract, keep_all, figure, json_) as task:
        population = task.survey()
        values, about = task.features(population, chosen_features, seed, jobs)
        task.finish(sample_farthest(population, values, about, _budget(n, fraction, hessians, seed)))


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
    from hint_plugin.sampling import SoapSettings, sample_random

    with SamplingTask(inputs, output, extract, keep_all, figure, json_) as task:
        population = task.survey()
        sample = sample_random(population, _budget(n, fraction, hessians, seed))
        if figure is not None:
            settings = _features(output, None, None, "cpu", Scale.none, None, cache, SoapSettings())
            sample.features, _ = task.features(population, settings, seed, jobs)
        task.finish(sample)


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
    from hint_plugin.sampling import sample_energy

    if n is None and fraction is None:
        fraction = 0.05
    with SamplingTask(inputs, output, extract, keep_all, figure, json_) as task:
        population = task.survey(energy_key)
        budget = _budget(n, fraction, hessians, seed)
        task.finish(sample_energy(population, budget, rank=rank.value, energy_key=energy_key))


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
    from hint_plugin.sampling import DisplaceSettings
    from hint_plugin.sampling.displace import make_displaced

    settings = DisplaceSettings(sigma, copies, supercell, floor, max_rounds, seed)
    with SamplingTask(inputs, output, extract, False, figure, json_) as task:
        sample = make_displaced(task.inputs, extract, settings, hessians, report=task.report)
        task.finish(sample, made=True)


def _budget(n: int | None, fraction: float | None, hessians: str, seed: int) -> Any:
    from hint_plugin.sampling import Budget

    return Budget(n, fraction, hessians, seed)


def _soap(
    r_cut: float, n_max: int, l_max: int, sigma: float, average: Average, compression: Compression
) -> Any:
    from hint_plugin.sampling import SoapSettings

    return SoapSettings(r_cut, n_max, l_max, sigma, average.value, compression.value)


def _features(
    output: Path,
    array: Path | None,
    model: Path | None,
    device: str,
    scale: Scale,
    pca: int | None,
    cache: Path | None,
    soap: Any,
) -> Any:
    from hint_plugin.sampling import FeatureSettings

    folder = cache or output.with_name(output.stem + ".features")
    return FeatureSettings(soap, model, device, array, scale.value, pca, folder)
