"""The faults that the mutation tool plants, and that it sees whether tests find them."""

from __future__ import annotations

import json
import signal
import textwrap
import time

import mutant_child
import mutation
import pytest
from mutants import mutants


def faults(source: str) -> list[tuple[str, str]]:
    return [(m.before, m.after) for m in mutants("m.py", textwrap.dedent(source))]


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("x = a < b", [("a < b", "(a >= b)")]),
        ("x = len(a) < b", [("len(a) < b", "(len(a) >= b)"), ("len(a) < b", "(len(a) <= b)")]),
        ("x = a / b", [("a / b", "(a * b)")]),
        ("x = -a", [("-a", "(a)")]),
        ("x = 0.5", [("0.5", "1.0")]),
        ("x = 3", [("3", "4")]),
        ("x = True", [("True", "False")]),
        ("x = a or b", [("a or b", "(a and b)")]),
        ("x = np.sqrt(a)", [("np.sqrt(a)", "(a)")]),
        ("x = a.sqrt()", [("a.sqrt()", "(a)")]),
        ("x = min(a, b)", [("min(a, b)", "(max(a, b))")]),
        ("x = a.mean()", [("a.mean()", "(a.sum())")]),
        ("x = a if b else c", [("b", "(not b)")]),
        ("def f(x):\n    return x", [("return x", "return None")]),
        ("def f(x=2):\n    x += y", [("2", "3"), ("x += y", "pass")]),
        ("for x in y:\n    break", [("break", "continue")]),
        ("f(x)", [("f(x)", "pass")]),
        # what only people read
        ("x = 'text' + f'{2:.3f}'", []),
        ("raise ValueError(1 + 2)", []),
        ("x: int | None", []),
        ("assert x > 0", []),
        ("def __str__(self):\n    return 'a'", []),
    ],
)
def test_faults(source, wanted):
    assert faults(source) == wanted


def test_a_mutant_is_the_module_with_one_fault():
    source = "# ä\ndef f(x):\n    y = 'ö' if x else (1 +\n        2.5)\n    return y\n"
    found = {m.after: m for m in mutants("m.py", source)}
    assert found["5.0"].source == source.replace("2.5", "5.0")
    assert found["return None"].source == source.replace("return y", "return None")
    assert found["return None"].lines == (5, 5) and found["return None"].in_body
    assert len({m.key for m in found.values()}) == len(found)


def test_keys_do_not_depend_on_lines():
    source = "def f(x):\n    return x + 1\n"
    assert [m.key for m in mutants("m.py", source)] == [m.key for m in mutants("m.py", "\n\n" + source)]


@pytest.mark.parametrize(
    "test", ["assert area(2.0) == 4.0", pytest.param("assert area(1.0) == 1.0", marks=pytest.mark.long)]
)
def test_a_fault_is_found_by_a_test_that_can_see_it(tmp_path, monkeypatch, test):
    """In a package of its own: x ** 2 against x * 2 is seen by 1 and not by 2."""
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "__init__.py").write_text("")
    (tmp_path / "toy" / "shapes.py").write_text(
        "SIDES = 4\n\n\ndef area(x):\n    return x**2\n\n\ndef other():\n    return 0\n"
    )
    (tmp_path / "test_toy.py").write_text(
        f"from toy.shapes import SIDES, area\n\n\ndef test_it():\n    {test}\n\n\n"
        "def test_constant():\n    assert SIDES == 4\n"
    )
    for module in (mutation, mutant_child):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    options = [*mutant_child.PYTEST[:-1], str(tmp_path), "-c", "/dev/null"]
    monkeypatch.setattr(mutant_child, "PYTEST", options)
    monkeypatch.setattr(mutation, "GROUPS", {"toy": (["toy/shapes.py"], ["test_toy.py"])})
    monkeypatch.setattr(mutant_child, "OWN", ("toy", "test_toy"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    reach = mutation.reached("toy", tmp_path)
    verdicts = {m.after: mutation.try_one(m, reach)["verdict"] for m in mutation.all_mutants("toy")}
    assert verdicts["(x * 2)"] == ("killed" if "1.0" in test else "survived")
    assert verdicts["5"] == "killed"  # by the test that runs no line of the module
    assert verdicts["3"] == ("survived" if "1.0" in test else "killed")
    assert verdicts["return None"] in ("killed", "not reached") and verdicts["1"] == "not reached"


def test_a_group_whose_tests_do_not_run_is_an_error(tmp_path, monkeypatch):
    """As where they cannot be collected: no fault of the group would count as reached."""
    kept = tmp_path / "toy-reach.json"
    monkeypatch.setattr(mutation, "GROUPS", {"toy": ([], [])})
    nothing = '{"seconds": {}, "failed": []}'
    monkeypatch.setattr(mutation, "in_child", lambda work, seconds: kept.write_text(nothing))
    with pytest.raises(SystemExit, match="toy: no test ran"):
        mutation.reached("toy", tmp_path)
    assert not kept.exists()


def spin(folder: str) -> int:
    while True:
        pass


def test_only_processor_time_counts():
    assert mutant_child.in_child(lambda folder: 4, seconds=5) == 4
    assert mutant_child.in_child(spin, seconds=0.5) in (
        -signal.SIGXCPU,
        None,
    )  # None where it hardly got to run
    start = time.monotonic()
    assert mutant_child.in_child(lambda folder: time.sleep(60) or 0, seconds=0.1) is None
    assert time.monotonic() - start < 50


def test_equivalent_mutants_are_still_there():
    entries = json.loads(mutation.EQUIVALENT.read_text())
    there = {m.key: m for group in mutation.GROUPS for m in mutation.all_mutants(group)}
    for entry in entries:
        assert entry["key"] in there, f"{entry}: the code has changed; remove or renew the entry"
        assert entry["why"]
