"""The noise that differences of forces report: closed forms, and seeded errors of a known size."""

from __future__ import annotations

import numpy as np
import pytest

from hint_plugin.potentials.differences import hessian_noise, pair_noise, rows_from_products, step_noise


def test_two_probes_in_closed_form():
    """d = v1.(H v2) - v2.(H v1) = 3 for unit vectors: rms(d / sqrt(2 (1 x 1 - 0))) = 3 / sqrt(2)."""
    matrix = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    matrix[0, 4], matrix[4, 0] = 7.0, 4.0
    probes = np.eye(6)[[0, 4]].reshape(2, 2, 3)
    products = (matrix @ probes.reshape(2, 6).T).T.reshape(2, 2, 3)
    assert pair_noise(probes, products) == pytest.approx(3 / np.sqrt(2), rel=1e-12)
    # longer and oblique: v1 = 2 e1, v2 = e1 + 3 e5, d = 2 x 3 x 3 and |v1|^2 |v2|^2 - (v1.v2)^2 = 36
    probes = np.array([2 * np.eye(6)[0], np.eye(6)[0] + 3 * np.eye(6)[4]]).reshape(2, 2, 3)
    products = (matrix @ probes.reshape(2, 6).T).T.reshape(2, 2, 3)
    assert pair_noise(probes, products) == pytest.approx(18 / np.sqrt(2 * 36), rel=1e-12)


def test_parallel_probes_say_nothing():
    probes = np.stack([np.ones((2, 3)), 2 * np.ones((2, 3))])
    assert pair_noise(probes, probes) is None


@pytest.mark.parametrize("kind", ["pairs of random probes", "pairs of unit vectors", "rows", "full"])
def test_noise_is_the_standard_error_of_an_element(kind):
    """Independent errors of 1e-3 in the elements of a symmetric H, which half their variance survives."""
    rng, sigma, n = np.random.default_rng(5), 1e-3, 30
    matrix = rng.normal(size=(n, n))
    found = []
    for _ in range(40):
        noisy = matrix + matrix.T + sigma * rng.normal(size=(n, n))
        if kind == "full":
            found.append(hessian_noise(noisy)[0] * np.sqrt(2))
        elif kind == "rows":
            found.append(rows_from_products(noisy[:15].reshape(15, 10, 3), np.arange(15)).noise)
        else:
            probes = rng.choice([-1.0, 1.0], size=(6, n)) if "random" in kind else np.eye(n)[::5]
            products = (probes @ noisy.T).reshape(6, 10, 3)
            found.append(pair_noise(probes.reshape(6, 10, 3), products))
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(sigma, rel=0.1)


def test_two_steps_in_closed_form():
    """Products that differ by 0.06 everywhere, of probes of length 2 sqrt(6): 0.06 / 2 / sqrt(6)."""
    probes = np.full((3, 2, 3), 2.0)
    fine = np.random.default_rng(0).normal(size=(3, 2, 3))
    assert step_noise(probes, fine, fine + 0.06) == pytest.approx(0.03 / np.sqrt(6), rel=1e-9)
