"""`hint mace-train ...`: `mace_run_train ...`, without depending on the import hook of torch."""

import typer


def mace_train(context: typer.Context) -> None:
    """Run mace_run_train with HINT's losses and all of its own options."""
    from hint_plugin.mace.command import run_train

    run_train(context.args)
