"""What `hint label` does, as a function of the same name and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hint_plugin.data.outputs import a_file, record
from hint_plugin.data.provenance import run_provenance
from hint_plugin.data.stores.shards import all_files
from hint_plugin.labelling.label_settings import LabelSettings
from hint_plugin.labelling.runner import LabelSummary, run_labelling
from hint_plugin.potentials.engine import HessianMode
from hint_plugin.settings import parse_pairs, read_options


def label(
    inputs: str | Path | Sequence[str | Path] | None,
    output: str | Path,
    *,
    plan: str | Path | None = None,
    engine: str = "gfn2-xtb",
    engine_option: Mapping[str, Any] | Sequence[str] = (),
    engine_options: str | Path | None = None,
    backend: str | None = None,
    hessian: HessianMode = "full",
    atoms: str | None = None,
    probes: int = 1,
    jobs: int = 1,
    parsl: str | Path | None = None,
    hessian_every: int = 1,
    hessian_fraction: float = 1.0,
    seed: int = 0,
    charge: int = 0,
    spin: int | None = None,
    overwrite: bool = False,
    keep_labels: bool = False,
    restart: bool = False,
    report: Callable[[int, int, int], None] | None = None,
) -> LabelSummary:
    """Label structures with energies, forces and Hessians; a run that was stopped goes on.

    Args:
        inputs: files of structures, folders of shards, patterns; one or several. None with a plan.
        output: the labelled structures, .xyz or .h5; beside them OUT.json, what was done, and frames that
            fail in OUT's stem + .failed.xyz.
        plan: of `hint sample`: the frames to label.
        engine: what computes, a name of `list_engines`.
        engine_option: of the engine, as a mapping or as words KEY=VALUE.
        engine_options: a .yaml or .json file of them; `engine_option` goes before it, and `backend` before
            both.
        backend: of xTB engines.
        hessian, atoms, hessian_every, hessian_fraction, seed, overwrite, keep_labels: see `LabelSettings`.
        probes: of a projected label.
        charge, spin: charge and multiplicity of frames that state none.
        jobs, parsl, restart: see `run_labelling`.
        report: called with (done, failed, total); `report.warn(text)`, if it has that, is told what looks
            wrong with the structures, which is a `LabelWarning` otherwise.

    Raises:
        HintError: see `run_labelling`. What fails with one frame is in the result.
    """
    target = Path(output)
    a_file(target)
    files = all_files([inputs] if isinstance(inputs, str | Path) else inputs or [])
    options: dict[str, Any] = read_options(Path(engine_options)) if engine_options else {}
    options |= engine_option if isinstance(engine_option, Mapping) else parse_pairs(engine_option)
    if backend is not None:
        options["backend"] = backend
    settings = LabelSettings(
        engine=engine,
        engine_options=options,
        hessian=hessian,
        atoms=atoms,
        n_probes=probes,
        seed=seed,
        charge=charge,
        multiplicity=spin,
        hessian_every=hessian_every,
        hessian_fraction=float(hessian_fraction),
        overwrite=overwrite,
        keep_labels=keep_labels,
    )
    summary = run_labelling(
        files,
        target,
        settings,
        plan=plan,
        jobs=jobs,
        parsl=parsl,
        restart=restart,
        report=report,
        warn=getattr(report, "warn", None),
    )
    summary = replace(summary, provenance=run_provenance(files if plan is None else [Path(plan)]))
    if target.exists():
        record(target, "label", summary.as_dict())
    return summary
