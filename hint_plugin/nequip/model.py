"""`HessianModel`: any model of NequIP, with Hessian-vector products in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from hydra.utils import get_method
from nequip.data import get_field_type
from nequip.utils import RankedLogger
from torch import Tensor

from hint_plugin.core.batches import KEYS, BatchLabels, merge_parts, moved, worth_splitting
from hint_plugin.core.derivatives import EnergyAndForces
from hint_plugin.core.hvp import DIFFERENCE_STEP
from hint_plugin.core.labels import VALIDATION_STEP, StructureLabel, draw_batch
from hint_plugin.core.losses import MODES, EvaluatedBatch, LossMode
from hint_plugin.errors import OptionsError
from hint_plugin.nequip.batches import host_part, offsets, owners, select
from hint_plugin.nequip.fields import HVP, PROBES, PRODUCTS, STEP, Products
from hint_plugin.nequip.labels import making_a_product
from hint_plugin.nequip.products import ForceOutputWithProducts, force_outputs
from hint_plugin.settings import did_you_mean, refuse_unknown

#: What is wrong where the products that a model makes in training are used by no loss.
UNUSED = (
    "HINT: the model makes products H v, and the loss does not use them: this training sees no Hessians. Add "
    "to the loss, under extra_metrics, {name: hessian, coeff: 80.0, metric: {_target_: "
    "hint_plugin.nequip.HessianLoss}}, or take the model out of HessianModel"
)

logger = RankedLogger(__name__, rank_zero_only=True)


@dataclass(frozen=True)
class ProbeSettings:
    """How a model looks at Hessians.

    Attributes:
        mode: of `MODES`: ``hutchinson``, ``column``, ``full`` or ``difference``.
        probes: K, for each labelled structure and step.
        validation_probes: K of validation and test, which have the same probes every time.
        seed: of the probes.
        split: evaluate labelled structures apart from the others of a batch: ``auto`` (where it is cheaper),
            ``always`` or ``never``.
        difference_step: of ``difference``: how far the farthest atom moves, A (default: by dtype).
        check: before a training, compare forces with energies and H v with forces.
    """

    mode: LossMode = MODES["hutchinson"]
    probes: int = 1
    validation_probes: int = 4
    seed: int = 0
    split: str = "auto"
    difference_step: float | None = None
    check: bool = True

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> ProbeSettings:
        """From a configuration.

        Raises:
            OptionsError: a name or value that cannot be.
        """
        known = [field.name for field in fields(cls)]
        refuse_unknown(given, known, "hessian has no option")
        mode = given.get("mode", cls.mode.name)
        if not isinstance(mode, str) or mode not in MODES:
            raise OptionsError(
                f"hessian.mode is {mode!r}; wanted one of {', '.join(MODES)}.{did_you_mean(mode, MODES)}"
            )
        found = cls(**{**given, "mode": MODES[mode]})
        for name in ("probes", "validation_probes"):
            value = getattr(found, name)
            if not isinstance(value, int) or value < 1:
                raise OptionsError(f"hessian.{name} is {value!r}; wanted a whole number of 1 or more")
        if found.split not in ("auto", "always", "never"):
            raise OptionsError(f"hessian.split is {found.split!r}; wanted auto, always or never")
        if found.difference_step is not None and not found.difference_step > 0:
            raise OptionsError(
                f"hessian.difference_step is {found.difference_step!r}; wanted a positive length in A"
            )
        if not isinstance(found.check, bool):
            raise OptionsError(f"hessian.check is {found.check!r}; wanted true or false")
        return found


def HessianModel(  # noqa: N802  (NequIP's model builders are named like classes)
    builder: str | None = None, hessian: Mapping[str, Any] | None = None, **options: Any
) -> torch.nn.Module:
    """Model builder: the model of another builder, which also makes H v where structures have labels.

        model:
          _target_: hint_plugin.nequip.HessianModel
          builder: nequip.model.NequIPGNNModel
          hessian: {probes: 1}              # may be left out
          seed: 1                           # this and what follows: options of the other builder

    Parameters, buffers and their names stay those of the other builder. Where NequIP packages or compiles a
    trained model for use, its model comes back as it is: nothing of HINT is in the result.

    Args:
        builder: what would be the model's ``_target_`` without Hessians: ``nequip.model.NequIPGNNModel``,
            ``allegro.model.AllegroModel``, ``hint_plugin.nequip.AlphaNet``,
            ``nequip.model.ModelFromCheckpoint``, ``nequip.model.modify`` ...
        hessian: how Hessians are looked at: the fields of `ProbeSettings`.
        **options: of the other builder.

    Returns:
        what the other builder returns.

    Raises:
        OptionsError: a value that cannot be; no builder, or no such; a model without forces; ``full`` with
            ``compile_mode: compile``.
    """
    settings = ProbeSettings.checked(hessian or {})
    if not isinstance(builder, str) or not builder:
        raise OptionsError(
            f"HessianModel: builder is {builder!r}; wanted the model's _target_ without Hessians, as "
            "builder: nequip.model.NequIPGNNModel, with that builder's options beside it"
        )
    try:
        build = get_method(builder)
    except Exception as error:  # hydra raises what its import raised
        raise OptionsError(
            f"HessianModel: builder {builder!r} cannot be imported ({error}); wanted the path of a model "
            "builder, as nequip.model.NequIPGNNModel"
        ) from error
    built: torch.nn.Module = build(**options)
    if making_a_product():
        return built
    for graph in built.values() if isinstance(built, torch.nn.ModuleDict) else [built]:
        _teach(graph, settings, builder)
    return built


class GraphModelWithProducts:
    """Goes before NequIP's ``GraphModel`` in a class: draws probes for the structures that have a label.

    Only they are differentiated twice. The output has `Products` under `PRODUCTS` if there are any.
    """

    hint: ProbeSettings
    hint_step: int
    hint_few: bool = False  #: few probes are enough, in training too
    hint_readers: list[str] | None = None
    hint_warned: bool = False
    model_input_fields: list[str]

    def forward(self, data: dict[str, Tensor]) -> dict[str, Any]:
        if KEYS[0] not in data:
            return super().forward(data)  # type: ignore[misc]
        host = host_part(data)
        labels = BatchLabels({**data, "ptr": offsets(host)})
        if not labels.labelled:
            return super().forward(data)  # type: ignore[misc]
        step = self._step(data)
        if not self._worth_splitting(data, host, labels):
            return self._evaluate(data, labels.labels, labels.weights, step)
        inputs = self.model_input_fields
        own, others = labels.labelled, labels.unlabelled
        found = self._evaluate(
            select(data, own, inputs), [labels.labels[g] for g in own], labels.weights[own], step
        )
        rest = super().forward(select(data, others, inputs))  # type: ignore[misc]
        out: dict[str, Any] = {name: data[name] for name in inputs if name in data}
        known = {k: v for k, v in found.items() if k not in out and _kind(k) in ("graph", "node")}
        out.update({k: v for k, v in known.items() if isinstance(v, Tensor) and not v.numel()})
        out.update(merge_parts(known, rest, owners(host), own, others))
        out[PRODUCTS] = found[PRODUCTS]
        return out

    def hessians(self, data: dict[str, Tensor], chosen: list[int]) -> list[Tensor]:
        """Exact Hessians of some structures of a batch, [3N, 3N] each, eV/A^2; never by compiled code.

        In mode *difference*, central differences of forces.
        """
        part = select(data, chosen, self.model_input_fields)
        positions, ptr = part["pos"], offsets(part)
        evaluate = self.uncompiled(part)

        def forces(x: Tensor) -> Tensor:
            return evaluate(x)[1]

        with torch.enable_grad():
            (output,) = force_outputs(self)
            training, output.training = output.training, True  # NequIP keeps the graph of the forces by it
            try:
                found = forces(positions.requires_grad_(True))
            finally:
                output.training = training
            return self.hint.mode.hessians(
                EvaluatedBatch(found, positions, forces), ptr, self._displacement()
            )

    def uncompiled(self, data: dict[str, Tensor]) -> EnergyAndForces:
        """Positions -> energies and forces of a batch by the model that may be compiled, as it was before."""
        fields = {name: data[name] for name in self.model_input_fields if name in data}

        def evaluate(positions: Tensor) -> tuple[Tensor, Tensor]:
            found = self.model({**fields, "pos": positions})  # type: ignore[attr-defined]
            return found["total_energy"], found["forces"]

        return evaluate

    def _readers(self) -> list[str]:
        """Where metrics write that they have used the products of this batch; warns once if none does."""
        if not self.training:  # type: ignore[attr-defined]
            return []
        if self.hint_readers == [] and not self.hint_warned:
            self.hint_warned = True
            logger.warning(UNUSED)
        self.hint_readers = []
        return self.hint_readers

    def _evaluate(
        self, data: dict[str, Tensor], labels: list[StructureLabel], weights: Tensor, step: int
    ) -> dict[str, Any]:
        training: bool = self.training  # type: ignore[attr-defined]
        count = self.hint.probes if training else self.hint.validation_probes
        mode = self.hint.mode
        drawn = mode if training and not self.hint_few else mode.few
        v, reference = draw_batch(labels, drawn, count, self.hint.seed, step)
        if not drawn.all_columns and len(v) < count:  # compiled code has a fixed number of them
            v, reference = (torch.cat([x, x.new_zeros(count - len(x), *x.shape[1:])]) for x in (v, reference))
        v, reference, weights = (
            moved(x, data["pos"].device).to(data["pos"].dtype) for x in (v, reference, weights)
        )
        directions, divisor = mode.directions(v, offsets(data), self._displacement())
        out: dict[str, Any] = super().forward(  # type: ignore[misc]
            {**data, PROBES[training]: directions.transpose(0, 1).contiguous()}
        )
        predicted = out.pop(HVP).transpose(0, 1)
        if divisor is not None:
            predicted = predicted / divisor
        out[PRODUCTS] = Products(v, predicted, reference, owners(data), weights, self._readers())
        return out

    def _displacement(self) -> float:
        """A: by the model's dtype, since NequIP's positions are float64 whatever that is."""
        dtype: torch.dtype = self.model_dtype  # type: ignore[attr-defined]
        return self.hint.difference_step or DIFFERENCE_STEP[dtype]

    def _step(self, data: dict[str, Tensor]) -> int:
        """Of the optimiser if the data module tells, else the number of calls in this process."""
        if not self.training:  # type: ignore[attr-defined]
            return VALIDATION_STEP
        self.hint_step = int(data[STEP][0]) if STEP in data else self.hint_step + 1
        return self.hint_step

    def _worth_splitting(self, data: dict[str, Tensor], host: dict[str, Tensor], labels: BatchLabels) -> bool:
        split = "never" if "edge_transpose_perm" in data else self.hint.split
        return worth_splitting(labels, split, owners(host), host["edge_index"])


def _teach(graph: torch.nn.Module, settings: ProbeSettings, builder: str) -> None:
    """Put HINT's behaviour before NequIP's in the classes of a model and of its force output."""
    if isinstance(graph, GraphModelWithProducts):  # a checkpoint that was trained with Hessians
        graph.hint = settings
        for output in force_outputs(graph):
            output.mode = settings.mode  # type: ignore[assignment]
        return
    outputs = force_outputs(graph)
    if len(outputs) != 1 or not outputs[0].do_derivatives:
        raise OptionsError(f"HessianModel: {builder} makes no forces, so there is no Hessian to train")
    if settings.mode.all_columns and getattr(graph, "is_compile_graph_model", False):
        raise OptionsError(
            f"HessianModel: mode {settings.mode.name} has as many probes as a structure has coordinates, and "
            "compiled code a fixed number; take compile_mode: eager, or hessian: {mode: hutchinson}"
        )
    (output,) = outputs
    _extend(output, ForceOutputWithProducts)
    output.mode = settings.mode  # type: ignore[assignment]
    _extend(graph, GraphModelWithProducts)
    model: Any = graph
    model.hint, model.hint_step = settings, -1
    model.model_input_fields.extend(PROBES.values())


def _extend(module: torch.nn.Module, behaviour: type) -> None:
    """Change the class of a module in place: so it keeps its parameters, and their names."""
    kind = type(module)
    module.__class__ = type(kind.__name__, (behaviour, kind), {"__module__": __name__})


def _kind(name: str) -> str | None:
    found: str | None = get_field_type(name, error_on_unregistered=False)
    return found
