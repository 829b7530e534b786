"""Structures of which atoms are held: partial Hessians, their modes, thermochemistry; against ASE's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc111, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixBondLength, FixCartesian
from ase.optimize import BFGS
from ase.thermochemistry import HarmonicThermo, HinderedThermo
from ase.vibrations import Vibrations
from pair_artifact import write_pair

from hint_plugin.core.spectra import free_rigid_motions, partial_vibrations, vibrations
from hint_plugin.data import read_frames, read_label, write_frames
from hint_plugin.data.provenance import of_structures
from hint_plugin.data.structures.constraints import constraints_of, free_coordinates
from hint_plugin.errors import DataError, EngineError, MissingDependencyError, OptionsError
from hint_plugin.labelling import LabelSettings, run_labelling
from hint_plugin.potentials.hint_calculator import HintCalculator
from hint_plugin.potentials.on_demand import PotentialSpec
from hint_plugin.potentials.opening import open_potential
from hint_plugin.potentials.partial_hessian import free_rows, partial_hessian
from hint_plugin.potentials.structure_checks import select_atoms
from hint_plugin.science.molecules import Hindered, adsorbate_thermochemistry, normal_modes, thermochemistry
from hint_plugin.science.molecules import run as verbs
from hint_plugin.science.molecules.adsorbate_thermochemistry import inertia_about_normal
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.molecules.molecule_inputs import no_molecule
from hint_plugin.science.phonons.cell_relaxation import relax_crystal
from hint_plugin.science.reactions.many_reactions import identity_of
from hint_plugin.science.reactions.matching import match
from hint_plugin.science.reactions.paths import interpolate
from hint_plugin.science.reactions.reaction_settings import ReactionSettings
from hint_plugin.science.reactions.sets import Pair

EMT_ENGINE = PotentialSpec(engine="calculator", options={"calculator": "ase.calculators.emt:EMT"})


def surface(what: str | Atoms = "H", height: float = 1.0, site: str = "fcc", size=(2, 2, 2)) -> Atoms:
    """An adsorbate on Cu(111), whose copper atoms are held."""
    atoms = fcc111("Cu", size, vacuum=6.0)
    add_adsorbate(atoms, what, height, site)
    atoms.info.clear()
    atoms.pbc = (True, True, False)
    atoms.set_constraint(FixAtoms(np.flatnonzero(atoms.get_tags() > 0)))
    return atoms


def at_rest(atoms: Atoms, calculator, fmax: float = 2e-3) -> Atoms:
    atoms.calc = calculator
    BFGS(atoms, logfile=None).run(fmax=fmax, steps=300)
    return atoms


def by_ase(atoms: Atoms, calculator, folder, delta: float = 1e-3) -> tuple[np.ndarray, list[complex]]:
    """Frequencies (imaginary ones negative) and energies of ASE's own `Vibrations` of what moves."""
    found = atoms.copy()
    found.calc = calculator
    ase = Vibrations(found, name=str(folder / "vib"), delta=delta)
    ase.run()
    nu = ase.get_frequencies()
    return np.sort(np.where(nu.imag > 0, -nu.imag, nu.real)), list(ase.get_energies())


# Which coordinates are free


def test_what_is_free(tmp_path):
    """Atoms and components, alone and together; the same from a file of either kind."""
    atoms = molecule("CH3OH")
    atoms.set_constraint([FixAtoms([0, 2]), FixCartesian([1, 2], mask=(False, False, True))])
    free = free_coordinates(atoms)
    wanted = np.ones((6, 3), dtype=bool)
    wanted[[0, 2]], wanted[1, 2] = False, False
    assert (free.mask == wanted).all() and not free.all and not free.none
    assert free.atoms.tolist() == [1, 3, 4, 5] and len(free.coordinates) == 11
    assert free.words() == "11 coordinates of 4 of 6 atoms move"
    assert free_coordinates(surface()).words() == "1 of 9 atoms move"
    for name in ("both.xyz", "both.h5"):
        write_frames(tmp_path / name, [atoms, surface()])
        first, second = read_frames(tmp_path / name)
        assert (free_coordinates(first).mask == wanted).all()
        assert free_coordinates(second).atoms.tolist() == [8]
    assert free_coordinates(molecule("H2O")).all and constraints_of(molecule("H2O")) == ""


def test_other_constraints_are_refused():
    atoms = surface()
    atoms.set_constraint([FixAtoms([0]), FixBondLength(1, 2)])
    with pytest.raises(DataError, match=r"does not know \(FixBondLength.*wanted FixAtoms or FixCartesian"):
        free_coordinates(atoms)
    assert no_molecule(atoms, held=True)[0] == "geometry"
    with pytest.raises(DataError, match="FixBondLength"):
        normal_modes(atoms, np.eye(27))


def test_parts_of_a_hessian():
    """The block is the same from the matrix, from the rows of what moves, and from itself."""
    atoms, rng = molecule("CH3OH"), np.random.default_rng(0)
    atoms.set_constraint([FixAtoms([0, 2]), FixCartesian([1], mask=(False, True, False))])
    free, matrix = free_coordinates(atoms), rng.normal(size=(18, 18))
    matrix = matrix + matrix.T
    block = matrix[np.ix_(free.coordinates, free.coordinates)]
    rows = matrix.reshape(6, 3, 18)[free.atoms].reshape(-1, 18)
    for given in (matrix, rows, block):
        np.testing.assert_array_equal(free.part(given), block)
    assert (free.part(free.whole(block)) == block).all() and np.count_nonzero(free.whole(block)) == block.size
    with pytest.raises(DataError, match=r"shape \(17, 17\).*11 free coordinates"):
        free.part(np.eye(17))


# Modes


@pytest.mark.parametrize("pbc", [(True, True, False), True])
def test_carbon_monoxide_on_copper_as_in_ase(tmp_path, pbc):
    """0.1 cm^-1 of each mode, 1e-6 eV of the free energy; and three products an atom that moves."""
    atoms = surface(molecule("CO"), 1.9)
    atoms.pbc = pbc
    atoms.positions[9] += (0.9, -0.6, -0.3)  # upright is a saddle of EMT
    at_rest(atoms, EMT())
    calculator = HintCalculator(open_potential(EMT()))
    atoms.calc, asked = calculator, []
    products = calculator.potential.hvp
    calculator.potential.hvp = lambda atoms, v: asked.append(len(v)) or products(atoms, v)
    modes = normal_modes(atoms, partial_hessian(atoms))
    assert sum(asked) == 6
    theirs, energies = by_ase(atoms, EMT(), tmp_path)
    assert len(modes.frequencies) == 6 and modes.rigid_motions == 0 and not modes.linear
    np.testing.assert_allclose(modes.frequencies, theirs, atol=0.1)
    assert not modes.displacements[:, :8].any()
    energy = float(atoms.get_potential_energy())
    for temperature in (100.0, 298.15, 600.0):
        mine = adsorbate_thermochemistry(modes, energy, temperature=temperature, largest_force=1e-3)
        ase = HarmonicThermo(energies, potentialenergy=energy)
        for value, wanted in (
            (mine.helmholtz_energy, ase.get_helmholtz_energy(temperature, verbose=False)),
            (mine.internal_energy, ase.get_internal_energy(temperature, verbose=False)),
            (temperature * mine.entropy, temperature * ase.get_entropy(temperature, verbose=False)),
            (mine.zero_point_energy, ase.get_ZPE_correction()),
        ):
            assert value == pytest.approx(wanted, abs=1e-6)
        assert mine.kind == "minimum" and mine.free_atoms == [8, 9]
        assert mine.as_dict()["gibbs_correction"] == pytest.approx(mine.helmholtz_energy - energy)


def test_a_model_on_a_surface_as_in_ase(tmp_path):
    """Aluminium on copper by an artifact; a layer of copper moves, too."""
    model = HintCalculator(write_pair(tmp_path / "pair.hint.pt"))
    atoms = surface("Al", 2.1)
    atoms.set_constraint(FixAtoms(np.flatnonzero(atoms.get_tags() > 1)))
    at_rest(atoms, model, 1e-4)
    assert free_rows(atoms).shape == (15, 27)
    whole = model.get_hessian(atoms)
    np.testing.assert_allclose(
        free_coordinates(atoms).part(whole), model.get_partial_hessian(atoms), atol=1e-9
    )
    modes = normal_modes(atoms, model.get_partial_hessian(atoms))
    theirs, energies = by_ase(atoms, model, tmp_path, 2e-4)
    assert len(modes.frequencies) == 15 and modes.kind == "minimum"
    np.testing.assert_allclose(modes.frequencies, theirs, atol=0.1)
    mine = adsorbate_thermochemistry(modes, 0.0, largest_force=0.0)
    ase = HarmonicThermo(energies).get_helmholtz_energy(298.15, verbose=False)
    assert mine.helmholtz_energy == pytest.approx(ase, abs=1e-6)


def test_components_that_are_held():
    """Hydrogen that moves along z alone: one mode, of the difference of its forces."""
    atoms = surface()
    atoms.set_constraint([FixAtoms(range(8)), FixCartesian([8], mask=(True, True, False))])
    atoms.calc = HintCalculator(open_potential(EMT()))
    modes = normal_modes(atoms, partial_hessian(atoms))
    forces = []
    for step in (-1e-3, 1e-3):
        moved = atoms.copy()
        moved.positions[8, 2] += step
        moved.calc = EMT()
        forces.append(moved.get_forces(apply_constraint=False)[8, 2])
    stiffness = -(forces[1] - forces[0]) / 2e-3
    assert partial_hessian(atoms) == pytest.approx(np.array([[stiffness]]), rel=1e-6)
    assert len(modes.frequencies) == 1 and modes.reduced_masses[0] == pytest.approx(1.008)


def test_rigid_motions_that_held_atoms_leave():
    """Of water held at one atom the rotations about it, at two the turn about the axis, at three nothing."""
    atoms, rng = molecule("CH4"), np.random.default_rng(1)
    positions, masses = torch.as_tensor(atoms.positions), torch.as_tensor(atoms.get_masses())
    matrix = rng.normal(size=(15, 15))
    matrix = torch.as_tensor(matrix @ matrix.T)
    whole = torch.eye(15, dtype=torch.float64)
    rigid = free_rigid_motions(positions, torch.ones(5), torch.ones(5, 3))  # unit masses: Cartesian
    matrix = (whole - rigid @ rigid.T) @ matrix @ (whole - rigid @ rigid.T)  # a molecule at rest
    for held, left in (([], 6), ([1], 3), ([1, 2], 1), ([1, 2, 3], 0)):
        mask = torch.ones(5, 3, dtype=torch.bool)
        mask[held] = False
        part = matrix[mask.ravel()][:, mask.ravel()]
        assert free_rigid_motions(positions, masses, mask).shape == (15, left)
        assert free_rigid_motions(positions, masses, mask, periodic=True).shape == (15, 0 if held else 3)
        found = partial_vibrations(part, positions, masses, mask)
        root = masses.sqrt().repeat_interleave(3)[mask.ravel()]
        every = torch.linalg.eigvalsh(part / root[:, None] / root[None])  # nothing projected: zeros in front
        assert abs(every[:left]).max() < 1e-9 if left else every[0] > 1e-3
        torch.testing.assert_close(found.eigenvalues, every[left:])
        assert not found.modes.reshape(5, 3, -1)[held].any()
    free = partial_vibrations(matrix, positions, masses, torch.ones(5, 3))
    torch.testing.assert_close(free.eigenvalues, vibrations(matrix, positions, masses).eigenvalues)
    with pytest.raises(ValueError, match="mask of shape"):
        partial_vibrations(matrix, positions, masses, torch.ones(5))


# Thermochemistry


def modes_of(atoms: Atoms, values: list[float]):
    """Modes of made-up stiffness, eV/A^2, of what moves."""
    return normal_modes(atoms, np.diag(values))


def test_hindered_motions_as_in_ase():
    atoms = surface(Atoms("CO", [(0, 0, 0), (0.9, 0.6, 0.3)]), 1.5)
    atoms.positions[:, :2] += 0.1
    atoms.wrap()  # whatever side of the cell its atoms are on
    modes = modes_of(atoms, [0.4, 0.5, 3.0, 0.6, 8.0, 60.0])
    inertia = inertia_about_normal(atoms, np.array([8, 9]))
    carbon, oxygen = 12.011, 15.999
    assert inertia == pytest.approx(carbon * oxygen / (carbon + oxygen) * (0.9**2 + 0.6**2), rel=1e-6)
    given = {"translation": 0.1, "rotation": 0.05, "sites": 1.77e15, "minima": 6, "symmetry": 1}
    mine = adsorbate_thermochemistry(modes, 2.0, hindered=Hindered(**given), largest_force=0.0)
    invcm = 1.239841984e-4
    theirs = HinderedThermo(
        vib_energies=(modes.frequencies * invcm).tolist(),
        trans_barrier_energy=0.1,
        rot_barrier_energy=0.05,
        sitedensity=1.77e15,
        rotationalminima=6,
        potentialenergy=2.0,
        mass=carbon + oxygen,
        inertia=inertia,
    )
    assert mine.helmholtz_energy == pytest.approx(
        theirs.get_helmholtz_energy(298.15, verbose=False), abs=1e-6
    )
    assert mine.model == "hindered" and sum(mine.entropy_parts.values()) == pytest.approx(mine.entropy)
    upright = modes_of(surface(Atoms("CO", [(0, 0, 0), (0, 0, 1.1)])), [0.4, 0.5, 3.0, 0.6, 8.0, 60.0])
    with pytest.raises(DataError, match="does not turn"):
        adsorbate_thermochemistry(upright, hindered=Hindered(**given))
    with pytest.raises(OptionsError, match="wanted numbers above 0"):
        adsorbate_thermochemistry(modes, hindered=Hindered(**given | {"sites": -1.0}))
    saddle = modes_of(atoms, [-0.4, 0.5, 3.0, 0.6, 8.0, 60.0])
    with pytest.raises(DataError, match="for a minimum"):
        adsorbate_thermochemistry(saddle, hindered=Hindered(**given))


def test_what_has_no_harmonic_free_energy():
    gas = normal_modes(molecule("H2O"), np.eye(9))
    with pytest.raises(DataError, match="no held atoms"):
        adsorbate_thermochemistry(gas)
    water = molecule("H2O")
    water.set_constraint(FixAtoms([0]))
    with pytest.raises(DataError, match="leave 3 rigid motions"):
        adsorbate_thermochemistry(normal_modes(water, np.eye(6)))
    on_copper = modes_of(surface(), [-1.0, -2.0, 3.0])
    with pytest.raises(DataError, match="2 imaginary modes"):
        adsorbate_thermochemistry(on_copper)
    with pytest.raises(DataError, match="it is no gas"):
        thermochemistry(on_copper)
    found = adsorbate_thermochemistry(modes_of(surface(), [-1.0, 2.0, 3.0]), largest_force=1e-3)
    assert found.kind == "transition state" and len(found.imaginary) == 1
    assert (
        adsorbate_thermochemistry(modes_of(surface(), [1.0, 2.0, 3.0]), largest_force=0.2).stationary is False
    )


# Commands


@pytest.fixture
def resting() -> Atoms:
    found = at_rest(surface(), EMT())
    found.calc = None
    return found


def test_the_verbs_on_a_surface(resting, tmp_path):
    """vibrations, thermo and hessian of the same structure, and of the rows that hessian writes."""
    found = verbs.vibrations(resting, EMT_ENGINE, tmp_path / "vibrations").results[0]
    assert found["free_atoms"] == [8] and found["free_coordinates"] == 3 and found["kind"] == "minimum"
    movie = read_frames(tmp_path / "vibrations" / "HCu8.modes.xyz")
    assert movie[0].pbc.tolist() == [True, True, False] and len(movie) == 60
    labels = verbs.hessian(resting, EMT_ENGINE, tmp_path / "rows.xyz")
    label = read_label(read_frames(tmp_path / "rows.xyz")[0])
    assert label.kind == "rows" and label.atoms.tolist() == [8] and label.hessian.shape == (3, 27)
    assert np.abs(labels.structures[0].arrays["REF_forces"][:8]).max() > 0.05  # labels know no constraints
    computed = verbs.thermo(resting, EMT_ENGINE, tmp_path / "thermo").results[0]
    stored = verbs.thermo(tmp_path / "rows.xyz").results[0]
    assert computed["helmholtz_energy"] == pytest.approx(stored["helmholtz_energy"], abs=1e-7)
    assert "no gas, all modes are harmonic" in computed["remarks"][0]
    assert "HCu8" in (tmp_path / "thermo" / "thermo.csv").read_text()
    others = read_frames(tmp_path / "rows.xyz")
    others[0].set_constraint(FixAtoms(range(4)))  # rows of other atoms than those that move
    failed = verbs.thermo([*others, resting]).failures
    assert len(failed) == 2 and "no rows of the atoms that move" in failed[0]["error"]


def test_what_the_verbs_refuse(resting):
    """Each with its reason, before anything is computed; a constraint is never ignored."""
    held, everything, gas = resting.copy(), resting.copy(), resting.copy()
    everything.set_constraint(FixAtoms(range(9)))
    gas.set_constraint()
    held.set_constraint([*held.constraints, FixBondLength(0, 8)])
    for atoms, reason in (
        (held, "FixBondLength"),
        (everything, "nothing that could move"),
        (gas, "hold atoms"),
    ):
        for verb in (verbs.vibrations, verbs.thermo, verbs.hessian):
            with pytest.raises(DataError, match=reason):
                verb(atoms, EMT_ENGINE)
    with pytest.raises(DataError, match="knows no surfaces"):
        verbs.compare_thermo(resting, EMT_ENGINE)
    md = verbs.vibrations(resting, EMT_ENGINE, md=0.2).failures
    assert "dynamics of free molecules" in md[0]["error"]
    options = ["translation=0.1", "rotation=0.1", "sites=1e15", "minima=6"]
    assert "does not turn" in verbs.thermo(resting, EMT_ENGINE, hindered=options).failures[0]["error"]
    with pytest.raises(OptionsError, match="no option 'site'"):
        verbs.thermo(resting, EMT_ENGINE, hindered=["site=1e15"])
    crystal = bulk("Cu", cubic=True)
    crystal.set_constraint(FixAtoms([0]))
    with pytest.raises(DataError, match="FixAtoms of 1 atom.*moves all atoms"):
        relax_crystal(crystal, EMT())


def test_labels_of_the_rows_of_what_moves(resting, tmp_path):
    write_frames(tmp_path / "in.xyz", [resting, molecule("CO")])
    settings = LabelSettings(
        "calculator", {"calculator": "ase.calculators.emt:EMT"}, hessian="rows", atoms="free"
    )
    summary = run_labelling([tmp_path / "in.xyz"], tmp_path / "out.xyz", settings)
    assert summary.labelled == 1 and summary.failures[0]["kind"] == "selection"
    assert "none of 2 atoms are held" in summary.failures[0]["error"]
    assert read_label(read_frames(tmp_path / "out.xyz")[0]).atoms.tolist() == [8]
    named = resting.copy()
    named.arrays["free"] = np.arange(9) < 2
    assert select_atoms(named, "free").tolist() == [0, 1]
    named.set_constraint(FixBondLength(0, 1))
    del named.arrays["free"]
    with pytest.raises(EngineError, match="FixBondLength"):
        select_atoms(named, "free")


@pytest.mark.slow
def test_stationary_points_on_a_surface(tmp_path):
    """Hydrogen on Cu(111): to the hollow; and from near the bridge to the saddle between two of them."""
    pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
    start, top = surface(), surface(site="bridge")
    start.rattle(0.1, seed=1)
    there = start.copy()
    found = verbs.optimize([start, top], EMT_ENGINE, tmp_path / "minima.xyz", fmax=0.002)
    assert found.results[0]["kind"] == "minimum" and found.results[0]["largest_force"] < 0.002
    minimum = read_frames(tmp_path / "minima.xyz")[0]
    fixed = free_coordinates(minimum)
    assert fixed.atoms.tolist() == [8]
    np.testing.assert_allclose(minimum.positions[:8], there.positions[:8], atol=1e-7)
    assert np.abs(minimum.arrays["REF_forces"][:8]).max() > 0.05  # labels know no constraints
    saddle = verbs.optimize(top, EMT_ENGINE, saddle=True, fmax=0.002).results[0]
    assert saddle["kind"] == "transition state" and saddle["imaginary_modes"] == 1
    assert saddle["energy"] > found.results[0]["energy"] + 0.005


def test_what_is_held_belongs_to_what_is_asked():
    """A run that goes on, or a result that is kept, is of the same held atoms."""
    first, second = surface(), surface()
    second.set_constraint(FixAtoms(range(4)))
    assert of_structures([first])["sha256"] != of_structures([second])["sha256"]
    assert of_structures([first])["sha256"] == of_structures([surface()])["sha256"]
    assert identity_of(Pair("x", first, first)) != identity_of(Pair("x", second, second))


# Reactions


def hop() -> tuple[Atoms, Atoms]:
    """Hydrogen in the two hollows next to a bridge of Cu(111), near their minima."""
    return surface(height=0.6), surface(height=0.6, site="hcp")


def test_what_reactions_on_a_surface_refuse():
    pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
    from hint_plugin.science.reactions.run import reaction

    start, end = hop()
    away, other, cell = end.copy(), end.copy(), end.copy()
    away.positions[0, 0] += 0.1
    other.set_constraint(FixAtoms(range(7)))
    cell.cell = cell.cell * 1.01
    for product, reason in (
        (away, "a held atom is 0.100 A off"),
        (other, r"different coordinates \(FixAtoms of 8 atoms and FixAtoms of 7"),
        (cell, "different cells"),
    ):
        with pytest.raises(DataError, match=reason):
            reaction(start, product, EMT_ENGINE)
    with pytest.raises((DataError, MissingDependencyError), match="the method reactbench|pysisyphus"):
        reaction(start, end, EMT_ENGINE, method="reactbench")


def test_paths_over_a_surface():
    """The shorter way around the cell; held atoms stay, and sites are told apart though bonds do not."""
    start, end = hop()
    across = end.copy()
    across.positions[8] += across.cell[0]
    for product in (end, across):
        path = interpolate(start, product, 5)
        positions = np.array([image.positions for image in path])
        assert np.ptp(positions[:, :8], axis=0).max() == 0.0
        lengths = np.linalg.norm(np.diff(positions[:, 8], axis=0), axis=1)
        assert lengths.sum() == pytest.approx(np.linalg.norm(end[8].position - start[8].position), rel=0.2)
    assert rmsd(end, across) == pytest.approx(0.0, abs=1e-9) and match(end, across)
    assert rmsd(start, end) == pytest.approx(2.5527 / np.sqrt(3), abs=1e-3) and not match(start, end)


@pytest.mark.slow
def test_hydrogen_hops_on_copper(tmp_path):
    """By `reaction` and by `neb`: over the bridge, where symmetry gives the energy of the saddle; and the
    free energy of activation as ASE has it."""
    pytest.importorskip("sella", reason="needs Sella: pip install '.[reactions]'")
    pytest.importorskip("geodesic_interpolate", reason="needs geodesic-interpolate")
    from hint_plugin.science.reactions.run import reaction
    from hint_plugin.science.reactions.run_neb import neb

    bridge = surface(height=0.6, site="bridge")
    bridge.set_constraint([FixAtoms(range(8)), FixCartesian([8], mask=(True, True, False))])
    top = at_rest(bridge, EMT(), 1e-3).get_potential_energy()
    found = reaction(*hop(), EMT_ENGINE).reaction
    wanted = top - found.reactant.energy
    assert found.verdict == "intended" and found.verdicts["geometric"] is True
    assert found.barriers["forward"] == pytest.approx(wanted, abs=1e-4) and 0.005 < wanted < 0.02
    theirs = []
    for name, part in (("r", found.reactant), ("ts", found.saddle)):
        (tmp_path / name).mkdir()
        energies = [one.real for one in by_ase(part.atoms, EMT(), tmp_path / name)[1] if one.real > 0]
        theirs.append(HarmonicThermo(energies, part.energy).get_helmholtz_energy(298.15, verbose=False))
    mine = found.gibbs(ReactionSettings())
    assert mine["forward"] == pytest.approx(theirs[1] - theirs[0], abs=1e-5)
    band = neb(*hop(), EMT_ENGINE, tmp_path / "neb", images=5)
    assert band.complete and band.band.height - band.band.energies[0] == pytest.approx(wanted, abs=1e-3)
