"""Labels as arrays of a batch: what goes in, and what comes out of it again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hint_plugin.data.labels.batch_labels import BatchLabels, label_arrays
from hint_plugin.data.labels.label import HessianLabel

NUMBERS, POSITIONS = np.array([8, 1]), np.array([[0.0, 0, 0], [0, 0, 0.97]])


def one_batch(label: HessianLabel) -> BatchLabels:
    arrays = {key: torch.as_tensor(value) for key, value in label_arrays(label, NUMBERS, POSITIONS).items()}
    return BatchLabels({**arrays, "ptr": torch.tensor([0, 2])})


def test_a_full_label_counts_by_its_symmetric_part():
    """As others' data sets have them, H(0, 4) = 1.00 and H(4, 0) = 1.08: 1.04 at both places."""
    matrix = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    matrix[0, 4], matrix[4, 0] = 1.00, 1.08
    (label,) = one_batch(HessianLabel.full(matrix)).labels
    wanted = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    wanted[0, 4] = wanted[4, 0] = 1.04
    assert label.rows.numpy() == pytest.approx(wanted, abs=1e-12)
    assert label.atoms.tolist() == [0, 1]
    assert matrix[0, 4] == 1.00  # the label itself stays


def test_rows_count_as_they_are():
    """A part of a matrix has no transpose."""
    rows = np.arange(18.0).reshape(3, 6)
    (label,) = one_batch(HessianLabel.rows(rows, [1], 2)).labels
    assert label.rows.numpy() == pytest.approx(rows, abs=0) and label.atoms.tolist() == [1]
    square = np.arange(36.0).reshape(6, 6)
    square = square + square.T
    square[0, 5] += 0.5
    (label,) = one_batch(HessianLabel.rows(square, [0, 1], 2)).labels
    assert label.rows.numpy() == pytest.approx(square, abs=0)


def test_pairs_come_back():
    rng = np.random.default_rng(0)
    pairs = HessianLabel.full(np.eye(6)).to_projected(3, rng)
    (label,) = one_batch(pairs).labels
    assert label.probes.numpy() == pytest.approx(pairs.probes) and label.hvp.numpy() == pytest.approx(
        pairs.hvp
    )
