"""Weighted local density: closed forms, probabilities, recall, and what it finds that chance does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare, norm

from hint_plugin.errors import OptionsError
from hint_plugin.sampling import mean_neighbour_distance
from hint_plugin.sampling.density import farthest_order, random_order, weighted_order

pytest.importorskip("faiss", reason="neighbours are found by faiss")


def clusters(points: int, dimension: int, centres: int = 60, seed: int = 0) -> np.ndarray:
    """Sizes by a power law; each cluster near a plane of 6 dimensions; variance falls off as 1/j^2."""
    rng = np.random.default_rng(seed)
    weights = rng.pareto(1.2, centres) + 0.05
    member = rng.choice(centres, points, p=weights / weights.sum())
    planes = 0.3 * rng.normal(size=(centres, 6, dimension))
    z = rng.normal(size=(centres, dimension))[member] + 0.05 * rng.normal(size=(points, dimension))
    z += np.einsum("ni,nij->nj", rng.normal(size=(points, 6)), planes[member])
    return (z / np.arange(1, dimension + 1)).astype(np.float32)


@pytest.mark.parametrize("search", ["exact", "approximate"])
def test_distances_on_a_lattice(search):
    """A periodic-free square lattice: inside, the 4 nearest are at a, the next 4 at sqrt(2) a."""
    a, side = 0.7, 25
    points = a * np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2).astype(np.float32)
    inside = np.all((points > 0.9 * a) & (points < a * (side - 1.9)), axis=1)
    for k, expected in ((4, a), (8, a * (1 + np.sqrt(2)) / 2)):
        d = mean_neighbour_distance(points, k, search=search, recall=1.0).distance
        assert d[inside] == pytest.approx(expected, rel=1e-5)
    corner = mean_neighbour_distance(points, 3, search=search, recall=1.0).distance[0]
    assert corner == pytest.approx(a * (2 + np.sqrt(2)) / 3, rel=1e-5)


def test_far_from_the_origin_small_distances_survive():
    """|x|^2 - 2xy + |y|^2 in float32 would lose them."""
    line = np.stack([1000 + 0.25 * np.arange(200), np.full(200, 500.0)], 1).astype(np.float32)
    assert mean_neighbour_distance(line, 2).distance[1:-1] == pytest.approx(0.25, rel=1e-6)


def test_duplicates_have_no_distance():
    points = np.repeat(np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32), 12, axis=0)
    assert mean_neighbour_distance(points, 10).distance.max() == 0
    lone = np.vstack([points, [[9, 9, 9]]]).astype(np.float32)
    d = mean_neighbour_distance(lone, 10).distance
    assert d[:-1].max() == 0 and d[-1] > 5
    assert weighted_order(d, 1, seed=3)[0] == len(lone) - 1


@pytest.mark.parametrize("dimension", [24, 300])
def test_recall_of_the_index(dimension):
    """Measured here against all pairs, and what the search says of itself is that number."""
    features = clusters(6000, dimension)
    exact = mean_neighbour_distance(features, 10, search="exact")
    found = mean_neighbour_distance(features, 10, search="approximate", recall=0.95, threads=1)
    assert found.settings["recall"] >= 0.95
    assert (found.distance >= exact.distance * (1 - 1e-4)).all()  # neighbours that are equally far in float32
    close = found.distance <= exact.distance * (1 + 1e-4)  # all ten neighbours are the true ones
    assert close.mean() > 0.7
    assert found.distance.mean() == pytest.approx(exact.distance.mean(), rel=0.02)
    again = mean_neighbour_distance(features, 10, search="approximate", recall=0.95, threads=1)
    assert np.array_equal(again.distance, found.distance)
    full = mean_neighbour_distance(features, 10, search="approximate", recall=1.0, threads=1)
    assert full.settings["recall"] == 1.0
    assert (full.distance <= exact.distance * (1 + 1e-4)).mean() > 0.998


def test_lists_too_small_for_k():
    """Points whose probed lists hold fewer than k others are compared with all."""
    points = clusters(3000, 8)
    exact = mean_neighbour_distance(points, 60, search="exact").distance
    found = mean_neighbour_distance(points, 60, search="approximate", recall=0.01)
    assert found.settings["probed"] == 2 and found.settings["compared_with_all"] > 0
    assert np.isfinite(found.distance).all()
    assert (found.distance >= exact * (1 - 1e-4)).all()
    same = found.distance <= exact * (1 + 1e-4)
    assert same.sum() >= found.settings["compared_with_all"]


def test_data_that_fill_all_dimensions():
    """Where principal components say nothing, lists of whole vectors take over."""
    features = np.random.default_rng(0).normal(size=(3000, 400)).astype(np.float32)
    found = mean_neighbour_distance(features, 10, search="approximate", recall=0.95)
    assert found.settings["recall"] >= 0.95
    assert found.settings["index"] == f"faiss IVF{found.settings['lists']},Flat"


def test_one_draw_follows_p():
    """Chi-square of single draws against p_i = d_i / sum d."""
    d = np.array([0.5, 1.0, 1.5, 2.0, 5.0])
    counts = np.bincount([weighted_order(d, 1, seed)[0] for seed in range(4000)], minlength=5)
    assert chisquare(counts, 4000 * d / d.sum()).pvalue > 0.01


def test_more_draws_are_successive_draws():
    """P(i among two) = p_i + sum_{j != i} p_j p_i / (1 - p_j); numpy's own choice agrees."""
    p = np.array([0.05, 0.1, 0.15, 0.2, 0.5])
    pairs = p[:, None] * p[None] / (1 - p[:, None])  # first i, then j
    np.fill_diagonal(pairs, 0.0)
    unordered = (pairs + pairs.T)[np.triu_indices(5, 1)]
    assert unordered.sum() == pytest.approx(1)

    def counts(draws):
        table = np.zeros((5, 5))
        for i, j in draws:
            table[min(i, j), max(i, j)] += 1
        return table[np.triu_indices(5, 1)]

    ours = counts(weighted_order(p, 2, seed) for seed in range(4000))
    assert chisquare(ours, 4000 * unordered).pvalue > 0.01
    rng = np.random.default_rng(0)
    numpys = counts(rng.choice(5, 2, replace=False, p=p) for _ in range(4000))
    assert chisquare(numpys, 4000 * unordered).pvalue > 0.01


def test_orders_are_permutations_and_their_beginnings_agree():
    d = np.random.default_rng(1).random(500)
    whole = weighted_order(d, 500, seed=4)
    assert sorted(whole) == list(range(500))
    assert np.array_equal(weighted_order(d, 20, seed=4), whole[:20])
    assert not np.array_equal(weighted_order(d, 20, seed=5), whole[:20])
    assert np.array_equal(random_order(500, 20, 4), random_order(500, 500, 4)[:20])


def rare_coverage(seeds: int = 200) -> tuple[float, float, float]:
    """How often 20 of 2010 points hold one of the 10 rare: by WLD, at random, at random by closed form."""
    rng = np.random.default_rng(0)
    dense = [centre + 0.05 * rng.normal(size=(1000, 8)) for centre in (0.0, 3.0)]
    rare = 10.0 + 1.0 * rng.normal(size=(10, 8))
    points = np.vstack([*dense, rare]).astype(np.float32)
    d = mean_neighbour_distance(points, 10).distance
    wld = np.mean([(weighted_order(d, 20, seed) >= 2000).any() for seed in range(seeds)])
    chance = np.mean([(random_order(2010, 20, seed) >= 2000).any() for seed in range(seeds)])
    return float(wld), float(chance), float(1 - np.prod((2000 - np.arange(20)) / (2010 - np.arange(20))))


def test_wld_finds_the_rare_cluster_where_chance_misses_it():
    wld, chance, closed_form = rare_coverage()
    print(
        f"a rare cluster (10 of 2010) among 20 chosen: WLD {wld:.1%}, random {chance:.1%} ({closed_form:.1%})"
    )
    assert chance == pytest.approx(closed_form, abs=3 * np.sqrt(closed_form * (1 - closed_form) / 200))
    assert wld > 0.8 and closed_form < 0.1


def test_farthest_points():
    """On a line 0..10 from any start: the second is an end, the third the other end or the middle."""
    line = np.arange(11, dtype=np.float32)[:, None]
    order, distance, cover = farthest_order(line, 4, seed=0, block=3)
    start = int(np.random.default_rng(0).integers(11))
    assert order[0] == start
    for i in range(1, 4):
        gaps = np.abs(line - line[order[:i]].T).min(axis=1)
        assert distance[i] == gaps.max() == gaps[order[i]]
    assert cover == np.abs(line - line[order].T).min(axis=1).max()
    assert sorted(farthest_order(np.zeros((6, 2), np.float32), 6, seed=1)[0]) == list(range(6))


def test_farthest_points_cover_better_than_chance():
    features = clusters(1500, 20)
    _, _, cover = farthest_order(features, 60, seed=0)
    chance = random_order(1500, 60, 0)
    gaps = [np.linalg.norm(features - features[i], axis=1) for i in chance]
    assert cover < np.min(gaps, axis=0).max()


@pytest.mark.parametrize(("k", "message"), [(0, "wanted 1 to 9"), (10, "wanted 1 to 9")])
def test_impossible_numbers_of_neighbours(k, message):
    with pytest.raises(OptionsError, match=message):
        mean_neighbour_distance(np.zeros((10, 2), np.float32), k)


def test_mean_distance_of_a_gaussian():
    """In one dimension with density n f(x), the nearest neighbour is 1 / (2 n f(x)) away on average."""
    n = 20_000
    x = np.random.default_rng(0).normal(size=n).astype(np.float32)
    d = mean_neighbour_distance(x[:, None], 1, search="approximate", recall=0.999).distance
    for low, high in ((-0.2, 0.2), (0.9, 1.1)):
        there = (x > low) & (x < high)
        expected = np.mean(1 / (2 * n * norm.pdf(x[there])))
        assert d[there].mean() == pytest.approx(expected, rel=5 / np.sqrt(there.sum()))
