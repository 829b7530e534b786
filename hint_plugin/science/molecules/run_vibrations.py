"""What `hint vibrations` does: frequencies, modes, infrared intensities and spectra of molecules."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from hint_plugin.data.file_io import write_json
from hint_plugin.data.outputs import a_folder, as_path
from hint_plugin.data.provenance import identity, of_structures, run_provenance
from hint_plugin.errors import EngineError, InterruptedRunError, OptionsError
from hint_plugin.parallel import Batch, Spread
from hint_plugin.parallel.batch import asked_for
from hint_plugin.potentials.on_demand import OnDemand
from hint_plugin.science.molecules import mode_files
from hint_plugin.science.molecules.anharmonic import (
    STEP,
    anharmonic_vibrations,
    check_step,
    minimum_of,
)
from hint_plugin.science.molecules.anharmonic_records import SUFFIX, records
from hint_plugin.science.molecules.anharmonic_result import constants_as_dict
from hint_plugin.science.molecules.curvature import Curvature, source_of_hessians
from hint_plugin.science.molecules.dynamics import DensityOfStates, vibrational_density
from hint_plugin.science.molecules.infrared import dipole_derivatives, has_dipole, infrared_intensities
from hint_plugin.science.molecules.modes import NormalModes, normal_modes
from hint_plugin.science.molecules.molecule_inputs import Inputs, files_of, given
from hint_plugin.science.molecules.over_molecules import each_molecule, say_at_the_end
from hint_plugin.science.molecules.remarks import how_many_are_not, is_stationary, kind_of, remarks_of
from hint_plugin.science.molecules.spectrum import Lines, plot_anharmonic, plot_density, plot_spectrum
from hint_plugin.science.molecules.vpt2 import Anharmonic


@dataclass(frozen=True)
class VibrationsResult(Batch):
    """Vibrations of molecules.

    Attributes:
        width: of a line in the figures, cm^-1.
        folder: where the files of modes were written during the run.
    """

    width: float = 10.0
    folder: Path | None = None

    def write(self, output: str | Path) -> None:
        """vibrations.json; of each molecule NAME.molden, NAME.modes.xyz, and last of all the pictures.

        The folder is made. NAME.png is the spectrum, NAME.md.png that of the dynamics. Of anharmonic
        vibrations NAME.anharmonic.json has the force field, and NAME.anharmonic.png the lines.
        """
        folder = as_path(output)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "vibrations.json", self.as_dict())
        for atoms, row, kept in self.done:
            self._modes(folder, atoms, row, kept)
            if "force_field" in kept:
                write_json(folder / f"{row['name']}.anharmonic.json", json.loads(kept["force_field"]))
        for atoms, row, kept in self.done:  # after all results: a picture that fails costs none
            _draw(folder, atoms, row, kept, self.width)

    def _modes(self, folder: Path, atoms: Any, row: dict[str, Any], kept: dict[str, Any]) -> None:
        if self.folder is None:
            there = atoms.copy()
            there.positions = kept["positions"]
            _write_modes(folder, row["name"], normal_modes(there, kept["hessian"]), _intensities(row))
        elif folder.resolve() != self.folder.resolve():
            for suffix in (".molden", ".modes.xyz"):
                shutil.copyfile(self.folder / f"{row['name']}{suffix}", folder / f"{row['name']}{suffix}")


def vibrations(
    inputs: Inputs,
    potential: Any = None,
    output: str | Path | None = None,
    *,
    optimize: bool = False,
    saddle: bool = False,
    fmax: float = 0.01,
    infrared: bool = True,
    width: float = 10.0,
    md: float = 0.0,
    temperature: float = 300.0,
    anharmonic: bool = False,
    anharmonic_step: float = STEP,
    device: str = "cpu",
    charge: int = 0,
    spin: int | None = None,
    jobs: int = 1,
    parsl: str | Path | None = None,
    restart: bool = False,
    report: Any = None,
) -> VibrationsResult:
    """Vibrations of molecules, without translations and rotations; see `hint_plugin.science.molecules.run`.

    Where FixAtoms and FixCartesian hold atoms, all modes of the others; then a structure may be periodic.

    Args:
        inputs, output, device, charge, spin, jobs, parsl, restart, report: see there.
        potential: see there; None: energies, forces and Hessians are those in the files.
        optimize, saddle: go to the nearest minimum, or to a transition state, first.
        fmax: eV/A, the largest force on an atom at the end of that.
        infrared: intensities from dipoles, where the potential has them; 6N evaluations.
        width: of a line in the figure, cm^-1.
        md: ps of dynamics, for the anharmonic density of states; 0 for none.
        temperature: of the dynamics, K.
        anharmonic: also VPT2 (`anharmonic_vibrations`), of 2M more Hessians for M modes. With `optimize`, the
            geometry is brought to its minimum more closely than by `fmax`.
        anharmonic_step: the displacement for that, of the dimensionless coordinates.

    Raises:
        HintError: files, options or packages with which nothing can be done; a run that is stopped.
    """
    asked, place = asked_for(locals()), a_folder(as_path(output))
    molecules = given(inputs)
    what = None if potential is None else OnDemand.of(potential, device, charge, spin)
    source = source_of_hessians(what, relax=optimize or saddle, saddle=saddle, fmax=fmax)
    folder = None if place is None else place.absolute()
    quartic = _quartic(source, molecules, saddle, anharmonic_step, asked) if anharmonic else None
    if quartic is not None and folder is not None:
        _look_at_kept(folder, quartic, restart)
    work = Vibrations(source, folder, infrared, md, temperature, quartic)
    spread = Spread(jobs, as_path(parsl), restart)
    found, asked = VibrationsResult(width=width, folder=folder), asked | source.asked()
    with (
        _told_of_hessians(folder if anharmonic else None),
        each_molecule(
            "vibrations", asked, molecules, work, place, spread, found, source.potential, source.model, report
        ) as display,
    ):
        say_at_the_end(found, display, how_many_are_not(found.results, "frequencies"))
        if place is not None:
            found.write(place)
    return found


@dataclass(frozen=True)
class Quartic:
    """What anharmonic vibrations take.

    Attributes:
        step: of the dimensionless coordinates.
        relax: whether the geometry is brought to its minimum.
        run: what the Hessians of a stopped run depend on.
    """

    step: float
    relax: bool
    run: dict[str, Any]


def _quartic(source: Any, molecules: Any, saddle: bool, step: float, asked: dict[str, Any]) -> Quartic:
    """Raises OptionsError: what VPT2 cannot do."""
    check_step(step)
    if saddle:
        raise OptionsError("--anharmonic is of minima, and --saddle goes to none; give one of the two")
    if source.potential is None:
        raise OptionsError(
            "--anharmonic computes Hessians of displaced geometries: it needs --model FILE or --engine NAME"
        )
    origin = run_provenance(files_of(molecules), source.model, source.calculator)
    if in_memory := [one for one in molecules if isinstance(one, Atoms)]:
        origin["data"].append(of_structures(in_memory))
    geometry = {name: asked[name] for name in ("optimize", "fmax", "charge", "spin", "anharmonic-step")}
    run = {"verb": "vibrations", **geometry, **source.asked(), **identity(origin)}
    return Quartic(step, source.relax, json.loads(json.dumps(run, default=str)))


def _look_at_kept(folder: Path, quartic: Quartic, restart: bool) -> None:
    """Hessians that a stopped run has left: dropped with `restart`. Raises OptionsError: of another run."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        if restart:
            path.unlink()
        else:
            with records(path, quartic.run, keep=True):
                pass


_AGAIN = ". Give the same command again to go on"


@contextmanager
def _told_of_hessians(folder: Path | None) -> Iterator[None]:
    """A run that is stopped says which Hessians are kept."""
    try:
        yield
    except InterruptedRunError as error:
        left = [] if folder is None else sorted(folder.glob(f"*{SUFFIX}"))
        if not left:
            raise
        told = ", ".join(str(path) for path in left)
        before = str(error).removesuffix(", and nothing is kept").removesuffix(_AGAIN)
        raise InterruptedRunError(f"{before}; Hessians for --anharmonic are kept in {told}{_AGAIN}") from None


@dataclass(frozen=True)
class Vibrations:
    """The work on one molecule; it travels to worker processes.

    Attributes:
        source: of energies and Hessians.
        output: the folder; None: what its files are made of is kept.
        infrared: whether intensities are wanted.
        md: length of the dynamics, ps; 0 for none.
        temperature: of the dynamics, K.
        quartic: for anharmonic vibrations; None: harmonic ones only.
    """

    source: Any
    output: Path | None
    infrared: bool
    md: float
    temperature: float
    quartic: Quartic | None = None

    def __call__(self) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
        """Set up a process: load what computes."""
        self.source.load()
        return self._work

    def _work(self, name: str, atoms: Any, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        if self.quartic is None:
            return self._of(name, self.source(atoms, say), say)
        path = None if self.output is None else self.output / f"{name}{SUFFIX}"
        with records(path, self.quartic.run) as hessians:
            found = minimum_of(atoms, self.source, self.quartic.relax, hessians, say)
            levels = anharmonic_vibrations(
                found.atoms, found.hessian, step=self.quartic.step, kept=hessians, say=say
            )
            row, kept = self._of(name, found, say)
            row["anharmonic"] = levels.as_dict() | {"lines": _lines(levels.levels, _intensities(row))}
            row["remarks"] += levels.remarks
            kept["force_field"] = json.dumps(constants_as_dict(levels.levels, found.atoms))
            return row, kept

    def _of(self, name: str, found: Curvature, say: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The harmonic vibrations, and the dynamics, of a geometry with its Hessian."""
        modes, intensities = normal_modes(found.atoms, found.hessian), None
        if self.infrared and has_dipole(found.atoms):
            say("dipole moments")
            intensities = infrared_intensities(modes, dipole_derivatives(found.atoms))
        kept: dict[str, Any] = {}
        if self.output is None:
            kept = {"positions": found.atoms.positions, "hessian": found.hessian}
        else:
            _write_modes(self.output, name, modes, intensities)
        row = {
            "energy": found.energy,
            "largest_force": found.largest_force,
            "kind": kind_of(modes, found.largest_force),
            "stationary": is_stationary(found.largest_force),
            **modes.as_dict(),
            "outside_training": found.outside,
        }
        row["remarks"] = remarks_of(row)
        if self.md:
            density = _dynamics(modes, self.md, self.temperature, say)
            row["density_of_states"] = _as_dict(density)
            kept |= {"wavenumbers": density.wavenumbers, "density": density.density}
        if intensities is not None:
            row["infrared_intensities"] = intensities.tolist()
        return row, kept


def _lines(levels: Anharmonic, intensities: NDArray | None) -> dict[str, Any]:
    """Where the lines of the fundamentals are, and their heights: 1 where there are no intensities."""
    given = np.ones(len(levels.field.frequencies)) if intensities is None else intensities
    positions, heights = levels.lines(given)
    return {"positions": positions.tolist(), "intensities": heights.tolist()}


def _write_modes(folder: Path, name: str, modes: NormalModes, intensities: NDArray | None) -> None:
    """NAME.molden and NAME.modes.xyz."""
    mode_files.write_molden(folder / f"{name}.molden", modes, intensities)
    mode_files.write_movies(folder / f"{name}.modes.xyz", modes)


def _intensities(row: dict[str, Any]) -> NDArray | None:
    strengths = row.get("infrared_intensities")
    return None if strengths is None else np.array(strengths)


def _draw(output: Path, atoms: Any, row: dict[str, Any], kept: dict[str, Any], width: float) -> None:
    """NAME.png, and NAME.md.png of dynamics."""
    lines, intensities = Lines(atoms, np.array(row["frequencies"])), _intensities(row)
    plot_spectrum(output / f"{row['name']}.png", lines, intensities, width)
    if "density" in kept:
        temperature = row["density_of_states"]["temperature"]
        density = DensityOfStates(kept["wavenumbers"], kept["density"], temperature)
        plot_density(output / f"{row['name']}.md.png", lines, density, width)
    if found := row.get("anharmonic"):
        places, heights = np.array(found["lines"]["positions"]), np.array(found["lines"]["intensities"])
        plot_anharmonic(output / f"{row['name']}.anharmonic.png", lines, intensities, places, heights, width)


def _dynamics(modes: Any, md: float, temperature: float, say: Any) -> Any:
    """The density of states of dynamics."""
    if modes.atoms.calc is None:
        raise OptionsError("--md needs --model FILE or --engine NAME (gfn2-xtb)")
    if modes.free is not None:
        raise EngineError(
            "--md runs the dynamics of free molecules, and atoms of this structure are held", "other"
        )
    return vibrational_density(
        modes.atoms,
        time=md,
        temperature=temperature,
        report=lambda ps: say(f"dynamics: {ps:.1f} ps"),
        modes=len(modes.frequencies),
    )


def _as_dict(found: Any) -> dict[str, Any]:
    """A density of states up to 5000 cm^-1."""
    shown = found.wavenumbers < 5000
    return {
        "wavenumbers": found.wavenumbers[shown].tolist(),
        "density": found.density[shown].tolist(),
        "temperature": found.temperature,
    }
