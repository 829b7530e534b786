"""What a model was trained on goes into its file, and whoever leaves it is told, once."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from artifacts import changed, rewritten
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from pair_artifact import write_pair

from hint_plugin import pretrained
from hint_plugin.artifact.domain import TrainingDomain, TrainingDomainWarning
from hint_plugin.artifact.metadata import ENTRY, read_metadata
from hint_plugin.artifact.scripted import load_artifact
from hint_plugin.errors import DataError
from hint_plugin.export.checkpoint_to_artifact import _domain
from hint_plugin.potentials.artifact_potential import Potential
from hint_plugin.potentials.hint_calculator import HintCalculator

PAIR = Path(__file__).parents[1] / "data" / "pair.hint.pt"
"""Of version 0.1."""
DOMAIN = TrainingDomain(("Al", "Cu"), {"Al-Al": 2.6, "Al-Cu": 2.3, "Cu-Cu": 2.6}, 0.1, 12)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pair(tmp_path_factory.mktemp("pair") / "pair.hint.pt", training_domain=DOMAIN.as_dict())


def told(artifact: Path, *frames: Atoms) -> list[str]:
    """What a calculator says about structures, one after the other."""
    calculator = HintCalculator(artifact)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for atoms in frames:
            calculator.get_forces(atoms)
    return [str(w.message) for w in found if w.category is TrainingDomainWarning]


def test_of_a_training_set(tmp_path):
    """By hand: water, and a crystal whose shortest distance is to an image."""
    water, crystal = molecule("H2O"), bulk("Cu", a=3.6)
    water.arrays["REF_forces"] = np.array([[3.0, 4.0, 0.0], [0, 0, 1], [0, 0, 0]])
    write(tmp_path / "set.xyz", [water, crystal, Atoms("O")])
    found = _domain([tmp_path / "set.xyz"], 3.0, None)
    assert found == {
        "elements": ["H", "O", "Cu"],
        "shortest_distances": {
            "H-H": round(water.get_distance(1, 2), 4),
            "H-O": round(water.get_distance(0, 1), 4),
            "Cu-Cu": round(3.6 / 2**0.5, 4),
        },
        "largest_force": 5.0,
        "frames": 3,
    }
    write(tmp_path / "bare.xyz", [crystal])
    bare = _domain([tmp_path / "bare.xyz"], 2.0, None)
    assert bare["shortest_distances"] == {} and bare["largest_force"] is None


def test_the_names_of_pairs_are_in_alphabetical_order():
    frames = [(Atoms("HPd", [[0, 0, 0], [0, 0, 1.7]]), None), (Atoms("ClC", [[0, 0, 0], [0, 0, 1.8]]), None)]
    assert TrainingDomain.of(frames, 3.0).shortest_distances == {"H-Pd": 1.7, "C-Cl": 1.8}


def test_inside_nothing_is_said(artifact):
    crystal = bulk("AlCu", "cesiumchloride", a=2.9)
    assert told(artifact, crystal, Atoms("Al"), Atoms("AlCu", [[0, 0, 0], [0, 0, 9]])) == []


@pytest.mark.parametrize(
    ("atoms", "reason"),
    [
        (
            Atoms("AlCuCu", [[0, 0, 0], [0, 0, 2.1], [0, 0, 5]]),
            "atoms 0 and 1 (Al-Cu) are 2.1 A apart; the shortest distance of this pair in training was 2.3",
        ),
        (bulk("AlCu", "cesiumchloride", a=2.4), "are 2.08 A apart"),  # to an image
        (Atoms("AlCu", [[0, 0, 0], [0, 0, 2.2]]), "the force on atom"),  # not too near, but pushed
    ],
)
def test_outside_is_said_once(artifact, atoms, reason):
    (said,) = told(artifact, atoms, atoms, Atoms("Al2", [[0, 0, 0], [0, 0, 1]]))
    assert said.startswith("pair.hint.pt: the structure is outside of what the model was trained on: ")
    assert reason in said and said.endswith("This is said once")


def test_it_is_not_lost_where_all_warnings_are_silenced_for_a_while(artifact):
    calculator, near = HintCalculator(artifact), Atoms("Al2", [[0, 0, 0], [0, 0, 1]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calculator.get_forces(near)
    with pytest.warns(TrainingDomainWarning):
        calculator.get_forces(Atoms("Al2", [[0, 0, 0], [0, 0, 1.1]]))


def test_one_of_many_is_named(artifact):
    frames = [bulk("AlCu", "cesiumchloride", a=2.9), Atoms("Al2", [[0, 0, 0], [0, 0, 2.0]])]
    with pytest.warns(TrainingDomainWarning, match=r"structure 1 is outside .* \(Al-Al\) are 2 A apart"):
        Potential(artifact).evaluate(frames)


def test_pairs_and_elements_that_training_did_not_have(artifact, tmp_path):
    less = DOMAIN.as_dict() | {"shortest_distances": {"Al-Cu": 2.3}}
    other = changed(artifact, tmp_path / "other.hint.pt", training_domain=less)
    (said,) = told(other, Atoms("Al2", [[0, 0, 0], [0, 0, 3.0]]))
    assert "(Al-Al) are 3 A apart; training had no such pair within the cutoff" in said
    less = {"elements": ["Al"], "shortest_distances": {"Al-Al": 2.6}, "largest_force": None, "frames": 1}
    other = changed(artifact, tmp_path / "third.hint.pt", training_domain=less)
    assert "no structure in training had Cu" in told(other, Atoms("Cu"))[0]


def test_what_is_not_finite_is_no_result(artifact):
    atoms = Atoms("Al2", [[0, 0, 0], [0, 0, 0]], calculator=HintCalculator(artifact))
    with (
        pytest.warns(TrainingDomainWarning),
        pytest.raises(DataError, match="gives no finite energy or forces for Al2"),
    ):
        atoms.get_potential_energy()


def test_the_ready_model_knows_its_training():
    """As its set, made again, says; frames with a component above 25 eV/A were left out."""
    found = read_metadata(pretrained.path_of("alphanet-gfn2")).domain
    assert found is not None and found.elements == ("H", "C", "N", "O") and found.frames == 2447
    assert found.largest_force == 35.4 < 25 * 3**0.5
    known = found.shortest_distances
    assert known is not None and len(known) == 10  # every pair of elements
    bonds = {"H-H": 0.74, "C-H": 1.09, "H-O": 0.96, "C-C": 1.2, "C-N": 1.16, "C-O": 1.16}
    assert all(0.65 * bond < known[pair] < bond for pair, bond in bonds.items())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("CH3OH", "C2H6", "HCN"):
            HintCalculator("alphanet-gfn2").get_forces(molecule(name))
    near = Atoms("CO", [[0, 0, 0], [0, 0, 0.9]])
    with pytest.warns(TrainingDomainWarning, match=r"\(C-O\) are 0.9 A apart; the shortest .* was 1.02 A"):
        HintCalculator("alphanet-gfn2").get_forces(near)


def test_hessians_are_watched_too(artifact):
    with pytest.warns(TrainingDomainWarning):
        list(Potential(artifact).predict([Atoms("Al2", [[0, 0, 0], [0, 0, 1.0]])], hessian=True))


def test_files_without_it_say_nothing_and_older_readers_take_those_with_it(artifact, tmp_path):
    plain = write_pair(tmp_path / "plain.hint.pt")
    assert read_metadata(plain).domain is None
    assert told(plain, Atoms("Al2", [[0, 0, 0], [0, 0, 1.0]])) == []
    metadata = read_metadata(artifact)
    assert metadata.domain == DOMAIN
    assert "training_domain" not in metadata.facts()  # those are compared with the model's
    assert json.loads(metadata.to_json())["format_version"] == 1
    assert any(name == "training set" and "Al-Cu 2.3" in text for name, text in metadata.rows())
    without = {k: v for k, v in json.loads(metadata.to_json()).items() if k != "training_domain"}
    assert read_metadata(changed(artifact, tmp_path / "x.hint.pt", **without)).domain == DOMAIN
    load_artifact(artifact)


def test_what_is_edited_afterwards_is_noticed(artifact, tmp_path):
    """A domain that somebody made wider, by hand; the content of the file is as it was."""
    text = read_metadata(artifact).to_json()
    for edited in (text.replace("2.3", "1.3"), text.replace('"frames": 12', '"frames": 13'), text + " "):
        assert edited != text
        other = rewritten(artifact, tmp_path / "other.hint.pt", {f"extra/{ENTRY}": edited.encode()})
        for read in (read_metadata, load_artifact):
            with pytest.raises(DataError, match=r"metadata are not what was written \(their hash differs"):
                read(other)
    assert read_metadata(changed(artifact, tmp_path / "old.hint.pt")).domain == DOMAIN  # has no digest
    assert "digest" not in json.loads(_entry(PAIR)) and read_metadata(PAIR).domain is not None


def _entry(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(ENTRY)))


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms(), "structure 0 has no atoms"),
        (Atoms("Al", pbc=True), "Al is periodic along a, b, c and has no cell vector there"),
        (Atoms("Al", pbc=[True, False, False], cell=[0, 3, 3]), "periodic along a and has no cell vector"),
        (Atoms("Al", pbc=True, cell=[[1, 0, 0], [2, 0, 0], [0, 0, 1]]), "lie in one plane or line"),
        (Atoms("Al", pbc=True, cell=[np.nan, 1, 1]), "its cell is not finite"),
    ],
)
def test_structures_that_cannot_be(artifact, atoms, message):
    for ask in ("get_potential_energy", "get_forces"):
        atoms.calc = HintCalculator(artifact)
        with pytest.raises(DataError, match=message):
            getattr(atoms, ask)()
    if len(atoms):
        with pytest.raises(DataError, match=message):
            HintCalculator(artifact).get_hessian(atoms)
