"""The quasi-harmonic approximation: closed forms, phonopy's silicon from VASP's forces, and phonopy itself
with finite displacements of the same potential, as oracles."""

from __future__ import annotations

import csv
import json
import lzma
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from pair_artifact import write_pair
from scipy.optimize import brentq

pytest.importorskip("phonopy", reason="needs phonopy: pip install '.[phonons]'")

from hint_plugin.cli.app import main
from hint_plugin.data import read_frames
from hint_plugin.errors import DataError, InterruptedRunError, OptionsError
from hint_plugin.potentials.hint_calculator import HintCalculator
from hint_plugin.science.phonons.cell_relaxation import relax_crystal
from hint_plugin.science.phonons.crystals import new_phonopy
from hint_plugin.science.phonons.dos import thermodynamics
from hint_plugin.science.phonons.mode_gruneisen import three_around
from hint_plugin.science.phonons.quasiharmonic import (
    Equilibrium,
    FreeEnergies,
    crossings,
    equilibrium,
    temperature_grid,
)
from hint_plugin.science.phonons.quasiharmonic_result import _in_ranges
from hint_plugin.science.phonons.run_qha import qha
from hint_plugin.science.phonons.strained_cells import softest_mode

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:primitive_matrix defaulted")
SILICON = Path(__file__).parents[1] / "data" / "formats" / "phonopy" / "Si-QHA.json.xz"
COPPER = SILICON.with_name("Cu-QHA.json.xz")
EMT_ENGINE = ["--engine", "calculator", "-e", "calculator=ase.calculators.emt:EMT"]
V0, B0, B1 = 12.0, 0.9, 5.0
"""A^3, eV/A^3, and the derivative of B by the pressure."""


def einstein(
    gamma: float = 2.0, quantum: float = 0.02, energy: float = -3.0, low: float = 0.94, high: float = 1.12
) -> FreeEnergies:
    """Three oscillators of `quantum` (eV) (V / V0)^-gamma; energies by Vinet's equation of state."""
    volumes, temperatures = V0 * np.linspace(low, high, 11), temperature_grid(800.0, 10.0)
    x, eta = np.cbrt(volumes / V0), 1.5 * (B1 - 1)
    energies = energy + 9 * B0 * V0 / eta**2 * (1 + (eta * (1 - x) - 1) * np.exp(eta * (1 - x)))
    quanta = quantum * (volumes / V0) ** -gamma
    kt = units.kB * np.maximum(temperatures, 1e-3)[:, None]
    y = quanta / kt
    free = 1.5 * quanta + 3 * kt * np.log(-np.expm1(-y))
    heat = 3 * units.kB * y**2 * np.exp(-y) / np.expm1(-y) ** 2
    entropy = 3 * units.kB * (y / np.expm1(np.minimum(y, 700)) - np.log(-np.expm1(-y)))
    return FreeEnergies(volumes, energies, temperatures, free, entropy, heat)


def test_an_einstein_crystal_has_the_parameter_it_was_made_with():
    """gamma is 2 at all temperatures, alpha = gamma C_V / (B_T V), and C_p - C_V = T V alpha^2 B_T."""
    found = equilibrium(einstein(gamma=2.0))
    assert found.temperatures[-1] == 800.0 and not found.left_out and found.residual.max() < 2e-5
    warm = found.temperatures >= 50
    assert found.gruneisen[warm] == pytest.approx(2.0, rel=0.01)
    assert np.isnan(found.gruneisen[0]) and found.thermal_expansion[0] == 0 == found.heat_capacity_p[0]
    modulus = found.bulk_modulus * units.GPa
    alpha = 2.0 * found.heat_capacity_v / (modulus * found.volume)
    assert found.thermal_expansion[warm] == pytest.approx(alpha[warm], rel=0.01)
    assert abs(found.identity[warm] / found.heat_capacity_p[warm]).max() < 1e-3
    entropy = -np.gradient(found.gibbs_energy, found.temperatures)
    assert found.entropy[15:-1] == pytest.approx(entropy[15:-1], rel=2e-3)
    slope = (found.bulk_modulus[-1] - found.bulk_modulus[30]) / (
        found.temperatures[-1] - found.temperatures[30]
    )
    assert slope < 0 and found.bulk_modulus[0] == pytest.approx(B0 / units.GPa, rel=0.05)


def test_without_a_dependence_on_the_volume_there_is_no_expansion():
    found = equilibrium(einstein(gamma=0.0))
    assert abs(found.thermal_expansion).max() < 1e-9 and found.volume == pytest.approx(V0, rel=1e-6)
    assert found.bulk_modulus == pytest.approx(B0 / units.GPa, rel=1e-4)
    assert found.heat_capacity_p == pytest.approx(found.heat_capacity_v, abs=1e-9)


def test_pressure():
    """G(p) is that of the Legendre transform, and dG/dp = V."""
    at = [equilibrium(einstein(low=0.9), pressure) for pressure in (0.9, 1.0, 1.1)]
    slope = (at[2].gibbs_energy - at[0].gibbs_energy) / (0.2 * units.GPa)
    assert slope == pytest.approx(at[1].volume, rel=1e-4)
    modulus = -at[1].volume * 0.2 / (at[2].volume - at[0].volume)
    assert modulus == pytest.approx(at[1].bulk_modulus, rel=0.01)


def test_a_minimum_outside_of_the_volumes_is_left_out_and_named():
    found = equilibrium(einstein(high=1.02))
    names = {t for t, _ in found.left_out}
    assert found.temperatures[-1] < 700 and names == set(np.arange(found.temperatures[-1] + 10, 801, 10))
    assert found.volume.max() <= 1.02 * V0
    assert "above the volumes, 11.280 to 12.240 A^3" in found.left_out[-1][1]
    with pytest.raises(DataError, match=r"no temperature has a minimum.*above the volumes.*--strain"):
        equilibrium(einstein(low=0.85, high=0.95))
    with pytest.raises(OptionsError, match="4 volumes; wanted 5 or more"):
        grid = einstein()
        equilibrium(
            FreeEnergies(
                grid.volumes[:4], grid.energies[:4], grid.temperatures, *(
                    x[:, :4] for x in (grid.free_energy, grid.entropy, grid.heat_capacity)
                ),
            )
        )  # fmt: skip
    with pytest.raises(OptionsError, match="equation of state 'birch'; wanted vinet"):
        equilibrium(einstein(), eos="birch")


def test_free_energies_that_are_no_curve_have_no_result_or_a_large_residual():
    """A planted fault: the energy at one volume is wrong by 10 meV."""
    grid = einstein()
    grid.energies[4] += 0.01
    assert equilibrium(grid).residual.max() > 5e-3


def test_temperatures():
    assert temperature_grid(1000, 10)[-1] == 1010 and temperature_grid(1005, 10)[-1] == 1010
    assert len(temperature_grid(0.3, 0.1)) == 5
    for wrong in ((0.0, 10.0), (100.0, 0.0), (100.0, -1.0), (np.inf, 10.0)):
        with pytest.raises(OptionsError, match="wanted a step above 0"):
            temperature_grid(*wrong)


def test_two_phases_cross_where_their_closed_forms_do():
    """The soft phase is 30 meV higher when cold, and wins by its entropy; a third one is never reached."""

    def gibbs(quantum: float, energy: float, temperature: float) -> float:
        kt = units.kB * temperature
        return energy + 1.5 * quantum + 3 * kt * np.log(-np.expm1(-quantum / kt))

    hard, soft = (0.03, -3.0), (0.02, -2.97)
    wanted = brentq(lambda t: gibbs(*hard, t) - gibbs(*soft, t), 50, 790)
    phases = [
        (name, equilibrium(einstein(0.0, *of)))
        for name, of in (("soft", soft), ("hard", hard), ("no", (0.03, -2)))
    ]
    (found,) = crossings(phases)
    assert found.phases == ("hard", "soft") and found.stable
    assert found.temperature == pytest.approx(wanted, abs=0.1) and 200 < wanted < 700
    slope = [gibbs(*hard, t) - gibbs(*soft, t) for t in (wanted - 1, wanted + 1)]
    assert found.entropy == pytest.approx((slope[1] - slope[0]) / 2, rel=1e-3) and found.spread < 0.1
    below = ("best", equilibrium(einstein(0.0, 0.03, -3.5)))
    (found,) = crossings([*phases[:2], below])
    assert not found.stable
    assert crossings([phases[0], ("again", phases[0][1])]) == []


def silicon() -> tuple[dict[str, Any], list[Any]]:
    """phonopy's example Si-QHA: what is expected, and phonons from VASP's forces at 11 volumes."""
    with lzma.open(SILICON, "rt") as handle:
        about = json.load(handle)
    phonons = []
    for one in about["volumes"]:
        atoms = Atoms("Si8", cell=[one["a"]] * 3, scaled_positions=about["scaled_positions"], pbc=True)
        phonon: Any = new_phonopy(atoms, 2)
        moved = {"number": 0, "displacement": about["displacement"], "forces": np.array(one["forces"])}
        phonon.dataset = {"natom": 64, "first_atoms": [moved]}
        phonon.produce_force_constants(calculate_full_force_constants=False, show_drift=False)
        phonons.append(phonon)
    return about, phonons


@pytest.mark.slow
def test_silicon_of_phonopys_example():
    """From forces to alpha, B, C_p and gamma, at 0 and 5 GPa, against the numbers of phonopy's own tests."""
    about, phonons = silicon()
    temperatures = temperature_grid(1000.0, 10.0)
    assert all(softest_mode(phonon, (6, 6, 6)).stable for phonon in phonons)
    sums = [
        thermodynamics(phonon, temperatures, (20, 20, 20), gamma_centred=True, lowest=1.0)
        for phonon in phonons
    ]
    grid = FreeEnergies(  # of the conventional cell, 8 atoms; the primitive one has 2
        np.array([one["volume"] for one in about["volumes"]]),
        np.array([one["energy"] for one in about["volumes"]]),
        temperatures,
        4 * np.array([one.free_energy for one in sums]).T,
        4 * np.array([one.entropy for one in sums]).T,
        4 * np.array([one.heat_capacity for one in sums]).T,
    )
    rows = np.searchsorted(temperatures, about["temperatures"])
    for k, pressure in enumerate(about["pressures"]):
        found, wanted = equilibrium(grid, pressure), {n: np.array(v[k]) for n, v in about["expected"].items()}
        assert 1e6 * found.thermal_expansion[rows] == pytest.approx(wanted["thermal_expansion"], abs=5e-3)
        assert found.volume[rows] == pytest.approx(wanted["volume"], abs=1e-3)
        assert found.gibbs_energy[rows] == pytest.approx(wanted["gibbs_energy"], abs=1e-3)
        assert found.bulk_modulus[rows] == pytest.approx(wanted["bulk_modulus"], abs=2e-3)
        heat = found.heat_capacity_p[rows] * units.mol / units.J
        assert heat == pytest.approx(wanted["heat_capacity_p"], abs=0.02)
        assert found.gruneisen[rows][1:] == pytest.approx(wanted["gruneisen"][1:], abs=5e-4)


def test_copper_of_phonopys_example():
    """phonopy's example Cu-QHA with its electrons: V, alpha, B, G, gamma, from 0 to 1300 K, at 0 and 5 GPa.

    alpha and G as closely as phonopy's own test has them: 0.01 10^-6/K and 1e-5 eV, more or less.
    """
    with lzma.open(COPPER, "rt") as handle:
        about = json.load(handle)
    free, heat = np.array(about["free_energy"]), np.array(about["heat_capacity"]) * units.J / units.mol
    temperatures = temperature_grid(1300.0, 10.0)
    grid = FreeEnergies(
        np.array(about["volumes"]), np.zeros(11), temperatures, free, np.ones_like(free), heat
    )
    rows = np.searchsorted(temperatures, about["temperatures"])
    for k, pressure in enumerate(about["pressures"]):
        found, wanted = equilibrium(grid, pressure), {n: np.array(v[k]) for n, v in about["expected"].items()}
        assert 1e6 * found.thermal_expansion[rows] == pytest.approx(wanted["thermal_expansion"], abs=1e-2)
        assert found.volume[rows] == pytest.approx(wanted["volume"], abs=1e-4)
        assert found.gibbs_energy[rows] == pytest.approx(wanted["gibbs_energy"], abs=2e-5)
        assert found.bulk_modulus[rows] == pytest.approx(wanted["bulk_modulus"], abs=1e-3)
        assert found.gruneisen[rows][1:] == pytest.approx(wanted["gruneisen"][1:], abs=2e-4)


def by_phonopy_alone(lattice: np.ndarray, temperatures: np.ndarray) -> Any:
    """EMT copper: cells, displacements and the approximation by phonopy; nothing of HINT."""
    phonopy = pytest.importorskip("phonopy", minversion="4.0")
    if not hasattr(phonopy, "run_qha"):
        pytest.skip("this phonopy has no run_qha")
    from phonopy.structure.atoms import PhonopyAtoms

    phonons, energies = [], []
    for a in lattice:
        atoms = bulk("Cu", a=a)
        atoms.calc = EMT()
        energies.append(atoms.get_potential_energy())
        cell = PhonopyAtoms(["Cu"], cell=atoms.cell.array, scaled_positions=[[0, 0, 0]])
        phonon = phonopy.Phonopy(cell, np.diag([2, 2, 2]), primitive_matrix="P")
        phonon.generate_displacements(distance=0.005)
        forces = []
        for moved in phonon.supercells_with_displacements:
            large = Atoms("Cu8", cell=moved.cell, positions=moved.positions, pbc=True, calculator=EMT())
            forces.append(large.get_forces())
        phonon.forces = np.array(forces)
        phonon.produce_force_constants()
        phonon.symmetrize_force_constants()
        phonons.append(phonon)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return phonopy.run_qha(
            phonons, temperatures, np.array(energies), mesh=[11, 11, 11], exclude_gamma_acoustic=True
        )


@pytest.mark.slow
def test_copper_in_two_codes(tmp_path, capsys):
    """`hint qha` against phonopy alone, at other volumes: V to 1e-4, B and C_p to 0.5 %, alpha to 1 %."""
    bulk("Cu", a=3.7).write(tmp_path / "cu.cif")
    words = ["--supercell", "2", "2", "2", "--volumes", "7", "--mesh", "23", "-T", "600"]
    words += ["--temperature-step", "20", *EMT_ENGINE, "-o", str(tmp_path / "out")]
    run(["qha", str(tmp_path / "cu.cif"), *words], 0)
    said = capsys.readouterr().out
    assert "cu: per Cu at 0 GPa, 7 of 7 volumes, mesh 11 11 11" in said and "C_p, J/mol/K" in said
    result = json.loads((tmp_path / "out" / "qha.json").read_text())
    assert result["notes"] == [] and result["crossings"] == []
    (phase,) = result["phases"]
    wanted = by_phonopy_alone(np.linspace(3.54, 3.70, 8), np.arange(0.0, 621.0, 20.0))
    at = [k for k, t in enumerate(phase["temperatures"]) if t in (100, 300, 600)]
    assert len(at) == 3 and phase["temperatures"] == wanted.temperatures.tolist()
    pairs = {
        "volume": (wanted.equilibrium_volumes, 1e-4),
        "bulk_modulus": (wanted.bulk_moduli / units.GPa, 5e-3),
        "heat_capacity_p": (wanted.heat_capacity_P.heat_capacities, 5e-3),
        "thermal_expansion": (wanted.thermal_expansion, 1e-2),
        "gruneisen": (wanted.gruneisen_parameters, 1e-2),
    }
    assert np.array(phase["gibbs_energy"])[at] == pytest.approx(wanted.gibbs_free_energies[at], abs=2e-5)
    for name, (values, tolerance) in pairs.items():
        assert np.array(phase[name])[at] == pytest.approx(np.asarray(values)[at], rel=tolerance), name
    with open(tmp_path / "out" / "qha.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 31 and rows[0]["gruneisen"] == "" and float(rows[15]["temperature"]) == 300
    assert float(rows[15]["thermal_expansion"]) == pytest.approx(phase["thermal_expansion"][15])
    with open(tmp_path / "out" / "free_energies.csv", newline="") as handle:
        assert len(list(csv.DictReader(handle))) == 7 * 32
    cells = read_frames(tmp_path / "out" / "volumes.xyz")
    assert [one.get_volume() for one in cells] == pytest.approx([row["volume"] for row in phase["volumes"]])
    assert (tmp_path / "out" / "qha.png").stat().st_size > 10_000
    assert not list((tmp_path / "out").glob("*.jsonl"))


def run(words: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert (stop.value.code or 0) == code


@pytest.fixture(scope="module")
def morse(tmp_path_factory) -> Path:
    """A pair potential between nearest neighbours, with exact products."""
    return write_pair(tmp_path_factory.mktemp("morse") / "pair.hint.pt")


SMALL: dict[str, Any] = {
    **{"supercell": 2, "volumes": 5, "strain": (-0.03, 0.05), "mesh": 12},
    **{"temperature": 200, "temperature_step": 20},
}


def test_a_stopped_run_goes_on_and_ends_alike(morse, tmp_path):
    """Stopped after two volumes; the others are computed, and the files are those of a run in one go."""

    def stop(done: int, failed: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    cu, seen = bulk("Cu", a=3.5), []
    with pytest.raises(
        InterruptedRunError, match=r"2 of 5 volumes are done and kept in .*qha\.partial\.jsonl"
    ):
        qha(cu, morse, tmp_path / "two", **SMALL | {"temperature": 100}, report=stop)
    with pytest.raises(OptionsError, match="volumes: 5 then, 6 now"):
        qha(cu, morse, tmp_path / "two", **SMALL | {"volumes": 6})
    found = qha(cu, morse, tmp_path / "two", **SMALL, report=lambda *counts: seen.append(counts))
    assert (
        seen == [(0, 0, 5), (2, 0, 5), (3, 0, 5), (4, 0, 5), (5, 0, 5)]
        and found.complete
        and found.notes == []
    )
    qha(cu, morse, tmp_path / "one", **SMALL)  # the temperatures of the first call do not matter
    for name in ("qha.csv", "volumes.csv", "free_energies.csv", "volumes.xyz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    (phase,) = found.phases
    assert_modes_agree(phase)
    assert {row["products"] for row in phase.volumes} == {1}


def assert_modes_agree(phase: Any) -> None:
    """The mean over the modes is V (dS/dV) / C_V of the sums at the same volume: two ways to gamma."""
    grid, modes = phase.grid, phase.modes
    k = int(np.abs(grid.volumes - modes.volume).argmin())
    for row in (5, 10):
        slope = np.polynomial.Polynomial.fit(grid.volumes, grid.entropy[row], 4).deriv()(modes.volume)
        wanted = modes.volume * slope / grid.heat_capacity[row, k]
        assert modes.mean(grid.temperatures[row]) == pytest.approx(wanted, rel=5e-3)
    counted = modes.weights.sum() * 3
    assert (np.isnan(modes.parameters) * modes.weights[:, None]).sum() == 3 < counted
    assert modes.as_dict()["lowest"] <= modes.mean(np.inf) <= modes.as_dict()["highest"]


def test_three_volumes_that_follow_one_another():
    assert three_around(np.array([1.0, 1.1, 1.2, 1.3]), 1.17) == (1, 2, 3)
    assert three_around(np.array([1.0, 1.1, 1.3, 1.4]), 1.2) is None
    assert three_around(np.array([1.0, 1.1, 1.2, 1.4]), 1.4) == (0, 1, 2)


def test_a_hexagonal_cell_is_relaxed_at_constant_volume(morse):
    """c/a that is wrong by 2 % comes back at the same volume; a pressure from outside is that inside."""
    start = bulk("Cu", "hcp", a=2.28, c=2.28 * 1.66)
    found = relax_crystal(start, HintCalculator(morse), constant_volume=True, fmax=1e-4).atoms
    assert found.get_volume() == pytest.approx(start.get_volume(), rel=1e-9)
    assert found.cell.lengths()[2] / found.cell.lengths()[0] == pytest.approx(np.sqrt(8 / 3), rel=2e-3)
    squeezed = relax_crystal(start, HintCalculator(morse), pressure=2.0, fmax=1e-5)
    assert squeezed.pressure == pytest.approx(2.0, abs=0.02)


def test_imaginary_modes_are_named_and_not_integrated(morse, tmp_path):
    """A simple cubic crystal of atoms that repel their neighbours buckles: no volume has a free energy."""
    with pytest.raises(DataError) as error:
        qha(bulk("Cu", "sc", a=2.0), morse, tmp_path / "sc", **SMALL | {"relax": "no"})
    said = str(error.value)
    assert "Cu: phonons at 0 of 5 volumes, and 5 are wanted" in said and "Cu 0.9700 V0 (" in said
    assert "imaginary modes, or modes below 1 cm^-1" in said and "cm^-1 at q = " in said


def test_a_soft_volume_is_left_out(morse):
    """Beyond the inflection of the potential shear goes first: the large volumes are left out, and told."""
    options = SMALL | {"volumes": 12, "strain": (-0.03, 0.41), "temperature": 40}
    found = qha(bulk("Cu", a=3.5), morse, **options)
    rows = found.phases[0].volumes
    left = [row for row in rows if "left_out" in row]
    assert 0 < len(left) <= 7 and all(row["lowest"] < 1 for row in left) and not found.complete
    assert len(found.phases[0].grid.volumes) == 12 - len(left)
    assert {row["volume"] for row in left}.isdisjoint(found.phases[0].grid.volumes.tolist())
    assert sum("is left out: imaginary modes" in note for note in found.notes) == len(left)


def test_phases(morse, tmp_path, capsys):
    """fcc and hcp: nearest neighbours alone cannot tell their energies; two compositions are refused."""
    bulk("Cu", a=3.5).write(tmp_path / "fcc.cif")
    bulk("Cu", "hcp", a=2.5, c=2.5 * np.sqrt(8 / 3)).write(tmp_path / "hcp.cif")
    found = qha([tmp_path / "fcc.cif", tmp_path / "hcp.cif"], morse, tmp_path / "out", **SMALL)
    assert [phase.name for phase in found.phases] == ["fcc", "hcp"] and found.phases[1].units == 2
    energies = [phase.volumes[2]["energy"] for phase in found.phases]
    assert energies[0] == pytest.approx(energies[1], abs=1e-4)
    assert found.lowest in ("fcc", "hcp")
    assert found.crossings or "cross" in found.notes[-1] or "the same Gibbs energy" in found.notes[-1]
    result = json.loads((tmp_path / "out" / "qha.json").read_text())
    assert result["stable_when_cold"] == found.lowest and len(result["phases"]) == 2
    bulk("Al", a=3.6).write(tmp_path / "al.cif")
    with pytest.raises(DataError, match="al is Al.*different compositions cannot be compared"):
        qha([tmp_path / "fcc.cif", tmp_path / "al.cif"], morse)
    with pytest.raises(OptionsError, match="a file is given twice"):
        qha([tmp_path / "fcc.cif", tmp_path / "fcc.cif"], morse)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"volumes": 4}, "4 volumes; wanted 5 or more"),
        ({"strain": (0.1, 0.0)}, "strain 0.1 to 0; wanted two parts of the volume, ascending"),
        ({"relax": "some"}, "relax 'some'; wanted cell, positions, no"),
        ({"eos": "birch"}, "equation of state 'birch'"),
        ({"temperature": 5.0}, "temperatures up to 5 K in steps of 10 K"),
        ({"pressure": np.nan}, "pressure nan GPa"),
        ({"mesh": 0.0}, "mesh 0.0 A; wanted a length above 0"),
        ({"parsl": "file.yaml"}, "parsl without output"),
        ({"supercell": (0, 1, 1)}, "supercell"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(OptionsError, match=message):
        qha(bulk("Cu"), EMT(), **options)
    with pytest.raises(OptionsError, match="no structure"):
        qha([], EMT())


class NoStress(EMT):
    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def get_stress(self, atoms: Any = None) -> Any:
        raise PropertyNotImplementedError("stress")


def test_a_potential_without_stress():
    """The shape of a cell cannot follow; a stretched one can, and forces that are left are told."""
    with pytest.raises(OptionsError, match=r"Cu: the potential has no stress .*--relax positions"):
        qha(bulk("Cu", a=3.6), NoStress(), **SMALL)
    diamond = bulk("Cu", "diamond", a=5.5)
    diamond.positions[1] += 0.05
    with pytest.raises(DataError, match="phonons at 0 of 5 volumes"):
        qha(diamond, NoStress(), **SMALL | {"relax": "no", "supercell": 1})


def test_layers_and_molecules_are_refused():
    layer = bulk("Cu")
    layer.pbc = (True, True, False)
    with pytest.raises(DataError, match="is a layer"):
        qha(layer, EMT())


def test_planted_faults_are_told(morse, monkeypatch):
    """A coarse mesh, a bad fit, fits that disagree, forces, another space group, a stress nobody trained."""
    monkeypatch.setattr(
        "hint_plugin.science.phonons.run_qha.trained_on", lambda calculator: {"stress": False}
    )
    found = qha(bulk("Cu", a=3.25), morse, **SMALL)
    (phase,) = found.phases
    (note,) = found.notes
    assert "a model that was not trained on stresses" in note and phase.relaxation["pressure"] is None
    good, fits = replace(phase, relaxation=None), phase.equilibrium
    assert good.notes == []
    rows = [dict(row) for row in phase.volumes]
    rows[1] |= {"space_group": "I4/mmm", "largest_force": 0.02}
    faults = {
        "a finer mesh moves the free energy by 5.0 meV": {"mesh_error": 5e-3},
        "the equation of state misses a free energy by 4.0 meV": {
            "equilibrium": replace(fits, residual=fits.residual + 4e-3 - fits.residual.max())
        },
        "differ by up to 9": {"equilibrium": replace(fits, heat_capacity_p=1.1 * fits.heat_capacity_p)},
        "the space group changes with the volume: Fm-3m, I4/mmm": {"volumes": tuple(rows)},
        "not at rest: up to 0.020 eV/A on an atom": {"volumes": tuple(rows)},
        "nothing at 30 K: no minimum": {"equilibrium": replace(fits, left_out=((30.0, "no minimum"),))},
    }
    for words, fault in faults.items():
        assert any(words in note for note in replace(good, **fault).notes), words


def test_what_is_said_of_temperatures():
    why = "the minimum of the free energy is above the volumes, 1.000 to 2.000 A^3"
    said = _in_ranges([(10.0, why), (20.0, why), (30.0, "no equation of state fits")])
    assert said[0] == f"nothing from 10 to 20 K: {why}; take other volumes with --strain"
    assert said[1] == "nothing at 30 K: no equation of state fits"
    empty = np.array([0.0, 10.0])
    one = Equilibrium(empty, *(np.ones(2) for _ in range(8)), residual=np.zeros(2))
    assert one.at(9.0)["temperature"] == 10.0
