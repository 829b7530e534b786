"""The search for neighbours with an index that the test decides: lists, probes, when it gives up, recall."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hint_plugin.errors import OptionsError
from hint_plugin.sampling import mean_neighbour_distance, neighbours


class Index:
    """In the place of one of faiss."""

    def __init__(self, name: str) -> None:
        self.name, self.cp, self.nprobe, self.k_factor = name, SimpleNamespace(), None, None
        self.rows: list[np.ndarray] = []
        if name.endswith("RFlat"):
            self.base_index = SimpleNamespace(of=self)

    def train(self, rows):
        self.trained = rows

    def add(self, rows):
        self.rows.append(rows)


class Faiss:
    """What `_inverted_file` asks of faiss; each probe of an index finds the next of its recalls."""

    __version__ = "0"

    def __init__(self, monkeypatch, **recalls) -> None:
        self.recalls = {name: iter(values) for name, values in recalls.items()}
        self.made: list[Index] = []
        self.tries: list[tuple] = []
        self.queries = None
        monkeypatch.setattr(neighbours, "nearest", lambda index, *_: index)
        monkeypatch.setattr(neighbours, "_distances", lambda features, own, index: index)
        monkeypatch.setattr(neighbours, "_exact_distances", self.exact)
        monkeypatch.setattr(neighbours, "_recall", self.recall)

    def index_factory(self, dimension, name):
        self.made.append(Index(name))
        return self.made[-1]

    def extract_index_ivf(self, index):
        inner = index.of if isinstance(index, SimpleNamespace) else index
        assert isinstance(index, SimpleNamespace) == inner.name.endswith("RFlat")
        return inner

    def exact(self, faiss, centred, queries, k):
        self.queries = queries

    def recall(self, index, truth):
        kind = "pca" if index.name.startswith("PCA64,") else "plain"
        self.tries.append((kind, index.nprobe, index.k_factor))
        return next(self.recalls[kind])


def search(monkeypatch, points: int, dimension: int = 1, k: int = 3, recall: float = 0.95, **recalls):
    """(what it said, the fake) for points 0, 1, 2 and so on."""
    faiss = Faiss(monkeypatch, **recalls)
    values = np.zeros((points, dimension), np.float32)
    values[:, 0] = np.arange(points)
    index, settings = neighbours._inverted_file(faiss, neighbours._Centred(values), k, recall, 7)
    assert index is faiss.made[-1]
    return settings, faiss


@pytest.mark.parametrize(
    ("points", "dimension", "lists", "trained"),
    [
        (5, 1, 1, 5),
        (77, 1, 1, 50),  # 39 points train a list, and 50 are used for it
        (77, 30, 1, 60),  # twice the dimension at least
        (78, 1, 2, 78),
        (3900, 1, 100, 3900),
        (40_000, 1, 800, 40_000),  # 4 sqrt(n)
        (90_000, 1, 1200, 60_000),
    ],
)
def test_how_many_lists_and_what_trains_them(monkeypatch, points, dimension, lists, trained):
    settings, faiss = search(monkeypatch, points, dimension, plain=[1.0])
    (index,) = faiss.made
    assert settings["lists"] == lists and index.name == f"IVF{lists},Flat"
    assert settings["probed"] == min(2, lists)
    assert len(np.unique(index.trained[:, 0])) == len(index.trained) == trained
    assert len(np.unique(faiss.queries)) == len(faiss.queries) == min(points, 1000)
    assert settings["recall_queries"] == len(faiss.queries)


def test_every_point_is_in_the_index_once(monkeypatch):
    """Added in blocks, about the mean."""
    monkeypatch.setattr(neighbours, "_BLOCK", 5)
    _, faiss = search(monkeypatch, 203, plain=[1.0])
    assert np.concatenate(faiss.made[0].rows)[:, 0].tolist() == [i - 101 for i in range(203)]
    assert max(map(len, faiss.made[0].rows)) == 16 * 5


def test_probes_are_doubled_until_the_recall_is_reached(monkeypatch):
    """However little each doubling brings, where whole vectors are compared; up to all lists."""
    settings, faiss = search(monkeypatch, 3900, plain=[0.5, 0.5, 0.5, 0.5, 0.95])
    assert faiss.tries == [("plain", probe, None) for probe in (2, 4, 8, 16, 32)]
    assert settings == {
        "search": "approximate", "index": "faiss IVF100,Flat", "lists": 100, "probed": 32, "candidates": None,
        "recall": 0.95, "recall_queries": 1000, "faiss": "0",
    }  # fmt: skip
    settings, faiss = search(monkeypatch, 117, plain=[0.5, 0.123456])
    assert [probe for _, probe, _ in faiss.tries] == [2, 3] and settings["recall"] == 0.1235
    assert settings["probed"] == settings["lists"] == 3


def test_principal_components_come_first_where_features_are_many(monkeypatch):
    """More than twice their 64; then the candidates double with the probes, up to 64 times as many."""
    assert len(search(monkeypatch, 117, 128, plain=[1.0])[1].made) == 1
    settings, faiss = search(monkeypatch, 3900, 129, pca=[0.5, 0.6, 0.615, 0.97])
    assert faiss.tries == [("pca", n, n) for n in (2, 4, 8, 16)]
    assert settings["index"] == "faiss PCA64,IVF100,Flat,RFlat" and settings["candidates"] == 16 * (3 + 1)
    gains = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    settings, faiss = search(monkeypatch, 3900, 129, pca=gains, plain=[0.99])
    assert faiss.tries == [
        *(("pca", n, n) for n in (2, 4, 8, 16, 32, 64)), ("pca", 100, 64), ("plain", 2, None)
    ]  # fmt: skip
    assert settings["index"] == "faiss IVF100,Flat" and settings["candidates"] is None


def test_components_that_say_nothing_are_given_up(monkeypatch):
    """From eight lists on, where a doubling brings less than 0.01."""
    _, faiss = search(monkeypatch, 3900, 129, pca=[0.5, 0.5, 0.505], plain=[0.95])
    assert faiss.tries == [("pca", 2, 2), ("pca", 4, 4), ("pca", 8, 8), ("plain", 2, None)]


def test_the_mean_that_points_are_counted_from():
    """Of all, or of each n-th where there are n times 10,000; and far from the origin it is what is left."""
    points = 1e6 + np.array([[0.0], [1.0], [5.0]], np.float32)
    assert neighbours._Centred(points)[np.array([2, 0])].tolist() == [[3.0], [-2.0]]
    many = np.arange(30_000, dtype=np.float32)[:, None]
    assert neighbours._Centred(many).mean.tolist() == [14_998.5]  # of 0, 3, ..., 29,997
    assert len(neighbours._Centred(many)) == 30_000 and neighbours._Centred(many).shape == (30_000, 1)


@pytest.mark.parametrize("k", [1, 10, 39])
def test_true_neighbours_by_brute_force(monkeypatch, k):
    """In blocks of 16 points, the last one of 8, with two that coincide."""
    faiss = pytest.importorskip("faiss")
    monkeypatch.setattr(neighbours, "_BLOCK", 1)
    points = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    points[30] = points[2]
    pairs = np.linalg.norm(points[:, None].astype(float) - points[None], axis=-1)
    np.fill_diagonal(pairs, np.inf)
    queries = np.array([0, 2, 15, 16, 30, 39])
    found = neighbours._exact_distances(faiss, neighbours._Centred(points), queries, k)
    assert found == pytest.approx(np.sort(pairs[queries], axis=1)[:, :k], rel=1e-5, abs=1e-7)


def test_too_few_in_the_lists_and_the_first_point():
    """-1 stands for no neighbour; the point of number 0 is one like all others."""
    features = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]], np.float32)
    found = neighbours._distances(features, np.array([1, 2]), np.array([[0, 2], [0, -1]]))
    assert found == pytest.approx(np.array([[5.0, np.sqrt(18)], [1.0, np.inf]]))


def test_points_that_find_too_few_are_compared_with_all(monkeypatch):
    """In blocks; here all of them, since the index finds nothing."""
    pytest.importorskip("faiss")
    nothing = SimpleNamespace(search=lambda rows, count: (None, np.full((len(rows), count), -1)))
    monkeypatch.setattr(neighbours, "_inverted_file", lambda *_: (nothing, {"search": "approximate"}))
    monkeypatch.setattr(neighbours, "_BLOCK", 2)
    points = np.array([[0.0], [1.0], [3.0], [7.0], [7.5]], np.float32)
    found = mean_neighbour_distance(points, 2, search="approximate")
    assert found.distance.tolist() == [2.0, 1.5, 2.5, 2.25, 2.5]
    assert found.settings == {"k": 2, "search": "approximate", "compared_with_all": 5}


def test_what_counts_as_found():
    """Up to 1e-6 of the distance of the true k-th, and 1e-12 where that is zero."""
    truth = np.array([[1.0, 2.0, 4.0], [1.0, 3.0, 5.0]])
    assert neighbours._recall(np.array([[4.0, 4.1, 4.0], [9.0, 9.0, 5.0]]), truth) == 0.5
    assert neighbours._recall(truth[:, -1:] * (1 + 1.5e-6), truth) == 0.0
    assert neighbours._recall(np.array([[0.5e-12, 1.5e-12]]), np.zeros((1, 2))) == 0.5


def test_threads_are_those_that_are_asked_for():
    faiss = pytest.importorskip("faiss")
    before, seen = faiss.omp_get_max_threads(), []
    mean_neighbour_distance(
        np.zeros((5, 2), np.float32), 2, threads=before + 1,
        report=lambda *_: seen.append(faiss.omp_get_max_threads()),
    )  # fmt: skip
    assert seen == [before + 1] and faiss.omp_get_max_threads() == before


@pytest.mark.parametrize("recall", [1e-9, 1.0])
def test_the_bounds_of_recall_and_neighbours(monkeypatch, recall):
    """Of a search that finds all neighbours, and compares none again."""
    pytest.importorskip("faiss")
    monkeypatch.setattr(neighbours, "_exact_distances", lambda *_: pytest.fail("compared with all again"))
    points = np.array([[0.0], [1.0], [3.0]], np.float32)
    assert mean_neighbour_distance(points, 2, recall=recall).distance.tolist() == [2.0, 1.5, 2.5]
    assert mean_neighbour_distance(points, 1, recall=recall).distance.tolist() == [1.0, 1.0, 2.0]
    for k in (0, 3):
        with pytest.raises(OptionsError, match=f"{k} nearest neighbours of 3 points; wanted 1 to 2"):
            mean_neighbour_distance(points, k, recall=recall)


def test_limits_are_those_of_the_page():
    assert (neighbours.EXACT_LIMIT, neighbours.RECALL_QUERIES, neighbours._COMPONENTS) == (50_000, 1000, 64)
