"""What all methods of `hint sample` share: checks before the work, features, and what is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hint_plugin.data import SamplingPlan
from hint_plugin.data.outputs import a_file, as_path
from hint_plugin.data.provenance import run_provenance
from hint_plugin.data.stores.shards import all_files
from hint_plugin.errors import OptionsError
from hint_plugin.sampling.extract import check_target, extract
from hint_plugin.sampling.figure import check_picture, draw
from hint_plugin.sampling.methods import FeatureSettings, Sample, features_of
from hint_plugin.sampling.population import Population, Report, survey

Inputs = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class SampleResult:
    """What was chosen, or made.

    Attributes:
        sample: the plan, scores and features.
        about: what `as_dict` returns.
    """

    sample: Sample
    about: dict[str, Any]

    @property
    def plan(self) -> SamplingPlan:
        """Which frames are to be labelled, which get Hessians, and why."""
        return self.sample.plan

    def as_dict(self) -> dict[str, Any]:
        """For JSON, a summary of the plan and of what was written."""
        return self.about

    def write(
        self,
        output: str | Path | None = None,
        *,
        extract: str | Path | None = None,
        keep_all: bool = False,
        figure: str | Path | None = None,
    ) -> None:
        """The plan, and the files that `hint sample` writes beside it, as far as they are named.

        Args:
            output: of the plan, JSON.
            extract: of the chosen frames; with `keep_all` of all frames. Hessians as planned.
            figure: of a map and distributions; its numbers go to the same name with .json.

        Raises:
            OptionsError: nothing to draw. DataError: a source has changed.
        """
        if output is not None:
            self.plan.write(Path(output))
            self.about["plan"] = str(output)
        if extract is not None:
            self.about.update(_extracted(self.plan, Path(extract), keep_all, self.about["notes"]))
        if figure is not None:
            self.about["figure"] = str(figure) if draw(self.sample, Path(figure)) else None


class SamplingTask:
    """One run of a method.

    Args:
        inputs: files of frames, folders of shards, patterns; one or several.
        output: of the plan; None writes none.
        extract, keep_all, figure: see `SampleResult.write`.
        report: told what is being done.

    Raises:
        OptionsError, DataError, MissingDependencyError: what cannot be written, before the work.
    """

    def __init__(
        self,
        inputs: Inputs,
        output: str | Path | None,
        extract: str | Path | None = None,
        keep_all: bool = False,
        figure: str | Path | None = None,
        report: Report | None = None,
    ) -> None:
        self.inputs = all_files([inputs] if isinstance(inputs, str | Path) else inputs)
        self.output, self.extract, self.figure = (a_file(as_path(name)) for name in (output, extract, figure))
        self.keep_all, self.report = keep_all, report
        self.model: Path | None = None
        self.start = time.monotonic()
        if keep_all and extract is None:
            raise OptionsError("--keep-all says what --extract writes; give --extract too")
        if self.output is not None:
            _check_plan(self.output, self.inputs)
        if self.extract is not None:
            check_target(self.extract, self.inputs)
        if self.figure is not None:
            check_picture(self.figure, [*filter(None, [self.output]), *self.inputs])

    def survey(self, energy_key: str | None = None) -> Population:
        """All frames of the inputs."""
        return survey(self.inputs, energy_key, self.report)

    def features(
        self, population: Population, settings: FeatureSettings, cache: Path | None, seed: int, jobs: int
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Their features, and how they were made.

        Args:
            population: the frames.
            settings: of the features; where they are kept is said by `cache`.
            cache: a folder; None is one beside the plan, and without a plan they are not kept.
            seed, jobs: see `features_of`.
        """
        self.model = settings.model
        if cache is None and self.output is not None:
            cache = self.output.with_name(self.output.stem + ".features")
        with TemporaryDirectory() as gone:
            found, about = features_of(
                population,
                replace(settings, cache=cache or Path(gone)),
                seed=seed,
                jobs=jobs,
                report=self.report,
            )
            return (np.array(found) if cache is None else found), about

    def finish(self, sample: Sample, made: bool = False) -> SampleResult:
        """Write everything that was asked for.

        Args:
            sample: what was chosen.
            made: its frames are new ones, and are in `extract` already.
        """
        about = run_provenance(self.inputs if made else [], self.model)
        if not made:  # they have been hashed
            about["data"] = [{"path": one.path, "sha256": one.sha256} for one in sample.plan.sources]
        plan = replace(sample.plan, provenance=about)
        found: dict[str, Any] = {
            "method": plan.method,
            "plan": None,
            "frames": sum(source.frames for source in plan.sources),
            "chosen": len(plan.choices),
            "hessians": plan.n_hessians,
            "settings": dict(plan.settings),
            "notes": sample.notes,
            "provenance": about,
        }
        if made:
            found["extract"] = {"path": str(self.extract), "frames": len(plan.choices), "hessians": 0}
        result = SampleResult(replace(sample, plan=plan), found)
        result.write(
            self.output,
            extract=None if made else self.extract,
            keep_all=self.keep_all,
            figure=self.figure,
        )
        found["seconds"] = round(time.monotonic() - self.start, 2)
        return result


def _check_plan(output: Path, inputs: Sequence[Path]) -> None:
    if not output.resolve().parent.is_dir():
        raise OptionsError(f"the folder {output.parent} does not exist. Make it first")
    if any(path.exists() and output.exists() and path.samefile(output) for path in inputs):
        raise OptionsError(f"{output} is input and output. Choose another plan")


def _extracted(plan: SamplingPlan, path: Path, keep_all: bool, notes: list[str]) -> dict[str, Any]:
    """Write the frames; what is to be said of them."""
    written = extract(plan, path, keep_all=keep_all)
    found = {"path": written.path, "frames": written.frames, "hessians": written.hessians}
    more = [f"{written.path} has {written.mixture}"] if written.mixture else []
    return {"extract": found, "notes": [*notes, *more]}
