"""What `hint phonons` finds, as objects, as JSON and as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase import Atoms

from hint_plugin.data import write_frames
from hint_plugin.data.file_io import files_of, remove_earlier, write_csv, write_json
from hint_plugin.errors import DataError
from hint_plugin.science.phonons.band_figure import plot_bands
from hint_plugin.science.phonons.bands import Bands
from hint_plugin.science.phonons.dos import DensityOfStates, Thermodynamics
from hint_plugin.science.phonons.force_constants import FORCE_TOLERANCE
from hint_plugin.science.phonons.phonon_files import write_phonopy
from hint_plugin.science.phonons.qe import check_dyn, write_dyn
from hint_plugin.science.phonons.reference_phonons import Comparison, Table, along_path

if TYPE_CHECKING:
    from phonopy import Phonopy


@dataclass(frozen=True)
class Compared:
    """A reference and what came out. `bands`: the reference's own, None of a table; `errors`: in cm^-1."""

    reference: Phonopy | Table
    bands: Bands | None
    errors: Comparison


@dataclass(frozen=True)
class PhononResult:
    """Phonons of a crystal.

    Attributes:
        name: for the title of the figure.
        phonon: with force constants, eV/A^2.
        bands: cm^-1, imaginary ones negative; group velocities km/s.
        density: of states, per cm^-1 and primitive cell.
        thermal: of a primitive cell: eV, eV/K, at temperatures in K.
        about: what went in and how it was computed, for JSON: `largest_force` in eV/A, `displacement` in A,
            `relaxation` with the energy in eV and the pressure in GPa.
        crystal: what the symmetry says of it, for JSON.
        relaxed: the crystal after a relaxation; None without one.
        born_notes: what is to be said of Born charges.
        compared: with a reference, if there is one.
    """

    name: str
    phonon: Phonopy
    bands: Bands
    density: DensityOfStates
    thermal: Thermodynamics
    about: Mapping[str, Any]
    crystal: Mapping[str, Any]
    relaxed: Atoms | None = None
    born_notes: tuple[str, ...] = ()
    compared: Compared | None = field(default=None)

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers has to know."""
        found = [*self.born_notes]
        if note := self.about.get("relaxation", {}).get("note"):
            found.append(note)
        if lowered := self.crystal["lowered_by"]:
            found.append(
                f"no symmetry is used: {', '.join(lowered)} differ on atoms that are alike in all else"
            )
        if (force := self.about["largest_force"]) > FORCE_TOLERANCE:
            found.append(f"not at rest: {force:.3f} eV/A on an atom; --relax goes on")
        if outside := self.about.get("outside_training"):
            found.append(f"the crystal is outside of what the model was trained on: {outside}")
        if self.thermal.imaginary > 0:
            found.append("imaginary modes: left out of zero-point energy and thermal properties")
        if why := self._no_matrices():
            found.append(why)
        return found

    def as_dict(self) -> dict[str, Any]:
        """What phonons.json holds: frequencies cm^-1, group velocities km/s, zero_point_energy eV."""
        bands = self.bands
        found = {
            **self.about,
            **self.crystal,
            "lowest": bands.lowest,
            "highest": bands.highest,
            "path": [list(labels) for labels in bands.path.labels],
            "frequencies": [block.tolist() for block in bands.frequencies],
            "group_velocities": [block.tolist() for block in bands.group_velocities or ()],
            "imaginary": self.thermal.imaginary,
            "zero_point_energy": float(self.thermal.free_energy[0]),
        }
        if self.compared is not None:
            found["errors"] = self.compared.errors.as_dict()
        return found | {"notes": self.notes}

    def write(self, folder: str | Path) -> None:
        """relaxed.xyz after a relaxation, the tables, phonons.json, bands.png."""
        folder = Path(folder)
        if self.relaxed is not None:
            write_relaxed(folder, self.relaxed)
        self.write_tables(folder)
        self.write_summary(folder)

    def write_tables(self, folder: str | Path) -> None:
        """bands.csv, dos.csv, thermal.csv, phonopy.yaml and FORCE_CONSTANTS, qe/matdyn.dyn*."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        own = (r"relaxed\.xyz", r"(bands|dos|thermal)\.csv", r"bands\.png", r"qe/matdyn\.dyn\d+")
        fresh = () if self.relaxed is None else ("relaxed.xyz",)
        remove_earlier(folder, "phonons.json", own, fresh, files_of(self.about.get("provenance", {})))
        write_csv(folder / "bands.csv", self.bands.rows())
        write_csv(folder / "dos.csv", self.density.rows())
        write_csv(folder / "thermal.csv", self.thermal.rows())
        write_phonopy(self.phonon, folder)
        matrices = folder / "qe"
        matrices.mkdir(exist_ok=True)
        if not self._no_matrices():
            write_dyn(self.phonon, matrices / "matdyn.dyn")
        elif not any(matrices.iterdir()):
            matrices.rmdir()

    def write_summary(self, folder: str | Path) -> None:
        """phonons.json, then bands.png."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "phonons.json", self.as_dict())
        self.plot(folder / "bands.png")

    def plot(self, path: Path) -> bool:
        """Bands, those of a reference, and the density of states. False, and nothing, without matplotlib."""
        compared = self.compared
        series = [("this work" if compared is not None else "", self.bands)]
        points = []
        if compared is not None and isinstance(compared.reference, Table):
            points = [("reference", *along_path(compared.reference, self.bands.path, self.phonon))]
        elif compared is not None and compared.bands is not None:
            series.append(("reference", compared.bands))
        states = [("", self.density.frequencies, self.density.total)]
        return plot_bands(path, series, points=points, density=states, title=self.name)

    def _no_matrices(self) -> str:
        """Why there are no files for Quantum ESPRESSO, "" where there are."""
        try:
            check_dyn(self.phonon)
        except DataError as error:
            return str(error)
        return ""


def write_relaxed(folder: Path, atoms: Atoms) -> None:
    """relaxed.xyz: there before the phonons are, which may take long."""
    folder.mkdir(parents=True, exist_ok=True)
    write_frames(folder / "relaxed.xyz", [atoms])
