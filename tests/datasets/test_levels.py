"""Labels of several methods: refused where files are joined, said where frames are taken, counted."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from hint_plugin.cli import app
from hint_plugin.data import Choice, SamplingPlan, Source, merge, read_frames, write_frames
from hint_plugin.data.labels.contents import SetContents
from hint_plugin.data.labels.levels import UNKNOWN, LevelCount
from hint_plugin.data.sets.conversion import convert
from hint_plugin.errors import DataError
from hint_plugin.sampling import extract
from hint_plugin.science.levels import compare_levels, model_level


def frames(method: str | None, count: int = 2, **about):
    """Labelled frames that say who made them; None: they do not."""
    found = []
    for number in range(count):
        atoms = molecule("H2O")
        atoms.rattle(0.1, seed=number)
        atoms.info["REF_energy"] = -100.0 - number
        atoms.arrays["REF_forces"] = np.zeros((3, 3))
        told = about if method is None else {"method": method, **about}
        atoms.info |= {f"hint_{name}": value for name, value in told.items()}
        found.append(atoms)
    return found


def count(*sets) -> LevelCount:
    levels = LevelCount()
    for number, one in enumerate(sets):
        for atoms in one:
            levels.add(atoms, f"file {number}")
    return levels


def test_what_is_one_level():
    base = {"engine": "gfn2-xtb", "accuracy": 1e-3, "engine_version": "tblite 0.8.0"}
    same = [
        {"charge": 1, "multiplicity": 2},
        {"step": 2e-3, "derivatives": "analytic", "hessian": "none", "asymmetry": 1.0, "seed": 3},
        {"engine_version": "tblite 0.7.0"},
        {"accuracy": 0.0010000000000000001},
        {"kpoints": "2x2x2", "pseudopotentials": "Si.upf", "sampling_reason": "rank 1"},
    ]
    for about in same:
        assert count(frames("A", **base), frames("A", **base | about)).mixture() == "", about
    for about in ({"accuracy": 1.0}, {"engine": "xtb"}, {"electronic_temperature": 5000.0}):
        [(name, value)] = about.items()
        said = count(frames("A", **base), frames("A", **base | about)).mixture()
        assert f"2 frames of A with {name} {value} (first in file 1)" in said, said
    unlabelled = molecule("H2O")
    unlabelled.info["hint_method"] = "B"
    assert count(frames("A"), [unlabelled]).mixture() == ""
    said = count(frames("A"), frames(None)).mixture()
    assert (
        said
        == f"labels of 2 levels: 2 frames of A (first in file 0), 2 frames of {UNKNOWN} (first in file 1)"
    )
    lone = frames(None)
    for atoms in lone:
        atoms.info["config_type"] = "IsolatedAtom"
    assert count(frames("A"), lone).mixture() == ""


@pytest.mark.parametrize("suffix", ["xyz", "h5"])
def test_merge_refuses_two_methods(tmp_path, suffix, monkeypatch):
    one, two = tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}"
    write_frames(one, frames("GFN2-xTB", engine="gfn2-xtb"))
    write_frames(two, frames("wB97X/6-31G(d)", source_format="horm"))
    with monkeypatch.context() as patch:
        if suffix == "h5":  # levels are told by the layouts: no frame is unpacked
            patch.setattr("hint_plugin.data.stores.hdf5_v2.unpack", None)
        with pytest.raises(DataError, match=r"2 frames of GFN2-xTB \(first in .*one.*wB97X.*--mixed"):
            merge([one, two], tmp_path / "all.h5")
        assert not (tmp_path / "all.h5").exists()
        assert sum(merge([one, two], tmp_path / "all.h5", mixed=True).values()) == 4
        again = Path(shutil.copy(one, tmp_path / f"copy.{suffix}"))
        assert sum(merge([one, again], tmp_path / "same.h5").values()) == 4
    with pytest.raises(DataError, match="labels of 2 levels"):
        merge([tmp_path / "all.h5"], tmp_path / "again.h5")
    with pytest.raises(SystemExit) as stop:
        app.main(["dataset", "merge", str(one), str(two), "-o", str(tmp_path / "new.h5"), "--mixed"])
    assert not stop.value.code


def test_merge_to_text_refuses_two_methods(tmp_path):
    for name in ("A", "B"):
        write_frames(tmp_path / f"{name}.h5", frames(name))
    files = [tmp_path / "A.h5", tmp_path / "B.h5"]
    with pytest.raises(DataError, match="2 frames of A .*2 frames of B.*--mixed"):
        merge(files, tmp_path / "all.xyz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["A.h5", "B.h5"]
    merge(files, tmp_path / "all.xyz", mixed=True)
    assert [atoms.info["hint_method"] for atoms in read_frames(tmp_path / "all.xyz")] == ["A", "A", "B", "B"]


def test_merge_reads_frames_whose_layout_does_not_say_the_method(tmp_path, monkeypatch):
    monkeypatch.setattr("hint_plugin.data.stores.frame_bytes.CONSTANTS", 0)
    for name in ("A", "B"):
        write_frames(tmp_path / f"{name}.h5", frames(name))
    with pytest.raises(DataError, match="2 frames of A .*2 frames of B"):
        merge([tmp_path / "A.h5", tmp_path / "B.h5"], tmp_path / "all.h5")


def test_convert_and_extract_say_it(tmp_path):
    write_frames(tmp_path / "a.xyz", frames("A"))
    write_frames(tmp_path / "b.xyz", frames("B"))
    sources = [tmp_path / "a.xyz", tmp_path / "b.xyz"]
    assert "2 frames of B" in convert(sources, tmp_path / "all.xyz").mixture
    assert convert(sources[:1], tmp_path / "one.xyz").mixture == ""
    choices = [Choice(n, 0, "energy_forces", "rank") for n in range(2)]
    plan = SamplingPlan("test", {}, [Source.of(path, 2) for path in sources], choices)
    assert f"1 frame of B (first in {sources[1]})" in extract(plan, tmp_path / "e.xyz").mixture
    assert "2 frames of B" in extract(plan, tmp_path / "k.xyz", keep_all=True).mixture


def test_labels_under_ases_names_have_a_level_too(tmp_path):
    """They get HINT's names on the way, and are counted in all ways to one file."""
    for name in ("A", "B"):
        bare = [molecule("H2O")]
        bare[0].info["hint_method"] = name
        bare[0].calc = SinglePointCalculator(bare[0], energy=-1.0, forces=np.zeros((3, 3)))
        for suffix in ("xyz", "h5"):
            write_frames(tmp_path / f"{name}.{suffix}", bare)
    for suffix in ("xyz", "h5"):
        sources = [tmp_path / f"A.{suffix}", tmp_path / f"B.{suffix}"]
        assert "1 frame of B" in convert(sources, tmp_path / f"all.{suffix}").mixture
        with pytest.raises(DataError, match="1 frame of A .*1 frame of B"):
            merge(sources, tmp_path / "merged.h5")


def test_engines_without_a_method_are_levels_of_their_own():
    said = count(frames(None, engine="one"), frames(None, engine="two"), frames(None)).mixture()
    assert "labels of 3 levels: 2 frames of one" in said and "2 frames of two" in said and UNKNOWN in said
    assert count(frames(None, engine="one"), frames(None, engine="one")).mixture() == ""


def test_what_a_training_set_is_made_of():
    """Both trainers warn of several levels and several charges before the first step."""
    contents, other = SetContents(), SetContents()
    for atoms in frames("A"):
        contents.add(atoms, "a.xyz")
    assert contents.remarks() == []
    for atoms in frames("B", charge=-1):
        other.add(atoms, "b.xyz")
    assert other.remarks() == []
    contents.add_all(other)
    levels, charges = contents.remarks()
    assert "2 frames of A (first in a.xyz), 2 frames of B (first in b.xyz). A model learns one" in levels
    assert "structures of 2 total charges: -1 (2), 0 (2)" in charges
    [odd] = frames("A", 1)
    odd.info["net_charge"] = -1
    contents.add(odd, "c.xyz")
    assert "1 structures whose charge cannot be read, first c.xyz: 'net_charge=-1'" in contents.remarks()[2]


class Trained:
    """A predictor as far as its origin goes."""

    def __init__(self, *levels: str) -> None:
        self.training = {"levels": list(levels)} if levels else None


@pytest.mark.parametrize(
    ("model", "labels", "same"),
    [
        (("GFN2-xTB",), ["gfn2-xtb"], True),
        (("GFN2-xTB",), ["GFN2-xTB", "wB97X/6-31G(d)"], False),
        (("GFN2-xTB", "wB97X/6-31G(d)"), ["wB97X/6-31G(d)"], True),
        (("GFN2-xTB",), [None], None),
        ((), ["GFN2-xTB"], None),
    ],
)
def test_a_model_and_labels_of_another_level(model, labels, same):
    found = compare_levels(Trained(*model), count(*map(frames, labels)))
    assert found["same"] is same and found["model"] == list(model)
    assert sum(found["labels"].values()) == 2 * len(labels)
    assert ("wB97X/6-31G(d)" in found["note"]) if same is False else found["note"] == ""


def test_evaluate_says_it_once(tmp_path, capfd):
    """The level of a model that comes with HINT stands on its card."""
    import json

    write_frames(tmp_path / "horm.xyz", frames("wB97X/6-31G(d)"))
    with pytest.raises(SystemExit) as stop:
        app.main(["evaluate", "alphanet-gfn2", str(tmp_path / "horm.xyz"), "-o", str(tmp_path / "e")])
    assert not stop.value.code
    assert capfd.readouterr().out.count("trained on labels by GFN2-xTB, and these are by wB97X/6-31G(d)") == 1
    levels = json.loads((tmp_path / "e" / "metrics.json").read_text())["levels"]
    assert levels["same"] is False and levels["labels"] == {"wB97X/6-31G(d)": 2}


def test_levels_survive_files(tmp_path):
    for suffix in ("xyz", "h5"):
        write_frames(tmp_path / f"a.{suffix}", frames("A", accuracy=1e-3, cartesian=True))
        assert (
            count(frames("A", accuracy=1e-3, cartesian=True), read_frames(tmp_path / f"a.{suffix}")).mixture()
            == ""
        )


def test_check_tells_of_levels_and_charges_in_one_file(tmp_path, capfd):
    mixed = [*frames("A"), *frames("B", 3)[2:]]
    mixed[0].info["charge"] = 1
    write_frames(tmp_path / "mixed.xyz", mixed)
    with pytest.raises(SystemExit) as stop:
        app.main(["dataset", "check", str(tmp_path / "mixed.xyz")])
    text = capfd.readouterr().out
    assert not stop.value.code and "nothing is wrong, but see the remarks" in text
    assert "labels of 2 levels: 2 frames of A" in text and "1 frame of B" in text
    assert "structures of 2 total charges: 0 (2), 1 (1)" in text


def test_what_came_along_and_what_looks_like_labels_is_told(tmp_path, capfd):
    some = frames("A", 3)
    some[1].info["ref_Energy"] = some[1].info.pop("REF_energy")
    some[2].info["my_hessian"] = np.eye(9)
    write_frames(tmp_path / "a.xyz", some)
    said = {}
    for words in (["convert", "-o", str(tmp_path / "b.h5")], ["stats"]):
        with pytest.raises(SystemExit) as stop:
            app.main(["dataset", words[0], str(tmp_path / "a.xyz"), *words[1:]])
        assert not stop.value.code
        said[words[0]] = capfd.readouterr().out
    assert "frames with energy: 2, forces: 3, Hessian: none" in said["convert"]
    for text in said.values():
        assert "frame 1: no REF_energy; 'ref_Energy' is there and is ignored" in text
        assert "frame 2: no Hessian label, but atoms.info['my_hessian'] holds 81 numbers" in text


@pytest.mark.parametrize("kind", ["mace", "alphanet"])
def test_a_checkpoint_and_its_artifact_say_the_same_level(kind):
    from make_golden import GOLDEN

    from hint_plugin.potentials.checkpoints import load_trained

    for suffix in (".model", ".hint.pt"):
        assert model_level(load_trained(GOLDEN / f"{kind}{suffix}")) == ["GFN2-xTB"]
