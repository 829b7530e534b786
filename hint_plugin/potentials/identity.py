"""What computes, in a few words and numbers: a run that goes on has to go on with the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hint_plugin.data.file_io import file_sha256
from hint_plugin.errors import EngineError
from hint_plugin.potentials.user_code import code_of, files_in


def identity_of(potential: Any) -> dict[str, Any]:
    """Of an ASE calculator, a model, an engine's calculator, or whatever else gives forces; for JSON.

    An engine tells its settings with versions, and models their hash; another calculator its class and, where
    it has them, its parameters, with hashes of the user's own code and files. Names and places of files do
    not count.
    """
    engine = getattr(potential, "engine", None)
    if engine is not None and hasattr(engine, "provenance"):
        return _plain(engine.provenance())
    model = getattr(potential, "potential", None)
    path = getattr(model, "path", None)
    if isinstance(path, str | Path) and Path(path).is_file():
        dtype = str(getattr(model, "dtype", "")).removeprefix("torch.")
        return {"engine": "model", "model_sha256": file_sha256(Path(path)), "dtype": dtype}
    kind = type(potential)
    found: dict[str, Any] = {"engine": f"{kind.__module__}.{kind.__qualname__}"}
    parameters = getattr(potential, "parameters", None)
    code = code_of(kind)
    found |= {} if code is None else {"code": code}
    files = files_in(dict(parameters or {}))
    found |= {} if files is None else {"files": files}
    return found | ({"parameters": _plain(dict(parameters))} if parameters else {})


def identity_change(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What differs, in words: "model_sha256 12ab... then, 34cd... now"; "" for nothing."""
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    return ", ".join(f"{name} {_short(before.get(name))} then, {_short(now.get(name))} now" for name in names)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:16]}..."


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back, `method` of a model, which is the name of its file, left out."""
    try:
        found: dict[str, Any] = json.loads(json.dumps(values, default=str))
    except (TypeError, ValueError) as error:
        raise EngineError(f"the settings of the potential cannot be written down: {error}") from error
    if "model_sha256" in found:
        found.pop("method", None)
    return found
