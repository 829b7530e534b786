"""What a Hessian is worth by how its frame was chosen: weighted local density, random, energy; equal budgets.

    python benchmarks/sampling_efficiency.py -o efficiency-out [--size tiny|small] [--jobs 2]
        [--methods wld random energy fps] [--model alphanet|mace]

The pool is as trajectories are: most frames are a few molecules near their minima, one in eight is of a rare
kind (other molecules, reaction paths, large displacements). All are labelled by GFN2-xTB. For each budget,
method and seed: `hint sample` chooses the frames, which train a model with energies, forces and Hessians by
`mace_run_train --loss hint_hutchinson`, the same number of steps for all; `hint evaluate` measures it on two
held-out files, common and rare kinds. E0s and elements are those of the whole pool, whatever was chosen.

The seed is that of the choice and of the training; energy chooses the same frames for every seed. A row that
is done is not done again: an interrupted run goes on, and more seeds or methods can be added. The table has
means and sample standard deviations over the seeds; `results.json` has every row. tiny: a few minutes, to see
that it runs. small: under 20 minutes on two cores.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _commands import run, study_parser, together
from _training import MODELS, lone_atoms

from hint_plugin.data import iter_frames, write_frames
from hint_plugin.data.structures.geometries import REACTIONS, shaken

COMMON = ("CH3OH", "CH3CHO", "H2O", "C2H6")
RARE = ("HCOOH", "H3CNH2", "CH3CN", "C2H2", *REACTIONS)
BATCH = 6
NAMED = {name.lower(): options for name, options in MODELS.items()}
TRAINING = (
    "--loss hint_hutchinson --r_max 5.0 --energy_weight 10 --forces_weight 100 --ema --ema_decay 0.99 "
    "--scheduler ExponentialLR --default_dtype float32 --device cpu --error_table PerAtomMAE --plot False "
    f"--batch_size {BATCH} --valid_batch_size 12"
)
SETTINGS = {
    "wld": "wld -k 5",
    "random": "random",
    "energy": "energy --rank high",
    "fps": "fps",
}


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    pool: int
    test: int
    budgets: tuple[int, ...]
    seeds: int
    steps: int


SIZES = {
    "tiny": Size(pool=48, test=8, budgets=(12,), seeds=1, steps=20),
    "small": Size(pool=320, test=28, budgets=(24, 72), seeds=3, steps=480),
}
METRICS = ("hessian_mae", "forces_mae", "eigenvalues_mae")


def make_data(folder: Path, size: Size, jobs: int) -> None:
    """pool.xyz, valid.xyz, common.xyz, rare.xyz, with labels."""
    rare = size.pool // 8
    sets = {
        "pool": shaken(COMMON, size.pool - rare, sigmas=(0.03, 0.05), seed=1)
        + shaken(RARE, rare, sigmas=(0.08, 0.15), seed=2),
        "valid": shaken((*COMMON, *RARE), len(COMMON + RARE), sigmas=(0.05,), seed=3),
        "common": shaken(COMMON, size.test, sigmas=(0.03, 0.05), seed=4),
        "rare": shaken(RARE, size.test, sigmas=(0.08, 0.15), seed=5),
    }
    for name, frames in sets.items():
        if not (folder / f"{name}.xyz").exists():
            write_frames(folder / f"{name}_geometries.xyz", frames)
            run(f"hint label {name}_geometries.xyz -o {name}.xyz --jobs {jobs}", folder)


def row(folder: Path, method: str, budget: int, seed: int, model: str, size: Size, e0s: dict) -> dict:
    """Choose, train, evaluate; read from its folder if it is done."""
    place = folder / f"{model}-{method}-{budget}-{seed}"
    result = place / "result.json"
    if result.exists():
        return json.loads(result.read_text())
    place.mkdir(exist_ok=True)
    run(
        f"hint sample {SETTINGS[method]} ../pool.xyz -o plan.json -n {budget} --seed {seed} "
        f"--extract train.xyz" + (" --cache ../features" if method in ("wld", "fps") else ""),
        place,
    )
    epochs = round(size.steps * BATCH / budget)
    written = "{" + ", ".join(f"{z}: {energy:.6f}" for z, energy in e0s.items()) + "}"
    seconds = run(
        f"mace_run_train --name model --train_file train.xyz --valid_file ../valid.xyz {TRAINING} "
        f"{NAMED[model]} --seed {seed + 1} --max_num_epochs {epochs} --eval_interval {max(1, epochs // 10)} "
        f"--lr_scheduler_gamma {0.05 ** (1 / epochs):.5f} --E0s '{written}' --atomic_numbers '{list(e0s)}'",
        place,
        "train.log",
    )
    run("hint evaluate model.model ../common.xyz ../rare.xyz -o evaluation --no-plots", place)
    metrics = json.loads((place / "evaluation" / "metrics.json").read_text())
    kinds = [a.info["config_type"] for a in iter_frames(place / "train.xyz")]
    found = {
        "method": method,
        "budget": budget,
        "seed": seed,
        "model": model,
        "steps": size.steps,
        "rare_chosen": sum(kind.replace("_", " ") in RARE for kind in kinds),
        "seconds": round(seconds, 1),
        "both": {name: metrics["metrics"][name] for name in METRICS},
    }
    for test in ("common", "rare"):
        (source,) = (s for s in metrics["sources"] if s.endswith(f"{test}.xyz"))
        found[test] = {name: metrics["sources"][source][name] for name in METRICS}
    temporary = result.with_suffix(".tmp")
    temporary.write_text(json.dumps(found, indent=2) + "\n")
    temporary.replace(result)
    return found


def report(rows: list[dict], folder: Path) -> None:
    """A Markdown table of means and spreads."""

    def spread(some: list[dict], test: str, metric: str) -> str:
        values = np.array([r[test][metric] for r in some])
        return f"{values.mean():.3f}" + (f" +- {values.std(ddof=1):.3f}" if len(values) > 1 else "")

    heads = ("budget", "method", "rare chosen", "H, common", "H, rare", "H, both", "F, both", "seeds")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for budget in sorted({r["budget"] for r in rows}):
        for method in dict.fromkeys(r["method"] for r in rows):
            some = [r for r in rows if (r["budget"], r["method"]) == (budget, method)]
            cells = [str(budget), method, f"{np.mean([r['rare_chosen'] for r in some]):.1f}"]
            cells += [spread(some, test, "hessian_mae") for test in ("common", "rare", "both")]
            lines.append(
                "| " + " | ".join([*cells, spread(some, "both", "forces_mae"), str(len(some))]) + " |"
            )
    text = "\n".join(lines)
    (folder / "results.md").write_text(text + "\n")
    (folder / "results.json").write_text(json.dumps(rows, indent=2) + "\n")
    print(text)
    print(f"mean absolute errors, H in eV/A^2, F in eV/A; written: {folder / 'results.json'}")


def main() -> None:
    """Command line."""
    parser = study_parser(__doc__, "efficiency-out", SIZES)
    parser.add_argument("--methods", nargs="+", choices=tuple(SETTINGS), default=["wld", "random", "energy"])
    parser.add_argument("--model", choices=tuple(NAMED), default="alphanet")
    parser.add_argument("--seeds", type=int, help="of the choice and the training (default: by size)")
    options = parser.parse_args()
    size = SIZES[options.size]
    folder = (options.output / options.size).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    make_data(folder, size, options.jobs)
    e0s = lone_atoms(folder / "pool.xyz")
    # the features once, before several rows want them at the same time
    run(f"hint sample fps pool.xyz -o fps.json -n 1 --cache features --jobs {options.jobs}", folder)
    print(f"pool and tests: {time.perf_counter() - start:.0f} s", flush=True)
    todo = [
        (method, budget, seed)
        for seed in range(options.seeds or size.seeds)
        for budget in size.budgets
        for method in options.methods
    ]
    rows = []
    arguments = [(folder, *which, options.model, size, e0s) for which in todo]
    for number, (which, found) in enumerate(
        zip(todo, together(row, arguments, options.jobs), strict=True), 1
    ):
        rows.append(found)
        print(f"{number} of {len(todo)}: {which}, {found['seconds']:.0f} s", flush=True)
    report(rows, folder)
    print(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
