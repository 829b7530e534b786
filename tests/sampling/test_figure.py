"""The figure of a choice: what is drawn where, from numbers that can be checked."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from hint_plugin.errors import MissingDependencyError, OptionsError
from hint_plugin.sampling import Sample, figure

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

SCORE = np.array([0.0, 1.0, 2.0, 6.0])
#: Four points of three features in a plane, and off it by little.
FEATURES = np.array([[0, 0, 0.01], [2, 1, 0], [4, -1, 0.02], [7, 0.3, 0]], dtype=np.float32)


def choice(features=FEATURES, score=SCORE):
    plan = SimpleNamespace(method="wld")
    return Sample(plan, np.array([1, 3]), score, "mean distance d", features)


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """`draw` with the picture kept in the place of its file: (figure, options of savefig, numbers)."""
    from matplotlib.figure import Figure

    kept = []

    def savefig(self, path, **options):
        kept.append((self, options))
        path.write_bytes(b"picture")

    monkeypatch.setattr(Figure, "savefig", savefig)

    def draw(sample, name="m.png"):
        assert figure.draw(sample, tmp_path / name) is True and (tmp_path / name).read_bytes() == b"picture"
        return *kept.pop(), json.loads((tmp_path / name).with_suffix(".json").read_text())

    return draw


def test_a_map_and_distributions_side_by_side(drawn):
    """Two panels of 5.2 by 4.4 inches, 150 dots each."""
    page, options, numbers = drawn(choice())
    assert page.get_size_inches().tolist() == [10.4, 4.4] and options == {"dpi": 150, "format": "png"}
    left, right, bar = page.axes
    assert numbers["method"] == "wld" and numbers["chosen"] == 2
    points, rings = left.collections
    assert np.asarray(points.get_offsets()) == pytest.approx(np.array(numbers["map"]["position"]))
    assert points.get_array().tolist() == SCORE.tolist() and points.get_cmap().name == "viridis"
    assert np.asarray(rings.get_offsets()) == pytest.approx(np.array(numbers["map"]["chosen_position"]))
    assert points.get_sizes().tolist() == [14.0] and rings.get_sizes().tolist() == [35.0]
    assert len(rings.get_facecolors()) == 0 and rings.get_linewidths().tolist() == [0.7]
    assert points.get_linewidths().tolist() == [0.0]
    assert points.get_rasterized() and rings.get_rasterized()  # a .pdf of 20,000 points stays small
    assert left.get_title() == "2 of 4 frames by wld"
    assert (left.get_xlabel(), left.get_ylabel()) == ("first principal component", "second")
    assert bar.get_ylabel() == "mean distance d"
    assert (right.get_xlabel(), right.get_ylabel()) == ("mean distance d", "density of frames")
    assert right.get_title() == "all and chosen" and not right.get_legend().get_frame_on()
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["all", "chosen"]


def test_distributions_are_densities(drawn):
    """Sixty bins from 0 to 6: a quarter of all frames in each of four, half of the chosen in each of two."""
    page, _, _ = drawn(choice(features=None), "m.PDF")
    (axis,) = page.axes
    assert page.get_size_inches().tolist() == [5.2, 4.4]
    everything, chosen = axis.patches
    assert everything.get_fill() and not chosen.get_fill()
    for patch, places, height in ((everything, [0, 10, 20, 59], 2.5), (chosen, [10, 59], 5.0)):
        values, edges, _ = patch.get_data()
        assert edges == pytest.approx(np.linspace(0, 6, 61))
        assert values == pytest.approx([height * (at in places) for at in range(60)])


def test_the_distribution_of_one_and_of_none():
    """One frame in a bin of 0.5 is 2 high; without a frame, all is zero."""
    from matplotlib.figure import Figure

    axis = Figure().add_subplot()
    edges = [0.0, 0.5, 1.0]
    numbers = {"score": "d", "edges": edges, "all_counts": [0, 1], "chosen_counts": [0, 0]}
    figure._draw_histogram(axis, numbers)
    assert [patch.get_data().values.tolist() for patch in axis.patches] == [[0.0, 2.0], [0.0, 0.0]]


def test_a_map_without_a_score(drawn):
    page, options, numbers = drawn(choice(score=None), "m.svg")
    (axis,) = page.axes
    assert options["format"] == "svg" and set(numbers) == {"method", "chosen", "map"}
    points, _ = axis.collections
    assert points.get_array() is None and points.get_facecolors()[0].tolist() == [0.6, 0.6, 0.6, 1.0]


@pytest.mark.parametrize(("frames", "size"), [(200, 14.0), (500, 8.0), (2500, 2.0)])
def test_many_points_are_small(frames, size):
    """4000 points^2 in all, from 2 to 14 each."""
    from matplotlib.figure import Figure

    features = np.zeros((frames, 2), np.float32)
    place = {"frame": list(range(frames)), "position": features.tolist(), "chosen_position": [[0, 0]]}
    page = Figure()
    figure._draw_map(page, page.add_subplot(), choice(features, None), place)
    assert page.axes[0].collections[0].get_sizes().tolist() == [size]


def test_the_plane_of_most_variance():
    """Principal components by a singular value decomposition, rounded to five places."""
    found = figure._map(choice())
    centred = FEATURES.astype(float) - FEATURES.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    assert np.abs(found["position"]) == pytest.approx(np.abs(u[:, :2] * s[:2]), abs=2e-5)
    assert np.array_equal(found["position"], np.round(found["position"], 5))
    assert found["explained_variance"] == pytest.approx((s[:2] ** 2).sum() / (s**2).sum(), abs=1e-6)
    line = figure._map(choice(FEATURES[:, :1]))
    assert np.array(line["position"])[:, 1].tolist() == [0.0] * 4
    assert np.abs(line["position"])[:, 0] == pytest.approx([3.25, 1.25, 0.75, 3.75])


def test_points_that_are_shown_are_different_ones():
    rng = np.random.default_rng(0)
    some = figure._some(np.arange(50), 40, rng)
    assert len(set(some.tolist())) == 40 and some.tolist() == sorted(some.tolist())
    assert figure._some(np.arange(40), 40, rng).tolist() == list(range(40))


def test_a_figure_needs_matplotlib_before_the_work(tmp_path, monkeypatch):
    from hint_plugin import optional

    numbers = [tmp_path / "a.xyz", tmp_path / "m.json"]
    with pytest.raises(OptionsError, match="would replace m.json"):
        figure.check_picture(tmp_path / "m.png", numbers)
    monkeypatch.setattr(optional, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"--figure needs matplotlib: pip install '."):
        figure.check_picture(tmp_path / "m.png", [])
