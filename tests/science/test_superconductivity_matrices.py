"""Electron-phonon matrices recombined with force constants: QE's own numbers, isotopes, bad input."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.units import Rydberg, kB
from pdh_springs import DYN, write_pdh_with_springs

from hint_plugin.cli.app import main
from hint_plugin.data.formats.fortran import glued_numbers
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.superconductivity import (
    broadenings,
    isotope_exponent,
    mode_couplings,
    read_force_constants,
    read_matrices,
)
from hint_plugin.science.superconductivity.energy_units import EV
from hint_plugin.science.superconductivity.interpolation import (
    dense_grid,
    grid_of,
    interpolate,
    on_grid,
    weights_of,
)
from hint_plugin.science.superconductivity.isotopes import Isotope
from hint_plugin.science.superconductivity.lambda_x_files import read_mode_file
from hint_plugin.science.superconductivity.sources import SourceOptions, read_cases

DATA = Path(__file__).parents[1] / "data"
ELPH = DATA / "pdh_elph" / "elph_dir"
SPRING = 0.03  # Ry/bohr^2 on H: makes PdH stable
RY_PER_BOHR2 = 48.5868  # eV/A^2


def pdh(spring: float = SPRING):
    """Matrices, atoms, alat, force constants with H held by a spring."""
    matrices = read_matrices(ELPH)
    atoms, alat, constants = read_force_constants(DYN, matrices.q)
    constants[:, [3, 4, 5], [3, 4, 5]] += spring * RY_PER_BOHR2
    return matrices, atoms, alat, constants


def test_lambda_of_every_mode_as_ph_x_prints_it():
    """At L and X, in sums over degenerate modes: ph.x's last digits, and its linewidths in GHz."""
    assert broadenings(ELPH) == {0.02: 54}
    matrices, atoms, _, constants = pdh(spring=0.0)
    found = matrices.couplings(constants, atoms.get_masses())
    for first, number, groups in ((1, 2, ([0, 1], [2, 3], [4], [5])), (5, 3, ([0, 1], [2, 3], [4], [5]))):
        energies, couplings = read_mode_file(ELPH / f"elph.inp_lambda.{number}")
        assert found.energies[first] == pytest.approx(energies, abs=2e-4 * EV["cm-1"] * 100)
        for group in groups:
            expected = couplings[0.02][group].sum()
            assert found.lambdas[first][group].sum() == pytest.approx(expected, abs=1.1e-4)
    text = (ELPH / "elph.inp_lambda.2").read_text().split("0.020 Ry")[1].split("Gaussian")[0]
    gamma = [float(x) for x in re.findall(r"gamma=\s*(\S+) GHz", text)]
    width = (
        np.pi * matrices.density_of_states * np.abs(found.lambdas[1]) * (found.energies[1] / Rydberg) ** 2
    )  # Ry
    assert width.sum() * Rydberg / EV["THz"] * 1e3 == pytest.approx(sum(gamma), rel=1e-3)


def test_interpolated_lambda_as_matdyn_x_has_it():
    """The file `lambda` of matdyn.x, 20 x 20 x 20, asr = crystal, broadening 0.02: 2.8839 and 83.2818 K."""
    matrices, atoms, alat, constants = pdh(spring=0.0)
    found = matrices.interpolated(constants, atoms, alat, (20, 20, 20))
    kept = found.energies > 1e-5 * Rydberg  # as matdyn.x
    weighted = np.where(kept, found.lambdas, 0.0) / len(found.weights)
    logs = np.log(np.where(kept, found.energies, 1.0))
    assert weighted.sum() == pytest.approx(2.8839, abs=6e-5)
    assert np.exp((weighted * logs).sum() / weighted.sum()) / kB == pytest.approx(83.2818, abs=6e-5)


def test_files_in_units_of_another_lattice_constant(tmp_path):
    """CellConstructor's unit is the length of a primitive vector; q points are the same."""
    pytest.importorskip("cellconstructor", reason="needs CellConstructor: pip install '.[sscha]'")
    from hint_plugin.science.anharmonic import read_dynamical_matrices
    from hint_plugin.science.anharmonic.dynamical_matrix_files import write_dynamical_matrices

    matrices, _, alat, constants = pdh(spring=0.0)
    write_dynamical_matrices(tmp_path / "other.dyn", read_dynamical_matrices(DYN))
    header = (tmp_path / "other.dyn1").read_text().splitlines()[2]
    assert float(header.split()[3]) == pytest.approx(7.88 / 2**0.5)
    _, found, again = read_force_constants(tmp_path / "other.dyn0", matrices.q)
    assert found == pytest.approx(alat, rel=1e-6)
    assert again == pytest.approx(constants, abs=1e-5)
    with pytest.raises(DataError, match=r"no matrix at q = \[0.3 0.  0. \]"):
        read_force_constants(tmp_path / "other.dyn0", [[0.3, 0.0, 0.0]])


def test_interpolation_meets_the_grid():
    matrices, atoms, alat, constants = pdh()
    cell = atoms.cell.array
    grid = on_grid(matrices.q, constants, cell, alat)
    assert grid.shape == (2, 2, 2, 6, 6)
    again = interpolate(grid, cell, atoms.positions, dense_grid((2, 2, 2)))
    assert again == pytest.approx(grid.reshape(8, 6, 6), abs=1e-10)


def test_the_trace_formula_and_the_isotope_theorem():
    """sum_v lambda_qv = Tr[Lambda C^-1], for any masses; all masses times 4 halve every frequency."""
    matrices, atoms, _, constants = pdh()
    light = matrices.couplings(constants, atoms.get_masses())
    heavy = matrices.couplings(constants, [106.42, 3.016])
    trace = np.einsum("qij,qji->q", matrices.coupling, np.linalg.inv(constants)).real
    assert light.lambdas.sum(axis=1) == pytest.approx(trace, rel=1e-9)
    assert heavy.lambdas.sum(axis=1) == pytest.approx(trace, rel=1e-9)
    all_heavier = matrices.couplings(constants, 4 * atoms.get_masses())
    assert all_heavier.energies == pytest.approx(light.energies / 2)


def test_deuterium(tmp_path, capsys):
    """Harmonically, lambda stays and Tc falls: 0 < alpha < 1/2; other force constants may turn it."""
    stiff, soft = (
        write_pdh_with_springs(tmp_path / "a", SPRING),
        write_pdh_with_springs(tmp_path / "b", 0.6 * SPRING),
    )
    arguments = [
        "tc",
        str(ELPH),
        "--dyn",
        str(stiff),
        "-o",
        str(tmp_path / "o"),
        "--temperatures",
        "3",
        "--json",
    ]
    arguments += ["--grid", "6", "6", "6", "--isotope", "H=2.014", "--isotope", f"H=2.014,{soft}"]
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert not stop.value.code
    result = json.loads(capsys.readouterr().out)
    light, heavy, softer = result["isotopes"]
    assert [words for words in result["warnings"] if f"{soft}, were made with a mass of 1.008 amu" in words]
    for path in soft.parent.glob("pdh.dyn[1-9]"):  # tritium's, for deuterium
        path.write_text(re.sub(r"('H\s*'\s*)\S+", rf"\g<1>{3.016 * 911.4442431}", path.read_text()))
    with pytest.raises(OptionsError, match="H=2.014: the H of .* has a mass of 3.016 amu. Wanted"):
        read_cases(ELPH, SourceOptions(stiff, grid=(0, 0, 0)), [Isotope("H", 2.014, soft)])
    read_cases(ELPH, SourceOptions(stiff, grid=(0, 0, 0)), [Isotope("H", 3.016, soft)])
    assert [light["name"], heavy["name"]] == ["PdH", "H 2.014"]
    assert heavy["lambda"] == pytest.approx(light["lambda"], rel=1e-4)
    alpha = heavy["results"][0]["isotope_exponent"]
    assert 0.0 < alpha < 0.5
    pair = [one["results"][0]["eliashberg"] for one in (light, heavy)]
    assert alpha == pytest.approx(isotope_exponent(pair, (1.00794, 2.014)), rel=1e-4)
    assert softer["results"][0]["isotope_exponent"] < alpha
    for one in (light, heavy, softer):  # every isotope has its gap, which closes at its own Tc
        table, tc = one["gap"]["table"], one["results"][0]["eliashberg"]
        assert len(table) == 3 and one["gap"]["tc"] == pytest.approx(tc)
        assert table[-1]["temperature"] == pytest.approx(tc) and table[-1]["gap"] == 0.0
        assert 3.4 < one["gap"]["ratio"] < 4.5
    rows = (tmp_path / "o" / "gap.csv").read_text().splitlines()
    assert rows[0].startswith("isotope,temperature,gap") and len(rows) == 10
    assert [row.split(",")[0] for row in rows[1::3]] == ["PdH", "H 2.014", "H 2.014 (2)"]


def test_phonons_of_another_crystal_are_refused(tmp_path):
    """Of --dyn against what ph.x left beside elph_dir, and of the files of isotopes."""
    for path in ELPH.iterdir():
        (tmp_path / "elph_dir").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "elph_dir")
    mine = write_pdh_with_springs(tmp_path, SPRING)
    other = write_pdh_with_springs(tmp_path / "other", SPRING)
    for path in other.parent.glob("pdh.dyn[1-9]"):
        path.write_text(path.read_text().replace("'Pd", "'Ni"))
    options = SourceOptions(dyn=other, grid=(0, 0, 0), leave_out=True)
    with pytest.raises(DataError, match=r"is of NiH; wanted PdH, .*pdh.dyn1, beside .*elph_dir"):
        read_cases(tmp_path / "elph_dir", options)
    read_cases(tmp_path / "elph_dir", replace(options, dyn=mine))
    with pytest.raises(DataError, match=r"other.pdh.dyn0 is of NiH; wanted PdH"):
        read_cases(tmp_path / "elph_dir", replace(options, dyn=mine), [Isotope("H", 2.014, other)])


def test_an_unstable_crystal_is_refused():
    matrices, atoms, alat, constants = pdh(spring=0.0)
    found = matrices.couplings(constants, atoms.get_masses())
    with pytest.raises(DataError, match=r"35.4 % of the modes are imaginary \(to 206.5i cm\^-1\)"):
        found.spectrum()
    kept = found.spectrum(leave_out=True)
    assert "imaginary" in kept.left_out[0] and kept.lam > 0
    assert matrices.interpolated(constants, atoms, alat, (3, 3, 3)).spectrum(leave_out=True).left_out


# --- bad input ---


def copies(folder: Path) -> tuple[Path, Path]:
    shutil.copytree(ELPH, folder / "elph_dir")
    for path in DYN.parent.glob("pdh.dyn*"):
        shutil.copy(path, folder)
    return folder / "elph_dir", folder / "pdh.dyn0"


def test_missing_files(tmp_path):
    elph, dyn = copies(tmp_path)
    (tmp_path / "pdh.dyn3").unlink()
    with pytest.raises(DataError, match=r"the set lacks pdh.dyn3, and pdh.dyn0 announces 3"):
        read_force_constants(dyn, read_matrices(elph).q)
    shutil.copy(DYN.parent / "pdh.dyn3", tmp_path)
    (elph / "a2Fq2r.54.3").unlink()
    matrices = read_matrices(elph)
    atoms, alat, constants = read_force_constants(dyn, matrices.q)
    with pytest.raises(DataError, match=r"3 q points of the grid \(2, 2, 2\) are missing"):
        matrices.interpolated(constants, atoms, alat, (4, 4, 4))
    shutil.copy(ELPH / "a2Fq2r.54.3", elph)
    (elph / "a2Fq2r.54.2").unlink()
    with pytest.raises(DataError, match="one is missing"):
        read_matrices(elph)
    with pytest.raises(DataError, match="no files a2Fq2r"):
        read_matrices(tmp_path)
    with pytest.raises(DataError, match="no such file, nor"):
        read_force_constants(tmp_path / "other.dyn0", matrices.q)
    (tmp_path / "other.dyn1.xml").write_text("<?xml")
    with pytest.raises(DataError, match="XML are not read"):
        read_force_constants(tmp_path / "other.dyn", matrices.q)


def test_damaged_files(tmp_path):
    elph, dyn = copies(tmp_path)
    q = read_matrices(elph).q
    text = (tmp_path / "pdh.dyn2").read_text()
    only_imaginary = re.sub(
        r"(\d)\n    1    2\n  0.00000000  -0.0", r"\1\n    1    2\n  0.00000000  -9.0", text
    )
    assert only_imaginary != text
    (tmp_path / "pdh.dyn2").write_text(only_imaginary)
    with pytest.raises(DataError, match="not Hermitian"):
        read_force_constants(dyn, q)
    (tmp_path / "pdh.dyn2").write_text(text[:2000])
    with pytest.raises(DataError, match="cannot be read"):
        read_force_constants(dyn, q)
    whole = (elph / "a2Fq2r.54.2").read_text()
    (elph / "a2Fq2r.54.2").write_text(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        read_matrices(elph)
    (elph / "a2Fq2r.54.2").write_text(whole.replace("3.5351842178391299", "3.6"))
    with pytest.raises(DataError, match="different densities of states"):
        read_matrices(elph)


def test_each_star_once(tmp_path):
    """Of the q points of the files, and interpolated: a star that is missing, or there twice, is no grid."""
    elph, _ = copies(tmp_path)
    dyn = write_pdh_with_springs(tmp_path / "stable", SPRING)
    options = {none: SourceOptions(dyn, grid=(0, 0, 0) if none else (4, 4, 4)) for none in (True, False)}
    whole = read_cases(elph, options[True])[0].spectrum.lam
    for count, says in ((1, "3 q points of the grid"), (2, "7 q points of the grid")):
        (elph / f"a2Fq2r.54.{4 - count}").unlink()
        for one in options.values():
            with pytest.raises(DataError, match=f"of 2 x 2 x 2 q points, are not of one grid: {says}"):
                read_cases(elph, one)
    dyn.unlink()  # without it the grid is that of the matrices
    with pytest.raises(DataError, match="of 2 x 2 x 2 q points, are not of one grid"):
        read_cases(elph, replace(options[True], dyn=dyn.parent / "pdh.dyn"))
    for number in (2, 3):
        shutil.copy(ELPH / f"a2Fq2r.54.{number}", elph)
    found = read_cases(elph, replace(options[True], dyn=dyn.parent / "pdh.dyn"))[0].spectrum.lam
    assert found == pytest.approx(whole)
    shutil.copy(ELPH / "a2Fq2r.54.2", elph / "a2Fq2r.54.4")
    with pytest.raises(
        DataError, match=r"54.4 has q = .*, which a2Fq2r.54.2 has, too; wanted each star once"
    ):
        read_matrices(elph)


def test_a_q_point_counts_for_itself_and_its_negative():
    """A q point without its negative stands for both; shifted by a reciprocal vector it is the same."""
    matrices, atoms, alat, _ = pdh()
    assert matrices.grid_weights(atoms.cell, alat) == pytest.approx(np.full(8, 1 / 8))
    cell, q = np.eye(3), np.array([[0.0, 0, 0], [1 / 3, 0, 0]])
    assert weights_of(*grid_of(q, cell, 1.0)) == pytest.approx([1 / 3, 2 / 3])
    with pytest.raises(DataError, match="is there 2 times"):
        grid_of(np.array([*q, [4 / 3, 0, 0]]), cell, 1.0)
    with pytest.raises(DataError, match="of a grid 3 x 1 x 1; wanted those of 2 x 1 x 1"):
        grid_of(q, cell, 1.0, (2, 1, 1))


def test_numbers_with_exponents(tmp_path):
    """As another program may rewrite the matrices; what is no number is an error."""
    elph, _ = copies(tmp_path)
    path = elph / "a2Fq2r.54.2"
    text = path.read_text()
    head, body = text.split("Dynamical", 1)
    written = re.sub(r"-?\d+\.\d{8}(?=\s)", lambda match: f"{float(match[0]):.8E}", body)
    assert "E-0" in written
    for one in (written, written.replace("E", "D")):
        path.write_text(f"{head}Dynamical{one}")
        np.testing.assert_allclose(read_matrices(elph).coupling, read_matrices(ELPH).coupling, atol=1e-8)
    path.write_text(text.replace("0.00000000   0.0", "************   0.0", 1))
    with pytest.raises(DataError, match="'[-*]+.* is no number"):
        read_matrices(elph)
    assert glued_numbers("1.5-0.25 1.234-100 2D3 7") == [1.5, -0.25, 1.234e-100, 2000.0, 7.0]


def test_matrices_of_a_crystal_whose_atoms_are_elsewhere(tmp_path):
    """H in the next cell of the lattice is the same crystal, and C(q) has other phases."""
    elph, _ = copies(tmp_path)
    dyn = write_pdh_with_springs(tmp_path / "stable", SPRING)
    for path in dyn.parent.glob("pdh.dyn[1-9]"):
        lines = path.read_text().splitlines()
        row = next(
            k for k, line in enumerate(lines) if line.split()[:2] == ["2", "2"] and len(line.split()) == 5
        )
        words = lines[row].split()
        lines[row] = " ".join([*words[:2], str(float(words[2]) + 0.5), str(float(words[3]) + 0.5), words[4]])
        path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="of the same crystal, but turned, or with atoms in other cells"):
        read_cases(elph, SourceOptions(dyn, grid=(0, 0, 0)))


def test_shapes_that_do_not_fit():
    matrices, atoms, _, constants = pdh()
    with pytest.raises(DataError, match=r"shape \(8, 6, 6\) and 3 masses"):
        matrices.couplings(constants, [1.0, 2.0, 3.0])
    with pytest.raises(DataError, match=r"shape \(5, 6, 6\)"):
        mode_couplings(matrices.coupling, constants[:5], atoms.get_masses())
    with pytest.raises(DataError, match="Are they of one crystal"):
        matrices.interpolated(constants, atoms[:1], 4.17, (2, 2, 2))
    with pytest.raises(DataError, match="not finite"):
        matrices.couplings(constants * np.nan, atoms.get_masses())
    odd = constants.copy()
    odd[1] *= 1j
    with pytest.raises(DataError, match="q and -q do not agree"):
        grid = on_grid(matrices.q, odd, atoms.cell.array, 4.17)
        interpolate(grid, atoms.cell.array, atoms.positions, dense_grid((3, 3, 3)))


def test_options_of_the_folder(tmp_path, capsys):
    for arguments, says in (
        ((), "--dyn FILE is wanted"),
        (("--dyn", DYN, "--unit", "meV"), "are for files of a2F"),
        (("--dyn", DYN, "--broadening", "0.3"), "has the broadenings 0.02 Ry; got 0.3"),
        (("--dyn", DYN, "--isotope", "O=18"), "got an isotope of O; the crystal is PdH"),
        (("--dyn", DYN, "--grid", "4", "4", "0"), "wanted three numbers > 0"),
        (("--dyn", DYN, "--grid", "0", "0", "0"), "imaginary"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["tc", str(ELPH), "-o", str(tmp_path / "o"), *map(str, arguments)])
        assert stop.value.code == 2
        assert says in " ".join(capsys.readouterr().err.split())
