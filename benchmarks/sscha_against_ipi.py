"""Self-consistent phonons of palladium hydride by `hint sscha` and by i-PI's own `<motion mode='scp'>`.

    python benchmarks/sscha_against_ipi.py [--temperature 300] [--configs 1000] [--samples 400]

The potential of pdh_eam.py in a 2x2x2 supercell. i-PI has no symmetry: its force constants of each
iteration are averaged over the space group here, so that the same modes can be compared. Its samples are
fewer, and its iterations scatter by some percent; the two programs share nothing but the potential.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ase.io
import numpy as np
from ase import units
from ase.calculators.socketio import SocketClient
from rich.console import Console
from rich.table import Table

from hint_plugin.science.anharmonic import (
    Evaluator,
    ForceConstants,
    SschaSettings,
    begin,
    from_hessian,
    from_phonopy,
    relax,
)
from hint_plugin.science.anharmonic.crystal_symmetry import SpaceGroup
from hint_plugin.science.phonons import harmonic_phonons
from ipi_driver.phonons import start_text, upright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples" / "pdh"))
ATOMIC = units.Hartree / units.Bohr**2
MODES = {"Gamma": (0, 3), "L, low": (1, 3), "L, top": (1, 5), "X, low": (3, 3), "X, top": (3, 5)}


def settings_of_ipi(
    folder: Path, start: ForceConstants, temperature: float, samples: int, count: int
) -> None:
    """scp.xml of configs/ipi for this crystal, its structure and dynamical matrix."""
    from ipi.utils.units import Elements

    supercell = start.supercell()
    masses = np.repeat([float(Elements.mass(symbol)) for symbol in supercell.symbols], 3)
    turn = rotation(start)
    matrix = turn @ start.matrix() @ turn.T / ATOMIC / np.sqrt(np.outer(masses, masses))
    np.savetxt(folder / "dynmat.txt", matrix)
    (folder / "start.xyz").write_text(start_text(upright(supercell)))
    text = (ROOT / "configs" / "ipi" / "scp.xml").read_text()
    for old, new in (
        ("(21, 21)", f"{matrix.shape}"),
        ("<asr> poly", "<asr> crystal"),
        ("<address> hint ", f"<address> {folder.name} "),
        ("<max_steps> 200 ", f"<max_steps> {samples} "),
        ("<max_iter> 4 ", f"<max_iter> {count} "),
        ("<total_steps> 1000 ", f"<total_steps> {samples * count + 100} "),
        ("<temperature units='kelvin'> 300 ", f"<temperature units='kelvin'> {temperature} "),
    ):
        if old not in text:
            raise SystemExit(f"configs/ipi/scp.xml has no '{old}'")
        text = text.replace(old, new)
    (folder / "scp.xml").write_text(text)


def rotation(start: ForceConstants) -> np.ndarray:
    """Of all atoms into the frame in which i-PI wants the cell."""
    _, turn = start.supercell().cell.standard_form()
    return np.kron(np.eye(len(start.supercell())), turn)


def by_ipi(start: ForceConstants, calculator: Any, options: argparse.Namespace) -> list[ForceConstants]:
    """The force constants of all iterations but the first, which is the start."""
    with tempfile.TemporaryDirectory(prefix="hint_scp_") as name:
        folder = Path(name)
        settings_of_ipi(folder, start, options.temperature, options.samples, options.iterations)
        program = Path(sys.executable).with_name("i-pi")
        with open(folder / "log", "w") as log:
            server = subprocess.Popen([program, "scp.xml"], cwd=folder, stdout=log, stderr=log)
        atoms = upright(start.supercell())
        atoms.calc = calculator
        socket = Path(f"/tmp/ipi_{folder.name}")
        while not socket.exists() and server.poll() is None:
            threading.Event().wait(0.2)
        SocketClient(unixsocket=folder.name).run(atoms, use_stress=True)
        server.wait(timeout=60)
        turn = rotation(start)
        files = [folder / f"scp.sc.K.{k}" for k in range(1, options.iterations)]
        matrices = [turn.T @ np.loadtxt(file) @ turn * ATOMIC for file in files if file.exists()]
    group = SpaceGroup(start.atoms, start.repeats)
    found = [from_hessian(start.atoms, start.repeats, matrix) for matrix in matrices]
    return [one.with_blocks(group.symmetric(one.blocks)) for one in found]


def main() -> None:
    """Parse, run both, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--temperature", type=float, default=300.0)
    parser.add_argument("--configs", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--iterations", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import pdh_eam

    calculator = pdh_eam.calculator()
    atoms = ase.io.read(ROOT / "examples" / "pdh" / "pdh.xyz")
    start = from_phonopy(harmonic_phonons(atoms, calculator, 2), (2, 2, 2))
    settings = SschaSettings(temperature=options.temperature, configurations=options.configs)
    state = relax(begin(start, settings), Evaluator(calculator), settings)
    theirs = by_ipi(start, pdh_eam.calculator(), options)
    columns = {"harmonic": start, "hint sscha": state.constants}
    columns |= {f"i-PI, iteration {k}": found for k, found in enumerate(theirs, start=1)}
    table = Table(title=f"PdH at {options.temperature:g} K, cm^-1")
    table.add_column("mode")
    for name in columns:
        table.add_column(name, justify="right")
    frequencies = [constants.frequencies() for constants in columns.values()]
    for name, (q, mode) in MODES.items():
        table.add_row(name, *(f"{values[q, mode]:.0f}" for values in frequencies))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
