"""Metrics against values worked out by hand, and the estimator against its expectation."""

import itertools
import math

import pytest
import torch

from hint_plugin.core import spectra
from hint_plugin.core.metrics import SIZED, UNITS, ErrorSum, HessianMetrics, Prediction

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


def test_sums_of_errors():
    """Of -1, 2, -3 and 4, and of what they are errors of: 1, -2, 3, -4 and 10."""
    errors = ErrorSum()
    assert errors == ErrorSum(0, 0.0, 0.0, 0.0, 0.0)
    frame = errors.add(torch.tensor([[-1.0, 2.0], [-3.0, 4.0]]), torch.tensor([1.0, -2, 3, -4]))
    assert frame == pytest.approx(2.5)
    assert errors.add(-5.0, -10.0) == 5.0
    assert (errors.count, errors.signed, errors.absolute) == pytest.approx((5, -3.0, 15.0))
    assert (errors.squared, errors.reference) == pytest.approx((55.0, 20.0))
    assert (errors.mean, errors.mae, errors.rmse) == pytest.approx((-3 / 5, 3.0, math.sqrt(11)))
    assert (errors.size, errors.relative) == pytest.approx((4.0, 15 / 20))
    other = ErrorSum()
    other.add(1.0)  # nothing that it is relative to
    assert other.reference == 0.0 and math.isnan(other.relative) and other.size == 0.0
    errors.merge(other)
    assert errors == ErrorSum(6, -2.0, 16.0, 56.0, 20.0)
    assert math.isnan(ErrorSum().add(torch.zeros(0)))


def test_what_each_update_says_of_its_frame():
    """The frame's own values, under the names of the result; earlier frames do not matter."""
    metrics = filled(1)
    assert metrics.update_energy(torch.tensor(7.0), 9.0, atoms=4) == {"energy_error": -0.5}
    found = metrics.update_forces(torch.tensor([[1.0, 0, 0]]), torch.tensor([[0.0, 0, 2]]))
    assert found == pytest.approx({"forces_mae": 1.0, "forces_size": 2 / 3})
    found = metrics.update_stress(torch.tensor([3.0, 0, 0, 0, 0, 0]), torch.tensor([0.0, 0, 0, 0, 0, 1]))
    assert found == pytest.approx({"stress_mae": 4 / 6, "stress_size": 1 / 6})
    predicted = random(3, 3)
    found = metrics.update_rows(predicted, torch.zeros(3, 3), torch.tensor([0]))
    asymmetry = (predicted - predicted.T).abs()
    assert found == pytest.approx(
        {
            "hessian_mae": float(predicted.abs().mean()),
            "hessian_size": 0.0,
            "asymmetry_max": float(asymmetry.max()),
            "asymmetry_mean": float(asymmetry.mean()),
        }
    )
    assert metrics.update_asymmetry(-predicted) == pytest.approx(
        {"asymmetry_max": float(asymmetry.max()), "asymmetry_mean": float(asymmetry.mean())}
    )


def test_what_a_frame_of_pairs_says():
    """Two probes of an atom, (1, 1, 1) and (2, 0, 0), with errors (3, 0, 0) and (0, 0, 4) of (0, 0, 5)."""
    metrics = HessianMetrics()
    v = torch.tensor([[[1.0, 1, 1]], [[2.0, 0, 0]]])
    hvp = torch.tensor([[[0.0, 0, 0]], [[0.0, 0, 5]]])
    error = torch.tensor([[[3.0, 0, 0]], [[0.0, 0, 4]]])
    found = metrics.update_pairs(hvp + error, v, hvp)
    # 3N |dH v|^2 / |v|^2: 3 * 9 / 3 and 3 * 16 / 4, in the mean 10.5, over (3N)^2
    assert found == pytest.approx(
        {"hessian_rmse_estimate": math.sqrt(10.5) / 3, "hvp_relative_error": math.sqrt(25 / 25)}
    )
    result = metrics.result()
    assert result["hessian_rmse_estimate"] == pytest.approx(math.sqrt(10.5) / 3)
    # of the reference: 0 and 3 * 25 / 4
    assert result["hessian_size_estimate"] == pytest.approx(math.sqrt(75 / 8) / 3)
    assert (result["n_projected"], result["n_full"], result["n_rows"], result["n_frames"]) == (1, 0, 0, 0)
    # a second frame of two atoms has four times the weight: 6 * 6 / 6 and (3N)^2 = 36
    metrics.update_pairs(torch.ones(1, 2, 3), torch.ones(1, 2, 3), torch.zeros(1, 2, 3))
    result = metrics.result()
    assert result["hessian_rmse_estimate"] == pytest.approx(math.sqrt((10.5 + 6) / (9 + 36)))
    assert result["hessian_size_estimate"] == pytest.approx(math.sqrt(75 / 8 / 45))
    assert result["hvp_relative_error"] == pytest.approx(math.sqrt(31 / 25))
    assert result["n_projected"] == 2


def test_one_zero_probe_among_others_is_refused():
    v = torch.ones(2, 2, 3)
    v[1] = 0
    with pytest.raises(ValueError, match="none of them zero"):
        HessianMetrics().update_pairs(torch.ones(2, 2, 3), v, torch.ones(2, 2, 3))
    with pytest.raises(ValueError, match="must be those of Hv"):
        HessianMetrics().update_pairs(torch.ones(2, 2, 3), torch.ones(2, 1, 3), torch.ones(2, 2, 3))


def test_pairs_with_a_reference_of_zero_have_no_relative_error():
    metrics = HessianMetrics()
    found = metrics.update_pairs(torch.ones(1, 1, 3), torch.ones(1, 1, 3), torch.zeros(1, 1, 3))
    assert math.isnan(found["hvp_relative_error"])
    assert "hvp_relative_error" not in metrics.result()
    assert metrics.result()["hessian_size_estimate"] == 0.0


def test_means_of_the_frames_beside_those_of_the_elements():
    """A frame of one atom and one of three count alike in `*_frame_mae`, and 1 to 9 in `hessian_mae`."""
    metrics = HessianMetrics()
    metrics.update_hessian(torch.full((3, 3), 2.0), torch.zeros(3, 3), torch.zeros(1, 3), torch.ones(1))
    metrics.update_hessian(torch.zeros(9, 9), torch.eye(9), WATER, MASSES)
    found = metrics.result()
    assert found["hessian_mae"] == pytest.approx((18 + 9) / 90)
    assert found["hessian_rmse"] == pytest.approx(math.sqrt((36 + 9) / 90))
    assert found["hessian_frame_mae"] == pytest.approx((2 + 1 / 9) / 2)
    # eigenvalues (0, 0, 6) of the first against 0; 0 against 1 of the second
    assert found["eigenvalues_mae"] == pytest.approx((6 + 9) / 12)
    assert found["eigenvalues_rmse"] == pytest.approx(math.sqrt((36 + 9) / 12))
    assert found["eigenvalues_frame_mae"] == pytest.approx((2 + 1) / 2)
    assert (found["n_full"], found["n_rows"], found["n_projected"]) == (2, 0, 0)
    metrics.update_rows(torch.ones(3, 3), torch.zeros(3, 3), torch.tensor([0]))
    assert metrics.result()["hessian_frame_mae"] == pytest.approx((2 + 1 / 9 + 1) / 3)
    assert metrics.result()["n_rows"] == 1


def test_signed_errors_of_the_zero_point_energy_cancel_and_their_sizes_do_not():
    metrics = HessianMetrics()
    half = 0.5 * spectra.WAVENUMBER * spectra.EV_PER_WAVENUMBER
    frames = (([1.0, 4.0, 9.0], [4.0, 9.0, 16.0]), ([4.0, 4.0, 25.0], [1.0, 1.0, 9.0]))
    errors = [
        metrics.update_hessian(from_modes(mine), from_modes(ref), WATER, MASSES)["zpe_error"]
        for mine, ref in frames
    ]
    assert errors == pytest.approx([-3 * half, 4 * half])
    found = metrics.result()
    assert found["zpe_error"] == pytest.approx(half / 2) and found["zpe_mae"] == pytest.approx(3.5 * half)
    assert found["zpe_size"] == pytest.approx((9 + 5) / 2 * half)
    assert found["zpe_relative"] == pytest.approx(7 / 14)
    assert found["frequencies_rmse"] == pytest.approx(math.sqrt(9 / 6) * spectra.WAVENUMBER)
    assert found["saddle_index_agreement"] == 1.0


def test_saddles_that_agree_are_a_fraction_of_the_frames():
    metrics = HessianMetrics()
    for mine, ref in (
        ([-1.0, 1, 2], [-2.0, 1, 2]),
        ([-1.0, -1, 2], [-1.0, 1, 2]),
        ([1.0, 1, 2], [1.0, 3, 2]),
    ):
        metrics.update_hessian(from_modes(mine), from_modes(ref), WATER, MASSES)
    assert metrics.result()["saddle_index_agreement"] == pytest.approx(2 / 3)


def test_the_mean_cosine_leaves_out_frames_that_have_none():
    """All modes degenerate: no direction. A diatomic's single mode has one."""
    metrics = HessianMetrics()
    same, split = from_modes([1.0, 1.0, 1.0]), from_modes([0.5, 2.0, 4.0])
    for mine, ref in ((same, split), (split, same)):
        assert "lowest_mode_cosine" not in metrics.update_hessian(mine, ref, WATER, MASSES)
    assert "lowest_mode_cosine" not in metrics.result()
    spring = torch.zeros(2, 3, 2, 3)
    spring[:, 0, :, 0] = torch.tensor([[1.0, -1], [-1, 1]])
    pair = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
    found = metrics.update_hessian(spring.reshape(6, 6), 2 * spring.reshape(6, 6), pair, torch.ones(2))
    assert found["lowest_mode_cosine"] == pytest.approx(1.0)
    assert metrics.result()["lowest_mode_cosine"] == pytest.approx(1.0)


def test_cells_keep_their_rotations():
    """Of three atoms in a cell six modes are compared, of a molecule three."""
    counts = {}
    for periodic in (False, True):
        metrics = HessianMetrics()
        metrics.update_hessian(torch.eye(9), 2 * torch.eye(9), WATER, MASSES, periodic)
        counts[periodic] = metrics.frequencies.count, metrics.projected_eigenvalues.count
    assert counts == {False: (3, 3), True: (6, 6)}


def test_the_largest_asymmetry_is_that_of_all_frames():
    metrics = HessianMetrics()
    for size in (0.1, 0.5, 0.2):
        h = torch.zeros(3, 3, dtype=torch.float64)
        h[1, 0] = -size
        assert metrics.update_asymmetry(h)["asymmetry_max"] == pytest.approx(size)
    assert metrics.result()["asymmetry_max"] == pytest.approx(0.5)
    assert metrics.result()["asymmetry_mean"] == pytest.approx(2 * 0.8 / 27)
    assert HessianMetrics().result() == dict.fromkeys(
        ("n_frames", "n_full", "n_rows", "n_projected", "n_energy", "n_force_components",
         "n_stress_components"), 0)  # fmt: skip


def test_sizes_of_stress_and_rows():
    metrics = HessianMetrics()
    metrics.update_stress(torch.zeros(6), torch.tensor([-6.0, 0, 0, 0, 0, 3]))
    metrics.update_rows(torch.zeros(6, 6), -2 * torch.ones(3, 6), torch.tensor([1]))
    found = metrics.result()
    assert (found["stress_size"], found["stress_relative"]) == pytest.approx((1.5, 1.0))
    assert (found["hessian_size"], found["hessian_mae"]) == pytest.approx((2.0, 2.0))


def test_numbers_are_summed_in_double_precision():
    metrics = HessianMetrics()
    metrics.update_forces(torch.tensor([[1e7, 1.0, 0]], requires_grad=True), torch.zeros(1, 3))
    metrics.update_forces(torch.tensor([[1.0, 1.0, 0]]), torch.zeros(1, 3))
    assert metrics.forces.absolute == 1e7 + 3 and metrics.forces.squared == 1e14 + 3


@pytest.mark.parametrize("name", ["forces", "stress", "hessian"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_number_that_is_not_finite(name, value):
    fine = {"forces": torch.zeros(2, 3), "stress": torch.zeros(3, 3), "hessian": torch.zeros(6, 6)}
    assert Prediction(1.0, **fine).is_finite()
    broken = fine[name].clone()
    broken[1, 2] = value
    assert not Prediction(1.0, **{**fine, name: broken}).is_finite()
    assert not Prediction(value, **fine).is_finite()
