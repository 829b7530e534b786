"""Where results come from: files with their hashes, versions, the date."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

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
