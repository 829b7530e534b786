"""The source of a verb, with that of the Python function which it calls."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

_CALL = re.compile(r"from (hint_plugin\.[a-z_.]+) import (run\w*)\n.*?\b\2\.(\w+)\(", re.DOTALL)


def source_of(verb: Callable[..., Any]) -> str:
    """Of the function of a verb; where it calls `run.NAME` of a topic, of that function, too; where it calls
    `run_NAME.NAME`, of that module, which is of that function alone."""
    found = inspect.getsource(inspect.unwrap(verb))
    for topic, module, name in _CALL.findall(found):
        called = importlib.import_module(f"{topic}.{module}")
        found += inspect.getsource(getattr(called, name) if module == "run" else called)
    return found
