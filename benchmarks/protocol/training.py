"""One row: choose the data, train, evaluate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from _commands import run_warm
from _training import MODELS, lone_atoms

from hint_plugin.data import iter_frames, read_label
from hint_plugin.data.file_io import write_json
from protocol.data import change_labels
from protocol.runs import BATCH, COMMON, DECAY, METRICS, TUNING_RATE, Training


def train(training: Training, folder: Path, device: str) -> dict[str, Any]:
    """Its row; read from its folder if it is done.

    The row: the training's own fields, `folder`, `seconds` of the whole training, `step_seconds` (median),
    `megabytes`, `epochs`, `frames_used`, `hessian_labels`, the errors on the test set, and `curve`: [seconds
    of steps, epoch, RMSE of Hv] at each validation.
    """
    place = folder / "runs" / training.folder()
    if (place / "result.json").exists():
        row: dict[str, Any] = json.loads((place / "result.json").read_text())
        return row
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    data, count, labelled = _choose(training, folder, place)
    epochs = max(1, round(training.steps * BATCH / count))
    e0s = {z: round(e, 6) for z, e in lone_atoms(folder / f"{training.truth}-train.xyz").items()}
    rate = MODELS[training.model]
    if training.start:
        head, _, value = rate.rpartition(" ")
        rate = f"{head} {TUNING_RATE * float(value):g}"
        start = folder / "runs" / training.start / "model.model"
        rate += f" --foundation_model {start}"
    cost = run_warm(
        f"mace_run_train --name model --train_file {data} "
        f"--valid_file {folder / f'{training.truth}-valid.xyz'} {COMMON} {rate} {training.options} "
        f"--max_num_epochs {epochs} --eval_interval {max(1, epochs // 12)} --device {device} "
        f"--lr_scheduler_gamma {DECAY ** (1 / epochs):.5f} --E0s '{e0s}' --seed {training.seed}",
        place,
        "train.log",
    )
    test = folder / f"{training.truth}-test.xyz"
    run_warm(f"hint evaluate model.model {test} -o evaluation --no-plots", place, "evaluate.log")
    metrics = json.loads((place / "evaluation" / "metrics.json").read_text())["metrics"]
    row = {
        **training.__dict__,
        "folder": training.folder(),
        **{name: round(value, 1) for name, value in cost.items()},
        "epochs": epochs,
        "frames_used": count,
        "hessian_labels": labelled,
        **{name: metrics[name] for name in METRICS},
        **_record(place),
    }
    write_json(place / "result.json", row)
    return row


def _choose(training: Training, folder: Path, place: Path) -> tuple[Path, int, int]:
    """The training file, its frames, its Hessian labels."""
    source = folder / f"{training.truth}-{training.source}.xyz"
    number = training.frames or training.hessians
    data = place / "train.xyz"
    if number:
        everything = "" if training.frames else "--keep-all"
        run_warm(
            f"hint sample {training.choice} {source} -o plan.json -n {number} --seed {training.seed} "
            f"--extract train.xyz {everything}",
            place,
            "sample.log",
        )
    elif training.change:
        shutil.copy(source, data)
    else:
        data = source
    if training.change:
        change_labels(data, training.change, training.seed)
    has_label = [read_label(atoms) is not None for atoms in iter_frames(data)]
    return data, len(has_label), 0 if training.hessians == 0 else sum(has_label)


def _record(place: Path) -> dict[str, Any]:
    """The cost of a step, and the Hessian's error on the validation set, from MACE's record of the run."""
    (record,) = (place / "results").glob("*_train.txt")
    curve: list[tuple[float, int, float]] = []
    steps: list[float] = []
    for line in record.read_text().splitlines():
        entry = json.loads(line)
        if entry["mode"] == "opt":
            steps.append(entry["time"])
        elif "rmse_hessian" in entry and entry["epoch"] is not None:
            curve.append((round(sum(steps), 2), int(entry["epoch"]), float(entry["rmse_hessian"])))
    return {"step_seconds": round(float(np.median(steps)), 4), "curve": curve}
