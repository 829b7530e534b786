"""What `hint cubic` does, as a function: harmonic and cubic force constants of a crystal.

    structure --relaxed--> basis by symmetry --> vectors v --D^3E[v, v]--> fit --> phono3py, ShengBTE

What is done of the vectors is kept while the run lasts; all else is computed from that.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data.outputs import a_folder, as_path
from hint_plugin.data.provenance import identity, of_structures
from hint_plugin.data.structures.unit_cell import (
    check_crystal,
    given_crystal,
    name_of,
    quiet,
    short_name_of,
    to_ase,
)
from hint_plugin.errors import EngineError, OptionsError
from hint_plugin.parallel import Reported, Spread, go_over, journal_in
from hint_plugin.parallel.batch import asked_for
from hint_plugin.potentials.extrapolation import outside_training
from hint_plugin.potentials.on_demand import OnDemand
from hint_plugin.science.given_potential import potential_run_provenance
from hint_plugin.science.phonons.born import crystal_born
from hint_plugin.science.phonons.carried_properties import space_group
from hint_plugin.science.phonons.cell_relaxation import relaxed_first
from hint_plugin.science.phonons.crystals import Supercell, new_phonopy, supercell_matrix
from hint_plugin.science.phonons.cubic_constants import (
    METHODS,
    PROBE,
    STEPS,
    ThirdDerivatives,
    best_method,
    checked,
    cubic_basis,
    parameters,
    probes,
    solved,
)
from hint_plugin.science.phonons.cubic_files import need_phono3py, new_phono3py
from hint_plugin.science.phonons.cubic_result import CubicResult
from hint_plugin.science.phonons.force_constants import forces_at_rest, harmonic_phonons
from hint_plugin.science.phonons.phonon_files import default_supercell
from hint_plugin.science.phonons.reference_phonons import add_born

Structure = Atoms | str | Path
RELAXATIONS = ("no", "positions", "cell")


def cubic(
    structure: Structure,
    potential: Any,
    output: str | Path | None = None,
    *,
    supercell: Supercell | None = None,
    phonon_supercell: Supercell | None = None,
    cutoff: float | None = None,
    relax: str = "no",
    fmax: float = 1e-3,
    method: str = "best",
    step: float | None = None,
    born: str | Path | None = None,
    precision: float = 1e-5,
    device: str = "cpu",
    jobs: int = 1,
    parsl: str | Path | None = None,
    restart: bool = False,
    report: Any = None,
) -> CubicResult:
    """Harmonic and cubic force constants of a crystal, from as few derivatives as its symmetry allows.

    Equations: `cubic_constants`. With an `output`, a run that is stopped goes on where it was.

    Args:
        structure: one unit cell, as atoms or a file (`read_crystal`).
        potential: a name, a file, an open potential, an ASE calculator, or a `PotentialSpec`.
        output: folder of the results, written as `hint cubic` does; None writes nothing.
        supercell: of the cubic force constants: one number, three, or a matrix; at least 10 A wide if None.
        phonon_supercell: of the harmonic ones; the same if None.
        cutoff: A; cubic force constants are zero where two of the three atoms are farther apart.
        relax: first, "positions" or "cell" (both); the symmetry is kept.
        fmax: the largest force after `relax`, eV/A.
        method: exact (a third differentiation of the model), products (differences of H v), forces (second
            differences of forces), or the best that the potential has.
        step: A, of differences; 0.001 for products and 0.01 for forces if None.
        born: phonopy's BORN.
        precision: within which symmetry is found, A.
        device: where a model that is given by its file or name runs: cpu, cuda.
        jobs: processes, one thread each if several.
        parsl: on a cluster as this file says, not `jobs`.
        restart: drop what an interrupted run has left.
        report: called with (done, failed, total) of the vectors; see `parallel.Reported`.

    Raises:
        OptionsError: options that cannot be. DataError: no crystal, or no cubic force constants.
        EngineError: the relaxation does not get there, or a derivative fails.
        MissingDependencyError: no phono3py. InterruptedRunError: stopped.
    """
    asked = asked_for(locals())
    asked = {name: value for name, value in asked.items() if name not in ("structure", "device", "born")}
    place = a_folder(as_path(output))
    _check(relax, method, step)
    if place is None and parsl is not None:
        raise OptionsError("parsl without output: workers on a cluster need the run's folder. Give an output")
    atoms = given_crystal(structure)
    repeats = supercell_matrix(default_supercell(atoms) if supercell is None else supercell)
    wide = repeats if phonon_supercell is None else supercell_matrix(phonon_supercell)
    what, display = OnDemand.of(potential, device), Reported(report)
    calculator = what.calculator()
    need_phono3py()
    origin = potential_run_provenance(calculator, (structure, born))
    if isinstance(structure, Atoms):
        origin["data"].append(of_structures([structure]))
    about: dict[str, Any] = {
        "structure": name_of(structure),
        "supercell": repeats.tolist(),
        "phonon_supercell": wide.tolist(),
        "cutoff": None if cutoff is None else float(cutoff),
        "provenance": origin,
    }
    run = {"verb": "cubic", **asked, **what.asked(), **identity(origin)}
    with ExitStack() as stack:
        journal = stack.enter_context(journal_in(place, "cubic"))
        with quiet():
            if relax != "no":
                atoms = relaxed_first(atoms, calculator, relax == "cell", fmax, about, display.say)
            check_crystal(atoms)
            about["largest_force"] = forces_at_rest(atoms, calculator)
            about["outside_training"] = outside_training(calculator, atoms)
            about["space_group"] = space_group(atoms, precision)
            cell = new_phonopy(atoms, repeats, symmetry_precision=precision)
            chosen = best_method(calculator, atoms) if method == "best" else method
        large = to_ase(cell.supercell, atoms)
        display.say("what symmetry leaves of the cubic force constants")
        basis = cubic_basis(cell, cutoff)
        vectors = probes(basis, len(large))
        about |= {
            "method": chosen,
            "step": None if chosen == "exact" else float(STEPS[chosen] if step is None else step),
            "parameters": parameters(basis),
            "vectors": len(vectors),
            **_counts(chosen, len(vectors)),
        }
        frames = []
        for k, v in enumerate(vectors, start=1):
            frame = large.copy()
            frame.arrays[PROBE] = v
            frames.append((f"vector {k}", frame))
        rest = None
        if chosen == "forces":
            still = large.copy()
            still.calc = calculator
            with quiet():
                rest = np.asarray(still.get_forces(), dtype=float).copy()
        work = ThirdDerivatives(what, chosen, about["step"] or 0.0, rest)
        spread = Spread(jobs, as_path(parsl), restart)
        records = stack.enter_context(go_over(frames, work, journal, run, spread, display, "vectors"))
        if failed := [record["error"] for record in records if "error" in record]:
            raise EngineError(f"{len(failed)} of {len(records)} vectors failed: {failed[0]}", "program")
        thirds = np.array([record["kept"]["third"] for record in records]).reshape(vectors.shape)
        display.say("fit")
        constants = solved(basis, vectors[:-1], thirds[:-1])
        checks = checked(cell, constants, vectors, thirds)
        with quiet():
            phonon = harmonic_phonons(
                atoms,
                calculator,
                wide,
                primitive=cell.primitive_matrix,
                symmetry_precision=precision,
                report=lambda done, count: display.say(f"harmonic force constants, {done} of {count}"),
            )
            if born is not None:
                add_born(phonon, Path(born))
            notes = (
                []
                if isinstance(structure, Atoms) or born is not None
                else [crystal_born(phonon, Path(structure))]
            )
            found = new_phono3py(phonon, repeats, constants)
        result = CubicResult(
            name=short_name_of(structure),
            crystal=found,
            checks=checks,
            about=about,
            relaxed=None if relax == "no" else atoms,
            born_notes=tuple(note for note in notes if note),
        )
        if place is not None:
            display.say("writing")
            result.write(place)
    return result


def _check(relax: str, method: str, step: float | None) -> None:
    if relax not in RELAXATIONS:
        raise OptionsError(f"relax {relax!r}; wanted {', '.join(RELAXATIONS)}")
    if method not in (*METHODS, "best"):
        raise OptionsError(f"method {method!r}; wanted best, {', '.join(METHODS)}")
    if step is not None and not (np.isfinite(step) and step > 0):
        raise OptionsError(f"step {step} A; wanted a length above 0")
    if step is not None and method == "exact":
        raise OptionsError("a step, and method exact, which takes no differences; wanted one of them")


def _counts(method: str, vectors: int) -> dict[str, int]:
    """What the vectors cost."""
    if method == "forces":
        return {"products": 0, "forces": 2 * vectors + 1}
    return {"products": 2 * vectors if method == "products" else vectors, "forces": 0}
