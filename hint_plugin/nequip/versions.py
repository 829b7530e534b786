"""Which NequIP this is made for."""

from __future__ import annotations

from hint_plugin.errors import MissingDependencyError, OptionsError

#: Releases whose internals were read and run; the same range is in pyproject.toml.
FIRST, BEYOND = (0, 19), (0, 20)


def check() -> None:
    """Look at the installed NequIP.

    Raises:
        MissingDependencyError: there is none.
        OptionsError: its version is another than those that HINT was made for.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("nequip")
    except PackageNotFoundError:
        raise MissingDependencyError(
            "NequIP is not installed: pip install '.[nequip]' in HINT's folder"
        ) from None
    numbers = tuple(int(part) for part in found.split(".")[:2])
    if not FIRST <= numbers < BEYOND:
        wanted = f">={FIRST[0]}.{FIRST[1]},<{BEYOND[0]}.{BEYOND[1]}"
        raise OptionsError(
            f"nequip {found} is installed; HINT works with {wanted}: pip install 'nequip{wanted}'"
        )
