"""Which files of ph.x belong together: `pdh.dyn`, `pdh.dyn0` and `pdh.dyn1` all mean the set pdh.dyn*.

ph.x with a grid of q points writes `fildyn`0 (the grid and the number of files) and `fildyn`1 ... `fildyn`N,
a star of q points each. Codes of self-consistent phonons write the same files, often without `fildyn`0. A run
for one q point writes a single file, with any name.

The number is told from the name by what is there: X.dyn11 is the eleventh file of X.dyn, or the first of a
set X.dyn1. The name is taken for which a `fildyn`0 announces it; without one, the larger set counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hint_plugin.data.formats.common import first_bytes
from hint_plugin.errors import DataError

_BEGINNING = "Dynamical matrix file"
_ALONE = (
    "For one file alone: copy it into a folder of its own, or, of hint dataset convert and hint phonons "
    "--reference, --only-this-file"
)


@dataclass(frozen=True)
class DynSet:
    """Files of dynamical matrices that belong together.

    Attributes:
        files: those with matrices, in the order of their numbers.
        stem: the common beginning of their names; None for a file that stands for itself.
        listing: `fildyn`0, where there is one.
        grid: of q points, as in `listing`.
    """

    files: tuple[Path, ...]
    stem: Path | None = None
    listing: Path | None = None
    grid: tuple[int, int, int] | None = None

    @property
    def all_files(self) -> tuple[Path, ...]:
        """Everything that is read: the listing, then the matrices."""
        return (*([] if self.listing is None else [self.listing]), *self.files)

    def in_words(self) -> str:
        """What is read, for the user."""
        names = [file.name for file in self.all_files]
        shown = ", ".join(names) if len(names) < 6 else f"{names[0]}, {names[1]}, ..., {names[-1]}"
        if self.stem is None:
            return f"{shown} alone"
        grid = "" if self.grid is None else f", {' x '.join(map(str, self.grid))} q points"
        return f"{len(names)} files of the set {self.stem}: {shown}{grid}"


def dyn_set(path: str | Path, only_this_file: bool = False) -> DynSet:
    """The files that a name means.

    Args:
        path: a file of a set, the common beginning of its names, or a file that stands for itself.
        only_this_file: the file alone, even if it is part of a set.

    Raises:
        DataError: no such file or set, a file of the set is missing, or XML.
    """
    path = Path(path)
    _refuse_xml(path)
    if only_this_file:
        if not path.is_file():
            raise DataError(f"{path}: no such file; --only-this-file wants one file of matrices")
        if _announced(path) is not None:
            raise DataError(f"{path} lists the q points and has no matrices; name one of the numbered files")
        return DynSet((path,))
    stems = [stem for stem in _stems(path) if _numbered(stem)]
    if not stems:
        if path.is_file() and _announced(path) is None:
            return DynSet((path,))
        raise DataError(
            f"{path}: no such file, nor {path.name}1, {path.name}2, ...; wanted dynamical matrices of ph.x"
            if not path.is_file()
            else f"{path}: none of the files that it lists is beside it; wanted {path.name[:-1]}1, ..."
        )
    stem = max(stems, key=_likely)
    found = _collected(stem)
    if isinstance(found, DynSet):
        return found
    if path.is_file() and not any(_others(stem, path) for stem in stems):
        return DynSet((path,))  # its name ends in digits, and it is part of nothing
    raise found


def is_stem(path: str | Path) -> bool:
    """Whether this is no file, and the common beginning of the names of a set."""
    path = Path(path)
    first = path.with_name(f"{path.name}1") if path.name else path
    return not path.exists() and first.is_file() and has_matrices(first)


def is_dyn(path: str | Path) -> bool:
    """Whether a name means dynamical matrices of ph.x, by the content of its file or of those beside it."""
    path = Path(path)
    is_listing = path.is_file() and path.name.endswith("0") and _announced(path) is not None
    return has_matrices(path) or is_listing or is_stem(path)


def has_matrices(path: Path) -> bool:
    """Whether a file begins as dynamical matrices of ph.x do."""
    return first_bytes(path, 200).lstrip().startswith(_BEGINNING)


def _stems(path: Path) -> list[Path]:
    """What may be the common beginning: of a file's name without 1, 2, ... of its last digits."""
    if not path.is_file():
        return [path]
    digits = re.search(r"\d*$", path.name)
    count = 0 if digits is None else len(digits[0])
    names = [path.name[:-k] for k in range(1, count + 1)]
    plain = [name for name in names if re.fullmatch(r"0|[1-9]\d*", path.name[len(name) :])]
    return [path.with_name(name) for name in plain if name]


def _numbered(stem: Path) -> dict[int, Path]:
    pattern = re.compile(re.escape(stem.name) + r"([1-9]\d*)")
    if not stem.parent.is_dir():
        return {}
    matches = [(pattern.fullmatch(file.name), file) for file in stem.parent.iterdir()]
    found = {int(match[1]): stem.with_name(file.name) for match, file in matches if match and file.is_file()}
    return dict(sorted(found.items()))


def _likely(stem: Path) -> tuple[bool, int, bool]:
    """Whether it is announced, how many files it has, whether none is missing: what decides between stems."""
    listing = stem.with_name(f"{stem.name}0")
    numbered = _numbered(stem)
    is_announced = listing.is_file() and _announced(listing) is not None
    return is_announced, len(numbered), len(numbered) == max(numbered)


def _others(stem: Path, path: Path) -> list[Path]:
    """Files of the set that are there besides `path`: the listing, and files of matrices."""
    listing = stem.with_name(f"{stem.name}0")
    found = [file for file in _numbered(stem).values() if file.name != path.name and has_matrices(file)]
    return found + [listing] * (listing.is_file() and _announced(listing) is not None)


def _collected(stem: Path) -> DynSet | DataError:
    """The set of this stem, or what is wrong with it."""
    numbered, listing = _numbered(stem), stem.with_name(f"{stem.name}0")
    announced = _announced(listing) if listing.is_file() else None
    count = max(numbered) if announced is None else announced[3]
    missing = [f"{stem.name}{number}" for number in range(1, count + 1) if number not in numbered]
    if missing:
        shown = ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
        of = f"{listing.name} announces {count}" if announced else f"{stem.name}{count} is there"
        return DataError(f"{stem}: the set lacks {shown}, and {of}. {_ALONE}")
    files = tuple(numbered[number] for number in range(1, count + 1))
    for file in files:
        if not has_matrices(file):
            return DataError(_no_matrices(file))
    if announced is None:
        return DynSet(files, stem)
    return DynSet(files, stem, listing, announced[:3])


def _announced(path: Path) -> tuple[int, int, int, int] | None:
    """n1, n2, n3 and the number of files of `fildyn`0; None for any other file."""
    words = first_bytes(path, 200).split()[:4]
    if len(words) < 4 or not all(re.fullmatch(r"[1-9]\d*", word) for word in words):
        return None
    n1, n2, n3, count = map(int, words)
    return n1, n2, n3, count


def _no_matrices(file: Path) -> str:
    if first_bytes(file, 200).lstrip().startswith("<"):
        return f"{file}: dynamical matrices as XML are not read; give ph.x a fildyn without .xml"
    return f"{file}: no dynamical matrix in it; wanted a file that ph.x wrote as fildyn"


def _refuse_xml(path: Path) -> None:
    if path.suffix == ".xml" and path.is_file():
        raise DataError(_no_matrices(path))
    if not path.is_file() and path.parent.is_dir():
        pattern = re.compile(re.escape(re.sub(r"\d*$", "", path.name)) + r"\d*\.xml")
        packed = [file for file in path.parent.iterdir() if pattern.fullmatch(file.name)]
        if packed and not _numbered(path):
            raise DataError(_no_matrices(packed[0]))
