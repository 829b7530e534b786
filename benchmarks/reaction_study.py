"""Do Hessians in the training set help to find transition states? The paper's experiment, small, on GFN2-xTB.

    python benchmarks/reaction_study.py -o study-out [--size tiny|small|large] [--jobs 2] [--models ef h10]

1. Reactions: pairs made by changing bonds of small HCNO molecules (`_reaction_set.py`, with RDKit: `pip
   install rdkit`); `hint reactions` finds their transition states on GFN2-xTB. Where there is a path, its own
   ends are reactant and product of the set, so that every reaction has an answer.
2. Frames: displaced copies of images of the paths to train on, with energies, forces and Hessians.
3. Trainings by `mace_run_train`, AlphaNet, the same frames, the same number of steps: without Hessians, with
   those of 1 % and 10 % of the frames (chosen at random, of highest, of lowest energy), with all.
4. On the held-out reactions: `hint reactions` with each model, `hint compare-thermo` and `hint evaluate`.

The truth is GFN2-xTB throughout. What is done is not done again: an interrupted run goes on. Writes
results.json, results.md, results.png. small: about an hour on two cores.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _commands import run, study_parser, together
from _reaction_set import write_candidates
from ase import Atoms

from hint_plugin.data import read_frames, write_frames
from hint_plugin.data.labels.ase_energies import energy_of
from hint_plugin.science.reactions.matching import match
from hint_plugin.science.reactions.reaction_files import KCAL
from hint_plugin.science.reactions.sets import read_set
from hint_plugin.science.reactions.success_rates import mcnemar, wilson

BATCH = 8
TRAINING = (
    "--model AlphaNet --alphanet_size small --lr 0.005 --r_max 5.0 --E0s average --energy_weight 10 "
    "--forces_weight 100 --ema --ema_decay 0.99 --scheduler ExponentialLR --default_dtype float32 "
    f"--error_table PerAtomMAE --plot False --batch_size {BATCH} --valid_batch_size 32 --seed 1"
)
FEW = "--loss hint_hutchinson --hint_weight_start 2 --hint_weight_end 16"
ALL = "--loss hint_hutchinson --hint_weight_start 10 --hint_weight_end 80"
#: Barriers outside of this are left out of the set, eV.
BARRIER = (0.05, 5.0)
DISPLACEMENT = 0.06  # A
SAME = 0.2  # A, RMSD of transition states
KINDS = ("minimum", "transition state")


@dataclass(frozen=True)
class Model:
    """One row: what of the Hessian labels it sees."""

    title: str
    choice: str | None = None  #: of `hint sample`; "" takes all labels, None none
    options: str = ""


MODELS = {
    "ef": Model("E/F only"),
    "h1": Model("+ H of 1 %, random", "random --fraction 0.01", FEW),
    "h10": Model("+ H of 10 %, random", "random --fraction 0.1", FEW),
    "high": Model("+ H of 10 %, highest energies", "energy --rank high --fraction 0.1", FEW),
    "low": Model("+ H of 10 %, lowest energies", "energy --rank low --fraction 0.1", FEW),
    "all": Model("+ H of all", "", ALL),
}


@dataclass(frozen=True)
class Size:
    """How much of everything; images of a path and copies of each."""

    candidates: int
    held_out: int
    images: int
    copies: int
    steps: int


SIZES = {
    "tiny": Size(candidates=8, held_out=2, images=4, copies=1, steps=60),
    "small": Size(candidates=110, held_out=16, images=10, copies=4, steps=3000),
    "large": Size(candidates=800, held_out=120, images=16, copies=8, steps=60000),
}


def make_reactions(folder: Path, size: Size, jobs: int) -> None:
    """train/ and held_out/: folders of reactions with reactant, product, ts, irc, reaction.json."""
    if (folder / "held_out").exists():
        return
    if not (folder / "candidates").exists():
        shutil.rmtree(folder / "making", ignore_errors=True)
        write_candidates(folder / "making", size.candidates, seed=0)
        (folder / "making").rename(folder / "candidates")
    search = f"--engine gfn2-xtb --jobs {jobs} --timeout 120"
    run(f"hint reactions candidates -o found {search} --guesses 2", folder)
    if not (folder / "paths").exists():
        _copy(_with_a_path(folder / "found"), folder / "paths", _ends_of_the_path)
    run(f"hint reactions paths -o reference {search}", folder)
    good = [path for path in _results(folder / "reference") if _numbers(path)["verdicts"]["strict"]]
    random.Random(0).shuffle(good)
    held_out = min(size.held_out, len(good) // 3)
    _copy(good[held_out:], folder / "train", _as_found)
    _copy(good[:held_out], folder / "held_out", _as_found)


def _copy(chosen: Iterable[Path], target: Path, fill: Callable[[Path, Path], None]) -> None:
    """A folder of folders, whole or not at all."""
    making = target.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    for path in chosen:
        place = making / path.name
        place.mkdir(parents=True)
        fill(path, place)
    making.rename(target)


def _ends_of_the_path(source: Path, place: Path) -> None:
    images = read_frames(source / "irc.xyz")
    for name, frame in (("reactant", images[0]), ("product", images[-1])):
        write_frames(place / f"{name}.xyz", [Atoms(frame.symbols, frame.positions)])


def _as_found(source: Path, place: Path) -> None:
    for name in ("reactant.xyz", "product.xyz", "irc.xyz", "reaction.json"):
        shutil.copy(source / name, place / name)
    shutil.copy(source / "transition_state.xyz", place / "ts.xyz")


def _results(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if (path / "irc.xyz").exists())


def _numbers(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "reaction.json").read_text())
    return found


def _with_a_path(folder: Path) -> Iterator[Path]:
    """Paths between molecules with different bonds, over a barrier, and no transition state twice."""
    seen: set[tuple[str, int]] = set()
    for path in _results(folder):
        images = read_frames(path / "irc.xyz")
        energies = [float(energy_of(frame)) for frame in images]
        top = max(energies)
        key = (images[0].get_chemical_formula(), round(top / 0.005))
        lower, upper = top - max(energies[0], energies[-1]), top - min(energies[0], energies[-1])
        if key in seen or lower < BARRIER[0] or upper > BARRIER[1] or match(images[0], images[-1]):
            continue
        seen.add(key)
        yield path


def make_frames(folder: Path, size: Size, jobs: int) -> None:
    """train.xyz, valid.xyz, test.xyz (paths), stationary.xyz (reactants, TSs, products), with Hessians."""
    for seed, (name, source, images, copies) in enumerate(
        (
            ("train", "train", size.images, size.copies),
            ("valid", "train", 1, 1),
            ("test", "held_out", 5, 1),
        )
    ):
        if (folder / f"{name}.xyz").exists():
            continue
        frames = []
        for place in _results(folder / source):
            path = read_frames(place / "irc.xyz")
            chosen = np.linspace(0, len(path) - 1, images) if images > 1 else [len(path) // 2]
            frames += [Atoms(path[round(k)].symbols, path[round(k)].positions) for k in chosen]
        write_frames(folder / f"{name}_images.xyz", frames)
        run(
            f"hint sample displace {name}_images.xyz -o {name}_plan.json --extract {name}_geometries.xyz "
            f"--copies {copies} --sigma {DISPLACEMENT} --seed {seed}",
            folder,
        )
        run(f"hint label {name}_geometries.xyz -o {name}.xyz --jobs {jobs}", folder)
    if not (folder / "stationary.xyz").exists():
        points = []
        for pair in read_set(folder / "held_out"):
            assert pair.saddle is not None
            points += [Atoms(p.symbols, p.positions) for p in (pair.reactant, pair.saddle, pair.product)]
        write_frames(folder / "points.xyz", points)
        run(f"hint label points.xyz -o stationary.xyz --jobs {jobs}", folder)


def train(folder: Path, name: str, size: Size, device: str) -> None:
    """One model, exported."""
    place, model = folder / name, MODELS[name]
    if (place / "model.hint.pt").exists():
        return
    place.mkdir(exist_ok=True)
    data = "../train.xyz"
    if model.choice:
        data = "train.xyz"
        run(f"hint sample {model.choice} ../train.xyz -o plan.json --extract {data} --keep-all", place)
    epochs = max(1, round(size.steps * BATCH / len(read_frames(folder / "train.xyz"))))
    seconds = run(
        f"mace_run_train --name model --train_file {data} --valid_file ../valid.xyz {TRAINING} "
        f"{model.options} --max_num_epochs {epochs} --eval_interval {max(1, epochs // 6)} --device {device} "
        f"--lr_scheduler_gamma {0.02 ** (1 / epochs):.5f}",
        place,
        "train.log",
    )
    (place / "training.json").write_text(json.dumps({"seconds": round(seconds, 1), "epochs": epochs}))
    run("hint export model.model -o model.hint.pt", place)


def test(folder: Path, name: str) -> None:
    """Reactions, thermochemistry and plain errors of one model on what was held out."""
    place = folder / name
    if not (place / "evaluation" / "metrics.json").exists():
        run("hint evaluate model.model ../test.xyz -o evaluation --no-plots", place)
    if not (place / "thermo" / "compare-thermo.json").exists():
        run("hint compare-thermo ../stationary.xyz --model model.hint.pt -o thermo", place, allowed=(0, 3))
    run("hint reactions ../held_out -o reactions --model model.hint.pt --timeout 600", place)


def row(folder: Path, name: str) -> dict[str, Any]:
    """The numbers of one model."""
    place = folder / name
    metrics = json.loads((place / "evaluation" / "metrics.json").read_text())["metrics"]
    thermo = json.loads((place / "thermo" / "compare-thermo.json").read_text())["mean_absolute_errors"]
    wanted = {path.name: _numbers(path) for path in _results(folder / "held_out")}
    got = {key: _numbers(place / "reactions" / key) for key in wanted}
    success = {key: bool(got[key]["verdicts"]["strict"]) for key in wanted}
    same = {key: (got[key].get("rmsd_to_known_saddle") or np.inf) < SAME for key in wanted}
    errors = {
        kind: [
            abs(got[key][kind]["forward"] - wanted[key][kind]["forward"])
            for key in wanted
            if same[key] and got[key][kind] and wanted[key][kind]
        ]
        for kind in ("barriers", "gibbs")
    }
    low, high = wilson(sum(success.values()), len(wanted))
    return {
        "name": name,
        "title": MODELS[name].title,
        **json.loads((place / "training.json").read_text()),
        **{key: metrics[key] for key in ("energy_mae", "forces_mae", "hessian_mae", "eigenvalues_mae")},
        "success": success,
        "success_rate": [sum(success.values()) / len(wanted), low, high],
        "known_saddle": same,
        **{f"{kind}_mae": float(np.mean(values)) if values else None for kind, values in errors.items()},
        "thermo": {f"{r['kind']}, {r['where']}": r for r in thermo},
    }


def report(rows: list[dict[str, Any]], folder: Path) -> None:
    """The table, as Markdown and on the screen; results.json; results.png."""
    heads = (
        "training", "F, eV/A", "H, eV/A^2", f"intended, of {len(rows[0]['success'])}", "known TS",
        "barrier, kcal/mol", "Gibbs barrier", "G - E of R, P, meV", "of TS", "minima that are", "saddles",
        "training, s",
    )  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += ["| " + " | ".join(_cells(r)) + " |" for r in rows]
    base = rows[0]["success"]
    for r in rows[1:]:
        lost = sum(base[key] and not r["success"][key] for key in base)
        won = sum(r["success"][key] and not base[key] for key in base)
        lines.append(
            f"\n{r['title']} against {rows[0]['title']}: {won} won, {lost} lost, "
            f"p = {mcnemar(lost, won):.2g} (McNemar)"
        )
    text = "\n".join(lines)
    (folder / "results.md").write_text(text + "\n")
    (folder / "results.json").write_text(json.dumps(rows, indent=2) + "\n")
    figure(rows, folder / "results.png")
    print(text)
    print(f"written: {folder / 'results.json'}, results.md, results.png")


def _cells(r: dict[str, Any]) -> list[str]:
    """G - E on the model's own geometries; reference points at which the imaginary modes are as many."""
    thermo = r["thermo"]
    own = [thermo[f"{kind}, own_geometry"] for kind in KINDS]
    same = [thermo[f"{kind}, same_geometry"] for kind in KINDS]
    _, low, high = r["success_rate"]
    return [
        r["title"],
        f"{r['forces_mae']:.3f}",
        f"{r['hessian_mae']:.3f}",
        f"{sum(r['success'].values())} ({100 * low:.0f}-{100 * high:.0f} %)",
        str(sum(r["known_saddle"].values())),
        _number(r["barriers_mae"], KCAL),
        _number(r["gibbs_mae"], KCAL),
        *(_number(one["gibbs_correction"], 1000) for one in own),
        *(f"{one['count']} of {one['failed'] + one['count']}" for one in same),
        f"{r['seconds']:.0f}",
    ]


def _number(value: float | None, factor: float) -> str:
    return "" if value is None else f"{factor * value:.1f}"


def figure(rows: list[dict[str, Any]], path: Path) -> None:
    """Success with its interval, Hessian errors, known points whose Hessian has the right signs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
    places = np.arange(len(rows))
    rates = 100 * np.array([r["success_rate"] for r in rows])
    axes[0].barh(
        places, rates[:, 0], xerr=[rates[:, 0] - rates[:, 1], rates[:, 2] - rates[:, 0]], color="#1f5fa8"
    )
    axes[0].set_xlabel("intended transition states, %")
    axes[0].set_yticks(places, [r["title"] for r in rows])
    axes[0].invert_yaxis()
    axes[1].barh(places, [r["hessian_mae"] for r in rows], color="#1f5fa8")
    axes[1].set_xlabel("Hessian MAE, eV/A$^2$")
    for shift, kind, color in zip((-0.2, 0.2), KINDS, ("#1f5fa8", "#c44e22"), strict=True):
        same = [r["thermo"][f"{kind}, same_geometry"] for r in rows]
        share = [100 * one["count"] / (one["count"] + one["failed"]) for one in same]
        axes[2].barh(places + shift, share, 0.38, color=color, label=kind)
    axes[2].set_xlim(0, 100)
    axes[2].set_xlabel("known points, right number of imaginary modes, %")
    axes[2].legend(frameon=False, fontsize=8, loc="upper right")
    panels.savefig(path, dpi=150)
    plt.close(panels)


def main() -> None:
    """Command line."""
    parser = study_parser(__doc__, "study-out", SIZES)
    parser.add_argument("--models", nargs="+", choices=tuple(MODELS), default=list(MODELS))
    parser.add_argument("--device", default="cpu", help="of the trainings")
    options = parser.parse_args()
    size = SIZES[options.size]
    folder = (options.output / options.size).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()

    def said(text: str) -> None:
        print(f"{time.perf_counter() - start:6.0f} s  {text}", flush=True)

    make_reactions(folder, size, options.jobs)
    counts = [len(_results(folder / name)) for name in ("train", "held_out")]
    said(f"reactions: {counts[0]} to train on, {counts[1]} held out")
    make_frames(folder, size, options.jobs)
    said(f"frames: {len(read_frames(folder / 'train.xyz'))} to train on")

    def all_of(name: str) -> dict[str, Any]:
        train(folder, name, size, options.device)
        said(f"{name}: trained")
        test(folder, name)
        said(f"{name}: tested")
        return row(folder, name)

    rows = list(together(all_of, [(name,) for name in options.models], options.jobs))
    report(rows, folder)
    said("done")


if __name__ == "__main__":
    main()
