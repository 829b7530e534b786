"""What the verbs for molecules share: go through the frames, keep what fails, say how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import typer

from hint_plugin.cli.app import EXIT_SOME_FAILED

_STATIONARY = 0.05  # eV/A


@dataclass
class Batch:
    """Results of many molecules, and why some have none."""

    results: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"results": self.results, "failures": self.failures}

    def finish(self, json_: bool, about: dict[str, Any]) -> None:
        """Print JSON if asked for, `about` first, and the failures; exit with 3 if there are some."""
        import json

        if json_:
            typer.echo(json.dumps(about | self.as_dict(), indent=2))
        for failure in self.failures:
            typer.echo(f"failed: {failure['name']} ({failure['formula']}): {failure['error']}", err=True)
        if self.failures:
            raise typer.Exit(EXIT_SOME_FAILED)


def each_molecule(
    inputs: list[Path],
    calculator: Any,
    work: Callable[[str, Any, Callable[[str], None]], dict[str, Any]],
    folder: Path | None = None,
) -> Batch:
    """Do `work(name, atoms, say)` for each frame; errors that HINT knows are kept and the next one follows.

    Args:
        folder: of the results; made once all inputs are read.

    Raises:
        DataError: a file cannot be read, or has no frames.
        MissingDependencyError: the work needs a package that is not installed: no frame can do without.
    """
    from ase.calculators.calculator import PropertyNotImplementedError
    from rich.console import Console

    from hint_plugin.errors import EngineError, HintError, MissingDependencyError

    batch, frames = Batch(), list(_frames(inputs))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with Console(stderr=True).status("") as status:
        for k, (name, atoms) in enumerate(frames, start=1):
            head = f"{name} ({k} of {len(frames)})"
            status.update(head)
            atoms.calc = calculator
            about = {"name": name, "formula": atoms.get_chemical_formula()}
            try:
                found = work(name, atoms, partial(_say, status, head))
                batch.results.append(about | found)
            except MissingDependencyError:
                raise
            except (HintError, PropertyNotImplementedError) as error:
                kind = error.kind if isinstance(error, EngineError) else "other"
                batch.failures.append(about | {"error": str(error), "kind": kind})
    return batch


def save_structures(
    output: Path, verb: str, frames: list[Any], batch: Batch, provenance: dict[str, Any]
) -> dict[str, Any]:
    """The structures, and beside them OUT.json with all results; nothing where there are no structures.

    Returns:
        What goes with the results: `provenance`, and `output`, None if nothing was written.
    """
    from hint_plugin.cli.outputs import record
    from hint_plugin.data import write_frames

    about = {"provenance": provenance, "output": str(output) if frames else None}
    if frames:
        write_frames(output, frames)
        record(output, verb, about | batch.as_dict())
    return about


def _say(status: Any, head: str, text: str) -> None:
    status.update(f"{head}: {text}")


def _frames(inputs: list[Path]) -> Iterator[tuple[str, Any]]:
    """(name, molecule); results go by these names, so no two are the same."""
    from hint_plugin.data import read_frames
    from hint_plugin.errors import DataError

    used: set[str] = set()
    for path, stem in zip(inputs, _stems(inputs), strict=True):
        frames = read_frames(path)
        if not frames:
            raise DataError(f"{path}: no frames")
        for number, atoms in enumerate(frames):
            if atoms.pbc.any():
                raise DataError(f"{path}, frame {number}: periodic; these are verbs for molecules")
            name = stem if len(frames) == 1 else f"{stem}-{number}"
            while name in used:  # a file that is given twice, or x-0.xyz beside the frames of x.xyz
                name += "_"
            used.add(name)
            yield name, atoms


def _stems(inputs: list[Path]) -> list[str]:
    """Names of files without their suffix; where two are the same, with as much as tells them apart."""
    parts = [[*path.resolve().parts[1:-1], path.stem] for path in inputs]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        for suffixes in ([""] * len(inputs), [path.suffix.replace(".", "-") for path in inputs]):
            found = ["-".join(one[-depth:]) + end for one, end in zip(parts, suffixes, strict=True)]
            if len(set(found)) == len(found):
                return found
    return [path.stem for path in inputs]


def read_ends(reactant: Path, product: Path) -> list[Any]:
    """The two molecules of a reaction. Raises DataError unless each file has one, with the same electrons."""
    from hint_plugin.data import read_frames
    from hint_plugin.data.electrons import stated_electrons
    from hint_plugin.errors import DataError

    ends = []
    for path in (reactant, product):
        frames = read_frames(path)
        if len(frames) != 1:
            raise DataError(f"{path} has {len(frames)} frames; wanted one molecule")
        ends.append(frames[0])
    electrons = [stated_electrons(atoms.info) for atoms in ends]
    if electrons[0] != electrons[1]:
        told = " and ".join(f"charge {c}, multiplicity {m}" for c, m in electrons)
        raise DataError(
            f"{reactant} and {product} state different electrons ({told}); wanted the same for both: "
            "one surface joins them"
        )
    return ends


def relaxed(atoms: Any, saddle: bool, fmax: float, steps: int, say: Callable[[str], None]) -> Any:
    """`optimize` with its progress; EngineError where it does not converge. `wrong_kind` says on what."""
    from hint_plugin.errors import EngineError
    from hint_plugin.science.molecules import optimize

    found = optimize(
        atoms,
        saddle=saddle,
        fmax=fmax,
        steps=steps,
        report=lambda step, energy, force: say(f"step {step}, {energy:.4f} eV, {force:.3f} eV/A"),
    )
    if not found.converged:
        raise EngineError(found.kind, "geometry")
    return found


def wrong_kind(found: Any, saddle: bool) -> str:
    """What is wrong with a `Stationary` that is no minimum, or no transition state; else nothing."""
    wanted = "transition state" if saddle else "minimum"
    if found.kind == wanted:
        return ""
    modes = ", ".join(f"{nu:.0f}" for nu in found.modes.imaginary)
    modes = f" (imaginary modes: {modes} cm^-1)" if modes else ""
    hint = "start nearer to it" if saddle else "start elsewhere, or give a smaller --fmax"
    return f"the search ended in a {found.kind}{modes}; wanted a {wanted}: {hint}"


@dataclass(frozen=True)
class Curvature:
    """A geometry with its Hessian; `atoms` carry the calculator, if there is one."""

    atoms: Any
    energy: float
    largest_force: float | None
    hessian: Any


class Computed:
    """Hessians by a calculator, after optimisation if that is wanted."""

    def __init__(self, calculator: Any, relax: bool, saddle: bool, fmax: float = 0.01) -> None:
        self.calculator, self._relax, self._saddle, self._fmax = calculator, relax, saddle, fmax

    def __call__(self, atoms: Any, say: Callable[[str], None]) -> Curvature:
        """Raises HintError."""
        if self._relax:
            from hint_plugin.errors import EngineError

            found = relaxed(atoms, self._saddle, self._fmax, 300, say)
            if error := wrong_kind(found, self._saddle):
                raise EngineError(error, "geometry")
            return Curvature(found.atoms, found.energy, found.largest_force, found.hessian)
        from hint_plugin.science.molecules.modes import largest_force

        say("energy and forces")
        force = largest_force(atoms.get_forces())
        energy = float(atoms.get_potential_energy())
        say("Hessian")
        return Curvature(atoms, energy, force, self.calculator.get_hessian(atoms))


class Stored:
    """Hessians that are in the file already."""

    calculator = None

    def __call__(self, atoms: Any, say: Callable[[str], None]) -> Curvature:
        """Raises DataError if the frame lacks a full Hessian or an energy."""
        from hint_plugin.data import LabelKeys, read_label
        from hint_plugin.errors import DataError
        from hint_plugin.science.molecules.modes import largest_force

        keys, label = LabelKeys(), read_label(atoms)
        if label is None or label.hessian is None or label.kind != "full":
            raise DataError(
                f"{atoms.symbols} has no full Hessian; give --model FILE or --engine gfn2-xtb to compute one"
            )
        if keys.energy not in atoms.info:
            raise DataError(f"{atoms.symbols} has a Hessian and no energy ({keys.energy})")
        forces = atoms.arrays.get(keys.forces)
        force = None if forces is None else largest_force(forces)
        return Curvature(atoms, float(atoms.info[keys.energy]), force, label.hessian)


def source_of_hessians(
    model: Path | None, engine: str | None, *options: Any, relax: bool, saddle: bool, fmax: float
) -> Computed | Stored:
    """Where Hessians come from: computed if there is a model or an engine, else those in the files.

    Raises:
        OptionsError: to be optimised without anything that computes; and what `make_calculator` and
            `check_optimiser` raise.
    """
    from hint_plugin.cli.potential_options import make_calculator
    from hint_plugin.errors import OptionsError
    from hint_plugin.science.molecules.optimization import check_optimiser

    if model is None and engine is None:
        if relax:
            raise OptionsError("--optimize and --saddle need --model FILE or --engine NAME (gfn2-xtb)")
        return Stored()
    if relax:
        check_optimiser()
    return Computed(make_calculator(model, engine, *options), relax, saddle, fmax)


def not_stationary(result: dict[str, Any]) -> str:
    """A warning if a Hessian was taken far from a stationary point, else nothing."""
    force = result["largest_force"]
    if force is None or force <= _STATIONARY:
        return ""
    return f"not stationary: {force:.2f} eV/A on an atom; --optimize or --saddle goes on"
