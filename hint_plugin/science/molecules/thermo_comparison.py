"""Thermochemistry of a model against a reference, on the reference's geometries and on its own.

Gibbs energies of two methods have no common zero, so the corrections G - E are compared: what the curvature
is for. On the reference's geometries the Hessians alone differ; on the model's own, what a user will see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.errors import HintError, MissingDependencyError
from hint_plugin.potentials.extrapolation import outside_training
from hint_plugin.science.molecules.alignment import rmsd
from hint_plugin.science.molecules.modes import NormalModes, normal_modes
from hint_plugin.science.molecules.optimization import optimize
from hint_plugin.science.molecules.remarks import NOT_STATIONARY, remarks_of
from hint_plugin.science.molecules.thermochemistry import Thermochemistry, thermochemistry
from hint_plugin.science.same_structure import molecule_difference

ANOTHER_SADDLE = 0.2
"""A, RMSD: `hint reactions` calls a known transition state found within it. Bonds do not tell saddles apart:
they are half made there."""
FAR_MINIMUM = 0.3
"""A, RMSD of a minimum with the same bonds beyond which it may be another conformer: it counts, and is told
of."""
QUANTITIES = ("gibbs_correction", "zero_point_energy", "enthalpy_correction", "entropy")


def compare_thermochemistry(
    atoms: Atoms,
    hessian: NDArray,
    calculator: Any,
    *,
    largest_force: float | None = None,
    say: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> dict[str, Any]:
    """One stationary point of the reference.

    A structure that is not stationary on the reference has no Gibbs energy, nor is there a point of the model
    that belongs to it: the corrections are compared on its geometry alone, as what they are, and it counts as
    of the kind "not stationary".

    Args:
        atoms: its geometry.
        hessian: the reference's, [3N, 3N] in eV/A^2.
        calculator: of the model, with `get_hessian`.
        largest_force: of the reference on an atom, eV/A; None: it is not known whether it is stationary.
        say: told what is being done.
        options: of `thermochemistry` (temperature, pressure, multiplicity, cutoff).

    Returns:
        `kind`, `stationary`, `largest_force`; `reference`, `same_geometry` and `own_geometry` with
        `QUANTITIES` and frequencies, the last with `rmsd` (A); or `failure` in place of them where the model
        has no such stationary point; `outside_training` and `remarks`.

    Raises:
        HintError: the reference itself is no minimum or transition state.
    """
    modes = normal_modes(atoms, hessian)
    reference = thermochemistry(modes, largest_force=largest_force, **options)
    # the same symmetry number for all: they are one molecule
    options = options | {"symmetry_number": reference.symmetry_number}
    found: dict[str, Any] = {
        "kind": reference.kind,
        "stationary": reference.stationary,
        "largest_force": largest_force,
        "reference": _values(reference, modes),
    }
    model = atoms.copy()
    model.calc = calculator
    say("Hessian of the model")
    found["same_geometry"] = _tried(
        lambda: _of(model, calculator.get_hessian(model), modes.kind, options, modes.bent)
    )

    def own() -> dict[str, Any]:
        if reference.stationary is False:
            return {
                "failure": f"the structure is not stationary on the reference ({largest_force:.2f} eV/A on "
                "an atom): no point of the model belongs to it. --optimize or --saddle goes on"
            }
        there = optimize(
            model,
            saddle=reference.kind == "transition state",
            report=lambda step, energy, force: say(f"its own geometry: step {step}, {force:.3f} eV/A"),
        )
        if there.hessian is None:
            return {"failure": there.kind}
        if there.doubt:
            return {"failure": f"the model's {there.kind} nearby means nothing: {there.doubt}"}
        if reference.kind == "minimum" and (words := molecule_difference(atoms, there.atoms)):
            return {"failure": f"the model's minimum nearby is another molecule: {words}"}
        apart = rmsd(atoms, there.atoms, permute=True)
        if reference.kind == "transition state" and apart > ANOTHER_SADDLE:
            return {
                "failure": f"the model's transition state nearby is {apart:.2f} A from the reference's (RMSD "
                f"after alignment; wanted at most {ANOTHER_SADDLE:g} A): another one",
                "rmsd": apart,
            }
        return _of(there.atoms, there.hessian, reference.kind, options) | {"rmsd": rmsd(atoms, there.atoms)}

    found["own_geometry"] = _tried(own)
    found["outside_training"] = outside_training(calculator, model)
    return found | {"remarks": _remarks(found)}


def _remarks(row: dict[str, Any]) -> list[str]:
    """What has to be said of a molecule beside its numbers, and why it counts as not done."""
    found = remarks_of(row)
    for where in ("same_geometry", "own_geometry"):
        if failure := row[where].get("failure"):
            found.append(f"on {'the same' if where == 'same_geometry' else 'its own'} geometry: {failure}")
    return found


def far_minima(results: Sequence[dict[str, Any]]) -> list[str]:
    """Sentences about minima of the model that have the reference's bonds, and are far from its geometry."""
    found = []
    for row in results:
        apart = row["own_geometry"].get("rmsd", 0.0)
        if row["kind"] == "minimum" and "failure" not in row["own_geometry"] and apart > FAR_MINIMUM:
            found.append(
                f"{row.get('name', 'a molecule')}: the model's minimum is {apart:.2f} A from the reference's "
                "(RMSD after alignment): perhaps another conformer"
            )
    return found


def _tried(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except MissingDependencyError:
        raise
    except HintError as error:
        return {"failure": str(error)}


def _of(
    atoms: Atoms, hessian: NDArray, kind: str, options: dict[str, Any], bent: bool | None = None
) -> dict[str, Any]:
    modes = normal_modes(atoms, hessian, bent)
    found = thermochemistry(modes, **options)
    if found.kind != kind:
        return {
            "failure": f"the model has the modes of a {found.kind} there, and the reference those of a "
            f"{kind}: their Gibbs energies are not compared",
            "frequencies": modes.frequencies.tolist(),
        }
    return _values(found, modes)


def _values(found: Thermochemistry, modes: NormalModes) -> dict[str, Any]:
    return {
        "gibbs_correction": found.gibbs_correction,
        "zero_point_energy": found.zero_point_energy,
        "enthalpy_correction": found.enthalpy - found.energy,
        "entropy": found.entropy,
        "frequencies": modes.frequencies.tolist(),
    }


def mean_errors(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean absolute errors: a row for minima and transition states, on the same and on the own geometries;
    and for structures that are not stationary, which are neither.

    Only what the model has as well counts; `failed` is how many it has not.
    """
    rows = []
    for kind in ("minimum", "transition state", NOT_STATIONARY):
        chosen = [result for result in results if result["kind"] == kind]
        for where in ("same_geometry", "own_geometry"):
            good = [result for result in chosen if "failure" not in result[where]]
            row: dict[str, Any] = {
                "kind": kind,
                "where": where,
                "count": len(good),
                "failed": len(chosen) - len(good),
            }
            for name in QUANTITIES:
                errors = [abs(result[where][name] - result["reference"][name]) for result in good]
                row[name] = float(np.mean(errors)) if errors else None
            per_molecule = [
                np.mean(np.abs(np.subtract(result[where]["frequencies"], result["reference"]["frequencies"])))
                for result in good
                if len(result[where]["frequencies"]) == len(result["reference"]["frequencies"])
            ]
            row["frequencies"] = float(np.mean(per_molecule)) if per_molecule else None
            if chosen:
                rows.append(row)
    return rows
