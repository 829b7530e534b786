"""Verbs for reactions, sampling, labels and data sets, and their functions: options, files, results."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from pair_artifact import write_pair
from physical_labels import pair_label
from reaction_runs import hcn, hint

from hint_plugin.cli import app
from hint_plugin.data import HessianLabel, LabelKeys, iter_frames, read_frames, write_frames, write_label
from hint_plugin.data.sets import run as sets
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.labelling.run import label
from hint_plugin.potentials.on_demand import PotentialSpec
from hint_plugin.sampling import run as sampling
from hint_plugin.science.reactions import run as chemistry
from hint_plugin.science.reactions.kinetics import rates
from hint_plugin.science.reactions.run_neb import neb
from hint_plugin.science.run_evaluate import evaluate

TOY = PotentialSpec(engine="calculator", options={"calculator": "slow_springs:Springs"})
AS_OPTIONS = ("--engine", "calculator", "-e", "calculator=slow_springs:Springs")
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "reaction": chemistry.reaction,
    "reactions": chemistry.reactions,
    "neb": neb,
    "rates": rates,
    "evaluate": evaluate,
    "label": label,
    **{f"sample {name}": function for name, function in sampling.METHODS.items()},
    **{
        f"dataset {name.removeprefix('dataset_')}": getattr(sets, name)
        for name in sets.__all__
        if "_" in name
    },
}
OTHER = {"model", "engine", "engine_option"}
"""Options of `reaction`, `reactions`, `neb` and `rates` that are one argument of the functions."""
SCREEN = {"json", "show", "list_engines"}
"""Options that say what a terminal prints."""


def options_of(verb: str) -> dict[str, Any]:
    """Of the command, by the names that a user types; `from` is no name in Python."""
    name, _, member = verb.partition(" ")
    command = app._real_command(name)
    command = command.commands[member] if member else command
    return {
        {"from": "source_format"}.get(long, long): option
        for option in command.params
        if option.name != "help"
        for first in [option.opts[0] if option.opts[0].startswith("--") else option.name]
        for long in [first.lstrip("-").replace("-", "_")]
    }


@pytest.mark.parametrize("verb", FUNCTIONS)
def test_same_options(verb):
    """Names and defaults; the output is asked for, or None, as it fits a notebook."""
    mine, theirs = inspect.signature(FUNCTIONS[verb]).parameters, options_of(verb)
    left_out = SCREEN | (OTHER if verb.startswith("reaction") or verb in ("neb", "rates") else set())
    assert set(theirs) - set(mine) == left_out & set(theirs)
    assert set(mine) - set(theirs) <= {"potential", "report"} and mine["report"].default is None
    for name in set(mine) & set(theirs) - {"output"}:
        wanted, got = theirs[name].default, mine[name].default
        wanted = getattr(wanted, "value", wanted)
        if theirs[name].required or (verb, name) == ("label", "inputs"):  # None with a plan: to be said
            assert got is inspect.Parameter.empty, name
        else:
            assert got == wanted or (got in (None, ()) and wanted in (None, [], ())), name


def content(folder: Path) -> dict[str, object]:
    """By name; of JSON without when and by which command, of a store its frames, of a page its words."""
    found: dict[str, object] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        found[name] = path.read_bytes()
        if path.suffix == ".json":
            text = json.loads(path.read_text())
            (text.get("provenance") or {}).pop("date", None), text.pop("seconds", None)
            (text.get("provenance") or {}).pop("command", None), text.pop("median_seconds", None)
            found[name] = json.dumps(text)
        elif path.suffix == ".h5":
            found[name] = [
                (str(f.info), {key: value.tobytes() for key, value in f.arrays.items()})
                for f in iter_frames(path)
            ]
        elif path.suffix == ".html":  # tells the command, the date and the seconds
            found[name] = len(path.read_text()) > 100
    return found


@pytest.fixture
def places(tmp_path, monkeypatch):
    """command/ and function/, each with in.xyz (nine labelled frames), two.xyz (two), pairs.xyz."""
    keys, rng = LabelKeys(), np.random.default_rng(1)
    frames = []
    for number in range(9):
        atoms = Atoms(("H2O", "H2S", "OHe2")[number % 3], rng.normal(size=(3, 3)) + 3 * np.eye(3))
        atoms.info |= {keys.energy: float(number), "number": number}
        hessian, atoms.arrays[keys.forces] = pair_label(atoms, rng)
        write_label(atoms, HessianLabel.full(hessian))
        frames.append(atoms)
    for name in ("command", "function"):
        (tmp_path / name).mkdir()
        write_frames(tmp_path / name / "in.xyz", frames)
        write_frames(tmp_path / name / "two.xyz", frames[:2])
        np.save(tmp_path / name / "own.npy", rng.normal(size=(9, 2)) if name == "command" else 0)
    (tmp_path / "function" / "own.npy").write_bytes((tmp_path / "command" / "own.npy").read_bytes())
    return tmp_path


SAMPLES = {
    "wld": (
        "-n 4 -k 3 --features own.npy --scale standard --pca 2 --hessians 50% --extract out.h5 --keep-all",
        {"n": 4, "neighbours": 3, "features": "own.npy", "scale": "standard", "pca": 2, "hessians": "50%"}
        | {"extract": "out.h5", "keep_all": True},
    ),
    "fps": ("--fraction 1 --features own.npy --seed 3", {"fraction": 1, "features": "own.npy", "seed": 3}),
    "random": ("-n 2 --extract out.xyz", {"n": 2, "extract": "out.xyz"}),
    "energy": ("-n 3 --rank low --energy-key REF_energy", {"n": 3, "rank": "low"}),
    "displace": (
        "--extract new.xyz --sigma 0.01 --copies 2",
        {"extract": "new.xyz", "sigma": 0.01, "copies": 2},
    ),
}  # fmt: skip
SETS = {
    "convert": ("in.xyz -o out.h5 --project 2 --hessian-dtype float32", (["in.xyz"], "out.h5"),
                {"project": 2, "hessian_dtype": "float32"}),
    "merge": ("in.xyz two.xyz -o out.h5 --compression gzip --mixed", (["in.xyz", "two.xyz"], "out.h5"),
              {"compression": "gzip", "mixed": True}),
    "split": ("in.xyz -o parts --by frame --fractions 2 1 0 --to hdf5", ("in.xyz", "parts"),
              {"by": "frame", "fractions": (2, 1, 0), "to": "hdf5"}),
    "split shards": ("in.xyz -o parts --shards 2", ("in.xyz", "parts"), {"shards": 2}),
    "stats": ("in.xyz --mace-statistics mace.json --r-max 4", ("in.xyz",),
              {"mace_statistics": "mace.json", "r_max": 4}),
}  # fmt: skip


def same_files(places: Path, least: int) -> dict[str, object]:
    wanted, got = content(places / "command"), content(places / "function")
    assert list(wanted) == list(got) and len(wanted) >= least
    for name in wanted:
        assert got[name] == wanted[name], name
    return wanted


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    about = {key: value for key, value in found["provenance"].items() if key not in ("date", "command")}
    return json.loads(json.dumps(found | {"provenance": about, "seconds": 0}))


@pytest.mark.parametrize("method", SAMPLES)
def test_sample(method, places, monkeypatch, capfd):
    words, options = SAMPLES[method]
    monkeypatch.chdir(places / "command")
    code, text = hint(capfd, "sample", method, "in.xyz", "-o", "plan.json", *words.split(), "--json")
    assert code == 0, text
    monkeypatch.chdir(places / "function")
    told: list[tuple[str, int, int]] = []
    tell = {"report": lambda *counts: told.append(counts)} if method == "displace" else {}
    found = sampling.sample(method, "in.xyz", "plan.json", **options, **tell)
    assert capfd.readouterr() == ("", "")
    same_files(places, 4)
    assert without_times(json.loads(text)) == without_times(found.as_dict())
    if method == "displace":
        assert told[-1] == ("displacing", 18, 0)
        return
    in_memory = sampling.METHODS[method](Path("in.xyz"), **{**options, "extract": None, "keep_all": False})
    assert in_memory.plan.choices == found.plan.choices and in_memory.as_dict()["plan"] is None
    before = content(places / "function")
    for path in ("plan.json", "out.h5", "out.xyz"):
        Path(path).unlink(missing_ok=True)
    in_memory.write("plan.json", extract=options.get("extract"), keep_all=options.get("keep_all", False))
    assert content(places / "function") == before


def test_features_without_a_plan_are_not_kept(places, monkeypatch):
    pytest.importorskip("dscribe", reason="needs dscribe: pip install '.[sampling]'")
    monkeypatch.chdir(places / "function")
    soap = {"n": 2, "r_cut": 2.0, "n_max": 2, "l_max": 1}
    found = sampling.fps("in.xyz", **soap)
    assert sorted(path.name for path in Path().iterdir()) == ["in.xyz", "own.npy", "two.xyz"]
    kept = sampling.fps("in.xyz", "plan.json", **soap)
    assert kept.plan.choices == found.plan.choices and len(list(Path("plan.features").iterdir())) == 3
    np.testing.assert_array_equal(kept.sample.features, found.sample.features)


def test_sample_says_which_methods(places):
    with pytest.raises(OptionsError, match="no method 'best'; wanted wld, fps, random, energy, displace"):
        sampling.sample("best", places / "function" / "in.xyz")


@pytest.mark.parametrize("verb", SETS)
def test_dataset(verb, places, monkeypatch, capfd):
    name = verb.partition(" ")[0]
    words, arguments, options = SETS[verb]
    monkeypatch.chdir(places / "command")
    code, text = hint(capfd, "dataset", name, *words.split(), "--json")
    assert code == 0, text
    monkeypatch.chdir(places / "function")
    told: list[tuple[str, int]] = []
    function = FUNCTIONS[f"dataset {name}"]
    found = function(*arguments, **options, report=lambda *counts: told.append(counts))
    assert capfd.readouterr() == ("", "") and told
    same_files(places, 5)
    assert without_times(json.loads(text)) == without_times(found.as_dict())


def test_dataset_stats_with_plots(places, monkeypatch, capfd):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install '.[plot]'")
    monkeypatch.chdir(places / "command")
    assert hint(capfd, "dataset", "stats", "in.xyz", "two.xyz", "--plots", "plots")[0] == 0
    monkeypatch.chdir(places / "function")
    found = sets.dataset_stats(["in.xyz", "two.xyz"])
    assert found.statistics.frames == 11 and not Path("plots").exists()
    found.write("plots")
    same_files(places, 8)
    assert found.as_dict() == json.loads(Path("plots/stats.json").read_text())


def test_dataset_check(places, monkeypatch, capfd):
    monkeypatch.chdir(places / "command")
    code, text = hint(
        capfd, "dataset", "check", "in.xyz", "two.xyz", "--leakage", "--against", "formula", "--json"
    )
    assert code == 1
    monkeypatch.chdir(places / "function")
    found = sets.dataset_check(["in.xyz", "two.xyz"], leakage=True, against=["formula"])
    assert not found.ok and len(found.audit.duplicates) == 2
    assert without_times(json.loads(text)) == without_times(found.as_dict())
    with pytest.raises(OptionsError, match="--against colour: wanted some of formula"):
        sets.dataset_check("in.xyz", against="colour")


def test_what_datasets_refuse(places, monkeypatch):
    monkeypatch.chdir(places / "function")
    for wrong, message in (
        (lambda: sets.dataset_convert("in.xyz", "two.xyz"), "two.xyz exists"),
        (lambda: sets.dataset_convert("in.xyz", "out.h5", project=0), "project 0; wanted at least 1"),
        (lambda: sets.dataset_convert("in.xyz", "out.h5", option=["split"]), "wanted KEY=VALUE"),
        (lambda: sets.dataset_merge("*.xyz", "two.xyz", overwrite=True), "one of the files that a pattern"),
        (lambda: sets.dataset_split("in.xyz", "parts", to="deepmd"), "--to deepmd; wanted extxyz or hdf5"),
        (lambda: sets.dataset_split("in.xyz", "parts", shards=20), "too few for 20 shards"),
        (lambda: sets.dataset_stats("in.xyz", plots="two.xyz"), "is a file; wanted the name of a folder"),
    ):
        with pytest.raises(OptionsError, match=message):
            wrong()


@pytest.mark.filterwarnings("ignore::hint_plugin.errors.LabelWarning")  # bonds of springs are short
def test_label(places, monkeypatch, capfd):
    for name in ("command", "function"):  # near the minimum of the springs; one has no energy
        triangle = [(0, 0, 0), (1.01, 0, 0), (0.5, 0.75**0.5, 0)]
        write_frames(
            places / name / "bare.xyz", [Atoms(formula, triangle) for formula in ("Al3", "AlNaCu", "Cu3")]
        )
    words = ("--hessian", "projected", "--probes", "2", "--hessian-every", "2", "--seed", "4", "--json")
    monkeypatch.chdir(places / "command")
    code, text = hint(capfd, "label", "bare.xyz", "-o", "out.xyz", *AS_OPTIONS, *words)
    assert code == 3, text
    monkeypatch.chdir(places / "function")
    told: list[tuple[int, int, int]] = []
    options: dict[str, Any] = {
        "engine": "calculator",
        "engine_option": {"calculator": "slow_springs:Springs"},
    }
    options |= {"hessian": "projected", "probes": 2, "hessian_every": 2, "seed": 4}
    found = label("bare.xyz", "out.xyz", **options, report=lambda *counts: told.append(counts))
    assert told[0] == (0, 0, 3) and told[-1] == (3, 1, 3)
    assert {"out.xyz", "out.xyz.json", "out.failed.xyz"} < set(same_files(places, 7))
    assert found.failed == 1 and found.as_dict() == json.loads(Path("out.xyz.json").read_text())
    assert len(read_frames("out.xyz")) == 2
    with pytest.raises(OptionsError, match="out.xyz exists"):
        label(["bare.xyz"], Path("out.xyz"), **options)
    with pytest.raises(OptionsError, match="no input"):
        label(None, "other.xyz")


@pytest.fixture
def isomers(places):
    """reactant.xyz and product.xyz in both folders, and set/hcn with the same."""
    pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
    pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
    pytest.importorskip("geodesic_interpolate", reason="needs geodesic-interpolate: 'hint-mlip[reactions]'")
    for folder in ("command", "function"):
        for to in (places / folder, places / folder / "set" / "hcn"):
            to.mkdir(parents=True, exist_ok=True)
            for name, atoms in zip(("reactant", "product"), hcn(), strict=True):
                write_frames(to / f"{name}.xyz", [atoms])
    return places


def test_reaction(isomers, monkeypatch, capfd):
    monkeypatch.chdir(isomers / "command")
    words = ("--engine", "gfn2-xtb", "--images", "9", "--guesses", "1", "-T", "300")
    np.random.seed(1)  # noqa: NPY002 - the geodesic path draws from it
    code, text = hint(capfd, "reaction", "reactant.xyz", "product.xyz", "-o", "out", *words)
    assert code == 0 and "verdict: intended" in text, text
    monkeypatch.chdir(isomers / "function")
    told: list[str] = []
    options: dict[str, Any] = {"images": 9, "guesses": 1, "temperature": 300, "report": told.append}
    np.random.seed(1)  # noqa: NPY002
    found = chemistry.reaction("reactant.xyz", "product.xyz", "gfn2-xtb", **options)
    assert not Path("out").exists() and any(line.startswith("reactant: step") for line in told)
    found.write("out")
    wanted = same_files(isomers, 12)
    assert {"out/reaction.json", "out/report.html", "out/irc.xyz"} < set(wanted)
    assert found.as_dict() == json.loads(Path("out/reaction.json").read_text())


def test_reaction_of_atoms(isomers, monkeypatch):
    """Those of another calculator; ends that are no pair are refused before anything is computed."""
    monkeypatch.chdir(isomers / "function")
    one, other = hcn()
    with pytest.raises(OptionsError, match="method 'best'"):
        chemistry.reaction(one, other, "gfn2-xtb", method="best")
    with pytest.raises(DataError, match="the same geometry"):
        chemistry.reaction(one, one, "gfn2-xtb")
    near = one.copy()
    near.rattle(0.02, seed=1)
    found = chemistry.reaction(one, near, "gfn2-xtb", "out")  # the same minimum: no reaction
    assert found.reaction.verdict == "no transition state" and found.reaction.inputs[0] is not one
    about = json.loads(Path("out/reaction.json").read_text())["provenance"]
    assert about["data"][0]["path"] == "structures in memory" and about["data"][0]["frames"] == 2
    with pytest.raises(OptionsError, match="is a file; wanted the name of a folder"):
        chemistry.reaction(one, other, "gfn2-xtb", "in.xyz")


def test_neb(places, monkeypatch, capfd):
    """Of two distances of two atoms; and of ends that are one geometry, in memory."""
    pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
    pytest.importorskip("geodesic_interpolate", reason="needs geodesic-interpolate: 'hint-mlip[reactions]'")
    for folder in ("command", "function"):
        for name, r in (("r.xyz", 1.02), ("p.xyz", 1.98)):
            write_frames(places / folder / name, [Atoms("Ar2", [(0, 0, 0), (0, 0, r)])])
    engine = "calculator=toy_potentials:two_wells"
    monkeypatch.chdir(places / "command")
    words = ("--engine", "calculator", "-e", engine, "--images", "5")
    code, text = hint(capfd, "neb", "r.xyz", "p.xyz", "-o", "out", *words)
    assert code == 0 and "the reaction path from the top leads to both ends" in text, text
    monkeypatch.chdir(places / "function")
    told: list[tuple[int, int, int]] = []
    wells = PotentialSpec(engine="calculator", options=[engine])
    found = neb("r.xyz", "p.xyz", wells, images=5, report=lambda *counts: told.append(counts))
    assert not Path("out").exists() and told[0] == (0, 0, 300) and found.complete
    found.write("out")
    assert {"out/neb.json", "out/irc.xyz", "out/transition_state.xyz"} < set(same_files(places, 9))
    one, near = (Atoms("Ar2", [(0, 0, 0), (0, 0, r)]) for r in (1.0, 1.03))
    same = neb(one, near, wells, "same")
    assert same.band is None and not same.complete
    assert json.loads(Path("same/neb.json").read_text())["same_ends"] is True


def test_evaluate(places, monkeypatch, capfd):
    for folder in ("command", "function"):
        write_pair(places / folder / "pair.hint.pt", depth=4.0, distance=1.0)
        triangle = [(0, 0, 0), (1.01, 0, 0), (0.5, 0.75**0.5, 0)]
        atoms = Atoms("Al3", triangle, info={"REF_energy": -3.0})
        atoms.arrays["REF_forces"] = np.array([(-0.1, 0, 0), (0.1, 0, 0), (0, 0, 0)])
        write_frames(places / folder / "labelled.xyz", [atoms, atoms])
    monkeypatch.chdir(places / "command")
    code, text = hint(capfd, "evaluate", "pair.hint.pt", "labelled.xyz", "-o", "out", "--json")
    assert code == 0, text
    monkeypatch.chdir(places / "function")
    told: list[tuple[int, int, int]] = []
    found = evaluate("pair.hint.pt", "labelled.xyz", "out", report=lambda *counts: told.append(counts))
    assert told and told[-1][2] == 2
    wanted, got = content(places / "command"), content(places / "function")
    assert list(wanted) == list(got) and len(wanted) >= 8
    for name in ("out/metrics.json", "out/frames.csv"):
        assert wanted[name] == got[name], name
    assert without_times(json.loads(text)) == without_times(found.as_dict())


@pytest.mark.long
def test_reactions(isomers, monkeypatch, capfd):
    """The same files, but for the random numbers of other processes; a second run does nothing again."""
    monkeypatch.chdir(isomers / "command")
    code, text = hint(capfd, "reactions", "set", "-o", "out", "--engine", "gfn2-xtb", "--guesses", "1")
    assert code == 0 and "1/1 hcn: intended" in text, text
    monkeypatch.chdir(isomers / "function")
    told: list[tuple[int, int, str, str]] = []
    found = chemistry.reactions("set", "gfn2-xtb", "out", guesses=1, report=lambda *line: told.append(line))
    assert told == [(1, 1, "hcn", "intended")]
    wanted, got = content(isomers / "command"), content(isomers / "function")
    assert list(wanted) == list(got) and wanted["out/settings.json"] == got["out/settings.json"]
    assert {"out/summary.json", "out/index.html", "out/hcn/reaction.json", "out/hcn/irc.xyz"} < set(wanted)
    theirs = json.loads(str(wanted["out/summary.json"]))
    assert list(theirs) == list(json.loads(str(got["out/summary.json"])))
    assert {key: theirs[key] for key in ("funnel", "verdicts", "stopped_at")} == {
        key: found.as_dict()[key] for key in ("funnel", "verdicts", "stopped_at")
    }
    forward = json.loads(str(wanted["out/hcn/reaction.json"]))["barriers"]["forward"]
    assert found.results["hcn"]["barriers"]["forward"] == pytest.approx(forward, abs=1e-4)
    assert found.as_dict() == json.loads(Path("out/summary.json").read_text())
    assert found.results["hcn"]["verdict"] == "intended"
    again = chemistry.reactions("set", PotentialSpec(engine="gfn2-xtb"), "out", guesses=1, against="out")
    assert again.as_dict()["against"]["both"] == 1 and len(told) == 1
    with pytest.raises(OptionsError, match="was begun with other settings"):
        chemistry.reactions("set", "gfn2-xtb", "out", guesses=2)
