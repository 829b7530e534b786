"""What a model was trained on, from what its file says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from hint_plugin.artifact.trained_on import of_losses, of_training, trained_on

HINT = "mace_run_train --name model --loss hint_hutchinson"


@pytest.mark.parametrize(
    ("training", "stress", "hessians"),
    [
        ({"command": HINT}, False, True),
        ({"command": f"{HINT} --hint_base_loss universal"}, True, True),
        ({"command": f"{HINT} --hint_base_loss=stress"}, True, True),
        ({"command": "mace_run_train --loss=huber"}, True, False),
        ({"command": "mace_run_train --name x"}, False, False),
        ({"command": f"{HINT} --hint_base_loss stress", "trained_on": {"stress": False}}, False, None),
        ({"command": "nequip-train", "loss": {"metrics": [{"field": "forces"}]}}, False, False),
        ({"command": "nequip-train", "loss": {"metrics": [{"field": "stress"}]}}, True, False),
        ({"command": "mace_run_train --config all.yaml"}, None, None),
        ({"command": f"{HINT} --multiheads_finetuning True"}, None, None),
        ({"command": "something else"}, None, None),
        ({}, None, None),
        (None, None, None),
    ],
)
def test_a_command_tells(training, stress, hessians):
    found = of_training(training)
    assert found.get("stress") is stress and found.get("hessians") is hessians


def test_losses():
    assert of_losses("forces_only") == {"energies": False, "forces": True, "stress": False, "hessians": False}
    assert of_losses("somebody_s_own") == {}


def test_of_calculators():
    """Of an artifact with and without the entry, of an engine's calculator, and of what was not trained."""
    new = SimpleNamespace(metadata=SimpleNamespace(trained_on={"stress": False}, provenance={}))
    old = SimpleNamespace(metadata=SimpleNamespace(provenance={"training": {"command": HINT}}))
    for potential in (new, old):
        assert trained_on(SimpleNamespace(potential=potential))["stress"] is False
        engine = SimpleNamespace(potential=potential)
        assert trained_on(SimpleNamespace(engine=engine))["stress"] is False
    assert trained_on(SimpleNamespace(engine=SimpleNamespace())) == {} == trained_on(None)


def test_of_a_model_however_it_is_opened():
    """As the command line opens it, as an engine, and in Python."""
    from hint_plugin.potentials import HintCalculator, open_potential
    from hint_plugin.potentials.hint_calculator import EngineCalculator
    from hint_plugin.potentials.registry import make_engine

    engine = make_engine("model", model="alphanet-gfn2")
    potential = open_potential("alphanet-gfn2")
    wanted = {"energies": True, "forces": True, "stress": False, "hessians": True}
    for opened in (EngineCalculator(engine), engine, potential, HintCalculator(potential)):
        assert trained_on(opened) == wanted, type(opened)
    assert trained_on(HintCalculator(open_potential("model", model="alphanet-gfn2"))) == wanted


@pytest.mark.parametrize(
    ("loss_has_it", "weights", "wanted"),
    [
        (True, [0.0, 1.0], True),
        (True, [0.0, 0.0], False),
        (False, [1.0], False),
    ],
)
def test_a_stress_is_learnt_where_loss_and_data_have_it(monkeypatch, loss_has_it, weights, wanted):
    """MACE gives structures without a stress the weight 0."""
    from hint_plugin.mace.active_options import session
    from hint_plugin.mace.trained_on import trained_on as of_mace

    monkeypatch.setattr(session, "options", None)  # of a training that another test has made
    dataset = [SimpleNamespace(stress_weight=weight, virials_weight=0.0) for weight in weights]
    found = of_mace({"energy": True, "forces": True, "stress": loss_has_it}, SimpleNamespace(dataset=dataset))
    assert found == {"energies": True, "forces": True, "stress": wanted, "hessians": False}
