"""Whether VASP's electronic steps have converged: energies and forces of steps that have not are no labels.

VASP goes on behind NELM electronic steps, and says so in the output alone. A step counts as converged where
it took fewer, or where its last change of the energy is below EDIFF.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from hint_plugin.errors import DataError

_XML = re.compile(
    r'<(calculation)>|<(/calculation)>|<(scstep)>|name="(e_fr_energy|NELM|EDIFF)">\s*([-+.\deE]+)\s*</i>'
)
_ITERATION = re.compile(r"Iteration\s+(\d+)\(\s*(\d+)\)")
_NELM = re.compile(r"\bNELM\s*=\s*(\d+)")


def check_xml(path: Path, lines: Iterable[str]) -> None:
    """Of vasprun.xml.

    Raises:
        DataError: the electronic steps of a structure have not converged.
    """
    limit, tolerance, number = 0, 0.0, -1
    steps, energies, inside = 0, [0.0], False
    for line in lines:
        for start, end, scf, name, value in _XML.findall(line):
            if start:
                steps, energies, inside, number = 0, [], True, number + 1
            elif scf:
                steps += 1
                energies = energies[-1:]
            elif name == "NELM":
                limit = int(float(value))
            elif name == "EDIFF":
                tolerance = float(value)
            elif name and inside and steps:
                energies = [*energies[: min(steps, 2) - 1], float(value)]
            elif end:
                inside = False
                changed = len(energies) < 2 or abs(energies[1] - energies[0]) > tolerance
                if limit and steps >= limit and changed:
                    raise _not_converged(path, number, limit)


def check_outcar(path: Path, lines: Iterable[str]) -> None:
    """Of OUTCAR. Raises DataError as `check_xml`."""
    limit = number = last = 0
    reached = True
    for line in lines:
        if found := _ITERATION.search(line):
            if int(found[1]) != number and limit and last >= limit and not reached:
                raise _not_converged(path, number - 1, limit)
            number, last, reached = int(found[1]), int(found[2]), False
        elif "EDIFF is reached" in line:
            reached = True
        elif "EDIFF was not reached" in line:
            raise _not_converged(path, number - 1, limit)
        elif not limit and (found := _NELM.search(line)):
            limit = int(found[1])
    if limit and last >= limit and not reached:
        raise _not_converged(path, number - 1, limit)


def _not_converged(path: Path, number: int, limit: int) -> DataError:
    return DataError(
        f"{path}, frame {number}: the electronic steps have not converged within NELM = {limit}; such "
        "energies and forces are no labels. Raise NELM or change ALGO, and compute it again"
    )
