"""`hint dataset` as a user types it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import warm
from frame_sets import frames_of

from hint_plugin.data import FrameStore, iter_frames, read_frames, read_label, write_frames


def hint(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return warm.run(["hint", "dataset", *arguments], cwd=folder)


def summary(result: subprocess.CompletedProcess, code: int = 0) -> dict:
    assert result.returncode == code, result.stderr + result.stdout
    return json.loads(result.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_frames(tmp_path / "all.xyz", frames_of(60))
    return tmp_path


def test_convert_and_project(folder):
    options = [
        "--project",
        "4",
        "--seed",
        "7",
        "--hessian-dtype",
        "float32",
        "--compression",
        "gzip",
        "--json",
    ]
    done = summary(hint(folder, "convert", "all.xyz", "-o", "p.h5", *options))
    assert (done["frames"], done["projected"]) == (60, 30) and done["bytes"] == (
        folder / "p.h5"
    ).stat().st_size
    for one, other in zip(iter_frames(folder / "p.h5"), read_frames(folder / "all.xyz"), strict=True):
        label, full = read_label(one), read_label(other)
        if full is not None and full.kind == "full":
            assert label.n_probes == 4 and set(np.unique(label.probes)) == {-1.0, 1.0}
            wanted = label.probes.reshape(4, -1) @ full.hessian
            np.testing.assert_allclose(label.hvp.reshape(4, -1), wanted, rtol=1e-6, atol=1e-5)
        elif full is not None:
            assert label.n_probes == 2
    result = hint(folder, "convert", "all.xyz", "-o", "p.h5")
    assert result.returncode == 2 and "--overwrite" in result.stderr
    # probes depend on seed and frame, not on how the files are cut
    done = summary(hint(folder, "convert", "all.xyz", "-o", "q.h5", *options, "--frames-per-shard", "25"))
    assert done["files"] == ["q-00000.h5", "q-00001.h5", "q-00002.h5"]
    for one, other in zip(iter_frames(folder / "q-*.h5"), iter_frames(folder / "p.h5"), strict=True):
        assert one.arrays.keys() == other.arrays.keys()
        for name in one.arrays:
            np.testing.assert_array_equal(one.arrays[name], other.arrays[name])


def test_split_merge_and_back(folder):
    done = summary(
        hint(folder, "split", "all.xyz", "-o", "parts", "--by", "formula", "--json", "--fractions", *"111")
    )
    assert sorted(done["frames"].values()) == [20, 20, 20] and not any(done["overlap"]["formula"].values())
    files = [done["files"][name] for name in ("train", "valid", "test")]
    result = hint(folder, "merge", *files, "-o", "again.h5")
    assert result.returncode == 0 and "60  frames" in result.stdout and "again.h5" in result.stdout
    assert sorted(a.info["number"] for a in iter_frames(folder / "again.h5")) == list(range(60))
    done = summary(hint(folder, "split", "again.h5", "-o", "shards", "--shards", "7", "--json"))
    assert len(done["files"]) == 7
    sizes = [len(FrameStore.open(folder / name)) for name in done["files"]]
    assert sum(sizes) == 60 and max(sizes) - min(sizes) <= 1
    merged = hint(folder, "merge", "shards", "-o", "again.h5", "--overwrite")
    assert merged.returncode == 0, merged.stderr
    merged = hint(folder, "merge", *files, "-o", "again.xyz")
    assert (
        merged.returncode == 0
        and "60  frames" in merged.stdout
        and len(read_frames(folder / "again.xyz")) == 60
    )
    refused = hint(folder, "merge", *files, "-o", "phonopy.yaml")
    assert refused.returncode == 2 and "hint dataset convert joined.h5 -o phonopy.yaml" in refused.stderr
    result = hint(folder, "split", "all.xyz", "-o", "parts2", "--by", "reaction", "--by", "structure")
    assert (
        result.returncode == 0 and "train & valid: 0" in result.stdout and "parts2/test.xyz" in result.stdout
    )


def test_stats(folder):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install '.[plot]'")
    result = hint(folder, "stats", "all.xyz", "--plots", "png")
    assert result.returncode == 0, result.stderr
    assert "60 frames, 3 formulas" in result.stdout and "30 full" in result.stdout
    assert (folder / "png" / "forces.png").exists()
    assert summary(hint(folder, "stats", "all.xyz", "--json"))["elements"]["O"]["atoms"] == 40


def test_check_and_leakage(folder):
    frames = read_frames(folder / "all.xyz")
    assert summary(hint(folder, "check", "all.xyz", "--json"))["ok"]
    write_frames(folder / "test.xyz", [frames[5], *frames_of(3, seed=8)])
    result = hint(folder, "check", "--leakage", "all.xyz", "test.xyz")
    assert result.returncode == 1
    assert "test.xyz, frame 0 is all.xyz, frame 5" in result.stdout and "counts as leakage" in result.stdout
    frames[3].arrays["REF_forces"][:] = np.nan
    frames[8].info["REF_hessian"][0, 1] += 99
    write_frames(folder / "bad.h5", frames)
    found = summary(hint(folder, "check", "bad.h5", "--json"), code=1)
    assert [p["frame"] for p in found["problems"]] == [3, 8] and found["problems"][0]["source"] == "bad.h5"
    assert hint(folder, "check", "all.xyz", "--leakage").returncode == 2
    result = hint(folder, "split", "all.xyz", "-o", "x", "--by", "nothing")
    assert result.returncode == 2 and "no info key 'nothing'" in result.stderr and not (folder / "x").exists()


def test_help_of_the_group():
    result = hint(Path("."), "--help")
    assert result.returncode == 0 and all(
        v in result.stdout for v in ("convert", "merge", "split", "stats", "check")
    )


FORMATS = Path(__file__).parents[1] / "data" / "formats"


def test_formats_of_others_in_and_out(tmp_path):
    """Transition1x -> extxyz; by its name and with an option of its reader; extxyz -> deepmd and back."""
    source = str(FORMATS / "transition1x.h5")
    every = summary(hint(tmp_path, "convert", source, "-o", "all.h5", "--json"))
    options = ["--from", "transition1x", "--option", "split=val", "--json"]
    part = summary(hint(tmp_path, "convert", source, "-o", "test.xyz", *options))
    assert 0 < part["frames"] < every["frames"]
    assert all("reaction" in atoms.info for atoms in read_frames(tmp_path / "test.xyz"))
    first = read_frames(tmp_path / "test.xyz", "0:1")
    write_frames(tmp_path / "one.xyz", first)
    done = summary(hint(tmp_path, "convert", "one.xyz", "-o", "system", "--to", "deepmd", "--json"))
    assert done["bytes"] > 0 and (tmp_path / "system" / "type.raw").is_file()
    (back,) = read_frames(tmp_path / "system")
    assert back.info["REF_energy"] == pytest.approx(first[0].info["REF_energy"])
    for wrong, message in (
        (["--option", "split"], "wanted KEY=VALUE"),
        (["--option", "part=val"], "it has split"),
        (["--from", "nothing"], "no format 'nothing'"),
        (["--to", "horm"], "can be read, not written"),
    ):
        result = hint(tmp_path, "convert", source, "-o", "other.xyz", *wrong)
        assert result.returncode == 2 and message in " ".join(result.stderr.split()), result.stderr
        assert not (tmp_path / "other.xyz").exists()


def test_statistics_for_mace(tmp_path):
    pytest.importorskip("mace", reason="needs mace-torch: pip install '.[mace]'")
    data = str(Path(__file__).parents[1] / "data" / "molecules.xyz")
    options = ["--mace-statistics", "statistics.json", "--r-max", "4", "--json"]
    found = summary(hint(tmp_path, "stats", data, *options))["mace_statistics"]
    assert json.loads((tmp_path / "statistics.json").read_text()) == found
    assert found["r_max"] == 4 and "6" in found["atomic_numbers"]
