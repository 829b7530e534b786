"""What cannot work is said in one sentence: what was got, what was wanted, what to do."""

from __future__ import annotations

import importlib.metadata
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

import torch
from nequip.train import MeanSquaredError, MetricsManager
from nequip_runs import build, build_hessian, make_batch
from typer.testing import CliRunner

import hint_plugin.nequip as adapter
from hint_plugin.cli.app import build_app
from hint_plugin.errors import DataError, MissingDependencyError, OptionsError
from hint_plugin.nequip import versions
from hint_plugin.nequip.predictor import NequipPredictor


@pytest.mark.parametrize(
    ("hessian", "words"),
    [
        ({"probe": 1}, r"hessian has no option probe; it has mode, probes.*\. Did you mean 'probes'\?"),
        ({"mode": "rows"}, r"hessian.mode is 'rows'; wanted one of hutchinson, column, full, difference\.$"),
        ({"mode": "hutchison"}, r"difference\. Did you mean 'hutchinson'\?"),
        ({"probes": 0}, "hessian.probes is 0; wanted a whole number"),
        ({"validation_probes": 1.5}, "hessian.validation_probes is 1.5; wanted a whole number"),
        ({"split": "yes"}, "hessian.split is 'yes'; wanted auto, always or never"),
        ({"difference_step": -1.0}, "hessian.difference_step is -1.0; wanted a positive length"),
        ({"check": "no"}, "hessian.check is 'no'; wanted true or false"),
    ],
)
def test_options_of_the_probes(hessian, words):
    with pytest.raises(OptionsError, match=words):
        build_hessian("NequIP", hessian)


def test_builders_that_cannot_be():
    for nothing in ({}, {"builder": None}, {"builder": {"_target_": "nequip.model.NequIPGNNModel"}}):
        with pytest.raises(OptionsError, match="builder is .*; wanted the model's _target_ without"):
            adapter.HessianModel(**nothing, seed=1)
    with pytest.raises(OptionsError, match=r"builder 'nequip\.model\.Nothing' cannot be imported"):
        adapter.HessianModel(builder="nequip.model.Nothing")
    with pytest.raises(OptionsError, match="makes no forces, so there is no Hessian to train"):
        build_hessian("NequIP", do_derivatives=False)
    with pytest.raises(OptionsError, match=r"mode full .* take compile_mode: eager, or hessian: \{mode"):
        build_hessian("NequIP", {"mode": "full"}, compile_mode="compile")


def test_a_loss_without_what_it_needs(molecules):
    loss = adapter.HessianLoss()
    bare = make_batch(molecules[:2], fields=False)
    with pytest.raises(OptionsError, match="no fields for Hessian labels. Read the data by hint_plugin"):
        loss(build("NequIP")(bare), bare)
    batch = make_batch(molecules[:2])
    with pytest.raises(OptionsError, match="the model makes no products H v. Put the model's configuration"):
        loss(build("NequIP")(batch), batch)
    with pytest.raises(OptionsError, match="penalty 'l2'; wanted 'mse', 'huber' or 'l1'"):
        adapter.HessianLoss(penalty="l2")


def test_a_curriculum_of_other_terms():
    metrics = [
        {"name": "forces_mse", "field": "forces", "coeff": 1.0, "metric": MeanSquaredError()},
        {"name": "hessian", "coeff": 1.0, "metric": adapter.HessianLoss()},
    ]
    module = SimpleNamespace(loss=MetricsManager(metrics))
    trainer = SimpleNamespace(estimated_stepping_batches=float("inf"), callbacks=[])
    with pytest.raises(OptionsError, match="coeffs has forces; wanted hessian too"):
        adapter.HessianCurriculum({"forces": 1.0})
    with pytest.raises(OptionsError, match="coeffs has forces, hessian; the loss has forces_mse, hessian"):
        adapter.HessianCurriculum({"forces": 1.0, "hessian": 1.0}).on_fit_start(trainer, module)
    with pytest.raises(OptionsError, match="set max_epochs, or total_steps here"):
        adapter.HessianCurriculum({"forces_mse": 1.0, "hessian": 1.0}).on_fit_start(trainer, module)
    with pytest.raises(OptionsError, match="forces_mse of the loss is no hint_plugin.nequip.HessianLoss"):
        other = adapter.HessianCurriculum({"forces_mse": 1.0, "hessian": 1.0}, name="forces_mse")
        other.on_fit_start(trainer, module)
    with pytest.raises(OptionsError, match="got kind 'cosine'"):
        adapter.HessianCurriculum({"hessian": 1.0}, schedule="cosine")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": "tiny"}, "size is 'tiny'; wanted small, medium, large"),
        ({"heads": 3}, "no option heads; it has channels, node_width"),
        ({"type_names": ["H", "Xx"]}, "Xx is no element; say what it is by chemical_species"),
        ({"type_names": ["H", "h"], "chemical_species": {"h": "H"}}, "an element is there twice"),
        ({"avg_num_neighbors": 0.0}, r"avg_num_neighbors is 0.0; wanted a positive number"),
    ],
)
def test_alphanet(options, words):
    with pytest.raises(OptionsError, match=words):
        build("AlphaNet", **options)


def test_versions(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.25.0")
    with pytest.raises(OptionsError, match=r"nequip 0.25.0 is installed; HINT works with >=0.19,<0.20: pip"):
        versions.check()

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(MissingDependencyError, match=r"pip install '.\[nequip\]'"):
        versions.check()


def test_names_of_the_package():
    with pytest.raises(AttributeError, match="has no 'HessianLos'; it has HessianDataModule"):
        _ = adapter.HessianLos


def test_files_that_are_no_models(tmp_path):
    path = tmp_path / "model.ckpt"
    with pytest.raises(DataError, match=r"no model file .*model.ckpt"):
        NequipPredictor(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"model.ckpt holds no model of NequIP"):
        NequipPredictor(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(DataError, match=r"model.ckpt holds no model of NequIP"):
        NequipPredictor(path)
    with pytest.raises(OptionsError, match="head 'dft'; a NequIP model has none"):
        NequipPredictor(path, head="dft")


@pytest.mark.skipif(find_spec("mace") is not None, reason="MACE is in this environment too, and comes first")
def test_the_doctor_knows_nequip():
    found = CliRunner().invoke(build_app(), ["doctor"])
    assert "nequip-train" in found.output and "mace_run_train" not in found.output
