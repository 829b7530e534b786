"""What an artifact says about itself, as JSON inside the file; it is read without loading the model."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ase.data import atomic_numbers

from hint_plugin.errors import DataError, UnknownVersionError

FORMAT = "hint-artifact"
FORMAT_VERSION = 1
ENTRY = "hint.json"
UNITS = {"energy": "eV", "length": "A", "forces": "eV/A", "stress": "eV/A^3"}
DTYPES = ("float32", "float64")


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

    def to_json(self) -> str:
        """The text of the entry ``hint.json``."""
        return json.dumps({"format": FORMAT, "format_version": FORMAT_VERSION} | asdict(self), indent=2)

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
            DataError: not what HINT writes. UnknownVersionError: written by a newer HINT.
        """
        try:
            found = json.loads(text)
        except ValueError as error:
            raise DataError(f"{source}: its metadata are no JSON ({error})") from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise DataError(f"{source} is not a HINT artifact; write one with `hint export`")
        if found.get("format_version") != FORMAT_VERSION:
            raise UnknownVersionError(
                f"{source} has format version {found.get('format_version')}; this HINT reads "
                f"{FORMAT_VERSION}. Update hint-mlip, or export the model again"
            )
        names = cls.__dataclass_fields__
        try:
            metadata = cls(
                **{k: v for k, v in found.items() if k in names} | {"species": tuple(found["species"])}
            )
            wrong = metadata._wrong()
        except (TypeError, KeyError, ValueError) as error:
            raise DataError(f"{source}: its metadata are not complete ({error}); export it again") from error
        if wrong:
            raise DataError(f"{source}: its metadata say {wrong}; export it again")
        return metadata

    def _wrong(self) -> str:
        """What cannot be, or nothing."""
        unknown = [s for s in self.species if atomic_numbers.get(s, 0) < 1]
        if unknown or not self.species or len(set(self.species)) < len(self.species):
            return f"species {' '.join(self.species) or '(none)'}"
        if not 0 < float(self.cutoff) < 100:
            return f"a cutoff of {self.cutoff} A"
        if not (isinstance(self.hops, int) and self.hops >= 0):
            return f"{self.hops} hops"
        if self.dtype not in DTYPES:
            return f"dtype {self.dtype}"
        if self.units != UNITS:
            return f"units {self.units}"
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
        }
        for group in (self.provenance, self.verification):
            found |= {name.replace("_", " "): _plain(value) for name, value in group.items() if value}
        found["file"] = f"whole, content {self.content[:16]}"
        return [(name, str(value)) for name, value in found.items() if value is not None]

    @property
    def numbers(self) -> list[int]:
        """Atomic numbers of the species."""
        return [atomic_numbers[s] for s in self.species]


def read_metadata(path: str | Path) -> Metadata:
    """Metadata of an artifact, without torch.

    Raises:
        DataError: no such file, not a HINT artifact, or damaged. UnknownVersionError: from a newer HINT.
    """
    path = Path(path)
    with opened(path) as archive:
        found = [name for name in archive.namelist() if name.split("/")[1:] == ["extra", ENTRY]]
        if len(found) != 1:
            raise DataError(
                f"{path} is not a HINT artifact{_what_else(archive)}; write one with `hint export`"
            )
        text = read_entry(archive, found[0], path)
    return Metadata.from_json(text, str(path))


def is_artifact(path: Path) -> bool:
    """Whether a file looks like one, damaged or not: a zip archive with HINT's entry."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(f"/extra/{ENTRY}") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return path.suffixes[-2:] == [".hint", ".pt"]


def opened(path: Path) -> zipfile.ZipFile:
    """The file as a zip archive.

    Raises:
        DataError: no such file, or no zip archive.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DataError(
            f"{path} is truncated or no HINT artifact ({str(error).lower()}); write one with `hint export`"
        ) from error


def read_entry(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """The bytes of an entry.

    Raises:
        DataError: they cannot be read, for instance because their checksum is wrong.
    """
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is damaged ({reason}); copy or export it again") from error


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


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _what_else(archive: zipfile.ZipFile) -> str:
    names = [name.rpartition("/")[2] for name in archive.namelist()]
    if "constants.pkl" in names:
        return " (it is a TorchScript file of something else)"
    if "data.pkl" in names:
        return " (it is a pickle, as torch.save writes it, and is not loaded)"
    return ""
