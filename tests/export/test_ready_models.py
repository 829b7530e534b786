"""The trained models that come with HINT: their files, their cards, and that they are as good as they say."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import indent

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read

from hint_plugin import pretrained
from hint_plugin.artifact.metadata import read_metadata
from hint_plugin.cli import app
from hint_plugin.data import write_frames
from hint_plugin.data.file_io import file_sha256
from hint_plugin.errors import OptionsError
from hint_plugin.export import checkpoint_to_artifact as exporting
from hint_plugin.labelling import make_engine
from hint_plugin.potentials.checkpoints import load_checkpoint
from hint_plugin.potentials.hint_calculator import HintCalculator

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = pretrained.names()
MEGABYTES = 3
PAGE = Path(__file__).parents[2] / "docs" / "ready-model.md"


def hint(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        app.main([str(word) for word in arguments])
    found = capsys.readouterr()
    return stop.value.code or 0, found.out, found.err


def test_there_is_one():
    assert "alphanet-gfn2" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_of_the_files(name):
    card = pretrained.card(name)
    assert card["name"] == name
    for kind, digest in card["sha256"].items():
        path = pretrained.path_of(name, kind)
        assert file_sha256(path) == digest
        assert path.stat().st_size < MEGABYTES * 1e6
    metadata = read_metadata(pretrained.path_of(name))
    assert sorted(metadata.species) == sorted(card["elements"])


def test_list_card_and_path(capsys):
    code, out, _ = hint(capsys, "model", "list")
    assert code == 0 and all(name in out for name in NAMES)
    _, out, _ = hint(capsys, "model", "list", "--json")
    assert [card["name"] for card in json.loads(out)] == NAMES
    _, out, _ = hint(capsys, "model", "card", NAMES[0])
    assert "limits: " in out and "  hessian mae: " in out and len(out.splitlines()) > 20
    assert indent(out, "    ") in PAGE.read_text()
    _, out, _ = hint(capsys, "model", "path", NAMES[0])
    assert Path(out.strip()) == pretrained.path_of(NAMES[0])
    _, out, _ = hint(capsys, "model", "path", NAMES[0], "--checkpoint")
    assert Path(out.strip()).suffix == ".model" and Path(out.strip()).is_file()


def test_an_unknown_name(capsys):
    code, _, err = hint(capsys, "model", "card", "alphanet-gnf2")
    assert code == 2 and f"no model alphanet-gnf2 comes with HINT; there is: {', '.join(NAMES)}" in err
    for line in ("inspect", "thermo in.xyz --model", "evaluate"):
        code, _, err = hint(capsys, *line.split(), "alphanet-gnf2")
        assert code == 2 and "no file alphanet-gnf2, and no model of that name comes with HINT" in err
    with pytest.raises(OptionsError, match="comes with HINT"):
        pretrained.path_of("nothing")
    for line, advice in (
        ("thermo in.xyz --model gfn2-xtb", "give --engine gfn2-xtb"),
        ("evaluate gfn2-xtb in.xyz", "this command takes a trained model"),
    ):
        code, _, err = hint(capsys, *line.split())
        assert code == 2 and advice in " ".join(err.split())


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert pretrained.or_path(Path(NAMES[0])) == pretrained.path_of(NAMES[0])
    Path(NAMES[0]).write_text("mine")
    assert pretrained.or_path(Path(NAMES[0])) == Path(NAMES[0])
    assert pretrained.or_path(Path("other.hint.pt")) == Path("other.hint.pt")


def test_export_takes_the_name(capsys, tmp_path, monkeypatch):
    """The file goes into the folder where one is, not into the package; what it was trained on goes along."""
    monkeypatch.chdir(tmp_path)
    compiled = []
    monkeypatch.setattr(exporting, "write_compiled", lambda *found: compiled.append(found[2]))
    code, out, err = hint(capsys, "export", NAMES[0], "--aoti")
    assert code == 0, err
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAMES[0]}.hint.pt"]
    assert compiled == [Path(f"{NAMES[0]}.hint.pt2")]
    ready, found = read_metadata(pretrained.path_of(NAMES[0])), read_metadata(Path(f"{NAMES[0]}.hint.pt"))
    assert found.training_domain == ready.training_domain and "trained on: 2447 structures" in out
    assert load_checkpoint(Path(NAMES[0])).architecture == found.architecture
    code, _, err = hint(capsys, "export", "alphanet-gnf2")
    assert code == 2 and "no file alphanet-gnf2, and no model of that name comes with HINT" in err


def test_export_reads_the_training_set(capsys, tmp_path):
    words = ["--training-set", EXAMPLES / "molecules.xyz", "-o", tmp_path / "model.hint.pt"]
    code, out, err = hint(capsys, "export", NAMES[0], *words)
    assert code == 0, err
    assert "trained on: 5 structures of H C O; shortest distances (A) H-H 1.5" in out
    metadata = read_metadata(tmp_path / "model.hint.pt")
    assert metadata.provenance["data"][0]["path"] == str(EXAMPLES / "molecules.xyz")
    (tmp_path / "empty.xyz").write_text("")
    words[1] = tmp_path / "empty.xyz"
    code, _, err = hint(capsys, "export", NAMES[0], *words)
    assert code == 2 and "empty.xyz" in err


@pytest.mark.parametrize("verb", ["evaluate", "inspect", "thermo", "compare-thermo"])
def test_verbs_know_the_name(capsys, tmp_path, verb):
    """With labels of GFN2-xTB, made here."""
    atoms = molecule("CH3OH")
    engine = make_engine("gfn2-xtb")
    write_frames(tmp_path / "in.xyz", [atoms])
    assert (
        hint(capsys, "label", tmp_path / "in.xyz", "-o", tmp_path / "set.xyz", "--engine", engine.name)[0]
        == 0
    )
    output = ["-o", tmp_path / "out"]
    words = {
        "evaluate": [NAMES[0], tmp_path / "set.xyz", *output, "--no-plots"],
        "inspect": [NAMES[0]],
        "thermo": [tmp_path / "in.xyz", "--optimize", "--model", NAMES[0], *output],
        "compare-thermo": [tmp_path / "set.xyz", "--model", NAMES[0], *output],
    }
    code, out, err = hint(capsys, verb, *words[verb])
    assert code == 0, err
    if verb == "thermo":
        about = json.loads((tmp_path / "out" / "thermo.json").read_text())["provenance"]
        digest = pretrained.card(NAMES[0])["sha256"][pretrained.ARTIFACT]
        assert digest in json.dumps(about)


def test_it_is_as_good_as_its_card_says():
    """Hessians of molecules near their minima, against GFN2-xTB, and their zero-point energies."""
    card = pretrained.card("alphanet-gfn2")
    calculator, engine = HintCalculator("alphanet-gfn2", dtype="float64"), make_engine("gfn2-xtb")
    rng = np.random.default_rng(5)
    errors = []
    for atoms in read(EXAMPLES / "molecules.xyz", ":"):
        atoms.positions += rng.normal(scale=0.04, size=atoms.positions.shape)
        wanted = engine.prepare(atoms).forces_at(atoms.positions)
        errors.append(np.abs(calculator.get_forces(atoms) - wanted).mean())
    assert np.mean(errors) < 2 * card["errors"]["forces_mae"]
