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


@pytest.mark.parametrize(("ratio", "modes"), [(0.9e-6, 4), (1.1e-6, 3)])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_a_molecule_is_linear_up_to_a_millionth_of_the_largest_moment(ratio, modes, scale):
    """Three atoms of mass 1 at -1, 0, 1 along x, the middle one off by y: moments 2/3 y^2 and 2 (+ that)."""
    y = math.sqrt(ratio * 2 / (2 / 3 * (1 - ratio)))
    x = scale * torch.tensor([[-1.0, 0, 0], [0, y, 0], [1, 0, 0]], dtype=torch.float64)
    x = x @ torch.as_tensor(special_ortho_group.rvs(3, random_state=3)).T
    assert spectra.vibrational_basis(x, torch.ones(3)).shape == (9, modes)
    assert spectra.vibrational_basis(x, torch.ones(3), linear=True).shape == (9, 4)
    assert spectra.vibrational_basis(x, torch.ones(3), periodic=True, linear=True).shape == (9, 6)


def test_linear_leaves_the_axis_of_the_smallest_moment_out():
    """Of bent water: two rotations stay among the rigid motions, the one about its length does not."""
    atoms = molecule("H2O")
    x, masses = torch.as_tensor(atoms.positions), torch.as_tensor(atoms.get_masses())
    five, six = spectra.rigid_basis(x, masses, linear=True), spectra.rigid_basis(x, masses)
    assert five.shape == (9, 5) and six.shape == (9, 6)
    centred = x - (masses[:, None] * x).sum(0) / masses.sum()
    length = torch.linalg.eigh(centred.T @ (masses[:, None] * centred))[1][:, 2]  # most mass far out
    turn = (masses.sqrt()[:, None] * torch.linalg.cross(length.expand(3, 3), centred)).reshape(-1)
    turn = turn / turn.norm()
    assert float((five.T @ turn).norm()) == pytest.approx(0.0, abs=1e-10)
    assert float((six.T @ turn).norm()) == pytest.approx(1.0)
    torch.testing.assert_close(five.T @ five, torch.eye(5, dtype=torch.float64))


def test_translations_and_rotations_by_hand():
    """sqrt(m / M) along each axis; w x (r - r_cm) weighted by sqrt(m) lies in the space of the rest."""
    atoms = molecule("CH3OH")
    m, r = torch.as_tensor(atoms.get_masses()), torch.as_tensor(atoms.positions)
    basis = spectra.rigid_basis(r + 5.0, m)
    wanted = (m / m.sum()).sqrt()
    for axis in range(3):
        column = basis[:, axis].reshape(-1, 3)
        torch.testing.assert_close(column[:, axis], wanted)
        assert not column[:, [a for a in range(3) if a != axis]].any()
    centred = r - (m[:, None] * r).sum(0) / m.sum()
    for axis in torch.eye(3, dtype=torch.float64):
        turn = (m.sqrt()[:, None] * torch.linalg.cross(axis.expand(len(m), 3), centred)).reshape(-1)
        inside = basis[:, 3:] @ (basis[:, 3:].T @ turn)
        torch.testing.assert_close(inside, turn)
    b = spectra.vibrational_basis(r, m)
    torch.testing.assert_close(basis @ basis.T + b @ b.T, torch.eye(18, dtype=torch.float64))


def test_mass_weighted_elements():
    """F_ij = H_ij / sqrt(m_i m_j)."""
    h = torch.arange(36.0).reshape(6, 6)
    found = spectra.mass_weighted(h, torch.tensor([4.0, 9.0]))
    assert found.dtype == torch.float64
    for i, j, root in ((0, 1, 4.0), (2, 3, 6.0), (5, 0, 6.0), (4, 5, 9.0)):
        assert float(found[i, j]) == pytest.approx(float(h[i, j]) / root)


def test_only_the_symmetric_part_of_a_hessian_counts():
    atoms = molecule("H2O")
    h = stiff(atoms)
    twist = np.zeros_like(h)
    twist[0, 5], twist[5, 0] = 3.0, -3.0
    torch.testing.assert_close(spectrum(h + twist, atoms).frequencies, spectrum(h, atoms).frequencies)
    found = spectra.cartesian_eigenvalues(torch.as_tensor(h + twist, dtype=torch.float64))
    assert found.tolist() == pytest.approx(np.linalg.eigvalsh(h).tolist(), abs=1e-9)
    assert spectra.cartesian_eigenvalues(torch.tensor([[1.0, 4.0], [0.0, 1.0]])).tolist() == [-1.0, 3.0]
    assert spectra.cartesian_eigenvalues(torch.eye(3).float()).dtype == torch.float64


def test_modes_are_those_of_the_projected_matrix():
    """F L = lambda L + rigid motions, and nothing rigid in L."""
    atoms = molecule("H2O")
    h = stiff(atoms) + 0.3 * np.eye(9)
    found = spectrum(h, atoms)
    masses = torch.as_tensor(atoms.get_masses())
    f = spectra.mass_weighted(torch.as_tensor(h), masses)
    rigid = spectra.rigid_basis(torch.as_tensor(atoms.positions), masses)
    assert float((rigid.T @ found.modes).abs().max()) < 1e-12
    residual = f @ found.modes - found.modes * found.eigenvalues
    torch.testing.assert_close(residual, rigid @ (rigid.T @ residual))


def test_an_overlap_is_no_more_than_one():
    """Whatever rounding makes of columns that are almost of length one."""
    u = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    assert spectra.mode_overlap(u, (1 + 1e-9) * u) == 1.0
    assert spectra.mode_overlap(u, -u) == 1.0
    turned = torch.tensor([[0.6], [0.8]], dtype=torch.float64)
    assert spectra.mode_overlap(u, turned) == pytest.approx(0.6)


def test_modes_near_the_lowest_are_lowest_modes_too():
    """Within 1 cm^-1, unless another width is asked for; none where there are no modes."""
    nu = torch.tensor([-3.0, -2.5, -2.1, -1.9, 500.0], dtype=torch.float64)
    eigenvalues = nu.sign() * (nu / spectra.WAVENUMBER).square()
    found = spectra.Spectrum(eigenvalues, torch.eye(6, dtype=torch.float64)[:, :5])
    torch.testing.assert_close(found.frequencies, nu)
    assert found.lowest_modes().shape == (6, 3)
    assert found.lowest_modes(degeneracy=2.0).shape == (6, 4)
    assert torch.equal(found.lowest_modes(degeneracy=0.1), found.modes[:, :1])
    nothing = spectra.Spectrum(torch.zeros(0), torch.zeros(3, 0))
    assert nothing.lowest_modes().shape == (3, 0) and nothing.zero_point_energy == 0.0
    assert nothing.saddle_index() == 0


def test_a_saddle_has_modes_below_minus_ten_wavenumbers():
    nu = torch.tensor([-10.1, -9.9, 3.0], dtype=torch.float64)
    assert spectra.saddle_index(nu) == 1 and spectra.saddle_index(nu, threshold=-9.0) == 2
    found = spectra.Spectrum(nu.sign() * (nu / spectra.WAVENUMBER).square(), torch.eye(3).double())
    assert found.saddle_index() == 1 and found.saddle_index(-9.0) == 2 and found.saddle_index(-11.0) == 0
    assert found.zero_point_energy == pytest.approx(1.5 * spectra.EV_PER_WAVENUMBER)


def test_units_of_wavenumbers():
    """CODATA: 1 cm^-1 is 0.1239841984 meV; H2 of 575 N/m (35.9 eV/A^2) at 4401 cm^-1."""
    assert pytest.approx(1.239841984e-4, rel=1e-9) == spectra.EV_PER_WAVENUMBER
    assert pytest.approx(521.4709, rel=1e-6) == spectra.WAVENUMBER


@pytest.mark.parametrize(
    ("masses", "message"),
    [([1.0, -1.0], "positive"), ([[1.0, 1.0]], "positive"), ([0.0, 0.0], "positive")],
)
def test_masses_that_are_none_are_told(masses, message):
    with pytest.raises(ValueError, match=message):
        spectra.mass_weighted(torch.eye(6), torch.tensor(masses))
    with pytest.raises(ValueError, match=r"wanted \(6, 6\)"):
        spectra.mass_weighted(torch.zeros(6, 5), torch.ones(2))
    with pytest.raises(ValueError, match=r"positions of shape \(2, 2\)"):
        spectra.rigid_basis(torch.zeros(2, 2), torch.ones(2))
