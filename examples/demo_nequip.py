"""The demonstration with NequIP: the same labels, stock `nequip-train` with and without Hessians.

    make demo-nequip     (or, where NequIP is: python examples/demo_nequip.py -o demo-out --jobs 2)

Labels that `make demo` left in the folder are used again. Every step is a command a user would type; the
script prints it, runs it, and skips it if its result is there already. It ends with a table, a figure and
``results.json`` in the folder ``nequip`` of the output. About ten minutes on two cores, after the set-up.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from demo import TESTS, console, evaluate, make_data, read_options, run_training, show

CONFIGS = Path(__file__).parents[1] / "configs" / "nequip"
EPOCHS = 120
#: What NequIP's own model takes and AlphaNet does not.
NEQUIP_ONLY = ("num_layers", "l_max", "parity", "num_features", "radial_mlp_depth", "radial_mlp_width")
#: Where the last quarter of the epochs begins, for NequIP's own scheduler, which counts epochs.
LAST_QUARTER = "'trainer.callbacks.1.schedule={{{epoch}:{{per_atom_energy_mse:1000.0,forces_mse:100.0}}}}'"


@dataclass(frozen=True)
class Training:
    """One row of the table."""

    name: str
    title: str
    config: str = "hessian.yaml"
    data: str = "train.xyz"
    options: str = ""


TRAININGS = (
    Training("ef", "NequIP, E/F", "plain.yaml", options=LAST_QUARTER),
    Training("hutchinson", "NequIP, Hutchinson, all labelled"),
    Training("fifth", "NequIP, Hutchinson, one in five", data="train_fifth.xyz"),
    Training(
        "alphanet",
        "AlphaNet in NequIP, Hutchinson",
        options="training_module.model.builder=hint_plugin.nequip.AlphaNet "
        "training_module.optimizer.lr=0.005 "
        + " ".join(f"~training_module.model.{name}" for name in NEQUIP_ONLY),
    ),
)


def train(job: Training, data: Path, folder: Path, epochs: int) -> None:
    """One model by stock ``nequip-train``."""
    place = folder / job.name
    if (place / "done.json").exists():
        return
    place.mkdir(exist_ok=True)
    files = ",".join(str(data / f"{test}.xyz") for test in TESTS)
    command = (
        f"nequip-train -cp {CONFIGS} -cn {job.config} hydra.run.dir=. trainer.max_epochs={epochs} "
        f"train_file={data / job.data} valid_file={data / 'valid.xyz'} 'test_files=[{files}]' "
    ) + job.options.format(epoch=epochs * 3 // 4)
    run_training(command, place, job.title)


def main() -> None:
    """Command line."""
    options = read_options(__doc__ or "", EPOCHS)
    data, folder = options.output, options.output / "nequip"
    folder.mkdir(exist_ok=True)
    console.rule("labels")
    make_data(data, options.jobs, options.fraction)
    for test in TESTS:  # `hint evaluate` names its sources as they are given
        link = folder / f"{test}.xyz"
        if not link.exists():
            link.symlink_to(Path("..") / f"{test}.xyz")
    console.rule("training, evaluation")

    def row(job: Training) -> dict:
        train(job, data, folder, options.epochs)
        return evaluate(job.name, job.title, "best.ckpt", folder)

    with ThreadPoolExecutor(max(1, min(options.jobs, len(TRAININGS)))) as pool:
        longest_first = sorted(TRAININGS, key=lambda job: job.config == "plain.yaml")
        done = {job.name: pool.submit(row, job) for job in longest_first}
        rows = [done[job.name].result() for job in TRAININGS]
    console.rule("results")
    show(rows, folder)


if __name__ == "__main__":
    main()
