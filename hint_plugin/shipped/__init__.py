"""Configurations, examples and tested versions that come with the package, and copies of them.

In the repository, `configs`, `examples` and `constraints.txt` beside this file are links to what has these
names there. An installed package holds the files themselves. The names that users give are those of
`listing()`: a folder of `configs` (`slurm`), `examples`, `constraints.txt`, or a file in one of them.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hint_plugin.errors import OptionsError
from hint_plugin.settings import did_you_mean

FOLDER = Path(__file__).parent
EXAMPLES, CONSTRAINTS = "examples", "constraints.txt"
_NOT_SHIPPED = {"__pycache__", ".DS_Store"}


@dataclass(frozen=True)
class Copied:
    """What `copy` did: the folder or file that was asked for, where it went, and which files were written."""

    name: str
    folder: str
    written: tuple[str, ...]
    unchanged: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The content of `--json`."""
        return asdict(self)


def _files_below(place: Path) -> list[Path]:
    """All files, sorted. `Path.rglob` would not look into links."""
    found = []
    for folder, inner, names in os.walk(place, followlinks=True):
        inner[:] = [name for name in inner if name not in _NOT_SHIPPED]
        found += [Path(folder) / name for name in names if name not in _NOT_SHIPPED]
    return sorted(found)


def _place(top: str) -> Path:
    place = FOLDER / top
    if top not in (EXAMPLES, CONSTRAINTS):
        place = FOLDER / "configs" / top
    return place


def listing() -> dict[str, tuple[str, ...]]:
    """The names that `copy` takes, each with its files; for `constraints.txt` the file itself.

    Raises:
        OptionsError: The installation lacks them, as a checkout without symbolic links does.
    """
    if not (FOLDER / "configs").is_dir() or not (FOLDER / EXAMPLES).is_dir():
        raise OptionsError(
            f"{FOLDER} does not contain the configurations. If this is a clone that was made without "
            "symbolic links, look into its folders configs and examples"
        )
    tops = sorted(path.name for path in (FOLDER / "configs").iterdir() if path.is_dir())
    found = {
        top: tuple(path.relative_to(_place(top)).as_posix() for path in _files_below(_place(top)))
        for top in (*tops, EXAMPLES)
    }
    return found | {CONSTRAINTS: (CONSTRAINTS,)}


def _sources(name: str) -> dict[str, Path]:
    """The files of a name, by the path that each gets below the folder of the copies."""
    known = listing()
    top, _, inner = name.strip("/").partition("/")
    if top in known:
        place = _place(top)
        if not inner:
            return {place.name: place} if place.is_file() else {one: place / one for one in known[top]}
        if inner in known[top] and place.is_dir():
            return {Path(inner).name: place / inner}
        below = [one for one in known[top] if one.startswith(f"{inner}/")]
        if below:
            return {one.removeprefix(f"{inner}/"): place / one for one in below}
    files = [f"{top}/{one}" for top, inside in known.items() if top != CONSTRAINTS for one in inside]
    raise OptionsError(
        f"nothing of the name {name} comes with HINT; there is: {', '.join(known)}."
        f"{did_you_mean(name, [*known, *files])} "
        "`hint configs list` prints all files"
    )


def copy(name: str, folder: str | Path | None = None, *, force: bool = False) -> Copied:
    """Copy a folder or a file that comes with HINT.

    No file with another content is overwritten unless `force` says so. If there is one, nothing is copied.

    Args:
        name: A name of `listing()`, or a file or folder in one of them: `slurm`, `slurm/label.sh`.
        folder: Where the files go. By default, the files of a folder go to a folder of its name in the
            current one, and a single file goes to the current one.
        force: Overwrite files that are there.

    Raises:
        OptionsError: There is no such name, `folder` is a file, or files would be overwritten.
    """
    sources = _sources(name)
    single = len(sources) == 1 and next(iter(sources)) == Path(name).name
    target = Path(folder) if folder is not None else Path("." if single else Path(name).name)
    if target.exists() and not target.is_dir():
        raise OptionsError(f"{target} is a file; wanted the name of a folder. Choose another name")
    there = {one for one in sources if os.path.lexists(target / one)}
    same = {one for one in there if _equal(sources[one], target / one)}
    if there - same and not force:
        names = ", ".join(str(target / one) for one in sorted(there - same))
        raise OptionsError(
            f"{names} would be overwritten, and nothing was copied. Name another folder, or add --force"
        )
    written = sorted(set(sources) - same)
    for one in written:
        _write(sources[one], target / one)
    return Copied(name, str(target), tuple(written), tuple(sorted(same)))


def _equal(source: Path, target: Path) -> bool:
    return target.is_file() and source.read_bytes() == target.read_bytes()


def _write(source: Path, target: Path) -> None:
    """A whole file or none, with the permissions of the source."""
    if target.is_dir() and not target.is_symlink():
        raise OptionsError(f"{target} is a folder; wanted a file there. Choose another folder")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy(source, temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OptionsError(f"{target} cannot be written ({error.strerror}). Name another folder") from error
