"""From a reactant and a product to a transition state, what it connects, and barriers.

ends optimised ─ geodesic ─> guess ─ saddle search ─> transition state ─ IRC ─> ends optimised ─> verdict
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.errors import HintError
from hint_plugin.science.molecules import Stationary, optimize, thermochemistry
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.molecules.optimization import FORCE_TOLERANCE
from hint_plugin.science.reactions.irc import Path, follow
from hint_plugin.science.reactions.matching import match, same_atoms
from hint_plugin.science.reactions.paths import interpolate

Say = Callable[[str], None]
#: Whether the ends are the reactant and the product -> our word, ReactBench's.
_VERDICTS = {
    (True, True): ("intended", "Intended"),
    (False, True): ("reactant unintended", "R_Unintended"),
    (True, False): ("product unintended", "P_Unintended"),
    (False, False): ("unintended", "Unintended"),
}
_SAME_GEOMETRY, _SAME_ENERGY = 0.15, 0.02  # A, eV


@dataclass(frozen=True)
class ReactionSettings:
    """How a reaction is looked for.

    Attributes:
        fmax: eV/A, of ends and transition state.
        steps: of an optimisation, at most.
        images: of the first path.
        guesses: how many tops of it are tried as guesses, highest first.
        irc_steps: on each side, at most.
        temperature: K, of the Gibbs energies; pressure 1 atm.
    """

    fmax: float = FORCE_TOLERANCE
    steps: int = 300
    images: int = 17
    guesses: int = 3
    irc_steps: int = 120
    temperature: float = 298.15


@dataclass
class Reaction:
    """What was found; parts that were not reached are None.

    `verdict`: "intended" (the ends of the path have the bonds of reactant and product), "reactant
    unintended", "product unintended", "unintended", or "no transition state", "no path"; `failure` says why
    where a stage failed, and `stage` where.
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

    @property
    def verdicts(self) -> dict[str, Any]:
        """The same question at three levels; None where no path was followed.

        `reactbench`: bonds of the path's raw ends against the inputs', in ReactBench's words. `strict`: bonds
        of the optimised ends against the optimised inputs', which keep those of the inputs. `geometric`: the
        optimised ends are the optimised inputs, within 0.15 A (atoms of an element may change places) and
        0.02 eV.
        """
        if self.backward is None or self.forward is None or self.ends is None or self.inputs is None:
            return {"reactbench": None, "strict": None, "geometric": None}
        assert self.reactant is not None and self.product is not None
        r = match(self.backward.images[-1], self.inputs[0])
        p = match(self.forward.images[-1], self.inputs[1])
        near = all(
            rmsd(wanted.atoms, end.atoms, permute=True) < _SAME_GEOMETRY
            and abs(wanted.energy - end.energy) < _SAME_ENERGY
            for wanted, end in zip((self.reactant, self.product), self.ends, strict=True)
        )
        strict = self.verdict == "intended" and all(self.kept_graphs)
        return {"reactbench": _VERDICTS[r, p][1], "strict": strict, "geometric": near}

    @property
    def barriers(self) -> dict[str, float]:
        """eV: `forward`, `reverse`, `reaction` energies from the optimised ends of the inputs."""
        if self.saddle is None or self.reactant is None or self.product is None:
            return {}
        r, ts, p = self.reactant.energy, self.saddle.energy, self.product.energy
        return {"forward": ts - r, "reverse": ts - p, "reaction": p - r}

    def gibbs(self, settings: ReactionSettings) -> dict[str, float]:
        """The same for Gibbs energies, eV; empty where a part has the wrong number of imaginary modes."""
        found = {}
        parts = {"r": self.reactant, "ts": self.saddle, "p": self.product}
        for name, part in parts.items():
            if part is None or part.modes is None or len(part.modes.imaginary) != (name == "ts"):
                return {}
            # the multiplicity of all three is the same, and drops out
            found[name] = thermochemistry(
                part.modes, part.energy, temperature=settings.temperature
            ).gibbs_energy
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
            "barriers": self.barriers,
            "gibbs": self.gibbs(settings),
            "temperature": settings.temperature,
        }
        if self.saddle is not None and self.saddle.modes is not None:
            found["imaginary"] = self.saddle.modes.imaginary.tolist()
        if self.ends is not None and self.reactant is not None and self.product is not None:
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
        DataError: other atoms, or another order. What fails later is in the result: `stage`, `failure`.
    """
    same_atoms(reactant, product)
    found = Reaction(inputs=(reactant, product))
    try:
        _run(found, reactant, product, calculator, settings, say)
    except HintError as error:
        found.failure = str(error)
        found.verdict = found.verdict or ("no path" if found.saddle is not None else "no transition state")
    return found


def _run(
    found: Reaction, reactant: Atoms, product: Atoms, calculator: Any, settings: ReactionSettings, say: Say
) -> None:
    found.stage = "reactant"
    found.reactant = _optimised(reactant, calculator, settings, say, "reactant")
    found.stage = "product"
    found.product = _optimised(product, calculator, settings, say, "product")
    for end in (found.reactant, found.product):
        if not end.converged:
            found.verdict, found.failure = "no transition state", end.kind
            return
    found.kept_graphs = (match(found.reactant.atoms, reactant), match(found.product.atoms, product))
    found.stage = "guess"
    say("geodesic path")
    found.guess_path = interpolate(found.reactant.atoms, found.product.atoms, settings.images)
    for atoms in found.guess_path:
        atoms.calc = calculator
        found.guess_energies.append(float(atoms.get_potential_energy()))
    found.stage = "transition state"
    found.saddle = _saddle(found, calculator, settings, say)
    if found.saddle is None:
        found.verdict = "no transition state"
        return
    found.stage = "IRC"
    _follow(found, settings, say)


def _optimised(
    atoms: Atoms, calculator: Any, settings: ReactionSettings, say: Say, name: str, saddle: bool = False
) -> Stationary:
    start = atoms.copy()
    start.calc = calculator
    return optimize(
        start,
        saddle=saddle,
        fmax=settings.fmax,
        steps=settings.steps,
        report=lambda step, energy, force: say(f"{name}: step {step}, {force:.3f} eV/A"),
    )


def _saddle(found: Reaction, calculator: Any, settings: ReactionSettings, say: Say) -> Stationary | None:
    """From the top of the path; then from its neighbours, which may lie in another valley."""
    inner = np.argsort(-np.array(found.guess_energies[1:-1])) + 1
    for number, image in enumerate(inner[: settings.guesses], start=1):
        name = f"transition state, guess {number}"
        try:
            saddle = _optimised(found.guess_path[image], calculator, settings, say, name, saddle=True)
        except HintError as error:
            found.failure = str(error)
            continue
        if saddle.kind == "transition state":
            found.failure = ""
            return saddle
        found.failure = saddle.kind
    return None


def _follow(found: Reaction, settings: ReactionSettings, say: Say) -> None:
    saddle = found.saddle
    if saddle is None or saddle.hessian is None or found.reactant is None or found.product is None:
        return
    sides, ends = [], []
    for direction in (-1, 1):
        path = follow(
            saddle.atoms,
            saddle.hessian,
            direction,
            steps=settings.irc_steps,
            report=lambda step, energy: say(f"IRC: step {step}, {energy - saddle.energy:+.3f} eV"),
        )
        ends.append(_optimised(path.images[-1], saddle.atoms.calc, settings, say, "end of the IRC"))
        sides.append(path)
    straight = _score(found, ends[0], ends[1])
    crossed = _score(found, ends[1], ends[0])
    if crossed > straight:
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
