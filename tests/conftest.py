"""What tests of several folders share."""

from __future__ import annotations

import contextlib
import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import warm

#: What commands import, those of both environments; the server takes what there is.
COMMANDS_IMPORT = (
    "ase.io",
    "ase.build",
    "ase.calculators.calculator",
    "scipy.optimize",
    "scipy.spatial",
    "h5py",
    "torch",
    "tblite.interface",
    "mace.cli.run_train",
    "mace.cli.eval_configs",
    "nequip.scripts.train",
    "nequip.scripts.package",
    *("ipi.engine.simulation", "rdkit.Chem", "lightning.pytorch", "hydra"),
    *("hint_plugin.cli.app", "hint_plugin.cli.verbs.", "hint_plugin.cli.support."),
    *("hint_plugin.data.", "hint_plugin.data.sets.", "hint_plugin.data.stores.", "hint_plugin.data.labels."),
    *("hint_plugin.data.formats.", "hint_plugin.labelling.", "hint_plugin.sampling.", "hint_plugin.export."),
    *("hint_plugin.potentials.", "hint_plugin.potentials.engines.", "hint_plugin.artifact.", "ipi_driver."),
    *("hint_plugin.science.", "hint_plugin.science.molecules.", "hint_plugin.parallel.", "hint_plugin.core."),
    *("matplotlib.pyplot", "rich.console", "rich.table", "rich.text", "pydantic"),
)
_server = contextlib.ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """One server of commands for this run and its workers; without workers, for the first who asks."""

    def begin() -> None:
        os.environ[warm.ADDRESS] = _server.enter_context(warm.served(COMMANDS_IMPORT))
        _server.callback(os.environ.pop, warm.ADDRESS)

    if warm.ADDRESS in os.environ or not warm.possible():
        return
    if getattr(config.option, "numprocesses", None):
        begin()
    else:
        warm.begin = begin


def pytest_unconfigure(config: pytest.Config) -> None:
    """The server ends with the run."""
    _server.close()


@pytest.fixture(autouse=True)
def _pool_of_forks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of `hint_plugin.parallel.pool` have nothing to import, but for tests marked `spawn`."""
    if request.node.get_closest_marker("spawn") is None:
        warm.forks_in_the_pool(monkeypatch.setattr)


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Numbers of the global generators are the same in every run, and in every order of the tests."""
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


class Models:
    """Exported potentials with random weights, made once in a run of all tests and its workers.

    ``models["mace float64"]``, ``models["alphanet float32 compiled"]``: architecture, precision, and whether
    the file is the one compiled by AOTInductor.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def __getitem__(self, name: str) -> Path:
        import filelock
        from artifacts import make_checkpoint

        from hint_plugin.export.checkpoint_to_artifact import compiled_path, export

        kind, dtype, *more = name.split()
        path = self.folder / f"{kind}_{dtype}{'_'.join(['', *more])}.hint.pt"
        with filelock.FileLock(f"{path}.lock"):
            if not path.is_file():
                checkpoint = self.folder / path.name.removesuffix(".hint.pt")
                checkpoint.mkdir(exist_ok=True)
                if more == ["compiled"]:
                    # A third of the compiler's time; AlphaNet of float32, of the long tests, has both layers.
                    size = {"correlation": 2, "max_ell": 1, "layers": 1 if dtype == "float64" else 2}
                    export(make_checkpoint(kind, dtype, checkpoint, **size), path, aoti=True)
                else:
                    export(make_checkpoint(kind, dtype, checkpoint), path)
        return compiled_path(path) if more else path


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder of the run of all tests, the same for all of its workers."""
    base = tmp_path_factory.getbasetemp()  # a worker's own lies in that of the run
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def models(shared_folder: Path) -> Models:
    """Artifacts by name."""
    return Models(shared_folder / "models")
