"""A folder of results says where it comes from: the command, versions, the date, hashes of what went in."""

import hashlib
import importlib
import inspect
import json
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from verb_sources import source_of

from hint_plugin.cli import app
from hint_plugin.cli.support.provenance import SAID, remember, run_provenance, say_what_is_read
from hint_plugin.data import HessianLabel, LabelKeys, SamplingPlan, write_frames, write_label
from hint_plugin.data.file_io import file_sha256


def test_many_names_of_several_files_are_counted(tmp_path, capsys):
    paths = [tmp_path / f"{name}.hess" for name in "abcde"]
    for path in paths:
        path.touch()
        path.with_suffix(".engrad").touch()
    say_what_is_read(paths)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Read from 2 files: a.hess, a.engrad" and len(lines) == SAID + 1
    assert lines[-1] == "... and so on for 2 more"


def test_files_folders_and_sets_have_hashes(tmp_path):
    folder = tmp_path / "elph_dir"
    (folder / "deep").mkdir(parents=True)
    for name in ("elph_dir/b", "elph_dir/deep/a", "one.xyz", "pdh.dyn0", "pdh.dyn1", "pdh.dyn.png"):
        (tmp_path / name).write_text(name)
    (tmp_path / "pdh.dyn0").write_text("1 1 1\n1\n")
    (tmp_path / "pdh.dyn1").write_text("Dynamical matrix file\n")
    remember(["tc", "my file"])
    found = run_provenance([folder, tmp_path / "one.xyz", tmp_path / "pdh.dyn0"], note="x")
    assert found["command"] == "hint tc 'my file'" and found["note"] == "x"
    assert {"hint-mlip", "python", "numpy"} <= set(found["versions"]) and found["date"].endswith("+00:00")
    assert "model" not in found and "engine" not in found
    *files, whole = found["data"]
    assert [(file["path"], file["sha256"]) for file in files] == [
        (str(tmp_path / name), file_sha256(tmp_path / name)) for name in ("one.xyz", "pdh.dyn0", "pdh.dyn1")
    ]
    lines = "".join(
        f"{hashlib.sha256(f'elph_dir/{name}'.encode()).hexdigest()}  {name}\n" for name in ("b", "deep/a")
    )
    assert whole == {
        "path": str(folder),
        "files": 2,
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }
    assert run_provenance([tmp_path / "pdh.dyn"])["data"] == files[1:]
    assert run_provenance([tmp_path / "absent"])["data"] == []


@pytest.mark.parametrize("verb", ["thermo", "vibrations"])
def test_results_of_a_verb_have_it(tmp_path, verb):
    atoms, keys = Atoms("H2", [(0, 0, 0), (0, 0, 0.74)]), LabelKeys()
    atoms.info[keys.energy], atoms.arrays[keys.forces] = -31.7, np.zeros((2, 3))
    spring = 36.0 * np.diag([0.0, 0.0, 1.0])
    write_label(atoms, HessianLabel.full(np.block([[spring, -spring], [-spring, spring]])))
    write_frames(tmp_path / "h2.xyz", [atoms])
    arguments = [verb, str(tmp_path / "h2.xyz"), "-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stop:
        app.main(arguments)
    assert not stop.value.code
    found = json.loads((tmp_path / "out" / f"{verb}.json").read_text())
    assert len(found["results"]) == 1
    about = found["provenance"]
    assert about["command"] == " ".join(["hint", *arguments])
    assert about["data"] == [{"path": str(tmp_path / "h2.xyz"), "sha256": file_sha256(tmp_path / "h2.xyz")}]


def run(capfd, *arguments):
    """Exit code and stdout of a command."""
    with pytest.raises(SystemExit) as stop:
        app.main(arguments)
    out, err = capfd.readouterr()
    assert not stop.value.code, err
    return out


@pytest.fixture
def frames(tmp_path, monkeypatch):
    """h2.xyz with four frames, in the current folder."""
    write_frames(tmp_path / "h2.xyz", [Atoms("H2", [(0, 0, 0), (0, 0, 0.7 + 0.02 * k)]) for k in range(4)])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("dataset convert h2.xyz -o a.h5", "a.h5.json"),
        ("dataset convert h2.xyz -o a.h5 --frames-per-shard 2", "a.h5.json"),
        ("dataset convert h2.xyz -o deep --to deepmd", "deep/convert.json"),
        ("dataset merge h2.xyz -o a.h5", "a.h5.json"),
        ("dataset split h2.xyz -o parts --by frame --fractions 1 1 1", "parts/split.json"),
        ("dataset split h2.xyz -o parts --shards 2", "parts/split.json"),
        ("dataset stats h2.xyz --plots plots", "plots/stats.json"),
        ("sample random h2.xyz -o plan.json -n 2", "plan.json"),
        ("sample displace h2.xyz -o plan.json --extract new.xyz", "plan.json"),
        ("hessian h2.xyz --engine gfn2-xtb -o a.xyz", "a.xyz.json"),
        ("optimize h2.xyz --engine gfn2-xtb -o a.xyz", "a.xyz.json"),
        ("label h2.xyz --hessian none -o a.xyz", "a.xyz.json"),
    ],
)
def test_files_of_frames_and_plans_have_it(frames, capfd, line, where):
    if "gfn2" in line or line.startswith("label"):
        pytest.importorskip("tblite", reason="needs tblite: pip install '.[xtb]'")
    printed = json.loads(run(capfd, *line.split(), "--json"))
    about = json.loads((frames / where).read_text())["provenance"]
    assert about == printed["provenance"]
    assert about["command"] == f"hint {line} --json" and "hint-mlip" in about["versions"]
    assert about["data"] == [{"path": "h2.xyz", "sha256": file_sha256(frames / "h2.xyz")}]
    if line.split()[0] in ("hessian", "optimize"):
        found = json.loads((frames / where).read_text())
        assert about["engine"]["engine"] == "gfn2-xtb"
        assert found["output"] == "a.xyz" and len(found["results"]) == 4 and not found["failures"]
    if where.startswith("parts"):  # a folder of stores is still one
        assert not set(frames.glob("parts/*.json")) - {frames / where}


def test_plans_without_it_are_read(frames, capfd):
    run(capfd, *["sample", "random", "h2.xyz", "-o", "plan.json", "-n", "2"])
    document = json.loads((frames / "plan.json").read_text())
    assert SamplingPlan.read("plan.json").provenance == document.pop("provenance")
    (frames / "plan.json").write_text(json.dumps(document))
    assert SamplingPlan.read("plan.json").provenance == {} and document["version"] == 1


def test_light_verbs_stay_light(frames):
    """The provenance costs no import of torch: `hint dataset` starts at once."""
    script = (
        "import sys\nfrom hint_plugin.cli.app import main\n"
        "try: main(['dataset', 'convert', 'h2.xyz', '-o', 'a.h5'])\nexcept SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_every_verb_with_a_folder_of_results_leaves_it():
    count = 0
    for name, verb in app.VERBS.items():
        if verb.passthrough or verb.group:
            continue
        texts = [getattr(parameter, "help", "") or "" for parameter in app._real_command(name).params]
        if any("Folder for the results" in text for text in texts):
            count += 1
            module = importlib.import_module(verb.target.partition(":")[0])
            source = inspect.getsource(module) + source_of(verb.load())
            assert "run_provenance(" in source or "each_molecule(" in source, name  # that one asks for it
    assert count >= 10
