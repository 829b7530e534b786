"""Choices on small sets, worked out by hand: budgets, orders, reasons, maps, neighbours, defaults."""

from __future__ import annotations

import dataclasses
import inspect
import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms

from hint_plugin.data import HessianLabel, SamplingPlan, iter_frames, write_frames, write_label
from hint_plugin.data.structures.displaced import DisplaceSettings, displaced_copies
from hint_plugin.errors import DataError, InterruptedRunError, OptionsError
from hint_plugin.sampling import (
    Budget,
    FeatureSettings,
    SoapFeatures,
    SoapSettings,
    chosen_count,
    features_of,
    figure,
    hessian_count,
    mean_neighbour_distance,
    neighbours,
    reduce,
    run,
    sample_density,
    sample_energy,
    sample_farthest,
    sample_random,
    survey,
)
from hint_plugin.sampling.cache import feature_matrix
from hint_plugin.sampling.density import farthest_order, random_order, weighted_order
from hint_plugin.sampling.energy import _shares
from hint_plugin.sampling.extract import check_target, extract
from hint_plugin.sampling.figure import check_picture
from hint_plugin.sampling.reduce import fit_reduction, load_features


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Five frames of H, H2 and HO in two files."""
    frames = [Atoms("H"), Atoms("HO", [[0, 0, 0], [0, 0, 1]]), Atoms("H2", [[0, 0, 0], [0, 0, 1]])]
    frames += [Atoms("OH", [[0, 0, 0], [0, 0, 2]]), Atoms("H")]
    for i, atoms in enumerate(frames):
        atoms.info |= {"REF_energy": -1.0 * i, "number": i}
    write_frames(tmp_path / "a.xyz", frames[:2])
    write_frames(tmp_path / "b.xyz", frames[2:])
    return [tmp_path / "a.xyz", tmp_path / "b.xyz"]


@pytest.fixture
def population(files):
    return survey(files, "REF_energy")


# How many


@pytest.mark.parametrize(
    ("n", "fraction", "count"),
    [(1, None, 1), (10, None, 10), (None, 1.0, 10), (None, 0.04, 1), (None, 0.26, 3), (None, 1e-9, 1)],
)
def test_frames_to_choose(n, fraction, count):
    assert chosen_count(n, fraction, 10) == count


@pytest.mark.parametrize(
    ("n", "fraction"), [(None, None), (1, 0.1), (0, None), (11, None), (None, 0.0), (None, 1.01), (-1, None)]
)
def test_frames_that_cannot_be_chosen(n, fraction):
    with pytest.raises(OptionsError, match="wanted|say how many|there are 10 frames"):
        chosen_count(n, fraction, 10)


@pytest.mark.parametrize(
    ("wanted", "count"),
    [("10", 10), ("0", 0), ("+3", 3), (" all ", 10), ("0%", 0), ("100%", 10), ("26%", 3), ("1", 1)],
)  # fmt: skip
def test_hessians_among_them(wanted, count):
    assert hessian_count(wanted, 10) == count


def test_a_percentage_is_a_hundredth():
    assert hessian_count("50%", 1000) == hessian_count("0.5", 1000) == 500 and hessian_count("0.0", 10) == 0


@pytest.mark.parametrize("wanted", ["11", "-0.1", "1.01", "101%", "-1%", "al"])
def test_hessians_that_cannot_be(wanted):
    with pytest.raises(OptionsError, match="--hessians"):
        hessian_count(wanted, 10)


# In which order


def test_points_without_weight_come_last_in_random_order():
    weights = np.array([0.0, 1.0, 0.0, 2.0, 0.0])
    orders = [weighted_order(weights, 5, seed) for seed in range(40)]
    assert all(set(order[:2].tolist()) == {1, 3} for order in orders)
    assert {tuple(order[2:].tolist()) for order in orders} == {
        (0, 2, 4), (0, 4, 2), (2, 0, 4), (2, 4, 0), (4, 0, 2), (4, 2, 0)
    }  # fmt: skip


@pytest.mark.parametrize("n", [1, 9, 10, 11, 99, 100])
def test_the_first_of_a_draw_are_those_of_the_whole(n):
    """Whether the others were sorted or not; also where most have no weight."""
    for weights in (np.arange(1.0, 101), np.r_[np.ones(3), np.zeros(97)]):
        whole = weighted_order(weights, 100, 7)
        assert sorted(whole.tolist()) == list(range(100))
        assert weighted_order(weights, n, 7).tolist() == whole[:n].tolist()


def test_a_random_choice_is_a_part_of_a_permutation():
    found = random_order(6, 4, 1)
    assert len(set(found.tolist())) == 4 and set(found.tolist()) <= set(range(6))
    assert found.tolist() == random_order(6, 6, 1)[:4].tolist() != random_order(6, 4, 2).tolist()


@pytest.mark.parametrize("block", [1, 3, 100])
def test_farthest_points_by_brute_force(block):
    points = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    order, distance, cover = farthest_order(points, 5, seed=4, block=block)
    assert order[0] == np.random.default_rng(4).integers(12) and distance[0] == 0.0
    all_pairs = np.linalg.norm(points[:, None] - points[None], axis=-1)
    for i in range(1, 5):
        gaps = all_pairs[:, order[:i]].min(axis=1)
        assert order[i] == gaps.argmax() and distance[i] == pytest.approx(gaps.max(), rel=1e-5)
    assert cover == pytest.approx(all_pairs[:, order].min(axis=1).max(), rel=1e-5)
    assert farthest_order(points, 12, seed=0)[2] == 0.0
    same = farthest_order(np.ones((4, 2), np.float32), 4, seed=0)
    assert sorted(same[0].tolist()) == [0, 1, 2, 3] and same[1].tolist() == [0, 0, 0, 0] and same[2] == 0.0


@pytest.mark.parametrize(
    ("counts", "total", "shares"),
    [
        ([6, 3, 0], 3, [2, 1, 0]),
        ([5, 5], 1, [1, 0]),  # equal in everything: the first formula
        ([3, 5, 3], 2, [1, 1, 0]),  # quotas .55, .91, .55
        ([2, 6, 2], 5, [1, 3, 1]),
        ([4, 2, 2], 1, [1, 0, 0]),
        ([2, 4, 2], 4, [1, 2, 1]),
        ([3, 9], 2, [0, 2]),  # .5 and 1.5: the larger formula first
        ([7], 7, [7]),
    ],
)
def test_shares_by_the_largest_remainders(counts, total, shares):
    assert _shares(np.array(counts), total).tolist() == shares


# What is read


def test_frames_are_numbered_through_all_files(population, files):
    assert len(population) == 5 and population.offsets.tolist() == [0, 2, 5]
    assert [population.place(i) for i in range(5)] == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert population.name(2) == f"{files[1]}, frame 0 (H2)"
    assert population.formulas == ("H", "HO", "H2") and population.formula.tolist() == [0, 1, 2, 1, 0]
    assert population.n_atoms.tolist() == [1, 2, 2, 2, 1] and population.elements == (1, 8)
    assert population.energies.tolist() == [0.0, -1.0, -2.0, -3.0, -4.0]
    assert [a.info["number"] for a in population.frames()] == [0, 1, 2, 3, 4]
    choice = population.choice(3, "hessian", "why", 0.5)
    assert (choice.source, choice.frame, choice.wanted, choice.reason, choice.score) == (
        1,
        1,
        "hessian",
        "why",
        0.5,
    )
    assert [source.frames for source in population.sources] == [2, 3]


def test_energies_are_read_where_they_are_asked_for(files, tmp_path):
    assert survey(files).energies is None
    write_frames(tmp_path / "c.xyz", [Atoms("H"), Atoms("H", info={"REF_energy": -3.0})])
    found = survey([tmp_path / "c.xyz"], "REF_energy").energies
    assert np.isnan(found[0]) and found[1] == -3.0


def test_reading_is_told_every_hundred_frames(tmp_path):
    write_frames(tmp_path / "many.xyz", [Atoms("H")] * 250)
    told = []
    survey([tmp_path / "many.xyz"], report=lambda *what: told.append(what))
    assert told == [("reading", 100, 0), ("reading", 200, 0)]


def test_what_cannot_be_read(tmp_path, files):
    with pytest.raises(OptionsError, match="no input"):
        survey([])
    with pytest.raises(OptionsError, match="given twice"):
        survey([files[0], files[0]])
    (tmp_path / "nothing.xyz").write_text("")
    with pytest.raises(DataError, match="nothing.xyz: no frames"):
        survey([files[0], tmp_path / "nothing.xyz"])


# Plans


def wants(plan: SamplingPlan) -> dict[int, str]:
    return {(0, 2)[c.source] + c.frame: c.wanted for c in plan.choices}


def test_hessians_go_to_those_drawn_first(population):
    sample = sample_random(population, Budget(n=4, hessians="2", seed=3))
    order = random_order(5, 4, 3).tolist()
    assert sample.chosen.tolist() == sorted(order) and sample.score is None and sample.features is None
    assert wants(sample.plan) == {
        i: "hessian" if at < 2 else "energy_forces" for at, i in sorted(enumerate(order), key=lambda x: x[1])
    }
    reasons = {(0, 2)[c.source] + c.frame: c.reason for c in sample.plan.choices}
    assert reasons == {i: f"drawn as {at}" for at, i in enumerate(order, 1)}
    assert [c.score for c in sample.plan.choices] == [None] * 4
    assert sample.plan.settings == {"n": 4, "fraction": None, "hessians": "2", "seed": 3}
    assert sample.plan.method == "random" and sample.plan.sources == population.sources
    assert Budget() == Budget(None, None, "all", 0)


LINE = np.array([[0.0], [1.0], [3.0], [7.0], [7.5]], dtype=np.float32)


def test_farthest_points_and_their_reasons(population):
    sample = sample_farthest(population, LINE, {"features": "line"}, Budget(n=3, hessians="1", seed=1))
    order, distance, cover = farthest_order(LINE, 3, 1)
    by_number = {(0, 2)[c.source] + c.frame: c for c in sample.plan.choices}
    assert by_number[order[0]].reason == "random start" and by_number[order[0]].wanted == "hessian"
    for at in (1, 2):
        assert by_number[order[at]].reason == f"{distance[at]:.4g} from those before, pick {at + 1}"
        assert by_number[order[at]].score == pytest.approx(distance[at])
        assert by_number[order[at]].wanted == "energy_forces"
    assert sample.notes == [f"every frame is within {cover:.4g} of a chosen one"]
    assert sample.features is LINE and sample.score is None and sample.plan.method == "fps"
    assert sample.plan.settings["features"] == "line" and sample.chosen.tolist() == sorted(order.tolist())


def test_local_density_and_its_reasons(population):
    pytest.importorskip("faiss")
    sample = sample_density(population, LINE, {}, Budget(n=2, seed=1), k=2, search="exact")
    d = np.array([2.0, 1.5, 2.5, 2.25, 2.5])  # means to the two nearest
    assert sample.score == pytest.approx(d)
    order = weighted_order(d, 2, 1)
    by_number = {(0, 2)[c.source] + c.frame: c for c in sample.plan.choices}
    for at, i in enumerate(order, 1):
        assert by_number[i].reason == f"d = {d[i]:.4g}, p = {d[i] / d.sum():.3g}, drawn as {at}"
        assert by_number[i].score == pytest.approx(d[i])
    settings = sample.plan.settings
    assert (settings["k"], settings["search"]) == (2, "exact")
    assert settings["mean_d"] == pytest.approx(2.15)
    assert settings["mean_d_chosen"] == pytest.approx(d[order].mean())
    assert sample.notes == [
        f"mean distance to 2 neighbours: 2.15 of all, {d[order].mean():.4g} of the chosen"
    ]
    assert sample.score_name == "mean distance d" and sample.features is LINE
    assert run.DEFAULT_K == 10


def test_frames_that_coincide_are_taken_last_and_told(population):
    pytest.importorskip("faiss")
    points = np.array([[0.0], [0.0], [0.0], [5.0], [9.0]], dtype=np.float32)
    sample = sample_density(population, points, {}, Budget(n=2), k=2)
    assert sample.chosen.tolist() == [3, 4]
    assert sample.notes[-1] == "3 frames coincide with 2 others; they are taken last"
    assert [c.reason.partition(", drawn")[0] for c in sample.plan.choices] == [
        "d = 4.5, p = 0.409", "d = 6.5, p = 0.591"
    ]  # fmt: skip
    assert len(sample.notes) == 2
    flat = sample_density(population, np.zeros((5, 1), np.float32), {}, Budget(n=1), k=2)
    assert "p = 0.2" in flat.plan.choices[0].reason


def test_a_recall_that_was_not_reached_is_told(population, monkeypatch):
    from hint_plugin.sampling import methods

    for reached, notes in ((0.91, 3), (0.95, 2), (0.99, 2)):
        settings = {"index": "faiss X", "recall": reached, "recall_queries": 7}
        found = neighbours.Neighbourhoods(np.arange(1.0, 6), settings)
        monkeypatch.setattr(methods, "mean_neighbour_distance", lambda *_, found=found, **__: found)
        sample = sample_density(population, LINE, {}, Budget(n=1))
        assert sample.notes[1] == f"neighbours by faiss X: recall {reached:.4f} on 7 random frames"
        assert len(sample.notes) == notes


def test_energies_are_ranked_within_a_formula(population):
    """H at 0 and -4, HO at -1 and -3 (an atom: -0.5, -1.5), H2 alone."""
    sample = sample_energy(population, Budget(n=2), rank="high")
    assert sample.chosen.tolist() == [0, 1]
    assert sample.score.tolist() == [2.0, 0.5, 0.0, -0.5, -2.0]
    first, second = sample.plan.choices
    assert first.reason == "+2 eV/atom from the mean of H, highest rank 1 of 2" and first.score == 2.0
    assert second.reason == "+0.5 eV/atom from the mean of HO, highest rank 1 of 2"
    assert sample.notes == [
        "2 of 3 formulas chosen", "1 frames are the only ones of their formula: nothing to rank, left out"
    ]  # fmt: skip
    settings = sample.plan.settings
    assert (settings["rank"], settings["energy_key"]) == ("high", "REF_energy")
    assert (settings["formulas"], settings["left_out"]) == (3, 1)
    assert sample_energy(population, Budget(n=2), rank="low").chosen.tolist() == [3, 4]
    assert len(sample_energy(population, Budget(n=4)).chosen) == 4
    with pytest.raises(OptionsError, match="4 of 5 frames have isomers"):
        sample_energy(population, Budget(n=5))
    with pytest.raises(OptionsError, match="wanted high or low"):
        sample_energy(population, Budget(n=1), rank="middle")


# Features


def test_features_by_their_mean_and_components():
    rng = np.random.default_rng(1)
    values = (rng.normal(size=(40, 3)) * [4, 2, 0.1] + 5).astype(np.float32)
    found = fit_reduction(values, "none", 2, 0)
    centred = values - values.mean(axis=0)
    u, s, _ = np.linalg.svd(centred.astype(float), full_matrices=False)
    assert found.mean == pytest.approx(values.mean(axis=0), rel=1e-5) and found.scale.tolist() == [1, 1, 1]
    assert abs(found.apply(values)) == pytest.approx(abs(u[:, :2] * s[:2]), abs=1e-3)
    assert found.explained == pytest.approx((s[:2] ** 2).sum() / (s**2).sum(), rel=1e-5)
    plain = fit_reduction(values, "none", None, 0)
    assert plain.components is None and plain.explained == 1.0
    assert plain.apply(values) == pytest.approx(centred, abs=1e-5)
    standard = fit_reduction(values, "standard", None, 0)
    assert standard.apply(values) == pytest.approx(centred / values.std(axis=0), abs=1e-4)
    u, s, _ = np.linalg.svd(centred.astype(float) / values.std(axis=0), full_matrices=False)
    both = fit_reduction(values, "standard", 2, 0)
    assert abs(both.apply(values)) == pytest.approx(abs(u[:, :2] * s[:2]), abs=1e-3)
    assert fit_reduction(values, "none", 3, 0).apply(values).shape == (40, 3)
    assert fit_reduction(values[:2], "none", 1, 0).apply(values).shape == (40, 1)
    with np.errstate(invalid="ignore"):  # 0 / 0 in scikit-learn
        assert fit_reduction(np.ones((5, 3), np.float32), "none", 1, 0).explained == 1.0


def test_reductions_are_estimated_from_a_part_of_many_rows(monkeypatch):
    monkeypatch.setattr(reduce, "FIT_ROWS", 20)
    values = np.arange(200.0, dtype=np.float32).reshape(100, 2)
    rows = np.random.default_rng(3).choice(100, 20, replace=False)
    assert fit_reduction(values, "none", None, 3).mean == pytest.approx(values[rows].mean(axis=0))
    assert fit_reduction(values[:20], "none", None, 3).mean == pytest.approx(values[:20].mean(axis=0))
    monkeypatch.setattr(reduce, "FIT_VALUES", 30)  # fifteen rows of two
    rows = np.random.default_rng(3).choice(100, 15, replace=False)
    assert fit_reduction(values, "none", None, 3).mean == pytest.approx(values[rows].mean(axis=0))
    monkeypatch.setattr(reduce, "FIT_VALUES", 2)  # but twice as many as there are dimensions
    rows = np.random.default_rng(3).choice(100, 4, replace=False)
    assert fit_reduction(values, "none", None, 3).mean == pytest.approx(values[rows].mean(axis=0))


def test_blocks_of_rows_are_reduced_alike(monkeypatch):
    values = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    for pca in (None, 2):
        found = fit_reduction(values, "standard", pca, 0)
        whole = found.apply(values)
        with monkeypatch.context() as patch:
            patch.setattr(reduce, "_BLOCK", 4)
            assert found.apply(values) == pytest.approx(whole, abs=1e-6)
        assert whole.dtype == np.float32


@pytest.mark.parametrize(("scale", "pca"), [("none", 0), ("none", 4), ("all", None), ("none", -1)])
def test_reductions_that_cannot_be(scale, pca):
    with pytest.raises(OptionsError, match="wanted"):
        fit_reduction(np.zeros((5, 3), np.float32), scale, pca, 0)


def test_a_bad_row_of_any_block_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(reduce, "_BLOCK", 4)
    values = np.zeros((10, 2))
    values[6, 1] = np.inf
    np.save(tmp_path / "own.npy", values)
    with pytest.raises(DataError, match="row 6 has NaN or infinite features"):
        load_features(tmp_path / "own.npy", 10)
    for kept in (np.arange(4).reshape(2, 2), np.ones((2, 1), np.uint8), np.ones((2, 3), np.float32)):
        np.save(tmp_path / "own.npy", kept)
        found = load_features(tmp_path / "own.npy", 2)
        assert found.dtype == np.float32 and np.array_equal(found, kept)
    for bad in (
        np.ones((2, 0)),
        np.ones((3, 1)),
        np.ones((2, 1), bool),
        np.ones((2, 1), complex),
        np.ones(2),
    ):
        np.save(tmp_path / "own.npy", bad)
        with pytest.raises(DataError, match="wanted numbers"):
            load_features(tmp_path / "own.npy", 2)


def test_what_is_said_of_features(population, tmp_path):
    np.save(tmp_path / "own.npy", np.random.default_rng(0).normal(size=(5, 3)))
    settings = FeatureSettings(array=tmp_path / "own.npy")
    values, about = features_of(population, settings)
    assert values.shape == (5, 3) and about == {"features": str(tmp_path / "own.npy"), "dimension": 3}
    values, about = features_of(population, FeatureSettings(array=tmp_path / "own.npy", scale="standard"))
    assert about == {"features": str(tmp_path / "own.npy"), "dimension": 3, "scale": "standard", "pca": None,
                     "explained_variance": 1.0}  # fmt: skip
    values, about = features_of(population, FeatureSettings(array=tmp_path / "own.npy", pca=2))
    assert values.shape == (5, 2) and about["pca"] == 2 and about["dimension"] == 3
    assert about["scale"] == "none"
    own = np.load(tmp_path / "own.npy")
    spread = np.linalg.svd(own - own.mean(axis=0), compute_uv=False) ** 2
    assert about["explained_variance"] == round(spread[:2].sum() / spread.sum(), 5)
    with pytest.raises(OptionsError, match="--features or --model, not both"):
        features_of(population, FeatureSettings(array=tmp_path / "own.npy", model=tmp_path / "m.model"))
    assert defaults(features_of) == {"seed": 0, "jobs": 1, "report": None}
    assert defaults(feature_matrix) == {"jobs": 1, "report": None}


class Counted:
    """The number of atoms, twice; tells which frames it was given."""

    dimension = 2

    def __init__(self, fail_at: int | None = None, stop: bool = False):
        self.seen, self.fail_at, self.stop = [], fail_at, stop

    def identity(self):
        return {"features": "count"}

    def setup(self):
        def compute(frames):
            if self.fail_at == len(self.seen):
                raise KeyboardInterrupt if self.stop else RuntimeError
            self.seen.append(len(frames))
            assert all(not atoms.info for atoms in frames)  # labels stay behind
            return np.array([[len(a), 2 * len(a)] for a in frames], dtype=np.float32)

        return compute


def test_features_are_computed_in_blocks_of_64_and_kept(tmp_path):
    write_frames(tmp_path / "many.xyz", [Atoms("H", info={"x": 1}), Atoms("H2", [[0, 0, 0], [0, 0, 1]])] * 75)
    population, told = survey([tmp_path / "many.xyz"]), []
    first = Counted(fail_at=1, stop=True)
    with pytest.raises(InterruptedRunError, match="Give the same command again"):
        feature_matrix(population, first, tmp_path / "deep" / "cache")
    second = Counted()
    found = feature_matrix(population, second, tmp_path / "deep" / "cache", report=lambda *x: told.append(x))
    assert first.seen == [64] and second.seen == [64, 22]
    assert told == [("features", 128, 150), ("features", 150, 150)]
    assert np.array_equal(found, [[1, 2], [2, 4]] * 75) and not found.flags.writeable
    third = Counted()
    assert np.array_equal(feature_matrix(population, third, tmp_path / "deep" / "cache"), found)
    assert third.seen == []
    (about,) = (tmp_path / "deep" / "cache").glob("*.json")
    kept = json.loads(about.read_text())
    assert kept["features"] == "count" and kept["dimension"] == 2
    assert kept["sources"] == [[population.sources[0].sha256, 150]]
    assert {p.name for p in about.parent.iterdir()} == {
        about.name, f"{about.stem}.npy", f"{about.stem}.done.npy"
    }  # fmt: skip
    np.save(about.with_suffix(".npy"), np.zeros((3, 2), np.float32))
    about.with_name(f"{about.stem}.done.npy").unlink()
    with pytest.raises(DataError, match=r"wanted \(150, 2\). Remove it"):
        feature_matrix(population, Counted(), about.parent)
    about.with_suffix(".npy").write_bytes(b"no array")
    with pytest.raises(DataError, match="a damaged cache"):
        feature_matrix(population, Counted(), about.parent)


# Neighbours


def test_neighbours_by_brute_force(monkeypatch):
    """In blocks, with duplicates, and through lists so few that all is compared."""
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    points = rng.normal(size=(60, 4)).astype(np.float32)
    points[7] = points[3]
    pairs = np.linalg.norm(points[:, None].astype(float) - points[None], axis=-1)
    np.fill_diagonal(pairs, np.inf)
    for k in (1, 5, 59):
        wanted = np.sort(pairs, axis=1)[:, :k].mean(axis=1)
        for block in (7, 60, 4096):
            monkeypatch.setattr(neighbours, "_BLOCK", block)
            told = []
            found = mean_neighbour_distance(points, k, search="exact", report=lambda *x, t=told: t.append(x))
            assert found.distance == pytest.approx(wanted, rel=1e-4, abs=1e-6)
            assert found.settings == {"k": k, "search": "exact"}
            assert told == [("neighbours", min(at + block, 60), 60) for at in range(0, 60, block)]
    found = mean_neighbour_distance(points, 5, search="approximate", recall=1.0)
    assert found.settings["lists"] == 1 and found.settings["recall"] == 1.0
    assert found.settings["recall_queries"] == 60 and found.settings["candidates"] is None
    assert found.distance == pytest.approx(np.sort(pairs, axis=1)[:, :5].mean(axis=1), rel=1e-4, abs=1e-6)


def test_auto_is_exact_up_to_its_limit(monkeypatch):
    pytest.importorskip("faiss")
    points = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    for limit, search in ((50, "exact"), (49, "approximate")):
        monkeypatch.setattr(neighbours, "EXACT_LIMIT", limit)
        found = mean_neighbour_distance(points, 3)
        assert found.settings["search"] == search
        assert ("compared_with_all" in found.settings) == (search == "approximate")


@pytest.mark.parametrize("options", [{"search": "all"}, {"recall": 0.0}, {"recall": 1.01}])
def test_searches_that_cannot_be(options):
    with pytest.raises(OptionsError, match="wanted"):
        mean_neighbour_distance(np.zeros((5, 2), np.float32), 2, **options)


def test_threads_are_set_back():
    faiss = pytest.importorskip("faiss")
    before = faiss.omp_get_max_threads()
    mean_neighbour_distance(np.zeros((5, 2), np.float32), 2, threads=before + 1)
    assert faiss.omp_get_max_threads() == before


def test_recall_counts_neighbours_within_the_true_distance():
    truth = np.array([[1.0, 2.0], [1.0, 3.0]])
    found = np.array([[1.0, 2.0], [3.0, 3.1]])
    assert neighbours._recall(found, truth) == 0.75
    assert neighbours._recall(truth * (1 + 0.9e-6), truth) == 1.0


# Files


def test_what_an_extract_holds(population, files, tmp_path):
    plan = sample_random(population, Budget(n=3, hessians="1", seed=0)).plan
    part = extract(plan, tmp_path / "part.xyz")
    assert (part.path, part.frames, part.hessians, part.wanted, part.mixture) == (
        str(tmp_path / "part.xyz"), 3, 0, 1, ""
    )  # fmt: skip
    assert extract(plan, tmp_path / "all.xyz", keep_all=True).frames == 5
    write_frames(files[0], [Atoms("He")])
    with pytest.raises(DataError, match="has changed since the plan was made"):
        extract(plan, tmp_path / "all.xyz", keep_all=True)
    with pytest.raises(OptionsError, match="Make it first"):
        check_target(tmp_path / "no" / "x.xyz", [])
    with pytest.raises(OptionsError, match="input and output"):
        check_target(files[1], files)
    check_target(tmp_path / "new.xyz", files)


@pytest.mark.parametrize("keep_all", [False, True])
def test_hessians_are_kept_where_the_plan_wants_them(tmp_path, keep_all):
    """Four labelled frames of which one is without; three are chosen, two of them with their Hessian."""
    frames = [Atoms("H", info={"number": i}) for i in range(4)]
    for atoms in frames[1:]:
        write_label(atoms, HessianLabel.full(np.eye(3)))
    write_frames(tmp_path / "a.xyz", frames[:2])
    write_frames(tmp_path / "b.xyz", frames[2:])
    found = survey([tmp_path / "a.xyz", tmp_path / "b.xyz"])
    plan = sample_random(found, Budget(n=3, hessians="2", seed=5)).plan
    order = random_order(4, 3, 5).tolist()
    part = extract(plan, tmp_path / "x.xyz", keep_all=keep_all)
    there = {a.info["number"]: "REF_hessian" in a.info for a in iter_frames(tmp_path / "x.xyz")}
    assert there == {i: i in order[:2] and i > 0 for i in (range(4) if keep_all else sorted(order))}
    assert (part.hessians, part.wanted) == (sum(there.values()), 2)


def test_a_map_of_features_and_a_histogram_of_scores(monkeypatch):
    values = np.array([[0.0, 1], [2, 1], [4, 1], [6, 1]], dtype=np.float32)
    score = np.array([0.0, 1.0, 2.0, 6.0])
    sample = SimpleNamespace(features=values, score=score, chosen=np.array([1, 3]), score_name="d")
    found = figure._map(sample)
    assert found["frame"] == [0, 1, 2, 3] and found["chosen_frame"] == [1, 3]
    assert np.abs(found["position"])[:, 0] == pytest.approx([3, 1, 1, 3])
    assert np.abs(found["position"])[:, 1] == pytest.approx(0, abs=1e-5)
    assert found["chosen_position"] == [found["position"][1], found["position"][3]]
    assert found["explained_variance"] == pytest.approx(1.0)
    histogram = figure._histogram(sample)
    assert len(histogram["edges"]) == 61 and histogram["edges"][0] == 0 and histogram["edges"][-1] == 6
    assert sum(histogram["all_counts"]) == 4 and sum(histogram["chosen_counts"]) == 2
    assert (histogram["all_mean"], histogram["chosen_mean"]) == (2.25, 3.5)
    assert histogram["chosen_counts"][10] == 1 and histogram["chosen_counts"][59] == 1
    one = SimpleNamespace(**{**vars(sample), "features": values[:, :1]})
    assert np.shape(figure._map(one)["position"]) == (4, 2)
    monkeypatch.setattr(figure, "MAP_POINTS", 2)
    few = figure._map(sample)
    assert len(few["frame"]) == 2 and len(few["chosen_frame"]) == 1
    assert few["frame"] == sorted(few["frame"]) and set(few["chosen_frame"]) <= {1, 3}


def test_a_random_choice_without_features_has_nothing_to_draw():
    sample = SimpleNamespace(features=None, score=None)
    with pytest.raises(OptionsError, match="nothing to draw"):
        figure.draw(sample, Path("x.png"))


def test_pictures_that_cannot_be_written(tmp_path):
    pytest.importorskip("matplotlib")
    check_picture(tmp_path / "m.PNG", [tmp_path / "n.json"])
    for path, message in (
        ("m.gif", "ends in"),
        ("no/m.png", "Make it first"),
        ("p.svg", "would replace p.json"),
    ):
        with pytest.raises(OptionsError, match=message):
            check_picture(tmp_path / path, [tmp_path / "p.json"])


# The functions of `hint sample`


def defaults(function) -> dict[str, object]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


@pytest.mark.parametrize("name", ["wld", "fps", "random", "energy", "displace"])
def test_defaults_are_those_of_the_settings(name):
    """All Hessians, seed 0, one process; SOAP, displacements and searches as their own classes have them."""
    found = defaults(getattr(run, name))
    wanted = {"output": None, "hessians": "all", "seed": 0, "figure": None, "report": None}
    if name != "displace":
        wanted |= {"n": None, "fraction": None, "extract": None, "keep_all": False}
    if name in ("wld", "fps"):
        soap, features = SoapSettings(), FeatureSettings()
        assert (soap.r_cut, soap.n_max, soap.l_max, soap.sigma) == (5.0, 6, 4, 0.5)
        wanted |= {
            "features": None, "model": None, "device": features.device, "scale": features.scale,
            "pca": features.pca, "cache": None, "jobs": 1, "r_cut": soap.r_cut, "n_max": soap.n_max,
            "l_max": soap.l_max, "soap_sigma": soap.sigma, "average": soap.average,
            "compression": soap.compression,
        }  # fmt: skip
    if name == "wld":
        own = defaults(sample_density)
        wanted |= {"neighbours": None, "search": own["search"], "recall": own["recall"]}
        assert own["recall"] == 0.95 == defaults(mean_neighbour_distance)["recall"] and own["k"] == 10
    if name == "random":
        wanted |= {"cache": None, "jobs": 1}
    if name == "energy":
        own = defaults(sample_energy)
        wanted |= {"rank": own["rank"], "energy_key": own["energy_key"]}
    if name == "displace":
        own = DisplaceSettings()
        wanted |= {
            "sigma": own.sigma, "copies": own.copies, "supercell": own.supercell, "floor": own.floor,
            "max_rounds": own.max_rounds,
        }  # fmt: skip
    assert found == wanted


def test_a_run_and_its_summary(files, tmp_path):
    found = run.sample(
        "random", [str(path) for path in files], tmp_path / "p.json", n=3, hessians="1", seed=2
    )
    about = found.as_dict()
    assert (about["method"], about["frames"], about["chosen"], about["hessians"]) == ("random", 5, 3, 1)
    assert about["plan"] == str(tmp_path / "p.json") and about["settings"]["seed"] == 2
    assert 0 <= about["seconds"] < 60 and about["seconds"] == round(about["seconds"], 2)
    assert [one["path"] for one in about["provenance"]["data"]] == [str(path) for path in files]
    assert SamplingPlan.read(tmp_path / "p.json").choices == found.plan.choices
    assert "extract" not in about and "figure" not in about
    assert found.sample.features is None and about["notes"] == []
    found.write(extract=tmp_path / "x.xyz")
    assert about["notes"] == []  # labels of one level, of which nothing is to be said
    assert about["extract"] == {"path": str(tmp_path / "x.xyz"), "frames": 3, "hessians": 0}
    unwritten = run.random(files[0], n=1)
    assert unwritten.as_dict()["plan"] is None and unwritten.as_dict()["frames"] == 2
    with pytest.raises(OptionsError, match="no method 'wdl'; wanted wld, fps"):
        run.sample("wdl", files)


def test_levels_that_are_mixed_are_told(tmp_path):
    frames = [Atoms("H", info={"REF_energy": 0.0, "hint_method": name}) for name in ("PBE", "HF")]
    write_frames(tmp_path / "a.xyz", frames)
    notes = run.random(tmp_path / "a.xyz", n=2, extract=tmp_path / "x.xyz").as_dict()["notes"]
    assert len(notes) == 1 and notes[0].startswith(f"{tmp_path / 'x.xyz'} has labels of 2 levels: 1 frame of")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "a.xyz"}, "a.xyz is input and output. Choose another plan"),
        ({"output": "b.xyz"}, "b.xyz is input and output. Choose another plan"),
        ({"output": "no/p.json"}, "no does not exist. Make it first"),
        ({"extract": "b.xyz"}, "b.xyz is input and output. Choose another output"),
        ({"extract": "no/x.xyz"}, "no does not exist. Make it first"),
        ({"keep_all": True}, "give --extract too"),
        ({"output": "p.json", "figure": "p.png"}, "would replace p.json"),
        ({"figure": "p.bmp"}, "wanted a name that ends in"),
    ],
)
def test_a_run_is_refused_before_the_work(files, tmp_path, monkeypatch, options, message):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hint_plugin.sampling.task.survey", lambda *_: pytest.fail("it has begun"))
    with pytest.raises(OptionsError, match=message):
        run.random(files, n=1, **options)


def test_a_figure_of_a_random_choice_is_of_soap(files, tmp_path, monkeypatch):
    """It is the only method that needs features for its figure alone."""
    from hint_plugin.sampling import task

    pytest.importorskip("matplotlib")
    seen = []
    monkeypatch.setattr(figure, "_plot", lambda path, *_: path.write_text("picture"))
    monkeypatch.setattr(task, "features_of", lambda _, settings, **__: seen.append(settings) or (LINE, {}))
    found = run.random(files, n=2, figure=tmp_path / "m.png")
    assert found.as_dict()["figure"] == str(tmp_path / "m.png") and (tmp_path / "m.png").exists()
    assert seen == [dataclasses.replace(FeatureSettings(), cache=seen[0].cache)]
    assert len(json.loads((tmp_path / "m.json").read_text())["map"]["frame"]) == 5
    monkeypatch.setattr(figure, "_plot", lambda *_: 1 / 0)
    assert run.random(files, n=2, figure=tmp_path / "m.png").as_dict()["figure"] is None


def test_the_only_frame_has_no_neighbours(files, tmp_path, monkeypatch):
    from hint_plugin.sampling import task

    monkeypatch.setattr(task, "features_of", lambda *_, **__: (LINE[:1], {}))
    write_frames(tmp_path / "one.xyz", [Atoms("H")])
    with pytest.raises(OptionsError, match="one frame has no neighbours"):
        run.wld(tmp_path / "one.xyz", n=1)
    monkeypatch.setattr(task, "features_of", lambda *_, **__: (LINE[:2], {}))
    write_frames(tmp_path / "two.xyz", [Atoms("H"), Atoms("H")])
    assert run.wld(tmp_path / "two.xyz", n=1).plan.settings["k"] == 1


def test_a_twentieth_of_the_energies_is_chosen_by_default(tmp_path):
    frames = [Atoms("H", info={"REF_energy": float(i)}) for i in range(60)]
    write_frames(tmp_path / "e.xyz", frames)
    assert len(run.energy(tmp_path / "e.xyz").plan.choices) == 3
    assert len(run.energy(tmp_path / "e.xyz", n=4).plan.choices) == 4
    assert len(run.energy(tmp_path / "e.xyz", fraction=0.5).plan.choices) == 30


def test_features_are_kept_beside_the_plan(files, tmp_path, monkeypatch):
    """Beside it where there is one, in the folder that is asked for, or not at all."""
    from hint_plugin.sampling import task

    seen = []

    def fake(population, settings, *, seed, jobs, report):
        seen.append((settings.cache, settings.cache.is_dir(), seed, jobs))
        return LINE, {"features": "x"}

    monkeypatch.setattr(task, "features_of", fake)
    run.fps(files, tmp_path / "p.json", n=2, seed=3, jobs=2)
    run.fps(files, tmp_path / "p.json", n=2, cache=tmp_path / "c")
    found = run.fps(files, n=2)
    assert seen[0] == (tmp_path / "p.features", False, 3, 2) and seen[1][0] == tmp_path / "c"
    assert seen[2][1] and not seen[2][0].exists()  # a temporary folder, which is gone
    assert found.sample.features is not LINE and np.array_equal(found.sample.features, LINE)


def test_neighbours_are_ten_or_all_others(files, monkeypatch):
    from hint_plugin.sampling import task

    pytest.importorskip("faiss")
    monkeypatch.setattr(task, "features_of", lambda *_, **__: (LINE, {}))
    assert run.wld(files, n=1).plan.settings["k"] == 4
    assert run.wld(files, n=1, neighbours=2).plan.settings["k"] == 2


def test_displaced_copies_and_their_plan(files, tmp_path):
    told = []
    found = run.displace(
        files, extract=tmp_path / "new.xyz", copies=2, sigma=0.05, floor=0.3, hessians="3", seed=1,
        report=lambda *what: told.append(what),
    )  # fmt: skip
    about, plan = found.as_dict(), found.plan
    assert about["extract"] == {"path": str(tmp_path / "new.xyz"), "frames": 10, "hessians": 0}
    assert plan.n_hessians == 3 and len(plan.choices) == 10 and told[-1] == ("displacing", 10, 0)
    hessians = [c.frame for c in plan.choices if c.wanted == "hessian"]
    assert hessians == sorted(random_order(10, 3, 1).tolist())
    assert plan.choices[5].reason == f"displaced from {files[1]}, frame 0 (H2)"
    settings = plan.settings
    assert settings["inputs"] == [str(path) for path in files] and settings["supercell"] == [1, 1, 1]
    assert settings["hessians"] == "3" and 0.03 < settings["rms"] < 0.07 and settings["redrawn"] == 0
    assert found.sample.notes[0].startswith(f"displacements: {settings['rms']:.3f} A a component")
    assert found.sample.notes[1].startswith("16 atoms; 0 draws repeated")
    assert len(found.sample.chosen) == len(found.sample.score) == 16
    assert found.sample.score_name == "displacement of an atom (A)"
    with pytest.raises(DataError, match="no frames|no such file"):
        run.displace(tmp_path / "none.xyz", extract=tmp_path / "x.xyz")
    for bad in ({"copies": 0}, {"floor": 1.0}, {"max_rounds": 0}):
        with pytest.raises(OptionsError, match="wanted|at least 1"):
            run.displace(files, extract=tmp_path / "x.xyz", **bad)
    assert not (tmp_path / "x.xyz").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"r_cut": 1.0}, {"n_max": 0}, {"l_max": -1}, {"l_max": 21}, {"sigma": 0.0}, {"average": "x"},
        {"compression": "x"},
    ],
)  # fmt: skip
def test_soap_that_cannot_be(settings):
    with pytest.raises(OptionsError):
        SoapSettings(**settings).check()
    SoapSettings(r_cut=1.01, n_max=1, l_max=0, sigma=0.01).check()
    SoapSettings(l_max=20).check()


def test_an_energy_of_a_formula_that_occurs_once_is_never_chosen(tmp_path):
    """Whatever its rank would be: all of the others go first."""
    frames = [Atoms("He", info={"REF_energy": 9.0})]
    frames += [Atoms("H", info={"REF_energy": float(i)}) for i in range(3)]
    write_frames(tmp_path / "e.xyz", frames)
    for n in (1, 2, 3):
        found = sample_energy(survey([tmp_path / "e.xyz"], "REF_energy"), Budget(n=n))
        assert found.chosen.tolist() == [1, 2, 3][3 - n :]


def test_constant_features_are_told_by_the_largest_mean():
    """Beside a feature of size 1e6, a scatter of 0.01 is rounding; without it, it is not."""
    noise = np.tile([0.0, 0.02], 10)
    for other, constant in ((1e6, True), (-1e6, True), (1.0, False)):
        values = np.stack([noise, np.linspace(other, 2 * other, 20)], axis=1).astype(np.float32)
        found = fit_reduction(values, "standard", None, 0).apply(values)
        assert found[:, 1].std() == pytest.approx(1, rel=1e-3)
        assert found[:, 0].std() == pytest.approx(0 if constant else 1, rel=1e-3)
    for deviation, size in ((0.5e-7, 0), (1.5e-7, 1)):  # 1e-7 of it is what float32 resolves
        values = np.stack([np.tile([-deviation, deviation], 10), np.tile([0.5, 1.5], 10)], axis=1)
        found = fit_reduction(values, "standard", None, 0).apply(values)
        assert np.abs(found[:, 0]) == pytest.approx(size) and np.abs(found[:, 1]) == pytest.approx(1)


@pytest.mark.parametrize("row", [0, 1, 9])
def test_the_first_and_the_last_row_are_looked_at(tmp_path, row):
    values = np.zeros((10, 2), np.float32)
    values[row, 0] = np.nan
    np.save(tmp_path / "own.npy", values)
    with pytest.raises(DataError, match=f"row {row} has NaN"):
        load_features(tmp_path / "own.npy", 10)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "opened")


def test_features_are_never_unpickled(tmp_path):
    (tmp_path / "own.npy").write_bytes(pickle.dumps(Trap(tmp_path / "trap")))
    with pytest.raises(DataError, match="cannot be read as .npy"):
        load_features(tmp_path / "own.npy", 1)
    assert not (tmp_path / "trap").exists()
    pickle.loads((tmp_path / "own.npy").read_bytes())
    assert (tmp_path / "trap").exists()  # it would have been


def test_an_extract_of_another_kind_is_refused_before_the_work(tmp_path):
    with pytest.raises((DataError, OptionsError), match="pdf"):
        check_target(tmp_path / "x.pdf", [])


def test_each_frame_has_a_stream_of_its_number(files, tmp_path):
    """Counted through all files: the copies are those of `displaced_copies`."""
    run.displace(files, extract=tmp_path / "new.xyz", sigma=0.05, floor=0.3, seed=4)
    parents = [a for path in files for a in iter_frames(path)]
    settings = DisplaceSettings(sigma=0.05, floor=0.3, seed=4)
    for number, (parent, made) in enumerate(zip(parents, iter_frames(tmp_path / "new.xyz"), strict=True)):
        (wanted,) = displaced_copies(parent, number, settings)
        assert made.positions == pytest.approx(wanted.positions, abs=1e-7)


def test_elements_of_soap_are_sorted_and_each_once():
    pytest.importorskip("dscribe")
    found = SoapFeatures([8, 1, 6, 1], SoapSettings(n_max=1, l_max=0))
    assert found.elements == (1, 6, 8) and found.identity()["elements"] == ["H", "C", "O"]
    each = SoapFeatures([6, 1], SoapSettings(n_max=1, l_max=0, average="elements"))
    assert each.dimension == 2 * SoapFeatures([6, 1], SoapSettings(n_max=1, l_max=0)).dimension
    (row,) = each.setup()([Atoms("H2", [[0, 0, 0], [0, 0, 1]])])
    assert row[: each.dimension // 2].any() and not row[each.dimension // 2 :].any()
