"""Mean distances to the nearest neighbours, exact or by an inverted-file index of faiss.

The weighted local density of the HINT paper, Eq. 1: for each point i

    d_i = 1/k sum_{j in NN_k(i)} |x_i - x_j|,      p_i = d_i / sum_j d_j.

| symbol | here |
|---|---|
| x_i | `features[i]` |
| k | `k`: neighbours, the point itself not among them |
| d_i | `Neighbourhoods.distance` |

Neighbours are found in float32 by |x|^2 - 2 x.y + |y|^2 about the mean of all points; their
distances are computed from differences, so that points that nearly coincide do not lose theirs to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hint_plugin.errors import OptionsError
from hint_plugin.optional import load
from hint_plugin.sampling.population import Report

Search = Literal["auto", "exact", "approximate"]

EXACT_LIMIT = 50_000
"""Points up to which "auto" compares all pairs: 50,000 of 500 features take half a minute on two cores."""
RECALL_QUERIES = 1000
_BLOCK = 4096
_COMPONENTS = 64


@dataclass(frozen=True)
class Neighbourhoods:
    """What a search for neighbours has found.

    Attributes:
        distance: [points] float64, mean distance to the k nearest.
        settings: how they were found, for the plan: search, k, and of an approximate one the lists, the
            probed ones, and `recall`: the fraction of the true k nearest that it finds, measured on
            `recall_queries` random points against all pairs.
    """

    distance: NDArray[np.float64]
    settings: dict[str, Any]


def mean_neighbour_distance(
    features: NDArray[np.float32],
    k: int,
    *,
    search: Search = "auto",
    recall: float = 0.95,
    seed: int = 0,
    threads: int | None = None,
    report: Report | None = None,
) -> Neighbourhoods:
    """d_i of all points.

    Args:
        features: [points, dimension], float32; may be mapped from a file.
        k: neighbours.
        search: "exact": all pairs. "approximate": each point is compared with the points of the lists (cells
            of a k-means partition) nearest to it; so many lists are probed that `recall` is reached on a
            random sample. "auto": exact up to `EXACT_LIMIT` points.
        recall: wanted of an approximate search.
        seed: of the partition and of the sample.
        threads: of faiss; all cores if None.
        report: told the number of points that are done.

    Raises:
        OptionsError: a single point, k is not from 1 to points - 1, no such search, recall not in (0, 1].
        MissingDependencyError: faiss is not installed.
    """
    points, dimension = features.shape
    if points < 2:
        raise OptionsError(
            "one frame has no neighbours; wanted two at least. hint sample random takes it as it is"
        )
    if not 1 <= k < points:
        raise OptionsError(f"{k} nearest neighbours of {points} points; wanted 1 to {points - 1}")
    if search not in get_args(Search):
        raise OptionsError(f"search {search!r}; wanted {', '.join(get_args(Search))}")
    if not 0 < recall <= 1:
        raise OptionsError(f"recall {recall}; wanted more than 0, at most 1")
    faiss = _faiss()
    settings: dict[str, Any]
    centred = _Centred(features)
    before = faiss.omp_get_max_threads()
    if threads is not None:
        faiss.omp_set_num_threads(threads)
    try:
        if search == "exact" or (search == "auto" and points <= EXACT_LIMIT):
            index, settings = faiss.IndexFlatL2(dimension), {"search": "exact"}
            _add(index, centred)
        else:
            index, settings = _inverted_file(faiss, centred, k, recall, seed)
        distance = np.empty(points)
        for start in range(0, points, _BLOCK):
            own = np.arange(start, min(start + _BLOCK, points))
            distance[own] = _distances(features, own, nearest(index, centred, own, k)).mean(axis=1)
            if report:
                report("neighbours", int(own[-1]) + 1, points)
        # points whose lists hold fewer than k others: the lone ones, of which none must get lost
        lone = np.flatnonzero(np.isinf(distance))
        if settings["search"] == "approximate":
            settings["compared_with_all"] = len(lone)
        for start in range(0, len(lone), _BLOCK):
            own = lone[start : start + _BLOCK]
            distance[own] = _exact_distances(faiss, centred, own, k).mean(axis=1)
    finally:
        faiss.omp_set_num_threads(before)
    return Neighbourhoods(distance, {"k": k} | settings)


class _Centred:
    """Rows of a matrix without the mean of all of them, float32."""

    def __init__(self, features: NDArray[np.float32]) -> None:
        self.features, self.shape = features, features.shape
        every = max(1, len(features) // 10_000)
        self.mean = features[::every].mean(axis=0, dtype=np.float64).astype(np.float32)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.features[rows] - self.mean, dtype=np.float32)


def nearest(index: Any, points: _Centred, own: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """[len(own), k]: the neighbours of points that are in the index too; -1 where too few are found."""
    found = index.search(points[own], k + 1)[1]
    # a duplicate may stand in the first column in the point's place, or push it out altogether
    itself = found == own[:, None]
    itself[~itself.any(axis=1), -1] = True
    return found[~itself].reshape(len(own), k)


def _distances(
    features: NDArray[np.float32], own: NDArray[np.int64], neighbours: NDArray[np.int64]
) -> NDArray[np.float64]:
    """[len(own), k], from differences; infinite where there is no neighbour."""
    found = np.empty(neighbours.shape)
    here = np.asarray(features[own])
    for column in range(neighbours.shape[1]):  # one neighbour at a time: [points, k, dimension] is large
        difference = features[np.maximum(neighbours[:, column], 0)] - here
        found[:, column] = np.sqrt(np.einsum("ij,ij->i", difference, difference, dtype=np.float64))
    return np.where(neighbours < 0, np.inf, found)


def _inverted_file(
    faiss: Any, centred: _Centred, k: int, recall: float, seed: int
) -> tuple[Any, dict[str, Any]]:
    points, dimension = centred.shape
    lists = max(1, min(round(4 * np.sqrt(points)), points // 39))  # 39: what faiss wants to train a list
    rng = np.random.default_rng(seed)
    queries = np.sort(rng.choice(points, min(points, RECALL_QUERIES), replace=False))
    truth = _exact_distances(faiss, centred, queries, k)
    trained_on = np.sort(rng.choice(points, min(points, max(50 * lists, 2 * dimension)), replace=False))
    training = centred[trained_on]
    names = [f"IVF{lists},Flat"]
    if dimension > 2 * _COMPONENTS:
        # lists are chosen and scanned in principal components, then candidates are compared in full: twice as
        # quick as lists of whole vectors, unless the data fill more dimensions than that
        names.insert(0, f"PCA{_COMPONENTS},IVF{lists},Flat,RFlat")
    for name in names:
        index = faiss.index_factory(dimension, name)
        refined = name.endswith("RFlat")
        inverted = faiss.extract_index_ivf(index.base_index if refined else index)
        inverted.cp.seed, inverted.cp.niter = seed + 1, 10
        index.train(training)
        _add(index, centred)
        probe, candidates, before = min(2, lists), 2, 0.0
        while True:
            inverted.nprobe = probe
            if refined:
                index.k_factor = candidates
            found = _distances(centred.features, queries, nearest(index, centred, queries, k))
            measured = _recall(found, truth)
            stuck = refined and probe >= 8 and measured < before + 0.01
            if measured >= recall or probe >= lists or stuck:
                break
            probe, candidates, before = min(2 * probe, lists), min(2 * candidates, 64), measured
        if measured >= recall:
            break
    settings = {"search": "approximate", "index": f"faiss {name}", "lists": lists, "probed": probe}
    return index, settings | {
        "candidates": candidates * (k + 1) if refined else None,
        "recall": round(measured, 4),
        "recall_queries": len(queries),
        "faiss": faiss.__version__,
    }


def _exact_distances(
    faiss: Any, centred: _Centred, queries: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """[queries, k] distances to the true neighbours, ascending; one pass through all points."""
    here = centred[queries]
    best = faiss.ResultHeap(len(queries), k + 1)
    block = 16 * _BLOCK
    for start in range(0, len(centred), block):
        part = centred[start : start + block]
        squared, found = faiss.knn(here, part, min(k + 1, len(part)))
        best.add_result(squared, found + start)
    best.finalize()
    itself = queries[:, None] == best.I
    itself[~itself.any(axis=1), -1] = True
    neighbours = best.I[~itself].reshape(len(queries), k)
    return np.sort(_distances(centred.features, queries, neighbours), axis=1)


def _recall(found: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Fraction of the found neighbours that are within the distance of the true k-th one: of points that are
    equally far any will do."""
    return float((found <= truth[:, -1:] * (1 + 1e-6) + 1e-12).mean())


def _add(index: Any, points: _Centred) -> None:
    for start in range(0, len(points), 16 * _BLOCK):
        index.add(points[start : start + 16 * _BLOCK])


def _faiss() -> Any:
    return load("faiss", "sample", "nearest neighbours need faiss (faiss-cpu)")
