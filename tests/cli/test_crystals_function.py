"""Verbs for crystals and the functions behind them: the same options and defaults, the same files."""

from __future__ import annotations

import inspect
import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.socketio import SocketClient
from ase.io import read

from hint_plugin.cli import app
from hint_plugin.errors import OptionsError
from hint_plugin.potentials import open_potential

pytest.importorskip("phonopy", reason="needs phonopy: pip install '.[phonons]'")
pytest.importorskip("seekpath", reason="needs seekpath: pip install '.[phonons]'")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:primitive_matrix defaulted")
EMT_ENGINE = ["--engine", "calculator", "-e", "calculator=ase.calculators.emt:EMT"]
A2F = Path(__file__).parents[1] / "data" / "cases" / "crystals" / "a2f_d.dat"


def emt() -> Any:
    """The potential of `EMT_ENGINE`."""
    return open_potential("calculator", calculator="ase.calculators.emt:EMT")


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as stop:
        app.main([str(word) for word in words])
    return int(stop.value.code or 0)


def content(path: Path) -> Any:
    """Of a file, without what tells when and by which command it was made."""
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    if path.suffix != ".json":
        return path.read_bytes()
    found = json.loads(path.read_text())
    for key in ("date", "command"):
        found["provenance"].pop(key, None)
    return json.dumps(found)  # the order of the keys, too


def assert_same_files(one: Path, other: Path, least: int) -> None:
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    assert len(names) >= least
    for name in names:
        assert content(one / name) == content(other / name), name


def functions() -> dict[str, Callable[..., Any]]:
    from hint_plugin.dft.run import anharmonic
    from hint_plugin.science.anharmonic.run import sscha
    from hint_plugin.science.phonons.run import double_well, phonons
    from hint_plugin.science.phonons.run_conductivity import conductivity
    from hint_plugin.science.phonons.run_cubic import cubic
    from hint_plugin.science.phonons.run_qha import qha
    from hint_plugin.science.superconductivity.run import tc

    return {
        "phonons": phonons, "qha": qha, "double-well": double_well, "sscha": sscha, "tc": tc,
        "anharmonic": anharmonic, "cubic": cubic, "conductivity": conductivity,
    }  # fmt: skip


OF_THE_COMMAND = {"model", "engine", "engine_option", "json"}
EMPTY = (None, (), [])


FUNCTIONS = ("phonons", "qha", "cubic", "conductivity", "double-well", "sscha", "tc", "anharmonic")


@pytest.mark.parametrize("verb", FUNCTIONS)
def test_options_and_defaults(verb):
    mine = inspect.signature(functions()[verb]).parameters
    theirs = {
        (option.opts[0] if option.opts[0].startswith("--") else option.name).lstrip("-").replace("-", "_"): (
            option
        )
        for option in app._real_command(verb).params
        if option.name != "help"
    }
    assert set(theirs) - set(mine) == OF_THE_COMMAND & set(theirs)
    assert set(mine) - set(theirs) <= {"potential", "report"}
    for name in set(mine) & set(theirs) - {"output"}:
        wanted, got = theirs[name].default, mine[name].default
        wanted = getattr(wanted, "value", wanted)
        if name == "mu_star":
            assert (wanted, got) == (None, 0.10)
        elif theirs[name].required:
            assert got is inspect.Parameter.empty, name
        else:
            wanted = tuple(wanted) if isinstance(wanted, list) and wanted else wanted
            assert got == wanted or (got in EMPTY and wanted in EMPTY), name


def test_phonons(tmp_path, capsys):
    from hint_plugin.science.phonons.run import phonons

    bulk("Cu", a=3.62).write(tmp_path / "cu.cif")
    words = ["--supercell", 2, 2, 2, "--points", 3, "--mesh", 10, "--relax", "cell"]
    assert command("phonons", tmp_path / "cu.cif", *EMT_ENGINE, *words, "-o", tmp_path / "first") == 0
    words += ["--reference", tmp_path / "first" / "bands.csv"]
    assert command("phonons", tmp_path / "cu.cif", *EMT_ENGINE, *words, "-o", tmp_path / "one") == 0
    capsys.readouterr()
    told: list[str] = []
    found = phonons(
        str(tmp_path / "cu.cif"), emt(), tmp_path / "two", supercell=[2, 2, 2], points=3, mesh=10,
        relax="cell", reference=tmp_path / "first" / "bands.csv", report=told.append,
    )  # fmt: skip
    assert_same_files(tmp_path / "one", tmp_path / "two", 9)
    assert capsys.readouterr().out == "" and told[-1] == "reference" and told[0].startswith("relaxing: step")
    assert found.as_dict()["errors"]["table"]["largest"] == found.compared.errors.table.largest < 0.1
    found.write(tmp_path / "three")
    assert_same_files(tmp_path / "two", tmp_path / "three", 9)


def test_phonons_of_atoms_in_a_notebook(tmp_path, monkeypatch):
    """Nothing is written, and a calculator of somebody else is told in the provenance."""
    from hint_plugin.science.phonons.run import phonons

    monkeypatch.chdir(tmp_path)
    found = phonons(bulk("Cu", a=3.61), EMT(), supercell=2, points=3, mesh=10)
    assert not list(tmp_path.iterdir())
    assert found.bands.lowest > -0.5 and found.phonon.force_constants is not None
    about = found.as_dict()
    assert about["structure"] == "Cu" and about["supercell"] == np.diag([2, 2, 2]).tolist()
    assert about["provenance"]["engine"]["method"] == "ase.calculators.emt:EMT"
    assert about["provenance"]["data"] == [] and "command" not in about["provenance"]
    with pytest.raises(OptionsError, match="relax 'some'; wanted no, positions, cell"):
        phonons(bulk("Cu", a=3.61), EMT(), relax="some")
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionsError, match="is a file; wanted the name of a folder"):
        phonons(bulk("Cu", a=3.61), EMT(), tmp_path / "file")
    with pytest.raises(OptionsError, match="no potential"):
        phonons(bulk("Cu", a=3.61), None)


def test_qha(tmp_path, capsys):
    from hint_plugin.science.phonons.run_qha import qha

    bulk("Cu", a=3.62).write(tmp_path / "cu.cif")
    words = ["--supercell", 2, 2, 2, "--volumes", 5, "--mesh", 10, "-T", 100, "--strain", -0.02, 0.03]
    words += ["--temperature-step", 20, "--pressure", 1]
    assert command("qha", tmp_path / "cu.cif", *EMT_ENGINE, *words, "-o", tmp_path / "one") == 0
    capsys.readouterr()
    told: list[tuple[int, int, int]] = []
    found = qha(
        str(tmp_path / "cu.cif"), emt(), tmp_path / "two", supercell=[2, 2, 2], volumes=5, mesh=10,
        temperature=100, strain=(-0.02, 0.03), temperature_step=20, pressure=1,
        report=lambda *counts: told.append(counts),
    )  # fmt: skip
    assert_same_files(tmp_path / "one", tmp_path / "two", 7)
    assert capsys.readouterr().out == "" and told[-1] == (5, 0, 5)
    found.write(tmp_path / "three")
    assert_same_files(tmp_path / "two", tmp_path / "three", 7)


def test_cubic_and_conductivity(tmp_path, capsys):
    pytest.importorskip("phono3py", reason="needs phono3py: pip install '.[conductivity]'")
    from hint_plugin.science.phonons.run_conductivity import conductivity
    from hint_plugin.science.phonons.run_cubic import cubic

    bulk("Cu", a=3.62).write(tmp_path / "cu.cif")
    words = ["--supercell", 3, 3, 3, "--relax", "cell"]
    assert command("cubic", tmp_path / "cu.cif", *EMT_ENGINE, *words, "-o", tmp_path / "one") == 0
    capsys.readouterr()
    cubic(str(tmp_path / "cu.cif"), emt(), tmp_path / "two", supercell=[3, 3, 3], relax="cell")
    assert_same_files(tmp_path / "one", tmp_path / "two", 9)
    words = ["--mesh", 6, "--mesh", 8, "-T", 300, "--tolerance", 0.001]
    assert command("conductivity", tmp_path / "one", *words, "-o", tmp_path / "a") == 3
    capsys.readouterr()
    found = conductivity(
        tmp_path / "one", None, tmp_path / "b", mesh=(6, 8), temperature=300, tolerance=0.001
    )
    assert_same_files(tmp_path / "a", tmp_path / "b", 5)
    assert capsys.readouterr().out == "" and not found.complete and "not converged" in found.notes[-1]
    found.write(tmp_path / "c")
    assert_same_files(tmp_path / "b", tmp_path / "c", 5)


def test_double_well(tmp_path, capsys):
    from hint_plugin.science.phonons.run import double_well

    bulk("Cu", a=3.6).write(tmp_path / "cu.cif")
    words = ["--points", 5, "--mode", "0.5,0.5,0,3", "--supercell", 2, 2, 2, "--amplitude", 0.1]
    words += ["--reference", "calculator", "--reference-option", "calculator=ase.calculators.emt:EMT"]
    assert command("double-well", tmp_path / "cu.cif", *EMT_ENGINE, *words, "-o", tmp_path / "one") == 0
    options: dict[str, Any] = {"mode": (0.5, 0.5, 0, 3), "supercell": 2, "points": 5, "amplitude": 0.1}
    options |= {"reference": "calculator", "reference_option": ["calculator=ase.calculators.emt:EMT"]}
    found = double_well(tmp_path / "cu.cif", emt(), tmp_path / "two", **options)
    assert_same_files(tmp_path / "one", tmp_path / "two", 3)
    assert found.line.frequency > 100 and found.errors["largest"] < 1e-12
    again = double_well(bulk("Cu", a=3.6), EMT, **options | {"reference": EMT(), "reference_option": ()})
    assert again.profile.energies == pytest.approx(found.profile.energies, abs=1e-6)


def test_sscha(tmp_path, capsys):
    """Stopped after one population and gone on with, by the one and by the other."""
    pytest.importorskip("cellconstructor", reason="hint-mlip[sscha] is not installed")
    from hint_plugin.science.anharmonic.run import sscha

    bulk("Al", a=4.05).write(tmp_path / "al.cif")
    words = ["--supercell", 2, 2, 2, "--configs", 10, "-T", 100, "--masses", "Al=27.5", "--hessian", "v3"]
    line = ["sscha", tmp_path / "al.cif", *EMT_ENGINE, *words, "-o", tmp_path / "one"]
    status = command(*line, "--populations", 1)
    told: list[str] = []
    options: dict[str, Any] = {"supercell": (2, 2, 2), "configs": 10, "temperature": 100, "hessian": "v3"}
    options |= {"masses": {"Al": 27.5}, "report": told.append}
    found = sscha(tmp_path / "al.cif", emt(), tmp_path / "two", populations=1, **options)
    assert status == (0 if found.state.finished else 3)
    assert_same_files(tmp_path / "one", tmp_path / "two", 12)
    assert "population 1: forces, 10 of 10" in told and told[-1] == "writing"
    found.write(tmp_path / "three")
    assert_same_files(tmp_path / "two", tmp_path / "three", 12)
    command(*line, "--populations", 2)
    sscha(tmp_path / "al.cif", emt(), tmp_path / "three", populations=2, **options)
    assert_same_files(tmp_path / "one", tmp_path / "three", 12)
    with pytest.raises(OptionsError, match="without output; wanted a folder for template.xyz"):
        sscha(tmp_path / "al.cif", socket="hint_test_function")
    with pytest.raises(OptionsError, match="hessian 'v5'; wanted none, v3, v4"):
        sscha(tmp_path / "al.cif", emt(), hessian="v5")


def test_sscha_by_clients(tmp_path):
    """The function says how a client is started; what it computes is what the potential itself gives."""
    pytest.importorskip("cellconstructor", reason="hint-mlip[sscha] is not installed")
    from hint_plugin.science.anharmonic.run import sscha

    name, told = f"hint_test_{id(tmp_path)}", []

    def client() -> None:
        atoms = read(tmp_path / "out" / "template.xyz")
        atoms.calc = EMT()
        SocketClient(unixsocket=name).run(atoms, use_stress=True)

    def report(text: str) -> None:
        told.append(text)
        if text.startswith("waiting for clients"):
            threading.Thread(target=client, daemon=True).start()

    options: dict[str, Any] = {"supercell": (2, 2, 2), "configs": 10, "temperature": 100, "populations": 1}
    found = sscha(bulk("Al", a=4.05), EMT(), tmp_path / "out", socket=name, report=report, **options)
    assert told[0].startswith("waiting for clients: hint ipi run --model FILE --template")
    assert told[0].endswith(f"template.xyz --address {name}")
    wanted = sscha(bulk("Al", a=4.05), EMT(), **options).as_dict()
    assert found.as_dict()["free_energy"] == pytest.approx(wanted["free_energy"], abs=1e-8)


def test_tc(tmp_path, capsys):
    from hint_plugin.science.superconductivity.run import tc

    words = ["--unit", "meV", "--mu-star", 0.12, "--mu-star", 0.1, "--temperatures", 2, "--cutoff", "5wmax"]
    assert command("tc", A2F, *words, "-o", tmp_path / "one") == 0
    options: dict[str, Any] = {"unit": "meV", "temperatures": 2, "cutoff": "5wmax"}
    found = tc(str(A2F), tmp_path / "two", mu_star=[0.12, 0.1], **options)
    assert_same_files(tmp_path / "one", tmp_path / "two", 3)
    single = tc(A2F, **options | {"temperatures": 0})
    assert single.as_dict()["isotopes"][0]["results"][0]["mu_star"] == 0.1 and single.gaps == (None,)
    assert found.cases[0].spectrum.lam == single.as_dict()["lambda"]


def test_anharmonic(tmp_path, capsys):
    pytest.importorskip("spglib", reason="needs spglib: pip install '.[phonons]'")
    from hint_plugin.dft.run import anharmonic

    (tmp_path / "upf").mkdir()
    for name in ("Al.upf", "Al_other.upf"):
        (tmp_path / "upf" / name).write_text(
            '<UPF version="2.0.1">\n<PP_INFO>\n</PP_INFO>\n<PP_HEADER\n element="Al"\n pseudo_type="NC"\n'
            ' wfc_cutoff="0.0"\n rho_cutoff="0.0"\n/>\n'
        )
    bulk("Al", a=4.05, cubic=True).write(tmp_path / "al.cif")
    words = ["--pseudo", tmp_path / "upf", "--ecutwfc", 30, "--pseudopotential", "Al=Al.upf", "--copies", 2]
    assert command("anharmonic", tmp_path / "al.cif", *words, "-o", tmp_path / "one") == 0
    options: dict[str, Any] = {"ecutwfc": 30, "pseudopotential": {"Al": "Al.upf"}, "copies": 2}
    found = anharmonic(tmp_path / "al.cif", tmp_path / "upf", tmp_path / "two", **options)
    assert_same_files(tmp_path / "one", tmp_path / "two", 11)
    assert len(found.cell.atoms) == 1 and found.as_dict()["formula"] == "Al"
    of_atoms = anharmonic(bulk("Al", a=4.05), tmp_path / "upf", **options)
    assert of_atoms.structure == "Al" and set(of_atoms.inputs) == set(found.inputs)
