"""Packages of the extras: what is missing is told, and nothing else is told as missing."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

import hint_plugin
from hint_plugin.errors import MissingDependencyError
from hint_plugin.optional import check, is_missing, load, wanted

ROOT = Path(hint_plugin.__file__).resolve().parents[1]


def test_what_is_there():
    assert load("json", "label", "nothing needs json") is json
    check("nothing", "json", "json", "csv")


def test_what_is_not():
    told = r"^plots need it: pip install '\.\[plot\]' in HINT's folder \(No mod"
    with pytest.raises(MissingDependencyError, match=told):
        load("no_such_module", "plot", "plots need it")
    with (
        pytest.raises(MissingDependencyError, match="needs no_such_module, which is not here"),
        wanted("json", "no_such_module", message="it needs {package}, which is not here"),
    ):
        import no_such_module.inside  # noqa: F401
    with pytest.raises(MissingDependencyError, match="^this needs no_such_module, nor_this: pip install x$"):
        check("this", "x", "json", "no_such_module", "nor_this")


@pytest.mark.parametrize(
    "line, error",
    [
        ("from json import nothing_of_the_kind", ImportError),
        ("import no_such_module", ModuleNotFoundError),
        ("import broken_package.not_in_it", ModuleNotFoundError),
        ("1 / 0", ZeroDivisionError),
    ],
)
def test_what_is_broken_inside_of_an_installed_package_comes_through(tmp_path, monkeypatch, line, error):
    (tmp_path / "broken_package").mkdir()
    (tmp_path / "broken_package" / "__init__.py").write_text(line + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_package", raising=False)
    with pytest.raises(error) as told:
        load("broken_package", "plot", "plots need it")
    assert not is_missing(told.value, "broken_package")


def test_no_place_takes_every_import_error_for_a_missing_package():
    """`optional` is the one mechanism. Errors of imports that are told as something else are listed."""
    elsewhere = {
        "hint_plugin/mace/installation.py": "`hint doctor` reports whatever it is",
        "hint_plugin/mace/patches.py": "a module of MACE itself, by its name",
        "hint_plugin/mace/predictor.py": "what a pickle wants",
        "hint_plugin/optional.py": "the mechanism",
        "hint_plugin/science/figures.py": "asks `is_missing`",
        "lammps_pair/mliap.py": "asks `is_missing`",
    }
    found = {
        str(path.relative_to(ROOT))
        for room in ("hint_plugin", "lammps_pair", "ipi_driver")
        for path in (ROOT / room).rglob("*.py")
        if re.search(r"except[^\n]*(ImportError|ModuleNotFoundError)", path.read_text())
    }
    assert found == set(elsewhere)


@pytest.mark.parametrize("verb", ["ipi", "a model"])
def test_an_import_error_of_hint_is_not_told_as_a_missing_package(verb, monkeypatch, tmp_path):
    """The faults that were found: each said `pip install`, although nothing was missing."""
    import builtins

    own = {"ipi": "ipi_driver.driver", "a model": "mace.modules.models"}[verb]
    plain = builtins.__import__

    def planted(name, *rest, **kwargs):
        if name == own:
            raise ImportError(f"cannot import name 'Planted' from '{own}'", name=own)
        return plain(name, *rest, **kwargs)

    if verb == "a model":
        pytest.importorskip("mace", reason="needs MACE")
        from hint_plugin.mace.predictor import load_model
    monkeypatch.setattr(builtins, "__import__", planted)
    with pytest.raises(ImportError, match="Planted"):
        if verb == "a model":
            load_model(tmp_path / "x.model")
        else:
            from hint_plugin.cli import app

            app.main(["ipi", "run", "-m", "x.hint.pt", "--template", "x.xyz"])
