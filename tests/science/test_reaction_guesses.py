"""Several initial paths for one reaction, and which saddle is kept."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.constraints import FixAtoms

pytest.importorskip("sella", reason="needs Sella: pip install 'hint-mlip[reactions]'")
pytest.importorskip("geodesic_interpolate", reason="needs geodesic-interpolate: 'hint-mlip[reactions]'")

import leps

from hint_plugin.cli.verbs.reaction import _of_guesses
from hint_plugin.errors import EngineError, OptionsError
from hint_plugin.science.molecules import Stationary
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.reactions import ReactionSettings, find_reaction, interpolate, match, one_reaction
from hint_plugin.science.reactions.initial_paths import (
    BAND_IMAGES,
    BAND_STEPS,
    has_handedness,
    other_ends,
    other_paths,
    short_band,
)
from hint_plugin.science.reactions.many_reactions import prepare
from hint_plugin.science.reactions.methods.method import Guess
from hint_plugin.science.reactions.methods.sella import Sella
from hint_plugin.science.reactions.one_reaction import Reaction
from hint_plugin.science.reactions.pages import _guesses
from hint_plugin.science.reactions.tried_guesses import NOT_FOLLOWED, same_saddle

TETRAHEDRON = [(0, 0, 0), (0.6, 0.6, 0.6), (0.8, -0.8, -0.8), (-1, 1, -1), (-1.1, -1.1, 1.1)]

# Initial paths


@pytest.mark.parametrize(
    ("atoms", "handed"),
    [
        (Atoms("CHFClBr", TETRAHEDRON), True),
        (molecule("CH3CH2OH"), False),
        (molecule("C2H4"), False),
    ],
    ids=lambda value: str(getattr(value, "symbols", value)),
)
def test_a_mirror_image_is_another_molecule_where_four_neighbours_differ(atoms, handed):
    assert has_handedness(atoms) is handed
    assert any("mirrored" in name for name, _ in other_ends(atoms)) is not handed


def test_other_ends_are_the_same_molecule():
    """Ethanol: 3! places of the methyl's hydrogens, 2 of the other carbon's, each mirrored and not."""
    ethanol = molecule("CH3CH2OH")
    ends = other_ends(ethanol)
    assert len(ends) == 6 * 2 * 2 - 1
    assert all(match(ethanol, end) for _, end in ends)
    distances = np.sort(ethanol.get_all_distances().ravel())
    assert all(np.allclose(np.sort(end.get_all_distances().ravel()), distances) for _, end in ends)


def test_other_paths():
    peroxide, other = molecule("H2O2"), molecule("H2O2")
    other.set_dihedral(2, 0, 1, 3, 40)
    straight = interpolate(peroxide, other, 5)
    first, again = (other_paths(peroxide, other, straight, 2) for _ in range(2))
    assert [path.name for path in first] == ["mirrored product", "detour 1"]
    for path, same in zip(first, again, strict=True):
        assert len(path.images) == BAND_IMAGES and match(path.images[-1], other)
        assert rmsd(path.images[0], peroxide) < 1e-6
        for a, b in zip(path.images, same.images, strict=True):
            assert a.positions == pytest.approx(b.positions, abs=1e-10)
    assert other_paths(peroxide, other, straight, 0) == []
    peroxide.set_constraint(FixAtoms([0]))
    assert other_paths(peroxide, other, straight, 2) == []


def test_a_short_band_goes_down_and_counts():
    """H + H2 on LEPS: a path that bends too near; its top comes down to the saddle's height and not below."""
    ends = [Atoms("H3", [(x, 0, 0), (0, 0, 0), (y, 0, 0)]) for x, y in ((-2.5, 0.7414), (-0.7414, 2.5))]
    images = interpolate(*ends, 9)
    for atoms in images:
        atoms.positions[1, 1] += 0.3
    images[0].positions[1, 1] = images[-1].positions[1, 1] = 0.0
    calculator = leps.Leps()
    relaxed, energies, evaluated = short_band(images, calculator)
    before = []
    for atoms in images:
        atoms.calc = calculator
        before.append(atoms.get_potential_energy())
    saddle = leps.saddle().get_potential_energy()
    assert saddle - 0.1 < max(energies) < max(before) - 0.1
    assert len(relaxed) == len(energies) == BAND_IMAGES and relaxed[3].calc is calculator
    assert BAND_IMAGES < evaluated <= BAND_IMAGES + (BAND_IMAGES - 2) * (BAND_STEPS + 1)


# The choice


def point(energy: float, shift: float = 0.0, frequency: float = -500.0) -> Stationary:
    """A stationary point of water that has moved."""
    atoms = molecule("H2O")
    atoms.positions[1, 1] += shift
    modes = SimpleNamespace(frequencies=np.array([frequency, 900.0, 1000.0]), imaginary=np.array([frequency]))
    return Stationary(atoms, "transition state", True, 7, energy, 0.0, None, modes)


class Pretended:
    """Guesses with the saddles that they lead to; None for none."""

    def __init__(self, saddles: list[Stationary | None], relaxed: bool = False) -> None:
        self.searched = 0
        self._next = iter(saddles)
        tops = [[molecule("H2O")] for _ in saddles]
        self.guesses = [
            Guess(top, [0.0, 3.0], top, f"path {k}", 17, relaxed=relaxed and k > 0)
            for k, top in enumerate(tops)
        ]

    def path(self, reactant, product):
        return self.guesses[0]

    def more_paths(self, reactant, product, first):
        return iter(self.guesses[1:])

    def saddle(self, guess):
        self.searched += 1
        found = next(self._next)
        if found is None:
            raise EngineError("nothing here", "geometry")
        return found


def chosen(monkeypatch, method: Pretended, verdicts: dict[float, str]) -> Reaction:
    """Search and follow, with what lies below a saddle given by its energy; "" raises."""

    def connect(found, method, calculator, settings, say):
        found.stage = "IRC"
        if not verdicts[found.saddle.energy]:
            raise EngineError("the path is lost", "geometry")
        found.stage, found.verdict = "done", verdicts[found.saddle.energy]

    monkeypatch.setattr(one_reaction, "connect", connect)
    far = point(0.5, 0.9)
    found = Reaction(reactant=point(0.0), product=far, inputs=(molecule("H2O"), far.atoms))
    one_reaction._search(found, method)
    one_reaction._follow(found, method, None, ReactionSettings(), lambda text: None)
    return found


def test_the_lowest_that_connects_is_kept(monkeypatch):
    """The lowest is below an end; the next joins other molecules; the third connects; the last is high."""
    saddles = [point(3.1, 0.1), None, point(2.0, 0.2), point(0.4, 0.3), point(1.0, 0.4), point(2.0, 0.2)]
    verdicts = {3.1: "intended", 2.0: "intended", 0.4: "intended", 1.0: "unintended"}
    found = chosen(monkeypatch, Pretended(saddles), verdicts)
    assert (found.verdict, found.saddle.energy, found.stage) == ("intended", 2.0, "done")
    assert found.guess_path is found.tried[2].guess.images
    told = found.as_dict(ReactionSettings())["guesses"]
    assert [one["saddle"] for one in told] == [3.1, None, 2.0, 0.4, 1.0, 2.0]
    assert [one["same_as"] for one in told] == [None] * 5 + [3]
    assert told[0]["verdict"] == told[3]["verdict"] == NOT_FOLLOWED
    assert told[1]["failure"] == "nothing here" and told[4]["verdict"] == "unintended"
    json.dumps(told)
    lines = _of_guesses(told)
    assert lines[0] == "guesses: 6 tried, 4 different saddles"
    assert lines[3] == "  3 path 2: saddle at +46.12 kcal/mol; intended"
    assert "path 4" in _guesses({"guesses": told}) and _guesses({"guesses": told[:1]}) == ""


def test_where_none_connects_the_best_is_kept(monkeypatch):
    saddles, verdicts = [point(1.0, 0.1), point(2.0, 0.2), point(3.0, 0.3)], {1.0: "", 3.0: "unintended"}
    found = chosen(monkeypatch, Pretended(saddles), {**verdicts, 2.0: "product unintended"})
    assert (found.verdict, found.saddle.energy, found.failure) == ("product unintended", 2.0, "")
    assert found.tried[0].verdict == "no path: the path is lost"
    lost = chosen(monkeypatch, Pretended([point(1.0)]), {1.0: ""})
    assert (lost.verdict, lost.stage, lost.failure) == ("no path", "IRC", "the path is lost")
    with pytest.raises(EngineError, match="nothing here"):
        chosen(monkeypatch, Pretended([None, None]), {})


def test_no_search_beside_a_saddle_that_is_known(monkeypatch):
    """The tops of relaxed paths are at the first saddle: it is not looked for again."""
    method = Pretended([point(2.0, 0.1), point(1.0), point(1.0)], relaxed=True)
    found = chosen(monkeypatch, method, {2.0: "intended"})
    assert method.searched == 1 and found.saddle.energy == 2.0
    assert [one.same_as for one in found.tried] == [None, 1, 1]
    assert found.tried[1].verdict == "its top is next to the saddle of guess 1"


def test_same_saddles():
    assert same_saddle(point(1.0), point(1.001))
    assert not same_saddle(point(1.0), point(1.01))
    assert not same_saddle(point(1.0), point(1.0, frequency=-400.0))


# The search itself


def test_paths_that_fail_cost_no_result():
    """The band meets a geometry that cannot be computed; the first guess counts all the same."""

    class Fragile(leps.Leps):
        """Bent geometries, as those of detours, have no energy; nor has a straight one after 40 calls."""

        calls = 0

        def calculate(self, atoms=None, properties=("energy",), system_changes=()):
            super().calculate(atoms, properties, system_changes)
            self.calls += 1
            if self.calls > 40:
                raise EngineError("no energy here", "scf")

    calculator = Fragile()
    ends = [Atoms("H3", [(x, 0, 0), (0, 0, 0), (y, 0, 0)]) for x, y in ((-2.5, 0.7414), (-0.7414, 2.5))]
    method = Sella(calculator, ReactionSettings(guesses=3), lambda text: None)
    first = method.path(*ends)
    more = list(method.more_paths(*ends, first))
    assert first.tops and [guess.tops for guess in more] == [[]] * len(more) and more
    assert "no energy here" in more[0].failure
    with pytest.raises(EngineError, match="no energy here"):
        method.saddle(more[0])


def test_one_guess_is_the_geodesic_alone():
    ends = [Atoms("H3", [(x, 0, 0), (0, 0, 0), (y, 0, 0)]) for x, y in ((-2.5, 0.7414), (-0.7414, 2.5))]
    method = Sella(leps.Leps(), ReactionSettings(guesses=1, images=9), lambda text: None)
    first = method.path(*ends)
    assert (first.name, first.evaluated, len(first.tops)) == ("geodesic", 9, 3)
    assert list(method.more_paths(*ends, first)) == []


def test_folders_of_one_path_go_on_with_one_guess(tmp_path):
    """`guesses` were tops of the geodesic, and there was one path."""
    about = {"fmax": 0.01, "search": "sella", "guesses": 1, "tops": 3}
    (tmp_path / "settings.json").write_text(json.dumps({"fmax": 0.01, "search": "sella", "guesses": 3}))
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "reaction.json").write_text("{}")
    with pytest.raises(OptionsError, match="guesses 1 -> 3"):
        prepare(tmp_path, [], {**about, "guesses": 3})
    prepare(tmp_path, [], about)


def bicyclobutane() -> tuple[Atoms, Atoms]:
    """Bicyclobutane and gauche butadiene, roughly: two bonds of the first carbon and the second break."""
    ring = [(0, 0.74, 0.32), (0, -0.74, 0.32), (-1.13, 0, -0.32), (1.13, 0, -0.32), (0, 1.44, 1.15)]
    ring += [(0, -1.44, 1.15), (-2.08, 0, 0.21), (-1.22, 0, -1.41), (1.22, 0, -1.41), (2.08, 0, 0.21)]
    chain = [(0.73, 0.55, -0.12), (-0.73, 0.55, 0.12), (-1.53, -0.49, -0.09), (1.53, -0.49, 0.09)]
    chain += [(1.16, 1.49, -0.49), (-1.16, 1.49, 0.49), (-2.59, -0.44, 0.13), (-1.15, -1.42, -0.5)]
    chain += [(2.59, -0.44, -0.13), (1.15, -1.42, 0.5)]
    return Atoms("C4H6", ring), Atoms("C4H6", chain)


@pytest.mark.long
def test_bicyclobutane_opens_over_the_lower_saddle(tmp_path):
    """The geodesic alone leads to 71 kcal/mol; pysisyphus finds 48.9 (docs/reactions.md)."""
    pytest.importorskip("tblite", reason="needs tblite: pip install 'hint-mlip[label]'")
    from reaction_runs import KCAL

    from hint_plugin.labelling import EngineCalculator, make_engine

    found = find_reaction(*bicyclobutane(), EngineCalculator(make_engine("gfn2-xtb")), ReactionSettings())
    assert found.verdict == "intended" and KCAL * found.barriers["forward"] == pytest.approx(48.9, abs=0.2)
    assert KCAL * (found.tried[0].saddle.energy - found.reactant.energy) == pytest.approx(71.4, abs=0.2)
