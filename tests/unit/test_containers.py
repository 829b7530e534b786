"""The recipe for conda and the Dockerfile ask for what pyproject.toml asks for. Neither is built here."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import tomllib

import hint_plugin

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "packaging" / "conda" / "recipe.yaml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def recipe():
    yaml = pytest.importorskip("yaml", reason="needs PyYAML (docs/dependencies.md)")
    return yaml.safe_load(RECIPE.read_text())


def test_recipe_asks_for_the_same_packages():
    """torch is pytorch there; `>=2.4` and ` >=2.4` are the same."""
    wanted = {re.sub(r"(?=[<>=])", " ", one, count=1) for one in PROJECT["project"]["dependencies"]}
    wanted = {one.replace("torch ", "pytorch ", 1) if one.startswith("torch ") else one for one in wanted}
    found = recipe()["requirements"]
    assert set(found["run"]) - {f"python {PROJECT['project']['requires-python']}"} == wanted
    (build,) = PROJECT["build-system"]["requires"]
    assert re.sub(r"(?=[<>=])", " ", build, count=1) in found["host"]


def test_recipe_is_of_this_version():
    assert recipe()["context"]["version"] == hint_plugin.__version__
    assert recipe()["package"]["name"] == PROJECT["project"]["name"]


def test_recipe_follows_the_schema():
    rattler_build = pytest.importorskip(
        "rattler_build", reason="needs py-rattler-build (docs/dependencies.md)"
    )
    (variant,) = rattler_build.Stage0Recipe.from_yaml(RECIPE.read_text()).render()
    assert variant.recipe.package.version == hint_plugin.__version__


def test_container_has_extras_and_versions_that_exist():
    (extras,) = re.findall(r'^ARG EXTRAS="(.*)"$', DOCKERFILE, re.M)
    assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])
    (torch,) = re.findall(r'^ARG TORCH="(.*)"$', DOCKERFILE, re.M)
    assert f"TORCH ?= {torch}\n" in (ROOT / "Makefile").read_text()
    assert f"{torch}\n" in (ROOT / "constraints.txt").read_text()


def test_container_copies_what_it_installs():
    """Nothing that the build needs is kept out of it."""
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not set(ignored) & {"hint_plugin", "lammps_pair", "ipi_driver", "configs", "examples", "*.md"}


def test_dockerfile_has_no_findings():
    if shutil.which("hadolint") is None:
        pytest.skip("needs hadolint (docs/dependencies.md)")
    done = subprocess.run(["hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
