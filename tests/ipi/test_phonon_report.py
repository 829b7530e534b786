"""`hint ipi report`: whether i-PI's self-consistent phonons have converged, on files made by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("ipi", reason="needs i-PI: pip install '.[ipi]'")

from ase import Atoms
from ipi.utils.units import Elements
from reaction_runs import hint

from hint_plugin.errors import DataError
from ipi_driver.phonon_report import PER_HARTREE, read_report

ATOMS = Atoms("HF", [[0, 0, 0], [0, 0, 0.92]])
MASSES = np.repeat([float(Elements.mass(s)) for s in ("H", "F")], 3)
TEMPERATURE = 300 * 3.1668115634556e-06  # hartree
ALONG = np.array([[0, 0, 1.0], [0, 0, -1.0]]).ravel()
"""The stretch; all else is a translation or a turn."""


def files(folder, used, true, cubic=0.0, quartic=0.0, pull=0.0, structures=200, seed=0):
    """Iterations with force constants `used` of a bond whose own is `true` (hartree / bohr^2); what is
    beside it, and a constant `pull` that no centroid follows."""
    rng, root = np.random.default_rng(seed), np.sqrt(MASSES)
    mode = ALONG / root / np.linalg.norm(ALONG / root)
    for number, k in enumerate(used):
        constants = k * np.outer(ALONG, ALONG)
        omega = np.sqrt(mode @ (constants / np.outer(root, root)) @ mode)
        spread = 0.5 / omega / np.tanh(0.5 * omega / TEMPERATURE)  # <Q^2>
        inverse = np.outer(root * mode, root * mode) / spread
        drawn = rng.normal(size=structures // 2) * np.sqrt(spread)
        q = np.stack([drawn, -drawn], axis=1).ravel()
        x = q[:, None] * (mode / root)
        stretch = x @ ALONG
        force = -(true * stretch + cubic * stretch**2 + quartic * stretch**3) + pull
        frequencies = np.zeros(6)
        frequencies[-1] = omega
        for name, array in (
            ("q", np.zeros((1, 6))),
            ("x", x),
            ("f", force[:, None] * ALONG),
            ("K", constants),
            ("iD", inverse),
            ("w", frequencies),
        ):
            np.savetxt(folder / f"scp.sc.{name}.{number}", array)


def test_a_bond_that_agrees_with_itself(tmp_path):
    files(tmp_path, [0.60, 0.65, 0.65], true=0.65)
    found = read_report(tmp_path / "scp.sc", ATOMS)
    assert found.converged and found.last.number == 2
    reduced = 1 / (1 / MASSES[0] + 1 / MASSES[-1])
    assert found.last.used == pytest.approx([np.sqrt(0.65 / reduced) * PER_HARTREE], rel=1e-6)
    assert np.abs(found.last.change).max() < 1e-6  # harmonic forces have no noise
    start = found.iterations[0]
    assert start.wanted == pytest.approx(found.last.used, rel=1e-2) and start.unsettled.all()
    assert found.last.before == 400 and 300 < found.last.effective <= 400
    assert "converged: the 200 structures of iteration 2 agree" in found.why()


def test_what_still_moves_is_told_with_its_error(tmp_path):
    files(tmp_path, [0.60, 0.62], true=0.65, cubic=0.05)
    found = read_report(tmp_path / "scp.sc", ATOMS)
    assert not found.converged
    error = found.last.error[0]
    wanted = np.sqrt(0.65 / 0.62) * found.last.used[0]
    assert error > 1 and found.last.wanted[0] == pytest.approx(wanted, abs=4 * error)
    assert found.why().startswith("not converged: 1 of 1 modes are unsettled; mode 1 at ")
    assert found.scatter is None


def test_the_error_is_that_of_the_mean(tmp_path):
    """By what sixty runs of a quartic bond say; i-PI's pairs (x, -x) are no independent structures."""
    found, errors = [], []
    for seed in range(60):
        files(tmp_path, [0.65], true=0.6, quartic=0.3, structures=400, seed=seed)
        last = read_report(tmp_path / "scp.sc", ATOMS).last
        found.append(last.wanted[0])
        errors.append(last.error[0])
    reduced = 1 / (1 / MASSES[0] + 1 / MASSES[-1])
    omega = np.sqrt(0.65 / reduced)
    mean_square = 0.5 / omega / np.tanh(0.5 * omega / TEMPERATURE) / reduced
    exact = PER_HARTREE * np.sqrt((0.6 + 3 * 0.3 * mean_square) / reduced)  # <V''>
    assert np.mean(found) == pytest.approx(exact, abs=4 * np.std(found) / 60**0.5)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(found, ddof=1), rel=0.25)


def test_a_force_on_the_centroid_is_told(tmp_path):
    """The stretch agrees, and the mean does not: a cubic term pulls on it; so does a constant."""
    files(tmp_path, [0.65, 0.65], true=0.65, cubic=0.2)
    found = read_report(tmp_path / "scp.sc", ATOMS)
    assert abs(found.last.change[0]) < 1e-6 and abs(found.last.shift[0]) > 5 * found.last.shift_error[0]
    assert found.last.unsettled.all() and "the centroid would still move along mode 1 by" in found.why()
    for pull, converged in ((3e-3, False), (3e-4, True)):
        files(tmp_path, [0.65, 0.65], true=0.65, pull=pull)
        found, stretch = read_report(tmp_path / "scp.sc", ATOMS), np.loadtxt(tmp_path / "scp.sc.x.1") @ ALONG
        assert abs(found.last.shift[0]) == pytest.approx(pull / 0.65 / stretch.std(), rel=0.2)
        assert found.converged == converged


def test_the_start_alone_and_an_unstable_mode_are_no_result(tmp_path):
    files(tmp_path, [0.65], true=0.65)
    assert "there is the harmonic start alone" in read_report(tmp_path / "scp.sc", ATOMS).why()
    files(tmp_path, [0.1, 0.1], true=-0.1)
    found = read_report(tmp_path / "scp.sc", ATOMS)
    assert not found.converged and "cm^-1 is unstable by its structures" in found.why()


def test_files_that_do_not_fit(tmp_path):
    with pytest.raises(DataError, match="no iteration of self-consistent phonons has ended here"):
        read_report(tmp_path / "scp.sc", ATOMS)
    files(tmp_path, [0.65], true=0.65)
    with pytest.raises(DataError, match="not of the 3 atoms of the template"):
        read_report(tmp_path / "scp.sc", Atoms("H2O"))
    with pytest.raises(DataError, match="another order of atoms, or isotopes"):
        read_report(tmp_path / "scp.sc", Atoms("H2", [[0, 0, 0], [0, 0, 1]]))


def test_the_command(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ATOMS.write("start.xyz", format="extxyz")
    files(tmp_path, [0.60, 0.65, 0.65], true=0.65)
    code, text = hint(capfd, "ipi", "report", "--template", "start.xyz")
    assert code == 0 and "averaged over 400 structures of 2 iterations, which count as" in text
    assert "converged: the 200 structures" in text
    files(tmp_path, [0.60, 0.61, 0.62], true=0.65)
    code, text = hint(capfd, "ipi", "report", "--template", "start.xyz", "--results", "scp.sc", "--json")
    found = json.loads(text)
    assert code == 3 and not found["converged"] and found["scatter"][0] > 1
    assert found["averaged_over"]["structures"] == 400 and len(found["iterations"]) == 3
    code, text = hint(capfd, "ipi", "report")
    assert code == 2 and "hint ipi report needs --template" in text
