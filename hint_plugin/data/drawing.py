"""Pictures come last and cost nothing: what goes wrong while one is drawn is a warning, and no error.

Results (JSON, tables, structures) are written first. A function that draws is marked with `picture`; a page
for the eye is written inside of `harmless`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

P = ParamSpec("P")
_log = logging.getLogger(__name__)


@contextmanager
def harmless(path: Path) -> Iterator[None]:
    """Make whatever goes wrong inside a warning that names the picture `path`.

    A picture of that name that is there from before goes: it would show other numbers.
    """
    try:
        yield
    except Exception as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        debug = os.environ.get("HINT_DEBUG", "") not in ("", "0")
        _log.warning(
            "%s could not be made (%s: %s). The results are written without it.",
            path,
            type(error).__name__,
            error,
            exc_info=debug,
        )


def picture(plot: Callable[Concatenate[Path, P], bool]) -> Callable[Concatenate[Path, P], bool]:
    """Mark `plot(path, ...)`, which draws `path` and returns whether it did: it raises nothing any more.

    Where nothing was drawn, with an error or without one, an older picture of that name goes.
    """

    @wraps(plot)
    def drawn(path: Path, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        made = False
        with harmless(path):
            made = plot(path, *args, **kwargs)
            if not made:
                path.unlink(missing_ok=True)
        return made

    return drawn
