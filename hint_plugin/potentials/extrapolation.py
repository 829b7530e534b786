"""Which structures of a run are outside of what its model was trained on: counted, and told once.

A model gives a number for every structure. `TrainingDomainWarning` tells of the first that is outside, to who
computes in Python. A run over many structures tells how many there were, and which is the first; in its table
and in its JSON. What is not known (engines, checkpoints, artifacts without a training set) is not counted.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.artifact.domain import TrainingDomainWarning

KEY = "outside_training"
"""In rows and frames: the clause, where a structure is outside."""
_WAYS = ((), ("potential",), ("engine", "potential"), ("potential", "engine", "potential"))


def outside_training(potential: Any, atoms: Atoms, forces: NDArray | None = None) -> str:
    """What of a structure is outside of the training of whatever computes, as a clause; "" if nothing is.

    Args:
        potential: an ASE calculator, an engine, a potential, or an artifact's; of others nothing is known.
        atoms: the structure.
        forces: [N, 3], eV/A; None: they are not compared.
    """
    for way in _WAYS:
        found = potential
        for name in way:
            found = getattr(found, name, None)
        ask = getattr(found, KEY, None)
        if callable(ask):
            return str(ask(atoms, forces))
    return ""


def in_one_sentence(
    outside: Iterable[tuple[str, str]], total: int, what: str = "structures", of: str = "the model"
) -> str:
    """What is said once of a run; "" if all are inside.

    Args:
        outside: (name, clause) of those that are outside, in order.
        total: how many there were.
        what: they are called.
        of: what computes is called.
    """
    found = list(outside)
    if not found:
        return ""
    name, clause = found[0]
    first = f"{name}: {clause}" if len(found) == 1 else f"the first is {name}: {clause}"
    return (
        f"{len(found)} of {total} {what} are outside of what {of} was trained on, and their numbers are "
        f"extrapolation ({first})"
    )


@contextmanager
def told_by_the_run() -> Iterator[None]:
    """Within the block no `TrainingDomainWarning` is shown: the run tells of each structure itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingDomainWarning)
        yield
