"""From a reactant and a product to a transition state, what it connects, and barriers.

ends optimised ─ paths ─> guesses ─ saddle searches ─> lowest saddle ─ IRC ─> ends optimised ─> verdict

Paths, saddle search and IRC are those of a method (`methods`); the rest is the same for all. Where the lowest
saddle does not connect the two molecules, the next one is followed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from ase import Atoms

from hint_plugin.data.structures.constraints import held_atoms
from hint_plugin.errors import DataError, EngineError, HintError
from hint_plugin.science.molecules import (
    Stationary,
    adsorbate_thermochemistry,
    optimize,
    thermochemistry,
)
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.molecules.modes import NormalModes
from hint_plugin.science.reactions.irc import Path
from hint_plugin.science.reactions.limits import BROKEN_NUMBERS, TimeUp
from hint_plugin.science.reactions.matching import match, same_atoms, with_electrons
from hint_plugin.science.reactions.methods import Method, method_of
from hint_plugin.science.reactions.reaction_settings import ReactionSettings, Say
from hint_plugin.science.reactions.tried_guesses import (
    NOT_FOLLOWED,
    Tried,
    lowest_first,
    reason,
    try_guess,
)

#: Whether the ends are the reactant and the product -> our word, ReactBench's.
_VERDICTS = {
    (True, True): ("intended", "Intended"),
    (False, True): ("reactant unintended", "R_Unintended"),
    (True, False): ("product unintended", "P_Unintended"),
    (False, False): ("unintended", "Unintended"),
}
_RANKS = ("no path", "unintended", "product unintended", "reactant unintended", "intended")
_SAME_GEOMETRY, _SAME_ENERGY = 0.15, 0.02  # A, eV
SAME_MINIMUM = 0.05  # A


@dataclass
class Reaction:
    """What was found; parts that were not reached are None.

    `verdict`: "intended" (the ends of the path have the bonds of reactant and product), "reactant
    unintended", "product unintended", "unintended", or "no transition state", "no path"; "collapsed" where
    both ends have the same bonds once they are optimised, and the inputs had not: this potential has no such
    reaction. `failure` says why where a stage failed, and `stage` where. `tried`: the guesses.
    """

    reactant: Stationary | None = None
    product: Stationary | None = None
    guess_path: list[Atoms] = field(default_factory=list)
    guess_energies: list[float] = field(default_factory=list)
    saddle: Stationary | None = None
    backward: Path | None = None
    forward: Path | None = None
    ends: tuple[Stationary, Stationary] | None = None
    verdict: str = ""
    stage: str = "input"
    failure: str = ""
    kept_graphs: tuple[bool, bool] = (True, True)
    inputs: tuple[Atoms, Atoms] | None = None
    tried: list[Tried] = field(default_factory=list)

    def fail(self, reason: str) -> None:
        """Say that it ended in this stage."""
        self.failure = reason
        self.verdict = "no transition state" if self.saddle is None else "no path"

    @property
    def collapsed(self) -> bool:
        """Whether optimising the inputs has made one molecule of two."""
        if self.reactant is None or self.product is None or self.inputs is None:
            return False
        return match(self.reactant.atoms, self.product.atoms) and not match(*self.inputs)

    @property
    def verdicts(self) -> dict[str, Any]:
        """The same question at three levels; None where no path was followed.

        `reactbench`: bonds of the path's raw ends against the inputs', in ReactBench's words. `strict`: bonds
        of the optimised ends against the optimised inputs', which keep those of the inputs. `geometric`: the
        optimised ends are the optimised inputs, within 0.15 A (atoms of an element may change places) and
        0.02 eV. The last two are False where an end did not converge.
        """
        if self.backward is None or self.forward is None or self.ends is None or self.inputs is None:
            return {"reactbench": None, "strict": None, "geometric": None}
        assert self.reactant is not None and self.product is not None
        r = match(self.backward.images[-1], self.inputs[0])
        p = match(self.forward.images[-1], self.inputs[1])
        converged = all(end.converged for end in self.ends)
        near = converged and all(
            rmsd(wanted.atoms, end.atoms, permute=True) < _SAME_GEOMETRY
            and abs(wanted.energy - end.energy) < _SAME_ENERGY
            for wanted, end in zip((self.reactant, self.product), self.ends, strict=True)
        )
        strict = self.verdict == "intended" and all(self.kept_graphs) and converged
        return {"reactbench": _VERDICTS[r, p][1], "strict": strict, "geometric": near}

    @property
    def doubts(self) -> dict[str, str]:
        """Why optimised parts mean nothing (`Stationary.doubt`), of those that are so: `reactant`, `ts`,
        `product`."""
        parts = {"reactant": self.reactant, "ts": self.saddle, "product": self.product}
        return {name: part.doubt for name, part in parts.items() if part is not None and part.doubt}

    @property
    def barriers(self) -> dict[str, float]:
        """eV: `forward`, `reverse`, `reaction` energies from the optimised ends of the inputs."""
        if self.saddle is None or self.reactant is None or self.product is None:
            return {}
        r, ts, p = self.reactant.energy, self.saddle.energy, self.product.energy
        return {"forward": ts - r, "reverse": ts - p, "reaction": p - r}

    def gibbs(self, settings: ReactionSettings) -> dict[str, float]:
        """The same for Gibbs energies (of held atoms, free energies), eV; empty where a part has none
        (imaginary modes, free rotations, a force above 0.05 eV/A, as a large `fmax` leaves)."""
        found = {}
        parts = {"r": self.reactant, "ts": self.saddle, "p": self.product}
        for name, part in parts.items():
            if part is None or not isinstance(part.modes, NormalModes):
                return {}
            if len(part.modes.imaginary) != (name == "ts"):
                return {}
            try:  # the multiplicity of all three is the same, and drops out
                known: dict[str, Any] = {
                    "temperature": settings.temperature,
                    "largest_force": part.largest_force,
                }
                if part.modes.free is None:
                    gas = thermochemistry(part.modes, part.energy, **known)
                    stationary, found[name] = gas.stationary, gas.gibbs_energy
                else:  # on a surface, free energies of harmonic oscillators
                    held = adsorbate_thermochemistry(part.modes, part.energy, **known)
                    stationary, found[name] = held.stationary, held.helmholtz_energy
            except DataError:
                return {}
            if not stationary:
                return {}
        return {
            "forward": found["ts"] - found["r"],
            "reverse": found["ts"] - found["p"],
            "reaction": found["p"] - found["r"],
        }

    def as_dict(self, settings: ReactionSettings) -> dict[str, Any]:
        """For JSON, without geometries."""
        found: dict[str, Any] = {
            "verdict": self.verdict,
            "verdicts": self.verdicts,
            "stage": self.stage,
            "failure": self.failure,
            "relaxed_ends_keep_bonds": list(self.kept_graphs),
            "ends_are": [None if end is None else end.kind for end in (self.reactant, self.product)],
            "doubts": self.doubts,
            "barriers": self.barriers,
            "gibbs": self.gibbs(settings),
            "temperature": settings.temperature,
            "method": settings.method,
        }
        if self.tried and self.reactant is not None:
            found["guesses"] = [one.as_dict(self.reactant.energy) for one in self.tried]
        if self.saddle is not None and self.saddle.modes is not None:
            found["imaginary"] = self.saddle.modes.imaginary.tolist()
        if self.ends is not None and self.reactant is not None and self.product is not None:
            found["ends_converged"] = [end.converged for end in self.ends]
            found["rmsd"] = [
                rmsd(self.reactant.atoms, self.ends[0].atoms, permute=True),
                rmsd(self.product.atoms, self.ends[1].atoms, permute=True),
            ]
        return found


def find_reaction(
    reactant: Atoms, product: Atoms, calculator: Any, settings: ReactionSettings, say: Say = lambda text: None
) -> Reaction:
    """Look for the transition state between two molecules.

    Args:
        reactant: atoms in the order of the product's.
        product: see there.
        calculator: of ASE, with `get_hessian`.
        settings: how.
        say: told what is being done.

    Raises:
        DataError: other atoms, or another order. OptionsError, MissingDependencyError: as `method_of`.
        What fails later is in the result: `stage`, `failure`.
    """
    same_atoms(reactant, product)
    method = method_of(settings.method)
    if settings.method != "sella" and (held := held_atoms(reactant)):
        raise DataError(
            f"atoms are held ({held}), and the method {settings.method} would move them; take the method "
            "sella"
        )
    reactant, product = (with_electrons(end, calculator) for end in (reactant, product))
    found = Reaction(inputs=(reactant, product))
    try:
        if _relax(found, reactant, product, calculator, settings, say):
            with method(calculator, settings, say) as search:
                _search(found, search)
                _follow(found, search, calculator, settings, say)
    except TimeUp as error:
        found.fail(str(error))
    except (HintError, *BROKEN_NUMBERS) as error:
        found.fail(reason(error))
    return found


def _relax(
    found: Reaction, reactant: Atoms, product: Atoms, calculator: Any, settings: ReactionSettings, say: Say
) -> bool:
    """Both ends to minima; whether that went well."""
    found.stage = "reactant"
    found.reactant = _optimised(reactant, calculator, settings, say, "reactant")
    found.stage = "product"
    found.product = _optimised(product, calculator, settings, say, "product")
    for end in (found.reactant, found.product):
        if not end.converged:
            found.fail(end.kind)
            return False
    found.kept_graphs = (match(found.reactant.atoms, reactant), match(found.product.atoms, product))
    if found.collapsed:
        found.stage = "guess"
        lost, kept = ("reactant", "product") if found.kept_graphs[1] else ("product", "reactant")
        found.fail(
            f"optimising the {lost} has given it the bonds of the {kept}: on this potential there is no "
            "reaction between the two"
        )
        found.verdict = "collapsed"
        return False
    return True


def _optimised(atoms: Atoms, calculator: Any, settings: ReactionSettings, say: Say, name: str) -> Stationary:
    start = atoms.copy()
    start.calc = calculator
    return optimize(
        start,
        fmax=settings.fmax,
        steps=settings.steps,
        report=lambda step, energy, force: say(f"{name}: step {step}, {force:.3f} eV/A"),
    )


def _search(found: Reaction, method: Method) -> None:
    assert found.reactant is not None and found.product is not None
    found.stage = "guess"
    r, p = found.reactant.atoms, found.product.atoms
    if match(r, p) and rmsd(r, p) < SAME_MINIMUM:
        raise EngineError(
            "the reactant and the product are the same minimum once they are optimised", "geometry"
        )
    first = method.path(r, p)
    found.guess_path, found.guess_energies = first.images, first.energies
    found.stage = "transition state"
    for guess in chain([first], method.more_paths(r, p, first)):
        found.tried.append(try_guess(method, guess, found.tried))
        if found.saddle is None:
            found.saddle = found.tried[-1].saddle
    if found.saddle is None:
        raise EngineError(found.tried[0].failure, "geometry")


def _follow(found: Reaction, method: Method, calculator: Any, settings: ReactionSettings, say: Say) -> None:
    """From the lowest saddle down; from the next ones as long as none connects the two molecules.

    Where none does, what is kept is the saddle with most of the right ends.
    """
    assert found.reactant is not None and found.product is not None
    order = lowest_first(found.tried, max(found.reactant.energy, found.product.energy))
    best, before = -1, replace(found)
    for number, one in enumerate(order):
        attempt = replace(
            before, saddle=one.saddle, guess_path=one.guess.images, guess_energies=one.guess.energies
        )
        try:
            connect(attempt, method, calculator, settings, say)
        except (HintError, *BROKEN_NUMBERS) as error:
            attempt.fail(reason(error))
        one.verdict = attempt.verdict + (f": {attempt.failure}" if attempt.failure else "")
        if (rank := _RANKS.index(attempt.verdict)) > best:
            best = rank
            vars(found).update(vars(attempt))
        if attempt.verdict == _RANKS[-1]:
            for other in order[number + 1 :]:
                other.verdict = NOT_FOLLOWED
            return


def connect(found: Reaction, method: Method, calculator: Any, settings: ReactionSettings, say: Say) -> None:
    """Down to both sides of the saddle, and what lies there: paths, ends and verdict of `found`.

    Raises what the method and the calculator raise.
    """
    assert found.reactant is not None and found.product is not None and found.saddle is not None
    found.stage = "IRC"
    sides = list(method.follow(found.saddle))
    ends = [_optimised(side.images[-1], calculator, settings, say, "end of the IRC") for side in sides]
    if _score(found, ends[1], ends[0]) > _score(found, ends[0], ends[1]):
        sides.reverse()
        ends.reverse()
    found.backward, found.forward, found.ends = sides[0], sides[1], (ends[0], ends[1])
    found.stage = "done"
    r, p = match(ends[0].atoms, found.reactant.atoms), match(ends[1].atoms, found.product.atoms)
    found.verdict = _VERDICTS[r, p][0]


def _score(found: Reaction, first: Stationary, last: Stationary) -> tuple[int, float]:
    """How well the ends of a path are the reactant and the product: bonds, then geometry."""
    assert found.reactant is not None and found.product is not None
    r, p = found.reactant.atoms, found.product.atoms
    return match(first.atoms, r) + match(last.atoms, p), -rmsd(first.atoms, r) - rmsd(last.atoms, p)
