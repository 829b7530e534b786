"""The verbs for molecules and the functions of the same names: options, files, results, resuming."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT

pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")

from pair_artifact import write_pair
from reaction_runs import hint
from slow_springs import Springs

from hint_plugin.data import read_frames, read_label, write_frames
from hint_plugin.errors import InterruptedRunError, OptionsError
from hint_plugin.potentials.hint_calculator import HintCalculator
from hint_plugin.potentials.on_demand import PotentialSpec
from hint_plugin.potentials.opening import open_potential
from hint_plugin.science.molecules import run
from hint_plugin.science.molecules.molecule_inputs import far_parts, no_molecule

# The springs of these tests are of 1 A, and not at rest.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:.*{what}:hint_plugin.errors.LabelWarning")
    for what in ("neighbours", "not stationary")
]

TOY = PotentialSpec(engine="calculator", options={"calculator": "slow_springs:Springs"})
AS_OPTIONS = ("-e", "calculator=slow_springs:Springs")
OTHER = {"context", "model", "engine", "engine_option", "json_"}
"""Options of the commands that are one argument of the functions; or say how a terminal prints."""
RUNS = {  # verb -> output, options of the command, those of the function
    "optimize": ("out.xyz", ("--engine", "calculator", *AS_OPTIONS), {}),
    "hessian": ("out.h5", ("--engine", "calculator", *AS_OPTIONS), {}),
    "vibrations": (
        "out",
        ("--engine", "calculator", *AS_OPTIONS, "--md", "0.11", "--width", "5"),
        {"md": 0.11, "width": 5},
    ),
    "thermo": ("out", ("--engine", "calculator", *AS_OPTIONS, "--optimize"), {"optimize": True}),
    "compare-thermo": (
        "out",
        ("--model", "pair.hint.pt", "--reference", "calculator", *AS_OPTIONS),
        {"potential": "pair.hint.pt", "reference": TOY},
    ),
}


@pytest.fixture
def frames(tmp_path, monkeypatch):
    """in.xyz: three triangles near their minima, the second of which has no energy; and a model."""
    rng = np.random.default_rng(3)
    triangle = np.array([(0, 0, 0), (1, 0, 0), (0.5, 0.75**0.5, 0)])
    found = [Atoms(name, triangle + 0.01 * rng.normal(size=(3, 3))) for name in ("Al3", "AlNaCu", "AlCu2")]
    for folder in ("command", "function", "later", "memory"):
        (tmp_path / folder).mkdir()
        write_frames(tmp_path / folder / "in.xyz", found)
        write_pair(tmp_path / folder / "pair.hint.pt", depth=4.0, distance=1.0)
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    monkeypatch.chdir(tmp_path)
    return found


def content(folder: Path) -> dict[str, object]:
    """By name; of JSON without when and by which command, and of a store its frames."""
    found: dict[str, object] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        found[name] = path.read_bytes()
        if path.suffix == ".json":
            text = json.loads(path.read_text())
            text["provenance"].pop("date"), text["provenance"].pop("command", None)
            found[name] = json.dumps(text)
        elif path.suffix == ".h5":
            frames = read_frames(path)
            found[name] = [(str(f.info), *map(bytes, (f.positions, f.arrays["REF_forces"]))) for f in frames]
            found[name] += [read_label(frame).hessian.tobytes() for frame in frames]
    return found


def call(verb: str, inputs: object, output: str | None, **options: object):
    function = getattr(run, verb.replace("-", "_"))
    return function(inputs, output=output, **{"potential": TOY, **RUNS[verb][2], **options})


@pytest.mark.parametrize("verb", RUNS)
def test_same_options(verb):
    """Names and defaults; `potential` and `output` are the function's own."""
    name = verb.replace("-", "_")
    command = getattr(importlib.import_module(f"hint_plugin.cli.verbs.{name}"), name)
    ours = {
        key: parameter.default
        for key, parameter in inspect.signature(command).parameters.items()
        if key not in OTHER | {"output"}
    }
    theirs = inspect.signature(getattr(run, name)).parameters
    assert {key: theirs[key].default for key in ours} == ours
    assert set(theirs) - set(ours) == {"potential", "output", "report"}
    assert theirs["output"].default is None and theirs["report"].default is None


@pytest.mark.parametrize("verb", RUNS)
def test_same_files(verb, frames, tmp_path, monkeypatch, capfd):
    """Of the command, of the function, and of the function's result that is written afterwards."""
    output, options, _ = RUNS[verb]
    monkeypatch.chdir(tmp_path / "command")
    code, text = hint(capfd, verb, "in.xyz", "-o", output, *options)
    assert code == 3 and "no sodium here" in text, text
    told = []
    monkeypatch.chdir(tmp_path / "function")
    written = call(verb, "in.xyz", output, report=lambda *counts: told.append(counts))
    assert told[0] == (0, 0, 3) and told[-1] == (3, 1, 3)
    monkeypatch.chdir(tmp_path / "later")
    found = call(verb, Path("in.xyz"), None)
    assert content(tmp_path / "later").keys() == {"in.xyz", "pair.hint.pt"}
    found.write(output)
    wanted = content(tmp_path / "command")
    assert len(wanted) > 3 and content(tmp_path / "function") == wanted == content(tmp_path / "later")
    assert capfd.readouterr() == ("", "")
    if "." not in output:
        written.write("copy")
        assert {name: content(Path(output))[name] for name in content(Path("copy"))} == content(Path("copy"))
    table = json.loads(next(Path().glob("out*/*.json" if "." not in output else "out*.json")).read_text())
    assert table == json.loads(json.dumps(found.as_dict())) and "command" not in table["provenance"]
    assert [row["name"] for row in found.results] == ["in-0", "in-2"]
    assert [row["name"] for row in found.failures] == ["in-1"]


@pytest.mark.parametrize("verb", RUNS)
def test_atoms_in_memory(verb, frames, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "memory")
    frames = read_frames("in.xyz")  # which has eight digits
    before = [atoms.copy() for atoms in frames]
    found, files = call(verb, frames, None), call(verb, ["in.xyz"], None)
    assert [row["name"] for row in found.results] == ["Al3-0", "AlCu2-2"]
    assert found.about["provenance"]["data"][0]["frames"] == 3 and frames == before
    for one, other in zip(found.results, files.results, strict=True):
        assert one | {"name": ""} == other | {"name": ""}


def test_a_calculator_and_a_model(frames, tmp_path, monkeypatch):
    """A calculator and an open potential give the numbers of their file; without Hessians, by differences."""
    monkeypatch.chdir(tmp_path / "memory")
    pair = [Atoms("Al2", [(0, 0, 0), (0, 0, 1.0)])]
    by_name = run.thermo(pair, "pair.hint.pt")
    by_calculator = run.thermo(pair, HintCalculator("pair.hint.pt"), spin=None)
    assert by_name.results[0]["gibbs_energy"] == pytest.approx(by_calculator.results[0]["gibbs_energy"])
    models = [found.about["provenance"]["model"] for found in (by_name, by_calculator)]
    assert models[0]["sha256"] == models[1]["sha256"]
    assert run.thermo(pair, "pair.hint.pt", symmetry_number=1).results[0]["symmetry_number"] == 1
    opened = run.thermo(pair, open_potential("pair.hint.pt"))
    assert opened.as_dict() | {"provenance": 0} == by_calculator.as_dict() | {"provenance": 0}
    label = read_label(run.hessian(pair, EMT()).structures[0])
    assert label.kind == "full" and label.provenance["method"] == "ase.calculators.emt:EMT"
    with pytest.raises(OptionsError, match=r"atoms.info\[.charge.\]"):
        run.hessian(pair, HintCalculator("pair.hint.pt"), charge=1)
    with pytest.raises(OptionsError, match="no model of that name"):
        run.hessian(pair, "gfn3-xtb")
    with pytest.raises(OptionsError, match="wanted one"):
        run.hessian(pair, None)


class Unpicklable(Springs):
    """A calculator that stays where it is."""

    def get_hessian(self, atoms):
        return np.zeros((9, 9))

    def __reduce__(self):
        raise TypeError("it holds a socket")


@pytest.mark.parametrize("verb", RUNS)
def test_fixed_atoms_are_refused(verb, tmp_path, capfd):
    """Of a structure whose atoms are all held nothing can move; a mask that lets all atoms move is none."""
    for name, mask in (("held", "F"), ("free", "T")):
        atoms = "\n".join(f"{symbol} {x} {y} 0 {mask}" for symbol, x, y in (("Al", 0, 0), ("Cu", 1.2, 0)))
        text = f'2\nProperties=species:S:1:pos:R:3:move_mask:L:1 pbc="F F F"\n{atoms}\n'
        (tmp_path / f"{name}.xyz").write_text(text)
    assert no_molecule(read_frames(tmp_path / "free.xyz")[0]) is None
    (tmp_path / "potential").mkdir()
    write_pair(tmp_path / "potential" / "pair.hint.pt")
    options = ("--model", tmp_path / "potential" / "pair.hint.pt")
    code, printed = hint(capfd, verb, tmp_path / "held.xyz", "-o", tmp_path / RUNS[verb][0], *options)
    assert code == 2 and "FixAtoms of 2 atoms" in " ".join(printed.split())
    assert not (tmp_path / RUNS[verb][0]).exists()


def test_molecules_far_from_each_other_are_told(tmp_path, capfd):
    apart = Atoms("AlCuAl", [(0, 0, 0), (1.0, 0, 0), (25.0, 0, 0)])
    write_frames(tmp_path / "far.xyz", [apart, apart[:2]])
    assert "2 parts that are 10 A and more apart" in far_parts(apart) and far_parts(apart[:2]) == ""
    write_pair(tmp_path / "pair.hint.pt")
    given = (tmp_path / "far.xyz", "-o", tmp_path / "out.xyz", "--model", tmp_path / "pair.hint.pt")
    said = " ".join(hint(capfd, "hessian", *given)[1].split())
    assert "far-0 consists of 2 parts" in said


def test_a_calculator_that_cannot_travel(frames, tmp_path):
    with pytest.raises(OptionsError, match="cannot travel .*it holds a socket.*jobs=1"):
        run.hessian(frames, Unpicklable(), jobs=2)
    assert len(run.hessian(frames, Unpicklable()).results) == 2


def test_what_the_journal_says_of_a_potential():
    """In words of the command, which has [] where no option is given: a journal of either is the other's."""
    assert PotentialSpec(engine="gfn2-xtb").asked() == {"engine": "gfn2-xtb", "engine-option": []}
    words = PotentialSpec(engine="pyscf", options=["xc=pbe", "basis=def2-svp"])
    assert PotentialSpec(engine="pyscf", options={"xc": "pbe", "basis": "def2-svp"}).asked() == words.asked()


def test_it_goes_on_where_the_command_stopped(frames, tmp_path, monkeypatch, capfd):
    """Both keep the same journal: what one has done the other does not do again."""
    monkeypatch.chdir(tmp_path / "function")

    def stop(done, failed, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="2 of 3 molecules are done and kept in out.xyz.partial"):
        run.optimize("in.xyz", TOY, "out.xyz", report=stop)
    with pytest.raises(InterruptedRunError, match="nothing is kept"):
        run.optimize("in.xyz", TOY, report=stop)
    code, text = hint(
        capfd, "optimize", "in.xyz", "-o", "out.xyz", "--engine", "calculator", *AS_OPTIONS, "--fmax", "0.02"
    )
    assert code == 2 and "fmax: 0.01 then, 0.02 now" in text
    begun = []
    monkeypatch.setattr(
        "hint_plugin.science.molecules.run_optimize.relaxed",
        lambda atoms, *_: begun.append(atoms.get_chemical_formula()) or _none(),
    )
    code, text = hint(capfd, "optimize", "in.xyz", "-o", "out.xyz", "--engine", "calculator", *AS_OPTIONS)
    assert code == 3 and begun == ["AlCu2"] and len(read_frames("out.xyz")) == 1, text


def _none():
    raise OptionsError("not again")


def test_where_nothing_can_be_written(frames, tmp_path):
    for output in ("in.txt/out.xyz", "nowhere/out.xyz", "out.foo"):
        with pytest.raises(Exception, match=r"nowhere|in.txt|\.foo"):
            run.hessian("command/in.xyz", TOY, output)
    with pytest.raises(OptionsError, match="is a file; wanted the name of a folder"):
        run.thermo("command/in.xyz", TOY, "command/in.xyz")
