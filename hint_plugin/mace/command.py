"""MACE's training command with HINT's hook put in place by hand: what ``hint mace-train`` runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hint_plugin.mace import hook
from hint_plugin.optional import wanted


def run_train(arguments: Sequence[str]) -> None:
    """Run ``mace_run_train`` with ``arguments`` in this process.

    It does not depend on torch's autoload, so it works with ``TORCH_DEVICE_BACKEND_AUTOLOAD=0`` too.

    Raises:
        MissingDependencyError: mace-torch is not installed.
        HintError: labels or options that cannot work.
    """
    hook.install()
    absent = "hint mace-train needs MACE, which is not installed here: pip install '.[mace]' in HINT's folder"
    with wanted("mace", message=absent):
        from mace.cli.run_train import main
    sys.argv = ["mace_run_train", *arguments]
    main()
