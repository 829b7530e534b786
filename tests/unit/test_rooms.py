"""Imports by strings resolve and point downwards, as others do; paths of version 0.1 import."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).parents[2]
SOURCES = [
    path for top in ("hint_plugin", "lammps_pair", "ipi_driver") for path in (ROOT / top).rglob("*.py")
]
NAMED = re.compile(r"hint_plugin(\.[a-z_0-9]+)*(\.[A-Z]\w+)?(:\w+)?")


def ranks() -> dict[str, int]:
    """Room -> its rank in pyproject.toml, the lowest 0."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    rows = [re.findall(r"[a-z_.]+", layer) for layer in layers[::-1]]
    return {room: rank for rank, row in enumerate(rows) for room in row}


def room(module: str) -> str:
    return ".".join(module.split(".")[:2]) if module.startswith("hint_plugin.") else module.split(".")[0]


def strings() -> Iterator[tuple[str, str]]:
    """(module, string in it that names a module or what is in one); docstrings are no such strings."""
    for path in SOURCES:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            value = node.value if isinstance(node, ast.Constant) else None
            named = isinstance(value, str) and "." in value and NAMED.fullmatch(value)
            if named and module not in ("hint_plugin.old_paths", "hint_plugin.plugins"):
                yield module, str(value)


def resolves(name: str) -> bool:
    """Whether a module, or an attribute of one, is there; of NequIP's side modules alone without NequIP."""
    module, _, attribute = name.partition(":")
    if not attribute and (last := module.rpartition("."))[2][:1].isupper():
        module, attribute = last[0], last[2]
    if find_spec(module) is None:
        return False
    if not attribute or (module.startswith("hint_plugin.nequip") and find_spec("nequip") is None):
        return True
    return hasattr(importlib.import_module(module), attribute)


def test_there_are_strings_to_look_at() -> None:
    assert len(list(strings())) > 30  # the verbs alone are 24


@pytest.mark.parametrize(("module", "name"), sorted(set(strings())))
def test_names_in_strings(module: str, name: str) -> None:
    assert resolves(name), f"{module} names {name}"
    rank, here, there = ranks(), room(module), room(name.partition(":")[0])
    if here != there and here in rank and there in rank:
        assert rank[there] < rank[here], f"{module} reaches up, or aside, to {name}"


def test_all_rooms_have_a_rank() -> None:
    rank = ranks()
    rooms = {room(".".join(path.relative_to(ROOT).with_suffix("").parts)) for path in SOURCES}
    assert rooms - set(rank) == {"hint_plugin.__init__", "hint_plugin.old_paths"}


def test_tables_of_names() -> None:
    """Engines and formats are named by parts of paths."""
    from hint_plugin.data import formats
    from hint_plugin.potentials.registry import ENGINES

    for entry in ENGINES.values():
        assert resolves(entry.target), entry
    assert formats is not None


def test_old_paths_import() -> None:
    """In a process of its own: all modules of version 0.1, which are those of today, with a warning each."""
    code = """
import importlib, sys, warnings
from hint_plugin.old_paths import MOVED
for old, new in MOVED.items():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        there = importlib.import_module("hint_plugin." + old)
    assert any("since HINT 0.2" in str(w.message) for w in said), (old, [str(w.message) for w in said])
    today = importlib.import_module("hint_plugin." + new)
    if old != "labelling.engines":
        assert there is today, old
    assert today.__spec__.name == "hint_plugin." + new == today.__name__, old
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_program_in_parsls_launch_commands_keeps_its_path() -> None:
    """It hands over to Parsl's own program, which waits for its settings on standard input."""
    pytest.importorskip("parsl", reason="needs parsl: pip install '.[cluster]'")
    command = [sys.executable, "-m", "hint_plugin.labelling.parsl_interchange"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert "interchange.py" in done.stderr and "EOFError" in done.stderr


#: What the pages of version 0.1 tell people to write, and the modules that they name.
DOCUMENTED = (
    "from hint_plugin.data import FrameStore, ShardedStore, merge, write_shards",
    "from hint_plugin.data import FrameStore, iter_frames, read_frames, write_frames",
    "from hint_plugin.data import iter_frames, read_frames, write_frames",
    "from hint_plugin.export.calculator import HintCalculator",
    "from hint_plugin.labelling import LabelSettings, make_engine, make_labels, run_labelling",
    "from hint_plugin.mace.predictor import MacePredictor",
    "from hint_plugin.models.alphanet import SIZES, AlphaNet",
    "from hint_plugin.sampling import Budget, FeatureSettings, extract, features_of, sample_density, survey",  # noqa: E501
    "from hint_plugin.science.anharmonic import Evaluator, SschaSettings, begin, read_dynamical_matrices, relax",  # noqa: E501
    "from hint_plugin.science.evaluation import evaluate",
    "from hint_plugin.science.molecules import optimize, thermochemistry",
    "from hint_plugin.science.phonons import band_structure, harmonic_phonons, plot_bands",
    "from hint_plugin.science.references import FrameFile",
    "from hint_plugin.science.superconductivity import Eliashberg, read_force_constants, read_matrices, rescale",  # noqa: E501
    "from hint_plugin.labelling.options import option",
    "from hint_plugin.labelling import differences",
    "from hint_plugin.export.metadata import Metadata",
    "from hint_plugin.export.potential import Potential",
    "from hint_plugin.data.levels import level_differences",
    "from hint_plugin.core.memory import keep_freed_memory",
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("line", DOCUMENTED)
def test_documented_lines_of_version_0_1(line: str) -> None:
    exec(line, {})
