"""Small models, batches and trainings of NequIP, for the tests of hint_plugin.nequip."""

from __future__ import annotations

import copy
import csv
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import warm
import yaml
from ase import Atoms
from ase.io import read
from hydra.utils import get_method
from lightning.pytorch.callbacks import Callback
from nequip.data import AtomicDataDict, from_ase
from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from nequip.utils.global_state import set_global_state

from hint_plugin.core.devices import default_dtype
from hint_plugin.data import HessianLabel, read_label
from hint_plugin.nequip.labels import label_fields

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
MOLECULES, PROJECTED, CELLS = (DATA / f"{name}.xyz" for name in ("molecules", "projected", "cells"))
CONFIGS = ROOT / "configs" / "nequip"

TYPES = ["H", "C", "N", "O", "Cu", "Au"]
R_MAX = 4.0

#: What all builders take.
COMMON: dict[str, Any] = {
    "seed": 1,
    "model_dtype": "float64",
    "compile_mode": "eager",
    "type_names": TYPES,
    "r_max": R_MAX,
    "avg_num_neighbors": 6.0,
    "per_type_energy_scales": 2.0,
    "per_type_energy_shifts": -50.0,
}
#: The smallest model of each architecture that has all of its parts.
BUILDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "NequIP": (
        "nequip.model.NequIPGNNModel",
        {
            "num_layers": 2,
            "l_max": 1,
            "parity": False,
            "num_features": 4,
            "radial_mlp_width": 8,
            "num_bessels": 4,
        },
    ),
    "Allegro": (
        "allegro.model.AllegroModel",
        {
            "l_max": 1,
            "num_layers": 2,
            "num_scalar_features": 8,
            "num_tensor_features": 4,
            "allegro_mlp_hidden_layers_width": 8,
            "radial_chemical_embed": {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 4},
        },
    ),
    "AlphaNet": (
        "hint_plugin.nequip.AlphaNet",
        {
            "channels": 8,
            "node_width": 1,
            "layers": 2,
            "frame_channels": 4,
            "edge_channels": 8,
            "bessel": 4,
        },
    ),
}


def frames_of(path: Path, index: str = ":") -> list[Atoms]:
    return read(path, index)


def build(kind: str, **options: Any) -> Any:
    """The plain model of a builder."""
    target, own = BUILDERS[kind]
    return get_method(target)(**{**COMMON, **own, **options})


def build_hessian(kind: str, hessian: dict[str, Any] | None = None, **options: Any) -> Any:
    """The same by `HessianModel`."""
    from hint_plugin.nequip import HessianModel

    target, own = BUILDERS[kind]
    return HessianModel(builder=target, hessian=hessian, **{**COMMON, **own, **options})


def transforms() -> list[Any]:
    """Of a data set: types and neighbours."""
    return [
        ChemicalSpeciesToAtomTypeMapper(model_type_names=TYPES),
        NeighborListTransform(r_max=R_MAX),
    ]


def make_batch(
    frames: Sequence[Atoms],
    labels: Sequence[HessianLabel | None] | None = None,
    *,
    fields: bool = True,
    step: int | None = None,
) -> dict[str, torch.Tensor]:
    """NequIP's batch, with energies and forces; labels from the frames if not given.

    Args:
        frames: structures.
        labels: one a frame.
        fields: with the fields of the labels.
        step: of the optimiser.
    """
    labels = [read_label(atoms) for atoms in frames] if labels is None else labels
    found = []
    for atoms, label in zip(frames, labels, strict=True):
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        bare.info["energy"] = np.array([atoms.info.get("REF_energy", 0.0)])
        bare.arrays["forces"] = atoms.arrays.get("REF_forces", np.zeros((len(atoms), 3)))
        with default_dtype(torch.float64):
            data = from_ase(bare)
            if fields:
                data.update(label_fields(label, atoms.numbers, atoms.positions))
            for transform in transforms():
                data = transform(data)
        found.append(data)
    batch = AtomicDataDict.batched_from_list(found)
    if step is not None:
        batch["hint_step"] = torch.tensor([step])
    return batch


def mixed_labels(frames: Sequence[Atoms]) -> list[HessianLabel | None]:
    """Full, rows, projected, none, and again."""
    out: list[HessianLabel | None] = []
    for number, atoms in enumerate(frames):
        label = read_label(atoms)
        assert label is not None and label.hessian is not None
        if number % 4 == 1:
            label = HessianLabel.rows(label.hessian[:6], [0, 1], len(atoms))
        elif number % 4 == 2:
            label = label.to_projected(2, np.random.default_rng(number))
        out.append(None if number % 4 == 3 else label)
    return out


def gradient(model: torch.nn.Module, value: torch.Tensor) -> torch.Tensor:
    """Of a number to all parameters, flat; zero where it does not depend on them."""
    parameters = list(model.parameters())
    found = torch.autograd.grad(value, parameters, allow_unused=True)
    pairs = zip(parameters, found, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for p, g in pairs])


def model_config(kind: str, **options: Any) -> dict[str, Any]:
    """What goes under ``training_module.model``: a small model in `HessianModel`."""
    builder, own = BUILDERS[kind]
    facts = {
        "type_names": "${chemical_symbols}",
        "r_max": "${cutoff_radius}",
        "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
        "per_type_energy_scales": "${training_data_stats:forces_rms}",
        "per_type_energy_shifts": "${atomic_energies}",
    }
    target = {"_target_": "hint_plugin.nequip.HessianModel", "builder": builder}
    return {**target, **COMMON, **facts, **own, **options}


# trainings --------------------------------------------------------------------------------------------------

#: The smallest training that does all that a large one does: changes of configs/nequip/hessian.yaml.
SMALL: dict[str, Any] = {
    "train_file": str(MOLECULES),
    "valid_file": str(MOLECULES),
    "run": ["train"],
    "cutoff_radius": 4.0,
    "data.train_dataloader.batch_size": 5,
    "trainer.max_epochs": 2,
    "trainer.accelerator": "cpu",
    "trainer.log_every_n_steps": 1,
    "trainer.enable_model_summary": False,
    "training_module.model": model_config("NequIP"),
}


#: The curriculum with a given weight, which tests can foretell step by step, in place of that of the file.
RAMP: dict[str, Any] = {
    "_target_": "hint_plugin.nequip.HessianCurriculum",
    "coeffs": {"per_atom_energy_mse": 10.0, "forces_mse": 100.0, "hessian": 80.0},
    "start": 10.0,
}


@dataclass
class Run:
    """What a training has left in its folder."""

    folder: Path
    output: str

    @property
    def rows(self) -> list[dict[str, float]]:
        """Lines of metrics.csv, without what is empty."""
        path = sorted((self.folder / "log").glob("version_*/metrics.csv"))[-1]
        with open(path, encoding="utf-8") as handle:
            return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(handle)]

    def values(self, name: str) -> list[float]:
        """Of one metric, in the order they were logged."""
        return [row[name] for row in self.rows if name in row]

    @property
    def log(self) -> list[str]:
        """HINT's lines of the log."""
        text = "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))
        return [line.split("HINT: ", 1)[1] for line in text.splitlines() if "HINT: " in line]

    @property
    def checkpoint(self) -> Path:
        return self.folder / "last.ckpt"

    def weights(self) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = torch.load(self.checkpoint, weights_only=False)["state_dict"]
        return found


def config(options: dict[str, Any], base: str = "hessian.yaml") -> dict[str, Any]:
    """A configuration file with `RAMP` and other values, by dotted names; None takes an entry out."""
    found: dict[str, Any] = yaml.safe_load((CONFIGS / base).read_text())
    entries = found["trainer"]["callbacks"]
    for number, entry in enumerate(entries):
        if entry["_target_"] == RAMP["_target_"]:
            entries[number] = copy.deepcopy(RAMP)
    for name, value in options.items():
        *path, last = name.split(".")
        place = found
        for part in path:
            place = place.setdefault(part, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = copy.deepcopy(value)
    return found


def callbacks(*more: dict[str, Any], without: str = "") -> dict[str, Any]:
    """The callbacks of hessian.yaml and more, or without one of them."""
    found = config({})["trainer"]["callbacks"]
    kept = [entry for entry in found if not without or not entry["_target_"].endswith(without)]
    assert not without or len(kept) < len(found)
    return {"trainer.callbacks": [*kept, *more]}


def recorder(path: Path) -> dict[str, Any]:
    """`Recorder` as a callback of the configuration."""
    return {"_target_": "nequip_runs.Recorder", "path": str(path)}


def command(name: str) -> str:
    """An installed command of this environment."""
    path = Path(sys.executable).parent / name
    assert path.exists(), f"{path} is not installed"
    return str(path)


def run_command(
    folder: Path, *arguments: str, check: bool = True, own: bool = False, timeout: float = 300, **more: str
) -> subprocess.CompletedProcess[str]:
    """A program in a folder, on one thread, with HINT as it is here; it fails the test if it fails.

    A command of NequIP is a fork of the warm server, unless it is to be a process of its `own`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = os.pathsep.join([str(Path(__file__).parent), str(ROOT)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, **more}
    if Path(arguments[0]).name in warm.COMMANDS and not own:
        done = warm.run(arguments, cwd=folder, env=environment)
    else:
        done = subprocess.run(
            arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout
        )
    if check:
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def write_config(folder: Path, options: dict[str, Any], base: str = "hessian.yaml") -> Path:
    """`SMALL` with other options as ``config.yaml`` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config({**SMALL, **options}, base), sort_keys=False))
    return path


def train_command(folder: Path, options: dict[str, Any] | None = None, *, check: bool = True) -> Run:
    """`nequip-train` in a process of its own."""
    write_config(folder, options or {})
    done = run_command(
        folder,
        command("nequip-train"),
        *("-cp", str(folder), "-cn", "config.yaml", f"hydra.run.dir={folder}"),
        check=check,
    )
    return Run(folder, done.stdout + done.stderr)


def train(folder: Path, options: dict[str, Any] | None = None, *, base: str = "hessian.yaml") -> Run:
    """The same command in this process, to save the import, which is most of the time."""
    from omegaconf import OmegaConf

    write_config(folder, options or {}, base)
    with _left_as_it_was():
        from nequip.scripts.train import main

        OmegaConf.clear_resolver("training_data_stats")
        set_global_state()
        torch.set_default_dtype(torch.float64)  # NequIP does so once a process
        os.chdir(folder)
        sys.argv = ["nequip-train", "-cp", str(folder), "-cn", "config.yaml", f"hydra.run.dir={folder}"]
        main()
    return Run(folder, "")


@contextmanager
def _left_as_it_was() -> Iterator[None]:
    import logging

    from nequip.scripts._workflow_utils import set_workflow_state

    before, dtype = (Path.cwd(), sys.argv), torch.get_default_dtype()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        os.chdir(before[0])
        sys.argv = before[1]
        torch.set_default_dtype(dtype)
        set_workflow_state(None)
        for handler in [h for h in root.handlers if h not in handlers]:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)


class Recorder(Callback):
    """Writes what each step saw, one file a process.

    ``step``, the ``step`` that the probes came from (``probes``), ``coeffs`` and values (``terms``) of the
    loss, and its ``gradient``.
    """

    def __init__(self, path: str) -> None:
        self.path, self.seen = Path(path), []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        (model,) = pl_module.model.values()
        grads = [p.grad.detach().reshape(-1).clone() for p in model.parameters()]
        self.seen.append(
            {
                "step": trainer.global_step,
                "probes": getattr(model, "hint_step", None),
                "coeffs": {name: entry.coeff for name, entry in pl_module.loss.entries.items()},
                "terms": dict(pl_module.loss.metrics_values_step),
                "gradient": torch.cat(grads),
            }
        )

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        torch.save(self.seen, f"{self.path}.{trainer.global_rank}")


def recorded(path: Path, rank: int = 0) -> list[dict[str, Any]]:
    """What `Recorder` wrote."""
    found: list[dict[str, Any]] = torch.load(f"{path}.{rank}", weights_only=False)
    return found


class Interrupt(Callback):
    """Ends a training when an epoch begins, as a batch system does."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == self.epoch:
            raise InterruptedError("the queue's time is over")
