"""Elk and Quantum ESPRESSO, run here, against the same in Python."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase.units import Hartree, Rydberg, kB
from pdh_springs import write_pdh_with_springs

from hint_plugin.cli.app import main
from hint_plugin.science.superconductivity import (
    Eliashberg,
    Spectrum,
    continue_gap,
    gap_edge,
    read_a2f,
    read_force_constants,
    read_matrices,
    spectrum_tc,
)
from hint_plugin.science.superconductivity.lambda_x_files import read_lambda_input

PDH = Path(__file__).parents[1] / "data" / "pdh_elph"
SPECIES = Path("/usr/share/elk-lapw/species")
EXAMPLES = Path("/usr/share/doc/elk-lapw/examples/phonons-superconductivity")
needs_elk = pytest.mark.skipif(
    shutil.which("elk-lapw") is None or not SPECIES.is_dir(), reason="needs Elk: apt-get install elk-lapw"
)


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name} of Quantum ESPRESSO: apt-get install quantum-espresso")
    return found


def run(command: str, folder: Path, text: str = "") -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [command], input=text, cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


ELK = """tasks
  260

mustar
  {mu_star}

ntemp
  20

wplot
  2000 1 1
  0.0 1.0

avec
  1.0 0.0 0.0
  0.0 1.0 0.0
  0.0 0.0 1.0

scale
  5.0

sppath
  '{species}/'

atoms
  1
  'H.in'
  1
  0.0 0.0 0.0
"""


@needs_elk
def test_the_gap_of_elk(tmp_path):
    """Task 260 at Elk's cutoffs: gap within 1 %, Z, and the gap on the real axis."""
    w = np.linspace(-1.01e-4, 1.4e-3, 2000)  # Ha; 0 itself is not on it: Elk would divide by it
    a2f = np.where(w > 0, w**2, 0.0)
    a2f = a2f * (np.exp(-(((w - 6e-4) / 1e-4) ** 2)) + 0.6 * np.exp(-(((w - 1e-3) / 8e-5) ** 2)))
    a2f *= 1.2 / Spectrum.from_table(w, a2f).lam
    (tmp_path / "ALPHA2F.OUT").write_text(
        "".join(f"{x:18.10E}{y:18.10E}\n" for x, y in zip(w, a2f, strict=True))
    )
    (tmp_path / "elk.in").write_text(ELK.format(mu_star=0.12, species=SPECIES))
    run("elk-lapw", tmp_path)
    spectrum = read_a2f(tmp_path / "ALPHA2F.OUT").spectrum()
    theirs = np.loadtxt(tmp_path / "ELIASHBERG_GAP_T.OUT")
    real = np.loadtxt(tmp_path / "ELIASHBERG_GAP_RA.OUT").reshape(len(theirs), -1, 3)
    counts = re.findall(r"(phonons|Coulomb) :\s+(\d+)\n", (tmp_path / "ELIASHBERG.OUT").read_text())
    phonons, coulomb = ([int(n) for kind, n in counts if kind == which] for which in ("phonons", "Coulomb"))
    compared = 0
    for k, (temperature, gap, z) in enumerate(theirs):
        step = 2 * np.pi * kB * temperature
        # Elk's sums go over n = 0 .. N, the last one included
        solved = Eliashberg(spectrum, 0.12, (coulomb[k] + 1) * step, (phonons[k] + 1) * step)
        if gap < 1e-6:
            assert solved.tc < 1.02 * temperature
            continue
        mine = solved.gap(temperature)
        assert mine.gap[0] / Hartree == pytest.approx(gap, rel=0.01)
        assert mine.z[0] == pytest.approx(z, rel=5e-3)
        compared += 1
        if temperature > 0.7 * solved.tc:  # the points are too far apart: the continuation is uncertain
            continue
        axis, values = real[k, :, 0], real[k, :, 1] + 1j * real[k, :, 2]
        low = axis < 2 * gap
        continued = continue_gap(mine, axis[low] * Hartree, 4 * spectrum.omega_max) / Hartree
        assert continued == pytest.approx(values[low], abs=0.02 * gap)
        crossing = np.interp(0.0, axis[low] - values[low].real, axis[low])
        assert gap_edge(mine, 4 * spectrum.omega_max) / Hartree == pytest.approx(crossing, rel=0.01)
    assert compared >= 3


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="needs the examples of Debian's elk-lapw")
@pytest.mark.parametrize("name", ["Nb", "Al", "Pb", "MgB2"])
def test_the_examples_of_elk(name):
    """ALPHA2F.OUT against MCMILLAN.OUT: lambda, w_log, w_2 and Tc to 1e-6."""
    folder = EXAMPLES / f"{name}-DFPT"
    printed = re.findall(r":\s+(\d\S+)", (folder / "MCMILLAN.OUT").read_text())
    lam, omega_log, omega_2, mu_star, tc = map(float, printed)
    spectrum = read_a2f(folder / "ALPHA2F.OUT").spectrum()
    assert spectrum.lam == pytest.approx(lam, rel=1e-6)
    assert spectrum.omega_log / Hartree == pytest.approx(omega_log, rel=1e-6)
    assert spectrum.omega_2 / Hartree == pytest.approx(omega_2, rel=1e-6)
    assert spectrum_tc(spectrum, mu_star).allen_dynes == pytest.approx(tc, rel=1e-6)


def test_q2r_and_matdyn(tmp_path, capsys):
    """Other dynamical matrices through q2r.x and matdyn.x, and through `hint tc`: lambda and w_log."""
    q2r, matdyn = program("q2r.x"), program("matdyn.x")
    dyn = write_pdh_with_springs(tmp_path, 0.03)
    shutil.copytree(PDH / "elph_dir", tmp_path / "elph_dir")
    for path in list((tmp_path / "elph_dir").glob("a2Fq2r.54.*")):  # QE wants all ten broadenings
        for number in (51, 52, 53, *range(55, 61)):
            shutil.copy(path, path.with_name(path.name.replace(".54.", f".{number}.")))
    run(q2r, tmp_path, "&input\n fildyn='pdh.dyn', zasr='crystal', flfrc='pdh.fc', la2F=.true.\n/\n")
    run(
        matdyn,
        tmp_path,
        "&input\n flfrc='pdh.fc', asr='crystal', la2F=.true., dos=.true., nk1=8, nk2=8, nk3=8, ndos=60, "
        "el_ph_nsigma=1, fldos='dos'\n/\n",
    )
    words = (tmp_path / "lambda").read_text().split()
    lam, omega_log = float(words[words.index("0.0200") + 2]), float(words[words.index("[K]") + 1])
    with pytest.raises(SystemExit) as stop:
        main(
            ["tc", str(PDH / "elph_dir"), "--dyn", str(dyn), "--grid", "8", "8", "8", "--temperatures", "0"]
            + ["-o", str(tmp_path / "out"), "--json"]
        )
    assert not stop.value.code
    result = json.loads(capsys.readouterr().out)
    assert result["lambda"] == pytest.approx(lam, abs=6e-5)
    assert result["omega_log"] / kB == pytest.approx(omega_log, rel=2e-6)
    # the curve itself, by tetrahedra there: within what they differ from a sum over points
    theirs = read_a2f(tmp_path / "a2F.dos1").spectrum(leave_out=True)
    assert theirs.omega_2 == pytest.approx(result["omega_2"], rel=0.02)
    assert theirs.lam == pytest.approx(lam, rel=0.1)


def test_force_constants_of_q2r_and_of_the_files(tmp_path):
    """Frequencies between the q points: matdyn.x and Fourier interpolation in Python."""
    q2r, matdyn = program("q2r.x"), program("matdyn.x")
    dyn = write_pdh_with_springs(tmp_path, 0.03)
    run(q2r, tmp_path, "&input\n fildyn='pdh.dyn', zasr='crystal', flfrc='pdh.fc'\n/\n")
    points = np.array([[0.1, 0.2, 0.3], [0.5, 0.25, 0.0], [0.31, -0.44, 0.07]])  # 2 pi / alat
    listed = "\n".join(" ".join(map(str, q)) for q in points)
    run(
        matdyn,
        tmp_path,
        f"&input\n flfrc='pdh.fc', asr='crystal', flfrq='freq'\n/\n{len(points)}\n{listed}\n",
    )
    text = (tmp_path / "freq").read_text().split("/", 1)[1]
    theirs = np.array(text.split(), dtype=float).reshape(len(points), 9)[:, 3:]
    from hint_plugin.science.superconductivity.coupling_matrices import mode_couplings
    from hint_plugin.science.superconductivity.interpolation import interpolate, on_grid, without_translations

    matrices = read_matrices(PDH / "elph_dir")
    atoms, alat, constants = read_force_constants(dyn, matrices.q)
    cell = atoms.cell.array
    grid = without_translations(on_grid(matrices.q, constants, cell, alat))
    found = interpolate(grid, cell, atoms.positions, points @ cell.T / alat)
    modes = mode_couplings(np.broadcast_to(np.eye(6), found.shape), found, atoms.get_masses())
    assert modes.energies / Rydberg * 109737.316 == pytest.approx(theirs, abs=1e-3)


def test_lambda_x(tmp_path):
    """The sum over q points of the modes' lambda, unstable modes and all, as lambda.x makes it."""
    command = program("lambda.x")
    shutil.copytree(PDH / "elph_dir", tmp_path / "elph_dir")
    names = "\n".join(f"elph_dir/elph.inp_lambda.{k}" for k in (1, 2, 3))
    text = f"20 0.12 1\n3\n0 0 0 1\n.5 -.5 .5 4\n0 -1 0 3\n{names}\n0.10\n"
    (tmp_path / "lambda.in").write_text(text)
    said = run(command, tmp_path, text)
    printed = {float(b): float(x) for x, b in re.findall(r"lambda =\s*(\S+) .*degauss=\s*(\S+)", said)}
    for broadening in (0.015, 0.02, 0.05):
        found = read_lambda_input(tmp_path / "lambda.in", broadening)
        assert (found.weights @ found.lambdas).sum() == pytest.approx(printed[broadening], abs=2e-6)


def test_the_a2f_of_lambda_x(tmp_path):
    """alpha2F.dat of a stable crystal: lambda.x's curve has the lambda of its modes."""
    command = program("lambda.x")
    head = f"{0.5:19.6f}{-0.5:14.6f}{0.5:14.6f}{1:6d}{2:6d}\n  0.100000E-05  0.300000E-05\n"
    part = "     Gaussian Broadening:   0.020 Ry, ngauss=   0\n"
    part += "     DOS =  3.535184 states/spin/Ry/Unit Cell at Ef= 16.877487 eV\n"
    part += (
        "     lambda(    1)=  0.5000   gamma=    1.00 GHz\n     lambda(    2)=  0.3000   gamma=    1.00 GHz\n"
    )
    (tmp_path / "one").write_text(head + part)
    (tmp_path / "lambda.in").write_text("20 0.12 0\n1\n0.5 -0.5 0.5 1\none\n0.10\n")
    run(command, tmp_path, (tmp_path / "lambda.in").read_text())
    curve = read_a2f(tmp_path / "alpha2F.dat").spectrum()
    lines: Spectrum = read_lambda_input(tmp_path / "lambda.in").spectrum()
    assert lines.lam == pytest.approx(0.8)
    assert curve.lam == pytest.approx(0.8, rel=2e-3)
    assert curve.omega_log == pytest.approx(lines.omega_log, rel=2e-3)
