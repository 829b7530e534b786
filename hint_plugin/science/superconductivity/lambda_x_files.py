"""ph.x's couplings of the modes, summed as lambda.x does: its input, and the files that the input names.

    emax degaussq ngaussq          (not needed: nothing is broadened)
    number of q points
    qx qy qz weight                (a line for each)
    elph_dir/elph.inp_lambda.1     (a line for each)
    mu*                            (not read)

The files (also `PREFIX.dyn.elph.N` of electron_phonon = 'simple') hold w^2 in Ry^2 and, for each broadening,
lambda_qv and gamma_qv.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from ase.units import Rydberg
from numpy.typing import NDArray

from hint_plugin.data.formats.common import reading
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.superconductivity.mode_couplings import ModeCouplings


def is_lambda_input(path: Path) -> bool:
    """Does a file look like lambda.x's input: three numbers, a count, and as many lines of four numbers?"""
    try:
        lines = [line.split("!")[0].split() for line in path.read_text(errors="replace").splitlines()[:3]]
        return len(lines[0]) == 3 and len(lines[1]) == 1 and len(lines[2]) == 4 and lines[1][0].isdigit()
    except (OSError, IndexError):
        return False


def read_lambda_input(path: Path, broadening: float | None = None) -> ModeCouplings:
    """w_qv and lambda_qv of all q points.

    Args:
        path: lambda.x's input; the files in it are relative to its folder.
        broadening: Ry; may be left out if there is only one.

    Raises:
        DataError: a file is missing or damaged, of another number of modes or another q point than its line,
            or named twice; a weight that is not > 0.
        OptionsError: no such broadening, or none chosen of several.
    """
    with reading(path, wanted="the input of lambda.x"):
        lines = [line.split("!")[0].strip() for line in path.read_text().splitlines()]
        count = int(lines[1])
        rows = np.array([[float(word) for word in line.split()[:4]] for line in lines[2 : 2 + count]])
        weights = rows[:, 3]
        names = lines[2 + count : 2 + 2 * count]
        if len(weights) != count or len(names) != count or not all(names):
            raise ValueError(
                f"{count} q points are announced, {len(weights)} weights and {len(names)} files are there"
            )
    _check_list(path, rows, names)
    files = [read_mode_file(path.parent / name) for name in names]
    known = sorted(set.intersection(*(set(couplings) for _, couplings in files)))
    if broadening is None and len(known) == 1:
        broadening = known[0]
    if broadening is None or not any(abs(b - broadening) < 1e-8 for b in known):
        got = "none was chosen" if broadening is None else f"got {broadening:g}"
        raise OptionsError(
            f"{path} has the broadenings {', '.join(f'{b:g}' for b in known)} Ry; {got}; give one of these"
        )
    key = min(known, key=lambda b: abs(b - broadening))
    if len({len(energies) for energies, _ in files}) != 1:
        raise DataError(f"{path}: its files have different numbers of modes. Are they of one run?")
    energies = np.array([energies for energies, _ in files])
    lambdas = np.array([couplings[key] for _, couplings in files])
    return ModeCouplings(energies, lambdas, weights / weights.sum())


def _check_list(path: Path, rows: NDArray, names: list[str]) -> None:
    """Raises DataError where a weight cannot be, or the files are not those of the q points,
    in their order."""
    if not (np.isfinite(rows).all() and (rows[:, 3] > 0).all()):
        bad = int(np.argmin(np.isfinite(rows).all(axis=1) & (rows[:, 3] > 0)))
        raise DataError(
            f"{path}, line {bad + 3}: the weight {rows[bad, 3]:g} of a q point; wanted how many points its "
            "star has, > 0"
        )
    files = [path.parent / name for name in names]
    seen: dict[Path, int] = {}
    for number, file in enumerate(files):
        first = seen.setdefault(file.resolve(), number)
        if first != number:
            raise DataError(
                f"{path}: {names[number]} is named for the q points {first + 1} and {number + 1}; wanted a "
                "file of its own for each"
            )
    points = rows[:, :3]
    theirs = np.array([_q_of(file) for file in files])
    for number, (point, own) in enumerate(zip(points, theirs, strict=True)):
        if _same_q(point, own):
            continue
        elsewhere = [k for k in range(len(points)) if _same_q(points[k], own)]
        same_star = abs(np.linalg.norm(point) - np.linalg.norm(own)) < _Q
        if elsewhere or not same_star:
            belongs = f", which is q point {elsewhere[0] + 1} of the list" if elsewhere else ""
            raise DataError(
                f"{path}: {names[number]} is of q = {own}{belongs}, and stands for q point {number + 1}, "
                f"{point}. Wanted the files in the order of the q points, and the q of each file (its first "
                "line) in the list"
            )
    for number, own in enumerate(theirs):
        again = [k for k in range(number) if _same_q(theirs[k], own)]
        if again:
            raise DataError(
                f"{path}: {names[again[0]]} and {names[number]} are both of q = {own}; wanted each star once"
            )


_Q = 2e-3  # 2 pi / alat: lists are typed with three digits


def _same_q(one: NDArray, other: NDArray) -> bool:
    """Up to the sign: time reversal makes q and -q equal."""
    return bool(min(np.abs(one - other).max(), np.abs(one + other).max()) < _Q)


def _q_of(path: Path) -> NDArray:
    """The q point in the first line of `elph.inp_lambda.N`."""
    if not path.is_file():
        raise DataError(f"{path}: no such file, and the input of lambda.x names it")
    with reading(path, wanted="lambda_qv of ph.x (elph.inp_lambda.N)"):
        with open(path, encoding="utf-8") as handle:
            words = handle.readline().split()
        return np.array([float(words[k]) for k in range(3)])


def read_mode_file(path: Path) -> tuple[NDArray, dict[float, NDArray]]:
    """Energies [3n] in eV (negative: imaginary), and lambda_qv [3n] for each broadening (Ry).

    Raises:
        DataError: missing or damaged.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file, and the input of lambda.x names it")
    with reading(path, wanted="lambda_qv of ph.x (elph.inp_lambda.N)"):
        text = path.read_text()
        head, *parts = re.split(r"Gaussian Broadening:", text)
        words = head.split()
        n_sigma, n_modes = int(words[3]), int(words[4])
        squares = np.array(words[5 : 5 + n_modes], dtype=float)
        couplings = {}
        for part in parts:
            values = re.findall(r"lambda\(\s*\d+\)=\s*(\S+)", part)
            couplings[float(part.split()[0])] = np.array(values, dtype=float)
        if (
            len(parts) != n_sigma
            or len(squares) != n_modes
            or any(len(v) != n_modes for v in couplings.values())
        ):
            raise ValueError(f"{n_sigma} broadenings of {n_modes} modes are announced, and not all are there")
        return np.sign(squares) * np.sqrt(np.abs(squares)) * Rydberg, couplings
