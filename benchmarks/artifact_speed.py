"""What running an exported model costs beyond the model itself: in LAMMPS, in ASE, many structures at once.

    python benchmarks/artifact_speed.py [--atoms 512] [--steps 20] [--rounds 3] [--threads 1] [--json FILE]
        [--checkpoints FILE ...] [--no-compiled]

Without checkpoints: an AlphaNet of size small and a MACE of 32x0e + 32x1o, random weights, float32, 5 A. The
bare model is given its graph and makes energies and forces: by the checkpoint's own forward, and by the
artifact's. Everything else does all of molecular dynamics (neighbour lists, integration) on the same crystal.
The ways take turns in every round; medians, and medians of the rounds' ratios. A ratio above one: the first
of the two is the faster.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _mace import make_mace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.md.verlet import VelocityVerlet
from rich.console import Console
from rich.table import Table

ELEMENTS = [1, 6, 8, 14]
TIMESTEP = 0.1  # fs: random weights


def seconds(work: Callable[[int], None], steps: int) -> float:
    """Of one of `steps` steps."""
    start = time.perf_counter()
    work(steps)
    return (time.perf_counter() - start) / steps


def crystal(count: int) -> Atoms:
    """About so many atoms of silicon, displaced."""
    side = round((count / 8) ** (1 / 3))
    found = bulk("Si", cubic=True).repeat((side, side, side))
    found.rattle(0.03, seed=0)
    return found


def checkpoint(folder: Path, architecture: str, size: Any) -> Path:
    """A model with random weights, float32: "alphanet" of a size, or "mace" of so many channels."""
    from hint_plugin.models.alphanet import SIZES, AlphaNet

    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    if architecture == "alphanet":
        model = AlphaNet(ELEMENTS, SIZES[size], average_neighbours=28.0)
    else:
        model = make_mace(ELEMENTS, channels=size, neighbours=28.0)
    torch.save(model, folder / f"{architecture}.model")
    return folder / f"{architecture}.model"


def checkpoints(folder: Path) -> list[Path]:
    """Models with random weights."""
    return [checkpoint(folder, "alphanet", "small"), checkpoint(folder, "mace", 32)]


class Lammps:
    """`lmp` with `pair_style hint`; its own clock, after five steps to warm up."""

    def __init__(self, folder: Path, model: Path, atoms: Atoms, threads: int, device: str = "auto") -> None:
        from ase.io.lammpsdata import write_lammps_data

        self.folder, self.threads = folder, threads
        write_lammps_data(folder / "structure.data", atoms, specorder=["Si"], masses=True)
        self.text = (
            "units metal\natom_style atomic\natom_modify map yes\nnewton on\nread_data structure.data\n"
            f"pair_style hint device {device}\npair_coeff * * {model} Si trust\nneighbor 1.0 bin\n"
            f"fix nve all nve\ntimestep {TIMESTEP / 1000}\nrun 5 post no\n"
        )

    def __call__(self, steps: int) -> float:
        """Seconds of a step."""
        return self.runs(steps, 1)[0]

    def runs(self, steps: int, count: int) -> list[float]:
        """Seconds of a step, of so many runs of one process. Raises RuntimeError with what `lmp` says."""
        (self.folder / "in.speed").write_text(self.text + f"run {steps}\n" * count)
        done = subprocess.run(
            [str(Path(sys.executable).parent / "lmp"), "-in", "in.speed", "-log", "none"],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": str(self.threads)},
            capture_output=True,
            text=True,
        )
        said = done.stdout
        if done.returncode:
            told = f"{said[-2000:]}{done.stderr[-2000:]}"
            raise RuntimeError(f"lmp ended with {done.returncode}:\n{told}")
        return [float(x) / steps for x in re.findall(r"Loop time of ([0-9.e+-]+) on", said)[-count:]]


def ase_md(atoms: Atoms, calculator: Any) -> Callable[[int], float]:
    """ASE's velocity Verlet."""
    atoms = atoms.copy()
    atoms.calc = calculator
    dynamics = VelocityVerlet(atoms, TIMESTEP * units.fs)
    dynamics.run(5)
    return lambda steps: seconds(dynamics.run, steps)


def repeated(call: Callable[[], Any]) -> Callable[[int], float]:
    """The same call, steps times."""
    for _ in range(4):  # TorchScript compiles in its first calls
        call()

    def work(steps: int) -> None:
        for _ in range(steps):
            call()

    return lambda steps: seconds(work, steps)


def raw(predictor: Any, frames: list[Atoms]) -> Callable[[], Any]:
    """Energies and forces by the checkpoint; graphs are made beforehand."""
    batch = predictor._batch(frames)
    return lambda: predictor.model(dict(batch), training=False, compute_stress=False)


def bare(potential: Any, frames: list[Atoms]) -> Callable[[], Any]:
    """Energies and gradients of the edges by the artifact; graphs are made beforehand."""
    graph = potential._graph(frames, potential._fresh)
    vectors = graph.vectors.to(potential.dtype)
    mask = torch.ones(len(graph.species), dtype=potential.dtype)
    return lambda: potential.module(vectors, graph.index, graph.species, mask)


def moving(frames: list[Atoms], evaluate: Callable[[list[Atoms]], Any]) -> Callable[[], Any]:
    """Calls with all atoms moved by 0.001 A in between."""
    rng = np.random.default_rng(1)

    def step() -> None:
        for atoms in frames:
            atoms.positions += rng.normal(0, 0.001, atoms.positions.shape)
        evaluate(frames)

    return step


def measure(path: Path, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Milliseconds of every way, of one checkpoint."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from mace.calculators import MACECalculator

        from hint_plugin.export.checkpoint_to_artifact import compiled_path, export
        from hint_plugin.mace.predictor import MacePredictor
        from hint_plugin.potentials.hint_calculator import HintCalculator

        artifact = folder / f"{path.stem}.hint.pt"
        metadata = export(path, artifact, aoti=options.compiled)
        predictor = MacePredictor(path)
        name = str(predictor.dtype).removeprefix("torch.")
        mace = MACECalculator(models=[predictor.model], device="cpu", default_dtype=name)
        script = HintCalculator(artifact)
        machine = HintCalculator(compiled_path(artifact), trust=True) if options.compiled else None

    def one_by_one(calculator: Any) -> Callable[[list[Atoms]], None]:
        def evaluate(frames: list[Atoms]) -> None:
            for atoms in frames:
                atoms.calc = calculator
                atoms.get_forces()

        return evaluate

    one = crystal(options.atoms)
    small = [molecule(n) for n in ("CH3CH2OH", "H2O", "CH4", "C2H4")]
    many = [atoms.copy() for _ in range(16) for atoms in small]
    scripted, compiled = folder / "scripted", folder / "compiled"
    for place in (scripted, compiled):
        place.mkdir(exist_ok=True)
    dynamics = {
        "bare: checkpoint": repeated(raw(predictor, [one])),
        "bare: artifact": repeated(bare(script.potential, [one])),
        "LAMMPS": Lammps(scripted, artifact, one, options.threads),
        "ASE, HintCalculator": ase_md(one, script),
        "ASE, MACECalculator": ase_md(one, mace),
    }
    molecules = {
        "bare: checkpoint": repeated(raw(predictor, many)),
        "at once": repeated(moving([a.copy() for a in many], script.evaluate)),
        "one by one": repeated(moving([a.copy() for a in many], one_by_one(script))),
        "MACECalculator": repeated(moving([a.copy() for a in many], one_by_one(mace))),
    }
    if machine is not None:
        dynamics |= {
            "bare: .pt2": repeated(bare(machine.potential, [one])),
            "LAMMPS, .pt2": Lammps(compiled, compiled_path(artifact), one, options.threads),
            "ASE, HintCalculator, .pt2": ase_md(one, machine),
        }
        molecules |= {
            "at once, .pt2": repeated(moving([a.copy() for a in many], machine.evaluate)),
            "one by one, .pt2": repeated(moving([a.copy() for a in many], one_by_one(machine))),
        }
    return {
        "model": f"{metadata.architecture}, {metadata.parameters:,} parameters, {name}",
        "atoms": len(one),
        "molecules": len(many),
        "dynamics": turns(dynamics, options.steps, options.rounds),
        "small": turns(molecules, 3, options.rounds),
    }


def turns(ways: dict[str, Callable[[int], float]], steps: int, rounds: int) -> dict[str, list[float]]:
    """ms, a number a round."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(1e3 * way(steps))
    return times


#: What is compared: (first, second, what second / first means)
RATIOS = {
    "dynamics": (
        ("LAMMPS", "bare: artifact", "speed of LAMMPS over the bare artifact's"),
        ("LAMMPS, .pt2", "bare: .pt2", "the same, compiled"),
        ("ASE, HintCalculator", "bare: checkpoint", "speed of ASE with HintCalculator over the checkpoint's"),
        ("ASE, HintCalculator", "ASE, MACECalculator", "HintCalculator over MACECalculator, in ASE"),
        ("bare: artifact", "bare: checkpoint", "bare artifact over bare checkpoint"),
        ("LAMMPS", "ASE, HintCalculator", "LAMMPS over ASE with HintCalculator"),
        ("LAMMPS", "ASE, MACECalculator", "LAMMPS over ASE with MACECalculator"),
        ("LAMMPS, .pt2", "LAMMPS", "compiled over TorchScript, in LAMMPS"),
    ),
    "small": (
        ("at once", "one by one", "at once over one by one"),
        ("at once", "bare: checkpoint", "at once over the checkpoint on prepared graphs"),
        ("one by one", "MACECalculator", "HintCalculator over MACECalculator"),
    ),
}


def report(results: list[dict[str, Any]], threads: int) -> None:
    """Tables."""
    for part in ("dynamics", "small"):
        first = results[0]
        title = (
            f"a step of {first['atoms']} atoms" if part == "dynamics" else f"{first['molecules']} molecules"
        )
        table = Table(title=f"{title}: ms, CPU, {threads} thread(s)")
        table.add_column("")
        for result in results:
            table.add_column(result["model"], justify="right")
        for name in first[part]:
            table.add_row(name, *(f"{np.median(result[part][name]):.1f}" for result in results))
        table.add_section()
        for fast, slow, meaning in RATIOS[part]:
            if fast in first[part] and slow in first[part]:
                # of the same round: the machine's speed changes from one to the next
                ratios = (np.median(np.divide(r[part][slow], r[part][fast])) for r in results)
                table.add_row(meaning, *(f"{ratio:.2f}" for ratio in ratios))
        Console(width=130).print(table)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoints", type=Path, nargs="+")
    parser.add_argument("--atoms", type=int, default=512)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-compiled", dest="compiled", action="store_false", help="TorchScript only")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        paths = options.checkpoints or checkpoints(Path(folder))
        results = [measure(path.resolve(), options, Path(folder)) for path in paths]
    report(results, options.threads)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
