"""Energies, forces and stresses of many structures from one potential, several at once where it can.

A `Potential` (of `open_potential`, or behind a `HintCalculator`) gets the structures in blocks, an ASE
calculator of anybody one by one. Nothing is tried again, nothing is hidden: an error names the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from numpy.typing import NDArray

from hint_plugin.errors import EngineError, HintError
from hint_plugin.potentials.calculator_potential import CalculatorPotential, as_potential
from hint_plugin.potentials.extrapolation import outside_training, told_by_the_run

BLOCK = 50
"""Structures between two reports of progress, and in a call of `evaluate`."""

_WITHOUT = ". Where only the stress is missing, --no-stress goes on without a pressure"

Report = Callable[[int, int], None]


@runtime_checkable
class InBlocks(Protocol):
    """What answers for several structures at once: every `Potential`, and `sockets.SocketClients`.

    `method`: what it is, for messages.
    """

    method: str

    def evaluate(self, frames: Sequence[Atoms]) -> Sequence[Any]:
        """Of each structure an object with `energy` eV, `forces` [N, 3] eV/A, and `stress` [3, 3] eV/A^3 or
        None, in their order."""


@dataclass(frozen=True)
class Evaluated:
    """Of K structures: `energies` [K] eV, `forces` [K, M, 3] eV/A, `stresses` [K, 3, 3] eV/A^3 (sign as in
    ASE) or None."""

    energies: NDArray
    forces: NDArray
    stresses: NDArray | None


class Evaluator:
    """A potential for populations. It is also what python-sscha takes as `cluster=`.

        evaluator = Evaluator(HintCalculator("model.hint.pt"))
        sscha.Relax.SSCHA(minimizer, None, N_configs=500, cluster=evaluator).relax(get_stress=True)

    Args:
        calculator: a `Potential`, clients of a socket (`InBlocks`), or a calculator of ASE.
        stress: compute stresses as well.
        block: structures in a call of `evaluate`.
    """

    def __init__(self, calculator: Any, stress: bool = True, block: int = BLOCK) -> None:
        self.calculator, self.stress, self.block = calculator, stress, block
        found = calculator if isinstance(calculator, InBlocks) else as_potential(calculator)
        self._in_blocks: InBlocks | None = None if isinstance(found, CalculatorPotential) else found
        #: How many structures were evaluated, and those outside of the training: which, and what of them.
        self.evaluated = 0
        self.outside: list[tuple[str, str]] = []

    def __call__(self, frames: Sequence[Atoms], report: Report | None = None) -> Evaluated:
        """Of `frames`, all with the same number of atoms.

        Raises:
            EngineError: the potential failed, or gave NaN; the message names the configuration (from 1).
        """
        results: list[tuple[float, NDArray, NDArray | None]] = []
        for start in range(0, len(frames), self.block):
            block = list(frames[start : start + self.block])
            with told_by_the_run():
                results += self._block(block, start, len(frames))
            if report is not None:
                report(len(results), len(frames))
        for number, result in enumerate(results):
            _check(result, frames[number], number, len(frames))
            self.evaluated += 1
            if outside := outside_training(self.calculator, frames[number], result[1]):
                self.outside.append((f"configuration {self.evaluated}", outside))
        energies, forces, stresses = zip(*results, strict=True)
        return Evaluated(np.array(energies), np.array(forces), np.array(stresses) if self.stress else None)

    def _block(
        self, block: list[Atoms], start: int, count: int
    ) -> list[tuple[float, NDArray, NDArray | None]]:
        if self._in_blocks is not None:
            return self._together(self._in_blocks, block, start, count)
        return [self._single(frame, start + k, count) for k, frame in enumerate(block)]

    def compute_ensemble(self, ensemble: Any, calculator: Any = None, get_stress: bool = True) -> None:
        """Fill a `sscha.Ensemble.Ensemble`: what python-sscha asks of a cluster; `calculator` is not used.

        Raises:
            EngineError: see `__call__`.
        """
        from hint_plugin.science.anharmonic.python_sscha import cellconstructor

        units = cellconstructor().Units
        frames = [structure.get_ase_atoms() for structure in ensemble.structures]
        found = Evaluator(self.calculator, bool(get_stress), self.block)(frames)
        ensemble.energies = found.energies / units.RY_TO_EV
        ensemble.forces = found.forces / units.RY_TO_EV
        ensemble.force_computed = np.ones(len(frames), dtype=bool)
        if found.stresses is not None:
            ensemble.stresses = -found.stresses / units.RY_PER_BOHR3_TO_EV_PER_A3
            ensemble.stress_computed = np.ones(len(frames), dtype=bool)

    def _together(
        self, potential: InBlocks, block: list[Atoms], start: int, count: int
    ) -> list[tuple[float, NDArray, NDArray | None]]:
        try:
            found = potential.evaluate(block)
        except HintError as error:
            if len(block) == 1:
                raise EngineError(f"configuration {start + 1} of {count}: {error}") from error
            for k, frame in enumerate(block):  # which one it is
                self._together(potential, [frame], start + k, count)
            raise EngineError(
                f"configurations {start + 1} to {start + len(block)} of {count}: {error}"
            ) from error
        lacking = [k for k, one in enumerate(found) if self.stress and one.stress is None]
        if lacking:
            name = f"configuration {start + lacking[0] + 1} of {count}"
            raise EngineError(f"{name}: {potential.method} has no stress{_WITHOUT}")
        return [
            (float(one.energy), np.asarray(one.forces, dtype=float), one.stress if self.stress else None)
            for one in found
        ]

    def _single(self, frame: Atoms, number: int, count: int) -> tuple[float, NDArray, NDArray | None]:
        frame = frame.copy()
        frame.calc = self.calculator
        try:
            stress = frame.get_stress(voigt=False) if self.stress else None
            return (
                float(frame.get_potential_energy()),
                np.array(frame.get_forces(apply_constraint=False), dtype=float),
                stress,
            )
        except (
            Exception
        ) as error:  # a calculator of somebody else may raise anything; it is told, never hidden
            name = f"configuration {number + 1} of {count} ({frame.get_chemical_formula()})"
            lacking = self.stress and isinstance(error, (PropertyNotImplementedError, NotImplementedError))
            how = _WITHOUT if lacking else ""
            raise EngineError(f"{name}: {type(error).__name__}: {error}{how}") from error


def _check(result: tuple[float, NDArray, NDArray | None], frame: Atoms, number: int, count: int) -> None:
    energy, forces, stress = result
    name = f"configuration {number + 1} of {count} ({frame.get_chemical_formula()})"
    if forces.shape != (len(frame), 3):
        raise EngineError(f"{name}: forces of shape {forces.shape}; wanted {(len(frame), 3)}")
    for what, values in (("energy", energy), ("forces", forces), ("stress", stress)):
        if values is not None and not np.isfinite(values).all():
            raise EngineError(
                f"{name}: NaN or infinity in the {what}; is it far from what the model has learnt?"
            )
