"""`hint anharmonic`: inputs against those of a real study, pseudopotentials, run.sh, and what is refused."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.io import read, write

from hint_plugin.cli import app
from hint_plugin.cli.app import main
from hint_plugin.cli.verbs.anharmonic import anharmonic
from hint_plugin.data.formats.qe_lattice import lattice
from hint_plugin.dft.dft_inputs import DftSettings, dft_inputs, k_spacing, prefix_of
from hint_plugin.dft.next_commands import steps
from hint_plugin.dft.primitive import primitive_cell
from hint_plugin.dft.upf import check_elements, choose_cutoffs, read_upf_header
from hint_plugin.errors import DataError, EngineError, MissingDependencyError, OptionsError
from hint_plugin.sampling import DisplaceSettings, displaced_copies

pytest.importorskip("spglib", reason="needs spglib: pip install '.[phonons]'")
ROOT = Path(__file__).parents[2]
PDH = ROOT / "examples" / "pdh"
STUDY = ROOT.parent / "shared" / "data" / "pdh_qe"
OUTPUTS = ROOT / "tests" / "data" / "qe"
DEBIAN = Path("/usr/share/espresso/pseudo")
PROGRAMS = ("pw.x", "ph.x", "q2r.x", "matdyn.x")


def upf(element: str, kind: str = "NC", wave: float = 0.0, density: float = 0.0) -> str:
    return (
        '<UPF version="2.0.1">\n<PP_INFO>\n</PP_INFO>\n'
        f'<PP_HEADER\n generated="by hand"\n element="{element} "\n'
        f' pseudo_type="{kind}"\n wfc_cutoff="{wave:.3E}"\n rho_cutoff="{density:.3E}"\n/>\n'
    )


VERSION_1 = """<PP_INFO>
</PP_INFO>
<PP_HEADER>
   0                   Version Number
  Al                   Element
   US                  Ultrasoft pseudopotential
    T                  Nonlinear Core Correction
 SLA  PW   PBE  PBE     PBE  Exchange-Correlation functional
    3.00000000000      Z valence
   %s   Suggested cutoff for wfc and rho
</PP_HEADER>
"""


@pytest.fixture
def pseudo(tmp_path: Path) -> Path:
    folder = tmp_path / "upf"
    folder.mkdir()
    for element in ("Pd", "H"):
        (folder / f"{element}_std.upf").write_text(upf(element, density=12.51))
    return folder


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["anharmonic", *map(str, words)])
    return int(caught.value.code or 0)


def values(path: Path) -> dict[str, str | float]:
    """Key -> value of all namelists of an input, Fortran's ways of writing them made one."""
    text = path.read_text().split("ATOMIC_SPECIES")[0]
    found: dict[str, str | float] = {}
    for key, value in re.findall(r"([\w()]+)\s*=\s*('[^']*'|[^,\s/]+)", text):
        word = value.strip("'").lower()
        try:
            found[key.lower()] = float(word.replace("d", "e"))
        except ValueError:
            found[key.lower()] = word
    return found


def k_points(path: Path) -> list[str]:
    return path.read_text().split("K_POINTS automatic")[1].split()[:6]


def species(path: Path) -> list[list[str]]:
    lines = path.read_text().split("ATOMIC_SPECIES\n")[1].splitlines()
    return [line.split() for line in lines[:2]]


def differences(ours: Path, theirs: Path) -> dict[str, tuple[object, object]]:
    a, b = values(ours), values(theirs)
    return {key: (a.get(key), b.get(key)) for key in {*a, *b} if a.get(key) != b.get(key)}


def crystal(path: Path) -> Atoms:
    """Of pw.x's input; where it has ibrav, with that."""
    keys = values(path)
    if keys["ibrav"] == 0:
        return read(path, format="espresso-in")
    assert float(keys["nat"]) == 2
    lines = path.read_text().split("ATOMIC_POSITIONS crystal\n")[1].splitlines()[:2]
    places = np.array([line.split()[1:4] for line in lines], dtype=float)
    cell = lattice(int(keys["ibrav"]), [float(keys["celldm(1)"]), 0, 0, 0, 0, 0])
    return Atoms([line.split()[0] for line in lines], cell=cell, scaled_positions=places, pbc=True)


def same_crystal(a: Atoms, b: Atoms, positions: bool = True) -> bool:
    change = b.cell.array @ np.linalg.inv(a.cell.array)
    whole = np.abs(change - np.rint(change)).max() < 1e-6 and abs(abs(np.linalg.det(change)) - 1) < 1e-6
    off = (b.positions - a.positions) @ np.linalg.inv(a.cell.array)
    return bool(whole) and (not positions or np.abs(off - np.rint(off)).max() < 1e-6)


@pytest.mark.skipif(not STUDY.is_dir(), reason="needs ../shared/data/pdh_qe: the inputs of the real study")
def test_palladium_hydride_as_it_was_computed(tmp_path, pseudo):
    """The structure, with its masses, from the study's dynamical matrices; the rest from the options."""
    folder = tmp_path / "dft"
    assert run(PDH / "pdh.dyn0", "--pseudo", pseudo, "--ecutwfc", 60, "-o", folder) == 0
    where = {"prefix", "pseudo_dir", "outdir", "disk_io", "verbosity", "ibrav", "celldm(1)"}
    printed = {"tprnfor", "tstress"}  # of scf_c.in and scf_d.in nobody wanted forces
    for ours, theirs in (("scf.in", "scf_c.in"), ("scf_dense.in", "scf_d.in")):
        assert set(differences(folder / ours, STUDY / theirs)) <= where | printed
        assert same_crystal(crystal(folder / ours), crystal(STUDY / theirs))
        assert k_points(folder / ours) == k_points(STUDY / theirs)
        assert species(folder / ours) == species(STUDY / theirs)
    assert set(differences(folder / "ph.in", STUDY / "ph.in")) == {"outdir"}
    assert not differences(folder / "q2r.in", STUDY / "q2r.in")
    assert not differences(folder / "matdyn.in", STUDY / "matdyn.in")
    ours, theirs = (sorted((place / "displaced").glob("*.in")) for place in (folder, STUDY))
    assert [path.name for path in ours] == [path.name for path in theirs] and len(ours) == 30
    for mine, other in zip(ours, theirs, strict=True):
        assert set(differences(mine, other)) <= {"pseudo_dir", "outdir", "verbosity"}
        assert k_points(mine) == k_points(other) and species(mine) == species(other)
        assert same_crystal(crystal(mine), crystal(other), positions=False)
    assert values(folder / "scf.in")["outdir"] == values(folder / "ph.in")["outdir"] != "./out_displaced"
    assert values(folder / "scf_dense.in")["la2f"] == ".true." and "la2f" not in values(folder / "scf.in")


def test_displaced_cells_are_gaussian_and_reproducible(tmp_path, pseudo):
    arguments = (PDH / "pdh.xyz", "--pseudo", pseudo, "--ecutwfc", 60, "--sigma", 0.05)
    cells = {}
    for name, seed, copies in (("a", 3, 101), ("b", 3, 5), ("c", 4, 5)):
        assert run(*arguments, "--copies", copies, "--seed", seed, "-o", tmp_path / name) == 0
        files = sorted((tmp_path / name / "displaced").glob("*.in"))
        assert len(files) == copies
        cells[name] = np.array([read(path, format="espresso-in").positions for path in files])
    assert (tmp_path / "a" / "displaced" / "pert_000.in").exists()
    assert np.array_equal(cells["a"][:5], cells["b"]) and not np.allclose(cells["b"], cells["c"])
    start = read(tmp_path / "a" / "scf.in", format="espresso-in").positions
    # 606 numbers: the error of the standard deviation is 2.9 %
    assert np.std(cells["a"] - start) == pytest.approx(0.05, rel=0.1)
    settings = json.loads((tmp_path / "a" / "settings.json").read_text())
    assert settings["seed"] == 3 and settings["settings"]["ecutwfc"] == 60


def test_without_electrons_and_phonons(tmp_path, pseudo):
    folder = tmp_path / "dft"
    words = (PDH / "pdh.xyz", "--pseudo", pseudo, "--ecutwfc", 60, "-o", folder, "--copies", 2)
    assert run(*words) == 0 and (folder / "scf_dense.in").exists()
    assert run(*words, "--no-electron-phonon", "--k-grid-dft", 5, 5, 5, "--copies", 1) == 0
    assert not (folder / "scf_dense.in").exists()  # nor what else was there of other inputs
    assert [path.name for path in folder.glob("displaced/*")] == ["pert_00.in"]
    for name in ("ph.in", "q2r.in", "matdyn.in", "run.sh", "README.md"):
        text = (folder / name).read_text()
        assert not re.search("la2f|electron_phonon|scf_dense|hint tc", text, re.I), name
    assert k_points(folder / "scf.in")[:3] == ["5"] * 3


def test_a_bigger_cell_is_reduced(tmp_path, pseudo, capsys):
    write(tmp_path / "cubic.cif", bulk("PdH", "rocksalt", a=4.17, cubic=True))
    assert run(tmp_path / "cubic.cif", "--pseudo", pseudo, "--ecutwfc", 60, "-o", tmp_path / "dft") == 0
    assert "note: 8 atoms are 4 primitive cells of 2" in " ".join(capsys.readouterr().out.split())
    found = read(tmp_path / "dft" / "scf.in", format="espresso-in")
    assert same_crystal(bulk("PdH", "rocksalt", a=4.17), found, positions=False)


def test_moments_stay_with_their_atoms(tmp_path):
    """An antiferromagnet: two atoms in its primitive cell, two species for pw.x, displaced or not."""
    nickel = Atoms("Ni2", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[2.8] * 3, pbc=True)
    nickel.set_initial_magnetic_moments([0.5, -0.5])
    found = primitive_cell(nickel.repeat((2, 1, 1)))
    assert len(found.atoms) == 2
    assert sorted(found.atoms.get_initial_magnetic_moments()) == [-0.5, 0.5]
    displaced = list(displaced_copies(found.atoms, 0, DisplaceSettings(sigma=0.05, copies=1)))
    assert sorted(displaced[0].get_initial_magnetic_moments()) == [-0.5, 0.5]
    (tmp_path / "Ni.upf").write_text("")
    inputs = dft_inputs(found.atoms, displaced, {"Ni": tmp_path / "Ni.upf"}, DftSettings(ecutwfc=30.0))
    for name in ("scf.in", "scf_dense.in", "displaced/pert_00.in"):
        text = inputs[name]
        assert re.search(r"nspin\s+= 2", text) and "Ni1" in text
        assert sorted(re.findall(r"starting_magnetization\(\d\) = (\S+)", text)) == ["-0.5", "0.5"], name
    del nickel.arrays["initial_magmoms"]
    nickel.set_initial_magnetic_moments([[0, 0, 1], [0, 0, -1]])
    with pytest.raises(OptionsError, match="moments that are vectors"):
        primitive_cell(nickel)


def test_primitive_cells():
    fcc = bulk("Al")
    kept = primitive_cell(fcc)
    assert np.array_equal(kept.atoms.cell, fcc.cell) and kept.space_group == "Fm-3m (225)" and not kept.notes
    supercell = make_supercell(bulk("PdH", "rocksalt", a=4.1), [[2, 0, 0], [0, 1, 0], [0, 0, 1]])
    supercell.set_masses([2.014 if s == "H" else 106.42 for s in supercell.symbols])
    reduced = primitive_cell(supercell)
    assert sorted(reduced.atoms.get_masses()) == [2.014, 106.42]
    assert reduced.atoms.get_volume() == pytest.approx(4.1**3 / 4)
    rough = bulk("PdH", "rocksalt", a=4.1)
    rough.set_cell(rough.cell.array * [1, 1, 1.0002], scale_atoms=True)
    assert primitive_cell(rough).space_group == "I4/mmm (139)"
    smooth = primitive_cell(rough, 0.01)
    assert smooth.space_group == "Fm-3m (225)" and "made symmetric" in smooth.notes[0]
    assert primitive_cell(smooth.atoms).space_group == "Fm-3m (225)"
    mixed = supercell.copy()
    mixed.set_masses([106.42, 1.008, 106.42, 2.014])
    with pytest.raises(OptionsError, match="H with several masses"):
        primitive_cell(mixed)


def test_without_spglib(monkeypatch):
    monkeypatch.setitem(sys.modules, "spglib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install '.\[phonons\]'"):
        primitive_cell(bulk("Al"))


@pytest.mark.parametrize(
    ("name", "element"),
    [
        ("Pd.upf", "Pd"),  # PseudoDojo
        ("pd_pbe_v1.4.uspp.F.UPF", "Pd"),  # GBRV
        ("Pd_ONCV_PBE-1.0.oncvpsp.upf", "Pd"),  # SSSP
        ("H.pbe-rrkjus_psl.1.0.0.UPF", "H"),
        ("h_pbe_v1.4.uspp.F.UPF", "H"),
    ],
)
def test_names_of_libraries(tmp_path, name, element):
    (tmp_path / name).write_text(upf(element))
    other = "H" if element == "Pd" else "Pd"
    (tmp_path / f"{other}.upf").write_text(upf(other))
    words = (PDH / "pdh.xyz", "--pseudo", tmp_path, "--ecutwfc", 50, "-o", tmp_path / "dft", "--copies", 1)
    assert run(*words) == 0
    assert (tmp_path / "dft" / "pseudo" / name).is_file()
    assert name in (tmp_path / "dft" / "scf.in").read_text()


def test_headers_and_cutoffs(tmp_path):
    for name, text in {
        "nc.upf": upf("H", density=11.65),  # ONCVPSP: a radius, no cutoff
        "paw.upf": upf("Pd", "PAW", 44.0, 350.0),
        "soft.upf": upf("S", "NC", 30.0),
        "old.upf": VERSION_1 % "25.0   200.0",
        "silent.upf": VERSION_1 % " 0.0     0.0",
        "none.upf": "nothing",
    }.items():
        (tmp_path / name).write_text(text)
    nc, paw, soft, old, silent = (
        read_upf_header(tmp_path / f"{name}.upf") for name in ("nc", "paw", "soft", "old", "silent")
    )
    assert (nc.element, nc.kind, nc.ecutwfc, nc.ecutrho) == ("H", "NC", None, None)
    assert (paw.kind, paw.ecutwfc, paw.ecutrho) == ("PAW", 44.0, 350.0)
    assert (old.element, old.kind, old.ecutwfc, old.ecutrho) == ("Al", "US", 25.0, 200.0)
    assert choose_cutoffs({"Pd": paw, "S": soft}, None, None) == (44.0, 350.0)
    assert choose_cutoffs({"S": soft}, None, None) == (30.0, None)
    assert choose_cutoffs({"Pd": paw}, 100.0, None) == (100.0, 400.0)
    assert choose_cutoffs({"H": nc}, 60.0, None) == (60.0, None)
    with pytest.raises(OptionsError, match=r"nc.upf suggests no cutoff: give --ecutwfc"):
        choose_cutoffs({"Pd": paw, "H": nc}, None, None)
    with pytest.raises(OptionsError, match=r"silent.upf is of kind US .* give --ecutrho"):
        choose_cutoffs({"Al": silent}, 30.0, None)
    with pytest.raises(OptionsError, match="at least four times"):
        choose_cutoffs({"Pd": paw}, 60.0, 200.0)
    with pytest.raises(OptionsError, match="above 0"):
        choose_cutoffs({"Pd": paw}, -1.0, None)
    with pytest.raises(DataError, match="no PP_HEADER"):
        read_upf_header(tmp_path / "none.upf")
    with pytest.raises(DataError, match="is of Al, by its header; wanted one of Pd"):
        check_elements({"Pd": old})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--k-grid", "12", "12", "10"], "no multiple of --k-grid-dft 6 6 6"),
        (["--q-grid", "5", "5", "5"], "no multiple of --q-grid 5 5 5"),
        (["--q-grid", "0", "2", "2"], "--q-grid 0 2 2; wanted"),
        (["--degauss", "0"], "--degauss 0.0 Ry; wanted"),
        (["--sigma", "-1"], "sigma -1.0 A; wanted"),
        (["--floor", "1"], "floor 1.0; wanted"),
        (["--pseudopotential", "Si=Si.upf"], "wanted ELEMENT=FILE, of H, Pd"),
        (["--pseudopotential", "Pd=no.upf"], "no pseudopotential"),
        (["--pseudo", "nowhere"], "--pseudo nowhere: no such folder"),
        (["--precision", "0"], "precision 0.0 A"),
    ],
)
def test_bad_options(tmp_path, pseudo, capsys, options, says):
    words = (PDH / "pdh.xyz", "--pseudo", pseudo, "--ecutwfc", 60, "-o", tmp_path / "dft", *options)
    assert run(*words) == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "dft").exists()


def test_bad_files(tmp_path, pseudo, capsys):
    def fails(structure: Path) -> str:
        assert run(structure, "--pseudo", pseudo, "--ecutwfc", 60, "-o", tmp_path / "dft") == 2
        return " ".join(capsys.readouterr().err.split())

    write(tmp_path / "water.xyz", Atoms("OH2", [[0, 0, 0], [0, 0, 1], [0, 1, 0]]))
    assert "not periodic" in fails(tmp_path / "water.xyz")
    assert "no such file" in fails(tmp_path / "nothing.cif")
    write(tmp_path / "al.cif", bulk("Al"))
    assert "pseudopotential of Al" in fails(tmp_path / "al.cif")
    (pseudo / "Pd.upf").write_text(upf("Pd"))
    several = fails(PDH / "pdh.xyz")
    assert "several (Pd.upf, Pd_std.upf)" in several and "--pseudopotential Pd=FILE" in several
    (pseudo / "Pd.upf").write_text(upf("Pt"))
    words = ("--pseudo", pseudo, "--ecutwfc", 60, "--pseudopotential", "Pd=Pd.upf", "-o", tmp_path / "dft")
    assert run(PDH / "pdh.xyz", *words) == 2 and "is of Pt, by its header" in capsys.readouterr().err
    assert not (tmp_path / "dft").exists()


def test_inputs_from_python(pseudo):
    atoms, files = bulk("PdH", "rocksalt", a=4.17), {s: pseudo / f"{s}_std.upf" for s in ("Pd", "H")}
    inputs = dft_inputs(atoms, [atoms], files, DftSettings(ecutwfc=60, ecutrho=300, smearing="mv"))
    assert "'mv'" in inputs["scf.in"] and re.search(r"ecutrho += 300", inputs["displaced/pert_00.in"])
    assert prefix_of(Atoms("H3S")) == "h3s" and prefix_of(Atoms("H20La2")) == "lah10"
    assert k_spacing(bulk("Po", "sc", a=2.0), (2, 2, 4)) == pytest.approx(np.pi / 2)
    with pytest.raises(EngineError, match="no pseudopotential"):
        dft_inputs(atoms, [], {s: pseudo / "no.upf" for s in ("Pd", "H")}, DftSettings(ecutwfc=60))


@pytest.fixture
def folder(tmp_path: Path, pseudo: Path) -> Path:
    words = ("--pseudo", pseudo, "--ecutwfc", 60, "-o", tmp_path / "dft", "--copies", 3)
    assert run(PDH / "pdh.xyz", *words) == 0
    return tmp_path / "dft"


def shell(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """run.sh where there are the shell's tools and no Quantum ESPRESSO."""
    tools = folder.parent / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("bash", "env", "dirname", "grep", "tail"):
        if not (tools / name).exists():
            (tools / name).symlink_to(str(shutil.which(name)))
    return subprocess.run(
        ["bash", str(folder / "run.sh"), *arguments],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        cwd=folder.parent,
    )


def test_the_script_is_a_script(folder):
    assert subprocess.run(["bash", "-n", str(folder / "run.sh")]).returncode == 0
    assert (folder / "run.sh").stat().st_mode & 0o111
    steps = re.findall(r"^    run (\S+ \w+)$", (folder / "run.sh").read_text(), re.M)
    assert steps == ["pw.x scf_dense", "pw.x scf", "ph.x ph", "q2r.x q2r", "matdyn.x matdyn"]
    done = shell(folder)
    assert done.returncode == 127 and "pw.x is not there" in done.stderr
    assert shell(folder, "nonsense").returncode == 2
    assert not list(folder.rglob("*.out"))


def test_what_is_done_is_not_run_again(folder):
    """By outputs of real runs: one that has ended well, one whose SCF has not converged, half of one."""
    good = OUTPUTS / "si.pw.out"
    for path in [*folder.glob("*.in"), *folder.glob("displaced/*.in")]:
        shutil.copy(good, path.with_suffix(".out"))
    done = shell(folder)
    assert done.returncode == 0 and done.stdout.count("done before") == 8 and "all done" in done.stdout
    bad = folder / "displaced" / "pert_01.out"
    for text in ((OUTPUTS / "not_converged.pw.out").read_text(), good.read_text()[:2000]):
        bad.write_text(text)
        again = shell(folder)
        assert again.returncode == 127 and again.stdout.splitlines()[-1] == "displaced/pert_00: done before"
    assert shell(folder, "phonons").returncode == 0


def test_outputs_are_not_taken_for_those_of_other_inputs(folder, pseudo, capsys):
    (folder / "scf.out").write_text("JOB DONE")
    assert run(PDH / "pdh.xyz", "--pseudo", pseudo, "--ecutwfc", 70, "-o", folder) == 2
    assert "has outputs (scf.out)" in " ".join(capsys.readouterr().err.split())
    assert values(folder / "scf.in")["ecutwfc"] == 60


def commands(readme: Path) -> list[list[str]]:
    blocks = re.findall(r"```bash\n(.*?)```", readme.read_text(), re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.replace("\\\n", "").splitlines()]


def parse(words: list[str]) -> None:
    """Raises what a command line would be refused with."""
    found, rest = app._real_command(words[1]), words[2:]
    if hasattr(found, "commands"):
        found = found.commands[rest.pop(0)]
    found.make_context("hint", rest)


def test_commands_of_the_readme(folder):
    found = [words for words in commands(folder / "README.md") if words[0] == "hint"]
    assert [words[1] for words in found] == [
        "dataset", "dataset", "sample", "dataset", "export", "phonons", "double-well",
        *["sscha"] * 3, "tc", "tc",
    ]  # fmt: skip
    for words in found:
        parse(words)
    double_well = next(words for words in found if words[1] == "double-well")
    atom = int(double_well[double_well.index("--displacement") + 1].split(",")[0])
    assert read(folder / "scf.in", format="espresso-in").symbols[atom] == "H"


def test_what_follows_without_hydrogen():
    found = "\n".join(steps(bulk("Al"), 10, DftSettings(ecutwfc=20)).values())
    assert "--masses" not in found and "--isotope" not in found
    assert "sscha_Al/sscha.dyn0" in found and "-n 8 " in found and "al.dyn0" in found


def test_options_of_the_page():
    """All are in the table of docs/anharmonic.md."""
    page = (ROOT / "docs" / "anharmonic.md").read_text()
    names = [name.rstrip("_").replace("_", "-") for name in inspect.signature(anharmonic).parameters]
    table = page.split("## What to choose")[1].split("## What follows")[0]
    for name in {*names} - {"structure", "output", "json", "electron-phonon"}:
        assert re.search(f"`--{name}[` ]", table), name


@pytest.mark.skipif(not STUDY.is_dir(), reason="needs ../shared/data/pdh_qe: the outputs of the real study")
def test_the_training_set_from_real_outputs(tmp_path, pseudo):
    """The first step of README.md, as it stands there, on outputs of pw.x and ph.x."""
    folder = tmp_path / "dft"
    assert run(PDH / "pdh.xyz", "--pseudo", pseudo, "--ecutwfc", 60, "-o", folder) == 0
    for path in [*STUDY.glob("pdh.dyn*"), *STUDY.glob("displaced/*.out")]:
        shutil.copy(path, folder / path.relative_to(STUDY))
    for words in commands(folder / "README.md")[:4]:
        line: list[str] = []
        for word in words[1:]:  # what the shell does, in that folder
            found = sorted(map(str, folder.glob(word))) if "*" in word else [str(folder / word)]
            line += found if "." in word else [word]
        with pytest.raises(SystemExit) as caught:
            main(line)
        assert not caught.value.code, words
    frames = read(folder / "both.xyz", ":")
    assert len(frames) == 25 and [len(atoms) for atoms in frames] == [2] * 24 + [16]


def test_training_as_in_the_example(folder):
    """The options of mace_run_train are those of examples/pdh.py, which runs."""
    words = next(words for words in commands(folder / "README.md") if words[0] == "mace_run_train")
    script = re.sub(r'"\s*\n\s*f?"', "", (ROOT / "examples" / "pdh.py").read_text())  # strings in a row
    script = script.replace("{CELLS + 1}", "3").replace("{CELLS}", "2")
    for key, value in zip(words[1:], [*words[2:], ""], strict=True):
        if key.startswith("--") and key != "--max_num_epochs":
            assert key in script, key
            if key not in ("--train_file", "--eval_interval", "--lr_scheduler_gamma"):
                assert f"{key} {value}" in script, key


@pytest.mark.slow
@pytest.mark.skipif(
    any(shutil.which(name) is None for name in PROGRAMS) or not (DEBIAN / "Al.pz-vbc.UPF").is_file(),
    reason="needs pw.x, ph.x, q2r.x, matdyn.x, Al.pz-vbc.UPF (Debian: quantum-espresso and its data)",
)
def test_aluminium_from_the_inputs_to_lambda(tmp_path):
    """Quantum ESPRESSO itself, to the end, and a second time without it; cutoffs far too low."""
    write(tmp_path / "al.cif", bulk("Al", a=4.0))
    folder, arguments = tmp_path / "dft", ["--pseudopotential", "Al=Al.pz-vbc.UPF", "--ecutwfc", "8"]
    for name, n in (("--k-grid", 4), ("--k-grid-dft", 2), ("--displaced-k-grid", 2), ("--q-grid", 2)):
        arguments += [name, *[str(n)] * 3]
    words = ("--copies", 2, "--sigma", 0.05, "--degauss", 0.05, "-o", folder)
    assert run(tmp_path / "al.cif", "--pseudo", DEBIAN, *arguments, *words) == 0
    first = subprocess.run(["bash", str(folder / "run.sh")], capture_output=True, text=True)
    assert first.returncode == 0, first.stdout[-2000:] + first.stderr[-2000:]
    assert (folder / "al.dyn0").is_file() and (folder / "elph_dir" / "a2Fq2r.54.1").is_file()
    assert (folder / "lambda").is_file() and len(list(folder.glob("displaced/*.out"))) == 2
    again = subprocess.run(["bash", str(folder / "run.sh")], capture_output=True, text=True)
    assert again.stdout.count("done before") == 7
    with pytest.raises(SystemExit) as caught:
        main(["dataset", "convert", str(folder / "al.dyn0"), "-o", str(folder / "hessian.xyz")])
    assert not caught.value.code and len(read(folder / "hessian.xyz")) == 8
