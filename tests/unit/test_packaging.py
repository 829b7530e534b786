"""What is in the package, and what importing it costs."""

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import tarfile
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


PACKAGES = ("hint_plugin", "lammps_pair", "ipi_driver")
OF_USERS = ("configs", "examples")
ABOUT = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "constraints.txt")


@pytest.fixture
def source(tmp_path):
    """A copy to build from, with its links, and with more in it than belongs into a distribution."""
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed")
    folder = tmp_path / "source"
    folder.mkdir()
    for name in (*ABOUT, "MANIFEST.in"):
        shutil.copy(ROOT / name, folder)
    for name in (*PACKAGES, *OF_USERS, "tests", "benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__", "*.h5.gz")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    return folder


def files_below(place):
    return {path for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def files_of_users():
    """What the pages use, by their paths in the repository."""
    return {str(path.relative_to(ROOT)) for name in OF_USERS for path in files_below(ROOT / name)}


def files_of_packages():
    """With the files behind the links of `hint_plugin/shipped`."""
    behind = {f"hint_plugin/shipped/{name}" for name in files_of_users()}
    return behind | own_files()


def own_files():
    return {str(path.relative_to(ROOT)) for name in PACKAGES for path in files_below(ROOT / name)}


@pytest.mark.slow
def test_wheel_holds_the_packages_and_nothing_else(tmp_path, source):
    """Built with the setuptools of this environment, so that it needs no network."""
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), str(source)], check=True, capture_output=True)

    (wheel,) = tmp_path.glob("hint_mlip-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        *PACKAGES,
        f"hint_mlip-{hint_plugin.__version__}.dist-info",
    }
    assert files_of_packages() == {name for name in names if name.startswith(PACKAGES)}


@pytest.mark.slow
def test_sdist_holds_what_a_build_needs_and_nothing_else(tmp_path, source):
    script = f"import setuptools.build_meta as build; build.build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", script], cwd=source, check=True, capture_output=True)

    (archive,) = tmp_path.glob("hint_mlip-*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {member.name.partition("/")[2] for member in opened if member.isfile()}
    about = {*ABOUT, "MANIFEST.in", "PKG-INFO", "setup.cfg"}
    wanted = about | files_of_packages() | files_of_users()
    assert names == wanted | {name for name in names if ".egg-info/" in name}
