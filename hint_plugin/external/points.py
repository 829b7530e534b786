"""What a program asks of one geometry, and the answer: plain data, which travels as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

ENERGY, GRADIENT, HESSIAN = 0, 1, 2
"""Orders of derivatives."""


@dataclass(frozen=True)
class Point:
    """One geometry of N atoms and what is wanted there.

    Attributes:
        program: who asks, for messages: "Gaussian".
        elements: symbols or atomic numbers.
        positions: [3N], in `unit`.
        unit: "bohr" or "angstrom".
        charge: e.
        multiplicity: 2S + 1.
        order: of the highest derivative that is wanted: 0, 1 or 2.
        dipole_derivatives: wanted where the potential has dipole moments (6N more evaluations).
    """

    program: str
    elements: Sequence[str | int]
    positions: Sequence[float]
    unit: str
    charge: int
    multiplicity: int
    order: int = GRADIENT
    dipole_derivatives: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    """What a potential says of a `Point`, in atomic units.

    Attributes:
        method: the potential's name.
        energy: Eh.
        gradient: dE/dx [3N], Eh/bohr.
        hessian: the lower triangle of d2E/dx dx by rows [3N (3N + 1) / 2], Eh/bohr^2; None if not asked for.
        dipole: [3], e bohr; None where the potential has none.
        dipole_derivatives: d mu/d x [9N], e, the component of mu fastest; None as `dipole`.
        warnings: what was said on the way, as of a geometry outside of what the model was trained on.
    """

    method: str
    energy: float
    gradient: list[float]
    hessian: list[float] | None = None
    dipole: list[float] | None = None
    dipole_derivatives: list[float] | None = None
    warnings: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
