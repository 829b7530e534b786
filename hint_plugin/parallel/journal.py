"""The journal of a run: one line per finished frame, so that a kill loses only the frames in flight.

The first line tells what the run is (inputs by hash, settings, versions); each other line is one result.
Lines are appended and flushed whole; a line cut short by a kill does not parse and is dropped, and its frame
is done again. Each line ends with a checksum of what is before it, so that a damaged one is noticed; journals
of before have none and are read all the same. Arrays are base64 of little-endian float64.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hint_plugin.errors import DataError, OptionsError

VERSION = 1
_CHECKSUM = re.compile(rb', "crc32": (\d+)}\n$')


class Journal:
    """An append-only file of results, keyed by frame number. Only one process at a time holds it.

    Args:
        path: the file; made if it is missing.
        header: what this run is. An existing journal of another run is refused.
        writer: the command that keeps it, for errors.

    Raises:
        OptionsError: the journal belongs to other inputs or settings, or another process writes to it.
        DataError: the file is no journal.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], writer: str = "hint label") -> None:
        self.path, self._writer = path, writer
        self._where: dict[int, tuple[int, int]] = {}
        self._handle = open(path, "a+b")  # noqa: SIM115 - held open for the life of the run
        try:
            self._lock()
            self.header = self._load(dict(header))
        except BaseException:
            self._handle.close()
            raise

    def __contains__(self, frame: int) -> bool:
        return frame in self._where

    def __len__(self) -> int:
        return len(self._where)

    def __getitem__(self, frame: int) -> dict[str, Any]:
        start, size = self._where[frame]
        self._handle.seek(start)
        record: dict[str, Any] = _decode(json.loads(self._handle.read(size)))
        record.pop("crc32", None)
        return record

    def add(self, frame: int, record: Mapping[str, Any]) -> None:
        """Append one result; it is safe from a kill of this process when the call returns."""
        line = _signed(json.dumps({"frame": frame, **_encode(record)}).encode())
        start = self._handle.seek(0, os.SEEK_END)
        self._handle.write(line)
        self._handle.flush()
        self._where[frame] = (start, len(line))

    def close(self) -> None:
        """Close and unlock, keeping the file."""
        self._handle.close()

    def remove(self) -> None:
        """Delete the file: the run is complete."""
        self.path.unlink(missing_ok=True)
        self._handle.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OptionsError(
                f"{self.path}: another {self._writer} is writing this output. Wait for it"
            ) from error

    def _load(self, header: dict[str, Any]) -> dict[str, Any]:
        wanted = {"journal": VERSION, "checksums": True, **header}
        self._handle.seek(0)
        first = self._handle.readline()
        if not first.endswith(b"\n"):  # new, or killed while the header was written
            self._handle.truncate(0)
            self._handle.write(json.dumps(wanted).encode() + b"\n")
            self._handle.flush()
            return wanted
        try:
            found = json.loads(first)
            is_journal = isinstance(found, dict) and "journal" in found
        except json.JSONDecodeError:
            is_journal = False
        if not is_journal:
            raise DataError(
                f"{self.path}: no journal of {self._writer}. Move it away, or choose another output"
            )
        changed = _differences(found.get("run", {}), wanted["run"])
        if found["journal"] != VERSION or changed:
            raise OptionsError(
                f"{self.path}: left by an interrupted run with other settings ({'; '.join(changed)}). "
                "Give the same command to go on with that run, or --restart to drop its results"
            )
        self._index(bool(found.get("checksums")))
        return found

    def _index(self, signed: bool) -> None:
        start = self._handle.tell()
        for number, line in enumerate(iter(self._handle.readline, b""), 2):
            if not line.endswith(b"\n"):
                self._handle.truncate(start)
                return
            try:
                frame = _frame_of(line, signed)
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{self.path}, line {number}: damaged ({error}). Remove this line, and its frame is "
                    "computed again; or give --restart to drop all results"
                ) from error
            self._where[frame] = (start, len(line))
            start += len(line)


def _signed(document: bytes) -> bytes:
    """A JSON object as a line, with the CRC-32 of it as its last value."""
    return document[:-1] + b', "crc32": %d}\n' % zlib.crc32(document)


def _frame_of(line: bytes, signed: bool) -> int:
    """The frame that a line is of. Raises ValueError, KeyError or TypeError where the line is damaged."""
    match = _CHECKSUM.search(line)
    if match is None and signed:
        raise ValueError("it has no checksum")
    if match is not None and zlib.crc32(line[: match.start()] + b"}") != int(match[1]):
        raise ValueError("its checksum is that of other content")
    return int(json.loads(line)["frame"])


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    names = sorted(set(found) | set(wanted))
    return [
        f"{name}: {found.get(name)} then, {wanted.get(name)} now"
        for name in names
        if found.get(name) != wanted.get(name)
    ]


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        raw = np.ascontiguousarray(value, dtype="<f8").tobytes()
        return {"shape": list(value.shape), "float64": base64.b64encode(raw).decode()}
    if isinstance(value, Mapping):
        return {name: _encode(item) for name, item in value.items()}
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"shape", "float64"}:
        flat = np.frombuffer(base64.b64decode(value["float64"]), dtype="<f8")
        return flat.reshape(value["shape"]).copy()
    if isinstance(value, dict):
        return {name: _decode(item) for name, item in value.items()}
    return value
