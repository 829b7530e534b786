"""The set of `benchmarks/reactive_set.py`: what is in it, and that it is the same after a kill."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import warm
from ase import Atoms
from ase.build import molecule

from hint_plugin.data import LabelKeys, iter_frames, read_label, write_frames
from hint_plugin.errors import DataError, OptionsError

for package in ("rdkit", "tblite", "dscribe", "geodesic_interpolate"):
    pytest.importorskip(package, reason=f"needs {package} (docs/dependencies.md)")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
try:
    from rdkit import Chem
    from reactive import costs, displacements, geometries, geometry_journal, items, saddles, shards, whole
    from reactive.amounts import LARGEST_CLOSE, LARGEST_FORCE, SIZES
    from reactive.calculator import GFN2
    from reactive.edits import products, smiles_of
    from reactive.molecules import acceptable, molecules
    from reactive.source import geometry
    from reactive.splits import PARTS, part_of
finally:
    sys.path.remove(str(BENCHMARKS))

KEYS = LabelKeys()
TINY = SIZES["tiny"]


class Killed(BaseException):
    """As a signal: nothing may catch it."""


@contextmanager
def in_this_process():
    """Without the seconds that processes need to start."""

    def inline(tasks, setup, jobs):
        work = setup()
        yield from ((number, work(payload)) for number, payload in tasks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hint_plugin.labelling.runner.run_tasks", inline)
        patch.setattr(geometry_journal, "run_tasks", inline)
        yield patch


def digests(folder: Path) -> dict[str, list[str]]:
    return {name: part["digests"] for name, part in manifest(folder)["parts"].items()}


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    with in_this_process():
        whole.make_set(folder, TINY, say=lambda text: None)
    return folder


def test_what_is_in_the_set(tiny):
    about = manifest(tiny)
    assert about["shards"] == [2, 2] and about["items"] == 4 and not any((tiny / "work").iterdir())
    frames = [a for part in PARTS if (tiny / part).exists() for a in iter_frames(tiny / part)]
    assert about["frames"] == len(frames) > 30
    assert about["candidates"] >= 2 * (len(frames) - len([a for a in frames if "point" in a.info]))
    assert {"minimum", "path", "band", "hot", "displaced"} <= {a.info["kind"] for a in frames}
    for atoms in frames:
        label, largest = read_label(atoms), np.linalg.norm(atoms.arrays[KEYS.forces], axis=1).max()
        assert label is not None and atoms.info["hint_method"] == "GFN2-xTB"
        assert largest < (LARGEST_CLOSE if atoms.info["kind"] == "close" else LARGEST_FORCE)
        stationary = atoms.info["kind"] in ("minimum", "saddle")
        assert largest < 2 * geometries.FORCE if stationary else True
        if stationary or atoms.info["part"] != "train":
            assert label.kind == "full"
        elif label.kind == "projected":
            assert label.probes.shape == (TINY.probes, len(atoms), 3)


def test_saddles_come_with_their_minima(tiny):
    found = [triple for part in PARTS if (tiny / part).exists() for triple in whole.reactions_of(tiny / part)]
    assert found
    for first, saddle, last in found:
        assert max(a.info[KEYS.energy] for a in (first, last)) < saddle.info[KEYS.energy]
        assert first.symbols.get_chemical_formula() == saddle.symbols.get_chemical_formula()


def test_stopped_at_every_stage_it_goes_on_to_the_same_set(tiny, tmp_path):
    """After a record of a journal or a file that appears, one later each time."""
    stops = 0
    while True:
        with in_this_process() as patch:
            patch.setattr(shards, "write_frames", killed_after(shards.write_frames, stops))
            patch.setattr(
                geometry_journal.Journal, "add", killed_after(geometry_journal.Journal.add, 3 * stops)
            )
            try:
                whole.make_set(tmp_path, TINY, say=lambda text: None)
                break
            except Killed:
                stops += 1
    assert stops > 5 and digests(tmp_path) == digests(tiny)


def killed_after(function, calls: int):
    left = [calls]

    def wrapped(*arguments, **options):
        found = function(*arguments, **options)
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return found

    return wrapped


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_set(tiny, tmp_path):
    """The command itself, by SIGKILL to all its processes while it labels."""
    command = [sys.executable, str(BENCHMARKS / "reactive_set.py"), "-o", str(tmp_path), "--size", "tiny"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = warm.start(command, env=environment)
    while process.poll() is None and not list(tmp_path.glob("work/*/pairs-labelled.h5.partial.jsonl")):
        time.sleep(0.02)
    assert process.poll() is None, "it ended before it labelled"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "manifest.json").exists()
    done = warm.run([*command, "--jobs", "2"], env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert digests(tmp_path) == digests(tiny)


def test_another_set_in_the_folder_is_refused(tiny):
    with pytest.raises(OptionsError, match="seed 0, not 1"):
        whole.make_set(tiny, replace(TINY, seed=1))
    with pytest.raises(OptionsError, match="source None, not"):
        whole.make_set(tiny, TINY, source=next((tiny / "train").iterdir()))


def test_labels_of_a_source_are_not_kept(tiny, tmp_path):
    good = {a.positions.tobytes(): a for a in iter_frames(tiny / "train")}
    wrong = [a.copy() for a in good.values()]
    for atoms in wrong:
        atoms.info[KEYS.energy] += 1.0
        atoms.arrays[KEYS.forces] *= -1.0
    write_frames(tmp_path / "source.h5", wrong)
    with in_this_process():
        whole.make_set(tmp_path / "set", TINY, source=tmp_path / "source.h5", say=lambda text: None)
    found = list(iter_frames(tmp_path / "set" / "train"))
    assert len(found) > 5
    for atoms in found:
        right = good[atoms.positions.tobytes()]
        assert atoms.info[KEYS.energy] == pytest.approx(right.info[KEYS.energy], abs=1e-6)
        assert atoms.arrays[KEYS.forces] == pytest.approx(right.arrays[KEYS.forces], abs=1e-4)


def test_a_source_of_other_things_is_refused():
    with pytest.raises(DataError, match=r"frame 3 is .*; wanted molecules of H C N O"):
        geometry(molecule("CH3Cl"), "file, frame 3", TINY)
    atoms = molecule("CH4")
    atoms.info |= {"formula": "CH4", "reaction": "rxn1", "charge": 0, "energy": -1.0}
    found = geometry(atoms, "file, frame 0", TINY).info
    assert found["name"] == "CH4:rxn1" and found["charge"] == 0 and "energy" not in found


def test_molecules_are_distinct_neutral_and_always_the_same():
    found = molecules(120, 7, seed=0)
    assert (
        found == molecules(120, 7, seed=0) and len(set(found)) == 120 and found != molecules(120, 7, seed=1)
    )
    known = [Chem.MolFromSmiles(smiles) for smiles in found]
    assert all(acceptable(m) for m in known) and {m.GetNumAtoms() for m in known} >= {3, 4, 5, 6, 7}
    assert found[:50] == molecules(50, 7, seed=0)  # a larger set begins as the smaller one
    assert len(molecules(1000, 2, seed=0)) < 20
    for smiles in ("C[N+](=O)[O-]", "C[CH2]", "C1C#CC1", "OOC", "NNN"):
        assert not acceptable(Chem.MolFromSmiles(smiles)), smiles


def test_products_are_mapped_isomers():
    reactant = Chem.AddHs(Chem.MolFromSmiles("CC=O"))
    found = list(products(reactant, random.Random(0)))
    numbers = [a.GetAtomicNum() for a in reactant.GetAtoms()]
    names = [smiles_of(product) for product in found]
    assert {"C=CO", "C1CO1"} <= set(names) and len(set(names)) == len(names) and "CC=O" not in names
    for product in found:
        assert [a.GetAtomicNum() for a in product.GetAtoms()] == numbers
        change = Chem.GetAdjacencyMatrix(product) - Chem.GetAdjacencyMatrix(reactant)
        assert 1 <= (change == -1).sum() / 2 + (change == 1).sum() / 2 <= 4


def test_parts_share_no_formula_and_no_held_out_molecule():
    names = [f"C{k}" for k in range(4000)]
    parts = {name: part_of("C2H6O", [name], 0) for name in names}
    assert set(parts.values()) == {"train", "valid"}
    held_out = next(name for name, part in parts.items() if part == "valid")
    trained = next(name for name, part in parts.items() if part == "train")
    assert part_of("C2H6O", [trained, held_out], 0) == "valid" == part_of("C2H6O", [held_out, trained], 0)
    formulas = {part_of(f"C{k}H{k}", ["C"], 0) for k in range(100)}
    assert "test" in formulas
    test = next(f"C{k}H{k}" for k in range(100) if part_of(f"C{k}H{k}", ["C"], 0) == "test")
    assert all(part_of(test, [name], 0) == "test" for name in names)


def test_a_saddle_is_found_and_a_minimum_is_none():
    guess = Atoms("CNH", [[0, 0, 0], [1.17, 0.02, 0], [0.45, 1.15, 0]])
    found = saddles.saddle_from(guess, GFN2())
    energies = [a.get_potential_energy() for a in (found.atoms, *found.minima)]
    barriers = sorted((energies[0] - e) * 23.0605 for e in energies[1:])
    assert barriers == pytest.approx([53.2, 73.2], abs=0.1)  # kcal/mol: facts of GFN2-xTB, by Sella
    with pytest.raises(geometries.Dropped):
        saddles.saddle_from(molecule("CH4"), GFN2())


def test_atoms_pushed_together_reach_the_force():
    rng, calculator = np.random.default_rng(0), GFN2()
    start = geometries.minimum(Chem.AddHs(Chem.MolFromSmiles("CO")), 1, calculator)
    found = [a for _ in range(12) for a in displacements.pushed(start, calculator, rng)]
    forces = [displacements._force(a, calculator) for a in found]
    assert len(found) > 8 and max(forces) > LARGEST_FORCE and max(forces) < displacements.PUSHED_TO[1]
    assert displacements._force(Atoms("H2", [[0, 0, 0], [0, 0, 0]]), calculator) == np.inf


def test_frames_that_are_too_much_are_left_out(tiny):
    first = next(a for a in iter_frames(tiny / "train") if KEYS.hvp in a.arrays)
    assert shards.why_not(first) == ""
    wrong = first.copy()
    wrong.arrays[KEYS.hvp] = wrong.arrays[KEYS.hvp] / 97.1736
    assert shards.why_not(wrong) == "label refused by its reader"
    strong = first.copy()
    strong.arrays[KEYS.forces][0] = [LARGEST_FORCE + 1, 0, 0]
    for kind, reason in (("hot", "force above the limit"), ("close", "label refused by its reader")):
        strong.info["kind"] = kind  # to which the forces no longer belong
        assert shards.why_not(strong) == reason


def test_labels_that_all_fail_are_counted(tmp_path):
    shard = shards.Shard(tmp_path, 0, TINY, 1)
    shard.place.mkdir(parents=True)
    with in_this_process():
        assert shard._label("points", [Atoms("H2", [[0, 0, 0], [0, 0, 0]])], "full") == []
    assert sum(n for name, n in shard.counts.items() if name.startswith("label failed")) == 1


def test_a_molecule_that_falls_apart_is_counted(monkeypatch):
    def broken(*arguments):
        raise geometries.Dropped("molecule changed")

    monkeypatch.setattr(items, "minimum", broken)
    item = items.make_item(0, "CO", TINY)
    assert item.counts == {"molecule changed": 1} and not item.frames


def test_an_item_without_end_is_ended_by_its_cpu_time(monkeypatch):
    def slow(*arguments):
        time.sleep(0.3)  # does not count
        while True:
            pass

    monkeypatch.setattr(items, "LONGEST", 0.2)
    monkeypatch.setattr(items, "minimum", slow)
    start = time.process_time()
    assert items.make_item(0, "CO", TINY).counts == {"time is up": 1}
    assert 0.15 < time.process_time() - start < 1.0  # the clocks of a system differ by some ticks


def test_the_plan_adds_up():
    units = {"molecule": 2.0, "saddle": 4.0, "full": 0.5, "pairs": 0.05, "choice": 0.01}
    rows = costs.plan(replace(SIZES["full"], items=100), {9: units, 18: units})
    assert [row.unit for row in rows] == list(costs.UNITS)
    for row in rows:
        assert row.hours == pytest.approx(row.count * units[row.unit] / 3600)
    table = costs.as_tables({9: units, 18: units}, rows)
    assert "| a molecule, its reaction, path, band and candidates | 100 | 0.06 |" in table


def test_the_manifest_says_how_it_was_made(tiny):
    about = manifest(tiny)
    assert about["amounts"]["seed"] == 0 and about["versions"]["rdkit"] and about["core_hours_in_all"] > 0
    assert about["counts"]["reactions"] > 0
