"""What `hint double-well` finds, as objects, as JSON and as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hint_plugin.data import write_frames
from hint_plugin.data.file_io import files_of, remove_earlier, write_json
from hint_plugin.science.phonons.double_well import Line, Profile, plot_profiles


@dataclass(frozen=True)
class DoubleWellResult:
    """The energy along a line.

    Attributes:
        name: of the crystal, for the title of the figure.
        line: through the structure.
        profile: of the potential, A and eV.
        provenance: where it comes from, for JSON.
        reference: another energy along the same line; None without one.
        errors: against it, see `compare_profiles`.
        outside: how many of the structures are outside of what the model was trained on, in a sentence.
    """

    name: str
    line: Line
    profile: Profile
    provenance: Mapping[str, Any]
    reference: Profile | None = None
    errors: Mapping[str, float] | None = None
    outside: str = ""

    @property
    def series(self) -> list[tuple[str, Profile]]:
        """Those that there are, with their names."""
        found = [("this work", self.profile)]
        return found if self.reference is None else [*found, ("reference", self.reference)]

    def as_dict(self) -> dict[str, Any]:
        """What double-well.json holds: the frequency in cm^-1, amplitudes in A, energies in eV."""
        line = self.line
        found: dict[str, Any] = {"line": line.name, "frequency": line.frequency}
        found["atoms"] = len(line.atoms)
        found["outside_training"] = self.outside
        found |= {"model": self.profile.as_dict(), "provenance": self.provenance}
        if self.reference is not None:
            found |= {"reference": self.reference.as_dict(), "errors": self.errors}
        return found

    def write(self, folder: str | Path) -> None:
        """frames.xyz: the structures, ready for `hint label`; double-well.json; double-well.png."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        own, inputs = (r"frames\.xyz", r"double-well\.png"), files_of(self.provenance)
        remove_earlier(folder, "double-well.json", own, (), inputs)
        write_frames(folder / "frames.xyz", [self.line.at(a) for a in self.profile.amplitudes])
        write_json(folder / "double-well.json", self.as_dict())
        self.plot(folder / "double-well.png")

    def plot(self, path: Path) -> bool:
        """The energies. False, and nothing, without matplotlib."""
        series = [("", self.profile)] if self.reference is None else self.series
        return plot_profiles(path, series, f"{self.name}: {self.line.name}")
