"""What `hint reactions` does: a set of reactions in parallel, success rates, two models compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hint_plugin.data.file_io import write_json
from hint_plugin.data.outputs import a_folder, as_path
from hint_plugin.data.provenance import run_provenance
from hint_plugin.errors import InterruptedRunError
from hint_plugin.parallel import Spread
from hint_plugin.parallel.pool import Failure, run_tasks, terminate_as_interrupt
from hint_plugin.potentials.on_demand import OnDemand, PotentialSpec, origin
from hint_plugin.science.reactions.many_reactions import (
    COMPUTED_BY,
    Worker,
    computed_by,
    identity_of,
    prepare,
    results_of,
    summary,
    write_index,
)
from hint_plugin.science.reactions.methods import method_of
from hint_plugin.science.reactions.model_comparison import compare
from hint_plugin.science.reactions.one_reaction import Reaction
from hint_plugin.science.reactions.reaction_files import write_report
from hint_plugin.science.reactions.reaction_settings import GUESSES, ReactionSettings
from hint_plugin.science.reactions.sets import Pair, read_set

Report = Callable[[int, int, str, str], Any]
"""Called with how many are done, how many there are, the name of the last one, and how it ended."""


@dataclass(frozen=True)
class ReactionsResult:
    """What came out of a set of reactions.

    Attributes:
        folder: of the results, one in it a reaction.
        found: what `as_dict` returns.
    """

    folder: Path
    found: dict[str, Any]

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """Of each reaction, by its name, what is in its reaction.json."""
        return results_of(self.folder)

    def as_dict(self) -> dict[str, Any]:
        """What is in summary.json: rates, verdicts, where reactions stopped, the comparison."""
        return self.found


def reactions(
    reaction_set: str | Path,
    potential: Any,
    output: str | Path,
    *,
    method: str = "sella",
    jobs: int = 1,
    parsl: str | Path | None = None,
    timeout: float = 3600.0,
    fmax: float = 0.01,
    steps: int = 300,
    guesses: int = GUESSES,
    against: str | Path | None = None,
    device: str = "cpu",
    charge: int = 0,
    spin: int | None = None,
    report: Report | None = None,
) -> ReactionsResult:
    """The transition states of a whole set of reactions; a run that was stopped goes on.

    Args:
        reaction_set: folder of folders with reactant and product, or a file of pairs (`sets`).
        potential, method, fmax, steps, guesses, device, charge, spin: see
            `hint_plugin.science.reactions.run`.
        output: folder of the results, one in it a reaction; with summary.json, index.html and funnel.png.
        jobs: processes, one thread each.
        parsl: a file that says where workers run, in place of `jobs`.
        timeout: s, of one reaction; 0: none.
        against: results of another model, to compare with (McNemar).
        report: see `Report`.

    Raises:
        HintError: files, options or packages with which nothing can be done; a run that is stopped. What
            fails with one reaction is in its results.
    """
    path, folder, other = Path(reaction_set), Path(output), as_path(against)
    a_folder(folder)
    pairs = read_set(path)
    if other is not None:
        results_of(other)  # that there are some: before the work
    settings = ReactionSettings(fmax=float(fmax), steps=steps, guesses=guesses, method=method)
    method_of(method)
    source = OnDemand.of(potential, device, charge, spin)
    calculator = source.calculator()  # errors of options come here, before anything is written
    about = {"set": str(path), "charge": charge, "spin": spin, **asdict(settings)}
    about |= {"method": _named(source), "search": method}  # `method` is the potential in folders of before
    provenance = run_provenance([path], source.model, calculator)
    provenance.setdefault("engine", origin(calculator))
    about[COMPUTED_BY] = computed_by(provenance)
    todo, done = prepare(folder, pairs, about)
    worker = Worker(folder.resolve(), source.calculator, settings, timeout)
    try:
        with terminate_as_interrupt():
            for count, name, verdict in _each(worker, todo, source, jobs, as_path(parsl), folder):
                if report is not None:
                    report(done + count, len(pairs), name, verdict)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted; what is done is in {folder}. The same command goes on where this stopped"
        ) from None
    names = {pair.name for pair in pairs}
    found = summary(folder, names, provenance=provenance)
    write_index(folder, found, f"{path.stem}: {', '.join(_named(source))}")
    if other is not None:
        found["against"] = compare(folder, other, only=names)
        write_json(folder / "summary.json", found)
    return ReactionsResult(folder, found)


def _named(source: OnDemand) -> list[str]:
    """The potential in words of the command: a model's file, or an engine and its options."""
    asked = source.asked()
    first = source.model or asked["engine"] or asked.get("calculator")
    return [str(first), *asked["engine-option"]]


def _each(
    worker: Worker, todo: list[Pair], source: OnDemand, jobs: int, parsl: Path | None, output: Path
) -> Iterator[tuple[int, str, str]]:
    """(how many, name, verdict) as reactions finish; what kills its process is left as a failed reaction."""
    tasks = enumerate(todo)
    if parsl is not None:
        from hint_plugin.parallel.parsl_config import read_parsl_file
        from hint_plugin.parallel.parsl_pool import run_tasks_on_parsl

        run = read_parsl_file(parsl, output / "parsl")
        run.frames_per_task = run.frames_per_task or 1
        stream = run_tasks_on_parsl(tasks, worker, run, len(todo))
    elif jobs == 1 and not isinstance(source.given, PotentialSpec):
        stream = Spread().run(tasks, worker, len(todo), output)  # here: a calculator need not travel
    else:
        stream = run_tasks(tasks, worker, jobs)
    for count, (number, result) in enumerate(stream, start=1):
        name = todo[number].name
        if isinstance(result, Failure):
            _keep_failure(worker, todo[number], result.message)
            yield count, name, f"failed: {result.message}"
        else:
            yield count, name, result["verdict"] + (f" ({result['failure']})" if result["failure"] else "")


def _keep_failure(worker: Worker, pair: Pair, message: str) -> None:
    lost = Reaction()
    lost.fail(message)
    write_report(worker.folder / pair.name, lost, worker.settings, pair.name, {"inputs": identity_of(pair)})
