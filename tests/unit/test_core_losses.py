"""One normalisation for all modes, penalties, the clip, and who counts."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hint_plugin.core.labels import StructureLabel, draw_batch
from hint_plugin.core.losses import MODES, HessianLoss, LossMode
from hint_plugin.core.probes import ProbeKind, draw_probes, structure_generator

N = 5


def errors(seed=0, n_atoms=N):
    """A symmetric dH [3N, 3N]."""
    a = torch.randn(
        3 * n_atoms, 3 * n_atoms, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return a + a.T


def loss_of(dh, v, loss=None, n_atoms=N):
    """The loss of one structure whose H_pred - H_ref is dh."""
    product = (v.reshape(len(v), -1) @ dh).reshape(v.shape)
    owner = torch.zeros(n_atoms, dtype=torch.long)
    return (loss or HessianLoss(clip=None)).per_structure(product, torch.zeros_like(product), v, owner, 1)[0]


@pytest.mark.parametrize("kind", ProbeKind)
def test_expectation_is_the_mean_of_the_squared_elements(kind):
    dh = errors()
    wanted = float(dh.square().mean())
    count = 4000
    v = draw_probes(kind, count, N, structure_generator(3, 0, 0), dtype=torch.float64)
    single = torch.stack([loss_of(dh, v[k : k + 1]) for k in range(count)])
    standard_error = float(single.std()) / count**0.5
    assert float(single.mean()) == pytest.approx(wanted, abs=4 * standard_error)
    assert standard_error < 0.02 * wanted  # else the test would say nothing
    assert float(loss_of(dh, v)) == pytest.approx(float(single.mean()))


def test_variances_are_those_of_the_theory_page():
    """docs/theory.md: of the estimate from one probe, n = 3N, A = dH^T dH."""
    dh, n = errors(), 3 * N
    a = dh.T @ dh
    squares, trace = float(a.square().sum()), float(a.trace())
    diagonal = float(a.diagonal().square().sum())
    wanted = {
        ProbeKind.RADEMACHER: 2 / n**4 * (squares - diagonal),
        ProbeKind.GAUSSIAN: 2 / (n**3 * (n + 2)) * (squares - trace**2 / n),
        ProbeKind.COLUMN: (diagonal - trace**2 / n) / n**3,
    }
    count = 20000
    owner = torch.arange(count).repeat_interleave(N)
    for kind, variance in wanted.items():
        v = draw_probes(kind, count, N, structure_generator(1, 0, 0), dtype=torch.float64)
        product = (v.reshape(count, -1) @ dh).reshape(1, -1, 3)
        loss = HessianLoss(clip=None)
        found = loss.per_structure(product, torch.zeros_like(product), v.reshape(1, -1, 3), owner, count)
        assert float(found.var()) == pytest.approx(variance, rel=0.06), kind


def test_all_columns_give_it_exactly():
    dh = errors()
    v = torch.eye(3 * N, dtype=torch.float64).reshape(-1, N, 3)
    assert float(loss_of(dh, v)) == pytest.approx(float(dh.square().mean()), rel=1e-12)


def test_a_mode_is_one_object():
    """By name, in copies (a trainer copies its model) and in pickles, those of version 0.1 among them."""
    assert list(MODES) == ["hutchinson", "column", "full", "difference"]
    old = b"chint_plugin.core.losses\nLossMode\n(Vfull\ntR."  # what pickle wrote of LossMode.FULL
    assert pickle.loads(old) is MODES["full"]
    for name, mode in MODES.items():
        assert mode.name == name and LossMode(name) is mode
        assert copy.deepcopy([mode])[0] is mode and pickle.loads(pickle.dumps(mode)) is mode
    with pytest.raises(ValueError, match=r"no loss mode 'fll'; wanted one of hutchinson, column"):
        LossMode("fll")


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_modes_of_the_training_estimate_the_same_number(mode):
    """Through labels and drawing, as the training does it; `difference` draws as `hutchinson` does."""
    dh = errors(seed=4)
    reference = errors(seed=5)
    label = StructureLabel(N, rows=reference, atoms=torch.arange(N), key=11)
    found = []
    for step in range(1 if mode.all_columns else 1500):
        v, product = draw_batch([label], mode, 2, seed=1, step=step)
        predicted = (v.reshape(len(v), -1) @ (reference + dh)).reshape(v.shape)
        owner = torch.zeros(N, dtype=torch.long)
        found.append(HessianLoss(clip=None).per_structure(predicted, product, v, owner, 1)[0])
    values = torch.stack(found)
    error = 1e-10 if mode.all_columns else 4 * float(values.std()) / len(values) ** 0.5
    assert float(values.mean()) == pytest.approx(float(dh.square().mean()), abs=error)


def test_rows_estimate_the_mean_over_the_known_elements():
    reference, dh = errors(seed=6), errors(seed=7)
    atoms = torch.tensor([1, 4])
    known = torch.tensor([3, 4, 5, 12, 13, 14])
    label = StructureLabel(N, rows=reference[known], atoms=atoms, key=1)
    v, product = draw_batch([label], MODES["full"], 1, 0, 0)
    predicted = (v.reshape(len(v), -1) @ (reference + dh)).reshape(v.shape)
    found = HessianLoss(clip=None).per_structure(predicted, product, v, torch.zeros(N, dtype=torch.long), 1)
    assert float(found[0]) == pytest.approx(float(dh[known].square().mean()))


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-3, 1e3), factor=st.floats(0.1, 10))
def test_length_of_a_probe_does_not_matter(scale, factor):
    dh, v = scale * errors(), draw_probes(ProbeKind.GAUSSIAN, 2, N, structure_generator(0, 0, 0)).double()
    assert float(loss_of(dh, factor * v)) == pytest.approx(float(loss_of(dh, v)), rel=1e-9)


def test_huber_and_l1_of_columns_are_those_of_the_elements():
    dh = errors()
    v = torch.eye(3 * N, dtype=torch.float64).reshape(-1, N, 3)
    size = dh.abs()
    assert float(loss_of(dh, v, HessianLoss("l1", clip=None))) == pytest.approx(float(size.mean()))
    huber = torch.where(size <= 0.5, size**2, 0.5 * (2 * size - 0.5)).mean()
    assert float(loss_of(dh, v, HessianLoss("huber", delta=0.5, clip=None))) == pytest.approx(float(huber))
    assert float(loss_of(dh, v, HessianLoss("huber", delta=1e3, clip=None))) == pytest.approx(
        float(dh.square().mean())
    )


EQ4 = HessianLoss(clip=None, normalise="eq4")


@pytest.mark.parametrize(
    ("kind", "ratio"), [(ProbeKind.RADEMACHER, 3 * N), (ProbeKind.COLUMN, 1), (ProbeKind.GAUSSIAN, None)]
)
def test_eq4_is_the_mean_squared_error_of_the_projected_vectors(kind, ratio):
    """|dH v|^2 / (3N): at one weight a Rademacher probe weighs 3N times a column."""
    dh = errors(seed=2)
    v = draw_probes(kind, 3, N, structure_generator(5, 0, 0), dtype=torch.float64)
    projected = v.reshape(3, -1) @ dh
    found = float(loss_of(dh, v, EQ4))
    assert found == pytest.approx(float(projected.square().mean()), rel=1e-12)
    if ratio is not None:
        assert found == pytest.approx(ratio * float(loss_of(dh, v)), rel=1e-12)


def test_eq4_of_all_columns_and_of_rademacher_probes_differ_by_3n_on_average():
    dh = errors(seed=3)
    columns = torch.eye(3 * N, dtype=torch.float64).reshape(-1, N, 3)
    v = draw_probes(ProbeKind.RADEMACHER, 4000, N, structure_generator(3, 0, 0), dtype=torch.float64)
    ratio = float(loss_of(dh, v, EQ4) / loss_of(dh, columns, EQ4))
    assert ratio == pytest.approx(3 * N, rel=0.03)


def test_eq4_of_rows_and_of_structures_with_fewer_probes():
    """Probes on m atoms have length sqrt(3m); what is filled up with zeros does not count."""
    dh = errors(seed=8)
    v = torch.zeros(2, N, 3, dtype=torch.float64)
    v[0, 1:3] = draw_probes(ProbeKind.RADEMACHER, 1, 2, structure_generator(0, 0, 0), dtype=torch.float64)
    wanted = float((v[0].reshape(-1) @ dh).square().mean())
    assert float(loss_of(dh, v, EQ4)) == pytest.approx(wanted)
    assert float(loss_of(dh, v)) == pytest.approx(wanted / 6)


@pytest.mark.parametrize("penalty", ["mse", "huber"])
@pytest.mark.parametrize("size", [90.0, 300.0])
def test_eq4_clips_the_structures_that_elements_clips(penalty, size):
    """The guard looks at the same RMS residual, and an unlabelled structure beside it has a gradient of 0."""
    dh = errors()
    dh = (size * dh / dh.square().mean().sqrt()).requires_grad_()
    v = draw_probes(ProbeKind.RADEMACHER, 1, 2 * N, structure_generator(0, 0, 0)).double()
    v[:, N:] = 0
    owner = torch.repeat_interleave(torch.arange(2), N)
    values = {}
    for normalise in ("elements", "eq4"):
        loss = HessianLoss(penalty, delta=1e6, clip=100.0, normalise=normalise)
        product = torch.cat([(v[:, :N].reshape(1, -1) @ dh).reshape(1, N, 3), v[:, N:]], dim=1)
        value = loss.per_structure(product, torch.zeros_like(product), v, owner, 2)
        (gradient,) = torch.autograd.grad(value.sum(), dh)
        values[normalise] = float(value[0].detach()), gradient
        assert float(value[1]) == 0.0 and torch.isfinite(gradient).all()
    assert values["eq4"][0] == pytest.approx(3 * N * values["elements"][0], rel=1e-12)
    torch.testing.assert_close(values["eq4"][1], 3 * N * values["elements"][1])


@pytest.mark.parametrize("size", [1.0, 99.9, 100.1, 1e4, 1e8])
def test_clip_bounds_the_gradient_and_changes_nothing_below(size):
    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    dh = errors()
    dh = size * dh / dh.square().mean().sqrt()
    v = torch.eye(3 * N, dtype=torch.float64).reshape(-1, N, 3)
    owner = torch.zeros(N, dtype=torch.long)
    product = (v.reshape(len(v), -1) @ dh).reshape(v.shape)

    def slope(loss):
        """d loss / d s at an RMS residual s = size."""
        value = loss.per_structure(scale * product, torch.zeros_like(product), v, owner, 1)[0]
        (gradient,) = torch.autograd.grad(value, scale)
        return float(value.detach()), float(gradient) / size

    clipped, free = slope(HessianLoss(clip=100.0)), slope(HessianLoss(clip=None))
    if size < 100:
        assert clipped == pytest.approx(free)
    else:
        assert clipped[1] == pytest.approx(2 * 100.0)
        assert clipped[0] == pytest.approx(100 * (2 * size - 100))


def test_a_bad_label_does_not_move_the_others():
    owner = torch.tensor([0] * N + [1] * N)
    v = draw_probes(ProbeKind.RADEMACHER, 1, 2 * N, structure_generator(0, 0, 0)).double()
    product = torch.cat([torch.full((1, N, 3), 1.0), torch.full((1, N, 3), 1e9)], dim=1).double()
    found = HessianLoss().per_structure(product, torch.zeros_like(product), v, owner, 2)
    assert float(found[0]) == pytest.approx(1 / (3 * N))
    assert torch.isfinite(found).all()


def test_weights_and_count():
    v = draw_probes(ProbeKind.RADEMACHER, 1, 3 * N, structure_generator(0, 0, 0)).double()
    v[:, 2 * N :] = 0  # the third structure is not labelled
    owner = torch.repeat_interleave(torch.arange(3), N)
    total, count = HessianLoss()(2 * v, v, v, owner, torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64))
    assert int(count) == 2
    assert float(total) == pytest.approx(1.5 / (3 * N))


def test_missing_probes_of_a_structure_do_not_count():
    dh = errors()
    v = draw_probes(ProbeKind.RADEMACHER, 1, N, structure_generator(0, 0, 0)).double()
    filled = torch.cat([v, torch.zeros_like(v)])
    assert float(loss_of(dh, filled)) == pytest.approx(float(loss_of(dh, v)))


@pytest.mark.parametrize(
    "arguments",
    [{"penalty": "l2"}, {"delta": 0.0}, {"clip": -1.0}, {"clip": 0.0}, {"normalise": "eq5"}],
    ids=lambda a: next(iter(a)),
)
def test_bad_settings_are_refused(arguments):
    with pytest.raises(ValueError, match="Hessian loss"):
        HessianLoss(**arguments)
