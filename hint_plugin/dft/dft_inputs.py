"""Inputs of Quantum ESPRESSO for anharmonic phonons: dynamical matrices, electron-phonon matrices, cells.

    scf_dense.in   pw.x      the Fermi surface on a dense k grid (la2F), for the double delta function
    scf.in         pw.x      the ground state that ph.x perturbs; the same prefix and outdir, after the other
    ph.in          ph.x      dynamical matrices on a q grid; with electron_phonon = 'interpolated' also the
                             Fermi-surface sums elph_dir/a2Fq2r.*
    q2r.in         q2r.x     force constants in real space
    matdyn.in      matdyn.x  density of states and harmonic a2F
    displaced/pert_NN.in     pw.x: energies, forces, stresses of displaced primitive cells

All of them run in the folder that holds them. Without electron-phonon matrices scf_dense.in is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.dft.qe_input import QEOptions, Smearing, namelist, ph_input, pw_input
from hint_plugin.errors import OptionsError

Grid = tuple[int, int, int]
PSEUDO = "pseudo"
"""The folder of pseudopotentials, beside the inputs."""
BROADENINGS = (0.005, 10)
"""Ry: the first Gaussian broadening of the double delta function, which is also the step, and how many."""
DOS_GRID = 20
"""q points of matdyn.x along each axis."""


@dataclass(frozen=True, kw_only=True)
class DftSettings:
    """What the programs compute.

    Attributes:
        ecutwfc: cutoff of the wave functions, Ry.
        ecutrho: of the density, Ry; None for four times the other.
        q_grid: of the dynamical matrices: the supercell of the Hessian, in primitive cells.
        k_grid: dense, of the electron-phonon matrices.
        k_grid_dft: of the ground state and its linear response.
        displaced_k_grid: of displaced cells, which have no symmetry.
        smearing: of pw.x.
        degauss: its width, Ry.
        electron_phonon: with electron-phonon matrices.
    """

    ecutwfc: float
    ecutrho: float | None = None
    q_grid: Grid = (2, 2, 2)
    k_grid: Grid = (12, 12, 12)
    k_grid_dft: Grid = (6, 6, 6)
    displaced_k_grid: Grid = (8, 8, 8)
    smearing: Smearing = "mp"
    degauss: float = 0.03
    electron_phonon: bool = True

    def check(self) -> None:
        """Raise OptionsError for what pw.x or ph.x would refuse, or compute wrongly.

        k and k + q of the response have to be among the dense k points, all grids holding Gamma.
        """
        grids = {
            "--q-grid": self.q_grid,
            "--k-grid": self.k_grid,
            "--k-grid-dft": self.k_grid_dft,
            "--displaced-k-grid": self.displaced_k_grid,
        }
        for name, grid in grids.items():
            if min(grid) < 1:
                raise OptionsError(f"{name} {_words(grid)}; wanted three numbers above 0")
        if not 0 < self.degauss < float("inf"):
            raise OptionsError(f"--degauss {self.degauss} Ry; wanted a width above 0")
        if not self.electron_phonon:
            return
        for name in ("--k-grid-dft", "--q-grid"):
            if any(dense % n for dense, n in zip(self.k_grid, grids[name], strict=True)):
                raise OptionsError(
                    f"--k-grid {_words(self.k_grid)} is no multiple of {name} {_words(grids[name])} along "
                    "each axis: the dense k points have to hold all k and k + q of ph.x"
                )


def formula_of(atoms: Atoms) -> str:
    """Of one unit, metals first: PdH, LaH10."""
    return str(atoms.symbols.formula.reduce()[0].format("metal"))


def prefix_of(atoms: Atoms) -> str:
    """The formula in lower case, as pdh: the beginning of the names of files."""
    return formula_of(atoms).lower()


def dft_inputs(
    atoms: Atoms, displaced: Sequence[Atoms], pseudopotentials: Mapping[str, Path], settings: DftSettings
) -> dict[str, str]:
    """Name -> text of every input.

    Args:
        atoms: the primitive cell, with its masses.
        displaced: cells for pw.x.
        pseudopotentials: element -> file, all of one folder; the inputs look for it in `PSEUDO`.

    Raises:
        OptionsError: see `DftSettings.check`.
    """
    settings.check()
    name, elph = prefix_of(atoms), settings.electron_phonon
    files = {"scf.in": _pw(atoms, pseudopotentials, settings, settings.k_grid_dft, name)}
    if elph:
        files["scf_dense.in"] = _pw(
            atoms, pseudopotentials, settings, settings.k_grid, name, system={"la2F": True}
        )
    files["ph.in"] = _ph(pseudopotentials, settings, name)
    a2f: dict[str, Any] = {"la2F": True} if elph else {}
    files["q2r.in"] = namelist(
        "q2r", "input", {"fildyn": f"{name}.dyn", "zasr": "crystal", "flfrc": f"{name}.fc"} | a2f
    )
    density = {"dos": True, **{f"nk{i}": DOS_GRID for i in (1, 2, 3)}, "fldos": f"{name}.phdos"}
    density |= {"ndos": 50} if elph else {}
    files["matdyn.in"] = namelist(
        "matdyn", "input", {"flfrc": f"{name}.fc", "asr": "crystal"} | a2f | density
    )
    digits = max(2, len(str(len(displaced) - 1)))
    for number, cell in enumerate(displaced):
        one = f"pert_{number:0{digits}d}"
        files[f"displaced/{one}.in"] = _pw(
            cell,
            pseudopotentials,
            settings,
            settings.displaced_k_grid,
            one,
            control={"outdir": "./out_displaced", "disk_io": "none"},
            electrons={"conv_thr": 1e-9, "electron_maxstep": 80},
        )
    return files


def k_spacing(atoms: Atoms, grid: Grid) -> float:
    """The largest distance of neighbouring k points, 1/A with 2 pi."""
    return float((2 * np.pi * np.linalg.norm(atoms.cell.reciprocal(), axis=1) / grid).max())


def _pw(
    atoms: Atoms,
    pseudopotentials: Mapping[str, Path],
    settings: DftSettings,
    k_points: Grid,
    prefix: str,
    *,
    control: Mapping[str, Any] | None = None,
    system: Mapping[str, Any] | None = None,
    electrons: Mapping[str, Any] | None = None,
) -> str:
    sections = {
        "control": {"prefix": prefix, "pseudo_dir": f"./{PSEUDO}", **(control or {})},
        "system": dict(system or {}),
        "electrons": dict(electrons or {}),
    }
    options = _options(pseudopotentials, settings, kpts=k_points, input=sections)
    return pw_input(options, atoms, 0)


def _ph(pseudopotentials: Mapping[str, Path], settings: DftSettings, name: str) -> str:
    values: dict[str, Any] = {"prefix": name, "fildyn": f"{name}.dyn", "alpha_mix(1)": 0.5}
    if settings.electron_phonon:
        first, count = BROADENINGS
        values |= {"fildvscf": f"{name}.dv", "electron_phonon": "interpolated", "trans": True}
        values |= {"el_ph_sigma": first, "el_ph_nsigma": count}
    return ph_input(_options(pseudopotentials, settings, ph_grid=settings.q_grid, ph_input=values))


def _options(pseudopotentials: Mapping[str, Path], settings: DftSettings, **more: Any) -> QEOptions:
    return QEOptions(
        pseudo_dir=next(iter(pseudopotentials.values())).parent,
        pseudopotentials={symbol: path.name for symbol, path in pseudopotentials.items()},
        ecutwfc=settings.ecutwfc,
        ecutrho=settings.ecutrho,
        smearing=settings.smearing,
        degauss=settings.degauss,
        **more,
    )


def _words(grid: Grid) -> str:
    return " ".join(map(str, grid))
