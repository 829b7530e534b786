"""Ways to find transition states on GFN2-xTB: CPU time, gradients and success, reaction by reaction.

    python benchmarks/reaction_methods.py ../shared/data/reactions ../shared/data/reactions/hcn_bent.xyz \\
        ../shared/data/reactions/va.xyz -o reaction_methods
    python benchmarks/reaction_methods.py --generated 44 --ways three-guesses reactbench -o forty

Sets as of `hint reactions`; CH3NC -> CH3CN, made here, is always among them, unless --generated asks for
reactions of the generator of the reactive set (`reactive/`), of 3 and 4 heavy atoms. The ways do one reaction
after the other in one process, each time beginning with the next one, and optimise its ends themselves.
`sella` is the default, `one-guess` and `three-guesses` the same with `--guesses 1` and 3. Where the files of
a reaction say a multiplicity below 1, charge and multiplicity are taken for swapped
(04_ethane_dehydrogenation).

The same command continues a run that was stopped, and adds ways that are not there yet. CPU time is that of
this process and of pysisyphus; other work on the machine does not count. pysisyphus is started once for all
reactions, and its start is in no row. A Hessian counts as the gradients that its differences take: 6 for
each atom but one, and one more. A barrier counts as lower or higher where it differs by more than 0.5
kcal/mol from that of the first way.
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

from _searches import Counted, Kept
from ase import Atoms
from ase.build import molecule

from hint_plugin.data import read_frames, write_frames
from hint_plugin.data.file_io import write_json
from hint_plugin.errors import DataError
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.reactions import ReactionSettings, find_reaction
from hint_plugin.science.reactions.many_reactions import identity_of
from hint_plugin.science.reactions.reaction_files import KCAL
from hint_plugin.science.reactions.sets import Pair, read_set
from hint_plugin.science.reactions.tried_guesses import NOT_FOLLOWED

WAYS = {
    "sella": ReactionSettings(),
    "one-guess": ReactionSettings(guesses=1),
    "three-guesses": ReactionSettings(guesses=3),
    "reactbench": ReactionSettings(method="reactbench"),
    "paper": ReactionSettings(method="paper"),
}
SAME_BARRIER, SAME_SADDLE = 0.5, 0.2  # kcal/mol, A
SEED, LARGEST = 7, 4  # of the reactions that are generated: heavy atoms, at most
WIDTH = 37
RESULTS = "reaction_methods.json"

Row = dict[str, Any]
Table = dict[str, dict[str, Row]]
"""Reaction -> way -> what was found."""


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


def generated(count: int, file: Path) -> list[Pair]:
    """So many reactions of the generator, those of few atoms first.

    They are kept in a file, as ends that are made again may differ in rounding.
    """
    if not file.is_file():
        from reactive.reaction_ends import reactions

        frames = [
            Atoms(end.symbols, end.positions, info={"reaction": name})
            for name, *ends in reactions(count, SEED, LARGEST)
            for end in ends
        ]
        write_frames(file, frames)
    frames = read_frames(file)[: 2 * count]
    found = [
        Pair(str(frames[k].info["reaction"]), frames[k], frames[k + 1], None)
        for k in range(0, len(frames), 2)
    ]
    return sorted(found, key=lambda pair: len(pair.reactant))


def searched(pair: Pair, way: str, counted: Counted, kept: Kept) -> Row:
    """One reaction by one way."""
    settings = WAYS[way]
    counted.reset()
    before, wall, cpu = kept.cpu_seconds(), time.perf_counter(), sum(os.times()[:2])
    started_in_between = 0.0
    marks: dict[str, tuple[int, float]] = {}  # gradients and CPU time where the other guesses begin and end

    def say(text: str) -> None:
        nonlocal started_in_between, before
        begins = "begin" if text.startswith("path:") else "end" if text.startswith("IRC") else ""
        if begins and begins not in marks:
            marks[begins] = counted.gradients, sum(os.times()[:2])
        if text == "growing string" and before == 0.0:  # pysisyphus was started for this reaction
            started_in_between = before = kept.cpu_seconds()

    found = find_reaction(pair.reactant, pair.product, counted.calculator, settings, say)
    result = found.as_dict(settings)
    program = max(0.0, kept.cpu_seconds() - before)
    result |= {
        "reaction": pair.name,
        "inputs": identity_of(pair),
        "atoms": len(pair.reactant),
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": sum(os.times()[:2]) - cpu + program,
        "start_cpu_seconds": started_in_between,
        "gradients": counted.gradients,
        "hessians": counted.hessians,
    }
    if len(marks) == 2:
        (first, start), (last, stop) = marks["begin"], marks["end"]
        result |= {"gradients_of_more_guesses": last - first, "cpu_seconds_of_more_guesses": stop - start}
    if pair.saddle is not None and found.saddle is not None:
        result["rmsd_to_known_saddle"] = rmsd(pair.saddle, found.saddle.atoms, permute=True)
    return result


def heads(ways: Iterable[str]) -> str:
    """Two lines above the rows."""
    numbers = f"{'CPU s':>6} {'grads':>6} {'kcal':>6} {'RMSD':>4} verdict"
    return "\n".join(
        f"{name:<30}" + " | ".join(f"{cell:<{WIDTH}}" for cell in cells).rstrip()
        for name, cells in (("", list(ways)), ("reaction", [numbers for _ in ways]))
    )


def row(name: str, results: dict[str, Row], ways: Iterable[str]) -> str:
    """CPU time, gradients, barrier (kcal/mol), RMSD to the known saddle (A), verdict; of all ways."""
    cells = []
    for way in ways:
        if way not in results:
            cells.append(" " * WIDTH)
            continue
        found = results[way]
        barrier, far = found["barriers"].get("forward"), found.get("rmsd_to_known_saddle")
        height = "" if barrier is None else f"{KCAL * barrier:.1f}"
        distance = "" if far is None else f"{far:.2f}"
        numbers = f"{found['cpu_seconds']:6.1f} {found['gradients']:6d} {height:>6} {distance:>4}"
        cells.append(f"{numbers} {short(found)}".ljust(WIDTH))
    return f"{name:<30}" + " | ".join(cells).rstrip()


def short(found: Row) -> str:
    """The verdict in a word."""
    if found["stage"] == "done":
        return {"reactant unintended": "R other", "product unintended": "P other"}.get(
            found["verdict"], str(found["verdict"])
        )
    return {"transition state": "no saddle", "IRC": "no path"}.get(found["stage"], f"no {found['stage']}")


def summary(ways: list[str], table: Table) -> dict[str, Row]:
    """Of each way, on the reactions that all ways have done: successes, medians, sums, and the barriers
    against those of the first way, where both succeeded."""
    complete = {name: results for name, results in table.items() if all(way in results for way in ways)}
    found = {}
    for way in ways:
        results = [results[way] for results in complete.values()]
        pairs = [(results[way], results[ways[0]]) for results in complete.values()]
        known = [result["rmsd_to_known_saddle"] for result in results if "rmsd_to_known_saddle" in result]
        both = [(a, b) for a, b in pairs if a["verdict"] == b["verdict"] == "intended"]
        higher = [KCAL * (a["barriers"]["forward"] - b["barriers"]["forward"]) for a, b in both]
        found[way] = {
            "reactions": len(results),
            "intended": sum(result["verdict"] == "intended" for result in results),
            "strict": sum(result["verdicts"]["strict"] is True for result in results),
            "geometric": sum(result["verdicts"]["geometric"] is True for result in results),
            "cpu_seconds": sum(result["cpu_seconds"] for result in results),
            "median_cpu_seconds": median(result["cpu_seconds"] for result in results),
            "gradients": sum(result["gradients"] for result in results),
            "median_gradients": median(result["gradients"] for result in results),
            "known_saddles": sum(far < SAME_SADDLE for far in known),
            "known_compared": len(known),
            "compared": len(both),
            "lower": sum(value < -SAME_BARRIER for value in higher),
            "same": sum(abs(value) <= SAME_BARRIER for value in higher),
            "higher": sum(value > SAME_BARRIER for value in higher),
            "median_ratio": median(a["cpu_seconds"] / b["cpu_seconds"] for a, b in both),
            "median_ratio_of_gradients": median(a["gradients"] / b["gradients"] for a, b in both),
        }
    return found


def median(values: Iterable[float]) -> float:
    """NaN of nothing."""
    kept = list(values)
    return statistics.median(kept) if kept else float("nan")


def words(way: str, first: str, numbers: Row) -> str:
    """A way's lines below the table."""
    return (
        f"{way:<10} intended {numbers['intended']} of {numbers['reactions']}, strict {numbers['strict']}, "
        f"geometric {numbers['geometric']}; CPU {numbers['cpu_seconds']:.0f} s, median "
        f"{numbers['median_cpu_seconds']:.1f} s; gradients {numbers['gradients']}, median "
        f"{numbers['median_gradients']:.0f}; known saddle {numbers['known_saddles']} of "
        f"{numbers['known_compared']}\n"
        f"{'':<10} against {first}, {numbers['compared']} that both solve: CPU times "
        f"{numbers['median_ratio']:.2f}, gradients {numbers['median_ratio_of_gradients']:.2f} (medians); "
        f"barrier lower {numbers['lower']}, same {numbers['same']}, higher {numbers['higher']}"
    )


def of_more_guesses(results: list[Row]) -> str:
    """What the guesses beside the first gave: lower saddles, and their part of the gradients; "" of none."""
    tried = [(result, result["guesses"]) for result in results if len(result.get("guesses", [])) > 1]
    if not tried:
        return ""
    intended = [(result, guesses) for result, guesses in tried if result["verdict"] == "intended"]
    rescued = lower = 0
    for result, guesses in intended:
        first, kept = guesses[0]["saddle"], result["barriers"]["forward"]
        followed = guesses[0]["verdict"] not in ("", "intended", NOT_FOLLOWED)
        rescued += first is None or followed
        lower += not (first is None or followed) and KCAL * (first - kept) > SAME_BARRIER
    part = median(
        result["gradients_of_more_guesses"] / result["gradients"]
        for result, _ in tried
        if "gradients_of_more_guesses" in result
    )
    return (
        f"more guesses: of {len(tried)} reactions, {len(intended)} intended; a lower saddle than the first "
        f"guess's in {lower}, a saddle that connects where the first guess's does not in {rescued}; "
        f"{100 * part:.0f} % of the gradients (median)"
    )


def text(ways: list[str], table: Table) -> str:
    """The whole table, and two lines for each way."""
    rows = [row(name, results, ways) for name, results in table.items()]
    numbers = summary(ways, table)
    more = [of_more_guesses([results[way] for results in table.values() if way in results]) for way in ways]
    told = [words(way, ways[0], numbers[way]) for way in ways]
    return "\n".join([heads(ways), *rows, "", *told, *filter(None, more)])


def main() -> None:
    """Print the table, and write it as text and JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("sets", nargs="*", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("reaction_methods"))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--generated", type=int, default=0, metavar="N", help="reactions of the generator")
    parser.add_argument("--show", type=Path, metavar="JSON", help="print the table of an earlier run")
    options = parser.parse_args()
    if options.show is not None:
        table = json.loads(options.show.read_text(encoding="utf-8"))["reactions"]
        print(text(options.ways, table))
        return
    options.output.mkdir(parents=True, exist_ok=True)
    pairs = [mended(pair) for path in options.sets for pair in read_set(path)]
    if options.generated:
        pairs += generated(options.generated, options.output / "generated.xyz")
    else:
        pairs.insert(0, isocyanide())
    table = run(pairs, options.ways, options.output)
    shown = text(options.ways, table)
    print("\n" + shown)
    content = {"summary": summary(options.ways, table), "reactions": table}
    write_json(options.output / RESULTS, content)
    (options.output / "reaction_methods.txt").write_text(shown + "\n", encoding="utf-8")


def run(pairs: list[Pair], ways: list[str], output: Path) -> Table:
    """All reactions by all ways, in turns; written after each search, and continued where it stopped."""
    file = output / RESULTS
    table: Table = json.loads(file.read_text(encoding="utf-8"))["reactions"] if file.is_file() else {}
    _same_inputs(table, pairs, file)
    counted, kept = Counted(), Kept()
    print(heads(ways), flush=True)
    try:
        for number, pair in enumerate(pairs):
            done, turn = table.setdefault(pair.name, {}), number % len(ways)
            for way in ways[turn:] + ways[:turn]:
                if way not in done:
                    done[way] = searched(pair, way, counted, kept)
                    write_json(file, {"reactions": table})
            print(row(pair.name, done, ways), flush=True)
    finally:
        kept.end()
    return table


def _same_inputs(table: Table, pairs: list[Pair], file: Path) -> None:
    """Raises DataError where the file has other reactions under the names of these."""
    for pair in pairs:
        for found in table.get(pair.name, {}).values():
            if found["inputs"] != identity_of(pair):
                raise DataError(
                    f"{file} has another reaction with the name {pair.name}; wanted the same ones"
                )


if __name__ == "__main__":
    main()
