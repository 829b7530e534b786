"""The files of Gaussian's External and ORCA's ExtOpt, byte for byte by the manuals, without the programs."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io.orca import read_orca_engrad
from ase.units import Bohr, Hartree
from pair_artifact import write_pair

from hint_plugin import open_potential
from hint_plugin.data import read_frames, read_label
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.external import gaussian_files, run
from hint_plugin.external.spec import Spec

POSITIONS = np.array([[0.0, 0.1, 0.2], [2.6, -0.2, 0.0], [0.3, 2.4, 0.1]])  # A
ELEMENTS = (13, 29, 13)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pair(tmp_path_factory.mktemp("model") / "pair.hint.pt")


@pytest.fixture
def atoms() -> Atoms:
    return Atoms(ELEMENTS, POSITIONS)


def gaussian_input(order: int, charge: int = 0, multiplicity: int = 2, elements=ELEMENTS) -> str:
    """As Gaussian writes it: (4I10), then (I10, 4F20.12) in bohr."""
    lines = [f"{len(elements):10d}{order:10d}{charge:10d}{multiplicity:10d}"]
    for number, position in zip(elements, POSITIONS / Bohr, strict=True):
        lines.append(f"{number:10d}" + "".join(f"{x:20.12f}" for x in (*position, 0.0)))
    return "\n".join(lines) + "\n"


def by_columns(text: str) -> list[list[float]]:
    """The numbers of lines in 3D20.12 and 4D20.12, cut by columns, as Fortran reads them."""
    found = []
    for line in text.splitlines():
        fields = [line[at : at + 20] for at in range(0, len(line), 20)]
        assert all(len(field) == 20 and field[-4] in "D" for field in fields), line
        found.append([float(field.replace("D", "E")) for field in fields])
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-76.4269001234567, " -0.764269001235D+02"),
        (0.0, "  0.000000000000D+00"),
        (0.1, "  0.100000000000D+00"),
        (1.0, "  0.100000000000D+01"),
        (-0.000907115969069, " -0.907115969069D-03"),
        (0.99999999999999, "  0.100000000000D+01"),
        (1.5e-120, "  0.150000000000-119"),
    ],
)
def test_numbers_are_fortrans(value: float, text: str) -> None:
    assert gaussian_files.d20_12(value) == text and len(text) == 20


@pytest.mark.parametrize("order", [0, 1, 2])
def test_gaussian(order: int, model: Path, atoms: Atoms, tmp_path: Path) -> None:
    """Energy, dipole; gradient; polarizability, dipole derivatives; lower triangle: lines, order, units."""
    (tmp_path / "job.EIn").write_text(gaussian_input(order))
    files = [tmp_path / f"job.{end}" for end in ("EIn", "EOu", "EMsg", "EFC", "EUF")]
    found = run.gaussian("R", *files, model, server=False)
    potential = open_potential(model)
    (wanted,) = potential.evaluate([atoms])
    lines = by_columns((tmp_path / "job.EOu").read_text())
    assert [len(line) for line in lines] == [4] + [3] * (len(lines) - 1)
    assert lines[0] == pytest.approx([wanted.energy / Hartree, 0, 0, 0], abs=1e-11)
    assert len(lines) == {0: 1, 1: 4, 2: 4 + 2 + 9 + 15}[order]
    if order:
        np.testing.assert_allclose(lines[1:4], -wanted.forces / (Hartree / Bohr), atol=1e-11)
    if order == 2:
        assert not np.any(lines[4:15])
        flat, full = [x for line in lines[15:] for x in line], np.zeros((9, 9))
        for i in range(9):
            for j in range(i + 1):
                full[i, j] = full[j, i] = flat.pop(0)
        assert not flat
        np.testing.assert_allclose(full, potential.hessian(atoms) / (Hartree / Bohr**2), atol=1e-10)
        assert np.abs(full).max() > 1e-3
    assert (tmp_path / "job.EMsg").read_text() == " HINT: pair.hint.pt\n"
    assert found.as_dict()["energy"] == pytest.approx(wanted.energy / Hartree)


def test_gaussian_dipole(tmp_path: Path) -> None:
    """An engine's dipole moment, and its derivatives by coordinates, the component fastest: their sum over
    atoms is the charge (translation), here +1, times the unit matrix."""
    (tmp_path / "job.EIn").write_text(
        f"{2:10d}{2:10d}{1:10d}{1:10d}\n{8:10d}{0:20.12f}{0:20.12f}{0:20.12f}{0:20.12f}\n"
        f"{7:10d}{0:20.12f}{0:20.12f}{2.02:20.12f}{0:20.12f}\n"
    )
    run.gaussian("R", tmp_path / "job.EIn", tmp_path / "job.EOu", potential="gfn2-xtb", server=False)
    lines = by_columns((tmp_path / "job.EOu").read_text())
    assert abs(lines[0][3]) > 0.1
    np.testing.assert_allclose(np.sum(np.reshape(lines[5:11], (2, 3, 3)), axis=0), np.eye(3), atol=2e-3)


def test_numbers_that_touch_are_read_by_columns(tmp_path: Path) -> None:
    text = gaussian_input(1)
    touching = text.replace(f"{POSITIONS[1][0] / Bohr:20.12f}", "-123456.123456789012")
    (tmp_path / "job.EIn").write_text(touching)
    assert gaussian_files.read_input(tmp_path / "job.EIn").positions[3] == -123456.123456789012


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (gaussian_input(1).rsplit("\n", 2)[0] + "\n", "Is it cut short"),
        ("buy milk\n", "no input of Gaussian's External"),
        ("", "no input of Gaussian's External"),
        (gaussian_input(3), "order 3; wanted 0, 1 or 2"),
        (gaussian_input(1, elements=(13, 29, -2)), "lattice vector of a periodic"),
        (gaussian_input(1, charge=1), "asks for charge 1, and pair.hint.pt does not know charges"),
        (gaussian_input(1, multiplicity=4), "stands for the lowest multiplicity of these atoms, 2"),
        (gaussian_input(1, multiplicity=1, elements=(13, 29, 6)), "C"),
    ],
)
def test_gaussian_is_told_what_is_wrong(text: str, said: str, model: Path, tmp_path: Path) -> None:
    """In its log; and the answer to an earlier question is not there to be read."""
    places = [tmp_path / f"job.{end}" for end in ("EIn", "EOu", "EMsg")]
    places[0].write_text(text)
    places[1].write_text("of the point before")
    with pytest.raises((DataError, OptionsError), match=said):
        run.gaussian("R", *places, potential=model, server=False)
    assert said in places[2].read_text() and not places[1].exists()


def test_layers(model: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="wanted R, M or S"):
        run.gaussian("job.EIn", tmp_path / "job.EOu", tmp_path / "x", potential=model, server=False)


def orca_input(folder: Path, *, multiplicity: int = 2, charges: str = "", gradient: int = 1) -> Path:
    """By the manual, with its comments."""
    rows = zip(["Al", "Cu", "Al"], POSITIONS, strict=True)
    xyz = "".join(f"{s} {x:.10f} {y:.10f} {z:.10f}\n" for s, (x, y, z) in rows)
    (folder / "job_EXT.xyz").write_text(f"3\nfrom ORCA\n{xyz}")
    path = folder / "job_EXT.extinp.tmp"
    path.write_text(
        "job_EXT.xyz # xyz filename: string, ending in '.xyz'\n0 # charge: integer\n"
        f"{multiplicity} # multiplicity: positive integer\n1 # NCores: positive integer\n"
        f"{gradient} # do gradient: 0 or 1\n{charges}"
    )
    return path


def test_orca(model: Path, atoms: Atoms, tmp_path: Path) -> None:
    """The bytes of the manual, and ASE's reader of .engrad."""
    found = run.orca(orca_input(tmp_path), model, server=False)
    assert found.output == tmp_path / "job_EXT.engrad"
    (wanted,) = open_potential(model).evaluate([atoms])
    gradient = (-wanted.forces / (Hartree / Bohr)).ravel()
    assert found.output.read_text() == (
        "#\n# Number of atoms: must match the XYZ\n#\n3\n"
        f"#\n# The current total energy in Eh\n#\n{wanted.energy / Hartree:.12f}\n"
        "#\n# The current gradient in Eh/bohr: Atom1X, Atom1Y, Atom1Z, Atom2X, etc.\n#\n"
        + "".join(f"{x:.12f}\n" for x in gradient)
    )
    with open(found.output) as file:
        np.testing.assert_allclose(read_orca_engrad(file), wanted.forces, atol=1e-9)


def test_orca_is_told_what_is_wrong(model: Path, tmp_path: Path) -> None:
    (tmp_path / "job_EXT.engrad").write_text("of the point before")
    with pytest.raises(OptionsError, match="ORCA asks for multiplicity 1"):
        run.orca(orca_input(tmp_path, multiplicity=1), model, server=False)
    assert not (tmp_path / "job_EXT.engrad").exists()
    with pytest.raises(DataError, match="names point charges .job.pc."):
        run.orca(orca_input(tmp_path, charges="job.pc # point charges\n"), model, server=False)
    (tmp_path / "empty.extinp.tmp").write_text("\n")
    with pytest.raises(DataError, match="no input of ORCA's ExtOpt"):
        run.orca(tmp_path / "empty.extinp.tmp", model, server=False)
    with pytest.raises(DataError, match="missing.extinp.tmp cannot be read"):
        run.orca(tmp_path / "missing.extinp.tmp", model, server=False)


def test_hessian_for_orca(model: Path, atoms: Atoms, tmp_path: Path) -> None:
    """Read back by the reader that was made for files of ORCA itself."""
    run.hessian(atoms, tmp_path / "job.hess", model)
    (frame,) = read_frames(tmp_path / "job.hess")
    wanted = open_potential(model).hessian(atoms)
    label = read_label(frame)
    assert label is not None
    np.testing.assert_allclose(label.hessian, wanted, atol=1e-7)
    np.testing.assert_allclose(frame.positions, POSITIONS, atol=1e-9)
    assert list(frame.numbers) == list(ELEMENTS)


def test_hessian_for_geometric(model: Path, atoms: Atoms, tmp_path: Path) -> None:
    run.hessian(atoms, tmp_path / "hessian.txt", model)
    wanted = open_potential(model).hessian(atoms) / (Hartree / Bohr**2)
    np.testing.assert_allclose(np.loadtxt(tmp_path / "hessian.txt"), wanted, atol=1e-13)
    with pytest.raises(OptionsError, match="wanted .hess"):
        run.hessian(atoms, tmp_path / "hessian.npy", model)
    with pytest.raises(DataError, match="2 structures; wanted one"):
        run.hessian([atoms, atoms], tmp_path / "hessian.txt", model)


def test_calculator_for_geometric(model: Path, atoms: Atoms) -> None:
    """By its class and JSON, with the arrays that geomeTRIC fills in for charge and multiplicity."""
    from hint_plugin.external import ExternalCalculator

    atoms.calc = ExternalCalculator(**json.loads(json.dumps({"model": str(model)})))
    atoms.set_initial_charges(np.zeros(3))
    atoms.set_initial_magnetic_moments(np.zeros(3))
    (wanted,) = open_potential(model).evaluate([Atoms(ELEMENTS, POSITIONS)])
    np.testing.assert_allclose(atoms.get_forces(), wanted.forces, atol=1e-12)
    with pytest.raises(OptionsError, match="wanted one"):
        ExternalCalculator()
    with pytest.raises(OptionsError, match="charge"):
        ExternalCalculator(model=str(model), charge=1)


def test_what_computes_has_one_key(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same content, options and environment; another content is another server."""
    copy = tmp_path / "copy.hint.pt"
    copy.write_bytes(model.read_bytes())
    key = Spec.of(copy).key()
    assert key == Spec.of(str(copy)).key() and key != Spec.of(copy, "cuda").key()
    write_pair(copy, depth=0.5)
    assert Spec.of(copy).key() != key
    now = Spec.of(copy).key()
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert Spec.of(copy).key() != now
    assert Spec.of("gfn2-xtb").engine == "gfn2-xtb" and Spec.of("gfn2-xtb").model is None
    with pytest.raises(DataError, match="missing.hint.pt cannot be read"):
        Spec.of(tmp_path / "missing.hint.pt")
    with pytest.raises(OptionsError, match="a server opens it for itself"):
        Spec.of(open_potential(model))


def test_frames_of_ipi_are_whole() -> None:
    """Header of 12 bytes, float64, int32: what `struct` of pysisyphus unpacks."""
    from hint_plugin.external.pysisyphus_client import HEADER, _bytes, _header

    assert len(_header("HESSIANREADY")) == len(_header("STATUS")) == HEADER
    assert struct.unpack("2d", _bytes([1.5, -2.0])) == (1.5, -2.0)
