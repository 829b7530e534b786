"""What is in the package, and what importing it costs."""

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import hint_plugin

ROOT = Path(__file__).parents[2]


def test_version_is_the_installed_one():
    assert importlib.metadata.version("hint-mlip") == hint_plugin.__version__


def test_version_is_in_the_changelog():
    assert f"## [{hint_plugin.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("module", ["hint_plugin", "hint_plugin.errors"])
def test_import_is_light(module):
    heavy = {"torch", "ase", "numpy", "typer"}
    script = f"import sys, {module}; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_torch_finds_the_mace_hook():
    (hook,) = importlib.metadata.entry_points(group="torch.backends", name="hint_mace")
    assert hook.value == "hint_plugin.mace.hook:install"


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(tmp_path):
    """Built from a copy, with the setuptools of this environment, so that it needs no network."""
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed")
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in ("hint_plugin", "tests"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(source)], check=True, capture_output=True)

    (wheel,) = tmp_path.glob("hint_mlip-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders == {"hint_plugin", f"hint_mlip-{hint_plugin.__version__}.dist-info"}
    wanted = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "hint_plugin").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted == {name for name in names if name.startswith("hint_plugin/")}
