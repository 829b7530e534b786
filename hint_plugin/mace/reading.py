"""Frames on their way from files to MACE's `Configuration`: labels, and what MACE would pass over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import iread

from hint_plugin.data import LabelKeys, Thresholds, check_frames, iter_frames, read_label
from hint_plugin.data.formats.xyz import check_as_ase_reads
from hint_plugin.data.labels.frame_labels import rename_line
from hint_plugin.errors import DataError, LabelError
from hint_plugin.mace.active_options import session
from hint_plugin.mace.labels import attach, is_labelled


def config_from_atoms(original: Callable[..., Any], atoms: Atoms, *args: Any, **kwargs: Any) -> Any:
    """MACE's `Configuration` of a frame, with its Hessian label. Raises LabelError for a malformed one."""
    config = original(atoms, *args, **kwargs)
    if session.labels and session.options is not None:
        keys = session.options.label_keys(kwargs.get("key_specification", args[0] if args else None))
        if "hint_method" in atoms.info:
            session.methods.add(str(atoms.info["hint_method"]))
        session.contents.add(atoms, "the data")
        limits = session.options.label_limits()
        label = read_label(
            atoms, keys, source="a frame of the data", frame=None, limits=limits, told=session.told
        )
        attach(config, label)
    return config


def load_from_xyz(original: Callable[..., Any], file_path: str, *args: Any, **kwargs: Any) -> Any:
    """The frames of a file.

    Raises:
        LabelError: names every malformed label of the file.
        DataError: energies or forces have ASE's own names, which MACE does not read, or a blank line would
            end the file for it.
    """
    if not session.labels or session.options is None:
        return original(file_path, *args, **kwargs)
    check_as_ase_reads(Path(file_path))
    keys = args[0] if args else kwargs["key_specification"]
    try:
        energies, configs = original(file_path, *args, **kwargs)
    except LabelError:
        explain_bad_labels(file_path, session.options.label_keys(keys), session.options.label_limits())
        raise
    except ValueError:  # MACE's: no frame has the keys
        refuse_ase_names(file_path, iread(file_path, index=":"), keys)
        raise
    incomplete = any(c.properties.get(name) is None for c in configs for name in ("energy", "forces"))
    if incomplete and not kwargs.get("no_data_ok"):
        refuse_ase_names(file_path, iread(file_path, index=":"), keys)
    return energies, configs


def explain_bad_labels(path: str, keys: LabelKeys, limits: Thresholds) -> None:
    """Read a file again and raise one error with every malformed label and its frame."""
    check_frames(iter_frames(path), keys, source=path, limits=limits).raise_if_bad()


def refuse_ase_names(path: str | Path, frames: Iterable[Atoms], keys: Any) -> None:
    """Raise DataError if frames have energies or forces that MACE does not see: results of a calculator.

    Args:
        path: where the frames are.
        frames: all of them.
        keys: MACE's `KeySpecification`.
    """
    total, passed_over = 0, 0
    for atoms in frames:
        total += 1
        passed_over += bool(ase_names(atoms, keys))
    if passed_over:
        wanted = f"{keys.info_keys['energy']} and {keys.arrays_keys['forces']}"
        raise DataError(
            f"{path}: {passed_over} of {total} frames have energies or forces under ASE's own names (energy, "
            f"forces). MACE reads {wanted}, so it would train these frames without them. Rename them: "
            f"{rename_line(path)}"
        )


def ase_names(atoms: Atoms, keys: Any) -> list[str]:
    """Which of energy and forces a frame has as a calculator's result alone, and MACE does not read."""
    results = getattr(atoms.calc, "results", {})
    places = (("energy", keys.info_keys, atoms.info), ("forces", keys.arrays_keys, atoms.arrays))
    return [n for n, names, place in places if n in results and names.get(n) not in (n, None, *place)]


def pseudolabels(original: Callable[..., Any], model: Any, configs: Sequence[Any], **kwargs: Any) -> Any:
    """``--pseudolabel_replay``: the foundation model's energies and forces, no Hessian of another level."""
    updated = original(model, configs, **kwargs)
    pairs = (
        zip(configs, updated, strict=True) if len(configs) == len(updated) else ((None, c) for c in updated)
    )
    dropped = 0
    for before, after in pairs:
        if is_labelled(after) and (before is None or not _same_level(before, after)):
            attach(after, None)
            dropped += 1
    if dropped:
        logging.warning(
            f"HINT: {dropped} Hessian labels of replayed structures are left out: --pseudolabel_replay has "
            "replaced their energies and forces by the foundation model's, and the Hessians are of another "
            "level. To train with them, leave --pseudolabel_replay out"
        )
    return updated


def _same_level(before: Any, after: Any) -> bool:
    """Whether energy and forces are still those of the file (MACE keeps them where its model has failed)."""
    return all(
        np.array_equal(before.properties.get(name), after.properties.get(name))
        for name in ("energy", "forces")
    )
