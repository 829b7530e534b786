"""Parity samples, figures and the files of an evaluation."""

import hashlib
import io

import numpy as np
import pytest
from rich.console import Console

from hint_plugin.data.file_io import file_sha256, replacing
from hint_plugin.data.provenance import provenance
from hint_plugin.science.evaluation_report import (
    PART_COLUMNS,
    RELATIVE_COLUMNS,
    ROWS,
    UNITS,
    ParitySample,
    notes,
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
    samples = {name: ParitySample() for name in ("forces", "frequencies", "eigenvalues")}
    for name in ("forces", "frequencies"):
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


def cells(table):
    return list(zip(*(column.cells for column in table.columns), strict=True))


def test_tables():
    values = {"hessian_mae": 0.125, "hessian_rmse": 0.25, "hessian_size": 0.5, "hessian_relative": 0.25}
    values |= {"n_frames": 3}
    one = {"metrics": values, "sources": {"a.xyz": values}, "groups": {"Default": values}}
    errors, others = summary_tables(one)
    assert cells(errors) == [("hessian", "0.125", "0.25", "0.5", "0.25", " eV/A^2")]
    assert cells(others) == [("n_frames", "3", "")]
    several = {"a": values, "b": {"n_frames": 1}}
    for parts in ("sources", "groups"):
        *_, table, relative = summary_tables(one | {parts: several})
        assert cells(table) == [("a", "3", "0.125"), ("b", "1", "-")]
        assert cells(relative) == [("a", "3", "0.25"), ("b", "1", "-")]


def test_tables_show_stress_in_mev():
    values = {"stress_mae": 0.0125, "stress_rmse": 0.5, "stress_size": 0.025, "stress_relative": 0.5}
    table, groups, _ = summary_tables({"metrics": values, "sources": {}, "groups": {"a": values, "b": {}}})
    assert cells(table) == [("stress", "12.5", "500", "25", "0.50", " meV/A^3")]
    assert list(groups.columns[1].cells) == ["12.50", "-"] and "meV" in str(groups.columns[1].header)


def test_tables_of_files_and_groups_fit_into_80_characters():
    values = dict.fromkeys((*PART_COLUMNS, *RELATIVE_COLUMNS), 0.123456)
    values |= {"n_frames": 1000, "frequencies_mae": 123.456, "frequencies_relative": 0.98765}
    values |= {"energy_mae": 592.0, "forces_relative": 12345.678}
    parts = {"reactions/test_set.xyz": values, "molecules": values}
    table, relative, *_ = summary_tables({"metrics": {}, "sources": parts, "groups": parts})
    for shown, number in ((table, "123.5"), (relative, "0.99")):
        output = io.StringIO()
        Console(width=80, file=output).print(shown)
        (line,) = (line for line in output.getvalue().splitlines() if "reactions/test" in line)
        assert "1000" in line and number in line


def test_the_table_of_errors_fits_into_80_characters():
    values = {f"{name}_{kind}": 123456.789 for name in ROWS for kind in ("mae", "rmse", "size", "relative")}
    output = io.StringIO()
    Console(width=80, file=output).print(summary_tables({"metrics": values, "sources": {}, "groups": {}})[0])
    for name in ROWS:
        rows = (line.replace("│", " | ") for line in output.getvalue().splitlines())
        (line,) = (line for line in rows if f" | {name} " in line)
        assert (
            UNITS[f"{name}_mae"].replace("eV/A^3", "meV/A^3") in line
            and "e+05" in line
            and "\N{HORIZONTAL ELLIPSIS}" not in line
        )


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        # a surface that is flat: the case of a fine-tuning on 54 frames, F 0.191 where mean |F| is 0.166
        ({"forces_relative": 0.191 / 0.166, "forces_size": 0.166}, "what they are errors of: forces 1.15."),
        ({"forces_relative": 0.89, "forces_size": 0.166}, ""),
        ({"forces_relative": 30.0, "forces_size": 0.001}, ""),  # stationary points: any force is as large
        ({"hessian_relative": 0.95, "energy_shifted_relative": 1}, "energies 1.00, Hessians 0.95. A flat"),
        ({"n_energy": 2}, "fits so few (2) exactly"),
        ({"n_energy": 0}, ""),
    ],
)
def test_errors_as_large_as_the_reference_are_said(metrics, said):
    found = notes(metrics, None, {})
    assert len(found) == bool(said) and all(said in note for note in found)
