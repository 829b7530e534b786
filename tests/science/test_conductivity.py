"""Thermal conductivity: closed forms of sums over modes, and phono3py itself, as oracles."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

pytest.importorskip("phonopy", reason="needs phonopy: pip install '.[phonons]'")
pytest.importorskip("phono3py", reason="needs phono3py: pip install '.[conductivity]'")

import phono3py

from hint_plugin.errors import DataError, InterruptedRunError, OptionsError
from hint_plugin.science.phonons.conductivity_result import Conductivity
from hint_plugin.science.phonons.heat_conduction import Conduction, compare_modes, read_modes, write_modes
from hint_plugin.science.phonons.run_conductivity import conductivity
from hint_plugin.science.phonons.run_cubic import cubic

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:primitive_matrix defaulted")


def made(scale: float = 1.0, mesh: tuple[int, int, int] = (2, 2, 2)) -> Conduction:
    """Three branches at two q points that stand for one and seven, at 100 and 300 K."""
    rng = np.random.default_rng(0)
    modes = np.zeros((2, 2, 3, 6))
    modes[..., :3] = scale * rng.uniform(1.0, 2.0, (2, 2, 3, 1))
    return Conduction(
        mesh=mesh,
        temperatures=np.array([100.0, 300.0]),
        rta=modes.sum(axis=(1, 2)),
        direct=None,
        coherences=None,
        qpoints=np.array([[0.0, 0, 0], [0.5, 0, 0]]),
        weights=np.array([1, 7]),
        frequencies=np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        velocities=np.tile([30.0, 40.0, 0.0], (2, 3, 1)),
        gamma=np.full((2, 2, 3), 0.05),
        modes=modes,
    )


def result_of(*meshes: Conduction, **options: Any) -> Conductivity:
    return Conductivity("made", meshes, 0.05, {}, **options)


def test_sums_over_modes():
    """Path 50 THz A / (4 pi 0.05 THz), and each mode counts once, up to its own frequency."""
    one = made()
    assert one.mean_free_paths() == pytest.approx(50 / (4 * np.pi * 0.05) / 1e4)
    x, kappa = one.by_frequency(290.0, points=601)
    mine = one.modes[1, :, :, 0].ravel()
    assert kappa[-1] == pytest.approx(one.total[1, 0]) and kappa[0] == 0
    assert x[-1] == pytest.approx(6 * 33.35640951981521)
    for k in range(6):
        assert kappa[100 * (k + 1) - 50] == pytest.approx(mine[:k].sum())
    _, by_path = one.by_mean_free_path(300.0)
    assert by_path[-1] == pytest.approx(kappa[-1])
    frequency, path = result_of(one).half()
    assert 3 < frequency / 33.356 <= 6 and path == pytest.approx(0.00795775, rel=1e-5)


def test_errors_of_modes():
    """SRD 2/3 of twice as much in each mode, and of modes exchanged SRD 0 and SRME of what was exchanged."""
    reference = made()
    as_read = type("Reference", (), {**reference.__dict__, "total": reference.total})()
    (_, same) = compare_modes(reference, as_read)
    assert same["srd"] == same["srme"] == 0 and same["kappa"] == pytest.approx(reference.total[1, 0])
    (_, twice) = compare_modes(made(2.0), as_read)
    assert twice["srd"] == twice["srme"] == pytest.approx(2 / 3)
    exchanged = replace(reference, modes=reference.modes[:, :, ::-1])
    (_, other) = compare_modes(exchanged, as_read)
    mine, theirs = exchanged.modes[1, :, :, 0], reference.modes[1, :, :, 0]
    assert other["srd"] == pytest.approx(0) and other["srme"] == pytest.approx(
        2 * abs(mine - theirs).sum() / (mine.sum() + theirs.sum())
    )
    with pytest.raises(DataError, match="wanted the same crystal and mesh"):
        compare_modes(made(mesh=(3, 3, 3)), as_read)
    as_read.qpoints = reference.qpoints + 0.25
    with pytest.raises(DataError, match="other q points"):
        compare_modes(reference, as_read)
    as_read.qpoints, as_read.temperatures = None, np.array([10.0])
    with pytest.raises(DataError, match="the reference is of 10 K"):
        compare_modes(reference, as_read)


def test_what_is_said_of_meshes():
    assert "one mesh alone" in result_of(made()).notes[0] and result_of(made()).complete
    fine = replace(made(1.04), mesh=(4, 4, 4))
    good = result_of(made(), fine)
    assert good.convergence == pytest.approx(0.04 / 1.04) and good.complete and good.notes == []
    bad = result_of(made(), replace(made(2.0), mesh=(4, 4, 4)))
    assert not bad.complete and "from mesh 2 2 2 to 4 4 4 kappa changes by 50.0 %" in bad.notes[0]
    glass = replace(made(), coherences=2 * made().rta)
    assert "coherences carry 67 % of the heat" in result_of(glass, glass).notes[0]


@pytest.fixture(scope="module")
def forces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copper on EMT."""
    folder = tmp_path_factory.mktemp("forces")
    cubic(bulk("Cu", a=3.6), EMT(), folder, supercell=3)
    return folder


def test_against_phono3py_and_its_file(forces, tmp_path, monkeypatch):
    """The same numbers as phono3py's own run on the folder, and SRME 0 against the file that it writes."""
    own = phono3py.load(
        forces / "phono3py_disp.yaml", fc3_filename=forces / "fc3.hdf5", fc2_filename=forces / "fc2.hdf5",
        log_level=0,
    )  # fmt: skip
    own.mesh_numbers = [4, 4, 4]
    own.init_phph_interaction()
    monkeypatch.chdir(tmp_path)
    own.run_thermal_conductivity(temperatures=[200.0, 300.0], is_isotope=True, write_kappa=True)
    (file,) = tmp_path.glob("kappa-*.hdf5")
    found = conductivity(
        forces, None, tmp_path / "out", mesh=6.0, temperature=[300, 200], isotopes=True, wigner=False,
        reference=file,
    )  # fmt: skip
    assert [one.mesh for one in found.meshes] == [(3, 3, 3)] and found.compared == (4, 4, 4)
    for k, row in enumerate(found.errors):
        assert row["srme"] < 1e-6 and row["kappa"] == pytest.approx(own.thermal_conductivity.kappa[0, k, 0])
    result = json.loads((tmp_path / "out" / "conductivity.json").read_text())
    assert result["kappa"] == pytest.approx([one["kappa"] for one in rows_of(tmp_path / "out")])
    assert result["converged"] is None and "one mesh alone" in result["notes"][0]
    again = read_modes(tmp_path / "out")
    assert again.modes == pytest.approx(found.finest.modes) and again.total == pytest.approx(
        found.finest.total
    )


def rows_of(folder: Path) -> list[dict[str, float]]:
    with open(folder / "conductivity.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert {row["mesh"] for row in rows} == {"3 3 3"}
    return [{"kappa": float(row["kappa"])} for row in rows]


def test_direct_solution_with_coherences(forces):
    """Modes add up to the total, and the coherences are those of the relaxation times."""
    options: dict[str, Any] = {"mesh": 6.0, "temperature": 300.0}
    direct = conductivity(forces, **options, solution="direct").finest
    rta = conductivity(forces, **options).finest
    assert direct.rta == pytest.approx(rta.rta, rel=1e-6)
    assert direct.coherences == pytest.approx(rta.coherences, rel=1e-6, abs=1e-9)
    for one in (direct, rta):
        assert one.modes.sum(axis=(1, 2)) == pytest.approx(one.total, rel=1e-6, abs=1e-6)
    assert direct.direct is not None and direct.direct[0, 0] != pytest.approx(rta.rta[0, 0], rel=1e-4)


def test_a_stopped_run_goes_on(forces, tmp_path, monkeypatch):
    """Force constants and the first mesh are kept."""
    from hint_plugin.science.phonons import run_conductivity

    counted = []
    real = run_conductivity.conduct

    def stops(crystal: Any, mesh: Any, *rest: Any, **options: Any) -> Conduction:
        counted.append(tuple(mesh))
        if len(counted) == 2:
            raise KeyboardInterrupt
        return real(crystal, mesh, *rest, **options)

    monkeypatch.setattr(run_conductivity, "conduct", stops)
    options: dict[str, Any] = {"mesh": (5.0, 7.0), "temperature": 300.0, "supercell": 3, "tolerance": 9.0}
    cu = bulk("Cu", a=3.6)
    with pytest.raises(InterruptedRunError, match="force constants are done, and 1 meshes; kept in"):
        conductivity(cu, EMT(), tmp_path, **options)
    monkeypatch.setattr(run_conductivity, "cubic", None)  # not called
    found = conductivity(cu, EMT(), tmp_path, **options)
    assert (
        counted == [(2, 2, 2), (3, 3, 3), (3, 3, 3)]
        and not (tmp_path / "conductivity.partial.jsonl").exists()
    )
    fresh = conductivity(forces, mesh=7.0, temperature=300.0)
    assert found.finest.total == pytest.approx(fresh.finest.total, rel=1e-9)
    assert (tmp_path / "cubic.json").is_file()


def test_refused(forces, tmp_path):
    with h5py.File(tmp_path / "empty.hdf5", "w") as handle:
        handle["mesh"] = [2, 2, 2]
    for options, error, message in (
        ({"mesh": []}, OptionsError, "mesh .*wanted lengths above 0"),
        ({"temperature": 0.0}, OptionsError, "wanted temperatures above 0"),
        ({"tolerance": 0.0}, OptionsError, "tolerance 0.0"),
        ({"solution": "exact"}, OptionsError, "solution 'exact'; wanted rta, direct"),
        ({"boundary": -1.0}, OptionsError, "boundary -1.0 micrometres"),
        ({"potential": EMT()}, OptionsError, "a potential is given, too"),
        ({"reference": tmp_path / "empty.hdf5"}, DataError, "no mode conductivities in it"),
    ):
        with pytest.raises(error, match=message):
            conductivity(forces, **options)
    with pytest.raises(DataError, match="none of phono3py_disp.yaml"):
        conductivity(tmp_path)
    with pytest.raises(DataError, match=r"imaginary modes: .*no phonons that carry heat"):
        conductivity(bulk("Cu", "bcc", a=2.87), EMT(), supercell=3, mesh=6.0)


@pytest.mark.parametrize(
    "change, own, words",
    [
        (lambda fc3: fc3 * 1.01, True, "fc3.hdf5 is not the file that hint cubic wrote"),
        (lambda fc3: np.where(np.arange(fc3.size).reshape(fc3.shape) == 5, np.nan, fc3), False, "NaN"),
        (lambda fc3: np.random.default_rng(0).normal(size=fc3.shape), False, "a translation of all atoms"),
        (lambda fc3: 0.0 * fc3, False, "a translation of all atoms"),
    ],
)
def test_constants_that_cannot_be(forces, tmp_path, change, own, words):
    """Changed after `hint cubic` wrote them, or of a program that says nothing of them."""
    folder = shutil.copytree(forces, tmp_path / "changed")
    with h5py.File(folder / "fc3.hdf5", "r+") as handle:
        handle["fc3"][...] = change(handle["fc3"][...])
    if not own:
        (folder / "cubic.json").unlink()
    with pytest.raises(DataError, match=words):
        conductivity(folder, mesh=6.0)


def test_gamma_alone_is_no_mesh(forces):
    with pytest.raises(OptionsError, match="is one q point here, Gamma"):
        conductivity(forces, mesh=1.0)


def test_nothing_that_conducts_is_said():
    found = result_of(made(0.0))
    assert any("kappa is 0 at 100, 300 K" in note for note in found.notes)
    assert found.as_dict()["half_of_kappa"]["below_frequency"] is None


def test_modes_are_written_in_phono3pys_units(tmp_path):
    write_modes(made(), tmp_path / "modes.hdf5")
    read = read_modes(tmp_path)
    assert read.mesh == (2, 2, 2) and read.modes == pytest.approx(made().modes)
    with h5py.File(tmp_path / "modes.hdf5") as handle:
        assert np.array(handle["mode_kappa"]).sum(axis=(1, 2)) / 8 == pytest.approx(np.array(handle["kappa"]))
