"""Artifacts that would do harm: each writes the file `canary` when it is loaded or called, or tries to."""

import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from artifacts import changed, rewritten
from pair_artifact import Morse
from torch import Tensor, nn

from hint_plugin.artifact.contract import EdgeContract
from hint_plugin.artifact.metadata import ENTRY, Metadata, content_hash

SOURCE = "code/__torch__/pair_artifact.py"
LINE = "    r = torch.sqrt("  # of the source, before which lines are put


class State(nn.Module):
    """Its state is set by code of its own."""

    path: str

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.zeros(1), self.path)


class OnLoading(Morse):
    """It has such a part."""

    def __init__(self, path: str) -> None:
        super().__init__(0.4, 1.6, 2.5, 3.4)
        self.part = State(path)

    def forward(self, vectors: Tensor, edge_index: Tensor, species: Tensor) -> Tensor:
        return self.part(self.e0.index_select(0, species))


class OnCall(Morse):
    """It maps a file into memory and fills it."""

    path: str

    def __init__(self, path: str) -> None:
        super().__init__(0.4, 1.6, 2.5, 3.4)
        self.path = path

    def forward(self, vectors: Tensor, edge_index: Tensor, species: Tensor) -> Tensor:
        filled = torch.from_file(self.path, True, 8).fill_(1.0)
        return self.e0.index_select(0, species) + filled.sum()


class Reduced:
    """Unpickling it touches a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def scripted(edges: nn.Module, path: Path) -> Path:
    """An artifact, its hash right, that was not shown to HINT's own loader."""
    metadata = Metadata("Morse", ("Al", "Cu"), 3.4, 1, "float64", 0)
    module = torch.jit.script(EdgeContract(edges, metadata.facts()))
    torch.jit.save(module, str(path), _extra_files={ENTRY: metadata.to_json()})
    return signed(path)


def signed(path: Path) -> Path:
    """The same with the hash of what is in it now."""
    temporary = path.with_suffix(".unsigned")
    path.rename(temporary)
    return changed(temporary, path, content=content_hash(temporary))


def with_entries(base: Path, path: Path, entries: dict[str, bytes], **more: bytes) -> Path:
    """A copy with entries replaced, and others added."""
    rewritten(base, path, entries)
    with zipfile.ZipFile(path, "a") as archive:
        for name, data in more.items():
            archive.writestr(f"pair/{name}", data)
    return signed(path)


def lines(canary: Path) -> dict[str, str]:
    """Lines of source, by what is bad about them; put at the beginning of `forward`."""
    to = json.dumps(str(canary))
    return {
        "operator that writes": f"torch.save(vectors, {to})",
        "operator that maps a file": f"q = torch.from_file({to}, True, 8)",
        "operator by another door": f"q = ops.aten.from_file({to}, True, 8)",
        "as a method": f"(vectors).save({to}, )",
        "under another name": f"f = torch.from_file\n    q = f({to}, True, 8)",
        "module under another name": f"t = torch\n    t.save(vectors, {to})",
        "by getattr": f'f = getattr(vectors, "save")\n    f({to})',
        "by a name in other letters": f"\uff54orch.save(vectors, {to})",
        "storage changed": "q = torch.set_(vectors, vectors)",
        "another namespace": "q = ops.profiler._record_function_enter_new({to}, None)",
        "a class of torch": "q = __torch__.torch.classes.profiler._RecordFunction()",
        "a class from elsewhere": "q = __torch__.elsewhere.Thing()",
        "a thread": "q = fork(vectors)",
        "output": f"print({to})",
        "a context": "with vectors:\n      pass",
        "an import": "import os",
        "a comment, which TorchScript may read": "q = 1 # type: int",
        "two statements in a line": f"q = 1; torch.save(vectors, {to})",
    }


def planted(base: Path, folder: Path, canary: Path) -> Iterator[tuple[str, Path]]:
    """Archives by what is bad about them; `base` is a good one of `pair_artifact.Morse`."""
    yield "state set by own code", scripted(OnLoading(str(canary)), folder / "state.hint.pt")
    canary.unlink(missing_ok=True)  # scripting does not run it; saving may
    yield "a mapped file in forward", scripted(OnCall(str(canary)), folder / "call.hint.pt")
    with zipfile.ZipFile(base) as archive:
        name = next(name for name in archive.namelist() if name.endswith(SOURCE))
        source = archive.read(name).decode()
        data = archive.read(f"{name.partition('/')[0]}/data.pkl")
    assert LINE in source, source
    for number, (title, line) in enumerate(lines(canary).items()):
        text = source.replace(LINE, f"    {line}\n{LINE}", 1).encode()
        yield title, with_entries(base, folder / f"line{number}.hint.pt", {SOURCE: text})
    texts = {
        "an attribute with the name of an operator": source.replace(
            "  training : bool\n", "  training : bool\n  save : int\n", 1
        ).replace(LINE, f'    (vectors).save("{canary}", )\n{LINE}', 1),
        "an interface": source + "class Other(Interface):\n  def f(self) -> int:\n    pass\n",
        "a finaliser": source.replace(
            "  def forward", "  def __del__(self) -> None:\n    pass\n  def forward", 1
        ),
        "statements outside": source + "torch.save(1, 'x')\n",
        "no source": source + "\0",
        "a function in a function": source.replace(LINE, f"    def f() -> int:\n      return 1\n{LINE}", 1),
        "depth without end": source.replace(LINE, f"    q = self{'.cutoff' * 5000}\n{LINE}", 1),
        "a class that sets a value": source.replace(
            "  training : bool\n", f'  training : bool = torch.save(1, "{canary}")\n', 1
        ),
    }
    for number, (title, text) in enumerate(texts.items()):
        yield title, with_entries(base, folder / f"text{number}.hint.pt", {SOURCE: text.encode()})
    attack = pickle.dumps(Reduced(canary), protocol=2)
    for name in ("data.pkl", "constants.pkl"):
        yield f"a program in {name}", with_entries(base, folder / f"{name}.hint.pt", {f"/{name}": attack})
    attack = pickle.dumps(Reduced(canary), protocol=4)
    yield "names put together", with_entries(base, folder / "stack.hint.pt", {"/data.pkl": attack})
    beyond = data.replace(b"(K\x02t(K\x01t", b"(K\x7ft(K\x01t")  # shape (2,) with strides (1,)
    assert beyond != data
    yield "a tensor beyond its bytes", with_entries(base, folder / "beyond.hint.pt", {"/data.pkl": beyond})
    yield "another entry", with_entries(base, folder / "entry.hint.pt", {}, **{"code/other.py": b""})
