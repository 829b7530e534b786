"""The main job from nothing: geometries -> GFN2-xTB labels -> trainings with and without Hessians -> MD.

    make demo            (or: python examples/demo.py -o demo-out --jobs 2)

Every step is a command a user would type; the script prints it, runs it, and skips it if its result is there
already. It ends with a table, a figure and ``results.json`` in the output folder, and with a picosecond of
molecular dynamics in LAMMPS. About a quarter of an hour on two cores, with the set-up.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from hint_plugin.data import read_frames, write_frames
from hint_plugin.data.structures.geometries import HELD_OUT, MOLECULES, REACTIONS, shaken

BIN = Path(sys.executable).parent
console = Console()

#: Small enough for two cores, large enough that curvature can be seen to be right or wrong.
MACE = "--model MACE --num_channels 16 --max_L 1 --lr 0.02"
ALPHANET = "--model AlphaNet --alphanet_size small --lr 0.005"
COMMON = (
    "--r_max 5.0 --E0s average --batch_size 6 --valid_batch_size 12 "
    "--scheduler ExponentialLR --energy_weight 10 --forces_weight 100 --ema --ema_decay 0.99 "
    "--default_dtype float32 --device cpu --error_table PerAtomMAE --plot False --seed 1"
)
#: Of MACE: the last quarter of the epochs has a hundred times the weight of energies. Without it, energies
#: end with errors as large as they are, with Hessians and without.
STAGE_TWO = "--stage_two"
#: The weight of the Hessian term follows the gradients: nothing to choose, however many frames have a label.
AUTO = "--hint_weight auto"
#: MACE's own loss, evaluated by HINT's kernels like the others: the same numbers in less time.
KERNELS = "--hint_kernels fast"
EPOCHS = 175
#: The learning rate at the end, relative to that at the start.
DECAY = 0.05


@dataclass(frozen=True)
class Training:
    """One row of the table."""

    name: str
    title: str
    data: str
    options: str = ""
    model: str = MACE
    frames: int = 1  #: times the frames; the epochs are divided by it, so that all rows make as many steps


TRAININGS = (
    Training("ef", "MACE, E/F", "train.xyz", KERNELS),
    Training("hutchinson", "MACE, Hutchinson, all labelled", "train.xyz", f"--loss hint_hutchinson {AUTO}"),
    Training("fifth", "MACE, Hutchinson, one in five", "train_fifth.xyz", f"--loss hint_hutchinson {AUTO}"),
    Training("column", "MACE, column, all labelled", "train.xyz", f"--loss hint_column {AUTO}"),
    Training("ef4", "MACE, E/F, four times the frames", "train_4x.xyz", KERNELS, frames=4),
    Training("alphanet", "AlphaNet, Hutchinson", "train.xyz", f"--loss hint_hutchinson {AUTO}", ALPHANET),
)
#: The model that goes on to molecular dynamics.
MD = "alphanet"
INPUT = Path(__file__).parents[1] / "configs" / "lammps" / "nve.in"
TESTS = {"geometries": "held-out geometries", "molecules": "held-out molecules"}


def run(command: str, folder: Path, log: Path | None = None, accepted: tuple[int, ...] = (0,)) -> float:
    """Run one command in ``folder``, its output into ``log``; returns the CPU seconds that it took.

    Other programs on the machine change the time on the clock, and hardly that of the processor. A command
    that ends with another exit status than the accepted ends the demonstration and shows the end of its
    output.
    """
    console.print(f"$ {command}", style="dim", markup=False, soft_wrap=True, highlight=False)
    words = shlex.split(command)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with open(log, "w+") if log is not None else tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [str(BIN / words[0]), *words[1:]], cwd=folder, env=environment, stdout=output, stderr=output
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in accepted:
            output.seek(0)
            console.print(output.read()[-3000:], highlight=False)
            sys.exit(f"error: '{words[0]}' ended with {process.returncode}; full log: {log}")
    return used.ru_utime + used.ru_stime


def make_data(folder: Path, jobs: int, fraction: float) -> None:
    """Geometries, and their labels by ``hint label``."""
    names = (*MOLECULES, *REACTIONS)
    sets = {
        "train": (names, 60, "full"),
        "more": (names, 180, "none"),
        "valid": (names, 12, "full"),
        "geometries": (names, 24, "full"),
        "molecules": (HELD_OUT, 18, "full"),
    }
    for seed, (name, (chosen, each, hessian)) in enumerate(sets.items(), start=1):
        frames = shaken(chosen, max(2, round(fraction * each)), seed=seed)
        if not (folder / f"{name}.xyz").exists():
            write_frames(folder / f"{name}_geometries.xyz", frames)
            label(f"{name}_geometries.xyz -o {name}.xyz --hessian {hessian}", folder, jobs)
    if not (folder / "train_fifth.xyz").exists():
        label("train_geometries.xyz -o train_fifth.xyz --hessian full --hessian-every 5", folder, jobs)
    if not (folder / "train_4x.xyz").exists():
        write_frames(
            folder / "train_4x.xyz", [*read_frames(folder / "train.xyz"), *read_frames(folder / "more.xyz")]
        )


def label(arguments: str, folder: Path, jobs: int) -> None:
    """GFN2-xTB labels."""
    run(f"hint label {arguments} --engine gfn2-xtb --jobs {jobs}", folder)


def train(job: Training, folder: Path, epochs: int) -> None:
    """One model by stock ``mace_run_train``."""
    place = folder / job.name
    if (place / "done.json").exists():
        return
    place.mkdir(exist_ok=True)
    epochs = max(4, epochs // job.frames)  # of fewer, MACE has none for its stage two
    command = (
        f"mace_run_train --name {job.name} --train_file ../{job.data} --valid_file ../valid.xyz "
        f"--max_num_epochs {epochs} --eval_interval {max(1, min(10, epochs // 4))} "
        f"--lr_scheduler_gamma {DECAY ** (1 / epochs):.4f} {job.model} {COMMON} {job.options} {STAGE_TWO}"
    )
    run_training(command, place, job.title)


def run_training(command: str, place: Path, title: str) -> None:
    """Run a training in its folder, and leave there that it is done and what it took."""
    seconds = run(command, place, place / "train.log")
    (place / "done.json").write_text(json.dumps({"cpu_seconds": round(seconds, 1)}))
    console.print(f"{title}: trained in {seconds:.0f} CPU seconds")


def model_of(name: str) -> str:
    """What a training of stage two leaves for use, besides ``NAME.model`` of the epochs before."""
    return f"{name}_stagetwo.model"


def evaluate(name: str, title: str, model: str, folder: Path) -> dict:
    """Errors of ``folder/name/model`` on both test sets by ``hint evaluate``: a row."""
    place = folder / name
    files = " ".join(f"{test}.xyz" for test in TESTS)
    if not (place / "evaluation" / "metrics.json").exists():
        run(f"hint evaluate {name}/{model} {files} -o {name}/evaluation", folder)
    by_file = json.loads((place / "evaluation" / "metrics.json").read_text())["sources"]
    return (
        {"name": name, "training": title}
        | json.loads((place / "done.json").read_text())
        | {test: by_file[f"{test}.xyz"] for test in TESTS}
    )


#: key of ``hint evaluate``, head of the column, factor, decimals. The last row of the table has the sizes of
#: what these are errors of; energies count as they are, and after the best shift of each element's.
COLUMNS = (
    ("energy_mae", "E", 1e3, 0),
    ("energy_shifted_mae", "E shifted", 1e3, 0),
    ("forces_mae", "F", 1, 3),
    ("hessian_mae", "H", 1, 3),
    ("eigenvalues_mae", "eig", 1, 3),
    ("frequencies_mae", "freq", 1, 0),
)


#: Name of the last row.
SIZES = "size of the labels"


def show(rows: list[dict], folder: Path) -> None:
    """The table on the screen and as Markdown, the figure, and the numbers."""
    table = Table(
        title="MAE: E, E after the best shift of the elements (meV/atom) / F (eV/A) / H, its eigenvalues "
        "(eV/A^2) / frequencies (cm^-1)"
    )
    heads = [f"{title}: {' / '.join(short for _, short, *_ in COLUMNS)}" for title in TESTS.values()]
    table.add_column("training", no_wrap=True)
    for head in (*heads, "CPU s"):
        table.add_column(head.replace(": ", "\n"), justify="right", no_wrap=True)
    markdown = ["| training | " + " | ".join(heads) + " | CPU s |", "|---" * (len(heads) + 2) + "|"]
    for row in rows:
        cells = [numbers(row[test], "mae") for test in TESTS]
        table.add_row(row["training"], *cells, f"{row['cpu_seconds']:.0f}")
        markdown.append(f"| {row['training']} | " + " | ".join(cells) + f" | {row['cpu_seconds']:.0f} |")
    sizes = [numbers(rows[0][test], "size") for test in TESTS]  # of the labels: the same in all rows
    table.add_section()
    table.add_row(SIZES, *sizes)
    markdown.append(f"| {SIZES} | " + " | ".join(sizes) + " | |")
    (folder / "results.md").write_text("\n".join(markdown) + "\n")
    (folder / "results.json").write_text(json.dumps(rows, indent=2))
    figure(rows, folder / "results.png")
    Console(width=max(150, console.width)).print(table)
    console.print(f"written: {folder / 'results.json'}, {folder / 'results.md'}, {folder / 'results.png'}")


def numbers(errors: dict, kind: str) -> str:
    """A cell: the errors ("mae") of a test set, or the sizes ("size") of its labels; "-" where there is none.

    Both errors of the energies are read beside one size, that of the labels beyond their composition.
    """
    cells = []
    for key, _, factor, decimals in COLUMNS:
        name = key.removesuffix("_mae")
        value = errors.get(f"{name.removesuffix('_shifted') if kind == 'size' else name}_{kind}")
        cells.append("-" if value is None else f"{factor * value:.{decimals}f}")
    return " / ".join(cells)


def figure(rows: list[dict], path: Path) -> None:
    """Errors relative to E/F training, one panel a test set."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels, axes = plt.subplots(1, len(TESTS), figsize=(11, 4.2), sharey=True, layout="constrained")
    labels = {
        "energy_mae": "energies",
        "forces_mae": "forces",
        "hessian_mae": "Hessian",
        "eigenvalues_mae": "eigenvalues",
        "frequencies_mae": "frequencies",
    }
    for axis, (test, title) in zip(axes, TESTS.items(), strict=True):
        for i, row in enumerate(rows):
            values = [row[test][key] / rows[0][test][key] for key in labels]
            width = 0.84 / len(rows)
            places = [k + (i - (len(rows) - 1) / 2) * width for k in range(len(labels))]
            axis.bar(places, values, 0.94 * width, label=row["training"])
        axis.set_xticks(range(len(labels)), list(labels.values()))
        axis.set_title(title)
        axis.axhline(1, color="0.5", lw=0.8)
    axes[0].set_ylabel("MAE relative to E/F training")
    panels.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    panels.savefig(path, dpi=150)
    plt.close(panels)


def build_pair_style(folder: Path) -> None:
    """``pair_style hint`` for the `lmp` of this environment, if it is not there."""
    if subprocess.run([str(BIN / "hint"), "lammps", "status"], capture_output=True).returncode:
        run("hint lammps build", folder)


def dynamics(folder: Path) -> None:
    """One picosecond at constant energy by ``pair_style hint``."""
    place = folder / MD
    if not (place / "nve.json").exists():
        build_pair_style(folder)
        run(f"hint export {MD}/{model_of(MD)} -o {MD}/model.hint.pt", folder)
        seconds = run(f"lmp -in {shlex.quote(str(INPUT))} -var model model.hint.pt", place, place / "nve.log")
        lines = [line.split() for line in (place / "nve.log").read_text().splitlines()]
        numbers = [[float(x) for x in line] for line in lines if len(line) == 6 and line[0].isdigit()]
        time_, total = np.array(numbers)[:, 1], np.array(numbers)[:, 5]
        found = {
            "picoseconds": time_[-1],
            "drift_meV_per_atom_per_ps": float(np.polyfit(time_, total, 1)[0]),
            "largest_change_meV_per_atom": float(np.abs(total - total[0]).max()),
            "temperature_K": float(np.mean(np.array(numbers)[1:, 2])),
            "cpu_seconds": round(seconds, 1),
        }
        (place / "nve.json").write_text(json.dumps(found, indent=2))


def show_dynamics(folder: Path) -> None:
    """How well the energy was kept."""
    place = folder / MD
    found = json.loads((place / "nve.json").read_text())
    console.print(
        f"{found['picoseconds']:g} ps of acetaldehyde at {found['temperature_K']:.0f} K by pair_style hint "
        f"in {found['cpu_seconds']:.0f} CPU seconds: the total energy drifts by "
        f"{found['drift_meV_per_atom_per_ps']:+.2f} meV/atom/ps, never more than "
        f"{found['largest_change_meV_per_atom']:.2f} meV/atom from its start",
        soft_wrap=True,
    )
    console.print(f"written: {place / 'nve.xyz'}, {place / 'nve.json'}", soft_wrap=True)


def read_options(text: str, epochs: int, trainings: list[str] | None = None) -> argparse.Namespace:
    """The command line; makes the output folder. `trainings` may be chosen from by --only."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("demo-out"),
        help="folder of all results (default: demo-out)",
    )
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="processes at a time")
    parser.add_argument("--epochs", type=int, default=epochs, help=f"of each training (default: {epochs})")
    parser.add_argument("--fraction", type=float, default=1.0, help="of the frames, to see that it runs")
    if trainings:
        about = "some of the trainings; the first of the table and the one for dynamics are always there"
        parser.add_argument("--only", nargs="*", choices=trainings, help=about)
    options = parser.parse_args()
    options.output = options.output.resolve()
    options.output.mkdir(parents=True, exist_ok=True)
    return options


def chosen_trainings(names: list[str] | None) -> list[Training]:
    """Those of `TRAININGS` with these names, in its order; all without names. The first and `MD` always."""
    wanted = set(names or [job.name for job in TRAININGS]) | {TRAININGS[0].name, MD}
    return [job for job in TRAININGS if job.name in wanted]


def main() -> None:
    """Command line."""
    options = read_options(__doc__ or "", EPOCHS, [job.name for job in TRAININGS])
    trainings = chosen_trainings(options.only)
    folder = options.output
    console.rule("labels")
    make_data(folder, options.jobs, options.fraction)
    console.rule("training, evaluation, molecular dynamics")
    longest_first = sorted(trainings, key=lambda job: ("--loss" not in job.options, job.model != MACE))
    with ThreadPoolExecutor(max(1, min(options.jobs, len(trainings)))) as pool:
        trained = {job.name: pool.submit(train, job, folder, options.epochs) for job in longest_first}

        def after(name: str, work: Callable[..., Any], *arguments: Any) -> Any:
            trained[name].result()  # begun before, whoever takes this up: no processor waits for long
            return work(*arguments)

        md = pool.submit(after, MD, dynamics, folder)
        evaluated = {
            job.name: pool.submit(after, job.name, evaluate, job.name, job.title, model_of(job.name), folder)
            for job in longest_first
        }
        rows = [evaluated[job.name].result() for job in trainings]
        md.result()
    console.rule("results")
    show(rows, folder)
    show_dynamics(folder)


if __name__ == "__main__":
    main()
