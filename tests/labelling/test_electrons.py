"""Charge and multiplicity: which keys state them, what contradicts, what a model must not be asked for."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from hint_plugin.cli import app
from hint_plugin.data import read_frames, write_frames
from hint_plugin.data.labels.ase_energies import with_energy
from hint_plugin.data.sets.audit import audit
from hint_plugin.data.structures.electrons import (
    known_electrons,
    refuse_electrons_of_a_cell,
    refuse_unknown_electrons,
    stated_electrons,
)
from hint_plugin.errors import DataError, EngineError, OptionsError
from hint_plugin.labelling import EngineCalculator, make_engine
from hint_plugin.potentials.artifact_potential import Potential
from hint_plugin.potentials.structure_checks import charge_and_multiplicity
from hint_plugin.science.reactions.matching import with_electrons

MODEL = "alphanet-gfn2"


def hint(capfd, *arguments) -> tuple[int, str]:
    """Exit status, and all that is printed."""
    with pytest.raises(SystemExit) as stop:
        app.main(list(map(str, arguments)))
    return stop.value.code or 0, " ".join(re.sub(r"\x1b\[[0-9;]*m", "", "".join(capfd.readouterr())).split())


@pytest.mark.parametrize(
    ("info", "found"),
    [
        ({}, (None, None)),
        ({"charge": -1}, (-1, None)),
        ({"total_charge": -1.0, "total_spin": 1.0}, (-1, 1)),
        ({"total_charge": np.int64(1), "spin": 2, "multiplicity": 2}, (1, 2)),
        ({"charge": True, "multiplicity": True}, (None, None)),  # bare words of a comment line
        ({"charge": True, "0": True, "multiplicity": True, "1": True}, (None, None)),  # as is taken anyhow
        ({"net_charge": -1, "charge": -1}, (-1, None)),
        ({"tot_charge": 0, "mult": 1, "high": True, "charge": True, "state": True}, (None, None)),
        ({"hint_charge": -1, "hint_multiplicity": 3}, (None, None)),  # no statement; see `known_electrons`
        ({"total_spin": 3}, (None, 3)),
    ],
)
def test_what_is_stated(info, found):
    assert stated_electrons(info) == found


def test_what_labels_were_computed_for_counts_where_nothing_is_stated():
    made = {"hint_charge": -1, "hint_multiplicity": 1}
    assert known_electrons(made) == (-1, 1) and known_electrons(made | {"charge": 0}) == (0, None)
    ion = Atoms("OH", [[0, 0, 0], [0, 0, 0.97]], info=made)
    assert charge_and_multiplicity(ion, 0, None) == (-1, 1)
    assert charge_and_multiplicity(ion, 1, None) == (1, 1)  # --charge 1
    oxygen = Atoms("O2", [[0, 0, 0], [0, 0, 1.2]], info={"hint_charge": 0, "hint_multiplicity": 3})
    assert charge_and_multiplicity(oxygen, 0, None) == (0, 3)
    assert charge_and_multiplicity(oxygen, 2, None) == (2, 1)
    with pytest.raises(DataError, match="OH has charge -1.*remove 'hint_charge'"):
        refuse_unknown_electrons(ion, "OH")


def test_outputs_state_the_electrons_of_the_options(tmp_path, capfd):
    """What comes next with labels of `--charge -1` does not take them for the neutral's."""
    pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
    pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
    write_frames(tmp_path / "oh.xyz", [Atoms("OH", [[0, 0, 0], [0, 0, 0.97]])])
    write_frames(tmp_path / "oo.xyz", [Atoms("O2", [[0, 0, 0], [0, 0, 1.2]])])
    for verb in ("label", "hessian", "optimize"):
        for name, option, wanted in (
            ("oh", ("--charge", -1), {"charge": -1}),
            ("oh", ("-e", "charge=-1"), {"charge": -1}),
            ("oo", ("--spin", 3), {"spin": 3}),
            ("oh", (), {}),
        ):
            out = tmp_path / f"{name}-{verb}.xyz"
            out.unlink(missing_ok=True)
            given = (tmp_path / f"{name}.xyz", "-o", out, "--engine", "gfn2-xtb", *option)
            assert hint(capfd, verb, *given)[0] == 0
            info = read_frames(out)[0].info
            assert {key: info[key] for key in ("charge", "spin") if key in info} == wanted, (verb, option)


def test_paths_state_the_electrons_they_were_computed_for():
    class Told:
        @staticmethod
        def provenance(atoms):
            return {"charge": 1, "multiplicity": 3}

    end = Atoms("OH", [[0, 0, 0], [0, 0, 0.97]])
    assert with_electrons(end, Told()).info == {"charge": 1, "spin": 3} and not end.info
    assert with_electrons(end, object()).info == {}
    end.info = {"total_charge": -1, "total_spin": 3}
    assert with_energy(end, -1.0).info == end.info


def test_a_calculator_that_nobody_tells_of_a_charge():
    ion = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.2]], info={"total_charge": 1})
    emt = {"calculator": "ase.calculators.emt:EMT"}
    with pytest.raises(
        EngineError, match="states charge 1, and nothing tells ase.calculators.emt:EMT"
    ) as caught:
        make_engine("calculator", **emt).prepare(ion)
    assert caught.value.kind == "electrons"
    make_engine("calculator", **emt, electrons=True).prepare(ion)
    ion.info = {"spin": 3}
    with pytest.raises(EngineError, match="states multiplicity 3"):
        make_engine("calculator", **emt).prepare(ion)
    ion.info = {"charge": 0, "spin": 1}
    make_engine("calculator", **emt).prepare(ion)
    told = {"calculator": "ase.calculators.lj:LennardJones", "arguments": {"charge": 1}}
    ion.info = {"charge": 1}
    make_engine("calculator", **told).prepare(ion)


def test_a_key_in_another_case_is_no_neutral_molecule():
    for info in ({"Charge": 1}, {"SPIN": 3, "charge": 0}):
        with pytest.raises(DataError, match="is not read; wanted '(charge|spin)'"):
            stated_electrons(info)
    with pytest.raises(DataError, match="charge is 0.5; wanted a whole number"):
        stated_electrons({"charge": np.float64(0.5)})


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"charge": 0, "total_charge": -1}, "charge=0 and total_charge=-1 contradict"),
        ({"spin": 1, "total_spin": 2}, "spin=1 and total_spin=2 contradict"),
        ({"multiplicity": 3, "spin": 2}, "multiplicity=3 and spin=2 contradict"),
        ({"total_charge": 0.5}, "total_charge is 0.5; wanted a whole number"),
        ({"charge": False}, "charge is False; wanted a whole number"),
        ({"charge": True, "-1": True, "multiplicity": True, "1": True}, "the words 'charge -1' are not read"),
        ({"charge:": True, "-1,": True}, "wanted charge=-1 in its info"),
        ({"multiplicity": True, "3": True}, "the words 'multiplicity 3' are not read"),
        ({"tot_charge": -1}, "'tot_charge=-1' is not read; wanted charge=-1"),
        ({"Net-Charge": 1, "charge": 0}, "'Net-Charge=1' is not read"),
        ({"molecular_charge": -1, "mult": 1}, "'molecular_charge=-1' is not read"),
        ({"charge": -1, "mult": 3}, "'mult=3' is not read; wanted multiplicity=3"),
        ({"total_spin": "singlet"}, "total_spin is 'singlet'; wanted a whole number"),
    ],
)
def test_what_is_refused(info, said):
    with pytest.raises(DataError, match=re.escape(said)):
        stated_electrons(info)
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 0.97]], info=info)
    with pytest.raises(EngineError, match=re.escape(said)) as caught:
        charge_and_multiplicity(atoms, 0, None)
    assert caught.value.kind == "electrons"


def with_arrays(name: str, charges=None, moments=None, **info) -> Atoms:
    """A molecule of ASE's, with a number for each atom; `molecule` brings moments of its own."""
    atoms = molecule(name)
    atoms = Atoms(atoms.numbers, atoms.positions, info=info)
    if charges is not None:
        atoms.set_initial_charges(charges)
    if moments is not None:
        atoms.set_initial_magnetic_moments(moments)
    return atoms


@pytest.mark.parametrize(
    ("atoms", "options", "found"),
    [
        (with_arrays("OH", [-0.6, 0.6], [1, 0]), (0, None), (0, 2)),
        (with_arrays("OH", [0, 0], [0, 0]), (-1, None), (-1, 1)),  # zeros say nothing
        (with_arrays("OH", [-1.31, 0.32]), (-1, None), (-1, 1)),  # rounded
        (with_arrays("OH", [-1.3, 0.3], charge=0), (0, None), (0, 2)),  # the word of a person
        (with_arrays("O2", None, [1, 1]), (0, 3), (0, 3)),
        (with_arrays("O2", None, [1, 1], spin=1), (0, None), (0, 1)),
        (with_arrays("O2", None, [-1, -1], total_spin=3), (0, None), (0, 3)),
        (with_arrays("O2", None, [[0, 0, 1], [0, 0, 1]]), (0, 3), (0, 3)),
        (with_arrays("O2", None, [1, -1]), (0, None), (0, 1)),
    ],
)
def test_sums_over_atoms_that_fit(atoms, options, found):
    assert charge_and_multiplicity(atoms, *options) == found


@pytest.mark.parametrize(
    ("atoms", "options", "said"),
    [
        (with_arrays("OH", [-1.3, 0.3]), (0, None), "add up to -1, and charge 0 would be computed"),
        (with_arrays("OH", [-1.3, 0.3]), (0, None), "Write charge=-1 into its info"),
        (with_arrays("OH", [-1.3, 0.3]), (0, None), "or give --charge -1; if"),
        (with_arrays("OH", [0.3, -0.3]), (1, None), "write charge=1"),
        (molecule("O2"), (0, None), "add up to 2 unpaired electrons, and multiplicity 1"),  # as ASE has it
        (molecule("O2"), (0, None), "since the structure states none. Write spin=3 into"),
        (with_arrays("O2", None, [[0, 0, 1], [0, 0, 1]]), (0, None), "or give --spin 3"),
        (
            with_arrays("OH", None, [1, 0]),
            (-1, None),
            "10 electrons cannot have that many unpaired: write spin=1",
        ),
        (with_arrays("O2", None, [np.nan, 1]), (0, None), "initial_magmoms holds NaN"),
    ],
)
def test_sums_over_atoms_that_contradict(atoms, options, said):
    with pytest.raises(EngineError, match=re.escape(said)) as caught:
        charge_and_multiplicity(atoms, *options)
    assert caught.value.kind == "electrons"


def test_moments_are_those_of_a_program_that_takes_them():
    assert charge_and_multiplicity(molecule("O2"), 0, None, uses_moments=True) == (0, 1)
    with pytest.raises(EngineError, match="initial_charges"):
        charge_and_multiplicity(with_arrays("OH", [-1, 0]), 0, None, uses_moments=True)


def test_labels_of_charged_atoms_are_refused_and_others_made(tmp_path, capfd):
    """They were those of the neutral, or of the singlet, without a word."""
    pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
    ion = with_arrays("OH", [-1, 0])
    write_frames(tmp_path / "in.xyz", [ion, molecule("O2"), with_arrays("H2O", [-0.8, 0.4, 0.4])])
    options = ["--engine", "gfn2-xtb", "--hessian", "none"]
    code, said = hint(capfd, "label", tmp_path / "in.xyz", "-o", tmp_path / "out.xyz", *options)
    assert code == 3 and "1 of 3 frames labelled" in said, said
    assert "initial_charges of the atoms add up to -1" in said and "Write spin=3" in said
    ion.info["charge"] = -1
    write_frames(tmp_path / "stated.xyz", [ion])
    code, said = hint(capfd, "label", tmp_path / "stated.xyz", "-o", tmp_path / "new.xyz", *options)
    assert code == 0, said
    assert read_frames(tmp_path / "new.xyz")[0].info["hint_charge"] == -1


def test_models_and_cells_of_charged_atoms():
    with pytest.raises(DataError, match=r"water: initial_charges .*\+1, and charge 0 .*xyz file\); if"):
        refuse_unknown_electrons(with_arrays("H2O", [1, 0, 0]), "water")
    with pytest.raises(DataError, match="oxygen: initial_magmoms"):
        refuse_unknown_electrons(molecule("O2"), "oxygen")
    refuse_unknown_electrons(with_arrays("O2", None, [1, 1], spin=1), "oxygen")
    crystal = bulk("Ni")
    crystal.set_initial_magnetic_moments([0.6])
    refuse_unknown_electrons(crystal, "nickel")  # no multiplicity
    refuse_electrons_of_a_cell(crystal, "nickel")
    crystal.set_initial_charges([2.0])
    with pytest.raises(DataError, match=r"nickel: initial_charges .* \+2, a charge that a supercell"):
        refuse_electrons_of_a_cell(crystal, "nickel")


def test_check_remarks_on_electrons(tmp_path):
    odd = [with_arrays("OH", [-1, 0]), with_arrays("OH", [-1, 0], charge=1), molecule("O2"), molecule("CH4")]
    odd[3].info |= {"charge": 0, "total_charge": 1}
    write_frames(tmp_path / "in.xyz", [*odd, with_arrays("H2O", [-0.8, 0.4, 0.4], spin=1)])
    remarks = {remark.frame: remark.message for remark in audit([tmp_path / "in.xyz"]).remarks}
    assert sorted(remarks) == [0, 1, 2, 3]
    assert "charge=-1 into its info" in remarks[0] and "spin=3" in remarks[2] and "contradict" in remarks[3]
    assert (
        remarks[1]
        == "initial_charges of the atoms add up to something else than charge=1, which is what counts"
    )


def test_keys_of_mace_reach_the_engine(tmp_path):
    """GFN2-xTB of OH- at 0.97 A, and what the xtb program says of it: -4.681612 hartree."""
    pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 0.97]], info={"total_charge": -1, "total_spin": 1})
    calculator = EngineCalculator(make_engine("gfn2-xtb"))
    atoms.calc = calculator
    assert atoms.get_potential_energy() == pytest.approx(-127.39314, abs=1e-4)
    assert calculator.provenance(atoms)["charge"] == -1
    atoms.info["total_charge"] = 0  # the calculator sees that the electrons have changed
    atoms.info["total_spin"] = 2
    assert atoms.get_potential_energy() == pytest.approx(-120.50124, abs=1e-4)


def test_supercells_of_ions_are_refused(tmp_path, capfd):
    cell = bulk("Cu")
    cell.info["total_charge"] = 1
    write_frames(tmp_path / "cell.xyz", [cell])
    options = ["--extract", tmp_path / "n.xyz", "--supercell", 2, 1, 1]
    code, said = hint(capfd, "sample", "displace", tmp_path / "cell.xyz", "-o", tmp_path / "p.json", *options)
    assert code == 2 and "has a charge or spin ('total_charge')" in said
    pytest.importorskip("phonopy", reason="needs phonopy: pip install '.[phonons]'")
    emt = ["--engine", "calculator", "-e", "calculator=ase.calculators.emt:EMT"]
    code, said = hint(capfd, "phonons", tmp_path / "cell.xyz", *emt, "-o", tmp_path / "p")
    assert code == 2 and "has a charge or spin ('total_charge')" in said


def test_what_no_model_knows():
    radical, oxygen = molecule("OH"), molecule("O2")
    radical.info["spin"] = 2
    refuse_unknown_electrons(radical, "OH")  # the lowest: what the model stands for
    oxygen.info["total_spin"] = 3
    with pytest.raises(DataError, match=r"O2 has multiplicity 3.*remove 'total_spin'"):
        refuse_unknown_electrons(oxygen, "O2")
    radical.info |= {"total_charge": 1, "spin": 1}
    with pytest.raises(DataError, match=r"OH has charge 1.*'total_charge'"):
        refuse_unknown_electrons(radical, "OH")
    refuse_unknown_electrons(radical, "OH", knows=("charge", "multiplicity"))
    with pytest.raises(OptionsError, match="charge is 1, but a trained potential sees elements"):
        make_engine("model", model=MODEL, charge=1)


def test_the_potential_itself_refuses_ions():
    ion = molecule("H2O")
    ion.info["charge"] = 1
    potential = Potential(MODEL)
    for ask in (potential.evaluate, lambda frames: list(potential.predict(frames, hessian=True))):
        with pytest.raises(DataError, match=r"structure 1 \(H2O\) has charge 1"):
            ask([molecule("H2O"), ion])
    with pytest.raises(DataError, match="charge 1"):
        potential.hessian(ion)


# Verb -> how it takes structures and options.
MOLECULES = {
    "optimize": lambda ion, out: [ion, "-o", out / "o.xyz"],
    "hessian": lambda ion, out: [ion, "-o", out / "o.xyz"],
    "vibrations": lambda ion, out: [ion, "-o", out / "o"],
    "thermo": lambda ion, out: [ion, "-o", out / "o"],
    "compare-thermo": lambda ion, out: [ion, "-o", out / "o"],
    "neb": lambda ion, out: [ion, out / "other.xyz", "-o", out / "o"],
    "reaction": lambda ion, out: [ion, out / "other.xyz", "-o", out / "o"],
    "reactions": lambda ion, out: [ion, "-o", out / "o"],
}


@pytest.mark.parametrize("verb", MOLECULES)
def test_verbs_refuse_a_charge_beside_a_model(verb, tmp_path, capfd):
    for package in ("sella", "geodesic_interpolate"):
        pytest.importorskip(package, reason="needs 'hint-mlip[reactions]'")
    ends = [molecule("H2O"), molecule("H2O")]
    ends[1].positions[0, 2] += 0.1
    write_frames(tmp_path / "m.xyz", ends if verb == "reactions" else ends[:1])
    write_frames(tmp_path / "other.xyz", ends[1:])
    given = MOLECULES[verb](tmp_path / "m.xyz", tmp_path)
    code, said = hint(capfd, verb, *given, "--model", MODEL, "--charge", 1)
    assert code == 2 and "charge is 1, but a trained potential sees elements" in said, said
    code, said = hint(capfd, verb, *given, "--model", MODEL, "--spin", 3)
    assert code == 2 and "multiplicity is 3, but a trained potential" in said, said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.xyz", "other.xyz"]


@pytest.mark.parametrize("verb", [verb for verb in MOLECULES if verb != "compare-thermo"])
def test_verbs_refuse_ions_beside_a_model(verb, tmp_path, capfd):
    for package in ("sella", "geodesic_interpolate"):
        pytest.importorskip(package, reason="needs 'hint-mlip[reactions]'")
    ends = [molecule("H2O"), molecule("H2O")]
    ends[1].positions[0, 2] += 0.1
    for atoms in ends:
        atoms.info["total_charge"] = 1
    write_frames(tmp_path / "ion.xyz", ends if verb == "reactions" else ends[:1])
    write_frames(tmp_path / "other.xyz", ends[1:])
    given = MOLECULES[verb](tmp_path / "ion.xyz", tmp_path)
    code, said = hint(capfd, verb, *given, "--model", MODEL)
    assert "has charge 1 in its info, and the model does not know charges" in said, said
    assert code == {"reactions": 0, "neb": 2}.get(verb, 3)  # one counts them, one has one band


def test_label_and_evaluate_refuse_ions(tmp_path, capfd):
    ion = molecule("H2O")
    ion.info |= {"charge": 1, "REF_energy": -130.0, "hint_method": "GFN2-xTB"}
    write_frames(tmp_path / "ion.xyz", [molecule("H2O"), ion])
    options = ["-o", tmp_path / "e"]
    code, said = hint(capfd, "evaluate", MODEL, tmp_path / "ion.xyz", *options)
    assert code == 2 and "ion.xyz, frame 1 (H2O) has charge 1" in said
    for frame in (bare := read_frames(tmp_path / "ion.xyz")):
        frame.info.pop("REF_energy", None)
    write_frames(tmp_path / "bare.xyz", bare)
    made = ["--engine", "model", "-e", f"model={MODEL}", "--hessian", "none"]
    code, said = hint(capfd, "label", tmp_path / "bare.xyz", "-o", tmp_path / "out.xyz", *made)
    assert code == 3 and "1 of 2 frames labelled" in said and "has charge 1" in said
    code, said = hint(capfd, "label", tmp_path / "bare.xyz", "-o", tmp_path / "new.xyz", *made, "--charge", 1)
    assert code == 2 and "charge is 1, but a trained potential" in said


def test_the_ends_of_a_reaction_have_the_same_electrons(tmp_path, capfd):
    pytest.importorskip("geodesic_interpolate", reason="needs 'hint-mlip[reactions]'")
    for name, charge in (("r.xyz", 1), ("p.xyz", 0)):
        atoms = molecule("H2O")
        atoms.info["charge"] = charge
        write_frames(tmp_path / name, [atoms])
    ends = (tmp_path / "r.xyz", tmp_path / "p.xyz")
    code, said = hint(capfd, "neb", *ends, "-o", tmp_path / "o", "--engine", "gfn2-xtb")
    assert code == 2 and "state different electrons (charge 1, multiplicity None and charge 0" in said


def test_models_of_nequip_refuse_ions():
    """Before anything is computed: no model is needed to see it."""
    from hint_plugin.nequip.predictor import NequipPredictor

    predictor = NequipPredictor.__new__(NequipPredictor)
    predictor.numbers, predictor.type_names = [1, 8], ["H", "O"]
    ion = molecule("H2O")
    ion.info["total_charge"] = 1
    with pytest.raises(DataError, match=r"structure 0 \(H2O\) has charge 1"):
        list(predictor.predict([ion]))
