"""The source of a verb, with that of the Python function which it calls."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

_CALL = re.compile(r"from (hint_plugin\.[a-z_.]+) import run\n.*?\brun\.(\w+)\(", re.DOTALL)


def source_of(verb: Callable[..., Any]) -> str:
    """Of the function of a verb; where it calls `run.NAME` of a topic, of that function, too."""
    found = inspect.getsource(inspect.unwrap(verb))
    return found + "".join(
        inspect.getsource(getattr(importlib.import_module(f"{topic}.run"), name))
        for topic, name in _CALL.findall(found)
    )
