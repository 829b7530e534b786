"""Make stock ``mace_run_train`` know HINT's losses and model: an import hook, no fork and no patched file.

torch calls `install` at ``import torch`` (entry point group ``torch.backends``). It puts a finder on
``sys.meta_path`` that wraps eleven modules of mace-torch as they load (`TARGETS`); what is put around their
functions is in `mace.patches`. Where one of these modules is the first to import torch, it is half loaded at
that moment, and is wrapped when its import has ended. Without a HINT option on the command line every wrapper
hands over to MACE's own function.

This module runs in every process that imports torch: it imports nothing, and no error may leave it.
``TORCH_DEVICE_BACKEND_AUTOLOAD=0`` turns it off; ``hint mace-train`` installs it by itself.
"""

from __future__ import annotations

import sys
from typing import Any

#: Modules of mace-torch that are wrapped.
TARGETS = (
    "mace.tools.arg_parser",
    "mace.tools.train",
    "mace.tools.tables_utils",
    "mace.tools.scripts_utils",
    "mace.tools.model_script_utils",
    "mace.tools.run_train_utils",
    "mace.tools.multihead_tools",
    "mace.tools.torch_geometric.dataloader",
    "mace.data.utils",
    "mace.data.atomic_data",
    "mace.modules.utils",
)


class MaceFinder:
    """Finds the `TARGETS` as Python would and wraps their loaders."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        """The module's own spec, its loader wrapped; None (not mine) for every other module."""
        if fullname not in TARGETS:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        spec.loader = _PatchingLoader(spec.loader)  # type: ignore[assignment]
        return spec


class _PatchingLoader:
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self._loader.exec_module(module)
        apply(module)


def apply(module: Any) -> None:
    """Wrap the functions of one loaded module of MACE; a failure is kept for `hint doctor`, not raised.

    The exception is a command line that asks for HINT while MACE's parser cannot be taught HINT's options: it
    ends here, since all that the parser could say is that it does not know them.
    """
    from hint_plugin.mace.active_options import session

    try:
        from hint_plugin.mace import patches

        patches.patch(module)
        session.wrapped.add(module.__name__)
    except Exception as error:  # an error here must not break MACE for those who do not use HINT
        if _is_not_of_mace(error) and _asks_for_hint(sys.argv[1:]):
            raise
        session.problems.append(f"{module.__name__}: {error}")
        if module.__name__ == TARGETS[0] and _asks_for_hint(sys.argv[1:]):
            raise SystemExit(f"error: {session.unknown_version()}") from None


def _is_not_of_mace(error: Exception) -> bool:
    """Whether something else than MACE cannot be imported: no matter of MACE's version."""
    return isinstance(error, ImportError) and (error.name or "").partition(".")[0] != "mace"


def _apply_when_loaded(module: Any) -> None:
    """`apply` now, or, if the import of the module is under way, as soon as it has ended.

    Python sets ``_initializing`` of a module's spec to False then, before anybody else can use the module; a
    module whose import failed is no longer in ``sys.modules``.
    """
    spec = getattr(module, "__spec__", None)
    if not getattr(spec, "_initializing", False):
        apply(module)
        return
    plain = type(spec)

    def set_initializing(watched: Any, value: bool) -> None:
        vars(watched)["_initializing"] = value
        if not value:
            watched.__class__ = plain
            if sys.modules.get(module.__name__) is module:
                apply(module)

    state = property(lambda watched: vars(watched)["_initializing"], set_initializing)
    spec.__class__ = type(plain.__name__, (plain,), {"_initializing": state})


def _asks_for_hint(arguments: list[str]) -> bool:
    """Whether a command line, or the YAML file it names, has an option or a loss of HINT."""
    for flag, value in zip(["", *arguments], [*arguments, ""], strict=True):
        if value.startswith(("--hint_", "--loss=hint_")) or (flag == "--loss" and value.startswith("hint_")):
            return True
        if flag == "--config" or value.startswith("--config="):
            try:
                with open(value.removeprefix("--config="), encoding="utf-8") as file:
                    text = file.read()
            except (OSError, UnicodeDecodeError):
                continue  # MACE says what is wrong with it
            if "hint_" in text:
                return True
    return False


def installed() -> bool:
    """Whether the finder is in place."""
    return any(isinstance(finder, MaceFinder) for finder in sys.meta_path)


def install() -> None:
    """Put the finder in place, once; modules of MACE that are loaded already are wrapped where they are.

    One whose import is under way, since it is the one that imports torch, is wrapped at the end of it.
    """
    try:
        if installed():
            return
        sys.meta_path.insert(0, MaceFinder())
        for name in TARGETS:
            if name in sys.modules:
                _apply_when_loaded(sys.modules[name])
    except Exception as error:
        sys.stderr.write(
            f"hint: the MACE plug-in could not be installed ({error}); MACE itself is not affected\n"
        )
