"""From frames to a `SamplingPlan`: weighted local density, farthest points, energy, random."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hint_plugin.data import SamplingPlan
from hint_plugin.errors import OptionsError
from hint_plugin.sampling.budget import chosen_count, hessian_count
from hint_plugin.sampling.cache import feature_matrix
from hint_plugin.sampling.density import farthest_order, random_order, weighted_order
from hint_plugin.sampling.energy import Rank, energy_order
from hint_plugin.sampling.neighbours import Search, mean_neighbour_distance
from hint_plugin.sampling.population import Population, Report
from hint_plugin.sampling.reduce import Scale, fit_reduction, load_features
from hint_plugin.sampling.soap import SoapFeatures, SoapSettings

DEFAULT_K = 10


@dataclass(frozen=True)
class Budget:
    """How many frames, how many Hessians among them, and the seed.

    Attributes:
        n, fraction: of all frames; one of the two.
        hessians: "all", a number, a fraction or a percentage of the chosen.
        seed: of all random numbers.
    """

    n: int | None = None
    fraction: float | None = None
    hessians: str = "all"
    seed: int = 0


@dataclass(frozen=True)
class FeatureSettings:
    """Where the features come from: `array`, else `model`, else SOAP.

    Attributes:
        soap: of the descriptor.
        model: a MACE `.model` file, a pickle; its invariant node features, averaged over the atoms.
        device: where the model runs.
        array: a .npy file [frames, dimension].
        scale: "none" or "standard".
        pca: principal components to keep, None for all.
        cache: folder of the computed features.
    """

    soap: SoapSettings = field(default_factory=SoapSettings)
    model: Path | None = None
    device: str = "cpu"
    array: Path | None = None
    scale: Scale = "none"
    pca: int | None = None
    cache: Path = Path("hint-features")


@dataclass
class Sample:
    """A plan, and what a figure of it shows.

    Attributes:
        plan: the choice.
        chosen: [chosen], numbers of the frames through all files, ascending.
        score: [frames]: what the choice was made by, d_i or a relative energy; None for random choices.
        score_name: what it is, with its unit.
        features: [frames, dimension] as they were compared, or None.
        notes: for people.
    """

    plan: SamplingPlan
    chosen: NDArray[np.int64]
    score: NDArray[np.float64] | None = None
    score_name: str = ""
    features: NDArray[np.float32] | None = None
    notes: list[str] = field(default_factory=list)


def features_of(
    population: Population,
    settings: FeatureSettings,
    *,
    seed: int = 0,
    jobs: int = 1,
    report: Report | None = None,
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The features that frames are compared by, and how they were made.

    Raises:
        DataError, OptionsError, MissingDependencyError: see `feature_matrix`, `load_features`,
            `fit_reduction`, `SoapFeatures`.
    """
    if settings.array is not None and settings.model is not None:
        raise OptionsError("give --features or --model, not both")
    if settings.array is not None:
        raw = load_features(settings.array, len(population))
        about: dict[str, Any] = {"features": str(settings.array)}
    else:
        featurizer: Any
        if settings.model is not None:
            # by name: sampling and mace are siblings, and only who asks for a model pays for importing MACE
            from importlib import import_module

            module = import_module("hint_plugin.mace.features")
            featurizer = module.MaceFeatures(settings.model, population.elements, device=settings.device)
        else:
            featurizer = SoapFeatures(population.elements, settings.soap)
        raw = feature_matrix(population, featurizer, settings.cache, jobs=jobs, report=report)
        about = featurizer.identity()
    about["dimension"] = int(raw.shape[1])
    if settings.scale == "none" and settings.pca is None:
        return raw, about
    reduction = fit_reduction(raw, settings.scale, settings.pca, seed)
    about |= {
        "scale": settings.scale,
        "pca": settings.pca,
        "explained_variance": round(reduction.explained, 5),
    }
    return reduction.apply(raw), about


def sample_density(
    population: Population,
    features: NDArray[np.float32],
    about: dict[str, Any],
    budget: Budget,
    *,
    k: int = DEFAULT_K,
    search: Search = "auto",
    recall: float = 0.95,
    threads: int | None = None,
    report: Report | None = None,
) -> Sample:
    """Weighted local density, Eq. 1 of the HINT paper: frames far from their neighbours are drawn more often.

    d_i is the mean distance of frame i to its `k` nearest neighbours, p_i = d_i / sum d the probability that
    it is drawn, without replacement. Hessians go to those drawn first.

    Args:
        population: the frames.
        features: [frames, dimension].
        about: how they were made, for the plan.
        budget: how many.
        k, search, recall, threads, report: see `mean_neighbour_distance`.
    """
    n = chosen_count(budget.n, budget.fraction, len(population))
    found = mean_neighbour_distance(
        features, k, search=search, recall=recall, seed=budget.seed, threads=threads, report=report
    )
    d = found.distance
    order = weighted_order(d, n, budget.seed)
    probability = d / d.sum() if d.any() else np.full(len(d), 1 / len(d))
    reasons = [f"d = {d[i]:.4g}, p = {probability[i]:.3g}, drawn as {at}" for at, i in enumerate(order, 1)]
    settings = about | found.settings | {"mean_d": float(d.mean()), "mean_d_chosen": float(d[order].mean())}
    notes = [f"mean distance to {k} neighbours: {d.mean():.4g} of all, {d[order].mean():.4g} of the chosen"]
    if "recall" in found.settings:
        notes.append(
            f"neighbours by {found.settings['index']}: recall {found.settings['recall']:.4f} on "
            f"{found.settings['recall_queries']} random frames"
        )
        if found.settings["recall"] < recall:
            notes.append(f"recall {recall} was not reached; --search exact, or fewer dimensions by --pca")
    if not d.all():
        notes.append(f"{int((d == 0).sum())} frames coincide with {k} others; they are taken last")
    plan = _plan("wld", population, order, d[order], reasons, budget, settings)
    return Sample(plan, np.sort(order), d, "mean distance d", features, notes)


def sample_farthest(
    population: Population, features: NDArray[np.float32], about: dict[str, Any], budget: Budget
) -> Sample:
    """Farthest-point sampling on the features; Hessians go to the first points."""
    n = chosen_count(budget.n, budget.fraction, len(population))
    order, distance, cover = farthest_order(features, n, budget.seed)
    reasons = ["random start", *(f"{d:.4g} from those before, pick {at}" for at, d in enumerate(distance, 1))]
    del reasons[1]
    plan = _plan("fps", population, order, distance, reasons, budget, about)
    notes = [f"every frame is within {cover:.4g} of a chosen one"]
    return Sample(plan, np.sort(order), None, "", features, notes)


def sample_random(population: Population, budget: Budget) -> Sample:
    """All frames equally probable, without replacement."""
    n = chosen_count(budget.n, budget.fraction, len(population))
    order = random_order(len(population), n, budget.seed)
    reasons = [f"drawn as {at}" for at in range(1, n + 1)]
    return Sample(_plan("random", population, order, None, reasons, budget, {}), np.sort(order))


def sample_energy(
    population: Population, budget: Budget, *, rank: Rank = "high", energy_key: str = "REF_energy"
) -> Sample:
    """The highest or lowest energies among frames of the same formula; a random part of them gets Hessians.

    Raises:
        DataError: a frame has no energy.
        OptionsError: no formula occurs twice, or more frames are wanted than can be compared.
    """
    found = energy_order(population, rank, budget.n, budget.fraction, budget.seed, energy_key)
    reasons = [
        f"{found.relative[i]:+.4g} eV/atom from the mean of {population.formulas[population.formula[i]]}, "
        f"{rank}est rank {found.rank[i] + 1} of {found.size[i]}"
        for i in found.order
    ]
    settings = {"rank": rank, "energy_key": energy_key, "formulas": len(population.formulas)}
    settings["left_out"] = found.singles
    scores = found.relative[found.order]
    plan = _plan("energy", population, found.order, scores, reasons, budget, settings)
    notes = [
        f"{len(set(population.formula[found.order].tolist()))} of {len(population.formulas)} formulas chosen"
    ]
    if found.singles:
        notes.append(f"{found.singles} frames are the only ones of their formula: nothing to rank, left out")
    sample = Sample(plan, np.sort(found.order), found.relative, "energy relative to isomers (eV/atom)")
    sample.notes = notes
    return sample


def _plan(
    method: str,
    population: Population,
    order: NDArray[np.int64],
    scores: NDArray[np.float64] | None,
    reasons: list[str],
    budget: Budget,
    settings: dict[str, Any],
) -> SamplingPlan:
    hessians = hessian_count(budget.hessians, len(order))
    choices = []
    for at in np.argsort(order):
        score = None if scores is None else float(scores[at])
        wanted: Literal["hessian", "energy_forces"] = "hessian" if at < hessians else "energy_forces"
        choices.append(population.choice(int(order[at]), wanted, reasons[at], score))
    asked = {"n": budget.n, "fraction": budget.fraction, "hessians": budget.hessians, "seed": budget.seed}
    return SamplingPlan(method, asked | settings, population.sources, tuple(choices))
