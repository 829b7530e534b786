"""What `reaction_methods.py` measures with: gradients that are counted, CPU time of two processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.labelling import EngineCalculator, make_engine
from hint_plugin.science.reactions.methods import reactbench
from hint_plugin.science.reactions.methods.conversation import Program


class Counted:
    """GFN2-xTB for searches, and how many gradients and Hessians it was asked for."""

    def __init__(self) -> None:
        self.calculator: Any = EngineCalculator(make_engine("gfn2-xtb"))
        self.alone, self.hessians, self._atoms = 0, 0, 0
        potential = self.calculator.potential
        one, many, whole = self.calculator._evaluate, potential.evaluate, potential.hessian

        def single(atoms: Atoms) -> Any:
            self.alone += 1
            return one(atoms)

        def several(frames: list[Atoms]) -> Any:
            self.alone += len(frames)
            return many(frames)

        def hessian(atoms: Atoms) -> Any:
            self.hessians, self._atoms = self.hessians + 1, len(atoms)
            return whole(atoms)

        self.calculator._evaluate, potential.evaluate, potential.hessian = single, several, hessian

    def reset(self) -> None:
        """Begin at zero."""
        self.alone, self.hessians = 0, 0

    @property
    def gradients(self) -> int:
        """All together: a Hessian by differences takes 6 for each atom but one, and one more."""
        return self.alone + self.hessians * (6 * (self._atoms - 1) + 1)


class Kept:
    """pysisyphus for all reactions: started where there is none, and not ended after each reaction.

    HINT starts it anew for each reaction, for 12 s of CPU time; here the searches are what is timed.
    """

    def __init__(self) -> None:
        self._program: Program | None = None
        reactbench.Program = lambda script: self._of(script)  # type: ignore[assignment, misc, return-value]

    def _of(self, script: Path) -> Kept:
        if self._program is None or self._program._process.poll() is not None:
            self.end()
            self._program = Program(script).__enter__()
        return self

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *error: object) -> None:
        """The program stays; after an interrupted job it does not."""
        if error[0] is not None:
            self.end()

    def do(self, *job: Any, **arguments: Any) -> dict[str, Any]:
        """See `Program.do`."""
        assert self._program is not None
        return self._program.do(*job, **arguments)

    def cpu_seconds(self) -> float:
        """Of the program, since its start; 0 where there is none."""
        if self._program is None or self._program._process.poll() is not None:
            return 0.0
        numbers = Path(f"/proc/{self._program._process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, numbers[11:13])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """End it."""
        if self._program is not None:
            self._program.__exit__(None, None, None)
            self._program = None
