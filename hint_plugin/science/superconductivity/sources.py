"""What `hint tc` can start from: a2F in a file, lambda.x's input, or elph_dir with dynamical matrices.

With elph_dir there may be several sources of the same spectrum: other dynamical matrices of the same
crystal, and two interpolations. `fourier` puts both matrices on `--grid` (module `interpolation`); `none`
takes the q points of the files alone, as lambda.x does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.formats.qe_set import dyn_set
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.superconductivity.coupling_matrices import ElectronPhononMatrices
from hint_plugin.science.superconductivity.interpolation import grid_of
from hint_plugin.science.superconductivity.isotopes import Isotope
from hint_plugin.science.superconductivity.lambda_x_files import is_lambda_input, read_lambda_input
from hint_plugin.science.superconductivity.mode_couplings import UnstableError
from hint_plugin.science.superconductivity.ph_x_files import read_force_constants, read_matrices, read_points
from hint_plugin.science.superconductivity.readers import read_a2f
from hint_plugin.science.superconductivity.same_crystals import check_crystals, check_sources
from hint_plugin.science.superconductivity.spectral import Spectrum

Grid = tuple[int, int, int]
INTERPOLATIONS = ("fourier", "none", "both")


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source; the first four and the last two for elph_dir only.

    Attributes:
        dyn: dynamical matrices.
        broadening: of the electrons, Ry; also for lambda.x's input.
        grid: q points interpolated to; zeros: those of the files.
        sum_rule: translations are projected out at Gamma.
        format, unit, column: of a2F in a file.
        leave_out: imaginary modes and negative a2F.
        others: more dynamical matrices of the same crystal and the same isotopes.
        interpolation: one of `INTERPOLATIONS`; None: what `grid` says.
    """

    dyn: Path | None = None
    broadening: float | None = None
    grid: Grid = (20, 20, 20)
    sum_rule: bool = True
    format: str | None = None
    unit: str | None = None
    column: int | None = None
    leave_out: bool = False
    others: tuple[Path, ...] = ()
    interpolation: str | None = None

    def grids(self) -> dict[str, Grid]:
        """The interpolations that are asked for, by name, with their grid.

        Raises:
            OptionsError: no grid, or one that contradicts the interpolation.
        """
        if any(n < 0 for n in self.grid) or (any(self.grid) and not all(self.grid)):
            raise OptionsError(
                f"got --grid {self.grid}; wanted three numbers > 0, or 0 0 0 for the q points of the files"
            )
        if self.interpolation not in (None, *INTERPOLATIONS):
            raise OptionsError(
                f"got --interpolation {self.interpolation}; wanted {', '.join(INTERPOLATIONS)}"
            )
        if self.interpolation in ("fourier", "both") and not any(self.grid):
            raise OptionsError(
                f"--grid 0 0 0 interpolates nothing, and --interpolation {self.interpolation} asks for it; "
                "leave one of them out"
            )
        on_grid, on_files = {"fourier": self.grid}, {"none": (0, 0, 0)}
        if self.interpolation == "both":
            return on_grid | on_files
        return on_files if self.interpolation == "none" or not any(self.grid) else on_grid


@dataclass(frozen=True)
class Case:
    """One spectrum; `mass` and `mass_before` (amu) where it is that of another isotope; `note`: what a reader
    of the numbers should know of it."""

    name: str
    spectrum: Spectrum
    mass: float | None = None
    mass_before: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Source:
    """The spectra of one source, in the order of the isotopes.

    Attributes:
        dyn: the dynamical matrices, as the user named them; None of a2F in a file.
        interpolation: see this module; "" of a2F in a file.
        names: of the isotopes.
        cases: of each isotope its spectrum, or why it has none: the crystal is unstable at this level.
    """

    dyn: Path | None
    interpolation: str
    names: tuple[str, ...]
    cases: tuple[Case | UnstableError, ...]

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.dyn} (interpolation: {self.interpolation})"

    def stable(self) -> list[Case]:
        """All spectra. Raises UnstableError: one of them does not exist."""
        found: list[Case] = []
        for case in self.cases:
            if isinstance(case, UnstableError):
                raise case
            found.append(case)
        return found


def read_cases(
    source: Path,
    options: SourceOptions,
    isotopes: Sequence[Isotope] = (),
    say: Callable[[str], None] = lambda text: None,
) -> list[Case]:
    """The spectrum of the (first) source, then those of the isotopes. Raises what `read_sources` raises.

    Raises:
        UnstableError: imaginary modes or negative couplings, unless left out.
    """
    return read_sources(source, options, isotopes, say)[0].stable()


def read_sources(
    source: Path,
    options: SourceOptions,
    isotopes: Sequence[Isotope] = (),
    say: Callable[[str], None] = lambda text: None,
) -> list[Source]:
    """The spectra of all sources: of each dynamical matrices and interpolation, in this order.

    Raises:
        DataError: what the readers raise; imaginary parts or negative values of a2F, unless left out;
            dynamical matrices that are not of one crystal.
        OptionsError: options that do not fit the source.
    """
    if source.is_dir():
        if options.dyn is None:
            raise OptionsError(
                f"{source} is a folder: with electron-phonon matrices --dyn FILE is wanted (PREFIX.dyn0)"
            )
        if options.format or options.unit or options.column:
            raise OptionsError(f"--format, --unit and --column are for files of a2F; {source} is a folder")
        return _recombined(source, (options.dyn, *options.others), options, isotopes, say)
    if isotopes or options.dyn is not None:
        raise OptionsError(
            f"--isotope and --dyn need electron-phonon matrices; {source} is one a2F, in which masses "
            "cannot be changed. Give the folder elph_dir of ph.x"
        )
    if options.interpolation is not None:
        raise OptionsError(
            f"--interpolation needs electron-phonon matrices; {source} is one a2F, with its q points summed"
        )
    return [Source(None, "", ("",), (Case("", _of_file(source, options)),))]


def _of_file(source: Path, options: SourceOptions) -> Spectrum:
    if source.is_file() and options.format is None and is_lambda_input(source):
        couplings = read_lambda_input(source, options.broadening)
        return couplings.spectrum(leave_out=options.leave_out)
    if options.broadening is not None:
        raise OptionsError(
            f"--broadening is for elph_dir and lambda.x's input; {source} is a2F (--column chooses)"
        )
    table = read_a2f(source, options.format, options.unit, options.column)
    return table.spectrum(leave_out=options.leave_out)


def _recombined(
    folder: Path,
    dyns: Sequence[Path],
    options: SourceOptions,
    isotopes: Sequence[Isotope],
    say: Callable[[str], None],
) -> list[Source]:
    say("electron-phonon matrices")
    matrices = read_matrices(folder, options.broadening)
    grids = options.grids()
    _all_different("--dyn", dyns)
    for one in isotopes:
        if one.force_constants is not None:
            _all_different(f"--isotope {one.symbol}={one.mass:g}", (one.force_constants, *one.others))
    sets = []
    for number, dyn in enumerate(dyns):  # all errors first
        mine = [isotope.at(number) for isotope in isotopes]
        sets.append([_crystal(dyn, isotope, matrices.q) for isotope in (None, *mine)])
        check_crystals(folder, dyn, sets[-1])
        sets[-1] = [_with_note(crystal, sets[-1][0].atoms) for crystal in sets[-1]]
        _check_stars(folder, matrices, dyn, sets[-1][0])
    check_sources(dyns, [crystals[0].atoms for crystals in sets])
    found = []
    for dyn, crystals in zip(dyns, sets, strict=True):
        for interpolation, grid in grids.items():
            cases = []
            for crystal in crystals:
                say(f"couplings of {crystal.name}" + (f", {dyn}" if len(dyns) > 1 else ""))
                cases.append(_case(matrices, crystal, crystals[0].atoms, grid, options))
            names = tuple(crystal.name for crystal in crystals)
            found.append(Source(dyn, interpolation, names, tuple(cases)))
    return found


def _all_different(option: str, dyns: Sequence[Path]) -> None:
    """Refuse the same matrices twice: they would look like a second source that agrees."""
    seen: dict[Path, Path] = {}
    for dyn in dyns:
        first = dyn_set(dyn).files[0].resolve()
        if first in seen:
            raise OptionsError(
                f"{option}: {seen[first]} and {dyn} are the same files; wanted each source once"
            )
        seen[first] = dyn


def _check_stars(folder: Path, matrices: ElectronPhononMatrices, dyn: Path, crystal: _Crystal) -> None:
    """Refuse electron-phonon matrices that are not those of all q points of the grid, each once: the one that
    `dyn`0 announces, else the one that the dynamical matrices have."""
    announced = dyn_set(dyn).grid
    cell = crystal.atoms.cell.array
    if announced is None:
        points, alat = read_points(dyn)
        announced = grid_of(points, cell, alat)[0]
    try:
        matrices.grid_weights(cell, crystal.alat, announced)
    except DataError as error:
        grid = " x ".join(map(str, announced))
        raise DataError(
            f"{folder} and {dyn}, of {grid} q points, are not of one grid: {error}. Copy all files a2Fq2r.* "
            "of the run, or give the dynamical matrices of its grid"
        ) from error


def _case(
    matrices: ElectronPhononMatrices, crystal: _Crystal, first: Atoms, grid: Grid, options: SourceOptions
) -> Case | UnstableError:
    """The spectrum of one isotope; `first`: the crystal with the masses of the files."""
    if any(grid):
        found = matrices.interpolated(
            crystal.constants, crystal.atoms, crystal.alat, grid, crystal.masses, options.sum_rule
        )
    else:
        weights = matrices.grid_weights(crystal.atoms.cell.array, crystal.alat)
        found = matrices.couplings(crystal.constants, crystal.masses, options.sum_rule, weights)
    try:
        spectrum = found.spectrum(leave_out=options.leave_out)
    except UnstableError as error:
        return error
    if crystal.isotope is None:
        return Case(crystal.name, spectrum)
    mass, before = crystal.isotope.mass, crystal.isotope.mass_before(first)
    return Case(crystal.name, spectrum, mass, before, crystal.note)


@dataclass(frozen=True)
class _Crystal:
    """Force constants and masses of one isotope."""

    name: str
    isotope: Isotope | None
    atoms: Atoms
    alat: float
    constants: NDArray
    masses: NDArray
    note: str = ""


def _with_note(crystal: _Crystal, main: Atoms) -> _Crystal:
    """With what is to be said of force constants that an isotope has of its own."""
    if crystal.isotope is None or crystal.isotope.force_constants is None:
        return crystal
    return replace(crystal, note=crystal.isotope.check_masses(crystal.atoms, main))


def _crystal(dyn: Path, isotope: Isotope | None, q: NDArray) -> _Crystal:
    path = dyn if isotope is None or isotope.force_constants is None else isotope.force_constants
    atoms, alat, constants = read_force_constants(path, q)
    if isotope is None:
        formula = atoms.get_chemical_formula("metal")
        return _Crystal(formula, None, atoms, alat, constants, atoms.get_masses())
    name = f"{isotope.symbol} {isotope.mass:g}"
    return _Crystal(name, isotope, atoms, alat, constants, isotope.masses(atoms))
