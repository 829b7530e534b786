"""What other packages add to HINT by entry points: engines and formats, without a fork.

    [project.entry-points."hint_plugin.engines"]
    my-engine = "my_package.engine:MyEngine"

    [project.entry-points."hint_plugin.formats"]
    my-format = "my_package.reader:FORMAT"

docs/extending.md has an example of each.
"""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Any

from hint_plugin.errors import OptionsError

ENGINES, FORMATS = "hint_plugin.engines", "hint_plugin.formats"


@functools.cache
def entry_points(group: str) -> dict[str, importlib.metadata.EntryPoint]:
    """Name -> entry point, of all installed packages. Nothing of them is imported.

    Raises:
        OptionsError: two packages bring the same name.
    """
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for point in importlib.metadata.entry_points(group=group):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise OptionsError(
                f"two packages bring {point.name!r} to {group}: {other.value}, {point.value}; uninstall one"
            )
    return found


def load(point: importlib.metadata.EntryPoint) -> Any:
    """What an entry point names.

    Raises:
        OptionsError: it cannot be imported; the package that brings it is named.
    """
    try:
        return point.load()
    except Exception as error:  # somebody else's code, which may raise anything
        owner = point.dist.name if point.dist is not None else point.value.partition(":")[0]
        raise OptionsError(
            f"{point.name!r} of the package {owner} cannot be loaded ({type(error).__name__}: {error}). "
            f"Update or uninstall {owner}"
        ) from error
