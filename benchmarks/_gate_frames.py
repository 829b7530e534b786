"""Right Hessian labels of many kinds of structure, for `label_gate.py`: real labels, each made from its own
seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.cluster import Octahedron
from ase.collections import g2
from ase.optimize import BFGS
from scipy.spatial.transform import Rotation

from hint_plugin.data import HessianLabel, Thresholds, read_frames, read_label
from hint_plugin.data.labels.frame_labels import frame_labels
from hint_plugin.errors import EngineError
from hint_plugin.labelling import make_engine, make_labels
from hint_plugin.potentials import differences
from hint_plugin.potentials.hint_calculator import EngineCalculator

Labelled = tuple[Atoms, HessianLabel]

_XTB_ELEMENTS = {"H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Li", "Na", "Be", "Al"}
#: name in ASE's g2 set, charge
_IONS = [
    *(
        (name, -1)
        for name in ["OH", "CN", "NO2", "CH3", "CH3O", "SH", "NH2", "C2H3", "CH3NO2", "SiH3", "PH2"]
    ),
    *((name, 1) for name in ["NH3", "H2O", "CH3", "HCOOH", "CO", "N2", "C6H6", "H2CO", "CH3CO"]),
]
_BONDED = ["H2O", "NH3", "CH3OH", "HF", "HCOOH", "H2CO", "HCN", "CH3NH2"]
_TESTS = Path(__file__).parents[1] / "tests" / "data" / "formats"
_METALS = ["Cu", "Ag", "Au", "Ni", "Pd", "Pt", "Al"]


def frames(kind: str, wanted: int, seed: int = 0) -> Iterator[Labelled]:
    """The first `wanted` structures of a kind that can be labelled, each with its label."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    found = tried = 0
    while found < wanted and tried < 20 * wanted:
        tried += 1
        try:
            yield KINDS[kind](rng)
        except EngineError:  # the SCF of a distorted structure need not converge
            continue
        found += 1


def _xtb(atoms: Atoms, charge: int = 0, engine: str = "gfn2-xtb") -> Labelled:
    labels = make_labels(make_engine(engine, charge=charge), atoms, "full")
    return _with(atoms, labels.point.forces), labels.hessian


def _with(atoms: Atoms, forces: np.ndarray | None) -> Atoms:
    atoms = atoms.copy()
    atoms.calc = None
    atoms.arrays.pop("REF_forces", None)
    if forces is not None:
        atoms.arrays["REF_forces"] = np.asarray(forces)
    return atoms


def _relaxed(atoms: Atoms, charge: int, fmax: float) -> Atoms:
    atoms = atoms.copy()
    atoms.calc = EngineCalculator(make_engine("gfn2-xtb", charge=charge))
    BFGS(atoms, logfile=None).run(fmax=fmax, steps=60)
    return atoms


def _g2(rng: np.random.Generator, radical: bool | None = None) -> Atoms:
    while True:
        atoms = molecule(str(rng.choice(g2.names)))
        odd = bool(atoms.numbers.sum() % 2)
        if (
            2 <= len(atoms) <= 11
            and set(atoms.symbols) <= _XTB_ELEMENTS
            and (radical is None or odd == radical)
        ):
            atoms.set_initial_magnetic_moments(None)
            return atoms


def _turn(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    axis = rng.normal(size=3)
    atoms.rotate(float(rng.uniform(0, 360)), axis / np.linalg.norm(axis))
    return atoms


def _minimum(rng: np.random.Generator) -> Labelled:
    return _xtb(_turn(_relaxed(_g2(rng, radical=False), 0, 0.005), rng))


def _hot(rng: np.random.Generator) -> Labelled:
    atoms = _turn(_g2(rng, radical=False), rng)
    atoms.positions += rng.normal(0, rng.uniform(0.02, 0.2), atoms.positions.shape)
    return _xtb(atoms)


def _radical(rng: np.random.Generator) -> Labelled:
    atoms = _turn(_g2(rng, radical=True), rng)
    atoms.positions += rng.normal(0, 0.03, atoms.positions.shape)
    return _xtb(atoms)


def _ion(rng: np.random.Generator) -> Labelled:
    name, charge = _IONS[rng.integers(len(_IONS))]
    atoms = _turn(molecule(name), rng)
    atoms.set_initial_magnetic_moments(None)  # of the neutral
    atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
    return _xtb(atoms, charge)


def _saddle(rng: np.random.Generator) -> Labelled:
    """On or beside a saddle: planar ammonia, bent HCN, eclipsed ethane, twisted ethylene, ... and stretched
    bonds."""
    which = int(rng.integers(5))
    if which == 0:
        angles = np.radians([0, 120, 240])
        atoms = Atoms("NH3", [[0, 0, 0], *(1.0 * np.c_[np.cos(angles), np.sin(angles), 0 * angles])])
    elif which == 1:
        atoms = Atoms("HCN", [[0.6, 1.05, 0], [0, 0, 0], [1.18, 0, 0]])
    elif which == 2:
        atoms = molecule("C2H6")
        upper = [i for i in range(8) if atoms.positions[i, 2] * atoms.positions[0, 2] > 0]
        turned = atoms.copy()
        turned.rotate(60, "z")
        atoms.positions[upper] = turned.positions[upper]
    elif which == 3:  # a hydrogen half way over a bond
        atoms = Atoms(
            "CHOHH", [[0, 0, 0], [0.6, 1.1, 0], [1.3, 0, 0], [-0.55, -0.5, 0.75], [-0.55, -0.5, -0.75]]
        )
    else:  # SN2: F- CH3 F
        angles = np.radians([0, 120, 240])
        ring = 1.07 * np.c_[np.cos(angles), np.sin(angles), 0 * angles]
        atoms = Atoms("CH3FF", [[0, 0, 0], *ring, [0, 0, 1.8], [0, 0, -1.8]])
        return _xtb(_turn(_jitter(atoms, rng, 0.03), rng), -1)
    return _xtb(_turn(_jitter(atoms, rng, 0.03), rng))


def _jitter(atoms: Atoms, rng: np.random.Generator, sigma: float) -> Atoms:
    atoms.positions += rng.normal(0, sigma, atoms.positions.shape)
    return atoms


def _hydrogen_bonded(rng: np.random.Generator) -> Labelled:
    atoms = Atoms()
    for _ in range(int(rng.integers(2, 4))):
        for _ in range(200):
            other = _turn(molecule(str(rng.choice(_BONDED[:6]))), rng)
            other.translate(rng.normal(0, 2.0, 3) - other.get_center_of_mass())
            apart = [np.linalg.norm(a - b) for a in atoms.positions for b in other.positions]
            if not apart or 1.7 < min(apart) < 2.6:
                atoms += other
                break
    return _xtb(_jitter(atoms, rng, 0.02))


def _metal(rng: np.random.Generator) -> Labelled:
    element = str(rng.choice(_METALS))
    which = int(rng.integers(3))
    if which == 0:
        atoms = bulk(element, cubic=True) * (2, 1, 1)
    elif which == 1:
        atoms = fcc111(element, (2, 2, 2), vacuum=6.0)
    else:
        atoms = Octahedron(element, 3, 0)
        atoms = Atoms(atoms.symbols, atoms.positions)
    atoms.set_cell(atoms.cell * (1 + rng.uniform(-0.05, 0.05)), scale_atoms=True)
    return _by_calculator(_jitter(atoms, rng, rng.uniform(0.0, 0.12)), EMT())


def _by_calculator(atoms: Atoms, calculator: Calculator) -> Labelled:
    moving = atoms.copy()
    moving.calc = calculator

    def forces(positions: np.ndarray) -> np.ndarray:
        moving.positions = positions
        return moving.get_forces()

    found = differences.hessian(forces, atoms.positions, 0.001)
    return _with(atoms, forces(atoms.positions)), HessianLabel.full(found.matrix, noise=found.noise)


def _semiconductor(rng: np.random.Generator) -> Labelled:
    from matscipy.calculators.manybody import Manybody
    from matscipy.calculators.manybody.explicit_forms import tersoff_brenner
    from matscipy.calculators.manybody.explicit_forms.tersoff_brenner import (
        Tersoff_PRB_39_5566_Si_C,
    )

    name, a = [("Si", 5.43), ("C", 3.57), ("SiC", 4.36)][rng.integers(3)]
    atoms = bulk(
        name, "zincblende" if name == "SiC" else "diamond", a * (1 + rng.uniform(-0.03, 0.03)), cubic=True
    )
    calculator = Manybody(**tersoff_brenner.TersoffBrenner(Tersoff_PRB_39_5566_Si_C))
    return _by_calculator(_jitter(atoms, rng, rng.uniform(0, 0.1)), calculator)


def _salt(rng: np.random.Generator) -> Labelled:
    """Ionic crystals by GFN1-xTB at Gamma: dear, so that they are few and small."""
    name, a = [("NaCl", 5.64), ("MgO", 4.21), ("LiF", 4.03), ("NaF", 4.62)][rng.integers(4)]
    atoms = bulk(name, "rocksalt", a * (1 + rng.uniform(-0.03, 0.03)), cubic=True)
    return _xtb(_jitter(atoms, rng, rng.uniform(0.0, 0.1)), engine="gfn1-xtb")


def _one_atom_cell(rng: np.random.Generator) -> Labelled:
    atoms = bulk(str(rng.choice(_METALS)))
    atoms.set_cell(atoms.cell * (1 + rng.uniform(-0.05, 0.05)), scale_atoms=True)
    return _by_calculator(atoms, EMT())


def _coarse_dft(rng: np.random.Generator) -> Labelled:
    """PBE with 3-21G on the coarsest grid of PySCF: sum rules broken by the grid."""
    name = str(rng.choice(["H2O", "HF", "NH3", "CO", "N2", "HCN", "LiH", "H2CO"]))
    atoms = _turn(_jitter(molecule(name), rng, 0.04), rng)
    labels = make_labels(
        make_engine("pyscf", xc="pbe", basis="3-21g", grid_level=int(rng.integers(1, 3))), atoms, "full"
    )
    return _with(atoms, labels.point.forces), labels.hessian


def _published(rng: np.random.Generator) -> Labelled:
    """Hessians of DFT that others made, as far as the tests carry them; turned at random."""
    atoms, label = _published_labels()[int(rng.integers(len(_published_labels())))]
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(rng.uniform(0, np.pi) * axis / np.linalg.norm(axis)).as_matrix()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn.T)
    turned.positions = atoms.positions @ turn.T
    if "REF_forces" in atoms.arrays:
        turned.arrays["REF_forces"] = atoms.arrays["REF_forces"] @ turn.T
    whole = np.kron(np.eye(len(atoms)), turn)
    return turned, HessianLabel.full(whole @ label.hessian @ whole.T)


@cache
def _published_labels() -> list[Labelled]:
    files = sorted((_TESTS / "quantum_chemistry").glob("*_ir.out.gz"))
    files += sorted((_TESTS / "quantum_chemistry").glob("*_aoforce.out.gz"))
    names = ("gaussian/water.fchk", "orca/CH4.hess", "qe/nacl/nacl.fc", "qe/pdh.dyn0")
    found = []
    for path in (*files, *(_TESTS / name for name in names)):
        for atoms in read_frames(path):
            label, known = read_label(atoms, limits=Thresholds(physics=False)), frame_labels(atoms)
            if label is not None and label.kind == "full":
                found.append((_with(atoms, known.forces), label))
    return found


KINDS: dict[str, Callable[[np.random.Generator], Labelled]] = {
    "minima": _minimum,
    "saddles": _saddle,
    "strained": _hot,
    "hydrogen bonds": _hydrogen_bonded,
    "ions": _ion,
    "radicals": _radical,
    "metals": _metal,
    "covalent crystals": _semiconductor,
    "salts": _salt,
    "one atom a cell": _one_atom_cell,
    "coarse DFT": _coarse_dft,
    "published DFT": _published,
}
