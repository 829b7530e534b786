"""Sets of reactions: reading, resuming, counting, comparing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
pytest.importorskip("geodesic_interpolate", reason="needs geodesic-interpolate: '.[reactions]'")

from reaction_runs import hcn, hint

from hint_plugin.data import write_frames
from hint_plugin.data.provenance import run_provenance
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.science.molecules import Stationary
from hint_plugin.science.reactions import Reaction, ReactionSettings
from hint_plugin.science.reactions.many_reactions import (
    computed_by,
    identity_of,
    plot_funnel,
    prepare,
    summary,
    write_index,
)
from hint_plugin.science.reactions.model_comparison import compare
from hint_plugin.science.reactions.reaction_files import write_report
from hint_plugin.science.reactions.sets import Pair, read_set
from hint_plugin.science.reactions.success_rates import funnel, mcnemar, passed, wilson


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
    from hint_plugin.potentials.structure_checks import charge_and_multiplicity

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
    for n in range(1, 1001):  # by sums alone, 0 of n and n of n are outside for some n, by 1e-16
        for k in {0, 1, n // 3, n - 1, n}:
            low, high = wilson(k, n)
            assert 0 <= low <= k / n <= high <= 1
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


@pytest.mark.parametrize("count", [11, 12, 960])
def test_a_set_that_passes_everything_is_drawn(tmp_path, count):
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install '.[plot]'")
    assert plot_funnel(tmp_path / "funnel.png", funnel([result()] * count))


def test_a_figure_that_fails_costs_no_result(tmp_path, monkeypatch, caplog):
    """Neither those of a reaction nor those of the set; it is named, and none from before stays."""

    def broken(width, height):
        raise ValueError("'xerr' must not contain negative values")

    for module in ("reaction_files", "many_reactions"):
        monkeypatch.setattr(f"hint_plugin.science.reactions.{module}.new_figure", broken)
    (tmp_path / "funnel.png").write_bytes(b"of an earlier run")
    found = Reaction(guess_path=[hcn()[0]], guess_energies=[0.0])
    found.reactant = Stationary(hcn()[0], "minimum", True, 1, 0.0, 0.0, None, None)
    found.fail("no saddle")
    write_report(tmp_path / "a", found, ReactionSettings(), "a")
    assert (tmp_path / "a" / "reaction.json").is_file() and (tmp_path / "a" / "report.html").is_file()
    counted = summary(tmp_path)
    write_index(tmp_path, counted, "a set")
    assert (tmp_path / "summary.json").is_file() and "0 of 1" in (tmp_path / "index.html").read_text()
    assert not (tmp_path / "funnel.png").exists()
    for name in ("profile.png", "funnel.png"):
        assert any(name in text and "'xerr'" in text for text in caplog.messages)


def test_comparison_and_other_settings(tmp_path):
    outcomes = {"x": (1.0, 1.2, True, True), "y": (1.0, 1.0, True, False), "z": (1.0, 1.0, False, False)}
    for name, (a, b, first, second) in outcomes.items():
        for folder, barrier, good in (("one", a, first), ("two", b, second)):
            (tmp_path / folder / name).mkdir(parents=True)
            content = result("intended" if good else "unintended", barrier=barrier)
            (tmp_path / folder / name / "reaction.json").write_text(json.dumps(content))
            for end, atoms in zip(("reactant", "product"), hcn(), strict=True):
                write_frames(tmp_path / folder / name / f"{end}.xyz", [atoms])
    found = compare(tmp_path / "one", tmp_path / "two")
    assert (found["both"], found["only_first"], found["only_second"], found["neither"]) == (1, 1, 0, 1)
    assert found["barrier_mae"] == pytest.approx(0.2)
    prepare(tmp_path / "new", [], {"fmax": 0.05})
    prepare(tmp_path / "new", [], {"fmax": 0.01})  # what was stopped before its first result binds nobody
    prepare(tmp_path / "one", [], {"fmax": 0.01})
    with pytest.raises(OptionsError, match=r"fmax 0.01 -> 0.02"):
        prepare(tmp_path / "one", [], {"fmax": 0.02})
    with pytest.raises(OptionsError, match=r"search sella -> paper"):
        prepare(tmp_path / "one", [], {"fmax": 0.01, "search": "paper"})
    prepare(tmp_path / "one", [], {"fmax": 0.01, "search": "sella"})  # begun when there was no choice
    with pytest.raises(DataError, match="no results"):
        compare(tmp_path / "one", tmp_path)


def test_results_of_other_molecules_or_another_potential_are_not_taken(tmp_path):
    """The same names do not say the same reactions, nor the same path the same model."""
    pair = Pair("a", *hcn())
    (tmp_path / "a").mkdir()
    stored = json.dumps(result() | {"inputs": identity_of(pair)})
    (tmp_path / "a" / "reaction.json").write_text(stored)
    begun = {"fmax": 0.01, "search": "sella"}
    settings = begun | {"computed by": "engine x, model m.pt 0123"}
    assert prepare(tmp_path, [pair], begun) == ([], 1)
    assert prepare(tmp_path, [pair], settings) == ([], 1)  # begun by a HINT that did not say it
    with pytest.raises(
        OptionsError, match=r"computed by engine x, model m.pt 0123 -> engine x, model m.pt 4567"
    ):
        prepare(tmp_path, [pair], settings | {"computed by": "engine x, model m.pt 4567"})
    moved, ion = (Pair("a", *(atoms.copy() for atoms in hcn())) for _ in range(2))
    moved.product.positions[0, 0] += 0.1
    ion.reactant.info["total_charge"] = ion.product.info["total_charge"] = 1
    for other in (moved, ion):
        with pytest.raises(OptionsError, match="other molecules.* under the names a. Take another folder"):
            prepare(tmp_path, [other], settings)
    model = tmp_path / "m.pt"
    model.write_bytes(b"one")
    made = computed_by(run_provenance([], model))
    model.write_bytes(b"two")
    assert made != computed_by(run_provenance([], model))


def test_reactions_that_have_left_the_set_do_not_count(tmp_path):
    for name in ("a", "b", "c"):
        lost = Reaction()
        lost.fail("the worker process died")
        write_report(tmp_path / name, lost, ReactionSettings(), name)
    found = summary(tmp_path, {"a", "b"})
    assert found["left_out"] == ["c"] and found["stopped_at"] == {"input": 2}
    assert {row["total"] for row in found["funnel"]} == {2}
    write_index(tmp_path, found, "a set")
    assert 'href="c/report.html"' not in (tmp_path / "index.html").read_text()
    assert compare(tmp_path, tmp_path, only={"a"})["reactions"] == 1


def done(folder, reactant, product, barrier, **more) -> None:
    """A reaction as `hint reactions` leaves it."""
    folder.mkdir(parents=True)
    (folder / "reaction.json").write_text(json.dumps(result(barrier=barrier) | more))
    for name, atoms in (("reactant", reactant), ("product", product)):
        write_frames(folder / f"{name}.xyz", [atoms])


def test_only_same_reactions_are_compared(tmp_path):
    """Others with the same name: other inputs, other molecules once they are optimised, and a collapse."""
    r, p = hcn()
    apart = Atoms("HCN", [(0, 0, -3.0), (0, 0, 0), (0, 0, 1.15)])
    one, two = tmp_path / "one", tmp_path / "two"
    fallen = {"relaxed_ends_keep_bonds": [True, False]}
    cases = {  # ends and barriers, in one and in two
        "same": ((r, p, 3.0), (r, p, 3.1), {}),
        "other inputs": ((r, p, 3.0), (r, p, 1.0), {"inputs": "other"}),
        "other product": ((r, p, 3.0), (r, apart, 5.5), {}),
        "fallen back": ((r, r, 0.03), (r, r, 0.8), fallen),
    }
    for name, (first, second, more) in cases.items():
        done(one / name, *first, **{"inputs": "hash"} | {k: v for k, v in more.items() if k != "inputs"})
        done(two / name, *second, **{"inputs": "hash"} | more)
    found = compare(one, two)
    assert (found["reactions"], found["both"], found["other_inputs"]) == (3, 3, ["other inputs"])
    assert found["other_reaction"] == ["fallen back", "other product"] and found["barriers_compared"] == 1
    assert found["barrier_mae"] == pytest.approx(0.1)
    for folder, charge in ((one, 0), (two, 1)):
        (folder / "settings.json").write_text(json.dumps({"charge": charge, "spin": None}))
    with pytest.raises(DataError, match="--charge 0, .* with 1: these are other molecules"):
        compare(one, two)


@pytest.mark.slow
def test_a_set_is_done_once_and_failures_are_results(tmp_path, capfd):
    far = Atoms("HCN", np.array([(0, 0, -1.06), (0, 0, 0), (0, 0, 1.15)]))
    far.numbers = [1, 7, 6]
    charged = [atoms.copy() for atoms in hcn()]
    for atoms in charged:
        atoms.info |= {"charge": 0, "spin": 2}
    write_frames(tmp_path / "set.xyz", [*hcn(), hcn()[0], far, *charged])
    command = ["reactions", str(tmp_path / "set.xyz"), "-o", str(tmp_path / "out"), "--engine", "gfn2-xtb"]
    command += ["--guesses", "1"]
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


def test_a_search_that_is_stopped_says_where_and_leaves_nothing(tmp_path, capfd, monkeypatch):
    from hint_plugin.science.reactions import run

    def stopped(reactant, product, calculator, settings, say):
        say("reactant: step 3")
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "find_reaction", stopped)
    for name, atoms in zip("rp", hcn(), strict=True):
        write_frames(tmp_path / f"{name}.xyz", [atoms])
    ends = (tmp_path / "r.xyz", tmp_path / "p.xyz", "-o", tmp_path / "out")
    code, text = hint(
        capfd, "reaction", *ends, "--engine", "calculator", "-e", "calculator=ase.calculators.emt:EMT"
    )
    assert code == 130 and "stopped at: reactant: step 3. A search that is stopped leaves no files" in text
    assert "Traceback" not in text and not (tmp_path / "out").exists()
