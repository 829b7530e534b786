"""`hint evaluate` with a small, randomly initialised MACE model, on labels that the model made itself."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.stress import full_3x3_to_voigt_6_stress
from typer.testing import CliRunner

pytest.importorskip("mace")

from small_mace import small_mace

from hint_plugin.core.metrics import Prediction
from hint_plugin.data.labels import label as labels
from hint_plugin.data.labels.extxyz import write_label
from hint_plugin.data.sets.bounded_batches import batches
from hint_plugin.errors import DataError, LabelError, OptionsError
from hint_plugin.mace.predictor import MacePredictor
from hint_plugin.science.evaluation import evaluate
from hint_plugin.science.labelled_frames import FrameFile


def small_model(heads: tuple[str, ...] = ("Default",)) -> torch.nn.Module:
    return small_mace([1, 6, 8], energies=[-13.0, -1000.0, -2000.0], scale=100.0, heads=heads)


@pytest.fixture(scope="session")
def model_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.model"
    torch.save(small_model(), path)
    return path


@pytest.fixture(scope="session")
def metal_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("metal") / "metal.model"
    torch.save(small_mace([29, 79], scale=100.0), path)
    return path


@pytest.fixture(scope="session")
def predictor(model_path) -> MacePredictor:
    return MacePredictor(model_path, batch_size=3)


def structures() -> list[Atoms]:
    frames = [molecule(name) for name in ("H2O", "CH3OH", "CO2", "CH4", "H2CO")]
    rng = np.random.default_rng(0)
    for atoms in frames:
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
    return frames


def with_energy_and_forces(frames: list[Atoms], predictions: list[Prediction]) -> list[Atoms]:
    for atoms, p in zip(frames, predictions, strict=True):
        atoms.info["REF_energy"] = p.energy
        atoms.arrays["REF_forces"] = p.forces.numpy()
    return frames


@pytest.fixture
def labelled(predictor) -> list[Atoms]:
    """Four fully labelled frames; the last of the five has energy and forces only."""
    frames = structures()
    predictions = list(predictor.predict(frames, hessian=True))
    for atoms, p in zip(frames[:-1], predictions, strict=False):
        write_label(atoms, labels.HessianLabel.full(p.hessian.numpy()))
    return with_energy_and_forces(frames, predictions)


def differences(predictor: MacePredictor, atoms: Atoms, step: float = 3e-4) -> np.ndarray:
    columns = []
    for i in range(3 * len(atoms)):
        pair = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions.reshape(-1)[i] += sign * step
            pair.append(moved)
        plus, minus = (p.forces.numpy().ravel() for p in predictor.predict(pair))
        columns.append((minus - plus) / (2 * step))
    return np.array(columns).T


def test_hessians_are_differences_of_forces_for_each_structure_of_a_batch(predictor):
    frames = structures()[:2]
    for atoms, p in zip(frames, predictor.predict(frames, hessian=True), strict=True):
        assert np.abs(p.hessian.numpy()).max() > 0.1
        np.testing.assert_allclose(p.hessian.numpy(), differences(predictor, atoms), atol=1e-4)


def test_batches_give_what_maces_own_calculator_gives(predictor, model_path):
    from mace.calculators import MACECalculator

    frames = [*structures(), bulk("C", "diamond", a=3.6, cubic=False)]
    calculator = MACECalculator(model_paths=str(model_path), device="cpu", default_dtype="float64")
    for atoms, p in zip(frames, predictor.predict(frames, hessian=True), strict=True):
        single = atoms.copy()
        single.calc = calculator
        assert p.energy == pytest.approx(single.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(p.forces, single.get_forces(), atol=1e-9)
        theirs = np.asarray(calculator.get_hessian(single)).reshape(p.hessian.shape)
        np.testing.assert_allclose(p.hessian, theirs, atol=1e-9)
        assert (p.stress is not None) == bool(atoms.pbc.all())
        if p.stress is not None:
            np.testing.assert_allclose(p.stress, single.get_stress(voigt=False), atol=1e-9)


def test_default_dtype_is_left_as_it_was_and_parameters_are_frozen(predictor):
    before = torch.get_default_dtype()
    generator = predictor.predict(structures(), hessian=True)
    next(generator)
    assert torch.get_default_dtype() == before  # also between two results
    assert not any(p.requires_grad for p in predictor.model.parameters())


def test_dtype(model_path):
    assert MacePredictor(model_path).dtype == torch.float64
    single = MacePredictor(model_path, dtype="float32")
    double = MacePredictor(model_path, dtype="float64")
    a, b = (next(p.predict(structures()[:1], hessian=True)) for p in (single, double))
    assert 0 < float((a.hessian - b.hessian).abs().max()) < 1


def test_lone_atoms_have_no_hessian_but_zero(predictor):
    frames = [Atoms("H"), Atoms("O"), molecule("H2O")]
    found = [p.hessian for p in predictor.predict(frames, hessian=True)]
    assert not found[0].any() and not found[1].any() and found[2].any()
    assert not next(predictor.predict(frames[:1], hessian=True)).hessian.any()


def test_batches_keep_to_size_and_budget():
    frames = [Atoms("H" * n) for n in (2, 2, 2, 10, 1, 1)]
    assert [len(b) for b in batches(frames, 2)] == [2, 2, 2]
    assert [len(b) for b in batches(frames, 9, budget=24)] == [2, 1, 1, 2]
    assert list(batches([], 2)) == []


def lines(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle))


def test_labels_of_the_model_itself_have_no_error(predictor, labelled, tmp_path):
    result = evaluate(predictor, labelled, tmp_path, plots=False)
    found = result["metrics"]
    for name in ("energy_mae", "forces_rmse", "hessian_mae", "eigenvalues_mae", "frequencies_mae", "zpe_mae"):
        assert found[name] == pytest.approx(0, abs=1e-4 if name == "frequencies_mae" else 1e-9)
    assert found["lowest_mode_cosine"] == pytest.approx(1)
    assert found["saddle_index_agreement"] == 1
    assert found["asymmetry_max"] < 1e-9
    assert (found["n_frames"], found["n_full"], found["n_energy"]) == (5, 4, 5)
    assert "stress_mae" not in found  # molecules


class Astray:
    """What another predictor says, and known errors: the labels themselves must be right."""

    def __init__(self, right):
        self.right = right

    def predict(self, frames, hessian=False):
        for atoms, p in zip(frames, self.right.predict(frames, hessian), strict=True):
            wrong = p.hessian + 0.5 * torch.eye(3 * len(atoms)) if p.hessian is not None else None
            yield Prediction(p.energy - 0.2 * len(atoms), p.forces - 0.3, p.stress, wrong)


def test_known_errors_are_found(predictor, labelled, tmp_path):
    found = evaluate(Astray(predictor), labelled, tmp_path, plots=False)["metrics"]
    assert found["energy_mae"] == pytest.approx(0.2)
    assert found["forces_mae"] == pytest.approx(0.3)
    assert found["eigenvalues_mae"] == pytest.approx(0.5)
    sizes = [3 * len(atoms) for atoms in labelled[:-1]]
    assert found["hessian_mae"] == pytest.approx(0.5 * sum(sizes) / sum(n * n for n in sizes))
    assert found["hessian_frame_mae"] == pytest.approx(np.mean([0.5 / n for n in sizes]))


def test_projected_and_rows_labels(predictor, labelled, tmp_path):
    rng = np.random.default_rng(1)
    exact = [labels.HessianLabel.full(a.info["REF_hessian"] + 0.1) for a in labelled[:3]]
    write_label(labelled[0], exact[0].to_projected(2, rng))
    write_label(labelled[1], labels.HessianLabel.rows(exact[1].hessian[:6], [0, 1], len(labelled[1])))
    found = evaluate(predictor, labelled[:2], tmp_path, plots=False)["metrics"]
    assert found["hessian_mae"] == pytest.approx(0.1)
    assert (found["n_rows"], found["n_projected"], found["n_full"]) == (1, 1, 0)
    probes = labelled[0].arrays["REF_probes"]
    sums = probes.reshape(-1, 2, 3).sum(axis=(0, 2))  # dH = 0.1 everywhere, so |dH v|^2 = 3N (0.1 sum v)^2
    assert found["hessian_rmse_estimate"] == pytest.approx(
        0.1 * np.sqrt(np.mean(sums**2) / probes.shape[0] / 3)
    )


def test_frames_count_in_what_they_have(predictor, labelled, tmp_path):
    del labelled[0].info["REF_energy"], labelled[4].arrays["REF_forces"]
    bare, alone = molecule("H2O"), Atoms("H", info={"config_type": "IsolatedAtom", "REF_energy": 99.0})
    result = evaluate(predictor, [*labelled, bare, alone], tmp_path, plots=False)
    assert result["metrics"]["n_energy"] == 4
    assert result["metrics"]["n_full"] == 4
    assert result["metrics"]["n_force_components"] == 3 * sum(len(atoms) for atoms in labelled[:4])
    assert result["frames"] == {"read": 6, "unlabelled": 1, "not_finite": []}
    assert result["metrics"]["energy_mae"] == pytest.approx(0, abs=1e-9)


def test_groups(predictor, labelled, tmp_path):
    for i, atoms in enumerate(labelled):
        atoms.info["config_type"] = "even" if i % 2 == 0 else "odd"
        atoms.info["REF_energy"] += len(atoms) * (i % 2)
    groups = evaluate(predictor, labelled, tmp_path, plots=False, chunk=2)["groups"]
    assert {name: g["n_frames"] for name, g in groups.items()} == {"even": 3, "odd": 2}
    assert groups["odd"]["energy_mae"] == pytest.approx(1)
    assert groups["even"]["energy_mae"] == pytest.approx(0, abs=1e-9)


def test_sources(predictor, labelled, tmp_path):
    """Errors by file, also where files share groups."""
    for atoms in labelled[2:]:
        atoms.info["REF_energy"] += len(atoms)
    found = evaluate(predictor, {"a.xyz": labelled[:2], "b.xyz": labelled[2:]}, tmp_path, plots=False)
    assert {name: m["n_frames"] for name, m in found["sources"].items()} == {"a.xyz": 2, "b.xyz": 3}
    assert found["sources"]["a.xyz"]["energy_mae"] == pytest.approx(0, abs=1e-9)
    assert found["sources"]["b.xyz"]["energy_mae"] == pytest.approx(1)
    assert found["metrics"]["energy_mae"] == pytest.approx(3 / 5)
    assert json.loads((tmp_path / "metrics.json").read_text())["sources"] == found["sources"]


def test_hessians_of_some_frames_only(predictor, labelled, tmp_path):
    result = evaluate(predictor, iter(labelled), tmp_path, plots=False, max_hessians=2)
    assert (result["metrics"]["n_full"], result["metrics"]["n_energy"]) == (2, 5)
    assert [row["label"] for row in lines(tmp_path / "frames.csv")] == ["full", "", "", "full", ""]
    result = evaluate(predictor, labelled, tmp_path, plots=False, max_hessians=0)
    assert "hessian_mae" not in result["metrics"]


def test_stress_errors_are_those_of_maces_own_calculator(metal_path, cells, tmp_path):
    from mace.calculators import MACECalculator

    calculator = MACECalculator(model_paths=str(metal_path), device="cpu", default_dtype="float64")
    errors = np.array([calculator.get_stress(atoms) - atoms.info["REF_stress"] for atoms in cells])
    result = evaluate(MacePredictor(metal_path), cells, tmp_path, max_hessians=0)
    assert np.abs(errors).min() > 1e-5
    assert result["metrics"]["stress_mae"] == pytest.approx(np.abs(errors).mean())
    assert result["metrics"]["stress_rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert result["metrics"]["n_stress_components"] == 6 * len(cells)
    assert result["units"]["stress_mae"] == "eV/A^3"
    rows = [float(row["stress_mae"]) for row in lines(tmp_path / "frames.csv")]
    np.testing.assert_allclose(rows, np.abs(errors).mean(axis=1))
    points = np.load(tmp_path / "parity.npz")
    np.testing.assert_allclose(points["stress_predicted"] - points["stress_reference"], errors.ravel())


def test_stress_counts_where_a_periodic_frame_has_one(metal_path, cells, tmp_path):
    """The reference as matrix, as nine numbers or from a calculator; none in a slab or without the key."""
    predictor = MacePredictor(metal_path)
    _, nine, calculator, slab, none = frames = cells[:5]
    known = predictor.predict(frames)
    for atoms, prediction in zip(frames, known, strict=True):
        atoms.info = {"REF_stress": prediction.stress.numpy() + 0.01}
    nine.info["REF_stress"] = nine.info["REF_stress"].ravel()
    voigt = full_3x3_to_voigt_6_stress(calculator.info.pop("REF_stress"))
    del calculator.arrays["REF_forces"]  # ASE's names count where there are no others
    calculator.calc = SinglePointCalculator(calculator, stress=voigt)
    slab.pbc[2] = False
    del none.info["REF_stress"]
    result = evaluate(predictor, frames, tmp_path, plots=False)
    assert result["metrics"]["n_stress_components"] == 18
    assert result["metrics"]["stress_mae"] == pytest.approx(0.01)
    assert result["metrics"]["stress_rmse"] == pytest.approx(0.01)


def test_malformed_stress_is_named(metal_path, cells, tmp_path):
    cells[1].info["REF_stress"] = np.zeros(5)
    with pytest.raises(LabelError, match=r"frame 1 .*REF_stress has shape \(5,\); wanted \(6,\)"):
        evaluate(MacePredictor(metal_path), cells, tmp_path)


class Flat:
    """Knows what the elements of another level of theory weigh, and nothing else: no force anywhere."""

    def predict(self, frames, hessian=False):
        for atoms in frames:
            n = len(atoms)
            energy = float(sum({1: 300.0, 6: 700.0, 8: 900.0}[z] for z in atoms.numbers))
            yield Prediction(energy, torch.zeros(n, 3), None, torch.zeros(3 * n, 3 * n) if hessian else None)


def test_a_flat_surface_of_another_level_is_recognised(labelled, tmp_path):
    found = evaluate(Flat(), labelled, tmp_path)
    metrics = found["metrics"]
    for name in ("energy_shifted", "forces", "hessian", "eigenvalues", "frequencies", "zpe"):
        assert metrics[f"{name}_relative"] == pytest.approx(1, rel=1e-6), name
    assert metrics["forces_size"] == pytest.approx(
        np.mean(np.abs(np.concatenate([a.arrays["REF_forces"].ravel() for a in labelled])))
    )
    assert metrics["hessian_size"] == pytest.approx(
        np.mean(np.abs(np.concatenate([a.info["REF_hessian"].ravel() for a in labelled[:-1]])))
    )
    assert metrics["energy_relative"] > 100 and found["energy_shift"]["other_level"]
    # the model of these labels: H -13, C -1000, O -2000 eV, and energies of bonds
    assert found["energy_shift"]["elements"] == pytest.approx({"H": 313, "C": 1700, "O": 2900}, rel=0.1)
    said = " ".join(found["notes"])
    assert "another level of theory" in said
    assert "Errors as large as what they are errors of: energies 1.00, forces 1.00, Hessians 1.00." in said
    assert "lowest_mode_cosine" not in metrics
    assert found == json.loads((tmp_path / "metrics.json").read_text())
    assert set(found["units"]) >= {name for name in metrics if not name.startswith("n_")}
    points = np.load(tmp_path / "parity.npz")
    assert points["energy_shifted_predicted"] == pytest.approx(np.zeros(5), abs=1e-6)
    assert np.mean(np.abs(points["energy_shifted_reference"])) == pytest.approx(metrics["energy_size"])
    assert not points["frequencies_predicted"].any() and points["frequencies_reference"].any()
    row = lines(tmp_path / "frames.csv")[0]
    assert float(row["forces_mae"]) == float(row["forces_size"]) > 0
    assert float(row["frequencies_mae"]) == pytest.approx(float(row["frequencies_size"]))


def test_a_shift_is_no_error(predictor, labelled, tmp_path):
    """Labels of another zero of energy: the shift is told; groups are measured with that of all frames."""
    for i, atoms in enumerate(labelled):
        atoms.info["config_type"] = "even" if i % 2 == 0 else "odd"
        atoms.info["REF_energy"] -= float(sum({1: 1.0, 6: 592.0, 8: 800.0}[z] for z in atoms.numbers))
    found = evaluate(predictor, labelled, tmp_path, plots=False)
    assert found["energy_shift"]["elements"] == pytest.approx({"H": 1, "C": 592, "O": 800}, rel=1e-6)
    assert found["metrics"]["energy_mae"] > 100
    for part in (found["metrics"], *found["groups"].values(), *found["sources"].values()):
        assert part["energy_shifted_mae"] == pytest.approx(0, abs=1e-6)
    assert found["energy_shift"]["frames"] == 5 and found["energy_shift"]["fitted"] == 3


def test_each_file_has_a_shift_of_its_own(predictor, labelled, tmp_path):
    """Two files of two levels: no shift serves both."""
    other = [atoms.copy() for atoms in labelled]
    for atoms in other:
        atoms.info["REF_energy"] -= 592.0 * len(atoms)
    found = evaluate(predictor, {"a.xyz": labelled, "b.xyz": other}, tmp_path, plots=False, max_hessians=0)
    for part in found["sources"].values():
        assert part["energy_shifted_mae"] == pytest.approx(0, abs=1e-6)
    assert found["metrics"]["energy_shifted_mae"] == pytest.approx(296)
    shifts = found["energy_shift_of_sources"]
    assert shifts["b.xyz"]["per_atom"] == pytest.approx(592) and shifts["b.xyz"]["other_level"]
    assert shifts["a.xyz"]["per_atom"] == pytest.approx(0, abs=1e-6)
    (said,) = (note for note in found["notes"] if "another level of theory" in note)
    assert said.startswith("b.xyz: ") and "592 eV/atom" in said
    assert not any("flat surface" in note for note in found["notes"])  # 296 is as large as what varies so


def test_too_few_energies_for_a_shift(predictor, labelled, tmp_path):
    found = evaluate(predictor, labelled[:2], tmp_path, plots=False)
    assert found["energy_shift"] is None and "energy_shifted_mae" not in found["metrics"]
    assert "There is no energy_shifted" in found["notes"][0]


class Broken:
    """Predicts NaN for methanol, zeros otherwise."""

    def predict(self, frames, hessian=False):
        for atoms in frames:
            n = len(atoms)
            energy = float("nan") if n == 6 else 0.0
            yield Prediction(energy, torch.zeros(n, 3), None, torch.zeros(3 * n, 3 * n) if hessian else None)


def test_predictions_that_are_not_finite_are_listed_and_left_out(labelled, tmp_path):
    result = evaluate(Broken(), {"some.xyz": labelled}, tmp_path, plots=False)
    assert result["frames"]["not_finite"] == ["some.xyz, frame 1"]
    assert result["metrics"]["n_frames"] == 4
    json.loads((tmp_path / "metrics.json").read_text())


def test_no_labels_at_all_is_an_error_and_leaves_no_files(predictor, tmp_path):
    with pytest.raises(DataError, match="none of 5 frames has a label"):
        evaluate(predictor, structures(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_malformed_labels_are_named(predictor, labelled, tmp_path):
    labelled[2].info["REF_hessian"] = np.zeros((6, 6))
    with pytest.raises(LabelError, match=r"test\.xyz, frame 2"):
        evaluate(predictor, {"test.xyz": labelled}, tmp_path)


def test_unknown_element_is_named(predictor):
    with pytest.raises(DataError, match=r"H3N.* has N; the model knows H, C, O"):
        list(predictor.predict([molecule("NH3")]))


def test_files_that_are_no_models(tmp_path, model_path):
    with pytest.raises(DataError, match="no model file"):
        MacePredictor(tmp_path / "missing.model")
    (tmp_path / "text.model").write_text("no pickle")
    with pytest.raises(DataError, match="not a model that torch can load"):
        MacePredictor(tmp_path / "text.model")
    torch.save({"model": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(DataError, match="holds a dict, not a MACE energy model; a checkpoint"):
        MacePredictor(tmp_path / "checkpoint.pt")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "linear.model")
    with pytest.raises(DataError, match="holds a Linear"):
        MacePredictor(tmp_path / "linear.model")
    with pytest.raises(OptionsError, match="no head 'dft' in the model; it has Default"):
        MacePredictor(model_path, head="dft")
    with pytest.raises(OptionsError, match="dtype 'float16'"):
        MacePredictor(model_path, dtype="float16")


def test_heads_of_a_multihead_model(tmp_path):
    path = tmp_path / "two.model"
    torch.save(small_model(heads=("xtb", "dft")), path)
    with pytest.raises(OptionsError, match="xtb, dft: choose one"):
        MacePredictor(path)
    energies = [next(MacePredictor(path, head=h).predict(structures()[:1])).energy for h in ("xtb", "dft")]
    assert energies[0] != energies[1]


def test_command_line_end_to_end(model_path, labelled, tmp_path):
    from hint_plugin.cli.app import build_app

    data, out = tmp_path / "test.xyz", tmp_path / "out"
    for atoms in labelled:
        atoms.calc = None
    write(data, labelled, format="extxyz")
    ran = CliRunner().invoke(build_app(), ["evaluate", str(model_path), str(data), "-o", str(out)])
    assert ran.exit_code == 0, ran.output
    assert "hessian" in ran.output and "MAE" in ran.output and "|ref.|" in ran.output
    assert sorted(p.name for p in out.iterdir()) == ["frames.csv", "metrics.json", "parity.npz", "parity.png"]
    result = json.loads((out / "metrics.json").read_text())
    assert result["metrics"]["n_full"] == 4
    assert result["metrics"]["hessian_mae"] < 1e-6  # extxyz keeps 8 digits and more
    assert len(result["provenance"]["model"]["sha256"]) == 64
    assert result["provenance"]["data"][0]["path"] == str(data)
    assert len(lines(out / "frames.csv")) == 5
    points = np.load(out / "parity.npz")
    assert points["hessian_reference"].size == sum((3 * len(a)) ** 2 for a in labelled[:4])
    np.testing.assert_allclose(points["forces_reference"], points["forces_predicted"], atol=1e-6)
    from matplotlib.image import imread

    assert imread(out / "parity.png").std() > 0.01
    again = CliRunner().invoke(
        build_app(), ["evaluate", str(model_path), str(data), "-o", str(out), "--json", "--no-plots"]
    )
    # not to the last digit: TorchScript compiles in its first calls, and rounds otherwise then
    assert json.loads(again.stdout)["metrics"] == pytest.approx(result["metrics"], rel=1e-5, abs=1e-9)
    assert not (out / "parity.png").exists()


def test_json_is_all_that_goes_to_standard_output(model_path, labelled, tmp_path):
    """In a process of its own: MACE prints when it is imported."""
    write(tmp_path / "one.xyz", labelled[:1], format="extxyz")
    command = [
        sys.executable,
        "-m",
        "hint_plugin.cli.app",
        "evaluate",
        str(model_path),
        str(tmp_path / "one.xyz"),
    ]
    ran = subprocess.run(
        [*command, "-o", str(tmp_path), "--json", "--no-plots"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["metrics"]["n_full"] == 1


def test_frame_file_can_be_read_twice(labelled, tmp_path):
    write(tmp_path / "two.xyz", labelled[:2], format="extxyz")
    file = FrameFile(tmp_path / "two.xyz")
    assert len(list(file)) == len(list(file)) == 2


def charged_path(folder: Path) -> Path:
    """A model that embeds the total charge, as `mace_run_train --embedding_specs` builds it."""
    from mace.modules.embeddings import GenericJointEmbedding

    model = small_mace([1, 8])
    specs = {"total_charge": {"type": "continuous", "per": "graph", "in_dim": 1, "emb_dim": 4}}
    model.embedding_specs = specs
    model.joint_embedding = GenericJointEmbedding(base_dim=4, embedding_specs=specs).double()
    torch.save(model, folder / "charged.model")
    return folder / "charged.model"


def test_models_that_know_charges_are_told_under_any_key(tmp_path, predictor):
    def water(**info: int) -> Atoms:
        atoms = molecule("H2O")
        atoms.info |= info
        return atoms

    charged = MacePredictor(charged_path(tmp_path))
    assert charged.electrons == ("charge",) and predictor.electrons == ()
    frames = [water(), water(charge=1), water(total_charge=1), water(charge=1, total_charge=1)]
    neutral, *ions = [found.energy for found in charged.predict(frames)]
    assert ions == pytest.approx([ions[0]] * 3) and abs(ions[0] - neutral) > 1e-3
    with pytest.raises(DataError, match=r"structure 1 \(H2O\) has multiplicity 3"):
        list(charged.predict([water(), water(spin=3)]))
    with pytest.raises(DataError, match=r"structure 0 \(H2O\) has charge 1"):
        list(predictor.predict([water(total_charge=1)]))
