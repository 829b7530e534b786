"""`hint external` and its functions have the same names, options and defaults; docs/external.md is typed."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pair_artifact import write_pair

from hint_plugin.cli import app
from hint_plugin.data.formats import orca as orca_format
from hint_plugin.errors import DataError
from hint_plugin.external import run, socket_folder

PAGE = (Path(__file__).parents[2] / "docs" / "external.md").read_text()
OF_THE_COMMAND = {"help", "json_"}
POTENTIAL = {"model", "engine", "engine_option"}
XYZ = "2\nAlCu\nAl 0 0 0\nCu 2.6 0.1 0\n"


def said(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    try:
        app.main(shlex.split(line)[1:])
    except SystemExit as stop:
        assert not stop.code, (line, capsys.readouterr())
    return capsys.readouterr().out


def typed(start: str) -> str:
    """The line of the page that starts so, in its own words."""
    (line,) = [line.strip() for line in PAGE.splitlines() if line.strip().startswith(start)]
    return line


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With what the lines of the page name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(socket_folder.VARIABLE, str(tmp_path / "s"))
    write_pair(tmp_path / "model.hint.pt")
    (tmp_path / "guess.xyz").write_text(XYZ)
    (tmp_path / "job.EIn").write_text("2 2 0 1\n13 0 0 0 0\n29 4.9 0.2 0 0\n")
    (tmp_path / "job_EXT.xyz").write_text(XYZ)
    (tmp_path / "job_EXT.extinp.tmp").write_text("job_EXT.xyz\n0\n1\n1\n1\n")
    return tmp_path


@pytest.mark.parametrize("name", ["gaussian", "orca", "hessian", "pysisyphus", "script", "status", "stop"])
def test_options_and_defaults(name: str) -> None:
    command = app._real_command("external").commands[name]
    of_command = {one.name: one.default for one in command.params if one.name not in OF_THE_COMMAND}
    of_function = {
        key: None if one.default is one.empty else one.default
        for key, one in inspect.signature(getattr(run, name)).parameters.items()
    }
    assert ("potential" in of_function) == (set(of_command) >= POTENTIAL)
    assert set(of_command) - POTENTIAL == set(of_function) - {"potential"}
    for key, value in of_function.items():
        if key != "potential" and value is not None:
            assert str(of_command[key]) == str(value), key


def test_gaussian_as_typed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line for a point, and the one of the route, to which Gaussian adds layer and files."""
    out = said(typed("hint external gaussian R") + " --no-server --json", capsys)
    assert json.loads(out)["method"] == "model.hint.pt"
    first = (folder / "job.EOu").read_text()
    route = re.search(r'External="(hint [^"]*)"', typed("# opt"))
    assert route is not None
    line = route[1].replace("/home/me/", f"{folder}/")
    said(f"{line} --no-server R job.EIn job2.EOu job.EMsg job.EFC job.EUF", capsys)
    assert (folder / "job2.EOu").read_text() == first and len(first.splitlines()) == 1 + 2 + 2 + 6 + 7


def test_orca_as_typed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The script is called by ORCA with the name of its file, from the folder of the job."""
    said(typed("hint external script orca") + " --no-server", capsys)
    done = subprocess.run([folder / "hint-orca", "job_EXT.extinp.tmp"], capture_output=True, text=True)
    assert done.returncode == 0 and "HINT: model.hint.pt" in done.stdout, done.stderr
    engrad = (folder / "job_EXT.engrad").read_text()
    said("hint external orca job_EXT.extinp.tmp --model model.hint.pt --no-server", capsys)
    assert (folder / "job_EXT.engrad").read_text() == engrad
    line = PAGE[PAGE.index("hint external hessian guess.xyz") :].splitlines()[0]
    said(line, capsys)
    (frame,) = orca_format.read(folder / "guess.hess")
    assert len(frame) == 2


def test_a_script_names_a_model_that_is_there(folder: Path) -> None:
    with pytest.raises(DataError, match="missing.hint.pt cannot be read"):
        run.script("orca", "new", folder / "missing.hint.pt")
    assert not (folder / "new").exists()


def test_a_script_says_what_is_wrong(folder: Path) -> None:
    """In one line, with exit status 2; and a script for Gaussian does what the command does."""
    run.script("orca", "hint-orca", "gfn2-xtb", server=False)
    done = subprocess.run([folder / "hint-orca", "missing.extinp.tmp"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: missing.extinp.tmp cannot be read")
    assert len(done.stderr.splitlines()) == 1
    run.script("gaussian", "hint-gaussian", folder / "model.hint.pt", server=False)
    words = [folder / "hint-gaussian", *["R", "job.EIn", "job.EOu", "job.EMsg", "job.EFC", "job.EUF"]]
    assert subprocess.run(words, capture_output=True).returncode == 0
    text = (folder / "job.EOu").read_text()
    run.gaussian("R", "job.EIn", "job2.EOu", potential=folder / "model.hint.pt", server=False)
    assert (folder / "job2.EOu").read_text() == text


def test_no_server_is_running(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said("hint external status", capsys) == "no server is running\n"
    assert json.loads(said("hint external stop --json", capsys)) == []


@pytest.mark.slow
def test_pysisyphus_as_typed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """HCN -> HNC by gfn2-xtb, with the YAML of the page: gradients and Hessians come from HINT."""
    pysis = shutil.which("pysis", path=str(Path(sys.executable).parent))
    if pysis is None:
        pytest.skip("needs pysisyphus: pip install '.[reactbench]'")
    (folder / "guess.xyz").write_text("3\nHCN\nC 0 0 0\nN 1.18 0 0\nH 0.45 1.15 0\n")
    text = re.search(r"```yaml\n(.*?)```", PAGE, re.S)
    assert text is not None
    (folder / "ts.yaml").write_text(text[1])
    with open(folder / "log", "w") as log:
        program = subprocess.Popen([pysis, "ts.yaml"], stdout=log, stderr=log)
    line = typed("pysis ts.yaml &").removeprefix("pysis ts.yaml & ")
    line = line.replace("--model model.hint.pt", "--engine gfn2-xtb --wait 300 --json")
    found = json.loads(said(line, capsys))
    assert program.wait(60) == 0, (folder / "log").read_text()[-2000:]
    assert "Converged!" in (folder / "log").read_text() and (folder / "ts_opt.xyz").exists()
    assert found["hessians"] >= 2 and found["gradients"] <= 10, found
