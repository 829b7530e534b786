"""What an electronic-structure engine is to HINT, and how a label is made from one.

An engine is prepared for one structure and then asked for forces at displaced positions; everything else, the
Hessian, its products and their noise, follows by central differences (`differences.py`). An engine with an
analytic Hessian says so by returning it from `analytic_hessian`, one with exact products from `products`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.sparse import bsr_matrix, csr_matrix

from hint_plugin.data.labels.gate import examine
from hint_plugin.data.labels.label import HessianLabel, rademacher
from hint_plugin.data.labels.single_point import SinglePoint
from hint_plugin.data.labels.thresholds import Thresholds
from hint_plugin.errors import EngineError, OptionsError
from hint_plugin.potentials import differences

HessianMode = Literal["full", "rows", "projected", "none"]

_PROBES_FOR_PAIR_NOISE = 4  # six pairs; fewer can agree by chance


class Prepared(Protocol):
    """An engine set up for one structure.

    Attributes:
        provenance: what belongs to this structure of how its labels are made.
        derivatives: what labels tell about their differences, where there is something to tell.
    """

    provenance: dict[str, Any]
    derivatives: str | None

    def single_point(self, positions: NDArray | None = None) -> SinglePoint:
        """At the structure itself, or at positions [N, 3] near it. Raises EngineError."""

    def forces_at(self, positions: NDArray) -> NDArray:
        """Forces [N, 3] in eV/A at positions [N, 3] near the structure. Raises EngineError."""

    def analytic_hessian(self) -> NDArray | None:
        """[3N, 3N] in eV/A^2, or None: then central differences of `forces_at` are taken."""

    def products(self, probes: NDArray) -> NDArray | None:
        """Exact H v for v [K, N, 3], or None: then central differences of `forces_at` are taken."""

    def hessian_pattern(self) -> csr_matrix | None:
        """[N, N] boolean: which 3 x 3 blocks of the Hessian can differ from zero; None: not known."""

    def sparse_hessian(self) -> bsr_matrix | None:
        """The Hessian in blocks of 3 x 3 from few products; None: there is no such way."""


class ByDifferences:
    """The part of `Prepared` for an engine that knows forces only.

    Attributes:
        derivatives: what labels tell about their differences, where there is something to tell.
    """

    derivatives: str | None = None

    def analytic_hessian(self) -> NDArray | None:
        """None: there is no analytic one."""
        return None

    def products(self, probes: NDArray) -> NDArray | None:
        """None: there are no exact ones."""
        return None

    def hessian_pattern(self) -> csr_matrix | None:
        """None: not known."""
        return None

    def sparse_hessian(self) -> bsr_matrix | None:
        """None: there is no such way."""
        return None


class Engine(Protocol):
    """A method that labels structures.

    One that computes many structures faster together than one by one may have a method `single_points(frames)
    -> list[SinglePoint]`, with the errors of `prepare` and `Prepared.single_point`; `EnginePotential`
    calls it.

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

    @classmethod
    def settings(cls, options: Any, hessian: HessianMode = "none") -> dict[str, Any]:
        """How labels are made, the same for all structures: names, versions, accuracy, step; and
        `derivatives` of Hessians that are analytic. None is what is known after a run only. Loads nothing.
        """

    @classmethod
    def of_structure(cls, options: Any, atoms: Atoms) -> dict[str, Any]:
        """What belongs to one structure: charge, multiplicity, k points. Raises EngineError."""

    def prepare(self, atoms: Atoms) -> Prepared:
        """Set up for one structure. Raises EngineError where the engine cannot treat it."""

    def provenance(self) -> dict[str, Any]:
        """The settings, with what the engine knows now that it is made."""


@dataclass(frozen=True)
class Labels:
    """All that was computed for one structure."""

    point: SinglePoint
    hessian: HessianLabel | None
    provenance: dict[str, Any] = field(default_factory=dict)


def make_labels(
    engine: Engine,
    atoms: Atoms,
    hessian: HessianMode = "full",
    *,
    n_probes: int = 1,
    rng: np.random.Generator | None = None,
    row_atoms: Sequence[int] | NDArray | None = None,
) -> Labels:
    """Energy, forces, stress where periodic, and the Hessian in the wanted form, of one structure.

    By differences, a *full* Hessian costs 6(N - 1) forces (6N where a grid is fixed in space) and is
    symmetrised; half of what the symmetrisation changed is its noise. The *rows* of m atoms cost 6m forces.
    A *projected* one costs 2K forces along K Rademacher probes, and 2 more where K < 4, to see its noise.

    Args:
        engine: what computes.
        atoms: the structure.
        hessian: "full", "rows", "projected" or "none".
        n_probes: K, for "projected".
        rng: where the probes come from; needed for "projected".
        row_atoms: indices of the m atoms, for "rows".

    Raises:
        EngineError: the engine cannot treat the structure, or did not converge.
        OptionsError: "projected" without rng, or "rows" without atoms.
    """
    if hessian == "projected" and rng is None:
        raise OptionsError("projected labels need a random generator: pass rng")
    if hessian == "rows" and row_atoms is None:
        raise OptionsError("rows need atoms: pass row_atoms (hint label: --atoms)")
    prepared = engine.prepare(atoms)
    point = prepared.single_point()
    provenance = {**engine.provenance(), **prepared.provenance, "hessian": hessian}
    if hessian == "none":
        return Labels(point, None, provenance)
    if hessian == "full":
        label = _full(engine, prepared, atoms)
    elif hessian == "rows":
        label = _rows(engine, prepared, atoms, np.unique(np.asarray(row_atoms, dtype=np.int64)))
    elif rng is not None:
        label = _projected(engine, prepared, atoms, rademacher(n_probes, len(atoms), rng))
    label = replace(label, provenance={**provenance, **label.provenance})
    return Labels(point, label, dict(label.provenance))


def refuse_unphysical(engine: Engine, atoms: Atoms, labels: Labels) -> None:
    """Raise EngineError where a new Hessian breaks a law of physics: its program or calculator is wrong.

    A trained model is held to the sum rule and to rotations alone: how stiff its bonds are is its own affair.
    """
    if labels.hessian is None:
        return
    limits = Thresholds.own(labels.hessian.noise, rules_of_thumb=engine.name != "model")
    problems = examine(labels.hessian, atoms, labels.point.forces, limits).problems
    if problems:
        raise EngineError(f"{engine.name}: {problems[0]}", "physics")


def _full(engine: Engine, prepared: Prepared, atoms: Atoms) -> HessianLabel:
    matrix, about = prepared.analytic_hessian(), {}
    if matrix is None:
        about = {} if prepared.derivatives is None else {"derivatives": prepared.derivatives}
        found = differences.hessian(
            prepared.forces_at,
            atoms.positions,
            engine.step,
            translation_invariant=engine.translation_invariant,
        )
        matrix, noise, asymmetry = found.matrix, found.noise, found.asymmetry
    else:
        noise, asymmetry = differences.hessian_noise(matrix)
        matrix, about = 0.5 * (matrix + matrix.T), {"derivatives": "analytic"}
    origin = "asymmetry"
    if engine.translation_invariant:
        # an analytic matrix is symmetric to rounding, whatever its integration grid does to it; and so are
        # differences of forces that do not follow the grid
        drift = differences.translation_noise(matrix)
        noise, origin = max((noise, origin), (drift, "acoustic-sum-rule"))
    provenance = {"asymmetry": asymmetry, "noise_from": origin, **about}
    return HessianLabel.full(matrix, noise=noise, provenance=provenance)


def _rows(engine: Engine, prepared: Prepared, atoms: Atoms, chosen: NDArray) -> HessianLabel:
    columns = (3 * chosen[:, None] + np.arange(3)).ravel()
    units = np.eye(3 * len(atoms))[columns].reshape(len(columns), len(atoms), 3)
    exact = prepared.products(units)
    products = exact
    if products is None:
        products = differences.hvp(prepared.forces_at, atoms.positions, units, engine.step)
    found = differences.rows_from_products(products, columns)
    provenance = {"asymmetry": found.asymmetry, "noise_from": "asymmetry of the block"}
    if exact is not None:
        provenance["derivatives"] = "analytic"
    return HessianLabel.rows(found.matrix, chosen, len(atoms), noise=found.noise, provenance=provenance)


def _projected(engine: Engine, prepared: Prepared, atoms: Atoms, probes: NDArray) -> HessianLabel:
    exact, about = prepared.products(probes), {}
    noise: float | None
    if exact is not None:
        hvp, about = exact, {"derivatives": "analytic"}
        noise, origin = differences.pair_noise(probes, hvp) if len(probes) > 1 else None, "probe-pairs"
    else:
        hvp = differences.hvp(prepared.forces_at, atoms.positions, probes, engine.step)
        if len(probes) >= _PROBES_FOR_PAIR_NOISE:
            noise, origin = differences.pair_noise(probes, hvp), "probe-pairs"
        else:
            coarse = differences.hvp(prepared.forces_at, atoms.positions, probes[:1], 2 * engine.step)
            noise, origin = differences.step_noise(probes[:1], hvp[:1], coarse), "step-doubling"
    if noise is not None:
        about["noise_from"] = origin
    return HessianLabel.projected(probes, hvp, noise=noise, provenance=about)
