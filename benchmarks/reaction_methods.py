"""Ways to find transition states on GFN2-xTB: time and success, reaction by reaction, in turns.

    python benchmarks/reaction_methods.py ../shared/data/reactions ../shared/data/reactions/hcn_bent.xyz \\
        ../shared/data/reactions/va.xyz -o reaction_methods

Sets as of `hint reactions`; CH3NC -> CH3CN, made here, is always among them. All methods do one reaction
after the other in one process, each time beginning with the next one, and optimise its ends themselves. Where
the files of a reaction say a multiplicity below 1, charge and multiplicity are taken for swapped
(04_ethane_dehydrogenation).

Wall time is what a user waits; CPU time (this process and its children) sees less of other work on the
machine. pysisyphus is started anew for each reaction, as in `hint reactions`: that is the step `start`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ase.build import molecule

from hint_plugin.data.file_io import write_json
from hint_plugin.labelling import EngineCalculator, make_engine
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.reactions import METHODS, ReactionSettings, find_reaction
from hint_plugin.science.reactions.reaction_files import KCAL
from hint_plugin.science.reactions.sets import Pair, read_set

SAME_BARRIER, SAME_SADDLE = 0.03 / KCAL, 0.2  # eV, A
WIDTH = 39
STEPS = {
    "reactant": "ends",
    "product": "ends",
    "starting": "start",
    "geodesic": "path",
    "growing": "path",
    "transition": "saddle",
    "IRC": "IRC",
    "end": "IRC",
}
"""First word of what is said -> the step whose time it is."""


def isocyanide() -> Pair:
    """CH3NC -> CH3CN: acetonitrile, and the same with its last two atoms' places changed."""
    product = molecule("CH3CN")
    reactant = product.copy()
    methyl = min((0, 1), key=lambda k: product.get_distances(k, [3, 4, 5]).sum())
    nitrile, nitrogen = 1 - methyl, 2
    reactant.positions[[nitrile, nitrogen]] = product.positions[[nitrogen, nitrile]]
    return Pair("methyl_isocyanide", reactant, product, None)


def mended(pair: Pair) -> Pair:
    """Charge and multiplicity the right way round."""
    for atoms in (pair.reactant, pair.product):
        charge, spin = atoms.info.get("charge", 0), atoms.info.get("spin", 1)
        if spin < 1:
            atoms.info |= {"charge": spin, "spin": charge}
    return pair


def timed(pair: Pair, method: str, calculator: Any) -> dict[str, Any]:
    """One reaction by one method."""
    steps: dict[str, float] = {}
    mark = {"at": time.perf_counter(), "step": "ends"}

    def say(text: str) -> None:
        now = time.perf_counter()
        steps[mark["step"]] = steps.get(mark["step"], 0.0) + now - mark["at"]
        mark.update(at=now, step=STEPS[text.split()[0].rstrip(":,")])

    settings, wall, cpu = ReactionSettings(method=method), time.perf_counter(), sum(os.times()[:4])
    found = find_reaction(pair.reactant, pair.product, calculator, settings, say)
    say("reactant")
    result = found.as_dict(settings)
    result |= {
        "reaction": pair.name,
        "atoms": len(pair.reactant),
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": sum(os.times()[:4]) - cpu,
        "steps": steps,
    }
    if pair.saddle is not None and found.saddle is not None:
        result["rmsd_to_known_saddle"] = rmsd(pair.saddle, found.saddle.atoms, permute=True)
    return result


def heads(methods: list[str]) -> str:
    """Two lines above the rows."""
    numbers = f"{'wall s':>6} {'CPU s':>6} {'kcal':>5} {'RMSD':>5} verdict"
    return "\n".join(
        f"{name:<26}" + " | ".join(f"{cell:<{WIDTH}}" for cell in cells).rstrip()
        for name, cells in (("", methods), ("reaction", [numbers] * len(methods)))
    )


def row(name: str, results: dict[str, dict[str, Any]]) -> str:
    """Times, barrier (kcal/mol), RMSD to the known saddle (A) and verdict of one reaction, all methods."""
    cells = []
    for found in results.values():
        barrier, far = found["barriers"].get("forward"), found.get("rmsd_to_known_saddle")
        height = "" if barrier is None else f"{KCAL * barrier:.1f}"
        distance = "" if far is None else f"{far:.2f}"
        numbers = f"{found['seconds']:6.1f} {found['cpu_seconds']:6.1f} {height:>5} {distance:>5}"
        cells.append(f"{numbers} {short(found)}".ljust(WIDTH))
    return f"{name:<26}" + " | ".join(cells).rstrip()


def short(found: dict[str, Any]) -> str:
    """The verdict in a word."""
    if found["stage"] == "done":
        return str(found["verdict"])
    return {"transition state": "no saddle", "IRC": "no path"}.get(found["stage"], f"no {found['stage']}")


def summary(methods: list[str], table: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Of each method: successes, medians, and how it compares with the first where both succeeded."""
    found = {}
    for method in methods:
        results = [results[method] for results in table.values()]
        pairs = [(results[method], results[methods[0]]) for results in table.values()]
        known = [result["rmsd_to_known_saddle"] for result in results if "rmsd_to_known_saddle" in result]
        both = [(a, b) for a, b in pairs if a["verdict"] == b["verdict"] == "intended"]
        found[method] = {
            "reactions": len(results),
            "intended": sum(result["verdict"] == "intended" for result in results),
            "strict": sum(result["verdicts"]["strict"] is True for result in results),
            "median_seconds": median(result["seconds"] for result in results),
            "median_cpu_seconds": median(result["cpu_seconds"] for result in results),
            "median_start": median(start(result) for result in results),
            "known_saddles": sum(far < SAME_SADDLE for far in known),
            "known_compared": len(known),
            "compared": len(both),
            "median_ratio": median(a["cpu_seconds"] / b["cpu_seconds"] for a, b in both),
            "median_ratio_without_start": median((a["seconds"] - start(a)) / b["seconds"] for a, b in both),
            "same_barrier": sum(
                abs(a["barriers"]["forward"] - b["barriers"]["forward"]) < SAME_BARRIER for a, b in both
            ),
        }
    return found


def median(values: Iterable[float]) -> float:
    """NaN of nothing."""
    kept = list(values)
    return statistics.median(kept) if kept else float("nan")


def start(result: dict[str, Any]) -> float:
    """Wall time of starting another program, s."""
    return float(result["steps"].get("start", 0.0))


def words(method: str, numbers: dict[str, Any]) -> str:
    """A method's line below the table."""
    return (
        f"{method:<10} intended {numbers['intended']} of {numbers['reactions']}, strict {numbers['strict']}; "
        f"median {numbers['median_seconds']:.1f} s (start {numbers['median_start']:.1f} s), CPU "
        f"{numbers['median_cpu_seconds']:.1f} s; times the first: CPU {numbers['median_ratio']:.2f}, wall "
        f"without start {numbers['median_ratio_without_start']:.2f}; same barrier "
        f"{numbers['same_barrier']} of {numbers['compared']}; known saddle "
        f"{numbers['known_saddles']} of {numbers['known_compared']}"
    )


def text(methods: list[str], table: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The whole table, and a line for each method."""
    rows = [row(name, results) for name, results in table.items()]
    return "\n".join([heads(methods), *rows, "", *(words(*item) for item in summary(methods, table).items())])


def main() -> None:
    """Print the table, and write it as text and JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("sets", nargs="*", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("reaction_methods"))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--show", type=Path, metavar="JSON", help="print the table of an earlier run")
    options = parser.parse_args()
    if options.show is not None:
        table = json.loads(options.show.read_text(encoding="utf-8"))["reactions"]
        print(text(list(next(iter(table.values()))), table))
        return
    table = run(options.sets, options.methods, options.output)
    shown = text(options.methods, table)
    print("\n" + shown)
    content = {"summary": summary(options.methods, table), "reactions": table}
    write_json(options.output / "reaction_methods.json", content)
    (options.output / "reaction_methods.txt").write_text(shown + "\n", encoding="utf-8")


def run(sets: list[Path], methods: list[str], output: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """All reactions by all methods, in turns; written after each reaction."""
    output.mkdir(parents=True, exist_ok=True)
    calculator = EngineCalculator(make_engine("gfn2-xtb"))
    pairs = [isocyanide(), *(mended(pair) for path in sets for pair in read_set(path))]
    timed(pairs[0], methods[0], calculator)  # compiles what jax compiles
    print(heads(methods))
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for number, pair in enumerate(pairs):
        turn = number % len(methods)
        done = {method: timed(pair, method, calculator) for method in methods[turn:] + methods[:turn]}
        table[pair.name] = {method: done[method] for method in methods}
        print(row(pair.name, table[pair.name]), flush=True)
        write_json(output / "reaction_methods.json", {"reactions": table})
    return table


if __name__ == "__main__":
    main()
