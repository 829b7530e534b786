"""From two molecules to a transition state on GFN2-xTB, and the parts on the way."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator
from ase.constraints import FixAtoms
from scipy.integrate import solve_ivp

pytest.importorskip("tblite", reason="needs tblite: pip install '.[label]'")
pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
pytest.importorskip("geodesic_interpolate", reason="needs geodesic-interpolate: '.[reactions]'")

from reaction_runs import KCAL, hcn, hint

from hint_plugin.data import read_frames, write_frames
from hint_plugin.errors import DataError, EngineError
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.reactions import (
    ReactionSettings,
    bonds,
    find_reaction,
    follow,
    interpolate,
    match,
    same_atoms,
)
from hint_plugin.science.reactions.irc import _updated, descend

# Parts


def test_bonds():
    ethanol = molecule("CH3CH2OH")
    assert bonds(ethanol).sum() == 2 * 8
    stretched = molecule("H2")
    stretched.positions[1, 2] += 0.15
    assert bonds(stretched)[0, 1]  # H-H reaches farther than its radii say
    turned = ethanol.copy()
    turned.rotate(33, "x")
    assert match(ethanol, turned)
    turned.positions[-1] += 3.0
    assert not match(ethanol, turned)


def test_rmsd_does_not_see_rotations_and_sees_mirrors():
    atoms = Atoms("CHFClBr", [(0, 0, 0), (0.6, 0.6, 0.6), (0.8, -0.8, -0.8), (-1, 1, -1), (-1.1, -1.1, 1.1)])
    turned = atoms.copy()
    turned.rotate(71, (1, 2, 3))
    turned.translate((4, 5, 6))
    assert rmsd(atoms, turned) < 1e-10
    turned.positions[:, 0] *= -1
    assert rmsd(atoms, turned) > 0.3


def held(atoms: Atoms) -> Atoms:
    """Its atoms held: nothing can move."""
    atoms.set_constraint(FixAtoms([0, 1, 2]))
    return atoms


def test_rmsd_of_a_methyl_group_that_has_turned():
    ethanol = molecule("CH3CH2OH")
    swapped = ethanol.copy()
    hydrogens = [k for k in range(9) if bonds(ethanol)[0 if bonds(ethanol)[0, :].sum() == 4 else 1, k]]
    hydrogens = [k for k in hydrogens if ethanol.numbers[k] == 1][:3]
    swapped.positions[hydrogens] = ethanol.positions[np.roll(hydrogens, 1)]
    swapped.rotate(40, "y")
    assert rmsd(ethanol, swapped) > 0.5
    assert rmsd(ethanol, swapped, permute=True) < 1e-8


@pytest.mark.parametrize(
    ("product", "message"),
    [
        (molecule("CH3OH"), "keeps its atoms"),
        (Atoms("NCH", hcn()[1].positions), "atom 0 is H in the reactant and N in the product"),
        (hcn()[0], "the same geometry"),
        (held(hcn()[1]), "all atoms of the product are held"),
    ],
)
def test_wrong_pairs(product, message):
    with pytest.raises(DataError, match=message):
        same_atoms(hcn()[0], product)


def test_the_geodesic_path():
    reactant, product = hcn()
    path = interpolate(reactant, product, 9)
    assert len(path) == 9 and rmsd(path[0], reactant) < 1e-6 and rmsd(path[-1], product) < 1e-6
    assert min(np.min(a.get_all_distances() + 9 * np.eye(3)) for a in path) > 0.8  # around, not through
    moves = [rmsd(a, b) for a, b in zip(path, path[1:], strict=False)]
    assert max(moves) < 3 * min(moves)


def test_a_step_down_a_quadratic_surface():
    """Against the differential equation dx/ds = -g/|g|."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((5, 5))
    h, g = a @ a.T - 1.5 * np.eye(5), rng.standard_normal(5)
    step = descend(g, h, 0.3)

    def slope(_: float, x: np.ndarray) -> np.ndarray:
        gradient = g + h @ x
        return -gradient / np.linalg.norm(gradient)

    wanted = solve_ivp(slope, (0, 0.3), np.zeros(5), rtol=1e-10, atol=1e-12).y[:, -1]
    assert step == pytest.approx(wanted, abs=2e-4)


def test_a_step_ends_at_the_bottom():
    step = descend(np.array([0.1, 0.0]), np.diag([10.0, 3.0]), 5.0)
    assert step == pytest.approx([-0.01, 0], abs=2e-4)


def test_the_update_fulfils_the_secant_equation():
    rng = np.random.default_rng(1)
    a = rng.standard_normal((6, 6))
    dx, dg = rng.standard_normal(6), rng.standard_normal(6)
    h = _updated(a + a.T, dx, dg)
    assert h @ dx == pytest.approx(dg) and h == pytest.approx(h.T)
    assert (_updated(h, dx, h @ dx) == h).all()


# Whole reactions


def test_hcn_to_hnc(gfn2):
    """73.2 and 53.2 kcal/mol on GFN2-xTB, imaginary mode 1426 cm^-1."""
    settings, said = ReactionSettings(guesses=1), []
    found = find_reaction(*hcn(), gfn2, settings, said.append)
    assert (found.verdict, found.stage, found.failure) == ("intended", "done", "")
    assert found.barriers["forward"] * KCAL == pytest.approx(73.2, abs=0.1)
    assert found.barriers["reverse"] * KCAL == pytest.approx(53.2, abs=0.1)
    assert found.saddle.modes.imaginary == pytest.approx([-1426], abs=3)
    for side in (found.backward, found.forward):
        assert (np.diff(side.energies) < 2e-5).all() and side.why in ("minimum", "bottom")
    result = found.as_dict(settings)
    assert result["verdicts"] == {"reactbench": "Intended", "strict": True, "geometric": True}
    assert max(result["rmsd"]) < 0.02
    assert result["gibbs"]["forward"] * KCAL == pytest.approx(68.3, abs=0.3)
    assert any(text.startswith("IRC") for text in said)


def test_the_path_does_not_depend_on_the_step(gfn2):
    """Steps of 0.1 and 0.05 A amu^1/2 from the same saddle pass the same points."""
    found = find_reaction(*hcn(), gfn2, ReactionSettings(irc_steps=2, guesses=1))
    coarse = follow(found.saddle.atoms, found.saddle.hessian, 1, step=0.1, steps=8)
    fine = follow(found.saddle.atoms, found.saddle.hessian, 1, step=0.05, steps=16)
    assert coarse.lengths[-1] == pytest.approx(fine.lengths[-1], rel=1e-2)
    assert rmsd(coarse.images[-1], fine.images[-1]) < 0.01
    assert coarse.energies[-1] == pytest.approx(fine.energies[-1], abs=0.02)


class NoConvergence(Calculator):
    """An engine that gives up."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        raise EngineError("SCF not converged", "scf")

    def get_hessian(self, atoms):
        raise EngineError("SCF not converged", "scf")


def test_what_fails_has_a_stage():
    found = find_reaction(*hcn(), NoConvergence(), ReactionSettings())
    assert (found.verdict, found.stage) == ("no transition state", "reactant")
    assert "SCF not converged" in found.failure and found.barriers == {}


# The command


def test_command(tmp_path, capfd):
    for name, atoms in zip(("hcn.xyz", "hnc.xyz"), hcn(), strict=True):
        write_frames(tmp_path / name, [atoms])
    ends, out = (tmp_path / "hcn.xyz", tmp_path / "hnc.xyz"), tmp_path / "out"
    code, text = hint(capfd, "reaction", *ends, "-o", out, "--engine", "gfn2-xtb")
    assert code == 0 and "verdict: intended" in text and "forward +73.2" in text
    assert "guesses: 2 tried, one saddle" in text
    result = json.loads((out / "reaction.json").read_text())
    assert result["verdict"] == "intended"
    irc = [atoms.get_potential_energy() for atoms in read_frames(out / "irc.xyz")]
    top = int(np.argmax(irc))
    assert 5 < top < len(irc) - 5 and len(read_frames(out / "transition_state.xyz")) == 1
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install '.[plot]'")
    assert (out / "profile.png").stat().st_size > 5000
    # a hopeless search is told, with what was reached
    code, text = hint(capfd, "reaction", *ends, "-o", tmp_path / "b", "--engine", "gfn2-xtb", "--steps", "1")
    assert code == 3 and "not converged" in text
    assert json.loads((tmp_path / "b" / "reaction.json").read_text())["stage"] == "product"
    code, text = hint(capfd, "reaction", ends[0], ends[0], "-o", out, "--engine", "gfn2-xtb")
    assert code == 2 and "the same geometry" in text


def test_elastic_band(tmp_path, capfd, gfn2):
    """The climbing image ends at the saddle's energy: 73.2 kcal/mol above HCN."""
    for name, atoms in zip(("hcn.xyz", "hnc.xyz"), hcn(), strict=True):
        write_frames(tmp_path / name, [atoms])
    ends, out = (tmp_path / "hcn.xyz", tmp_path / "hnc.xyz"), tmp_path / "out"
    code, text = hint(capfd, "neb", *ends, "-o", out, "--engine", "gfn2-xtb", "--images", "7")
    assert code == 0 and "converged after" in text
    found = json.loads((out / "neb.json").read_text())
    assert found["barriers"]["forward"] * KCAL == pytest.approx(73.2, abs=0.3)
    assert found["barriers"]["reverse"] * KCAL == pytest.approx(53.2, abs=0.3)
    assert len(read_frames(out / "path.xyz")) == found["images"] >= 7
    assert found["resolved"] and found["connection"]["joins"] and "leads to both ends" in text
    code, text = hint(capfd, "neb", *ends, "-o", out, "--engine", "gfn2-xtb", "--steps", "2", "--no-optimize")
    assert code == 3 and "not converged after 2 steps" in text
