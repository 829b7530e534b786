"""Which formats of frames there are, and which one a file or folder has.

`FORMATS` is the whole list; a format is one line there and one module that defines

    read(path, **options) -> Iterator[Atoms]          lazily, labels under the keys of `LabelKeys`
    write(path, frames, **options) -> int             where it is sensible; whole or not at all
    recognise(path) -> bool                           a quick look inside, where a name is shared
    select(path, index, **options) -> list[Atoms]     where some frames can be read without the others
    members(path) -> list[Path]                       where several files are read for one name

Modules are imported when a file asks for them: a name that matches costs an import, a list of formats does
not. Other packages bring formats by the entry point group `hint_plugin.formats`: a `Format` whose `module` is
the full path of theirs. Docs: docs/formats.md, docs/extending.md.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hint_plugin import plugins
from hint_plugin.data.file_io import bare_name
from hint_plugin.errors import DataError, MissingDependencyError, OptionsError
from hint_plugin.settings import did_you_mean


@dataclass(frozen=True)
class Format:
    """One format of frames.

    Attributes:
        name: how it is called, as in `--from` and `format=`.
        what: one line.
        names: patterns of file names, lower case; names of a folder end in "/". The reader looks inside where
            `shared`.
        module: where `read` and its companions are, in this package; or a full path, `my_package.reader`.
        shared: other formats have such names too, so the content decides.
        writes: `write_frames` can make it.
        packed: a file packed by gzip, bzip2 or xz (`NAME.gz`) is read as well.
    """

    name: str
    what: str
    names: tuple[str, ...]
    module: str
    shared: bool = False
    writes: bool = False
    packed: bool = False

    def load(self) -> ModuleType:
        """The module with `read` and its companions."""
        return importlib.import_module(self.module if "." in self.module else f"{__name__}.{self.module}")

    def matches(self, path: Path) -> bool:
        """Whether the name may be one of this format's."""
        name = bare_name(path) if self.packed else path.name.lower()
        name += "/" if path.is_dir() else ""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.names)

    def check_options(self, action: str, options: Mapping[str, Any]) -> None:
        """Refuse options that `read` or `write` (the `action`) does not have.

        Raises:
            OptionsError: with the ones that it has.
        """
        if not options:
            return
        parameters = inspect.signature(getattr(self.load(), action)).parameters.values()
        if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            return
        known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
        for name in options:
            if name not in known:
                raise OptionsError(
                    f"format {self.name}: no option '{name}' to {action}; it has "
                    f"{', '.join(known) or 'none'}.{did_you_mean(name, known)}"
                )


HDF5_NAMES = ("*.h5", "*.hdf5")

FORMATS: tuple[Format, ...] = (
    Format("extxyz", "extended XYZ, of ASE and MACE", ("*.xyz", "*.extxyz"), "xyz", writes=True, packed=True),
    Format(
        "phonopy",
        "phonopy: YAML (MDR, PBE-MDR), FORCE_CONSTANTS, FORCE_SETS",
        ("*.yaml", "*.yaml.*", "force_constants*", "force_sets*", "*/"),
        "phonopy_files",
        shared=True,
        writes=True,
    ),
    Format("transition1x", "Transition1x: reaction paths in HDF5", HDF5_NAMES, "transition1x", shared=True),
    Format("openreact", "OpenREACT-CHON-EFH: reactions in HDF5", HDF5_NAMES, "openreact", shared=True),
    Format("hdf5", "HINT's own store of frames in HDF5", HDF5_NAMES, "store", writes=True),
    Format("aselmdb", "OMat24, OMol25: an ASE database in LMDB", ("*.aselmdb",), "aselmdb"),
    Format("horm", "HORM: Hessians of reactions in LMDB", ("*.lmdb", "*.lmdb/", "*.mdb"), "horm"),
    Format("hessian-qm9", "Hessian-QM9: Arrow tables", ("*/", "*.arrow"), "hessian_qm9", shared=True),
    Format("deepmd", "deepmd-kit: folders of npy arrays", ("*/",), "deepmd", shared=True, writes=True),
    Format("qe-dyn", "Quantum ESPRESSO ph.x: dynamical matrices", ("*.dyn*", "*dyn[0-9]*", "*dyn"), "qe_dyn"),
    Format("qe-fc", "Quantum ESPRESSO q2r.x: force constants", ("*.fc",), "qe_fc", shared=True),
    Format("qe-pw", "Quantum ESPRESSO pw.x: output", ("*.out", "*.pwo", "*.log"), "qe_pw", shared=True),
    Format(
        "quantum-chemistry",
        "outputs of ORCA, Gaussian, Q-Chem, TURBOMOLE, by cclib",
        ("*.out", "*.log", "job.[0-9l]*"),
        "quantum_chemistry",
        shared=True,
        packed=True,
    ),
    Format("vasp-xml", "VASP: vasprun.xml", ("*.xml", "*.xml[.-]*"), "vasp", shared=True, packed=True),
    Format("vasp-outcar", "VASP: OUTCAR", ("*outcar*",), "vasp_outcar", shared=True, packed=True),
    Format("orca-hess", "ORCA: .hess", ("*.hess",), "orca"),
    Format("gaussian-fchk", "Gaussian: formatted checkpoint", ("*.fchk", "*.fch", "*.fck"), "gaussian"),
    Format("xtb-hessian", "xtb: hessian, with the geometry beside it", ("hessian", "*.hessian"), "xtb"),
    Format("ase", "what ASE reads: CIF, POSCAR, .traj, .pdb, .db, ...", ("*",), "ase_files", shared=True),
)
"""In the order in which contents are looked at; a format that is not `shared` takes what is left."""


@functools.cache
def formats() -> tuple[Format, ...]:
    """`FORMATS` and, before the last, which takes whatever ASE reads, those of other packages.

    Raises:
        OptionsError: one of another package cannot be loaded, or has the name of one that is there.
    """
    more = {name: plugins.load(point) for name, point in plugins.entry_points(plugins.FORMATS).items()}
    for name, found in more.items():
        if not isinstance(found, Format) or name != found.name or name in [known.name for known in FORMATS]:
            raise OptionsError(
                f"the entry point {name!r} of {plugins.FORMATS} is {found!r}; wanted a Format called {name!r}"
                ", and no name that HINT has"
            )
    return (*FORMATS[:-1], *more.values(), FORMATS[-1])


def get_format(name: str) -> Format:
    """The format of this name.

    Raises:
        DataError: there is none.
    """
    for known in formats():
        if known.name == name:
            return known
    raise DataError(f"no format '{name}'. Known:\n{describe()}")


def recognise(path: str | Path) -> Format:
    """The format of a file or folder that exists, by its name and, where names are shared, by its content.

    Raises:
        DataError: nothing known; with the list of formats.
    """
    target = Path(path)
    check_is_file(target)
    candidates = [known for known in formats() if known.matches(target)]
    if not candidates:
        raise DataError(unknown(target))
    if not is_there(target):
        raise DataError(f"{target}: no such file")
    for known in candidates:
        if not known.shared or known.load().recognise(target):
            return _of_content(target) if known is FORMATS[-1] else known
    raise DataError(unknown(target))


def _of_content(path: Path) -> Format:
    """The format of a file that ASE reads: HINT's, with Hessians, where it is an output of its program."""
    better = FORMATS[-1].load().better(path)
    known = FORMATS[-1] if better is None else get_format(better)
    return known if known.load().recognise(path) else FORMATS[-1]


def check_is_file(path: Path) -> None:
    """Refuse pipes, sockets and devices, which cannot be read twice; reading one may wait for ever.

    Raises:
        DataError: it is one.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError(f"{path}: neither a file nor a folder. Write what it gives to a file, and name that")


def is_there(path: str | Path) -> bool:
    """Whether something can be read under this name: a file, a folder, or a set of files that it begins."""
    from hint_plugin.data.formats.qe_set import is_stem

    return Path(path).exists() or is_stem(path)


def files_read(path: str | Path) -> list[Path]:
    """All files that are read for one name: a set of dynamical matrices, force constants and their structure.

    For any other file, and for what is no file of frames, the name itself. Nothing is raised.
    """
    from hint_plugin.data.formats.qe_set import dyn_set, is_dyn

    target = Path(path)
    try:
        if is_dyn(target):
            return list(dyn_set(target).all_files)
        known = (
            next((known for known in formats() if known.matches(target)), None) if target.is_file() else None
        )
        known = recognise(target) if known is not None else None
        found = getattr(known.load(), "members", None) if known is not None else None
        return [target] if found is None else list(found(target))
    except (DataError, MissingDependencyError, OSError):
        return [target]


def read_in_words(path: str | Path, only_this_file: bool = False) -> str:
    """Which files are read for one name, as a sentence; "" where it is the file of this name alone."""
    from hint_plugin.data.formats.qe_set import dyn_set, is_dyn

    if is_dyn(path):
        return f"Read from {dyn_set(path, only_this_file).in_words()}"
    files = files_read(path)
    names = ", ".join(file.name for file in files)
    return "" if files == [Path(path)] else f"Read from {len(files)} files: {names}"


def for_writing(path: str | Path) -> Format:
    """The format that `write_frames` makes under this name, when none is given.

    Raises:
        DataError: the name does not tell.
    """
    target = Path(path)
    for known in formats():
        if known.writes and any(
            fnmatch.fnmatchcase(target.name.lower(), name) for name in known.names if not name.endswith("/")
        ):
            return known
    raise DataError(unknown(target, writes=True))


def unknown(path: Path, *, writes: bool = False) -> str:
    """The text of the error about a file of no known format."""
    kinds = [known for known in formats() if known.writes or not writes]
    ends = {name.removeprefix("*") for known in kinds for name in known.names if name.startswith("*.")}
    suffixes = ", ".join(sorted(end for end in ends if not end.endswith("/") and "*" not in end))
    names = ", ".join(known.name for known in kinds)
    return (
        f"{path}: no known format of frames; wanted {suffixes}, or a folder or file of a program. If name or "
        f"content do not tell, hint dataset convert --from NAME does: {names} (docs/formats.md)"
    )


def describe(*, writes: bool = False) -> str:
    """The formats, one a line: name and what it is; `writes` keeps those that can be written."""
    kinds = [known for known in formats() if known.writes or not writes]
    return "\n".join(f"  {known.name:<14} {known.what}" for known in kinds)


__all__ = [
    "FORMATS",
    "Format",
    "check_is_file",
    "describe",
    "files_read",
    "for_writing",
    "formats",
    "get_format",
    "is_there",
    "read_in_words",
    "recognise",
]
