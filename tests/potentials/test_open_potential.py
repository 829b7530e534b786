"""`open_potential`, the protocol, the one ASE calculator: of models, engines, calculators of others."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT

from hint_plugin import HintCalculator, open_potential
from hint_plugin.errors import OptionsError
from hint_plugin.potentials import CalculatorPotential, Potential, as_potential
from hint_plugin.potentials.checkpoints import CheckpointPotential
from hint_plugin.potentials.engine import Engine
from hint_plugin.potentials.registry import make_engine
from hint_plugin.pretrained import CHECKPOINT, path_of
from hint_plugin.testing import EngineContract, PotentialContract


def water() -> Atoms:
    atoms = molecule("H2O")
    atoms.rattle(0.03, seed=1)
    return atoms


def crystal() -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.03, seed=2)
    return atoms


def opened(kind: str) -> tuple[Potential, Atoms]:
    if kind == "artifact":
        return open_potential("alphanet-gfn2", dtype="float64"), water()
    if kind == "checkpoint":
        pytest.importorskip("mace", reason="needs MACE: pip install '.[mace]'")
        return open_potential(path_of("alphanet-gfn2", CHECKPOINT), dtype="float64"), water()
    if kind == "engine":
        pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
        return open_potential("gfn2-xtb", charge=1), water()
    return open_potential(EMT()), crystal()


class TestArtifact(PotentialContract):
    noise = 1e-6

    @pytest.fixture
    def potential(self) -> Potential:
        return opened("artifact")[0]

    @pytest.fixture
    def atoms(self) -> Atoms:
        return water()


class TestCheckpoint(TestArtifact):
    @pytest.fixture
    def potential(self) -> Potential:
        return opened("checkpoint")[0]


class TestEnginePotential(PotentialContract):
    @pytest.fixture
    def potential(self) -> Potential:
        return opened("engine")[0]

    @pytest.fixture
    def atoms(self) -> Atoms:
        return water()


class TestCalculator(PotentialContract):
    @pytest.fixture
    def potential(self) -> Potential:
        return opened("calculator")[0]

    @pytest.fixture
    def atoms(self) -> Atoms:
        return crystal()


class TestGFN2(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
        return make_engine("gfn2-xtb")

    @pytest.fixture
    def atoms(self) -> Atoms:
        return water()


class TestModelEngine(TestGFN2):
    @pytest.fixture
    def engine(self) -> Engine:
        return make_engine("model", model="alphanet-gfn2")


class TestCalculatorEngine(TestGFN2):
    @pytest.fixture
    def engine(self) -> Engine:
        return make_engine("calculator", calculator="ase.calculators.emt:EMT")

    @pytest.fixture
    def atoms(self) -> Atoms:
        return crystal()


@pytest.mark.parametrize("kind", ["artifact", "checkpoint", "engine", "calculator"])
def test_one_calculator_for_all(kind: str) -> None:
    potential, atoms = opened(kind)
    (wanted,) = potential.evaluate([atoms])
    atoms.calc = HintCalculator(potential)
    assert atoms.get_potential_energy() == pytest.approx(wanted.energy, abs=1e-6)
    np.testing.assert_allclose(atoms.get_forces(), wanted.forces, atol=1e-5)
    assert as_potential(atoms.calc) is potential
    assert atoms.calc.get_hessian(atoms).shape == (3 * len(atoms), 3 * len(atoms))
    if kind == "calculator":
        np.testing.assert_allclose(atoms.get_stress(voigt=False), wanted.stress, atol=1e-9)
    else:
        with pytest.raises(PropertyNotImplementedError, match="not periodic in all three directions"):
            atoms.get_stress()
    if kind == "engine":
        assert atoms.get_dipole_moment().shape == (3,)
    else:
        with pytest.raises(PropertyNotImplementedError, match="dipole"):
            atoms.get_dipole_moment()


def test_an_engine_goes_on_from_the_point_before_and_starts_anew_for_another_system() -> None:
    pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
    from hint_plugin.potentials.engine_potential import EnginePotential
    from hint_plugin.potentials.registry import make_engine

    engine, seen = make_engine("gfn2-xtb"), []
    prepare = engine.prepare
    engine.prepare = lambda atoms: seen.append(dict(atoms.info)) or prepare(atoms)
    atoms = water()
    atoms.calc = HintCalculator(EnginePotential(engine))
    neutral = atoms.get_potential_energy()
    atoms.positions[0, 0] += 0.01
    assert atoms.get_potential_energy() != neutral and len(seen) == 1
    atoms.info["charge"] = 1
    assert atoms.get_potential_energy() > neutral + 5 and len(seen) == 2


def test_differences_stand_in_where_a_calculator_has_no_hessian() -> None:
    potential, atoms = CalculatorPotential(EMT()), crystal()
    assert not potential.exact
    v = np.random.default_rng(1).normal(size=(len(atoms), 3))
    step = 1e-4
    moved = [atoms.copy(), atoms.copy()]
    for sign, one in zip((1, -1), moved, strict=True):
        one.positions += sign * step * v
        one.calc = EMT()
    wanted = -(moved[0].get_forces() - moved[1].get_forces()) / (2 * step)
    np.testing.assert_allclose(potential.hvp(atoms, v), wanted, atol=1e-3 * np.abs(wanted).max())


def test_words_for_what_is_not_there() -> None:
    with pytest.raises(OptionsError, match="Did you mean 'gfn2-xtb'"):
        open_potential("gfn2-xbt")
    with pytest.raises(OptionsError, match="no file, no model that comes with HINT"):
        open_potential("nothing.hint.pt")
    with pytest.raises(OptionsError, match="has no option 'charge'.*need an engine"):
        open_potential("alphanet-gfn2", charge=1)
    with pytest.raises(OptionsError, match="is open already"):
        open_potential(EMT(), device="cuda")


def test_a_checkpoint_is_opened_by_its_framework() -> None:
    pytest.importorskip("mace", reason="needs MACE: pip install '.[mace]'")
    potential = open_potential(path_of("alphanet-gfn2", CHECKPOINT))
    assert isinstance(potential, CheckpointPotential) and potential.framework.architecture == "AlphaNet"


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = (
        "import sys, hint_plugin; assert hint_plugin.__version__\n"
        "ours = [m for m in sys.modules if m.startswith('hint_plugin.')]; assert not ours, ours\n"
        "assert not {'torch', 'ase', 'numpy'} & set(sys.modules)\n"
        "import torch\n"
        "ours = {m for m in sys.modules if m.startswith('hint_plugin')}\n"
        "assert ours == {'hint_plugin', 'hint_plugin.mace', 'hint_plugin.mace.hook'}, ours\n"
        "assert 'ase' not in sys.modules and 'scipy' not in sys.modules\n"
        "from hint_plugin import open_potential, HintCalculator, read_frames, write_frames\n"
        "assert 'open_potential' in dir(hint_plugin)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_that_are_not_there() -> None:
    import hint_plugin

    with pytest.raises(AttributeError, match="has no attribute 'open_potentials'"):
        _ = hint_plugin.open_potentials
