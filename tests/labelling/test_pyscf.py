"""Labels by PySCF: analytic Hessians against differences of its own forces, and what noise sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

pytest.importorskip("pyscf", reason="needs PySCF: pip install '.[dft]'")

from hint_plugin.errors import EngineError
from hint_plugin.labelling import make_engine, make_labels
from hint_plugin.potentials.engines.pyscf import PySCF, PySCFOptions, is_analytic
from hint_plugin.settings import parse_options

SMALL = {"xc": "hf", "basis": "sto-3g"}


def water() -> Atoms:
    atoms = molecule("H2O")
    atoms.rattle(0.03, seed=0)
    return atoms


@pytest.mark.parametrize("name", ["H2O", "OH"])
def test_analytic_hessian_is_the_derivative_of_the_forces(name):
    """Without a grid the two have to agree to the truncation of the differences (seen: 8e-4)."""
    atoms = molecule(name)
    atoms.rattle(0.03, seed=0)
    analytic = make_labels(make_engine("pyscf", **SMALL), atoms)
    differences = make_labels(make_engine("pyscf", **SMALL, analytic=False), atoms)
    assert analytic.provenance["multiplicity"] == (2 if name == "OH" else 1)
    assert analytic.provenance["derivatives"] == "analytic" and "derivatives" not in differences.provenance
    assert np.abs(analytic.hessian.hessian).max() > 30
    assert np.abs(analytic.hessian.hessian - differences.hessian.hessian).max() < 3e-3
    assert analytic.hessian.noise < 1e-6 and differences.hessian.noise < 1e-3


@pytest.mark.slow
def test_transition1x_level():
    """wB97X is range-separated. Noise is of the size of what the grid does to the analytic Hessian, and the
    two ways agree within it."""
    atoms, options = water(), {"preset": "transition1x", "grid_level": 2}
    analytic = make_labels(make_engine("pyscf", **options), atoms)
    assert analytic.provenance["method"] == "wb97x/6-31g(d)"
    assert analytic.point.energy == pytest.approx(-2078.427, abs=2e-3)
    assert analytic.hessian.provenance["noise_from"] == "acoustic-sum-rule"
    rng = np.random.default_rng(0)
    pairs = make_labels(make_engine("pyscf", **options), atoms, "projected", n_probes=1, rng=rng).hessian
    error = pairs.hvp.ravel() - analytic.hessian.hessian @ pairs.probes.ravel()
    rms = np.sqrt(np.mean(error**2) / 9)
    assert rms < 3 * analytic.hessian.noise and analytic.hessian.noise < 0.3


def test_hessians_of_meta_ggas_are_differences():
    """HCl, r2SCAN/def2-svp: 33.53, -0.12 eV/A^2 on grid 4; PySCF 2.14's analytic: -11.03, -44.05. Forces
    of meta-GGAs do not follow the grid: the acoustic sum rule sees it, and the noise says it."""
    atoms = Atoms("HCl", [[0, 0, 0], [0, 0, 1.28]])
    label = make_labels(make_engine("pyscf", xc="r2scan", basis="def2-svp", grid_level=3), atoms).hessian
    assert label.hessian[5, 5] == pytest.approx(33.53, abs=0.15)
    assert label.hessian[3, 3] == pytest.approx(-0.12, abs=0.15)
    assert label.provenance["noise_from"] == "acoustic-sum-rule"
    assert abs(label.hessian[5, 5] - 33.53) / 4 < label.noise < 0.1
    assert label.provenance["derivatives"] == "differences of gradients, as of all meta-GGAs"


@pytest.mark.parametrize(
    ("xc", "analytic"),
    [
        *((xc, True) for xc in ("hf", "lda,vwn", "pbe", "b3lyp", "wb97x", "HSE06")),
        *(
            (xc, False)
            for xc in ("tpss", "tpssh", "m06-2x", "r2scan", "SCAN0", "wb97m-v", "0.5*tpss+0.5*pbe,pbe")
        ),
    ],
)
def test_libxc_says_what_is_a_meta_gga(xc, analytic):
    options = parse_options(PySCFOptions, {"xc": xc, "basis": "sto-3g"}, "engine pyscf")
    assert is_analytic(options) is analytic
    assert ("derivatives" in PySCF.settings(options, "full")) is analytic
    assert not is_analytic(replace(options, analytic=False))
    prepared = PySCF(options).prepare(Atoms("He"))
    assert (prepared.derivatives is None) is analytic and (analytic or prepared.analytic_hessian() is None)


def test_noise_sees_the_grid_and_the_asymmetry_does_not():
    options = {"xc": "lda,vwn", "basis": "sto-3g"}
    coarse, fine = (
        make_labels(make_engine("pyscf", **options, grid_level=n), water()).hessian for n in (0, 5)
    )
    error = np.sqrt(np.mean((coarse.hessian - fine.hessian) ** 2))
    assert coarse.provenance["asymmetry"] < error / 20
    assert error / 4 < coarse.noise < 4 * error
    assert fine.noise < coarse.noise / 4


def test_forces_are_the_gradient_of_the_energy_on_the_grid():
    engine, atoms = make_engine("pyscf", xc="pbe", basis="sto-3g", grid_level=1), water()
    forces, energies = make_labels(engine, atoms, "none").point.forces, []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 1] += sign * 1e-3
        energies.append(make_labels(engine, moved, "none").point.energy)
    assert (energies[0] - energies[1]) / 2e-3 == pytest.approx(-forces[0, 1], abs=1e-3)
    plain = make_engine("pyscf", xc="pbe", basis="sto-3g", grid_level=1, grid_response=False)
    assert abs(make_labels(plain, atoms, "none").point.forces.sum(0)).max() > 100 * abs(forces.sum(0)).max()


def test_density_is_reused():
    atoms = water()
    prepared = make_engine("pyscf", **SMALL).prepare(atoms)
    prepared.single_point()
    cycles = []
    for density in (prepared._density, None):
        prepared._density = density
        field = prepared._solve(atoms.positions + 1e-3 * np.eye(3))
        cycles.append(field.cycles)
    assert cycles[0] < cycles[1]


def test_charge_and_presets():
    ion = molecule("NH3")
    ion.info["charge"] = 1
    assert make_labels(make_engine("pyscf", **SMALL), ion, "none").provenance["multiplicity"] == 2
    with_preset = make_engine("pyscf", preset="transition1x", basis="sto-3g")
    assert with_preset.method == "wb97x/6-31g(d)"


@pytest.mark.parametrize(
    ("options", "atoms", "kind"),
    [
        ({**SMALL, "max_cycle": 1}, molecule("H2O"), "scf"),
        (SMALL, bulk("C"), "cell"),
        ({"xc": "hf", "basis": "no-such-basis"}, molecule("H2"), "element"),
        ({"xc": "no-such-functional", "basis": "sto-3g"}, molecule("H2"), "program"),
        (SMALL, Atoms("H2", [[0, 0, 0], [0, 0, 0.7]], info={"spin": 2}), "electrons"),
    ],
)
@pytest.mark.filterwarnings("ignore:Basis may be available")
def test_refusals_have_a_kind(options, atoms, kind):
    with pytest.raises(EngineError) as caught:
        make_labels(make_engine("pyscf", **options), atoms, "none")
    assert caught.value.kind == kind
