"""What cannot go well is seen before the first step, and an error has the size of its reference beside it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

import numpy as np
import torch
from ase import Atoms
from nequip_runs import (
    BUILDERS,
    MOLECULES,
    Run,
    build_hessian,
    callbacks,
    config,
    frames_of,
    make_batch,
    mixed_labels,
    model_config,
    train,
    transforms,
)

from hint_plugin.data import read_label, write_frames, write_label
from hint_plugin.errors import DataError, HintError, OptionsError
from hint_plugin.nequip import FrameDataset, HessianLabels
from hint_plugin.nequip.agreement import check_derivatives
from hint_plugin.nequip.counts import contents_of, count_labels, most_edges
from hint_plugin.nequip.sizes import ReferenceSizes

EXTRA = "training_module.loss.extra_metrics"
TERM = {"name": "hessian", "coeff": 80.0, "metric": {"_target_": "hint_plugin.nequip.HessianLoss"}}
MAPPER, NEIGHBOURS = config({})["data"]["transforms"]
#: NequIP's own data module, which is not told to pass labels on.
STOCK = {
    "data._target_": "nequip.data.datamodule.ASEDataModule",
    "data.transforms": [{"_target_": "hint_plugin.nequip.HessianLabels"}, MAPPER, NEIGHBOURS],
}
ALONE = callbacks(without="HessianCurriculum")
NO_CALLBACKS = {"trainer.callbacks": config({})["trainer"]["callbacks"][:1]}
PLAIN = {
    "training_module.model": {
        name: value for name, value in model_config("NequIP").items() if name not in ("builder", "_target_")
    }
    | {"_target_": BUILDERS["NequIP"][0]}
}
UNMEASURED = {"training_module.val_metrics.extra_metrics": None, "training_module.test_metrics": None}


def test_levels_and_charges_of_the_frames_are_counted_once(tmp_path):
    frames = frames_of(MOLECULES)[:4]
    for number, atoms in enumerate(frames):
        atoms.info |= {"hint_method": "AB"[number % 2], "charge": -(number % 2)}
    write_frames(tmp_path / "in.xyz", frames)
    write_frames(tmp_path / "in.h5", frames)
    for name in ("in.xyz", "in.h5"):
        dataset = FrameDataset(str(tmp_path / name), transforms=transforms())
        for _ in range(2):
            count_labels(dataset)
        parts = torch.utils.data.ConcatDataset([torch.utils.data.Subset(dataset, [n]) for n in (0, 1)])
        levels, charges = contents_of(parts).remarks()
        assert "2 frames of A" in levels and "2 frames of B" in levels
        assert "-1 (2), 0 (2)" in charges


def setter(name: str, **options) -> dict:
    return {"_target_": f"nequip.train.callbacks.{name}", **options}


def setters(name: str, **options) -> dict:
    """A callback of NequIP's that sets coefficients, in place of the curriculum."""
    return callbacks(setter(name, **options), without="HessianCurriculum")


# what cannot be ---------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::hint_plugin.errors.LabelWarning")  # a key that is not theirs
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (
            {"data.keys": {"hessian": "REF_hess"}},
            DataError,
            r"none of the 15 training structures has a Hessian label \(looked for: REF_hess, REF_hessian_",
        ),
        (STOCK, DataError, r"none of the 15 .* include_keys: \[REF_hessian\]"),
        (
            {**STOCK, **NO_CALLBACKS, "trainer.max_epochs": 1},
            DataError,
            "no structure of the whole epoch had a Hessian label",
        ),
        (
            callbacks(setter("SoftAdapt", beta=1.1, interval="batch", frequency=5)),
            OptionsError,
            "HessianCurriculum beside SoftAdapt: both set the coefficients",
        ),
        (
            callbacks(setter("LinearLossCoefficientScheduler", final_coeffs={"a": 1.0}, transition_epochs=1)),
            OptionsError,
            "beside LinearLossCoefficientScheduler",
        ),
        (
            setters("LossCoefficientScheduler", schedule={1: {"forces_mse": 1.0}}),
            OptionsError,
            "the coefficient of hessian was dropped in epoch 1",
        ),
        (
            {EXTRA: None, **NO_CALLBACKS, **UNMEASURED},
            OptionsError,
            "the loss does not use them: this training",
        ),
        (
            {EXTRA: None, **ALONE, "training_module.loss.coeffs.hessian": 80.0},
            OptionsError,
            "coeffs of nequip.train.EnergyForceLoss has hessian, which it ignores",
        ),
        (
            {EXTRA: [{"name": "hessian", "metric": TERM["metric"]}], **ALONE},
            OptionsError,
            "hessian is in the loss without a coefficient",
        ),
        (
            {EXTRA: [{**TERM, "metric": {"_target_": "hint_plugin.nequip.HessianRMSE"}}], **ALONE},
            OptionsError,
            "HessianRMSE is no loss, but for validation",
        ),
        (PLAIN, OptionsError, "the model makes no products H v. Put the model's configuration"),
        ({**PLAIN, EXTRA: None, **ALONE, **UNMEASURED}, OptionsError, "HessianErrors: the model makes no"),
    ],
)
def test_a_training_that_would_not_do_what_was_asked(tmp_path, options, error, words):
    with pytest.raises(error, match=words):
        train(tmp_path, options)


def test_a_training_that_only_compares_says_so(tmp_path):
    run = train(tmp_path, {EXTRA: None, **ALONE, "trainer.max_epochs": 1})
    (line,) = [text for text in run.log if "sees no Hessians" in text]
    assert line.endswith("HessianErrors, hessian_rmse compares with them, and no more")


def test_without_any_callback_the_model_says_that_it_is_not_used(tmp_path):
    options = {**STOCK, **NO_CALLBACKS, EXTRA: None, "trainer.max_epochs": 1}
    run = train(tmp_path, {**options, "data.include_keys": ["REF_hessian"]})
    assert sum("the loss does not use them" in text for text in run.log) == 1


def test_something_that_sets_coefficients_is_seen():
    """Whatever it is called."""
    from nequip.train import EnergyForceLoss

    from hint_plugin.nequip import HessianCurriculum, HessianLoss

    loss = EnergyForceLoss(extra_metrics=[{"name": "hessian", "coeff": 1.0, "metric": HessianLoss()}])
    curriculum = HessianCurriculum({"per_atom_energy_mse": 1.0, "forces_mse": 1.0, "hessian": 1.0})
    module = SimpleNamespace(loss=loss)
    trainer = SimpleNamespace(global_step=0, estimated_stepping_batches=5, callbacks=[curriculum])
    curriculum.on_fit_start(trainer, module)
    for trainer.global_step in (0, 1):
        curriculum.on_train_batch_start(trainer, module, None, 0)
    loss.set_coeffs({"per_atom_energy_mse": 1.0, "forces_mse": 5.0, "hessian": 1.0})
    with pytest.raises(OptionsError, match="something else has set the coefficients"):
        curriculum.on_train_batch_start(trainer, module, None, 0)


# a set without labels ---------------------------------------------------------------------------------------


def test_a_validation_set_without_labels(tmp_path, molecules):
    """Its RMSE is not a number, its weighted sum is that of energies and forces; the other set has all."""
    bare = [atoms.copy() for atoms in molecules[:4]]
    for atoms in bare:
        write_label(atoms, None)
    write_frames(tmp_path / "bare.xyz", bare)
    options = {
        "run": ["train", "test"],
        "data.val_file_path": [str(tmp_path / "bare.xyz"), str(MOLECULES)],
        "data.test_file_path": str(tmp_path / "bare.xyz"),
        "trainer.max_epochs": 1,
    }
    run = train(tmp_path / "run", options)
    for kind in ("val0", "test0"):
        values = {
            name: run.values(f"{kind}_epoch/{name}")[-1] for name in ("forces_rmse", "per_atom_energy_rmse")
        }
        assert math.isnan(run.values(f"{kind}_epoch/hessian_rmse")[-1])
        wanted = (values["forces_rmse"] + 10 * values["per_atom_energy_rmse"]) / 11  # of configs/nequip
        assert run.values(f"{kind}_epoch/weighted_sum")[-1] == pytest.approx(wanted)
        assert not run.values(f"{kind}_epoch/hessian_rms")
    assert run.values("val1_epoch/hessian_rmse")[-1] > 0
    assert math.isfinite(run.values("val1_epoch/weighted_sum")[-1])
    assert "validation set 0: 0 of 4 structures have a Hessian label" in run.log
    assert "validation set 1: 15 of 15 structures have a Hessian label" in run.log
    assert sum("hessian_rmse of it is not a number" in text for text in run.log) == 2  # val0 and test0
    assert (run.folder / "best.ckpt").is_file()


# counts -----------------------------------------------------------------------------------------------------


def test_labels_are_counted_one_by_one(tmp_path, molecules):
    """Three of 400: a sample would miss them. As text, as a store, and through NequIP's own data set."""
    from nequip.data.dataset import ASEDataset
    from torch.utils.data import ConcatDataset, Subset

    plain = molecules[0].copy()
    write_label(plain, None)
    frames = [plain.copy() for _ in range(400)]
    chosen = {1: molecules[4], 177: molecules[2], 399: molecules[0]}
    for number, atoms in chosen.items():
        frames[number] = atoms
    write_frames(tmp_path / "set.xyz", frames)
    write_frames(tmp_path / "set.h5", frames)
    stock = ASEDataset(
        file_path=str(tmp_path / "set.xyz"), transforms=[HessianLabels()], include_keys=["REF_hessian"]
    )
    wanted = {number: len(atoms) for number, atoms in chosen.items()}
    own = FrameDataset(str(tmp_path / "set.xyz"))
    for dataset in (own, FrameDataset(str(tmp_path / "set.h5")), stock):
        found = count_labels(dataset)
        assert (found.frames, found.labelled, str(found)) == (400, wanted, "3 of 400")
    part = ConcatDataset([Subset(own, torch.tensor([5, 177])), Subset(own, [399, 0])])
    assert count_labels(part).labelled == {1: len(molecules[2]), 2: len(molecules[0])}


def test_the_frame_with_most_edges_is_compared(tmp_path, molecules):
    """Not the lone atom that comes first, nor atoms out of reach of each other."""
    alone = Atoms("Au")
    apart = Atoms("H8", [[50.0 * i, 0, 0] for i in range(8)])
    for atoms in (alone, apart):
        atoms.info["REF_energy"], atoms.info["REF_hessian"] = 0.0, np.zeros((3 * len(atoms),) * 2)
        atoms.arrays["REF_forces"] = np.zeros((len(atoms), 3))
    frames = [alone, apart, molecules[0], molecules[4], molecules[1]]
    largest = max(molecules[:5], key=len)
    write_frames(tmp_path / "set.xyz", [*frames, largest])
    dataset = FrameDataset(str(tmp_path / "set.xyz"), transforms())
    found = most_edges(dataset, count_labels(dataset))
    assert found is not None and sorted(found["atomic_numbers"]) == sorted(largest.numbers)
    write_frames(tmp_path / "apart.xyz", [alone, apart])
    dataset = FrameDataset(str(tmp_path / "apart.xyz"), transforms())
    assert most_edges(dataset, count_labels(dataset)) is None


# energies, forces, H v --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("mode", ["hutchinson", "full", "difference"])
def test_what_belongs_together_agrees(mode, dtype, molecules):
    """Large energies per atom do not disturb it; the model is as it was before."""
    model = build_hessian("NequIP", {"mode": mode}, model_dtype=dtype, per_type_energy_shifts=-5e3).eval()
    said = check_derivatives(model, make_batch(molecules[2:3]))
    assert said.startswith("forces agree with differences of energies to ")
    assert ("H v with differences of forces" in said) == (mode != "difference")
    assert "on CH4, 5 atoms, 20 edges" in said
    assert not model.training and model.hint.mode.name == mode and model.hint_step == -1
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_forces_that_are_no_derivative(monkeypatch, molecules, dtype):
    """A tenth off; the message is about forces, and `mode: difference` is no way out."""
    from nequip.nn import ForceStressOutput

    right = ForceStressOutput.forward

    def wrong(self, data):
        data = right(self, data)
        data["forces"] = 1.1 * data["forces"]
        return data

    monkeypatch.setattr(ForceStressOutput, "forward", wrong)
    for mode in ("hutchinson", "difference"):
        model = build_hessian("NequIP", {"mode": mode}, model_dtype=dtype)
        with pytest.raises(HintError, match=r"forces of this model differ .* by 9\..e-02 .*are not -dE/dx"):
            check_derivatives(model, make_batch(molecules[2:3]))


def test_products_that_are_no_derivative(monkeypatch, molecules):
    from hint_plugin.core import losses as products

    right = products.hvp_from_forces
    monkeypatch.setattr(products, "hvp_from_forces", lambda *a, **k: 1.5 * right(*a, **k))
    with pytest.raises(HintError, match=r"H v of this model differs .* by 5\.0e-01 .*mode: difference"):
        check_derivatives(build_hessian("NequIP"), make_batch(molecules[2:3]))


def test_products_that_cannot_be_trained(monkeypatch, molecules):
    from hint_plugin.core import losses as products

    class NoThird(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise RuntimeError("the kernel has no third derivative")

    right = products.hvp_from_forces
    monkeypatch.setattr(products, "hvp_from_forces", lambda *a, **k: NoThird.apply(right(*a, **k)))
    with pytest.raises(HintError, match=r"cannot be trained \(the kernel has no third derivative\)"):
        check_derivatives(build_hessian("NequIP"), make_batch(molecules[2:3]))


def test_where_there_is_nothing_to_compare():
    alone = Atoms("Au", info={"REF_hessian": np.zeros((3, 3))})
    said = check_derivatives(build_hessian("NequIP"), make_batch([alone]))
    assert said == "nothing could be compared on Au, 1 atoms, 0 edges: the model gives no forces there"


@pytest.mark.parametrize("check", [True, False])
def test_the_look_can_be_skipped(tmp_path, check, monkeypatch):
    from hint_plugin.core import losses as products

    right = products.hvp_from_forces
    monkeypatch.setattr(products, "hvp_from_forces", lambda *a, **k: 1.5 * right(*a, **k))
    options = {
        "training_module.model": model_config("NequIP", hessian={"check": check}),
        "trainer.max_epochs": 1,
    }
    if check:
        with pytest.raises(HintError, match="H v of this model differs"):
            train(tmp_path, options)
        assert not any("agree" in text for text in Run(tmp_path, "").log)
    else:
        assert not any("agree" in text for text in train(tmp_path, options).log)


# sizes ------------------------------------------------------------------------------------------------------


def test_sizes_are_those_of_the_references(molecules):
    frames = molecules[:6]
    labels = mixed_labels(frames)  # full, rows, pairs, none, full, rows
    sizes = ReferenceSizes()
    for part in (slice(0, 4), slice(4, 6)):
        sizes.merge(_sizes(frames[part], labels[part]))
    found = sizes.result()
    forces = np.concatenate([atoms.arrays["REF_forces"].ravel() for atoms in frames])
    assert found["forces_mean_abs"] == pytest.approx(np.abs(forces).mean())
    assert found["forces_rms"] == pytest.approx(np.sqrt((forces**2).mean()))
    known = np.concatenate([label.hessian.ravel() for label in labels if label and label.hessian is not None])
    assert found["hessian_mean_abs"] == pytest.approx(np.abs(known).mean())
    squares = [
        (label.hessian**2).mean() if label.hessian is not None else _square_of_pairs(label)
        for label in labels
        if label is not None
    ]
    assert found["hessian_rms"] == pytest.approx(np.sqrt(np.mean(squares)))


def test_pairs_estimate_the_root_mean_square(molecules):
    label = read_label(molecules[0])
    many = label.to_projected(4000, np.random.default_rng(0))
    found = _sizes(molecules[:1], [many]).result()
    assert found["hessian_rms"] == pytest.approx(np.sqrt((label.hessian**2).mean()), rel=0.02)
    assert "hessian_mean_abs" not in found
    assert not _sizes(molecules[:1], [None]).result().keys() & {"hessian_rms", "hessian_mean_abs"}


def _sizes(frames, labels) -> ReferenceSizes:
    sizes = ReferenceSizes()
    sizes.add(make_batch(frames, labels))
    return sizes


def _square_of_pairs(label) -> float:
    squares = (label.hvp**2).sum((1, 2)) / (label.probes**2).sum((1, 2))
    return squares.mean() / (3 * label.n_atoms)


def test_errors_have_their_size_beside(tmp_path):
    """A model that predicts next to nothing has 100 % of it."""
    run = train(tmp_path, {"trainer.max_epochs": 1, "training_module.optimizer.lr": 0.0})
    forces = np.concatenate([atoms.arrays["REF_forces"].ravel() for atoms in frames_of(MOLECULES)])
    assert run.values("val0_epoch/forces_mean_abs")[0] == pytest.approx(np.abs(forces).mean(), rel=1e-6)
    (line,) = [text for text in run.log if text.startswith("epoch 0, validation set 0:")]
    error, size = (run.values(f"val0_epoch/{name}")[0] for name in ("hessian_rmse", "hessian_rms"))
    assert f"hessian_rmse {error:.4g} of {size:.4g} eV/A^2 ({100 * error / size:.0f} %)" in line
    error = run.values("val0_epoch/forces_mae")[0]
    assert f"forces_mae {error:.4g} of {np.abs(forces).mean():.4g} eV/A" in line
    assert run.values("val0_epoch/hessian_mae_relative")[0] == pytest.approx(1.0, abs=0.2)
    assert "15 of 15 training structures have a Hessian label" in run.log
