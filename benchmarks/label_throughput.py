"""How fast `hint label` is against `xtb --hess` (Debian's program) on the same molecules and cores, in one
run.

    python benchmarks/label_throughput.py [--copies 5] [--repeats 3] [--jobs 1 2]

Both get the same geometries from files and end with Hessians in files. `xtb` is started once per molecule, as
its users do, in `jobs` processes at a time with one thread each. `hint label` is one command; its time
includes starting Python, the workers, and writing the output. The best of the repeats counts, the two
alternating. On a machine that others use too, believe the CPU time. (xtb 6.5 aborts on some geometries after
it has written the Hessian: that counts as done.)
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ase import Atoms
from ase.build import molecule
from rich.console import Console
from rich.table import Table

from hint_plugin.data import iter_frames, read_label, write_frames

SETS = {
    "ethanol (9 atoms)": ["CH3CH2OH"],
    "9-12 atoms": ["CH3CH2OH", "C4H4NH", "C6H6", "CH3CONH2", "bicyclobutane", "CH3COCH3"],
    "13-14 atoms": ["trans-butane", "isobutane", "C3H7Cl", "CH3CH2OCH3", "C5H8"],
}
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def geometries(names: list[str], copies: int) -> list[Atoms]:
    """Each molecule `copies` times, every one displaced differently."""
    frames = []
    for copy in range(copies):
        for name in names:
            frames.append(molecule(name))
            frames[-1].rattle(0.03, seed=copy)
    return frames


def time_hint(frames: list[Atoms], jobs: int, folder: Path) -> tuple[float, float]:
    """(wall, CPU) seconds of one `hint label` command."""
    write_frames(folder / "in.xyz", frames)
    out = folder / "out.h5"
    out.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "hint_plugin.cli.app",
        "label",
        "in.xyz",
        "-o",
        out.name,
        "--jobs",
        str(jobs),
    ]
    start, cpu = time.perf_counter(), _children_cpu()
    subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)
    seconds = time.perf_counter() - start, _children_cpu() - cpu
    if sum(read_label(atoms) is not None for atoms in iter_frames(out)) != len(frames):
        raise RuntimeError("not all frames were labelled")
    return seconds


def time_xtb(xtb: str, frames: list[Atoms], jobs: int, folder: Path) -> tuple[float, float]:
    """(wall, CPU) seconds of `xtb --hess` on all frames, `jobs` at a time."""
    places = [folder / f"{number:04d}" for number in range(len(frames))]
    for place, atoms in zip(places, frames, strict=True):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        atoms.write(place / "in.xyz")

    def run(place: Path) -> None:
        subprocess.run(
            [xtb, "in.xyz", "--hess"], cwd=place, env=ENVIRONMENT, check=False, capture_output=True
        )

    start, cpu = time.perf_counter(), _children_cpu()
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run, places))
    seconds = time.perf_counter() - start, _children_cpu() - cpu
    if not all((place / "hessian").is_file() for place in places):
        raise RuntimeError("xtb did not write all Hessians")
    return seconds


def _children_cpu() -> float:
    """Seconds that all processes started and ended from here have spent, theirs included."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--copies", type=int, default=5, help="of each molecule, displaced differently")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    xtb = shutil.which("xtb")
    if xtb is None:
        sys.exit("the xtb program is not installed (Debian: apt install xtb)")
    table = Table("molecules", "frames", "jobs", title="seconds per Hessian; ratios above 1: hint is faster")
    for kind in ("wall", "CPU"):
        for column in (f"hint\n{kind}", f"xtb\n{kind}", "ratio"):
            table.add_column(column)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, names in SETS.items():
            frames = geometries(names, arguments.copies * (6 if len(names) == 1 else 1))
            for jobs in arguments.jobs:
                ours, theirs = [], []
                for _ in range(arguments.repeats):
                    ours.append(time_hint(frames, jobs, folder))
                    theirs.append(time_xtb(xtb, frames, jobs, folder))
                row = [title, len(frames), jobs]
                for kind in (0, 1):  # wall, CPU
                    best = [min(run[kind] for run in runs) / len(frames) for runs in (ours, theirs)]
                    row += [f"{best[0]:.3f}", f"{best[1]:.3f}", f"{best[1] / best[0]:.2f}"]
                table.add_row(*map(str, row))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
