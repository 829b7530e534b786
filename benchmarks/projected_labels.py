"""How few probes a frame come close to a full Hessian.

    make demo                                    (its labelled data are used)
    python benchmarks/projected_labels.py [demo-out] [--probes 1 2 3] [--seeds 1 2] [--epochs 175] [--jobs 2]
        [--out projected-out]

The same frames with the same energies and forces: without Hessians, with K fixed pairs (v, Hv) a frame as
``hint label --hessian projected --probes K`` makes them (here from the full label, which is the same number),
and with the full Hessian, of which every step draws a fresh probe. An AlphaNet of size small is trained by
``mace_run_train`` with the same options and number of steps on each; ``hint evaluate`` tests it on geometries
of the training's molecules and on molecules that it has not seen. A label costs 2K gradients, or 6(N - 1).
Finished rows are kept in the output folder and not done again.

(A pair fixes N of the 3N(3N + 1)/2 elements of a Hessian; the other frames of the molecule supply others.)
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from _commands import run, together

from hint_plugin.data import read_frames, read_label, write_frames, write_label

TRAIN = (
    "--model AlphaNet --alphanet_size small --lr 0.005 --r_max 5.0 --E0s average --batch_size 6 "
    "--valid_batch_size 12 --scheduler ExponentialLR --energy_weight 10 --forces_weight 100 --ema "
    "--ema_decay 0.99 --default_dtype float32 --device cpu --eval_interval 20 --plot False"
)
COLUMNS = {"forces_mae": "F", "hessian_mae": "H", "eigenvalues_mae": "eig", "frequencies_mae": "freq"}
TESTS = ("geometries", "molecules")


def make_data(source: Path, probes: int | None, path: Path) -> None:
    """The frames with K pairs each; 0: without Hessians, None: with the full ones."""
    frames = read_frames(source)
    for number, atoms in enumerate(frames):
        label = read_label(atoms)
        if label is None:
            sys.exit(f"error: {source}, frame {number} has no Hessian")
        if probes == 0:
            write_label(atoms, None)
        elif probes is not None:
            write_label(atoms, label.to_projected(probes, np.random.default_rng([0, number])))
    write_frames(path, frames)


def train(row: str, probes: int | None, seed: int, data: Path, out: Path, epochs: int) -> dict[str, Any]:
    """One model, and its errors by file."""
    place = out / f"{row.replace(' ', '_')}-{seed}"
    if not (place / "evaluation" / "metrics.json").exists():
        place.mkdir(parents=True, exist_ok=True)
        make_data(data / "train.xyz", probes, place / "train.xyz")
        decay = 0.05 ** (1 / epochs)
        loss = "--hint_kernels fast" if probes == 0 else "--loss hint_hutchinson"
        run(
            f"mace_run_train --name model --train_file train.xyz --valid_file {data / 'valid.xyz'} "
            f"--max_num_epochs {epochs} --lr_scheduler_gamma {decay:.4f} --seed {seed} {TRAIN} {loss}",
            place,
            "train.log",
        )
        tests = " ".join(str(data / f"{name}.xyz") for name in TESTS)
        run(f"hint evaluate model.model {tests} -o evaluation --no-plots", place)
        print(f"done: {row}, seed {seed}", flush=True)
    found = json.loads((place / "evaluation" / "metrics.json").read_text())["sources"]
    return {name: found[str(data / f"{name}.xyz")] for name in TESTS}


def gradients(probes: int | None, atoms: float) -> str:
    """How many a label costs."""
    return f"{6 * (atoms - 1):.0f}" if probes is None else f"{2 * probes}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", default=Path("demo-out"))
    parser.add_argument("--probes", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=175)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("projected-out"))
    options = parser.parse_args()
    data, out = options.data.resolve(), options.out.resolve()
    if not (data / "train.xyz").exists():
        parser.error(f"{data / 'train.xyz'} is not there; `make demo` labels the data")
    rows: dict[str, int | None] = {"energies and forces": 0}
    rows |= {f"K = {k}": k for k in sorted(options.probes)} | {"full": None}
    todo = [(row, probes, seed, data, out, options.epochs) for row, probes in rows.items()
            for seed in options.seeds]  # fmt: skip
    errors = together(train, todo, options.jobs)
    found = {(row, seed): one for (row, _, seed, *_), one in zip(todo, errors, strict=True)}
    mean_atoms = float(np.mean([len(atoms) for atoms in read_frames(data / "train.xyz")]))
    heads = [f"{test}: {' / '.join(COLUMNS.values())}" for test in TESTS]
    print("| label | gradients | " + " | ".join(heads) + " |\n" + "|---" * (2 + len(heads)) + "|")
    for row, probes in rows.items():
        cells = []
        for test in TESTS:
            values = [[found[row, seed][test][key] for seed in options.seeds] for key in COLUMNS]
            cells.append(" / ".join(f"{np.mean(v):.3g}" for v in values))
        print(f"| {row} | {gradients(probes, mean_atoms)} | " + " | ".join(cells) + " |")
    records = [{"row": row, "seed": seed, **value} for (row, seed), value in found.items()]
    (out / "results.json").write_text(json.dumps(records, indent=2) + "\n")
    print(f"mean of {len(options.seeds)} seeds; F in eV/A, H and its eigenvalues in eV/A^2, freq in 1/cm")
    print(f"written: {out / 'results.json'}")


if __name__ == "__main__":
    main()
