"""Does HINT work? Its claims measured on real labels: GFN2-xTB and wB97X/6-31G(d), small HCNO molecules.

    python benchmarks/protocol_study.py -o study-out [--size tiny|small|large] [--jobs 2] [--device cpu]
        [--parts efficiency ablation curriculum sampling stationary models downstream] [--report FILE]
        [--page docs/study.md]

efficiency: errors against the number of DFT Hessians, from nothing and after GFN2-xTB pre-training.
ablation: kinds of the loss, numbers of probes, fresh and fixed ones.
curriculum: constant against growing weight, few labels.
sampling: which frames to label.
stationary: what is learnt from minima alone.
models, downstream: AlphaNet and MACE; frequencies, Gibbs energies, barriers, hot molecular dynamics.

Held-out molecules share no formula with the training. Everything is done by HINT's and MACE's own commands;
what is done is not done again, so that an interrupted run goes on. Writes results.json, study.md and figures.
tiny: minutes, to see that it runs; small: about two hours on two cores; large: a cluster or a GPU.
Needs `pip install rdkit` besides HINT's extras mace, label, dft, sample.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from _commands import study_parser, together
from protocol.data import Amounts, make_data, make_dft_data
from protocol.downstream import downstream, make_pairs, path_of, teacher
from protocol.parts import PARTS, Amount, Point, curriculum, pretraining
from protocol.report import fill_page, label_rows, write_report
from protocol.runs import Training
from protocol.training import train
from protocol.untrained import untrained

from hint_plugin.data import iter_frames
from hint_plugin.data.file_io import write_json


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    data: Amounts
    training: Amount
    pairs: int
    md_ps: float


SIZES = {
    "tiny": Size(
        Amounts(heavy=3, copies=1, paths=1, images=2, test=16, dft=9, dft_atoms=5),
        Amount(steps=10, many=10, pretraining=20, hessians=(0, 2, 9), few=(2,), budgets=(10,), seeds=1),
        pairs=1,
        md_ps=0.02,
    ),
    "small": Size(
        Amounts(heavy=3, copies=16, paths=24, images=5, test=80, dft=30, dft_atoms=7),
        Amount(
            steps=400,
            many=800,
            pretraining=5000,
            hessians=(0, 3, 10, 30),
            few=(8, 80),
            budgets=(40, 160),
            seeds=3,
        ),
        pairs=4,
        md_ps=2.0,
    ),
    "large": Size(
        Amounts(heavy=4, copies=20, paths=400, images=7, test=400, dft=1000, dft_atoms=12),
        Amount(
            steps=6000,
            many=12000,
            pretraining=100000,
            hessians=(0, 10, 30, 100, 300, 1000),
            few=(10, 100),
            budgets=(100, 1000),
            seeds=3,
        ),
        pairs=20,
        md_ps=20.0,
    ),
}
EVERY = (*PARTS, "downstream")


def trainings_of(part: str, size: Size, frames: int) -> list[tuple[Point, Training]]:
    """Of a part, in its order, the seeds of a place together."""
    points = curriculum(size.training, frames) if part == "curriculum" else PARTS[part](size.training)
    return [
        (point, replace(point.training, seed=seed))
        for point in points
        for seed in range(1, size.training.seeds + 1)
    ]


def do_all(
    todo: Sequence[Training], folder: Path, device: str, jobs: int, say: Callable[[str], None]
) -> None:
    """Seed 1 of what starts from nothing, among it what others start from; then all others by their seeds."""
    once = sorted(dict.fromkeys(todo), key=lambda one: one.seed)
    first = [one for one in once if one.seed == 1 and not one.start]
    count = 0
    for some in (first, [one for one in once if one not in first]):
        for row in together(train, [(one, folder, device) for one in some], jobs):
            count += 1
            say(
                f"{count} of {len(once)}: {row['folder']}, {row['seconds']:.0f} s, H {row['hessian_mae']:.3f}"
            )


def downstream_rows(
    rows: list[dict[str, Any]], size: Size, folder: Path, jobs: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Of the part `models`."""
    pairs = make_pairs(folder, size.pairs)
    bands = [(pair, folder, folder / "pairs", "--engine gfn2-xtb") for pair in pairs]
    wanted = dict(zip(pairs, together(path_of, bands, jobs), strict=True))
    work = together(downstream, [(row, folder, wanted, size.md_ps) for row in rows], jobs)
    found = [{"series": "GFN2-xTB", "x": "itself", **teacher(folder, size.md_ps)}]
    for row, more in zip(rows, work, strict=True):
        found.append({"series": row["series"], "x": row["x"], **more})
        say(f"downstream: {row['folder']}")
    return found


def report(done: dict[str, Any], folder: Path, page: Path | None) -> None:
    """Tables and figures, in the folder and in the page."""
    write_report(done, folder)
    if page:
        fill_page(page, done, folder)


def main() -> None:
    """Command line."""
    parser = study_parser(__doc__, "study-out", SIZES)
    parser.add_argument("--parts", nargs="+", choices=EVERY, default=list(EVERY))
    parser.add_argument("--device", default="cpu", help="of the trainings")
    parser.add_argument("--report", type=Path, help="results.json: draw its tables and figures, and no more")
    parser.add_argument("--page", type=Path, help="put them into this page, too")
    options = parser.parse_args()
    size, folder = SIZES[options.size], (options.output / options.size).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if options.report:
        report(json.loads(options.report.read_text()), folder, options.page)
        return
    start = time.perf_counter()

    def say(text: str) -> None:
        print(f"{time.perf_counter() - start:6.0f} s  {text}", flush=True)

    make_data(folder, size.data, options.jobs)
    say("GFN2-xTB: done")
    needed = {*options.parts, *(["models"] if "downstream" in options.parts else [])}
    parts = [part for part in PARTS if part in needed]
    by_dft = {"efficiency", "ablation"} & set(parts)
    if by_dft:
        make_dft_data(folder, size.data, options.jobs)
        say("DFT: done")
    frames = sum(1 for _ in iter_frames(folder / "gfn2-train.xyz"))
    wanted = {part: trainings_of(part, size, frames) for part in parts}
    first = [pretraining(size.training)] if by_dft else []
    everything = [*first, *(one for some in wanted.values() for _, one in some)]
    do_all(everything, folder, options.device, options.jobs, say)
    for one in first:
        untrained(train(one, folder, options.device), folder)
    for part, some in wanted.items():
        rows = [{"part": part, "series": point.series, "x": point.x, **train(one, folder, options.device)}
                for point, one in some]  # fmt: skip
        write_json(folder / f"{part}.json", rows)
        if part == "models" and "downstream" in options.parts:
            write_json(folder / "downstream.json", downstream_rows(rows, size, folder, options.jobs, say))
    done = {part: json.loads((folder / f"{part}.json").read_text())
            for part in ("untrained", *EVERY, "nequip") if (folder / f"{part}.json").exists()}  # fmt: skip
    report({"labels": label_rows(folder), **done}, folder, options.page)
    say(f"written: {folder / 'study.md'}")


if __name__ == "__main__":
    main()
