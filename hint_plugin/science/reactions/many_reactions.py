"""Many reactions: one folder each, resumed where it stopped, counted at the end."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hint_plugin.data.drawing import picture
from hint_plugin.data.file_io import write_json
from hint_plugin.data.structures.electrons import ELECTRON_INFO
from hint_plugin.errors import DataError, HintError, OptionsError
from hint_plugin.science.figures import new_figure, save_png
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.reactions.limits import TimeUp, at_most
from hint_plugin.science.reactions.methods import method_of
from hint_plugin.science.reactions.one_reaction import Reaction, find_reaction
from hint_plugin.science.reactions.pages import write_set_page
from hint_plugin.science.reactions.reaction_files import write_report
from hint_plugin.science.reactions.reaction_settings import ReactionSettings
from hint_plugin.science.reactions.sets import Pair
from hint_plugin.science.reactions.success_rates import funnel

RESULT = "reaction.json"
SETTINGS = "settings.json"
_ELECTRONS_BEFORE = ("charge", "spin", "multiplicity")
"""Keys that the identity of a reaction has always had; others count where they are there."""
_BEFORE = {"search": "sella"}
"""What folders do not say that were begun when there was no choice."""
COMPUTED_BY = "computed by"
"""The engine with its settings, or the model with its hash; folders of before do not say it."""


@dataclass(frozen=True)
class Worker:
    """Does one reaction in its folder; it travels to worker processes.

    Attributes:
        folder: of the whole set.
        make: returns a calculator with `get_hessian`; called once in each process.
        settings: of every reaction.
        timeout: s, of one reaction; 0 for none.
    """

    folder: Path
    make: Callable[[], Any]
    settings: ReactionSettings
    timeout: float = 0.0

    def __call__(self) -> Callable[[Pair], dict[str, Any]]:
        """Set up. Raises MissingDependencyError, and what `make` raises."""
        method_of(self.settings.method)
        calculator = self.make()
        return lambda pair: self._do(pair, calculator)

    def _do(self, pair: Pair, calculator: Any) -> dict[str, Any]:
        found, start = Reaction(), time.perf_counter()
        try:
            with at_most(self.timeout):
                found = find_reaction(pair.reactant, pair.product, calculator, self.settings)
        except (HintError, TimeUp) as error:
            found.fail(str(error))
        about: dict[str, Any] = {"seconds": time.perf_counter() - start, "inputs": identity_of(pair)}
        if (
            pair.saddle is not None
            and found.saddle is not None
            and len(pair.saddle) == len(found.saddle.atoms)
        ):
            about["rmsd_to_known_saddle"] = rmsd(pair.saddle, found.saddle.atoms, permute=True)
        return write_report(self.folder / pair.name, found, self.settings, f"{pair.name}:", about)


def identity_of(pair: Pair) -> str:
    """A hash of what is asked: elements, positions to 0.001 A, charge and spin; of a surface, also
    the cell and what is held."""
    digest = hashlib.sha256()
    for atoms in (pair.reactant, pair.product):
        digest.update(atoms.numbers.tobytes() + (np.round(atoms.positions, 3) + 0.0).tobytes())
        digest.update(repr([atoms.info.get(key) for key in _ELECTRONS_BEFORE]).encode())
        others = {key: atoms.info[key] for key in ELECTRON_INFO if key in atoms.info}
        others = {key: value for key, value in others.items() if key not in _ELECTRONS_BEFORE}
        if others:
            digest.update(repr(others).encode())
        if atoms.constraints:
            told = [repr(one.todict()) for one in atoms.constraints]
            digest.update(repr((told, np.round(atoms.cell.array, 3).tolist(), atoms.pbc.tolist())).encode())
    return digest.hexdigest()[:16]


def prepare(folder: Path, pairs: Sequence[Pair], about: dict[str, Any]) -> tuple[list[Pair], int]:
    """Make the folder; the reactions that are still to do, and how many are done.

    Raises:
        OptionsError: the folder holds a run with another potential, method or other settings, or results of
            other molecules under the names of these.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS
    if path.is_file() and any(folder.glob(f"*/{RESULT}")):  # else nothing is done that could be mixed up
        before = {**_BEFORE, **json.loads(path.read_text(encoding="utf-8"))}
        if "tops" in about and "tops" not in before:  # of one path then, and called guesses
            before |= {"tops": before.get("guesses"), "guesses": 1}
        if COMPUTED_BY not in before:
            before |= {COMPUTED_BY: about[COMPUTED_BY]} if COMPUTED_BY in about else {}
        changed = sorted(key for key in {*before, *about} if before.get(key) != about.get(key))
        if changed:
            told = ", ".join(f"{key} {before.get(key)} -> {about.get(key)}" for key in changed)
            raise OptionsError(f"{folder} was begun with other settings ({told}); take another folder")
    _refuse_other_inputs(folder, pairs)
    write_json(path, about)
    todo = [pair for pair in pairs if not (folder / pair.name / RESULT).is_file()]
    return todo, len(pairs) - len(todo)


def computed_by(provenance: dict[str, Any]) -> str:
    """Of `run_provenance`: the engine with its settings, and the model with its hash."""
    made = dict(provenance.get("engine", {}))
    if "model" in provenance:
        made["model"] = f"{Path(provenance['model']['path']).name} {provenance['model']['sha256'][:16]}"
    return ", ".join(f"{name} {value}" for name, value in made.items() if value is not None)


def _refuse_other_inputs(folder: Path, pairs: Sequence[Pair]) -> None:
    """Results under the same names count for the same molecules alone; those of before do not say theirs."""
    other = []
    for pair in pairs:
        path = folder / pair.name / RESULT
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8")).get("inputs")
            if found is not None and found != identity_of(pair):
                other.append(pair.name)
    if other:
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        raise OptionsError(
            f"{folder} has results of other molecules, geometries, charges or spins under the names "
            f"{', '.join(other[:3])}{more}. Take another folder, or remove these results from it"
        )


def results_of(folder: Path, only: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
    """What is done in a folder, by the names of the reactions; of `only` these, if they are given.

    Raises:
        DataError: it is no folder of `hint reactions`, or nothing is done yet.
    """
    found = {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob(f"*/{RESULT}"))
        if only is None or path.parent.name in only
    }
    if not found:
        raise DataError(f"{folder} has no results of hint reactions")
    return found


def summary(folder: Path, only: Collection[str] | None = None, **about: Any) -> dict[str, Any]:
    """Funnel, verdicts, failures by stage, doubts, and `about`; written to summary.json.

    Args:
        folder: of the whole set.
        only: names of the reactions that count: what else the folder has is named as `left_out`.

    Raises DataError as `results_of`.
    """
    results = results_of(folder, only)
    stages: dict[str, int] = {}
    verdicts: dict[str, int] = {}
    for result in results.values():
        verdicts[result["verdict"]] = verdicts.get(result["verdict"], 0) + 1
        if result["stage"] != "done":
            stages[result["stage"]] = stages.get(result["stage"], 0) + 1
    known = {
        name: result["rmsd_to_known_saddle"]
        for name, result in results.items()
        if "rmsd_to_known_saddle" in result
    }
    times = [result["seconds"] for result in results.values() if "seconds" in result]
    found = {
        "funnel": funnel(list(results.values())),
        "verdicts": verdicts,
        "geometric": sum(result["verdicts"]["geometric"] is True for result in results.values()),
        "reactbench": sum(result["verdicts"]["reactbench"] == "Intended" for result in results.values()),
        "stopped_at": stages,
        "doubtful": {name: result["doubts"] for name, result in results.items() if result.get("doubts")},
        "known_saddles": {
            "compared": len(known),
            "within_0.2_A": sum(value < 0.2 for value in known.values()),
            "rmsd": known,
        },
        "median_seconds": statistics.median(times) if times else None,
        "left_out": sorted(set(results_of(folder)) - set(results)),
        **about,
    }
    write_json(folder / "summary.json", found)
    return found


def write_index(folder: Path, found: dict[str, Any], title: str) -> None:
    """funnel.png (with matplotlib) and index.html of what `summary` has found."""
    plot_funnel(folder / "funnel.png", found["funnel"], title)
    results = {name: one for name, one in results_of(folder).items() if name not in found["left_out"]}
    write_set_page(folder, found, results, title)


@picture
def plot_funnel(path: Path, rows: Sequence[dict[str, Any]], title: str = "") -> bool:
    """Bars with 95 % intervals. Returns False, and writes nothing, without matplotlib."""
    figure = new_figure(6.4, 3.2)
    if figure is None:
        return False
    axes = figure.add_subplot()
    rates = [100 * row["rate"] for row in rows]
    errors = [[100 * (r["rate"] - r["low"]) for r in rows], [100 * (r["high"] - r["rate"]) for r in rows]]
    axes.barh(
        [row["stage"] for row in rows], rates, xerr=errors, color="#1f5fa8", ecolor="#c44e22", height=0.6
    )
    for k, row in enumerate(rows):
        axes.text(1.5, k, f"{row['count']} of {row['total']}", va="center", color="white", fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 103)
    axes.set_xlabel("% of the reactions")
    axes.set_title(title, fontsize=10)
    save_png(figure, path)
    return True
