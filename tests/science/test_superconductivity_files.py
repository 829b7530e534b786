"""Files of a2F and of couplings, `hint tc`, and what it says of bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.units import Hartree, Rydberg
from pdh_springs import DYN, write_pdh_with_springs

from hint_plugin.cli.app import main
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.superconductivity import Spectrum, read_a2f
from hint_plugin.science.superconductivity.energy_units import EV, parse_energy, unit_in_ev
from hint_plugin.science.superconductivity.lambda_x_files import is_lambda_input, read_lambda_input
from hint_plugin.science.superconductivity.tables import number

PDH = Path(__file__).parents[1] / "data" / "pdh_elph"
CASES = Path(__file__).parents[1] / "data" / "cases" / "crystals"
W = np.linspace(0.0, 0.05, 101)  # eV
A2F = 1.4 * np.exp(-(((W - 0.02) / 0.004) ** 2)) * (W > 0)
LAMBDA = Spectrum.from_table(W, A2F).lam


def columns(*values: np.ndarray) -> str:
    return "\n".join(" ".join(f"{x:.10E}" for x in row) for row in zip(*values, strict=True)) + "\n"


def matdyn(scale: float = 1.0) -> str:
    head = "\n # Eliashberg function a2F (per both spin)\n #  frequencies in Rydberg  \n # DOS normalized\n\n"
    table = columns(W / Rydberg, scale * A2F, A2F / 2, A2F / 2)
    return head + table + f"  lambda =   {scale * LAMBDA:.15f}   Delta =  1E-4\n"


FILES = {
    "matdyn": ("a2F.dos4", matdyn()),
    "lambda": ("alpha2F.dat", "# E(THz)     0.005     0.010\n" + columns(W / EV["THz"], A2F, 2 * A2F)),
    "tetra": ("x.a2F.dat", "  # Frequency[Ry], a2F, DOS[Ry]\n" + columns(W / Rydberg, A2F, A2F)),
    "elk": ("ALPHA2F.OUT", columns(W / Hartree, A2F)),
    "epw": (
        "pb.a2f",
        " w[meV] a2f and integrated 2*a2f/w for    2 smearing values\n"
        + columns(1e3 * W, A2F, 2 * A2F, A2F, A2F)
        + f" Integrated el-ph coupling\n  #         {LAMBDA:12.7f}{2 * LAMBDA:12.7f}\n"
        + " Phonon smearing (meV)\n  #            0.5   0.6\n Electron smearing (eV)   0.1000000\n",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_program(tmp_path, kind):
    name, text = FILES[kind]
    path = tmp_path / name
    path.write_text(text)
    found = read_a2f(path, column=2)
    assert (found.format, found.column) == (kind, 2)
    assert found.spectrum().lam == pytest.approx(LAMBDA, rel=1e-8)
    assert found.energies == pytest.approx(W, abs=1e-11)
    if kind in ("lambda", "epw"):
        assert read_a2f(path, column=3).spectrum().lam == pytest.approx(2 * LAMBDA, rel=1e-8)
        with pytest.raises(OptionsError, match="2 columns .* --column 2 to 3"):
            read_a2f(path)


def cumulative(a2f: np.ndarray) -> np.ndarray:
    """lambda from below each frequency."""
    slopes = np.divide(2 * a2f, W, out=np.zeros_like(W), where=W > 0)
    return np.concatenate([[0.0], np.cumsum(0.5 * (slopes[1:] + slopes[:-1]) * np.diff(W))])


def test_smearings_of_epw(tmp_path):
    """Ten of a2F, then ten integrals: one of the first has to be chosen, in EPW's file and in a table."""
    a2f = [(1 + 0.1 * k) * A2F for k in range(10)]
    table = columns(1e3 * W, *a2f, *[cumulative(one) for one in a2f])
    path = tmp_path / "pb.a2f"
    tail = " Integrated el-ph coupling\n  #         " + "".join(
        f"{(1 + 0.1 * k) * LAMBDA:12.7f}" for k in range(10)
    )
    path.write_text(" w[meV] a2f and integrated 2*a2f/w for   10 smearing values\n" + table + tail + "\n")
    with pytest.raises(OptionsError, match="10 columns .broadenings.: choose one with --column 2 to 11"):
        read_a2f(path)
    assert read_a2f(path, column=4).spectrum().lam == pytest.approx(1.2 * LAMBDA, rel=1e-8)
    with pytest.raises(OptionsError, match="column 15 .* integral of 2 a2F/w .*--column 2 to 11"):
        read_a2f(path, column=15)
    bare = tmp_path / "a2f.txt"
    bare.write_text(table)
    with pytest.raises(OptionsError, match="20 columns .nothing tells which of them is a2F.: choose"):
        read_a2f(bare, unit="meV")
    assert read_a2f(bare, unit="meV", column=11).spectrum().lam == pytest.approx(1.9 * LAMBDA, rel=1e-8)
    with pytest.raises(OptionsError, match="column 15 is the integral of 2 a2F/w of column 5"):
        read_a2f(bare, unit="meV", column=15)


@pytest.mark.parametrize(
    ("name", "lam"), [("a2f_notes.dat", 0.4138), ("a2f_d.dat", 0.4138), ("a2f_stars.dat", None)]
)
def test_tables_of_others(name, lam):
    """Notes behind rows, Fortran's d0, stars where a number had no room."""
    path = CASES / name
    if lam is None:
        with pytest.raises(DataError, match="line 191: '19.100000 .*' is no row of numbers; stars"):
            read_a2f(path, unit="meV")
    else:
        assert read_a2f(path, unit="meV").spectrum().lam == pytest.approx(lam, abs=5e-5)


def test_numbers_of_fortran():
    words = ("1.0d0", "1.5D-3", "-2.5e1", "1.234-100", ".5", "7", "1.0q2")
    assert [number(word) for word in words] == [1.0, 1.5e-3, -25.0, 1.234e-100, 0.5, 7.0, 100.0]
    for word in ("1.0d", "0.1.2", "*****", "1,5"):
        with pytest.raises(ValueError):
            number(word)


def test_other_names_of_units():
    assert unit_in_ev("cm^-1") == EV["cm-1"] == unit_in_ev("1/cm") and unit_in_ev("Hartree") == EV["Ha"]
    assert parse_energy("500cm^-1", {}) == pytest.approx(500 * EV["cm-1"])
    for wrong, meant in (("hartre", "Ha"), ("cm^1", "cm-1"), ("rydberq", "Ry")):
        with pytest.raises(OptionsError, match=f"did you mean {meant}"):
            unit_in_ev(wrong)


@pytest.mark.parametrize("unit", EV)
def test_a_table_with_a_unit(tmp_path, unit):
    path = tmp_path / "a2f.csv"
    path.write_text("# w, a2F\n" + columns(W / EV[unit], A2F).replace(" ", ","))
    assert read_a2f(path, unit=unit.lower()).spectrum().omega_2 == pytest.approx(
        Spectrum.from_table(W, A2F).omega_2
    )


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (columns(W, A2F), {}, "nothing says what program wrote it"),
        (columns(W, A2F), {"format": "table"}, "says no unit"),
        (columns(W, A2F), {"unit": "parsec"}, "got the unit 'parsec'"),
        (columns(W, A2F), {"unit": "eV", "column": 5}, "has 2 columns; got --column 5"),
        (columns(W, A2F), {"format": "vasp"}, "got the format 'vasp'"),
        (matdyn(), {"unit": "meV"}, "whose frequencies are in Ry; got --unit meV"),
        ("", {"unit": "eV"}, "no line of numbers"),
        ("# only words\n", {"unit": "eV"}, "no line of numbers"),
        ("1 2\n2 3\n3\n", {"unit": "eV"}, r"row 3 of the table has 1 columns, the first has 2 .line 3."),
        ("# w a2F\n1 2\n2 ****\n3 1\n", {"unit": "eV"}, "line 3: '2 ....' is no row of numbers; stars are"),
        ("1 ****\n2 3\n3 1\n", {"unit": "eV"}, "line 1: '1 ....' is no row"),
        ("1 2\n2 3\n3 x\n", {"unit": "eV"}, "line 3: '3 x' is no row"),
        ("1 2\nsoft modes\n3 1\n", {"unit": "eV"}, "line 2: 'soft modes' is no row .* begin it with #"),
        (columns(W, A2F, A2F), {"unit": "eV"}, "a2F in 2 columns .nothing tells which"),
        (columns(W, A2F), {"unit": "hartee"}, "did you mean Ha"),
        ("1\n2\n", {"unit": "eV"}, "row 1 of the table has 1 columns"),
        ("1 2\n1 3\n2 1\n", {"unit": "eV"}, "do not ascend"),
        ("1 2\n2 nan\n3 1\n", {"unit": "eV"}, "not finite"),
    ],
)
def test_bad_tables(tmp_path, text, options, says):
    path = tmp_path / "file.txt"
    path.write_text(text)
    with pytest.raises((DataError, OptionsError), match=says):
        read_a2f(path, **options).spectrum()


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_a2f(tmp_path / "a2F.dos1")
    (tmp_path / "binary").write_bytes(bytes(range(200, 256)))
    with pytest.raises(DataError, match="cannot be read"):
        read_a2f(tmp_path / "binary", unit="eV")


def lambda_input(folder: Path, weights: tuple[float, ...] = (1.0, 4.0, 3.0)) -> Path:
    """The input of lambda.x for PdH, beside copies of the files."""
    shutil.copytree(PDH / "elph_dir", folder / "elph_dir", dirs_exist_ok=True)
    points = ("0.0 0.0 0.0", "-0.5 0.5 -0.5", "0.0 1.0 0.0")  # of both signs
    rows = [f"{q} {w}" for q, w in zip(points, weights, strict=True)]
    names = [f"elph_dir/elph.inp_lambda.{k + 1}" for k in range(len(weights))]
    path = folder / "lambda.in"
    path.write_text("\n".join(["20 0.12 1 ! THz", str(len(weights)), *rows, *names, "0.10"]) + "\n")
    return path


def test_the_input_of_lambda_x(tmp_path):
    """L and X at 0.02 Ry, from the files: 4/8 and 3/8 of the sums of their modes."""
    path = lambda_input(tmp_path)
    assert is_lambda_input(path) and not is_lambda_input(PDH / "a2F.dos4")
    found = read_lambda_input(path, 0.02)
    assert found.weights == pytest.approx([1 / 8, 4 / 8, 3 / 8])
    assert found.lambdas[1] == pytest.approx([-0.3270, -0.3331, 0.0385, 0.0264, 0.0035, 0.1008])
    assert found.energies[1] / EV["cm-1"] == pytest.approx(
        [-206.48, -206.48, 71.46, 71.46, 193.39, 535.54], abs=0.01
    )
    with pytest.raises(DataError, match="imaginary .to 206.5i"):
        found.spectrum()
    kept = found.lambdas * (found.lambdas > 0) * (found.energies > 1.0 * EV["cm-1"])
    assert found.spectrum(leave_out=True).lam == pytest.approx((found.weights @ kept).sum())
    for broadening, says in ((None, "none was chosen"), (0.021, "got 0.021")):
        with pytest.raises(OptionsError, match=says):
            read_lambda_input(path, broadening)
    (tmp_path / "elph_dir" / "elph.inp_lambda.2").unlink()
    with pytest.raises(DataError, match="inp_lambda.2: no such file"):
        read_lambda_input(path, 0.02)
    text = (PDH / "elph_dir" / "elph.inp_lambda.2").read_text()
    (tmp_path / "elph_dir" / "elph.inp_lambda.2").write_text(text[:600])
    with pytest.raises(DataError, match="not all are there"):
        read_lambda_input(path, 0.02)
    path.write_text("20 0.12 1\n3\n0 0 0 1\n")
    with pytest.raises(DataError, match="3 q points are announced"):
        read_lambda_input(path, 0.02)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("lambda.2\n", "lambda.4\n", r"lambda.4 is of q = .* point 3 of the list, and stands for q point 2"),
        ("0.0 1.0 0.0", "0.2 1.0 0.0", r"lambda.3 is of q = \[ 0. -1.  0.\], and stands for q point 3"),
        ("lambda.3\n", "lambda.2\n", "lambda.2 is named for the q points 2 and 3"),
        ("lambda.3\n", "lambda.5\n", "lambda.5 is of q = .* point 2 of the list"),
        ("0.0 3.0", "0.0 -3.0", "line 5: the weight -3 of a q point; wanted how many"),
        ("0.0 3.0", "0.0 0.0", "line 5: the weight 0 of a q point"),
    ],
)
def test_the_list_and_the_files_of_lambda_x(tmp_path, old, new, says):
    """Each file is that of its q point, and there once; each weight is that of a star."""
    path = lambda_input(tmp_path)
    elph = tmp_path / "elph_dir"
    shutil.copy(elph / "elph.inp_lambda.3", elph / "elph.inp_lambda.4")
    shutil.copy(elph / "elph.inp_lambda.2", elph / "elph.inp_lambda.5")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=says):
        read_lambda_input(path, 0.02)


def test_a_table_against_the_lambda_of_its_program(tmp_path):
    """Rows that are missing, and the program's own closing line that is missing."""
    for kind, mark in (("matdyn", "lambda ="), ("epw", "Integrated")):
        name, text = FILES[kind]
        lines = text.splitlines(keepends=True)
        end = next(k for k, line in enumerate(lines) if mark in line)
        path = tmp_path / name
        path.write_text("".join(lines[: end - 55] + lines[end:]))
        with pytest.raises(DataError, match="integral of 2 a2F/w is .* has printed lambda ="):
            read_a2f(path, column=2)
        path.write_text("".join(lines[: end - 55]))
        with pytest.raises(DataError, match="ends without the line .*: it is truncated"):
            read_a2f(path, kind, column=2)
        unit = {"matdyn": "Ry", "epw": "meV"}[kind]
        assert read_a2f(path, "table", unit, 2).spectrum().lam < LAMBDA
    whole = (PDH / "a2F.dos4").read_text()  # matdyn.x's own sum, imaginary modes and all
    (tmp_path / "a2F.dos4").write_text(whole.replace("1.42309", "1.52309"))
    with pytest.raises(DataError, match="is 1.4231, and the program has printed lambda = 1.5231"):
        read_a2f(tmp_path / "a2F.dos4")


def test_the_curve_of_lambda_x_against_its_lambda_dat(tmp_path):
    name, text = FILES["lambda"]
    path = tmp_path / name
    path.write_text(text)
    head = "# degauss   lambda    int alpha2F  <log w>     N(Ef)\n"
    row = "  {:5.3f}{:12.6f}{:12.6f}   343.741    2.646097\n"
    beside = tmp_path / "lambda.dat"
    beside.write_text(head + row.format(0.005, LAMBDA, LAMBDA) + row.format(0.01, 2, 2 * LAMBDA))
    assert read_a2f(path, column=3).spectrum().lam == pytest.approx(2 * LAMBDA, rel=1e-8)
    path.write_text("".join(text.splitlines(keepends=True)[:40]))
    with pytest.raises(DataError, match="integral of 2 a2F/w .* has printed lambda ="):
        read_a2f(path, column=2)
    beside.write_text("of somebody else\n")
    read_a2f(path, column=2)


# --- the command ---


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output and error of `hint tc`."""
    with pytest.raises(SystemExit) as stop:
        main(["tc", *[str(a) for a in arguments]])
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def test_the_command(tmp_path, capsys):
    name, text = FILES["elk"]
    (tmp_path / name).write_text(text)
    out = tmp_path / "out"
    status, said, _ = run(
        capsys, tmp_path / name, "--mu-star", 0.15, "--mu-star", 0.1, "-o", out, "--temperatures", 6
    )
    assert status == 0
    result = json.loads((out / "tc.json").read_text())
    assert result["lambda"] == pytest.approx(LAMBDA, rel=1e-8)
    first, second = result["isotopes"][0]["results"]
    assert [first["mu_star"], second["mu_star"]] == [0.15, 0.1] and first["eliashberg"] < second["eliashberg"]
    assert f"{first['allen_dynes']:.2f}" in said and f"{second['eliashberg']:.2f}" in said
    assert "mu* = 0.15 at wmax" in said and "at the cutoff 10wmax" in said and f"written to {out}" in said
    table = np.loadtxt(out / "a2f.csv", delimiter=",", skiprows=1)
    assert table[:, 0] == pytest.approx(1e3 * W[1:], rel=1e-8) and table[-1, 2] == pytest.approx(LAMBDA)
    gap = np.loadtxt(out / "gap.csv", delimiter=",", skiprows=1)
    assert gap[-1, 0] == pytest.approx(first["eliashberg"]) and gap[-1, 1] == 0.0
    for name in ("sources.csv", "notes.csv"):
        (out / name).write_text("of an earlier run, or somebody's own")
    assert run(capsys, tmp_path / "ALPHA2F.OUT", "-o", out, "--temperatures", 0)[0] == 0
    assert {path.name for path in out.glob("*.csv")} == {
        "a2f.csv",
        "notes.csv",
    }  # no gap, no sources of before


def test_the_command_as_json(tmp_path, capsys):
    (tmp_path / "x.txt").write_text(columns(1e3 * W, A2F))
    arguments = (tmp_path / "x.txt", "--unit", "meV", "-o", tmp_path / "o", "--temperatures", 0, "--json")
    status, said, _ = run(capsys, *arguments, "--mu-star-at", "cutoff", "--cutoff", "200meV")
    result = json.loads(said)
    assert status == 0 and "gap" not in result and not (tmp_path / "o" / "gap.csv").exists()
    assert result["convention"]["cutoff"] == result["convention"]["reference"] == pytest.approx(0.2)
    row = result["isotopes"][0]["results"][0]
    assert row["mu_star_cutoff"] == pytest.approx(0.1) and row["mu_star_formula"] < 0.1


def test_no_superconductor(tmp_path, capsys):
    (tmp_path / "x.txt").write_text(columns(1e3 * W, 0.1 * A2F))
    status, said, _ = run(capsys, tmp_path / "x.txt", "--unit", "meV", "-o", tmp_path / "o", "--mu-star", 0.3)
    result = json.loads((tmp_path / "o" / "tc.json").read_text())
    assert status == 0 and "gap" not in result and result["isotopes"][0]["results"][0]["eliashberg"] == 0.0
    assert f"no Tc above {result['lowest_temperature']:.3g} K" in said


def test_a_figure(tmp_path, capsys):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install '.[plot]'")
    (tmp_path / "ALPHA2F.OUT").write_text(FILES["elk"][1])
    run(capsys, tmp_path / "ALPHA2F.OUT", "-o", tmp_path / "o", "--temperatures", 4)
    assert (tmp_path / "o" / "tc.png").read_bytes()[:4] == b"\x89PNG"


def test_an_unstable_crystal(tmp_path, capsys):
    """matdyn.x's own a2F of PdH reaches below zero."""
    status, _, said = run(capsys, PDH / "a2F.dos4", "-o", tmp_path / "o")
    assert status == 2 and "5.46 %" in said and "imaginary" in said and "--leave-out" in said
    assert not (tmp_path / "o").exists()
    status, said, _ = run(capsys, PDH / "a2F.dos4", "-o", tmp_path / "o", "--leave-out", "--temperatures", 0)
    assert status == 0 and "left out: 5.46 %" in said and "soft modes" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--isotope", "H=2.014"), "need electron-phonon matrices"),
        (("--broadening", "0.02"), "--column chooses"),
        (("--isotope", "H2"), "wanted ELEMENT=MASS"),
        (("--isotope", "Xx=2.0"), "wanted ELEMENT=MASS"),
        (("--mu-star", "1.5"), "wanted 0 <= mu"),
        (("--mu-star", "0.45"), "diverges"),
        (("--cutoff", "tenwmax"), "wanted a positive number"),
        (("--mu-star-at", "5"), "wanted a positive number"),
    ],
)
def test_bad_options(tmp_path, capsys, arguments, says):
    (tmp_path / "ALPHA2F.OUT").write_text(FILES["elk"][1])
    status, _, said = run(capsys, tmp_path / "ALPHA2F.OUT", "-o", tmp_path / "o", *arguments)
    assert status == 2 and says in " ".join(said.split())
    assert not (tmp_path / "o").exists()


# --- the page ---

PAGE = (Path(__file__).parents[2] / "docs" / "superconductivity.md").read_text()


def test_the_commands_of_the_page(tmp_path, capsys, monkeypatch):
    """All of them run, or are refused as the page says; numbers of the PdH table are those of the page."""
    lambda_input(tmp_path)
    for path in (*DYN.parent.glob("pdh.dyn*"), PDH / "a2F.dos4"):
        shutil.copy(path, tmp_path)
    write_pdh_with_springs(tmp_path / "stable", 0.03)
    write_pdh_with_springs(tmp_path / "softer", 0.02)
    (tmp_path / "ALPHA2F.OUT").write_text(FILES["elk"][1])
    (tmp_path / "table.txt").write_text(columns(1e3 * W, A2F))
    monkeypatch.chdir(tmp_path)
    lines = {line.strip().split("  ")[0] for line in PAGE.splitlines() if line.startswith("    hint tc")}
    assert len(lines) >= 6
    for line in sorted(lines):
        words = line.split()[2:]
        unstable = "stable/pdh.dyn0" not in words and words[0] in ("a2F.dos4", "lambda.in", "elph_dir")
        status, said, error = run(capsys, *words, "--temperatures", 2)
        assert status == (2 if unstable else 0) and ("imaginary" in error) == unstable, error
        if "softer/pdh.dyn0" in words:
            rows = [line for line in said.splitlines() if line.startswith((" stable", " softer", "PdH: "))]
            assert len(rows) == 5 and all(" ".join(row.split()) in " ".join(PAGE.split()) for row in rows)
        elif "stable/pdh.dyn0" in words:
            rows = [line for line in said.splitlines() if line.startswith((" PdH", " H 2.0", " H 3.0"))]
            assert len(rows) == 3 and all(" ".join(row.split()) in " ".join(PAGE.split()) for row in rows)


def test_the_python_of_the_page(tmp_path, capsys, monkeypatch):
    shutil.copytree(PDH / "elph_dir", tmp_path / "elph_dir")
    write_pdh_with_springs(tmp_path / "stable", 0.03)
    monkeypatch.chdir(tmp_path)
    code = PAGE.split("## In Python")[1].split("`constants` may come")[0]
    exec(compile(code.replace("\n    ", "\n").strip(), "page", "exec"), {})
    lam, tc, gap = map(float, capsys.readouterr().out.split())
    assert (
        lam == pytest.approx(0.4101, abs=1e-4) and tc == pytest.approx(1.82, abs=0.01) and 1e-4 < gap < 1e-3
    )
