"""Memory that ran out is told in one sentence, whoever said it and however long."""

from __future__ import annotations

import pytest
from hungry import SAID

from hint_plugin.core.out_of_memory import memory_told
from hint_plugin.errors import MemoryRanOutError


def told(error: BaseException, sizes: list[int], what: str = "", device: str = "cpu") -> str:
    with pytest.raises(MemoryRanOutError) as found, memory_told(device, sizes, what):
        raise error
    assert found.value.__cause__ is error
    return str(found.value)


@pytest.mark.parametrize("kind", SAID)
def test_the_reason_is_in_one_line(kind):
    error = (MemoryError if kind == "C++" else RuntimeError)(SAID[kind])
    text = told(error, [3, 4], "the Hessians of ")
    assert text.startswith("memory ran out on cpu for the Hessians of 7 atoms in 2 structures (")
    assert "--dtype float32, smaller batches, or a smaller structure" in text and "\n" not in text
    assert "frame #0" not in text and "interpreter" not in text
    given = {"CUDA": "Tried to allocate 2.00 GiB", "TorchScript": "240000000000000 bytes"}
    reason = (given | {"AOTInductor": given["TorchScript"]}).get(kind, "bad_alloc")
    assert reason in text


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("a long story\n\n  RuntimeError: not enough memory: 8 bytes  \nits end"),
         "not enough memory: 8 bytes"),
        (RuntimeError("out of memory first\nout of memory second"), "out of memory first"),
        (RuntimeError("Cannot allocate memory"), "Cannot allocate memory"),
        (RuntimeError("cannot allocate memory"), "cannot allocate memory"),
        (MemoryError("\n  Unable to allocate 8 GiB \nfor an array"), "Unable to allocate 8 GiB"),
        (MemoryError(), "MemoryError"),
        (MemoryError("  \n "), "MemoryError"),
    ],
)  # fmt: skip
def test_the_line_that_says_it(error, reason):
    text = told(error, [5], device="cuda:1")
    assert text.startswith(f"memory ran out on cuda:1 for 5 atoms ({reason}); use a machine")


@pytest.mark.parametrize("error", [RuntimeError("sizes do not fit"), ValueError("out of memory")])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as found, memory_told("cpu", [3]):
        raise error
    assert found.value is error


def test_nothing_happens_where_there_is_enough():
    with memory_told("cpu", [3]):
        pass
