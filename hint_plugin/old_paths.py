"""Modules that have moved since version 0.1: their old paths import for one more release, with a warning.

Pickles and people name modules by their paths. The old path gives the module of today, so that both are one
module and its classes the same classes. `hint_plugin` puts a finder at the end of `sys.meta_path`, which is
asked for what nobody else finds.
"""

from __future__ import annotations

import importlib
import warnings
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType

#: Path in version 0.1 -> path of today, both within `hint_plugin`.
MOVED = {
    "core.colouring": "potentials.colouring",
    "core.memory": "allocator",
    "core.threads": "parallel.threads",
    "data.audit": "data.sets.audit",
    "data.batch_labels": "data.labels.batch_labels",
    "data.batches": "data.sets.bounded_batches",
    "data.checks": "data.labels.thresholds",
    "data.conversion": "data.sets.conversion",
    "data.electrons": "data.structures.electrons",
    "data.extxyz": "data.labels.extxyz",
    "data.figures": "data.drawing",
    "data.files": "data.file_io",
    "data.fingerprint": "data.structures.fingerprint",
    "data.frame_labels": "data.labels.frame_labels",
    "data.frames": "data.sets.frames",
    "data.gate": "data.labels.gate",
    "data.geometries": "data.structures.geometries",
    "data.hdf5": "data.stores.hdf5",
    "data.hdf5_v1": "data.stores.hdf5_v1",
    "data.hdf5_v2": "data.stores.hdf5_v2",
    "data.keys": "data.labels.label_keys",
    "data.label": "data.labels.label",
    "data.levels": "data.labels.levels",
    "data.merging": "data.sets.merging",
    "data.part_files": "data.stores.part_files",
    "data.patterns": "data.sets.patterns",
    "data.physics": "data.labels.physics",
    "data.records": "data.stores.frame_bytes",
    "data.sampling_plan": "data.sets.sampling_plan",
    "data.shards": "data.stores.shards",
    "data.single_points": "data.labels.ase_energies",
    "data.splits": "data.sets.splits",
    "data.statistics": "data.sets.statistics",
    "data.statistics_plots": "data.sets.statistics_plots",
    "data.structure_keys": "data.structures.identity",
    "data.supercells": "data.structures.supercells",
    "data.trained_on": "artifact.trained_on",
    "data.units": "data.labels.bond_stiffness",
    "export.allowed": "artifact.allowed",
    "export.archive": "artifact.archive",
    "export.artifact": "artifact.scripted",
    "export.calculator": "potentials.hint_calculator",
    "export.checkpoint": "export.checkpoint_to_artifact",
    "export.compiled": "artifact.compiled",
    "export.contract": "artifact.contract",
    "export.domain": "artifact.domain",
    "export.frames": "export.check_structures",
    "export.metadata": "artifact.metadata",
    "export.operators": "artifact.operators",
    "export.potential": "potentials.artifact_potential",
    "export.predictors": "potentials.checkpoints",
    "export.script_pickle": "artifact.script_pickle",
    "labelling.calculator": "potentials.hint_calculator",
    "labelling.cluster_settings": "parallel.cluster_settings",
    "labelling.dft_folder": "dft.dft_folder",
    "labelling.dft_inputs": "dft.dft_inputs",
    "labelling.differences": "potentials.differences",
    "labelling.engine": "potentials.engine",
    "labelling.engines": "potentials.engines",
    "labelling.engines.calculator": "potentials.engines.ase_calculator",
    "labelling.engines.model": "potentials.engines.trained_potential",
    "labelling.engines.openmp": "potentials.engines.openmp",
    "labelling.engines.pyscf": "potentials.engines.pyscf",
    "labelling.engines.qe": "potentials.engines.qe",
    "labelling.engines.qe_input": "dft.qe_input",
    "labelling.engines.tblite": "potentials.engines.tblite",
    "labelling.engines.xtb": "potentials.engines.xtb",
    "labelling.engines.xtb_python": "potentials.engines.xtb_python",
    "labelling.failures": "parallel.failures",
    "labelling.journal": "parallel.journal",
    "labelling.options": "settings",
    "labelling.parsl_config": "parallel.parsl_config",
    "labelling.parsl_pool": "parallel.parsl_pool",
    "labelling.parsl_worker": "parallel.parsl_worker",
    "labelling.pool": "parallel.pool",
    "labelling.primitive": "dft.primitive",
    "labelling.registry": "potentials.registry",
    "labelling.settings": "labelling.label_settings",
    "labelling.structures": "potentials.structure_checks",
    "labelling.upf": "dft.upf",
    "mace.edges": "mace.edge_contract",
    "mace.seam": "mace.patches",
    "mace.session": "mace.active_options",
    "mace.statistics": "data.sets.mace_statistics",
    "mace.status": "mace.installation",
    "mace.steps": "mace.wrappers",
    "nequip.edges": "nequip.edge_contract",
    "parallel.structures": "parallel.over_structures",
    "science.anharmonic.campaign": "science.anharmonic.run_folder",
    "science.anharmonic.evaluation": "science.anharmonic.batched_forces",
    "science.anharmonic.files": "science.anharmonic.dynamical_matrix_files",
    "science.anharmonic.force_constants": "science.anharmonic.supercell_force_constants",
    "science.anharmonic.hessian": "science.anharmonic.free_energy_hessian",
    "science.anharmonic.library": "science.anharmonic.python_sscha",
    "science.anharmonic.relaxation": "science.anharmonic.self_consistency",
    "science.anharmonic.report": "science.anharmonic.sscha_report",
    "science.anharmonic.sampling": "science.anharmonic.ensemble",
    "science.anharmonic.start": "science.anharmonic.initial_force_constants",
    "science.anharmonic.symmetry": "science.anharmonic.crystal_symmetry",
    "science.molecules.comparison": "science.molecules.thermo_comparison",
    "science.molecules.files": "science.molecules.mode_files",
    "science.molecules.symmetry": "science.molecules.rotational_symmetry",
    "science.phonons.files": "science.phonons.phonon_files",
    "science.phonons.properties": "science.phonons.carried_properties",
    "science.phonons.reference": "science.phonons.reference_phonons",
    "science.phonons.relaxation": "science.phonons.cell_relaxation",
    "science.reactions.campaign": "science.reactions.many_reactions",
    "science.reactions.comparison": "science.reactions.model_comparison",
    "science.reactions.report": "science.reactions.reaction_files",
    "science.reactions.settings": "science.reactions.reaction_settings",
    "science.reactions.statistics": "science.reactions.success_rates",
    "science.reactions.workflow": "science.reactions.one_reaction",
    "science.references": "science.labelled_frames",
    "science.report": "science.evaluation_report",
    "science.superconductivity.couplings": "science.superconductivity.mode_couplings",
    "science.superconductivity.electron_phonon": "science.superconductivity.coupling_matrices",
    "science.superconductivity.figures": "science.superconductivity.tc_figure",
    "science.superconductivity.qe_couplings": "science.superconductivity.lambda_x_files",
    "science.superconductivity.qe_elph": "science.superconductivity.ph_x_files",
    "science.superconductivity.report": "science.superconductivity.tc_report",
    "science.superconductivity.same_crystal": "science.superconductivity.same_crystals",
    "science.superconductivity.units": "science.superconductivity.energy_units",
    "science.superconductivity.workflow": "science.superconductivity.critical_temperature",
    "science.units": "science.lattice_units",
}


def find(name: str) -> ModuleSpec | None:
    """A spec for a module's path of version 0.1; None for everything else."""
    target = MOVED.get(name.removeprefix("hint_plugin."))
    if target is None:
        return None
    today = f"hint_plugin.{target}"
    warnings.warn(
        f"{name} is {today} since HINT 0.2; the old path goes with the next release",
        DeprecationWarning,
        stacklevel=2,
    )
    return ModuleSpec(name, _Alias(today), is_package=name == "hint_plugin.labelling.engines")


class _Alias(Loader):
    """Gives the module of today, and leaves its own name as it is."""

    def __init__(self, today: str) -> None:
        self._today = today
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """The module of today; of a package an empty one, or its modules would be loaded twice."""
        if spec.submodule_search_locations is not None:
            return None
        module = importlib.import_module(self._today)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: it has run."""
        if self._spec is not None:
            module.__spec__ = self._spec
