"""What a newcomer does wrong: each verb ends with code 2 and says in a line or two what it got and wanted.

Missing, empty and foreign files, folders in place of files, models that are none, outputs that cannot be
written. Nothing heavy is started: all of it has to be found before the work.
"""

import errno
import re
import shlex

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from hint_plugin import pretrained
from hint_plugin.cli import app
from hint_plugin.data import write_frames

GFN2 = "--engine gfn2-xtb"
INPUTS = {  # IN is the wrong file
    "label": "label IN -o new.xyz",
    "label --plan": "label --plan IN -o new.xyz",
    "sample wld": "sample wld IN -o new.json -n 1",
    "sample fps": "sample fps IN -o new.json -n 1",
    "sample random": "sample random IN -o new.json -n 1",
    "sample energy": "sample energy IN -o new.json -n 1",
    "sample displace": "sample displace IN -o new.json --extract new.xyz",
    "dataset convert": "dataset convert IN -o new.h5",
    "dataset merge": "dataset merge IN -o new.h5",
    "dataset split": "dataset split IN -o new",
    "dataset split --shards": "dataset split IN -o new --shards 2",
    "dataset stats": "dataset stats IN --json",
    "optimize": f"optimize IN {GFN2} -o new.xyz",
    "hessian": f"hessian IN {GFN2} -o new.xyz",
    "vibrations": "vibrations IN -o new",
    "thermo": "thermo IN -o new",
    "reaction": f"reaction IN water.xyz {GFN2} -o new",
    "rates": f"rates IN {GFN2} -o new",
    "neb": f"neb water.xyz IN {GFN2} -o new",
    "reactions": f"reactions IN {GFN2} -o new",
    "phonons": f"phonons IN {GFN2} -o new",
    "qha": f"qha IN {GFN2} -o new",
    "cubic": f"cubic IN {GFN2} -o new",
    "conductivity": f"conductivity IN {GFN2} -o new",
    "double-well": f"double-well IN {GFN2} --displacement 0,z -o new",
    "anharmonic": "anharmonic IN --pseudo empty -o new",
    "sscha": f"sscha IN {GFN2} --supercell 1 1 1 -o new",
    "tc": "tc IN -o new",
    "external hessian": f"external hessian IN {GFN2} -o new.hess",
    "external pysisyphus": f"external pysisyphus IN {GFN2}",
}
MODELS = {  # MODEL is no model
    "evaluate": "evaluate MODEL water.xyz -o new",
    "export": "export MODEL -o new.hint.pt",
    "inspect": "inspect MODEL",
    "ipi": "ipi run --model MODEL --template water.xyz",
    "external gaussian": "external gaussian R water.EIn new.EOu -m MODEL --no-server",
    "external orca": "external orca water_EXT.extinp.tmp -m MODEL --no-server",
    "external hessian": "external hessian water.xyz -m MODEL -o new.hess",
    "optimize": "optimize water.xyz -m MODEL -o new.xyz",
    "hessian": "hessian water.xyz -m MODEL -o new.xyz",
    "vibrations": "vibrations water.xyz -m MODEL -o new",
    "thermo": "thermo water.xyz -m MODEL -o new",
    "compare-thermo": "compare-thermo water.xyz -m MODEL -o new",
    "reaction": "reaction water.xyz other.xyz -m MODEL -o new",
    "neb": "neb water.xyz other.xyz -m MODEL -o new",
    "reactions": "reactions set -m MODEL -o new",
    "phonons": "phonons silicon.xyz -m MODEL -o new",
    "qha": "qha silicon.xyz -m MODEL -o new",
    "cubic": "cubic silicon.xyz -m MODEL -o new",
    "conductivity": "conductivity silicon.xyz -m MODEL -o new",
    "double-well": "double-well silicon.xyz -m MODEL --displacement 0,z -o new",
    "sscha": "sscha silicon.xyz -m MODEL --supercell 1 1 1 -o new",
}
OUTPUTS = {
    name: line.replace("IN", "water.xyz").replace("MODEL", "junk.hint.pt")
    for name, line in (INPUTS | MODELS).items()
    if " -o " in line
}
OF_OTHERS = {  # why a verb is in none of the tables
    "dataset check": "finds out what is wrong: exit code 1",
    "lammps": "reads no file of the user",
    "doctor": "reads no file",
    "external script": "writes a model's place: tests/external/test_commands.py",
    "external status": "reads no file",
    "external stop": "reads no file",
    "model list": "reads no file of the user",
    "model card": "takes a name: tests/export/test_ready_models.py",
    "model path": "takes a name, too",
    "configs list": "reads no file of the user",
    "configs copy": "takes a name: tests/cli/test_configs.py",
    "mace-train": "its files are MACE's own affair",
}
FILES = ("missing.xyz", "no/missing.xyz", "empty.xyz", "notes.txt", "junk.xyz", "words.xyz", "empty")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_frames(tmp_path / "water.xyz", [molecule("H2O")])
    write_frames(tmp_path / "other.xyz", [Atoms("OH2", np.diag([0.0, 1.0, 3.0]))])
    write_frames(tmp_path / "silicon.xyz", [bulk("Si")])
    for end in ("reactant", "product"):
        (tmp_path / "set" / "one").mkdir(parents=True, exist_ok=True)
        write_frames(tmp_path / "set" / "one" / f"{end}.xyz", [molecule("H2O")])
    (tmp_path / "empty").mkdir()
    (tmp_path / "water.EIn").write_text("3 1 0 1\n8 0 0 0 0\n1 0 1.4 1.1 0\n1 0 -1.4 1.1 0\n")
    (tmp_path / "water_EXT.extinp.tmp").write_text("water.xyz\n0\n1\n1\n1\n")
    for name in ("empty.xyz", "empty.hint.pt"):
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").write_text("buy milk\n")
    (tmp_path / "words.xyz").write_text("buy milk\nand bread\n")
    (tmp_path / "junk.xyz").write_bytes(bytes(range(256)))
    (tmp_path / "junk.hint.pt").write_bytes(b"no model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HINT_DEBUG", raising=False)
    return tmp_path


def refused(line, capfd, folder):
    """What stderr says, once all is as it has to be: code 2, short, no traceback, nothing written."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(SystemExit) as stop:  # any other exception is a traceback
        app.main(shlex.split(line))
    out, err = (re.sub(r"\x1b\[[0-9;]*m", "", text) for text in capfd.readouterr())
    assert stop.value.code == 2, (line, out, err)
    assert not out, out
    said = err[err.index("error: ") :].strip()  # MACE, when it is imported, speaks before
    assert len(said.splitlines()) <= 2 and "Traceback" not in err, err
    assert sorted(folder.rglob("*")) == before
    return said


def test_every_verb_is_tried():
    names = {line.split(" -")[0] for line in (*INPUTS, *MODELS, *OF_OTHERS)}
    for name, verb in app.VERBS.items():
        members = () if verb.passthrough else getattr(app._real_command(name), "commands", ())
        for path in [f"{name} {member}" for member in members] or [name]:
            assert path in names, path


@pytest.mark.parametrize("name", INPUTS)
def test_wrong_files(name, folder, capfd):
    for file in FILES:
        if name == "dataset split --shards" and file == "empty":
            continue
        said = refused(INPUTS[name].replace("IN", file), capfd, folder)
        assert file in said, said


@pytest.mark.parametrize("name", MODELS)
def test_wrong_models(name, folder, capfd):
    for file in ("missing.hint.pt", "junk.hint.pt", "empty.hint.pt", "empty"):
        said = refused(MODELS[name].replace("MODEL", file), capfd, folder)
        assert file in said, said


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_that_cannot_be_written(name, folder, capfd):
    line = OUTPUTS[name]
    said = refused(re.sub(r"-o new", "-o notes.txt/new", line), capfd, folder)
    assert "cannot be written: notes.txt is a file" in said
    is_file = re.search(r"-o new\.", line)
    said = refused(re.sub(r"-o \S+", f"-o {'empty' if is_file else 'notes.txt'}", line), capfd, folder)
    assert re.search("is a (file|folder)|cannot be written|exists", said), said


def test_no_permission(folder, capfd, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    said = refused("thermo water.xyz -o new", capfd, folder)
    assert "new cannot be written: no permission for" in said


@pytest.mark.parametrize(
    "line",
    [
        "optimize water.xyz -o new.xyz",
        f"optimize water.xyz {GFN2} -m junk.hint.pt -o new.xyz",
        f"optimize water.xyz {GFN2} -o water.xyz",
        f"optimize water.xyz {GFN2} -o no/new.xyz",
        f"hessian silicon.xyz {GFN2} -o new.xyz",
        f"hessian water.xyz {GFN2} -o new.txt",
        "label water.xyz -o new.xyz --engine nothing",
        "sample random water.xyz -o new.json --fraction 2",
        "sample random water.xyz -o new.json -n 99",
        "sample displace silicon.xyz -o new.json --extract new.xyz --sigma -1",
        "dataset split water.xyz -o new --fractions -1 1 1",
        "dataset merge water.xyz -o phonopy.yaml",
        "dataset check water.xyz --against nothing",
        "thermo water.xyz -o new --optimize",
        f"phonons silicon.xyz {GFN2} --supercell 0 0 0 -o new",
        f"qha silicon.xyz {GFN2} --volumes 4 -o new",
        f"qha silicon.xyz {GFN2} --strain 0.1 -0.1 -o new",
        f"qha silicon.xyz {GFN2} --temperature-step 0 -o new",
        f"double-well silicon.xyz {GFN2} -o new",
        f"sscha silicon.xyz {GFN2} -o new",
        "anharmonic silicon.xyz --pseudo missing -o new",
        "tc notes.txt --unit parsec -o new",
    ],
)
def test_options_that_do_not_fit(line, folder, capfd):
    refused(line, capfd, folder)


@pytest.mark.parametrize(
    "words",
    [
        "thermo water.xyz -T -5",
        f"optimize water.xyz {GFN2} -o new.xyz --fmax -1",
        "label water.xyz -o new.xyz --hessian-fraction 2",
        f"neb water.xyz other.xyz {GFN2} --images 1",
    ],
)
def test_numbers_out_of_range(words, folder, capfd):
    with pytest.raises(SystemExit) as stop:
        app.main(shlex.split(words))
    assert stop.value.code == 2 and "Invalid value for" in capfd.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        f"optimize water.xyz {GFN2} -o new.xyz",
        f"thermo water.xyz --optimize {GFN2} -o new",
        f"vibrations water.xyz --saddle {GFN2} -o new",
        f"compare-thermo water.xyz -m {pretrained.names()[0]} -o new",
    ],
)
def test_without_the_optimiser(line, folder, capfd, monkeypatch):
    monkeypatch.setattr("hint_plugin.optional.find_spec", lambda module: None)
    said = refused(line, capfd, folder)
    assert "optimising needs sella: pip install '.[reactions]'" in said


@pytest.mark.parametrize("debug", [False, True])
def test_a_full_disk_is_no_bug(folder, capfd, monkeypatch, debug):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "new.h5")

    monkeypatch.setattr("hint_plugin.data.sets.conversion.write_frames", full)
    if debug:
        monkeypatch.setenv("HINT_DEBUG", "1")
        with pytest.raises(OSError):
            app.main(["dataset", "convert", "water.xyz", "-o", "new.h5"])
    else:
        said = refused("dataset convert water.xyz -o new.h5", capfd, folder)
        assert said.startswith("error: new.h5: No space left on device.")


def test_empty_files_are_told_by_check(folder, capfd):
    with pytest.raises(SystemExit) as stop:
        app.main(["dataset", "check", "empty.xyz"])
    assert stop.value.code == 1 and "empty.xyz, frame 0 (?): no frames" in capfd.readouterr().out
