"""Verbs that go over molecules: stopped at any moment they go on, and end with the files of a whole run."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")

from label_runs import start_hint, wait_for_results, wait_until_gone
from pair_artifact import write_pair
from reaction_runs import hint
from toy_potentials import spike

import hint_plugin.cli.support.progress
from hint_plugin.data import read_frames, write_frames
from hint_plugin.errors import MemoryRanOutError
from hint_plugin.parallel import Spread
from hint_plugin.potentials.artifact_potential import ArtifactPotential
from hint_plugin.science.reactions.neb import BandState, elastic_band

TOY = ("--engine", "calculator", "-e", "calculator=slow_springs:Springs")
HELPERS = str(Path(__file__).parents[1] / "helpers")
ELEMENTS = ("Al3", "Al2Cu", "AlNaCu", "AlCu2", "Cu3")
VERBS = {  # verb -> output, options, signal, processes of the second run
    "optimize": ("out.xyz", TOY, signal.SIGINT, 2),
    "hessian": ("out.xyz", TOY, signal.SIGTERM, 1),
    "vibrations": ("out", (*TOY, "--md", "0.02"), signal.SIGTERM, 2),
    "thermo": ("out", (*TOY, "--optimize"), signal.SIGINT, 1),
    "compare-thermo": ("out", ("--reference", *TOY[1:], "--model", "pair.hint.pt"), signal.SIGINT, 2),
}

FIRST = ("hessian", "thermo")  # a file and a folder, both signals; the others are `long`


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """in.xyz: five triangles near their minima, the third of which has no energy; and a model."""
    rng = np.random.default_rng(2)
    triangle = np.array([(0, 0, 0), (1, 0, 0), (0.5, 0.75**0.5, 0)])
    frames = [Atoms(name, triangle + 0.02 * rng.normal(size=(3, 3))) for name in ELEMENTS]
    for folder in ("whole", "killed"):
        (tmp_path / folder).mkdir()
        write_frames(tmp_path / folder / "in.xyz", frames)
        write_pair(tmp_path / folder / "pair.hint.pt", depth=4.0, distance=1.0)
    monkeypatch.syspath_prepend(HELPERS)
    monkeypatch.setenv("PYTHONPATH", f"{HELPERS}:{':'.join(filter(None, sys.path))}")
    return tmp_path


def files(folder: Path) -> dict[str, object]:
    """Content by name; of JSON without what says when and how the run was."""
    found: dict[str, object] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        found[name] = path.read_bytes()
        if path.suffix == ".json":
            content = json.loads(path.read_text())
            del content["provenance"]["date"], content["provenance"]["command"]
            found[name] = json.dumps(content)
    return found


@pytest.mark.parametrize(
    "verb", [pytest.param(verb, marks=[pytest.mark.long] * (verb not in FIRST)) for verb in VERBS]
)
def test_killed_and_resumed(verb, inputs, monkeypatch, capfd):
    output, options, stop, jobs = VERBS[verb]
    arguments = (verb, "in.xyz", "-o", output, *options)
    monkeypatch.chdir(inputs / "whole")
    code, text = hint(capfd, *arguments)
    assert code == 3 and "failed: in-2 (AlCuNa)" in text and "no sodium here" in text, text

    place = inputs / "killed"
    monkeypatch.chdir(place)
    journal = place / (f"{output}.partial.jsonl" if "." in output else f"{output}/{verb}.partial.jsonl")
    process = start_hint(place, *arguments, TOY_PAUSE="0.05")
    wait_for_results(journal, 1)
    process.send_signal(stop)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "of 5 molecules are done and kept in" in errors and "same command" in errors
    assert "Traceback" not in errors
    done = journal.read_bytes().count(b"\n") - 1
    assert 1 <= done < 5 and not (place / "out.xyz").exists() and not list(place.glob("out/*.json"))

    code, text = hint(capfd, *arguments, "-e", "step=0.002")
    assert code == 2 and "step=0.002'] now" in text and "--restart" in text
    monkeypatch.setenv("TOY_PAUSE", "0")
    code, text = hint(capfd, *arguments, "--jobs", jobs)
    assert code == 3, text
    assert files(place) == files(inputs / "whole")


@pytest.mark.parametrize("verb", VERBS)
def test_structures_that_are_no_molecules_fail_alone(verb, inputs, monkeypatch, capfd):
    """One periodic frame among many stopped all of them."""
    monkeypatch.chdir(inputs / "whole")
    frames = read_frames("in.xyz")
    box, broken = frames[0].copy(), frames[1].copy()
    box.set_cell([9, 9, 9])
    box.pbc = True
    broken.positions[0, 0] = np.nan
    write_frames("mixed.xyz", [box, frames[0], broken])
    output, options = VERBS[verb][0], [word for word in VERBS[verb][1] if word not in ("--md", "0.02")]
    code, text = hint(capfd, verb, "mixed.xyz", "-o", output, *options)
    assert code == 3 and "failed: mixed-0 (Al3): periodic; these are verbs for molecules" in text, text
    assert "failed: mixed-2 (Al2Cu): a position is NaN" in text
    [found] = [json.loads(path.read_text()) for path in Path().rglob("*.json")]
    assert [row["name"] for row in found["results"]] == ["mixed-1"], text
    assert [row["kind"] for row in found["failures"]] == ["cell", "geometry"]
    write_frames("none.xyz", [box, broken])
    code, text = hint(capfd, verb, "none.xyz", "-o", f"new-{output}", *options)
    assert code == 2 and "none-0: periodic" in text and "none of the 2 structures" in text
    assert not list(Path().glob("new-*"))


def test_ends_of_a_path_are_molecules(inputs, monkeypatch, capfd):
    monkeypatch.chdir(inputs / "whole")
    [atoms] = read_frames("in.xyz", 0)
    write_frames("end.xyz", [atoms])
    atoms.pbc = True
    write_frames("box.xyz", [atoms])
    for verb in ("neb", "reaction"):
        code, text = hint(capfd, verb, "end.xyz", "box.xyz", "-o", "new", *TOY)
        assert code == 2 and "box.xyz: periodic; these are verbs for molecules" in text


def test_molecules_in_bohr_are_warned_of(inputs, monkeypatch, capfd):
    monkeypatch.chdir(inputs / "whole")
    [atoms] = read_frames("in.xyz", 0)
    atoms.positions *= 5.2  # 2.75 A to bohr
    write_frames("bohr.xyz", [atoms])
    _, text = hint(capfd, "hessian", "bohr.xyz", "-o", "out.xyz", *TOY)
    assert (
        "warning: in 1 of 1 frames no two atoms are as near as a bond" in text
        and "(the first is bohr)" in text
    )


def test_processes_end_with_the_run(inputs):
    place = inputs / "killed"
    process = start_hint(
        place, "vibrations", "in.xyz", "-o", "out", *TOY, "--no-ir", "--jobs", "2", TOY_PAUSE="0.1"
    )
    wait_for_results(place / "out" / "vibrations.partial.jsonl", 1)
    process.terminate()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and "of 5 molecules" in errors and "Traceback" not in errors
    assert wait_until_gone(process.pid, 10) == []


def test_restart_and_what_is_no_journal(inputs, monkeypatch, capfd):
    monkeypatch.chdir(inputs / "whole")
    journal = Path("out.xyz.partial.jsonl")
    arguments = ("hessian", "in.xyz", "-o", "out.xyz", *TOY)
    journal.write_text("mine\n")
    code, text = hint(capfd, *arguments)
    assert code == 2 and "no journal of hint hessian" in text and journal.read_text() == "mine\n"
    code, text = hint(capfd, *arguments, "--restart")
    assert code == 3 and len(read_frames("out.xyz")) == 4 and not journal.exists()


def test_what_cannot_be_written_ends_the_run(inputs, monkeypatch, capfd):
    """A full disk is no property of a molecule: the run ends, and what was done before is kept."""
    from hint_plugin.science.molecules import mode_files

    monkeypatch.chdir(inputs / "whole")
    write = mode_files.write_molden

    def full(path, *more):
        if "in-1" in path.name:
            raise OSError(28, "No space left on device", str(path))
        write(path, *more)

    monkeypatch.setattr(mode_files, "write_molden", full)
    arguments = ("vibrations", "in.xyz", "-o", "out", *TOY)
    code, text = hint(capfd, *arguments)
    assert code == 2 and "No space left" in text
    assert Path("out/vibrations.partial.jsonl").read_bytes().count(b"\n") == 2
    monkeypatch.setattr(mode_files, "write_molden", write)
    code, text = hint(capfd, *arguments)
    assert code == 3 and len(json.loads(Path("out/vibrations.json").read_text())["results"]) == 4


def test_results_do_not_depend_on_what_was_done_before(inputs, monkeypatch, capfd):
    """The calculator of a molecule starts anew, also after one of the same elements."""
    from hint_plugin.labelling import EngineCalculator

    monkeypatch.chdir(inputs / "whole")
    write_frames("twice.xyz", read_frames("in.xyz", 0) * 2)
    seen = []
    monkeypatch.setattr(
        EngineCalculator,
        "provenance",
        lambda self, atoms: seen.append(self) or {"engine": "springs"},
    )
    code, _ = hint(capfd, "optimize", "twice.xyz", "-o", "out.xyz", *TOY)
    assert code == 0 and len(seen) >= 2 and seen[-2] is not seen[-1]  # the run itself asks before
    first, second = read_frames("out.xyz")
    assert first.get_potential_energy() == second.get_potential_energy()
    np.testing.assert_array_equal(first.positions, second.positions)


def test_results_are_in_the_order_of_the_input(inputs, monkeypatch, capfd):
    forwards = Spread.run

    def backwards(self, *arguments):
        yield from reversed(list(forwards(self, *arguments)))

    for folder, run in (("whole", forwards), ("killed", backwards)):
        monkeypatch.chdir(inputs / folder)
        monkeypatch.setattr(Spread, "run", run)
        code, _ = hint(capfd, "hessian", "in.xyz", "-o", "out.xyz", *TOY)
        assert code == 3
    assert files(inputs / "killed") == files(inputs / "whole")
    symbols = [atoms.symbols.formula.count() for atoms in read_frames("out.xyz")]
    assert symbols == [Atoms(name).symbols.formula.count() for name in ELEMENTS if "Na" not in name]


def test_how_far_it_is_without_a_terminal(inputs, monkeypatch, capfd):
    monkeypatch.chdir(inputs / "whole")
    monkeypatch.setattr(hint_plugin.cli.support.progress, "EVERY", 0.0)
    _, text = hint(capfd, "hessian", "in.xyz", "-o", "out.xyz", *TOY)
    assert "0/5 molecules; in-0: Hessian" in text
    line = next(line for line in text.splitlines() if line.startswith("4/5 molecules, "))
    assert "/s, 0:00:0" in line and line.endswith("left 1 failed")


def neb_of(place: Path, toy: str, apart: tuple[float, float]) -> tuple[object, ...]:
    """The command of a band between two distances of two atoms."""
    pytest.importorskip("geodesic_interpolate", reason="needs geodesic-interpolate")
    for name, r in zip(("r.xyz", "p.xyz"), apart, strict=True):
        write_frames(place / name, [Atoms("Ar2", [(0, 0, 0), (0, 0, r)])])
    engine = ("--engine", "calculator", "-e", f"calculator=toy_potentials:{toy}")
    return ("neb", "r.xyz", "p.xyz", "-o", "out", *engine)


def test_neb_keeps_its_ends_and_its_band(inputs, monkeypatch, capfd):
    place = inputs / "killed"
    arguments = (*neb_of(place, "two_wells", (1.02, 1.98)), "--no-verify")
    process = start_hint(place, *arguments, TOY_PAUSE="0.02")
    wait_for_results(place / "out" / "neb-band.partial.jsonl", 1)
    process.terminate()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "2 of 2 ends are done and kept in out/neb.partial.jsonl" in errors and "Traceback" not in errors
    assert "The band is kept as it was after" in errors and "same command" in errors
    monkeypatch.chdir(place)
    monkeypatch.setattr("hint_plugin.science.molecules.curvature.relaxed", None)  # no end is optimised again
    monkeypatch.setattr("hint_plugin.science.reactions.neb.interpolate", None)  # and no path is made
    code, text = hint(capfd, *arguments, "--images", 11)
    assert code == 2 and "images: 9 then, 11 now" in text and "--restart" in text
    code, text = hint(capfd, *arguments)
    assert code == 0 and json.loads(Path("out/neb.json").read_text())["converged"], text
    assert not list(Path("out").glob("*.partial.jsonl"))


class Stop:
    """A keeper of bands that is stopped, as by a signal, at the given state."""

    def __init__(self, number: int) -> None:
        self.states: list[BandState] = []
        self._number = number

    def __call__(self, state: BandState) -> None:
        self.states.append(state)
        if len(self.states) == self._number:
            raise KeyboardInterrupt


@pytest.mark.parametrize("number", [2, 11, 28])
def test_a_band_that_was_stopped_finds_the_same_barrier(number):
    """After images were added, on its way with the climbing image, and at its end."""
    pytest.importorskip("geodesic_interpolate", reason="needs geodesic-interpolate")
    ends = [Atoms("Ar2", [(0, 0, 0), (0, 0, r)]) for r in (1.0, 3.0)]
    whole = elastic_band(*ends, spike())
    stop = Stop(number)
    with pytest.raises(KeyboardInterrupt):
        elastic_band(*ends, spike(), keep=stop)
    last = stop.states[-1]
    band = elastic_band(*ends, spike(), start=last)
    assert band.converged and band.between.resolved and len(band.images) == len(whole.images)
    assert band.steps >= last.steps and abs(band.steps - whole.steps) < 15
    barrier, same = whole.as_dict()["barriers"], band.as_dict()["barriers"]
    assert same == pytest.approx(barrier, abs=1e-3)


def test_a_band_goes_on_when_its_top_was_being_followed(inputs, monkeypatch, capfd):
    """The kept band has converged: it is not relaxed again, and the results are those of a whole run."""
    from hint_plugin.science.reactions import run_neb

    monkeypatch.setattr("hint_plugin.science.reactions.run_neb.KEEP_EVERY", 0.0)
    for folder in ("whole", "killed"):
        arguments = neb_of(inputs / folder, "two_wells", (1.02, 1.98))
    monkeypatch.chdir(inputs / "whole")
    code, text = hint(capfd, *arguments)
    assert code == 0, text
    monkeypatch.chdir(inputs / "killed")
    follow = run_neb.follow_top
    monkeypatch.setattr(run_neb, "follow_top", lambda *_: signal.raise_signal(signal.SIGTERM))
    code, text = hint(capfd, *arguments)
    assert code == 130 and "The band is in out, and kept; where its top leads is not known" in text
    monkeypatch.setattr(run_neb, "follow_top", follow)
    before = json.loads(Path("out/neb.json").read_text())
    code, text = hint(capfd, *arguments)
    assert code == 0, text
    assert files(inputs / "killed").keys() == files(inputs / "whole").keys()
    one, other = (json.loads((inputs / n / "out" / "neb.json").read_text()) for n in ("whole", "killed"))
    assert other["steps"] == before["steps"] > 0 and other["connection"]["joins"] is True
    assert other["energies"] == pytest.approx(before["energies"], abs=1e-9)
    assert one["steps"] == other["steps"] and one["energies"] == pytest.approx(other["energies"], abs=1e-9)
    assert one["connection"]["barriers"] == pytest.approx(other["connection"]["barriers"], abs=1e-6)


def test_evaluate_goes_on(inputs, monkeypatch, capfd):
    """What stops it is an interrupt before the fourth of ten batches, as both signals are."""
    some = [atoms for atoms in read_frames(inputs / "whole" / "in.xyz") if 11 not in atoms.numbers]
    frames = [atoms.copy() for _ in range(6) for atoms in some]
    teacher = ArtifactPotential(write_pair(inputs / "teacher.hint.pt", depth=3.5, distance=1.05))
    for number, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=number)
        if number % 7 == 0:  # without labels: read, and not predicted
            continue
        (found,) = teacher.evaluate([atoms])
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = found.energy, found.forces
        if number % 2:
            atoms.info["REF_hessian"] = teacher.hessian(atoms)
    for folder in ("whole", "killed"):
        write_frames(inputs / folder / "labelled.xyz", frames)
    asked: list[int] = []
    predict = ArtifactPotential.predict
    monkeypatch.setattr(
        ArtifactPotential,
        "predict",
        lambda self, some, **more: asked.append(len(some)) or predict(self, some, **more),
    )
    arguments = ("evaluate", "pair.hint.pt", "labelled.xyz", "-o", "out", "--batch-size", 2)
    monkeypatch.chdir(inputs / "whole")
    code, text = hint(capfd, *arguments)
    assert code == 0, text
    assert sum(asked) == 20 and len(asked) == 10 and not list(Path("out").glob("*.partial.jsonl"))

    monkeypatch.chdir(inputs / "killed")
    show, asked[:] = hint_plugin.cli.support.progress.Bar.__call__, []

    def stop(self, done, failed, total):
        if len(asked) == 3:
            signal.raise_signal(signal.SIGTERM)
        show(self, done, failed, total)

    monkeypatch.setattr(hint_plugin.cli.support.progress.Bar, "__call__", stop)
    code, text = hint(capfd, *arguments)
    assert code == 130 and "of 24 frames: what was predicted is kept in out/evaluate.partial.jsonl" in text
    assert "same command" in text and sorted(Path("out").iterdir()) == [Path("out/evaluate.partial.jsonl")]
    monkeypatch.setattr(hint_plugin.cli.support.progress.Bar, "__call__", show)
    code, text = hint(capfd, *arguments, "--max-hessians", 3)
    assert code == 2 and "max-hessians: None then, 3 now" in text and "--restart" in text
    asked.clear()
    code, text = hint(capfd, *arguments, "--no-plots")  # no number depends on it
    assert code == 0 and len(asked) == 7, text
    code, text = hint(capfd, *arguments)
    assert code == 0 and len(asked) == 7 + 10, text  # nothing of a run that has ended is taken
    assert files(inputs / "killed") == files(inputs / "whole")


def test_an_error_of_evaluate_leaves_nothing_to_go_on_with(inputs, monkeypatch, capfd):
    """It would come again; the journal would stand in the way of the corrected file."""
    monkeypatch.chdir(inputs / "whole")
    frames = read_frames("in.xyz")
    for atoms in frames:
        atoms.info["REF_energy"] = -1.0
    write_frames("labelled.xyz", frames)
    arguments = ("evaluate", "pair.hint.pt", "labelled.xyz", "-o", "out", "--batch-size", 1)
    code, text = hint(capfd, *arguments)
    assert code == 2 and "has Na" in text and not list(Path("out").iterdir())


def test_evaluate_keeps_what_it_has_when_memory_runs_out(inputs, monkeypatch, capfd):
    """Another machine may have more."""
    monkeypatch.chdir(inputs / "whole")
    frames = [atoms for atoms in read_frames("in.xyz") if 11 not in atoms.numbers]
    for atoms in frames:
        atoms.info["REF_energy"] = -1.0
    write_frames("labelled.xyz", frames)
    evaluate = ArtifactPotential.evaluate

    def heavy(self, some):
        if some[0].symbols.formula.count() == {"Al": 1, "Cu": 2}:
            raise MemoryRanOutError("memory ran out on cpu for 3 atoms")
        return evaluate(self, some)

    monkeypatch.setattr(ArtifactPotential, "evaluate", heavy)
    arguments = ("evaluate", "pair.hint.pt", "labelled.xyz", "-o", "out", "--batch-size", 1)
    code, text = hint(capfd, *arguments)
    assert code == 2 and "memory ran out" in text
    assert Path("out/evaluate.partial.jsonl").read_bytes().count(b"\n") == 3
    monkeypatch.setattr(ArtifactPotential, "evaluate", evaluate)
    assert hint(capfd, *arguments)[0] == 0
