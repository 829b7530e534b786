"""Quoted patterns: verbs that take several files read what they match, in natural order, or say why not."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from physical_labels import pair_label
from verb_sources import source_of

from hint_plugin.cli import app
from hint_plugin.data import HessianLabel, LabelKeys, iter_frames, read_frames, write_frames, write_label
from hint_plugin.data.sets.patterns import each_once, expand, is_pattern, matching, natural
from hint_plugin.data.stores.shards import all_files, shard_paths, write_shards
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.labelling.plan import Inputs
from hint_plugin.science.molecules.molecule_inputs import named_frames

QE = Path(__file__).parents[1] / "data" / "formats" / "qe"
SEVERAL = {
    *("label", "evaluate", "optimize", "hessian", "vibrations", "thermo", "compare-thermo"),
    *("sample wld", "sample fps", "sample random", "sample energy", "sample displace"),
    *("dataset convert", "dataset merge", "dataset stats", "dataset check", "qha"),
}


def labelled(number):
    """Water with all labels, and a number."""
    atoms, keys = molecule("H2O"), LabelKeys()
    atoms.info |= {"number": number, keys.energy: -1.0}
    hessian, forces = pair_label(atoms, np.random.default_rng(number))
    atoms.arrays[keys.forces] = forces
    write_label(atoms, HessianLabel.full(hessian))
    return atoms


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """runs/frame1.xyz ... frame11.xyz, each with one frame; the current folder is that of runs."""
    (tmp_path / "runs").mkdir()
    for number in range(1, 12):
        write_frames(tmp_path / "runs" / f"frame{number}.xyz", [labelled(number)])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capfd, *arguments):
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as stop:
        app.main(arguments)
    return (stop.value.code or 0, *capfd.readouterr())


def numbers(path):
    return [atoms.info["number"] for atoms in iter_frames(path)]


def test_natural_order():
    names = ["a10", "a2", "b1", "a2b10", "a2b9", "10", "9", "a"]
    assert sorted(names, key=natural) == ["9", "10", "a", "a2", "a2b9", "a2b10", "a10", "b1"]


def test_patterns_become_files(folder):
    assert [path.stem for path in matching("runs/*.xyz")] == [f"frame{number}" for number in range(1, 12)]
    assert len(expand(["runs/frame1?.xyz", "runs/frame3.xyz", "**/frame2.xyz"])) == 4
    (folder / "a[1].xyz").write_text("")
    assert not is_pattern("a[1].xyz") and is_pattern("a[2].xyz")
    assert [str(path) for path in expand(["a[1].xyz"])] == ["a[1].xyz"]
    assert numbers("runs/*.xyz") == list(range(1, 12))
    assert read_frames("runs/*.xyz", -1)[0].info["number"] == 11


def test_stores_in_natural_order(folder):
    (folder / "stores").mkdir()
    for number in (2, 10, 1):
        write_frames(folder / "stores" / f"set-{number}.h5", [labelled(number)])
    assert numbers("stores") == numbers("stores/*.h5") == [1, 2, 10]
    assert shard_paths("stores") == all_files(["stores"]) == all_files(["stores/*.h5"])


@pytest.mark.parametrize("wrong", ["runs/*.out", "no/frame*.xyz", "runs/frame99.xyz"])
def test_nothing_there_says_what_is(folder, wrong):
    with pytest.raises(DataError, match="no such file|no file matches this pattern") as error:
        expand(["runs/frame1.xyz", wrong])
    assert wrong in str(error.value) and str(folder) in str(error.value)
    assert ("runs/" if wrong.startswith("no") else "frame1.xyz, frame2.xyz") in str(error.value)


def test_every_verb_with_several_files_expands():
    """All verbs that take several files are known here, and each calls the shared place."""
    found, calls = set(), ("expand(", "given(", "all_files(", "sources(", "SamplingTask(")
    for name, verb in app.VERBS.items():
        if verb.passthrough:
            continue
        one = app._real_command(name)
        for member, command in getattr(one, "commands", {"": one}).items():
            if any(p.param_type_name == "argument" and p.nargs == -1 for p in command.params):
                found.add(f"{name} {member}".strip())
                source = source_of(command.callback)
                assert any(call in source for call in calls), f"hint {name} {member}"
    assert found == SEVERAL


@pytest.mark.parametrize(
    "line",
    [
        "dataset convert PATTERN -o all.xyz",
        "dataset merge PATTERN -o all.h5",
        "sample random PATTERN -o plan.json -n 11 --extract all.xyz",
        "label PATTERN -o all.xyz --keep-labels",
    ],
)
def test_verbs_read_all_in_order(folder, capfd, line):
    code, out, err = run(capfd, *line.replace("PATTERN", "runs/*.xyz").split(), "--json")
    assert code == 0, err
    json.loads(out)
    assert numbers("all.h5" if "merge" in line else "all.xyz") == list(range(1, 12))
    code, _, err = run(capfd, *line.replace("PATTERN", "runs/*.out").split(), "--json")
    assert code == 2 and "no file matches this pattern" in err


def test_thermo_of_a_pattern(folder, capfd):
    code, out, _ = run(capfd, "thermo", "runs/frame1*.xyz", "-o", "thermo", "--json")
    found = json.loads(out)
    assert code in (0, 3) and [row["name"] for row in found["results"] + found["failures"]] == [
        "frame1",
        "frame10",
        "frame11",
    ]
    assert [one["path"] for one in found["provenance"]["data"]] == [
        f"runs/frame{number}.xyz" for number in (1, 10, 11)
    ]


def test_parts_of_a_set_are_compared_as_sets(folder, capfd):
    write_frames(folder / "test-1.xyz", [labelled(3)])
    code, out, _ = run(capfd, "dataset", "check", "--leakage", "runs/*.xyz", "test-*.xyz", "--json")
    found = json.loads(out)
    assert code == 1 and found["files"]["runs/*.xyz"]["frames"] == 11
    assert found["leakage"]["structure"] == {"runs/*.xyz & test-*.xyz": 1}
    assert found["duplicates"][0]["first_file"] == "runs/frame1.xyz"


def test_the_output_is_not_read_again(folder, capfd):
    assert run(capfd, "dataset", "convert", "runs/*.xyz", "-o", "runs/all.xyz")[0] == 0
    code, _, err = run(capfd, "dataset", "convert", "runs/*.xyz", "-o", "runs/all.xyz", "--overwrite")
    assert code == 2 and "is output, and one of the files that a pattern matches" in err
    assert len(numbers("runs/all.xyz")) == 11


def test_results_of_equal_names_are_kept_apart(folder):
    for place in ("a", "b"):
        (folder / place).mkdir()
        write_frames(folder / place / "opt.xyz", [labelled(1)])
    write_frames(folder / "a" / "opt.h5", [labelled(2)])
    write_frames(folder / "two.xyz", [labelled(1), labelled(2)])
    write_frames(folder / "two-0.xyz", [labelled(3)])
    for names, wanted in (
        (["a/opt.xyz", "runs/frame1.xyz"], ["opt", "frame1"]),
        (["a/opt.xyz", "b/opt.xyz"], ["a-opt", "b-opt"]),
        (["a/opt.xyz", "a/opt.h5"], ["opt-xyz", "opt-h5"]),
        (["two.xyz", "two-0.xyz"], ["two-0", "two-1", "two-0_"]),
        (["a/opt.xyz", "a/opt.xyz"], ["opt", "opt_"]),
    ):
        assert [name for name, _ in named_frames([folder / name for name in names])] == wanted


@pytest.mark.parametrize("verb", ["dataset convert", "dataset merge"])
@pytest.mark.parametrize("again", ["runs/frame1.xyz", "./runs/frame1.xyz", "runs/frame*.xyz", "link.xyz"])
def test_a_file_that_is_given_twice_is_refused(capfd, folder, verb, again):
    """As `sample` does; under another name, by a pattern, and as a part of the same set."""
    (folder / "link.xyz").symlink_to("runs/frame1.xyz")
    code, _, err = run(capfd, *verb.split(), "runs/frame1.xyz", again, "-o", "all.h5")
    assert code == 2 and "given twice" in err and not (folder / "all.h5").exists()


def test_files_of_one_set_of_matrices_are_one_file(tmp_path):
    for number in range(4):
        (tmp_path / f"pdh.dyn{number}").write_bytes((QE / f"pdh.dyn{number}").read_bytes())
    with pytest.raises(OptionsError, match=r"pdh.dyn1: given twice, also as .*pdh.dyn0"):
        each_once(sorted(tmp_path.iterdir()))
    each_once(sorted(tmp_path.iterdir()), only_this_file=True)
    with pytest.raises(OptionsError, match="given twice; its frames"):
        Inputs.open(["a.xyz", "a.xyz"])


def test_brackets_in_names_of_shards(folder):
    """`a[1]-*.h5` once matched the shards of a1.h5, and those of `a[1].h5` were written over."""
    frames = [labelled(number) for number in range(2)]
    write_shards("a[1].h5", frames, frames_per_shard=1)
    with pytest.raises(DataError, match=r"a\[1\]-00000.h5 exists: shards of two sets"):
        write_shards("a[1].h5", frames, frames_per_shard=1)
    assert [path.name for path in matching("a[1]-*.h5")] == ["a[1]-00000.h5", "a[1]-00001.h5"]
    write_shards("a1.h5", frames[:1], frames_per_shard=1)
    with pytest.raises(DataError, match="brackets of a pattern, as in a1-00000.h5, or of names"):
        matching("a[1]-*.h5")
