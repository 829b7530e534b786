"""The contract of an interatomic potential that is trained on Hessians, as tests that every model inherits.

    class TestMyModel(ModelContract):
        @pytest.fixture(params=[...])
        def make(self, request):
            return lambda seed: MyAdapter(randomised(MyModel(NUMBERS, ...), seed))

`ModelUnderTest` is all that the suite asks of a model; r_ij = r_j - r_i + shift. All in float64 unless a test
says otherwise. The long run of molecular dynamics waits for HINT_LONG_NVE=1 (minutes a model):

    HINT_LONG_NVE=1 pytest tests/contract -k nve_long
"""

from __future__ import annotations

import copy
import io
import itertools
import os
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, make_supercell, molecule
from ase.data import chemical_symbols, covalent_radii
from ase.neighborlist import neighbor_list
from torch import Tensor, nn

from hint_plugin.core.hvp import hessians_from_forces, hvp_by_difference, hvp_from_energy

Batch = dict[str, Tensor]

#: Elements that a model under test has to know, and one that it must not.
NUMBERS = (1, 6, 8, 14, 29)
SYMBOLS = [chemical_symbols[z] for z in NUMBERS]
UNKNOWN = 92

#: Relative to the largest element unless a unit is named.
TOLERANCE = {
    "difference": 1e-6,  # extrapolated central differences: truncation of h^4, rounding of 1e-16/h, h = 4e-3
    "third order": 1e-5,  # the same along a parameter
    "rounding": 1e-10,  # sums in another order, rotated frames: 1e-16 times the length and depth of the sums
    "exchange": 1e-12,  # the same sums in another program (TorchScript, other batches)
    "jump": 1e-9,  # eV; Simpson's rule over 1e-3 A errs by 1e-12 times the fourth derivative
    "float32 energy": 1e-5,  # 1e-7 times the depth of the network,
    "float32 forces": 1e-4,  # and about ten times more with each derivative
    "float32 products": 1e-3,
}

#: What a tenth of the distance to the cutoff may leave of a jump: 0.1 if it vanishes linearly, 1 if it stays.
LINEAR = 0.2


class ModelUnderTest:
    """A model as the suite sees it.

    Args:
        module: batch -> energies of the structures [G], eV. A batch has ``positions`` [N, 3],
            ``atomic_numbers`` [N], ``edge_index`` [2, E] (rows i, j), ``shifts`` [E, 3] (S @ cell), ``batch``
            [N], ``ptr`` [G + 1].
        repels_at: where it repels whatever its weights are, in sums of covalent radii; None: nowhere.
    """

    def __init__(self, module: nn.Module, *, repels_at: float | None = None) -> None:
        self.module, self.repels_at = module, repels_at

    @property
    def cutoff(self) -> float:
        """A: atoms farther apart are no neighbours."""
        return float(getattr(self.module, "cutoff"))  # noqa: B009 - nn.Module's own types are no numbers

    @property
    def hops(self) -> int:
        """How many neighbours away an atom can be and still change another's energy."""
        return int(getattr(self.module, "hops"))  # noqa: B009

    def energies(self, batch: Batch) -> Tensor:
        """[G], eV."""
        return self.module(batch)

    def node_energies(self, batch: Batch) -> Tensor:
        """Energy of each atom [N], up to a constant of its element, eV."""
        raise NotImplementedError

    def replaced(self, module: nn.Module) -> ModelUnderTest:
        """The same adapter around another module."""
        return type(self)(module, repels_at=self.repels_at)


def randomised(module: nn.Module, seed: int, noise: float = 0.1) -> nn.Module:
    """Every parameter moved a bit, so that nothing is tested at its start value only; float64."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(noise * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return module


# structures -------------------------------------------------------------------------------------------------


def methanol() -> Atoms:
    atoms = molecule("CH3OH")
    atoms.rattle(0.1, seed=1)
    return atoms


def carbon_dioxide(axis: Sequence[float] = (0, 0, 1), bond: float = 1.16) -> Atoms:
    along = bond * np.asarray(axis) / np.linalg.norm(axis)
    return Atoms("COO", [0 * along, along, -along])


def linear_c4() -> Atoms:
    return Atoms("C4", [[1.3 * k, 0, 0] for k in range(4)])


def at_the_cutoff(cutoff: float) -> Atoms:
    """Water and a carbon atom exactly one cutoff away from its oxygen."""
    return Atoms("OHHC", [[0, 0, 0], [0.76, 0, 0.59], [-0.76, 0.1, 0.59], [0, 0, cutoff]])


def mixed_cell() -> Atoms:
    """A triclinic cell of four elements, smaller than the cutoff."""
    cell = [[3.4, 0, 0], [0.7, 3.1, 0], [-0.5, 0.9, 3.6]]
    scaled = [[0.05, 0.1, 0.02], [0.45, 0.55, 0.1], [0.6, 0.1, 0.55], [0.15, 0.6, 0.62]]
    return Atoms("SiCOH", scaled_positions=scaled, cell=cell, pbc=True)


def copper() -> Atoms:
    return bulk("Cu", "fcc", a=3.61, cubic=True)


def silicon() -> Atoms:
    return bulk("Si", "diamond", a=5.43)


def symmetric_systems() -> dict[str, Atoms]:
    return {
        "CO2 along z": carbon_dioxide(),
        "CO2 along x": carbon_dioxide((1, 0, 0)),
        "CO2 along a diagonal": carbon_dioxide((1, 1, 1)),
        "linear C4": linear_c4(),
        "fcc": copper(),
        "diamond": silicon(),
    }


# batches ----------------------------------------------------------------------------------------------------


def graph(atoms: Atoms, cutoff: float, margin: float = 0.5) -> tuple[Tensor, Tensor]:
    """Edges (i, j) and S @ cell of all pairs within cutoff + margin: some of them must not count."""
    i, j, shifts = neighbor_list("ijS", atoms, cutoff + margin)
    edges = torch.as_tensor(np.stack([i, j]), dtype=torch.long)
    return edges, torch.as_tensor(shifts @ atoms.cell.array, dtype=torch.float64)


def replicas(
    atoms: Atoms, positions: Tensor, edges: Tensor, shifts: Tensor, cutoff: float | None = None
) -> Batch:
    """Geometries [M, N, 3] of one structure as a batch of M, with these edges or those below a cutoff."""
    count, size = positions.shape[:2]
    offsets = size * torch.arange(count)
    wide, far = (edges[:, None, :] + offsets[None, :, None]).reshape(2, -1), shifts.repeat(count, 1)
    if cutoff is not None:
        x = positions.detach().reshape(-1, 3)
        near = (x[wide[1]] - x[wide[0]] + far).norm(dim=-1) < cutoff
        wide, far = wide[:, near], far[near]
    return {
        "positions": positions.reshape(-1, 3),
        "atomic_numbers": torch.as_tensor(atoms.numbers).repeat(count),
        "edge_index": wide,
        "shifts": far,
        "batch": torch.arange(count).repeat_interleave(size),
        "ptr": size * torch.arange(count + 1),
    }


def collate(structures: Sequence[Atoms], cutoff: float, margin: float = 0.5) -> Batch:
    """A batch of different structures."""
    parts = []
    for atoms in structures:
        positions = torch.as_tensor(atoms.positions, dtype=torch.float64).unsqueeze(0)
        parts.append(replicas(atoms, positions, *graph(atoms, cutoff, margin)))
    starts = np.cumsum([0] + [len(a) for a in structures])
    return {
        "positions": torch.cat([p["positions"] for p in parts]),
        "atomic_numbers": torch.cat([p["atomic_numbers"] for p in parts]),
        "edge_index": torch.cat([p["edge_index"] + k for p, k in zip(parts, starts, strict=False)], dim=1),
        "shifts": torch.cat([p["shifts"] for p in parts]),
        "batch": torch.arange(len(parts)).repeat_interleave(torch.tensor([len(a) for a in structures])),
        "ptr": torch.as_tensor(starts),
    }


# what is compared -------------------------------------------------------------------------------------------


def at(potential: ModelUnderTest, batch: Batch) -> Callable[[Tensor], Tensor]:
    """positions -> energies [G]."""
    return lambda positions: potential.energies({**batch, "positions": positions})


def energies_and_forces(
    potential: ModelUnderTest, batch: Batch, create_graph: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Energies [G], forces [N, 3], and the leaf that they depend on."""
    leaf = batch["positions"].detach().requires_grad_(True)
    energies = at(potential, batch)(leaf)
    (gradient,) = torch.autograd.grad(energies.sum(), leaf, create_graph=create_graph)
    return energies if create_graph else energies.detach(), -gradient, leaf


def products(potential: ModelUnderTest, batch: Batch, probes: Tensor, create_graph: bool = False) -> Tensor:
    """H v [K, N, 3] by autograd."""
    return hvp_from_energy(at(potential, batch), batch["positions"], probes, create_graph=create_graph)


def products_by_difference(
    potential: ModelUnderTest, batch: Batch, probes: Tensor, step: float = 4e-3
) -> Tensor:
    """H v [K, N, 3] from forces at four displacements, with an error of order step^4 (Richardson)."""

    def forces(positions: Tensor) -> Tensor:
        return energies_and_forces(potential, {**batch, "positions": positions})[1]

    coarse, fine = (
        hvp_by_difference(forces, batch["positions"], probes, step=h, ptr=batch["ptr"])
        for h in (step, step / 2)
    )
    return (4 * fine - coarse) / 3


def hessian(potential: ModelUnderTest, atoms: Atoms) -> tuple[Tensor, Tensor]:
    """H [3N, 3N], not symmetrised, and the gradient [N, 3]."""
    batch = collate([atoms], potential.cutoff)
    _, forces, leaf = energies_and_forces(potential, batch, create_graph=True)
    return hessians_from_forces(forces, leaf, batch["ptr"])[0], -forces.detach()


def line_derivatives(potential: ModelUnderTest, atoms: Atoms, direction: Tensor, distances: Tensor) -> Tensor:
    """dE^n/ds^n, n = 0 to 3, of a molecule at x + s d: [4, M]. Only pairs below the cutoff are edges."""
    s = distances.clone().requires_grad_(True)
    start = torch.as_tensor(atoms.positions, dtype=torch.float64)
    edges, shifts = graph(atoms, potential.cutoff, margin=20.0)  # all pairs
    geometries = start + s[:, None, None] * direction
    found = [potential.energies(replicas(atoms, geometries, edges, shifts, potential.cutoff))]
    for _ in range(3):
        found.append(torch.autograd.grad(found[-1].sum(), s, create_graph=True)[0])
    return torch.stack(found).detach()


def simpson_defects(
    potential: ModelUnderTest,
    atoms: Atoms,
    directions: Tensor,
    begin: Tensor,
    end: Tensor,
    intervals: int = 20,
) -> Tensor:
    """|E(b) - E(a) - int_a^b grad E dx| of each interval of the lines x + s d, begin <= s <= end, in eV.

    The integral is Simpson's. Of a smooth energy nothing is left; a jump of the energy is seen whole, one of
    the forces times a part of the interval. Only pairs below the cutoff are edges.

    Args:
        potential: the model.
        atoms: x.
        directions: d of each line, [M, N, 3], A.
        begin, end: of each line, [M].
        intervals: of each line.

    Returns:
        [M, intervals].
    """
    reach = float((directions.norm(dim=-1).amax(-1) * torch.maximum(begin.abs(), end.abs())).max())
    edges, shifts = graph(atoms, potential.cutoff, margin=0.1 + 2 * reach)
    s = begin[:, None] + (end - begin)[:, None] * torch.linspace(0, 1, 2 * intervals + 1, dtype=torch.float64)
    start = torch.as_tensor(atoms.positions, dtype=torch.float64)
    geometries = start + s[..., None, None] * directions[:, None]
    along = directions[:, None].expand_as(geometries).flatten(0, 1)
    energies, slopes = [], []
    # Batches that fit the processor's cache.
    for part, d in zip(
        geometries.flatten(0, 1).split(1 + 8000 // max(1, edges.shape[1])),
        along.split(1 + 8000 // max(1, edges.shape[1])),
        strict=True,
    ):
        energy, forces, _ = energies_and_forces(
            potential, replicas(atoms, part, edges, shifts, potential.cutoff)
        )
        energies.append(energy)
        slopes.append(-(forces.reshape(d.shape) * d).sum((-1, -2)))
    energy, slope = torch.cat(energies).view(s.shape), torch.cat(slopes).view(s.shape)
    assert torch.isfinite(energy).all() and torch.isfinite(slope).all()
    width = (s[:, 2::2] - s[:, :-2:2]) / 6
    integral = width * (slope[:, :-2:2] + 4 * slope[:, 1::2] + slope[:, 2::2])
    return (energy[:, 2::2] - energy[:, :-2:2] - integral).abs()


def total_energies(
    potential: ModelUnderTest, structures: Sequence[Atoms], dt: float, steps: int, *, kelvin: float = 600.0
) -> tuple[Tensor, Tensor]:
    """Velocity Verlet at constant energy; the structures do not interact.

    Atoms are tied to where they start by springs of 5 eV/A^2, whose energy counts: whatever the weights are,
    they neither collapse nor fly apart.

    Args:
        potential: the model.
        structures: where they start.
        dt: time step, fs.
        steps: number of them.
        kelvin: of the velocities at the start, which are the same at every call.

    Returns:
        Kinetic + potential energy [steps + 1, G], eV, and the potential energy of the model alone.
    """
    margin, spring = 2.6, 5.0
    batch = collate(structures, potential.cutoff, margin)
    owner, count = batch["batch"], len(structures)
    masses = torch.as_tensor(np.concatenate([a.get_masses() for a in structures])).unsqueeze(-1)
    generator = torch.Generator().manual_seed(7)
    start = batch["positions"]
    velocities = torch.randn(start.shape, generator=generator, dtype=torch.float64)
    velocities = velocities * (units.kB * kelvin / masses).sqrt()
    positions, h = start.clone(), dt * units.fs

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        energy, forces, _ = energies_and_forces(potential, {**batch, "positions": x})
        away = x - start
        tied = torch.zeros(count, dtype=x.dtype).index_add(0, owner, 0.5 * spring * away.square().sum(-1))
        return energy, energy + tied, forces - spring * away

    def kinetic(v: Tensor) -> Tensor:
        return torch.zeros(count, dtype=v.dtype).index_add(0, owner, (0.5 * masses * v * v).sum(-1))

    energy, tied, forces = evaluate(positions)
    totals, alone = [tied + kinetic(velocities)], [energy]
    for _ in range(steps):
        velocities = velocities + 0.5 * h * forces / masses
        positions = positions + h * velocities
        energy, tied, forces = evaluate(positions)
        velocities = velocities + 0.5 * h * forces / masses
        totals.append(tied + kinetic(velocities))
        alone.append(energy)
        assert float((positions - start).norm(dim=-1).max()) < margin / 2, "neighbours could be missing"
    return torch.stack(totals), torch.stack(alone)


def relative(found: Tensor, wanted: Tensor) -> float:
    """Largest difference over the largest element that is wanted."""
    return float(((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-300)).detach())


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(seed: int = 0, reflect: bool = False) -> Tensor:
    """A random orthogonal matrix with determinant 1, or -1."""
    q, _ = torch.linalg.qr(drawn(3, 3, seed=seed))
    return q * torch.linalg.det(q) * (-1.0 if reflect else 1.0)


# the suite --------------------------------------------------------------------------------------------------


def _turned(q: Tensor, vectors: Tensor) -> Tensor:
    return vectors @ q.T


class ModelContract:
    """Inherit it and give the fixture ``make``: seed -> `ModelUnderTest` with random weights, in float64."""

    @pytest.fixture
    def make(self) -> Callable[[int], ModelUnderTest]:
        raise NotImplementedError("a contract needs a fixture `make`: seed -> ModelUnderTest")

    @pytest.fixture
    def potential(self, make: Callable[[int], ModelUnderTest]) -> ModelUnderTest:
        return make(0)

    # derivatives

    @pytest.mark.parametrize("atoms", [methanol(), mixed_cell()], ids=["molecule", "cell"])
    def test_hvp_is_the_difference_of_forces(self, potential: ModelUnderTest, atoms: Atoms) -> None:
        batch = collate([atoms], potential.cutoff)
        probes = drawn(3, len(atoms), 3)
        found, wanted = products(potential, batch, probes), products_by_difference(potential, batch, probes)
        assert relative(found, wanted) < TOLERANCE["difference"]

    @pytest.mark.parametrize("atoms", [methanol(), mixed_cell()], ids=["molecule", "cell"])
    def test_hvp_forward_over_reverse(self, potential: ModelUnderTest, atoms: Atoms) -> None:
        batch = collate([atoms], potential.cutoff)
        probes = drawn(2, len(atoms), 3)
        found = hvp_from_energy(at(potential, batch), batch["positions"], probes, mode="forward")
        assert relative(found, products(potential, batch, probes)) < TOLERANCE["exchange"]

    @pytest.mark.parametrize("atoms", symmetric_systems().values(), ids=symmetric_systems())
    def test_hessian_is_right_at_symmetric_geometries(self, potential: ModelUnderTest, atoms: Atoms) -> None:
        """Where frames of unit length, norms of vectors and angles are not smooth."""
        batch = collate([atoms], potential.cutoff)
        probes = torch.eye(3 * len(atoms), dtype=torch.float64).view(-1, len(atoms), 3)
        found, wanted = products(potential, batch, probes), products_by_difference(potential, batch, probes)
        assert relative(found, wanted) < TOLERANCE["difference"]

    def test_third_derivatives(self, potential: ModelUnderTest) -> None:
        """d(w . H v)/d theta = differences along a random direction of theta: a parameter, the positions.

        It takes three derivatives of every operation. Those of PyTorch's own layer_norm are wrong, silently
        (pytorch/pytorch#175754).
        """
        batch = collate([methanol(), mixed_cell()], potential.cutoff)
        batch["positions"].requires_grad_(True)
        v, w = drawn(2, len(batch["positions"]), 3)
        named: dict[str, Tensor] = {n: p for n, p in potential.module.named_parameters() if p.requires_grad}
        named["positions"] = batch["positions"]

        def value(create_graph: bool = False) -> Tensor:
            energies = potential.energies(batch)
            (gradient,) = torch.autograd.grad(energies.sum(), batch["positions"], create_graph=True)
            (product,) = torch.autograd.grad(
                (gradient * v).sum(), batch["positions"], create_graph=create_graph
            )
            return (w * product).sum()

        gradients = torch.autograd.grad(value(True), list(named.values()), allow_unused=True)
        found, wanted = {}, {}
        for k, ((name, theta), gradient) in enumerate(zip(named.items(), gradients, strict=True)):
            direction = drawn(*theta.shape, seed=k)
            found[name] = 0.0 if gradient is None else float((gradient * direction).sum())
            kept, values = theta.detach().clone(), {}
            h = 5e-4 if name == "positions" else 2e-3  # A: the steepest functions are those of a distance
            for step in (-2, -1, 1, 2):
                with torch.no_grad():
                    theta.copy_(kept + step * h * direction)
                values[step] = float(value())
            with torch.no_grad():
                theta.copy_(kept)
            wanted[name] = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * h)
        # Of a tensor that hardly matters, the difference is known to the rounding of the whole only.
        least = 1e-3 * max(abs(x) for x in wanted.values())
        errors = {name: abs(found[name] - x) / max(abs(x), least) for name, x in wanted.items()}
        wrong = {name: f"{error:.1e}" for name, error in errors.items() if error > TOLERANCE["third order"]}
        assert not wrong, f"relative errors: {wrong}"

    @pytest.mark.parametrize("atoms", [methanol(), mixed_cell()], ids=["molecule", "cell"])
    def test_hessian_is_symmetric_and_null_on_translations(
        self, potential: ModelUnderTest, atoms: Atoms
    ) -> None:
        h, _ = hessian(potential, atoms)
        assert relative(h, h.T) < TOLERANCE["rounding"]
        moved = h.reshape(len(h), -1, 3).sum(1)
        assert float(moved.abs().max() / h.abs().max()) < TOLERANCE["rounding"]

    def test_hessian_on_rotations(self, potential: ModelUnderTest) -> None:
        """H (w x X) = w x g, for any geometry: the derivative of g(R X) = R g(X) at R = 1 + [w]x.

        At stationary points, where the gradient g is zero, H is thus null on rotations.
        """
        atoms = methanol()
        h, gradient = hessian(potential, atoms)
        x = torch.as_tensor(atoms.positions)
        for w in torch.eye(3, dtype=torch.float64):
            turned = torch.linalg.cross(w.expand_as(x), x)
            found = (h @ turned.reshape(-1)).view_as(x)
            wanted = torch.linalg.cross(w.expand_as(x), gradient)
            assert float((found - wanted).abs().max() / h.abs().max()) < TOLERANCE["rounding"]

    # invariances

    def assert_same(
        self,
        potential: ModelUnderTest,
        atoms: Atoms,
        other: Atoms,
        forces: Callable[[Tensor], Tensor] = lambda f: f,
    ) -> None:
        """Energies agree, and the forces of ``other`` are the given function of those of ``atoms``."""
        energy, wanted, _ = energies_and_forces(potential, collate([atoms], potential.cutoff))
        same, found, _ = energies_and_forces(potential, collate([other], potential.cutoff))
        assert relative(same, energy) < TOLERANCE["rounding"]
        assert relative(found, forces(wanted)) < TOLERANCE["rounding"]

    @pytest.mark.parametrize("reflect", [False, True], ids=["rotation", "reflection"])
    @pytest.mark.parametrize("atoms", [methanol(), mixed_cell()], ids=["molecule", "cell"])
    def test_turned(self, potential: ModelUnderTest, atoms: Atoms, reflect: bool) -> None:
        for seed in range(3):
            q = rotation(seed, reflect)
            other = atoms.copy()
            other.set_cell(atoms.cell.array @ q.numpy().T)
            other.positions = atoms.positions @ q.numpy().T
            self.assert_same(potential, atoms, other, partial(_turned, q))

    @pytest.mark.parametrize("atoms", [methanol(), mixed_cell()], ids=["molecule", "cell"])
    def test_permuted_and_moved(self, potential: ModelUnderTest, atoms: Atoms) -> None:
        order = torch.randperm(len(atoms), generator=torch.Generator().manual_seed(0))
        self.assert_same(potential, atoms, atoms[order.tolist()], lambda f: f[order])
        other = atoms.copy()
        other.translate([1.3, -0.4, 17.0])
        self.assert_same(potential, atoms, other)

    def test_other_descriptions_of_a_crystal(self, potential: ModelUnderTest) -> None:
        """An atom moved by a lattice vector; all shifted and wrapped; another cell of the same lattice."""
        atoms = mixed_cell()
        for k, vector in itertools.product(range(len(atoms)), ([1, 0, 0], [0, -1, 2])):
            other = atoms.copy()
            other.positions[k] += vector @ atoms.cell.array
            self.assert_same(potential, atoms, other)
        shifted = atoms.copy()
        shifted.translate([1.7, 2.1, -0.9])
        shifted.wrap()
        self.assert_same(potential, atoms, shifted)
        sheared = atoms.copy()
        sheared.set_cell(np.array([[1, 0, 0], [0, 1, 0], [1, -1, 1]]) @ atoms.cell.array)
        self.assert_same(potential, atoms, sheared)

    @pytest.mark.parametrize("atoms", [silicon(), mixed_cell()], ids=["diamond", "cell"])
    def test_supercell(self, potential: ModelUnderTest, atoms: Atoms) -> None:
        """E(2x2x2) = 8 E, the same forces, the same phonons: H of the cell = the supercell's over images."""
        if len(atoms) == 2:
            atoms = atoms.copy()
            atoms.rattle(0.05, seed=3)
        large = make_supercell(atoms, 2 * np.eye(3), order="cell-major")
        size, copies = len(atoms), len(large) // len(atoms)
        assert (large.numbers == np.tile(atoms.numbers, copies)).all()
        batch, wide = collate([atoms], potential.cutoff), collate([large], potential.cutoff)
        energy, forces, _ = energies_and_forces(potential, batch)
        energy_wide, forces_wide, _ = energies_and_forces(potential, wide)
        assert relative(energy_wide, 8 * energy) < TOLERANCE["rounding"]
        assert relative(forces_wide, forces.repeat(copies, 1)) < TOLERANCE["rounding"]

        columns = torch.eye(3 * size, dtype=torch.float64).view(-1, size, 3)
        home = torch.cat([columns, torch.zeros(3 * size, (copies - 1) * size, 3)], dim=1)
        folded = products(potential, wide, home).view(3 * size, copies, size, 3).sum(1)
        assert relative(folded, products(potential, batch, columns)) < TOLERANCE["rounding"]

    # smoothness

    def test_no_jump_along_random_lines(self, potential: ModelUnderTest) -> None:
        """210 lines of 0.02 A, in which all atoms move."""
        systems = [
            methanol(),
            carbon_dioxide((1, 1, 1)),
            linear_c4(),
            at_the_cutoff(potential.cutoff),
            mixed_cell(),
            silicon(),
            copper(),
        ]
        for seed, atoms in enumerate(systems):
            lines = drawn(30, len(atoms), 3, seed=seed)
            lines *= 0.02 / lines.norm(dim=-1).amax(-1)[:, None, None]
            begin = -torch.rand(30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            defects = simpson_defects(potential, atoms, lines, begin, begin + 1)
            assert float(defects.max()) < TOLERANCE["jump"], atoms

    @pytest.mark.parametrize(
        "path", ["cutoff", "CO2 bend", "C4 bend", "C4 zigzag", "fcc site", "diamond site"]
    )
    def test_no_jump_along_a_path(self, potential: ModelUnderTest, path: str) -> None:
        """A pair that crosses the cutoff; through collinearity; through the centre of a symmetric site."""
        moves = {
            "cutoff": (at_the_cutoff(potential.cutoff), [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1.0]]),
            "CO2 bend": (carbon_dioxide(), [[1.0, 0, 0], [-0.5, 0, 0], [-0.5, 0, 0]]),
            "C4 bend": (linear_c4(), [[0, -1.0, 0], [0, 1.0, 0], [0, 1.0, 0], [0, -1.0, 0]]),
            "C4 zigzag": (linear_c4(), [[0, 0, 1.0], [0, 0, -1.0], [0, 0, 1.0], [0, 0, -1.0]]),
            "fcc site": (copper(), None),
            "diamond site": (silicon(), None),
        }
        atoms, move = moves[path]
        if move is None:
            directions = torch.zeros(4, len(atoms), 3, dtype=torch.float64)
            axes = [[1.0, 0, 0], [1.0, 1.0, 0], [1.0, 1.0, 1.0], [0.3, -0.7, 0.2]]
            directions[:, 0] = nn.functional.normalize(torch.tensor(axes, dtype=torch.float64), dim=-1)
        else:
            directions = torch.tensor([move], dtype=torch.float64)
        half = 0.1 if move is None else 0.2
        end = torch.full((len(directions),), half, dtype=torch.float64)
        # An odd number of intervals: the symmetric point is inside of one.
        count = int(2 * half / 1e-3) + 1
        defects = simpson_defects(potential, atoms, directions, -end, end + 0.0003, intervals=count)
        assert float(defects.max()) < TOLERANCE["jump"]

    @pytest.mark.parametrize("pair", ["CO", "HH", "CuCu"])
    def test_dimer_reaches_the_cutoff_in_c3(self, potential: ModelUnderTest, pair: str) -> None:
        """The n-th derivative vanishes at the cutoff as (r_c - r)^(4 - n), or faster.

        An envelope that is C^2 only leaves a third derivative there, and fails.
        """
        self.assert_c3(potential, Atoms(pair, np.zeros((2, 3))), torch.tensor([[0.0, 0, 0], [0, 0.6, 0.8]]))

    def test_third_atom_reaches_the_cutoff_in_c3(self, potential: ModelUnderTest) -> None:
        """The same where other atoms are within the cutoff already: inside goes to outside."""
        atoms = at_the_cutoff(potential.cutoff)
        atoms.positions[3] = 0
        self.assert_c3(potential, atoms, torch.tensor([[0.0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1.0]]))

    @pytest.mark.parametrize("pair", ["CO", "CuC"])
    def test_dimer_is_c3_everywhere(self, potential: ModelUnderTest, pair: str) -> None:
        """From 0.5 A to the cutoff, so also where a repulsion ends: no jump of the third derivative.

        On a grid four times finer, its steps from point to point are four times smaller where it is
        continuous; a jump keeps its height.
        """
        parts, near = 4, 12
        count = int((potential.cutoff - 0.5) / 4e-3)
        r = 0.5 + 1e-3 * torch.arange(parts * count + 1, dtype=torch.float64)
        line = torch.tensor([[0.0, 0, 0], [0, 0, 1]], dtype=torch.float64)
        third = line_derivatives(potential, Atoms(pair, np.zeros((2, 3))), line, r)[3]
        fine = third.diff().abs().view(count, parts).amax(-1)
        coarse = third[::parts].diff().abs()
        around = nn.functional.max_pool1d(coarse[None, None], 2 * near + 1, 1, near)[0, 0]
        assert float((fine / around).max()) < 0.6

    def assert_c3(self, potential: ModelUnderTest, atoms: Atoms, direction: Tensor) -> None:
        """As the last atom moves from the origin along the direction; no other pair crosses the cutoff near.

        The jump of each derivative from r_c - eps to r_c + eps vanishes at least linearly with eps.
        """
        r_c = potential.cutoff
        eps = torch.tensor([1e-2, 1e-3], dtype=torch.float64)
        distances = torch.cat([r_c - eps, r_c + eps, torch.tensor([0.9 * r_c], dtype=torch.float64)])
        found = line_derivatives(potential, atoms, direction.double(), distances)
        jumps = (found[:, :2] - found[:, 2:4]).abs()
        assert float(found[3, 4].abs()) > 0, "the pair does not interact: nothing was tested"
        assert (jumps[:, 1] <= LINEAR * jumps[:, 0]).all(), jumps

    def test_pairs_beyond_the_cutoff_change_nothing(self, potential: ModelUnderTest) -> None:
        """Exactly: their gradient is zero, and it does not matter where they point."""
        batch = collate(
            [methanol(), mixed_cell(), at_the_cutoff(potential.cutoff)], potential.cutoff, margin=1.0
        )
        i, j = batch["edge_index"]
        vectors = batch["positions"][j] - batch["positions"][i] + batch["shifts"]
        beyond = vectors.norm(dim=-1) >= potential.cutoff
        assert 0 < int(beyond.sum()) < len(beyond)
        shifts = batch["shifts"].clone().requires_grad_(True)
        energies = potential.energies({**batch, "shifts": shifts})
        (gradient,) = torch.autograd.grad(energies.sum(), shifts)
        # At the cutoff itself the envelope's derivative is zero to rounding.
        farther = vectors.norm(dim=-1) > potential.cutoff * (1 + 1e-12)
        assert not gradient[farther].any()
        assert float(gradient[beyond].abs().max()) < TOLERANCE["rounding"]

        elsewhere = nn.functional.normalize(drawn(len(beyond), 3), dim=-1) * (potential.cutoff + 0.7)
        moved = batch["shifts"] + torch.where(beyond[:, None], elsewhere - vectors, 0.0)
        assert torch.equal(potential.energies({**batch, "shifts": moved}), energies)
        kept = {**batch, "edge_index": batch["edge_index"][:, ~beyond], "shifts": batch["shifts"][~beyond]}
        assert relative(potential.energies(kept), energies) < TOLERANCE["exchange"]

    @pytest.mark.parametrize("stretched", [False, True], ids=["CO2", "stretched"])
    def test_bend_has_a_curvature(self, potential: ModelUnderTest, stretched: bool) -> None:
        """Angles are felt: E of a linear O-C-O depends on its bend at fixed bonds.

        Stretched, O and O are no neighbours: no distance that the model sees changes.
        """
        bond = 0.6 * potential.cutoff if stretched else 1.16
        angle = torch.zeros((), dtype=torch.float64, requires_grad=True)
        arm = torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)])
        mirrored = arm * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
        positions = torch.stack([torch.zeros_like(arm), bond * arm, bond * mirrored]).unsqueeze(0)
        atoms = carbon_dioxide((1, 0, 0), bond)
        energy = potential.energies(replicas(atoms, positions, *graph(atoms, potential.cutoff)))
        (slope,) = torch.autograd.grad(energy.sum(), angle, create_graph=True)
        (curvature,) = torch.autograd.grad(slope, angle)
        assert abs(float(slope.detach())) < TOLERANCE["rounding"]
        assert abs(float(curvature)) > 1e-6, "eV/rad^2"

    # few atoms

    @pytest.mark.parametrize("pair", [a + b for a, b in itertools.combinations_with_replacement(SYMBOLS, 2)])
    def test_dimer(self, make: Callable[[int], ModelUnderTest], pair: str) -> None:
        """From 0.5 A to beyond the cutoff: finite, no jump, constant beyond; repelled if that is promised."""
        potential = make(0)
        r_c = potential.cutoff
        atoms = Atoms(pair, [[0, 0, 0], [0, 0, 0.5]])
        line = torch.tensor([[[0.0, 0, 0], [0, 0, 1.0]]], dtype=torch.float64)
        begin, end = torch.zeros(1, dtype=torch.float64), torch.full((1,), r_c, dtype=torch.float64)
        defects = simpson_defects(potential, atoms, line, begin, end, intervals=int(r_c / 1e-3))
        assert float(defects.max()) < TOLERANCE["jump"]

        r = torch.tensor([0.5, 1.0001 * r_c, 1.1 * r_c, 3 * r_c], dtype=torch.float64)
        energy, slope, curvature, _ = line_derivatives(potential, Atoms(pair, np.zeros((2, 3))), line[0], r)
        assert not slope[1:].any() and not curvature[1:].any()
        assert relative(energy[2:], energy[1:2]) < TOLERANCE["exchange"]
        if potential.repels_at is not None:
            near = (
                potential.repels_at * covalent_radii[atoms.numbers].sum() * torch.ones(1, dtype=torch.float64)
            )
            slopes = [
                line_derivatives(make(seed), Atoms(pair, np.zeros((2, 3))), line[0], near)[1]
                for seed in range(8)
            ]
            assert max(slopes) < 0, f"{pair}: dE/dr at {float(near):.2f} A: {torch.cat(slopes)} eV/A"

    def test_isolated_atoms(self, potential: ModelUnderTest) -> None:
        lone = [Atoms([z], [[0.3, 0.2, 0.1]]) for z in NUMBERS]
        batch = collate(lone, potential.cutoff)
        assert batch["edge_index"].shape == (2, 0)
        energies, forces, _ = energies_and_forces(potential, batch)
        assert torch.isfinite(energies).all() and not forces.any()
        assert not products(potential, batch, drawn(1, len(NUMBERS), 3)).any()

        mixed = collate([methanol(), lone[1], mixed_cell()], potential.cutoff)
        among, forces, _ = energies_and_forces(potential, mixed)
        assert relative(among[1], energies[1]) < TOLERANCE["exchange"]
        assert not forces[mixed["batch"] == 1].any() and torch.isfinite(forces).all()
        assert torch.isfinite(products(potential, mixed, drawn(1, len(forces), 3))).all()

    # use

    def test_batch_equals_singles(self, potential: ModelUnderTest) -> None:
        systems = [methanol(), mixed_cell(), carbon_dioxide(), copper(), Atoms("H")]
        batch = collate(systems, potential.cutoff)
        probes = drawn(1, len(batch["positions"]), 3)
        energies, forces, _ = energies_and_forces(potential, batch)
        together = products(potential, batch, probes)
        for g, atoms in enumerate(systems):
            own = slice(int(batch["ptr"][g]), int(batch["ptr"][g + 1]))
            single = collate([atoms], potential.cutoff)
            energy, force, _ = energies_and_forces(potential, single)
            assert relative(energies[g], energy) < TOLERANCE["exchange"]
            scale = float(forces.abs().max())
            assert float((forces[own] - force).abs().max()) < TOLERANCE["exchange"] * scale
            scale = float(together.abs().max())
            difference = together[:, own] - products(potential, single, probes[:, own])
            assert float(difference.abs().max()) < TOLERANCE["exchange"] * scale

    def test_receptive_field(self, potential: ModelUnderTest) -> None:
        """An atom feels others exactly ``hops`` neighbours away, in a chain of them."""
        count = potential.hops + 2
        step = 0.75 * potential.cutoff
        chain = [[step * k, 0.1 * step * (k % 2), 0.05 * step * (k % 3)] for k in range(count)]
        batch = collate([Atoms([NUMBERS[1 + k % 3] for k in range(count)], chain)], potential.cutoff)
        leaf = batch["positions"].requires_grad_(True)
        (felt,) = torch.autograd.grad(potential.node_energies(batch)[0], leaf)
        assert felt[potential.hops].any()
        assert not felt[potential.hops + 1].any()

    def test_node_energies_add_up(self, potential: ModelUnderTest) -> None:
        """Their sum and the energy differ by a constant of the elements: the forces are the same."""
        batch = collate([methanol()], potential.cutoff)
        _, forces, _ = energies_and_forces(potential, batch)
        leaf = batch["positions"].requires_grad_(True)
        (gradient,) = torch.autograd.grad(potential.node_energies(batch).sum(), leaf)
        assert relative(-gradient, forces) < TOLERANCE["exchange"]

    def test_every_parameter_is_trained(self, make: Callable[[int], ModelUnderTest]) -> None:
        potential = make(2)
        batch = collate([methanol(), mixed_cell(), copper()], potential.cutoff)
        assert set(batch["atomic_numbers"].tolist()) == set(NUMBERS)
        energies, forces, leaf = energies_and_forces(potential, batch, create_graph=True)
        (product,) = torch.autograd.grad((forces * drawn(*forces.shape)).sum(), leaf, create_graph=True)
        (energies.square().sum() + forces.square().sum() + product.square().sum()).backward()
        for name, parameter in potential.module.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None and parameter.grad.any(), f"{name} gets no gradient"
                assert torch.isfinite(parameter.grad).all(), name

    def test_unknown_element(self, potential: ModelUnderTest) -> None:
        with pytest.raises(ValueError, match="element"):
            potential.energies(collate([Atoms([UNKNOWN, 1], [[0, 0, 0], [0, 0, 1.5]])], potential.cutoff))

    def test_float32(self, potential: ModelUnderTest) -> None:
        batch = collate([methanol(), mixed_cell()], potential.cutoff)
        probes = drawn(1, len(batch["positions"]), 3)
        single = {k: x.float() if x.is_floating_point() else x for k, x in batch.items()}
        other = potential.replaced(copy.deepcopy(potential.module).float())
        energies, forces, _ = energies_and_forces(other, single)
        assert energies.dtype == forces.dtype == torch.float32
        wanted = energies_and_forces(potential, batch)
        assert relative(energies.double(), wanted[0]) < TOLERANCE["float32 energy"]
        assert relative(forces.double(), wanted[1]) < TOLERANCE["float32 forces"]
        product = products(other, single, probes.float()).double()
        assert relative(product, products(potential, batch, probes)) < TOLERANCE["float32 products"]

    def test_torchscript(self, potential: ModelUnderTest) -> None:
        """The same numbers, also in the later calls, which run specialised code."""
        scripted = potential.replaced(torch.jit.script(potential.module))
        for systems in ([methanol(), mixed_cell()], [mixed_cell()], [copper(), Atoms("H")], [methanol()]):
            batch = collate(systems, potential.cutoff)
            probes = drawn(1, len(batch["positions"]), 3)
            energies, forces, _ = energies_and_forces(potential, batch)
            product = products(potential, batch, probes)
            for _ in range(3):
                found = energies_and_forces(scripted, batch)
                assert relative(found[0], energies) < TOLERANCE["exchange"]
                assert float((found[1] - forces).abs().max()) < TOLERANCE["exchange"] * max(
                    1.0, float(forces.abs().max())
                )
                assert relative(products(scripted, batch, probes), product) < TOLERANCE["exchange"]

    def test_state_dict(self, make: Callable[[int], ModelUnderTest]) -> None:
        first, second = make(0), make(1)
        batch = collate([methanol(), mixed_cell()], first.cutoff)
        assert not torch.equal(first.energies(batch), second.energies(batch))
        file = io.BytesIO()
        torch.save(first.module.state_dict(), file)
        file.seek(0)
        second.module.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(first.energies(batch), second.energies(batch))

    # molecular dynamics

    def assert_energy_is_conserved(self, potential: ModelUnderTest, time: float) -> None:
        """The fluctuation of the total energy over ``time`` (fs) is of order dt^2: half dt, a quarter."""
        structures = [methanol(), mixed_cell()]
        coarse, model = total_energies(potential, structures, 0.5, int(2 * time))
        fine, _ = total_energies(potential, structures, 0.25, int(4 * time))
        ratio = coarse.std(0) / fine.std(0)
        print(f"fluctuations {coarse.std(0)}, {fine.std(0)} eV; of the model alone {model.std(0)} eV")
        # The model takes part: its own energy changes by far more than the total.
        assert (model.std(0) > 10 * fine.std(0)).all()
        assert ((ratio > 3) & (ratio < 5)).all(), ratio

    def test_nve(self, potential: ModelUnderTest) -> None:
        """0.1 ps of a hot molecule and of a crystal."""
        self.assert_energy_is_conserved(potential, 100.0)

    @pytest.mark.slow
    @pytest.mark.timeout(7200)
    @pytest.mark.skipif(not os.environ.get("HINT_LONG_NVE"), reason="minutes a model: set HINT_LONG_NVE=1")
    def test_nve_long(self, potential: ModelUnderTest) -> None:
        """10 ps of a hot molecule and of a crystal: HINT_LONG_NVE=1 pytest tests/contract -k nve_long"""
        self.assert_energy_is_conserved(potential, 10_000.0)
