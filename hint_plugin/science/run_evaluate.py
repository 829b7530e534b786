"""What `hint evaluate` does, as a function of the same name and options.

from hint_plugin.science.run_evaluate import evaluate
found = evaluate("model.hint.pt", "test.xyz", "evaluation")
found.metrics["metrics"]["hessian_mae"]  # eV/A^2
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hint_plugin.allocator import keep_freed_memory
from hint_plugin.data.outputs import a_folder, as_path
from hint_plugin.data.provenance import identity, run_provenance
from hint_plugin.data.sets.frames import count_frames
from hint_plugin.data.sets.patterns import each_once, expand
from hint_plugin.parallel import Reported, journal_of, keep
from hint_plugin.parallel.batch import asked_for
from hint_plugin.parallel.predictions import KeptPredictions
from hint_plugin.potentials.checkpoints import load_trained
from hint_plugin.science import evaluation
from hint_plugin.science.labelled_frames import FrameFile


@dataclass(frozen=True)
class EvaluateResult:
    """The errors of a model on labelled structures.

    Attributes:
        metrics: what metrics.json holds, see `hint_plugin.science.evaluation.evaluate`.
        folder: where metrics.json, frames.csv, parity.npz and parity.png are.
    """

    metrics: Mapping[str, Any]
    folder: Path

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(self.metrics)


def evaluate(
    model: str | Path,
    data: str | Path | Sequence[str | Path],
    output: str | Path = "evaluation",
    *,
    device: str = "cpu",
    dtype: str | None = None,
    batch_size: int = 16,
    head: str | None = None,
    max_hessians: int | None = None,
    no_plots: bool = False,
    restart: bool = False,
    report: Any = None,
) -> EvaluateResult:
    """Measure a model's errors on labelled structures, beside the size of what they are errors of.

    A run that is stopped goes on where it was when it is called again. Labels of structures in memory are
    compared by `hint_plugin.science.evaluation.evaluate`.

    Args:
        model: the file of an artifact or of a checkpoint, or the name of a model that comes with HINT.
        data: files of labelled structures, or patterns of files.
        output: folder of the results.
        device: where the model runs: cpu, cuda.
        dtype: float32 or float64; None: the model's own.
        batch_size: structures in one forward pass, at most.
        head: of a multihead model.
        max_hessians: Hessians of so many labelled frames, evenly spread; None: of all.
        no_plots: write tables only.
        restart: drop what an interrupted run has left.
        report: called with (frames done, 0, frames).

    Raises:
        HintError: files, options or packages with which nothing can be done; a run that is stopped.
    """
    asked = asked_for(locals())
    files = expand([data] if isinstance(data, str | Path) else [Path(path) for path in data])
    each_once(files)
    place = as_path(output)
    a_folder(place)
    keep_freed_memory()
    predictor = load_trained(Path(model), device=device, dtype=dtype, head=head, batch_size=batch_size)
    settings = {"device": device, "dtype": str(predictor.dtype), "head": predictor.head}
    origin = run_provenance(files, predictor.path, settings=settings)
    options = {name: value for name, value in asked.items() if name not in ("model", "data", "no-plots")}
    run = {"verb": "evaluate", **options, **identity(origin)}
    with _kept(predictor, batch_size, files, place, run, restart, Reported(report)) as (answers, progress):
        metrics = evaluation.evaluate(
            answers,
            {str(path): FrameFile(path) for path in files},
            place,
            provenance=origin,
            max_hessians=max_hessians,
            plots=not no_plots,
            progress=progress,
        )
    return EvaluateResult(metrics, place)


@contextmanager
def _kept(
    predictor: Any,
    batch_size: int,
    data: Sequence[Path],
    output: Path,
    run: Mapping[str, Any],
    restart: bool,
    show: Reported,
) -> Iterator[tuple[Any, Callable[[int], None]]]:
    """The predictor with its answers kept, and who is to be told how many frames were read.

    Raises:
        DataError: a file cannot be read. And what `parallel.keep` raises.
    """
    total, passed, unlabelled = sum(count_frames(path) for path in data), 0, 0
    output.mkdir(parents=True, exist_ok=True)
    journal = journal_of(output, "evaluate")

    def stopped(kept: Sized) -> str:
        if not len(kept):
            return f"stopped: none of {total} frames was predicted, and nothing is kept"
        return (
            f"stopped after {passed} of {total} frames: what was predicted is kept in {journal}. "
            "Give the same command again to go on"
        )

    with keep(journal, run, stopped, restart=restart, drop_on_error=True) as kept:

        def predicted(count: int) -> None:
            nonlocal passed
            passed = count + unlabelled
            show(passed, 0, total)

        def progress(read: int) -> None:
            nonlocal passed, unlabelled
            passed, unlabelled = read, read - predictions.done

        predictions = KeptPredictions(predictor, batch_size, kept, predicted)
        yield predictions, progress
