"""Verbs that go over molecules: stopped at any moment they go on, and end with the files of a whole run."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

pytest.importorskip("sella", reason="needs Sella: pip install 'hint-mlip[reactions]'")

from label_runs import start_hint, wait_for_results, wait_until_gone
from pair_artifact import write_pair
from reaction_runs import hint

import hint_plugin.cli.support.progress
from hint_plugin.data import read_frames, write_frames
from hint_plugin.parallel import Spread

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
    "verb", [pytest.param(verb, marks=[pytest.mark.slow] * (verb == "compare-thermo")) for verb in VERBS]
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
    assert code == 0 and len(seen) == 2 and seen[0] is not seen[1]
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


def test_neb_keeps_its_ends_and_says_so(inputs, monkeypatch, capfd):
    """A band cannot go on in its middle; the optimised ends are not done twice, and that is said."""
    pytest.importorskip("geodesic_interpolate", reason="needs geodesic-interpolate")
    place = inputs / "killed"
    for name, r in (("r.xyz", 1.02), ("p.xyz", 1.98)):
        write_frames(place / name, [Atoms("Ar2", [(0, 0, 0), (0, 0, r)])])
    engine = ("--engine", "calculator", "-e", "calculator=toy_potentials:two_wells")
    arguments = ("neb", "r.xyz", "p.xyz", "-o", "out", *engine, "--no-verify")
    process = start_hint(place, *arguments, TOY_PAUSE="0.005")
    wait_for_results(place / "out" / "neb.partial.jsonl", 2)
    process.terminate()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "2 of 2 ends are done and kept in out/neb.partial.jsonl" in errors and "Traceback" not in errors
    monkeypatch.chdir(place)
    monkeypatch.setattr("hint_plugin.cli.verbs.neb.relaxed", None)  # no end is optimised again
    code, text = hint(capfd, *arguments)
    assert code == 0 and json.loads(Path("out/neb.json").read_text())["converged"], text
    assert not Path("out/neb.partial.jsonl").exists()


def test_evaluate_says_that_it_was_stopped(inputs, monkeypatch, capfd):
    """What stops it is an interrupt after the first frames, as both signals are."""
    monkeypatch.chdir(inputs / "whole")
    frames = [atoms for atoms in read_frames("in.xyz") if 11 not in atoms.numbers]
    for atoms in frames:
        atoms.info["REF_energy"] = -1.0
    write_frames("labelled.xyz", frames)
    monkeypatch.setattr(
        hint_plugin.cli.support.progress.StatusLine,
        "say",
        lambda self, text: signal.raise_signal(signal.SIGTERM),
    )
    code, text = hint(capfd, "evaluate", "pair.hint.pt", "labelled.xyz", "-o", "out")
    assert code == 130 and "stopped after" in text and "nothing is kept" in text
