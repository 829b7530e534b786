"""Sets of reactions: where the pairs of reactant and product come from.

| set | what a reaction is |
|---|---|
| a folder of folders | `reactant.xyz` and `product.xyz` (or R, P; r, p), or `initial.xyz` of two frames |
| a folder of files | `rxn1.xyz`, `rxn2.xyz`, ... of two frames each, as ReactBench has them |
| a file of frames | each two frames, reactant first |

Files `chg` and `mult` beside the geometries of a folder hold charge and multiplicity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from hint_plugin.data import read_frames
from hint_plugin.data.file_io import text_of
from hint_plugin.data.sets.patterns import natural
from hint_plugin.errors import DataError

_NAMES = (("reactant.xyz", "product.xyz"), ("R.xyz", "P.xyz"), ("r.xyz", "p.xyz"))


@dataclass(frozen=True)
class Pair:
    """A reaction to look for; charge and multiplicity are in `info`, where the set says."""

    name: str
    reactant: Atoms
    product: Atoms
    saddle: Atoms | None = None
    """The known transition state, if the set has one (`ts.xyz`)."""


def read_set(path: Path) -> list[Pair]:
    """All reactions of a set, in the order of their names or frames.

    Raises:
        DataError: no such file or folder, no reactions in it, or a folder that cannot be read.
    """
    if path.is_dir():
        pairs = [_from_folder(folder) for folder in sorted(path.iterdir()) if _pair_of(folder)]
        pairs = pairs or _from_files(path)
    elif path.is_file():
        frames = read_frames(path)
        if len(frames) % 2:
            raise DataError(
                f"{path} has {len(frames)} frames; wanted pairs: reactant, product, reactant, ..."
            )
        digits = len(str(max(0, len(frames) // 2 - 1)))
        pairs = [
            Pair(f"{path.stem}-{k:0{digits}d}", frames[2 * k], frames[2 * k + 1])
            for k in range(len(frames) // 2)
        ]
    else:
        raise DataError(f"{path}: no such file or folder")
    if not pairs:
        raise DataError(
            f"{path} has no reactions; wanted folders with reactant.xyz and product.xyz (or R.xyz and P.xyz, "
            "or initial.xyz of two frames), files .xyz of two frames, or a file of pairs"
        )
    return pairs


def _pair_of(folder: Path) -> Callable[[], list[Atoms]] | None:
    if not folder.is_dir():
        return None
    for names in _NAMES:
        paths = [folder / name for name in names]
        if all(path.is_file() for path in paths):
            return lambda: [frame for path in paths for frame in read_frames(path)]
    if (folder / "initial.xyz").is_file():
        return lambda: read_frames(folder / "initial.xyz")
    return None


def _from_files(folder: Path) -> list[Pair]:
    """ReactBench's: each file of the folder is a reaction, reactant first."""
    pairs = []
    for file in sorted(folder.glob("*.xyz"), key=natural):
        frames = read_frames(file)
        if len(frames) != 2:
            raise DataError(
                f"{file} has {len(frames)} frames; in a folder of files each is a reaction of two "
                "frames, the reactant and the product. Move other files away"
            )
        pairs.append(Pair(file.stem, frames[0], frames[1]))
    return pairs


def _from_folder(folder: Path) -> Pair:
    read = _pair_of(folder)
    frames = read() if read is not None else []
    if len(frames) != 2:
        raise DataError(f"{folder}: {len(frames)} frames; wanted a reactant and a product")
    for name, key in (("chg", "charge"), ("mult", "spin")):
        if (folder / name).is_file():
            text = text_of(folder / name).strip()
            try:
                value = int(text)
            except ValueError:
                raise DataError(f"{folder / name}: {text!r}; wanted a whole number") from None
            for frame in frames:
                frame.info[key] = value
    known = next(
        (read_frames(folder / name) for name in ("ts.xyz", "TS.xyz") if (folder / name).is_file()), None
    )
    return Pair(folder.name, frames[0], frames[1], known[-1] if known else None)
