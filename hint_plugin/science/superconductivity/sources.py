"""What `hint tc` can start from: a2F in a file, lambda.x's input, or elph_dir with dynamical matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.errors import OptionsError
from hint_plugin.science.superconductivity.isotopes import Isotope
from hint_plugin.science.superconductivity.qe_couplings import is_lambda_input, read_lambda_input
from hint_plugin.science.superconductivity.qe_elph import read_force_constants, read_matrices
from hint_plugin.science.superconductivity.readers import read_a2f
from hint_plugin.science.superconductivity.same_crystal import check_crystals
from hint_plugin.science.superconductivity.spectral import Spectrum


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source; the first four for elph_dir only.

    Attributes:
        dyn: dynamical matrices.
        broadening: of the electrons, Ry; also for lambda.x's input.
        grid: q points interpolated to; zeros: those of the files.
        sum_rule: translations are projected out, of an interpolation.
        format, unit, column: of a2F in a file.
        leave_out: imaginary modes and negative a2F.
    """

    dyn: Path | None = None
    broadening: float | None = None
    grid: tuple[int, int, int] = (20, 20, 20)
    sum_rule: bool = True
    format: str | None = None
    unit: str | None = None
    column: int | None = None
    leave_out: bool = False


@dataclass(frozen=True)
class Case:
    """One spectrum; `mass` and `mass_before` (amu) where it is that of another isotope."""

    name: str
    spectrum: Spectrum
    mass: float | None = None
    mass_before: float | None = None


def read_cases(
    source: Path,
    options: SourceOptions,
    isotopes: Sequence[Isotope] = (),
    say: Callable[[str], None] = lambda text: None,
) -> list[Case]:
    """The spectrum of the source, then those of the isotopes.

    Raises:
        DataError: what the readers raise; imaginary modes or negative a2F, unless left out.
        OptionsError: options that do not fit the source.
    """
    if source.is_dir():
        if options.dyn is None:
            raise OptionsError(
                f"{source} is a folder: with electron-phonon matrices --dyn FILE is wanted (PREFIX.dyn0)"
            )
        if options.format or options.unit or options.column:
            raise OptionsError(f"--format, --unit and --column are for files of a2F; {source} is a folder")
        return _recombined(source, options.dyn, options, isotopes, say)
    if isotopes or options.dyn is not None:
        raise OptionsError(
            f"--isotope and --dyn need electron-phonon matrices; {source} is one a2F, in which masses "
            "cannot be changed. Give the folder elph_dir of ph.x"
        )
    if source.is_file() and options.format is None and is_lambda_input(source):
        couplings = read_lambda_input(source, options.broadening)
        return [Case("", couplings.spectrum(leave_out=options.leave_out))]
    if options.broadening is not None:
        raise OptionsError(
            f"--broadening is for elph_dir and lambda.x's input; {source} is a2F (--column chooses)"
        )
    table = read_a2f(source, options.format, options.unit, options.column)
    return [Case("", table.spectrum(leave_out=options.leave_out))]


def _recombined(
    folder: Path, dyn: Path, options: SourceOptions, isotopes: Sequence[Isotope], say: Callable[[str], None]
) -> list[Case]:
    say("electron-phonon matrices")
    matrices = read_matrices(folder, options.broadening)
    if any(n < 0 for n in options.grid) or (any(options.grid) and not all(options.grid)):
        raise OptionsError(
            f"got --grid {options.grid}; wanted three numbers > 0, or 0 0 0 for the q points of the files"
        )
    crystals = [_crystal(dyn, isotope, matrices.q) for isotope in (None, *isotopes)]  # all errors first
    check_crystals(folder, dyn, crystals)
    cases = []
    for crystal in crystals:
        say(f"couplings of {crystal.name}")
        if any(options.grid):
            found = matrices.interpolated(
                crystal.constants, crystal.atoms, crystal.alat, options.grid, crystal.masses, options.sum_rule
            )
        else:
            found = matrices.couplings(crystal.constants, crystal.masses)
        spectrum = found.spectrum(leave_out=options.leave_out)
        if crystal.isotope is None:
            cases.append(Case(crystal.name, spectrum))
        else:
            before = crystal.isotope.mass_before(crystals[0].atoms)
            cases.append(Case(crystal.name, spectrum, crystal.isotope.mass, before))
    return cases


@dataclass(frozen=True)
class _Crystal:
    """Force constants and masses of one isotope."""

    name: str
    isotope: Isotope | None
    atoms: Atoms
    alat: float
    constants: NDArray
    masses: NDArray


def _crystal(dyn: Path, isotope: Isotope | None, q: NDArray) -> _Crystal:
    path = dyn if isotope is None or isotope.force_constants is None else isotope.force_constants
    atoms, alat, constants = read_force_constants(path, q)
    if isotope is None:
        formula = atoms.get_chemical_formula("metal")
        return _Crystal(formula, None, atoms, alat, constants, atoms.get_masses())
    name = f"{isotope.symbol} {isotope.mass:g}"
    return _Crystal(name, isotope, atoms, alat, constants, isotope.masses(atoms))
