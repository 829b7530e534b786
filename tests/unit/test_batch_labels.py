"""Labels as arrays of a batch: what goes in, and what comes out of it again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hint_plugin.core.batches import SPLIT_MIN_EDGES, BatchLabels, selection, worth_splitting
from hint_plugin.data.labels.batch_labels import label_arrays
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


def a_batch(*labels: HessianLabel | None) -> BatchLabels:
    """Of the molecule with each of these labels."""
    each = [label_arrays(label, NUMBERS, POSITIONS) for label in labels]
    joined = {
        key: torch.as_tensor(np.concatenate([np.atleast_1d(arrays[key]) for arrays in each]))
        for key in each[0]
    }
    return BatchLabels({**joined, "ptr": torch.arange(0, 2 * len(labels) + 1, 2)})


def test_which_labels_are_full():
    full, rows = HessianLabel.full(np.eye(6)), HessianLabel.rows(np.eye(6)[3:], [1], 2)
    batch = a_batch(rows, full, None, full.to_projected(2, np.random.default_rng(0)), full)
    assert batch.full == [1, 4]
    assert batch.labelled == [0, 1, 3, 4] and batch.unlabelled == [2]


def test_batches_are_split_where_enough_edges_have_no_label():
    """The same rule for MACE and NequIP."""
    full = HessianLabel.full(np.eye(6))
    owner = torch.tensor([0, 0, 1, 1])

    def split(how: str, unlabelled: int, second: HessianLabel | None = None) -> bool:
        sources = torch.tensor([0] * 500 + [2] * unlabelled)
        return worth_splitting(a_batch(full, second), how, owner, torch.stack([sources, sources + 1]))

    assert split("auto", SPLIT_MIN_EDGES) and not split("auto", SPLIT_MIN_EDGES - 1)
    assert split("always", 0) and not split("never", 1000)
    assert not split("always", 1000, full) and not split("auto", 1000, full)


def test_rows_of_some_structures():
    owner = torch.tensor([0, 1, 1, 2])
    edges = torch.tensor([[0, 1, 2, 3, 2], [0, 2, 1, 3, 2]])
    part = selection([1, 2], 3, owner, edges)
    assert part.graphs.tolist() == [1, 2] and part.atoms.tolist() == [1, 2, 3]
    assert part.edges.tolist() == [1, 2, 3, 4] and part.owner.tolist() == [0, 0, 1]
    assert part.edge_index.tolist() == [[0, 1, 2, 1], [1, 0, 2, 1]]
