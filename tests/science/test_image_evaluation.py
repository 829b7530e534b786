"""A band evaluates each image once a step, all images together; nothing is computed twice."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.mep import NEB
from ase.optimize import FIRE
from toy_potentials import Diatomic, spike, two_wells

from hint_plugin.data.labels.ase_energies import with_energy
from hint_plugin.errors import DataError, EngineError
from hint_plugin.potentials import BasePotential, Evaluation, HintCalculator
from hint_plugin.potentials.on_demand import PotentialSpec
from hint_plugin.science.reactions import neb
from hint_plugin.science.reactions.image_evaluation import ImageEvaluation, evaluate_together
from hint_plugin.science.reactions.neb import band_of, elastic_band


class Counted(BasePotential):
    """A diatomic, many at once; `batches` are the distances that each call asks for."""

    def __init__(self, toy: Diatomic) -> None:
        self.toy, self.batches = toy, []

    def evaluate(self, frames):
        found = []
        for atoms in frames:
            alone = atoms.copy()
            alone.calc = self.toy
            found.append(Evaluation(float(alone.get_potential_energy()), alone.get_forces()))
        self.batches.append([atoms.get_distance(0, 1) for atoms in frames])
        return found

    def hessian(self, atoms):
        raise NotImplementedError


def pair(r: float) -> Atoms:
    return Atoms("Ar2", [(0, 0, 0), (0, 0, r)])


@pytest.fixture(autouse=True)
def straight(monkeypatch):
    """The path of two atoms, without geodesic-interpolate."""

    def interpolate(reactant, product, images):
        return [pair(r) for r in np.linspace(reactant.positions[1, 2], product.positions[1, 2], images)]

    monkeypatch.setattr(neb, "interpolate", interpolate)


def test_each_image_that_moves_is_evaluated_once_a_step():
    """Seven images, ends included: all of them once, then batches of the five between the ends.

    The path is not symmetric: else its middle would stay where it is, and would not be evaluated again.
    """
    potential, steps = Counted(two_wells()), 6
    band = elastic_band(
        pair(1.0), pair(2.1), HintCalculator(potential), images=7, climb=False, fmax=1e-9, steps=steps
    )
    assert band.steps == steps and not band.converged
    sizes = [len(batch) for batch in potential.batches]
    assert sizes[: steps + 1] == [7] + steps * [5]
    assert len(sizes) <= steps + 3  # and what lies between the images, once each time it is looked at
    assert potential.toy.calls == sum(sizes)


def test_nothing_is_evaluated_twice():
    """Over rounds in which points between images become images, and in which the top climbs."""
    potential = Counted(spike())
    asked: list[bytes] = []
    evaluate = potential.evaluate

    def watched(frames):
        asked.extend(atoms.positions.tobytes() for atoms in frames)
        return evaluate(frames)

    potential.evaluate = watched
    band = elastic_band(pair(1.0), pair(3.0), HintCalculator(potential), fmax=0.5, steps=60)
    assert len(band.images) > band.given and len(asked) > 100
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("own", ["ase", "engine"])
def test_without_a_batch_there_is_one_evaluation_for_each_image(own):
    toy = two_wells()
    calculator = toy
    if own == "engine":
        spec = PotentialSpec(engine="calculator", options={"calculator": "toy_potentials:two_wells"})
        calculator = spec.calculator()
        toy = calculator.engine._calculator
    elastic_band(pair(1.0), pair(2.1), calculator, images=7, climb=False, fmax=1e-9, steps=4)
    between = 6 * 2  # two points between neighbours, less than 0.1 A apart: one each time it is looked at
    assert 7 + 4 * 5 <= toy.calls <= 7 + 4 * 5 + between


def test_the_band_is_the_one_that_ase_relaxes():
    """Energies and forces after ten steps of FIRE, bit by bit."""
    found = []
    for together in (True, False):
        toy = spike()
        path = [pair(r) for r in np.linspace(1.0, 3.0, 7)]
        for atoms in path:
            atoms.calc = toy
        for k in (0, -1):
            path[k] = with_energy(path[k], path[k].get_potential_energy(), path[k].get_forces())
        options = {"k": 0.1, "climb": True, "method": "improvedtangent"}
        made = NEB(path, allow_shared_calculator=True, **options)
        if together:
            made = band_of(path, ImageEvaluation(path[0], toy), **options)
        FIRE(made, logfile=None).run(fmax=1e-9, steps=10)
        found.append((np.array(made.energies[1:-1]), np.array(made.real_forces[1:-1]), toy.calls))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
    assert found[0][2] == 11 * 5 + 2 and found[1][2] > 3 * 10 * 5


def test_images_that_move_back_and_points_that_become_images():
    """What the last two calls have answered is kept, and no more."""
    toy = two_wells()
    evaluate = ImageEvaluation(pair(1.0), toy)
    places = np.array([pair(r).positions for r in (1.0, 1.2, 1.4)])
    first = evaluate(places)
    again = evaluate(places.reshape(3, 6)[::-1])
    np.testing.assert_array_equal(first[0][::-1], again[0])
    np.testing.assert_array_equal(first[1][::-1], again[1])
    assert evaluate.evaluated == toy.calls == 3
    evaluate(np.array([places[0], places[0]]))  # the same place twice in one call
    assert evaluate.evaluated == 3
    evaluate(places[:1])
    evaluate(places[1:2])
    assert evaluate.evaluated == 4


def test_charge_and_spin_travel_and_constraints_do_not():
    seen = []

    class Watched(Diatomic):
        def calculate(self, atoms=None, properties=("energy",), system_changes=()):
            super().calculate(atoms, properties, system_changes)
            seen.append((atoms.info.get("charge"), len(atoms.constraints)))

    from ase.constraints import FixAtoms

    like = pair(1.0)
    like.info["charge"] = 1
    like.set_constraint(FixAtoms([0]))
    _, forces = ImageEvaluation(like, Watched(lambda r: r * r))(like.positions[None])
    assert seen == [(1, 0)] and abs(forces[0, 0, 2]) == pytest.approx(2.0)
    assert like.constraints


def test_a_model_is_asked_once_and_gives_what_it_gives_alone():
    spec = PotentialSpec.of("alphanet-gfn2")
    frames = [Atoms("HCN", [(0, y, -1.06), (0, 0, 0), (0, 0, 1.15)]) for y in (0.0, 0.3, 0.6)]
    calculator = spec.calculator()
    calls = []
    potential = calculator.engine.potential
    evaluate = potential._evaluate
    potential._evaluate = lambda block, kept: calls.append(len(block)) or evaluate(block, kept)
    together = evaluate_together(calculator, frames)
    assert calls == [3]
    for (energy, forces), atoms in zip(together, frames, strict=True):
        atoms.calc = spec.calculator()
        assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-9)


def test_what_one_of_many_raises():
    """Errors are those of a structure alone."""
    calculator = PotentialSpec.of("alphanet-gfn2").calculator()
    good, unknown, lost = pair(1.0), pair(1.0), Atoms("H2", [(0, 0, 0), (0, 0, np.nan)])
    good.symbols[:] = "H"
    for bad, words in ((unknown, "structure 1 .*has Ar"), (lost, "NaN or infinite")):
        with pytest.raises(EngineError, match=words):
            evaluate_together(calculator, [good, bad])
    charged = good.copy()
    charged.info["charge"] = 1
    with pytest.raises(EngineError, match="charge") as told:
        evaluate_together(calculator, [good, charged])
    assert told.value.kind == "electrons"
    broken = Counted(Diatomic(lambda r: float("nan") if r > 1.5 else r))
    with pytest.raises(DataError, match=r"no finite energy or forces for structure 1 of 2 \(Ar2\)"):
        evaluate_together(HintCalculator(broken), [pair(1.0), pair(2.0)])
