"""What an artifact says about itself, as JSON inside the file; it is read without loading the model.

The JSON ends with its own hash, `digest`: SHA-256 of the whole text with an empty digest. So what is edited,
the training domain for instance, is noticed, although `content` is the hash of all other entries. Files of
before have no digest and are read; readers of before take no notice of it. The format version stays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ase.data import atomic_numbers

from hint_plugin.artifact.archive import (
    AGAIN,
    ENTRY,
    METADATA,
    digest_of,
    entry_names,
    read_bytes,
    read_entries,
)
from hint_plugin.artifact.domain import TrainingDomain
from hint_plugin.errors import DataError, UnknownVersionError

__all__ = ["ENTRY", "Metadata", "content_hash", "is_artifact", "read_metadata", "read_whole"]

FORMAT = "hint-artifact"
FORMAT_VERSION = 1
UNITS = {"energy": "eV", "length": "A", "forces": "eV/A", "stress": "eV/A^3"}
DTYPES = ("float32", "float64")
_KINDS = {
    "architecture": str, "cutoff": int | float, "parameters": int, "head": str | None, "provenance": dict,
    "verification": dict, "compiled": dict, "content": str, "training_domain": dict | None,
}  # fmt: skip


@dataclass(frozen=True)
class Metadata:
    """What is known about an artifact.

    Attributes:
        architecture: "MACE", "AlphaNet", ...
        species: chemical symbols; their order is the index that the contract wants.
        cutoff: A.
        hops: an atom's energy depends on others up to hops x cutoff away, measured.
        dtype: "float32" or "float64", of the parameters and of the edge vectors.
        parameters: their number.
        head: of a multihead model.
        fixed_dtype: the model cannot be turned into another dtype.
        units: of everything that goes in and comes out.
        provenance: files with their hashes, versions, date, how it was trained as far as is known.
        verification: largest differences to the checkpoint when the file was written.
        compiled: of a ``.pt2``, what it was compiled for: device, torch, machine, cpu (instruction sets).
        trained_on: which of energies, forces, stress, hessians it was trained on; {} where that is not known.
        content: SHA-256 of the file's other entries, see `content_hash`.
        training_domain: elements, distances and forces that it was trained on, where they are known; see
            `hint_plugin.artifact.domain.TrainingDomain`.
    """

    architecture: str
    species: tuple[str, ...]
    cutoff: float
    hops: int
    dtype: str
    parameters: int
    head: str | None = None
    fixed_dtype: bool = False
    units: dict[str, str] = field(default_factory=lambda: dict(UNITS))
    provenance: dict[str, Any] = field(default_factory=dict)
    verification: dict[str, Any] = field(default_factory=dict)
    compiled: dict[str, str] = field(default_factory=dict)
    trained_on: dict[str, bool] = field(default_factory=dict)
    content: str = ""
    training_domain: dict[str, Any] | None = None

    def to_json(self) -> str:
        """The text of the entry ``hint.json``."""
        about = {"format": FORMAT, "format_version": FORMAT_VERSION}
        text = json.dumps(about | asdict(self) | {"digest": ""}, indent=2)
        return text.removesuffix(_digest_line("")) + _digest_line(_sha256(text))

    def facts(self) -> dict[str, str]:
        """What a program needs that reads no JSON (the pair style): an attribute of the scripted model."""
        return {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "architecture": self.architecture,
            "species": " ".join(self.species),
            "cutoff": repr(self.cutoff),
            "hops": str(self.hops),
            "dtype": self.dtype,
            **{f"compiled_{name}": value for name, value in self.compiled.items()},
        }

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> Metadata:
        """From the text of the entry; `source` names the file in errors.

        Raises:
            DataError: not what HINT writes, or edited afterwards. UnknownVersionError: of a newer HINT.
        """
        text = text.decode(errors="replace") if isinstance(text, bytes) else text
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{source}: its metadata are no JSON ({error})") from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise DataError(f"{source} is not a HINT artifact; {AGAIN}")
        if found.get("format_version") != FORMAT_VERSION:
            raise UnknownVersionError(
                f"{source} has format version {found.get('format_version')}; this HINT reads "
                f"{FORMAT_VERSION}. Update hint-mlip, or export the model again"
            )
        if "digest" in found and not _is_as_written(text, found["digest"]):
            raise DataError(
                f"{source}: its metadata are not what was written (their hash differs); copy it again, or "
                "export it again"
            )
        names = cls.__dataclass_fields__
        try:
            metadata = cls(
                **{k: v for k, v in found.items() if k in names} | {"species": tuple(found["species"])}
            )
            wrong = metadata._wrong()
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise DataError(f"{source}: its metadata are not complete ({error}); export it again") from error
        if wrong:
            raise DataError(f"{source}: its metadata say {wrong}; export it again")
        return metadata

    def _wrong(self) -> str:
        """What cannot be, or nothing."""
        for name, kind in _KINDS.items():
            if not isinstance(getattr(self, name), kind) or isinstance(getattr(self, name), bool):
                return f"{name} {getattr(self, name)!r}"
        unknown = [s for s in self.species if atomic_numbers.get(s, 0) < 1]
        if unknown or not self.species or len(set(self.species)) < len(self.species):
            return f"species {' '.join(self.species) or '(none)'}"
        if not 0 < float(self.cutoff) < 100:
            return f"a cutoff of {self.cutoff} A"
        if not (isinstance(self.hops, int) and 0 <= self.hops < 1000):
            return f"{self.hops} hops"
        if self.dtype not in DTYPES:
            return f"dtype {self.dtype}"
        if self.units != UNITS:
            return f"units {self.units}"
        if self.training_domain is not None:
            TrainingDomain.from_dict(self.training_domain)
        if self.compiled and set(self.compiled) != {"device", "torch", "machine", "cpu"}:
            return f"compiled for {self.compiled}"
        return ""

    def rows(self) -> list[tuple[str, str]]:
        """Names and values for people."""
        found: dict[str, Any] = {
            "architecture": f"{self.architecture}, {self.parameters:,} parameters, {self.dtype}",
            "species": " ".join(self.species),
            "cutoff": f"{self.cutoff:g} A, {self.hops} hops (an atom sees {self.hops * self.cutoff:g} A far)",
            "head": self.head,
            "units": ", ".join(self.units.values()),
            "compiled for": ", ".join(self.compiled.values()) or None,
            "trained on": ", ".join(name for name, is_so in self.trained_on.items() if is_so) or None,
            "training set": str(self.domain) if self.domain else None,
        }
        for group in (self.provenance, self.verification):
            found |= {name.replace("_", " "): _plain(value) for name, value in group.items() if value}
        found["file"] = f"whole, content {self.content[:16]}"
        return [(name, str(value)) for name, value in found.items() if value is not None]

    @property
    def domain(self) -> TrainingDomain | None:
        """What it was trained on, where it is known."""
        return None if self.training_domain is None else TrainingDomain.from_dict(self.training_domain)

    @property
    def numbers(self) -> list[int]:
        """Atomic numbers of the species."""
        return [atomic_numbers[s] for s in self.species]


def _digest_line(digest: str) -> str:
    """The end of the text."""
    return f'"digest": "{digest}"\n}}'


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_as_written(text: str, digest: Any) -> bool:
    """Whether the text ends with its digest, and this is the one of the text without it."""
    line = _digest_line(str(digest))
    return text.endswith(line) and _sha256(text.removesuffix(line) + _digest_line("")) == digest


def read_metadata(path: str | Path) -> Metadata:
    """Metadata of an artifact, without torch.

    Raises:
        DataError: no such file, not a HINT artifact, or damaged. UnknownVersionError: from a newer HINT.
    """
    path = Path(path)
    return _metadata_of(read_entries(path, only=METADATA), path)


def read_whole(path: Path, raw: bytes | None = None) -> tuple[Metadata, dict[str, bytes]]:
    """Metadata and entries of an artifact whose content is what was written; the file is read once.

    Args:
        path: of the artifact.
        raw: its bytes, where they were read already.

    Raises:
        DataError, UnknownVersionError: as `read_metadata`, or the content differs.
    """
    entries = read_entries(path, raw=read_bytes(path) if raw is None else raw)
    metadata = _metadata_of(entries, path)
    if digest_of(entries) != metadata.content:
        raise DataError(f"{path} is damaged: its content differs from what was written; copy it again")
    return metadata, entries


def _metadata_of(entries: Mapping[str, bytes], path: Path) -> Metadata:
    if METADATA not in entries:
        raise DataError(f"{path} is not a HINT artifact{_what_else(entry_names(path))}; {AGAIN}")
    return Metadata.from_json(entries[METADATA], str(path))


def is_artifact(path: Path) -> bool:
    """Whether a file looks like one, damaged or not: a zip archive with HINT's entry."""
    try:
        return METADATA in entry_names(path)
    except (DataError, OSError):
        return path.name.endswith((".hint.pt", ".hint.pt2"))


def content_hash(path: Path) -> str:
    """SHA-256 of all entries but the metadata, see `hint_plugin.artifact.archive.digest_of`.

    Raises:
        DataError: an entry cannot be read, for instance because its checksum is wrong.
    """
    return digest_of(read_entries(path))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _what_else(names: list[str]) -> str:
    if "constants.pkl" in names:
        return " (it is a TorchScript file of something else)"
    if "data.pkl" in names:
        return " (it is a pickle, as torch.save writes it, and is not loaded)"
    return ""
