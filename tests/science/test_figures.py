"""Pictures come last and cost nothing: whatever goes wrong while one is drawn, the results are there."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

pytest.importorskip("matplotlib.figure", reason="needs matplotlib: pip install '.[plot]'")

from physical_labels import pair_label
from reaction_runs import hint

import hint_plugin
from hint_plugin.data import HessianLabel, write_frames, write_label
from hint_plugin.data.drawing import harmless, picture

EMT = ("--engine", "calculator", "-e", "calculator=ase.calculators.emt:EMT")
TOY = ("--engine", "calculator", "-e", "calculator=toy_potentials:two_barriers")


def test_a_picture_that_fails_is_named_and_none_from_before_stays(tmp_path, caplog):
    path = tmp_path / "a.png"

    @picture
    def drawn(path: Path, what: object) -> bool:
        if isinstance(what, BaseException):
            raise what
        path.write_text(str(what))
        return True

    assert drawn(path, "good") and path.read_text() == "good"
    assert not drawn(path, ValueError("'xerr' must not contain negative values"))
    assert not path.exists() and "a.png could not be made (ValueError: 'xerr'" in caplog.text
    with pytest.raises(KeyboardInterrupt):  # who stops it means the whole
        drawn(path, KeyboardInterrupt())
    with harmless(tmp_path / "page.html"):
        raise OSError(28, "No space left on device")
    assert "page.html could not be made" in caplog.text


def _functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


def _calls(function: ast.FunctionDef) -> set[str]:
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            found.add(getattr(node.func, "attr", getattr(node.func, "id", "")))
    return found


def test_everything_that_draws_is_marked():
    """A function that saves a figure is marked with `picture`, or called in its file by one that is."""
    bare = []
    for path in sorted(Path(hint_plugin.__file__).parent.rglob("*.py")):
        functions = _functions(path)
        marked = [f for f in functions if any(getattr(d, "id", "") == "picture" for d in f.decorator_list)]
        inside = {name for function in marked for name in _calls(function)}
        for function in functions:
            draws = _calls(function) & {"save_png", "savefig"}
            if draws and function not in marked and function.name not in {*inside, "save_png"}:
                bare.append(f"{path.name}: {function.name}")
    assert not bare


def water() -> Atoms:
    atoms = molecule("H2O")
    atoms.info["REF_energy"] = -1.0
    matrix, atoms.arrays["REF_forces"] = pair_label(atoms, np.random.default_rng(0))
    write_label(atoms, HessianLabel.full(matrix))
    return atoms


VERBS = {  # arguments -> what has to be there, and a picture that is not
    "vibrations": (("vibrations", "water.xyz", "-o", "out"), "out/vibrations.json", "water.png"),
    "neb": (("neb", "r.xyz", "p.xyz", "-o", "out", "--no-verify", *TOY), "out/neb.json", "profile.png"),
    "phonons": (
        ("phonons", "cu.xyz", "-o", "out", "--supercell", "2", "2", "2", "--mesh", "10", *EMT),
        "out/phonons.json",
        "bands.png",
    ),
    "double-well": (
        ("double-well", "al.xyz", "-o", "out", "--displacement", "0,x", "--points", "5", *EMT),
        "out/double-well.json",
        "double-well.png",
    ),
    "stats": (("dataset", "stats", "water.xyz", "--plots", "out"), "out/stats.json", "atoms.png"),
    "sample": (
        ("sample", "energy", "set.xyz", "-o", "plan.json", "-n", "2", "--figure", "map.png"),
        "map.json",
        "map.png",
    ),
}


@pytest.mark.parametrize("verb", VERBS)
def test_no_result_is_lost(verb, tmp_path, monkeypatch, capfd, caplog):
    """matplotlib breaks at every figure: exit 0, the results, and the name of the picture."""
    monkeypatch.chdir(tmp_path)
    write_frames("water.xyz", [water()])
    frames = [water() for _ in range(4)]
    for k, atoms in enumerate(frames):
        atoms.info["REF_energy"] = float(k)
    write_frames("set.xyz", frames)
    write_frames("cu.xyz", [bulk("Cu", "fcc", 3.6)])
    write_frames("al.xyz", [bulk("Al", "fcc", 4.0, cubic=True)])
    for name, r in (("r.xyz", 1.0), ("p.xyz", 3.0)):
        write_frames(name, [Atoms("Ar2", [(0, 0, 0), (0, 0, r)])])

    def broken(*args, **kwargs):
        raise RuntimeError("no figure today")

    monkeypatch.setattr("matplotlib.figure.Figure", broken)
    arguments, result, drawn = VERBS[verb]
    code, text = hint(capfd, *arguments)
    assert code == 0, text
    assert json.loads(Path(result).read_text())
    assert any(drawn in message and "no figure today" in message for message in caplog.messages), caplog.text
