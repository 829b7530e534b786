"""Probes: distributions, atoms that may move, and the random stream of a structure."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hint_plugin.core.probes import ProbeKind, draw_probes, mix_seed, structure_generator


def draw(kind, count, n_atoms, seed=0, **options):
    return draw_probes(kind, count, n_atoms, structure_generator(seed, 0, 0), dtype=torch.float64, **options)


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(ProbeKind),
    count=st.integers(1, 20),
    n_atoms=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_values(kind, count, n_atoms, seed):
    v = draw(kind, count, n_atoms, seed)
    assert v.shape == (count, n_atoms, 3)
    if kind is ProbeKind.RADEMACHER:
        assert (v.abs() == 1).all()
    if kind is ProbeKind.COLUMN:
        assert (v.sum((1, 2)) == 1).all() and (v.square().sum((1, 2)) == 1).all()
        columns = v.reshape(count, -1).argmax(1).tolist()
        assert len(set(columns)) == min(count, 3 * n_atoms)  # none twice before all are used


@pytest.mark.parametrize("kind", [ProbeKind.RADEMACHER, ProbeKind.GAUSSIAN])
def test_covariance_is_the_identity(kind):
    v = draw(kind, 40000, 2).reshape(-1, 6)
    covariance = v.T @ v / len(v)
    assert float((covariance - torch.eye(6)).abs().max()) < 0.03  # 4 standard errors of a variance


def test_columns_are_uniform():
    v = torch.cat([draw(ProbeKind.COLUMN, 1, 2, seed) for seed in range(6000)]).reshape(-1, 6)
    assert float((v.mean(0) - 1 / 6).abs().max()) < 0.02


@pytest.mark.parametrize("kind", ProbeKind)
def test_only_chosen_atoms_move(kind):
    v = draw(kind, 5, 4, atoms=torch.tensor([1, 3]))
    assert not v[:, [0, 2]].any()
    assert v[:, [1, 3]].any()


def test_same_seed_step_and_key_same_probes_whatever_came_before():
    def one(seed, step, key):
        return draw_probes(ProbeKind.RADEMACHER, 2, 10, structure_generator(seed, step, key))

    reference = one(1, 2, 3)
    torch.manual_seed(7)
    torch.rand(100)
    assert torch.equal(one(1, 2, 3), reference)
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (1, -1, 3)):
        assert not torch.equal(one(*other), reference)


def test_torch_global_stream_is_left_alone():
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    draw(ProbeKind.GAUSSIAN, 4, 3)
    assert torch.equal(torch.rand(3), wanted)


@settings(max_examples=100, deadline=None)
@given(parts=st.lists(st.integers(-(2**40), 2**63), min_size=3, max_size=3))
def test_mixed_seeds_are_legal(parts):
    assert 0 <= mix_seed(*parts) < 2**63
    torch.Generator().manual_seed(mix_seed(*parts))


@pytest.mark.parametrize(
    ("parts", "seed"),
    [
        ((0, 0, 0), 8400846795866429669),
        ((1, 2, 3), 3940840001693470721),
        ((3, -1, 2**40), 3677871571590640678),
    ],
)
def test_streams_are_those_of_earlier_versions(parts, seed):
    """A training that goes on under a newer HINT sees the probes that it would have seen."""
    assert mix_seed(*parts) == seed


def test_mixed_seeds_do_not_collide():
    grid = [(seed, step, key) for seed in range(10) for step in range(-1, 40) for key in range(20)]
    assert len({mix_seed(*parts) for parts in grid}) == len(grid)


@pytest.mark.parametrize(("count", "n_atoms"), [(0, 3), (1, 0)])
def test_nothing_to_draw_is_refused(count, n_atoms):
    with pytest.raises(ValueError, match="must be at least 1"):
        draw(ProbeKind.RADEMACHER, count, n_atoms)
