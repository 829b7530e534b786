"""What the runner of `hint label` costs, and how it scales: a plain loop, local processes, and Parsl.

    python benchmarks/label_scaling.py [--frames 200] [--workers 1 2] [--kinds local parsl] [--repeats 1]

GFN2-xTB Hessians of molecules of 9 to 12 atoms. The loop calls the engine in one process and writes nothing;
the runs do all that `hint label` does. Each is measured with many frames and with few, and the difference
counts, so that starting up stands apart: seconds per frame = (t(many) - t(few)) / (many - few). CPU time is
that of all processes of a run; where others use the machine too, believe it and not the wall time.
Linux only.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from label_throughput import ENVIRONMENT, SETS, geometries
from rich.console import Console
from rich.table import Table

from hint_plugin.data import iter_frames, read_label, write_frames
from hint_plugin.labelling import make_engine, make_labels, run_labelling

_SET = "9-12 atoms"
_PR_SET_CHILD_SUBREAPER = 36


def measure(kind: str, workers: int, folder: Path) -> None:
    """In a process of its own: label `in.xyz`, print wall and CPU seconds as JSON."""
    # Parsl's workers lose their parent; this makes them children of this process, whose time is counted
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    start = time.perf_counter()
    if kind == "loop":
        engine = make_engine("gfn2-xtb")
        for atoms in list(iter_frames(folder / "in.xyz")):
            make_labels(engine, atoms)
    else:
        out = folder / "out.h5"
        out.unlink(missing_ok=True)
        file = None
        if kind == "parsl":
            file = folder / "cluster.yaml"
            file.write_text(f"provider: local\nworkers_per_node: {workers}\n")
        run_labelling([folder / "in.xyz"], out, jobs=workers, parsl=file)
        if any(read_label(atoms) is None for atoms in iter_frames(out)):
            raise RuntimeError("not all frames were labelled")
    wall = time.perf_counter() - start
    _reap()
    cpu = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        cpu += usage.ru_utime + usage.ru_stime
    print(json.dumps({"wall": wall, "cpu": cpu}))


def _reap(seconds: float = 3.0) -> None:
    """Wait for children that are ending, so that their time counts; one of Python's own stays."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            found, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if found == 0:
            time.sleep(0.1)


def run(kind: str, workers: int, folder: Path) -> dict[str, float]:
    """`measure` in a fresh process."""
    command = [sys.executable, __file__, "--measure", kind, str(workers), str(folder)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def per_frame(kind: str, workers: int, frames: list, few: int, repeats: int) -> dict[str, float]:
    """The best of the repeats: seconds per frame, wall and CPU, and the wall time of starting."""
    best: dict[str, float] = {}
    for _ in range(repeats):
        found: list[dict[str, float]] = []
        with tempfile.TemporaryDirectory() as name:
            for count in (few, len(frames)):
                write_frames(Path(name) / "in.xyz", frames[:count])
                found.append(run(kind, workers, Path(name)))
        each = {key: (found[1][key] - found[0][key]) / (len(frames) - few) for key in ("wall", "cpu")}
        each["start"] = found[0]["wall"] - few * each["wall"]
        best = {key: min(value, best.get(key, value)) for key, value in each.items()}
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kinds", nargs="+", default=["local", "parsl"], choices=["local", "parsl"])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--measure", nargs=3, metavar=("KIND", "WORKERS", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        kind, workers, folder = arguments.measure
        measure(kind, int(workers), Path(folder))
        return
    names = SETS[_SET]
    few = 2 * len(names)
    frames = geometries(names, -(-arguments.frames // len(names)))
    loop = per_frame("loop", 1, frames, few, arguments.repeats)
    table = Table(
        *("runner", "workers", "frames/s", "times 1 worker", "CPU ms a frame", "over the loop", "start, s"),
        title=f"{len(frames)} GFN2-xTB Hessians, {_SET}",
    )
    table.add_row("loop", "1", f"{1 / loop['wall']:.2f}", "", f"{1e3 * loop['cpu']:.1f}", "", "")
    for kind in arguments.kinds:
        first = None
        for workers in arguments.workers:
            found = per_frame(kind, workers, frames, few, arguments.repeats)
            first = first or found
            table.add_row(
                kind,
                str(workers),
                f"{1 / found['wall']:.2f}",
                f"{first['wall'] / found['wall']:.2f}",
                f"{1e3 * found['cpu']:.1f}",
                f"{100 * (found['cpu'] / loop['cpu'] - 1):+.1f} %",
                f"{found['start']:.1f}",
            )
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
