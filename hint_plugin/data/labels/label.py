"""`HessianLabel`: what is known about the second derivatives of the energy at one geometry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hint_plugin.data.labels.real_numbers import real_numbers
from hint_plugin.errors import LabelError

Kind = Literal["full", "rows", "projected"]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HessianLabel:
    """Second derivatives H = d2E/dx dx of one structure, in full or in part, in eV/A^2.

    Rows and columns run over (atom, axis), row-major: element (3a + i, 3b + j). Make one with `full`, `rows`
    or `projected`, which check shapes and finiteness and raise `LabelError`.

    | kind | what is stored | shape |
    |---|---|---|
    | full | `hessian` | [3N, 3N] |
    | rows | `hessian` = H[A, :], `atoms` = A, ascending | [3m, 3N], [m] |
    | projected | `probes` v_k, `hvp` H v_k | [K, N, 3] each |

    Attributes:
        kind: which of the three.
        n_atoms: N.
        provenance: how it was made: method, engine, versions, step, seed, charge, multiplicity ...
        noise: standard error of one element of H, eV/A^2; None when unknown.
        weight: factor of this label in the loss, relative to other labels (>= 0).
    """

    kind: Kind
    n_atoms: int
    hessian: FloatArray | None = None
    atoms: NDArray[np.int64] | None = None
    probes: FloatArray | None = None
    hvp: FloatArray | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    noise: float | None = None
    weight: float = 1.0

    @classmethod
    def full(cls, hessian: ArrayLike, *, n_atoms: int | None = None, **about: Any) -> HessianLabel:
        """A complete Hessian.

        Args:
            hessian: [3N, 3N], also flat [9 N^2] or [N, 3, N, 3], eV/A^2.
            n_atoms: N, when the shape is to be checked against a structure.
            **about: `provenance`, `noise`, `weight`.

        Raises:
            LabelError: wrong shape, NaN or infinity.
        """
        matrix = _numbers(hessian, "the Hessian")
        n = n_atoms if n_atoms is not None else round(np.sqrt(matrix.size)) // 3
        flat_or_blocks = matrix.shape in ((9 * n * n,), (n, 3, n, 3))
        if matrix.shape != (3 * n, 3 * n) and not flat_or_blocks:
            raise LabelError(f"the Hessian has shape {matrix.shape}; wanted {(3 * n, 3 * n)} for {n} atoms")
        return cls("full", n, hessian=matrix.reshape(3 * n, 3 * n), **_about(about))

    @classmethod
    def rows(
        cls, hessian_rows: ArrayLike, atoms: Sequence[int] | NDArray[Any], n_atoms: int, **about: Any
    ) -> HessianLabel:
        """The rows H[A, :] of some atoms A.

        Args:
            hessian_rows: [3m, 3N] in the order of `atoms`, eV/A^2.
            atoms: [m] distinct indices in 0 .. N-1; stored in ascending order.
            n_atoms: N.
            **about: `provenance`, `noise`, `weight`.

        Raises:
            LabelError: wrong shape, repeated or impossible indices, NaN or infinity.
        """
        matrix = _numbers(hessian_rows, "the block of Hessian rows")
        index = np.asarray(atoms, dtype=np.int64).reshape(-1)
        if (
            index.size == 0
            or index.min() < 0
            or index.max() >= n_atoms
            or len(set(index.tolist())) != index.size
        ):
            raise LabelError(f"row atoms {index.tolist()}; wanted distinct indices in 0 .. {n_atoms - 1}")
        if matrix.shape != (3 * index.size, 3 * n_atoms):
            raise LabelError(
                f"the block of Hessian rows has shape {matrix.shape}; wanted {(3 * index.size, 3 * n_atoms)} "
                f"for {index.size} of {n_atoms} atoms"
            )
        order = np.argsort(index)
        matrix = matrix.reshape(index.size, 3, 3 * n_atoms)[order].reshape(matrix.shape)
        return cls("rows", n_atoms, hessian=matrix, atoms=index[order], **_about(about))

    @classmethod
    def projected(cls, probes: ArrayLike, hvp: ArrayLike, **about: Any) -> HessianLabel:
        """Pairs (v_k, H v_k): a *projected* label.

        Args:
            probes: [K, N, 3] or [N, 3], in A (or dimensionless: only the ratio hvp/probe matters).
            hvp: the same shape, eV/A^2 times the unit of the probes.
            **about: `provenance`, `noise`, `weight`.

        Raises:
            LabelError: wrong or different shapes, a zero probe, NaN or infinity.
        """
        v, hv = _numbers(probes, "the probes"), _numbers(hvp, "the products Hv")
        if v.shape != hv.shape:
            raise LabelError(
                f"the probes have shape {v.shape} and the products Hv {hv.shape}; wanted the same"
            )
        if v.ndim == 2:
            v, hv = v[None], hv[None]
        if v.ndim != 3 or v.shape[2] != 3 or 0 in v.shape:
            raise LabelError(f"the probes have shape {v.shape}; wanted [K, N, 3]")
        zero = np.flatnonzero(np.abs(v).max(axis=(1, 2)) == 0)
        if zero.size:
            raise LabelError(f"probe {zero[0]} is zero everywhere: it measures nothing")
        return cls("projected", v.shape[1], probes=v, hvp=hv, **_about(about))

    @property
    def n_probes(self) -> int:
        """K of a projected label, 0 otherwise."""
        return 0 if self.probes is None else len(self.probes)

    def with_noise(self, noise: float | None) -> HessianLabel:
        """The same label with another noise, eV/A^2."""
        return replace(self, noise=noise)

    def along(self, probes: ArrayLike) -> HessianLabel:
        """The pairs (v, Hv) along given probes: [K, N, 3] or [N, 3].

        A rows label knows, by symmetry, the columns H[:, A] as well, hence Hv for every v that is zero
        outside A.

        Raises:
            LabelError: the label is projected already, the shape is wrong, or a probe of a rows label reaches
                atoms outside A.
        """
        v = _numbers(probes, "the probes")
        v = v[None] if v.ndim == 2 else v
        if v.ndim != 3 or v.shape[1:] != (self.n_atoms, 3):
            raise LabelError(f"the probes have shape {v.shape}; wanted [K, {self.n_atoms}, 3]")
        if self.hessian is None:
            raise LabelError("a projected label cannot be projected again: only its own probes are known")
        if self.atoms is None:
            hv = v.reshape(len(v), -1) @ self.hessian.T
        else:
            outside = np.setdiff1d(np.arange(self.n_atoms), self.atoms)
            if np.any(v[:, outside]):
                raise LabelError(
                    "the probe moves atoms whose rows are not labelled; keep it zero outside them"
                )
            hv = v[:, self.atoms].reshape(len(v), -1) @ self.hessian
        about = {"provenance": self.provenance, "noise": self.noise, "weight": self.weight}
        return HessianLabel.projected(v, hv.reshape(v.shape), **about)

    def to_projected(self, n_probes: int, rng: np.random.Generator) -> HessianLabel:
        """Pairs along K Rademacher probes (entries +-1; for a rows label on the labelled atoms only).

        Raises:
            LabelError: the label is projected already.
        """
        v = np.zeros((n_probes, self.n_atoms, 3))
        where = slice(None) if self.atoms is None else self.atoms
        v[:, where] = rademacher(n_probes, v[0, where].shape[0], rng)
        return self.along(v)


def rademacher(n_probes: int, n_atoms: int, rng: np.random.Generator) -> FloatArray:
    """K probes with independent entries +-1: [K, N, 3]; E[v v^T] = 1."""
    return (2 * rng.integers(0, 2, size=(n_probes, n_atoms, 3)) - 1).astype(np.float64)


def _numbers(values: ArrayLike, what: str) -> FloatArray:
    try:
        array = real_numbers(values)
    except (TypeError, ValueError) as error:
        raise LabelError(f"{what} is not a rectangular array of numbers ({error})") from error
    bad = np.argwhere(~np.isfinite(array))
    if bad.size:
        first = tuple(int(i) for i in bad[0])
        raise LabelError(f"{what} holds {len(bad)} NaN or infinite values, the first at {first}")
    return array


def _about(about: dict[str, Any]) -> dict[str, Any]:
    unknown = set(about) - {"provenance", "noise", "weight"}
    if unknown:
        raise TypeError(f"unknown argument {sorted(unknown)[0]!r}; wanted provenance, noise or weight")
    weight, noise = float(about.get("weight", 1.0)), about.get("noise")
    if not np.isfinite(weight) or weight < 0:
        raise LabelError(f"the label's weight is {weight}; wanted a finite number >= 0")
    if noise is not None and not (np.isfinite(noise) and noise >= 0):
        raise LabelError(f"the label's noise is {noise}; wanted a finite number >= 0, in eV/A^2")
    noise = None if noise is None else float(noise)
    return {"provenance": dict(about.get("provenance") or {}), "noise": noise, "weight": weight}
