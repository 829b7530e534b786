"""Options of engines: typed dataclass fields, filled from `key=value` strings, YAML or JSON.

An engine declares a keyword-only dataclass whose fields are made by `option`; everything a user sees, the
list, the types, the errors, comes from it.
"""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hint_plugin.errors import DataError, OptionsError
from hint_plugin.optional import wanted

T = TypeVar("T")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def option(help: str, default: Any = MISSING) -> Any:
    """A dataclass field with words for the user; without a default it has to be given."""
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata={"help": help})
    return field(default=default, metadata={"help": help})


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The one of ``known`` that is probably meant by ``name``, which is none of them; None: nobody can say.

    The one place that decides it: unknown options, keys, units and names are all answered with it.
    """
    found = difflib.get_close_matches(str(name), list(known), n=1)
    return found[0] if found else None


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """A sentence for the end of a message, with a blank before it; empty where nothing is near."""
    meant = nearest(name, known)
    return "" if meant is None else f" Did you mean {meant!r}?"


def refuse_unknown(given: Iterable[str], known: Sequence[str], owner: str) -> None:
    """Refuse names that are no options.

    Args:
        given: names of options.
        known: those that there are.
        owner: whose options they are, and that it has none of this name, as "hessian has no option".

    Raises:
        OptionsError: with the options that there are, and the one that is meant, if it is near.
    """
    unknown = [name for name in given if name not in known]
    if unknown:
        meant = did_you_mean(unknown[0], known)
        raise OptionsError(f"{owner} {', '.join(unknown)}; it has {', '.join(known) or 'none'}.{meant}")


@dataclass(frozen=True)
class OptionInfo:
    """What `--list-engines` shows of one option; `default` is None where it has to be given."""

    name: str
    type: str
    default: str | None
    help: str

    def __str__(self) -> str:
        value = "required" if self.default is None else f"default {self.default}"
        return f"{self.name} ({self.type}, {value}): {self.help}"


def describe(kind: type) -> list[OptionInfo]:
    """The options of a dataclass, in the order of its definition."""
    hints, found = get_type_hints(kind), []
    for item in fields(kind):
        default: str | None = None
        if item.default is not MISSING:
            default = "none" if item.default is None else str(item.default)
        elif item.default_factory is not MISSING:
            default = "none"
        found.append(
            OptionInfo(item.name, _type_name(hints[item.name]), default, item.metadata.get("help", ""))
        )
    return found


def parse_options(kind: type[T], values: Mapping[str, Any], owner: str) -> T:
    """Fill the dataclass `kind` from strings or values.

    A dotted name reaches into an option that is a mapping: `input.system.nbnd=8`. Strings are converted to
    the type of their option; other values have to be of that type (a whole float will do for an int).

    Args:
        kind: the dataclass.
        values: option -> value.
        owner: whose options they are, for the errors: "engine qe".

    Raises:
        OptionsError: an unknown or missing option, or a value of another type; it lists the options.
    """
    hints, merged = get_type_hints(kind), _nest(values, owner)
    unknown = [name for name in merged if name not in hints]
    if unknown:
        meant = did_you_mean(unknown[0], hints)
        raise OptionsError(f"{owner} has no option '{unknown[0]}'.{meant}{_listing(kind)}")
    missing = [o.name for o in describe(kind) if o.default is None and o.name not in merged]
    if missing:
        raise OptionsError(f"{owner} needs the option '{missing[0]}': give {missing[0]}=...{_listing(kind)}")
    converted = {}
    for name, value in merged.items():
        try:
            converted[name] = _convert(value, hints[name])
        except (TypeError, ValueError):
            wanted = _type_name(hints[name])
            raise OptionsError(f"{owner}: {name} is {value!r}; wanted {wanted}{_listing(kind)}") from None
    return kind(**converted)


def as_float(value: float | None) -> float | None:
    """A whole number is a float, as on the command line: both write the same files. None stays."""
    return None if value is None else float(value)


def parse_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """["a=1", "b=x=y"] -> {"a": "1", "b": "x=y"}.

    Raises:
        OptionsError: no "=", or a key twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise OptionsError(f"engine option '{pair}'; wanted key=value")
        if key.strip() in found:
            raise OptionsError(f"engine option '{key.strip()}' is given twice")
        found[key.strip()] = value.strip()
    return found


def read_options(path: Path) -> dict[str, Any]:
    """The mapping in a .json, .yaml or .yml file.

    Raises:
        DataError: it cannot be read, or holds no mapping.
        MissingDependencyError: YAML without PyYAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # a byte order mark is no part of it
        if path.suffix in (".yaml", ".yml"):
            document = _yaml(text, path)
        else:
            document = json.loads(text)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a file of engine options ({error})") from error
    if not isinstance(document, dict):
        raise DataError(f"{path}: holds a {type(document).__name__}; wanted a mapping option: value")
    return {str(key): value for key, value in document.items()}


def _yaml(text: str, path: Path) -> Any:
    with wanted("yaml", message=f"{path}: YAML needs PyYAML: pip install pyyaml, or use JSON"):
        import yaml
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _nest(values: Mapping[str, Any], owner: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        *parents, last = name.split(".")
        place = found
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise OptionsError(f"{owner}: '{name}' and '{parent}' are both given; keep one")
        # a file's mapping and a dotted option of the command line add up
        old = place.get(last)
        place[last] = {**old, **value} if isinstance(old, dict) and isinstance(value, Mapping) else value
        if isinstance(value, Mapping) and not isinstance(old, dict):
            place[last] = dict(value)
    return found


def _listing(kind: type) -> str:
    return "\nIts options:" + "".join(f"\n  {info}" for info in describe(kind))


def _convert(value: Any, hint: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return _literal(value)
    if origin in (Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() in ("none", "null", "")):
            return None
        return _convert(value, next(a for a in arguments if a is not type(None)))
    if origin is Literal:
        if value in arguments:
            return value
        raise ValueError
    if origin is tuple:
        parts = value.replace("x", ",").split(",") if isinstance(value, str) else list(value)
        if len(parts) != len(arguments):
            raise ValueError
        return tuple(_convert(part, kind) for part, kind in zip(parts, arguments, strict=True))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ValueError
        return {str(key): _convert_nested(item, arguments[1]) for key, item in value.items()}
    if hint is bool:
        if isinstance(value, bool):
            return value
        word = str(value).lower()
        if word in _TRUE + _FALSE:
            return word in _TRUE
        raise ValueError
    if isinstance(value, bool) or value is None:
        raise ValueError
    if hint is int:
        number = float(value)
        if number != int(number):
            raise ValueError
        return int(number)
    if hint is Path:
        return Path(value).expanduser()
    return hint(value)


def _convert_nested(value: Any, hint: Any) -> Any:
    if hint is Any and isinstance(value, Mapping):
        return {str(key): _convert_nested(item, hint) for key, item in value.items()}
    return _convert(value, hint)


def _literal(value: Any) -> Any:
    """Strings that are JSON (numbers, true, lists) become it; Fortran's .true. and other words stay words."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return {".true.": True, ".false.": False}.get(value.lower(), value)


def _type_name(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join("none" if a is type(None) else _type_name(a) for a in arguments)
    if origin is Literal:
        return "|".join(map(str, arguments))
    if origin is tuple:
        return f"{len(arguments)} {_type_name(arguments[0])}s like 2,2,2"
    if origin is dict:
        return "mapping name.key=value"
    return {Path: "path", float: "number", int: "whole number", bool: "true|false", str: "word"}.get(
        hint, "value"
    )
