"""What an electronic-structure engine is to HINT, and how a label is made from one.

An engine is prepared for one structure and then asked for forces at displaced positions; everything else, the
Hessian, its products and their noise, follows by central differences (`differences.py`). An engine with an
analytic Hessian says so by returning it from `analytic_hessian`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.label import HessianLabel, rademacher
from hint_plugin.errors import OptionsError
from hint_plugin.labelling import differences

HessianMode = Literal["full", "projected", "none"]

_PROBES_FOR_PAIR_NOISE = 4  # six pairs; fewer can agree by chance

ENGINES = {"gfn2-xtb": "hint_plugin.labelling.gfn2:GFN2xTB"}


@dataclass(frozen=True)
class SinglePoint:
    """Energy (eV), forces [N, 3] (eV/A), and stress [6] (eV/A^3, ASE's order and sign) for 3D-periodic
    cells."""

    energy: float
    forces: NDArray
    stress: NDArray | None = None


class Prepared(Protocol):
    """An engine set up for one structure."""

    provenance: Mapping[str, Any]

    def single_point(self) -> SinglePoint:
        """At the structure itself. Raises EngineError."""

    def forces_at(self, positions: NDArray) -> NDArray:
        """Forces [N, 3] in eV/A at positions [N, 3] near the structure. Raises EngineError."""

    def analytic_hessian(self) -> NDArray | None:
        """[3N, 3N] in eV/A^2, or None: then central differences of `forces_at` are taken."""


class Engine(Protocol):
    """A method that labels structures.

    Attributes:
        name: what `--engine` calls it.
        method: what a paper calls it.
        step: length of a displacement for differences, A.
        translation_invariant: whether moving all atoms together changes nothing (no grid fixed in space).
    """

    name: str
    method: str
    step: float
    translation_invariant: bool

    def prepare(self, atoms: Atoms) -> Prepared:
        """Set up for one structure. Raises EngineError where the engine cannot treat it."""

    def provenance(self) -> dict[str, Any]:
        """How labels are made, the same for all structures: names, versions, accuracy, step."""


@dataclass(frozen=True)
class Labels:
    """All that was computed for one structure."""

    point: SinglePoint
    hessian: HessianLabel | None
    provenance: dict[str, Any] = field(default_factory=dict)


def make_engine(name: str, **options: Any) -> Engine:
    """The engine called `name`, imported when it is needed.

    Raises:
        OptionsError: no such engine.
        MissingDependencyError: its package is not installed.
    """
    if name not in ENGINES:
        raise OptionsError(f"no engine '{name}'; there is {', '.join(ENGINES)}")
    module, _, attribute = ENGINES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)(**options)


def make_labels(
    engine: Engine,
    atoms: Atoms,
    hessian: HessianMode = "full",
    *,
    n_probes: int = 1,
    rng: np.random.Generator | None = None,
) -> Labels:
    """Energy, forces, stress where periodic, and the Hessian in the wanted form, of one structure.

    A *full* Hessian costs 6(N - 1) forces (6N where a grid is fixed in space) and is symmetrised; half of
    what the symmetrisation changed is its noise.
    A *projected* one costs 2K forces along K Rademacher probes, and 2 more where K < 4, to see its noise.

    Args:
        engine: what computes.
        atoms: the structure.
        hessian: "full", "projected" or "none".
        n_probes: K, for "projected".
        rng: where the probes come from; needed for "projected".

    Raises:
        EngineError: the engine cannot treat the structure, or did not converge.
    """
    prepared = engine.prepare(atoms)
    point = prepared.single_point()
    provenance = {**engine.provenance(), **prepared.provenance, "hessian": hessian}
    if hessian == "none":
        return Labels(point, None, provenance)
    if hessian == "full":
        found = _full_hessian(engine, prepared, atoms)
        provenance |= {"asymmetry": found.asymmetry, "noise_from": "asymmetry"}
        label = HessianLabel.full(found.matrix, noise=found.noise, provenance=provenance)
        return Labels(point, label, provenance)
    if rng is None:
        raise OptionsError("projected labels need a random generator: pass rng")
    probes = rademacher(n_probes, len(atoms), rng)
    hvp = differences.hvp(prepared.forces_at, atoms.positions, probes, engine.step)
    noise: float | None
    if n_probes >= _PROBES_FOR_PAIR_NOISE:
        noise, origin = differences.pair_noise(probes, hvp), "probe-pairs"
    else:
        coarse = differences.hvp(prepared.forces_at, atoms.positions, probes[:1], 2 * engine.step)
        noise, origin = differences.step_noise(probes[:1], hvp[:1], coarse), "step-doubling"
    provenance |= {"noise_from": origin}
    return Labels(point, HessianLabel.projected(probes, hvp, noise=noise, provenance=provenance), provenance)


def _full_hessian(engine: Engine, prepared: Prepared, atoms: Atoms) -> differences.DifferenceHessian:
    matrix = prepared.analytic_hessian()
    if matrix is not None:
        noise, asymmetry = differences.hessian_noise(matrix)
        return differences.DifferenceHessian(0.5 * (matrix + matrix.T), noise, asymmetry)
    return differences.hessian(
        prepared.forces_at,
        atoms.positions,
        engine.step,
        translation_invariant=engine.translation_invariant,
    )
