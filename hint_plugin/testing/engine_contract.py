"""The contract of an engine of `hint label`: what it computes, what it tells, what it refuses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from hint_plugin.errors import EngineError
from hint_plugin.labelling import make_labels
from hint_plugin.potentials.engine import Engine
from hint_plugin.potentials.engines.cell_check import CellCheck


class EngineContract:
    """Inherit it and give the fixtures ``engine`` and ``atoms``, a structure that is not at rest.

    Attributes:
        noise: eV/A^2, of a Hessian's element: what the engine's convergence leaves.
    """

    noise = 0.05

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError("a contract needs a fixture `engine`")

    @pytest.fixture
    def atoms(self) -> Atoms:
        raise NotImplementedError("a contract needs a fixture `atoms`")

    def test_it_says_what_it_is(self, engine: Engine, atoms: Atoms) -> None:
        """Names, and settings that go into JSON; those of the class are those of the engine that is made."""
        options: Any = getattr(engine, "options", None)
        assert engine.name and engine.method and engine.step > 0
        told = engine.settings(options, "full")
        assert told["engine"] == engine.name and told["method"]
        assert json.loads(json.dumps({**engine.provenance(), **engine.of_structure(options, atoms)}))

    def test_forces_are_the_slope_of_the_energy(self, engine: Engine, atoms: Atoms) -> None:
        prepared, step = engine.prepare(atoms.copy()), engine.step
        point = prepared.single_point()
        direction = np.random.default_rng(0).normal(size=(len(atoms), 3))
        ahead = prepared.single_point(atoms.positions + step * direction).energy
        behind = prepared.single_point(atoms.positions - step * direction).energy
        wanted = -float((point.forces * direction).sum())
        scale = float(np.abs(point.forces * direction).sum())
        assert (ahead - behind) / (2 * step) == pytest.approx(wanted, abs=1e-2 * scale)
        np.testing.assert_allclose(prepared.forces_at(atoms.positions), point.forces, atol=1e-3)

    def test_labels_of_all_forms_are_of_one_matrix(self, engine: Engine, atoms: Atoms) -> None:
        full = make_labels(engine, atoms, "full").hessian
        rows = make_labels(engine, atoms, "rows", row_atoms=[0]).hessian
        pairs = make_labels(engine, atoms, "projected", n_probes=2, rng=np.random.default_rng(1)).hessian
        assert full is not None and rows is not None and pairs is not None
        assert full.hessian is not None and rows.hessian is not None
        assert pairs.probes is not None and pairs.hvp is not None
        n = len(atoms)
        np.testing.assert_allclose(full.hessian, full.hessian.T, atol=1e-9)
        np.testing.assert_allclose(rows.hessian, full.hessian[:3], atol=2 * self.noise)
        wanted = pairs.probes.reshape(2, -1) @ full.hessian
        np.testing.assert_allclose(pairs.hvp.reshape(2, -1), wanted, atol=2 * self.noise * np.sqrt(3 * n))

    def test_the_structure_is_left_as_it_is(self, engine: Engine, atoms: Atoms) -> None:
        before = atoms.copy()
        make_labels(engine, atoms, "none")
        assert atoms == before

    def test_a_cell_is_treated_as_one_or_refused(self, engine: Engine, atoms: Atoms) -> None:
        """An engine that would compute the atoms of one cell, alone, must not take a crystal: images of these
        are near."""
        crystal = atoms.copy()
        crystal.set_cell(np.ptp(atoms.positions, axis=0) + 3.0)
        crystal.pbc = True

        def energy(structure: Atoms) -> float:
            return engine.prepare(structure.copy()).single_point().energy

        try:
            here = energy(crystal)
        except EngineError as error:
            assert error.kind == "cell", f"{error}: wanted an EngineError of the kind cell"
            return
        CellCheck(engine.name).after(crystal, here, energy)

    def test_what_it_cannot_treat_is_an_error_of_its_kind(self, engine: Engine, atoms: Atoms) -> None:
        broken = atoms.copy()
        broken.positions[0, 0] = np.nan
        with pytest.raises(EngineError):
            engine.prepare(broken).single_point()
        with pytest.raises(EngineError):
            engine.prepare(Atoms()).single_point()
