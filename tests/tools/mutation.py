"""Mutation testing: plant small faults, one at a time, and see whether a test fails.

    python tests/tools/mutation.py core gate --hours 2     # goes on where it was stopped
    python tests/tools/mutation.py --report

The mutants (`mutants`) of a group's modules come in a random order that is the same every time: what was
tried when a run is stopped is a fair sample of the whole. Importing torch takes longer than most tests, so
one process imports all that a group's tests import, HINT and the tests aside, and forks a child for each
mutant. The child imports HINT anew, the mutant in the place of its module, and runs the tests that reach the
mutant's lines, the fastest first, until one fails. Which tests reach which lines is found by one run of all
tests of the group. Each verdict is a line of the journal.

Mutants that no test can tell from the original are listed in `equivalent_mutants.json` beside this file, with
the reason; they are not counted. A mutant in a module that tests run in a process of its own is not seen
there.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from mutant_child import ROOT, Reach, in_child, run_tests
from mutants import Mutant, mutants

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.json")
#: Group -> (modules, tests).
GROUPS = {
    "core": (
        ["hint_plugin/core/[a-z]*.py"],
        ["tests/unit/test_core_*.py", "tests/unit/test_metrics.py", "tests/unit/test_spectra.py",
         "tests/unit/test_batch_labels.py", "tests/science/test_colouring.py"],
    ),
    "gate": (
        [f"hint_plugin/data/labels/{x}.py" for x in ("gate", "physics", "thresholds", "bond_stiffness")],
        ["tests/unit/test_physics.py", "tests/unit/test_gate.py", "tests/unit/test_label.py"],
    ),
    "mace": (["hint_plugin/mace/loss.py"], ["tests/mace/test_loss_rules.py", "tests/mace/test_loss.py"]),
    "anharmonic": (
        [f"hint_plugin/science/anharmonic/{name}.py" for name in ("minimisation", "ensemble")],
        ["tests/science/test_sscha_population.py", "tests/science/test_sscha.py"],
    ),
    "sampling": (["hint_plugin/sampling/[a-z]*.py"], ["tests/sampling/test_*.py"]),
    "nequip": (
        ["hint_plugin/nequip/loss.py"],
        ["tests/nequip/test_loss_rules.py", "tests/nequip/test_loss.py"],
    ),
}  # fmt: skip
#: Seconds of tests for one mutant: the slower ones that are left are not run.
SECONDS = 30.0


def main() -> None:
    """Run groups, or report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("groups", nargs="*", help=f"of {', '.join(GROUPS)} (default: all but nequip)")
    parser.add_argument("--hours", type=float, default=4.0, help="stop after this long (default: 4)")
    parser.add_argument("--fraction", type=float, default=1.0, help="part of the mutants (default: all)")
    parser.add_argument(
        "--journal", type=Path, default=ROOT / "build" / "mutation", help="folder of verdicts"
    )
    parser.add_argument("--again", action="store_true", help="try the survivors again, after new tests")
    parser.add_argument("--report", action="store_true", help="print scores and survivors, run nothing")
    options = parser.parse_args()
    names = options.groups or [name for name in GROUPS if name != "nequip" or options.report]
    for name in names:
        if name not in GROUPS:
            parser.error(f"no group {name!r}; wanted one of {', '.join(GROUPS)}")
    options.journal.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 3600 * options.hours
    for name in names:
        if not options.report:
            run(name, options, end)
        report(name, options)


def all_mutants(group: str, fraction: float = 1.0) -> list[Mutant]:
    """Of a group, in their random order."""
    paths = sorted({path for pattern in GROUPS[group][0] for path in ROOT.glob(pattern)})
    found = [m for path in paths for m in mutants(str(path.relative_to(ROOT)), path.read_text())]
    wanted = sorted(found, key=lambda m: m.key)
    return [m for m in wanted if int(m.key, 16) < fraction * 16 ** len(m.key)]


def run(group: str, options: argparse.Namespace, end: float) -> None:
    """Try what has not been tried."""
    journal = options.journal / f"{group}.jsonl"
    verdicts, skipped = read_journal(journal), read_equivalent()
    again = ("undecided", "survived", "not reached") if options.again else ("undecided",)
    verdicts = {key: v for key, v in verdicts.items() if v["verdict"] not in again}
    todo = [m for m in all_mutants(group, options.fraction) if m.key not in verdicts and m.key not in skipped]
    if not todo:
        return
    reach = reached(group, options.journal)
    for name in reach["modules"]:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    with journal.open("a") as file:
        for mutant in todo:
            if time.monotonic() > end:
                return
            verdict = try_one(mutant, reach)
            told = ("key", "path", "function", "before", "after")
            line = {name: getattr(mutant, name) for name in told}
            line |= {"line": mutant.lines[0], **verdict}
            file.write(json.dumps(line) + "\n")
            file.flush()


def try_one(mutant: Mutant, reach: dict[str, Any]) -> dict[str, Any]:
    """Verdict on a mutant: killed, timeout, survived, not reached; undecided where no test ran to an end."""
    own, chosen = range(mutant.lines[0], mutant.lines[1] + 1), []
    # what runs when a module is imported reaches every test of a file that uses the module
    files = {_file(test) for test, lines in reach["lines"].items() if lines.get(mutant.path)}
    for test in sorted(reach["seconds"], key=reach["seconds"].__getitem__):
        lines = reach["lines"][test].get(mutant.path, [])
        if any(line in own for line in lines) or (not mutant.in_body and _file(test) in files):
            chosen.append(test)
    seconds = [reach["seconds"][test] for test in chosen]
    while len(seconds) > 1 and sum(seconds) > SECONDS:
        seconds.pop()
    chosen = chosen[: len(seconds)]
    if not chosen:
        return {"verdict": "not reached", "seconds": 0.0, "tests": 0}
    start = time.monotonic()
    code = in_child(lambda folder: run_tests(chosen, folder, mutant), seconds=20 + 6 * sum(seconds))
    verdict = {0: "survived", 5: "undecided", None: "undecided", -signal.SIGXCPU: "timeout"}.get(
        code, "killed"
    )
    return {"verdict": verdict, "seconds": round(time.monotonic() - start, 2), "tests": len(chosen)}


def _file(test: str) -> str:
    return test.split("::")[0]


def reached(group: str, folder: Path) -> dict[str, Any]:
    """Which tests reach which lines, how long they take, and what they import; kept beside the journal."""
    modules, tests = (
        [p for pattern in patterns for p in sorted(ROOT.glob(pattern))] for patterns in GROUPS[group]
    )
    digest = hashlib.sha1(b"".join(p.read_bytes() for p in [*modules, *tests])).hexdigest()
    kept = folder / f"{group}-reach.json"
    if kept.is_file() and (found := json.loads(kept.read_text()))["digest"] == digest:
        return found
    names = [str(p.relative_to(ROOT)) for p in tests]
    plugin = Reach([str(p.relative_to(ROOT)) for p in modules])

    def work(place: str) -> int:
        run_tests(names, place, None, plugin)
        kept.write_text(json.dumps({"digest": digest, **plugin.found()}))
        return 0

    in_child(work, seconds=3600)
    found = json.loads(kept.read_text())
    if not found["seconds"]:
        kept.unlink()
        raise SystemExit(f"{group}: no test ran: do {', '.join(names)} fail by themselves, or skip?")
    print(f"{group}: {len(found['seconds'])} tests in {sum(found['seconds'].values()):.0f} s", flush=True)
    if found["failed"]:
        print(
            f"{group}: not used, since they fail or skip as they are: {', '.join(found['failed'])}",
            flush=True,
        )
    return found


def read_journal(path: Path) -> dict[str, dict[str, Any]]:
    """Key -> the last verdict."""
    if not path.is_file():
        return {}
    found = {}
    for line in path.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # the last one, of a run that was killed
            entry = json.loads(line)
            found[entry["key"]] = entry
    return found


def read_equivalent() -> dict[str, str]:
    """Key -> why no test can see it."""
    entries = json.loads(EQUIVALENT.read_text()) if EQUIVALENT.is_file() else []
    return {entry["key"]: entry["why"] for entry in entries}


def report(group: str, options: argparse.Namespace) -> None:
    """Score of each module, and the survivors."""
    verdicts, skipped = read_journal(options.journal / f"{group}.jsonl"), read_equivalent()
    everything = all_mutants(group)
    print(f"\n{group:42} {'mutants':>8}{'equal':>7}{'tried':>7}{'killed':>8}{'score':>8}")
    for path in [*sorted({m.path for m in everything}), ""]:
        of = [m for m in everything if m.path.startswith(path)]
        tried = [verdicts[m.key]["verdict"] for m in of if m.key in verdicts and m.key not in skipped]
        tried = [verdict for verdict in tried if verdict != "undecided"]
        killed = sum(verdict in ("killed", "timeout") for verdict in tried)
        equal = sum(m.key in skipped for m in of)
        score = f"{100 * killed / len(tried):.1f} %" if tried else "-"
        print(f"{path or 'together':42} {len(of):8}{equal:7}{len(tried):7}{killed:8}{score:>8}")
    for m in sorted(everything, key=lambda m: (m.path, m.lines)):
        verdict = verdicts.get(m.key, {}).get("verdict")
        if m.key not in skipped and verdict not in (None, "killed", "timeout"):
            print(f"{m.key} {m.path}:{m.lines[0]} {m.function}: {verdict}\n    - {m.before}\n    + {m.after}")


if __name__ == "__main__":
    os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
