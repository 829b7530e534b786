"""The methods of `hint reaction`: the same result from all, and a program beside us that misbehaves."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from pathlib import Path

import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.lj import LennardJones

pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")

from reaction_runs import KCAL, hcn, hint

from hint_plugin.data import read_frames, write_frames
from hint_plugin.errors import EngineError, OptionsError
from hint_plugin.science.reactions import METHODS, ReactionSettings, find_reaction
from hint_plugin.science.reactions.limits import TimeUp, at_most
from hint_plugin.science.reactions.methods import method_of
from hint_plugin.science.reactions.methods.conversation import Program


def test_names():
    assert list(METHODS) == ["sella", "reactbench", "paper"]
    with pytest.raises(OptionsError, match="'gsm'; wanted one of sella, reactbench, paper"):
        method_of("gsm")


# pysisyphus


@pytest.mark.slow
@pytest.mark.parametrize("method", [pytest.param("reactbench", marks=pytest.mark.long), "paper"])
def test_pysisyphus_finds_the_same(method, gfn2, tmp_path, monkeypatch, capfd):
    """HCN -> HNC: 73.2 and 53.2 kcal/mol, 1426 cm^-1, as the default. Nothing is left behind."""
    pytest.importorskip("pysisyphus", reason="needs pysisyphus: pip install '.[reactbench]'")
    scratch, here = tmp_path / "scratch", tmp_path / "here"
    scratch.mkdir()
    here.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.chdir(here)
    for name, atoms in zip(("r.xyz", "p.xyz"), hcn(), strict=True):
        write_frames(tmp_path / name, [atoms])
    ends = (tmp_path / "r.xyz", tmp_path / "p.xyz")
    code, text = hint(capfd, "reaction", *ends, "-o", "out", "--engine", "gfn2-xtb", "--method", method)
    assert code == 0, text
    found = json.loads(Path("out/reaction.json").read_text())
    assert found["method"] == method and found["verdicts"]["geometric"] is True
    assert found["barriers"]["forward"] * KCAL == pytest.approx(73.2, abs=0.1)
    assert found["barriers"]["reverse"] * KCAL == pytest.approx(53.2, abs=0.1)
    assert found["imaginary"] == pytest.approx([-1426], abs=3)
    assert {path.name for path in here.iterdir()} == {"out"}
    assert not [path for path in scratch.iterdir() if path.name.startswith("hint-pysisyphus")]
    irc = [atoms.get_potential_energy() for atoms in read_frames(Path("out/irc.xyz"))]
    assert irc[0] < max(irc) - 2 and irc[-1] < max(irc) - 2
    assert len(read_frames(Path("out/guess_path.xyz"))) == 9


@pytest.mark.slow
def test_what_the_calculator_raises_ends_pysisyphus(gfn2, tmp_path, monkeypatch):
    """In the middle of the string: the failure has its stage, and the program and its folder are gone."""
    pytest.importorskip("pysisyphus", reason="needs pysisyphus: pip install '.[reactbench]'")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    said: list[str] = []

    class GivesUp(Calculator):
        """GFN2-xTB until the string grows."""

        implemented_properties = ("energy", "forces")

        def calculate(self, atoms=None, properties=("energy",), system_changes=()):
            if said and said[-1] == "growing string":
                raise EngineError("SCF not converged", "scf")
            self.atoms = atoms.copy()
            self.results = {"energy": gfn2.get_property("energy", atoms), "forces": gfn2.get_forces(atoms)}

        def get_hessian(self, atoms):
            return gfn2.get_hessian(atoms)

    found = find_reaction(*hcn(), GivesUp(), ReactionSettings(method="paper"), said.append)
    assert (found.stage, found.verdict) == ("guess", "no transition state")
    assert found.failure == "SCF not converged" and not list(tmp_path.iterdir())


# A program that misbehaves

START = """
import json, os, sys, time
print(json.dumps({"folder": sys.argv[0] + ".files"}), flush=True)
os.mkdir(sys.argv[0] + ".files")
print(json.dumps({"ready": True, "pid": os.getpid()}), flush=True)
job = json.loads(sys.stdin.readline())
"""


def program(folder: Path, text: str) -> Path:
    path = folder / "program.py"
    path.write_text(START + text)
    return path


def argon() -> Atoms:
    return Atoms("Ar2", [(0, 0, 0), (0, 0, 1.2)], calculator=LennardJones())


def alive(group: int) -> bool:
    """Whether a process of a group still runs; one that nobody has waited for does not."""
    states = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, number = path.read_text().rpartition(")")[2].split()[:3]
            states += [state] if int(number) == group else []
    return any(state not in "ZX" for state in states)


def gone(folder: Path, text: str, message: str, silence: float = 60.0) -> None:
    """The job fails with that message, and neither files nor processes stay."""
    started = time.monotonic()
    with pytest.raises(EngineError, match=message), Program(program(folder, text), silence) as running:
        pid = running._process.pid
        running.do("string", argon())
    assert time.monotonic() - started < 30
    assert not (folder / "program.py.files").exists()
    assert not alive(pid)


def test_a_program_that_asks_and_answers(tmp_path):
    talk = """
print(json.dumps({"positions": [0, 0, 0, 0, 0, 1.5], "hessian": False}), flush=True)
heard = json.loads(sys.stdin.readline())
print(json.dumps({"done": {"job": job, "heard": heard}}), flush=True)
sys.stdin.read()
"""
    with Program(program(tmp_path, talk)) as running:
        found = running.do("string", argon(), nodes=9)
    assert found["job"] == {"job": "string", "symbols": ["Ar", "Ar"], "nodes": 9}
    there = Atoms("Ar2", [(0, 0, 0), (0, 0, 1.5)], calculator=LennardJones())
    assert found["heard"]["energy"] == there.get_potential_energy()
    assert found["heard"]["forces"] == there.get_forces().ravel().tolist()


def test_a_program_that_asks_for_several(tmp_path):
    """The images of a string, in one question; each gets its own answer, in their order."""
    talk = """
print(json.dumps({"several": [[0, 0, 0, 0, 0, 1.5], [0, 0, 0, 0, 0, 1.7]]}), flush=True)
print(json.dumps({"done": {"heard": json.loads(sys.stdin.readline())}}), flush=True)
sys.stdin.read()
"""
    with Program(program(tmp_path, talk)) as running:
        heard = running.do("string", argon())["heard"]["several"]
    for answer, r in zip(heard, (1.5, 1.7), strict=True):
        there = Atoms("Ar2", [(0, 0, 0), (0, 0, r)], calculator=LennardJones())
        assert answer["energy"] == there.get_potential_energy()
        assert answer["forces"] == there.get_forces().ravel().tolist()


def test_programs_that_fail_die_or_fall_silent(tmp_path):
    gone(
        tmp_path, 'print(json.dumps({"failed": "ZeroStepLength: "}), flush=True); time.sleep(60)', "ZeroStep"
    )
    gone(tmp_path, 'sys.exit("out of paper")', r"has died \(exit code 1\): out of paper")
    gone(tmp_path, "time.sleep(60)", "has said nothing for 0.5 s", silence=0.5)
    gone(tmp_path, "os.fork(); time.sleep(60)", "has said nothing", silence=0.5)


def test_the_time_of_a_reaction_is_over():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeUp, match="not finished after 0.5 s"), at_most(0.5):
        try:
            time.sleep(20)
        except Exception:  # what a library may do around a step
            time.sleep(20)
    assert signal.getsignal(signal.SIGALRM) == before
