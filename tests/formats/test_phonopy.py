"""phonopy's files: frequencies of the label are those that phonopy computes; written files come back."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.units import _amu, _e

from hint_plugin.data import read_frames, read_label, write_frames, write_label
from hint_plugin.data.formats.phonopy_search import find_sources
from hint_plugin.errors import DataError

phonopy = pytest.importorskip("phonopy")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:primitive_matrix defaulted")

FILES = Path(__file__).parents[1] / "data" / "formats" / "phonopy"
TO_THZ = np.sqrt(_e * 1e20 / _amu) / (2 * np.pi * 1e12)  # of sqrt(eV/A^2/amu)


def frequencies(atoms, hessian: np.ndarray) -> np.ndarray:
    """THz, of the supercell at Gamma: all q points that fit into it."""
    weights = np.repeat(atoms.get_masses(), 3) ** -0.5
    squared = np.linalg.eigvalsh(weights[:, None] * hessian * weights)
    return np.sign(squared) * np.sqrt(np.abs(squared)) * TO_THZ


def by_phonopy(phonon) -> np.ndarray:
    """The same from phonopy: its frequencies on the q points of the supercell."""
    from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

    matrix = np.rint(np.linalg.inv(phonon.primitive.cell.T) @ phonon.supercell.cell.T).astype(int)
    phonon.run_qpoints(get_commensurate_points(matrix))
    return np.sort(phonon.qpoints.frequencies.ravel())


@pytest.fixture(scope="module")
def kcl():
    """The supercell of KCl with its full label."""
    return read_frames(FILES / "KCl.yaml.xz", full=True)[0]


def load(*args, **options):
    return phonopy.load(*args, is_nac=False, log_level=0, **options)


def test_yaml_with_force_constants(kcl) -> None:
    """KCl of phonopy's examples: rows of the two atoms of the primitive cell, and all of it on demand."""
    [rows] = read_frames(FILES / "KCl.yaml.xz")
    full = kcl
    label, square = read_label(rows), read_label(full)
    assert (label.kind, square.kind) == ("rows", "full") and len(rows) == 64
    picked = (3 * label.atoms[:, None] + np.arange(3)).reshape(-1)
    np.testing.assert_allclose(square.hessian[picked], label.hessian, atol=1e-12)
    wanted = by_phonopy(load(str(FILES / "KCl.yaml.xz")))
    np.testing.assert_allclose(frequencies(full, square.hessian), wanted, atol=2e-3)
    assert wanted[-1] > 4  # THz: they are vibrations
    assert rows.cell.lengths() == pytest.approx([12.584] * 3) and rows.pbc.all()


def test_forces_of_displacements() -> None:
    """NaCl: from the folder, from the forces, or from the YAML, the others found beside it."""
    found = [find_sources(FILES / "NaCl" / name) for name in ("", "FORCE_SETS", "phonopy_disp.yaml.xz")]
    assert len({(sources.yaml, sources.sets) for sources in found}) == 1
    [atoms] = read_frames(FILES / "NaCl", full=True)
    phonon = load(
        str(FILES / "NaCl" / "phonopy_disp.yaml.xz"), force_sets_filename=str(FILES / "NaCl" / "FORCE_SETS")
    )
    found = frequencies(atoms, read_label(atoms).hessian)
    np.testing.assert_allclose(found, by_phonopy(phonon), atol=2e-3)


def test_displaced_supercells_with_their_forces() -> None:
    perfect, *moved = read_frames(FILES / "NaCl", displaced=True)
    assert len(moved) == 2
    assert {atoms.info["hint_engine"] for atoms in (perfect, *moved)} == {"phonopy"}  # one level
    first = moved[0].positions - perfect.positions
    assert np.abs(first).max() == pytest.approx(0.01, abs=1e-6)
    np.testing.assert_allclose(moved[0].arrays["REF_forces"][0], [-0.01806194, 0, 0], atol=1e-9)
    # and the label predicts them
    [full] = read_frames(FILES / "NaCl", full=True)
    harmonic = -read_label(full).hessian @ first.ravel()
    np.testing.assert_allclose(moved[0].arrays["REF_forces"].ravel(), harmonic, atol=5e-4)


def test_units_of_the_calculator(tmp_path: Path, kcl) -> None:
    """The same crystal as Quantum ESPRESSO's numbers: bohr and Ry/bohr^2."""
    from ase.units import Bohr, Rydberg
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    atoms = kcl
    hessian = read_label(atoms).hessian
    cell = PhonopyAtoms(
        symbols=list(atoms.symbols),
        cell=atoms.cell.array / Bohr,
        scaled_positions=atoms.get_scaled_positions(),
    )
    phonon = Phonopy(cell, supercell_matrix=[1, 1, 1], primitive_matrix="auto", calculator="qe")
    n = len(atoms)
    phonon.force_constants = hessian.reshape(n, 3, n, 3).transpose(0, 2, 1, 3) / (Rydberg / Bohr**2)
    phonon.save(tmp_path / "phonopy_qe.yaml", settings={"force_constants": True})
    [found] = read_frames(tmp_path / "phonopy_qe.yaml")
    label = read_label(found)
    assert label.kind == "full"
    np.testing.assert_allclose(label.hessian, hessian, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.cell.array, atoms.cell.array, rtol=1e-7)


@pytest.mark.parametrize("name", ["phonopy_out.yaml", "folder"])
def test_written_files_are_read_by_phonopy_and_by_us(tmp_path: Path, name: str, kcl) -> None:
    atoms = kcl
    wanted = read_label(atoms).hessian
    assert write_frames(tmp_path / name, [atoms], format="phonopy") == 1
    assert [p.name for p in tmp_path.iterdir()] == [name]
    [found] = read_frames(tmp_path / name)
    np.testing.assert_allclose(read_label(found).hessian, wanted, atol=1e-12)
    np.testing.assert_allclose(found.positions, atoms.positions, atol=1e-9)
    if name == "folder":
        phonon = load(
            str(tmp_path / name / "phonopy.yaml"),
            force_constants_filename=str(tmp_path / name / "FORCE_CONSTANTS"),
        )
    else:
        phonon = load(str(tmp_path / name))
    assert len(phonon.primitive) == 2
    np.testing.assert_allclose(by_phonopy(phonon), frequencies(atoms, wanted), atol=2e-3)


def test_sposcar_and_hdf5(tmp_path: Path, kcl) -> None:
    import ase.io
    from phonopy.file_IO import write_FORCE_CONSTANTS, write_force_constants_to_hdf5

    atoms = kcl
    hessian, n = read_label(atoms).hessian, len(atoms)
    constants = hessian.reshape(n, 3, n, 3).transpose(0, 2, 1, 3).copy()
    ase.io.write(tmp_path / "SPOSCAR", atoms, format="vasp")
    write_FORCE_CONSTANTS(constants, filename=str(tmp_path / "FORCE_CONSTANTS"))
    [found] = read_frames(tmp_path / "FORCE_CONSTANTS")
    np.testing.assert_allclose(read_label(found).hessian, hessian, atol=1e-12)
    write_force_constants_to_hdf5(constants, filename=str(tmp_path / "force_constants.hdf5"))
    [found] = read_frames(tmp_path / "force_constants.hdf5")
    np.testing.assert_allclose(read_label(found).hessian, hessian, atol=1e-12)
    write_FORCE_CONSTANTS(constants[:2], filename=str(tmp_path / "FORCE_CONSTANTS"))
    with pytest.raises(DataError, match=r"2 x 64 atoms.*compact"):
        read_frames(tmp_path / "FORCE_CONSTANTS")


def test_nothing_comes_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """phonopy takes FORCE_SETS of the working folder for a YAML without forces."""
    shutil.copy(FILES / "NaCl" / "phonopy_disp.yaml.xz", tmp_path)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(FILES / "NaCl" / "FORCE_SETS", tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"phonopy_disp.yaml.xz: no force constants and no forces"):
        read_frames(tmp_path / "phonopy_disp.yaml.xz")
    with pytest.raises(DataError, match=r"FORCE_SETS: no structure beside it"):
        read_frames(tmp_path / "elsewhere" / "FORCE_SETS")
    assert os.getcwd().endswith("elsewhere") and find_sources(FILES / "NaCl").sets is not None


def test_what_cannot_be_written(tmp_path: Path) -> None:
    [rows] = read_frames(FILES / "KCl.yaml.xz")
    with pytest.raises(DataError, match=r"a rows Hessian label; wanted a full one"):
        write_frames(tmp_path / "a", [rows], format="phonopy")
    with pytest.raises(DataError, match=r"several frames"):
        write_frames(tmp_path / "a", [rows, rows], format="phonopy")
    molecule = read_frames(FILES.parents[1] / "molecules.xyz", 0)[0]
    with pytest.raises(DataError, match=r"not periodic"):
        write_frames(tmp_path / "a", [molecule], format="phonopy")
    write_label(rows, None)
    with pytest.raises(DataError, match=r"has no Hessian label"):
        write_frames(tmp_path / "phonopy.yaml", [rows])
    assert not list(tmp_path.iterdir())


def test_damaged_files(tmp_path: Path) -> None:
    import lzma

    text = lzma.decompress((FILES / "KCl.yaml.xz").read_bytes()).decode()
    (tmp_path / "phonopy.yaml").write_text(text[: int(0.9 * len(text))])
    with pytest.raises(DataError, match=r"phonopy.yaml, frame 0"):
        read_frames(tmp_path / "phonopy.yaml")
    (tmp_path / "phonopy.yaml.xz").write_bytes((FILES / "KCl.yaml.xz").read_bytes()[:1000])
    with pytest.raises(DataError, match=r"phonopy.yaml.xz"):
        read_frames(tmp_path / "phonopy.yaml.xz", format="phonopy")
    shutil.copytree(FILES / "NaCl", tmp_path / "NaCl")
    sets = (FILES / "NaCl" / "FORCE_SETS").read_text()
    (tmp_path / "NaCl" / "FORCE_SETS").write_text(sets[: len(sets) // 2])
    with pytest.raises(DataError, match=r"NaCl, frame 0"):
        read_frames(tmp_path / "NaCl")


def test_every_format_with_a_hessian_is_a_reference(tmp_path: Path) -> None:
    """One list for `hint dataset convert` and `hint phonons --reference`."""
    from hint_plugin.science.phonons.reference_phonons import read_reference

    qe = FILES.parent / "qe" / "nacl"
    [large] = read_frames(qe / "nacl.dyn0")
    write_frames(tmp_path / "nacl.xyz", [large])
    _sposcar(tmp_path, large)
    _outcar(tmp_path / "OUTCAR", large)
    wanted = by_phonopy(read_reference(qe / "nacl.dyn1"))
    write_frames(tmp_path / "rows.xyz", read_frames(qe / "nacl.dyn0", rows=True))
    for path in (
        qe / "nacl.fc",
        tmp_path / "nacl.xyz",
        tmp_path / "rows.xyz",
        tmp_path / "FORCE_CONSTANTS",
        tmp_path / "OUTCAR",
    ):
        found = read_reference(path)
        assert len(found.primitive) == 2 and len(found.supercell) == 8
        np.testing.assert_allclose(by_phonopy(found), wanted, atol=1e-3)  # THz
    write_frames(tmp_path / "bare.xyz", [bulk("Cu")])
    with pytest.raises(DataError, match="1 frames and no Hessian .* phonopy -f"):
        read_reference(tmp_path / "bare.xyz")


def _sposcar(folder: Path, large: Atoms) -> None:
    """FORCE_CONSTANTS beside SPOSCAR, as VASP's users have them: elements together."""
    order = np.argsort(large.numbers, kind="stable")
    sorted_ = large[order]
    sorted_.write(folder / "SPOSCAR", format="vasp")
    n = len(large)
    blocks = read_label(large).hessian.reshape(n, 3, n, 3)[order][:, :, order]
    lines = [f"{n} {n}"]
    for i in range(n):
        for j in range(n):
            lines += [f"{i + 1} {j + 1}", *(" ".join(f"{x:.15f}" for x in row) for row in blocks[i, :, j])]
    (folder / "FORCE_CONSTANTS").write_text("\n".join(lines) + "\n")


def _outcar(path: Path, atoms: Atoms) -> None:
    """The parts of an OUTCAR that are read, laid out as VASP 5 and 6 write them."""
    n, hessian = len(atoms), read_label(atoms).hessian
    kinds = list(dict.fromkeys(atoms.symbols))
    order = np.argsort([kinds.index(s) for s in atoms.symbols], kind="stable")
    atoms = atoms[order]
    hessian = hessian.reshape(n, 3, n, 3)[order][:, :, order].reshape(3 * n, 3 * n)
    names = [f"{k + 1}{axis}" for k in range(n) for axis in "XYZ"]
    lines = [" vasp.6.4.2 20Jul23 (build) complex", f"   NIONS =     {n}", " ISPIN  =      1"]
    lines[1:1] = [f" POTCAR:    PAW_PBE {kind} 01Jan2001" for kind in kinds] * 2
    lines.append("   ions per type = " + " ".join(str(list(atoms.symbols).count(kind)) for kind in kinds))
    lines += [" ------- Iteration    1(   1)  -------"]
    lines += [" direct lattice vectors                 reciprocal lattice vectors"]
    lines += ["   " + " ".join(f"{x:13.9f}" for x in (*row, 0, 0, 0)) for row in atoms.cell.array]
    lines += ["  FORCE on cell =-STRESS in cart. coord.  units (eV):", "  in kB  1.0 2.0 3.0 0.0 0.0 0.0"]
    lines += [" POSITION                                       TOTAL-FORCE (eV/Angst)", " ---"]
    lines += [" ".join(f"{x:12.5f}" for x in (*row, 0, 0, 0.1)) for row in atoms.positions]
    lines += [" ---", "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)", " ---"]
    lines += ["  free  energy   TOTEN  =       -27.50000000 eV", ""]
    lines += ["  energy  without entropy=      -27.40000000  energy(sigma->0) =      -27.45000000"]
    lines += [" SECOND DERIVATIVES (NOT SYMMETRIZED)", " ----", "      " + "  ".join(names)]
    lines += [
        f" {name} " + " ".join(f"{-x:.6f}" for x in row) for name, row in zip(names, hessian, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")
