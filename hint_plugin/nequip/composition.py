"""Do model, loss, metrics and callbacks of a training fit each other?"""

from __future__ import annotations

from typing import Any

import lightning
from nequip.utils import RankedLogger

from hint_plugin.errors import OptionsError
from hint_plugin.nequip.loss import HessianLoss, HessianRMSE
from hint_plugin.nequip.model import UNUSED, GraphModelWithProducts

logger = RankedLogger(__name__, rank_zero_only=True)

_DOCS = "(docs/training-nequip.md)"


def fit_each_other(trainer: lightning.Trainer, pl_module: Any, models: list[GraphModelWithProducts]) -> None:
    """Raises OptionsError where a part of HINT's is there and what it needs is not."""
    names = hessian_names(pl_module.loss)
    _ignored_coefficients(pl_module)
    terms = [name for name in names if pl_module.loss.entries[name].coeff is not None]
    if names and not terms:
        raise OptionsError(
            f"{', '.join(names)} is in the loss without a coefficient, so that nothing is trained by it; "
            "wanted coeff beside its name, as coeff: 80.0"
        )
    if any(isinstance(pl_module.loss[name], HessianRMSE) for name in terms):
        raise OptionsError(
            f"{', '.join(terms)}: HessianRMSE is no loss, but for validation. Train on HessianLoss"
        )
    measured = [*_needs_products(trainer), *_measures(pl_module)]
    if (names or measured) and not models:
        raise OptionsError(
            f"{', '.join(names or measured)}: the model makes no products H v. Put the model's configuration "
            f"into hint_plugin.nequip.HessianModel {_DOCS}"
        )
    if models and not names:
        if not measured:
            raise OptionsError(f"{UNUSED.removeprefix('HINT: ')} {_DOCS}")
        logger.warning(
            f"HINT: the loss has no HessianLoss: this training sees no Hessians. {', '.join(measured)} "
            "compares with them, and no more"
        )


def _ignored_coefficients(pl_module: Any) -> None:
    """Raises OptionsError for ``coeffs: {hessian: 80.0}`` of a loss of NequIP's, which ignores it."""
    loss = pl_module.hparams.get("loss") or {}
    given = [str(name) for name in (loss.get("coeffs") or {})]
    ignored = [name for name in given if "hess" in name.lower() and name not in pl_module.loss.entries]
    if ignored:
        raise OptionsError(
            f"coeffs of {loss.get('_target_', 'the loss')} has {', '.join(ignored)}, which it ignores: it "
            "knows energies, forces and stresses. The Hessian term goes under extra_metrics of the loss, as "
            f"{{name: hessian, coeff: 80.0, metric: {{_target_: hint_plugin.nequip.HessianLoss}}}} {_DOCS}"
        )


def _needs_products(trainer: lightning.Trainer) -> list[str]:
    """Callbacks that compare with Hessians."""
    callbacks = trainer.callbacks
    return [type(c).__name__ for c in callbacks if getattr(c, "compares_hessians", False)]


def _measures(pl_module: Any) -> list[str]:
    """Metrics outside of the loss that compare with Hessians."""
    managers = [*pl_module.val_metrics, *([pl_module.train_metrics] if pl_module.train_metrics else [])]
    return sorted({name for manager in managers for name in hessian_names(manager)})


def hessian_names(manager: Any) -> list[str]:
    """Names of the Hessian terms of a `MetricsManager`, with and without a coefficient."""
    return [name for name in manager.entries if isinstance(manager[name], HessianLoss)]


def hessian_terms(manager: Any) -> list[HessianLoss]:
    """These terms themselves."""
    return [manager[name] for name in hessian_names(manager)]


def leave_out(manager: Any, kind: str, index: int) -> None:
    """A set without labels: its sum of metrics is that of the others."""
    names = hessian_names(manager)
    counted = [name for name in names if manager.entries[name].coeff is not None]
    if counted:
        rest = {name: e.coeff for name, e in manager.entries.items() if name not in counted}
        manager.set_coeffs(rest)
    if names:
        logger.warning(
            f"HINT: no structure of {kind} set {index} has a Hessian label: {', '.join(names)} of it is not "
            "a number, and its weighted_sum, by which the best checkpoint may be chosen, is that of the "
            "other metrics"
        )
