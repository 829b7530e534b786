"""The zip archive that an artifact is: read once, checked, and packed anew for torch.

Two programs may read one zip archive in two ways (names that occur twice, sizes that two headers tell
differently). So torch never sees the file: it gets an archive in memory that is made of the entries read
here, whose hash and code were checked.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from hint_plugin.errors import DataError

ENTRY = "hint.json"
METADATA = f"extra/{ENTRY}"
AGAIN = "write one with `hint export`"


def entry_names(path: Path) -> list[str]:
    """Names of the entries, without the archive's own, which is their first folder.

    Raises:
        DataError: no such file, or no zip archive.
    """
    with _opened(path) as archive:
        return [name.partition("/")[2] for name in archive.namelist()]


def read_bytes(path: Path) -> bytes:
    """Of a file that is there; DataError otherwise."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {_reason(error) if path.exists() else 'no such file'}") from error


def read_entries(path: Path, only: str | None = None, raw: bytes | None = None) -> dict[str, bytes]:
    """The entries of an archive by name, without the archive's own name; or the one asked for.

    Args:
        path: of the archive.
        only: the name of the entry that is wanted; by default all.
        raw: the bytes of the file, where they were read already.

    Raises:
        DataError: no such file, no zip archive, an entry that cannot be read (a wrong checksum, a method of
            compression that does not exist), or two of one name.
    """
    found: dict[str, bytes] = {}
    with _opened(path, raw) as archive:
        for info in archive.infolist():
            name = info.filename.partition("/")[2]
            if only is not None and name != only:
                continue
            if name in found:
                raise DataError(f"{path} is damaged: it has the entry {name} twice; copy or export it again")
            found[name] = _bytes(archive, info, path)
    return found


def digest_of(entries: Mapping[str, bytes]) -> str:
    """SHA-256 of all entries but the metadata: of their names, lengths and bytes, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(entries):
        if name != METADATA and not name.startswith(".data/"):  # the latter: a random identifier
            digest.update(f"{name}\0{len(entries[name])}\0".encode())
            digest.update(entries[name])
    return digest.hexdigest()


def packed(entries: Mapping[str, bytes]) -> io.BytesIO:
    """An archive of these entries for torch; without the notes for debuggers, which are pickles, too."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            if not name.endswith(".debug_pkl"):
                archive.writestr(zipfile.ZipInfo(f"model/{name}"), data)
    stream.seek(0)
    return stream


def _opened(path: Path, raw: bytes | None = None) -> zipfile.ZipFile:
    if raw is None and not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        return zipfile.ZipFile(path if raw is None else io.BytesIO(raw))
    except Exception as error:  # of bytes that anybody may have made, whatever zipfile raises
        raise DataError(f"{path} is truncated or no HINT artifact ({_reason(error)}); {AGAIN}") from error


def _bytes(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    try:
        return archive.read(info)
    except Exception as error:  # of zipfile, zlib, bz2, lzma, struct, the file system, and of memory
        raise DataError(f"{path} is damaged ({_reason(error)}); copy or export it again") from error


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0].lower() if lines and lines[0].strip() else type(error).__name__
