"""The method `reactbench`: growing string, RS-P-RFO and EulerPC, with the settings of ReactBench.

ReactBench (github.com/deepprinciple/ReactBench) grows its string by pyGSM and finds saddles and paths by
pysisyphus; here pysisyphus does all three. Nine nodes, fifty cycles; saddle searches in redundant internal
coordinates, trust radius 0.2, a Hessian at every step, fifty steps, Gaussian's thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path as FilePath
from types import TracebackType
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.errors import EngineError
from hint_plugin.optional import check
from hint_plugin.science.molecules import Stationary
from hint_plugin.science.molecules.modes import largest_force, normal_modes
from hint_plugin.science.molecules.optimization import doubt_of
from hint_plugin.science.molecules.remarks import NOT_STATIONARY, kind_of
from hint_plugin.science.reactions.irc import Path
from hint_plugin.science.reactions.methods.conversation import Program
from hint_plugin.science.reactions.methods.method import Guess
from hint_plugin.science.reactions.reaction_settings import ReactionSettings, Say

NODES, STRING_CYCLES, SADDLE_CYCLES = 9, 50, 50
_PROGRAM = FilePath(__file__).parents[1] / "programs" / "pysisyphus_program.py"


class ReactBench:
    """See `Method`. pysisyphus runs in a process of its own for as long as this is open."""

    name = "reactbench"
    saddle_search = "rsprfo"

    def __init__(self, calculator: Any, settings: ReactionSettings, say: Say) -> None:
        self._calculator, self._settings, self._say = calculator, settings, say

    def __enter__(self) -> ReactBench:
        self._say("starting pysisyphus")
        self._program = Program(_PROGRAM).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.__exit__(kind, error, trace)

    @classmethod
    def check(cls) -> None:
        """Raises MissingDependencyError without pysisyphus, or Sella for the ends."""
        check("this method", "'.[reactions]' in HINT's folder", "sella")
        check("this method", "'.[reactbench]' in HINT's folder", "pysisyphus")

    def path(self, reactant: Atoms, product: Atoms) -> Guess:
        """A string that grows from both ends; its top lies between its images."""
        self._say("growing string")
        ends = [atoms.positions.ravel().tolist() for atoms in (reactant, product)]
        found = self._program.do(
            "string", self._moved(reactant), ends=ends, nodes=NODES, cycles=STRING_CYCLES
        )
        if not found["complete"]:
            raise EngineError(f"the string has not met after {STRING_CYCLES} cycles", "geometry")
        if not 0.5 <= found["where"] <= len(found["images"]) - 1.5:
            raise EngineError("the highest point of the string is one of its ends", "geometry")
        at = partial(self._at, reactant)
        return Guess([at(image) for image in found["images"]], found["energies"], [at(found["top"])])

    def more_paths(self, reactant: Atoms, product: Atoms, first: Guess) -> Iterator[Guess]:
        """None: the string is all that this method knows."""
        return iter(())

    def saddle(self, guess: Guess) -> Stationary:
        """From the top of the string."""
        self._say("transition state")
        start = guess.tops[0]
        found = self._program.do(
            "saddle",
            self._moved(start),
            start=start.positions.ravel().tolist(),
            method=self.saddle_search,
            cycles=SADDLE_CYCLES,
        )
        atoms = self._at(start, found["positions"])
        hessian = np.asarray(self._calculator.get_hessian(atoms))
        modes, forces = normal_modes(atoms, hessian), atoms.get_forces(apply_constraint=False)
        force = largest_force(forces)
        if not found["converged"]:
            raise EngineError(
                f"not converged: {force:.3g} eV/A left after {found['steps']} steps", "geometry"
            )
        if (kind := kind_of(modes, force)) != "transition state":
            about = f": {force:.3g} eV/A left after {found['steps']} steps" if kind == NOT_STATIONARY else ""
            raise EngineError(kind + about, "geometry")
        energy, doubt = float(atoms.get_potential_energy()), doubt_of(atoms, forces)
        return Stationary(atoms, kind, True, found["steps"], energy, force, hessian, modes, doubt)

    def follow(self, saddle: Stationary) -> tuple[Path, Path]:
        """Euler's predictor and corrector, both ways."""
        self._say("IRC")
        start = saddle.atoms
        found = self._program.do(
            "reaction_path",
            self._moved(start),
            start=start.positions.ravel().tolist(),
            cycles=self._settings.irc_steps,
        )
        first, second = (self._path(start, side) for side in found["sides"])
        return first, second

    def _path(self, start: Atoms, side: dict[str, Any]) -> Path:
        images = [self._at(start, image) for image in side["images"]]
        root = np.sqrt(start.get_masses())[:, None]
        moves = [
            np.linalg.norm(root * (b.positions - a.positions))
            for a, b in zip(images, images[1:], strict=False)
        ]
        lengths = [0.0, *np.cumsum(moves).tolist()]
        return Path(images, side["energies"], lengths, "minimum" if side["converged"] else "steps")

    def _moved(self, atoms: Atoms) -> Atoms:
        """A copy for the program to move; a copy keeps `info`: charge and spin."""
        return self._at(atoms, atoms.positions)

    def _at(self, atoms: Atoms, positions: Any) -> Atoms:
        found = atoms.copy()
        found.positions = np.reshape(positions, (-1, 3))
        found.calc = self._calculator
        return found
