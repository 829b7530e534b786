"""Metrics against values worked out by hand, and the estimator against its expectation."""

import itertools
import math

import pytest
import torch

from hint_plugin.core import spectra
from hint_plugin.core.metrics import SIZED, UNITS, HessianMetrics, Prediction

WATER = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.47], [0.0, -0.76, -0.47]], dtype=torch.float64)
MASSES = torch.tensor([15.999, 1.008, 1.008], dtype=torch.float64)


def from_modes(eigenvalues: list[float]) -> torch.Tensor:
    """Hessian of water with the given vibrational eigenvalues, eV/(A^2 amu), along a fixed set of modes."""
    basis = spectra.vibrational_basis(WATER, MASSES)
    root = MASSES.sqrt().repeat_interleave(3)
    return root[:, None] * (basis @ torch.diag(torch.tensor(eigenvalues).double()) @ basis.T) * root[None, :]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_energies_and_forces():
    metrics = HessianMetrics()
    metrics.update_energy(10.0, 9.0, atoms=2)  # 0.5 eV an atom
    metrics.update_energy(3.0, 3.3, atoms=3)  # -0.1
    frame = metrics.update_forces(torch.tensor([[1.0, 0, 0]]), torch.tensor([[0.0, 0, 2]]))
    metrics.update_forces(torch.zeros(2, 3), torch.zeros(2, 3))
    found = metrics.result()
    assert frame["forces_mae"] == pytest.approx(1.0)
    assert found["energy_mae"] == pytest.approx(0.3)
    assert found["energy_rmse"] == pytest.approx(math.sqrt(0.13))
    assert found["forces_mae"] == pytest.approx(3 / 9)  # elements of both frames, not a mean of means
    assert found["forces_rmse"] == pytest.approx(math.sqrt(5 / 9))
    assert (found["n_energy"], found["n_force_components"], found["n_stress_components"]) == (2, 9, 0)
    assert "hessian_mae" not in found and "stress_mae" not in found and "stress_size" not in found
    # |F_ref| is 2 in one of nine components; the error is half as large again
    assert (frame["forces_size"], found["forces_size"]) == pytest.approx((2 / 3, 2 / 9))
    assert found["forces_relative"] == pytest.approx(1.5)


def test_zero_everywhere_has_a_relative_error_of_one():
    """And nothing is relative to a reference that is zero."""
    metrics = HessianMetrics()
    metrics.update_forces(torch.zeros(3, 3), random(3, 3))
    metrics.update_stress(torch.zeros(6), random(6))
    reference = from_modes([1.0, 2.0, 4.0])
    metrics.update_hessian(torch.zeros(9, 9), reference, WATER, MASSES)
    metrics.update_pairs(torch.zeros(1, 3, 3), torch.ones(1, 3, 3), torch.full((1, 3, 3), 2.0))
    found = metrics.result()
    assert all(found[f"{name}_relative"] == pytest.approx(1) for name in SIZED)
    assert found["hvp_relative_error"] == pytest.approx(1)
    assert "lowest_mode_cosine" not in found  # all directions are lowest modes of a flat surface
    assert found["hessian_size"] == pytest.approx(float(reference.abs().mean()))
    assert found["eigenvalues_size"] == pytest.approx(float(torch.linalg.eigvalsh(reference).abs().mean()))
    assert found["projected_eigenvalues_size"] == pytest.approx(7 / 3)
    nu = spectra.WAVENUMBER
    assert found["frequencies_size"] == pytest.approx((1 + math.sqrt(2) + 2) * nu / 3)
    assert found["zpe_size"] == pytest.approx(0.5 * (1 + math.sqrt(2) + 2) * nu * spectra.EV_PER_WAVENUMBER)
    # 3N |Hv|^2 / |v|^2 / (3N)^2 with 9 components of 2 and of 1
    assert found["hessian_size_estimate"] == pytest.approx(math.sqrt(9 * 36 / 9) / 9)
    nothing = HessianMetrics()
    nothing.update_forces(torch.ones(2, 3), torch.zeros(2, 3))
    assert nothing.result()["forces_size"] == 0 and "forces_relative" not in nothing.result()


def test_what_is_compared_can_be_watched():
    seen = {}
    metrics = HessianMetrics()
    predicted, reference = from_modes([1.0, 2.25, 4.0]), from_modes([-1.0, 1.0, 4.0])
    metrics.update_hessian(
        predicted, reference, WATER, MASSES, observe=lambda name, *both: seen.update({name: both})
    )
    assert set(seen) == {"eigenvalues", "frequencies"}
    nu = spectra.WAVENUMBER
    assert seen["frequencies"][0].tolist() == pytest.approx([-nu, nu, 2 * nu])
    assert seen["frequencies"][1].tolist() == pytest.approx([nu, 1.5 * nu, 2 * nu])
    assert torch.equal(seen["eigenvalues"][0], spectra.cartesian_eigenvalues(reference))


def test_stress():
    metrics = HessianMetrics()
    metrics.update_stress(torch.tensor([1.0, 0, 0, 0, 0, 2]), torch.zeros(6))
    metrics.merge(HessianMetrics()).update_stress(torch.zeros(6), torch.zeros(6))
    found = metrics.result()
    assert found["stress_mae"] == pytest.approx(3 / 12)
    assert found["stress_rmse"] == pytest.approx(math.sqrt(5 / 12))


def test_spectral_metrics_of_a_known_error():
    reference, predicted = from_modes([-0.01, 1.0, 4.0]), from_modes([0.01, 1.21, 4.0])
    metrics = HessianMetrics()
    frame = metrics.update_hessian(predicted, reference, WATER, MASSES)
    found = metrics.result()
    nu = spectra.WAVENUMBER
    assert found["projected_eigenvalues_mae"] == pytest.approx((0.02 + 0.21) / 3)
    assert found["frequencies_mae"] == pytest.approx((0.2 + 0.1) * nu / 3)
    assert found["zpe_error"] == pytest.approx(0.5 * (0.1 + 0.1) * nu * spectra.EV_PER_WAVENUMBER)
    assert (frame["saddle_index"], frame["saddle_index_reference"]) == (0, 1)
    assert found["saddle_index_agreement"] == 0.0
    assert found["lowest_mode_cosine"] == pytest.approx(1.0)
    assert found["asymmetry_max"] == pytest.approx(0.0, abs=1e-12)
    difference = predicted - reference
    assert found["hessian_mae"] == pytest.approx(float(difference.abs().mean()))
    assert found["hessian_rmse"] == pytest.approx(float(difference.square().mean().sqrt()))
    eigen = torch.linalg.eigvalsh(predicted) - torch.linalg.eigvalsh(reference)
    assert found["eigenvalues_mae"] == pytest.approx(float(eigen.abs().mean()))


def test_lowest_mode_that_changed_places_has_cosine_zero():
    metrics = HessianMetrics()
    metrics.update_hessian(from_modes([2.0, 0.5, 4.0]), from_modes([0.5, 2.0, 4.0]), WATER, MASSES)
    assert metrics.result()["lowest_mode_cosine"] == pytest.approx(0.0, abs=1e-10)


def test_degenerate_lowest_modes_are_one_space():
    split, degenerate = from_modes([0.5, 0.49, 4.0]), from_modes([0.5, 0.5, 4.0])
    for predicted, reference in ((split, degenerate), (degenerate, split), (degenerate, degenerate)):
        metrics = HessianMetrics()
        metrics.update_hessian(predicted, reference, WATER, MASSES)
        assert metrics.result()["lowest_mode_cosine"] == pytest.approx(1.0)


def test_asymmetry_is_the_predictions():
    predicted = torch.zeros(9, 9)
    predicted[0, 1] = 0.3
    metrics = HessianMetrics()
    metrics.update_hessian(predicted, torch.zeros(9, 9), WATER, MASSES)
    assert metrics.result()["asymmetry_max"] == pytest.approx(0.3)
    assert metrics.result()["asymmetry_mean"] == pytest.approx(0.6 / 81)


def test_rows_compare_the_labelled_atoms_only():
    predicted, reference = random(9, 9), random(9, 9, seed=1)
    metrics = HessianMetrics()
    metrics.update_rows(predicted, reference[[0, 1, 2, 6, 7, 8]], torch.tensor([0, 2]))
    error = (predicted - reference)[[0, 1, 2, 6, 7, 8]]
    assert metrics.result()["hessian_mae"] == pytest.approx(float(error.abs().mean()))
    assert metrics.result()["n_rows"] == 1
    assert "eigenvalues_mae" not in metrics.result()


def all_signs(size: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product([-1.0, 1.0], repeat=size)), dtype=torch.float64)


@pytest.mark.parametrize("probes", [all_signs(6), torch.eye(6).double(), 3.0 * torch.eye(6).double()])
def test_mean_over_all_probes_is_the_rmse_of_the_elements(probes):
    """Rademacher vectors (all 2^6), unit vectors, scaled ones: over the complete set the mean is exact."""
    predicted, reference = random(6, 6), random(6, 6, seed=1)
    v = probes.reshape(-1, 2, 3)
    metrics = HessianMetrics()
    metrics.update_pairs((probes @ predicted.T).reshape(v.shape), v, (probes @ reference.T).reshape(v.shape))
    exact = float((predicted - reference).square().mean().sqrt())
    assert metrics.result()["hessian_rmse_estimate"] == pytest.approx(exact, rel=1e-12)


def test_estimate_pools_frames_like_the_exact_value():
    exact, estimate = HessianMetrics(), HessianMetrics()
    for atoms in (1, 2):
        size = 3 * atoms
        predicted, reference = random(size, size), 5 * random(size, size, seed=2)
        v = all_signs(size).reshape(-1, atoms, 3)
        products = [(v.flatten(1) @ h.T).reshape(v.shape) for h in (predicted, reference)]
        estimate.update_pairs(products[0], v, products[1])
        exact.update_rows(predicted, reference, torch.arange(atoms))
    assert estimate.result()["hessian_rmse_estimate"] == pytest.approx(
        exact.result()["hessian_rmse"], rel=1e-12
    )


def test_relative_error_of_pairs():
    metrics = HessianMetrics()
    metrics.update_pairs(torch.full((1, 1, 3), 1.1), torch.ones(1, 1, 3), torch.ones(1, 1, 3))
    metrics.update_pairs(torch.full((1, 1, 3), 2.0), torch.ones(1, 1, 3), torch.full((1, 1, 3), 2.0))
    assert metrics.result()["hvp_relative_error"] == pytest.approx(math.sqrt(0.03 / 15), rel=1e-5)


def filled(seed: int) -> HessianMetrics:
    metrics = HessianMetrics(n_frames=1)
    a, b = random(9, 9, seed=seed), random(9, 9, seed=seed + 1)
    metrics.update_energy(float(a[0, 0]), 0.0, 3)
    metrics.update_forces(a[:3, :3], b[:3, :3])
    metrics.update_stress(a[3, :6], b[3, :6])
    metrics.update_hessian(a + a.T, b + b.T, WATER, MASSES)
    metrics.update_rows(a, b[:3], torch.tensor([0]))
    metrics.update_pairs(a[None, :3, :3], b[None, :3, :3], a[None, 3:6, :3])
    return metrics


def test_merge_is_the_same_as_one_pass():
    together = HessianMetrics()
    for seed in (1, 5, 9):
        together.merge(filled(seed))
    other = filled(9).merge(filled(5)).merge(filled(1))
    assert together.result() == pytest.approx(other.result())
    assert together.result()["n_frames"] == 3
    assert together.result()["asymmetry_max"] == max(filled(s).result()["asymmetry_max"] for s in (1, 5, 9))
    single = [filled(s).result()["forces_mae"] for s in (1, 5, 9)]
    assert together.result()["forces_mae"] == pytest.approx(sum(single) / 3)


def test_every_result_is_a_plain_number_with_a_unit():
    found = filled(3).result()
    assert {k for k in found if not k.startswith("n_")} == set(UNITS)
    assert all(type(value) in (int, float) for value in found.values())


def test_a_single_atom_has_no_modes_and_a_linear_molecule_is_fine():
    metrics = HessianMetrics()
    metrics.update_hessian(torch.zeros(3, 3), torch.zeros(3, 3), torch.zeros(1, 3), torch.ones(1))
    assert "lowest_mode_cosine" not in metrics.result()
    assert metrics.result()["saddle_index_agreement"] == 1.0


def test_wrong_shapes_do_not_broadcast():
    metrics = HessianMetrics()
    with pytest.raises(ValueError, match="shape"):
        metrics.update_forces(torch.zeros(4, 3), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="none of them zero"):
        metrics.update_pairs(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), torch.zeros(1, 2, 3))


def test_prediction_with_nan_is_not_finite():
    forces = torch.zeros(2, 3)
    assert Prediction(0.0, forces).is_finite()
    assert not Prediction(math.nan, forces).is_finite()
    assert not Prediction(0.0, forces, hessian=torch.full((6, 6), math.inf)).is_finite()
