"""What the verbs for molecules share: inputs, what computes, stationary points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STATIONARY = 0.05  # eV/A


def named_frames(inputs: list[Path]) -> Iterator[tuple[str, Any]]:
    """(name, structure); results go by these names, so no two are the same. See `no_molecule`.

    Raises:
        DataError: a file cannot be read, or has no frames.
    """
    from hint_plugin.data import read_frames
    from hint_plugin.errors import DataError

    used: set[str] = set()
    for path, stem in zip(inputs, _stems(inputs), strict=True):
        frames = read_frames(path)
        if not frames:
            raise DataError(f"{path}: no frames")
        for number, atoms in enumerate(frames):
            name = stem if len(frames) == 1 else f"{stem}-{number}"
            while name in used:  # a file that is given twice, or x-0.xyz beside the frames of x.xyz
                name += "_"
            used.add(name)
            yield name, atoms


def no_molecule(atoms: Any) -> tuple[str, str] | None:
    """(kind, reason) why the verbs for molecules cannot treat a structure, a kind of `FAILURE_KINDS`; None if
    they can."""
    import numpy as np

    if not len(atoms):
        return "geometry", "no atoms"
    if not np.isfinite(atoms.positions).all():
        return "geometry", "a position is NaN or infinite"
    if atoms.pbc.any():
        way_out = (
            'set pbc="F F F" in its comment line if it is a molecule in a box; for crystals: hint phonons'
        )
        return "cell", f"periodic; these are verbs for molecules: {way_out}"
    return None


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
    from hint_plugin.data.structures.electrons import stated_electrons
    from hint_plugin.errors import DataError

    ends = []
    for path in (reactant, product):
        frames = read_frames(path)
        if len(frames) != 1:
            raise DataError(f"{path} has {len(frames)} frames; wanted one molecule")
        if wrong := no_molecule(frames[0]):
            raise DataError(f"{path}: {wrong[1]}")
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


@dataclass
class Potential:
    """What computes, as the options ask for it. It travels to worker processes, and each loads its own there.

    Attributes:
        options: arguments of `make_calculator`.
    """

    options: tuple[Any, ...]
    _made: Any = None

    def calculator(self) -> Any:
        """One that knows of no molecule before: results do not depend on what was done earlier.

        Raises what `make_calculator` raises, the first time.
        """
        from hint_plugin.cli.support import potential_options
        from hint_plugin.labelling import EngineCalculator

        if self._made is None:
            self._made = potential_options.make_calculator(*self.options)
        return EngineCalculator(self._made.engine) if isinstance(self._made, EngineCalculator) else self._made

    def __getstate__(self) -> dict[str, Any]:
        model, *others = self.options  # a worker on a cluster may be in another folder
        return {"options": (model and model.absolute(), *others), "_made": None}


@dataclass
class Computed:
    """Hessians by a potential, after optimisation if that is wanted."""

    potential: Potential
    relax: bool = False
    saddle: bool = False
    fmax: float = 0.01

    @property
    def calculator(self) -> Any:
        """A calculator; raises what `make_calculator` raises."""
        return self.potential.calculator()

    def load(self) -> None:
        """Load what computes. Raises as `calculator`."""
        self.potential.calculator()

    def __call__(self, atoms: Any, say: Callable[[str], None]) -> Curvature:
        """Raises HintError."""
        atoms.calc = self.calculator
        if self.relax:
            from hint_plugin.errors import EngineError

            found = relaxed(atoms, self.saddle, self.fmax, 300, say)
            if error := wrong_kind(found, self.saddle):
                raise EngineError(error, "geometry")
            return Curvature(found.atoms, found.energy, found.largest_force, found.hessian)
        from hint_plugin.science.molecules.modes import largest_force

        say("energy and forces")
        force = largest_force(atoms.get_forces())
        energy = float(atoms.get_potential_energy())
        say("Hessian")
        return Curvature(atoms, energy, force, atoms.calc.get_hessian(atoms))


class Stored:
    """Hessians that are in the file already."""

    calculator = None

    def load(self) -> None:
        """Nothing computes."""

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
        OptionsError: to be optimised without anything that computes; and what `check_optimiser` raises.
    """
    from hint_plugin.errors import OptionsError
    from hint_plugin.science.molecules.optimization import check_optimiser

    if model is None and engine is None:
        if relax:
            raise OptionsError("--optimize and --saddle need --model FILE or --engine NAME (gfn2-xtb)")
        return Stored()
    if relax:
        check_optimiser()
    return Computed(Potential((model, engine, *options)), relax, saddle, fmax)


def not_stationary(result: dict[str, Any]) -> str:
    """A warning if a Hessian was taken far from a stationary point, or nobody knows; else nothing."""
    force = result["largest_force"]
    if force is None:
        return "the label has no forces, so that nobody knows whether this is a stationary point"
    if force <= _STATIONARY:
        return ""
    return f"not stationary: {force:.2f} eV/A on an atom; --optimize or --saddle goes on"
