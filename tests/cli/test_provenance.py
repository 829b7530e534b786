"""A folder of results says where it comes from: the command, versions, the date, hashes of what went in."""

import hashlib
import importlib
import inspect
import json

import numpy as np
import pytest
from ase import Atoms

from hint_plugin.cli import app
from hint_plugin.cli.provenance import remember, run_provenance
from hint_plugin.data import HessianLabel, LabelKeys, write_frames, write_label
from hint_plugin.data.files import file_sha256


def test_files_folders_and_sets_have_hashes(tmp_path):
    folder = tmp_path / "elph_dir"
    (folder / "deep").mkdir(parents=True)
    for name in ("elph_dir/b", "elph_dir/deep/a", "one.xyz", "pdh.dyn0", "pdh.dyn1", "pdh.dyn.png"):
        (tmp_path / name).write_text(name)
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


def test_every_verb_with_a_folder_of_results_leaves_it():
    count = 0
    for name, verb in app.VERBS.items():
        if verb.passthrough or verb.group:
            continue
        texts = [getattr(parameter, "help", "") or "" for parameter in app._real_command(name).params]
        if any("Folder of the results" in text for text in texts):
            count += 1
            module = importlib.import_module(verb.target.partition(":")[0])
            assert "run_provenance(" in inspect.getsource(module), name
    assert count >= 10
