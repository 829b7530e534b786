"""What a population of an SSCHA costs: time and memory, with HINT and with python-sscha's own loop over ASE.

    python benchmarks/sscha_population.py [--sizes 2 3 4] [--configs 500] [--steps 15] [--json F]

PdH (rock salt; the dynamical matrices of tests/data, interpolated where needed) with the embedded-atom
potential of pdh_eam.py through LAMMPS, or an exported model (`--model FILE`). A population is drawn,
evaluated and minimised. HINT: structures together where the potential can, sums over q. python-sscha:
`get_energy_forces`, one structure at a time, and `SSCHA_Minimizer` without Julia, whose accepted step is two
iterations. Each runs in a process of its own; memory is the peak of all of it.
python-sscha takes only `--library-steps` accepted steps, and its time of a step is multiplied.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
PDH = ROOT / "tests" / "data" / "formats" / "qe" / "pdh.dyn"


def calculator(model: Path | None) -> Any:
    """The exported model, or palladium hydride by LAMMPS."""
    if model is not None:
        from hint_plugin.potentials.hint_calculator import HintCalculator

        return HintCalculator(model)
    sys.path.insert(0, str(ROOT / "examples" / "pdh"))
    import pdh_eam

    return pdh_eam.calculator()


def start(size: int) -> Any:
    """Positive force constants of PdH on size x size x size cells."""
    from hint_plugin.science.anharmonic import read_dynamical_matrices
    from hint_plugin.science.anharmonic.crystal_symmetry import SpaceGroup
    from hint_plugin.science.anharmonic.initial_force_constants import interpolated, positive

    found = interpolated(read_dynamical_matrices(PDH), (size, size, size))
    return positive(found, SpaceGroup(found.atoms, found.repeats))


def with_hint(size: int, model: Path | None, configs: int, steps: int) -> dict[str, float]:
    """Seconds of each part."""
    from hint_plugin.science.anharmonic import Evaluator
    from hint_plugin.science.anharmonic.crystal_symmetry import SpaceGroup
    from hint_plugin.science.anharmonic.ensemble import Population, draw, frames
    from hint_plugin.science.anharmonic.minimisation import minimise

    constants, engine = start(size), Evaluator(calculator(model))
    engine(frames(constants, draw(constants, 0.0, 2, np.random.default_rng(1))))
    times = [time.perf_counter()]
    displacements = draw(constants, 0.0, configs, np.random.default_rng(0))
    structures = frames(constants, displacements)
    times.append(time.perf_counter())
    found = engine(structures)
    times.append(time.perf_counter())
    population = Population(constants, 0.0, displacements, found)
    group = SpaceGroup(constants.atoms, constants.repeats)
    minimum = minimise(population, group, steps=steps, kong_liu=1e-9, meaningful=1e-12)
    times.append(time.perf_counter())
    taken = len(minimum.steps) - 1
    return _parts(times, taken / steps)


def with_library(size: int, model: Path | None, configs: int, steps: int) -> dict[str, float]:
    """The same with python-sscha's own."""
    import sscha.Ensemble
    import sscha.SchaMinimizer

    from hint_plugin.science.anharmonic.python_sscha import quiet, to_cellconstructor

    dyn, engine = to_cellconstructor(start(size)), calculator(model)
    with quiet():
        ensemble = sscha.Ensemble.Ensemble(dyn, 0.0)
        ensemble.generate(2)
        ensemble.get_energy_forces(engine, True)
        times = [time.perf_counter()]
        np.random.seed(0)
        ensemble.generate(configs)
        times.append(time.perf_counter())
        ensemble.compute_ensemble(engine, True)
        times.append(time.perf_counter())
        minimizer = sscha.SchaMinimizer.SSCHA_Minimizer(ensemble)
        minimizer.set_minimization_step(0.002)
        minimizer.kong_liu_ratio, minimizer.meaningful_factor = 1e-9, 1e-12
        minimizer.max_ka = 2 * steps
        minimizer.init()
        minimizer.run()
    times.append(time.perf_counter())
    return _parts(times, len(minimizer.__gc__) / (2 * steps))


def _parts(times: list[float], done: float) -> dict[str, float]:
    names = ("draw", "forces", "minimise")
    found = dict(zip(names, np.diff(times).tolist(), strict=True))
    found["minimise"] /= done
    return {**found, "memory": peak()}


def peak() -> float:
    """MB, of this process."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _work(function: Any, arguments: tuple[Any, ...], pipe: Any) -> None:
    pipe.send(function(*arguments))


def alone(function: Any, *arguments: Any) -> dict[str, float]:
    """In a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(function, arguments, there))
    process.start()
    there.close()
    found: dict[str, float] = here.recv()
    process.join()
    return found


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--configs", type=int, default=500)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--library-steps", type=int, default=2)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    table = Table(title=f"A population: {options.configs} structures, {options.steps} accepted steps")
    table.add_column("cells (atoms)")
    table.add_column("with")
    for name in ("draw, s", "forces, s", "minimise, s", "all, s", "peak, MB"):
        table.add_column(name, justify="right")
    rows = []
    for size in options.sizes:
        hint = alone(with_hint, size, options.model, options.configs, options.steps)
        library = alone(with_library, size, options.model, options.configs, options.library_steps)
        library["minimise"] *= options.steps / options.library_steps
        for name, found in (("HINT", hint), ("python-sscha", library)):
            found["all"] = found["draw"] + found["forces"] + found["minimise"]
            row = [f"{found[key]:.2f}" for key in ("draw", "forces", "minimise", "all")]
            table.add_row(f"{size}x{size}x{size} ({2 * size**3})", name, *row, f"{found['memory']:.0f}")
            rows.append({"size": size, "with": name, **found})
    Console(width=100).print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
