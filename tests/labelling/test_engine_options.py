"""Options of engines: types, files, errors that help; and what `--list-engines` shows."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from hint_plugin.errors import DataError, MissingDependencyError, OptionsError
from hint_plugin.labelling import ENGINES, list_engines
from hint_plugin.potentials.registry import check_engine
from hint_plugin.settings import nearest, option, parse_options, parse_pairs, read_options, refuse_unknown


@dataclass(frozen=True, kw_only=True)
class Some:
    """One option of each type."""

    name: str = option("needed")
    number: float = option("a number", 1.5)
    count: int | None = option("a count", None)
    flag: bool = option("a flag", False)
    kind: Literal["a", "b"] = option("a choice", "a")
    grid: tuple[int, int, int] | None = option("a grid", None)
    folder: Path | None = option("a folder", None)
    more: dict[str, Any] = option("a mapping", {})
    files: dict[str, str] = option("names", {})


def test_names_that_are_no_options():
    known = ["channels", "layers"]
    refuse_unknown(["layers"], known, "model: no option")
    with pytest.raises(OptionsError) as error:
        refuse_unknown(["layers", "layer", "x"], known, "model: no option")
    assert str(error.value) == "model: no option layer, x; it has channels, layers. Did you mean 'layers'?"
    with pytest.raises(OptionsError, match=r"no option x; it has none\.$"):
        refuse_unknown(["x"], [], "model: no option")
    assert nearest("chanels", known) == "channels" and nearest(7, known) is None


def test_one_place_decides_what_is_meant():
    root = Path(__file__).parents[2]
    sources = [p for top in ("hint_plugin", "lammps_pair", "ipi_driver") for p in (root / top).rglob("*.py")]
    assert len(sources) > 100
    found = [path for path in sources if "get_close_matches" in path.read_text()]
    assert found == [root / "hint_plugin" / "settings.py"]


def test_strings_become_what_the_options_are():
    pairs = ["name=x=y", "number=1e-3", "count=4", "flag=yes", "kind=b", "grid=2x3,4", "folder=/tmp"]
    pairs += ["more.system.nbnd=8", "more.system.lda=.true.", "more.top=word", "files.Si=1"]
    found = parse_options(Some, parse_pairs(pairs), "engine some")
    assert found == Some(
        name="x=y",
        number=1e-3,
        count=4,
        flag=True,
        kind="b",
        grid=(2, 3, 4),
        folder=Path("/tmp"),
        more={"system": {"nbnd": 8, "lda": True}, "top": "word"},
        files={"Si": "1"},
    )
    assert parse_options(Some, {"name": "x", "count": "none", "grid": [1, 2, 3]}, "x").grid == (1, 2, 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "needs the option 'name'"),
        ({"name": "x", "numbr": 1}, "no option 'numbr'. Did you mean 'number'"),
        ({"name": "x", "number": "much"}, "number is 'much'; wanted number"),
        ({"name": "x", "count": 1.5}, "count is 1.5; wanted whole number or none"),
        ({"name": "x", "flag": "maybe"}, "wanted true|false"),
        ({"name": "x", "kind": "c"}, "wanted a|b"),
        ({"name": "x", "grid": "2,2"}, "3 whole numbers"),
        ({"name": "x", "number": True}, "number is True"),
        ({"name": "x", "more": 3}, "mapping"),
    ],
)
def test_errors_list_the_options(values, message):
    with pytest.raises(OptionsError) as caught:
        parse_options(Some, values, "engine some")
    assert message in str(caught.value)
    assert all(f"\n  {name} (" in str(caught.value) for name in ("name", "number", "grid", "more"))
    assert "number (number, default 1.5): a number" in str(caught.value)


def test_files_and_pairs(tmp_path):
    (tmp_path / "o.json").write_text(json.dumps({"accuracy": 0.1, "more": {"a": 1}}))
    assert read_options(tmp_path / "o.json") == {"accuracy": 0.1, "more": {"a": 1}}
    pytest.importorskip("yaml", reason="needs PyYAML: pip install pyyaml")
    (tmp_path / "o.yaml").write_text("name: x\nmore:\n  a: 1\n")
    values = read_options(tmp_path / "o.yaml") | parse_pairs(["more.b=2", "name=z"])
    assert parse_options(Some, values, "x") == Some(name="z", more={"a": 1, "b": 2})
    for text in ("- 1\n", "a: [\n"):
        (tmp_path / "o.yaml").write_text(text)
        with pytest.raises(DataError, match="o.yaml"):
            read_options(tmp_path / "o.yaml")
    with pytest.raises(OptionsError, match="key=value"):
        parse_pairs(["accuracy"])
    with pytest.raises(OptionsError, match="twice"):
        parse_pairs(["a=1", "a=2"])


def test_the_list_of_engines_loads_no_quantum_chemistry():
    code = (
        "import sys\nfrom hint_plugin.cli.app import main\n"
        "try:\n    main(['label', '--list-engines'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('tblite', 'xtb', 'pyscf', 'mace') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout.splitlines()[-1] == "[]", result.stdout + result.stderr
    for name, (summary, options) in list_engines().items():
        assert f"{name}: {summary}" in result.stdout
        assert options and all(info.help and str(info) in result.stdout for info in options)
    assert list(list_engines()) == list(ENGINES)


def test_what_is_missing_is_said_before_anything_starts(tmp_path):
    with pytest.raises(OptionsError, match="no option 'charge'"):
        check_engine("calculator", {"calculator": "ase.calculators.emt:EMT", "charge": 1})
    with pytest.raises(OptionsError, match="no-such-file"):
        check_engine("model", {"model": "no-such-file"})
    with pytest.raises(MissingDependencyError, match="no-such-pw.x"):
        check_engine("qe", {"pseudo_dir": tmp_path, "ecutwfc": 20, "command": "no-such-pw.x"})
    with pytest.raises(OptionsError, match="module:factory"):
        check_engine("calculator", {"calculator": "ase.calculators.emt"})
    with pytest.raises(MissingDependencyError, match="no_such_module"):
        check_engine("calculator", {"calculator": "no_such_module:Calculator"})
    with pytest.raises(OptionsError, match="no 'EMTT'"):
        check_engine("calculator", {"calculator": "ase.calculators.emt:EMTT"})
