"""What a label answers to probes, and the probes that a batch gets."""

import pytest
import torch

from hint_plugin.core.labels import VALIDATION_STEP, StructureLabel, draw_batch
from hint_plugin.core.losses import MODES

N = 4


def matrix(seed=0, n_atoms=N):
    a = torch.randn(
        3 * n_atoms, 3 * n_atoms, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return a + a.T


def full(seed=0, key=0, n_atoms=N):
    return StructureLabel(n_atoms, rows=matrix(seed, n_atoms), atoms=torch.arange(n_atoms), key=key)


def pairs(count=3, key=0, seed=1):
    v = torch.randn(count, N, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return StructureLabel(N, probes=v, hvp=(v.reshape(count, -1) @ matrix()).reshape(v.shape), key=key)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("atoms", [[0, 1, 2, 3], [2], [3, 0]])
def test_references_are_the_matrix_times_the_probes(mode, atoms):
    h = matrix()
    rows = torch.cat([h[3 * a : 3 * a + 3] for a in atoms])
    label = StructureLabel(N, rows=rows, atoms=torch.tensor(atoms), key=5)
    v, product = label.draw(mode, 2, seed=0, step=0)
    torch.testing.assert_close(product, (v.reshape(len(v), -1) @ h).reshape(v.shape))
    others = [a for a in range(N) if a not in atoms]
    assert not v[:, others].any()
    assert len(v) == (3 * len(atoms) if mode.all_columns else 2)


#: What version 0.1 drew: of two of four atoms 2 probes (seed 3, step 4, key 77; their components on atoms 0
#: and 2), and of 5 pairs 2 and 3 (seed 7, steps 11 and 12, key 9).
SIGNS = [1, -1, 1, 1, -1, -1, -1, -1, 1, 1, -1, 1]
DRAWN = {
    "hutchinson": (SIGNS, [2, 4], [1, 0, 2]),
    "column": ([0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0], [2, 4], [1, 0, 2]),
    "full": (torch.eye(6).roll(3, 0).flatten().tolist(), [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
    "difference": (SIGNS, [2, 4], [1, 0, 2]),
}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_the_same_seed_gives_the_same_probes_in_all_versions(mode):
    """So that a training of before can be repeated."""
    atoms = torch.tensor([2, 0])
    rows = torch.cat([matrix()[6:9], matrix()[0:3]])
    v, _ = StructureLabel(N, rows=rows, atoms=atoms, key=77).draw(mode, 2, 3, 4)
    probes, *wanted = DRAWN[mode.name]
    assert v.dtype == torch.float64
    assert v[:, [0, 2]].flatten().tolist() == probes
    label = pairs(count=5, key=9)
    for count, step, chosen in zip((2, 3), (11, 12), wanted, strict=True):
        v, product = label.draw(mode, count, 7, step)
        assert torch.equal(v, label.probes[chosen]) and torch.equal(product, label.hvp[chosen])


def test_pairs_bring_their_own_probes():
    label = pairs(count=3)
    for mode, count in ((MODES["full"], 1), (MODES["hutchinson"], 3), (MODES["column"], 9)):
        v, product = label.draw(mode, count, 0, 0)
        assert torch.equal(v, label.probes) and torch.equal(product, label.hvp)
    chosen = [label.draw(MODES["hutchinson"], 1, 0, step)[0] for step in range(20)]
    seen = {next(k for k in range(3) if torch.equal(v[0], label.probes[k])) for v in chosen}
    assert seen == {0, 1, 2}  # each is used sooner or later


def test_batches_are_filled_with_zeros():
    batch = [full(n_atoms=2), StructureLabel(3), pairs(count=2)]
    v, product = draw_batch(batch, MODES["full"], 1, 0, 0)
    assert v.shape == product.shape == (6, 2 + 3 + N, 3)
    assert v[:, :2].abs().sum((1, 2)).gt(0).all()
    assert not v[:, 2:5].any() and not product[:, 2:5].any()
    assert v[:2, 5:].any() and not v[2:, 5:].any()


@pytest.mark.parametrize("mode", [MODES["hutchinson"], MODES["column"]])
def test_probes_do_not_depend_on_the_batch(mode):
    a, b, c = full(key=1), full(key=2, seed=3), full(key=3, n_atoms=2)
    together, _ = draw_batch([a, b, c], mode, 2, seed=9, step=4)
    shuffled, _ = draw_batch([c, a, b], mode, 2, seed=9, step=4)
    assert torch.equal(together[:, : 2 * N], shuffled[:, 2:])
    assert torch.equal(together[:, 2 * N :], shuffled[:, :2])
    assert torch.equal(draw_batch([b], mode, 2, 9, 4)[0], together[:, N : 2 * N])
    assert not torch.equal(draw_batch([b], mode, 2, 9, 5)[0], together[:, N : 2 * N])


def test_a_batch_without_labels():
    v, product = draw_batch([StructureLabel(2), StructureLabel(3)], MODES["hutchinson"], 4, 0, 0)
    assert not v.any() and not product.any()
    assert not StructureLabel(2).labelled and full().labelled and pairs().labelled


def test_which_labels_know_all_columns():
    assert full(n_atoms=2).full and full(n_atoms=1).full
    assert not StructureLabel(2, rows=matrix(n_atoms=2)[:3], atoms=torch.tensor([0])).full
    assert not pairs().full and not StructureLabel(2).full
    assert StructureLabel(2).key == 0


def test_nothing_is_drawn_of_a_structure_without_a_label():
    v, product = StructureLabel(3).draw(MODES["full"], 4, 0, 0)
    assert v.shape == product.shape == (1, 3, 3) and not v.any() and not product.any()


def test_a_batch_has_the_precision_of_its_labels():
    """Also where the first structure has none."""
    for batch in ([StructureLabel(1), full()], [full(), StructureLabel(1)], [StructureLabel(2), pairs()]):
        v, product = draw_batch(batch, MODES["hutchinson"], 1, 0, 0)
        assert v.dtype == product.dtype == torch.float64
    assert draw_batch([StructureLabel(1)], MODES["full"], 1, 0, 0)[0].shape == (1, 1, 3)


def test_fixed_probes_of_validation_are_those_of_no_step_of_the_training():
    assert VALIDATION_STEP < 0
    v = full(key=3).draw(MODES["hutchinson"], 2, 1, VALIDATION_STEP)[0]
    assert torch.equal(v, full(key=3).draw(MODES["hutchinson"], 2, 1, -1)[0])
    assert not any(torch.equal(v, full(key=3).draw(MODES["hutchinson"], 2, 1, s)[0]) for s in range(50))
