"""Anharmonic phonons: the stochastic self-consistent harmonic approximation on exact, batched forces."""

from hint_plugin.science.anharmonic.evaluation import Evaluated, Evaluator
from hint_plugin.science.anharmonic.files import (
    from_phonopy,
    read_dynamical_matrices,
    read_phonopy,
    to_phonopy,
    write_dynamical_matrices,
)
from hint_plugin.science.anharmonic.force_constants import ForceConstants, from_hessian
from hint_plugin.science.anharmonic.relaxation import SschaSettings, SschaState, Watcher, begin, relax
from hint_plugin.science.anharmonic.start import with_masses

__all__ = [
    "Evaluated",
    "Evaluator",
    "ForceConstants",
    "SschaSettings",
    "SschaState",
    "Watcher",
    "begin",
    "from_hessian",
    "from_phonopy",
    "read_dynamical_matrices",
    "read_phonopy",
    "relax",
    "to_phonopy",
    "with_masses",
    "write_dynamical_matrices",
]
