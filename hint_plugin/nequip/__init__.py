"""HINT in NequIP's `nequip-train`: everything that touches NequIP's internals, by its own extension points.

Each name is a ``_target_`` of a hydra configuration:

| name | goes under | what it is |
|---|---|---|
| `HessianDataModule` | ``data`` | reads structures and labels from extxyz, HDF5 and all formats of HINT |
| `HessianLabels` | ``data.transforms`` | instead, the labels that one of NequIP's own data modules has read |
| `HessianModel` | ``training_module.model`` | any NequIP or Allegro model, with products H v in training |
| `AlphaNet` | ``training_module.model`` | the local-frame model |
| `HessianLoss` | ``metrics`` of the loss | the Hessian term |
| `HessianRMSE` | ``metrics`` of validation | error of a Hessian element, eV/A^2 |
| `HessianCurriculum` | ``trainer.callbacks`` | the weight of the Hessian term over the training |
| `HessianErrors` | ``trainer.callbacks`` | exact Hessians, eigenvalues and frequencies of a few structures |
| `HessianChecks` | comes along | counts labels, checks forces and H v, logs the size of references |

Nothing is imported before it is asked for: `nequip-package` reads this file too.
"""

#: name -> the module that it is in.
_PLACES = {
    "HessianDataModule": "data",
    "FrameDataset": "data",
    "HessianLabels": "labels",
    "HessianModel": "model",
    "AlphaNet": "alphanet_builder",
    "HessianLoss": "loss",
    "HessianRMSE": "loss",
    "HessianCurriculum": "curriculum",
    "HessianErrors": "callbacks",
    "HessianChecks": "checks",
}

__all__ = list(_PLACES)


def __getattr__(name: str) -> object:
    import importlib

    if name not in _PLACES:
        raise AttributeError(f"hint_plugin.nequip has no {name!r}; it has {', '.join(_PLACES)}")
    importlib.import_module("hint_plugin.nequip.versions").check()
    return getattr(importlib.import_module(f"hint_plugin.nequip.{_PLACES[name]}"), name)
