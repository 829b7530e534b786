"""Where results come from: the command, versions, the date, hashes of what went in."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from hint_plugin.command_line import command
from hint_plugin.data.file_io import file_sha256

PACKAGES = (
    *("hint-mlip", "torch", "numpy", "scipy", "ase", "mace-torch", "nequip", "tblite", "pyscf"),
    *("sella", "phonopy", "cellconstructor", "python-sscha"),
)
"""Their versions are told with the results, of those that are installed."""


def provenance(model: Path | None, data: Sequence[Path], **about: Any) -> dict[str, Any]:
    """Names and SHA-256 of the files, versions, and the date (UTC); `about` is added as it is."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    found: dict[str, Any] = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions,
    }
    if model is not None:
        found["model"] = {"path": str(model), "sha256": file_sha256(model)}
    found["data"] = [{"path": str(path), "sha256": file_sha256(path)} for path in data]
    return found | about


def run_provenance(
    inputs: Iterable[Path],
    model: Path | None = None,
    calculator: Any = None,
    alone: Collection[Path] = (),
    **about: Any,
) -> dict[str, Any]:
    """`provenance` of a run, with its command, if it has one, and the engine. It goes into the results' JSON.

    Args:
        inputs: files, patterns of files; folders (one hash for all that is in them); dynamical matrices by
            one of their names.
        model: the file behind `--model`.
        calculator: what `make_calculator` has returned; its engine says what it is.
        alone: inputs that stand for themselves, not for the set that they are part of.
        about: is added as it is.
    """
    from hint_plugin.data.formats import files_read
    from hint_plugin.data.sets.patterns import is_pattern, matching

    given = [file for path in inputs for file in (matching(path) if is_pattern(path) else [path])]
    files = [
        file
        for path in given
        if not path.is_dir()
        for file in ([path] if path in alone else files_read(path))
    ]
    files = [file for file in files if file.is_file()]  # what is missing is an error of the reader
    told = command()
    found: dict[str, Any] = {} if told is None else {"command": told}
    found |= provenance(model if model is not None and model.is_file() else None, files)
    found["data"] += [_folder(path) for path in given if path.is_dir()]
    engine = getattr(calculator, "engine", None)
    if engine is not None:
        found["engine"] = json.loads(json.dumps(engine.provenance(), default=str))
    return found | about


def identity(provenance: dict[str, Any]) -> dict[str, str]:
    """What makes two runs the same beside their options, in words that an error can show."""
    files = {f"input {number}": about for number, about in enumerate(provenance["data"])}
    if "model" in provenance:
        files["model"] = provenance["model"]
    found = {
        name: f"{Path(about['path']).name} (sha256 {about['sha256'][:16]})" for name, about in files.items()
    }
    made = {"hint": provenance["versions"].get("hint-mlip"), **provenance.get("engine", {})}
    return found | {"made by": ", ".join(f"{name} {value}" for name, value in made.items() if value)}


def of_structures(frames: Sequence[Any]) -> dict[str, Any]:
    """What stands in `data` for ASE atoms of no file: how many, and a hash of all that they hold."""
    digest = hashlib.sha256()
    for atoms in frames:
        held = {**atoms.arrays, "cell": atoms.cell.array, "pbc": atoms.pbc}
        if atoms.constraints:  # what moves belongs to what is computed
            held["constraints"] = np.array([repr(one.todict()) for one in atoms.constraints])
        for name, value in sorted({**held, **{f"info {key}": it for key, it in atoms.info.items()}}.items()):
            found = np.asarray(value)
            digest.update(f"{name} {found.dtype} {found.shape}".encode())
            digest.update(repr(value).encode() if found.dtype.hasobject else found.tobytes())
    return {"path": "structures in memory", "frames": len(frames), "sha256": digest.hexdigest()}


def _folder(path: Path) -> dict[str, Any]:
    """The hash of the lines `sha256  name` of all files, sorted by name."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = "".join(f"{file_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files)
    return {"path": str(path), "files": len(files), "sha256": hashlib.sha256(lines.encode()).hexdigest()}
