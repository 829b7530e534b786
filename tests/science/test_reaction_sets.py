"""Sets of reactions: reading, resuming, counting, comparing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

pytest.importorskip("tblite", reason="needs tblite: pip install 'hint-mlip[label]'")
pytest.importorskip("sella", reason="needs Sella: pip install 'hint-mlip[reactions]'")
pytest.importorskip("geodesic_interpolate", reason="needs geodesic-interpolate: 'hint-mlip[reactions]'")

from reaction_runs import hcn, hint

from hint_plugin.data import write_frames
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.reactions import Reaction, ReactionSettings
from hint_plugin.science.reactions.campaign import compare, prepare, summary, write_index
from hint_plugin.science.reactions.report import write_report
from hint_plugin.science.reactions.sets import read_set
from hint_plugin.science.reactions.statistics import funnel, mcnemar, passed, wilson


def result(verdict="intended", stage="done", barrier=1.0, kept=(True, True)) -> dict:
    barriers = {} if barrier is None else {"forward": barrier}
    return {"verdict": verdict, "stage": stage, "barriers": barriers, "relaxed_ends_keep_bonds": list(kept)}


def test_folders_and_pairs(tmp_path):
    for name, files in {"b": ("R.xyz", "P.xyz"), "a": ("reactant.xyz", "product.xyz")}.items():
        (tmp_path / "set" / name).mkdir(parents=True)
        for file, atoms in zip(files, hcn(), strict=True):
            write_frames(tmp_path / "set" / name / file, [atoms])
    (tmp_path / "set" / "c").mkdir()
    write_frames(tmp_path / "set" / "c" / "initial.xyz", list(hcn()))
    (tmp_path / "set" / "c" / "chg").write_text("-1\n")
    (tmp_path / "set" / "notes").mkdir()
    found = read_set(tmp_path / "set")
    assert [p.name for p in found] == ["a", "b", "c"]
    assert found[2].reactant.info["charge"] == found[2].product.info["charge"] == -1
    write_frames(tmp_path / "pairs.xyz", list(hcn()) * 12)
    assert [p.name for p in read_set(tmp_path / "pairs.xyz")][-1] == "pairs-11"
    write_frames(tmp_path / "odd.xyz", list(hcn()[:1]))
    (tmp_path / "set" / "c" / "chg").write_text("minus one")
    for path, message in (
        ("odd.xyz", "1 frames"),
        ("none", "no such"),
        ("set", "'minus one'"),
        ("set/notes", "no"),
    ):
        with pytest.raises(DataError, match=message):
            read_set(tmp_path / path)


def test_a_folder_of_files_is_a_set_as_reactbench_has_them(tmp_path):
    for number in (10, 2, 1):
        write_frames(tmp_path / f"rxn{number}.xyz", list(hcn()))
    found = read_set(tmp_path)
    assert [p.name for p in found] == ["rxn1", "rxn2", "rxn10"]
    assert found[0].reactant == hcn()[0] and found[0].product == hcn()[1]
    write_frames(tmp_path / "rxn3.xyz", list(hcn()[:1]))
    with pytest.raises(DataError, match="rxn3.xyz has 1 frames"):
        read_set(tmp_path)


def test_words_of_a_comment_are_no_charge():
    """ASE reads "charge 0, multiplicity 1" as two flags that are true."""
    from hint_plugin.labelling.structures import charge_and_multiplicity

    atoms = molecule("H2O")
    atoms.info |= {"charge": True, "multiplicity": True}
    assert charge_and_multiplicity(atoms, 0, None) == (0, 1)


def test_stages_and_rates():
    results = [
        result(stage="product", barrier=None, verdict="no transition state"),
        result(stage="transition state", barrier=None, verdict="no transition state"),
        result(stage="IRC", verdict="no path"),
        result(verdict="product unintended"),
        result(kept=(True, False)),
        result(),
    ]
    assert [passed(r) for r in results] == [0, 1, 2, 3, 4, 5]
    rows = funnel(results)
    assert [row["count"] for row in rows] == [5, 4, 3, 2, 1]
    assert rows[0]["low"] < rows[0]["rate"] < rows[0]["high"]


def test_wilson_and_mcnemar_against_published_numbers():
    """R. G. Newcombe, Stat. Med. 17, 857 (1998), Table I, method 3."""
    for k, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson(k, n, 1.959964) == pytest.approx((low, high), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)
    assert mcnemar(0, 0) == 1.0 and mcnemar(7, 7) == pytest.approx(1.0)
    assert mcnemar(1, 9) == pytest.approx(2 * (1 + 10) / 1024)


def test_known_saddles_and_the_page_of_a_set(tmp_path):
    for name, far in (("a", 0.1), ("b & c", 0.5)):
        lost = Reaction()
        lost.fail("the worker process died")
        write_report(
            tmp_path / name, lost, ReactionSettings(), name, {"rmsd_to_known_saddle": far, "seconds": 2.0}
        )
    found = summary(tmp_path)
    assert found["known_saddles"] == {"compared": 2, "within_0.2_A": 1, "rmsd": {"a": 0.1, "b & c": 0.5}}
    assert found["stopped_at"] == {"input": 2} and found["median_seconds"] == 2.0
    write_index(tmp_path, found, "a set")
    page = (tmp_path / "index.html").read_text()
    assert 'href="b%20%26%20c/report.html">b &amp; c<' in page and "input: the worker process died" in page
    assert page.count("no transition state") == 2 and "0 of 2" in page


def test_comparison_and_other_settings(tmp_path):
    outcomes = {"x": (1.0, 1.2, True, True), "y": (1.0, 1.0, True, False), "z": (1.0, 1.0, False, False)}
    for name, (a, b, first, second) in outcomes.items():
        for folder, barrier, good in (("one", a, first), ("two", b, second)):
            (tmp_path / folder / name).mkdir(parents=True)
            content = result("intended" if good else "unintended", barrier=barrier)
            (tmp_path / folder / name / "reaction.json").write_text(json.dumps(content))
    found = compare(tmp_path / "one", tmp_path / "two")
    assert (found["both"], found["only_first"], found["only_second"], found["neither"]) == (1, 1, 0, 1)
    assert found["barrier_mae"] == pytest.approx(0.2)
    prepare(tmp_path / "one", [], {"fmax": 0.01})
    with pytest.raises(OptionsError, match=r"fmax 0.01 -> 0.02"):
        prepare(tmp_path / "one", [], {"fmax": 0.02})
    with pytest.raises(OptionsError, match=r"search sella -> paper"):
        prepare(tmp_path / "one", [], {"fmax": 0.01, "search": "paper"})
    prepare(tmp_path / "one", [], {"fmax": 0.01, "search": "sella"})  # begun when there was no choice
    with pytest.raises(DataError, match="no results"):
        compare(tmp_path / "one", tmp_path)


@pytest.mark.slow
def test_a_set_is_done_once_and_failures_are_results(tmp_path, capfd):
    far = Atoms("HCN", np.array([(0, 0, -1.06), (0, 0, 0), (0, 0, 1.15)]))
    far.numbers = [1, 7, 6]
    charged = [atoms.copy() for atoms in hcn()]
    for atoms in charged:
        atoms.info |= {"charge": 0, "spin": 2}
    write_frames(tmp_path / "set.xyz", [*hcn(), hcn()[0], far, *charged])
    command = ["reactions", str(tmp_path / "set.xyz"), "-o", str(tmp_path / "out"), "--engine", "gfn2-xtb"]
    texts = []
    for extra in (["--jobs", "2"], ["--against", str(tmp_path / "out")]):
        code, text = hint(capfd, *command, *extra)
        assert code == 0
        texts.append(text)
    page = (tmp_path / "out" / "index.html").read_text()
    assert all(f'href="set-{k}/report.html"' in page for k in range(3)) and "1 of 3" in page
    assert "3/3" in texts[0] and "set-0: intended" in texts[0] and "1 of 3" in texts[0]
    assert "atom 1 is C in the reactant and N in the product" in texts[0]
    assert "cannot have multiplicity 2" in texts[0]
    assert "3/3" not in texts[1] and "both 1, only this 0" in texts[1]  # nothing was done again
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["verdicts"] == {"intended": 1, "no transition state": 2}
