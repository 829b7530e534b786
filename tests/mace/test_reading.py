"""Frames that MACE would read without their energies, and labels of another level than their forces."""

from __future__ import annotations

import ast
from types import SimpleNamespace

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read

from hint_plugin.data import HessianLabel, LabelKeys, read_frames, write_frames
from hint_plugin.data.labels.contents import SetContents
from hint_plugin.errors import DataError
from hint_plugin.mace import averages, reading
from hint_plugin.mace.active_options import session
from hint_plugin.mace.labels import attach, is_labelled
from hint_plugin.mace.stores import StoreDataset
from mace_runs import DATA, MOLECULES, train_hint

ASE_KEYS = DATA / "cases" / "files" / "ase_keys.xyz"


def key_names():
    from mace.data import KeySpecification

    return KeySpecification.from_defaults()


def with_ase_names(path, frames, count: int):
    """The frames in a file, the first of them with ASE's own `energy` and `forces`."""
    for atoms in frames[:count]:
        energy, forces = atoms.info.pop("REF_energy"), atoms.arrays.pop("REF_forces")
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    write_frames(path, frames)
    return path


def test_ases_own_names_are_refused_with_the_line_that_renames(tmp_path):
    with pytest.raises(DataError) as error:
        train_hint(tmp_path, train_file=ASE_KEYS, valid_file=MOLECULES, valid_fraction=None)
    text = str(error.value)
    assert text.startswith(f"{ASE_KEYS}: 1 of 1 frames have energies or forces under ASE's own names")
    new = ASE_KEYS.with_name("ase_keys-ref.xyz")
    assert text.endswith(f"Rename them: hint dataset convert {ASE_KEYS} -o {new}")


def test_some_frames_with_ases_names_are_refused_too(tmp_path):
    """MACE would train the others alone, and say nothing."""
    path = with_ase_names(tmp_path / "some.xyz", read_frames(MOLECULES), 3)
    with pytest.raises(DataError, match="3 of 15 frames have energies or forces under ASE's own names"):
        train_hint(tmp_path / "run", train_file=path)


def test_in_a_store_as_well(tmp_path):
    path = with_ase_names(tmp_path / "some.h5", read_frames(MOLECULES)[:3], 1)
    head = SimpleNamespace(head_name="Default", key_specification=key_names())
    found = StoreDataset(path, r_max=4.0, z_table=None, heads=["Default"], head_config=head)
    with pytest.raises(DataError, match=r"some.h5: 1 of 3 frames .* -o .*some-ref.h5"):
        found[0]
    assert list(found.labelled(LabelKeys())) == [0, 1, 2]


def test_the_gate_looks_at_the_forces_that_mace_reads(monkeypatch):
    """Those of --forces_key: others of that name are not the ones that the model is trained on."""
    from mace.data.utils import config_from_atoms

    from hint_plugin.errors import LabelError
    from hint_plugin.mace.options import HintOptions

    monkeypatch.setattr(session, "labels", True)
    monkeypatch.setattr(session, "options", HintOptions())
    monkeypatch.setattr(session, "contents", SetContents())
    frame = next(atoms for atoms in read_frames(MOLECULES) if "REF_hessian" in atoms.info and len(atoms) > 2)
    right = frame.arrays["REF_forces"].copy()
    keys = key_names()
    keys.info_keys["energy"], keys.arrays_keys["forces"] = "dft_energy", "dft_forces"
    frame.info["dft_energy"], frame.arrays["dft_forces"] = frame.info["REF_energy"], right
    frame.arrays["REF_forces"] = np.full_like(right, np.nan)  # of somebody else
    for given in ((keys,), ()):
        more = {} if given else {"key_specification": keys}
        assert is_labelled(reading.config_from_atoms(config_from_atoms, frame, *given, **more))
    assert set(session.contents.charges) == {0}  # what is said of mixtures before a training
    frame.arrays["REF_forces"], frame.arrays["dft_forces"] = right, right + np.array([5.0, -3.0, 2.0])
    frame.arrays["dft_forces"][0] *= -4
    with pytest.raises(LabelError, match="does not turn with the molecule"):
        reading.config_from_atoms(config_from_atoms, frame, keys)


def test_names_that_mace_reads_are_no_fault():
    (atoms,) = read(ASE_KEYS, ":")
    keys = key_names()
    assert reading.ase_names(atoms, keys) == ["energy", "forces"]
    keys.info_keys["energy"], keys.arrays_keys["forces"] = "energy", "forces"  # --energy_key energy
    assert reading.ase_names(atoms, keys) == []
    atoms.info["REF_energy"] = -1.0
    assert reading.ase_names(atoms, key_names()) == ["forces"]


def configuration(labelled: bool = True):
    config = SimpleNamespace(
        properties={"energy": -1.0, "forces": np.zeros((2, 3))},
        property_weights={},
        atomic_numbers=np.array([1, 1]),
        positions=np.eye(2, 3),
    )
    attach(config, HessianLabel.full(np.eye(6)) if labelled else None)
    return config


def test_pseudolabels_leave_no_hessian_of_another_level(caplog):
    """The foundation model's energies and forces; the third kept the file's, since the model had failed."""
    before = [configuration(), configuration(labelled=False), configuration()]
    after = [configuration(), configuration(labelled=False), configuration()]
    for config in after[:2]:
        config.properties["forces"] = np.ones((2, 3))
    found = reading.pseudolabels(lambda model, configs: after, None, before)
    assert [is_labelled(config) for config in found] == [False, False, True]
    assert all("hint_count" in config.properties for config in found)
    assert "1 Hessian labels of replayed structures are left out: --pseudolabel_replay" in caplog.text


def test_statistics_of_numpy_2_can_be_read_back():
    """`mace_prepare_data --compute_statistics` writes str() of these; MACE reads it as a literal."""
    found = averages.average_e0s(
        lambda configs, table: {np.int64(1): np.float64(-13.6), np.int64(8): np.float64(-75.5)},
        [configuration()],
        None,
    )
    assert ast.literal_eval(str(found)) == {1: -13.6, 8: -75.5}


def test_the_session_is_lent_and_given_back():
    from hint_plugin.mace.options import HintOptions

    before = session.options, session.labels
    options = HintOptions(hessian_key="other")
    with pytest.raises(ValueError), session.lent(options):
        assert (session.options, session.labels) == (options, True)
        raise ValueError
    assert (session.options, session.labels) == before
