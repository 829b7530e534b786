"""What is no result is not printed as one: structures off stationary points, nonsense, extrapolation."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator
from ase.collections import g2
from pair_artifact import write_pair
from reaction_runs import hint

from hint_plugin.artifact.domain import TrainingDomain
from hint_plugin.data import HessianLabel, LabelKeys, read_frames, write_frames, write_label
from hint_plugin.potentials.extrapolation import in_one_sentence, outside_training
from hint_plugin.potentials.hint_calculator import HintCalculator
from hint_plugin.potentials.opening import open_potential
from hint_plugin.science.molecules import normal_modes
from hint_plugin.science.molecules.bonding import badly_bonded
from hint_plugin.science.molecules.remarks import internal_force, remarks_of
from hint_plugin.science.molecules.thermo_comparison import compare_thermochemistry, mean_errors

KEYS = LabelKeys()
DOMAIN = TrainingDomain(("Al", "Cu"), {"Al-Al": 2.3, "Al-Cu": 2.3, "Cu-Cu": 2.3}, 5.0, 12)
NEAR = Atoms("Al2", [[0, 0, 0], [0, 0, 1.9]])


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """A model whose minimum of a pair, at 1.6 A, is nearer than anything in its training."""
    path = tmp_path_factory.mktemp("pair") / "pair.hint.pt"
    return write_pair(path, depth=4.0, distance=1.6, training_domain=DOMAIN.as_dict())


def labelled(force: float | None, imaginary: bool = False) -> Atoms:
    """Water with a Hessian of springs, that of a saddle if wanted, and a force (eV/A) between O and H."""
    atoms = molecule("H2O")
    hessian = springs(atoms)
    if imaginary:
        modes = normal_modes(atoms, hessian)
        v = modes.mass_weighted[0] * np.sqrt(np.repeat(atoms.get_masses(), 3))  # no rigid motion in it
        v /= np.linalg.norm(v)
        hessian -= 1.5 * (v @ hessian @ v) * np.outer(v, v)
    atoms.info[KEYS.energy] = -10.0
    if force is not None:
        along = atoms.positions[1] - atoms.positions[0]
        along *= force / np.linalg.norm(along)
        atoms.arrays[KEYS.forces] = np.array([-along, along, 0 * along])
    write_label(atoms, HessianLabel.full(hessian))
    return atoms


def springs(atoms: Atoms) -> np.ndarray:
    n = len(atoms)
    hessian = np.zeros((n, 3, n, 3))
    for i in range(n):
        for j in range(i):
            d = atoms.positions[i] - atoms.positions[j]
            block = 20.0 * np.outer(d, d) / (d @ d)
            for a, b, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
                hessian[a, :, b, :] += sign * block
    return hessian.reshape(3 * n, 3 * n)


class Fixed(Calculator):
    """The same Hessian everywhere, and no forces."""

    implemented_properties = ("energy", "forces")

    def __init__(self, hessian: np.ndarray) -> None:
        super().__init__()
        self.hessian = hessian

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(self.atoms), 3))}

    def get_hessian(self, atoms):
        return self.hessian


# Stationary or not


@pytest.mark.parametrize(
    ("force", "imaginary", "kind", "shown", "said"),
    [
        (0.02, False, "minimum", "minimum", ""),
        (0.02, True, "transition state", "TS", "is left out (transition state)"),
        (0.5, False, "not stationary", "not stationary", "not stationary: 0.50 eV/A on an atom"),
        (0.5, True, "not stationary", "not stationary", "is left out (this is no transition state)"),
        (None, True, "transition state", "TS?", "nobody knows whether this is a stationary point"),
    ],
)
def test_a_gibbs_energy_says_of_what_it_is(force, imaginary, kind, shown, said, tmp_path, capfd):
    write_frames(tmp_path / "in.xyz", [labelled(force, imaginary)])
    code, text = hint(capfd, "thermo", tmp_path / "in.xyz", "-o", tmp_path / "t")
    assert code == 0, text
    found = json.loads((tmp_path / "t" / "thermo.json").read_text())
    (row,) = found["results"]
    assert row["kind"] == kind and row["stationary"] == (None if force is None else force < 0.05)
    (line,) = [words for words in text.splitlines() if words.strip().startswith("in ")]
    assert shown in " ".join(line.split())
    (saved,) = csv.DictReader((tmp_path / "t" / "thermo.csv").open())
    if said:
        assert said in " ".join(text.split()) and any(said in remark for remark in row["remarks"])
        assert said in saved["remarks"]
    else:
        assert row["remarks"] == [] and saved["remarks"] == ""
    warned = "Gibbs energies are those of no minimum and no transition state"
    told = force is None or force > 0.05
    assert (warned in text) == told == any(warned in one for one in found["warnings"])


def test_vibrations_say_it_too(tmp_path, capfd):
    write_frames(tmp_path / "in.xyz", [labelled(0.02), labelled(0.5, imaginary=True)])
    code, text = hint(capfd, "vibrations", tmp_path / "in.xyz", "-o", tmp_path / "v")
    rows = json.loads((tmp_path / "v" / "vibrations.json").read_text())["results"]
    assert code == 0 and [row["kind"] for row in rows] == ["minimum", "not stationary"]
    assert "1 of 2 structures are not stationary, the first is in-1: their frequencies are" in text


def test_a_force_on_the_whole_molecule_is_no_step_to_a_stationary_point():
    atoms = molecule("H2O")
    push = np.full((3, 3), 0.3)
    turn = np.cross([0.0, 0.4, 0.1], atoms.positions - atoms.positions.mean(axis=0))
    pull = np.array([[0, 0, -0.2], [0, 0, 0.1], [0, 0, 0.1]])
    assert internal_force(atoms, push + turn) < 1e-12
    assert internal_force(atoms, push + turn + pull) == pytest.approx(internal_force(atoms, pull))
    assert internal_force(atoms, pull) == pytest.approx(0.2, abs=0.01)
    assert internal_force(Atoms("H"), np.ones((1, 3))) < 1e-12


def test_different_points_are_not_compared(monkeypatch):
    """Neither what is not stationary with what is, nor a minimum with a saddle; and each is told."""
    here, saddle = labelled(0.0), labelled(0.0, imaginary=True)
    hessians = [atoms.info[KEYS.hessian].reshape(9, 9) for atoms in (here, saddle)]
    far = compare_thermochemistry(here, hessians[0], Fixed(hessians[0]), largest_force=0.5)
    assert far["kind"] == "not stationary" and "failure" not in far["same_geometry"]
    assert "not stationary on the reference (0.50 eV/A" in far["own_geometry"]["failure"]
    assert far["remarks"][0].startswith("not stationary: 0.50 eV/A") and len(far["remarks"]) == 2
    other = compare_thermochemistry(here, hessians[0], Fixed(hessians[1]), largest_force=0.5)
    words = "the modes of a transition state there, and the reference those of a minimum"
    assert words in other["same_geometry"]["failure"]
    assert [row["kind"] for row in mean_errors([far, other])] == ["not stationary"] * 2
    assert [(row["count"], row["failed"]) for row in mean_errors([far, other])] == [(1, 1), (0, 2)]
    assert "on the same geometry: the model has the modes" in other["remarks"][1]


# Bonds


@pytest.mark.parametrize(
    ("atoms", "said"),
    [
        (molecule("C2H6"), ""),
        (molecule("N2"), ""),
        (molecule("CH3CN"), ""),
        (molecule("H2"), ""),
        (Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]]), ""),
        (Atoms("Cr2", [[0, 0, 0], [0, 0, 1.68]]), ""),
        (Atoms("H"), ""),
        (
            Atoms("OHH", [[0, 0, 0], [0, 2.96, 0], [0, -2.96, 0]]),
            "atoms 0 (O), 1 (H), 2 (H) are bonded to noth",
        ),
        (Atoms("OHHH", [[0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59], [5, 0, 0]]), "atom 3 (H) is bonded to"),
        (Atoms("OH", [[0, 0, 0], [0, 0, 0.4]]), "atoms 0 and 1 (O-H) are on top of each other, 0.40 A"),
        (Atoms("HC3", [[0, 0, 0], [0, 0, 1.1], [1, 0, -0.4], [-1, 0, -0.4]]), "atom 0 (H) has 3 bonds"),
    ],
)
def test_bonds_that_cannot_be(atoms, said):
    found = badly_bonded(atoms)
    assert found.startswith(said) and bool(found) == bool(said)


def test_all_molecules_of_the_g2_set_are_bonded_as_molecules_are():
    for name in g2.names:
        atoms = molecule(name)
        atoms.info.clear()
        assert badly_bonded(atoms) == "", name


def test_an_atom_alone_may_be_a_radical_or_an_ion_that_is_stated():
    pair = Atoms("H2", [[0, 0, 0], [0, 0, 6.0]])
    assert "bonded to nothing" in badly_bonded(pair)
    pair.info["spin"] = 3
    assert badly_bonded(pair) == ""


# Outside of the training


def test_where_a_model_is_found(artifact):
    """As a potential, an engine's calculator, ASE's calculator; nobody else knows a training."""
    from hint_plugin.potentials.hint_calculator import EngineCalculator
    from hint_plugin.potentials.registry import make_engine

    engine = make_engine("model", model=str(artifact))
    owners = (open_potential(artifact), HintCalculator(artifact), engine, EngineCalculator(engine))
    for owner in owners:
        assert "(Al-Al) are 1.9 A apart; the shortest distance" in outside_training(owner, NEAR)
        assert outside_training(owner, Atoms("Al2", [[0, 0, 0], [0, 0, 2.4]])) == ""
        strong = outside_training(owner, Atoms("Al"), np.array([[9.0, 0, 0]]))
        assert "the force on atom 0 is 9 eV/A; the largest in training was 5 eV/A" in strong
    assert outside_training(Fixed(np.eye(6)), NEAR) == "" == in_one_sentence([], 5)


def test_a_search_that_ends_outside_is_no_minimum(artifact, tmp_path, capfd):
    pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
    write_frames(tmp_path / "in.xyz", [NEAR])
    model = ("--model", artifact)
    code, text = hint(capfd, "optimize", tmp_path / "in.xyz", "-o", tmp_path / "out.xyz", *model)
    assert code == 3 and "doubtful minimum" in " ".join(text.split())
    assert "failed: in (Al2): the search ended in a minimum that means nothing: outside of what" in text
    found = json.loads((tmp_path / "out.xyz.json").read_text())
    assert found["results"][0]["kind"] == "doubtful minimum"
    assert "the shortest distance of this pair in training was 2.3 A" in found["results"][0]["doubt"]
    (atoms,) = read_frames(tmp_path / "out.xyz")
    assert atoms.info["kind"] == "doubtful minimum" and "Al-Al" in atoms.info["doubt"]
    for verb in ("thermo", "vibrations"):
        code, text = hint(capfd, verb, tmp_path / "in.xyz", "-o", tmp_path / verb, "--optimize", *model)
        assert code == 3 and "a minimum that means nothing" in text
        kept = json.loads((tmp_path / verb / f"{verb}.json").read_text())
        assert kept["results"] == [] and len(kept["failures"]) == 1


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_verbs_for_molecules_count_what_is_outside(jobs, artifact, tmp_path, capfd):
    inside = Atoms("AlCu", [[0, 0, 0], [0, 0, 2.4]])
    write_frames(tmp_path / "in.xyz", [inside, NEAR, NEAR])
    options = ("-o", tmp_path / "h.xyz", "--model", artifact, "--jobs", jobs)
    code, text = hint(capfd, "hessian", tmp_path / "in.xyz", *options)
    said = (
        "2 of 3 molecules are outside of what the model was trained on, and their numbers are extrapolation"
    )
    assert code == 0 and text.count(said) == 1 and "(the first is in-1: atoms 0 and 1 (Al-Al)" in text
    found = json.loads((tmp_path / "h.xyz.json").read_text())
    assert [bool(row["outside_training"]) for row in found["results"]] == [False, True, True]
    assert said in found["warnings"][0]
    assert ["hint_outside_training" in atoms.info for atoms in read_frames(tmp_path / "h.xyz")] == [
        False,
        True,
        True,
    ]
    assert "extrapolation: atoms 0 and 1" in remarks_of(found["results"][1])[-1]


def test_label_counts_what_is_outside(artifact, tmp_path, capfd):
    inside = Atoms("AlCu", [[0, 0, 0], [0, 0, 2.4]])
    write_frames(tmp_path / "in.xyz", [inside, NEAR, NEAR])
    options = ("--engine", "model", "-e", f"model={artifact}", "--hessian", "none")
    code, text = hint(capfd, "label", tmp_path / "in.xyz", "-o", tmp_path / "out.xyz", *options)
    said = "2 of 3 new labels are outside of what the model was trained on"
    assert code == 0 and text.count(said) == 1 and "frame 1 (Al2): atoms 0 and 1" in text
    found = json.loads((tmp_path / "out.xyz.json").read_text())
    assert found["outside_training"] == 2 and said in found["warnings"][0]
    frames = read_frames(tmp_path / "out.xyz")
    assert [KEYS.prefix + "outside_training" in atoms.info for atoms in frames] == [False, True, True]


def test_evaluate_and_the_verbs_for_crystals_count_it(artifact, tmp_path, capfd):
    frames = [Atoms("AlCu", [[0, 0, 0], [0, 0, 2.4]]), NEAR.copy()]
    for atoms in frames:
        atoms.info[KEYS.energy] = -1.0
    write_frames(tmp_path / "test.xyz", frames)
    code, text = hint(capfd, "evaluate", artifact, tmp_path / "test.xyz", "-o", tmp_path / "e", "--no-plots")
    assert code == 0 and "1 of 2 frames are outside of what the model was trained on" in " ".join(
        text.split()
    )
    assert json.loads((tmp_path / "e" / "metrics.json").read_text())["outside_training"] == 1

    from hint_plugin.science.phonons.run import double_well

    crystal = bulk("AlCu", "cesiumchloride", a=2.8)
    found = double_well(crystal, artifact, displacement="1,z", amplitude=0.6, points=5)
    assert found.as_dict()["outside_training"].startswith("2 of 5 structures are outside")
