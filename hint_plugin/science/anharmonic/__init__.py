"""Anharmonic phonons: the stochastic self-consistent harmonic approximation on exact, batched forces."""

from hint_plugin.science.anharmonic.batched_forces import Evaluated, Evaluator
from hint_plugin.science.anharmonic.dynamical_matrix_files import (
    from_phonopy,
    read_dynamical_matrices,
    read_phonopy,
    to_phonopy,
    write_dynamical_matrices,
)
from hint_plugin.science.anharmonic.initial_force_constants import with_masses
from hint_plugin.science.anharmonic.self_consistency import SschaSettings, SschaState, Watcher, begin, relax
from hint_plugin.science.anharmonic.supercell_force_constants import ForceConstants, from_hessian

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
