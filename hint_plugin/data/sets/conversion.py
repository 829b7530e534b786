"""From files in any format to one in another, or to shards; full labels become projected ones on the way."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from hint_plugin.data.formats import for_writing, get_format
from hint_plugin.data.labels.extxyz import Told, read_label, write_label
from hint_plugin.data.labels.frame_labels import of_ase, rename_ase_labels
from hint_plugin.data.labels.label_keys import LabelKeys, NearMisses
from hint_plugin.data.labels.levels import LevelCount, has_hessian
from hint_plugin.data.sets.frames import iter_frames, write_frames
from hint_plugin.data.sets.patterns import each_once
from hint_plugin.data.stores.shards import files_of, write_shards
from hint_plugin.errors import DataError, LabelError


def _some(frames: Iterator[Atoms], inputs: Sequence[str | Path]) -> Iterator[Atoms]:
    """The same frames. Raises DataError if there is none, before a file is begun."""
    first = next(frames, None)
    if first is None:
        raise DataError(f"{', '.join(map(str, inputs))}: no frames")
    yield first
    yield from frames


@dataclass
class Conversion:
    """What was written: files, frames of each input; how many labels were projected, and how many frames had
    energy, forces or stress under ASE's own names, which became those of `LabelKeys`; `mixture` is what is to
    be said of labels of several levels; `labels` counts frames with energy, forces, stress and Hessian, and
    `near_misses` names what looks like labels and is none; `provenance` where a run has one."""

    files: list[str]
    inputs: dict[str, int]
    projected: int = 0
    renamed: int = 0
    bytes: int = 0
    mixture: str = ""
    labels: Counter[str] = field(default_factory=Counter)
    near_misses: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """All of them."""
        return sum(self.inputs.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        names = ("frames", "inputs", "files", "bytes", "projected", "renamed", "mixture")
        found = {name: getattr(self, name) for name in names}
        found |= {"labels": dict(self.labels), "near_misses": self.near_misses}
        return found | {"provenance": self.provenance}


def convert(
    inputs: Sequence[str | Path],
    output: str | Path,
    *,
    source_format: str | None = None,
    source_options: Mapping[str, Any] | None = None,
    format: str | None = None,
    project: int | None = None,
    seed: int = 0,
    frames_per_shard: int | None = None,
    keys: LabelKeys | None = None,
    report: Callable[[str, int], Any] = lambda name, frames: None,
    **options: Any,
) -> Conversion:
    """Write the frames of all inputs, in order, in constant memory. Energy, forces and stress under ASE's own
    names get those of `keys`, which trainers read (`data.labels.frame_labels`).

    Args:
        inputs: anything that `iter_frames` reads.
        output: anything that `write_frames` writes; with `frames_per_shard` a name .h5 or a folder, see
            `write_shards`.
        source_format: of the inputs, where names and contents do not tell.
        source_options: of its reader, see docs/formats.md.
        format: of the output, where its name does not tell.
        project: full and rows labels become this many pairs (v, Hv) along Rademacher probes. Labels that are
            projected already are kept.
        seed: of the probes. Those of a frame depend on the seed and its number alone.
        frames_per_shard: write shards.
        keys: where labels are.
        report: called with the name of an input and the number of all frames done.
        **options: of the format's writer; for stores those of `FrameStore.create`.

    Raises:
        DataError: a file cannot be read or written.
        OptionsError: a file is given twice.
        LabelError: a label that is to be projected, or renamed, is malformed.
    """
    each_once(
        [file for path in inputs for file in files_of(path)],
        only_this_file=bool((source_options or {}).get("only_this_file")),
    )
    keys = keys or LabelKeys()
    done, levels, near = Conversion([], {}), LevelCount(), NearMisses(keys)

    def frames() -> Iterator[Atoms]:
        total = 0
        for path in inputs:
            done.inputs[str(path)] = 0
            for atoms in iter_frames(path, source_format, **(source_options or {})):
                done.inputs[str(path)] += 1
                total += 1
                report(str(path), total)
                try:
                    done.renamed += rename_ase_labels(atoms, keys)
                except LabelError as error:
                    raise LabelError(f"{path}, frame {done.inputs[str(path)] - 1}: {error}") from error
                levels.add(atoms, str(path))  # under the names that labels of ASE have got just now
                done.labels.update(_labels_of(atoms, keys))
                near.add(atoms, f"{path}, frame {done.inputs[str(path)] - 1}")
                yield atoms

    source: Iterable[Atoms] = _some(frames(), inputs)
    if project is not None:
        source = _projected(source, project, seed, keys, done)
    if frames_per_shard is not None:
        files = write_shards(output, source, frames_per_shard=frames_per_shard, **options)
    else:
        kind = for_writing(output) if format is None else get_format(format)
        write_frames(output, source, kind.name, **options)
        files = [Path(output)]
    done.mixture, done.near_misses = levels.mixture(), near.remarks()
    done.files = [str(file) for file in files]
    everything = [part for file in files for part in ([file] if file.is_file() else file.rglob("*"))]
    done.bytes = sum(part.stat().st_size for part in everything if part.is_file())
    return done


def _labels_of(atoms: Atoms, keys: LabelKeys) -> list[str]:
    """Which of energy, forces, stress and Hessian a frame has."""
    own = of_ase(atoms)
    places = (("energy", atoms.info), ("forces", atoms.arrays), ("stress", atoms.info))
    found = [what for what, place in places if getattr(keys, what) in place or getattr(keys, what) in own]
    return found + ["hessian"] * has_hessian(atoms, keys)


def _projected(
    frames: Iterable[Atoms], n_probes: int, seed: int, keys: LabelKeys, done: Conversion
) -> Iterator[Atoms]:
    told: defaultdict[str, Told] = defaultdict(Told)
    for number, atoms in enumerate(frames):
        current = list(done.inputs)[-1]
        label = read_label(atoms, keys, source=current, frame=done.inputs[current] - 1, told=told[current])
        if label is not None and label.kind != "projected":
            rng = np.random.default_rng([seed, number])
            write_label(atoms, label.to_projected(n_probes, rng), keys)
            done.projected += 1
        yield atoms
