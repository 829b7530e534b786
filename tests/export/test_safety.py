"""What an artifact may hold: archives that would do harm are refused before any of their code runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from artifacts import changed, rewritten
from pair_artifact import Morse, write_pair
from planted import OnCall, OnLoading, Reduced, planted, scripted

from hint_plugin.artifact import scripted as loading
from hint_plugin.artifact.contract import EdgeContract
from hint_plugin.artifact.metadata import Metadata
from hint_plugin.artifact.operators import OTHERS, PRIM, TENSORS, is_allowed
from hint_plugin.artifact.scripted import read_checked, write_artifact
from hint_plugin.errors import DataError
from hint_plugin.potentials.artifact_potential import Potential
from hint_plugin.potentials.hint_calculator import HintCalculator


def test_the_weapons_work(tmp_path):
    """torch itself runs them: when it loads the one, when it calls the other."""
    canary = tmp_path / "canary"
    state = scripted(OnLoading(str(canary)), tmp_path / "state.hint.pt")
    canary.unlink(missing_ok=True)
    torch.jit.load(str(state))
    assert canary.exists()
    canary.unlink()
    call = torch.jit.load(str(scripted(OnCall(str(canary)), tmp_path / "call.hint.pt")))
    assert not canary.exists()
    call(torch.ones(1, 3).double(), torch.zeros(2, 1).long(), torch.zeros(1).long(), torch.ones(1))
    assert canary.exists()


def test_planted_archives_are_refused_and_run_nothing(tmp_path, monkeypatch):
    """Each of them, and torch's loader is never reached."""
    canary, base = tmp_path / "canary", write_pair(tmp_path / "base.hint.pt")
    Potential(base)
    titles = []
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail(f"loaded after {titles}"))
    for title, path in planted(base, tmp_path, canary):
        for door in (HintCalculator, lambda path: read_checked(Path(path))):
            with pytest.raises(DataError, match="is refused, and nothing of it was run") as error:
                door(path)
            assert "\n" not in str(error.value), title
        assert not canary.exists(), title
        titles.append(title)
    assert len(set(titles)) >= 20


def test_depth_is_limited_whatever_python_allows(tmp_path):
    """Other packages raise Python's limit, as networkx and symfc do when they are used."""
    base, limit = write_pair(tmp_path / "base.hint.pt"), sys.getrecursionlimit()
    (deep,) = (p for title, p in planted(base, tmp_path, tmp_path / "canary") if title == "depth without end")
    sys.setrecursionlimit(200_000)
    try:
        with pytest.raises(DataError, match="nested more deeply than any model"):
            read_checked(deep)
    finally:
        sys.setrecursionlimit(limit)


def test_operators_are_checked_once_more_as_torch_understood_them(tmp_path, monkeypatch):
    """If the source had been read in another way than torch reads it."""
    canary = tmp_path / "canary"
    call = scripted(OnCall(str(canary)), tmp_path / "call.hint.pt")
    monkeypatch.setattr(loading, "check_entries", lambda *_: None)
    with pytest.raises(DataError, match="it calls aten::from_file|forward calls aten::from_file"):
        Potential(call)
    assert not canary.exists()


def test_notes_for_debuggers_are_not_read(tmp_path):
    """They are pickles, too, and torch would read them when an error occurs."""
    canary, base = tmp_path / "canary", write_pair(tmp_path / "base.hint.pt")
    import pickle

    poisoned = rewritten(base, tmp_path / "a.pt", {".debug_pkl": pickle.dumps(Reduced(canary))})
    from hint_plugin.artifact.metadata import content_hash

    Potential(changed(poisoned, tmp_path / "b.hint.pt", content=content_hash(poisoned)))
    assert not canary.exists()


def test_what_would_be_refused_is_not_written(tmp_path):
    """A model whose operators are not on the list cannot be exported: the message names them."""
    metadata = Metadata("Morse", ("Al", "Cu"), 3.4, 1, "float64", 0)
    contract = EdgeContract(OnCall(str(tmp_path / "canary")), metadata.facts())
    with pytest.raises(DataError, match="calls torch.from_file"):
        write_artifact(contract, metadata, tmp_path / "model.hint.pt", lambda _: {})
    assert not list(tmp_path.iterdir())


def test_the_list_of_operators():
    for name in (
        "save",
        "from_file",
        "set_",
        "resize_",
        "as_strided_",
        "set_data",
        "rpc_async",
        "wait",
        "_cudnn_rnn",
    ):
        assert not is_allowed("aten", name)
    assert not is_allowed("inductor", "add") and not is_allowed("prim", "PythonOp")
    assert not is_allowed("prim", "Print") and not is_allowed("prim", "rpc_sync")
    known = {schema.name for schema in torch._C._jit_get_all_schemas()}
    assert not [name for name in TENSORS if not {f"aten::{name}", f"aten::{name}_"} & known]
    assert not [name for name in OTHERS if f"aten::{name}" not in known]
    assert not TENSORS & OTHERS and not (TENSORS | OTHERS) & {"save", "from_file"} and "Print" not in PRIM


def test_ready_models_and_the_smallest_one_pass(tmp_path):
    from hint_plugin import pretrained

    for path in (*map(pretrained.path_of, pretrained.names()), write_pair(tmp_path / "pair.hint.pt")):
        read_checked(path)
    assert (
        Morse(0.4, 1.6, 2.5, 3.4)(torch.ones(1, 3).double(), torch.zeros(2, 1).long(), torch.zeros(1).long())
        != 0
    )
