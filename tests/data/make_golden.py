"""How the files of `golden/` were made, once, with HINT 0.1: this script in `.venv`, then in `.venv-nequip`.

They hold what files name: classes in pickles, targets of hydra, fields of stores and journals. They are not
to be made again; a later HINT has to read them (`tests/golden`, `tests/nequip`). What they gave
then is in `expected.json`.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.io import read

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
sys.path.insert(0, str(HERE.parent / "helpers"))


def water() -> Atoms:
    """The structure of which all golden potentials tell energy and forces."""
    atoms = molecule("H2O")
    atoms.rattle(0.05, seed=3)
    return atoms


def keep(name: str, energy: float, forces: np.ndarray) -> None:
    """Add what a potential gives to `expected.json`."""
    path = GOLDEN / "expected.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    found[name] = {"energy": float(energy), "forces": np.asarray(forces).tolist()}
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


def keep_prediction(name: str, predictor: Any) -> None:
    """Of a predictor of HINT."""
    (found,) = predictor.predict([water()])
    keep(name, found.energy, found.forces)


def mace_side(folder: Path) -> None:
    """Trainings by `mace_run_train`, their artifacts, a pickle for ML-IAP, a store, a journal half done."""
    from label_runs import make_input

    from hint_plugin.data import read_frames, write_frames
    from hint_plugin.export.checkpoint import export
    from hint_plugin.export.potential import Potential
    from hint_plugin.mace.predictor import MacePredictor
    from lammps_pair.mliap import write_mliap
    from mace_runs import train_hint

    small = {"alphanet_channels": 8, "alphanet_node_width": 1, "alphanet_layers": 2}
    own = {
        "num_channels": None,
        "max_L": None,
        "num_interactions": None,
        "correlation": None,
        "num_radial_basis": None,
    }
    for name, options in {"mace": {}, "alphanet": {"model": "AlphaNet", **own, **small}}.items():
        run = train_hint(folder / name, **options)
        shutil.copy(run.model_path, GOLDEN / f"{name}.model")
        keep_prediction(f"{name}.model", MacePredictor(GOLDEN / f"{name}.model"))
        export(GOLDEN / f"{name}.model", GOLDEN / f"{name}.hint.pt")
        keep_prediction(f"{name}.hint.pt", Potential(GOLDEN / f"{name}.hint.pt"))
    write_mliap(GOLDEN / "alphanet.model", GOLDEN / "alphanet.mliap")
    write_frames(GOLDEN / "store_v2.h5", read_frames(HERE / "molecules.xyz")[:3])
    make_input(GOLDEN / "journal.xyz", 6)
    half_done(folder / "journal")


def half_done(folder: Path) -> None:
    """The journal of `hint label journal.xyz -o labelled.xyz`, as a kill after three frames leaves it."""
    import signal

    from label_runs import start_hint, wait_for_results

    folder.mkdir()
    shutil.copy(GOLDEN / "journal.xyz", folder / "journal.xyz")
    process = start_hint(folder, "label", "journal.xyz", "-o", "labelled.xyz", "--jobs", "1")
    journal = folder / "labelled.xyz.partial.jsonl"
    wait_for_results(journal, 3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    lines = journal.read_bytes().splitlines(keepends=True)[:4]
    (GOLDEN / "labelled.xyz.partial.jsonl").write_bytes(b"".join(lines))


def nequip_side(folder: Path) -> None:
    """Trainings by `nequip-train`, of NequIP's model and of AlphaNet, and their packages."""
    from nequip_runs import command, model_config, run_command, train_command

    from hint_plugin.nequip.predictor import NequipPredictor

    for kind in ("NequIP", "AlphaNet"):
        run = train_command(folder / kind, {"training_module.model": model_config(kind)})
        checkpoint = GOLDEN / f"{kind.lower()}.ckpt"
        shutil.copy(run.checkpoint, checkpoint)
        keep_prediction(checkpoint.name, NequipPredictor(checkpoint))
        package = GOLDEN / f"{kind.lower()}.nequip.zip"
        run_command(folder, command("nequip-package"), "build", str(checkpoint), str(package))
        keep_prediction(package.name, NequipPredictor(package))


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    assert len(read(HERE / "molecules.xyz", ":")) > 3
    with tempfile.TemporaryDirectory() as temporary:
        side = nequip_side if find_spec("nequip") is not None else mace_side
        side(Path(temporary))
