"""Quantum ESPRESSO: frequencies and force constants that it prints itself, from the label; pw.x's numbers."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.units import Bohr, Rydberg, _amu, _c, _e

from hint_plugin.data import read_frames, read_label
from hint_plugin.data.formats.qe_dyn import read_file
from hint_plugin.data.formats.qe_lattice import lattice
from hint_plugin.errors import DataError

QE = Path(__file__).parents[1] / "data" / "formats" / "qe"
TO_CM = np.sqrt(_e * 1e20 / _amu) / (2 * np.pi * 100 * _c)  # of sqrt(eV/A^2/amu)


def frequencies(matrix: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """cm^-1, imaginary ones negative, of a Hermitian [3N, 3N] in eV/A^2."""
    weights = np.repeat(masses, 3) ** -0.5
    squared = np.linalg.eigvalsh(weights[:, None] * matrix * weights)
    return np.sign(squared) * np.sqrt(np.abs(squared)) * TO_CM


def at_q(hessian: np.ndarray, supercell, n: int, q: np.ndarray) -> np.ndarray:
    """C(q) = sum_R Phi(0i, Rj) exp(i q.R) from the first rows of a label; q in 1/A."""
    places = supercell.positions[::n] - supercell.positions[0]
    blocks = hessian[: 3 * n].reshape(3 * n, len(places), 3 * n)
    return np.einsum("arb,r->ab", blocks, np.exp(1j * places @ q))


@pytest.mark.parametrize("rows", [False, True])
def test_frequencies_of_the_dyn_files_come_back(rows: bool) -> None:
    """PdH, 2 x 2 x 2: unstable at Gamma, L and X."""
    [atoms] = read_frames(QE / "pdh.dyn0", rows=rows)
    label = read_label(atoms)
    assert label is not None and label.kind == ("rows" if rows else "full") and len(atoms) == 16
    lowest = []
    for number in (1, 2, 3):
        file = read_file(QE / f"pdh.dyn{number}")
        for q in file.q:  # every member of the star
            matrix = at_q(label.hessian, atoms, 2, 2 * np.pi * q / file.alat)
            found = frequencies(matrix, file.atoms.get_masses())
            np.testing.assert_allclose(found, np.sort(file.frequencies), atol=1e-3)
        lowest.append(found[0])
    np.testing.assert_allclose(lowest, [-170.9, -206.5, -199.3], atol=0.1)
    broken = (2.58770e-3 - 1.65280e-3) * Rydberg / Bohr**2  # of Pd in pdh.dyn1
    assert atoms.info["hint_acoustic_sum"] == pytest.approx(broken, rel=1e-4)


def test_the_label_is_that_of_a_crystal() -> None:
    """Symmetric, the same from every cell; masses and geometry of the files."""
    [atoms] = read_frames(QE / "pdh.dyn0")
    hessian = read_label(atoms).hessian
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-8)
    [first] = read_frames(QE / "pdh.dyn0", rows=True)
    np.testing.assert_allclose(read_label(first).hessian, hessian[:6], atol=1e-12)
    a = 7.88 * Bohr
    assert atoms.get_volume() == pytest.approx(8 * a**3 / 4)
    distances = atoms.get_distances(0, range(1, 16, 2), mic=True)
    assert distances.min() == pytest.approx(a / 2)
    np.testing.assert_allclose(atoms.get_masses()[:2], [106.42, 1.00794], rtol=1e-3)


def test_force_constants_equal_those_of_q2r() -> None:
    """NaCl along one axis, where Phi(0, R) and Phi(0, -R) differ. q2r.x keeps Phi(R i, 0 j)."""
    [atoms] = read_frames(QE / "nacl" / "nacl.dyn0")
    hessian = read_label(atoms).hessian
    lines = (QE / "nacl" / "nacl.fc").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.split() == ["4", "1", "1"]) + 1
    found = hessian.reshape(4, 2, 3, 4, 2, 3)
    differs = 0.0
    for block in range(36):
        a, b, i, j = (int(word) - 1 for word in lines[start + 5 * block].split())
        for line in lines[start + 5 * block + 1 : start + 5 * block + 5]:
            cell, value = int(line.split()[0]) - 1, float(line.split()[3]) * Rydberg / Bohr**2
            assert found[cell, i, a, 0, j, b] == pytest.approx(value, abs=1e-6)
            differs = max(differs, abs(found[0, i, a, cell, j, b] - value))
    assert differs > 0.1  # the other direction would not do


def test_one_file_of_gamma_is_the_primitive_cell() -> None:
    [atoms] = read_frames(QE / "pdh.dyn1", only_this_file=True)
    assert len(atoms) == 2
    found = frequencies(read_label(atoms).hessian, atoms.get_masses())
    np.testing.assert_allclose(found, [-170.9378] * 3 + [13.0532] * 3, atol=1e-3)
    with pytest.raises(DataError, match=r"pdh.dyn3: one star of a grid"):
        read_frames(QE / "pdh.dyn3", only_this_file=True)


def test_incomplete_grids(tmp_path: Path) -> None:
    for name in ("pdh.dyn0", "pdh.dyn1", "pdh.dyn2", "pdh.dyn3"):
        shutil.copy(QE / name, tmp_path / name)
    text = (QE / "pdh.dyn3").read_text()
    (tmp_path / "pdh.dyn3").write_text(text[: text.index("Diagonalizing") - 3000])
    with pytest.raises(DataError, match=r"pdh.dyn3.*dynamical matrices of ph.x"):
        read_frames(tmp_path / "pdh.dyn0")
    second = [m.start() for m in re.finditer("Dynamical  Matrix", text)][1]
    (tmp_path / "pdh.dyn3").write_text(text[:second])
    with pytest.raises(DataError, match=r"pdh.dyn0: 2 q points of the grid \(2, 2, 2\) are missing"):
        read_frames(tmp_path / "pdh.dyn0")
    (tmp_path / "pdh.dyn3").unlink()
    with pytest.raises(DataError, match=r"the set lacks pdh.dyn3, and pdh.dyn0 announces 3"):
        read_frames(tmp_path / "pdh.dyn0")
    (tmp_path / "pdh.dyn0").write_text("3 3 3\n3\n")
    shutil.copy(QE / "pdh.dyn3", tmp_path / "pdh.dyn3")
    with pytest.raises(DataError, match=r"is not on the grid \(3, 3, 3\)"):
        read_frames(tmp_path / "pdh.dyn0")


@pytest.mark.parametrize("ibrav", [1, 2, 3, -3, 4, 5, -5, 6, 7, 8, 9, -9, 91, 10, 11, 12, -12, 13, -13, 14])
def test_lattices_have_the_symmetry_and_volume_of_their_system(ibrav: int) -> None:
    a, b, c, u, v, w = 8.0, 1.3, 1.7, 0.2, 0.15, 0.1
    cell = lattice(ibrav, [a, b, c, u, v, w]) / (a * Bohr)
    volumes = {
        1: 1.0, 2: 1 / 4, 3: 1 / 2, -3: 1 / 2, 4: c * np.sqrt(3) / 2, 6: c, 7: c / 2, 8: b * c, 9: b * c / 2,
        -9: b * c / 2, 91: b * c / 2, 10: b * c / 4, 11: b * c / 4 * 2, 12: b * c * np.sqrt(1 - u**2),
        -12: b * c * np.sqrt(1 - v**2), 13: b * c / 2 * np.sqrt(1 - u**2), -13: b * c / 2 * np.sqrt(1 - v**2),
        5: (1 - u) * np.sqrt(1 + 2 * u), -5: (1 - u) * np.sqrt(1 + 2 * u),
        14: b * c * np.sqrt(1 + 2 * u * v * w - u**2 - v**2 - w**2),
    }  # fmt: skip
    assert np.linalg.det(cell) == pytest.approx(volumes[ibrav])
    if abs(ibrav) == 5:
        np.testing.assert_allclose(cell @ cell.T, np.full((3, 3), u) + (1 - u) * np.eye(3), atol=1e-12)
    if ibrav == 14:
        lengths = [1, b, c]
        cosines = np.array([[1, w, v], [w, 1, u], [v, u, 1]])
        np.testing.assert_allclose(cell @ cell.T, np.outer(lengths, lengths) * cosines, atol=1e-12)
    with pytest.raises(ValueError, match="ibrav = 99"):
        lattice(99, [a, b, c, u, v, w])


def test_pw_output_in_its_own_numbers() -> None:
    [atoms] = read_frames(QE / "pw.out")
    text = (QE / "pw.out").read_text()
    energy = float(re.search(r"!\s+total energy\s+=\s+(\S+)", text)[1])
    assert atoms.info["REF_energy"] == pytest.approx(
        energy * Rydberg, rel=1e-6
    )  # ASE's reader has a Rydberg of 2006
    rows = re.findall(r"atom\s+\d+ type\s+\d+\s+force =\s+(\S+)\s+(\S+)\s+(\S+)", text)
    forces = np.array(rows[: len(atoms)], dtype=float) * Rydberg / Bohr
    np.testing.assert_allclose(atoms.arrays["REF_forces"], forces, rtol=1e-6, atol=1e-7)
    pressure = float(re.search(r"P=\s*(\S+)", text)[1])  # kbar; the stress of ASE is -P
    trace = atoms.info["REF_stress"][:3].sum() / 3
    assert trace == pytest.approx(-pressure * 6.241509e-4, rel=1e-3)
    assert atoms.info["hint_engine_version"].startswith("6.7")
    assert atoms.pbc.all() and list(atoms.symbols) == ["Pd", "H"]


def test_two_runs_of_pw_in_one_file_are_refused(tmp_path: Path) -> None:
    text = (QE / "pw.out").read_text()
    (tmp_path / "two.out").write_text(text + text)
    with pytest.raises(DataError, match="two.out: outputs of 2 runs of pw.x in one file"):
        read_frames(tmp_path / "two.out")


def test_pw_output_that_is_no_label(tmp_path: Path) -> None:
    text = (QE / "pw.out").read_text()
    path = tmp_path / "pw.out"
    path.write_text(text[: text.index("!    total energy")])
    with pytest.raises(DataError, match=r"pw.out"):
        read_frames(path)
    path.write_text(
        text.replace("convergence has been achieved", "convergence NOT achieved after 100 iterations:")
    )
    with pytest.raises(DataError, match=r"pw.out: the SCF has not converged"):
        read_frames(path)
