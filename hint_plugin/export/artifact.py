"""Writing and reading the file of an artifact: TorchScript, with `hint_plugin.export.metadata` inside."""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import replace
from pathlib import Path

import torch

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.export.contract import EdgeContract
from hint_plugin.export.metadata import ENTRY, Metadata, opened, read_entry, read_metadata

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def write_artifact(contract: EdgeContract, metadata: Metadata, path: Path) -> Metadata:
    """Compiles the contract and writes it; returns the metadata as written, with the hash of the content.

    The file is written beside `path` and renamed: an interruption leaves what was there before.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # annotations within MACE, TorchScript's own end
        scripted = torch.jit.script(contract)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _save(scripted, temporary)
        metadata = replace(metadata, content=content_hash(temporary))
        _save(scripted, temporary, {ENTRY: metadata.to_json()})
        check_content(temporary, metadata)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return metadata


def load_artifact(
    path: str | Path, *, device: str | torch.device = "cpu", dtype: str | None = None
) -> tuple[torch.jit.ScriptModule, Metadata]:
    """The scripted contract on a device, and its metadata. Nothing is unpickled and nothing runs.

    Args:
        path: of the artifact.
        device: where its parameters go.
        dtype: "float32" or "float64"; None keeps the model's own.

    Raises:
        DataError: no such file, not an artifact, truncated or changed. UnknownVersionError: of a newer HINT.
        OptionsError: no such device or dtype.
    """
    path = Path(path)
    if dtype is not None and dtype not in DTYPES:
        raise OptionsError(f"dtype {dtype!r}; wanted {' or '.join(DTYPES)}")
    device = usable_device(device)
    metadata = read_metadata(path)
    check_content(path, metadata)
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


def usable_device(device: str | torch.device) -> torch.device:
    """The device, if a tensor can be made there; OptionsError otherwise."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise OptionsError(f"device {str(device)!r} cannot be used ({str(error).splitlines()[0]})") from error
    return torch.device(device)


def content_hash(path: Path) -> str:
    """SHA-256 of all entries but the metadata: their names, without the archive's own, and their bytes.

    Raises:
        DataError: an entry cannot be read, for instance because its checksum is wrong.
    """
    digest = hashlib.sha256()
    with opened(path) as archive:
        for name in sorted(archive.namelist()):
            inner = name.partition("/")[2]
            if inner == f"extra/{ENTRY}" or inner.startswith(".data/"):  # the latter: a random identifier
                continue
            data = read_entry(archive, name, path)
            digest.update(f"{inner}\0{len(data)}\0".encode())
            digest.update(data)
    return digest.hexdigest()


def check_content(path: Path, metadata: Metadata) -> None:
    """Raises DataError if the file is not what was written."""
    if content_hash(path) != metadata.content:
        raise DataError(f"{path} is damaged: its content differs from what was written; copy it again")
