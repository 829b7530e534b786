"""AlphaNet in MACE's place: trained, restarted, fine-tuned, evaluated and run by MACE's own commands."""

from __future__ import annotations

import mace  # noqa: F401  (before e3nn, whose constants need the variable that it sets)
import numpy as np
import pytest
import torch
from ase.calculators.fd import calculate_numerical_stress
from ase.io import read, write

from hint_plugin import pretrained
from hint_plugin.mace.predictor import MacePredictor
from mace_runs import CELLS, HINT, MOLECULES, SMALL, Run, failing, run_command, train, train_hint

ALPHANET = {
    "model": "AlphaNet",
    "alphanet_channels": 16,
    "alphanet_frame_channels": 4,
    "alphanet_edge_channels": 16,
    "num_channels": None,
    "max_L": None,
    "num_interactions": None,
    "correlation": None,
    "lr": 0.005,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Run:
    return train_hint(tmp_path_factory.mktemp("alphanet"), **ALPHANET, max_num_epochs=16, ema=True)


def test_the_hessian_error_falls(trained):
    errors = [line["rmse_hessian"] for line in trained.validations]
    assert min(errors) < 0.6 * errors[0]
    assert "AlphaNet: 2 layers of 16 channels" in trained.log
    assert trained.model().potential.config["cutoff"] == 4.0


def test_maces_own_losses_train_it_without_hint_losses(tmp_path):
    run = train(tmp_path, **ALPHANET, max_num_epochs=12, loss="weighted")
    epochs = np.reshape(run.steps, (12, -1)).mean(1)  # every epoch meets the same structures
    assert epochs[-1] < 0.5 * epochs[0]


def test_periodic_cells_with_stress(tmp_path):
    run = train_hint(
        tmp_path,
        **ALPHANET,
        train_file=CELLS,
        hint_base_loss="universal",
        max_num_epochs=3,
        compute_stress="True",
    )
    atoms = read(CELLS, "0")
    atoms.calc = calculator_of(run)
    numerical = calculate_numerical_stress(atoms, eps=1e-4)
    assert np.abs(numerical).max() > 1e-3
    np.testing.assert_allclose(atoms.get_stress(), numerical, atol=1e-6)


def calculator_of(run: Run):
    from mace.calculators import MACECalculator

    return MACECalculator(model_paths=str(run.model_path), device="cpu", default_dtype="float64")


def test_calculator_predictor_and_eval_configs_agree(trained, tmp_path):
    frames = read(MOLECULES, ":3")
    found = list(MacePredictor(trained.model_path).predict(frames, hessian=True))
    out = tmp_path / "out.xyz"
    options = {"configs": MOLECULES, "model": trained.model_path, "output": out, "default_dtype": "float64"}
    run_command("mace_eval_configs", tmp_path, options)
    for atoms, prediction, third in zip(frames, found, read(out, ":3"), strict=True):
        atoms.calc = calculator_of(trained)
        assert atoms.get_potential_energy() == pytest.approx(prediction.energy, abs=1e-9)
        np.testing.assert_allclose(atoms.get_forces(), prediction.forces, atol=1e-9)
        assert third.info["MACE_energy"] == pytest.approx(prediction.energy, abs=1e-6)
        hessian = atoms.calc.get_hessian(atoms).reshape(3 * len(atoms), -1)
        np.testing.assert_allclose(hessian, prediction.hessian, atol=1e-8)


def test_a_plain_alphanet_is_evaluated_too(trained, tmp_path):
    """The same weights, saved as a plain module with its E0s, give what the MACE model gives."""
    whole = trained.model()
    plain = whole.potential.double()
    plain.atomic_energies = whole.atomic_energies_fn.atomic_energies.flatten().double()
    torch.save(plain, tmp_path / "plain.model")
    frames = read(MOLECULES, ":2")
    wanted = MacePredictor(trained.model_path).predict(frames, hessian=True)
    found = MacePredictor(tmp_path / "plain.model").predict(frames, hessian=True)
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.energy == pytest.approx(theirs.energy, abs=1e-9)
        np.testing.assert_allclose(mine.hessian, theirs.hessian, atol=1e-9)


def test_the_literal_command_and_its_compiled_model(tmp_path):
    run_command("mace_run_train", tmp_path, {**SMALL, **HINT, **ALPHANET})
    compiled = torch.jit.load(tmp_path / "small_compiled.model")
    atoms = read(MOLECULES, "0")
    predictor = MacePredictor(tmp_path / "small.model")
    torch.set_default_dtype(torch.float64)
    energy = compiled(predictor._batch([atoms]))["energy"]
    (expected,) = predictor.predict([atoms])
    assert float(energy.detach()) == pytest.approx(expected.energy, abs=1e-9)


def test_restart_goes_on(tmp_path):
    first = train_hint(tmp_path, **ALPHANET, max_num_epochs=2)
    again = train_hint(tmp_path, **ALPHANET, max_num_epochs=4, restart_latest=True)
    assert "Loading checkpoint" in again.log
    assert max(line["epoch"] for line in again.of_mode("opt")) == 3
    assert first.model_path == again.model_path


def test_fine_tuning_starts_from_the_pre_trained_model(trained, tmp_path):
    """Fewer elements than in pre-training: rows of the embeddings are picked."""
    frames = [atoms for atoms in read(MOLECULES, ":") if not set(atoms.symbols) - set("CHO")]
    assert {z for atoms in frames for z in atoms.numbers} < set(trained.model().atomic_numbers.tolist())
    write(tmp_path / "cho.xyz", frames)
    options = {name: None for name in ALPHANET if name.startswith("alphanet_")} | {"lr": 1e-9}
    tuned = train_hint(
        tmp_path / "run",
        **ALPHANET | options,
        train_file=tmp_path / "cho.xyz",
        foundation_model=trained.model_path,
    )
    scratch = trained.validations[0]["rmse_hessian"]
    assert tuned.validations[0]["rmse_hessian"] < 0.7 * scratch
    before = MacePredictor(trained.model_path)
    after = MacePredictor(tuned.model_path)
    (old,), (new,) = before.predict(frames[:1]), after.predict(frames[:1])
    np.testing.assert_allclose(old.forces, new.forces, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"model": "MACE"},
            "--alphanet_channels, --alphanet_frame_channels, --alphanet_edge_channels has no",
        ),
        ({"alphanet_channels": 0}, "channels is 0; wanted a whole number"),
        ({"lora": "True"}, "--lora is for MACE's own architecture"),
        ({"enable_cueq": "True"}, "--enable_cueq is for MACE's own architecture"),
        ({"freeze": 5}, "--freeze is for MACE's own architecture"),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(tmp_path, capsys, options, said):
    assert said in failing(capsys, tmp_path, **ALPHANET | options)


def test_only_an_alphanet_of_the_same_elements_can_be_gone_on_with(tmp_path, trained):
    options = {**SMALL, **ALPHANET, "train_file": CELLS, "foundation_model": trained.model_path}
    done = run_command("mace_run_train", tmp_path, options, check=False)
    assert done.returncode
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: --foundation_model knows the elements") and "Pre-train with them" in last


def test_fine_tuning_starts_from_the_model_that_comes_with_hint(tmp_path):
    frames = [atoms for atoms in read(MOLECULES, ":") if not set(atoms.symbols) - set("HCNO")]
    write(tmp_path / "hcno.xyz", frames)
    start = pretrained.path_of("alphanet-gfn2", pretrained.CHECKPOINT)
    options = {name: None for name in ALPHANET if name.startswith("alphanet_")}
    tuned = train_hint(
        tmp_path / "run",
        **ALPHANET | options | {"lr": 1e-9, "r_max": 5.0, "default_dtype": "float32"},
        train_file=tmp_path / "hcno.xyz",
        foundation_model=start,
    )
    (old,), (new,) = (MacePredictor(path).predict(frames[:1]) for path in (start, tuned.model_path))
    np.testing.assert_allclose(old.forces, new.forces, atol=1e-3)
