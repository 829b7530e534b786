"""One normalisation for all modes, penalties, the clip, and who counts."""

import copy
import math
import pickle
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hint_plugin.core.labels import StructureLabel, draw_batch
from hint_plugin.core.losses import MODES, HessianLoss, LossMode, segment_sum
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
        assert float(value[1].detach()) == 0.0 and torch.isfinite(gradient).all()
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


@dataclass
class Quartic:
    """Evaluated structures of E = k/12 sum x^4 + sum_g c_g (x y of the first atom): each has its own c."""

    x: torch.Tensor
    ptr: torch.Tensor
    couplings: tuple[float, ...]
    k: float | torch.Tensor = 2.0

    @property
    def positions(self):
        return self.x

    @property
    def forces(self):
        return self.force_function(self.x)

    def force_function(self, x):
        forces = -self.k * x**3 / 3
        for start, c in zip(self.ptr.tolist(), self.couplings, strict=False):
            pull = torch.zeros_like(x)
            pull[start, 0], pull[start, 1] = c * x[start, 1], c * x[start, 0]
            forces = forces - pull
        return forces

    def hessian(self, g):
        """Diagonal k x^2; c at (x, y) of the first atom."""
        own = self.x.detach()[self.ptr[g] : self.ptr[g + 1]]
        h = torch.diag(float(torch.as_tensor(self.k).detach()) * own.reshape(-1) ** 2)
        h[0, 1] = h[1, 0] = self.couplings[g]
        return h


def two_structures(**options):
    random = torch.Generator().manual_seed(2)
    x = torch.randn(5, 3, generator=random, dtype=torch.float64).requires_grad_()
    return Quartic(x, torch.tensor([0, 2, 5]), (0.7, -1.3), **options)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_hessians_of_a_batch(mode):
    """Of a surface in closed form; whether derived or as differences."""
    evaluated = two_structures()
    found = mode.hessians(evaluated, evaluated.ptr)
    assert len(found) == 2
    for g, matrix in enumerate(found):
        assert not matrix.requires_grad
        torch.testing.assert_close(matrix, evaluated.hessian(g), atol=1e-6, rtol=1e-5)


def test_hessians_by_differences_have_the_step_that_was_asked_for():
    """-dF/dx of k x^3 / 3 by a step s: k (x^2 + s^2 / 3)."""
    evaluated, step = two_structures(k=3.0), 0.3
    for g, matrix in enumerate(MODES["difference"].hessians(evaluated, evaluated.ptr, step)):
        wanted = evaluated.hessian(g) + step**2 * torch.eye(len(matrix))
        torch.testing.assert_close(matrix, wanted)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_products_of_the_model_are_the_matrix_times_the_probes(mode):
    """With their graph: d/dk of the sum of H v is the sum of x^2 v."""
    k = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    evaluated = two_structures(k=k)
    v = draw_probes(ProbeKind.GAUSSIAN, 3, 5, structure_generator(0, 0, 0), dtype=torch.float64)
    directions, divisor = mode.directions(v, evaluated.ptr, 1e-3)
    assert (divisor is None) == mode.analytic
    found = mode.products(evaluated, directions, create_graph=True)
    found = found if divisor is None else found / divisor
    parts = [(v[:, :2], evaluated.hessian(0)), (v[:, 2:], evaluated.hessian(1))]
    wanted = torch.cat([(p.reshape(3, -1) @ h).reshape(p.shape) for p, h in parts], dim=1)
    torch.testing.assert_close(found.detach(), wanted, atol=1e-5, rtol=1e-5)
    (slope,) = torch.autograd.grad(found.sum(), k)
    assert float(slope) == pytest.approx(float((evaluated.x.detach() ** 2 * v).sum()), rel=1e-4)


def test_products_have_no_graph_where_none_is_asked_for():
    evaluated = two_structures()
    v = torch.ones(1, 5, 3, dtype=torch.float64)
    assert not MODES["column"].products(evaluated, v, create_graph=False).requires_grad
    assert MODES["column"].products(evaluated, v, create_graph=True).requires_grad


def test_displacements_of_differences():
    """The farthest atom of each structure moves by the step; the divisor is twice h."""
    v = torch.zeros(1, 5, 3, dtype=torch.float64)
    v[0, 0, 0], v[0, 1, 1], v[0, 3, 2] = 3.0, -1.5, 0.2
    moved, divisor = MODES["difference"].directions(v, torch.tensor([0, 2, 5]), 0.06)
    assert moved[0].norm(dim=-1).tolist() == pytest.approx([0.06, 0.03, 0.0, 0.06, 0.0])
    assert divisor[0, :, 0].tolist() == pytest.approx([0.04, 0.04, 0.6, 0.6, 0.6])
    for name in ("hutchinson", "column", "full"):
        same, nothing = MODES[name].directions(v, torch.tensor([0, 2, 5]), 0.06)
        assert same is v and nothing is None


def test_what_the_modes_are():
    """Which need a third derivative, which answer with all columns, and which draws where few are enough."""
    assert {name: (mode.analytic, mode.all_columns) for name, mode in MODES.items()} == {
        "hutchinson": (True, False),
        "column": (True, False),
        "full": (True, True),
        "difference": (False, False),
    }
    assert all(mode.few is MODES["hutchinson"] for mode in MODES.values())


@pytest.mark.parametrize("name", ["hutchinson", "column", "difference"])
@pytest.mark.parametrize("count", [1, 4])
def test_as_many_probes_are_drawn_as_are_asked_for(name, count):
    v = MODES[name].draw(count, 4, torch.tensor([0, 3]), structure_generator(0, 0, 0))
    assert v.shape == (count, 4, 3) and not v[:, 1:3].any()
    ones = (v[:, [0, 3]].abs() == 1).sum((1, 2)).tolist()
    assert ones == [1 if name == "column" else 6] * count


def test_all_columns_are_drawn_in_order():
    v = MODES["full"].draw(1, 4, torch.tensor([3, 1]), structure_generator(0, 0, 0))
    assert v.shape == (6, 4, 3)
    assert v.reshape(6, 12).argmax(1).tolist() == [9, 10, 11, 3, 4, 5]
    assert (v.reshape(6, 12).sum(1) == 1).all() and (v.abs().reshape(6, 12).sum(1) == 1).all()


def test_sums_over_the_structures():
    values = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])
    assert segment_sum(values, torch.tensor([2, 0, 2]), 4).tolist() == [[2, 0, 5, 0], [16, 0, 40, 0]]


def test_defaults_are_squares_clipped_at_100():
    """Huber's delta is 1 by default: 2 counts 2 * 2 - 1."""
    v = torch.eye(3, dtype=torch.float64).reshape(3, 1, 3)
    for size, loss, wanted in (
        (2.0, HessianLoss(), 4.0),
        (0.5, HessianLoss("huber"), 0.25),
        (2.0, HessianLoss("huber"), 3.0),
        (200.0, HessianLoss("mse"), 100.0 * 300),
        (200.0, HessianLoss("l1"), 200.0),
        (200.0, HessianLoss("mse", clip=None), 4e4),
        (200.0, HessianLoss("mse", clip=150.0), 150.0 * 250),
        (100.0, HessianLoss(clip=100.0), 1e4),
        (1e6, HessianLoss("l1", clip=3.0), 1e6),
    ):
        assert float(loss_of(size * torch.ones(3, 3).double(), v, loss, n_atoms=1)) == pytest.approx(wanted)


@pytest.mark.parametrize("penalty", ["mse", "huber"])
def test_the_gradient_is_finite_where_nothing_is_wrong(penalty):
    """At dH = 0, and where a structure has no probes: neither the root nor the length makes it NaN."""
    predicted = torch.zeros(2, 2, 3, dtype=torch.float64, requires_grad=True)
    v = torch.zeros_like(predicted)
    v[0, 0] = 1.0
    owner = torch.tensor([0, 1])
    loss = HessianLoss(penalty).per_structure(predicted, torch.zeros_like(v), v, owner, 2)
    loss.sum().backward()
    assert loss.tolist() == [0.0, 0.0] and not predicted.grad.any()


def test_what_is_predicted_along_missing_probes_does_not_count():
    """Not even where it differs from the reference."""
    v = torch.ones(2, 3, 3, dtype=torch.float64)
    v[1, :2] = 0  # the first structure has one probe, the second, of one atom, has two
    v[:, 2] *= 2
    owner, zero = torch.tensor([0, 0, 1]), torch.zeros_like(v)
    predicted = torch.ones_like(v)
    found = HessianLoss().per_structure(predicted, zero, v, owner, 2)
    # |v|^2 is 6 and 12, each component of dH v is 1
    assert found.tolist() == pytest.approx([1 / 6, 1 / 12])
    predicted[1, :2] = 1e3
    assert HessianLoss().per_structure(predicted, zero, v, owner, 2).tolist() == pytest.approx(
        [1 / 6, 1 / 12]
    )


@pytest.mark.parametrize("length", [1e-14, 1.2e-15])
def test_even_a_tiny_probe_counts_by_its_direction(length):
    v = draw_probes(ProbeKind.GAUSSIAN, 1, N, structure_generator(0, 0, 0)).double()
    v = v / v.norm()
    assert float(loss_of(errors(), length * v)) == pytest.approx(float(loss_of(errors(), v)))


def test_sum_and_count_of_a_batch():
    """sum_g w_g loss_g, and the number of w_g > 0."""
    v = torch.ones(1, 3, 3, dtype=torch.float64)
    predicted = v * torch.tensor([1.0, 2.0, 3.0])[:, None]
    weights = torch.tensor([0.5, 0.0, 2.0], dtype=torch.float64)
    total, count = HessianLoss()(predicted, 0 * v, v, torch.arange(3), weights)
    assert float(total) == pytest.approx((0.5 * 1 + 2 * 9) / 3) and int(count) == 2


@pytest.mark.parametrize("arguments", [{"delta": -1.0}, {"delta": math.nan, "penalty": "x"}])
def test_more_settings_are_refused(arguments):
    with pytest.raises(ValueError, match="Hessian loss"):
        HessianLoss(**arguments)


def test_a_mode_of_ones_own_is_refused_by_the_name_it_lacks():
    for name in (None, "", "Full"):
        with pytest.raises(ValueError, match="no loss mode"):
            LossMode(name)
    assert repr(MODES["full"]) == "LossMode('full')"
    with pytest.raises(NotImplementedError):

        class Own(LossMode):
            name = "own"

        Own().draw(1, 1, torch.tensor([0]), structure_generator(0, 0, 0))
