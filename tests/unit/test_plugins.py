"""Engines and formats of other packages, by entry points; and docs/extending.md, typed in and run."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest
from ase.build import molecule

from hint_plugin import open_potential, plugins
from hint_plugin.data import formats, read_frames, write_frames
from hint_plugin.errors import OptionsError
from hint_plugin.potentials.registry import engine_names, list_engines, make_engine

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()


def block(title: str) -> str:
    """The first Python block of docs/extending.md under a heading."""
    return PAGE.split(f"\n## {title}\n")[1].split("```python\n")[1].split("```")[0]


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package of docs/extending.md, as if it were installed."""
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "engine.py").write_text(block("An engine"))
    (package / "reader.py").write_text(block("A file format"))
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        importlib.metadata.EntryPoint("springs", "my_package.engine:Springs", plugins.ENGINES),
        importlib.metadata.EntryPoint("numbers", "my_package.reader:FORMAT", plugins.FORMATS),
    ]
    monkeypatch.setattr(
        plugins.importlib.metadata,
        "entry_points",
        lambda group: [point for point in points if point.group == group],
    )
    for cached in (plugins.entry_points, formats.formats):
        cached.cache_clear()
    yield
    for cached in (plugins.entry_points, formats.formats):
        cached.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "my_package"]:
        del sys.modules[name]


def test_an_engine_of_the_page(brought: None) -> None:
    assert "springs" in engine_names() and "springs" in list_engines()
    atoms = molecule("H2O")
    atoms.rattle(0.05, seed=1)
    potential = open_potential("springs", stiffness=3.0)
    (found,) = potential.evaluate([atoms])
    assert found.energy > 0 and potential.hessian(atoms).shape == (9, 9)
    with pytest.raises(OptionsError, match="has no option 'stifness'. Did you mean 'stiffness'"):
        make_engine("springs", stifness=3.0)


def test_the_engine_of_the_page_passes_the_contract(brought: None) -> None:
    from hint_plugin.testing import EngineContract

    contract, engine = EngineContract(), make_engine("springs")
    for name in [name for name in dir(contract) if name.startswith("test_")]:
        atoms = molecule("CH4")
        atoms.rattle(0.05, seed=2)
        getattr(contract, name)(engine, atoms)


def test_a_format_of_the_page(brought: None, tmp_path: Path) -> None:
    write_frames(tmp_path / "water.numbers", [molecule("H2O")], format="numbers")
    (found,) = read_frames(tmp_path / "water.numbers")
    assert found.get_chemical_formula() == "H2O"
    assert formats.recognise(tmp_path / "water.numbers").name == "numbers"


def test_a_broken_package_is_named(brought: None, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = importlib.metadata.EntryPoint("broken", "no_such_package:Engine", plugins.ENGINES)
    monkeypatch.setattr(plugins.importlib.metadata, "entry_points", lambda group: [broken])
    plugins.entry_points.cache_clear()
    with pytest.raises(OptionsError, match="'broken' of the package no_such_package cannot be loaded"):
        make_engine("broken")
