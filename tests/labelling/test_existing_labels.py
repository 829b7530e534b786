"""Labels that frames bring with them: kept where they are those asked for, cut to the budget, or refused."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")

from label_runs import make_input
from physical_labels import pair_label

from hint_plugin.cli import app
from hint_plugin.data import HessianLabel, read_frames, read_label, write_frames, write_label
from hint_plugin.data.labels.levels import level_differences, recorded
from hint_plugin.data.sets.sampling_plan import Choice, SamplingPlan, Source
from hint_plugin.errors import OptionsError
from hint_plugin.labelling import LabelSettings, run_labelling
from hint_plugin.labelling.existing import ExistingLabels, Verdict
from hint_plugin.labelling.plan import Inputs, identity, make_plan
from hint_plugin.parallel.journal import Journal

E_FORCES = LabelSettings(hessian="none")


def labelled(name: str = "H2O", kind: str = "full", **about):
    """A frame with made-up labels that say they are GFN2-xTB's, by default settings."""
    atoms = molecule(name)
    made = {"engine": "gfn2-xtb", "method": "GFN2-xTB", "engine_version": "tblite 0.8.0", "accuracy": 1e-3}
    made |= {"step": 1e-3, "charge": 0, "multiplicity": 1, "hessian": kind, **about}
    made = {key: value for key, value in made.items() if value is not None}
    matrix, forces = pair_label(atoms, np.random.default_rng(0))
    atoms.info["REF_energy"], atoms.arrays["REF_forces"] = 123.0, forces
    atoms.info |= {f"hint_{key}": value for key, value in made.items()}
    if kind == "full":
        write_label(atoms, HessianLabel.full(matrix, noise=1e-4))
        atoms.info |= {"hint_asymmetry": 1e-4, "hint_noise_from": "asymmetry"}
    elif kind == "projected":
        write_label(atoms, HessianLabel.full(matrix).to_projected(2, np.random.default_rng(1)))
    return atoms


def verdict(atoms, settings=None, wants=True):
    """(verdict, why it is refused or "")."""
    existing = ExistingLabels(settings or LabelSettings())
    found = existing.verdict(atoms, wants, "frame 0")
    try:
        existing.refuse()
    except OptionsError as error:
        return found, str(error)
    return found, ""


@pytest.mark.parametrize(
    ("about", "settings", "said"),
    [
        ({}, {}, ""),
        ({"engine_version": "tblite 0.7.0"}, {}, ""),  # another version of the program
        ({"charge": 0.0}, {}, ""),  # as a text file may have it
        ({"sampling_reason": "rank 2", "seed": 5}, {}, ""),
        ({"method": "GFN1-xTB"}, {}, "method: GFN1-xTB there, GFN2-xTB asked for"),
        (
            {"method": "wB97X/6-31G(d)", "engine": None},
            {},
            "method: wB97X/6-31G(d) there, GFN2-xTB asked for",
        ),
        ({"method": None}, {}, "no hint_method"),
        ({}, {"engine": "gfn1-xtb"}, "method: GFN2-xTB there, GFN1-xTB asked for"),
        ({"engine_version": "xtb 22.1"}, {}, "program: xtb there, tblite asked for"),
        ({}, {"charge": 2}, "charge: 0 there, 2 asked for"),
        ({}, {"multiplicity": 3}, "multiplicity: 1 there, 3 asked for"),
        ({}, {"engine_options": {"accuracy": 1.0}}, "accuracy: 0.001 there, 1.0 asked for"),
        ({}, {"engine_options": {"step": 2e-3}}, "step: 0.001 there, 0.002 asked for"),
        ({"electronic_temperature": 5000.0}, {}, "electronic_temperature: 5000.0 there, nothing asked for"),
        (
            {},
            {"hessian": "projected", "n_probes": 2},
            "2 pairs (v, Hv) asked for, and the frame has a full one",
        ),
        ({}, {"hessian": "rows", "atoms": "0"}, "rows of the atoms 0 asked for"),
        ({"kind": "projected"}, {"hessian": "projected", "n_probes": 2}, ""),
        ({"kind": "projected"}, {"hessian": "projected", "n_probes": 3}, "the frame has 2 pairs"),
        ({"kind": "projected"}, {}, "a full Hessian asked for, and the frame has 2 pairs"),
    ],
)
def test_what_counts_as_the_same(about, settings, said):
    found, why = verdict(labelled(**about), LabelSettings(**settings))
    assert (said in why if said else why == "") and (found is Verdict.KEEP) == (said == "")
    if said:
        assert "--overwrite" in why and "--keep-labels" in why and "frame 0" in why


def test_of_another_method_no_settings_are_told():
    """They were listed all seven, and the method stood among them."""
    about = {"method": "wB97X/6-31G(d)", "engine": "pyscf", "engine_version": "pyscf 2.14.0", "grid_level": 4}
    why = verdict(labelled(kind="projected", **about))[1].splitlines()
    assert why[0] == "1 frame has labels that are not those asked for:"
    assert why[1] == "  frame 0: method: wB97X/6-31G(d) there, GFN2-xTB asked for"
    assert "--overwrite" in why[2] and len(why) == 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("units", "It looks like kcal/mol/A^2"),
        ("zeros", "every element of the Hessian is zero"),
        ("forces", "REF_forces holds NaN"),
        ("shape", "REF_hessian: "),
        ("rattled", "the Hessian does not turn with the molecule"),
        ("energy", "REF_energy is 'low'"),
    ],
)
@pytest.mark.parametrize("keep_labels", [False, True])
def test_labels_that_cannot_be_right_are_not_kept(fault, said, keep_labels):
    """They pass what new ones pass, whoever made them; without a Hessian that is not kept, what is left."""
    atoms = labelled("CH3OH")
    if fault == "units":
        atoms.info["REF_hessian"] = atoms.info["REF_hessian"] * 23.0605
    elif fault == "zeros":
        atoms.info["REF_hessian"] = 0 * atoms.info["REF_hessian"]
    elif fault == "shape":
        atoms.info["REF_hessian"] = np.eye(3)
    elif fault == "forces":
        atoms.arrays["REF_forces"][0] = np.nan
    elif fault == "energy":
        atoms.info["REF_energy"] = "low"
    else:
        atoms.rattle(0.3, seed=1)
    settings = LabelSettings(keep_labels=keep_labels)
    found, why = verdict(atoms, settings)
    assert (
        found is Verdict.LABEL
        and said in why
        and "labels that cannot be right" in why
        and "--overwrite" in why
    )
    without = LabelSettings(hessian="none", keep_labels=keep_labels)
    assert (verdict(atoms, without, wants=False)[1] == "") == (fault not in ("forces", "energy"))
    assert verdict(atoms, LabelSettings(overwrite=True)) == (Verdict.LABEL, "")
    assert verdict(labelled("CH3OH"), settings) == (Verdict.KEEP, "")


def test_what_belongs_to_a_hessian_counts_only_where_one_is_wanted():
    atoms = labelled(step=7.0)
    assert "step" in verdict(atoms)[1]
    assert verdict(atoms, wants=False) == (Verdict.KEEP_WITHOUT_HESSIAN, "")
    bare = labelled(kind="none", step=7.0)
    assert verdict(bare, E_FORCES, wants=False) == (Verdict.KEEP, "")
    assert "some of the labels" in verdict(bare)[1]


def test_wrong_analytic_hessians_of_before_are_not_kept():
    """Those of meta-GGAs were analytic, and are differences now."""
    about = {"engine": "pyscf", "grid_level": 4, "accuracy": 1e-10, "step": 2.5e-3}
    about |= {"engine_version": "pyscf 2.14.0", "derivatives": "analytic"}
    pytest.importorskip("pyscf", reason="needs PySCF: pip install '.[dft]'")
    for xc, said in (("pbe", ""), ("r2scan", "derivatives: analytic there, nothing asked for")):
        settings = LabelSettings("pyscf", {"xc": xc, "basis": "sto-3g"})
        why = verdict(labelled(method=f"{xc}/sto-3g", **about), settings)[1]
        assert said in why and (said != "" or why == "")


def test_a_label_of_today_is_kept_tomorrow(tmp_path):
    """What an engine writes is what it is asked for again, through both kinds of file."""
    make_input(tmp_path / "in.xyz", 2)
    for suffix in ("xyz", "h5"):
        first, second = tmp_path / f"first.{suffix}", tmp_path / f"second.{suffix}"
        run_labelling([tmp_path / "in.xyz"], first)
        summary = run_labelling([first], second)
        assert (summary.kept, summary.labelled, summary.dropped) == (2, 0, 0)
    with pytest.raises(OptionsError) as caught:
        run_labelling([first], tmp_path / "new.xyz", LabelSettings("gfn1-xtb"))
    for words in (
        "2 frames have labels",
        "GFN1-xTB asked for",
        "frame 0 (H2O)",
        "frame 1 (CH4)",
        "GFN2-xTB there",
    ):
        assert words in str(caught.value)
    assert not (tmp_path / "new.xyz").exists() and not (tmp_path / "new.xyz.partial.jsonl").exists()
    energy = read_frames(first, 0)[0].info["REF_energy"]
    for settings, kept, wanted in (
        (LabelSettings("gfn1-xtb", overwrite=True), 0, "GFN1-xTB"),
        (LabelSettings("gfn1-xtb", keep_labels=True, overwrite=False), 2, "GFN2-xTB"),
    ):
        summary = run_labelling([first], tmp_path / f"{kept}.xyz", settings)
        frame = read_frames(tmp_path / f"{kept}.xyz", 0)[0]
        assert summary.kept == kept and frame.info["hint_method"] == wanted
        assert (abs(frame.info["REF_energy"] - energy) < 1e-9) == (kept == 2)
    with pytest.raises(OptionsError, match="one of the two"):
        LabelSettings(keep_labels=True, overwrite=True).check()


@pytest.mark.parametrize("hessians", [0, 1])
def test_the_budget_of_a_plan_holds_for_labelled_frames(tmp_path, hessians):
    write_frames(tmp_path / "a.xyz", [labelled(name) for name in ("H2O", "NH3", "CH4")])
    choices = [Choice(0, n, "hessian" if n < hessians else "energy_forces", "rank") for n in range(3)]
    plan = SamplingPlan("test", {}, [Source.of(tmp_path / "a.xyz", 3)], choices)
    plan.write(tmp_path / "plan.json")
    summary = run_labelling([], tmp_path / "out.xyz", plan=tmp_path / "plan.json")
    assert (summary.kept, summary.dropped) == (3, 3 - hessians)
    frames = read_frames(tmp_path / "out.xyz")
    assert [read_label(atoms) is not None for atoms in frames] == [n < hessians for n in range(3)]
    bare = frames[2]
    assert bare.info["REF_energy"] == 123.0 and bare.info["hint_hessian"] == "none"
    assert not {"hint_label_noise", "hint_asymmetry", "hint_noise_from"} & set(bare.info)


@pytest.mark.parametrize("settings", [E_FORCES, LabelSettings(hessian_fraction=0.0)])
def test_no_hessian_is_no_hessian(tmp_path, settings):
    write_frames(tmp_path / "a.h5", [labelled("H2O"), molecule("NH3")])
    summary = run_labelling([tmp_path / "a.h5"], tmp_path / "out.h5", settings)
    assert (summary.kept, summary.dropped, summary.labelled) == (1, 1, 1)
    assert all(read_label(atoms) is None for atoms in read_frames(tmp_path / "out.h5"))


def test_every_second_keeps_every_second(tmp_path):
    write_frames(tmp_path / "a.xyz", [labelled() for _ in range(4)])
    todo = make_plan(Inputs.open([tmp_path / "a.xyz"]), LabelSettings(hessian_every=2))
    assert todo.keep.all() and todo.drop.tolist() == [False, True, False, True]


def test_labels_that_other_versions_made_are_said(tmp_path):
    write_frames(tmp_path / "a.xyz", [labelled(engine_version="tblite 0.0.1")])
    summary = run_labelling([tmp_path / "a.xyz"], tmp_path / "out.xyz")
    assert summary.kept == 1 and "made by tblite 0.0.1, not tblite" in summary.note


def test_parsl_refuses_before_it_starts(tmp_path):
    pytest.importorskip("parsl", reason="needs Parsl: pip install '.[cluster]'")
    pytest.importorskip("yaml", reason="needs PyYAML: pip install '.[cluster]'")
    write_frames(tmp_path / "a.xyz", [labelled(method="GFN1-xTB")])
    (tmp_path / "cluster.yaml").write_text("provider: local\n")
    with pytest.raises(OptionsError, match="GFN1-xTB there"):
        run_labelling([tmp_path / "a.xyz"], tmp_path / "out.xyz", parsl=tmp_path / "cluster.yaml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.xyz", "cluster.yaml"]


def test_a_journal_of_another_method_or_version_is_not_continued(tmp_path, monkeypatch):
    write_frames(tmp_path / "a.xyz", [molecule("H2O")])
    sources = Inputs.open([tmp_path / "a.xyz"])
    path = tmp_path / "journal"
    Journal(path, {"out_existed": False, "run": identity(sources, LabelSettings())}).close()
    with pytest.raises(OptionsError, match="made by: .*GFN2-xTB.* then, .*GFN1-xTB.* now"):
        Journal(path, {"out_existed": False, "run": identity(sources, LabelSettings("gfn1-xtb"))})
    monkeypatch.setattr("hint_plugin.potentials.engines.xtb.version", lambda name: "9.9")
    with pytest.raises(OptionsError, match=r"tblite 9\.9.* now"):
        Journal(path, {"out_existed": False, "run": identity(sources, LabelSettings())})


def test_a_model_is_known_by_its_hash_and_nothing_is_loaded():
    from hint_plugin.potentials.registry import settings_of

    asked = settings_of("model", {"model": "alphanet-gfn2"}, "full")
    found = asked | {"dtype": "float64", "head": "Default", "label_noise": 0.0}
    assert level_differences(found, asked | {"dtype": None}, hessian=True) == []
    [said] = level_differences(found | {"model_sha256": "0"}, asked, hessian=True)
    assert said.startswith("model_sha256: 0 there")


@pytest.mark.parametrize("verb", ["hessian", "optimize"])
def test_other_verbs_leave_labels_of_their_own_geometry_and_method_alone(tmp_path, verb):
    """What `hint hessian` and `hint optimize` write is told as by `hint label`; labels of before are gone."""
    pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
    write_frames(tmp_path / "a.xyz", [labelled("CO", method="wB97X", note="of before")])
    arguments = [verb, tmp_path / "a.xyz", "-o", tmp_path / "b.xyz", "--engine", "gfn2-xtb"]
    with pytest.raises(SystemExit) as stop:
        app.main([*map(str, arguments)])
    assert not stop.value.code
    [atoms] = read_frames(tmp_path / "b.xyz")
    assert atoms.info["REF_energy"] < 0 and "hint_note" not in atoms.info
    assert (atoms.info["hint_method"], atoms.info["hint_charge"]) == ("GFN2-xTB", 0)
    assert (read_label(atoms) is not None) == (verb == "hessian")
    settings = LabelSettings() if verb == "hessian" else E_FORCES
    assert run_labelling([tmp_path / "b.xyz"], tmp_path / "c.xyz", settings).kept == 1


def test_what_looks_like_labels_under_other_names_is_said(tmp_path):
    atoms = molecule("H2O")
    atoms.info["ref_energy"] = -1.0
    write_frames(tmp_path / "a.xyz", [atoms, atoms])
    plan = make_plan(Inputs((tmp_path / "a.xyz",), None, None), E_FORCES)
    assert "no REF_energy; 'ref_energy' is there and is ignored" in plan.warnings[0]
    assert "(2 frames, this is the first)" in plan.warnings[0]


def test_what_is_recorded_has_no_prefix_and_no_numpy():
    assert recorded({"hint_step": np.float64(0.1), "other": 1}) == {"step": 0.1}
