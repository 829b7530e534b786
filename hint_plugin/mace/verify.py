"""What is checked of a model before its first step, on one structure: the labelled one with most edges.

================== ============================================================= ==========================
what               compared with                                                 wrong where
================== ============================================================= ==========================
HINT's kernels     MACE's own code: E, F, H v and the parameters' gradients       a MACE whose parts changed
forces             differences of energies                                        a basis without derivative
H v                differences of forces                                          no third derivative
gradient of H v    a difference over the parameters                               a wrong third derivative
================== ============================================================= ==========================

The numbers are those of `hint_plugin.core.derivatives`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from ase import Atoms
from torch import Tensor

from hint_plugin.core.derivatives import (
    GRADIENT_TOLERANCE,
    force_deviation,
    gradient_deviation,
    product_deviation,
)
from hint_plugin.core.hvp import hvp_by_difference, hvp_from_forces
from hint_plugin.core.losses import LossMode
from hint_plugin.core.probes import ProbeKind, draw_probes, structure_generator
from hint_plugin.errors import HintError
from hint_plugin.mace import kernels
from hint_plugin.mace.loss import FORCES_WITH_GRAPH
from hint_plugin.mace.survey import Survey
from hint_plugin.models.registry import architecture_of

#: Between HINT's kernels and MACE's code: rounding, the more the higher the derivative.
KERNEL_TOLERANCE = {torch.float64: 1e-6, torch.float32: 2e-2}
#: A root mean square of H v, eV/A^2, below which it counts as zero.
NOTHING = 1e-6


class Structure:
    """One structure of a loader's data as a batch, and a model's answers for it.

    Args:
        model: MACE's model.
        loader: whose data set holds the structure.
        index: its number there.
        device: of the model.
    """

    def __init__(self, model: torch.nn.Module, loader: Any, index: int, device: Any) -> None:
        self.model = model
        self.batch = loader.collate_fn([loader.dataset[index]]).to(device).to_dict()
        self.positions: Tensor = self.batch["positions"].detach()
        self.dtype = self.positions.dtype
        generator = structure_generator(0, 0, index)
        self.probe = draw_probes(ProbeKind.RADEMACHER, 1, len(self.positions), generator, dtype=self.dtype)
        self.probe = self.probe.to(self.positions.device)

    def __str__(self) -> str:
        numbers = self.model.get_buffer("atomic_numbers")[self.batch["node_attrs"].argmax(dim=-1)]
        formula = Atoms(numbers.tolist()).get_chemical_formula()
        return f"{formula} ({len(numbers)} atoms, {self.batch['edge_index'].shape[1]} edges)"

    def evaluate(self, positions: Tensor, *, graph: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """(energy of the interactions, forces, the leaf of positions) at ``positions`` [n, 3]."""
        leaf = positions.detach().clone()
        out = self.model({**self.batch, "positions": leaf}, **{**FORCES_WITH_GRAPH, "training": graph})
        # the energies of the lone atoms are large, and their rounding with them
        # PolarMACE's interaction_energy is a part of the energy but E0s; here it is all of it
        alone = type(self.model).__name__ == "ScaleShiftMACE" or architecture_of(self.model) is not None
        return out["interaction_energy" if alone else "energy"].sum(), out["forces"], leaf

    def forces(self, positions: Tensor) -> Tensor:
        """F [n, 3]."""
        return self.evaluate(positions)[1].detach()


def check_kernels(
    model: torch.nn.Module, seen: Survey, loader: Any, device: Any, *, products: bool = True
) -> None:
    """Compare the model by HINT's kernels with the model by MACE's own code, with H v where ``products``.

    Raises:
        HintError: they differ, or a kernel cannot be made for a part of this MACE.
    """
    if seen.best is None:
        return
    remedy = "use --hint_kernels mace, and report this version of MACE (`hint doctor` names those tested)"
    try:
        fast = kernels.replacements(model)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise HintError(f"HINT's kernels do not fit this MACE ({_first_line(error)}); {remedy}") from error
    if not fast:
        return
    structure = Structure(model, loader, seen.best, device)
    with kernels.use(model, "mace"):
        stock = _derivatives(structure, products)
    try:
        with kernels.use(model, "mace"), kernels.in_place(fast):
            found = _derivatives(structure, products)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise HintError(f"HINT's kernels do not fit this MACE ({_first_line(error)}); {remedy}") from error
    for name, wanted in stock.items():
        difference = _relative(found[name], wanted)
        if not difference <= KERNEL_TOLERANCE[structure.dtype]:  # NaN does not agree
            raise HintError(
                f"HINT's kernels differ from this MACE's own code by {difference:.1e} (relative, {name} of "
                f"{structure}); {remedy}"
            )


def _derivatives(structure: Structure, products: bool) -> dict[str, Tensor]:
    """Energy, forces, H v, and the gradients to the parameters of a sum of their squares."""
    energy, forces, leaf = structure.evaluate(structure.positions, graph=True)
    found = {"the energy": energy.reshape(1), "forces": forces}
    if products and forces.requires_grad:
        found["H v"] = hvp_from_forces(forces, leaf, structure.probe)
    trained = [p for p in structure.model.parameters() if p.requires_grad]
    total = energy.new_zeros(())
    for x in found.values():  # each of them counts the same, whatever its size
        total = total + x.square().sum() / x.detach().square().sum().clamp_min(NOTHING)
    if trained and total.requires_grad:
        gradients = torch.autograd.grad(total, trained, allow_unused=True, materialize_grads=True)
        found["gradients of the parameters"] = torch.cat([gradient.flatten() for gradient in gradients])
    return {name: value.detach() for name, value in found.items()}


def check_derivatives(model: torch.nn.Module, mode: LossMode, seen: Survey, loader: Any, device: Any) -> None:
    """Compare forces with differences of energies and, where it is used, H v with differences of forces.

    A model can be wrong in the second while its forces are right: kernels without a third derivative,
    compiled models. Where forces are no derivatives of the energy, no Hessian is right.

    Raises:
        HintError: two of these differ, H v cannot be differentiated to the parameters, or there is no
            structure with an edge to compare them on.
    """
    if seen.best is None or seen.edges < 1:
        raise HintError(
            "H v of this model cannot be compared with anything: no labelled structure looked at has "
            "two atoms within --r_max of each other. Look at the data; --hint_check no skips this check"
        )
    structure = Structure(model, loader, seen.best, device)
    said = [_check_forces(structure)]
    if mode.analytic:
        said.append(_check_products(structure))
    logging.info(f"HINT: checked on {structure}: {', '.join(said)}")


def _check_forces(structure: Structure) -> str:
    found = force_deviation(lambda x: structure.evaluate(x)[:2], structure.positions, structure.dtype)
    if found is None:
        return (
            "forces could not be compared with energies: they vanish, or rounding of the energies hides them"
        )
    if found.agrees(structure.dtype):
        return f"forces agree with differences of energies to {found.relative:.1e}"
    if any(type(module).__name__ == "ChebychevBasis" for module in structure.model.modules()):
        advice = (
            "MACE's --radial_type chebyshev is the reason: PyTorch has no right derivative for it. Use "
            "--radial_type bessel or gaussian"
        )
    else:
        advice = "Differences of such forces are no Hessian either, so no loss of HINT can train this model"
    raise HintError(
        f"forces of this model differ from differences of its energies by {found.relative:.1e} (relative), "
        f"on {structure}. {advice}; --hint_check no skips this check"
    )


def _check_products(structure: Structure) -> str:
    remedy = "use --loss hint_difference, which needs forces only"
    products: list[Tensor] = []

    def squares() -> Tensor:
        _, forces, leaf = structure.evaluate(structure.positions, graph=True)
        products.append(hvp_from_forces(forces, leaf, structure.probe))
        return products[-1].square().sum()

    try:
        gradient = gradient_deviation(squares, [p for p in structure.model.parameters() if p.requires_grad])
    except RuntimeError as error:
        raise HintError(f"H v of this model cannot be trained ({_first_line(error)}); {remedy}") from error
    differences = hvp_by_difference(structure.forces, structure.positions, structure.probe)
    found, size = product_deviation(products[0], differences), float(differences.square().mean().sqrt())
    if found is not None and not found.agrees(structure.dtype):
        raise HintError(
            f"H v of this model differs from differences of its forces by {found.relative:.1e} (relative), "
            f"on {structure}; {remedy}, or skip this check with --hint_check no"
        )
    if found is None or size < NOTHING:
        return "H v is zero as yet, so it could not be compared"
    said = f"H v agrees with differences of forces to {found.relative:.1e}"
    if gradient is None:
        return f"{said} (relative)"
    if not gradient.agrees(structure.dtype, GRADIENT_TOLERANCE):
        raise HintError(
            f"the gradient of H v to the parameters differs from differences by {gradient.relative:.1e} "
            f"(relative), on {structure}: a third derivative of this model is wrong; {remedy}, or skip this "
            "check with --hint_check no"
        )
    return f"{said}, its gradient to the parameters with differences to {gradient.relative:.1e} (relative)"


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _relative(a: Tensor, b: Tensor) -> float:
    """|a - b| / |b|; b counts as no smaller than 1e-3 in each component."""
    scale = float(b.detach().norm().clamp_min(1e-3 * b.numel() ** 0.5))
    return float((a.detach() - b.detach()).norm()) / scale


def on_first_process(rank: int, device: Any, action: Callable[[], None]) -> None:
    """Run ``action`` on process 0; where it fails, all processes end, and none waits for it.

    Raises:
        HintError: what ``action`` raised, on the others as well.
    """
    error: Exception | None = None
    if rank == 0:
        try:
            action()
        except Exception as found:  # whatever it is, the others have to know; it is raised again below
            error = found
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        said = [None if error is None else f"{type(error).__name__}: {error}"]
        torch.distributed.broadcast_object_list(said, src=0, device=torch.device(device))
        if rank != 0 and said[0] is not None:
            raise HintError(f"process 0 has stopped: {said[0]}")
    if error is not None:
        raise error
