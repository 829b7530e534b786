"""Writing and reading the file of an artifact: TorchScript, with `hint_plugin.artifact.metadata` inside."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hint_plugin.artifact.allowed import check_entries, check_graphs
from hint_plugin.artifact.archive import packed
from hint_plugin.artifact.compiled import CompiledContract
from hint_plugin.artifact.contract import EdgeContract
from hint_plugin.artifact.metadata import ENTRY, Metadata, content_hash, read_whole
from hint_plugin.core.devices import DTYPES, usable_device
from hint_plugin.data.file_io import replacing
from hint_plugin.errors import DataError, OptionsError

UNTRUSTED = (
    "is machine code, which runs with your rights when it is loaded. If you made it, or trust who did, say "
    "so: trust=True (Python), --trust (hint ipi run), trust=true (i-PI), `trust` at the end of pair_coeff "
    "(LAMMPS). Elsewhere use the .hint.pt beside it"
)
"""After the name of a compiled file."""


def write_artifact(
    contract: EdgeContract, metadata: Metadata, path: Path, verify: Callable[[Path], dict[str, Any]]
) -> Metadata:
    """Compiles the contract and writes it; returns the metadata as written.

    The file is written beside `path`, shown to `verify`, and renamed only then: an error or an interruption
    leaves what was there before.

    Args:
        contract: the model.
        metadata: all but `verification` and `content`.
        path: of the artifact.
        verify: what goes into the metadata as `verification`; it raises if the file must not be kept.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # annotations within MACE, TorchScript's own end
        scripted = torch.jit.script(contract)
    with replacing(path) as temporary:
        _save(scripted, temporary)
        metadata = replace(metadata, content=content_hash(temporary))
        _save(scripted, temporary, {ENTRY: metadata.to_json()})
        metadata = replace(metadata, verification=verify(temporary))
        _save(scripted, temporary, {ENTRY: metadata.to_json()})
        read_checked(temporary)
    return metadata


def load_artifact(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: str | None = None,
    trust: bool = False,
) -> tuple[torch.jit.ScriptModule | CompiledContract, Metadata]:
    """The contract on a device, and its metadata.

    The source and the pickles of a ``.hint.pt`` are checked before torch reads them
    (`artifact.allowed`), so that a file of a stranger can compute wrong numbers and can do nothing
    else. A ``.hint.pt2`` is machine code, of which nobody can say this: it is loaded if `trust` says so.

    Args:
        path: of the artifact.
        device: where its parameters go.
        dtype: "float32" or "float64"; None keeps the model's own.
        trust: load machine code, too.

    Raises:
        DataError: no such file, not an artifact, truncated or changed, compiled for another machine, or its
            code does what no model does.
        UnknownVersionError: of a newer HINT.
        OptionsError: no such device or dtype; machine code that is not trusted.
    """
    path = Path(path)
    if dtype is not None and dtype not in DTYPES:
        raise OptionsError(f"dtype {dtype!r}; wanted {' or '.join(DTYPES)}")
    device = usable_device(device)
    metadata, entries = read_checked(path)
    if dtype not in (None, metadata.dtype) and metadata.fixed_dtype:
        raise OptionsError(f"dtype {dtype}; this {metadata.architecture} model is {metadata.dtype} for good")
    if metadata.compiled:
        if path.suffix != ".pt2":
            raise DataError(
                f"{path} holds machine code, which runs when it is loaded; if you trust it, name it .hint.pt2"
            )
        if not trust:
            raise OptionsError(f"{path} {UNTRUSTED}")
        return CompiledContract(path, metadata, device, dtype), metadata
    module = _load(entries, path, device)
    try:
        facts = dict(module.facts)
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"{path}: its model has no facts; export it again") from error
    if facts != metadata.facts():
        raise DataError(f"{path}: model and metadata disagree; export it again")
    module.eval()
    if dtype is not None and dtype != metadata.dtype:
        module.model.to(DTYPES[dtype])
    return module, metadata


def read_checked(path: Path) -> tuple[Metadata, dict[str, bytes]]:
    """Metadata and entries of a file that is whole and, unless it is machine code, harmless.

    Raises:
        DataError, UnknownVersionError: see `load_artifact`.
    """
    metadata, entries = read_whole(path)
    if not metadata.compiled:
        check_entries(entries, path)
    return metadata, entries


def _load(entries: dict[str, bytes], path: Path, device: torch.device) -> torch.jit.ScriptModule:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(packed(entries), map_location=device)
    except Exception as error:  # of torch's reader and compiler, whatever they raise
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise DataError(f"{path} cannot be loaded by torch {torch.__version__} ({lines[0]})") from error
    check_graphs(module, ("forward", "energies"), path)
    return module


def _save(scripted: torch.jit.ScriptModule, path: Path, extra: dict[str, str] | None = None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(scripted, str(path), _extra_files=extra)
