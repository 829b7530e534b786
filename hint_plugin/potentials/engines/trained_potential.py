"""A trained potential as teacher: an artifact of `hint export`, or a MACE `.model` file. For distillation.

Hessians are exact second derivatives, not differences, and so are products Hv with an artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray
from scipy.sparse import bsr_matrix, csr_matrix

from hint_plugin.data.file_io import file_sha256
from hint_plugin.data.structures.electrons import refuse_unknown_electrons
from hint_plugin.errors import DataError, EngineError, OptionsError
from hint_plugin.potentials.checkpoints import load_trained
from hint_plugin.potentials.engine import HessianMode, SinglePoint
from hint_plugin.potentials.potential import Potential
from hint_plugin.potentials.structure_checks import check_structure, moved
from hint_plugin.pretrained import or_path
from hint_plugin.settings import option


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Options of `model`."""

    model: Path = option(
        "of hint export or hint model list; or a MACE .model (a pickle: only if you trust it)"
    )
    device: str = option("of torch: cpu, cuda", "cpu")
    dtype: Literal["float32", "float64"] | None = option("the model's own if none", "float64")
    head: str | None = option("of a multihead model", None)
    step: float = option("length of a displacement, A, where differences are asked for", 1e-3)


class Model:
    """The engine `model`.

    Attributes:
        refused: options that it will never have -> why, for the error (`registry.check_engine`).

    Args:
        options: the file and where it runs.
    """

    Options = ModelOptions
    refused = dict.fromkeys(
        ("charge", "multiplicity"),
        "a trained potential sees elements and positions alone: it would answer with the energy of the "
        "neutral molecule in its lowest multiplicity. Take an engine, as in --engine gfn2-xtb",
    )
    name = "model"
    translation_invariant = True

    def __init__(self, options: ModelOptions) -> None:
        self.options, self.step = options, options.step
        path = or_path(options.model)
        self.method = path.name
        self.potential: Potential = load_trained(
            path, device=options.device, dtype=options.dtype, head=options.head
        )
        self._provenance = self.potential.provenance()

    @classmethod
    def check(cls, options: ModelOptions) -> None:
        """Raises OptionsError if the file does not exist."""
        if not or_path(options.model).is_file():
            raise OptionsError(f"model {options.model}: no such file")

    @classmethod
    def settings(cls, options: ModelOptions, hessian: HessianMode = "none") -> dict[str, Any]:
        """The file, its hash; precision and head where they are options, else the model has its own."""
        path = or_path(options.model)
        found: dict[str, Any] = {"engine": cls.name, "method": path.name}
        found["model_sha256"] = file_sha256(path)
        found |= {"dtype": options.dtype, "head": options.head}
        return found | ({"derivatives": "analytic"} if hessian != "none" else {})

    @classmethod
    def of_structure(cls, options: ModelOptions, atoms: Atoms) -> dict[str, Any]:
        """Nothing: what a structure says of its electrons is refused, or a matter of the model."""
        return {}

    def provenance(self) -> dict[str, Any]:
        """The file, its hash, the precision."""
        return dict(self._provenance)

    def prepare(self, atoms: Atoms) -> PreparedModel:
        """One structure.

        Raises:
            EngineError: no atoms, positions that are not finite, or a charge or multiplicity that the model
                does not know.
        """
        self._check_structure(atoms)
        return PreparedModel(self.potential, atoms)

    def single_points(self, frames: Sequence[Atoms]) -> list[SinglePoint]:
        """Of many structures at once, in their order. Raises EngineError as one does."""
        for atoms in frames:
            self._check_structure(atoms)
        try:
            return [_single_point(found) for found in self.potential.evaluate(frames)]
        except DataError as error:
            raise EngineError(str(error), "element") from error

    def _check_structure(self, atoms: Atoms) -> None:
        check_structure(atoms)
        try:
            refuse_unknown_electrons(atoms, atoms.get_chemical_formula(), self.potential.electrons)
        except DataError as error:
            raise EngineError(str(error), "electrons") from error


class PreparedModel:
    """One structure."""

    derivatives: str | None = None

    def __init__(self, potential: Potential, atoms: Atoms) -> None:
        self._potential, self._atoms = potential, atoms
        self._products: Callable[[NDArray], NDArray] | None = None
        self.provenance: dict[str, Any] = {}

    def single_point(self, positions: NDArray | None = None) -> SinglePoint:
        """Energy, forces, stress where periodic. Raises EngineError for elements the model does not know."""
        return _single_point(
            self._predict(self._atoms if positions is None else moved(self._atoms, positions))
        )

    def forces_at(self, positions: NDArray) -> NDArray:
        """Forces [N, 3] in eV/A."""
        return _array(self._predict(moved(self._atoms, positions)).forces)

    def analytic_hessian(self) -> NDArray:
        """[3N, 3N] in eV/A^2 by automatic differentiation."""
        return _array(self._predict(self._atoms, hessian=True).hessian)

    def products(self, probes: NDArray) -> NDArray:
        """Exact H v for v [K, N, 3]; by way of the Hessian where the potential has no product of its own."""
        if self._products is None:
            at = getattr(self._potential, "products_at", None)
            self._products = at(self._atoms) if at else partial(self._potential.hvp, self._atoms)
        return np.asarray(self._products(probes), dtype=float)

    def third(self) -> Callable[[NDArray], NDArray] | None:
        """v [K, N, 3] -> D^3E[v, v] where the potential differentiates a third time."""
        at = getattr(self._potential, "third_at", None)
        return None if at is None else at(self._atoms)

    def hessian_pattern(self) -> csr_matrix | None:
        """Which blocks of the Hessian can differ from zero, where the potential knows."""
        return self._potential.hessian_pattern(self._atoms)

    def sparse_hessian(self) -> bsr_matrix:
        """The Hessian in blocks, of few products where the potential knows its reach."""
        return self._potential.sparse_hessian(self._atoms)

    def _predict(self, atoms: Atoms, hessian: bool = False) -> Any:
        try:
            (found,) = self._potential.predict([atoms], hessian=hessian)
        except DataError as error:
            raise EngineError(str(error), "element") from error
        _refuse_infinite(found)
        return found


def _single_point(found: Any) -> SinglePoint:
    """Of a prediction or an evaluation."""
    _refuse_infinite(found)
    stress = None if found.stress is None else full_3x3_to_voigt_6_stress(_array(found.stress))
    return SinglePoint(float(found.energy), _array(found.forces), stress)


def _refuse_infinite(found: Any) -> None:
    if not np.isfinite(found.energy) or not np.isfinite(_array(found.forces)).all():
        raise EngineError("the model predicts NaN or infinity", "program")


def _array(values: Any) -> NDArray:
    return np.asarray(values, dtype=float)
