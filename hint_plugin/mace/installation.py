"""What `hint doctor` looks at: versions, the hook, the wrapped modules of MACE, the command on the PATH."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from hint_plugin import __version__
from hint_plugin.optional import is_missing

#: Versions that the tests are run with (constraints.txt); others may work as well.
TESTED = {
    "torch": "2.13.0",
    "mace-torch": "0.3.16",
    "e3nn": "0.4.4",
    "numpy": "2.4.6",
    "ase": "3.29.0",
    "tblite": "0.8.0",
}

#: What is needed for what; a package that is not named here is needed in any case.
OPTIONAL = {"tblite": "labels with GFN2-xTB"}

AUTOLOAD = "TORCH_DEVICE_BACKEND_AUTOLOAD"
COMMAND = "mace_run_train"


@dataclass(frozen=True)
class Check:
    """One line of the doctor.

    Attributes:
        name: what was looked at.
        found: what there is.
        ok: True is fine, None worth knowing, False keeps HINT from working.
        advice: what to do; empty where nothing is to be done.
    """

    name: str
    found: str
    ok: bool | None = True
    advice: str = ""


def checks() -> list[Check]:
    """Everything, in the order in which it should be put right."""
    found = [Check("hint", __version__), Check("python", platform.python_version()), *map(_version, TESTED)]
    if installed("torch") is None:
        return found
    found += [_entry_point(), _autoload(), _hook()]
    if installed("mace-torch") is not None:
        found += [*_modules(), _losses(), command_on_path()]
    return found


def ready(found: list[Check]) -> bool:
    """Whether ``mace_run_train --loss hint_*`` works as it is."""
    return all(check.ok is not False for check in found)


def installed(package: str) -> str | None:
    """Version of a package, None without it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _version(package: str) -> Check:
    found, tested = installed(package), TESTED[package]
    if found is None:
        optional = OPTIONAL.get(package)
        extra = "label" if package == "tblite" else "mace"
        advice = f"pip install '.[{extra}]' in HINT's folder" + (f" (for {optional})" if optional else "")
        return Check(package, "not installed", None if optional else False, advice)
    if found.split("+")[0] == tested:
        return Check(package, found)
    return Check(package, found, None, f"tested with {tested}; others may work")


def _entry_point() -> Check:
    points = importlib.metadata.entry_points(group="torch.backends")
    if any(point.value.startswith("hint_plugin.mace.hook:") for point in points):
        return Check("entry point", "torch.backends: hint_mace")
    advice = "install HINT with pip: a folder on PYTHONPATH is not enough for torch to find it"
    return Check("entry point", "missing", False, advice)


def _autoload() -> Check:
    value = os.environ.get(AUTOLOAD, "1")
    if value == "1":
        return Check("autoload", "on")
    return Check(
        "autoload", f"off ({AUTOLOAD}={value})", False, f"unset {AUTOLOAD}, or use `hint mace-train`"
    )


def _hook() -> Check:
    importlib.import_module("torch")
    from hint_plugin.mace import hook

    if hook.installed():
        return Check("import hook", "installed by torch")
    return Check(
        "import hook", "not installed", False, "put the two lines above right, or use `hint mace-train`"
    )


def _modules() -> list[Check]:
    """MACE's modules; the hook is put in place first, to judge them also where torch has not done it."""
    from hint_plugin.mace import hook
    from hint_plugin.mace.active_options import session

    hook.install()
    found = []
    for name in hook.TARGETS:
        try:
            importlib.import_module(name)
        except ImportError as error:
            advice = _other_version() if is_missing(error, name) else "mend what the message names"
            found.append(Check(name, f"cannot be imported: {error}", False, advice))
            continue
        problem = next((p for p in session.problems if p.startswith(f"{name}: ")), None)
        if name in session.wrapped:
            found.append(Check(name, "wrapped"))
        else:
            found.append(Check(name, problem or "not wrapped", False, _other_version()))
    return found


def _other_version() -> str:
    return f"pip install mace-torch=={TESTED['mace-torch']}"


def _losses() -> Check:
    """Whether MACE's parser has the losses: what the user will see."""
    from hint_plugin.mace.options import LOSSES

    tools = importlib.import_module("mace.tools")
    parser = tools.build_default_arg_parser()
    choices = next(a.choices for a in parser._actions if "--loss" in a.option_strings)
    if set(LOSSES) <= set(choices or ()):
        return Check("--loss", ", ".join(LOSSES))
    return Check("--loss", "hint_* missing", False, _other_version())


def command_on_path(command: str = COMMAND) -> Check:
    """Which ``mace_run_train`` a shell would run, and whether it belongs to this environment."""
    found = shutil.which(command)
    here = Path(sysconfig.get_path("scripts"))
    if found is None:
        return Check(command, "not on PATH", False, f"activate this environment, or call {here / command}")
    if Path(found).parent.resolve() == here.resolve():
        return Check(command, found)
    advice = f"it is not the one of {sys.executable}: activate this environment, or call {here / command}"
    return Check(command, found, False, advice)
