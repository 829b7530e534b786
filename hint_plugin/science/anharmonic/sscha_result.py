"""What `hint sscha` finds, as objects, as JSON and as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hint_plugin.data.file_io import files_of, remove_earlier, write_json
from hint_plugin.errors import OptionsError
from hint_plugin.science.anharmonic.crystal_symmetry import symmetrised
from hint_plugin.science.anharmonic.free_energy_hessian import free_energy_hessian
from hint_plugin.science.anharmonic.run_folder import keep_state
from hint_plugin.science.anharmonic.self_consistency import SschaSettings, SschaState
from hint_plugin.science.anharmonic.sscha_report import plot_convergence, summary, write_bands, write_matrices
from hint_plugin.science.anharmonic.supercell_force_constants import ForceConstants

RESULTS = "sscha.json"
OWN = (r"(harmonic|sscha|hessian)\.(dyn\d+|yaml)", r"(bands|convergence)\.png")
"""What is written beside `RESULTS`."""

HESSIANS = ("none", "v3", "v4")
"""Of the free energy: none, without and with the fourth order."""


@dataclass(frozen=True)
class SschaResult:
    """Anharmonic phonons of a crystal.

    Attributes:
        start: what the run began with.
        state: at the end; `state.finished` where it is the minimum of the free energy.
        settings: of the run.
        named: force constants by what they are: "harmonic" (its imaginary modes are as they are), "sscha",
            and "hessian" of the free energy, where it was asked for.
        about: more for JSON.
        forces: what gave them (`run_folder.forces_of`), for the state that a later run goes on with.
    """

    start: ForceConstants
    state: SschaState
    settings: SschaSettings
    named: Mapping[str, ForceConstants]
    about: Mapping[str, Any] = field(default_factory=dict)
    forces: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        start: ForceConstants,
        state: SschaState,
        settings: SschaSettings,
        hessian: str = "none",
        say: Callable[[str], None] = lambda text: None,
        forces: Mapping[str, Any] | None = None,
        **about: Any,
    ) -> SschaResult:
        """Of a state, with the Hessian of its free energy; `say` is told what is being done.

        Raises:
            OptionsError: a Hessian of a state without a population.
        """
        named = {"harmonic": symmetrised(start, settings.precision), "sscha": state.constants}
        if hessian != "none":
            if state.population is None:
                raise OptionsError("no population to take the Hessian of the free energy from")
            say(f"Hessian of the free energy ({hessian})")
            named["hessian"] = free_energy_hessian(state.population, state.constants, hessian == "v4")
        return cls(start, state, settings, named, about, forces)

    def as_dict(self) -> dict[str, Any]:
        """What sscha.json holds: energies eV a cell, pressures GPa, frequencies cm^-1, masses amu, A."""
        return {**summary(self.state, self.settings, self.named), **self.about}

    def write(self, folder: str | Path) -> None:
        """state.npz, with which `hint sscha` goes on; and what `write_results` writes."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        keep_state(folder, self.start, self.state, self.settings, self.forces)
        self.write_results(folder)

    def write_results(self, folder: str | Path) -> None:
        """Matrices for Quantum ESPRESSO and phonopy, sscha.json, bands.png, convergence.png."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        remove_earlier(folder, RESULTS, OWN, (), files_of(self.about.get("provenance", {})))
        write_matrices(folder, self.named)
        write_json(folder / RESULTS, self.as_dict())
        write_bands(folder / "bands.png", dict(reversed(list(self.named.items()))))
        plot_convergence(folder / "convergence.png", self.state.records)
