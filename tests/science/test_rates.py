"""Rate constants against closed forms, an exact solution, other people's isotope effects, and by hand."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from leps import LENGTH, Leps, reaction_folder, saddle
from numpy.testing import assert_allclose
from reaction_runs import hint
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.molecules import normal_modes, thermochemistry
from hint_plugin.science.molecules.rotational_symmetry import is_chiral
from hint_plugin.science.reactions.kinetics import run_rates
from hint_plugin.science.reactions.kinetics.arrhenius import arrhenius_fit
from hint_plugin.science.reactions.kinetics.channel import Channel, Side
from hint_plugin.science.reactions.kinetics.following import reaction_path
from hint_plugin.science.reactions.kinetics.isotope_effects import isotope_effects_at
from hint_plugin.science.reactions.kinetics.isotopes import Isotopologue, principal_masses
from hint_plugin.science.reactions.kinetics.model_errors import model_error
from hint_plugin.science.reactions.kinetics.reaction_folder import read_reaction_folder
from hint_plugin.science.reactions.kinetics.reaction_path import ReactionPath, path_point
from hint_plugin.science.reactions.kinetics.separate_parts import Part, separate
from hint_plugin.science.reactions.kinetics.small_curvature import (
    AdiabaticTunnelling,
    small_curvature,
    zero_curvature,
)
from hint_plugin.science.reactions.kinetics.species import BOLTZMANN, HBAR, Species
from hint_plugin.science.reactions.kinetics.tunnelling import Eckart, wigner
from hint_plugin.science.reactions.kinetics.variational import bottleneck

DATA = Path(__file__).parents[1] / "data" / "kie"

# Tunnelling


def exact_probability(forward: float, reverse: float, quantum: float, energy: float) -> float:
    """Transmission through the Eckart potential by integrating Schroedinger's equation; mass 1 amu."""
    a, b = forward - reverse, (forward**0.5 + reverse**0.5) ** 2

    def height(u: float) -> float:
        y = np.exp(u)
        return a * y / (1 + y) + b * y / (1 + y) ** 2

    top = minimize_scalar(lambda u: -height(u), bounds=(-5, 5), method="bounded", options={"xatol": 1e-12}).x
    h = 1e-3
    curvature = -(height(top + h) - 2 * height(top) + height(top - h)) / h**2
    length = HBAR * np.sqrt(curvature) / quantum  # of x = length u
    left, right = (np.sqrt(2 * e) * length / HBAR for e in (energy, energy - a))

    def slope(u: float, psi: np.ndarray) -> list[complex]:
        return [psi[1], 2 * (height(u) - energy) * (length / HBAR) ** 2 * psi[0]]

    end = 25.0  # leaves to the right, comes from and goes back to the left
    start = [np.exp(1j * right * end), 1j * right * np.exp(1j * right * end)]
    psi, dpsi = solve_ivp(slope, (end, -end), start, rtol=1e-9, atol=1e-12, method="DOP853").y[:, -1]
    incoming = 0.5 * (psi + dpsi / (1j * left))
    return float(right / left / abs(incoming) ** 2)


@pytest.mark.parametrize(("energy", "quantum"), [(0.15, 0.15), (0.28, 0.12), (0.35, 0.15), (0.2, 0.4)])
def test_eckart_is_exact(energy, quantum):
    """An asymmetric barrier, thick and thin (cos in place of cosh), below and above its top."""
    forward, reverse = 0.3, 0.45
    found = Eckart(forward, reverse, quantum).probability(np.array([energy - forward]))[0]
    assert found == pytest.approx(exact_probability(forward, reverse, quantum, energy), rel=2e-3)


def test_eckart_at_its_limits():
    barrier = Eckart(2.0, 2.0, 0.05)
    assert barrier.transmission(1500.0) == pytest.approx(wigner(0.05, 1500.0), rel=2e-3)
    assert Eckart(0.5, 0.5, 0.1).transmission(1e5) == pytest.approx(1.0, abs=0.02)
    one, other = Eckart(0.6, 0.4, 0.15), Eckart(0.4, 0.6, 0.15)
    assert one.transmission(300) == pytest.approx(other.transmission(300))  # detailed balance
    assert one.probability(np.array([-0.45, 3.0])) == pytest.approx([0.0, 1.0], abs=1e-6)
    assert Eckart(20.0, 20.0, 0.1).probability(np.array([-10.0, 0.0])) == pytest.approx([0, 0.5], abs=0.01)
    with pytest.raises(DataError, match="does not lie above both sides"):
        Eckart(0.5, -0.1, 0.1)


# Paths


def straight_path(stiffness: float = 0.0) -> tuple[ReactionPath, float]:
    """V = V0 / cosh^2(s), across it an oscillator of 0.1 (1 + stiffness s) eV."""
    height, points = 0.5, []
    for s in np.linspace(-4, 4, 161):
        v = height / np.cosh(s) ** 2
        slope = -2 * height * np.tanh(s) / np.cosh(s) ** 2
        curve = height * (4 * np.tanh(s) ** 2 / np.cosh(s) ** 2 - 2 / np.cosh(s) ** 4)
        across = (0.1 * (1 + stiffness * s) / HBAR) ** 2
        more = {"tangent": np.array([1.0, 0])} if s == 0 else {}
        points.append(path_point(s, v, np.array([slope, 0.0]), np.diag([curve, across]), **more))
    return ReactionPath(points), height


def test_the_action_of_a_straight_path():
    """theta = pi (2 mu)^(1/2) (V0^(1/2) - E^(1/2)) / hbar through V0 / cosh^2(s)."""
    path, height = straight_path()
    found = zero_curvature(path, 0.05 + 1e-9)
    assert found.top == pytest.approx(height + 0.05, abs=1e-6)
    energies = np.array([0.1, 0.25, 0.4])
    wanted = np.pi * np.sqrt(2) * (np.sqrt(height) - np.sqrt(energies)) / HBAR
    assert_allclose(found.action(energies - height), wanted, rtol=2e-3)
    curved = small_curvature(path, 0.05)
    assert curved.mass == pytest.approx(1.0)  # no curvature, no shortcut
    assert found.probability(np.array([0.0])) == pytest.approx([0.5])


def test_zero_curvature_is_near_the_exact_kappa():
    """Against the exact Eckart barrier V0 / cosh^2(s): hbar omega = hbar (2 V0)^(1/2)."""
    path, height = straight_path()
    exact = Eckart(height, height, HBAR * np.sqrt(2 * height))
    assert zero_curvature(path, 0.05).transmission(300) == pytest.approx(exact.transmission(300), rel=0.15)


def test_the_variational_surface():
    """G(s) = V + kT ln(2 sinh(hbar omega / 2 kT)), by hand."""
    path, height = straight_path(0.15)
    kt = BOLTZMANN * 400

    def rate(s: float) -> float:
        quantum = 0.1 * (1 + 0.15 * s)
        return height / np.cosh(s) ** 2 + kt * np.log(2 * np.sinh(quantum / 2 / kt))

    best = minimize_scalar(lambda s: -rate(s), bounds=(-1, 1), method="bounded")
    found = bottleneck(path, 400.0, height)
    assert found.s == pytest.approx(best.x, abs=5e-3) and abs(best.x) > 5e-3
    assert found.recrossing == pytest.approx(np.exp(-(rate(best.x) - rate(0)) / kt), rel=1e-3)
    assert bottleneck(straight_path()[0], 400.0, height).recrossing == pytest.approx(1.0)
    wild = ReactionPath([*path.points[:79], *path.points[80:82]])
    assert bottleneck(wild, 400.0, 1e-9) is None  # too few points


def test_a_path_around_a_circle():
    """Its curvature is 1 / radius, and the shortcut mu_eff = exp(-2 a - a^2), a = t / radius."""
    radius, height, points = 1.5, 0.5, []
    stiff = (0.15 / HBAR) ** 2
    for angle in np.linspace(-2, 2, 121):
        normal, along = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        v = height / np.cosh(2 * angle) ** 2
        slope = -4 * height * np.tanh(2 * angle) / np.cosh(2 * angle) ** 2 / radius
        second = height * (16 * np.tanh(2 * angle) ** 2 - 8 / np.cosh(2 * angle) ** 2)
        second *= 1 / np.cosh(2 * angle) ** 2 / radius**2
        # the Hessian in polar coordinates: f_rr, f_tt / r^2 + f_r / r, and -f_t / r^2 across
        hessian = stiff * np.outer(normal, normal) + second * np.outer(along, along)
        hessian -= slope / radius * (np.outer(normal, along) + np.outer(along, normal))
        more = {"tangent": along} if abs(angle) < 1e-12 else {}
        points.append(path_point(radius * angle, v, slope * along, hessian, **more))
    path = ReactionPath(points)
    assert path.curvature == pytest.approx(1 / radius, rel=1e-6)
    turning = HBAR / np.sqrt(0.15)
    assert path.turning == pytest.approx(turning, rel=1e-6)
    found, a = small_curvature(path, 0.08), turning / radius
    assert found.mass == pytest.approx(np.exp(-2 * a - a**2), rel=1e-3)
    straight, energies = zero_curvature(path, 0.08), np.array([-0.4, -0.1])
    assert_allclose(found.action(energies), np.exp(-a - a**2 / 2) * straight.action(energies), rtol=1e-3)
    assert found.transmission(300) > 1.1 * straight.transmission(300)
    assert path.unresolved < 0.01
    with pytest.raises(DataError, match="needs 12"):
        small_curvature(ReactionPath(points[::8]), 0.08)
    wrong = [replace(point, couplings=2 * point.couplings) for point in points]
    with pytest.raises(DataError, match="not resolved: it is 100 %"):
        small_curvature(ReactionPath(wrong), 0.08)


def test_a_path_is_resolved_where_it_bends():
    """H + H2: the curvature at the saddle is the limit of that beside it; half the step changes little."""
    top = saddle()
    one = Species("transition state", top.copy(), top.get_potential_energy(), top.calc.get_hessian(top), 2)
    ends = [Atoms("H3", [[-3.0, 0, 0], [0, 0, 0], [LENGTH, 0, 0]])]
    ends.append(Atoms("H3", [[-LENGTH, 0, 0], [0, 0, 0], [3.0, 0, 0]]))
    found = [reaction_path(one, Leps(), ends, step=step, points=14) for step in (0.05, 0.025)]
    curvatures = []
    for path in found:
        k = int(np.argmin(abs(path.s)))
        assert path.curvature == pytest.approx(path.curvature[::-1], rel=1e-3)  # the saddle is symmetric
        assert path.adiabatic[k] == path.adiabatic.max()
        curvatures.append(np.interp([0, 0.05, 0.1, 0.15], path.s, path.curvature))
    assert_allclose(curvatures[0], curvatures[1], rtol=0.06)
    assert 3 < curvatures[0][0] < curvatures[0][1] < curvatures[0][2]
    swapped = reaction_path(one, Leps(), ends[::-1], step=0.05, points=2)
    assert swapped.points[0].energy == pytest.approx(found[0].points[-1].energy, abs=1) and len(swapped.notes)


def test_a_path_that_ends_too_high():
    """What lies below the end of the path is not made up."""
    s = np.linspace(-2, 2, 401)
    found = AdiabaticTunnelling(s, 0.5 * np.cos(s), np.ones(401), -1.0)
    assert found.reached == pytest.approx(1.0 + 0.5 * np.cos(2.0), abs=1e-9)
    assert found.probability(np.array([-1.2, -0.1]))[0] == 0.0
    with pytest.raises(DataError, match="no barrier"):
        _ = AdiabaticTunnelling(s, 0.5 * np.cos(s), np.ones(401), 1.0).depth


# Partition functions


def springs(atoms: Atoms, stiffness: float = 20.0) -> np.ndarray:
    """[3N, 3N] of springs between all atoms, at rest as they are."""
    n = len(atoms)
    hessian = np.zeros((3 * n, 3 * n))
    for i in range(n):
        for j in range(i):
            d = atoms.positions[i] - atoms.positions[j]
            block = stiffness / (1 + i + j) * np.outer(d, d) / (d @ d)
            for a, b, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
                hessian[3 * a : 3 * a + 3, 3 * b : 3 * b + 3] += sign * block
    return hessian


@pytest.mark.parametrize(("name", "multiplicity"), [("NH3", 1), ("N2", 1), ("NH2", 2), ("C2H6", 1)])
def test_partition_functions(name, multiplicity):
    """-kT ln(q/V kT/p) is the Gibbs energy of `thermochemistry`."""
    atoms = molecule(name)
    hessian, kt = springs(atoms), units.kB * 350
    one = Species(name, atoms, -3.0, hessian, multiplicity)
    gas = thermochemistry(
        normal_modes(atoms, hessian), -3.0, temperature=350, multiplicity=multiplicity, cutoff=None
    )
    volume = kt / (101325 * units.Pascal)
    assert -kt * (one.log_partition_function(350) + np.log(volume)) == pytest.approx(
        gas.gibbs_energy, abs=2e-5
    )


def test_atoms_have_no_rotations():
    one = Species("H", Atoms("H"), 0.0, np.zeros((3, 3)), 2)
    assert one.log_internal(300) == pytest.approx(np.log(2)) and len(one.quanta) == 0


def test_chirality():
    chiral = Atoms("CHFClBr", [(0, 0, 0), (0.6, 0.6, 0.6), (0.8, -0.8, -0.8), (-1, 1, -1), (-1.1, -1.1, 1.1)])
    assert is_chiral(chiral)
    assert not any(is_chiral(molecule(name)) for name in ("CH4", "H2O", "C6H6", "C2H6", "CO2", "H2"))
    alcohol = molecule("CH3CH2OH")
    assert not is_chiral(alcohol)
    hydrogens = [k for k in range(9) if alcohol.numbers[k] == 1 and abs(alcohol.positions[k, 2]) > 0.3]
    masses = alcohol.get_masses()
    masses[hydrogens[0]] = 2.014  # one of a mirrored pair
    alcohol.set_masses(masses)
    assert is_chiral(alcohol)


# Isotopes


def stored(name: str) -> Species:
    """A molecule of tests/data/kie with the masses of its principal isotopes."""
    numbers, *rows, energy, triangle = (
        gzip.decompress((DATA / f"{name}.txt.gz").read_bytes()).decode().splitlines()
    )
    atoms = Atoms([int(z) for z in numbers.split()], [[float(x) for x in row.split()] for row in rows])
    atoms.set_masses(principal_masses(atoms))
    hessian = np.zeros((3 * len(atoms),) * 2)
    hessian[np.tril_indices(len(hessian))] = [float(x) for x in triangle.split()]
    hessian = (hessian + np.tril(hessian, -1).T) * units.Hartree / units.Bohr**2
    return Species(name, atoms, float(energy) * units.Hartree, hessian)


def effect(
    reactants: list[tuple[str, str]], saddle: tuple[str, str], temperature: float, scale: float
) -> dict:
    """k_L / k_H of isotopologues of molecules in tests/data/kie; "" for one that stays as it is."""
    light, heavy = [], []
    for name, isotope in (*reactants, saddle):
        one = stored(name)
        one = Species(name, one.atoms, one.energy, one.hessian, scale=scale)
        masses = one.atoms.get_masses()
        other = Isotopologue.parse(isotope, one.atoms).of(masses) if isotope else masses
        light.append(one), heavy.append(one.with_masses(other))
    channels = []
    for *ends, top in (light, heavy):
        side = Side([Part(list(range(len(one.atoms))), one) for one in ends])
        channels.append(Channel("", side, side, top, methods=("wigner",)))
    return isotope_effects_at(*channels, temperature)


CLAISEN = ("claisen_gs", "claisen_ts")


@pytest.mark.parametrize(
    ("atoms", "isotope", "temperature", "scale", "wanted"),
    [
        ("4", "13C", 393.0, 0.961, 1.001895135),
        ("3", "13C", 393.0, 0.961, 1.029742315),
        ("6,7", "2.0141", 393.0, 0.961, 0.954882344),
        ("4", "13C", 298.15, 1.0, 1.001990364),
    ],
)
def test_isotope_effects_of_a_claisen_rearrangement(atoms, isotope, temperature, scale, wanted):
    """What Kinisot 2.0.3 has for these Gaussian outputs; it leaves translations and rotations in."""
    masses = f"{atoms}={isotope}"
    found = effect([(CLAISEN[0], masses)], (CLAISEN[1], masses), temperature, scale)
    assert found["tst"] == pytest.approx(wanted, abs=4e-4 if isotope == "13C" else 2e-3)


@pytest.mark.parametrize(
    ("place", "wanted"), [(("9=13C", "18=13C"), 1.000759499), (("5=13C", "14=13C"), 1.018630864)]
)
def test_isotope_effects_of_two_molecules(place, wanted):
    """A Diels-Alder reaction, 298.15 K, frequencies scaled by 0.963."""
    found = effect([("dienophile", ""), ("diene", place[0])], ("DATS", place[1]), 298.15, 0.963)
    assert found["tst"] == pytest.approx(wanted, abs=6e-4)


def test_bigeleisen_and_mayer():
    """The factors against the common form with frequencies alone, by the product rule."""
    masses = "6,7=D"
    found = effect([(CLAISEN[0], masses)], (CLAISEN[1], masses), 393.0, 1.0)
    product = 1.0
    for name, sign in ((CLAISEN[0], -1), (CLAISEN[1], 1)):
        light = stored(name)
        heavy = light.with_masses(Isotopologue.parse(masses, light.atoms).of(light.atoms.get_masses()))
        for one, power in ((light, 1), (heavy, -1)):
            u = one.quanta / (BOLTZMANN * 393.0)
            reduced = np.prod(u * np.exp(-u / 2) / -np.expm1(-u))  # classical masses cancel by the rule
            product *= reduced ** (power * sign)
        if sign == 1:
            product *= light.barrier_quantum / heavy.barrier_quantum
    assert found["tst"] == pytest.approx(product, rel=2e-3)
    parts = found["mass_moments"] * found["excitation"] * found["zero_point"]
    assert found["tst"] == pytest.approx(parts)
    ratio = found["tst_wigner"] / found["tst"]
    assert ratio > 1 and found["kie"] == pytest.approx(found["tst_wigner"])
    assert found["method"] == "TST/Wigner"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0:D", "wanted ATOMS=ISOTOPE"),
        ("", "got no isotopes"),
        ("7=D", "has no atom 7; its atoms are counted from 0 to 2"),
        ("Cl=37Cl", "has no Cl"),
        ("0=D", "D in the place of an atom of O"),
        ("0=19O", "of O these are known: 16O, 17O, 18O"),
        ("1=0.0", "wanted one above 0"),
        ("H=D 1=T", "atom 1 twice"),
    ],
)
def test_isotopes_that_cannot_be(text, message):
    with pytest.raises(OptionsError, match=message):
        Isotopologue.parse(text, molecule("H2O"))


def test_isotopes():
    water = molecule("H2O")
    assert principal_masses(water) == pytest.approx([15.9949, 1.00783, 1.00783], abs=1e-4)
    found = Isotopologue.parse("H=D 0=18O", water)
    assert found.of(principal_masses(water)) == pytest.approx([17.99916, 2.0141, 2.0141], abs=1e-4)
    water.set_masses([16, 1, 1])
    assert principal_masses(water) == pytest.approx([16, 1, 1])


# Options


def test_temperatures_and_methods():
    assert run_rates.temperatures_of("400,250:300:25") == [250, 275, 300, 400]
    assert run_rates.temperatures_of([300.0]) == [300.0]
    for wrong in ("", "hot", "300:200:10", "0", "-5", []):
        with pytest.raises(OptionsError, match="got the temperatures"):
            run_rates.temperatures_of(wrong)
    assert run_rates.methods_of("sct, wigner") == ("wigner", "sct") and run_rates.methods_of("none") == ()
    with pytest.raises(OptionsError, match="wanted some of wigner, eckart, sct"):
        run_rates.methods_of("bell")


def test_arrhenius():
    t = np.array([250.0, 300, 400, 500, 700])
    found = arrhenius_fit(t, np.log(1e13) - 0.5 / (BOLTZMANN * t))
    assert (found["log10_A"], found["activation_energy_eV"]) == pytest.approx((13, 0.5))
    found = arrhenius_fit(t, np.log(1e10) + 2.5 * np.log(t / 300) - 0.4 / (BOLTZMANN * t))["modified"]
    assert (found["log10_A"], found["n"], found["activation_energy_eV"]) == pytest.approx((10, 2.5, 0.4))
    assert arrhenius_fit([300.0], [1.0]) is None


# From a folder: H + H2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
    return reaction_folder(tmp_path_factory.mktemp("leps") / "reaction")


@pytest.fixture(scope="module")
def found(folder):
    options = {"temperature": "300,600", "isotopes": ["0=D", "1,2=D"], "points": 24}
    return run_rates.rates(folder, Leps(), **options)


def test_h_and_h2(found):
    channel = found.channels[0]
    assert channel["name"] == "H + H2 to H2 + H"
    assert channel["forward"]["molecularity"] == 2 and channel["forward"]["path_degeneracy"] == 2
    for row in channel["rows"]:
        forward, reverse = (row[d]["k_cm3_per_molecule_per_s"] for d in ("forward", "reverse"))
        assert forward == pytest.approx(reverse, rel=1e-6)  # the same reaction
        assert row["equilibrium_constant"] == pytest.approx(1.0)
        assert row["recrossing"] == pytest.approx(1.0, abs=0.02) and abs(row["s_star_A_amu_half"]) < 0.1
        assert 1 < row["kappa_zct"] <= row["kappa_sct"]
        assert row["forward"]["method"] == "CVT/SCT"


def test_transition_state_theory_by_hand(found):
    """Masses, moments and frequencies of the surface, in SI units."""
    from scipy.constants import atomic_mass, c, h, k

    top, t, m = saddle(), 600.0, 1.008 * atomic_mass
    nu = normal_modes(top, top.calc.get_hessian(top)).frequencies
    pair = Atoms("H2", [[0, 0, 0], [0, 0, LENGTH]])
    stretch = normal_modes(pair, Leps().get_hessian(pair)).frequencies

    def vibrations(wavenumbers):
        u = h * c * 100 * np.asarray(wavenumbers) / (k * t)
        return np.prod(np.exp(-u / 2) / (1 - np.exp(-u)))

    def gas(mass):
        return (2 * np.pi * mass * k * t / h**2) ** 1.5

    def rotor(inertia):
        return 8 * np.pi**2 * inertia * k * t / h**2

    bond = top.get_distance(0, 1) * 1e-10
    upper = gas(3 * m) * rotor(2 * m * bond**2) * vibrations(nu[1:]) * 2
    lower = gas(m) * 2 * gas(2 * m) * rotor(m * (LENGTH * 1e-10) ** 2 / 2) / 2 * vibrations(stretch)
    pair.calc = Leps()
    barrier = (top.get_potential_energy() - pair.get_potential_energy()) / units.kB / t
    wanted = 1e6 * k * t / h * upper / lower * np.exp(-barrier)
    row = found.channels[0]["rows"][1]
    assert row["forward"]["k_tst_cm3_per_molecule_per_s"] == pytest.approx(wanted, rel=1e-3)


def test_isotope_effects_of_h_and_h2(found):
    one, other = found.channels[0]["isotope_effects"]
    for effect_ in (one, other):
        for row in effect_["rows"]:
            assert {"tst", "tst_eckart", "cvt_sct", "equilibrium"} <= set(row)
            assert row["kie"] == pytest.approx(row["cvt_sct"]) and row["method"] == "CVT/SCT"
    assert one["rows"][0]["tst"] < other["rows"][0]["tst"]  # D + H2 is not slowed by its zero-point energy
    assert other["rows"][0]["kie"] > other["rows"][1]["kie"] > 1


def test_files(found, tmp_path):
    found.write(tmp_path / "out")
    text = json.loads((tmp_path / "out" / "rates.json").read_text())
    assert text == found.as_dict() and text["transition_state"]["verdict"] == "intended"
    assert "is not known here" in text["model_error"]["said"]
    lines = (tmp_path / "out" / "rates.csv").read_text().splitlines()
    assert lines[0].startswith("channel,direction,temperature_K,unit,k,method") and len(lines) == 5
    assert (tmp_path / "out" / "isotope_effects.csv").read_text().count("\n") == 5
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install '.[plot]'")
    assert (tmp_path / "out" / "rates.png").stat().st_size > 5000


def changed(folder: Path, to: Path, **values: object) -> Path:
    """A copy of a folder with other words in reaction.json."""
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    text = json.loads((to / "reaction.json").read_text()) | values
    (to / "reaction.json").write_text(json.dumps(text))
    return to


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"verdict": "product unintended"}, "its verdict is 'product unintended'.*the ends of irc.xyz"),
        ({"verdict": "no path", "stage": "IRC", "failure": "SCF"}, "'no path', stopped at IRC: SCF"),
        ({"doubts": {"ts": "no bonds"}}, "the transition state means nothing"),
        ({"ends_are": ["minimum", "saddle of order 2"]}, "the product is no minimum"),
        ({"ends_converged": [True, False]}, "did not converge"),
        ({"imaginary": []}, "0 imaginary modes"),
    ],
)
def test_what_was_not_verified_is_refused(folder, tmp_path, values, message):
    with pytest.raises(DataError, match=f"not verified: .*{message}"):
        run_rates.rates(changed(folder, tmp_path / "other", **values), Leps(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Shifted(Leps):
    """Another potential."""

    def calculate(self, *arguments, **more):
        super().calculate(*arguments, **more)
        self.results["energy"] += 0.1


def test_another_potential_is_refused(folder, tmp_path):
    with pytest.raises(DataError, match="verified with another potential"):
        run_rates.rates(folder, Shifted())
    with pytest.raises(OptionsError, match="does not say what it was made with"):
        run_rates.rates(folder)
    (tmp_path / "neb.json").write_text("{}")
    with pytest.raises(DataError, match="no reaction.json.*This one is of hint neb"):
        run_rates.rates(tmp_path, Leps())
    gone = changed(folder, tmp_path / "gone")
    (gone / "irc.xyz").unlink()
    with pytest.raises(DataError, match="has no irc.xyz"):
        run_rates.rates(gone, Leps())


def test_electrons_of_parts():
    pair = Atoms("H3", [[-9, 0, 0], [0, 0, 0], [LENGTH, 0, 0]])
    whole = Species("reactant", pair, 0.0, np.zeros((9, 9)), 4)
    with pytest.raises(DataError, match="multiplicity 4, and nobody says"):
        separate(whole, Leps(), 0, 0.01, print)
    with pytest.raises(DataError, match="charge 1, and nobody says"):
        separate(whole, Leps(), 1, 0.01, print)


def test_the_error_of_the_model():
    from hint_plugin import pretrained

    said = model_error(pretrained.path_of("alphanet-gfn2"), "AlphaNet", 3, 300.0)
    assert said["known"] and said["level"] == "GFN2-xTB" and "meV per atom" in said["said"]
    assert said["outside_training"] and "has seen molecules of 4 to 12 atoms, and this" in said["said"]
    inside = model_error(pretrained.path_of("alphanet-gfn2"), "AlphaNet", 7, 300.0)
    assert not inside["outside_training"] and inside["said"].startswith("the card of")
    assert "is not known here" in model_error(None, "GFN2-xTB", 3, 300.0)["said"]
    other = model_error(Path(__file__).parents[1] / "data" / "pair.hint.pt", "pair", 3, 300.0)
    assert not other["known"] and "has no card" in other["said"] and "verification" in other


def test_command(folder, tmp_path, capfd):
    """What the command says of a folder that it cannot use, and of one that it can."""
    bad = changed(folder, tmp_path / "bad", verdict="unintended")
    code, text = hint(capfd, "rates", bad, "-o", tmp_path / "out", "--engine", "gfn2-xtb")
    assert code == 2 and "the transition state is not verified" in text
    assert not (tmp_path / "out").exists()
    words = ["--engine", "calculator", "-e", "calculator=leps:Leps", "-T", "300", "--no-variational"]
    words += ["--tunnelling", "eckart", "--isotopes", "1,2=D", "-o", tmp_path / "out"]
    code, text = hint(capfd, "rates", folder, *words)
    assert code == 0 and "H + H2 to H2 + H, forward, cm^3 molecule^-1 s^-1" in text, text
    assert (
        "path degeneracy 2" in text
        and "isotope effect 1,2=D at 300 K" in text
        and "is not known here" in text
    )
    row = json.loads((tmp_path / "out" / "rates.json").read_text())["channels"][0]["rows"][0]
    assert row["forward"]["method"] == "TST/Eckart" and "kappa_sct" not in row


def test_kappa_beyond_numbers():
    with pytest.raises(DataError, match="Give higher temperatures"):
        Eckart(4.0, 4.0, 0.4).transmission(20.0)
    assert Eckart(4.0, 4.0, 0.4).transmission(150.0) > 1e20


def test_the_potential_of_a_set(folder, tmp_path):
    """A folder in that of `hint reactions` knows what computed it from the summary of the set."""
    inner = changed(folder, tmp_path / "one")
    made = {"engine": {"engine": "gfn2-xtb", "method": "GFN2-xTB", "accuracy": 0.01, "charge": 0}}
    (tmp_path / "summary.json").write_text(json.dumps({"provenance": made}))
    spec = read_reaction_folder(inner).potential()
    assert spec.engine == "gfn2-xtb" and spec.options == {"accuracy": 0.01}
    gone = {"model": {"path": str(tmp_path / "gone.hint.pt"), "sha256": "0"}}
    lost = changed(folder, tmp_path / "two", provenance=gone)
    with pytest.raises(OptionsError, match="is not there any more"):
        read_reaction_folder(lost).potential()
