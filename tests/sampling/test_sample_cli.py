"""`hint sample METHOD`: what the verb writes, prints and refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from hint_plugin.cli import app
from hint_plugin.data import HessianLabel, LabelKeys, SamplingPlan, read_frames, write_frames, write_label
from hint_plugin.data.structures.geometries import MOLECULES, shaken
from hint_plugin.errors import OptionsError
from hint_plugin.sampling import chosen_count, hessian_count

KEYS = LabelKeys()


def run(capfd, *arguments):
    """Exit code, stdout, stderr of `hint sample arguments...`."""
    with pytest.raises(SystemExit) as stop:
        app.main(["sample", *map(str, arguments)])
    out, err = (re.sub(r"\x1b\[[0-9;]*m", "", text) for text in capfd.readouterr())
    return stop.value.code or 0, out, " ".join(err.split())


@pytest.fixture
def files(tmp_path):
    """24 + 12 labelled frames; all but each sixth have a Hessian."""
    frames = shaken(MOLECULES[:4], 36, seed=0)
    rng = np.random.default_rng(0)
    for number, atoms in enumerate(frames):
        n = 3 * len(atoms)
        matrix = rng.normal(size=(n, n))
        label = HessianLabel.full(matrix + matrix.T + 50 * np.eye(n), noise=1e-4)
        write_label(atoms, label if number % 6 else None)
        atoms.info[KEYS.energy] = float(rng.normal())
        atoms.arrays[KEYS.forces] = rng.normal(size=(len(atoms), 3))
        atoms.info["number"] = number
    write_frames(tmp_path / "a.xyz", frames[:24])
    write_frames(tmp_path / "b.h5", frames[24:])
    np.save(tmp_path / "own.npy", rng.normal(size=(36, 5)).astype(np.float32))
    return [tmp_path / "a.xyz", tmp_path / "b.h5"]


def has_hessian(atoms: Atoms) -> bool:
    return KEYS.hessian in atoms.info


METHODS = {
    "wld": ["--features", "own.npy"],
    "fps": ["--features", "own.npy"],
    "random": [],
    "energy": [],
}


@pytest.mark.parametrize("method", METHODS)
def test_plan_and_extract(capfd, files, tmp_path, monkeypatch, method):
    if method == "wld":
        pytest.importorskip("faiss")
    monkeypatch.chdir(tmp_path)
    common = [method, *files, "-n", "12", "--hessians", "5", "--seed", "3", *METHODS[method]]
    code, out, _ = run(capfd, *common, "-o", "plan.json", "--extract", "part.xyz", "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["frames"], found["chosen"], found["hessians"]) == (36, 12, 5)
    plan = SamplingPlan.read("plan.json")
    assert plan.method == method and len(plan.choices) == 12 and plan.n_hessians == 5
    assert plan.settings["seed"] == 3
    numbers = [24 * c.source + c.frame for c in plan.choices]
    wanted = [c.wanted == "hessian" for c in plan.choices]
    part = read_frames("part.xyz")
    assert [a.info["number"] for a in part] == numbers
    for atoms, want in zip(part, wanted, strict=True):
        assert has_hessian(atoms) == (want and atoms.info["number"] % 6 != 0)
        assert KEYS.energy in atoms.info and KEYS.forces in atoms.arrays
        if not want:
            assert not set(KEYS.hessian_info) & set(atoms.info)
    assert found["extract"] == {"path": "part.xyz", "frames": 12, "hessians": sum(map(has_hessian, part))}

    code, out, _ = run(capfd, *common, "-o", "again.json", "--extract", "all.h5", "--keep-all")
    assert code == 0 and f"12 of 36 frames chosen by {method}; 5 of them get a Hessian" in out
    assert SamplingPlan.read("again.json").choices == plan.choices  # the seed decides
    everything = read_frames("all.h5")
    assert [a.info["number"] for a in everything] == list(range(36))
    kept = {a.info["number"] for a in everything if has_hessian(a)}
    assert kept == {n for n, want in zip(numbers, wanted, strict=True) if want and n % 6}


def test_wld_by_soap_uses_its_cache_and_draws(capfd, files, tmp_path, monkeypatch):
    pytest.importorskip("dscribe")
    pytest.importorskip("faiss")
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    small = ["--n-max", "2", "--l-max", "1", "-k", "4"]
    code, out, _ = run(
        capfd, "wld", *files, "-o", "p.json", "--fraction", "0.25", *small, "--figure", "m.png"
    )
    assert code == 0 and "9 of 36 frames chosen by wld; 9 of them get a Hessian" in out
    assert "mean distance to 4 neighbours" in out
    cached = sorted((tmp_path / "p.features").glob("[!.]*.npy"))
    assert len(cached) == 2 and np.load(cached[1]).shape[0] in (36, 1)
    times = [path.stat().st_mtime_ns for path in cached if "done" not in path.name]
    numbers = json.loads((tmp_path / "m.json").read_text())
    assert (tmp_path / "m.png").stat().st_size > 10_000
    assert len(numbers["map"]["frame"]) == 36 and len(numbers["map"]["chosen_frame"]) == 9
    assert sum(numbers["histogram"]["all_counts"]) == 36
    plan = SamplingPlan.read("p.json")
    d = np.array([c.score for c in plan.choices])
    assert numbers["histogram"]["chosen_mean"] == pytest.approx(d.mean())
    assert plan.settings["elements"] == ["H", "C", "O"] and plan.settings["search"] == "exact"
    run(capfd, "wld", *files, "-o", "p.json", "-n", "5", *small, "--pca", "3", "--scale", "standard")
    assert [p.stat().st_mtime_ns for p in cached if "done" not in p.name] == times
    settings = SamplingPlan.read("p.json").settings
    assert settings["pca"] == 3 and 0.3 < settings["explained_variance"] <= 1


@pytest.mark.parametrize("method", ["energy", "fps"])
def test_figures_of_the_others(capfd, files, tmp_path, monkeypatch, method):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    code, *_ = run(capfd, method, *files, "-o", "p.json", "-n", "6", *METHODS[method], "--figure", "m.svg")
    assert code == 0
    assert (tmp_path / "m.svg").read_text().startswith("<?xml")
    assert json.loads((tmp_path / "m.json").read_text())["chosen"] == 6


def test_displace(capfd, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["displace", files[0], "-o", "p.json", "--copies", "2", "--hessians", "10%", "--sigma", "0.1"]
    assert run(capfd, *arguments)[0] == 2  # it has nowhere to write them
    code, out, _ = run(capfd, *arguments, "--extract", "new.xyz")
    assert code == 0 and "48 structures made by displace; 5 of them get a Hessian" in out
    assert "hint label --plan p.json" in out
    assert not any(has_hessian(a) or KEYS.energy in a.info for a in read_frames("new.xyz"))


def test_help_lists_the_methods(capfd):
    code, out, _ = run(capfd, "--help")
    assert code == 0
    assert all(method in out for method in ("wld", "fps", "random", "energy", "displace"))
    assert "--neighbours" in run(capfd, "wld", "--help")[1]
    assert run(capfd, "wdl")[0] == 2


def test_the_page_knows_the_options(capfd):
    """Every option on the page exists, and every option of a method is on the page or common knowledge."""
    page = (Path(__file__).parents[2] / "docs" / "sampling.md").read_text()
    helps = " ".join(run(capfd, method, "--help")[1] for method in (*METHODS, "displace"))
    exist = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", helps)) | {"--help"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page))
    others = {"--plan", "--hessian", "--atoms", "--size"}  # of hint label and of the benchmark
    assert named <= exist | others, named - exist
    assert exist - named <= {"--help", "--output", "--number", "--neighbours", "--device", "--debug"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["random", "a.xyz", "-o", "p.json"], "say how many: -n N or --fraction F"),
        (["random", "a.xyz", "-o", "p.json", "-n", "2", "--fraction", "0.1"], "one of the two"),
        (["random", "a.xyz", "-o", "p.json", "-n", "25"], "-n 25: there are 24 frames"),
        (["random", "a.xyz", "a.xyz", "-o", "p.json", "-n", "2"], "a.xyz: given twice"),
        (["random", "empty.xyz", "-o", "p.json", "-n", "2"], "empty.xyz: no frames"),
        (["random", "gone.xyz", "-o", "p.json", "-n", "2"], "gone.xyz: no such file"),
        (["random", "a.xyz", "-o", "p.json", "-n", "2", "--keep-all"], "give --extract too"),
        (["random", "a.xyz", "-o", "p.json", "-n", "2", "--extract", "a.xyz"], "is input and output"),
        (["random", "a.xyz", "-o", "a.xyz", "-n", "2"], "is input and output"),
        (["random", "a.xyz", "-o", "no/p.json", "-n", "2"], "the folder no does not exist"),
        (["random", "a.xyz", "-o", "p.json", "-n", "2", "--figure", "p.png"], "would replace p.json"),
        (["random", "a.xyz", "-o", "p.json", "-n", "2", "--figure", "p.bmp"], "ends in .png"),
        (["energy", "bare.xyz", "-o", "p.json"], "bare.xyz, frame 0 (H2) has no REF_energy"),
        (["wld", "a.xyz", "-o", "p.json", "-n", "2", "--features", "a.xyz"], "cannot be read as .npy"),
    ],
)
def test_what_is_refused(capfd, files, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.xyz").write_text("")
    write_frames(tmp_path / "bare.xyz", [Atoms("H2", [[0, 0, 0], [0, 0, 0.7]])] * 2)
    before = (tmp_path / "a.xyz").read_bytes()
    code, _, err = run(capfd, *arguments)
    assert code == 2 and message in err
    assert not (tmp_path / "p.json").exists() and (tmp_path / "a.xyz").read_bytes() == before


@pytest.mark.parametrize(
    ("wanted", "count"), [("all", 40), ("7", 7), ("0", 0), ("0.1", 4), ("1.0", 40), ("10%", 4), ("0.001", 1)]
)
def test_hessian_budgets(wanted, count):
    assert hessian_count(wanted, 40) == count


@pytest.mark.parametrize("wanted", ["41", "-1", "1.5", "120%", "some", "nan", ""])
def test_hessian_budgets_that_make_no_sense(wanted):
    with pytest.raises(OptionsError, match="--hessians"):
        hessian_count(wanted, 40)


def test_counts():
    assert chosen_count(None, 0.05, 1000) == 50 and chosen_count(3, None, 10) == 3
    for bad in ((None, 0.0), (None, 1.2), (0, None)):
        with pytest.raises(OptionsError):
            chosen_count(*bad, 10)
