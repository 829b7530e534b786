"""Which weight for the Hessian term: constants over two decades, or one that follows the gradients?

    python benchmarks/weights_study.py -o weights-out [--size tiny|small] [--jobs 2] [--only auto given-80]

Data: those of `examples/demo.py`, 60 frames with a Hessian label each, or one in five, and its two test sets.
One training by `mace_run_train` is one row, for each setting, set of labels and seed:

- `ef`: energies and forces alone, and `given-W`: lambda_H from W/8 to W, W from 8 to 800;
- `auto` and others of its kind: `--hint_weight auto` with several ratios;
- `...-two`: the same with MACE's stage two in the last third (energy weight 1000, learning rate 0.002).

Rows are kept as runs/ROW/result.json: an interrupted study goes on, and one with more settings takes them up.
results.json has all of them, results.md mean and standard deviation over the seeds, and how far each is from
the best constant. Costs are CPU seconds of the training. small: about 100 trainings of one to three CPU
minutes.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from _commands import run_warm, study_parser, together

from hint_plugin.data.file_io import write_json

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import demo

HUTCHINSON = "--loss hint_hutchinson"
STAGE_TWO = "--swa --start_swa {start} --swa_energy_weight 1000 --swa_forces_weight 100 --swa_lr 0.002"
STAGE_TWO_FROM = 120 / 175  #: of the epochs
#: lambda_H at the end, that of the start being an eighth, as 10 -> 80 has it.
WEIGHTS = (8, 25, 80, 250, 800)
#: name -> ratio of the pulls at the start and at the end.
RATIOS = {"auto": (0.2, 1.0), "auto-0.3-3": (0.3, 3.0), "auto-0.1-0.3": (0.1, 0.3), "auto-1-1": (1.0, 1.0)}
#: name -> training file of the demo: what has a Hessian label.
LABELS = {"all": "train.xyz", "one in five": "train_fifth.xyz"}
MODELS = {"MACE": demo.MACE, "AlphaNet": demo.ALPHANET}
#: Errors in a row and in the table: key of `hint evaluate`, head, factor, digits.
ERRORS = (("energy_mae", "E", 1e3, 0), ("forces_mae", "F", 1.0, 3), ("hessian_mae", "H", 1.0, 3))


@dataclass(frozen=True)
class Size:
    """How much: a part of the demo's frames, epochs, seeds, and settings where not all."""

    fraction: float
    epochs: int
    seeds: int
    settings: tuple[str, ...] | None = None


SIZES = {
    "tiny": Size(0.1, 6, 1, ("ef", "given-80", "auto", "auto-two")),
    "small": Size(1.0, demo.EPOCHS, 3),
}


@dataclass(frozen=True)
class Setting:
    """How the Hessian is weighed.

    Attributes:
        name: in rows and tables.
        options: of ``mace_run_train``.
        stage_two: end with it.
    """

    name: str
    options: str
    stage_two: bool = False


@dataclass(frozen=True)
class Row:
    """One training."""

    setting: str
    labels: str
    model: str
    seed: int

    @property
    def folder(self) -> str:
        """Its name among the runs."""
        return f"{self.model}-{self.labels.replace(' ', '-')}-{self.setting}-s{self.seed}"


def settings() -> dict[str, Setting]:
    """All of them by name."""
    found = [Setting("ef", demo.KERNELS)]
    for weight in WEIGHTS:
        options = f"{HUTCHINSON} --hint_weight_start {weight / 8:g} --hint_weight_end {weight}"
        found.append(Setting(f"given-{weight}", options))
    for name, (start, end) in RATIOS.items():
        options = f"{HUTCHINSON} --hint_weight auto --hint_ratio_start {start} --hint_ratio_end {end}"
        found.append(Setting(name, options))
    for once in [s for s in found if s.name in ("ef", "given-80", "auto")]:
        found.append(Setting(f"{once.name}-two", once.options, stage_two=True))
    return {setting.name: setting for setting in found}


def rows(size: Size, only: Iterable[str] | None, labels: Iterable[str], models: Iterable[str]) -> list[Row]:
    """The trainings of a study. One on energies and forces is the same whatever has a Hessian label."""
    known = settings()
    chosen = [name for name in known if name in (only or size.settings or known)]
    found = []
    for model in models:
        for seed in range(1, size.seeds + 1):
            for kind in labels:
                found += [Row(n, kind, model, seed) for n in chosen if n[:2] != "ef"]
            found += [Row(n, "none", model, seed) for n in chosen if n[:2] == "ef"]
    return found


def train(row: Row, folder: Path, epochs: int) -> dict[str, Any]:
    """Its row; read from its folder if it is done.

    The row: its own fields, the options, `epochs`, `cpu_seconds`, `hint_weight` at the last validation where
    it follows the gradients, and for both test sets the errors, with that of the energies after the best
    shift of the elements.
    """
    place = folder / "runs" / row.folder
    if (place / "result.json").exists():
        kept: dict[str, Any] = json.loads((place / "result.json").read_text())
        return kept
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    setting = settings()[row.setting]
    options = setting.options
    every = max(1, epochs // 17)  # MACE has a model of stage two only if it has validated one
    if setting.stage_two:
        options += " " + STAGE_TWO.format(start=every * round(STAGE_TWO_FROM * epochs / every))
    data = LABELS.get(row.labels, "train.xyz")
    cost = run_warm(
        f"mace_run_train --name model --train_file ../../{data} --valid_file ../../valid.xyz "
        f"{MODELS[row.model]} {demo.COMMON} {options} --max_num_epochs {epochs} "
        f"--lr_scheduler_gamma {demo.DECAY ** (1 / epochs):.4f} --eval_interval {every} --seed {row.seed}",
        place,
        "train.log",
    )
    model = "model_stagetwo.model" if setting.stage_two else "model.model"
    files = " ".join(f"../../{test}.xyz" for test in demo.TESTS)
    run_warm(f"hint evaluate {model} {files} -o evaluation --no-plots", place, "evaluate.log")
    by_file = json.loads((place / "evaluation" / "metrics.json").read_text())["sources"]
    errors = (*(key for key, *_ in ERRORS), "energy_shifted_mae", "eigenvalues_mae", "frequencies_mae")
    found = {
        **asdict(row),
        "options": options,
        "epochs": epochs,
        "cpu_seconds": round(cost["cpu_seconds"], 1),
        "hint_weight": last_weight(place),
        **{test: {key: by_file[f"../../{test}.xyz"].get(key) for key in errors} for test in demo.TESTS},
    }
    write_json(place / "result.json", found)
    return found


def last_weight(place: Path) -> float | None:
    """lambda_H at the last validation of a training whose weight follows the gradients."""
    (log,) = (place / "results").glob("*_train.txt")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return next((line["hint_weight"] for line in reversed(lines) if "hint_weight" in line), None)


def table(found: list[dict[str, Any]]) -> str:
    """Mean (standard deviation) over the seeds, and the geometric mean of F and H over that of the best
    constant."""
    lines = []
    for model in dict.fromkeys(row["model"] for row in found):
        for labels in LABELS:
            part = [r for r in found if r["model"] == model and r["labels"] in (labels, "none")]
            if any(r["labels"] == labels for r in part):
                lines += [f"{model}, labelled: {labels}", "", *_lines(part), ""]
    return "\n".join(lines)


def _lines(part: list[dict[str, Any]]) -> Iterator[str]:
    heads = " / ".join(head for _, head, *_ in ERRORS)
    yield (
        "| weight | "
        + " | ".join(f"{title}: {heads}" for title in demo.TESTS.values())
        + (" | F, H against the best constant | lambda_H at the end | CPU s |")
    )
    yield "|---" * (len(demo.TESTS) + 4) + "|"
    names = list(dict.fromkeys(row["setting"] for row in part))
    by_name = {name: [row for row in part if row["setting"] == name] for name in names}
    scores = {name: _score(rows) for name, rows in by_name.items()}
    constants = [scores[name] for name in names if name.startswith("given") and not name.endswith("two")]
    for name, rows_ in by_name.items():
        cells = [
            " / ".join(_spread([row[test][key] for row in rows_], *form) for key, _, *form in ERRORS)
            for test in demo.TESTS
        ]
        relative = f"{scores[name] / min(constants):.2f}" if constants else "-"
        weights = [row["hint_weight"] for row in rows_ if row["hint_weight"] is not None]
        seconds = mean(row["cpu_seconds"] for row in rows_)
        weight = f"{mean(weights):.3g}" if weights else ""
        yield f"| {name} | {' | '.join(cells)} | {relative} | {weight} | {seconds:.0f} |"


def _score(rows_: list[dict[str, Any]]) -> float:
    """Geometric mean of the errors of forces and Hessian on both test sets, averaged over the seeds."""
    product = 1.0
    for test in demo.TESTS:
        for key in ("forces_mae", "hessian_mae"):
            product *= mean(row[test][key] for row in rows_)
    return float(product ** (1 / (2 * len(demo.TESTS))))


def _spread(values: list[float], factor: float, digits: int) -> str:
    """ "0.243 (0.004)"."""
    spread = f" ({factor * stdev(values):.{digits}f})" if len(values) > 1 else ""
    return f"{factor * mean(values):.{digits}f}{spread}"


def main() -> None:
    """Command line."""
    parser = study_parser(__doc__, "weights-out", SIZES)
    parser.add_argument("--only", nargs="+", choices=tuple(settings()), help="some of the settings")
    parser.add_argument("--labels", nargs="+", choices=tuple(LABELS), default=list(LABELS))
    parser.add_argument("--models", nargs="+", choices=tuple(MODELS), default=["MACE"])
    parser.add_argument("--seeds", type=int, help="1 ... SEEDS (default: by the size)")
    options = parser.parse_args()
    size, folder = SIZES[options.size], options.output.resolve()
    if options.seeds:
        size = Size(size.fraction, size.epochs, options.seeds, size.settings)
    folder.mkdir(parents=True, exist_ok=True)
    demo.make_data(folder, options.jobs, size.fraction)
    todo = [(row, folder, size.epochs) for row in rows(size, options.only, options.labels, options.models)]
    for number, row in enumerate(together(train, todo, options.jobs), start=1):
        print(f"{number} of {len(todo)}: {row['setting']}, {row['labels']}, seed {row['seed']}", flush=True)
    found = [json.loads(path.read_text()) for path in sorted((folder / "runs").glob("*/result.json"))]
    order = list(settings())
    found.sort(key=lambda row: (row["model"], order.index(row["setting"]), row["labels"], row["seed"]))
    write_json(folder / "results.json", found)
    (folder / "results.md").write_text(table(found) + "\n")
    print(f"\n{table(found)}\nwritten: {folder / 'results.json'}, {folder / 'results.md'}")


if __name__ == "__main__":
    main()
