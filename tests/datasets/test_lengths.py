"""Positions in bohr are seen by the distances of neighbours; what only looks odd raises no alarm."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, graphene, molecule
from ase.collections import dcdft, g2, s22
from ase.units import Bohr

from hint_plugin.data import write_frames
from hint_plugin.data.sets.audit import audit
from hint_plugin.data.structures.geometries import REACTIONS, reaction_path
from hint_plugin.data.structures.lengths import LengthCheck, misfit
from hint_plugin.errors import LabelWarning

SALTS = {"NaCl": 5.64, "MgO": 4.21, "LiF": 4.03, "KBr": 6.6, "PdH": 4.17}


def scaled(atoms: Atoms, factor: float) -> Atoms:
    found = atoms.copy()
    if found.pbc.any():
        found.set_cell(found.cell * factor)
    found.positions *= factor
    return found


def everything() -> list[Atoms]:
    """Molecules, dimers held by hydrogen bonds and dispersion, elements as crystals, salts, layers."""
    sets = [c[name] for c in (g2, s22) for name in c.names] + [dcdft[name] for name in dcdft.names]
    layers = [graphene(vacuum=5), fcc111("Cu", (1, 1, 3), vacuum=5)]
    return [*sets, *(bulk(name, "rocksalt", a=a) for name, a in SALTS.items()), *layers]


def test_three_units_of_everything():
    found = {
        factor: Counter(misfit(scaled(atoms, factor)) for atoms in everything())
        for factor in (1, 1 / Bohr, Bohr)
    }
    alone = 20  # atoms, and crystals of rare gases
    assert found[1] == {"": 242, None: alone}  # no false alarm
    assert found[1 / Bohr] == {"long": 240, "": 2, None: alone}
    assert found[Bohr] == {"short": 237, "": 5, None: alone}


@pytest.mark.parametrize(
    "atoms",
    [
        Atoms("H"),
        Atoms("Ar3", [(0, 0, 0), (3.8, 0, 0), (0, 3.8, 0)]),  # 1.8 times the sum of radii
        Atoms("He2", [(0, 0, 0), (0, 0, 1.2)]),
        Atoms("ArH2O", [(0, 0, 0), (3.6, 0, 0), (3.6, 0, 0.96), (3.6, 0.93, -0.24)]),
        Atoms("Na", cell=[12, 12, 12], pbc=True),  # an atom in a box
        Atoms("Cl2", [(0, 0, 0), (0, 0, 8)]),
        Atoms("H2O", [(0, 0, 0), (1.9, 0, 0), (0, 0.96, 0)]),  # one bond broken, one not
        Atoms("H2O", [(0, 0, 0), (4, 0, 0), (0, 4, 0)]),  # atoms
        Atoms("Cu", pbc=True),  # no cell
        Atoms(),
    ],
)
def test_what_raises_no_alarm(atoms):
    assert not misfit(atoms)


def test_paths_and_shaken_frames_raise_no_alarm():
    rng, check = np.random.default_rng(0), LengthCheck()
    for name in REACTIONS:
        for atoms in reaction_path(name):
            check.add(atoms, name)
    for factor in np.linspace(0.45, 2.6, 30):
        check.add(scaled(molecule("N2"), factor), "stretched")  # by a factor of two, too
    for name in g2.names:
        atoms = molecule(name)
        atoms.positions += rng.normal(0, 0.1, atoms.positions.shape)
        check.add(atoms, name)
    for strain in np.linspace(0.7, 1.2, 11):
        check.add(scaled(bulk("Si"), strain), "squeezed")
    assert check.findings() == [] and check.frames > 200


def test_check_says_which_frames(tmp_path):
    frames = [
        molecule("CH3OH"),
        scaled(molecule("C2H4"), 1 / Bohr),
        scaled(molecule("H2O"), 1 / Bohr),
        Atoms("H"),
    ]
    write_frames(tmp_path / "a.xyz", frames)
    write_frames(tmp_path / "b.xyz", [scaled(molecule("N2"), 1 / Bohr), scaled(bulk("Cu"), Bohr)])
    remarks = [
        r
        for r in audit([tmp_path / "a.xyz", tmp_path / "b.xyz"]).remarks
        if "multiply" in r.message or "divide" in r.message
    ]
    assert [(r.source[-5:], r.frame, r.formula) for r in remarks] == [
        ("a.xyz", 1, "C2H4"),
        ("b.xyz", 0, "N2"),
        ("b.xyz", 1, "Cu"),
    ]
    assert "in 2 of 3 frames no two atoms are as near as a bond" in remarks[0].message
    assert "if positions were in bohr" in remarks[0].message and "by 0.529177" in remarks[0].message
    assert "taken for bohr" in remarks[2].message


def test_labels_of_such_positions_come_with_a_warning(tmp_path):
    from hint_plugin.labelling import LabelSettings, run_labelling

    engine = ("calculator", {"calculator": "ase.calculators.emt:EMT"})
    write_frames(tmp_path / "in.xyz", [scaled(molecule("H2O"), 1 / Bohr), molecule("H2O")])
    settings = LabelSettings(*engine, hessian="none")
    with pytest.warns(
        LabelWarning, match=r"in 1 of 2 frames .* bohr\. .*\(the first is .*in.xyz, frame 0 \(H2O\)\)"
    ):
        summary = run_labelling([tmp_path / "in.xyz"], tmp_path / "out.xyz", settings)
    assert len(summary.warnings) == 1 and summary.labelled == 2
    heard: list[str] = []
    run_labelling([tmp_path / "in.xyz"], tmp_path / "new.xyz", settings, warn=heard.append)
    assert heard == summary.warnings
