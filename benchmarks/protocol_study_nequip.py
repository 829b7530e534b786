"""The rows of NequIP in the study: stock `nequip-train` on the files that `protocol_study.py` has made.

    python benchmarks/protocol_study_nequip.py -o study-out [--size tiny|small|large] [--jobs 2] [--seeds 3]

Runs in the environment of NequIP, which is another than MACE's: `make demo-nequip` makes one (.venv-nequip).
The configurations are configs/nequip/plain.yaml and hessian.yaml, as many steps as the study's other models
take. Writes nequip.json to the study's folder; `protocol_study.py` puts it into the tables. What is done is
not done again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from _commands import run, study_parser, together
from _training import lone_atoms
from protocol.runs import BATCH, METRICS

from hint_plugin.data import iter_frames
from hint_plugin.data.file_io import write_json

CONFIGS = Path(__file__).parents[1] / "configs" / "nequip"
KINDS = {"E/F": "plain.yaml", "Hutchinson": "hessian.yaml"}
STEPS = {"tiny": 10, "small": 800, "large": 12000}


def train(kind: str, seed: int, steps: int, folder: Path) -> dict[str, Any]:
    """One row; read from its folder if it is done."""
    place = folder / "runs" / f"nequip-{KINDS[kind].removesuffix('.yaml')}-{seed}"
    if (place / "result.json").exists():
        row: dict[str, Any] = json.loads((place / "result.json").read_text())
        return row
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    files = {name: folder / f"gfn2-{name}.xyz" for name in ("train", "valid", "test")}
    count = sum(1 for _ in iter_frames(files["train"]))
    e0s = lone_atoms(files["train"])
    energies = ",".join(f"{s}:{e0s[z]:.6f}" for s, z in (("H", 1), ("C", 6), ("N", 7), ("O", 8)))
    seconds = run(
        f"nequip-train -cp {CONFIGS} -cn {KINDS[kind]} hydra.run.dir=. 'run=[train]' "
        f"trainer.max_epochs={max(1, round(steps * BATCH / count))} "
        f"train_file={files['train']} valid_file={files['valid']} 'test_files=[{files['test']}]' "
        f"'atomic_energies={{{energies}}}' data.train_dataloader.batch_size={BATCH} data.seed={seed} "
        f"training_module.model.seed={seed}",
        place,
        "train.log",
    )
    run(f"hint evaluate best.ckpt {files['test']} -o evaluation --no-plots", place)
    metrics = json.loads((place / "evaluation" / "metrics.json").read_text())["metrics"]
    row = {
        "part": "nequip",
        "series": "NequIP",
        "x": kind,
        "seed": seed,
        "seconds": round(seconds, 1),
        "frames_used": count,
        "hessian_labels": 0 if kind == "E/F" else count,
        **{name: metrics[name] for name in METRICS},
    }
    write_json(place / "result.json", row)
    return row


def main() -> None:
    """Command line."""
    parser = study_parser(__doc__, "study-out", STEPS)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    folder = (options.output / options.size).resolve()
    todo = [
        (kind, seed, STEPS[options.size], folder) for kind in KINDS for seed in range(1, options.seeds + 1)
    ]
    rows = []
    for row in together(train, todo, options.jobs):
        print(
            f"{row['x']}, seed {row['seed']}: {row['seconds']:.0f} s, H {row['hessian_mae']:.3f}", flush=True
        )
        rows.append(row)
    write_json(folder / "nequip.json", rows)


if __name__ == "__main__":
    main()
