"""Memory that ran out while a model was at work, told in a sentence: eager, by TorchScript or compiled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from hint_plugin.errors import MemoryRanOutError

WORDS = ("not enough memory", "out of memory", "annot allocate memory", "can't allocate memory", "bad_alloc")
"""Of torch's allocators for CPU and GPU, the C library and C++; as in lammps_pair/artifact.cpp."""


@contextmanager
def memory_told(device: str | torch.device, sizes: Sequence[int], what: str = "") -> Iterator[None]:
    """Around a call of a model.

    TorchScript's errors have the reason behind a long trace; AOTInductor's before a list of stack frames.

    Args:
        device: where the model runs.
        sizes: numbers of atoms of the structures.
        what: is asked for of them, as "the Hessian of ".

    Raises:
        MemoryRanOutError: memory ran out. Other errors stay what they are.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _ran_out(error):
            raise
        several = f" in {len(sizes)} structures" if len(sizes) > 1 else ""
        raise MemoryRanOutError(
            f"memory ran out on {device} for {what}{sum(sizes)} atoms{several} ({_reason(error)}); use a "
            "machine or a GPU with more memory, a model exported with --dtype float32, smaller batches, or a "
            "smaller structure"
        ) from error


def _ran_out(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error) for words in WORDS)


def _reason(error: BaseException) -> str:
    """The line that says it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if any(words in line for words in WORDS)]
    return (told or lines or [type(error).__name__])[0].removeprefix("RuntimeError: ")
