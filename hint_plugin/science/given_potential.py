"""What computes, as it is given to the functions behind the verbs: opened when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from hint_plugin.artifact.metadata import is_artifact
from hint_plugin.data.provenance import run_provenance
from hint_plugin.errors import OptionsError
from hint_plugin.potentials.calculator_potential import as_potential
from hint_plugin.potentials.engine_potential import EnginePotential
from hint_plugin.potentials.hint_calculator import EngineCalculator, HintCalculator
from hint_plugin.potentials.on_demand import PotentialSpec
from hint_plugin.potentials.potential import Potential
from hint_plugin.potentials.registry import engine_names
from hint_plugin.pretrained import or_path

GivenPotential = Any | Callable[[], Any]
"""An ASE calculator (its `get_hvp` or `get_hessian` is used where there is one), a `Potential` of
`open_potential`, a file or a name of a model, the name of an engine, a `PotentialSpec`, or a function without
arguments that returns one of these."""


def calculator_of(potential: GivenPotential, device: str = "cpu") -> Any:
    """The ASE calculator; `device` is where a model that is given by its file or name runs: cpu, cuda.

    Raises:
        OptionsError: no potential. Whatever opening it raises.
    """
    if potential is None:
        raise OptionsError("no potential; wanted an ASE calculator, a model (file or name), or an engine")
    if callable(potential):
        potential = potential()
    if isinstance(potential, str | Path):
        potential = PotentialSpec.of(potential)
    if isinstance(potential, PotentialSpec):
        return potential.calculator(device)
    if isinstance(potential, EnginePotential):
        return EngineCalculator(potential.engine)
    return HintCalculator(potential) if isinstance(potential, Potential) else potential


def batched_calculator_of(potential: GivenPotential, device: str = "cpu") -> Any:
    """`calculator_of`; an exported model evaluates structures together.

    Raises as `calculator_of`.
    """
    if isinstance(potential, str | Path) and str(potential) not in engine_names():
        model = or_path(Path(potential))
        if model.is_file() and is_artifact(model):
            return HintCalculator(model, device=device)
    return calculator_of(potential, device)


def model_file(calculator: Any) -> Path | None:
    """The file of the model that computes; None of what is no model from a file."""
    for owner in (calculator, getattr(calculator, "potential", None)):
        options = getattr(getattr(owner, "engine", None), "options", None)
        for path in (getattr(options, "model", None), getattr(owner, "path", None)):
            if isinstance(path, str | Path):
                return or_path(Path(path))
    return None


def potential_run_provenance(
    calculator: Any, inputs: Iterable[Any], alone: Collection[Path] = ()
) -> dict[str, Any]:
    """`run_provenance` of what a calculator has computed.

    Args:
        calculator: of `calculator_of`; None where clients of a socket compute.
        inputs: files, or what is none: atoms and None are left out.
        alone: see `run_provenance`.
    """
    files = [Path(name) for name in inputs if isinstance(name, str | Path)]
    model = model_file(calculator)
    about: dict[str, Any] = {}
    if calculator is not None and model is None and getattr(calculator, "engine", None) is None:
        about["engine"] = as_potential(calculator).provenance()  # a calculator of somebody else
    return run_provenance(files, model, calculator, alone, **about)
