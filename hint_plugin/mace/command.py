"""MACE's training command with HINT's hook put in place by hand: what ``hint mace-train`` runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hint_plugin.errors import MissingDependencyError
from hint_plugin.mace import hook


def run_train(arguments: Sequence[str]) -> None:
    """Run ``mace_run_train`` with ``arguments`` in this process.

    It does not depend on torch's autoload, so it works with ``TORCH_DEVICE_BACKEND_AUTOLOAD=0`` too.

    Raises:
        MissingDependencyError: mace-torch is not installed.
        HintError: labels or options that cannot work.
    """
    hook.install()
    try:
        from mace.cli.run_train import main
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "mace":
            raise
        raise MissingDependencyError(
            "hint mace-train needs MACE, which is not installed here: pip install 'hint-mlip[mace]'"
        ) from None
    sys.argv = ["mace_run_train", *arguments]
    main()
