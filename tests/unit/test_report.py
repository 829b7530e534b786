"""Parity samples, figures and the files of an evaluation."""

import hashlib
import io

import numpy as np
import pytest
from rich.console import Console

from hint_plugin.data.files import file_sha256, replacing
from hint_plugin.data.provenance import provenance
from hint_plugin.science.report import (
    PART_COLUMNS,
    ParitySample,
    plot_parity,
    summary_tables,
)


def test_small_streams_are_kept_whole_and_paired():
    sample = ParitySample(limit=100)
    for i in range(5):
        sample.add(np.full((2, 3), i), np.full((2, 3), 10 + i))
    assert sample.seen == sample.reference.size == 30
    np.testing.assert_array_equal(sample.predicted - sample.reference, 10)


def test_large_streams_are_sampled_evenly_in_bounded_memory():
    sample = ParitySample(limit=1000)
    for start in range(0, 20_000, 50):
        x = np.arange(start, start + 50)
        sample.add(x, -x)
        assert sample._stored <= 2050
    kept = sample.reference
    assert kept.size == 1000 and np.unique(kept).size == 1000
    np.testing.assert_array_equal(sample.predicted, -kept)
    thirds = np.histogram(kept, bins=4, range=(0, 20_000))[0]
    assert thirds.min() > 190  # 250 expected in each, standard deviation 14


@pytest.mark.parametrize("points", [50, 5000])
def test_figure_has_a_panel_for_each_quantity_with_data(tmp_path, points):
    from matplotlib.image import imread

    rng = np.random.default_rng(0)
    samples = {name: ParitySample() for name in ("forces", "hessian", "eigenvalues")}
    for name in ("forces", "hessian"):
        x = rng.normal(size=points)
        samples[name].add(x, x + 0.1 * rng.normal(size=points))
    metrics = {f"{name}_{kind}": 0.1 for name in samples for kind in ("mae", "rmse")}
    assert plot_parity(tmp_path / "parity.png", samples, metrics)
    height, width, _ = imread(tmp_path / "parity.png").shape
    assert width == pytest.approx(2 * height, rel=0.02)
    assert not plot_parity(tmp_path / "none.png", {}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["parity.png"]


def test_one_point_can_be_drawn(tmp_path):
    sample = ParitySample()
    sample.add([1.0], [1.0])
    assert plot_parity(tmp_path / "one.png", {"energy": sample}, {"energy_mae": 0.0, "energy_rmse": 0.0})


def test_failed_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_provenance_names_files_by_hash(tmp_path):
    path = tmp_path / "data.xyz"
    path.write_bytes(b"x" * 3_000_000)
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    found = provenance(None, [path], settings={"device": "cpu"})
    assert found["data"] == [{"path": str(path), "sha256": file_sha256(path)}]
    assert {"python", "torch", "numpy", "ase"} <= set(found["versions"])
    assert found["settings"] == {"device": "cpu"}
    assert found["date"].endswith("+00:00")


def test_tables():
    values = {"hessian_mae": 0.125, "n_frames": 3}
    one = {"metrics": values, "sources": {"a.xyz": values}, "groups": {"Default": values}}
    (single,) = summary_tables(one)
    rows = list(zip(*(column.cells for column in single.columns), strict=True))
    assert rows == [("hessian_mae", "0.125", "eV/A^2"), ("n_frames", "3", "")]
    several = {"a": values, "b": {"n_frames": 1}}
    for parts in ("sources", "groups"):
        _, table = summary_tables(one | {parts: several})
        rows = list(zip(*(column.cells for column in table.columns), strict=True))
        assert rows == [("a", "3", "0.125"), ("b", "1", "-")]


def test_tables_show_stress_in_mev():
    values = {"stress_mae": 0.0125, "stress_rmse": 0.5}
    table, groups = summary_tables({"metrics": values, "sources": {}, "groups": {"a": values, "b": {}}})
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert rows == [("stress_mae", "12.5", "meV/A^3"), ("stress_rmse", "500", "meV/A^3")]
    assert list(groups.columns[1].cells) == ["12.50", "-"] and "meV" in str(groups.columns[1].header)


def test_tables_of_files_and_groups_fit_into_80_characters():
    values = dict.fromkeys(PART_COLUMNS, 0.123456) | {"n_frames": 1000, "frequencies_mae": 123.456}
    parts = {"reactions/test_set.xyz": values, "molecules": values}
    output = io.StringIO()
    _, table, _ = summary_tables({"metrics": values, "sources": parts, "groups": parts})
    Console(width=80, file=output).print(table)
    lines = output.getvalue().splitlines()
    assert "reactions/test_set.xyz" in lines[5] and "1000" in lines[5] and "123.5" in lines[5]
