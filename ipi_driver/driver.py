"""The driver that i-PI loads: by ``i-pi-driver-py -m custom -P``, by ``<ffdirect>``, or by `hint ipi run`.

Options, ``-o name=value,...`` or ``<parameters>{name: value, ...}``:

========== ============================================================================================
template   file of i-PI or of ASE: elements, and in which directions it is periodic (`template.py`)
model      of `hint export`, or `hint model list`; several, with ``;`` between, are a committee: their mean
device     cpu, cuda, cuda:1, ...
dtype      float32 or float64; the model's own by default
threshold  eV/atom: stop where the members' energies have a larger standard deviation
trust      True: take a ``.hint.pt2``, too, which is machine code
========== ============================================================================================
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from ase import Atoms
from ase.io import write
from ipi.pes.dummy import Dummy_driver
from ipi.utils.softexit import softexit
from ipi.utils.units import unit_to_user

from hint_plugin.data.structures.neighbour_lists import Neighbours
from hint_plugin.errors import DataError, HintError, OptionsError
from hint_plugin.potentials.artifact_potential import Evaluation, Potential
from ipi_driver.template import BOHR, check_images, periodicity, read_template

__DRIVER_NAME__ = "hint"
__DRIVER_CLASS__ = "HintDriver"

Answer = tuple[float, np.ndarray, np.ndarray, str]
HARTREE = float(unit_to_user("energy", "electronvolt", 1.0))
FAILED = "hint-failed.xyz"
PATIENCE = 20.0
"""s, for i-PI to write its files before the process ends."""


class HintDriver(Dummy_driver):
    """Energies, forces and virials of one structure or of many (beads), which share one call of the model.

    Raises:
        OptionsError: an option is missing or wrong, or the models do not fit each other.
        DataError: a file cannot be read, the template has other atoms than i-PI's structure or elements that
            a model does not know, or a prediction is not finite or beyond the threshold. The structure is
            then in ``hint-failed.xyz``.
    """

    def __init__(
        self,
        template: str | None = None,
        model: str | None = None,
        device: str = "cpu",
        dtype: str | None = None,
        threshold: float = 0.0,
        trust: bool | str = False,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if not template or not model:
            raise OptionsError("the HINT driver needs -o template=start.xyz,model=model.hint.pt")
        self.template = read_template(Path(str(template)))
        self.template_name = str(template)
        self.potentials = [
            Potential(path, device=device, dtype=dtype, trust=_is_true(trust))
            for path in str(model).split(";")
            if path
        ]
        self.threshold = _threshold(threshold)
        if self.threshold and len(self.potentials) < 2:
            raise OptionsError("threshold is for a committee: model=first.hint.pt;second.hint.pt")
        for potential in self.potentials:
            potential.check_elements(self.template)
        self._cutoff = max(potential.metadata.cutoff for potential in self.potentials)
        self._neighbours = Neighbours(self._cutoff)
        self._said, self._seen_cell = False, np.zeros((3, 3))
        super().__init__(*args, **kwargs)

    def say_periodicity(self) -> str:
        """A sentence for whoever started the run; it is not said again."""
        self._said = True
        return f"the structure is {periodicity(self.template)} (template {self.template_name})"

    def compute(self, cell: Any, pos: Any) -> Any:
        """i-PI's door.

        Args:
            cell: [3, 3], bohr, cell vectors in columns; or a list of them.
            pos: [N, 3] (or flat), bohr; or a list.

        Returns:
            (energy, forces [N, 3], virial [3, 3], extras as JSON) in hartree and bohr; or a list of them.

        In a thread of i-PI's (``<ffdirect threaded='true'>``) an error ends the process: i-PI does not look
        at what its threads raise, and would wait for ever.
        """
        try:
            return self._computed(cell, pos)
        except Exception as error:
            if _is_in_a_thread_of_ipi():
                _end_ipi(error)
            raise

    def _computed(self, cell: Any, pos: Any) -> Any:
        many = isinstance(cell, list)
        cells, positions = (cell, pos) if many else ([cell], [pos])
        if len(cells) != len(positions):
            raise DataError(f"{len(cells)} cells for {len(positions)} structures")
        if not self._said:
            print(self.say_periodicity(), file=sys.stderr)
        frames = [self._atoms(c, x) for c, x in zip(cells, positions, strict=True)]
        self._check_cell(frames[0])
        members = [potential.evaluate(frames) for potential in self.potentials]
        answers = [self._answer(atoms, [m[k] for m in members]) for k, atoms in enumerate(frames)]
        return answers if many else answers[0]

    def compute_structure(self, cell: np.ndarray, pos: np.ndarray) -> Answer:
        """One structure."""
        answer: Answer = self.compute(cell, pos)
        return answer

    def _atoms(self, cell: np.ndarray, pos: np.ndarray) -> Atoms:
        positions = np.array(pos, dtype=float).reshape(-1, 3) * BOHR
        if len(positions) != len(self.template):
            raise DataError(
                f"i-PI sends {len(positions)} atoms and the template {self.template_name} has "
                f"{len(self.template)}: use the structure of i-PI's input, with the same order of atoms"
            )
        atoms = self.template.copy()
        atoms.set_cell(np.array(cell, dtype=float).reshape(3, 3).T * BOHR)
        atoms.positions[:] = positions
        if not np.isfinite(positions).all():
            self._fail(atoms, "i-PI sends positions that are not finite")
        return atoms

    def _check_cell(self, atoms: Atoms) -> None:
        """Whether i-PI's cell and the template agree, wherever the cell has changed."""
        if not np.array_equal(atoms.cell.array, self._seen_cell):
            check_images(atoms, self._neighbours, self._cutoff, self.template_name)
            self._seen_cell = atoms.cell.array.copy()

    def _answer(self, atoms: Atoms, members: list[Evaluation]) -> Answer:
        energies = np.array([found.energy for found in members])
        forces = np.array([found.forces for found in members])
        virials = np.array([found.virial for found in members])
        if not (np.isfinite(energies).all() and np.isfinite(forces).all()):
            self._fail(atoms, "energy or forces are not finite: atoms too close, or too large a timestep")
        extras: dict[str, Any] = {}
        if len(members) > 1:
            spread = float(energies.std(ddof=1)) / len(atoms)
            extras = {
                "committee_pot": (energies / HARTREE).tolist(),
                "energy_std_ev_per_atom": spread,
                "forces_std_ev_per_angstrom": float(forces.std(axis=0, ddof=1).max()),
            }
            if self.threshold and spread > self.threshold:
                self._fail(
                    atoms,
                    f"the committee's energies have a standard deviation of {spread:.4g} eV/atom, above the "
                    f"threshold of {self.threshold:g}",
                )
        return (
            float(energies.mean() / HARTREE),
            np.ascontiguousarray(forces.mean(axis=0)) * (BOHR / HARTREE),
            virials.mean(axis=0) / HARTREE,
            json.dumps(extras),
        )

    def _fail(self, atoms: Atoms, reason: str) -> None:
        temporary = f".{FAILED}.{os.getpid()}.tmp"
        write(temporary, atoms, format="extxyz")
        os.replace(temporary, FAILED)
        raise DataError(f"{reason}. The structure is in {Path(FAILED).resolve()}")


def _is_in_a_thread_of_ipi() -> bool:
    """Whether this is what polls a forcefield within i-PI, and not the main thread, which hands errors on."""
    here = threading.current_thread()
    return here is not threading.main_thread() and here.name.startswith("poll_")


def _end_ipi(error: Exception) -> NoReturn:
    """Say what is wrong, let i-PI write its RESTART, and end the process with 1."""
    if not isinstance(error, HintError):
        traceback.print_exception(error)
    print(f"error: {error}\ni-PI ends here, since its thread of <ffdirect> cannot go on", file=sys.stderr)
    last = threading.Timer(PATIENCE, os._exit, [1])  # whatever i-PI's own way out waits for
    last.daemon = True
    last.start()
    with contextlib.suppress(BaseException):
        softexit.cleanup("bad", f"HINT: {error}")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _threshold(value: Any) -> float:
    """eV/atom, from i-PI's options, where it may be text."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < np.inf:
        raise OptionsError(f"threshold {value!r}; wanted a number of eV/atom, 0 for none")
    return number


def _is_true(value: Any) -> bool:
    """Of i-PI's options, where it is text."""
    word = str(value).strip().lower()
    if word not in ("true", "false", "1", "0", "yes", "no"):
        raise OptionsError(f"trust={value}; wanted true or false")
    return word in ("true", "1", "yes")
