"""What `hint anharmonic` does, as a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data.file_io import write_json
from hint_plugin.data.outputs import a_folder
from hint_plugin.data.provenance import run_provenance
from hint_plugin.data.structures.displaced import DisplaceSettings, displaced_copies
from hint_plugin.data.structures.unit_cell import given_crystal, name_of
from hint_plugin.dft.dft_folder import check_no_outputs, write_folder
from hint_plugin.dft.dft_inputs import DftSettings, Grid, dft_inputs, formula_of
from hint_plugin.dft.next_commands import readme
from hint_plugin.dft.primitive import Primitive, primitive_cell
from hint_plugin.dft.qe_input import Smearing, match_pseudopotentials
from hint_plugin.dft.upf import UpfHeader, check_elements, choose_cutoffs, read_upf_header
from hint_plugin.errors import OptionsError
from hint_plugin.settings import as_float


@dataclass(frozen=True)
class DftInputs:
    """Inputs of Quantum ESPRESSO for anharmonic phonons of a crystal.

    Attributes:
        cell: the primitive cell.
        settings: cutoffs and broadenings in Ry, grids.
        inputs: name of a file -> its text.
        pseudopotentials: element -> file.
        displaced: how; sigma in A.
        structure: name of what the crystal was read from.
        provenance: where it comes from, for JSON.
    """

    cell: Primitive
    settings: DftSettings
    inputs: Mapping[str, str]
    pseudopotentials: Mapping[str, Path]
    displaced: DisplaceSettings
    structure: str
    provenance: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """What settings.json holds: energies Ry, `sigma` A, `floor` in covalent radii."""
        return {
            "structure": self.structure,
            "atoms": len(self.cell.atoms),
            "formula": formula_of(self.cell.atoms),
            **self._about(),
            "notes": self.cell.notes,
            "copies": self.displaced.copies,
            "floor": self.displaced.floor,
            "settings": asdict(self.settings),
            "pseudopotentials": self._names(),
            "inputs": list(self.inputs),
            "provenance": self.provenance,
        }

    def readme(self) -> str:
        """What is in the folder, and the commands that follow."""
        copies = self.displaced.copies
        return readme(self.cell.atoms, copies, self.settings, self._names(), self._about())

    def write(self, folder: str | Path) -> None:
        """Inputs, pseudopotentials, run.sh, README.md, settings.json.

        Raises:
            OptionsError: the folder has outputs of other inputs already.
        """
        write_folder(Path(folder), self.inputs, self.pseudopotentials, self.readme())
        write_json(Path(folder) / "settings.json", self.as_dict())

    def _about(self) -> dict[str, Any]:
        group, moves = self.cell.space_group, self.displaced
        return {"space_group": group, "sigma": moves.sigma, "seed": moves.seed}

    def _names(self) -> dict[str, str]:
        return {symbol: path.name for symbol, path in self.pseudopotentials.items()}


def anharmonic(
    structure: Atoms | str | Path,
    pseudo: str | Path,
    output: str | Path | None = None,
    *,
    q_grid: Grid = (2, 2, 2),
    k_grid: Grid = (12, 12, 12),
    k_grid_dft: Grid = (6, 6, 6),
    displaced_k_grid: Grid = (8, 8, 8),
    ecutwfc: float | None = None,
    ecutrho: float | None = None,
    smearing: Smearing = "mp",
    degauss: float = 0.03,
    pseudopotential: Mapping[str, str] | Sequence[str] = (),
    copies: int = 30,
    sigma: float = 0.4,
    floor: float = 0.6,
    seed: int = 0,
    electron_phonon: bool = True,
    precision: float = 1e-5,
) -> DftInputs:
    """Inputs of Quantum ESPRESSO for a crystal: Hessian, displaced cells, electron-phonon matrices.

    Args:
        structure: one unit cell, as atoms or a file (`read_crystal`).
        pseudo: folder of pseudopotentials, .upf.
        output: folder of the inputs, written as `hint anharmonic` does; None writes nothing.
        q_grid: q points of ph.x: the Hessian's supercell.
        k_grid: k points, dense: electron-phonon matrices.
        k_grid_dft: k points of the ground state and ph.x.
        displaced_k_grid: k points of displaced cells.
        ecutwfc: cutoff, Ry; as the pseudopotentials suggest if None.
        ecutrho: of the density, Ry; four times the other, or as suggested, if None.
        smearing: "mp", "mv" (cold), "gaussian", "fd" (Fermi).
        degauss: its width, Ry.
        pseudopotential: element -> file where `pseudo` has several, or words as "Pd=Pd.upf".
        copies: displaced cells.
        sigma: standard deviation of a component of a displacement, A.
        floor: no distance below this times the sum of covalent radii.
        seed: of all random numbers.
        electron_phonon: with what Tc needs.
        precision: within which symmetry is found, A.

    Raises:
        OptionsError: options that cannot be; a folder that has outputs already.
        DataError: no crystal. EngineError: no pseudopotential, or several, of an element.
    """
    folder = None if output is None else a_folder(Path(output))
    if folder is not None:
        check_no_outputs(folder)
    cell = primitive_cell(given_crystal(structure), precision)
    headers = _pseudopotentials(Path(pseudo), pseudopotential, sorted(set(cell.atoms.symbols)))
    files = {symbol: header.path for symbol, header in headers.items()}
    wave, density = choose_cutoffs(headers, as_float(ecutwfc), as_float(ecutrho))
    settings = DftSettings(
        ecutwfc=wave,
        ecutrho=density,
        q_grid=q_grid,
        k_grid=k_grid,
        k_grid_dft=k_grid_dft,
        displaced_k_grid=displaced_k_grid,
        smearing=smearing,
        degauss=float(degauss),
        electron_phonon=electron_phonon,
    )
    settings.check()
    moves = DisplaceSettings(sigma=float(sigma), copies=copies, floor=float(floor), seed=seed)
    moves.check()
    name = name_of(structure)
    displaced = list(displaced_copies(cell.atoms, 0, moves, name=name))
    inputs = dft_inputs(cell.atoms, displaced, files, settings)
    read = [] if isinstance(structure, Atoms) else [Path(structure)]
    about = run_provenance([*read, *files.values()])
    result = DftInputs(cell, settings, inputs, files, moves, name, about)
    if folder is not None:
        result.write(folder)
    return result


def _pseudopotentials(
    folder: Path, given: Mapping[str, str] | Sequence[str], symbols: list[str]
) -> dict[str, UpfHeader]:
    """Element -> header of its file."""
    if not folder.is_dir():
        raise OptionsError(f"--pseudo {folder}: no such folder")
    pairs = [f"{symbol}={file}" for symbol, file in given.items()] if isinstance(given, Mapping) else given
    named = {}
    for pair in pairs:
        symbol, _, file = pair.partition("=")
        if symbol not in symbols or not file:
            raise OptionsError(f"--pseudopotential {pair}; wanted ELEMENT=FILE, of {', '.join(symbols)}")
        named[symbol] = file
    found = match_pseudopotentials(folder, symbols, named, "--pseudopotential {}=FILE")
    headers = {symbol: read_upf_header(folder / name) for symbol, name in found.items()}
    check_elements(headers)
    return headers
