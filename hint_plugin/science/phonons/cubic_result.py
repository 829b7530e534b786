"""What `hint cubic` finds, as an object, as JSON and as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.file_io import file_sha256, files_of, remove_earlier, write_csv, write_json
from hint_plugin.science.phonons.cubic_constants import CubicChecks
from hint_plugin.science.phonons.cubic_files import write_phono3py, write_shengbte
from hint_plugin.science.phonons.force_constants import FORCE_TOLERANCE
from hint_plugin.science.phonons.phonon_result import write_relaxed

FORETOLD_WELL = 0.02
"""Of `CubicChecks.foretold`: above, a note says so."""


@dataclass(frozen=True)
class CubicResult:
    """Harmonic and cubic force constants of a crystal.

    Attributes:
        name: of the crystal.
        crystal: a `phono3py.Phono3py` that has both, compact, in eV/A^2 and eV/A^3.
        checks: what the third derivatives say of the force constants.
        about: what went in and how it was computed, for JSON.
        relaxed: the crystal after a relaxation; None without one.
        born_notes: what is to be said of Born charges.
    """

    name: str
    crystal: Any
    checks: CubicChecks
    about: Mapping[str, Any]
    relaxed: Atoms | None = None
    born_notes: tuple[str, ...] = ()
    _shengbte: list[str] = field(default_factory=list, repr=False)

    @property
    def constants(self) -> NDArray:
        """Compact cubic force constants [n_prim, N, N, 3, 3, 3], eV/A^3."""
        return np.asarray(self.crystal.fc3)

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers has to know."""
        found = [*self.born_notes]
        if note := self.about.get("relaxation", {}).get("note"):
            found.append(note)
        if (force := self.about["largest_force"]) > FORCE_TOLERANCE:
            found.append(f"not at rest: {force:.3f} eV/A on an atom; --relax goes on")
        half = 0.5 * float((1 / np.linalg.norm(np.linalg.inv(self.crystal.supercell.cell), axis=0)).min())
        if self.about["cutoff"] and self.about["cutoff"] > half + 1e-3:
            found.append(
                f"the cutoff of {self.about['cutoff']:g} A is more than half of the supercell's width "
                f"({half:.2f} A): constants of atoms farther apart are those of their images, too"
            )
        if outside := self.about.get("outside_training"):
            found.append(f"the crystal is outside of what the model was trained on: {outside}")
        if self.checks.foretold > FORETOLD_WELL:
            why = "the cutoff is short, " if self.about["cutoff"] else ""
            found.append(
                f"a third derivative that the fit has not seen is foretold with an error of "
                f"{100 * self.checks.foretold:.1f} %: {why}--step is too large or too small for the "
                "differences, or the crystal is not at rest"
            )
        return found + self._shengbte

    def reach(self) -> list[dict[str, float]]:
        """The largest element of a block (eV/A^3) by the largest of its three distances (A), ascending."""
        supercell = self.crystal.supercell
        inverse = np.linalg.inv(supercell.cell)
        apart = supercell.positions[:, None] - supercell.positions[None]
        fractional = apart @ inverse
        fractional -= np.rint(fractional)
        near = np.array(list(np.ndindex(3, 3, 3))) - 1.0
        images = (fractional[:, :, None, :] + near) @ supercell.cell
        distances = np.linalg.norm(images, axis=3).min(axis=2)
        rows: dict[float, float] = {}
        for i, atom in enumerate(self.crystal.primitive.p2s_map):
            largest = np.maximum(np.maximum(distances[atom][:, None], distances[atom][None]), distances)
            size = np.abs(self.constants[i]).max(axis=(2, 3, 4))
            shells = np.round(largest, 3)
            for shell in np.unique(shells):
                rows[float(shell)] = max(rows.get(float(shell), 0.0), float(size[shells == shell].max()))
        return [{"distance": shell, "largest": rows[shell]} for shell in sorted(rows)]

    def as_dict(self) -> dict[str, Any]:
        """What cubic.json holds: eV, A."""
        return {
            **self.about,
            "atoms_in_primitive_cell": len(self.crystal.primitive),
            "atoms_in_supercell": len(self.crystal.supercell),
            "atoms_in_phonon_supercell": len(self.crystal.phonon_supercell),
            "checks": self.checks.as_dict(),
            "notes": self.notes,
        }

    def write(self, folder: str | Path) -> None:
        """phono3py_disp.yaml, fc2.hdf5, fc3.hdf5, shengbte/*, reach.csv, relaxed.xyz; cubic.json last."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        own = (r"phono3py_disp\.yaml", r"fc[23]\.hdf5", r"shengbte/\w+", r"reach\.csv", r"relaxed\.xyz")
        remove_earlier(folder, "cubic.json", own, (), files_of(self.about.get("provenance", {})))
        if self.relaxed is not None:
            write_relaxed(folder, self.relaxed)
        write_phono3py(self.crystal, folder)
        why = write_shengbte(self.crystal, folder / "shengbte")
        self._shengbte[:] = [why] if why else []
        write_csv(folder / "reach.csv", self.reach())
        hashes = {name: file_sha256(folder / name) for name in ("fc2.hdf5", "fc3.hdf5")}
        write_json(folder / "cubic.json", {**self.as_dict(), "sha256": hashes})
