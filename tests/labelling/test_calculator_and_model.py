"""Any ASE calculator, and trained potentials as teachers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import Calculator, SCFError, all_changes
from ase.calculators.lj import LennardJones

from hint_plugin.data import read_frames, read_label, write_frames
from hint_plugin.data.labels.levels import is_of_the_level
from hint_plugin.errors import EngineError, OptionsError
from hint_plugin.labelling import LabelSettings, make_engine, make_labels, run_labelling
from hint_plugin.labelling.existing import ExistingLabels
from hint_plugin.labelling.plan import Inputs, make_plan
from hint_plugin.labelling.runner import _setup_worker
from hint_plugin.parallel.failures import FrameFailure
from hint_plugin.potentials import CalculatorPotential
from hint_plugin.potentials.identity import identity_of
from hint_plugin.potentials.registry import settings_of


class Springs(Calculator):
    """E = k/2 sum_a |x_a - x_0|^2 + c sum_a x_a^3 (first axis): H is known."""

    implemented_properties = ("energy", "forces", "free_energy")

    def __init__(self, k: float = 3.0, cubic: float = 0.1, fails: str = "", path: str = "") -> None:
        super().__init__()
        self.k, self.cubic, self.fails, self.path = k, cubic, fails, path

    def calculate(self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        if self.fails == "scf":
            raise SCFError("no convergence")
        x = self.atoms.positions
        forces = -self.k * x
        forces[:, 0] -= 3 * self.cubic * x[:, 0] ** 2
        energy = 0.5 * self.k * (x**2).sum() + self.cubic * (x[:, 0] ** 3).sum()
        if self.fails == "nan":
            forces[0, 0] = np.nan
        self.results = {"energy": energy + 1.0, "free_energy": energy, "forces": forces}


class ExactSprings(Springs):
    """With a Hessian of its own, in another shape."""

    def get_hessian(self, atoms: Any) -> np.ndarray:
        return exact(atoms.positions, self.k, self.cubic).reshape(3 * len(atoms), len(atoms), 3)


def exact(positions: np.ndarray, k: float = 3.0, cubic: float = 0.1) -> np.ndarray:
    diagonal = np.full(positions.shape, k)
    diagonal[:, 0] += 6 * cubic * positions[:, 0]
    return np.diag(diagonal.ravel())


def springs(name: str = "Springs", **arguments: Any) -> Any:
    import sys

    sys.modules.setdefault("springs_for_tests", sys.modules[__name__])
    return make_engine("calculator", calculator=f"springs_for_tests:{name}", arguments=arguments)


def test_closed_form():
    atoms = molecule("H2O")
    for engine, tolerance in ((springs(k=5.0), 1e-6), (springs("ExactSprings", k=5.0), 1e-12)):
        labels = make_labels(engine, atoms)
        np.testing.assert_allclose(labels.hessian.hessian, exact(atoms.positions, 5.0), atol=tolerance)
        assert "k=5.0" in labels.provenance["method"]
        rows = make_labels(engine, atoms, "rows", row_atoms=[2, 0]).hessian
        np.testing.assert_allclose(rows.hessian, exact(atoms.positions, 5.0)[[0, 1, 2, 6, 7, 8]], atol=1e-6)
    free = 0.5 * 3.0 * (atoms.positions**2).sum() + 0.1 * (atoms.positions[:, 0] ** 3).sum()
    assert make_labels(springs(), atoms, "none").point.energy == pytest.approx(free)  # not 1 eV above


def test_failures_and_arguments():
    for fails, kind in (("scf", "scf"), ("nan", "program")):
        with pytest.raises(EngineError) as caught:
            make_labels(springs(fails=fails), molecule("H2O"), "none")
        assert caught.value.kind == kind
    with pytest.raises(OptionsError, match="stiffness"):
        springs(stiffness=1.0)
    with pytest.raises(EngineError, match="cannot treat") as caught:
        make_labels(make_engine("calculator", calculator="ase.calculators.emt:EMT"), bulk("Fe"), "none")
    engine = springs(path="{scratch}/run")
    assert Path(engine._calculator.path).parent.is_dir()


def test_code_and_files_of_the_user_count_by_content(tmp_path, monkeypatch):
    """What was edited under its name is something else; installed packages have versions."""
    module, model = tmp_path / "edited_calculator.py", tmp_path / "model.txt"
    monkeypatch.syspath_prepend(tmp_path)
    text = "from ase.calculators.emt import EMT\ndef make(model='', **more):\n    return EMT()\n"
    module.write_text(text)
    model.write_text("one")
    options = {"calculator": "edited_calculator:make", "arguments": {"deep": {"model": [str(model)]}}}
    first = settings_of("calculator", options, "none")
    assert set(first) >= {"code", "files"} and first["files"].startswith("model.txt ")
    assert settings_of("calculator", options, "none") == first
    model.write_text("other")
    second = settings_of("calculator", options, "none")
    assert second["files"] != first["files"] and second["code"] == first["code"]
    module.write_text(text + "# edited\n")
    third = settings_of("calculator", options, "none")
    assert third["code"] != second["code"]
    frame = bulk("Cu")
    frame.info |= {"REF_energy": 1.0} | {f"hint_{name}": value for name, value in second.items()}
    frame.arrays["REF_forces"] = np.zeros((1, 3))
    existing = ExistingLabels(LabelSettings("calculator", options, hessian="none"))
    existing.verdict(frame, False, "frame 0")
    with pytest.raises(OptionsError, match=f"code: {second['code']} there, {third['code']} asked for"):
        existing.refuse()
    assert not is_of_the_level("code") and is_of_the_level("files")
    emt = {"calculator": "ase.calculators.emt:EMT"}
    assert not {"code", "files"} & set(settings_of("calculator", emt, "none"))


def test_a_calculator_of_python_tells_its_parameters():
    one, other = (CalculatorPotential(LennardJones(sigma=s, epsilon=1.0)).provenance() for s in (1.0, 2.0))
    assert one["parameters"] != other["parameters"] and "sigma=1.0" in one["parameters"]
    assert len(CalculatorPotential(Springs()).provenance()["code"]) == 16  # this file
    assert identity_of(Springs())["code"] == CalculatorPotential(Springs()).provenance()["code"]


def test_emt_has_stress_and_a_translation_invariant_hessian(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.02, seed=0)
    write_frames(tmp_path / "in.xyz", [atoms])
    options = {"calculator": "ase.calculators.emt:EMT", "translation_invariant": "true"}
    run_labelling([tmp_path / "in.xyz"], tmp_path / "out.xyz", LabelSettings("calculator", options))
    [labelled] = read_frames(tmp_path / "out.xyz")
    assert labelled.info["REF_stress"].shape == (6,)
    matrix = read_label(labelled).hessian
    all_moved = make_labels(make_engine("calculator", calculator=options["calculator"]), atoms).hessian
    np.testing.assert_allclose(matrix, all_moved.hessian, atol=1e-4)
    assert np.abs(matrix.reshape(12, 4, 3).sum(1)).max() < 1e-6 and np.abs(matrix).max() > 1


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A MACE model and its artifact."""
    pytest.importorskip("mace", reason="needs MACE: pip install '.[mace]'")
    from artifacts import make_checkpoint

    from hint_plugin.export.checkpoint_to_artifact import export

    folder = tmp_path_factory.mktemp("models")
    model = make_checkpoint("mace", "float64", folder)
    export(model, folder / "model.hint.pt")
    return {"checkpoint": model, "artifact": folder / "model.hint.pt"}


@pytest.mark.parametrize("kind", ["checkpoint", "artifact"])
def test_a_model_teaches_exact_derivatives(models, kind):
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=0)
    engine = make_engine("model", model=models[kind])
    labels = make_labels(engine, atoms)
    matrix = labels.hessian.hessian
    assert np.abs(matrix).max() > 0.1 and labels.hessian.noise < 1e-9
    assert labels.provenance["derivatives"] == "analytic" and len(labels.provenance["model_sha256"]) == 64
    prepared = engine.prepare(atoms)
    step = np.zeros_like(atoms.positions)
    step[3, 1] = 1e-4
    forces = [prepared.forces_at(atoms.positions + sign * step) for sign in (1, -1)]
    np.testing.assert_allclose(matrix[10], (forces[1] - forces[0]).ravel() / 2e-4, atol=1e-5)
    pairs = make_labels(engine, atoms, "projected", n_probes=2, rng=np.random.default_rng(0)).hessian
    np.testing.assert_allclose(pairs.hvp.reshape(2, -1), pairs.probes.reshape(2, -1) @ matrix, atol=1e-9)
    rows = make_labels(engine, atoms, "rows", row_atoms=[3]).hessian
    np.testing.assert_allclose(rows.hessian, matrix[9:12], atol=1e-9)


def test_distillation_through_the_runner(models, tmp_path):
    frames = [molecule("H2O"), molecule("NH3"), bulk("Si", cubic=True)]
    write_frames(tmp_path / "in.xyz", frames)
    settings = LabelSettings("model", {"model": models["artifact"]})
    summary = run_labelling([tmp_path / "in.xyz"], tmp_path / "out.xyz", settings)
    assert summary.labelled == 2 and summary.failure_kinds == {"element": 1}  # it knows no nitrogen
    water, cell = read_frames(tmp_path / "out.xyz")
    assert water.info["REF_hessian"].shape == (9, 9) and "REF_stress" not in water.info
    assert cell.info["REF_stress"].shape == (6,)
    assert water.info["hint_engine"] == "model"


class Cluster(LennardJones):
    """A method for molecules: it takes a crystal, and computes the atoms of one cell alone."""

    def calculate(self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes) -> None:
        alone = atoms.copy()
        alone.pbc = False
        super().calculate(alone, properties, system_changes)


class Crystal(LennardJones):
    """A method for crystals: any box is a cell."""

    def calculate(self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes) -> None:
        everywhere = atoms.copy()
        everywhere.pbc = atoms.cell.rank == 3
        super().calculate(everywhere, properties, system_changes)


ARGUMENTS = {"sigma": 2.3, "epsilon": 0.4, "rc": 5.0}


@pytest.mark.parametrize(
    ("name", "refused", "words"),
    [
        ("LennardJones", [], ""),
        ("Cluster", ["one atom", "crystal", "slab"], "does not treat this structure as periodic: its energy"),
        ("Crystal", ["box"], "treats this structure as periodic, although its pbc is all false"),
    ],
)
def test_a_cell_is_what_the_structure_says(name, refused, words):
    """Numbers of something else are no labels; what was refused once costs nothing the second time."""
    slab = fcc111("Cu", (1, 1, 2), vacuum=4.0)
    slab.pbc = [True, True, False]
    frames = {
        "one atom": bulk("Cu"),
        "crystal": bulk("Cu", cubic=True),
        "slab": slab,
        "molecule": Atoms("Ar2", [[0, 0, 0], [0, 0, 2.6]]),
        "box": Atoms("Ar2", [[0, 0, 0], [0, 0, 2.6]], cell=[5, 5, 5]),
    }
    import sys

    sys.modules.setdefault("springs_for_tests", sys.modules[__name__])
    options = {"calculator": f"springs_for_tests:{name}", "arguments": ARGUMENTS}
    settings = LabelSettings(engine="calculator", engine_options=options, hessian="none")
    found = []
    for kind, atoms in frames.items():
        work = _setup_worker(settings)
        for again in range(2):
            label = work((0, atoms, False))
            if isinstance(label, FrameFailure):
                assert label.kind == "cell" and words in label.message
                assert "-e cell_check=false" in label.message
                found.append(kind) if not again else None
            else:
                atoms.calc = globals()[name](**ARGUMENTS)
                assert label.point.energy == pytest.approx(atoms.get_potential_energy())
    assert found == refused
    unchecked = replace(settings, engine_options=options | {"cell_check": False})
    for atoms in frames.values():
        assert not isinstance(_setup_worker(unchecked)((0, atoms, False)), FrameFailure)


def test_small_cells_at_the_gamma_point_are_told(tmp_path):
    pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
    frames = [bulk("Si"), bulk("Si"), molecule("H2O"), bulk("Si", cubic=True).repeat(2)]
    write_frames(tmp_path / "in.xyz", frames)
    plan = make_plan(Inputs.open([tmp_path / "in.xyz"]), LabelSettings(hessian="none"))
    (said,) = plan.warnings
    assert said.startswith("GFN2-xTB is sampled at the Gamma point alone, which wants cells of 8 A and more")
    assert "(2 frames, the first is" in said and "frame 0 (Si2))" in said
    with pytest.raises(EngineError, match="is periodic and its cell has no volume"):
        make_engine("gfn2-xtb").prepare(Atoms("H", pbc=True))
