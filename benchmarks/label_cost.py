"""What a label costs: seconds for energy and forces, a full Hessian, pairs, and rows, by engine and molecule.

    python benchmarks/label_cost.py [--repeats 3] [--engines gfn2-xtb ...] [--json FILE]

In one process with one thread, the best of the repeats; the time of a Hessian includes its energy and forces,
the engine is made once before. Rows are those of two atoms. Noise is that of the full label. Engines whose
package is missing are left out. PySCF's molecules are smaller: DFT takes minutes where xTB takes a tenth of a
second.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms
from ase.build import molecule
from rich.console import Console
from rich.table import Table

from hint_plugin.errors import MissingDependencyError
from hint_plugin.labelling import Labels, make_engine, make_labels

MOLECULES = {
    "H2O": "H2O",
    "CH3OH": "CH3OH",
    "ethanol": "CH3CH2OH",
    "benzene": "C6H6",
    "isobutane": "isobutane",
}
T1X = {"preset": "transition1x"}
CASES: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "gfn1-xtb, tblite": ("gfn1-xtb", {}, ["ethanol", "benzene", "isobutane"]),
    "gfn1-xtb, xtb": ("gfn1-xtb", {"backend": "xtb"}, ["ethanol", "benzene", "isobutane"]),
    "gfn2-xtb, tblite": ("gfn2-xtb", {}, ["ethanol", "benzene", "isobutane"]),
    "gfn2-xtb, xtb": ("gfn2-xtb", {"backend": "xtb"}, ["ethanol", "benzene", "isobutane"]),
    "pyscf, HF/STO-3G": ("pyscf", {"xc": "hf", "basis": "sto-3g"}, ["H2O", "CH3OH"]),
    "pyscf, wB97X/6-31G(d), grid 3": ("pyscf", {**T1X, "grid_level": 3}, ["H2O", "CH3OH"]),
    "pyscf, wB97X/6-31G(d), grid 4": ("pyscf", T1X, ["H2O"]),
    "the same, differences": ("pyscf", {**T1X, "analytic": False}, ["H2O"]),
}
KINDS: dict[str, dict[str, Any]] = {
    "E + F": {"hessian": "none"},
    "full": {"hessian": "full"},
    "pairs, K = 2": {"hessian": "projected", "n_probes": 2},
    "rows, m = 2": {"hessian": "rows", "row_atoms": [0, 1]},
}


def geometry(name: str) -> Atoms:
    """Not at a minimum."""
    atoms = molecule(MOLECULES[name])
    atoms.rattle(0.03, seed=0)
    return atoms


def best(function: Callable[[], Labels], repeats: int) -> tuple[float, Labels]:
    """Seconds of the quickest of some calls, and the last result."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        labels = function()
        seconds.append(time.perf_counter() - start)
    return min(seconds), labels


def measure(repeats: int, engines: list[str] | None) -> list[dict[str, Any]]:
    """One record for each engine and molecule."""
    records = []
    for title, (name, options, molecules) in CASES.items():
        if engines and name not in engines:
            continue
        try:
            engine = make_engine(name, **options)
        except MissingDependencyError as error:
            print(f"{title}: left out ({error})")
            continue
        make_labels(engine, molecule("H2"), "none")  # imports and set-up are paid once
        for which in molecules:
            atoms = geometry(which)
            record: dict[str, Any] = {"engine": title, "molecule": which, "atoms": len(atoms)}
            for kind, arguments in KINDS.items():
                rng = np.random.default_rng(0)
                slow = name == "pyscf" and options.get("xc") != "hf"
                record[kind], labels = best(
                    lambda a=atoms, k=arguments, r=rng, e=engine: make_labels(e, a, **k, rng=r),
                    1 if slow else repeats,
                )
                if kind == "full" and labels.hessian is not None:
                    record["noise"] = labels.hessian.noise
            records.append(record)
    return records


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engines", nargs="*")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    records = measure(arguments.repeats, arguments.engines)
    table = Table("engine", "molecule", *KINDS, "noise, eV/A^2", title="seconds, one thread")
    for record in records:
        seconds = [f"{record[kind]:.3g}" for kind in KINDS]
        which = f"{record['molecule']} ({record['atoms']})"
        table.add_row(record["engine"], which, *seconds, f"{record['noise']:.1e}")
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
