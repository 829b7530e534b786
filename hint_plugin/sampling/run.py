"""What `hint sample METHOD` does: one function for each method, of the same name and options.

    from hint_plugin.sampling.run import wld
    found = wld("frames.xyz", n=200, hessians="10%")
    found.plan.choices[0].reason
    found.write("plan.json", extract="chosen.xyz")

or `sample("wld", "frames.xyz", n=200, hessians="10%")`. Beside its own options, each takes

- `inputs`: files of structures, folders of shards, patterns; one or several.
- `output`: of the plan, JSON. None: it is not written, and computed features are not kept.
- `n` or `fraction`: frames to choose.
- `hessians`: how many of them get a Hessian: "all", "200", "0.1", "10%".
- `seed`: of all random numbers.
- `extract`, `keep_all`, `figure`: files that are written beside the plan (`SampleResult.write`).
- `report`: called with what is being done, how much of it is done, and how much there is (0: not known).

and returns a `SampleResult` with `plan`, `sample`, `as_dict()` and `write(output)`. Files that cannot be
read, and options with which nothing can be done, raise a HintError.

Of features (`wld`, `fps`):

- `features`: .npy of your own, a row a frame. `model`: of MACE (a pickle: only if trusted), on `device`.
  Without both: SOAP, of `r_cut`, `n_max`, `l_max`, `soap_sigma`, `average`, `compression` (`SoapSettings`).
- `scale`: none or standard; `pca`: how many principal components are kept.
- `cache`: folder of computed features; None: PLAN's stem + .features.
- `jobs`: processes; threads for neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hint_plugin.data.outputs import as_path
from hint_plugin.data.structures.displaced import DisplaceSettings
from hint_plugin.errors import OptionsError
from hint_plugin.sampling.displace import make_displaced
from hint_plugin.sampling.energy import Rank
from hint_plugin.sampling.methods import (
    DEFAULT_K,
    Budget,
    FeatureSettings,
    sample_density,
    sample_energy,
    sample_farthest,
    sample_random,
)
from hint_plugin.sampling.neighbours import Search
from hint_plugin.sampling.population import Report
from hint_plugin.sampling.reduce import Scale
from hint_plugin.sampling.soap import Average, Compression, SoapSettings
from hint_plugin.sampling.task import Inputs, SampleResult, SamplingTask
from hint_plugin.settings import as_float

__all__ = ["SampleResult", "displace", "energy", "fps", "random", "sample", "wld"]


def sample(method: str, inputs: Inputs, output: str | Path | None = None, **options: Any) -> SampleResult:
    """`wld`, `fps`, `random`, `energy` or `displace`, which see for the options.

    Raises:
        OptionsError: no such method. HintError: what it raises.
    """
    if method not in METHODS:
        raise OptionsError(f"no method '{method}'; wanted {', '.join(METHODS)}")
    return METHODS[method](inputs, output, **options)


def wld(
    inputs: Inputs,
    output: str | Path | None = None,
    *,
    n: int | None = None,
    fraction: float | None = None,
    hessians: str = "all",
    seed: int = 0,
    neighbours: int | None = None,
    search: Search = "auto",
    recall: float = 0.95,
    features: str | Path | None = None,
    model: str | Path | None = None,
    device: str = "cpu",
    scale: Scale = "none",
    pca: int | None = None,
    cache: str | Path | None = None,
    jobs: int = 1,
    r_cut: float = 5.0,
    n_max: int = 6,
    l_max: int = 4,
    soap_sigma: float = 0.5,
    average: Average = "inner",
    compression: Compression = "auto",
    extract: str | Path | None = None,
    keep_all: bool = False,
    figure: str | Path | None = None,
    report: Report | None = None,
) -> SampleResult:
    """Weighted local density (`sample_density`): frames far from their neighbours are drawn more often.

    See `hint_plugin.sampling.run` for the other arguments.

    Args:
        neighbours: nearest ones in the mean distance; None: 10, or all others.
        search: for them, auto, exact or approximate.
        recall: wanted of an approximate search.
    """
    soap = SoapSettings(float(r_cut), n_max, l_max, float(soap_sigma), average, compression)
    chosen = FeatureSettings(soap, as_path(model), device, as_path(features), scale, pca)
    task = SamplingTask(inputs, output, extract, keep_all, figure, report)
    population = task.survey()
    values, about = task.features(population, chosen, as_path(cache), seed, jobs)
    return task.finish(
        sample_density(
            population,
            values,
            about,
            Budget(n, as_float(fraction), hessians, seed),
            k=min(DEFAULT_K, max(1, len(population) - 1)) if neighbours is None else neighbours,
            search=search,
            recall=float(recall),
            threads=jobs,
            report=report,
        )
    )


def fps(
    inputs: Inputs,
    output: str | Path | None = None,
    *,
    n: int | None = None,
    fraction: float | None = None,
    hessians: str = "all",
    seed: int = 0,
    features: str | Path | None = None,
    model: str | Path | None = None,
    device: str = "cpu",
    scale: Scale = "none",
    pca: int | None = None,
    cache: str | Path | None = None,
    jobs: int = 1,
    r_cut: float = 5.0,
    n_max: int = 6,
    l_max: int = 4,
    soap_sigma: float = 0.5,
    average: Average = "inner",
    compression: Compression = "auto",
    extract: str | Path | None = None,
    keep_all: bool = False,
    figure: str | Path | None = None,
    report: Report | None = None,
) -> SampleResult:
    """Farthest-point sampling (`sample_farthest`); see `hint_plugin.sampling.run` for the arguments."""
    soap = SoapSettings(float(r_cut), n_max, l_max, float(soap_sigma), average, compression)
    chosen = FeatureSettings(soap, as_path(model), device, as_path(features), scale, pca)
    task = SamplingTask(inputs, output, extract, keep_all, figure, report)
    population = task.survey()
    values, about = task.features(population, chosen, as_path(cache), seed, jobs)
    return task.finish(
        sample_farthest(population, values, about, Budget(n, as_float(fraction), hessians, seed))
    )


def random(
    inputs: Inputs,
    output: str | Path | None = None,
    *,
    n: int | None = None,
    fraction: float | None = None,
    hessians: str = "all",
    seed: int = 0,
    extract: str | Path | None = None,
    keep_all: bool = False,
    figure: str | Path | None = None,
    cache: str | Path | None = None,
    jobs: int = 1,
    report: Report | None = None,
) -> SampleResult:
    """All frames equally probable; see `hint_plugin.sampling.run` for the arguments.

    A figure needs features: SOAP with its defaults.
    """
    task = SamplingTask(inputs, output, extract, keep_all, figure, report)
    population = task.survey()
    found = sample_random(population, Budget(n, as_float(fraction), hessians, seed))
    if figure is not None:
        found.features, _ = task.features(population, FeatureSettings(), as_path(cache), seed, jobs)
    return task.finish(found)


def energy(
    inputs: Inputs,
    output: str | Path | None = None,
    *,
    n: int | None = None,
    fraction: float | None = None,
    hessians: str = "all",
    seed: int = 0,
    rank: Rank = "high",
    energy_key: str = "REF_energy",
    extract: str | Path | None = None,
    keep_all: bool = False,
    figure: str | Path | None = None,
    report: Report | None = None,
) -> SampleResult:
    """Extreme energies among frames of the same formula (`sample_energy`).

    See `hint_plugin.sampling.run` for the other arguments; without `n` and `fraction`, 5 % are chosen.

    Args:
        rank: the high or the low energies.
        energy_key: where they are, in info.
    """
    if n is None and fraction is None:
        fraction = 0.05
    task = SamplingTask(inputs, output, extract, keep_all, figure, report)
    population = task.survey(energy_key)
    budget = Budget(n, as_float(fraction), hessians, seed)
    return task.finish(sample_energy(population, budget, rank=rank, energy_key=energy_key))


def displace(
    inputs: Inputs,
    output: str | Path | None = None,
    *,
    extract: str | Path,
    sigma: float = 0.4,
    copies: int = 1,
    supercell: tuple[int, int, int] = (1, 1, 1),
    floor: float = 0.6,
    max_rounds: int = 1000,
    hessians: str = "all",
    seed: int = 0,
    figure: str | Path | None = None,
    report: Report | None = None,
) -> SampleResult:
    """New structures: Gaussian displacements of all atoms, with a floor on distances (`make_displaced`).

    See `hint_plugin.sampling.run` for the other arguments.

    Args:
        extract: file of the new structures, without labels (.xyz, .h5); the plan is of its frames.
        sigma: standard deviation of each Cartesian component, A.
        copies: for each structure that is read.
        supercell: repetitions along the cell vectors, first.
        floor: no distance below this times the sum of covalent radii.
        max_rounds: draws for atoms that come too close.
    """
    settings = DisplaceSettings(float(sigma), copies, supercell, float(floor), max_rounds, seed)
    task = SamplingTask(inputs, output, extract, False, figure, report)
    made = make_displaced(task.inputs, Path(extract), settings, hessians, report=report)
    return task.finish(made, made=True)


METHODS: dict[str, Callable[..., SampleResult]] = {
    "wld": wld, "fps": fps, "random": random, "energy": energy, "displace": displace
}  # fmt: skip
