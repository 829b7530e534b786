"""Before a training: are a model's forces -dE/dx, and is its H v the derivative of its forces?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from ase import Atoms
from torch import Tensor

from hint_plugin.core.derivatives import (
    GRADIENT_TOLERANCE,
    Deviation,
    EnergyAndForces,
    force_deviation,
    gradient_deviation,
    product_deviation,
)
from hint_plugin.core.hvp import DIFFERENCE_STEP, hvp_by_difference
from hint_plugin.errors import HintError
from hint_plugin.nequip.batches import offsets
from hint_plugin.nequip.fields import PRODUCTS, STEP, Products
from hint_plugin.nequip.model import GraphModelWithProducts
from hint_plugin.nequip.products import force_outputs

_SKIP = "hessian: {check: false} of HessianModel skips this look"
_BY_DIFFERENCES = "take hessian: {mode: difference}, which needs forces alone"


def check_derivatives(model: GraphModelWithProducts, batch: dict[str, Tensor]) -> str:
    """Compare forces with energies and H v with forces, as the model is about to be trained.

    Args:
        model: on its device.
        batch: one or more labelled structures, all the same, on the same device. Compiled code is only run
            for more than one.

    Returns:
        what was compared and how well it agrees.

    Raises:
        HintError: one of them is not the derivative of the other, or H v cannot be trained.
    """
    where, precision = _about(batch), model.model_dtype  # type: ignore[attr-defined]
    with _training(model):
        found, gradient = _products(model, batch)
    with _evaluation(model):
        evaluate = _detached(model.uncompiled(batch))
        forces = force_deviation(evaluate, batch["pos"], precision)
        products = None
        if model.hint.mode.analytic:
            wanted = hvp_by_difference(
                lambda x: evaluate(x)[1],
                batch["pos"].detach(),
                found.probes,
                step=DIFFERENCE_STEP[precision],
                ptr=offsets(batch),
            )
            products = product_deviation(found.predicted, wanted)
    _refuse(forces, products, gradient, precision, where)
    said = []
    if forces is not None:
        said.append(f"forces agree with differences of energies to {forces.relative:.1e}")
    if products is not None:
        said.append(f"H v with differences of forces to {products.relative:.1e}")
    if gradient is not None:
        said.append(f"its gradient to the parameters with differences to {gradient.relative:.1e}")
    if not said:
        return f"nothing could be compared on {where}: the model gives no forces there"
    return f"{', '.join(said)} (relative, on {where})"


def _refuse(
    forces: Deviation | None,
    products: Deviation | None,
    gradient: Deviation | None,
    precision: torch.dtype,
    where: str,
) -> None:
    if forces is not None and not forces.agrees(precision):
        raise HintError(
            f"forces of this model differ from differences of its energies by {forces.relative:.1e} "
            f"(relative, on {where}): they are not -dE/dx, and their derivative is no Hessian of the "
            f"energy. Another builder, or one without special kernels, may be right; no mode of HINT mends "
            f"it. {_SKIP}"
        )
    if products is not None and not products.agrees(precision):
        raise HintError(
            f"H v of this model differs from differences of its forces by {products.relative:.1e} (relative, "
            f"on {where}); {_BY_DIFFERENCES}. {_SKIP}"
        )
    if gradient is not None and not gradient.agrees(precision, GRADIENT_TOLERANCE):
        raise HintError(
            f"the gradient of H v to the parameters differs from differences by {gradient.relative:.1e} "
            f"(relative, on {where}): a third derivative of this model is wrong; {_BY_DIFFERENCES}. {_SKIP}"
        )


def _products(model: GraphModelWithProducts, batch: dict[str, Tensor]) -> tuple[Products, Deviation | None]:
    """As a step of the training makes them, and how far their gradient to the parameters is off."""
    seen: list[Products] = []

    def squares() -> Tensor:
        seen.append(model({**batch, STEP: torch.zeros(1, dtype=torch.long)})[PRODUCTS])  # type: ignore[operator]
        return seen[-1].predicted.square().sum()

    parameters = [p for p in model.parameters() if p.requires_grad]  # type: ignore[attr-defined]
    try:
        gradient = gradient_deviation(squares, parameters)
    except RuntimeError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise HintError(f"H v of this model cannot be trained ({reason}); {_BY_DIFFERENCES}") from error
    return seen[0], gradient


@contextmanager
def _training(model: GraphModelWithProducts) -> Iterator[None]:
    """The model as a training has it, with few probes; nothing of what is counted changes."""
    module: torch.nn.Module = model  # type: ignore[assignment]
    before = module.training, model.hint_few, model.hint_step, model.hint_readers
    model.hint_few = model.hint.mode.all_columns
    module.train()
    try:
        with torch.enable_grad():
            yield
    finally:
        module.train(before[0])
        model.hint_few, model.hint_step, model.hint_readers = before[1:]


@contextmanager
def _evaluation(model: GraphModelWithProducts) -> Iterator[None]:
    """Forces without a graph."""
    module: torch.nn.Module = model  # type: ignore[assignment]
    outputs = force_outputs(module)
    before = [output.training for output in outputs]
    for output in outputs:
        output.training = False
    try:
        with torch.enable_grad():
            yield
    finally:
        for output, training in zip(outputs, before, strict=True):
            output.training = training


def _detached(evaluate: EnergyAndForces) -> EnergyAndForces:
    def found(positions: Tensor) -> tuple[Tensor, Tensor]:
        energy, forces = evaluate(positions.detach())
        return energy.detach(), forces.detach()

    return found


def _about(batch: dict[str, Tensor]) -> str:
    """ "C2H6O, 9 atoms, 62 edges", of the first structure."""
    atoms = int(batch["num_atoms"].reshape(-1)[0])
    structures = len(batch["num_atoms"])
    formula = Atoms(batch["atomic_numbers"].reshape(-1)[:atoms].tolist()).get_chemical_formula()
    return f"{formula}, {atoms} atoms, {batch['edge_index'].shape[1] // structures} edges"
