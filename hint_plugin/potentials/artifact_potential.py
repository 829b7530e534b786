"""An artifact at work in Python: energies, forces, stresses, Hessians of structures, one or many at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from scipy.sparse import bsr_matrix, csr_matrix
from torch import Tensor

from hint_plugin.allocator import keep_freed_memory
from hint_plugin.artifact.domain import TrainingDomainWarning
from hint_plugin.artifact.scripted import load_artifact
from hint_plugin.core.devices import DTYPES
from hint_plugin.core.hvp import cubic_products
from hint_plugin.core.invariance import INVARIANCE_SAVES, invariant_hessian, invariant_hessians
from hint_plugin.core.metrics import Prediction
from hint_plugin.core.operator import HessianOperator
from hint_plugin.core.out_of_memory import memory_told
from hint_plugin.data.file_io import file_sha256
from hint_plugin.data.sets.bounded_batches import HESSIAN_BUDGET, batches
from hint_plugin.data.structures.electrons import refuse_unknown_electrons
from hint_plugin.data.structures.neighbour_lists import Neighbours
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.potentials.colouring import colour, hessian_pattern
from hint_plugin.potentials.potential import BasePotential, Evaluation, as_probes
from hint_plugin.pretrained import or_path

ATOMS_AT_ONCE = 2000
"""Structures are joined into one call of the model up to this many atoms."""


@dataclass(frozen=True)
class Graph:
    """Structures side by side, as the contract wants them: E edges, N atoms, G structures.

    On the device: `vectors` [E, 3] (float64, A), `index` [2, E] (i, j), `shifts` [E, 3] (S @ cell, float64),
    `species` [N]. On the host: `ptr` [G + 1], `volumes` [G] (0 without a cell).
    """

    vectors: Tensor
    index: Tensor
    shifts: Tensor
    species: Tensor
    ptr: np.ndarray
    volumes: np.ndarray


class ArtifactPotential(BasePotential):
    """A trained potential from an artifact.

    Structures go in as ASE atoms, one or many; many small ones share a call of the model, which is several
    times faster than one after the other.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        device: str | torch.device = "cpu",
        dtype: str | None = None,
        skin: float = 0.0,
        batch_size: int = 16,
        trust: bool = False,
    ) -> None:
        """Loads the artifact.

        Args:
            path: of `hint export`; or the name of a model that comes with HINT.
            device: of torch.
            dtype: "float32" or "float64"; None keeps the model's own.
            skin: A; neighbour lists of `evaluate` with a single structure are kept until an atom has moved by
                half of it.
            batch_size: structures in one pass of `predict`, at most.
            trust: load a ``.hint.pt2``, which is machine code, too.

        Raises:
            DataError, UnknownVersionError, OptionsError: see `hint_plugin.artifact.scripted.load_artifact`.
        """
        if skin < 0:
            raise OptionsError(f"skin {skin} A; wanted 0 or more")
        self.path = or_path(Path(path))
        self.method = self.path.name
        self.module, self.metadata = load_artifact(self.path, device=device, dtype=dtype, trust=trust)
        self.device = torch.device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.batch_size = batch_size
        self.dtype = DTYPES[dtype or self.metadata.dtype]
        self._kept = Neighbours(self.metadata.cutoff, skin)
        self._fresh = Neighbours(self.metadata.cutoff)
        self._index = np.full(120, -1)
        self._index[self.metadata.numbers] = np.arange(len(self.metadata.species))
        self._domain = self.metadata.domain  # None as soon as something was said

    @property
    def head(self) -> str | None:
        """Of a multihead checkpoint, the one that was exported."""
        return self.metadata.head

    def watch_domain(self) -> None:
        """The next structure that is outside of what the model was trained on is told again."""
        self._domain = self.metadata.domain

    def provenance(self, atoms: Atoms | None = None) -> dict[str, Any]:
        """The file, its hash, the precision, the head."""
        found = {"engine": "model", "method": self.method, "model_sha256": file_sha256(self.path)}
        found["dtype"] = str(self.dtype).removeprefix("torch.")
        return {**found, "head": self.head} if self.head else found

    # What a user asks for

    def evaluate(self, frames: Sequence[Atoms]) -> list[Evaluation]:
        """Energies, forces, virials and stresses of structures, in their order.

        The first one that is outside of what the model was trained on, where the artifact knows this, is
        told by a `TrainingDomainWarning`, here as with Hessians; `outside_training` tells of each.

        Raises:
            DataError: a structure has no atoms, an element that the model does not know, a position that is
                not finite, or is periodic in a direction in which it has no cell vector.
        """
        found: list[Evaluation] = []
        for block in batches(frames, len(frames), atoms_at_once=ATOMS_AT_ONCE):
            found.extend(self._evaluate(block, self._kept if len(frames) == 1 else self._fresh))
        return found

    def predict(self, frames: Sequence[Atoms], hessian: bool = False) -> Iterator[Prediction]:
        """See `Potential.predict`; the Hessians are exact."""
        for block in batches(frames, self.batch_size, HESSIAN_BUDGET if hessian else None):
            hessians: Sequence[Tensor | None] = [None] * len(block)
            if hessian:
                graph, energies, gradient, positions = self._differentiable(block)
                forces = self._forces(graph, gradient)
                with self._memory_told(block, "the Hessians of "):
                    ptr, kinds = torch.as_tensor(graph.ptr), [atoms.numbers for atoms in block]
                    periodic = [bool(atoms.pbc.any()) for atoms in block]
                    hessians = invariant_hessians(forces, positions, ptr, kinds, periodic)
                evaluations = self._evaluations(graph, energies.detach(), gradient.detach())
            else:
                evaluations = self.evaluate(block)
            for found, matrix in zip(evaluations, hessians, strict=True):
                yield Prediction(
                    energy=found.energy,
                    forces=torch.from_numpy(found.forces),
                    stress=None if found.stress is None else torch.from_numpy(found.stress),
                    hessian=None if matrix is None else matrix.cpu().double(),
                )

    def hessian(self, atoms: Atoms, *, symmetrise: bool = True) -> np.ndarray:
        """Exact Hessian [3N, 3N], eV/A^2, row-major (atom, axis), with one graph.

        3N - 6 products of a molecule, what rigid motions do being known, and far fewer of a symmetric one
        (`core.invariance`); 3N where it is not symmetrised, and of more than 100 atoms.
        """
        if not len(atoms):
            return np.zeros((0, 0))
        with self._memory_told([atoms], "the Hessian of "):
            graph, _, gradient, positions = self._differentiable([atoms])
            forces = self._forces(graph, gradient)
            operator = HessianOperator.from_forces(forces, positions)
            if symmetrise and len(atoms) <= INVARIANCE_SAVES:
                periodic = bool(atoms.pbc.any())
                matrix = invariant_hessian(operator, forces, periodic=periodic, kinds=atoms.numbers)
            else:
                matrix = operator.dense(symmetrise=symmetrise)
            return matrix.cpu().double().numpy()

    def hvp(self, atoms: Atoms, v: np.ndarray) -> np.ndarray:
        """H v for v [N, 3] or [3N], or K of them [K, N, 3] or [K, 3N]; shaped like v, eV/A^2 x unit of v.

        Raises:
            OptionsError: v of another shape.
        """
        as_probes(atoms, v)
        probes = torch.as_tensor(np.asarray(v, dtype=float), device=self.device)
        with self._memory_told([atoms], "H v of "):
            product = self.hessian_operator(atoms).mv(probes)
            return product.cpu().double().numpy()

    def products_at(self, atoms: Atoms) -> Callable[[np.ndarray], np.ndarray]:
        """v [K, N, 3] -> H v, for many calls at one geometry: the graph of its forces is kept."""
        operator = self.hessian_operator(atoms)

        def products(v: np.ndarray) -> np.ndarray:
            with self._memory_told([atoms], "H v of "):
                return operator.mv(torch.as_tensor(v, device=self.device)).cpu().double().numpy()

        return products

    def third_at(self, atoms: Atoms) -> Callable[[np.ndarray], np.ndarray]:
        """v [K, N, 3] -> D^3E[v, v] = d(v . H v)/dx, exact, with one graph of the forces for all of them."""
        with self._memory_told([atoms], "third derivatives of "):
            graph, _, gradient, positions = self._differentiable([atoms])
            forces = self._forces(graph, gradient)

        def products(v: np.ndarray) -> np.ndarray:
            probes = torch.as_tensor(as_probes(atoms, v), device=self.device)
            with self._memory_told([atoms], "third derivatives of "), self._as_written():
                return cubic_products(forces, positions, probes).cpu().double().numpy()

        return products

    def outside_training(self, atoms: Atoms, forces: np.ndarray | None = None) -> str:
        """What of a structure is outside of what the model was trained on, as a clause.

        "" where nothing is, and where the artifact does not know its training; see `TrainingDomain.outside`.

        Args:
            atoms: the structure; nothing is computed for it.
            forces: [N, 3], eV/A, of this model; None: forces are not compared.
        """
        domain = self.metadata.domain
        if domain is None:
            return ""
        i, j, _, vectors = self._fresh(atoms)
        distances = np.linalg.norm(vectors, axis=1)
        near = distances <= self.metadata.cutoff
        known = np.zeros((0, 3)) if forces is None else np.asarray(forces, dtype=float)
        return domain.outside(atoms.get_chemical_symbols(), i[near], j[near], distances[near], known)

    def hessian_pattern(self, atoms: Atoms) -> csr_matrix:
        """[N, N] boolean: the 3 x 3 blocks of the Hessian that can differ from zero.

        Those of atoms within 2 h neighbours of each other, h being the hops of the metadata.
        """
        return self._pattern(self._graph([atoms], self._fresh))

    def sparse_hessian(self, atoms: Atoms, *, substitution: bool | None = None) -> bsr_matrix:
        """The exact Hessian [3N, 3N] of a big system, eV/A^2, symmetric, as scipy's blocks of 3 x 3.

        Atoms too far apart to be felt by a third one share their probes (`potentials.colouring`), so
        the number of products does not grow with the system; `.toarray()` is the dense matrix.

        Args:
            atoms: the structure.
            substitution: half as many products, whose differences lose a digit or two; by default in float64
                only.
        """
        if not len(atoms):
            return bsr_matrix((0, 0))
        graph, _, gradient, positions = self._differentiable([atoms])
        operator = HessianOperator.from_forces(self._forces(graph, gradient), positions)
        exact = self.dtype == torch.float64 if substitution is None else substitution
        colouring = colour(self._pattern(graph), substitution=exact)
        products = np.empty((3 * colouring.count, len(atoms), 3))
        with self._memory_told([atoms], "the Hessian of "):
            for chosen, probes in colouring.probes():
                found = operator.mv(torch.as_tensor(probes, device=self.device))
                products[chosen] = found.cpu().double().numpy()
        return colouring.recover(products)

    def _pattern(self, graph: Graph) -> csr_matrix:
        return hessian_pattern(graph.index.cpu().numpy(), len(graph.species), self.metadata.hops)

    def hessian_operator(self, atoms: Atoms) -> HessianOperator:
        """v -> H v at the geometry of `atoms`: products, rows, lowest modes."""
        graph, _, gradient, positions = self._differentiable([atoms])
        return HessianOperator.from_forces(self._forces(graph, gradient), positions)

    # How it is made

    @torch.enable_grad()
    def _differentiable(self, frames: Sequence[Atoms]) -> tuple[Graph, Tensor, Tensor, Tensor]:
        """Energies [N], their gradient by edges [E, 3] with its graph, and the positions it comes from."""
        graph = self._graph(frames, self._fresh)
        i, j = graph.index
        positions = torch.as_tensor(
            np.concatenate([atoms.positions for atoms in frames]), dtype=self.dtype, device=self.device
        ).requires_grad_(True)
        shifts = graph.shifts.to(self.dtype)
        vectors = positions.index_select(0, j) - positions.index_select(0, i) + shifts
        with self._memory_told(frames), self._as_written():
            energies = self.module.energies(vectors, graph.index, graph.species)
            if len(vectors) == 0:
                return graph, energies, 0.0 * vectors, positions
            (gradient,) = torch.autograd.grad(energies.sum(), vectors, create_graph=True)
        if self._domain is not None:
            self._watch(graph, self._forces(graph, gradient.detach().double()).cpu().numpy())
        return graph, energies, gradient, positions

    def _memory_told(self, frames: Sequence[Atoms], what: str = "") -> AbstractContextManager[None]:
        """Around what may need more memory than there is."""
        return memory_told(self.device, [len(atoms) for atoms in frames], what)

    def _as_written(self) -> AbstractContextManager[object]:
        """TorchScript without its profiling executor on a CPU: steps 4 % faster, a first one several times.

        There it has no kernels to fuse, and recorded profiles only cut the graph into pieces.
        """
        return torch.jit.optimized_execution(self.device.type != "cpu")

    @torch.enable_grad()
    def _forces(self, graph: Graph, gradient: Tensor) -> Tensor:
        """F_i = sum_j g_ij - sum_j g_ji, [N, 3]."""
        i, j = graph.index
        zeros = torch.zeros(len(graph.species), 3, dtype=gradient.dtype, device=self.device)
        return zeros.index_add(0, i, gradient).index_add(0, j, -gradient)

    def _evaluate(self, frames: Sequence[Atoms], neighbours: Neighbours) -> list[Evaluation]:
        graph = self._graph(frames, neighbours)
        vectors = graph.vectors.to(self.dtype)
        mask = torch.ones(len(graph.species), dtype=self.dtype, device=self.device)
        with self._memory_told(frames), torch.enable_grad(), self._as_written():
            energies, gradient = self.module(vectors, graph.index, graph.species, mask)
        return self._evaluations(graph, energies, gradient)

    def _evaluations(self, graph: Graph, energies: Tensor, gradient: Tensor) -> list[Evaluation]:
        gradient = gradient.double()
        forces = self._forces(graph, gradient)
        outer = (graph.vectors.unsqueeze(2) * gradient.unsqueeze(1)).reshape(-1, 9)
        count = len(graph.ptr) - 1
        structure = torch.as_tensor(np.repeat(np.arange(count), np.diff(graph.ptr)), device=self.device)
        owner = structure.index_select(0, graph.index[0])
        strain = torch.zeros(count, 9, dtype=torch.float64, device=self.device).index_add(0, owner, outer)
        strain = strain.reshape(-1, 3, 3)
        strain = 0.5 * (strain + strain.transpose(1, 2))
        e, f, w = energies.cpu().numpy(), forces.cpu().numpy(), strain.cpu().numpy()
        self._watch(graph, f)
        return [
            Evaluation(
                energy=float(e[start:end].sum()),
                energies=e[start:end],
                forces=f[start:end],
                virial=-w[g],
                stress=w[g] / graph.volumes[g] if graph.volumes[g] > 0 else None,
            )
            for g, (start, end) in enumerate(zip(graph.ptr[:-1], graph.ptr[1:], strict=True))
        ]

    def _watch(self, graph: Graph, forces: np.ndarray) -> None:
        """Says once that a structure is outside of the training."""
        silenced = bool(warnings.filters) and tuple(warnings.filters[0][:3]) == ("ignore", None, Warning)
        if self._domain is None or silenced:  # by a package's remarks, for a while: then it is said later
            return
        i, j = graph.index.cpu().numpy()
        distances = torch.linalg.vector_norm(graph.vectors, dim=1).cpu().numpy()
        within = distances <= self.metadata.cutoff
        symbols = [self.metadata.species[k] for k in graph.species.cpu().numpy()]
        for number, (start, end) in enumerate(zip(graph.ptr[:-1], graph.ptr[1:], strict=True)):
            mine = within & (i >= start) & (i < end)
            reason = self._domain.outside(
                symbols[start:end], i[mine] - start, j[mine] - start, distances[mine], forces[start:end]
            )
            if reason:
                self._domain = None
                which = f"structure {number}" if len(graph.ptr) > 2 else "the structure"
                warnings.warn(
                    f"{self.path.name}: {which} is outside of what the model was trained on: {reason}. Its "
                    "numbers are extrapolation. This is said once",
                    TrainingDomainWarning,
                    stacklevel=2,
                )
                return

    def _graph(self, frames: Sequence[Atoms], neighbours: Neighbours) -> Graph:
        ptr = np.concatenate([[0], np.cumsum([len(atoms) for atoms in frames])])
        parts: list[tuple[np.ndarray, ...]] = []
        for number, (atoms, start) in enumerate(zip(frames, ptr[:-1], strict=True)):
            self._check(atoms, number, len(frames))
            i, j, shifts, vectors = neighbours(atoms)
            parts.append((i.astype(np.int64) + start, j.astype(np.int64) + start, shifts, vectors))
        i, j, shifts, vectors = (np.concatenate(p) for p in zip(*parts, strict=True))
        numbers = np.concatenate([atoms.numbers for atoms in frames])
        volumes = np.array([atoms.cell.volume if atoms.pbc.all() else 0.0 for atoms in frames])
        return Graph(
            vectors=torch.as_tensor(vectors, device=self.device),
            index=torch.as_tensor(np.stack([i, j]), device=self.device),
            shifts=torch.as_tensor(shifts, device=self.device),
            species=torch.as_tensor(self._index[numbers], device=self.device),
            ptr=ptr,
            volumes=volumes,
        )

    def check_elements(self, atoms: Atoms, name: str = "") -> None:
        """Raises DataError if the model does not know an element, or the charge or spin that is stated."""
        unknown = self._index[atoms.numbers] < 0
        if unknown.any():
            raise DataError(
                f"{name or atoms.symbols} has {atoms.symbols[int(unknown.argmax())]}; the model knows "
                f"{', '.join(self.metadata.species)}"
            )
        refuse_unknown_electrons(atoms, name or str(atoms.symbols))

    def _check(self, atoms: Atoms, number: int, count: int) -> None:
        if not len(atoms):
            raise DataError(f"structure {number} has no atoms; wanted at least one")
        name = f"structure {number} ({atoms.get_chemical_formula()})" if count > 1 else str(atoms.symbols)
        self.check_elements(atoms, name)
        if not np.isfinite(atoms.positions).all():
            atom = int(np.argmin(np.isfinite(atoms.positions).all(axis=1)))
            raise DataError(f"{name}: the position of atom {atom} is not finite")
        check_cell(atoms, name)


def check_cell(atoms: Atoms, name: str) -> None:
    """Raises DataError if a structure is periodic in a direction in which it has no cell vector."""
    cell = atoms.cell.array
    if not np.isfinite(cell).all():
        raise DataError(f"{name}: its cell is not finite")
    missing = [letter for letter, on, row in zip("abc", atoms.pbc, cell, strict=True) if on and not row.any()]
    if missing:
        raise DataError(
            f"{name} is periodic along {', '.join(missing)} and has no cell vector there; give it a cell, or "
            "set pbc to False"
        )
    if atoms.pbc.any() and not abs(atoms.cell.complete().volume) > 1e-6:
        raise DataError(f"{name}: its cell vectors lie in one plane or line, so it has no volume")


#: Its name in version 0.1.
Potential = ArtifactPotential
