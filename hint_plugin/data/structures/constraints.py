"""Constraints of ASE that a structure brings with it (`move_mask`, selective dynamics): they hide forces.

ASE's `get_forces()` gives zeros for fixed atoms, so that any structure of fixed atoms looks like a minimum.
HINT has no fixed atoms: labels are of the forces without constraints, and what optimises or looks for
stationary points refuses constraints.
"""

from __future__ import annotations

from ase import Atoms


def constraints_of(atoms: Atoms) -> str:
    """What is wrong with a structure that is constrained, and what to do; "" of one that is free."""
    kinds: dict[str, int] = {}
    for one in atoms.constraints:
        count = len(getattr(one, "index", [0]))
        if count:  # a `move_mask` that lets all atoms move is none
            kinds[type(one).__name__] = kinds.get(type(one).__name__, 0) + count
    if not kinds:
        return ""
    told = " and ".join(f"{name} of {count} atom{'s' * (count != 1)}" for name, count in kinds.items())
    return (
        f"constraints ({told}), which would hide forces; wanted a structure whose atoms are free: remove the "
        "column move_mask of its file, or atoms.set_constraint()"
    )
