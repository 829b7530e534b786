"""`hint thermo` over conformers: which structures belong together, and what comes out of each ensemble.

    given or made ── optimised, verified ──> minima ── one of each kind ──> conformers ── g_i exp(-G_i / kT)

Nothing goes into an ensemble that was not verified as a minimum of this molecule. What is left out is counted
and named in the ensemble and in the failures of the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ase import Atoms

from hint_plugin.data.structures.constraints import free_coordinates
from hint_plugin.errors import DataError, OptionsError
from hint_plugin.parallel import Batch
from hint_plugin.potentials.structure_checks import charge_and_multiplicity
from hint_plugin.science.molecules.conformers import (
    configuration,
    degeneracy,
    difference,
    distinct,
    make_conformers,
)
from hint_plugin.science.molecules.mixture import mixture
from hint_plugin.science.molecules.molecule_inputs import named_frames, named_groups, no_molecule
from hint_plugin.science.molecules.remarks import NOT_STATIONARY, not_stationary


@dataclass(frozen=True)
class Conformers:
    """How an ensemble is asked for.

    Attributes:
        count: geometries that RDKit tries for each molecule; None: the frames of a file are the conformers.
        seed: of RDKit.
        prune: A, see `conformers.make_conformers`.
    """

    count: int | None
    seed: int
    prune: float


@dataclass(frozen=True)
class Group:
    """The structures of one molecule.

    Attributes:
        name: of the molecule.
        frames: named structures; the first says which molecule it is.
        made: what RDKit was asked for and has made; empty of given ones.
    """

    name: str
    frames: list[tuple[str, Atoms]]
    made: dict[str, Any] = field(default_factory=dict)

    @property
    def reference(self) -> Atoms:
        """The structure that the others have to be conformers of."""
        return self.frames[0][1]


def conformers_of(ensemble: bool, count: int | None, seed: int, prune: float) -> Conformers | None:
    """What the options ask for; None: no ensembles.

    Raises:
        OptionsError: both, or numbers that cannot be.
    """
    if ensemble and count is not None:
        raise OptionsError(
            "got --ensemble, which takes the frames of a file as conformers, and --conformers, which makes "
            "new ones from each frame; wanted one of them"
        )
    if count is not None and count < 1:
        raise OptionsError(f"--conformers {count}; wanted 1 or more")
    if seed < 0 or prune < 0:
        raise OptionsError(f"--seed {seed} and --prune {prune:g} A; wanted 0 or more")
    return Conformers(count, seed, prune) if ensemble or count is not None else None


def groups_of(
    inputs: Sequence[Path | Atoms], asked: Conformers, charge: int, spin: int | None
) -> list[Group]:
    """The molecules of a run with their conformers, given or made.

    Raises:
        DataError: a file cannot be read; frames of one file are no conformers of one molecule, or no
            molecules; RDKit cannot make any.
        MissingDependencyError: RDKit is not installed.
    """
    if asked.count is None:
        groups = [Group(name, frames) for name, frames in named_groups(inputs)]
        for group in groups:
            _check_one_molecule(group, charge, spin)
        return groups
    found = []
    for name, atoms in named_frames(inputs):
        _check_free(name, atoms)
        total = charge_and_multiplicity(atoms, charge, spin)[0]
        new = make_conformers(atoms, asked.count, seed=asked.seed, prune=asked.prune, charge=total)
        frames = [(f"{name}-c{k}", one) for k, one in enumerate([atoms, *new])]
        found.append(Group(name, frames, {"tried": asked.count, "seed": asked.seed, "kept": len(new)}))
    return found


def _check_free(name: str, atoms: Atoms) -> None:
    if wrong := no_molecule(atoms):
        raise DataError(f"{name}: {wrong[1]}")
    if not free_coordinates(atoms).all:
        raise DataError(f"{name}: atoms are held; wanted a free molecule: an ensemble is one of a gas")


def _check_one_molecule(group: Group, charge: int, spin: int | None) -> None:
    for name, atoms in group.frames:
        _check_free(name, atoms)
    first = group.frames[0][0]
    electrons = charge_and_multiplicity(group.reference, charge, spin)
    for name, atoms in group.frames[1:]:
        words = difference(group.reference, atoms)
        mine = charge_and_multiplicity(atoms, charge, spin)
        if not words and mine != electrons:
            words = (
                f"it has charge {mine[0]:+d} and multiplicity {mine[1]}, and not {electrons[0]:+d} and "
                f"{electrons[1]}"
            )
        if words:
            raise DataError(
                f"{name} is not the same molecule as {first}: {words}. With --ensemble all frames of a "
                "file are conformers of one molecule; give other molecules files of their own"
            )


@dataclass(frozen=True)
class Ensemble:
    """One molecule: its conformers in equilibrium.

    Attributes:
        about: for JSON; `as_dict` of `Mixture`, `conformers` (rows by ascending G), `failed`, `remarks`.
        structures: the conformers, in the same order.
    """

    about: dict[str, Any]
    structures: list[Atoms]


def ensembles_of(groups: Sequence[Group], batch: Batch, temperature: float) -> list[Ensemble]:
    """What the results of a run are of each molecule; results that are no conformers become failures.

    A molecule of which no conformer is left has no ensemble, and its failures say why.
    """
    _move_failures(groups, batch)
    done = {row["name"]: (atoms, row, kept) for atoms, row, kept in batch.done}
    failed = {row["name"]: row for row in batch.failures}
    found = []
    for group in groups:
        names = [name for name, _ in group.frames]
        members = [done[name] for name in names if name in done]
        if members:
            why = [
                {key: failed[name][key] for key in ("name", "error", "kind")}
                for name in names
                if name in failed
            ]
            found.append(_ensemble(group, members, why, temperature))
    return found


def without_ensemble(groups: Sequence[Group], ensembles: Sequence[Ensemble]) -> str:
    """Which molecules have no ensemble, in a sentence; "" if all have one."""
    there = {one.about["name"] for one in ensembles}
    missing = [group.name for group in groups if group.name not in there]
    if not missing:
        return ""
    return f"no ensemble of {', '.join(missing)}: no conformer is left, see the failures"


def _move_failures(groups: Sequence[Group], batch: Batch) -> None:
    """Results that are no minima of their molecule go to the failures."""
    reference = {name: group.reference for group in groups for name, _ in group.frames}
    kept = []
    for atoms, row, more in batch.done:
        there = _placed(atoms, more)
        if words := _no_minimum(row) or difference(reference[row["name"]], there):
            error = words if words.startswith("no minimum") else f"no longer the same molecule: {words}"
            failure = {"name": row["name"], "formula": row["formula"], "error": error, "kind": "geometry"}
            batch.failures.append(failure)
        else:
            kept.append((atoms, row, more))
    batch.done[:] = kept
    batch.results[:] = [row for _, row, _ in kept]


def _no_minimum(row: Mapping[str, Any]) -> str:
    if row["kind"] == NOT_STATIONARY or row.get("stationary") is None:
        return f"no minimum: {not_stationary(row)}"
    return "" if row["kind"] == "minimum" else f"no minimum: a {row['kind']}"


def _placed(atoms: Atoms, kept: Mapping[str, Any]) -> Atoms:
    there = atoms.copy()
    there.calc = None
    there.positions = kept["positions"]
    return there


def _ensemble(
    group: Group, members: Sequence[Any], failed: list[dict[str, Any]], temperature: float
) -> Ensemble:
    structures = [_placed(atoms, kept) for atoms, _, kept in members]
    rows = [row for _, row, _ in members]
    chiral = configuration(group.reference).chiral
    kinds = distinct(structures, [row["energy"] for row in rows])
    kinds.sort(key=lambda kind: rows[kind[0]]["gibbs_energy"])
    first = [kind[0] for kind in kinds]
    weights = [degeneracy(structures[k], chiral) for k in first]
    gibbs, enthalpies, capacities = (
        [rows[k][key] for k in first] for key in ("gibbs_energy", "enthalpy", "heat_capacity")
    )
    total = mixture(gibbs, enthalpies, capacities, weights, temperature).as_dict()
    populations = total.pop("populations")
    lowest = {key: min(rows[k][key] for k in first) for key in ("energy", "enthalpy", "gibbs_energy")}
    table = [
        {
            "name": rows[kind[0]]["name"],
            "same": [rows[k]["name"] for k in kind[1:]],
            "degeneracy": weight,
            "symmetry_number": rows[kind[0]]["symmetry_number"],
            "population": population,
            **{f"relative_{key}": rows[kind[0]][key] - value for key, value in lowest.items()},
            **{key: rows[kind[0]][key] for key in _OF_A_CONFORMER},
        }
        for kind, weight, population in zip(kinds, weights, populations, strict=True)
    ]
    about = {
        "name": group.name,
        "formula": group.reference.get_chemical_formula(),
        "temperature": temperature,
        "pressure": rows[0]["pressure"],
        **total,
        "lowest_energy": lowest["energy"],
        "lowest_gibbs_energy": lowest["gibbs_energy"],
        "chiral_molecule": chiral,
        "given": len(group.frames),
        "minima": len(members),
        "distinct": len(kinds),
        "made": group.made,
        "failed": failed,
        "conformers": table,
    }
    return Ensemble(about | {"remarks": _remarks(about)}, [structures[k] for k in first])


_OF_A_CONFORMER = ("energy", "zero_point_energy", "enthalpy", "entropy", "gibbs_energy", "heat_capacity")


def _remarks(about: Mapping[str, Any]) -> list[str]:
    """Clauses that belong to the numbers of an ensemble."""
    found, made, failed = [], about["made"], about["failed"]
    many = "conformers" if about["distinct"] > 1 else "conformer"
    if made:
        found.append(
            f"{made['kept']} of {made['tried']} geometries by RDKit (seed {made['seed']}) are far enough "
            "apart, beside the one that was given"
        )
    found.append(
        f"{about['given']} structures, {about['minima']} minima, {about['distinct']} {many}; conformers "
        "that nobody found are not in it"
    )
    if failed:
        names = ", ".join(row["name"] for row in failed[:5]) + (", ..." if len(failed) > 5 else "")
        found.append(f"{len(failed)} failed and are not in it: {names}")
    if about["chiral_molecule"]:
        found.append("the molecule is chiral: its mirror image is another one and does not count")
    return found
