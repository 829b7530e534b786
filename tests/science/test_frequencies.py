"""Frequencies of `hint vibrations` against other programs on the same surface, to 1 cm^-1."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write

pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")

from reaction_runs import hint

from hint_plugin.data import write_frames
from hint_plugin.labelling import EngineCalculator, make_engine
from hint_plugin.science.molecules import optimize

XTB = shutil.which("xtb")
# No linear ones: Debian's xtb 6.5.1 aborts in `--hess` of CO2 and HCN. PySCF has those (test_molecules).
CASES = {
    "acetaldehyde": (molecule("CH3CHO"), 0, 1, False),
    "ring": (molecule("cyclobutane"), 0, 1, False),
    "radical": (molecule("NH2"), 0, 2, False),
    "cation": (
        Atoms("OH3", [(0, 0, 0.1), (0.94, 0, -0.2), (-0.47, 0.81, -0.2), (-0.47, -0.81, -0.2)]),
        1,
        1,
        False,
    ),
    "saddle": (Atoms("HCN", [(0.55, 1.05, 0), (0, 0, 0), (1.19, 0, 0)]), 0, 1, True),
}


def by_xtb(folder: Path, atoms: Atoms, charge: int, multiplicity: int) -> np.ndarray:
    """Frequencies of `xtb --hess` that are not those of translations and rotations, ascending, cm^-1."""
    write(folder / "in.xyz", atoms, format="xyz", fmt="%16.10f")
    command = [str(XTB), "in.xyz", "--gfn", "2", "--hess", "--acc", "0.001", "--norestart"]
    command += ["--chrg", str(charge), "--uhf", str(multiplicity - 1)]
    subprocess.run(
        command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, capture_output=True
    )
    lines = (folder / "vibspectrum").read_text().splitlines()
    words = [line.split() for line in lines if line.endswith(("YES", "NO", "-"))]
    numbers = np.array([float(word[-4]) for word in words])
    return np.sort(numbers[abs(numbers) > 1])


@pytest.mark.skipif(XTB is None, reason="the xtb program is not installed (Debian: apt install xtb)")
@pytest.mark.parametrize("case", CASES)
def test_against_xtb(case, gfn2, tmp_path):
    atoms, charge, multiplicity, saddle = CASES[case]
    atoms = atoms.copy()
    atoms.info |= {"charge": charge, "spin": multiplicity}
    atoms.calc = gfn2
    found = optimize(atoms, saddle=saddle, fmax=1e-3)
    theirs = by_xtb(tmp_path, found.atoms, charge, multiplicity)
    assert len(theirs) == len(found.modes.frequencies)
    assert found.modes.frequencies == pytest.approx(theirs, abs=1.0)


def test_against_pyscfs_own_analysis(tmp_path, capfd):
    """Water, Hartree-Fock in STO-3G: the command, and PySCF from its own input to its own frequencies."""
    pytest.importorskip("pyscf", reason="needs PySCF: pip install '.[dft]'")
    from pyscf import gto, scf
    from pyscf.hessian import thermo

    atoms = molecule("H2O")
    atoms.calc = EngineCalculator(make_engine("pyscf", xc="hf", basis="sto-3g"))
    there = optimize(atoms, fmax=1e-3).atoms
    write_frames(tmp_path / "in.xyz", [there])
    options = ["--engine", "pyscf", "-e", "xc=hf", "-e", "basis=sto-3g"]
    code, text = hint(capfd, "vibrations", tmp_path / "in.xyz", "-o", tmp_path / "out", *options)
    assert code == 0, text
    found = json.loads((tmp_path / "out" / "vibrations.json").read_text())
    ours = found["results"][0]["frequencies"]
    mol = gto.M(
        atom=list(zip(there.get_chemical_symbols(), there.positions, strict=True)), basis="sto-3g", verbose=0
    )
    field = scf.RHF(mol).run(conv_tol=1e-12)
    theirs = thermo.harmonic_analysis(mol, field.Hessian().kernel())["freq_wavenumber"]
    assert ours == pytest.approx(theirs.tolist(), abs=1.0)
