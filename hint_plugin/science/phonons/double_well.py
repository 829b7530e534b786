"""The energy along a mode or a displacement: is the crystal in a minimum, on a barrier, how high is that.

    E(a) = E(x_0 + a u) - E(x_0),        max_i |u_i| = 1:  a in A is how far the atom that moves most has
    moved

Along a phonon of wave vector q and eigenvector e (phonopy's phases), in a cell that q fits into,

    u_jR = Re[ e_j exp(2 pi i q . (R + r_j)) ] / sqrt(m_j), then normalised.

Of modes of the same frequency, the combination is taken that has the largest part along one coordinate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from numpy.typing import NDArray

from hint_plugin.data import LabelKeys
from hint_plugin.data.drawing import picture
from hint_plugin.data.structures.supercells import supercell
from hint_plugin.data.structures.unit_cell import quiet, to_ase
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.figures import new_figure, save_png
from hint_plugin.science.labelled_frames import read_reference
from hint_plugin.science.phonons.band_figure import COLOURS
from hint_plugin.science.phonons.crystals import CM_PER_THZ

AT_REST = 2e-3
"""A: nearer to 0, the lowest point is that of a single well."""
_SAME_FREQUENCY = 0.05  # cm^-1, of modes that count as degenerate
_LARGEST_CELL = 12  # repetitions of a lattice vector that a q may need
_ASIDE = 0.02  # A that an atom of a stored frame may be away from the line


@dataclass(frozen=True)
class Line:
    """A straight line through a structure: `atoms` at rest, `direction` [N, 3] with the longest row 1, and
    what it is; `frequency` (cm^-1) of a mode."""

    atoms: Atoms
    direction: NDArray
    name: str
    frequency: float | None = None

    def at(self, amplitude: float) -> Atoms:
        """Displaced by `amplitude` A."""
        moved = self.atoms.copy()
        moved.positions += amplitude * self.direction
        return moved


@dataclass(frozen=True)
class Profile:
    """`amplitudes` [K] in A, ascending, and `energies` [K] in eV above that of amplitude 0."""

    amplitudes: NDArray
    energies: NDArray

    @property
    def minimum(self) -> tuple[float, float]:
        """(amplitude, energy) of the lowest point, refined by a parabola through its neighbours."""
        x, y, k = self.amplitudes, self.energies, int(self.energies.argmin())
        if k in (0, len(x) - 1):
            return float(x[k]), float(y[k])
        # around the middle point: rounding of the coefficients stays small
        a, b, c = np.polyfit(x[k - 1 : k + 2] - x[k], y[k - 1 : k + 2], 2)
        if a <= 0:
            return float(x[k]), float(y[k])
        return float(x[k] - b / (2 * a)), float(c - b * b / (4 * a))

    @property
    def at_edge(self) -> bool:
        """The lowest point is the first or the last: the amplitude is too small to see the well."""
        return int(self.energies.argmin()) in (0, len(self.energies) - 1)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        place, energy = self.minimum
        return {
            "amplitudes": self.amplitudes.tolist(),
            "energies": self.energies.tolist(),
            "minimum": {"amplitude": place, "energy": energy, "at_edge": self.at_edge},
        }


def along_mode(phonon: Any, q: Sequence[float], branch: int, crystal: Atoms | None = None) -> Line:
    """The line of a phonon.

    Args:
        phonon: with force constants.
        q: fractional coordinates of the primitive cell's reciprocal lattice.
        branch: 1 is the lowest.
        crystal: whose atoms carry moments, charges, ... (`hint_plugin.data.structures.supercells`).

    Raises:
        OptionsError: no such branch, or a q that fits into no small cell.
    """
    point = np.asarray(q, dtype=float)
    modes = 3 * len(phonon.primitive)
    if not 1 <= branch <= modes or point.shape != (3,):
        raise OptionsError(
            f"mode {branch} at q {list(q)}; wanted three numbers and a branch from 1 to {modes}"
        )
    repeats = [Fraction(x).limit_denominator(_LARGEST_CELL).denominator for x in point]
    if np.abs(point * repeats - np.rint(point * repeats)).max() > 1e-4:
        raise OptionsError(f"q = {list(q)} fits into no cell of up to {_LARGEST_CELL} repetitions")
    with quiet():
        phonon.run_qpoints([point], with_eigenvectors=True)
    frequencies = CM_PER_THZ * np.asarray(phonon.qpoints.frequencies)[0]
    vectors = np.asarray(phonon.qpoints.eigenvectors)[0]
    same = vectors[:, abs(frequencies - frequencies[branch - 1]) < _SAME_FREQUENCY]
    parts = np.linalg.norm(same, axis=1)
    coordinate = int(np.flatnonzero(parts > parts.max() - 1e-6)[0])
    vector = same @ same[coordinate].conj()
    primitive = to_ase(phonon.primitive, crystal)
    cell = supercell(primitive, repeats)
    phases = np.exp(2j * np.pi * (cell.positions @ np.linalg.inv(primitive.cell.array) @ point))
    eigenvector = np.tile(vector.reshape(-1, 3), (int(np.prod(repeats)), 1))
    moves = (eigenvector * phases[:, None]).real / np.sqrt(cell.get_masses())[:, None]
    name = f"q = ({', '.join(f'{x:g}' for x in point)}), branch {branch}"
    return Line(cell, _normalised(moves), name, float(frequencies[branch - 1]))


def along_displacement(atoms: Atoms, words: str) -> Line:
    """The line of one atom, "1,z" or "1,1,1,1" (atom 1 along 111), or to another structure: the name of a
    file.

    Raises:
        OptionsError: it cannot be read. DataError: the file holds another crystal.
    """
    if Path(words).is_file():
        from hint_plugin.data.structures.unit_cell import read_crystal

        other = read_crystal(Path(words))
        return Line(atoms, _normalised(_moved(atoms, other, words)), f"towards {Path(words).name}")
    parts = words.replace(" ", ",").split(",")
    try:
        atom = int(parts[0])
        if len(parts) == 2:
            axis = np.eye(3)["xyz".index(parts[1].lower())]
        else:
            axis = np.array([float(part) for part in parts[1:]])
        if axis.shape != (3,) or not np.linalg.norm(axis) > 0 or not 0 <= atom < len(atoms):
            raise ValueError("not an atom and a direction")
    except ValueError:
        raise OptionsError(
            f"--displacement {words}; wanted a file, or an atom from 0 to {len(atoms) - 1} and an axis: "
            "'1,z' or '1,1,1,1'"
        ) from None
    moves = np.zeros((len(atoms), 3))
    moves[atom] = axis / np.linalg.norm(axis)
    return Line(atoms, moves, f"atom {atom} ({atoms.symbols[atom]}) along {','.join(parts[1:])}")


def profile(
    line: Line,
    calculator: Any,
    amplitude: float,
    points: int = 21,
    report: Callable[[int, int], None] | None = None,
) -> Profile:
    """Energies from -amplitude to amplitude.

    Args:
        line: through the structure.
        calculator: an ASE calculator.
        amplitude: A. points: made odd, so that 0 is one.
        report: called with how many are done, and of how many.

    Raises:
        OptionsError: an amplitude or a number of points that cannot be. DataError: an energy is NaN.
        Whatever the calculator raises.
    """
    if not amplitude > 0 or points < 3:
        raise OptionsError(f"amplitude {amplitude} A and {points} points; wanted above 0, and 3 or more")
    amplitudes = np.linspace(-amplitude, amplitude, points | 1)
    energies = np.empty(len(amplitudes))
    for k, a in enumerate(amplitudes):
        moved = line.at(a)
        moved.calc = calculator
        energies[k] = moved.get_potential_energy()
        if not np.isfinite(energies[k]):
            raise DataError(f"{line.name}: the energy at {a:.3f} A is NaN or infinite")
        if report is not None:
            report(k + 1, len(amplitudes))
    return Profile(amplitudes, energies - energies[len(energies) // 2])


def stored_profile(line: Line, frames: Sequence[Atoms], keys: LabelKeys | None = None) -> Profile:
    """The frames of a file that lie on a line, with their energies; others are left out.

    Raises:
        DataError: fewer than three frames on the line, none of them at 0, or one without energy.
    """
    keys = LabelKeys() if keys is None else keys
    found: dict[float, float] = {}
    foreign = 0
    direction = line.direction - line.direction.mean(axis=0)  # a translation of everything is free
    if (direction**2).sum() < 1e-12:
        raise DataError(
            f"{line.name} moves all {len(line.atoms)} atoms of the cell alike, so frames along it cannot be "
            "told apart; take a larger cell"
        )
    for number, frame in enumerate(frames):
        if len(frame) != len(line.atoms) or (frame.numbers != line.atoms.numbers).any():
            foreign += 1
            continue
        moves = _moved(line.atoms, frame, f"frame {number}")
        moves -= moves.mean(axis=0)
        a = float((moves * direction).sum() / (direction**2).sum())
        if np.linalg.norm(moves - a * direction, axis=1).max() > _ASIDE:
            continue
        energy = read_reference(frame, keys, "the reference", number).energy
        if energy is None or not np.isfinite(energy):
            raise DataError(f"frame {number} of the reference has no energy ({keys.energy}, or ASE's energy)")
        found[a] = float(energy)
    amplitudes = np.array(sorted(found))
    if len(amplitudes) < 3 or abs(amplitudes).min() > _ASIDE:
        raise DataError(
            f"{len(amplitudes)} of {len(frames)} frames of the reference lie on the line ({line.name}) to "
            f"{_ASIDE} A; wanted 3 or more, one of them undisplaced"
            + (f". {foreign} are no {line.atoms.symbols} in this order of atoms" if foreign else "")
        )
    energies = np.array([found[a] for a in amplitudes])
    return Profile(amplitudes, energies - energies[int(abs(amplitudes).argmin())])


def compare_profiles(model: Profile, reference: Profile) -> dict[str, float]:
    """Errors in eV at the amplitudes of the reference within those of the model, and of the depth of the
    well.

    Raises:
        DataError: they have no amplitude in common.
    """
    x = reference.amplitudes
    inside = (x >= model.amplitudes[0] - 1e-9) & (x <= model.amplitudes[-1] + 1e-9)
    if not inside.any():
        raise DataError("the reference has no points within the amplitude")
    from scipy.interpolate import CubicSpline

    errors = CubicSpline(model.amplitudes, model.energies)(x[inside]) - reference.energies[inside]
    return {
        "mean": float(abs(errors).mean()),
        "largest": float(abs(errors).max()),
        "depth": model.minimum[1] - reference.minimum[1],
        "place": abs(model.minimum[0]) - abs(reference.minimum[0]),
    }


@picture
def plot_profiles(path: Path, series: Sequence[tuple[str, Profile]], title: str = "") -> bool:
    """One figure, the first series as a line, others as points. False, and nothing, without matplotlib."""
    figure = new_figure(4.6, 3.4)
    if figure is None:
        return False
    axes = figure.add_subplot()
    for k, (label, found) in enumerate(series):
        look: dict[str, Any] = {"lw": 1.4} if k == 0 else {"ls": "", "marker": "o", "ms": 4, "mfc": "none"}
        axes.plot(found.amplitudes, 1e3 * found.energies, color=COLOURS[k], label=label, **look)
    axes.axhline(0.0, color="0.7", lw=0.6, zorder=0)
    axes.set_xlabel("displacement / \u00c5")
    axes.set_ylabel("energy / meV")
    axes.set_title(title, fontsize=9)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=8)
    save_png(figure, path)
    return True


def _moved(atoms: Atoms, other: Atoms, name: str) -> NDArray:
    """Displacements [N, 3] from one to the other, the shortest."""
    if len(other) != len(atoms) or (other.numbers != atoms.numbers).any():
        raise DataError(f"{name} is {other.symbols}; wanted {atoms.symbols}, in the same order")
    if not np.allclose(other.cell.array, atoms.cell.array, atol=1e-3):
        raise DataError(f"{name} has another cell; wanted that of the structure")
    moves, _ = find_mic(other.positions - atoms.positions, atoms.cell, pbc=atoms.pbc)
    return np.asarray(moves)


def _normalised(moves: NDArray) -> NDArray:
    longest = np.linalg.norm(moves, axis=1).max()
    if longest < 1e-8:
        raise DataError("nothing moves along this line; is it a translation?")
    return moves / longest
