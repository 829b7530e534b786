"""What happens in the children: pytest with a mutant in the place of its module, or tracing lines."""

from __future__ import annotations

import importlib.abc
import importlib.util
import linecache
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mutants import Mutant

ROOT = Path(__file__).resolve().parents[2]
#: Imported anew in every child.
OWN = ("hint_plugin", "tests", "lammps_pair", "ipi_driver", "examples", "benchmarks")
_OPTIONS = "-x -q --no-header --tb=no -p no:cacheprovider -p no:xdist -p no:warnings --rootdir"
PYTEST = [*_OPTIONS.split(), str(ROOT)]


def in_child(work: Callable[[str], int], seconds: float) -> int | None:
    """Exit code of `work` in a fork, which leaves nothing behind.

    The limit is one of processor time: a machine that is busy, or a run that is paused, decides nothing.
    -SIGXCPU is returned where it took longer, and None where it has waited ten times as long.
    """
    folder = tempfile.mkdtemp(prefix="mutation")
    child = os.fork()
    if child == 0:
        code = 3
        try:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 9))
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            code = int(work(folder))
        finally:
            os._exit(code)
    end, done, status = time.monotonic() + 10 * seconds, 0, 0
    try:
        while not done and time.monotonic() < end:
            time.sleep(0.02)
            done, status = os.waitpid(child, os.WNOHANG)
    finally:  # also where this process is told to stop
        if not done:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
        shutil.rmtree(folder, ignore_errors=True)
    return os.waitstatus_to_exitcode(status) if done else None


def run_tests(tests: list[str], folder: str, mutant: Mutant | None, plugin: Any = None) -> int:
    """Exit code of pytest; in a child."""
    for name in [n for n in sys.modules if n.split(".")[0] in OWN]:
        del sys.modules[name]
    if mutant is not None:
        sys.meta_path.insert(0, Planted(mutant))
    os.environ.pop("TORCH_DEVICE_BACKEND_AUTOLOAD", None)
    files = list(dict.fromkeys(test.split("::")[0] for test in tests))
    plugins = [plugin or Chosen(tests)]
    return int(pytest.main([*PYTEST, "--basetemp", f"{folder}/t", *files], plugins=plugins))


class Chosen:
    """Only some tests, in their order."""

    def __init__(self, tests: list[str]) -> None:
        self.tests = tests

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        by_id = {item.nodeid: item for item in items}
        items[:] = [by_id[test] for test in self.tests]


class Planted(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports the mutant where its module is asked for."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant, self.file = mutant, str(ROOT / mutant.path)
        self.name = mutant.path.removesuffix(".py").replace("/", ".")

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        """Of the mutated module alone."""
        if fullname != self.name:
            return None
        lines = self.mutant.source.splitlines(keepends=True)
        linecache.cache[self.file] = (len(self.mutant.source), None, lines, self.file)  # TorchScript reads it
        return importlib.util.spec_from_file_location(fullname, self.file, loader=self)

    def get_source(self, fullname: str) -> str:
        """With the fault."""
        return self.mutant.source

    def get_code(self, fullname: str) -> Any:
        """With the fault."""
        return compile(self.mutant.source, self.file, "exec", dont_inherit=True)


class Reach:
    """Traces the lines of modules that each test runs, those of its fixtures included."""

    def __init__(self, modules: list[str]) -> None:
        self.files = {str(ROOT / module): module for module in modules}
        self.hits: dict[str, set[tuple[str, int]]] = {}
        self.sinks: list[set[tuple[str, int]]] = []
        self.seconds: Counter[str] = Counter()
        self.passed: set[str] = set()
        self.fixtures: dict[str, list[str]] = {}

    def _trace(self, frame: Any, event: str, arg: Any) -> Any:
        module = self.files.get(frame.f_code.co_filename)
        if module is None:
            return None

        def local(frame: Any, event: str, arg: Any) -> Any:
            for sink in self.sinks:
                sink.add((module, frame.f_lineno))
            return local

        return local(frame, event, arg)

    def pytest_sessionstart(self, session: Any) -> None:
        session.config.option.maxfail = 0  # one that fails does not end this run

    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> None:
        """A test begins."""
        self.sinks[:] = [self.hits.setdefault(item.nodeid, set())]
        self.fixtures[item.nodeid] = list(item.fixturenames)
        threading.settrace(self._trace)
        sys.settrace(self._trace)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        """What a fixture runs counts for every test that uses it."""
        self.sinks.append(self.hits.setdefault(f"fixture {fixturedef.argname}", set()))
        try:
            return (yield)
        finally:
            self.sinks.pop()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A part of it has ended."""
        self.seconds[report.nodeid] += report.duration
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)
        elif report.failed:
            self.passed.discard(report.nodeid)

    def found(self) -> dict[str, Any]:
        """For JSON."""
        sys.settrace(None)
        lines: dict[str, dict[str, list[int]]] = {}
        for test in self.passed:
            hits = set(self.hits[test])
            for name in self.fixtures[test]:
                hits |= self.hits.get(f"fixture {name}", set())
            lines[test] = {}
            for module, line in sorted(hits):
                lines[test].setdefault(module, []).append(line)
        names = [n for n, m in list(sys.modules.items()) if n.split(".")[0] not in OWN and _is_installed(m)]
        return {
            "lines": lines,
            "seconds": {test: self.seconds[test] for test in lines},
            "failed": sorted(set(self.seconds) - self.passed),
            "modules": names,
        }


def _is_installed(module: Any) -> bool:
    file = getattr(module, "__file__", None) or ""
    return bool(file) and not any(file.startswith(f"{ROOT / name}{os.sep}") for name in OWN)
