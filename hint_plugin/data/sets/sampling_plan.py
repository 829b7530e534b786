"""`SamplingPlan`: which frames of a data set get energies and forces, which get Hessians too, and why.

A plan is a JSON file. `hint sample` writes it; `hint label --plan` and `hint dataset` act on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from ase import Atoms

from hint_plugin.data.file_io import file_sha256, write_json
from hint_plugin.data.sets.frames import iter_frames
from hint_plugin.errors import DataError, UnknownVersionError

FORMAT = "hint-sampling-plan"
VERSION = 1

Wanted = Literal["energy_forces", "hessian"]


@dataclass(frozen=True)
class Source:
    """A file that a plan chooses from: its path, SHA-256 and number of frames."""

    path: str
    sha256: str
    frames: int

    @classmethod
    def of(cls, path: str | Path, frames: int) -> Source:
        """The entry of a file whose frames have been counted."""
        return cls(str(path), file_sha256(Path(path)), frames)


@dataclass(frozen=True)
class Choice:
    """One chosen frame.

    Attributes:
        source: index into the plan's sources.
        frame: index in that file.
        wanted: "energy_forces", or "hessian" for energies, forces and a Hessian.
        reason: for people: "mean distance 0.83, rank 4 of 2000".
        score: the number the choice was made by, if there is one.
    """

    source: int
    frame: int
    wanted: Wanted
    reason: str
    score: float | None = None


@dataclass(frozen=True)
class SamplingPlan:
    """Which frames get which labels, and why.

    Attributes:
        method: what `hint sample` calls it.
        settings: its options, the seed among them.
        sources: the files.
        choices: the chosen frames, ordered by (source, frame), each at most once.
        provenance: the command, versions, date and hashes behind it; empty in plans of before.
    """

    method: str
    settings: Mapping[str, Any]
    sources: Sequence[Source]
    choices: Sequence[Choice] = field(default_factory=tuple)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_types(self)
        places = [(c.source, c.frame) for c in self.choices]
        if places != sorted(set(places)):
            raise DataError("the choices of a plan have to be ordered by source and frame, each once")
        for choice in self.choices:
            if not 0 <= choice.source < len(self.sources):
                raise DataError(f"a choice is of source {choice.source}; there are {len(self.sources)}")
            if not 0 <= choice.frame < self.sources[choice.source].frames:
                source = self.sources[choice.source]
                raise DataError(f"a choice is frame {choice.frame} of {source.path}; it has {source.frames}")

    @property
    def n_hessians(self) -> int:
        """Frames that get a Hessian."""
        return sum(choice.wanted == "hessian" for choice in self.choices)

    def write(self, path: str | Path) -> None:
        """As JSON; the file appears whole or not at all."""
        about = {"format": FORMAT, "version": VERSION, "provenance": dict(self.provenance)}
        document = about | {key: value for key, value in asdict(self).items() if key != "provenance"}
        write_json(Path(path), document, indent=1)

    @classmethod
    def read(cls, path: str | Path) -> SamplingPlan:
        """The plan of a file.

        Raises:
            DataError: the file is missing or no plan.
            UnknownVersionError: it was written in a newer format.
        """
        if not Path(path).is_file():
            raise DataError(f"{path}: no such file; wanted a sampling plan. Make one with hint sample")
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read as a sampling plan ({error})") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise DataError(f"{path}: no sampling plan. Make one with hint sample")
        if document.get("version") != VERSION:
            raise UnknownVersionError(
                f"{path}: a sampling plan of version {document.get('version')}; this HINT reads {VERSION}. "
                "Update hint-mlip"
            )
        known = {"format", "version", *(field.name for field in fields(cls))}
        if unknown := [name for name in document if name not in known]:
            raise DataError(
                f"{path}: a sampling plan with the unknown part {unknown[0]!r}; it has "
                f"{', '.join(sorted(known))}"
            )
        try:
            return cls(
                method=document["method"],
                settings=document["settings"],
                sources=tuple(Source(**source) for source in document["sources"]),
                choices=tuple(Choice(**choice) for choice in document["choices"]),
                provenance=document.get("provenance", {}),
            )
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}: a sampling plan with missing or unknown parts ({error})") from error
        except DataError as error:
            raise DataError(f"{path}: {error}") from error

    def frames(self) -> Iterator[tuple[Choice, Atoms]]:
        """The chosen frames out of their files, in order, in constant memory.

        Raises:
            DataError: a file is gone, or is not the one that the plan was made for.
        """
        for number, source in enumerate(self.sources):
            chosen = {c.frame: c for c in self.choices if c.source == number}
            if not chosen:
                continue
            if not Path(source.path).is_file():
                raise DataError(f"{source.path}: the plan chooses from this file, and it is not there")
            if file_sha256(Path(source.path)) != source.sha256:
                raise DataError(f"{source.path}: it has changed since the plan was made. Sample again")
            for index, atoms in _until(max(chosen), iter_frames(source.path)):
                if index in chosen:
                    yield chosen[index], atoms


def _check_types(plan: SamplingPlan) -> None:
    """Refuse values that are not of their kind: JSON knows nothing of ours."""
    found: list[tuple[str, Any, Any, str]] = [
        ("method", plan.method, str, "text"),
        ("settings", plan.settings, Mapping, "names and values"),
        ("provenance", plan.provenance, Mapping, "names and values"),
    ]
    for number, source in enumerate(plan.sources):
        place = f"sources[{number}]"
        found += [
            (f"{place}.path", source.path, str, "text"),
            (f"{place}.sha256", source.sha256, str, "text"),
            (f"{place}.frames", source.frames, int, "a whole number"),
        ]
    for number, choice in enumerate(plan.choices):
        place = f"choices[{number}]"
        found += [
            (f"{place}.source", choice.source, int, "a whole number"),
            (f"{place}.frame", choice.frame, int, "a whole number"),
            (f"{place}.reason", choice.reason, str, "text"),
            (f"{place}.score", choice.score, (int, float, type(None)), "a number or null"),
        ]
        if choice.wanted not in get_args(Wanted):
            raise DataError(f"{place}.wanted is {choice.wanted!r}; wanted {' or '.join(get_args(Wanted))}")
    for name, value, kind, words in found:
        if isinstance(value, bool) or not isinstance(value, kind):
            raise DataError(f"{name} is {value!r}; wanted {words}")


def _until(last: int, frames: Iterable[Atoms]) -> Iterator[tuple[int, Atoms]]:
    for index, atoms in enumerate(frames):
        yield index, atoms
        if index == last:
            return
