"""Writing and reading the file of an artifact: TorchScript, with `hint_plugin.export.metadata` inside."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hint_plugin.core.devices import DTYPES, usable_device
from hint_plugin.data.files import replacing
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.export.compiled import CompiledContract
from hint_plugin.export.contract import EdgeContract
from hint_plugin.export.metadata import ENTRY, Metadata, check_content, content_hash, read_metadata


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
        check_content(temporary, metadata)
    return metadata


def load_artifact(
    path: str | Path, *, device: str | torch.device = "cpu", dtype: str | None = None
) -> tuple[torch.jit.ScriptModule | CompiledContract, Metadata]:
    """The contract on a device, and its metadata. Nothing is unpickled; of a ``.hint.pt`` nothing runs.

    Args:
        path: of the artifact.
        device: where its parameters go.
        dtype: "float32" or "float64"; None keeps the model's own.

    Raises:
        DataError: no such file, not an artifact, truncated or changed, or compiled for another machine.
        UnknownVersionError: of a newer HINT. OptionsError: no such device or dtype.
    """
    path = Path(path)
    if dtype is not None and dtype not in DTYPES:
        raise OptionsError(f"dtype {dtype!r}; wanted {' or '.join(DTYPES)}")
    device = usable_device(device)
    metadata = read_metadata(path)
    check_content(path, metadata)
    if dtype not in (None, metadata.dtype) and metadata.fixed_dtype:
        raise OptionsError(f"dtype {dtype}; this {metadata.architecture} model is {metadata.dtype} for good")
    if metadata.compiled:
        if path.suffix != ".pt2":
            raise DataError(
                f"{path} holds machine code, which runs when it is loaded; if you trust it, name it .hint.pt2"
            )
        return CompiledContract(path, metadata, device, dtype), metadata
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(str(path), map_location=device)
        facts = dict(module.facts)
    except (RuntimeError, AttributeError, ValueError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise DataError(f"{path} cannot be loaded by torch {torch.__version__} ({lines[0]})") from error
    if facts != metadata.facts():
        raise DataError(f"{path}: model and metadata disagree; export it again")
    module.eval()
    if dtype is not None and dtype != metadata.dtype:
        module.model.to(DTYPES[dtype])
    return module, metadata


def _save(scripted: torch.jit.ScriptModule, path: Path, extra: dict[str, str] | None = None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(scripted, str(path), _extra_files=extra)
