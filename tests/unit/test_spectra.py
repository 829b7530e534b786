"""Modes and frequencies against closed forms and against ASE."""

import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.vibrations import VibrationsData
from scipy import constants
from scipy.stats import special_ortho_group

from hint_plugin.core import spectra


def springs(positions: np.ndarray, bonds: dict[tuple[int, int], float]) -> np.ndarray:
    """Hessian [3N, 3N] of harmonic springs at their rest lengths: k u u^T for each bond with direction u."""
    h = np.zeros((len(positions), 3, len(positions), 3))
    for (i, j), k in bonds.items():
        u = positions[j] - positions[i]
        block = k * np.outer(u, u) / (u @ u)
        for a, b, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            h[a, :, b, :] += sign * block
    return h.reshape(3 * len(positions), -1)


def stiff(atoms: Atoms, seed: int = 0) -> np.ndarray:
    """A Hessian that holds every pair of atoms, so that only rigid motions are free (3D molecules)."""
    rng = np.random.default_rng(seed)
    n = len(atoms)
    return springs(atoms.positions, {(i, j): rng.uniform(5, 60) for i in range(n) for j in range(i)})


def spectrum(hessian: np.ndarray, atoms: Atoms, periodic: bool = False) -> spectra.Spectrum:
    tensors = (torch.as_tensor(x) for x in (hessian, atoms.positions, atoms.get_masses()))
    return spectra.vibrations(*tensors, periodic=periodic)


def closed_form(k_over_m: float) -> float:
    """cm^-1 of omega^2 = k/m, with k in eV/A^2 and m in amu."""
    si = k_over_m * constants.eV / 1e-20 / constants.atomic_mass
    return math.sqrt(si) / (2 * math.pi * constants.c) / 100


def test_diatomic_has_one_mode_at_the_reduced_mass():
    atoms = Atoms("CO", [[0, 0, 0], [0.3, 0.4, 1.0]])
    k, (m1, m2) = 118.0, atoms.get_masses()
    found = spectrum(springs(atoms.positions, {(0, 1): k}), atoms)
    expected = closed_form(k * (m1 + m2) / (m1 * m2))
    assert found.frequencies.tolist() == pytest.approx([expected], rel=1e-9)
    assert 2100 < expected < 2200  # CO is at 2143
    assert found.zero_point_energy == pytest.approx(
        0.5 * constants.h * constants.c * 100 * expected / constants.e, rel=1e-9
    )


def test_linear_triatomic_has_four_modes_and_the_textbook_stretches():
    atoms = Atoms("OCO", [[-1.16, 0, 0], [0, 0, 0], [1.16, 0, 0]])
    m_o, m_c, _ = atoms.get_masses()
    k = 100.0
    found = spectrum(springs(atoms.positions, {(0, 1): k, (1, 2): k}), atoms).frequencies
    stretches = [closed_form(k / m_o), closed_form(k * (1 / m_o + 2 / m_c))]
    assert found.tolist() == pytest.approx([0, 0, *stretches], abs=1e-3)


@pytest.mark.parametrize(
    ("name", "periodic", "modes"),
    [("H", False, 0), ("H2", False, 1), ("CO2", False, 4), ("C2H2", False, 7), ("H2O", False, 3),
     ("CH4", False, 9), ("CO2", True, 6), ("CH4", True, 12)],
)  # fmt: skip
def test_number_of_modes(name, periodic, modes):
    atoms = Atoms("H", [[1.0, 2.0, 3.0]]) if name == "H" else molecule(name)
    atoms.rotate(37, (1, 2, 3))
    found = spectrum(stiff(atoms), atoms, periodic)
    assert found.eigenvalues.shape == (modes,)
    assert found.modes.shape == (3 * len(atoms), modes)
    torch.testing.assert_close(found.modes.T @ found.modes, torch.eye(modes, dtype=torch.float64))


def test_rigid_motions_of_the_potential_are_in_the_projected_space():
    """The null space of a stiff molecule, found by diagonalising, is the one that the projector takes out."""
    atoms = molecule("CH3OH")
    masses = torch.as_tensor(atoms.get_masses())
    rigid = spectra.rigid_basis(torch.as_tensor(atoms.positions), masses)
    weighted = spectra.mass_weighted(torch.as_tensor(stiff(atoms)), masses)
    assert rigid.shape == (18, 6)
    torch.testing.assert_close(weighted @ rigid, torch.zeros_like(rigid), atol=1e-10, rtol=0)
    torch.testing.assert_close(rigid.T @ rigid, torch.eye(6, dtype=torch.float64))


@pytest.mark.parametrize("name", ["H2O", "CH3OH", "C6H6"])
def test_frequencies_and_zero_point_energy_agree_with_ase(name):
    atoms = molecule(name)
    hessian = stiff(atoms)
    other = VibrationsData.from_2d(atoms, hessian)
    theirs = np.sort(other.get_frequencies().real)[6:]
    found = spectrum(hessian, atoms)
    # rtol: two editions of CODATA; atol: springs leave benzene's out-of-plane modes free
    np.testing.assert_allclose(found.frequencies.numpy(), theirs, rtol=1e-7, atol=1e-3)
    assert found.zero_point_energy == pytest.approx(other.get_zero_point_energy(), rel=1e-6)


def test_rigid_noise_does_not_reach_the_frequencies():
    """What a sorted spectrum would mix into the soft modes is projected out."""
    atoms = molecule("CH3OH")
    rigid = spectra.rigid_basis(torch.as_tensor(atoms.positions), torch.as_tensor(atoms.get_masses())).numpy()
    root = np.sqrt(np.repeat(atoms.get_masses(), 3))
    noise = root[:, None] * (rigid @ np.diag([-9.0, 7, 5, 3, 2, 1]) @ rigid.T) * root[None, :]
    clean, noisy = (spectrum(h, atoms) for h in (stiff(atoms), stiff(atoms) + noise))
    torch.testing.assert_close(noisy.frequencies, clean.frequencies, atol=1e-6, rtol=0)
    assert noisy.saddle_index() == 0


def test_rotation_translation_and_order_change_nothing():
    atoms = molecule("CH3CHO")
    turned, h = atoms.copy(), stiff(atoms) - 0.4 * np.eye(3 * len(atoms))
    rotation = special_ortho_group.rvs(3, random_state=1)
    order = np.random.default_rng(2).permutation(len(atoms))
    turned.positions = turned.positions @ rotation.T + [1.0, -2.0, 3.0]
    turned = turned[order]
    block = np.kron(np.eye(len(atoms)), rotation)
    places = (3 * order[:, None] + np.arange(3)).ravel()
    moved = (block @ h @ block.T)[np.ix_(places, places)]
    torch.testing.assert_close(spectrum(moved, turned).frequencies, spectrum(h, atoms).frequencies)


def test_periodic_chain_has_the_textbook_dispersion():
    """omega(q) = 2 sqrt(k/m) |sin(q a / 2)|, at q = 2 pi j / (N a); y and z are free."""
    n, k, a = 6, 10.0, 2.0
    atoms = Atoms(f"Ar{n}", [[a * i, 0, 0] for i in range(n)], cell=[n * a, 10, 10], pbc=True)
    h = np.zeros((3 * n, 3 * n))
    for i in range(n):
        j = (i + 1) % n
        h[3 * i, 3 * i] += k
        h[3 * j, 3 * j] += k
        h[3 * i, 3 * j] -= k
        h[3 * j, 3 * i] -= k
    m = atoms.get_masses()[0]
    waves = sorted(closed_form(4 * k / m * math.sin(math.pi * j / n) ** 2) for j in range(1, n))
    found = spectrum(h, atoms, periodic=True).frequencies.tolist()
    assert found == pytest.approx([0.0] * (2 * (n - 1)) + waves, abs=1e-3)


def test_imaginary_modes_are_negative_and_counted_below_the_threshold():
    nu = spectra.wavenumbers(torch.tensor([-4.0, -1e-6, 1e-4, 1.0], dtype=torch.float64))
    assert nu.tolist() == pytest.approx([-2 * 521.47090, -0.52147, 5.2147, 521.47090], rel=1e-5)
    assert spectra.saddle_index(nu) == 1
    assert spectra.saddle_index(nu, threshold=0.0) == 2
    half_sum = 0.5 * (5.2147 + 521.4709)
    assert spectra.zero_point_energy(nu) == pytest.approx(half_sum * spectra.EV_PER_WAVENUMBER, rel=1e-5)


def test_degenerate_modes_are_compared_as_spaces():
    basis = torch.eye(6, dtype=torch.float64)
    turned = torch.stack([basis[:, 0] + basis[:, 1], basis[:, 0] - basis[:, 1]], dim=1) / math.sqrt(2)
    assert spectra.mode_overlap(basis[:, :1], turned[:, :1]) == pytest.approx(math.sqrt(0.5))
    assert spectra.mode_overlap(basis[:, :1], turned) == pytest.approx(1.0)
    assert spectra.mode_overlap(basis[:, 2:3], turned) == pytest.approx(0.0)
    modes = spectra.Spectrum(torch.tensor([1.0, 1.0001, 2.0], dtype=torch.float64), basis[:, :3])
    assert modes.lowest_modes().shape == (6, 2)
    assert modes.lowest_modes(degeneracy=0.0).shape == (6, 1)


def test_shapes_that_do_not_fit_are_told():
    masses = torch.ones(2)
    with pytest.raises(ValueError, match=r"wanted \(6, 6\)"):
        spectra.mass_weighted(torch.eye(9), masses)
    with pytest.raises(ValueError, match="do not fit 2 masses"):
        spectra.rigid_basis(torch.zeros(3, 3), masses)
    with pytest.raises(ValueError, match="positive"):
        spectra.mass_weighted(torch.eye(6), torch.tensor([1.0, 0.0]))
