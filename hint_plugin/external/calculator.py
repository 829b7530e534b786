"""An ASE calculator for programs that make one by the name of its class: `geometric-optimize --ase-class`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hint_plugin.potentials.hint_calculator import HintCalculator
from hint_plugin.potentials.on_demand import PotentialSpec


class ExternalCalculator(HintCalculator):
    """`HintCalculator` of arguments that JSON can hold.

        geometric-optimize --engine ase --ase-class hint_plugin.external.ExternalCalculator \\
            --ase-kwargs '{"model": "model.hint.pt"}' start.xyz

    Args:
        model: file of a model, or the name of one that comes with HINT.
        engine: in its place, the name of an engine.
        engine_option: of the engine, `{"accuracy": 0.1}`.
        device: where a model runs: "cpu", "cuda".
        charge: e; a model knows neutral molecules alone.
        mult: multiplicity, 2S + 1; the lowest if it is not given. A model knows the lowest alone.

    Raises:
        OptionsError: neither model nor engine, or both, or electrons that a model does not know.
        What opening a model or an engine raises.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        engine: str | None = None,
        engine_option: dict[str, Any] | None = None,
        device: str = "cpu",
        charge: int = 0,
        mult: int | None = None,
    ) -> None:
        spec = PotentialSpec(None, engine, engine_option)
        if model is not None:
            spec = PotentialSpec(PotentialSpec.of(str(model)).model or Path(model), engine, engine_option)
        made = spec.calculator(device, charge, mult)
        super().__init__(made.potential)
        self.engine = getattr(made, "engine", None)
