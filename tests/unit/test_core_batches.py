"""The arrays of a batch taken apart by hand, parts of a batch, and their outputs joined again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hint_plugin.core.batches import KEYS, BatchLabels, merge_parts, selection, worth_splitting

#: Atoms of the five structures, and what each knows: rows of two of three atoms, two pairs, nothing,
#: the whole matrix, one pair.
SIZES = (3, 2, 1, 2, 1)
PTR = torch.tensor([0, 3, 5, 6, 8, 9])


def joined() -> dict[str, Tensor]:
    """The batch, as a trainer joins it: every number is there once."""
    return {
        "ptr": PTR,
        "hint_rows": torch.arange(0, 6 * 9 + 6 * 6, dtype=torch.float64).reshape(-1, 1),
        "hint_atoms": torch.tensor([0, 2, 0, 1]).reshape(-1, 1),
        "hint_pairs": torch.arange(1000, 1000 + 2 * 2 * 6 + 2 * 1 * 3, dtype=torch.float64).reshape(-1, 1),
        "hint_count": torch.tensor([[2, 0, 1], [0, 2, 1], [0, 0, 0], [2, 0, 1], [0, 1, 1]]),
        "hint_weight": torch.tensor([1.0, 0.5, 0.0, 2.0, 0.25]),
        "hint_key": torch.tensor([11.0, 12.0, 13.0, 14.0, 15.0]),
    }


def test_each_structure_gets_its_own_numbers():
    batch = BatchLabels(joined())
    assert batch.counts == list(SIZES)
    rows, pairs, nothing, full, one = batch.labels
    assert torch.equal(rows.rows, torch.arange(54.0).double().reshape(6, 9))
    assert rows.atoms.tolist() == [0, 2] and rows.atoms.dtype == torch.long
    assert rows.probes is None and rows.hvp is None
    assert torch.equal(pairs.probes, torch.arange(1000.0, 1012).double().reshape(2, 2, 3))
    assert torch.equal(pairs.hvp, torch.arange(1012.0, 1024).double().reshape(2, 2, 3))
    assert pairs.rows is None and pairs.atoms is None
    assert nothing.rows is None and nothing.probes is None and nothing.hvp is None
    assert torch.equal(full.rows, torch.arange(54.0, 90).double().reshape(6, 6))
    assert full.atoms.tolist() == [0, 1]
    assert torch.equal(one.probes, torch.arange(1024.0, 1027).double().reshape(1, 1, 3))
    assert torch.equal(one.hvp, torch.arange(1027.0, 1030).double().reshape(1, 1, 3))
    assert [label.n_atoms for label in batch.labels] == list(SIZES)
    assert [label.key for label in batch.labels] == [11, 12, 0, 14, 15]
    assert batch.weights.tolist() == [1.0, 0.5, 0.0, 2.0, 0.25]


def test_which_structures_are_labelled():
    batch = BatchLabels(joined())
    assert (batch.labelled, batch.full, batch.unlabelled) == ([0, 1, 3, 4], [3], [2])


def test_numbers_of_a_structure_that_is_not_labelled_are_passed_over():
    """Where `hint_count` says so, whatever it brings."""
    arrays = joined()
    arrays["hint_count"][0, 2] = arrays["hint_count"][1, 2] = 0
    batch = BatchLabels(arrays)
    assert (batch.labelled, batch.unlabelled) == ([3, 4], [0, 1, 2])
    assert torch.equal(batch.labels[3].rows, torch.arange(54.0, 90).double().reshape(6, 6))
    assert batch.labels[3].atoms.tolist() == [0, 1]
    assert torch.equal(batch.labels[4].hvp, torch.arange(1027.0, 1030).double().reshape(1, 1, 3))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("gone", [True, False], ids=["absent", "None"])
def test_a_batch_that_lacks_a_key_has_no_labels(key, gone):
    arrays = joined()
    if gone:
        del arrays[key]
    else:
        arrays[key] = None
    batch = BatchLabels(arrays)
    assert batch.labelled == [] and batch.full == [] and batch.unlabelled == [0, 1, 2, 3, 4]
    assert [label.n_atoms for label in batch.labels] == batch.counts == list(SIZES)
    assert batch.weights.tolist() == [0.0] * 5


def unlabelled_edges(count: int) -> Tensor:
    """Edges of the structures 1 and 2 of three, of two atoms each; 500 of the labelled structure 0."""
    sources = torch.tensor([0] * 500 + [2, 5] * (count // 2) + [3] * (count % 2))
    return torch.stack([sources, sources ^ 1])


@pytest.mark.parametrize(
    ("split", "edges", "wanted"),
    [
        ("auto", 63, False),
        ("auto", 64, True),
        ("auto", 65, True),
        ("always", 0, True),
        ("never", 1000, False),
    ],
)
def test_a_batch_is_split_from_64_edges_without_a_label_on(split, edges, wanted):
    labels = BatchLabels(
        {
            "ptr": torch.tensor([0, 2, 4, 6]),
            "hint_rows": torch.eye(6).reshape(-1, 1),
            "hint_atoms": torch.tensor([[0], [1]]),
            "hint_pairs": torch.zeros(0, 1),
            "hint_count": torch.tensor([[2, 0, 1], [0, 0, 0], [0, 0, 0]]),
            "hint_weight": torch.tensor([1.0, 0.0, 0.0]),
            "hint_key": torch.zeros(3),
        }
    )
    owner = torch.tensor([0, 0, 1, 1, 2, 2])
    assert worth_splitting(labels, split, owner, unlabelled_edges(edges)) is wanted


@pytest.mark.parametrize("split", ["auto", "always", "never"])
def test_a_batch_whose_structures_are_all_labelled_is_not_split(split):
    arrays = {key: value for key, value in joined().items() if key != "ptr"}
    arrays["hint_count"] = torch.tensor([[2, 0, 1]])
    arrays |= {"hint_weight": torch.ones(1), "hint_key": torch.zeros(1), "ptr": torch.tensor([0, 3])}
    edges = torch.zeros((2, 1000), dtype=torch.long)
    assert worth_splitting(BatchLabels(arrays), split, torch.zeros(3, dtype=torch.long), edges) is False


def random_batch(seed: int) -> tuple[Tensor, Tensor]:
    """Owners of the atoms of five structures, and edges within each."""
    random = torch.Generator().manual_seed(seed)
    owner = torch.repeat_interleave(torch.arange(5), torch.tensor(SIZES))
    pairs = [(i, j) for i in range(9) for j in range(9) if owner[i] == owner[j]]
    order = torch.randperm(len(pairs), generator=random).tolist()
    return owner, torch.tensor([pairs[place] for place in order]).T


@pytest.mark.parametrize("chosen", [[], [0], [4], [1, 3], [0, 2, 4], [0, 1, 2, 3, 4]])
def test_some_structures_of_a_batch(chosen):
    """Against a loop over atoms and edges."""
    owner, edges = random_batch(len(chosen))
    part = selection(chosen, 5, owner, edges)
    atoms = [i for i in range(9) if int(owner[i]) in chosen]
    kept = [e for e in range(edges.shape[1]) if int(owner[edges[0, e]]) in chosen]
    assert part.graphs.tolist() == chosen and part.atoms.tolist() == atoms and part.edges.tolist() == kept
    assert part.owner.tolist() == [chosen.index(int(owner[i])) for i in atoms]
    wanted = [[atoms.index(int(i)) for i in edges[side, kept]] for side in (0, 1)]
    assert part.edge_index.tolist() == wanted and part.edge_index.shape == (2, len(kept))


@pytest.mark.parametrize(("own", "others"), [([0], [1, 2, 3, 4]), ([1, 3], [0, 2, 4]), ([2, 3, 4], [0, 1])])
def test_outputs_of_two_parts_are_those_of_the_whole(own, others):
    owner, _ = random_batch(0)
    whole = {
        "energy": torch.arange(5.0),
        "stress": torch.arange(45.0).reshape(5, 3, 3),
        "forces": torch.arange(27.0).reshape(9, 3),
    }

    def part(chosen: list[int]) -> dict[str, Tensor]:
        atoms = [i for i in range(9) if int(owner[i]) in chosen]
        return {name: value[atoms if name == "forces" else chosen] for name, value in whole.items()}

    merged = merge_parts(part(own), part(others), owner, own, others)
    assert set(merged) == set(whole)
    assert all(torch.equal(merged[name], value) for name, value in whole.items())


def test_outputs_that_belong_to_nobody_are_left_out():
    """Scalars, other things than tensors, what one part lacks, and rows of neither structures nor atoms."""
    owner = torch.tensor([0, 0, 1])
    first = {
        "energy": torch.tensor([7.0]),
        "scalar": torch.tensor(1.0),
        "text": "x",
        "half": torch.ones(1),
        "none": torch.ones(1),
        "other": torch.ones(1),
        "edges": torch.ones(4),
        "shapes": torch.ones(1, 3),
    }
    second = {
        "energy": torch.tensor([8.0]),
        "scalar": torch.tensor(2.0),
        "text": torch.ones(1),
        "none": None,
        "other": torch.tensor(3.0),
        "edges": torch.ones(5),
        "shapes": torch.ones(1, 4),
    }
    merged = merge_parts(first, second, owner, [1], [0])
    assert set(merged) == {"energy"} and merged["energy"].tolist() == [8.0, 7.0]


def test_merged_outputs_keep_their_graph():
    owner = torch.tensor([0, 1])
    own, other = torch.ones(1, 3, requires_grad=True), torch.ones(1, 3, requires_grad=True)
    merged = merge_parts({"forces": own}, {"forces": other}, owner, [1], [0])
    (merged["forces"] * torch.tensor([[1.0], [2.0]])).sum().backward()
    assert own.grad.tolist() == [[2.0] * 3] and other.grad.tolist() == [[1.0] * 3]
