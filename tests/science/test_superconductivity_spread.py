"""The same number from several sources: median, range, digits, what moves it; several --dyn of `hint tc`."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from pdh_springs import write_pdh_with_springs

from hint_plugin.cli.app import main
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.superconductivity import (
    SourceOptions,
    UnstableError,
    moved_by,
    read_force_constants,
    read_matrices,
    read_sources,
    spread_of,
)
from hint_plugin.science.superconductivity.isotopes import Isotope

ELPH = Path(__file__).parents[1] / "data" / "pdh_elph" / "elph_dir"
#: The convention in absolute energies: that of any source, and so of each alone.
FIXED = ("--mu-star-at", "100meV", "--cutoff", "1000meV", "--grid", "4", "4", "4", "--temperatures", "0")


@pytest.fixture(scope="module")
def springs(tmp_path_factory) -> dict[str, Path]:
    """PdH with springs on H (Ry/bohr^2): stable ones, and a soft one that leaves it unstable."""
    folder = tmp_path_factory.mktemp("springs")
    stiffness = {"a": 0.030, "b": 0.020, "c": 0.016, "da": 0.031, "db": 0.021, "soft": 0.004}
    return {name: write_pdh_with_springs(folder / name, k) for name, k in stiffness.items()}


# --- numbers ---


@pytest.mark.parametrize(
    ("values", "decimals", "digits", "words"),
    [
        ((15.7, 20.0, 17.2), 0, 2, "17 K, 16 to 20 K"),
        ((17.16, 17.21, 17.20), 2, 4, "17.20 K, 17.16 to 17.21 K"),
        ((16.9, 17.4), 1, 3, "17.1 K, 16.9 to 17.4 K"),  # 17.15
        ((1200.0, 1500.0, 1900.0), -2, 2, "1500 K, 1200 to 1900 K"),
        ((0.0, 2.0, 30.0), 0, 0, "2 K, 0 to 30 K"),  # not even the first digit is certain
        ((-0.02, 0.0, 0.02), 2, 1, "0.00 K, -0.02 to 0.02 K"),
        ((18.51, 18.51, 18.51), None, None, "18.51 K, 3 times the same"),
    ],
)
def test_digits_that_mean_something(values, decimals, digits, words):
    found = spread_of(values)
    assert (found.count, found.median) == (len(values), pytest.approx(np.median(values)))
    assert (found.lowest, found.highest) == (min(values), max(values))
    assert (found.decimals, found.digits) == (decimals, digits)
    assert found.in_words("K") == words


def test_no_spread_of_one():
    assert spread_of([17.2]) is None and spread_of([]) is None
    with pytest.raises(OptionsError, match="wanted finite numbers"):
        spread_of([17.2, float("nan")])


def test_what_moves_it():
    """A sum of three effects: each is found as it was put in; one that cannot be told from others is not."""
    effects = {
        "training": {"1": 0.0, "2": 1.5, "3": 0.5},
        "matrices": {"sscha": 0.0, "hessian": 3.0},
        "interpolation": {"fourier": 0.0, "none": -4.0},
    }
    choices = [dict(zip(effects, each, strict=True)) for each in itertools.product(*effects.values())]
    values = [15 + sum(effects[key][which] for key, which in one.items()) for one in choices]
    found = moved_by(choices, values)
    assert {key: by.typical for key, by in found.items()} == pytest.approx(
        {"training": 1.5, "matrices": 3.0, "interpolation": 4.0}
    )
    assert [by.count for by in found.values()] == [4, 6, 6]
    tied = [one | {"numbers": one["training"]} for one in choices]  # no two differ in one of them alone
    assert set(moved_by(tied, values)) == {"matrices", "interpolation"}
    with pytest.raises(OptionsError, match="one description for each"):
        moved_by(choices, values[:-1])


def test_the_files_q_points_are_a_grid_too(springs):
    """Without interpolation, and interpolated to the files' own grid: the same modes, translations at 0."""
    matrices = read_matrices(ELPH)
    atoms, alat, constants = read_force_constants(springs["a"], matrices.q)
    alone = matrices.couplings(constants, atoms.get_masses(), sum_rule=True)
    on_grid = matrices.interpolated(constants, atoms, alat, (2, 2, 2))
    assert np.abs(alone.energies[0, :3]).max() < 1e-6
    for name in ("energies", "lambdas"):
        mine = np.sort(getattr(alone, name)[1:].ravel())
        assert mine == pytest.approx(np.sort(getattr(on_grid, name)[1:].ravel()), abs=1e-6)
    assert alone.spectrum().lam == pytest.approx(on_grid.spectrum().lam, rel=1e-8)
    with pytest.raises(UnstableError, match="15.3i"):  # DFPT's translations, as they are
        matrices.couplings(constants, atoms.get_masses()).spectrum()


# --- the command ---


def tc(capsys, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["tc", str(ELPH), *[str(word) for word in arguments]])
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


def test_each_source_and_median_and_range(springs, tmp_path, capsys):
    """Rows are what each source gives alone; the first one's files stay as they were."""
    isotopes = {"a": springs["da"], "b": springs["db"]}
    alone = {}
    for name in "ab":
        for interpolation in ("fourier", "none"):
            out = tmp_path / name / interpolation
            words = ("--dyn", springs[name], "--isotope", f"H=2.014,{isotopes[name]}", *FIXED, "-o", out)
            assert tc(capsys, *words, "--interpolation", interpolation)[0] == 0
            result = json.loads((out / "tc.json").read_text())
            assert "sources" not in result and not (out / "sources.csv").exists()
            alone[str(springs[name]), interpolation] = result["isotopes"]
    both = f"H=2.014,{isotopes['a']},{isotopes['b']}"
    words = ("--dyn", springs["a"], "--dyn", springs["b"], "--isotope", both, *FIXED, "-o", tmp_path / "o")
    status, said, _ = tc(capsys, *words, "--interpolation", "both")
    assert status == 0
    result = json.loads((tmp_path / "o" / "tc.json").read_text())
    assert result["isotopes"] == alone[str(springs["a"]), "fourier"]
    assert len(result["sources"]) == 8
    for row in result["sources"]:
        expected = alone[row["dyn"], row["interpolation"]][row["isotope"] != "PdH"]
        got = [row[key] for key in ("lambda", "allen_dynes", "eliashberg")]
        results = expected["results"][0]
        assert got == [expected["lambda"], results["allen_dynes"], results["eliashberg"]]
        assert row.get("isotope_exponent") == results.get("isotope_exponent")
    for one in result["spread"]:
        values = [r["eliashberg"] for r in result["sources"] if r["isotope"] == one["isotope"]]
        assert (one["sources"], one["unstable"], one["eliashberg"]["count"]) == (4, 0, 4)
        assert one["eliashberg"]["median"] == pytest.approx(np.median(values))
        assert [one["eliashberg"][key] for key in ("lowest", "highest")] == [min(values), max(values)]
        assert one["moved_by"]["dyn"]["typical"] > 3 > one["moved_by"]["interpolation"]["largest"] > 0
    assert "PdH: Tc 4 K, 1 to 7 K (median and range of 4)" in said and "the phonons move Tc by 5" in said
    with open(tmp_path / "o" / "sources.csv", newline="") as handle:
        table = list(csv.DictReader(handle))
    assert [float(row["eliashberg"]) for row in table] == pytest.approx(
        [row["eliashberg"] for row in result["sources"]]
    )


def test_a_source_without_a_tc_is_said(springs, tmp_path, capsys):
    words = ("--dyn", springs["a"], "--dyn", springs["soft"], "--dyn", springs["b"], *FIXED)
    status, said, _ = tc(capsys, *words, "-o", tmp_path / "o")
    assert status == 3 and "1 of 3 sources are unstable" in said and "unstable" in said
    result = json.loads((tmp_path / "o" / "tc.json").read_text())
    assert "of the modes are imaginary" in result["sources"][1]["unstable"]
    assert (result["spread"][0]["unstable"], result["spread"][0]["eliashberg"]["count"]) == (1, 2)
    status, said, _ = tc(
        capsys, "--dyn", springs["a"], "--dyn", springs["soft"], *FIXED, "-o", tmp_path / "p"
    )
    assert status == 3 and "no spread, since only 1 of 2 sources has a Tc" in said
    status, _, said = tc(
        capsys, "--dyn", springs["soft"], "--dyn", springs["a"], *FIXED, "-o", tmp_path / "q"
    )
    assert status == 2 and "the first source, which has to have a Tc" in " ".join(said.split())
    assert not (tmp_path / "q").exists()


def test_sources_that_are_not_the_same_number(springs, tmp_path, capsys):
    """The same files, another crystal, another isotope; options that do not fit."""
    a, b = springs["a"], springs["b"]
    for words, says in (
        (("--dyn", a, "--dyn", a.with_name("pdh.dyn1")), "are the same files; wanted each source once"),
        (("--dyn", a, "--dyn", b, "--isotope", f"H=2.014,{a}"), "with 1 file for 2 of --dyn"),
        (("--dyn", a, "--dyn", b, "--isotope", f"H=2.014,{a},{a}"), "are the same files"),
        (("--dyn", a, "--interpolation", "both", "--grid", 0, 0, 0), "interpolates nothing"),
    ):
        status, _, said = tc(capsys, *words, "-o", tmp_path / "o")
        assert status == 2 and says in " ".join(said.split()), said
    (tmp_path / "x.txt").write_text("1 0.1\n2 0.2\n3 0.1\n")
    with pytest.raises(OptionsError, match="--interpolation needs electron-phonon matrices"):
        read_sources(tmp_path / "x.txt", SourceOptions(unit="meV", interpolation="both"))
    changes = {"Ni": lambda text: text.replace("'Pd ", "'Ni "), "D": heavier}
    for name, says in (("Ni", "is of NiH; wanted PdH"), ("D", "is of another crystal")):
        other = write_pdh_with_springs(tmp_path / name, 0.03)
        for path in other.parent.glob("pdh.dyn[1-9]"):
            path.write_text(changes[name](path.read_text()))
        options = SourceOptions(dyn=a, others=(other,), grid=(0, 0, 0))
        with pytest.raises(DataError, match=says):
            read_sources(ELPH, options)
    assert len(read_sources(ELPH, SourceOptions(dyn=a, others=(b,), grid=(0, 0, 0)))) == 2


def heavier(text: str) -> str:
    """Deuterium in the head of a file."""
    lines = text.splitlines()
    for k, line in enumerate(lines):
        if "'H " in line:
            words = line.split("'")
            lines[k] = f"{words[0]}'{words[1]}'  {2 * float(words[2]):.8f}"
    return "\n".join(lines) + "\n"


def test_files_of_isotopes():
    found = Isotope.parse("H=2.014, a.dyn0, b.dyn0", 2)
    assert [found.at(k).force_constants for k in (0, 1)] == [Path("a.dyn0"), Path("b.dyn0")]
    assert Isotope.parse("H=2.014,a,b").force_constants == Path("a,b")  # of one source: a name with a comma
    assert Isotope.parse("H=2.014", 3).at(2).force_constants is None
