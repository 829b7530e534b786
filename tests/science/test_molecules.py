"""Modes, symmetry numbers, intensities and thermochemistry of molecules: closed forms and PySCF."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.molecules import (
    infrared_intensities,
    normal_modes,
    symmetry_number,
    thermochemistry,
)
from hint_plugin.science.molecules.infrared import KM_PER_MOL
from hint_plugin.science.molecules.remarks import nearly_linear


def diatomic(constant: float = 10.0) -> tuple[Atoms, np.ndarray]:
    """HF along z with a spring of `constant` eV/A^2."""
    atoms = Atoms("HF", [(0, 0, 0), (0, 0, 0.92)])
    hessian = np.zeros((6, 6))
    hessian[np.ix_([2, 5], [2, 5])] = constant * np.array([[1, -1], [-1, 1]])
    return atoms, hessian


def springs(atoms: Atoms, seed: int = 0) -> np.ndarray:
    """A Hessian of springs between all pairs: a minimum, with exact translations and rotations."""
    rng, n = np.random.default_rng(seed), len(atoms)
    hessian = np.zeros((n, 3, n, 3))
    for i in range(n):
        for j in range(i):
            d = atoms.positions[i] - atoms.positions[j]
            block = rng.uniform(5, 30) * np.outer(d, d) / (d @ d) ** 2
            for a, b, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
                hessian[a, :, b, :] += sign * block
    return hessian.reshape(3 * n, 3 * n)


def test_a_diatomic():
    atoms, hessian = diatomic()
    modes = normal_modes(atoms, hessian)
    m1, m2 = atoms.get_masses()
    reduced = m1 * m2 / (m1 + m2)
    expected = np.sqrt(10.0 / reduced) * units._hbar / units._e * np.sqrt(units._e * 1e20 / units._amu)
    assert modes.frequencies == pytest.approx([expected / units.invcm], rel=1e-6)
    assert modes.force_constants == pytest.approx(
        [10.0 * 0.1602176634 * (m1 / m2 + 1) ** 2 / (1 + (m1 / m2) ** 2)]
    )
    assert np.linalg.norm(modes.displacements[0]) == pytest.approx(1)
    assert modes.zero_point_energy == pytest.approx(0.5 * expected, rel=1e-6)


def test_intensity_of_point_charges():
    """mu = sum q_i r_i: dmu/dQ = q / sqrt(reduced mass), and the other axes see nothing."""
    atoms, hessian = diatomic()
    modes = normal_modes(atoms, hessian)
    derivatives = np.zeros((6, 3))
    derivatives[:3], derivatives[3:] = 0.4 * np.eye(3), -0.4 * np.eye(3)
    m1, m2 = atoms.get_masses()
    assert infrared_intensities(modes, derivatives) == pytest.approx([KM_PER_MOL * 0.16 * (1 / m1 + 1 / m2)])
    assert abs(KM_PER_MOL - 974.88) < 0.01


@pytest.mark.parametrize(
    ("name", "sigma"),
    [("H2O", 2), ("NH3", 3), ("CH4", 12), ("C6H6", 12), ("C2H4", 4), ("C2H6", 6), ("BF3", 6), ("H2", 2)]
    + [("HCN", 1), ("CO2", 2), ("CH3OH", 1), ("H2O2", 2), ("SiH4", 12), ("CCl4", 12), ("CH3Cl", 3), ("OH", 1)]
    + [
        ("C3H4_D2d", 4),
        ("trans-butane", 2),
        ("isobutane", 3),
        ("cyclobutane", 4),
        ("bicyclobutane", 2),
        ("O", 1),
    ],
)
def test_symmetry_numbers(name, sigma):
    atoms = molecule(name)
    assert symmetry_number(atoms) == sigma
    rng = np.random.default_rng(1)
    atoms.rotate(47.0, rng.standard_normal(3))
    atoms.rattle(0.01, seed=2)
    if len(atoms) > 3 or sigma > 2:
        assert symmetry_number(atoms[rng.permutation(len(atoms))]) == sigma


def test_an_isotope_lowers_the_symmetry():
    methane = molecule("CH4")
    masses = methane.get_masses()
    masses[1] = 2.014
    methane.set_masses(masses)
    assert symmetry_number(methane) == 3


def rod(bend: float, kept: float = 0.0) -> tuple[Atoms, np.ndarray]:
    """CO2 bent by an angle (degrees), and its Hessian where the angle `kept` is that of the minimum."""

    def energy(x: np.ndarray) -> float:
        a, b = x[0] - x[1], x[2] - x[1]
        la, lb = np.linalg.norm(a), np.linalg.norm(b)
        theta = np.arctan2(np.linalg.norm(np.cross(a, b)), -a @ b)
        return 50 * ((la - 1.15) ** 2 + (lb - 1.15) ** 2) + 2.5 * (theta - np.radians(kept)) ** 2

    angle = np.radians(bend)
    atoms = Atoms("OCO", [(0, 0, -1.15), (0, 0, 0), (1.15 * np.sin(angle), 0, 1.15 * np.cos(angle))])
    x, h, n = atoms.positions.ravel(), 1e-4, 9
    steps = h * np.eye(n)
    at = [[energy((x + s + t).reshape(3, 3)) for t in steps] for s in steps]
    plus = np.array([energy((x + s).reshape(3, 3)) for s in steps])
    hessian = (np.array(at) - plus[:, None] - plus[None] + energy(x.reshape(3, 3))) / h**2
    return atoms, 0.5 * (hessian + hessian.T)


def test_a_linear_molecule_that_is_slightly_bent():
    """Four modes, sigma 2 and the entropy of the linear one, as far as a bend of some degrees lets it."""
    straight = thermochemistry(normal_modes(*rod(0.01)))
    assert straight.linear and straight.symmetry_number == 2
    for bend in (0.3, 1.0, 4.0):
        modes = normal_modes(*rod(bend))
        found = thermochemistry(modes)
        assert len(modes.frequencies) == 4 and modes.bent and found.treated_as_linear and found.linear
        assert found.symmetry_number == 2
        assert found.zero_point_energy == pytest.approx(straight.zero_point_energy, abs=5e-3)
        assert found.gibbs_correction == pytest.approx(straight.gibbs_correction, abs=6e-3)
        assert "treated as linear" in nearly_linear(found.as_dict()) and modes.as_dict()["treated_as_linear"]
    at_rest = normal_modes(*rod(4.0, kept=4.0))  # bent at its minimum: it turns about the axis for nothing
    assert not at_rest.bent and len(at_rest.frequencies) == 3 and at_rest.frequencies.min() > 300
    assert nearly_linear(thermochemistry(at_rest).as_dict()) == ""
    assert len(normal_modes(*rod(20.0)).frequencies) == 3  # far from a line


def test_octahedron_and_chirality():
    sf6 = Atoms("SF6", [(0, 0, 0), *(1.56 * sign * axis for axis in np.eye(3) for sign in (1, -1))])
    assert symmetry_number(sf6) == 24
    chiral = Atoms("CHFClBr", [(0, 0, 0), (0.6, 0.6, 0.6), (0.8, -0.8, -0.8), (-1, 1, -1), (-1.1, -1.1, 1.1)])
    assert symmetry_number(chiral) == 1


CASES = {
    "linear": ("CO2", 0, 1, False),
    "diatomic radical": ("OH", 0, 2, False),
    "symmetric top": ("NH3", 0, 1, False),
    "spherical top": ("CH4", 0, 1, False),
    "asymmetric top": ("H2O", 0, 1, False),
    "triplet": ("O2", 0, 3, False),
    "radical": ("NH2", 0, 2, False),
    "no symmetry": ("CH3CH2OH", 0, 1, False),
    "saddle": ("C2H6", 0, 1, True),
}


@pytest.mark.parametrize("case", CASES)
def test_against_pyscf(case):
    """The same Hessian through PySCF's thermo module, which is independent of ASE's."""
    pytest.importorskip("pyscf", reason="needs PySCF: pip install '.[dft]'")
    from pyscf import gto
    from pyscf.hessian import thermo

    name, charge, multiplicity, saddle = CASES[case]
    atoms = molecule(name)
    hessian = springs(atoms)
    if name == "CO2":  # springs between pairs do not bend a line
        for axis in np.delete(np.eye(3), int(np.ptp(atoms.positions, axis=0).argmax()), axis=0):
            bend = np.concatenate([-2 * axis, axis, axis])
            hessian += 3.0 * np.outer(bend, bend)
    modes = normal_modes(atoms, hessian)
    if saddle:
        root = np.sqrt(np.repeat(atoms.get_masses(), 3))
        mode = modes.mass_weighted[4] * root
        hessian = hessian - 80.0 / (mode @ mode) * np.outer(mode, mode)
        modes = normal_modes(atoms, hessian)
        assert len(modes.imaginary) == 1
    mol = gto.M(
        atom=list(zip(atoms.get_chemical_symbols(), atoms.positions / units.Bohr, strict=True)),
        unit="Bohr",
        charge=charge,
        spin=multiplicity - 1,
        verbose=0,
    )
    masses = atoms.get_masses()
    blocks = hessian.reshape(len(atoms), 3, len(atoms), 3).transpose(0, 2, 1, 3) / (
        units.Hartree / units.Bohr**2
    )
    found = thermo.harmonic_analysis(mol, blocks, imaginary_freq=False, mass=masses)
    theirs = found["freq_wavenumber"][-len(modes.frequencies) :]
    assert np.sort(theirs) == pytest.approx(modes.frequencies, abs=0.05)

    sigma = symmetry_number(atoms)
    mine = thermochemistry(modes, energy=-1.5, multiplicity=multiplicity, cutoff=None)
    assert mine.symmetry_number == sigma
    field = type("Field", (), {"mol": mol, "e_tot": -1.5 / units.Hartree})()
    real = modes.frequencies[modes.frequencies > 0]
    au = real / (units.Hartree / units.invcm) * _atomic_frequency()
    result = thermo.thermo(field, au, 298.15, 101325)
    shift = units.kB * 298.15 * np.log(_pyscf_sigma(mol) / sigma)  # PySCF sees symmetry with tight tolerances
    gibbs = result["G_tot"][0] * units.Hartree - shift
    assert mine.gibbs_energy == pytest.approx(gibbs, abs=1e-5)
    assert mine.enthalpy == pytest.approx(result["H_tot"][0] * units.Hartree, abs=1e-5)
    assert mine.kind == ("transition state" if saddle else "minimum")


def _atomic_frequency() -> float:
    """PySCF's thermo takes frequencies in its own atomic units: sqrt(E_h / m_e) / a_0 over 2 pi."""
    from pyscf.data import nist

    per_au = np.sqrt(nist.HARTREE2J / (nist.ATOMIC_MASS * nist.BOHR_SI**2)) / (
        2 * np.pi * nist.LIGHT_SPEED_SI * 100
    )
    return units.Hartree / units.invcm / per_au


def _pyscf_sigma(mol) -> int:
    from pyscf.hessian.thermo import rotational_symmetry_number

    return rotational_symmetry_number(mol)


def test_grimmes_blend_and_its_limits():
    atoms = molecule("CH3CH2OH")
    modes = normal_modes(atoms, springs(atoms) * 1e-2)  # soft
    plain = thermochemistry(modes, cutoff=None)
    tiny = thermochemistry(modes, cutoff=1e-3)
    assert tiny.gibbs_energy == pytest.approx(plain.gibbs_energy, abs=1e-9)
    blended = thermochemistry(modes)
    # Eq. 4-8 of Grimme 2012, by hand
    kt, entropy = units.kB * 298.15, 0.0
    inertia = np.mean(atoms.get_moments_of_inertia()) * units._amu * 1e-20
    for nu in modes.frequencies:
        x = nu * units.invcm / kt
        harmonic = units.kB * (x / np.expm1(x) - np.log1p(-np.exp(-x)))
        mu = units._hplanck / (8 * np.pi**2 * nu * 100 * units._c)
        mu = mu * inertia / (mu + inertia)
        rotor = units.kB * (0.5 + 0.5 * np.log(8 * np.pi**3 * mu * units._k * 298.15 / units._hplanck**2))
        w = 1 / (1 + (100.0 / nu) ** 4)
        entropy += w * harmonic + (1 - w) * rotor
    assert blended.entropy_parts["vibration"] == pytest.approx(entropy, rel=1e-6)
    assert blended.enthalpy == plain.enthalpy  # entropy only


def test_water_by_the_book():
    """H2O at 298.15 K and 1 bar: 188.83 J/(mol K) (CODATA key values), with its three fundamentals."""
    atoms = Atoms("OH2", [(0, 0, 0), (0.7572, 0.5865, 0), (-0.7572, 0.5865, 0)])
    hessian = springs(atoms)
    modes = normal_modes(atoms, hessian)
    object.__setattr__(modes, "frequencies", np.array([1594.7, 3657.1, 3755.9]))
    found = thermochemistry(modes, pressure=1e5, cutoff=None)
    joule = units.kJ / units.mol / 1000
    assert found.symmetry_number == 2
    assert found.entropy / joule == pytest.approx(188.83, abs=0.2)


def test_an_atom():
    """Sackur-Tetrode: argon at 298.15 K and 1 bar has 154.846 J/(mol K)."""
    modes = normal_modes(Atoms("Ar"), np.zeros((3, 3)))
    found = thermochemistry(modes, pressure=1e5)
    assert found.entropy / (units.kJ / units.mol / 1000) == pytest.approx(154.846, abs=0.01)
    assert len(modes.frequencies) == 0 and found.enthalpy == pytest.approx(2.5 * units.kB * 298.15)


def test_what_cannot_be():
    atoms = molecule("H2O")
    modes = normal_modes(atoms, springs(atoms))
    with pytest.raises(OptionsError, match="0"):
        thermochemistry(modes, temperature=0)
    with pytest.raises(OptionsError, match="at least 1"):
        thermochemistry(modes, symmetry_number=0)
    with pytest.raises(DataError, match="3 imaginary modes.*hint optimize"):
        thermochemistry(normal_modes(atoms, -springs(atoms)))
    with pytest.raises(DataError, match=r"wanted \(9, 9\)"):
        normal_modes(atoms, np.zeros((6, 6)))
    with pytest.raises(DataError, match="NaN"):
        normal_modes(atoms, np.full((9, 9), np.nan))


class Springs:
    """An exactly harmonic calculator about a geometry (displacements small: it does not rotate along)."""

    def __new__(cls, atoms, hessian):
        from ase.calculators.calculator import Calculator

        class Harmonic(Calculator):
            implemented_properties = ("energy", "forces")

            def calculate(self, a=None, properties=("energy",), system_changes=()):
                self.atoms = a.copy()
                x = (a.positions - atoms.positions).ravel()
                g = hessian @ x
                self.results = {"energy": 0.5 * x @ g, "forces": -g.reshape(-1, 3)}

        return Harmonic()


def test_density_of_states_of_a_harmonic_molecule():
    """Peaks lie at the harmonic frequencies, in spite of Verlet's error; the area counts the modes."""
    from hint_plugin.science.molecules.dynamics import vibrational_density

    atoms = molecule("H2O")
    hessian = springs(atoms)
    modes = normal_modes(atoms, hessian)
    atoms.calc = Springs(atoms.copy(), hessian)
    found = vibrational_density(atoms, time=5.0, temperature=1.0, seed=1)
    assert np.trapezoid(found.density, found.wavenumbers) == pytest.approx(3.0)
    for nu in modes.frequencies:
        near = abs(found.wavenumbers - nu) < 60
        peak = found.wavenumbers[near][found.density[near].argmax()]
        assert peak == pytest.approx(nu, abs=8)  # one bin: 7.4 cm^-1
    elsewhere = np.min(abs(found.wavenumbers[:, None] - modes.frequencies[None]), axis=1) > 60
    assert found.density[elsewhere].max() < 0.02 * found.density.max()
    with pytest.raises(OptionsError, match="200 steps"):
        vibrational_density(atoms, time=0.01)


def test_without_forces_nobody_knows_whether_a_point_is_stationary():
    from hint_plugin.science.molecules.remarks import not_stationary

    assert "nobody knows" in not_stationary({"largest_force": None})
    assert "not stationary: 0.30" in not_stationary({"largest_force": 0.3})
    assert not_stationary({"largest_force": 0.01}) == ""


def test_frequencies_need_no_energy_and_gibbs_energies_do():
    from hint_plugin.data import HessianLabel, write_label
    from hint_plugin.science.molecules.curvature import Stored
    from hint_plugin.science.molecules.run_thermo import Gas
    from hint_plugin.science.molecules.run_vibrations import Vibrations

    atoms = molecule("H2O")
    write_label(atoms, HessianLabel.full(springs(atoms)))
    row, _ = Vibrations(Stored(), None, True, 0.0, 300.0)()("water", atoms, print)
    assert row["energy"] is None and len(row["frequencies"]) == 3
    with pytest.raises(DataError, match=r"no energy \(REF_energy\), which enthalpy"):
        Gas(Stored(), 0, None, {})()("water", atoms, print)
