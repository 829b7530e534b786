"""How the files of `formats/` were made that others' programs and packages write; see README.md there.

``python tests/data/make_formats.py`` writes them again. It needs the program xtb and the packages
torch_geometric, datasets, ase-db-backends and dpdata, which HINT itself does not. Molecules and labels are
those of molecules.xyz (GFN2-xTB): the numbers of the public sets are others, the layout is theirs.
"""

import pickle
import shutil
import subprocess
import tempfile
from pathlib import Path

import h5py
import lmdb
import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.units import Hartree

from hint_plugin.data import read_frames

HERE = Path(__file__).parent
OUT = HERE / "formats"
FRAMES = read_frames(HERE / "molecules.xyz")[:3]  # H2O, NH3, CH4


def labels(atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy, forces, Hessian."""
    return atoms.info["REF_energy"], atoms.arrays["REF_forces"], atoms.info["REF_hessian"]


def transition1x() -> None:
    with h5py.File(OUT / "transition1x.h5", "w", libver="latest") as file:
        for split, formula, reaction, atoms in (
            ("train", "H2O", "rxn0001", FRAMES[0]),
            ("train", "H3N", "rxn0002", FRAMES[1]),
            ("val", "CH4", "rxn0003", FRAMES[2]),
        ):
            group = file.create_group(f"{split}/{formula}/{reaction}")
            energy, forces, _ = labels(atoms)
            for shift, name, count in (
                (0.0, "", 3),
                (0.1, "reactant", 1),
                (0.2, "transition_state", 1),
                (0.3, "product", 1),
            ):
                part = group.create_group(name) if name else group
                steps = shift + np.arange(count)
                part["atomic_numbers"] = atoms.numbers
                part["positions"] = atoms.positions + 0.01 * steps[:, None, None]
                part["wB97x_6-31G(d).energy"] = energy + steps
                part["wB97x_6-31G(d).forces"] = forces * (1 + steps[:, None, None])
            file[f"data/{formula}/{reaction}"] = group


def openreact() -> None:
    with h5py.File(OUT / "openreact.h5", "w", libver="latest") as file:
        for number, atoms in enumerate(FRAMES):
            energy, forces, hessian = (values / Hartree for values in labels(atoms))
            group = file.create_group(f"mol{number:04d}")
            group["species"] = np.array([symbol.encode() for symbol in atoms.symbols])
            group["coordinates"] = np.stack([atoms.positions, atoms.positions + 1.0])
            group["energies"] = np.array([energy, energy + 1.0])
            group["forces"] = np.stack([forces, -forces])
            group["hessian"] = np.stack([hessian, 2.0 * hessian])
            group.attrs.update({"crg": 0, "mult": 1})


def horm() -> None:
    import torch
    from torch_geometric.data import Data

    path = OUT / "horm.lmdb"
    path.unlink(missing_ok=True)
    environment = lmdb.open(str(path), subdir=False, map_size=2**20, lock=False)
    with environment.begin(write=True) as transaction:
        for number, atoms in enumerate(FRAMES):
            energy, forces, hessian = labels(atoms)
            data = Data(
                pos=torch.tensor(atoms.positions, dtype=torch.float64),
                energy=torch.tensor([energy], dtype=torch.float64),
                ae=torch.tensor([energy / 10], dtype=torch.float64),
                forces=torch.tensor(forces, dtype=torch.float32),
                hessian=torch.tensor(hessian.reshape(-1), dtype=torch.float64),
                charges=torch.tensor(atoms.numbers),
                natoms=len(atoms),
                one_hot=torch.nn.functional.one_hot(torch.tensor(atoms.numbers), 10).bool(),
                rxn=torch.tensor(7 + number),
            )
            transaction.put(str(number).encode(), pickle.dumps(data))
        transaction.put(b"length", pickle.dumps(len(FRAMES)))
    environment.close()


def hessian_qm9() -> None:
    from datasets import Dataset, DatasetDict

    sets = {}
    for shift, name in enumerate(("vacuum", "water")):
        rows = []
        for number, atoms in enumerate(FRAMES):
            energy, forces, hessian = labels(atoms)
            n = len(atoms)
            rows.append(
                {
                    "energy": energy - shift,
                    "positions": atoms.positions.tolist(),
                    "atomic_numbers": atoms.numbers.tolist(),
                    "forces": forces.tolist(),
                    "frequencies": np.zeros((3 * n, 2)).tolist(),
                    "hessian": hessian.reshape(n, 3, n, 3).tolist(),
                    "label": f"dsgdb9nsd_{number:06d}",
                }
            )
        sets[name] = Dataset.from_list(rows)
    shutil.rmtree(OUT / "hessian_qm9", ignore_errors=True)
    DatasetDict(sets).save_to_disk(OUT / "hessian_qm9")


def aselmdb() -> None:
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.db import connect

    path = OUT / "cells.aselmdb"
    path.unlink(missing_ok=True)
    with connect(path, type="aselmdb", use_lock_file=False) as database:
        for number, atoms in enumerate(read_frames(HERE / "cells.xyz")[:3]):
            frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
            frame.calc = SinglePointCalculator(
                frame,
                energy=atoms.info["REF_energy"],
                forces=atoms.arrays["REF_forces"],
                stress=atoms.info["REF_stress"],
            )
            database.write(frame, data={"source": f"cell{number}", "charge": 0, "spin": 1})
    with connect(path, type="aselmdb", use_lock_file=False) as database:
        database.delete([2])


def deepmd() -> None:
    import dpdata

    frames = [atoms for atoms in read_frames(HERE / "cells.xyz") if "Au" not in atoms.symbols][:2]
    virials = [
        -atoms.get_volume() * atoms.info["REF_stress"][[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
        for atoms in frames
    ]
    system = dpdata.LabeledSystem(
        data={
            "atom_names": ["Cu"],
            "atom_numbs": [4],
            "atom_types": np.zeros(4, dtype=int),
            "orig": np.zeros(3),
            "cells": np.stack([atoms.cell.array for atoms in frames]),
            "coords": np.stack([atoms.positions for atoms in frames]),
            "energies": np.array([atoms.info["REF_energy"] for atoms in frames]),
            "forces": np.stack([atoms.arrays["REF_forces"] for atoms in frames]),
            "virials": np.stack(virials),
        }
    )
    shutil.rmtree(OUT / "deepmd", ignore_errors=True)
    system.to("deepmd/npy", str(OUT / "deepmd"), prec=np.float64)


def xtb() -> None:
    """Formaldehyde at its GFN2-xTB minimum: `xtb --ohess`, then energy and gradient there."""
    from ase.io import write

    target = OUT / "xtb"
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "in.xyz", molecule("H2CO"))
        run = {"cwd": folder, "check": True, "capture_output": True}
        subprocess.run(["xtb", "in.xyz", "--ohess", "extreme", "--acc", "0.001"], **run)
        subprocess.run(["xtb", "xtbopt.xyz", "--grad", "--acc", "0.001"], **run)
        for file in ("hessian", "xtbopt.xyz", "gradient"):
            shutil.copy(folder / file, target / file)


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for make in (transition1x, openreact, horm, hessian_qm9, aselmdb, deepmd, xtb):
        make()
