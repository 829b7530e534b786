"""What every reader and writer needs: whole files or none, and the hash of one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it at the end; removed if an error comes first."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any, **options: Any) -> None:
    """`content` as JSON, whole or not at all; `options` of `json.dumps`, indented by 2 unless they say."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, **{"indent": 2, **options}) + "\n", encoding="utf-8")


def file_sha256(path: Path) -> str:
    """Hex digest of a file, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
