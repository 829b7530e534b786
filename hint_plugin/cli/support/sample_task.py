"""What all methods of `hint sample` share: checks, progress, plan, extract, figure, summary."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from hint_plugin.cli.support.progress import StatusLine


class SamplingTask:
    """What all methods share: checks before the work, progress, plan, extract, figure, summary."""

    def __init__(
        self,
        inputs: list[Path],
        output: Path,
        extract: Path | None,
        keep_all: bool,
        figure: Path | None,
        as_json: bool,
    ) -> None:
        from hint_plugin.data.stores.shards import all_files
        from hint_plugin.errors import OptionsError
        from hint_plugin.sampling.extract import check_target
        from hint_plugin.sampling.figure import check_picture

        inputs = all_files(inputs)
        if keep_all and extract is None:
            raise OptionsError("--keep-all says what --extract writes; give --extract too")
        if not output.resolve().parent.is_dir():
            raise OptionsError(f"the folder {output.parent} does not exist. Make it first")
        if any(path.exists() and output.exists() and path.samefile(output) for path in inputs):
            raise OptionsError(f"{output} is input and output. Choose another plan")
        if extract is not None:
            check_target(extract, inputs)
        if figure is not None:
            check_picture(figure, [output, *inputs])
        self.inputs, self.output, self.extract, self.keep_all = inputs, output, extract, keep_all
        self.figure, self.as_json = figure, as_json
        self.model: Path | None = None
        self.start = time.monotonic()
        self.status = StatusLine("reading")

    def __enter__(self) -> "SamplingTask":
        self.status.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.status.stop()

    def report(self, what: str, done: int, total: int) -> None:
        """Say how far it is."""
        self.status.say(f"{what}: {done}" + (f" of {total} frames" if total else " frames"))

    def survey(self, energy_key: str | None = None) -> Any:
        """All frames of the inputs."""
        from hint_plugin.sampling import survey

        return survey(self.inputs, energy_key, self.report)

    def features(self, population: Any, settings: Any, seed: int, jobs: int) -> Any:
        """Their features, and how they were made."""
        from hint_plugin.sampling import features_of

        self.model = settings.model
        return features_of(population, settings, seed=seed, jobs=jobs, report=self.report)

    def finish(self, sample: Any, made: bool = False) -> None:
        """Write everything and say so."""
        import json

        from hint_plugin.cli.support.provenance import run_provenance
        from hint_plugin.sampling import extract
        from hint_plugin.sampling.figure import draw

        about = run_provenance(self.inputs if made else [], self.model)
        if not made:  # they have been hashed
            about["data"] = [{"path": one.path, "sha256": one.sha256} for one in sample.plan.sources]
        plan = replace(sample.plan, provenance=about)
        plan.write(self.output)
        found: dict[str, Any] = {
            "method": plan.method,
            "plan": str(self.output),
            "frames": sum(source.frames for source in plan.sources),
            "chosen": len(plan.choices),
            "hessians": plan.n_hessians,
            "settings": dict(plan.settings),
            "notes": sample.notes,
            "provenance": about,
        }
        if self.extract is not None and not made:
            written = extract(plan, self.extract, keep_all=self.keep_all)
            found["extract"] = {"path": written.path, "frames": written.frames, "hessians": written.hessians}
            if written.mixture:
                found["notes"] = [*found["notes"], f"{written.path} has {written.mixture}"]
        elif self.extract is not None:
            found["extract"] = {"path": str(self.extract), "frames": len(plan.choices), "hessians": 0}
        if self.figure is not None:
            found["figure"] = str(self.figure) if draw(sample, self.figure) else None
        found["seconds"] = round(time.monotonic() - self.start, 2)
        self.status.stop()
        typer.echo(json.dumps(found, indent=2) if self.as_json else _in_words(found))


def _in_words(found: dict[str, Any]) -> str:
    verb = "made" if found["method"] == "displace" else f"of {found['frames']} frames chosen"
    lines = [f"{found['chosen']} {verb} by {found['method']}, {found['hessians']} to get a Hessian"]
    lines += found["notes"]
    lines.append(f"plan: {found['plan']}; {found['seconds']:.1f} s")
    if "extract" in found:
        written = found["extract"]
        lines.append(
            f"written to {written['path']}: {written['frames']} frames, "
            f"{written['hessians']} with a Hessian label"
        )
        if written["hessians"] < found["hessians"]:
            lines.append(f"label them next: hint label --plan {found['plan']} -o labelled.xyz")
    if found.get("figure"):
        lines.append(f"figure: {found['figure']}")
    return "\n".join(lines)
