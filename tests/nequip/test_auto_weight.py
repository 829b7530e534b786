"""`weight: auto` of the curriculum: by NequIP's gradients, in Lightning's checkpoints and two processes."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

import numpy as np
import torch
from nequip.train import EnergyForceLoss
from nequip_runs import (
    build_hessian,
    callbacks,
    gradient,
    make_batch,
    model_config,
    recorded,
    recorder,
    train,
    train_command,
)

from hint_plugin.data import write_frames, write_label
from hint_plugin.errors import OptionsError
from hint_plugin.nequip import HessianCurriculum, HessianLoss

COEFFS = {"per_atom_energy_mse": 10.0, "forces_mse": 100.0}


class Training:
    """One optimiser's steps as Lightning makes them, without Lightning."""

    def __init__(self, accumulate: int = 1, **options) -> None:
        extra = [{"name": "hessian", "coeff": 1.0, "metric": HessianLoss()}]
        self.loss = EnergyForceLoss(coeffs={"total_energy": 1.0, "forces": 1.0}, extra_metrics=extra)
        self.net = build_hessian("NequIP").train()
        self.logged: list[float] = []
        self.module = SimpleNamespace(
            model=torch.nn.ModuleDict({"sole_model": self.net}),
            loss=self.loss,
            world_size=1,
            log=lambda name, value: self.logged.append(value),
        )
        self.curriculum = HessianCurriculum(COEFFS, weight="auto", **options)
        self.trainer = SimpleNamespace(
            global_step=0,
            estimated_stepping_batches=11,
            callbacks=[self.curriculum],
            accumulate_grad_batches=accumulate,
        )
        self.curriculum.on_fit_start(self.trainer, self.module)

    @property
    def auto(self):
        return self.curriculum.measured.auto

    def step(self, *batches) -> None:
        self.net.zero_grad()
        for number, batch in enumerate(batches):
            self.curriculum.on_train_batch_start(self.trainer, self.module, batch, number)
            value = self.loss(self.net(batch), batch)["weighted_sum"] / len(batches)
            self.curriculum.on_before_backward(self.trainer, self.module, value)
            value.backward()
        self.curriculum.on_before_optimizer_step(self.trainer, self.module, None)
        self.trainer.global_step += 1

    def norms(self, step: int, *batches) -> list[float]:
        """Of both gradients, each taken by itself."""
        others = hessian = 0.0
        for number, batch in enumerate(batches):
            self.net.hint_step = step + number - 1  # the same probes
            found = self.loss(self.net(batch), batch)
            term = sum(COEFFS[name] * found[name] for name in COEFFS)
            kept, self.loss["hessian"].keep = self.loss["hessian"].keep, False
            others = others + gradient(self.net, term) / len(batches)
            self.net.hint_step = step + number - 1
            value = self.loss(self.net(batch), batch)["hessian"]
            hessian = hessian + gradient(self.net, value) / len(batches)
            self.loss["hessian"].keep = kept
        return [float(others.norm()), float(hessian.norm())]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_it_is_the_ratio_of_the_gradients(molecules, accumulate):
    """Also where a step of the optimiser adds up batches; at a step whose weight is zero, and at another."""
    training = Training(accumulate, ratio_start=0.5, ratio_end=1.5)
    batches = [make_batch(molecules[3 * i : 3 * i + 3]) for i in range(accumulate)]
    wanted = training.norms(0, *batches)
    training.net.hint_step = -1
    training.step(*batches)
    assert [training.auto.others, training.auto.hessian] == pytest.approx(wanted, rel=1e-8)
    assert training.logged[0] == 0.0  # the first step has no weight yet
    training.trainer.global_step = 10
    again = training.norms(10, *batches)
    training.net.hint_step = 9
    before = training.auto.state_dict()
    training.step(*batches)
    assert training.logged[-1] == pytest.approx(1.5 * wanted[0] / wanted[1], rel=1e-8)
    after = training.auto.state_dict()
    for key, norm in (("others", again[0]), ("hessian", again[1])):
        assert after[key] == pytest.approx(0.9 * before[key] + 0.1 * norm, rel=1e-8)
    found = {name: training.loss.entries[name].coeff for name in (*COEFFS, "hessian")}
    assert found["forces_mse"] == pytest.approx(10 * found["per_atom_energy_mse"])
    assert found["hessian"] / found["forces_mse"] * 100 == pytest.approx(training.logged[-1])


def test_stage_two_is_measured_by_itself(molecules):
    """Its energies have another coefficient. In a checkpoint the stage is told."""
    second = {"start": 0.25, "coeffs": {"per_atom_energy_mse": 1e6}}
    training, batch = Training(stage_two=second), make_batch(molecules[:2])
    weights = []
    for _ in range(5):
        training.step(batch)
        weights.append(training.curriculum.state_dict()["auto"]["others"])
    assert (
        training.logged[3] == 0.0 and training.logged[4] > 10 * training.logged[2] > 0
    )  # step 3 is measured
    assert weights[0] == weights[2] < weights[3] == weights[4]
    again = HessianCurriculum(COEFFS, weight="auto", stage_two=second)
    again.load_state_dict(training.curriculum.state_dict())
    assert again.measured.stage == 2 and again.state_dict() == training.curriculum.state_dict()


def test_a_batch_without_labels_measures_nothing(molecules):
    training = Training()
    training.step(make_batch(molecules[:2], [None, None]))
    assert training.auto.measured == 0
    training.step(make_batch(molecules[:2]))
    assert training.auto.state_dict()["last"] == 1


def test_nothing_to_weigh_against_is_an_error(molecules, monkeypatch):
    training = Training()
    monkeypatch.setattr(type(training.auto), "update", lambda self, *norms: False)
    training.step(make_batch(molecules[:2]))
    with pytest.raises(
        OptionsError, match=r"weight: auto: none of the 1 steps with Hessian labels had a grad"
    ):
        training.curriculum.on_train_epoch_end(training.trainer, training.module)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weight": "gradients"}, "got weight 'gradients'; wanted given or auto"),
        ({"weight": "auto", "start": 1.0}, "got weight: auto and values of the other kind"),
        ({"weight": "given", "ratio_end": 1.0}, "got weight: given and values of the other kind"),
        ({"weight": "auto", "ratio_start": 0, "ratio_end": 0}, "a ratio of 0 at all times trains no Hessian"),
        ({"weight": "auto", "coeffs": {**COEFFS, "hessian": 80.0}}, "values of the other kind"),
    ],
)
def test_what_cannot_be(options, words):
    with pytest.raises(OptionsError, match=words):
        HessianCurriculum(**{"coeffs": COEFFS, **options})


# trainings --------------------------------------------------------------------------------------------------


def curriculum(*more, **options):
    """The callbacks of hessian.yaml with the automatic weight."""
    own = {"_target_": "hint_plugin.nequip.HessianCurriculum", "coeffs": COEFFS, "weight": "auto", **options}
    return callbacks(own, *more, without="HessianCurriculum")


def test_restart_is_the_uninterrupted_training(tmp_path):
    """Killed in epoch 1 of 3, between two measurements: the same weights of the term, and of the model."""
    options = {
        "trainer.max_epochs": 3,
        "data.train_dataloader.shuffle": False,
        "data.train_dataloader.batch_size": 2,
    }
    whole = train(tmp_path / "whole", {**options, **curriculum(recorder(tmp_path / "whole.seen"))})
    with pytest.raises(InterruptedError):
        interrupt = {"_target_": "nequip_runs.Interrupt", "epoch": 1}
        train(tmp_path / "parts", {**options, **curriculum(interrupt)})
    last = tmp_path / "parts" / "last.ckpt"
    again = {**curriculum(recorder(tmp_path / "again.seen")), "ckpt_path": str(last)}
    found = train(tmp_path / "parts", {**options, **again}).weights()
    for name, value in whole.weights().items():
        assert not isinstance(value, torch.Tensor) or torch.equal(found[name], value), name
    wanted, rows = recorded(tmp_path / "whole.seen"), recorded(tmp_path / "again.seen")
    assert len(wanted) == 24 and [row["step"] for row in rows] == list(range(8, 24))
    for row, other in zip(rows, wanted[8:], strict=True):
        assert row["coeffs"] == other["coeffs"] and row["terms"] == other["terms"]
    logged = whole.values("hessian_weight")
    ratios = np.array(logged) / np.linspace(0.2, 1.0, 24)
    assert logged[0] == 0 and len({f"{ratio:.9g}" for ratio in ratios[1:]}) == 3  # steps 0, 10, 20 measured


@pytest.mark.slow
def test_two_processes_have_the_weight_of_one(tmp_path, molecules):
    """One batch is all frames, and weights stay; two frames of six are labelled, in one process or both."""
    frames = [atoms.copy() for atoms in molecules[:6]]
    for number in (0, 3, 4, 5):
        write_label(frames[number], None)
    write_frames(tmp_path / "train.xyz", frames)
    common = {
        "train_file": str(tmp_path / "train.xyz"),
        "training_module.optimizer.lr": 0.0,
        "training_module.lr_scheduler": None,
        "trainer.max_epochs": 3,
        "trainer.gradient_clip_val": None,
    }

    def options(name: str, batch: int) -> dict:
        return {**common, **curriculum(recorder(tmp_path / name)), "data.train_dataloader.batch_size": batch}

    train(tmp_path / "one", options("one.seen", 6))
    strategy = {"_target_": "nequip.train.SimpleDDPStrategy"}
    parallel = {"trainer.devices": 2, "trainer.strategy": strategy}
    train_command(tmp_path / "two", {**options("two.seen", 3), **parallel})
    wanted = recorded(tmp_path / "one.seen")
    assert len({row["coeffs"]["hessian"] for row in wanted}) == 3
    first, second = (recorded(tmp_path / "two.seen", rank) for rank in (0, 1))
    for row, other, one in zip(first, second, wanted, strict=True):
        assert row["coeffs"] == other["coeffs"]
        assert row["coeffs"] == pytest.approx(one["coeffs"], rel=1e-9)


@pytest.mark.skipif(not os.environ.get("HINT_COMPILE"), reason="minutes a model: set HINT_COMPILE=1")
def test_compiled_models_are_measured_too(tmp_path):
    """Their graph serves twice."""
    options = {"trainer.max_epochs": 1, "data.train_dataloader.shuffle": False}
    found = {}
    for mode in ("eager", "compile"):
        model = model_config("NequIP", compile_mode=mode)
        more = curriculum(recorder(tmp_path / mode))
        train(tmp_path / f"{mode}.run", {**options, **more, "training_module.model": model})
        found[mode] = [row["coeffs"]["hessian"] for row in recorded(tmp_path / mode)]
    assert found["compile"] == pytest.approx(found["eager"], rel=1e-6) and found["eager"][-1] > 0
